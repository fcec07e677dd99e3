/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_dialect.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <linux/virtio_ids.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_transport_unix.h"

/** Handles one request; see vhost_pci_dialect_handle(). */
typedef int (*dialect_fn)(struct vhost_pci_port *port, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

/** Whether the port's side wants packets to flow. */
static bool
consents(const struct vhost_pci_port *port)
{
	return port->started && port->admin_up;
}

static int
reply_u64(const struct vhost_pci_msg *msg, struct vhost_pci_msg *reply, uint64_t value)
{
	vhost_pci_codec_make_reply(reply, msg->hdr.request, sizeof(value));
	reply->payload.u64 = value;
	return 1;
}

static int
get_conn_id(struct vhost_pci_port *port, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	return reply_u64(msg, reply, port->conn_id);
}

/** Whether the front-end has spoken of a vring: by then its device is known. */
static bool
has_vrings(const struct vhost_pci_port *port)
{
	const struct vhost_pci_vring *vr;
	unsigned int i;

	for (i = 0; i < vhost_pci_session_nb_vrings(port->session); i++) {
		vr = vhost_pci_session_vring(port->session, i);
		if (vr->size != 0 || vr->addr_set || vr->started || vr->call.fd >= 0)
			return true;
	}
	return false;
}

static int
set_dev_info(struct vhost_pci_port *port, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_dev_info *info = &msg->payload.dev_info;

	if (has_vrings(port))
		return -EPROTO;
	if (info->virtio_id != VIRTIO_ID_NET) {
		DRV_LOG_LIMITED(&port->log_limit, ERR,
				"%s: the front-end's device is of virtio type %u and not net",
				vhost_pci_port_name(port), info->virtio_id);
		return -EINVAL;
	}
	port->dev_info = *info;
	return (msg->hdr.flags & VHOST_USER_NEED_REPLY) != 0 ? reply_u64(msg, reply, 0) : 0;
}

static int
set_peer_connection(struct vhost_pci_port *port, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	uint64_t state = msg->payload.u64;

	if (state > VHOST_USER_PEER_INIT)
		return -EINVAL;
	/* INIT says that the device may be made, which it has been: packets flow as before. */
	if (state != VHOST_USER_PEER_INIT)
		vhost_pci_session_set_peer_on(port->session, state == VHOST_USER_PEER_ON);
	return reply_u64(msg, reply, state == VHOST_USER_PEER_ON && !consents(port));
}

void
vhost_pci_dialect_begin(struct vhost_pci_port *port)
{
	port->dialect_spoken = false;
	memset(&port->dev_info, 0, sizeof(port->dev_info));
	vhost_pci_unix_set_dialect(port->transport, port->conn_id);
}

int
vhost_pci_dialect_handle(struct vhost_pci_port *port, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	static const dialect_fn handlers[] = {
		[VHOST_USER_GET_CONN_ID] = get_conn_id,
		[VHOST_USER_SET_DEV_INFO] = set_dev_info,
		[VHOST_USER_SET_PEER_CONNECTION] = set_peer_connection,
	};

	if (!port->dialect_spoken)
		port->dialect_on = consents(port);
	port->dialect_spoken = true;
	return handlers[msg->hdr.request](port, msg, reply);
}

void
vhost_pci_dialect_state_changed(struct vhost_pci_port *port)
{
	bool on = consents(port);
	struct vhost_pci_msg msg = {
		.hdr = {
			.request = VHOST_USER_SET_PEER_CONNECTION,
			.flags = VHOST_USER_VERSION_2,
			.size = sizeof(msg.payload.u64),
		},
		.payload.u64 = on ? VHOST_USER_PEER_ON : VHOST_USER_PEER_OFF,
		.conn_id = port->conn_id,
	};
	int ret;

	if (port->transport == NULL || !port->dialect_spoken || on == port->dialect_on)
		return;
	port->dialect_on = on;
	ret = vhost_pci_transport_send(port->transport, &msg);
	if (ret < 0)
		DRV_LOG_LIMITED(&port->log_limit, WARNING,
				"%s: the front-end can't be told of the peer connection: %s",
				vhost_pci_port_name(port), strerror(-ret));
}
