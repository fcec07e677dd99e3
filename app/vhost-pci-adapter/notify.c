/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "notify.h"

/* An eventfd is an anonymous inode, which only its name tells apart from others. */
static bool
notify_is_eventfd(int fd)
{
	char path[32], name[32];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, name, sizeof(name) - 1);
	if (len < 0)
		return false;
	name[len] = '\0';
	return strcmp(name, "anon_inode:[eventfd]") == 0;
}

int
notify_prepare(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) && !notify_is_eventfd(fd))
		return -EINVAL;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int
notify_signal(int fd)
{
	const uint64_t one = 1;
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	/* not writable: the counter is at its end or the pipe is full, so a signal is there */
	if (poll(&pfd, 1, 0) != 1 || !(pfd.revents & POLLOUT))
		return pfd.revents & POLLERR ? -EPIPE : 0;
	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int
notify_take(int fd)
{
	uint8_t bytes[512]; /* a pipe may hold many signals */
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	ssize_t nb;

	nb = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
	if (nb < 0 && (errno == EOPNOTSUPP || errno == ESPIPE))
		nb = read(fd, bytes, sizeof(bytes));
	if (nb == 0)
		return -EPIPE;
	if (nb < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return 1;
}
