/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* What only split rings have: their layout, their indexes, their notification suppression. */

#include <stdlib.h>
#include <string.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

static const struct ring_conf plain_conf = { .size = 8 };
static const struct ring_conf event_conf = { .size = 8, .event_idx = true };

static void
test_used_entry_layout(void **state)
{
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &plain_conf);
	for (i = 0; i < 20; i++) {
		struct vhost_pci_chain chain = { 0 };
		int id = ring_offer_one(&ring, RING_LOW_GPA, 100, true);

		vhost_pci_ring_begin(ring.vr);
		assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_ENQUEUE), 1);
		ring_put(&ring, &chain, 0x80000000u + i);
		assert_int_equal(ring.used->idx, i);
		ring_end(&ring);
		assert_int_equal(ring.used->idx, i + 1);
		assert_int_equal(ring.used->ring[i % 8].id, id);
		assert_int_equal(ring.used->ring[i % 8].len, 0x80000000u + i);
		assert_int_equal(ring.used->flags, 0);
		ring_take_used(&ring);
	}
	ring_close(&ring);
}

/* A burst that returned nothing writes nothing to the ring. */
static void
test_idle_burst_writes_nothing(void **state)
{
	struct ring ring;

	(void)state;
	ring_open(&ring, &plain_conf);
	ring.used->idx = 0x1234;
	ring_echo(&ring);
	ring_flush(&ring);
	assert_int_equal(ring.used->idx, 0x1234);
	ring_close(&ring);
}

static void
test_base_round_trip(void **state)
{
	struct ring ring;
	uint32_t base;

	(void)state;
	ring_open(&ring, &plain_conf);
	vhost_pci_vring_pause(ring.vr);
	for (base = 0; base <= UINT16_MAX; base++) {
		assert_int_equal(vhost_pci_vring_set_base(ring.vr, base), 0);
		assert_int_equal(vhost_pci_vring_get_base(ring.vr), base);
	}
	ring_close(&ring);
}

/* From any base on the ring runs, and its next base is that of the driver. */
static void
test_runs_from_base(void **state)
{
	static const uint16_t bases[] = { 0, 1, 7, 8, 0x7ffe, 0x8000, 0xfff8, 0xfffd, 0xffff };
	struct ring ring;
	unsigned int i, lap;

	(void)state;
	ring_open(&ring, &plain_conf);
	for (i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		ring_start(&ring, bases[i]);
		assert_int_equal(ring_echo(&ring), 0);
		for (lap = 0; lap < 5; lap++) {
			while (ring.nb_free > 0)
				ring_offer_one(&ring, RING_LOW_GPA, 60, false);
			assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 8), 8);
			assert_int_equal(ring_echo(&ring), 8);
			ring_take_used(&ring);
			assert_int_equal(ring.nb_free, 8);
		}
		vhost_pci_vring_pause(ring.vr);
		assert_int_equal(vhost_pci_vring_get_base(ring.vr), (uint16_t)(bases[i] + 40));
	}
	ring_close(&ring);
}

/* A base forgets what was seen of the avail index, and what was not flushed. */
static void
test_base_forgets(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;

	(void)state;
	ring_open(&ring, &plain_conf);
	while (ring.nb_free > 0)
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
	ring_put(&ring, &chain, 0);
	ring_start(&ring, 100);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 0);
	ring_end(&ring);
	assert_int_equal(ring.used->idx, 100);
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_echo(&ring), 1);
	assert_int_equal(ring.used->idx, 101);
	ring_close(&ring);
}

static void
test_call_by_flag(void **state)
{
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &plain_conf);
	for (i = 0; i < 40; i++) {
		bool wanted = i % 3 != 0;

		/* The other bits of the flags mean nothing. */
		ring.avail->flags = 0xfffe | (wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_int_equal(ring_echo(&ring), 1);
		assert_int_equal(test_eventfd_read(ring.call_fd), wanted);
		ring_take_used(&ring);
	}
	assert_int_equal(ring.vr->stats.notifications, 40 - 14);
	ring_close(&ring);
}

/* With the event index the flag means nothing: VIRTIO 2.7.7.2. */
static void
test_call_by_event_ignores_flag(void **state)
{
	struct ring ring;
	uint16_t i;

	(void)state;
	ring_open(&ring, &event_conf);
	ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (i = 0; i < 20; i++) {
		ring.avail->ring[ring.size] = i;
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		ring_echo(&ring);
		assert_int_equal(test_eventfd_read(ring.call_fd), 1);
		ring_take_used(&ring);
	}
	ring_close(&ring);
}

/* After a start the driver is called once, wherever its event is. */
static void
test_first_call_after_start(void **state)
{
	struct ring ring;
	uint32_t base;

	(void)state;
	ring_open(&ring, &event_conf);
	for (base = 0; base < 0x10000; base += 0x1234) {
		ring_start(&ring, base);
		ring.avail->ring[ring.size] = (uint16_t)(base - 1000);
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		ring_echo(&ring);
		assert_int_equal(test_eventfd_read(ring.call_fd), 1);
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		ring_echo(&ring);
		assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	}
	ring_close(&ring);
}

/* Compare with what the specification says: called when the entry at the event is used. */
static void
compare_calls(struct ring *ring, uint16_t old_idx, unsigned int nb_used, const uint8_t *crossed)
{
	uint32_t event;

	for (event = 0; event <= UINT16_MAX; event++) {
		ring->avail->ring[ring->size] = (uint16_t)event;
		ring->vr->signalled_idx = old_idx;
		ring->vr->signalled_valid = true;
		ring->vr->used_idx = (uint16_t)(old_idx + nb_used);
		if (ring_call_wanted(ring) != crossed[event])
			fail_msg("old %u, %u used, event %u", old_idx, nb_used, event);
		if (ring->vr->signalled_idx != ring->vr->used_idx)
			fail_msg("the last look is not remembered");
	}
}

/* All events, for many places and numbers of used entries (VIRTIO 2.7.7.2). */
static void
test_call_by_event_exhaustive(void **state)
{
	static const uint16_t olds[] = { 0, 1, 0x7fff, 0x8000, 0xffc0, 0xffff };
	uint8_t *crossed = malloc(UINT16_MAX + 1);
	struct ring ring;
	unsigned int i, nb;

	(void)state;
	assert_non_null(crossed);
	ring_open(&ring, &event_conf);
	for (i = 0; i < sizeof(olds) / sizeof(olds[0]); i++) {
		memset(crossed, 0, UINT16_MAX + 1);
		for (nb = 0; nb <= 32768; nb++) {
			/* One more entry: the event it stands for is met from now on. */
			if (nb > 0)
				crossed[(uint16_t)(olds[i] + nb - 1)] = 1;
			if (nb < 34 || nb == 255 || nb == 256 || nb >= 32767)
				compare_calls(&ring, olds[i], nb, crossed);
		}
	}
	ring.vr->used_idx = ring.used_idx;
	ring_close(&ring);
	free(crossed);
}

/* The driver's question before it kicks: is the entry at the device's event among these? */
static bool
kick_wanted(const struct ring *ring, uint16_t old_idx, uint16_t new_idx)
{
	const uint16_t *avail_event = (const uint16_t *)(const void *)&ring->used->ring[ring->size];
	uint16_t event = __atomic_load_n(avail_event, __ATOMIC_RELAXED);

	for (; old_idx != new_idx; old_idx++)
		if (event == old_idx)
			return true;
	return false;
}

static void
test_ask_kick_by_flag(void **state)
{
	struct ring ring;

	(void)state;
	ring_open(&ring, &plain_conf);
	vhost_pci_ring_ask_kick(ring.vr, false);
	assert_int_equal(ring.used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(ring.vr->notify_peer);
	vhost_pci_ring_ask_kick(ring.vr, true);
	assert_int_equal(ring.used->flags, 0);
	assert_true(ring.vr->notify_peer);
	ring_close(&ring);
}

/* The next chain makes the driver kick, from all places, whatever it offers at once. */
static void
test_ask_kick_by_event(void **state)
{
	struct ring ring;
	unsigned int round;

	(void)state;
	ring_open(&ring, &event_conf);
	for (round = 0; round < 70000; round++) {
		unsigned int nb = 1 + round % 8;
		uint16_t old_idx = ring.avail_idx;

		vhost_pci_ring_ask_kick(ring.vr, true);
		assert_int_equal(ring.used->flags, 0);
		while (nb-- > 0)
			ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_true(kick_wanted(&ring, old_idx, ring.avail_idx));
		ring_echo(&ring);
		ring_take_used(&ring);
	}
	ring_close(&ring);
}

/* Let the driver offer chains in the given portions, and see that it does not kick. */
static void
run_without_kick(struct ring *ring, unsigned int nb_rounds, unsigned int max_portion)
{
	unsigned int round;

	for (round = 0; round < nb_rounds; round++) {
		unsigned int nb = 1 + round * 7 % max_portion;
		uint16_t old_idx = ring->avail_idx;

		while (nb-- > 0)
			ring_offer_one(ring, RING_LOW_GPA, 60, false);
		assert_false(kick_wanted(ring, old_idx, ring->avail_idx));
		ring_echo(ring);
		ring_take_used(ring);
	}
}

/* A driver that was told not to kick never does, as long as the ring is polled. */
static void
test_ask_no_kick_by_event(void **state)
{
	static const uint16_t bases[] = { 0, 0x7ff0, 0xfffe };
	static const uint16_t sizes[] = { 1, 8, 32768 };
	unsigned int i, k;

	(void)state;
	for (k = 0; k < 3; k++) {
		struct ring ring;

		ring_open(&ring, &(struct ring_conf){ .size = sizes[k], .event_idx = true });
		for (i = 0; i < 3; i++) {
			ring_start(&ring, bases[i]);
			vhost_pci_ring_ask_kick(ring.vr, true);
			vhost_pci_ring_ask_kick(ring.vr, false);
			if (sizes[k] < 32768)
				run_without_kick(&ring, 140000 / sizes[k], sizes[k]);
			else
				run_without_kick(&ring, 15, 32768);
		}
		ring_close(&ring);
	}
}

/* The driver fills the largest ring anew whenever it can: it is as far ahead as it can be. */
static void
test_ask_no_kick_from_full_ring(void **state)
{
	struct ring ring;
	unsigned int lap;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .size = 32768, .event_idx = true });
	vhost_pci_ring_ask_kick(ring.vr, false);
	for (lap = 0; lap < 12; lap++) {
		uint16_t old_idx = ring.avail_idx;

		while (ring.nb_free > 0)
			ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_false(kick_wanted(&ring, old_idx, ring.avail_idx));
		vhost_pci_ring_discard(ring.vr, 1 + lap * 4099 % 32768);
		ring_take_used(&ring);
	}
	ring_close(&ring);
}

/* An avail index beyond reason is not acted on, then or later. */
static void
test_avail_idx_jump(void **state)
{
	static const uint16_t jumps[] = { 9, 10, 0x7fff, 0x8000, 0xffff };
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &plain_conf);
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		ring_start(&ring, 5);
		ring.avail->idx = (uint16_t)(5 + jumps[i]);
		assert_true(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE) < 0);
		assert_int_equal(ring.vr->error, VHOST_PCI_VRING_E_AVAIL_IDX);
		assert_true(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE) < 0);
		assert_int_equal(ring.vr->avail_idx, 5);
		ring_start(&ring, 5);
		ring.avail->idx = (uint16_t)(5 + jumps[i]);
		assert_true(vhost_pci_ring_nb_avail(ring.vr, 8) < 0);
		assert_true(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE) < 0);
	}
	ring_start(&ring, 5);
	ring.avail->idx = 5 + 8;
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 8), 8);
	ring_close(&ring);
}

/* Who only looks neither breaks a ring nor takes over an index that nobody has checked. */
static void
test_look_at_avail_idx(void **state)
{
	static const uint16_t jumps[] = { 9, 10, 0x7fff, 0x8000, 0xffff };
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &plain_conf);
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		ring_start(&ring, 0xfffe);
		ring.avail->idx = (uint16_t)(0xfffe + jumps[i]);
		assert_int_equal(vhost_pci_ring_look(ring.vr, 8), 0);
		assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
		assert_int_equal(ring.vr->avail_seen, 0xfffe);
	}
	ring.avail->idx = (uint16_t)(0xfffe + 8);
	assert_int_equal(vhost_pci_ring_look(ring.vr, 8), 8);
	ring_close(&ring);
}

/* The index is loaded once for a burst of chains, and not before it has been used up. */
static void
test_avail_idx_read_once(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &plain_conf);
	for (i = 0; i < 5; i++)
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
	ring.avail->idx = 0x4000;
	for (i = 1; i < 5; i++)
		assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
	assert_true(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE) < 0);
	ring_close(&ring);
}

static const struct CMUnitTest split_tests[] = {
	cmocka_unit_test(test_used_entry_layout),
	cmocka_unit_test(test_idle_burst_writes_nothing),
	cmocka_unit_test(test_base_round_trip),
	cmocka_unit_test(test_runs_from_base),
	cmocka_unit_test(test_base_forgets),
	cmocka_unit_test(test_call_by_flag),
	cmocka_unit_test(test_call_by_event_ignores_flag),
	cmocka_unit_test(test_first_call_after_start),
	cmocka_unit_test(test_call_by_event_exhaustive),
	cmocka_unit_test(test_ask_kick_by_flag),
	cmocka_unit_test(test_ask_kick_by_event),
	cmocka_unit_test(test_ask_no_kick_by_event),
	cmocka_unit_test(test_ask_no_kick_from_full_ring),
	cmocka_unit_test(test_avail_idx_jump),
	cmocka_unit_test(test_look_at_avail_idx),
	cmocka_unit_test(test_avail_idx_read_once),
};

REGISTER_TEST_GROUP(split_autotest, split_tests, NULL, NULL);
