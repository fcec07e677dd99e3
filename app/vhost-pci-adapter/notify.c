/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vhost_pci_notify_fd.h"
#include "vhost_pci_peer_fd.h"

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

int
notify_take(int fd)
{
	uint8_t bytes[512]; /* a pipe may hold many signals */
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	ssize_t nb;

	nb = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	if (nb < 0 && (errno == EOPNOTSUPP || errno == ESPIPE))
		nb = read(fd, bytes, sizeof(bytes));
	if (nb == 0)
		return -EPIPE;
	if (nb < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return 1;
}
