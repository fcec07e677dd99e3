/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Front-ends that take their memory away, and seals that keep them from it. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_log.h"
#include "vhost_pci_ring.h"

/** Bytes of a log of dirty pages. */
#define LOG_BYTES 0x2000

/** Warnings that were logged. */
static unsigned int nb_warnings;
static char warning[256];

__attribute__((format(printf, 2, 0))) static void
sink(enum vhost_pci_log_level level, const char *format, va_list args)
{
	if (level != VHOST_PCI_LOG_WARNING)
		return;
	nb_warnings++;
	vsnprintf(warning, sizeof(warning), format, args);
}

/**
 * A front-end that can cut its memory short. Not in a fixture: cmocka has a handler of SIGBUS of
 * its own, which it installs once more between a fixture and its test.
 */
static void
up_unsealed(struct session_peer *peer)
{
	nb_warnings = 0;
	vhost_pci_log_set_sink(sink);
	peer_unseal(peer);
	peer_up(peer);
}

static int
teardown(void **state)
{
	vhost_pci_log_set_sink(NULL);
	return peer_teardown(state);
}

/** One burst of the polling thread. */
static void
poll_vring(struct session_peer *peer, unsigned int index)
{
	struct vhost_pci_vring *vr = peer_vring(peer, index);
	struct vhost_pci_chain chain;

	if (vhost_pci_vring_enter(vr) == VHOST_PCI_VRING_OFF)
		return;
	vhost_pci_ring_begin(vr);
	while (vhost_pci_ring_next(vr, &chain, VHOST_PCI_RING_SPLIT, VHOST_PCI_DEQUEUE) > 0)
		vhost_pci_ring_put(vr, &chain, 0, VHOST_PCI_RING_SPLIT);
	vhost_pci_ring_end(vr, VHOST_PCI_RING_SPLIT);
	vhost_pci_vring_leave(vr);
}

static int
send_log(struct session_peer *peer, int fd)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_LOG_BASE, sizeof(msg.payload.log));

	msg.payload.log.size = LOG_BYTES;
	msg.fds[0] = dup(fd);
	msg.nb_fds = 1;
	return peer_send(peer, &msg);
}

static void
test_truncated_memory_ends_the_connection(void **state)
{
	struct session_peer *peer = *state;
	const struct vhost_pci_session_stats *stats = vhost_pci_session_stats(peer->session);
	int wake_fd = test_eventfd();

	vhost_pci_session_set_wake(peer->session, wake_fd);
	up_unsealed(peer);
	poll_vring(peer, 1);
	assert_int_equal(vhost_pci_session_check(peer->session), 0);
	assert_int_equal(ftruncate(peer->memory_fd, 0), 0);
	nb_warnings = 0;
	poll_vring(peer, 1);
	assert_true(test_eventfd_read(wake_fd) > 0);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
	assert_int_equal(nb_warnings, 1);
	assert_non_null(strstr(warning, "test: the front-end's memory is gone"));
	assert_int_equal(stats->lost_memory, 1);
	/* The next one is nobody's worry. */
	vhost_pci_session_reset(peer->session);
	peer_unseal(peer);
	peer_up(peer);
	poll_vring(peer, 1);
	assert_int_equal(vhost_pci_session_check(peer->session), 0);
	assert_int_equal(test_eventfd_read(wake_fd), 0);
	vhost_pci_session_reset(peer->session);
	vhost_pci_session_set_wake(peer->session, -1);
	close(wake_fd);
}

/* Zeros where an avail index was look like a broken ring, which it is not. */
static void
test_vrings_of_lost_memory_are_not_blamed(void **state)
{
	struct session_peer *peer = *state;
	const struct vhost_pci_session_stats *stats = vhost_pci_session_stats(peer->session);

	up_unsealed(peer);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, 5000), 0);
	memcpy(peer->memory + PEER_RING_BYTES + PEER_AVAIL + 2, &(uint16_t){ 5000 }, 2);
	memcpy(peer->memory + PEER_RING_BYTES + PEER_USED + 2, &(uint16_t){ 5000 }, 2);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, -1), 0);
	poll_vring(peer, 1);
	assert_int_equal(peer_vring(peer, 1)->error, VHOST_PCI_VRING_OK);
	assert_int_equal(ftruncate(peer->memory_fd, 0), 0);
	nb_warnings = 0;
	poll_vring(peer, 1);
	assert_int_equal(peer_vring(peer, 1)->error, VHOST_PCI_VRING_E_AVAIL_IDX);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
	assert_int_equal(nb_warnings, 1);
	assert_int_equal(stats->lost_memory, 1);
	assert_int_equal(stats->broken_vrings, 0);
}

/* Control reads the used index of a ring that starts. */
static void
test_memory_that_is_gone_before_a_ring_starts(void **state)
{
	struct session_peer *peer = *state;

	up_unsealed(peer);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(ftruncate(peer->memory_fd, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, -1), 0);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
}

static void
test_memory_that_can_be_cut_short_is_warned_of_once(void **state)
{
	struct session_peer *peer = *state;

	up_unsealed(peer);
	assert_int_equal(nb_warnings, 1);
	assert_non_null(strstr(warning, "F_SEAL_SHRINK"));
	assert_int_equal(peer_send_mem_table(peer), 0);
	vhost_pci_session_reset(peer->session);
	peer_up(peer);
	assert_int_equal(nb_warnings, 1);
}

static void
test_sealed_memory_is_not_warned_of(void **state)
{
	struct session_peer *peer = *state;

	nb_warnings = 0;
	vhost_pci_log_set_sink(sink);
	peer_up(peer);
	assert_int_equal(nb_warnings, 0);
}

static void
test_required_seals(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	unsigned int nb_mappings;
	int fd;

	peer_negotiate(peer, PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1);
	peer_unseal(peer);
	nb_mappings = test_nb_mappings();
	assert_int_equal(peer_send_mem_table(peer), -EPERM);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), -EPERM);
	fd = test_memfd(LOG_BYTES, false);
	assert_int_equal(send_log(peer, fd), -EPERM);
	close(fd);
	assert_int_equal(test_nb_mappings(), nb_mappings);
	fd = test_memfd(LOG_BYTES, true);
	assert_true(send_log(peer, fd) >= 0);
	close(fd);
}

static void
test_required_seals_are_there(void **state)
{
	peer_up(*state);
}

#define PEER_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup, teardown)
#define SEALED_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup_require_seals, teardown)

static const struct CMUnitTest tests[] = {
	PEER_TEST(test_truncated_memory_ends_the_connection),
	PEER_TEST(test_vrings_of_lost_memory_are_not_blamed),
	PEER_TEST(test_memory_that_is_gone_before_a_ring_starts),
	PEER_TEST(test_memory_that_can_be_cut_short_is_warned_of_once),
	PEER_TEST(test_sealed_memory_is_not_warned_of),
	SEALED_TEST(test_required_seals),
	SEALED_TEST(test_required_seals_are_there),
};

REGISTER_TEST_GROUP(session_lost_memory_autotest, tests, NULL, NULL);
