/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Logs of dirty pages: the front-end's, which comes with SET_LOG_BASE, and merging the adapter's
 * log window into it (vhost_pci_adapter_spec.rst, section 11.3).
 *
 * The front-end's log is the one file of a peer that the daemon maps: several back-ends may write
 * to it, so bits are set atomically. It must be sealed against becoming shorter, and where its
 * pages can't be had nevertheless, bits are lost and nothing else.
 */

#ifndef DIRTY_LOG_H
#define DIRTY_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost_pci_mem.h"

/** A front-end's log. */
struct dirty_log {
	struct vhost_pci_mapping *map; /**< whose first byte is the log's; NULL: there is none */
	uint64_t size_bytes;
};

/**
 * Map a log.
 *
 * @param fd	Stays the caller's.
 * @return 0; -EINVAL for a range that wraps, reaches beyond the file, or is not aligned to 8;
 *	   -EPERM for a file that can become shorter; -errno.
 */
int dirty_log_map(struct dirty_log *log, int fd, uint64_t offset, uint64_t size_bytes);

/** Unmap, if there is one. */
void dirty_log_unmap(struct dirty_log *log);

/**
 * Move all bits of a window into the log; without one they are dropped [ADP-11.14].
 *
 * @param window nb_words words, shared with the driver.
 * @return Whether there was any bit.
 */
bool dirty_log_merge(struct dirty_log *log, uint64_t *window, size_t nb_words);

#endif /* DIRTY_LOG_H */
