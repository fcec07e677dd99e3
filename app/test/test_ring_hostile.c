/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A peer that breaks the rules of its ring, by accident or on purpose, before or during a look. */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

enum {
	SIZE = 8,      /* Of the ring. */
	MAX_DESCS = 9, /* Of a chain below. */
	TABLE_GPA = RING_LOW_GPA + 256,
};

/* Which ring formats a case is for. */
enum formats {
	BOTH,
	SPLIT,
	PACKED,
};

/* A malformed chain: its descriptors, and those of its table. */
struct malformed {
	const char *name;
	enum vhost_pci_vring_error error;
	enum formats formats;
	enum vhost_pci_dir dir;
	bool no_indirect;
	uint16_t head; /* Split: the avail entry. */
	struct vhost_pci_desc desc[MAX_DESCS];
	struct vhost_pci_desc entry[MAX_DESCS];
};

#define GOOD \
	{ \
		RING_LOW_GPA, 60, 0, 0 \
	}
#define TABLE(nb) \
	{ \
		{ \
			TABLE_GPA, (nb)*16, INDIRECT, 0 \
		} \
	}

static const struct malformed malformed[] = {
	/* Split: the avail ring. */
	{ "head is the queue size", VHOST_PCI_VRING_E_HEAD, SPLIT, .head = SIZE },
	{ "head is beyond the queue size", VHOST_PCI_VRING_E_HEAD, SPLIT, .head = 0xffff },

	/* Chains. */
	{ "next is the queue size", VHOST_PCI_VRING_E_NEXT, SPLIT,
			.desc = { { RING_LOW_GPA, 60, NEXT, SIZE } } },
	{ "next is beyond the queue size", VHOST_PCI_VRING_E_NEXT, SPLIT,
			.desc = { { RING_LOW_GPA, 60, NEXT, 1 },
					{ RING_LOW_GPA, 60, NEXT, 0xffff } } },
	{ "next is itself", VHOST_PCI_VRING_E_LOOP, SPLIT,
			.desc = { { RING_LOW_GPA, 60, NEXT, 0 } } },
	{ "next goes back", VHOST_PCI_VRING_E_LOOP, SPLIT,
			.desc = { { RING_LOW_GPA, 60, NEXT, 1 }, { RING_LOW_GPA, 60, NEXT, 2 },
					{ RING_LOW_GPA, 60, NEXT, 1 } } },
	{ "a loop of empty buffers", VHOST_PCI_VRING_E_LOOP, SPLIT,
			.desc = { { RING_LOW_GPA, 0, NEXT, 1 }, { RING_LOW_GPA, 0, NEXT, 0 } } },
	{ "a chain without an end", VHOST_PCI_VRING_E_LOOP, PACKED,
			.desc = { { RING_LOW_GPA, 1, NEXT, 0 }, { RING_LOW_GPA, 1, NEXT, 0 },
					{ RING_LOW_GPA, 1, NEXT, 0 }, { RING_LOW_GPA, 1, NEXT, 0 },
					{ RING_LOW_GPA, 1, NEXT, 0 }, { RING_LOW_GPA, 1, NEXT, 0 },
					{ RING_LOW_GPA, 1, NEXT, 0 },
					{ RING_LOW_GPA, 1, NEXT, 0 } } },
	{ "half of a chain", VHOST_PCI_VRING_E_WRAP, PACKED,
			.desc = { { RING_LOW_GPA, 1, NEXT, 0 }, { RING_LOW_GPA, 1, NEXT, 0 } } },

	/* Indirect tables. */
	{ "a table that was not negotiated", VHOST_PCI_VRING_E_INDIRECT, .no_indirect = true,
			.desc = TABLE(1), .entry = { GOOD } },
	{ "a table of no length", VHOST_PCI_VRING_E_INDIRECT_LEN, .desc = TABLE(0) },
	{ "a table shorter than an entry", VHOST_PCI_VRING_E_INDIRECT_LEN,
			.desc = { { TABLE_GPA, 15, INDIRECT, 0 } }, .entry = { GOOD } },
	{ "a table of an entry and a half", VHOST_PCI_VRING_E_INDIRECT_LEN,
			.desc = { { TABLE_GPA, 24, INDIRECT, 0 } }, .entry = { GOOD } },
	{ "a table longer than any of small queues", VHOST_PCI_VRING_E_INDIRECT_LEN,
			.desc = TABLE(VHOST_PCI_VRING_SMALL_TABLE + 1), .entry = { GOOD } },
	{ "a table of all memory", VHOST_PCI_VRING_E_INDIRECT_LEN,
			.desc = { { TABLE_GPA, UINT32_MAX - 15, INDIRECT, 0 } },
			.entry = { GOOD } },
	{ "a table and next", VHOST_PCI_VRING_E_INDIRECT_NEXT,
			.desc = { { TABLE_GPA, 16, INDIRECT | NEXT, 1 }, GOOD },
			.entry = { GOOD } },
	{ "a table in a table", VHOST_PCI_VRING_E_INDIRECT_NESTED, .desc = TABLE(1),
			.entry = { { TABLE_GPA, 16, INDIRECT, 0 } } },
	{ "a table in a table, further on", VHOST_PCI_VRING_E_INDIRECT_NESTED, .desc = TABLE(2),
			.entry = { { RING_LOW_GPA, 60, NEXT, 1 },
					{ TABLE_GPA, 16, INDIRECT, 0 } } },
	{ "next is the table's size", VHOST_PCI_VRING_E_NEXT, SPLIT, .desc = TABLE(3),
			.entry = { { RING_LOW_GPA, 60, NEXT, 3 }, GOOD, GOOD, GOOD } },
	{ "next of a table is beyond all", VHOST_PCI_VRING_E_NEXT, SPLIT, .desc = TABLE(1),
			.entry = { { RING_LOW_GPA, 60, NEXT, 0xffff } } },
	{ "a loop in a table", VHOST_PCI_VRING_E_LOOP, SPLIT, .desc = TABLE(2),
			.entry = { { RING_LOW_GPA, 60, NEXT, 1 }, { RING_LOW_GPA, 60, NEXT, 0 } } },

	/* Addresses. */
	{ "a buffer in no region", VHOST_PCI_VRING_E_ADDR, .desc = { { RING_HOLE_GPA, 1, 0, 0 } } },
	{ "a buffer at a region's end", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_FAR_GPA + RING_BUF_BYTES, 1, 0, 0 } } },
	{ "a buffer over a region's end", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_FAR_GPA + RING_BUF_BYTES - 1, 2, 0, 0 } } },
	{ "a buffer over the end of two regions", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_LOW_GPA, 2 * RING_BUF_BYTES + 1, 0, 0 } } },
	{ "a buffer before a region", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_LOW_GPA - 1, 2, 0, 0 } } },
	{ "a buffer that wraps", VHOST_PCI_VRING_E_ADDR, .desc = { { UINT64_MAX, 2, 0, 0 } } },
	{ "a buffer of all memory", VHOST_PCI_VRING_E_ADDR, .desc = { { 0, UINT32_MAX, 0, 0 } } },
	{ "a second buffer in no region", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_LOW_GPA, 60, NEXT, 1 }, { RING_HOLE_GPA, 1, 0, 0 } } },
	{ "a table in no region", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_HOLE_GPA, 16, INDIRECT, 0 } } },
	{ "a table over a region's end", VHOST_PCI_VRING_E_ADDR,
			.desc = { { RING_FAR_GPA + RING_BUF_BYTES - 8, 16, INDIRECT, 0 } } },
	{ "a table that wraps", VHOST_PCI_VRING_E_ADDR,
			.desc = { { UINT64_MAX - 7, 16, INDIRECT, 0 } } },
	{ "a table's buffer in no region", VHOST_PCI_VRING_E_ADDR, .desc = TABLE(1),
			.entry = { { RING_HOLE_GPA, 1, 0, 0 } } },

	/* Directions. */
	{ "a writable buffer to read", VHOST_PCI_VRING_E_DIRECTION,
			.desc = { { RING_LOW_GPA, 60, WRITE, 0 } } },
	{ "a readable buffer to write", VHOST_PCI_VRING_E_DIRECTION, .dir = VHOST_PCI_ENQUEUE,
			.desc = { GOOD } },
	{ "writable before readable", VHOST_PCI_VRING_E_DIRECTION,
			.desc = { { RING_LOW_GPA, 60, NEXT | WRITE, 1 }, GOOD } },
	{ "readable before writable", VHOST_PCI_VRING_E_DIRECTION, .dir = VHOST_PCI_ENQUEUE,
			.desc = { { RING_LOW_GPA, 60, NEXT, 1 }, { RING_LOW_GPA, 60, WRITE, 0 } } },
	{ "an empty buffer of the wrong direction", VHOST_PCI_VRING_E_DIRECTION,
			.desc = { { RING_LOW_GPA, 0, WRITE, 0 } } },
	{ "a table's buffer of the wrong direction", VHOST_PCI_VRING_E_DIRECTION, SPLIT,
			.desc = TABLE(2),
			.entry = { { RING_LOW_GPA, 60, NEXT, 1 },
					{ RING_LOW_GPA, 60, WRITE, 0 } } },
	{ "a table's buffer that can't be written", VHOST_PCI_VRING_E_DIRECTION, PACKED,
			.dir = VHOST_PCI_ENQUEUE, .desc = TABLE(2),
			.entry = { { RING_LOW_GPA, 60, WRITE, 1 }, { RING_LOW_GPA, 60, 0, 0 } } },
};

/* Write a chain from slot 0 on, and make it available whatever it is. */
static void
offer_malformed(struct ring *ring, const struct malformed *bad)
{
	unsigned int nb = MAX_DESCS, i;

	while (nb > 0 && bad->desc[nb - 1].gpa == 0 && bad->desc[nb - 1].len == 0)
		nb--;
	for (i = 0; i < MAX_DESCS; i++)
		ring_write_entry(ring, TABLE_GPA, i, &bad->entry[i]);
	for (i = 0; i < nb; i++) {
		struct vhost_pci_desc desc = bad->desc[i];

		/* Half of a chain: what follows is not available. */
		if (ring->is_packed)
			desc.flags |= ring_avail_flags(
					bad->error != VHOST_PCI_VRING_E_WRAP || i == 0);
		ring_write_desc(ring, (uint16_t)i, &desc);
	}
	if (!ring->is_packed) {
		ring->avail->ring[0] = bad->head;
		ring->avail->idx = 1;
	}
}

/* One burst: take what comes until there is nothing, or an error. Returns what ended it. */
static int
burst(struct ring *ring, enum vhost_pci_dir dir)
{
	struct vhost_pci_chain chain = { 0 };
	int ret;

	assert_int_equal(vhost_pci_vring_enter(ring->vr), VHOST_PCI_VRING_ON);
	vhost_pci_ring_begin(ring->vr);
	while ((ret = ring_next(ring, &chain, dir)) > 0)
		ring_put(ring, &chain, 0);
	ring_end(ring);
	vhost_pci_vring_leave(ring->vr);
	return ret;
}

/* Broken for this reason, told once, and left alone from now on. */
static void
expect_broken(struct ring *ring, const char *name, enum vhost_pci_vring_error error)
{
	unsigned int i;

	if (ring->vr->error != error)
		fail_msg("%s: broken for '%s'", name, vhost_pci_vring_error_name(ring->vr->error));
	assert_int_equal(test_eventfd_read(ring->broken_fd), 1);
	assert_int_equal(test_eventfd_read(ring->call_fd), 0);
	ring_forbid(ring);
	for (i = 0; i < 3; i++)
		assert_int_equal(vhost_pci_vring_enter(ring->vr), VHOST_PCI_VRING_OFF);
	assert_int_equal(test_eventfd_read(ring->broken_fd), 0);
}

static void
check_malformed(const struct malformed *bad, bool is_packed)
{
	struct ring ring;
	uint32_t base;

	ring_open(&ring,
			&(struct ring_conf){ .is_packed = is_packed,
					.size = SIZE,
					.no_indirect = bad->no_indirect });
	base = vhost_pci_vring_get_base(ring.vr);
	offer_malformed(&ring, bad);
	if (burst(&ring, bad->dir) != -EPROTO)
		fail_msg("%s: no error", bad->name);
	expect_broken(&ring, bad->name, bad->error);
	/* Nothing was taken. */
	assert_int_equal(vhost_pci_vring_get_base(ring.vr), base);
	ring_close(&ring);
}

static void
test_malformed(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		if (malformed[i].formats != PACKED)
			check_malformed(&malformed[i], false);
		if (malformed[i].formats != SPLIT)
			check_malformed(&malformed[i], true);
	}
}

static void
test_avail_idx(void **state)
{
	static const uint16_t jumps[] = { SIZE + 1, 0x7fff, 0x8000, 0xffff };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		struct ring ring;

		ring_open(&ring, &(struct ring_conf){ .size = SIZE, .base = 0xfffc });
		ring.avail->idx = (uint16_t)(0xfffc + jumps[i]);
		assert_int_equal(burst(&ring, VHOST_PCI_DEQUEUE), -EPROTO);
		expect_broken(&ring, "avail idx", VHOST_PCI_VRING_E_AVAIL_IDX);
		ring_close(&ring);
	}
}

/* More than 4 GiB: one region is stretched, for there is no other way to have so many bytes. */
static void
test_length(void **state)
{
	const struct ring_buf bufs[] = { { RING_FAR_GPA, 1u << 31 }, { RING_FAR_GPA, 1u << 31 } };
	unsigned int nb_direct;

	for (nb_direct = 0; nb_direct <= 2; nb_direct += 2) {
		struct ring ring;

		ring_open(&ring, *state);
		ring.mem->region[RING_REGION_FAR].size = UINT64_C(1) << 33;
		ring_offer(&ring,
				&(struct ring_offer){ .bufs = bufs,
						.nb_direct = nb_direct,
						.nb_indirect = 2 - nb_direct,
						.table_gpa = TABLE_GPA });
		ring_publish(&ring);
		assert_int_equal(burst(&ring, VHOST_PCI_DEQUEUE), -EPROTO);
		expect_broken(&ring, "length", VHOST_PCI_VRING_E_LENGTH);
		ring.mem->region[RING_REGION_FAR].size = RING_BUF_BYTES;
		ring_close(&ring);
	}
}

/* Buffers in so many regions that a single chain does not fit into the segments. */
static void
test_segments(void **state)
{
	/* First in pieces, then of one region only. */
	const struct ring_buf bufs[] = {
		{ RING_HIGH_GPA - 1, 2 },
		{ RING_FAR_GPA, 1 },
		{ RING_HIGH_GPA - 1, 2 },
		{ RING_LOW_GPA, 1 },
		{ RING_LOW_GPA, 1 },
		{ RING_LOW_GPA, 1 },
	};
	uint32_t i;

	for (i = 0; i < 8; i++) {
		struct ring ring;

		ring_open(&ring, *state);
		ring.vr->max_segs = i < 5 ? i : i - 5;
		ring_offer(&ring,
				&(struct ring_offer){ .bufs = i < 5 ? bufs : bufs + 3,
						.nb_direct = 3 });
		ring_publish(&ring);
		assert_int_equal(burst(&ring, VHOST_PCI_DEQUEUE), -EPROTO);
		expect_broken(&ring, "segments", VHOST_PCI_VRING_E_SEGMENTS);
		ring_close(&ring);
	}
}

/* What was taken before the malformed chain is returned, and the driver is told. */
static void
test_good_chains_before(void **state)
{
	struct ring ring;
	uint32_t id, len;
	unsigned int i;

	ring_open(&ring, *state);
	for (i = 0; i < 5; i++)
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	ring_offer_one(&ring, RING_HOLE_GPA, 60, false);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(burst(&ring, VHOST_PCI_DEQUEUE), -EPROTO);
	for (i = 0; i < 5; i++)
		assert_true(ring_get_used(&ring, &id, &len));
	assert_false(ring_get_used(&ring, &id, &len));
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	expect_broken(&ring, "the sixth", VHOST_PCI_VRING_E_ADDR);
	ring_close(&ring);
}

static void
test_discard_of_malformed(void **state)
{
	struct ring ring;
	unsigned int i;

	ring_open(&ring, *state);
	for (i = 0; i < 5; i++)
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	ring_offer_one(&ring, RING_LOW_GPA, 60, true);
	assert_int_equal(vhost_pci_ring_discard(ring.vr, 32), 5);
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	expect_broken(&ring, "the sixth", VHOST_PCI_VRING_E_DIRECTION);
	ring_close(&ring);
}

/* A packed ring's wrap bits that lie: a descriptor of the last lap, or of no lap, is no chain. */
static void
test_wrap_bits(void **state)
{
	struct vhost_pci_desc desc = { RING_LOW_GPA, 60, 0, 0 };
	struct vhost_pci_chain chain = { 0 };
	unsigned int wrap, bits;

	(void)state;
	for (wrap = 0; wrap < 2; wrap++) {
		struct ring ring;

		ring_open(&ring,
				&(struct ring_conf){ .is_packed = true,
						.size = SIZE,
						.base = wrap ? 0x80038003 : 0x00030003 });
		for (bits = 0; bits < 4; bits++) {
			desc.flags = (bits & 1 ? ring_avail_flags(true) : 0) |
					(bits & 2 ? ring_avail_flags(false) : 0);
			ring_write_desc(&ring, 3, &desc);
			assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE),
					desc.flags == ring_avail_flags(wrap));
		}
		ring_close(&ring);
	}
}

/* Numbers that are good, bad, and just at the edge. */
static uint64_t
random_gpa(uint64_t *seed)
{
	static const uint64_t bases[] = { RING_LOW_GPA, RING_HIGH_GPA, RING_FAR_GPA,
		RING_FAR_GPA + RING_BUF_BYTES, RING_HIGH_GPA + RING_BUF_BYTES, RING_HOLE_GPA, 0 };
	uint64_t base = bases[ring_random(seed) % 7];

	switch (ring_random(seed) % 8) {
	case 0:
		return base - ring_random(seed) % 64;
	case 1:
		return base + ring_random(seed) % RING_BUF_BYTES;
	case 2:
		return (uint64_t)ring_random(seed) << 33 | ring_random(seed);
	default:
		return RING_LOW_GPA + 8 * (ring_random(seed) % 64);
	}
}

static uint32_t
random_len(uint64_t *seed)
{
	switch (ring_random(seed) % 8) {
	case 0:
		return 0;
	case 1:
		return ring_random(seed) << 1 | (ring_random(seed) & 1);
	case 2:
		return ring_random(seed) % (2 * RING_BUF_BYTES);
	case 3:
		return 1 + ring_random(seed) % 2000;
	default:
		return 16 * (ring_random(seed) % (SIZE + 1));
	}
}

static struct vhost_pci_desc
random_desc(uint64_t *seed, bool is_packed)
{
	struct vhost_pci_desc desc = { .gpa = random_gpa(seed), .len = random_len(seed) };

	if (ring_random(seed) % 3 == 0)
		desc.flags |= NEXT;
	if (ring_random(seed) % 4 == 0)
		desc.flags |= INDIRECT;
	if (ring_random(seed) % 64 == 0)
		desc.flags |= WRITE;
	if (ring_random(seed) % 128 == 0)
		desc.flags |= (uint16_t)ring_random(seed);
	desc.next = ring_random(seed) % (ring_random(seed) % 32 == 0 ? 65536 : SIZE);
	if (is_packed)
		desc.flags |= ring_avail_flags(ring_random(seed) % 2);
	return desc;
}

/* Chains are as they were promised: in the memory, and adding up. */
static void
check_segments(const struct ring *ring, const struct vhost_pci_chain *chain)
{
	uint64_t len = 0;
	uint32_t i;

	if (chain->seg_idx + chain->nb_segs > ring->vr->max_segs)
		fail_msg("%u segments", chain->nb_segs);
	for (i = 0; i < chain->nb_segs; i++) {
		const struct vhost_pci_seg *seg = &ring->vr->segs[chain->seg_idx + i];

		if (seg->len == 0 || !ring_in_region(ring, seg->va, seg->len))
			fail_msg("segment %u of %u: %u bytes at %p", i, chain->nb_segs, seg->len,
					(void *)seg->va);
		len += seg->len;
	}
	if (len != chain->len || chain->nb_slots == 0 || chain->nb_slots > SIZE)
		fail_msg("%u bytes in %u slots", chain->len, chain->nb_slots);
}

/* Take and return what comes. Returns the number of chains; @p broken counts broken rings. */
static unsigned int
walk(struct ring *ring, unsigned int *broken)
{
	struct vhost_pci_chain chain = { 0 };
	unsigned int nb = 0;
	int ret = 0;

	vhost_pci_ring_begin(ring->vr);
	while (nb < 64 && (ret = ring_next(ring, &chain, VHOST_PCI_DEQUEUE)) > 0) {
		check_segments(ring, &chain);
		ring_put(ring, &chain, 0);
		if (nb++ % 16 == 15)
			vhost_pci_ring_drop_segs(ring->vr);
	}
	ring_end(ring);
	*broken += ret < 0;
	return nb;
}

/* Start over at the beginning, whatever is in the ring. */
static void
restart(struct ring *ring)
{
	uint32_t base = RING_PACKED_START;

	if (!ring->is_packed)
		base = (uint16_t)(ring->avail->idx - SIZE / 2);
	vhost_pci_vring_pause(ring->vr);
	assert_int_equal(vhost_pci_vring_set_base(ring->vr, base), 0);
	vhost_pci_vring_resume(ring->vr, VHOST_PCI_VRING_ON);
}

/* Rings full of numbers: all errors are met, and none of them reads or writes beyond. */
static void
test_random_rings(void **state)
{
	const struct ring_conf conf = { .is_packed = ((struct ring_conf *)*state)->is_packed,
		.size = SIZE };
	unsigned int nb_errors[VHOST_PCI_VRING_E_MAX] = { 0 };
	unsigned int round, i, nb = 0, broken = 0;
	uint64_t seed = 20260101;
	struct ring ring;

	ring_open(&ring, &conf);
	for (round = 0; round < 30000; round++) {
		for (i = 0; i < SIZE; i++) {
			struct vhost_pci_desc desc = random_desc(&seed, conf.is_packed);

			ring_write_desc(&ring, (uint16_t)i, &desc);
			if (!conf.is_packed)
				ring.avail->ring[i] = ring_random(&seed) %
						(ring_random(&seed) % 32 == 0 ? 65536 : SIZE);
		}
		for (i = 0; i < 32; i++) {
			struct vhost_pci_desc desc = random_desc(&seed, conf.is_packed);

			ring_write_entry(&ring, RING_LOW_GPA, i, &desc);
		}
		if (!conf.is_packed && round % 16 == 0)
			ring.avail->idx = (uint16_t)ring_random(&seed);
		restart(&ring);
		nb += walk(&ring, &broken);
		nb_errors[ring.vr->error]++;
	}
	assert_int_equal(broken + nb_errors[VHOST_PCI_VRING_OK], 30000);
	assert_true(nb > 1000 && broken > 1000);
	assert_true(nb_errors[VHOST_PCI_VRING_E_NEXT] > 0 || conf.is_packed);
	assert_true(nb_errors[VHOST_PCI_VRING_E_HEAD] > 0 || conf.is_packed);
	assert_true(nb_errors[VHOST_PCI_VRING_E_LOOP] > 0 || conf.is_packed);
	assert_true(nb_errors[VHOST_PCI_VRING_E_WRAP] > 0 || !conf.is_packed);
	for (i = VHOST_PCI_VRING_E_INDIRECT_LEN; i <= VHOST_PCI_VRING_E_DIRECTION; i++)
		assert_true(nb_errors[i] > 0);
	ring_close(&ring);
}

/* A thread that rewrites the ring, its tables and its indexes all the time. */
struct racer {
	struct ring *ring;
	uint32_t stop;
};

static void *
race_thread(void *arg)
{
	struct racer *racer = arg;
	struct ring *ring = racer->ring;
	vhost_pci_word64 *table = (vhost_pci_word64 *)(void *)ring_va(ring, RING_LOW_GPA);
	uint64_t seed = 7;

	while (vhost_pci_load_relaxed(&racer->stop) == 0) {
		struct vhost_pci_desc desc = random_desc(&seed, ring->is_packed);
		struct vhost_pci_desc entry = random_desc(&seed, ring->is_packed);
		uint64_t rest = ring->is_packed ? entry.len | (uint64_t)entry.next << 32 |
						(uint64_t)entry.flags << 48
						: entry.len | (uint64_t)entry.flags << 32 |
						(uint64_t)entry.next << 48;
		unsigned int idx = ring_random(&seed) % 64;

		ring_write_desc(ring, ring_random(&seed) % SIZE, &desc);
		vhost_pci_store_relaxed(&table[2 * idx], entry.gpa);
		vhost_pci_store_relaxed(&table[2 * idx + 1], rest);
		if (ring->is_packed)
			continue;
		vhost_pci_store_relaxed(&ring->avail->ring[ring_random(&seed) % SIZE],
				(uint16_t)(ring_random(&seed) % (SIZE + 1)));
		if (ring_random(&seed) % 8 == 0)
			vhost_pci_store_relaxed(&ring->avail->idx, (uint16_t)ring_random(&seed));
		else
			vhost_pci_store_relaxed(&ring->avail->idx,
					(uint16_t)(vhost_pci_load_relaxed(&ring->used->idx) +
							ring_random(&seed) % SIZE));
	}
	return NULL;
}

static uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What was checked is what is used, though everything changes between any two looks. */
static void
test_racing_peer(void **state)
{
	const struct ring_conf conf = { .is_packed = ((struct ring_conf *)*state)->is_packed,
		.size = SIZE };
	unsigned int nb = 0, broken = 0, round;
	struct racer racer = { 0 };
	struct ring ring;
	pthread_t thread;
	uint64_t end;

	ring_open(&ring, &conf);
	racer.ring = &ring;
	assert_int_equal(pthread_create(&thread, NULL, race_thread, &racer), 0);
	end = now_ms() + 700;
	for (round = 0; now_ms() < end || nb == 0 || broken == 0; round++) {
		if (vhost_pci_vring_enter(ring.vr) == VHOST_PCI_VRING_OFF) {
			uint32_t base = conf.is_packed ? RING_PACKED_START : round & 0xffff;

			assert_int_equal(vhost_pci_vring_set_base(ring.vr, base), 0);
			vhost_pci_vring_resume(ring.vr, VHOST_PCI_VRING_ON);
			continue;
		}
		nb += walk(&ring, &broken);
		vhost_pci_vring_leave(ring.vr);
	}
	vhost_pci_store_relaxed(&racer.stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	ring_close(&ring);
}

static const struct CMUnitTest ring_hostile_tests[] = {
	cmocka_unit_test(test_malformed),
	cmocka_unit_test(test_avail_idx),
	RING_BOTH_FORMATS(test_length),
	RING_BOTH_FORMATS(test_segments),
	RING_BOTH_FORMATS(test_good_chains_before),
	RING_BOTH_FORMATS(test_discard_of_malformed),
	cmocka_unit_test(test_wrap_bits),
	RING_BOTH_FORMATS(test_random_rings),
	RING_BOTH_FORMATS(test_racing_peer),
};

REGISTER_TEST_GROUP(ring_hostile_autotest, ring_hostile_tests, NULL, NULL);
