/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The split virtqueue (VIRTIO 2.7) from the device's side. Callers use vhost_pci_ring.h.
 */

#ifndef VHOST_PCI_SPLIT_H
#define VHOST_PCI_SPLIT_H

#include "vhost_pci_chain.h"

/**
 * With the event index a driver is kept from kicking by an event that it has passed, and the
 * event comes by again after 2^16 chains: it is moved on each time so many were taken. At most
 * 2^15, so that the driver, which may be a queue size ahead, does not get there first.
 */
#define VHOST_PCI_SPLIT_KICK_DISTANCE 0x4000

/** Walk a chain of more than one descriptor, from its already loaded head on. */
int vhost_pci_split_walk(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir);

/** The same for a caller that keeps its chain in registers: only a copy has an address. */
static inline int
vhost_pci_split_next_slow(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir)
{
	struct vhost_pci_chain copy = *chain;
	int ret = vhost_pci_split_walk(vr, &copy, desc, dir);

	*chain = copy;
	return ret;
}

/** Where the driver writes the index up to which it wants no call (VIRTIO 2.7.10). */
static inline uint16_t *
vhost_pci_split_used_event(const struct vhost_pci_vring *vr)
{
	return &vr->split.avail->ring[vr->size];
}

/** Where the device writes the index up to which it wants no kick (VIRTIO 2.7.10). */
static inline uint16_t *
vhost_pci_split_avail_event(const struct vhost_pci_vring *vr)
{
	return (uint16_t *)(void *)&vr->split.used->ring[vr->size];
}

/**
 * Chains that the driver has made available and that were not taken yet.
 *
 * @return 0 to the queue size, or -EPROTO with the ring broken.
 */
VHOST_PCI_ALWAYS_INLINE int
vhost_pci_split_nb_avail(struct vhost_pci_vring *vr)
{
	/* Partner: the driver's store of avail idx, after the entries (VIRTIO 2.7.13.3). */
	uint16_t seen = vhost_pci_load_acquire(&vr->split.avail->idx);
	uint16_t nb = (uint16_t)(seen - vr->avail_idx);

	if (vhost_pci_unlikely(nb > vr->size))
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_AVAIL_IDX);
	vr->avail_seen = seen;
	return nb;
}

/** See vhost_pci_ring_look(). */
static inline uint16_t
vhost_pci_split_look(const struct vhost_pci_vring *vr)
{
	/* In this order: the driver offers what goes beyond a queue size only once it has seen
	 * the used index that was stored after avail_shown.
	 */
	uint16_t seen = vhost_pci_load_acquire(&vr->split.avail->idx);
	uint16_t nb = (uint16_t)(seen - vhost_pci_load_relaxed(&vr->avail_shown));

	/* The polling thread has taken more in the meantime; or the driver's index is wrong, which
	 * is the polling thread's to find.
	 */
	return nb <= vr->size ? nb : 0;
}

/** Take the next chain, whose head is known: see vhost_pci_ring_next(). */
VHOST_PCI_ALWAYS_INLINE int
vhost_pci_split_take(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain, uint16_t head,
		const enum vhost_pci_dir dir)
{
	struct vhost_pci_desc desc = vhost_pci_desc_load_split(&vr->split.desc[head]);
	int ret;

	vhost_pci_chain_begin(vr, chain, head);
	if (vhost_pci_likely((desc.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) == 0))
		ret = vhost_pci_chain_add(vr, chain, &desc, dir);
	else
		ret = vhost_pci_split_next_slow(vr, chain, desc, dir);
	if (vhost_pci_unlikely(ret < 0))
		return vhost_pci_chain_abandon(vr, chain, ret);
	vr->avail_idx++;
	return 1;
}

/** See vhost_pci_ring_next(). */
VHOST_PCI_ALWAYS_INLINE int
vhost_pci_split_next(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const enum vhost_pci_dir dir)
{
	uint16_t head;
	int ret;

	if (vr->avail_idx == vr->avail_seen) {
		ret = vhost_pci_split_nb_avail(vr);
		if (ret <= 0)
			return ret;
	}
	head = vhost_pci_load_relaxed(&vr->split.avail->ring[vr->avail_idx & (vr->size - 1)]);
	if (vhost_pci_unlikely(head >= vr->size))
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_HEAD);
	return vhost_pci_split_take(vr, chain, head, dir);
}

/** See vhost_pci_ring_put(). */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_split_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, uint32_t len)
{
	struct vring_used_elem *elem = &vr->split.used->ring[vr->used_idx & (vr->size - 1)];

	vhost_pci_store_relaxed(&elem->id, chain->id);
	vhost_pci_store_relaxed(&elem->len, len);
	vr->used_idx++;
	vr->nb_unflushed++;
}

/** See vhost_pci_ring_ask_kick(). */
static inline void
vhost_pci_split_ask_kick(struct vhost_pci_vring *vr, bool on)
{
	if (!vr->event_idx) {
		vhost_pci_store_relaxed(&vr->split.used->flags, on ? 0 : VRING_USED_F_NO_NOTIFY);
		return;
	}
	/* The event that is the farthest away is the one that was passed last. */
	vr->kick_event = (uint16_t)(on ? vr->avail_idx : vr->avail_idx - 1);
	vhost_pci_store_relaxed(vhost_pci_split_avail_event(vr), vr->kick_event);
}

/**
 * Ask for a kick with the first chain that is not available yet, whoever is to take those that
 * are: the driver passes an event only once.
 *
 * Ends after a queue size of rounds at most: each finds more than the one before.
 */
static inline void
vhost_pci_split_ask_kick_beyond(struct vhost_pci_vring *vr)
{
	uint16_t nb = 0, nb_asked;

	vhost_pci_split_ask_kick(vr, true);
	if (!vr->event_idx)
		return;
	do {
		nb_asked = nb;
		vr->kick_event = (uint16_t)(vr->avail_idx + nb_asked);
		vhost_pci_store_relaxed(vhost_pci_split_avail_event(vr), vr->kick_event);
		/* Partner: the driver's fence between avail idx and its load of the event. */
		vhost_pci_fence_full();
		nb = (uint16_t)(vhost_pci_load_relaxed(&vr->split.avail->idx) - vr->avail_idx);
		/* What no driver does is the polling thread's to find. */
	} while (nb > nb_asked && nb <= vr->size);
}

/** See vhost_pci_ring_flush(). */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_split_flush(struct vhost_pci_vring *vr)
{
	if (vr->nb_unflushed == 0)
		return;
	vr->nb_unflushed = 0;
	/* The driver can't go beyond what is returned to it now, and the queue size more. */
	if (vr->event_idx && !vr->notify_peer &&
			(uint16_t)(vr->avail_idx - vr->kick_event) >= VHOST_PCI_SPLIT_KICK_DISTANCE)
		vhost_pci_split_ask_kick(vr, false);
	/* Partner: the driver's load of used idx, before it reads the entries (2.7.14). */
	vhost_pci_store_release(&vr->split.used->idx, vr->used_idx);
}

/** See vhost_pci_ring_call_wanted(). */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_split_call_wanted(struct vhost_pci_vring *vr)
{
	uint16_t old = vr->signalled_idx;
	bool valid = vr->signalled_valid;

	if (!vr->event_idx)
		return (vhost_pci_load_relaxed(&vr->split.avail->flags) &
				       VRING_AVAIL_F_NO_INTERRUPT) == 0;
	vr->signalled_idx = vr->used_idx;
	vr->signalled_valid = true;
	return !valid ||
			vring_need_event(vhost_pci_load_relaxed(vhost_pci_split_used_event(vr)),
					vr->used_idx, old);
}

#endif /* VHOST_PCI_SPLIT_H */
