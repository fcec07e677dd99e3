/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_peer_fd.h"

#include <sys/socket.h>
#include <unistd.h>

void
vhost_pci_peer_fd_close(int fd)
{
	const struct linger none = { 0 };

	if (fd < 0)
		return;
	/* Most are no sockets, and say so. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}
