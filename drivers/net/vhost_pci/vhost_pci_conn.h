/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A port's connection: messages from its transport to its session, and replies back. The front
 * doors open it, whatever the transport is.
 */

#ifndef VHOST_PCI_CONN_H
#define VHOST_PCI_CONN_H

#include "vhost_pci_port.h"

/**
 * Begin to serve a front-end. The port has none.
 *
 * @param transport Becomes the port's, also where it fails.
 * @return 0 or -errno. Control thread or vhost_pci_door_ops.open, port locked.
 */
int vhost_pci_conn_open(struct vhost_pci_port *port, struct vhost_pci_transport *transport);

/** Close the connection if there is one; the front door is not told. Port locked. */
void vhost_pci_conn_close(struct vhost_pci_port *port);

/**
 * End a connection: the peer has done so, or it has done something wrong.
 *
 * @param error	Negative; 0: the peer ended it in good order.
 * @param what	What was wrong, for the one line that is said of it; NULL: it has been said.
 *
 * Control thread, port locked.
 */
void vhost_pci_conn_end(struct vhost_pci_port *port, int error, const char *what);

/** Handle what is there to be received. Control thread, port locked. */
void vhost_pci_conn_event(struct vhost_pci_port *port);

/** Close the connection where a vring is broken or memory is gone. As above. */
void vhost_pci_conn_check(struct vhost_pci_port *port);

#endif /* VHOST_PCI_CONN_H */
