/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Setting a vring up, telling others of it, and breaking it. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "ring_driver.h"
#include "test.h"
#include "test_util.h"

static int
map_as(struct ring *ring, uint16_t size)
{
	const struct vhost_pci_vring_format format = {
		.size = size,
		.is_packed = ring->is_packed,
		.hdr_len = 12,
	};

	vhost_pci_vring_pause(ring->vr);
	return vhost_pci_vring_map(ring->vr, ring->mem, &format);
}

static void
expect_unmapped(const struct ring *ring)
{
	assert_null(ring->vr->mem);
	assert_null(ring->vr->segs);
	assert_null(ring->vr->split.desc);
	assert_null(ring->vr->split.avail);
	assert_null(ring->vr->split.used);
	assert_int_equal(ring->vr->size, 0);
	assert_int_equal(ring->mem->refcnt, 1);
}

static void
test_map_keeps_one_reference(void **state)
{
	struct ring ring;
	int i;

	ring_open(&ring, *state);
	for (i = 0; i < 5; i++) {
		assert_int_equal(map_as(&ring, ring.size), 0);
		assert_int_equal(ring.mem->refcnt, 2);
	}
	vhost_pci_vring_unmap(ring.vr);
	expect_unmapped(&ring);
	vhost_pci_vring_unmap(ring.vr);
	expect_unmapped(&ring);
	ring_close(&ring);
}

/* Memory comes and goes; the table of segments stays as long as the size does. */
static void
test_map_keeps_segments(void **state)
{
	const struct ring_conf *conf = *state;
	struct vhost_pci_seg *segs;
	struct ring ring;

	ring_open(&ring, conf);
	segs = ring.vr->segs;
	assert_int_equal(map_as(&ring, ring.size), 0);
	assert_ptr_equal(ring.vr->segs, segs);
	assert_int_equal(map_as(&ring, 4), 0);
	assert_true(ring.vr->max_segs >= 2 * 4);
	/* All of it is there. */
	memset(ring.vr->segs, 0, ring.vr->max_segs * sizeof(*segs));
	assert_int_equal(map_as(&ring, ring.size), 0);
	assert_true(ring.vr->max_segs >= 2u * ring.size);
	memset(ring.vr->segs, 0, ring.vr->max_segs * sizeof(*segs));
	ring_close(&ring);
}

/* A vring's own table may be passed when nobody else holds it. */
static void
test_map_of_own_table(void **state)
{
	struct ring ring;

	ring_open(&ring, *state);
	/* The only reference is the vring's now, and the test's own is forgotten. */
	vhost_pci_mem_put(ring.mem);
	assert_int_equal(map_as(&ring, ring.size), 0);
	assert_int_equal(ring.mem->refcnt, 1);
	vhost_pci_mem_get(ring.mem);
	ring_close(&ring);
}

/* Indexes stay where they are when memory moves; what was cached of the old memory does not. */
static void
test_map_keeps_indexes(void **state)
{
	struct vhost_pci_chain chain = { 0 };
	struct ring ring;
	uint32_t base;

	ring_open(&ring, *state);
	ring_offer_one(&ring, RING_LOW_GPA, 60, false);
	assert_int_equal(ring_next(&ring, &chain, VHOST_PCI_DEQUEUE), 1);
	ring_put(&ring, &chain, 0);
	ring_end(&ring);
	base = vhost_pci_vring_get_base(ring.vr);
	assert_int_not_equal(ring.vr->cache.size, 0);
	assert_int_equal(map_as(&ring, ring.size), 0);
	assert_int_equal(ring.vr->cache.size, 0);
	assert_int_equal(vhost_pci_vring_get_base(ring.vr), base);
	ring_close(&ring);
}

static void
test_map_without_memory(void **state)
{
	const struct ring_conf *conf = *state;
	const struct vhost_pci_vring_format format = {
		.size = conf->size,
		.is_packed = conf->is_packed,
	};
	struct ring ring;

	ring_open(&ring, conf);
	assert_int_equal(vhost_pci_vring_map(ring.vr, NULL, &format), -EFAULT);
	expect_unmapped(&ring);
	ring_close(&ring);
}

static void
test_map_size(void **state)
{
	const struct ring_conf *conf = *state;
	const struct ring_conf large = { .is_packed = conf->is_packed, .size = 32768 };
	struct ring ring;
	uint32_t size;

	ring_open(&ring, &large);
	for (size = 0; size <= UINT16_MAX; size += size < 70 || size >= 32760 ? 1 : 7) {
		bool power = (size & (size - 1)) == 0;
		bool good = size > 0 && size <= 32768 && (conf->is_packed || power);

		if (size > 32800)
			size = UINT16_MAX;
		assert_int_equal(map_as(&ring, (uint16_t)size), good ? 0 : -EINVAL);
		if (!good)
			expect_unmapped(&ring);
	}
	ring_close(&ring);
}

/* Move each part by some bytes: towards the end it leaves its region, misaligned it is refused. */
static void
test_map_part(void **state)
{
	static const unsigned int split_align[] = { 16, 2, 4 };
	static const unsigned int packed_align[] = { 16, 4, 4 };
	const struct ring_conf *conf = *state;
	const unsigned int *align = conf->is_packed ? packed_align : split_align;
	struct ring ring;
	unsigned int part;

	ring_open(&ring, conf);
	for (part = 0; part < 3; part++) {
		uint64_t *const uvas[] = { &ring.vr->desc_uva, &ring.vr->avail_uva,
			&ring.vr->used_uva };
		const uint64_t uva = *uvas[part];
		unsigned int i;

		for (i = 1; i <= 64; i++) {
			/* The whole part lies in the region still, whatever its alignment. */
			*uvas[part] = uva - i;
			assert_int_equal(map_as(&ring, ring.size), i % align[part] ? -EINVAL : 0);
			/* A step of the alignment further it does not. */
			*uvas[part] = uva + i * align[part];
			assert_int_equal(map_as(&ring, ring.size), -EFAULT);
			expect_unmapped(&ring);
		}
		*uvas[part] = UINT64_MAX - 15;
		assert_int_equal(map_as(&ring, ring.size), -EFAULT);
		*uvas[part] = 0;
		assert_int_equal(map_as(&ring, ring.size), -EFAULT);
		*uvas[part] = uva;
		assert_int_equal(map_as(&ring, ring.size), 0);
	}
	ring_close(&ring);
}

/* Regions that touch are still two: a part of a ring must lie in one. */
static void
test_map_across_regions(void **state)
{
	struct ring ring;
	uint64_t end;

	ring_open(&ring, *state);
	end = ring.mem->region[RING_REGION_LOW].uva + RING_BUF_BYTES;
	ring.mem->region[RING_REGION_HIGH].uva = end;
	ring.vr->desc_uva = end - 16;
	assert_int_equal(map_as(&ring, ring.size), -EFAULT);
	ring.vr->desc_uva = end;
	assert_int_equal(map_as(&ring, ring.size), 0);
	ring_close(&ring);
}

/* Gpa and uva are different things: a ring's address is no gpa. */
static void
test_map_is_by_uva(void **state)
{
	struct ring ring;

	ring_open(&ring, *state);
	ring.vr->desc_uva = RING_LOW_GPA;
	assert_int_equal(map_as(&ring, ring.size), -EFAULT);
	ring_close(&ring);
}

/* Without a mapping there is no size that a packed base could be below. */
static void
test_base_of_unmapped_packed(void **state)
{
	struct ring ring;

	(void)state;
	ring_open(&ring, &ring_packed_conf);
	vhost_pci_vring_pause(ring.vr);
	vhost_pci_vring_unmap(ring.vr);
	assert_int_equal(vhost_pci_vring_set_base(ring.vr, RING_PACKED_START), -EINVAL);
	ring_close(&ring);
}

/* Front-ends that know of the avail half of a packed base only leave the used half 0. */
static void
test_base_without_used_half(void **state)
{
	struct ring ring;

	(void)state;
	ring_open(&ring, &ring_packed_conf);
	vhost_pci_vring_pause(ring.vr);
	assert_int_equal(vhost_pci_vring_set_base(ring.vr, 1u << 15), 0);
	assert_int_equal(vhost_pci_vring_get_base(ring.vr), 1u << 31 | 1u << 15);
	assert_int_equal(vhost_pci_vring_set_base(ring.vr, 3), 0);
	assert_int_equal(vhost_pci_vring_get_base(ring.vr), 3u << 16 | 3);
	/* Where it is given, it counts. */
	assert_int_equal(vhost_pci_vring_set_base(ring.vr, 1u << 16 | 3), 0);
	assert_int_equal(vhost_pci_vring_get_base(ring.vr), 1u << 16 | 3);
	ring_close(&ring);
}

static void
test_fini_closes_fds(void **state)
{
	unsigned int nb_fds = test_nb_fds();
	struct vhost_pci_vring *vr;
	struct ring ring;

	(void)state;
	ring_open(&ring, &ring_split_conf);
	vr = ring.vr;
	vr->kick_fd = eventfd(0, 0);
	vr->err.fd = eventfd(0, 0);
	vhost_pci_vring_pause(vr);
	vhost_pci_vring_fini(vr);
	assert_int_equal(vr->kick_fd, -1);
	assert_int_equal(vr->call.fd, -1);
	assert_int_equal(vr->err.fd, -1);
	/* It is not the vring's: it stays, and open. */
	assert_int_equal(vr->broken_fd, ring.broken_fd);
	assert_true(fcntl(ring.broken_fd, F_GETFD) >= 0);
	assert_int_equal(vr->index, 1);
	ring_close(&ring);
	assert_int_equal(test_nb_fds(), nb_fds);
}

static void
test_error_names(void **state)
{
	unsigned int i, k;

	(void)state;
	for (i = 0; i < VHOST_PCI_VRING_E_MAX; i++) {
		const char *name = vhost_pci_vring_error_name((enum vhost_pci_vring_error)i);

		assert_non_null(name);
		for (k = 0; k < i; k++)
			assert_string_not_equal(name,
					vhost_pci_vring_error_name((enum vhost_pci_vring_error)k));
	}
	assert_string_equal(vhost_pci_vring_error_name(VHOST_PCI_VRING_E_MAX), "unknown");
	assert_string_equal(vhost_pci_vring_error_name((enum vhost_pci_vring_error) - 1),
			"unknown");
}

/* The first error counts; control is woken once; no burst begins until a new start. */
static void
test_break(void **state)
{
	struct ring ring;

	ring_open(&ring, *state);
	assert_int_equal(vhost_pci_vring_enter(ring.vr), VHOST_PCI_VRING_ON);
	assert_int_equal(vhost_pci_vring_break(ring.vr, VHOST_PCI_VRING_E_ADDR), -EPROTO);
	assert_int_equal(vhost_pci_vring_break(ring.vr, VHOST_PCI_VRING_E_LOOP), -EPROTO);
	vhost_pci_vring_leave(ring.vr);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_E_ADDR);
	assert_int_equal(test_eventfd_read(ring.broken_fd), 1);
	assert_int_equal(vhost_pci_vring_enter(ring.vr), VHOST_PCI_VRING_OFF);
	assert_int_equal(ring.vr->busy, 0);
	ring_start(&ring, 0);
	assert_int_equal(ring.vr->error, VHOST_PCI_VRING_OK);
	assert_int_equal(vhost_pci_vring_enter(ring.vr), VHOST_PCI_VRING_ON);
	vhost_pci_vring_leave(ring.vr);
	ring_close(&ring);
}

static void
test_break_without_listener(void **state)
{
	struct ring ring;

	ring_open(&ring, *state);
	ring.vr->broken_fd = -1;
	assert_int_equal(vhost_pci_vring_break(ring.vr, VHOST_PCI_VRING_E_ADDR), -EPROTO);
	assert_int_equal(vhost_pci_vring_enter(ring.vr), VHOST_PCI_VRING_OFF);
	ring_close(&ring);
}

/* One write for each call; none where there is nobody to tell. */
static void
test_notifier_eventfd(void **state)
{
	struct vhost_pci_notifier notifier = { .fd = eventfd(0, EFD_NONBLOCK) };
	const struct vhost_pci_notifier nobody = { .fd = -1 };

	(void)state;
	assert_true(notifier.fd >= 0);
	vhost_pci_notifier_signal(&notifier);
	assert_int_equal(test_eventfd_read(notifier.fd), 1);
	errno = 77;
	vhost_pci_notifier_signal(&nobody);
	assert_int_equal(errno, 77);
	close(notifier.fd);
}

/* A peer that never reads can't hold up the thread that polls, nor spoil its errno. */
static void
test_notifier_full(void **state)
{
	const uint64_t most = UINT64_MAX - 1;
	struct vhost_pci_notifier notifier = { .fd = eventfd(0, EFD_NONBLOCK) };
	int fds[2];

	(void)state;
	assert_int_equal(write(notifier.fd, &most, sizeof(most)), sizeof(most));
	errno = 77;
	vhost_pci_notifier_signal(&notifier);
	assert_int_equal(errno, 77);
	assert_true(test_eventfd_read(notifier.fd) == most);
	close(notifier.fd);

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	while (write(fds[1], &most, sizeof(most)) > 0)
		;
	notifier.fd = fds[1];
	errno = 77;
	vhost_pci_notifier_signal(&notifier);
	assert_int_equal(errno, 77);
	close(fds[0]);
	close(fds[1]);
}

/* A doorbell goes before an fd. */
static void
test_notifier_doorbell(void **state)
{
	uint32_t reg = 0;
	struct vhost_pci_notifier notifier = {
		.fd = eventfd(0, EFD_NONBLOCK),
		.doorbell = &reg,
		.value = 0x5001,
	};

	(void)state;
	vhost_pci_notifier_signal(&notifier);
	assert_int_equal(reg, 0x5001);
	assert_int_equal(test_eventfd_read(notifier.fd), 0);
	close(notifier.fd);
}

static const struct CMUnitTest vring_tests[] = {
	RING_BOTH_FORMATS(test_map_keeps_one_reference),
	RING_BOTH_FORMATS(test_map_keeps_segments),
	RING_BOTH_FORMATS(test_map_of_own_table),
	RING_BOTH_FORMATS(test_map_keeps_indexes),
	RING_BOTH_FORMATS(test_map_without_memory),
	RING_BOTH_FORMATS(test_map_size),
	RING_BOTH_FORMATS(test_map_part),
	RING_BOTH_FORMATS(test_map_across_regions),
	RING_BOTH_FORMATS(test_map_is_by_uva),
	cmocka_unit_test(test_base_of_unmapped_packed),
	cmocka_unit_test(test_base_without_used_half),
	cmocka_unit_test(test_fini_closes_fds),
	cmocka_unit_test(test_error_names),
	cmocka_unit_test_prestate(test_break, &ring_split_conf),
	cmocka_unit_test_prestate(test_break_without_listener, &ring_split_conf),
	cmocka_unit_test(test_notifier_eventfd),
	cmocka_unit_test(test_notifier_full),
	cmocka_unit_test(test_notifier_doorbell),
};

REGISTER_TEST_GROUP(vring_autotest, vring_tests, NULL, NULL);
