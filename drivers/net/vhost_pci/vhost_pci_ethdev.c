/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_ethdev.h"

#include <errno.h>

#include <rte_malloc.h>

#include "vhost_pci_conn.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_intr.h"
#include "vhost_pci_queue.h"
#include "vhost_pci_stats.h"
#include "vhost_pci_telemetry.h"
#include "vhost_pci_zcopy.h"

static int
dev_configure(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);

	/* All else is decided per queue, from dev->data->dev_conf. */
	vhost_pci_port_lock(port);
	port->app_mtu = dev->data->mtu;
	if (port->peer_mtu != 0)
		dev->data->mtu = RTE_MIN(port->app_mtu, port->peer_mtu);
	vhost_pci_port_unlock(port);
	return 0;
}

static int
dev_start(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	int ret;

	vhost_pci_port_lock(port);
	ret = vhost_pci_queues_start(dev);
	if (ret == 0 && dev->data->dev_conf.intr_conf.rxq)
		ret = vhost_pci_intr_install(dev);
	if (ret == 0)
		/* All vrings change, and bind their queues. */
		vhost_pci_port_set_state(port, true, port->admin_up);
	vhost_pci_port_unlock(port);
	if (ret < 0)
		DRV_LOG(ERR, "%s: can't be started: %s", vhost_pci_port_name(port), strerror(-ret));
	return ret;
}

static int
dev_stop(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);

	vhost_pci_port_lock(port);
	vhost_pci_port_set_state(port, false, port->admin_up);
	vhost_pci_intr_uninstall(dev);
	vhost_pci_rxq_forget_rarp(port);
	vhost_pci_queues_stop(dev);
	vhost_pci_port_unlock(port);
	dev->data->dev_started = 0;
	return 0;
}

static int
dev_set_link_up(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);

	vhost_pci_port_lock(port);
	vhost_pci_port_set_state(port, port->started, true);
	vhost_pci_port_unlock(port);
	return 0;
}

static int
dev_set_link_down(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);

	vhost_pci_port_lock(port);
	vhost_pci_port_set_state(port, port->started, false);
	vhost_pci_port_unlock(port);
	return 0;
}

static int
dev_close(struct rte_eth_dev *dev)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	uint16_t i;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY || port == NULL)
		return 0;
	vhost_pci_telemetry_hide(port);
	dev_stop(dev);
	for (i = 0; i < dev->data->nb_rx_queues; i++)
		vhost_pci_rx_queue_release(dev, i);
	for (i = 0; i < dev->data->nb_tx_queues; i++)
		vhost_pci_tx_queue_release(dev, i);
	/* The address is in the port, which ethdev frees as a whole. */
	dev->data->mac_addrs = NULL;
	vhost_pci_port_fini(port);
	port->door->free(port->door_data);
	return 0;
}

static int
link_update(struct rte_eth_dev *dev, int wait_to_complete)
{
	/* The link's state is set when it changes: there is no device to ask. */
	RTE_SET_USED(dev);
	RTE_SET_USED(wait_to_complete);
	return -1;
}

static int
always_on(struct rte_eth_dev *dev)
{
	/* A front-end sends us what is for the other side of its link, and there is no filter. */
	RTE_SET_USED(dev);
	return 0;
}

static int
mac_addr_set(struct rte_eth_dev *dev, struct rte_ether_addr *addr)
{
	/* ethdev keeps the address; nothing is filtered by it. */
	RTE_SET_USED(dev);
	RTE_SET_USED(addr);
	return 0;
}

static int
mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	struct vhost_pci_port *port = vhost_pci_port_of(dev);
	int ret = 0;

	vhost_pci_port_lock(port);
	/* What the front-end has told its driver is the most that it may send or expect. */
	if (port->peer_mtu != 0 && mtu > port->peer_mtu) {
		DRV_LOG(ERR, "%s: MTU %u is above the front-end's, %u", vhost_pci_port_name(port),
				mtu, port->peer_mtu);
		ret = -EINVAL;
	} else {
		port->app_mtu = mtu;
	}
	vhost_pci_port_unlock(port);
	return ret;
}

static int
vlan_offload_set(struct rte_eth_dev *dev, int mask)
{
	bool strip = (dev->data->dev_conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
	struct vhost_pci_rxq *rxq;
	uint16_t i;

	if ((mask & RTE_ETH_VLAN_STRIP_MASK) == 0)
		return 0;
	for (i = 0; i < dev->data->nb_rx_queues; i++) {
		rxq = dev->data->rx_queues[i];
		if (rxq != NULL)
			__atomic_store_n(&rxq->vlan_strip, strip, __ATOMIC_RELAXED);
	}
	return 0;
}

static int
ptypes_set(struct rte_eth_dev *dev, uint32_t mask)
{
	vhost_pci_ptypes_want(dev, mask);
	return 0;
}

static int
tx_done_cleanup(void *queue, uint32_t nb)
{
	/* Packets are copied: no mbuf is held after a burst. */
	RTE_SET_USED(queue);
	RTE_SET_USED(nb);
	return 0;
}

static const struct eth_dev_ops dev_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_set_link_up = dev_set_link_up,
	.dev_set_link_down = dev_set_link_down,
	.dev_close = dev_close,
	.link_update = link_update,
	.promiscuous_enable = always_on,
	.promiscuous_disable = always_on,
	.allmulticast_enable = always_on,
	.allmulticast_disable = always_on,
	.mac_addr_set = mac_addr_set,
	.mtu_set = mtu_set,
	.stats_get = vhost_pci_stats_get,
	.stats_reset = vhost_pci_stats_reset,
	.xstats_get = vhost_pci_xstats_get,
	.xstats_get_names = vhost_pci_xstats_get_names,
	.xstats_reset = vhost_pci_stats_reset,
	.dev_infos_get = vhost_pci_dev_infos_get,
	.rxq_info_get = vhost_pci_rxq_info_get,
	.txq_info_get = vhost_pci_txq_info_get,
	.rx_burst_mode_get = vhost_pci_rx_burst_mode_get,
	.tx_burst_mode_get = vhost_pci_tx_burst_mode_get,
	.fw_version_get = vhost_pci_fw_version_get,
	.dev_supported_ptypes_get = vhost_pci_supported_ptypes_get,
	.dev_ptypes_set = ptypes_set,
	.vlan_offload_set = vlan_offload_set,
	.rx_queue_start = vhost_pci_rx_queue_start,
	.rx_queue_stop = vhost_pci_rx_queue_stop,
	.tx_queue_start = vhost_pci_tx_queue_start,
	.tx_queue_stop = vhost_pci_tx_queue_stop,
	.rx_queue_setup = vhost_pci_rx_queue_setup,
	.rx_queue_release = vhost_pci_rx_queue_release,
	.tx_queue_setup = vhost_pci_tx_queue_setup,
	.tx_queue_release = vhost_pci_tx_queue_release,
	.rx_queue_intr_enable = vhost_pci_rx_queue_intr_enable,
	.rx_queue_intr_disable = vhost_pci_rx_queue_intr_disable,
	.get_monitor_addr = vhost_pci_get_monitor_addr,
	.tx_done_cleanup = tx_done_cleanup,
};

bool
vhost_pci_is_ours(const struct rte_eth_dev *dev)
{
	return dev->dev_ops == &dev_ops;
}

static void
ethdev_fill(struct rte_eth_dev *eth_dev, struct rte_device *device)
{
	struct rte_eth_dev_data *data = eth_dev->data;
	struct vhost_pci_port *port = vhost_pci_port_of(eth_dev);

	eth_dev->device = device;
	eth_dev->intr_handle = NULL;
	eth_dev->dev_ops = &dev_ops;
	eth_dev->rx_pkt_burst = vhost_pci_rx_burst;
	eth_dev->tx_pkt_burst = vhost_pci_tx_burst;
	eth_dev->tx_pkt_prepare = vhost_pci_tx_prepare;
	eth_dev->rx_queue_count = vhost_pci_rx_queue_count;
	eth_dev->rx_descriptor_status = vhost_pci_rx_descriptor_status;
	eth_dev->tx_descriptor_status = vhost_pci_tx_descriptor_status;

	data->numa_node = device->numa_node;
	data->mac_addrs = &port->config.mac;
	port->app_mtu = data->mtu;
	data->dev_flags = RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	if (port->config.removable)
		data->dev_flags |= RTE_ETH_DEV_INTR_RMV;
	data->promiscuous = 1;
	data->all_multicast = 1;
	data->dev_link.link_speed = RTE_ETH_SPEED_NUM_NONE;
	data->dev_link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
	data->dev_link.link_autoneg = RTE_ETH_LINK_FIXED;
	data->dev_link.link_status = RTE_ETH_LINK_DOWN;
}

int
vhost_pci_ethdev_create(struct rte_device *device, const struct vhost_pci_port_config *config,
		const struct vhost_pci_door_ops *door, void *door_data)
{
	struct rte_eth_dev *eth_dev;
	struct vhost_pci_port *port;
	int ret;

	vhost_pci_drv_log_init();
	vhost_pci_zcopy_init();
	eth_dev = rte_eth_dev_allocate(device->name);
	if (eth_dev == NULL)
		return -ENOSPC;
	port = rte_zmalloc_socket(device->name, sizeof(*port), RTE_CACHE_LINE_SIZE,
			device->numa_node);
	if (port == NULL) {
		ret = -ENOMEM;
		goto err_release;
	}
	eth_dev->data->dev_private = port;
	ret = vhost_pci_port_init(port, eth_dev, config, door, door_data);
	if (ret < 0)
		goto err_release;
	if (!config->has_mac)
		rte_eth_random_addr(port->config.mac.addr_bytes);
	ethdev_fill(eth_dev, device);
	ret = vhost_pci_port_open(port);
	if (ret < 0)
		goto err_fini;
	vhost_pci_telemetry_show(port);
	rte_eth_dev_probing_finish(eth_dev);
	return 0;

err_fini:
	vhost_pci_port_fini(port);
err_release:
	eth_dev->data->mac_addrs = NULL;
	rte_eth_dev_release_port(eth_dev);
	return ret;
}

int
vhost_pci_ethdev_destroy(const char *name)
{
	struct rte_eth_dev *eth_dev = rte_eth_dev_allocated(name);

	if (eth_dev == NULL)
		return 0;
	dev_close(eth_dev);
	rte_eth_dev_release_port(eth_dev);
	return 0;
}
