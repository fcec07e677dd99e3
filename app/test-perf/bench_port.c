/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench.h"

#include <errno.h>
#include <limits.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define NB_MBUF    16383
#define CACHE_SIZE 256
#define MBUF_ROOM  (RTE_MBUF_DEFAULT_BUF_SIZE)
#define NB_DESC    512

static struct rte_mempool *pool;

struct rte_mempool *
bench_pool(void)
{
	return pool;
}

int
bench_pool_create(void)
{
	pool = rte_pktmbuf_pool_create("bench", NB_MBUF, CACHE_SIZE, 0, MBUF_ROOM, SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "cannot make the mempool: %s\n", rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

static int
port_start(uint16_t port)
{
	const struct rte_eth_conf conf = { 0 };
	int ret;

	ret = rte_eth_dev_configure(port, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port, 0, NB_DESC, SOCKET_ID_ANY, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port, 0, NB_DESC, SOCKET_ID_ANY, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(port);
	return ret;
}

int
bench_port_open(const struct bench_backend *backend, const char *path)
{
	char devargs[PATH_MAX];
	uint16_t port;
	int ret;

	snprintf(devargs, sizeof(devargs), "iface=%s%s%s", path, backend->devargs[0] ? "," : "",
			backend->devargs);
	ret = rte_eal_hotplug_add("vdev", backend->vdev, devargs);
	if (ret < 0) {
		fprintf(stderr, "cannot attach %s: %s\n", backend->vdev, rte_strerror(-ret));
		return ret;
	}
	ret = rte_eth_dev_get_port_by_name(backend->vdev, &port);
	if (ret == 0)
		ret = port_start(port);
	if (ret < 0) {
		fprintf(stderr, "cannot start %s: %s\n", backend->vdev, rte_strerror(-ret));
		rte_eal_hotplug_remove("vdev", backend->vdev);
		return ret;
	}
	return port;
}

void
bench_port_close(const struct bench_backend *backend, int port)
{
	int ret = rte_eth_dev_stop((uint16_t)port);

	if (ret == 0)
		ret = rte_eth_dev_close((uint16_t)port);
	if (ret == 0)
		ret = rte_eal_hotplug_remove("vdev", backend->vdev);
	if (ret < 0)
		fprintf(stderr, "cannot detach %s: %s\n", backend->vdev, rte_strerror(-ret));
}

int
bench_port_wait_link(int port, unsigned int timeout_ms)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * timeout_ms;
	struct rte_eth_link link;

	do {
		if (rte_eth_link_get_nowait((uint16_t)port, &link) == 0 &&
				link.link_status == RTE_ETH_LINK_UP)
			return 0;
	} while (rte_get_timer_cycles() < end);
	return -ETIMEDOUT;
}
