/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vhost_pci_lend.h"
#include "vhost_pci_log.h"
#include "vhost_pci_notify_fd.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_ring.h"

/** Bytes of the virtio-net header with and without num_buffers (VIRTIO 5.1.6, 5.1.6.1). */
#define NET_HDR_BYTES_MODERN sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define NET_HDR_BYTES_LEGACY sizeof(struct virtio_net_hdr)

/** Largest base of a split ring: its index has 16 bits. */
#define SPLIT_BASE_MAX UINT16_MAX

/* The one way to change a vring */

/** Keep an fd open until the owner was told of its successor. */
static void
retire_fd(struct vhost_pci_session *session, int fd)
{
	if (fd >= 0)
		session->retired[session->nb_retired++] = fd;
}

void
session_notifier_retire(struct vhost_pci_session *session, struct vhost_pci_notifier *notifier)
{
	if (!notifier->is_inband)
		retire_fd(session, notifier->fd);
	*notifier = (struct vhost_pci_notifier){ .fd = -1 };
}

bool
session_ring_is_on(const struct vhost_pci_vring *vr)
{
	return vr->started && vr->enabled && vr->mem != NULL &&
			vhost_pci_load_relaxed(&vr->error) == VHOST_PCI_VRING_OK;
}

/** What the polling thread may do with a vring; vhost-user, "Ring states". */
static enum vhost_pci_vring_mode
ring_mode(const struct vhost_pci_session *session, const struct vhost_pci_vring *vr)
{
	bool peer_sends = (vr->index & 1) != 0;

	if (!session->admin_up || session->peer_off || !vr->started || vr->mem == NULL ||
			vhost_pci_load_relaxed(&vr->error) != VHOST_PCI_VRING_OK)
		return VHOST_PCI_VRING_OFF;
	if (vr->enabled)
		return VHOST_PCI_VRING_ON;
	/* "must not supply any new RX packets, but must process and discard any TX packets" */
	return peer_sends ? VHOST_PCI_VRING_DISCARD : VHOST_PCI_VRING_OFF;
}

void
session_ring_pause(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	session->nb_retired = 0;
	vhost_pci_vring_pause(vr);
}

/**
 * Call the driver once where a call may have been lost: one that was wanted before its fd came,
 * or by a back-end that died before it sent it. With the event index there would be no other, for
 * the driver moves its event on only when it is called.
 *
 * A ring that is stopped, disabled or held is not called for, nor is one without an fd: it stays
 * due.
 */
static void
call_if_due(struct session_ring *ring, struct vhost_pci_vring *vr)
{
	if (!ring->call_due || ring->mode == VHOST_PCI_VRING_OFF || vr->held ||
			(vr->call.fd < 0 && vr->call.doorbell == NULL))
		return;
	ring->call_due = false;
	vhost_pci_ring_call_anew(vr);
}

void
session_ring_resume(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];
	unsigned int i;

	ring->mode = ring_mode(session, vr);
	session_log_bind(session, vr);
	vr->tracked = vr->dirty.log != NULL || vr->inflight != NULL || vr->iotlb != NULL;
	if (session->ops.vring_changed != NULL)
		session->ops.vring_changed(session->opaque, vr);
	for (i = 0; i < session->nb_retired; i++)
		vhost_pci_peer_fd_close(session->retired[i]);
	session->nb_retired = 0;
	call_if_due(ring, vr);
	vhost_pci_vring_resume(vr, vr->held ? VHOST_PCI_VRING_OFF : ring->mode);
}

/**
 * Ask for kicks once more, and make up for those of chains that came before. Where not all of
 * them are wanted there is nothing to make up for: who waits asks itself, and then looks.
 */
static void
ask_again(struct vhost_pci_vring *vr)
{
	vhost_pci_ring_ask_kick(vr, vr->notify_peer);
	if (!vr->kick_always)
		return;
	/* Partner: the driver makes a chain available, then looks whether a kick is wanted. */
	vhost_pci_fence_full();
	if (vhost_pci_ring_look(vr, 1) > 0)
		vhost_pci_notify_fd_signal(vr->kick_fd, VHOST_PCI_NOTIFY_WRITE);
}

void
session_ring_open(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];
	enum vhost_pci_vring_mode mode = ring->mode;

	/* Broken since the mode was set. */
	if (vr->held || vhost_pci_load_relaxed(&vr->error) != VHOST_PCI_VRING_OK)
		mode = VHOST_PCI_VRING_OFF;
	if (mode != VHOST_PCI_VRING_OFF)
		ask_again(vr);
	call_if_due(ring, vr);
	vhost_pci_vring_resume(vr, mode);
}

bool
session_any_started(const struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++)
		if (session->vrings[i].started)
			return true;
	return false;
}

static bool
all_known(const struct vhost_pci_session *session, const struct vhost_pci_vring *vr)
{
	const struct session_ring *ring = &session->rings[vr->index];

	return vr->addr_set && ring->num != 0 && ring->base_set && session->features_set &&
			session->mem != NULL;
}

bool
session_ring_awaits_kick(const struct vhost_pci_session *session, const struct vhost_pci_vring *vr)
{
	return session_has_protocol(session, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS) &&
			!vr->started && !session->rings[vr->index].stopped && vr->enabled &&
			all_known(session, vr);
}

/** Set the indexes of a vring that is about to start. */
static int
load_indexes(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];
	uint16_t used_idx;
	int ret;

	ret = vhost_pci_vring_set_base(vr, vr->base);
	if (ret < 0)
		return ret;
	ring->error_seen = false;
	ring->call_due = true;
	if (vr->is_packed)
		return 0;
	/* "The device is supposed to read the next index in the Used Ring from [...] guest
	 * memory": where it is not the base, an earlier back-end died with chains in its hands,
	 * which are taken once more.
	 */
	used_idx = vhost_pci_load_relaxed(&vr->split.used->idx);
	if (used_idx == vr->avail_idx)
		return 0;
	vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: vring %u starts at its used index %u, not at %u",
			session->name, vr->index, used_idx, vr->avail_idx);
	return vhost_pci_vring_set_base(vr, used_idx);
}

int
session_ring_map(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];
	bool modern = session_has_feature(session, VIRTIO_F_VERSION_1) ||
			session_has_feature(session, VIRTIO_NET_F_MRG_RXBUF);
	struct vhost_pci_vring_format format = {
		.size = (uint16_t)ring->num,
		.is_packed = session_has_feature(session, VIRTIO_F_RING_PACKED),
		.event_idx = session_has_feature(session, VIRTIO_RING_F_EVENT_IDX),
		.indirect = session_has_feature(session, VIRTIO_RING_F_INDIRECT_DESC),
		.hdr_len = modern ? NET_HDR_BYTES_MODERN : NET_HDR_BYTES_LEGACY,
		.iotlb = session_iotlb(session),
	};
	int ret;

	if (!vr->started || !all_known(session, vr))
		return 0;
	vr->held = false;
	ret = vhost_pci_vring_map(vr, session->mem, &format);
	/* Its translation is asked for, and brings us here again. */
	if (ret == -EAGAIN)
		return 0;
	if (ret == 0 && !ring->loaded) {
		ret = load_indexes(session, vr);
		if (ret == 0)
			ret = session_inflight_open(session, vr);
		ring->loaded = ret == 0;
		if (ret < 0)
			vhost_pci_vring_unmap(vr);
	}
	return ret;
}

/** Have back the chains that are lent, or do without: the rings of a message share the time. */
static void
end_lending(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	if (vr->nb_lent > 0 && !session->resetting) {
		if (session->lend_until_ms == 0)
			session->lend_until_ms = vhost_pci_lend_now_ms() +
					VHOST_PCI_LEND_DEADLINE_MS;
		vhost_pci_lend_wait(vr, session->lend_until_ms);
	}
	vhost_pci_lend_close(vr);
}

void
session_ring_stop(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];

	/* First: it moves the used index. */
	end_lending(session, vr);
	if (ring->loaded) {
		vr->base = vhost_pci_vring_get_base(vr);
		ring->base_set = true;
		if (session->ops.vring_stopped != NULL)
			session->ops.vring_stopped(session->opaque, vr);
	}
	ring->loaded = false;
	vr->started = false;
	vr->held = false;
	vr->miss.state = VHOST_PCI_MISS_NONE;
	/* "Starting and stopping rings": once all are stopped nobody tells what is withdrawn. */
	if (!session_any_started(session))
		session_iotlb_clear(session);
	vhost_pci_inflight_close(vr);
	vhost_pci_vring_unmap(vr);
	retire_fd(session, vr->kick_fd);
	vr->kick_fd = -1;
	vr->kick_always = false;
}

void
session_ring_reset(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];

	session_ring_pause(session, vr);
	session_ring_stop(session, vr);
	session_notifier_retire(session, &vr->call);
	retire_fd(session, ring->call_reader);
	session_notifier_retire(session, &vr->err);
	retire_fd(session, ring->err_reader);
	*ring = (struct session_ring){ .call_reader = -1, .err_reader = -1 };
	vr->desc_uva = 0;
	vr->avail_uva = 0;
	vr->used_uva = 0;
	vr->log_gpa = 0;
	vr->addr_flags = 0;
	vr->base = 0;
	vr->addr_set = false;
	vr->enabled = false;
	vhost_pci_store_relaxed(&vr->error, VHOST_PCI_VRING_OK);
	session_ring_resume(session, vr);
}

void
session_stop_rings(struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		struct vhost_pci_vring *vr = &session->vrings[i];

		if (!vr->started)
			continue;
		session_ring_pause(session, vr);
		session_ring_stop(session, vr);
		session_ring_resume(session, vr);
	}
}

void
session_remap_rings(struct vhost_pci_session *session)
{
	unsigned int i;
	int ret;

	for (i = 0; i < session->nb_vrings; i++) {
		struct vhost_pci_vring *vr = &session->vrings[i];

		if (!vr->started)
			continue;
		session_ring_pause(session, vr);
		ret = session_ring_map(session, vr);
		session_ring_resume(session, vr);
		/* Its region may be on its way: slots are removed and added one by one. */
		if (ret < 0)
			vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: vring %u waits for its memory: %s",
					session->name, vr->index, strerror(-ret));
	}
}

int
session_ring_start(struct vhost_pci_session *session, struct vhost_pci_vring *vr, int kick_fd,
		bool is_inband)
{
	int ret;

	session_ring_pause(session, vr);
	retire_fd(session, vr->kick_fd);
	vr->kick_fd = kick_fd;
	/* Buffers to be filled are looked for when there is something to be put into them. */
	vr->kick_always = is_inband && (vr->index & 1) != 0;
	vr->started = true;
	ret = vr->mem == NULL ? session_ring_map(session, vr) : 0;
	if (ret < 0)
		session_ring_stop(session, vr);
	session_ring_resume(session, vr);
	return ret;
}

/* Messages */

struct vhost_pci_vring *
session_find_ring(struct vhost_pci_session *session, uint64_t index)
{
	return index < session->nb_vrings ? &session->vrings[index] : NULL;
}

int
session_set_vring_num(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr = session_find_ring(session, msg->payload.state.index);
	uint32_t num = msg->payload.state.num;
	int ret;

	(void)reply;
	if (vr == NULL || num == 0 || num > session->max_queue_size)
		return -EINVAL;
	/* VIRTIO 2.7: a split queue's size is a power of two. Looked at again at the start. */
	if (session->features_set && !session_has_feature(session, VIRTIO_F_RING_PACKED) &&
			(num & (num - 1)) != 0)
		return -EINVAL;
	if (session->rings[vr->index].loaded)
		return -EBUSY;
	session_ring_pause(session, vr);
	session->rings[vr->index].num = num;
	ret = session_ring_map(session, vr);
	session_ring_resume(session, vr);
	return ret;
}

int
session_set_vring_addr(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_vring_addr *addr = &msg->payload.addr;
	struct vhost_pci_vring *vr = session_find_ring(session, addr->index);
	int ret;

	(void)reply;
	if (vr == NULL || (addr->flags & ~(1u << VHOST_VRING_F_LOG)) != 0)
		return -EINVAL;
	ret = session_log_check_addr(session, addr);
	if (ret < 0)
		return ret;
	/* While it runs as well: "must support changing some configuration aspects on the fly". */
	session_ring_pause(session, vr);
	vr->desc_uva = addr->desc_user_addr;
	vr->avail_uva = addr->avail_user_addr;
	vr->used_uva = addr->used_user_addr;
	vr->log_gpa = addr->log_guest_addr;
	vr->addr_flags = addr->flags;
	vr->addr_set = true;
	vr->miss.state = VHOST_PCI_MISS_NONE;
	ret = session_ring_map(session, vr);
	session_ring_resume(session, vr);
	return ret;
}

int
session_set_vring_base(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr = session_find_ring(session, msg->payload.state.index);
	bool split = session->features_set && !session_has_feature(session, VIRTIO_F_RING_PACKED);
	struct session_ring *ring;
	int ret;

	(void)reply;
	if (vr == NULL)
		return -EINVAL;
	/* "Bits 16-31: Reserved (set to zero)" */
	if (split && msg->payload.state.num > SPLIT_BASE_MAX)
		return -EINVAL;
	ring = &session->rings[vr->index];
	if (ring->loaded)
		return -EBUSY;
	session_ring_pause(session, vr);
	vr->base = msg->payload.state.num;
	ring->base_set = true;
	ring->stopped = false;
	ret = session_ring_map(session, vr);
	session_ring_resume(session, vr);
	return ret;
}

int
session_get_vring_base(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr = session_find_ring(session, msg->payload.state.index);

	if (vr == NULL)
		return -EINVAL;
	session_ring_pause(session, vr);
	session_ring_stop(session, vr);
	session->rings[vr->index].stopped = true;
	session_ring_resume(session, vr);
	vhost_pci_codec_make_reply(reply, msg->hdr.request, sizeof(reply->payload.state));
	reply->payload.state.index = vr->index;
	reply->payload.state.num = vr->base;
	return 1;
}

/**
 * Take the vring and the fd out of SET_VRING_KICK, _CALL or _ERR, and ready the fd for use.
 *
 * @param[out] fd Owned by the caller; -1 for "no fd".
 */
static int
take_vring_fd(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_vring **vr, int *fd)
{
	int ret;

	*vr = session_find_ring(session, msg->payload.u64 & VHOST_USER_VRING_IDX_MASK);
	if (*vr == NULL)
		return -EINVAL;
	*fd = vhost_pci_msg_take_fd(msg, 0);
	if (*fd < 0)
		return 0;
	ret = msg->hdr.request == VHOST_USER_SET_VRING_KICK ? vhost_pci_notify_fd_prepare_kick(*fd)
							    : vhost_pci_notify_fd_prepare(*fd);
	if (ret < 0)
		vhost_pci_peer_fd_close(*fd);
	return ret;
}

int
session_set_vring_kick(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr;
	int fd;
	int ret;

	(void)reply;
	ret = take_vring_fd(session, msg, &vr, &fd);
	if (ret < 0)
		return ret;
	/* Without waiting for the kick itself: a kick may have come before the fd did. */
	return session_ring_start(session, vr, fd, false);
}

/** What stands for an fd that was sent, but has not come; NULL where there is nothing. */
static volatile uint32_t *
find_doorbell(struct vhost_pci_session *session, const struct vhost_pci_msg *msg,
		const struct vhost_pci_vring *vr)
{
	if (msg->nb_fds == 0 || session->ops.find_doorbell == NULL)
		return NULL;
	return session->ops.find_doorbell(session->opaque, msg->hdr.request, vr->index);
}

/** Replace where a vring's notifications go, and the reader that keeps a pipe from breaking. */
static int
set_notifier(struct vhost_pci_session *session, const struct vhost_pci_msg *msg,
		struct vhost_pci_vring *vr, int fd)
{
	bool is_call = msg->hdr.request == VHOST_USER_SET_VRING_CALL;
	struct vhost_pci_notifier *notifier = is_call ? &vr->call : &vr->err;
	struct session_ring *ring = &session->rings[vr->index];
	int *reader = is_call ? &ring->call_reader : &ring->err_reader;
	enum vhost_pci_notify_way way = VHOST_PCI_NOTIFY_WRITE;
	int new_reader = -1;
	int ret = 0;

	if (fd >= 0)
		ret = vhost_pci_notify_fd_hold(fd, &new_reader, &way);
	if (ret < 0) {
		vhost_pci_peer_fd_close(fd);
		return ret;
	}
	session_ring_pause(session, vr);
	session_notifier_retire(session, notifier);
	retire_fd(session, *reader);
	notifier->fd = fd;
	notifier->way = way;
	notifier->doorbell = fd < 0 ? find_doorbell(session, msg, vr) : NULL;
	notifier->value = vr->index;
	*reader = new_reader;
	ring->call_due |= is_call;
	session_ring_resume(session, vr);
	return 0;
}

int
session_set_vring_notifier(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr;
	int fd;
	int ret;

	(void)reply;
	ret = take_vring_fd(session, msg, &vr, &fd);
	if (ret < 0)
		return ret;
	return set_notifier(session, msg, vr, fd);
}

int
session_set_vring_enable(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_vring *vr = session_find_ring(session, msg->payload.state.index);

	(void)reply;
	if (vr == NULL || msg->payload.state.num > 1)
		return -EINVAL;
	session_ring_pause(session, vr);
	vr->enabled = msg->payload.state.num == 1;
	session_ring_resume(session, vr);
	return 0;
}
