/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * The device IOTLB of a front-end whose guest is behind a vIOMMU: its updates and invalidations
 * come as messages, misses go as requests on the back-end channel.
 *
 * A vring whose own memory is withdrawn is held: to its owner it is what it was, but the gate is
 * closed until its translation is back. One that was never mapped waits like one without memory.
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "vhost_pci_iotlb.h"
#include "vhost_pci_log.h"
#include "vhost_pci_ring.h"

/** What an IOTLB message has changed. */
struct change {
	uint64_t iova;
	uint64_t last;
	uint8_t perm;   /**< What is permitted now; VHOST_ACCESS_RW: ask again, whatever it was. */
	bool displaced; /**< Entries have gone that pointers of vrings may come from. */
};

int
session_iotlb_create(struct vhost_pci_session *session)
{
	if ((session->offered >> VIRTIO_F_ACCESS_PLATFORM & 1) == 0)
		return 0;
	session->iotlb = calloc(1, sizeof(*session->iotlb));
	return session->iotlb == NULL ? -ENOMEM : 0;
}

const struct vhost_pci_iotlb *
session_iotlb(const struct vhost_pci_session *session)
{
	return session_has_feature(session, VIRTIO_F_ACCESS_PLATFORM) ? session->iotlb : NULL;
}

void
session_iotlb_clear(struct vhost_pci_session *session)
{
	if (session->iotlb != NULL)
		vhost_pci_iotlb_invalidate(session->iotlb, 0, UINT64_MAX);
}

void
session_iotlb_pause(struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++)
		if (session->vrings[i].started)
			vhost_pci_vring_pause(&session->vrings[i]);
}

void
session_iotlb_follow_mem(struct vhost_pci_session *session)
{
	if (session_iotlb(session) == NULL)
		return;
	session_iotlb_pause(session);
	vhost_pci_iotlb_follow_mem(session->iotlb, session->mem);
}

/** Whether a change answers a miss. */
static bool
is_answer(const struct vhost_pci_miss *miss, const struct change *change)
{
	return miss->state == VHOST_PCI_MISS_REFUSED ||
			(miss->iova >= change->iova && miss->iova <= change->last &&
					(change->perm & miss->perm) == miss->perm);
}

/** Have a paused vring look once more, if it waits for this; true where it did. */
static bool
answer_miss(struct vhost_pci_vring *vr, const struct change *change)
{
	if (vr->miss.state == VHOST_PCI_MISS_NONE || !is_answer(&vr->miss, change))
		return false;
	/* Partner: the load in vhost_pci_vring_miss(). */
	vhost_pci_store_release(&vr->miss.state, VHOST_PCI_MISS_NONE);
	return true;
}

/** Map a vring that has waited for its translations since its start. */
static void
map_waiting(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	int ret;

	session_ring_pause(session, vr);
	ret = session_ring_map(session, vr);
	session_ring_resume(session, vr);
	if (ret < 0)
		vhost_pci_log(VHOST_PCI_LOG_DEBUG, "%s: vring %u can't be mapped: %s",
				session->name, vr->index, strerror(-ret));
}

/** Let paused vrings go on, as far as what they need is there. */
static void
settle(struct vhost_pci_session *session, const struct change *change)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		struct vhost_pci_vring *vr = &session->vrings[i];
		bool woken;

		if (!vr->started)
			continue;
		woken = answer_miss(vr, change);
		if (vr->mem == NULL) {
			map_waiting(session, vr);
			continue;
		}
		if (vr->held || change->displaced) {
			woken |= vr->held;
			vr->held = vhost_pci_vring_remap(vr) < 0;
		}
		session_ring_open(session, vr);
		if (woken && !vr->held && session->ops.look_again != NULL)
			session->ops.look_again(session->opaque, vr);
	}
}

static int
update(struct vhost_pci_session *session, const struct vhost_iotlb_msg *msg)
{
	struct change change = {
		.iova = msg->iova,
		.last = vhost_pci_iotlb_last(msg->iova, msg->size),
		.perm = msg->perm,
	};
	int ret;

	session_iotlb_pause(session);
	ret = vhost_pci_iotlb_update(session->iotlb, session->mem, msg);
	if (ret < 0) {
		/* Nothing has changed. */
		change = (struct change){ .iova = UINT64_MAX };
	} else {
		session->stats.iotlb_updates++;
		change.displaced = ret > 0;
	}
	settle(session, &change);
	return ret < 0 ? ret : 0;
}

static void
invalidate(struct vhost_pci_session *session, const struct vhost_iotlb_msg *msg)
{
	struct change change = {
		.iova = msg->iova,
		.last = vhost_pci_iotlb_last(msg->iova, msg->size),
		.perm = VHOST_ACCESS_RW,
		/* Also of what had to make room for others: rings may still point there. */
		.displaced = true,
	};

	session_iotlb_pause(session);
	vhost_pci_iotlb_invalidate(session->iotlb, change.iova, change.last);
	session->stats.iotlb_invalidates++;
	settle(session, &change);
}

int
session_iotlb_msg(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	(void)reply;
	if (session->iotlb == NULL)
		return -EOPNOTSUPP;
	/* "This request should be sent only when VIRTIO_F_IOMMU_PLATFORM feature has been
	 * successfully negotiated."
	 */
	if (session_iotlb(session) == NULL)
		return -EPROTO;
	switch (msg->payload.iotlb.type) {
	case VHOST_IOTLB_UPDATE:
		return update(session, &msg->payload.iotlb);
	case VHOST_IOTLB_INVALIDATE:
		invalidate(session, &msg->payload.iotlb);
		return 0;
	default:
		/* Misses and failures are the back-end's to send. */
		return -EINVAL;
	}
}

/** How often the IOTLB has changed. */
static uint64_t
nb_changes(const struct vhost_pci_session *session)
{
	return session->stats.iotlb_updates + session->stats.iotlb_invalidates;
}

bool
session_iotlb_next(struct vhost_pci_session *session, struct vhost_pci_msg *msg)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		struct vhost_pci_miss *miss = &session->vrings[i].miss;

		/* Partner: the store in vhost_pci_vring_miss(). */
		if (vhost_pci_load_acquire(&miss->state) != VHOST_PCI_MISS_POSTED)
			continue;
		*msg = (struct vhost_pci_msg){
			.hdr = { VHOST_USER_BACKEND_IOTLB_MSG, VHOST_USER_VERSION,
					sizeof(msg->payload.iotlb) },
			.payload.iotlb = {
				.iova = miss->iova,
				.perm = miss->perm,
				.type = VHOST_IOTLB_MISS,
			},
		};
		vhost_pci_store_relaxed(&miss->state, VHOST_PCI_MISS_SENT);
		session->iotlb_changes = nb_changes(session);
		return true;
	}
	return false;
}

/** Change the state of all misses that have one. */
static void
move_misses(struct vhost_pci_session *session, enum vhost_pci_miss_state from,
		enum vhost_pci_miss_state to)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++)
		if (vhost_pci_load_relaxed(&session->vrings[i].miss.state) == from)
			vhost_pci_store_relaxed(&session->vrings[i].miss.state, to);
}

void
session_iotlb_answered(struct vhost_pci_session *session, bool refused)
{
	if (!refused)
		return;
	session->stats.iotlb_refused++;
	/* What has changed may have overtaken the refusal: the two come by different channels. */
	move_misses(session, VHOST_PCI_MISS_SENT,
			nb_changes(session) != session->iotlb_changes ? VHOST_PCI_MISS_POSTED
								      : VHOST_PCI_MISS_REFUSED);
}

void
session_iotlb_ask_anew(struct vhost_pci_session *session)
{
	move_misses(session, VHOST_PCI_MISS_SENT, VHOST_PCI_MISS_POSTED);
	move_misses(session, VHOST_PCI_MISS_REFUSED, VHOST_PCI_MISS_POSTED);
}
