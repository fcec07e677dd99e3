/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vhost_pci_conn.h"
#include "vhost_pci_dialect.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_path.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"

/** Time between attempts to connect, or to accept where that failed, in milliseconds. */
#define RETRY_MS 250

/** A socket, and how it is used. */
struct vhost_pci_socket {
	struct vhost_pci_path *path; /**< A reference. */
	bool client;
	bool warned;  /**< That a second front-end was refused. */
	bool deaf;    /**< The listener is not watched until the timer says so. */
	int timer_fd; /**< -1: not open. */
};

int
vhost_pci_socket_create(const char *path, bool client, const char *name,
		struct vhost_pci_socket **sock)
{
	struct vhost_pci_socket *s;
	int ret;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->client = client;
	s->timer_fd = -1;
	ret = vhost_pci_path_claim(path, name, &s->path);
	if (ret < 0) {
		free(s);
		return ret;
	}
	*sock = s;
	return 0;
}

void
vhost_pci_socket_free(void *door_data)
{
	struct vhost_pci_socket *sock = door_data;

	vhost_pci_path_release(sock->path);
	free(sock);
}

int
vhost_pci_socket_connected(struct vhost_pci_port *port, int fd)
{
	struct vhost_pci_transport *transport;
	int ret = vhost_pci_unix_transport_create(fd, &transport);

	if (ret == 0)
		ret = vhost_pci_conn_open(port, transport);
	if (ret == 0 && port->config.dialect)
		vhost_pci_dialect_begin(port);
	if (ret < 0)
		DRV_LOG_LIMITED(&port->log_limit, ERR, "%s: can't serve a connection: %s",
				vhost_pci_port_name(port), strerror(-ret));
	return ret;
}

/** Try again in a while. */
static void
socket_arm(const struct vhost_pci_socket *sock)
{
	const struct itimerspec when = { .it_value.tv_nsec = RETRY_MS * 1000000L };

	timerfd_settime(sock->timer_fd, 0, &when, NULL);
}

/**
 * Someone wants in, but there are no fds or no memory: the listener stays readable, and watching
 * it would keep the interrupt thread from everything else.
 */
static void
accept_failed(struct vhost_pci_port *port, int error)
{
	struct vhost_pci_socket *sock = port->door_data;

	port->stats.not_accepted++;
	if (!sock->deaf)
		DRV_LOG(ERR, "%s: can't accept a connection: %s", vhost_pci_port_name(port),
				strerror(-error));
	sock->deaf = true;
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_DOOR);
	socket_arm(sock);
}

/** Someone connects to our listener. */
static void
accept_event(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;
	int fd;

	/* One that has just gone makes room for the one that comes: first hear of that. */
	if (port->transport != NULL)
		vhost_pci_conn_event(port);
	/* There may be more to hear once the application knows of the link. */
	if (port->transport != NULL && port->link_changed)
		return;
	fd = vhost_pci_unix_accept(sock->path->listen_fd);
	if (fd == -EAGAIN)
		return;
	if (fd < 0) {
		accept_failed(port, fd);
		return;
	}
	sock->deaf = false;
	if (port->transport == NULL) {
		sock->warned = false;
		vhost_pci_socket_connected(port, fd);
		return;
	}
	port->stats.refused++;
	if (!sock->warned)
		DRV_LOG_LIMITED(&port->log_limit, WARNING,
				"%s: another front-end is refused while one is connected",
				vhost_pci_port_name(port));
	sock->warned = true;
	vhost_pci_peer_fd_close(fd);
}

/** Open the timer; its event is watched. */
static int
timer_open(struct vhost_pci_port *port, vhost_pci_event_fn_t fn)
{
	struct vhost_pci_socket *sock = port->door_data;

	sock->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sock->timer_fd < 0)
		return -errno;
	return vhost_pci_port_watch(port, VHOST_PCI_EVENT_TIMER, sock->timer_fd, fn);
}

/** It is time to listen again. */
static void
server_event(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;
	uint64_t count;
	int ret;

	if (read(sock->timer_fd, &count, sizeof(count)) < 0 || !sock->deaf)
		return;
	ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_DOOR, sock->path->listen_fd, accept_event);
	if (ret < 0)
		socket_arm(sock);
}

static int
server_open(struct vhost_pci_port *port, struct vhost_pci_socket *sock)
{
	int ret = timer_open(port, server_event);

	if (ret < 0)
		return ret;
	ret = vhost_pci_path_listen(sock->path);
	if (ret < 0)
		return ret;
	return vhost_pci_port_watch(port, VHOST_PCI_EVENT_DOOR, sock->path->listen_fd,
			accept_event);
}

/** Connect now, or try again in a while. Returns 0, or -errno where no time will help. */
static int
client_connect(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;
	int ret = vhost_pci_unix_connect(sock->path->path);

	if (ret == -ENAMETOOLONG || ret == -EINVAL)
		return ret;
	if (ret < 0 || vhost_pci_socket_connected(port, ret) < 0)
		socket_arm(sock);
	return 0;
}

/** It is time to connect. */
static void
client_event(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;
	uint64_t count;

	if (read(sock->timer_fd, &count, sizeof(count)) > 0 && port->transport == NULL)
		client_connect(port);
}

static int
client_open(struct vhost_pci_port *port, struct vhost_pci_socket *sock)
{
	int ret;

	ret = timer_open(port, client_event);
	if (ret < 0)
		return ret;
	ret = client_connect(port);
	if (ret < 0)
		DRV_LOG(ERR, "%s: can't connect to %s: %s", vhost_pci_port_name(port),
				sock->path->path, strerror(-ret));
	return ret;
}

static int
socket_open(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;

	return sock->client ? client_open(port, sock) : server_open(port, sock);
}

static void
socket_disconnected(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;

	/* Not at once: a front-end that ends each connection would keep us busy with it. */
	if (sock->client)
		socket_arm(sock);
}

static void
socket_close(struct vhost_pci_port *port)
{
	struct vhost_pci_socket *sock = port->door_data;

	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_DOOR);
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_TIMER);
	vhost_pci_path_close(sock->path);
	if (sock->timer_fd >= 0)
		close(sock->timer_fd);
	sock->timer_fd = -1;
}

const struct vhost_pci_door_ops vhost_pci_socket_ops = {
	.name = "socket",
	.open = socket_open,
	.disconnected = socket_disconnected,
	.state_changed = vhost_pci_dialect_state_changed,
	.close = socket_close,
	.free = vhost_pci_socket_free,
};
