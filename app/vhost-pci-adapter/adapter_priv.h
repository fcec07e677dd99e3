/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the parts of an adapter share: adapter.c (life, BARs), adapter_regs.c (registers and
 * doorbells), adapter_conn.c (connection state and events), adapter_relay.c (messages).
 * Clauses in brackets are those of vhost_pci_adapter_spec.rst.
 */

#ifndef ADAPTER_PRIV_H
#define ADAPTER_PRIV_H

#include <glib.h>
#include <linux/vhost_types.h>

#include "adapter.h"
#include "vhost_pci_msgring.h"

/** Period of ALIVE and of merging the log [ADP-11.14, ADP-12.10]. */
#define ADAPTER_TICK_MS 100u

/** A vring, as far as it is the device's matter. */
struct adapter_vring {
	struct vhost_pci_adapter_vring_regs regs;
	struct adapter *adapter;
	int kick_fd;         /**< the record's, while it is watched; -1 else */
	GSource *watch_kick; /**< only while a vector is assigned */
};

struct adapter {
	struct adapter_config config;
	char *name; /**< what the configuration points to */
	char *path;
	const struct adapter_ops *ops;
	void *opaque;
	struct adapter_stats stats;

	/* the device in machine 2 */
	struct vfu_device *vfu;
	struct vfu_pci pci;
	unsigned int irq_type; /**< VFIO_PCI_*_IRQ_INDEX */
	struct vhost_pci_adapter_regs regs;
	struct adapter_vring vrings[VHOST_PCI_ADAPTER_VRINGS_MAX];
	bool is_resetting;

	/* BAR0: a file of our own, mapped from its beginning */
	int bar0_fd;
	uint64_t bar0_bytes;
	uint8_t *bar0;
	struct vhost_pci_adapter_shared *shared;
	uint64_t *log; /**< the log window, or NULL */
	size_t log_words;
	uint32_t event_seq;
	uint32_t alive;
	GSource *tick;

	/* BAR2 and BAR4 */
	struct window window;

	/* the front-end */
	struct frontend *frontend; /**< linked */
	bool is_shown;             /**< the state speaks of it */
	bool is_ending;            /**< its session is over, frontend_closed() on its way */
	bool is_retiring;
	uint64_t served_id;  /**< session that the driver had; 0: none since its reset */
	uint32_t told_local; /**< the driver's side of the peer connection, as it was told */

	/* the relay */
	struct vhost_pci_msgring f2b;
	struct vhost_pci_msgring b2f;
	bool is_replaying;
	struct record_cursor cursor;
	bool has_held; /**< a message waits for room on the ring */
	int64_t held_since;
	uint16_t held_flags;
	struct vhost_pci_msg held;
	bool has_next; /**< another one waits behind it, which has ended the back-end channel */
	uint16_t next_flags;
	struct vhost_pci_msg next;
	uint32_t channel_request; /**< that waits for the front-end's reply; 0: none */
	bool has_channel_reply;   /**< which waits for room on the ring */
	uint64_t channel_reply;
	GSource *resume; /**< more frames are to be taken from the ring */
};

/** @name adapter_regs.c */
/**@{*/
void adapter_regs_init(struct adapter *adapter);
/** Registers to their values at reset [ADP-5.7]. */
void adapter_regs_reset(struct adapter *adapter);
void adapter_regs_read(struct adapter *adapter, uint64_t offset, void *data, size_t count);
void adapter_regs_write(struct adapter *adapter, uint64_t offset, const void *data, size_t count);
/**@}*/

/** @name adapter_conn.c */
/**@{*/
/** A reset, whatever asked for it [section 5.3]. */
void adapter_reset(struct adapter *adapter);
/** Something has changed that the driver is to look at [ADP-6.5]. */
void adapter_event(struct adapter *adapter);
/** Bring connection state and relay to where front-end and driver are. */
void adapter_update(struct adapter *adapter);
/** The driver has written DRIVER_READY. */
void adapter_driver_ready(struct adapter *adapter);
/** The driver has written LOCAL_CONNECTION, to another value [ADP-14.2]. */
void adapter_local_changed(struct adapter *adapter);
/** The front-end has sent SET_PEER_CONNECTION; as the peer_said of struct frontend_ops. */
int adapter_peer_said(struct adapter *adapter);
/** The driver has written RELEASE or CLOSE [section 12.2]. */
void adapter_control(struct adapter *adapter, uint32_t value);
/** A ring is corrupted: only a reset ends that [ADP-8.12]. */
void adapter_needs_reset(struct adapter *adapter);
/** The driver has given up, or must be reset: it serves nothing any more [T9]. */
void adapter_driver_gone(struct adapter *adapter);
/** Connect or disconnect the events of a vring. */
void adapter_connect_vring(struct adapter *adapter, unsigned int index);
/** Merge the log window into the front-end's log [ADP-11.14]. */
void adapter_merge_log(struct adapter *adapter);
/** Unlink the front-end: its memory is in none of the windows [ADP-11.5]. */
void adapter_move_frontend(struct adapter *adapter);
/** Unlink the front-end, whose connection is over. @return It. */
struct frontend *adapter_unlink(struct adapter *adapter);
/** End the session; the reason goes into the log. */
void adapter_end_session(struct adapter *adapter, const char *reason);
/**@}*/

/** @name adapter_relay.c */
/**@{*/
/** Set both rings up anew [ADP-5.7]. */
void adapter_rings_reset(struct adapter *adapter);
/** Begin to replay; @return false where a vring's base is not known [ADP-13.3]. */
bool adapter_replay_begin(struct adapter *adapter);
/** Nothing more is relayed of this session. */
void adapter_relay_stop(struct adapter *adapter);
/** Put a message on the ring, or keep it until there is room. */
enum frontend_relayed adapter_relay(struct adapter *adapter, const struct vhost_pci_msg *msg,
		bool is_answered);
/** A reply on the back-end channel; as the channel_replied of struct frontend_ops. */
int adapter_channel_replied(struct adapter *adapter, uint32_t request, uint64_t value);
/** The rings have changed: doorbell MSG_NOTIFY. */
void adapter_msg_notify(struct adapter *adapter);
/** End the session if the driver owes a reply, or room, for too long [ADP-9.16]. */
void adapter_check_deadline(struct adapter *adapter);
/**@}*/

/** Whether the driver is ready and has not given up. */
static inline bool
adapter_is_ready(const struct adapter *adapter)
{
	const uint32_t status = adapter->regs.device_status;

	return (status & VHOST_PCI_ADAPTER_STATUS_DRIVER_READY) &&
			!(status &
					(VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET |
							VHOST_PCI_ADAPTER_STATUS_FAILED));
}

/** Whether the driver logs what it writes [ADP-10.6]. */
static inline bool
adapter_driver_logs(const struct adapter *adapter)
{
	return (adapter->regs.driver_features_lo & VHOST_PCI_ADAPTER_F_LOG) &&
			(adapter->regs.driver_cap_features_lo >> VHOST_F_LOG_ALL & 1);
}

/** Two registers as one number. */
static inline uint64_t
adapter_u64(uint32_t lo, uint32_t hi)
{
	return (uint64_t)hi << 32 | lo;
}

#endif /* ADAPTER_PRIV_H */
