/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_transport_unix.h"

#define FILE_BYTES 0x5000
#define HUGE_BYTES UINT64_C(0x200000)

static void
test_part_is_mapped_byte_for_byte(void **state)
{
	static const struct {
		uint64_t offset;
		uint64_t size;
	} parts[] = {
		{ 0, FILE_BYTES },
		{ 0x1000, 0x2000 },
		{ 0x1001, 1 },
		{ 0xfff, 2 },
		{ FILE_BYTES - 1, 1 },
	};
	uint8_t bytes[FILE_BYTES];
	struct vhost_pci_mapping *mapping;
	int fd = test_memfd(FILE_BYTES, false);
	size_t i;

	(void)state;
	for (i = 0; i < FILE_BYTES; i++)
		bytes[i] = (uint8_t)(i * 31 >> 4);
	assert_int_equal(pwrite(fd, bytes, FILE_BYTES, 0), FILE_BYTES);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		assert_int_equal(vhost_pci_unix_map(fd, parts[i].offset, parts[i].size, &mapping),
				0);
		assert_int_equal(mapping->size, parts[i].size);
		assert_memory_equal(mapping->va, bytes + parts[i].offset, parts[i].size);
		vhost_pci_mapping_put(mapping);
	}
	assert_int_equal(test_nb_mappings(), 0);
	close(fd);
}

static void
test_writes_reach_the_file(void **state)
{
	struct vhost_pci_mapping *mapping;
	int fd = test_memfd(FILE_BYTES, false);
	uint8_t byte = 0;

	(void)state;
	assert_int_equal(vhost_pci_unix_map(fd, 0x1234, 0x100, &mapping), 0);
	mapping->va[3] = 0x99;
	assert_int_equal(pread(fd, &byte, 1, 0x1237), 1);
	assert_int_equal(byte, 0x99);
	vhost_pci_mapping_put(mapping);
	close(fd);
}

static void
test_mapping_outlives_its_fd(void **state)
{
	struct vhost_pci_mapping *mapping;
	int fd = test_memfd(FILE_BYTES, false);

	(void)state;
	assert_int_equal(vhost_pci_unix_map(fd, 0, FILE_BYTES, &mapping), 0);
	close(fd);
	mapping->va[FILE_BYTES - 1] = 1;
	vhost_pci_mapping_put(mapping);
	assert_int_equal(test_nb_mappings(), 0);
}

static void
test_part_beyond_the_end_of_the_file(void **state)
{
	struct vhost_pci_mapping *mapping = NULL;
	int fd = test_memfd(FILE_BYTES - 1, false);

	(void)state;
	/* Within the last page, and yet beyond the file. */
	assert_int_equal(vhost_pci_unix_map(fd, 0, FILE_BYTES, &mapping), -EINVAL);
	assert_int_equal(vhost_pci_unix_map(fd, FILE_BYTES - 1, 1, &mapping), -EINVAL);
	assert_int_equal(vhost_pci_unix_map(fd, UINT64_C(1) << 62, 1, &mapping), -EINVAL);
	assert_null(mapping);
	close(fd);
}

static void
test_part_of_no_size_or_that_wraps(void **state)
{
	struct vhost_pci_mapping *mapping = NULL;
	int fd = test_memfd(FILE_BYTES, false);

	(void)state;
	assert_int_equal(vhost_pci_unix_map(fd, 0, 0, &mapping), -EINVAL);
	assert_int_equal(vhost_pci_unix_map(fd, UINT64_MAX, 1, &mapping), -EINVAL);
	assert_int_equal(vhost_pci_unix_map(fd, 0x1000, UINT64_MAX - 0xfff, &mapping), -EINVAL);
	assert_int_equal(vhost_pci_unix_map(fd, 1, UINT64_MAX, &mapping), -EINVAL);
	close(fd);
}

static void
test_what_is_no_file(void **state)
{
	struct vhost_pci_mapping *mapping = NULL;
	int sockets[2];
	int fd = test_eventfd();

	(void)state;
	assert_int_equal(vhost_pci_unix_map(fd, 0, 0x1000, &mapping), -EINVAL);
	close(fd);
	assert_int_equal(vhost_pci_unix_map(fd, 0, 0x1000, &mapping), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(vhost_pci_unix_map(sockets[0], 0, 0x1000, &mapping), -EINVAL);
	close(sockets[0]);
	close(sockets[1]);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(vhost_pci_unix_map(fd, 0, 0x1000, &mapping), -EINVAL);
	close(fd);
}

static void
test_file_that_can_not_be_written(void **state)
{
	struct vhost_pci_mapping *mapping = NULL;
	char path[64];
	int fd = test_memfd(FILE_BYTES, false);
	int read_only;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read_only >= 0);
	assert_int_equal(vhost_pci_unix_map(read_only, 0, 0x1000, &mapping), -EACCES);
	assert_int_equal(test_nb_mappings(), 0);
	close(read_only);
	close(fd);
}

static void
test_shrink_seal_is_noted(void **state)
{
	struct vhost_pci_mapping *mapping;
	int fd = test_memfd(FILE_BYTES, false);

	(void)state;
	assert_int_equal(vhost_pci_unix_map(fd, 0, 0x1000, &mapping), 0);
	assert_true(mapping->may_shrink);
	vhost_pci_mapping_put(mapping);
	close(fd);
	fd = test_memfd(FILE_BYTES, true);
	assert_int_equal(vhost_pci_unix_map(fd, 0, 0x1000, &mapping), 0);
	assert_false(mapping->may_shrink);
	vhost_pci_mapping_put(mapping);
	close(fd);
}

static void
test_mapping_is_left_out_of_core_dumps(void **state)
{
	struct vhost_pci_mapping *mapping;
	int fd = test_memfd(FILE_BYTES, false);
	FILE *smaps;
	char line[1024];
	bool ours = false, left_out = false;

	(void)state;
	assert_int_equal(vhost_pci_unix_map(fd, 0, FILE_BYTES, &mapping), 0);
	smaps = fopen("/proc/self/smaps", "r");
	if (smaps == NULL) {
		print_message("# no /proc/self/smaps\n");
		skip();
	}
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (strstr(line, "memfd:vhost-pci-test") != NULL)
			ours = true;
		if (ours && strncmp(line, "VmFlags:", 8) == 0) {
			left_out = strstr(line, " dd") != NULL;
			break;
		}
	}
	fclose(smaps);
	assert_true(left_out);
	vhost_pci_mapping_put(mapping);
	close(fd);
}

static void
test_huge_pages_are_mapped_whole(void **state)
{
	struct vhost_pci_mapping *mapping;
	int fd = memfd_create("vhost-pci-test", MFD_CLOEXEC | MFD_HUGETLB);
	uint8_t *va;

	(void)state;
	if (fd < 0 || ftruncate(fd, (off_t)(2 * HUGE_BYTES)) < 0) {
		print_message("# no huge pages of 2 MB\n");
		skip();
	}
	/* A machine without free huge pages of 2 MB refuses here. */
	va = mmap(NULL, 2 * HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (va == MAP_FAILED) {
		close(fd);
		print_message("# no huge pages of 2 MB are free\n");
		skip();
	}
	assert_int_equal(vhost_pci_unix_map(fd, HUGE_BYTES + 0x1000, 0x2000, &mapping), 0);
	va[HUGE_BYTES + 0x1000] = 0x42;
	assert_int_equal(mapping->va[0], 0x42);
	assert_int_equal(mapping->size, 0x2000);
	munmap(va, 2 * HUGE_BYTES);
	/* Freed in whole huge pages as well, or it would stay. */
	vhost_pci_mapping_put(mapping);
	assert_int_equal(test_nb_mappings(), 0);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_part_is_mapped_byte_for_byte),
	cmocka_unit_test(test_writes_reach_the_file),
	cmocka_unit_test(test_mapping_outlives_its_fd),
	cmocka_unit_test(test_part_beyond_the_end_of_the_file),
	cmocka_unit_test(test_part_of_no_size_or_that_wraps),
	cmocka_unit_test(test_what_is_no_file),
	cmocka_unit_test(test_file_that_can_not_be_written),
	cmocka_unit_test(test_shrink_seal_is_noted),
	cmocka_unit_test(test_mapping_is_left_out_of_core_dumps),
	cmocka_unit_test(test_huge_pages_are_mapped_whole),
};

REGISTER_TEST_GROUP(unix_map_autotest, tests, NULL, NULL);
