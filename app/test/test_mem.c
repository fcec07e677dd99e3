/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "test.h"
#include "vhost_pci_mem.h"

#define REGION_BYTES 0x1000

static uint8_t bytes[4 * REGION_BYTES];
static unsigned int nb_released;

static void
release(struct vhost_pci_mapping *mapping)
{
	(void)mapping;
	nb_released++;
}

/** A mapping over all the bytes, whose one reference is the test's. */
static struct vhost_pci_mapping mapping;

static int
setup(void **state)
{
	(void)state;
	mapping = (struct vhost_pci_mapping){
		.refcnt = 1,
		.va = bytes,
		.size = sizeof(bytes),
		.release = release,
	};
	nb_released = 0;
	return 0;
}

/** Every test gives all references back but the first one. */
static int
teardown(void **state)
{
	(void)state;
	return mapping.refcnt == 1 && nb_released == 0 ? 0 : -1;
}

static struct vhost_pci_mem_region
region(uint64_t gpa, uint64_t uva, uint64_t size)
{
	return (struct vhost_pci_mem_region){
		.gpa = gpa,
		.uva = uva,
		.size = size,
		.va = bytes,
		.mapping = &mapping,
	};
}

static struct vhost_pci_mem *
create(const struct vhost_pci_mem_region *regions, unsigned int nb)
{
	struct vhost_pci_mem *mem = NULL;

	assert_int_equal(vhost_pci_mem_create(regions, nb, &mem), 0);
	assert_non_null(mem);
	return mem;
}

static int
create_error(const struct vhost_pci_mem_region *regions, unsigned int nb)
{
	struct vhost_pci_mem *mem = NULL;
	int ret = vhost_pci_mem_create(regions, nb, &mem);

	assert_null(mem);
	return ret;
}

static void
test_empty_table_translates_nothing(void **state)
{
	struct vhost_pci_mem *mem = create(NULL, 0);

	(void)state;
	assert_null(vhost_pci_mem_find_gpa(mem, 0));
	assert_null(vhost_pci_mem_uva_to_va(mem, 0, 1));
	vhost_pci_mem_put(mem);
}

static void
test_regions_are_sorted_by_gpa(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0x3000, 0x1000, 0x1000),
		region(0x1000, 0x3000, 0x1000),
		region(0x2000, 0x2000, 0x1000),
	};
	struct vhost_pci_mem *mem = create(regions, 3);

	(void)state;
	assert_int_equal(mem->region[0].gpa, 0x1000);
	assert_int_equal(mem->region[1].gpa, 0x2000);
	assert_int_equal(mem->region[2].gpa, 0x3000);
	vhost_pci_mem_put(mem);
}

static void
test_region_of_size_0_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0x1000, 0x1000, 0) };

	(void)state;
	assert_int_equal(create_error(regions, 1), -EINVAL);
}

static void
test_region_whose_gpa_wraps_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(UINT64_MAX - 0xfff, 0, 0x1001) };

	(void)state;
	assert_int_equal(create_error(regions, 1), -EINVAL);
}

static void
test_region_whose_uva_wraps_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0, UINT64_MAX - 0xfff, 0x1001) };

	(void)state;
	assert_int_equal(create_error(regions, 1), -EINVAL);
}

static void
test_region_whose_file_offset_wraps_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0, 0, 0x1000) };

	(void)state;
	regions[0].mmap_offset = UINT64_MAX - 0xff;
	assert_int_equal(create_error(regions, 1), -EINVAL);
}

static void
test_region_beyond_its_mapping_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0, 0, sizeof(bytes) + 1) };

	(void)state;
	assert_int_equal(create_error(regions, 1), -EINVAL);
	regions[0] = region(0, 0, 0x1000);
	regions[0].va = bytes + sizeof(bytes) - 0xfff;
	assert_int_equal(create_error(regions, 1), -EINVAL);
	mapping.va = bytes + 1;
	regions[0].va = bytes;
	assert_int_equal(create_error(regions, 1), -EINVAL);
}

static void
test_overlap_in_gpa_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0x2000, 0x10000, 0x1000),
		region(0x1000, 0x20000, 0x1001),
	};

	(void)state;
	assert_int_equal(create_error(regions, 2), -EEXIST);
}

static void
test_same_region_twice_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0x1000, 0x1000, 0x1000),
		region(0x1000, 0x1000, 0x1000),
	};

	(void)state;
	assert_int_equal(create_error(regions, 2), -EEXIST);
}

static void
test_overlap_in_uva_is_refused(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0x1000, 0x20000, 0x1000),
		region(0x2000, 0x30000, 0x1000),
		region(0x3000, 0x20fff, 0x1000),
	};

	(void)state;
	assert_int_equal(create_error(regions, 3), -EEXIST);
}

static void
test_509_regions_fit_and_510_do_not(void **state)
{
	struct vhost_pci_mem_region regions[VHOST_PCI_MEM_MAX_REGIONS + 1];
	struct vhost_pci_mem *mem;
	unsigned int i;

	(void)state;
	for (i = 0; i <= VHOST_PCI_MEM_MAX_REGIONS; i++)
		regions[i] = region(i * UINT64_C(0x2000), i * UINT64_C(0x1000), 0x1000);
	assert_int_equal(create_error(regions, VHOST_PCI_MEM_MAX_REGIONS + 1), -E2BIG);
	mem = create(regions, VHOST_PCI_MEM_MAX_REGIONS);
	for (i = 0; i < VHOST_PCI_MEM_MAX_REGIONS; i++) {
		uint64_t gpa = i * UINT64_C(0x2000);

		assert_ptr_equal(vhost_pci_mem_find_gpa(mem, gpa), &mem->region[i]);
		assert_ptr_equal(vhost_pci_mem_find_gpa(mem, gpa + 0xfff), &mem->region[i]);
		assert_null(vhost_pci_mem_find_gpa(mem, gpa + 0x1000));
	}
	vhost_pci_mem_put(mem);
}

static void
test_last_reference_releases_the_mappings(void **state)
{
	struct vhost_pci_mapping own = mapping;
	struct vhost_pci_mem_region regions[] = { region(0x1000, 0x1000, 0x1000) };
	struct vhost_pci_mem *mem;

	(void)state;
	regions[0].mapping = &own;
	mem = create(regions, 1);
	vhost_pci_mapping_put(&own);
	assert_ptr_equal(vhost_pci_mem_get(mem), mem);
	vhost_pci_mem_put(mem);
	assert_int_equal(nb_released, 0);
	vhost_pci_mem_put(mem);
	assert_int_equal(nb_released, 1);
	nb_released = 0;
}

static void
test_mapping_outlives_its_table(void **state)
{
	struct vhost_pci_mapping own = mapping;
	struct vhost_pci_mem_region regions[] = { region(0x1000, 0x1000, 0x1000) };
	struct vhost_pci_mem *mem;

	(void)state;
	regions[0].mapping = &own;
	mem = create(regions, 1);
	vhost_pci_mem_put(mem);
	assert_int_equal(nb_released, 0);
	vhost_pci_mapping_put(&own);
	assert_int_equal(nb_released, 1);
	nb_released = 0;
}

static void
test_no_table_is_no_reference(void **state)
{
	(void)state;
	assert_null(vhost_pci_mem_get(NULL));
	vhost_pci_mem_put(NULL);
	assert_null(vhost_pci_mapping_get(NULL));
	vhost_pci_mapping_put(NULL);
}

static void
test_uva_range_within_a_region(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0x1000, 0x50000, 0x1000) };
	struct vhost_pci_mem *mem = create(regions, 1);

	(void)state;
	assert_ptr_equal(vhost_pci_mem_uva_to_va(mem, 0x50000, 0x1000), bytes);
	assert_ptr_equal(vhost_pci_mem_uva_to_va(mem, 0x50fff, 1), bytes + 0xfff);
	assert_null(vhost_pci_mem_uva_to_va(mem, 0x4ffff, 2));
	assert_null(vhost_pci_mem_uva_to_va(mem, 0x50fff, 2));
	assert_null(vhost_pci_mem_uva_to_va(mem, 0x51000, 1));
	assert_null(vhost_pci_mem_uva_to_va(mem, 0x50001, UINT64_MAX));
	vhost_pci_mem_put(mem);
}

static void
test_uva_range_across_two_regions(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0x1000, 0x50000, 0x1000),
		region(0x9000, 0x51000, 0x1000),
	};
	struct vhost_pci_mem *mem = create(regions, 2);

	(void)state;
	assert_null(vhost_pci_mem_uva_to_va(mem, 0x50ff0, 0x20));
	vhost_pci_mem_put(mem);
}

static void
test_gpa_range_ends_with_its_region(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0x1000, 0x50000, 0x1000),
		region(0x2000, 0x60000, 0x1000),
	};
	struct vhost_pci_mem *mem;
	struct vhost_pci_mem_cache cache = { 0 };
	uint32_t len = 0x100;

	(void)state;
	regions[1].va = bytes + 2 * REGION_BYTES;
	mem = create(regions, 2);
	assert_ptr_equal(vhost_pci_mem_gpa_to_va(mem, &cache, 0x1ff0, &len), bytes + 0xff0);
	assert_int_equal(len, 0x10);
	len = 0xf0;
	assert_ptr_equal(vhost_pci_mem_gpa_to_va(mem, &cache, 0x2000, &len),
			bytes + 2 * REGION_BYTES);
	assert_int_equal(len, 0xf0);
	vhost_pci_mem_put(mem);
}

static void
test_gpa_in_the_cached_region(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0x1000, 0x50000, 0x1000) };
	struct vhost_pci_mem *mem = create(regions, 1);
	struct vhost_pci_mem_cache cache = { 0 };
	uint32_t len = 8;

	(void)state;
	assert_non_null(vhost_pci_mem_gpa_to_va(mem, &cache, 0x1800, &len));
	assert_int_equal(cache.gpa, 0x1000);
	assert_int_equal(cache.size, 0x1000);
	assert_ptr_equal(cache.va, bytes);
	assert_ptr_equal(vhost_pci_mem_gpa_to_va(mem, &cache, 0x1ff8, &len), bytes + 0xff8);
	assert_int_equal(len, 8);
	vhost_pci_mem_put(mem);
}

static void
test_gpa_outside_of_all_regions(void **state)
{
	struct vhost_pci_mem_region regions[] = { region(0x1000, 0x50000, 0x1000) };
	struct vhost_pci_mem *mem = create(regions, 1);
	struct vhost_pci_mem_cache cache = { 0 };
	uint32_t len = 1;

	(void)state;
	assert_null(vhost_pci_mem_gpa_to_va(mem, &cache, 0xfff, &len));
	assert_null(vhost_pci_mem_gpa_to_va(mem, &cache, 0x2000, &len));
	assert_null(vhost_pci_mem_gpa_to_va(mem, &cache, UINT64_MAX, &len));
	vhost_pci_mem_put(mem);
}

static void
test_gpa_range_whose_end_wraps(void **state)
{
	struct vhost_pci_mem_region regions[] = {
		region(0, 0x50000, 0x1000),
		region(UINT64_MAX - 0x1000, 0x60000, 0x1000),
	};
	struct vhost_pci_mem *mem = create(regions, 2);
	struct vhost_pci_mem_cache cache = { 0 };
	uint32_t len = UINT32_MAX;

	(void)state;
	assert_non_null(vhost_pci_mem_gpa_to_va(mem, &cache, UINT64_MAX - 2, &len));
	assert_int_equal(len, 2);
	len = UINT32_MAX;
	assert_null(vhost_pci_mem_gpa_to_va(mem, &cache, UINT64_MAX, &len));
	vhost_pci_mem_put(mem);
}

#define MEM_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	MEM_TEST(test_empty_table_translates_nothing),
	MEM_TEST(test_regions_are_sorted_by_gpa),
	MEM_TEST(test_region_of_size_0_is_refused),
	MEM_TEST(test_region_whose_gpa_wraps_is_refused),
	MEM_TEST(test_region_whose_uva_wraps_is_refused),
	MEM_TEST(test_region_whose_file_offset_wraps_is_refused),
	MEM_TEST(test_region_beyond_its_mapping_is_refused),
	MEM_TEST(test_overlap_in_gpa_is_refused),
	MEM_TEST(test_same_region_twice_is_refused),
	MEM_TEST(test_overlap_in_uva_is_refused),
	MEM_TEST(test_509_regions_fit_and_510_do_not),
	MEM_TEST(test_last_reference_releases_the_mappings),
	MEM_TEST(test_mapping_outlives_its_table),
	MEM_TEST(test_no_table_is_no_reference),
	MEM_TEST(test_uva_range_within_a_region),
	MEM_TEST(test_uva_range_across_two_regions),
	MEM_TEST(test_gpa_range_ends_with_its_region),
	MEM_TEST(test_gpa_in_the_cached_region),
	MEM_TEST(test_gpa_outside_of_all_regions),
	MEM_TEST(test_gpa_range_whose_end_wraps),
};

REGISTER_TEST_GROUP(mem_autotest, tests, NULL, NULL);
