/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Waits for packets on all Rx queues of the first port without polling, and says what has woken
 * it: "woken by queue N: M packets". It ends when it has as many packets as it was told to wait
 * for, or after 20 seconds without any.
 */

#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_mbuf.h>

#define NB_MBUFS 4095
#define NB_DESC  256
#define BURST    32
#define WAIT_MS  20000

/** What stands for a queue in an event. */
static uint16_t queue_ids[RTE_MAX_QUEUES_PER_PORT];

static int
set_up_port(uint16_t nb_queues)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create("rx_intr", NB_MBUFS, 0, 0,
			RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
	struct rte_eth_conf conf = { .intr_conf.rxq = 1 };
	uint16_t queue;
	int ret;

	if (pool == NULL)
		return -1;
	ret = rte_eth_dev_configure(0, nb_queues, nb_queues, &conf);
	for (queue = 0; ret == 0 && queue < nb_queues; queue++) {
		ret = rte_eth_rx_queue_setup(0, queue, NB_DESC, rte_socket_id(), NULL, pool);
		if (ret == 0)
			ret = rte_eth_tx_queue_setup(0, queue, NB_DESC, rte_socket_id(), NULL);
	}
	if (ret == 0)
		ret = rte_eth_dev_start(0);
	for (queue = 0; ret == 0 && queue < nb_queues; queue++) {
		queue_ids[queue] = queue;
		ret = rte_eth_dev_rx_intr_ctl_q(0, queue, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD,
				&queue_ids[queue]);
		if (ret == 0)
			ret = rte_eth_dev_rx_intr_enable(0, queue);
	}
	return ret;
}

/** Take all that a queue has, with its interrupt off meanwhile. */
static unsigned int
drain(uint16_t queue)
{
	struct rte_mbuf *bufs[BURST];
	unsigned int total = 0;
	uint16_t nb;

	rte_eth_dev_rx_intr_disable(0, queue);
	do {
		nb = rte_eth_rx_burst(0, queue, bufs, BURST);
		total += nb;
		if (nb > 0)
			rte_pktmbuf_free_bulk(bufs, nb);
	} while (nb > 0);
	rte_eth_dev_rx_intr_enable(0, queue);
	return total;
}

/** Usage: rx_intr EAL-OPTIONS -- NB-QUEUES NB-PACKETS */
int
main(int argc, char **argv)
{
	struct rte_epoll_event event;
	unsigned int wanted;
	unsigned int total = 0;
	int args = rte_eal_init(argc, argv);

	if (args < 0 || argc - args != 3)
		return 2;
	wanted = (unsigned int)atoi(argv[args + 2]);
	if (set_up_port((uint16_t)atoi(argv[args + 1])) != 0)
		return 3;
	printf("waiting\n");
	fflush(stdout);
	while (total < wanted && rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, WAIT_MS) == 1) {
		uint16_t queue = *(const uint16_t *)event.epdata.data;
		unsigned int nb = drain(queue);

		total += nb;
		printf("woken by queue %u: %u packets\n", queue, nb);
		fflush(stdout);
	}
	printf("the end: %u packets\n", total);
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	return total < wanted;
}
