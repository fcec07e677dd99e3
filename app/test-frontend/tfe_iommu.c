/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "tfe_iommu.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

/** Pages that are taken back at a time, at most. */
#define RANGE_PAGES 16

static uint32_t
next_random(struct tfe_iommu *iommu)
{
	iommu->seed = iommu->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(iommu->seed >> 33);
}

static int
invalidate(struct tfe_iommu *iommu, uint64_t iova, uint64_t nb_bytes)
{
	const struct tfe_vu_iotlb msg = {
		.iova = iova,
		.size_bytes = nb_bytes,
		.type = TFE_VU_IOTLB_INVALIDATE,
	};

	return tfe_req_iotlb(&iommu->dev->conn, &msg);
}

static int
invalidate_range(struct tfe_iommu *iommu)
{
	const struct tfe_region *region = &iommu->dev->mem.regions[0];
	uint64_t nb_pages = region->used_bytes / TFE_IOMMU_PAGE + 1;
	uint64_t page = next_random(iommu) % nb_pages;

	iommu->stats.nb_ranges++;
	return invalidate(iommu, TFE_MEM_IOVA + page * TFE_IOMMU_PAGE,
			(1 + next_random(iommu) % RANGE_PAGES) * TFE_IOMMU_PAGE);
}

/* Size 0 stands for all there is, as 2^64 would. */
static int
invalidate_all(struct tfe_iommu *iommu)
{
	iommu->stats.nb_flushes++;
	return invalidate(iommu, 0, 0);
}

/* Tell where a page is. @return 0, or -ENOENT for an address that no driver could have given. */
static int
update(struct tfe_iommu *iommu, const struct tfe_vu_iotlb *miss)
{
	const struct tfe_region *region = &iommu->dev->mem.regions[0];
	uint64_t offset = (miss->iova & ~(TFE_IOMMU_PAGE - 1)) - TFE_MEM_IOVA;
	const struct tfe_vu_iotlb msg = {
		.iova = TFE_MEM_IOVA + offset,
		.size_bytes = TFE_IOMMU_PAGE,
		.uva = region->uva + offset,
		.perm = miss->perm,
		.type = TFE_VU_IOTLB_UPDATE,
	};

	if (miss->iova < TFE_MEM_IOVA || offset >= region->used_bytes)
		return -ENOENT;
	iommu->stats.nb_updates++;
	return tfe_req_iotlb(&iommu->dev->conn, &msg);
}

static bool
is_due(uint64_t nb, unsigned int period)
{
	return period != 0 && nb % period == 0;
}

/* Answer one request of the back-end, then be mean. */
static int
serve(struct tfe_iommu *iommu)
{
	struct tfe_conn *channel = &iommu->dev->channel;
	struct tfe_iommu_stats *stats = &iommu->stats;
	struct tfe_msg msg;
	uint64_t value = 0;
	int ret;

	ret = tfe_conn_recv(channel, &msg);
	if (ret < 0)
		return ret;
	if (msg.hdr.request != TFE_VU_BACKEND_IOTLB_MSG || msg.iotlb.type != TFE_VU_IOTLB_MISS)
		return -EPROTO;
	__atomic_store_n(&stats->nb_misses, stats->nb_misses + 1, __ATOMIC_RELAXED);
	if (is_due(stats->nb_misses, iommu->conf.misses_per_refusal)) {
		stats->nb_refusals++;
		value = 1;
	} else {
		ret = update(iommu, &msg.iotlb);
	}
	if (ret == -ENOENT) {
		stats->nb_wild++;
		value = 1;
		ret = 0;
	}
	if (ret == 0 && (msg.hdr.flags & TFE_VU_NEED_REPLY) != 0)
		ret = tfe_conn_answer(channel, &msg, value);
	/* What was refused is asked for again when something has changed. */
	if (ret == 0 && value != 0)
		ret = invalidate_range(iommu);
	if (ret == 0 && is_due(stats->nb_misses, iommu->conf.misses_per_range))
		ret = invalidate_range(iommu);
	if (ret == 0 && is_due(stats->nb_misses, iommu->conf.misses_per_flush))
		ret = invalidate_all(iommu);
	return ret;
}

/* All is to be taken back. */
static int
flush(struct tfe_iommu *iommu)
{
	uint64_t count;

	if (read(iommu->flush_fd, &count, sizeof(count)) < 0)
		return -errno;
	return invalidate_all(iommu);
}

static void *
iommu_main(void *arg)
{
	struct tfe_iommu *iommu = arg;
	struct pollfd fds[] = {
		{ .fd = iommu->stop_fd, .events = POLLIN },
		{ .fd = iommu->dev->channel.fd, .events = POLLIN },
		{ .fd = iommu->flush_fd, .events = POLLIN },
	};

	while (iommu->error == 0) {
		if (poll(fds, 3, -1) < 0) {
			if (errno != EINTR)
				iommu->error = -errno;
			continue;
		}
		if (fds[0].revents != 0)
			break;
		if (fds[1].revents != 0)
			iommu->error = serve(iommu);
		if (iommu->error == 0 && fds[2].revents != 0)
			iommu->error = flush(iommu);
	}
	return NULL;
}

static void
close_fds(const struct tfe_iommu *iommu)
{
	if (iommu->stop_fd >= 0)
		close(iommu->stop_fd);
	if (iommu->flush_fd >= 0)
		close(iommu->flush_fd);
}

int
tfe_iommu_start(struct tfe_iommu *iommu, struct tfe_dev *dev, const struct tfe_iommu_conf *conf)
{
	int ret;

	if (!dev->conf.iommu || dev->channel.fd < 0)
		return -EINVAL;
	*iommu = (struct tfe_iommu){ .dev = dev, .conf = *conf, .seed = 1 };
	iommu->stop_fd = eventfd(0, EFD_CLOEXEC);
	iommu->flush_fd = eventfd(0, EFD_CLOEXEC);
	ret = iommu->stop_fd < 0 || iommu->flush_fd < 0 ? -errno : 0;
	if (ret == 0) {
		/* A translation is in force, or taken back, when the back-end says so. */
		dev->conn.need_reply = true;
		ret = -pthread_create(&iommu->thread, NULL, iommu_main, iommu);
	}
	iommu->started = ret == 0;
	if (ret < 0)
		close_fds(iommu);
	return ret;
}

int
tfe_iommu_stop(struct tfe_iommu *iommu)
{
	const uint64_t one = 1;

	if (!iommu->started)
		return 0;
	if (write(iommu->stop_fd, &one, sizeof(one)) < 0)
		return -errno;
	pthread_join(iommu->thread, NULL);
	iommu->started = false;
	close_fds(iommu);
	iommu->dev->conn.need_reply = iommu->dev->conf.need_reply;
	return iommu->error;
}

int
tfe_iommu_flush(const struct tfe_iommu *iommu)
{
	const uint64_t one = 1;

	return write(iommu->flush_fd, &one, sizeof(one)) < 0 ? -errno : 0;
}

uint64_t
tfe_iommu_misses(const struct tfe_iommu *iommu)
{
	return __atomic_load_n(&iommu->stats.nb_misses, __ATOMIC_RELAXED);
}
