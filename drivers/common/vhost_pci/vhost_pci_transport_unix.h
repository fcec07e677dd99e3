/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The transport over a UNIX stream socket, and the sockets it comes from. Either side of the
 * protocol may be the socket's client (vhost-user, "Communication").
 *
 * All functions: control thread. None of them blocks. All sockets are close-on-exec.
 */

#ifndef VHOST_PCI_TRANSPORT_UNIX_H
#define VHOST_PCI_TRANSPORT_UNIX_H

#include "vhost_pci_transport.h"

/**
 * Listen on a path.
 *
 * A stale socket file, one that nobody listens on, is replaced; one that is in use is not.
 *
 * @return A listening, non-blocking fd, the caller's; -ENAMETOOLONG for a path that does not fit
 *	   a socket address; -EADDRINUSE where somebody listens on it, or where the path exists and
 *	   is no socket; -errno.
 */
int vhost_pci_unix_listen(const char *path);

/**
 * Accept a connection.
 *
 * @return A connected fd, the caller's; -EAGAIN if there is none; -errno.
 */
int vhost_pci_unix_accept(int listen_fd);

/**
 * Connect to a path.
 *
 * @return A connected, non-blocking fd, the caller's; -ENAMETOOLONG; -ENOENT or -ECONNREFUSED
 *	   where nobody listens (yet); -EAGAIN where the listener's backlog is full; -errno.
 */
int vhost_pci_unix_connect(const char *path);

/**
 * Make a transport out of a connected fd, which becomes the transport's also where it fails.
 *
 * @return 0; -ENOMEM.
 */
int vhost_pci_unix_transport_create(int fd, struct vhost_pci_transport **transport);

#endif /* VHOST_PCI_TRANSPORT_UNIX_H */
