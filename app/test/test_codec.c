/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_codec.h"

/** What the specification says of a front-end's request, written down a second time. */
struct shape {
	uint32_t request;
	uint32_t bytes;
	unsigned int nb_fds;
};

static const struct shape shapes[] = {
	{ VHOST_USER_GET_FEATURES, 0, 0 },
	{ VHOST_USER_SET_FEATURES, 8, 0 },
	{ VHOST_USER_SET_OWNER, 0, 0 },
	{ VHOST_USER_RESET_OWNER, 0, 0 },
	{ VHOST_USER_SET_MEM_TABLE, 8 + 8 * 32, 8 },
	{ VHOST_USER_SET_LOG_BASE, 16, 1 },
	{ VHOST_USER_SET_LOG_FD, 0, 1 },
	{ VHOST_USER_SET_VRING_NUM, 8, 0 },
	{ VHOST_USER_SET_VRING_ADDR, 40, 0 },
	{ VHOST_USER_SET_VRING_BASE, 8, 0 },
	{ VHOST_USER_GET_VRING_BASE, 8, 0 },
	{ VHOST_USER_SET_VRING_KICK, 8, 1 },
	{ VHOST_USER_SET_VRING_CALL, 8, 1 },
	{ VHOST_USER_SET_VRING_ERR, 8, 1 },
	{ VHOST_USER_GET_PROTOCOL_FEATURES, 0, 0 },
	{ VHOST_USER_SET_PROTOCOL_FEATURES, 8, 0 },
	{ VHOST_USER_GET_QUEUE_NUM, 0, 0 },
	{ VHOST_USER_SET_VRING_ENABLE, 8, 0 },
	{ VHOST_USER_SEND_RARP, 8, 0 },
	{ VHOST_USER_NET_SET_MTU, 8, 0 },
	{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 1 },
	{ VHOST_USER_IOTLB_MSG, 32, 0 },
	{ VHOST_USER_SET_VRING_ENDIAN, 8, 0 },
	{ VHOST_USER_GET_CONFIG, 12 + 256, 0 },
	{ VHOST_USER_SET_CONFIG, 12 + 256, 0 },
	{ VHOST_USER_CREATE_CRYPTO_SESSION, 2056, 0 },
	{ VHOST_USER_CLOSE_CRYPTO_SESSION, 8, 0 },
	{ VHOST_USER_POSTCOPY_ADVISE, 0, 0 },
	{ VHOST_USER_POSTCOPY_LISTEN, 0, 0 },
	{ VHOST_USER_POSTCOPY_END, 0, 0 },
	{ VHOST_USER_GET_INFLIGHT_FD, 24, 0 },
	{ VHOST_USER_SET_INFLIGHT_FD, 24, 1 },
	{ VHOST_USER_GPU_SET_SOCKET, 0, 1 },
	{ VHOST_USER_RESET_DEVICE, 0, 0 },
	{ VHOST_USER_VRING_KICK, 8, 0 },
	{ VHOST_USER_GET_MAX_MEM_SLOTS, 0, 0 },
	{ VHOST_USER_ADD_MEM_REG, 40, 1 },
	{ VHOST_USER_REM_MEM_REG, 40, 1 },
	{ VHOST_USER_SET_STATUS, 8, 0 },
	{ VHOST_USER_GET_STATUS, 0, 0 },
	{ VHOST_USER_GET_SHARED_OBJECT, 16, 0 },
	{ VHOST_USER_SET_DEVICE_STATE_FD, 8, 1 },
	{ VHOST_USER_CHECK_DEVICE_STATE, 0, 0 },
	{ VHOST_USER_GET_SHMEM_CONFIG, 0, 0 },
};
#define NB_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/** A message as large, and with as many fds, as its id may have; the fds are no real ones. */
static struct vhost_pci_msg
good_message(const struct shape *shape)
{
	struct vhost_pci_msg msg = {
		.hdr = { shape->request, VHOST_USER_VERSION, shape->bytes },
		.nb_fds = shape->nb_fds,
	};

	memset(msg.fds, 0xff, sizeof(msg.fds));
	if (shape->request == VHOST_USER_SET_MEM_TABLE)
		msg.payload.mem_table.nb_regions = 8;
	if (shape->request == VHOST_USER_GET_CONFIG || shape->request == VHOST_USER_SET_CONFIG)
		msg.payload.config.size = 256;
	return msg;
}

static int
check(const struct vhost_pci_msg *msg)
{
	return vhost_pci_codec_check(msg, VHOST_PCI_MSG_REQUEST);
}

static void
test_every_id_has_its_number(void **state)
{
	size_t i;

	(void)state;
	/* The list above is in order and complete. */
	for (i = 0; i < NB_SHAPES; i++)
		assert_int_equal(shapes[i].request, i + 1);
	assert_int_equal(NB_SHAPES + 1, VHOST_USER_REQUEST_MAX);
}

static void
test_every_id_accepts_what_it_takes(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		struct vhost_pci_msg msg = good_message(&shapes[i]);

		assert_int_equal(check(&msg), 0);
	}
}

static void
test_every_id_refuses_a_longer_payload(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		struct vhost_pci_msg msg = good_message(&shapes[i]);

		msg.hdr.size++;
		assert_int_equal(check(&msg), -EMSGSIZE);
		msg.hdr.size = UINT32_MAX;
		assert_int_equal(check(&msg), -EMSGSIZE);
	}
}

static void
test_every_id_refuses_a_shorter_payload(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		struct vhost_pci_msg msg = good_message(&shapes[i]);

		if (shapes[i].bytes == 0 || shapes[i].request == VHOST_USER_CREATE_CRYPTO_SESSION)
			continue;
		msg.hdr.size--;
		/* Of a configuration access any part is a payload, but not of that size. */
		if (shapes[i].request == VHOST_USER_GET_CONFIG ||
				shapes[i].request == VHOST_USER_SET_CONFIG)
			assert_int_equal(check(&msg), -EBADMSG);
		else
			assert_int_equal(check(&msg), -EMSGSIZE);
	}
}

/* "QEMU will then reply back to the list of mappings": with a u64 in the place of a region. */
static void
test_postcopy_acknowledgements_have_no_fd(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_ADD_MEM_REG,
		VHOST_USER_REM_MEM_REG };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct vhost_pci_msg msg = { .hdr = { requests[i], VHOST_USER_VERSION, 8 } };

		assert_int_equal(check(&msg), 0);
		msg.hdr.size = 16;
		assert_int_equal(check(&msg), -EMSGSIZE);
		msg.hdr.size = 8;
		msg.nb_fds = 1;
		assert_true(check(&msg) < 0);
	}
}

static void
test_every_payload_refuses_no_bytes(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		struct vhost_pci_msg msg = good_message(&shapes[i]);

		if (shapes[i].bytes == 0 || shapes[i].request == VHOST_USER_CREATE_CRYPTO_SESSION)
			continue;
		msg.hdr.size = 0;
		assert_int_equal(check(&msg), -EMSGSIZE);
	}
}

static void
test_every_id_refuses_one_fd_too_many(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		struct vhost_pci_msg msg = good_message(&shapes[i]);

		msg.nb_fds++;
		assert_int_equal(check(&msg), -E2BIG);
	}
}

static void
test_needed_fd_is_missed(void **state)
{
	static const uint32_t needing[] = { VHOST_USER_SET_LOG_FD, VHOST_USER_SET_BACKEND_REQ_FD,
		VHOST_USER_SET_INFLIGHT_FD, VHOST_USER_GPU_SET_SOCKET, VHOST_USER_ADD_MEM_REG,
		VHOST_USER_SET_DEVICE_STATE_FD };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(needing) / sizeof(needing[0]); i++) {
		struct vhost_pci_msg msg = good_message(&shapes[needing[i] - 1]);

		msg.nb_fds = 0;
		assert_int_equal(check(&msg), -EBADF);
	}
}

static void
test_removal_needs_no_fd(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_REM_MEM_REG - 1]);

	(void)state;
	msg.nb_fds = 0;
	assert_int_equal(check(&msg), 0);
}

static void
test_every_id_refuses_other_versions(void **state)
{
	static const uint32_t versions[] = { 0, 2, 3 };
	size_t i, v;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		for (v = 0; v < 3; v++) {
			struct vhost_pci_msg msg = good_message(&shapes[i]);

			msg.hdr.flags = versions[v];
			assert_int_equal(check(&msg), -EPROTONOSUPPORT);
		}
	}
}

static void
test_every_id_refuses_the_reply_flag(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NB_SHAPES; i++) {
		struct vhost_pci_msg msg = good_message(&shapes[i]);

		msg.hdr.flags |= VHOST_USER_REPLY;
		assert_int_equal(check(&msg), -EPROTOTYPE);
	}
}

static void
test_need_reply_is_no_malformation(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[0]);

	(void)state;
	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(check(&msg), 0);
}

static void
test_unknown_ids_are_told_apart(void **state)
{
	static const uint32_t unknown[] = { 0, VHOST_USER_REQUEST_MAX, 1000, UINT32_MAX };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		struct vhost_pci_msg msg = { .hdr = { unknown[i], VHOST_USER_VERSION, 8 } };

		assert_int_equal(vhost_pci_codec_check_header(&msg.hdr, VHOST_PCI_MSG_REQUEST), 0);
		assert_int_equal(check(&msg), -EOPNOTSUPP);
	}
}

static void
test_unknown_id_with_a_payload_beyond_all_is_refused(void **state)
{
	struct vhost_pci_msg msg = { .hdr = { 1000, VHOST_USER_VERSION, 2057 } };

	(void)state;
	assert_int_equal(check(&msg), -EMSGSIZE);
}

static void
test_mem_table_with_fewer_fds_than_regions(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_MEM_TABLE - 1]);

	(void)state;
	msg.nb_fds = 7;
	assert_int_equal(check(&msg), -EBADMSG);
}

static void
test_mem_table_with_nine_regions_and_eight_fds(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_MEM_TABLE - 1]);

	(void)state;
	msg.payload.mem_table.nb_regions = 9;
	assert_int_equal(check(&msg), -EBADMSG);
	msg.hdr.size = 8 + 9 * 32;
	assert_int_equal(check(&msg), -EMSGSIZE);
}

static void
test_mem_table_with_more_regions_than_were_sent(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_MEM_TABLE - 1]);

	(void)state;
	msg.hdr.size = 8 + 2 * 32;
	msg.payload.mem_table.nb_regions = 3;
	msg.nb_fds = 3;
	assert_int_equal(check(&msg), -EBADMSG);
}

static void
test_mem_table_whose_number_of_regions_wraps(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_MEM_TABLE - 1]);

	(void)state;
	msg.payload.mem_table.nb_regions = UINT32_MAX;
	assert_int_equal(check(&msg), -EBADMSG);
}

static void
test_mem_table_may_have_unused_entries(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_MEM_TABLE - 1]);

	(void)state;
	msg.payload.mem_table.nb_regions = 1;
	msg.nb_fds = 1;
	assert_int_equal(check(&msg), 0);
}

static void
test_mem_table_of_a_region_and_a_half(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_MEM_TABLE - 1]);

	(void)state;
	msg.hdr.size = 8 + 48;
	assert_int_equal(check(&msg), -EMSGSIZE);
}

static void
test_log_base_without_its_fd(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_LOG_BASE - 1]);

	(void)state;
	msg.nb_fds = 0;
	assert_int_equal(check(&msg), -EBADMSG);
}

static void
test_log_base_as_a_bare_address(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_SET_LOG_BASE - 1]);

	(void)state;
	msg.hdr.size = 8;
	assert_int_equal(check(&msg), -EBADMSG);
	msg.nb_fds = 0;
	assert_int_equal(check(&msg), 0);
}

static void
test_vring_fd_flag_and_fd_contradict(void **state)
{
	uint32_t request;

	(void)state;
	for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR; request++) {
		struct vhost_pci_msg msg = good_message(&shapes[request - 1]);

		msg.payload.u64 = VHOST_USER_VRING_NOFD;
		assert_int_equal(check(&msg), -EBADMSG);
		msg.nb_fds = 0;
		assert_int_equal(check(&msg), 0);
		msg.payload.u64 = 0;
		assert_int_equal(check(&msg), -EBADMSG);
	}
}

static void
test_vring_fd_reserved_bits(void **state)
{
	uint32_t request;

	(void)state;
	for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR; request++) {
		struct vhost_pci_msg msg = good_message(&shapes[request - 1]);

		msg.payload.u64 = 0xffff0000;
		assert_int_equal(check(&msg), -EBADMSG);
		msg.payload.u64 = UINT64_C(1) << 63;
		assert_int_equal(check(&msg), -EBADMSG);
	}
}

static void
test_inflight_with_and_without_padding(void **state)
{
	struct vhost_pci_msg msg = good_message(&shapes[VHOST_USER_GET_INFLIGHT_FD - 1]);

	(void)state;
	msg.hdr.size = 20;
	assert_int_equal(check(&msg), 0);
	msg.hdr.size = 22;
	assert_int_equal(check(&msg), -EMSGSIZE);
}

static void
test_header_is_refused_before_its_payload_is_read(void **state)
{
	struct vhost_user_hdr hdr = { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 9 };

	(void)state;
	assert_int_equal(vhost_pci_codec_check_header(&hdr, VHOST_PCI_MSG_REQUEST), -EMSGSIZE);
}

static void
test_backend_request_has_an_id_space_of_its_own(void **state)
{
	struct vhost_pci_msg msg = {
		.hdr = { VHOST_USER_BACKEND_VRING_CALL, VHOST_USER_VERSION, 8 },
	};

	(void)state;
	assert_int_equal(vhost_pci_codec_check(&msg, VHOST_PCI_MSG_BACKEND_REQUEST), 0);
	msg.hdr.request = VHOST_USER_GET_QUEUE_NUM;
	assert_int_equal(vhost_pci_codec_check(&msg, VHOST_PCI_MSG_BACKEND_REQUEST), -EOPNOTSUPP);
}

static void
test_backend_reply_is_a_u64_with_the_flag(void **state)
{
	struct vhost_pci_msg msg = {
		.hdr = { VHOST_USER_BACKEND_IOTLB_MSG, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 },
	};

	(void)state;
	assert_int_equal(vhost_pci_codec_check(&msg, VHOST_PCI_MSG_BACKEND_REPLY), 0);
	msg.hdr.size = 4;
	assert_int_equal(vhost_pci_codec_check(&msg, VHOST_PCI_MSG_BACKEND_REPLY), -EMSGSIZE);
	msg.hdr = (struct vhost_user_hdr){ VHOST_USER_BACKEND_IOTLB_MSG, VHOST_USER_VERSION, 8 };
	assert_int_equal(vhost_pci_codec_check(&msg, VHOST_PCI_MSG_BACKEND_REPLY), -EPROTOTYPE);
}

static void
test_kinds_of_replies(void **state)
{
	(void)state;
	assert_int_equal(vhost_pci_codec_reply(VHOST_USER_GET_FEATURES), VHOST_PCI_REPLY_OWN);
	assert_int_equal(vhost_pci_codec_reply(VHOST_USER_GET_VRING_BASE), VHOST_PCI_REPLY_OWN);
	assert_int_equal(vhost_pci_codec_reply(VHOST_USER_SET_LOG_BASE), VHOST_PCI_REPLY_CODE);
	assert_int_equal(vhost_pci_codec_reply(VHOST_USER_SET_FEATURES), VHOST_PCI_REPLY_ACK);
	assert_int_equal(vhost_pci_codec_reply(UINT32_MAX), VHOST_PCI_REPLY_ACK);
}

static void
test_names_for_messages(void **state)
{
	(void)state;
	assert_string_equal(vhost_pci_codec_name(VHOST_USER_SET_VRING_NUM), "SET_VRING_NUM");
	assert_string_equal(vhost_pci_codec_name(0), "unknown");
	assert_string_equal(vhost_pci_codec_name(UINT32_MAX), "unknown");
}

static void
test_taken_fd_stays_open(void **state)
{
	unsigned int nb_fds = test_nb_fds();
	struct vhost_pci_msg msg = { .nb_fds = 2, .fds = { test_eventfd(), test_eventfd() } };
	int left = msg.fds[1];
	int fd = vhost_pci_msg_take_fd(&msg, 0);

	(void)state;
	assert_int_equal(vhost_pci_msg_take_fd(&msg, 0), -1);
	assert_int_equal(vhost_pci_msg_take_fd(&msg, 2), -1);
	vhost_pci_msg_close_fds(&msg);
	assert_true(test_fd_is_open(fd));
	assert_false(test_fd_is_open(left));
	assert_int_equal(msg.nb_fds, 0);
	close(fd);
	assert_int_equal(test_nb_fds(), nb_fds);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_every_id_has_its_number),
	cmocka_unit_test(test_every_id_accepts_what_it_takes),
	cmocka_unit_test(test_every_id_refuses_a_longer_payload),
	cmocka_unit_test(test_every_id_refuses_a_shorter_payload),
	cmocka_unit_test(test_postcopy_acknowledgements_have_no_fd),
	cmocka_unit_test(test_every_payload_refuses_no_bytes),
	cmocka_unit_test(test_every_id_refuses_one_fd_too_many),
	cmocka_unit_test(test_needed_fd_is_missed),
	cmocka_unit_test(test_removal_needs_no_fd),
	cmocka_unit_test(test_every_id_refuses_other_versions),
	cmocka_unit_test(test_every_id_refuses_the_reply_flag),
	cmocka_unit_test(test_need_reply_is_no_malformation),
	cmocka_unit_test(test_unknown_ids_are_told_apart),
	cmocka_unit_test(test_unknown_id_with_a_payload_beyond_all_is_refused),
	cmocka_unit_test(test_mem_table_with_fewer_fds_than_regions),
	cmocka_unit_test(test_mem_table_with_nine_regions_and_eight_fds),
	cmocka_unit_test(test_mem_table_with_more_regions_than_were_sent),
	cmocka_unit_test(test_mem_table_whose_number_of_regions_wraps),
	cmocka_unit_test(test_mem_table_may_have_unused_entries),
	cmocka_unit_test(test_mem_table_of_a_region_and_a_half),
	cmocka_unit_test(test_log_base_without_its_fd),
	cmocka_unit_test(test_log_base_as_a_bare_address),
	cmocka_unit_test(test_vring_fd_flag_and_fd_contradict),
	cmocka_unit_test(test_vring_fd_reserved_bits),
	cmocka_unit_test(test_inflight_with_and_without_padding),
	cmocka_unit_test(test_header_is_refused_before_its_payload_is_read),
	cmocka_unit_test(test_backend_request_has_an_id_space_of_its_own),
	cmocka_unit_test(test_backend_reply_is_a_u64_with_the_flag),
	cmocka_unit_test(test_kinds_of_replies),
	cmocka_unit_test(test_names_for_messages),
	cmocka_unit_test(test_taken_fd_stays_open),
};

REGISTER_TEST_GROUP(codec_autotest, tests, NULL, NULL);
