/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* All modes of receiving under load: one thread polls the port and sends some of the packets back,
 * others free the rest, at random and some of them late, while one drives the front-end's rings and
 * control changes the world: memory, link, port and queues, an empty mempool, packets that nobody
 * frees, front-ends that come and go.
 *
 * The front-end's generator finds a chain that comes back twice or never. Each frame carries its
 * own proof, which is looked at when it is received, again when it is freed (its memory was nobody
 * else's in between), and by the front-end where it comes back.
 */

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ring.h>

#include "stress_rig.h"

/* How long each test takes, in seconds; without it DEFAULT_MS. */
#define SECONDS_ENV "VHOST_PCI_TEST_SECONDS"
#define DEFAULT_MS  600

#define NB_FREERS   3
#define FRAME_BYTES 1400
#define NB_MBUFS    4095

/* One packet of so many goes back to the front-end. */
#define SEND_BACK 4

/* Packets that a thread keeps at most, so that rings run out of what may be lent. */
#define NB_KEPT 60

/* And frees, or takes, at a time. */
#define FREE_BURST 16

/* Front-ends in each test at least: one that leaves in good order, and one that does not. */
#define MIN_FRONTENDS 2

/* The application: a thread that polls, and those that free what it has received. */
struct crowd {
	struct rig *rig;
	struct rte_ring *queue; /* From the poller to those who free. */
	struct poller poller;
	pthread_t freers[NB_FREERS];
	bool lends; /* The mode is not the one that copies all. */
	bool hold;  /* Atomic: nothing is to be freed. */
	bool stop;  /* Atomic. */

	/* Of the poller. */
	uint16_t stream;   /* Of the frames that it receives, */
	uint64_t next_seq; /* and the first that it has not seen. */
	uint64_t nb_polled;
	uint64_t nb_sent_back;

	/* Atomic. */
	uint64_t nb_packets;
	uint64_t nb_freed;
	uint64_t nb_bad;    /* Frames that are not what was sent, */
	uint64_t nb_late;   /* that came twice or out of turn, */
	uint64_t nb_spoilt; /* or that changed while they were kept. */
};

/* What a test has done, for who reads its output. */
struct record {
	unsigned int nb_frontends;
	unsigned int nb_drained;
	unsigned int nb_stops;
	unsigned int nb_starvations;
};

static void
count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static bool
frame_is_good(const struct rte_mbuf *m, uint16_t *stream, uint64_t *seq)
{
	uint8_t bytes[FRAME_BYTES];
	const void *frame;

	if (m->pkt_len != FRAME_BYTES)
		return false;
	frame = rte_pktmbuf_read(m, 0, m->pkt_len, bytes);
	return frame != NULL && tfe_frame_check(frame, m->pkt_len, stream, seq) == TFE_FRAME_GOOD;
}

/* Each front-end has a stream, and its frames come in order; those that were discarded are gaps. */
static void
check_received(struct crowd *crowd, const struct rte_mbuf *m)
{
	uint16_t stream;
	uint64_t seq;

	count(&crowd->nb_packets);
	if (!frame_is_good(m, &stream, &seq)) {
		count(&crowd->nb_bad);
		return;
	}
	if (stream == crowd->stream && seq < crowd->next_seq)
		count(&crowd->nb_late);
	crowd->stream = stream;
	crowd->next_seq = seq + 1;
}

static void
check_and_free(struct crowd *crowd, struct rte_mbuf *m)
{
	uint16_t stream;
	uint64_t seq;

	if (m == NULL)
		return;
	if (!frame_is_good(m, &stream, &seq))
		count(&crowd->nb_spoilt);
	rte_pktmbuf_free(m);
	count(&crowd->nb_freed);
}

/* Replace what was kept at random places by what has come, or by nothing. */
static void
free_some(struct crowd *crowd, struct rte_mbuf **kept, unsigned int *seed)
{
	struct rte_mbuf *mbufs[FREE_BURST] = { NULL };
	unsigned int i, slot;

	if (rte_ring_dequeue_burst(crowd->queue, (void **)mbufs, FREE_BURST, NULL) == 0)
		sched_yield();
	for (i = 0; i < FREE_BURST; i++) {
		slot = (unsigned int)rand_r(seed) % NB_KEPT;
		check_and_free(crowd, kept[slot]);
		kept[slot] = mbufs[i];
	}
}

static void *
freer_main(void *arg)
{
	struct crowd *crowd = arg;
	struct rte_mbuf *kept[NB_KEPT] = { NULL };
	unsigned int seed = (unsigned int)(uintptr_t)pthread_self();
	unsigned int i;

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&crowd->hold, __ATOMIC_RELAXED))
			sched_yield();
		else
			free_some(crowd, kept, &seed);
	}
	for (i = 0; i < NB_KEPT; i++)
		check_and_free(crowd, kept[i]);
	return NULL;
}

/* What an application does in its loop. */
static void
poll_port(void *arg)
{
	struct crowd *crowd = arg;
	struct rte_mbuf *mbufs[RIG_MAX_BURST], *back[RIG_MAX_BURST];
	uint16_t nb = rte_eth_rx_burst(crowd->rig->port, 0, mbufs, RIG_MAX_BURST);
	uint16_t nb_back = 0, nb_sent, i;

	if (nb == 0)
		sched_yield();
	for (i = 0; i < nb; i++) {
		check_received(crowd, mbufs[i]);
		if (crowd->nb_polled++ % SEND_BACK == 0)
			back[nb_back++] = mbufs[i];
		else if (rte_ring_enqueue(crowd->queue, mbufs[i]) != 0)
			check_and_free(crowd, mbufs[i]);
	}
	nb_sent = rte_eth_tx_burst(crowd->rig->port, 0, back, nb_back);
	crowd->nb_sent_back += nb_sent;
	for (i = nb_sent; i < nb_back; i++)
		check_and_free(crowd, back[i]);
}

static void
crowd_start(struct crowd *crowd, struct rig *rig, bool lends)
{
	unsigned int i;

	memset(crowd, 0, sizeof(*crowd));
	crowd->rig = rig;
	crowd->lends = lends;
	crowd->queue = rte_ring_create(rig->vdev, 1024, SOCKET_ID_ANY, 0);
	assert_non_null(crowd->queue);
	poller_start(&crowd->poller, poll_port, crowd);
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

	poller_stop(&crowd->poller);
	__atomic_store_n(&crowd->stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < NB_FREERS; i++)
		pthread_join(crowd->freers[i], NULL);
	while (rte_ring_dequeue(crowd->queue, (void **)&m) == 0)
		check_and_free(crowd, m);
	rte_ring_free(crowd->queue);
	assert_int_equal(crowd->nb_bad, 0);
	assert_int_equal(crowd->nb_late, 0);
	assert_int_equal(crowd->nb_spoilt, 0);
	assert_int_equal(crowd->nb_freed + crowd->nb_sent_back, crowd->nb_packets);
}

static uint64_t
deadline(void)
{
	return rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * RIG_TIMEOUT_MS;
}

static void
wait_packets(const struct crowd *crowd, uint64_t nb)
{
	uint64_t target = __atomic_load_n(&crowd->nb_packets, __ATOMIC_RELAXED) + nb;
	uint64_t end = deadline();

	while (__atomic_load_n(&crowd->nb_packets, __ATOMIC_RELAXED) < target) {
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	}
}

/* What changes while packets flow */

static void
send_mem_table(struct rig *rig, struct crowd *crowd)
{
	(void)crowd;
	assert_int_equal(tfe_dev_send_mem(&rig->dev), 0);
}

static void
set_link(struct rig *rig, struct crowd *crowd)
{
	(void)crowd;
	assert_int_equal(rte_eth_dev_set_link_down(rig->port), 0);
	assert_int_equal(rte_eth_dev_set_link_up(rig->port), 0);
}

static void
restart_port(struct rig *rig, struct crowd *crowd)
{
	poller_pause(&crowd->poller, true);
	assert_int_equal(rte_eth_dev_stop(rig->port), 0);
	assert_int_equal(rte_eth_dev_start(rig->port), 0);
	poller_pause(&crowd->poller, false);
}

static void
restart_queues(struct rig *rig, struct crowd *crowd)
{
	poller_pause(&crowd->poller, true);
	assert_int_equal(rte_eth_dev_rx_queue_stop(rig->port, 0), 0);
	assert_int_equal(rte_eth_dev_tx_queue_stop(rig->port, 0), 0);
	poller_pause(&crowd->poller, false);
	poller_pause(&crowd->poller, true);
	assert_int_equal(rte_eth_dev_rx_queue_start(rig->port, 0), 0);
	assert_int_equal(rte_eth_dev_tx_queue_start(rig->port, 0), 0);
	poller_pause(&crowd->poller, false);
}

static void
disable_rings(struct rig *rig, struct crowd *crowd)
{
	(void)crowd;
	assert_int_equal(tfe_dev_enable(&rig->dev, false), 0);
	assert_int_equal(tfe_dev_enable(&rig->dev, true), 0);
}

/* Take all mbufs there are, until the port has asked for one in vain. */
static void
empty_mempool(struct rig *rig, struct crowd *crowd)
{
	static void *taken[NB_MBUFS];
	uint64_t before = rig_xstat(rig, "rx_q0_no_mbuf");
	uint64_t end = deadline();
	unsigned int nb = 0;

	(void)crowd;
	do {
		while (nb < NB_MBUFS && rte_mempool_get(rig->pool, &taken[nb]) == 0)
			nb++;
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	} while (rig_xstat(rig, "rx_q0_no_mbuf") == before);
	rte_mempool_put_bulk(rig->pool, taken, nb);
}

/* Free nothing until no more is lent: of a front-end that has just begun, for where chains come
 * back in order it soon has none left to send more with.
 */
static void
exhaust_lending(struct rig *rig, struct crowd *crowd, struct traffic *traffic,
		const struct traffic_conf *conf)
{
	uint64_t before = rig_xstat(rig, "rx_q0_starved");
	uint64_t end = deadline();

	__atomic_store_n(&crowd->hold, crowd->lends, __ATOMIC_RELAXED);
	traffic_start(traffic, rig, conf);
	while (crowd->lends && rig_xstat(rig, "rx_q0_starved") == before) {
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	}
	__atomic_store_n(&crowd->hold, false, __ATOMIC_RELAXED);
}

static void (*const changes[])(struct rig *rig, struct crowd *crowd) = {
	send_mem_table,
	set_link,
	empty_mempool,
	restart_port,
	disable_rings,
	restart_queues,
};

/* Wait until the front-end has back all that it sent, each chain once, and compare the counts. */
static void
drain(struct rig *rig, struct crowd *crowd, struct traffic *traffic, uint64_t nb_before)
{
	struct tfe_gen_stats stats;

	assert_int_equal(tfe_gen_drain(traffic->tx, RIG_TIMEOUT_MS), 0);
	poller_pause(&crowd->poller, true);
	tfe_gen_stats(traffic->tx, &stats);
	assert_int_equal(rig_xstat(rig, "rx_q0_good_packets") +
					rig_xstat(rig, "rx_q0_discarded_packets") - nb_before,
			stats.nb_packets);
	assert_int_equal(rig_xstat(rig, "rx_q0_held"), 0);
	poller_pause(&crowd->poller, false);
}

/* A front-end from its first message to its last. */
static void
run_frontend(struct rig *rig, struct crowd *crowd, const struct tfe_dev_conf *dev_conf,
		struct record *record)
{
	const struct traffic_conf conf = {
		.frame_bytes = FRAME_BYTES,
		.stream = (uint16_t)(record->nb_frontends + 1),
	};
	uint64_t nb_before = rig_xstat(rig, "rx_q0_good_packets") +
			rig_xstat(rig, "rx_q0_discarded_packets");
	struct traffic traffic;
	unsigned int i;

	rig_connect(rig, dev_conf);
	exhaust_lending(rig, crowd, &traffic, &conf);
	for (i = 0; i < RTE_DIM(changes); i++) {
		wait_packets(crowd, 100);
		changes[i](rig, crowd);
	}
	wait_packets(crowd, 100);
	traffic_halt(&traffic);
	/* Every second one leaves in mid-traffic: what is held then is of a front-end that is gone.
	 */
	if (record->nb_frontends % 2 == 0) {
		drain(rig, crowd, &traffic, nb_before);
		record->nb_drained++;
	}
	traffic_stop(&traffic);
	rig_disconnect(rig);
	rig_wait_link(rig, false);
	record->nb_frontends++;
	record->nb_stops += 2;
	record->nb_starvations++;
}

static uint64_t
end_of_test(void)
{
	const char *seconds = getenv(SECONDS_ENV);
	uint64_t ms = seconds != NULL ? strtoul(seconds, NULL, 10) * 1000 : DEFAULT_MS;

	return rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * ms;
}

static void
report(const struct rig *rig, const struct crowd *crowd, const struct record *record,
		const char *title)
{
	printf("# %s: %" PRIu64 " received, %" PRIu64 " lent, %" PRIu64 " copied, %" PRIu64
	       " starved, %" PRIu64 " without mbuf, %" PRIu64 " freed by others, %" PRIu64
	       " sent back, %u front-ends, %u of them drained, %u stops, %u times no mbuf left\n",
			title, crowd->nb_packets, rig_xstat(rig, "rx_q0_lent"),
			rig_xstat(rig, "rx_q0_copied"), rig_xstat(rig, "rx_q0_starved"),
			rig_xstat(rig, "rx_q0_no_mbuf"), crowd->nb_freed, crowd->nb_sent_back,
			record->nb_frontends, record->nb_drained, record->nb_stops,
			record->nb_starvations);
}

static void
check_stress(const char *mode, const struct rig_variant *variant)
{
	uint64_t end = end_of_test();
	struct record record = { 0 };
	struct tfe_dev_conf dev_conf;
	struct crowd crowd;
	char devargs[64], title[64];
	struct rig rig;
	const struct rig_conf conf = {
		.devargs = devargs,
		/* In mode split, headers and payload are an mbuf each. */
		.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
		.tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
		.nb_mbufs = NB_MBUFS,
	};

	snprintf(devargs, sizeof(devargs), ",zero-copy=%s,copybreak=256", mode);
	snprintf(title, sizeof(title), "%s, mode %s", variant->name, mode);
	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, variant);
	dev_conf.mem_bytes = 8 << 20;
	crowd_start(&crowd, &rig, strcmp(mode, "off") != 0);
	do
		run_frontend(&rig, &crowd, &dev_conf, &record);
	while (record.nb_frontends < MIN_FRONTENDS || rte_get_timer_cycles() < end);
	crowd_stop(&crowd);
	report(&rig, &crowd, &record, title);
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent") > 0, crowd.lends);
	assert_int_equal(rig_xstat(&rig, "frontend_closed"), 0);
	assert_true(crowd.nb_sent_back > 0);
	rig_fini(&rig);
}

static void
test_split_mode(void **state)
{
	check_stress("split", *state);
}

static void
test_full_mode(void **state)
{
	check_stress("full", *state);
}

static void
test_off_mode(void **state)
{
	check_stress("off", *state);
}

#define ALL(test) \
	RIG_TEST(test, split), RIG_TEST(test, packed), RIG_TEST(test, split_in_order), \
			RIG_TEST(test, packed_in_order)

static const struct CMUnitTest tests[] = {
	ALL(test_split_mode),
	ALL(test_full_mode),
	ALL(test_off_mode),
};

REGISTER_TEST_GROUP(driver_zcopy_stress_autotest, tests, rig_group_setup, rig_group_teardown);
