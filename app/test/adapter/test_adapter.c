/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapter_rig.h"
#include "test.h"

#define MB UINT64_C(0x100000)

#define REPLAYED (VHOST_PCI_ADAPTER_FRAME_REPLAY | VHOST_PCI_ADAPTER_FRAME_ANSWERED)

static uint64_t
conn_id(struct drv *drv)
{
	return drv_read(drv, DRV_REG(conn_id_lo)) |
			(uint64_t)drv_read(drv, DRV_REG(conn_id_hi)) << 32;
}

/* A front-end comes first, all is answered by the device; then a driver, and gets the replay. */
static void
test_replay(void **state)
{
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	drv_plug(&drv, &rig);
	assert_int_equal(rig.nb_plugged, 1);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), VHOST_PCI_ADAPTER_CONN_READY);
	drv_init(&drv, VHOST_PCI_ADAPTER_F_LOG, true);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), VHOST_PCI_ADAPTER_CONN_CONNECTED);
	assert_int_equal(drv_read(&drv, DRV_REG(peer_connection)), VHOST_PCI_ADAPTER_PEER_ON);

	drv_expect(&drv, &msg, VHOST_USER_SET_OWNER, REPLAYED);
	drv_expect(&drv, &msg, VHOST_USER_GET_FEATURES, REPLAYED);
	drv_expect(&drv, &msg, VHOST_USER_GET_PROTOCOL_FEATURES, REPLAYED);
	drv_expect(&drv, &msg, VHOST_USER_SET_PROTOCOL_FEATURES, REPLAYED);
	assert_int_equal(msg.payload.u64, dev.protocol_features);
	drv_expect(&drv, &msg, VHOST_USER_GET_QUEUE_NUM, REPLAYED);
	drv_expect(&drv, &msg, VHOST_USER_SET_FEATURES, REPLAYED);
	assert_true(msg.payload.u64 == dev.features);
	drv_expect(&drv, &msg, VHOST_USER_SET_MEM_TABLE, REPLAYED);
	assert_int_equal(msg.nb_fds, 1);
	assert_int_equal(msg.payload.mem_table.nb_regions, 1);
	assert_true(msg.payload.mem_table.region[0].gpa == TFE_MEM_GPA);
	assert_true(msg.payload.mem_table.region[0].mmap_offset ==
			vhost_pci_adapter_bar_addr(2, TFE_MEM_OFFSET));
	for (unsigned int i = 0; i < 2; i++) {
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_NUM, REPLAYED);
		assert_int_equal(msg.payload.state.index, i);
		assert_int_equal(msg.payload.state.num, 256);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_BASE, REPLAYED);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_ADDR, REPLAYED);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_CALL, REPLAYED);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_ERR, REPLAYED);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_ENABLE, REPLAYED);
		assert_int_equal(msg.payload.state.num, 1);
		drv_expect(&drv, &msg, VHOST_USER_SET_VRING_KICK, REPLAYED);
		assert_int_equal(msg.payload.u64, i);
		assert_int_equal(msg.nb_fds, 1);
		assert_int_equal(drv_read(&drv, DRV_VRING_REG(i, live)),
				VHOST_PCI_ADAPTER_LIVE_KICK | VHOST_PCI_ADAPTER_LIVE_CALL |
						VHOST_PCI_ADAPTER_LIVE_ERR);
	}
	drv_expect(&drv, &msg, VHOST_USER_SET_STATUS, REPLAYED);
	assert_true(drv_is_empty(&drv));
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

static void
close_all(struct adapter_rig *rig, struct tfe_dev *dev, struct drv *drv)
{
	tfe_dev_close(dev);
	drv_unplug(drv);
	adapter_rig_stop(rig);
}

/* The windows are the front-end's memory: what one writes the other reads. */
static void
test_memory(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_buf buf;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_open_all(&rig, &dev, &drv);
	assert_int_equal(tfe_mem_alloc(&dev.mem, 0, 64, 64, &buf), 0);
	memcpy(buf.va, "from the front-end", sizeof("from the front-end"));
	assert_string_equal((char *)drv.memory + TFE_MEM_OFFSET + (buf.gpa - TFE_MEM_GPA),
			"from the front-end");
	drv.memory[TFE_MEM_OFFSET + (buf.gpa - TFE_MEM_GPA)] = 'F';
	assert_string_equal(buf.va, "From the front-end");
	assert_int_equal(drv_read(&drv, DRV_REG(window[0].info)), 0x10102);
	assert_int_equal(drv_read(&drv, DRV_REG(window[0].bytes_lo)), 18 * MB);
	assert_int_equal(drv_read(&drv, DRV_REG(window[1].info)), 0);
	close_all(&rig, &dev, &drv);
}

/* Kicks become interrupts, doorbells become calls, and nothing else does. */
static void
test_events(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct adapter_stats stats;
	uint64_t value;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_open_all(&rig, &dev, &drv);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(tfe_ring_kick(&dev.rings[i]), 0);
		assert_int_equal(drv_wait_fd(drv.kick_fd), 1);
		drv_write(&drv, DRV_BELL(call[0]) + 4 * i, 0);
		assert_int_equal(drv_wait_fd(dev.rings[i].call_fd), 1);
		drv_write(&drv, DRV_BELL(err[0]) + 4 * i, 0);
		assert_int_equal(drv_wait_fd(dev.rings[i].err_fd), 1);
	}
	/* vrings that the front-end has not set up, or that are none; doorbells that are none */
	drv_write(&drv, DRV_BELL(call[2]), 0);
	drv_write(&drv, DRV_BELL(err[2]), 0);
	drv_write(&drv, DRV_BELL(call[255]), 0);
	drv_write(&drv, DRV_BELL(err[255]), 0);
	drv_write(&drv, DRV_BELL(msg_notify) + 4, 0);
	drv_write(&drv, 0x2ffc, 0);
	stats = adapter_rig_stats(&rig, NULL);
	assert_int_equal(stats.kicks, 2);
	assert_int_equal(stats.calls, 4);
	assert_int_equal(stats.doorbells_bad, 6);

	/* a vring without a vector: the kick is dropped, and costs nothing */
	drv_write(&drv, DRV_VRING_REG(0, vector), 77);
	assert_int_equal(drv_read(&drv, DRV_VRING_REG(0, vector)), 0xffff);
	assert_int_equal(tfe_ring_kick(&dev.rings[0]), 0);
	assert_int_equal(tfe_ring_kick(&dev.rings[1]), 0);
	drv_wait_fd(drv.kick_fd);
	stats = adapter_rig_stats(&rig, NULL);
	assert_int_equal(stats.kicks, 3);
	assert_int_equal(read(drv.kick_fd, &value, sizeof(value)), -1);
	close_all(&rig, &dev, &drv);
}

/* Live messages: those that want an answer get the driver's, in the order they came. */
static void
test_live_messages(void **state)
{
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_msg request;
	uint64_t features;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_open_all(&rig, &dev, &drv);
	/* answered by the device, and relayed */
	assert_int_equal(tfe_req_get_features(&dev.conn, &features), 0);
	assert_true(features == dev.offered);
	drv_expect(&drv, &msg, VHOST_USER_GET_FEATURES, VHOST_PCI_ADAPTER_FRAME_ANSWERED);

	/* answered by the driver: a status, and an acknowledgement */
	tfe_msg_init(&request, TFE_VU_GET_STATUS, NULL, 0);
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, VHOST_USER_GET_STATUS, 0);
	/* nothing more is read until the driver has answered */
	tfe_msg_init_u64(&request, TFE_VU_SET_STATUS, 0x4f);
	request.hdr.flags |= TFE_VU_NEED_REPLY;
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	adapter_rig_settle(&rig);
	assert_true(drv_is_empty(&drv));
	drv_reply_u64(&drv, VHOST_USER_GET_STATUS, 0x0f, conn_id(&drv));
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(request.u64, 0x0f);
	drv_expect(&drv, &msg, VHOST_USER_SET_STATUS, 0);
	assert_int_equal(msg.payload.u64, 0x4f);
	drv_reply_u64(&drv, VHOST_USER_SET_STATUS, 0, conn_id(&drv));
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(request.hdr.request, TFE_VU_SET_STATUS);
	close_all(&rig, &dev, &drv);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_replay),
	cmocka_unit_test(test_memory),
	cmocka_unit_test(test_events),
	cmocka_unit_test(test_live_messages),
};

REGISTER_TEST_GROUP(adapter_autotest, tests, NULL, NULL);
