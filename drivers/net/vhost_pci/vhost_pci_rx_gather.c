/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_rx_gather.h"

#include <string.h>

bool
vhost_pci_rx_refill(struct vhost_pci_rxq *rxq)
{
	if (rte_mempool_get_bulk(rxq->pool, (void **)rxq->stash, VHOST_PCI_STASH) == 0)
		rxq->nb_stash = VHOST_PCI_STASH;
	else
		/* What is left in the pool, one by one. */
		while (rxq->nb_stash < VHOST_PCI_STASH &&
				rte_mempool_get(rxq->pool, (void **)&rxq->stash[rxq->nb_stash]) ==
						0)
			rxq->nb_stash++;
	return rxq->nb_stash > 0;
}

void
vhost_pci_rx_read(struct vhost_pci_rx_cursor *cursor, uint8_t *dst, uint32_t len)
{
	uint32_t part;

	while (len > 0) {
		if (cursor->offset == cursor->seg->len) {
			cursor->seg++;
			cursor->offset = 0;
			continue;
		}
		part = RTE_MIN(cursor->seg->len - cursor->offset, len);
		memcpy(dst, cursor->seg->va + cursor->offset, part);
		cursor->offset += part;
		dst += part;
		len -= part;
	}
}

void
vhost_pci_rx_skip(struct vhost_pci_rx_cursor *cursor, uint32_t len)
{
	while (len > cursor->seg->len - cursor->offset) {
		len -= cursor->seg->len - cursor->offset;
		cursor->seg++;
		cursor->offset = 0;
	}
	cursor->offset += len;
}

struct vhost_pci_rx_cursor
vhost_pci_rx_cursor_at(const struct vhost_pci_seg *seg, uint32_t offset)
{
	struct vhost_pci_rx_cursor cursor = { .seg = seg };

	vhost_pci_rx_skip(&cursor, offset);
	return cursor;
}

struct rte_mbuf *
vhost_pci_rx_gather(struct vhost_pci_rxq *rxq, struct vhost_pci_rx_cursor cursor, uint32_t len)
{
	struct rte_mbuf *head = NULL, *last = NULL, *m;
	uint32_t part;

	do {
		m = vhost_pci_rx_mbuf(rxq);
		if (m == NULL) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		part = RTE_MIN(len, rxq->room);
		vhost_pci_rx_read(&cursor, rte_pktmbuf_mtod(m, uint8_t *), part);
		m->data_len = (uint16_t)part;
		m->pkt_len = part;
		if (head == NULL) {
			head = m;
			last = m;
		} else {
			vhost_pci_rx_link(head, &last, m);
		}
		len -= part;
	} while (len > 0);
	return head;
}
