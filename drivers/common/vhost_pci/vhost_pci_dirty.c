/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_dirty.h"

uint64_t
vhost_pci_dirty_used_bytes(bool is_packed, uint32_t size)
{
	if (is_packed)
		return sizeof(struct vring_packed_desc_event);
	/* VIRTIO 2.7.8: the ring ends with the avail event. */
	return sizeof(struct vring_used) + (uint64_t)size * sizeof(struct vring_used_elem) +
			sizeof(__virtio16);
}

void
vhost_pci_dirty_mark(struct vhost_pci_vring *vr, uint64_t gpa, uint64_t bytes)
{
	struct vhost_pci_dirty *dirty = &vr->dirty;
	uint64_t page = gpa >> VHOST_PCI_DIRTY_PAGE_SHIFT;
	uint64_t last;

	if (bytes == 0)
		return;
	last = (gpa + bytes - 1) >> VHOST_PCI_DIRTY_PAGE_SHIFT;
	/* The range comes from the memory table or was checked: it does not wrap. */
	if (last >= dirty->nb_pages) {
		vhost_pci_count(&vr->stats.log_beyond, 1);
		if (page >= dirty->nb_pages)
			return;
		last = dirty->nb_pages - 1;
	}
	dirty->changed = true;
	/* Partner: the front-end's exchange of the log's word with 0, after which it reads the
	 * page. Never skipped where the bit is set: it may be about to be cleared.
	 */
	for (; page <= last; page++)
		vhost_pci_or_release(&dirty->log[page / 8], (uint8_t)(1u << page % 8));
}

/** Mark bytes of this process that are all in one region of the memory table. */
static void
mark_va(struct vhost_pci_vring *vr, const void *va, uint64_t bytes)
{
	uint64_t gpa;

	if (vhost_pci_mem_va_to_gpa(vr->mem, va, &gpa))
		vhost_pci_dirty_mark(vr, gpa, bytes);
}

/** Mark bytes of the used ring, or the device event, whose offset in it is known. */
static void
mark_used(struct vhost_pci_vring *vr, uint64_t offset, uint64_t bytes)
{
	const uint8_t *used = vr->is_packed ? (const uint8_t *)vr->packed.device_event
					    : (const uint8_t *)vr->split.used;

	/* Behind an IOTLB the address to log at is an IOVA as well: that of the ring itself. */
	if (vr->iotlb != NULL)
		mark_va(vr, used + offset, bytes);
	else
		vhost_pci_dirty_mark(vr, vr->dirty.used_gpa + offset, bytes);
}

void
vhost_pci_dirty_chain(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, uint32_t len)
{
	const struct vhost_pci_seg *seg = &vr->segs[chain->seg_idx];
	uint32_t part;

	for (; len > 0; len -= part, seg++) {
		part = seg->len < len ? seg->len : len;
		mark_va(vr, seg->va, part);
	}
}

void
vhost_pci_dirty_used(struct vhost_pci_vring *vr, uint16_t used_idx)
{
	if (!vr->dirty.log_used)
		return;
	if (vr->is_packed)
		mark_va(vr, &vr->packed.desc[used_idx], sizeof(struct vring_packed_desc));
	else
		mark_used(vr, offsetof(struct vring_used, ring[used_idx & (vr->size - 1)]),
				sizeof(struct vring_used_elem));
}

void
vhost_pci_dirty_flush(struct vhost_pci_vring *vr)
{
	if (!vr->dirty.log_used)
		return;
	if (vr->is_packed) {
		mark_va(vr, &vr->packed.desc[vr->flush_slot], sizeof(struct vring_packed_desc));
		return;
	}
	mark_used(vr, offsetof(struct vring_used, idx), sizeof(__virtio16));
	/* A flush may have moved the avail event on. */
	if (vr->event_idx)
		vhost_pci_dirty_kick(vr);
}

void
vhost_pci_dirty_kick(struct vhost_pci_vring *vr)
{
	uint64_t offset = 0;

	if (!vr->dirty.log_used)
		return;
	if (vr->is_packed)
		offset = offsetof(struct vring_packed_desc_event, flags);
	else if (vr->event_idx)
		offset = offsetof(struct vring_used, ring) +
				(uint64_t)vr->size * sizeof(struct vring_used_elem);
	mark_used(vr, offset, sizeof(__virtio16));
}

void
vhost_pci_dirty_signal(struct vhost_pci_vring *vr)
{
	if (!vr->dirty.changed)
		return;
	vr->dirty.changed = false;
	if (vr->dirty.notifier.fd >= 0 || vr->dirty.notifier.doorbell != NULL)
		vhost_pci_notifier_signal(&vr->dirty.notifier);
}
