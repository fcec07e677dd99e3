/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "test_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

/** By which the files are found in /proc/self/maps. */
#define MEMFD_NAME "vhost-pci-test"

unsigned int
test_nb_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int nb = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		nb++;
	closedir(dir);
	return nb;
}

unsigned int
test_nb_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[1024];
	unsigned int nb = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		nb += strstr(line, "memfd:" MEMFD_NAME) != NULL;
	fclose(maps);
	return nb;
}

bool
test_fd_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

int
test_memfd(uint64_t size, bool seal_shrink)
{
	int fd = memfd_create(MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seal_shrink)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

int
test_lingering_socket(void)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 3600 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

bool
test_socket_lingers(int fd)
{
	struct linger linger;
	socklen_t bytes = sizeof(linger);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &bytes), 0);
	return linger.l_onoff != 0;
}

bool
test_unix_has_oob(void)
{
	int ends[2];
	bool has;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	has = send(ends[0], "", 1, MSG_OOB) == 1;
	close(ends[0]);
	close(ends[1]);
	return has;
}

int
test_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

uint64_t
test_eventfd_read(int fd)
{
	uint64_t value;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}
