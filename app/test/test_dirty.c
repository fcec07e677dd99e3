/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The dirty log as the rings write it: exactly the pages that were written, no byte beyond. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

#define PAGE 4096u

/** Pages that the log has: all of guest memory but the region above 4 GiB. */
#define NB_PAGES (0x30000000u / PAGE)

/** Where the used ring is said to be: nowhere in memory, as is allowed ("Migration"). */
#define USED_GPA UINT64_C(0x28000000)

/** A log between pages that nobody can touch, up to its last byte. */
struct log {
	struct ring ring;
	uint8_t *map;
	size_t map_bytes;
	uint8_t *bits;
	int fd;
};

static void
log_open(struct log *log, const struct ring_conf *conf)
{
	const size_t bytes = NB_PAGES / 8;

	ring_open(&log->ring, conf);
	log->map_bytes = bytes + 2 * (size_t)PAGE;
	log->map = mmap(NULL, log->map_bytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(log->map, MAP_FAILED);
	log->bits = log->map + PAGE;
	assert_int_equal(mprotect(log->bits, bytes, PROT_READ | PROT_WRITE), 0);
	log->fd = test_eventfd();
	vhost_pci_vring_pause(log->ring.vr);
	log->ring.vr->tracked = true;
	log->ring.vr->dirty = (struct vhost_pci_dirty){
		.log = log->bits,
		.nb_pages = NB_PAGES,
		.used_gpa = USED_GPA,
		.notifier = { .fd = log->fd },
	};
	vhost_pci_vring_resume(log->ring.vr, VHOST_PCI_VRING_ON);
}

static void
log_close(struct log *log)
{
	ring_close(&log->ring);
	munmap(log->map, log->map_bytes);
	close(log->fd);
}

/** Whether a page is marked, which is then cleared. */
static bool
take_mark(struct log *log, uint64_t gpa)
{
	uint64_t page = gpa / PAGE;
	uint8_t bit = (uint8_t)(1u << page % 8);

	return (__atomic_fetch_and(&log->bits[page / 8], (uint8_t)~bit, __ATOMIC_ACQ_REL) & bit) !=
			0;
}

/** Nothing is marked but what was taken. */
static void
check_clean(const struct log *log)
{
	unsigned int i;

	for (i = 0; i < NB_PAGES / 8; i++)
		assert_int_equal(log->bits[i], 0);
}

/** Where the vring's descriptors are. */
static uint64_t
desc_gpa(const struct log *log, uint16_t slot)
{
	const struct vhost_pci_mem_region *region = &log->ring.mem->region[RING_REGION_DESC];

	return region->gpa + (uint64_t)((uint8_t *)&log->ring.pdesc[slot] - region->va);
}

/** Take a chain, say that so many bytes were written to it, and end the burst. */
static void
fill_one(struct log *log, uint32_t len)
{
	struct vhost_pci_chain chain = { 0 };

	vhost_pci_ring_begin(log->ring.vr);
	assert_int_equal(ring_next(&log->ring, &chain, VHOST_PCI_ENQUEUE), 1);
	ring_put(&log->ring, &chain, len);
	ring_end(&log->ring);
}

static void
test_buffers_are_marked_as_far_as_written(void **state)
{
	const struct ring_buf bufs[] = {
		{ RING_LOW_GPA + PAGE - 1, 2 }, /* Pages 0 and 1. */
		{ RING_LOW_GPA + 3 * PAGE, PAGE },
		{ RING_LOW_GPA + 5 * PAGE, 2 * PAGE },
	};
	const struct ring_offer offer = { .bufs = bufs, .nb_direct = 3, .writable = true };
	struct log log;

	log_open(&log, *state);
	ring_offer(&log.ring, &offer);
	ring_publish(&log.ring);
	fill_one(&log, 2 + PAGE + PAGE);
	assert_true(take_mark(&log, RING_LOW_GPA));
	assert_true(take_mark(&log, RING_LOW_GPA + PAGE));
	assert_true(take_mark(&log, RING_LOW_GPA + 3 * PAGE));
	assert_true(take_mark(&log, RING_LOW_GPA + 5 * PAGE));
	check_clean(&log);
	log_close(&log);
}

static void
test_buffer_across_regions(void **state)
{
	struct log log;

	log_open(&log, *state);
	ring_offer_one(&log.ring, RING_HIGH_GPA - 1, 2, true);
	fill_one(&log, 2);
	assert_true(take_mark(&log, RING_HIGH_GPA - 1));
	assert_true(take_mark(&log, RING_HIGH_GPA));
	check_clean(&log);
	log_close(&log);
}

static void
test_nothing_is_marked_that_was_read(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct log log;

	log_open(&log, *state);
	ring_offer_one(&log.ring, RING_LOW_GPA, PAGE, false);
	vhost_pci_ring_begin(log.ring.vr);
	assert_int_equal(ring_next(&log.ring, &chain, VHOST_PCI_DEQUEUE), 1);
	ring_put(&log.ring, &chain, 0);
	ring_end(&log.ring);
	check_clean(&log);
	/* Nor is anybody told that something was. */
	assert_int_equal(test_eventfd_read(log.fd), 0);
	log_close(&log);
}

static void
test_used_entries_are_marked_where_told(void **state)
{
	const struct ring_conf *conf = *state;
	struct log log;

	log_open(&log, conf);
	log.ring.vr->dirty.log_used = true;
	/* The index is the last of a page, the first entry is in the next. */
	log.ring.vr->dirty.used_gpa = USED_GPA - 4;
	ring_offer_one(&log.ring, RING_LOW_GPA, 1, true);
	fill_one(&log, 1);
	assert_true(take_mark(&log, RING_LOW_GPA));
	if (conf->is_packed) {
		assert_true(take_mark(&log, desc_gpa(&log, 0)));
	} else {
		assert_true(take_mark(&log, USED_GPA - 4));
		assert_true(take_mark(&log, USED_GPA));
	}
	check_clean(&log);
	vhost_pci_ring_ask_kick(log.ring.vr, true);
	assert_true(take_mark(&log, USED_GPA - 4));
	check_clean(&log);
	log_close(&log);
}

static void
test_avail_event_is_marked(void **state)
{
	struct ring_conf conf = { .size = 64, .event_idx = true };
	struct log log;

	(void)state;
	log_open(&log, &conf);
	log.ring.vr->dirty.log_used = true;
	/* VIRTIO 2.7.8: it is the ring's last field, here the only one on its page. */
	log.ring.vr->dirty.used_gpa = USED_GPA - 4 - 64 * 8;
	vhost_pci_ring_ask_kick(log.ring.vr, false);
	assert_true(take_mark(&log, USED_GPA));
	check_clean(&log);
	log_close(&log);
}

static void
test_pages_beyond_the_log(void **state)
{
	struct log log;

	log_open(&log, *state);
	log.ring.vr->dirty.nb_pages = RING_LOW_GPA / PAGE + 1;
	/* The first page has its bit, the second has none, the third is far away. */
	ring_offer_one(&log.ring, RING_LOW_GPA + PAGE - 1, 2, true);
	fill_one(&log, 2);
	assert_int_equal(log.ring.vr->stats.log_beyond, 1);
	assert_true(take_mark(&log, RING_LOW_GPA));
	ring_offer_one(&log.ring, RING_FAR_GPA, 2, true);
	fill_one(&log, 2);
	assert_int_equal(log.ring.vr->stats.log_beyond, 2);
	check_clean(&log);
	/* The ring goes on. */
	assert_int_equal(log.ring.vr->error, VHOST_PCI_VRING_OK);
	log_close(&log);
}

static void
test_told_once_per_burst(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct log log;
	unsigned int i;

	log_open(&log, *state);
	vhost_pci_ring_begin(log.ring.vr);
	for (i = 0; i < 3; i++) {
		ring_offer_one(&log.ring, RING_LOW_GPA, 1, true);
		assert_int_equal(ring_next(&log.ring, &chain, VHOST_PCI_ENQUEUE), 1);
		ring_put(&log.ring, &chain, 1);
	}
	assert_int_equal(test_eventfd_read(log.fd), 0);
	ring_end(&log.ring);
	assert_int_equal(test_eventfd_read(log.fd), 1);
	ring_end(&log.ring);
	assert_int_equal(test_eventfd_read(log.fd), 0);
	log_close(&log);
}

/** The front-end of test_no_mark_is_lost(): it takes marks while they are made. */
struct reader {
	struct log *log;
	uint32_t stop;
	uint64_t nb_marks;
};

static void *
take_marks(void *arg)
{
	struct reader *reader = arg;
	uint8_t *bits = &reader->log->bits[RING_LOW_GPA / PAGE / 8];
	bool last;

	do {
		last = __atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE) != 0;
		reader->nb_marks += (unsigned int)__builtin_popcount(
				__atomic_exchange_n(bits, 0, __ATOMIC_ACQ_REL));
	} while (!last);
	return NULL;
}

static void
test_no_mark_is_lost(void **state)
{
	struct log log;
	struct reader reader = { .log = &log };
	uint8_t *bits;
	pthread_t thread;
	unsigned int i;

	log_open(&log, *state);
	bits = &log.bits[RING_LOW_GPA / PAGE / 8];
	assert_int_equal(pthread_create(&thread, NULL, take_marks, &reader), 0);
	for (i = 0; i < 100000; i++) {
		uint64_t gpa = RING_LOW_GPA + i % 8 * PAGE;

		/* Marked anew only once it was taken: then each mark must be seen. */
		while ((__atomic_load_n(bits, __ATOMIC_ACQUIRE) & 1u << i % 8) != 0)
			sched_yield();
		vhost_pci_dirty_mark(log.ring.vr, gpa, 1);
	}
	__atomic_store_n(&reader.stop, 1, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.nb_marks, i);
	log_close(&log);
}

static const struct CMUnitTest tests[] = {
	RING_BOTH_FORMATS(test_buffers_are_marked_as_far_as_written),
	RING_BOTH_FORMATS(test_buffer_across_regions),
	RING_BOTH_FORMATS(test_nothing_is_marked_that_was_read),
	RING_BOTH_FORMATS(test_used_entries_are_marked_where_told),
	cmocka_unit_test(test_avail_event_is_marked),
	RING_BOTH_FORMATS(test_pages_beyond_the_log),
	RING_BOTH_FORMATS(test_told_once_per_burst),
	{ "test_no_mark_is_lost", test_no_mark_is_lost, NULL, NULL, &ring_split_conf },
};

REGISTER_TEST_GROUP(dirty_autotest, tests, NULL, NULL);
