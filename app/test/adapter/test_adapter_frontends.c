/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter_rig.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_log.h"

#define MB UINT64_C(0x100000)

/** Device status, as virtio has it. */
enum {
	STATUS_ACKNOWLEDGE = 0x01,
	STATUS_FEATURES_OK = 0x08,
	STATUS_UP = 0x0f,
};

/* A front-end with memory and rings, connected, that has said nothing yet. */
static void
connect_frontend(struct adapter_rig *rig, struct tfe_dev *dev)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->vhost_path;
	conf.mem_bytes = 16 * MB;
	assert_int_equal(tfe_dev_init(dev, &conf), 0);
	assert_int_equal(tfe_dev_connect(dev), 0);
	dev->features = TFE_FEATURES_BASE;
	dev->protocol_features = TFE_PROTOCOL_FEATURES_BASE |
			TFE_BIT(TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	assert_int_equal(tfe_dev_make_rings(dev), 0);
	/* a front-end asks for an answer only after REPLY_ACK is negotiated */
	dev->conn.need_reply = false;
}

static void
set_up_ring(struct tfe_dev *dev, unsigned int i)
{
	struct tfe_ring *ring = &dev->rings[i];
	const struct tfe_vu_vring_addr addr = {
		.index = i,
		.desc_uva = ring->desc_buf.uva,
		.avail_uva = ring->driver_buf.uva,
		.used_uva = ring->device_buf.uva,
	};

	assert_int_equal(tfe_req_set_vring_num(&dev->conn, i, 256), 0);
	assert_int_equal(tfe_req_set_vring_base(&dev->conn, i, 0), 0);
	assert_int_equal(tfe_req_set_vring_addr(&dev->conn, &addr), 0);
	assert_int_equal(tfe_req_set_vring_kick(&dev->conn, i, ring->kick_fd), 0);
}

/* What QEMU says when it connects, before its guest has a driver: vrings are enabled already. */
static void
qemu_connects(struct tfe_dev *dev)
{
	struct tfe_conn *conn = &dev->conn;
	uint64_t value;

	assert_int_equal(tfe_req_get_features(conn, &value), 0);
	assert_true(value & TFE_BIT(TFE_VHOST_USER_F_PROTOCOL_FEATURES));
	assert_int_equal(tfe_req_get_protocol_features(conn, &value), 0);
	assert_int_equal(dev->protocol_features & ~value, 0);
	assert_int_equal(tfe_req_set_protocol_features(conn, dev->protocol_features), 0);
	conn->need_reply = true;
	assert_int_equal(tfe_req_get_queue_num(conn, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(tfe_req_get_max_mem_slots(conn, &value), 0);
	assert_true(value >= 32);
	assert_int_equal(tfe_req_set_owner(conn), 0);
	assert_int_equal(tfe_req_get_features(conn, &value), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(tfe_req_set_vring_call(conn, i, dev->rings[i].call_fd), 0);
		assert_int_equal(tfe_req_set_vring_err(conn, i, dev->rings[i].err_fd), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tfe_req_set_vring_enable(conn, i, true), 0);
}

/* And when its guest's driver starts. */
static void
qemu_driver_starts(struct tfe_dev *dev)
{
	struct tfe_conn *conn = &dev->conn;
	uint64_t value;

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tfe_req_set_vring_enable(conn, i, true), 0);
	assert_int_equal(tfe_req_set_features(conn, dev->features), 0);
	assert_int_equal(tfe_req_get_status(conn, &value), 0);
	assert_int_equal(tfe_req_set_status(conn, STATUS_FEATURES_OK), 0);
	assert_int_equal(tfe_mem_send_slots(&dev->mem, conn), 0);
	for (unsigned int i = 0; i < 2; i++) {
		set_up_ring(dev, i);
		assert_int_equal(tfe_req_set_vring_call(conn, i, dev->rings[i].call_fd), 0);
	}
	assert_int_equal(tfe_req_get_status(conn, &value), 0);
	assert_int_equal(value, STATUS_FEATURES_OK);
	assert_int_equal(tfe_req_set_status(conn, STATUS_UP), 0);
}

/* QEMU: connects, its guest's driver starts, stops, and starts again over the same memory. */
static void
test_qemu(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint32_t base;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	connect_frontend(&rig, &dev);
	qemu_connects(&dev);
	assert_int_equal(adapter_rig_nb_adapters(&rig), 0);
	qemu_driver_starts(&dev);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	/* 7 at first, 1 table, 7 for each vring, 1 status */
	assert_int_equal(drv_recv_replay(&drv, VHOST_USER_SET_STATUS), 7 + 1 + 2 * 7 + 1);

	/* stopped while the appliance has no driver; memory is neither removed nor sent again */
	drv_write(&drv, DRV_REG(device_status), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tfe_req_get_vring_base(&dev.conn, i, &base), 0);
	assert_int_equal(tfe_req_set_status(&dev.conn, 0), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tfe_req_set_vring_enable(&dev.conn, i, false), 0);
	drv_init(&drv, 0, true);
	/* no kicks */
	assert_int_equal(drv_recv_replay(&drv, VHOST_USER_SET_STATUS), 7 + 1 + 2 * 6 + 1);
	assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* DPDK's virtio_user: calls before features, a table, vrings enabled at last. */
static void
test_virtio_user(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint64_t value;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	connect_frontend(&rig, &dev);
	assert_int_equal(tfe_req_set_owner(&dev.conn), 0);
	assert_int_equal(tfe_req_get_features(&dev.conn, &value), 0);
	assert_int_equal(tfe_req_get_protocol_features(&dev.conn, &value), 0);
	assert_int_equal(tfe_req_set_protocol_features(&dev.conn, TFE_PROTOCOL_FEATURES_BASE), 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tfe_req_set_vring_call(&dev.conn, i, dev.rings[i].call_fd), 0);
	assert_int_equal(tfe_req_set_features(&dev.conn, dev.features), 0);
	assert_int_equal(tfe_req_set_status(&dev.conn, STATUS_FEATURES_OK), 0);
	assert_int_equal(tfe_req_get_status(&dev.conn, &value), 0);
	assert_int_equal(tfe_dev_send_mem(&dev), 0);
	for (unsigned int i = 0; i < 2; i++)
		set_up_ring(&dev, i);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tfe_req_set_vring_enable(&dev.conn, i, true), 0);
	assert_int_equal(tfe_req_set_status(&dev.conn, STATUS_UP), 0);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	assert_int_equal(drv_recv_replay(&drv, VHOST_USER_SET_STATUS), 5 + 1 + 2 * 6 + 1);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* An old front-end, without protocol features: nothing is enabled, since all is. */
static void
test_no_protocol_features(void **state)
{
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint64_t value;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	connect_frontend(&rig, &dev);
	assert_int_equal(tfe_req_get_features(&dev.conn, &value), 0);
	assert_int_equal(tfe_req_set_owner(&dev.conn), 0);
	/* said too early, and then taken back by the features */
	assert_int_equal(tfe_req_set_vring_enable(&dev.conn, 0, true), 0);
	assert_int_equal(tfe_req_set_features(&dev.conn, TFE_BIT(32)), 0);
	assert_int_equal(tfe_dev_send_mem(&dev), 0);
	for (unsigned int i = 0; i < 2; i++)
		set_up_ring(&dev, i);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	do {
		drv_recv(&drv, &msg, &frame);
		assert_int_not_equal(msg.hdr.request, VHOST_USER_SET_VRING_ENABLE);
	} while (msg.hdr.request != VHOST_USER_SET_VRING_KICK || msg.payload.u64 != 1);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Front-ends side by side: one adapter each, and one's end is nothing to the others. */
static void
test_many(void **state)
{
	enum {
		NB = 16
	};
	struct adapter_rig rig;
	struct tfe_dev *devs = g_new0(struct tfe_dev, NB);
	struct tfe_conn more;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.max_frontends = NB;
	adapter_rig_start(&rig);
	for (unsigned int i = 0; i < NB; i++)
		adapter_rig_open_frontend(&rig, &devs[i]);
	assert_int_equal(adapter_rig_nb_adapters(&rig), NB);
	/* one too many */
	tfe_conn_init(&more);
	assert_int_equal(tfe_conn_connect(&more, rig.vhost_path, 5000), 0);
	assert_int_equal(tfe_conn_wait_closed(&more, 5000), 0);
	tfe_conn_close(&more);
	for (unsigned int i = 0; i < NB; i += 2)
		tfe_dev_close(&devs[i]);
	adapter_rig_wait_socket(&rig, false);
	while (adapter_rig_nb_adapters(&rig) > NB / 2)
		;
	for (unsigned int i = 1; i < NB; i += 2) {
		assert_int_equal(tfe_conn_poll(&devs[i].conn, 0), 0);
		tfe_dev_close(&devs[i]);
	}
	adapter_rig_stop(&rig);
	g_free(devs);
}

/** A front-end that is refused, and what it has sent by then. */
struct refused {
	struct adapter_rig *rig;
	struct tfe_conn conn;
	int fd;
};

/* In the thread, which so comes to accept it when all of this is done. */
static void
connect_with_fd(void *opaque)
{
	struct refused *refused = opaque;
	const uint64_t index = 0;
	struct tfe_msg msg;

	if (tfe_conn_connect(&refused->conn, refused->rig->vhost_path, 5000) < 0)
		return;
	tfe_msg_init(&msg, TFE_VU_SET_VRING_CALL, &index, sizeof(index));
	tfe_msg_add_fd(&msg, refused->fd);
	tfe_conn_send(&refused->conn, &msg);
}

/* A front-end is refused: what it has sent is not waited for, which its last close would. */
static void
test_refused_with_lingering_socket(void **state)
{
	struct adapter_rig rig;
	struct refused refused = { .rig = &rig };
	struct tfe_dev dev;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.max_frontends = 1;
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	refused.fd = test_lingering_socket();
	tfe_conn_init(&refused.conn);
	loop_thread_call(&rig.thread, connect_with_fd, &refused);
	assert_int_equal(tfe_conn_wait_closed(&refused.conn, 5000), 0);
	assert_false(test_socket_lingers(refused.fd));
	tfe_conn_close(&refused.conn);
	close(refused.fd);
	tfe_dev_close(&dev);
	adapter_rig_stop(&rig);
}

/* A socket is taken for calls, as User Mode Linux has them, but not for kicks, which are read. */
static void
test_sockets_for_events(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	int ends[2];

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(tfe_req_set_vring_kick(&dev.conn, 1, ends[0]), -EREMOTEIO);
	assert_int_equal(tfe_req_set_vring_call(&dev.conn, 1, ends[0]), 0);
	tfe_dev_close(&dev);
	close(ends[0]);
	close(ends[1]);
	adapter_rig_stop(&rig);
}

/** Lines of the log that are seen if nobody asks for more; atomic. */
static unsigned int nb_lines;

static void count_lines(enum vhost_pci_log_level level, const char *format, va_list args)
		G_GNUC_PRINTF(2, 0);

static void
count_lines(enum vhost_pci_log_level level, const char *format, va_list args)
{
	(void)format;
	(void)args;
	if (level <= VHOST_PCI_LOG_NOTICE)
		__atomic_fetch_add(&nb_lines, 1, __ATOMIC_RELAXED);
}

/* What a front-end does wrong, and can do without end, is said once. */
static void
test_refusals_are_said_once(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	int ends[2];
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct tfe_msg msg;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_BACKEND_REQ);
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	adapter_rig_settle(&rig);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	nb_lines = 0;
	vhost_pci_log_set_sink(count_lines);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(tfe_req_set_vring_num(&dev.conn, 0, 0), -EREMOTEIO);
		/* each closes the one before */
		tfe_msg_init(&msg, TFE_VU_SET_BACKEND_REQ_FD, NULL, 0);
		tfe_msg_add_fd(&msg, ends[1]);
		assert_int_equal(tfe_conn_call(&dev.conn, &msg), 0);
	}
	adapter_rig_settle(&rig);
	vhost_pci_log_set_sink(NULL);
	assert_int_equal(nb_lines, 1);
	tfe_dev_close(&dev);
	close(ends[0]);
	close(ends[1]);
	adapter_rig_stop(&rig);
}

/* The front-end listens, the endpoint connects: as soon as it can, and again. */
static void
test_connect(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct adapter_rig rig;
	struct tfe_dev dev;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.listen_path = NULL;
	rig.config.connect_path = rig.vhost_path;
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.role = TFE_ROLE_SERVER;
	conf.mem_bytes = 16 * MB;
	for (unsigned int round = 0; round < 2; round++) {
		assert_int_equal(tfe_dev_open(&dev, &conf), 0);
		assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
		tfe_dev_close(&dev);
		adapter_rig_wait_socket(&rig, false);
	}
	adapter_rig_stop(&rig);
}

/* A machine that is started anew: its old adapter makes room at once. */
static void
test_restarted(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.linger_ms = 60000;
	adapter_rig_start(&rig);
	for (unsigned int round = 0; round < 3; round++) {
		adapter_rig_open_frontend(&rig, &dev);
		assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
		assert_int_equal(rig.nb_gone, round);
		tfe_dev_close(&dev);
		adapter_rig_settle(&rig);
	}
	assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
	adapter_rig_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_qemu),
	cmocka_unit_test(test_virtio_user),
	cmocka_unit_test(test_no_protocol_features),
	cmocka_unit_test(test_many),
	cmocka_unit_test(test_refused_with_lingering_socket),
	cmocka_unit_test(test_sockets_for_events),
	cmocka_unit_test(test_refusals_are_said_once),
	cmocka_unit_test(test_connect),
	cmocka_unit_test(test_restarted),
};

REGISTER_TEST_GROUP(adapter_frontends_autotest, tests, NULL, NULL);
