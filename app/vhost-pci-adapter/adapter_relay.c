/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "adapter_priv.h"
#include "vhost_pci_barrier.h"
#include "vhost_pci_log.h"
#include "watch.h"

/** Frames taken from the driver in one go, so that one which never stops stops nobody else. */
#define ADAPTER_BURST 64u

/** Default limit for a reply of the driver [ADP-9.16]. */
#define ADAPTER_REPLY_MS 5000u

void
adapter_rings_reset(struct adapter *adapter)
{
	struct vhost_pci_adapter_shared *shared = adapter->shared;

	watch_stop(&adapter->resume);
	vhost_pci_msgring_clear(&shared->f2b_ctrl);
	vhost_pci_msgring_clear(&shared->b2f_ctrl);
	vhost_pci_msgring_init(&adapter->f2b, &shared->f2b_ctrl, shared->f2b_data,
			sizeof(shared->f2b_data), VHOST_PCI_ADAPTER_MSG_BYTES_MAX);
	vhost_pci_msgring_init(&adapter->b2f, &shared->b2f_ctrl, shared->b2f_data,
			sizeof(shared->b2f_data), VHOST_PCI_ADAPTER_MSG_BYTES_MAX);
}

/* The bar address of a region [ADP-9.4]; false where its file is behind no BAR [ADP-11.5]. */
static bool
adapter_bar_addr(const struct adapter *adapter, const struct vhost_user_mem_region *wire,
		uint64_t *bar_addr)
{
	static const unsigned int bars[WINDOW_FILES] = { VHOST_PCI_ADAPTER_BAR_MEM0,
		VHOST_PCI_ADAPTER_BAR_MEM1 };
	const struct record *record = frontend_record(adapter->frontend);

	for (unsigned int i = 0; i < record->nb_regions; i++) {
		const struct record_region *region = &record->regions[i];
		int file;

		if (region->wire.gpa != wire->gpa)
			continue;
		file = window_find(&adapter->window, record->window.files[region->file].fd);
		if (file < 0 ||
				!window_covers(&adapter->window, file, region->wire.mmap_offset,
						region->wire.size))
			return false;
		*bar_addr = vhost_pci_adapter_bar_addr(bars[file], region->wire.mmap_offset);
		return true;
	}
	return false;
}

/* Put bar addresses where the front-end had offsets in its files. */
static bool
adapter_translate(struct adapter *adapter, struct vhost_pci_msg *msg)
{
	struct vhost_user_mem_table *table = &msg->payload.mem_table;
	struct vhost_user_mem_region *region = &msg->payload.single_region.region;

	switch (msg->hdr.request) {
	case VHOST_USER_SET_MEM_TABLE:
		for (unsigned int i = 0; i < table->nb_regions; i++) {
			if (!adapter_bar_addr(adapter, &table->region[i],
					    &table->region[i].mmap_offset))
				return false;
		}
		return true;
	case VHOST_USER_ADD_MEM_REG:
		return adapter_bar_addr(adapter, region, &region->mmap_offset);
	case VHOST_USER_SET_LOG_BASE:
		msg->payload.log.mmap_offset = vhost_pci_adapter_bar_addr(
				VHOST_PCI_ADAPTER_BAR_REGS, VHOST_PCI_ADAPTER_LOG_OFF);
		return true;
	default:
		return true;
	}
}

bool
adapter_replay_begin(struct adapter *adapter)
{
	const struct record *record = frontend_record(adapter->frontend);
	uint32_t base;

	for (unsigned int i = 0; i < record->nb_vrings; i++) {
		if (record->vrings[i].is_started && record_vring_base(record, i, &base) < 0)
			return false;
	}
	memset(&adapter->cursor, 0, sizeof(adapter->cursor));
	adapter->is_replaying = true;
	adapter->held_since = g_get_monotonic_time();
	frontend_set_paused(adapter->frontend, true);
	return true;
}

void
adapter_relay_stop(struct adapter *adapter)
{
	watch_stop(&adapter->resume);
	adapter->is_replaying = false;
	adapter->has_held = false;
	adapter->has_next = false;
	adapter->channel_request = 0;
	adapter->has_channel_reply = false;
	if (adapter->frontend == NULL || adapter->is_ending)
		return;
	frontend_channel_forget(adapter->frontend);
	frontend_set_relaying(adapter->frontend, false);
	frontend_answer_pending(adapter->frontend);
	frontend_set_paused(adapter->frontend, false);
}

/* A message is on the ring: what the driver does with it from now on is not known here. */
static void
adapter_note_relayed(struct adapter *adapter, const struct vhost_pci_msg *msg)
{
	struct record *record = frontend_record(adapter->frontend);
	uint32_t index = msg->payload.u64 & VHOST_USER_VRING_IDX_MASK;

	adapter->stats.frames_out++;
	if (msg->hdr.flags & VHOST_USER_REPLY)
		return;
	if (msg->hdr.request == VHOST_USER_SET_VRING_KICK && index < record->nb_vrings)
		record_vring_used(&record->vrings[index]);
}

/* Before the driver is told to start a vring: what another one left behind is void [ADP-13.2]. */
static void
adapter_before_start(struct adapter *adapter, const struct vhost_pci_msg *msg)
{
	uint32_t index = msg->payload.u64 & VHOST_USER_VRING_IDX_MASK;

	if (msg->hdr.request == VHOST_USER_SET_VRING_KICK && index < adapter->regs.nb_vrings)
		vhost_pci_store_relaxed(&adapter->shared->vring_state[index].flags, 0);
}

/* The front-end's reply on the back-end channel, which ends the wait for it. */
static bool
adapter_next_channel_reply(struct adapter *adapter)
{
	if (!adapter->has_channel_reply)
		return false;
	vhost_pci_codec_make_reply(&adapter->held, adapter->channel_request, sizeof(uint64_t));
	adapter->held.payload.u64 = adapter->channel_reply;
	adapter->held_flags = 0;
	adapter->has_channel_reply = false;
	adapter->channel_request = 0;
	return adapter->has_held = true;
}

/* Have something to put on the ring in held, if there is anything. */
static bool
adapter_next(struct adapter *adapter)
{
	if (adapter->has_held)
		return true;
	if (adapter->has_next) {
		adapter->held = adapter->next;
		adapter->held_flags = adapter->next_flags;
		adapter->has_next = false;
		return adapter->has_held = true;
	}
	if (!adapter->is_replaying)
		return adapter_next_channel_reply(adapter);
	adapter->held_flags = VHOST_PCI_ADAPTER_FRAME_REPLAY | VHOST_PCI_ADAPTER_FRAME_ANSWERED;
	if (record_replay(frontend_record(adapter->frontend), &adapter->cursor, &adapter->held) &&
			adapter_translate(adapter, &adapter->held))
		return adapter->has_held = true;
	adapter->is_replaying = false;
	return adapter_next_channel_reply(adapter);
}

/* Put on the ring what there is room for; the front-end is read again when all is on it. */
static void
adapter_flush(struct adapter *adapter)
{
	uint64_t nb_before = adapter->stats.frames_out;
	int error = 0;

	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return;
	while (error == 0 && adapter_next(adapter)) {
		adapter_before_start(adapter, &adapter->held);
		error = vhost_pci_msgring_enqueue(&adapter->f2b, &adapter->held,
				adapter->held_flags, frontend_conn_id(adapter->frontend));
		if (error == 0) {
			adapter->has_held = false;
			adapter_note_relayed(adapter, &adapter->held);
		}
	}
	if (adapter->stats.frames_out != nb_before) {
		adapter->held_since = g_get_monotonic_time();
		adapter_event(adapter);
	}
	if (error < 0 && error != -ENOSPC)
		adapter_needs_reset(adapter);
	else
		frontend_set_paused(adapter->frontend, adapter->has_held);
}

enum frontend_relayed
adapter_relay(struct adapter *adapter, const struct vhost_pci_msg *msg, bool is_answered)
{
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return FRONTEND_NOT_RELAYED;
	/*
	 * Nothing is read from the front-end while something waits for room. But this message may
	 * have ended the back-end channel, and the reply for who waits there comes before it.
	 */
	adapter->next = *msg;
	adapter->next_flags = is_answered ? VHOST_PCI_ADAPTER_FRAME_ANSWERED : 0;
	if (!adapter_translate(adapter, &adapter->next)) {
		adapter_move_frontend(adapter);
		return FRONTEND_NOT_RELAYED;
	}
	adapter->has_next = true;
	adapter->held_since = g_get_monotonic_time();
	adapter_flush(adapter);
	/* a driver that has just been found broken gets nothing */
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return FRONTEND_NOT_RELAYED;
	return FRONTEND_RELAYED;
}

int
adapter_channel_replied(struct adapter *adapter, uint32_t request, uint64_t value)
{
	if (request != FRONTEND_CHANNEL_FAILED &&
			(adapter->channel_request != request || adapter->has_channel_reply))
		return -EPROTO;
	if (adapter->channel_request == 0 || adapter->has_channel_reply)
		return 0;
	adapter->has_channel_reply = true;
	adapter->channel_reply = value;
	adapter_flush(adapter);
	return 0;
}

/* A request of the back-end; -EPROTO for what no driver sends [ADP-9.18]. */
static int
adapter_take_request(struct adapter *adapter, struct vhost_pci_msg *msg)
{
	const struct record *record = frontend_record(adapter->frontend);
	bool needs_reply = msg->hdr.flags & VHOST_USER_NEED_REPLY;

	if (!(adapter->regs.driver_features_lo & VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL) ||
			(msg->hdr.request != VHOST_USER_BACKEND_IOTLB_MSG &&
					msg->hdr.request != VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)) {
		adapter->stats.frames_dropped++;
		return 0;
	}
	if (vhost_pci_codec_check(msg, VHOST_PCI_MSG_BACKEND_REQUEST) < 0)
		return -EPROTO;
	if (needs_reply &&
			(adapter->channel_request != 0 ||
					!record_has_protocol(record,
							VHOST_USER_PROTOCOL_F_REPLY_ACK)))
		return -EPROTO;
	if (needs_reply)
		adapter->channel_request = msg->hdr.request;
	/* [ADP-9.19]: where there is no channel, the device answers */
	if (frontend_channel_send(adapter->frontend, msg) < 0)
		adapter_channel_replied(adapter, FRONTEND_CHANNEL_FAILED, 1);
	return 0;
}

/* A frame of the driver; -EPROTO for what no driver sends [ADP-9.17]. */
static int
adapter_take_frame(struct adapter *adapter, struct vhost_pci_msg *msg,
		const struct vhost_pci_adapter_frame *frame)
{
	adapter->stats.frames_in++;
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED ||
			frame->conn_id != frontend_conn_id(adapter->frontend)) {
		/* of another session */
		adapter->stats.frames_dropped++;
		return 0;
	}
	if (!(msg->hdr.flags & VHOST_USER_REPLY))
		return adapter_take_request(adapter, msg);
	if (vhost_pci_codec_check(msg, VHOST_PCI_MSG_REPLY) < 0)
		return -EPROTO;
	/* [ADP-11.14]: the log is complete before the front-end has the base */
	if (msg->hdr.request == VHOST_USER_GET_VRING_BASE)
		adapter_merge_log(adapter);
	return frontend_reply(adapter->frontend, msg);
}

static void
adapter_resume(void *opaque)
{
	struct adapter *adapter = opaque;

	watch_stop(&adapter->resume);
	adapter_msg_notify(adapter);
}

/* Take frames from the driver: how many, or -EPROTO. */
static int
adapter_take_frames(struct adapter *adapter)
{
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;
	unsigned int nb = 0;
	int error = 0;

	while (error == 0 && nb < ADAPTER_BURST) {
		error = vhost_pci_msgring_dequeue(&adapter->b2f, &msg, &frame);
		if (error == -EMSGSIZE) {
			adapter->stats.frames_dropped++;
			error = 0;
		} else if (error == 0) {
			error = adapter_take_frame(adapter, &msg, &frame);
		}
		nb += error == 0;
	}
	if (error == -EPROTO || error == -EPIPE)
		return -EPROTO;
	if (nb == ADAPTER_BURST && adapter->resume == NULL)
		adapter->resume = watch_idle(adapter_resume, adapter);
	return (int)nb;
}

void
adapter_msg_notify(struct adapter *adapter)
{
	int nb = adapter_take_frames(adapter);

	if (nb < 0) {
		adapter_needs_reset(adapter);
		return;
	}
	if (nb > 0)
		adapter_event(adapter);
	adapter_flush(adapter);
}

void
adapter_check_deadline(struct adapter *adapter)
{
	unsigned int ms = adapter->config.reply_ms;
	int64_t since = INT64_MAX;

	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return;
	if (adapter->has_held)
		since = adapter->held_since;
	if (frontend_pending(adapter->frontend) != NULL)
		since = MIN(since, frontend_pending_since(adapter->frontend));
	if (since == INT64_MAX)
		return;
	if (ms == 0)
		ms = ADAPTER_REPLY_MS;
	if (g_get_monotonic_time() - since < (int64_t)ms * 1000)
		return;
	adapter->stats.timeouts++;
	adapter_end_session(adapter, "the driver does not answer in time");
}
