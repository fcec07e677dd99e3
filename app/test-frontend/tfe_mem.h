/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front-end's memory: memfd regions with any layout of guest and user addresses, and a simple
 * allocator in them.
 *
 * An address has one of three spaces, told by its name: gpa (what descriptors carry), uva (what
 * SET_VRING_ADDR carries) and va (a pointer in this process). The default layout makes the three
 * differ, so that a back-end that mixes them up fails.
 */

#ifndef TFE_MEM_H
#define TFE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tfe_conn.h"

/** Regions a memory may have: the 509 slots of CONFIGURE_MEM_SLOTS and a few to go beyond. */
#define TFE_MEM_REGIONS 520

/** @name Flags of a region. */
/**@{*/
#define TFE_MEM_HUGE        0x1u /**< 2 MiB pages; size and offset must be multiples of them */
#define TFE_MEM_SEAL_SHRINK 0x2u /**< F_SEAL_SHRINK: the file can't be truncated any more */
#define TFE_MEM_SEAL_GROW   0x4u /**< F_SEAL_GROW */
#define TFE_MEM_SEAL_SEAL   0x8u /**< F_SEAL_SEAL */
/**@}*/

/** First gpa and uva, and offset in the file, of the default layout. */
#define TFE_MEM_GPA    UINT64_C(0x40000000)
#define TFE_MEM_UVA    UINT64_C(0x600000000000)
#define TFE_MEM_OFFSET UINT64_C(0x200000)

/** Where region 0 is to a device behind a vIOMMU. */
#define TFE_MEM_IOVA UINT64_C(0xff0012300000)

/** What a region shall be. */
struct tfe_region_conf {
	uint64_t gpa;
	uint64_t uva;
	uint64_t size_bytes;
	uint64_t mmap_offset; /**< offset in the file; bytes before it belong to no region */
	unsigned int flags;   /**< TFE_MEM_* */
	int share_fd_of;      /**< index of the region whose file this one is a part of, or -1 */
};

/** A region. */
struct tfe_region {
	uint64_t gpa;
	uint64_t uva;
	uint64_t size_bytes;
	uint64_t mmap_offset;
	int fd;
	uint8_t *va;         /**< its start; what comes before it in the file is not mapped */
	uint64_t used_bytes; /**< the allocator's mark */
};

/** A memory. */
struct tfe_mem {
	bool iommu; /**< all that is allocated, from region 0, has an iova for both gpa and uva */
	unsigned int nb_regions;
	struct tfe_region regions[TFE_MEM_REGIONS];
};

/** An allocated piece of memory; contiguous in all three spaces. */
struct tfe_buf {
	void *va;
	uint64_t gpa;
	uint64_t uva;
	uint64_t size_bytes;
};

/** Initialise an empty memory. */
void tfe_mem_init(struct tfe_mem *mem);

/** One region of size_bytes in the default layout. @return 0, -ENOMEM, -EINVAL. */
int tfe_mem_create(struct tfe_mem *mem, uint64_t size_bytes, unsigned int flags);

/** Add a region; its index is returned, or -errno. Overlaps are not refused. */
int tfe_mem_add_region(struct tfe_mem *mem, const struct tfe_region_conf *conf);

/** Unmap and close all. The back-end's mappings are its own. */
void tfe_mem_destroy(struct tfe_mem *mem);

/**
 * Allocate zeroed memory from a region; there is no free but tfe_mem_release().
 *
 * @param align  a power of two, applied to all three addresses alike (regions are page aligned).
 * @return 0 or -ENOMEM, -EINVAL for an unknown region.
 */
int tfe_mem_alloc(struct tfe_mem *mem, unsigned int region, uint64_t size_bytes, uint64_t align,
		struct tfe_buf *buf);

/** The allocator's mark of a region, to give to tfe_mem_release() later. */
uint64_t tfe_mem_mark(const struct tfe_mem *mem, unsigned int region);

/** Free all that was allocated from the region since the mark was taken. */
void tfe_mem_release(struct tfe_mem *mem, unsigned int region, uint64_t mark);

/** The pointer for nb_bytes at gpa, or NULL when they are not all in one region. */
void *tfe_mem_gpa_to_va(const struct tfe_mem *mem, uint64_t gpa, uint64_t nb_bytes);

/** The pointer for nb_bytes at uva, or NULL when they are not all in one region. */
void *tfe_mem_uva_to_va(const struct tfe_mem *mem, uint64_t uva, uint64_t nb_bytes);

/** The region as it goes over the wire. */
struct tfe_vu_region tfe_mem_wire(const struct tfe_mem *mem, unsigned int region);

/** Send all regions with one SET_MEM_TABLE. @return -E2BIG for more than 8 regions. */
int tfe_mem_send_table(const struct tfe_mem *mem, struct tfe_conn *conn);

/** Send all regions with ADD_MEM_REG, one by one. */
int tfe_mem_send_slots(const struct tfe_mem *mem, struct tfe_conn *conn);

#endif /* TFE_MEM_H */
