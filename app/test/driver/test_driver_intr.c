/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <rte_epoll.h>
#include <rte_power_intrinsics.h>

#include "driver_rig.h"

static const struct rig_conf with_intr = { .rxq_intr = true };

/* EAL makes a thread's epoll set when it is first used, and keeps it. */
static int
setup(void **state)
{
	struct rte_epoll_event event;
	int ret = rig_group_setup(state);

	return ret < 0 ? ret : rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 0);
}

/* What the epoll set gives back for each queue. */
static char marks[4];

static void
watch(const struct rig *rig, uint16_t queue)
{
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(rig->port, queue, RTE_EPOLL_PER_THREAD,
					 RTE_INTR_EVENT_ADD, &marks[queue]),
			0);
}

static void
unwatch(const struct rig *rig, uint16_t queue)
{
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(rig->port, queue, RTE_EPOLL_PER_THREAD,
					 RTE_INTR_EVENT_DEL, NULL),
			0);
}

/* Sleep, for so long at most. Returns the number of the queue that woke us; -1: none did. */
static int
doze(int timeout_ms)
{
	struct rte_epoll_event event;
	int nb = rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, timeout_ms);

	assert_true(nb >= 0);
	return nb == 0 ? -1 : (int)((char *)event.epdata.data - marks);
}

/* Go to sleep as an application does: enabled, and nothing to do. */
static void
settle(const struct rig *rig, uint16_t queue)
{
	struct rte_mbuf *m;

	for (;;) {
		assert_int_equal(rte_eth_dev_rx_intr_enable(rig->port, queue), 0);
		if (doze(0) < 0)
			return;
		assert_int_equal(rte_eth_dev_rx_intr_disable(rig->port, queue), 0);
		assert_int_equal(rte_eth_rx_burst(rig->port, queue, &m, 1), 0);
	}
}

static void
send_one(struct rig *rig, uint16_t queue)
{
	uint8_t frame[64];

	tfe_frame_build(frame, sizeof(frame), queue, 1);
	assert_int_equal(tfe_netq_send(&rig->tx[queue], NULL, frame, sizeof(frame)), 0);
}

/* Awake: take the packet. */
static void
wake_and_receive(struct rig *rig, uint16_t queue)
{
	struct rte_mbuf *m;

	assert_int_equal(doze(RIG_TIMEOUT_MS), queue);
	assert_int_equal(rte_eth_dev_rx_intr_disable(rig->port, queue), 0);
	rig_rx(rig, queue, &m, 1);
	rte_pktmbuf_free(m);
}

/* A packet wakes the application, each time; a queue that is polled wants no kicks. */
static void
test_wake(void **state)
{
	struct rte_mbuf *m;
	uint64_t nb_kicks;
	unsigned int i;
	struct rig rig;

	rig_open(&rig, &with_intr, *state, 0, NULL);
	watch(&rig, 0);
	for (i = 0; i < 300; i++) {
		settle(&rig, 0);
		nb_kicks = rig.tx[0].ring->nb_kicks;
		send_one(&rig, 0);
		assert_int_equal(rig.tx[0].ring->nb_kicks, nb_kicks + 1);
		wake_and_receive(&rig, 0);
	}
	nb_kicks = rig.tx[0].ring->nb_kicks;
	for (i = 0; i < 300; i++) {
		send_one(&rig, 0);
		rig_rx(&rig, 0, &m, 1);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(rig.tx[0].ring->nb_kicks, nb_kicks);
	unwatch(&rig, 0);
	rig_fini(&rig);
}

/* A packet that came before the interrupt was enabled. */
static void
test_before_enable(void **state)
{
	struct rig rig;

	rig_open(&rig, &with_intr, *state, 0, NULL);
	watch(&rig, 0);
	settle(&rig, 0);
	assert_int_equal(rte_eth_dev_rx_intr_disable(rig.port, 0), 0);
	send_one(&rig, 0);
	assert_int_equal(rte_eth_dev_rx_intr_enable(rig.port, 0), 0);
	wake_and_receive(&rig, 0);
	unwatch(&rig, 0);
	rig_fini(&rig);
}

/* Each queue wakes by itself. */
static void
test_queues(void **state)
{
	const struct rig_conf conf = { .rxq_intr = true, .nb_queues = 4 };
	struct rig rig;
	uint16_t i;

	rig_open(&rig, &conf, *state, F(NET_F_MQ), NULL);
	for (i = 0; i < 4; i++) {
		watch(&rig, i);
		settle(&rig, i);
	}
	for (i = 0; i < 4; i++) {
		send_one(&rig, i);
		wake_and_receive(&rig, i);
	}
	for (i = 0; i < 4; i++)
		unwatch(&rig, i);
	rig_fini(&rig);
}

/* The application sleeps, front-ends come and go: its fd stays good, and it hears of them. */
static void
test_reconnect(void **state)
{
	struct tfe_dev_conf conf;
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &with_intr);
	watch(&rig, 0);
	settle(&rig, 0);
	for (i = 0; i < 10; i++) {
		conf = rig_dev_conf(&rig, *state);
		rig_connect(&rig, &conf);
		rig_netqs(&rig, 2048, NULL);
		/* The new vring wakes an application whose wish it could not know. */
		assert_int_equal(doze(RIG_TIMEOUT_MS), 0);
		settle(&rig, 0);
		send_one(&rig, 0);
		wake_and_receive(&rig, 0);
		settle(&rig, 0);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
		settle(&rig, 0);
	}
	unwatch(&rig, 0);
	rig_fini(&rig);
}

/* So does a RARP packet for a guest that has moved here, which does not come through the ring. */
static void
test_rarp(void **state)
{
	static const uint8_t mac[6] = { 0x02, 0, 0, 0, 0, 0x2a };
	struct tfe_dev_conf conf;
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &with_intr);
	conf = rig_dev_conf(&rig, *state);
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_RARP);
	rig_connect(&rig, &conf);
	watch(&rig, 0);
	for (i = 0; i < 20; i++) {
		settle(&rig, 0);
		assert_int_equal(tfe_req_send_rarp(&rig.dev.conn, mac), 0);
		wake_and_receive(&rig, 0);
	}
	/* One that came before the interrupt was enabled. */
	settle(&rig, 0);
	assert_int_equal(tfe_req_send_rarp(&rig.dev.conn, mac), 0);
	assert_int_equal(doze(RIG_TIMEOUT_MS), 0);
	rig_ping();
	assert_int_equal(rte_eth_dev_rx_intr_enable(rig.port, 0), 0);
	wake_and_receive(&rig, 0);
	unwatch(&rig, 0);
	rig_fini(&rig);
}

/* A port that was not configured for interrupts says so. */
static void
test_not_configured(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	assert_int_equal(rte_eth_dev_rx_intr_enable(rig.port, 0), -ENOTSUP);
	assert_int_equal(rte_eth_dev_rx_intr_disable(rig.port, 0), -ENOTSUP);
	rig_fini(&rig);
}

/* Whether a processor would sleep on what it watches, as rte_power_monitor() looks at it. */
static bool
would_sleep(const struct rte_power_monitor_cond *cond)
{
	uint64_t value = 0;

	assert_true(cond->size == 2 || cond->size == 4);
	if (cond->size == 2)
		value = __atomic_load_n((volatile uint16_t *)cond->addr, __ATOMIC_RELAXED);
	else
		value = __atomic_load_n((volatile uint32_t *)cond->addr, __ATOMIC_RELAXED);
	return cond->fn(value, cond->opaque) == 0;
}

static struct rte_power_monitor_cond
monitor(const struct rig *rig)
{
	struct rte_power_monitor_cond cond = { 0 };

	assert_int_equal(rte_eth_get_monitor_addr(rig->port, 0, &cond), 0);
	return cond;
}

/* A packet ends the sleep of a processor that watches the ring, in each of its slots. */
static void
test_monitor(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rte_power_monitor_cond cond;
	struct rte_mbuf *m;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &conf, *state, 0, NULL);
	for (i = 0; i < 600; i++) {
		cond = monitor(&rig);
		assert_true(would_sleep(&cond));
		send_one(&rig, 0);
		assert_false(would_sleep(&cond));
		/* Asked for now it is awake at once: nothing that came before is missed. */
		cond = monitor(&rig);
		assert_false(would_sleep(&cond));
		rig_rx(&rig, 0, &m, 1);
		rte_pktmbuf_free(m);
	}
	rig_fini(&rig);
}

/* Without a front-end its coming ends the sleep; its going takes nothing away that is watched. */
static void
test_monitor_reconnect(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rte_power_monitor_cond before, during, after;
	struct tfe_dev_conf dev_conf;
	struct rig rig;
	unsigned int i;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	for (i = 0; i < 5; i++) {
		before = monitor(&rig);
		assert_true(would_sleep(&before));
		dev_conf = rig_dev_conf(&rig, *state);
		rig_connect(&rig, &dev_conf);
		rig_netqs(&rig, 2048, NULL);
		assert_false(would_sleep(&before));
		during = monitor(&rig);
		assert_true(would_sleep(&during));
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
		assert_true(would_sleep(&during));
		after = monitor(&rig);
		assert_ptr_equal(after.addr, before.addr);
	}
	rig_fini(&rig);
}

#define EVENTS(test) \
	RIG_TEST(test, split), RIG_TEST(test, packed), RIG_TEST(test, split_event), \
			RIG_TEST(test, packed_event)

static const struct CMUnitTest tests[] = {
	EVENTS(test_wake),
	EVENTS(test_before_enable),
	EVENTS(test_queues),
	EVENTS(test_reconnect),
	RIG_TEST(test_rarp, split),
	RIG_TEST(test_not_configured, split),
	EVENTS(test_monitor),
	RIG_TEST(test_monitor_reconnect, split),
	RIG_TEST(test_monitor_reconnect, packed),
};

REGISTER_TEST_GROUP(driver_intr_autotest, tests, setup, rig_group_teardown);
