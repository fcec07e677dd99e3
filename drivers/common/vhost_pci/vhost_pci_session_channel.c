/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <string.h>

#include "vhost_pci_log.h"

void
session_channel_close(struct vhost_pci_session *session)
{
	if (session->channel == NULL)
		return;
	if (session->ops.channel_changed != NULL)
		session->ops.channel_changed(session->opaque, -1);
	vhost_pci_transport_close(session->channel);
	session->channel = NULL;
	session->channel_request = 0;
}

/** The channel is of no more use: that is no reason to give up the connection. */
static void
channel_failed(struct vhost_pci_session *session, int error)
{
	vhost_pci_log(VHOST_PCI_LOG_NOTICE, "%s: back-end channel closed: %s", session->name,
			error == 0 ? "by the front-end" : strerror(-error));
	session_channel_close(session);
}

int
session_set_backend_req_fd(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_transport *channel;
	int fd = vhost_pci_msg_take_fd(msg, 0);
	int ret;

	(void)reply;
	ret = session->ops.open_channel(session->opaque, fd, &channel);
	if (ret < 0 && ret != -ENOTSUP)
		return ret;
	session_channel_close(session);
	if (ret < 0)
		return 0;
	session->channel = channel;
	session_iotlb_ask_anew(session);
	if (session->ops.channel_changed != NULL)
		session->ops.channel_changed(session->opaque, channel->event_fd);
	vhost_pci_session_channel_serve(session);
	return 0;
}

int
vhost_pci_session_channel_fd(const struct vhost_pci_session *session)
{
	return session->channel != NULL ? session->channel->event_fd : -1;
}

int
vhost_pci_session_channel_send(struct vhost_pci_session *session, struct vhost_pci_msg *msg)
{
	bool need_reply = (msg->hdr.flags & VHOST_USER_NEED_REPLY) != 0;
	int ret = 0;

	if (session->channel == NULL)
		ret = -ENOTCONN;
	else if (session->channel_request != 0)
		ret = -EBUSY;
	else if (need_reply &&
			(session->protocol_features & VHOST_USER_PROTOCOL_MASK(REPLY_ACK)) == 0)
		ret = -EPROTO;
	else
		ret = vhost_pci_codec_check(msg, VHOST_PCI_MSG_BACKEND_REQUEST);
	if (ret < 0) {
		vhost_pci_msg_close_fds(msg);
		return ret;
	}
	ret = vhost_pci_transport_send(session->channel, msg);
	if (ret < 0)
		channel_failed(session, ret);
	else if (need_reply)
		session->channel_request = msg->hdr.request;
	return ret;
}

/** What is due next; false: nothing. */
static bool
next_request(struct vhost_pci_session *session, struct vhost_pci_msg *msg)
{
	return session_iotlb_next(session, msg) || session_config_next(session, msg) ||
			session_inband_next(session, msg);
}

void
vhost_pci_session_channel_serve(struct vhost_pci_session *session)
{
	struct vhost_pci_msg msg;

	while (session->channel != NULL && session->channel_request == 0 &&
			next_request(session, &msg)) {
		if (session_has_protocol(session, VHOST_USER_PROTOCOL_F_REPLY_ACK))
			msg.hdr.flags |= VHOST_USER_NEED_REPLY;
		vhost_pci_session_channel_send(session, &msg);
	}
}

void
session_channel_flush(struct vhost_pci_session *session)
{
	struct vhost_pci_msg msg;
	int ret;

	/* No reply is asked for: one may be awaited already, and more only if it comes. */
	while (session->channel != NULL && session_inband_next(session, &msg)) {
		ret = vhost_pci_transport_send(session->channel, &msg);
		if (ret < 0)
			channel_failed(session, ret);
	}
}

/** A reply is due, and it is to what was asked. */
static int
check_reply(const struct vhost_pci_session *session, const struct vhost_pci_msg *msg)
{
	return session->channel_request != 0 && msg->hdr.request == session->channel_request
			? 0
			: -EPROTO;
}

int
vhost_pci_session_channel_recv(struct vhost_pci_session *session, struct vhost_pci_msg *reply)
{
	int ret;

	if (session->channel == NULL)
		return -ENOTCONN;
	ret = vhost_pci_transport_recv(session->channel, reply);
	if (ret == -EAGAIN)
		return ret;
	if (ret <= 0) {
		channel_failed(session, ret);
		return ret == 0 ? -ENOTCONN : ret;
	}
	ret = check_reply(session, reply);
	if (ret < 0) {
		vhost_pci_msg_close_fds(reply);
		channel_failed(session, ret);
		return ret;
	}
	session->channel_request = 0;
	if (reply->hdr.request == VHOST_USER_BACKEND_IOTLB_MSG)
		session_iotlb_answered(session, reply->payload.u64 != 0);
	return 1;
}
