/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Front-ends behind a vIOMMU: traffic whose translations are missed, given, refused and withdrawn
 * all the time, those of the rings too.
 */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>

#include "driver_rig.h"

/* Frames that go both ways in a test; VHOST_PCI_TEST_FRAMES is for more. */
#define NB_FRAMES 2000

static const struct rig_conf iommu_port = { .devargs = ",iommu=1", .nb_mbufs = 2047 };

/* The application's thread: what is received goes back. */
struct forwarder {
	pthread_t thread;
	uint16_t port;
	bool stop; /* Atomic. */
};

static void *
forwarder_main(void *arg)
{
	struct forwarder *f = arg;
	struct rte_mbuf *mbufs[32];
	uint16_t nb, nb_tx;

	while (!__atomic_load_n(&f->stop, __ATOMIC_ACQUIRE)) {
		nb = rte_eth_rx_burst(f->port, 0, mbufs, RTE_DIM(mbufs));
		nb_tx = rte_eth_tx_burst(f->port, 0, mbufs, nb);
		rte_pktmbuf_free_bulk(&mbufs[nb_tx], nb - nb_tx);
		if (nb == 0)
			sched_yield();
	}
	return NULL;
}

/* A front-end with its vIOMMU. */
struct guest {
	struct rig rig;
	struct tfe_iommu iommu;
};

static void
guest_open(struct guest *guest, const struct rig_conf *conf, const struct rig_variant *variant,
		const struct tfe_iommu_conf *iommu_conf)
{
	struct tfe_dev_conf dev_conf;

	rig_init(&guest->rig);
	rig_port_open(&guest->rig, conf);
	dev_conf = rig_dev_conf(&guest->rig, variant);
	dev_conf.features |= F(RING_F_INDIRECT_DESC) | F(NET_F_MRG_RXBUF);
	dev_conf.mem_bytes = 8 << 20;
	dev_conf.iommu = true;
	assert_int_equal(tfe_dev_open(&guest->rig.dev, &dev_conf), 0);
	guest->rig.has_dev = true;
	assert_int_equal(tfe_iommu_start(&guest->iommu, &guest->rig.dev, iommu_conf), 0);
	rig_wait_link(&guest->rig, true);
}

static void
guest_close(struct guest *guest)
{
	assert_int_equal(tfe_iommu_stop(&guest->iommu), 0);
	assert_int_equal(guest->iommu.stats.nb_wild, 0);
	rig_fini(&guest->rig);
}

/* One way of traffic through a vIOMMU. */
struct way {
	enum tfe_gen_layout layout;
	uint32_t nb_segs;
	uint32_t frame_bytes;
	uint64_t flush_frames; /* All is taken back after so many have come back; 0: never. */
	struct tfe_iommu_conf iommu;
};

static unsigned int
nb_frames(void)
{
	const char *text = getenv("VHOST_PCI_TEST_FRAMES");

	return text != NULL ? (unsigned int)strtoul(text, NULL, 0) : NB_FRAMES;
}

/* By what has gone through, so that all that is taken back was of use before. */
static void
flush_when_due(const struct guest *guest, const struct way *way, const struct tfe_gen *gen,
		uint64_t *nb_flushed)
{
	struct tfe_gen_stats stats;

	tfe_gen_stats(gen, &stats);
	if (way->flush_frames == 0 || stats.nb_packets < *nb_flushed + way->flush_frames)
		return;
	*nb_flushed = stats.nb_packets;
	assert_int_equal(tfe_iommu_flush(&guest->iommu), 0);
}

/* Frames go out, through the application, and back; each carries its own proof. */
static void
run_traffic(struct guest *guest, const struct way *way)
{
	struct tfe_gen_conf conf = {
		.dir = TFE_GEN_TRANSMIT,
		.layout = way->layout,
		.nb_segs = way->nb_segs,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = way->frame_bytes,
		.nb_packets = nb_frames(),
		.burst = 32,
		.stream = 3,
	};
	struct tfe_gen *gens[2];
	struct tfe_gen_stats stats;
	struct forwarder f = { .port = guest->rig.port };
	uint64_t nb_flushed = 0;
	uint64_t end = rte_get_timer_cycles() + 9 * rte_get_timer_hz() / 1000 * RIG_TIMEOUT_MS;

	assert_int_equal(tfe_gen_create(&gens[0], &guest->rig.dev, 0, &conf), 0);
	conf.dir = TFE_GEN_RECEIVE;
	conf.layout = TFE_GEN_SINGLE;
	conf.buf_bytes = 2048;
	conf.nb_packets = 0;
	assert_int_equal(tfe_gen_create(&gens[1], &guest->rig.dev, 0, &conf), 0);
	assert_int_equal(pthread_create(&f.thread, NULL, forwarder_main, &f), 0);
	rig_run_anywhere(f.thread);
	while (!tfe_gen_done(gens[0])) {
		assert_true(tfe_gen_poll(gens[0]) >= 0);
		assert_true(tfe_gen_poll(gens[1]) >= 0);
		assert_true(rte_get_timer_cycles() < end);
		flush_when_due(guest, way, gens[0], &nb_flushed);
	}
	/* Every chain that was sent has come back once. */
	tfe_gen_stats(gens[0], &stats);
	assert_int_equal(stats.nb_packets, nb_frames());
	__atomic_store_n(&f.stop, true, __ATOMIC_RELEASE);
	pthread_join(f.thread, NULL);
	tfe_gen_stats(gens[1], &stats);
	assert_int_equal(stats.nb_bad, 0);
	assert_int_equal(stats.nb_late, 0);
	assert_int_equal(stats.nb_foreign, 0);
	assert_true(stats.nb_packets > 0);
	tfe_gen_destroy(gens[0]);
	tfe_gen_destroy(gens[1]);
}

static void
check_counters(const struct guest *guest)
{
	const struct rig *rig = &guest->rig;
	uint64_t nb_asked = tfe_iommu_misses(&guest->iommu);
	uint64_t nb_misses = rig_xstat(rig, "rx_q0_iotlb_misses") +
			rig_xstat(rig, "tx_q0_iotlb_misses");

	/* Some need not be sent any more, for the IOTLB has changed before. One that was refused
	 * is asked again when it has changed, and counted once.
	 */
	assert_true(nb_misses + rig_xstat(rig, "frontend_iotlb_refused") >= nb_asked);
	assert_int_equal(rig_xstat(rig, "frontend_broken_vrings"), 0);
	assert_int_equal(rig_xstat(rig, "frontend_rejected"), 0);
	assert_int_equal(rig_xstat(rig, "rx_q0_lent"), 0);
}

/* All of it is missed once. */
static void
test_misses(void **state)
{
	static const struct way way = { .layout = TFE_GEN_SINGLE, .frame_bytes = 200 };
	struct guest guest;

	guest_open(&guest, &iommu_port, *state, &way.iommu);
	run_traffic(&guest, &way);
	check_counters(&guest);
	assert_true(rig_xstat(&guest.rig, "rx_q0_iotlb_misses") > 3);
	assert_true(rig_xstat(&guest.rig, "tx_q0_iotlb_misses") > 3);
	assert_true(rig_xstat(&guest.rig, "frontend_iotlb_updates") > 6);
	assert_int_equal(rig_xstat(&guest.rig, "frontend_iotlb_invalidates"), 0);
	guest_close(&guest);
}

/* Pages are taken back, one after the other and all together, below traffic. */
static void
run_invalidations(struct rig_variant *variant, enum tfe_gen_layout layout)
{
	const struct way way = {
		.layout = layout,
		.nb_segs = layout == TFE_GEN_SINGLE ? 0 : 3,
		.frame_bytes = 1400,
		.flush_frames = 200,
		.iommu = { .misses_per_range = 5, .misses_per_flush = 60 },
	};
	struct guest guest;

	guest_open(&guest, &iommu_port, variant, &way.iommu);
	rig_wait_lsc(&guest.rig, 1);
	run_traffic(&guest, &way);
	check_counters(&guest);
	assert_true(rig_xstat(&guest.rig, "frontend_iotlb_invalidates") > 0);
	/* The application was not told of any of it: the link came up, once. */
	assert_int_equal(__atomic_load_n(&guest.rig.nb_lsc, __ATOMIC_ACQUIRE), 1);
	guest_close(&guest);
	assert_true(guest.iommu.stats.nb_flushes > 0);
	assert_true(guest.iommu.stats.nb_ranges > 0);
}

static void
test_invalidations(void **state)
{
	run_invalidations(*state, TFE_GEN_SINGLE);
}

static void
test_invalidations_chains(void **state)
{
	run_invalidations(*state, TFE_GEN_CHAIN);
}

static void
test_invalidations_tables(void **state)
{
	run_invalidations(*state, TFE_GEN_INDIRECT);
}

/* A miss that is refused is asked for again once anything has changed. */
static void
test_refusals(void **state)
{
	static const struct way way = {
		.layout = TFE_GEN_SINGLE,
		.frame_bytes = 200,
		.flush_frames = 200,
		.iommu = { .misses_per_refusal = 50, .misses_per_flush = 33 },
	};
	struct guest guest;

	guest_open(&guest, &iommu_port, *state, &way.iommu);
	run_traffic(&guest, &way);
	check_counters(&guest);
	assert_true(rig_xstat(&guest.rig, "frontend_iotlb_refused") > 0);
	guest_close(&guest);
}

/* Who sleeps until there is a packet is woken when its translation has come. */
static void
test_interrupts(void **state)
{
	const struct rig_conf conf = { .devargs = ",iommu=1", .rxq_intr = true };
	static const struct tfe_iommu_conf iommu_conf = { .misses_per_flush = 20 };
	struct rte_epoll_event event;
	struct rte_mbuf *m;
	struct guest guest;
	uint8_t frame[64];
	unsigned int i, nb;

	/* EAL makes the thread's epoll set when it is first used, and keeps it. */
	assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 0), 0);
	guest_open(&guest, &conf, *state, &iommu_conf);
	rig_netqs(&guest.rig, 2048, NULL);
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(guest.rig.port, 0, RTE_EPOLL_PER_THREAD,
					 RTE_INTR_EVENT_ADD, NULL),
			0);
	for (i = 0; i < 200; i++) {
		assert_int_equal(rte_eth_dev_rx_intr_enable(guest.rig.port, 0), 0);
		tfe_frame_build(frame, sizeof(frame), 1, i);
		assert_int_equal(tfe_netq_send(&guest.rig.tx[0], NULL, frame, sizeof(frame)), 0);
		do {
			nb = rte_eth_rx_burst(guest.rig.port, 0, &m, 1);
			if (nb > 0)
				break;
			assert_int_equal(rte_eth_dev_rx_intr_enable(guest.rig.port, 0), 0);
			nb = rte_eth_rx_burst(guest.rig.port, 0, &m, 1);
			if (nb == 0)
				assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1,
								 RIG_TIMEOUT_MS),
						1);
		} while (nb == 0);
		rig_check_mbuf(m, frame, sizeof(frame));
		rte_pktmbuf_free(m);
	}
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(guest.rig.port, 0, RTE_EPOLL_PER_THREAD,
					 RTE_INTR_EVENT_DEL, NULL),
			0);
	guest_close(&guest);
}

/* A front-end that maps what has nothing to do with its rings. */
struct mapper {
	pthread_t thread;
	struct tfe_dev *dev;
	bool stop; /* Atomic. */
	int ret;
};

static void *
mapper_main(void *arg)
{
	struct mapper *mapper = arg;
	const struct tfe_region *region = &mapper->dev->mem.regions[0];
	const uint64_t offset = region->size_bytes - TFE_IOMMU_PAGE;
	const struct tfe_vu_iotlb msg = {
		.iova = TFE_MEM_IOVA + offset,
		.size_bytes = TFE_IOMMU_PAGE,
		.uva = region->uva + offset,
		.perm = 3,
		.type = TFE_VU_IOTLB_UPDATE,
	};

	while (!__atomic_load_n(&mapper->stop, __ATOMIC_ACQUIRE) && mapper->ret == 0)
		mapper->ret = tfe_req_iotlb(&mapper->dev->conn, &msg);
	return NULL;
}

static void
send_and_receive(struct guest *guest, unsigned int i)
{
	struct rte_mbuf *m;
	uint8_t frame[64];

	tfe_frame_build(frame, sizeof(frame), 1, i);
	assert_int_equal(tfe_netq_send(&guest->rig.tx[0], NULL, frame, sizeof(frame)), 0);
	rig_rx(&guest->rig, 0, &m, 1);
	rig_check_mbuf(m, frame, sizeof(frame));
	rte_pktmbuf_free(m);
}

/* Go to sleep; the packet that comes then wakes. */
static void
sleep_and_receive(struct guest *guest, unsigned int i)
{
	const uint16_t port = guest->rig.port;
	struct rte_epoll_event event;
	struct rte_mbuf *m;
	uint8_t frame[64];

	assert_int_equal(rte_eth_dev_rx_intr_enable(port, 0), 0);
	tfe_frame_build(frame, sizeof(frame), 1, i);
	assert_int_equal(tfe_netq_send(&guest->rig.tx[0], NULL, frame, sizeof(frame)), 0);
	assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, RIG_TIMEOUT_MS), 1);
	assert_int_equal(rte_eth_dev_rx_intr_disable(port, 0), 0);
	rig_rx(&guest->rig, 0, &m, 1);
	rte_pktmbuf_free(m);
}

/* Who goes to sleep while all vrings stand still for a change of the IOTLB is woken as well. */
static void
test_interrupts_during_updates(void **state)
{
	const struct rig_conf conf = { .devargs = ",iommu=1", .rxq_intr = true };
	static const struct tfe_iommu_conf iommu_conf;
	struct rte_epoll_event event;
	struct mapper mapper = { 0 };
	struct guest guest;
	unsigned int i;

	/* EAL makes the thread's epoll set when it is first used, and keeps it. */
	assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 0), 0);
	guest_open(&guest, &conf, *state, &iommu_conf);
	rig_netqs(&guest.rig, 2048, NULL);
	/* All is known then, and nothing missed any more. */
	for (i = 0; i < 2 * guest.rig.dev.conf.transmitq_size; i++)
		send_and_receive(&guest, i);
	assert_int_equal(tfe_iommu_stop(&guest.iommu), 0);
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(guest.rig.port, 0, RTE_EPOLL_PER_THREAD,
					 RTE_INTR_EVENT_ADD, NULL),
			0);
	mapper.dev = &guest.rig.dev;
	mapper.dev->conn.need_reply = true;
	assert_int_equal(pthread_create(&mapper.thread, NULL, mapper_main, &mapper), 0);
	rig_run_anywhere(mapper.thread);
	for (i = 0; i < nb_frames(); i++)
		sleep_and_receive(&guest, i);
	__atomic_store_n(&mapper.stop, true, __ATOMIC_RELEASE);
	pthread_join(mapper.thread, NULL);
	assert_int_equal(mapper.ret, 0);
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(guest.rig.port, 0, RTE_EPOLL_PER_THREAD,
					 RTE_INTR_EVENT_DEL, NULL),
			0);
	guest_close(&guest);
}

/* Front-ends come and go, in the midst of misses. */
static void
test_reconnect(void **state)
{
	static const struct tfe_iommu_conf iommu_conf = { .misses_per_flush = 40 };
	static const struct way way = { .layout = TFE_GEN_SINGLE, .frame_bytes = 200 };
	struct guest guest;
	unsigned int i;

	guest_open(&guest, &iommu_port, *state, &iommu_conf);
	for (i = 0; i < 5; i++) {
		assert_int_equal(tfe_iommu_stop(&guest.iommu), 0);
		assert_int_equal(tfe_dev_reconnect(&guest.rig.dev), 0);
		assert_int_equal(tfe_iommu_start(&guest.iommu, &guest.rig.dev, &iommu_conf), 0);
		rig_wait_link(&guest.rig, true);
	}
	run_traffic(&guest, &way);
	guest_close(&guest);
}

/* Without the option the feature is not offered, and a value is 0 or 1. */
static void
test_devarg(void **state)
{
	static const struct rig_conf plain;
	struct tfe_dev_conf dev_conf;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_true(rig_port_attach(&rig, ",iommu=2") < 0);
	rig_port_open(&rig, &plain);
	dev_conf = rig_dev_conf(&rig, &rig_split);
	dev_conf.iommu = true;
	assert_int_equal(tfe_dev_open(&rig.dev, &dev_conf), -ENOTSUP);
	rig_fini(&rig);
}

#define BOTH(test)  RIG_TEST(test, split), RIG_TEST(test, packed)
#define EVENT(test) RIG_TEST(test, split_event), RIG_TEST(test, packed_event)

static const struct CMUnitTest tests[] = {
	BOTH(test_misses),
	BOTH(test_invalidations),
	EVENT(test_invalidations_chains),
	BOTH(test_invalidations_tables),
	BOTH(test_refusals),
	EVENT(test_interrupts),
	BOTH(test_interrupts_during_updates),
	EVENT(test_interrupts_during_updates),
	BOTH(test_reconnect),
	cmocka_unit_test(test_devarg),
};

REGISTER_TEST_GROUP(driver_iommu_autotest, tests, rig_group_setup, rig_group_teardown);
