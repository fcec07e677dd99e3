/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_faults.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/syscall.h>

#include <linux/userfaultfd.h>

struct vhost_pci_faults_range {
	LIST_ENTRY(vhost_pci_faults_range) next; /**< Under the lock. */
	struct vhost_pci_faults *faults;         /**< One reference is held. */
	struct uffdio_range pages;
};

struct vhost_pci_faults {
	/* Fixed when it is opened. */
	int fd;
	int peer_fd;
	int stop_fd; /**< Ends the thread. */
	pthread_t watcher;

	/* Under the lock. */
	pthread_mutex_t lock;
	unsigned int refcnt; /**< The session's, and one of each range. */
	bool let_go;
	LIST_HEAD(vhost_pci_faults_list, vhost_pci_faults_range) ranges;
};

static void
unregister(const struct vhost_pci_faults_range *range)
{
	struct uffdio_range pages = range->pages;

	/* It wakes who waits. Where the range was replaced by other memory nobody does. */
	(void)ioctl(range->faults->fd, UFFDIO_UNREGISTER, &pages);
}

static void
let_all_go(struct vhost_pci_faults *faults)
{
	const struct vhost_pci_faults_range *range;

	pthread_mutex_lock(&faults->lock);
	faults->let_go = true;
	LIST_FOREACH(range, &faults->ranges, next)
		unregister(range);
	pthread_mutex_unlock(&faults->lock);
}

/** Wait for the end of the connection, or of what it is waited for. */
static void *
watch(void *opaque)
{
	struct vhost_pci_faults *faults = opaque;
	struct pollfd fds[] = {
		{ .fd = faults->peer_fd, .events = POLLRDHUP },
		{ .fd = faults->stop_fd, .events = POLLIN },
	};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (fds[1].revents == 0)
		let_all_go(faults);
	return NULL;
}

/** Start the thread, which handles no signal of the process'. */
static int
start_watcher(struct vhost_pci_faults *faults)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&faults->watcher, NULL, watch, faults);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}

/** Returns an fd or -errno. */
static int
open_userfaultfd(void)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	struct uffdio_api api = { .api = UFFD_API };
	int fd, ret;

	fd = (int)syscall(SYS_userfaultfd, flags);
	/* All who may not have faults of the kernel raised may have those of programs. */
	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return errno == ENOSYS ? -ENOTSUP : -errno;
	ret = ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
	if (ret == 0 && (api.features & UFFD_FEATURE_MISSING_SHMEM) == 0)
		ret = -ENOTSUP;
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return fd;
}

int
vhost_pci_faults_open(int peer_fd, struct vhost_pci_faults **faults)
{
	struct vhost_pci_faults *new_faults = calloc(1, sizeof(*new_faults));
	int ret;

	if (new_faults == NULL)
		return -ENOMEM;
	new_faults->refcnt = 1;
	new_faults->peer_fd = peer_fd;
	LIST_INIT(&new_faults->ranges);
	ret = open_userfaultfd();
	if (ret < 0)
		goto err_free;
	new_faults->fd = ret;
	new_faults->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (new_faults->stop_fd < 0) {
		ret = -errno;
		goto err_close_fd;
	}
	ret = -pthread_mutex_init(&new_faults->lock, NULL);
	if (ret < 0)
		goto err_close_stop_fd;
	ret = start_watcher(new_faults);
	if (ret < 0)
		goto err_destroy_lock;
	*faults = new_faults;
	return 0;

err_destroy_lock:
	pthread_mutex_destroy(&new_faults->lock);
err_close_stop_fd:
	close(new_faults->stop_fd);
err_close_fd:
	close(new_faults->fd);
err_free:
	free(new_faults);
	return ret;
}

int
vhost_pci_faults_fd(const struct vhost_pci_faults *faults)
{
	return faults->fd;
}

/** Drop a reference, with the lock held, which is released. */
static void
put_locked(struct vhost_pci_faults *faults)
{
	bool is_last = --faults->refcnt == 0;

	pthread_mutex_unlock(&faults->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&faults->lock);
	close(faults->stop_fd);
	close(faults->fd);
	free(faults);
}

void
vhost_pci_faults_close(struct vhost_pci_faults *faults)
{
	if (faults == NULL)
		return;
	/* First, for the thread's sake: it may wait for the lock that one who waits for a page has,
	 * but nobody touches a page with it held.
	 */
	let_all_go(faults);
	(void)eventfd_write(faults->stop_fd, 1);
	pthread_join(faults->watcher, NULL);
	pthread_mutex_lock(&faults->lock);
	put_locked(faults);
}

/** Register a range and let it be used. */
static int
register_pages(const struct vhost_pci_faults *faults, void *pages, size_t bytes)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)pages, .len = bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	/* A page that arrives wakes who waits for it, which a huge page around it would not do. */
	(void)madvise(pages, bytes, MADV_NOHUGEPAGE);
	if (ioctl(faults->fd, UFFDIO_REGISTER, &range) < 0)
		return -errno;
	return mprotect(pages, bytes, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

int
vhost_pci_faults_add(struct vhost_pci_faults *faults, void *pages, size_t bytes,
		struct vhost_pci_faults_range **range)
{
	struct vhost_pci_faults_range *new_range = malloc(sizeof(*new_range));
	int ret;

	if (new_range == NULL)
		return -ENOMEM;
	new_range->faults = faults;
	new_range->pages = (struct uffdio_range){ .start = (uintptr_t)pages, .len = bytes };
	pthread_mutex_lock(&faults->lock);
	ret = faults->let_go ? -ECONNRESET : register_pages(faults, pages, bytes);
	if (ret == 0) {
		LIST_INSERT_HEAD(&faults->ranges, new_range, next);
		faults->refcnt++;
	}
	pthread_mutex_unlock(&faults->lock);
	if (ret < 0) {
		free(new_range);
		return ret;
	}
	*range = new_range;
	return 0;
}

void
vhost_pci_faults_remove(struct vhost_pci_faults_range *range)
{
	struct vhost_pci_faults *faults;

	if (range == NULL)
		return;
	faults = range->faults;
	pthread_mutex_lock(&faults->lock);
	if (!faults->let_go)
		unregister(range);
	LIST_REMOVE(range, next);
	put_locked(faults);
	free(range);
}
