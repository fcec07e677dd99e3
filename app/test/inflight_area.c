/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "inflight_area.h"

#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "test.h"
#include "vhost_pci_inflight.h"

#define PAGE 4096u

void
inflight_area_open(struct inflight_area *area, bool is_packed, uint16_t queue_size)
{
	size_t pages;

	memset(area, 0, sizeof(*area));
	area->is_packed = is_packed;
	area->queue_size = queue_size;
	area->bytes = vhost_pci_inflight_bytes(is_packed, queue_size);
	pages = (area->bytes + PAGE - 1) / PAGE;
	area->mapped_bytes = (pages + 1) * PAGE;
	area->mapped = mmap(NULL, area->mapped_bytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(area->mapped, MAP_FAILED);
	assert_int_equal(mprotect(area->mapped, pages * PAGE, PROT_READ | PROT_WRITE), 0);
	area->map = area->mapped + pages * PAGE - area->bytes;
}

void
inflight_area_close(struct inflight_area *area)
{
	munmap(area->mapped, area->mapped_bytes);
	free(area->kept);
}

void
inflight_area_keep(struct inflight_area *area)
{
	area->kept = malloc(area->bytes);
	assert_non_null(area->kept);
	memcpy(area->kept, area->map, area->bytes);
}

void
inflight_area_restore(struct inflight_area *area)
{
	memcpy(area->map, area->kept, area->bytes);
}

unsigned int
inflight_area_count(const struct inflight_area *area)
{
	unsigned int nb = 0;
	unsigned int i;

	for (i = 0; i < area->queue_size; i++)
		nb += area->is_packed ? area->packed->desc[i].inflight
				      : area->split->desc[i].inflight;
	return nb;
}

int
inflight_begin(struct ring *ring, struct inflight_area *area, uint32_t base)
{
	int ret;

	vhost_pci_vring_pause(ring->vr);
	vhost_pci_ring_begin(ring->vr);
	assert_int_equal(vhost_pci_vring_set_base(ring->vr, base), 0);
	ret = vhost_pci_inflight_open(ring->vr, area->map, area->queue_size);
	if (ret < 0)
		return ret;
	ring->vr->tracked = true;
	vhost_pci_vring_resume(ring->vr, VHOST_PCI_VRING_ON);
	return 0;
}
