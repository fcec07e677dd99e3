/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "dirty_log.h"

/** Largest log taken: that of 32 TB of guest-physical addresses. */
#define DIRTY_LOG_BYTES_MAX (UINT64_C(1) << 30)

int
dirty_log_map(struct dirty_log *log, int fd, uint64_t offset, uint64_t size_bytes)
{
	struct stat st;
	int seals;
	void *map;

	if (size_bytes == 0 || size_bytes > DIRTY_LOG_BYTES_MAX || offset > DIRTY_LOG_BYTES_MAX ||
			(offset | size_bytes) % sizeof(uint64_t) != 0)
		return -EINVAL;
	/* first: a file that has seals is one of memory, whose file system answers at once */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < offset + size_bytes)
		return -EINVAL;
	map = mmap(NULL, offset + size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	dirty_log_unmap(log);
	log->map = map;
	log->map_bytes = offset + size_bytes;
	log->bits = (uint8_t *)map + offset;
	log->size_bytes = size_bytes;
	return 0;
}

void
dirty_log_unmap(struct dirty_log *log)
{
	if (log->map != NULL)
		munmap(log->map, log->map_bytes);
	memset(log, 0, sizeof(*log));
}

bool
dirty_log_merge(struct dirty_log *log, uint64_t *window, size_t nb_words)
{
	size_t nb_log = log->size_bytes / sizeof(uint64_t);
	uint64_t *bits = (uint64_t *)(void *)log->bits;
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
