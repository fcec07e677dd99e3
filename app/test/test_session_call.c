/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Calls that might be lost: one is sent when a ring and its call fd have come together. */

#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_ring.h"

/** Where a front-end has vring 1, which is split. */
static uint8_t *
ring_part(const struct session_peer *peer, uint64_t offset)
{
	return peer->memory + PEER_RING_BYTES + offset;
}

static uint64_t
nb_calls(const struct session_peer *peer, unsigned int index)
{
	return test_eventfd_read(peer->call[index]);
}

/** A front-end with the event index, the first queue pair started and enabled, without calls. */
static void
up_without_calls(struct session_peer *peer)
{
	unsigned int i;

	peer_negotiate(peer,
			PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1 |
					UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	assert_int_equal(peer_send_mem_table(peer), 0);
	for (i = 0; i < 2; i++) {
		peer_start_ring(peer, i);
		assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, i, -1), 0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
		nb_calls(peer, i);
		peer_vring(peer, i)->stats.notifications = 0;
	}
}

/** Send one packet through vring 1, as driver and as polling thread. */
static void
pass_packet(struct session_peer *peer)
{
	struct vring_desc *desc = (void *)ring_part(peer, 0);
	struct vring_avail *avail = (void *)ring_part(peer, PEER_AVAIL);
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	struct vhost_pci_chain chain;

	*desc = (struct vring_desc){ .addr = PEER_GPA, .len = 64 };
	avail->ring[avail->idx % PEER_RING_SIZE] = 0;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
	assert_int_equal(vhost_pci_vring_enter(vr), VHOST_PCI_VRING_ON);
	vhost_pci_ring_begin(vr);
	assert_int_equal(vhost_pci_ring_next(vr, &chain, VHOST_PCI_RING_SPLIT, VHOST_PCI_DEQUEUE),
			1);
	vhost_pci_ring_put(vr, &chain, 0, VHOST_PCI_RING_SPLIT);
	vhost_pci_ring_end(vr, VHOST_PCI_RING_SPLIT);
	vhost_pci_vring_leave(vr);
}

static void
test_call_fd_after_the_call_was_wanted(void **state)
{
	struct session_peer *peer = *state;

	up_without_calls(peer);
	pass_packet(peer);
	assert_int_equal(peer_vring(peer, 1)->stats.notifications, 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[1]), 0);
	assert_int_equal(nb_calls(peer, 1), 1);
	assert_int_equal(nb_calls(peer, 0), 0);
	assert_int_equal(peer_vring(peer, 1)->stats.notifications, 1);
	/* The driver has not moved its event: it wants no other. */
	pass_packet(peer);
	assert_int_equal(nb_calls(peer, 1), 0);
}

static void
test_call_after_the_start(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	for (i = 0; i < 2; i++)
		assert_int_equal(nb_calls(peer, i), 1);
	/* And after the next one. */
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(nb_calls(peer, 1), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_int_equal(nb_calls(peer, 1), 1);
}

static void
test_packed_ring_is_called_for_after_the_start(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer,
			PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1 |
					UINT64_C(1) << VIRTIO_F_RING_PACKED |
					UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 1);
	assert_int_equal(nb_calls(peer, 1), 1);
}

/* What else changes of a ring that runs is no reason to call. */
static void
test_no_second_call(void **state)
{
	struct session_peer *peer = *state;

	nb_calls(peer, 1);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_send_addr(peer, 1), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[2]), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_ERR, 1, peer->call[2]), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	vhost_pci_session_set_admin_up(peer->session, false);
	vhost_pci_session_set_admin_up(peer->session, true);
	assert_int_equal(nb_calls(peer, 1), 0);
	assert_int_equal(nb_calls(peer, 2), 0);
}

static void
test_driver_that_wants_no_calls(void **state)
{
	struct session_peer *peer = *state;
	struct vring_avail *avail = (void *)ring_part(peer, PEER_AVAIL);

	nb_calls(peer, 1);
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[1]), 0);
	assert_int_equal(nb_calls(peer, 1), 0);
}

/* "The back-end must not send notifications" for rings that are stopped or disabled. */
static void
test_stopped_ring(void **state)
{
	struct session_peer *peer = *state;

	nb_calls(peer, 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[1]), 0);
	assert_int_equal(nb_calls(peer, 1), 0);
}

static void
test_disabled_ring(void **state)
{
	struct session_peer *peer = *state;

	nb_calls(peer, 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 0, peer->call[0]), 0);
	assert_int_equal(nb_calls(peer, 0), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(nb_calls(peer, 0), 1);
}

static void
test_port_that_is_down(void **state)
{
	struct session_peer *peer = *state;

	nb_calls(peer, 1);
	vhost_pci_session_set_admin_up(peer->session, false);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[1]), 0);
	assert_int_equal(nb_calls(peer, 1), 0);
	vhost_pci_session_set_admin_up(peer->session, true);
	assert_int_equal(nb_calls(peer, 1), 1);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	PEER_TEST(test_call_fd_after_the_call_was_wanted),
	UP_TEST(test_call_after_the_start),
	PEER_TEST(test_packed_ring_is_called_for_after_the_start),
	UP_TEST(test_no_second_call),
	UP_TEST(test_driver_that_wants_no_calls),
	UP_TEST(test_stopped_ring),
	UP_TEST(test_disabled_ring),
	UP_TEST(test_port_that_is_down),
};

REGISTER_TEST_GROUP(session_call_autotest, tests, NULL, NULL);
