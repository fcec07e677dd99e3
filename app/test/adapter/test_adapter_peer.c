/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "adapter_rig.h"
#include "test.h"

#define CONN(name) VHOST_PCI_ADAPTER_CONN_##name
#define PEER(name) VHOST_PCI_ADAPTER_PEER_##name

/** What a front-end of the dialect sends and gets: the header of version 2, and a payload. */
struct wire {
	struct vhost_user_hdr_v2 hdr;
	union {
		uint64_t u64;
		struct vhost_user_dev_info dev_info;
		uint8_t bytes[40];
	};
} __attribute__((packed));

static void
send_wire(struct tfe_dev *dev, uint32_t request, const void *payload, uint32_t nb_bytes)
{
	struct wire wire = { .hdr = { request, VHOST_USER_VERSION_2, VHOST_USER_CONN_ID_ANONYMOUS,
					     nb_bytes } };

	if (nb_bytes > 0)
		memcpy(wire.bytes, payload, nb_bytes);
	assert_int_equal(tfe_conn_send_raw(&dev->conn, &wire, sizeof(wire.hdr) + nb_bytes, NULL, 0),
			0);
}

static struct wire
recv_wire(struct tfe_dev *dev)
{
	struct wire wire;
	struct tfe_msg msg = { 0 };

	assert_int_equal(tfe_conn_recv_raw(&dev->conn, &wire.hdr, sizeof(wire.hdr), &msg), 0);
	assert_true(wire.hdr.size <= sizeof(wire.bytes));
	assert_int_equal(tfe_conn_recv_raw(&dev->conn, wire.bytes, wire.hdr.size, &msg), 0);
	assert_int_equal(wire.hdr.flags & VHOST_USER_VERSION_MASK, VHOST_USER_VERSION_2);
	assert_int_equal(msg.nb_fds, 0);
	return wire;
}

/* The front-end's side, and the answer. */
static uint64_t
say_peer(struct tfe_dev *dev, uint64_t value)
{
	struct wire wire;

	send_wire(dev, VHOST_USER_SET_PEER_CONNECTION, &value, sizeof(value));
	wire = recv_wire(dev);
	assert_int_equal(wire.hdr.request, VHOST_USER_SET_PEER_CONNECTION);
	assert_true(wire.hdr.flags & VHOST_USER_REPLY);
	return wire.u64;
}

/* What the device says of the driver's side, unasked. */
static void
expect_local(struct tfe_dev *dev, uint64_t value)
{
	struct wire wire = recv_wire(dev);

	assert_int_equal(wire.hdr.request, VHOST_USER_SET_PEER_CONNECTION);
	assert_int_equal(wire.hdr.flags, VHOST_USER_VERSION_2);
	assert_int_equal(wire.u64, value);
}

static void
expect_nothing(struct tfe_dev *dev)
{
	struct pollfd pfd = { .fd = dev->conn.fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, 0), 0);
}

static uint64_t
get_conn_id(struct tfe_dev *dev)
{
	struct wire wire;

	send_wire(dev, VHOST_USER_GET_CONN_ID, NULL, 0);
	wire = recv_wire(dev);
	assert_int_equal(wire.hdr.request, VHOST_USER_GET_CONN_ID);
	assert_true(wire.hdr.conn_id == wire.u64);
	return wire.u64;
}

static void
start(struct adapter_rig *rig)
{
	adapter_rig_defaults(rig);
	rig->config.dialect = true;
	rig->config.linger_ms = 60000;
	adapter_rig_start(rig);
}

/* A front-end that speaks the dialect, its adapter, and a driver that knows it. */
static void
open_all(struct adapter_rig *rig, struct tfe_dev *dev, struct drv *drv)
{
	start(rig);
	adapter_rig_open_frontend(rig, dev);
	get_conn_id(dev);
	drv_plug(drv, rig);
	drv_init(drv, VHOST_PCI_ADAPTER_F_PEER_CONNECTION, true);
	drv_recv_replay(drv, VHOST_USER_SET_STATUS);
}

static uint32_t
peer(struct drv *drv)
{
	return drv_read(drv, DRV_REG(peer_connection));
}

/* Both sides, each off and on: the answers, the register, and what the other one is told. */
static void
test_matrix(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	open_all(&rig, &dev, &drv);
	assert_int_equal(peer(&drv), PEER(INIT));
	assert_int_equal(say_peer(&dev, PEER(ON)), 1);
	assert_int_equal(peer(&drv), PEER(ON));
	for (unsigned int i = 0; i < 3; i++) {
		uint32_t generation = drv_read(&drv, DRV_REG(conn_generation));

		drv_write(&drv, DRV_REG(local_connection), PEER(ON));
		expect_local(&dev, PEER(ON));
		assert_int_equal(say_peer(&dev, PEER(ON)), 0);
		assert_int_equal(say_peer(&dev, PEER(OFF)), 0);
		assert_int_equal(peer(&drv), PEER(OFF));
		assert_int_not_equal(drv_read(&drv, DRV_REG(conn_generation)), generation);
		drv_write(&drv, DRV_REG(local_connection), PEER(OFF));
		expect_local(&dev, PEER(OFF));
		assert_int_equal(say_peer(&dev, PEER(OFF)), 0);
		assert_int_equal(say_peer(&dev, PEER(ON)), 1);
	}
	/* what is no value, or the same, is no news */
	drv_write(&drv, DRV_REG(local_connection), PEER(INIT));
	drv_write(&drv, DRV_REG(local_connection), 77);
	drv_write(&drv, DRV_REG(local_connection), PEER(OFF));
	assert_int_equal(drv_read(&drv, DRV_REG(local_connection)), PEER(OFF));
	adapter_rig_settle(&rig);
	expect_nothing(&dev);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A change of the front-end's side is an event; saying the same again is none. */
static void
test_event(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint32_t seq;

	(void)state;
	open_all(&rig, &dev, &drv);
	say_peer(&dev, PEER(ON));
	drv_wait_reg(&drv, DRV_REG(peer_connection), PEER(ON));
	seq = ((struct vhost_pci_adapter_shared *)drv.shared)->counters.event_seq;
	say_peer(&dev, PEER(ON));
	assert_int_equal(((struct vhost_pci_adapter_shared *)drv.shared)->counters.event_seq, seq);
	say_peer(&dev, PEER(OFF));
	drv_wait_reg(&drv, DRV_REG(peer_connection), PEER(OFF));
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Rings are none of its business: they are enabled, started and stopped as ever. */
static void
test_rings_go_on(void **state)
{
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	open_all(&rig, &dev, &drv);
	dev.conn.need_reply = false;
	say_peer(&dev, PEER(OFF));
	for (uint32_t enable = 0; enable < 2; enable++) {
		assert_int_equal(tfe_req_set_vring_enable(&dev.conn, 1, enable), 0);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_ENABLE, 0);
		assert_int_equal(msg.payload.state.num, enable);
		/* it came with a header of version 1, or would */
		assert_int_equal(msg.hdr.flags & VHOST_USER_VERSION_MASK, VHOST_USER_VERSION);
		assert_int_equal(peer(&drv), PEER(OFF));
	}
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Any message may have either header; the driver sees version 1. */
static void
test_relayed_with_version_1(void **state)
{
	const uint64_t device_status = 0x0f;
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	open_all(&rig, &dev, &drv);
	send_wire(&dev, VHOST_USER_SET_STATUS, &device_status, sizeof(device_status));
	drv_expect(&drv, &msg, VHOST_USER_SET_STATUS, 0);
	assert_int_equal(msg.hdr.flags, VHOST_USER_VERSION);
	assert_int_equal(msg.payload.u64, device_status);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* What was said before there was a driver holds; what a driver said goes with it. */
static void
test_driver_comes_and_goes(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	assert_int_equal(say_peer(&dev, PEER(ON)), 1);
	drv_plug(&drv, &rig);
	assert_int_equal(peer(&drv), PEER(INIT));
	for (unsigned int i = 0; i < 3; i++) {
		drv_init(&drv, VHOST_PCI_ADAPTER_F_PEER_CONNECTION, false);
		drv_write(&drv, DRV_REG(local_connection), PEER(ON));
		expect_nothing(&dev);
		drv_write(&drv, DRV_REG(device_status), 7);
		assert_int_equal(peer(&drv), PEER(ON));
		drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
		expect_local(&dev, PEER(ON));
		assert_int_equal(say_peer(&dev, PEER(ON)), 0);
		drv_write(&drv, DRV_REG(device_status), 0);
		expect_local(&dev, PEER(INIT));
		assert_int_equal(peer(&drv), PEER(INIT));
		assert_int_equal(drv_read(&drv, DRV_REG(local_connection)), PEER(INIT));
		assert_int_equal(say_peer(&dev, PEER(ON)), 1);
	}
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A driver without the feature can't be told: nothing is promised to the front-end. */
static void
test_driver_without_the_feature(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	get_conn_id(&dev);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	assert_int_equal(peer(&drv), PEER(ON));
	drv_write(&drv, DRV_REG(local_connection), PEER(ON));
	assert_int_equal(say_peer(&dev, PEER(OFF)), 1);
	assert_int_equal(say_peer(&dev, PEER(ON)), 1);
	assert_int_equal(peer(&drv), PEER(ON));
	/* it said so to no driver at all: then such a driver is not for it */
	drv_write(&drv, DRV_REG(device_status), 0);
	assert_int_equal(say_peer(&dev, PEER(OFF)), 0);
	drv_init(&drv, 0, true);
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A front-end that never says anything of it is on. */
static void
test_front_end_without_the_dialect(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	drv_plug(&drv, &rig);
	assert_int_equal(peer(&drv), PEER(INIT));
	drv_init(&drv, VHOST_PCI_ADAPTER_F_PEER_CONNECTION, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	assert_int_equal(peer(&drv), PEER(ON));
	drv_write(&drv, DRV_REG(local_connection), PEER(OFF));
	adapter_rig_settle(&rig);
	expect_nothing(&dev);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

static const struct vhost_user_dev_info net_info = {
	.virtio_id = 1,
	.uuid = { 0x12, 0x34, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18 },
};

/* Connect and say who we are, before anything else. */
static void
say_dev_info(struct adapter_rig *rig, struct tfe_dev *dev, uint16_t virtio_id)
{
	struct vhost_user_dev_info info = net_info;
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	info.virtio_id = virtio_id;
	conf.path = rig->vhost_path;
	conf.mem_bytes = UINT64_C(4) << 20;
	assert_int_equal(tfe_dev_init(dev, &conf), 0);
	assert_int_equal(tfe_dev_connect(dev), 0);
	send_wire(dev, VHOST_USER_SET_DEV_INFO, &info, sizeof(info));
}

/* Who the front-end is, as registers, and of its own session only. */
static void
test_device_info(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint32_t uuid;

	(void)state;
	start(&rig);
	say_dev_info(&rig, &dev, 1);
	assert_int_equal(tfe_dev_negotiate(&dev), 0);
	assert_int_equal(tfe_dev_make_rings(&dev), 0);
	assert_int_equal(tfe_dev_send_mem(&dev), 0);
	assert_int_equal(tfe_dev_start_rings(&dev), 0);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, false); /* for its interrupts */
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));
	assert_int_equal(drv_read(&drv, DRV_REG(virtio_id)), 1);
	uuid = drv_read(&drv, DRV_REG(uuid));
	assert_memory_equal(&uuid, net_info.uuid, sizeof(uuid));
	uuid = drv_read(&drv, DRV_REG(uuid) + 12);
	assert_memory_equal(&uuid, net_info.uuid + 12, sizeof(uuid));
	tfe_dev_disconnect(&dev);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(NONE));
	assert_int_equal(drv_read(&drv, DRV_REG(uuid)), 0);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_id_lo)), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Of another type than is served, or after vrings were spoken of: the end of the session. */
static void
test_bad_device_info(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;

	(void)state;
	start(&rig);
	say_dev_info(&rig, &dev, 2);
	assert_true(tfe_conn_wait_closed(&dev.conn, 5000) <= 0);
	tfe_dev_close(&dev);
	adapter_rig_open_frontend(&rig, &dev);
	send_wire(&dev, VHOST_USER_SET_DEV_INFO, &net_info, sizeof(net_info));
	assert_true(tfe_conn_wait_closed(&dev.conn, 5000) <= 0);
	tfe_dev_close(&dev);
	adapter_rig_stop(&rig);
}

/* Malformed, each the end of its session; and all of it with the dialect off. */
static void
test_refused(void **state)
{
	static const struct {
		uint32_t request, size;
		uint64_t value;
	} bad[] = {
		{ VHOST_USER_SET_PEER_CONNECTION, 8, 3 },
		{ VHOST_USER_SET_PEER_CONNECTION, 8, UINT64_MAX },
		{ VHOST_USER_SET_PEER_CONNECTION, 8, UINT64_C(1) << 32 },
		{ VHOST_USER_SET_PEER_CONNECTION, 0, 0 },
		{ VHOST_USER_GET_CONN_ID, 8, 0 },
		{ VHOST_USER_SET_DEV_INFO, 8, 0 },
	};
	struct adapter_rig rig;
	struct tfe_dev dev = { 0 };

	(void)state;
	for (unsigned int on = 0; on < 2; on++) {
		adapter_rig_defaults(&rig);
		rig.config.dialect = on;
		adapter_rig_start(&rig);
		for (unsigned int i = 0; i < G_N_ELEMENTS(bad); i++) {
			tfe_conn_init(&dev.conn);
			assert_int_equal(tfe_conn_connect(&dev.conn, rig.vhost_path, 5000), 0);
			send_wire(&dev, bad[i].request, &bad[i].value, bad[i].size);
			assert_true(tfe_conn_wait_closed(&dev.conn, 5000) <= 0);
			tfe_conn_close(&dev.conn);
		}
		adapter_rig_stop(&rig);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_matrix),
	cmocka_unit_test(test_event),
	cmocka_unit_test(test_rings_go_on),
	cmocka_unit_test(test_relayed_with_version_1),
	cmocka_unit_test(test_driver_comes_and_goes),
	cmocka_unit_test(test_driver_without_the_feature),
	cmocka_unit_test(test_front_end_without_the_dialect),
	cmocka_unit_test(test_device_info),
	cmocka_unit_test(test_bad_device_info),
	cmocka_unit_test(test_refused),
};

REGISTER_TEST_GROUP(adapter_peer_autotest, tests, NULL, NULL);
