/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The back-end of a soak: an application with many ports that sends back on each what it receives
 * there, never drops a packet by itself, and does to its ports what it is told on standard input:
 *
 *   stop PORT, start PORT      the port, which is not polled meanwhile
 *   unplug PORT, plug PORT     the device
 *   hoard, release             all mbufs that nobody has
 *   forget                     packets that wait for a front-end, whose memory they may be
 *   quit                       close all; fails where mbufs are missing then
 *
 * Each is answered by one line, "ok" or "failed".
 */

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#define MAX_PORTS RTE_MAX_ETHPORTS
#define BURST     32
#define NB_MBUFS  8191u
#define NB_DESC   256
#define ROOM      (2048 + RTE_PKTMBUF_HEADROOM)

/** A port. What is pending is the forwarder's while the port is on, and else the main thread's. */
struct port {
	char name[RTE_DEV_NAME_MAX_LEN];
	const char *devargs; /**< NULL: the port comes with another one. */
	uint16_t id;
	bool is_attached;
	bool is_on; /**< Atomic. */
	uint16_t nb_pending;
	struct rte_mbuf *pending[BURST];
};

static struct port ports[MAX_PORTS];
static unsigned int nb_ports;
static struct rte_mempool *pool;
static struct rte_mbuf *hoarded[NB_MBUFS];
static unsigned int nb_hoarded;
static uint64_t nb_rounds; /* Atomic: of the forwarder. */
static bool is_over;       /* Atomic. */

static void
drop_pending(struct port *port)
{
	rte_pktmbuf_free_bulk(port->pending, port->nb_pending);
	port->nb_pending = 0;
}

/** Send back what was received, and receive more only then. Returns whether there was any. */
static bool
forward(struct port *port)
{
	uint16_t nb;

	if (port->nb_pending == 0)
		port->nb_pending = rte_eth_rx_burst(port->id, 0, port->pending, BURST);
	if (port->nb_pending == 0)
		return false;
	nb = rte_eth_tx_burst(port->id, 0, port->pending, port->nb_pending);
	port->nb_pending -= nb;
	memmove(port->pending, port->pending + nb, port->nb_pending * sizeof(port->pending[0]));
	return nb > 0;
}

static int
forwarder_main(void *arg)
{
	unsigned int i, nb_idle = 0;

	(void)arg;
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		nb_idle++;
		for (i = 0; i < nb_ports; i++)
			/* After the port was started; the partner is port_on(). */
			if (__atomic_load_n(&ports[i].is_on, __ATOMIC_ACQUIRE) &&
					forward(&ports[i]))
				nb_idle = 0;
		/* All that this round did, before its end; the partner is port_off(). */
		__atomic_add_fetch(&nb_rounds, 1, __ATOMIC_ACQ_REL);
		if (nb_idle > 0)
			sched_yield();
	}
	return 0;
}

static void
port_on(struct port *port)
{
	__atomic_store_n(&port->is_on, true, __ATOMIC_RELEASE);
}

/** Have the forwarder leave a port alone: a round that began after this does. */
static void
port_off(struct port *port)
{
	uint64_t end;

	__atomic_store_n(&port->is_on, false, __ATOMIC_SEQ_CST);
	end = __atomic_load_n(&nb_rounds, __ATOMIC_ACQUIRE) + 2;
	while (__atomic_load_n(&nb_rounds, __ATOMIC_ACQUIRE) < end)
		sched_yield();
	drop_pending(port);
}

static int
port_set_up(struct port *port)
{
	struct rte_eth_conf conf = {
		.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
		.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
	};
	int ret = rte_eth_dev_get_port_by_name(port->name, &port->id);

	if (ret == 0)
		ret = rte_eth_dev_configure(port->id, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port->id, 0, NB_DESC, SOCKET_ID_ANY, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(port->id, 0, NB_DESC, SOCKET_ID_ANY, NULL);
	return ret;
}

static int
do_start(struct port *port)
{
	int ret = rte_eth_dev_start(port->id);

	if (ret == 0)
		port_on(port);
	return ret;
}

static int
do_stop(struct port *port)
{
	port_off(port);
	return rte_eth_dev_stop(port->id);
}

static int
do_plug(struct port *port)
{
	int ret = port->devargs == NULL ? 0
					: rte_eal_hotplug_add("vdev", port->name, port->devargs);

	if (ret < 0)
		return ret;
	port->is_attached = true;
	ret = port_set_up(port);
	return ret == 0 ? do_start(port) : ret;
}

static int
do_unplug(struct port *port)
{
	int ret = do_stop(port);

	if (ret == 0)
		ret = rte_eth_dev_close(port->id);
	if (ret == 0)
		ret = rte_eal_hotplug_remove("vdev", port->name);
	port->is_attached = false;
	return ret;
}

static int
do_hoard(struct port *port)
{
	struct rte_mbuf *m;

	(void)port;
	while (nb_hoarded < NB_MBUFS && (m = rte_pktmbuf_alloc(pool)) != NULL)
		hoarded[nb_hoarded++] = m;
	return 0;
}

static int
do_release(struct port *port)
{
	(void)port;
	rte_pktmbuf_free_bulk(hoarded, nb_hoarded);
	nb_hoarded = 0;
	return 0;
}

static int
do_forget(struct port *port)
{
	unsigned int i;

	(void)port;
	for (i = 0; i < nb_ports; i++)
		if (ports[i].is_on) {
			port_off(&ports[i]);
			port_on(&ports[i]);
		}
	return 0;
}

/** The end: nobody may have an mbuf when all ports are gone. */
static int
do_quit(struct port *port)
{
	unsigned int i, nb;
	int ret = 0;

	do_release(port);
	for (i = nb_ports; i-- > 0 && ret == 0;)
		if (ports[i].is_attached)
			ret = do_unplug(&ports[i]);
	__atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
	rte_eal_mp_wait_lcore();
	nb = rte_mempool_avail_count(pool);
	fprintf(stderr, "%u of %u mbufs are back\n", nb, NB_MBUFS);
	return ret == 0 && nb != NB_MBUFS ? -ENOBUFS : ret;
}

/** What may be said on standard input. */
static const struct command {
	const char *name;
	bool has_port;
	int (*run)(struct port *port);
} commands[] = {
	{ "stop", true, do_stop },
	{ "start", true, do_start },
	{ "unplug", true, do_unplug },
	{ "plug", true, do_plug },
	{ "hoard", false, do_hoard },
	{ "release", false, do_release },
	{ "forget", false, do_forget },
	{ "quit", false, do_quit },
};

static struct port *
find_port(const char *name)
{
	unsigned int i;

	for (i = 0; i < nb_ports; i++)
		if (strcmp(ports[i].name, name) == 0)
			return &ports[i];
	return NULL;
}

static int
run_command(const char *name, const char *port_name)
{
	struct port *port = port_name == NULL ? NULL : find_port(port_name);
	unsigned int i;

	for (i = 0; i < RTE_DIM(commands); i++)
		if (strcmp(commands[i].name, name) == 0 && commands[i].has_port == (port != NULL))
			return commands[i].run(port);
	return -EINVAL;
}

/** Do what is said, until the end. Returns whether all is well then. */
static bool
serve(void)
{
	char line[128], *rest, *name;
	int ret;

	puts("ready");
	while (fgets(line, sizeof(line), stdin) != NULL) {
		name = strtok_r(line, " \n", &rest);
		if (name == NULL)
			continue;
		ret = run_command(name, strtok_r(NULL, " \n", &rest));
		puts(ret == 0 ? "ok" : "failed");
		if (strcmp(name, "quit") == 0)
			return ret == 0;
		if (ret != 0)
			fprintf(stderr, "%s: %s\n", name, rte_strerror(-ret));
	}
	return false;
}

/** A port from the command line: NAME,DEVARGS or, for one that comes with another, NAME. */
static int
add_port(char *text)
{
	struct port *port = &ports[nb_ports];
	char *comma = strchr(text, ',');

	if (nb_ports == MAX_PORTS)
		return -ENOSPC;
	if (comma != NULL) {
		*comma = '\0';
		port->devargs = comma + 1;
	}
	snprintf(port->name, sizeof(port->name), "%s", text);
	nb_ports++;
	return do_plug(port);
}

int
main(int argc, char **argv)
{
	bool is_well;
	int i, ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	ret = rte_eal_init(argc, argv);
	if (ret < 0)
		return EXIT_FAILURE;
	pool = rte_pktmbuf_pool_create("soak", NB_MBUFS, 0, 0, ROOM, SOCKET_ID_ANY);
	if (pool == NULL)
		return EXIT_FAILURE;
	for (i = ret + 1; i < argc; i++)
		if (add_port(argv[i]) < 0) {
			fprintf(stderr, "%s: no such port\n", argv[i]);
			return EXIT_FAILURE;
		}
	if (rte_eal_mp_remote_launch(forwarder_main, NULL, SKIP_MAIN) != 0)
		return EXIT_FAILURE;
	is_well = serve();
	rte_eal_cleanup();
	return is_well ? EXIT_SUCCESS : EXIT_FAILURE;
}
