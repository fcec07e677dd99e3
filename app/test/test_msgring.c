/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_msgring.h"

#include "test.h"

#define RING_BYTES      VHOST_PCI_ADAPTER_RING_BYTES_MIN
#define MSG_BYTES_LEAST VHOST_PCI_ADAPTER_MSG_BYTES_LEAST
#define MSG_BYTES_MAX   VHOST_PCI_ADAPTER_MSG_BYTES_MAX
#define PAYLOAD_MAX     sizeof(union vhost_user_payload)
#define FRAME_SIZE      sizeof(struct vhost_pci_adapter_frame)
#define SMALLEST        32 /* a frame without payload: 16 + 12, padded */

/** A ring between pages that nobody may touch: an access outside of it ends the test. */
struct fixture {
	uint8_t *map;
	size_t map_bytes;
	struct vhost_pci_adapter_ring_ctrl *ctrl;
	uint8_t *data;
	struct vhost_pci_msgring prod;
	struct vhost_pci_msgring cons;
};

static int
setup(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct fixture *f = test_calloc(1, sizeof(*f));

	f->map_bytes = 4 * page + RING_BYTES;
	f->map = mmap(NULL, f->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->map, MAP_FAILED);
	/* The control block is at the end of its page, the data fill theirs. */
	assert_int_equal(mprotect(f->map + page, page, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(mprotect(f->map + 3 * page, RING_BYTES, PROT_READ | PROT_WRITE), 0);
	f->ctrl = (void *)(f->map + 2 * page - sizeof(*f->ctrl));
	f->data = f->map + 3 * page;
	assert_int_equal(vhost_pci_msgring_init(&f->prod, f->ctrl, f->data, RING_BYTES,
					 MSG_BYTES_LEAST),
			0);
	f->cons = f->prod;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	munmap(f->map, f->map_bytes);
	test_free(f);
	return 0;
}

/** Both ends go on from an index that no one of them could reach in a test. */
static void
start_at(struct fixture *f, uint32_t idx)
{
	f->prod.own_idx = idx;
	f->cons.own_idx = idx;
	vhost_pci_store_relaxed(&f->ctrl->prod_idx, idx);
	vhost_pci_store_relaxed(&f->ctrl->cons_idx, idx);
}

static void
make_msg(struct vhost_pci_msg *msg, uint32_t id, uint32_t size)
{
	memset(msg, 0, sizeof(*msg));
	msg->hdr.request = id;
	msg->hdr.flags = VHOST_USER_VERSION;
	msg->hdr.size = size;
	for (uint32_t i = 0; i < size; i++)
		msg->payload.bytes[i] = (uint8_t)(id + i * 7);
}

static int
put(struct fixture *f, uint32_t id, uint32_t size)
{
	struct vhost_pci_msg msg;

	make_msg(&msg, id, size);
	return vhost_pci_msgring_enqueue(&f->prod, &msg, 0, id);
}

static int
get(struct fixture *f)
{
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;

	return vhost_pci_msgring_dequeue(&f->cons, &msg, &frame);
}

static void
expect_get(struct fixture *f, uint32_t id, uint32_t size)
{
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg want;
	struct vhost_pci_msg msg;

	make_msg(&want, id, size);
	assert_int_equal(vhost_pci_msgring_dequeue(&f->cons, &msg, &frame), 0);
	assert_int_equal(frame.conn_id, id);
	assert_int_equal(frame.msg_bytes, sizeof(msg.hdr) + size);
	assert_memory_equal(&msg.hdr, &want.hdr, sizeof(msg.hdr));
	assert_memory_equal(&msg.payload, &want.payload, size);
}

/** The next frame on the ring, for a test to spoil. */
static struct vhost_pci_adapter_frame *
next_frame(struct fixture *f)
{
	return (void *)(f->data + f->cons.own_idx % RING_BYTES);
}

/** The consumer reports the corruption once, and takes nothing from then on. */
static void
expect_broken_cons(struct fixture *f)
{
	assert_int_equal(get(f), -EPROTO);
	assert_int_equal(get(f), -EPIPE);
	assert_int_equal(get(f), -EPIPE);
}

/* [ADP-8.1], [ADP-15.5] */
static void
init_refuses_bad_geometry(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 0x2000, 0x3fff, 0x4001, 0x6000, 0x200000,
		UINT32_MAX };
	struct fixture *f = *state;
	struct vhost_pci_msgring ring;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_int_equal(vhost_pci_msgring_init(&ring, f->ctrl, f->data, sizes[i],
						 MSG_BYTES_LEAST),
				-EINVAL);
	assert_int_equal(vhost_pci_msgring_init(&ring, f->ctrl, f->data + 8, RING_BYTES,
					 MSG_BYTES_LEAST),
			-EINVAL);
	assert_int_equal(vhost_pci_msgring_init(&ring, (void *)((uint8_t *)f->ctrl + 4), f->data,
					 RING_BYTES, MSG_BYTES_LEAST),
			-EINVAL);
	assert_int_equal(vhost_pci_msgring_init(&ring, f->ctrl, f->data, RING_BYTES,
					 MSG_BYTES_LEAST - 1),
			-EINVAL);
	assert_int_equal(vhost_pci_msgring_init(&ring, f->ctrl, f->data, RING_BYTES,
					 MSG_BYTES_MAX + 1),
			-EINVAL);
	assert_int_equal(vhost_pci_msgring_init(&ring, f->ctrl, f->data,
					 VHOST_PCI_ADAPTER_RING_BYTES_MAX, MSG_BYTES_MAX),
			0);
}

static void
empty_ring_gives_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f), -EAGAIN);
	assert_int_equal(put(f, 1, 8), 0);
	expect_get(f, 1, 8);
	assert_int_equal(get(f), -EAGAIN);
}

/* Every size, which also puts the wrap at every word of a frame. */
static void
messages_of_every_size_pass(void **state)
{
	struct fixture *f = *state;

	for (uint32_t size = 0; size <= PAYLOAD_MAX; size++) {
		assert_int_equal(put(f, size, size), 0);
		expect_get(f, size, size);
	}
	assert_int_equal(get(f), -EAGAIN);
}

/* [ADP-8.3], [ADP-9.3]: flags, number of fds and connection id travel; fds do not. */
static void
frame_fields_travel(void **state)
{
	struct fixture *f = *state;
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;

	make_msg(&msg, VHOST_USER_SET_MEM_TABLE, 72);
	msg.nb_fds = VHOST_PCI_MSG_MAX_FDS;
	for (unsigned int i = 0; i < msg.nb_fds; i++)
		msg.fds[i] = 100 + (int)i;
	assert_int_equal(vhost_pci_msgring_enqueue(&f->prod, &msg,
					 VHOST_PCI_ADAPTER_FRAME_ANSWERED |
							 VHOST_PCI_ADAPTER_FRAME_REPLAY,
					 UINT64_C(0x123456789abcdef0)),
			0);
	assert_int_equal(msg.fds[7], 107);
	assert_int_equal(vhost_pci_msgring_dequeue(&f->cons, &msg, &frame), 0);
	assert_int_equal(frame.flags, 3);
	assert_int_equal(frame.nb_fds, VHOST_PCI_MSG_MAX_FDS);
	assert_int_equal(frame.conn_id, UINT64_C(0x123456789abcdef0));
	assert_int_equal(msg.nb_fds, VHOST_PCI_MSG_MAX_FDS);
	for (unsigned int i = 0; i < msg.nb_fds; i++)
		assert_int_equal(msg.fds[i], -1);
}

/* [ADP-8.2]: indexes wrap at 2^32, data at their size, and neither is seen. */
static void
indexes_wrap(void **state)
{
	struct fixture *f = *state;

	start_at(f, UINT32_MAX - RING_BYTES + 1 - 40);
	for (uint32_t id = 0; id < 200; id++) {
		assert_int_equal(put(f, id, id * 5), 0);
		assert_int_equal(put(f, id + 1000, 1), 0);
		expect_get(f, id, id * 5);
		expect_get(f, id + 1000, 1);
	}
	assert_true(f->ctrl->prod_idx < 0x80000000);
	assert_int_equal(f->ctrl->prod_idx, f->ctrl->cons_idx);
}

/* [ADP-8.8]: a full ring is full to the last byte, says so, and goes on when there is room. */
static void
full_ring_waits_for_room(void **state)
{
	struct fixture *f = *state;
	uint32_t nb_put = 0;

	start_at(f, 8 * 1000);
	while (put(f, nb_put, 0) == 0)
		nb_put++;
	assert_int_equal(nb_put, RING_BYTES / SMALLEST);
	assert_int_equal(put(f, 0, 0), -ENOSPC);
	expect_get(f, 0, 0);
	assert_int_equal(put(f, 0, 5), -ENOSPC);
	assert_int_equal(put(f, nb_put, 4), 0);
	assert_int_equal(put(f, 0, 0), -ENOSPC);
	for (uint32_t id = 1; id < nb_put; id++)
		expect_get(f, id, 0);
	expect_get(f, nb_put, 4);
	assert_int_equal(get(f), -EAGAIN);
}

static void
oversize_message_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vhost_pci_msg msg;

	make_msg(&msg, 1, 0);
	msg.hdr.size = PAYLOAD_MAX + 1;
	assert_int_equal(vhost_pci_msgring_enqueue(&f->prod, &msg, 0, 1), -EMSGSIZE);
	msg.hdr.size = UINT32_MAX;
	assert_int_equal(vhost_pci_msgring_enqueue(&f->prod, &msg, 0, 1), -EMSGSIZE);
	assert_int_equal(f->ctrl->prod_idx, 0);
	assert_int_equal(put(f, 2, 8), 0);
	expect_get(f, 2, 8);
}

/* A device may have larger messages than this program knows: they are dropped, the rest passes. */
static void
message_of_a_later_version_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct vhost_pci_adapter_frame frame = { .msg_bytes = 3000, .conn_id = 77 };
	struct vhost_pci_msg msg;

	assert_int_equal(vhost_pci_msgring_init(&f->cons, f->ctrl, f->data, RING_BYTES,
					 MSG_BYTES_MAX),
			0);
	memcpy(f->data, &frame, sizeof(frame));
	f->prod.own_idx = FRAME_SIZE + 3000;
	assert_int_equal(put(f, 5, 8), 0);
	assert_int_equal(vhost_pci_msgring_dequeue(&f->cons, &msg, &frame), -EMSGSIZE);
	assert_int_equal(frame.conn_id, 77);
	expect_get(f, 5, 8);
}

/* [ADP-5.7]: after a reset both ends start from an empty ring, whatever the state was. */
static void
reset_makes_the_ring_usable_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 8), 0);
	f->ctrl->prod_idx = 1;
	f->ctrl->cons_idx = 3;
	expect_broken_cons(f);
	assert_int_equal(put(f, 1, 8), -EPROTO);
	vhost_pci_msgring_clear(f->ctrl);
	assert_int_equal(vhost_pci_msgring_init(&f->prod, f->ctrl, f->data, RING_BYTES,
					 MSG_BYTES_LEAST),
			0);
	f->cons = f->prod;
	assert_int_equal(get(f), -EAGAIN);
	assert_int_equal(put(f, 2, 100), 0);
	expect_get(f, 2, 100);
}

/* [ADP-8.10], [ADP-8.12]: a producer's index that can't be. */
static void
corrupt_producer_index_breaks_the_consumer(void **state)
{
	static const uint32_t offsets[] = { 1, 4, 7, 8, RING_BYTES + 8, RING_BYTES * 2,
		UINT32_MAX - 7, UINT32_MAX, 0x80000000 };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		start_at(f, 4096);
		f->cons.broken = false;
		f->ctrl->prod_idx = 4096 + offsets[i];
		expect_broken_cons(f);
		assert_int_equal(f->ctrl->cons_idx, 4096);
	}
}

/* [ADP-8.10], [ADP-8.12]: a consumer's index that can't be. */
static void
corrupt_consumer_index_breaks_the_producer(void **state)
{
	static const uint32_t offsets[] = { 1, 4, 8, RING_BYTES, 0x80000000,
		UINT32_MAX - RING_BYTES - 7, UINT32_MAX };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		start_at(f, 4096);
		f->prod.broken = false;
		f->ctrl->cons_idx = 4096 + offsets[i];
		assert_int_equal(put(f, 1, 8), -EPROTO);
		assert_int_equal(put(f, 1, 8), -EPIPE);
		assert_int_equal(f->ctrl->prod_idx, 4096);
	}
}

/* [ADP-8.10]: lengths that are too short, too long, or beyond what is on the ring. */
static void
corrupt_length_breaks_the_consumer(void **state)
{
	static const uint32_t lengths[] = { 0, 11, 12 + 8 + 1, 12 + 8 + 8, MSG_BYTES_LEAST,
		MSG_BYTES_LEAST + 1, RING_BYTES, 0x7fffffff, UINT32_MAX - 15, UINT32_MAX };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		start_at(f, RING_BYTES - FRAME_SIZE);
		f->cons.broken = false;
		assert_int_equal(put(f, 1, 8), 0);
		next_frame(f)->msg_bytes = lengths[i];
		expect_broken_cons(f);
	}
}

/** Make the next frame say a length, and its message agree with it. */
static void
spoil_length(struct fixture *f, uint32_t msg_bytes)
{
	uint32_t size = msg_bytes - (uint32_t)sizeof(struct vhost_user_hdr);

	next_frame(f)->msg_bytes = msg_bytes;
	memcpy(f->data + (f->cons.own_idx + FRAME_SIZE) % RING_BYTES +
					offsetof(struct vhost_user_hdr, size),
			&size, sizeof(size));
}

/* The same where frame and message agree: neither below 0 nor beyond what was published. */
static void
consistent_lie_about_length_breaks_the_consumer(void **state)
{
	static const uint32_t lengths[] = { 0, 11, 12 + 12 + 1, 12 + 20, MSG_BYTES_LEAST,
		MSG_BYTES_LEAST + 1 };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		start_at(f, 1024);
		f->cons.broken = false;
		assert_int_equal(put(f, 1, 8), 0);
		spoil_length(f, lengths[i]);
		expect_broken_cons(f);
	}
}

static void
corrupt_number_of_fds_breaks_the_consumer(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, 1, 8), 0);
	next_frame(f)->nb_fds = VHOST_PCI_MSG_MAX_FDS + 1;
	expect_broken_cons(f);
}

/* [ADP-8.11] */
static void
corrupt_message_size_breaks_the_consumer(void **state)
{
	static const uint32_t sizes[] = { 0, 7, 9, PAYLOAD_MAX + 1, UINT32_MAX };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		start_at(f, 0);
		f->cons.broken = false;
		assert_int_equal(put(f, 1, 8), 0);
		memcpy(f->data + FRAME_SIZE + offsetof(struct vhost_user_hdr, size), &sizes[i],
				sizeof(sizes[i]));
		expect_broken_cons(f);
	}
}

/* A driver must not find on the ring what was on the device's stack. */
static void
padding_is_zero(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0xa5, RING_BYTES);
	for (uint32_t size = 0; size < 8; size++) {
		uint32_t end = f->prod.own_idx + FRAME_SIZE + sizeof(struct vhost_user_hdr) + size;

		assert_int_equal(put(f, 1, size), 0);
		for (; end < f->prod.own_idx; end++)
			assert_int_equal(f->data[end % RING_BYTES], 0);
		assert_int_equal(f->data[end % RING_BYTES], 0xa5);
	}
}

#define THREAD_MESSAGES 20000

static uint32_t
size_of(uint32_t id)
{
	return id * 2654435761u % (PAYLOAD_MAX + 1) >> (id % 4 * 2);
}

static void *
produce(void *arg)
{
	struct fixture *f = arg;
	unsigned int spins = 0;

	for (uint32_t id = 0; id < THREAD_MESSAGES; id++) {
		int ret;

		while ((ret = put(f, id, size_of(id))) == -ENOSPC)
			vhost_pci_relax(&spins);
		if (ret != 0)
			return NULL;
	}
	return f;
}

static void
two_threads_keep_order_and_contents(void **state)
{
	struct fixture *f = *state;
	unsigned int spins = 0;
	pthread_t thread;
	void *done;

	start_at(f, UINT32_MAX - 8 * RING_BYTES + 1);
	assert_int_equal(pthread_create(&thread, NULL, produce, f), 0);
	for (uint32_t id = 0; id < THREAD_MESSAGES; id++) {
		while (vhost_pci_load_acquire(&f->ctrl->prod_idx) == f->cons.own_idx)
			vhost_pci_relax(&spins);
		expect_get(f, id, size_of(id));
	}
	assert_int_equal(pthread_join(thread, &done), 0);
	assert_ptr_equal(done, f);
	assert_int_equal(get(f), -EAGAIN);
}

/** A peer that rewrites everything that is shared as fast as it can. */
struct attacker {
	struct fixture *f;
	uint32_t stop;
};

static void *
attack(void *arg)
{
	struct attacker *a = arg;
	uint64_t random = 88172645463325252u;

	while (vhost_pci_load_relaxed(&a->stop) == 0) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		vhost_pci_store_relaxed((vhost_pci_word64 *)(a->f->data +
							random % RING_BYTES / 8 * 8),
				random >> (random % 61));
		if (random % 16 == 0)
			vhost_pci_store_relaxed(&a->f->ctrl->prod_idx,
					(uint32_t)(random >> 32) % (2 * RING_BYTES) & ~7u);
		if (random % 16 == 1)
			vhost_pci_store_relaxed(&a->f->ctrl->cons_idx,
					(uint32_t)(random >> 40) % (2 * RING_BYTES) & ~7u);
	}
	return NULL;
}

/* Whatever the peer writes at whatever time: a result of the documented ones, and no more. */
static void
hostile_peer_does_no_harm(void **state)
{
	struct fixture *f = *state;
	struct attacker a = { .f = f };
	unsigned int nb_messages = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, attack, &a), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		struct vhost_pci_adapter_frame frame;
		struct vhost_pci_msg msg;
		int ret;

		f->prod.broken = false;
		f->cons.broken = false;
		start_at(f, i * 8);
		ret = put(f, i, size_of(i));
		assert_true(ret == 0 || ret == -ENOSPC || ret == -EPROTO);
		ret = vhost_pci_msgring_dequeue(&f->cons, &msg, &frame);
		assert_true(ret == 0 || ret == -EAGAIN || ret == -EPROTO);
		if (ret != 0)
			continue;
		nb_messages++;
		assert_true(msg.hdr.size <= PAYLOAD_MAX);
		assert_true(msg.nb_fds <= VHOST_PCI_MSG_MAX_FDS);
		assert_int_equal(frame.msg_bytes, sizeof(msg.hdr) + msg.hdr.size);
	}
	vhost_pci_store_relaxed(&a.stop, 1);
	pthread_join(thread, NULL);
	print_message("# %u messages passed the checks\n", nb_messages);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(init_refuses_bad_geometry),
	TEST(empty_ring_gives_nothing),
	TEST(messages_of_every_size_pass),
	TEST(frame_fields_travel),
	TEST(indexes_wrap),
	TEST(full_ring_waits_for_room),
	TEST(oversize_message_is_refused),
	TEST(message_of_a_later_version_is_dropped),
	TEST(reset_makes_the_ring_usable_again),
	TEST(corrupt_producer_index_breaks_the_consumer),
	TEST(corrupt_consumer_index_breaks_the_producer),
	TEST(corrupt_length_breaks_the_consumer),
	TEST(consistent_lie_about_length_breaks_the_consumer),
	TEST(corrupt_number_of_fds_breaks_the_consumer),
	TEST(corrupt_message_size_breaks_the_consumer),
	TEST(padding_is_zero),
	TEST(two_threads_keep_order_and_contents),
	TEST(hostile_peer_does_no_harm),
};

REGISTER_TEST_GROUP(msgring_autotest, tests, NULL, NULL);
