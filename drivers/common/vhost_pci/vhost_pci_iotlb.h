/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The device IOTLB: where the I/O virtual addresses (iova) of a guest behind a vIOMMU are in the
 * front-end's user address space (uva), and through the memory table in our own (va). With it the
 * addresses of rings, tables and buffers are IOVAs.
 *
 * It is a cache of bounded size: what is not in it is asked for (a miss), and the front-end may
 * take any of it back (an invalidation). Control changes it only while all vrings that use it are
 * paused, so that a burst sees one state of it, and what was taken back is in use no more when the
 * front-end is answered.
 */

#ifndef VHOST_PCI_IOTLB_H
#define VHOST_PCI_IOTLB_H

#include <linux/vhost_types.h>

#include "vhost_pci_mem.h"

/** Entries that a cache holds; another one takes the place of an older one. */
#define VHOST_PCI_IOTLB_MAX_ENTRIES 2048

/** One translation. */
struct vhost_pci_iotlb_entry {
	uint64_t iova;
	uint64_t last;                             /**< Last iova that it holds for. */
	uint64_t uva;                              /**< Of the first. */
	uint8_t *va;                               /**< The same byte in this process. */
	const struct vhost_pci_mem_region *region; /**< That all of it is in. */
	uint8_t perm;                              /**< VHOST_ACCESS_*, never 0. */
};

/** The cache, sorted by iova, without overlaps. */
struct vhost_pci_iotlb {
	uint32_t nb_entries;
	uint32_t victim; /**< The slot that had to go last, when the cache was full. */
	struct vhost_pci_iotlb_entry entry[VHOST_PCI_IOTLB_MAX_ENTRIES];
};

/**
 * Add a translation; what was known of its range is forgotten.
 *
 * @param mem	The memory table in force, which must outlive the entry's use; NULL: none.
 * @param update iova, size, uaddr and perm of it, as the front-end sent them.
 * @return The number of entries that were forgotten because they overlap; -EINVAL for a size of 0,
 *	   a range that wraps, or a permission that is none; -EFAULT where the range is not in one
 *	   region of the memory table. Nothing is changed by what is refused.
 *
 * Control thread, vrings paused. Clause: vhost-user, "IOMMU support".
 */
int vhost_pci_iotlb_update(struct vhost_pci_iotlb *iotlb, const struct vhost_pci_mem *mem,
		const struct vhost_iotlb_msg *update);

/** The last address of an invalidation: one of size 0, or that would wrap, goes to the end. */
static inline uint64_t
vhost_pci_iotlb_last(uint64_t iova, uint64_t size)
{
	return size == 0 || size - 1 > UINT64_MAX - iova ? UINT64_MAX : iova + (size - 1);
}

/**
 * Forget all that touches a range, which is given by its first and its last address.
 *
 * @return The number of entries that went. Control thread, vrings paused.
 */
unsigned int vhost_pci_iotlb_invalidate(struct vhost_pci_iotlb *iotlb, uint64_t iova,
		uint64_t last);

/**
 * Have all entries refer to another memory table, and forget those that it has no place for.
 *
 * Control thread, vrings paused.
 */
void vhost_pci_iotlb_follow_mem(struct vhost_pci_iotlb *iotlb, const struct vhost_pci_mem *mem);

/**
 * Translate a range as far as it is contiguous here, in one region, and may be used.
 *
 * @param[in,out] len Bytes wanted, at least 1; set to the bytes that are contiguous.
 * @param perm	VHOST_ACCESS_*: what is to be done there, all of it.
 * @return The address in this process; NULL where no entry has @p iova and permits that.
 *
 * The thread that polls a vring, inside the gate, or control.
 */
uint8_t *vhost_pci_iotlb_translate(const struct vhost_pci_iotlb *iotlb, uint64_t iova,
		uint64_t *len, uint8_t perm);

#endif /* VHOST_PCI_IOTLB_H */
