/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tfe_conn.h"
#include "tfe_time.h"

/* listen() raises no event on the socket's file, so a refused connection is tried again. */
#define REFUSED_RETRY_MS 10

void
tfe_conn_init(struct tfe_conn *conn)
{
	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
	conn->listen_fd = -1;
	conn->timeout_ms = TFE_TIMEOUT_MS;
}

static int
make_addr(struct sockaddr_un *addr, const char *path)
{
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, len);
	return 0;
}

static int
try_connect(const struct sockaddr_un *addr)
{
	int fd, err;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* Watch the directory the socket is to appear in. */
static int
watch_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;

	if (slash == NULL)
		snprintf(dir, sizeof(dir), ".");
	else
		snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (inotify_add_watch(fd, dir, IN_CREATE | IN_MOVED_TO) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static void
wait_for_change(int watch_fd, int timeout_ms)
{
	struct pollfd pfd = { .fd = watch_fd, .events = POLLIN };
	char events[4096];

	if (poll(&pfd, 1, timeout_ms) > 0) {
		/* Which file it was does not matter: the connection is tried again. */
		while (read(watch_fd, events, sizeof(events)) > 0)
			;
	}
}

static int
connect_until(const struct sockaddr_un *addr, int timeout_ms)
{
	uint64_t deadline_ns = tfe_deadline_ns(timeout_ms);
	int watch_fd, fd;

	watch_fd = watch_directory(addr->sun_path);
	if (watch_fd < 0)
		return watch_fd;
	for (;;) {
		int left_ms;

		fd = try_connect(addr);
		if (fd >= 0 || (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN))
			break;
		left_ms = tfe_left_ms(deadline_ns);
		if (left_ms == 0) {
			fd = -ETIMEDOUT;
			break;
		}
		if (fd != -ENOENT && left_ms > REFUSED_RETRY_MS)
			left_ms = REFUSED_RETRY_MS;
		wait_for_change(watch_fd, left_ms);
	}
	close(watch_fd);
	return fd;
}

int
tfe_conn_connect(struct tfe_conn *conn, const char *path, int timeout_ms)
{
	struct sockaddr_un addr;
	int ret;

	ret = make_addr(&addr, path);
	if (ret < 0)
		return ret;
	ret = timeout_ms == 0 ? try_connect(&addr) : connect_until(&addr, timeout_ms);
	if (ret < 0)
		return ret;
	memcpy(conn->path, addr.sun_path, sizeof(conn->path));
	return tfe_conn_adopt(conn, ret);
}

int
tfe_conn_listen(struct tfe_conn *conn, const char *path)
{
	struct sockaddr_un addr;
	int fd, ret;

	ret = make_addr(&addr, path);
	if (ret < 0)
		return ret;
	/* Only a socket nobody listens on is stale; anything else makes bind() fail. */
	ret = try_connect(&addr);
	if (ret >= 0)
		close(ret);
	else if (ret == -ECONNREFUSED)
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	tfe_conn_close(conn);
	conn->listen_fd = fd;
	memcpy(conn->path, addr.sun_path, sizeof(conn->path));
	return 0;
}

int
tfe_conn_accept(struct tfe_conn *conn, int timeout_ms)
{
	struct pollfd pfd = { .fd = conn->listen_fd, .events = POLLIN };
	uint64_t deadline_ns = tfe_deadline_ns(timeout_ms);
	int fd;

	if (conn->listen_fd < 0)
		return -ENOTCONN;
	do {
		int ret = poll(&pfd, 1, tfe_left_ms(deadline_ns));

		if (ret == 0)
			return -ETIMEDOUT;
		if (ret < 0 && errno != EINTR)
			return -errno;
		fd = ret < 0 ? -1 : accept4(conn->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : tfe_conn_adopt(conn, fd);
}

int
tfe_conn_adopt(struct tfe_conn *conn, int fd)
{
	if (fd < 0)
		return -EINVAL;
	tfe_conn_disconnect(conn);
	conn->fd = fd;
	return 0;
}

void
tfe_conn_disconnect(struct tfe_conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}

void
tfe_conn_close(struct tfe_conn *conn)
{
	tfe_conn_disconnect(conn);
	if (conn->listen_fd >= 0) {
		close(conn->listen_fd);
		unlink(conn->path);
	}
	conn->listen_fd = -1;
	conn->path[0] = '\0';
}

/* Wait for events until the deadline: 1, or -errno. */
static int
wait_ready(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int ret;

	do {
		ret = poll(&pfd, 1, tfe_left_ms(deadline_ns));
	} while (ret < 0 && errno == EINTR);
	if (ret == 0)
		return -ETIMEDOUT;
	return ret < 0 ? -errno : 1;
}

static bool
is_reset(int err)
{
	return err == EPIPE || err == ECONNRESET;
}

/* Drop the first nb_bytes of an iovec pair that was sent in part. */
static void
advance_iov(struct iovec iov[2], size_t nb_bytes)
{
	for (unsigned int i = 0; i < 2; i++) {
		size_t step = nb_bytes < iov[i].iov_len ? nb_bytes : iov[i].iov_len;

		iov[i].iov_base = (uint8_t *)iov[i].iov_base + step;
		iov[i].iov_len -= step;
		nb_bytes -= step;
	}
}

static void
attach_fds(struct msghdr *hdr, void *control, const int *fds, unsigned int nb_fds)
{
	struct cmsghdr *cmsg;

	hdr->msg_control = control;
	hdr->msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
	memset(control, 0, hdr->msg_controllen);
	cmsg = CMSG_FIRSTHDR(hdr);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nb_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, nb_fds * sizeof(int));
}

/* Send two pieces of memory as one message; the fds go with the first byte. */
static int
send_iov(struct tfe_conn *conn, struct iovec iov[2], const int *fds, unsigned int nb_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TFE_MSG_FDS * sizeof(int))];
	} control;
	struct msghdr hdr = { .msg_iov = iov, .msg_iovlen = 2 };
	uint64_t deadline_ns = tfe_deadline_ns(conn->timeout_ms);

	if (conn->fd < 0)
		return -ENOTCONN;
	if (nb_fds > TFE_MSG_FDS)
		return -EINVAL;
	if (nb_fds > 0)
		attach_fds(&hdr, &control, fds, nb_fds);
	while (iov[0].iov_len + iov[1].iov_len > 0) {
		ssize_t n = sendmsg(conn->fd, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			advance_iov(iov, (size_t)n);
			hdr.msg_control = NULL;
			hdr.msg_controllen = 0;
		} else if (errno == EAGAIN) {
			int ret = wait_ready(conn->fd, POLLOUT, deadline_ns);

			if (ret < 0)
				return ret;
		} else if (errno != EINTR) {
			return is_reset(errno) ? -ECONNRESET : -errno;
		}
	}
	conn->nb_sent++;
	return 0;
}

int
tfe_conn_send_raw(struct tfe_conn *conn, const void *bytes, size_t nb_bytes, const int *fds,
		unsigned int nb_fds)
{
	struct iovec iov[2] = { { .iov_len = nb_bytes }, { .iov_len = 0 } };

	/* sendmsg() does not write to it; the type has no const. */
	memcpy(&iov[0].iov_base, &bytes, sizeof(bytes));
	return send_iov(conn, iov, fds, nb_fds);
}

/* Move the fds of a received control message to msg; what has no room there is closed. */
static void
take_fds(struct msghdr *hdr, struct tfe_msg *msg)
{
	struct cmsghdr *cmsg;

	if (hdr->msg_flags & MSG_CTRUNC)
		msg->fds_truncated = true;
	for (cmsg = CMSG_FIRSTHDR(hdr); cmsg != NULL; cmsg = CMSG_NXTHDR(hdr, cmsg)) {
		unsigned int nb_fds;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		nb_fds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (unsigned int i = 0; i < nb_fds; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (msg->nb_fds < TFE_MSG_FDS) {
				msg->fds[msg->nb_fds++] = fd;
			} else {
				close(fd);
				msg->fds_truncated = true;
			}
		}
	}
}

/* One recvmsg(): bytes read, 0 at the end of the stream, -errno. */
static ssize_t
recv_some(struct tfe_conn *conn, struct iovec *iov, struct tfe_msg *msg)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(TFE_MSG_FDS * sizeof(int))];
	} control;
	struct msghdr hdr = {
		.msg_iov = iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	n = recvmsg(conn->fd, &hdr, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	take_fds(&hdr, msg);
	return n;
}

int
tfe_conn_recv_raw(struct tfe_conn *conn, void *bytes, size_t nb_bytes, struct tfe_msg *msg)
{
	struct iovec iov = { .iov_base = bytes, .iov_len = nb_bytes };
	uint64_t deadline_ns = tfe_deadline_ns(conn->timeout_ms);

	if (conn->fd < 0)
		return -ENOTCONN;
	while (iov.iov_len > 0) {
		ssize_t n = recv_some(conn, &iov, msg);

		if (n > 0) {
			iov.iov_base = (uint8_t *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
		} else if (n == 0 || is_reset((int)-n)) {
			return -ECONNRESET;
		} else if (n == -EAGAIN) {
			int ret = wait_ready(conn->fd, POLLIN, deadline_ns);

			if (ret < 0)
				return ret;
		} else if (n != -EINTR) {
			return (int)n;
		}
	}
	return 0;
}

int
tfe_conn_poll(struct tfe_conn *conn, int timeout_ms)
{
	int ret;

	if (conn->fd < 0)
		return -ENOTCONN;
	ret = wait_ready(conn->fd, POLLIN, tfe_deadline_ns(timeout_ms));
	return ret == -ETIMEDOUT ? 0 : ret;
}

int
tfe_conn_wait_closed(struct tfe_conn *conn, int timeout_ms)
{
	uint64_t deadline_ns = tfe_deadline_ns(timeout_ms);

	if (conn->fd < 0)
		return -ENOTCONN;
	for (;;) {
		struct tfe_msg scratch = { .nb_fds = 0 };
		struct iovec iov = { .iov_base = scratch.raw, .iov_len = sizeof(scratch.raw) };
		ssize_t n = recv_some(conn, &iov, &scratch);

		tfe_msg_close_fds(&scratch);
		if (n == 0 || (n < 0 && is_reset((int)-n)))
			return 0;
		if (n == -EAGAIN) {
			int ret = wait_ready(conn->fd, POLLIN, deadline_ns);

			if (ret < 0)
				return ret;
		} else if (n < 0 && n != -EINTR) {
			return (int)n;
		}
	}
}

int
tfe_conn_send(struct tfe_conn *conn, const struct tfe_msg *msg)
{
	struct tfe_vu_hdr hdr = msg->hdr;
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_len = msg->hdr.size < sizeof(msg->raw) ? msg->hdr.size : sizeof(msg->raw) },
	};
	const void *payload = msg->raw;

	memcpy(&iov[1].iov_base, &payload, sizeof(payload));
	return send_iov(conn, iov, msg->fds, msg->nb_fds);
}
