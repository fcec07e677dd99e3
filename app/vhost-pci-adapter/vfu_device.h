/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A vfio-user PCI device: what a client asks of it is answered here, from tables of regions and
 * interrupts; reads, writes and resets go to the owner.
 *
 * The device listens on a UNIX socket and serves one client at a time. Everything a client sends
 * is checked; a malformed request gets an error or ends the connection, and nothing else.
 *
 * The device never accesses the client's memory: DMA_MAP and DMA_UNMAP are acknowledged and their
 * fds closed, no mapping is kept, so a range mapped twice is not an error here.
 *
 * All functions: the thread of the main loop.
 */

#ifndef VFU_DEVICE_H
#define VFU_DEVICE_H

#include <stdbool.h>

#include "vfu_wire.h"

/** Areas of a region that can be mapped, at most. */
#define VFU_REGION_AREAS 4u

/** Interrupts of one type, at most: a bit mask remembers those that wait for their eventfd. */
#define VFU_IRQS 512u

/** A part of a region that the client may map; page-aligned. */
struct vfu_area {
	uint64_t offset; /**< in the region */
	uint64_t size_bytes;
};

/** A region; one of size 0 does not exist. */
struct vfu_region {
	uint64_t size_bytes;
	int fd;             /**< the file behind the areas, the owner's; -1 with nb_areas 0 */
	uint64_t fd_offset; /**< where the region's byte 0 is, or would be, in the file */
	unsigned int nb_areas;
	struct vfu_area areas[VFU_REGION_AREAS];
};

/** What a device asks of its owner. */
struct vfu_device_ops {
	/** Read; the range is within the region. @return 0 or -errno, which the client sees. */
	int (*read)(void *opaque, unsigned int region, uint64_t offset, void *data, size_t count);
	/** Write; the range is within the region. @return 0 or -errno, which the client sees. */
	int (*write)(void *opaque, unsigned int region, uint64_t offset, const void *data,
			size_t count);
	/** Return to the state after power on: DEVICE_RESET. */
	void (*reset)(void *opaque);
	/** A client has negotiated its version (true), or such a client is gone (false). */
	void (*attached)(void *opaque, bool attached);
};

/** What a device is made of; copied. */
struct vfu_device_config {
	const char *path; /**< of the socket */
	const char *name; /**< for messages */
	struct vfu_region regions[VFIO_PCI_NUM_REGIONS];
	unsigned int nb_irqs[VFIO_PCI_NUM_IRQS]; /**< of each type, up to VFU_IRQS */
};

/** What a device counts. */
struct vfu_device_stats {
	uint64_t requests; /**< received */
	uint64_t reads;    /**< REGION_READ of any region but the configuration space */
	uint64_t writes;   /**< REGION_WRITE of any region but the configuration space */
	uint64_t errors;   /**< requests answered by an error */
	uint64_t clients;  /**< connections that negotiated a version */
	uint64_t refused;  /**< connections closed for what they sent, or as a second client */
	uint64_t irqs;     /**< triggers */
};

struct vfu_device;

/**
 * Create a device and listen.
 *
 * @return 0; -EINVAL for a configuration that makes no sense; -errno of the socket, such as
 *	   -EADDRINUSE.
 */
int vfu_device_create(const struct vfu_device_config *config, const struct vfu_device_ops *ops,
		void *opaque, struct vfu_device **device);

/** Close the client's connection and the socket, remove the socket's file. Harmless on NULL. */
void vfu_device_destroy(struct vfu_device *device);

/** Close the client's connection, if there is one; attached() is called. Another may come. */
void vfu_device_disconnect(struct vfu_device *device);

/** Whether a client has negotiated its version. */
bool vfu_device_is_attached(const struct vfu_device *device);

/**
 * Trigger an interrupt; until the client has set its eventfd it is remembered, once.
 *
 * @param type	VFIO_PCI_MSI_IRQ_INDEX or such.
 * @param irq	Less than the type's nb_irqs.
 */
void vfu_device_trigger(struct vfu_device *device, unsigned int type, unsigned int irq);

/** Forget interrupts that wait for their eventfd: part of a reset. */
void vfu_device_clear_pending(struct vfu_device *device);

/** Counters since creation. */
const struct vfu_device_stats *vfu_device_stats(const struct vfu_device *device);

#endif /* VFU_DEVICE_H */
