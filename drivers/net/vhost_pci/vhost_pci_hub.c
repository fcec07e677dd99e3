/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <rte_dev.h>

#include "vhost_pci_dialect.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_path.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_socket.h"
#include "vhost_pci_transport_unix.h"

/**
 * How long a connection waits for a port to be free, and how long none is accepted where that
 * has failed, in milliseconds.
 */
#define PATIENCE_MS 250

/** A port's part of a hub. */
struct vhost_pci_hub_member {
	LIST_ENTRY(vhost_pci_hub_member) entry; /**< Sorted by index. */
	struct vhost_pci_hub *hub;
	uint16_t index;
	bool is_open;        /**< The port's front door is open. */
	bool is_busy;        /**< It has a front-end, or one on its way, or had its last one. */
	int event_fd;        /**< Tells the port of what follows; -1: not open. */
	int fd;              /**< A connection for the port; -1: none. Owned. */
	uint64_t nb_refused; /**< Connections refused for the hub, yet to be counted. */
};

LIST_HEAD(member_list, vhost_pci_hub_member);

/** A listener with its ports. */
struct vhost_pci_hub {
	LIST_ENTRY(vhost_pci_hub) entry;
	struct member_list members;
	struct vhost_pci_path *path; /**< NULL once the last member has left. */
	struct rte_intr_handle *intr_handle;
	char name[RTE_DEV_NAME_MAX_LEN];
	char *args;
	int (*make)(const char *name, const char *args, uint16_t index);
	uint16_t max_clients;
	uint16_t nb_static;
	uint16_t nb_open;  /**< Members that are open. */
	unsigned int refs; /**< Members, and the registration of the callback. */
	int epoll_fd;      /**< -1: not open, as the two that follow. */
	int timer_fd;
	int waiting_fd; /**< A connection that waits for a port; none is accepted then. */
	bool is_deaf;   /**< The listener is not watched. */
};

static LIST_HEAD(hub_list, vhost_pci_hub) hubs = LIST_HEAD_INITIALIZER(hubs);

/** Of the list, of all hubs and their members. */
static pthread_mutex_t hubs_lock = PTHREAD_MUTEX_INITIALIZER;

/** Let go of a hub. Locked. */
static void
hub_unref(struct vhost_pci_hub *hub)
{
	if (--hub->refs > 0)
		return;
	rte_intr_instance_free(hub->intr_handle);
	free(hub->args);
	free(hub);
}

/** Have the port look at what its member has for it. Locked. */
static void
member_wake(const struct vhost_pci_hub_member *member)
{
	eventfd_write(member->event_fd, 1);
}

/** Watch the listener. Locked. */
static void
hub_listen(struct vhost_pci_hub *hub)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = hub->path->listen_fd };

	if (hub->is_deaf && epoll_ctl(hub->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev) == 0)
		hub->is_deaf = false;
}

/** Watch the listener no more, until the timer says so or a port is free. Locked. */
static void
hub_rest(struct vhost_pci_hub *hub)
{
	const struct itimerspec when = { .it_value.tv_nsec = PATIENCE_MS * 1000000L };

	timerfd_settime(hub->timer_fd, 0, &when, NULL);
	if (!hub->is_deaf)
		epoll_ctl(hub->epoll_fd, EPOLL_CTL_DEL, hub->path->listen_fd, NULL);
	hub->is_deaf = true;
}

/** Hand a connection to a member that is free. Locked. */
static void
member_give(struct vhost_pci_hub_member *member, int fd)
{
	member->is_busy = true;
	member->fd = fd;
	member_wake(member);
}

/** Hand the connection that waits to a member that has become free. Locked. */
static void
hub_feed(struct vhost_pci_hub *hub, struct vhost_pci_hub_member *member)
{
	if (hub->waiting_fd < 0)
		return;
	member_give(member, hub->waiting_fd);
	hub->waiting_fd = -1;
	hub_listen(hub);
}

/** Close the connection that waits; a port counts it. Locked. */
static void
hub_refuse(struct vhost_pci_hub *hub)
{
	struct vhost_pci_hub_member *member;

	vhost_pci_peer_fd_close(hub->waiting_fd);
	hub->waiting_fd = -1;
	LIST_FOREACH(member, &hub->members, entry)
		if (member->is_open) {
			member->nb_refused++;
			member_wake(member);
			return;
		}
}

/** The free member with the lowest number, or NULL. Locked. */
static struct vhost_pci_hub_member *
hub_find_free(const struct vhost_pci_hub *hub)
{
	struct vhost_pci_hub_member *member;

	LIST_FOREACH(member, &hub->members, entry)
		if (member->is_open && !member->is_busy)
			return member;
	return NULL;
}

/** The lowest number of a port that may be made, or max_clients. Locked. */
static uint16_t
hub_find_index(const struct vhost_pci_hub *hub)
{
	const struct vhost_pci_hub_member *member;
	uint16_t index = hub->nb_static;

	LIST_FOREACH(member, &hub->members, entry)
		if (member->index == index)
			index++;
	return index;
}

/**
 * Someone connects.
 *
 * @return The number of a port to be made for the connection, which waits for it; max_clients:
 *	   none is to be made. Locked.
 */
static uint16_t
hub_accept(struct vhost_pci_hub *hub)
{
	struct vhost_pci_hub_member *member;
	int fd = vhost_pci_unix_accept(hub->path->listen_fd);

	if (fd == -EAGAIN)
		return hub->max_clients;
	if (fd < 0) {
		/* No fds or no memory, as may be in a while. */
		DRV_LOG(ERR, "%s: can't accept a connection: %s", hub->name, strerror(-fd));
		hub_rest(hub);
		return hub->max_clients;
	}
	member = hub_find_free(hub);
	if (member != NULL) {
		member_give(member, fd);
		return hub->max_clients;
	}
	hub->waiting_fd = fd;
	hub_rest(hub);
	return hub_find_index(hub);
}

/** The timer: nobody was free in time, or there may be fds again. Locked. */
static void
hub_timeout(struct vhost_pci_hub *hub)
{
	uint64_t count;

	if (read(hub->timer_fd, &count, sizeof(count)) < 0)
		return;
	if (hub->waiting_fd >= 0)
		hub_refuse(hub);
	hub_listen(hub);
}

/** The callback of EAL's interrupt thread. The registration's reference is there to its end. */
static void
hub_event(void *arg)
{
	struct vhost_pci_hub *hub = arg;
	struct epoll_event ready[2];
	uint16_t index;
	int i, nb;

	pthread_mutex_lock(&hubs_lock);
	index = hub->max_clients;
	nb = hub->nb_open > 0 ? epoll_wait(hub->epoll_fd, ready, RTE_DIM(ready), 0) : 0;
	for (i = 0; i < nb; i++) {
		if (ready[i].data.fd == hub->timer_fd)
			hub_timeout(hub);
		else if (!hub->is_deaf)
			index = hub_accept(hub);
	}
	pthread_mutex_unlock(&hubs_lock);
	if (index < hub->max_clients)
		/* What fails has been said; the connection is refused when its time is over. */
		hub->make(hub->name, hub->args, index);
}

/** Called by EAL, with a handle of its own, when the last callback is over. */
static void
hub_gone(struct rte_intr_handle *intr_handle, void *arg)
{
	close(rte_intr_fd_get(intr_handle));
	pthread_mutex_lock(&hubs_lock);
	hub_unref(arg);
	pthread_mutex_unlock(&hubs_lock);
}

/** Hear no more events. Locked; the callback may be waiting for the lock. */
static void
hub_unregister(struct vhost_pci_hub *hub)
{
	int ret;

	do {
		/* The one where no callback runs, the other where one does. */
		ret = rte_intr_callback_unregister(hub->intr_handle, hub_event, hub);
		if (ret >= 0) {
			close(hub->epoll_fd);
			hub_unref(hub);
		} else {
			ret = rte_intr_callback_unregister_pending(hub->intr_handle, hub_event, hub,
					hub_gone);
		}
	} while (ret == -EAGAIN);
}

/** Open the listener. Locked. */
static int
hub_open(struct vhost_pci_hub *hub)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ret;

	hub->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (hub->timer_fd < 0)
		return -errno;
	hub->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = hub->timer_fd;
	if (hub->epoll_fd < 0 || epoll_ctl(hub->epoll_fd, EPOLL_CTL_ADD, hub->timer_fd, &ev) < 0) {
		ret = -errno;
		goto err_close_timer;
	}
	ret = vhost_pci_path_listen(hub->path);
	if (ret < 0)
		goto err_close_timer;
	hub->is_deaf = true;
	hub_listen(hub);
	rte_intr_fd_set(hub->intr_handle, hub->epoll_fd);
	rte_intr_type_set(hub->intr_handle, RTE_INTR_HANDLE_EXT);
	ret = rte_intr_callback_register(hub->intr_handle, hub_event, hub);
	if (ret < 0)
		goto err_close_path;
	hub->refs++;
	return 0;

err_close_path:
	vhost_pci_path_close(hub->path);
err_close_timer:
	if (hub->epoll_fd >= 0)
		close(hub->epoll_fd);
	close(hub->timer_fd);
	return ret;
}

/** Close the listener, after its last open member. Locked. */
static void
hub_close(struct vhost_pci_hub *hub)
{
	if (hub->waiting_fd >= 0)
		vhost_pci_peer_fd_close(hub->waiting_fd);
	hub->waiting_fd = -1;
	vhost_pci_path_close(hub->path);
	close(hub->timer_fd);
	hub_unregister(hub);
}

/** Find the hub of a device. Locked. */
static struct vhost_pci_hub *
hub_find(const char *name)
{
	struct vhost_pci_hub *hub;

	LIST_FOREACH(hub, &hubs, entry)
		if (strcmp(hub->name, name) == 0)
			return hub;
	return NULL;
}

/** Make a hub without members. Locked. */
static int
hub_create(const struct vhost_pci_hub_config *config, struct vhost_pci_hub **result)
{
	struct vhost_pci_hub *hub;
	int ret = -ENOMEM;

	hub = calloc(1, sizeof(*hub));
	if (hub == NULL)
		return -ENOMEM;
	snprintf(hub->name, sizeof(hub->name), "%s", config->name);
	hub->make = config->make;
	hub->max_clients = config->max_clients;
	hub->nb_static = config->nb_static;
	hub->waiting_fd = -1;
	hub->args = strdup(config->args);
	hub->intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (hub->args != NULL && hub->intr_handle != NULL)
		ret = vhost_pci_path_claim(config->path, config->name, &hub->path);
	if (ret < 0) {
		rte_intr_instance_free(hub->intr_handle);
		free(hub->args);
		free(hub);
		return ret;
	}
	LIST_INSERT_HEAD(&hubs, hub, entry);
	*result = hub;
	return 0;
}

/** Take a hub from the list where it has no members; those who have a reference keep it. Locked. */
static void
hub_drop_empty(struct vhost_pci_hub *hub)
{
	if (!LIST_EMPTY(&hub->members))
		return;
	LIST_REMOVE(hub, entry);
	vhost_pci_path_release(hub->path);
	hub->path = NULL;
}

/** Add a member, in its place. Returns 0, -EEXIST or -EINVAL. Locked. */
static int
hub_add(struct vhost_pci_hub *hub, struct vhost_pci_hub_member *member)
{
	struct vhost_pci_hub_member *other, *before = NULL;

	if (member->index >= hub->max_clients)
		return -EINVAL;
	LIST_FOREACH(other, &hub->members, entry) {
		if (other->index == member->index)
			return -EEXIST;
		if (other->index < member->index)
			before = other;
	}
	if (before == NULL)
		LIST_INSERT_HEAD(&hub->members, member, entry);
	else
		LIST_INSERT_AFTER(before, member, entry);
	member->hub = hub;
	hub->refs++;
	return 0;
}

int
vhost_pci_hub_join(const struct vhost_pci_hub_config *config, uint16_t index,
		struct vhost_pci_hub_member **result)
{
	struct vhost_pci_hub_member *member;
	struct vhost_pci_hub *hub;
	int ret = 0;

	member = calloc(1, sizeof(*member));
	if (member == NULL)
		return -ENOMEM;
	member->index = index;
	member->event_fd = -1;
	member->fd = -1;
	pthread_mutex_lock(&hubs_lock);
	hub = hub_find(config->name);
	if (hub == NULL)
		ret = config->args == NULL ? -ENODEV : hub_create(config, &hub);
	if (ret == 0)
		ret = hub_add(hub, member);
	pthread_mutex_unlock(&hubs_lock);
	if (ret < 0)
		free(member);
	else
		*result = member;
	return ret;
}

bool
vhost_pci_hub_has(const char *name, uint16_t index)
{
	const struct vhost_pci_hub_member *member;
	const struct vhost_pci_hub *hub;
	bool found = false;

	pthread_mutex_lock(&hubs_lock);
	hub = hub_find(name);
	if (hub != NULL)
		LIST_FOREACH(member, &hub->members, entry)
			found |= member->index == index;
	pthread_mutex_unlock(&hubs_lock);
	return found;
}

/** The port's member has something: a connection, or a count. */
static void
member_event(struct vhost_pci_port *port)
{
	struct vhost_pci_hub_member *member = port->door_data;
	uint64_t count, nb_refused;
	int fd;

	if (read(member->event_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&hubs_lock);
	fd = member->fd;
	member->fd = -1;
	nb_refused = member->nb_refused;
	member->nb_refused = 0;
	pthread_mutex_unlock(&hubs_lock);
	port->stats.refused += nb_refused;
	if (nb_refused > 0)
		DRV_LOG_LIMITED(&port->log_limit, WARNING,
				"%s: a front-end is refused: no port is free for it",
				member->hub->name);
	if (fd >= 0 && vhost_pci_socket_connected(port, fd) < 0)
		port->door->disconnected(port);
}

static int
member_open(struct vhost_pci_port *port)
{
	struct vhost_pci_hub_member *member = port->door_data;
	struct vhost_pci_hub *hub = member->hub;
	int ret = 0;

	member->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (member->event_fd < 0)
		return -errno;
	ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_DOOR, member->event_fd, member_event);
	if (ret < 0)
		return ret;
	pthread_mutex_lock(&hubs_lock);
	if (hub->nb_open == 0)
		ret = hub_open(hub);
	if (ret == 0) {
		hub->nb_open++;
		member->is_open = true;
		hub_feed(hub, member);
	}
	pthread_mutex_unlock(&hubs_lock);
	return ret;
}

static void
member_disconnected(struct vhost_pci_port *port)
{
	struct vhost_pci_hub_member *member = port->door_data;

	/* A port that came with its front-end goes with it, once the application lets it go. */
	if (port->config.removable) {
		port->removed = true;
		return;
	}
	pthread_mutex_lock(&hubs_lock);
	member->is_busy = false;
	hub_feed(member->hub, member);
	pthread_mutex_unlock(&hubs_lock);
}

static void
member_close(struct vhost_pci_port *port)
{
	struct vhost_pci_hub_member *member = port->door_data;
	struct vhost_pci_hub *hub = member->hub;

	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_DOOR);
	pthread_mutex_lock(&hubs_lock);
	if (member->is_open && --hub->nb_open == 0)
		hub_close(hub);
	member->is_open = false;
	if (member->fd >= 0)
		vhost_pci_peer_fd_close(member->fd);
	member->fd = -1;
	pthread_mutex_unlock(&hubs_lock);
	if (member->event_fd >= 0)
		close(member->event_fd);
	member->event_fd = -1;
}

static void
member_free(void *door_data)
{
	struct vhost_pci_hub_member *member = door_data;
	struct vhost_pci_hub *hub = member->hub;

	pthread_mutex_lock(&hubs_lock);
	LIST_REMOVE(member, entry);
	hub_drop_empty(hub);
	hub_unref(hub);
	pthread_mutex_unlock(&hubs_lock);
	free(member);
}

const struct vhost_pci_door_ops vhost_pci_hub_ops = {
	.name = "shared socket",
	.open = member_open,
	.disconnected = member_disconnected,
	.state_changed = vhost_pci_dialect_state_changed,
	.close = member_close,
	.free = member_free,
};
