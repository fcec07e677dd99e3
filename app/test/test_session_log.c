/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The dirty log of a session: when it is written to, by which rings, and which file it is. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_ring.h"

#define PAGE UINT64_C(4096)

/** The log covers all memory, and is not at its file's beginning. */
#define LOG_BYTES  ((PEER_GPA + PEER_BYTES) / PAGE / 8)
#define LOG_OFFSET UINT64_C(0x2000)

/** Where the buffers are, and where the used ring is said to be. */
#define BUF_GPA  (PEER_GPA + PEER_BYTES - 2 * PAGE)
#define USED_GPA (BUF_GPA + PAGE)

#define FEATURES (PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1)
#define LOG_ALL  (UINT64_C(1) << VHOST_F_LOG_ALL)

static int
send_log(struct session_peer *peer, int fd, uint64_t bytes)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_LOG_BASE, sizeof(msg.payload.log));

	msg.payload.log.size = bytes;
	msg.payload.log.mmap_offset = LOG_OFFSET;
	msg.fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	msg.nb_fds = 1;
	return peer_send(peer, &msg);
}

/** SET_VRING_ADDR of vring 0, with VHOST_VRING_F_LOG. */
static int
send_log_addr(struct session_peer *peer, uint64_t gpa)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR,
			sizeof(struct vhost_vring_addr));

	msg.payload.addr.flags = 1u << VHOST_VRING_F_LOG;
	msg.payload.addr.desc_user_addr = PEER_UVA;
	msg.payload.addr.avail_user_addr = PEER_UVA + PEER_AVAIL;
	msg.payload.addr.used_user_addr = PEER_UVA + PEER_USED;
	msg.payload.addr.log_guest_addr = gpa;
	return peer_send(peer, &msg);
}

/** A new log, in force. */
static int
make_log(struct session_peer *peer)
{
	int fd = test_memfd(LOG_OFFSET + LOG_BYTES, true);

	assert_int_equal(send_log(peer, fd, LOG_BYTES), 1);
	assert_int_equal(peer->reply.payload.u64, 0);
	return fd;
}

/** Whether a page is marked in a log's file, which is then cleared. */
static bool
take_mark(int fd, uint64_t gpa)
{
	off_t offset = (off_t)(LOG_OFFSET + gpa / PAGE / 8);
	uint8_t bit = (uint8_t)(1u << gpa / PAGE % 8);
	uint8_t bits, cleared;

	assert_int_equal(pread(fd, &bits, 1, offset), 1);
	cleared = bits & (uint8_t)~bit;
	assert_int_equal(pwrite(fd, &cleared, 1, offset), 1);
	return (bits & bit) != 0;
}

/** Nothing is marked in a log's file, nor written beside it. */
static void
check_clean(int fd)
{
	uint8_t bytes[256];
	off_t offset = 0;
	ssize_t nb, i;

	while ((nb = pread(fd, bytes, sizeof(bytes), offset)) > 0) {
		for (i = 0; i < nb; i++)
			assert_int_equal(bytes[i], 0);
		offset += nb;
	}
	assert_int_equal(offset, LOG_OFFSET + LOG_BYTES);
}

/** Pass one packet to the front-end through vring 0, which is split. */
static void
pass_packet(struct session_peer *peer)
{
	struct vring_desc *desc = (void *)peer->memory;
	struct vring_avail *avail = (void *)(peer->memory + PEER_AVAIL);
	struct vhost_pci_vring *vr = peer_vring(peer, 0);
	const unsigned int kind = vhost_pci_vring_kind(vr);
	struct vhost_pci_chain chain = { 0 };

	*desc = (struct vring_desc){ .addr = BUF_GPA, .len = 64, .flags = VRING_DESC_F_WRITE };
	avail->ring[avail->idx % PEER_RING_SIZE] = 0;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_RELEASE);
	assert_int_equal(vhost_pci_vring_enter(vr), VHOST_PCI_VRING_ON);
	vhost_pci_ring_begin(vr);
	assert_int_equal(vhost_pci_ring_next(vr, &chain, kind, VHOST_PCI_ENQUEUE), 1);
	vhost_pci_ring_put(vr, &chain, 64, kind);
	vhost_pci_ring_end(vr, kind);
	vhost_pci_vring_leave(vr);
}

static void
set_features(struct session_peer *peer, uint64_t features)
{
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, features), 0);
}

static void
test_logged_while_log_all_is_set(void **state)
{
	struct session_peer *peer = *state;
	int fd = make_log(peer);

	pass_packet(peer);
	check_clean(fd);
	set_features(peer, FEATURES | LOG_ALL);
	assert_true(peer_vring(peer, 0)->tracked);
	pass_packet(peer);
	assert_true(take_mark(fd, BUF_GPA));
	check_clean(fd);
	set_features(peer, FEATURES);
	assert_false(peer_vring(peer, 0)->tracked);
	pass_packet(peer);
	check_clean(fd);
	close(fd);
}

static void
test_log_base_after_log_all(void **state)
{
	struct session_peer *peer = *state;
	int fd;

	set_features(peer, FEATURES | LOG_ALL);
	pass_packet(peer);
	fd = make_log(peer);
	check_clean(fd);
	pass_packet(peer);
	assert_true(take_mark(fd, BUF_GPA));
	close(fd);
}

static void
test_used_ring_is_logged_where_told(void **state)
{
	struct session_peer *peer = *state;
	int fd = make_log(peer);

	set_features(peer, FEATURES | LOG_ALL);
	assert_int_equal(send_log_addr(peer, USED_GPA), 0);
	/* To ask for no kicks, or for some, is a write as well. */
	take_mark(fd, USED_GPA);
	pass_packet(peer);
	assert_true(take_mark(fd, BUF_GPA));
	assert_true(take_mark(fd, USED_GPA));
	check_clean(fd);
	/* Without VHOST_VRING_F_LOG again. */
	assert_int_equal(peer_send_addr(peer, 0), 0);
	pass_packet(peer);
	assert_true(take_mark(fd, BUF_GPA));
	check_clean(fd);
	close(fd);
}

static void
test_log_address_out_of_range(void **state)
{
	struct session_peer *peer = *state;
	const uint64_t used_bytes = 6 + 8 * PEER_RING_SIZE;
	const uint64_t end = LOG_BYTES * 8 * PAGE;
	int fd;

	/* It wraps, whatever log there will be. */
	assert_int_equal(send_log_addr(peer, UINT64_MAX - used_bytes + 1), -EINVAL);
	fd = make_log(peer);
	assert_int_equal(send_log_addr(peer, end - used_bytes), 0);
	assert_int_equal(send_log_addr(peer, end - used_bytes + 1), -EINVAL);
	assert_int_equal(send_log_addr(peer, UINT64_MAX / 2), -EINVAL);
	assert_int_equal(peer_vring(peer, 0)->log_gpa, end - used_bytes);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	close(fd);
}

static void
test_log_too_short_is_survived(void **state)
{
	struct session_peer *peer = *state;
	int fd = test_memfd(LOG_OFFSET + LOG_BYTES, true);

	set_features(peer, FEATURES | LOG_ALL);
	assert_int_equal(send_log(peer, fd, 1), 1);
	pass_packet(peer);
	check_clean(fd);
	assert_int_equal(peer_vring(peer, 0)->stats.log_beyond, 1);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	close(fd);
}

static void
test_replaced_log_is_let_go(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_mappings;
	int old_fd = make_log(peer);
	int fd;

	set_features(peer, FEATURES | LOG_ALL);
	nb_mappings = test_nb_mappings();
	fd = make_log(peer);
	assert_int_equal(test_nb_mappings(), nb_mappings);
	pass_packet(peer);
	check_clean(old_fd);
	assert_true(take_mark(fd, BUF_GPA));
	close(old_fd);
	close(fd);
}

static void
test_log_fd_is_signalled(void **state)
{
	struct session_peer *peer = *state;
	int fd = make_log(peer);
	int old = test_eventfd();
	int event = test_eventfd();

	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_LOG_FD, old), 0);
	pass_packet(peer);
	assert_int_equal(test_eventfd_read(old), 0);
	set_features(peer, FEATURES | LOG_ALL);
	pass_packet(peer);
	assert_int_equal(test_eventfd_read(old), 1);
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_LOG_FD, event), 0);
	pass_packet(peer);
	assert_int_equal(test_eventfd_read(old), 0);
	assert_int_equal(test_eventfd_read(event), 1);
	close(fd);
	close(old);
	close(event);
}

static void
test_only_log_all_changes_while_running(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES,
					 FEATURES | LOG_ALL |
							 UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
			-EBUSY);
	assert_int_equal(vhost_pci_session_features(peer->session), FEATURES);
	assert_false(peer_vring(peer, 0)->tracked);
}

static void
test_stopped_ring_logs_nothing(void **state)
{
	struct session_peer *peer = *state;
	int fd = make_log(peer);

	set_features(peer, FEATURES | LOG_ALL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 0, 0), 1);
	assert_null(peer_vring(peer, 0)->dirty.log);
	check_clean(fd);
	close(fd);
}

#define UP_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	UP_TEST(test_logged_while_log_all_is_set),
	UP_TEST(test_log_base_after_log_all),
	UP_TEST(test_used_ring_is_logged_where_told),
	UP_TEST(test_log_address_out_of_range),
	UP_TEST(test_log_too_short_is_survived),
	UP_TEST(test_replaced_log_is_let_go),
	UP_TEST(test_log_fd_is_signalled),
	UP_TEST(test_only_log_all_changes_while_running),
	UP_TEST(test_stopped_ring_logs_nothing),
};

REGISTER_TEST_GROUP(session_log_autotest, tests, NULL, NULL);
