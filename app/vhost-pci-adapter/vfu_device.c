/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"
#include "notify.h"
#include "vfu_device_priv.h"
#include "vhost_pci_log.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

#define VFU_PAGE_MASK UINT64_C(0xfff)

static void vfu_device_conn_closed(void *opaque, int error);

static void
vfu_device_request(void *opaque, struct vfu_request *request)
{
	vfu_request_handle(opaque, request);
}

static const struct vfu_conn_ops vfu_device_conn_ops = {
	.request = vfu_device_request,
	.closed = vfu_device_conn_closed,
};

void
vfu_irq_set_fd(struct vfu_device *device, unsigned int type, unsigned int irq, int fd)
{
	struct vfu_irq_type *irqs = &device->irqs[type];
	uint64_t bit = UINT64_C(1) << (irq % 64);

	vhost_pci_peer_fd_close(irqs->fds[irq]);
	irqs->fds[irq] = fd;
	if (fd >= 0 && (irqs->pending[irq / 64] & bit)) {
		irqs->pending[irq / 64] &= ~bit;
		notify_signal(fd);
	}
}

void
vfu_irq_clear_fds(struct vfu_device *device, unsigned int type)
{
	for (unsigned int irq = 0; irq < device->irqs[type].nb_irqs; irq++)
		vfu_irq_set_fd(device, type, irq, -1);
}

void
vfu_device_trigger(struct vfu_device *device, unsigned int type, unsigned int irq)
{
	struct vfu_irq_type *irqs = &device->irqs[type];

	if (irq >= irqs->nb_irqs)
		return;
	device->stats.irqs++;
	if (irqs->fds[irq] >= 0)
		notify_signal(irqs->fds[irq]);
	else
		irqs->pending[irq / 64] |= UINT64_C(1) << (irq % 64);
}

void
vfu_device_clear_pending(struct vfu_device *device)
{
	for (unsigned int type = 0; type < VFIO_PCI_NUM_IRQS; type++)
		memset(device->irqs[type].pending, 0, sizeof(device->irqs[type].pending));
}

void
vfu_device_disconnect(struct vfu_device *device)
{
	bool attached = device->attached;

	if (device->conn == NULL)
		return;
	vfu_conn_destroy(device->conn);
	device->conn = NULL;
	device->attached = false;
	/* "Client Disconnection": fds are closed, the device's state is retained */
	for (unsigned int type = 0; type < VFIO_PCI_NUM_IRQS; type++)
		vfu_irq_clear_fds(device, type);
	if (attached)
		device->ops->attached(device->opaque, false);
}

static void
vfu_device_conn_closed(void *opaque, int error)
{
	struct vfu_device *device = opaque;

	if (error == -EBADMSG) {
		device->stats.refused++;
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: closing %s: not a vfio-user message",
				device->name, device->path);
	} else {
		vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: %s was closed by its client%s%s",
				device->name, device->path, error < 0 ? ": " : "",
				error < 0 ? strerror(-error) : "");
	}
	vfu_device_disconnect(device);
}

/* A client that is gone, but whose end of the connection we have not come to read yet. */
static bool
vfu_device_client_is_gone(const struct vfu_device *device)
{
	struct pollfd pfd = { .fd = device->conn_fd, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static void
vfu_device_accept(void *opaque, int fd)
{
	struct vfu_device *device = opaque;

	if (device->conn != NULL && vfu_device_client_is_gone(device))
		vfu_device_disconnect(device);
	if (device->conn != NULL) {
		vhost_pci_log(VHOST_PCI_LOG_WARNING, "%s: refusing a second client on %s",
				device->name, device->path);
		device->stats.refused++;
		keeper_close(fd);
		return;
	}
	device->conn_fd = fd;
	device->conn = vfu_conn_create(fd, &vfu_device_conn_ops, device);
}

static bool
vfu_region_is_valid(const struct vfu_region *region)
{
	uint64_t end = 0;

	if (region->nb_areas > VFU_REGION_AREAS || (region->nb_areas > 0 && region->fd < 0))
		return false;
	for (unsigned int i = 0; i < region->nb_areas; i++) {
		const struct vfu_area *area = &region->areas[i];

		if (((area->offset | area->size_bytes) & VFU_PAGE_MASK) != 0 ||
				area->offset < end || area->size_bytes == 0 ||
				area->offset > region->size_bytes ||
				area->size_bytes > region->size_bytes - area->offset)
			return false;
		end = area->offset + area->size_bytes;
	}
	return true;
}

static bool
vfu_config_is_valid(const struct vfu_device_config *config)
{
	for (unsigned int i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		if (!vfu_region_is_valid(&config->regions[i]))
			return false;
	}
	for (unsigned int i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		if (config->nb_irqs[i] > VFU_IRQS)
			return false;
	}
	return true;
}

int
vfu_device_create(const struct vfu_device_config *config, const struct vfu_device_ops *ops,
		void *opaque, struct vfu_device **device)
{
	struct vfu_device *dev;
	int error;

	if (!vfu_config_is_valid(config))
		return -EINVAL;
	dev = g_new0(struct vfu_device, 1);
	error = listener_create(config->path, vfu_device_accept, dev, &dev->listener);
	if (error < 0) {
		g_free(dev);
		return error;
	}
	dev->path = g_strdup(config->path);
	dev->name = g_strdup(config->name);
	dev->ops = ops;
	dev->opaque = opaque;
	memcpy(dev->regions, config->regions, sizeof(dev->regions));
	for (unsigned int type = 0; type < VFIO_PCI_NUM_IRQS; type++) {
		struct vfu_irq_type *irqs = &dev->irqs[type];

		irqs->nb_irqs = config->nb_irqs[type];
		irqs->fds = g_new(int, irqs->nb_irqs);
		for (unsigned int irq = 0; irq < irqs->nb_irqs; irq++)
			irqs->fds[irq] = -1;
	}
	dev->keeper_id = keeper_hold(listener_fd(dev->listener));
	*device = dev;
	return 0;
}

void
vfu_device_destroy(struct vfu_device *device)
{
	if (device == NULL)
		return;
	vfu_device_disconnect(device);
	keeper_close_waiting(listener_fd(device->listener));
	listener_destroy(device->listener);
	keeper_release(device->keeper_id);
	for (unsigned int type = 0; type < VFIO_PCI_NUM_IRQS; type++)
		g_free(device->irqs[type].fds);
	g_free(device->path);
	g_free(device->name);
	g_free(device);
}

bool
vfu_device_is_attached(const struct vfu_device *device)
{
	return device->attached;
}

const struct vfu_device_stats *
vfu_device_stats(const struct vfu_device *device)
{
	return &device->stats;
}
