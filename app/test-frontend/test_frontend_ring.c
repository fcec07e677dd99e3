/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "test_device.h"

#define BIT TFE_BIT

/* A ring, the device at its other side, and a page of data. */
struct bench {
	struct tfe_mem mem;
	struct tfe_ring ring;
	struct td_ring side;
	struct tfe_buf data;
};

static struct td_chain chain;

/* What chains carry along: the address of a number's place. */
static char cookies[70000];

static void
make(struct bench *b, uint64_t features, uint32_t size)
{
	const struct tfe_ring_conf conf = { .size = size, .features = features };

	assert_int_equal(tfe_mem_create(&b->mem, 16 << 20, 0), 0);
	assert_int_equal(tfe_ring_init(&b->ring, &b->mem, &conf), 0);
	assert_int_equal(tfe_mem_alloc(&b->mem, 0, 65536, 4096, &b->data), 0);
	td_init(&b->side, &b->ring, &b->mem);
}

static void
destroy(struct bench *b)
{
	tfe_ring_fini(&b->ring);
	tfe_mem_destroy(&b->mem);
}

/* The ring formats and orders each test is run with. */
static const uint64_t variants[] = {
	0,
	BIT(VIRTIO_RING_F_EVENT_IDX),
	BIT(VIRTIO_F_IN_ORDER),
	BIT(VIRTIO_F_RING_PACKED),
	BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_RING_F_EVENT_IDX),
	BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER),
};
#define NB_VARIANTS (sizeof(variants) / sizeof(variants[0]))

static int
add(struct bench *b, uint16_t nb_out, uint16_t nb_in, bool indirect, unsigned int cookie)
{
	struct tfe_seg segs[TD_SEGS];
	const struct tfe_chain c = {
		.segs = segs,
		.nb_out = nb_out,
		.nb_in = nb_in,
		.indirect = indirect,
		.cookie = &cookies[cookie],
	};

	for (unsigned int i = 0; i < (unsigned int)nb_out + nb_in && i < TD_SEGS; i++)
		segs[i] = (struct tfe_seg){ b->data.gpa + i * 64, i + 1 };
	return tfe_ring_add(&b->ring, &c);
}

/* One chain there and back. */
static void
round_trip(struct bench *b, uint16_t nb_out, uint16_t nb_in, bool indirect, unsigned int cookie)
{
	uint32_t len_bytes = nb_in > 0 ? nb_out + 1u : 0;
	struct tfe_used used;
	int id;

	id = add(b, nb_out, nb_in, indirect, cookie);
	assert_true(id >= 0);
	assert_int_equal(td_pop(&b->side, &chain), 0);
	tfe_ring_publish(&b->ring);
	assert_int_equal(td_pop(&b->side, &chain), 1);
	assert_int_equal(chain.id, id);
	assert_int_equal(chain.nb_segs, nb_out + nb_in);
	for (unsigned int i = 0; i < chain.nb_segs; i++) {
		assert_ptr_equal(chain.segs[i].va, (uint8_t *)b->data.va + i * 64);
		assert_int_equal(chain.segs[i].len_bytes, i + 1);
		assert_int_equal(chain.segs[i].writable, i >= nb_out);
	}
	assert_int_equal(tfe_ring_get_used(&b->ring, &used), 0);
	td_push(&b->side, &chain, len_bytes);
	assert_int_equal(tfe_ring_get_used(&b->ring, &used), 1);
	assert_ptr_equal(used.cookie, &cookies[cookie]);
	assert_int_equal(used.len_bytes, len_bytes);
	assert_int_equal(tfe_ring_get_used(&b->ring, &used), 0);
}

static void
test_chains_of_all_shapes_wrap_around(void **state)
{
	static const uint32_t sizes[] = { 8, 256 };

	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++)
		for (unsigned int s = 0; s < 2; s++) {
			struct bench b;

			make(&b, variants[v] | BIT(VIRTIO_RING_F_INDIRECT_DESC), sizes[s]);
			for (unsigned int i = 0; i < 3000; i++)
				round_trip(&b, i % 4, (i / 4) % 4 + (i % 4 == 0), i % 3 == 0, i);
			assert_int_equal(b.ring.nb_free, sizes[s]);
			destroy(&b);
		}
}

static void
test_packed_ring_of_any_size(void **state)
{
	struct bench b;

	(void)state;
	make(&b, BIT(VIRTIO_F_RING_PACKED), 7);
	for (unsigned int i = 0; i < 1000; i++)
		round_trip(&b, i % 3 + 1, i % 4, false, i);
	destroy(&b);
}

static void
test_split_index_wraps_at_16_bits(void **state)
{
	struct bench b;

	(void)state;
	make(&b, 0, 4);
	for (unsigned int i = 0; i < 70000; i++)
		round_trip(&b, 1, 0, false, i);
	destroy(&b);
}

static void
test_split_size_must_be_power_of_two(void **state)
{
	const struct tfe_ring_conf conf = { .size = 7 };
	struct tfe_ring ring;
	struct tfe_mem mem;

	(void)state;
	assert_int_equal(tfe_mem_create(&mem, 1 << 20, 0), 0);
	assert_int_equal(tfe_ring_init(&ring, &mem, &conf), -EINVAL);
	tfe_mem_destroy(&mem);
}

static void
test_full_ring_has_no_space_until_used(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct tfe_used used;
		struct bench b;

		make(&b, variants[v], 8);
		for (unsigned int i = 0; i < 4; i++)
			assert_true(add(&b, 1, 1, false, i) >= 0);
		assert_int_equal(add(&b, 1, 0, false, 9), -ENOSPC);
		tfe_ring_publish(&b.ring);
		assert_int_equal(td_pop(&b.side, &chain), 1);
		td_push(&b.side, &chain, 0);
		assert_int_equal(add(&b, 1, 0, false, 9), -ENOSPC);
		assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
		assert_true(add(&b, 2, 0, false, 9) >= 0);
		destroy(&b);
	}
}

static void
test_bad_chains_are_refused(void **state)
{
	struct bench b;

	(void)state;
	make(&b, BIT(VIRTIO_RING_F_INDIRECT_DESC), 256);
	assert_int_equal(add(&b, 0, 0, false, 0), -EINVAL);
	assert_int_equal(add(&b, TFE_RING_TABLE_DESCS + 1, 0, true, 0), -EINVAL);
	assert_true(add(&b, TFE_RING_TABLE_DESCS, 0, true, 0) >= 0);
	destroy(&b);
	make(&b, 0, 256);
	assert_int_equal(add(&b, 1, 0, true, 0), -ENOTSUP);
	destroy(&b);
}

static void
test_used_out_of_order_is_understood(void **state)
{
	static struct td_chain chains[8];

	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct tfe_used used;
		struct bench b;

		if (variants[v] & BIT(VIRTIO_F_IN_ORDER))
			continue;
		make(&b, variants[v], 16);
		for (unsigned int round = 0; round < 50; round++) {
			for (unsigned int i = 0; i < 5; i++)
				assert_true(add(&b, i % 3 + 1, 0, false, i) >= 0);
			tfe_ring_publish(&b.ring);
			for (unsigned int i = 0; i < 5; i++)
				assert_int_equal(td_pop(&b.side, &chains[i]), 1);
			for (unsigned int i = 0; i < 5; i++)
				td_push(&b.side, &chains[(i * 3 + round) % 5], 0);
			for (unsigned int i = 0; i < 5; i++) {
				assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
				assert_ptr_equal(used.cookie, &cookies[(i * 3 + round) % 5]);
			}
		}
		destroy(&b);
	}
}

static void
test_in_order_batch_stands_for_all(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct tfe_used used;
		struct bench b;

		if (!(variants[v] & BIT(VIRTIO_F_IN_ORDER)))
			continue;
		make(&b, variants[v], 16);
		for (unsigned int round = 0; round < 50; round++) {
			for (unsigned int i = 0; i < 5; i++)
				assert_true(add(&b, 0, 1, false, i) >= 0);
			tfe_ring_publish(&b.ring);
			for (unsigned int i = 0; i < 5; i++)
				assert_int_equal(td_pop(&b.side, &chain), 1);
			td_push_batch(&b.side, &chain, 5, 0);
			for (unsigned int i = 0; i < 5; i++) {
				assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
				assert_ptr_equal(used.cookie, &cookies[i]);
				/* Those skipped count as used completely. */
				assert_int_equal(used.len_bytes, i < 4 ? 1 : 0);
			}
			assert_int_equal(tfe_ring_get_used(&b.ring, &used), 0);
		}
		destroy(&b);
	}
}

/* Run one faulty device against every variant; "fault" is called with a popped chain. */
static void
expect_fault(void (*fault)(struct bench *b))
{
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct tfe_used used;
		struct bench b;

		make(&b, variants[v], 8);
		assert_true(add(&b, 1, 1, false, 1) >= 0);
		assert_true(add(&b, 1, 1, false, 2) >= 0);
		tfe_ring_publish(&b.ring);
		assert_int_equal(td_pop(&b.side, &chain), 1);
		fault(&b);
		while (tfe_ring_get_used(&b.ring, &used) > 0)
			;
		assert_int_equal(tfe_ring_get_used(&b.ring, &used), -EPROTO);
		assert_non_null(b.ring.error);
		destroy(&b);
	}
}

static void
use_unknown_id(struct bench *b)
{
	chain.id = 6;
	td_push(&b->side, &chain, 0);
}

static void
use_id_beyond_ring(struct bench *b)
{
	chain.id = 0x4321;
	td_push(&b->side, &chain, 0);
}

static void
use_twice(struct bench *b)
{
	td_push(&b->side, &chain, 0);
	td_push(&b->side, &chain, 0);
}

static void
use_too_long(struct bench *b)
{
	td_push(&b->side, &chain, 3);
}

static void
test_device_faults_are_noticed(void **state)
{
	(void)state;
	expect_fault(use_unknown_id);
	expect_fault(use_id_beyond_ring);
	expect_fault(use_twice);
	expect_fault(use_too_long);
}

static void
test_used_index_ahead_is_noticed(void **state)
{
	struct tfe_used used;
	struct bench b;

	(void)state;
	make(&b, 0, 8);
	assert_true(add(&b, 1, 0, false, 1) >= 0);
	tfe_ring_publish(&b.ring);
	b.ring.used->idx = 2;
	assert_int_equal(tfe_ring_get_used(&b.ring, &used), -EPROTO);
	destroy(&b);
}

static void
publish_one(struct bench *b)
{
	assert_true(add(b, 1, 0, false, 0) >= 0);
	tfe_ring_publish(&b->ring);
	assert_int_equal(tfe_ring_notify(&b->ring), 0);
	assert_int_equal(td_pop(&b->side, &chain), 1);
}

static void
test_kicks_follow_the_devices_wish(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct bench b;

		make(&b, variants[v], 256);
		/* A fresh ring is kicked. */
		publish_one(&b);
		assert_int_equal(b.ring.nb_kicks, 1);
		td_want_kicks(&b.side, false);
		for (unsigned int i = 0; i < 10; i++)
			publish_one(&b);
		assert_int_equal(b.ring.nb_kicks, 1);
		td_want_kicks(&b.side, true);
		publish_one(&b);
		assert_int_equal(b.ring.nb_kicks, 2);
		publish_one(&b);
		/* With an event index the wish was for one. */
		assert_int_equal(b.ring.nb_kicks, b.ring.event_idx ? 2 : 3);
		destroy(&b);
	}
}

static void
test_kick_events_hold_over_the_wrap(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct bench b;

		if (!(variants[v] & BIT(VIRTIO_RING_F_EVENT_IDX)))
			continue;
		make(&b, variants[v], 8);
		for (uint64_t i = 0; i < 1000; i++) {
			struct tfe_used used;

			td_want_kicks(&b.side, true);
			publish_one(&b);
			assert_int_equal(b.ring.nb_kicks, i + 1);
			td_push(&b.side, &chain, 0);
			assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
		}
		destroy(&b);
	}
}

static void
test_wait_is_ended_by_a_call(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct bench b;

		make(&b, variants[v], 8);
		for (unsigned int i = 0; i < 100; i++) {
			struct tfe_used used;

			publish_one(&b);
			assert_int_equal(tfe_ring_wait_used(&b.ring, 0), 0);
			td_push(&b.side, &chain, 0);
			assert_true(td_call(&b.side));
			assert_int_equal(tfe_ring_wait_used(&b.ring, 1000), 1);
			assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
		}
		destroy(&b);
	}
}

static void
test_unwanted_calls_are_not_made(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < NB_VARIANTS; v++) {
		struct bench b;

		make(&b, variants[v], 8);
		for (unsigned int i = 0; i < 100; i++) {
			struct tfe_used used;

			publish_one(&b);
			tfe_ring_want_calls(&b.ring, false);
			td_push(&b.side, &chain, 0);
			assert_false(td_call(&b.side));
			assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
		}
		destroy(&b);
	}
}

static void
test_base_follows_the_ring(void **state)
{
	struct tfe_used used;
	struct bench b;

	(void)state;
	make(&b, BIT(VIRTIO_F_RING_PACKED), 8);
	assert_true(tfe_ring_base(&b.ring) == 0x80008000);
	for (unsigned int i = 0; i < 9; i++) {
		publish_one(&b);
		td_push(&b.side, &chain, 0);
		assert_int_equal(tfe_ring_get_used(&b.ring, &used), 1);
	}
	assert_int_equal(tfe_ring_base(&b.ring), 0x00010001);
	destroy(&b);
}

static void
test_raw_descriptors_are_the_tests_own(void **state)
{
	struct bench b;

	(void)state;
	make(&b, 0, 8);
	tfe_split_put_desc(&b.ring, 3,
			&(struct vring_desc){ .addr = b.data.gpa,
					.len = 1,
					.flags = VRING_DESC_F_NEXT,
					.next = 77 });
	tfe_split_put_avail(&b.ring, 3);
	tfe_split_set_avail_idx(&b.ring, 1);
	assert_int_equal(td_pop(&b.side, &chain), -1);
	assert_string_equal(b.side.error, "next beyond the table");
	destroy(&b);
	make(&b, BIT(VIRTIO_F_RING_PACKED), 8);
	tfe_packed_put_desc(&b.ring, 0,
			&(struct vring_packed_desc){ .addr = 1,
					.len = 1,
					.flags = tfe_packed_avail_bits(&b.ring) });
	assert_int_equal(td_pop(&b.side, &chain), -1);
	assert_string_equal(b.side.error, "buffer outside of memory");
	destroy(&b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_chains_of_all_shapes_wrap_around),
	cmocka_unit_test(test_packed_ring_of_any_size),
	cmocka_unit_test(test_split_index_wraps_at_16_bits),
	cmocka_unit_test(test_split_size_must_be_power_of_two),
	cmocka_unit_test(test_full_ring_has_no_space_until_used),
	cmocka_unit_test(test_bad_chains_are_refused),
	cmocka_unit_test(test_used_out_of_order_is_understood),
	cmocka_unit_test(test_in_order_batch_stands_for_all),
	cmocka_unit_test(test_device_faults_are_noticed),
	cmocka_unit_test(test_used_index_ahead_is_noticed),
	cmocka_unit_test(test_kicks_follow_the_devices_wish),
	cmocka_unit_test(test_kick_events_hold_over_the_wrap),
	cmocka_unit_test(test_wait_is_ended_by_a_call),
	cmocka_unit_test(test_unwanted_calls_are_not_made),
	cmocka_unit_test(test_base_follows_the_ring),
	cmocka_unit_test(test_raw_descriptors_are_the_tests_own),
};

REGISTER_TEST_GROUP(frontend_ring_autotest, tests, NULL, NULL);
