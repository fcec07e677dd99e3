/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Long runs: what the driver offers is what the device sees, in order; between two threads, what
 * was written before is seen, and nobody sleeps on.
 */

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

#define WRAP (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

enum {
	MAX_SIZE = 64, /* Of a ring in the random runs. */
	MAX_BUFS = 12, /* Of a chain: half of them direct, half of them in a table. */
	NB_STEPS = 50000,
};

/* A chain on its way. */
struct offered {
	int id;
	unsigned int nb_bufs;
	struct ring_buf bufs[MAX_BUFS];
};

/* One random run: all chains there ever were, in a window that is never larger than the ring. */
struct model {
	struct ring ring;
	uint64_t seed;
	bool writable;
	struct offered offered[MAX_SIZE];
	unsigned int nb_offered, nb_published, nb_taken; /* Free-running. */
	struct vhost_pci_chain held[MAX_SIZE];
	unsigned int nb_held;
	struct {
		uint16_t id;
		uint32_t len;
	} returned[MAX_SIZE];
	unsigned int nb_returned, nb_flushed, nb_used; /* Free-running. */
};

static unsigned int
below(struct model *model, unsigned int nb)
{
	return ring_random(&model->seed) % nb;
}

static struct ring_buf
random_buf(struct model *model)
{
	static const uint32_t lens[] = { 0, 1, 12, 64, 1514, 9000, 65535, 65536 };
	struct ring_buf buf = { .len = lens[below(model, 8)] };

	switch (below(model, 4)) {
	case 0:
		buf.gpa = RING_FAR_GPA + below(model, RING_BUF_BYTES + 1 - buf.len);
		break;
	case 1:
		/* Of both regions. */
		buf.gpa = RING_HIGH_GPA - below(model, buf.len + 1);
		break;
	default:
		buf.gpa = RING_LOW_GPA + below(model, RING_BUF_BYTES + 1 - buf.len);
		break;
	}
	if (buf.len == 0 && below(model, 2) == 0)
		buf.gpa = RING_HOLE_GPA;
	return buf;
}

static void
step_offer(struct model *model)
{
	struct offered *offered = &model->offered[model->nb_offered % MAX_SIZE];
	struct ring *ring = &model->ring;
	struct ring_offer offer = { .bufs = offered->bufs, .writable = model->writable };
	uint16_t max_bufs = ring->size < MAX_BUFS / 2 ? ring->size : MAX_BUFS / 2;
	unsigned int i;

	if (ring->nb_free == 0)
		return;
	offer.nb_direct = (uint16_t)below(model, max_bufs + 1u);
	if (offer.nb_direct == 0 || (below(model, 3) == 0 && offer.nb_direct < ring->nb_free))
		offer.nb_indirect = (uint16_t)(1 + below(model, max_bufs));
	/* The id that the chain will have says where its table is: aligned, not, or in two. */
	offer.table_gpa = RING_HIGH_GPA - 120 + 256 * ring->free_ids[ring->nb_free_ids - 1] +
			below(model, 2) * below(model, 32);
	offered->nb_bufs = offer.nb_direct + offer.nb_indirect;
	for (i = 0; i < offered->nb_bufs; i++)
		offered->bufs[i] = random_buf(model);
	offered->id = ring_offer(ring, &offer);
	if (offered->id >= 0)
		model->nb_offered++;
}

/* Take one chain, and see that it is the next one. */
static bool
take_one(struct model *model)
{
	const struct offered *offered = &model->offered[model->nb_taken % MAX_SIZE];
	struct vhost_pci_chain *chain = &model->held[model->nb_held];
	struct ring *ring = &model->ring;
	int ret;

	ret = ring_next(ring, chain, model->writable ? VHOST_PCI_ENQUEUE : VHOST_PCI_DEQUEUE);
	assert_int_equal(ring->vr->error, VHOST_PCI_VRING_OK);
	assert_int_equal(ret, model->nb_taken != model->nb_published);
	if (ret == 0)
		return false;
	assert_int_equal(chain->id, offered->id);
	ring_check_chain(ring, chain, offered->bufs, offered->nb_bufs);
	model->nb_taken++;
	model->nb_held++;
	return true;
}

/* A burst, part of which may be untaken again. */
static void
step_take(struct model *model)
{
	struct vhost_pci_vring *vr = model->ring.vr;
	unsigned int nb = below(model, 8);
	struct vhost_pci_cursor cursor;
	unsigned int nb_taken, nb_held;

	vhost_pci_ring_begin(vr);
	while (nb > 0 && take_one(model))
		nb--;
	cursor = vhost_pci_ring_save(vr);
	nb_taken = model->nb_taken;
	nb_held = model->nb_held;
	nb = below(model, 8);
	while (nb > 0 && take_one(model))
		nb--;
	if (below(model, 2) == 0) {
		vhost_pci_ring_restore(vr, cursor, vhost_pci_vring_kind(vr));
		model->nb_taken = nb_taken;
		model->nb_held = nb_held;
	}
}

/* Return any of the chains held. */
static void
step_put(struct model *model)
{
	unsigned int i;

	while (model->nb_held > 0 && below(model, 4) != 0) {
		const struct vhost_pci_chain *chain;
		uint32_t len;

		i = below(model, 2) == 0 ? 0 : below(model, model->nb_held);
		chain = &model->held[i];
		len = model->writable ? below(model, chain->len / 2 + 1) : 0;
		ring_put(&model->ring, chain, len);
		model->returned[model->nb_returned % MAX_SIZE].id = chain->id;
		model->returned[model->nb_returned % MAX_SIZE].len = len;
		model->nb_returned++;
		memmove(&model->held[i], &model->held[i + 1],
				(--model->nb_held - i) * sizeof(model->held[0]));
	}
	if (below(model, 2) == 0) {
		ring_end(&model->ring);
		model->nb_flushed = model->nb_returned;
	}
}

/* The driver sees what was flushed, in the order in which it was returned. */
static void
step_use(struct model *model)
{
	uint32_t id, len;

	while (ring_get_used(&model->ring, &id, &len)) {
		assert_true(model->nb_used != model->nb_flushed);
		assert_int_equal(id, model->returned[model->nb_used % MAX_SIZE].id);
		assert_int_equal(len, model->returned[model->nb_used % MAX_SIZE].len);
		model->nb_used++;
	}
	assert_int_equal(model->nb_used, model->nb_flushed);
}

static void
step(struct model *model)
{
	switch (below(model, 8)) {
	case 0:
	case 1:
	case 2:
		step_offer(model);
		break;
	case 3:
		ring_publish(&model->ring);
		model->nb_published = model->nb_offered;
		break;
	case 4:
	case 5:
		step_take(model);
		break;
	case 6:
		step_put(model);
		break;
	default:
		step_use(model);
		break;
	}
}

static void
run_random(bool is_packed, uint16_t size, bool writable)
{
	static struct model model;
	unsigned int i;

	memset(&model, 0, sizeof(model));
	model.seed = size * 4 + is_packed * 2 + writable;
	model.writable = writable;
	ring_open(&model.ring,
			&(struct ring_conf){ .is_packed = is_packed,
					.size = size,
					.event_idx = size % 2 == 0,
					.base = is_packed ? 0 : 0xff80 });
	for (i = 0; i < NB_STEPS; i++)
		step(&model);
	assert_true(model.nb_used > NB_STEPS / 60);
	ring_close(&model.ring);
}

static void
test_random_split(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 4, 16, 64 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		run_random(false, sizes[i], false);
		run_random(false, sizes[i], true);
	}
}

static void
test_random_packed(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 16, 61, 64 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		run_random(true, sizes[i], false);
		run_random(true, sizes[i], true);
	}
}

/* Two threads: a driver in one, the device in the test's. */
struct traffic {
	struct ring ring;
	unsigned int nb_chains;
	int kick_fd;
	bool writable;
	unsigned int nb_wrong; /* By the driver. */
	unsigned int nb_slept;
};

enum {
	WORDS = 8,       /* Of a buffer. */
	BUF_BYTES = 512, /* From one buffer to the next; each id has its own. */
};

static uint64_t *
buf_words(const struct ring *ring, unsigned int buf)
{
	return (uint64_t *)(void *)ring_va(ring, RING_LOW_GPA + buf * BUF_BYTES);
}

static unsigned int
check_words(const uint64_t *words, uint64_t value)
{
	unsigned int nb_wrong = 0, i;

	for (i = 0; i < WORDS; i++)
		nb_wrong += words[i] != value;
	return nb_wrong;
}

static void
fill_words(uint64_t *words, uint64_t value)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		words[i] = value;
}

/* Offer numbered buffers, and find their numbers in those that were written to. */
static void *
payload_thread(void *arg)
{
	struct traffic *traffic = arg;
	struct ring *ring = &traffic->ring;
	unsigned int nb_offered = 0, nb_used = 0, spins = 0;
	uint32_t id, len;

	while (nb_used < traffic->nb_chains) {
		while (nb_offered < traffic->nb_chains && ring->nb_free > 0) {
			unsigned int buf = nb_offered % ring->size;

			/* Buffers are returned in order, so this one is back. */
			fill_words(buf_words(ring, buf), nb_offered);
			ring_offer_one(ring, RING_LOW_GPA + buf * BUF_BYTES, WORDS * 8,
					traffic->writable);
			nb_offered++;
		}
		while (ring_get_used(ring, &id, &len)) {
			uint64_t *words = buf_words(ring, nb_used % ring->size);

			traffic->nb_wrong += check_words(words,
					nb_used + (traffic->writable ? UINT64_C(1) << 32 : 0));
			nb_used++;
		}
		vhost_pci_relax(&spins);
	}
	return NULL;
}

/* The payload is plain memory: only the ring orders what the two threads do with it. */
static void
run_payload(const struct ring_conf *conf, bool writable)
{
	enum vhost_pci_dir dir = writable ? VHOST_PCI_ENQUEUE : VHOST_PCI_DEQUEUE;
	static struct traffic traffic;
	struct ring *ring = &traffic.ring;
	unsigned int nb = 0, nb_wrong = 0, spins = 0;
	pthread_t thread;

	memset(&traffic, 0, sizeof(traffic));
	ring_open(ring, conf);
	traffic.nb_chains = 20000;
	traffic.writable = writable;
	assert_int_equal(pthread_create(&thread, NULL, payload_thread, &traffic), 0);
	while (nb < traffic.nb_chains) {
		struct vhost_pci_chain chain = { 0 };
		unsigned int burst;

		vhost_pci_ring_begin(ring->vr);
		for (burst = 0; burst < 32 && ring_next(ring, &chain, dir) > 0; burst++) {
			uint64_t *words = (uint64_t *)(void *)ring->vr->segs[chain.seg_idx].va;

			nb_wrong += check_words(words, nb);
			if (writable)
				fill_words(words, nb + (UINT64_C(1) << 32));
			ring_put(ring, &chain, writable ? chain.len : 0);
			nb++;
		}
		ring_end(ring);
		if (burst == 0)
			vhost_pci_relax(&spins);
		assert_int_equal(ring->vr->error, VHOST_PCI_VRING_OK);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(nb_wrong, 0);
	assert_int_equal(traffic.nb_wrong, 0);
	ring_close(ring);
}

static void
test_payload(void **state)
{
	run_payload(*state, false);
	run_payload(*state, true);
}

/* What the driver wishes to be told of: the next used chain, or nothing. */
static void
want_call(struct ring *ring, bool want)
{
	uint16_t here = (uint16_t)(ring->used_idx | (ring->used_wrap ? WRAP : 0));
	uint32_t event;

	if (!ring->is_packed) {
		if (!ring->vr->event_idx)
			__atomic_store_n(&ring->avail->flags, want ? 0 : VRING_AVAIL_F_NO_INTERRUPT,
					__ATOMIC_RELAXED);
		else
			__atomic_store_n(&ring->avail->ring[ring->size],
					(uint16_t)(ring->used_idx - !want), __ATOMIC_RELAXED);
		return;
	}
	event = VRING_PACKED_EVENT_FLAG_DISABLE << 16;
	if (want && ring->vr->event_idx)
		event = here | (uint32_t)VRING_PACKED_EVENT_FLAG_DESC << 16;
	else if (want)
		event = VRING_PACKED_EVENT_FLAG_ENABLE << 16;
	__atomic_store_n((vhost_pci_word32 *)(void *)ring->driver_event, event, __ATOMIC_RELAXED);
}

/* Whether the device wishes to be told of the last chain, the only one there is. */
static bool
kick_wanted(const struct ring *ring)
{
	if (ring->is_packed)
		return __atomic_load_n(&ring->device_event->flags, __ATOMIC_RELAXED) !=
				VRING_PACKED_EVENT_FLAG_DISABLE;
	if (!ring->vr->event_idx)
		return (__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) &
				       VRING_USED_F_NO_NOTIFY) == 0;
	return __atomic_load_n((const uint16_t *)(const void *)&ring->used->ring[ring->size],
			       __ATOMIC_RELAXED) == (uint16_t)(ring->avail_idx - 1);
}

/* Sleep until told. False where that takes so long that it was forgotten. */
static bool
sleep_on(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	if (poll(&pollfd, 1, 20000) != 1)
		return false;
	test_eventfd_read(fd);
	return true;
}

/* One chain at a time; sleep until it is back. */
static void *
sleeping_driver_thread(void *arg)
{
	const uint64_t one = 1;
	struct traffic *traffic = arg;
	struct ring *ring = &traffic->ring;
	unsigned int i;
	uint32_t id, len;

	for (i = 0; i < traffic->nb_chains; i++) {
		ring_offer_one(ring, RING_LOW_GPA, 60, false);
		vhost_pci_fence_full();
		if (traffic->kick_fd >= 0 && kick_wanted(ring) &&
				write(traffic->kick_fd, &one, sizeof(one)) != sizeof(one))
			traffic->nb_wrong++;
		want_call(ring, true);
		vhost_pci_fence_full();
		while (!ring_get_used(ring, &id, &len)) {
			traffic->nb_slept++;
			if (!sleep_on(ring->call_fd)) {
				traffic->nb_wrong++;
				return NULL;
			}
		}
		want_call(ring, false);
	}
	return NULL;
}

/* Take and return one chain, if there is one. */
static bool
echo_one(struct ring *ring)
{
	struct vhost_pci_chain chain = { 0 };

	vhost_pci_ring_begin(ring->vr);
	if (ring_next(ring, &chain, VHOST_PCI_DEQUEUE) <= 0)
		return false;
	ring_put(ring, &chain, 0);
	ring_end(ring);
	return true;
}

/* No wish to be woken gets lost: whoever sleeps is woken, with the device polling or not. */
static void
run_wakeups(bool is_packed, bool event_idx, bool device_sleeps)
{
	static struct traffic traffic;
	struct ring *ring = &traffic.ring;
	unsigned int nb = 0, nb_slept = 0, spins = 0;
	pthread_t thread;

	memset(&traffic, 0, sizeof(traffic));
	ring_open(ring,
			&(struct ring_conf){ .is_packed = is_packed,
					.size = 4,
					.event_idx = event_idx });
	traffic.nb_chains = 2000;
	traffic.kick_fd = device_sleeps ? eventfd(0, EFD_NONBLOCK) : -1;
	vhost_pci_ring_ask_kick(ring->vr, false);
	assert_int_equal(pthread_create(&thread, NULL, sleeping_driver_thread, &traffic), 0);
	while (nb < traffic.nb_chains) {
		if (echo_one(ring)) {
			nb++;
			continue;
		}
		if (!device_sleeps) {
			vhost_pci_relax(&spins);
			continue;
		}
		vhost_pci_ring_ask_kick(ring->vr, true);
		vhost_pci_fence_full();
		if (vhost_pci_ring_nb_avail(ring->vr, 1) == 0) {
			nb_slept++;
			if (!sleep_on(traffic.kick_fd))
				fail_msg("the device was not woken for chain %u", nb);
		}
		vhost_pci_ring_ask_kick(ring->vr, false);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(traffic.nb_wrong, 0);
	assert_true(traffic.nb_slept > 0);
	assert_true(nb_slept > 0 || !device_sleeps);
	if (traffic.kick_fd >= 0)
		close(traffic.kick_fd);
	ring_close(ring);
}

static void
test_wakeups(void **state)
{
	bool is_packed = ((const struct ring_conf *)*state)->is_packed;

	run_wakeups(is_packed, false, false);
	run_wakeups(is_packed, true, false);
	run_wakeups(is_packed, false, true);
	run_wakeups(is_packed, true, true);
}

/* One used entry against one wish, at the same time, again and again. */
struct dekker {
	struct ring ring;
	uint32_t round; /* Begun, by the device. */
	uint32_t done;  /* Ended, by the driver. */
	bool seen;      /* The driver saw the entry after its wish. */
};

enum {
	NB_DEKKER_ROUNDS = 40000,
};

static void
linger(unsigned int nb)
{
	volatile unsigned int i;

	for (i = 0; i < nb; i++)
		;
}

static void *
dekker_thread(void *arg)
{
	struct dekker *dekker = arg;
	struct ring *ring = &dekker->ring;
	uint32_t round;

	for (round = 1; round <= NB_DEKKER_ROUNDS; round++) {
		unsigned int spins = 0;
		uint32_t id, len;

		while (vhost_pci_load_acquire(&dekker->round) != round)
			vhost_pci_relax(&spins);
		linger(round / 32 % 32);
		want_call(ring, true);
		vhost_pci_fence_full();
		dekker->seen = ring_get_used(ring, &id, &len);
		while (!dekker->seen && !ring_get_used(ring, &id, &len))
			vhost_pci_relax(&spins);
		vhost_pci_store_release(&dekker->done, round);
	}
	return NULL;
}

/* Either the driver sees what was used, or the device sees the wish: never neither. */
static void
test_wish_or_seen(void **state)
{
	const struct ring_conf *conf = *state;
	static struct dekker dekker;
	struct ring *ring = &dekker.ring;
	uint32_t doorbell = 0, round;
	unsigned int nb_lost = 0;
	pthread_t thread;

	memset(&dekker, 0, sizeof(dekker));
	ring_open(ring, conf);
	ring->vr->call.doorbell = &doorbell;
	ring->vr->call.value = 1;
	assert_int_equal(pthread_create(&thread, NULL, dekker_thread, &dekker), 0);
	for (round = 1; round <= NB_DEKKER_ROUNDS; round++) {
		struct vhost_pci_chain chain = { 0 };
		unsigned int spins = 0;

		/* The driver waits: its part can be played here. */
		want_call(ring, false);
		ring_offer_one(ring, RING_LOW_GPA, 60, false);
		doorbell = 0;
		vhost_pci_ring_begin(ring->vr);
		assert_int_equal(ring_next(ring, &chain, VHOST_PCI_DEQUEUE), 1);
		vhost_pci_store_release(&dekker.round, round);
		linger(round % 32);
		ring_put(ring, &chain, 0);
		ring_end(ring);
		while (vhost_pci_load_acquire(&dekker.done) != round)
			vhost_pci_relax(&spins);
		nb_lost += doorbell == 0 && !dekker.seen;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(nb_lost, 0);
	ring->vr->call.doorbell = NULL;
	ring_close(ring);
}

static const struct CMUnitTest ring_traffic_tests[] = {
	cmocka_unit_test(test_random_split),
	cmocka_unit_test(test_random_packed),
	RING_BOTH_FORMATS(test_payload),
	RING_BOTH_FORMATS(test_wakeups),
	RING_BOTH_FORMATS(test_wish_or_seen),
};

REGISTER_TEST_GROUP(ring_traffic_autotest, ring_traffic_tests, NULL, NULL);
