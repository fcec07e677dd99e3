/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_unread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_ring.h"

/** Chains taken from one vring at one go: the interrupt thread serves other devices as well. */
#define DISCARD_BATCH 256

/** Come back to the vrings soon. */
static void
look_again(const struct vhost_pci_port *port)
{
	uint64_t one = 1;

	if (write(port->unread_fd, &one, sizeof(one)) < 0)
		/* Full: it is readable then, which is all that is needed. */
		errno = 0;
}

/** Empty one vring, here in the place of a polling thread; true where there is more. */
static bool
discard(struct vhost_pci_port *port, struct vhost_pci_vring *vr)
{
	unsigned int nb;
	bool more;

	if (vhost_pci_vring_enter(vr) == VHOST_PCI_VRING_OFF)
		return false;
	nb = vhost_pci_ring_discard(vr, DISCARD_BATCH);
	vhost_pci_ring_ask_kick(vr, true);
	/* Partner: the driver makes a chain available, then looks whether a kick is wanted. */
	vhost_pci_fence_full();
	/* What misses a translation is looked at again when that has come. */
	more = vhost_pci_ring_nb_avail(vr, 1) > 0 &&
			vhost_pci_load_relaxed(&vr->miss.state) == VHOST_PCI_MISS_NONE;
	vhost_pci_vring_leave(vr);
	port->stats.unread += nb;
	return more;
}

/** Some vring was kicked, or is to be looked at again: it costs little to look at all. */
static void
unread_event(struct vhost_pci_port *port)
{
	bool more = false;
	uint64_t count;
	uint16_t i;

	if (read(port->unread_fd, &count, sizeof(count)) < 0)
		/* A kick then, whose edge is all that there is to it. */
		errno = 0;
	for (i = 0; i < port->config.max_queue_pairs; i++)
		if (port->unread_kick[i] >= 0)
			more |= discard(port, vhost_pci_session_vring(port->session, 2u * i + 1));
	if (more)
		look_again(port);
}

void
vhost_pci_unread_look_again(struct vhost_pci_port *port, uint16_t queue_id)
{
	if (port->unread_kick[queue_id] >= 0)
		look_again(port);
}

int
vhost_pci_unread_init(struct vhost_pci_port *port)
{
	uint16_t i;
	int ret;

	port->unread_kick = calloc(port->config.max_queue_pairs, sizeof(port->unread_kick[0]));
	if (port->unread_kick == NULL)
		return -ENOMEM;
	for (i = 0; i < port->config.max_queue_pairs; i++)
		port->unread_kick[i] = -1;
	port->unread_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->unread_fd < 0) {
		ret = -errno;
		goto err_free;
	}
	ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_UNREAD, port->unread_fd, unread_event);
	if (ret < 0)
		goto err_close;
	return 0;

err_close:
	close(port->unread_fd);
err_free:
	free(port->unread_kick);
	return ret;
}

void
vhost_pci_unread_fini(struct vhost_pci_port *port)
{
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_UNREAD);
	close(port->unread_fd);
	free(port->unread_kick);
}

/** Have the vring's kicks wake control, through a copy of the kick fd. */
static void
watch_kick(struct vhost_pci_port *port, uint16_t queue_id, int kick_fd)
{
	/* Edge-triggered, so that the front-end's fd need not be read, which could block. */
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET,
		.data.u32 = VHOST_PCI_EVENT_UNREAD,
	};
	int fd = fcntl(kick_fd, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0 && epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		close(fd);
		fd = -1;
	}
	port->unread_kick[queue_id] = fd;
	if (fd >= 0)
		port->nb_unread++;
}

static void
unwatch_kick(struct vhost_pci_port *port, uint16_t queue_id)
{
	int fd = port->unread_kick[queue_id];

	if (fd < 0)
		return;
	epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	close(fd);
	port->unread_kick[queue_id] = -1;
	port->nb_unread--;
}

void
vhost_pci_unread_bind(struct vhost_pci_port *port, uint16_t queue_id)
{
	struct vhost_pci_vring *vr = vhost_pci_session_vring(port->session, 2u * queue_id + 1);
	enum vhost_pci_vring_mode mode = vhost_pci_session_vring_mode(port->session, vr);

	unwatch_kick(port, queue_id);
	if (port->rxq[queue_id] != NULL || mode == VHOST_PCI_VRING_OFF)
		return;
	if (mode == VHOST_PCI_VRING_ON && !port->unread_warned) {
		DRV_LOG(WARNING,
				"%s: virtqueue %u has no Rx queue: packets on it, and on others "
				"like it, are dropped",
				vhost_pci_port_name(port), vr->index);
		port->unread_warned = true;
	}
	/* Without kicks nobody tells when to look: the ring fills, and that is all. */
	if (vr->kick_fd >= 0)
		watch_kick(port, queue_id, vr->kick_fd);
	look_again(port);
}
