/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Counters of queues. Each has one writer, the thread that polls the queue; a reset remembers where
 * they stood and writes none of them.
 */

#ifndef VHOST_PCI_STATS_H
#define VHOST_PCI_STATS_H

#include <string.h>

#include <rte_ether.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_compat.h"

/** Classes of frame sizes, without CRC, as other DPDK drivers have them. */
enum vhost_pci_size_class {
	VHOST_PCI_SIZE_UNDER_64,
	VHOST_PCI_SIZE_64,
	VHOST_PCI_SIZE_65,
	VHOST_PCI_SIZE_128,
	VHOST_PCI_SIZE_256,
	VHOST_PCI_SIZE_512,
	VHOST_PCI_SIZE_1024,
	VHOST_PCI_SIZE_1519,
	VHOST_PCI_NB_SIZES,
};

/** What both directions count of packets that went through. */
struct vhost_pci_queue_stats {
	uint64_t packets;
	uint64_t bytes;
	uint64_t multicast; /**< Without broadcast. */
	uint64_t broadcast;
	uint64_t size[VHOST_PCI_NB_SIZES];
};

/** Counters of an Rx queue. */
struct vhost_pci_rxq_stats {
	struct vhost_pci_queue_stats q;
	uint64_t no_mbuf;  /**< Times that the mempool was empty; no packet is lost by it. */
	uint64_t runt;     /**< Dropped: shorter than an Ethernet header. */
	uint64_t too_long; /**< Dropped: longer than an mbuf without scatter, or than any frame. */
	uint64_t bad_header; /**< Dropped: a virtio-net header that contradicts the packet. */
	uint64_t sw_csum;    /**< Partial checksums that were completed here. */
	uint64_t lro;        /**< Packets that the front-end left to be segmented. */
	uint64_t lent;       /**< Packets received without a copy of their payload. */
	uint64_t copied;     /**< Packets received with a copy of all. */
	uint64_t starved;    /**< Copied although long enough: too much of the ring was lent. */
};

/** Counters of a Tx queue. */
struct vhost_pci_txq_stats {
	struct vhost_pci_queue_stats q;
	uint64_t ring_full;   /**< Bursts cut short because the front-end had no buffers. */
	uint64_t too_long;    /**< Dropped: no chain of the front-end can hold it. */
	uint64_t bad_offload; /**< Dropped: asks for what can't be done for this front-end. */
	uint64_t sw_csum;     /**< Checksums that were computed here. */
	uint64_t tso;         /**< Packets sent to be segmented by the front-end. */
};

/** Count one packet that went through. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_stats_count(struct vhost_pci_queue_stats *stats, const uint8_t *dst_mac, uint32_t len)
{
	unsigned int size;

	stats->bytes += len;
	if (len < 64)
		size = VHOST_PCI_SIZE_UNDER_64;
	else if (len == 64)
		size = VHOST_PCI_SIZE_64;
	else if (len < 1024)
		size = VHOST_PCI_SIZE_65 + (unsigned int)(31 - __builtin_clz(len)) - 6;
	else
		size = len < 1519 ? VHOST_PCI_SIZE_1024 : VHOST_PCI_SIZE_1519;
	stats->size[size]++;
	if (vhost_pci_unlikely(dst_mac[0] & RTE_ETHER_GROUP_ADDR)) {
		/* As bytes: a frame to be sent may lie at any address. */
		if (memcmp(dst_mac, "\xff\xff\xff\xff\xff\xff", RTE_ETHER_ADDR_LEN) == 0)
			stats->broadcast++;
		else
			stats->multicast++;
	}
}

/** eth_dev_ops.stats_get and its companions. Application thread. */
int vhost_pci_stats_get(struct rte_eth_dev *dev, VHOST_PCI_STATS_GET_ARGS);
int vhost_pci_stats_reset(struct rte_eth_dev *dev);
int vhost_pci_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int nb);
int vhost_pci_xstats_get_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names,
		unsigned int nb);

#endif /* VHOST_PCI_STATS_H */
