/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Packets received without a copy: what they are, and that each of their chains comes back to the
 * front-end exactly once, whatever ends first. The test front-end finds a chain that comes twice;
 * the sanitizer one whose memory went before its packet.
 */

#include <errno.h>
#include <string.h>

#include "driver_rig.h"
#include "packet.h"

/* A frame that is attached, and the part of it that is copied in split mode. */
#define FRAME_LEN   1500
#define HEADERS_LEN 128

#define RING_SIZE 256

static const struct rig_conf split_conf = {
	.devargs = ",zero-copy=split,copybreak=256",
	.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
};
static const struct rig_conf full_conf = { .devargs = ",zero-copy=full,copybreak=256" };
static const struct rig_conf off_conf = {
	.devargs = ",zero-copy=off,copybreak=256",
	.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
};

static void
open_rig(struct rig *rig, const struct rig_conf *conf, const struct rig_variant *variant)
{
	rig_open(rig, conf, variant, 0, NULL);
}

static void
send_frame(struct rig *rig, uint32_t len, uint64_t seq)
{
	static uint8_t frame[65536];

	tfe_frame_build(frame, len, 3, seq);
	assert_int_equal(tfe_netq_send(&rig->tx[0], NULL, frame, len), 0);
}

/* Send frames, and receive as many. */
static void
receive(struct rig *rig, struct rte_mbuf **mbufs, unsigned int nb)
{
	unsigned int i;

	for (i = 0; i < nb; i++)
		send_frame(rig, FRAME_LEN, i);
	rig_rx(rig, 0, mbufs, nb);
}

static void
check_frame(const struct rte_mbuf *m, uint32_t len, uint64_t seq)
{
	static uint8_t frame[65536];

	tfe_frame_build(frame, len, 3, seq);
	rig_check_mbuf(m, frame, len);
}

/* Let the port look at what was freed, and wait until the front-end has all its chains. */
static void
wait_returned(struct rig *rig)
{
	rig_rx_none(rig, 0);
	assert_int_equal(rig_xstat(rig, "rx_q0_held"), 0);
}

/* That the front-end does not have all of its chains back. */
static void
check_held(struct rig *rig, unsigned int nb)
{
	struct rte_mbuf *m;

	assert_int_equal(rte_eth_rx_burst(rig->port, 0, &m, 1), 0);
	assert_int_equal(rig_xstat(rig, "rx_q0_held"), nb);
	assert_int_equal(tfe_netq_wait_sent(&rig->tx[0], 0), nb > 0 ? -ETIMEDOUT : 0);
}

/* The headers are in the mbuf, for the application to change; the payload is where it was. */
static void
test_split(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	open_rig(&rig, &split_conf, *state);
	receive(&rig, &m, 1);
	check_frame(m, FRAME_LEN, 0);
	assert_int_equal(m->nb_segs, 2);
	assert_false(RTE_MBUF_HAS_EXTBUF(m));
	assert_int_equal(m->data_len, HEADERS_LEN);
	assert_int_equal(rte_pktmbuf_headroom(m), RTE_PKTMBUF_HEADROOM);
	assert_true(RTE_MBUF_HAS_EXTBUF(m->next));
	assert_int_equal(rte_pktmbuf_tailroom(m->next), 0);
	check_held(&rig, 1);
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent"), 1);
	assert_int_equal(rig_xstat(&rig, "rx_q0_copied"), 0);
	rte_pktmbuf_free(m);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* What the front-end's buffer of the next frame has after the virtio-net header. */
static uint8_t *
next_buffer(struct rig *rig)
{
	struct tfe_netq *q = &rig->tx[0];
	uint8_t *buf = q->pool.va;

	return buf + (size_t)q->free_bufs[q->nb_free_bufs - 1] * q->stride_bytes +
			q->pieces[0].offset + rig->dev.hdr_bytes;
}

/* A front-end that writes to what it has sent: headers that were checked stay as they were, and the
 * application's changes to them are its own. The payload is the front-end's memory, unless all is
 * copied.
 */
static void
check_rewritten(const struct rig_conf *conf, const struct rig_variant *variant, uint32_t nb_kept)
{
	static uint8_t frame[FRAME_LEN], rewritten[FRAME_LEN];
	struct rte_mbuf *m;
	uint8_t *sent;
	struct rig rig;

	memset(rewritten, 0xee, sizeof(rewritten));
	tfe_frame_build(frame, FRAME_LEN, 3, 0);
	open_rig(&rig, conf, variant);
	sent = next_buffer(&rig);
	receive(&rig, &m, 1);
	memcpy(sent, rewritten, FRAME_LEN);
	memcpy(&frame[nb_kept], &rewritten[nb_kept], FRAME_LEN - nb_kept);
	rig_check_mbuf(m, frame, FRAME_LEN);
	if (nb_kept > 0) {
		memset(rte_pktmbuf_mtod(m, void *), 0x11, nb_kept);
		assert_memory_equal(sent, rewritten, FRAME_LEN);
	}
	rte_pktmbuf_free(m);
	wait_returned(&rig);
	rig_fini(&rig);
}

static void
test_rewritten_by_the_front_end(void **state)
{
	check_rewritten(&split_conf, *state, HEADERS_LEN);
	check_rewritten(&full_conf, *state, 0);
	check_rewritten(&off_conf, *state, FRAME_LEN);
}

static void
test_full(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	open_rig(&rig, &full_conf, *state);
	receive(&rig, &m, 1);
	check_frame(m, FRAME_LEN, 0);
	assert_int_equal(m->nb_segs, 1);
	assert_true(RTE_MBUF_HAS_EXTBUF(m));
	assert_int_equal(rte_pktmbuf_headroom(m), 0);
	assert_int_equal(rte_pktmbuf_tailroom(m), 0);
	check_held(&rig, 1);
	rte_pktmbuf_free(m);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* The modes that copy, and what is copied in the other ones. */
static void
check_copied(struct rig *rig, uint32_t len)
{
	uint64_t nb = rig_xstat(rig, "rx_q0_copied");
	struct rte_mbuf *m;

	send_frame(rig, len, 0);
	rig_rx(rig, 0, &m, 1);
	check_frame(m, len, 0);
	assert_false(RTE_MBUF_HAS_EXTBUF(rte_pktmbuf_lastseg(m)));
	check_held(rig, 0);
	assert_int_equal(rig_xstat(rig, "rx_q0_copied"), nb + 1);
	assert_int_equal(rig_xstat(rig, "rx_q0_starved"), 0);
	rte_pktmbuf_free(m);
}

static void
test_off(void **state)
{
	struct rig rig;

	open_rig(&rig, &off_conf, *state);
	check_copied(&rig, FRAME_LEN);
	rig_fini(&rig);
}

static void
test_copybreak(void **state)
{
	struct rte_mbuf *m;
	struct rig rig;

	open_rig(&rig, &full_conf, *state);
	check_copied(&rig, 255);
	send_frame(&rig, 256, 1);
	rig_rx(&rig, 0, &m, 1);
	assert_true(RTE_MBUF_HAS_EXTBUF(m));
	rte_pktmbuf_free(m);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* An application that has not asked for packets of several mbufs gets none. */
static void
test_split_needs_scatter(void **state)
{
	const struct rig_conf conf = { .devargs = ",zero-copy=split,copybreak=256" };
	struct rig rig;

	open_rig(&rig, &conf, *state);
	check_copied(&rig, FRAME_LEN);
	rig_fini(&rig);
}

static void
test_full_needs_scatter(void **state)
{
	static const struct tfe_net_layout pieces = { .seg_bytes = 800 };
	struct rig rig;

	rig_open(&rig, &full_conf, *state, 0, &pieces);
	check_copied(&rig, FRAME_LEN);
	rig_fini(&rig);
}

/* A packet in many small pieces costs less as a copy. */
static void
test_small_pieces(void **state)
{
	static const struct tfe_net_layout pieces = { .seg_bytes = 100 };
	struct rig rig;

	rig_open(&rig, &split_conf, *state, 0, &pieces);
	check_copied(&rig, FRAME_LEN);
	rig_fini(&rig);
}

/* Packets of 64 KiB in pieces of a page, as a guest's segmentation offload has them. */
static void
check_large(const struct rig_conf *conf, const struct rig_variant *variant, unsigned int nb_segs)
{
	static const struct tfe_net_layout pages = { .split_header = true,
		.seg_bytes = 4096,
		.indirect = true };
	struct tfe_dev_conf dev_conf;
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;

	rig_init(&rig);
	rig_port_open(&rig, conf);
	dev_conf = rig_dev_conf(&rig, variant);
	dev_conf.features |= F(RING_F_INDIRECT_DESC);
	dev_conf.transmitq_size = 64;
	rig_connect(&rig, &dev_conf);
	rig_netqs(&rig, 65550, &pages);
	for (i = 0; i < 200; i++) {
		send_frame(&rig, 65535, i);
		rig_rx(&rig, 0, &m, 1);
		assert_int_equal(m->nb_segs, nb_segs);
		check_frame(m, 65535, i);
		rte_pktmbuf_free(m);
	}
	wait_returned(&rig);
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent"), 200);
	rig_fini(&rig);
}

static void
test_large_split(void **state)
{
	check_large(&split_conf, *state, 17);
}

static void
test_large_full(void **state)
{
	struct rig_conf conf = full_conf;

	conf.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER;
	check_large(&conf, *state, 16);
}

/* No more than half of the ring is ever lent; what comes then is copied. */
static void
test_starved(void **state)
{
	const bool in_order = ((struct rig_variant *)*state)->features & F(F_IN_ORDER);
	static struct rte_mbuf *mbufs[RING_SIZE];
	struct rig_conf conf = full_conf;
	struct rig rig;
	unsigned int i;

	conf.nb_mbufs = 2047;
	open_rig(&rig, &conf, *state);
	for (i = 0; i < RING_SIZE; i += 32)
		receive(&rig, &mbufs[i], 32);
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent"), RING_SIZE / 2);
	assert_int_equal(rig_xstat(&rig, "rx_q0_starved"), RING_SIZE / 2);
	assert_int_equal(rig_xstat(&rig, "rx_q0_copied"), RING_SIZE / 2);
	check_held(&rig, RING_SIZE / 2);
	for (i = 0; i < RING_SIZE; i++)
		check_frame(mbufs[i], FRAME_LEN, i % 32);
	if (in_order) {
		/* All wait for the first one. */
		rte_pktmbuf_free_bulk(&mbufs[1], RING_SIZE - 1);
		check_held(&rig, 1);
		assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, "01234567890123", 14), -ENOSPC);
		rte_pktmbuf_free(mbufs[0]);
	} else {
		/* In some order that is neither that of the ring nor its reverse. */
		for (i = 0; i < RING_SIZE; i++)
			rte_pktmbuf_free(mbufs[i * 77 % RING_SIZE]);
	}
	wait_returned(&rig);
	receive(&rig, mbufs, 1);
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent"), RING_SIZE / 2 + 1);
	rte_pktmbuf_free(mbufs[0]);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* An mbuf of which there is more than one reference goes back with the last. */
static void
test_cloned(void **state)
{
	struct rte_mbuf *m, *clone;
	struct rig rig;

	open_rig(&rig, &split_conf, *state);
	receive(&rig, &m, 1);
	clone = rte_pktmbuf_clone(m, rig.pool);
	assert_non_null(clone);
	rte_pktmbuf_free(m);
	check_held(&rig, 1);
	check_frame(clone, FRAME_LEN, 0);
	rte_pktmbuf_free(clone);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* Between two ports a packet is copied once: by the one that sends. */
static void
test_forward(void **state)
{
	struct rte_mbuf *mbufs[32];
	struct tfe_pkt pkt;
	struct rig a, b;
	unsigned int i;
	uint16_t stream;
	uint64_t seq;

	open_rig(&a, &split_conf, *state);
	open_rig(&b, &split_conf, *state);
	receive(&a, mbufs, 32);
	assert_int_equal(tfe_netq_post(&b.rx[0], 32), 32);
	rig_tx(&b, 0, mbufs, 32);
	for (i = 0; i < 32; i++) {
		assert_int_equal(tfe_netq_recv(&b.rx[0], &pkt, RIG_TIMEOUT_MS), 1);
		assert_int_equal(pkt.len_bytes, FRAME_LEN);
		assert_int_equal(tfe_frame_check(pkt.frame, pkt.len_bytes, &stream, &seq),
				TFE_FRAME_GOOD);
		assert_int_equal(seq, i);
	}
	wait_returned(&a);
	assert_int_equal(rig_xstat(&a, "rx_q0_lent"), 32);
	assert_int_equal(rig_xstat(&a, "rx_q0_copied"), 0);
	assert_int_equal(rig_xstat(&b, "tx_q0_good_packets"), 32);
	rig_fini(&b);
	rig_fini(&a);
}

/* Nothing is written to the front-end's memory: who must write has a copy to write to. */
static void
check_read_only(struct rig *rig, const struct virtio_net_hdr_v1 *hdr, struct packet *packet)
{
	const uint8_t *sent = next_buffer(rig);
	struct rte_mbuf *m;

	assert_int_equal(tfe_netq_send(&rig->tx[0], hdr, packet->bytes, packet->len), 0);
	assert_memory_equal(sent, packet->bytes, packet->len);
	rig_rx(rig, 0, &m, 1);
	assert_memory_equal(sent, packet->bytes, packet->len);
	assert_int_equal(m->nb_segs, 1);
	assert_false(RTE_MBUF_HAS_EXTBUF(m));
	rte_pktmbuf_free(m);
	wait_returned(rig);
}

static void
test_written_to(void **state)
{
	static struct packet packet;
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	struct rig_conf conf = full_conf;
	struct rig rig;

	conf.rx_offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	packet = (struct packet){ .has_vlan = true, .payload_len = 600 };
	packet_build(&packet);
	check_read_only(&rig, NULL, &packet);
	packet = (struct packet){ .payload_len = 600 };
	packet_build(&packet);
	packet_make_partial(&packet);
	hdr.csum_start = packet.l4_offset;
	hdr.csum_offset = packet.csum_offset;
	check_read_only(&rig, &hdr, &packet);
	assert_int_equal(rig_xstat(&rig, "rx_q0_sw_csum_packets"), 1);
	rig_fini(&rig);
}

/* What is held while other things end */

/* Receive packets and keep them. */
static void
hold(struct rig *rig, struct rte_mbuf **mbufs, unsigned int nb)
{
	receive(rig, mbufs, nb);
	check_held(rig, nb);
}

/* The packets are as they were, for their memory is; then they go. */
static void
check_and_free(struct rte_mbuf **mbufs, unsigned int nb)
{
	unsigned int i;

	for (i = 0; i < nb; i++)
		check_frame(mbufs[i], FRAME_LEN, i);
	rte_pktmbuf_free_bulk(mbufs, nb);
}

/* A port, or a queue, that is stopped: the chains come back with the next start. */
static void
test_held_stop(void **state)
{
	struct rte_mbuf *mbufs[8];
	struct rig rig;

	open_rig(&rig, &split_conf, *state);
	hold(&rig, mbufs, 8);
	assert_int_equal(rte_eth_dev_rx_queue_stop(rig.port, 0), 0);
	rte_pktmbuf_free(mbufs[0]);
	assert_int_equal(rte_eth_dev_rx_queue_start(rig.port, 0), 0);
	check_held(&rig, 7);
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	rte_pktmbuf_free_bulk(&mbufs[1], 6);
	assert_int_equal(rte_eth_dev_start(rig.port), 0);
	rig_wait_link(&rig, true);
	/* Control has returned them: nobody has polled yet. */
	assert_int_equal(rig_xstat(&rig, "rx_q0_held"), 1);
	check_frame(mbufs[7], FRAME_LEN, 7);
	rte_pktmbuf_free(mbufs[7]);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* A ring that is stopped has its chains back in time, and goes on; the packets stay readable. */
static void
test_held_ring_stop(void **state)
{
	struct rte_mbuf *mbufs[8];
	struct rig rig;

	open_rig(&rig, &split_conf, *state);
	hold(&rig, mbufs, 8);
	assert_int_equal(tfe_dev_stop(&rig.dev), 0);
	assert_int_equal(tfe_netq_wait_sent(&rig.tx[0], 0), 0);
	assert_int_equal(tfe_dev_start(&rig.dev), 0);
	rig_wait_link(&rig, true);
	assert_int_equal(rig_xstat(&rig, "rx_q0_held"), 0);
	check_and_free(mbufs, 8);
	/* What is freed late is nobody's any more: nothing comes twice. */
	receive(&rig, mbufs, 8);
	check_and_free(mbufs, 8);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* A front-end that comes and goes: each one's memory lasts as long as its packets. */
static void
test_held_reconnect(void **state)
{
	struct rte_mbuf *mbufs[10][8];
	struct tfe_dev_conf dev_conf;
	struct rig rig;
	unsigned int i;

	open_rig(&rig, &split_conf, *state);
	dev_conf = rig_dev_conf(&rig, *state);
	for (i = 0; i < 10; i++) {
		hold(&rig, mbufs[i], 8);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
		rig_connect(&rig, &dev_conf);
		rig_netqs(&rig, 2048, NULL);
	}
	assert_int_equal(rig_xstat(&rig, "rx_q0_held"), 0);
	for (i = 0; i < 10; i++)
		check_and_free(mbufs[i * 7 % 10], 8);
	receive(&rig, mbufs[0], 8);
	check_and_free(mbufs[0], 8);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* Packets outlive front-end and port. */
static void
test_held_close(void **state)
{
	struct rte_mbuf *mbufs[8];
	struct rig rig;

	open_rig(&rig, &full_conf, *state);
	hold(&rig, mbufs, 8);
	rig_port_close(&rig);
	check_and_free(mbufs, 4);
	rig_disconnect(&rig);
	rte_pktmbuf_free_bulk(&mbufs[4], 4);
	rig_fini(&rig);
}

/* Memory tables come and go; from a number of them on nothing is lent of a new one. */
static void
test_held_mem_table(void **state)
{
	struct rte_mbuf *mbufs[20];
	struct rig rig;
	unsigned int i;

	open_rig(&rig, &split_conf, *state);
	for (i = 0; i < RTE_DIM(mbufs); i++) {
		send_frame(&rig, FRAME_LEN, i);
		rig_rx(&rig, 0, &mbufs[i], 1);
		assert_int_equal(tfe_dev_send_mem(&rig.dev), 0);
	}
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent"), 8);
	assert_int_equal(rig_xstat(&rig, "rx_q0_starved"), RTE_DIM(mbufs) - 8);
	check_held(&rig, 8);
	check_and_free(mbufs, RTE_DIM(mbufs));
	wait_returned(&rig);
	receive(&rig, mbufs, 8);
	assert_int_equal(rig_xstat(&rig, "rx_q0_lent"), 16);
	check_and_free(mbufs, 8);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* Queues that are set off and on again, and what is sent meanwhile is thrown away. */
static void
test_held_disable(void **state)
{
	struct rte_mbuf *mbufs[8];
	struct rig rig;

	open_rig(&rig, &split_conf, *state);
	hold(&rig, mbufs, 8);
	assert_int_equal(tfe_dev_enable(&rig.dev, false), 0);
	send_frame(&rig, FRAME_LEN, 9);
	check_held(&rig, 8);
	rte_pktmbuf_free(mbufs[0]);
	check_held(&rig, 7);
	assert_int_equal(rig_xstat(&rig, "rx_q0_discarded_packets"), 1);
	assert_int_equal(tfe_dev_enable(&rig.dev, true), 0);
	rte_pktmbuf_free_bulk(&mbufs[1], 7);
	wait_returned(&rig);
	rig_fini(&rig);
}

/* A ring that breaks takes nothing with it that is still in use. */
static void
test_held_broken(void **state)
{
	const struct rig_variant *variant = *state;
	struct rte_mbuf *mbufs[8], *none;
	struct tfe_ring *ring;
	struct rig rig;

	open_rig(&rig, &split_conf, variant);
	hold(&rig, mbufs, 8);
	ring = rig.tx[0].ring;
	ring->avail->idx = (uint16_t)(ring->avail->idx + 1000);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &none, 1), 0);
	rig_wait_xstat(&rig, "frontend_closed", 1);
	check_and_free(mbufs, 8);
	rig_fini(&rig);
}

#define FORMATS(test) RIG_TEST(test, split), RIG_TEST(test, packed)
#define ORDERS(test)  FORMATS(test), RIG_TEST(test, split_in_order), RIG_TEST(test, packed_in_order)

static const struct CMUnitTest tests[] = {
	ORDERS(test_split),
	FORMATS(test_rewritten_by_the_front_end),
	ORDERS(test_full),
	FORMATS(test_off),
	FORMATS(test_copybreak),
	FORMATS(test_split_needs_scatter),
	FORMATS(test_full_needs_scatter),
	FORMATS(test_small_pieces),
	FORMATS(test_large_split),
	FORMATS(test_large_full),
	ORDERS(test_starved),
	FORMATS(test_cloned),
	ORDERS(test_forward),
	FORMATS(test_written_to),
	ORDERS(test_held_stop),
	ORDERS(test_held_ring_stop),
	ORDERS(test_held_reconnect),
	ORDERS(test_held_close),
	ORDERS(test_held_mem_table),
	ORDERS(test_held_disable),
	RIG_TEST(test_held_broken, split),
};

REGISTER_TEST_GROUP(driver_zcopy_autotest, tests, rig_group_setup, rig_group_teardown);
