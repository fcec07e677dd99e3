/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_memif.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "bench_traffic.h"

/** log2 of BENCH_RING_SIZE, as memif wants it. */
#define RING_SIZE_LOG2 10

/* Opened once and never closed: net_memif of DPDK 22.11 frees memory twice when it is. */
static struct bench_port ports[2];
static unsigned int nb_ports;

/** The other side: a port, and the thread that moves bursts on it. */
struct partner {
	struct bench_loop *loop; /**< Its own, to make packets with. */
	bench_step_fn step;
	bool registered; /**< Valid once the thread has ended. */
	bool stop;       /**< Atomic: written by the back-end, read by the thread. */
};

static void *
partner_main(void *arg)
{
	struct partner *partner = arg;
	int ret = 0;

	/* For the mempool's cache. */
	partner->registered = rte_thread_register() == 0;
	while (ret == 0 && !__atomic_load_n(&partner->stop, __ATOMIC_RELAXED))
		ret = partner->step(partner->loop);
	if (partner->registered)
		rte_thread_unregister();
	return NULL;
}

/** Server first, then the client that connects to it. */
static int
open_ports(const struct bench_job *job)
{
	static const char *const roles[] = { "server", "client" };
	char name[BENCH_NAME_LEN], devargs[PATH_MAX + 128], path[PATH_MAX];
	unsigned int i;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/memif.sock", job->conf->dir);
	for (i = 0; i < 2 && ret == 0; i++) {
		snprintf(name, sizeof(name), "net_memif%u", i);
		/* A path and not an abstract name: the folder is private. */
		snprintf(devargs, sizeof(devargs),
				"role=%s,id=0,rsize=%d,socket-abstract=no,socket=%s", roles[i],
				RING_SIZE_LOG2, path);
		ret = bench_port_open(&ports[i], name, devargs, false);
		nb_ports += ret == 0;
	}
	for (i = 0; i < 2 && ret == 0; i++)
		ret = bench_port_wait_link(&ports[i]);
	unlink(path);
	return ret;
}

/** Move bursts on both ports, and measure the first. */
static int
measure(const struct bench_job *job, struct bench_loop *loop, struct partner *partner,
		struct bench_sample *sample)
{
	pthread_t thread = 0;
	int ret;

	loop->rx_port = loop->tx_port = ports[0].id;
	partner->loop->rx_port = partner->loop->tx_port = ports[1].id;
	ret = bench_thread_start(job, partner_main, partner, &thread);
	if (ret < 0)
		return ret;
	ret = bench_loop_measure(loop, sample);
	__atomic_store_n(&partner->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return ret;
}

/** Take what the last measurement has left on the way. */
static void
drain(void)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	unsigned int i;
	uint16_t nb;

	for (i = 0; i < 2; i++)
		while ((nb = rte_eth_rx_burst(ports[i].id, 0, mbufs, BENCH_BURST)) > 0)
			rte_pktmbuf_free_bulk(mbufs, nb);
}

int
bench_memif_measure(const struct bench_job *job, bench_step_fn step, struct bench_sample *sample)
{
	struct bench_loop *loop = bench_loop_create(job, step);
	struct partner partner = {
		.step = step == bench_receive_step ? bench_transmit_step : bench_receive_step,
		.loop = bench_loop_create(job, NULL),
	};
	int ret = -ENOMEM;

	if (loop != NULL && partner.loop != NULL)
		ret = nb_ports == 0 ? open_ports(job) : 0;
	if (ret == 0 && nb_ports < 2)
		ret = -ENODEV;
	if (ret == 0) {
		drain();
		ret = measure(job, loop, &partner, sample);
	}
	bench_loop_free(partner.loop);
	bench_loop_free(loop);
	return ret;
}

bool
bench_memif_is_open(void)
{
	return nb_ports > 0;
}
