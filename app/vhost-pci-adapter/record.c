/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include <glib.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "record.h"
#include "vhost_pci_peer_fd.h"

void
record_init(struct record *record, unsigned int nb_vrings)
{
	memset(record, 0, sizeof(*record));
	record->nb_vrings = nb_vrings;
	record->log_event.fd = -1;
	record->peer = VHOST_USER_PEER_INIT;
	record->regions = g_new0(struct record_region, RECORD_REGIONS);
	window_init(&record->window);
	for (unsigned int i = 0; i < VHOST_PCI_ADAPTER_VRINGS_MAX; i++) {
		record->vrings[i].kick.fd = -1;
		record->vrings[i].call.fd = -1;
		record->vrings[i].err.fd = -1;
		record->vrings[i].base_is_true = true; /* 0, until the front-end says so */
	}
}

static void
record_vring_clear(struct record_vring *vring)
{
	record_event_clear(&vring->kick);
	record_event_clear(&vring->call);
	record_event_clear(&vring->err);
	vring->got = 0;
	vring->is_started = false;
	vring->base = 0;
	vring->base_is_true = true;
	vring->saved_is_valid = false;
}

void
record_clear(struct record *record)
{
	for (unsigned int i = 0; i < record->nb_vrings; i++)
		record_vring_clear(&record->vrings[i]);
	record_event_clear(&record->log_event);
	dirty_log_unmap(&record->dirty_log);
	window_clear(&record->window);
	g_free(record->regions);
	record->regions = NULL;
	record->nb_regions = 0;
	record->nb_vrings = 0;
}

void
record_note(struct record *record, uint32_t request)
{
	record->got |= UINT64_C(1) << (request % 64);
}

void
record_forget(struct record *record, uint32_t request)
{
	record->got &= ~(UINT64_C(1) << (request % 64));
}

bool
record_has(const struct record *record, uint32_t request)
{
	return record->got & (UINT64_C(1) << (request % 64));
}

bool
record_has_protocol(const struct record *record, unsigned int feature)
{
	return record->protocol_features & (UINT64_C(1) << feature);
}

void
record_event_clear(struct record_event *event)
{
	vhost_pci_peer_fd_close(event->fd);
	event->fd = -1;
	event->is_set = false;
}

void
record_event_set(struct record_event *event, int fd)
{
	record_event_clear(event);
	event->fd = fd;
	event->is_set = true;
}

void
record_reset_device(struct record *record)
{
	for (unsigned int i = 0; i < record->nb_vrings; i++)
		record_vring_clear(&record->vrings[i]);
	record->status = 0;
	record->got &= ~(UINT64_C(1) << VHOST_USER_SET_STATUS);
}

/* Whether two ranges, neither of which wraps, have a byte in common. */
static bool
record_overlap(uint64_t a, uint64_t b, uint64_t a_size, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/** A table of regions that is being made. */
struct record_table {
	struct window *window;
	struct record_region *regions;
	unsigned int nb_regions;
	bool require_seals;
};

/* Add a region; vhost-user, "Memory region description". */
static int
record_table_add(struct record_table *table, const struct vhost_user_mem_region *wire, int fd)
{
	struct record_region *region = &table->regions[table->nb_regions];
	int file;

	if (wire->size == 0 || wire->size > UINT64_MAX - wire->gpa ||
			wire->size > UINT64_MAX - wire->uva)
		return -EINVAL;
	for (unsigned int i = 0; i < table->nb_regions; i++) {
		const struct vhost_user_mem_region *other = &table->regions[i].wire;

		if (record_overlap(wire->gpa, other->gpa, wire->size, other->size) ||
				record_overlap(wire->uva, other->uva, wire->size, other->size))
			return -EINVAL;
	}
	file = window_add(table->window, fd, table->require_seals);
	if (file < 0)
		return file;
	if (!window_covers(table->window, file, wire->mmap_offset, wire->size))
		return -EINVAL;
	region->wire = *wire;
	region->file = file;
	region->nb_more = 0;
	table->nb_regions++;
	return 0;
}

int
record_set_memory(struct record *record, const struct vhost_user_mem_region *regions,
		const int *fds, unsigned int nb_regions, bool require_seals)
{
	struct record_region added[VHOST_USER_MEM_TABLE_REGIONS];
	struct window window;
	struct record_table table = {
		.window = &window,
		.regions = added,
		.require_seals = require_seals,
	};
	int error = 0;

	window_init(&window);
	for (unsigned int i = 0; i < nb_regions && error == 0; i++)
		error = record_table_add(&table, &regions[i], fds[i]);
	if (error < 0) {
		window_clear(&window);
		return error;
	}
	window_clear(&record->window);
	record->window = window;
	record->nb_regions = nb_regions;
	memcpy(record->regions, added, nb_regions * sizeof(added[0]));
	return 0;
}

/* Drop the files that no region is in any more, so that another may come in their place. */
static void
record_drop_files(struct record *record)
{
	for (unsigned int file = record->window.nb_files; file-- > 0;) {
		unsigned int i = 0;

		while (i < record->nb_regions && record->regions[i].file != file)
			i++;
		if (i < record->nb_regions)
			continue;
		window_remove(&record->window, file);
		for (i = 0; i < record->nb_regions; i++) {
			if (record->regions[i].file > file)
				record->regions[i].file--;
		}
	}
}

/* "The region ... is identified by guest address, user address and size"; NULL: not there. */
static struct record_region *
record_find_region(struct record *record, const struct vhost_user_mem_region *wire)
{
	for (unsigned int i = 0; i < record->nb_regions; i++) {
		const struct vhost_user_mem_region *other = &record->regions[i].wire;

		if (wire->gpa == other->gpa && wire->uva == other->uva && wire->size == other->size)
			return &record->regions[i];
	}
	return NULL;
}

int
record_add_region(struct record *record, const struct vhost_user_mem_region *region, int fd,
		bool require_seals)
{
	struct record_region *same = record_find_region(record, region);
	struct record_table table = {
		.window = &record->window,
		.regions = record->regions,
		.nb_regions = record->nb_regions,
		.require_seals = require_seals,
	};
	int error;

	/* QEMU 7.2 adds and removes each region once per queue pair. */
	if (same != NULL && same->wire.mmap_offset == region->mmap_offset &&
			same->nb_more < UINT32_MAX) {
		same->nb_more++;
		return 1;
	}
	if (record->nb_regions == RECORD_REGIONS)
		return -E2BIG;
	error = record_table_add(&table, region, fd);
	record->nb_regions = table.nb_regions;
	if (error < 0)
		record_drop_files(record);
	return error;
}

int
record_remove_region(struct record *record, const struct vhost_user_mem_region *region)
{
	struct record_region *same = record_find_region(record, region);

	if (same == NULL)
		return -ENOENT;
	if (same->nb_more > 0) {
		same->nb_more--;
		return 1;
	}
	*same = record->regions[--record->nb_regions];
	record_drop_files(record);
	return 0;
}

uint64_t
record_gpa_end(const struct record *record)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i < record->nb_regions; i++) {
		const struct vhost_user_mem_region *wire = &record->regions[i].wire;

		end = MAX(end, wire->gpa + wire->size);
	}
	return end;
}

bool
record_is_complete(const struct record *record)
{
	const unsigned int needed = RECORD_VRING_NUM | RECORD_VRING_ADDR;

	if (!record_has(record, VHOST_USER_SET_FEATURES) || record->nb_regions == 0)
		return false;
	for (unsigned int i = 0; i < record->nb_vrings; i++) {
		const struct record_vring *vring = &record->vrings[i];

		if ((vring->got & needed) == needed && vring->kick.is_set)
			return true;
	}
	return false;
}

/* The index field of a split ring's used ring, as it is in the front-end's memory. */
static int
record_read_used_idx(const struct record *record, const struct record_vring *vring, uint32_t *base)
{
	uint64_t uva = vring->addr.used_user_addr + offsetof(struct vring_used, idx);
	uint16_t idx;

	for (unsigned int i = 0; i < record->nb_regions; i++) {
		const struct vhost_user_mem_region *wire = &record->regions[i].wire;

		if (uva < wire->uva || uva - wire->uva > wire->size - sizeof(idx) ||
				wire->size < sizeof(idx))
			continue;
		window_read(&record->window, record->regions[i].file,
				wire->mmap_offset + (uva - wire->uva), &idx, sizeof(idx));
		*base = idx;
		return 0;
	}
	return -ENODATA;
}

int
record_vring_base(const struct record *record, unsigned int index, uint32_t *base)
{
	const struct record_vring *vring = &record->vrings[index];
	bool is_packed = record->features & (UINT64_C(1) << VIRTIO_F_RING_PACKED);

	*base = vring->base;
	if (vring->base_is_true)
		return 0;
	if (vring->saved_is_valid) {
		*base = vring->saved_base;
		return 0;
	}
	return is_packed ? -ENODATA : record_read_used_idx(record, vring, base);
}

void
record_vring_used(struct record_vring *vring)
{
	vring->base_is_true = false;
	vring->saved_is_valid = false;
}

void
record_vring_stopped(struct record_vring *vring, uint32_t base)
{
	vring->base = base;
	vring->base_is_true = true;
	vring->is_started = false;
	record_event_clear(&vring->kick);
}
