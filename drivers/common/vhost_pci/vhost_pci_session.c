/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "vhost_pci_log.h"

/** Queue pairs of a session: SET_VRING_KICK has 8 bits for the index of a vring. */
#define MAX_QUEUE_PAIRS 128

/** What a message needs before its handler is called. */
enum gate {
	GATE_OPEN,       /**< Nothing. */
	GATE_OFFERED,    /**< "present in VHOST_USER_GET_PROTOCOL_FEATURES" */
	GATE_NEGOTIATED, /**< "has been successfully negotiated" */
	GATE_PROTOCOL,   /**< VHOST_USER_F_PROTOCOL_FEATURES "is present in GET_FEATURES" */
};

/** One entry of the dispatch. */
struct dispatch {
	session_handler_t *handle; /**< NULL: a message this back-end has no use for. */
	enum gate gate;
	enum vhost_user_protocol_feature feature; /**< That the gate asks for. */
};

static const struct dispatch dispatch[VHOST_USER_REQUEST_MAX] = {
	[VHOST_USER_GET_FEATURES] = { session_get_features, GATE_OPEN },
	[VHOST_USER_SET_FEATURES] = { session_set_features, GATE_OPEN },
	[VHOST_USER_SET_OWNER] = { session_set_owner, GATE_OPEN },
	[VHOST_USER_RESET_OWNER] = { session_reset_owner, GATE_OPEN },
	[VHOST_USER_SET_MEM_TABLE] = { session_set_mem_table, GATE_OPEN },
	[VHOST_USER_SET_LOG_BASE] = { session_set_log_base, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_LOG_SHMFD },
	[VHOST_USER_SET_LOG_FD] = { session_set_log_fd, GATE_OPEN },
	[VHOST_USER_SET_VRING_NUM] = { session_set_vring_num, GATE_OPEN },
	[VHOST_USER_SET_VRING_ADDR] = { session_set_vring_addr, GATE_OPEN },
	[VHOST_USER_SET_VRING_BASE] = { session_set_vring_base, GATE_OPEN },
	[VHOST_USER_GET_VRING_BASE] = { session_get_vring_base, GATE_OPEN },
	[VHOST_USER_SET_VRING_KICK] = { session_set_vring_kick, GATE_OPEN },
	[VHOST_USER_SET_VRING_CALL] = { session_set_vring_notifier, GATE_OPEN },
	[VHOST_USER_SET_VRING_ERR] = { session_set_vring_notifier, GATE_OPEN },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { session_get_protocol_features, GATE_PROTOCOL },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { session_set_protocol_features, GATE_PROTOCOL },
	[VHOST_USER_GET_QUEUE_NUM] = { session_get_queue_num, GATE_OFFERED,
			VHOST_USER_PROTOCOL_F_MQ },
	/* QEMU enables rings before it has set features: what was offered counts. */
	[VHOST_USER_SET_VRING_ENABLE] = { session_set_vring_enable, GATE_PROTOCOL },
	[VHOST_USER_SEND_RARP] = { session_send_rarp, GATE_OFFERED, VHOST_USER_PROTOCOL_F_RARP },
	[VHOST_USER_NET_SET_MTU] = { session_net_set_mtu, GATE_OFFERED, VHOST_USER_PROTOCOL_F_MTU },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { session_set_backend_req_fd, GATE_OFFERED,
			VHOST_USER_PROTOCOL_F_BACKEND_REQ },
	[VHOST_USER_IOTLB_MSG] = { session_iotlb_msg, GATE_OPEN },
	[VHOST_USER_GET_CONFIG] = { session_get_config, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_CONFIG },
	[VHOST_USER_SET_CONFIG] = { session_set_config, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_CONFIG },
	[VHOST_USER_POSTCOPY_ADVISE] = { session_postcopy_advise, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_PAGEFAULT },
	[VHOST_USER_POSTCOPY_LISTEN] = { session_postcopy_listen, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_PAGEFAULT },
	[VHOST_USER_POSTCOPY_END] = { session_postcopy_end, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_PAGEFAULT },
	[VHOST_USER_GET_INFLIGHT_FD] = { session_get_inflight_fd, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD },
	[VHOST_USER_SET_INFLIGHT_FD] = { session_set_inflight_fd, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD },
	[VHOST_USER_RESET_DEVICE] = { session_reset_device, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_RESET_DEVICE },
	[VHOST_USER_VRING_KICK] = { session_vring_kick, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { session_get_max_mem_slots, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	[VHOST_USER_ADD_MEM_REG] = { session_add_mem_reg, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	[VHOST_USER_REM_MEM_REG] = { session_rem_mem_reg, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS },
	[VHOST_USER_SET_STATUS] = { session_set_status, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_STATUS },
	[VHOST_USER_GET_STATUS] = { session_get_status, GATE_NEGOTIATED,
			VHOST_USER_PROTOCOL_F_STATUS },
};

static int
check_config(const struct vhost_pci_session_config *config, const struct vhost_pci_session_ops *ops)
{
	if (config->max_queue_pairs == 0 || config->max_queue_pairs > MAX_QUEUE_PAIRS)
		return -EINVAL;
	if (config->max_queue_size == 0 || config->max_queue_size > VHOST_PCI_VRING_MAX_SIZE)
		return -EINVAL;
	if ((config->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1) != 0)
		return -EINVAL;
	return ops->map_region == NULL || config->name == NULL ? -EINVAL : 0;
}

/** What is offered: only what the owner has a function for. */
static void
set_offer(struct vhost_pci_session *session, const struct vhost_pci_session_config *config)
{
	uint64_t protocol = config->protocol_features;

	if (session->ops.open_channel == NULL)
		protocol &= ~(VHOST_USER_PROTOCOL_MASK(BACKEND_REQ) |
				VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS));
	if (session->ops.send_rarp == NULL)
		protocol &= ~VHOST_USER_PROTOCOL_MASK(RARP);
	if (session->ops.set_mtu == NULL)
		protocol &= ~VHOST_USER_PROTOCOL_MASK(MTU);
	if (session->ops.open_faults == NULL)
		protocol &= ~VHOST_USER_PROTOCOL_MASK(PAGEFAULT);
	session->offered = config->features;
	if ((protocol & VHOST_USER_PROTOCOL_MASK(BACKEND_REQ)) == 0)
		session->offered &= ~(UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
	session->offered_protocol = protocol;
	if (protocol != 0)
		session->offered |= UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
}

static int
create_rings(struct vhost_pci_session *session, unsigned int nb_vrings)
{
	unsigned int i;

	session->vrings = aligned_alloc(VHOST_PCI_CACHE_LINE, nb_vrings * sizeof(*session->vrings));
	session->rings = calloc(nb_vrings, sizeof(*session->rings));
	if (session->vrings == NULL || session->rings == NULL)
		return -ENOMEM;
	session->nb_vrings = nb_vrings;
	for (i = 0; i < nb_vrings; i++) {
		vhost_pci_vring_init(&session->vrings[i], i);
		session->rings[i].call_reader = -1;
		session->rings[i].err_reader = -1;
	}
	return 0;
}

int
vhost_pci_session_create(const struct vhost_pci_session_config *config,
		const struct vhost_pci_session_ops *ops, void *opaque,
		struct vhost_pci_session **session)
{
	struct vhost_pci_session *new_session;
	int ret;

	ret = check_config(config, ops);
	if (ret < 0)
		return ret;
	new_session = calloc(1, sizeof(*new_session));
	if (new_session == NULL)
		return -ENOMEM;
	new_session->ops = *ops;
	new_session->opaque = opaque;
	new_session->max_queue_size = config->max_queue_size;
	new_session->require_seals = config->require_seals;
	new_session->wake_fd = -1;
	new_session->log.notifier.fd = -1;
	new_session->log.reader = -1;
	set_offer(new_session, config);
	new_session->name = strdup(config->name);
	ret = new_session->name == NULL ? -ENOMEM
					: create_rings(new_session, 2u * config->max_queue_pairs);
	if (ret == 0)
		ret = session_iotlb_create(new_session);
	if (ret < 0) {
		vhost_pci_session_destroy(new_session);
		return ret;
	}
	*session = new_session;
	return 0;
}

void
vhost_pci_session_destroy(struct vhost_pci_session *session)
{
	unsigned int i;

	vhost_pci_session_reset(session);
	/* A packet that was lent may hold memory for longer. */
	vhost_pci_guard_forget(session->wake_fd);
	for (i = 0; i < session->nb_vrings; i++)
		vhost_pci_vring_fini(&session->vrings[i]);
	free(session->vrings);
	free(session->rings);
	free(session->iotlb);
	free(session->name);
	free(session);
}

/** A vring that counts as one that runs, for the link. */
static bool
is_up(const struct vhost_pci_session *session, const struct vhost_pci_vring *vr)
{
	return session_ring_is_on(vr) || session_ring_awaits_kick(session, vr);
}

/** See the definition of ready_changed(). */
static bool
is_ready(const struct vhost_pci_session *session)
{
	/* Without SET_OWNER too: virtio_user as a server sends it to its first back-end only. */
	return session->features_set && !session->peer_off && session->mem != NULL &&
			session->mem->nb_regions > 0 && is_up(session, &session->vrings[0]) &&
			is_up(session, &session->vrings[1]);
}

static void
update_ready(struct vhost_pci_session *session)
{
	bool ready = is_ready(session);

	if (ready == session->ready)
		return;
	session->ready = ready;
	if (session->ops.ready_changed != NULL)
		session->ops.ready_changed(session->opaque, ready);
}

void
vhost_pci_session_reset(struct vhost_pci_session *session)
{
	unsigned int i;

	/* First of all: who waits for a page that does not come has to go on. */
	session_postcopy_reset(session);
	session->resetting = true;
	for (i = 0; i < session->nb_vrings; i++)
		session_ring_reset(session, &session->vrings[i]);
	session->resetting = false;
	session_iotlb_clear(session);
	session_log_reset(session);
	session_inflight_reset(session);
	session_channel_close(session);
	session_config_reset(session);
	session->kick = (struct session_kick){ .vr = NULL };
	vhost_pci_mem_put(session->mem);
	session->mem = NULL;
	session->features_set = false;
	session->features = 0;
	session->protocol_features = 0;
	session->status = 0;
	session->in_use = false;
	session->peer_off = false;
	session->complained = false;
	if (session->nb_vrings > 0)
		update_ready(session);
}

/** Find the handler of a message that the codec has passed, and whether it is due. */
static int
dispatch_message(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct dispatch *entry = &dispatch[msg->hdr.request];
	bool open = true;

	if (entry->handle == NULL)
		return -EOPNOTSUPP;
	switch (entry->gate) {
	case GATE_OPEN:
		break;
	case GATE_OFFERED:
		open = (session->offered_protocol >> entry->feature & 1) != 0;
		break;
	case GATE_NEGOTIATED:
		open = (session->protocol_features >> entry->feature & 1) != 0;
		break;
	case GATE_PROTOCOL:
		open = (session->offered >> VHOST_USER_F_PROTOCOL_FEATURES & 1) != 0;
		break;
	}
	return open ? entry->handle(session, msg, reply) : -EPROTO;
}

/** Say what is wrong with a message. */
static void
complain(struct vhost_pci_session *session, enum vhost_pci_log_level level,
		const struct vhost_user_hdr *hdr, int error)
{
	vhost_pci_log(level, "%s: %s message (id %u, %u bytes) refused: %s", session->name,
			vhost_pci_codec_name(hdr->request), hdr->request, hdr->size,
			strerror(-error));
}

/** Whoever closes the connection says why; what is answered is said here, once: the peer can
 * send the like without end.
 */
static enum vhost_pci_log_level
complaint_level(struct vhost_pci_session *session, bool answered)
{
	if (!answered || session->complained)
		return VHOST_PCI_LOG_DEBUG;
	session->complained = true;
	return VHOST_PCI_LOG_WARNING;
}

/**
 * Answer a message that was handled with @p result.
 *
 * vhost-user, "VHOST_USER_PROTOCOL_F_REPLY_ACK": a u64, 0 or not, to every message with
 * need_reply "unless the message already has an explicit reply body".
 */
static int
answer(struct vhost_pci_session *session, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply, int result)
{
	enum vhost_pci_reply kind = vhost_pci_codec_reply(msg->hdr.request);
	bool wants_ack = (msg->hdr.flags & VHOST_USER_NEED_REPLY) != 0 &&
			(session->protocol_features & VHOST_USER_PROTOCOL_MASK(REPLY_ACK)) != 0;

	if (result == VHOST_PCI_SESSION_LATER)
		return wants_ack ? VHOST_PCI_SESSION_LATER : 0;
	if (result > 0)
		return 1;
	if (result == 0)
		return wants_ack || kind == VHOST_PCI_REPLY_CODE ? session_reply_u64(reply, msg, 0)
								 : 0;
	/* An error has no form in a payload of its own; the front-end would take it for data. */
	wants_ack = wants_ack && kind != VHOST_PCI_REPLY_OWN && result != -ECONNABORTED;
	session->stats.rejected++;
	complain(session, complaint_level(session, wants_ack), &msg->hdr, result);
	return wants_ack ? session_reply_u64(reply, msg, 1) : result;
}

int
vhost_pci_session_handle(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	int ret = vhost_pci_codec_check(msg, VHOST_PCI_MSG_REQUEST);

	session->stats.messages++;
	session->lend_until_ms = 0;
	if (!session->in_use) {
		session->in_use = true;
		session->stats.connections++;
	}
	if (ret < 0 && ret != -EOPNOTSUPP) {
		session->stats.malformed++;
		complain(session, VHOST_PCI_LOG_DEBUG, &msg->hdr, ret);
		vhost_pci_msg_close_fds(msg);
		return ret;
	}
	if (ret == 0)
		ret = dispatch_message(session, msg, reply);
	vhost_pci_msg_close_fds(msg);
	update_ready(session);
	return answer(session, msg, reply, ret);
}

/** What all vrings may be used for has changed. */
static void
renew_modes(struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		session_ring_pause(session, &session->vrings[i]);
		session_ring_resume(session, &session->vrings[i]);
	}
}

void
vhost_pci_session_set_admin_up(struct vhost_pci_session *session, bool up)
{
	session->admin_up = up;
	renew_modes(session);
}

void
vhost_pci_session_set_peer_on(struct vhost_pci_session *session, bool on)
{
	if (session->peer_off == !on)
		return;
	session->peer_off = !on;
	renew_modes(session);
	update_ready(session);
}

/** Look at one vring; true where it is newly found broken. */
static bool
check_vring(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	struct session_ring *ring = &session->rings[vr->index];
	enum vhost_pci_vring_error error = vhost_pci_load_relaxed(&vr->error);

	if (error == VHOST_PCI_VRING_OK || ring->error_seen)
		return false;
	ring->error_seen = true;
	session->stats.broken_vrings++;
	vhost_pci_log(VHOST_PCI_LOG_WARNING, "%s: vring %u is broken: %s", session->name, vr->index,
			vhost_pci_vring_error_name(error));
	session_ring_pause(session, vr);
	vhost_pci_notifier_signal(&vr->err);
	session_ring_resume(session, vr);
	/* Now, for the connection may be closed next. */
	vhost_pci_session_channel_serve(session);
	return true;
}

void
vhost_pci_session_set_wake(struct vhost_pci_session *session, int fd)
{
	unsigned int i;

	session->wake_fd = fd;
	for (i = 0; i < session->nb_vrings; i++)
		session->vrings[i].broken_fd = fd;
}

unsigned int
vhost_pci_session_check(struct vhost_pci_session *session)
{
	unsigned int nb = 0;
	unsigned int i;

	if (session_mem_is_lost(session)) {
		session->stats.lost_memory++;
		vhost_pci_log(VHOST_PCI_LOG_WARNING,
				"%s: the front-end's memory is gone: its file was truncated, "
				"or has no pages left",
				session->name);
		return 1;
	}
	for (i = 0; i < session->nb_vrings; i++)
		nb += check_vring(session, &session->vrings[i]);
	if (nb > 0)
		update_ready(session);
	return nb;
}

unsigned int
vhost_pci_session_nb_vrings(const struct vhost_pci_session *session)
{
	return session->nb_vrings;
}

struct vhost_pci_vring *
vhost_pci_session_vring(struct vhost_pci_session *session, unsigned int index)
{
	return index < session->nb_vrings ? &session->vrings[index] : NULL;
}

enum vhost_pci_vring_mode
vhost_pci_session_vring_mode(const struct vhost_pci_session *session,
		const struct vhost_pci_vring *vr)
{
	return session->rings[vr->index].mode;
}

uint64_t
vhost_pci_session_features(const struct vhost_pci_session *session)
{
	return session->features;
}

uint64_t
vhost_pci_session_protocol_features(const struct vhost_pci_session *session)
{
	return session->protocol_features;
}

uint8_t
vhost_pci_session_status(const struct vhost_pci_session *session)
{
	return session->status;
}

bool
vhost_pci_session_is_ready(const struct vhost_pci_session *session)
{
	return session->ready;
}

const struct vhost_pci_mem *
vhost_pci_session_mem(const struct vhost_pci_session *session)
{
	return session->mem;
}

const struct vhost_pci_session_stats *
vhost_pci_session_stats(const struct vhost_pci_session *session)
{
	return &session->stats;
}
