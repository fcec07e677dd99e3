/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Vrings that a front-end sends on while the application has no Rx queue for them, as with fewer
 * queues configured than a front-end may have: control takes what comes, when it is kicked, and
 * throws it away, as if nobody had listened on the link.
 */

#ifndef VHOST_PCI_UNREAD_H
#define VHOST_PCI_UNREAD_H

#include "vhost_pci_port.h"

/** Set up what a port needs for it. Returns 0 or -errno, with nothing left. */
int vhost_pci_unread_init(struct vhost_pci_port *port);

/** Undo vhost_pci_unread_init(); the session has been reset. */
void vhost_pci_unread_fini(struct vhost_pci_port *port);

/**
 * Follow a vring that the front-end sends on, which is paused and about to change.
 *
 * @param queue_id Of the Rx queue that would read from it. Port locked.
 */
void vhost_pci_unread_bind(struct vhost_pci_port *port, uint16_t queue_id);

/** A vring that could not be emptied now can. Port locked. */
void vhost_pci_unread_look_again(struct vhost_pci_port *port, uint16_t queue_id);

#endif /* VHOST_PCI_UNREAD_H */
