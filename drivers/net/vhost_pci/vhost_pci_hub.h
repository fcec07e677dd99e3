/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front door that several ports share: one listener, many front-ends, a port for each.
 *
 * The hub accepts a connection and hands it to the free port with the lowest number, whose
 * control makes it its own. Where none is free a port may be made, which goes again with its
 * front-end; otherwise the connection waits for a moment, for a front-end that comes back may be
 * faster than the news of its end, and is then refused.
 *
 * Threads: a hub's own callback runs on EAL's interrupt thread, and all else on the threads of
 * the ports. A port's lock is taken before the hubs', never after it.
 */

#ifndef VHOST_PCI_HUB_H
#define VHOST_PCI_HUB_H

#include "vhost_pci_port.h"

/** Front-ends of one listener at most. */
#define VHOST_PCI_HUB_MAX_CLIENTS 256

struct vhost_pci_hub_member;

/** The door_ops; door_data is a struct vhost_pci_hub_member. */
extern const struct vhost_pci_door_ops vhost_pci_hub_ops;

/** What the ports of a listener have in common. */
struct vhost_pci_hub_config {
	const char *path;     /**< Of the socket; copied. */
	const char *name;     /**< Of the first port's device; copied. */
	const char *args;     /**< For make; copied. */
	uint16_t max_clients; /**< 2 to VHOST_PCI_HUB_MAX_CLIENTS. */
	uint16_t nb_static;   /**< Ports that stay without a front-end: those numbered below. */
	/**
	 * Make the port with this number, which joins the hub. Returns 0 or -errno. EAL's
	 * interrupt thread, without a lock.
	 */
	int (*make)(const char *name, const char *args, uint16_t index);
};

/**
 * Join the hub of a path, which is made with its first member.
 *
 * @param index	The port's number: 0 to max_clients - 1.
 * @param[out] result The port's part, freed by the free() of vhost_pci_hub_ops.
 * @return 0; -ENODEV where there is no hub and no args; -EADDRINUSE where the path is another
 *	   device's, as the log says; -EEXIST where the hub has such a member already; -EINVAL
 *	   where it has not so many; -ENOMEM.
 *
 * Any thread.
 */
int vhost_pci_hub_join(const struct vhost_pci_hub_config *config, uint16_t index,
		struct vhost_pci_hub_member **result);

/** Whether the hub of a device has a port with this number. Any thread. */
bool vhost_pci_hub_has(const char *name, uint16_t index);

#endif /* VHOST_PCI_HUB_H */
