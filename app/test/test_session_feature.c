/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

#define MODERN (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define LOG    (UINT64_C(1) << VHOST_F_LOG_ALL)

static struct vhost_pci_session_config
good_config(void)
{
	return (struct vhost_pci_session_config){
		.max_queue_pairs = 1,
		.max_queue_size = 256,
		.name = "test",
	};
}

static void
test_configuration_out_of_range(void **state)
{
	struct vhost_pci_session_config bad[6];
	struct vhost_pci_session *session = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++)
		bad[i] = good_config();
	bad[0].max_queue_pairs = 0;
	bad[1].max_queue_pairs = 129;
	bad[2].max_queue_size = 0;
	bad[3].max_queue_size = 32769;
	bad[4].features = PEER_F_PROTOCOL;
	bad[5].name = NULL;
	for (i = 0; i < 6; i++)
		assert_int_equal(vhost_pci_session_create(&bad[i], &peer_least_ops, NULL, &session),
				-EINVAL);
	assert_null(session);
}

static void
test_owner_must_map_memory(void **state)
{
	static const struct vhost_pci_session_ops no_ops;
	struct vhost_pci_session_config config = good_config();
	struct vhost_pci_session *session;

	(void)state;
	assert_int_equal(vhost_pci_session_create(&config, &no_ops, NULL, &session), -EINVAL);
}

static void
test_largest_session(void **state)
{
	struct vhost_pci_session_config config = good_config();
	struct vhost_pci_session *session;
	unsigned int i;

	(void)state;
	config.max_queue_pairs = 128;
	config.max_queue_size = 32768;
	assert_int_equal(vhost_pci_session_create(&config, &peer_least_ops, NULL, &session), 0);
	assert_int_equal(vhost_pci_session_nb_vrings(session), 256);
	for (i = 0; i < 256; i++)
		assert_int_equal(vhost_pci_session_vring(session, i)->index, i);
	assert_null(vhost_pci_session_vring(session, 256));
	vhost_pci_session_destroy(session);
}

static void
test_what_the_owner_can_not_serve_is_not_offered(void **state)
{
	struct vhost_pci_session_config config = good_config();
	struct session_peer peer = { 0 };

	(void)state;
	config.protocol_features = PEER_PROTOCOL_FEATURES;
	assert_int_equal(vhost_pci_session_create(&config, &peer_least_ops, NULL, &peer.session),
			0);
	assert_int_equal(peer_send_none(&peer, VHOST_USER_GET_PROTOCOL_FEATURES), 1);
	assert_int_equal(peer.reply.payload.u64,
			PEER_PROTOCOL_FEATURES &
					~(VHOST_USER_PROTOCOL_MASK(RARP) |
							VHOST_USER_PROTOCOL_MASK(MTU) |
							VHOST_USER_PROTOCOL_MASK(BACKEND_REQ) |
							VHOST_USER_PROTOCOL_MASK(PAGEFAULT) |
							VHOST_USER_PROTOCOL_MASK(
									INBAND_NOTIFICATIONS)));
	assert_int_equal(peer_send_u64(&peer, VHOST_USER_SEND_RARP, 0), -EPROTO);
	assert_int_equal(peer_send_u64(&peer, VHOST_USER_NET_SET_MTU, 1500), -EPROTO);
	vhost_pci_session_destroy(peer.session);
}

static void
test_no_protocol_features_means_no_bit_30(void **state)
{
	struct vhost_pci_session_config config = good_config();
	struct session_peer peer = { 0 };

	(void)state;
	config.features = MODERN;
	assert_int_equal(vhost_pci_session_create(&config, &peer_least_ops, NULL, &peer.session),
			0);
	assert_int_equal(peer_send_none(&peer, VHOST_USER_GET_FEATURES), 1);
	assert_int_equal(peer.reply.payload.u64, MODERN);
	assert_int_equal(peer_send_none(&peer, VHOST_USER_GET_PROTOCOL_FEATURES), -EPROTO);
	assert_int_equal(peer_send_state(&peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), -EPROTO);
	vhost_pci_session_destroy(peer.session);
}

static void
test_offered_features_and_bit_30(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_FEATURES), 1);
	assert_int_equal(peer->reply.hdr.size, 8);
	assert_int_equal(peer->reply.payload.u64, PEER_FEATURES | PEER_F_PROTOCOL);
}

static void
test_features_that_were_not_offered(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES,
					 MODERN | UINT64_C(1) << VIRTIO_NET_F_CSUM),
			-EINVAL);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, UINT64_MAX), -EINVAL);
	assert_int_equal(vhost_pci_session_features(peer->session), 0);
	assert_int_equal(peer->nb_features_changes, 0);
}

static void
test_owner_hears_of_features_that_changed(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, 0), 0);
	assert_int_equal(peer->nb_features_changes, 1);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer->nb_features_changes, 2);
	assert_int_equal(peer->features, MODERN);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer->nb_features_changes, 2);
}

static void
test_features_change_while_running(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES,
					 PEER_F_PROTOCOL | MODERN |
							 UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF),
			-EBUSY);
	assert_int_equal(vhost_pci_session_features(peer->session), PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
}

static void
test_logging_changes_while_running(void **state)
{
	struct session_peer *peer = *state;
	uint64_t features = PEER_F_PROTOCOL | MODERN;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, features | LOG), 0);
	assert_int_equal(vhost_pci_session_features(peer->session), features | LOG);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, features), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_features_change_after_all_rings_stopped(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 0, 0), 1);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), -EBUSY);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), 0);
}

static void
test_offered_protocol_features(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_PROTOCOL_FEATURES), 1);
	assert_int_equal(peer->reply.payload.u64, PEER_PROTOCOL_FEATURES);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 VHOST_USER_PROTOCOL_MASK(MQ)),
			0);
	assert_int_equal(vhost_pci_session_protocol_features(peer->session),
			VHOST_USER_PROTOCOL_MASK(MQ));
}

static void
test_protocol_features_that_were_not_offered(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 VHOST_USER_PROTOCOL_MASK(XEN_MMAP)),
			-EINVAL);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_C(1) << 63),
			-EINVAL);
}

static void
test_inband_without_what_it_needs_closes(void **state)
{
	static const uint64_t inband = VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS);
	static const uint64_t some[] = {
		0,
		VHOST_USER_PROTOCOL_MASK(REPLY_ACK),
		VHOST_USER_PROTOCOL_MASK(BACKEND_REQ),
	};
	struct session_peer *peer = *state;
	size_t i;

	for (i = 0; i < 3; i++)
		assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
						 inband | some[i]),
				-ECONNABORTED);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 inband | some[1] | some[2]),
			0);
}

static void
test_inband_without_what_it_needs_closes_with_need_reply(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_PROTOCOL_FEATURES, 8);

	peer_negotiate(peer, PEER_F_PROTOCOL);
	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	msg.payload.u64 = VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS) |
			VHOST_USER_PROTOCOL_MASK(REPLY_ACK);
	assert_int_equal(peer_send(peer, &msg), -ECONNABORTED);
}

static void
test_queue_number_is_of_pairs(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_QUEUE_NUM), 1);
	assert_int_equal(peer->reply.payload.u64, PEER_NB_VRINGS / 2);
}

static void
test_status_is_kept(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL);
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_STATUS), 1);
	assert_int_equal(peer->reply.payload.u64, 0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_STATUS, 0xb), 0);
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_STATUS), 1);
	assert_int_equal(peer->reply.payload.u64, 0xb);
	assert_int_equal(vhost_pci_session_status(peer->session), 0xb);
}

static void
test_status_is_one_byte(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_STATUS, 0x100), -EINVAL);
}

static void
test_status_needs_its_feature(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_STATUS, 1), -EPROTO);
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_STATUS), -EPROTO);
}

static void
test_status_0_stops_the_rings(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_STATUS, 0xf), 0);
	assert_true(peer->ready);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_STATUS, 0), 0);
	assert_false(peer->ready);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	/* The front-end sends neither memory nor calls again. */
	assert_non_null(vhost_pci_session_mem(peer->session));
	assert_true(peer_vring(peer, 0)->call.fd >= 0);
}

static void
test_rarp_hands_on_the_mac(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SEND_RARP, 8);

	memcpy(msg.payload.bytes, mac, sizeof(mac));
	assert_int_equal(peer_send(peer, &msg), 0);
	assert_int_equal(peer->nb_rarp, 1);
	assert_memory_equal(peer->mac, mac, sizeof(mac));
}

static void
test_mtu_is_handed_on(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_NET_SET_MTU, 9000), 0);
	assert_int_equal(peer->mtu, 9000);
}

static void
test_mtu_out_of_range(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_NET_SET_MTU, 67), -EINVAL);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_NET_SET_MTU, 65536), -EINVAL);
	assert_int_equal(peer->mtu, 0);
}

static void
test_mtu_that_the_owner_refuses(void **state)
{
	struct session_peer *peer = *state;

	peer->owner_error = -EINVAL;
	assert_int_equal(peer_send_u64(peer, VHOST_USER_NET_SET_MTU, 9000), -EINVAL);
}

static void
test_reset_owner_stops_rings_and_keeps_the_rest(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_RESET_OWNER), 0);
	assert_false(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_non_null(vhost_pci_session_mem(peer->session));
	peer_start_ring(peer, 0);
	peer_start_ring(peer, 1);
	assert_true(peer->ready);
}

static void
test_device_reset_forgets_the_rings_and_keeps_the_rest(void **state)
{
	struct session_peer *peer = *state;
	const struct vhost_pci_mem *mem = vhost_pci_session_mem(peer->session);
	uint64_t features = vhost_pci_session_features(peer->session);
	unsigned int nb_fds = test_nb_fds();
	unsigned int i;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_STATUS, 15), 0);
	assert_int_equal(peer_send_none(peer, VHOST_USER_RESET_DEVICE), 0);
	assert_false(peer->ready);
	for (i = 0; i < 2; i++) {
		assert_int_equal(peer_mode(peer, i), VHOST_PCI_VRING_OFF);
		assert_false(peer_vring(peer, i)->enabled);
		assert_false(peer_vring(peer, i)->addr_set);
	}
	/* A kick and a call fd of each. */
	assert_int_equal(test_nb_fds(), nb_fds - 4);
	assert_int_equal(vhost_pci_session_status(peer->session), 0);
	assert_ptr_equal(vhost_pci_session_mem(peer->session), mem);
	assert_true(vhost_pci_session_features(peer->session) == features);
}

static void
test_device_is_set_up_after_its_reset(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_RESET_DEVICE), 0);
	peer_up(peer);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_device_reset_needs_its_feature(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 PEER_PROTOCOL_TAKEN &
							 ~VHOST_USER_PROTOCOL_MASK(RESET_DEVICE)),
			0);
	assert_int_equal(peer_send_none(peer, VHOST_USER_RESET_DEVICE), -EPROTO);
	assert_true(peer->ready);
}

static void
test_second_owner_message_is_harmless(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	assert_true(peer->ready);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_configuration_out_of_range),
	cmocka_unit_test(test_owner_must_map_memory),
	cmocka_unit_test(test_largest_session),
	cmocka_unit_test(test_what_the_owner_can_not_serve_is_not_offered),
	cmocka_unit_test(test_no_protocol_features_means_no_bit_30),
	PEER_TEST(test_offered_features_and_bit_30),
	PEER_TEST(test_features_that_were_not_offered),
	PEER_TEST(test_owner_hears_of_features_that_changed),
	UP_TEST(test_features_change_while_running),
	UP_TEST(test_logging_changes_while_running),
	UP_TEST(test_features_change_after_all_rings_stopped),
	PEER_TEST(test_offered_protocol_features),
	PEER_TEST(test_protocol_features_that_were_not_offered),
	PEER_TEST(test_inband_without_what_it_needs_closes),
	PEER_TEST(test_inband_without_what_it_needs_closes_with_need_reply),
	PEER_TEST(test_queue_number_is_of_pairs),
	PEER_TEST(test_status_is_kept),
	PEER_TEST(test_status_is_one_byte),
	PEER_TEST(test_status_needs_its_feature),
	UP_TEST(test_status_0_stops_the_rings),
	PEER_TEST(test_rarp_hands_on_the_mac),
	PEER_TEST(test_mtu_is_handed_on),
	PEER_TEST(test_mtu_out_of_range),
	PEER_TEST(test_mtu_that_the_owner_refuses),
	UP_TEST(test_reset_owner_stops_rings_and_keeps_the_rest),
	UP_TEST(test_device_reset_forgets_the_rings_and_keeps_the_rest),
	UP_TEST(test_device_is_set_up_after_its_reset),
	UP_TEST(test_device_reset_needs_its_feature),
	UP_TEST(test_second_owner_message_is_harmless),
};

REGISTER_TEST_GROUP(session_feature_autotest, tests, NULL, NULL);
