/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <string.h>

/** Device status is one byte (VIRTIO 2.1). */
#define STATUS_MAX UINT8_MAX

/** A device's MTU (VIRTIO 5.1.4.1). */
#define MTU_MIN 68
#define MTU_MAX UINT16_MAX

int
session_get_features(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	return session_reply_u64(reply, msg, session->offered);
}

static void
enable_all(struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		struct vhost_pci_vring *vr = &session->vrings[i];

		session_ring_pause(session, vr);
		vr->enabled = true;
		session_ring_resume(session, vr);
	}
}

int
session_set_features(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	uint64_t features = msg->payload.u64;
	uint64_t changed = features ^ session->features;
	bool first = !session->features_set;

	(void)reply;
	if ((features & ~session->offered) != 0)
		return -EINVAL;
	/* "Migration": logging is turned on and off by LOG_ALL while rings run; nothing else is. */
	if (!first && session_any_started(session) &&
			(changed & ~(UINT64_C(1) << VHOST_F_LOG_ALL)) != 0)
		return -EBUSY;
	session->features = features;
	session->features_set = true;
	if (!session_any_started(session))
		session_iotlb_clear(session);
	/* "Ring states": without the bit the back-end must enable all rings immediately. */
	if ((features >> VHOST_USER_F_PROTOCOL_FEATURES & 1) == 0)
		enable_all(session);
	if (first)
		session_remap_rings(session);
	else if (changed != 0)
		session_log_update(session);
	if ((first || changed != 0) && session->ops.features_changed != NULL)
		session->ops.features_changed(session->opaque, features);
	return 0;
}

int
session_get_protocol_features(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	return session_reply_u64(reply, msg, session->offered_protocol);
}

int
session_set_protocol_features(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	static const uint64_t inband = VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS);
	static const uint64_t inband_needs = VHOST_USER_PROTOCOL_MASK(REPLY_ACK) |
			VHOST_USER_PROTOCOL_MASK(BACKEND_REQ);
	uint64_t features = msg->payload.u64;

	(void)reply;
	if ((features & ~session->offered_protocol) != 0)
		return -EINVAL;
	/* "In-band notifications": "the back-end should close the connection" */
	if ((features & inband) != 0 && (features & inband_needs) != inband_needs)
		return -ECONNABORTED;
	/* What the addresses of memory that is there already mean. */
	if (session->mem != NULL &&
			((features ^ session->protocol_features) &
					VHOST_USER_PROTOCOL_MASK(GPA_ADDRESSES)) != 0)
		return -EBUSY;
	session->protocol_features = features;
	session_inband_update(session);
	return 0;
}

int
session_get_queue_num(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	/* For a net device the queues are pairs. */
	return session_reply_u64(reply, msg, session->nb_vrings / 2);
}

int
session_set_owner(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	/* A session begins with its connection: there is nothing to remember. */
	(void)session;
	(void)msg;
	(void)reply;
	return 0;
}

int
session_reset_owner(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	(void)msg;
	(void)reply;
	/* Deprecated: "either ignore this message, or use it to disable all rings"; to discard
	 * the connection's state "would lead to bugs". They start again with their next kick fd.
	 */
	session_stop_rings(session);
	return 0;
}

int
session_reset_device(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	unsigned int i;

	(void)msg;
	(void)reply;
	/* "disable all rings and reset all internal device state to the initial state, ready to be
	 * reinitialized. The back-end retains ownership of the device": of its memory as well, and
	 * of what both sides have agreed on.
	 */
	for (i = 0; i < session->nb_vrings; i++)
		session_ring_reset(session, &session->vrings[i]);
	session->status = 0;
	session_inband_update(session);
	return 0;
}

int
session_set_status(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	(void)reply;
	if (msg->payload.u64 > STATUS_MAX)
		return -EINVAL;
	session->status = (uint8_t)msg->payload.u64;
	/* VIRTIO 2.1: writing 0 resets the device. */
	if (session->status == 0)
		session_stop_rings(session);
	return 0;
}

int
session_get_status(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	return session_reply_u64(reply, msg, session->status);
}

int
session_send_rarp(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	uint8_t mac[6];

	(void)reply;
	/* "The first 6 bytes of the payload contain the mac address of the guest" */
	memcpy(mac, msg->payload.bytes, sizeof(mac));
	return session->ops.send_rarp(session->opaque, mac);
}

int
session_net_set_mtu(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	uint64_t mtu = msg->payload.u64;

	(void)reply;
	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return -EINVAL;
	return session->ops.set_mtu(session->opaque, (uint16_t)mtu);
}
