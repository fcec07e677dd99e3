/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The configuration space of a device whose driver is behind an adapter [ADP-9.2]. */

#include <errno.h>
#include <string.h>

#include "adapter_rig.h"
#include "test.h"

#define GET_CONFIG VHOST_USER_GET_CONFIG
#define SET_CONFIG VHOST_USER_SET_CONFIG
#define MAC_BYTES  6
#define PREFIX     offsetof(struct vhost_user_config, data)

/* An endpoint that offers CONFIG, and a front-end that takes it. */
static void
open_frontend(struct adapter_rig *rig, struct tfe_dev *dev)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	adapter_rig_defaults(rig);
	rig->config.protocol_features |= VHOST_USER_PROTOCOL_MASK(CONFIG);
	adapter_rig_start(rig);
	conf.path = rig->vhost_path;
	conf.mem_bytes = UINT64_C(4) << 20;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_CONFIG);
	assert_int_equal(tfe_dev_open(dev, &conf), 0);
}

static struct tfe_vu_config
mac_config(const char *mac)
{
	struct tfe_vu_config config = { .size_bytes = MAC_BYTES };

	memcpy(config.data, mac, MAC_BYTES);
	return config;
}

/* Nobody is there who has a space: reads and writes fail, and the session goes on. */
static void
test_no_driver(void **state)
{
	struct tfe_vu_config config = mac_config("\2abcde");
	struct adapter_rig rig;
	struct tfe_dev dev;
	uint64_t features;

	(void)state;
	open_frontend(&rig, &dev);
	assert_int_equal(tfe_req_get_config(&dev.conn, &config), -ENODATA);
	assert_true(tfe_req_set_config(&dev.conn, &config) < 0);
	assert_int_equal(tfe_req_get_features(&dev.conn, &features), 0);
	tfe_dev_close(&dev);
	adapter_rig_stop(&rig);
}

/* Messages cross as they are, and so do the driver's answers. */
static void
test_relayed(void **state)
{
	struct tfe_vu_config config = mac_config("\2abcde");
	struct vhost_pci_msg msg, reply;
	struct adapter_rig rig;
	struct tfe_msg request;
	struct tfe_dev dev;
	struct drv drv;
	uint64_t conn_id;

	(void)state;
	open_frontend(&rig, &dev);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	conn_id = drv_read(&drv, DRV_REG(conn_id_lo));
	tfe_msg_init(&request, TFE_VU_SET_CONFIG, &config, PREFIX + MAC_BYTES);
	request.hdr.flags |= TFE_VU_NEED_REPLY;
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, SET_CONFIG, 0);
	assert_int_equal(msg.hdr.size, PREFIX + MAC_BYTES);
	assert_memory_equal(msg.payload.config.data, "\2abcde", MAC_BYTES);
	drv_reply_u64(&drv, SET_CONFIG, 0, conn_id);
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(request.hdr.request, SET_CONFIG);
	assert_int_equal(request.u64, 0);
	tfe_msg_init(&request, TFE_VU_GET_CONFIG, &config, PREFIX + MAC_BYTES);
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, GET_CONFIG, 0);
	vhost_pci_codec_make_reply(&reply, GET_CONFIG, PREFIX + MAC_BYTES);
	reply.payload.config = msg.payload.config;
	memcpy(reply.payload.config.data, "\2uvwxy", MAC_BYTES);
	drv_send(&drv, &reply, conn_id);
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(request.hdr.size, PREFIX + MAC_BYTES);
	assert_memory_equal(request.config.data, "\2uvwxy", MAC_BYTES);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Where it was not asked for it is not offered, and neither message is taken. */
static void
test_not_offered(void **state)
{
	struct tfe_vu_config config = mac_config("\2abcde");
	struct adapter_rig rig;
	struct tfe_msg request;
	struct tfe_dev dev;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	assert_false(dev.protocol_offered & TFE_BIT(TFE_VU_PROTOCOL_F_CONFIG));
	assert_true(tfe_req_set_config(&dev.conn, &config) < 0);
	tfe_msg_init(&request, TFE_VU_GET_CONFIG, &config, PREFIX + MAC_BYTES);
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
	tfe_dev_close(&dev);
	adapter_rig_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_no_driver),
	cmocka_unit_test(test_relayed),
	cmocka_unit_test(test_not_offered),
};

REGISTER_TEST_GROUP(adapter_config_autotest, tests, NULL, NULL);
