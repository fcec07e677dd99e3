/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The window: the files a front-end's memory is in, and where they appear behind the adapter's
 * BARs. A file is known by its inode, so that the several fds of one memory are one file; file
 * offset and BAR offset are the same.
 *
 * The daemon never maps a peer's memory: a file that is cut short can kill nobody here.
 */

#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** Files at most: one for each of the adapter's memory BARs. */
#define WINDOW_FILES 2u

/** Largest file taken, 16 TB: what is beyond fits no guest's address space. */
#define WINDOW_FILE_BYTES (UINT64_C(1) << 44)

/** A file of the front-end's memory. */
struct window_file {
	int fd; /**< the window's */
	dev_t dev;
	ino_t ino;
	uint64_t size_bytes; /**< when it was added, whole pages only */
	bool sealed;         /**< it can't become shorter */
	bool writable;       /**< bytes can be written without a mapping (not hugetlbfs) */
};

/** A window. */
struct window {
	unsigned int nb_files;
	struct window_file files[WINDOW_FILES];
};

/** Initialise an empty window. */
void window_init(struct window *window);

/** Close all files; the window is empty again. */
void window_clear(struct window *window);

/** Why a file could not be added: a sentence that tells a user what to do. */
const char *window_strerror(int error);

/**
 * Add the file behind an fd, if it is not there yet.
 *
 * @param fd	Stays the caller's.
 * @param require_seals Refuse a file that can become shorter.
 * @return The file's index; -ENOSPC for one file too many; -EPERM for one that can become shorter;
 *	   -EACCES for one that can't be mapped for writing; -EBADF for what is no memory file;
 *	   -EFBIG, -ENODATA for a size that can't be; -errno. window_strerror() explains them.
 */
int window_add(struct window *window, int fd, bool require_seals);

/** Close one file; those behind it move up by one index. */
void window_remove(struct window *window, unsigned int file);

/** The index of the file behind an fd; -ENOENT where it is not in the window; -errno. */
int window_find(const struct window *window, int fd);

/** Whether a range lies within a file as it was when it was added. */
bool window_covers(const struct window *window, unsigned int file, uint64_t offset, uint64_t size);

/** Size of the BAR for a file: the next power of two. */
uint64_t window_bar_bytes(const struct window_file *file);

/**
 * Read from a file without mapping it. What is not in the file reads as 0.
 *
 * @param file	Index; one that does not exist reads as 0.
 */
void window_read(const struct window *window, unsigned int file, uint64_t offset, void *data,
		size_t count);

/** Write to a file without mapping it. @return 0; -EIO where not all could be written. */
int window_write(const struct window *window, unsigned int file, uint64_t offset, const void *data,
		size_t count);

#endif /* WINDOW_H */
