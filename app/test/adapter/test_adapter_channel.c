/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter_rig.h"
#include "test.h"

#define CONN(name) VHOST_PCI_ADAPTER_CONN_##name

#define IOTLB         VHOST_USER_BACKEND_IOTLB_MSG
#define CONFIG_CHANGE VHOST_USER_BACKEND_CONFIG_CHANGE_MSG

/** A front-end with a back-end channel, its adapter, and a driver that may use it. */
struct channel_rig {
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_conn channel; /**< the front-end's end */
	uint64_t conn_id;
};

/* Give the back-end a channel. */
static void
send_channel(struct channel_rig *c)
{
	struct tfe_msg msg;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	tfe_conn_init(&c->channel);
	assert_int_equal(tfe_conn_adopt(&c->channel, ends[0]), 0);
	tfe_msg_init(&msg, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0);
	tfe_msg_add_fd(&msg, ends[1]);
	assert_int_equal(tfe_conn_send(&c->dev.conn, &msg), 0);
	close(ends[1]);
}

static void
driver_start(struct channel_rig *c)
{
	drv_init(&c->drv, VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL, true);
	drv_recv_replay(&c->drv, VHOST_USER_SET_STATUS);
	c->conn_id = drv_read(&c->drv, DRV_REG(conn_id_lo));
}

static void
open_all(struct channel_rig *c)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct vhost_pci_msg msg;

	adapter_rig_defaults(&c->rig);
	adapter_rig_start(&c->rig);
	conf.path = c->rig.vhost_path;
	conf.mem_bytes = UINT64_C(4) << 20;
	conf.protocol_features |= VHOST_USER_PROTOCOL_MASK(BACKEND_REQ);
	assert_int_equal(tfe_dev_open(&c->dev, &conf), 0);
	c->dev.conn.need_reply = false;
	drv_plug(&c->drv, &c->rig);
	driver_start(c);
	send_channel(c);
	drv_expect(&c->drv, &msg, VHOST_USER_SET_BACKEND_REQ_FD, 0);
}

static void
close_all(struct channel_rig *c)
{
	tfe_conn_close(&c->channel);
	tfe_dev_close(&c->dev);
	drv_unplug(&c->drv);
	adapter_rig_stop(&c->rig);
}

/* A request of the driver. */
static void
ask(struct channel_rig *c, uint32_t request, bool need_reply)
{
	struct vhost_pci_msg msg = {
		.hdr = { request, VHOST_USER_VERSION | (need_reply ? VHOST_USER_NEED_REPLY : 0),
				request == IOTLB ? sizeof(struct vhost_iotlb_msg) : 0 },
		.payload.iotlb = { .iova = 0x1234000,
				.perm = VHOST_ACCESS_RO,
				.type = VHOST_IOTLB_MISS },
	};

	drv_send(&c->drv, &msg, c->conn_id);
}

/* What the front-end gets on the channel. */
static struct tfe_msg
expect_asked(struct channel_rig *c, uint32_t request)
{
	struct tfe_msg msg;

	assert_int_equal(tfe_conn_recv(&c->channel, &msg), 0);
	assert_int_equal(msg.hdr.request, request);
	assert_int_equal(msg.nb_fds, 0);
	return msg;
}

static void
answer(struct channel_rig *c, uint32_t request, uint64_t value)
{
	struct tfe_msg msg;

	tfe_msg_init_u64(&msg, request, value);
	msg.hdr.flags |= VHOST_USER_REPLY;
	assert_int_equal(tfe_conn_send(&c->channel, &msg), 0);
}

/* What the driver gets: a reply that is no reply of its own. */
static uint64_t
expect_answer(struct channel_rig *c, uint32_t request)
{
	struct vhost_pci_msg msg;

	drv_expect(&c->drv, &msg, request, 0);
	assert_int_equal(msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
	assert_int_equal(msg.hdr.size, sizeof(uint64_t));
	return msg.payload.u64;
}

/* Requests cross with their payload, and the replies to those that want one come back. */
static void
test_requests(void **state)
{
	struct channel_rig c;
	struct tfe_msg msg;

	(void)state;
	open_all(&c);
	for (uint64_t i = 0; i < 20; i++) {
		ask(&c, IOTLB, true);
		msg = expect_asked(&c, IOTLB);
		assert_int_equal(msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY);
		assert_int_equal(msg.iotlb.iova, 0x1234000);
		answer(&c, IOTLB, i);
		assert_int_equal(expect_answer(&c, IOTLB), i);
		ask(&c, CONFIG_CHANGE, false);
		ask(&c, IOTLB, false);
		expect_asked(&c, CONFIG_CHANGE);
		expect_asked(&c, IOTLB);
	}
	adapter_rig_settle(&c.rig);
	assert_true(drv_is_empty(&c.drv));
	close_all(&c);
}

/* The front-end's IOTLB messages cross the other way while a request waits. */
static void
test_update_while_a_request_waits(void **state)
{
	struct vhost_iotlb_msg update = { .iova = 0x1234000,
		.size = 4096,
		.uaddr = 0x5000,
		.perm = VHOST_ACCESS_RW,
		.type = VHOST_IOTLB_UPDATE };
	struct vhost_pci_msg msg;
	struct channel_rig c;
	struct tfe_msg tfe_msg;

	(void)state;
	open_all(&c);
	ask(&c, IOTLB, true);
	expect_asked(&c, IOTLB);
	tfe_msg_init(&tfe_msg, VHOST_USER_IOTLB_MSG, &update, sizeof(update));
	assert_int_equal(tfe_conn_send(&c.dev.conn, &tfe_msg), 0);
	drv_expect(&c.drv, &msg, VHOST_USER_IOTLB_MSG, 0);
	assert_memory_equal(&msg.payload.iotlb, &update, sizeof(update));
	drv_reply_u64(&c.drv, VHOST_USER_IOTLB_MSG, 0, c.conn_id);
	assert_int_equal(tfe_conn_recv(&c.dev.conn, &tfe_msg), 0);
	assert_int_equal(tfe_msg.hdr.request, VHOST_USER_IOTLB_MSG);
	assert_int_equal(tfe_msg.u64, 0);
	answer(&c, IOTLB, 0);
	assert_int_equal(expect_answer(&c, IOTLB), 0);
	close_all(&c);
}

/* A channel that fails, at any point, answers no and leaves the session alone [ADP-9.19]. */
static void
test_channel_fails(void **state)
{
	struct vhost_pci_msg msg;
	struct channel_rig c;

	(void)state;
	open_all(&c);
	/* while a request waits */
	ask(&c, IOTLB, true);
	expect_asked(&c, IOTLB);
	tfe_conn_close(&c.channel);
	assert_int_not_equal(expect_answer(&c, IOTLB), 0);
	/* when there is none any more */
	ask(&c, IOTLB, true);
	assert_int_not_equal(expect_answer(&c, IOTLB), 0);
	ask(&c, IOTLB, false);
	/* another one comes while a request waits for the first */
	send_channel(&c);
	drv_expect(&c.drv, &msg, VHOST_USER_SET_BACKEND_REQ_FD, 0);
	ask(&c, IOTLB, true);
	expect_asked(&c, IOTLB);
	tfe_conn_close(&c.channel);
	send_channel(&c);
	assert_int_not_equal(expect_answer(&c, IOTLB), 0);
	drv_expect(&c.drv, &msg, VHOST_USER_SET_BACKEND_REQ_FD, 0);
	ask(&c, IOTLB, true);
	expect_asked(&c, IOTLB);
	answer(&c, IOTLB, 5);
	assert_int_equal(expect_answer(&c, IOTLB), 5);
	assert_int_equal(drv_read(&c.drv, DRV_REG(conn_state)), CONN(CONNECTED));
	close_all(&c);
}

/* Replies that nobody asked for, or that are none, cost the front-end its channel only. */
static void
test_bad_replies(void **state)
{
	static const struct tfe_vu_hdr bad[] = {
		{ IOTLB, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 },         /* to nothing */
		{ CONFIG_CHANGE, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 }, /* to another */
		{ IOTLB, VHOST_USER_VERSION, 8 },                            /* a request */
		{ IOTLB, VHOST_USER_VERSION | VHOST_USER_REPLY, 4 },
		{ IOTLB, VHOST_USER_REPLY, 8 },
		{ IOTLB, VHOST_USER_VERSION | VHOST_USER_REPLY, UINT32_MAX },
	};
	struct vhost_pci_msg msg;
	struct channel_rig c;

	(void)state;
	open_all(&c);
	for (unsigned int i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct {
			struct tfe_vu_hdr hdr;
			uint64_t value;
		} __attribute__((packed)) wire = { bad[i], 0 };

		if (i > 0) {
			ask(&c, IOTLB, true);
			expect_asked(&c, IOTLB);
		}
		assert_int_equal(tfe_conn_send_raw(&c.channel, &wire, sizeof(wire), NULL, 0), 0);
		assert_true(tfe_conn_wait_closed(&c.channel, 5000) <= 0);
		if (i > 0)
			assert_int_not_equal(expect_answer(&c, IOTLB), 0);
		tfe_conn_close(&c.channel);
		send_channel(&c);
		drv_expect(&c.drv, &msg, VHOST_USER_SET_BACKEND_REQ_FD, 0);
	}
	assert_int_equal(drv_read(&c.drv, DRV_REG(conn_state)), CONN(CONNECTED));
	close_all(&c);
}

/* A reply to a driver that is gone is not for the next one. */
static void
test_driver_reset_while_a_request_waits(void **state)
{
	struct channel_rig c;

	(void)state;
	open_all(&c);
	for (uint64_t i = 0; i < 5; i++) {
		ask(&c, IOTLB, true);
		expect_asked(&c, IOTLB);
		driver_start(&c);
		ask(&c, IOTLB, true);
		expect_asked(&c, IOTLB);
		answer(&c, IOTLB, 100);
		answer(&c, IOTLB, i);
		assert_int_equal(expect_answer(&c, IOTLB), i);
	}
	/* and one that comes when there is no driver at all */
	ask(&c, IOTLB, true);
	expect_asked(&c, IOTLB);
	drv_write(&c.drv, DRV_REG(device_status), 0);
	answer(&c, IOTLB, 100);
	adapter_rig_settle(&c.rig);
	assert_int_equal(tfe_conn_poll(&c.channel, 0), 0);
	close_all(&c);
}

/* Requests that are not for a guest to send are dropped: those with fds, doorbells, unknown. */
static void
test_dropped_requests(void **state)
{
	struct channel_rig c;
	uint64_t nb_dropped;

	(void)state;
	open_all(&c);
	nb_dropped = adapter_rig_stats(&c.rig, NULL).frames_dropped;
	for (uint32_t request = 3; request < 13; request++)
		ask(&c, request, true);
	ask(&c, 0, true);
	ask(&c, UINT32_MAX, false);
	assert_int_equal(adapter_rig_stats(&c.rig, NULL).frames_dropped, nb_dropped + 12);
	assert_int_equal(tfe_conn_poll(&c.channel, 0), 0);
	/* nor may who has not said so send any */
	drv_init(&c.drv, 0, true);
	drv_recv_replay(&c.drv, VHOST_USER_SET_STATUS);
	ask(&c, IOTLB, false);
	assert_int_equal(adapter_rig_stats(&c.rig, NULL).frames_dropped, nb_dropped + 13);
	assert_int_equal(tfe_conn_poll(&c.channel, 0), 0);
	close_all(&c);
}

/* Malformed, or a second one while the first waits: the driver must be reset. */
static void
test_bad_requests(void **state)
{
	struct channel_rig c;

	(void)state;
	open_all(&c);
	for (unsigned int i = 0; i < 4; i++) {
		struct vhost_pci_msg msg = { .hdr = { IOTLB, VHOST_USER_VERSION, 8 } };

		if (i == 0) {
			ask(&c, IOTLB, true);
			expect_asked(&c, IOTLB);
			ask(&c, CONFIG_CHANGE, true);
		} else {
			msg.hdr.flags = i == 1 ? 0 : VHOST_USER_VERSION;
			msg.hdr.size = i == 2 ? 40 : 32;
			msg.nb_fds = i == 3;
			drv_send(&c.drv, &msg, c.conn_id);
		}
		assert_true(drv_read(&c.drv, DRV_REG(device_status)) &
				VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET);
		driver_start(&c);
	}
	/* a frame of another session is none of this one's */
	c.conn_id += 1000;
	ask(&c, IOTLB, true);
	assert_int_equal(tfe_conn_poll(&c.channel, 0), 0);
	close_all(&c);
}

/* A channel that is replaced when the ring is full: the driver has its answer before that. */
static void
test_replaced_while_the_ring_is_full(void **state)
{
	const unsigned int nb = 409; /* of 40 bytes each; then there is no room for a reply */
	struct vhost_pci_msg msg;
	struct tfe_conn former;
	struct channel_rig c;

	(void)state;
	open_all(&c);
	ask(&c, IOTLB, true);
	expect_asked(&c, IOTLB);
	for (unsigned int i = 0; i < nb; i++)
		assert_int_equal(tfe_req_set_status(&c.dev.conn, 0xf), 0);
	former = c.channel;
	send_channel(&c);
	adapter_rig_settle(&c.rig);
	for (unsigned int i = 0; i < nb; i++)
		drv_expect(&c.drv, &msg, VHOST_USER_SET_STATUS, 0);
	assert_int_not_equal(expect_answer(&c, IOTLB), 0);
	drv_expect(&c.drv, &msg, VHOST_USER_SET_BACKEND_REQ_FD, 0);
	tfe_conn_close(&former);
	close_all(&c);
}

/* A front-end that does not read what it is asked loses its channel; nobody waits for it. */
static void
test_front_end_does_not_read(void **state)
{
	struct channel_rig c;

	(void)state;
	open_all(&c);
	for (unsigned int i = 0; i < 20000; i++)
		ask(&c, IOTLB, false);
	ask(&c, IOTLB, true);
	assert_int_not_equal(expect_answer(&c, IOTLB), 0);
	assert_int_equal(drv_read(&c.drv, DRV_REG(conn_state)), CONN(CONNECTED));
	close_all(&c);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_requests),
	cmocka_unit_test(test_update_while_a_request_waits),
	cmocka_unit_test(test_channel_fails),
	cmocka_unit_test(test_bad_replies),
	cmocka_unit_test(test_driver_reset_while_a_request_waits),
	cmocka_unit_test(test_dropped_requests),
	cmocka_unit_test(test_bad_requests),
	cmocka_unit_test(test_replaced_while_the_ring_is_full),
	cmocka_unit_test(test_front_end_does_not_read),
};

REGISTER_TEST_GROUP(adapter_channel_autotest, tests, NULL, NULL);
