/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * The device's configuration space, for front-ends that leave it to the back-end
 * (VHOST_USER_PROTOCOL_F_CONFIG).
 *
 * A connection sees what the owner has set, and over it the MAC address that its front-end has.
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

/** Flags of a message ("Virtio device config space"). */
#define CONFIG_WRITABLE  0 /**< The driver's writes to fields that it may write. */
#define CONFIG_MIGRATION 1 /**< All fields, of the device that the guest had before. */

/** Whether a message is about bytes that the space has, and its flags are known. */
static bool
is_in_space(const struct vhost_user_config *sent)
{
	const uint32_t bytes = sizeof(struct virtio_net_config);

	return sent->size > 0 && sent->offset < bytes && sent->size <= bytes - sent->offset &&
			(sent->flags == CONFIG_WRITABLE || sent->flags == CONFIG_MIGRATION);
}

/** The space as the front-end of this connection sees it. */
static struct virtio_net_config
space_seen(const struct vhost_pci_session *session)
{
	struct virtio_net_config space = session->config;

	if (session->mac_written)
		memcpy(space.mac, session->mac, sizeof(space.mac));
	return space;
}

int
session_get_config(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_config *asked = &msg->payload.config;
	struct virtio_net_config space = space_seen(session);

	/* "uses zero length of payload to indicate an error", "payload size MUST match" */
	if (!is_in_space(asked)) {
		vhost_pci_codec_make_reply(reply, msg->hdr.request, 0);
		return 1;
	}
	vhost_pci_codec_make_reply(reply, msg->hdr.request, msg->hdr.size);
	reply->payload.config = (struct vhost_user_config){
		.offset = asked->offset,
		.size = asked->size,
		.flags = asked->flags,
	};
	memcpy(reply->payload.config.data, (const uint8_t *)&space + asked->offset, asked->size);
	return 1;
}

/**
 * Whether a driver may write a byte: the MAC address is "read-only for the driver" but for legacy
 * drivers (VIRTIO 5.1.4, 5.1.4.3), all else for each.
 */
static bool
is_writable(const struct vhost_pci_session *session, uint32_t offset)
{
	return offset < sizeof(session->mac) && session->features_set &&
			!session_has_feature(session, VIRTIO_F_VERSION_1);
}

/**
 * Whether a byte may be what the device that the guest had before has sent. Its MAC address is
 * taken over, and the link is this device's; in all else it is the same, or is not for this guest.
 */
static bool
is_as_before(uint32_t offset, uint8_t sent, uint8_t seen)
{
	return offset < offsetof(struct virtio_net_config, max_virtqueue_pairs) || sent == seen;
}

int
session_set_config(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_config *sent = &msg->payload.config;
	struct virtio_net_config space = space_seen(session);
	uint8_t *seen = (uint8_t *)&space;
	uint32_t i;

	(void)reply;
	if (!is_in_space(sent))
		return -EINVAL;
	/* "back-ends MUST NOT accept SET_CONFIG for read-only configuration space fields unless the
	 * live migration bit is set"
	 */
	for (i = 0; i < sent->size; i++) {
		uint32_t at = sent->offset + i;

		if (sent->flags == CONFIG_WRITABLE && !is_writable(session, at))
			return -EROFS;
		if (sent->flags == CONFIG_MIGRATION && !is_as_before(at, sent->data[i], seen[at]))
			return -EINVAL;
	}
	memcpy(seen + sent->offset, sent->data, sent->size);
	if (sent->offset < sizeof(session->mac)) {
		memcpy(session->mac, space.mac, sizeof(session->mac));
		session->mac_written = true;
	}
	return 0;
}

void
vhost_pci_session_set_config(struct vhost_pci_session *session,
		const struct virtio_net_config *config)
{
	if (memcmp(&session->config, config, sizeof(*config)) == 0)
		return;
	session->config = *config;
	/* Whoever has not asked for the space yet has nothing to look at again. */
	session->config_changed = session_has_protocol(session, VHOST_USER_PROTOCOL_F_CONFIG);
	vhost_pci_session_channel_serve(session);
}

void
session_config_reset(struct vhost_pci_session *session)
{
	session->mac_written = false;
	session->config_changed = false;
}

bool
session_config_next(struct vhost_pci_session *session, struct vhost_pci_msg *msg)
{
	bool changed = session->config_changed;

	session->config_changed = false;
	/* The feature may have been taken back. */
	if (!changed || !session_has_protocol(session, VHOST_USER_PROTOCOL_F_CONFIG))
		return false;
	*msg = (struct vhost_pci_msg){
		.hdr = { VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION, 0 },
	};
	return true;
}
