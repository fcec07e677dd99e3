/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* What only packed rings have: wrap counters, batches, their notification suppression. */

#include <errno.h>
#include <string.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)
#define WRAP  (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

/* A slot with its wrap counter, as in a base or an event. */
static uint16_t
slot_wrap(unsigned int slot, bool wrap)
{
	return (uint16_t)(slot | (wrap ? WRAP : 0));
}

static uint32_t
base_of(unsigned int slot, bool wrap)
{
	return slot_wrap(slot, wrap) * 0x10001u;
}

/* VIRTIO 2.8.1: available where AVAIL equals the counter and USED does not. */
static void
test_is_avail(void **state)
{
	uint32_t flags;

	(void)state;
	for (flags = 0; flags <= UINT16_MAX; flags++) {
		bool avail = flags & AVAIL;
		bool used = flags & USED;

		assert_int_equal(vhost_pci_packed_is_avail(flags, true), avail && !used);
		assert_int_equal(vhost_pci_packed_is_avail(flags, false), !avail && used);
	}
}

static void
test_advance(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 255, 256, 32767, 32768 };
	unsigned int i, slot, nb;
	struct vhost_pci_vring vr;

	(void)state;
	memset(&vr, 0, sizeof(vr));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned int step = 1 + sizes[i] / 97;

		vr.size = sizes[i];
		for (slot = 0; slot < vr.size; slot += step)
			for (nb = 1; nb <= vr.size; nb += step) {
				uint16_t new_slot = (uint16_t)slot;
				bool wrap = nb & 1;

				vhost_pci_packed_advance(&vr, &new_slot, &wrap, (uint16_t)nb);
				assert_int_equal(new_slot, (slot + nb) % vr.size);
				assert_int_equal(wrap, (nb & 1) != (slot + nb >= vr.size));
			}
	}
}

/* VIRTIO 2.8.6: id, length with WRITE where there is one, both bits as the used counter. */
static void
test_used_entry_layout(void **state)
{
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 3 });
	for (i = 0; i < 12; i++) {
		const struct vring_packed_desc *desc = &ring.pdesc[i % 3];
		uint16_t bits = i / 3 % 2 == 0 ? AVAIL | USED : 0;
		struct vhost_pci_chain chain = { 0 };
		uint32_t len = i % 2 == 0 ? 0 : 0x90000000u + i;
		int id = ring_offer_one(&ring, RING_LOW_GPA, 100, true);

		vhost_pci_ring_begin(ring.vr);
		assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_ENQUEUE), 1);
		ring_put(&ring, &chain, len);
		ring_end(&ring);
		assert_int_equal(desc->id, id);
		assert_int_equal(desc->len, len);
		assert_int_equal(desc->flags, bits | (len > 0 ? VRING_DESC_F_WRITE : 0));
		ring_take_used(&ring);
	}
	ring_close(&ring);
}

/* VIRTIO 2.8.6: the buffer id is in the last descriptor of a chain; others may have any. */
static void
test_id_of_last_descriptor(void **state)
{
	struct ring ring;
	struct vhost_pci_chain chain = { 0 };
	uint16_t i;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 4 });
	for (i = 0; i < 3; i++) {
		const struct vhost_pci_desc desc = {
			.gpa = RING_LOW_GPA,
			.len = 10,
			.flags = ring_avail_flags(true) | (i < 2 ? VRING_DESC_F_NEXT : 0),
			.next = 0x1110 + i,
		};

		ring_write_desc(&ring, i, &desc);
	}
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
	assert_int_equal(chain.id, 0x1112);
	assert_int_equal(chain.nb_slots, 3);
	ring_put(&ring, &chain, 0);
	ring_end(&ring);
	assert_int_equal(ring.pdesc[0].id, 0x1112);
	assert_int_equal(ring.pdesc[0].flags, AVAIL | USED);
	ring_close(&ring);
}

/* A batch becomes visible by the flags of its first entry, which are written last. */
static void
test_batch_is_published_by_first_flags(void **state)
{
	static const uint16_t nb_descs[] = { 2, 1, 3, 1 };
	static const uint16_t slots[] = { 0, 2, 3, 6 };
	const struct ring_buf bufs[3] = { { RING_LOW_GPA, 10 }, { RING_LOW_GPA, 10 },
		{ RING_LOW_GPA, 10 } };
	struct vhost_pci_chain chain = { 0 };
	unsigned int start, i;
	struct ring ring;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 8 });
	for (start = 0; start < 16; start++) {
		bool wrap = start < 8;
		uint16_t first = start % 8;
		uint16_t first_flags;

		ring_start(&ring, base_of(first, wrap));
		for (i = 0; i < 4; i++)
			ring_offer(&ring,
					&(struct ring_offer){ .bufs = bufs,
							.nb_direct = nb_descs[i] });
		ring_publish(&ring);
		first_flags = ring.pdesc[first].flags;
		vhost_pci_ring_begin(ring.vr);
		for (i = 0; i < 4; i++) {
			assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
			ring_put(&ring, &chain, 0);
			assert_int_equal(ring.pdesc[first].flags, first_flags);
		}
		for (i = 0; i < 4; i++) {
			uint16_t slot = (first + slots[i]) % 8;
			bool lap = first + slots[i] >= 8 ? !wrap : wrap;

			if (i > 0)
				assert_int_equal(ring.pdesc[slot].flags, lap ? AVAIL | USED : 0);
		}
		ring_flush(&ring);
		assert_int_equal(ring.pdesc[first].flags, wrap ? AVAIL | USED : 0);
		ring_take_used(&ring);
		assert_int_equal(ring.nb_free, 8);
	}
	ring_close(&ring);
}

/* A second flush publishes nothing, and touches nothing. */
static void
test_idle_burst_writes_nothing(void **state)
{
	struct vring_packed_desc before[5];
	struct ring ring;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 5 });
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_echo(&ring), 1);
	ring_take_used(&ring);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	memcpy(before, ring.pdesc, sizeof(before));
	ring_flush(&ring);
	ring_end(&ring);
	assert_memory_equal(before, ring.pdesc, sizeof(before));
	ring_close(&ring);
}

/* Chains of several slots, over the end of rings of all sizes, again and again. */
static void
test_chains_over_the_end(void **state)
{
	struct ring_buf bufs[24];
	unsigned int size, round, i;

	(void)state;
	for (i = 0; i < 24; i++)
		bufs[i] = (struct ring_buf){ RING_LOW_GPA + 10 * i, 10 };
	for (size = 1; size <= 24; size++) {
		struct ring ring;

		ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = (uint16_t)size });
		for (round = 0; round < 200; round++) {
			const struct ring_offer offer = { .bufs = bufs,
				.nb_direct = 1 + round % size };
			struct vhost_pci_chain chain = { 0 };
			int id = ring_offer(&ring, &offer);
			uint32_t used_id, len;

			ring_publish(&ring);
			vhost_pci_ring_begin(ring.vr);
			assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
			ring_check_chain(&ring, &chain, bufs, offer.nb_direct);
			assert_int_equal(chain.nb_slots, offer.nb_direct);
			assert_int_equal(chain.id, id);
			ring_put(&ring, &chain, 0);
			ring_end(&ring);
			assert_true(ring_get_used(&ring, &used_id, &len));
			assert_int_equal(used_id, id);
			assert_int_equal(ring.vr->avail_idx, ring.avail_idx);
			assert_int_equal(ring.vr->avail_wrap, ring.avail_wrap);
			assert_int_equal(ring.vr->used_idx, ring.used_idx);
			assert_int_equal(ring.vr->used_wrap, ring.used_wrap);
		}
		ring_close(&ring);
	}
}

/* Availability is counted in descriptors, and over the end of the ring. */
static void
test_nb_avail_counts_descriptors(void **state)
{
	const struct ring_buf bufs[3] = { { RING_LOW_GPA, 10 }, { RING_LOW_GPA, 10 },
		{ RING_LOW_GPA, 10 } };
	struct ring ring;

	(void)state;
	ring_open(&ring,
			&(struct ring_conf){ .is_packed = true,
					.size = 7,
					.base = base_of(5, false) });
	ring_offer(&ring, &(struct ring_offer){ .bufs = bufs, .nb_direct = 3 });
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 7), 0);
	ring_publish(&ring);
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 7), 3);
	ring_offer(&ring, &(struct ring_offer){ .bufs = bufs, .nb_direct = 3 });
	ring_publish(&ring);
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 7), 6);
	assert_int_equal(vhost_pci_ring_nb_avail(ring.vr, 2), 2);
	ring_close(&ring);
}

/* All bases of some sizes: what is set is returned, what is beyond the ring is refused. */
static void
test_base_round_trip(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 256, 32767, 32768 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const uint32_t first = base_of(0, true);
		uint64_t random = i;
		struct ring ring;
		int round;

		ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = sizes[i] });
		vhost_pci_vring_pause(ring.vr);
		for (round = 0; round < 20000; round++) {
			uint32_t base = ring_random(&random) ^ ring_random(&random) << 16;
			bool good;

			if (round % 2 == 0) {
				unsigned int avail = (base & 0x7fff) % sizes[i];
				unsigned int used = (base >> 16 & 0x7fff) % sizes[i];

				base = (base & 0x80008000) | avail | used << 16;
			}
			/* Without a used half there is none to return: see test_vring.c. */
			if (base <= UINT16_MAX)
				continue;
			good = (base & 0x7fff) < sizes[i] && (base >> 16 & 0x7fff) < sizes[i];
			assert_int_equal(vhost_pci_vring_set_base(ring.vr, first), 0);
			assert_int_equal(vhost_pci_vring_set_base(ring.vr, base),
					good ? 0 : -EINVAL);
			assert_int_equal(vhost_pci_vring_get_base(ring.vr), good ? base : first);
		}
		ring_close(&ring);
	}
}

/* From any base on the ring runs, and the base afterwards is the driver's. */
static void
test_runs_from_base(void **state)
{
	struct ring ring;
	unsigned int start, i;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 7 });
	for (start = 0; start < 14; start++) {
		ring_start(&ring, base_of(start % 7, start < 7));
		assert_int_equal(ring_echo(&ring), 0);
		for (i = 0; i < 30; i++) {
			ring_offer_one(&ring, RING_LOW_GPA, 60, false);
			if (i % 3 == 0)
				ring_offer_one(&ring, RING_LOW_GPA, 60, false);
			assert_int_equal(ring_echo(&ring), i % 3 == 0 ? 2 : 1);
			ring_take_used(&ring);
			assert_int_equal(ring.nb_free, 7);
		}
		vhost_pci_vring_pause(ring.vr);
		assert_int_equal(vhost_pci_vring_get_base(ring.vr),
				base_of(ring.avail_idx, ring.avail_wrap));
	}
	ring_close(&ring);
}

/* A base forgets what was not flushed. */
static void
test_base_forgets(void **state)
{
	struct vring_packed_desc before[5];
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 5 });
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
	ring_put(&ring, &chain, 0);
	ring_start(&ring, base_of(2, false));
	memcpy(before, ring.pdesc, sizeof(before));
	ring_end(&ring);
	assert_memory_equal(before, ring.pdesc, sizeof(before));
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_echo(&ring), 1);
	ring_close(&ring);
}

/* Avail and used apart: a ring that is taken over with chains on their way. */
static void
test_base_with_chains_held(void **state)
{
	struct vhost_pci_chain chain[3];
	struct ring ring;
	uint32_t base, id, len;
	unsigned int i;

	(void)state;
	ring_open(&ring,
			&(struct ring_conf){ .is_packed = true,
					.size = 5,
					.base = base_of(3, true) });
	for (i = 0; i < 3; i++) {
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_int_equal(ring_next(&ring, &chain[i], VHOST_PCI_DEQUEUE), 1);
	}
	vhost_pci_vring_pause(ring.vr);
	base = vhost_pci_vring_get_base(ring.vr);
	assert_int_equal(base, slot_wrap(1, false) | (uint32_t)slot_wrap(3, true) << 16);
	assert_int_equal(vhost_pci_vring_set_base(ring.vr, base), 0);
	vhost_pci_vring_resume(ring.vr, VHOST_PCI_VRING_ON);
	for (i = 0; i < 3; i++)
		ring_put(&ring, &chain[i], 0);
	ring_end(&ring);
	for (i = 0; i < 3; i++)
		assert_true(ring_get_used(&ring, &id, &len));
	ring_close(&ring);
}

static void
set_driver_event(struct ring *ring, uint16_t off_wrap, uint16_t flags)
{
	ring->driver_event->off_wrap = off_wrap;
	ring->driver_event->flags = flags;
}

/* ENABLE and DISABLE need no event index; what is reserved is taken for a wish to be called. */
static void
test_call_by_flag(void **state)
{
	static const bool wanted[] = { true, false, true, true };
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 5 });
	for (i = 0; i < 40; i++) {
		/* The upper bits of the flags are reserved. */
		set_driver_event(&ring, (uint16_t)(i * 0x3333), (uint16_t)(0xfffc | i % 4));
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_int_equal(ring_echo(&ring), 1);
		assert_int_equal(test_eventfd_read(ring.call_fd), wanted[i % 4]);
		ring_take_used(&ring);
	}
	ring_close(&ring);
}

/* After a start the driver is called once, wherever its event is. */
static void
test_first_call_after_start(void **state)
{
	struct ring ring;
	unsigned int start;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 5, .event_idx = true });
	for (start = 0; start < 10; start++) {
		ring_start(&ring, base_of(start % 5, start < 5));
		/* One ring's length ahead: not met within this test. */
		set_driver_event(&ring, slot_wrap((start + 4) % 5, (start + 4) / 5 % 2 == 0),
				VRING_PACKED_EVENT_FLAG_DESC);
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		ring_echo(&ring);
		assert_int_equal(test_eventfd_read(ring.call_fd), 1);
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		ring_echo(&ring);
		assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	}
	ring_close(&ring);
}

/* The model: step from slot to slot, and see whether the event is one of them. */
static bool
crossed(unsigned int size, unsigned int old_pos, unsigned int nb_used, uint16_t event)
{
	unsigned int pos;

	for (pos = old_pos; pos < old_pos + nb_used; pos++)
		if (event == slot_wrap(pos % size, pos / size % 2 == 0))
			return true;
	return false;
}

/* One place and number of used descriptors against all events in steps. */
static void
compare_calls(struct ring *ring, unsigned int old_pos, unsigned int nb_used, unsigned int step)
{
	const unsigned int size = ring->vr->size > 0 ? ring->vr->size : 1;
	unsigned int new_pos = old_pos + nb_used;
	unsigned int event_pos;

	for (event_pos = 0; event_pos < 2 * size; event_pos += step) {
		uint16_t event = slot_wrap(event_pos % size, event_pos < size);

		set_driver_event(ring, event, VRING_PACKED_EVENT_FLAG_DESC);
		ring->vr->signalled_idx = old_pos % size;
		ring->vr->signalled_valid = true;
		ring->vr->used_idx = new_pos % size;
		ring->vr->used_wrap = new_pos / size % 2 == 0;
		if (ring_call_wanted(ring) != crossed(size, old_pos, nb_used, event))
			fail_msg("size %u, from %u, %u used, event %#x", size, old_pos, nb_used,
					event);
		if (ring->vr->signalled_idx != ring->vr->used_idx)
			fail_msg("the last look is not remembered");
	}
}

/* All places, all numbers of used descriptors, all events, for small rings. */
static void
test_call_by_event_exhaustive(void **state)
{
	unsigned int size, pos, nb;

	(void)state;
	for (size = 1; size <= 20; size++) {
		struct ring ring;

		ring_open(&ring,
				&(struct ring_conf){ .is_packed = true,
						.size = (uint16_t)size,
						.event_idx = true });
		for (pos = 0; pos < 2 * size; pos++)
			for (nb = 1; nb <= size; nb++)
				compare_calls(&ring, pos, nb, 1);
		ring_close(&ring);
	}
}

/* The same for the largest rings, at the places where 15 and 16 bits end. */
static void
test_call_by_event_large(void **state)
{
	static const uint16_t sizes[] = { 32766, 32767, 32768 };
	unsigned int i, k, nb;

	(void)state;
	for (i = 0; i < 3; i++) {
		unsigned int size = sizes[i];
		const unsigned int pos[] = { 0, 1, size / 2, size - 1, size, size + 1,
			2 * size - 1 };
		struct ring ring;

		ring_open(&ring,
				&(struct ring_conf){ .is_packed = true,
						.size = sizes[i],
						.event_idx = true });
		for (k = 0; k < sizeof(pos) / sizeof(pos[0]); k++) {
			for (nb = 1; nb <= 4; nb++)
				compare_calls(&ring, pos[k], nb, 1);
			compare_calls(&ring, pos[k], size - 1, 997);
			compare_calls(&ring, pos[k], size, 997);
		}
		ring_close(&ring);
	}
}

/* An event beyond the ring is the driver's own loss. */
static void
test_event_beyond_ring(void **state)
{
	struct ring ring;
	uint32_t event;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 5, .event_idx = true });
	for (event = 0; event <= UINT16_MAX; event++) {
		set_driver_event(&ring, (uint16_t)event, VRING_PACKED_EVENT_FLAG_DESC);
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		assert_int_equal(ring_echo(&ring), 1);
		ring_take_used(&ring);
	}
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
	ring_close(&ring);
}

/* The look at a disabled event is remembered: enabling it later compares from there on. */
static void
test_event_after_disable(void **state)
{
	struct ring ring;
	unsigned int i;

	(void)state;
	ring_open(&ring, &(struct ring_conf){ .is_packed = true, .size = 8, .event_idx = true });
	set_driver_event(&ring, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
	for (i = 0; i < 3; i++) {
		ring_offer_one(&ring, RING_LOW_GPA, 60, false);
		ring_echo(&ring);
	}
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	set_driver_event(&ring, slot_wrap(1, true), VRING_PACKED_EVENT_FLAG_DESC);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	ring_echo(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 0);
	set_driver_event(&ring, slot_wrap(4, true), VRING_PACKED_EVENT_FLAG_DESC);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	ring_echo(&ring);
	assert_int_equal(test_eventfd_read(ring.call_fd), 1);
	ring_close(&ring);
}

static void
test_ask_kick(void **state)
{
	struct ring ring;
	unsigned int event_idx;

	(void)state;
	for (event_idx = 0; event_idx < 2; event_idx++) {
		ring_open(&ring,
				&(struct ring_conf){ .is_packed = true,
						.size = 5,
						.event_idx = event_idx != 0 });
		vhost_pci_ring_ask_kick(ring.vr, false);
		assert_int_equal(ring.device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
		assert_false(ring.vr->notify_peer);
		vhost_pci_ring_ask_kick(ring.vr, true);
		assert_int_equal(ring.device_event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
		assert_true(ring.vr->notify_peer);
		ring_close(&ring);
	}
}

static const struct CMUnitTest packed_tests[] = {
	cmocka_unit_test(test_is_avail),
	cmocka_unit_test(test_advance),
	cmocka_unit_test(test_used_entry_layout),
	cmocka_unit_test(test_id_of_last_descriptor),
	cmocka_unit_test(test_batch_is_published_by_first_flags),
	cmocka_unit_test(test_idle_burst_writes_nothing),
	cmocka_unit_test(test_chains_over_the_end),
	cmocka_unit_test(test_nb_avail_counts_descriptors),
	cmocka_unit_test(test_base_round_trip),
	cmocka_unit_test(test_runs_from_base),
	cmocka_unit_test(test_base_forgets),
	cmocka_unit_test(test_base_with_chains_held),
	cmocka_unit_test(test_call_by_flag),
	cmocka_unit_test(test_first_call_after_start),
	cmocka_unit_test(test_call_by_event_exhaustive),
	cmocka_unit_test(test_call_by_event_large),
	cmocka_unit_test(test_event_beyond_ring),
	cmocka_unit_test(test_event_after_disable),
	cmocka_unit_test(test_ask_kick),
};

REGISTER_TEST_GROUP(packed_autotest, packed_tests, NULL, NULL);
