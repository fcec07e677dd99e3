/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* One listener, many front-ends, a port for each. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_dev.h>

#include "driver_rig.h"

/** Ports that a test has at most. */
#define MAX_RIGS 24

static const struct rig_conf plain;

/** A rig for each port of a listener: the first owns folder and pool. */
struct clients {
	struct rig rig[MAX_RIGS];
	unsigned int nb;         /**< Ports made so far. */
	unsigned int nb_new;     /**< RTE_ETH_EVENT_NEW of this listener's ports; atomic. */
	unsigned int nb_removed; /**< RTE_ETH_EVENT_INTR_RMV of them; atomic. */
};

static int
on_port_event(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct clients *c = arg;

	(void)port;
	(void)ret;
	__atomic_add_fetch(type == RTE_ETH_EVENT_NEW ? &c->nb_new : &c->nb_removed, 1,
			__ATOMIC_RELEASE);
	return 0;
}

/* Find the next port of the listener, and start it. */
static void
adopt(struct clients *c)
{
	struct rig *rig = &c->rig[c->nb];
	const struct rig *first = &c->rig[0];

	if (c->nb > 0) {
		memset(rig, 0, sizeof(*rig));
		snprintf(rig->path, sizeof(rig->path), "%s", first->path);
		snprintf(rig->vdev, sizeof(rig->vdev), "%.20s_%u", first->vdev, c->nb);
		assert_int_equal(rte_eth_dev_get_port_by_name(rig->vdev, &rig->port), 0);
		rig->has_port = true;
		rig->pool = first->pool;
	}
	rig_port_start(rig, &plain);
	c->nb++;
}

static void
clients_open(struct clients *c, unsigned int max_clients, unsigned int nb_static)
{
	char devargs[64];

	memset(c, 0, sizeof(*c));
	rig_init(&c->rig[0]);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, on_port_event, c);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_INTR_RMV, on_port_event, c);
	snprintf(devargs, sizeof(devargs), ",max-clients=%u,static-ports=%u", max_clients,
			nb_static);
	assert_int_equal(rig_port_attach(&c->rig[0], devargs), 0);
	while (c->nb < nb_static)
		adopt(c);
	assert_int_equal(c->nb_new, nb_static);
}

/* The port that came last goes, with its front-end. */
static void
drop(struct clients *c)
{
	struct rig *rig = &c->rig[--c->nb];

	rig_disconnect(rig);
	rig_port_close(rig);
}

static void
clients_close(struct clients *c)
{
	while (c->nb > 1)
		drop(c);
	rig_fini(&c->rig[0]);
	rte_eth_dev_callback_unregister(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, on_port_event, c);
	rte_eth_dev_callback_unregister(RTE_ETH_ALL, RTE_ETH_EVENT_INTR_RMV, on_port_event, c);
}

/* A front-end comes to the port at an index. */
static void
come(struct rig *rig, const struct rig_variant *variant)
{
	struct tfe_dev_conf conf = rig_dev_conf(rig, variant);

	conf.mem_bytes = 4 << 20;
	rig_connect(rig, &conf);
	rig_netqs(rig, 2048, NULL);
}

static void
check_all(struct clients *c)
{
	unsigned int i;

	for (i = 0; i < c->nb; i++)
		rig_check_traffic(&c->rig[i], 0, (uint16_t)i);
}

/* Connect, without a word. */
static int
plain_connect(const struct rig *rig)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* As many front-ends as there are ports, each with its own packets, coming and going. */
static void
test_port_each(void **state)
{
	struct clients c;
	unsigned int i;

	clients_open(&c, MAX_RIGS, MAX_RIGS);
	for (i = 0; i < c.nb; i++)
		come(&c.rig[i], i % 2 ? &rig_packed : &rig_split);
	check_all(&c);
	/* The place of one that goes is the next one's. */
	for (i = 0; i < c.nb; i += 5) {
		rig_disconnect(&c.rig[i]);
		rig_wait_link(&c.rig[i], false);
		come(&c.rig[i], *state);
		check_all(&c);
	}
	clients_close(&c);
}

/* One too many is refused, unless somebody leaves in time. */
static void
test_full(void **state)
{
	struct clients c;
	uint8_t byte;
	int fd;

	clients_open(&c, 2, 2);
	come(&c.rig[0], *state);
	come(&c.rig[1], *state);
	fd = plain_connect(&c.rig[0]);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	rig_wait_xstat(&c.rig[0], "frontend_refused", 1);
	check_all(&c);
	/* One that is faster than the news of the other's end. */
	rig_disconnect(&c.rig[1]);
	come(&c.rig[1], *state);
	check_all(&c);
	assert_int_equal(rig_xstat(&c.rig[0], "frontend_refused"), 1);
	clients_close(&c);
}

/* What one of them does wrong is its own end, and nobody else's. */
static void
test_one_misbehaves(void **state)
{
	static const uint8_t garbage[64] = { 0xff, 0xff, 0xff, 0xff };
	struct tfe_ring *ring;
	struct clients c;
	uint8_t byte;
	unsigned int i;
	int fd;

	clients_open(&c, 4, 4);
	for (i = 0; i < 3; i++)
		come(&c.rig[i], *state);
	fd = plain_connect(&c.rig[3]);
	assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
	assert_true(read(fd, &byte, 1) <= 0);
	close(fd);
	rig_wait_xstat(&c.rig[3], "frontend_closed", 1);
	come(&c.rig[3], *state);
	check_all(&c);
	ring = c.rig[0].tx[0].ring;
	tfe_split_set_avail_idx(ring, (uint16_t)(ring->avail_idx + ring->size + 1));
	for (i = 1; i < 4; i++)
		rig_check_traffic(&c.rig[i], 0, i);
	/* The poll that finds out. */
	while (rig_xstat(&c.rig[0], "frontend_closed") == 0) {
		struct rte_mbuf *m;

		assert_int_equal(rte_eth_rx_burst(c.rig[0].port, 0, &m, 1), 0);
	}
	clients_close(&c);
}

/* Several front-ends whose messages come byte by byte, a byte of each in turn. */
static void
test_interleaved(void **state)
{
	const struct {
		uint32_t request, flags, size;
	} get_features = { TFE_VU_GET_FEATURES, 1, 0 };
	uint64_t reply[3];
	struct clients c;
	unsigned int i, j;
	uint32_t hdr[3];
	int fd[3];

	(void)state;
	clients_open(&c, 3, 3);
	for (i = 0; i < 3; i++)
		fd[i] = plain_connect(&c.rig[i]);
	for (j = 0; j < sizeof(get_features); j++)
		for (i = 0; i < 3; i++)
			assert_int_equal(write(fd[i], (const uint8_t *)&get_features + j, 1), 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(recv(fd[i], hdr, sizeof(hdr), MSG_WAITALL), sizeof(hdr));
		assert_int_equal(hdr[0], TFE_VU_GET_FEATURES);
		assert_int_equal(hdr[2], sizeof(reply[i]));
		assert_int_equal(recv(fd[i], &reply[i], sizeof(reply[i]), MSG_WAITALL),
				sizeof(reply[i]));
		assert_int_equal(reply[i], reply[0]);
	}
	for (i = 0; i < 3; i++)
		close(fd[i]);
	clients_close(&c);
}

static void
wait_count(const unsigned int *count, unsigned int value)
{
	unsigned int tries;

	/* Each ping is a turn of the thread that counts. */
	for (tries = 0; __atomic_load_n(count, __ATOMIC_ACQUIRE) < value; tries++) {
		assert_true(tries < 100000);
		rig_ping();
	}
	assert_int_equal(*count, value);
}

/* A port that comes with its front-end, and goes with it. */
static void
test_come_and_go(void **state)
{
	const struct rig_variant *variant = *state;
	struct tfe_dev_conf conf;
	struct clients c;
	unsigned int i;

	clients_open(&c, 3, 1);
	come(&c.rig[0], variant);
	for (i = 0; i < 5; i++) {
		/* The connection waits for the port; its rings start before the port does. */
		conf = rig_dev_conf(&c.rig[0], variant);
		conf.mem_bytes = 4 << 20;
		assert_int_equal(tfe_dev_open(&c.rig[1].dev, &conf), 0);
		wait_count(&c.nb_new, 2 + i);
		struct tfe_dev dev = c.rig[1].dev;
		adopt(&c);
		c.rig[1].dev = dev;
		c.rig[1].has_dev = true;
		rig_wait_link(&c.rig[1], true);
		rig_netqs(&c.rig[1], 2048, NULL);
		check_all(&c);
		rig_disconnect(&c.rig[1]);
		wait_count(&c.nb_removed, 1 + i);
		drop(&c);
	}
	check_all(&c);
	assert_int_equal(c.nb_removed, 5);
	clients_close(&c);
}

/* The first port may go before the others: the listener stays. */
static void
test_first_goes(void **state)
{
	struct clients c;
	unsigned int i;
	int fd;

	clients_open(&c, 3, 3);
	for (i = 0; i < 3; i++)
		come(&c.rig[i], *state);
	rig_disconnect(&c.rig[0]);
	rig_port_close(&c.rig[0]);
	rig_check_traffic(&c.rig[1], 0, 1);
	rig_disconnect(&c.rig[2]);
	rig_wait_link(&c.rig[2], false);
	come(&c.rig[2], *state);
	rig_check_traffic(&c.rig[2], 0, 2);
	/* And it may come back, to its listener. */
	assert_int_equal(rig_port_attach(&c.rig[0], ",max-clients=3"), 0);
	rig_port_start(&c.rig[0], &plain);
	come(&c.rig[0], *state);
	check_all(&c);
	/* A front-end that waits when the listener goes is disconnected with it. */
	fd = plain_connect(&c.rig[0]);
	c.rig[0].nb_fds++;
	clients_close(&c);
	close(fd);
}

/* Arguments that make no sense, and a path that is somebody's. */
static void
test_bad_args(void **state)
{
	static const char *const bad[] = {
		",max-clients=0",
		",max-clients=257",
		",max-clients=2,client=1",
		",max-clients=2,static-ports=3",
		",max-clients=2,client-port=2",
		",max-clients=2,client-port=1",
		",static-ports=2",
		/* More than DPDK has ports. */
		",max-clients=200",
	};
	struct rig rig, other;
	uint16_t nb_ports;
	unsigned int i;

	(void)state;
	rig_init(&rig);
	nb_ports = rte_eth_dev_count_avail();
	for (i = 0; i < RTE_DIM(bad); i++) {
		assert_true(rig_port_attach(&rig, bad[i]) < 0);
		assert_int_equal(rte_eth_dev_count_avail(), nb_ports);
		assert_int_not_equal(access(rig.path, F_OK), 0);
	}
	assert_int_equal(rig_port_attach(&rig, ",max-clients=2"), 0);
	rig_init(&other);
	memcpy(other.path, rig.path, sizeof(other.path));
	assert_true(rig_port_attach(&other, ",max-clients=2") < 0);
	assert_true(rig_port_attach(&other, "") < 0);
	assert_int_equal(rmdir(other.dir), 0);
	assert_int_equal(rte_eal_hotplug_remove("vdev", rig.vdev), 0);
	snprintf(other.vdev, sizeof(other.vdev), "%.20s_1", rig.vdev);
	assert_int_equal(rte_eal_hotplug_remove("vdev", other.vdev), 0);
	rig.has_port = false;
	rig_fini(&rig);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(test_port_each, split),
	RIG_TEST(test_full, packed),
	RIG_TEST(test_one_misbehaves, split),
	RIG_TEST(test_interleaved, split),
	RIG_TEST(test_come_and_go, split),
	RIG_TEST(test_come_and_go, packed),
	RIG_TEST(test_first_goes, split),
	cmocka_unit_test(test_bad_args),
};

REGISTER_TEST_GROUP(driver_clients_autotest, tests, rig_group_setup, rig_group_teardown);
