/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Where the engine's messages go: its owner sets a sink (DPDK's log in the driver, the journal in
 * the daemon, a buffer in tests).
 */

#ifndef VHOST_PCI_LOG_H
#define VHOST_PCI_LOG_H

#include <stdarg.h>

/** Importance of a message, from most to least. */
enum vhost_pci_log_level {
	VHOST_PCI_LOG_ERR,
	VHOST_PCI_LOG_WARNING,
	VHOST_PCI_LOG_NOTICE,
	VHOST_PCI_LOG_INFO,
	VHOST_PCI_LOG_DEBUG,
};

/** A sink: gets a message without a newline. Called from any thread that calls the engine. */
typedef void (*vhost_pci_log_sink_t)(enum vhost_pci_log_level level, const char *format,
		va_list args);

/** Set the sink of the process; NULL (the initial one) discards. Before any other use. */
void vhost_pci_log_set_sink(vhost_pci_log_sink_t sink);

/** Write a message. Never called per packet. Any thread. */
void vhost_pci_log(enum vhost_pci_log_level level, const char *format, ...)
		__attribute__((format(printf, 2, 3)));

#endif /* VHOST_PCI_LOG_H */
