/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Device arguments: those that ports take whatever their front door is, and how values are read.
 * What is wrong with one is logged. Any thread.
 */

#ifndef VHOST_PCI_ARGS_H
#define VHOST_PCI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

struct rte_kvargs;
struct vhost_pci_port_config;

/** @name The arguments of vhost_pci_arg_common() */
/**@{*/
#define VHOST_PCI_ARG_QUEUES          "queues"
#define VHOST_PCI_ARG_TSO             "tso"
#define VHOST_PCI_ARG_PACKED          "packed"
#define VHOST_PCI_ARG_LEGACY_OL_FLAGS "legacy-ol-flags"
#define VHOST_PCI_ARG_ZERO_COPY       "zero-copy"
#define VHOST_PCI_ARG_COPYBREAK       "copybreak"
#define VHOST_PCI_ARG_MAC             "mac"
#define VHOST_PCI_ARG_IOMMU           "iommu"
#define VHOST_PCI_ARG_CONFIG          "config"
#define VHOST_PCI_ARG_GUEST_MAC       "guest-mac"

/** All of them, for a front door's list of keys that it knows. */
#define VHOST_PCI_ARGS_COMMON \
	VHOST_PCI_ARG_QUEUES, VHOST_PCI_ARG_TSO, VHOST_PCI_ARG_PACKED, \
			VHOST_PCI_ARG_LEGACY_OL_FLAGS, VHOST_PCI_ARG_ZERO_COPY, \
			VHOST_PCI_ARG_COPYBREAK, VHOST_PCI_ARG_MAC, VHOST_PCI_ARG_IOMMU, \
			VHOST_PCI_ARG_CONFIG, VHOST_PCI_ARG_GUEST_MAC

/** And for what it tells of its arguments. */
#define VHOST_PCI_ARGS_COMMON_PARAMS \
	VHOST_PCI_ARG_QUEUES \
	"=<int> " VHOST_PCI_ARG_TSO "=<0|1> " VHOST_PCI_ARG_PACKED \
	"=<0|1> " VHOST_PCI_ARG_LEGACY_OL_FLAGS "=<0|1> " VHOST_PCI_ARG_ZERO_COPY \
	"=<off|split|full> " VHOST_PCI_ARG_COPYBREAK "=<int> " VHOST_PCI_ARG_MAC \
	"=<addr> " VHOST_PCI_ARG_IOMMU "=<0|1> " VHOST_PCI_ARG_CONFIG \
	"=<0|1> " VHOST_PCI_ARG_GUEST_MAC "=<addr>"
/**@}*/

/** An argument. */
struct vhost_pci_arg {
	const char *device; /**< For messages. */
	const char *key;
	const char *value; /**< NULL: the key stands alone. */
};

/** Read 0 or 1. Returns 0 or -EINVAL. */
int vhost_pci_arg_bool(const struct vhost_pci_arg *arg, bool *flag);

/** Read a number from 1 to @p max. Returns 0 or -EINVAL. */
int vhost_pci_arg_count(const struct vhost_pci_arg *arg, uint16_t max, uint16_t *count);

/**
 * Take an argument that all front doors have.
 *
 * @return 1; 0 for a key that is none of them; -EINVAL.
 */
int vhost_pci_arg_common(const struct vhost_pci_arg *arg, struct vhost_pci_port_config *config);

/** Look that none of the keys, a list that ends with NULL, is given twice. Returns 0 or -EINVAL. */
int vhost_pci_args_check_once(const char *device, const struct rte_kvargs *kvlist,
		const char *const *keys);

/** Look that what vhost_pci_arg_common() has taken goes together. Returns 0 or -EINVAL. */
int vhost_pci_args_check_common(const char *device, const struct vhost_pci_port_config *config);

#endif /* VHOST_PCI_ARGS_H */
