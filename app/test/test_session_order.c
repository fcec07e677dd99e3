/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The messages of known front-ends in the order in which they were seen on the wire.
 */

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

#define MODERN        (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define STATUS_ACK    1
#define STATUS_DRIVER 3
#define STATUS_OK     0xf

/** GET_* and its answer. */
static uint64_t
get(struct session_peer *peer, uint32_t request)
{
	assert_int_equal(peer_send_none(peer, request), 1);
	return peer->reply.payload.u64;
}

static void
set(struct session_peer *peer, uint32_t request, uint64_t u64)
{
	assert_int_equal(peer_send_u64(peer, request, u64), 0);
}

static void
set_state(struct session_peer *peer, uint32_t request, uint32_t index, uint32_t num)
{
	assert_int_equal(peer_send_state(peer, request, index, num), 0);
}

static void
set_fd(struct session_peer *peer, uint32_t request, unsigned int index, int fd)
{
	assert_int_equal(peer_send_vring_fd(peer, request, index, fd), 0);
}

static uint32_t
stop(struct session_peer *peer, unsigned int index)
{
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, index, 0), 1);
	return peer->reply.payload.state.num;
}

static void
qemu_connects(struct session_peer *peer)
{
	int ends[2];
	unsigned int i;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	get(peer, VHOST_USER_GET_FEATURES);
	get(peer, VHOST_USER_GET_PROTOCOL_FEATURES);
	set(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN);
	assert_int_equal(get(peer, VHOST_USER_GET_QUEUE_NUM), 2);
	assert_int_equal(get(peer, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_BACKEND_REQ_FD, ends[1]), 0);
	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	get(peer, VHOST_USER_GET_FEATURES);
	for (i = 0; i < 2; i++) {
		set_fd(peer, VHOST_USER_SET_VRING_CALL, i, peer->call[i]);
		set_fd(peer, VHOST_USER_SET_VRING_ERR, i, peer->call[2]);
	}
	for (i = 0; i < 2; i++)
		set_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 1);
	close(ends[0]);
	close(ends[1]);
}

static void
qemu_driver_up(struct session_peer *peer, bool first, const uint32_t base[2])
{
	struct vhost_user_mem_region region = peer_region();
	unsigned int i;

	for (i = 0; i < 2; i++)
		set_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 1);
	set(peer, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL | MODERN);
	set(peer, VHOST_USER_SET_STATUS, 8 | get(peer, VHOST_USER_GET_STATUS));
	if (first)
		assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
	for (i = 0; i < 2; i++) {
		set_state(peer, VHOST_USER_SET_VRING_NUM, i, PEER_RING_SIZE);
		set_state(peer, VHOST_USER_SET_VRING_BASE, i, base[i]);
		assert_int_equal(peer_send_addr(peer, i), 0);
		set_fd(peer, VHOST_USER_SET_VRING_KICK, i, peer->kick[i]);
		set_fd(peer, VHOST_USER_SET_VRING_CALL, i, peer->call[i]);
	}
	set(peer, VHOST_USER_SET_STATUS, STATUS_OK | get(peer, VHOST_USER_GET_STATUS));
}

static void
qemu_driver_down(struct session_peer *peer, uint32_t base[2])
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		base[i] = stop(peer, i);
	set(peer, VHOST_USER_SET_STATUS, 0);
	for (i = 0; i < 2; i++)
		set_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 0);
}

static void
test_qemu_up_and_down_and_up(void **state)
{
	struct session_peer *peer = *state;
	uint32_t base[2] = { 0, 0 };

	qemu_connects(peer);
	assert_false(peer->ready);
	qemu_driver_up(peer, true, base);
	assert_true(peer->ready);
	qemu_driver_down(peer, base);
	assert_false(peer->ready);
	qemu_driver_up(peer, false, base);
	assert_true(peer->ready);
}

static void
test_qemu_with_two_queue_pairs_asks_twice(void **state)
{
	struct session_peer *peer = *state;

	qemu_connects(peer);
	get(peer, VHOST_USER_GET_FEATURES);
	get(peer, VHOST_USER_GET_PROTOCOL_FEATURES);
	set(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN);
	assert_int_equal(get(peer, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
	assert_true(vhost_pci_session_channel_fd(peer->session) >= 0);
}

static void
test_qemu_reconnects(void **state)
{
	struct session_peer *peer = *state;
	uint32_t base[2] = { 0, 0 };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		qemu_connects(peer);
		qemu_driver_up(peer, true, base);
		assert_true(peer->ready);
		vhost_pci_session_reset(peer->session);
		assert_false(peer->ready);
	}
	assert_int_equal(vhost_pci_session_stats(peer->session)->connections, 3);
	assert_int_equal(vhost_pci_session_stats(peer->session)->rejected, 0);
}

static void
virtio_user_connects(struct session_peer *peer)
{
	unsigned int i;

	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	get(peer, VHOST_USER_GET_FEATURES);
	get(peer, VHOST_USER_GET_PROTOCOL_FEATURES);
	set(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN);
	for (i = 0; i < 2; i++)
		set_fd(peer, VHOST_USER_SET_VRING_CALL, i, peer->call[i]);
	set(peer, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL | MODERN);
	set(peer, VHOST_USER_SET_STATUS, STATUS_ACK);
	get(peer, VHOST_USER_GET_STATUS);
	get(peer, VHOST_USER_GET_STATUS);
}

static void
virtio_user_starts(struct session_peer *peer)
{
	unsigned int i;

	assert_int_equal(peer_send_mem_table(peer), 0);
	for (i = 0; i < 2; i++) {
		set_state(peer, VHOST_USER_SET_VRING_NUM, i, PEER_RING_SIZE);
		set_state(peer, VHOST_USER_SET_VRING_BASE, i, 0);
		assert_int_equal(peer_send_addr(peer, i), 0);
		set_fd(peer, VHOST_USER_SET_VRING_KICK, i, peer->kick[i]);
	}
	for (i = 0; i < 2; i++)
		set_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 1);
	set(peer, VHOST_USER_SET_STATUS, STATUS_OK);
}

static void
test_virtio_user_starts(void **state)
{
	struct session_peer *peer = *state;

	virtio_user_connects(peer);
	virtio_user_starts(peer);
	assert_true(peer->ready);
	/* The calls of the first seconds are still those that are used. */
	assert_true(peer_vring(peer, 0)->call.fd >= 0);
	assert_true(peer_vring(peer, 1)->call.fd >= 0);
}

static void
test_virtio_user_resets_and_starts_again(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	virtio_user_connects(peer);
	virtio_user_starts(peer);
	for (i = 0; i < 2; i++)
		set_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 0);
	for (i = 0; i < 2; i++)
		stop(peer, i);
	set(peer, VHOST_USER_SET_STATUS, 0);
	set(peer, VHOST_USER_SET_STATUS, STATUS_DRIVER);
	set(peer, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL | MODERN);
	virtio_user_starts(peer);
	assert_true(peer->ready);
}

static void
test_front_end_of_2014(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	/* No protocol features, no enables, no status: ids 1 to 14 alone. */
	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	get(peer, VHOST_USER_GET_FEATURES);
	set(peer, VHOST_USER_SET_FEATURES, 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	for (i = 0; i < 2; i++) {
		set_state(peer, VHOST_USER_SET_VRING_NUM, i, PEER_RING_SIZE);
		set_state(peer, VHOST_USER_SET_VRING_BASE, i, 0);
		assert_int_equal(peer_send_addr(peer, i), 0);
		set_fd(peer, VHOST_USER_SET_VRING_KICK, i, peer->kick[i]);
		set_fd(peer, VHOST_USER_SET_VRING_CALL, i, peer->call[i]);
	}
	assert_true(peer->ready);
	assert_int_equal(peer_vring(peer, 0)->hdr_len, 10);
	assert_int_equal(peer_send_none(peer, VHOST_USER_RESET_OWNER), 0);
	assert_false(peer->ready);
}

static void
test_addresses_come_before_the_table_that_has_them(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region elsewhere = peer_region();

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	elsewhere.uva -= UINT64_C(1) << 32;
	elsewhere.gpa -= PEER_BYTES;
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &elsewhere), 0);
	set_state(peer, VHOST_USER_SET_VRING_NUM, 0, PEER_RING_SIZE);
	set_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0);
	assert_int_equal(peer_send_addr(peer, 0), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	set_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]);
	assert_non_null(peer_vring(peer, 0)->mem);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)

static const struct CMUnitTest tests[] = {
	PEER_TEST(test_qemu_up_and_down_and_up),
	PEER_TEST(test_qemu_with_two_queue_pairs_asks_twice),
	PEER_TEST(test_qemu_reconnects),
	PEER_TEST(test_virtio_user_starts),
	PEER_TEST(test_virtio_user_resets_and_starts_again),
	PEER_TEST(test_front_end_of_2014),
	PEER_TEST(test_addresses_come_before_the_table_that_has_them),
};

REGISTER_TEST_GROUP(session_order_autotest, tests, NULL, NULL);
