/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "loop_thread.h"
#include "window.h"

#define MB UINT64_C(0x100000)
#define GB UINT64_C(0x40000000)

static int
make_file(uint64_t size_bytes, int seals)
{
	int fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, size_bytes), 0);
	if (seals != 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* Open the file behind an fd again, as a front-end does that sends one fd per region. */
static int
reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* Several fds of one inode are one file, and one BAR. */
static void
test_one_inode(void **state)
{
	unsigned int nb_fds = count_fds();
	struct window window;
	int fd = make_file(4608 * MB, 0), again = reopen(fd, O_RDWR);

	(void)state;
	window_init(&window);
	assert_int_equal(window_find(&window, fd), -ENOENT);
	assert_int_equal(window_add(&window, fd, false), 0);
	assert_int_equal(window_add(&window, again, false), 0);
	assert_int_equal(window_find(&window, again), 0);
	assert_int_equal(window.nb_files, 1);
	assert_int_equal(window_bar_bytes(&window.files[0]), 8 * GB);
	/* a 4.5 GB guest: the part below and the part above 4 GB */
	assert_true(window_covers(&window, 0, 0, 2 * GB));
	assert_true(window_covers(&window, 0, 2 * GB, 2560 * MB));
	assert_false(window_covers(&window, 0, 2 * GB, 2560 * MB + 1));
	assert_false(window_covers(&window, 0, UINT64_MAX, 2));
	assert_false(window_covers(&window, 1, 0, 1));
	close(fd);
	close(again);
	window_clear(&window);
	assert_int_equal(count_fds(), nb_fds);
}

/* Two files fit, a third is refused with a message that says what to do. */
static void
test_three_inodes(void **state)
{
	struct window window;
	int fds[3];

	(void)state;
	window_init(&window);
	for (unsigned int i = 0; i < 3; i++)
		fds[i] = make_file(MB, 0);
	assert_int_equal(window_add(&window, fds[0], false), 0);
	assert_int_equal(window_add(&window, fds[1], false), 1);
	assert_int_equal(window_add(&window, fds[2], false), -ENOSPC);
	assert_non_null(strstr(window_strerror(-ENOSPC), "memory-backend-memfd"));
	assert_int_equal(window_find(&window, fds[1]), 1);
	assert_int_equal(window_find(&window, fds[2]), -ENOENT);
	for (unsigned int i = 0; i < 3; i++)
		close(fds[i]);
	window_clear(&window);
}

/* A file that can be cut short is known as such, and refused on request. */
static void
test_seals(void **state)
{
	struct window window;
	int open_fd = make_file(MB, 0), sealed_fd = make_file(MB, F_SEAL_SHRINK);

	(void)state;
	window_init(&window);
	assert_int_equal(window_add(&window, open_fd, true), -EPERM);
	assert_int_equal(window_add(&window, sealed_fd, true), 0);
	assert_true(window.files[0].sealed);
	assert_int_equal(window_add(&window, open_fd, false), 1);
	assert_false(window.files[1].sealed);
	close(open_fd);
	close(sealed_fd);
	window_clear(&window);
}

/* What the adapter's VM could not map, or would die of, never gets that far. */
static void
test_refused_files(void **state)
{
	int fd = make_file(MB, 0), readonly = reopen(fd, O_RDONLY);
	int sealed = make_file(MB, F_SEAL_WRITE), empty = make_file(0, 0);
	int short_fd = make_file(4095, 0), huge = make_file(WINDOW_FILE_BYTES + 4096, 0);
	int device = open("/dev/zero", O_RDWR | O_CLOEXEC), ends[2];
	struct window window;

	(void)state;
	window_init(&window);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(window_add(&window, readonly, false), -EACCES);
	assert_int_equal(window_add(&window, sealed, false), -EACCES);
	assert_int_equal(window_add(&window, empty, false), -ENODATA);
	assert_int_equal(window_add(&window, short_fd, false), -ENODATA);
	assert_int_equal(window_add(&window, huge, false), -EFBIG);
	assert_int_equal(window_add(&window, device, false), -EBADF);
	assert_int_equal(window_add(&window, ends[0], false), -EBADF);
	assert_int_equal(window_add(&window, -1, false), -EBADF);
	assert_int_equal(window.nb_files, 0);
	close(fd);
	close(readonly);
	close(sealed);
	close(empty);
	close(short_fd);
	close(huge);
	close(device);
	close(ends[0]);
	close(ends[1]);
}

/* The largest BAR needed, and the smallest. */
static void
test_bar_size(void **state)
{
	static const struct {
		uint64_t file;
		uint64_t bar;
	} sizes[] = {
		{ 4096, 4096 },
		{ 4097, 4096 }, /* whole pages only */
		{ 8191 + 4096, 8192 },
		{ 12288, 16384 },
		{ 64 * GB, 64 * GB },
		{ 64 * GB + 4096, 128 * GB },
		{ WINDOW_FILE_BYTES, WINDOW_FILE_BYTES },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = make_file(sizes[i].file, 0);
		struct window window;

		window_init(&window);
		assert_int_equal(window_add(&window, fd, false), 0);
		assert_true(window_bar_bytes(&window.files[0]) == sizes[i].bar);
		window_clear(&window);
		close(fd);
	}
}

/* The daemon reads a file that was cut short meanwhile, and lives. */
static void
test_truncated(void **state)
{
	struct window window;
	int fd = make_file(2 * MB, 0);
	uint32_t value = 0x12345678;

	(void)state;
	window_init(&window);
	assert_int_equal(window_add(&window, fd, false), 0);
	assert_int_equal(window_write(&window, 0, MB - 2, &value, 4), 0);
	assert_int_equal(ftruncate(fd, MB), 0);
	window_read(&window, 0, MB - 2, &value, 4);
	assert_int_equal(value, 0x5678);
	window_read(&window, 0, MB + 4, &value, 4);
	assert_int_equal(value, 0);
	close(fd);
	window_clear(&window);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_one_inode),
	cmocka_unit_test(test_three_inodes),
	cmocka_unit_test(test_seals),
	cmocka_unit_test(test_refused_files),
	cmocka_unit_test(test_bar_size),
	cmocka_unit_test(test_truncated),
};

REGISTER_TEST_GROUP(window_autotest, tests, NULL, NULL);
