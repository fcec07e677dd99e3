/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "keeper.h"
#include "vhost_pci_log.h"
#include "vhost_pci_transport_unix.h"

/** A socket that the keeper has. */
struct keeper_socket {
	uint64_t id;
	int fd;
};

/** The daemon's end of what leads to the keeper, or -1: a message is an id, and the fd if new. */
static int keeper_fd = -1;

static uint64_t keeper_last_id;

void
keeper_close(int fd)
{
	uint8_t bytes[4096];

	/* nothing more comes in; then nothing is left unread, which is what a reset tells of */
	shutdown(fd, SHUT_RD);
	while (vhost_pci_unix_recv_bytes(fd, bytes, sizeof(bytes)) > 0)
		;
	/* whoever has a duplicate */
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

void
keeper_close_waiting(int listen_fd)
{
	int client;

	/* nobody comes any more: those who were there before are found by accept4() still */
	shutdown(listen_fd, SHUT_RD);
	fcntl(listen_fd, F_SETFL, O_NONBLOCK);
	while ((client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		keeper_close(client);
}

/* The keeper: end a connection, or all that were not accepted yet. */
static void
keeper_end(int fd)
{
	socklen_t bytes = sizeof(int);
	int listens = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) < 0 || !listens) {
		keeper_close(fd);
		return;
	}
	keeper_close_waiting(fd);
	close(fd);
}

/* The keeper: receive an id, and the fd with it, or -1. @return false at the daemon's end. */
static bool
keeper_receive(int from, struct keeper_socket *socket)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &socket->id, sizeof(socket->id) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *cmsg;
	ssize_t nb;

	do {
		nb = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	} while (nb < 0 && errno == EINTR);
	if (nb != sizeof(socket->id))
		return false;
	cmsg = CMSG_FIRSTHDR(&msg);
	socket->fd = -1;
	if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&socket->fd, CMSG_DATA(cmsg), sizeof(socket->fd));
	return true;
}

static void
keeper_forget(GArray *sockets, uint64_t id)
{
	for (unsigned int i = 0; i < sockets->len; i++) {
		const struct keeper_socket *held = &g_array_index(sockets, struct keeper_socket, i);

		if (held->id != id)
			continue;
		close(held->fd);
		g_array_remove_index_fast(sockets, i);
		return;
	}
}

/* The keeper's life. */
static void
keeper_run(int from)
{
	g_autoptr(GArray) sockets = g_array_new(FALSE, FALSE, sizeof(struct keeper_socket));
	struct keeper_socket socket;

	prctl(PR_SET_NAME, "vpci-keeper");
	/* it ends with the daemon, and not before */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	while (keeper_receive(from, &socket)) {
		if (socket.fd >= 0)
			g_array_append_val(sockets, socket);
		else
			keeper_forget(sockets, socket.id);
	}
	for (unsigned int i = 0; i < sockets->len; i++)
		keeper_end(g_array_index(sockets, struct keeper_socket, i).fd);
}

int
keeper_start(void)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int error = -errno;

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (pid == 0) {
		close(fds[0]);
		keeper_run(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	keeper_fd = fds[0];
	return 0;
}

/* Send an id, with an fd or -1. */
static bool
keeper_send(uint64_t id, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { &id, sizeof(id) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	if (sendmsg(keeper_fd, &msg, MSG_NOSIGNAL) == sizeof(id))
		return true;
	vhost_pci_log(VHOST_PCI_LOG_WARNING,
			"the keeper of connections is gone: machines may abort when this process "
			"is killed");
	close(keeper_fd);
	keeper_fd = -1;
	return false;
}

uint64_t
keeper_hold(int fd)
{
	if (keeper_fd < 0 || !keeper_send(keeper_last_id + 1, fd))
		return 0;
	return ++keeper_last_id;
}

void
keeper_release(uint64_t id)
{
	if (keeper_fd >= 0 && id != 0)
		keeper_send(id, -1);
}
