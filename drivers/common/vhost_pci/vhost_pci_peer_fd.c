/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_peer_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_log.h"

/** Longest path of an entry in /proc that is looked at. */
#define PROC_PATH_BYTES 40

/** Longest line of /proc/self/mountinfo of which the type is still found: paths are escaped. */
#define MOUNT_LINE_BYTES 16384

/** Fds whose closing waits for a file's server at one time; more are kept open. */
#define MAX_CLOSERS 64

/** Threads that close an fd now. Atomic. */
static uint32_t nb_closers;

/** Whether this was said: once is enough. Atomic. */
static uint32_t closers_warned;

/** File systems whose files another process, or another machine, answers for; and theirs alone. */
static const char *const served_types[] = { "fuse", "fuse.", "fuseblk", "virtiofs", "nfs", "nfs4",
	"cifs", "smb3", "9p", "ceph", "afs", "coda", "orangefs" };

static bool
is_served(const char *type)
{
	size_t i;

	for (i = 0; i < sizeof(served_types) / sizeof(served_types[0]); i++) {
		const char *served = served_types[i];
		size_t length = strlen(served);
		bool is_prefix = served[length - 1] == '.';

		if (is_prefix ? strncmp(type, served, length) == 0 : strcmp(type, served) == 0)
			return true;
	}
	return false;
}

/** The mount that a file is on; -1: not known. */
static int
find_mount(int fd)
{
	char path[PROC_PATH_BYTES], line[64];
	int mount = -1;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (info == NULL)
		return -1;
	while (mount < 0 && fgets(line, sizeof(line), info) != NULL)
		if (sscanf(line, "mnt_id: %d", &mount) != 1)
			mount = -1;
	fclose(info);
	return mount;
}

/** Whether a mount is one that this process sees, and nobody else answers for its files. */
static bool
is_own_mount(int mount)
{
	static char line[MOUNT_LINE_BYTES];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	bool found = false, is_own = false;
	int id;

	if (mounts == NULL)
		return false;
	pthread_mutex_lock(&lock);
	while (!found && fgets(line, sizeof(line), mounts) != NULL) {
		char type[32];
		const char *rest = strstr(line, " - ");

		found = sscanf(line, "%d ", &id) == 1 && id == mount;
		is_own = found && rest != NULL && sscanf(rest, " - %31s", type) == 1 &&
				!is_served(type);
	}
	pthread_mutex_unlock(&lock);
	fclose(mounts);
	return is_own;
}

/** Whether an fd's name is a path: others are the kernel's own and wait for nobody. */
static bool
has_path(int fd)
{
	char path[PROC_PATH_BYTES], first = '\0';

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, &first, sizeof(first)) == 1 && first == '/';
}

int
vhost_pci_peer_fd_check_file(int fd)
{
	/* Of memfds and files of tmpfs and hugetlbfs only: nobody else is asked for their pages. */
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return 0;
	if (errno == EBADF)
		return -EBADF;
	return !has_path(fd) || is_own_mount(find_mount(fd)) ? 0 : -EREMOTE;
}

static void *
close_main(void *arg)
{
	int *fd = arg;

	close(*fd);
	free(fd);
	__atomic_sub_fetch(&nb_closers, 1, __ATOMIC_RELEASE);
	return NULL;
}

/** Close an fd in a thread of its own. Returns 0, or -errno and the fd is open. */
static int
close_elsewhere(int fd)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int *arg = malloc(sizeof(*arg));
	int ret;

	if (arg == NULL)
		return -ENOMEM;
	*arg = fd;
	if (__atomic_add_fetch(&nb_closers, 1, __ATOMIC_ACQUIRE) > MAX_CLOSERS) {
		__atomic_sub_fetch(&nb_closers, 1, __ATOMIC_RELEASE);
		free(arg);
		return -EAGAIN;
	}
	/* Signals are the application's threads' to take. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&thread, &attr, close_main, arg);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret != 0) {
		__atomic_sub_fetch(&nb_closers, 1, __ATOMIC_RELEASE);
		free(arg);
	}
	return -ret;
}

void
vhost_pci_peer_fd_close_file(int fd)
{
	if (vhost_pci_peer_fd_check_file(fd) != -EREMOTE)
		close(fd);
	else
		vhost_pci_peer_fd_close_later(fd);
}

void
vhost_pci_peer_fd_close_later(int fd)
{
	int ret = close_elsewhere(fd);

	/* A process that waits for its peers' files is worse than one with an fd too many. */
	if (ret < 0 && __atomic_exchange_n(&closers_warned, 1, __ATOMIC_RELAXED) == 0)
		vhost_pci_log(VHOST_PCI_LOG_WARNING,
				"file of a front-end is kept open: those before it do not close");
}
