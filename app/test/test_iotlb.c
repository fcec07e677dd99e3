/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The device IOTLB as a table: what is in it, what is refused, what has to go. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring_driver.h"
#include "test.h"
#include "vhost_pci_iotlb.h"

#define PAGE UINT64_C(0x1000)

/** Two regions that follow each other in uva and in va, not in gpa; and one that lies apart. */
#define NB_REGIONS   3
#define REGION_BYTES (16 * PAGE)
#define UVA(region)  (UINT64_C(0x7f0000000000) + (region)*REGION_BYTES + ((region) == 2 ? PAGE : 0))

static uint8_t memory[NB_REGIONS * REGION_BYTES];

static void
release_nothing(struct vhost_pci_mapping *mapping)
{
	(void)mapping;
}

struct fixture {
	struct vhost_pci_iotlb iotlb;
	struct vhost_pci_mapping mapping;
	struct vhost_pci_mem *mem;
};

static struct vhost_pci_mem *
make_mem(struct fixture *f, unsigned int nb_regions)
{
	struct vhost_pci_mem_region regions[NB_REGIONS];
	struct vhost_pci_mem *mem;
	unsigned int i;

	for (i = 0; i < nb_regions; i++)
		regions[i] = (struct vhost_pci_mem_region){
			.gpa = (uint64_t)i << 32,
			.uva = UVA(i),
			.size = REGION_BYTES,
			.va = &memory[i * REGION_BYTES],
			.mapping = &f->mapping,
		};
	assert_int_equal(vhost_pci_mem_create(regions, nb_regions, &mem), 0);
	return mem;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->mapping = (struct vhost_pci_mapping){
		.refcnt = 1,
		.va = memory,
		.size = sizeof(memory),
		.release = release_nothing,
	};
	f->mem = make_mem(f, NB_REGIONS);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	vhost_pci_mem_put(f->mem);
	free(f);
	return 0;
}

static int
update(struct fixture *f, uint64_t iova, uint64_t size, uint64_t uva, uint8_t perm)
{
	const struct vhost_iotlb_msg msg = {
		.iova = iova,
		.size = size,
		.uaddr = uva,
		.perm = perm,
		.type = VHOST_IOTLB_UPDATE,
	};

	return vhost_pci_iotlb_update(&f->iotlb, f->mem, &msg);
}

/** Where an address is, as an offset in memory; -1 where it is not known. */
static int64_t
find(const struct fixture *f, uint64_t iova, uint64_t len, uint64_t expected_len, uint8_t perm)
{
	uint8_t *va = vhost_pci_iotlb_translate(&f->iotlb, iova, &len, perm);

	if (va == NULL)
		return -1;
	assert_int_equal(len, expected_len);
	return va - memory;
}

static void
test_translation_is_by_first_and_last_byte(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x5000, PAGE, UVA(0) + 2 * PAGE, VHOST_ACCESS_RW), 0);
	assert_int_equal(find(f, 0x4fff, 1, 0, VHOST_ACCESS_RO), -1);
	assert_int_equal(find(f, 0x5000, 1, 1, VHOST_ACCESS_RO), 2 * PAGE);
	assert_int_equal(find(f, 0x5000, PAGE, PAGE, VHOST_ACCESS_RO), 2 * PAGE);
	assert_int_equal(find(f, 0x5ffe, 100, 2, VHOST_ACCESS_WO), 2 * PAGE + 0xffe);
	assert_int_equal(find(f, 0x5fff, 1, 1, VHOST_ACCESS_RW), 2 * PAGE + 0xfff);
	assert_int_equal(find(f, 0x6000, 1, 0, VHOST_ACCESS_RO), -1);
}

static void
test_empty_table_has_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(find(f, 0, 1, 0, VHOST_ACCESS_RO), -1);
	assert_int_equal(find(f, UINT64_MAX, 1, 0, VHOST_ACCESS_RO), -1);
	assert_int_equal(vhost_pci_iotlb_invalidate(&f->iotlb, 0, UINT64_MAX), 0);
}

static void
test_last_byte_of_the_address_space(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0 - PAGE, PAGE, UVA(0), VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0, PAGE, UVA(0) + PAGE, VHOST_ACCESS_RW), 0);
	assert_int_equal(find(f, UINT64_MAX, 2, 1, VHOST_ACCESS_RO), 0xfff);
	assert_int_equal(find(f, 0, 1, 1, VHOST_ACCESS_RO), PAGE);
	assert_int_equal(vhost_pci_iotlb_invalidate(&f->iotlb, UINT64_MAX, UINT64_MAX), 1);
	assert_int_equal(find(f, 0, 1, 1, VHOST_ACCESS_RO), PAGE);
}

static void
test_bad_updates_change_nothing(void **state)
{
	static const struct {
		uint64_t iova, size, uva;
		uint8_t perm;
		int error;
	} bad[] = {
		{ 0x5000, 0, UVA(0), VHOST_ACCESS_RW, -EINVAL },
		{ 0 - PAGE, PAGE + 1, UVA(0), VHOST_ACCESS_RW, -EINVAL },
		{ 1, UINT64_MAX, UVA(0), VHOST_ACCESS_RW, -EFAULT },
		{ 2, UINT64_MAX, UVA(0), VHOST_ACCESS_RW, -EINVAL },
		{ 0x5000, PAGE, UVA(0), 0, -EINVAL },
		{ 0x5000, PAGE, UVA(0), VHOST_ACCESS_RW + 1, -EINVAL },
		{ 0x5000, PAGE, UVA(0) - 1, VHOST_ACCESS_RW, -EFAULT },
		{ 0x5000, REGION_BYTES + 1, UVA(0), VHOST_ACCESS_RW, -EFAULT },
		{ 0x5000, PAGE, UVA(0) + REGION_BYTES - 1, VHOST_ACCESS_RW, -EFAULT },
		{ 0x5000, PAGE, UVA(2) + REGION_BYTES, VHOST_ACCESS_RW, -EFAULT },
		{ 0x5000, PAGE, 0, VHOST_ACCESS_RW, -EFAULT },
		{ 0x5000, PAGE, UINT64_MAX, VHOST_ACCESS_RW, -EFAULT },
	};
	struct fixture *f = *state;
	unsigned int i;

	assert_int_equal(update(f, 0x5000, PAGE, UVA(1), VHOST_ACCESS_RO), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(update(f, bad[i].iova, bad[i].size, bad[i].uva, bad[i].perm),
				bad[i].error);
		assert_int_equal(f->iotlb.nb_entries, 1);
		assert_int_equal(find(f, 0x5000, PAGE, PAGE, VHOST_ACCESS_RO), REGION_BYTES);
	}
}

static void
test_update_without_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vhost_pci_mem *mem = f->mem;

	f->mem = NULL;
	assert_int_equal(update(f, 0x5000, PAGE, UVA(0), VHOST_ACCESS_RW), -EFAULT);
	f->mem = mem;
}

static void
test_permission_is_needed_whole(void **state)
{
	struct fixture *f = *state;
	uint8_t given, wanted;

	for (given = VHOST_ACCESS_RO; given <= VHOST_ACCESS_RW; given++) {
		update(f, 0x5000, PAGE, UVA(0), given);
		for (wanted = VHOST_ACCESS_RO; wanted <= VHOST_ACCESS_RW; wanted++)
			assert_int_equal(find(f, 0x5000, 1, 1, wanted),
					(given & wanted) == wanted ? 0 : -1);
	}
}

static void
test_ranges_are_joined_where_they_are_one(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x1000, PAGE, UVA(0) + 14 * PAGE, VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0x2000, PAGE, UVA(0) + 15 * PAGE, VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0x3000, PAGE, UVA(1), VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0x4000, PAGE, UVA(1) + PAGE, VHOST_ACCESS_RO), 0);
	assert_int_equal(update(f, 0x5000, PAGE, UVA(1) + 3 * PAGE, VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0x7000, PAGE, UVA(1) + 4 * PAGE, VHOST_ACCESS_RW), 0);
	/* Up to the region's end: the dirty log is by regions. */
	assert_int_equal(find(f, 0x1800, 0x10000, 0x1800, VHOST_ACCESS_RO), 14 * PAGE + 0x800);
	assert_int_equal(find(f, 0x1800, 0x1000, 0x1000, VHOST_ACCESS_RO), 14 * PAGE + 0x800);
	/* Up to where it is for reading only. */
	assert_int_equal(find(f, 0x3000, 2 * PAGE, PAGE, VHOST_ACCESS_WO), REGION_BYTES);
	assert_int_equal(find(f, 0x3000, 3 * PAGE, 2 * PAGE, VHOST_ACCESS_RO), REGION_BYTES);
	/* Up to a hole. */
	assert_int_equal(find(f, 0x5000, 3 * PAGE, PAGE, VHOST_ACCESS_RO), REGION_BYTES + 3 * PAGE);
}

static void
test_update_displaces_what_it_overlaps(void **state)
{
	struct fixture *f = *state;
	unsigned int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(update(f, i * PAGE, PAGE, UVA(0) + i * PAGE, VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 2 * PAGE + 0x800, 2 * PAGE, UVA(2), VHOST_ACCESS_RW), 3);
	assert_int_equal(find(f, PAGE, PAGE, PAGE, VHOST_ACCESS_RO), PAGE);
	assert_int_equal(find(f, 2 * PAGE, 1, 0, VHOST_ACCESS_RO), -1);
	assert_int_equal(find(f, 2 * PAGE + 0x800, PAGE, PAGE, VHOST_ACCESS_RO), 2 * REGION_BYTES);
	assert_int_equal(find(f, 4 * PAGE + 0x800, 1, 0, VHOST_ACCESS_RO), -1);
	assert_int_equal(find(f, 5 * PAGE, PAGE, PAGE, VHOST_ACCESS_RO), 5 * PAGE);
}

static void
test_last_address_of_an_invalidation(void **state)
{
	(void)state;
	assert_int_equal(vhost_pci_iotlb_last(0x1000, 1), 0x1000);
	assert_int_equal(vhost_pci_iotlb_last(0x1000, 0x1000), 0x1fff);
	assert_int_equal(vhost_pci_iotlb_last(0, UINT64_MAX), UINT64_MAX - 1);
	/* All of 2^64 bytes has no size of its own. */
	assert_int_equal(vhost_pci_iotlb_last(0, 0), UINT64_MAX);
	assert_int_equal(vhost_pci_iotlb_last(0x1000, 0), UINT64_MAX);
	assert_int_equal(vhost_pci_iotlb_last(0x1000, UINT64_MAX), UINT64_MAX);
	assert_int_equal(vhost_pci_iotlb_last(UINT64_MAX, 1), UINT64_MAX);
}

static void
test_table_is_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned int i, nb = 0;

	for (i = 0; i < 3 * VHOST_PCI_IOTLB_MAX_ENTRIES; i++) {
		assert_int_equal(update(f, i * PAGE, PAGE, UVA(i % NB_REGIONS), VHOST_ACCESS_RW),
				0);
		/* The newest is never the one that goes. */
		assert_int_equal(find(f, i * PAGE, PAGE, PAGE, VHOST_ACCESS_RO),
				i % NB_REGIONS * REGION_BYTES);
	}
	assert_int_equal(f->iotlb.nb_entries, VHOST_PCI_IOTLB_MAX_ENTRIES);
	for (i = 0; i < 3 * VHOST_PCI_IOTLB_MAX_ENTRIES; i++)
		nb += find(f, i * PAGE, PAGE, PAGE, VHOST_ACCESS_RO) >= 0;
	assert_int_equal(nb, VHOST_PCI_IOTLB_MAX_ENTRIES);
	assert_int_equal(vhost_pci_iotlb_invalidate(&f->iotlb, 0, UINT64_MAX),
			VHOST_PCI_IOTLB_MAX_ENTRIES);
}

static void
test_memory_table_is_followed(void **state)
{
	struct fixture *f = *state;
	struct vhost_pci_mem *two = make_mem(f, 2);

	assert_int_equal(update(f, 0x1000, PAGE, UVA(0), VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0x2000, PAGE, UVA(2), VHOST_ACCESS_RW), 0);
	assert_int_equal(update(f, 0x3000, PAGE, UVA(1), VHOST_ACCESS_RW), 0);
	vhost_pci_iotlb_follow_mem(&f->iotlb, two);
	assert_ptr_equal(f->iotlb.entry[0].region, &two->region[0]);
	assert_int_equal(find(f, 0x1000, 1, 1, VHOST_ACCESS_RO), 0);
	assert_int_equal(find(f, 0x2000, 1, 0, VHOST_ACCESS_RO), -1);
	assert_int_equal(find(f, 0x3000, 1, 1, VHOST_ACCESS_RO), REGION_BYTES);
	vhost_pci_iotlb_follow_mem(&f->iotlb, NULL);
	assert_int_equal(f->iotlb.nb_entries, 0);
	vhost_pci_mem_put(two);
}

/** Pages of the model that a random test compares the table with. */
#define MODEL_PAGES 64

/* What is in the table is true, and nothing is there that was taken back. */
static void
test_random_changes(void **state)
{
	struct fixture *f = *state;
	int64_t model[MODEL_PAGES];
	uint64_t seed = 1;
	unsigned int i, page, first, nb, uva_page;

	for (page = 0; page < MODEL_PAGES; page++)
		model[page] = -1;
	for (i = 0; i < 20000; i++) {
		first = ring_random(&seed) % MODEL_PAGES;
		nb = 1 + ring_random(&seed) % 6;
		nb = nb > MODEL_PAGES - first ? MODEL_PAGES - first : nb;
		uva_page = ring_random(&seed) % (REGION_BYTES / PAGE - nb);
		if (ring_random(&seed) % 3 == 0)
			vhost_pci_iotlb_invalidate(&f->iotlb, first * PAGE,
					(first + nb) * PAGE - 1);
		else
			assert_true(update(f, first * PAGE, nb * PAGE, UVA(1) + uva_page * PAGE,
						    VHOST_ACCESS_RW) >= 0);
		for (page = 0; page < MODEL_PAGES; page++) {
			uint64_t len = PAGE;
			uint8_t *va = vhost_pci_iotlb_translate(&f->iotlb, page * PAGE, &len,
					VHOST_ACCESS_RW);
			bool changed = page >= first && page < first + nb;

			if (va == NULL) {
				model[page] = -1;
				continue;
			}
			assert_int_equal(len, PAGE);
			if (changed)
				model[page] = (int64_t)(REGION_BYTES +
						(uva_page + page - first) * PAGE);
			assert_int_equal(va - memory, model[page]);
		}
	}
}

#define IOTLB_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	IOTLB_TEST(test_translation_is_by_first_and_last_byte),
	IOTLB_TEST(test_empty_table_has_nothing),
	IOTLB_TEST(test_last_byte_of_the_address_space),
	IOTLB_TEST(test_bad_updates_change_nothing),
	IOTLB_TEST(test_update_without_memory_is_refused),
	IOTLB_TEST(test_permission_is_needed_whole),
	IOTLB_TEST(test_ranges_are_joined_where_they_are_one),
	IOTLB_TEST(test_update_displaces_what_it_overlaps),
	IOTLB_TEST(test_last_address_of_an_invalidation),
	IOTLB_TEST(test_table_is_bounded),
	IOTLB_TEST(test_memory_table_is_followed),
	IOTLB_TEST(test_random_changes),
};

REGISTER_TEST_GROUP(iotlb_autotest, tests, NULL, NULL);
