/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tfe_gen_priv.h"
#include "tfe_time.h"

#define DEFAULT_BURST 64
#define CACHE_LINE    64

static int
check_conf(const struct tfe_dev *dev, unsigned int pair, const struct tfe_gen_conf *conf)
{
	if (2 * pair + 1 >= dev->nb_rings || conf->dir > TFE_GEN_RECEIVE ||
			conf->layout > TFE_GEN_INDIRECT || conf->touch > TFE_GEN_TOUCH_VERIFY)
		return -EINVAL;
	if (conf->dir == TFE_GEN_TRANSMIT &&
			(conf->frame_bytes == 0 || conf->frame_bytes > TFE_GEN_FRAME_BYTES))
		return -EINVAL;
	if (conf->dir == TFE_GEN_TRANSMIT && conf->touch == TFE_GEN_TOUCH_VERIFY &&
			conf->frame_bytes < TFE_FRAME_MIN_BYTES)
		return -EINVAL;
	if (conf->dir == TFE_GEN_RECEIVE &&
			(conf->buf_bytes == 0 || conf->buf_bytes > TFE_GEN_FRAME_BYTES))
		return -EINVAL;
	if (conf->layout == TFE_GEN_INDIRECT && !tfe_dev_has(dev, VIRTIO_RING_F_INDIRECT_DESC))
		return -ENOTSUP;
	return 0;
}

static uint32_t
frame_room(const struct tfe_gen_conf *conf)
{
	return conf->dir == TFE_GEN_TRANSMIT ? conf->frame_bytes : conf->buf_bytes;
}

/* Fill in what the configuration leaves open. */
static int
settle_conf(struct tfe_gen *gen)
{
	struct tfe_gen_conf *conf = &gen->conf;
	const uint32_t need_bytes = gen->chain_bytes + CACHE_LINE;
	uint32_t room;

	if (conf->burst == 0)
		conf->burst = DEFAULT_BURST;
	if (conf->nb_segs == 0 || conf->layout == TFE_GEN_SINGLE)
		conf->nb_segs = 1;
	if (conf->nb_segs > frame_room(conf))
		return -EINVAL;
	if (conf->layout == TFE_GEN_INDIRECT && conf->nb_segs + 1 > gen->ring->table_descs)
		return -EINVAL;
	gen->chain_descs = conf->layout == TFE_GEN_CHAIN ? conf->nb_segs + 1 : 1;
	room = gen->ring->size / gen->chain_descs;
	gen->nb_chains = conf->nb_bufs != 0 && conf->nb_bufs < room ? conf->nb_bufs : room;
	if (gen->nb_chains == 0)
		return -EINVAL;
	/* Half of the chains are enough to wait for: the device needs the others. */
	if (conf->min_burst > conf->burst)
		conf->min_burst = conf->burst;
	if (conf->min_burst > gen->nb_chains / 2)
		conf->min_burst = gen->nb_chains / 2;
	if (conf->min_burst == 0)
		conf->min_burst = 1;
	/* VIRTIO 2.7.9: descriptors are used in ring order, round the whole table. */
	if (gen->ring->in_order && !gen->ring->packed &&
			gen->nb_chains * gen->chain_descs != gen->ring->size)
		return -EINVAL;
	if (conf->stride_bytes == 0)
		conf->stride_bytes = need_bytes > TFE_GEN_STRIDE ? need_bytes : TFE_GEN_STRIDE;
	if (conf->stride_bytes < gen->chain_bytes)
		return -EINVAL;
	gen->stride_bytes = (conf->stride_bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	return 0;
}

/* Buffer number i of a chain: all in one piece, or the header and then the frame's parts. */
static struct tfe_seg
seg_of(const struct tfe_gen *gen, uint32_t chain, uint32_t i)
{
	const uint64_t gpa = gen->bufs_gpa + (uint64_t)chain * gen->stride_bytes;
	const uint32_t room = frame_room(&gen->conf);
	const uint32_t part = room / gen->conf.nb_segs;

	if (gen->conf.layout == TFE_GEN_SINGLE)
		return (struct tfe_seg){ gpa, gen->chain_bytes };
	if (i == 0)
		return (struct tfe_seg){ gpa, gen->hdr_bytes };
	return (struct tfe_seg){
		.gpa = gpa + gen->hdr_bytes + (uint64_t)(i - 1) * part,
		.len_bytes = i == gen->conf.nb_segs ? room - (i - 1) * part : part,
	};
}

/* Write the chain's indirect table and return the buffer that stands for it in the ring. */
static struct tfe_seg
write_table(struct tfe_gen *gen, uint32_t chain, uint16_t direction)
{
	const struct tfe_ring *ring = gen->ring;
	const uint32_t nb_segs = gen->conf.nb_segs + 1;
	const uint64_t offset = (uint64_t)chain * ring->table_descs * sizeof(struct vring_desc);
	uint8_t *table = (uint8_t *)ring->table_buf.va + offset;

	for (uint32_t i = 0; i < nb_segs; i++) {
		struct tfe_seg seg = seg_of(gen, chain, i);
		struct vring_desc desc = {
			.addr = seg.gpa,
			.len = seg.len_bytes,
			.flags = direction,
		};

		if (ring->packed) {
			struct vring_packed_desc packed = {
				.addr = seg.gpa,
				.len = seg.len_bytes,
				.flags = direction,
			};

			memcpy(table + i * sizeof(packed), &packed, sizeof(packed));
			continue;
		}
		if (i + 1 < nb_segs) {
			desc.flags |= VRING_DESC_F_NEXT;
			desc.next = (uint16_t)(i + 1);
		}
		memcpy(table + i * sizeof(desc), &desc, sizeof(desc));
	}
	return (struct tfe_seg){
		.gpa = ring->table_buf.gpa + offset,
		.len_bytes = nb_segs * (uint32_t)sizeof(struct vring_desc),
	};
}

/* Prepare the descriptors of a chain: in the table of a split ring, or ready for a packed one. */
static void
write_chain(struct tfe_gen *gen, uint32_t chain)
{
	const bool indirect = gen->conf.layout == TFE_GEN_INDIRECT;
	const uint16_t direction = gen->conf.dir == TFE_GEN_RECEIVE ? VRING_DESC_F_WRITE : 0;
	const uint32_t head = chain * gen->chain_descs;

	for (uint32_t i = 0; i < gen->chain_descs; i++) {
		struct tfe_seg seg = indirect ? write_table(gen, chain, direction)
					      : seg_of(gen, chain, i);
		uint16_t flags = indirect ? VRING_DESC_F_INDIRECT : direction;
		uint16_t next = 0;

		if (i + 1 < gen->chain_descs) {
			flags |= VRING_DESC_F_NEXT;
			next = (uint16_t)(head + i + 1);
		}
		if (gen->ring->packed)
			gen->descs[head + i] = (struct vring_packed_desc){
				.addr = seg.gpa,
				.len = seg.len_bytes,
				.id = (uint16_t)chain,
				.flags = flags,
			};
		else
			gen->ring->desc[head + i] = (struct vring_desc){
				.addr = seg.gpa,
				.len = seg.len_bytes,
				.flags = flags,
				.next = next,
			};
	}
	if (!gen->ring->packed)
		gen->chain_of[head] = (uint16_t)chain;
}

static int
make_private(struct tfe_gen *gen)
{
	const uint32_t size = gen->ring->size;
	const uint32_t nb_burst = gen->conf.burst > gen->nb_chains ? gen->conf.burst
								   : gen->nb_chains;

	gen->descs = calloc(size, sizeof(gen->descs[0]));
	gen->chain_of = calloc(size, sizeof(gen->chain_of[0]));
	gen->burst = calloc(nb_burst, sizeof(gen->burst[0]));
	gen->busy = calloc(gen->nb_chains, sizeof(gen->busy[0]));
	gen->expected = calloc(TFE_GEN_STREAMS, sizeof(gen->expected[0]));
	gen->frame = calloc(1, TFE_GEN_FRAME_BYTES + gen->hdr_bytes);
	if (gen->descs == NULL || gen->chain_of == NULL || gen->burst == NULL ||
			gen->busy == NULL || gen->expected == NULL || gen->frame == NULL)
		return -ENOMEM;
	return 0;
}

/* The ring's memory is written from scratch, also after it was reset. */
static void
write_ring(struct tfe_gen *gen)
{
	for (uint32_t i = 0; i < gen->ring->size; i++)
		gen->chain_of[i] = TFE_GEN_NONE;
	for (uint32_t i = 0; i < gen->nb_chains; i++)
		write_chain(gen, i);
	tfe_ring_want_calls(gen->ring, false);
}

static int
make_buffers(struct tfe_gen *gen, struct tfe_mem *mem)
{
	const uint32_t frame_bytes = gen->conf.frame_bytes;
	struct tfe_buf bufs;
	int ret;

	ret = tfe_mem_alloc(mem, 0, (uint64_t)gen->nb_chains * gen->stride_bytes, CACHE_LINE,
			&bufs);
	if (ret < 0)
		return ret;
	gen->bufs_va = bufs.va;
	gen->bufs_gpa = bufs.gpa;
	if (gen->conf.dir == TFE_GEN_RECEIVE)
		return 0;
	if (frame_bytes >= TFE_FRAME_MIN_BYTES)
		tfe_frame_build(gen->frame, frame_bytes, gen->conf.stream, 0);
	for (uint32_t i = 0; i < gen->nb_chains; i++)
		memcpy(tfe_gen_buf(gen, i) + gen->hdr_bytes, gen->frame, frame_bytes);
	return 0;
}

static int
prepare(struct tfe_gen *gen, struct tfe_mem *mem)
{
	int ret;

	ret = settle_conf(gen);
	if (ret == 0)
		ret = make_private(gen);
	if (ret == 0)
		ret = make_buffers(gen, mem);
	if (ret < 0)
		return ret;
	if (gen->ring->packed)
		tfe_gen_bind_packed(gen);
	else
		tfe_gen_bind_split(gen);
	tfe_gen_restart(gen);
	return 0;
}

int
tfe_gen_create(struct tfe_gen **genp, struct tfe_dev *dev, unsigned int pair,
		const struct tfe_gen_conf *conf)
{
	struct tfe_gen *gen;
	int ret;

	ret = check_conf(dev, pair, conf);
	if (ret < 0)
		return ret;
	gen = calloc(1, sizeof(*gen));
	if (gen == NULL)
		return -ENOMEM;
	gen->conf = *conf;
	gen->ring = conf->dir == TFE_GEN_TRANSMIT ? tfe_dev_transmitq(dev, pair)
						  : tfe_dev_receiveq(dev, pair);
	gen->hdr_bytes = dev->hdr_bytes;
	gen->mergeable = tfe_dev_has(dev, VIRTIO_NET_F_MRG_RXBUF);
	gen->chain_bytes = gen->hdr_bytes + frame_room(conf);
	ret = gen->ring->nb_outstanding > 0 ? -EBUSY : prepare(gen, &dev->mem);
	if (ret < 0) {
		tfe_gen_destroy(gen);
		return ret;
	}
	*genp = gen;
	return 0;
}

void
tfe_gen_destroy(struct tfe_gen *gen)
{
	if (gen == NULL)
		return;
	free(gen->descs);
	free(gen->chain_of);
	free(gen->burst);
	free(gen->busy);
	free(gen->expected);
	free(gen->frame);
	free(gen);
}

void
tfe_gen_restart(struct tfe_gen *gen)
{
	write_ring(gen);
	gen->primed = false;
	/* A drained ring goes on where it stands, one that was reset starts at 0. */
	if (!gen->draining)
		gen->next_chain = 0;
	gen->draining = false;
	gen->failed = false;
	gen->error = NULL;
	gen->left = gen->conf.nb_packets != 0 ? gen->conf.nb_packets : UINT64_MAX;
	gen->batch_left = 0;
	gen->merge_left = 0;
	memset(gen->busy, 0, gen->nb_chains);
}

int
tfe_gen_fail(struct tfe_gen *gen, const char *error)
{
	gen->failed = true;
	__atomic_store_n(&gen->error, error, __ATOMIC_RELEASE);
	return -EPROTO;
}

const char *
tfe_gen_error(const struct tfe_gen *gen)
{
	return __atomic_load_n(&gen->error, __ATOMIC_ACQUIRE);
}

int
tfe_gen_notify(struct tfe_gen *gen, uint32_t nb_published)
{
	struct tfe_ring *ring = gen->ring;
	uint64_t nb_kicks = ring->nb_kicks;
	int ret;

	ring->nb_unnotified = nb_published;
	ret = tfe_ring_notify(ring);
	if (ring->nb_kicks != nb_kicks)
		tfe_gen_count(&gen->stats.nb_kicks, 1);
	return ret;
}

static int
prime(struct tfe_gen *gen)
{
	gen->primed = true;
	for (uint32_t i = 0; i < gen->nb_chains; i++)
		gen->burst[i] = (uint16_t)((gen->next_chain + i) % gen->nb_chains);
	return gen->prime(gen);
}

int
tfe_gen_poll(struct tfe_gen *gen)
{
	if (gen->failed)
		return -EPROTO;
	if (!gen->primed) {
		int ret = prime(gen);

		if (ret < 0)
			return ret;
	}
	return gen->poll(gen);
}

bool
tfe_gen_done(const struct tfe_gen *gen)
{
	return gen->conf.dir == TFE_GEN_TRANSMIT && gen->primed && gen->left == 0 &&
			gen->ring->nb_outstanding == 0;
}

int
tfe_gen_drain(struct tfe_gen *gen, int timeout_ms)
{
	uint64_t deadline_ns = tfe_deadline_ns(timeout_ms);

	if (gen->conf.dir != TFE_GEN_TRANSMIT)
		return -EINVAL;
	gen->draining = true;
	while (gen->ring->nb_outstanding > 0) {
		int ret = tfe_gen_poll(gen);

		if (ret < 0)
			return ret;
		if (ret == 0 && tfe_left_ms(deadline_ns) == 0)
			return -ETIMEDOUT;
	}
	return 0;
}

void
tfe_gen_stats(const struct tfe_gen *gen, struct tfe_gen_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&gen->stats;
	uint64_t *to = (uint64_t *)stats;

	static_assert(sizeof(*stats) % sizeof(uint64_t) == 0, "counters are all 64 bits");
	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

/* Follow the sequence of a stream. */
static void
follow(struct tfe_gen *gen, uint16_t stream, uint64_t seq)
{
	uint64_t *expected = &gen->expected[stream % TFE_GEN_STREAMS];

	if (seq < *expected) {
		tfe_gen_count(&gen->stats.nb_late, 1);
		return;
	}
	tfe_gen_count(&gen->stats.nb_lost, seq - *expected);
	*expected = seq + 1;
}

void
tfe_gen_verify(struct tfe_gen *gen, const uint8_t *frame, uint32_t len_bytes)
{
	enum tfe_frame_verdict verdict;
	uint16_t stream;
	uint64_t seq;

	verdict = tfe_frame_check(frame, len_bytes, &stream, &seq);
	/* Who sent a frame answers for it, also for one that was changed. */
	if (verdict != TFE_FRAME_FOREIGN && gen->conf.one_stream && stream != gen->conf.stream)
		verdict = TFE_FRAME_FOREIGN;
	switch (verdict) {
	case TFE_FRAME_GOOD:
		follow(gen, stream, seq);
		break;
	case TFE_FRAME_CORRUPT:
		tfe_gen_count(&gen->stats.nb_bad, 1);
		break;
	case TFE_FRAME_FOREIGN:
		tfe_gen_count(&gen->stats.nb_foreign, 1);
		break;
	}
}

/* The first chain of a packet: its header says how many follow. @return bytes of the frame. */
static uint32_t
start_packet(struct tfe_gen *gen, const uint8_t *va, uint32_t len_bytes)
{
	struct virtio_net_hdr_v1 hdr = { .num_buffers = 1 };

	gen->merge_bytes = 0;
	gen->merge_left = 1;
	gen->burst_packets++;
	if (len_bytes < gen->hdr_bytes) {
		tfe_gen_count(&gen->stats.nb_bad, 1);
		return 0;
	}
	memcpy(&hdr, va, gen->hdr_bytes);
	if (gen->mergeable && hdr.num_buffers == 0)
		tfe_gen_count(&gen->stats.nb_bad, 1);
	else if (gen->mergeable)
		gen->merge_left = hdr.num_buffers;
	return len_bytes - gen->hdr_bytes;
}

void
tfe_gen_take_merged(struct tfe_gen *gen, const uint8_t *va, uint32_t len_bytes)
{
	const uint8_t *bytes = va;
	bool whole;

	if (gen->merge_left == 0) {
		uint32_t frame_bytes = start_packet(gen, va, len_bytes);

		bytes += len_bytes - frame_bytes;
		len_bytes = frame_bytes;
	}
	gen->burst_bytes += len_bytes;
	whole = gen->merge_left == 1 && gen->merge_bytes == 0;
	gen->merge_left--;
	if (gen->conf.touch == TFE_GEN_TOUCH_PAYLOAD)
		tfe_gen_read(gen, bytes, len_bytes);
	if (gen->conf.touch != TFE_GEN_TOUCH_VERIFY)
		return;
	if (whole) {
		tfe_gen_verify(gen, bytes, len_bytes);
		return;
	}
	if (len_bytes > TFE_GEN_FRAME_BYTES - gen->merge_bytes)
		len_bytes = TFE_GEN_FRAME_BYTES - gen->merge_bytes;
	memcpy(gen->frame + gen->merge_bytes, bytes, len_bytes);
	gen->merge_bytes += len_bytes;
	if (gen->merge_left == 0)
		tfe_gen_verify(gen, gen->frame, gen->merge_bytes);
}
