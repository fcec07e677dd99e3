/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** One more reference: whoever takes it holds one, so nothing needs ordering. */
static void
ref_get(uint32_t *refcnt)
{
	__atomic_fetch_add(refcnt, 1, __ATOMIC_RELAXED);
}

/** One reference less; true for the last one. What each holder did comes before the freeing. */
static bool
ref_put(uint32_t *refcnt)
{
	return __atomic_sub_fetch(refcnt, 1, __ATOMIC_ACQ_REL) == 0;
}

static int
compare_gpa(const void *a, const void *b)
{
	const struct vhost_pci_mem_region *left = a, *right = b;

	return left->gpa < right->gpa ? -1 : left->gpa > right->gpa;
}

static int
compare_uva(const void *a, const void *b)
{
	const struct vhost_pci_mem_region *left = *(const struct vhost_pci_mem_region *const *)a;
	const struct vhost_pci_mem_region *right = *(const struct vhost_pci_mem_region *const *)b;

	return left->uva < right->uva ? -1 : left->uva > right->uva;
}

/** Nothing wraps, and the region is within what was mapped for it. */
static int
check_region(const struct vhost_pci_mem_region *region)
{
	const struct vhost_pci_mapping *mapping = region->mapping;
	uint64_t offset;

	if (region->size == 0 || region->size > UINT64_MAX - region->gpa ||
			region->size > UINT64_MAX - region->uva ||
			region->size > UINT64_MAX - region->mmap_offset)
		return -EINVAL;
	offset = (uint64_t)((uintptr_t)region->va - (uintptr_t)mapping->va);
	if (offset > mapping->size || region->size > mapping->size - offset)
		return -EINVAL;
	return 0;
}

/** The table is sorted by gpa, so only neighbours can overlap. */
static int
check_gpa_overlap(const struct vhost_pci_mem *mem)
{
	uint32_t i;

	for (i = 1; i < mem->nb_regions; i++)
		if (mem->region[i].gpa - mem->region[i - 1].gpa < mem->region[i - 1].size)
			return -EEXIST;
	return 0;
}

static int
check_uva_overlap(const struct vhost_pci_mem *mem)
{
	const struct vhost_pci_mem_region *by_uva[VHOST_PCI_MEM_MAX_REGIONS];
	uint32_t i;

	for (i = 0; i < mem->nb_regions; i++)
		by_uva[i] = &mem->region[i];
	qsort(by_uva, mem->nb_regions, sizeof(by_uva[0]), compare_uva);
	for (i = 1; i < mem->nb_regions; i++)
		if (by_uva[i]->uva - by_uva[i - 1]->uva < by_uva[i - 1]->size)
			return -EEXIST;
	return 0;
}

int
vhost_pci_mem_create(const struct vhost_pci_mem_region *regions, unsigned int nb_regions,
		struct vhost_pci_mem **mem)
{
	struct vhost_pci_mem *table;
	unsigned int i;
	int ret;

	if (nb_regions > VHOST_PCI_MEM_MAX_REGIONS)
		return -E2BIG;
	/* vhost-user, "Memory region description": size, and no range that wraps. */
	for (i = 0; i < nb_regions; i++) {
		ret = check_region(&regions[i]);
		if (ret < 0)
			return ret;
	}

	table = calloc(1, sizeof(*table) + nb_regions * sizeof(table->region[0]));
	if (table == NULL)
		return -ENOMEM;
	table->refcnt = 1;
	table->nb_regions = nb_regions;
	if (nb_regions > 0)
		memcpy(table->region, regions, nb_regions * sizeof(table->region[0]));
	qsort(table->region, nb_regions, sizeof(table->region[0]), compare_gpa);
	ret = check_gpa_overlap(table);
	if (ret == 0)
		ret = check_uva_overlap(table);
	if (ret < 0) {
		free(table);
		return ret;
	}

	for (i = 0; i < nb_regions; i++)
		vhost_pci_mapping_get(table->region[i].mapping);
	*mem = table;
	return 0;
}

struct vhost_pci_mem *
vhost_pci_mem_get(struct vhost_pci_mem *mem)
{
	if (mem != NULL)
		ref_get(&mem->refcnt);
	return mem;
}

void
vhost_pci_mem_put(struct vhost_pci_mem *mem)
{
	uint32_t i;

	if (mem == NULL || !ref_put(&mem->refcnt))
		return;
	for (i = 0; i < mem->nb_regions; i++)
		vhost_pci_mapping_put(mem->region[i].mapping);
	free(mem);
}

struct vhost_pci_mapping *
vhost_pci_mapping_get(struct vhost_pci_mapping *mapping)
{
	if (mapping != NULL)
		ref_get(&mapping->refcnt);
	return mapping;
}

void
vhost_pci_mapping_put(struct vhost_pci_mapping *mapping)
{
	if (mapping != NULL && ref_put(&mapping->refcnt))
		mapping->release(mapping);
}

const struct vhost_pci_mem_region *
vhost_pci_mem_find_gpa(const struct vhost_pci_mem *mem, uint64_t gpa)
{
	uint32_t low = 0, high = mem->nb_regions;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct vhost_pci_mem_region *region = &mem->region[middle];

		if (gpa < region->gpa)
			high = middle;
		else if (gpa - region->gpa >= region->size)
			low = middle + 1;
		else
			return region;
	}
	return NULL;
}

const struct vhost_pci_mem_region *
vhost_pci_mem_find_uva(const struct vhost_pci_mem *mem, uint64_t uva)
{
	uint32_t i;

	for (i = 0; i < mem->nb_regions; i++)
		if (uva >= mem->region[i].uva && uva - mem->region[i].uva < mem->region[i].size)
			return &mem->region[i];
	return NULL;
}

void *
vhost_pci_mem_uva_to_va(const struct vhost_pci_mem *mem, uint64_t uva, uint64_t size)
{
	const struct vhost_pci_mem_region *region = vhost_pci_mem_find_uva(mem, uva);

	if (region == NULL || size > region->size - (uva - region->uva))
		return NULL;
	return region->va + (uva - region->uva);
}

bool
vhost_pci_mem_va_to_gpa(const struct vhost_pci_mem *mem, const void *va, uint64_t *gpa)
{
	uint32_t i;

	for (i = 0; i < mem->nb_regions; i++) {
		const struct vhost_pci_mem_region *region = &mem->region[i];
		uint64_t offset = (uint64_t)((uintptr_t)va - (uintptr_t)region->va);

		if (offset < region->size) {
			*gpa = region->gpa + offset;
			return true;
		}
	}
	return false;
}

uint8_t *
vhost_pci_mem_gpa_to_va_slow(const struct vhost_pci_mem *mem, struct vhost_pci_mem_cache *cache,
		uint64_t gpa, uint32_t *len)
{
	const struct vhost_pci_mem_region *region = vhost_pci_mem_find_gpa(mem, gpa);
	uint64_t left;

	if (region == NULL)
		return NULL;
	cache->gpa = region->gpa;
	cache->size = region->size;
	cache->va = region->va;
	left = region->size - (gpa - region->gpa);
	if (*len > left)
		*len = (uint32_t)left;
	return region->va + (gpa - region->gpa);
}
