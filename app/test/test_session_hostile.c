/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_log.h"
#include "vhost_pci_ring.h"

/** Messages of which each part is more or less random. */
#define NB_RANDOM_MESSAGES 100000

/** Rounds of control against a polling thread. */
#define NB_ROUNDS 100

static unsigned int nb_warnings;

static void
count_warnings(enum vhost_pci_log_level level, const char *format, va_list args)
{
	(void)format;
	(void)args;
	nb_warnings += level <= VHOST_PCI_LOG_WARNING;
}

/** Give a message as many fds as it may carry. */
static void
attach_fds(struct session_peer *peer, struct vhost_pci_msg *msg, unsigned int nb_fds)
{
	unsigned int i;

	for (i = 0; i < nb_fds; i++)
		msg->fds[i] = fcntl(peer->kick[0], F_DUPFD_CLOEXEC, 0);
	msg->nb_fds = nb_fds;
}

static void
test_extra_fds_on_every_id_are_closed(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();
	uint32_t request, bytes;

	for (request = 0; request < VHOST_USER_REQUEST_MAX + 3; request++) {
		for (bytes = 0; bytes <= 40; bytes += 8) {
			struct vhost_pci_msg msg = peer_msg(request, bytes);

			attach_fds(peer, &msg, VHOST_PCI_MSG_MAX_FDS);
			assert_true(peer_send(peer, &msg) < 0);
			assert_int_equal(test_nb_fds(), nb_fds);
		}
	}
}

static void
test_malformed_message_is_not_answered(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_FEATURES, 4);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), -EMSGSIZE);
	msg = peer_msg(VHOST_USER_SET_FEATURES, 8);
	msg.hdr.flags = 2 | VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), -EPROTONOSUPPORT);
	msg = peer_msg(VHOST_USER_SET_FEATURES, 8);
	msg.hdr.flags |= VHOST_USER_REPLY | VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), -EPROTOTYPE);
	assert_int_equal(vhost_pci_session_stats(peer->session)->malformed, 3);
}

static void
test_unknown_id_closes_without_need_reply(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(1000, 16);

	assert_int_equal(peer_send(peer, &msg), -EOPNOTSUPP);
	assert_int_equal(peer_send_none(peer, 0), -EOPNOTSUPP);
	assert_int_equal(vhost_pci_session_stats(peer->session)->rejected, 2);
}

static void
test_unknown_id_is_answered_with_need_reply(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(1000, 16);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), 1);
	assert_int_equal(peer->reply.hdr.size, 8);
	assert_int_not_equal(peer->reply.payload.u64, 0);
	assert_true(peer->ready);
}

static void
test_need_reply_counts_only_where_negotiated(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(1000, 0);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), -EOPNOTSUPP);
	msg = peer_msg(VHOST_USER_SET_OWNER, 0);
	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), 0);
}

static void
test_need_reply_is_answered_with_0(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_OWNER, 0);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), 1);
	assert_int_equal(peer->reply.hdr.size, 8);
	assert_int_equal(peer->reply.payload.u64, 0);
}

static void
test_refusal_is_answered_and_the_session_goes_on(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_NUM, 8);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	msg.payload.state.num = 0;
	assert_int_equal(peer_send(peer, &msg), 1);
	assert_int_equal(peer->reply.payload.u64, 1);
	assert_true(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_reply_with_a_payload_is_sent_once(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_GET_FEATURES, 0);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	assert_int_equal(peer_send(peer, &msg), 1);
	assert_int_equal(peer->reply.payload.u64, PEER_FEATURES | PEER_F_PROTOCOL);
}

static void
test_refusal_of_a_reply_with_a_payload_closes(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_GET_VRING_BASE, 8);

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	msg.payload.state.index = PEER_NB_VRINGS;
	assert_int_equal(peer_send(peer, &msg), -EINVAL);
}

static void
test_messages_that_are_not_served_are_refused(void **state)
{
	static const struct {
		uint32_t request;
		uint32_t bytes;
	} not_served[] = {
		{ VHOST_USER_IOTLB_MSG, 32 },
		{ VHOST_USER_CREATE_CRYPTO_SESSION, 0 },
		{ VHOST_USER_CLOSE_CRYPTO_SESSION, 8 },
		{ VHOST_USER_GET_SHARED_OBJECT, 16 },
		{ VHOST_USER_CHECK_DEVICE_STATE, 0 },
		{ VHOST_USER_GET_SHMEM_CONFIG, 0 },
		{ 45, 0 },
		{ 45, 8 },
	};
	struct session_peer *peer = *state;
	size_t i;

	for (i = 0; i < sizeof(not_served) / sizeof(not_served[0]); i++) {
		struct vhost_pci_msg msg = peer_msg(not_served[i].request, not_served[i].bytes);

		assert_int_equal(peer_send(peer, &msg), -EOPNOTSUPP);
	}
	assert_true(peer->ready);
}

/* "expect this message once (per VQ)" only where CROSS_ENDIAN was negotiated, which is not offered:
 * a legacy front-end of the other byte order must learn that it can't be served.
 */
static void
test_other_byte_order_is_answered_and_refused(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg;
	uint32_t index, num;

	assert_int_equal(PEER_PROTOCOL_FEATURES & VHOST_USER_PROTOCOL_MASK(CROSS_ENDIAN), 0);
	for (index = 0; index <= PEER_NB_VRINGS; index++) {
		for (num = 0; num < 3; num++) {
			msg = peer_msg(VHOST_USER_SET_VRING_ENDIAN, sizeof(msg.payload.state));
			msg.payload.state.index = index;
			msg.payload.state.num = num;
			assert_int_equal(peer_send(peer, &msg), -EOPNOTSUPP);
			msg.hdr.flags |= VHOST_USER_NEED_REPLY;
			assert_int_equal(peer_send(peer, &msg), 1);
			assert_int_equal(peer->reply.payload.u64, 1);
		}
	}
	assert_true(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_fds_that_are_not_served_are_closed(void **state)
{
	static const uint32_t not_served[] = { VHOST_USER_GPU_SET_SOCKET,
		VHOST_USER_SET_DEVICE_STATE_FD };
	static const uint32_t bytes[] = { 0, 8 };
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();
	size_t i;

	for (i = 0; i < 2; i++) {
		struct vhost_pci_msg msg = peer_msg(not_served[i], bytes[i]);

		attach_fds(peer, &msg, 1);
		assert_int_equal(peer_send(peer, &msg), -EOPNOTSUPP);
	}
	assert_int_equal(test_nb_fds(), nb_fds);
}

static void
test_one_warning_for_all_refusals_that_are_answered(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	vhost_pci_log_set_sink(count_warnings);
	nb_warnings = 0;
	for (i = 0; i < 100; i++) {
		struct vhost_pci_msg msg = peer_msg(1000, 0);

		msg.hdr.flags |= VHOST_USER_NEED_REPLY;
		assert_int_equal(peer_send(peer, &msg), 1);
	}
	vhost_pci_log_set_sink(NULL);
	assert_int_equal(nb_warnings, 1);
	assert_int_equal(vhost_pci_session_stats(peer->session)->rejected, 100);
}

static void
test_no_warning_for_what_ends_the_connection(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_FEATURES, 4);

	vhost_pci_log_set_sink(count_warnings);
	nb_warnings = 0;
	assert_int_equal(peer_send_none(peer, 0), -EOPNOTSUPP);
	assert_int_equal(peer_send(peer, &msg), -EMSGSIZE);
	vhost_pci_log_set_sink(NULL);
	assert_int_equal(nb_warnings, 0);
}

/** A number below a bound, the same ones in each run. */
static uint32_t
random_below(uint64_t *seed, uint32_t bound)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 32) % bound;
}

/** A message whose parts are near what is right, so that many get past the first check. */
static struct vhost_pci_msg
random_message(struct session_peer *peer, uint64_t *seed)
{
	static const uint32_t bytes[] = { 0, 8, 16, 20, 40, 72, 264 };
	struct vhost_pci_msg msg = peer_msg(random_below(seed, VHOST_USER_REQUEST_MAX + 2), 0);
	uint32_t words[10];
	size_t i;

	for (i = 0; i < 8; i++) {
		msg.hdr.size = bytes[random_below(seed, 7)];
		if (vhost_pci_codec_check_header(&msg.hdr, VHOST_PCI_MSG_REQUEST) == 0)
			break;
	}
	for (i = 0; i < 10; i++)
		words[i] = random_below(seed, random_below(seed, 8) == 0 ? UINT32_MAX : 5);
	memcpy(&msg.payload, words, sizeof(words));
	if (random_below(seed, 3) == 0)
		msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	if (random_below(seed, 2) == 0) {
		msg.nb_fds = 1;
		msg.fds[0] = fcntl(random_below(seed, 4) == 0 ? peer->memory_fd : peer->kick[0],
				F_DUPFD_CLOEXEC, 0);
	}
	return msg;
}

static void
test_random_messages_leave_nothing(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_accepted = 0;
	uint64_t seed = 20140131;
	unsigned int i;

	for (i = 0; i < NB_RANDOM_MESSAGES; i++) {
		struct vhost_pci_msg msg = random_message(peer, &seed);

		if (i % 64 == 0) {
			vhost_pci_session_reset(peer->session);
			peer_up(peer);
		}
		nb_accepted += peer_send(peer, &msg) >= 0;
	}
	/* A good part of them came through. */
	assert_true(nb_accepted > NB_RANDOM_MESSAGES / 20);
	vhost_pci_session_reset(peer->session);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 1);
}

/** What the polling thread does, over and over. */
static void *
poll_vring(void *argument)
{
	struct session_peer *peer = argument;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	while (!vhost_pci_load_relaxed(&peer->stop)) {
		enum vhost_pci_vring_mode mode = vhost_pci_vring_enter(vr);

		if (mode == VHOST_PCI_VRING_OFF)
			continue;
		vhost_pci_ring_discard(vr, 32);
		vhost_pci_store_relaxed(&peer->nb_polled, peer->nb_polled + 1);
		vhost_pci_vring_leave(vr);
	}
	return NULL;
}

static void
test_control_against_a_polling_thread(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	pthread_t thread;
	unsigned int i;

	assert_int_equal(pthread_create(&thread, NULL, poll_vring, peer), 0);
	for (i = 0; i < NB_ROUNDS; i++) {
		uint64_t polled = vhost_pci_load_relaxed(&peer->nb_polled);

		while (vhost_pci_load_relaxed(&peer->nb_polled) == polled)
			sched_yield();
		assert_int_equal(peer_send_mem_table(peer), 0);
		assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1,
						 peer->call[2]),
				0);
		assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
		assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
		vhost_pci_session_reset(peer->session);
		peer_up(peer);
	}
	vhost_pci_store_relaxed(&peer->stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(vhost_pci_session_check(peer->session), 0);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	UP_TEST(test_extra_fds_on_every_id_are_closed),
	UP_TEST(test_malformed_message_is_not_answered),
	UP_TEST(test_unknown_id_closes_without_need_reply),
	UP_TEST(test_unknown_id_is_answered_with_need_reply),
	PEER_TEST(test_need_reply_counts_only_where_negotiated),
	UP_TEST(test_need_reply_is_answered_with_0),
	UP_TEST(test_refusal_is_answered_and_the_session_goes_on),
	UP_TEST(test_reply_with_a_payload_is_sent_once),
	UP_TEST(test_refusal_of_a_reply_with_a_payload_closes),
	UP_TEST(test_messages_that_are_not_served_are_refused),
	UP_TEST(test_other_byte_order_is_answered_and_refused),
	UP_TEST(test_fds_that_are_not_served_are_closed),
	UP_TEST(test_one_warning_for_all_refusals_that_are_answered),
	UP_TEST(test_no_warning_for_what_ends_the_connection),
	UP_TEST(test_random_messages_leave_nothing),
	UP_TEST(test_control_against_a_polling_thread),
};

REGISTER_TEST_GROUP(session_hostile_autotest, tests, NULL, NULL);
