/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The driver's log type, "pmd.net.vhost_pci"; the engine's messages go there too.
 */

#ifndef VHOST_PCI_DRV_LOG_H
#define VHOST_PCI_DRV_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <rte_log.h>

extern int vhost_pci_logtype;

/** Write a message, a line without its newline. Never per packet. Any thread. */
#define DRV_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, vhost_pci_logtype, "net_vhost_pci: " format "\n", ##__VA_ARGS__)

/** What is kept of a kind of line that a front-end can cause as often as it likes; zeroed. */
struct vhost_pci_log_limit {
	time_t second;    /**< Of the last line. */
	unsigned int nb;  /**< Lines in it. */
	uint64_t nb_held; /**< Lines that were not written since the last one. */
	char more[48];    /**< " (and N more like it before)", or empty. */
};

/**
 * Whether a line may be written now; then the limit's "more" belongs to its end.
 *
 * @param nb_per_second Lines that may be. Callers serialise.
 */
bool vhost_pci_log_limit_pass(struct vhost_pci_log_limit *limit, unsigned int nb_per_second);

/** Write a message, but one of its kind a second. Callers serialise. */
#define DRV_LOG_LIMITED(limit, level, format, ...) \
	do { \
		if (vhost_pci_log_limit_pass(limit, 1)) \
			DRV_LOG(level, format "%s", ##__VA_ARGS__, (limit)->more); \
	} while (0)

/** Let the engine's messages go to the driver's log. */
void vhost_pci_drv_log_init(void);

#endif /* VHOST_PCI_DRV_LOG_H */
