/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* W4 and W5: packets of one front-end go to another. */

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "bench_loop.h"

/** Links of a service chain by way of a host switch that lead to the appliance. */
#define NB_INNER 2

/** virtio_user says that it has none, if it is not given one. */
#define INNER_MAC "02:00:00:00:00:01"

/** A hop of the host switch to the appliance: a back-end port and the appliance's front-end. */
struct inner {
	struct bench_port host;
	struct bench_port appliance;
	bool has_host;
	bool has_appliance;
};

/** The host switch's way round: what is moved, in this order. */
struct chain {
	struct inner inner[NB_INNER];
	struct hop {
		uint16_t rx_port;
		uint16_t tx_port;
	} hops[NB_INNER + 1];
};

static inline void
swap_macs(struct rte_mbuf *m)
{
	struct rte_ether_hdr *hdr = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ether_addr addr = hdr->dst_addr;

	hdr->dst_addr = hdr->src_addr;
	hdr->src_addr = addr;
}

/** Move a burst from port to port; what is not taken is dropped. @return packets taken. */
static inline uint16_t
forward(struct bench_loop *loop, uint16_t rx_port, uint16_t tx_port, bool macswap)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t nb = rte_eth_rx_burst(rx_port, 0, mbufs, BENCH_BURST), nb_taken, i;

	if (nb == 0)
		return 0;
	for (i = 0; macswap && i < nb; i++)
		swap_macs(mbufs[i]);
	nb_taken = rte_eth_tx_burst(tx_port, 0, mbufs, nb);
	loop->nb_dropped += nb - nb_taken;
	rte_pktmbuf_free_bulk(&mbufs[nb_taken], nb - nb_taken);
	return nb_taken;
}

static int
io_step(struct bench_loop *loop)
{
	uint64_t begin = rte_rdtsc();

	bench_loop_count(loop, begin, forward(loop, loop->rx_port, loop->tx_port, false));
	return 0;
}

static int
macswap_step(struct bench_loop *loop)
{
	uint64_t begin = rte_rdtsc();

	bench_loop_count(loop, begin, forward(loop, loop->rx_port, loop->tx_port, true));
	return 0;
}

/** All hops in turn: the host switch, the appliance, the host switch. */
static int
chain_step(struct bench_loop *loop)
{
	const struct chain *chain = loop->arg;
	uint64_t begin = rte_rdtsc();
	uint16_t nb = 0;
	unsigned int i;

	for (i = 0; i < NB_INNER + 1; i++)
		nb = forward(loop, chain->hops[i].rx_port, chain->hops[i].tx_port, false);
	bench_loop_count(loop, begin, nb);
	return 0;
}

static void
inner_close(struct inner *inner)
{
	if (inner->has_appliance)
		bench_port_close(&inner->appliance);
	if (inner->has_host)
		bench_port_close(&inner->host);
}

static int
inner_open_host(const struct bench_job *job, unsigned int index, struct inner *inner)
{
	char name[BENCH_NAME_LEN], devargs[PATH_MAX + 128];
	int ret;

	snprintf(name, sizeof(name), "%s_inner%u", job->contender->driver, index);
	snprintf(devargs, sizeof(devargs), "iface=%s/inner%u.sock,%s", job->conf->dir, index,
			job->contender->devargs);
	ret = bench_port_open(&inner->host, name, devargs, false);
	inner->has_host = ret == 0;
	return ret;
}

static int
inner_open_appliance(const struct bench_job *job, unsigned int index, struct inner *inner)
{
	char name[BENCH_NAME_LEN], devargs[PATH_MAX + 128];
	int ret;

	snprintf(name, sizeof(name), "net_virtio_user_inner%u", index);
	snprintf(devargs, sizeof(devargs),
			"path=%s/inner%u.sock,queue_size=%u,packed_vq=%d,mac=" INNER_MAC,
			job->conf->dir, index, BENCH_RING_SIZE, job->point->packed);
	ret = bench_port_open(&inner->appliance, name, devargs, false);
	inner->has_appliance = ret == 0;
	return ret == 0 ? bench_port_wait_link(&inner->host) : ret;
}

/** The host switch's ports to the appliance. They come before the links: net_vhost's thread sees
 * new sockets when it has something else to do.
 */
static int
chain_open_hosts(const struct bench_job *job, struct chain *chain)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < NB_INNER && ret == 0; i++)
		ret = inner_open_host(job, i, &chain->inner[i]);
	return ret;
}

/** The appliance, reached by two hops of a host switch. */
static int
chain_open(const struct bench_job *job, struct bench_loop *loop, struct chain *chain)
{
	const struct inner *inner = chain->inner;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < NB_INNER && ret == 0; i++)
		ret = inner_open_appliance(job, i, &chain->inner[i]);
	chain->hops[0] = (struct hop){ loop->rx_port, inner[0].host.id };
	chain->hops[1] = (struct hop){ inner[0].appliance.id, inner[1].appliance.id };
	chain->hops[2] = (struct hop){ inner[1].host.id, loop->tx_port };
	loop->arg = chain;
	loop->step = chain_step;
	return ret;
}

static void
chain_close(struct chain *chain)
{
	unsigned int i;

	for (i = 0; i < NB_INNER; i++)
		inner_close(&chain->inner[i]);
}

/** Two ports, each with a front-end: one sends, one receives. */
static int
open_links(const struct bench_job *job, struct bench_link *links, struct bench_loop *loop)
{
	const struct tfe_gen_conf gens[] = { bench_sender(job), bench_receiver(job) };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		const struct bench_link_conf conf = { .index = i, .gen = &gens[i] };
		int ret = bench_link_open(job, &conf, &links[i]);

		if (ret < 0)
			return ret;
		bench_loop_add(loop, &links[i]);
	}
	loop->rx_port = links[0].port.id;
	loop->tx_port = links[1].port.id;
	return 0;
}

static int
forward_measure(const struct bench_job *job, struct bench_sample *sample)
{
	bool is_chain = job->contender->kind == BENCH_HOST_SWITCH;
	bool macswap = job->point->workload->macswap;
	struct bench_loop *loop = bench_loop_create(job, macswap ? macswap_step : io_step);
	struct bench_link links[2] = { 0 };
	struct chain chain = { 0 };
	int ret = -ENOMEM;

	if (loop != NULL)
		ret = is_chain ? chain_open_hosts(job, &chain) : 0;
	if (ret == 0)
		ret = open_links(job, links, loop);
	if (ret == 0 && is_chain)
		ret = chain_open(job, loop, &chain);
	if (ret == 0)
		ret = bench_loop_measure(loop, sample);
	chain_close(&chain);
	bench_link_close(&links[1]);
	bench_link_close(&links[0]);
	bench_loop_free(loop);
	return ret;
}

const struct bench_family bench_forward = {
	.nb_metrics = 1,
	.metrics = { { "", "Mpps", false } },
	.measure = forward_measure,
	.has_proof = true,
};
