/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * In-band notifications: kicks that come as messages, calls and errors that go as messages.
 *
 * The data path knows nothing of it. A kick is written to an eventfd of our own, which stands for
 * the front-end's; a call is a word of ours that stands for a doorbell, and wakes control.
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "vhost_pci_notify_fd.h"
#include "vhost_pci_ring.h"

/** Let a notifier of a paused vring post to control, where the front-end has given no fd. */
static void
post_to(struct vhost_pci_session *session, struct vhost_pci_notifier *notifier, uint32_t *posted,
		int wake_fd)
{
	bool wanted = session_has_protocol(session, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);

	if (wanted && notifier->fd < 0 && notifier->doorbell == NULL)
		*notifier = (struct vhost_pci_notifier){
			.fd = wake_fd,
			.is_inband = true,
			.doorbell = posted,
			.value = 1,
		};
	else if (!wanted && notifier->is_inband)
		session_notifier_retire(session, notifier);
}

void
session_inband_update(struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		struct vhost_pci_vring *vr = &session->vrings[i];
		struct session_ring *ring = &session->rings[i];

		session_ring_pause(session, vr);
		post_to(session, &vr->call, &ring->call_posted, vr->broken_fd);
		post_to(session, &vr->err, &ring->err_posted, vr->broken_fd);
		session_ring_resume(session, vr);
	}
}

/** Take what was posted; false where there is nothing. */
static bool
take_posted(uint32_t *posted)
{
	/* Partner: vhost_pci_notifier_signal(), which stores it and then wakes control. */
	if (vhost_pci_load_acquire(posted) == 0)
		return false;
	vhost_pci_store_full(posted, 0);
	return true;
}

bool
session_inband_next(struct vhost_pci_session *session, struct vhost_pci_msg *msg)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		struct session_ring *ring = &session->rings[i];
		uint32_t request;

		if (take_posted(&ring->err_posted))
			request = VHOST_USER_BACKEND_VRING_ERR;
		else if (take_posted(&ring->call_posted))
			request = VHOST_USER_BACKEND_VRING_CALL;
		else
			continue;
		*msg = (struct vhost_pci_msg){
			.hdr = { request, VHOST_USER_VERSION, sizeof(msg->payload.state) },
			.payload.state = { .index = i, .num = 0 },
		};
		return true;
	}
	return false;
}

/** Whether the polling thread has still to do something about a kick. */
static bool
is_pending(const struct vhost_pci_session *session, const struct session_kick *kick)
{
	const struct vhost_pci_vring *vr = kick->vr;

	/* A ring that is off, or has broken, is not processed by anyone. */
	return session->rings[vr->index].mode != VHOST_PCI_VRING_OFF &&
			vhost_pci_load_relaxed(&vr->error) == VHOST_PCI_VRING_OK &&
			vhost_pci_ring_taken_since(vr, kick->shown) < kick->nb_avail;
}

/**
 * End what a kick has begun: the burst that took the last chain is over, and with it the call;
 * and the next chain is to be kicked for again, also where the kick is given up.
 */
static void
settle(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	vhost_pci_vring_pause(vr);
	session_ring_open(session, vr);
}

/**
 * Take note of what the kick is for; 0 where nothing is to be waited for. What was taken already
 * is waited for as well: the polling thread may still be busy with it.
 */
static int
await_ring(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_kick kick = { .vr = vr };

	/* New buffers to be filled (VIRTIO 5.1.6.3): nothing happens until there is a packet. */
	if ((vr->index & 1) == 0 || session->rings[vr->index].mode == VHOST_PCI_VRING_OFF)
		return 0;
	/* What is available can't be seen; the ring is looked at when its memory is back. */
	if (vr->held)
		return 0;
	kick.shown = vhost_pci_load_relaxed(&vr->avail_shown);
	kick.nb_avail = vhost_pci_ring_look(vr, vr->size);
	session->kick = kick;
	return VHOST_PCI_SESSION_LATER;
}

int
session_vring_kick(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr = session_find_ring(session, msg->payload.state.index);
	bool need_reply = (msg->hdr.flags & VHOST_USER_NEED_REPLY) != 0;
	int ret = 0;
	int fd;

	(void)reply;
	/* "The state.num field is currently reserved and must be set to 0." */
	if (vr == NULL || msg->payload.state.num != 0)
		return -EINVAL;
	if (!vr->started) {
		/* "the ring is also started on the VHOST_USER_VRING_KICK message" */
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		ret = session_ring_start(session, vr, fd, true);
	}
	if (ret < 0)
		return ret;
	/* Whoever waits for the fd waits for this; a front-end's own fd is its own to write. */
	if (vr->kick_always)
		vhost_pci_notify_fd_signal(vr->kick_fd, VHOST_PCI_NOTIFY_WRITE);
	return need_reply ? await_ring(session, vr) : 0;
}

const struct vhost_pci_vring *
vhost_pci_session_kicked(const struct vhost_pci_session *session)
{
	const struct session_kick *kick = &session->kick;

	return kick->vr != NULL && !is_pending(session, kick) ? kick->vr : NULL;
}

void
vhost_pci_session_late_reply(struct vhost_pci_session *session, struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr = session->kick.vr;

	session->kick.vr = NULL;
	if (vr != NULL)
		settle(session, vr);
	session_channel_flush(session);
	vhost_pci_codec_make_reply(reply, VHOST_USER_VRING_KICK, sizeof(reply->payload.u64));
	reply->payload.u64 = 0;
}
