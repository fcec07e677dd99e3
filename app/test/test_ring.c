/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* What both ring formats have in common: each test is run with either. */

#include <errno.h>
#include <string.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

/* Take the next chain, which must be there. */
static struct vhost_pci_chain
take(struct ring *ring, enum vhost_pci_dir dir)
{
	struct vhost_pci_chain chain = { 0 };

	assert_int_equal(ring_next(ring, &chain, dir), 1);
	return chain;
}

/* Take the next used chain, which must be this one. */
static void
expect_used(struct ring *ring, int id, uint32_t len)
{
	uint32_t used_id, used_len;

	assert_true(ring_get_used(ring, &used_id, &used_len));
	assert_int_equal(used_id, id);
	assert_int_equal(used_len, len);
}

static void
expect_no_used(struct ring *ring)
{
	uint32_t id, len;

	assert_false(ring_get_used(ring, &id, &len));
}

/* Offer a chain, take it, check it, return it. */
static void
pass_chain(struct ring *ring, const struct ring_offer *offer)
{
	enum vhost_pci_dir dir = offer->writable ? VHOST_PCI_ENQUEUE : VHOST_PCI_DEQUEUE;
	unsigned int nb_bufs = offer->nb_direct + offer->nb_indirect;
	struct vhost_pci_chain chain = { 0 };
	int id = ring_offer(ring, offer);

	assert_true(id >= 0);
	vhost_pci_ring_begin(ring->vr);
	assert_int_equal(ring_next(ring, &chain, dir), 0);
	ring_publish(ring);
	chain = take(ring, dir);
	ring_check_chain(ring, &chain, offer->bufs, nb_bufs);
	assert_int_equal(chain.id, id);
	ring_put(ring, &chain, offer->writable ? chain.len : 0);
	ring_end(ring);
	expect_used(ring, id, offer->writable ? chain.len : 0);
	assert_int_equal(ring->nb_free, ring->size);
}

/* Pass a chain in both directions. */
static void
pass_both(void **state, struct ring_offer offer)
{
	struct ring ring;

	ring_open(&ring, *state);
	offer.writable = false;
	pass_chain(&ring, &offer);
	offer.writable = true;
	pass_chain(&ring, &offer);
	ring_close(&ring);
}

static void
test_empty(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;

	ring_open(&ring, *state);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 0);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_ENQUEUE), 0);
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, ring.size), 0);
	ring_end(&ring);
	expect_no_used(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	ring_close(&ring);
}

static void
test_single(void **state)
{
	const struct ring_buf buf = { RING_LOW_GPA + 100, 1514 };

	pass_both(state, (struct ring_offer){ .bufs = &buf, .nb_direct = 1 });
}

static void
test_chained(void **state)
{
	const struct ring_buf bufs[] = {
		{ RING_LOW_GPA, 12 },
		{ RING_FAR_GPA + 5, 1 },
		{ RING_HIGH_GPA + 77, 9000 },
	};

	pass_both(state, (struct ring_offer){ .bufs = bufs, .nb_direct = 3 });
}

static void
test_chain_of_all_slots(void **state)
{
	const struct ring_conf *conf = *state;
	struct ring_buf bufs[64];
	unsigned int i;

	for (i = 0; i < conf->size; i++)
		bufs[i] = (struct ring_buf){ RING_LOW_GPA + 64 * i, 64 };
	pass_both(state, (struct ring_offer){ .bufs = bufs, .nb_direct = conf->size });
}

static void
test_indirect(void **state)
{
	const struct ring_buf bufs[] = {
		{ RING_FAR_GPA, 12 },
		{ RING_LOW_GPA + 1, 60 },
		{ RING_HIGH_GPA, 2 },
		{ RING_FAR_GPA + 100, 3 },
	};

	pass_both(state,
			(struct ring_offer){ .bufs = bufs,
					.nb_indirect = 4,
					.table_gpa = RING_LOW_GPA + 0x1000 });
}

static void
test_indirect_of_one(void **state)
{
	const struct ring_buf buf = { RING_FAR_GPA, 12 };

	pass_both(state,
			(struct ring_offer){ .bufs = &buf,
					.nb_indirect = 1,
					.table_gpa = RING_FAR_GPA + RING_BUF_BYTES - 16 });
}

static void
test_indirect_of_queue_size(void **state)
{
	const struct ring_conf *conf = *state;
	struct ring_buf bufs[64];
	unsigned int i;

	for (i = 0; i < conf->size; i++)
		bufs[i] = (struct ring_buf){ RING_LOW_GPA + 64 * i, 1 + i };
	pass_both(state,
			(struct ring_offer){ .bufs = bufs,
					.nb_indirect = conf->size,
					.table_gpa = RING_FAR_GPA });
}

/* Linux makes tables without regard to the queue size; here each buffer is in two pieces. */
static void
test_indirect_longer_than_the_queue(void **state)
{
	const struct ring_conf *conf = *state;
	struct ring_buf bufs[64];
	uint16_t size;
	unsigned int i;

	for (i = 0; i < 64; i++)
		bufs[i] = (struct ring_buf){ RING_HIGH_GPA - 1, 2 };
	for (size = 1; size <= 32; size *= 2) {
		struct ring_conf small = { .is_packed = conf->is_packed, .size = size };
		void *small_state = &small;

		pass_both(&small_state,
				(struct ring_offer){ .bufs = bufs,
						.nb_indirect = 64,
						.table_gpa = RING_FAR_GPA });
	}
}

/* From the queue size of 64 on it is the bound. */
static void
test_indirect_of_one_too_many(void **state)
{
	const struct ring_conf *conf = *state;
	static const uint16_t sizes[][2] = { { 1, 65 }, { 32, 65 }, { 64, 65 }, { 128, 129 } };
	struct vhost_pci_chain chain;
	struct ring_buf bufs[129];
	unsigned int i;

	for (i = 0; i < 129; i++)
		bufs[i] = (struct ring_buf){ RING_LOW_GPA, 64 };
	for (i = 0; i < 4; i++) {
		const struct ring_conf small = { .is_packed = conf->is_packed,
			.size = sizes[i][0] };
		struct ring ring;

		ring_open(&ring, &small);
		assert_true(ring_offer(&ring,
					    &(struct ring_offer){ .bufs = bufs,
							    .nb_indirect = sizes[i][1],
							    .table_gpa = RING_FAR_GPA }) >= 0);
		ring_publish(&ring);
		assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), -EPROTO);
		assert_int_equal(ring.vr->error, VHOST_PCI_VRING_E_INDIRECT_LEN);
		ring_close(&ring);
	}
}

/* VIRTIO 2.7.5.3.2: zero or more direct descriptors, then one that refers to a table. */
static void
test_direct_then_indirect(void **state)
{
	const struct ring_buf bufs[] = {
		{ RING_LOW_GPA, 12 },
		{ RING_FAR_GPA, 70 },
		{ RING_LOW_GPA + 2000, 80 },
		{ RING_HIGH_GPA, 90 },
		{ RING_LOW_GPA + 3000, 100 },
	};
	struct ring ring;

	/* VIRTIO 2.8.19 forbids it to a packed ring's driver; it is understood all the same. */
	ring_open(&ring, *state);
	pass_chain(&ring,
			&(struct ring_offer){ .bufs = bufs,
					.nb_direct = 2,
					.nb_indirect = 3,
					.table_gpa = RING_FAR_GPA + 4096 });
	ring_close(&ring);
}

/* A table may lie anywhere: at any byte, and in two regions. */
static void
test_indirect_table_across_regions(void **state)
{
	struct ring_buf bufs[5];
	unsigned int offset, i;

	for (i = 0; i < 5; i++)
		bufs[i] = (struct ring_buf){ RING_FAR_GPA + 1000 * i, 10 + i };
	for (offset = 0; offset <= sizeof(bufs) + 4; offset++)
		pass_both(state,
				(struct ring_offer){ .bufs = bufs,
						.nb_indirect = 5,
						.table_gpa = RING_HIGH_GPA - offset });
}

static void
test_buffer_across_regions(void **state)
{
	const struct ring_buf bufs[] = {
		{ RING_HIGH_GPA - 1, 2 },
		{ RING_FAR_GPA, 12 },
		{ RING_LOW_GPA, 2 * RING_BUF_BYTES },
		{ RING_HIGH_GPA - 100, 100 },
		{ RING_HIGH_GPA, RING_BUF_BYTES },
	};

	pass_both(state, (struct ring_offer){ .bufs = bufs, .nb_direct = 5 });
	pass_both(state,
			(struct ring_offer){ .bufs = bufs,
					.nb_indirect = 5,
					.table_gpa = RING_FAR_GPA });
}

/* An empty buffer is no error, whatever its address. */
static void
test_zero_length(void **state)
{
	const struct ring_buf bufs[] = {
		{ RING_HOLE_GPA, 0 },
		{ UINT64_MAX, 0 },
		{ RING_LOW_GPA, 12 },
		{ RING_HOLE_GPA, 0 },
		{ RING_LOW_GPA + RING_BUF_BYTES, 1 },
		{ 0, 0 },
	};

	pass_both(state, (struct ring_offer){ .bufs = bufs, .nb_direct = 6 });
	pass_both(state, (struct ring_offer){ .bufs = bufs, .nb_direct = 1 });
	pass_both(state,
			(struct ring_offer){ .bufs = bufs,
					.nb_direct = 2,
					.nb_indirect = 4,
					.table_gpa = RING_FAR_GPA });
}

/* A chain may have as many bytes as its length can say. */
static void
test_longest_chain(void **state)
{
	const struct ring_conf *conf = *state;
	struct ring_buf bufs[64];
	uint64_t left = UINT32_MAX;
	struct ring ring;
	unsigned int i;

	/* Tables of tables are forbidden, so 4 GiB need long buffers: one region is stretched. */
	ring_open(&ring, conf);
	ring.mem->region[RING_REGION_FAR].size = UINT64_C(1) << 33;
	for (i = 0; i < 4; i++) {
		bufs[i] = (struct ring_buf){ RING_FAR_GPA, i < 3 ? 1u << 30 : (uint32_t)left };
		left -= bufs[i].len;
	}
	pass_chain(&ring, &(struct ring_offer){ .bufs = bufs, .nb_direct = 4, .writable = true });
	bufs[0] = (struct ring_buf){ RING_FAR_GPA, UINT32_MAX };
	pass_chain(&ring, &(struct ring_offer){ .bufs = bufs, .nb_direct = 1 });
	ring.mem->region[RING_REGION_FAR].size = RING_BUF_BYTES;
	ring_close(&ring);
}

/* Nothing that was returned is seen before the flush, and then all of it. */
static void
test_put_is_seen_after_flush(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	int id[5], i;

	ring_open(&ring, *state);
	for (i = 0; i < 5; i++)
		id[i] = ring_offer_one(&ring, RING_LOW_GPA, 60 + i, true);
	for (i = 0; i < 5; i++) {
		chain = take(&ring, VHOST_PCI_ENQUEUE);
		ring_put(&ring, &chain, i);
		expect_no_used(&ring);
	}
	ring_flush(&ring);
	for (i = 0; i < 5; i++)
		expect_used(&ring, id[i], i);
	expect_no_used(&ring);
	ring_close(&ring);
}

/* What one burst returned without a flush is published by the next one's. */
static void
test_unflushed_across_bursts(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	int id[3], i;

	ring_open(&ring, *state);
	for (i = 0; i < 3; i++)
		id[i] = ring_offer_one(&ring, RING_LOW_GPA, 60, true);
	for (i = 0; i < 3; i++) {
		assert_int_equal(vhost_pci_vring_enter(ring.vr), VHOST_PCI_VRING_ON);
		vhost_pci_ring_begin(ring.vr);
		chain = take(&ring, VHOST_PCI_ENQUEUE);
		ring_put(&ring, &chain, 100 + i);
		expect_no_used(&ring);
		if (i == 2)
			ring_end(&ring);
		vhost_pci_vring_leave(ring.vr);
	}
	for (i = 0; i < 3; i++)
		expect_used(&ring, id[i], 100 + i);
	expect_no_used(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	ring_close(&ring);
}

/* Chains may be returned in another order than they were taken. */
static void
test_out_of_order(void **state)
{
	static const int order[] = { 2, 0, 3, 1 };
	struct ring_buf bufs[10];
	struct vhost_pci_chain chain[4];
	struct ring ring;
	int round, id[4], i;

	ring_open(&ring, *state);
	for (i = 0; i < 10; i++)
		bufs[i] = (struct ring_buf){ RING_LOW_GPA + 100 * i, 100 };
	for (round = 0; round < 100; round++) {
		vhost_pci_ring_begin(ring.vr);
		for (i = 0; i < 4; i++) {
			id[i] = ring_offer(&ring,
					&(struct ring_offer){ .bufs = bufs,
							.nb_direct = 1 + 2 * i,
							.writable = true });
			ring_publish(&ring);
			chain[i] = take(&ring, VHOST_PCI_ENQUEUE);
			ring_check_chain(&ring, &chain[i], bufs, 1 + 2 * i);
		}
		for (i = 0; i < 4; i++)
			ring_put(&ring, &chain[order[i]], 1 + order[i]);
		ring_end(&ring);
		for (i = 0; i < 4; i++)
			expect_used(&ring, id[order[i]], 1 + order[i]);
		assert_int_equal(ring.nb_free, ring.size);
	}
	ring_close(&ring);
}

/* Take a burst, go back to some place in it, take the rest anew: at all places of the ring. */
static void
test_save_and_restore(void **state)
{
	const uint16_t nb_descs[] = { 1, 3, 1, 2, 4, 1 };
	struct vhost_pci_cursor cursor[7];
	struct vhost_pci_chain chain, again;
	struct ring_buf bufs[4];
	struct ring ring;
	unsigned int round, i, back;

	ring_open(&ring, *state);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 4; i++)
			bufs[i] = (struct ring_buf){ RING_LOW_GPA + 97 * round + i, 1 + i };
		for (i = 0; i < 6; i++)
			assert_true(ring_offer(&ring,
						    &(struct ring_offer){ .bufs = bufs,
								    .nb_direct = nb_descs[i] }) >=
					0);
		ring_publish(&ring);
		vhost_pci_ring_begin(ring.vr);
		for (back = 0; back <= 6; back++) {
			for (i = back == 0 ? 0 : back - 1; i < 6; i++) {
				cursor[i] = vhost_pci_ring_save(ring.vr);
				chain = take(&ring, VHOST_PCI_DEQUEUE);
				ring_check_chain(&ring, &chain, bufs, nb_descs[i]);
			}
			assert_int_equal(ring_next(&ring, &again, VHOST_PCI_DEQUEUE), 0);
			assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 1), 0);
			if (back < 6)
				ring_restore(&ring, cursor[back]);
		}
		ring_restore(&ring, cursor[5]);
		ring_restore(&ring, cursor[0]);
		for (i = 0; i < 6; i++) {
			chain = take(&ring, VHOST_PCI_DEQUEUE);
			ring_put(&ring, &chain, 0);
		}
		ring_end(&ring);
		while (ring.nb_free < ring.size) {
			uint32_t id, len;

			assert_true(ring_get_used(&ring, &id, &len));
		}
	}
	ring_close(&ring);
}

/* A driver that is right is not declared broken for what the caller holds of it. */
static void
test_segments_of_held_chains(void **state)
{
	struct ring_buf bufs[40];
	struct vhost_pci_chain chain[8];
	unsigned int nb_held = 0, nb_done = 0, i;
	struct ring ring;

	for (i = 0; i < 40; i++)
		bufs[i] = (struct ring_buf){ RING_HIGH_GPA - 20, 40 };
	ring_open(&ring, *state);
	for (i = 0; i < 8; i++)
		assert_true(ring_offer(&ring,
					    &(struct ring_offer){ .bufs = bufs,
							    .nb_indirect = 40,
							    .table_gpa = RING_FAR_GPA }) >= 0);
	ring_publish(&ring);
	while (nb_done < 8) {
		int ret;

		vhost_pci_ring_begin(ring.vr);
		for (nb_held = 0; nb_held < 8; nb_held++) {
			ret = ring_next(&ring, &chain[nb_held], VHOST_PCI_DEQUEUE);
			assert_true(ret >= 0);
			if (ret == 0)
				break;
			ring_check_chain(&ring, &chain[nb_held], bufs, 40);
		}
		assert_true(nb_held > 0);
		/* What was looked at and not taken takes up no room. */
		assert_int_equal(ring.vr->nb_segs, nb_held * 80);
		for (i = 0; i < nb_held; i++)
			ring_put(&ring, &chain[i], 0);
		ring_end(&ring);
		nb_done += nb_held;
	}
	assert_int_equal(nb_done, 8);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
	ring_close(&ring);
}

/* The same for chains of the shortest path: as many are held as there is room for. */
static void
test_segments_of_held_buffers(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	unsigned int i;

	ring_open(&ring, *state);
	ring.vr->max_segs = 5;
	for (i = 0; i < 12; i++)
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	for (i = 0; i < 12; i++) {
		if (i % 5 == 0) {
			vhost_pci_ring_begin(ring.vr);
			assert_int_equal(ring.vr->nb_segs, 0);
		}
		chain = take(&ring, VHOST_PCI_DEQUEUE);
		if (i % 5 == 4)
			assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 0);
	}
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
	ring_close(&ring);
}

/* Going back gives back the segments too, however often. */
static void
test_restore_segments(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	unsigned int i;

	ring_open(&ring, *state);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	vhost_pci_ring_begin(ring.vr);
	for (i = 0; i <= ring.vr->max_segs; i++) {
		struct vhost_pci_cursor cursor = vhost_pci_ring_save(ring.vr);

		chain = take(&ring, VHOST_PCI_DEQUEUE);
		assert_int_equal(chain.seg_idx, 0);
		ring_restore(&ring, cursor);
	}
	ring_close(&ring);
}

static void
test_drop_segs(void **state)
{
	struct ring_buf bufs[40];
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	unsigned int i;

	for (i = 0; i < 40; i++)
		bufs[i] = (struct ring_buf){ RING_HIGH_GPA - 20, 40 };
	ring_open(&ring, *state);
	for (i = 0; i < 40; i++)
		assert_true(ring_offer(&ring,
					    &(struct ring_offer){ .bufs = bufs,
							    .nb_indirect = 40,
							    .table_gpa = RING_FAR_GPA }) >= 0);
	ring_publish(&ring);
	for (i = 0; i < 40; i++) {
		chain = take(&ring, VHOST_PCI_DEQUEUE);
		ring_check_chain(&ring, &chain, bufs, 40);
		assert_int_equal(chain.seg_idx, 0);
		ring_put(&ring, &chain, 0);
		vhost_pci_ring_drop_segs(ring.vr);
	}
	ring_end(&ring);
	ring_close(&ring);
}

static void
test_nb_avail(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	int i, left;

	ring_open(&ring, *state);
	for (i = 0; i <= ring.size; i++) {
		assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, ring.size), i);
		assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 3), i < 3 ? i : 3);
		assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 0), 0);
		if (i < ring.size)
			ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	}
	for (left = ring.size - 1; left >= 0; left--) {
		chain = take(&ring, VHOST_PCI_DEQUEUE);
		ring_put(&ring, &chain, 0);
		assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, ring.size), left);
	}
	/* What was returned is not available, published or not. */
	ring_end(&ring);
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, ring.size), 0);
	ring_close(&ring);
}

/* A look counts what the last burst has left, and leaves no trace. */
static void
test_look(void **state)
{
	struct vhost_pci_vring before;
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	int i;

	ring_open(&ring, *state);
	for (i = 0; i <= ring.size; i++) {
		before = *ring.vr;
		assert_int_equal(vhost_pci_vring_enter_look(ring.vr), VHOST_PCI_VRING_ON);
		assert_int_equal(vhost_pci_ring_look(ring.vr, ring.size), i);
		assert_int_equal(vhost_pci_ring_look(ring.vr, 3), i < 3 ? i : 3);
		assert_int_equal(vhost_pci_ring_look(ring.vr, 0), 0);
		vhost_pci_vring_leave_look(ring.vr);
		assert_memory_equal(&before, ring.vr, sizeof(before));
		if (i < ring.size)
			ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	}
	/* All but one, in two bursts: a packed ring goes once around. */
	for (i = 1; i < ring.size; i++) {
		chain = take(&ring, VHOST_PCI_DEQUEUE);
		ring_put(&ring, &chain, 0);
		if (i == 7 || i == ring.size - 1) {
			ring_end(&ring);
			assert_int_equal(vhost_pci_ring_look(ring.vr, ring.size), ring.size - i);
		}
	}
	chain = take(&ring, VHOST_PCI_DEQUEUE);
	ring_put(&ring, &chain, 0);
	ring_end(&ring);
	assert_int_equal(vhost_pci_ring_look(ring.vr, ring.size), 0);
	ring_close(&ring);
}

static void
test_discard(void **state)
{
	struct ring ring;
	int id[10], i;

	ring_open(&ring, *state);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 32), 0);
	for (i = 0; i < 10; i++)
		id[i] = ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 0), 0);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 7), 7);
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	for (i = 0; i < 7; i++)
		expect_used(&ring, id[i], 0);
	expect_no_used(&ring);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 32), 3);
	for (i = 7; i < 10; i++)
		expect_used(&ring, id[i], 0);
	assert_int_equal(ring.vr->stats.discarded, 10);
	ring_close(&ring);
}

/* A burst that returned nothing calls nobody. */
static void
test_end_without_put(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;

	ring_open(&ring, *state);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	chain = take(&ring, VHOST_PCI_DEQUEUE);
	ring_end(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	ring_put(&ring, &chain, 0);
	ring_end(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	assert_int_equal(ring.vr->stats.notifications, 1);
	ring_end(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	ring_close(&ring);
}

/* A call that nobody can get is none. */
static void
test_end_without_call_fd(void **state)
{
	struct ring ring;
	int fd;

	ring_open(&ring, *state);
	fd = ring.vr->call.fd;
	ring.vr->call.fd = -1;
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 1), 1);
	assert_int_equal(ring.vr->stats.notifications, 0);
	ring.vr->call.fd = fd;
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 1), 1);
	assert_int_equal(ring.vr->stats.notifications, 1);
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	ring_close(&ring);
}

/* Many laps: indexes wrap, and so do the 16 bits of a split ring's. */
static void
run_laps(const struct ring_conf *conf, unsigned int nb_chains)
{
	struct vhost_pci_chain chain = { 0 };
	unsigned int given = 0, taken = 0, returned = 0;
	struct ring ring;

	ring_open(&ring, conf);
	while (returned < nb_chains) {
		uint32_t id, len;

		while (ring.nb_free > 0) {
			const struct ring_buf buf = { RING_LOW_GPA + given % 1000, 1 + given % 97 };

			ring_offer(&ring, &(struct ring_offer){ .bufs = &buf, .nb_direct = 1 });
			given++;
		}
		ring_publish(&ring);
		vhost_pci_ring_begin(ring.vr);
		while (taken < given) {
			const struct ring_buf buf = { RING_LOW_GPA + taken % 1000, 1 + taken % 97 };

			chain = take(&ring, VHOST_PCI_DEQUEUE);
			ring_check_chain(&ring, &chain, &buf, 1);
			ring_put(&ring, &chain, 0);
			taken++;
		}
		assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 0);
		ring_end(&ring);
		while (ring_get_used(&ring, &id, &len))
			returned++;
		assert_int_equal(returned, taken);
	}
	ring_close(&ring);
}

static void
test_laps_split(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 4, 256, 32768 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		run_laps(&(struct ring_conf){ .size = sizes[i] }, 140000);
}

static void
test_laps_packed(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 255, 256, 32767, 32768 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		run_laps(&(struct ring_conf){ .is_packed = true, .size = sizes[i] }, 140000);
}

static const struct CMUnitTest ring_tests[] = {
	RING_BOTH_FORMATS(test_empty),
	RING_BOTH_FORMATS(test_single),
	RING_BOTH_FORMATS(test_chained),
	RING_BOTH_FORMATS(test_chain_of_all_slots),
	RING_BOTH_FORMATS(test_indirect),
	RING_BOTH_FORMATS(test_indirect_of_one),
	RING_BOTH_FORMATS(test_indirect_of_queue_size),
	RING_BOTH_FORMATS(test_indirect_longer_than_the_queue),
	RING_BOTH_FORMATS(test_indirect_of_one_too_many),
	RING_BOTH_FORMATS(test_direct_then_indirect),
	RING_BOTH_FORMATS(test_indirect_table_across_regions),
	RING_BOTH_FORMATS(test_buffer_across_regions),
	RING_BOTH_FORMATS(test_zero_length),
	RING_BOTH_FORMATS(test_longest_chain),
	RING_BOTH_FORMATS(test_put_is_seen_after_flush),
	RING_BOTH_FORMATS(test_unflushed_across_bursts),
	RING_BOTH_FORMATS(test_out_of_order),
	RING_BOTH_FORMATS(test_save_and_restore),
	RING_BOTH_FORMATS(test_segments_of_held_chains),
	RING_BOTH_FORMATS(test_segments_of_held_buffers),
	RING_BOTH_FORMATS(test_restore_segments),
	RING_BOTH_FORMATS(test_drop_segs),
	RING_BOTH_FORMATS(test_nb_avail),
	RING_BOTH_FORMATS(test_look),
	RING_BOTH_FORMATS(test_discard),
	RING_BOTH_FORMATS(test_end_without_put),
	RING_BOTH_FORMATS(test_end_without_call_fd),
	cmocka_unit_test(test_laps_split),
	cmocka_unit_test(test_laps_packed),
};

REGISTER_TEST_GROUP(ring_autotest, ring_tests, NULL, NULL);
