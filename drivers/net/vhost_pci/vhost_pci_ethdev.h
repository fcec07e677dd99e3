/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The ethdev that both front doors make.
 */

#ifndef VHOST_PCI_ETHDEV_H
#define VHOST_PCI_ETHDEV_H

#include "vhost_pci_compat.h"
#include "vhost_pci_port.h"

/** The port of an ethdev. */
static inline struct vhost_pci_port *
vhost_pci_port_of(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/** Whether an ethdev is one of this driver. */
bool vhost_pci_is_ours(const struct rte_eth_dev *dev);

/** The port's name, for messages. */
static inline const char *
vhost_pci_port_name(const struct vhost_pci_port *port)
{
	return port->eth_dev->data->name;
}

/** The port's number. */
static inline uint16_t
vhost_pci_port_id(const struct vhost_pci_port *port)
{
	return port->eth_dev->data->port_id;
}

/**
 * Make a port's ethdev, open its front door, and announce it.
 *
 * @param device The device that the port belongs to.
 * @param door_data The front door's; the port frees it at its end, the caller where this fails.
 * @return 0 or -errno, with nothing left.
 */
int vhost_pci_ethdev_create(struct rte_device *device, const struct vhost_pci_port_config *config,
		const struct vhost_pci_door_ops *door, void *door_data);

/** Close and release the ethdev of this name; 0 also where there is none (any more). */
int vhost_pci_ethdev_destroy(const char *name);

/** Operations that only report (vhost_pci_ethdev_info.c). */
int vhost_pci_dev_infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info);
int vhost_pci_fw_version_get(struct rte_eth_dev *dev, char *version, size_t size);
void vhost_pci_rxq_info_get(struct rte_eth_dev *dev, uint16_t queue_id,
		struct rte_eth_rxq_info *info);
void vhost_pci_txq_info_get(struct rte_eth_dev *dev, uint16_t queue_id,
		struct rte_eth_txq_info *info);
int vhost_pci_rx_burst_mode_get(struct rte_eth_dev *dev, uint16_t queue_id,
		struct rte_eth_burst_mode *mode);
int vhost_pci_tx_burst_mode_get(struct rte_eth_dev *dev, uint16_t queue_id,
		struct rte_eth_burst_mode *mode);
/**
 * Packet types are found by looking into packets, which costs time: it is done for the layers that
 * the application has asked for here, and before it has done so, for all layers on queues whose
 * offloads (checksums, LRO) are of use only to who looks at packet types.
 */
void vhost_pci_ptypes_want(struct rte_eth_dev *dev, uint32_t mask);
const uint32_t *vhost_pci_supported_ptypes_get(VHOST_PCI_PTYPES_GET_ARGS);
vhost_pci_queue_count_t vhost_pci_rx_queue_count(void *queue);
int vhost_pci_rx_descriptor_status(void *queue, uint16_t offset);
int vhost_pci_tx_descriptor_status(void *queue, uint16_t offset);

#endif /* VHOST_PCI_ETHDEV_H */
