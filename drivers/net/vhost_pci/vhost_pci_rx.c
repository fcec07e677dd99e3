/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>

#include <rte_arp.h>
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

/** Copy a frame into one mbuf. */
VHOST_PCI_ALWAYS_INLINE void
rx_copy(struct rte_mbuf *m, const uint8_t *src, uint32_t len)
{
	vhost_pci_copy(rte_pktmbuf_mtod(m, uint8_t *), src, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
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
	if (how & VHOST_PCI_RX_LEND && unlikely(len >= rxq->copybreak)) {
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
	if (how & VHOST_PCI_RX_OFFLOAD) {
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
		m = vhost_pci_rx_finish(rxq, has_hdr ? &hdr : NULL, m);
		if (unlikely(m == NULL))
			return RX_DROPPED | lent;
	}
	vhost_pci_stats_count(&rxq->stats.q, rte_pktmbuf_mtod(m, uint8_t *), len);
	*buf = m;
	return RX_PACKET | lent;
}

/** Chains that the short way looks at where it is resumed: more once it gets them all. */
#define RESUME_BATCH 4

/** A burst on its way. */
struct rx_burst {
	struct rte_mbuf **bufs; /**< Where the next packet goes. */
	uint16_t nb_left;       /**< Chains that may be taken: there is a place for each. */
	uint16_t nb_look;       /**< Chains that the short way looks at first. */
	bool may_batch;         /**< The short way is open. */
	bool is_end;            /**< There is nothing more for this burst. */
};

/** Whether what follows a chain may be for the short way again: that one would have been. */
VHOST_PCI_ALWAYS_INLINE bool
rx_may_resume(const struct vhost_pci_rxq *rxq, const struct rx_burst *burst,
		const struct vhost_pci_chain *chain)
{
	return burst->may_batch && chain->nb_segs == 1 &&
			chain->len <= rxq->plain_len + rxq->vr->hdr_len;
}

/** Take chains, as many as a batch has, and fetch what they point to. */
VHOST_PCI_ALWAYS_INLINE unsigned int
rx_take(struct vhost_pci_rxq *rxq, struct vhost_pci_take *takes, struct rx_burst *burst,
		const unsigned int kind)
{
	const unsigned int max = RTE_MIN(burst->nb_left, VHOST_PCI_BATCH);
	struct vhost_pci_vring *vr = rxq->vr;
	bool ends = false;
	unsigned int nb;

	vhost_pci_ring_drop_segs(vr);
	for (nb = 0; nb < max && vr->nb_segs <= MAX_HELD_SEGS && !ends; nb++) {
		takes[nb].before = vhost_pci_ring_save(vr);
		if (vhost_pci_ring_next(vr, &takes[nb].chain, kind, VHOST_PCI_DEQUEUE) <= 0) {
			burst->is_end = true;
			break;
		}
		rte_prefetch0(vr->segs[takes[nb].chain.seg_idx].va);
		ends = rx_may_resume(rxq, burst, &takes[nb].chain);
	}
	burst->nb_look = RESUME_BATCH;
	return nb;
}

/** Return a chain, in its turn. */
VHOST_PCI_ALWAYS_INLINE void
rx_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain, const unsigned int kind,
		const unsigned int how)
{
	if (how & VHOST_PCI_RX_LEND && unlikely(vhost_pci_lend_is_waiting(vr->lend)))
		vhost_pci_lend_put(vr, chain);
	else
		vhost_pci_ring_put(vr, chain, 0, kind);
}

/** A part of a burst by the long way, for chains of any shape. */
VHOST_PCI_ALWAYS_INLINE void
rx_any(struct vhost_pci_rxq *rxq, struct rx_burst *burst, const unsigned int kind,
		const unsigned int how)
{
	struct vhost_pci_vring *vr = rxq->vr;
	struct vhost_pci_take takes[VHOST_PCI_BATCH];
	unsigned int nb = rx_take(rxq, takes, burst, kind), nb_rx = 0, nb_lent = 0, i, result;

	for (i = 0; i < nb; i++) {
		result = rx_packet(rxq, &takes[i].chain, &burst->bufs[nb_rx], how);
		if (unlikely(result == RX_STOP))
			break;
		if ((result & RX_LENT) == 0)
			rx_put(vr, &takes[i].chain, kind, how);
		nb_lent += result == (RX_PACKET | RX_LENT);
		nb_rx += result & RX_PACKET;
	}
	if (unlikely(i < nb)) {
		vhost_pci_ring_restore(vr, takes[i].before, kind);
		burst->is_end = true;
	}
	burst->bufs += nb_rx;
	burst->nb_left = (uint16_t)(burst->nb_left - i);
	rxq->stats.lent += nb_lent;
	rxq->stats.copied += nb_rx - nb_lent;
}

/** A part of a burst by the short way, as far as it goes. */
VHOST_PCI_ALWAYS_INLINE void
rx_plain(struct vhost_pci_rxq *rxq, struct rx_burst *burst, const unsigned int kind,
		const unsigned int how)
{
	struct vhost_pci_rx_got got;
	unsigned int max;

	do {
		max = RTE_MIN(burst->nb_left, burst->nb_look);
		got = vhost_pci_rx_batch(rxq, burst->bufs, max, kind, how);
		burst->bufs += got.nb_rx;
		burst->nb_left = (uint16_t)(burst->nb_left - got.nb_chains);
		burst->nb_look = VHOST_PCI_BATCH;
	} while (got.nb_chains == max && burst->nb_left > 0);
	burst->is_end = got.is_last;
}

/** Whether the short way is open: not for rings of rare modes, and not for rare wishes. */
VHOST_PCI_ALWAYS_INLINE bool
rx_may_batch(const struct vhost_pci_rxq *rxq, const unsigned int kind, const unsigned int how)
{
	if ((kind & VHOST_PCI_RING_TRACKED) != 0 || rxq->vlan_strip || rxq->ptype_mask != 0)
		return false;
	return (how & VHOST_PCI_RX_LEND) == 0 ||
			(rxq->features & VHOST_PCI_FEATURE(F_IN_ORDER)) == 0 ||
			!vhost_pci_lend_is_waiting(rxq->vr->lend);
}

/** The Rx burst, for one kind of ring, and for what VHOST_PCI_RX_* say. */
VHOST_PCI_ALWAYS_INLINE uint16_t
rx_ring(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind, const unsigned int how)
{
	struct rx_burst burst = { .bufs = bufs, .nb_left = nb_bufs, .nb_look = VHOST_PCI_BATCH };
	struct vhost_pci_vring *vr = rxq->vr;
	uint16_t nb_rx;

	vhost_pci_ring_begin(vr);
	if (how & VHOST_PCI_RX_LEND && vhost_pci_lend_is_due(vr))
		vhost_pci_lend_drain(vr);
	do {
		/* With VIRTIO_F_IN_ORDER the long way, which may lend, may close the short one. */
		burst.may_batch = rx_may_batch(rxq, kind, how);
		if (burst.may_batch)
			rx_plain(rxq, &burst, kind, how);
		if (!burst.is_end && burst.nb_left > 0)
			rx_any(rxq, &burst, kind, how);
	} while (!burst.is_end && burst.nb_left > 0);
	nb_rx = (uint16_t)(burst.bufs - bufs);
	if (how & VHOST_PCI_RX_LEND)
		/* Also where nothing is returned, so that the end of the burst does not do so. */
		vhost_pci_vring_show_avail(vr, (kind & VHOST_PCI_RING_PACKED) != 0);
	vhost_pci_ring_end(vr, kind);
	/* An idle queue's counters are not even looked at. */
	if (nb_rx > 0)
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
	RX_INSTANCE(name##_offload, kind, VHOST_PCI_RX_OFFLOAD) \
	RX_INSTANCE(name##_lend, kind, VHOST_PCI_RX_LEND) \
	RX_INSTANCE(name##_offload_lend, kind, VHOST_PCI_RX_OFFLOAD | VHOST_PCI_RX_LEND)
#define RX_TABLE(name) \
	{ \
		[0] = name##_copy, [VHOST_PCI_RX_OFFLOAD] = name##_offload, \
		[VHOST_PCI_RX_LEND] = name##_lend, \
		[VHOST_PCI_RX_OFFLOAD | VHOST_PCI_RX_LEND] = name##_offload_lend, \
	}

RX_INSTANCES(rx_split, VHOST_PCI_RING_SPLIT)
RX_INSTANCES(rx_packed, VHOST_PCI_RING_PACKED)
RX_INSTANCES(rx_split_tracked, VHOST_PCI_RING_TRACKED)
RX_INSTANCES(rx_packed_tracked, VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED)

vhost_pci_rx_fn_t
vhost_pci_rx_select(const struct vhost_pci_vring *vr, uint64_t features)
{
	static const vhost_pci_rx_fn_t fns[VHOST_PCI_RING_KINDS][VHOST_PCI_RX_HOWS] = {
		[VHOST_PCI_RING_SPLIT] = RX_TABLE(rx_split),
		[VHOST_PCI_RING_PACKED] = RX_TABLE(rx_packed),
		[VHOST_PCI_RING_TRACKED] = RX_TABLE(rx_split_tracked),
		[VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED] = RX_TABLE(rx_packed_tracked),
	};
	unsigned int how = (features & VHOST_PCI_RX_OFFLOAD_FEATURES) != 0 ? VHOST_PCI_RX_OFFLOAD
									   : 0;

	if (vr->lend != NULL)
		how |= VHOST_PCI_RX_LEND;
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
	__atomic_fetch_and(&rxq->asked, (uint8_t)~VHOST_PCI_RXQ_ASKED_RARP, __ATOMIC_RELEASE);
	m->port = vhost_pci_port_id(rxq->port);
	vhost_pci_stats_count(&rxq->stats.q, rte_pktmbuf_mtod(m, uint8_t *), m->pkt_len);
	rxq->stats.q.packets++;
	bufs[0] = m;
	return 1;
}

/** End of a burst: mbufs that were not needed go back. */
VHOST_PCI_ALWAYS_INLINE void
rx_unstash(struct vhost_pci_rxq *rxq)
{
	if (likely(rxq->nb_stash == 0))
		return;
	rte_mempool_put_bulk(rxq->pool, (void **)rxq->stash, rxq->nb_stash);
	rxq->nb_stash = 0;
}

/** Do what control has asked of the next burst; the packets that come of it. */
static __rte_noinline uint16_t
rx_asked(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint32_t asked)
{
	/* Partner: vhost_pci_rxq_burst_is_due(), which then sees what this thread has posted. */
	if ((asked & VHOST_PCI_RXQ_ASKED_BURST) != 0)
		__atomic_fetch_and(&rxq->asked, (uint8_t)~VHOST_PCI_RXQ_ASKED_BURST,
				__ATOMIC_RELEASE);
	return (asked & VHOST_PCI_RXQ_ASKED_RARP) != 0 ? rx_rarp(rxq, bufs) : 0;
}

uint16_t
vhost_pci_rx_burst(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs)
{
	struct vhost_pci_rxq *rxq = queue;
	uint16_t nb_rx = 0;
	uint32_t asked;

	if (unlikely(nb_bufs == 0))
		return 0;
	asked = __atomic_load_n(&rxq->asked, __ATOMIC_ACQUIRE);
	if (unlikely(asked != 0))
		nb_rx = rx_asked(rxq, bufs, asked);

	switch (vhost_pci_vring_enter(rxq->vr)) {
	case VHOST_PCI_VRING_OFF:
		return nb_rx;
	case VHOST_PCI_VRING_ON:
		nb_rx += rxq->rx(rxq, bufs + nb_rx, nb_bufs - nb_rx);
		rx_unstash(rxq);
		break;
	case VHOST_PCI_VRING_DISCARD:
		vhost_pci_ring_discard(rxq->vr, DISCARD_BATCH);
		break;
	}
	vhost_pci_vring_leave(rxq->vr);
	return nb_rx;
}
