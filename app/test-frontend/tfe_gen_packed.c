/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The generator on a packed ring. Descriptors are kept ready for each chain; making one available
 * writes them with the wrap counter's bits, the burst's first one last.
 */

#include "tfe_gen_priv.h"

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "length, id and flags go as one word");

/* Length, id and flags of a descriptor: what makes it available goes with one store. */
typedef uint64_t __attribute__((may_alias)) desc_word;

static TFE_INLINE desc_word *
word_of(struct vring_packed_desc *desc)
{
	return (desc_word *)&desc->len;
}

static TFE_INLINE uint64_t
make_word(const struct vring_packed_desc *desc, uint16_t bits)
{
	return desc->len | (uint64_t)desc->id << 32 | (uint64_t)(desc->flags | bits) << 48;
}

/* Make the first nb chains of gen->burst available. */
static TFE_INLINE int
packed_make(struct tfe_gen *gen, uint32_t nb, const enum tfe_gen_dir dir,
		const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	struct vring_packed_desc *pdesc = ring->pdesc;
	struct vring_packed_desc *first = &pdesc[ring->avail_idx];
	const uint32_t chain_descs = gen->chain_descs, size = ring->size;
	uint16_t bits = tfe_packed_avail_bits(ring);
	uint32_t slot = ring->avail_idx;
	uint64_t first_word = 0;

	nb = tfe_gen_may_make(gen, nb, dir);
	if (nb == 0)
		return 0;
	for (uint32_t i = 0; i < nb; i++) {
		const struct vring_packed_desc *desc = &gen->descs[gen->burst[i] * chain_descs];

		tfe_gen_make(gen, gen->burst[i], dir, touch);
		for (uint32_t k = 0; k < chain_descs; k++, desc++) {
			uint64_t word = make_word(desc, bits);

			TFE_STORE(&pdesc[slot].addr, desc->addr);
			if (&pdesc[slot] == first)
				first_word = word;
			else
				TFE_STORE(word_of(&pdesc[slot]), word);
			if (++slot == size) {
				slot = 0;
				bits ^= AVAIL_BIT | USED_BIT;
			}
		}
	}
	ring->avail_idx = (uint16_t)slot;
	ring->avail_wrap = bits == AVAIL_BIT;
	ring->nb_outstanding += nb;
	/* All else before the first flags; the partner is the device's load-acquire of them. */
	TFE_STORE_RELEASE(word_of(first), first_word);
	return tfe_gen_notify(gen, nb * chain_descs);
}

/* The chain of the next used descriptor; *nb_chains says how many it stands for. */
static TFE_INLINE uint16_t
packed_next(struct tfe_gen *gen, uint32_t slot, bool wrap, uint32_t *len_bytes)
{
	const struct vring_packed_desc *desc = &gen->ring->pdesc[slot];
	uint16_t flags, id;

	if (gen->ring->in_order && gen->batch_left > 0)
		return (uint16_t)tfe_gen_next_in_batch(gen, len_bytes);
	/* The flags before the rest and the buffers; the partner is the device's store-release. */
	flags = TFE_LOAD_ACQUIRE(&desc->flags);
	if (!!(flags & AVAIL_BIT) != wrap || !!(flags & USED_BIT) != wrap)
		return TFE_GEN_NONE;
	id = TFE_LOAD(&desc->id);
	*len_bytes = TFE_LOAD(&desc->len);
	if (gen->ring->in_order && id < gen->nb_chains) {
		tfe_gen_start_batch(gen, id, *len_bytes);
		id = (uint16_t)tfe_gen_next_in_batch(gen, len_bytes);
	}
	return id;
}

/* Whether the descriptor nb chains ahead is used already, and so are all before it. */
static TFE_INLINE bool
packed_has_used(const struct tfe_gen *gen, uint32_t nb)
{
	const struct tfe_ring *ring = gen->ring;
	uint32_t slot = ring->used_idx + (nb - 1) * gen->chain_descs;
	uint16_t want = ring->used_wrap ? AVAIL_BIT | USED_BIT : 0;

	/* In order a batch leaves out descriptors: there is nothing to be seen ahead. */
	if (ring->in_order || nb > ring->nb_outstanding)
		return true;
	if (slot >= ring->size) {
		slot -= ring->size;
		want ^= AVAIL_BIT | USED_BIT;
	}
	return (TFE_LOAD(&ring->pdesc[slot].flags) & (AVAIL_BIT | USED_BIT)) == want;
}

/* The driver's positions in the ring, held in registers during a burst. */
struct position {
	uint32_t slot;
	uint16_t bits; /* of a used descriptor; or those that make one available */
};

static TFE_INLINE void
advance(struct position *pos, uint32_t nb_descs, uint32_t size)
{
	pos->slot += nb_descs;
	if (pos->slot >= size) {
		pos->slot -= size;
		pos->bits ^= AVAIL_BIT | USED_BIT;
	}
}

static TFE_INLINE struct position
used_position(const struct tfe_ring *ring)
{
	return (struct position){ ring->used_idx, ring->used_wrap ? AVAIL_BIT | USED_BIT : 0 };
}

static TFE_INLINE struct position
avail_position(const struct tfe_ring *ring)
{
	return (struct position){ ring->avail_idx, tfe_packed_avail_bits(ring) };
}

/* Chains of one descriptor, each made available again as soon as it was taken. Returns how many,
 * or -EPROTO.
 */
static TFE_INLINE int
packed_recycle(struct tfe_gen *gen, uint32_t limit, const enum tfe_gen_dir dir,
		const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	struct vring_packed_desc *pdesc = ring->pdesc;
	struct vring_packed_desc *first = &pdesc[ring->avail_idx];
	struct position used = used_position(ring), avail = avail_position(ring);
	const uint32_t size = ring->size, nb_chains = gen->nb_chains;
	uint64_t first_word = 0;
	uint32_t nb;

	for (nb = 0; nb < limit; nb++) {
		const struct vring_packed_desc *desc = &pdesc[used.slot];
		/* The flags before the rest; the partner is the device's store-release. */
		uint16_t flags = TFE_LOAD_ACQUIRE(&desc->flags);
		uint16_t chain = TFE_LOAD(&desc->id);
		uint64_t word;

		if ((flags & (AVAIL_BIT | USED_BIT)) != used.bits)
			break;
		if (chain >= nb_chains)
			return tfe_gen_fail(gen, "used id was never made available");
		if (tfe_gen_take(gen, chain, TFE_LOAD(&desc->len), dir, touch) < 0)
			return -EPROTO;
		tfe_gen_make(gen, chain, dir, touch);
		desc = &gen->descs[chain];
		word = make_word(desc, avail.bits);
		TFE_STORE(&pdesc[avail.slot].addr, desc->addr);
		if (nb == 0)
			first_word = word;
		else
			TFE_STORE(word_of(&pdesc[avail.slot]), word);
		advance(&used, 1, size);
		advance(&avail, 1, size);
	}
	if (nb == 0)
		return 0;
	ring->used_idx = (uint16_t)used.slot;
	ring->used_wrap = used.bits != 0;
	ring->avail_idx = (uint16_t)avail.slot;
	ring->avail_wrap = avail.bits == AVAIL_BIT;
	/* All else before the first flags; the partner is the device's load-acquire of them. */
	TFE_STORE_RELEASE(word_of(first), first_word);
	return tfe_gen_notify(gen, nb) < 0 ? -EIO : (int)nb;
}

/* Chains of any shape: take all, then make them available again as far as they are to be. */
static TFE_INLINE int
packed_take_and_make(struct tfe_gen *gen, uint32_t limit, const enum tfe_gen_dir dir,
		const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	struct position used = used_position(ring);
	uint32_t nb;

	for (nb = 0; nb < limit; nb++) {
		uint32_t len_bytes;
		uint16_t chain = packed_next(gen, used.slot, used.bits != 0, &len_bytes);

		if (chain == TFE_GEN_NONE)
			break;
		if (chain >= gen->nb_chains)
			return tfe_gen_fail(gen, "used id was never made available");
		if (tfe_gen_take(gen, chain, len_bytes, dir, touch) < 0)
			return -EPROTO;
		gen->burst[nb] = chain;
		advance(&used, gen->chain_descs, ring->size);
	}
	ring->used_idx = (uint16_t)used.slot;
	ring->used_wrap = used.bits != 0;
	ring->nb_outstanding -= nb;
	if (nb > 0 && packed_make(gen, nb, dir, touch) < 0)
		return -EIO;
	return (int)nb;
}

static TFE_INLINE int
packed_poll(struct tfe_gen *gen, const enum tfe_gen_dir dir, const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	const bool endless = dir == TFE_GEN_RECEIVE ||
			(gen->conf.nb_packets == 0 && !gen->draining);
	uint32_t limit = gen->conf.burst;
	int ret = 0;

	if (limit > ring->nb_outstanding)
		limit = ring->nb_outstanding;
	if (tfe_gen_waits(gen, packed_has_used(gen, gen->conf.min_burst)))
		limit = 0;
	if (limit > 0 && endless && gen->chain_descs == 1 && !ring->in_order)
		ret = packed_recycle(gen, limit, dir, touch);
	else if (limit > 0)
		ret = packed_take_and_make(gen, limit, dir, touch);
	return ret < 0 ? ret : tfe_gen_taken(gen, (uint32_t)ret, dir);
}

TFE_GEN_INSTANCES(packed)
