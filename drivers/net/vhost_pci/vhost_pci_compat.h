/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What differs between the DPDK releases that the driver is built with (22.11 and later), so that
 * no other file asks for a version.
 */

#ifndef VHOST_PCI_COMPAT_H
#define VHOST_PCI_COMPAT_H

#include <rte_version.h>

#include <ethdev_driver.h>

/* 25.11: the statistics of queues have a structure of their own, which may be NULL. */
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
#define VHOST_PCI_STATS_GET_ARGS        struct rte_eth_stats *stats, struct eth_queue_stats *qstats
#define VHOST_PCI_QUEUE_STATS           struct eth_queue_stats
#define VHOST_PCI_QSTATS(stats, qstats) (qstats)
typedef int vhost_pci_queue_count_t;
#else
#define VHOST_PCI_STATS_GET_ARGS        struct rte_eth_stats *stats
#define VHOST_PCI_QUEUE_STATS           struct rte_eth_stats
#define VHOST_PCI_QSTATS(stats, qstats) (stats)
typedef uint32_t vhost_pci_queue_count_t;
#endif

/* 24.11: keys without a value go to a function of their own. */
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
#define VHOST_PCI_KVARGS_PROCESS rte_kvargs_process_opt
#else
#define VHOST_PCI_KVARGS_PROCESS rte_kvargs_process
#endif

/* 24.11: the list of packet types has a length instead of an end mark. */
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
#define VHOST_PCI_PTYPES_GET_ARGS struct rte_eth_dev *dev, size_t *nb_ptypes
#define VHOST_PCI_PTYPES_END
#define VHOST_PCI_PTYPES_SET_NB(nb) (*nb_ptypes = (nb))
#else
#define VHOST_PCI_PTYPES_GET_ARGS   struct rte_eth_dev *dev
#define VHOST_PCI_PTYPES_END        RTE_PTYPE_UNKNOWN,
#define VHOST_PCI_PTYPES_SET_NB(nb) ((void)(nb))
#endif

/* 23.11: unsigned numbers of telemetry have their width's name no more. */
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
#define VHOST_PCI_TEL_ADD_UINT rte_tel_data_add_dict_uint
#else
#define VHOST_PCI_TEL_ADD_UINT rte_tel_data_add_dict_u64
#endif

#endif /* VHOST_PCI_COMPAT_H */
