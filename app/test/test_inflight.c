/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Chains under way as they are written down (vhost-user, "Inflight I/O tracking"), and what a
 * back-end makes of what another one, or a hostile peer, has left.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inflight_area.h"
#include "ring_driver.h"
#include "test.h"
#include "vhost_pci_inflight.h"

/** A back-end dies: all that it knew by itself is gone, the vring stops where it is. */
static void
die(struct ring *ring)
{
	vhost_pci_vring_pause(ring->vr);
	vhost_pci_inflight_close(ring->vr);
	ring->vr->nb_unflushed = 0;
}

/** Another one begins; a packed front-end knows no better base than that of the start. */
static int
begin(struct ring *ring, struct inflight_area *area)
{
	return inflight_begin(ring, area, ring->is_packed ? RING_PACKED_START : ring->used->idx);
}

static void
open_both(struct ring *ring, struct inflight_area *area, const void *conf)
{
	ring_open(ring, conf);
	inflight_area_open(area, ring->is_packed, ring->size);
	assert_int_equal(begin(ring, area), 0);
}

static void
close_both(struct ring *ring, struct inflight_area *area)
{
	ring_close(ring);
	inflight_area_close(area);
}

/** Offer a chain of some buffers, the first of which has this length. Returns its id. */
static uint16_t
offer(struct ring *ring, uint16_t nb, uint32_t len)
{
	const struct ring_buf bufs[4] = {
		{ RING_LOW_GPA, len },
		{ RING_HIGH_GPA, 64 },
		{ RING_FAR_GPA, 64 },
		{ RING_FAR_GPA + 4096, 64 },
	};
	const struct ring_offer chain = { .bufs = bufs, .nb_direct = nb };
	int id = ring_offer(ring, &chain);

	assert_true(id >= 0);
	ring_publish(ring);
	return (uint16_t)id;
}

static struct vhost_pci_chain
take(struct ring *ring)
{
	struct vhost_pci_chain chain = { 0 };

	assert_int_equal(ring_next(ring, &chain, VHOST_PCI_DEQUEUE), 1);
	return chain;
}

static void
give(struct ring *ring, const struct vhost_pci_chain *chain)
{
	ring_put(ring, chain, 0);
	ring_end(ring);
}

/** The driver gets this chain back, and no other. */
static void
check_used(struct ring *ring, uint16_t id)
{
	uint32_t used_id, len;

	assert_true(ring_get_used(ring, &used_id, &len));
	assert_int_equal(used_id, id);
}

static void
check_nothing_used(struct ring *ring)
{
	uint32_t id, len;

	assert_false(ring_get_used(ring, &id, &len));
}

static void
test_layout_split(void **state)
{
	struct vhost_user_inflight_split *split;
	struct vhost_pci_chain chain[2];
	struct inflight_area area;
	struct ring ring;
	uint16_t id[2];

	(void)state;
	open_both(&ring, &area, &ring_split_conf);
	split = area.split;
	assert_int_equal(split->features, 0);
	assert_int_equal(split->version, 1);
	assert_int_equal(split->desc_num, ring.size);
	id[0] = offer(&ring, 1, 100);
	id[1] = offer(&ring, 2, 100);
	chain[0] = take(&ring);
	chain[1] = take(&ring);
	assert_int_equal(split->desc[id[0]].inflight, 1);
	assert_int_equal(split->desc[id[1]].inflight, 1);
	assert_true(split->desc[id[0]].counter < split->desc[id[1]].counter);
	ring_put(&ring, &chain[1], 0);
	ring_put(&ring, &chain[0], 0);
	/* Nothing has been published yet. */
	assert_int_equal(split->desc[id[0]].inflight, 1);
	assert_int_equal(split->last_batch_head, id[0]);
	assert_int_equal(split->desc[id[0]].next, id[1]);
	assert_int_equal(split->used_idx, 0);
	ring_end(&ring);
	assert_int_equal(split->desc[id[0]].inflight, 0);
	assert_int_equal(split->desc[id[1]].inflight, 0);
	assert_int_equal(split->used_idx, 2);
	close_both(&ring, &area);
}

static void
test_layout_packed(void **state)
{
	struct vhost_user_inflight_packed *packed;
	const struct vhost_user_desc_packed *desc;
	struct vhost_pci_chain chain;
	struct inflight_area area;
	struct ring ring;
	uint16_t id;

	(void)state;
	open_both(&ring, &area, &ring_packed_conf);
	packed = area.packed;
	desc = packed->desc;
	assert_int_equal(packed->version, 1);
	assert_int_equal(packed->desc_num, ring.size);
	assert_int_equal(packed->old_used_wrap_counter, 1);
	id = offer(&ring, 3, 100);
	chain = take(&ring);
	assert_int_equal(desc[0].inflight, 1);
	assert_int_equal(desc[0].num, 3);
	assert_int_equal(desc[0].last, 2);
	assert_int_equal(desc[0].addr, RING_LOW_GPA);
	assert_int_equal(desc[0].len, 100);
	assert_int_equal(desc[2].id, id);
	assert_int_equal(desc[2].addr, RING_FAR_GPA);
	assert_int_equal(packed->free_head, 3);
	assert_int_equal(packed->old_free_head, 3);
	give(&ring, &chain);
	assert_int_equal(desc[0].inflight, 0);
	assert_int_equal(desc[2].next, 3);
	assert_int_equal(packed->free_head, 0);
	assert_int_equal(packed->old_free_head, 0);
	assert_int_equal(packed->used_idx, 3);
	assert_int_equal(packed->old_used_idx, 3);
	assert_int_equal(packed->used_wrap_counter, 1);
	close_both(&ring, &area);
}

static void
test_taken_chains_come_first_and_in_order(void **state)
{
	struct vhost_pci_chain chain[4];
	struct inflight_area area;
	struct ring ring;
	uint16_t id[4];
	unsigned int i;

	open_both(&ring, &area, *state);
	for (i = 0; i < 3; i++) {
		id[i] = offer(&ring, (uint16_t)(i + 1), 100 + i);
		chain[i] = take(&ring);
	}
	/* The middle one is returned; what follows is offered later, and was never taken. */
	give(&ring, &chain[1]);
	check_used(&ring, id[1]);
	id[3] = offer(&ring, 1, 103);
	die(&ring);
	assert_int_equal(begin(&ring, &area), 0);
	for (i = 0; i < 4; i++) {
		if (i == 1)
			continue;
		chain[i] = take(&ring);
		assert_int_equal(chain[i].id, id[i]);
		assert_int_equal(ring.vr->segs[chain[i].seg_idx].len, 100 + i);
		assert_int_equal(chain[i].nb_segs, i == 3 ? 1 : i + 1);
	}
	assert_int_equal(ring_next(&ring, &chain[1], VHOST_PCI_DEQUEUE), 0);
	/* In any order, each once. */
	give(&ring, &chain[2]);
	give(&ring, &chain[3]);
	give(&ring, &chain[0]);
	check_used(&ring, id[2]);
	check_used(&ring, id[3]);
	check_used(&ring, id[0]);
	check_nothing_used(&ring);
	close_both(&ring, &area);
}

static void
test_untaken_chains_are_forgotten(void **state)
{
	struct vhost_pci_cursor cursor;
	struct vhost_pci_chain chain;
	struct inflight_area area;
	struct ring ring;
	uint16_t id[3];
	unsigned int round, i;

	open_both(&ring, &area, *state);
	for (i = 0; i < 3; i++)
		id[i] = offer(&ring, (uint16_t)(i + 1), 100);
	for (round = 0; round < 2; round++) {
		chain = take(&ring);
		assert_int_equal(chain.id, id[0]);
		cursor = vhost_pci_ring_save(ring.vr);
		take(&ring);
		take(&ring);
		ring_restore(&ring, cursor);
		/* Also where they had been left by another back-end, and stay in the area. */
		die(&ring);
		assert_int_equal(inflight_area_count(&area), 1);
		assert_int_equal(begin(&ring, &area), 0);
		cursor = vhost_pci_ring_save(ring.vr);
		take(&ring);
		ring_restore(&ring, cursor);
		assert_int_equal(inflight_area_count(&area), 1);
	}
	for (i = 0; i < 3; i++) {
		chain = take(&ring);
		give(&ring, &chain);
		check_used(&ring, id[i]);
	}
	assert_int_equal(inflight_area_count(&area), 0);
	close_both(&ring, &area);
}

/** Died after the used index was published, before the area said so. */
static void
test_split_published_batch_is_finished(void **state)
{
	struct vhost_pci_chain chain[3];
	struct inflight_area area;
	struct ring ring;
	uint16_t id[3];
	unsigned int i;

	(void)state;
	open_both(&ring, &area, &ring_split_conf);
	for (i = 0; i < 3; i++) {
		id[i] = offer(&ring, 1, 100);
		chain[i] = take(&ring);
	}
	ring_put(&ring, &chain[2], 0);
	ring_put(&ring, &chain[0], 0);
	vhost_pci_split_flush(ring.vr);
	die(&ring);
	assert_int_equal(begin(&ring, &area), 0);
	assert_int_equal(area.split->used_idx, 2);
	chain[1] = take(&ring);
	assert_int_equal(chain[1].id, id[1]);
	assert_int_equal(ring_next(&ring, &chain[0], VHOST_PCI_DEQUEUE), 0);
	close_both(&ring, &area);
}

/** A batch of two chains, written to a packed ring, whose publishing is the test's. */
static void
packed_batch(struct ring *ring, struct inflight_area *area, uint16_t id[2], bool publish)
{
	struct vhost_user_inflight_packed *packed = area->packed;
	struct vhost_user_inflight_packed old = *packed;
	struct vhost_pci_chain chain[2];
	uint16_t flags;

	id[0] = offer(ring, 2, 100);
	id[1] = offer(ring, 1, 101);
	chain[0] = take(ring);
	chain[1] = take(ring);
	old.old_free_head = packed->old_free_head;
	ring_put(ring, &chain[0], 0);
	ring_put(ring, &chain[1], 0);
	flags = ring->pdesc[0].flags;
	ring_flush(ring);
	/* As it was before the last steps. */
	packed->desc[0].inflight = 1;
	packed->desc[2].inflight = 1;
	packed->old_free_head = old.old_free_head;
	packed->old_used_idx = old.old_used_idx;
	packed->old_used_wrap_counter = old.old_used_wrap_counter;
	if (!publish)
		ring->pdesc[0].flags = flags;
	die(ring);
}

static void
test_packed_batch_is_rolled_back(void **state)
{
	struct vhost_pci_chain chain;
	struct inflight_area area;
	struct ring ring;
	uint16_t id[2];

	(void)state;
	open_both(&ring, &area, &ring_packed_conf);
	packed_batch(&ring, &area, id, false);
	check_nothing_used(&ring);
	assert_int_equal(begin(&ring, &area), 0);
	chain = take(&ring);
	assert_int_equal(chain.id, id[0]);
	give(&ring, &chain);
	check_used(&ring, id[0]);
	/* The other one's used entry had been written: it must not be found before it is due. */
	check_nothing_used(&ring);
	chain = take(&ring);
	assert_int_equal(chain.id, id[1]);
	give(&ring, &chain);
	check_used(&ring, id[1]);
	close_both(&ring, &area);
}

static void
test_packed_batch_is_committed(void **state)
{
	struct vhost_pci_chain chain;
	struct inflight_area area;
	struct ring ring;
	uint16_t id[2];

	(void)state;
	open_both(&ring, &area, &ring_packed_conf);
	packed_batch(&ring, &area, id, true);
	assert_int_equal(begin(&ring, &area), 0);
	assert_int_equal(inflight_area_count(&area), 0);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 0);
	check_used(&ring, id[0]);
	check_used(&ring, id[1]);
	id[0] = offer(&ring, 1, 100);
	chain = take(&ring);
	give(&ring, &chain);
	check_used(&ring, id[0]);
	close_both(&ring, &area);
}

static void
test_many_laps(void **state)
{
	struct vhost_pci_chain chain[3];
	struct inflight_area area;
	struct ring ring;
	uint16_t id[3];
	unsigned int lap, i;

	open_both(&ring, &area, *state);
	for (lap = 0; lap < 70000 / 3; lap++) {
		vhost_pci_ring_begin(ring.vr);
		for (i = 0; i < 3; i++) {
			id[i] = offer(&ring, 1, 64);
			chain[i] = take(&ring);
		}
		if (lap % 1000 == 0) {
			die(&ring);
			assert_int_equal(begin(&ring, &area), 0);
			for (i = 0; i < 3; i++)
				chain[i] = take(&ring);
		}
		for (i = 3; i-- > 0;)
			give(&ring, &chain[i]);
		for (i = 3; i-- > 0;)
			check_used(&ring, id[i]);
	}
	close_both(&ring, &area);
}

/** Leave some chains behind, and an area that tells of them. */
static void
leave_some(struct ring *ring)
{
	struct vhost_pci_chain chain;
	unsigned int i;

	for (i = 0; i < 8; i++)
		offer(ring, (uint16_t)(i % 4 + 1), 64);
	for (i = 0; i < 7; i++)
		chain = take(ring);
	give(ring, &chain);
	die(ring);
}

/** A change to an area that no back-end makes, as the split and the packed one are told. */
#define REFUSED(test, conf, statement) \
	static void test(void **state) \
	{ \
		struct inflight_area area; \
		struct ring ring; \
\
		(void)state; \
		open_both(&ring, &area, &(conf)); \
		leave_some(&ring); \
		(statement); \
		assert_int_equal(begin(&ring, &area), -EINVAL); \
		assert_null(ring.vr->inflight); \
		close_both(&ring, &area); \
	}

REFUSED(test_split_version, ring_split_conf, area.split->version = 2)
REFUSED(test_split_desc_num, ring_split_conf, area.split->desc_num++)
REFUSED(test_split_used_idx, ring_split_conf, area.split->used_idx = 1000)
REFUSED(test_split_batch_head, ring_split_conf,
		(area.split->used_idx--, area.split->last_batch_head = ring.size))
REFUSED(test_split_batch_next, ring_split_conf,
		(area.split->used_idx -= 2,
				area.split->desc[area.split->last_batch_head].next = UINT16_MAX))
REFUSED(test_split_counter, ring_split_conf,
		(area.split->desc[5].inflight = 1, area.split->desc[5].counter = UINT64_MAX))
REFUSED(test_packed_version, ring_packed_conf, area.packed->version = UINT16_MAX)
REFUSED(test_packed_desc_num, ring_packed_conf, area.packed->desc_num = 0)
REFUSED(test_packed_used_idx, ring_packed_conf, area.packed->used_idx = ring.size)
REFUSED(test_packed_old_used_idx, ring_packed_conf, area.packed->old_used_idx = UINT16_MAX)
REFUSED(test_packed_num_0, ring_packed_conf, area.packed->desc[0].num = 0)
REFUSED(test_packed_num_huge, ring_packed_conf, area.packed->desc[0].num = UINT16_MAX)
REFUSED(test_packed_next_out_of_range, ring_packed_conf, area.packed->desc[1].next = UINT16_MAX)
REFUSED(test_packed_next_loop, ring_packed_conf, area.packed->desc[1].next = 1)
REFUSED(test_packed_chains_cross, ring_packed_conf, area.packed->desc[1].next = 0)
REFUSED(test_packed_same_id, ring_packed_conf, area.packed->desc[2].id = area.packed->desc[0].id)
REFUSED(test_packed_counter, ring_packed_conf, area.packed->desc[0].counter = UINT64_MAX)

static void
test_packed_free_list_that_loops(void **state)
{
	struct inflight_area area;
	struct ring ring;

	(void)state;
	open_both(&ring, &area, &ring_packed_conf);
	leave_some(&ring);
	/* No chain is lost by it, and none is made up. */
	area.packed->desc[area.packed->old_free_head].next = area.packed->old_free_head;
	assert_int_equal(begin(&ring, &area), 0);
	assert_int_equal(inflight_area_count(&area), 6);
	close_both(&ring, &area);
}

static void
test_ring_larger_than_its_area(void **state)
{
	struct inflight_area area;
	struct ring ring;

	ring_open(&ring, *state);
	inflight_area_open(&area, ring.is_packed, ring.size);
	area.queue_size--;
	assert_int_equal(begin(&ring, &area), -EINVAL);
	area.queue_size++;
	area.bytes += 4;
	area.map = (uint8_t *)area.map + 4;
	assert_int_equal(begin(&ring, &area), -EINVAL);
	area.map = (uint8_t *)area.map - 4;
	close_both(&ring, &area);
}

static void
test_driver_with_an_id_twice(void **state)
{
	struct vhost_pci_chain chain;
	struct inflight_area area;
	struct ring ring;

	(void)state;
	open_both(&ring, &area, &ring_packed_conf);
	offer(&ring, 1, 64);
	take(&ring);
	ring_write_desc(&ring, 1,
			&(struct vhost_pci_desc){
					.gpa = RING_LOW_GPA,
					.len = 64,
					.flags = ring_avail_flags(true),
					.next = ring.pdesc[0].id,
			});
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), -EPROTO);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_E_ID);
	close_both(&ring, &area);
}

/** A driver that has more under way than its ring holds, though not more than its area does. */
static void
test_driver_with_two_laps(void **state)
{
	struct vhost_pci_cursor before;
	struct vhost_pci_chain chain;
	struct inflight_area area;
	struct ring ring;
	uint16_t i;

	(void)state;
	ring_open(&ring, &ring_packed_conf);
	inflight_area_open(&area, true, 4 * ring.size);
	assert_int_equal(begin(&ring, &area), 0);
	before = vhost_pci_ring_save(ring.vr);
	for (i = 0; i < ring.size; i++) {
		offer(&ring, 1, 64);
		take(&ring);
	}
	ring_write_desc(&ring, 0,
			&(struct vhost_pci_desc){
					.gpa = RING_LOW_GPA,
					.len = 64,
					.flags = ring_avail_flags(false),
					.next = ring.size,
			});
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), -EPROTO);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_E_ID);
	assert_int_equal(inflight_area_count(&area), ring.size);
	ring_restore(&ring, before);
	assert_int_equal(inflight_area_count(&area), 0);
	close_both(&ring, &area);
}

/** Whatever stands in an area: it is refused, or the ring is walked, within its memory. */
static void
test_random_contents(void **state)
{
	struct vhost_pci_chain chain;
	struct inflight_area area;
	uint64_t seed = 4711;
	unsigned int round, i;
	unsigned int nb_walked = 0;
	struct ring ring;

	open_both(&ring, &area, *state);
	leave_some(&ring);
	inflight_area_keep(&area);
	for (round = 0; round < 5000; round++) {
		inflight_area_restore(&area);
		for (i = ring_random(&seed) % 4; i < 4; i++)
			((uint8_t *)area.map)[ring_random(&seed) % 256] = (uint8_t)ring_random(
					&seed);
		vhost_pci_ring_begin(ring.vr);
		ring.vr->error = VHOST_PCI_VRING_OK;
		if (begin(&ring, &area) < 0)
			continue;
		nb_walked++;
		for (i = 0; i < 20 && ring_next(&ring, &chain, VHOST_PCI_DEQUEUE) > 0; i++) {
			vhost_pci_ring_drop_segs(ring.vr);
			if (i % 3 == 0)
				ring_put(&ring, &chain, 0);
		}
		ring_flush(&ring);
		die(&ring);
	}
	assert_true(nb_walked > 0 && nb_walked < round);
	close_both(&ring, &area);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_layout_split),
	cmocka_unit_test(test_layout_packed),
	RING_BOTH_FORMATS(test_taken_chains_come_first_and_in_order),
	RING_BOTH_FORMATS(test_untaken_chains_are_forgotten),
	cmocka_unit_test(test_split_published_batch_is_finished),
	cmocka_unit_test(test_packed_batch_is_rolled_back),
	cmocka_unit_test(test_packed_batch_is_committed),
	RING_BOTH_FORMATS(test_many_laps),
	cmocka_unit_test(test_split_version),
	cmocka_unit_test(test_split_desc_num),
	cmocka_unit_test(test_split_used_idx),
	cmocka_unit_test(test_split_batch_head),
	cmocka_unit_test(test_split_batch_next),
	cmocka_unit_test(test_split_counter),
	cmocka_unit_test(test_packed_version),
	cmocka_unit_test(test_packed_desc_num),
	cmocka_unit_test(test_packed_used_idx),
	cmocka_unit_test(test_packed_old_used_idx),
	cmocka_unit_test(test_packed_num_0),
	cmocka_unit_test(test_packed_num_huge),
	cmocka_unit_test(test_packed_next_out_of_range),
	cmocka_unit_test(test_packed_next_loop),
	cmocka_unit_test(test_packed_chains_cross),
	cmocka_unit_test(test_packed_same_id),
	cmocka_unit_test(test_packed_counter),
	cmocka_unit_test(test_packed_free_list_that_loops),
	RING_BOTH_FORMATS(test_ring_larger_than_its_area),
	cmocka_unit_test(test_driver_with_an_id_twice),
	cmocka_unit_test(test_driver_with_two_laps),
	RING_BOTH_FORMATS(test_random_contents),
};

REGISTER_TEST_GROUP(inflight_autotest, tests, NULL, NULL);
