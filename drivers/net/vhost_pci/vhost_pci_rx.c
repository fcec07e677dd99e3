/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <rte_arp.h>
#include <rte_net.h>
#include <rte_prefetch.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_offload.h"
#include "vhost_pci_queue.h"
#include "vhost_pci_rx_batch.h"
#include "vhost_pci_rx_gather.h"

/**
 * Segments held when another chain is taken, at most: what is then left in a vring's table is
 * enough for any one chain.
 */
#define MAX_HELD_SEGS 64

/** Chains thrown away in one call, while the front-end's queue is disabled. */
#define DISCARD_BATCH 256

/** What became of a chain. */
enum rx_result {
	RX_PACKET,  /**< It is in an mbuf; to be returned to the front-end. */
	RX_DROPPED, /**< It was dropped; to be returned to the front-end. */
	RX_STOP,    /**< It can't be handled now, or not at all: back into the ring. */
};

/** Copy a frame into one mbuf. */
VHOST_PCI_ALWAYS_INLINE void
rx_copy(struct rte_mbuf *m, const uint8_t *src, uint32_t len)
{
	vhost_pci_copy(rte_pktmbuf_mtod(m, uint8_t *), src, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
}

/** What an application may have asked for besides the bytes; rare. False: drop the packet. */
static __rte_noinline bool
rx_extras(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	if (hdr != NULL && vhost_pci_rx_offload(rxq, hdr, m) < 0) {
		rxq->stats.bad_header++;
		return false;
	}
	/* A tag needs a whole Ethernet header behind it, and data in the first mbuf. */
	if (rxq->vlan_strip && m->data_len >= RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN &&
			rte_vlan_strip(m) == 0 && m->ol_flags & VHOST_PCI_TX_OFFLOAD_FLAGS)
		/* What was set for its transmission counted the tag. */
		m->l2_len -= RTE_VLAN_HLEN;
	if (rxq->ptype_mask != 0)
		m->packet_type = rte_net_get_ptype(m, NULL, rxq->ptype_mask);
	return true;
}

/** Turn a chain into a packet. */
VHOST_PCI_ALWAYS_INLINE enum rx_result
rx_packet(struct vhost_pci_rxq *rxq, const struct vhost_pci_chain *chain, struct rte_mbuf **buf,
		const bool offload)
{
	struct vhost_pci_vring *vr = rxq->vr;
	const struct vhost_pci_seg *seg = &vr->segs[chain->seg_idx];
	uint32_t offset = vr->hdr_len;
	uint32_t len = chain->len - offset;
	struct virtio_net_hdr hdr;
	bool extras = rxq->vlan_strip || rxq->ptype_mask != 0;
	bool has_hdr = false;
	struct rte_mbuf *m;

	if (unlikely(chain->len < offset)) {
		/* VIRTIO 5.1.6.2: the header is part of every packet. */
		vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_RUNT);
		return RX_STOP;
	}
	if (unlikely(len < RTE_ETHER_HDR_LEN)) {
		rxq->stats.runt++;
		return RX_DROPPED;
	}
	if (unlikely(len > rxq->max_len)) {
		rxq->stats.too_long++;
		return RX_DROPPED;
	}
	if (offload) {
		/* Once, into a copy that is then checked and used. */
		if (likely(seg->len >= sizeof(hdr)))
			memcpy(&hdr, seg->va, sizeof(hdr));
		else
			vhost_pci_rx_read(&(struct vhost_pci_rx_cursor){ .seg = seg },
					(uint8_t *)&hdr, sizeof(hdr));
		has_hdr = (hdr.flags | hdr.gso_type) != 0;
	}
	/* The common layouts: header and frame in one buffer, or one for each. */
	if (seg->len == offset) {
		seg++;
		offset = 0;
	}
	if (likely(seg->len - offset == len && seg->len > offset && len <= rxq->room)) {
		m = vhost_pci_rx_mbuf(rxq);
		if (likely(m != NULL))
			rx_copy(m, seg->va + offset, len);
	} else {
		m = vhost_pci_rx_gather(rxq, (struct vhost_pci_rx_cursor){ seg, offset }, len);
	}
	if (unlikely(m == NULL)) {
		rxq->stats.no_mbuf++;
		return RX_STOP;
	}
	if (unlikely(has_hdr || extras) && !rx_extras(rxq, has_hdr ? &hdr : NULL, m)) {
		rte_pktmbuf_free(m);
		return RX_DROPPED;
	}
	vhost_pci_stats_count(&rxq->stats.q, rte_pktmbuf_mtod(m, uint8_t *), len);
	*buf = m;
	return RX_PACKET;
}

/** Take chains, as many as a batch has, and fetch what they point to. */
VHOST_PCI_ALWAYS_INLINE unsigned int
rx_take(struct vhost_pci_vring *vr, struct vhost_pci_take *takes, unsigned int max,
		const unsigned int kind)
{
	unsigned int nb;

	vhost_pci_ring_drop_segs(vr);
	for (nb = 0; nb < max && vr->nb_segs <= MAX_HELD_SEGS; nb++) {
		takes[nb].before = vhost_pci_ring_save(vr);
		if (vhost_pci_ring_next(vr, &takes[nb].chain, kind, VHOST_PCI_DEQUEUE) <= 0)
			break;
		rte_prefetch0(vr->segs[takes[nb].chain.seg_idx].va);
	}
	return nb;
}

/** The long way of the Rx burst, for chains of any shape. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_any(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs, const unsigned int kind,
		const bool offload)
{
	struct vhost_pci_vring *vr = rxq->vr;
	struct vhost_pci_take takes[VHOST_PCI_BATCH];
	enum rx_result result = RX_PACKET;
	uint16_t nb_rx = 0, nb_seen = 0;
	unsigned int i, nb;

	do {
		nb = rx_take(vr, takes, RTE_MIN(nb_bufs - nb_seen, VHOST_PCI_BATCH), kind);
		for (i = 0; i < nb; i++) {
			result = rx_packet(rxq, &takes[i].chain, &bufs[nb_rx], offload);
			if (unlikely(result == RX_STOP))
				break;
			vhost_pci_ring_put(vr, &takes[i].chain, 0, kind);
			nb_rx += result == RX_PACKET;
		}
		if (unlikely(i < nb))
			vhost_pci_ring_restore(vr, takes[i].before, kind);
		nb_seen += i;
		/* Fewer than were wanted: there are no more, unless they were in many pieces. */
	} while ((nb == VHOST_PCI_BATCH || vr->nb_segs > MAX_HELD_SEGS) && i == nb &&
			nb_seen < nb_bufs);
	return nb_rx;
}

/** The short way, as far as it goes; rings of rare modes have none. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_plain(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind, const bool offload)
{
	uint16_t nb_rx = 0;
	unsigned int nb;

	if ((kind & VHOST_PCI_RING_TRACKED) != 0 || rxq->vlan_strip || rxq->ptype_mask != 0)
		return 0;
	do {
		nb = vhost_pci_rx_batch(rxq, &bufs[nb_rx],
				RTE_MIN(nb_bufs - nb_rx, VHOST_PCI_BATCH), kind, offload);
		nb_rx += nb;
	} while (nb == VHOST_PCI_BATCH && nb_rx < nb_bufs);
	return nb_rx;
}

/** The Rx burst, for one kind of ring, with or without a look at the headers. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_ring(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind, const bool offload)
{
	uint16_t nb_rx;

	vhost_pci_ring_begin(rxq->vr);
	nb_rx = rx_plain(rxq, bufs, nb_bufs, kind, offload);
	if (nb_rx < nb_bufs)
		nb_rx += rx_any(rxq, &bufs[nb_rx], nb_bufs - nb_rx, kind, offload);
	vhost_pci_ring_end(rxq->vr, kind);
	rxq->stats.q.packets += nb_rx;
	return nb_rx;
}

/** An instance of the Rx burst. */
#define RX_INSTANCE(name, kind, offload) \
	static uint16_t name(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs) \
	{ \
		return rx_ring(rxq, bufs, nb_bufs, kind, offload); \
	}

RX_INSTANCE(rx_split, VHOST_PCI_RING_SPLIT, false)
RX_INSTANCE(rx_split_offload, VHOST_PCI_RING_SPLIT, true)
RX_INSTANCE(rx_packed, VHOST_PCI_RING_PACKED, false)
RX_INSTANCE(rx_packed_offload, VHOST_PCI_RING_PACKED, true)
RX_INSTANCE(rx_split_tracked, VHOST_PCI_RING_TRACKED, false)
RX_INSTANCE(rx_split_tracked_offload, VHOST_PCI_RING_TRACKED, true)
RX_INSTANCE(rx_packed_tracked, VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED, false)
RX_INSTANCE(rx_packed_tracked_offload, VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED, true)

vhost_pci_rx_fn_t
vhost_pci_rx_select(const struct vhost_pci_vring *vr, uint64_t features)
{
	static const vhost_pci_rx_fn_t fns[VHOST_PCI_RING_KINDS][2] = {
		[VHOST_PCI_RING_SPLIT] = { rx_split, rx_split_offload },
		[VHOST_PCI_RING_PACKED] = { rx_packed, rx_packed_offload },
		[VHOST_PCI_RING_TRACKED] = { rx_split_tracked, rx_split_tracked_offload },
		[VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED] = { rx_packed_tracked,
				rx_packed_tracked_offload },
	};

	return fns[vhost_pci_vring_kind(vr)][(features & VHOST_PCI_RX_OFFLOAD_FEATURES) != 0];
}

/** Receive the RARP packet that the front-end has asked for; 1, or 0 without an mbuf. */
static __rte_noinline uint16_t
rx_rarp(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs)
{
	/* Partner of the load that found the flag: control writes the address before. */
	struct rte_mbuf *m = rte_net_make_rarp_packet(rxq->pool, &rxq->rarp_mac);

	if (m == NULL)
		return 0;
	__atomic_store_n(&rxq->rarp_pending, false, __ATOMIC_RELEASE);
	m->port = vhost_pci_port_id(rxq->port);
	vhost_pci_stats_count(&rxq->stats.q, rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len);
	rxq->stats.q.packets++;
	bufs[0] = m;
	return 1;
}

uint16_t
vhost_pci_rx_burst(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs)
{
	struct vhost_pci_rxq *rxq = queue;
	uint16_t nb_rx = 0;

	if (unlikely(nb_bufs == 0))
		return 0;
	if (unlikely(__atomic_load_n(&rxq->rarp_pending, __ATOMIC_ACQUIRE)))
		nb_rx = rx_rarp(rxq, bufs);

	switch (vhost_pci_vring_enter(rxq->vr)) {
	case VHOST_PCI_VRING_OFF:
		return nb_rx;
	case VHOST_PCI_VRING_ON:
		nb_rx += rxq->rx(rxq, bufs + nb_rx, nb_bufs - nb_rx);
		break;
	case VHOST_PCI_VRING_DISCARD:
		vhost_pci_ring_discard(rxq->vr, DISCARD_BATCH);
		break;
	}
	vhost_pci_vring_leave(rxq->vr);
	return nb_rx;
}
