/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vhost_pci_peer_fd.h"
#include "window.h"

#define WINDOW_PAGE_BYTES UINT64_C(4096)

void
window_init(struct window *window)
{
	memset(window, 0, sizeof(*window));
}

void
window_clear(struct window *window)
{
	for (unsigned int i = 0; i < window->nb_files; i++)
		close(window->files[i].fd);
	window_init(window);
}

const char *
window_strerror(int error)
{
	switch (-error) {
	case ENOSPC:
		return "the front-end's memory is in more than two files, and an adapter has two "
		       "memory BARs: give its machine one memory backend (QEMU: "
		       "memory-backend-memfd,share=on; DPDK: --single-file-segments)";
	case EPERM:
		return "the front-end's memory file can be cut short, which would end the "
		       "adapter's machine: use memory-backend-memfd, which is sealed, or do "
		       "without require-seals";
	case EREMOTE:
		return "the front-end's memory is a file that another process or machine answers "
		       "for, which it may never do: use memory-backend-memfd, or a file in "
		       "/dev/shm, hugepages or on a local disk";
	case EACCES:
		return "the front-end's memory file can't be mapped for writing: it must be "
		       "shared (QEMU: share=on) and not be sealed against writing";
	case EBADF:
		return "the front-end's memory is no file in memory: use memory-backend-memfd or "
		       "memory-backend-file with share=on";
	case EFBIG:
		return "the front-end's memory file is larger than 16 TB";
	case ENODATA:
		return "the front-end's memory file is empty";
	default:
		return strerror(-error);
	}
}

int
window_find(const struct window *window, int fd)
{
	struct stat st;
	int error;

	/* before anything is asked of its file system, which may be the front-end's */
	error = vhost_pci_peer_fd_check_file(fd);
	if (error < 0)
		return error;
	if (fstat(fd, &st) < 0)
		return -errno;
	for (unsigned int i = 0; i < window->nb_files; i++) {
		if (window->files[i].dev == st.st_dev && window->files[i].ino == st.st_ino)
			return (int)i;
	}
	return -ENOENT;
}

/* Look at a file: all but the fd of the result is set. */
static int
window_examine(int fd, bool require_seals, struct window_file *file)
{
	int seals, flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		seals = 0; /* no memfd */
	if ((flags & O_ACCMODE) != O_RDWR || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return -EACCES;
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	file->sealed = seals & F_SEAL_SHRINK;
	/* hugetlbfs, whose block size is that of its pages, has no write() */
	file->writable = (uint64_t)st.st_blksize < 2 * 1024 * 1024;
	if (require_seals && !file->sealed)
		return -EPERM;
	if ((uint64_t)st.st_size > WINDOW_FILE_BYTES)
		return -EFBIG;
	file->size_bytes = st.st_size & ~(WINDOW_PAGE_BYTES - 1);
	return file->size_bytes == 0 ? -ENODATA : 0;
}

int
window_add(struct window *window, int fd, bool require_seals)
{
	struct window_file file = { .fd = -1 };
	int index, error;

	index = window_find(window, fd);
	if (index != -ENOENT)
		return index;
	error = window_examine(fd, require_seals, &file);
	if (error < 0)
		return error;
	if (window->nb_files == WINDOW_FILES)
		return -ENOSPC;
	file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file.fd < 0)
		return -errno;
	index = (int)window->nb_files++;
	window->files[index] = file;
	return index;
}

void
window_remove(struct window *window, unsigned int file)
{
	close(window->files[file].fd);
	window->nb_files--;
	memmove(&window->files[file], &window->files[file + 1],
			(window->nb_files - file) * sizeof(window->files[0]));
}

bool
window_covers(const struct window *window, unsigned int file, uint64_t offset, uint64_t size)
{
	return file < window->nb_files && offset <= window->files[file].size_bytes &&
			size <= window->files[file].size_bytes - offset;
}

uint64_t
window_bar_bytes(const struct window_file *file)
{
	uint64_t bytes = WINDOW_PAGE_BYTES;

	while (bytes < file->size_bytes)
		bytes *= 2;
	return bytes;
}

void
window_read(const struct window *window, unsigned int file, uint64_t offset, void *data,
		size_t count)
{
	ssize_t nb = 0;

	if (file < window->nb_files && offset < window->files[file].size_bytes)
		nb = pread(window->files[file].fd, data, count, (off_t)offset);
	if (nb < 0)
		nb = 0;
	memset((uint8_t *)data + nb, 0, count - nb);
}

int
window_write(const struct window *window, unsigned int file, uint64_t offset, const void *data,
		size_t count)
{
	if (!window_covers(window, file, offset, count) || !window->files[file].writable)
		return -EIO;
	if (pwrite(window->files[file].fd, data, count, (off_t)offset) != (ssize_t)count)
		return -EIO;
	return 0;
}
