/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "frontend_priv.h"
#include "notify.h"
#include "vhost_pci_log.h"
#include "vhost_pci_peer_fd.h"

/** Largest queue (virtio, "Virtqueues"). */
#define FRONTEND_QUEUE_SIZE 32768u

/** What is kept of a message; the fds that it does not take are closed by its caller. */
typedef int (*frontend_record_fn)(struct frontend *frontend, struct vhost_pci_msg *msg);

/** A message. */
struct frontend_msg_desc {
	enum frontend_class class;
	frontend_record_fn record; /**< NULL: nothing is kept */
	uint8_t needs_protocol;    /**< 1 + the protocol feature it needs, or 0 */
};

static int
record_protocol_features(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	if (msg->payload.u64 & ~frontend->config.protocol_features)
		return -EINVAL;
	frontend->record.protocol_features = msg->payload.u64;
	return 0;
}

static int
record_features(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	uint64_t offered = frontend->config.features |
			UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;

	/* virtio, "Feature Bits": the driver accepts a subset of what is offered */
	if (msg->payload.u64 & ~offered)
		return -EINVAL;
	frontend->record.features = msg->payload.u64;
	return 0;
}

/* Say what is wrong with memory, once and in a way that helps. */
static int
record_memory_error(struct frontend *frontend, int error)
{
	if (error < 0)
		vhost_pci_log(frontend_complaint_level(frontend, VHOST_PCI_LOG_ERR), "%s: %s",
				frontend->name,
				error == -EINVAL ? "a memory region is empty, wraps, overlaps "
						   "another or reaches beyond its file"
						 : window_strerror(error));
	return error;
}

static int
record_mem_table(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	const struct vhost_user_mem_table *table = &msg->payload.mem_table;

	return record_memory_error(frontend,
			record_set_memory(&frontend->record, table->region, msg->fds,
					table->nb_regions, frontend->config.require_seals));
}

/* Whether a message has a region, and not the u64 of a postcopy phase, which there can't be. */
static bool
has_region(const struct vhost_pci_msg *msg)
{
	return msg->hdr.size == sizeof(msg->payload.single_region);
}

static int
record_add_mem_reg(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	if (!has_region(msg))
		return -EMSGSIZE;
	return record_memory_error(frontend,
			record_add_region(&frontend->record, &msg->payload.single_region.region,
					msg->fds[0], frontend->config.require_seals));
}

static int
record_rem_mem_reg(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	if (!has_region(msg))
		return -EMSGSIZE;
	return record_remove_region(&frontend->record, &msg->payload.single_region.region);
}

static int
record_log_base(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	const struct vhost_user_log *log = &msg->payload.log;
	struct dirty_log dirty_log = { 0 };
	int error;

	/* without LOG_SHMFD the log is at an address of the front-end's, which is no use here */
	if (msg->nb_fds != 1)
		return -EINVAL;
	error = dirty_log_map(&dirty_log, msg->fds[0], log->mmap_offset, log->size);
	if (error < 0)
		return error;
	frontend->ops->merge_log(frontend->opaque);
	error = frontend->ops->log_changed(frontend->opaque, log->size);
	if (error < 0) {
		dirty_log_unmap(&dirty_log);
		return error;
	}
	dirty_log_unmap(&frontend->record.dirty_log);
	frontend->record.dirty_log = dirty_log;
	frontend->record.log = *log;
	return 0;
}

static int
record_backend_req_fd(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	return frontend_channel_open(frontend, msg);
}

static int
record_log_fd(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	int error = notify_prepare(msg->fds[0]);

	if (error == 0)
		record_event_set(&frontend->record.log_event, vhost_pci_msg_take_fd(msg, 0));
	return error;
}

/* The vring of a message with a vring state, or NULL. */
static struct record_vring *
find_vring(struct frontend *frontend, const struct vhost_pci_msg *msg)
{
	uint32_t index = msg->payload.state.index;

	return index < frontend->record.nb_vrings ? &frontend->record.vrings[index] : NULL;
}

static int
record_vring_num(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct record_vring *vring = find_vring(frontend, msg);
	uint32_t num = msg->payload.state.num;

	if (vring == NULL || num == 0 || num > FRONTEND_QUEUE_SIZE)
		return -EINVAL;
	vring->num = num;
	vring->got |= RECORD_VRING_NUM;
	return 0;
}

static int
record_vring_addr(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	uint32_t index = msg->payload.addr.index;

	if (index >= frontend->record.nb_vrings)
		return -EINVAL;
	frontend->record.vrings[index].addr = msg->payload.addr;
	frontend->record.vrings[index].got |= RECORD_VRING_ADDR;
	return 0;
}

static int
record_set_vring_base(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct record_vring *vring = find_vring(frontend, msg);

	if (vring == NULL)
		return -EINVAL;
	vring->base = msg->payload.state.num;
	vring->base_is_true = true;
	vring->got |= RECORD_VRING_BASE;
	return 0;
}

static int
record_get_vring_base(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	/* the vring is stopped when the answer is known */
	return find_vring(frontend, msg) == NULL ? -EINVAL : 0;
}

static int
record_vring_endian(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct record_vring *vring = find_vring(frontend, msg);

	if (vring == NULL)
		return -EINVAL;
	vring->endian = msg->payload.state.num;
	vring->got |= RECORD_VRING_ENDIAN;
	return 0;
}

static int
record_set_vring_enable(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	struct record_vring *vring = find_vring(frontend, msg);

	/*
	 * "This request should be sent only when VHOST_USER_F_PROTOCOL_FEATURES has been
	 * negotiated": it is always offered, and QEMU enables vrings before it sets features.
	 */
	if (vring == NULL || msg->payload.state.num > 1)
		return -EINVAL;
	vring->enable = msg->payload.state.num;
	vring->got |= RECORD_VRING_ENABLE;
	return 0;
}

/* SET_VRING_KICK, _CALL and _ERR: which event is told by the id. */
static int
record_set_vring_event(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	uint32_t index = msg->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	struct record_vring *vring;
	int error = 0;

	if (index >= frontend->record.nb_vrings)
		return -EINVAL;
	vring = &frontend->record.vrings[index];
	/* kicks are read: of a socket, which may be used for others, the last close ends that */
	if (msg->nb_fds > 0 && msg->hdr.request == VHOST_USER_SET_VRING_KICK &&
			vhost_pci_peer_fd_is_unix(msg->fds[0]))
		error = -EINVAL;
	else if (msg->nb_fds > 0)
		error = notify_prepare(msg->fds[0]);
	if (error < 0)
		return error;
	switch (msg->hdr.request) {
	case VHOST_USER_SET_VRING_KICK:
		record_event_set(&vring->kick, vhost_pci_msg_take_fd(msg, 0));
		vring->is_started = true;
		break;
	case VHOST_USER_SET_VRING_CALL:
		record_event_set(&vring->call, vhost_pci_msg_take_fd(msg, 0));
		break;
	default:
		record_event_set(&vring->err, vhost_pci_msg_take_fd(msg, 0));
		break;
	}
	frontend->ops->event_changed(frontend->opaque, index);
	return 0;
}

static int
record_mtu(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	frontend->record.mtu = msg->payload.u64;
	return msg->payload.u64 > UINT16_MAX ? -EINVAL : 0;
}

static int
record_status(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	frontend->record.status = msg->payload.u64;
	return msg->payload.u64 > UINT8_MAX ? -EINVAL : 0;
}

static int
record_device_reset(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	(void)msg;
	record_reset_device(&frontend->record);
	for (unsigned int i = 0; i < frontend->record.nb_vrings; i++)
		frontend->ops->event_changed(frontend->opaque, i);
	return 0;
}

#define PROTOCOL(name) (1 + VHOST_USER_PROTOCOL_F_##name)

/** Section 9.2; what is not here is of class X. */
static const struct frontend_msg_desc messages[VHOST_USER_REQUEST_MAX] = {
	[VHOST_USER_GET_FEATURES] = { FRONTEND_CLASS_D, NULL, 0 },
	[VHOST_USER_SET_FEATURES] = { FRONTEND_CLASS_B, record_features, 0 },
	[VHOST_USER_SET_OWNER] = { FRONTEND_CLASS_B, NULL, 0 },
	[VHOST_USER_SET_MEM_TABLE] = { FRONTEND_CLASS_B, record_mem_table, 0 },
	[VHOST_USER_SET_LOG_BASE] = { FRONTEND_CLASS_B, record_log_base, PROTOCOL(LOG_SHMFD) },
	[VHOST_USER_SET_LOG_FD] = { FRONTEND_CLASS_B, record_log_fd, 0 },
	[VHOST_USER_SET_VRING_NUM] = { FRONTEND_CLASS_B, record_vring_num, 0 },
	[VHOST_USER_SET_VRING_ADDR] = { FRONTEND_CLASS_B, record_vring_addr, 0 },
	[VHOST_USER_SET_VRING_BASE] = { FRONTEND_CLASS_B, record_set_vring_base, 0 },
	[VHOST_USER_GET_VRING_BASE] = { FRONTEND_CLASS_B, record_get_vring_base, 0 },
	[VHOST_USER_SET_VRING_KICK] = { FRONTEND_CLASS_B, record_set_vring_event, 0 },
	[VHOST_USER_SET_VRING_CALL] = { FRONTEND_CLASS_B, record_set_vring_event, 0 },
	[VHOST_USER_SET_VRING_ERR] = { FRONTEND_CLASS_B, record_set_vring_event, 0 },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { FRONTEND_CLASS_D, NULL, 0 },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { FRONTEND_CLASS_B, record_protocol_features, 0 },
	[VHOST_USER_GET_QUEUE_NUM] = { FRONTEND_CLASS_D, NULL, PROTOCOL(MQ) },
	[VHOST_USER_SET_VRING_ENABLE] = { FRONTEND_CLASS_B, record_set_vring_enable, 0 },
	[VHOST_USER_SEND_RARP] = { FRONTEND_CLASS_B, NULL, PROTOCOL(RARP) },
	[VHOST_USER_NET_SET_MTU] = { FRONTEND_CLASS_B, record_mtu, PROTOCOL(MTU) },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { FRONTEND_CLASS_B, record_backend_req_fd,
			PROTOCOL(BACKEND_REQ) },
	/* nothing is kept: a driver that comes later asks for what it misses */
	[VHOST_USER_IOTLB_MSG] = { FRONTEND_CLASS_B, NULL, PROTOCOL(BACKEND_REQ) },
	[VHOST_USER_SET_VRING_ENDIAN] = { FRONTEND_CLASS_B, record_vring_endian,
			PROTOCOL(CROSS_ENDIAN) },
	[VHOST_USER_GET_CONFIG] = { FRONTEND_CLASS_B, NULL, PROTOCOL(CONFIG) },
	[VHOST_USER_SET_CONFIG] = { FRONTEND_CLASS_B, NULL, PROTOCOL(CONFIG) },
	[VHOST_USER_RESET_DEVICE] = { FRONTEND_CLASS_B, record_device_reset,
			PROTOCOL(RESET_DEVICE) },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { FRONTEND_CLASS_D, NULL, PROTOCOL(CONFIGURE_MEM_SLOTS) },
	[VHOST_USER_ADD_MEM_REG] = { FRONTEND_CLASS_B, record_add_mem_reg,
			PROTOCOL(CONFIGURE_MEM_SLOTS) },
	[VHOST_USER_REM_MEM_REG] = { FRONTEND_CLASS_B, record_rem_mem_reg,
			PROTOCOL(CONFIGURE_MEM_SLOTS) },
	[VHOST_USER_SET_STATUS] = { FRONTEND_CLASS_B, record_status, PROTOCOL(STATUS) },
	[VHOST_USER_GET_STATUS] = { FRONTEND_CLASS_B, NULL, PROTOCOL(STATUS) },
};

enum frontend_class
frontend_msg_class(uint32_t request)
{
	return request < VHOST_USER_REQUEST_MAX ? messages[request].class : FRONTEND_CLASS_X;
}

int
frontend_msg_record(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	uint32_t request = msg->hdr.request;
	const struct frontend_msg_desc *desc;
	int error = 0;

	if (frontend_msg_class(request) == FRONTEND_CLASS_X)
		return -ENOTSUP;
	desc = &messages[request];
	/* a message of a feature that was not negotiated */
	if (desc->needs_protocol != 0 &&
			!record_has_protocol(&frontend->record, desc->needs_protocol - 1))
		return -ENOTSUP;
	if (desc->record != NULL)
		error = desc->record(frontend, msg);
	if (error >= 0)
		record_note(&frontend->record, request);
	return error;
}

bool
frontend_msg_wants_reply(const struct frontend *frontend, const struct vhost_user_hdr *hdr)
{
	if (vhost_pci_codec_reply(hdr->request) != VHOST_PCI_REPLY_ACK)
		return true;
	return (hdr->flags & VHOST_USER_NEED_REPLY) &&
			record_has_protocol(&frontend->record, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

static int
answer_vring_base(struct frontend *frontend, uint32_t index, struct vhost_pci_msg *reply)
{
	uint32_t base;
	int error;

	frontend->ops->merge_log(frontend->opaque);
	error = record_vring_base(&frontend->record, index, &base);
	if (error < 0)
		return error;
	record_vring_stopped(&frontend->record.vrings[index], base);
	frontend->ops->event_changed(frontend->opaque, index);
	vhost_pci_codec_make_reply(reply, VHOST_USER_GET_VRING_BASE, sizeof(reply->payload.state));
	reply->payload.state.index = index;
	reply->payload.state.num = base;
	return 0;
}

/* What the answer to a request is that asks for a number; -ENOTSUP if it is none of these. */
static int
answer_value(const struct frontend *frontend, uint32_t request, uint64_t *value)
{
	const struct frontend_config *config = &frontend->config;

	switch (request) {
	case VHOST_USER_GET_FEATURES:
		*value = config->features | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
		return 0;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		*value = config->protocol_features;
		return 0;
	case VHOST_USER_GET_QUEUE_NUM:
		*value = config->nb_vrings / 2;
		return 0;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		*value = RECORD_REGIONS;
		return 0;
	case VHOST_USER_GET_STATUS:
		*value = frontend->record.status;
		return 0;
	default:
		/* an acknowledgement */
		*value = 0;
		return vhost_pci_codec_reply(request) == VHOST_PCI_REPLY_OWN ? -ENOTSUP : 0;
	}
}

int
frontend_msg_answer(struct frontend *frontend, const struct vhost_user_hdr *request, uint32_t index,
		struct vhost_pci_msg *reply)
{
	uint64_t value;
	int error;

	if (request->request == VHOST_USER_GET_VRING_BASE)
		return answer_vring_base(frontend, index, reply);
	if (request->request == VHOST_USER_GET_CONFIG) {
		/* "zero-length payload ... indicates an error" */
		vhost_pci_codec_make_reply(reply, request->request, 0);
		return 0;
	}
	error = answer_value(frontend, request->request, &value);
	if (error < 0)
		return error;
	vhost_pci_codec_make_reply(reply, request->request, sizeof(reply->payload.u64));
	reply->payload.u64 = request->request == VHOST_USER_SET_CONFIG ? 1 : value;
	return 0;
}
