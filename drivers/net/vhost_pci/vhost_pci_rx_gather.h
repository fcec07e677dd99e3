/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What every way of receiving is made of: fresh mbufs, and a place in a chain that bytes are copied
 * out from.
 *
 * All functions: the thread that polls the queue.
 */

#ifndef VHOST_PCI_RX_GATHER_H
#define VHOST_PCI_RX_GATHER_H

#include "vhost_pci_queue.h"

/** Fill the stash, as far as the mempool allows; false if it stays empty. */
bool vhost_pci_rx_refill(struct vhost_pci_rxq *rxq);

/** Take a fresh mbuf, of which only the lengths are to be set; NULL if there is none. */
VHOST_PCI_ALWAYS_INLINE struct rte_mbuf *
vhost_pci_rx_mbuf(struct vhost_pci_rxq *rxq)
{
	struct rte_mbuf *m;

	if (unlikely(rxq->nb_stash == 0) && !vhost_pci_rx_refill(rxq))
		return NULL;
	m = rxq->stash[--rxq->nb_stash];
	*(uint64_t *)RTE_PTR_ADD(m, VHOST_PCI_MBUF_REARM) = rxq->rearm;
	m->ol_flags = 0;
	m->packet_type = 0;
	m->vlan_tci = 0;
	return m;
}

/** A place in a chain. */
struct vhost_pci_rx_cursor {
	const struct vhost_pci_seg *seg;
	uint32_t offset; /**< In seg; up to its length. */
};

/** A place so many bytes behind the beginning of a piece, maybe in a later one; it is there. */
struct vhost_pci_rx_cursor vhost_pci_rx_cursor_at(const struct vhost_pci_seg *seg, uint32_t offset);

/** Copy bytes out of a chain, and move behind them; they are there. */
void vhost_pci_rx_read(struct vhost_pci_rx_cursor *cursor, uint8_t *dst, uint32_t len);

/** Move over bytes of a chain; they are there. */
void vhost_pci_rx_skip(struct vhost_pci_rx_cursor *cursor, uint32_t len);

/** Add a piece of a packet, whose length is set, at the end of a packet's list of mbufs. */
static inline void
vhost_pci_rx_link(struct rte_mbuf *head, struct rte_mbuf **last, struct rte_mbuf *m)
{
	head->nb_segs++;
	head->pkt_len += m->data_len;
	(*last)->next = m;
	*last = m;
}

/**
 * Copy a packet of any shape into as many mbufs as it needs.
 *
 * @param cursor Where it begins.
 * @return The packet; NULL where there are not enough mbufs, with none taken.
 */
struct rte_mbuf *vhost_pci_rx_gather(struct vhost_pci_rxq *rxq, struct vhost_pci_rx_cursor cursor,
		uint32_t len);

#endif /* VHOST_PCI_RX_GATHER_H */
