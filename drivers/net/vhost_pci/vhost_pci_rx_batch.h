/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The short way of the Rx burst: packets that are one plain buffer each, fit one mbuf, and ask
 * for nothing. It ends at the first packet that is anything else, which is left in the ring.
 */

#ifndef VHOST_PCI_RX_BATCH_H
#define VHOST_PCI_RX_BATCH_H

#include <linux/virtio_config.h>

#include <rte_prefetch.h>

#include "vhost_pci_copy.h"
#include "vhost_pci_features.h"
#include "vhost_pci_queue.h"

/** Have so many mbufs in the stash, if the mempool can give them; returns how many there are. */
VHOST_PCI_ALWAYS_INLINE unsigned int
vhost_pci_rx_stash(struct vhost_pci_rxq *rxq, unsigned int nb)
{
	if (unlikely(rxq->nb_stash < nb)) {
		if (rte_mempool_get_bulk(rxq->pool, (void **)&rxq->stash[rxq->nb_stash],
				    VHOST_PCI_STASH - rxq->nb_stash) < 0)
			return rxq->nb_stash;
		rxq->nb_stash = VHOST_PCI_STASH;
	}
	return nb;
}

/** Set a fresh mbuf's fields for a frame of one segment: whole words, four fields each. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_rx_mbuf_init(struct rte_mbuf *m, uint64_t rearm, uint32_t len)
{
	vhost_pci_word64 *word = RTE_PTR_ADD(m, VHOST_PCI_MBUF_REARM);

	word[0] = rearm;
	word[1] = 0;                   /* ol_flags */
	word[2] = (uint64_t)len << 32; /* packet_type, pkt_len */
	word[3] = len;                 /* data_len, vlan_tci, hash */
}

/**
 * Receive a batch of packets, as far as the short way goes.
 *
 * @param max	1 to VHOST_PCI_BATCH.
 * @return Packets received. Less than @p max: the next one, if there is one, is not for this way.
 */
VHOST_PCI_ALWAYS_INLINE unsigned int
vhost_pci_rx_batch(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, unsigned int max,
		const unsigned int kind, const bool offload)
{
	struct vhost_pci_vring *vr = rxq->vr;
	const uint32_t offset = vr->hdr_len, longest = rxq->plain_len;
	const uint64_t rearm = rxq->rearm;
	struct vhost_pci_batch batch;
	unsigned int nb, i;
	uint16_t asked;

	nb = rxq->take(vr, &batch, max);
	for (i = 0; i < nb; i++) {
		rte_prefetch0(batch.va[i]);
		rte_prefetch0(batch.va[i] + RTE_CACHE_LINE_SIZE);
	}
	nb = RTE_MIN(nb, vhost_pci_rx_stash(rxq, nb));
	for (i = 0; i < nb; i++) {
		const uint8_t *va = batch.va[i];
		uint32_t len = batch.len[i] - offset;
		struct rte_mbuf *m = rxq->stash[rxq->nb_stash - 1 - i];
		uint8_t *data = RTE_PTR_ADD(m->buf_addr, RTE_PKTMBUF_HEADROOM);

		/* Too short as well: the difference wraps. */
		if (unlikely(len - RTE_ETHER_HDR_LEN > longest - RTE_ETHER_HDR_LEN))
			break;
		/* Flags and gso_type, the header's first two bytes: what it asks for. */
		if (offload) {
			memcpy(&asked, va, sizeof(asked));
			if (unlikely(asked != 0))
				break;
		}
		vhost_pci_rx_mbuf_init(m, rearm, len);
		vhost_pci_copy(data, va + offset, len);
		vhost_pci_stats_count(&rxq->stats.q, data, len);
		bufs[i] = m;
	}
	rxq->nb_stash = (uint16_t)(rxq->nb_stash - i);
	vhost_pci_batch_commit(vr, i, kind);
	if (rxq->features & VHOST_PCI_FEATURE(F_IN_ORDER) && i > 0)
		vhost_pci_batch_put_in_order(vr, batch.id[i - 1], i, kind);
	else
		vhost_pci_batch_put(vr, &batch, NULL, i, kind);
	return i;
}

#endif /* VHOST_PCI_RX_BATCH_H */
