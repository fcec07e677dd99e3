/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_device.h"

/* VIRTIO 2.8: the flag bits of a packed descriptor. */
#define F_AVAIL 0x0080
#define F_USED  0x8000

void
td_init(struct td_ring *ring, const struct tfe_ring *shared, const struct tfe_mem *mem)
{
	*ring = (struct td_ring){
		.shared = shared,
		.mem = mem,
		.avail_wrap = true,
		.used_wrap = true,
		.called_wrap = true,
	};
}

static int
broken(struct td_ring *ring, const char *error)
{
	ring->error = error;
	return -1;
}

static int
add_seg(struct td_ring *ring, struct td_chain *chain, uint64_t gpa, uint32_t len, uint16_t flags)
{
	struct td_seg *seg = &chain->segs[chain->nb_segs];

	if (chain->nb_segs == TD_SEGS)
		return broken(ring, "chain too long");
	seg->va = tfe_mem_gpa_to_va(ring->mem, gpa, len);
	seg->len_bytes = len;
	seg->writable = flags & VRING_DESC_F_WRITE;
	if (seg->va == NULL)
		return broken(ring, "buffer outside of memory");
	if (!seg->writable && chain->nb_segs > 0 && seg[-1].writable)
		return broken(ring, "readable after writable");
	chain->nb_segs++;
	return 0;
}

/* Follow a split chain through a table of nb descriptors, from slot on. */
static int
walk_split(struct td_ring *ring, struct td_chain *chain, const struct vring_desc *table,
		uint32_t nb, uint16_t slot)
{
	uint16_t flags;

	do {
		const struct vring_desc *desc = &table[slot];

		if (slot >= nb)
			return broken(ring, "next beyond the table");
		flags = desc->flags;
		if (flags & VRING_DESC_F_INDIRECT) {
			const struct vring_desc *inner = tfe_mem_gpa_to_va(ring->mem, desc->addr,
					desc->len);

			if (inner == NULL || desc->len % 16 != 0 || (flags & VRING_DESC_F_NEXT))
				return broken(ring, "bad indirect descriptor");
			chain->nb_descs = 1;
			return walk_split(ring, chain, inner, desc->len / 16, 0);
		}
		if (add_seg(ring, chain, desc->addr, desc->len, flags) < 0)
			return -1;
		if (table == ring->shared->desc)
			chain->nb_descs++;
		slot = desc->next;
	} while (flags & VRING_DESC_F_NEXT);
	return 1;
}

static int
pop_split(struct td_ring *ring, struct td_chain *chain)
{
	const struct vring_avail *avail = ring->shared->avail;
	uint16_t idx = __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE);

	if (idx == ring->avail_idx)
		return 0;
	if ((uint16_t)(idx - ring->avail_idx) > ring->shared->size)
		return broken(ring, "available index jumps");
	chain->id = avail->ring[ring->avail_idx % ring->shared->size];
	ring->avail_idx++;
	return walk_split(ring, chain, ring->shared->desc, ring->shared->size, chain->id);
}

static bool
packed_is_avail(const struct td_ring *ring)
{
	const struct vring_packed_desc *desc = &ring->shared->pdesc[ring->avail_idx];
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);

	return !!(flags & F_AVAIL) == ring->avail_wrap && !!(flags & F_USED) != ring->avail_wrap;
}

static int
walk_packed_table(struct td_ring *ring, struct td_chain *chain, const struct vring_packed_desc *d)
{
	const struct vring_packed_desc *inner = tfe_mem_gpa_to_va(ring->mem, d->addr, d->len);

	if (inner == NULL || d->len % 16 != 0 || (d->flags & VRING_DESC_F_NEXT))
		return broken(ring, "bad indirect descriptor");
	for (uint32_t i = 0; i < d->len / 16; i++)
		if (add_seg(ring, chain, inner[i].addr, inner[i].len, inner[i].flags) < 0)
			return -1;
	return 1;
}

static int
pop_packed(struct td_ring *ring, struct td_chain *chain)
{
	struct vring_packed_desc desc;
	int ret = 1;

	if (!packed_is_avail(ring))
		return 0;
	do {
		if (!packed_is_avail(ring))
			return broken(ring, "the chain is available in part only");
		desc = ring->shared->pdesc[ring->avail_idx];
		chain->id = desc.id;
		chain->nb_descs++;
		if (desc.flags & VRING_DESC_F_INDIRECT)
			ret = walk_packed_table(ring, chain, &desc);
		else
			ret = add_seg(ring, chain, desc.addr, desc.len, desc.flags) < 0 ? -1 : 1;
		if (++ring->avail_idx == ring->shared->size) {
			ring->avail_idx = 0;
			ring->avail_wrap = !ring->avail_wrap;
		}
	} while (ret > 0 && (desc.flags & VRING_DESC_F_NEXT));
	return ret;
}

int
td_pop(struct td_ring *ring, struct td_chain *chain)
{
	chain->nb_segs = 0;
	chain->nb_descs = 0;
	return ring->shared->packed ? pop_packed(ring, chain) : pop_split(ring, chain);
}

/* Use a chain, and count it as nb_entries of the split ring or nb_descs of the packed one. */
static void
push(struct td_ring *ring, const struct td_chain *chain, uint32_t len_bytes,
		unsigned int nb_entries, unsigned int nb_descs)
{
	struct vring_packed_desc *desc;
	struct vring_used *used = ring->shared->used;

	if (!ring->shared->packed) {
		used->ring[ring->used_idx % ring->shared->size] = (struct vring_used_elem){
			chain->id, len_bytes
		};
		ring->used_idx = (uint16_t)(ring->used_idx + nb_entries);
		__atomic_store_n(&used->idx, ring->used_idx, __ATOMIC_RELEASE);
		return;
	}
	desc = &ring->shared->pdesc[ring->used_idx];
	desc->id = chain->id;
	desc->len = len_bytes;
	__atomic_store_n(&desc->flags,
			(uint16_t)((ring->used_wrap ? F_AVAIL | F_USED : 0) |
					(len_bytes > 0 ? VRING_DESC_F_WRITE : 0)),
			__ATOMIC_RELEASE);
	ring->used_idx = (uint16_t)(ring->used_idx + nb_descs);
	if (ring->used_idx >= ring->shared->size) {
		ring->used_idx = (uint16_t)(ring->used_idx - ring->shared->size);
		ring->used_wrap = !ring->used_wrap;
	}
}

void
td_push(struct td_ring *ring, const struct td_chain *chain, uint32_t len_bytes)
{
	push(ring, chain, len_bytes, 1, chain->nb_descs);
}

void
td_push_batch(struct td_ring *ring, const struct td_chain *last, unsigned int nb,
		uint32_t len_bytes)
{
	push(ring, last, len_bytes, nb, nb);
}

int
td_read(const struct td_chain *chain, void *bytes, uint32_t room_bytes)
{
	uint8_t *to = bytes;

	for (unsigned int i = 0; i < chain->nb_segs; i++) {
		const struct td_seg *seg = &chain->segs[i];

		if (seg->writable || seg->len_bytes > room_bytes)
			return -1;
		memcpy(to, seg->va, seg->len_bytes);
		to += seg->len_bytes;
		room_bytes -= seg->len_bytes;
	}
	return (int)(to - (uint8_t *)bytes);
}

int
td_write(const struct td_chain *chain, const void *bytes, uint32_t nb_bytes)
{
	const uint8_t *from = bytes;

	for (unsigned int i = 0; i < chain->nb_segs && nb_bytes > 0; i++) {
		const struct td_seg *seg = &chain->segs[i];
		uint32_t n = nb_bytes < seg->len_bytes ? nb_bytes : seg->len_bytes;

		if (!seg->writable)
			return -1;
		memcpy(seg->va, from, n);
		from += n;
		nb_bytes -= n;
	}
	return (int)(from - (const uint8_t *)bytes);
}

void
td_want_kicks(struct td_ring *ring, bool want)
{
	const struct tfe_ring *shared = ring->shared;

	if (shared->packed && !want) {
		shared->device_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	} else if (shared->packed) {
		shared->device_event->off_wrap = (uint16_t)(ring->avail_idx |
				(ring->avail_wrap ? 0x8000 : 0));
		shared->device_event->flags = shared->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
								: VRING_PACKED_EVENT_FLAG_ENABLE;
	} else if (shared->event_idx) {
		uint16_t *event = (uint16_t *)&shared->used->ring[shared->size];

		*event = (uint16_t)(ring->avail_idx + (want ? 0 : 0x8000));
	} else {
		shared->used->flags = want ? 0 : VRING_USED_F_NO_NOTIFY;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* How many used positions were passed since the last look, for either format. */
static unsigned int
passed_since_call(const struct td_ring *ring)
{
	unsigned int now = ring->used_idx;

	if (!ring->shared->packed)
		return (uint16_t)(now - ring->called_idx);
	if (ring->used_wrap != ring->called_wrap)
		now += ring->shared->size;
	return now - ring->called_idx;
}

/* Whether the driver's event position is among those passed. */
static bool
event_passed(const struct td_ring *ring)
{
	const struct tfe_ring *shared = ring->shared;
	unsigned int passed = passed_since_call(ring);
	unsigned int distance;
	uint16_t event;

	if (!shared->packed) {
		event = shared->avail->ring[shared->size];
		return (uint16_t)(event - ring->called_idx) < passed;
	}
	event = shared->driver_event->off_wrap;
	distance = event & 0x7fff;
	if (!!(event & 0x8000) != ring->called_wrap)
		distance += shared->size;
	return distance >= ring->called_idx && distance - ring->called_idx < passed;
}

bool
td_call(struct td_ring *ring)
{
	const struct tfe_ring *shared = ring->shared;
	const uint64_t one = 1;
	bool call;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (shared->packed && shared->driver_event->flags != VRING_PACKED_EVENT_FLAG_DESC)
		call = shared->driver_event->flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	else if (shared->event_idx)
		call = event_passed(ring);
	else
		call = !(shared->avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
	ring->called_idx = ring->used_idx;
	ring->called_wrap = ring->used_wrap;
	return call && shared->call_fd >= 0 &&
			write(shared->call_fd, &one, sizeof(one)) == sizeof(one);
}

/* Deliver a packet into as many chains as it takes. Returns 1, 0 when there is no room, -1. */
static int
deliver(struct td_ring *rx, uint8_t *packet, uint32_t nb_bytes, const struct td_loop_conf *conf)
{
	static struct td_chain chains[64];
	const struct td_ring before = *rx;
	uint32_t lens[64], left = nb_bytes;
	uint16_t n = 0;

	while (left > 0) {
		uint32_t room = 0;
		int ret = td_pop(rx, &chains[n]);

		if (ret == 0)
			*rx = before;
		if (ret <= 0)
			return ret;
		for (unsigned int i = 0; i < chains[n].nb_segs; i++)
			room += chains[n].segs[i].len_bytes;
		lens[n] = left < room ? left : room;
		left -= lens[n++];
		if (left > 0 && (!conf->mergeable || n == 64))
			return broken(rx, "the packet does not fit");
	}
	if (conf->hdr_bytes == 12)
		memcpy(packet + 10, &n, sizeof(n));
	for (uint16_t i = 0; i < n; i++) {
		if (td_write(&chains[i], packet, lens[i]) != (int)lens[i])
			return broken(rx, "a receive buffer is not writable");
		packet += lens[i];
		td_push(rx, &chains[i], lens[i]);
	}
	return 1;
}

/* Give transmitted chains back in the manner asked for. */
static void
give_back(struct td_ring *tx, struct td_chain *chains, unsigned int nb,
		const struct td_loop_conf *conf)
{
	if (conf->batch && nb > 0) {
		td_push_batch(tx, &chains[nb - 1], nb, 0);
		return;
	}
	for (unsigned int i = 0; i < nb; i++)
		td_push(tx, &chains[conf->reverse ? nb - 1 - i : i], 0);
}

int
td_loop(struct td_ring *tx, struct td_ring *rx, const struct td_loop_conf *conf)
{
	const unsigned int nb_max = conf->nb_max != 0 ? conf->nb_max : tx->shared->size;
	struct td_chain *chains = calloc(nb_max, sizeof(*chains));
	uint8_t *packet = malloc(TD_PACKET_BYTES);
	unsigned int nb = 0;
	int ret = 1;

	while (ret > 0 && nb < nb_max) {
		const struct td_ring before = *tx;
		int nb_bytes;

		ret = td_pop(tx, &chains[nb]);
		if (ret <= 0)
			break;
		nb_bytes = td_read(&chains[nb], packet, TD_PACKET_BYTES);
		if (nb_bytes < 0) {
			ret = broken(tx, "a transmit buffer is writable");
			break;
		}
		ret = deliver(rx, packet, (uint32_t)nb_bytes, conf);
		if (ret == 0)
			*tx = before;
		if (ret > 0)
			nb++;
	}
	give_back(tx, chains, nb, conf);
	td_call(tx);
	td_call(rx);
	free(chains);
	free(packet);
	return ret < 0 ? -1 : (int)nb;
}
