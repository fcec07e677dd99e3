/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The virtio-net header (VIRTIO 5.1.6) and what it asks for or promises, against an mbuf's flags.
 *
 * All functions: the thread that polls the queue.
 */

#ifndef VHOST_PCI_OFFLOAD_H
#define VHOST_PCI_OFFLOAD_H

#include <linux/virtio_net.h>

#include "vhost_pci_queue.h"

/** The longest virtio-net header: with num_buffers. */
#define VHOST_PCI_HDR_LEN_MAX sizeof(struct virtio_net_hdr_v1)

/** Features with which a front-end's header may ask for something. */
#define VHOST_PCI_RX_OFFLOAD_FEATURES \
	(VHOST_PCI_FEATURE(NET_F_CSUM) | VHOST_PCI_FEATURE(NET_F_HOST_TSO4) | \
			VHOST_PCI_FEATURE(NET_F_HOST_TSO6) | VHOST_PCI_FEATURE(NET_F_HOST_UFO))

/**
 * Do what is rare for a received packet: what its header asks for (checksum, segmentation) and what
 * the application has asked for besides the bytes. Where that writes to a packet that is the
 * front-end's memory, it is copied first.
 *
 * @param hdr	The header, copied out of shared memory; NULL: it asks for nothing.
 * @param m	The whole packet, which is the callee's.
 * @return The packet; NULL where it was dropped, and counted: its header contradicts it, or there
 *	   are no mbufs for the copy.
 *
 * Clause: VIRTIO 5.1.6.2 (what a driver may send), 5.1.6.2.2 (what a device must check).
 */
struct rte_mbuf *vhost_pci_rx_finish(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr,
		struct rte_mbuf *m);

/** Flags with which an mbuf asks for more at transmission than a copy, known here or not. */
#define VHOST_PCI_TX_OFFLOAD_FLAGS \
	(RTE_MBUF_F_TX_OFFLOAD_MASK & ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6))

/** Those that can be done. */
#define VHOST_PCI_TX_KNOWN_FLAGS \
	(RTE_MBUF_F_TX_VLAN | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK | \
			RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)

/** Whether an mbuf asks for anything at transmission that is not just a copy. */
static inline bool
vhost_pci_tx_has_offload(const struct rte_mbuf *m)
{
	return (m->ol_flags & VHOST_PCI_TX_OFFLOAD_FLAGS) != 0;
}

/** Headers of a packet that are rewritten on their way: all that has a length in an mbuf. */
#define VHOST_PCI_TX_HEADERS_MAX 1024

/** What goes before the copy of an mbuf; the mbuf itself is never written to. */
struct vhost_pci_tx_prefix {
	struct virtio_net_hdr_v1 hdr;
	bool sw_csum;         /**< A checksum was computed here. */
	uint32_t skip;        /**< Bytes at the mbuf's start that are replaced by ... */
	uint32_t headers_len; /**< ... as many of the following. */
	uint8_t headers[VHOST_PCI_TX_HEADERS_MAX];
};

/**
 * Do for a packet to be sent what its flags ask for, or tell the front-end to.
 *
 * @param features Negotiated with the front-end.
 * @param m	A packet for which vhost_pci_tx_has_offload() is true.
 * @param[out] prefix All but num_buffers, which is 0.
 * @return 0; -ENOTSUP for what neither this driver nor the front-end can do; -EINVAL where lengths
 *	   in the mbuf contradict the packet.
 */
int vhost_pci_tx_offload(uint64_t features, const struct rte_mbuf *m,
		struct vhost_pci_tx_prefix *prefix);

/**
 * Whether vhost_pci_tx_offload() can do it for a packet, of which only the headers are read.
 *
 * @return As there.
 */
int vhost_pci_tx_check(uint64_t features, const struct rte_mbuf *m);

#endif /* VHOST_PCI_OFFLOAD_H */
