/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "ring_driver.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "test.h"
#include "test_util.h"

#define PAGE       4096u
#define AVAIL_FLAG (1u << 7)  /* VIRTIO 2.8.1 */
#define USED_FLAG  (1u << 15) /* VIRTIO 2.8.1 */
#define WRAP_BIT   (1u << 15) /* "VHOST_USER_SET_VRING_BASE" */

struct ring_conf ring_split_conf = { .size = 64 };
struct ring_conf ring_packed_conf = { .is_packed = true, .size = 61 };

static const uint64_t region_gpa[RING_NB_REGIONS] = {
	[RING_REGION_DESC] = 0x01000000,
	[RING_REGION_DRIVER] = 0x02000000,
	[RING_REGION_DEVICE] = 0x03000000,
	[RING_REGION_LOW] = RING_LOW_GPA,
	[RING_REGION_HIGH] = RING_HIGH_GPA,
	[RING_REGION_FAR] = RING_FAR_GPA,
};

/* Against the order of gpa, and touching nowhere. */
static uint64_t
region_uva(unsigned int i)
{
	return UINT64_C(0x7f0000000000) - i * UINT64_C(0x40000000);
}

static void
release_nothing(struct vhost_pci_mapping *mapping)
{
	(void)mapping;
	fail_msg("the memory table lost a reference");
}

static size_t
pages(size_t bytes)
{
	return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* One region between two pages that nobody can touch. */
static void
add_region(struct ring *ring, unsigned int i, size_t bytes)
{
	struct vhost_pci_mem_region *region = &ring->mem->region[i];
	size_t map_bytes = pages(bytes) + 2 * PAGE;
	uint8_t *map = mmap(NULL, map_bytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map + PAGE, pages(bytes), PROT_READ | PROT_WRITE), 0);
	ring->map[i] = map;
	ring->map_bytes[i] = map_bytes;
	region->gpa = region_gpa[i];
	region->uva = region_uva(i);
	region->size = pages(bytes);
	region->mmap_offset = (uint64_t)i * PAGE;
	region->va = map + PAGE;
	region->mapping = calloc(1, sizeof(*region->mapping));
	assert_non_null(region->mapping);
	region->mapping->refcnt = 1;
	region->mapping->va = region->va;
	region->mapping->size = region->size;
	region->mapping->release = release_nothing;
}

static void
make_memory(struct ring *ring)
{
	size_t desc_bytes = ring->size * sizeof(struct vring_desc);
	size_t driver_bytes = 6 + 2 * (size_t)ring->size;
	size_t device_bytes = 6 + 8 * (size_t)ring->size;

	ring->mem = calloc(1, sizeof(*ring->mem) + RING_NB_REGIONS * sizeof(ring->mem->region[0]));
	assert_non_null(ring->mem);
	ring->mem->refcnt = 1;
	ring->mem->nb_regions = RING_NB_REGIONS;
	add_region(ring, RING_REGION_DESC, desc_bytes);
	add_region(ring, RING_REGION_DRIVER, driver_bytes);
	add_region(ring, RING_REGION_DEVICE, device_bytes);
	add_region(ring, RING_REGION_LOW, RING_BUF_BYTES);
	add_region(ring, RING_REGION_HIGH, RING_BUF_BYTES);
	add_region(ring, RING_REGION_FAR, RING_BUF_BYTES);
}

/* Place a part of the ring at the end of its region. Returns the offset in it. */
static uint64_t
place(struct ring *ring, enum ring_region i, size_t bytes, size_t align, void **part)
{
	uint64_t offset = (ring->mem->region[i].size - bytes) / align * align;

	*part = ring->mem->region[i].va + offset;
	return ring->mem->region[i].uva + offset;
}

static void
place_ring(struct ring *ring)
{
	void *desc, *driver, *device;

	ring->vr->desc_uva = place(ring, RING_REGION_DESC, (size_t)ring->size * 16, 16, &desc);
	if (ring->is_packed) {
		ring->vr->avail_uva = place(ring, RING_REGION_DRIVER, 4, 4, &driver);
		ring->vr->used_uva = place(ring, RING_REGION_DEVICE, 4, 4, &device);
		ring->pdesc = desc;
		ring->driver_event = driver;
		ring->device_event = device;
		return;
	}
	ring->vr->avail_uva = place(ring, RING_REGION_DRIVER, 6 + 2 * (size_t)ring->size, 2,
			&driver);
	ring->vr->used_uva = place(ring, RING_REGION_DEVICE, 6 + 8 * (size_t)ring->size, 4,
			&device);
	ring->desc = desc;
	ring->avail = driver;
	ring->used = device;
}

static uint16_t *
make_ids(uint16_t nb)
{
	uint16_t *ids = calloc(nb, sizeof(*ids));

	if (ids == NULL)
		abort();
	return ids;
}

void
ring_open(struct ring *ring, const struct ring_conf *conf)
{
	const struct vhost_pci_vring_format format = {
		.size = conf->size,
		.is_packed = conf->is_packed,
		.event_idx = conf->event_idx,
		.indirect = !conf->no_indirect,
		.hdr_len = 12,
	};

	memset(ring, 0, sizeof(*ring));
	ring->is_packed = conf->is_packed;
	ring->size = conf->size;
	make_memory(ring);
	ring->vr = aligned_alloc(VHOST_PCI_CACHE_LINE, sizeof(*ring->vr));
	assert_non_null(ring->vr);
	vhost_pci_vring_init(ring->vr, 1);
	place_ring(ring);
	assert_int_equal(vhost_pci_vring_map(ring->vr, ring->mem, &format), 0);

	ring->broken_fd = eventfd(0, EFD_NONBLOCK);
	ring->call_fd = eventfd(0, EFD_NONBLOCK);
	assert_true(ring->broken_fd >= 0 && ring->call_fd >= 0);
	ring->vr->broken_fd = ring->broken_fd;
	ring->vr->call.fd = dup(ring->call_fd);
	ring->free_ids = make_ids(conf->size);
	ring->next_slot = make_ids(conf->size);
	ring->nb_descs = make_ids(conf->size);
	ring_start(ring, conf->is_packed && conf->base == 0 ? RING_PACKED_START : conf->base);
}

void
ring_close(struct ring *ring)
{
	unsigned int i;

	vhost_pci_vring_pause(ring->vr);
	vhost_pci_vring_fini(ring->vr);
	assert_int_equal(ring->mem->refcnt, 1);
	for (i = 0; i < RING_NB_REGIONS; i++) {
		assert_int_equal(ring->mem->region[i].mapping->refcnt, 1);
		free(ring->mem->region[i].mapping);
		munmap(ring->map[i], ring->map_bytes[i]);
	}
	close(ring->broken_fd);
	close(ring->call_fd);
	free(ring->mem);
	free(ring->vr);
	free(ring->free_ids);
	free(ring->next_slot);
	free(ring->nb_descs);
}

/* All descriptors look used: in this lap before the ring's start, in the one before from it on. */
static void
clear_packed(struct ring *ring)
{
	unsigned int slot;

	for (slot = 0; slot < ring->size; slot++) {
		bool wrap = (slot < ring->used_idx) == ring->used_wrap;

		memset(&ring->pdesc[slot], 0, sizeof(ring->pdesc[slot]));
		ring->pdesc[slot].flags = wrap ? AVAIL_FLAG | USED_FLAG : 0;
	}
	memset(ring->driver_event, 0, sizeof(*ring->driver_event));
	memset(ring->device_event, 0, sizeof(*ring->device_event));
}

static void
clear_split(struct ring *ring)
{
	memset(ring->desc, 0, ring->size * sizeof(*ring->desc));
	memset(ring->avail, 0, 6 + 2 * (size_t)ring->size);
	memset(ring->used, 0, 6 + 8 * (size_t)ring->size);
	ring->avail->idx = ring->avail_idx;
	ring->used->idx = ring->used_idx;
}

void
ring_start(struct ring *ring, uint32_t base)
{
	uint32_t i;

	vhost_pci_vring_pause(ring->vr);
	ring->avail_idx = (uint16_t)base;
	ring->used_idx = (uint16_t)base;
	if (ring->is_packed) {
		ring->avail_idx = base & (WRAP_BIT - 1);
		ring->avail_wrap = (base & WRAP_BIT) != 0;
		ring->used_idx = base >> 16 & (WRAP_BIT - 1);
		ring->used_wrap = (base >> 16 & WRAP_BIT) != 0;
		clear_packed(ring);
	} else {
		clear_split(ring);
	}
	ring->nb_free = ring->size;
	ring->nb_free_ids = ring->size;
	for (i = 0; i < ring->size; i++)
		ring->free_ids[i] = (uint16_t)i;
	memset(ring->nb_descs, 0, ring->size * sizeof(uint16_t));
	ring->held = false;
	test_eventfd_read(ring->broken_fd);
	test_eventfd_read(ring->call_fd);
	vhost_pci_ring_begin(ring->vr);
	assert_int_equal(vhost_pci_vring_set_base(ring->vr, base), 0);
	vhost_pci_vring_resume(ring->vr, VHOST_PCI_VRING_ON);
}

void
ring_forbid(struct ring *ring)
{
	unsigned int i;

	for (i = 0; i < RING_NB_REGIONS; i++)
		assert_int_equal(mprotect(ring->map[i], ring->map_bytes[i], PROT_NONE), 0);
}

uint8_t *
ring_va(const struct ring *ring, uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < RING_NB_REGIONS; i++) {
		const struct vhost_pci_mem_region *region = &ring->mem->region[i];

		if (gpa >= region->gpa && gpa < region->gpa + region->size)
			return region->va + (gpa - region->gpa);
	}
	return NULL;
}

bool
ring_in_region(const struct ring *ring, const uint8_t *va, uint32_t len)
{
	unsigned int i;

	for (i = 0; i < RING_NB_REGIONS; i++) {
		const struct vhost_pci_mem_region *region = &ring->mem->region[i];

		if (va >= region->va && va < region->va + region->size)
			return len <= region->size - (uint64_t)(va - region->va);
	}
	return false;
}

void
ring_write(const struct ring *ring, uint64_t gpa, const void *data, size_t bytes)
{
	const uint8_t *from = data;
	size_t i;

	for (i = 0; i < bytes; i++) {
		uint8_t *to = ring_va(ring, gpa + i);

		assert_non_null(to);
		*to = from[i];
	}
}

/* The second half of a packed descriptor: len, id, flags. */
static uint64_t
packed_half(const struct vhost_pci_desc *desc)
{
	return desc->len | (uint64_t)desc->next << 32 | (uint64_t)desc->flags << 48;
}

void
ring_write_entry(const struct ring *ring, uint64_t table_gpa, unsigned int idx,
		const struct vhost_pci_desc *desc)
{
	const struct vring_desc split = { desc->gpa, desc->len, desc->flags, desc->next };
	const struct vring_packed_desc packed = { desc->gpa, desc->len, desc->next, desc->flags };
	uint8_t bytes[sizeof(split)];

	if (ring->is_packed)
		memcpy(bytes, &packed, sizeof(bytes));
	else
		memcpy(bytes, &split, sizeof(bytes));
	ring_write(ring, table_gpa + idx * sizeof(bytes), bytes, sizeof(bytes));
}

void
ring_write_desc(const struct ring *ring, uint16_t slot, const struct vhost_pci_desc *desc)
{
	if (ring->is_packed) {
		vhost_pci_word64 *half = (vhost_pci_word64 *)(void *)&ring->pdesc[slot];

		/* One store, so that a thread checker sees the load of the same bytes opposite. */
		__atomic_store_n(&half[0], desc->gpa, __ATOMIC_RELAXED);
		__atomic_store_n(&half[1], packed_half(desc), __ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&ring->desc[slot].addr, desc->gpa, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->desc[slot].len, desc->len, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->desc[slot].flags, desc->flags, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->desc[slot].next, desc->next, __ATOMIC_RELAXED);
}

uint16_t
ring_avail_flags(bool wrap)
{
	return wrap ? AVAIL_FLAG : USED_FLAG;
}

/* Write the table of a chain. A split one goes from its first entry to its last, and then back. */
static struct vhost_pci_desc
write_table(const struct ring *ring, const struct ring_offer *offer)
{
	uint16_t nb = offer->nb_indirect;
	uint16_t i;

	for (i = 0; i < nb; i++) {
		const struct ring_buf *buf = &offer->bufs[offer->nb_direct + i];
		uint16_t place_idx = ring->is_packed || i == 0 ? i : nb - i;
		struct vhost_pci_desc desc = {
			.gpa = buf->gpa,
			.len = buf->len,
			.flags = offer->writable ? VRING_DESC_F_WRITE : 0,
		};

		if (!ring->is_packed && i + 1 < nb) {
			desc.flags |= VRING_DESC_F_NEXT;
			desc.next = (uint16_t)(nb - i - 1);
		}
		ring_write_entry(ring, offer->table_gpa, place_idx, &desc);
	}
	return (struct vhost_pci_desc){
		.gpa = offer->table_gpa,
		.len = nb * 16u,
		.flags = VRING_DESC_F_INDIRECT,
	};
}

/* Put one descriptor of a chain into its slot, a packed ring's first one after all others. */
static void
put_desc(struct ring *ring, uint16_t slot, struct vhost_pci_desc *desc)
{
	if (!ring->is_packed) {
		ring_write_desc(ring, slot, desc);
		return;
	}
	desc->flags |= ring_avail_flags(ring->avail_wrap);
	if (ring->held) {
		ring_write_desc(ring, slot, desc);
	} else {
		__atomic_store_n(&ring->pdesc[slot].addr, desc->gpa, __ATOMIC_RELAXED);
		ring->held = true;
		ring->held_slot = slot;
		ring->held_half = packed_half(desc);
	}
	if (++ring->avail_idx == ring->size) {
		ring->avail_idx = 0;
		ring->avail_wrap = !ring->avail_wrap;
	}
}

int
ring_offer(struct ring *ring, const struct ring_offer *offer)
{
	uint16_t nb = offer->nb_direct + (offer->nb_indirect > 0);
	uint16_t id, slot, i;

	assert_true(nb > 0);
	if (nb > ring->nb_free)
		return -1;
	id = ring->free_ids[--ring->nb_free_ids];
	slot = id;
	for (i = 0; i < nb; i++) {
		struct vhost_pci_desc desc;

		if (i < offer->nb_direct)
			desc = (struct vhost_pci_desc){
				.gpa = offer->bufs[i].gpa,
				.len = offer->bufs[i].len,
				.flags = offer->writable ? VRING_DESC_F_WRITE : 0,
			};
		else
			desc = write_table(ring, offer);
		if (i + 1 < nb)
			desc.flags |= VRING_DESC_F_NEXT;
		desc.next = id;
		if (!ring->is_packed && i + 1 < nb) {
			ring->next_slot[slot] = ring->free_ids[--ring->nb_free_ids];
			desc.next = ring->next_slot[slot];
		}
		put_desc(ring, ring->is_packed ? ring->avail_idx : slot, &desc);
		slot = ring->next_slot[slot];
	}
	ring->nb_free -= nb;
	ring->nb_descs[id] = nb;
	if (!ring->is_packed) {
		__atomic_store_n(&ring->avail->ring[ring->avail_idx & (ring->size - 1)], id,
				__ATOMIC_RELAXED);
		ring->avail_idx++;
	}
	return id;
}

int
ring_offer_one(struct ring *ring, uint64_t gpa, uint32_t len, bool writable)
{
	const struct ring_buf buf = { gpa, len };
	const struct ring_offer offer = { .bufs = &buf, .nb_direct = 1, .writable = writable };
	int id = ring_offer(ring, &offer);

	ring_publish(ring);
	return id;
}

void
ring_publish(struct ring *ring)
{
	if (!ring->is_packed) {
		/* Partner: the device's load-acquire of the index. */
		__atomic_store_n(&ring->avail->idx, ring->avail_idx, __ATOMIC_RELEASE);
	} else if (ring->held) {
		vhost_pci_word64 *half = (vhost_pci_word64 *)(void *)&ring->pdesc[ring->held_slot];

		/* Partner: the device's load-acquire of the flags. */
		__atomic_store_n(&half[1], ring->held_half, __ATOMIC_RELEASE);
		ring->held = false;
	}
}

static bool
get_used_split(struct ring *ring, uint32_t *id, uint32_t *len)
{
	const struct vring_used_elem *elem = &ring->used->ring[ring->used_idx & (ring->size - 1)];
	uint16_t nb, slot;

	/* Partner: the device's store-release of the index. */
	if (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == ring->used_idx)
		return false;
	*id = __atomic_load_n(&elem->id, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&elem->len, __ATOMIC_RELAXED);
	assert_true(*id < ring->size && ring->nb_descs[*id] != 0);
	slot = (uint16_t)*id;
	for (nb = ring->nb_descs[*id]; nb > 0; nb--) {
		ring->free_ids[ring->nb_free_ids++] = slot;
		slot = ring->next_slot[slot];
	}
	ring->used_idx++;
	return true;
}

static bool
get_used_packed(struct ring *ring, uint32_t *id, uint32_t *len)
{
	const struct vring_packed_desc *desc = &ring->pdesc[ring->used_idx];
	/* Partner: the device's store-release of the flags. */
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);

	if (((flags & AVAIL_FLAG) != 0) != ring->used_wrap ||
			((flags & USED_FLAG) != 0) != ring->used_wrap)
		return false;
	*id = __atomic_load_n(&desc->id, __ATOMIC_RELAXED);
	*len = flags & VRING_DESC_F_WRITE ? __atomic_load_n(&desc->len, __ATOMIC_RELAXED) : 0;
	assert_true(*id < ring->size && ring->nb_descs[*id] != 0);
	ring->free_ids[ring->nb_free_ids++] = (uint16_t)*id;
	if (ring->used_idx + ring->nb_descs[*id] >= ring->size) {
		ring->used_idx = (uint16_t)(ring->used_idx - ring->size);
		ring->used_wrap = !ring->used_wrap;
	}
	ring->used_idx = (uint16_t)(ring->used_idx + ring->nb_descs[*id]);
	return true;
}

bool
ring_get_used(struct ring *ring, uint32_t *id, uint32_t *len)
{
	bool used = ring->is_packed ? get_used_packed(ring, id, len)
				    : get_used_split(ring, id, len);

	if (!used)
		return false;
	ring->nb_free += ring->nb_descs[*id];
	ring->nb_descs[*id] = 0;
	return true;
}

void
ring_take_used(struct ring *ring)
{
	uint32_t id, len;

	while (ring_get_used(ring, &id, &len))
		;
}

unsigned int
ring_echo(struct ring *ring)
{
	struct vhost_pci_chain chain = { 0 };
	unsigned int nb = 0;

	vhost_pci_ring_begin(ring->vr);
	while (ring_next(ring, &chain, VHOST_PCI_DEQUEUE) > 0) {
		ring_put(ring, &chain, 0);
		nb++;
	}
	ring_end(ring);
	return nb;
}

void
ring_check_chain(const struct ring *ring, const struct vhost_pci_chain *chain,
		const struct ring_buf *bufs, unsigned int nb_bufs)
{
	const struct vhost_pci_seg *seg = &ring->vr->segs[chain->seg_idx];
	uint64_t chain_len = 0;
	uint32_t nb_segs = 0;
	unsigned int i;

	for (i = 0; i < nb_bufs; i++) {
		uint32_t done = 0;

		while (done < bufs[i].len) {
			assert_true(nb_segs < chain->nb_segs);
			/* Each region is a mapping of its own: what follows is elsewhere. */
			assert_ptr_equal(seg->va, ring_va(ring, bufs[i].gpa + done));
			assert_true(seg->len > 0 && seg->len <= bufs[i].len - done);
			done += seg->len;
			assert_ptr_equal(seg->va + seg->len - 1,
					ring_va(ring, bufs[i].gpa + done - 1));
			seg++;
			nb_segs++;
		}
		chain_len += done;
	}
	assert_int_equal(nb_segs, chain->nb_segs);
	assert_int_equal(chain_len, chain->len);
}

uint32_t
ring_random(uint64_t *state)
{
	/* A linear congruential generator; the upper bits are the good ones. */
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}
