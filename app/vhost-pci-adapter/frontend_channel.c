/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "frontend_priv.h"
#include "vhost_pci_log.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

void
frontend_channel_close(struct frontend *frontend)
{
	struct frontend_channel *channel = &frontend->channel;

	watch_stop(&channel->watch);
	if (channel->transport != NULL)
		vhost_pci_transport_close(channel->transport);
	*channel = (struct frontend_channel){ 0 };
}

/* The channel is of no more use, which is no reason to end the session [ADP-9.19]. */
static void
channel_failed(struct frontend *frontend, const char *reason)
{
	vhost_pci_log(frontend_complaint_level(frontend, VHOST_PCI_LOG_NOTICE),
			"%s: back-end channel closed: %s", frontend->name, reason);
	frontend_channel_close(frontend);
	/* no driver that comes later is told that there is one */
	record_forget(&frontend->record, VHOST_USER_SET_BACKEND_REQ_FD);
	frontend->ops->channel_replied(frontend->opaque, FRONTEND_CHANNEL_FAILED, 1);
}

/* A reply has come, to a request of this driver or of one that is gone. */
static int
take_reply(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct frontend_channel *channel = &frontend->channel;

	if (channel->nb_due == 0 || msg->nb_fds > 0)
		return -EPROTO;
	channel->nb_due--;
	if (channel->nb_stale > 0) {
		channel->nb_stale--;
		return 0;
	}
	return frontend->ops->channel_replied(frontend->opaque, msg->hdr.request, msg->payload.u64);
}

static void
channel_readable(void *opaque)
{
	struct frontend *frontend = opaque;
	struct vhost_pci_msg msg;
	int ret = vhost_pci_transport_recv(frontend->channel.transport, &msg);

	if (ret == -EAGAIN)
		return;
	if (ret == 1) {
		ret = take_reply(frontend, &msg);
		vhost_pci_msg_close_fds(&msg);
		if (ret < 0)
			channel_failed(frontend, "a reply to nothing that was asked");
		return;
	}
	channel_failed(frontend, ret < 0 ? strerror(-ret) : "by the front-end");
}

int
frontend_channel_open(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct vhost_pci_transport *transport;
	int error = vhost_pci_unix_channel_create(vhost_pci_msg_take_fd(msg, 0), &transport);

	if (error < 0)
		return error;
	/* who waits on the former one waits no more */
	if (frontend->channel.transport != NULL)
		channel_failed(frontend, "the front-end has sent another");
	frontend->channel.transport = transport;
	frontend->channel.watch = watch_fd(transport->event_fd, G_IO_IN, channel_readable,
			frontend);
	return 0;
}

int
frontend_channel_send(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct frontend_channel *channel = &frontend->channel;
	int error;

	if (channel->transport == NULL || frontend->is_closing)
		return -ENOTCONN;
	error = vhost_pci_transport_send(channel->transport, msg);
	if (error < 0) {
		channel_failed(frontend, "the front-end does not read it");
		return -ENOTCONN;
	}
	frontend->stats.channel_requests++;
	channel->nb_due += (msg->hdr.flags & VHOST_USER_NEED_REPLY) != 0;
	return 0;
}

void
frontend_channel_forget(struct frontend *frontend)
{
	frontend->channel.nb_stale = frontend->channel.nb_due;
}
