/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "listener.h"
#include "status.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

/** A reader that has not read all by then is left. */
#define STATUS_TIMEOUT_MS 5000u

/** Readers at a time. */
#define STATUS_READERS 16u

struct status {
	struct listener *listener;
	GPtrArray *endpoints;
	GPtrArray *readers;
};

/** Somebody who reads the status. */
struct status_reader {
	struct status *status;
	int fd;
	char *text;
	size_t nb_bytes;
	size_t nb_sent;
	GSource *watch;
	GSource *timer;
};

static void
status_reader_free(gpointer data)
{
	struct status_reader *reader = data;

	watch_stop(&reader->watch);
	watch_stop(&reader->timer);
	vhost_pci_peer_fd_close(reader->fd);
	g_free(reader->text);
	g_free(reader);
}

static void
status_reader_end(void *opaque)
{
	struct status_reader *reader = opaque;

	g_ptr_array_remove(reader->status->readers, reader);
}

static void
status_reader_write(void *opaque)
{
	struct status_reader *reader = opaque;
	ssize_t nb = send(reader->fd, reader->text + reader->nb_sent,
			reader->nb_bytes - reader->nb_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (nb < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (nb > 0)
		reader->nb_sent += nb;
	if (nb < 0 || reader->nb_sent == reader->nb_bytes)
		status_reader_end(reader);
}

static void
status_accept(void *opaque, int fd)
{
	struct status *status = opaque;
	struct status_reader *reader;

	if (status->readers->len == STATUS_READERS) {
		vhost_pci_peer_fd_close(fd);
		return;
	}
	reader = g_new0(struct status_reader, 1);
	reader->status = status;
	reader->fd = fd;
	reader->text = status_text(status->endpoints);
	reader->nb_bytes = strlen(reader->text);
	reader->watch = watch_fd(fd, G_IO_OUT, status_reader_write, reader);
	reader->timer = watch_timer(STATUS_TIMEOUT_MS, status_reader_end, reader);
	g_ptr_array_add(status->readers, reader);
}

int
status_create(const char *path, GPtrArray *endpoints, struct status **status)
{
	struct status *new_status = g_new0(struct status, 1);
	int error = listener_create(path, status_accept, new_status, &new_status->listener);

	if (error < 0) {
		g_free(new_status);
		return error;
	}
	new_status->endpoints = endpoints;
	new_status->readers = g_ptr_array_new_with_free_func(status_reader_free);
	*status = new_status;
	return 0;
}

void
status_destroy(struct status *status)
{
	if (status == NULL)
		return;
	listener_destroy(status->listener);
	g_ptr_array_free(status->readers, TRUE);
	g_free(status);
}

int
status_print(const char *path)
{
	int fd = vhost_pci_unix_connect(path);
	char bytes[4096];
	ssize_t nb;
	int error;
	struct timeval timeout = { .tv_sec = STATUS_TIMEOUT_MS / 1000 };

	if (fd < 0)
		return fd;
	/* the engine's sockets do not block; this one may, as long as the daemon would */
	g_unix_set_fd_nonblocking(fd, FALSE, NULL);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	while ((nb = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		fwrite(bytes, 1, nb, stdout);
	error = nb < 0 ? -errno : 0;
	close(fd);
	return error;
}
