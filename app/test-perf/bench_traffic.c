/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* W1, W2 and W3: one front-end, packets in one direction. */

#include "bench_traffic.h"

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench_bare.h"
#include "bench_memif.h"

/** Look at a received packet: the front-end numbered them. */
static int
check_packet(struct bench_loop *loop, const struct rte_mbuf *m)
{
	const void *frame = rte_pktmbuf_read(m, 0, m->pkt_len, loop->frame);
	uint16_t stream;
	uint64_t seq;

	if (m->pkt_len != loop->job->point->frame_bytes || frame == NULL ||
			tfe_frame_check(frame, m->pkt_len, &stream, &seq) != TFE_FRAME_GOOD ||
			seq != loop->seq) {
		fprintf(stderr, "%s: packet %llu is damaged, missing or doubled\n",
				loop->job->contender->name, (unsigned long long)loop->seq);
		return -EBADMSG;
	}
	loop->seq++;
	return 0;
}

int
bench_receive_step(struct bench_loop *loop)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t begin = rte_rdtsc();
	uint16_t nb = rte_eth_rx_burst(loop->rx_port, 0, mbufs, BENCH_BURST), i;
	int ret = 0;

	bench_loop_count(loop, begin, nb);
	for (i = 0; loop->job->proof && i < nb && ret == 0; i++)
		ret = check_packet(loop, mbufs[i]);
	rte_pktmbuf_free_bulk(mbufs, nb);
	return ret;
}

/** Make one packet of mbufs that are there. */
static struct rte_mbuf *
make_packet(struct rte_mbuf **segs, unsigned int nb_segs, uint32_t frame_bytes)
{
	struct rte_mbuf *head = segs[0];
	unsigned int i;

	head->pkt_len = frame_bytes;
	head->nb_segs = (uint16_t)nb_segs;
	for (i = 0; i < nb_segs; i++) {
		uint32_t part = RTE_MIN(frame_bytes, (uint32_t)BENCH_ROOM);

		segs[i]->data_len = (uint16_t)part;
		segs[i]->next = i + 1 < nb_segs ? segs[i + 1] : NULL;
		frame_bytes -= part;
	}
	return head;
}

/** Number a packet, and write what follows from that. */
static void
fill_packet(struct bench_loop *loop, struct rte_mbuf *m)
{
	const uint8_t *from = loop->frame;

	tfe_frame_build(loop->frame, m->pkt_len, 0, loop->seq++);
	for (; m != NULL; m = m->next) {
		memcpy(rte_pktmbuf_mtod(m, void *), from, m->data_len);
		from += m->data_len;
	}
}

int
bench_make_burst(struct bench_loop *loop, struct rte_mbuf **packets)
{
	uint32_t frame_bytes = loop->job->point->frame_bytes;
	unsigned int nb_segs = (frame_bytes + BENCH_ROOM - 1) / BENCH_ROOM, i;
	struct rte_mbuf *segs[BENCH_BURST * BENCH_MAX_SEGS];

	if (rte_pktmbuf_alloc_bulk(bench_pool(), segs, BENCH_BURST * nb_segs) != 0)
		return -ENOMEM;
	for (i = 0; i < BENCH_BURST; i++)
		packets[i] = make_packet(&segs[i * nb_segs], nb_segs, frame_bytes);
	return 0;
}

int
bench_transmit_step(struct bench_loop *loop)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t begin;
	uint16_t nb, i;
	int ret = bench_make_burst(loop, mbufs);

	if (ret < 0)
		return ret;
	if (loop->job->proof) {
		uint64_t seq = loop->seq;

		for (i = 0; i < BENCH_BURST; i++)
			fill_packet(loop, mbufs[i]);
		loop->seq = seq;
	}
	begin = rte_rdtsc();
	nb = rte_eth_tx_burst(loop->tx_port, 0, mbufs, BENCH_BURST);
	bench_loop_count(loop, begin, nb);
	loop->seq += nb;
	rte_pktmbuf_free_bulk(&mbufs[nb], BENCH_BURST - nb);
	return 0;
}

/** A port, a front-end, and a step between them. */
static int
measure_port(const struct bench_job *job, const struct tfe_gen_conf *gen, bench_step_fn step,
		struct bench_sample *sample)
{
	const struct bench_link_conf conf = { .gen = gen };
	struct bench_loop *loop = bench_loop_create(job, step);
	struct bench_link link = { 0 };
	int ret = -ENOMEM;

	if (loop != NULL)
		ret = bench_link_open(job, &conf, &link);
	if (ret == 0) {
		bench_loop_add(loop, &link);
		loop->rx_port = link.port.id;
		loop->tx_port = link.port.id;
		ret = bench_loop_measure(loop, sample);
	}
	bench_link_close(&link);
	bench_loop_free(loop);
	return ret;
}

static int
receive_measure(const struct bench_job *job, struct bench_sample *sample)
{
	const struct tfe_gen_conf gen = bench_sender(job);

	if (job->contender->kind == BENCH_MEMIF)
		return bench_memif_measure(job, bench_receive_step, sample);
	return measure_port(job, &gen, bench_receive_step, sample);
}

static int
transmit_measure(const struct bench_job *job, struct bench_sample *sample)
{
	const struct tfe_gen_conf gen = bench_receiver(job);

	if (job->contender->kind == BENCH_COPY)
		return bench_copy_measure(job, sample);
	if (job->contender->kind == BENCH_MEMIF)
		return bench_memif_measure(job, bench_transmit_step, sample);
	return measure_port(job, &gen, bench_transmit_step, sample);
}

/** The same as W1 and W2, and the walk; the figure is cycles. */
static int
floor_measure(const struct bench_job *job, struct bench_sample *sample)
{
	const struct tfe_gen_conf gen = bench_sender(job);
	int ret;

	if (job->contender->kind == BENCH_WALK)
		ret = bench_walk_measure(job, sample);
	else
		ret = measure_port(job, &gen, bench_receive_step, sample);
	sample->values[0] = sample->cycles;
	return ret;
}

const struct bench_family bench_receive = {
	.nb_metrics = 1,
	.metrics = { { "", "Mpps", false } },
	.measure = receive_measure,
	.has_proof = true,
};

const struct bench_family bench_transmit = {
	.nb_metrics = 1,
	.metrics = { { "", "Mpps", false } },
	.measure = transmit_measure,
	.has_proof = true,
};

const struct bench_family bench_floor = {
	.nb_metrics = 1,
	.metrics = { { "", "cycles/packet", true } },
	.measure = floor_measure,
};
