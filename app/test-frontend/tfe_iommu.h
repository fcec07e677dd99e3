/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The vIOMMU of a device (struct tfe_dev_conf, iommu): a thread that answers the back-end's misses,
 * a page at a time, and takes back what it likes.
 *
 * While it runs the device's connection and channel are its own; the rings are not concerned.
 */

#ifndef TFE_IOMMU_H
#define TFE_IOMMU_H

#include <pthread.h>

#include "tfe_dev.h"

/** Bytes of a translation. */
#define TFE_IOMMU_PAGE UINT64_C(4096)

/** What the thread does, besides answering. */
struct tfe_iommu_conf {
	/** After so many misses a range of some pages is taken back, somewhere; 0: never. */
	unsigned int misses_per_range;
	/** After so many misses all is taken back, the rings' pages with it; 0: never. */
	unsigned int misses_per_flush;
	/** Each so many misses one is refused at first; 0: none is. */
	unsigned int misses_per_refusal;
};

/** Counters; read when the thread has stopped, or nb_misses by tfe_iommu_misses(). */
struct tfe_iommu_stats {
	uint64_t nb_misses; /**< atomic */
	uint64_t nb_updates;
	uint64_t nb_ranges;
	uint64_t nb_flushes;
	uint64_t nb_refusals;
	uint64_t nb_wild; /**< misses of addresses that were never given */
};

/** The vIOMMU of one device. */
struct tfe_iommu {
	struct tfe_dev *dev;
	struct tfe_iommu_conf conf;
	struct tfe_iommu_stats stats;
	pthread_t thread;
	bool started;
	int stop_fd;  /**< an eventfd */
	int flush_fd; /**< an eventfd */
	int error;    /**< -errno that ended the thread, valid after tfe_iommu_stop() */
	uint64_t seed;
};

/** Take over the connection of an open device and answer. @return 0 or -errno. */
int tfe_iommu_start(struct tfe_iommu *iommu, struct tfe_dev *dev,
		const struct tfe_iommu_conf *conf);

/** End the thread and give the connection back. @return 0 or the error that ended it. */
int tfe_iommu_stop(struct tfe_iommu *iommu);

/** Have all taken back, by and by; any thread. @return 0 or -errno. */
int tfe_iommu_flush(const struct tfe_iommu *iommu);

/** Misses so far; any thread. */
uint64_t tfe_iommu_misses(const struct tfe_iommu *iommu);

#endif /* TFE_IOMMU_H */
