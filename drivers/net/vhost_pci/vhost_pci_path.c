/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_path.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"

/** All paths of the process. */
static LIST_HEAD(path_list, vhost_pci_path) paths = LIST_HEAD_INITIALIZER(paths);
static pthread_mutex_t paths_lock = PTHREAD_MUTEX_INITIALIZER;

/** Add a path to the list; returns the one that is the same, or NULL. */
static const struct vhost_pci_path *
paths_add(struct vhost_pci_path *p)
{
	const struct vhost_pci_path *taken = NULL;
	const struct vhost_pci_path *other;

	pthread_mutex_lock(&paths_lock);
	LIST_FOREACH(other, &paths, entry)
		if (strcmp(other->path, p->path) == 0)
			taken = other;
	if (taken == NULL)
		LIST_INSERT_HEAD(&paths, p, entry);
	pthread_mutex_unlock(&paths_lock);
	return taken;
}

int
vhost_pci_path_claim(const char *path, const char *name, struct vhost_pci_path **result)
{
	const struct vhost_pci_path *other;
	struct vhost_pci_path *p;

	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->path = strdup(path);
	if (p->path == NULL) {
		free(p);
		return -ENOMEM;
	}
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->listen_fd = -1;
	other = paths_add(p);
	if (other != NULL) {
		DRV_LOG(ERR, "%s: iface %s is used by %s already", name, path, other->name);
		free(p->path);
		free(p);
		return -EADDRINUSE;
	}
	*result = p;
	return 0;
}

void
vhost_pci_path_release(struct vhost_pci_path *p)
{
	vhost_pci_path_close(p);
	pthread_mutex_lock(&paths_lock);
	LIST_REMOVE(p, entry);
	pthread_mutex_unlock(&paths_lock);
	free(p->path);
	free(p);
}

/** Know our file again. */
static void
remember_file(struct vhost_pci_path *p)
{
	struct stat file;

	p->is_bound = lstat(p->path, &file) == 0;
	if (!p->is_bound)
		return;
	p->file_dev = file.st_dev;
	p->file_ino = file.st_ino;
}

/** Remove our file; another one's stays. */
static void
remove_file(const struct vhost_pci_path *p)
{
	struct stat file;

	if (p->is_bound && lstat(p->path, &file) == 0 && file.st_dev == p->file_dev &&
			file.st_ino == p->file_ino)
		unlink(p->path);
}

int
vhost_pci_path_listen(struct vhost_pci_path *p)
{
	int ret = vhost_pci_unix_listen(p->path);

	if (ret < 0) {
		DRV_LOG(ERR, "%s: can't listen on %s: %s", p->name, p->path, strerror(-ret));
		return ret;
	}
	p->listen_fd = ret;
	remember_file(p);
	return 0;
}

void
vhost_pci_path_close(struct vhost_pci_path *p)
{
	if (p->listen_fd < 0)
		return;
	remove_file(p);
	vhost_pci_peer_fd_close(p->listen_fd);
	p->is_bound = false;
	p->listen_fd = -1;
}
