/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A vfio-user device without an adapter, for tests of the vfio-user library: registers that keep
 * what is written, one memory region, and a configuration space.
 */

#ifndef VFU_RIG_H
#define VFU_RIG_H

#include "loop_thread.h"
#include "vfu_client.h"
#include "vfu_device.h"
#include "vfu_pci.h"
#include "window.h"

/** Sizes of the rig's BARs. */
enum {
	VFU_RIG_BAR0_BYTES = 0x10000,
	VFU_RIG_VECTORS = 8,
};

/** A rig. The fields below the thread belong to it while it runs. */
struct vfu_rig {
	struct loop_thread thread;
	char *dir;
	char *path;          /**< of the device's socket */
	unsigned int nb_fds; /**< open before the device was created */

	struct vfu_device *device;
	struct vfu_pci pci;
	struct window window;
	uint8_t bar0[VFU_RIG_BAR0_BYTES];
	unsigned int last_count; /**< of the last access to BAR0 */
	unsigned int nb_resets;
	unsigned int nb_attached;
	unsigned int nb_detached;
};

/** Start the thread and the device; memory_bytes is the size of the file behind BAR2, or 0. */
void vfu_rig_start(struct vfu_rig *rig, uint64_t memory_bytes);

/** Stop all; fails the test where fds are left. */
void vfu_rig_stop(struct vfu_rig *rig);

/** Connect a client and let it do all that QEMU does. */
void vfu_rig_plug(struct vfu_rig *rig, struct vfc *client);

/** Trigger an MSI-X vector. */
void vfu_rig_trigger(struct vfu_rig *rig, unsigned int vector);

/** The device's counters at this moment. */
struct vfu_device_stats vfu_rig_stats(struct vfu_rig *rig);

#endif /* VFU_RIG_H */
