/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * An adapter: the device of vhost_pci_adapter_spec.rst over vfio-user, and the relay between its
 * driver and one front-end at a time.
 *
 * All functions: the thread of the main loop.
 */

#ifndef ADAPTER_H
#define ADAPTER_H

#include "frontend.h"
#include "vfu_device.h"
#include "vfu_pci.h"

struct adapter;

/** What an adapter shall be; copied. */
struct adapter_config {
	const char *name;           /**< for messages, and the id of the device in machine 2 */
	const char *path;           /**< of its vfio-user socket */
	uint16_t virtio_id;         /**< device type; 0: not known */
	uint64_t features;          /**< offered to front-ends */
	uint64_t protocol_features; /**< offered to front-ends */
	unsigned int nb_vrings;     /**< 1 to VHOST_PCI_ADAPTER_VRINGS_MAX */
	enum vfu_pci_irq irq;
	bool dialect;          /**< front-ends may turn the peer connection off [section 14] */
	bool is_static;        /**< memory was known before a front-end [F_STATIC] */
	uint64_t gpa_end;      /**< guest-physical addresses the log shall cover; 0: no log */
	unsigned int reply_ms; /**< limit for a reply of the driver; 0: the default, 5000 */
};

/** What an adapter tells its owner, who may destroy it in none of these. */
struct adapter_ops {
	/** The session is over: the front-end is unlinked, the owner destroys it. */
	void (*frontend_closed)(void *opaque, struct frontend *frontend, const char *reason);
	/**
	 * The front-end has sent memory that is not in this adapter's windows [ADP-11.5]: it is
	 * unlinked, lives on, and needs another adapter.
	 */
	void (*frontend_moved)(void *opaque, struct frontend *frontend);
	/** State, client or capabilities have changed; adapter_state() and so on tell to what. */
	void (*changed)(void *opaque);
};

/** What an adapter counts. */
struct adapter_stats {
	uint64_t sessions;       /**< front-ends linked */
	uint64_t frames_out;     /**< put on the front-end-to-back-end ring */
	uint64_t frames_in;      /**< taken from the back-end-to-front-end ring */
	uint64_t frames_dropped; /**< of another session, or of a kind that is not relayed */
	uint64_t kicks;          /**< of the front-end that raised a vector */
	uint64_t calls;          /**< doorbells that reached the front-end */
	uint64_t doorbells;      /**< all that were rung */
	uint64_t doorbells_bad;  /**< with nothing behind them */
	uint64_t bad_accesses;   /**< not aligned, or not of 4 bytes */
	uint64_t resets;
	uint64_t needs_resets; /**< rings found corrupted */
	uint64_t log_merges;   /**< that found a bit */
	uint64_t timeouts;     /**< sessions ended for want of a reply */
};

/**
 * Create an adapter and listen for its machine.
 *
 * @param window The files behind the BARs; copied, with fds of the adapter's own.
 * @return 0 or -errno.
 */
int adapter_create(const struct adapter_config *config, const struct window *window,
		const struct adapter_ops *ops, void *opaque, struct adapter **adapter);

/** Destroy; no front-end is linked any more. Harmless on NULL. */
void adapter_destroy(struct adapter *adapter);

/** Whether all memory of a front-end is in the adapter's windows. */
bool adapter_fits(const struct adapter *adapter, const struct record *record);

/**
 * Link a front-end, whose owner is the adapter from now on. Only where adapter_frontend() is NULL
 * and the adapter is not retired.
 */
void adapter_link(struct adapter *adapter, struct frontend *frontend);

/** The front-end that is linked, shown to the driver or not yet; NULL if there is none. */
struct frontend *adapter_frontend(const struct adapter *adapter);

/** No session will come any more [T11]: the adapter is RETIRED as soon as the driver let go. */
void adapter_retire(struct adapter *adapter);

/** Whether adapter_retire() was called. */
bool adapter_is_retired(const struct adapter *adapter);

/** The state that the driver sees: enum vhost_pci_adapter_conn. */
uint32_t adapter_state(const struct adapter *adapter);

/** What such a state is called. */
const char *adapter_state_name(uint32_t state);

/** Whether a machine is connected. */
bool adapter_is_attached(const struct adapter *adapter);

/** Whether a driver is ready, and then what it can do of what is offered, LOG_ALL included. */
bool adapter_driver_caps(const struct adapter *adapter, uint64_t *features,
		uint64_t *protocol_features, unsigned int *nb_vrings);

/** Name, socket, and so on. */
const struct adapter_config *adapter_config(const struct adapter *adapter);

/** The windows. */
const struct window *adapter_window(const struct adapter *adapter);

/** Counters. */
const struct adapter_stats *adapter_stats(const struct adapter *adapter);

/** Counters of the vfio-user side. */
const struct vfu_device_stats *adapter_vfu_stats(const struct adapter *adapter);

#endif /* ADAPTER_H */
