/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* GET_INFLIGHT_FD and SET_INFLIGHT_FD: what is given, what is taken, and what it is good for when
 * a front-end connects again.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_inflight.h"
#include "vhost_pci_ring.h"

#define SPLIT  (PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1)
#define PACKED (SPLIT | UINT64_C(1) << VIRTIO_F_RING_PACKED)

/** Both indexes of a packed ring at slot 0, both wrap counters 1. */
#define PACKED_START 0x80008000u

/** GET_INFLIGHT_FD. Returns the fd, or what the session returned if that is negative. */
static int
get_fd(struct session_peer *peer, uint16_t nb_queues, uint16_t queue_size)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_GET_INFLIGHT_FD,
			sizeof(msg.payload.inflight));
	int ret;

	msg.payload.inflight.nb_queues = nb_queues;
	msg.payload.inflight.queue_size = queue_size;
	ret = peer_send(peer, &msg);
	if (ret < 0)
		return ret;
	assert_int_equal(ret, 1);
	assert_int_equal(peer->reply.nb_fds, 1);
	return peer->reply.fds[0];
}

/** SET_INFLIGHT_FD with what the last GET_INFLIGHT_FD said, changed as told. */
static int
set_fd(struct session_peer *peer, int fd, const struct vhost_user_inflight *inflight)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_INFLIGHT_FD,
			sizeof(msg.payload.inflight));

	msg.payload.inflight = *inflight;
	msg.fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	msg.nb_fds = 1;
	return peer_send(peer, &msg);
}

static void
start_ring(struct session_peer *peer, unsigned int index, uint32_t base)
{
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, index, PEER_RING_SIZE), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, index, base), 0);
	assert_int_equal(peer_send_addr(peer, index), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, index,
					 peer->kick[index]),
			0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
}

/** All that a front-end says until it is up, with areas for its queues. */
static void
connect_with(struct session_peer *peer, uint64_t features, int fd,
		const struct vhost_user_inflight *inflight)
{
	uint32_t base = features == PACKED ? PACKED_START : 0;

	peer_negotiate(peer, features);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(set_fd(peer, fd, inflight), 0);
	start_ring(peer, 0, base);
	start_ring(peer, 1, base);
}

static void
test_file_is_for_the_format(void **state)
{
	struct session_peer *peer = *state;
	struct stat status;
	int fd;

	peer_negotiate(peer, SPLIT);
	fd = get_fd(peer, PEER_NB_VRINGS, PEER_RING_SIZE);
	assert_int_equal(peer->reply.payload.inflight.nb_queues, PEER_NB_VRINGS);
	assert_int_equal(peer->reply.payload.inflight.queue_size, PEER_RING_SIZE);
	assert_int_equal(peer->reply.payload.inflight.mmap_offset, 0);
	assert_int_equal(peer->reply.payload.inflight.mmap_size,
			PEER_NB_VRINGS * vhost_pci_inflight_bytes(false, PEER_RING_SIZE));
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, peer->reply.payload.inflight.mmap_size);
	/* Nobody can take it away under a back-end. */
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, PACKED), 0);
	fd = get_fd(peer, 2, 255);
	assert_int_equal(peer->reply.payload.inflight.mmap_size,
			2 * vhost_pci_inflight_bytes(true, 255));
	close(fd);
}

static void
test_request_without_padding(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_GET_INFLIGHT_FD, 20);

	peer_negotiate(peer, SPLIT);
	msg.payload.inflight.nb_queues = 1;
	msg.payload.inflight.queue_size = 1;
	assert_int_equal(peer_send(peer, &msg), 1);
	assert_int_equal(peer->reply.hdr.size, 20);
	close(peer->reply.fds[0]);
}

static void
test_numbers_out_of_range(void **state)
{
	struct session_peer *peer = *state;
	const struct {
		uint16_t nb_queues, queue_size;
	} bad[] = {
		{ 0, 256 }, { 65535, 256 }, { PEER_NB_VRINGS + 1, 256 }, { 1, 0 },
		{ 1, 2 * PEER_MAX_QUEUE_SIZE }, { 1, 65535 }, { 1, 255 }, /* Split. */
	};
	struct vhost_user_inflight inflight = { .mmap_size = 0x100000 };
	int fd = test_memfd(0x100000, true);
	unsigned int i;

	peer_negotiate(peer, SPLIT);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(get_fd(peer, bad[i].nb_queues, bad[i].queue_size), -EINVAL);
		inflight.nb_queues = bad[i].nb_queues;
		inflight.queue_size = bad[i].queue_size;
		assert_int_equal(set_fd(peer, fd, &inflight), -EINVAL);
	}
	close(fd);
}

static void
test_file_out_of_range(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_inflight good, bad;
	int fd;

	peer_negotiate(peer, SPLIT);
	fd = get_fd(peer, 2, PEER_RING_SIZE);
	good = peer->reply.payload.inflight;
	bad = good;
	bad.mmap_size--;
	assert_int_equal(set_fd(peer, fd, &bad), -EINVAL);
	bad = good;
	bad.mmap_size += 4096;
	assert_int_equal(set_fd(peer, fd, &bad), -EINVAL);
	bad = good;
	bad.mmap_offset = UINT64_MAX - 4095;
	assert_int_equal(set_fd(peer, fd, &bad), -EINVAL);
	bad = good;
	bad.mmap_size = UINT64_MAX;
	assert_int_equal(set_fd(peer, fd, &bad), -EINVAL);
	assert_int_equal(set_fd(peer, fd, &good), 0);
	close(fd);
}

static void
test_needs_its_feature(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(get_fd(peer, 2, PEER_RING_SIZE), -EPROTO);
}

static void
test_not_while_a_ring_runs(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_inflight inflight;
	int fd = get_fd(peer, 2, PEER_RING_SIZE);

	inflight = peer->reply.payload.inflight;
	assert_int_equal(set_fd(peer, fd, &inflight), -EBUSY);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	close(fd);
}

static void
test_queue_size_changed_after(void **state)
{
	struct session_peer *peer = *state;
	int fd;

	peer_negotiate(peer, SPLIT);
	assert_int_equal(peer_send_mem_table(peer), 0);
	fd = get_fd(peer, 2, PEER_RING_SIZE / 2);
	assert_int_equal(set_fd(peer, fd, &peer->reply.payload.inflight), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, PEER_RING_SIZE), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(peer_send_addr(peer, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]),
			-EINVAL);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	close(fd);
}

static void
test_format_changed_after(void **state)
{
	struct session_peer *peer = *state;
	int fd;

	peer_negotiate(peer, SPLIT);
	assert_int_equal(peer_send_mem_table(peer), 0);
	fd = get_fd(peer, 2, PEER_RING_SIZE);
	assert_int_equal(set_fd(peer, fd, &peer->reply.payload.inflight), 0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, PACKED), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, PEER_RING_SIZE), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, PACKED_START), 0);
	assert_int_equal(peer_send_addr(peer, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]),
			-EINVAL);
	close(fd);
}

/** Offer a packet on vring 1: descriptor 7, or slot 0 with the id 7. */
static void
offer(struct session_peer *peer, bool is_packed)
{
	uint8_t *ring = peer->memory + PEER_RING_BYTES;

	if (is_packed) {
		struct vring_packed_desc *desc = (void *)ring;

		desc[0].addr = PEER_GPA;
		desc[0].len = 64;
		desc[0].id = 7;
		__atomic_store_n(&desc[0].flags, 1u << VRING_PACKED_DESC_F_AVAIL, __ATOMIC_RELEASE);
	} else {
		struct vring_avail *avail = (void *)(ring + PEER_AVAIL);

		((struct vring_desc *)(void *)ring)[7] = (struct vring_desc){ .addr = PEER_GPA,
			.len = 64 };
		avail->ring[0] = 7;
		__atomic_store_n(&avail->idx, 1, __ATOMIC_RELEASE);
	}
}

/** Take the packet, and return it where told. Returns what vhost_pci_ring_next() does. */
static int
take(struct session_peer *peer, bool give)
{
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	const unsigned int kind = vhost_pci_vring_kind(vr);
	struct vhost_pci_chain chain;
	int ret;

	assert_true(vr->tracked);
	assert_int_equal(vhost_pci_vring_enter(vr), VHOST_PCI_VRING_ON);
	vhost_pci_ring_begin(vr);
	ret = vhost_pci_ring_next(vr, &chain, kind, VHOST_PCI_DEQUEUE);
	if (ret == 1) {
		assert_int_equal(chain.id, 7);
		assert_int_equal(chain.len, 64);
		if (give)
			vhost_pci_ring_put(vr, &chain, 0, kind);
	}
	vhost_pci_ring_end(vr, kind);
	vhost_pci_vring_leave(vr);
	return ret;
}

/** A chain that was taken, and lost with its connection, is taken once more by the next. */
static void
check_taken_again(struct session_peer *peer, uint64_t features)
{
	struct vhost_user_inflight inflight;
	bool is_packed = features == PACKED;
	unsigned int i;
	int fd;

	peer_negotiate(peer, features);
	fd = get_fd(peer, 2, PEER_RING_SIZE);
	inflight = peer->reply.payload.inflight;
	connect_with(peer, features, fd, &inflight);
	assert_true(peer_vring(peer, 0)->tracked);
	offer(peer, is_packed);
	assert_int_equal(take(peer, false), 1);
	assert_int_equal(take(peer, false), 0);
	for (i = 0; i < 3; i++) {
		vhost_pci_session_reset(peer->session);
		assert_false(peer_vring(peer, 1)->tracked);
		connect_with(peer, features, fd, &inflight);
		assert_int_equal(take(peer, i > 0), i < 2);
		assert_int_equal(take(peer, false), 0);
	}
	close(fd);
}

static void
test_taken_again_split(void **state)
{
	check_taken_again(*state, SPLIT);
}

static void
test_taken_again_packed(void **state)
{
	check_taken_again(*state, PACKED);
}

static void
test_queue_without_an_area(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_inflight inflight;
	int fd;

	peer_negotiate(peer, SPLIT);
	fd = get_fd(peer, 1, PEER_RING_SIZE);
	inflight = peer->reply.payload.inflight;
	connect_with(peer, SPLIT, fd, &inflight);
	assert_true(peer_vring(peer, 0)->tracked);
	assert_false(peer_vring(peer, 1)->tracked);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	close(fd);
}

static void
test_new_memory_under_a_tracked_ring(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_inflight inflight;
	int fd;

	peer_negotiate(peer, SPLIT);
	fd = get_fd(peer, 2, PEER_RING_SIZE);
	inflight = peer->reply.payload.inflight;
	connect_with(peer, SPLIT, fd, &inflight);
	offer(peer, false);
	assert_int_equal(take(peer, false), 1);
	assert_int_equal(peer_send_mem_table(peer), 0);
	/* It is the same back-end: it still has the chain. */
	assert_int_equal(take(peer, false), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_null(peer_vring(peer, 1)->inflight);
	close(fd);
}

static void
test_repeated_messages_cost_nothing(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_inflight inflight;
	unsigned int nb_fds, nb_mappings, i;
	int fd, other;

	peer_negotiate(peer, SPLIT);
	fd = get_fd(peer, 2, PEER_RING_SIZE);
	inflight = peer->reply.payload.inflight;
	assert_int_equal(set_fd(peer, fd, &inflight), 0);
	nb_fds = test_nb_fds();
	nb_mappings = test_nb_mappings();
	for (i = 0; i < 100000; i++) {
		other = get_fd(peer, 1, 1);
		assert_int_equal(set_fd(peer, fd, &inflight), 0);
		close(other);
	}
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(test_nb_mappings(), nb_mappings);
	close(fd);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	PEER_TEST(test_file_is_for_the_format),
	PEER_TEST(test_request_without_padding),
	PEER_TEST(test_numbers_out_of_range),
	PEER_TEST(test_file_out_of_range),
	PEER_TEST(test_needs_its_feature),
	UP_TEST(test_not_while_a_ring_runs),
	PEER_TEST(test_queue_size_changed_after),
	PEER_TEST(test_format_changed_after),
	PEER_TEST(test_taken_again_split),
	PEER_TEST(test_taken_again_packed),
	PEER_TEST(test_queue_without_an_area),
	PEER_TEST(test_new_memory_under_a_tracked_ring),
	PEER_TEST(test_repeated_messages_cost_nothing),
};

REGISTER_TEST_GROUP(session_inflight_autotest, tests, NULL, NULL);
