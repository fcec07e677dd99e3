/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Control below traffic: one thread polls the port, one drives the front-end's rings, and the rest
 * of the world changes. Every frame carries its own proof.
 */

#include "stress_rig.h"

#define NB_ROUNDS 60

/* Frames that must go through in a round. */
#define NB_FRAMES 200

/* Their length: enough to be received without a copy where that is the mode. */
#define FRAME_BYTES 600

/* What is received goes back. */
static void
forward(void *arg)
{
	const struct rig *rig = arg;
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	uint16_t nb, nb_tx;

	nb = rte_eth_rx_burst(rig->port, 0, mbufs, RIG_MAX_BURST);
	if (nb == 0)
		return;
	nb_tx = rte_eth_tx_burst(rig->port, 0, mbufs, nb);
	rte_pktmbuf_free_bulk(&mbufs[nb_tx], nb - nb_tx);
}

static const struct traffic_conf traffic_conf = { .frame_bytes = FRAME_BYTES, .stream = 5 };

static void
open_for_traffic(struct rig *rig)
{
	const struct rig_conf conf = { .nb_mbufs = 2047 };

	rig_init(rig);
	rig_port_open(rig, &conf);
}

static void
connect_for_traffic(struct rig *rig, const struct rig_variant *variant)
{
	struct tfe_dev_conf conf = rig_dev_conf(rig, variant);

	conf.mem_bytes = 8 << 20;
	conf.need_reply = false;
	rig_connect(rig, &conf);
}

/* Front-ends come and go while the port is polled. */
static void
test_reconnect(void **state)
{
	struct poller forwarder;
	struct traffic t;
	struct rig rig;
	unsigned int i;

	open_for_traffic(&rig);
	poller_start(&forwarder, forward, &rig);
	for (i = 0; i < NB_ROUNDS; i++) {
		connect_for_traffic(&rig, *state);
		traffic_start(&t, &rig, &traffic_conf);
		traffic_wait(&t, NB_FRAMES);
		/* In one round of two without a word, in mid-traffic. */
		if (i % 2)
			tfe_dev_disconnect(&rig.dev);
		traffic_stop(&t);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
	}
	poller_stop(&forwarder);
	rig_fini(&rig);
}

/* The port's own control, and looks at it from outside, while it is polled. */
static void
test_control(void **state)
{
	struct rte_eth_xstat xstats[256];
	struct rte_eth_stats stats;
	struct poller forwarder;
	struct traffic t;
	struct rig rig;
	unsigned int i;

	open_for_traffic(&rig);
	poller_start(&forwarder, forward, &rig);
	connect_for_traffic(&rig, *state);
	traffic_start(&t, &rig, &traffic_conf);
	for (i = 0; i < NB_ROUNDS; i++) {
		traffic_wait(&t, NB_FRAMES);
		assert_int_equal(rte_eth_dev_set_link_down(rig.port), 0);
		assert_int_equal(rte_eth_stats_get(rig.port, &stats), 0);
		assert_true(rte_eth_xstats_get(rig.port, xstats, RTE_DIM(xstats)) > 0);
		assert_int_equal(rte_eth_dev_set_link_up(rig.port), 0);
		assert_int_equal(rte_eth_dev_set_mtu(rig.port, (uint16_t)(1500 + i)), 0);
		rte_eth_rx_queue_count(rig.port, 0);
		rte_eth_tx_descriptor_status(rig.port, 0, 3);
		assert_int_equal(rte_eth_dev_set_ptypes(rig.port, i % 2 ? RTE_PTYPE_ALL_MASK : 0,
						 NULL, 0),
				0);
		if (i % 7 == 0)
			assert_int_equal(rte_eth_xstats_reset(rig.port), 0);
		traffic_wait(&t, NB_FRAMES);
		/* A port that is stopped and started: only its own thread notices. */
		poller_pause(&forwarder, true);
		assert_int_equal(rte_eth_dev_stop(rig.port), 0);
		assert_int_equal(rte_eth_dev_start(rig.port), 0);
		poller_pause(&forwarder, false);
	}
	traffic_wait(&t, NB_FRAMES);
	traffic_stop(&t);
	poller_stop(&forwarder);
	rig_fini(&rig);
}

/* The front-end's control: rings off and on, the memory table sent anew, in mid-traffic. */
static void
test_rings(void **state)
{
	struct tfe_ring *ring;
	struct poller forwarder;
	struct traffic t;
	struct rig rig;
	unsigned int i;

	open_for_traffic(&rig);
	poller_start(&forwarder, forward, &rig);
	connect_for_traffic(&rig, *state);
	traffic_start(&t, &rig, &traffic_conf);
	for (i = 0; i < NB_ROUNDS; i++) {
		traffic_wait(&t, NB_FRAMES);
		/* What is sent meanwhile is discarded: gaps, but nothing wrong. */
		assert_int_equal(tfe_dev_enable(&rig.dev, false), 0);
		assert_int_equal(tfe_dev_enable(&rig.dev, true), 0);
		traffic_wait(&t, NB_FRAMES);
		assert_int_equal(tfe_dev_send_mem(&rig.dev), 0);
		traffic_wait(&t, NB_FRAMES);
		ring = tfe_dev_transmitq(&rig.dev, 0);
		assert_int_equal(tfe_req_set_vring_call(&rig.dev.conn, ring->index, ring->call_fd),
				0);
		assert_int_equal(tfe_req_set_vring_kick(&rig.dev.conn, ring->index, ring->kick_fd),
				0);
	}
	traffic_wait(&t, NB_FRAMES);
	traffic_stop(&t);
	poller_stop(&forwarder);
	rig_fini(&rig);
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_reconnect),
	BOTH(test_control),
	BOTH(test_rings),
};

REGISTER_TEST_GROUP(driver_stress_autotest, tests, rig_group_setup, rig_group_teardown);
