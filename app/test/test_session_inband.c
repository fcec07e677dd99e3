/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Kicks that come as messages, calls and errors that go as messages. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_ring.h"

#define MODERN (PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1)
#define EVENT  (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

/** The front-end's end of the channel, the session's, and the eventfd that wakes control. */
static int ends[2];
static int wake;

static int
setup(void **state)
{
	unsigned int i;

	peer_setup(state);
	wake = test_eventfd();
	for (i = 0; i < PEER_NB_VRINGS; i++)
		peer_vring(*state, i)->broken_fd = wake;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int
teardown(void **state)
{
	close(ends[0]);
	close(ends[1]);
	close(wake);
	return peer_teardown(state);
}

static int
send_kick(struct session_peer *peer, unsigned int index, uint32_t flags)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_VRING_KICK, sizeof(msg.payload.state));

	msg.hdr.flags |= flags;
	msg.payload.state.index = index;
	return peer_send(peer, &msg);
}

/** All of a ring but its fds. */
static void
set_up_ring(struct session_peer *peer, unsigned int index)
{
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, index, PEER_RING_SIZE), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, index, 0), 0);
	assert_int_equal(peer_send_addr(peer, index), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
}

/** A front-end without any notification fds, and its channel. */
static void
up(struct session_peer *peer, uint64_t features)
{
	unsigned int i;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 PEER_PROTOCOL_INBAND),
			0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, features), 0);
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_BACKEND_REQ_FD, ends[1]), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	for (i = 0; i < 2; i++) {
		set_up_ring(peer, i);
		assert_int_equal(send_kick(peer, i, 0), 0);
	}
	assert_true(peer->ready);
}

/** The driver sends a packet through vring 1, which is split. */
static void
offer_packet(struct session_peer *peer)
{
	uint8_t *ring = peer->memory + PEER_RING_BYTES;
	struct vring_desc *desc = (void *)ring;
	struct vring_avail *avail = (void *)(ring + PEER_AVAIL);

	*desc = (struct vring_desc){ .addr = PEER_GPA, .len = 64 };
	avail->ring[avail->idx % PEER_RING_SIZE] = 0;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
}

/** The polling thread takes all that is there. */
static void
poll_ring(struct session_peer *peer)
{
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	struct vhost_pci_chain chain;

	assert_int_equal(vhost_pci_vring_enter(vr), VHOST_PCI_VRING_ON);
	vhost_pci_ring_begin(vr);
	while (vhost_pci_ring_next(vr, &chain, VHOST_PCI_RING_SPLIT, VHOST_PCI_DEQUEUE) > 0)
		vhost_pci_ring_put(vr, &chain, 0, VHOST_PCI_RING_SPLIT);
	vhost_pci_ring_end(vr, VHOST_PCI_RING_SPLIT);
	vhost_pci_vring_leave(vr);
}

/** A request on the channel, as the front-end reads it; its index, or -EAGAIN. */
static int
read_request(uint32_t request, bool need_reply)
{
	struct {
		struct vhost_user_hdr hdr;
		struct vhost_vring_state state;
	} message;

	if (read(ends[0], &message, sizeof(message)) < 0)
		return -errno;
	assert_int_equal(message.hdr.request, request);
	assert_int_equal(message.hdr.size, sizeof(message.state));
	assert_int_equal((message.hdr.flags & VHOST_USER_NEED_REPLY) != 0, need_reply);
	assert_int_equal(message.state.num, 0);
	return (int)message.state.index;
}

/** The front-end answers, and control goes on. */
static void
answer(struct session_peer *peer, uint32_t request)
{
	struct {
		struct vhost_user_hdr hdr;
		uint32_t u64[2];
	} message = { { request, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 }, { 0, 0 } };
	struct vhost_pci_msg reply;

	assert_int_equal(write(ends[0], &message, sizeof(message)), sizeof(message));
	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &reply), 1);
	vhost_pci_session_channel_serve(peer->session);
}

/** Calls of the start, which may have been lost before. */
static void
take_first_calls(struct session_peer *peer)
{
	vhost_pci_session_channel_serve(peer->session);
	while (read_request(VHOST_USER_BACKEND_VRING_CALL, true) >= 0)
		answer(peer, VHOST_USER_BACKEND_VRING_CALL);
	test_eventfd_read(wake);
}

static void
test_message_starts_the_ring(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(send_kick(peer, 1, 0), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_ready_before_the_first_kick(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	/* A ring that was stopped is not about to start: QEMU agrees to messages that it sends none
	 * of, and its link is to go down with its rings.
	 */
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_false(peer->ready);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, 0), 0);
	assert_true(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_false(peer->ready);
}

static void
test_message_without_the_feature(void **state)
{
	struct session_peer *peer = *state;

	peer_up(peer);
	assert_int_equal(send_kick(peer, 1, 0), -EPROTO);
	assert_true(peer->ready);
}

static void
test_num_and_index_are_checked(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	assert_int_equal(peer_send_state(peer, VHOST_USER_VRING_KICK, 1, 1), -EINVAL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_VRING_KICK, PEER_NB_VRINGS, 0), -EINVAL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_VRING_KICK, UINT32_MAX, 0), -EINVAL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_VRING_KICK, 0xffff0001, 0), -EINVAL);
	assert_true(peer->ready);
}

static void
test_message_that_can_not_start_its_ring(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds;

	up(peer, MODERN);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	/* Beyond the queue size is refused at the start only where all else is known. */
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, 0), 0);
	peer_vring(peer, 1)->desc_uva = 0x1000;
	nb_fds = test_nb_fds();
	assert_int_equal(send_kick(peer, 1, 0), -EFAULT);
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
}

static void
test_message_wakes_who_waits_for_the_fd(void **state)
{
	struct session_peer *peer = *state;
	int fd;

	up(peer, MODERN);
	fd = peer_vring(peer, 1)->kick_fd;
	assert_true(fd >= 0);
	test_eventfd_read(fd);
	assert_int_equal(send_kick(peer, 1, 0), 0);
	assert_int_equal(test_eventfd_read(fd), 1);
}

static void
test_kick_fd_is_preferred(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_int_equal(send_kick(peer, 1, 0), 0);
	assert_int_equal(test_eventfd_read(peer->kick[1]), 0);
	assert_false(peer_vring(peer, 1)->kick_always);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

/** What the kick of a ring was for was taken: send its answer. */
static void
answer_kick(struct session_peer *peer, unsigned int index)
{
	assert_ptr_equal(vhost_pci_session_kicked(peer->session), peer_vring(peer, index));
	vhost_pci_session_late_reply(peer->session, &peer->reply);
	assert_int_equal(peer->reply.hdr.request, VHOST_USER_VRING_KICK);
	assert_int_equal(peer->reply.payload.u64, 0);
}

static void
test_kick_is_answered_when_the_ring_was_processed(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	offer_packet(peer);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	assert_null(vhost_pci_session_kicked(peer->session));
	/* What comes later is not what the kick was for. */
	poll_ring(peer);
	offer_packet(peer);
	answer_kick(peer, 1);
}

/* The polling thread was faster than the message: it may still be busy with what it took. */
static void
test_kick_for_what_was_taken_is_answered_later(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	offer_packet(peer);
	poll_ring(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	answer_kick(peer, 1);
	assert_null(vhost_pci_session_kicked(peer->session));
}

static void
test_kick_for_nothing_is_answered_at_once(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	/* Buffers to be filled: there is nothing to put into them. */
	assert_int_equal(send_kick(peer, 0, VHOST_USER_NEED_REPLY), 1);
	/* A packet that nobody is to take. */
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	vhost_pci_session_set_admin_up(peer->session, false);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), 1);
}

static void
test_kick_of_a_ring_that_nobody_polls_is_given_up(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	assert_null(vhost_pci_session_kicked(peer->session));
	vhost_pci_session_late_reply(peer->session, &peer->reply);
	assert_int_equal(peer->reply.payload.u64, 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	poll_ring(peer);
}

static void
test_kick_of_a_ring_that_breaks_is_answered(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	vhost_pci_vring_break(peer_vring(peer, 1), VHOST_PCI_VRING_E_HEAD);
	answer_kick(peer, 1);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
	assert_false(peer->ready);
}

/** The chain that the driver of vring 1 is to kick for next. */
static uint16_t
avail_event(const struct session_peer *peer)
{
	struct vring_used *used = (void *)(peer->memory + PEER_RING_BYTES + PEER_USED);
	const uint16_t *event = (const uint16_t *)(void *)&used->ring[PEER_RING_SIZE];

	return *event;
}

static void
test_kicks_are_wanted_for_each_packet(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	up(peer, MODERN | EVENT);
	vhost_pci_ring_ask_kick(peer_vring(peer, 1), false);
	for (i = 0; i < 5; i++) {
		assert_int_equal(avail_event(peer), i);
		offer_packet(peer);
		assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY),
				VHOST_PCI_SESSION_LATER);
		poll_ring(peer);
		answer_kick(peer, 1);
	}
}

/* The driver does not kick for what it has offered already: it would never kick again. */
static void
test_kicks_are_wanted_after_one_is_given_up(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	up(peer, MODERN | EVENT);
	vhost_pci_ring_ask_kick(peer_vring(peer, 1), false);
	for (i = 0; i < 3; i++) {
		assert_int_equal(avail_event(peer), i);
		offer_packet(peer);
		assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY),
				VHOST_PCI_SESSION_LATER);
		vhost_pci_session_late_reply(peer->session, &peer->reply);
	}
	/* Nor is it to be asked for less where the ring is paused for something else. */
	assert_int_equal(avail_event(peer), 3);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[1]), 0);
	vhost_pci_ring_ask_kick(peer_vring(peer, 1), false);
	assert_int_equal(avail_event(peer), 3);
	poll_ring(peer);
	assert_int_equal(peer_vring(peer, 1)->used_idx, 3);
}

/* Nobody has kicked for what came while the event was one that had been passed. */
static void
test_packet_before_kicks_are_wanted_again_wakes(void **state)
{
	struct session_peer *peer = *state;
	int fd;

	up(peer, MODERN | EVENT);
	fd = peer_vring(peer, 1)->kick_fd;
	vhost_pci_ring_ask_kick(peer_vring(peer, 1), false);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	poll_ring(peer);
	test_eventfd_read(fd);
	offer_packet(peer);
	answer_kick(peer, 1);
	assert_int_equal(avail_event(peer), 2);
	assert_int_equal(test_eventfd_read(fd), 1);
	/* And nobody is woken for nothing. */
	poll_ring(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	test_eventfd_read(fd);
	answer_kick(peer, 1);
	assert_int_equal(avail_event(peer), 2);
	assert_int_equal(test_eventfd_read(fd), 0);
}

/* An index that no driver has is not followed. */
static void
test_kicks_are_wanted_whatever_the_index(void **state)
{
	struct session_peer *peer = *state;
	struct vring_avail *avail = (void *)(peer->memory + PEER_RING_BYTES + PEER_AVAIL);

	up(peer, MODERN | EVENT);
	avail->idx = PEER_RING_SIZE + 1;
	vhost_pci_ring_ask_kick(peer_vring(peer, 1), false);
	assert_int_equal(avail_event(peer), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_call_is_a_message(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	take_first_calls(peer);
	offer_packet(peer);
	poll_ring(peer);
	assert_int_equal(test_eventfd_read(wake), 1);
	vhost_pci_session_channel_serve(peer->session);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), 1);
}

static void
test_data_path_goes_on_while_a_call_is_not_answered(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	up(peer, MODERN);
	take_first_calls(peer);
	for (i = 0; i < 10; i++) {
		offer_packet(peer);
		poll_ring(peer);
		vhost_pci_session_channel_serve(peer->session);
	}
	assert_int_equal(peer_vring(peer, 1)->used_idx, 10);
	/* One is under way, and one more for all that came since. */
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), 1);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), -EAGAIN);
	answer(peer, VHOST_USER_BACKEND_VRING_CALL);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), 1);
	answer(peer, VHOST_USER_BACKEND_VRING_CALL);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), -EAGAIN);
}

/* The guest may have nothing to do but to wait for it. */
static void
test_calls_go_before_the_answer_to_a_kick(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	take_first_calls(peer);
	offer_packet(peer);
	poll_ring(peer);
	vhost_pci_session_channel_serve(peer->session);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), 1);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	poll_ring(peer);
	answer_kick(peer, 1);
	/* While the answer to the call before is still awaited. */
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, false), 1);
	answer(peer, VHOST_USER_BACKEND_VRING_CALL);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), -EAGAIN);
}

static void
test_call_fd_is_preferred(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	take_first_calls(peer);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[1]), 0);
	test_eventfd_read(peer->call[1]);
	offer_packet(peer);
	poll_ring(peer);
	assert_int_equal(test_eventfd_read(peer->call[1]), 1);
	vhost_pci_session_channel_serve(peer->session);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), -EAGAIN);
}

static void
test_no_call_fd_means_polling(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	take_first_calls(peer);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, -1), 0);
	offer_packet(peer);
	poll_ring(peer);
	vhost_pci_session_channel_serve(peer->session);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), -EAGAIN);
}

static void
test_call_waits_for_its_channel(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 PEER_PROTOCOL_INBAND),
			0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	set_up_ring(peer, 1);
	assert_int_equal(send_kick(peer, 1, 0), 0);
	offer_packet(peer);
	poll_ring(peer);
	vhost_pci_session_channel_serve(peer->session);
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_BACKEND_REQ_FD, ends[1]), 0);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), 1);
}

static void
test_error_is_a_message(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	take_first_calls(peer);
	vhost_pci_vring_break(peer_vring(peer, 1), VHOST_PCI_VRING_E_HEAD);
	assert_int_equal(test_eventfd_read(wake), 1);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_ERR, true), 1);
}

static void
test_feature_taken_back(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	take_first_calls(peer);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN),
			0);
	offer_packet(peer);
	poll_ring(peer);
	vhost_pci_session_channel_serve(peer->session);
	assert_int_equal(read_request(VHOST_USER_BACKEND_VRING_CALL, true), -EAGAIN);
	assert_int_equal(send_kick(peer, 1, 0), -EPROTO);
}

static void
test_reset_forgets_a_late_reply(void **state)
{
	struct session_peer *peer = *state;

	up(peer, MODERN);
	offer_packet(peer);
	assert_int_equal(send_kick(peer, 1, VHOST_USER_NEED_REPLY), VHOST_PCI_SESSION_LATER);
	vhost_pci_session_reset(peer->session);
	assert_int_equal(peer_vring(peer, 1)->call.fd, -1);
	assert_null(peer_vring(peer, 1)->call.doorbell);
}

#define INBAND_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	INBAND_TEST(test_message_starts_the_ring),
	INBAND_TEST(test_ready_before_the_first_kick),
	INBAND_TEST(test_message_without_the_feature),
	INBAND_TEST(test_num_and_index_are_checked),
	INBAND_TEST(test_message_that_can_not_start_its_ring),
	INBAND_TEST(test_message_wakes_who_waits_for_the_fd),
	INBAND_TEST(test_kick_fd_is_preferred),
	INBAND_TEST(test_kick_is_answered_when_the_ring_was_processed),
	INBAND_TEST(test_kick_for_what_was_taken_is_answered_later),
	INBAND_TEST(test_kick_for_nothing_is_answered_at_once),
	INBAND_TEST(test_kick_of_a_ring_that_nobody_polls_is_given_up),
	INBAND_TEST(test_kick_of_a_ring_that_breaks_is_answered),
	INBAND_TEST(test_kicks_are_wanted_for_each_packet),
	INBAND_TEST(test_kicks_are_wanted_after_one_is_given_up),
	INBAND_TEST(test_packet_before_kicks_are_wanted_again_wakes),
	INBAND_TEST(test_kicks_are_wanted_whatever_the_index),
	INBAND_TEST(test_call_is_a_message),
	INBAND_TEST(test_data_path_goes_on_while_a_call_is_not_answered),
	INBAND_TEST(test_calls_go_before_the_answer_to_a_kick),
	INBAND_TEST(test_call_fd_is_preferred),
	INBAND_TEST(test_no_call_fd_means_polling),
	INBAND_TEST(test_call_waits_for_its_channel),
	INBAND_TEST(test_error_is_a_message),
	INBAND_TEST(test_feature_taken_back),
	INBAND_TEST(test_reset_forgets_a_late_reply),
};

REGISTER_TEST_GROUP(session_inband_autotest, tests, NULL, NULL);
