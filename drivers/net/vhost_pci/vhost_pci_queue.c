/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_queue.h"

#include <errno.h>
#include <unistd.h>

#include <rte_malloc.h>
#include <rte_vect.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_zcopy.h"

/** Chains that one packet takes at most: each has room for the header at least, 10 bytes. */
#define MAX_PACKET_CHAINS (VHOST_PCI_MAX_FRAME_LEN / 10 + 2)

/** Chains that may be taken before a packet looks for its own (vhost_pci_tx.c). */
#define SPARE_CHAINS (2 * VHOST_PCI_BATCH + 2)

/** The part of an mbuf that is the same for each fresh one. */
static uint64_t
mbuf_rearm(uint16_t port_id)
{
	struct rte_mbuf m;
	uint64_t rearm;

	memset(&m, 0, sizeof(m));
	m.data_off = RTE_PKTMBUF_HEADROOM;
	m.nb_segs = 1;
	m.port = port_id;
	rte_mbuf_refcnt_set(&m, 1);
	memcpy(&rearm, RTE_PTR_ADD(&m, VHOST_PCI_MBUF_REARM), sizeof(rearm));
	return rearm;
}

/** Layers of the packet type that a queue sets; see vhost_pci_ptypes_want(). */
static uint32_t
ptype_mask(const struct vhost_pci_port *port, uint64_t offloads)
{
	const uint64_t kinds = RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO;

	if (port->ptypes_wanted)
		return port->ptype_mask;
	return (offloads & kinds) != 0 ? RTE_PTYPE_ALL_MASK : 0;
}

int
vhost_pci_rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue_id, uint16_t nb_desc,
		unsigned int socket_id, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	struct vhost_pci_rxq *rxq;
	uint16_t data_room = rte_pktmbuf_data_room_size(pool);

	if (data_room < RTE_PKTMBUF_HEADROOM + RTE_ETHER_MIN_LEN) {
		DRV_LOG(ERR, "%s: mbufs of %u bytes are too small", vhost_pci_port_name(port),
				data_room);
		return -EINVAL;
	}
	/* An mbuf that has lost its buffer to a front-end's memory never gets it back: detaching
	 * knows them by their pool, and leaves them as they are.
	 */
	if ((rte_pktmbuf_priv_flags(pool) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF) != 0) {
		DRV_LOG(ERR, "%s: mbufs with pinned external buffers are not supported",
				vhost_pci_port_name(port));
		return -ENOTSUP;
	}
	rxq = rte_zmalloc_socket("vhost_pci_rxq", sizeof(*rxq), RTE_CACHE_LINE_SIZE,
			(int)socket_id);
	if (rxq == NULL)
		return -ENOMEM;
	rxq->port = port;
	rxq->queue_id = queue_id;
	rxq->nb_desc = nb_desc;
	rxq->drop_en = conf->rx_drop_en;
	rxq->is_deferred = conf->rx_deferred_start != 0;
	rxq->pool = pool;
	rxq->rearm = mbuf_rearm(vhost_pci_port_id(port));
	rxq->room = data_room - RTE_PKTMBUF_HEADROOM;
	rxq->offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;
	/* Who lets front-ends send what is yet to be segmented wants to have it as well. */
	rxq->max_len = port->config.tso ||
					rxq->offloads &
							(RTE_ETH_RX_OFFLOAD_SCATTER |
									RTE_ETH_RX_OFFLOAD_TCP_LRO)
			? VHOST_PCI_MAX_FRAME_LEN
			: rxq->room;
	rxq->vlan_strip = (rxq->offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
	rxq->legacy_ol_flags = port->config.legacy_ol_flags;
	rxq->ptype_mask = ptype_mask(port, rxq->offloads);
	rxq->intr = (struct vhost_pci_rxq_intr){ .epoll_fd = -1, .wake_fd = -1, .kick_fd = -1 };

	vhost_pci_port_lock(port);
	rxq->vr = vhost_pci_session_vring(port->session, 2u * queue_id + 1);
	rxq->vring_base = rxq->vr->stats;
	vhost_pci_zcopy_setup(rxq);
	port->rxq[queue_id] = rxq;
	dev->data->rx_queues[queue_id] = rxq;
	vhost_pci_port_unlock(port);
	return 0;
}

int
vhost_pci_tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue_id, uint16_t nb_desc,
		unsigned int socket_id, const struct rte_eth_txconf *conf)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	struct vhost_pci_txq *txq;

	txq = rte_zmalloc_socket("vhost_pci_txq", sizeof(*txq), RTE_CACHE_LINE_SIZE,
			(int)socket_id);
	if (txq == NULL)
		return -ENOMEM;
	txq->port = port;
	txq->queue_id = queue_id;
	txq->nb_desc = nb_desc;
	txq->is_deferred = conf->tx_deferred_start != 0;
	txq->offloads = conf->offloads | dev->data->dev_conf.txmode.offloads;
	txq->socket_id = (int)socket_id;

	vhost_pci_port_lock(port);
	txq->vr = vhost_pci_session_vring(port->session, 2u * queue_id);
	txq->vring_base = txq->vr->stats;
	port->txq[queue_id] = txq;
	dev->data->tx_queues[queue_id] = txq;
	vhost_pci_port_unlock(port);
	return 0;
}

void
vhost_pci_rx_queue_release(struct rte_eth_dev *dev, uint16_t queue_id)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	struct vhost_pci_rxq *rxq = dev->data->rx_queues[queue_id];

	if (rxq == NULL)
		return;
	vhost_pci_port_lock(port);
	port->rxq[queue_id] = NULL;
	dev->data->rx_queues[queue_id] = NULL;
	vhost_pci_port_unlock(port);
	vhost_pci_monitor_forget(rxq);
	rte_free(rxq);
}

void
vhost_pci_tx_queue_release(struct rte_eth_dev *dev, uint16_t queue_id)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	struct vhost_pci_txq *txq = dev->data->tx_queues[queue_id];

	if (txq == NULL)
		return;
	vhost_pci_port_lock(port);
	port->txq[queue_id] = NULL;
	dev->data->tx_queues[queue_id] = NULL;
	vhost_pci_port_unlock(port);
	rte_free(txq->takes);
	rte_free(txq);
}

/** The bursts of queues that are stopped while their port is started. */
static uint16_t
rx_nothing(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs, uint16_t nb_bufs)
{
	RTE_SET_USED(rxq);
	RTE_SET_USED(bufs);
	RTE_SET_USED(nb_bufs);
	return 0;
}

static uint16_t
tx_nothing(struct vhost_pci_txq *txq, struct rte_mbuf **bufs, uint16_t nb_bufs)
{
	RTE_SET_USED(txq);
	RTE_SET_USED(bufs);
	RTE_SET_USED(nb_bufs);
	return 0;
}

/** The widest instruction set that the processor has and the EAL allows. */
static enum vhost_pci_isa
best_isa(void)
{
	uint16_t bits = rte_vect_get_max_simd_bitwidth();

	if (bits >= RTE_VECT_SIMD_512 && vhost_pci_isa_supported(VHOST_PCI_ISA_AVX512))
		return VHOST_PCI_ISA_AVX512;
	if (bits >= RTE_VECT_SIMD_256 && vhost_pci_isa_supported(VHOST_PCI_ISA_AVX2))
		return VHOST_PCI_ISA_AVX2;
	return VHOST_PCI_ISA_SCALAR;
}

static void
rxq_select(struct vhost_pci_rxq *rxq)
{
	rxq->plain_len = RTE_MIN(rxq->room, rxq->max_len);
	if (rxq->vr->lend != NULL)
		rxq->plain_len = RTE_MIN(rxq->plain_len, rxq->copybreak - 1);
	rxq->isa = best_isa();
	rxq->take = vhost_pci_batch_taker(vhost_pci_vring_kind(rxq->vr), VHOST_PCI_DEQUEUE,
			&rxq->isa);
	rxq->rx = rxq->is_stopped ? rx_nothing : vhost_pci_rx_select(rxq->vr, rxq->features);
}

/**
 * Have room for the chains of a burst. How many one packet may take is known once the front-end
 * has said how large its ring is: room for the largest that there can be is 150 KiB a queue.
 */
static void
txq_make_takes(struct vhost_pci_txq *txq)
{
	uint32_t nb = SPARE_CHAINS + RTE_MIN((uint32_t)MAX_PACKET_CHAINS, (uint32_t)txq->vr->size);

	/* A ring that is not mapped is not used; the next one may be of the same size. */
	if (txq->vr->size == 0 || txq->nb_takes == nb)
		return;
	rte_free(txq->takes);
	txq->nb_takes = 0;
	txq->takes = rte_malloc_socket("vhost_pci_takes", nb * sizeof(txq->takes[0]),
			RTE_CACHE_LINE_SIZE, txq->socket_id);
	if (txq->takes != NULL)
		txq->nb_takes = nb;
	else
		DRV_LOG(ERR, "%s: Tx queue %u: no memory for %u chains: some packets can't be sent",
				vhost_pci_port_name(txq->port), txq->queue_id, nb);
}

static void
txq_select(struct vhost_pci_txq *txq)
{
	txq->isa = best_isa();
	txq->take = vhost_pci_batch_taker(vhost_pci_vring_kind(txq->vr), VHOST_PCI_ENQUEUE,
			&txq->isa);
	txq->tx = txq->is_stopped ? tx_nothing : vhost_pci_tx_select(txq->vr, txq->features);
}

void
vhost_pci_rxq_bind(struct vhost_pci_port *port, uint16_t queue_id)
{
	struct vhost_pci_rxq *rxq = port->rxq[queue_id];

	if (rxq == NULL)
		return;
	rxq->features = vhost_pci_session_features(port->session);
	vhost_pci_zcopy_bind(rxq);
	rxq_select(rxq);
	vhost_pci_intr_bind(rxq);
}

void
vhost_pci_txq_bind(struct vhost_pci_port *port, uint16_t queue_id)
{
	struct vhost_pci_txq *txq = port->txq[queue_id];

	if (txq == NULL)
		return;
	txq->features = vhost_pci_session_features(port->session);
	txq_make_takes(txq);
	txq_select(txq);
	/* We look for buffers when there is something to send: kicks are never wanted. */
	if (vhost_pci_session_vring_mode(port->session, txq->vr) != VHOST_PCI_VRING_OFF)
		vhost_pci_ring_ask_kick(txq->vr, false);
}

static uint8_t
queue_state(bool is_stopped)
{
	return is_stopped ? RTE_ETH_QUEUE_STATE_STOPPED : RTE_ETH_QUEUE_STATE_STARTED;
}

/** Start or stop a queue, which no thread polls meanwhile. Port locked. */
typedef void (*set_stopped_fn_t)(struct rte_eth_dev *dev, uint16_t queue_id, bool is_stopped);

static void
rxq_set_stopped(struct rte_eth_dev *dev, uint16_t queue_id, bool is_stopped)
{
	struct vhost_pci_rxq *rxq = dev->data->rx_queues[queue_id];

	rxq->is_stopped = is_stopped;
	rxq_select(rxq);
	if (is_stopped)
		vhost_pci_monitor_forget(rxq);
	dev->data->rx_queue_state[queue_id] = queue_state(is_stopped);
}

static void
txq_set_stopped(struct rte_eth_dev *dev, uint16_t queue_id, bool is_stopped)
{
	struct vhost_pci_txq *txq = dev->data->tx_queues[queue_id];

	txq->is_stopped = is_stopped;
	txq_select(txq);
	dev->data->tx_queue_state[queue_id] = queue_state(is_stopped);
}

int
vhost_pci_queues_start(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	uint16_t i;

	for (i = 0; i < dev->data->nb_rx_queues; i++) {
		if (port->rxq[i] == NULL)
			return -EINVAL;
		rxq_set_stopped(dev, i, port->rxq[i]->is_deferred);
	}
	for (i = 0; i < dev->data->nb_tx_queues; i++) {
		if (port->txq[i] == NULL)
			return -EINVAL;
		txq_set_stopped(dev, i, port->txq[i]->is_deferred);
	}
	return 0;
}

void
vhost_pci_queues_stop(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	uint16_t i;

	for (i = 0; i < dev->data->nb_rx_queues; i++)
		if (port->rxq[i] != NULL)
			rxq_set_stopped(dev, i, true);
	for (i = 0; i < dev->data->nb_tx_queues; i++)
		if (port->txq[i] != NULL)
			txq_set_stopped(dev, i, true);
}

/** Start or stop one queue, as the application says. */
static int
queue_set_stopped(struct rte_eth_dev *dev, uint16_t queue_id, bool is_stopped,
		set_stopped_fn_t set_stopped)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);

	vhost_pci_port_lock(port);
	set_stopped(dev, queue_id, is_stopped);
	vhost_pci_port_unlock(port);
	return 0;
}

int
vhost_pci_rx_queue_start(struct rte_eth_dev *dev, uint16_t queue_id)
{
	return queue_set_stopped(dev, queue_id, false, rxq_set_stopped);
}

int
vhost_pci_rx_queue_stop(struct rte_eth_dev *dev, uint16_t queue_id)
{
	return queue_set_stopped(dev, queue_id, true, rxq_set_stopped);
}

int
vhost_pci_tx_queue_start(struct rte_eth_dev *dev, uint16_t queue_id)
{
	return queue_set_stopped(dev, queue_id, false, txq_set_stopped);
}

int
vhost_pci_tx_queue_stop(struct rte_eth_dev *dev, uint16_t queue_id)
{
	return queue_set_stopped(dev, queue_id, true, txq_set_stopped);
}

int
vhost_pci_rxq_send_rarp(struct vhost_pci_port *port, const uint8_t mac[6])
{
	struct vhost_pci_rxq *rxq = port->rxq[0];

	if (rxq == NULL)
		return -ENODEV;
	/* A second one before the first was received says the same: there is one guest. */
	if ((__atomic_load_n(&rxq->asked, __ATOMIC_ACQUIRE) & VHOST_PCI_RXQ_ASKED_RARP) == 0) {
		memcpy(rxq->rarp_mac.addr_bytes, mac, RTE_ETHER_ADDR_LEN);
		/* Partner: the load in the Rx burst, which then reads the address. */
		__atomic_fetch_or(&rxq->asked, VHOST_PCI_RXQ_ASKED_RARP, __ATOMIC_RELEASE);
	}
	rxq->intr.changed = true;
	return 0;
}

void
vhost_pci_rxq_forget_rarp(struct vhost_pci_port *port)
{
	if (port->rxq[0] != NULL)
		__atomic_fetch_and(&port->rxq[0]->asked, (uint8_t)~VHOST_PCI_RXQ_ASKED_RARP,
				__ATOMIC_RELEASE);
}

void
vhost_pci_rxq_ask_burst(struct vhost_pci_rxq *rxq)
{
	__atomic_fetch_or(&rxq->asked, VHOST_PCI_RXQ_ASKED_BURST, __ATOMIC_RELEASE);
	rxq->intr.changed = true;
}

bool
vhost_pci_rxq_is_asked(const struct vhost_pci_rxq *rxq)
{
	return __atomic_load_n(&rxq->asked, __ATOMIC_ACQUIRE) != 0;
}

bool
vhost_pci_rxq_burst_is_due(const struct vhost_pci_rxq *rxq)
{
	/* Partner: the burst, which clears it after all that the thread has done before. */
	return (__atomic_load_n(&rxq->asked, __ATOMIC_ACQUIRE) & VHOST_PCI_RXQ_ASKED_BURST) != 0;
}
