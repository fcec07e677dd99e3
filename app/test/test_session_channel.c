/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

/** The front-end's end of the channel, and the session's. */
static int ends[2];

static int
setup(void **state)
{
	peer_setup_up(state);
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static int
teardown(void **state)
{
	close(ends[0]);
	close(ends[1]);
	return peer_teardown(state);
}

/** A request of the back-end: VRING_CALL, whatever it is sent for. */
static int
send_call(struct session_peer *peer, uint32_t flags)
{
	struct vhost_pci_msg msg = {
		.hdr = { VHOST_USER_BACKEND_VRING_CALL, VHOST_USER_VERSION | flags, 8 },
	};

	return vhost_pci_session_channel_send(peer->session, &msg);
}

/** What the front-end writes on the channel. */
static void
write_reply(uint32_t request, uint32_t flags, uint32_t bytes)
{
	struct {
		struct vhost_user_hdr hdr;
		uint32_t payload[4];
	} message = { { request, flags, bytes }, { 0 } };

	assert_int_equal(write(ends[0], &message, sizeof(message.hdr) + bytes),
			sizeof(message.hdr) + bytes);
}

static void
test_channel_has_an_fd_to_wait_on(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(vhost_pci_session_channel_fd(peer->session), -1);
	peer_send_channel(peer, &ends[1]);
	assert_true(vhost_pci_session_channel_fd(peer->session) >= 0);
}

static void
test_second_channel_closes_the_first(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds;
	int more[2];
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, more), 0);
	peer_send_channel(peer, &ends[1]);
	nb_fds = test_nb_fds();
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_BACKEND_REQ_FD, more[1]), 0);
	assert_int_equal(test_nb_fds(), nb_fds);
	/* The end of the stream at the front-end. */
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(more[0]);
	close(more[1]);
}

static void
test_channel_without_and_with_two_fds(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_BACKEND_REQ_FD, 0);
	unsigned int nb_fds = test_nb_fds();

	assert_int_equal(peer_send(peer, &msg), -EBADF);
	msg = peer_msg(VHOST_USER_SET_BACKEND_REQ_FD, 0);
	msg.fds[0] = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);
	msg.fds[1] = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);
	msg.nb_fds = 2;
	assert_int_equal(peer_send(peer, &msg), -E2BIG);
	assert_int_equal(test_nb_fds(), nb_fds);
}

static void
test_channel_that_is_no_socket(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();

	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_BACKEND_REQ_FD, peer->kick[0]),
			-ENOTSOCK);
	assert_int_equal(vhost_pci_session_channel_fd(peer->session), -1);
	assert_int_equal(test_nb_fds(), nb_fds);
}

static void
test_request_without_a_channel(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg reply;

	assert_int_equal(send_call(peer, 0), -ENOTCONN);
	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &reply), -ENOTCONN);
}

static void
test_request_arrives(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_hdr hdr;

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(send_call(peer, 0), 0);
	assert_int_equal(read(ends[0], &hdr, sizeof(hdr)), sizeof(hdr));
	assert_int_equal(hdr.request, VHOST_USER_BACKEND_VRING_CALL);
	assert_int_equal(hdr.flags, VHOST_USER_VERSION);
	assert_int_equal(hdr.size, 8);
}

static void
test_answer_is_awaited_once(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg reply;

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(send_call(peer, VHOST_USER_NEED_REPLY), 0);
	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &reply), -EAGAIN);
	assert_int_equal(send_call(peer, 0), -EBUSY);
	write_reply(VHOST_USER_BACKEND_VRING_CALL, VHOST_USER_VERSION | VHOST_USER_REPLY, 8);
	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &reply), 1);
	assert_int_equal(reply.payload.u64, 0);
	assert_int_equal(send_call(peer, 0), 0);
}

static void
test_main_channel_goes_on_while_an_answer_is_awaited(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(send_call(peer, VHOST_USER_NEED_REPLY), 0);
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_FEATURES), 1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

/** A bad answer costs the channel and nothing else. */
static void
assert_channel_lost(struct session_peer *peer, int error)
{
	struct vhost_pci_msg reply;

	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &reply), error);
	assert_int_equal(vhost_pci_session_channel_fd(peer->session), -1);
	assert_true(peer->ready);
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_FEATURES), 1);
}

static void
test_answer_to_nothing(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	write_reply(VHOST_USER_BACKEND_VRING_CALL, VHOST_USER_VERSION | VHOST_USER_REPLY, 8);
	assert_channel_lost(peer, -EPROTO);
}

static void
test_answer_to_something_else(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(send_call(peer, VHOST_USER_NEED_REPLY), 0);
	write_reply(VHOST_USER_BACKEND_IOTLB_MSG, VHOST_USER_VERSION | VHOST_USER_REPLY, 8);
	assert_channel_lost(peer, -EPROTO);
}

static void
test_request_where_an_answer_is_due(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(send_call(peer, VHOST_USER_NEED_REPLY), 0);
	write_reply(VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0);
	assert_channel_lost(peer, -EPROTOTYPE);
}

static void
test_answer_of_a_wrong_size(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(send_call(peer, VHOST_USER_NEED_REPLY), 0);
	write_reply(VHOST_USER_BACKEND_VRING_CALL, VHOST_USER_VERSION | VHOST_USER_REPLY, 16);
	assert_channel_lost(peer, -EMSGSIZE);
}

static void
test_dead_channel_is_noticed_at_a_receive(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	close(ends[0]);
	ends[0] = -1;
	assert_channel_lost(peer, -ENOTCONN);
}

static void
test_dead_channel_is_noticed_at_a_send(void **state)
{
	struct session_peer *peer = *state;

	peer_send_channel(peer, &ends[1]);
	close(ends[0]);
	ends[0] = -1;
	assert_int_equal(send_call(peer, 0), -EPIPE);
	assert_int_equal(vhost_pci_session_channel_fd(peer->session), -1);
	assert_true(peer->ready);
}

static void
test_channel_that_nobody_reads(void **state)
{
	struct session_peer *peer = *state;
	int ret;

	peer_send_channel(peer, &ends[1]);
	do {
		ret = send_call(peer, 0);
	} while (ret == 0);
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(vhost_pci_session_channel_fd(peer->session), -1);
	assert_true(peer->ready);
}

static void
test_request_of_the_wrong_direction(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = {
		.hdr = { VHOST_USER_GET_QUEUE_NUM, VHOST_USER_VERSION, 0 },
	};

	peer_send_channel(peer, &ends[1]);
	assert_int_equal(vhost_pci_session_channel_send(peer->session, &msg), -EOPNOTSUPP);
	assert_true(vhost_pci_session_channel_fd(peer->session) >= 0);
}

static void
test_reset_closes_the_channel(void **state)
{
	struct session_peer *peer = *state;
	char byte;

	peer_send_channel(peer, &ends[1]);
	vhost_pci_session_reset(peer->session);
	assert_int_equal(vhost_pci_session_channel_fd(peer->session), -1);
	assert_int_equal(read(ends[0], &byte, 1), 0);
}

#define CHANNEL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	CHANNEL_TEST(test_channel_has_an_fd_to_wait_on),
	CHANNEL_TEST(test_second_channel_closes_the_first),
	CHANNEL_TEST(test_channel_without_and_with_two_fds),
	CHANNEL_TEST(test_channel_that_is_no_socket),
	CHANNEL_TEST(test_request_without_a_channel),
	CHANNEL_TEST(test_request_arrives),
	CHANNEL_TEST(test_answer_is_awaited_once),
	CHANNEL_TEST(test_main_channel_goes_on_while_an_answer_is_awaited),
	CHANNEL_TEST(test_answer_to_nothing),
	CHANNEL_TEST(test_answer_to_something_else),
	CHANNEL_TEST(test_request_where_an_answer_is_due),
	CHANNEL_TEST(test_answer_of_a_wrong_size),
	CHANNEL_TEST(test_dead_channel_is_noticed_at_a_receive),
	CHANNEL_TEST(test_dead_channel_is_noticed_at_a_send),
	CHANNEL_TEST(test_channel_that_nobody_reads),
	CHANNEL_TEST(test_request_of_the_wrong_direction),
	CHANNEL_TEST(test_reset_closes_the_channel),
};

REGISTER_TEST_GROUP(session_channel_autotest, tests, NULL, NULL);
