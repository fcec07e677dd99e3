/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the takers of all instruction sets have in common; see vhost_pci_batch.h.
 */

#ifndef VHOST_PCI_BATCH_PRIV_H
#define VHOST_PCI_BATCH_PRIV_H

#include "vhost_pci_batch.h"

/** Takers of packed rings for an instruction set, by enum vhost_pci_dir. */
extern const vhost_pci_take_fn_t vhost_pci_packed_takers_avx2[2];
/** The same for AVX-512. */
extern const vhost_pci_take_fn_t vhost_pci_packed_takers_avx512[2];

/** Flags of a descriptor that say whether it is plain. */
#define VHOST_PCI_PLAIN_MASK (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE)

/** What they are in a plain descriptor. */
VHOST_PCI_ALWAYS_INLINE uint16_t
vhost_pci_plain_flags(const enum vhost_pci_dir dir)
{
	return dir == VHOST_PCI_ENQUEUE ? VRING_DESC_F_WRITE : 0;
}

/** Append a descriptor's buffer to a batch, if it is in the cached region and not empty. */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_batch_add(const struct vhost_pci_mem_cache *cache, struct vhost_pci_batch *batch,
		unsigned int nb, const struct vhost_pci_desc *desc)
{
	uint64_t offset = desc->gpa - cache->gpa;

	if (vhost_pci_unlikely(desc->len == 0 || offset >= cache->size ||
			    desc->len > cache->size - offset))
		return false;
	batch->va[nb] = cache->va + offset;
	batch->len[nb] = desc->len;
	return true;
}

/** A walk over a packed ring: what a taker keeps in registers. */
struct vhost_pci_packed_walk {
	uint32_t slot;
	uint16_t flags; /**< Those of a plain descriptor that is available. */
};

/** The flags of a packed descriptor that a walk looks at. */
#define VHOST_PCI_PACKED_PLAIN_MASK \
	(VHOST_PCI_PLAIN_MASK | VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED)

/** Where flags are in the second half of a packed descriptor, as vectors take a word. */
VHOST_PCI_ALWAYS_INLINE long long
vhost_pci_packed_flags_word(uint16_t flags)
{
	const uint64_t word = (uint64_t)flags << 48;

	return (long long)word;
}

/** Begin a walk at the next available chain. */
VHOST_PCI_ALWAYS_INLINE struct vhost_pci_packed_walk
vhost_pci_packed_walk_begin(const struct vhost_pci_vring *vr, const enum vhost_pci_dir dir)
{
	return (struct vhost_pci_packed_walk){
		.slot = vr->avail_idx,
		.flags = (uint16_t)(vhost_pci_plain_flags(dir) |
				(vr->avail_wrap ? VHOST_PCI_PACKED_F_AVAIL
						: VHOST_PCI_PACKED_F_USED)),
	};
}

/** Step over descriptors, none of which lies behind the ring's end. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_packed_walk_step(const struct vhost_pci_vring *vr, struct vhost_pci_packed_walk *walk,
		uint32_t nb)
{
	walk->slot += nb;
	if (vhost_pci_unlikely(walk->slot == vr->size)) {
		walk->slot = 0;
		walk->flags ^= VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED;
	}
}

/** Take one descriptor, if it is plain; false otherwise. */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_packed_take_one(const struct vhost_pci_vring *vr, struct vhost_pci_packed_walk *walk,
		struct vhost_pci_batch *batch, unsigned int nb)
{
	struct vhost_pci_desc desc = vhost_pci_desc_load_packed(&vr->packed.desc[walk->slot]);

	if ((desc.flags & VHOST_PCI_PACKED_PLAIN_MASK) != walk->flags ||
			!vhost_pci_batch_add(&vr->cache, batch, nb, &desc))
		return false;
	batch->id[nb] = desc.next;
	vhost_pci_packed_walk_step(vr, walk, 1);
	return true;
}

/** Whether nothing is available where a walk stands. */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_packed_is_end(const struct vhost_pci_vring *vr, const struct vhost_pci_packed_walk *walk)
{
	const uint16_t flags = vhost_pci_load_relaxed(&vr->packed.desc[walk->slot].flags);

	return ((flags ^ walk->flags) & (VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED)) != 0;
}

/**
 * Take the leading plain ones of a group of descriptors: what each instruction set has.
 *
 * @param desc	Its first descriptor, at any slot; the others follow.
 * @param flags	Those that all must have, of VHOST_PCI_PACKED_PLAIN_MASK.
 * @param cache	The region in which all must be: a copy, so that it stays in registers.
 * @param nb	Where in the batch to write; what is written behind the result is void.
 * @return Their number.
 */
typedef unsigned int (*vhost_pci_group_fn_t)(const struct vring_packed_desc *desc, uint16_t flags,
		struct vhost_pci_mem_cache cache, struct vhost_pci_batch *batch, unsigned int nb);

/** How an instruction set works by groups: a constant. */
struct vhost_pci_group {
	vhost_pci_group_fn_t take;
	unsigned int size; /**< Descriptors in a group. */
};

/** A taker that works by groups, and takes one by one what is none. */
VHOST_PCI_ALWAYS_INLINE unsigned int
vhost_pci_packed_take(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max,
		const enum vhost_pci_dir dir, const struct vhost_pci_group group)
{
	struct vhost_pci_packed_walk walk = vhost_pci_packed_walk_begin(vr, dir);
	const struct vhost_pci_mem_cache cache = vr->cache;
	/* One lap: a peer that turns flags round meanwhile shows more chains than there can be. */
	const unsigned int lap = max < vr->size ? max : vr->size;
	unsigned int nb = 0, plain;

	/* The look that a poll of an idle ring costs. */
	batch->is_last = vhost_pci_packed_is_end(vr, &walk);
	if (batch->is_last)
		return 0;
	while (nb < lap) {
		if (vhost_pci_likely(group.take != NULL && lap - nb >= group.size &&
				    vr->size - walk.slot >= group.size)) {
			plain = group.take(&vr->packed.desc[walk.slot], walk.flags, cache, batch,
					nb);
			nb += plain;
			if (plain < group.size) {
				vhost_pci_packed_walk_step(vr, &walk, plain);
				break;
			}
			vhost_pci_packed_walk_step(vr, &walk, group.size);
		} else {
			if (!vhost_pci_packed_take_one(vr, &walk, batch, nb))
				break;
			nb++;
		}
	}
	batch->is_last = nb < max && vhost_pci_packed_is_end(vr, &walk);
	return nb;
}

#endif /* VHOST_PCI_BATCH_PRIV_H */
