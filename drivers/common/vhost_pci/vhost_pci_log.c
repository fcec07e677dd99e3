/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_log.h"

#include <stddef.h>

static vhost_pci_log_sink_t log_sink;

void
vhost_pci_log_set_sink(vhost_pci_log_sink_t sink)
{
	log_sink = sink;
}

void
vhost_pci_log(enum vhost_pci_log_level level, const char *format, ...)
{
	va_list args;

	if (log_sink == NULL)
		return;
	va_start(args, format);
	log_sink(level, format, args);
	va_end(args);
}
