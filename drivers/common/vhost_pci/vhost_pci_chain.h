/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Descriptor chains, common to both ring formats: one checked, local picture of what a peer
 * offered. Every descriptor is loaded once, checked, and only its local copy is used.
 */

#ifndef VHOST_PCI_CHAIN_H
#define VHOST_PCI_CHAIN_H

#include <errno.h>

#include "vhost_pci_vring.h"

/** A chain that was taken from a ring and not yet returned. */
struct vhost_pci_chain {
	uint32_t seg_idx;  /**< Its first segment in the vring's segs. */
	uint32_t nb_segs;  /**< Its segments; may be 0 where all buffers are empty. */
	uint32_t len;      /**< Sum of its segments, in bytes. */
	uint16_t id;       /**< Split: head slot. Packed: buffer id. What the used entry carries. */
	uint16_t nb_slots; /**< Packed: ring slots that the chain occupies. Split: 1. */
};

/** A descriptor as loaded: the same for rings and indirect tables of both formats. */
struct vhost_pci_desc {
	uint64_t gpa;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /**< Split: next field. Packed: buffer id. */
};

_Static_assert(sizeof(struct vring_desc) == 16, "VIRTIO 2.7.5");
_Static_assert(sizeof(struct vring_packed_desc) == 16, "VIRTIO 2.8.13");

/** Load a split descriptor, each half once. VIRTIO 2.7.5: addr, then len, flags, next. */
static inline struct vhost_pci_desc
vhost_pci_desc_load_split(const struct vring_desc *desc)
{
	const vhost_pci_word64 *half = (const vhost_pci_word64 *)(const void *)desc;
	uint64_t rest = vhost_pci_load_relaxed(&half[1]);

	return (struct vhost_pci_desc){
		.gpa = vhost_pci_load_relaxed(&half[0]),
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48),
	};
}

/**
 * Load a packed descriptor, each half once. VIRTIO 2.8.13: addr, then len, id, flags.
 *
 * The half with the flags is loaded first, with acquire: where they say "available", the other
 * fields are those that the driver wrote before. Partner: the driver's release of the flags.
 */
static inline struct vhost_pci_desc
vhost_pci_desc_load_packed(const struct vring_packed_desc *desc)
{
	const vhost_pci_word64 *half = (const vhost_pci_word64 *)(const void *)desc;
	uint64_t rest = vhost_pci_load_acquire(&half[1]);

	return (struct vhost_pci_desc){
		.gpa = vhost_pci_load_relaxed(&half[0]),
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 48),
		.next = (uint16_t)(rest >> 32),
	};
}

/**
 * Add a buffer that is not contiguous, or not in the cached region; see the inline part.
 *
 * @return As vhost_pci_chain_add().
 */
int vhost_pci_chain_add_slow(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc);

/**
 * Check one buffer descriptor (not an indirect one) and append it to a chain.
 *
 * A buffer of length 0 is legal and ignored, whatever its address.
 *
 * @return 0; -EPROTO with the ring broken; -EAGAIN where there are segments for it only once those
 *	   of the chains that are held have been dropped, or where it is not known yet where the
 *	   buffer is: see vhost_pci_vring_miss().
 *
 * The thread that polls the queue.
 */
VHOST_PCI_ALWAYS_INLINE int
vhost_pci_chain_add(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc, const enum vhost_pci_dir dir)
{
	bool writable = (desc->flags & VRING_DESC_F_WRITE) != 0;
	uint32_t contiguous = desc->len;
	struct vhost_pci_seg *seg;
	uint64_t offset;

	/* VIRTIO 5.1.6: a transmit chain is device-readable, a receive chain device-writable. */
	if (vhost_pci_unlikely(writable != (dir == VHOST_PCI_ENQUEUE)))
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_DIRECTION);

	offset = desc->gpa - vr->cache.gpa;
	if (vhost_pci_unlikely(contiguous == 0 || offset >= vr->cache.size ||
			    contiguous > vr->cache.size - offset || vr->nb_segs >= vr->max_segs ||
			    contiguous > UINT32_MAX - chain->len)) {
		/* Copies, so that what is passed in can stay in registers. */
		struct vhost_pci_chain slow_chain = *chain;
		struct vhost_pci_desc slow_desc = *desc;
		int ret = vhost_pci_chain_add_slow(vr, &slow_chain, &slow_desc);

		*chain = slow_chain;
		return ret;
	}
	seg = &vr->segs[vr->nb_segs++];
	seg->va = vr->cache.va + offset;
	seg->len = contiguous;
	chain->nb_segs++;
	chain->len += contiguous;
	return 0;
}

/** Begin a chain behind those already held. The thread that polls the queue. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_chain_begin(const struct vhost_pci_vring *vr, struct vhost_pci_chain *chain, uint16_t id)
{
	chain->seg_idx = vr->nb_segs;
	chain->nb_segs = 0;
	chain->len = 0;
	chain->id = id;
	chain->nb_slots = 1;
}

/**
 * Give up a chain that could not be taken whole.
 *
 * @return @p error, or 0 for -EAGAIN: there is no chain for now.
 */
static inline int
vhost_pci_chain_abandon(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, int error)
{
	vr->nb_segs = chain->seg_idx;
	return error == -EAGAIN ? 0 : error;
}

#endif /* VHOST_PCI_CHAIN_H */
