/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What vfu_device.c (socket, life, interrupts) and vfu_request.c (the requests) share.
 */

#ifndef VFU_DEVICE_PRIV_H
#define VFU_DEVICE_PRIV_H

#include <glib.h>

#include "listener.h"
#include "vfu_conn.h"
#include "vfu_device.h"
#include "vfu_version.h"

/** Interrupts of one type. */
struct vfu_irq_type {
	unsigned int nb_irqs;
	int *fds;                        /**< nb_irqs eventfds, -1 where there is none */
	uint64_t pending[VFU_IRQS / 64]; /**< triggered while there was no eventfd */
};

struct vfu_device {
	char *path;
	char *name;
	const struct vfu_device_ops *ops;
	void *opaque;
	struct vfu_region regions[VFIO_PCI_NUM_REGIONS];
	struct vfu_irq_type irqs[VFIO_PCI_NUM_IRQS];
	struct vfu_device_stats stats;

	struct listener *listener;
	uint64_t keeper_id; /**< what the keeper knows its socket by */

	struct vfu_conn *conn; /**< the client, or NULL */
	int conn_fd;           /**< its socket, the connection's */
	bool attached;         /**< its version is negotiated */
	struct vfu_client_caps caps;
};

/** Handle a request of the client: reply, or close the connection. */
void vfu_request_handle(struct vfu_device *device, struct vfu_request *request);

/** Set the eventfd of an interrupt, which is the device's from now on; -1 takes it away. */
void vfu_irq_set_fd(struct vfu_device *device, unsigned int type, unsigned int irq, int fd);

/** Take all eventfds of a type away. */
void vfu_irq_clear_fds(struct vfu_device *device, unsigned int type);

#endif /* VFU_DEVICE_PRIV_H */
