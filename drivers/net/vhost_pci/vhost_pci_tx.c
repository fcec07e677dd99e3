/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>

#include <rte_errno.h>
#include <rte_prefetch.h>

#include "vhost_pci_features.h"
#include "vhost_pci_offload.h"
#include "vhost_pci_queue.h"
#include "vhost_pci_tx_batch.h"

/**
 * Segments held when a packet begins, at most: what is then left in a vring's table is enough for
 * any one packet whose chains are in not more than two pieces per slot.
 */
#define MAX_HELD_SEGS 64

/** What became of a packet. */
enum tx_result {
	TX_SENT,
	TX_DROPPED, /**< Can't be sent, now or later. */
	TX_STOP,    /**< The ring has not enough chains at the moment, or is broken. */
};

/** The chains of a burst: those in [head, tail) of txq->takes are taken and not yet used. */
struct tx_chains {
	uint32_t head;
	uint32_t tail;
};

/** A place in a chain, or in a row of chains whose segments follow each other. */
struct tx_cursor {
	const struct vhost_pci_seg *seg;
	uint32_t offset;
};

/** Take one more chain; false if there is none. */
VHOST_PCI_ALWAYS_INLINE bool
tx_take(struct vhost_pci_txq *txq, struct tx_chains *chains, const unsigned int kind)
{
	struct vhost_pci_vring *vr = txq->vr;
	struct vhost_pci_take *take = &txq->takes[chains->tail];

	if (unlikely(chains->tail == txq->nb_takes))
		return false;
	take->before = vhost_pci_ring_save(vr);
	if (vhost_pci_ring_next(vr, &take->chain, kind, VHOST_PCI_ENQUEUE) <= 0)
		return false;
	if (unlikely(take->chain.len < vr->hdr_len)) {
		/* VIRTIO 5.1.6.3.1: a buffer has room for the header, mergeable or not. */
		vhost_pci_ring_restore(vr, take->before, kind);
		vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_RUNT);
		return false;
	}
	chains->tail++;
	return true;
}

/** Put unused chains back and begin with an empty table of segments. */
VHOST_PCI_ALWAYS_INLINE void
tx_rewind(struct vhost_pci_txq *txq, struct tx_chains *chains, const unsigned int kind)
{
	if (chains->head < chains->tail)
		vhost_pci_ring_restore(txq->vr, txq->takes[chains->head].before, kind);
	vhost_pci_ring_drop_segs(txq->vr);
	chains->head = 0;
	chains->tail = 0;
}

/** Write bytes behind a cursor, which is moved; there is room. */
static void
tx_write(struct tx_cursor *cursor, const uint8_t *src, uint32_t len)
{
	uint32_t part;

	while (len > 0) {
		if (cursor->offset == cursor->seg->len) {
			cursor->seg++;
			cursor->offset = 0;
			continue;
		}
		part = RTE_MIN(cursor->seg->len - cursor->offset, len);
		/* What is sent may be the peer's own, and overlap; see vhost_pci_copy(). */
		memmove(cursor->seg->va + cursor->offset, src, part);
		cursor->offset += part;
		src += part;
		len -= part;
	}
}

/** Copy a packet of any shape: header, rewritten headers if any, then the mbuf's rest. */
static __rte_noinline void
tx_scatter(const struct vhost_pci_vring *vr, uint32_t seg_idx, const struct rte_mbuf *m,
		const struct vhost_pci_tx_prefix *prefix)
{
	struct tx_cursor cursor = { .seg = &vr->segs[seg_idx] };
	uint32_t skip = prefix->skip;

	tx_write(&cursor, (const uint8_t *)&prefix->hdr, vr->hdr_len);
	tx_write(&cursor, prefix->headers, prefix->headers_len);
	for (; m != NULL; m = m->next) {
		if (skip >= m->data_len) {
			skip -= m->data_len;
			continue;
		}
		tx_write(&cursor, rte_pktmbuf_mtod_offset(m, const uint8_t *, skip),
				m->data_len - skip);
		skip = 0;
	}
}

/** The bytes of a packet in each of its chains, in order; returns the chains. */
VHOST_PCI_ALWAYS_INLINE void
tx_put(struct vhost_pci_txq *txq, struct tx_chains *chains, uint32_t nb, uint32_t len,
		const unsigned int kind)
{
	const struct vhost_pci_chain *chain;
	uint32_t part;

	for (; nb > 0; nb--) {
		chain = &txq->takes[chains->head++].chain;
		part = RTE_MIN(chain->len, len);
		vhost_pci_ring_put(txq->vr, chain, part, kind);
		len -= part;
	}
}

/**
 * Get chains with room for a packet.
 *
 * @return Their number, from chains->head on; 0 where there are not enough now; -EMSGSIZE where
 *	   there never can be.
 */
VHOST_PCI_ALWAYS_INLINE int
tx_reserve(struct vhost_pci_txq *txq, struct tx_chains *chains, uint32_t len,
		const unsigned int kind, const bool mergeable)
{
	uint32_t room = 0, slots = 0, nb = 0;
	const struct vhost_pci_chain *chain;

	do {
		/* One chain must do without mergeable buffers; with them all there can be. */
		if (unlikely(mergeable ? slots >= txq->vr->size : nb == 1))
			return -EMSGSIZE;
		if (chains->head + nb == chains->tail && !tx_take(txq, chains, kind))
			return 0;
		chain = &txq->takes[chains->head + nb].chain;
		room += chain->len;
		slots += chain->nb_slots;
		nb++;
	} while (unlikely(room < len));
	return (int)nb;
}

/** Send a packet that is more than one copy: several pieces on either side, or offloads. */
static __rte_noinline int
tx_packet_slow(struct vhost_pci_txq *txq, const struct vhost_pci_take *take,
		const struct rte_mbuf *m, uint16_t nb_chains)
{
	struct vhost_pci_tx_prefix prefix;

	prefix.skip = 0;
	prefix.headers_len = 0;
	prefix.sw_csum = false;
	if (!vhost_pci_tx_has_offload(m)) {
		memset(&prefix.hdr, 0, sizeof(prefix.hdr));
	} else if (vhost_pci_tx_offload(txq->features, m, &prefix) < 0) {
		txq->stats.bad_offload++;
		return -1;
	}
	prefix.hdr.num_buffers = nb_chains;
	tx_scatter(txq->vr, take->chain.seg_idx, m, &prefix);
	txq->stats.sw_csum += prefix.sw_csum;
	txq->stats.tso += prefix.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	return 0;
}

/** Send one packet. */
VHOST_PCI_ALWAYS_INLINE enum tx_result
tx_packet(struct vhost_pci_txq *txq, struct tx_chains *chains, const struct rte_mbuf *m,
		const unsigned int kind, const bool mergeable)
{
	struct vhost_pci_vring *vr = txq->vr;
	bool offload = vhost_pci_tx_has_offload(m);
	uint32_t tag_len = unlikely(m->ol_flags & RTE_MBUF_F_TX_VLAN) ? RTE_VLAN_HLEN : 0;
	uint32_t len = vr->hdr_len + m->pkt_len + tag_len;
	const struct vhost_pci_take *take;
	const struct vhost_pci_seg *seg;
	int nb;

	if (unlikely(m->pkt_len > VHOST_PCI_MAX_FRAME_LEN)) {
		txq->stats.too_long++;
		return TX_DROPPED;
	}
	if (unlikely(vr->nb_segs > MAX_HELD_SEGS))
		tx_rewind(txq, chains, kind);
	nb = tx_reserve(txq, chains, len, kind, mergeable);
	if (unlikely(nb <= 0)) {
		txq->stats.too_long += nb < 0;
		return nb < 0 ? TX_DROPPED : TX_STOP;
	}
	take = &txq->takes[chains->head];
	seg = &vr->segs[take->chain.seg_idx];
	if (likely(seg->len >= len && m->nb_segs == 1 && !offload)) {
		vhost_pci_tx_plain_header(seg->va, vr->hdr_len);
		vhost_pci_copy(seg->va + vr->hdr_len, rte_pktmbuf_mtod(m, const uint8_t *),
				m->data_len);
	} else if (tx_packet_slow(txq, take, m, (uint16_t)nb) < 0) {
		return TX_DROPPED;
	}
	tx_put(txq, chains, (uint32_t)nb, len, kind);
	vhost_pci_stats_count(&txq->stats.q, rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len);
	return TX_SENT;
}

/** Take chains for a batch of packets, one for each, and fetch what they point to. */
VHOST_PCI_ALWAYS_INLINE void
tx_prefetch(struct vhost_pci_txq *txq, struct tx_chains *chains, struct rte_mbuf **bufs,
		unsigned int nb, const unsigned int kind)
{
	unsigned int i;

	for (i = 0; i < nb; i++) {
		rte_prefetch0(rte_pktmbuf_mtod(bufs[i], void *));
		if (txq->vr->nb_segs > MAX_HELD_SEGS || !tx_take(txq, chains, kind))
			break;
		rte_prefetch0_write(txq->vr->segs[txq->takes[chains->tail - 1].chain.seg_idx].va);
	}
}

/** The long way of the Tx burst, for packets and chains of any shape. Returns those done with. */
VHOST_PCI_ALWAYS_INLINE uint16_t
tx_any(struct vhost_pci_txq *txq, struct rte_mbuf **bufs, uint16_t nb_bufs, const unsigned int kind,
		const bool mergeable)
{
	struct tx_chains chains = { 0, 0 };
	enum tx_result result = TX_SENT;
	uint16_t nb_done = 0, nb_sent = 0;
	unsigned int i, nb;

	while (nb_done < nb_bufs && result != TX_STOP) {
		nb = RTE_MIN(nb_bufs - nb_done, VHOST_PCI_BATCH);
		tx_rewind(txq, &chains, kind);
		tx_prefetch(txq, &chains, &bufs[nb_done], nb, kind);
		for (i = 0; i < nb; i++) {
			result = tx_packet(txq, &chains, bufs[nb_done], kind, mergeable);
			if (unlikely(result == TX_STOP))
				break;
			nb_sent += result == TX_SENT;
			nb_done++;
		}
	}
	tx_rewind(txq, &chains, kind);
	txq->stats.q.packets += nb_sent;
	return nb_done;
}

/** The short way, as far as it goes; rings of rare modes have none. Returns packets sent. */
VHOST_PCI_ALWAYS_INLINE uint16_t
tx_plain(struct vhost_pci_txq *txq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind)
{
	uint16_t nb_sent = 0;
	unsigned int max, nb;

	if ((kind & VHOST_PCI_RING_TRACKED) != 0)
		return 0;
	do {
		max = RTE_MIN(nb_bufs - nb_sent, VHOST_PCI_BATCH);
		nb = vhost_pci_tx_batch(txq, &bufs[nb_sent], max, kind);
		nb_sent += nb;
	} while (nb == VHOST_PCI_BATCH && nb_sent < nb_bufs);
	txq->stats.q.packets += nb_sent;
	return nb_sent;
}

/** The Tx burst, for one kind of ring, with mergeable buffers or without. */
VHOST_PCI_ALWAYS_INLINE uint16_t
tx_ring(struct vhost_pci_txq *txq, struct rte_mbuf **bufs, uint16_t nb_bufs,
		const unsigned int kind, const bool mergeable)
{
	uint16_t nb_done;

	vhost_pci_ring_begin(txq->vr);
	nb_done = tx_plain(txq, bufs, nb_bufs, kind);
	if (nb_done < nb_bufs)
		nb_done += tx_any(txq, &bufs[nb_done], nb_bufs - nb_done, kind, mergeable);
	vhost_pci_ring_end(txq->vr, kind);
	txq->stats.ring_full += nb_done < nb_bufs;
	vhost_pci_tx_free(bufs, nb_done);
	return nb_done;
}

/** An instance of the Tx burst. */
#define TX_INSTANCE(name, kind, mergeable) \
	static uint16_t name(struct vhost_pci_txq *txq, struct rte_mbuf **bufs, uint16_t nb_bufs) \
	{ \
		return tx_ring(txq, bufs, nb_bufs, kind, mergeable); \
	}

TX_INSTANCE(tx_split, VHOST_PCI_RING_SPLIT, false)
TX_INSTANCE(tx_split_mergeable, VHOST_PCI_RING_SPLIT, true)
TX_INSTANCE(tx_packed, VHOST_PCI_RING_PACKED, false)
TX_INSTANCE(tx_packed_mergeable, VHOST_PCI_RING_PACKED, true)
TX_INSTANCE(tx_split_tracked, VHOST_PCI_RING_TRACKED, false)
TX_INSTANCE(tx_split_tracked_mergeable, VHOST_PCI_RING_TRACKED, true)
TX_INSTANCE(tx_packed_tracked, VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED, false)
TX_INSTANCE(tx_packed_tracked_mergeable, VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED, true)

vhost_pci_tx_fn_t
vhost_pci_tx_select(const struct vhost_pci_vring *vr, uint64_t features)
{
	static const vhost_pci_tx_fn_t fns[VHOST_PCI_RING_KINDS][2] = {
		[VHOST_PCI_RING_SPLIT] = { tx_split, tx_split_mergeable },
		[VHOST_PCI_RING_PACKED] = { tx_packed, tx_packed_mergeable },
		[VHOST_PCI_RING_TRACKED] = { tx_split_tracked, tx_split_tracked_mergeable },
		[VHOST_PCI_RING_PACKED | VHOST_PCI_RING_TRACKED] = { tx_packed_tracked,
				tx_packed_tracked_mergeable },
	};

	return fns[vhost_pci_vring_kind(vr)][(features & VHOST_PCI_FEATURE(NET_F_MRG_RXBUF)) != 0];
}

uint16_t
vhost_pci_tx_burst(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs)
{
	struct vhost_pci_txq *txq = queue;
	uint16_t nb_tx = 0;

	switch (vhost_pci_vring_enter(txq->vr)) {
	case VHOST_PCI_VRING_OFF:
		return 0;
	case VHOST_PCI_VRING_ON:
		nb_tx = txq->tx(txq, bufs, nb_bufs);
		break;
	case VHOST_PCI_VRING_DISCARD:
		/* Its buffers stay the front-end's; there is nothing to send into. */
		break;
	}
	vhost_pci_vring_leave(txq->vr);
	return nb_tx;
}

uint16_t
vhost_pci_tx_prepare(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs)
{
	struct vhost_pci_txq *txq = queue;
	uint64_t features = __atomic_load_n(&txq->features, __ATOMIC_RELAXED);
	uint16_t i;
	int ret;

	for (i = 0; i < nb_bufs; i++) {
		if (!vhost_pci_tx_has_offload(bufs[i]))
			continue;
		ret = vhost_pci_tx_check(features, bufs[i]);
		if (ret < 0) {
			rte_errno = -ret;
			break;
		}
	}
	return i;
}
