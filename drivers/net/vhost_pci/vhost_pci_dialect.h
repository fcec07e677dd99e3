/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The vhost-pci extension of vhost-user, as a port serves it where dialect=vhost-pci asks for it:
 * a connection's id, what the front-end's device is, and the peer connection, by which either
 * side stops all packets without regard to single rings.
 *
 * All functions: port locked.
 */

#ifndef VHOST_PCI_DIALECT_H
#define VHOST_PCI_DIALECT_H

#include "vhost_pci_port.h"

/** Begin a connection: it has an id, and the dialect may be spoken. */
void vhost_pci_dialect_begin(struct vhost_pci_port *port);

/**
 * Handle a message for which vhost_pci_codec_is_dialect_request() holds.
 *
 * SET_PEER_CONNECTION is answered by 0 where the channel is now as it was asked for: ON needs the
 * port's consent, which it gives while it is started and set up.
 *
 * @return 1: send the reply; 0; -EINVAL for a device of another type than net or a state that
 *	   there is not, -EPROTO for device info after a message about a vring: the connection is
 *	   to be closed.
 */
int vhost_pci_dialect_handle(struct vhost_pci_port *port, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

/**
 * The state_changed of the front doors that are sockets: a front-end that has spoken the dialect
 * is told whether the port wants packets to flow. One that does not read is found out later, by
 * what it is owed a reply for.
 */
void vhost_pci_dialect_state_changed(struct vhost_pci_port *port);

#endif /* VHOST_PCI_DIALECT_H */
