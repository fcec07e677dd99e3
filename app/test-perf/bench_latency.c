/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* W6: one packet in flight; the back-end sends back what it gets. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench_port.h"

/** Round trips for each millisecond that a measurement may take: about what fits. */
#define TRIPS_PER_MS 200

#define TRIP_TIMEOUT_MS 2000

/** The front-end's thread. */
struct pinger {
	struct tfe_dev *dev;
	struct tfe_ping_conf conf;
	struct tfe_ping_result result;
	int error;
	bool done; /**< Atomic: written by the thread, read by the back-end. */
};

static void *
pinger_main(void *arg)
{
	struct pinger *pinger = arg;

	pinger->error = tfe_ping(pinger->dev, 0, &pinger->conf, &pinger->result);
	/* The result before the flag; the partner is the back-end's load-acquire. */
	__atomic_store_n(&pinger->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/** Send back all there is until the front-end is done. */
static void
echo(uint16_t port, const struct pinger *pinger)
{
	struct rte_mbuf *mbufs[BENCH_BURST];

	while (!__atomic_load_n(&pinger->done, __ATOMIC_ACQUIRE)) {
		uint16_t nb = rte_eth_rx_burst(port, 0, mbufs, BENCH_BURST), nb_taken;

		if (nb == 0)
			continue;
		nb_taken = rte_eth_tx_burst(port, 0, mbufs, nb);
		rte_pktmbuf_free_bulk(&mbufs[nb_taken], nb - nb_taken);
	}
}

static int
ping(const struct bench_job *job, struct bench_link *link, struct bench_sample *sample)
{
	struct pinger pinger = {
		.dev = &link->dev,
		.conf = {
			.frame_bytes = job->point->frame_bytes,
			.nb_packets = (uint64_t)TRIPS_PER_MS * job->conf->window_ms,
			.timeout_ms = TRIP_TIMEOUT_MS,
		},
	};
	pthread_t thread;
	int ret;

	pinger.conf.nb_warmup = pinger.conf.nb_packets / 10;
	ret = bench_thread_start(job, pinger_main, &pinger, &thread);
	if (ret == 0) {
		echo(link->port.id, &pinger);
		pthread_join(thread, NULL);
		ret = pinger.error;
	}
	if (ret == 0 && pinger.result.nb_bad > 0)
		ret = -EBADMSG;
	if (ret < 0) {
		fprintf(stderr, "%s: no round trips: %s\n", job->contender->name, strerror(-ret));
		return ret;
	}
	*sample = (struct bench_sample){
		.valid = true,
		.values = { (double)pinger.result.p50_ns, (double)pinger.result.p99_ns,
				(double)pinger.result.p999_ns },
		.nb_syscalls = UINT64_MAX,
		.lost = BENCH_LOST_UNKNOWN,
		.features = link->dev.features,
	};
	return 0;
}

static int
latency_measure(const struct bench_job *job, struct bench_sample *sample)
{
	const struct bench_link_conf conf = { 0 };
	struct bench_link link = { 0 };
	int ret;

	ret = bench_link_open(job, &conf, &link);
	if (ret == 0)
		ret = ping(job, &link, sample);
	bench_link_close(&link);
	return ret;
}

const struct bench_family bench_latency = {
	.nb_metrics = 3,
	.metrics = { { "p50", "ns", true }, { "p99", "ns", true }, { "p99.9", "ns", true } },
	.measure = latency_measure,
	.needs_two_threads = true,
};
