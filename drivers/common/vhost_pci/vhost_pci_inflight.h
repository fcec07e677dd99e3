/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Which chains of a vring are in this back-end's hands, written down where a back-end that dies
 * leaves it: in memory shared with the front-end, which passes it on to the next one (vhost-user,
 * "Inflight I/O tracking"). That one takes those chains first, in the order in which they were
 * taken, so that each is returned exactly once.
 *
 * The area is written in the order that the specification gives, and only read when a ring starts:
 * all of it is checked then, and what is needed later is copied. It is the peer's to spoil.
 *
 * All functions but the first three: the thread that polls the queue, inside the gate; the vring
 * is tracked. Callers use vhost_pci_ring.h.
 */

#ifndef VHOST_PCI_INFLIGHT_H
#define VHOST_PCI_INFLIGHT_H

#include "vhost_pci_chain.h"

/** Bytes of the area of one queue, the next one's follows. */
uint64_t vhost_pci_inflight_bytes(bool is_packed, uint16_t queue_size);

/**
 * Begin to track a paused vring that is mapped and whose indexes are those of its base (packed) or
 * of its used ring (split), and find the chains that an earlier back-end has left: they are taken
 * first. A packed vring goes on where the area says.
 *
 * @param area	The queue's area, of vhost_pci_inflight_bytes(); outlives the tracking.
 * @param queue_size The queue size that it was made for.
 * @return 0; -EINVAL for contents that no back-end leaves, for an area that is not aligned to its
 *	   words, and for a vring of more than @p queue_size descriptors; -ENOMEM.
 *
 * Control thread.
 */
int vhost_pci_inflight_open(struct vhost_pci_vring *vr, void *area, uint16_t queue_size);

/** Track a paused vring no longer, if it was; the area stays as it is. Control thread. */
void vhost_pci_inflight_close(struct vhost_pci_vring *vr);

/** See vhost_pci_ring_next(). */
int vhost_pci_inflight_next(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		enum vhost_pci_dir dir);

/** See vhost_pci_ring_restore(); before the vring goes back to this place. */
void vhost_pci_inflight_untake(struct vhost_pci_vring *vr, uint16_t avail_idx, bool avail_wrap);

/** See vhost_pci_ring_put(); after it. */
void vhost_pci_inflight_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain);

/** See vhost_pci_ring_flush(), of which it is the whole. */
void vhost_pci_inflight_flush(struct vhost_pci_vring *vr);

#endif /* VHOST_PCI_INFLIGHT_H */
