/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_port.h"

#include <errno.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#define CACHE_SIZE 256
#define NB_DESC    512
#define LINK_MS    5000

/* The same for all; asked for where the port has them. */
#define RX_OFFLOADS RTE_ETH_RX_OFFLOAD_SCATTER
#define TX_OFFLOADS RTE_ETH_TX_OFFLOAD_MULTI_SEGS

static struct rte_mempool *pool;

struct rte_mempool *
bench_pool(void)
{
	return pool;
}

int
bench_pool_create(unsigned int nb_mbufs)
{
	pool = rte_pktmbuf_pool_create("bench", nb_mbufs, CACHE_SIZE, 0,
			BENCH_ROOM + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "cannot make the mempool: %s\n", rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

static int
port_start(uint16_t id, bool interrupts)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = interrupts };
	struct rte_eth_dev_info info;
	int ret;

	ret = rte_eth_dev_info_get(id, &info);
	if (ret < 0)
		return ret;
	conf.rxmode.offloads = RX_OFFLOADS & info.rx_offload_capa;
	conf.txmode.offloads = TX_OFFLOADS & info.tx_offload_capa;
	ret = rte_eth_dev_configure(id, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(id, 0, NB_DESC, SOCKET_ID_ANY, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(id, 0, NB_DESC, SOCKET_ID_ANY, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(id);
	return ret;
}

int
bench_port_open(struct bench_port *port, const char *name, const char *devargs, bool interrupts)
{
	int ret;

	snprintf(port->name, sizeof(port->name), "%s", name);
	ret = rte_eal_hotplug_add("vdev", name, devargs);
	if (ret < 0) {
		fprintf(stderr, "cannot attach %s: %s\n", name, rte_strerror(-ret));
		return ret;
	}
	ret = rte_eth_dev_get_port_by_name(name, &port->id);
	if (ret == 0)
		ret = port_start(port->id, interrupts);
	if (ret < 0) {
		fprintf(stderr, "cannot start %s: %s\n", name, rte_strerror(-ret));
		rte_eal_hotplug_remove("vdev", name);
	}
	return ret;
}

void
bench_port_close(struct bench_port *port)
{
	int ret = rte_eth_dev_stop(port->id);

	if (ret == 0)
		ret = rte_eth_dev_close(port->id);
	if (ret == 0)
		ret = rte_eal_hotplug_remove("vdev", port->name);
	if (ret < 0)
		fprintf(stderr, "cannot detach %s: %s\n", port->name, rte_strerror(-ret));
}

bool
bench_port_accepts(const char *name, const char *devargs)
{
	uint32_t level = rte_log_get_global_level();
	int ret;

	rte_log_set_global_level(RTE_LOG_EMERG);
	ret = rte_eal_hotplug_add("vdev", name, devargs);
	rte_log_set_global_level(level);
	if (ret == 0)
		rte_eal_hotplug_remove("vdev", name);
	return ret == 0;
}

int
bench_port_wait_link(const struct bench_port *port)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * LINK_MS;
	struct rte_eth_link link;

	do {
		if (rte_eth_link_get_nowait(port->id, &link) == 0 &&
				link.link_status == RTE_ETH_LINK_UP)
			return 0;
	} while (rte_get_timer_cycles() < end);
	fprintf(stderr, "%s: link stays down\n", port->name);
	return -ETIMEDOUT;
}
