/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The features that a port offers to its front-end.
 */

#ifndef VHOST_PCI_FEATURES_H
#define VHOST_PCI_FEATURES_H

#include <stdint.h>

struct vhost_pci_port_config;

/** A feature bit as a mask, by its name in the kernel's headers without VIRTIO_. */
#define VHOST_PCI_FEATURE(name) (UINT64_C(1) << VIRTIO_##name)

/** VIRTIO features (VIRTIO 5.1.3 and 6) that a port of this configuration offers. */
uint64_t vhost_pci_features(const struct vhost_pci_port_config *config);

/** vhost-user protocol features that a port of this configuration offers. */
uint64_t vhost_pci_protocol_features(const struct vhost_pci_port_config *config);

#endif /* VHOST_PCI_FEATURES_H */
