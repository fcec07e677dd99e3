/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The memory table: where the front-end's guest-physical (gpa) and user (uva) addresses are in
 * our own address space (va).
 *
 * A table is immutable once built and reference-counted: control builds a new one for each
 * change (SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG) and publishes it to paused vrings, while a
 * packet that was received without a copy keeps the table, or only a mapping, it came from.
 * This is the only place in which address spaces are converted.
 */

#ifndef VHOST_PCI_MEM_H
#define VHOST_PCI_MEM_H

#include <stddef.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_guard.h"

/** Regions that one table can hold: the memory slots that are reported to the front-end. */
#define VHOST_PCI_MEM_MAX_REGIONS 509

/**
 * A range of a peer's memory that is mapped into this process.
 *
 * Made by whoever knows how (an fd of a UNIX socket, a window of a BAR); freed by @p release
 * when the last reference goes, from whatever thread drops it.
 */
struct vhost_pci_mapping {
	uint32_t refcnt;               /**< Atomic. */
	uint8_t *va;                   /**< First byte of the mapped range. */
	uint64_t size;                 /**< Bytes that may be touched from va on. */
	bool may_shrink;               /**< Its file can be truncated under us: no F_SEAL_SHRINK. */
	struct vhost_pci_guard *guard; /**< What survives that; NULL: nothing can happen here. */
	void (*release)(struct vhost_pci_mapping *mapping); /**< Unmaps and frees. */
};

/** One region of the front-end's memory. */
struct vhost_pci_mem_region {
	uint64_t gpa;         /**< Guest-physical address of its first byte. */
	uint64_t uva;         /**< The front-end's user address of its first byte. */
	uint64_t size;        /**< In bytes, never 0; neither gpa + size nor uva + size wraps. */
	uint64_t mmap_offset; /**< Offset of the region in the file it came with. */
	uint8_t *va;          /**< The same byte in this process. */
	struct vhost_pci_mapping *mapping; /**< What va points into; one reference is held. */
	uint32_t nb_more; /**< Times it was added again, and not removed; control's own. */
};

/** An immutable table of regions, sorted by gpa, which do not overlap in gpa nor in uva. */
struct vhost_pci_mem {
	uint32_t refcnt; /**< Atomic. */
	uint32_t nb_regions;
	struct vhost_pci_mem_region region[];
};

/** The region that one queue used last; owned by the thread that polls the queue. */
struct vhost_pci_mem_cache {
	uint64_t gpa;
	uint64_t size; /**< 0: empty. */
	uint8_t *va;
};

/**
 * Build a table out of regions.
 *
 * @param regions  The regions, in any order; each one's mapping is referenced by the table,
 *		   the caller keeps its own reference.
 * @param nb_regions 0 to VHOST_PCI_MEM_MAX_REGIONS.
 * @param[out] mem The table, with one reference, which is the caller's.
 * @return 0; -EINVAL for a region of size 0, a range that wraps, or one that reaches beyond its
 *	   mapping; -EEXIST for an overlap in gpa or uva; -E2BIG for too many; -ENOMEM.
 *
 * Control thread. Clause: vhost-user, "Memory region description".
 */
int vhost_pci_mem_create(const struct vhost_pci_mem_region *regions, unsigned int nb_regions,
		struct vhost_pci_mem **mem);

/** Take one more reference of a table (NULL is allowed and stays NULL). Any thread. */
struct vhost_pci_mem *vhost_pci_mem_get(struct vhost_pci_mem *mem);

/** Drop a reference of a table; the last one drops the table's mappings. Any thread. */
void vhost_pci_mem_put(struct vhost_pci_mem *mem);

/** Take one more reference of a mapping. Any thread. */
struct vhost_pci_mapping *vhost_pci_mapping_get(struct vhost_pci_mapping *mapping);

/** Drop a reference of a mapping; the last one unmaps it. Any thread. */
void vhost_pci_mapping_put(struct vhost_pci_mapping *mapping);

/**
 * Find the region that holds a guest-physical address.
 *
 * @return The region, or NULL if no region holds the address. Any thread that holds a reference.
 */
const struct vhost_pci_mem_region *vhost_pci_mem_find_gpa(const struct vhost_pci_mem *mem,
		uint64_t gpa);

/**
 * Find the region that holds an address of the front-end's user address space.
 *
 * @return The region, or NULL if no region holds the address. Any thread that holds a reference.
 */
const struct vhost_pci_mem_region *vhost_pci_mem_find_uva(const struct vhost_pci_mem *mem,
		uint64_t uva);

/**
 * Translate a range of the front-end's user addresses, which must lie in one region.
 *
 * @param uva	First byte.
 * @param size	Bytes, at least 1.
 * @return The address in this process, or NULL if the range is not in one region.
 *
 * Control thread: vring addresses are user addresses (vhost-user, "vring address description").
 */
void *vhost_pci_mem_uva_to_va(const struct vhost_pci_mem *mem, uint64_t uva, uint64_t size);

/**
 * The way back: the guest-physical address of a byte of this process.
 *
 * @return false where no region holds it. Any thread that holds a reference.
 */
bool vhost_pci_mem_va_to_gpa(const struct vhost_pci_mem *mem, const void *va, uint64_t *gpa);

/** The way out of vhost_pci_mem_gpa_to_va() when the cached region does not hold the range. */
uint8_t *vhost_pci_mem_gpa_to_va_slow(const struct vhost_pci_mem *mem,
		struct vhost_pci_mem_cache *cache, uint64_t gpa, uint32_t *len);

/**
 * Translate a guest-physical range as far as it is contiguous here.
 *
 * @param cache	The queue's cache.
 * @param gpa	First byte, as the peer gave it.
 * @param[in,out] len Bytes wanted, at least 1; set to the bytes that are contiguous from the
 *		result on where the range goes on in another region.
 * @return The address in this process, or NULL if no region holds @p gpa.
 *
 * The thread that polls the queue.
 */
static inline uint8_t *
vhost_pci_mem_gpa_to_va(const struct vhost_pci_mem *mem, struct vhost_pci_mem_cache *cache,
		uint64_t gpa, uint32_t *len)
{
	uint64_t offset = gpa - cache->gpa;

	if (vhost_pci_likely(offset < cache->size && *len <= cache->size - offset))
		return cache->va + offset;
	return vhost_pci_mem_gpa_to_va_slow(mem, cache, gpa, len);
}

#endif /* VHOST_PCI_MEM_H */
