/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <string.h>

#include "driver_rig.h"

#define NB_FRAMES 40

static const struct tfe_net_layout split_header = { .split_header = true };
static const struct tfe_net_layout cut_header = { .split_header = true, .hdr_seg_bytes = 4 };
static const struct tfe_net_layout indirect = { .split_header = true, .indirect = true };
static const struct tfe_net_layout pieces = { .seg_bytes = 100 };

/* Send frames of many sizes from the front-end, a few at a time, and receive them intact. */
static void
check_rx(struct rig *rig, const uint32_t *sizes, unsigned int nb_sizes)
{
	static uint8_t frame[65536];
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	unsigned int i, size, round;

	for (round = 0; round < 10; round++) {
		for (i = 0; i < NB_FRAMES; i++) {
			size = sizes[i % nb_sizes];
			tfe_frame_build(frame, size, 7, i);
			assert_int_equal(tfe_netq_send(&rig->tx[0], NULL, frame, size), 0);
		}
		rig_rx(rig, 0, mbufs, NB_FRAMES);
		for (i = 0; i < NB_FRAMES; i++) {
			size = sizes[i % nb_sizes];
			tfe_frame_build(frame, size, 7, i);
			rig_check_mbuf(mbufs[i], frame, size);
			assert_int_equal(mbufs[i]->port, rig->port);
			assert_int_equal(rig_ol_flags(mbufs[i]), 0);
		}
		rte_pktmbuf_free_bulk(mbufs, NB_FRAMES);
		/* What was received without a copy goes back when the port is polled again. */
		rig_rx_none(rig, 0);
	}
	assert_int_equal(rig_xstat(rig, "rx_q0_good_packets"), 10 * NB_FRAMES);
}

/* Receive in the front-end what the port sends. */
static void
check_tx(struct rig *rig, const uint32_t *sizes, unsigned int nb_sizes, uint32_t seg_bytes)
{
	static uint8_t frame[65536];
	struct rte_mbuf *mbufs[NB_FRAMES];
	unsigned int i, size, round;
	uint16_t stream;
	uint64_t seq;
	struct tfe_pkt pkt;

	for (round = 0; round < 10; round++) {
		assert_true(tfe_netq_post(&rig->rx[0], 200) > 0);
		for (i = 0; i < NB_FRAMES; i++) {
			size = sizes[i % nb_sizes];
			tfe_frame_build(frame, size, 9, i);
			mbufs[i] = rig_mbuf(rig, frame, size, seg_bytes);
		}
		rig_tx(rig, 0, mbufs, NB_FRAMES);
		for (i = 0; i < NB_FRAMES; i++) {
			assert_int_equal(tfe_netq_recv(&rig->rx[0], &pkt, RIG_TIMEOUT_MS), 1);
			assert_int_equal(pkt.len_bytes, sizes[i % nb_sizes]);
			assert_int_equal(tfe_frame_check(pkt.frame, pkt.len_bytes, &stream, &seq),
					TFE_FRAME_GOOD);
			assert_int_equal(seq, i);
			assert_int_equal(pkt.hdr.flags, 0);
			assert_int_equal(pkt.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		}
	}
	assert_int_equal(rig_xstat(rig, "tx_q0_good_packets"), 10 * NB_FRAMES);
}

static const uint32_t small_sizes[] = { 60, 64, 65, 127, 128, 256, 511, 1024, 1514, 1518 };

static void
test_rx(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	check_rx(&rig, small_sizes, RTE_DIM(small_sizes));
	rig_fini(&rig);
}

static void
check_rx_layout(const struct rig_variant *variant, const struct tfe_net_layout *layout)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, variant, layout->indirect ? F(RING_F_INDIRECT_DESC) : 0, layout);
	/* Fewer at a time, for the queue has one slot for each piece. */
	check_rx(&rig, small_sizes, 4);
	rig_fini(&rig);
}

static void
test_rx_split_header(void **state)
{
	check_rx_layout(*state, &split_header);
}

static void
test_rx_cut_header(void **state)
{
	check_rx_layout(*state, &cut_header);
}

static void
test_rx_indirect(void **state)
{
	check_rx_layout(*state, &indirect);
}

static void
test_rx_pieces(void **state)
{
	check_rx_layout(*state, &pieces);
}

/* A frame that is longer than an mbuf goes into several, if the application wants that. */
static void
test_rx_scatter(void **state)
{
	static const uint32_t sizes[] = { 60, 512, 513, 1600, 1024, 2000 };
	const struct rig_conf conf = { .rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER, .room = 512 };
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	check_rx(&rig, sizes, RTE_DIM(sizes));
	rig_fini(&rig);
}

/* ... and is dropped and counted otherwise. */
static void
test_rx_too_long(void **state)
{
	const struct rig_conf conf = { .room = 512 };
	struct rte_eth_stats stats;
	uint8_t frame[513];
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	rig_rx_none(&rig, 0);
	assert_int_equal(rig_xstat(&rig, "rx_q0_too_long_dropped"), 1);
	assert_int_equal(rte_eth_stats_get(rig.port, &stats), 0);
	assert_int_equal(stats.ierrors, 1);
	assert_int_equal(stats.ipackets, 0);
	rig_fini(&rig);
}

/* A frame without a whole Ethernet header is no frame, but no crime either. */
static void
test_rx_runt(void **state)
{
	const struct rig_conf conf = { 0 };
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, 13), 0);
	rig_rx_none(&rig, 0);
	assert_int_equal(rig_xstat(&rig, "rx_q0_runt_dropped"), 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, 14), 0);
	rig_rx(&rig, 0, &m, 1);
	rig_check_mbuf(m, frame, 14);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* Without mbufs packets stay in the ring, none is lost. */
static void
test_rx_no_mbuf(void **state)
{
	const struct rig_conf conf = { .nb_mbufs = 16 };
	struct rte_mbuf *mbufs[20];
	struct rte_eth_stats stats;
	uint8_t frame[64];
	unsigned int i;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	for (i = 0; i < RTE_DIM(mbufs); i++) {
		tfe_frame_build(frame, sizeof(frame), 1, i);
		assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	}
	rig_rx(&rig, 0, mbufs, 16);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &mbufs[16], 4), 0);
	assert_int_equal(rte_eth_stats_get(rig.port, &stats), 0);
	assert_true(stats.rx_nombuf > 0);
	rte_pktmbuf_free_bulk(mbufs, 16);
	rig_rx(&rig, 0, mbufs, 4);
	for (i = 0; i < 4; i++) {
		tfe_frame_build(frame, sizeof(frame), 1, 16 + i);
		rig_check_mbuf(mbufs[i], frame, sizeof(frame));
	}
	rte_pktmbuf_free_bulk(mbufs, 4);
	rig_fini(&rig);
}

static void
test_tx(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	check_tx(&rig, small_sizes, RTE_DIM(small_sizes), 0);
	rig_fini(&rig);
}

static void
test_tx_multi_seg(void **state)
{
	const struct rig_conf conf = { .tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS };
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_MRG_RXBUF), NULL);
	check_tx(&rig, small_sizes, RTE_DIM(small_sizes), 100);
	rig_fini(&rig);
}

static void
test_tx_pieces(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, F(RING_F_INDIRECT_DESC), &indirect);
	check_tx(&rig, small_sizes, RTE_DIM(small_sizes), 0);
	rig_fini(&rig);
}

/* A frame that is longer than a buffer goes into several, with mergeable buffers. */
static void
test_tx_mergeable(void **state)
{
	static const uint32_t sizes[] = { 60, 244, 245, 1500, 500, 300 };
	const struct rig_conf conf = { .tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS };
	struct tfe_dev_conf dev_conf;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, *state);
	dev_conf.features |= F(NET_F_MRG_RXBUF);
	rig_connect(&rig, &dev_conf);
	rig_netqs(&rig, 256, NULL);
	check_tx(&rig, sizes, RTE_DIM(sizes), 150);
	rig_fini(&rig);
}

/* Without them it is dropped and counted, and the buffer is for the next one. */
static void
test_tx_too_long(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rte_eth_stats stats;
	struct rte_mbuf *mbufs[2];
	uint8_t frame[3000];
	struct tfe_pkt pkt;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 1), 1);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	mbufs[0] = rig_mbuf(&rig, frame, sizeof(frame), 1500);
	tfe_frame_build(frame, 64, 1, 2);
	mbufs[1] = rig_mbuf(&rig, frame, 64, 0);
	rig_tx(&rig, 0, mbufs, 2);
	assert_int_equal(tfe_netq_recv(&rig.rx[0], &pkt, RIG_TIMEOUT_MS), 1);
	assert_int_equal(pkt.len_bytes, 64);
	assert_memory_equal(pkt.frame, frame, 64);
	assert_int_equal(rig_xstat(&rig, "tx_q0_too_long_dropped"), 1);
	assert_int_equal(rte_eth_stats_get(rig.port, &stats), 0);
	assert_int_equal(stats.oerrors, 1);
	assert_int_equal(stats.opackets, 1);
	rig_fini(&rig);
}

/* What does not fit all the buffers there can be is dropped; the rest waits for buffers. */
static void
test_tx_never_enough(void **state)
{
	const struct rig_conf conf = { .tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS };
	struct tfe_dev_conf dev_conf;
	struct rte_mbuf *mbufs[2];
	uint8_t frame[1600];
	struct tfe_pkt pkt;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, *state);
	dev_conf.features |= F(NET_F_MRG_RXBUF);
	dev_conf.receiveq_size = 4;
	rig_connect(&rig, &dev_conf);
	rig_netqs(&rig, 256, NULL);

	tfe_frame_build(frame, sizeof(frame), 1, 1);
	mbufs[0] = rig_mbuf(&rig, frame, 800, 0);
	/* Three of four buffers: not enough now. */
	assert_int_equal(tfe_netq_post(&rig.rx[0], 3), 3);
	assert_int_equal(rte_eth_tx_burst(rig.port, 0, mbufs, 1), 0);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 1), 1);
	rig_tx(&rig, 0, mbufs, 1);
	assert_int_equal(tfe_netq_recv(&rig.rx[0], &pkt, RIG_TIMEOUT_MS), 1);
	assert_int_equal(pkt.len_bytes, 800);
	assert_int_equal(pkt.nb_chains, 4);
	assert_memory_equal(pkt.frame, frame, 800);
	/* More than four buffers: never. */
	assert_int_equal(tfe_netq_post(&rig.rx[0], 4), 4);
	mbufs[0] = rig_mbuf(&rig, frame, sizeof(frame), 0);
	mbufs[1] = rig_mbuf(&rig, frame, 60, 0);
	rig_tx(&rig, 0, mbufs, 2);
	assert_int_equal(tfe_netq_recv(&rig.rx[0], &pkt, RIG_TIMEOUT_MS), 1);
	assert_int_equal(pkt.len_bytes, 60);
	assert_int_equal(rig_xstat(&rig, "tx_q0_too_long_dropped"), 1);
	rig_fini(&rig);
}

/* A full ring takes no more. */
static void
test_tx_ring_full(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	uint8_t frame[64];
	unsigned int i;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 40), 40);
	for (i = 0; i < RIG_MAX_BURST; i++) {
		tfe_frame_build(frame, sizeof(frame), 1, i);
		mbufs[i] = rig_mbuf(&rig, frame, sizeof(frame), 0);
	}
	assert_int_equal(rte_eth_tx_burst(rig.port, 0, mbufs, RIG_MAX_BURST), 40);
	assert_int_equal(rte_eth_tx_burst(rig.port, 0, &mbufs[40], RIG_MAX_BURST - 40), 0);
	assert_int_equal(rig_xstat(&rig, "tx_q0_ring_full"), 2);
	rte_pktmbuf_free_bulk(&mbufs[40], RIG_MAX_BURST - 40);
	rig_fini(&rig);
}

/* Four pairs: each Rx queue gets what its ring has, each ring what its Tx queue was given. */
static void
test_multi_queue(void **state)
{
	const struct rig_conf conf = { .nb_queues = 4 };
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct tfe_pkt pkt;
	struct rig rig;
	uint16_t i;

	rig_open(&rig, &conf, *state, F(NET_F_MQ), NULL);
	for (i = 0; i < 4; i++) {
		tfe_frame_build(frame, sizeof(frame), i, i);
		assert_int_equal(tfe_netq_send(&rig.tx[i], NULL, frame, sizeof(frame)), 0);
		assert_int_equal(tfe_netq_post(&rig.rx[i], 1), 1);
	}
	for (i = 0; i < 4; i++) {
		rig_rx(&rig, i, &m, 1);
		tfe_frame_build(frame, sizeof(frame), i, i);
		rig_check_mbuf(m, frame, sizeof(frame));
		rig_tx(&rig, i, &m, 1);
		assert_int_equal(tfe_netq_recv(&rig.rx[i], &pkt, RIG_TIMEOUT_MS), 1);
		assert_memory_equal(pkt.frame, frame, sizeof(frame));
	}
	rig_fini(&rig);
}

/* vhost-user, "Ring states": what a disabled ring sends is discarded. */
static void
test_discard(void **state)
{
	const struct rig_conf conf = { 0 };
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	assert_int_equal(tfe_dev_enable(&rig.dev, false), 0);
	rig_wait_link(&rig, false);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	rig_rx_none(&rig, 0);
	assert_int_equal(rig_xstat(&rig, "rx_q0_discarded_packets"), 1);
	assert_int_equal(rig_xstat(&rig, "rx_q0_unlogged_writes"), 0);
	assert_int_equal(tfe_dev_enable(&rig.dev, true), 0);
	rig_wait_link(&rig, true);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	rig_rx(&rig, 0, &m, 1);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* A front-end that polls gets no calls, one that waits gets one; a polling port wants no kick. */
static void
test_notifications(void **state)
{
	const struct rig_conf conf = { 0 };
	uint8_t frame[64];
	struct rte_mbuf *m;
	uint64_t nb_calls;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, 0, NULL);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	/* The first chain tells the device what is wanted. */
	tfe_ring_want_calls(rig.tx[0].ring, false);
	for (i = 0; i < 100; i++) {
		assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
		rig_rx(&rig, 0, &m, 1);
		rte_pktmbuf_free(m);
	}
	assert_true(rig_xstat(&rig, "rx_q0_guest_notifications") <= 1);
	assert_int_equal(rig.tx[0].ring->nb_kicks, 0);
	assert_int_equal(tfe_netq_wait_sent(&rig.tx[0], RIG_TIMEOUT_MS), 0);
	nb_calls = rig_xstat(&rig, "rx_q0_guest_notifications");
	tfe_ring_want_calls(rig.tx[0].ring, true);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	rig_rx(&rig, 0, &m, 1);
	rte_pktmbuf_free(m);
	assert_int_equal(rig_xstat(&rig, "rx_q0_guest_notifications"), nb_calls + 1);
	rig_fini(&rig);
}

/* SEND_RARP: the guest has moved here, so the network is to hear of it. */
static void
test_rarp(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0, 0, 0, 0, 0x2a };
	const struct rig_conf conf = { 0 };
	struct tfe_dev_conf dev_conf;
	uint64_t features;
	struct rte_mbuf *m;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, *state);
	dev_conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_RARP);
	rig_connect(&rig, &dev_conf);
	assert_int_equal(tfe_req_send_rarp(&rig.dev.conn, mac), 0);
	rig_rx(&rig, 0, &m, 1);
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *) + 6, mac, sizeof(mac));
	assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[12], 0x80);
	assert_int_equal(rte_pktmbuf_mtod(m, uint8_t *)[13], 0x35);
	rte_pktmbuf_free(m);
	/* One that is not received in time is of the past: after a stop, and after its sender. It
	 * has no reply: that to the next message says that it has been handled.
	 */
	assert_int_equal(tfe_req_send_rarp(&rig.dev.conn, mac), 0);
	assert_int_equal(tfe_req_get_features(&rig.dev.conn, &features), 0);
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	assert_int_equal(rte_eth_dev_start(rig.port), 0);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	assert_int_equal(tfe_req_send_rarp(&rig.dev.conn, mac), 0);
	rig_disconnect(&rig);
	rig_wait_link(&rig, false);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	rig_fini(&rig);
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)
#define ALL(test) \
	BOTH(test), RIG_TEST(test, split_event), RIG_TEST(test, packed_event), \
			RIG_TEST(test, split_in_order), RIG_TEST(test, packed_in_order), \
			RIG_TEST(test, legacy)

static const struct CMUnitTest tests[] = {
	ALL(test_rx),
	ALL(test_tx),
	BOTH(test_rx_split_header),
	BOTH(test_rx_cut_header),
	BOTH(test_rx_indirect),
	BOTH(test_rx_pieces),
	BOTH(test_rx_scatter),
	BOTH(test_rx_too_long),
	BOTH(test_rx_runt),
	BOTH(test_rx_no_mbuf),
	BOTH(test_tx_multi_seg),
	BOTH(test_tx_pieces),
	BOTH(test_tx_mergeable),
	RIG_TEST(test_tx_mergeable, legacy),
	BOTH(test_tx_too_long),
	BOTH(test_tx_never_enough),
	BOTH(test_tx_ring_full),
	BOTH(test_multi_queue),
	BOTH(test_discard),
	BOTH(test_notifications),
	RIG_TEST(test_notifications, split_event),
	RIG_TEST(test_notifications, packed_event),
	RIG_TEST(test_rarp, split),
};

REGISTER_TEST_GROUP(driver_traffic_autotest, tests, rig_group_setup, rig_group_teardown);
