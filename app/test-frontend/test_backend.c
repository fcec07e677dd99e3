/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "test_backend.h"

/* What a handler wants sent back. */
enum answer {
	ANSWER_ACK,   /* nothing, or 0 if an answer is wanted */
	ANSWER_REPLY, /* the message as it now is */
	ANSWER_NACK,  /* nothing, or 1 if an answer is wanted */
};

static void
unmap_all(struct tb *tb)
{
	for (unsigned int i = 0; i < tb->mem.nb_regions; i++)
		munmap(tb->mem.regions[i].va, tb->mem.regions[i].size_bytes);
	tb->mem.nb_regions = 0;
}

static enum answer
map_region(struct tb *tb, const struct tfe_vu_region *region, int fd)
{
	void *va = mmap(NULL, region->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			(off_t)region->mmap_offset);

	if (va == MAP_FAILED)
		return ANSWER_NACK;
	tb->mem.regions[tb->mem.nb_regions++] = (struct tfe_region){
		.gpa = region->gpa,
		.uva = region->uva,
		.size_bytes = region->size_bytes,
		.va = va,
	};
	return ANSWER_ACK;
}

static enum answer
set_mem_table(struct tb *tb, const struct tfe_msg *msg)
{
	unmap_all(tb);
	if (msg->nb_fds != msg->mem.nb_regions ||
			msg->hdr.size != 8 + msg->mem.nb_regions * sizeof(msg->mem.regions[0]))
		return ANSWER_NACK;
	for (unsigned int i = 0; i < msg->mem.nb_regions; i++)
		if (map_region(tb, &msg->mem.regions[i], msg->fds[i]) != ANSWER_ACK)
			return ANSWER_NACK;
	return ANSWER_ACK;
}

static enum answer
set_addr(struct tb *tb, const struct tfe_vu_vring_addr *addr)
{
	struct tfe_ring *ring = &tb->rings[addr->index];

	ring->packed = tb->acked & TFE_BIT(VIRTIO_F_RING_PACKED);
	ring->event_idx = tb->acked & TFE_BIT(VIRTIO_RING_F_EVENT_IDX);
	ring->desc = tfe_mem_uva_to_va(&tb->mem, addr->desc_uva, 16 * ring->size);
	ring->avail = tfe_mem_uva_to_va(&tb->mem, addr->avail_uva, 4);
	ring->used = tfe_mem_uva_to_va(&tb->mem, addr->used_uva, 4);
	ring->pdesc = tfe_mem_uva_to_va(&tb->mem, addr->desc_uva, 16 * ring->size);
	ring->driver_event = tfe_mem_uva_to_va(&tb->mem, addr->avail_uva, 4);
	ring->device_event = tfe_mem_uva_to_va(&tb->mem, addr->used_uva, 4);
	return ring->desc != NULL && ring->avail != NULL && ring->used != NULL ? ANSWER_ACK
									       : ANSWER_NACK;
}

static void
set_base(struct tb *tb, const struct tfe_vu_vring_state *state)
{
	struct td_ring *side = &tb->sides[state->index];
	uint32_t base = state->num;

	td_init(side, &tb->rings[state->index], &tb->mem);
	if (tb->acked & TFE_BIT(VIRTIO_F_RING_PACKED)) {
		side->avail_wrap = base & 0x8000;
		side->used_wrap = base & 0x80000000;
		side->called_wrap = side->used_wrap;
		side->avail_idx = base & 0x7fff;
		side->used_idx = base >> 16 & 0x7fff;
	} else {
		side->avail_idx = (uint16_t)base;
		side->used_idx = (uint16_t)base;
	}
	side->called_idx = side->used_idx;
}

static uint32_t
get_base(struct tb *tb, uint32_t index)
{
	const struct td_ring *side = &tb->sides[index];

	tb->started[index] = false;
	if (!tb->rings[index].packed)
		return side->avail_idx;
	return side->avail_idx | (side->avail_wrap ? 0x8000 : 0) | (uint32_t)side->used_idx << 16 |
			(side->used_wrap ? 0x80000000 : 0);
}

/* Keep the message's fd, or none. */
static void
take_fd(struct tfe_msg *msg, int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (msg->nb_fds == 1 && !(msg->u64 & TFE_VU_VRING_NOFD)) {
		*fd = msg->fds[0];
		msg->nb_fds = 0;
	}
}

/* Messages about one vring; its index was checked. */
static enum answer
handle_vring(struct tb *tb, struct tfe_msg *msg)
{
	const uint32_t index = msg->state.index & 0xff;

	switch (msg->hdr.request) {
	case TFE_VU_SET_VRING_NUM:
		tb->rings[index].size = msg->state.num;
		return ANSWER_ACK;
	case TFE_VU_SET_VRING_BASE:
		set_base(tb, &msg->state);
		return ANSWER_ACK;
	case TFE_VU_GET_VRING_BASE:
		msg->state.num = get_base(tb, index) + tb->base_error;
		return ANSWER_REPLY;
	case TFE_VU_SET_VRING_ADDR:
		return set_addr(tb, &msg->addr);
	case TFE_VU_SET_VRING_KICK:
		take_fd(msg, &tb->rings[index].kick_fd);
		tb->started[index] = true;
		return ANSWER_ACK;
	case TFE_VU_SET_VRING_CALL:
		take_fd(msg, &tb->rings[index].call_fd);
		return ANSWER_ACK;
	case TFE_VU_SET_VRING_ERR:
		return ANSWER_ACK;
	case TFE_VU_SET_VRING_ENABLE:
		tb->enabled[index] = msg->state.num == 1;
		return ANSWER_ACK;
	}
	return ANSWER_NACK;
}

/* Put a u64 in the place of the request. */
static enum answer
reply_u64(struct tfe_msg *msg, uint64_t value)
{
	msg->hdr.size = sizeof(value);
	msg->u64 = value;
	return ANSWER_REPLY;
}

static enum answer
handle(struct tb *tb, struct tfe_msg *msg)
{
	if (msg->hdr.request == tb->refused)
		return ANSWER_NACK;
	switch (msg->hdr.request) {
	case TFE_VU_GET_FEATURES:
		return reply_u64(msg, tb->features);
	case TFE_VU_GET_PROTOCOL_FEATURES:
		return reply_u64(msg, tb->protocol_features);
	case TFE_VU_GET_QUEUE_NUM:
		return reply_u64(msg, TB_VRINGS / 2);
	case TFE_VU_GET_STATUS:
		return reply_u64(msg, tb->status);
	case TFE_VU_SET_STATUS:
		tb->status = msg->u64;
		return ANSWER_ACK;
	case TFE_VU_SET_FEATURES:
		tb->acked = msg->u64;
		return ANSWER_ACK;
	case TFE_VU_SET_OWNER:
	case TFE_VU_SET_PROTOCOL_FEATURES:
		return ANSWER_ACK;
	case TFE_VU_SET_MEM_TABLE:
		return set_mem_table(tb, msg);
	case TFE_VU_ADD_MEM_REG:
		return msg->nb_fds == 1 ? map_region(tb, &msg->region.region, msg->fds[0])
					: ANSWER_NACK;
	}
	if (msg->hdr.size < 8 || (msg->state.index & 0xff) >= TB_VRINGS)
		return ANSWER_NACK;
	return handle_vring(tb, msg);
}

static int
serve_message(struct tb *tb)
{
	struct tfe_msg msg;
	enum answer answer;
	int ret;

	ret = tfe_conn_recv(&tb->conn, &msg);
	if (ret < 0)
		return ret;
	answer = handle(tb, &msg);
	tfe_msg_close_fds(&msg);
	if (answer == ANSWER_REPLY) {
		msg.hdr.flags = TFE_VU_VERSION | TFE_VU_REPLY;
		return tfe_conn_send(&tb->conn, &msg);
	}
	if (!(msg.hdr.flags & TFE_VU_NEED_REPLY))
		return 0;
	return tfe_conn_answer(&tb->conn, &msg, answer == ANSWER_NACK);
}

/* Bring packets back on every pair that runs. */
static void
serve_rings(struct tb *tb)
{
	const struct td_loop_conf conf = {
		.hdr_bytes = tb->acked &
						(TFE_BIT(VIRTIO_F_VERSION_1) |
								TFE_BIT(VIRTIO_NET_F_MRG_RXBUF))
				? 12
				: 10,
		.mergeable = tb->acked & TFE_BIT(VIRTIO_NET_F_MRG_RXBUF),
	};

	for (unsigned int i = 0; i < TB_VRINGS; i += 2) {
		if (!tb->started[i] || !tb->started[i + 1] || !tb->enabled[i] ||
				!tb->enabled[i + 1])
			continue;
		do {
			td_want_kicks(&tb->sides[i], true);
			td_want_kicks(&tb->sides[i + 1], true);
		} while (td_loop(&tb->sides[i + 1], &tb->sides[i], &conf) > 0);
		if (tb->sides[i].error != NULL)
			tb->error = tb->sides[i].error;
		if (tb->sides[i + 1].error != NULL)
			tb->error = tb->sides[i + 1].error;
	}
}

static void
end_session(struct tb *tb)
{
	for (unsigned int i = 0; i < TB_VRINGS; i++) {
		struct tfe_msg none = { .nb_fds = 0 };

		take_fd(&none, &tb->rings[i].kick_fd);
		take_fd(&none, &tb->rings[i].call_fd);
		tb->started[i] = false;
		tb->enabled[i] = false;
	}
	unmap_all(tb);
	tfe_conn_disconnect(&tb->conn);
}

/* Wait for a message, a kick or the end. @return false to end. */
static bool
serve_event(struct tb *tb)
{
	struct pollfd pfds[TB_VRINGS + 3];

	pfds[0] = (struct pollfd){ .fd = tb->stop_fd, .events = POLLIN };
	pfds[1] = (struct pollfd){ .fd = tb->conn.fd, .events = POLLIN };
	pfds[2] = (struct pollfd){ .fd = tb->conn.fd < 0 ? tb->conn.listen_fd : -1,
		.events = POLLIN };
	for (unsigned int i = 0; i < TB_VRINGS; i++)
		pfds[3 + i] = (struct pollfd){ .fd = tb->rings[i].kick_fd, .events = POLLIN };
	if (poll(pfds, TB_VRINGS + 3, -1) < 0 || pfds[0].revents != 0)
		return false;
	if (pfds[2].revents != 0 && tfe_conn_accept(&tb->conn, 0) == 0)
		tb->nb_sessions++;
	if (pfds[1].revents != 0 && serve_message(tb) < 0)
		end_session(tb);
	for (unsigned int i = 0; i < TB_VRINGS; i++) {
		uint64_t value;

		if (pfds[3 + i].revents != 0 && tb->rings[i].kick_fd >= 0 &&
				read(tb->rings[i].kick_fd, &value, sizeof(value)) > 0)
			serve_rings(tb);
	}
	return true;
}

static void *
tb_main(void *arg)
{
	struct tb *tb = arg;

	while (serve_event(tb))
		;
	end_session(tb);
	return NULL;
}

void
tb_init(struct tb *tb)
{
	memset(tb, 0, sizeof(*tb));
	tfe_conn_init(&tb->conn);
	for (unsigned int i = 0; i < TB_VRINGS; i++) {
		tb->rings[i].kick_fd = -1;
		tb->rings[i].call_fd = -1;
	}
	tb->features = TFE_FEATURES_BASE | TFE_BIT(VIRTIO_F_RING_PACKED) |
			TFE_BIT(VIRTIO_RING_F_EVENT_IDX) | TFE_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
			TFE_BIT(VIRTIO_NET_F_MRG_RXBUF) | TFE_BIT(VIRTIO_NET_F_MQ);
	tb->protocol_features = TFE_PROTOCOL_FEATURES_BASE |
			TFE_BIT(TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

int
tb_start(struct tb *tb)
{
	tb->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (tb->stop_fd < 0)
		return -errno;
	return -pthread_create(&tb->thread, NULL, tb_main, tb);
}

int
tb_stop(struct tb *tb)
{
	const uint64_t one = 1;

	if (write(tb->stop_fd, &one, sizeof(one)) < 0)
		return -errno;
	pthread_join(tb->thread, NULL);
	close(tb->stop_fd);
	tfe_conn_close(&tb->conn);
	return tb->error == NULL ? 0 : -1;
}
