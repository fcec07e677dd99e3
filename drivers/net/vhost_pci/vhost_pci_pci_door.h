/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front door that is a vhost-pci adapter: connections are the sessions that its device relays,
 * events come by interrupts or are polled for.
 */

#ifndef VHOST_PCI_PCI_DOOR_H
#define VHOST_PCI_PCI_DOOR_H

#include "vhost_pci_port.h"
#include "vhost_pci_transport_adapter.h"

struct vhost_pci_pci_door;

/** The door_ops; door_data is a struct vhost_pci_pci_door. */
extern const struct vhost_pci_door_ops vhost_pci_pci_door_ops;

/** A door's interrupts. */
enum vhost_pci_pci_intr {
	VHOST_PCI_PCI_INTR_NONE,   /**< The adapter is polled. */
	VHOST_PCI_PCI_INTR_SHARED, /**< One vector for all. */
	VHOST_PCI_PCI_INTR_VECTOR, /**< One vector for events, and one for each Rx queue. */
};

/** What a door is made of. */
struct vhost_pci_pci_parts {
	const char *name; /**< Of the port, for messages; copied. */
	struct vhost_pci_adp *adp;
	struct rte_intr_handle *intr_handle; /**< The device's, not enabled. */
	bool has_intr;                       /**< The device has interrupts of the handle's type. */
};

/**
 * Prepare a door; the device is not made ready yet.
 *
 * @param parts The adapter in it is the door's, also where this fails.
 * @param config Of the port; says how many queue pairs there are.
 * @param[out] door Freed by vhost_pci_pci_door_free().
 * @return 0 or -errno. Says why in the log.
 */
int vhost_pci_pci_door_create(const struct vhost_pci_pci_parts *parts,
		const struct vhost_pci_port_config *config, struct vhost_pci_pci_door **door);

/** Hand over a mapping that the door shall unmap at its end. */
void vhost_pci_pci_door_own(struct vhost_pci_pci_door *door, void *va, size_t bytes);

/** The free() of vhost_pci_pci_door_ops, also for a door that no port was made with. */
void vhost_pci_pci_door_free(void *door);

/**
 * Before a device's BARs are unmapped: end what its closed port has left behind for packets that
 * were still in use, and wait a second for these.
 *
 * @param name	Of the device.
 * @return 0: nothing is in use; -EBUSY: the BARs must stay mapped, call it again later.
 *
 * Application thread, after the port was closed.
 */
int vhost_pci_pci_door_reap(const char *name);

#endif /* VHOST_PCI_PCI_DOOR_H */
