/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The generator on a split ring. The descriptor table is written once; a chain is made available
 * by its head in the available ring, where it mostly stands already.
 */

#include "tfe_gen_priv.h"

/* With EVENT_IDX, an event this far ahead keeps calls away until it is moved again. */
#define FAR_EVENT  0x8000u
#define NEAR_EVENT 0x4000u

static TFE_INLINE void
suppress_calls(struct tfe_ring *ring)
{
	uint16_t *event = &ring->avail->ring[ring->size];

	if (ring->event_idx && (uint16_t)(TFE_LOAD(event) - ring->used_idx) < NEAR_EVENT)
		TFE_STORE(event, (uint16_t)(ring->used_idx + FAR_EVENT));
}

/* Make the first nb chains of gen->burst available. */
static TFE_INLINE int
split_make(struct tfe_gen *gen, uint32_t nb, const enum tfe_gen_dir dir,
		const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	uint16_t *avail = ring->avail->ring;
	const uint16_t mask = (uint16_t)(ring->size - 1);
	const uint16_t chain_descs = (uint16_t)gen->chain_descs;
	uint16_t avail_idx = ring->avail_idx;

	nb = tfe_gen_may_make(gen, nb, dir);
	if (nb == 0)
		return 0;
	for (uint32_t i = 0; i < nb; i++) {
		uint16_t chain = gen->burst[i];
		uint16_t head = (uint16_t)(chain * chain_descs);
		uint16_t slot = avail_idx++ & mask;

		tfe_gen_make(gen, chain, dir, touch);
		if (avail[slot] != head)
			TFE_STORE(&avail[slot], head);
	}
	ring->avail_idx = avail_idx;
	ring->nb_outstanding += nb;
	/* Buffers and entries before the index; the partner is the device's load-acquire. */
	TFE_STORE_RELEASE(&ring->avail->idx, avail_idx);
	return tfe_gen_notify(gen, nb);
}

/* The chain of the next used entry, or TFE_GEN_NONE for a wrong id. */
static TFE_INLINE uint16_t
split_next(struct tfe_gen *gen, uint16_t used_idx, uint32_t *len_bytes)
{
	const struct tfe_ring *ring = gen->ring;
	const struct vring_used_elem *elem = &ring->used->ring[used_idx & (ring->size - 1)];
	uint16_t chain = TFE_GEN_NONE;
	uint32_t id;

	if (ring->in_order && gen->batch_left > 0)
		return (uint16_t)tfe_gen_next_in_batch(gen, len_bytes);
	id = TFE_LOAD(&elem->id);
	*len_bytes = TFE_LOAD(&elem->len);
	if (id < ring->size)
		chain = gen->chain_of[id];
	if (ring->in_order && chain != TFE_GEN_NONE) {
		tfe_gen_start_batch(gen, chain, *len_bytes);
		chain = (uint16_t)tfe_gen_next_in_batch(gen, len_bytes);
	}
	return chain;
}

static TFE_INLINE int
split_poll(struct tfe_gen *gen, const enum tfe_gen_dir dir, const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	uint16_t used_idx = ring->used_idx;
	uint32_t nb;
	int ret;

	/* The index before entries and buffers; the partner is the device's store-release. */
	nb = (uint16_t)(TFE_LOAD_ACQUIRE(&ring->used->idx) - used_idx);
	if (nb > ring->nb_outstanding)
		return tfe_gen_fail(gen, "used index runs ahead of the available index");
	if (tfe_gen_waits(gen, nb >= gen->conf.min_burst))
		nb = 0;
	if (nb > gen->conf.burst)
		nb = gen->conf.burst;
	for (uint32_t i = 0; i < nb; i++) {
		uint32_t len_bytes;
		uint16_t chain = split_next(gen, used_idx++, &len_bytes);

		if (chain == TFE_GEN_NONE)
			return tfe_gen_fail(gen, "used id is no head of a chain");
		if (tfe_gen_take(gen, chain, len_bytes, dir, touch) < 0)
			return -EPROTO;
		gen->burst[i] = chain;
	}
	ring->used_idx = used_idx;
	ring->nb_outstanding -= nb;
	ret = tfe_gen_taken(gen, nb, dir);
	if (ret > 0) {
		suppress_calls(ring);
		if (split_make(gen, nb, dir, touch) < 0)
			return -EIO;
	}
	return ret;
}

TFE_GEN_INSTANCES(split)
