/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The short way of the Rx burst: packets that are one plain buffer each and fit one mbuf. It ends
 * at the first packet that is anything else, which is left in the ring.
 */

#ifndef VHOST_PCI_RX_BATCH_H
#define VHOST_PCI_RX_BATCH_H

#include <linux/virtio_config.h>

#include <rte_prefetch.h>

#include "vhost_pci_copy.h"
#include "vhost_pci_features.h"
#include "vhost_pci_offload.h"
#include "vhost_pci_queue.h"

/** What a burst is made for besides the kind of ring, as bits of a constant argument. */
#define VHOST_PCI_RX_OFFLOAD (1u << 0) /**< Look at the virtio-net headers. */
#define VHOST_PCI_RX_LEND    (1u << 1) /**< The vring has a lending. */
#define VHOST_PCI_RX_HOWS    4         /**< For tables indexed by these. */

/** Have so many mbufs in the stash, if the mempool can give them; returns how many there are. */
VHOST_PCI_ALWAYS_INLINE unsigned int
vhost_pci_rx_stash(struct vhost_pci_rxq *rxq, unsigned int nb)
{
	if (rxq->nb_stash < nb) {
		if (rte_mempool_get_bulk(rxq->pool, (void **)&rxq->stash[rxq->nb_stash],
				    nb - rxq->nb_stash) < 0)
			return rxq->nb_stash;
		rxq->nb_stash = (uint16_t)nb;
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

/** What became of a batch. */
struct vhost_pci_rx_got {
	unsigned int nb_rx;     /**< Packets received. */
	unsigned int nb_chains; /**< Chains taken for them, and for those that were dropped. */
	bool is_last;           /**< Nothing was available behind them. */
};

/** Copy a frame into an mbuf of the stash. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_rx_copy(struct rte_mbuf *m, uint64_t rearm, const uint8_t *frame, uint32_t len)
{
	vhost_pci_rx_mbuf_init(m, rearm, len);
	vhost_pci_copy(RTE_PTR_ADD(m->buf_addr, RTE_PKTMBUF_HEADROOM), frame, len);
}

/** Return the chains of a batch that were copied from. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_rx_batch_put(const struct vhost_pci_rxq *rxq, const struct vhost_pci_batch *batch,
		unsigned int nb, const unsigned int kind)
{
	if (rxq->features & VHOST_PCI_FEATURE(F_IN_ORDER) && nb > 0)
		vhost_pci_batch_put_in_order(rxq->vr, batch->id[nb - 1], nb, kind);
	else
		vhost_pci_batch_put(rxq->vr, batch, NULL, nb, kind);
}

/**
 * Receive a batch of packets, as far as the short way goes.
 *
 * @param max	1 to VHOST_PCI_BATCH.
 * @param how	VHOST_PCI_RX_*, a constant.
 */
VHOST_PCI_ALWAYS_INLINE struct vhost_pci_rx_got
vhost_pci_rx_batch(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, unsigned int max,
		const unsigned int kind, const unsigned int how)
{
	const uint32_t offset = rxq->vr->hdr_len, longest = rxq->plain_len;
	const uint64_t rearm = rxq->rearm;
	unsigned int nb, nb_stash, i, nb_rx = 0, nb_copied = 0;
	struct vhost_pci_batch batch;
	struct virtio_net_hdr hdr;

	nb = rxq->take(rxq->vr, &batch, max);
	/* A poll of an idle queue goes no further, and touches no line of what follows. */
	if (nb == 0)
		return (struct vhost_pci_rx_got){ 0, 0, batch.is_last };
	for (i = 0; i < nb; i++) {
		rte_prefetch0(batch.va[i]);
		rte_prefetch0(batch.va[i] + RTE_CACHE_LINE_SIZE);
	}
	vhost_pci_rx_stash(rxq, nb);
	nb_stash = rxq->nb_stash;
	for (i = 0; i < nb; i++) {
		const uint8_t *frame = batch.va[i] + offset;
		uint32_t len = batch.len[i] - offset;
		struct rte_mbuf *m;

		/* Too short as well: the difference wraps. */
		if (unlikely(len - RTE_ETHER_HDR_LEN > longest - RTE_ETHER_HDR_LEN) ||
				unlikely(nb_stash == 0))
			break;
		/* Once, into a copy that is then checked and used. */
		if (how & VHOST_PCI_RX_OFFLOAD)
			memcpy(&hdr, batch.va[i], sizeof(hdr));
		m = rxq->stash[--nb_stash];
		vhost_pci_rx_copy(m, rearm, frame, len);
		batch.id[nb_copied++] = batch.id[i];
		if (how & VHOST_PCI_RX_OFFLOAD && unlikely((hdr.flags | hdr.gso_type) != 0)) {
			m = vhost_pci_rx_finish(rxq, &hdr, m);
			if (unlikely(m == NULL))
				continue;
		}
		vhost_pci_stats_count(&rxq->stats.q, rte_pktmbuf_mtod(m, uint8_t *), len);
		bufs[nb_rx++] = m;
	}
	rxq->nb_stash = (uint16_t)nb_stash;
	rxq->stats.copied += nb_rx;
	vhost_pci_batch_commit(rxq->vr, i, kind);
	vhost_pci_rx_batch_put(rxq, &batch, nb_copied, kind);
	return (struct vhost_pci_rx_got){ nb_rx, i, i == nb && batch.is_last };
}

#endif /* VHOST_PCI_RX_BATCH_H */
