/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The short way of the Tx burst: packets of one mbuf that ask for nothing, each into one plain
 * buffer. It ends at the first packet or buffer that is anything else.
 */

#ifndef VHOST_PCI_TX_BATCH_H
#define VHOST_PCI_TX_BATCH_H

#include <rte_prefetch.h>

#include "vhost_pci_copy.h"
#include "vhost_pci_offload.h"
#include "vhost_pci_queue.h"

/** Write a header that promises nothing. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_tx_plain_header(uint8_t *va, uint8_t hdr_len)
{
	static const struct virtio_net_hdr_v1 plain = { .num_buffers = 1 };

	/* Whole, for a buffer may have been a packet with offloads before. */
	if (hdr_len == sizeof(plain))
		memcpy(va, &plain, sizeof(plain));
	else
		memcpy(va, &plain, sizeof(struct virtio_net_hdr));
}

/** Whether an mbuf is nobody else's, whole, and of this pool: it goes back as it is. */
VHOST_PCI_ALWAYS_INLINE bool
vhost_pci_tx_is_simple(const struct rte_mbuf *m, const struct rte_mempool *pool)
{
	return m->pool == pool && m->nb_segs == 1 && rte_mbuf_refcnt_read(m) == 1 &&
			RTE_MBUF_DIRECT(m);
}

/** Free mbufs: mostly all are of one pool, and go back to it at once. */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_tx_free(struct rte_mbuf **bufs, unsigned int nb)
{
	struct rte_mempool *pool;
	unsigned int i;

	if (nb == 0)
		return;
	pool = bufs[0]->pool;
	for (i = 0; i < nb && likely(vhost_pci_tx_is_simple(bufs[i], pool)); i++)
		;
	if (likely(i > 0))
		rte_mempool_put_bulk(pool, (void **)bufs, i);
	if (unlikely(i < nb))
		rte_pktmbuf_free_bulk(&bufs[i], nb - i);
}

/**
 * Send a batch of packets, as far as the short way goes.
 *
 * @param max	1 to VHOST_PCI_BATCH.
 * @return Packets sent, which are still the caller's to free. Less than @p max: the next one is
 *	   not for this way.
 */
VHOST_PCI_ALWAYS_INLINE unsigned int
vhost_pci_tx_batch(struct vhost_pci_txq *txq, struct rte_mbuf **bufs, unsigned int max,
		const unsigned int kind)
{
	struct vhost_pci_vring *vr = txq->vr;
	const uint32_t offset = vr->hdr_len;
	uint32_t lens[VHOST_PCI_BATCH];
	struct vhost_pci_batch batch;
	unsigned int nb, i;

	nb = txq->take(vr, &batch, max);
	for (i = 0; i < nb; i++) {
		rte_prefetch0_write(batch.va[i]);
		rte_prefetch0(rte_pktmbuf_mtod(bufs[i], void *));
	}
	for (i = 0; i < nb; i++) {
		const struct rte_mbuf *m = bufs[i];
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
		uint32_t len = m->data_len;

		lens[i] = offset + len;
		if (unlikely(lens[i] > batch.len[i] || m->nb_segs != 1 ||
				    vhost_pci_tx_has_offload(m)))
			break;
		vhost_pci_tx_plain_header(batch.va[i], vr->hdr_len);
		vhost_pci_copy(batch.va[i] + offset, data, len);
		vhost_pci_stats_count(&txq->stats.q, data, len);
	}
	vhost_pci_batch_commit(vr, i, kind);
	vhost_pci_batch_put(vr, &batch, lens, i, kind);
	return i;
}

#endif /* VHOST_PCI_TX_BATCH_H */
