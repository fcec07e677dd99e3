/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Queue pairs of the port, of the application and of the front-end that are not equally many. */

#include <errno.h>

#include "driver_rig.h"

#define NB_PAIRS 4

/* Frames sent on each queue: more than a ring has room for. */
#define NB_FRAMES 1000

/* Connect a front-end with a number of pairs. */
static void
connect_pairs(struct rig *rig, const struct rig_variant *variant, unsigned int nb_pairs)
{
	struct tfe_dev_conf conf = rig_dev_conf(rig, variant);

	conf.nb_pairs = nb_pairs;
	conf.features |= F(NET_F_MQ);
	rig_connect(rig, &conf);
	rig_netqs(rig, 2048, NULL);
}

/* What is sent where no Rx queue is does not fill the ring: it is dropped, and counted. */
static void
check_unread(struct rig *rig, uint16_t i)
{
	uint8_t frame[64];
	unsigned int nb;
	int ret;

	tfe_frame_build(frame, sizeof(frame), i, i);
	for (nb = 0; nb < NB_FRAMES; nb++) {
		ret = tfe_netq_send(&rig->tx[i], NULL, frame, sizeof(frame));
		if (ret == -ENOSPC) {
			assert_int_equal(tfe_netq_wait_sent(&rig->tx[i], RIG_TIMEOUT_MS), 0);
			ret = tfe_netq_send(&rig->tx[i], NULL, frame, sizeof(frame));
		}
		assert_int_equal(ret, 0);
	}
	assert_int_equal(tfe_netq_wait_sent(&rig->tx[i], RIG_TIMEOUT_MS), 0);
}

/* The application has one pair, the front-end all of the port's. */
static void
test_fewer_configured(void **state)
{
	const struct rig_conf conf = { .nb_pairs = NB_PAIRS };
	struct rig rig;
	uint16_t i;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	connect_pairs(&rig, *state, NB_PAIRS);
	for (i = 1; i < NB_PAIRS; i++)
		check_unread(&rig, i);
	rig_wait_xstat(&rig, "frontend_unread_packets", (NB_PAIRS - 1) * NB_FRAMES);
	rig_check_traffic(&rig, 0, 0);
	/* What was sent while the port was stopped is dropped when it goes on. */
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	assert_int_equal(tfe_netq_send(&rig.tx[1], NULL, "01234567890123", 14), 0);
	assert_int_equal(rte_eth_dev_start(rig.port), 0);
	assert_int_equal(tfe_netq_wait_sent(&rig.tx[1], RIG_TIMEOUT_MS), 0);
	/* With a queue for each they are read. */
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	rig_port_start(&rig, &(struct rig_conf){ .nb_queues = NB_PAIRS });
	rig_wait_link(&rig, true);
	for (i = 0; i < NB_PAIRS; i++)
		rig_check_traffic(&rig, i, i);
	assert_int_equal(rig_xstat(&rig, "frontend_unread_packets"),
			(NB_PAIRS - 1) * NB_FRAMES + 1);
	rig_fini(&rig);
}

/* A malformed chain is as fatal as where it is read. */
static void
test_unread_malformed(void **state)
{
	const struct rig_conf conf = { .nb_pairs = NB_PAIRS };
	struct vring_desc desc = { .addr = UINT64_C(0x123456789000), .len = 100 };
	struct tfe_ring *ring;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	connect_pairs(&rig, *state, NB_PAIRS);
	ring = rig.tx[2].ring;
	tfe_split_put_desc(ring, 0, &desc);
	tfe_split_put_avail(ring, 0);
	tfe_split_set_avail_idx(ring, ring->avail_idx + 1);
	assert_int_equal(tfe_ring_kick(ring), 0);
	assert_int_equal(tfe_conn_wait_closed(&rig.dev.conn, RIG_TIMEOUT_MS), 0);
	rig_wait_link(&rig, false);
	rig_disconnect(&rig);
	connect_pairs(&rig, *state, NB_PAIRS);
	rig_check_traffic(&rig, 0, 0);
	rig_fini(&rig);
}

/* The front-end has fewer pairs than the application: the others are idle. */
static void
test_fewer_in_front_end(void **state)
{
	const struct rig_conf conf = { .nb_queues = NB_PAIRS };
	uint8_t frame[64] = { 0 };
	struct rte_mbuf *m;
	struct rig rig;
	uint16_t i;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	connect_pairs(&rig, *state, 2);
	for (i = 0; i < 2; i++)
		rig_check_traffic(&rig, i, i);
	for (i = 2; i < NB_PAIRS; i++) {
		assert_int_equal(rte_eth_rx_burst(rig.port, i, &m, 1), 0);
		m = rig_mbuf(&rig, frame, sizeof(frame), 0);
		assert_int_equal(rte_eth_tx_burst(rig.port, i, &m, 1), 0);
		rte_pktmbuf_free(m);
	}
	rig_fini(&rig);
}

/* It wants more pairs than the port has: it is told how many there are, and refused the rest. */
static void
test_more_in_front_end(void **state)
{
	const struct rig_conf conf = { .nb_queues = 2 };
	struct tfe_dev_conf dev_conf;
	struct tfe_dev dev;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, *state);
	dev_conf.nb_pairs = 3;
	dev_conf.features |= F(NET_F_MQ);
	assert_int_equal(tfe_dev_open(&dev, &dev_conf), -ERANGE);
	rig_wait_xstat(&rig, "frontend_lost", 1);
	connect_pairs(&rig, *state, 2);
	assert_int_equal(rig.dev.max_pairs, 2);
	assert_int_equal(tfe_req_set_vring_num(&rig.dev.conn, 4, 256), -EREMOTEIO);
	rig_check_traffic(&rig, 1, 1);
	rig_fini(&rig);
}

#define EVENTS(test) \
	RIG_TEST(test, split), RIG_TEST(test, packed), RIG_TEST(test, split_event), \
			RIG_TEST(test, packed_event)

static const struct CMUnitTest tests[] = {
	EVENTS(test_fewer_configured),
	RIG_TEST(test_unread_malformed, split),
	RIG_TEST(test_fewer_in_front_end, split),
	RIG_TEST(test_fewer_in_front_end, packed),
	RIG_TEST(test_more_in_front_end, split),
};

REGISTER_TEST_GROUP(driver_pairs_autotest, tests, rig_group_setup, rig_group_teardown);
