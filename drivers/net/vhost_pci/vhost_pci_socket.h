/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front door that is a UNIX socket: a listener that lets one front-end in at a time, or a
 * client that connects to the front-end's listener, again and again.
 */

#ifndef VHOST_PCI_SOCKET_H
#define VHOST_PCI_SOCKET_H

#include "vhost_pci_port.h"

struct vhost_pci_socket;

/** The door_ops; door_data is a struct vhost_pci_socket. */
extern const struct vhost_pci_door_ops vhost_pci_socket_ops;

/**
 * Prepare a socket; nothing is opened.
 *
 * @param path	Of the socket; copied.
 * @param client Connect, rather than listen.
 * @param name	Of the port, for messages; copied.
 * @param[out] sock Freed by the close() of vhost_pci_socket_ops.
 * @return 0; -EADDRINUSE where another port of this process has the path, as the log says;
 *	   -ENOMEM.
 */
int vhost_pci_socket_create(const char *path, bool client, const char *name,
		struct vhost_pci_socket **sock);

/** The free() of vhost_pci_socket_ops, also for a socket that no port was made with. */
void vhost_pci_socket_free(void *door_data);

/**
 * Make a connected fd the port's connection.
 *
 * @param fd	Owned by the connection, or closed where this fails.
 * @return 0 or -errno, as the log says. Port locked.
 */
int vhost_pci_socket_connected(struct vhost_pci_port *port, int fd);

#endif /* VHOST_PCI_SOCKET_H */
