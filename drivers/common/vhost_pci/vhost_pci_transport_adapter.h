/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The driver's end of a vhost-pci adapter (vhost_pci_adapter_spec.rst), and the transport over its
 * message rings: registers, rings, doorbells and windows, in BARs that somebody else has mapped.
 * Fds do not cross it: memory is found in a window, calls are doorbells, kicks are the eventfds
 * of interrupt vectors.
 *
 * Nothing that a BAR says is believed: offsets, sizes and states are checked before they are used
 * [ADP-15.5, ADP-15.6], and a device that is gone (registers read as all ones) is never waited for.
 *
 * All functions: control thread, or with the lock that serialises control. None of them blocks.
 */

#ifndef VHOST_PCI_TRANSPORT_ADAPTER_H
#define VHOST_PCI_TRANSPORT_ADAPTER_H

#include "vhost_pci_adapter.h"
#include "vhost_pci_transport.h"

/** BARs of a PCI function. */
#define VHOST_PCI_ADP_BARS 6

/** A BAR as it is mapped into this process. */
struct vhost_pci_adp_bar {
	uint8_t *va;    /**< NULL: absent, or not mapped. */
	uint64_t bytes; /**< That are mapped. */
};

/** What the registers say that does not change; checked. */
struct vhost_pci_adp_info {
	unsigned int nb_vrings;    /**< 1 to VHOST_PCI_ADAPTER_VRINGS_MAX. */
	unsigned int nb_vectors;   /**< 0: no interrupts. */
	uint16_t virtio_id;        /**< 0: not known. */
	uint64_t device_features;  /**< VHOST_PCI_ADAPTER_F_*. */
	uint64_t offered_features; /**< Offered to front-ends [ADP-10.1]. */
	uint64_t offered_protocol; /**< Offered to front-ends. */
	uint32_t version;          /**< Of the specification that the device follows. */
};

/** How a driver wants its adapter. */
struct vhost_pci_adp_config {
	uint64_t features;          /**< Virtio features it can do [ADP-10.3]. */
	uint64_t protocol_features; /**< vhost-user protocol features it can do. */
	unsigned int nb_vrings;     /**< Vrings it can serve; at most the device's. */
	uint16_t event_vector;      /**< VHOST_PCI_ADAPTER_NO_VECTOR: it polls. */
	const uint16_t *vector;     /**< Of each vring's kick, nb_vrings of them; NULL: none. */
	const int *kick_fd;         /**< What each vring's kick writes to; -1, NULL: nothing. */
};

/** What a driver is to do, as vhost_pci_adp_poll() finds it. */
enum vhost_pci_adp_state {
	VHOST_PCI_ADP_IDLE,      /**< Nothing: there is no front-end. */
	VHOST_PCI_ADP_CONNECTED, /**< Serve the session: there is, or can be, a transport. */
	VHOST_PCI_ADP_RETIRED,   /**< Nothing: no front-end will come [ADP-12.13]. */
	VHOST_PCI_ADP_BROKEN,    /**< End the session, then vhost_pci_adp_restart(). */
	VHOST_PCI_ADP_GONE,      /**< End all [ADP-12.11]. */
};

struct vhost_pci_adp;

/**
 * Find out whether there is an adapter behind the BARs, reset it and negotiate its features
 * [ADP-5.3, steps 2 to 7].
 *
 * @param bars	VHOST_PCI_ADP_BARS of them; they stay mapped until vhost_pci_adp_destroy().
 * @param name	For messages; copied.
 * @return 0; -ENODEV where the device is gone or is no adapter; -ENOTSUP for a version that is not
 *	   known; -EIO where it can't be reset; -EPROTO where it refuses its own features; -EINVAL
 *	   for limits and offsets that can't be; -ENOMEM. Says why in the log.
 */
int vhost_pci_adp_create(const struct vhost_pci_adp_bar *bars, const char *name,
		struct vhost_pci_adp **adp);

/**
 * Give the adapter back: a reset, by which the session stays alive for another driver [ADP-5.9].
 * Its transport is closed. Memory of windows that is still in use by others is theirs as before.
 */
void vhost_pci_adp_destroy(struct vhost_pci_adp *adp);

/** What the device is. */
const struct vhost_pci_adp_info *vhost_pci_adp_info(const struct vhost_pci_adp *adp);

/**
 * Be ready for front-ends [ADP-5.3, steps 8 to 11].
 *
 * @param config Arrays in it are not copied and stay as they are.
 * @return 0; -EINVAL for more vrings than the device has; -ENODEV where it is gone; -EIO where it
 *	   does not get ready.
 */
int vhost_pci_adp_start(struct vhost_pci_adp *adp, const struct vhost_pci_adp_config *config);

/**
 * Reset the adapter and do all of the above anew, with the same configuration. Its transport is
 * closed.
 *
 * @return As vhost_pci_adp_create() and vhost_pci_adp_start().
 */
int vhost_pci_adp_restart(struct vhost_pci_adp *adp);

/**
 * Look at the adapter: on each event, and at least every VHOST_PCI_ADAPTER_ALIVE_DRIVER_MS / 2
 * milliseconds, or more often without interrupts. Where nothing has happened that costs a few
 * reads of memory. The event_fd of the transport is made readable if it has something to receive.
 *
 * @param now_ms A clock that does not go back, in milliseconds.
 */
enum vhost_pci_adp_state vhost_pci_adp_poll(struct vhost_pci_adp *adp, uint64_t now_ms);

/**
 * Make a transport of the session that vhost_pci_adp_poll() has found. There is none yet.
 *
 * Its recv() returns 0 when the session has ended in whatever way, and -EPROTO where the rings are
 * corrupted. Its send() drops a reply to what the device has answered already [ADP-9.12]; where
 * that reply says no, it returns -ECONNABORTED.
 *
 * @return 0; -ENOTCONN where there is no session (any more); -EBUSY where it has a transport;
 *	   -EINVAL for a window outside of its BAR; -ENOMEM; -errno.
 */
int vhost_pci_adp_open(struct vhost_pci_adp *adp, struct vhost_pci_transport **transport);

/**
 * End the session whose transport was closed, if it is not over yet [ADP-9.13]. Without this call
 * it goes on, for another driver.
 */
void vhost_pci_adp_end(struct vhost_pci_adp *adp);

/**
 * Whether front-end and driver both want packets to flow [ADP-14.3]; as vhost_pci_adp_poll() has
 * found it, and always where the device knows of no peer connections.
 */
bool vhost_pci_adp_peer_on(const struct vhost_pci_adp *adp);

/**
 * Say whether the driver's side wants packets to flow [ADP-14.2], which it does at first: the
 * front-end is told, and told again when it comes anew.
 */
void vhost_pci_adp_set_local_on(struct vhost_pci_adp *adp, bool on);

/** Mappings of the windows that are in use by memory tables, or packets. Any thread. */
unsigned int vhost_pci_adp_nb_mappings(const struct vhost_pci_adp *adp);

/**
 * How fast the windows are: picoseconds for a load of 8 bytes from memory that a cache could hold.
 * Measured when a session's first memory is mapped; 0 before.
 */
unsigned int vhost_pci_adp_load_ps(const struct vhost_pci_adp *adp);

#endif /* VHOST_PCI_TRANSPORT_ADAPTER_H */
