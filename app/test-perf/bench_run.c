/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "tfe.h"

#define BURST      32
#define RING_SIZE  1024
#define WARMUP_MS  100
#define LINK_MS    5000
#define MEM_BYTES  (UINT64_C(64) << 20)
#define CHECK_MASK 63

/** Bursts whose cycles are kept: the last ones of a measurement. */
#define NB_KEPT 16384

const char *
bench_kind_name(enum bench_kind kind)
{
	return kind == BENCH_RECEIVE ? "receive" : "transmit";
}

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *values, unsigned int nb)
{
	qsort(values, nb, sizeof(values[0]), compare_double);
	return nb % 2 ? values[nb / 2] : (values[nb / 2 - 1] + values[nb / 2]) / 2;
}

/** Moves bursts and counts. */
struct loop {
	uint16_t port;
	uint32_t frame_bytes;
	struct tfe_gen *gen; /**< To be polled between bursts; NULL: it has a thread. */
	uint64_t nb_packets;
	uint64_t nb_bursts;     /**< That moved packets. */
	double cycles[NB_KEPT]; /**< Per packet, of bursts that moved packets. */
};

/** Count a burst that began at a time. */
static void
loop_count(struct loop *loop, uint64_t begin, uint16_t nb)
{
	uint64_t end = rte_rdtsc();

	if (nb == 0)
		return;
	loop->cycles[loop->nb_bursts++ % NB_KEPT] = (double)(end - begin) / nb;
	loop->nb_packets += nb;
}

static void
receive_once(struct loop *loop)
{
	struct rte_mbuf *mbufs[BURST];
	uint64_t begin = rte_rdtsc();
	uint16_t nb = rte_eth_rx_burst(loop->port, 0, mbufs, BURST);

	loop_count(loop, begin, nb);
	rte_pktmbuf_free_bulk(mbufs, nb);
}

static void
transmit_once(struct loop *loop)
{
	struct rte_mbuf *mbufs[BURST];
	uint64_t begin;
	uint16_t nb, i;

	if (rte_pktmbuf_alloc_bulk(bench_pool(), mbufs, BURST) != 0)
		return;
	for (i = 0; i < BURST; i++) {
		mbufs[i]->data_len = (uint16_t)loop->frame_bytes;
		mbufs[i]->pkt_len = loop->frame_bytes;
	}
	begin = rte_rdtsc();
	nb = rte_eth_tx_burst(loop->port, 0, mbufs, BURST);
	loop_count(loop, begin, nb);
	rte_pktmbuf_free_bulk(&mbufs[nb], BURST - nb);
}

/** Move bursts until a deadline. */
static int
loop_run(struct loop *loop, enum bench_kind kind, unsigned int duration_ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * duration_ms;
	unsigned int calls = 0;

	loop->nb_packets = 0;
	loop->nb_bursts = 0;
	/* The clock is looked at now and then only. */
	while ((++calls & CHECK_MASK) != 0 || rte_rdtsc() < end) {
		if (loop->gen != NULL && tfe_gen_poll(loop->gen) < 0)
			return -EPROTO;
		if (kind == BENCH_RECEIVE)
			receive_once(loop);
		else
			transmit_once(loop);
	}
	return loop->nb_packets > 0 ? 0 : -ENODATA;
}

static int
generator_open(const struct bench_conf *conf, const struct bench_workload *workload,
		const char *path, struct tfe_dev *dev, struct tfe_gen **gen)
{
	struct tfe_dev_conf dev_conf = TFE_DEV_CONF_DEFAULT;
	const struct tfe_gen_conf gen_conf = {
		.dir = workload->kind == BENCH_RECEIVE ? TFE_GEN_TRANSMIT : TFE_GEN_RECEIVE,
		.layout = TFE_GEN_SINGLE,
		.touch = TFE_GEN_TOUCH_NONE,
		.min_burst = BURST,
		.frame_bytes = workload->frame_bytes,
		.buf_bytes = workload->frame_bytes,
	};
	int ret;

	dev_conf.path = path;
	dev_conf.polling = true;
	dev_conf.receiveq_size = RING_SIZE;
	dev_conf.transmitq_size = RING_SIZE;
	dev_conf.mem_bytes = MEM_BYTES;
	dev_conf.features |= TFE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (conf->hugepages)
		dev_conf.mem_flags |= TFE_MEM_HUGE;
	if (workload->packed) {
		dev_conf.features |= TFE_BIT(VIRTIO_F_RING_PACKED);
		dev_conf.required_features |= TFE_BIT(VIRTIO_F_RING_PACKED);
	}
	ret = tfe_dev_open(dev, &dev_conf);
	if (ret < 0) {
		fprintf(stderr, "front-end cannot connect to %s: %s\n", path, strerror(-ret));
		return ret;
	}
	ret = tfe_gen_create(gen, dev, 0, &gen_conf);
	if (ret < 0) {
		fprintf(stderr, "cannot make the generator: %s\n", strerror(-ret));
		tfe_dev_close(dev);
	}
	return ret;
}

/** Warm up, then measure. */
static int
measure_loop(const struct bench_conf *conf, const struct bench_workload *workload,
		struct loop *loop, struct bench_sample *sample)
{
	uint64_t begin, cycles;
	int ret;

	ret = loop_run(loop, workload->kind, WARMUP_MS);
	if (ret < 0)
		return ret;
	begin = rte_rdtsc();
	ret = loop_run(loop, workload->kind, conf->window_ms);
	cycles = rte_rdtsc() - begin;
	if (ret < 0)
		return ret;
	sample->nb_packets = loop->nb_packets;
	sample->mpps = (double)loop->nb_packets * (double)rte_get_tsc_hz() / (double)cycles / 1e6;
	sample->cycles = median(loop->cycles, (unsigned int)RTE_MIN(loop->nb_bursts, NB_KEPT));
	return 0;
}

static int
measure_port(const struct bench_conf *conf, const struct bench_workload *workload, int port,
		struct tfe_gen *gen, struct bench_sample *sample)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct tfe_worker worker = { 0 };
	struct tfe_gen_stats stats;
	int ret = 0, worker_ret = 0;

	if (loop == NULL)
		return -ENOMEM;
	loop->port = (uint16_t)port;
	loop->frame_bytes = workload->frame_bytes;
	if (conf->one_thread)
		loop->gen = gen;
	else
		ret = tfe_worker_start(&worker, &gen, 1, conf->frontend_cpu);
	if (ret == 0)
		ret = measure_loop(conf, workload, loop, sample);
	if (!conf->one_thread)
		worker_ret = tfe_worker_stop(&worker);
	if (ret == 0)
		ret = worker_ret;
	tfe_gen_stats(gen, &stats);
	sample->nb_kicks = stats.nb_kicks;
	if (ret < 0) {
		const char *why = tfe_gen_error(gen);

		fprintf(stderr, "no traffic: %s\n", why != NULL ? why : strerror(-ret));
	}
	free(loop);
	return ret;
}

int
bench_measure(const struct bench_conf *conf, const struct bench_workload *workload,
		const struct bench_backend *backend, struct bench_sample *sample)
{
	struct tfe_gen *gen = NULL;
	struct tfe_dev dev;
	char path[PATH_MAX];
	int port, ret;

	snprintf(path, sizeof(path), "%s/%s.sock", conf->dir, backend->vdev);
	port = bench_port_open(backend, path);
	if (port < 0)
		return port;
	ret = generator_open(conf, workload, path, &dev, &gen);
	if (ret < 0)
		goto err_close_port;
	ret = bench_port_wait_link(port, LINK_MS);
	if (ret < 0)
		fprintf(stderr, "%s: link stays down\n", backend->name);
	else
		ret = measure_port(conf, workload, port, gen, sample);
	tfe_gen_destroy(gen);
	tfe_dev_close(&dev);
err_close_port:
	bench_port_close(backend, port);
	return ret;
}

/** The medians of samples, field by field. */
static struct bench_sample
median_sample(const struct bench_sample *samples, unsigned int nb, double *scratch)
{
	struct bench_sample result = { 0 };
	unsigned int i;

	for (i = 0; i < nb; i++)
		scratch[i] = samples[i].mpps;
	result.mpps = median(scratch, nb);
	for (i = 0; i < nb; i++)
		scratch[i] = samples[i].cycles;
	result.cycles = median(scratch, nb);
	for (i = 0; i < nb; i++) {
		result.nb_packets += samples[i].nb_packets;
		result.nb_kicks += samples[i].nb_kicks;
	}
	return result;
}

int
bench_compare(const struct bench_conf *conf, const struct bench_workload *workload,
		const struct bench_backend *ours, const struct bench_backend *peer,
		struct bench_result *result)
{
	struct bench_sample *samples = calloc(2 * (size_t)conf->rounds, sizeof(*samples));
	double *scratch = calloc(conf->rounds, sizeof(*scratch));
	unsigned int i, turn;
	int ret = -ENOMEM;

	if (samples == NULL || scratch == NULL)
		goto out;
	for (i = 0; i < conf->rounds; i++) {
		for (turn = 0; turn < 2; turn++) {
			/* A B, B A, ...: neither always runs on the cooler machine. */
			bool is_peer = (turn + i) % 2 == 1;

			ret = bench_measure(conf, workload, is_peer ? peer : ours,
					&samples[is_peer ? conf->rounds + i : i]);
			if (ret < 0)
				goto out;
		}
	}
	result->ours = median_sample(samples, conf->rounds, scratch);
	result->peer = median_sample(&samples[conf->rounds], conf->rounds, scratch);
	for (i = 0; i < conf->rounds; i++)
		scratch[i] = samples[i].mpps / samples[conf->rounds + i].mpps;
	result->ratio = median(scratch, conf->rounds);
	result->ratio_min = scratch[0];
	result->ratio_max = scratch[conf->rounds - 1];
out:
	free(samples);
	free(scratch);
	return ret;
}
