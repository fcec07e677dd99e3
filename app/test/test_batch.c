/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Plain chains taken many at a time, by each instruction set that the processor has, against the
 * walk of one chain after the other.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ring_driver.h"
#include "test.h"
#include "vhost_pci_batch.h"

/* A ring and the instruction set to walk it with. */
struct batch_conf {
	struct ring_conf ring;
	enum vhost_pci_isa isa;
};

static struct batch_conf split_scalar = { { .size = 64 }, VHOST_PCI_ISA_SCALAR };
static struct batch_conf packed_scalar = { { .is_packed = true, .size = 61 },
	VHOST_PCI_ISA_SCALAR };
static struct batch_conf packed_avx2 = { { .is_packed = true, .size = 61 }, VHOST_PCI_ISA_AVX2 };
static struct batch_conf packed_avx512 = { { .is_packed = true, .size = 61 },
	VHOST_PCI_ISA_AVX512 };
static struct batch_conf tiny_scalar = { { .is_packed = true, .size = 1 }, VHOST_PCI_ISA_SCALAR };
static struct batch_conf tiny_avx2 = { { .is_packed = true, .size = 1 }, VHOST_PCI_ISA_AVX2 };
static struct batch_conf tiny_avx512 = { { .is_packed = true, .size = 1 }, VHOST_PCI_ISA_AVX512 };

/* Four entries of an array of struct CMUnitTest. */
#define BATCH_ALL_TAKERS(test) \
	{ #test "_split", test, NULL, NULL, &split_scalar }, \
			{ #test "_packed", test, NULL, NULL, &packed_scalar }, \
			{ #test "_packed_avx2", test, NULL, NULL, &packed_avx2 }, \
	{ \
#test "_packed_avx512", test, NULL, NULL, &packed_avx512 \
	}

/* The taker of a configuration; the test is skipped where the processor has none. */
static vhost_pci_take_fn_t
taker(const struct batch_conf *conf, enum vhost_pci_dir dir)
{
	const unsigned int kind = conf->ring.is_packed ? VHOST_PCI_RING_PACKED
						       : VHOST_PCI_RING_SPLIT;
	enum vhost_pci_isa isa = conf->isa;
	vhost_pci_take_fn_t take;

	if (!vhost_pci_isa_supported(conf->isa)) {
		print_message("# this processor or build is without %s\n",
				vhost_pci_isa_name(conf->isa));
		skip();
	}
	take = vhost_pci_batch_taker(kind, dir, &isa);
	assert_int_equal(isa, conf->isa);
	return take;
}

/* Bring a region into the queue's cache: only then are chains plain. */
static void
prime_cache(struct ring *ring, uint64_t gpa)
{
	uint32_t len = 1;

	assert_non_null(vhost_pci_mem_gpa_to_va(ring->mem, &ring->vr->cache, gpa, &len));
}

static void
commit(struct ring *ring, unsigned int nb)
{
	if (ring->is_packed)
		vhost_pci_batch_commit(ring->vr, nb, VHOST_PCI_RING_PACKED);
	else
		vhost_pci_batch_commit(ring->vr, nb, VHOST_PCI_RING_SPLIT);
}

static void
put(struct ring *ring, const struct vhost_pci_batch *batch, const uint32_t *lens, unsigned int nb)
{
	if (ring->is_packed)
		vhost_pci_batch_put(ring->vr, batch, lens, nb, VHOST_PCI_RING_PACKED);
	else
		vhost_pci_batch_put(ring->vr, batch, lens, nb, VHOST_PCI_RING_SPLIT);
}

/* Descriptors as peers write them, and as only bad ones do. */
static struct vhost_pci_desc
random_desc(uint64_t *seed, bool writable)
{
	static const uint64_t gpas[] = { RING_HOLE_GPA, RING_FAR_GPA, RING_HIGH_GPA,
		RING_LOW_GPA - 1, UINT64_MAX, 0, UINT64_C(1) << 63,
		RING_LOW_GPA + (UINT64_C(1) << 32), RING_LOW_GPA + (UINT64_C(1) << 63) };
	static const uint32_t lens[] = { 0, 1, RING_BUF_BYTES, RING_BUF_BYTES + 1, 1u << 31,
		UINT32_MAX };
	uint32_t offset = ring_random(seed) % RING_BUF_BYTES;
	struct vhost_pci_desc desc = {
		.gpa = RING_LOW_GPA + offset,
		.len = 1 + ring_random(seed) % (RING_BUF_BYTES - offset),
		.flags = writable ? VRING_DESC_F_WRITE : 0,
	};

	switch (ring_random(seed) % 48) {
	case 0:
		desc.gpa = gpas[ring_random(seed) % (sizeof(gpas) / sizeof(gpas[0]))];
		break;
	case 1:
		desc.len = lens[ring_random(seed) % (sizeof(lens) / sizeof(lens[0]))];
		break;
	case 2:
		desc.len = RING_BUF_BYTES - offset + ring_random(seed) % 2;
		break;
	case 3:
		desc.flags ^= (uint16_t)(1u << ring_random(seed) % 3);
		break;
	case 4: /* A bit that means nothing. */
		desc.flags |= 1u << (3 + ring_random(seed) % 4);
		break;
	}
	return desc;
}

/* Fill the ring's slots from the next available one on; returns how many are available. */
static uint16_t
fill_random(struct ring *ring, uint64_t *seed, bool writable)
{
	uint16_t nb = (uint16_t)(ring_random(seed) % (ring->size + 1u));
	uint16_t slot = ring->vr->avail_idx;
	bool wrap = ring->vr->avail_wrap;
	uint16_t i;

	for (i = 0; i < nb; i++) {
		struct vhost_pci_desc desc = random_desc(seed, writable);

		if (ring->is_packed) {
			desc.flags |= ring_avail_flags(wrap);
			desc.next = (uint16_t)ring_random(seed);
			ring_write_desc(ring, slot, &desc);
			slot = (uint16_t)(slot + 1) % ring->size;
			wrap = slot == 0 ? !wrap : wrap;
			continue;
		}
		ring_write_desc(ring, i, &desc);
		ring->avail->ring[(slot + i) & (ring->size - 1)] = ring_random(seed) % 256 == 0
				? (uint16_t)ring_random(seed)
				: i;
	}
	if (!ring->is_packed)
		vhost_pci_store_release(&ring->avail->idx, (uint16_t)(slot + nb));
	return nb;
}

/* A base with both halves alike, anywhere in the ring. */
static uint32_t
random_base(const struct ring *ring, uint64_t *seed)
{
	uint32_t slot = ring_random(seed) % ring->size;

	if (!ring->is_packed)
		return ring_random(seed) & UINT16_MAX;
	if (ring_random(seed) % 2 != 0)
		slot |= 1u << VHOST_PCI_BASE_WRAP_BIT;
	return slot | slot << 16;
}

/* Whether the walk's next chain is one that a taker has to take as well. */
static bool
is_plain(const struct ring *ring, const struct vhost_pci_chain *chain, int ret, uint16_t flags)
{
	const struct vhost_pci_mem_region *region = &ring->mem->region[RING_REGION_LOW];
	const struct vhost_pci_seg *seg = &ring->vr->segs[chain->seg_idx];

	return ret == 1 && chain->nb_segs == 1 && chain->nb_slots == 1 &&
			(flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) == 0 &&
			seg->va >= region->va && seg->va < region->va + region->size;
}

/* The flags of the next available descriptor. */
static uint16_t
next_flags(const struct ring *ring)
{
	uint16_t head;

	if (ring->is_packed)
		return ring->pdesc[ring->vr->avail_idx].flags;
	head = ring->avail->ring[ring->vr->avail_idx & (ring->size - 1)];
	return head < ring->size ? ring->desc[head].flags : 0;
}

/* Compare what was taken with the walk, which takes it now; the next one must not be plain. */
static void
compare_with_walk(struct ring *ring, const struct vhost_pci_batch *batch, unsigned int nb,
		unsigned int max, enum vhost_pci_dir dir)
{
	const struct vhost_pci_mem_cache cache = ring->vr->cache;
	struct vhost_pci_chain chain;
	unsigned int i;
	uint16_t flags;
	int ret;

	if (nb == max)
		assert_false(batch->is_last);
	for (i = 0; i < max; i++) {
		memset(&chain, 0, sizeof(chain));
		ring->vr->cache = cache;
		flags = next_flags(ring);
		ret = ring_next(ring, &chain, dir);
		assert_int_equal(is_plain(ring, &chain, ret, flags), i < nb);
		if (i >= nb) {
			assert_int_equal(batch->is_last, ret == 0);
			break;
		}
		assert_ptr_equal(batch->va[i], ring->vr->segs[chain.seg_idx].va);
		assert_int_equal(batch->len[i], chain.len);
		assert_int_equal(batch->id[i], chain.id);
	}
}

static void
take_random(struct ring *ring, const struct batch_conf *conf, enum vhost_pci_dir dir,
		uint64_t *seed)
{
	unsigned int max = 1 + ring_random(seed) % VHOST_PCI_BATCH;
	vhost_pci_take_fn_t take = taker(conf, dir);
	struct vhost_pci_batch batch;
	struct vhost_pci_vring before;
	unsigned int nb;

	ring_start(ring, random_base(ring, seed));
	fill_random(ring, seed, dir == VHOST_PCI_ENQUEUE);
	prime_cache(ring, RING_LOW_GPA);
	before = *ring->vr;
	nb = take(ring->vr, &batch, max);
	assert_true(nb <= max);
	/* But for the driver's index, which may be known now, nothing has moved. */
	before.avail_seen = ring->vr->avail_seen;
	assert_memory_equal(&before, ring->vr, sizeof(before));
	compare_with_walk(ring, &batch, nb, max, dir);
}

/* Good and bad descriptors at random: the same chains as the walk's, in both directions. */
static void
test_random(void **state)
{
	const struct batch_conf *conf = *state;
	uint64_t seed = 4711;
	struct ring ring;
	unsigned int i;

	taker(conf, VHOST_PCI_DEQUEUE);
	ring_open(&ring, &conf->ring);
	for (i = 0; i < 20000; i++)
		take_random(&ring, conf, i % 2 == 0 ? VHOST_PCI_DEQUEUE : VHOST_PCI_ENQUEUE, &seed);
	ring_close(&ring);
}

/* With nothing in the cache, or nothing mapped where it was, no chain is plain. */
static void
test_no_cache(void **state)
{
	const struct batch_conf *conf = *state;
	vhost_pci_take_fn_t take = taker(conf, VHOST_PCI_DEQUEUE);
	struct vhost_pci_batch batch;
	struct ring ring;
	int i;

	ring_open(&ring, &conf->ring);
	assert_int_equal(take(ring.vr, &batch, VHOST_PCI_BATCH), 0);
	for (i = 0; i < 16; i++)
		assert_true(ring_offer_one(&ring, RING_LOW_GPA, 60, false) >= 0);
	assert_int_equal(take(ring.vr, &batch, VHOST_PCI_BATCH), 0);
	prime_cache(&ring, RING_LOW_GPA);
	assert_int_equal(take(ring.vr, &batch, VHOST_PCI_BATCH), 16);
	ring_close(&ring);
}

/* Batches through a ring for many laps: taken, returned with any length, seen by the driver. */
static void
test_laps(void **state)
{
	const struct batch_conf *conf = *state;
	vhost_pci_take_fn_t take = taker(conf, VHOST_PCI_ENQUEUE);
	uint32_t lens[VHOST_PCI_BATCH], id, len;
	int ids[VHOST_PCI_BATCH];
	struct vhost_pci_batch batch;
	unsigned int round, nb, i;
	uint64_t seed = 815;
	struct ring ring;

	ring_open(&ring, &conf->ring);
	prime_cache(&ring, RING_LOW_GPA);
	for (round = 0; round < 3000; round++) {
		nb = 1 + ring_random(&seed) % VHOST_PCI_BATCH;
		for (i = 0; i < nb; i++) {
			lens[i] = ring_random(&seed) % 3;
			ids[i] = ring_offer_one(&ring, RING_LOW_GPA + i, 100 + i, true);
		}
		assert_int_equal(take(ring.vr, &batch, VHOST_PCI_BATCH), nb);
		commit(&ring, nb);
		put(&ring, &batch, round % 2 == 0 ? lens : NULL, nb);
		assert_false(ring_get_used(&ring, &id, &len));
		ring_end(&ring);
		for (i = 0; i < nb; i++) {
			assert_true(ring_get_used(&ring, &id, &len));
			assert_int_equal(id, ids[i]);
			assert_int_equal(len, round % 2 == 0 ? lens[i] : 0);
		}
		assert_false(ring_get_used(&ring, &id, &len));
	}
	ring_close(&ring);
}

/* Batches and single chains in turn, in one burst: the first of all is published last. */
static void
test_mixed_with_walk(void **state)
{
	const struct batch_conf *conf = *state;
	vhost_pci_take_fn_t take = taker(conf, VHOST_PCI_DEQUEUE);
	struct vhost_pci_chain chain = { 0 };
	struct vhost_pci_batch batch;
	struct ring ring;
	uint32_t id, len;
	int ids[48], i;

	ring_open(&ring, &conf->ring);
	prime_cache(&ring, RING_LOW_GPA);
	for (i = 0; i < 48; i++)
		ids[i] = ring_offer_one(&ring, RING_LOW_GPA + i, 100, false);
	for (i = 0; i < 48; i += 16) {
		assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
		ring_put(&ring, &chain, 0);
		assert_int_equal(take(ring.vr, &batch, 15), 15);
		commit(&ring, 15);
		put(&ring, &batch, NULL, 15);
		assert_false(ring_get_used(&ring, &id, &len));
	}
	ring_end(&ring);
	for (i = 0; i < 48; i++) {
		assert_true(ring_get_used(&ring, &id, &len));
		assert_int_equal(id, ids[i]);
	}
	ring_close(&ring);
}

/* In order one entry, in the place of the first chain, stands for a batch; the next follows it. */
static void
check_in_order_entry(const struct ring *ring, unsigned int place, int id)
{
	const struct vring_used_elem *elem;
	const struct vring_packed_desc *desc;
	bool wrap = place / ring->size % 2 == 0;

	if (ring->is_packed) {
		desc = &ring->pdesc[place % ring->size];
		assert_int_equal(desc->id, id);
		assert_int_equal(desc->flags, vhost_pci_packed_used_flags(wrap));
		return;
	}
	elem = &ring->used->ring[place % ring->size];
	assert_int_equal(elem->id, id);
	assert_int_equal(elem->len, 0);
	assert_int_equal(vhost_pci_load_relaxed(&ring->used->idx), ring->vr->used_idx);
}

static void
test_in_order(void **state)
{
	const struct batch_conf *conf = *state;
	const unsigned int kind = conf->ring.is_packed ? VHOST_PCI_RING_PACKED
						       : VHOST_PCI_RING_SPLIT;
	vhost_pci_take_fn_t take = taker(conf, VHOST_PCI_DEQUEUE);
	unsigned int round, nb, i, place = 0;
	struct vhost_pci_batch batch;
	uint64_t seed = 7;
	struct ring ring;
	int last = -1;

	ring_open(&ring, &conf->ring);
	prime_cache(&ring, RING_LOW_GPA);
	for (round = 0; round < 500; round++) {
		nb = 1 + ring_random(&seed) % VHOST_PCI_BATCH;
		for (i = 0; i < nb; i++)
			last = ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_int_equal(take(ring.vr, &batch, VHOST_PCI_BATCH), nb);
		vhost_pci_batch_commit(ring.vr, nb, kind);
		vhost_pci_batch_put_in_order(ring.vr, batch.id[nb - 1], nb, kind);
		ring_end(&ring);
		check_in_order_entry(&ring, place, last);
		place += nb;
		assert_int_equal(ring.vr->used_idx % ring.size, place % ring.size);
		/* The test driver knows no batches: all its chains are free again. */
		memset(ring.nb_descs, 0, ring.size * sizeof(ring.nb_descs[0]));
		ring.nb_free = ring.size;
		ring.nb_free_ids = ring.size;
	}
	ring_close(&ring);
}

/* A peer that rewrites descriptors while they are looked at. */
struct racer {
	struct ring *ring;
	bool stop;
};

static void *
race_thread(void *arg)
{
	struct racer *racer = arg;
	struct ring *ring = racer->ring;
	uint64_t seed = 42;

	while (!vhost_pci_load_relaxed(&racer->stop)) {
		struct vhost_pci_desc desc = random_desc(&seed, false);

		if (ring_random(&seed) % 4 == 0)
			desc.gpa = RING_HOLE_GPA;
		if (ring->is_packed)
			desc.flags |= ring_avail_flags(ring_random(&seed) % 64 != 0);
		ring_write_desc(ring, (uint16_t)(ring_random(&seed) % 32), &desc);
	}
	return NULL;
}

/* Whatever the peer does, what was taken lies in the region. */
static void
test_race(void **state)
{
	const struct batch_conf *conf = *state;
	vhost_pci_take_fn_t take = taker(conf, VHOST_PCI_DEQUEUE);
	struct vhost_pci_batch batch;
	unsigned int round, nb, i;
	uint64_t nb_taken = 0;
	struct racer racer;
	pthread_t thread;
	struct ring ring;

	ring_open(&ring, &conf->ring);
	prime_cache(&ring, RING_LOW_GPA);
	for (i = 0; i < 32; i++)
		ring_offer_one(&ring, RING_LOW_GPA, 100, false);
	racer = (struct racer){ &ring, false };
	assert_int_equal(pthread_create(&thread, NULL, race_thread, &racer), 0);
	for (round = 0; round < 200000 || nb_taken < 10000; round++) {
		nb = take(ring.vr, &batch, VHOST_PCI_BATCH);
		nb_taken += nb;
		for (i = 0; i < nb; i++)
			assert_true(batch.len[i] > 0 &&
					ring_in_region(&ring, batch.va[i], batch.len[i]));
	}
	vhost_pci_store_relaxed(&racer.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
	ring_close(&ring);
}

/* A peer that offers its only descriptor again and again, in this lap and in the next one. */
static void *
turn_thread(void *arg)
{
	struct vhost_pci_desc desc = { .gpa = RING_LOW_GPA, .len = 100 };
	struct racer *racer = arg;
	bool wrap = false;

	while (!vhost_pci_load_relaxed(&racer->stop)) {
		wrap = !wrap;
		desc.flags = ring_avail_flags(wrap);
		ring_write_desc(racer->ring, 0, &desc);
	}
	return NULL;
}

/* No more is taken than there are descriptors, so that the ring's end is not passed. */
static void
test_race_laps(void **state)
{
	const struct batch_conf *conf = *state;
	vhost_pci_take_fn_t take = taker(conf, VHOST_PCI_DEQUEUE);
	struct vhost_pci_batch batch;
	unsigned int round, nb;
	uint64_t nb_taken = 0;
	struct racer racer;
	pthread_t thread;
	struct ring ring;

	ring_open(&ring, &conf->ring);
	prime_cache(&ring, RING_LOW_GPA);
	racer = (struct racer){ &ring, false };
	assert_int_equal(pthread_create(&thread, NULL, turn_thread, &racer), 0);
	for (round = 0; round < 1000000 || nb_taken < 10000; round++) {
		nb = take(ring.vr, &batch, VHOST_PCI_BATCH);
		assert_true(nb <= ring.size);
		nb_taken += nb;
		commit(&ring, nb);
		assert_true(ring.vr->avail_idx < ring.size);
	}
	vhost_pci_store_relaxed(&racer.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	ring_close(&ring);
}

static const struct CMUnitTest batch_tests[] = {
	BATCH_ALL_TAKERS(test_random),
	BATCH_ALL_TAKERS(test_no_cache),
	BATCH_ALL_TAKERS(test_laps),
	BATCH_ALL_TAKERS(test_mixed_with_walk),
	BATCH_ALL_TAKERS(test_in_order),
	BATCH_ALL_TAKERS(test_race),
	{ "test_race_laps_packed", test_race_laps, NULL, NULL, &tiny_scalar },
	{ "test_race_laps_packed_avx2", test_race_laps, NULL, NULL, &tiny_avx2 },
	{ "test_race_laps_packed_avx512", test_race_laps, NULL, NULL, &tiny_avx512 },
};

REGISTER_TEST_GROUP(batch_autotest, batch_tests, NULL, NULL);
