/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <string.h>

#include <glib.h>

#include "record.h"

/** Makes one message, or says that there is none: the front-end has not sent it. */
typedef bool (*record_make)(const struct record *record, unsigned int i, struct vhost_pci_msg *msg);

/** How often a step is taken. */
enum record_repeat {
	RECORD_ONCE,
	RECORD_PER_REGION,
	RECORD_PER_VRING,
};

/** A step of the replay; those of a vring are taken together, vring by vring. */
struct record_step {
	uint32_t request;
	record_make make;
	enum record_repeat repeat;
};

static bool
make_empty(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	return record_has(record, msg->hdr.request);
}

static bool
make_u64(const struct record *record, struct vhost_pci_msg *msg, uint64_t value)
{
	msg->hdr.size = sizeof(msg->payload.u64);
	msg->payload.u64 = value;
	return record_has(record, msg->hdr.request);
}

static bool
make_protocol_features(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	return make_u64(record, msg, record->protocol_features);
}

static bool
make_features(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	return make_u64(record, msg, record->features);
}

static bool
make_mtu(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	return make_u64(record, msg, record->mtu);
}

static bool
make_status(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	return make_u64(record, msg, record->status);
}

static bool
make_fd_only(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	msg->nb_fds = 1;
	return record_has(record, msg->hdr.request);
}

static bool
make_mem_table(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	struct vhost_user_mem_table *table = &msg->payload.mem_table;

	(void)i;
	if (record->nb_regions == 0 || record->nb_regions > VHOST_USER_MEM_TABLE_REGIONS)
		return false;
	table->nb_regions = record->nb_regions;
	table->padding = 0;
	for (unsigned int j = 0; j < record->nb_regions; j++)
		table->region[j] = record->regions[j].wire;
	msg->hdr.size = offsetof(struct vhost_user_mem_table, region[record->nb_regions]);
	msg->nb_fds = record->nb_regions;
	return true;
}

static bool
make_mem_region(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	if (record->nb_regions <= VHOST_USER_MEM_TABLE_REGIONS)
		return false;
	msg->hdr.size = sizeof(msg->payload.single_region);
	msg->payload.single_region.padding = 0;
	msg->payload.single_region.region = record->regions[i].wire;
	msg->nb_fds = 1;
	return true;
}

static bool
make_log_base(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	(void)i;
	msg->hdr.size = sizeof(msg->payload.log);
	msg->payload.log = record->log;
	msg->nb_fds = 1;
	return record_has(record, msg->hdr.request);
}

static bool
make_vring_state(const struct record *record, unsigned int i, struct vhost_pci_msg *msg,
		unsigned int got, uint32_t value)
{
	msg->hdr.size = sizeof(msg->payload.state);
	msg->payload.state.index = i;
	msg->payload.state.num = value;
	return record->vrings[i].got & got;
}

static bool
make_vring_num(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	return make_vring_state(record, i, msg, RECORD_VRING_NUM, record->vrings[i].num);
}

static bool
make_vring_endian(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	return make_vring_state(record, i, msg, RECORD_VRING_ENDIAN, record->vrings[i].endian);
}

/* The base of section 13, which who begins a replay has made sure that there is [ADP-9.11]. */
static bool
make_vring_base(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	uint32_t base;

	if (record_vring_base(record, i, &base) < 0)
		return false;
	return make_vring_state(record, i, msg, RECORD_VRING_BASE | RECORD_VRING_ADDR, base);
}

static bool
make_vring_addr(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	msg->hdr.size = sizeof(msg->payload.addr);
	msg->payload.addr = record->vrings[i].addr;
	return record->vrings[i].got & RECORD_VRING_ADDR;
}

static bool
make_vring_event(const struct record_event *event, unsigned int i, struct vhost_pci_msg *msg)
{
	msg->hdr.size = sizeof(msg->payload.u64);
	msg->payload.u64 = i | (event->fd < 0 ? VHOST_USER_VRING_NOFD : 0);
	msg->nb_fds = event->fd >= 0;
	return event->is_set;
}

static bool
make_vring_call(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	return make_vring_event(&record->vrings[i].call, i, msg);
}

static bool
make_vring_err(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	return make_vring_event(&record->vrings[i].err, i, msg);
}

static bool
make_vring_enable(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	/* [ADP-9.10]: a front-end may have said so before it set its features */
	if (!(record->features & (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)))
		return false;
	return make_vring_state(record, i, msg, RECORD_VRING_ENABLE, record->vrings[i].enable);
}

static bool
make_vring_kick(const struct record *record, unsigned int i, struct vhost_pci_msg *msg)
{
	return make_vring_event(&record->vrings[i].kick, i, msg) && record->vrings[i].is_started;
}

/** The order of [ADP-9.10]. */
static const struct record_step steps[] = {
	{ VHOST_USER_SET_OWNER, make_empty, RECORD_ONCE },
	{ VHOST_USER_GET_FEATURES, make_empty, RECORD_ONCE },
	{ VHOST_USER_GET_PROTOCOL_FEATURES, make_empty, RECORD_ONCE },
	{ VHOST_USER_SET_PROTOCOL_FEATURES, make_protocol_features, RECORD_ONCE },
	{ VHOST_USER_GET_QUEUE_NUM, make_empty, RECORD_ONCE },
	{ VHOST_USER_GET_MAX_MEM_SLOTS, make_empty, RECORD_ONCE },
	{ VHOST_USER_SET_FEATURES, make_features, RECORD_ONCE },
	{ VHOST_USER_SET_BACKEND_REQ_FD, make_fd_only, RECORD_ONCE },
	{ VHOST_USER_NET_SET_MTU, make_mtu, RECORD_ONCE },
	{ VHOST_USER_SET_MEM_TABLE, make_mem_table, RECORD_ONCE },
	{ VHOST_USER_ADD_MEM_REG, make_mem_region, RECORD_PER_REGION },
	{ VHOST_USER_SET_LOG_BASE, make_log_base, RECORD_ONCE },
	{ VHOST_USER_SET_LOG_FD, make_fd_only, RECORD_ONCE },
	{ VHOST_USER_SET_VRING_NUM, make_vring_num, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_ENDIAN, make_vring_endian, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_BASE, make_vring_base, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_ADDR, make_vring_addr, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_CALL, make_vring_call, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_ERR, make_vring_err, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_ENABLE, make_vring_enable, RECORD_PER_VRING },
	{ VHOST_USER_SET_VRING_KICK, make_vring_kick, RECORD_PER_VRING },
	{ VHOST_USER_SET_STATUS, make_status, RECORD_ONCE },
};

#define RECORD_VRING_STEP_FIRST 13u
#define RECORD_VRING_STEP_LAST  20u

/* Move on: to the next step of this vring, the first of the next one, the next region, or on. */
static void
record_cursor_advance(const struct record *record, struct record_cursor *cursor)
{
	switch (steps[cursor->step].repeat) {
	case RECORD_ONCE:
		cursor->step++;
		break;
	case RECORD_PER_REGION:
		if (++cursor->i >= record->nb_regions) {
			cursor->i = 0;
			cursor->step++;
		}
		break;
	case RECORD_PER_VRING:
		if (cursor->step++ < RECORD_VRING_STEP_LAST)
			break;
		if (++cursor->i < record->nb_vrings)
			cursor->step = RECORD_VRING_STEP_FIRST;
		else
			cursor->i = 0;
		break;
	}
}

bool
record_replay(const struct record *record, struct record_cursor *cursor, struct vhost_pci_msg *msg)
{
	G_STATIC_ASSERT(G_N_ELEMENTS(steps) == RECORD_VRING_STEP_LAST + 2);
	bool made = false;

	while (!made && cursor->step < G_N_ELEMENTS(steps)) {
		const struct record_step *step = &steps[cursor->step];

		msg->hdr.request = step->request;
		msg->hdr.flags = VHOST_USER_VERSION;
		msg->hdr.size = 0;
		msg->nb_fds = 0;
		memset(msg->fds, 0xff, sizeof(msg->fds)); /* -1 each */
		made = step->make(record, cursor->i, msg);
		record_cursor_advance(record, cursor);
	}
	return made;
}
