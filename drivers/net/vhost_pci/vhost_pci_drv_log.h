/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The driver's log type, "pmd.net.vhost_pci"; the engine's messages go there too.
 */

#ifndef VHOST_PCI_DRV_LOG_H
#define VHOST_PCI_DRV_LOG_H

#include <rte_log.h>

extern int vhost_pci_logtype;

/** Write a message, a line without its newline. Never per packet. Any thread. */
#define DRV_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, vhost_pci_logtype, "net_vhost_pci: " format "\n", ##__VA_ARGS__)

#endif /* VHOST_PCI_DRV_LOG_H */
