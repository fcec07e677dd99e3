/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What a port does for messages that take their time: the replies to kicks that are messages, and
 * the answers on the back-end channel. Nothing here waits: EAL's interrupt thread comes back.
 */

#ifndef VHOST_PCI_INBAND_H
#define VHOST_PCI_INBAND_H

#include "vhost_pci_port.h"

/**
 * The session owes a reply: receive nothing more, and look for it in a short while, again and
 * again; in the end the reply is sent whatever the polling thread has done.
 *
 * @return 0 or -errno. Control thread, port locked.
 */
int vhost_pci_inband_await_reply(struct vhost_pci_port *port);

/** The connection is about to be closed: no reply is owed. Port locked. */
void vhost_pci_inband_forget_reply(struct vhost_pci_port *port);

/** See the channel_changed of struct vhost_pci_session_ops. Port locked. */
void vhost_pci_inband_watch_channel(struct vhost_pci_port *port, int fd);

#endif /* VHOST_PCI_INBAND_H */
