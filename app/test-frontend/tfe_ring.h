/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The driver's side of a virtqueue, split or packed.
 *
 * There are two levels. tfe_ring_add() and its companions are a correct driver: they keep track of
 * descriptors and refuse what the device must not do. Below them every descriptor, index and flag
 * can be written as the test likes, with the tfe_split_*() and tfe_packed_*() calls or through the
 * pointers in struct tfe_ring; what the correct level believes is then up to the caller.
 *
 * A ring belongs to one thread at a time.
 */

#ifndef TFE_RING_H
#define TFE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "tfe_mem.h"

/** The largest queue size the virtio specification has. */
#define TFE_RING_SIZE_MAX 32768

/** @name Indirect tables: this many descriptors each, or what the ring's budget has room for. */
/**@{*/
#define TFE_RING_TABLE_DESCS 160
#define TFE_RING_TABLE_BYTES (UINT32_C(4) << 20)
/**@}*/

/** What a ring shall be. */
struct tfe_ring_conf {
	uint32_t index;       /**< vring index in messages */
	uint32_t size;        /**< descriptors; a power of two for a split ring */
	uint64_t features;    /**< negotiated: RING_PACKED, EVENT_IDX, IN_ORDER, INDIRECT_DESC */
	unsigned int region;  /**< memory region to put the ring and its indirect tables into */
	bool polling;         /**< no call eventfd: the "no fd" bit is sent */
	uint32_t table_descs; /**< room in an indirect table; 0: as TFE_RING_TABLE_* have it */
};

/** One buffer of a chain, as the device sees it. */
struct tfe_seg {
	uint64_t gpa;
	uint32_t len_bytes;
};

/** A chain: first nb_out device-readable buffers, then nb_in device-writable ones. */
struct tfe_chain {
	const struct tfe_seg *segs; /**< nb_out + nb_in of them */
	uint16_t nb_out;
	uint16_t nb_in;
	bool indirect; /**< one descriptor in the ring that points to a table with all of them */
	void *cookie;  /**< given back by tfe_ring_get_used() */
};

/** A used chain. */
struct tfe_used {
	void *cookie;
	uint16_t id;        /**< buffer id: the head descriptor's slot of a split ring */
	uint32_t len_bytes; /**< bytes the device says it has written */
};

/** The driver's own record of a chain on its way. */
struct tfe_ring_token {
	void *cookie;
	uint64_t in_bytes; /**< device-writable bytes, the limit for the used length */
	uint16_t nb_descs; /**< descriptors it takes in the ring */
	uint16_t next;     /**< next free id; split: next descriptor, free or of the chain */
	bool busy;
};

/** A ring; shared memory through the pointers, the driver's private state below them. */
struct tfe_ring {
	uint32_t index;
	uint32_t size;
	uint64_t features;
	bool packed;
	bool event_idx;
	bool in_order;

	/* Shared memory; which of the two groups is valid is told by "packed". */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_event;
	struct vring_packed_desc_event *device_event;
	struct tfe_buf desc_buf;   /**< descriptor table, or packed descriptor ring */
	struct tfe_buf driver_buf; /**< available ring, or driver event suppression */
	struct tfe_buf device_buf; /**< used ring, or device event suppression */
	struct tfe_buf table_buf;  /**< indirect tables, table_descs for each id */
	uint32_t table_descs;

	/* Notifications; -1 where there is none. */
	int kick_fd;
	int call_fd;
	int err_fd;

	/* The driver's private state. */
	struct tfe_ring_token *tokens; /**< one per id; split: per descriptor */
	uint16_t *order;         /**< in order: ids outstanding, as a ring buffer of size entries */
	uint32_t order_idx;      /**< free-running: the oldest of them */
	uint32_t nb_free;        /**< free descriptors */
	uint32_t nb_outstanding; /**< chains made available and not yet used */
	uint16_t free_head;      /**< first free id; split: descriptor. First in, first out */
	uint16_t free_tail;      /**< last free id */
	uint16_t avail_idx;      /**< split: free-running; packed: next slot to write */
	uint16_t used_idx;       /**< split: free-running; packed: next slot to look at */
	bool avail_wrap;         /**< packed: driver ring wrap counter */
	bool used_wrap;          /**< packed: device ring wrap counter */
	uint16_t held_slot;      /**< packed: first descriptor not yet published */
	uint16_t held_flags;     /**< packed: the flags it is to get */
	uint32_t nb_held; /**< added and not yet published; split: chains, packed: descriptors */
	uint32_t nb_unnotified; /**< published since the last tfe_ring_notify(), in the same unit */
	uint32_t batch_left;    /**< in order: chains of a batch still to report */
	uint32_t batch_len_bytes; /**< in order: used length of the batch's last chain */
	uint32_t base; /**< value for SET_VRING_BASE: the start, or where the device stopped */

	/* Counters. */
	uint64_t nb_kicks; /**< kicks written */
	uint64_t nb_calls; /**< call events read */
	const char *error; /**< what the device did wrong, after -EPROTO; or NULL */
};

/** Allocate a ring's memory and its eventfds, and reset it. @return 0, -ENOMEM, -EINVAL. */
int tfe_ring_init(struct tfe_ring *ring, struct tfe_mem *mem, const struct tfe_ring_conf *conf);

/** Forget all chains, clear the shared memory, indices and wrap counters as at the start. */
void tfe_ring_reset(struct tfe_ring *ring);

/** Close the eventfds and free private state; shared memory goes with tfe_mem. */
void tfe_ring_fini(struct tfe_ring *ring);

/** Send NUM, BASE, ADDR, CALL, KICK for this ring, in this order: the ring starts. */
int tfe_ring_send_setup(struct tfe_ring *ring, struct tfe_conn *conn);

/** The value for SET_VRING_BASE that fits the ring's state once all used chains were taken. */
uint32_t tfe_ring_base(const struct tfe_ring *ring);

/**
 * Make a chain available; the device can see it only after tfe_ring_publish().
 *
 * @return the chain's id (0 .. size - 1), or -ENOSPC, -EINVAL for a chain without buffers or an
 *         indirect one of more than table_descs buffers, -ENOTSUP for an indirect one that was not
 *         negotiated.
 */
int tfe_ring_add(struct tfe_ring *ring, const struct tfe_chain *chain);

/** Let the device see all that was added; no notification is sent. */
void tfe_ring_publish(struct tfe_ring *ring);

/** Kick if the device wants it, with regard to what was published since the last call. */
int tfe_ring_notify(struct tfe_ring *ring);

/** Kick in any case. */
int tfe_ring_kick(struct tfe_ring *ring);

/**
 * Take the next used chain.
 *
 * @return 1 and *used; 0 when there is none; -EPROTO when the device broke the rules: an id that
 *         is not outstanding, a length beyond the writable bytes, an impossible index. The reason
 *         is in ring->error.
 */
int tfe_ring_get_used(struct tfe_ring *ring, struct tfe_used *used);

/** Whether a used chain is waiting. */
bool tfe_ring_has_used(const struct tfe_ring *ring);

/** Ask the device for calls (or tell it that none are wanted). */
void tfe_ring_want_calls(struct tfe_ring *ring, bool want);

/**
 * Wait for a used chain; calls are asked for and the eventfd is waited on, without a polling loop.
 *
 * A ring without call eventfd is polled. @return 1 when there is one, 0 on time-out, -errno.
 */
int tfe_ring_wait_used(struct tfe_ring *ring, int timeout_ms);

/** @name The raw level, split. Slots are not masked or checked beyond the ring's own memory. */
/**@{*/
void tfe_split_put_desc(struct tfe_ring *ring, uint16_t slot, const struct vring_desc *desc);
/** Write the next available entry (any head, also an illegal one) without moving the index. */
void tfe_split_put_avail(struct tfe_ring *ring, uint16_t head);
/** Write avail->idx, with release order. */
void tfe_split_set_avail_idx(struct tfe_ring *ring, uint16_t avail_idx);
/**@}*/

/** @name The raw level, packed. */
/**@{*/
/** AVAIL and USED bits that make a descriptor available at the driver's present wrap counter. */
uint16_t tfe_packed_avail_bits(const struct tfe_ring *ring);
/** Write a descriptor, its flags last and with release order, exactly as given. */
void tfe_packed_put_desc(struct tfe_ring *ring, uint16_t slot,
		const struct vring_packed_desc *desc);
/**@}*/

#endif /* TFE_RING_H */
