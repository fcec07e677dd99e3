/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "listener.h"
#include "vhost_pci_log.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

/** Between two attempts to accept when fds have run out. */
#define LISTENER_RETRY_MS 250u

struct listener {
	char *path;
	int fd;
	listener_fn fn;
	void *opaque;
	GSource *watch; /**< or NULL while it rests */
	GSource *retry; /**< when it has rested */
	bool is_short;  /**< of fds; it was told */
};

static void listener_accept(void *opaque);

static void
listener_go_on(void *opaque)
{
	struct listener *listener = opaque;

	watch_stop(&listener->retry);
	listener->watch = watch_fd(listener->fd, G_IO_IN, listener_accept, listener);
}

static void
listener_rest(struct listener *listener, int error)
{
	if (!listener->is_short)
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: can't accept a connection: %s",
				listener->path, strerror(-error));
	listener->is_short = true;
	watch_stop(&listener->watch);
	listener->retry = watch_timer(LISTENER_RETRY_MS, listener_go_on, listener);
}

static void
listener_accept(void *opaque)
{
	struct listener *listener = opaque;
	int fd = vhost_pci_unix_accept(listener->fd);

	if (fd >= 0) {
		listener->is_short = false;
		listener->fn(listener->opaque, fd);
	} else if (fd != -EAGAIN) {
		listener_rest(listener, fd);
	}
}

int
listener_create(const char *path, listener_fn fn, void *opaque, struct listener **listener)
{
	int fd = vhost_pci_unix_listen(path);

	if (fd < 0)
		return fd;
	*listener = g_new0(struct listener, 1);
	(*listener)->path = g_strdup(path);
	(*listener)->fd = fd;
	(*listener)->fn = fn;
	(*listener)->opaque = opaque;
	listener_go_on(*listener);
	return 0;
}

int
listener_fd(const struct listener *listener)
{
	return listener->fd;
}

void
listener_destroy(struct listener *listener)
{
	if (listener == NULL)
		return;
	watch_stop(&listener->watch);
	watch_stop(&listener->retry);
	vhost_pci_peer_fd_close(listener->fd);
	unlink(listener->path);
	g_free(listener->path);
	g_free(listener);
}
