/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_notify_fd.h"

static void
test_kick_without_an_fd_starts_a_polled_ring(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, -1), 0);
	assert_int_equal(peer_vring(peer, 1)->kick_fd, -1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_second_kick_replaces_the_fd_alone(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	unsigned int nb_fds = test_nb_fds();

	vr->avail_idx = 5;
	vr->used_idx = 5;
	peer->watched_fd = vr->kick_fd;
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	/* Open while the owner was told, so that it could leave an epoll set; closed after that. */
	assert_true(peer->old_fd_open);
	assert_int_not_equal(vr->kick_fd, peer->watched_fd);
	assert_false(test_fd_is_open(peer->watched_fd));
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(vr->avail_idx, 5);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_second_call_replaces_the_fd_alone(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	unsigned int nb_fds = test_nb_fds();
	int old = vr->call.fd;

	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, peer->call[2]), 0);
	assert_int_not_equal(vr->call.fd, old);
	assert_false(test_fd_is_open(old));
	assert_int_equal(test_nb_fds(), nb_fds);
	test_eventfd_read(peer->call[2]);
	vhost_pci_notifier_signal(&vr->call);
	assert_int_equal(test_eventfd_read(peer->call[2]), 1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_no_call_fd_means_no_calls(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, -1), 0);
	assert_int_equal(peer_vring(peer, 1)->call.fd, -1);
}

static void
test_fds_are_made_non_blocking(void **state)
{
	struct session_peer *peer = *state;
	int fd = fcntl(peer->call[0], F_DUPFD_CLOEXEC, 0);

	fcntl(fd, F_SETFL, 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 0, fd), 0);
	assert_true(fcntl(peer_vring(peer, 0)->call.fd, F_GETFL) & O_NONBLOCK);
	fcntl(fd, F_SETFL, 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, fd), 0);
	assert_true(fcntl(peer_vring(peer, 0)->kick_fd, F_GETFL) & O_NONBLOCK);
	fcntl(fd, F_SETFL, 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_ERR, 0, fd), 0);
	assert_true(fcntl(peer_vring(peer, 0)->err.fd, F_GETFL) & O_NONBLOCK);
	close(fd);
}

static void
test_full_call_fd_does_not_block(void **state)
{
	struct session_peer *peer = *state;
	uint64_t full = UINT64_MAX - 1;

	test_eventfd_read(peer->call[1]);
	assert_int_equal(write(peer->call[1], &full, sizeof(full)), sizeof(full));
	vhost_pci_notifier_signal(&peer_vring(peer, 1)->call);
}

/** Fill an eventfd by the peer's own fd, and have whoever writes to it wait from now on. */
static void
fill_eventfd(int fd)
{
	const uint64_t full = UINT64_MAX - 1;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	test_eventfd_read(fd);
	/* Fails where a call came between: another time. */
	if (write(fd, &full, sizeof(full)) < 0)
		assert_int_equal(errno, EAGAIN);
	fcntl(fd, F_SETFL, 0);
}

/** The same for a pipe or a socket. */
static void
fill_stream(int fd)
{
	static const uint8_t bytes[4096];

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		continue;
	while (write(fd, bytes, 1) > 0)
		continue;
	fcntl(fd, F_SETFL, 0);
}

/** Fills its eventfd over and over. */
static void *
fill_always(void *arg)
{
	struct session_peer *peer = arg;

	while (vhost_pci_load_relaxed(&peer->stop) == 0) {
		fill_eventfd(peer->call[1]);
		vhost_pci_store_relaxed(&peer->nb_polled, peer->nb_polled + 1);
	}
	return NULL;
}

/* The open file is the front-end's too: it may clear O_NONBLOCK at any time, and fill it. */
static void
test_full_call_fd_without_o_nonblock_does_not_block(void **state)
{
	struct session_peer *peer = *state;
	const struct vhost_pci_notifier *call = &peer_vring(peer, 1)->call;
	unsigned int i;

	fill_eventfd(peer->call[1]);
	assert_false(fcntl(call->fd, F_GETFL) & O_NONBLOCK);
	/* More than there is room for in the kernel's table of completions. */
	for (i = 0; i < 2000; i++)
		vhost_pci_notifier_signal(call);
	/* Without O_NONBLOCK it is read to the last. */
	assert_true(test_eventfd_read(peer->call[1]) >= UINT64_MAX - 1);
	vhost_pci_notifier_signal(call);
	assert_int_equal(test_eventfd_read(peer->call[1]), 1);
}

static void
test_call_fd_that_is_filled_meanwhile(void **state)
{
	struct session_peer *peer = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fill_always, peer), 0);
	while (vhost_pci_load_relaxed(&peer->nb_polled) < 2000)
		vhost_pci_notifier_signal(&peer_vring(peer, 1)->call);
	vhost_pci_store_relaxed(&peer->stop, 1);
	pthread_join(thread, NULL);
}

static void
test_full_call_pipe_without_o_nonblock_does_not_block(void **state)
{
	struct session_peer *peer = *state;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, ends[1]), 0);
	fill_stream(ends[1]);
	vhost_pci_notifier_signal(&peer_vring(peer, 1)->call);
	close(ends[0]);
	close(ends[1]);
}

static void
test_full_call_socket_without_o_nonblock_does_not_block(void **state)
{
	struct session_peer *peer = *state;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, ends[1]), 0);
	fill_stream(ends[1]);
	vhost_pci_notifier_signal(&peer_vring(peer, 1)->call);
	close(ends[0]);
	close(ends[1]);
}

/* Whatever else poll() or write() may be called for, such as a timer, could wait or do harm. */
static void
test_other_files_are_no_notifiers(void **state)
{
	struct session_peer *peer = *state;
	const int fds[] = {
		epoll_create1(EPOLL_CLOEXEC),
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
		open("/dev/null", O_RDWR | O_CLOEXEC),
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	};
	uint32_t request;
	size_t i;

	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] < 0)
			continue;
		for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR;
				request++)
			assert_int_equal(peer_send_vring_fd(peer, request, 1, fds[i]), -EINVAL);
		close(fds[i]);
	}
}

static void
test_call_pipe_without_a_reader_raises_no_signal(void **state)
{
	struct session_peer *peer = *state;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, ends[1]), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_ERR, 1, ends[1]), 0);
	close(ends[0]);
	close(ends[1]);
	vhost_pci_notifier_signal(&peer_vring(peer, 1)->call);
	vhost_pci_notifier_signal(&peer_vring(peer, 1)->err);
}

static void
test_call_pipe_carries_8_bytes(void **state)
{
	struct session_peer *peer = *state;
	uint64_t value = 0;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, ends[1]), 0);
	vhost_pci_notifier_signal(&peer_vring(peer, 1)->call);
	assert_int_equal(read(ends[0], &value, sizeof(value)), sizeof(value));
	close(ends[0]);
	close(ends[1]);
}

/* Nobody reads kicks: the front-end would find its pipe full one day. */
static void
test_pipe_is_no_kick(void **state)
{
	struct session_peer *peer = *state;
	int kick_fd = peer_vring(peer, 1)->kick_fd;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, ends[0]), -EINVAL);
	assert_int_equal(peer_vring(peer, 1)->kick_fd, kick_fd);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	close(ends[0]);
	close(ends[1]);
}

static void
test_files_are_no_notifiers(void **state)
{
	struct session_peer *peer = *state;
	uint32_t request;

	for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR; request++)
		assert_int_equal(peer_send_vring_fd(peer, request, 1, peer->memory_fd), -EINVAL);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

/* What User Mode Linux takes for a pipe: 8 bytes a call, and no signal when its end is closed. */
static void
test_call_may_be_a_socket(void **state)
{
	struct session_peer *peer = *state;
	const struct vhost_pci_vring *vr = peer_vring(peer, 1);
	uint64_t value = 0;
	unsigned int i;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, sockets[0]),
			-EINVAL);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, 1, sockets[0]), 0);
	vhost_pci_notifier_signal(&vr->call);
	assert_int_equal(read(sockets[1], &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1);
	/* Full: returns all the same. */
	for (i = 0; i < 100000; i++)
		vhost_pci_notifier_signal(&vr->call);
	close(sockets[1]);
	vhost_pci_notifier_signal(&vr->call);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	close(sockets[0]);
}

static void
test_refused_sockets_are_closed_without_waiting(void **state)
{
	struct session_peer *peer = *state;
	int fd = test_lingering_socket();

	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, fd), -EINVAL);
	assert_false(test_socket_lingers(fd));
	close(fd);
}

static void
test_fd_index_beyond_the_last_vring(void **state)
{
	static const unsigned int indexes[] = { PEER_NB_VRINGS, 0xff };
	struct session_peer *peer = *state;
	uint32_t request;
	size_t i;

	for (request = VHOST_USER_SET_VRING_KICK; request <= VHOST_USER_SET_VRING_ERR; request++) {
		for (i = 0; i < 2; i++) {
			assert_int_equal(peer_send_vring_fd(peer, request, indexes[i],
							 peer->kick[0]),
					-EINVAL);
			assert_int_equal(peer_send_vring_fd(peer, request, indexes[i], -1),
					-EINVAL);
		}
	}
}

/** A thread that calls, and what it has to call by. */
struct caller {
	pthread_t thread;
	int fd;
	int nb_failed;
};

#define NB_CALLERS 4
#define NB_CALLS   50000

static void *
call_often(void *arg)
{
	struct caller *caller = arg;
	unsigned int i;

	for (i = 0; i < NB_CALLS; i++)
		caller->nb_failed += vhost_pci_notify_eventfd_signal(caller->fd) != 0;
	return NULL;
}

/* What the kernel signals by has room for so many; threads on several processors share it. */
static void
test_threads_that_call_at_once_lose_no_call(void **state)
{
	struct caller callers[NB_CALLERS] = { 0 };
	unsigned int i;

	(void)state;
	for (i = 0; i < NB_CALLERS; i++) {
		callers[i].fd = test_eventfd();
		assert_int_equal(vhost_pci_notify_fd_prepare(callers[i].fd), 0);
	}
	for (i = 0; i < NB_CALLERS; i++)
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]),
				0);
	for (i = 0; i < NB_CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].nb_failed, 0);
		assert_int_equal(test_eventfd_read(callers[i].fd), NB_CALLS);
		close(callers[i].fd);
	}
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	UP_TEST(test_kick_without_an_fd_starts_a_polled_ring),
	UP_TEST(test_second_kick_replaces_the_fd_alone),
	UP_TEST(test_second_call_replaces_the_fd_alone),
	UP_TEST(test_no_call_fd_means_no_calls),
	PEER_TEST(test_fds_are_made_non_blocking),
	UP_TEST(test_full_call_fd_does_not_block),
	UP_TEST(test_full_call_fd_without_o_nonblock_does_not_block),
	UP_TEST(test_call_fd_that_is_filled_meanwhile),
	UP_TEST(test_full_call_pipe_without_o_nonblock_does_not_block),
	UP_TEST(test_full_call_socket_without_o_nonblock_does_not_block),
	UP_TEST(test_other_files_are_no_notifiers),
	UP_TEST(test_call_pipe_without_a_reader_raises_no_signal),
	UP_TEST(test_call_pipe_carries_8_bytes),
	UP_TEST(test_pipe_is_no_kick),
	UP_TEST(test_files_are_no_notifiers),
	UP_TEST(test_call_may_be_a_socket),
	UP_TEST(test_refused_sockets_are_closed_without_waiting),
	PEER_TEST(test_fd_index_beyond_the_last_vring),
	cmocka_unit_test(test_threads_that_call_at_once_lose_no_call),
};

REGISTER_TEST_GROUP(session_notify_autotest, tests, NULL, NULL);
