/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the two ring formats implement for tfe_ring.c, and the pieces they share.
 */

#ifndef TFE_RING_OPS_H
#define TFE_RING_OPS_H

#include <stddef.h>

#include "tfe_ring.h"

/** A ring format. */
struct tfe_ring_ops {
	/** Bytes of the descriptor area, driver area and device area for a ring of this size. */
	void (*area_bytes)(uint32_t size, uint64_t bytes[3]);
	/** Point the ring at its areas. */
	void (*attach)(struct tfe_ring *ring);
	/** Initial indices and wrap counters. */
	void (*reset)(struct tfe_ring *ring);
	/** Write descriptors in the ring for a checked chain with room; returns its id. */
	uint16_t (*add)(struct tfe_ring *ring, const struct tfe_seg *segs, uint32_t nb_segs,
			uint16_t flags, uint32_t nb_out);
	void (*publish)(struct tfe_ring *ring);
	/** Whether the device wants a kick for what was published since the last one. */
	bool (*wants_kick)(const struct tfe_ring *ring);
	bool (*has_used)(const struct tfe_ring *ring);
	/** Read the next used entry, which is there, without taking it. */
	void (*read_used)(const struct tfe_ring *ring, uint32_t *id, uint32_t *len_bytes);
	/** How many used entries there are at most; split: exactly. */
	uint32_t (*nb_used)(const struct tfe_ring *ring);
	/** Take the chain of this id off the used position and free its descriptors. */
	void (*take)(struct tfe_ring *ring, uint16_t id);
	void (*want_calls)(struct tfe_ring *ring, bool want);
	uint32_t (*base)(const struct tfe_ring *ring);
};

extern const struct tfe_ring_ops tfe_split_ops;
extern const struct tfe_ring_ops tfe_packed_ops;

/** Append an id (split: a descriptor) to the free list, which holds nb_ids of them. */
void tfe_ring_free_id(struct tfe_ring *ring, uint16_t id, uint32_t nb_ids);

/** Direction flag of buffer number i of a chain. */
static inline uint16_t
tfe_seg_flags(uint32_t i, uint32_t nb_out)
{
	return i < nb_out ? 0 : VRING_DESC_F_WRITE;
}

/** @name Shared memory is read once and written once, so by atomics. */
/**@{*/
#define TFE_LOAD(p)             __atomic_load_n((p), __ATOMIC_RELAXED)
#define TFE_LOAD_ACQUIRE(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define TFE_STORE(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define TFE_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
/**@}*/

#endif /* TFE_RING_OPS_H */
