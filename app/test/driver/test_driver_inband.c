/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Kicks that are messages, and are answered when the application has received the packets. */

#include <poll.h>

#include <rte_cycles.h>

#include "driver_rig.h"

/** The vring that the front-end sends on. */
#define TRANSMITQ 1

static const struct rig_conf plain;

static void
open_inband(struct rig *rig, const struct rig_conf *port, const struct rig_variant *variant)
{
	struct tfe_dev_conf conf;

	rig_init(rig);
	rig_port_open(rig, port);
	conf = rig_dev_conf(rig, variant);
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_BACKEND_REQ) |
			TFE_BIT(TFE_VU_PROTOCOL_F_INBAND_NOTIFICATIONS);
	rig_connect(rig, &conf);
	rig_netqs(rig, 2048, NULL);
}

static void
send_frame(struct rig *rig, uint8_t frame[64])
{
	tfe_frame_build(frame, 64, 1, 1);
	assert_int_equal(tfe_netq_send(&rig->tx[0], NULL, frame, 64), 0);
}

/** Send a packet, and kick for it so that a reply is owed. */
static void
send_and_kick(struct rig *rig, uint8_t frame[64])
{
	struct tfe_vu_vring_state kick = { .index = TRANSMITQ };
	struct tfe_msg msg;

	send_frame(rig, frame);
	tfe_msg_init(&msg, TFE_VU_VRING_KICK, &kick, sizeof(kick));
	msg.hdr.flags |= TFE_VU_NEED_REPLY;
	assert_int_equal(tfe_conn_send(&rig->dev.conn, &msg), 0);
}

static void
receive(struct rig *rig, const uint8_t frame[64])
{
	struct rte_mbuf *m;

	rig_rx(rig, 0, &m, 1);
	rig_check_mbuf(m, frame, 64);
	rte_pktmbuf_free(m);
}

static void
kick_and_receive(struct rig *rig)
{
	uint8_t frame[64];

	send_and_kick(rig, frame);
	receive(rig, frame);
}

static bool
reply_is_there(const struct rig *rig, int timeout_ms)
{
	struct pollfd readable = { .fd = rig->dev.conn.fd, .events = POLLIN };
	int ret = poll(&readable, 1, timeout_ms);

	assert_true(ret >= 0);
	return ret == 1;
}

/** Poll the queue, which has nothing more, until the reply is there. */
static void
await_reply(struct rig *rig)
{
	struct rte_mbuf *m;
	struct tfe_msg msg;

	while (!reply_is_there(rig, 0))
		assert_int_equal(rte_eth_rx_burst(rig->port, 0, &m, 1), 0);
	assert_int_equal(tfe_conn_recv(&rig->dev.conn, &msg), 0);
	assert_int_equal(msg.hdr.request, TFE_VU_VRING_KICK);
	assert_int_equal(msg.u64, 0);
}

/* The reply comes after the packet was received, and messages go on after it. */
static void
test_kick(void **state)
{
	uint64_t features;
	struct rig rig;
	unsigned int i;

	open_inband(&rig, &plain, *state);
	for (i = 0; i < 20; i++) {
		kick_and_receive(&rig);
		await_reply(&rig);
	}
	assert_int_equal(tfe_req_get_features(&rig.dev.conn, &features), 0);
	rig_fini(&rig);
}

/* What an application does with a packet, it does before it asks for more: so long it is waited
 * for, or until the driver gives up.
 */
static void
test_reply_waits_for_the_next_burst(void **state)
{
	uint64_t start, give_up = rte_get_timer_hz() / 10;
	struct rig rig;
	unsigned int i;

	open_inband(&rig, &plain, *state);
	for (i = 0; i < 5; i++) {
		start = rte_get_timer_cycles();
		kick_and_receive(&rig);
		if (reply_is_there(&rig, 20))
			assert_true(rte_get_timer_cycles() - start >= give_up);
		await_reply(&rig);
	}
	rig_fini(&rig);
}

/* An application need not poll: the front-end does not stand still for ever. */
static void
test_nobody_polls(void **state)
{
	uint8_t frame[64];
	struct rig rig;

	open_inband(&rig, &plain, *state);
	send_frame(&rig, frame);
	rig.dev.conn.need_reply = true;
	assert_int_equal(tfe_req_vring_kick(&rig.dev.conn, TRANSMITQ), 0);
	receive(&rig, frame);
	rig_fini(&rig);
}

/** Sleep until there is something to do, which is told, or the reply has come. */
static bool
sleep_once(const struct rig *rig)
{
	struct pollfd fds[] = {
		{ .fd = rte_eth_dev_rx_intr_ctl_q_get_fd(rig->port, 0), .events = POLLIN },
		{ .fd = rig->dev.conn.fd, .events = POLLIN },
	};

	assert_int_equal(rte_eth_dev_rx_intr_enable(rig->port, 0), 0);
	assert_true(poll(fds, RTE_DIM(fds), RIG_TIMEOUT_MS) > 0);
	assert_int_equal(rte_eth_dev_rx_intr_disable(rig->port, 0), 0);
	return fds[0].revents != 0;
}

/* An application that goes to sleep when it is done is woken, for it alone can tell; unless it was
 * so late that the driver has given up.
 */
static void
test_sleeper(void **state)
{
	const struct rig_conf with_intr = { .rxq_intr = true };
	unsigned int i, nb_woken = 0;
	uint8_t frame[64];
	struct rig rig;

	open_inband(&rig, &with_intr, *state);
	for (i = 0; i < 20; i++) {
		send_and_kick(&rig, frame);
		/* The message was handled after the first of them at the latest. */
		rig_ping();
		rig_ping();
		sleep_once(&rig);
		receive(&rig, frame);
		nb_woken += sleep_once(&rig);
		await_reply(&rig);
	}
	assert_true(nb_woken > 0);
	rig_fini(&rig);
}

/* A front-end, or a port, that goes while a reply is owed. */
static void
test_gone_before_the_reply(void **state)
{
	uint8_t frame[64];
	struct rig rig;
	bool port_first;

	for (port_first = false;; port_first = true) {
		open_inband(&rig, &plain, *state);
		send_and_kick(&rig, frame);
		if (port_first) {
			rig_port_close(&rig);
		} else {
			rig_disconnect(&rig);
			rig_wait_link(&rig, false);
		}
		rig_fini(&rig);
		if (port_first)
			break;
	}
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(test_kick, split),
	RIG_TEST(test_kick, packed),
	RIG_TEST(test_kick, split_event),
	RIG_TEST(test_kick, packed_event),
	RIG_TEST(test_reply_waits_for_the_next_burst, split),
	RIG_TEST(test_nobody_polls, split),
	RIG_TEST(test_sleeper, split),
	RIG_TEST(test_sleeper, packed_event),
	RIG_TEST(test_gone_before_the_reply, split),
};

REGISTER_TEST_GROUP(driver_inband_autotest, tests, rig_group_setup, rig_group_teardown);
