/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The driver's side of a split virtqueue: VIRTIO 2.7. */

#include "tfe_ring_ops.h"

/* With EVENT_IDX, "no calls": an event this far ahead is not met before it is moved again. */
#define FAR_EVENT 0x8000u

/* VIRTIO 2.7.6: used_event follows the available ring. */
static uint16_t *
used_event(const struct tfe_ring *ring)
{
	return &ring->avail->ring[ring->size];
}

/* VIRTIO 2.7.8: avail_event follows the used ring. */
static uint16_t *
avail_event(const struct tfe_ring *ring)
{
	return (uint16_t *)&ring->used->ring[ring->size];
}

static void
split_area_bytes(uint32_t size, uint64_t bytes[3])
{
	bytes[0] = (uint64_t)size * sizeof(struct vring_desc);
	bytes[1] = sizeof(struct vring_avail) + (uint64_t)(size + 1) * sizeof(uint16_t);
	bytes[2] = sizeof(struct vring_used) + (uint64_t)size * sizeof(struct vring_used_elem) +
			sizeof(uint16_t);
}

static void
split_attach(struct tfe_ring *ring)
{
	ring->desc = ring->desc_buf.va;
	ring->avail = ring->driver_buf.va;
	ring->used = ring->device_buf.va;
}

static void
split_reset(struct tfe_ring *ring)
{
	(void)ring;
}

void
tfe_split_put_desc(struct tfe_ring *ring, uint16_t slot, const struct vring_desc *desc)
{
	ring->desc[slot] = *desc;
}

void
tfe_split_put_avail(struct tfe_ring *ring, uint16_t head)
{
	TFE_STORE(&ring->avail->ring[ring->avail_idx & (ring->size - 1)], head);
	ring->avail_idx++;
}

void
tfe_split_set_avail_idx(struct tfe_ring *ring, uint16_t avail_idx)
{
	/* Descriptors and entries before the index; the partner is the device's load-acquire. */
	TFE_STORE_RELEASE(&ring->avail->idx, avail_idx);
}

static uint16_t
split_add(struct tfe_ring *ring, const struct tfe_seg *segs, uint32_t nb_segs, uint16_t flags,
		uint32_t nb_out)
{
	uint16_t head = ring->free_head;
	uint16_t slot = head;

	for (uint32_t i = 0; i < nb_segs; i++) {
		bool last = i + 1 == nb_segs;
		uint16_t next = ring->tokens[slot].next;
		struct vring_desc desc = {
			.addr = segs[i].gpa,
			.len = segs[i].len_bytes,
			.flags = (uint16_t)(flags | tfe_seg_flags(i, nb_out)),
		};

		if (!last) {
			desc.flags |= VRING_DESC_F_NEXT;
			desc.next = next;
		}
		tfe_split_put_desc(ring, slot, &desc);
		slot = next;
	}
	ring->free_head = slot;
	tfe_split_put_avail(ring, head);
	ring->nb_held++;
	return head;
}

static void
split_publish(struct tfe_ring *ring)
{
	tfe_split_set_avail_idx(ring, ring->avail_idx);
}

static bool
split_wants_kick(const struct tfe_ring *ring)
{
	uint16_t new_idx = ring->avail_idx;
	uint16_t old_idx = (uint16_t)(new_idx - ring->nb_unnotified);

	if (ring->event_idx)
		return vring_need_event(TFE_LOAD(avail_event(ring)), new_idx, old_idx);
	return !(TFE_LOAD(&ring->used->flags) & VRING_USED_F_NO_NOTIFY);
}

static uint32_t
split_nb_used(const struct tfe_ring *ring)
{
	return (uint16_t)(TFE_LOAD(&ring->used->idx) - ring->used_idx);
}

static bool
split_has_used(const struct tfe_ring *ring)
{
	/* The index before entries and buffers; the partner is the device's store-release. */
	return TFE_LOAD_ACQUIRE(&ring->used->idx) != ring->used_idx;
}

static void
split_read_used(const struct tfe_ring *ring, uint32_t *id, uint32_t *len_bytes)
{
	const struct vring_used_elem *elem = &ring->used->ring[ring->used_idx & (ring->size - 1)];

	*id = TFE_LOAD(&elem->id);
	*len_bytes = TFE_LOAD(&elem->len);
}

static void
split_take(struct tfe_ring *ring, uint16_t id)
{
	uint16_t slot = id;

	for (uint16_t i = ring->tokens[id].nb_descs; i > 0; i--) {
		uint16_t next = ring->tokens[slot].next;

		tfe_ring_free_id(ring, slot, ring->nb_free);
		ring->nb_free++;
		slot = next;
	}
	ring->used_idx++;
}

static void
split_want_calls(struct tfe_ring *ring, bool want)
{
	if (ring->event_idx)
		TFE_STORE(used_event(ring), (uint16_t)(ring->used_idx + (want ? 0 : FAR_EVENT)));
	else
		TFE_STORE(&ring->avail->flags, want ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
}

static uint32_t
split_base(const struct tfe_ring *ring)
{
	return ring->used_idx;
}

const struct tfe_ring_ops tfe_split_ops = {
	.area_bytes = split_area_bytes,
	.attach = split_attach,
	.reset = split_reset,
	.add = split_add,
	.publish = split_publish,
	.wants_kick = split_wants_kick,
	.has_used = split_has_used,
	.read_used = split_read_used,
	.nb_used = split_nb_used,
	.take = split_take,
	.want_calls = split_want_calls,
	.base = split_base,
};
