/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_ring.h"

#include <errno.h>

#include "vhost_pci_iotlb.h"
#include "vhost_pci_lend.h"

/**
 * Find where guest memory is, as far as it is contiguous here.
 *
 * @param[in,out] len Bytes wanted, at least 1; set to those that are contiguous.
 * @param perm	VHOST_ACCESS_*: what is to be done there.
 * @return 0; -EPROTO with the ring broken: it is nowhere; -EAGAIN: that is not known, was asked.
 */
static int
locate(struct vhost_pci_vring *vr, uint64_t addr, uint32_t *len, uint8_t perm, uint8_t **va)
{
	uint64_t contiguous = *len;

	if (vr->iotlb != NULL) {
		*va = vhost_pci_iotlb_translate(vr->iotlb, addr, &contiguous, perm);
		*len = (uint32_t)contiguous;
		return *va != NULL ? 0 : vhost_pci_vring_miss(vr, addr, perm);
	}
	*va = vhost_pci_mem_gpa_to_va(vr->mem, &vr->cache, addr, len);
	return *va != NULL ? 0 : vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_ADDR);
}

int
vhost_pci_chain_add_slow(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc)
{
	uint8_t perm = (desc->flags & VRING_DESC_F_WRITE) != 0 ? VHOST_ACCESS_WO : VHOST_ACCESS_RO;
	uint64_t gpa = desc->gpa;
	uint32_t left = desc->len;
	int ret;

	if (left > UINT32_MAX - chain->len)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_LENGTH);
	chain->len += left;
	while (left > 0) {
		uint32_t contiguous = left;
		uint8_t *va;

		ret = locate(vr, gpa, &contiguous, perm, &va);
		if (ret < 0)
			return ret;
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

/** A descriptor in memory of either format. */
union any_desc {
	struct vring_desc split;
	struct vring_packed_desc packed;
	uint8_t bytes[16];
};

_Static_assert(sizeof(union any_desc) == 16, "VIRTIO 2.7.5, 2.8.13");

VHOST_PCI_ALWAYS_INLINE struct vhost_pci_desc
any_desc_load(const union any_desc *desc, const unsigned int kind)
{
	return (kind & VHOST_PCI_RING_PACKED) != 0 ? vhost_pci_desc_load_packed(&desc->packed)
						   : vhost_pci_desc_load_split(&desc->split);
}

/**
 * Where an indirect table is, if it can be read in place.
 *
 * @param[out] table The table; NULL where it is in two regions, or (VIRTIO asks for none) not
 *		aligned to the words it is read by.
 * @return 0, or the error of locate().
 */
static int
indirect_table(struct vhost_pci_vring *vr, const struct vhost_pci_desc *desc,
		const union any_desc **table)
{
	uint32_t contiguous = desc->len;
	uint8_t *va;
	int ret;

	ret = locate(vr, desc->gpa, &contiguous, VHOST_ACCESS_RO, &va);
	if (ret < 0)
		return ret;
	*table = NULL;
	if (contiguous == desc->len && (uintptr_t)va % sizeof(uint64_t) == 0)
		*table = (const union any_desc *)(void *)va;
	return 0;
}

/** Load an entry of a table that can't be read in place, byte by byte. */
static int
indirect_load_slow(struct vhost_pci_vring *vr, uint64_t gpa, struct vhost_pci_desc *desc)
{
	union any_desc local;
	uint32_t done = 0;

	while (done < sizeof(local)) {
		uint32_t left = (uint32_t)sizeof(local) - done;
		uint8_t *va;
		int ret;

		ret = locate(vr, gpa + done, &left, VHOST_ACCESS_RO, &va);
		if (ret < 0)
			return ret;
		/* Checks are made on the copy; what the peer writes later is not seen. */
		for (; left > 0; left--)
			local.bytes[done++] = vhost_pci_load_relaxed(va++);
	}
	*desc = any_desc_load(&local, vr->is_packed ? VHOST_PCI_RING_PACKED : VHOST_PCI_RING_SPLIT);
	return 0;
}

/** Check the descriptor that refers to a table. Returns the table's entries, or -EPROTO. */
static int
indirect_check(struct vhost_pci_vring *vr, const struct vhost_pci_desc *desc)
{
	uint32_t nb_entries = desc->len / sizeof(union any_desc);

	if (!vr->indirect)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT);
	if (desc->flags & VRING_DESC_F_NEXT)
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT_NEXT);
	if (nb_entries == 0 || desc->len % sizeof(union any_desc) != 0 ||
			nb_entries > vhost_pci_vring_max_table(vr->size))
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT_LEN);
	return (int)nb_entries;
}

/**
 * Append all buffers of an indirect table to a chain.
 *
 * @param desc	The descriptor with VRING_DESC_F_INDIRECT, which has been loaded once.
 * @return 0; -EPROTO with the ring broken: not negotiated, with NEXT (VIRTIO 2.7.5.3.1), a length
 *	   that is 0, no multiple of 16 or beyond vhost_pci_vring_max_table(), a table outside of
 *	   the memory table, nested, next beyond the table (split), a loop (split). -EAGAIN as for
 *	   vhost_pci_chain_add().
 */
VHOST_PCI_ALWAYS_INLINE int
add_indirect(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc, const unsigned int kind,
		const enum vhost_pci_dir dir)
{
	int nb_entries = indirect_check(vr, desc);
	const union any_desc *table;
	struct vhost_pci_desc entry;
	int next = 0;
	int seen;
	int ret;

	if (nb_entries < 0)
		return nb_entries;
	ret = indirect_table(vr, desc, &table);
	if (ret < 0)
		return ret;
	for (seen = 0; seen < nb_entries; seen++) {
		if (vhost_pci_likely(table != NULL))
			entry = any_desc_load(&table[next], kind);
		else
			ret = indirect_load_slow(vr, desc->gpa + (uint64_t)next * sizeof(*table),
					&entry);
		if (ret < 0)
			return ret;
		if (entry.flags & VRING_DESC_F_INDIRECT)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_INDIRECT_NESTED);
		/* DPDK's packed driver leaves WRITE on entries of tables that it sends. To read a
		 * buffer that may be written as well does no harm.
		 */
		if ((kind & VHOST_PCI_RING_PACKED) != 0 && dir == VHOST_PCI_DEQUEUE)
			entry.flags &= (uint16_t)~VRING_DESC_F_WRITE;
		ret = vhost_pci_chain_add(vr, chain, &entry, dir);
		if (ret < 0)
			return ret;
		if ((kind & VHOST_PCI_RING_PACKED) != 0) {
			/* VIRTIO 2.8.7: the entries stand in order, the chain is all of them. */
			next++;
			continue;
		}
		if ((entry.flags & VRING_DESC_F_NEXT) == 0)
			return 0;
		next = entry.next;
		if (next >= nb_entries)
			return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_NEXT);
	}
	return (kind & VHOST_PCI_RING_PACKED) != 0
			? 0
			: vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_LOOP);
}

VHOST_PCI_ALWAYS_INLINE int
walk_split(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain, struct vhost_pci_desc desc,
		const enum vhost_pci_dir dir)
{
	unsigned int seen;
	int ret;

	for (seen = 1;; seen++) {
		if (desc.flags & VRING_DESC_F_INDIRECT)
			return add_indirect(vr, chain, &desc, VHOST_PCI_RING_SPLIT, dir);
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
vhost_pci_split_walk(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir)
{
	return dir == VHOST_PCI_ENQUEUE ? walk_split(vr, chain, desc, VHOST_PCI_ENQUEUE)
					: walk_split(vr, chain, desc, VHOST_PCI_DEQUEUE);
}

VHOST_PCI_ALWAYS_INLINE int
walk_packed(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain, struct vhost_pci_desc desc,
		const enum vhost_pci_dir dir)
{
	uint16_t slot = vr->avail_idx;
	bool wrap = vr->avail_wrap;
	int ret;

	for (;;) {
		if (desc.flags & VRING_DESC_F_INDIRECT)
			ret = add_indirect(vr, chain, &desc, VHOST_PCI_RING_PACKED, dir);
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

int
vhost_pci_packed_walk(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		struct vhost_pci_desc desc, enum vhost_pci_dir dir)
{
	return dir == VHOST_PCI_ENQUEUE ? walk_packed(vr, chain, desc, VHOST_PCI_ENQUEUE)
					: walk_packed(vr, chain, desc, VHOST_PCI_DEQUEUE);
}

int
vhost_pci_packed_walk_saved(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		const struct vhost_pci_desc *desc, uint16_t nb, enum vhost_pci_dir dir)
{
	uint16_t i;
	int ret;

	for (i = 0; i < nb; i++) {
		if (desc[i].flags & VRING_DESC_F_INDIRECT)
			ret = add_indirect(vr, chain, &desc[i], VHOST_PCI_RING_PACKED, dir);
		else
			ret = vhost_pci_chain_add(vr, chain, &desc[i], dir);
		if (ret < 0)
			return ret;
	}
	chain->id = desc[nb - 1].next;
	chain->nb_slots = nb;
	return 0;
}

void
vhost_pci_ring_call_anew(struct vhost_pci_vring *vr)
{
	vr->signalled_valid = false;
	vhost_pci_ring_call(vr, vhost_pci_vring_kind(vr));
}

unsigned int
vhost_pci_ring_discard(struct vhost_pci_vring *vr, unsigned int max)
{
	const unsigned int kind = vhost_pci_vring_kind(vr);
	struct vhost_pci_chain chain;
	unsigned int nb = 0;

	vhost_pci_ring_begin(vr);
	if (vhost_pci_lend_is_due(vr))
		vhost_pci_lend_drain(vr);
	while (nb < max && vhost_pci_ring_next(vr, &chain, kind, VHOST_PCI_DEQUEUE) > 0) {
		if (vr->lend != NULL)
			vhost_pci_lend_put(vr, &chain);
		else
			vhost_pci_ring_put(vr, &chain, 0, kind);
		vhost_pci_ring_drop_segs(vr);
		nb++;
	}
	vhost_pci_ring_end(vr, kind);
	vhost_pci_count(&vr->stats.discarded, nb);
	return nb;
}
