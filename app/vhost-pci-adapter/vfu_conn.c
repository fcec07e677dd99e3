/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"
#include "vfu_conn.h"
#include "vhost_pci_peer_fd.h"
#include "watch.h"

/**
 * Fds that the kernel passes on with one piece of a stream (SCM_MAX_FD): there is room for all of
 * them, for those that it drops itself it closes as it likes, and that may wait.
 */
#define VFU_PIECE_FDS 253u

/** Largest message taken: a region write of the largest count. */
#define VFU_MSG_BYTES (sizeof(struct vfu_hdr) + sizeof(struct vfu_region_access) + VFU_DATA_BYTES)

struct vfu_conn {
	int fd;
	uint64_t keeper_id; /**< what the keeper knows it by */
	const struct vfu_conn_ops *ops;
	void *opaque;
	GSource *watch_in;
	GSource *watch_out; /**< only while a reply waits to leave */
	bool *destroyed;    /**< set where the owner destroys us within a callback */

	struct vfu_request in;
	uint8_t *in_payload;
	size_t in_bytes; /**< of the current message received so far, header included */

	uint8_t *out; /**< the reply that waits, or NULL */
	size_t out_bytes;
	size_t out_sent;
	int out_fd; /**< our duplicate, or -1 */
};

static void vfu_conn_readable(void *opaque);
static void vfu_conn_writable(void *opaque);

static void
vfu_request_close_fds(struct vfu_request *request)
{
	for (unsigned int i = 0; i < request->nb_fds; i++)
		vhost_pci_peer_fd_close(request->fds[i]);
	request->nb_fds = 0;
}

struct vfu_conn *
vfu_conn_create(int fd, const struct vfu_conn_ops *ops, void *opaque)
{
	struct vfu_conn *conn = g_new0(struct vfu_conn, 1);
	const int on = 1;

	conn->fd = fd;
	conn->ops = ops;
	conn->opaque = opaque;
	conn->out_fd = -1;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	/* what is sent out of band the kernel drops otherwise, with its fds, as above */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	conn->watch_in = watch_fd(fd, G_IO_IN, vfu_conn_readable, conn);
	conn->keeper_id = keeper_hold(fd);
	return conn;
}

static void
vfu_conn_drop_input(struct vfu_conn *conn)
{
	vfu_request_close_fds(&conn->in);
	g_free(conn->in_payload);
	conn->in_payload = NULL;
	conn->in_bytes = 0;
}

static void
vfu_conn_drop_output(struct vfu_conn *conn)
{
	watch_stop(&conn->watch_out);
	g_free(conn->out);
	conn->out = NULL;
	if (conn->out_fd >= 0)
		close(conn->out_fd);
	conn->out_fd = -1;
}

void
vfu_conn_destroy(struct vfu_conn *conn)
{
	if (conn == NULL)
		return;
	if (conn->destroyed != NULL)
		*conn->destroyed = true;
	watch_stop(&conn->watch_in);
	vfu_conn_drop_input(conn);
	vfu_conn_drop_output(conn);
	keeper_close(conn->fd);
	keeper_release(conn->keeper_id);
	g_free(conn);
}

/* Tell the owner that it is over; conn must not be touched after that. */
static void
vfu_conn_fail(struct vfu_conn *conn, int error)
{
	watch_stop(&conn->watch_in);
	vfu_conn_drop_output(conn);
	conn->ops->closed(conn->opaque, error);
}

/* Take over what came with the bytes: -EBADMSG for more fds than we said we take. */
static int
vfu_conn_take_fds(struct vfu_conn *conn, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	int error = msg->msg_flags & MSG_CTRUNC ? -EBADMSG : 0;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t nb = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < nb; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd), sizeof(fd));
			if (conn->in.nb_fds < VFU_MSG_FDS) {
				conn->in.fds[conn->in.nb_fds++] = fd;
			} else {
				vhost_pci_peer_fd_close(fd);
				error = -EBADMSG;
			}
		}
	}
	return error;
}

/* Receive up to nb_bytes: their number, 0 at the end of the stream, -EAGAIN, -errno. */
static ssize_t
vfu_conn_recv(struct vfu_conn *conn, void *bytes, size_t nb_bytes)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * VFU_PIECE_FDS)];
	} control;
	struct iovec iov = { .iov_base = bytes, .iov_len = nb_bytes };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t nb;
	int error;

	do
		nb = recvmsg(conn->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (nb < 0 && errno == EINTR);
	if (nb < 0)
		return -errno;
	error = vfu_conn_take_fds(conn, &msg);
	return error < 0 ? error : nb;
}

/* A header that can't be followed by a message of ours ends the connection. */
static int
vfu_conn_check_header(const struct vfu_hdr *hdr)
{
	/* "Header": the size includes the header */
	if (hdr->size < sizeof(*hdr) || hdr->size > VFU_MSG_BYTES)
		return -EBADMSG;
	/* we send no commands, so nothing can be a reply to one */
	if ((hdr->flags & VFU_FLAG_TYPE_MASK) != VFU_FLAG_COMMAND)
		return -EBADMSG;
	return 0;
}

/* Go on with the current message: 1 when it is complete, 0 at the end of the stream, -errno. */
static int
vfu_conn_progress(struct vfu_conn *conn)
{
	struct vfu_hdr *hdr = &conn->in.hdr;
	ssize_t nb;

	while (conn->in_bytes < sizeof(*hdr)) {
		nb = vfu_conn_recv(conn, (uint8_t *)hdr + conn->in_bytes,
				sizeof(*hdr) - conn->in_bytes);
		if (nb == 0)
			return conn->in_bytes == 0 ? 0 : -ECONNRESET;
		if (nb < 0)
			return (int)nb;
		conn->in_bytes += nb;
	}
	if (conn->in_payload == NULL) {
		int error = vfu_conn_check_header(hdr);

		if (error < 0)
			return error;
		conn->in.payload_bytes = hdr->size - sizeof(*hdr);
		conn->in_payload = g_malloc(conn->in.payload_bytes + 1);
		conn->in.payload = conn->in_payload;
	}
	while (conn->in_bytes < hdr->size) {
		nb = vfu_conn_recv(conn, conn->in_payload + conn->in_bytes - sizeof(*hdr),
				hdr->size - conn->in_bytes);
		if (nb == 0)
			return -ECONNRESET;
		if (nb < 0)
			return (int)nb;
		conn->in_bytes += nb;
	}
	return 1;
}

static void
vfu_conn_readable(void *opaque)
{
	struct vfu_conn *conn = opaque;
	bool destroyed = false;
	int ret;

	ret = vfu_conn_progress(conn);
	if (ret == -EAGAIN)
		return;
	if (ret <= 0) {
		vfu_conn_fail(conn, ret);
		return;
	}
	conn->destroyed = &destroyed;
	conn->ops->request(conn->opaque, &conn->in);
	if (destroyed)
		return;
	conn->destroyed = NULL;
	vfu_conn_drop_input(conn);
}

/* Send what waits: 0 when all has left, -EAGAIN, -errno. */
static int
vfu_conn_flush(struct vfu_conn *conn)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t nb;

	while (conn->out_sent < conn->out_bytes) {
		iov.iov_base = conn->out + conn->out_sent;
		iov.iov_len = conn->out_bytes - conn->out_sent;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
		if (conn->out_fd >= 0) {
			memset(&control, 0, sizeof(control));
			control.align.cmsg_level = SOL_SOCKET;
			control.align.cmsg_type = SCM_RIGHTS;
			control.align.cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(&control.align), &conn->out_fd, sizeof(int));
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control);
		}
		nb = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (nb < 0 && errno == EINTR)
			continue;
		if (nb < 0)
			return -errno;
		/* the fd goes with the first byte */
		if (conn->out_fd >= 0)
			close(conn->out_fd);
		conn->out_fd = -1;
		conn->out_sent += nb;
	}
	return 0;
}

static void
vfu_conn_writable(void *opaque)
{
	struct vfu_conn *conn = opaque;
	int error = vfu_conn_flush(conn);

	if (error == -EAGAIN)
		return;
	vfu_conn_drop_output(conn);
	if (error < 0)
		vfu_conn_fail(conn, error);
	else
		conn->watch_in = watch_fd(conn->fd, G_IO_IN, vfu_conn_readable, conn);
}

/* Send what was put into out; if it can't leave now, nothing is read until it has left. */
static void
vfu_conn_send(struct vfu_conn *conn)
{
	int error;

	conn->out_sent = 0;
	error = vfu_conn_flush(conn);
	if (error == 0) {
		vfu_conn_drop_output(conn);
		return;
	}
	/* an error of the socket is reported from the loop, not from within the owner's call */
	watch_stop(&conn->watch_in);
	conn->watch_out = watch_fd(conn->fd, G_IO_OUT, vfu_conn_writable, conn);
}

void
vfu_conn_reply(struct vfu_conn *conn, const struct vfu_hdr *request, const void *payload,
		size_t nb_bytes, int fd)
{
	struct vfu_hdr hdr = {
		.message_id = request->message_id,
		.command = request->command,
		.size = sizeof(hdr) + nb_bytes,
		.flags = VFU_FLAG_REPLY,
	};

	int dup = -1;

	if (request->flags & VFU_FLAG_NO_REPLY)
		return;
	if (fd >= 0) {
		dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (dup < 0) {
			vfu_conn_reply_error(conn, request, errno);
			return;
		}
	}
	conn->out_bytes = hdr.size;
	conn->out = g_malloc(hdr.size);
	memcpy(conn->out, &hdr, sizeof(hdr));
	if (nb_bytes > 0)
		memcpy(conn->out + sizeof(hdr), payload, nb_bytes);
	conn->out_fd = dup;
	vfu_conn_send(conn);
}

void
vfu_conn_reply_error(struct vfu_conn *conn, const struct vfu_hdr *request, int error)
{
	struct vfu_hdr hdr = {
		.message_id = request->message_id,
		.command = request->command,
		.size = sizeof(hdr),
		.flags = VFU_FLAG_REPLY | VFU_FLAG_ERROR,
		.error = error,
	};

	if (request->flags & VFU_FLAG_NO_REPLY)
		return;
	conn->out_bytes = sizeof(hdr);
	conn->out = g_memdup2(&hdr, sizeof(hdr));
	vfu_conn_send(conn);
}
