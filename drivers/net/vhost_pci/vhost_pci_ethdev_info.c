/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdio.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_offload.h"
#include "vhost_pci_queue.h"

/** Offloads of every port; those of received packets follow from what front-ends may send. */
#define RX_OFFLOADS \
	(RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | \
			RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_SCATTER)

/**
 * Checksums are computed here where the front-end can't; segmentation is left to the front-end,
 * and a packet for one that can't is refused (rte_eth_tx_prepare() tells).
 */
#define TX_OFFLOADS \
	(RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | \
			RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | \
			RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_UDP_TSO | \
			RTE_ETH_TX_OFFLOAD_MULTI_SEGS)

/** Queue sizes that rte_eth_dev_configure() may be told; the front-end decides. */
#define DEFAULT_NB_DESC 256

int
vhost_pci_dev_infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct vhost_pci_port *port = vhost_pci_port_of(dev);
	const struct vhost_pci_port_config *config = &port->config;

	info->max_mac_addrs = 1;
	info->min_mtu = VHOST_PCI_MIN_MTU;
	info->max_mtu = VHOST_PCI_MAX_MTU;
	info->max_rx_pktlen = VHOST_PCI_MAX_FRAME_LEN;
	info->max_lro_pkt_size = VHOST_PCI_MAX_FRAME_LEN;
	info->max_rx_queues = config->max_queue_pairs;
	info->max_tx_queues = config->max_queue_pairs;
	info->rx_offload_capa = RX_OFFLOADS;
	info->rx_queue_offload_capa = 0;
	if (config->tso)
		info->rx_offload_capa |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
	info->tx_offload_capa = TX_OFFLOADS;
	info->tx_queue_offload_capa = 0;
	info->speed_capa = RTE_ETH_LINK_SPEED_10G | RTE_ETH_LINK_SPEED_FIXED;
	info->default_rxportconf.ring_size = DEFAULT_NB_DESC;
	info->default_txportconf.ring_size = DEFAULT_NB_DESC;
	info->default_rxportconf.nb_queues = 1;
	info->default_txportconf.nb_queues = 1;
	info->default_rxportconf.burst_size = VHOST_PCI_BATCH;
	info->default_txportconf.burst_size = VHOST_PCI_BATCH;
	return 0;
}

int
vhost_pci_fw_version_get(struct rte_eth_dev *dev, char *version, size_t size)
{
	const struct vhost_pci_port *port = vhost_pci_port_of(dev);
	int len;

	/* There is no firmware: what the port speaks, and through which front door. */
	len = snprintf(version, size, "vhost-user 1 (%s)", port->door->name);
	if (len < 0)
		return -EINVAL;
	return (size_t)len < size ? 0 : len + 1;
}

/** The vring's size where there is one, what the application asked for until then. */
static uint16_t
nb_desc(struct vhost_pci_port *port, const struct vhost_pci_vring *vr, uint16_t asked)
{
	uint16_t size;

	vhost_pci_port_lock(port);
	size = vr->size;
	vhost_pci_port_unlock(port);
	return size != 0 ? size : asked;
}

void
vhost_pci_rxq_info_get(struct rte_eth_dev *dev, uint16_t queue_id, struct rte_eth_rxq_info *info)
{
	struct vhost_pci_rxq *rxq = dev->data->rx_queues[queue_id];

	info->mp = rxq->pool;
	info->conf.offloads = rxq->offloads;
	info->conf.rx_drop_en = rxq->drop_en;
	info->scattered_rx = rxq->max_len > rxq->room;
	info->rx_buf_size = (uint16_t)rxq->room;
	info->nb_desc = nb_desc(rxq->port, rxq->vr, rxq->nb_desc);
}

void
vhost_pci_txq_info_get(struct rte_eth_dev *dev, uint16_t queue_id, struct rte_eth_txq_info *info)
{
	struct vhost_pci_txq *txq = dev->data->tx_queues[queue_id];

	info->conf.offloads = txq->offloads;
	info->nb_desc = nb_desc(txq->port, txq->vr, txq->nb_desc);
}

/** Say what a queue's burst function is made for. */
static int
burst_mode_get(struct vhost_pci_port *port, const struct vhost_pci_vring *vr,
		const enum vhost_pci_isa *isa, const char *what, struct rte_eth_burst_mode *mode)
{
	vhost_pci_port_lock(port);
	if (vr->size == 0)
		snprintf(mode->info, sizeof(mode->info), "Scalar (no front-end)");
	else
		snprintf(mode->info, sizeof(mode->info), "%s %s%s", vhost_pci_isa_name(*isa),
				vr->is_packed ? "Packed" : "Split", what);
	vhost_pci_port_unlock(port);
	return 0;
}

int
vhost_pci_rx_burst_mode_get(struct rte_eth_dev *dev, uint16_t queue_id,
		struct rte_eth_burst_mode *mode)
{
	const struct vhost_pci_rxq *rxq = dev->data->rx_queues[queue_id];
	bool offload = (rxq->features & VHOST_PCI_RX_OFFLOAD_FEATURES) != 0;

	return burst_mode_get(rxq->port, rxq->vr, &rxq->isa, offload ? " Offload" : "", mode);
}

int
vhost_pci_tx_burst_mode_get(struct rte_eth_dev *dev, uint16_t queue_id,
		struct rte_eth_burst_mode *mode)
{
	const struct vhost_pci_txq *txq = dev->data->tx_queues[queue_id];
	bool mergeable = (txq->features & VHOST_PCI_FEATURE(NET_F_MRG_RXBUF)) != 0;

	return burst_mode_get(txq->port, txq->vr, &txq->isa, mergeable ? " Mergeable" : "", mode);
}

void
vhost_pci_ptypes_want(struct rte_eth_dev *dev, uint32_t mask)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	uint16_t i;

	vhost_pci_port_lock(port);
	port->ptypes_wanted = true;
	port->ptype_mask = mask;
	for (i = 0; i < port->config.max_queue_pairs; i++)
		if (port->rxq[i] != NULL)
			__atomic_store_n(&port->rxq[i]->ptype_mask, mask, __ATOMIC_RELAXED);
	vhost_pci_port_unlock(port);
}

const uint32_t *
vhost_pci_supported_ptypes_get(VHOST_PCI_PTYPES_GET_ARGS)
{
	/* What rte_net_get_ptype() finds in layers 2 to 4, and no deeper. */
	static const uint32_t ptypes[] = { RTE_PTYPE_L2_ETHER, RTE_PTYPE_L2_ETHER_VLAN,
		RTE_PTYPE_L2_ETHER_QINQ, RTE_PTYPE_L3_IPV4, RTE_PTYPE_L3_IPV4_EXT,
		RTE_PTYPE_L3_IPV6, RTE_PTYPE_L3_IPV6_EXT, RTE_PTYPE_L4_FRAG, RTE_PTYPE_L4_TCP,
		RTE_PTYPE_L4_UDP, RTE_PTYPE_L4_SCTP, VHOST_PCI_PTYPES_END };

	RTE_SET_USED(dev);
	VHOST_PCI_PTYPES_SET_NB(RTE_DIM(ptypes));
	return ptypes;
}

vhost_pci_queue_count_t
vhost_pci_rx_queue_count(void *queue)
{
	struct vhost_pci_rxq *rxq = queue;
	uint16_t nb;

	/* Called by any thread, while another one polls. */
	if (vhost_pci_vring_enter_look(rxq->vr) == VHOST_PCI_VRING_OFF)
		return 0;
	nb = vhost_pci_ring_look(rxq->vr, rxq->vr->size);
	vhost_pci_vring_leave_look(rxq->vr);
	return nb;
}

/** Whether the chain at an offset from the next one is there: 1, 0, or -EINVAL beyond the ring. */
static int
chain_is_there(struct vhost_pci_vring *vr, uint16_t offset)
{
	int nb = -EINVAL;

	if (vhost_pci_vring_enter_look(vr) == VHOST_PCI_VRING_OFF)
		return 0;
	if (offset < vr->size)
		nb = vhost_pci_ring_look(vr, (uint16_t)(offset + 1)) > offset;
	vhost_pci_vring_leave_look(vr);
	return nb;
}

int
vhost_pci_rx_descriptor_status(void *queue, uint16_t offset)
{
	struct vhost_pci_rxq *rxq = queue;
	int there = chain_is_there(rxq->vr, offset);

	if (there < 0)
		return there;
	return there ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}

int
vhost_pci_tx_descriptor_status(void *queue, uint16_t offset)
{
	struct vhost_pci_txq *txq = queue;
	int there = chain_is_there(txq->vr, offset);

	if (there < 0)
		return there;
	/* A buffer that the front-end has not given back yet is full. */
	return there ? RTE_ETH_TX_DESC_DONE : RTE_ETH_TX_DESC_FULL;
}
