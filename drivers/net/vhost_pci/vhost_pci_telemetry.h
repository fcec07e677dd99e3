/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The ports that telemetry shows: its threads ask at any time, so that a port which is closed must
 * first be out of their sight.
 */

#ifndef VHOST_PCI_TELEMETRY_H
#define VHOST_PCI_TELEMETRY_H

#include "vhost_pci_port.h"

/** Let telemetry show a port. Port not locked. */
void vhost_pci_telemetry_show(struct vhost_pci_port *port);

/** Let it show the port no more: waits for an answer about it. Port not locked. */
void vhost_pci_telemetry_hide(struct vhost_pci_port *port);

#endif /* VHOST_PCI_TELEMETRY_H */
