/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The memory that chains under way are written down in, as the tests of rings have it: shared with
 * child processes, up to its last byte followed by a page that nobody can touch.
 */

#ifndef INFLIGHT_AREA_H
#define INFLIGHT_AREA_H

#include "ring_driver.h"
#include "vhost_user.h"

/** The area of one queue. */
struct inflight_area {
	union {
		void *map;
		struct vhost_user_inflight_split *split;
		struct vhost_user_inflight_packed *packed;
	};
	size_t bytes;
	void *kept; /**< A copy; NULL: none. */
	uint8_t *mapped;
	size_t mapped_bytes;
	bool is_packed;
	uint16_t queue_size;
};

/** Make an area of zeroes. */
void inflight_area_open(struct inflight_area *area, bool is_packed, uint16_t queue_size);

void inflight_area_close(struct inflight_area *area);

/** Keep a copy of what it holds, and write that back. */
void inflight_area_keep(struct inflight_area *area);
void inflight_area_restore(struct inflight_area *area);

/** Number of chains that are under way. */
unsigned int inflight_area_count(const struct inflight_area *area);

/**
 * Start a ring's vring from a base, tracked in this area, and have it on.
 *
 * @return What vhost_pci_inflight_open() says; the vring is not on where that is an error.
 */
int inflight_begin(struct ring *ring, struct inflight_area *area, uint32_t base);

#endif /* INFLIGHT_AREA_H */
