/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vhost_pci_notify_fd.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"

#include "notify.h"

int
notify_prepare(int fd)
{
	return vhost_pci_notify_fd_prepare(fd);
}

void
notify_signal(int fd)
{
	/* nearly all are eventfds */
	if (vhost_pci_notify_eventfd_signal(fd) != -EINVAL)
		return;
	vhost_pci_notify_fd_signal(fd,
			vhost_pci_peer_fd_is_unix(fd) ? VHOST_PCI_NOTIFY_SEND
						      : VHOST_PCI_NOTIFY_WRITE);
}

/*
 * Take from a file whose reads know no flags: a pipe, whose open file is our own, or, before Linux
 * 5.8, an eventfd. Its owner may empty that between the two calls and have the read wait.
 */
static ssize_t
notify_read(int fd, void *bytes, size_t nb_bytes)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int nb = poll(&pfd, 1, 0);

	if (nb > 0)
		return read(fd, bytes, nb_bytes);
	if (nb == 0)
		errno = EAGAIN;
	return -1;
}

int
notify_take(int fd)
{
	uint8_t bytes[512]; /* a pipe may hold many signals */
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	ssize_t nb;

	/* First: what reads a socket as a file drops the fds that come along. */
	nb = vhost_pci_unix_recv_bytes(fd, bytes, sizeof(bytes));
	if (nb < 0 && nb != -ENOTSOCK)
		return nb == -EAGAIN || nb == -EINTR ? 0 : (int)nb;
	if (nb < 0)
		nb = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	/* Not every kernel, nor each file, can promise not to wait. */
	if (nb < 0 && errno != EAGAIN && errno != EINTR)
		nb = notify_read(fd, bytes, sizeof(bytes));
	if (nb == 0)
		return -EPIPE;
	if (nb < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return 1;
}
