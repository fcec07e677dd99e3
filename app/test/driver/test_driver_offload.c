/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <string.h>

#include <rte_errno.h>

#include "driver_rig.h"
#include "packet.h"

#define RX_CSUM   (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CSUM   (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define HOST_TSO  (F(NET_F_HOST_TSO4) | F(NET_F_HOST_TSO6) | F(NET_F_HOST_UFO))
#define GUEST_TSO (F(NET_F_GUEST_TSO4) | F(NET_F_GUEST_TSO6) | F(NET_F_GUEST_UFO))

/* Large: not on the stack. */
static struct packet packet;

/* All shapes of packets: two layers 3, two layers 4, with a tag and without, odd and even. */
static unsigned int
make_shape(unsigned int i, uint32_t payload_len)
{
	if (i >= 16)
		return 0;
	packet.is_ipv6 = i & 1;
	packet.is_udp = i & 2;
	packet.has_vlan = i & 4;
	packet.payload_len = payload_len + (i & 8 ? 1 : 0);
	packet_build(&packet);
	return 1;
}

static struct virtio_net_hdr_v1
needs_csum(void)
{
	return (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = packet.l4_offset,
		.csum_offset = packet.csum_offset,
	};
}

static struct rte_mbuf *
send_and_receive(struct rig *rig, const struct virtio_net_hdr_v1 *hdr)
{
	struct rte_mbuf *m;

	assert_int_equal(tfe_netq_send(&rig->tx[0], hdr, packet.bytes, packet.len), 0);
	rig_rx(rig, 0, &m, 1);
	assert_int_equal(m->pkt_len, packet.len);
	return m;
}

static void
send_dropped(struct rig *rig, const struct virtio_net_hdr_v1 *hdr)
{
	uint64_t nb = rig_xstat(rig, "rx_q0_bad_header_dropped");

	assert_int_equal(tfe_netq_send(&rig->tx[0], hdr, packet.bytes, packet.len), 0);
	rig_rx_none(rig, 0);
	assert_int_equal(rig_xstat(rig, "rx_q0_bad_header_dropped"), nb + 1);
}

/* The bytes of an mbuf of any number of segments; valid until the next call. */
static const uint8_t *
flat(const struct rte_mbuf *m)
{
	static uint8_t bytes[65536 + 128];

	return rte_pktmbuf_read(m, 0, m->pkt_len, bytes);
}

/* Whoever has not enabled the offload gets packets with whole checksums. */
static void
test_rx_csum_completed(void **state)
{
	const struct rig_conf conf = { .rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER, .room = 129 };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	for (i = 0; make_shape(i, 300); i++) {
		packet_make_partial(&packet);
		hdr = needs_csum();
		m = send_and_receive(&rig, &hdr);
		assert_true(packet_csum_is_good(&packet, flat(m), m->pkt_len));
		assert_int_equal(rig_ol_flags(m), 0);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(rig_xstat(&rig, "rx_q0_sw_csum_packets"), 16);
	rig_fini(&rig);
}

/* Whoever has enabled it gets them as they are, and a flag. */
static void
test_rx_csum_flag(void **state)
{
	const struct rig_conf conf = { .rx_offloads = RX_CSUM };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	for (i = 0; make_shape(i, 300); i++) {
		packet_make_partial(&packet);
		hdr = needs_csum();
		m = send_and_receive(&rig, &hdr);
		rig_check_mbuf(m, packet.bytes, packet.len);
		assert_int_equal(rig_ol_flags(m), RTE_MBUF_F_RX_L4_CKSUM_NONE);
		rte_pktmbuf_free(m);
		/* A packet that asks for nothing says nothing. */
		m = send_and_receive(&rig, NULL);
		assert_int_equal(rig_ol_flags(m), 0);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(rig_xstat(&rig, "rx_q0_sw_csum_packets"), 0);
	rig_fini(&rig);
}

/* Number i of a burst in which each packet is of another kind than the one before: whole, to be
 * completed, too long for one mbuf, with a header that lies, too short.
 */
static bool
send_mixed(struct rig *rig, unsigned int i)
{
	struct virtio_net_hdr_v1 hdr;

	packet.payload_len = (i % 5 == 2 ? 1000 : 100) + i;
	packet_build(&packet);
	if (i % 5 == 1)
		packet_make_partial(&packet);
	hdr = needs_csum();
	if (i % 5 == 3)
		hdr.csum_start = 0xffff;
	else if (i % 5 != 1)
		memset(&hdr, 0, sizeof(hdr));
	assert_int_equal(tfe_netq_send(&rig->tx[0], &hdr, packet.bytes,
					 i % 5 == 4 ? 13 : packet.len),
			0);
	return i % 5 < 3;
}

/* All of them come in one burst, in their order, but for those that are dropped and counted. */
static void
test_rx_mixed(void **state)
{
	const struct rig_conf conf = { .rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER, .room = 512 };
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	unsigned int i, nb = 0, done = 0;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	make_shape(0, 0);
	for (i = 0; i < 40; i++)
		nb += send_mixed(&rig, i);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, mbufs, RIG_MAX_BURST), nb);
	for (i = 0; i < 40; i++) {
		if (i % 5 > 2)
			continue;
		packet.payload_len = (i % 5 == 2 ? 1000 : 100) + i;
		packet_build(&packet);
		rig_check_mbuf(mbufs[done++], packet.bytes, packet.len);
	}
	assert_int_equal(done, nb);
	rte_pktmbuf_free_bulk(mbufs, nb);
	assert_int_equal(rig_xstat(&rig, "rx_q0_good_packets"), nb);
	assert_int_equal(rig_xstat(&rig, "rx_q0_sw_csum_packets"), 8);
	assert_int_equal(rig_xstat(&rig, "rx_q0_bad_header_dropped"), 8);
	assert_int_equal(rig_xstat(&rig, "rx_q0_runt_dropped"), 8);
	rig_rx_none(&rig, 0);
	rig_fini(&rig);
}

/* A checksum that no flag can name, such as an inner one, is completed in any case. */
static void
test_rx_csum_inner(void **state)
{
	const struct rig_conf conf = { .rx_offloads = RX_CSUM };
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	make_shape(0, 100);
	/* As if there were a tunnel: a sum over the last 50 bytes, its field at their start. */
	memset(&packet.bytes[packet.len - 50], 0, 2);
	hdr.csum_start = (uint16_t)(packet.len - 50);
	m = send_and_receive(&rig, &hdr);
	assert_int_equal(rig_ol_flags(m), 0);
	assert_int_equal(tfe_frame_csum(flat(m) + packet.len - 50, 50, 0), 0xffff);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* A front-end that was not offered, or did not take, the feature asks for nothing. */
static void
test_rx_csum_not_negotiated(void **state)
{
	const struct rig_conf conf = { 0 };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	make_shape(0, 100);
	packet_make_partial(&packet);
	hdr = needs_csum();
	m = send_and_receive(&rig, &hdr);
	rig_check_mbuf(m, packet.bytes, packet.len);
	assert_int_equal(rig_ol_flags(m), 0);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* A field that is not in the packet. */
static void
test_rx_csum_outside(void **state)
{
	const struct rig_conf conf = { .rx_offloads = RX_CSUM };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	make_shape(0, 100);
	hdr = needs_csum();
	hdr.csum_start = (uint16_t)packet.len;
	send_dropped(&rig, &hdr);
	hdr.csum_start = 0xffff;
	hdr.csum_offset = 0xffff;
	send_dropped(&rig, &hdr);
	hdr.csum_start = (uint16_t)(packet.len - 1);
	hdr.csum_offset = 0;
	send_dropped(&rig, &hdr);
	hdr.csum_start = (uint16_t)(packet.len - 2);
	m = send_and_receive(&rig, &hdr);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

static struct virtio_net_hdr_v1
gso_header(uint16_t size)
{
	struct virtio_net_hdr_v1 hdr = needs_csum();

	hdr.gso_type = packet.is_udp     ? VIRTIO_NET_HDR_GSO_UDP
			: packet.is_ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
					 : VIRTIO_NET_HDR_GSO_TCPV4;
	hdr.gso_size = size;
	hdr.hdr_len = packet.l4_offset + packet.l4_len;
	return hdr;
}

static const struct tfe_net_layout big_chain = { .split_header = true, .seg_bytes = 4096 };

/* Port and front-end for packets of 64K. */
static void
open_big(struct rig *rig, const struct rig_conf *conf, const struct rig_variant *variant,
		uint64_t features)
{
	struct tfe_dev_conf dev_conf;

	rig_init(rig);
	rig_port_open(rig, conf);
	dev_conf = rig_dev_conf(rig, variant);
	dev_conf.features |= features;
	dev_conf.required_features |= features;
	rig_connect(rig, &dev_conf);
	rig_netqs(rig, 65536 + 128, &big_chain);
}

/* What the front-end leaves to be segmented arrives whole, and says how. */
static void
test_rx_gso(void **state)
{
	const struct rig_conf conf = {
		.devargs = ",tso=1",
		.rx_offloads = RX_CSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO,
	};
	static const uint32_t lens[] = { 1449, 2000, 30000, 65400 };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i, j;

	open_big(&rig, &conf, *state, F(NET_F_CSUM) | HOST_TSO);
	for (j = 0; j < RTE_DIM(lens); j++) {
		for (i = 0; make_shape(i, lens[j]); i++) {
			packet_make_partial(&packet);
			hdr = gso_header(1448);
			m = send_and_receive(&rig, &hdr);
			rig_check_mbuf(m, packet.bytes, packet.len);
			assert_int_equal(rig_ol_flags(m),
					RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE);
			assert_int_equal(m->tso_segsz, 1448);
			rte_pktmbuf_free(m);
		}
	}
	rig_fini(&rig);
}

/* One that fits a segment is an ordinary packet. */
static void
test_rx_gso_one_segment(void **state)
{
	const struct rig_conf conf = { .devargs = ",tso=1" };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM) | HOST_TSO, NULL);
	make_shape(0, 1448);
	packet_make_partial(&packet);
	hdr = gso_header(1448);
	m = send_and_receive(&rig, &hdr);
	assert_int_equal(rig_ol_flags(m), 0);
	assert_true(packet_csum_is_good(&packet, flat(m), m->pkt_len));
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* Headers that lie: dropped and counted, but for the hint that nobody believes. */
static void
test_rx_gso_bad(void **state)
{
	const struct rig_conf conf = { .devargs = ",tso=1" };
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM) | HOST_TSO, NULL);
	make_shape(0, 1500);
	hdr = gso_header(0);
	send_dropped(&rig, &hdr);
	hdr = gso_header(500);
	hdr.gso_type = 2;
	send_dropped(&rig, &hdr);
	hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	send_dropped(&rig, &hdr);
	hdr.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	send_dropped(&rig, &hdr);
	/* Not negotiated. */
	hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN;
	send_dropped(&rig, &hdr);
	/* Without a checksum to be completed there is nothing to segment. */
	hdr = gso_header(500);
	hdr.flags = 0;
	send_dropped(&rig, &hdr);
	hdr = gso_header(500);
	hdr.hdr_len = 0xffff;
	m = send_and_receive(&rig, &hdr);
	assert_true(m->ol_flags & RTE_MBUF_F_RX_LRO);
	rte_pktmbuf_free(m);
	hdr = gso_header(0xffff);
	m = send_and_receive(&rig, &hdr);
	assert_false(m->ol_flags & RTE_MBUF_F_RX_LRO);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* Without tso=1 no front-end is offered to leave segmentation to us. */
static void
test_rx_gso_not_offered(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	assert_int_equal(rig.dev.offered & (HOST_TSO | F(NET_F_HOST_ECN) | F(NET_F_GSO)), 0);
	rig_fini(&rig);
}

/* legacy-ol-flags=1: received mbufs are ready to be sent. */
static void
test_rx_legacy_flags(void **state)
{
	const struct rig_conf conf = { .devargs = ",tso=1,legacy-ol-flags=1" };
	uint64_t flags;
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM) | HOST_TSO, NULL);
	for (i = 0; make_shape(i, 1000); i++) {
		packet_make_partial(&packet);
		hdr = gso_header(500);
		m = send_and_receive(&rig, &hdr);
		flags = packet.is_udp ? RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_UDP_SEG
				      : RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
		flags |= packet.is_ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
		assert_int_equal(rig_ol_flags(m), flags);
		assert_int_equal(m->l2_len, packet.l2_len);
		assert_int_equal(m->l3_len, packet.l3_len);
		assert_int_equal(m->l4_len, packet.l4_len);
		assert_int_equal(m->tso_segsz, 500);
		rte_pktmbuf_free(m);
	}
	rig_fini(&rig);
}

/* A tag that was stripped is not in the lengths either. */
static void
test_rx_legacy_vlan_strip(void **state)
{
	const struct rig_conf conf = {
		.devargs = ",legacy-ol-flags=1",
		.rx_offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP,
	};
	struct virtio_net_hdr_v1 hdr;
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_CSUM), NULL);
	make_shape(4, 100);
	packet_make_partial(&packet);
	hdr = needs_csum();
	assert_int_equal(tfe_netq_send(&rig.tx[0], &hdr, packet.bytes, packet.len), 0);
	rig_rx(&rig, 0, &m, 1);
	assert_int_equal(m->pkt_len, packet.len - 4);
	assert_int_equal(m->l2_len, 14);
	assert_true(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

static void
test_rx_vlan_strip(void **state)
{
	const struct rig_conf conf = { .rx_offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP };
	uint8_t expected[256];
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	make_shape(4, 100);
	memcpy(expected, packet.bytes, 12);
	memcpy(expected + 12, packet.bytes + 16, packet.len - 16);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, packet.bytes, packet.len), 0);
	rig_rx(&rig, 0, &m, 1);
	rig_check_mbuf(m, expected, packet.len - 4);
	assert_int_equal(rig_ol_flags(m), RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
	assert_int_equal(m->vlan_tci, 0x123);
	rte_pktmbuf_free(m);
	/* Without a tag, and a tag without a frame. */
	make_shape(0, 100);
	m = send_and_receive(&rig, NULL);
	assert_int_equal(rig_ol_flags(m), 0);
	rte_pktmbuf_free(m);
	make_shape(4, 100);
	packet.len = 17;
	m = send_and_receive(&rig, NULL);
	assert_int_equal(rig_ol_flags(m), 0);
	rte_pktmbuf_free(m);
	/* Turned off while traffic runs. */
	assert_int_equal(rte_eth_dev_set_vlan_offload(rig.port, 0), 0);
	make_shape(4, 100);
	m = send_and_receive(&rig, NULL);
	assert_int_equal(rig_ol_flags(m), 0);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* An mbuf that asks for the packet's layer 4 checksum. */
static struct rte_mbuf *
csum_mbuf(struct rig *rig, uint32_t seg_bytes)
{
	struct rte_mbuf *m = rig_mbuf(rig, packet.bytes, packet.len, seg_bytes);

	m->l2_len = packet.l2_len;
	m->l3_len = packet.l3_len;
	m->l4_len = packet.l4_len;
	m->ol_flags = packet.is_ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	m->ol_flags |= packet.is_udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM;
	return m;
}

/* Through the port into the front-end; the mbuf must not be changed on its way. */
static struct tfe_pkt
transmit(struct rig *rig, struct rte_mbuf *m)
{
	static uint8_t before[65536 + 128];
	struct tfe_pkt pkt;

	memcpy(before, flat(m), m->pkt_len);
	rte_pktmbuf_refcnt_update(m, 1);
	assert_true(tfe_netq_post(&rig->rx[0], 1) == 1);
	assert_int_equal(rte_eth_tx_prepare(rig->port, 0, &m, 1), 1);
	rig_tx(rig, 0, &m, 1);
	assert_int_equal(tfe_netq_recv(&rig->rx[0], &pkt, RIG_TIMEOUT_MS), 1);
	assert_memory_equal(flat(m), before, m->pkt_len);
	rte_pktmbuf_free(m);
	return pkt;
}

/* A front-end with GUEST_CSUM is told what to do. */
static void
test_tx_csum_partial(void **state)
{
	const struct rig_conf conf = { .tx_offloads = TX_CSUM };
	struct tfe_pkt pkt;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, F(NET_F_GUEST_CSUM), NULL);
	for (i = 0; make_shape(i, 300); i++) {
		packet_clear_csum(&packet);
		pkt = transmit(&rig, csum_mbuf(&rig, 0));
		assert_int_equal(pkt.len_bytes, packet.len);
		assert_int_equal(pkt.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(pkt.hdr.csum_start, packet.l4_offset);
		assert_int_equal(pkt.hdr.csum_offset, packet.csum_offset);
		assert_int_equal(pkt.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_true(packet_csum_is_partial(&packet, pkt.frame, pkt.len_bytes));
	}
	rig_fini(&rig);
}

/* For one without the checksum is computed, wherever it lies in the mbuf. */
static void
test_tx_csum_computed(void **state)
{
	static const uint32_t seg_bytes[] = { 0, 1, 13, 33, 37, 51, 200 };
	const struct rig_conf conf = {
		.tx_offloads = TX_CSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
	};
	struct tfe_pkt pkt;
	struct rig rig;
	unsigned int i, j;

	rig_open(&rig, &conf, *state, 0, NULL);
	for (j = 0; j < RTE_DIM(seg_bytes); j++) {
		for (i = 0; make_shape(i, 300); i++) {
			packet_clear_csum(&packet);
			pkt = transmit(&rig, csum_mbuf(&rig, seg_bytes[j]));
			assert_int_equal(pkt.hdr.flags, 0);
			assert_true(packet_csum_is_good(&packet, pkt.frame, pkt.len_bytes));
		}
	}
	assert_int_equal(rig_xstat(&rig, "tx_q0_sw_csum_packets"), 16 * RTE_DIM(seg_bytes));
	rig_fini(&rig);
}

/* Padding belongs neither to the length in the pseudo header nor to the sum, and need not be 0. */
static void
test_tx_csum_padded(void **state)
{
	static const uint64_t features[] = { 0, F(NET_F_GUEST_CSUM) };
	const struct rig_conf conf = { .tx_offloads = TX_CSUM };
	const uint32_t pad_len = 7;
	struct tfe_pkt pkt;
	struct rig rig;
	unsigned int i, j;

	for (j = 0; j < RTE_DIM(features); j++) {
		rig_open(&rig, &conf, *state, features[j], NULL);
		for (i = 0; make_shape(i, 0); i++) {
			packet_clear_csum(&packet);
			memset(&packet.bytes[packet.len], 0xa5, pad_len);
			packet.len += pad_len;
			pkt = transmit(&rig, csum_mbuf(&rig, 0));
			assert_int_equal(pkt.len_bytes, packet.len);
			assert_int_equal(pkt.hdr.flags, 0);
			packet.len -= pad_len;
			assert_true(packet_csum_is_good(&packet, pkt.frame, packet.len));
			assert_int_equal(pkt.frame[packet.len], 0xa5);
		}
		rig_fini(&rig);
	}
}

/* What can't be done is refused, not left out. */
static void
test_tx_unknown_flags(void **state)
{
	static const uint64_t flags[] = {
		RTE_MBUF_F_TX_QINQ,
		RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_OUTER_IPV4,
		RTE_MBUF_F_TX_TUNNEL_VXLAN,
		RTE_MBUF_F_TX_SEC_OFFLOAD,
	};
	const struct rig_conf conf = { .tx_offloads = TX_CSUM };
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, F(NET_F_GUEST_CSUM), NULL);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 4), 4);
	for (i = 0; i < RTE_DIM(flags); i++) {
		make_shape(0, 100);
		m = csum_mbuf(&rig, 0);
		m->ol_flags |= flags[i];
		assert_int_equal(rte_eth_tx_prepare(rig.port, 0, &m, 1), 0);
		assert_int_equal(rte_errno, ENOTSUP);
		rig_tx(&rig, 0, &m, 1);
		assert_int_equal(rig_xstat(&rig, "tx_q0_bad_offload_dropped"), i + 1);
	}
	assert_int_equal(rig_xstat(&rig, "tx_q0_good_packets"), 0);
	rig_fini(&rig);
}

/* The checksum of an IPv4 header is always computed. */
static void
test_tx_ip_csum(void **state)
{
	const struct rig_conf conf = { .tx_offloads = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | TX_CSUM };
	struct rte_mbuf *m;
	struct tfe_pkt pkt;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_GUEST_CSUM), NULL);
	make_shape(0, 100);
	memset(packet.bytes + packet.l2_len + 10, 0xa5, 2);
	m = csum_mbuf(&rig, 0);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	pkt = transmit(&rig, m);
	assert_int_equal(pkt.hdr.flags, 0);
	assert_true(packet_ip_csum_is_good(&packet, pkt.frame));
	m = csum_mbuf(&rig, 0);
	m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	pkt = transmit(&rig, m);
	assert_int_equal(pkt.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_true(packet_ip_csum_is_good(&packet, pkt.frame));
	rig_fini(&rig);
}

static struct rte_mbuf *
tso_mbuf(struct rig *rig, uint16_t size)
{
	struct rte_mbuf *m = csum_mbuf(rig, 0);

	m->ol_flags |= packet.is_udp ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = size;
	return m;
}

/* A front-end that segments gets the packet whole. */
static void
test_tx_tso(void **state)
{
	const struct rig_conf conf = {
		.tx_offloads = TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_UDP_TSO |
				RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
	};
	struct tfe_pkt pkt;
	struct rig rig;
	unsigned int i;

	open_big(&rig, &conf, *state, F(NET_F_GUEST_CSUM) | GUEST_TSO);
	for (i = 0; make_shape(i, 60000); i++) {
		packet_clear_csum(&packet);
		pkt = transmit(&rig, tso_mbuf(&rig, 1400));
		assert_int_equal(pkt.len_bytes, packet.len);
		assert_int_equal(pkt.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(pkt.hdr.csum_start, packet.l4_offset);
		assert_int_equal(pkt.hdr.gso_type, gso_header(0).gso_type);
		assert_int_equal(pkt.hdr.gso_size, 1400);
		assert_int_equal(pkt.hdr.hdr_len, packet.l4_offset + packet.l4_len);
		assert_true(packet_csum_is_partial(&packet, pkt.frame, pkt.len_bytes));
	}
	assert_int_equal(rig_xstat(&rig, "tx_q0_tso_packets"), 16);
	rig_fini(&rig);
}

/* For one that does not, prepare says so, and the burst drops and counts. */
static void
test_tx_tso_refused(void **state)
{
	const struct rig_conf conf = { .tx_offloads = TX_CSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO };
	struct rte_mbuf *mbufs[2];
	struct tfe_pkt pkt;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_GUEST_CSUM) | F(NET_F_GUEST_TSO6), NULL);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 2), 2);
	make_shape(0, 1500);
	mbufs[0] = tso_mbuf(&rig, 500);
	make_shape(1, 1500);
	mbufs[1] = tso_mbuf(&rig, 500);
	assert_int_equal(rte_eth_tx_prepare(rig.port, 0, mbufs, 2), 0);
	assert_int_equal(rte_errno, ENOTSUP);
	assert_int_equal(rte_eth_tx_prepare(rig.port, 0, &mbufs[1], 1), 1);
	rig_tx(&rig, 0, mbufs, 2);
	assert_int_equal(rig_xstat(&rig, "tx_q0_bad_offload_dropped"), 1);
	assert_int_equal(tfe_netq_recv(&rig.rx[0], &pkt, RIG_TIMEOUT_MS), 1);
	assert_int_equal(pkt.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
	rig_fini(&rig);
}

/* Lengths that contradict the packet. */
static void
test_tx_bad_lengths(void **state)
{
	const struct rig_conf conf = { .tx_offloads = TX_CSUM };
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_GUEST_CSUM), NULL);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 4), 4);
	make_shape(0, 20);
	m = csum_mbuf(&rig, 0);
	m->l3_len = 300;
	assert_int_equal(rte_eth_tx_prepare(rig.port, 0, &m, 1), 0);
	assert_int_equal(rte_errno, EINVAL);
	rig_tx(&rig, 0, &m, 1);
	m = csum_mbuf(&rig, 0);
	m->ol_flags &= ~RTE_MBUF_F_TX_IPV4;
	assert_int_equal(rte_eth_tx_prepare(rig.port, 0, &m, 1), 0);
	rig_tx(&rig, 0, &m, 1);
	m = csum_mbuf(&rig, 0);
	m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	m->ol_flags |= RTE_MBUF_F_TX_SCTP_CKSUM;
	assert_int_equal(rte_eth_tx_prepare(rig.port, 0, &m, 1), 0);
	assert_int_equal(rte_errno, ENOTSUP);
	rig_tx(&rig, 0, &m, 1);
	assert_int_equal(rig_xstat(&rig, "tx_q0_bad_offload_dropped"), 3);
	assert_int_equal(rig_xstat(&rig, "tx_q0_good_packets"), 0);
	rig_fini(&rig);
}

static void
test_tx_vlan_insert(void **state)
{
	const struct rig_conf conf = { .tx_offloads = RTE_ETH_TX_OFFLOAD_VLAN_INSERT | TX_CSUM };
	uint8_t expected[256];
	struct rte_mbuf *m;
	struct tfe_pkt pkt;
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_GUEST_CSUM), NULL);
	make_shape(4, 100);
	memcpy(expected, packet.bytes, packet.len);
	make_shape(0, 100);
	m = rig_mbuf(&rig, packet.bytes, packet.len, 0);
	m->ol_flags = RTE_MBUF_F_TX_VLAN;
	m->vlan_tci = 0x123;
	pkt = transmit(&rig, m);
	assert_int_equal(pkt.len_bytes, packet.len + 4);
	assert_memory_equal(pkt.frame, expected, pkt.len_bytes);
	assert_int_equal(pkt.hdr.flags, 0);
	/* Together with a checksum, whose place moves. */
	m = csum_mbuf(&rig, 0);
	m->ol_flags |= RTE_MBUF_F_TX_VLAN;
	m->vlan_tci = 0x123;
	pkt = transmit(&rig, m);
	assert_int_equal(pkt.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(pkt.hdr.csum_start, packet.l4_offset + 4);
	assert_memory_equal(pkt.frame, expected, 18);
	rig_fini(&rig);
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_rx_csum_completed),
	RIG_TEST(test_rx_csum_completed, legacy),
	BOTH(test_rx_csum_flag),
	BOTH(test_rx_mixed),
	BOTH(test_rx_csum_inner),
	BOTH(test_rx_csum_not_negotiated),
	BOTH(test_rx_csum_outside),
	BOTH(test_rx_gso),
	BOTH(test_rx_gso_one_segment),
	BOTH(test_rx_gso_bad),
	RIG_TEST(test_rx_gso_not_offered, split),
	BOTH(test_rx_legacy_flags),
	BOTH(test_rx_legacy_vlan_strip),
	BOTH(test_rx_vlan_strip),
	BOTH(test_tx_csum_partial),
	RIG_TEST(test_tx_csum_partial, legacy),
	BOTH(test_tx_csum_computed),
	BOTH(test_tx_csum_padded),
	BOTH(test_tx_unknown_flags),
	BOTH(test_tx_ip_csum),
	BOTH(test_tx_tso),
	BOTH(test_tx_tso_refused),
	BOTH(test_tx_bad_lengths),
	BOTH(test_tx_vlan_insert),
};

REGISTER_TEST_GROUP(driver_offload_autotest, tests, rig_group_setup, rig_group_teardown);
