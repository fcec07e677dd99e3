/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Chains that are lent: each comes back once, in any order or in the one that was negotiated. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "ring_driver.h"
#include "test.h"
#include "vhost_pci_lend.h"

enum {
	SIZE = 64, /* Of the larger of the two rings. */
	NB_THREADS = 4,
	NB_ROUNDS = 20000,
};

static void
open_lending(struct ring *ring, const struct ring_conf *conf, bool in_order)
{
	ring_open(ring, conf);
	assert_int_equal(vhost_pci_lend_open(ring->vr, in_order), 0);
	assert_int_equal(vhost_pci_lend_open(ring->vr, in_order), 0);
}

static void
close_lending(struct ring *ring)
{
	vhost_pci_lend_close(ring->vr);
	ring_close(ring);
}

/* Offer a chain and take it; its id. */
static uint32_t
take(struct ring *ring, struct vhost_pci_chain *chain)
{
	int id = ring_offer_one(ring, RING_LOW_GPA, 100, false);

	memset(chain, 0, sizeof(*chain));
	assert_true(id >= 0);
	vhost_pci_ring_begin(ring->vr);
	assert_int_equal(ring_next(ring, chain, VHOST_PCI_DEQUEUE), 1);
	assert_int_equal(chain->id, id);
	return (uint32_t)id;
}

static struct vhost_pci_lent *
lend(struct ring *ring, uint32_t *id)
{
	struct vhost_pci_chain chain;

	*id = take(ring, &chain);
	return vhost_pci_lend_chain(ring->vr, &chain);
}

/* Return what is due; the driver must get exactly this chain, or none. */
static void
check_used(struct ring *ring, int64_t id)
{
	uint32_t used, len;

	if (vhost_pci_lend_is_due(ring->vr))
		vhost_pci_lend_drain(ring->vr);
	ring_end(ring);
	if (id >= 0) {
		assert_true(ring_get_used(ring, &used, &len));
		assert_int_equal(used, id);
		assert_int_equal(len, 0);
	}
	assert_false(vhost_pci_lend_is_due(ring->vr));
}

static void
check_none_used(struct ring *ring)
{
	uint32_t used, len;

	check_used(ring, -1);
	assert_false(ring_get_used(ring, &used, &len));
}

static void
test_any_order(void **state)
{
	static const unsigned int order[] = { 2, 0, 3, 1 };
	struct vhost_pci_lent *lent[4];
	uint32_t id[4];
	struct ring ring;
	unsigned int i;

	open_lending(&ring, *state, false);
	for (i = 0; i < 4; i++)
		lent[i] = lend(&ring, &id[i]);
	assert_int_equal(ring.vr->nb_lent, 4);
	check_none_used(&ring);
	for (i = 0; i < 4; i++) {
		vhost_pci_lend_give_back(lent[order[i]]);
		assert_true(vhost_pci_lend_is_due(ring.vr));
		check_used(&ring, id[order[i]]);
	}
	check_none_used(&ring);
	assert_int_equal(ring.vr->nb_lent, 0);
	close_lending(&ring);
}

/* What is taken later waits, also what was not lent. */
static void
test_in_order(void **state)
{
	struct vhost_pci_chain copied;
	struct vhost_pci_lent *lent[2];
	uint32_t id[3];
	struct ring ring;

	open_lending(&ring, *state, true);
	lent[0] = lend(&ring, &id[0]);
	id[1] = take(&ring, &copied);
	vhost_pci_lend_put(ring.vr, &copied);
	lent[1] = lend(&ring, &id[2]);
	vhost_pci_lend_give_back(lent[1]);
	check_none_used(&ring);
	vhost_pci_lend_give_back(lent[0]);
	check_used(&ring, id[0]);
	check_used(&ring, id[1]);
	check_used(&ring, id[2]);
	/* Where nothing waits a chain goes back at once. */
	id[0] = take(&ring, &copied);
	vhost_pci_lend_put(ring.vr, &copied);
	check_used(&ring, id[0]);
	check_none_used(&ring);
	close_lending(&ring);
}

/* A driver that offers what it has not got back breaks the ring, and nothing else. */
static void
test_in_order_overflow(void **state)
{
	struct vhost_pci_chain chain;
	struct vhost_pci_lent *lent;
	struct ring ring;
	uint32_t id;
	unsigned int i;

	open_lending(&ring, *state, true);
	lent = lend(&ring, &id);
	chain = lent->chain;
	for (i = 1; i < SIZE; i++)
		vhost_pci_lend_put(ring.vr, &chain);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
	vhost_pci_lend_put(ring.vr, &chain);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_E_AVAIL_IDX);
	assert_null(vhost_pci_lend_chain(ring.vr, &chain));
	vhost_pci_lend_close(ring.vr);
	vhost_pci_lend_give_back(lent);
	ring_close(&ring);
}

static void
test_share(void **state)
{
	const struct ring_conf *conf = *state;
	struct vhost_pci_lent *lent[SIZE] = { NULL };
	struct vhost_pci_chain chain;
	uint32_t id[SIZE] = { 0 };
	struct ring ring;
	unsigned int i;

	open_lending(&ring, conf, false);
	for (i = 0; i < conf->size / 2u; i++) {
		lent[i] = lend(&ring, &id[i]);
		assert_non_null(lent[i]);
	}
	id[i] = take(&ring, &chain);
	assert_null(vhost_pci_lend_chain(ring.vr, &chain));
	vhost_pci_lend_put(ring.vr, &chain);
	check_used(&ring, id[i]);
	/* One that comes back makes room for one. */
	vhost_pci_lend_give_back(lent[7]);
	check_used(&ring, id[7]);
	lent[7] = lend(&ring, &id[7]);
	assert_non_null(lent[7]);
	id[i] = take(&ring, &chain);
	assert_null(vhost_pci_lend_chain(ring.vr, &chain));
	ring_put(&ring, &chain, 0);
	for (i = 0; i < conf->size / 2u; i++)
		vhost_pci_lend_give_back(lent[i]);
	close_lending(&ring);
}

/* At the end all chains are returned, those that are held too; these only count from then on. */
static void
check_close(const struct ring_conf *conf, bool in_order)
{
	struct vhost_pci_lent *lent[8];
	uint32_t id[8], used, len;
	unsigned int i, nb = 0;
	struct ring ring;
	bool seen[8] = { false };
	uint32_t refcnt;

	open_lending(&ring, conf, in_order);
	for (i = 0; i < 8; i++)
		lent[i] = lend(&ring, &id[i]);
	refcnt = ring.mem->refcnt;
	vhost_pci_lend_give_back(lent[5]);
	vhost_pci_lend_close(ring.vr);
	assert_null(ring.vr->lend);
	assert_int_equal(ring.vr->nb_lent, 0);
	while (ring_get_used(&ring, &used, &len)) {
		for (i = 0; i < 8; i++) {
			if (id[i] != used)
				continue;
			assert_false(seen[i]);
			seen[i] = true;
		}
		nb++;
	}
	assert_int_equal(nb, 8);
	for (i = 0; i < 8; i++) {
		assert_true(seen[i]);
		/* Mapped up to the last one. */
		assert_int_equal(ring.mem->refcnt, refcnt);
		if (i != 5)
			vhost_pci_lend_give_back(lent[i]);
	}
	assert_int_equal(ring.mem->refcnt, refcnt - 1);
	assert_false(ring_get_used(&ring, &used, &len));
	ring_close(&ring);
}

static void
test_close(void **state)
{
	check_close(*state, false);
}

static void
test_close_in_order(void **state)
{
	check_close(*state, true);
}

/* A ring that broke is not written to. */
static void
test_close_broken(void **state)
{
	struct vhost_pci_lent *lent[2];
	uint32_t id, used, len;
	struct ring ring;

	open_lending(&ring, *state, false);
	lent[0] = lend(&ring, &id);
	lent[1] = lend(&ring, &id);
	vhost_pci_lend_give_back(lent[0]);
	vhost_pci_vring_break(ring.vr, VHOST_PCI_VRING_E_HEAD);
	vhost_pci_lend_close(ring.vr);
	assert_false(ring_get_used(&ring, &used, &len));
	vhost_pci_lend_give_back(lent[1]);
	ring_close(&ring);
}

/* Who waits does so for what is held, and no longer than it was told. */
static void
test_wait(void **state)
{
	struct vhost_pci_lent *lent;
	struct ring ring;
	uint64_t until;
	uint32_t id;

	open_lending(&ring, *state, false);
	lent = lend(&ring, &id);
	until = vhost_pci_lend_now_ms() + 2;
	vhost_pci_lend_wait(ring.vr, until);
	assert_true(vhost_pci_lend_now_ms() >= until);
	assert_int_equal(ring.vr->nb_lent, 1);
	vhost_pci_lend_give_back(lent);
	vhost_pci_lend_wait(ring.vr, UINT64_MAX);
	assert_int_equal(ring.vr->nb_lent, 0);
	check_used(&ring, id);
	close_lending(&ring);
}

/* Threads that give back, each what it finds in its slots. */
struct giver {
	pthread_t thread;
	struct vhost_pci_lent *slot[SIZE]; /* Atomic. */
	bool stop;                         /* Atomic. */
};

static void *
giver_main(void *arg)
{
	struct giver *giver = arg;
	struct vhost_pci_lent *lent;
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	bool stop;
	unsigned int i;

	do {
		stop = __atomic_load_n(&giver->stop, __ATOMIC_ACQUIRE);
		i = stop ? 0 : ring_random(&seed) % SIZE;
		for (; i < SIZE; i++) {
			lent = __atomic_exchange_n(&giver->slot[i], NULL, __ATOMIC_ACQ_REL);
			if (lent != NULL)
				vhost_pci_lend_give_back(lent);
			if (!stop)
				break;
		}
		sched_yield();
	} while (!stop);
	return NULL;
}

/* The driver finds a chain that comes twice; at the end none is missing. */
static void
test_threads(void **state)
{
	static struct giver givers[NB_THREADS];
	struct vhost_pci_lent *lent;
	uint64_t seed = 1;
	uint32_t id, used, len;
	unsigned int nb_lent = 0, nb_used = 0;
	struct ring ring;
	unsigned int i, slot;

	open_lending(&ring, *state, false);
	memset(givers, 0, sizeof(givers));
	for (i = 0; i < NB_THREADS; i++)
		assert_int_equal(pthread_create(&givers[i].thread, NULL, giver_main, &givers[i]),
				0);
	for (i = 0; i < NB_ROUNDS; i++) {
		if (vhost_pci_lend_is_due(ring.vr))
			vhost_pci_lend_drain(ring.vr);
		ring_end(&ring);
		while (ring_get_used(&ring, &used, &len))
			nb_used++;
		slot = ring_random(&seed) % SIZE;
		if (__atomic_load_n(&givers[i % NB_THREADS].slot[slot], __ATOMIC_ACQUIRE) != NULL ||
				ring.vr->lend->free == VHOST_PCI_LEND_NONE)
			continue;
		lent = lend(&ring, &id);
		assert_non_null(lent);
		nb_lent++;
		__atomic_store_n(&givers[i % NB_THREADS].slot[slot], lent, __ATOMIC_RELEASE);
	}
	/* Half way: the others go on to give back what is returned without them. */
	vhost_pci_lend_close(ring.vr);
	for (i = 0; i < NB_THREADS; i++) {
		__atomic_store_n(&givers[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(givers[i].thread, NULL);
	}
	while (ring_get_used(&ring, &used, &len))
		nb_used++;
	assert_int_equal(nb_used, nb_lent);
	for (i = 0; i < ring.size; i++)
		assert_int_equal(ring.nb_descs[i], 0);
	ring_close(&ring);
}

static const struct CMUnitTest tests[] = {
	RING_BOTH_FORMATS(test_any_order),
	RING_BOTH_FORMATS(test_in_order),
	RING_BOTH_FORMATS(test_in_order_overflow),
	RING_BOTH_FORMATS(test_share),
	RING_BOTH_FORMATS(test_close),
	RING_BOTH_FORMATS(test_close_in_order),
	RING_BOTH_FORMATS(test_close_broken),
	RING_BOTH_FORMATS(test_wait),
	RING_BOTH_FORMATS(test_threads),
};

REGISTER_TEST_GROUP(lend_autotest, tests, NULL, NULL);
