/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the parts of the adapter's transport share: the driver's end of an adapter, its registers,
 * and its session. Nobody else includes this.
 */

#ifndef VHOST_PCI_TRANSPORT_ADAPTER_PRIV_H
#define VHOST_PCI_TRANSPORT_ADAPTER_PRIV_H

#include "vhost_pci_barrier.h"
#include "vhost_pci_msgring.h"
#include "vhost_pci_transport_adapter.h"

/** A session with a front-end, over the message rings. */
struct adp_transport {
	struct vhost_pci_transport base;
	struct vhost_pci_adp *adp;
	uint64_t conn_id;
	bool answered; /**< The message received last was answered by the device. */
	bool taken;    /**< Frames were taken that the device was not told of. */
};

/** The session's back-end channel, over the same rings. */
struct adp_channel {
	struct vhost_pci_transport base;
	struct vhost_pci_adp *adp; /**< NULL: it is over. */
	bool has_reply;
	struct vhost_pci_msg reply;
};

/** A window, as it was when the session began; checked against its BAR. */
struct adp_window {
	unsigned int bar;
	uint64_t bar_off;
	uint64_t bytes; /**< 0: absent. */
	bool may_shrink;
};

/** The driver's end of an adapter. */
struct vhost_pci_adp {
	struct vhost_pci_adp_bar bar[VHOST_PCI_ADP_BARS];
	struct vhost_pci_adp_info info;
	struct vhost_pci_adp_config config;
	char name[64];
	uint32_t refcnt;      /**< Atomic: of the owner, and of each mapping. */
	uint32_t nb_mappings; /**< Atomic. */

	/* In BAR0. */
	struct vhost_pci_adapter_regs *regs;
	struct vhost_pci_adapter_vring_regs *vring_regs;
	struct vhost_pci_adapter_doorbells *doorbells;
	struct vhost_pci_adapter_counters *counters;
	struct vhost_pci_adapter_vring_state *vring_state;
	struct vhost_pci_msgring f2b;
	struct vhost_pci_msgring b2f;

	/* What was seen last. */
	enum vhost_pci_adp_state state;
	uint32_t conn_state;
	uint64_t conn_id;
	uint32_t peer;     /**< Enum vhost_pci_adapter_peer. */
	bool local_off;    /**< The driver's side of that; it outlives a reset. */
	uint64_t ended_id; /**< The session that was ended here; 0: none. */
	uint32_t event_seq;
	uint32_t alive;
	uint64_t alive_ms; /**< When it was seen to change. */
	bool look;         /**< Look at the registers whatever the event counter says. */

	/* The session. */
	struct adp_transport *transport; /**< NULL: closed. */
	struct adp_channel *channel;     /**< NULL: none. */
	struct adp_window window[VHOST_PCI_ADAPTER_WINDOW_IDX_LOG + 1];
	bool has_pending; /**< A reply waits for room on the ring. */
	struct vhost_pci_msg pending;
	unsigned int load_ps;
};

/* Registers: aligned accesses of 4 bytes [ADP-3.1], in program order */

/** Read a register. */
static inline uint32_t
adp_reg_read(const uint32_t *reg)
{
	return vhost_pci_load_acquire((const volatile uint32_t *)reg);
}

/** Write a register. */
static inline void
adp_reg_write(uint32_t *reg, uint32_t value)
{
	vhost_pci_store_release((volatile uint32_t *)reg, value);
}

/** Read a register of 64 bits, which are two. */
static inline uint64_t
adp_reg_read64(const uint32_t *reg_lo)
{
	return adp_reg_read(reg_lo) | (uint64_t)adp_reg_read(reg_lo + 1) << 32;
}

/** Write a register of 64 bits, which are two. */
static inline void
adp_reg_write64(uint32_t *reg_lo, uint64_t value)
{
	adp_reg_write(reg_lo, (uint32_t)value);
	adp_reg_write(reg_lo + 1, (uint32_t)(value >> 32));
}

/** Set the state, and say why where that is news. Returns the state. */
enum vhost_pci_adp_state adp_set_state(struct vhost_pci_adp *adp, enum vhost_pci_adp_state state,
		const char *why);

/** Tell the device that frames were put, or taken [ADP-8.7]. */
void adp_notify_device(struct vhost_pci_adp *adp);

/** Make the back-end channel; as the open_channel of struct vhost_pci_transport_ops. */
int adp_channel_open(struct vhost_pci_adp *adp, struct vhost_pci_transport **transport);

/** A reply of the front-end has come for the channel; one that nobody waits for is dropped. */
void adp_channel_reply(struct vhost_pci_adp *adp, const struct vhost_pci_msg *msg);

/** The session is over, and its channel with it, which is its owner's to close. */
void adp_channel_end(struct vhost_pci_adp *adp);

/** Drop a reference: the owner's, or a mapping's. Any thread. */
void adp_put(struct vhost_pci_adp *adp);

/** Whether the session of a transport is not the one any more that the adapter is in. */
bool adp_is_over(const struct adp_transport *transport);

/** Make the transport's event_fd readable. */
void adp_wake(const struct adp_transport *transport);

#endif /* VHOST_PCI_TRANSPORT_ADAPTER_PRIV_H */
