/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The gate between the control thread and a thread that polls. Also made for ThreadSanitizer. */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "ring_driver.h"
#include "test.h"

static void
test_enter_by_mode(void **state)
{
	static const enum vhost_pci_vring_mode modes[] = { VHOST_PCI_VRING_OFF,
		VHOST_PCI_VRING_DISCARD, VHOST_PCI_VRING_ON };
	struct vhost_pci_vring vr;
	unsigned int i;

	(void)state;
	vhost_pci_vring_init(&vr, 0);
	assert_int_equal(vhost_pci_vring_enter(&vr), VHOST_PCI_VRING_OFF);
	for (i = 0; i < 3; i++) {
		vhost_pci_vring_pause(&vr);
		vhost_pci_vring_resume(&vr, modes[i]);
		assert_int_equal(vhost_pci_vring_enter(&vr), modes[i]);
		assert_int_equal(vr.busy, modes[i] != VHOST_PCI_VRING_OFF);
		if (modes[i] != VHOST_PCI_VRING_OFF)
			vhost_pci_vring_leave(&vr);
		assert_int_equal(vr.busy, 0);
	}
	vhost_pci_vring_pause(&vr);
	vhost_pci_vring_pause(&vr);
	assert_int_equal(vhost_pci_vring_enter(&vr), VHOST_PCI_VRING_OFF);
}

/* A pause from the middle of a burst. */
struct pausing {
	struct vhost_pci_vring vr;
	uint32_t left; /* The burst is over. */
	uint32_t seen; /* It was when the pause was. */
};

static void *
pause_thread(void *arg)
{
	struct pausing *pausing = arg;

	vhost_pci_vring_pause(&pausing->vr);
	/* The flag is stored before the burst ends, the burst ends before the pause does. */
	pausing->seen = vhost_pci_load_relaxed(&pausing->left);
	return NULL;
}

static void
test_pause_waits_for_burst(void **state)
{
	static struct pausing pausing;
	unsigned int round, spins = 0;

	(void)state;
	vhost_pci_vring_init(&pausing.vr, 0);
	for (round = 0; round < 200; round++) {
		pthread_t thread;

		pausing.left = 0;
		vhost_pci_vring_resume(&pausing.vr, VHOST_PCI_VRING_ON);
		assert_int_equal(vhost_pci_vring_enter(&pausing.vr), VHOST_PCI_VRING_ON);
		assert_int_equal(pthread_create(&thread, NULL, pause_thread, &pausing), 0);
		while (vhost_pci_load_relaxed(&pausing.vr.mode) != VHOST_PCI_VRING_OFF)
			vhost_pci_relax(&spins);
		vhost_pci_store_relaxed(&pausing.left, 1);
		vhost_pci_vring_leave(&pausing.vr);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(pausing.seen, 1);
		assert_int_equal(vhost_pci_vring_enter(&pausing.vr), VHOST_PCI_VRING_OFF);
	}
}

/* A look from another thread neither opens the gate for control while a burst is inside ... */
static void
test_look_does_not_end_a_burst(void **state)
{
	static struct pausing pausing;
	unsigned int spins = 0;
	pthread_t thread;

	(void)state;
	vhost_pci_vring_init(&pausing.vr, 0);
	vhost_pci_vring_resume(&pausing.vr, VHOST_PCI_VRING_ON);
	assert_int_equal(vhost_pci_vring_enter(&pausing.vr), VHOST_PCI_VRING_ON);
	assert_int_equal(vhost_pci_vring_enter_look(&pausing.vr), VHOST_PCI_VRING_ON);
	vhost_pci_vring_leave_look(&pausing.vr);
	assert_int_equal(pthread_create(&thread, NULL, pause_thread, &pausing), 0);
	while (vhost_pci_load_relaxed(&pausing.vr.mode) != VHOST_PCI_VRING_OFF)
		vhost_pci_relax(&spins);
	assert_int_equal(vhost_pci_vring_enter_look(&pausing.vr), VHOST_PCI_VRING_OFF);
	vhost_pci_store_relaxed(&pausing.left, 1);
	vhost_pci_vring_leave(&pausing.vr);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(pausing.seen, 1);
}

/* ... nor is it overlooked itself, whatever the burst does. */
static void
test_pause_waits_for_looks(void **state)
{
	static struct pausing pausing;
	unsigned int round, spins = 0;

	(void)state;
	vhost_pci_vring_init(&pausing.vr, 0);
	for (round = 0; round < 100; round++) {
		pthread_t thread;

		pausing.left = 0;
		vhost_pci_vring_resume(&pausing.vr, VHOST_PCI_VRING_ON);
		assert_int_equal(vhost_pci_vring_enter_look(&pausing.vr), VHOST_PCI_VRING_ON);
		assert_int_equal(vhost_pci_vring_enter_look(&pausing.vr), VHOST_PCI_VRING_ON);
		assert_int_equal(vhost_pci_vring_enter(&pausing.vr), VHOST_PCI_VRING_ON);
		vhost_pci_vring_leave(&pausing.vr);
		assert_int_equal(pthread_create(&thread, NULL, pause_thread, &pausing), 0);
		while (vhost_pci_load_relaxed(&pausing.vr.mode) != VHOST_PCI_VRING_OFF)
			vhost_pci_relax(&spins);
		vhost_pci_vring_leave_look(&pausing.vr);
		vhost_pci_store_relaxed(&pausing.left, 1);
		vhost_pci_vring_leave_look(&pausing.vr);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(pausing.seen, 1);
	}
}

/* What one side writes, the other reads: plain fields, guarded by the gate alone. */
struct guarded {
	struct vhost_pci_vring vr;
	uint64_t control[8]; /* Written by control: all the same. */
	uint64_t burst[8];   /* Written by the polling thread: all the same. */
	uint64_t nb_bursts;
	uint64_t nb_wrong;
	uint32_t stop;
};

static bool
all_same(const uint64_t *values)
{
	unsigned int i;

	for (i = 1; i < 8; i++)
		if (values[i] != values[0])
			return false;
	return true;
}

static void *
guarded_thread(void *arg)
{
	struct guarded *guarded = arg;
	unsigned int i, spins = 0;

	while (vhost_pci_load_relaxed(&guarded->stop) == 0) {
		if (vhost_pci_vring_enter(&guarded->vr) == VHOST_PCI_VRING_OFF) {
			vhost_pci_relax(&spins);
			continue;
		}
		guarded->nb_wrong += !all_same(guarded->control);
		for (i = 0; i < 8; i++)
			guarded->burst[i]++;
		vhost_pci_count(&guarded->nb_bursts, 1);
		vhost_pci_vring_leave(&guarded->vr);
	}
	return NULL;
}

static void
test_gate_guards_plain_fields(void **state)
{
	static struct guarded guarded;
	unsigned int round, i, spins = 0;
	uint64_t seen = 0, nb_wrong = 0;
	pthread_t thread;

	(void)state;
	memset(&guarded, 0, sizeof(guarded));
	vhost_pci_vring_init(&guarded.vr, 0);
	assert_int_equal(pthread_create(&thread, NULL, guarded_thread, &guarded), 0);
	for (round = 0; round < 10000; round++) {
		vhost_pci_vring_pause(&guarded.vr);
		nb_wrong += !all_same(guarded.burst);
		for (i = 0; i < 8; i++)
			guarded.control[i] = round;
		vhost_pci_vring_resume(&guarded.vr, VHOST_PCI_VRING_ON);
		/* Now and then the other side shall have had a turn. */
		if (round % 64 == 0) {
			while (vhost_pci_load_relaxed(&guarded.nb_bursts) == seen)
				vhost_pci_relax(&spins);
			seen = vhost_pci_load_relaxed(&guarded.nb_bursts);
		}
	}
	vhost_pci_store_relaxed(&guarded.stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(nb_wrong, 0);
	assert_int_equal(guarded.nb_wrong, 0);
	assert_int_equal(guarded.nb_bursts, guarded.burst[0]);
}

/* A ring in use by a driver and a polling thread, while control moves the memory below it. */
struct traffic {
	struct ring ring;
	uint64_t nb_taken;    /* By the polling thread. */
	uint64_t nb_returned; /* By the driver. */
	uint64_t nb_looks;
	uint64_t nb_wrong; /* Looks that counted more than the queue size. */
	uint32_t stop_driver;
	uint32_t stop_polling;
};

/* Someone who asks all the time how full the queue is. */
static void *
looking_thread(void *arg)
{
	struct traffic *traffic = arg;
	struct vhost_pci_vring *vr = traffic->ring.vr;
	unsigned int spins = 0;

	while (vhost_pci_load_relaxed(&traffic->stop_polling) == 0) {
		if (vhost_pci_vring_enter_look(vr) == VHOST_PCI_VRING_OFF) {
			vhost_pci_relax(&spins);
			continue;
		}
		traffic->nb_wrong += vhost_pci_ring_look(vr, vr->size) > vr->size;
		vhost_pci_vring_leave_look(vr);
		vhost_pci_count(&traffic->nb_looks, 1);
		/* There may be one processor only. */
		if ((traffic->nb_looks & 1023) == 0)
			sched_yield();
	}
	return NULL;
}

static void *
polling_thread(void *arg)
{
	struct traffic *traffic = arg;
	struct ring *ring = &traffic->ring;
	struct vhost_pci_chain chain = { 0 };
	unsigned int spins = 0;

	while (vhost_pci_load_relaxed(&traffic->stop_polling) == 0) {
		unsigned int nb = 0;

		if (vhost_pci_vring_enter(ring->vr) == VHOST_PCI_VRING_ON) {
			vhost_pci_ring_begin(ring->vr);
			while (nb < 32 && ring_next(ring, &chain, VHOST_PCI_DEQUEUE) > 0) {
				const struct vhost_pci_seg *seg = &ring->vr->segs[chain.seg_idx];

				/* A byte of it, through the table that is in force. */
				if (__atomic_load_n(seg->va, __ATOMIC_RELAXED) != 0x5a)
					vhost_pci_vring_break(ring->vr, VHOST_PCI_VRING_E_ADDR);
				ring_put(ring, &chain, 0);
				nb++;
			}
			ring_end(ring);
			vhost_pci_vring_leave(ring->vr);
		}
		vhost_pci_count(&traffic->nb_taken, nb);
		if (nb == 0)
			vhost_pci_relax(&spins);
	}
	return NULL;
}

/* The driver has pointers of its own, which control leaves alone. */
static void *
driver_thread(void *arg)
{
	struct traffic *traffic = arg;
	struct ring *ring = &traffic->ring;
	unsigned int spins = 0;
	uint32_t id, len;

	while (ring->nb_free < ring->size || vhost_pci_load_relaxed(&traffic->stop_driver) == 0) {
		if (vhost_pci_load_relaxed(&traffic->stop_driver) == 0)
			while (ring_offer_one(ring, RING_LOW_GPA, 60, false) >= 0)
				;
		while (ring_get_used(ring, &id, &len))
			traffic->nb_returned++;
		vhost_pci_relax(&spins);
	}
	return NULL;
}

/* The same pages at other addresses, and a table of them. */
static struct vhost_pci_mem *
move_memory(const struct ring *ring)
{
	size_t table_bytes = sizeof(*ring->mem) + RING_NB_REGIONS * sizeof(ring->mem->region[0]);
	struct vhost_pci_mem *mem = malloc(table_bytes);
	unsigned int i;

	assert_non_null(mem);
	memcpy(mem, ring->mem, table_bytes);
	mem->refcnt = 1;
	for (i = 0; i < RING_NB_REGIONS; i++) {
		/* Size 0: the old mapping of shared pages stays. */
		mem->region[i].va = mremap(ring->mem->region[i].va, 0, mem->region[i].size,
				MREMAP_MAYMOVE);
		assert_ptr_not_equal(mem->region[i].va, MAP_FAILED);
	}
	return mem;
}

/* Whoever still uses a table that was replaced shall meet his end. */
static void
poison_memory(struct vhost_pci_mem *mem)
{
	unsigned int i;

	assert_int_equal(mem->refcnt, 1);
	for (i = 0; i < mem->nb_regions; i++)
		assert_int_equal(mprotect(mem->region[i].va, mem->region[i].size, PROT_NONE), 0);
}

static void
free_memory(struct vhost_pci_mem *mem)
{
	unsigned int i;

	for (i = 0; i < mem->nb_regions; i++)
		munmap(mem->region[i].va, mem->region[i].size);
	free(mem);
}

#define NB_MOVES 100

static void
test_memory_moves_below_traffic(void **state)
{
	const struct ring_conf *conf = *state;
	const struct vhost_pci_vring_format format = {
		.size = conf->size,
		.is_packed = conf->is_packed,
		.indirect = true,
		.hdr_len = 12,
	};
	static struct traffic traffic;
	struct vhost_pci_mem *table[NB_MOVES];
	pthread_t polling, driver, looking;
	unsigned int i, spins = 0;

	memset(&traffic, 0, sizeof(traffic));
	ring_open(&traffic.ring, conf);
	memset(traffic.ring.mem->region[RING_REGION_LOW].va, 0x5a, RING_BUF_BYTES);
	assert_int_equal(pthread_create(&polling, NULL, polling_thread, &traffic), 0);
	assert_int_equal(pthread_create(&driver, NULL, driver_thread, &traffic), 0);
	assert_int_equal(pthread_create(&looking, NULL, looking_thread, &traffic), 0);
	for (i = 0; i < NB_MOVES; i++) {
		uint64_t seen = vhost_pci_load_relaxed(&traffic.nb_taken);

		table[i] = move_memory(&traffic.ring);
		vhost_pci_vring_pause(traffic.ring.vr);
		assert_int_equal(vhost_pci_vring_map(traffic.ring.vr, table[i], &format), 0);
		if (i > 0)
			poison_memory(table[i - 1]);
		vhost_pci_vring_resume(traffic.ring.vr, VHOST_PCI_VRING_ON);
		while (vhost_pci_load_relaxed(&traffic.nb_taken) == seen &&
				vhost_pci_load_relaxed(&traffic.ring.vr->error) ==
						VHOST_PCI_VRING_OK)
			vhost_pci_relax(&spins);
	}
	/* On a machine of few processors the third thread may not have had a turn. */
	while (vhost_pci_load_relaxed(&traffic.nb_looks) == 0 &&
			vhost_pci_load_relaxed(&traffic.ring.vr->error) == VHOST_PCI_VRING_OK)
		vhost_pci_relax(&spins);
	vhost_pci_store_relaxed(&traffic.stop_driver, 1);
	assert_int_equal(pthread_join(driver, NULL), 0);
	vhost_pci_store_relaxed(&traffic.stop_polling, 1);
	assert_int_equal(pthread_join(polling, NULL), 0);
	assert_int_equal(pthread_join(looking, NULL), 0);
	assert_true(traffic.nb_looks > 0);
	assert_int_equal(traffic.nb_wrong, 0);
	assert_int_equal(traffic.ring.vr->error, VHOST_PCI_VRING_OK);
	assert_int_equal(traffic.nb_taken, traffic.nb_returned);
	vhost_pci_vring_unmap(traffic.ring.vr);
	for (i = 0; i < NB_MOVES; i++)
		free_memory(table[i]);
	ring_close(&traffic.ring);
}

/* A ring that breaks by itself while control pauses and resumes it stays off in the end. */
static void *
breaking_thread(void *arg)
{
	struct vhost_pci_vring *vr = arg;
	unsigned int spins = 0;

	while (vhost_pci_vring_enter(vr) == VHOST_PCI_VRING_OFF)
		vhost_pci_relax(&spins);
	vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_HEAD);
	vhost_pci_vring_leave(vr);
	return NULL;
}

static void
test_break_during_pause(void **state)
{
	struct vhost_pci_vring vr;
	unsigned int round;

	(void)state;
	for (round = 0; round < 100; round++) {
		pthread_t thread;
		bool broken = false;

		vhost_pci_vring_init(&vr, 0);
		assert_int_equal(pthread_create(&thread, NULL, breaking_thread, &vr), 0);
		while (!broken) {
			vhost_pci_vring_pause(&vr);
			broken = vr.error != VHOST_PCI_VRING_OK;
			vhost_pci_vring_resume(&vr,
					broken ? VHOST_PCI_VRING_OFF : VHOST_PCI_VRING_ON);
			sched_yield();
		}
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(vhost_pci_vring_enter(&vr), VHOST_PCI_VRING_OFF);
		assert_int_equal(vr.error, VHOST_PCI_VRING_E_HEAD);
	}
}

static const struct CMUnitTest vring_gate_tests[] = {
	cmocka_unit_test(test_enter_by_mode),
	cmocka_unit_test(test_pause_waits_for_burst),
	cmocka_unit_test(test_look_does_not_end_a_burst),
	cmocka_unit_test(test_pause_waits_for_looks),
	cmocka_unit_test(test_gate_guards_plain_fields),
	RING_BOTH_FORMATS(test_memory_moves_below_traffic),
	cmocka_unit_test(test_break_during_pause),
};

REGISTER_TEST_GROUP(vring_gate_autotest, vring_gate_tests, NULL, NULL);
