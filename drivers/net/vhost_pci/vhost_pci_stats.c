/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_queue.h"

/** A counter of a queue by its place in the queue's statistics. */
struct xstat {
	const char *name;
	size_t offset;
};

#define SIZE_XSTAT(type, name, class) \
	{ \
		"size_" name "_packets", offsetof(struct type, q.size[VHOST_PCI_SIZE_##class]) \
	}
#define COMMON_XSTATS(type) \
	{ "good_packets", offsetof(struct type, q.packets) }, \
			{ "good_bytes", offsetof(struct type, q.bytes) }, \
			{ "multicast_packets", offsetof(struct type, q.multicast) }, \
			{ "broadcast_packets", offsetof(struct type, q.broadcast) }, \
			{ "undersize_packets", \
				offsetof(struct type, q.size[VHOST_PCI_SIZE_UNDER_64]) }, \
			SIZE_XSTAT(type, "64", 64), SIZE_XSTAT(type, "65_127", 65), \
			SIZE_XSTAT(type, "128_255", 128), SIZE_XSTAT(type, "256_511", 256), \
			SIZE_XSTAT(type, "512_1023", 512), SIZE_XSTAT(type, "1024_1518", 1024), \
			SIZE_XSTAT(type, "1519_max", 1519)

static const struct xstat rxq_xstats[] = {
	COMMON_XSTATS(vhost_pci_rxq_stats),
	{ "no_mbuf", offsetof(struct vhost_pci_rxq_stats, no_mbuf) },
	{ "runt_dropped", offsetof(struct vhost_pci_rxq_stats, runt) },
	{ "too_long_dropped", offsetof(struct vhost_pci_rxq_stats, too_long) },
	{ "bad_header_dropped", offsetof(struct vhost_pci_rxq_stats, bad_header) },
	{ "sw_csum_packets", offsetof(struct vhost_pci_rxq_stats, sw_csum) },
	{ "lro_packets", offsetof(struct vhost_pci_rxq_stats, lro) },
	{ "lent", offsetof(struct vhost_pci_rxq_stats, lent) },
	{ "copied", offsetof(struct vhost_pci_rxq_stats, copied) },
	{ "starved", offsetof(struct vhost_pci_rxq_stats, starved) },
};

static const struct xstat txq_xstats[] = {
	COMMON_XSTATS(vhost_pci_txq_stats),
	{ "ring_full", offsetof(struct vhost_pci_txq_stats, ring_full) },
	{ "too_long_dropped", offsetof(struct vhost_pci_txq_stats, too_long) },
	{ "bad_offload_dropped", offsetof(struct vhost_pci_txq_stats, bad_offload) },
	{ "sw_csum_packets", offsetof(struct vhost_pci_txq_stats, sw_csum) },
	{ "tso_packets", offsetof(struct vhost_pci_txq_stats, tso) },
};

/** What each queue's vring counts, after the queue's own. */
static const struct xstat vring_xstats[] = {
	{ "guest_notifications", offsetof(struct vhost_pci_vring_stats, notifications) },
	{ "discarded_packets", offsetof(struct vhost_pci_vring_stats, discarded) },
	{ "iotlb_misses", offsetof(struct vhost_pci_vring_stats, iotlb_misses) },
	{ "unlogged_writes", offsetof(struct vhost_pci_vring_stats, log_beyond) },
};

/** What an Rx queue's vring is at the moment: no reset changes it. */
static const struct xstat held_xstats[] = {
	{ "held", offsetof(struct vhost_pci_vring, nb_lent) },
};

/** Of the session and of the port. */
static const struct xstat session_xstats[] = {
	{ "frontend_messages", offsetof(struct vhost_pci_session_stats, messages) },
	{ "frontend_malformed", offsetof(struct vhost_pci_session_stats, malformed) },
	{ "frontend_rejected", offsetof(struct vhost_pci_session_stats, rejected) },
	{ "frontend_broken_vrings", offsetof(struct vhost_pci_session_stats, broken_vrings) },
	{ "frontend_lost_memory", offsetof(struct vhost_pci_session_stats, lost_memory) },
	{ "frontend_sessions", offsetof(struct vhost_pci_session_stats, connections) },
	{ "frontend_iotlb_updates", offsetof(struct vhost_pci_session_stats, iotlb_updates) },
	{ "frontend_iotlb_invalidates",
			offsetof(struct vhost_pci_session_stats, iotlb_invalidates) },
	{ "frontend_iotlb_refused", offsetof(struct vhost_pci_session_stats, iotlb_refused) },
};

static const struct xstat port_xstats[] = {
	{ "frontend_connections", offsetof(struct vhost_pci_port_stats, connections) },
	{ "frontend_refused", offsetof(struct vhost_pci_port_stats, refused) },
	{ "frontend_not_accepted", offsetof(struct vhost_pci_port_stats, not_accepted) },
	{ "frontend_unread_packets", offsetof(struct vhost_pci_port_stats, unread) },
	{ "frontend_lost", offsetof(struct vhost_pci_port_stats, lost) },
	{ "frontend_closed", offsetof(struct vhost_pci_port_stats, closed) },
};

/** One counter, as it is or since the reset; written by the polling thread at any time. */
static uint64_t
read_counter(const void *stats, const void *base, size_t offset)
{
	const uint64_t *now = RTE_PTR_ADD(stats, offset);
	uint64_t then = 0;

	/* The base first: a reset in between makes the difference stale, but never negative.
	 * Partner: the store in copy_counters().
	 */
	if (base != NULL)
		then = __atomic_load_n((const uint64_t *)RTE_PTR_ADD(base, offset),
				__ATOMIC_ACQUIRE);
	return __atomic_load_n(now, __ATOMIC_RELAXED) - then;
}

/** Copy all counters of a structure that is made of nothing else. */
static void
copy_counters(void *dst, const void *src, size_t size)
{
	size_t offset;

	for (offset = 0; offset < size; offset += sizeof(uint64_t))
		__atomic_store_n((uint64_t *)RTE_PTR_ADD(dst, offset),
				read_counter(src, NULL, offset), __ATOMIC_RELEASE);
}

#define RXQ_COUNTER(rxq, field) \
	read_counter(&(rxq)->stats, &(rxq)->stats_base, offsetof(struct vhost_pci_rxq_stats, field))
#define TXQ_COUNTER(txq, field) \
	read_counter(&(txq)->stats, &(txq)->stats_base, offsetof(struct vhost_pci_txq_stats, field))

static void
rxq_add(const struct vhost_pci_rxq *rxq, struct rte_eth_stats *stats, VHOST_PCI_QUEUE_STATS *qstats)
{
	uint64_t packets = RXQ_COUNTER(rxq, q.packets);
	uint64_t bytes = RXQ_COUNTER(rxq, q.bytes);
	uint64_t errors = RXQ_COUNTER(rxq, runt) + RXQ_COUNTER(rxq, too_long) +
			RXQ_COUNTER(rxq, bad_header);

	stats->ipackets += packets;
	stats->ibytes += bytes;
	stats->ierrors += errors;
	stats->rx_nombuf += RXQ_COUNTER(rxq, no_mbuf);
	if (qstats != NULL && rxq->queue_id < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
		qstats->q_ipackets[rxq->queue_id] = packets;
		qstats->q_ibytes[rxq->queue_id] = bytes;
		qstats->q_errors[rxq->queue_id] = errors;
	}
}

static void
txq_add(const struct vhost_pci_txq *txq, struct rte_eth_stats *stats, VHOST_PCI_QUEUE_STATS *qstats)
{
	uint64_t packets = TXQ_COUNTER(txq, q.packets);
	uint64_t bytes = TXQ_COUNTER(txq, q.bytes);

	stats->opackets += packets;
	stats->obytes += bytes;
	stats->oerrors += TXQ_COUNTER(txq, too_long) + TXQ_COUNTER(txq, bad_offload);
	if (qstats != NULL && txq->queue_id < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
		qstats->q_opackets[txq->queue_id] = packets;
		qstats->q_obytes[txq->queue_id] = bytes;
	}
}

int
vhost_pci_stats_get(struct rte_eth_dev *dev, VHOST_PCI_STATS_GET_ARGS)
{
	VHOST_PCI_QUEUE_STATS *queue_stats = VHOST_PCI_QSTATS(stats, qstats);
	uint16_t i;

	for (i = 0; i < dev->data->nb_rx_queues; i++)
		if (dev->data->rx_queues[i] != NULL)
			rxq_add(dev->data->rx_queues[i], stats, queue_stats);
	for (i = 0; i < dev->data->nb_tx_queues; i++)
		if (dev->data->tx_queues[i] != NULL)
			txq_add(dev->data->tx_queues[i], stats, queue_stats);
	return 0;
}

int
vhost_pci_stats_reset(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	struct vhost_pci_rxq *rxq;
	struct vhost_pci_txq *txq;
	uint16_t i;

	copy_counters(&port->stats_base, &port->stats, sizeof(port->stats));
	copy_counters(&port->session_base, vhost_pci_session_stats(port->session),
			sizeof(port->session_base));
	for (i = 0; i < dev->data->nb_rx_queues; i++) {
		rxq = dev->data->rx_queues[i];
		if (rxq == NULL)
			continue;
		copy_counters(&rxq->stats_base, &rxq->stats, sizeof(rxq->stats));
		copy_counters(&rxq->vring_base, &rxq->vr->stats, sizeof(rxq->vring_base));
	}
	for (i = 0; i < dev->data->nb_tx_queues; i++) {
		txq = dev->data->tx_queues[i];
		if (txq == NULL)
			continue;
		copy_counters(&txq->stats_base, &txq->stats, sizeof(txq->stats));
		copy_counters(&txq->vring_base, &txq->vr->stats, sizeof(txq->vring_base));
	}
	return 0;
}

/** A table of counters, and where they are. */
struct xstats_source {
	const struct xstat *table;
	unsigned int nb;
	const void *stats;
	const void *base; /**< What they were at the last reset. */
};

/** An array of extended statistics on its way of being filled. */
struct xstats_out {
	struct rte_eth_xstat *values;     /**< NULL: not asked for. */
	struct rte_eth_xstat_name *names; /**< NULL: not asked for. */
	unsigned int nb_max;
	unsigned int nb;
};

static void
out_add(struct xstats_out *out, const char *prefix, const struct xstats_source *source)
{
	unsigned int i;

	for (i = 0; i < source->nb; i++, out->nb++) {
		if (out->nb >= out->nb_max)
			continue;
		if (out->values != NULL) {
			out->values[out->nb].id = out->nb;
			out->values[out->nb].value = read_counter(source->stats, source->base,
					source->table[i].offset);
		}
		if (out->names != NULL)
			snprintf(out->names[out->nb].name, RTE_ETH_XSTATS_NAME_SIZE, "%s%s", prefix,
					source->table[i].name);
	}
}

static void
out_add_rxq(struct xstats_out *out, const struct vhost_pci_rxq *rxq)
{
	const struct xstats_source sources[] = {
		{ rxq_xstats, RTE_DIM(rxq_xstats), &rxq->stats, &rxq->stats_base },
		{ vring_xstats, RTE_DIM(vring_xstats), &rxq->vr->stats, &rxq->vring_base },
		{ held_xstats, RTE_DIM(held_xstats), rxq->vr, NULL },
	};
	char prefix[16];
	unsigned int i;

	snprintf(prefix, sizeof(prefix), "rx_q%u_", rxq->queue_id);
	for (i = 0; i < RTE_DIM(sources); i++)
		out_add(out, prefix, &sources[i]);
}

static void
out_add_txq(struct xstats_out *out, const struct vhost_pci_txq *txq)
{
	const struct xstats_source sources[] = {
		{ txq_xstats, RTE_DIM(txq_xstats), &txq->stats, &txq->stats_base },
		{ vring_xstats, RTE_DIM(vring_xstats), &txq->vr->stats, &txq->vring_base },
	};
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "tx_q%u_", txq->queue_id);
	out_add(out, prefix, &sources[0]);
	out_add(out, prefix, &sources[1]);
}

static void
out_add_all(struct rte_eth_dev *dev, struct xstats_out *out)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	const struct xstats_source sources[] = {
		{ session_xstats, RTE_DIM(session_xstats), vhost_pci_session_stats(port->session),
				&port->session_base },
		{ port_xstats, RTE_DIM(port_xstats), &port->stats, &port->stats_base },
	};
	uint16_t i;

	for (i = 0; i < dev->data->nb_rx_queues; i++)
		if (dev->data->rx_queues[i] != NULL)
			out_add_rxq(out, dev->data->rx_queues[i]);
	for (i = 0; i < dev->data->nb_tx_queues; i++)
		if (dev->data->tx_queues[i] != NULL)
			out_add_txq(out, dev->data->tx_queues[i]);
	out_add(out, "", &sources[0]);
	out_add(out, "", &sources[1]);
}

int
vhost_pci_xstats_get(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int nb)
{
	struct xstats_out out = { .values = xstats, .nb_max = xstats == NULL ? 0 : nb };

	out_add_all(dev, &out);
	return (int)out.nb;
}

int
vhost_pci_xstats_get_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names,
		unsigned int nb)
{
	struct xstats_out out = { .names = names, .nb_max = names == NULL ? 0 : nb };

	out_add_all(dev, &out);
	return (int)out.nb;
}
