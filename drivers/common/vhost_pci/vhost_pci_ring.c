/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_ring.h"

#include <errno.h>
#include <string.h>

int
vhost_pci_chain_add_slow(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc)
{
	uint64_t gpa = desc->gpa;
	uint32_t left = desc->len;

	if (left > UINT32_MAX - chain->len)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_LENGTH);
	chain->len += left;
	while (left > 0) {
		uint32_t contiguous = left;
		uint8_t *va = vhost_pci_mem_gpa_to_va(vr->mem, &vr->cache, gpa, &contiguous);

		if (va == NULL)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_ADDR);
		if (vr->nb_segs >= vr->max_segs) {
			/* No fault of the driver's where other chains take up the room. */
			if (chain->seg_idx > 0)
				return -EAGAIN;
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_SEGMENTS);
		}
		vr->segs[vr->nb_segs++] = (struct vhost_pci_seg){ va, contiguous };
		chain->nb_segs++;
		gpa += contiguous;
		left -= contiguous;
	}
	return 0;
}

/** Load an entry of an indirect table, which may be split between two regions. */
static int
indirect_load(struct vhost_pci_vring *vr, uint64_t gpa, struct vhost_pci_desc *desc)
{
	union {
		struct vring_desc split;
		struct vring_packed_desc packed;
		uint8_t bytes[16];
	} local;
	uint32_t done = 0;

	while (done < sizeof(local)) {
		uint32_t contiguous = (uint32_t)sizeof(local) - done;
		const uint8_t *va = vhost_pci_mem_gpa_to_va(vr->mem, &vr->cache, gpa + done,
				&contiguous);

		if (va == NULL)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_ADDR);
		/* Checks are made on the copy; what the peer writes later is not seen. */
		memcpy(&local.bytes[done], va, contiguous);
		done += contiguous;
	}
	*desc = vr->is_packed ? vhost_pci_desc_load_packed(&local.packed)
			      : vhost_pci_desc_load_split(&local.split);
	return 0;
}

int
vhost_pci_chain_add_indirect(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc, enum vhost_pci_dir dir)
{
	uint32_t nb_entries = desc->len / sizeof(struct vring_desc);
	uint32_t next = 0;
	uint32_t seen;
	struct vhost_pci_desc entry;
	int ret;

	if (!vr->indirect)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT);
	if (desc->flags & VRING_DESC_F_NEXT)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT_NEXT);
	if (nb_entries == 0 || desc->len % sizeof(struct vring_desc) != 0 || nb_entries > vr->size)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT_LEN);

	for (seen = 0; seen < nb_entries; seen++) {
		ret = indirect_load(vr, desc->gpa + (uint64_t)next * sizeof(struct vring_desc),
				&entry);
		if (ret < 0)
			return ret;
		if (entry.flags & VRING_DESC_F_INDIRECT)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT_NESTED);
		ret = vhost_pci_chain_add(vr, chain, &entry, dir);
		if (ret < 0)
			return ret;
		if (vr->is_packed) {
			/* VIRTIO 2.8.7: the entries stand in order, all of them belong to the chain. */
			next++;
			continue;
		}
		if ((entry.flags & VRING_DESC_F_NEXT) == 0)
			return 0;
		next = entry.next;
		if (next >= nb_entries)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_NEXT);
	}
	return vr->is_packed ? 0 : vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_LOOP);
}

int
vhost_pci_split_walk(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir)
{
	unsigned int seen;
	int ret;

	for (seen = 1;; seen++) {
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return vhost_pci_chain_add_indirect(vr, chain, &desc, dir);
		ret = vhost_pci_chain_add(vr, chain, &desc, dir);
		if (ret < 0 || (desc.flags & VRING_DESC_F_NEXT) == 0)
			return ret;
		if (desc.next >= vr->size)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_NEXT);
		if (seen >= vr->size)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_LOOP);
		desc = vhost_pci_desc_load_split(&vr->split.desc[desc.next]);
	}
}

int
vhost_pci_packed_walk(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir)
{
	uint16_t slot = vr->avail_idx;
	bool wrap = vr->avail_wrap;
	int ret;

	for (;;) {
		if (desc.flags & VRING_DESC_F_INDIRECT)
			ret = vhost_pci_chain_add_indirect(vr, chain, &desc, dir);
		else
			ret = vhost_pci_chain_add(vr, chain, &desc, dir);
		if (ret < 0 || (desc.flags & VRING_DESC_F_NEXT) == 0)
			break;
		if (chain->nb_slots >= vr->size)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_LOOP);
		vhost_pci_packed_advance(vr, &slot, &wrap, 1);
		desc = vhost_pci_desc_load_packed(&vr->packed.desc[slot]);
		/* VIRTIO 2.8.21.1: the first one of a chain is made available last. */
		if (!vhost_pci_packed_is_avail(desc.flags, wrap))
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_WRAP);
		chain->nb_slots++;
	}
	/* VIRTIO 2.8.6: the id stands in the last descriptor of a chain. */
	chain->id = desc.next;
	return ret;
}

/** Discard with the format known. */
VHOST_PCI_ALWAYS_INLINE unsigned int
ring_discard(struct vhost_pci_vring *vr, unsigned int max, const enum vhost_pci_ring_format format)
{
	struct vhost_pci_chain chain;
	unsigned int nb = 0;

	vhost_pci_ring_begin(vr);
	while (nb < max && vhost_pci_ring_next(vr, &chain, format, VHOST_PCI_DEQUEUE) > 0) {
		vhost_pci_ring_put(vr, &chain, 0, format);
		vhost_pci_ring_drop_segs(vr);
		nb++;
	}
	vhost_pci_ring_end(vr, format);
	vhost_pci_count(&vr->stats.discarded, nb);
	return nb;
}

unsigned int
vhost_pci_ring_discard(struct vhost_pci_vring *vr, unsigned int max)
{
	return vr->is_packed ? ring_discard(vr, max, VHOST_PCI_PACKED)
			     : ring_discard(vr, max, VHOST_PCI_SPLIT);
}
