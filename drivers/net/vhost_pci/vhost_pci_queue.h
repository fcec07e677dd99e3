/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Receive and transmit queues of a port. Rx queue n takes packets from vring 2n + 1, which the
 * front-end transmits on; Tx queue n fills the buffers of vring 2n.
 *
 * A queue lives from its set-up to its release, whatever front-ends come and go; its vring lives
 * as long as the port. Before a vring is used with a new front-end, control binds the queue to it:
 * what depends on the ring's format and the negotiated features is set while the vring is paused.
 */

#ifndef VHOST_PCI_QUEUE_H
#define VHOST_PCI_QUEUE_H

#include <rte_mbuf.h>

#include "vhost_pci_batch.h"
#include "vhost_pci_intr.h"
#include "vhost_pci_port.h"
#include "vhost_pci_stats.h"

/**
 * Mbufs that an Rx queue has at hand during a burst, of a batch at most. None are kept for the next
 * one: where a thread polls many queues, those that it freed last are in its caches, and those that
 * each queue has kept are not. Nor do idle queues have mbufs that others lack.
 */
#define VHOST_PCI_STASH VHOST_PCI_BATCH

/** Where the 8 bytes of an mbuf are that are set as one: data_off, refcnt, nb_segs, port. */
#define VHOST_PCI_MBUF_REARM offsetof(struct rte_mbuf, data_off)
_Static_assert(VHOST_PCI_MBUF_REARM % sizeof(uint64_t) == 0 &&
				offsetof(struct rte_mbuf, refcnt) == VHOST_PCI_MBUF_REARM + 2 &&
				offsetof(struct rte_mbuf, nb_segs) == VHOST_PCI_MBUF_REARM + 4 &&
				offsetof(struct rte_mbuf, port) == VHOST_PCI_MBUF_REARM + 6,
		"one store sets these four fields, 2 bytes each");

/** @name What control asks of the next Rx burst of a queue: bits. */
/**@{*/
#define VHOST_PCI_RXQ_ASKED_RARP  (1u << 0) /**< Receive a RARP packet with rarp_mac. */
#define VHOST_PCI_RXQ_ASKED_BURST (1u << 1) /**< Show that there was one. */
/**@}*/

/** A chain that was taken, and the place to go back to where it is not used. */
struct vhost_pci_take {
	struct vhost_pci_chain chain;
	struct vhost_pci_cursor before;
};

/** A burst over a vring that is ON, inside its gate; the format is that of the vring. */
typedef uint16_t (*vhost_pci_rx_fn_t)(struct vhost_pci_rxq *rxq, struct rte_mbuf **bufs,
		uint16_t nb_bufs);
typedef uint16_t (*vhost_pci_tx_fn_t)(struct vhost_pci_txq *txq, struct rte_mbuf **bufs,
		uint16_t nb_bufs);

/** A receive queue. */
struct vhost_pci_rxq {
	/* Read by the polling thread. Control writes while the vring is paused or the port down.
	 * First what a poll of an idle queue looks at: one cache line.
	 */
	VHOST_PCI_CACHE_ALIGNED vhost_pci_rx_fn_t rx;
	vhost_pci_take_fn_t take; /**< Of plain chains. */
	struct vhost_pci_vring *vr;
	uint64_t features;   /**< Negotiated. */
	uint32_t ptype_mask; /**< Layers of the packet type to be set. */
	uint32_t plain_len;  /**< Longest frame that is copied into one mbuf. */
	uint64_t rearm;      /**< What a fresh mbuf has at VHOST_PCI_MBUF_REARM. */
	bool vlan_strip;     /**< Written by vlan_offload_set at any time. */
	uint8_t asked;       /**< VHOST_PCI_RXQ_ASKED_*: control sets, the polling thread clears. */
	bool legacy_ol_flags;
	uint32_t copybreak; /**< Length from which on frames are received without a copy. */
	struct rte_mempool *pool;
	uint64_t offloads;         /**< RTE_ETH_RX_OFFLOAD_*. */
	uint32_t room;             /**< Bytes of a frame that one mbuf holds. */
	uint32_t max_len;          /**< Longest frame taken: room, or any where scattered. */
	uint32_t zcopy_headers;    /**< Bytes of a lent frame that are copied. */
	unsigned int zcopy_pieces; /**< Pieces of the front-end's memory in it at most. */

	/* Owned by the polling thread. */
	VHOST_PCI_CACHE_ALIGNED uint16_t nb_stash; /**< 0 but during a burst. */
	struct rte_mbuf *stash[VHOST_PCI_STASH];
	struct vhost_pci_mem *monitored; /**< What a monitored address is in; a reference. */
	struct vhost_pci_rxq_stats stats;

	/* Owned by control. */
	VHOST_PCI_CACHE_ALIGNED struct vhost_pci_port *port;
	struct vhost_pci_rxq_stats stats_base; /**< stats at the last reset. */
	struct vhost_pci_vring_stats vring_base;
	struct vhost_pci_rxq_intr intr;
	struct rte_ether_addr rarp_mac;
	uint16_t queue_id;
	enum vhost_pci_isa isa; /**< Of take. */
	uint16_t nb_desc;       /**< As set up by the application; the front-end decides. */
	uint8_t drop_en;
	bool is_deferred; /**< Not started with the port. */
	bool is_stopped;  /**< While the port is started. */
};

/** A transmit queue. */
struct vhost_pci_txq {
	/* Read by the polling thread. Control writes while the vring is paused or the port down. */
	vhost_pci_tx_fn_t tx;
	vhost_pci_take_fn_t take; /**< Of plain chains. */
	struct vhost_pci_vring *vr;
	struct vhost_pci_take *takes; /**< nb_takes of them, made for the size of the ring. */
	uint64_t features;            /**< Negotiated. */
	uint64_t offloads;            /**< RTE_ETH_TX_OFFLOAD_*. */
	uint32_t nb_takes;

	/* Owned by the polling thread. */
	VHOST_PCI_CACHE_ALIGNED struct vhost_pci_txq_stats stats;

	/* Owned by control. */
	VHOST_PCI_CACHE_ALIGNED struct vhost_pci_port *port;
	struct vhost_pci_txq_stats stats_base;
	struct vhost_pci_vring_stats vring_base;
	enum vhost_pci_isa isa; /**< Of take. */
	int socket_id;          /**< Where its memory is wanted. */
	uint16_t queue_id;
	uint16_t nb_desc;
	bool is_deferred;
	bool is_stopped;
};

/** eth_dev_ops.rx_queue_setup and its companions. Application thread, port stopped. */
int vhost_pci_rx_queue_setup(struct rte_eth_dev *dev, uint16_t queue_id, uint16_t nb_desc,
		unsigned int socket_id, const struct rte_eth_rxconf *conf,
		struct rte_mempool *pool);
int vhost_pci_tx_queue_setup(struct rte_eth_dev *dev, uint16_t queue_id, uint16_t nb_desc,
		unsigned int socket_id, const struct rte_eth_txconf *conf);
void vhost_pci_rx_queue_release(struct rte_eth_dev *dev, uint16_t queue_id);
void vhost_pci_tx_queue_release(struct rte_eth_dev *dev, uint16_t queue_id);

/** eth_dev_ops.rx_queue_start and its companions. Application thread, queue not polled. */
int vhost_pci_rx_queue_start(struct rte_eth_dev *dev, uint16_t queue_id);
int vhost_pci_rx_queue_stop(struct rte_eth_dev *dev, uint16_t queue_id);
int vhost_pci_tx_queue_start(struct rte_eth_dev *dev, uint16_t queue_id);
int vhost_pci_tx_queue_stop(struct rte_eth_dev *dev, uint16_t queue_id);

/**
 * Start all queues, as dev_start does: all but those whose start is deferred.
 *
 * @return 0; -EINVAL where a queue has not been set up. Port locked.
 */
int vhost_pci_queues_start(struct rte_eth_dev *dev);

/** Stop all queues. Port locked, its vrings off. */
void vhost_pci_queues_stop(struct rte_eth_dev *dev);

/** Fit a queue, if there is one, to its vring, which is paused. Port locked. */
void vhost_pci_rxq_bind(struct vhost_pci_port *port, uint16_t queue_id);
void vhost_pci_txq_bind(struct vhost_pci_port *port, uint16_t queue_id);

/**
 * Receive a RARP packet with this MAC address on the first Rx queue (VHOST_USER_SEND_RARP: the
 * guest has moved here, tell the network), be its application asleep or not. Returns 0, or -ENODEV
 * without queues. Port locked.
 */
int vhost_pci_rxq_send_rarp(struct vhost_pci_port *port, const uint8_t mac[6]);

/** Forget a RARP packet that was not received yet: its front-end is gone. Port locked. */
void vhost_pci_rxq_forget_rarp(struct vhost_pci_port *port);

/** Ask a queue's polling thread, asleep or not, to begin another burst. Port locked. */
void vhost_pci_rxq_ask_burst(struct vhost_pci_rxq *rxq);

/** Whether anything is asked of the next burst. Any thread. */
bool vhost_pci_rxq_is_asked(const struct vhost_pci_rxq *rxq);

/** Whether the burst that was asked for has not begun yet. Control thread. */
bool vhost_pci_rxq_burst_is_due(const struct vhost_pci_rxq *rxq);

/** Bursts for a ring's format and features (vhost_pci_rx.c, vhost_pci_tx.c). Any thread. */
vhost_pci_rx_fn_t vhost_pci_rx_select(const struct vhost_pci_vring *vr, uint64_t features);
vhost_pci_tx_fn_t vhost_pci_tx_select(const struct vhost_pci_vring *vr, uint64_t features);

/** eth_dev.rx_pkt_burst, tx_pkt_burst and tx_pkt_prepare. */
uint16_t vhost_pci_rx_burst(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs);
uint16_t vhost_pci_tx_burst(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs);
uint16_t vhost_pci_tx_prepare(void *queue, struct rte_mbuf **bufs, uint16_t nb_bufs);

#endif /* VHOST_PCI_QUEUE_H */
