/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "dirty_log.h"
#include "vhost_pci_transport_unix.h"

/** Largest log taken: that of 32 TB of guest-physical addresses. */
#define DIRTY_LOG_BYTES_MAX (UINT64_C(1) << 30)

int
dirty_log_map(struct dirty_log *log, int fd, uint64_t offset, uint64_t size_bytes)
{
	struct vhost_pci_mapping *map;
	int seals, error;

	if (size_bytes == 0 || size_bytes > DIRTY_LOG_BYTES_MAX || offset > DIRTY_LOG_BYTES_MAX ||
			(offset | size_bytes) % sizeof(uint64_t) != 0)
		return -EINVAL;
	/* first: a file that has seals is one of memory, whose file system answers at once */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EPERM;
	error = vhost_pci_unix_map(fd, offset, size_bytes, &map);
	if (error < 0)
		return error;
	dirty_log_unmap(log);
	log->map = map;
	log->size_bytes = size_bytes;
	return 0;
}

void
dirty_log_unmap(struct dirty_log *log)
{
	vhost_pci_mapping_put(log->map);
	memset(log, 0, sizeof(*log));
}

bool
dirty_log_merge(struct dirty_log *log, uint64_t *window, size_t nb_words)
{
	size_t nb_log = log->size_bytes / sizeof(uint64_t);
	uint64_t *bits = log->map != NULL ? (uint64_t *)(void *)log->map->va : NULL;
	bool found = false;

	for (size_t i = 0; i < nb_words; i++) {
		uint64_t word;

		/* nearly all words are 0: look before taking */
		if (__atomic_load_n(&window[i], __ATOMIC_RELAXED) == 0)
			continue;
		/* pairs with the driver's atomic OR [ADP-11.13] */
		word = __atomic_exchange_n(&window[i], 0, __ATOMIC_ACQ_REL);
		found = true;
		if (i < nb_log)
			__atomic_fetch_or(&bits[i], word, __ATOMIC_RELEASE);
	}
	return found;
}
