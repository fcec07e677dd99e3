/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Many plain chains at a time. A chain is plain where it is one descriptor, not indirect, of the
 * wanted direction, not empty, and within the region that the queue used last: what nearly all
 * packets are. A taker looks ahead in the ring as far as chains are plain, and stops before the
 * first one that is not; it names no errors, for what is wrong is never plain. (A split ring's
 * available index is the exception: it is checked where it is loaded.) That one is then
 * vhost_pci_ring_next()'s, which knows every form and names every error.
 *
 * A taker moves nothing: the caller says with vhost_pci_batch_commit() how many chains it has
 * used. Each descriptor is loaded once into the batch, checked there, and not read again.
 *
 * There are takers for instruction sets (enum vhost_pci_isa), equal in what they take; the caller
 * has one chosen once, and pays an indirect call per batch. Never with VHOST_PCI_RING_TRACKED.
 *
 * All functions, unless they say otherwise: the thread that polls the queue, inside the gate.
 */

#ifndef VHOST_PCI_BATCH_H
#define VHOST_PCI_BATCH_H

#include "vhost_pci_ring.h"

/** Chains that are taken together at most. */
#define VHOST_PCI_BATCH 32

/** Instruction sets that a taker can be made for, the plainest first. */
enum vhost_pci_isa {
	VHOST_PCI_ISA_SCALAR,
	VHOST_PCI_ISA_AVX2,   /**< 256 bits. */
	VHOST_PCI_ISA_AVX512, /**< 512 bits: F, BW and VL. */
	VHOST_PCI_ISA_MAX,
};

/** Plain chains, in the ring's order. */
struct vhost_pci_batch {
	VHOST_PCI_CACHE_ALIGNED uint8_t *va[VHOST_PCI_BATCH]; /**< Peer memory, untrusted. */
	uint32_t len[VHOST_PCI_BATCH];                        /**< Bytes at va, at least 1. */
	uint16_t id[VHOST_PCI_BATCH];                         /**< As in struct vhost_pci_chain. */
	bool is_last; /**< Fewer than wanted, and nothing available behind them. */
};

/**
 * Look for plain chains from the next available one on.
 *
 * @param[out] batch The chains.
 * @param max	1 to VHOST_PCI_BATCH.
 * @return Their number, 0 to @p max, and not above the queue size whatever the peer does. Less
 *	   where fewer are available, as batch->is_last says and a single load finds of an idle
 *	   ring, or the next one is not plain.
 */
typedef unsigned int (*vhost_pci_take_fn_t)(struct vhost_pci_vring *vr,
		struct vhost_pci_batch *batch, unsigned int max);

/** Name of an instruction set, as DPDK's drivers have it: "Scalar", "Vector AVX2". */
const char *vhost_pci_isa_name(enum vhost_pci_isa isa);

/** Whether this processor has an instruction set, and this build code for it. Any thread. */
bool vhost_pci_isa_supported(enum vhost_pci_isa isa);

/**
 * The taker for a kind of ring and a direction.
 *
 * @param kind	VHOST_PCI_RING_SPLIT or VHOST_PCI_RING_PACKED.
 * @param[in,out] isa The instruction set wanted, which is supported; set to that of the taker: a
 *		split ring's descriptors lie apart, and no set but the scalar one pays.
 *
 * Any thread.
 */
vhost_pci_take_fn_t vhost_pci_batch_taker(unsigned int kind, enum vhost_pci_dir dir,
		enum vhost_pci_isa *isa);

/** Move on behind chains that a taker has found. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_batch_commit(struct vhost_pci_vring *vr, unsigned int nb, const unsigned int kind)
{
	if ((kind & VHOST_PCI_RING_PACKED) != 0)
		vhost_pci_packed_advance(vr, &vr->avail_idx, &vr->avail_wrap, (uint16_t)nb);
	else
		vr->avail_idx = (uint16_t)(vr->avail_idx + nb);
}

/** A used entry of a split ring; entries are aligned to their words only (VIRTIO 2.7). */
typedef uint64_t __attribute__((__may_alias__, aligned(4))) vhost_pci_used_word;

/** See vhost_pci_batch_put(). What changes is held in registers meanwhile. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_split_put_batch(struct vhost_pci_vring *vr, const struct vhost_pci_batch *batch,
		const uint32_t *lens, unsigned int nb)
{
	struct vring_used_elem *ring = vr->split.used->ring;
	const uint32_t mask = vr->size - 1u;
	uint32_t used_idx = vr->used_idx;
	unsigned int i;

	/* Nobody reads the entries before the index says so: no matter how they are stored. */
	for (i = 0; i < nb; i++)
		*(vhost_pci_used_word *)(void *)&ring[used_idx++ & mask] = batch->id[i] |
				(uint64_t)(lens != NULL ? lens[i] : 0) << 32;
	vr->used_idx = (uint16_t)used_idx;
	vr->nb_unflushed = (uint16_t)(vr->nb_unflushed + nb);
}

/** See vhost_pci_batch_put(). What changes is held in registers meanwhile. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_packed_put_batch(struct vhost_pci_vring *vr, const struct vhost_pci_batch *batch,
		const uint32_t *lens, unsigned int nb)
{
	struct vring_packed_desc *ring = vr->packed.desc;
	const uint32_t size = vr->size;
	uint32_t slot;
	uint16_t used;
	unsigned int i;

	if (nb == 0)
		return;
	/* The one that is published last, if no other is waiting yet. */
	vhost_pci_packed_put_id(vr, batch->id[0], lens != NULL ? lens[0] : 0, 1);
	slot = vr->used_idx;
	used = vhost_pci_packed_used_flags(vr->used_wrap);
	for (i = 1; i < nb; i++) {
		uint32_t len = lens != NULL ? lens[i] : 0;
		uint16_t flags = len != 0 ? used | VRING_DESC_F_WRITE : used;

		vhost_pci_store_relaxed((vhost_pci_word64 *)(void *)&ring[slot].len,
				len | (uint64_t)batch->id[i] << 32 | (uint64_t)flags << 48);
		if (vhost_pci_unlikely(++slot == size)) {
			slot = 0;
			used ^= VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED;
		}
	}
	vr->used_idx = (uint16_t)slot;
	vr->used_wrap = used != 0;
	vr->nb_unflushed = (uint16_t)(vr->nb_unflushed + nb - 1);
}

/**
 * Return the first chains of a batch to the driver, as vhost_pci_ring_put() does.
 *
 * @param lens	Bytes written to each; NULL (a constant): none, after a dequeue.
 */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_batch_put(struct vhost_pci_vring *vr, const struct vhost_pci_batch *batch,
		const uint32_t *lens, unsigned int nb, const unsigned int kind)
{
	if ((kind & VHOST_PCI_RING_PACKED) != 0)
		vhost_pci_packed_put_batch(vr, batch, lens, nb);
	else
		vhost_pci_split_put_batch(vr, batch, lens, nb);
}

/**
 * Return chains to a driver that negotiated VIRTIO_F_IN_ORDER, by one entry for all of them: all
 * that were taken since the last one returned, in the ring's order, none of which was written to
 * (VIRTIO 2.7.9, 2.8.8: those skipped count as used completely, which is a length).
 *
 * @param id	Of the last one.
 * @param nb	How many they are, with one slot each; at least 1.
 */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_batch_put_in_order(struct vhost_pci_vring *vr, uint16_t id, unsigned int nb,
		const unsigned int kind)
{
	struct vring_used_elem *elem;

	if ((kind & VHOST_PCI_RING_PACKED) != 0) {
		vhost_pci_packed_put_id(vr, id, 0, (uint16_t)nb);
		return;
	}
	/* The entry stands in the place of the first one; the index counts them all. */
	elem = &vr->split.used->ring[vr->used_idx & (vr->size - 1)];
	vhost_pci_store_relaxed(&elem->id, id);
	vhost_pci_store_relaxed(&elem->len, 0);
	vr->used_idx = (uint16_t)(vr->used_idx + nb);
	vr->nb_unflushed = (uint16_t)(vr->nb_unflushed + nb);
}

#endif /* VHOST_PCI_BATCH_H */
