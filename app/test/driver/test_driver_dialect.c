/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The vhost-pci extension of vhost-user, spoken to a port. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_ids.h>

#include "driver_rig.h"

static const struct rig_conf plain = { .devargs = ",dialect=vhost-pci" };

static void
send_wire(const struct rig *rig, enum tfe_dialect_request request, uint64_t conn_id,
		const void *payload, uint32_t size)
{
	struct tfe_dialect_msg msg = { request, TFE_DIALECT_VERSION, conn_id, size, { 0 } };

	if (size > 0)
		memcpy(msg.payload, payload, size);
	assert_int_equal(tfe_dialect_send(rig->dev.conn.fd, &msg), 0);
}

/* The next message, whose payload is a u64. */
static uint64_t
receive(const struct rig *rig, enum tfe_dialect_request request, uint32_t flags)
{
	struct tfe_dialect_msg msg;
	uint64_t value;

	assert_int_equal(tfe_dialect_recv(rig->dev.conn.fd, &msg, &value), 0);
	assert_int_equal(msg.request, request);
	assert_int_equal(msg.flags, TFE_DIALECT_VERSION | flags);
	return value;
}

static uint64_t
set_peer(const struct rig *rig, uint64_t state)
{
	send_wire(rig, TFE_DIALECT_SET_PEER_CONNECTION, TFE_DIALECT_ANONYMOUS, &state,
			sizeof(state));
	return receive(rig, TFE_DIALECT_SET_PEER_CONNECTION, TFE_DIALECT_REPLY);
}

static uint64_t
get_conn_id(const struct rig *rig)
{
	send_wire(rig, TFE_DIALECT_GET_CONN_ID, TFE_DIALECT_ANONYMOUS, NULL, 0);
	return receive(rig, TFE_DIALECT_GET_CONN_ID, TFE_DIALECT_REPLY);
}

static void
wait_closed(struct rig *rig)
{
	uint8_t byte;

	assert_true(recv(rig->dev.conn.fd, &byte, 1, 0) <= 0);
	rig_wait_xstat(rig, "frontend_closed", 1);
}

/* Each connection has an id of its own, and messages may bear it. */
static void
test_conn_id(void **state)
{
	uint64_t ids[3];
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &plain, *state, 0, NULL);
	for (i = 0; i < RTE_DIM(ids); i++) {
		if (i > 0) {
			struct tfe_dev_conf conf = rig_dev_conf(&rig, *state);

			rig_disconnect(&rig);
			rig_wait_link(&rig, false);
			rig_connect(&rig, &conf);
			rig_netqs(&rig, 2048, NULL);
		}
		ids[i] = get_conn_id(&rig);
		assert_true(ids[i] != 0 && ids[i] != TFE_DIALECT_ANONYMOUS &&
				(i == 0 || ids[i] > ids[i - 1]));
		send_wire(&rig, TFE_DIALECT_GET_CONN_ID, ids[i], NULL, 0);
		assert_int_equal(receive(&rig, TFE_DIALECT_GET_CONN_ID, TFE_DIALECT_REPLY), ids[i]);
		rig_check_traffic(&rig, 0, 1);
	}
	/* Another's id is not believed. */
	send_wire(&rig, TFE_DIALECT_GET_CONN_ID, ids[0], NULL, 0);
	wait_closed(&rig);
	rig_fini(&rig);
}

/* Without the argument the header's version ends the connection. */
static void
test_off(void **state)
{
	static const struct rig_conf off;
	struct rig rig;

	rig_open(&rig, &off, *state, 0, NULL);
	send_wire(&rig, TFE_DIALECT_GET_CONN_ID, TFE_DIALECT_ANONYMOUS, NULL, 0);
	wait_closed(&rig);
	rig_fini(&rig);
}

/* Device info comes before all about vrings, and is of a network device. */
static void
test_dev_info(void **state)
{
	static const struct {
		uint16_t virtio_id;
		bool late;
		bool good;
	} cases[] = {
		{ VIRTIO_ID_NET, false, true },
		{ VIRTIO_ID_NET, true, false },
		{ VIRTIO_ID_BLOCK, false, false },
	};
	struct tfe_dev_conf conf;
	uint8_t info[18] = { 0 };
	struct rig rig;
	unsigned int i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		rig_init(&rig);
		rig_port_open(&rig, &plain);
		conf = rig_dev_conf(&rig, *state);
		assert_int_equal(tfe_dev_init(&rig.dev, &conf), 0);
		rig.has_dev = true;
		assert_int_equal(tfe_dev_connect(&rig.dev), 0);
		assert_int_equal(tfe_dev_negotiate(&rig.dev), 0);
		assert_int_equal(tfe_dev_make_rings(&rig.dev), 0);
		assert_int_equal(tfe_dev_send_mem(&rig.dev), 0);
		if (cases[i].late)
			assert_int_equal(tfe_dev_start_rings(&rig.dev), 0);
		memcpy(info, &cases[i].virtio_id, sizeof(cases[i].virtio_id));
		send_wire(&rig, TFE_DIALECT_SET_DEV_INFO, TFE_DIALECT_ANONYMOUS, info,
				sizeof(info));
		if (cases[i].good)
			assert_true(get_conn_id(&rig) > 0);
		else
			wait_closed(&rig);
		rig_fini(&rig);
	}
}

/* Packets flow only while both sides want them to, and the rings are enabled. */
static void
test_peer_connection(void **state)
{
	struct rte_mbuf *m;
	uint8_t frame[64];
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	rig_check_traffic(&rig, 0, 1);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_INIT), 0);
	rig_check_traffic(&rig, 0, 1);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_OFF), 0);
	rig_wait_link(&rig, false);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	/* Rings are enabled independently of it. */
	assert_int_equal(tfe_dev_enable(&rig.dev, false), 0);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_ON), 0);
	rig_wait_link(&rig, false);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_OFF), 0);
	assert_int_equal(tfe_dev_enable(&rig.dev, true), 0);
	assert_int_equal(get_conn_id(&rig) > 0, true);
	rig_wait_link(&rig, false);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_ON), 0);
	rig_wait_link(&rig, true);
	/* What was sent in the meantime has waited. */
	rig_rx(&rig, 0, &m, 1);
	rig_check_mbuf(m, frame, sizeof(frame));
	rte_pktmbuf_free(m);
	rig_check_traffic(&rig, 0, 1);
	/* A state that there is not. */
	send_wire(&rig, TFE_DIALECT_SET_PEER_CONNECTION, TFE_DIALECT_ANONYMOUS, &(uint64_t){ 3 },
			sizeof(uint64_t));
	wait_closed(&rig);
	rig_fini(&rig);
}

/* The port's side of it: it says so when it stops and starts, and refuses while it is down. */
static void
test_port_says(void **state)
{
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_ON), 0);
	assert_int_equal(rte_eth_dev_set_link_down(rig.port), 0);
	assert_int_equal(receive(&rig, TFE_DIALECT_SET_PEER_CONNECTION, 0), TFE_DIALECT_PEER_OFF);
	assert_int_equal(set_peer(&rig, TFE_DIALECT_PEER_ON), 1);
	assert_int_equal(rte_eth_dev_set_link_up(rig.port), 0);
	assert_int_equal(receive(&rig, TFE_DIALECT_SET_PEER_CONNECTION, 0), TFE_DIALECT_PEER_ON);
	rig_check_traffic(&rig, 0, 1);
	assert_int_equal(rte_eth_dev_stop(rig.port), 0);
	assert_int_equal(receive(&rig, TFE_DIALECT_SET_PEER_CONNECTION, 0), TFE_DIALECT_PEER_OFF);
	assert_int_equal(rte_eth_dev_start(rig.port), 0);
	assert_int_equal(receive(&rig, TFE_DIALECT_SET_PEER_CONNECTION, 0), TFE_DIALECT_PEER_ON);
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	RIG_TEST(test_conn_id, split),
	RIG_TEST(test_off, split),
	RIG_TEST(test_dev_info, split),
	BOTH(test_peer_connection),
	BOTH(test_port_says),
};

REGISTER_TEST_GROUP(driver_dialect_autotest, tests, rig_group_setup, rig_group_teardown);
