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

static TFE_INLINE int
packed_poll(struct tfe_gen *gen, const enum tfe_gen_dir dir, const enum tfe_gen_touch touch)
{
	struct tfe_ring *ring = gen->ring;
	const uint32_t chain_descs = gen->chain_descs, size = ring->size;
	uint32_t slot = ring->used_idx;
	bool wrap = ring->used_wrap;
	uint32_t limit = gen->conf.burst;
	uint32_t nb;
	int ret;

	if (limit > ring->nb_outstanding)
		limit = ring->nb_outstanding;
	for (nb = 0; nb < limit; nb++) {
		uint32_t len_bytes;
		uint16_t chain = packed_next(gen, slot, wrap, &len_bytes);

		if (chain == TFE_GEN_NONE)
			break;
		if (chain >= gen->nb_chains)
			return tfe_gen_fail(gen, "used id was never made available");
		if (tfe_gen_take(gen, chain, len_bytes, dir, touch) < 0)
			return -EPROTO;
		gen->burst[nb] = chain;
		slot += chain_descs;
		if (slot >= size) {
			slot -= size;
			wrap = !wrap;
		}
	}
	ring->used_idx = (uint16_t)slot;
	ring->used_wrap = wrap;
	ret = tfe_gen_taken(gen, nb, dir, touch);
	if (ret > 0 && packed_make(gen, nb, dir, touch) < 0)
		return -EIO;
	return ret;
}

TFE_GEN_INSTANCES(packed)
