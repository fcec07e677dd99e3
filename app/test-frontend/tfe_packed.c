/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The driver's side of a packed virtqueue: VIRTIO 2.8. */

#include "tfe_ring_ops.h"

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_BIT  (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

static void
packed_area_bytes(uint32_t size, uint64_t bytes[3])
{
	bytes[0] = (uint64_t)size * sizeof(struct vring_packed_desc);
	bytes[1] = sizeof(struct vring_packed_desc_event);
	bytes[2] = sizeof(struct vring_packed_desc_event);
}

static void
packed_attach(struct tfe_ring *ring)
{
	ring->pdesc = ring->desc_buf.va;
	ring->driver_event = ring->driver_buf.va;
	ring->device_event = ring->device_buf.va;
}

static void
packed_reset(struct tfe_ring *ring)
{
	/* VIRTIO 2.8.1: both counters start at 1. */
	ring->avail_wrap = true;
	ring->used_wrap = true;
}

uint16_t
tfe_packed_avail_bits(const struct tfe_ring *ring)
{
	/* VIRTIO 2.8.1: AVAIL equals the driver's counter, USED is its inverse. */
	return ring->avail_wrap ? AVAIL_BIT : USED_BIT;
}

void
tfe_packed_put_desc(struct tfe_ring *ring, uint16_t slot, const struct vring_packed_desc *desc)
{
	struct vring_packed_desc *d = &ring->pdesc[slot];

	TFE_STORE(&d->addr, desc->addr);
	TFE_STORE(&d->len, desc->len);
	TFE_STORE(&d->id, desc->id);
	/* The flags make it available; the partner is the device's load-acquire of them. */
	TFE_STORE_RELEASE(&d->flags, desc->flags);
}

/* Write all of a descriptor that the device may not see yet but its flags. */
static void
hold_desc(struct tfe_ring *ring, const struct vring_packed_desc *desc)
{
	struct vring_packed_desc *d = &ring->pdesc[ring->avail_idx];

	TFE_STORE(&d->addr, desc->addr);
	TFE_STORE(&d->len, desc->len);
	TFE_STORE(&d->id, desc->id);
	ring->held_slot = ring->avail_idx;
	ring->held_flags = desc->flags;
}

static void
advance_avail(struct tfe_ring *ring)
{
	if (++ring->avail_idx == ring->size) {
		ring->avail_idx = 0;
		ring->avail_wrap = !ring->avail_wrap;
	}
}

static uint16_t
packed_add(struct tfe_ring *ring, const struct tfe_seg *segs, uint32_t nb_segs, uint16_t flags,
		uint32_t nb_out)
{
	uint16_t id = ring->free_head;

	ring->free_head = ring->tokens[id].next;
	for (uint32_t i = 0; i < nb_segs; i++) {
		struct vring_packed_desc desc = {
			.addr = segs[i].gpa,
			.len = segs[i].len_bytes,
			.id = id,
			.flags = (uint16_t)(flags | tfe_seg_flags(i, nb_out) |
					tfe_packed_avail_bits(ring)),
		};

		if (i + 1 < nb_segs)
			desc.flags |= VRING_DESC_F_NEXT;
		/* The device stops at the first one that is not available: holding that back
		 * holds all.
		 */
		if (ring->nb_held == 0)
			hold_desc(ring, &desc);
		else
			tfe_packed_put_desc(ring, ring->avail_idx, &desc);
		advance_avail(ring);
		ring->nb_held++;
	}
	return id;
}

static void
packed_publish(struct tfe_ring *ring)
{
	/* All else before the first flags; the partner is the device's load-acquire of them. */
	TFE_STORE_RELEASE(&ring->pdesc[ring->held_slot].flags, ring->held_flags);
}

static bool
packed_wants_kick(const struct tfe_ring *ring)
{
	uint16_t flags = TFE_LOAD_ACQUIRE(&ring->device_event->flags) & 0x3;
	uint16_t off_wrap, event_slot, new_slot, old_slot;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !ring->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	off_wrap = TFE_LOAD(&ring->device_event->off_wrap);
	event_slot = off_wrap & (WRAP_BIT - 1);
	new_slot = ring->avail_idx;
	old_slot = (uint16_t)(new_slot - ring->nb_unnotified);
	/* An event of the other lap lies behind the present one. */
	if (!!(off_wrap & WRAP_BIT) != ring->avail_wrap)
		event_slot = (uint16_t)(event_slot - ring->size);
	return vring_need_event(event_slot, new_slot, old_slot);
}

static bool
packed_has_used(const struct tfe_ring *ring)
{
	/* The flags before the rest; the partner is the device's store-release of them. */
	uint16_t flags = TFE_LOAD_ACQUIRE(&ring->pdesc[ring->used_idx].flags);
	bool avail = flags & AVAIL_BIT;
	bool used = flags & USED_BIT;

	return avail == used && used == ring->used_wrap;
}

static uint32_t
packed_nb_used(const struct tfe_ring *ring)
{
	return ring->nb_outstanding;
}

static void
packed_read_used(const struct tfe_ring *ring, uint32_t *id, uint32_t *len_bytes)
{
	const struct vring_packed_desc *d = &ring->pdesc[ring->used_idx];

	*id = TFE_LOAD(&d->id);
	/* VIRTIO 2.8.4: the length counts only where WRITE says that there was any. */
	*len_bytes = TFE_LOAD(&d->flags) & VRING_DESC_F_WRITE ? TFE_LOAD(&d->len) : 0;
}

static void
packed_take(struct tfe_ring *ring, uint16_t id)
{
	uint16_t nb_descs = ring->tokens[id].nb_descs;

	/* One id is free for each chain that is not outstanding. */
	tfe_ring_free_id(ring, id, ring->size - ring->nb_outstanding);
	ring->nb_free += nb_descs;
	ring->used_idx = (uint16_t)(ring->used_idx + nb_descs);
	if (ring->used_idx >= ring->size) {
		ring->used_idx = (uint16_t)(ring->used_idx - ring->size);
		ring->used_wrap = !ring->used_wrap;
	}
}

static void
packed_want_calls(struct tfe_ring *ring, bool want)
{
	uint16_t wrap = ring->used_wrap ? WRAP_BIT : 0;

	if (!want) {
		TFE_STORE(&ring->driver_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	} else if (ring->event_idx) {
		TFE_STORE(&ring->driver_event->off_wrap, (uint16_t)(ring->used_idx | wrap));
		/* The offset before the flags; the partner is the device's load-acquire. */
		TFE_STORE_RELEASE(&ring->driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		TFE_STORE(&ring->driver_event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	}
}

static uint32_t
packed_base(const struct tfe_ring *ring)
{
	uint32_t half = ring->used_idx | (ring->used_wrap ? WRAP_BIT : 0);

	/* "VHOST_USER_SET_VRING_BASE": available index in bits 0-15, used index in bits 16-31. */
	return half | half << 16;
}

const struct tfe_ring_ops tfe_packed_ops = {
	.area_bytes = packed_area_bytes,
	.attach = packed_attach,
	.reset = packed_reset,
	.add = packed_add,
	.publish = packed_publish,
	.wants_kick = packed_wants_kick,
	.has_used = packed_has_used,
	.read_used = packed_read_used,
	.nb_used = packed_nb_used,
	.take = packed_take,
	.want_calls = packed_want_calls,
	.base = packed_base,
};
