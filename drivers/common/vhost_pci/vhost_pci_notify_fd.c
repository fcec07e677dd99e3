/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_notify_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

int
vhost_pci_notify_fd_prepare(int fd)
{
	struct stat status;
	int flags;

	if (fstat(fd, &status) < 0)
		return -errno;
	/* A file grows; an eventfd has no file type at all. */
	if ((status.st_mode & S_IFMT) != 0 && !S_ISFIFO(status.st_mode) &&
			!S_ISSOCK(status.st_mode))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int
vhost_pci_notify_fd_prepare_kick(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))
		return -EINVAL;
	return vhost_pci_notify_fd_prepare(fd);
}

int
vhost_pci_notify_fd_hold(int fd, int *reader, bool *is_socket)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	struct stat status;

	*reader = -1;
	if (fstat(fd, &status) < 0)
		return -errno;
	*is_socket = S_ISSOCK(status.st_mode);
	if (!S_ISFIFO(status.st_mode))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return *reader < 0 ? -errno : 0;
}
