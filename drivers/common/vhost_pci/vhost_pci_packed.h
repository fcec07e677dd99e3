/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The packed virtqueue (VIRTIO 2.8) from the device's side. Callers use vhost_pci_ring.h.
 */

#ifndef VHOST_PCI_PACKED_H
#define VHOST_PCI_PACKED_H

#include "vhost_pci_chain.h"

/** The two bits of a packed descriptor that say whose it is (VIRTIO 2.8.1). */
#define VHOST_PCI_PACKED_F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define VHOST_PCI_PACKED_F_USED  (1u << VRING_PACKED_DESC_F_USED)

/** Walk a chain of more than one descriptor, from its already loaded head on. */
int vhost_pci_packed_walk(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir);

/** Walk a chain whose descriptors were copied out of the ring. */
int vhost_pci_packed_walk_saved(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc, uint16_t nb, enum vhost_pci_dir dir);

/** The same for a caller that keeps its chain in registers: only a copy has an address. */
static inline int
vhost_pci_packed_next_slow(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir)
{
	struct vhost_pci_chain copy = *chain;
	int ret = vhost_pci_packed_walk(vr, &copy, desc, dir);

	*chain = copy;
	return ret;
}

/** Whether flags say "available" under a wrap counter (VIRTIO 2.8.1). */
static inline bool
vhost_pci_packed_is_avail(uint16_t flags, bool wrap)
{
	const uint16_t mask = VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED;

	return (flags & mask) == (wrap ? VHOST_PCI_PACKED_F_AVAIL : VHOST_PCI_PACKED_F_USED);
}

/** Move a slot forward, and its wrap counter with it; nb is at most the queue size. */
static inline void
vhost_pci_packed_advance(const struct vhost_pci_vring *vr, uint16_t *slot, bool *wrap, uint16_t nb)
{
	uint32_t next = (uint32_t)*slot + nb;

	if (next >= vr->size) {
		next -= vr->size;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)next;
}

/** Descriptors from a slot on that are available, up to a bound: not chains. */
static inline uint16_t
vhost_pci_packed_count(const struct vhost_pci_vring *vr, uint16_t slot, bool wrap, uint16_t max)
{
	uint16_t nb;

	for (nb = 0; nb < max; nb++) {
		uint16_t flags = vhost_pci_load_relaxed(&vr->packed.desc[slot].flags);

		if (!vhost_pci_packed_is_avail(flags, wrap))
			break;
		vhost_pci_packed_advance(vr, &slot, &wrap, 1);
	}
	return nb;
}

/** See vhost_pci_ring_nb_avail(). */
static inline int
vhost_pci_packed_nb_avail(const struct vhost_pci_vring *vr, uint16_t max)
{
	return vhost_pci_packed_count(vr, vr->avail_idx, vr->avail_wrap, max);
}

/** See vhost_pci_ring_look(). */
static inline uint16_t
vhost_pci_packed_look(const struct vhost_pci_vring *vr, uint16_t max)
{
	uint16_t shown = vhost_pci_load_relaxed(&vr->avail_shown);

	return vhost_pci_packed_count(vr, shown & VHOST_PCI_BASE_SLOT_MASK,
			shown >> VHOST_PCI_BASE_WRAP_BIT, max);
}

/** See vhost_pci_ring_next(). */
VHOST_PCI_ALWAYS_INLINE int
vhost_pci_packed_next(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const enum vhost_pci_dir dir)
{
	struct vhost_pci_desc desc = vhost_pci_desc_load_packed(&vr->packed.desc[vr->avail_idx]);
	int ret;

	if (!vhost_pci_packed_is_avail(desc.flags, vr->avail_wrap))
		return 0;
	vhost_pci_chain_begin(vr, chain, desc.next);
	if (vhost_pci_likely((desc.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) == 0))
		ret = vhost_pci_chain_add(vr, chain, &desc, dir);
	else
		ret = vhost_pci_packed_next_slow(vr, chain, desc, dir);
	if (vhost_pci_unlikely(ret < 0))
		return vhost_pci_chain_abandon(vr, chain, ret);
	vhost_pci_packed_advance(vr, &vr->avail_idx, &vr->avail_wrap, chain->nb_slots);
	return 1;
}

/** The two bits of a used descriptor under a wrap counter (VIRTIO 2.8.1). */
static inline uint16_t
vhost_pci_packed_used_flags(bool wrap)
{
	return wrap ? VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED : 0;
}

/** Return a chain that occupies so many slots; see vhost_pci_ring_put(). */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_packed_put_id(struct vhost_pci_vring *vr, uint16_t id, uint32_t len, uint16_t nb_slots)
{
	struct vring_packed_desc *desc = &vr->packed.desc[vr->used_idx];
	/* VIRTIO 2.8.4: WRITE says that the buffer was written to, and that len is valid. */
	const uint16_t written = len != 0 ? VRING_DESC_F_WRITE : 0;
	const uint16_t flags = vhost_pci_packed_used_flags(vr->used_wrap) | written;

	if (vr->nb_unflushed++ == 0) {
		/* The driver polls this entry: it is published last, for all that follow it. */
		vr->flush_slot = vr->used_idx;
		vr->flush_flags = flags;
		vhost_pci_store_relaxed(&desc->id, id);
		vhost_pci_store_relaxed(&desc->len, len);
	} else {
		vhost_pci_store_relaxed((vhost_pci_word64 *)(void *)&desc->len,
				len | (uint64_t)id << 32 | (uint64_t)flags << 48);
	}
	vhost_pci_packed_advance(vr, &vr->used_idx, &vr->used_wrap, nb_slots);
}

/** See vhost_pci_ring_put(). */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_packed_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, uint32_t len)
{
	vhost_pci_packed_put_id(vr, chain->id, len, chain->nb_slots);
}

/** See vhost_pci_ring_flush(). */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_packed_flush(struct vhost_pci_vring *vr)
{
	if (vr->nb_unflushed == 0)
		return;
	vr->nb_unflushed = 0;
	/* Partner: the driver's load of the flags of the next used entry (VIRTIO 2.8.22). */
	vhost_pci_store_release(&vr->packed.desc[vr->flush_slot].flags, vr->flush_flags);
}

/** Where a slot with its wrap counter lies in the running count of descriptors, mod 2^16. */
static inline uint16_t
vhost_pci_packed_event_distance(const struct vhost_pci_vring *vr, uint16_t off_wrap)
{
	uint16_t off = off_wrap & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	bool wrap = off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR;

	return (uint16_t)(wrap == vr->used_wrap ? off : off - vr->size);
}

/** See vhost_pci_ring_call_wanted(). */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_packed_call_wanted(struct vhost_pci_vring *vr)
{
	/* off_wrap and flags in one load: the driver may change them together. */
	uint32_t event = vhost_pci_load_relaxed(
			(const vhost_pci_word32 *)(const void *)vr->packed.driver_event);
	uint16_t flags = (uint16_t)(event >> 16) & 3;
	uint16_t new_idx = vr->used_idx;
	uint16_t old_idx = vr->signalled_idx;
	bool valid = vr->signalled_valid;

	vr->signalled_idx = new_idx;
	vr->signalled_valid = true;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vr->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	/* The ring wrapped since the last look: the old index lies a queue size back. */
	if (new_idx <= old_idx)
		old_idx -= vr->size;
	return !valid ||
			vring_need_event(vhost_pci_packed_event_distance(vr, (uint16_t)event),
					new_idx, old_idx);
}

/** See vhost_pci_ring_ask_kick(). */
static inline void
vhost_pci_packed_ask_kick(struct vhost_pci_vring *vr, bool on)
{
	/* ENABLE and not DESC: which descriptor comes next is known to the driver as well. */
	vhost_pci_store_relaxed(&vr->packed.device_event->flags,
			on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE);
}

#endif /* VHOST_PCI_PACKED_H */
