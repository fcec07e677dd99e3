/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include <rte_byteorder.h>
#include <rte_malloc.h>

#include "vhost_pci_compat.h"
#include "vhost_pci_conn.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_inband.h"
#include "vhost_pci_intr.h"
#include "vhost_pci_queue.h"
#include "vhost_pci_trace.h"
#include "vhost_pci_transport_unix.h"
#include "vhost_pci_unread.h"

/** What an application is to be told. */
struct port_news {
	bool link_changed;
	bool queue_changed;
	bool removed;
};

/** Take what is to be told. Port locked. */
static struct port_news
port_take_news(struct vhost_pci_port *port)
{
	struct port_news news = { port->link_changed, port->queue_changed, port->removed };

	port->link_changed = false;
	port->queue_changed = false;
	port->removed = false;
	return news;
}

/** Deliver an event, unless a callback of an earlier one has closed the port. */
static void
port_notify(struct rte_eth_dev *eth_dev, const struct vhost_pci_port *port,
		enum rte_eth_event_type event)
{
	/* The port is compared, not looked into. */
	if (eth_dev->state == RTE_ETH_DEV_ATTACHED && eth_dev->data->dev_private == port)
		rte_eth_dev_callback_process(eth_dev, event, NULL);
}

/** The callback of EAL's interrupt thread for all events of a port. */
static void
port_event(void *arg)
{
	struct vhost_pci_port *port = arg;
	struct rte_eth_dev *eth_dev = port->eth_dev;
	struct epoll_event ready[VHOST_PCI_NB_EVENTS];
	bool is_ready[VHOST_PCI_NB_EVENTS] = { false };
	struct port_news news;
	int i, nb;

	vhost_pci_port_lock(port);
	nb = epoll_wait(port->epoll_fd, ready, VHOST_PCI_NB_EVENTS, 0);
	for (i = 0; i < nb; i++)
		is_ready[ready[i].data.u32] = true;
	for (i = 0; i < VHOST_PCI_NB_EVENTS; i++) {
		/* An earlier event may have ended what this one is about. */
		if (is_ready[i] && port->event_fd[i] >= 0)
			port->event_fn[i](port);
	}
	vhost_pci_intr_wake_changed(port);
	news = port_take_news(port);
	vhost_pci_port_unlock(port);

	/* Last of all: a callback may close the port. */
	if (news.link_changed)
		port_notify(eth_dev, port, RTE_ETH_EVENT_INTR_LSC);
	if (news.queue_changed)
		port_notify(eth_dev, port, RTE_ETH_EVENT_QUEUE_STATE);
	if (news.removed)
		port_notify(eth_dev, port, RTE_ETH_EVENT_INTR_RMV);
}

int
vhost_pci_port_watch(struct vhost_pci_port *port, enum vhost_pci_event event, int fd,
		vhost_pci_event_fn_t fn)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = event };

	if (epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	port->event_fd[event] = fd;
	port->event_fn[event] = fn;
	return 0;
}

void
vhost_pci_port_unwatch(struct vhost_pci_port *port, enum vhost_pci_event event)
{
	if (port->event_fd[event] < 0)
		return;
	epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, port->event_fd[event], NULL);
	port->event_fd[event] = -1;
}

/** A vring has written that it is broken or posts a message, or memory that it is gone. */
static void
broken_event(struct vhost_pci_port *port)
{
	uint64_t count;

	if (read(port->broken_fd, &count, sizeof(count)) < 0)
		return;
	vhost_pci_conn_check(port);
	vhost_pci_session_channel_serve(port->session);
}

void
vhost_pci_port_update_link(struct vhost_pci_port *port)
{
	bool up = port->started && port->admin_up && vhost_pci_session_is_ready(port->session);
	struct rte_eth_link link = {
		.link_speed = up ? RTE_ETH_SPEED_NUM_10G : RTE_ETH_SPEED_NUM_NONE,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
		.link_status = up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN,
	};

	/* Returns -1 where the status is what it was. */
	if (rte_eth_linkstatus_set(port->eth_dev, &link) < 0)
		return;
	port->link_changed = true;
	vhost_pci_trace_link(vhost_pci_port_id(port), up);
	DRV_LOG(INFO, "%s: link %s", vhost_pci_port_name(port), up ? "up" : "down");
}

void
vhost_pci_port_update_config(struct vhost_pci_port *port)
{
	bool up = port->started && port->admin_up;
	struct virtio_net_config space = {
		.status = rte_cpu_to_le_16(up ? VIRTIO_NET_S_LINK_UP : 0),
		.max_virtqueue_pairs = rte_cpu_to_le_16(port->config.max_queue_pairs),
	};

	if (!port->config.config)
		return;
	if (port->transport == NULL)
		port->space_mtu = port->app_mtu;
	space.mtu = rte_cpu_to_le_16(port->space_mtu);
	if (port->config.has_guest_mac)
		memcpy(space.mac, port->config.guest_mac.addr_bytes, sizeof(space.mac));
	vhost_pci_session_set_config(port->session, &space);
}

void
vhost_pci_port_set_state(struct vhost_pci_port *port, bool started, bool admin_up)
{
	port->started = started;
	port->admin_up = admin_up;
	vhost_pci_session_set_admin_up(port->session, started && admin_up);
	if (port->door->state_changed != NULL)
		port->door->state_changed(port);
	vhost_pci_port_update_link(port);
	vhost_pci_port_update_config(port);
	vhost_pci_intr_wake_changed(port);
	/* Who starts or stops a port knows it: events are for what one can't know. */
	port->link_changed = false;
	port->queue_changed = false;
}

static void
on_ready_changed(void *opaque, bool ready)
{
	struct vhost_pci_port *port = opaque;

	RTE_SET_USED(ready);
	vhost_pci_port_update_link(port);
}

/** What an application may want to know of a vring, in a word; 0: it is off. */
static uint32_t
vring_state(const struct vhost_pci_port *port, const struct vhost_pci_vring *vr)
{
	enum vhost_pci_vring_mode mode = vhost_pci_session_vring_mode(port->session, vr);

	if (mode == VHOST_PCI_VRING_OFF)
		return 0;
	return (uint32_t)vr->size << 16 | (uint32_t)vr->is_packed << 8 | (uint32_t)mode;
}

static void
on_vring_changed(void *opaque, struct vhost_pci_vring *vr)
{
	struct vhost_pci_port *port = opaque;
	uint16_t queue_id = (uint16_t)(vr->index / 2);
	uint32_t state = vring_state(port, vr);

	/* Virtqueue 2n is filled by us, 2n + 1 by the front-end (VIRTIO 5.1.2). */
	if (vr->index % 2 != 0) {
		vhost_pci_rxq_bind(port, queue_id);
		vhost_pci_unread_bind(port, queue_id);
	} else {
		vhost_pci_txq_bind(port, queue_id);
	}
	if (state == port->shown[vr->index])
		return;
	port->shown[vr->index] = state;
	port->queue_changed = true;
	vhost_pci_trace_vring(vhost_pci_port_id(port), (uint16_t)vr->index,
			vhost_pci_session_vring_mode(port->session, vr));
}

static int
on_set_mtu(void *opaque, uint16_t mtu)
{
	struct vhost_pci_port *port = opaque;

	/* The front-end tells its driver this MTU: frames of that size are what will come. */
	if (mtu < VHOST_PCI_MIN_MTU)
		return -EINVAL;
	port->peer_mtu = mtu;
	port->eth_dev->data->mtu = mtu;
	DRV_LOG(INFO, "%s: front-end set MTU %u", vhost_pci_port_name(port), mtu);
	return 0;
}

static int
on_send_rarp(void *opaque, const uint8_t mac[6])
{
	struct vhost_pci_port *port = opaque;

	return vhost_pci_rxq_send_rarp(port, mac);
}

static void
on_features_changed(void *opaque, uint64_t features)
{
	struct vhost_pci_port *port = opaque;

	vhost_pci_trace_features(vhost_pci_port_id(port), features);
	DRV_LOG(INFO, "%s: features 0x%" PRIx64, vhost_pci_port_name(port), features);
}

static int
on_map_region(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct vhost_pci_port *port = opaque;

	if (port->transport == NULL)
		return -ENOTCONN;
	return port->transport->ops->map_region(port->transport, fd, mmap_offset, size, mapping);
}

static int
on_map_log(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct vhost_pci_port *port = opaque;

	if (port->transport == NULL || port->transport->ops->map_log == NULL)
		return on_map_region(opaque, fd, mmap_offset, size, mapping);
	return port->transport->ops->map_log(port->transport, fd, mmap_offset, size, mapping);
}

static volatile uint32_t *
on_find_doorbell(void *opaque, uint32_t request, unsigned int index)
{
	struct vhost_pci_transport *transport = ((struct vhost_pci_port *)opaque)->transport;

	if (transport == NULL || transport->ops->doorbell == NULL)
		return NULL;
	return transport->ops->doorbell(transport, request, index);
}

static void
on_vring_stopped(void *opaque, const struct vhost_pci_vring *vr)
{
	struct vhost_pci_transport *transport = ((struct vhost_pci_port *)opaque)->transport;

	if (transport != NULL && transport->ops->vring_stopped != NULL)
		transport->ops->vring_stopped(transport, vr->index, vr->base);
}

static int
on_open_channel(void *opaque, int fd, struct vhost_pci_transport **channel)
{
	struct vhost_pci_transport *transport = ((struct vhost_pci_port *)opaque)->transport;

	return transport->ops->open_channel(transport, fd, channel);
}

static int
on_open_faults(void *opaque, struct vhost_pci_faults **faults)
{
	struct vhost_pci_transport *transport = ((struct vhost_pci_port *)opaque)->transport;

	return transport->ops->open_faults == NULL ? -ENOTSUP
						   : transport->ops->open_faults(transport, faults);
}

static int
on_map_faulting(void *opaque, const struct vhost_pci_map_request *request,
		struct vhost_pci_mapping **mapping)
{
	struct vhost_pci_transport *transport = ((struct vhost_pci_port *)opaque)->transport;

	return transport->ops->map_faulting(transport, request, mapping);
}

static void
on_channel_changed(void *opaque, int fd)
{
	vhost_pci_inband_watch_channel(opaque, fd);
}

static void
on_look_again(void *opaque, const struct vhost_pci_vring *vr)
{
	struct vhost_pci_port *port = opaque;
	uint16_t queue_id = (uint16_t)(vr->index / 2);

	if (vr->index % 2 == 0)
		return;
	vhost_pci_unread_look_again(port, queue_id);
	/* The driver has kicked before, and need not do so again. */
	if (port->rxq[queue_id] != NULL)
		port->rxq[queue_id]->intr.changed = true;
}

static const struct vhost_pci_session_ops session_ops = {
	.look_again = on_look_again,
	.ready_changed = on_ready_changed,
	.vring_changed = on_vring_changed,
	.set_mtu = on_set_mtu,
	.send_rarp = on_send_rarp,
	.features_changed = on_features_changed,
	.map_region = on_map_region,
	.map_log = on_map_log,
	.find_doorbell = on_find_doorbell,
	.vring_stopped = on_vring_stopped,
	.open_channel = on_open_channel,
	.open_faults = on_open_faults,
	.map_faulting = on_map_faulting,
	.channel_changed = on_channel_changed,
};

/** Make the epoll set, with the eventfd of broken vrings in it, and register it with EAL. */
static int
port_events_init(struct vhost_pci_port *port)
{
	unsigned int i;
	int ret;

	for (i = 0; i < VHOST_PCI_NB_EVENTS; i++)
		port->event_fd[i] = -1;
	port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (port->epoll_fd < 0)
		return -errno;
	port->broken_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->broken_fd < 0) {
		ret = -errno;
		goto err_close_epoll;
	}
	port->intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (port->intr_handle == NULL) {
		ret = -ENOMEM;
		goto err_close_broken;
	}
	/* It has come with room for 512 queues, 26 KiB; there is one fd. */
	ret = rte_intr_event_list_update(port->intr_handle, 1);
	if (ret < 0)
		goto err_free_handle;
	rte_intr_fd_set(port->intr_handle, port->epoll_fd);
	/* EAL does not read from an fd of this type, it only calls back. */
	rte_intr_type_set(port->intr_handle, RTE_INTR_HANDLE_EXT);
	ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_BROKEN, port->broken_fd, broken_event);
	if (ret < 0)
		goto err_free_handle;
	ret = rte_intr_callback_register(port->intr_handle, port_event, port);
	if (ret < 0)
		goto err_free_handle;
	return 0;

err_free_handle:
	rte_intr_instance_free(port->intr_handle);
err_close_broken:
	close(port->broken_fd);
err_close_epoll:
	close(port->epoll_fd);
	return ret;
}

/** Called by EAL, with a handle of its own, when the last callback of a closed port is over. */
static void
port_events_gone(struct rte_intr_handle *intr_handle, void *arg)
{
	RTE_SET_USED(arg);
	close(rte_intr_fd_get(intr_handle));
}

/**
 * After this no event is handled; the epoll set is still there. Port not locked: a callback under
 * way wants the lock.
 *
 * @return Whether EAL closes the epoll set: in a callback of its own a port can't wait for the
 *	   callback's end.
 */
static bool
port_events_stop(struct vhost_pci_port *port)
{
	bool later = rte_thread_is_intr() &&
			rte_intr_callback_unregister_pending(port->intr_handle, port_event, port,
					port_events_gone) > 0;

	if (!later)
		rte_intr_callback_unregister_sync(port->intr_handle, port_event, port);
	return later;
}

static void
port_events_fini(struct vhost_pci_port *port, bool close_epoll)
{
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_BROKEN);
	close(port->broken_fd);
	if (close_epoll)
		close(port->epoll_fd);
	rte_intr_instance_free(port->intr_handle);
}

static int
port_session_init(struct vhost_pci_port *port)
{
	struct vhost_pci_session_config config = {
		.features = port->features,
		.protocol_features = vhost_pci_protocol_features(&port->config),
		.max_queue_pairs = port->config.max_queue_pairs,
		.max_queue_size = port->config.max_queue_size,
		.name = vhost_pci_port_name(port),
		.require_seals = port->config.require_seals,
	};
	int ret;

	ret = vhost_pci_session_create(&config, &session_ops, port, &port->session);
	if (ret < 0)
		return ret;
	vhost_pci_session_set_wake(port->session, port->broken_fd);
	return 0;
}

int
vhost_pci_port_init(struct vhost_pci_port *port, struct rte_eth_dev *eth_dev,
		const struct vhost_pci_port_config *config, const struct vhost_pci_door_ops *door,
		void *door_data)
{
	int ret;

	port->eth_dev = eth_dev;
	port->config = *config;
	port->door = door;
	port->door_data = door_data;
	port->features = vhost_pci_features(config);
	port->admin_up = true;
	port->late_fd = -1;
	pthread_mutex_init(&port->lock, NULL);
	port->rxq = calloc(config->max_queue_pairs, sizeof(port->rxq[0]));
	port->txq = calloc(config->max_queue_pairs, sizeof(port->txq[0]));
	port->shown = calloc(2u * config->max_queue_pairs, sizeof(port->shown[0]));
	if (port->rxq == NULL || port->txq == NULL || port->shown == NULL) {
		ret = -ENOMEM;
		goto err_free_queues;
	}
	ret = port_events_init(port);
	if (ret < 0)
		goto err_free_queues;
	ret = vhost_pci_unread_init(port);
	if (ret < 0)
		goto err_fini_events;
	ret = port_session_init(port);
	if (ret < 0)
		goto err_fini_unread;
	return 0;

err_fini_unread:
	vhost_pci_unread_fini(port);
err_fini_events:
	port_events_fini(port, !port_events_stop(port));
err_free_queues:
	free(port->shown);
	free(port->txq);
	free(port->rxq);
	pthread_mutex_destroy(&port->lock);
	return ret;
}

int
vhost_pci_port_open(struct vhost_pci_port *port)
{
	int ret;

	vhost_pci_port_lock(port);
	ret = port->door->open(port);
	vhost_pci_port_unlock(port);
	return ret;
}

void
vhost_pci_port_fini(struct vhost_pci_port *port)
{
	bool eal_closes = port_events_stop(port);

	vhost_pci_port_lock(port);
	vhost_pci_conn_close(port);
	port->door->close(port);
	vhost_pci_session_destroy(port->session);
	vhost_pci_unread_fini(port);
	port_events_fini(port, !eal_closes);
	vhost_pci_port_unlock(port);

	free(port->shown);
	free(port->txq);
	free(port->rxq);
	pthread_mutex_destroy(&port->lock);
}
