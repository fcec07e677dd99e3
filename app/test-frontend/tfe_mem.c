/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "tfe_mem.h"
#include "tfe_req.h"

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#endif

void
tfe_mem_init(struct tfe_mem *mem)
{
	mem->nb_regions = 0;
	mem->iommu = false;
}

static int
make_file(const struct tfe_region_conf *conf, uint64_t file_bytes)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int seals = 0;
	int fd, err;

	if (conf->flags & TFE_MEM_HUGE)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	if (conf->flags & TFE_MEM_SEAL_SHRINK)
		seals |= F_SEAL_SHRINK;
	if (conf->flags & TFE_MEM_SEAL_GROW)
		seals |= F_SEAL_GROW;
	if (conf->flags & TFE_MEM_SEAL_SEAL)
		seals |= F_SEAL_SEAL;
	fd = memfd_create("test-frontend", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)file_bytes) < 0 ||
			(seals != 0 && fcntl(fd, F_ADD_SEALS, seals) < 0)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* A further part of another region's file, which grows as needed (seals permitting). */
static int
share_file(const struct tfe_mem *mem, const struct tfe_region_conf *conf, uint64_t file_bytes)
{
	off_t present;
	int fd, err;

	if ((unsigned int)conf->share_fd_of >= mem->nb_regions)
		return -EINVAL;
	fd = fcntl(mem->regions[conf->share_fd_of].fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	present = lseek(fd, 0, SEEK_END);
	if (present < (off_t)file_bytes && ftruncate(fd, (off_t)file_bytes) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int
check_region(const struct tfe_mem *mem, const struct tfe_region_conf *conf)
{
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

	if (conf->flags & TFE_MEM_HUGE)
		page_bytes = HUGE_PAGE_BYTES;
	if (mem->nb_regions == TFE_MEM_REGIONS)
		return -ENOSPC;
	if (conf->size_bytes == 0 || conf->mmap_offset + conf->size_bytes < conf->size_bytes)
		return -EINVAL;
	if ((conf->size_bytes | conf->mmap_offset) % page_bytes != 0)
		return -EINVAL;
	return 0;
}

int
tfe_mem_add_region(struct tfe_mem *mem, const struct tfe_region_conf *conf)
{
	uint64_t file_bytes = conf->mmap_offset + conf->size_bytes;
	void *va;
	int fd, ret;

	ret = check_region(mem, conf);
	if (ret < 0)
		return ret;
	fd = conf->share_fd_of >= 0 ? share_file(mem, conf, file_bytes)
				    : make_file(conf, file_bytes);
	if (fd < 0)
		return fd;
	va = mmap(NULL, conf->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			(off_t)conf->mmap_offset);
	if (va == MAP_FAILED) {
		ret = -errno;
		close(fd);
		return ret;
	}
	mem->regions[mem->nb_regions] = (struct tfe_region){
		.gpa = conf->gpa,
		.uva = conf->uva,
		.size_bytes = conf->size_bytes,
		.mmap_offset = conf->mmap_offset,
		.fd = fd,
		.va = va,
	};
	return (int)mem->nb_regions++;
}

int
tfe_mem_create(struct tfe_mem *mem, uint64_t size_bytes, unsigned int flags)
{
	struct tfe_region_conf conf = {
		.gpa = TFE_MEM_GPA,
		.uva = TFE_MEM_UVA,
		.size_bytes = size_bytes,
		.mmap_offset = TFE_MEM_OFFSET,
		.flags = flags,
		.share_fd_of = -1,
	};
	int ret;

	tfe_mem_init(mem);
	ret = tfe_mem_add_region(mem, &conf);
	return ret < 0 ? ret : 0;
}

void
tfe_mem_destroy(struct tfe_mem *mem)
{
	for (unsigned int i = 0; i < mem->nb_regions; i++) {
		munmap(mem->regions[i].va, mem->regions[i].size_bytes);
		close(mem->regions[i].fd);
	}
	mem->nb_regions = 0;
}

int
tfe_mem_alloc(struct tfe_mem *mem, unsigned int region, uint64_t size_bytes, uint64_t align,
		struct tfe_buf *buf)
{
	struct tfe_region *r;
	uint64_t start;

	if (region >= mem->nb_regions || (mem->iommu && region != 0) || align == 0 ||
			(align & (align - 1)) != 0)
		return -EINVAL;
	r = &mem->regions[region];
	start = (r->used_bytes + align - 1) & ~(align - 1);
	if (start > r->size_bytes || size_bytes > r->size_bytes - start)
		return -ENOMEM;
	r->used_bytes = start + size_bytes;
	*buf = (struct tfe_buf){
		.va = r->va + start,
		.gpa = r->gpa + start,
		.uva = r->uva + start,
		.size_bytes = size_bytes,
	};
	if (mem->iommu) {
		buf->gpa = TFE_MEM_IOVA + start;
		buf->uva = TFE_MEM_IOVA + start;
	}
	memset(buf->va, 0, size_bytes);
	return 0;
}

uint64_t
tfe_mem_mark(const struct tfe_mem *mem, unsigned int region)
{
	return mem->regions[region].used_bytes;
}

void
tfe_mem_release(struct tfe_mem *mem, unsigned int region, uint64_t mark)
{
	mem->regions[region].used_bytes = mark;
}

static void *
find(const struct tfe_region *region, uint64_t start, uint64_t addr, uint64_t nb_bytes)
{
	uint64_t offset = addr - start;

	if (addr < start || offset > region->size_bytes || nb_bytes > region->size_bytes - offset)
		return NULL;
	return region->va + offset;
}

void *
tfe_mem_gpa_to_va(const struct tfe_mem *mem, uint64_t gpa, uint64_t nb_bytes)
{
	void *va = NULL;

	for (unsigned int i = 0; i < mem->nb_regions && va == NULL; i++)
		va = find(&mem->regions[i], mem->regions[i].gpa, gpa, nb_bytes);
	return va;
}

void *
tfe_mem_uva_to_va(const struct tfe_mem *mem, uint64_t uva, uint64_t nb_bytes)
{
	void *va = NULL;

	for (unsigned int i = 0; i < mem->nb_regions && va == NULL; i++)
		va = find(&mem->regions[i], mem->regions[i].uva, uva, nb_bytes);
	return va;
}

struct tfe_vu_region
tfe_mem_wire(const struct tfe_mem *mem, unsigned int region)
{
	const struct tfe_region *r = &mem->regions[region];

	return (struct tfe_vu_region){
		.gpa = r->gpa,
		.size_bytes = r->size_bytes,
		.uva = r->uva,
		.mmap_offset = r->mmap_offset,
	};
}

int
tfe_mem_send_table(const struct tfe_mem *mem, struct tfe_conn *conn)
{
	struct tfe_vu_region regions[TFE_VU_MEM_TABLE_REGIONS];
	int fds[TFE_VU_MEM_TABLE_REGIONS];

	if (mem->nb_regions > TFE_VU_MEM_TABLE_REGIONS)
		return -E2BIG;
	for (unsigned int i = 0; i < mem->nb_regions; i++) {
		regions[i] = tfe_mem_wire(mem, i);
		fds[i] = mem->regions[i].fd;
	}
	return tfe_req_set_mem_table(conn, regions, fds, mem->nb_regions);
}

int
tfe_mem_send_slots(const struct tfe_mem *mem, struct tfe_conn *conn)
{
	for (unsigned int i = 0; i < mem->nb_regions; i++) {
		struct tfe_vu_region region = tfe_mem_wire(mem, i);
		int ret = tfe_req_add_mem_reg(conn, &region, mem->regions[i].fd);

		if (ret < 0)
			return ret;
	}
	return 0;
}
