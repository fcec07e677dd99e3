/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The end of an fd that came from a peer: whatever it is, its closing shall not wait. It may be a
 * socket, so this is part of vhost_pci_transport_unix.c; all who hold such fds use it.
 */

#ifndef VHOST_PCI_PEER_FD_H
#define VHOST_PCI_PEER_FD_H

#include <stdbool.h>

/**
 * Close an fd that a peer sent.
 *
 * Any file may come where an eventfd is expected. Of a socket with SO_LINGER the last close waits
 * until what was sent is acknowledged, as long as the peer has set: the option is taken off first.
 *
 * @param fd -1: nothing to do.
 *
 * Control thread.
 */
void vhost_pci_peer_fd_close(int fd);

/** Whether an fd that a peer sent is a UNIX socket, of which no send has to wait. Any thread. */
bool vhost_pci_peer_fd_is_unix(int fd);

#endif /* VHOST_PCI_PEER_FD_H */
