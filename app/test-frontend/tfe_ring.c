/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "tfe_req.h"
#include "tfe_ring.h"
#include "tfe_ring_ops.h"
#include "tfe_time.h"

/* Each area gets pages of its own, so that one can tell from an address which area it is. */
#define AREA_ALIGN 4096

static const struct tfe_ring_ops *
ops_of(const struct tfe_ring *ring)
{
	return ring->packed ? &tfe_packed_ops : &tfe_split_ops;
}

static bool
has(uint64_t features, unsigned int bit)
{
	return features & (UINT64_C(1) << bit);
}

static int
check_conf(const struct tfe_ring_conf *conf)
{
	if (conf->size == 0 || conf->size > TFE_RING_SIZE_MAX)
		return -EINVAL;
	if (!has(conf->features, VIRTIO_F_RING_PACKED) && (conf->size & (conf->size - 1)) != 0)
		return -EINVAL;
	return 0;
}

static uint32_t
table_descs_for(const struct tfe_ring_conf *conf)
{
	uint32_t room = TFE_RING_TABLE_BYTES / conf->size / sizeof(struct vring_desc);

	if (!has(conf->features, VIRTIO_RING_F_INDIRECT_DESC))
		return 0;
	if (conf->table_descs != 0)
		return conf->table_descs;
	return room < TFE_RING_TABLE_DESCS ? room : TFE_RING_TABLE_DESCS;
}

static int
make_areas(struct tfe_ring *ring, struct tfe_mem *mem, unsigned int region)
{
	uint64_t table_bytes = (uint64_t)ring->size * ring->table_descs * sizeof(struct vring_desc);
	uint64_t bytes[3];
	int ret;

	ops_of(ring)->area_bytes(ring->size, bytes);
	ret = tfe_mem_alloc(mem, region, bytes[0], AREA_ALIGN, &ring->desc_buf);
	if (ret == 0)
		ret = tfe_mem_alloc(mem, region, bytes[1], AREA_ALIGN, &ring->driver_buf);
	if (ret == 0)
		ret = tfe_mem_alloc(mem, region, bytes[2], AREA_ALIGN, &ring->device_buf);
	if (ret == 0)
		ret = tfe_mem_alloc(mem, region, table_bytes, AREA_ALIGN, &ring->table_buf);
	if (ret == 0)
		ops_of(ring)->attach(ring);
	return ret;
}

static int
make_private(struct tfe_ring *ring, bool polling)
{
	ring->tokens = calloc(ring->size, sizeof(ring->tokens[0]));
	ring->order = calloc(ring->size, sizeof(ring->order[0]));
	if (ring->tokens == NULL || ring->order == NULL)
		return -ENOMEM;
	ring->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->kick_fd < 0 || ring->err_fd < 0)
		return -errno;
	if (!polling) {
		ring->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (ring->call_fd < 0)
			return -errno;
	}
	return 0;
}

int
tfe_ring_init(struct tfe_ring *ring, struct tfe_mem *mem, const struct tfe_ring_conf *conf)
{
	uint64_t mark;
	int ret;

	ret = check_conf(conf);
	if (ret < 0)
		return ret;
	if (conf->region >= mem->nb_regions)
		return -EINVAL;
	*ring = (struct tfe_ring){
		.index = conf->index,
		.size = conf->size,
		.features = conf->features,
		.packed = has(conf->features, VIRTIO_F_RING_PACKED),
		.event_idx = has(conf->features, VIRTIO_RING_F_EVENT_IDX),
		.in_order = has(conf->features, VIRTIO_F_IN_ORDER),
		.table_descs = table_descs_for(conf),
		.kick_fd = -1,
		.call_fd = -1,
		.err_fd = -1,
	};
	mark = tfe_mem_mark(mem, conf->region);
	ret = make_areas(ring, mem, conf->region);
	if (ret == 0)
		ret = make_private(ring, conf->polling);
	if (ret < 0) {
		tfe_ring_fini(ring);
		tfe_mem_release(mem, conf->region, mark);
		return ret;
	}
	tfe_ring_reset(ring);
	return 0;
}

static void
drain_eventfd(int fd)
{
	uint64_t value;

	if (fd >= 0 && read(fd, &value, sizeof(value)) < 0)
		return;
}

void
tfe_ring_reset(struct tfe_ring *ring)
{
	memset(ring->desc_buf.va, 0, ring->desc_buf.size_bytes);
	memset(ring->driver_buf.va, 0, ring->driver_buf.size_bytes);
	memset(ring->device_buf.va, 0, ring->device_buf.size_bytes);
	memset(ring->tokens, 0, ring->size * sizeof(ring->tokens[0]));
	for (uint32_t i = 0; i < ring->size; i++)
		ring->tokens[i].next = (uint16_t)(i + 1);
	ring->free_head = 0;
	ring->free_tail = (uint16_t)(ring->size - 1);
	ring->nb_free = ring->size;
	ring->nb_outstanding = 0;
	ring->order_idx = 0;
	ring->avail_idx = 0;
	ring->used_idx = 0;
	ring->nb_held = 0;
	ring->nb_unnotified = 0;
	ring->batch_left = 0;
	ring->error = NULL;
	ops_of(ring)->reset(ring);
	ring->base = tfe_ring_base(ring);
	drain_eventfd(ring->kick_fd);
	drain_eventfd(ring->call_fd);
	drain_eventfd(ring->err_fd);
}

void
tfe_ring_fini(struct tfe_ring *ring)
{
	int *fds[] = { &ring->kick_fd, &ring->call_fd, &ring->err_fd };

	for (unsigned int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	free(ring->tokens);
	free(ring->order);
	ring->tokens = NULL;
	ring->order = NULL;
}

int
tfe_ring_send_setup(struct tfe_ring *ring, struct tfe_conn *conn)
{
	struct tfe_vu_vring_addr addr = {
		.index = ring->index,
		.desc_uva = ring->desc_buf.uva,
		.avail_uva = ring->driver_buf.uva,
		.used_uva = ring->device_buf.uva,
	};
	int ret;

	ret = tfe_req_set_vring_num(conn, ring->index, ring->size);
	if (ret == 0)
		ret = tfe_req_set_vring_base(conn, ring->index, ring->base);
	if (ret == 0)
		ret = tfe_req_set_vring_addr(conn, &addr);
	if (ret == 0)
		ret = tfe_req_set_vring_err(conn, ring->index, ring->err_fd);
	if (ret == 0)
		ret = tfe_req_set_vring_call(conn, ring->index, ring->call_fd);
	if (ret == 0)
		ret = tfe_req_set_vring_kick(conn, ring->index, ring->kick_fd);
	return ret;
}

uint32_t
tfe_ring_base(const struct tfe_ring *ring)
{
	return ops_of(ring)->base(ring);
}

void
tfe_ring_free_id(struct tfe_ring *ring, uint16_t id, uint32_t nb_ids)
{
	if (nb_ids == 0)
		ring->free_head = id;
	else
		ring->tokens[ring->free_tail].next = id;
	ring->free_tail = id;
}

/* Write the chain into the indirect table that goes with the id; its descriptor is returned. */
static struct tfe_seg
fill_table(struct tfe_ring *ring, uint16_t id, const struct tfe_chain *chain)
{
	const uint32_t nb_segs = (uint32_t)chain->nb_out + chain->nb_in;
	const uint64_t offset = (uint64_t)id * ring->table_descs * sizeof(struct vring_desc);
	uint8_t *table = (uint8_t *)ring->table_buf.va + offset;

	for (uint32_t i = 0; i < nb_segs; i++) {
		uint16_t flags = tfe_seg_flags(i, chain->nb_out);

		if (ring->packed) {
			/* VIRTIO 2.8.7: only the WRITE flag counts; the order is the table's. */
			((struct vring_packed_desc *)table)[i] = (struct vring_packed_desc){
				.addr = chain->segs[i].gpa,
				.len = chain->segs[i].len_bytes,
				.flags = flags,
			};
		} else {
			bool last = i + 1 == nb_segs;

			((struct vring_desc *)table)[i] = (struct vring_desc){
				.addr = chain->segs[i].gpa,
				.len = chain->segs[i].len_bytes,
				.flags = (uint16_t)(flags | (last ? 0 : VRING_DESC_F_NEXT)),
				.next = (uint16_t)(last ? 0 : i + 1),
			};
		}
	}
	return (struct tfe_seg){
		.gpa = ring->table_buf.gpa + offset,
		.len_bytes = nb_segs * (uint32_t)sizeof(struct vring_desc),
	};
}

static uint64_t
writable_bytes(const struct tfe_chain *chain)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < chain->nb_in; i++)
		bytes += chain->segs[chain->nb_out + i].len_bytes;
	return bytes;
}

static int
check_chain(const struct tfe_ring *ring, const struct tfe_chain *chain)
{
	const uint32_t nb_segs = (uint32_t)chain->nb_out + chain->nb_in;

	if (nb_segs == 0)
		return -EINVAL;
	if (!chain->indirect)
		return nb_segs > ring->nb_free ? -ENOSPC : 0;
	if (ring->table_descs == 0)
		return -ENOTSUP;
	if (nb_segs > ring->table_descs)
		return -EINVAL;
	return ring->nb_free == 0 ? -ENOSPC : 0;
}

int
tfe_ring_add(struct tfe_ring *ring, const struct tfe_chain *chain)
{
	const uint32_t nb_segs = (uint32_t)chain->nb_out + chain->nb_in;
	struct tfe_ring_token *token;
	uint16_t id;
	int ret;

	ret = check_chain(ring, chain);
	if (ret < 0)
		return ret;
	if (chain->indirect) {
		struct tfe_seg table = fill_table(ring, ring->free_head, chain);

		id = ops_of(ring)->add(ring, &table, 1, VRING_DESC_F_INDIRECT, 1);
	} else {
		id = ops_of(ring)->add(ring, chain->segs, nb_segs, 0, chain->nb_out);
	}
	token = &ring->tokens[id];
	token->cookie = chain->cookie;
	token->in_bytes = writable_bytes(chain);
	token->nb_descs = (uint16_t)(chain->indirect ? 1 : nb_segs);
	token->busy = true;
	ring->order[(ring->order_idx + ring->nb_outstanding) % ring->size] = id;
	ring->nb_free -= token->nb_descs;
	ring->nb_outstanding++;
	return id;
}

void
tfe_ring_publish(struct tfe_ring *ring)
{
	if (ring->nb_held == 0)
		return;
	ops_of(ring)->publish(ring);
	ring->nb_unnotified += ring->nb_held;
	ring->nb_held = 0;
}

int
tfe_ring_notify(struct tfe_ring *ring)
{
	bool kick;

	if (ring->nb_unnotified == 0)
		return 0;
	/* What was published goes first, then the device's wish is read. The partner is the
	 * device's fence between writing its wish and looking at the available ring again.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	kick = ops_of(ring)->wants_kick(ring);
	ring->nb_unnotified = 0;
	return kick ? tfe_ring_kick(ring) : 0;
}

int
tfe_ring_kick(struct tfe_ring *ring)
{
	const uint64_t one = 1;

	ring->nb_kicks++;
	/* A full counter is as good as a kick. */
	if (write(ring->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

bool
tfe_ring_has_used(const struct tfe_ring *ring)
{
	return ring->batch_left > 0 || ops_of(ring)->has_used(ring);
}

static int
fail(struct tfe_ring *ring, const char *error)
{
	ring->error = error;
	return -EPROTO;
}

/* In order: how many chains the used entry with this id stands for; 0: the id is wrong. */
static uint32_t
batch_of(const struct tfe_ring *ring, uint32_t id)
{
	uint32_t limit = ops_of(ring)->nb_used(ring);

	if (limit > ring->nb_outstanding)
		limit = ring->nb_outstanding;
	for (uint32_t i = 0; i < limit; i++)
		if (ring->order[(ring->order_idx + i) % ring->size] == id)
			return i + 1;
	return 0;
}

/* Start on the next used entry: its id, length, and with it the batch. */
static int
next_entry(struct tfe_ring *ring, uint32_t *id, uint32_t *len_bytes)
{
	ops_of(ring)->read_used(ring, id, len_bytes);
	if (*id >= ring->size || !ring->tokens[*id].busy)
		return fail(ring, "used id is not outstanding");
	if (ops_of(ring)->nb_used(ring) > ring->nb_outstanding)
		return fail(ring, "used index runs ahead of the available index");
	if (!ring->in_order)
		return 0;
	ring->batch_left = batch_of(ring, *id);
	ring->batch_len_bytes = *len_bytes;
	if (ring->batch_left == 0)
		return fail(ring, "used id is out of order");
	return 0;
}

int
tfe_ring_get_used(struct tfe_ring *ring, struct tfe_used *used)
{
	uint32_t id = 0, len_bytes = 0;
	struct tfe_ring_token *token;

	if (!tfe_ring_has_used(ring))
		return 0;
	if (ring->batch_left == 0 && next_entry(ring, &id, &len_bytes) < 0)
		return -EPROTO;
	if (ring->in_order) {
		/* VIRTIO 2.7.9: those skipped count as used completely. */
		bool last = ring->batch_left == 1;

		id = ring->order[ring->order_idx % ring->size];
		len_bytes = last ? ring->batch_len_bytes : (uint32_t)ring->tokens[id].in_bytes;
		ring->batch_left--;
	}
	token = &ring->tokens[id];
	if (len_bytes > token->in_bytes)
		return fail(ring, "used length exceeds the writable bytes");
	*used = (struct tfe_used){
		.cookie = token->cookie,
		.id = (uint16_t)id,
		.len_bytes = len_bytes,
	};
	token->busy = false;
	ops_of(ring)->take(ring, (uint16_t)id);
	ring->order_idx++;
	ring->nb_outstanding--;
	return 1;
}

void
tfe_ring_want_calls(struct tfe_ring *ring, bool want)
{
	ops_of(ring)->want_calls(ring, want);
}

/* Sleep until the device calls, unless there is something already. */
static int
wait_call(struct tfe_ring *ring, uint64_t deadline_ns)
{
	struct pollfd pfd = { .fd = ring->call_fd, .events = POLLIN };
	int ret;

	tfe_ring_want_calls(ring, true);
	/* The wish goes first, then the used ring is looked at once more. The partner is the
	 * device's fence between writing the used ring and reading the wish.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (tfe_ring_has_used(ring))
		return 1;
	ret = poll(&pfd, 1, tfe_left_ms(deadline_ns));
	if (ret < 0 && errno != EINTR)
		return -errno;
	if (ret > 0) {
		drain_eventfd(ring->call_fd);
		ring->nb_calls++;
	}
	return ret;
}

int
tfe_ring_wait_used(struct tfe_ring *ring, int timeout_ms)
{
	uint64_t deadline_ns = tfe_deadline_ns(timeout_ms);

	while (!tfe_ring_has_used(ring)) {
		int ret = 1;

		if (ring->call_fd >= 0)
			ret = wait_call(ring, deadline_ns);
		else
			sched_yield();
		if (ret < 0 && ret != -EINTR)
			return ret;
		if (tfe_left_ms(deadline_ns) == 0)
			return tfe_ring_has_used(ring) ? 1 : 0;
	}
	return 1;
}
