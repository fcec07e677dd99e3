/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_inband.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vhost_pci_conn.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_queue.h"

#define SECOND_NS UINT64_C(1000000000)

/** Between two looks at a ring that is being processed. */
#define LOOK_NS 50000

/**
 * The longest that a front-end, and with it its guest, stands still for a kick: an application
 * need not poll. Long against a burst, short against a guest's own watchdogs.
 */
#define GIVE_UP_NS (SECOND_NS / 10)

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/**
 * Whether the application is done with what was kicked for: it has taken it, and has come back for
 * more. What it sends in return, to whomever, it has sent in between.
 */
static bool
is_handled(struct vhost_pci_port *port)
{
	const struct vhost_pci_vring *vr = vhost_pci_session_kicked(port->session);
	struct vhost_pci_rxq *rxq;

	if (vr == NULL)
		return false;
	rxq = port->rxq[vr->index / 2];
	if (rxq == NULL || vhost_pci_session_vring_mode(port->session, vr) == VHOST_PCI_VRING_OFF)
		return true;
	if (port->late_asked)
		return !vhost_pci_rxq_burst_is_due(rxq);
	vhost_pci_rxq_ask_burst(rxq);
	port->late_asked = true;
	return false;
}

/** Time to look for the reply. */
static void
late_event(struct vhost_pci_port *port)
{
	bool handled = is_handled(port);
	struct vhost_pci_msg reply;
	uint64_t count;
	int ret;

	/* The timer is read where it goes on, and else ended. */
	if (!handled && now_ns() < port->late_end) {
		if (read(port->late_fd, &count, sizeof(count)) < 0)
			errno = 0;
		return;
	}
	if (!handled)
		DRV_LOG(DEBUG, "%s: a kick is answered before its virtqueue was processed",
				vhost_pci_port_name(port));
	vhost_pci_inband_forget_reply(port);
	vhost_pci_session_late_reply(port->session, &reply);
	ret = vhost_pci_transport_send(port->transport, &reply);
	if (ret == 0)
		ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_TRANSPORT,
				port->transport->event_fd, vhost_pci_conn_event);
	if (ret < 0)
		vhost_pci_conn_end(port, ret, "VRING_KICK");
}

int
vhost_pci_inband_await_reply(struct vhost_pci_port *port)
{
	static const struct itimerspec looks = {
		.it_interval = { .tv_nsec = LOOK_NS },
		.it_value = { .tv_nsec = LOOK_NS },
	};
	int ret = 0;

	port->late_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (port->late_fd < 0)
		return -errno;
	if (timerfd_settime(port->late_fd, 0, &looks, NULL) < 0)
		ret = -errno;
	if (ret == 0)
		ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_LATE, port->late_fd, late_event);
	if (ret < 0) {
		vhost_pci_inband_forget_reply(port);
		return ret;
	}
	port->late_end = now_ns() + GIVE_UP_NS;
	port->late_asked = false;
	/* One message after the other; and the end of the connection is seen soon enough. */
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_TRANSPORT);
	return 0;
}

void
vhost_pci_inband_forget_reply(struct vhost_pci_port *port)
{
	if (port->late_fd < 0)
		return;
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_LATE);
	close(port->late_fd);
	port->late_fd = -1;
}

/** The front-end has answered, or has closed its end. */
static void
channel_event(struct vhost_pci_port *port)
{
	struct vhost_pci_msg reply;

	if (vhost_pci_session_channel_recv(port->session, &reply) != 1)
		return;
	vhost_pci_msg_close_fds(&reply);
	/* A refusal changes nothing: what was to be said has been said. */
	vhost_pci_session_channel_serve(port->session);
}

void
vhost_pci_inband_watch_channel(struct vhost_pci_port *port, int fd)
{
	int ret;

	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_CHANNEL);
	if (fd < 0)
		return;
	ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_CHANNEL, fd, channel_event);
	if (ret < 0)
		DRV_LOG(ERR, "%s: no answers from the back-end channel: %s",
				vhost_pci_port_name(port), strerror(-ret));
}
