/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_pci_log.h"
#include "vhost_pci_transport_adapter_priv.h"

/* The back-end channel over the message rings [section 9.5] */

static void
channel_wake(const struct adp_channel *channel)
{
	uint64_t one = 1;

	/* It can't be full: it is written to once for each reply, and read with it. */
	if (write(channel->base.event_fd, &one, sizeof(one)) < 0)
		vhost_pci_log(VHOST_PCI_LOG_DEBUG, "back-end channel: eventfd: %s",
				strerror(errno));
}

static int
channel_recv(struct vhost_pci_transport *base, struct vhost_pci_msg *msg)
{
	struct adp_channel *channel = (struct adp_channel *)base;
	uint64_t count;

	if (channel->adp == NULL)
		return 0;
	if (!channel->has_reply)
		return -EAGAIN;
	if (read(base->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	*msg = channel->reply;
	channel->has_reply = false;
	return 1;
}

/**
 * Send a request. Only those without fds travel: what else a back-end has to say is a doorbell, or
 * needs an fd that there is no way for [ADP-9.18].
 */
static int
channel_send(struct vhost_pci_transport *base, struct vhost_pci_msg *msg)
{
	struct adp_channel *channel = (struct adp_channel *)base;
	bool has_fds = msg->nb_fds > 0;
	struct vhost_pci_adp *adp = channel->adp;
	int ret;

	vhost_pci_msg_close_fds(msg);
	if (adp == NULL)
		return -ENOTCONN;
	if (has_fds ||
			(msg->hdr.request != VHOST_USER_BACKEND_IOTLB_MSG &&
					msg->hdr.request != VHOST_USER_BACKEND_CONFIG_CHANGE_MSG))
		return -EOPNOTSUPP;
	ret = vhost_pci_msgring_enqueue(&adp->b2f, msg, 0, adp->conn_id);
	if (ret == 0)
		adp_notify_device(adp);
	else if (ret == -EPROTO || ret == -EPIPE)
		adp_set_state(adp, VHOST_PCI_ADP_BROKEN, "the ring to the front-end is corrupted");
	return ret == -ENOSPC ? -EAGAIN : ret;
}

static void
channel_close(struct vhost_pci_transport *base)
{
	struct adp_channel *channel = (struct adp_channel *)base;

	if (channel->adp != NULL)
		channel->adp->channel = NULL;
	close(base->event_fd);
	free(channel);
}

static const struct vhost_pci_transport_ops channel_ops = {
	.recv = channel_recv,
	.send = channel_send,
	.close = channel_close,
};

void
adp_channel_reply(struct vhost_pci_adp *adp, const struct vhost_pci_msg *msg)
{
	struct adp_channel *channel = adp->channel;

	/* One reply to one request: what comes beyond that is to nothing that was asked. */
	if (channel == NULL || channel->has_reply ||
			vhost_pci_codec_check(msg, VHOST_PCI_MSG_BACKEND_REPLY) < 0)
		return;
	channel->reply = *msg;
	channel->reply.nb_fds = 0;
	channel->has_reply = true;
	channel_wake(channel);
}

void
adp_channel_end(struct vhost_pci_adp *adp)
{
	if (adp->channel == NULL)
		return;
	adp->channel->adp = NULL;
	channel_wake(adp->channel);
	adp->channel = NULL;
}

int
adp_channel_open(struct vhost_pci_adp *adp, struct vhost_pci_transport **transport)
{
	struct adp_channel *channel;

	if ((adp->info.device_features & VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL) == 0)
		return -ENOTSUP;
	channel = calloc(1, sizeof(*channel));
	if (channel == NULL)
		return -ENOMEM;
	channel->base.ops = &channel_ops;
	channel->base.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (channel->base.event_fd < 0) {
		int ret = -errno;

		free(channel);
		return ret;
	}
	/* The front-end has sent another: the former one is over. */
	adp_channel_end(adp);
	channel->adp = adp;
	adp->channel = channel;
	*transport = &channel->base;
	return 0;
}
