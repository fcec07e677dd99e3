/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "frontend_priv.h"
#include "vhost_pci_log.h"

/** Handles a request of the dialect. @return 1: send the reply; 0; -errno ends the session. */
typedef int (*frontend_dialect_fn)(struct frontend *frontend, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

static int
reply_u64(const struct vhost_pci_msg *msg, struct vhost_pci_msg *reply, uint64_t value)
{
	vhost_pci_codec_make_reply(reply, msg->hdr.request, sizeof(value));
	reply->payload.u64 = value;
	return 1;
}

static int
get_conn_id(struct frontend *frontend, const struct vhost_pci_msg *msg, struct vhost_pci_msg *reply)
{
	return reply_u64(msg, reply, frontend->config.conn_id);
}

/* Whether a vring was spoken of: the device's type must be known by then. */
static bool
has_vrings(const struct record *record)
{
	for (unsigned int i = 0; i < record->nb_vrings; i++) {
		const struct record_vring *vring = &record->vrings[i];

		if (vring->got != 0 || vring->kick.is_set || vring->call.is_set ||
				vring->err.is_set)
			return true;
	}
	return false;
}

static int
set_dev_info(struct frontend *frontend, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_dev_info *info = &msg->payload.dev_info;
	struct record *record = &frontend->record;
	uint16_t served = frontend->config.virtio_id;

	if (has_vrings(record))
		return -EPROTO;
	if (served != 0 && info->virtio_id != 0 && info->virtio_id != served) {
		vhost_pci_log(VHOST_PCI_LOG_ERR,
				"%s: its device is of virtio type %u, and type %u is served here",
				frontend->name, info->virtio_id, served);
		return -EINVAL;
	}
	record->dev_info = *info;
	if (!(msg->hdr.flags & VHOST_USER_NEED_REPLY))
		return 0;
	return reply_u64(msg, reply, 0);
}

/* [ADP-14.4]: always answered, by 0 where the channel is now as it was asked for. */
static int
set_peer_connection(struct frontend *frontend, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct record *record = &frontend->record;
	const uint32_t before = record->peer;
	const bool was_said = record->peer_is_said;
	uint64_t value = msg->payload.u64;
	int established;

	if (value > VHOST_USER_PEER_INIT)
		return -EINVAL;
	record->peer = value;
	record->peer_is_said = true;
	established = frontend->ops->peer_said(frontend->opaque);
	if (established < 0) {
		record->peer = before;
		record->peer_is_said = was_said;
		return reply_u64(msg, reply, 1);
	}
	return reply_u64(msg, reply, value == VHOST_USER_PEER_ON && established == 0);
}

int
frontend_dialect_handle(struct frontend *frontend, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	static const frontend_dialect_fn handlers[] = {
		[VHOST_USER_GET_CONN_ID] = get_conn_id,
		[VHOST_USER_SET_DEV_INFO] = set_dev_info,
		[VHOST_USER_SET_PEER_CONNECTION] = set_peer_connection,
	};

	return handlers[msg->hdr.request](frontend, msg, reply);
}
