/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_intr.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_queue.h"

/** Members of a queue's epoll set: the front-end's kick fd and our own. */
#define NB_MEMBERS 2

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/** Wake the application that waits for a queue. */
static void
intr_wake(const struct vhost_pci_rxq_intr *intr)
{
	uint64_t one = 1;

	if (intr->wake_fd >= 0 && write(intr->wake_fd, &one, sizeof(one)) < 0)
		/* Full: it has been written to before, and that was news as well. */
		errno = 0;
}

/** Take all news out of the set: at once, for a front-end could make news without end. */
static void
intr_drain(const struct vhost_pci_rxq_intr *intr)
{
	struct epoll_event ready[NB_MEMBERS];
	uint64_t count;

	if (epoll_wait(intr->epoll_fd, ready, RTE_DIM(ready), 0) < 0)
		errno = 0;
	if (read(intr->wake_fd, &count, sizeof(count)) < 0)
		errno = 0;
}

static int
intr_watch(const struct vhost_pci_rxq_intr *intr, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.fd = fd };

	return epoll_ctl(intr->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static void
intr_close(struct vhost_pci_rxq_intr *intr)
{
	close_fd(&intr->kick_fd);
	close_fd(&intr->wake_fd);
	close_fd(&intr->epoll_fd);
}

static int
intr_open(struct vhost_pci_rxq_intr *intr)
{
	int ret;

	intr->enabled = false;
	intr->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	intr->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (intr->epoll_fd < 0 || intr->wake_fd < 0)
		ret = -errno;
	else
		ret = intr_watch(intr, intr->wake_fd);
	if (ret < 0)
		intr_close(intr);
	return ret;
}

static int
handle_fill(struct rte_intr_handle *handle, struct rte_eth_dev *dev)
{
	uint16_t nb_rxq = dev->data->nb_rx_queues;
	struct vhost_pci_rxq *rxq;
	uint16_t i;

	/* EAL does not read from fds of this type: there is nothing to be read from epoll sets. */
	if (rte_intr_type_set(handle, RTE_INTR_HANDLE_EXT) != 0 ||
			rte_intr_vec_list_alloc(handle, "vhost_pci_intr", nb_rxq) != 0 ||
			rte_intr_nb_efd_set(handle, nb_rxq) != 0 ||
			rte_intr_max_intr_set(handle, nb_rxq + 1) != 0)
		return -ENOMEM;
	for (i = 0; i < nb_rxq; i++) {
		rxq = dev->data->rx_queues[i];
		if (rte_intr_vec_list_index_set(handle, i, RTE_INTR_VEC_RXTX_OFFSET + i) != 0 ||
				rte_intr_efds_index_set(handle, i, rxq->intr.epoll_fd) != 0)
			return -ERANGE;
	}
	return 0;
}

int
vhost_pci_intr_install(struct rte_eth_dev *dev)
{
	struct vhost_pci_rxq *rxq;
	uint16_t i;
	int ret = 0;

	for (i = 0; i < dev->data->nb_rx_queues && ret == 0; i++) {
		rxq = dev->data->rx_queues[i];
		ret = intr_open(&rxq->intr);
		if (ret == 0)
			vhost_pci_intr_bind(rxq);
	}
	if (ret < 0)
		goto err_uninstall;
	dev->intr_handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (dev->intr_handle == NULL) {
		ret = -ENOMEM;
		goto err_uninstall;
	}
	ret = handle_fill(dev->intr_handle, dev);
	if (ret < 0)
		goto err_uninstall;
	return 0;

err_uninstall:
	vhost_pci_intr_uninstall(dev);
	return ret;
}

void
vhost_pci_intr_uninstall(struct rte_eth_dev *dev)
{
	struct vhost_pci_rxq *rxq;
	uint16_t i;

	if (dev->intr_handle != NULL) {
		rte_intr_vec_list_free(dev->intr_handle);
		rte_intr_instance_free(dev->intr_handle);
		dev->intr_handle = NULL;
	}
	for (i = 0; i < dev->data->nb_rx_queues; i++) {
		rxq = dev->data->rx_queues[i];
		if (rxq != NULL)
			intr_close(&rxq->intr);
	}
}

void
vhost_pci_intr_bind(struct vhost_pci_rxq *rxq)
{
	enum vhost_pci_vring_mode mode = vhost_pci_session_vring_mode(rxq->port->session, rxq->vr);
	struct vhost_pci_rxq_intr *intr = &rxq->intr;

	if (mode != VHOST_PCI_VRING_OFF)
		vhost_pci_ring_ask_kick(rxq->vr, __atomic_load_n(&intr->enabled, __ATOMIC_RELAXED));
	if (intr->epoll_fd < 0)
		return;
	/* Our copy leaves the set when it is closed only if the front-end has closed its own. */
	if (intr->kick_fd >= 0)
		epoll_ctl(intr->epoll_fd, EPOLL_CTL_DEL, intr->kick_fd, NULL);
	close_fd(&intr->kick_fd);
	if (mode != VHOST_PCI_VRING_OFF && rxq->vr->kick_fd >= 0) {
		intr->kick_fd = fcntl(rxq->vr->kick_fd, F_DUPFD_CLOEXEC, 0);
		if (intr->kick_fd < 0 || intr_watch(intr, intr->kick_fd) < 0)
			DRV_LOG(ERR, "%s: no interrupts for Rx queue %u: kick fd refused",
					vhost_pci_port_name(rxq->port), rxq->queue_id);
	}
	intr->changed = true;
}

void
vhost_pci_intr_wake_changed(struct vhost_pci_port *port)
{
	struct vhost_pci_rxq *rxq;
	uint16_t i;

	for (i = 0; i < port->config.max_queue_pairs; i++) {
		rxq = port->rxq[i];
		if (rxq == NULL || !rxq->intr.changed)
			continue;
		/* Awake, an application polls, which does what was asked of its next burst, and
		 * enables the interrupt anew, which asks a vring that was off before for kicks.
		 */
		rxq->intr.changed = false;
		intr_wake(&rxq->intr);
	}
}

/** Enter the gate of a queue's vring; one that control has closed for a moment is waited for. */
static enum vhost_pci_vring_mode
intr_enter(const struct vhost_pci_rxq *rxq)
{
	enum vhost_pci_vring_mode mode = vhost_pci_vring_enter(rxq->vr);

	if (mode != VHOST_PCI_VRING_OFF)
		return mode;
	/* Control changes vrings with the port locked: what is off now stays so until the queue is
	 * bound anew, or its application woken.
	 */
	vhost_pci_port_lock(rxq->port);
	mode = vhost_pci_vring_enter(rxq->vr);
	vhost_pci_port_unlock(rxq->port);
	return mode;
}

int
vhost_pci_rx_queue_intr_enable(struct rte_eth_dev *dev, uint16_t queue_id)
{
	struct vhost_pci_rxq *rxq = dev->data->rx_queues[queue_id];

	if (rxq->intr.epoll_fd < 0)
		return -ENOTSUP;
	intr_drain(&rxq->intr);
	__atomic_store_n(&rxq->intr.enabled, true, __ATOMIC_RELAXED);
	/* Partner: control, which asks and then wakes: that news may have been taken out above. */
	if (vhost_pci_rxq_is_asked(rxq))
		intr_wake(&rxq->intr);
	if (intr_enter(rxq) == VHOST_PCI_VRING_OFF)
		return 0;
	vhost_pci_ring_ask_kick(rxq->vr, true);
	/* Partner: the driver makes a chain available, then looks whether a kick is wanted. */
	vhost_pci_fence_full();
	if (vhost_pci_ring_nb_avail(rxq->vr, 1) > 0)
		intr_wake(&rxq->intr);
	vhost_pci_vring_leave(rxq->vr);
	return 0;
}

int
vhost_pci_rx_queue_intr_disable(struct rte_eth_dev *dev, uint16_t queue_id)
{
	struct vhost_pci_rxq *rxq = dev->data->rx_queues[queue_id];

	if (rxq->intr.epoll_fd < 0)
		return -ENOTSUP;
	__atomic_store_n(&rxq->intr.enabled, false, __ATOMIC_RELAXED);
	if (intr_enter(rxq) != VHOST_PCI_VRING_OFF) {
		vhost_pci_ring_ask_kick(rxq->vr, false);
		vhost_pci_vring_leave(rxq->vr);
	}
	intr_drain(&rxq->intr);
	return 0;
}
