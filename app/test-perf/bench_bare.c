/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_bare.h"

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench_traffic.h"

/** A ring and the one region its buffers are in; private copies, as a back-end has them. */
struct walk {
	uint32_t mask;
	uint16_t used_idx; /**< Split: free-running. Packed: the next slot. */
	bool wrap;         /**< Packed: the driver's wrap counter at that slot. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	uint64_t gpa;
	uint64_t size_bytes;
	uint8_t *va;
	uint64_t sink; /**< Keeps the translation alive. */
};

/** The buffers that packets are copied to, one after another. */
struct copy {
	struct tfe_buf bufs;
	uint32_t stride_bytes;
	uint32_t nb_bufs;
	uint32_t next;
};

static inline void
translate(struct walk *walk, uint64_t gpa, uint32_t len)
{
	uint64_t offset = gpa - walk->gpa;

	if (offset < walk->size_bytes && len <= walk->size_bytes - offset)
		walk->sink += (uintptr_t)(walk->va + offset);
}

static int
walk_split(struct bench_loop *loop)
{
	struct walk *walk = loop->arg;
	uint64_t begin = rte_rdtsc();
	uint16_t nb, i;

	/* The index before entries; the partner is the front-end's store-release. */
	nb = (uint16_t)(__atomic_load_n(&walk->avail->idx, __ATOMIC_ACQUIRE) - walk->used_idx);
	nb = RTE_MIN(nb, BENCH_BURST);
	for (i = 0; i < nb; i++) {
		uint32_t slot = (uint16_t)(walk->used_idx + i) & walk->mask;
		uint16_t head = walk->avail->ring[slot] & walk->mask;

		translate(walk, walk->desc[head].addr, walk->desc[head].len);
		walk->used->ring[slot].id = head;
		walk->used->ring[slot].len = 0;
	}
	walk->used_idx += nb;
	/* Entries before the index; the partner is the front-end's load-acquire. */
	if (nb > 0)
		__atomic_store_n(&walk->used->idx, walk->used_idx, __ATOMIC_RELEASE);
	bench_loop_count(loop, begin, nb);
	return 0;
}

#define PACKED_AVAIL ((uint16_t)(1u << VRING_PACKED_DESC_F_AVAIL))
#define PACKED_USED  ((uint16_t)(1u << VRING_PACKED_DESC_F_USED))

static int
walk_packed(struct bench_loop *loop)
{
	struct walk *walk = loop->arg;
	struct vring_packed_desc *first = &walk->pdesc[walk->used_idx];
	uint64_t begin = rte_rdtsc();
	uint16_t first_flags = 0, nb;

	for (nb = 0; nb < BENCH_BURST; nb++) {
		struct vring_packed_desc *desc = &walk->pdesc[walk->used_idx];
		uint16_t used = walk->wrap ? PACKED_AVAIL | PACKED_USED : 0, flags;

		/* Flags before the rest; the partner is the front-end's store-release. */
		flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
		if (!(flags & PACKED_AVAIL) != !walk->wrap || !(flags & PACKED_USED) == !walk->wrap)
			break;
		translate(walk, desc->addr, desc->len);
		desc->len = 0;
		/* The first one last: it lets the front-end go on. */
		if (nb == 0)
			first_flags = used;
		else
			__atomic_store_n(&desc->flags, used, __ATOMIC_RELAXED);
		walk->used_idx = (uint16_t)((walk->used_idx + 1) & walk->mask);
		walk->wrap ^= walk->used_idx == 0;
	}
	/* All entries before the first's flags; the partner is the front-end's load-acquire. */
	if (nb > 0)
		__atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
	bench_loop_count(loop, begin, nb);
	return 0;
}

/** A front-end without a connection: memory and rings. */
static int
frontend_alone(const struct bench_job *job, struct tfe_dev *dev)
{
	struct tfe_dev_conf conf;
	int ret;

	bench_frontend_conf(job, &conf);
	ret = tfe_dev_init(dev, &conf);
	dev->features = conf.features;
	dev->hdr_bytes = sizeof(struct virtio_net_hdr_v1);
	if (ret == 0)
		ret = tfe_dev_make_rings(dev);
	if (ret < 0) {
		fprintf(stderr, "cannot make rings: %s\n", strerror(-ret));
		tfe_dev_close(dev);
	}
	return ret;
}

static void
walk_start(struct walk *walk, struct tfe_dev *dev)
{
	struct tfe_ring *ring = tfe_dev_transmitq(dev, 0);
	const struct tfe_region *region = &dev->mem.regions[0];

	*walk = (struct walk){
		.mask = ring->size - 1,
		.wrap = true,
		.desc = ring->desc,
		.avail = ring->avail,
		.used = ring->used,
		.pdesc = ring->pdesc,
		.gpa = region->gpa,
		.size_bytes = region->size_bytes,
		.va = region->va,
	};
	/* No kicks: the walk polls. */
	if (ring->packed)
		ring->device_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		ring->used->flags = VRING_USED_F_NO_NOTIFY;
}

int
bench_walk_measure(const struct bench_job *job, struct bench_sample *sample)
{
	const struct tfe_gen_conf gen = bench_sender(job);
	struct bench_loop *loop = bench_loop_create(job,
			job->point->packed ? walk_packed : walk_split);
	struct bench_link link = { 0 };
	struct walk walk;
	int ret;

	if (loop == NULL)
		return -ENOMEM;
	ret = frontend_alone(job, &link.dev);
	if (ret < 0)
		goto out;
	link.sends = true;
	ret = tfe_gen_create(&link.gen, &link.dev, 0, &gen);
	if (ret == 0) {
		walk_start(&walk, &link.dev);
		loop->arg = &walk;
		bench_loop_add(loop, &link);
		ret = bench_loop_measure(loop, sample);
	}
	tfe_gen_destroy(link.gen);
	tfe_dev_close(&link.dev);
out:
	bench_loop_free(loop);
	return ret;
}

static void
copy_packet(struct copy *copy, const struct rte_mbuf *m)
{
	uint8_t *to = (uint8_t *)copy->bufs.va + (uint64_t)copy->next * copy->stride_bytes;

	copy->next = copy->next + 1 == copy->nb_bufs ? 0 : copy->next + 1;
	for (to += sizeof(struct virtio_net_hdr_v1); m != NULL; m = m->next) {
		memcpy(to, rte_pktmbuf_mtod(m, const void *), m->data_len);
		to += m->data_len;
	}
}

static int
copy_step(struct bench_loop *loop)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t begin;
	unsigned int i;
	int ret = bench_make_burst(loop, mbufs);

	if (ret < 0)
		return ret;
	begin = rte_rdtsc();
	for (i = 0; i < BENCH_BURST; i++)
		copy_packet(loop->arg, mbufs[i]);
	/* As a port does within its burst. */
	rte_pktmbuf_free_bulk(mbufs, BENCH_BURST);
	bench_loop_count(loop, begin, BENCH_BURST);
	return 0;
}

int
bench_copy_measure(const struct bench_job *job, struct bench_sample *sample)
{
	uint32_t need_bytes = job->point->frame_bytes + (uint32_t)sizeof(struct virtio_net_hdr_v1);
	struct copy copy = {
		.stride_bytes = RTE_ALIGN_CEIL(RTE_MAX(need_bytes, (uint32_t)TFE_GEN_STRIDE),
				(uint32_t)RTE_CACHE_LINE_SIZE),
	};
	struct bench_loop *loop = bench_loop_create(job, copy_step);
	struct tfe_dev dev;
	int ret;

	if (loop == NULL)
		return -ENOMEM;
	ret = frontend_alone(job, &dev);
	if (ret < 0)
		goto out;
	/* As many bytes as a front-end's ring of small or of merged buffers has. */
	copy.nb_bufs = RTE_MAX(BENCH_RING_SIZE * (uint32_t)TFE_GEN_STRIDE / copy.stride_bytes, 1u);
	ret = tfe_mem_alloc(&dev.mem, 0, (uint64_t)copy.nb_bufs * copy.stride_bytes,
			RTE_CACHE_LINE_SIZE, &copy.bufs);
	if (ret == 0) {
		loop->arg = &copy;
		ret = bench_loop_measure(loop, sample);
	}
	tfe_dev_close(&dev);
out:
	bench_loop_free(loop);
	return ret;
}
