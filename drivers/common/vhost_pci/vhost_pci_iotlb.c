/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_iotlb.h"

#include <errno.h>
#include <string.h>

/** From one victim to the next: odd, so that it comes by all slots before it does so again. */
#define VICTIM_STEP 769

/** The first entry that ends at or behind an address. */
static uint32_t
find_slot(const struct vhost_pci_iotlb *iotlb, uint64_t iova)
{
	uint32_t low = 0, high = iotlb->nb_entries;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (iotlb->entry[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
remove_slots(struct vhost_pci_iotlb *iotlb, uint32_t first, uint32_t nb)
{
	memmove(&iotlb->entry[first], &iotlb->entry[first + nb],
			(iotlb->nb_entries - first - nb) * sizeof(iotlb->entry[0]));
	iotlb->nb_entries -= nb;
}

unsigned int
vhost_pci_iotlb_invalidate(struct vhost_pci_iotlb *iotlb, uint64_t iova, uint64_t last)
{
	uint32_t first = find_slot(iotlb, iova);
	uint32_t end = first;

	while (end < iotlb->nb_entries && iotlb->entry[end].iova <= last)
		end++;
	remove_slots(iotlb, first, end - first);
	return end - first;
}

/** Find the place of an entry in a memory table; false where there is none for all of it. */
static bool
place(struct vhost_pci_iotlb_entry *entry, const struct vhost_pci_mem *mem)
{
	uint64_t offset;

	entry->region = mem == NULL ? NULL : vhost_pci_mem_find_uva(mem, entry->uva);
	if (entry->region == NULL)
		return false;
	offset = entry->uva - entry->region->uva;
	entry->va = entry->region->va + offset;
	return entry->last - entry->iova < entry->region->size - offset;
}

int
vhost_pci_iotlb_update(struct vhost_pci_iotlb *iotlb, const struct vhost_pci_mem *mem,
		const struct vhost_iotlb_msg *update)
{
	struct vhost_pci_iotlb_entry entry = {
		.iova = update->iova,
		.last = update->iova + (update->size - 1),
		.uva = update->uaddr,
		.perm = update->perm,
	};
	unsigned int nb_forgotten;
	uint32_t slot;

	if (update->size == 0 || entry.last < entry.iova)
		return -EINVAL;
	if (entry.perm == 0 || (entry.perm & ~VHOST_ACCESS_RW) != 0)
		return -EINVAL;
	if (!place(&entry, mem))
		return -EFAULT;
	nb_forgotten = vhost_pci_iotlb_invalidate(iotlb, entry.iova, entry.last);
	if (iotlb->nb_entries == VHOST_PCI_IOTLB_MAX_ENTRIES) {
		iotlb->victim = (iotlb->victim + VICTIM_STEP) % VHOST_PCI_IOTLB_MAX_ENTRIES;
		remove_slots(iotlb, iotlb->victim, 1);
	}
	slot = find_slot(iotlb, entry.iova);
	memmove(&iotlb->entry[slot + 1], &iotlb->entry[slot],
			(iotlb->nb_entries - slot) * sizeof(iotlb->entry[0]));
	iotlb->entry[slot] = entry;
	iotlb->nb_entries++;
	return (int)nb_forgotten;
}

void
vhost_pci_iotlb_follow_mem(struct vhost_pci_iotlb *iotlb, const struct vhost_pci_mem *mem)
{
	uint32_t i, nb = 0;

	for (i = 0; i < iotlb->nb_entries; i++) {
		struct vhost_pci_iotlb_entry entry = iotlb->entry[i];

		if (place(&entry, mem))
			iotlb->entry[nb++] = entry;
	}
	iotlb->nb_entries = nb;
}

uint8_t *
vhost_pci_iotlb_translate(const struct vhost_pci_iotlb *iotlb, uint64_t iova, uint64_t *len,
		uint8_t perm)
{
	uint32_t slot = find_slot(iotlb, iova);
	const struct vhost_pci_iotlb_entry *entry = &iotlb->entry[slot];
	const struct vhost_pci_iotlb_entry *end = &iotlb->entry[iotlb->nb_entries];
	const struct vhost_pci_iotlb_entry *next;
	uint64_t more;
	uint8_t *va;

	if (slot == iotlb->nb_entries || iova < entry->iova || (entry->perm & perm) != perm)
		return NULL;
	va = entry->va + (iova - entry->iova);
	/* One less than there are bytes: the entry may be for the whole of an address space. */
	more = entry->last - iova;
	for (next = entry + 1; more < *len - 1 && next < end; entry = next++) {
		if (next->iova != entry->last + 1 || next->region != entry->region ||
				next->uva != entry->uva + (entry->last - entry->iova) + 1 ||
				(next->perm & perm) != perm)
			break;
		more += next->last - next->iova + 1;
	}
	if (more < *len - 1)
		*len = more + 1;
	return va;
}
