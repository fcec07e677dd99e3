/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The device's side of a virtqueue, whatever its kind: take chains, return them, publish what
 * was returned, notify. The kind (VHOST_PCI_RING_*) and the direction are constant arguments, so
 * that a caller is compiled for one kind without a branch on it. Where speed does not matter it
 * may be vhost_pci_vring_kind(), as it is found.
 *
 * A burst: vhost_pci_vring_enter(); vhost_pci_ring_begin(); per packet vhost_pci_ring_next() and
 * vhost_pci_ring_put(); vhost_pci_ring_end(); vhost_pci_vring_leave().
 *
 * All functions, unless they say otherwise: the thread that polls the queue, inside the gate.
 */

#ifndef VHOST_PCI_RING_H
#define VHOST_PCI_RING_H

#include "vhost_pci_dirty.h"
#include "vhost_pci_inflight.h"
#include "vhost_pci_packed.h"
#include "vhost_pci_split.h"

/** A place in the stream of available chains that one can go back to. */
struct vhost_pci_cursor {
	uint32_t nb_segs;
	uint16_t avail_idx;
	bool avail_wrap;
};

/** Begin a burst: no chain is held. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_begin(struct vhost_pci_vring *vr)
{
	vr->nb_segs = 0;
}

/**
 * Take the next available chain, and check all of it.
 *
 * @param[out] chain Its id, length and segments (vr->segs[chain->seg_idx] on). The segments stay
 *		valid until vhost_pci_ring_drop_segs(), vhost_pci_ring_restore() or the next burst.
 * @param dir	The direction that all its buffers must have.
 * @return 1; 0 if there is none, none whose segments fit behind those that are held, or one whose
 *	   addresses are yet to be asked for; -EPROTO with the ring broken, and nothing taken.
 */
VHOST_PCI_ALWAYS_INLINE int
vhost_pci_ring_next(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const unsigned int kind, const enum vhost_pci_dir dir)
{
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->inflight != NULL)
		return vhost_pci_inflight_next(vr, chain, dir);
	return (kind & VHOST_PCI_RING_PACKED) != 0 ? vhost_pci_packed_next(vr, chain, dir)
						   : vhost_pci_split_next(vr, chain, dir);
}

/** Forget the segments of all chains that are held; the chains themselves stay taken. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_drop_segs(struct vhost_pci_vring *vr)
{
	vr->nb_segs = 0;
}

/** Remember the place before the next chain. */
VHOST_PCI_ALWAYS_INLINE struct vhost_pci_cursor
vhost_pci_ring_save(const struct vhost_pci_vring *vr)
{
	return (struct vhost_pci_cursor){ vr->nb_segs, vr->avail_idx, vr->avail_wrap };
}

/** Untake all chains taken since vhost_pci_ring_save(), none of which was returned. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_restore(struct vhost_pci_vring *vr, struct vhost_pci_cursor cursor,
		const unsigned int kind)
{
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->inflight != NULL)
		vhost_pci_inflight_untake(vr, cursor.avail_idx, cursor.avail_wrap);
	vr->nb_segs = cursor.nb_segs;
	vr->avail_idx = cursor.avail_idx;
	vr->avail_wrap = cursor.avail_wrap;
}

/**
 * Return a chain to the driver. It is seen at the next vhost_pci_ring_flush().
 *
 * @param len	Bytes that were written to its buffers from their start on: 0 after a dequeue
 *		(VIRTIO 2.7.8.2).
 */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, uint32_t len,
		const unsigned int kind)
{
	const uint16_t used_idx = vr->used_idx;

	if ((kind & VHOST_PCI_RING_PACKED) != 0)
		vhost_pci_packed_put(vr, chain, len);
	else
		vhost_pci_split_put(vr, chain, len);
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->inflight != NULL)
		vhost_pci_inflight_put(vr, chain);
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->dirty.log != NULL) {
		vhost_pci_dirty_chain(vr, chain, len);
		vhost_pci_dirty_used(vr, used_idx);
	}
}

/** Publish all returned chains. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_flush(struct vhost_pci_vring *vr, const unsigned int kind)
{
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->inflight != NULL)
		vhost_pci_inflight_flush(vr);
	else if ((kind & VHOST_PCI_RING_PACKED) != 0)
		vhost_pci_packed_flush(vr);
	else
		vhost_pci_split_flush(vr);
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->dirty.log != NULL)
		vhost_pci_dirty_flush(vr);
}

/**
 * Whether the driver wants a call for what was published since it was last asked.
 *
 * The caller has published and then passed vhost_pci_fence_full(): the driver writes its wish
 * and then looks at the ring once more; here it is the other way round.
 */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_ring_call_wanted(struct vhost_pci_vring *vr, const unsigned int kind)
{
	return (kind & VHOST_PCI_RING_PACKED) != 0 ? vhost_pci_packed_call_wanted(vr)
						   : vhost_pci_split_call_wanted(vr);
}

/** Call the driver if it wants that for what was published since it was last asked. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_call(struct vhost_pci_vring *vr, const unsigned int kind)
{
	/* Without an fd the driver polls, or has one sent later, and is then called anew: its wish
	 * is not read, for it lies on a cache line that the driver writes to all the time.
	 */
	if (vr->call.fd < 0 && vr->call.doorbell == NULL)
		return;
	vhost_pci_fence_full();
	if (vhost_pci_ring_call_wanted(vr, kind)) {
		vhost_pci_count(&vr->stats.notifications, 1);
		vhost_pci_notifier_signal(&vr->call);
	}
}

/** End a burst: publish what was returned and call the driver if it wants that. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_ring_end(struct vhost_pci_vring *vr, const unsigned int kind)
{
	if (vr->nb_unflushed == 0)
		return;
	vhost_pci_vring_show_avail(vr, (kind & VHOST_PCI_RING_PACKED) != 0);
	vhost_pci_ring_flush(vr, kind);
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 && vr->dirty.log != NULL)
		vhost_pci_dirty_signal(vr);
	vhost_pci_ring_call(vr, kind);
}

/**
 * Call the driver, unless it wants no calls at all, for whatever was published before, by this
 * back-end or another one: nobody knows whether an earlier call has reached it.
 *
 * Control thread, with the vring paused.
 */
void vhost_pci_ring_call_anew(struct vhost_pci_vring *vr);

/**
 * Ask the driver for a kick with the next chain, or not to kick (interrupts or polling). Where
 * kicks are always wanted, it is the next one beyond what is available.
 *
 * After turning it on the caller passes vhost_pci_fence_full() and looks for chains once more.
 */
static inline void
vhost_pci_ring_ask_kick(struct vhost_pci_vring *vr, bool on)
{
	on = on || vr->kick_always;
	vr->notify_peer = on;
	/* Done by who gives the ring's memory back. */
	if (vr->held)
		return;
	if (vr->is_packed)
		vhost_pci_packed_ask_kick(vr, on);
	else if (vr->kick_always)
		vhost_pci_split_ask_kick_beyond(vr);
	else
		vhost_pci_split_ask_kick(vr, on);
	if (vr->dirty.log != NULL)
		vhost_pci_dirty_kick(vr);
}

/** A place in a packed ring, of its two laps with either wrap counter. */
static inline uint32_t
vhost_pci_ring_packed_place(const struct vhost_pci_vring *vr, uint16_t shown)
{
	bool first_lap = shown >> VHOST_PCI_BASE_WRAP_BIT != 0;

	return (shown & VHOST_PCI_BASE_SLOT_MASK) + (first_lap ? 0u : vr->size);
}

/**
 * What was taken since avail_shown had an earlier value, in the unit of vhost_pci_ring_look(), as
 * of the last burst's end.
 *
 * @param shown	That value, of less than a lap ago.
 *
 * Control thread, with the vring mapped.
 */
static inline uint32_t
vhost_pci_ring_taken_since(const struct vhost_pci_vring *vr, uint16_t shown)
{
	uint16_t now = vhost_pci_load_relaxed(&vr->avail_shown);
	uint32_t lap = 2u * vr->size;

	if (!vr->is_packed)
		return (uint16_t)(now - shown);
	return (vhost_pci_ring_packed_place(vr, now) + lap -
			       vhost_pci_ring_packed_place(vr, shown)) %
			lap;
}

/**
 * Chains (split) or descriptors (packed) that are available.
 *
 * @param max	Enough is enough; up to the queue size.
 * @return 0 to @p max, or -EPROTO with the ring broken.
 */
static inline int
vhost_pci_ring_nb_avail(struct vhost_pci_vring *vr, uint16_t max)
{
	int nb = vr->is_packed ? vhost_pci_packed_nb_avail(vr, max) : vhost_pci_split_nb_avail(vr);

	return nb > max ? max : nb;
}

/**
 * What vhost_pci_ring_nb_avail() counts, as of the last burst's end, for other threads: nothing
 * is changed, and what no driver does counts as nothing.
 *
 * @param max	Enough is enough; up to the queue size.
 * @return 0 to @p max.
 *
 * Any thread, between vhost_pci_vring_enter_look() and vhost_pci_vring_leave_look().
 */
static inline uint16_t
vhost_pci_ring_look(const struct vhost_pci_vring *vr, uint16_t max)
{
	uint16_t nb = vr->is_packed ? vhost_pci_packed_look(vr, max) : vhost_pci_split_look(vr);

	return nb > max ? max : nb;
}

/**
 * Take all available chains, up to a bound, and return them unread: what becomes of packets that
 * a front-end sends through a vring that is started but disabled.
 *
 * @return The number of chains, also added to the vring's statistics.
 */
unsigned int vhost_pci_ring_discard(struct vhost_pci_vring *vr, unsigned int max);

#endif /* VHOST_PCI_RING_H */
