/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Control below traffic: one thread polls the port, one drives the front-end's rings, and the rest
 * of the world changes. Every frame carries its own proof.
 */

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "driver_rig.h"

#define NB_ROUNDS 60

/* Frames that must go through in a round. */
#define NB_FRAMES 200

/* The application's thread: what is received goes back. */
struct forwarder {
	pthread_t thread;
	struct rig *rig;
	uint64_t nb_forwarded; /* Atomic. */
	bool pause;            /* Atomic: asked to be idle. */
	bool is_idle;          /* Atomic. */
	bool stop;             /* Atomic. */
};

static void
forward(struct forwarder *f)
{
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	uint16_t nb, nb_tx = 0, i;

	nb = rte_eth_rx_burst(f->rig->port, 0, mbufs, RIG_MAX_BURST);
	if (nb == 0)
		return;
	nb_tx = rte_eth_tx_burst(f->rig->port, 0, mbufs, nb);
	for (i = nb_tx; i < nb; i++)
		rte_pktmbuf_free(mbufs[i]);
	__atomic_add_fetch(&f->nb_forwarded, nb_tx, __ATOMIC_RELEASE);
}

static void *
forwarder_main(void *arg)
{
	struct forwarder *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE)) {
		bool pause = __atomic_load_n(&f->pause, __ATOMIC_ACQUIRE);

		__atomic_store_n(&f->is_idle, pause, __ATOMIC_RELEASE);
		if (pause)
			sched_yield();
		else
			forward(f);
	}
	return NULL;
}

/* An application does not poll a port that it stops. */
static void
forwarder_pause(struct forwarder *f, bool pause)
{
	__atomic_store_n(&f->pause, pause, __ATOMIC_RELEASE);
	while (__atomic_load_n(&f->is_idle, __ATOMIC_ACQUIRE) != pause)
		sched_yield();
}

static void
forwarder_start(struct forwarder *f, struct rig *rig)
{
	memset(f, 0, sizeof(*f));
	f->rig = rig;
	assert_int_equal(pthread_create(&f->thread, NULL, forwarder_main, f), 0);
	rig_run_anywhere(f->thread);
}

static void
forwarder_stop(struct forwarder *f)
{
	__atomic_store_n(&f->stop, true, __ATOMIC_RELEASE);
	pthread_join(f->thread, NULL);
}

/* The front-end's thread: it sends, and checks what comes back. */
struct traffic {
	struct tfe_gen *tx;
	struct tfe_gen *rx;
	struct tfe_gen *gens[2];
	struct tfe_worker worker;
};

static void
traffic_start(struct traffic *t, struct rig *rig)
{
	struct tfe_gen_conf conf = {
		.dir = TFE_GEN_TRANSMIT,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = 200,
		.burst = 32,
		.stream = 5,
	};

	memset(t, 0, sizeof(*t));
	assert_int_equal(tfe_gen_create(&t->tx, &rig->dev, 0, &conf), 0);
	conf.dir = TFE_GEN_RECEIVE;
	conf.buf_bytes = 512;
	assert_int_equal(tfe_gen_create(&t->rx, &rig->dev, 0, &conf), 0);
	t->gens[0] = t->tx;
	t->gens[1] = t->rx;
	assert_int_equal(tfe_worker_start(&t->worker, t->gens, 2, -1), 0);
	rig_run_anywhere(t->worker.thread);
}

static uint64_t
traffic_received(const struct traffic *t)
{
	struct tfe_gen_stats stats;

	tfe_gen_stats(t->rx, &stats);
	return stats.nb_packets;
}

/* Wait until more frames have been all the way. */
static void
traffic_wait(const struct traffic *t)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * RIG_TIMEOUT_MS;
	uint64_t target = traffic_received(t) + NB_FRAMES;

	while (traffic_received(t) < target) {
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	}
}

static void
traffic_stop(struct traffic *t)
{
	struct tfe_gen_stats stats;

	assert_int_equal(tfe_worker_stop(&t->worker), 0);
	tfe_gen_stats(t->rx, &stats);
	assert_int_equal(stats.nb_bad, 0);
	assert_int_equal(stats.nb_late, 0);
	assert_int_equal(stats.nb_foreign, 0);
	tfe_gen_destroy(t->tx);
	tfe_gen_destroy(t->rx);
}

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
	struct forwarder f;
	struct traffic t;
	struct rig rig;
	unsigned int i;

	open_for_traffic(&rig);
	forwarder_start(&f, &rig);
	for (i = 0; i < NB_ROUNDS; i++) {
		connect_for_traffic(&rig, *state);
		traffic_start(&t, &rig);
		traffic_wait(&t);
		/* In one round of two without a word, in mid-traffic. */
		if (i % 2)
			tfe_dev_disconnect(&rig.dev);
		traffic_stop(&t);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
	}
	forwarder_stop(&f);
	rig_fini(&rig);
}

/* The port's own control, and looks at it from outside, while it is polled. */
static void
test_control(void **state)
{
	struct rte_eth_xstat xstats[256];
	struct rte_eth_stats stats;
	struct forwarder f;
	struct traffic t;
	struct rig rig;
	unsigned int i;

	open_for_traffic(&rig);
	forwarder_start(&f, &rig);
	connect_for_traffic(&rig, *state);
	traffic_start(&t, &rig);
	for (i = 0; i < NB_ROUNDS; i++) {
		traffic_wait(&t);
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
		traffic_wait(&t);
		/* A port that is stopped and started: only its own thread notices. */
		forwarder_pause(&f, true);
		assert_int_equal(rte_eth_dev_stop(rig.port), 0);
		assert_int_equal(rte_eth_dev_start(rig.port), 0);
		forwarder_pause(&f, false);
	}
	traffic_wait(&t);
	traffic_stop(&t);
	forwarder_stop(&f);
	rig_fini(&rig);
}

/* The front-end's control: rings off and on, the memory table sent anew, in mid-traffic. */
static void
test_rings(void **state)
{
	struct tfe_ring *ring;
	struct forwarder f;
	struct traffic t;
	struct rig rig;
	unsigned int i;

	open_for_traffic(&rig);
	forwarder_start(&f, &rig);
	connect_for_traffic(&rig, *state);
	traffic_start(&t, &rig);
	for (i = 0; i < NB_ROUNDS; i++) {
		traffic_wait(&t);
		/* What is sent meanwhile is discarded: gaps, but nothing wrong. */
		assert_int_equal(tfe_dev_enable(&rig.dev, false), 0);
		assert_int_equal(tfe_dev_enable(&rig.dev, true), 0);
		traffic_wait(&t);
		assert_int_equal(tfe_dev_send_mem(&rig.dev), 0);
		traffic_wait(&t);
		ring = tfe_dev_transmitq(&rig.dev, 0);
		assert_int_equal(tfe_req_set_vring_call(&rig.dev.conn, ring->index, ring->call_fd),
				0);
		assert_int_equal(tfe_req_set_vring_kick(&rig.dev.conn, ring->index, ring->kick_fd),
				0);
	}
	traffic_wait(&t);
	traffic_stop(&t);
	forwarder_stop(&f);
	rig_fini(&rig);
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_reconnect),
	BOTH(test_control),
	BOTH(test_rings),
};

REGISTER_TEST_GROUP(driver_stress_autotest, tests, rig_group_setup, rig_group_teardown);
