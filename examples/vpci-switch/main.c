/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * A learning switch whose ports come and go while it runs: those of machines that are started,
 * stopped and plugged in. It is small enough to be read at one go; what it is to show is
 *
 *  - that ports are set up when DPDK tells of them (RTE_ETH_EVENT_NEW) and detached when it tells
 *    that their device is going (RTE_ETH_EVENT_INTR_RMV),
 *  - that both events come on EAL's interrupt thread, where a port must neither be set up nor
 *    detached: the polling thread is told, and does it between two bursts.
 *
 * One thread polls all ports.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#define BURST_PACKETS   32
#define QUEUE_SLOTS     256
#define POOL_PACKETS    8191
#define POOL_CACHE      256
#define MAX_STATIONS    4096
#define MAX_NEWS        128
#define STATION_SECONDS 300

/** What the interrupt thread tells the polling thread: 4 bytes, as rings carry. */
struct news {
	uint16_t port_id;
	uint16_t is_new; /* Or going. */
};

/** A port of the switch. */
struct port {
	bool in_use;
	uint64_t nb_received;
	uint64_t nb_sent;
	uint64_t nb_dropped; /* For want of room in its ring. */
};

/** Where a station was last heard. */
struct station {
	uint16_t port;
	uint64_t heard; /* TSC. */
};

static struct port ports[RTE_MAX_ETHPORTS];
static struct station stations[MAX_STATIONS];
static struct rte_hash *addresses;
static struct rte_mempool *pool;
static struct rte_ring *news; /* Of struct news. */
static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	(void)number;
	stop = 1;
}

/** A port comes or goes. EAL's interrupt thread. */
static int
on_port_event(uint16_t port_id, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct news one = { port_id, type == RTE_ETH_EVENT_NEW };

	(void)arg;
	(void)ret;
	if (rte_ring_enqueue_elem(news, &one, sizeof(one)) != 0)
		fprintf(stderr, "port %u: too much at once, it is left out\n", port_id);
	return 0;
}

/** Set a port up and start it; says what is wrong. */
static void
add_port(uint16_t port_id)
{
	const struct rte_eth_conf conf = { .intr_conf.lsc = 0 };
	uint16_t nb_rx = QUEUE_SLOTS, nb_tx = QUEUE_SLOTS;
	char name[RTE_ETH_NAME_MAX_LEN] = "?";
	int socket = rte_eth_dev_socket_id(port_id);
	int ret;

	if (ports[port_id].in_use || !rte_eth_dev_is_valid_port(port_id))
		return;
	rte_eth_dev_get_name_by_port(port_id, name);
	ret = rte_eth_dev_configure(port_id, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &nb_rx, &nb_tx);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port_id, 0, nb_rx, (unsigned int)socket, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port_id, 0, nb_tx, (unsigned int)socket, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(port_id);
	if (ret == 0)
		ret = rte_eth_promiscuous_enable(port_id);
	if (ret != 0) {
		fprintf(stderr, "port %u (%s): can't be set up: %s\n", port_id, name,
				rte_strerror(-ret));
		return;
	}
	memset(&ports[port_id], 0, sizeof(ports[port_id]));
	ports[port_id].in_use = true;
	printf("port %u (%s): added\n", port_id, name);
}

static void
show_port(uint16_t port_id)
{
	const struct port *port = &ports[port_id];

	printf("port %u: %" PRIu64 " received, %" PRIu64 " sent, %" PRIu64 " dropped\n", port_id,
			port->nb_received, port->nb_sent, port->nb_dropped);
}

/** Stop a port and take it out of the switch. */
static void
close_port(uint16_t port_id)
{
	show_port(port_id);
	ports[port_id].in_use = false;
	rte_eth_dev_stop(port_id);
	rte_eth_dev_close(port_id);
}

/** A port's device is going: let go of both. */
static void
remove_port(uint16_t port_id)
{
	struct rte_eth_dev_info info;
	int ret;

	if (!ports[port_id].in_use)
		return;
	/* Before the port is closed: then nobody knows its device any more. */
	ret = rte_eth_dev_info_get(port_id, &info);
	close_port(port_id);
	if (ret == 0)
		ret = rte_dev_remove(info.device);
	if (ret != 0)
		fprintf(stderr, "port %u: can't be detached: %s\n", port_id, rte_strerror(-ret));
	else
		printf("port %u: removed\n", port_id);
}

/** Do what the interrupt thread has told. */
static void
handle_news(void)
{
	struct news one = { 0 };

	while (rte_ring_dequeue_elem(news, &one, sizeof(one)) == 0) {
		if (one.is_new)
			add_port(one.port_id);
		else
			remove_port(one.port_id);
	}
	fflush(stdout);
}

/** An address as the key of the table, which is read by words. */
static uint64_t
key_of(const struct rte_ether_addr *address)
{
	uint64_t key = 0;

	memcpy(&key, address, sizeof(*address));
	return key;
}

/** Remember where a packet's sender is. */
static void
learn(const struct rte_ether_addr *address, uint16_t port_id, uint64_t now)
{
	const uint64_t key = key_of(address);
	int slot;

	if (!rte_is_unicast_ether_addr(address))
		return;
	slot = rte_hash_lookup(addresses, &key);
	if (slot < 0)
		slot = rte_hash_add_key(addresses, &key);
	/* A table that is full forgets nobody: what it does not know is flooded. */
	if (slot < 0)
		return;
	stations[slot].port = port_id;
	stations[slot].heard = now;
}

/** The port of a packet's receiver; RTE_MAX_ETHPORTS: all. */
static uint16_t
find(const struct rte_ether_addr *address, uint64_t now)
{
	const uint64_t key = key_of(address);
	int slot = rte_is_unicast_ether_addr(address) ? rte_hash_lookup(addresses, &key) : -1;

	if (slot < 0)
		return RTE_MAX_ETHPORTS;
	if (now - stations[slot].heard > STATION_SECONDS * rte_get_tsc_hz()) {
		rte_hash_del_key(addresses, &key);
		return RTE_MAX_ETHPORTS;
	}
	return ports[stations[slot].port].in_use ? stations[slot].port : RTE_MAX_ETHPORTS;
}

static void
send_to(uint16_t port_id, struct rte_mbuf *m)
{
	if (rte_eth_tx_burst(port_id, 0, &m, 1) == 1) {
		ports[port_id].nb_sent++;
		return;
	}
	ports[port_id].nb_dropped++;
	rte_pktmbuf_free(m);
}

/** Send a packet to all ports but one: all share its mbuf, which nobody writes to. */
static void
flood(uint16_t from, struct rte_mbuf *m)
{
	uint16_t port_id;

	RTE_ETH_FOREACH_DEV(port_id) {
		if (port_id == from || !ports[port_id].in_use)
			continue;
		rte_pktmbuf_refcnt_update(m, 1);
		send_to(port_id, m);
	}
	rte_pktmbuf_free(m);
}

/** Receive a burst from a port, and pass it on. */
static void
poll_port(uint16_t port_id)
{
	struct rte_mbuf *burst[BURST_PACKETS];
	uint16_t nb = rte_eth_rx_burst(port_id, 0, burst, BURST_PACKETS);
	uint64_t now = nb > 0 ? rte_rdtsc() : 0;
	const struct rte_ether_hdr *ether;
	uint16_t i, to;

	ports[port_id].nb_received += nb;
	for (i = 0; i < nb; i++) {
		ether = rte_pktmbuf_mtod(burst[i], const struct rte_ether_hdr *);
		learn(&ether->src_addr, port_id, now);
		to = find(&ether->dst_addr, now);
		if (to == RTE_MAX_ETHPORTS)
			flood(port_id, burst[i]);
		else if (to == port_id)
			rte_pktmbuf_free(burst[i]);
		else
			send_to(to, burst[i]);
	}
}

/** Make what all ports share. Returns what is missing, or NULL. */
static const char *
make_tables(void)
{
	const struct rte_hash_parameters parameters = {
		.name = "stations",
		.entries = MAX_STATIONS,
		.key_len = sizeof(uint64_t),
		.hash_func = rte_jhash,
		.socket_id = (int)rte_socket_id(),
	};

	pool = rte_pktmbuf_pool_create("packets", POOL_PACKETS, POOL_CACHE, 0,
			RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
	if (pool == NULL)
		return "packet buffers";
	addresses = rte_hash_create(&parameters);
	if (addresses == NULL)
		return "a table of stations";
	news = rte_ring_create_elem("news", sizeof(struct news), MAX_NEWS, (int)rte_socket_id(),
			RING_F_SC_DEQ);
	if (news == NULL)
		return "a ring";
	return NULL;
}

int
main(int argc, char **argv)
{
	const char *missing;
	uint16_t port_id;

	if (rte_eal_init(argc, argv) < 0)
		rte_exit(EXIT_FAILURE, "EAL: %s\n", rte_strerror(rte_errno));
	missing = make_tables();
	if (missing != NULL)
		rte_exit(EXIT_FAILURE, "no memory for %s: %s\n", missing, rte_strerror(rte_errno));
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	/* First the callbacks, then the ports that are there: one of both finds each port. */
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, on_port_event, NULL);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_INTR_RMV, on_port_event, NULL);
	RTE_ETH_FOREACH_DEV(port_id)
		add_port(port_id);
	printf("switching; SIGINT ends it\n");
	fflush(stdout);
	while (!stop) {
		if (!rte_ring_empty(news))
			handle_news();
		RTE_ETH_FOREACH_DEV(port_id)
			if (ports[port_id].in_use)
				poll_port(port_id);
	}
	RTE_ETH_FOREACH_DEV(port_id)
		if (ports[port_id].in_use)
			close_port(port_id);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
