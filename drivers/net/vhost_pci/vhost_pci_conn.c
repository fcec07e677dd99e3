/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_conn.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vhost_pci_dialect.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_inband.h"
#include "vhost_pci_queue.h"
#include "vhost_pci_trace.h"

/** Messages handled at one go: EAL's interrupt thread serves other devices as well. */
#define MESSAGE_BATCH 64

/** Number of the next connection of this process: none is used twice. */
static uint64_t next_conn_id = 1;

int
vhost_pci_conn_open(struct vhost_pci_port *port, struct vhost_pci_transport *transport)
{
	int ret;

	vhost_pci_port_update_config(port);
	port->transport = transport;
	ret = vhost_pci_port_watch(port, VHOST_PCI_EVENT_TRANSPORT, transport->event_fd,
			vhost_pci_conn_event);
	if (ret < 0) {
		vhost_pci_conn_close(port);
		return ret;
	}
	port->conn_id = __atomic_fetch_add(&next_conn_id, 1, __ATOMIC_RELAXED);
	port->stats.connections++;
	vhost_pci_trace_connected(vhost_pci_port_id(port));
	DRV_LOG(INFO, "%s: front-end connected, connection %" PRIu64, vhost_pci_port_name(port),
			port->conn_id);
	return 0;
}

void
vhost_pci_conn_close(struct vhost_pci_port *port)
{
	if (port->transport == NULL)
		return;
	vhost_pci_port_unwatch(port, VHOST_PCI_EVENT_TRANSPORT);
	vhost_pci_inband_forget_reply(port);
	/* Before the link goes down: who sees that finds all else as it is to be. */
	if (port->peer_mtu != 0)
		port->eth_dev->data->mtu = port->app_mtu;
	port->peer_mtu = 0;
	vhost_pci_rxq_forget_rarp(port);
	/* The session lets go of memory that the transport has mapped, so it is first. */
	vhost_pci_session_reset(port->session);
	vhost_pci_transport_close(port->transport);
	port->transport = NULL;
}

void
vhost_pci_conn_end(struct vhost_pci_port *port, int error, const char *what)
{
	bool lost = error == 0 || error == -ECONNRESET;

	vhost_pci_trace_disconnected(vhost_pci_port_id(port), error);
	if (lost)
		port->stats.lost++;
	else
		port->stats.closed++;
	if (lost || what == NULL)
		DRV_LOG(INFO, "%s: front-end disconnected", vhost_pci_port_name(port));
	else
		DRV_LOG_LIMITED(&port->log_limit, WARNING, "%s: connection closed: %s: %s",
				vhost_pci_port_name(port), what, strerror(-error));
	vhost_pci_conn_close(port);
	port->door->disconnected(port);
}

void
vhost_pci_conn_event(struct vhost_pci_port *port)
{
	struct vhost_pci_msg msg, reply;
	uint32_t request;
	unsigned int nb;
	int ret;

	/* Each change of the link is an event: one that was down for a moment only was down. What
	 * has not been received yet is still there, and calls again.
	 */
	for (nb = 0; nb < MESSAGE_BATCH && port->transport != NULL && !port->link_changed &&
			port->late_fd < 0;
			nb++) {
		ret = vhost_pci_transport_recv(port->transport, &msg);
		if (ret == -EAGAIN)
			return;
		if (ret <= 0) {
			vhost_pci_conn_end(port, ret, "malformed message");
			return;
		}
		request = msg.hdr.request;
		if (vhost_pci_codec_is_dialect_request(&msg.hdr))
			ret = vhost_pci_dialect_handle(port, &msg, &reply);
		else
			ret = vhost_pci_session_handle(port->session, &msg, &reply);
		vhost_pci_trace_message(vhost_pci_port_id(port), request, ret);
		if (ret == VHOST_PCI_SESSION_LATER)
			ret = vhost_pci_inband_await_reply(port);
		if (ret == 1)
			ret = vhost_pci_transport_send(port->transport, &reply);
		if (ret < 0) {
			vhost_pci_conn_end(port, ret, vhost_pci_codec_name(request));
			return;
		}
	}
}

void
vhost_pci_conn_check(struct vhost_pci_port *port)
{
	if (vhost_pci_session_check(port->session) > 0 && port->transport != NULL)
		vhost_pci_conn_end(port, -EPROTO, NULL);
}
