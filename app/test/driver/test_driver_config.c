/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A port whose front-ends leave the configuration space, or their notifications, to it. */

#include <string.h>

#include "driver_rig.h"

#define GUEST_MAC "02:00:00:00:00:77"

static const struct rig_conf with_space = {
	.devargs = ",config=1,guest-mac=" GUEST_MAC,
	.nb_pairs = 2,
};

/* A front-end that takes the space, with a back-end channel. */
static void
open_space(struct rig *rig, const struct rig_variant *variant, struct tfe_conn *channel)
{
	struct tfe_dev_conf conf = rig_dev_conf(rig, variant);

	conf.features |= F(NET_F_MAC) | F(NET_F_STATUS) | F(NET_F_MTU);
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_BACKEND_REQ) |
			TFE_BIT(TFE_VU_PROTOCOL_F_CONFIG);
	rig_connect(rig, &conf);
	assert_true(rig->dev.protocol_features & TFE_BIT(TFE_VU_PROTOCOL_F_CONFIG));
	assert_true(rig->dev.features & F(NET_F_MAC));
	assert_true(rig->dev.features & F(NET_F_STATUS));
	tfe_conn_init(channel);
	assert_int_equal(tfe_conn_open_channel(&rig->dev.conn, channel), 0);
}

static struct virtio_net_config
read_space(struct rig *rig)
{
	struct tfe_vu_config config = { .size_bytes = sizeof(struct virtio_net_config) };
	struct virtio_net_config space;

	assert_int_equal(tfe_req_get_config(&rig->dev.conn, &config), 0);
	memcpy(&space, config.data, sizeof(space));
	return space;
}

static void
expect_change(struct tfe_conn *channel)
{
	struct tfe_msg msg;

	assert_int_equal(tfe_conn_recv(channel, &msg), 0);
	assert_int_equal(msg.hdr.request, TFE_VU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(tfe_conn_answer(channel, &msg, 0), 0);
}

/* What the space says is what the port is, and changes of its link are told. */
static void
test_space(void **state)
{
	static const uint8_t guest_mac[] = { 2, 0, 0, 0, 0, 0x77 };
	struct virtio_net_config space;
	struct tfe_conn channel;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &with_space);
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 2000), 0);
	open_space(&rig, *state, &channel);
	space = read_space(&rig);
	assert_memory_equal(space.mac, guest_mac, sizeof(guest_mac));
	assert_int_equal(space.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(space.max_virtqueue_pairs, 2);
	assert_int_equal(space.mtu, 2000);
	/* "The device MUST NOT modify mtu once it has been set." */
	assert_int_equal(rte_eth_dev_set_mtu(rig.port, 1400), 0);
	assert_int_equal(rte_eth_dev_set_link_down(rig.port), 0);
	expect_change(&channel);
	space = read_space(&rig);
	assert_int_equal(space.status, 0);
	assert_int_equal(space.mtu, 2000);
	assert_int_equal(rte_eth_dev_set_link_up(rig.port), 0);
	expect_change(&channel);
	assert_int_equal(read_space(&rig).status, VIRTIO_NET_S_LINK_UP);
	/* The next connection has what is so then. */
	tfe_conn_close(&channel);
	rig_disconnect(&rig);
	rig_wait_link(&rig, false);
	open_space(&rig, *state, &channel);
	assert_int_equal(read_space(&rig).mtu, 1400);
	tfe_conn_close(&channel);
	rig_fini(&rig);
}

/* Where nobody has asked for it there is no such space; QEMU warns of back-ends that offer it. */
static void
test_not_by_default(void **state)
{
	static const struct rig_conf plain;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	assert_false(rig.dev.protocol_offered & TFE_BIT(TFE_VU_PROTOCOL_F_CONFIG));
	assert_false(rig.dev.offered & (F(NET_F_MAC) | F(NET_F_STATUS)));
	assert_true(rig.dev.protocol_offered & TFE_BIT(TFE_VU_PROTOCOL_F_INBAND_NOTIFICATIONS));
	rig_fini(&rig);
}

/* Arguments that contradict each other, or are none. */
static void
test_bad_arguments(void **state)
{
	static const char *const bad[] = {
		",config=2",
		",inband=maybe",
		",guest-mac=" GUEST_MAC,
		",config=0,guest-mac=" GUEST_MAC,
		",config=1,guest-mac=ff:ff:ff:ff:ff:ff",
	};
	struct rig rig;
	size_t i;

	(void)state;
	rig_init(&rig);
	for (i = 0; i < RTE_DIM(bad); i++)
		assert_true(rig_port_attach(&rig, bad[i]) < 0);
	rig_fini(&rig);
}

/* Notifications by eventfds alone, for a front-end that would take either. */
static void
test_without_inband(void **state)
{
	static const struct rig_conf by_fd = { .devargs = ",inband=0" };
	struct tfe_dev_conf conf;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &by_fd);
	conf = rig_dev_conf(&rig, *state);
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_BACKEND_REQ) |
			TFE_BIT(TFE_VU_PROTOCOL_F_INBAND_NOTIFICATIONS);
	rig_connect(&rig, &conf);
	assert_false(rig.dev.protocol_offered & TFE_BIT(TFE_VU_PROTOCOL_F_INBAND_NOTIFICATIONS));
	rig_netqs(&rig, 2048, NULL);
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(test_space, split),
	RIG_TEST(test_space, packed),
	RIG_TEST(test_not_by_default, split),
	cmocka_unit_test(test_bad_arguments),
	RIG_TEST(test_without_inband, split),
	RIG_TEST(test_without_inband, packed),
};

REGISTER_TEST_GROUP(driver_config_autotest, tests, rig_group_setup, rig_group_teardown);
