/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <fcntl.h>
#include <unistd.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

/** How often a message is repeated that must leave nothing behind. */
#define NB_REPETITIONS 100000

static void
test_vring_num_repeated(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();
	unsigned int i;

	for (i = 0; i < NB_REPETITIONS; i++)
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 3, 1u << i % 10),
				0);
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 2);
}

static void
test_log_base_repeated(void **state)
{
	struct session_peer *peer = *state;
	int log_fd = test_memfd(0x2000, true);
	unsigned int nb_fds = test_nb_fds();
	unsigned int i;

	for (i = 0; i < NB_REPETITIONS; i++) {
		struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_LOG_BASE, 16);

		msg.payload.log.size = 0x1000 + i % 0x1000;
		msg.fds[msg.nb_fds++] = fcntl(log_fd, F_DUPFD_CLOEXEC, 0);
		assert_int_equal(peer_send(peer, &msg), 1);
	}
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 3);
	close(log_fd);
}

static void
test_mem_table_repeated(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();
	unsigned int i;

	for (i = 0; i < NB_REPETITIONS; i++)
		assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 2);
	assert_true(peer->ready);
}

static void
test_vring_fds_repeated(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();
	uint32_t request;
	unsigned int i;

	for (i = 0; i < NB_REPETITIONS / 10; i++) {
		for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR;
				request++)
			assert_int_equal(peer_send_vring_fd(peer, request, 1, peer->kick[2]), 0);
	}
	/* One more: the first SET_VRING_ERR. */
	assert_int_equal(test_nb_fds(), nb_fds + 1);
}

#define UP_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	UP_TEST(test_vring_num_repeated),
	UP_TEST(test_log_base_repeated),
	UP_TEST(test_mem_table_repeated),
	UP_TEST(test_vring_fds_repeated),
};

REGISTER_TEST_GROUP(session_repeat_autotest, tests, NULL, NULL);
