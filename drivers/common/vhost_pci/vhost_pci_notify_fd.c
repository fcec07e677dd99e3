/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_notify_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/aio_abi.h>

#include "vhost_pci_log.h"
#include "vhost_pci_peer_fd.h"

/** Completions that the kernel keeps for us; they mean nothing and are thrown away. */
#define SIGNAL_EVENTS 256

/** Completions that are thrown away at one go. */
#define REAP_EVENTS 64

/** Longest name of an fd that is looked at, and its path. */
#define NAME_BYTES 32

/** What signals eventfds of peers; made once for the process, and kept. */
static struct {
	pthread_once_t once;
	bool usable;
	aio_context_t context;
} signaller = { .once = PTHREAD_ONCE_INIT };

static void
signaller_init(void)
{
	signaller.usable = syscall(SYS_io_setup, SIGNAL_EVENTS, &signaller.context) == 0;
	if (!signaller.usable)
		vhost_pci_log(VHOST_PCI_LOG_WARNING,
				"no asynchronous I/O (%s): a hostile front-end may make calls wait",
				strerror(errno));
}

/** Name an fd by its entry in /proc. */
static void
make_path(char path[NAME_BYTES], int fd)
{
	snprintf(path, NAME_BYTES, "/proc/self/fd/%d", fd);
}

/**
 * Tell by its name what an fd is. No file system is asked, unlike with fstat(): that of a peer
 * may not answer. Names that are no paths are the kernel's own.
 */
static int
find_way(int fd, enum vhost_pci_notify_way *way)
{
	char path[NAME_BYTES], name[NAME_BYTES];
	ssize_t length;

	make_path(path, fd);
	length = readlink(path, name, sizeof(name) - 1);
	if (length < 0)
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : -errno;
	name[length] = '\0';
	if (strcmp(name, "anon_inode:[eventfd]") == 0)
		*way = VHOST_PCI_NOTIFY_SIGNAL;
	else if (strncmp(name, "pipe:[", 6) == 0)
		*way = VHOST_PCI_NOTIFY_WRITE;
	else if (strncmp(name, "socket:[", 8) == 0 && vhost_pci_peer_fd_is_unix(fd))
		*way = VHOST_PCI_NOTIFY_SEND;
	else
		return -EINVAL;
	return 0;
}

/** Open a pipe's end anew: the flags of the open file are then nobody's but ours. */
static int
reopen(int fd, int flags)
{
	char path[NAME_BYTES];
	int own;

	make_path(path, fd);
	own = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC);
	return own < 0 ? -errno : own;
}

static int
make_own(int fd, int flags)
{
	int own = reopen(fd, flags);
	int ret = 0;

	if (own < 0)
		return own;
	if (dup3(own, fd, O_CLOEXEC) < 0)
		ret = -errno;
	close(own);
	return ret;
}

int
vhost_pci_notify_fd_prepare(int fd)
{
	enum vhost_pci_notify_way way = VHOST_PCI_NOTIFY_WRITE;
	int flags, ret;

	ret = find_way(fd, &way);
	if (ret < 0)
		return ret;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (way == VHOST_PCI_NOTIFY_WRITE)
		return make_own(fd, flags);
	if (way == VHOST_PCI_NOTIFY_SIGNAL)
		(void)pthread_once(&signaller.once, signaller_init);
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int
vhost_pci_notify_fd_prepare_kick(int fd)
{
	enum vhost_pci_notify_way way = VHOST_PCI_NOTIFY_WRITE;
	int ret;

	ret = find_way(fd, &way);
	if (ret < 0)
		return ret;
	return way == VHOST_PCI_NOTIFY_SIGNAL ? vhost_pci_notify_fd_prepare(fd) : -EINVAL;
}

int
vhost_pci_notify_fd_hold(int fd, int *reader, enum vhost_pci_notify_way *way)
{
	int ret;

	*reader = -1;
	ret = find_way(fd, way);
	if (ret < 0 || *way != VHOST_PCI_NOTIFY_WRITE)
		return ret;
	ret = reopen(fd, O_RDONLY);
	if (ret < 0)
		return ret;
	*reader = ret;
	return 0;
}

/** Throw completions away, so that there is room for others; false where there is none to throw. */
static bool
reap_completions(void)
{
	struct io_event events[REAP_EVENTS];
	struct timespec now = { 0 };

	return syscall(SYS_io_getevents, signaller.context, 0, REAP_EVENTS, events, &now) > 0;
}

/**
 * Have the kernel signal an eventfd, at the end of a poll of it for anything: it can always be
 * read or written, so the poll ends at once. There is room for its completion once others are
 * thrown away; more than once, for the kernel keeps some of the room for each processor, and other
 * threads take of it.
 *
 * @return 0; -EAGAIN where there is no room; -errno.
 */
static int
submit_signal(int fd)
{
	struct iocb poll = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = (uint32_t)fd,
		.aio_buf = POLLIN | POLLOUT,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *polls[] = { &poll };

	while (syscall(SYS_io_submit, signaller.context, 1, polls) != 1) {
		if (errno != EAGAIN)
			return -errno;
		if (!reap_completions())
			return -EAGAIN;
	}
	return 0;
}

int
vhost_pci_notify_eventfd_signal(int fd)
{
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;
	int ret;

	if (signaller.usable) {
		ret = submit_signal(fd);
		if (ret != -EAGAIN)
			return ret;
	}
	if (vhost_pci_peer_fd_is_unix(fd))
		return -EINVAL;
	/* The next best: between the two a peer may still fill it and have the write wait. */
	if (poll(&writable, 1, 0) != 1 || (writable.revents & POLLOUT) == 0)
		return 0;
	return write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}
