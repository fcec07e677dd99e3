/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Receive without a copy under load: one thread polls the port, others check and free its packets,
 * at random and some of them late, while one drives the front-end's ring and control changes the
 * world. The front-end's generator finds a chain that comes back twice or never; each frame carries
 * its own proof.
 */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ring.h>

#include "driver_rig.h"

/* How long a test takes; VHOST_PCI_TEST_SECONDS says otherwise. */
#define SECONDS_ENV     "VHOST_PCI_TEST_SECONDS"
#define DEFAULT_SECONDS 1

#define NB_FREERS   3
#define FRAME_BYTES 1400

/* Packets that a thread keeps at most, so that rings run out of what may be lent. */
#define NB_KEPT 60

/* Threads that free; one of them polls. */
struct crowd {
	struct rig *rig;
	struct rte_ring *queue;
	pthread_t poller;
	pthread_t freers[NB_FREERS];
	bool pause;          /* Atomic: the poller is asked to be idle. */
	bool is_idle;        /* Atomic. */
	bool stop;           /* Atomic. */
	uint64_t nb_packets; /* Atomic. */
	uint64_t nb_bad;     /* Atomic. */
};

/* Frames that the front-end's memory is used for again may change: checked while they are lent. */
static void
check(struct crowd *crowd, const struct rte_mbuf *m)
{
	uint8_t bytes[FRAME_BYTES];
	const void *frame = rte_pktmbuf_read(m, 0, m->pkt_len, bytes);
	uint16_t stream;
	uint64_t seq;

	if (frame == NULL || m->pkt_len != FRAME_BYTES ||
			tfe_frame_check(frame, m->pkt_len, &stream, &seq) != TFE_FRAME_GOOD)
		__atomic_add_fetch(&crowd->nb_bad, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&crowd->nb_packets, 1, __ATOMIC_RELAXED);
}

static void *
freer_main(void *arg)
{
	struct crowd *crowd = arg;
	struct rte_mbuf *kept[NB_KEPT] = { NULL }, *m;
	unsigned int seed = (unsigned int)(uintptr_t)pthread_self();
	unsigned int i;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		if (rte_ring_dequeue(crowd->queue, (void **)&m) != 0) {
			sched_yield();
			m = NULL;
		}
		/* What was kept at a random place goes, and the new one takes its place. */
		i = (unsigned int)rand_r(&seed) % NB_KEPT;
		rte_pktmbuf_free(kept[i]);
		kept[i] = m;
	}
	for (i = 0; i < NB_KEPT; i++)
		rte_pktmbuf_free(kept[i]);
	return NULL;
}

static void
poll_port(struct crowd *crowd)
{
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	uint16_t nb = rte_eth_rx_burst(crowd->rig->port, 0, mbufs, RIG_MAX_BURST);
	uint16_t i;

	if (nb == 0)
		sched_yield();
	for (i = 0; i < nb; i++) {
		check(crowd, mbufs[i]);
		if (rte_ring_enqueue(crowd->queue, mbufs[i]) != 0)
			rte_pktmbuf_free(mbufs[i]);
	}
}

static void *
poller_main(void *arg)
{
	struct crowd *crowd = arg;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		bool pause = __atomic_load_n(&crowd->pause, __ATOMIC_ACQUIRE);

		__atomic_store_n(&crowd->is_idle, pause, __ATOMIC_RELEASE);
		if (pause)
			sched_yield();
		else
			poll_port(crowd);
	}
	return NULL;
}

static void
crowd_pause(struct crowd *crowd, bool pause)
{
	__atomic_store_n(&crowd->pause, pause, __ATOMIC_RELEASE);
	while (__atomic_load_n(&crowd->is_idle, __ATOMIC_ACQUIRE) != pause)
		sched_yield();
}

static void
crowd_start(struct crowd *crowd, struct rig *rig)
{
	unsigned int i;

	memset(crowd, 0, sizeof(*crowd));
	crowd->rig = rig;
	crowd->queue = rte_ring_create(rig->vdev, 1024, SOCKET_ID_ANY, 0);
	assert_non_null(crowd->queue);
	assert_int_equal(pthread_create(&crowd->poller, NULL, poller_main, crowd), 0);
	rig_run_anywhere(crowd->poller);
	for (i = 0; i < NB_FREERS; i++) {
		assert_int_equal(pthread_create(&crowd->freers[i], NULL, freer_main, crowd), 0);
		rig_run_anywhere(crowd->freers[i]);
	}
}

static void
crowd_stop(struct crowd *crowd)
{
	struct rte_mbuf *m;
	unsigned int i;

	__atomic_store_n(&crowd->stop, true, __ATOMIC_RELEASE);
	pthread_join(crowd->poller, NULL);
	for (i = 0; i < NB_FREERS; i++)
		pthread_join(crowd->freers[i], NULL);
	while (rte_ring_dequeue(crowd->queue, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(crowd->queue);
	assert_int_equal(crowd->nb_bad, 0);
}

static void
wait_packets(const struct crowd *crowd, uint64_t nb)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * RIG_TIMEOUT_MS;
	uint64_t target = __atomic_load_n(&crowd->nb_packets, __ATOMIC_RELAXED) + nb;

	while (__atomic_load_n(&crowd->nb_packets, __ATOMIC_RELAXED) < target) {
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	}
}

/* The front-end's thread, which writes each frame anew when it has its buffer back. */
struct sender {
	struct tfe_gen *gen;
	struct tfe_worker worker;
};

static void
sender_start(struct sender *sender, struct rig *rig)
{
	const struct tfe_gen_conf conf = {
		.dir = TFE_GEN_TRANSMIT,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = FRAME_BYTES,
		.burst = 32,
		.stream = 5,
	};

	memset(sender, 0, sizeof(*sender));
	assert_int_equal(tfe_gen_create(&sender->gen, &rig->dev, 0, &conf), 0);
	assert_int_equal(tfe_worker_start(&sender->worker, &sender->gen, 1, -1), 0);
	rig_run_anywhere(sender->worker.thread);
}

static void
sender_stop(struct sender *sender)
{
	assert_int_equal(tfe_worker_stop(&sender->worker), 0);
	assert_null(tfe_gen_error(sender->gen));
	tfe_gen_destroy(sender->gen);
}

/* What changes while packets flow. */
static void
change_world(struct rig *rig, struct crowd *crowd, unsigned int round)
{
	switch (round % 4) {
	case 0:
		assert_int_equal(tfe_dev_send_mem(&rig->dev), 0);
		break;
	case 1:
		assert_int_equal(rte_eth_dev_set_link_down(rig->port), 0);
		assert_int_equal(rte_eth_dev_set_link_up(rig->port), 0);
		break;
	case 2:
		crowd_pause(crowd, true);
		assert_int_equal(rte_eth_dev_stop(rig->port), 0);
		assert_int_equal(rte_eth_dev_start(rig->port), 0);
		crowd_pause(crowd, false);
		break;
	default:
		assert_int_equal(tfe_dev_enable(&rig->dev, false), 0);
		assert_int_equal(tfe_dev_enable(&rig->dev, true), 0);
		break;
	}
}

static uint64_t
end_of_test(void)
{
	const char *seconds = getenv(SECONDS_ENV);

	return rte_get_timer_cycles() +
			rte_get_timer_hz() *
			(seconds != NULL ? strtoul(seconds, NULL, 10) : DEFAULT_SECONDS);
}

static void
check_stress(const struct rig_conf *conf, const struct rig_variant *variant)
{
	uint64_t end = end_of_test();
	struct tfe_dev_conf dev_conf;
	struct sender sender;
	struct crowd crowd;
	struct rig rig;
	unsigned int round;

	rig_init(&rig);
	rig_port_open(&rig, conf);
	dev_conf = rig_dev_conf(&rig, variant);
	dev_conf.mem_bytes = 8 << 20;
	crowd_start(&crowd, &rig);
	do {
		rig_connect(&rig, &dev_conf);
		sender_start(&sender, &rig);
		for (round = 0; round < 8; round++) {
			wait_packets(&crowd, 100);
			change_world(&rig, &crowd, round);
		}
		wait_packets(&crowd, 100);
		/* In mid-traffic: what is held then is of a front-end that is gone. */
		sender_stop(&sender);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
	} while (rte_get_timer_cycles() < end);
	crowd_stop(&crowd);
	assert_true(rig_xstat(&rig, "rx_q0_lent") > 0);
	assert_int_equal(rig_xstat(&rig, "frontend_closed"), 0);
	rig_fini(&rig);
}

static void
test_split_mode(void **state)
{
	const struct rig_conf conf = {
		.devargs = ",zero-copy=split,copybreak=256",
		.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
		.nb_mbufs = 4095,
	};

	check_stress(&conf, *state);
}

static void
test_full_mode(void **state)
{
	const struct rig_conf conf = {
		.devargs = ",zero-copy=full,copybreak=256",
		.nb_mbufs = 4095,
	};

	check_stress(&conf, *state);
}

#define ALL(test) \
	RIG_TEST(test, split), RIG_TEST(test, packed), RIG_TEST(test, split_in_order), \
			RIG_TEST(test, packed_in_order)

static const struct CMUnitTest tests[] = {
	ALL(test_split_mode),
	ALL(test_full_mode),
};

REGISTER_TEST_GROUP(driver_zcopy_stress_autotest, tests, rig_group_setup, rig_group_teardown);
