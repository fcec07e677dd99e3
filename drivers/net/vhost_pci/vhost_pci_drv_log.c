/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_drv_log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "vhost_pci_log.h"

/** Lines a second that the engine writes of all its front-ends together. */
#define ENGINE_LINES 10

bool
vhost_pci_log_limit_pass(struct vhost_pci_log_limit *limit, unsigned int nb_per_second)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (limit->second != now.tv_sec || limit->nb == 0) {
		limit->second = now.tv_sec;
		limit->nb = 0;
	}
	if (limit->nb >= nb_per_second) {
		limit->nb_held++;
		return false;
	}
	limit->nb++;
	limit->more[0] = '\0';
	if (limit->nb_held > 0)
		snprintf(limit->more, sizeof(limit->more), " (and %" PRIu64 " more like it before)",
				limit->nb_held);
	limit->nb_held = 0;
	return true;
}

static void log_sink(enum vhost_pci_log_level level, const char *format, va_list args)
		__rte_format_printf(2, 0);

static void
log_sink(enum vhost_pci_log_level level, const char *format, va_list args)
{
	static const uint32_t levels[] = {
		[VHOST_PCI_LOG_ERR] = RTE_LOG_ERR,
		[VHOST_PCI_LOG_WARNING] = RTE_LOG_WARNING,
		[VHOST_PCI_LOG_NOTICE] = RTE_LOG_NOTICE,
		[VHOST_PCI_LOG_INFO] = RTE_LOG_INFO,
		[VHOST_PCI_LOG_DEBUG] = RTE_LOG_DEBUG,
	};
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct vhost_pci_log_limit limit;
	char line[256];
	bool pass = true;
	char more[sizeof(limit.more)] = "";

	/* What is below is not seen unless it was asked for, and then all of it is wanted. */
	if (level <= VHOST_PCI_LOG_NOTICE) {
		pthread_mutex_lock(&lock);
		pass = vhost_pci_log_limit_pass(&limit, ENGINE_LINES);
		snprintf(more, sizeof(more), "%s", limit.more);
		pthread_mutex_unlock(&lock);
	}
	if (!pass)
		return;
	vsnprintf(line, sizeof(line), format, args);
	rte_log(levels[level], (uint32_t)vhost_pci_logtype, "net_vhost_pci: %s%s\n", line, more);
}

void
vhost_pci_drv_log_init(void)
{
	vhost_pci_log_set_sink(log_sink);
}

RTE_LOG_REGISTER(vhost_pci_logtype, pmd.net.vhost_pci, NOTICE)
