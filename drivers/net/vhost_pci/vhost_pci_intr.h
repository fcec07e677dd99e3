/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Rx interrupts: the application waits on an fd per Rx queue that stays the same while front-ends
 * come and go.
 *
 * The fd is an epoll set with two members: the front-end's kick fd of the moment, and an eventfd of
 * our own for wake-ups when there may be something to do without a kick (packets that came before
 * the interrupt was enabled, a front-end that comes or goes). Both are edge-triggered: looking at
 * the set takes the news out of it, and the front-end's kick fd need not be read, which could
 * block.
 */

#ifndef VHOST_PCI_INTR_H
#define VHOST_PCI_INTR_H

#include <stdbool.h>
#include <stdint.h>

struct rte_eth_dev;
struct rte_power_monitor_cond;
struct vhost_pci_port;
struct vhost_pci_rxq;

/** The interrupt of an Rx queue. */
struct vhost_pci_rxq_intr {
	int epoll_fd; /**< What the application waits on; -1: interrupts were not asked for. */
	int wake_fd;  /**< Our eventfd in it. */
	int kick_fd;  /**< Our copy of the front-end's kick fd in it; -1: none. */
	bool changed; /**< Wake the application: there is something new. Port's lock. */
	bool enabled; /**< The application waits for interrupts. Atomic. */
};

/** Make the fds of all Rx queues and the port's interrupt handle. Port stopped and locked. */
int vhost_pci_intr_install(struct rte_eth_dev *dev);

/** Undo vhost_pci_intr_install(); nothing happens without it. Port stopped and locked. */
void vhost_pci_intr_uninstall(struct rte_eth_dev *dev);

/** Follow the vring's kick fd; the vring is paused. Port locked. */
void vhost_pci_intr_bind(struct vhost_pci_rxq *rxq);

/** Wake the applications of queues for which there is something new. Port locked. */
void vhost_pci_intr_wake_changed(struct vhost_pci_port *port);

/** eth_dev_ops.rx_queue_intr_enable and rx_queue_intr_disable. The thread that polls the queue. */
int vhost_pci_rx_queue_intr_enable(struct rte_eth_dev *dev, uint16_t queue_id);
int vhost_pci_rx_queue_intr_disable(struct rte_eth_dev *dev, uint16_t queue_id);

/**
 * eth_dev_ops.get_monitor_addr: what to watch while nothing is to be received, and what it looks
 * like then. Without a front-end that is whether one has come.
 *
 * The condition holds until the queue is polled or asked for another one. Memory of a front-end
 * that is watched stays mapped so long, even if the front-end goes.
 *
 * @return 0. The thread that polls the queue.
 */
int vhost_pci_get_monitor_addr(void *rx_queue, struct rte_power_monitor_cond *cond);

/** Let go of what was watched last. The thread that polls the queue, or none does. */
void vhost_pci_monitor_forget(struct vhost_pci_rxq *rxq);

#endif /* VHOST_PCI_INTR_H */
