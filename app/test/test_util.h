/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What several test groups need: how many fds and mappings the process has, and files to map.
 */

#ifndef TEST_UTIL_H
#define TEST_UTIL_H

#include <stdbool.h>
#include <stdint.h>

/** Number of open fds of this process. */
unsigned int test_nb_fds(void);

/** Number of mappings of files of test_memfd() in this process. */
unsigned int test_nb_mappings(void);

/** Whether an fd is open. */
bool test_fd_is_open(int fd);

/** A memory file of a size in bytes; sealed against shrinking where told. */
int test_memfd(uint64_t size, bool seal_shrink);

/** A socket whose last close would wait, with SO_LINGER. */
int test_lingering_socket(void);

/** Whether a socket has SO_LINGER: that of any of its fds. */
bool test_socket_lingers(int fd);

/** Whether UNIX sockets can send out of band here, which kernels may be built without. */
bool test_unix_has_oob(void);

/** An eventfd, for a kick or a call. */
int test_eventfd(void);

/** Take what an eventfd has counted; 0 where nothing was signalled. */
uint64_t test_eventfd_read(int fd);

#endif /* TEST_UTIL_H */
