/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_pci_door.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>

#include "vhost_pci_conn.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"

/**
 * How often the adapter is looked at, in milliseconds: without interrupts this is what a message of
 * the front-end waits, with them it is only for noticing a device that is gone [ADP-12.10].
 */
#define LOOK_MS_POLL 10
#define LOOK_MS_INTR (VHOST_PCI_ADAPTER_ALIVE_DRIVER_MS / 2)

/** An adapter that breaks again and again is reset no more often than this, in milliseconds. */
#define RESTART_MS 1000

/** How long a device that is taken away waits for packets that are in its windows. */
#define REAP_MS 1000

/** Loads of 8 bytes that take this long come from no cache, in picoseconds. */
#define UNCACHED_PS 40000

/** Features of the device's own, which no driver excludes [ADP-10.1]. */
#define DEVICE_FEATURES (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)

/** An adapter, its interrupts and its timer. */
struct vhost_pci_pci_door {
	char name[RTE_DEV_NAME_MAX_LEN];
	struct vhost_pci_adp *adp;
	struct vhost_pci_adp_config config;
	struct rte_intr_handle *intr_handle; /* The device's. */
	enum vhost_pci_pci_intr intr;
	uint16_t vector[VHOST_PCI_ADAPTER_VRINGS_MAX];
	int kick_fd[VHOST_PCI_ADAPTER_VRINGS_MAX]; /* The door's, but with a vector each. */
	int timer_fd;                              /* -1: not open. */
	uint64_t restart_ms;                       /* Time of the last one. */
	bool measured;
	struct vhost_pci_adp_bar own[VHOST_PCI_ADP_BARS]; /* Mappings that end with the door. */
	unsigned int nb_own;
	LIST_ENTRY(vhost_pci_pci_door) entry; /* Of lingering. */
};

/** Doors of closed ports, parts of whose windows are still in use. */
static LIST_HEAD(lingering_list, vhost_pci_pci_door) lingering = LIST_HEAD_INITIALIZER(lingering);
static pthread_mutex_t lingering_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Interrupts */

/** The vring that an Rx queue takes packets from: only its kicks are of interest. */
static unsigned int
rx_vring(unsigned int queue_id)
{
	return 2 * queue_id + 1;
}

static unsigned int
nb_rx(const struct vhost_pci_pci_door *door)
{
	return door->config.nb_vrings / 2;
}

/** A vector of its own for each Rx queue; vector 0 is for events. */
static int
intr_use_vectors(struct vhost_pci_pci_door *door)
{
	unsigned int i;

	if (rte_intr_efd_enable(door->intr_handle, nb_rx(door)) < 0)
		return -EIO;
	for (i = 0; i < nb_rx(door); i++) {
		door->vector[rx_vring(i)] = (uint16_t)(RTE_INTR_VEC_RXTX_OFFSET + i);
		door->kick_fd[rx_vring(i)] = rte_intr_efds_index_get(door->intr_handle, (int)i);
	}
	door->intr = VHOST_PCI_PCI_INTR_VECTOR;
	return 0;
}

/** Vector 0 for all, or none: kicks are eventfds of our own that control writes to. */
static int
intr_use_own_fds(struct vhost_pci_pci_door *door)
{
	unsigned int i;

	for (i = 0; i < nb_rx(door); i++) {
		if (door->intr == VHOST_PCI_PCI_INTR_SHARED)
			door->vector[rx_vring(i)] = RTE_INTR_VEC_ZERO_OFFSET;
		door->kick_fd[rx_vring(i)] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (door->kick_fd[rx_vring(i)] < 0)
			return -errno;
	}
	return 0;
}

static void
intr_fini(struct vhost_pci_pci_door *door)
{
	unsigned int i;

	if (door->intr != VHOST_PCI_PCI_INTR_NONE)
		rte_intr_disable(door->intr_handle);
	if (door->intr == VHOST_PCI_PCI_INTR_VECTOR) {
		rte_intr_efd_disable(door->intr_handle);
		return;
	}
	for (i = 0; i < nb_rx(door); i++)
		if (door->kick_fd[rx_vring(i)] >= 0)
			close(door->kick_fd[rx_vring(i)]);
}

static int
intr_init(struct vhost_pci_pci_door *door, bool has_intr)
{
	unsigned int nb_vectors = vhost_pci_adp_info(door->adp)->nb_vectors;
	bool many = rte_intr_type_get(door->intr_handle) == RTE_INTR_HANDLE_VFIO_MSIX;
	int ret = 0;
	unsigned int i;

	for (i = 0; i < RTE_DIM(door->vector); i++) {
		door->vector[i] = VHOST_PCI_ADAPTER_NO_VECTOR;
		door->kick_fd[i] = -1;
	}
	door->config.event_vector = VHOST_PCI_ADAPTER_NO_VECTOR;
	door->intr = VHOST_PCI_PCI_INTR_NONE;
	if (has_intr && nb_vectors > 0) {
		door->intr = VHOST_PCI_PCI_INTR_SHARED;
		door->config.event_vector = RTE_INTR_VEC_ZERO_OFFSET;
	}
	if (door->intr == VHOST_PCI_PCI_INTR_SHARED && many && nb_vectors > nb_rx(door))
		ret = intr_use_vectors(door);
	else
		ret = intr_use_own_fds(door);
	if (ret == 0 && door->intr != VHOST_PCI_PCI_INTR_NONE &&
			rte_intr_enable(door->intr_handle) < 0)
		ret = -EIO;
	if (ret < 0)
		intr_fini(door);
	return ret;
}

/** Wake the applications that wait for packets: nobody knows which of them has some. */
static void
kick_all(struct vhost_pci_port *port)
{
	const struct vhost_pci_pci_door *door = port->door_data;
	uint64_t one = 1;
	unsigned int i;

	if (!port->eth_dev->data->dev_conf.intr_conf.rxq && port->nb_unread == 0)
		return;
	for (i = 0; i < nb_rx(door); i++)
		if (write(door->kick_fd[rx_vring(i)], &one, sizeof(one)) < 0)
			/* Full: it was written to before, and nobody has looked yet. */
			errno = 0;
}

/* Sessions */

static void
connect_port(struct vhost_pci_port *port, struct vhost_pci_pci_door *door)
{
	struct vhost_pci_transport *transport;
	int ret = vhost_pci_adp_open(door->adp, &transport);

	if (ret == 0)
		ret = vhost_pci_conn_open(port, transport);
	if (ret == 0)
		return;
	DRV_LOG_LIMITED(&port->log_limit, ERR, "%s: can't serve a front-end: %s", door->name,
			strerror(-ret));
	vhost_pci_adp_end(door->adp);
}

static void
restart(struct vhost_pci_pci_door *door)
{
	uint64_t now = now_ms();
	int ret;

	if (door->restart_ms != 0 && now - door->restart_ms < RESTART_MS)
		return;
	door->restart_ms = now;
	ret = vhost_pci_adp_restart(door->adp);
	if (ret < 0)
		DRV_LOG(ERR, "%s: the adapter can't be restarted: %s", door->name, strerror(-ret));
	else
		DRV_LOG(NOTICE, "%s: the adapter was reset", door->name);
}

/** Say once if the peer's memory is mapped in a way that makes every access to it slow. */
static void
check_speed(struct vhost_pci_pci_door *door)
{
	unsigned int load_ps = vhost_pci_adp_load_ps(door->adp);

	if (door->measured || load_ps == 0)
		return;
	door->measured = true;
	if (load_ps < UNCACHED_PS) {
		DRV_LOG(INFO, "%s: memory of the front-end: %u ps for 8 bytes", door->name,
				load_ps);
		return;
	}
	DRV_LOG(WARNING,
			"%s: the front-end's memory takes %u ns for 8 bytes, as if uncached. With "
			"uio_pci_generic, the argument writeback=1 maps it write-back",
			door->name, load_ps / 1000);
}

/** Packets flow while both sides want them to [ADP-14.3]. */
static void
follow_peer(struct vhost_pci_port *port)
{
	const struct vhost_pci_pci_door *door = port->door_data;

	vhost_pci_session_set_peer_on(port->session, vhost_pci_adp_peer_on(door->adp));
}

/** See what the adapter wants. */
static void
look(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;
	enum vhost_pci_adp_state state = vhost_pci_adp_poll(door->adp, now_ms());

	check_speed(door);
	/* A session that has ended is ended first: its transport is readable. */
	if (port->transport != NULL) {
		follow_peer(port);
		return;
	}
	switch (state) {
	case VHOST_PCI_ADP_CONNECTED:
		connect_port(port, door);
		follow_peer(port);
		break;
	case VHOST_PCI_ADP_BROKEN:
		restart(door);
		break;
	case VHOST_PCI_ADP_GONE:
		vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_TIMER);
		vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_DOOR);
		break;
	case VHOST_PCI_ADP_IDLE:
	case VHOST_PCI_ADP_RETIRED:
		break;
	}
}

static void
timer_event(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;
	uint64_t count;

	if (read(door->timer_fd, &count, sizeof(count)) < 0)
		return;
	look(port);
	if (door->intr == VHOST_PCI_PCI_INTR_NONE)
		kick_all(port);
}

/** An interrupt: the vector of events, which may be that of kicks too. */
static void
intr_event(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;
	uint64_t count;

	if (read(rte_intr_fd_get(door->intr_handle), &count, sizeof(count)) < 0)
		return;
	look(port);
	if (door->intr == VHOST_PCI_PCI_INTR_SHARED)
		kick_all(port);
}

/* The door */

static int
open_timer(struct vhost_pci_port *port, struct vhost_pci_pci_door *door)
{
	long ms = door->intr == VHOST_PCI_PCI_INTR_NONE ? LOOK_MS_POLL : LOOK_MS_INTR;
	struct itimerspec when = {
		.it_value.tv_nsec = ms * 1000000,
		.it_interval.tv_nsec = ms * 1000000,
	};

	door->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (door->timer_fd < 0 || timerfd_settime(door->timer_fd, 0, &when, NULL) < 0)
		return -errno;
	return vhost_pci_port_watch(port, VHOST_PCI_EVENT_TIMER, door->timer_fd, timer_event);
}

static int
door_open(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;
	int ret;

	ret = open_timer(port, door);
	if (ret == 0 && door->intr != VHOST_PCI_PCI_INTR_NONE)
		ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_DOOR,
				rte_intr_fd_get(door->intr_handle), intr_event);
	vhost_pci_adp_set_local_on(door->adp, port->started && port->admin_up);
	if (ret == 0)
		ret = vhost_pci_adp_start(door->adp, &door->config);
	if (ret == 0)
		look(port);
	else
		DRV_LOG(ERR, "%s: the adapter does not start: %s", door->name, strerror(-ret));
	return ret;
}

static void
door_disconnected(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;

	vhost_pci_adp_end(door->adp);
	look(port);
}

/** A port that is stopped, or whose link was set down, wants no packets [ADP-14.2]. */
static void
door_state_changed(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;

	vhost_pci_adp_set_local_on(door->adp, port->started && port->admin_up);
	follow_peer(port);
}

static void
door_close(struct vhost_pci_port *port)
{
	struct vhost_pci_pci_door *door = port->door_data;

	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_DOOR);
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_TIMER);
	if (door->timer_fd >= 0)
		close(door->timer_fd);
	door->timer_fd = -1;
}

void
vhost_pci_pci_door_own(struct vhost_pci_pci_door *door, void *va, size_t bytes)
{
	door->own[door->nb_own++] = (struct vhost_pci_adp_bar){ va, bytes };
}

/** Free a door whose windows nobody uses any more: the reset comes last [ADP-5.6]. */
static void
free_unused(struct vhost_pci_pci_door *door)
{
	unsigned int i;

	vhost_pci_adp_destroy(door->adp);
	for (i = 0; i < door->nb_own; i++)
		munmap(door->own[i].va, door->own[i].bytes);
	free(door);
}

void
vhost_pci_pci_door_free(void *door_data)
{
	struct vhost_pci_pci_door *door = door_data;

	intr_fini(door);
	if (vhost_pci_adp_nb_mappings(door->adp) == 0) {
		free_unused(door);
		return;
	}
	/* Packets that were received without a copy outlive the port: then so does what they are
	 * in, until vhost_pci_pci_door_reap() finds them gone.
	 */
	pthread_mutex_lock(&lingering_lock);
	LIST_INSERT_HEAD(&lingering, door, entry);
	pthread_mutex_unlock(&lingering_lock);
}

/** Take the door of a device out of the list; NULL where it is not there. */
static struct vhost_pci_pci_door *
take_lingering(const char *name)
{
	struct vhost_pci_pci_door *door;

	pthread_mutex_lock(&lingering_lock);
	LIST_FOREACH(door, &lingering, entry) {
		if (strcmp(door->name, name) == 0) {
			LIST_REMOVE(door, entry);
			break;
		}
	}
	pthread_mutex_unlock(&lingering_lock);
	return door;
}

int
vhost_pci_pci_door_reap(const char *name)
{
	struct vhost_pci_pci_door *door = take_lingering(name);
	unsigned int ms;

	if (door == NULL)
		return 0;
	for (ms = 0; vhost_pci_adp_nb_mappings(door->adp) > 0 && ms < REAP_MS; ms++)
		rte_delay_us_sleep(1000);
	if (vhost_pci_adp_nb_mappings(door->adp) == 0) {
		free_unused(door);
		return 0;
	}
	DRV_LOG(ERR, "%s: packets that were received without a copy are still in use", name);
	pthread_mutex_lock(&lingering_lock);
	LIST_INSERT_HEAD(&lingering, door, entry);
	pthread_mutex_unlock(&lingering_lock);
	return -EBUSY;
}

const struct vhost_pci_door_ops vhost_pci_pci_door_ops = {
	.name = "PCI",
	.open = door_open,
	.disconnected = door_disconnected,
	.state_changed = door_state_changed,
	.close = door_close,
	.free = vhost_pci_pci_door_free,
};

int
vhost_pci_pci_door_create(const struct vhost_pci_pci_parts *parts,
		const struct vhost_pci_port_config *config, struct vhost_pci_pci_door **door)
{
	static const char *const intr_names[] = {
		[VHOST_PCI_PCI_INTR_NONE] = "polling",
		[VHOST_PCI_PCI_INTR_SHARED] = "one interrupt",
		[VHOST_PCI_PCI_INTR_VECTOR] = "an interrupt for each Rx queue",
	};
	struct vhost_pci_pci_door *new_door = calloc(1, sizeof(*new_door));
	int ret = -ENOMEM;

	if (new_door == NULL)
		goto err_destroy;
	snprintf(new_door->name, sizeof(new_door->name), "%s", parts->name);
	new_door->adp = parts->adp;
	new_door->intr_handle = parts->intr_handle;
	new_door->timer_fd = -1;
	new_door->config = (struct vhost_pci_adp_config){
		.features = vhost_pci_features(config) | DEVICE_FEATURES,
		.protocol_features = vhost_pci_protocol_features(config),
		.nb_vrings = 2u * config->max_queue_pairs,
		.vector = new_door->vector,
		.kick_fd = new_door->kick_fd,
	};
	ret = intr_init(new_door, parts->has_intr);
	if (ret < 0) {
		DRV_LOG(ERR, "%s: can't set up interrupts: %s", parts->name, strerror(-ret));
		goto err_destroy;
	}
	DRV_LOG(INFO, "%s: %s", parts->name, intr_names[new_door->intr]);
	*door = new_door;
	return 0;

err_destroy:
	free(new_door);
	vhost_pci_adp_destroy(parts->adp);
	return ret;
}
