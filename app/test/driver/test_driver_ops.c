/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_cpuflags.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_trace_point.h>
#include <rte_vect.h>

#include "driver_rig.h"
#include "packet.h"

static const struct rig_conf plain;

static void
test_info(void **state)
{
	const struct rig_conf conf = { .nb_queues = 3, .devargs = ",mac=02:11:22:33:44:55" };
	const struct rte_ether_addr mac = { { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 } };
	struct rte_ether_addr addr;
	struct rte_eth_dev_info info;
	char version[64];
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	assert_int_equal(rte_eth_dev_info_get(rig.port, &info), 0);
	assert_string_equal(info.driver_name, "net_vpci");
	assert_int_equal(info.max_rx_queues, 3);
	assert_int_equal(info.max_tx_queues, 3);
	assert_int_equal(info.min_mtu, 68);
	assert_int_equal(info.max_mtu, 65535);
	assert_int_equal(info.speed_capa, RTE_ETH_LINK_SPEED_10G | RTE_ETH_LINK_SPEED_FIXED);
	assert_false(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO);
	assert_true(info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO);
	assert_int_equal(rte_eth_macaddr_get(rig.port, &addr), 0);
	assert_memory_equal(&addr, &mac, sizeof(mac));
	assert_int_equal(rte_eth_dev_fw_version_get(rig.port, version, sizeof(version)), 0);
	assert_string_equal(version, "vhost-user 1 (socket)");
	assert_true(rte_eth_dev_fw_version_get(rig.port, version, 3) > 3);
	rig_fini(&rig);
	(void)state;
}

static void
test_mac(void **state)
{
	struct rte_ether_addr addr, other = { { 0x02, 0, 0, 0, 0, 9 } };
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eth_macaddr_get(rig.port, &addr), 0);
	assert_true(rte_is_local_admin_ether_addr(&addr) && rte_is_unicast_ether_addr(&addr));
	assert_int_equal(rte_eth_dev_default_mac_addr_set(rig.port, &other), 0);
	assert_int_equal(rte_eth_macaddr_get(rig.port, &addr), 0);
	assert_memory_equal(&addr, &other, sizeof(other));
	assert_int_equal(rte_eth_promiscuous_disable(rig.port), 0);
	assert_int_equal(rte_eth_promiscuous_enable(rig.port), 0);
	assert_int_equal(rte_eth_promiscuous_get(rig.port), 1);
	assert_int_equal(rte_eth_allmulticast_disable(rig.port), 0);
	assert_int_equal(rte_eth_allmulticast_enable(rig.port), 0);
	rig_fini(&rig);
	(void)state;
}

static void
test_mtu(void **state)
{
	struct tfe_dev_conf conf;
	struct rig rig;
	uint16_t mtu;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eth_dev_get_mtu(rig.port, &mtu), 0);
	assert_int_equal(mtu, 1500);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 67), -EINVAL);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 68), 0);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 65535), 0);
	assert_int_equal(rte_eth_dev_get_mtu(rig.port, &mtu), 0);
	assert_int_equal(mtu, 65535);
	/* The front-end has a word in it. */
	conf = rig_dev_conf(&rig, &rig_split);
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_MTU);
	conf.features |= F(NET_F_MTU);
	rig_connect(&rig, &conf);
	assert_int_equal(tfe_req_net_set_mtu(&rig.dev.conn, 9000), 0);
	assert_int_equal(rte_eth_dev_get_mtu(rig.port, &mtu), 0);
	assert_int_equal(mtu, 9000);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 9001), -EINVAL);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 9000), 0);
	assert_int_equal(tfe_req_net_set_mtu(&rig.dev.conn, 67), -EREMOTEIO);
	assert_int_equal(tfe_req_net_set_mtu(&rig.dev.conn, 65536), -EREMOTEIO);
	rig_disconnect(&rig);
	rig_wait_link(&rig, false);
	/* Gone, it leaves what the application has set, then and before. */
	assert_int_equal(rte_eth_dev_get_mtu(rig.port, &mtu), 0);
	assert_int_equal(mtu, 9000);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 1400), 0);
	rig_connect(&rig, &conf);
	assert_int_equal(tfe_req_net_set_mtu(&rig.dev.conn, 9000), 0);
	rig_disconnect(&rig);
	rig_wait_link(&rig, false);
	assert_int_equal(rte_eth_dev_get_mtu(rig.port, &mtu), 0);
	assert_int_equal(mtu, 1400);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 9001), 0);
	rig_fini(&rig);
	(void)state;
}

/* What is there to be received, and room to send, as told from outside of a burst. */
static void
test_descriptors(void **state)
{
	struct rte_mbuf *mbufs[10];
	uint8_t frame[64];
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	/* Nothing at all before there is a front-end. */
	assert_int_equal(rte_eth_rx_queue_count(rig.port, 0), 0);
	assert_int_equal(rte_eth_rx_descriptor_status(rig.port, 0, 0), RTE_ETH_RX_DESC_AVAIL);
	assert_int_equal(rte_eth_tx_descriptor_status(rig.port, 0, 0), RTE_ETH_TX_DESC_FULL);
	rig_fini(&rig);

	rig_open(&rig, &plain, *state, 0, NULL);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	for (i = 0; i < 10; i++)
		assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	assert_int_equal(rte_eth_rx_queue_count(rig.port, 0), 10);
	assert_int_equal(rte_eth_rx_descriptor_status(rig.port, 0, 9), RTE_ETH_RX_DESC_DONE);
	assert_int_equal(rte_eth_rx_descriptor_status(rig.port, 0, 10), RTE_ETH_RX_DESC_AVAIL);
	assert_int_equal(rte_eth_rx_descriptor_status(rig.port, 0, 256), -EINVAL);
	rig_rx(&rig, 0, mbufs, 10);
	rte_pktmbuf_free_bulk(mbufs, 10);
	assert_int_equal(rte_eth_rx_queue_count(rig.port, 0), 0);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 5), 5);
	assert_int_equal(rte_eth_tx_descriptor_status(rig.port, 0, 4), RTE_ETH_TX_DESC_DONE);
	assert_int_equal(rte_eth_tx_descriptor_status(rig.port, 0, 5), RTE_ETH_TX_DESC_FULL);
	assert_int_equal(rte_eth_tx_descriptor_status(rig.port, 0, 256), -EINVAL);
	rig_fini(&rig);
}

/* What the burst of a ring is made for, by what the processor has and the EAL allows. */
static void
expect_burst_mode(const char *info, bool is_packed, const char *what)
{
	uint16_t bits = rte_vect_get_max_simd_bitwidth();
	const char *isa = "Scalar";
	char expected[RTE_ETH_BURST_MODE_INFO_SIZE];

#if defined(RTE_ARCH_X86_64)
	if (is_packed && bits >= 512 && rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX512F) &&
			rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX512BW) &&
			rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX512VL))
		isa = "Vector AVX512";
	else if (is_packed && bits >= 256 && rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX2))
		isa = "Vector AVX2";
#endif
	(void)bits;
	snprintf(expected, sizeof(expected), "%s %s %s", isa, is_packed ? "Packed" : "Split", what);
	assert_string_equal(info, expected);
}

static void
test_queue_info(void **state)
{
	const struct rig_variant *variant = *state;
	const bool is_packed = (variant->features & F(F_RING_PACKED)) != 0;
	struct rte_eth_burst_mode mode;
	struct rte_eth_rxq_info rxq;
	struct rte_eth_txq_info txq;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eth_rx_queue_info_get(rig.port, 0, &rxq), 0);
	assert_int_equal(rxq.nb_desc, 256);
	assert_ptr_equal(rxq.mp, rig.pool);
	assert_int_equal(rte_eth_rx_burst_mode_get(rig.port, 0, &mode), 0);
	assert_string_equal(mode.info, "Scalar (no front-end)");
	rig_fini(&rig);

	rig_open(&rig, &plain, variant, F(NET_F_MRG_RXBUF) | F(NET_F_CSUM), NULL);
	assert_int_equal(rte_eth_rx_queue_info_get(rig.port, 0, &rxq), 0);
	assert_int_equal(rxq.queue_state, RTE_ETH_QUEUE_STATE_STARTED);
	assert_int_equal(rte_eth_tx_queue_info_get(rig.port, 0, &txq), 0);
	assert_int_equal(txq.nb_desc, 256);
	assert_int_equal(rte_eth_rx_burst_mode_get(rig.port, 0, &mode), 0);
	expect_burst_mode(mode.info, is_packed, "Offload");
	assert_int_equal(rte_eth_tx_burst_mode_get(rig.port, 0, &mode), 0);
	expect_burst_mode(mode.info, is_packed, "Mergeable");
	rig_fini(&rig);
}

/* Packet types are what was asked for: none, all, some layers. */
static void
test_ptypes(void **state)
{
	const struct rig_conf with_cksum = { .rx_offloads = RTE_ETH_RX_OFFLOAD_UDP_CKSUM };
	static struct packet packet = { .is_udp = true, .payload_len = 50 };
	uint32_t set[16];
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;
	static const struct {
		uint32_t mask;
		uint32_t ptype;
	} cases[] = {
		{ 0, 0 },
		{ RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK, RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 },
		{ RTE_PTYPE_ALL_MASK, RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4 | RTE_PTYPE_L4_UDP },
	};

	rig_open(&rig, &plain, *state, 0, NULL);
	packet_build(&packet);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, packet.bytes, packet.len), 0);
	rig_rx(&rig, 0, &m, 1);
	assert_int_equal(m->packet_type, 0);
	rte_pktmbuf_free(m);
	assert_true(rte_eth_dev_get_supported_ptypes(rig.port, RTE_PTYPE_L4_MASK, set,
				    RTE_DIM(set)) == 4);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, packet.bytes, packet.len), 0);
	rig_rx(&rig, 0, &m, 1);
	/* To ask which there are is not to ask for them. */
	assert_int_equal(m->packet_type, 0);
	rte_pktmbuf_free(m);
	for (i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(rte_eth_dev_set_ptypes(rig.port, cases[i].mask, NULL, 0), 0);
		assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, packet.bytes, packet.len), 0);
		rig_rx(&rig, 0, &m, 1);
		assert_int_equal(m->packet_type, cases[i].ptype);
		rte_pktmbuf_free(m);
	}
	rig_fini(&rig);

	/* Who wants checksums looks at packet types. */
	rig_open(&rig, &with_cksum, *state, 0, NULL);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, packet.bytes, packet.len), 0);
	rig_rx(&rig, 0, &m, 1);
	assert_int_equal(m->packet_type, cases[2].ptype);
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

static void
send_sizes(struct rig *rig)
{
	static const uint32_t sizes[] = { 63, 64, 65, 127, 128, 255, 256, 512, 1023, 1024, 1518,
		1519 };
	static uint8_t frame[2048];
	struct rte_mbuf *mbufs[RTE_DIM(sizes)];
	unsigned int i;

	for (i = 0; i < RTE_DIM(sizes); i++) {
		tfe_frame_build(frame, sizes[i], 1, i);
		/* One broadcast, one multicast. */
		if (i == 0)
			memset(frame, 0xff, 6);
		else if (i == 1)
			frame[0] = 1;
		else
			frame[0] = 2;
		assert_int_equal(tfe_netq_send(&rig->tx[0], NULL, frame, sizes[i]), 0);
	}
	rig_rx(rig, 0, mbufs, RTE_DIM(sizes));
	assert_int_equal(tfe_netq_post(&rig->rx[0], RTE_DIM(sizes)), RTE_DIM(sizes));
	rig_tx(rig, 0, mbufs, RTE_DIM(sizes));
}

static const struct {
	const char *name;
	uint64_t value;
} size_xstats[] = {
	{ "good_packets", 12 },
	{ "good_bytes", 63 + 64 + 65 + 127 + 128 + 255 + 256 + 512 + 1023 + 1024 + 1518 + 1519 },
	{ "broadcast_packets", 1 },
	{ "multicast_packets", 1 },
	{ "undersize_packets", 1 },
	{ "size_64_packets", 1 },
	{ "size_65_127_packets", 2 },
	{ "size_128_255_packets", 2 },
	{ "size_256_511_packets", 1 },
	{ "size_512_1023_packets", 2 },
	{ "size_1024_1518_packets", 2 },
	{ "size_1519_max_packets", 1 },
};

static void
check_sizes(const struct rig *rig, unsigned int times)
{
	char name[64];
	unsigned int i;

	for (i = 0; i < RTE_DIM(size_xstats); i++) {
		snprintf(name, sizeof(name), "rx_q0_%s", size_xstats[i].name);
		assert_int_equal(rig_xstat(rig, name), times * size_xstats[i].value);
		snprintf(name, sizeof(name), "tx_q0_%s", size_xstats[i].name);
		assert_int_equal(rig_xstat(rig, name), times * size_xstats[i].value);
	}
}

/* Counters count, and a reset sets them to nothing without stopping traffic. */
static void
test_stats(void **state)
{
	struct rte_eth_stats stats;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	check_sizes(&rig, 0);
	send_sizes(&rig);
	check_sizes(&rig, 1);
	send_sizes(&rig);
	check_sizes(&rig, 2);
	assert_int_equal(rte_eth_stats_get(rig.port, &stats), 0);
	assert_int_equal(stats.ipackets, 24);
	assert_int_equal(stats.opackets, 24);
	assert_int_equal(stats.ibytes, 2 * size_xstats[1].value);
	assert_int_equal(stats.obytes, 2 * size_xstats[1].value);
	assert_int_equal(stats.q_ipackets[0], 24);
	assert_int_equal(stats.q_opackets[0], 24);
	assert_true(rig_xstat(&rig, "frontend_messages") > 0);
	assert_int_equal(rig_xstat(&rig, "frontend_connections"), 1);
	assert_int_equal(rte_eth_xstats_reset(rig.port), 0);
	assert_int_equal(rig_xstat(&rig, "frontend_messages"), 0);
	assert_int_equal(rig_xstat(&rig, "frontend_connections"), 0);
	check_sizes(&rig, 0);
	assert_int_equal(rte_eth_stats_get(rig.port, &stats), 0);
	assert_int_equal(stats.ipackets, 0);
	assert_int_equal(stats.obytes, 0);
	send_sizes(&rig);
	check_sizes(&rig, 1);
	/* They outlive the front-end. */
	rig_disconnect(&rig);
	rig_wait_link(&rig, false);
	check_sizes(&rig, 1);
	rig_fini(&rig);
}

/* What is offered: all of it by default, not what was turned off. */
static void
test_features(void **state)
{
	static const struct {
		const char *devargs;
		uint64_t with;
		uint64_t without;
	} cases[] = {
		{ ",queues=1",
				F(F_VERSION_1) | F(F_RING_PACKED) | F(F_IN_ORDER) |
						F(RING_F_EVENT_IDX) | F(RING_F_INDIRECT_DESC) |
						F(NET_F_MRG_RXBUF) | F(NET_F_CSUM) |
						F(NET_F_GUEST_CSUM) | F(NET_F_GUEST_TSO4),
				F(NET_F_MQ) | F(NET_F_CTRL_VQ) | F(NET_F_HOST_TSO4) |
						F(F_ORDER_PLATFORM) | F(NET_F_STATUS) },
		{ ",queues=2", F(NET_F_MQ) | F(NET_F_CTRL_VQ), 0 },
		{ ",packed=0", 0, F(F_RING_PACKED) },
		{ ",tso=1",
				F(NET_F_HOST_TSO4) | F(NET_F_HOST_TSO6) | F(NET_F_HOST_ECN) |
						F(NET_F_HOST_UFO),
				0 },
	};
	struct tfe_conn conn;
	uint64_t features;
	unsigned int i;
	struct rig rig;

	for (i = 0; i < RTE_DIM(cases); i++) {
		rig_init(&rig);
		assert_int_equal(rig_port_attach(&rig, cases[i].devargs), 0);
		tfe_conn_init(&conn);
		assert_int_equal(tfe_conn_connect(&conn, rig.path, RIG_TIMEOUT_MS), 0);
		assert_int_equal(tfe_req_get_features(&conn, &features), 0);
		assert_int_equal(features & cases[i].with, cases[i].with);
		assert_int_equal(features & cases[i].without, 0);
		tfe_conn_close(&conn);
		rig_fini(&rig);
	}
	(void)state;
}

/* Page faults are handed out where that was asked for, and not otherwise. */
static void
test_postcopy(void **state)
{
	static const char *const devargs[] = { ",postcopy=0", ",postcopy=1" };
	struct tfe_conn conn;
	uint64_t features;
	struct rig rig;
	uint64_t i;

	for (i = 0; i < RTE_DIM(devargs); i++) {
		rig_init(&rig);
		assert_int_equal(rig_port_attach(&rig, devargs[i]), 0);
		tfe_conn_init(&conn);
		assert_int_equal(tfe_conn_connect(&conn, rig.path, RIG_TIMEOUT_MS), 0);
		assert_int_equal(tfe_req_get_protocol_features(&conn, &features), 0);
		assert_int_equal(features >> TFE_VU_PROTOCOL_F_PAGEFAULT & 1, i);
		tfe_conn_close(&conn);
		rig_fini(&rig);
	}
	(void)state;
}

/* A queue that is longer than max-queue-size is refused. */
static void
test_max_queue_size(void **state)
{
	const struct rig_conf conf = { .devargs = ",max-queue-size=128" };
	struct tfe_dev_conf dev_conf;
	struct tfe_dev dev;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, *state);
	assert_true(tfe_dev_open(&dev, &dev_conf) < 0);
	dev_conf.receiveq_size = 128;
	dev_conf.transmitq_size = 128;
	rig_connect(&rig, &dev_conf);
	rig_fini(&rig);
}

/* A queue that is stopped leaves its ring alone; the others go on. */
static void
test_queue_stop(void **state)
{
	const struct rig_conf conf = { .nb_queues = 2 };
	struct rte_eth_rxq_info info;
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct rig rig;
	uint16_t i;

	rig_open(&rig, &conf, *state, F(NET_F_MQ), NULL);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(rte_eth_dev_rx_queue_stop(rig.port, 1), 0);
	assert_int_equal(rte_eth_dev_tx_queue_stop(rig.port, 1), 0);
	assert_int_equal(rte_eth_rx_queue_info_get(rig.port, 1, &info), 0);
	assert_int_equal(info.queue_state, RTE_ETH_QUEUE_STATE_STOPPED);
	for (i = 0; i < 2; i++) {
		assert_int_equal(tfe_netq_send(&rig.tx[i], NULL, frame, sizeof(frame)), 0);
		assert_int_equal(tfe_netq_post(&rig.rx[i], 1), 1);
	}
	rig_rx(&rig, 0, &m, 1);
	rig_tx(&rig, 0, &m, 1);
	m = rig_mbuf(&rig, frame, sizeof(frame), 0);
	assert_int_equal(rte_eth_tx_burst(rig.port, 1, &m, 1), 0);
	rte_pktmbuf_free(m);
	assert_int_equal(rte_eth_rx_burst(rig.port, 1, &m, 1), 0);
	assert_int_equal(rte_eth_dev_rx_queue_start(rig.port, 1), 0);
	assert_int_equal(rte_eth_dev_tx_queue_start(rig.port, 1), 0);
	rig_rx(&rig, 1, &m, 1);
	rig_tx(&rig, 1, &m, 1);
	rig_fini(&rig);
}

static void
free_nothing(void *addr, void *opaque)
{
	(void)addr;
	(void)opaque;
}

/* To tell whether a checksum can be computed it need not be: the payload is not even looked at. */
static void
test_tx_prepare_headers_only(void **state)
{
	static struct packet packet = { .is_udp = true, .payload_len = 1000 };
	const struct rig_conf conf = { .tx_offloads = RTE_ETH_TX_OFFLOAD_UDP_CKSUM };
	struct rte_mbuf_ext_shared_info shared = { .free_cb = free_nothing };
	struct rte_mbuf *m, *payload;
	struct rig rig;
	void *page;

	rig_open(&rig, &conf, *state, 0, NULL);
	page = mmap(NULL, packet.payload_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	packet_build(&packet);
	m = rig_mbuf(&rig, packet.bytes, packet.len - packet.payload_len, 0);
	m->l2_len = packet.l2_len;
	m->l3_len = packet.l3_len;
	m->l4_len = packet.l4_len;
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	payload = rte_pktmbuf_alloc(rig.pool);
	assert_non_null(payload);
	rte_mbuf_ext_refcnt_set(&shared, 1);
	rte_pktmbuf_attach_extbuf(payload, page, RTE_BAD_IOVA, (uint16_t)packet.payload_len,
			&shared);
	payload->data_len = (uint16_t)packet.payload_len;
	payload->pkt_len = packet.payload_len;
	assert_int_equal(rte_pktmbuf_chain(m, payload), 0);
	assert_int_equal(rte_eth_tx_prepare(rig.port, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	munmap(page, packet.payload_len);
	rig_fini(&rig);
}

/* A pool whose mbufs have external buffers for life is refused, and nothing is left of it. */
static void
test_pinned_buffers(void **state)
{
	struct rte_pktmbuf_extmem memory = { .buf_len = 64 * 1024, .elt_size = 2048 };
	struct rte_mempool *pool;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	memory.buf_ptr = rte_malloc(NULL, memory.buf_len, 0);
	assert_non_null(memory.buf_ptr);
	memory.buf_iova = rte_malloc_virt2iova(memory.buf_ptr);
	pool = rte_pktmbuf_pool_create_extbuf("pinned", 31, 0, 0, 2048, SOCKET_ID_ANY, &memory, 1);
	assert_non_null(pool);
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	assert_int_equal(rte_eth_rx_queue_setup(rig.port, 0, 256, SOCKET_ID_ANY, NULL, pool),
			-ENOTSUP);
	assert_int_equal(rte_eth_rx_queue_setup(rig.port, 0, 256, SOCKET_ID_ANY, NULL, rig.pool),
			0);
	assert_int_equal(rte_eth_dev_start(rig.port), 0);
	rte_mempool_free(pool);
	rte_free(memory.buf_ptr);
	rig_fini(&rig);
}

/* A queue whose start is deferred does not start with the port. */
static void
test_deferred_start(void **state)
{
	const struct rte_eth_rxconf rx_conf = { .rx_deferred_start = 1 };
	const struct rte_eth_txconf tx_conf = { .tx_deferred_start = 1 };
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	assert_int_equal(rte_eth_rx_queue_setup(rig.port, 0, 256, SOCKET_ID_ANY, &rx_conf,
					 rig.pool),
			0);
	assert_int_equal(rte_eth_tx_queue_setup(rig.port, 0, 256, SOCKET_ID_ANY, &tx_conf), 0);
	assert_int_equal(rte_eth_dev_start(rig.port), 0);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 1), 1);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	assert_int_equal(rte_eth_dev_rx_queue_start(rig.port, 0), 0);
	rig_rx(&rig, 0, &m, 1);
	assert_int_equal(rte_eth_tx_burst(rig.port, 0, &m, 1), 0);
	assert_int_equal(rte_eth_dev_tx_queue_start(rig.port, 0), 0);
	rig_tx(&rig, 0, &m, 1);
	rig_fini(&rig);
}

/* A burst frees what it has sent: nothing is left to be freed on demand. */
static void
test_tx_done_cleanup(void **state)
{
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_post(&rig.rx[0], 1), 1);
	m = rig_mbuf(&rig, frame, sizeof(frame), 0);
	rig_tx(&rig, 0, &m, 1);
	assert_int_equal(rte_mempool_in_use_count(rig.pool), 0);
	assert_int_equal(rte_eth_tx_done_cleanup(rig.port, 0, 0), 0);
	rig_fini(&rig);
}

/* Releases differ in the spaces of their answers. */
static void
remove_spaces(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++)
		if (*text != ' ')
			*to++ = *text;
	*to = '\0';
}

/* A connection to telemetry, which outlives the rigs: they count fds, at both of its ends. */
static int
telemetry_fd(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	static char greeting[1024];
	static int fd = -1;

	if (fd >= 0)
		return fd;
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/dpdk_telemetry.v2",
			rte_eal_get_runtime_dir());
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_true(read(fd, greeting, sizeof(greeting)) > 0);
	return fd;
}

/* Ask as its users do. Returns whether the answer, without its spaces, has a text in it. */
static bool
telemetry_has(const char *command, const char *text)
{
	static char answer[32768];
	ssize_t len;

	assert_int_equal(write(telemetry_fd(), command, strlen(command)), strlen(command));
	len = read(telemetry_fd(), answer, sizeof(answer) - 1);
	assert_true(len > 0);
	answer[len] = '\0';
	remove_spaces(answer);
	return strstr(answer, text) != NULL;
}

static void
test_telemetry(void **state)
{
	char command[64];
	struct rig rig;

	telemetry_fd();
	rig_open(&rig, &plain, *state, 0, NULL);
	snprintf(command, sizeof(command), "/net_vhost_pci/info,%u", rig.port);
	assert_true(telemetry_has("/net_vhost_pci/list", "{\"/net_vhost_pci/list\":[0]}"));
	assert_true(telemetry_has(command, "\"connected\":1"));
	assert_true(telemetry_has(command, "\"gpa\""));
	assert_true(telemetry_has("/net_vhost_pci/info,99", "null"));
	assert_true(telemetry_has("/net_vhost_pci/info,x", "null"));
	rig_disconnect(&rig);
	rig_wait_link(&rig, false);
	assert_false(telemetry_has(command, "\"gpa\""));
	rig_fini(&rig);
}

/* As many regions as a front-end may have: some are shown, all are counted. */
static void
test_telemetry_regions(void **state)
{
	struct tfe_region_conf region = {
		.gpa = UINT64_C(1) << 40,
		.uva = UINT64_C(1) << 44,
		.size_bytes = 4096,
		.share_fd_of = -1,
	};
	struct tfe_dev_conf conf;
	char command[64];
	struct tfe_vu_region wire;
	struct rig rig;
	int i;

	telemetry_fd();
	rig_init(&rig);
	rig_port_open(&rig, &plain);
	conf = rig_dev_conf(&rig, *state);
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	conf.mem_slots = true;
	rig_connect(&rig, &conf);
	for (i = 1; i < 509; i++) {
		assert_int_equal(tfe_mem_add_region(&rig.dev.mem, &region), i);
		wire = tfe_mem_wire(&rig.dev.mem, (unsigned int)i);
		assert_int_equal(tfe_req_add_mem_reg(&rig.dev.conn, &wire,
						 rig.dev.mem.regions[i].fd),
				0);
		region.gpa += region.size_bytes;
		region.uva += region.size_bytes;
	}
	snprintf(command, sizeof(command), "/net_vhost_pci/info,%u", rig.port);
	assert_true(telemetry_has(command, "\"nb_regions\":509"));
	assert_true(telemetry_has(command, "\"31\":{\"gpa\""));
	assert_false(telemetry_has(command, "\"32\":{\"gpa\""));
	assert_true(telemetry_has(command, "\"nb_vrings\":2"));
	assert_true(telemetry_has(command, "\"format\":"));
	rig_fini(&rig);
}

/* Questions about ports that come and go. */
static void *
ask_telemetry(void *arg)
{
	while (!__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE)) {
		telemetry_has("/net_vhost_pci/list", "");
		telemetry_has("/net_vhost_pci/info,0", "");
	}
	return NULL;
}

static void
test_telemetry_close(void **state)
{
	pthread_t thread;
	bool stop = false;
	struct rig rig;
	unsigned int i;

	telemetry_fd();
	assert_int_equal(pthread_create(&thread, NULL, ask_telemetry, &stop), 0);
	rig_run_anywhere(thread);
	for (i = 0; i < 30; i++) {
		rig_open(&rig, &plain, *state, 0, NULL);
		rig_fini(&rig);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

static void
test_trace_points(void **state)
{
	static const char *const names[] = {
		"pmd.net.vhost_pci.connected",
		"pmd.net.vhost_pci.disconnected",
		"pmd.net.vhost_pci.message",
		"pmd.net.vhost_pci.features",
		"pmd.net.vhost_pci.vring",
		"pmd.net.vhost_pci.link",
	};
	unsigned int i;

	for (i = 0; i < RTE_DIM(names); i++)
		assert_non_null(rte_trace_point_lookup(names[i]));
	(void)state;
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_info),
	cmocka_unit_test(test_mac),
	cmocka_unit_test(test_mtu),
	BOTH(test_descriptors),
	BOTH(test_queue_info),
	BOTH(test_ptypes),
	BOTH(test_stats),
	cmocka_unit_test(test_features),
	cmocka_unit_test(test_postcopy),
	BOTH(test_max_queue_size),
	BOTH(test_queue_stop),
	RIG_TEST(test_tx_prepare_headers_only, split),
	RIG_TEST(test_pinned_buffers, split),
	BOTH(test_deferred_start),
	BOTH(test_tx_done_cleanup),
	BOTH(test_telemetry),
	RIG_TEST(test_telemetry_regions, split),
	RIG_TEST(test_telemetry_close, split),
	cmocka_unit_test(test_trace_points),
};

REGISTER_TEST_GROUP(driver_ops_autotest, tests, rig_group_setup, rig_group_teardown);
