/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The generator's own state, and what is done to each packet, as inline functions whose constant
 * arguments make one instance for each direction and touch.
 */

#ifndef TFE_GEN_PRIV_H
#define TFE_GEN_PRIV_H

#include <errno.h>
#include <string.h>

#include "tfe_gen.h"
#include "tfe_ring_ops.h"

/** Streams a receiver can follow at a time. */
#define TFE_GEN_STREAMS 256

/** No chain. */
#define TFE_GEN_NONE UINT16_MAX

#define TFE_INLINE inline __attribute__((always_inline))

/** Move one burst; an instance for a ring format, direction and touch. */
typedef int (*tfe_gen_poll_fn)(struct tfe_gen *gen);

/** A generator. */
struct tfe_gen {
	/* Set up once. */
	struct tfe_gen_conf conf;
	struct tfe_ring *ring;
	tfe_gen_poll_fn poll;
	tfe_gen_poll_fn prime;
	bool mergeable;
	uint32_t hdr_bytes;
	uint32_t nb_chains;
	uint32_t chain_descs; /**< descriptors of a chain in the ring */
	uint32_t chain_bytes; /**< bytes of a chain, header included */
	uint8_t *bufs_va;
	uint64_t bufs_gpa;
	uint32_t stride_bytes;
	struct vring_packed_desc
			*descs; /**< packed: what to write for chain c, from c * chain_descs */
	uint16_t *chain_of;     /**< split: the chain a descriptor is the head of */
	uint8_t *frame;         /**< transmit: a frame to copy; receive: where to gather */

	/* The polling thread's. */
	uint16_t *burst; /**< chains to make available next */
	bool primed;
	bool draining;
	bool failed;
	uint8_t *busy;            /**< verify: made available and not yet used */
	uint64_t left;            /**< transmit: packets still to be made */
	uint64_t seq;             /**< transmit: next sequence number */
	uint64_t *expected;       /**< receive: next sequence number of each stream */
	uint32_t next_chain;      /**< in order: the chain that is used next */
	uint32_t batch_left;      /**< in order: chains of a batch not yet taken */
	uint32_t batch_len_bytes; /**< in order: used length of a batch's last chain */
	uint32_t merge_left;      /**< receive: chains the present packet still has */
	uint32_t merge_bytes;     /**< receive: bytes of it gathered so far */
	uint64_t sink;            /**< keeps payload reads alive */
	uint32_t nb_waits;        /**< calls that found less than min_burst */
	uint64_t burst_packets;   /**< counted in this burst, not yet in stats */
	uint64_t burst_bytes;

	/* Written by the polling thread, read by any. */
	struct tfe_gen_stats stats;
	const char *error;
};

/** Choose the instances for a ring format. */
void tfe_gen_bind_split(struct tfe_gen *gen);
void tfe_gen_bind_packed(struct tfe_gen *gen);

/** Stop for good; returns -EPROTO. */
int tfe_gen_fail(struct tfe_gen *gen, const char *error);

/** Verify a whole received frame and count what is wrong. */
void tfe_gen_verify(struct tfe_gen *gen, const uint8_t *frame, uint32_t len_bytes);

/** Take one chain of a packet that needs more than one, or whose bytes are to be looked at. */
void tfe_gen_take_merged(struct tfe_gen *gen, const uint8_t *va, uint32_t len_bytes);

/** Buffers ahead whose header is fetched, where chains come back in order. */
#define TFE_GEN_PREFETCH 8

/** Publish is done; tell the device if it wants to know. */
int tfe_gen_notify(struct tfe_gen *gen, uint32_t nb_published);

/** Add to a counter that other threads read. */
static TFE_INLINE void
tfe_gen_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/** The chain's buffers; the virtio-net header comes first. */
static TFE_INLINE uint8_t *
tfe_gen_buf(const struct tfe_gen *gen, uint32_t chain)
{
	return gen->bufs_va + (uint64_t)chain * gen->stride_bytes;
}

/** Read every byte. */
static TFE_INLINE void
tfe_gen_read(struct tfe_gen *gen, const uint8_t *p, uint32_t nb_bytes)
{
	uint64_t sum = 0, word;

	for (; nb_bytes >= sizeof(word); nb_bytes -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	for (; nb_bytes > 0; nb_bytes--)
		sum += *p++;
	gen->sink += sum;
}

/** Before a chain is made available. */
static TFE_INLINE void
tfe_gen_make(struct tfe_gen *gen, uint32_t chain, const enum tfe_gen_dir dir,
		const enum tfe_gen_touch touch)
{
	uint8_t *frame = tfe_gen_buf(gen, chain) + gen->hdr_bytes;

	if (touch == TFE_GEN_TOUCH_VERIFY)
		gen->busy[chain] = 1;
	if (dir == TFE_GEN_RECEIVE)
		return;
	if (touch == TFE_GEN_TOUCH_PAYLOAD)
		memcpy(frame, gen->frame, gen->conf.frame_bytes);
	if (touch == TFE_GEN_TOUCH_VERIFY)
		tfe_frame_build(frame, gen->conf.frame_bytes, gen->conf.stream, gen->seq++);
}

/** Count a received chain without a look at it. */
static TFE_INLINE void
tfe_gen_take_unseen(struct tfe_gen *gen, uint32_t len_bytes)
{
	gen->burst_packets++;
	if (len_bytes >= gen->hdr_bytes)
		gen->burst_bytes += len_bytes - gen->hdr_bytes;
	else
		tfe_gen_count(&gen->stats.nb_bad, 1);
}

/** Read the header of a received chain; most often it is a packet of its own and all is done. */
static TFE_INLINE void
tfe_gen_take_seen(struct tfe_gen *gen, uint32_t chain, uint32_t len_bytes,
		const enum tfe_gen_touch touch)
{
	const uint8_t *va = tfe_gen_buf(gen, chain);
	uint16_t num_buffers = 1;

	__builtin_prefetch(va + (uint64_t)TFE_GEN_PREFETCH * gen->stride_bytes);
	if (gen->mergeable)
		memcpy(&num_buffers, va + offsetof(struct virtio_net_hdr_v1, num_buffers),
				sizeof(num_buffers));
	else
		gen->sink += va[0];
	if (touch == TFE_GEN_TOUCH_HEADER && gen->merge_left == 0 && num_buffers == 1)
		tfe_gen_take_unseen(gen, len_bytes);
	else
		tfe_gen_take_merged(gen, va, len_bytes);
}

/** After a chain was used. @return 0 or -EPROTO. */
static TFE_INLINE int
tfe_gen_take(struct tfe_gen *gen, uint32_t chain, uint32_t len_bytes, const enum tfe_gen_dir dir,
		const enum tfe_gen_touch touch)
{
	if (touch == TFE_GEN_TOUCH_VERIFY) {
		if (!gen->busy[chain])
			return tfe_gen_fail(gen, "a chain was used twice");
		gen->busy[chain] = 0;
	}
	if (dir == TFE_GEN_TRANSMIT)
		return 0;
	if (len_bytes > gen->chain_bytes)
		return tfe_gen_fail(gen, "used length exceeds the writable bytes");
	if (touch == TFE_GEN_TOUCH_NONE)
		tfe_gen_take_unseen(gen, len_bytes);
	else
		tfe_gen_take_seen(gen, chain, len_bytes, touch);
	return 0;
}

/** A burst of nb chains was taken: count it. */
static TFE_INLINE int
tfe_gen_taken(struct tfe_gen *gen, uint32_t nb, const enum tfe_gen_dir dir)
{
	if (nb == 0) {
		tfe_gen_count(&gen->stats.nb_empty, 1);
		return 0;
	}
	tfe_gen_count(&gen->stats.nb_bursts, 1);
	if (dir == TFE_GEN_TRANSMIT) {
		tfe_gen_count(&gen->stats.nb_bytes, (uint64_t)nb * gen->conf.frame_bytes);
		tfe_gen_count(&gen->stats.nb_packets, nb);
	} else {
		tfe_gen_count(&gen->stats.nb_bytes, gen->burst_bytes);
		tfe_gen_count(&gen->stats.nb_packets, gen->burst_packets);
		gen->burst_bytes = 0;
		gen->burst_packets = 0;
	}
	return (int)nb;
}

/** Whether to leave the ring alone for now, as enough is not there. */
static TFE_INLINE bool
tfe_gen_waits(struct tfe_gen *gen, bool enough)
{
	if (enough || gen->draining || gen->nb_waits >= TFE_GEN_PATIENCE) {
		gen->nb_waits = 0;
		return false;
	}
	gen->nb_waits++;
	return true;
}

/** How many of nb chains are to be made available again. */
static TFE_INLINE uint32_t
tfe_gen_may_make(struct tfe_gen *gen, uint32_t nb, const enum tfe_gen_dir dir)
{
	if (dir == TFE_GEN_RECEIVE)
		return nb;
	if (gen->draining)
		return 0;
	if (gen->conf.nb_packets == 0)
		return nb;
	if (nb > gen->left)
		nb = (uint32_t)gen->left;
	gen->left -= nb;
	return nb;
}

/** In order: the number of chains the used entry for this chain stands for. */
static TFE_INLINE void
tfe_gen_start_batch(struct tfe_gen *gen, uint32_t chain, uint32_t len_bytes)
{
	gen->batch_left = (chain + gen->nb_chains - gen->next_chain) % gen->nb_chains + 1;
	gen->batch_len_bytes = len_bytes;
}

/** In order: take the next chain of a batch. */
static TFE_INLINE uint32_t
tfe_gen_next_in_batch(struct tfe_gen *gen, uint32_t *len_bytes)
{
	uint32_t chain = gen->next_chain;

	/* VIRTIO 2.7.9: those skipped count as used completely. */
	*len_bytes = gen->batch_left == 1 ? gen->batch_len_bytes : gen->chain_bytes;
	gen->batch_left--;
	gen->next_chain = chain + 1 == gen->nb_chains ? 0 : chain + 1;
	return chain;
}

/** All instances of a ring format: a poll and a prime function for each direction and touch. */
#define TFE_GEN_INSTANCE(format, dir, touch, name) \
	static int format##_poll_##name(struct tfe_gen *gen) \
	{ \
		return format##_poll(gen, dir, touch); \
	} \
	static int format##_prime_##name(struct tfe_gen *gen) \
	{ \
		return format##_make(gen, gen->nb_chains, dir, touch); \
	}

#define TFE_GEN_INSTANCES(format) \
	TFE_GEN_INSTANCE(format, TFE_GEN_TRANSMIT, TFE_GEN_TOUCH_NONE, transmit) \
	TFE_GEN_INSTANCE(format, TFE_GEN_TRANSMIT, TFE_GEN_TOUCH_PAYLOAD, transmit_payload) \
	TFE_GEN_INSTANCE(format, TFE_GEN_TRANSMIT, TFE_GEN_TOUCH_VERIFY, transmit_verify) \
	TFE_GEN_INSTANCE(format, TFE_GEN_RECEIVE, TFE_GEN_TOUCH_NONE, receive) \
	TFE_GEN_INSTANCE(format, TFE_GEN_RECEIVE, TFE_GEN_TOUCH_HEADER, receive_touch) \
	TFE_GEN_INSTANCE(format, TFE_GEN_RECEIVE, TFE_GEN_TOUCH_VERIFY, receive_verify) \
	void tfe_gen_bind_##format(struct tfe_gen *gen) \
	{ \
		static const tfe_gen_poll_fn polls[2][4] = { \
			{ format##_poll_transmit, format##_poll_transmit, \
					format##_poll_transmit_payload, \
					format##_poll_transmit_verify }, \
			{ format##_poll_receive, format##_poll_receive_touch, \
					format##_poll_receive_touch, \
					format##_poll_receive_verify }, \
		}; \
		static const tfe_gen_poll_fn primes[2][4] = { \
			{ format##_prime_transmit, format##_prime_transmit, \
					format##_prime_transmit_payload, \
					format##_prime_transmit_verify }, \
			{ format##_prime_receive, format##_prime_receive_touch, \
					format##_prime_receive_touch, \
					format##_prime_receive_verify }, \
		}; \
		gen->poll = polls[gen->conf.dir][gen->conf.touch]; \
		gen->prime = primes[gen->conf.dir][gen->conf.touch]; \
	}

#endif /* TFE_GEN_PRIV_H */
