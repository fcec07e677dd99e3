/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>

#include <rte_arp.h>
#include <rte_net.h>
#include <rte_prefetch.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_lend.h"
#include "vhost_pci_offload.h"
#include "vhost_pci_rx_batch.h"
#include "vhost_pci_zcopy.h"

/**
 * Segments held when another chain is taken, at most: what is then left in a vring's table is
 * enough for any one chain.
 */
#define MAX_HELD_SEGS 64

/** Chains thrown away in one call, while the front-end's queue is disabled. */
#define DISCARD_BATCH 256

/** What became of a chain, as bits. */
#define RX_DROPPED 0u        /**< It was dropped; to be returned to the front-end. */
#define RX_PACKET  (1u << 0) /**< It is in an mbuf. */
#define RX_LENT    (1u << 1) /**< Not to be returned here: it was lent, and comes back later. */
#define RX_STOP    (1u << 2) /**< It can't be handled now, or not at all: back into the ring. */

/** What a burst is made for besides the kind of ring, as bits of a constant argument. */
#define RX_OFFLOAD (1u << 0) /**< Look at the virtio-net headers. */
#define RX_LEND    (1u << 1) /**< The vring has a lending. */
#define RX_HOWS    4         /**< For tables indexed by these. */

/** Copy a frame into one mbuf. */
VHOST_PCI_ALWAYS_INLINE void
rx_copy(struct rte_mbuf *m, const uint8_t *src, uint32_t len)
{
	vhost_pci_copy(rte_pktmbuf_mtod(m, uint8_t *), src, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
}

/**
 * What an application may have asked for besides the bytes; rare.
 *
 * @return 0; -EBADMSG: drop the packet; -EROFS: where something is to be written the packet is the
 *	   front-end's memory, a copy is needed.
 */
static __rte_noinline int
rx_extras(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	bool is_ours = !RTE_MBUF_HAS_EXTBUF(m);
	int ret;

	/* Looked at once: in the front-end's memory the tag may come and go. */
	if (rxq->vlan_strip && !is_ours &&
			rte_pktmbuf_mtod(m, const struct rte_ether_hdr *)->ether_type ==
					rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN))
		return -EROFS;
	ret = hdr != NULL ? vhost_pci_rx_offload(rxq, hdr, m) : 0;
	if (ret < 0)
		return ret;
	/* A tag needs a whole Ethernet header behind it, and data in the first mbuf. */
	if (rxq->vlan_strip && is_ours && m->data_len >= RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN &&
			rte_vlan_strip(m) == 0 && m->ol_flags & VHOST_PCI_TX_OFFLOAD_FLAGS)
		/* What was set for its transmission counted the tag. */
		m->l2_len -= RTE_VLAN_HLEN;
	if (rxq->ptype_mask != 0)
		m->packet_type = rte_net_get_ptype(m, NULL, rxq->ptype_mask);
	return 0;
}

/** Do what is rare for a packet, and with a copy of it if need be; NULL where it is dropped. */
static __rte_noinline struct rte_mbuf *
rx_finish(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	int ret = rx_extras(rxq, hdr, m);
	struct rte_mbuf *copy;

	if (ret == -EROFS) {
		copy = rte_pktmbuf_copy(m, rxq->pool, 0, UINT32_MAX);
		rte_pktmbuf_free(m);
		if (copy == NULL) {
			rxq->stats.no_mbuf++;
			return NULL;
		}
		m = copy;
		m->port = vhost_pci_port_id(rxq->port);
		ret = rx_extras(rxq, hdr, m);
	}
	if (ret == 0)
		return m;
	rxq->stats.bad_header++;
	rte_pktmbuf_free(m);
	return NULL;
}

/** Make a packet of a chain: copy it or, from a length on, lend the chain, which is then told. */
VHOST_PCI_ALWAYS_INLINE struct rte_mbuf *
rx_fetch(struct vhost_pci_rxq *rxq, const struct vhost_pci_chain *chain, unsigned int *lent,
		const unsigned int how)
{
	const struct vhost_pci_vring *vr = rxq->vr;
	const struct vhost_pci_seg *seg = &vr->segs[chain->seg_idx];
	uint32_t offset = vr->hdr_len;
	uint32_t len = chain->len - offset;
	struct rte_mbuf *m;

	/* The common layouts: header and frame in one buffer, or one for each. */
	if (seg->len == offset) {
		seg++;
		offset = 0;
	}
	if (how & RX_LEND && unlikely(len >= rxq->copybreak)) {
		m = vhost_pci_zcopy_rx(rxq, chain, vhost_pci_rx_cursor_at(seg, offset), len);
		if (likely(m != NULL)) {
			*lent = RX_LENT;
			return m;
		}
	}
	if (unlikely(seg->len - offset != len || seg->len <= offset || len > rxq->room))
		return vhost_pci_rx_gather(rxq, vhost_pci_rx_cursor_at(seg, offset), len);
	m = vhost_pci_rx_mbuf(rxq);
	if (likely(m != NULL))
		rx_copy(m, seg->va + offset, len);
	return m;
}

/** Turn a chain into a packet. Returns RX_*. */
VHOST_PCI_ALWAYS_INLINE unsigned int
rx_packet(struct vhost_pci_rxq *rxq, const struct vhost_pci_chain *chain, struct rte_mbuf **buf,
		const unsigned int how)
{
	struct vhost_pci_vring *vr = rxq->vr;
	const struct vhost_pci_seg *seg = &vr->segs[chain->seg_idx];
	uint32_t len = chain->len - vr->hdr_len;
	struct virtio_net_hdr hdr;
	bool extras = rxq->vlan_strip || rxq->ptype_mask != 0;
	bool has_hdr = false;
	unsigned int lent = 0;
	struct rte_mbuf *m;

	if (unlikely(chain->len < vr->hdr_len)) {
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
	if (how & RX_OFFLOAD) {
		/* Once, into a copy that is then checked and used. */
		if (likely(seg->len >= sizeof(hdr)))
			memcpy(&hdr, seg->va, sizeof(hdr));
		else
			vhost_pci_rx_read(&(struct vhost_pci_rx_cursor){ .seg = seg },
					(uint8_t *)&hdr, sizeof(hdr));
		has_hdr = (hdr.flags | hdr.gso_type) != 0;
	}
	m = rx_fetch(rxq, chain, &lent, how);
	if (unlikely(m == NULL)) {
		rxq->stats.no_mbuf++;
		return RX_STOP;
	}
	if (unlikely(has_hdr || extras)) {
		m = rx_finish(rxq, has_hdr ? &hdr : NULL, m);
		if (unlikely(m == NULL))
			return RX_DROPPED | lent;
	}
	vhost_pci_stats_count(&rxq->stats.q, rte_pktmbuf_mtod(m, uint8_t *), len);
	*buf = m;
	return RX_PACKET | lent;
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

/** Return a chain, in its turn. */
VHOST_PCI_ALWAYS_INLINE void
rx_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, const unsigned int kind,
		const unsigned int how)
{
	if (how & RX_LEND && unlikely(vhost_pci_lend_is_waiting(vr->lend)))
		vhost_pci_lend_put(vr, chain);
	else
		vhost_pci_ring_put(vr, chain, 0, kind);
}

/** The long way of the Rx burst, for chains of any shape. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_any(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs, const unsigned int kind,
		const unsigned int how)
{
	struct vhost_pci_vring *vr = rxq->vr;
	struct vhost_pci_take takes[VHOST_PCI_BATCH];
	uint16_t nb_rx = 0, nb_seen = 0, nb_lent = 0;
	unsigned int i, nb, result;

	do {
		nb = rx_take(vr, takes, RTE_MIN(nb_bufs - nb_seen, VHOST_PCI_BATCH), kind);
		for (i = 0; i < nb; i++) {
			result = rx_packet(rxq, &takes[i].chain, &bufs[nb_rx], how);
			if (unlikely(result == RX_STOP))
				break;
			if ((result & RX_LENT) == 0)
				rx_put(vr, &takes[i].chain, kind, how);
			nb_lent += result == (RX_PACKET | RX_LENT);
			nb_rx += result & RX_PACKET;
		}
		if (unlikely(i < nb))
			vhost_pci_ring_restore(vr, takes[i].before, kind);
		nb_seen += i;
		/* Fewer than were wanted: there are no more, unless they were in many pieces. */
	} while ((nb == VHOST_PCI_BATCH || vr->nb_segs > MAX_HELD_SEGS) && i == nb &&
			nb_seen < nb_bufs);
	rxq->stats.lent += nb_lent;
	rxq->stats.copied += nb_rx - nb_lent;
	return nb_rx;
}

/** The short way, as far as it goes; rings of rare modes have none. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_plain(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind, const unsigned int how)
{
	uint16_t nb_rx = 0;
	unsigned int nb;

	if ((kind & VHOST_PCI_RING_TRACKED) != 0 || rxq->vlan_strip || rxq->ptype_mask != 0)
		return 0;
	if (how & RX_LEND && unlikely(vhost_pci_lend_is_waiting(rxq->vr->lend)))
		return 0;
	do {
		nb = vhost_pci_rx_batch(rxq, &bufs[nb_rx],
				RTE_MIN(nb_bufs - nb_rx, VHOST_PCI_BATCH), kind, how & RX_OFFLOAD);
		nb_rx += nb;
	} while (nb == VHOST_PCI_BATCH && nb_rx < nb_bufs);
	rxq->stats.copied += nb_rx;
	return nb_rx;
}

/** The Rx burst, for one kind of ring, and for what RX_OFFLOAD and RX_LEND say. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_ring(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind, const unsigned int how)
{
	struct vhost_pci_vring *vr = rxq->vr;
	uint16_t nb_rx;

	vhost_pci_ring_begin(vr);
	if (how & RX_LEND && vhost_pci_lend_is_due(vr))
		vhost_pci_lend_drain(vr);
	nb_rx = rx_plain(rxq, bufs, nb_bufs, kind, how);
	if (nb_rx < nb_bufs)
		nb_rx += rx_any(rxq, &bufs[nb_rx], nb_bufs - nb_rx, kind, how);
	if (how & RX_LEND)
		/* Also where nothing is returned, so that the end of the burst does not do so. */
		vhost_pci_vring_show_avail(vr, (kind & VHOST_PCI_RING_PACKED) != 0);
	vhost_pci_ring_end(vr, kind);
	rxq->stats.q.packets += nb_rx;
	return nb_rx;
}

/** The instances of the Rx burst for one kind of ring. */
#define RX_INSTANCE(name, kind, how) \
	static uint16_t name(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs) \
	{ \
		return rx_ring(rxq, bufs, nb_bufs, kind, how); \
	}
#define RX_INSTANCES(name, kind) \
	RX_INSTANCE(name##_copy, kind, 0) \
	RX_INSTANCE(name##_offload, kind, RX_OFFLOAD) \
	RX_INSTANCE(name##_lend, kind, RX_LEND) \
	RX_INSTANCE(name##_offload_lend, kind, RX_OFFLOAD | RX_LEND)
#define RX_TABLE(name) \
	{ \
		[0] = name##_copy, [RX_OFFLOAD] = name##_offload, [RX_LEND] = name##_lend, \
		[RX_OFFLOAD | RX_LEND] = name##_offload_lend, \
	}

RX_INSTANCES(rx_split, VHOST_PCI_RING_SPLIT)
RX_INSTANCES(rx_packed, VHOST_PCI_RING_PACKED)
RX_INSTANCES(rx_split_tracked, VHOST_PCI_RING_TRACKED)
RX_INSTANCES(rx_packed_tracked, VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED)

vhost_pci_rx_fn_t
vhost_pci_rx_select(const struct vhost_pci_vring *vr, uint64_t features)
{
	static const vhost_pci_rx_fn_t fns[VHOST_PCI_RING_KINDS][RX_HOWS] = {
		[VHOST_PCI_RING_SPLIT] = RX_TABLE(rx_split),
		[VHOST_PCI_RING_PACKED] = RX_TABLE(rx_packed),
		[VHOST_PCI_RING_TRACKED] = RX_TABLE(rx_split_tracked),
		[VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED] = RX_TABLE(rx_packed_tracked),
	};
	unsigned int how = (features & VHOST_PCI_RX_OFFLOAD_FEATURES) != 0 ? RX_OFFLOAD : 0;

	if (vr->lend != NULL)
		how |= RX_LEND;
	return fns[vhost_pci_vring_kind(vr)][how];
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
