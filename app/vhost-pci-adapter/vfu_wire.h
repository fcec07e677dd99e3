/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The vfio-user wire format, version 0.0 (QEMU, docs/interop/vfio-user.rst, "Protocol
 * Specification"). Section names in the comments are that document's.
 *
 * All integers are in host byte order. Payloads that the document takes over from the kernel's
 * VFIO interface are used from the kernel's header: struct vfio_region_info, vfio_irq_info,
 * vfio_irq_set and the sparse mmap capability.
 */

#ifndef VFU_WIRE_H
#define VFU_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

/** Commands, section "Commands". */
enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_DEVICE_GET_REGION_INFO = 5,
	VFU_DEVICE_GET_REGION_IO_FDS = 6,
	VFU_DEVICE_GET_IRQ_INFO = 7,
	VFU_DEVICE_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DMA_READ = 11,
	VFU_DMA_WRITE = 12,
	VFU_DEVICE_RESET = 13,
	VFU_REGION_WRITE_MULTI = 15,
	VFU_DEVICE_FEATURE = 16,
	VFU_MIG_DATA_READ = 17,
	VFU_MIG_DATA_WRITE = 18,
	VFU_COMMAND_LAST = VFU_MIG_DATA_WRITE,
};

/** @name Header flags, section "Header". */
/**@{*/
#define VFU_FLAG_TYPE_MASK UINT32_C(0x0f)
#define VFU_FLAG_COMMAND   UINT32_C(0x00)
#define VFU_FLAG_REPLY     UINT32_C(0x01)
#define VFU_FLAG_NO_REPLY  UINT32_C(0x10)
#define VFU_FLAG_ERROR     UINT32_C(0x20)
/**@}*/

/** Largest count of a data transfer, the default of max_data_xfer_size, section "Version". */
#define VFU_DATA_BYTES 1048576u

/** Largest version data taken; a real client's is some 200 bytes. */
#define VFU_VERSION_BYTES 4096u

/** Fds that one message to us may carry: what we say in max_msg_fds. */
#define VFU_MSG_FDS 16u

/** Header of every message. */
struct vfu_hdr {
	uint16_t message_id;
	uint16_t command;
	uint32_t size; /**< of the whole message, this header included */
	uint32_t flags;
	uint32_t error; /**< an errno in a reply with VFU_FLAG_ERROR, reserved otherwise */
};
static_assert(sizeof(struct vfu_hdr) == 16, "header");

/** Section "VFIO_USER_VERSION"; NUL-terminated JSON follows. */
struct vfu_version {
	uint16_t major;
	uint16_t minor;
};
static_assert(sizeof(struct vfu_version) == 4, "version");

/** Section "VFIO_USER_DMA_MAP". */
struct vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};
static_assert(sizeof(struct vfu_dma_map) == 32, "DMA map");

/** Section "VFIO_USER_DMA_UNMAP". */
struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
};
static_assert(sizeof(struct vfu_dma_unmap) == 24, "DMA unmap");

/** Section "VFIO_USER_DEVICE_GET_INFO"; the kernel's structure has grown since. */
struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t nb_regions;
	uint32_t nb_irqs;
};
static_assert(sizeof(struct vfu_device_info) == 16, "device info");

/** Section "VFIO_USER_DEVICE_GET_REGION_IO_FDS". */
struct vfu_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
static_assert(sizeof(struct vfu_region_io_fds) == 16, "region I/O fds");

/** Sections "VFIO_USER_REGION_READ" and "VFIO_USER_REGION_WRITE"; data follows. */
struct vfu_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};
static_assert(sizeof(struct vfu_region_access) == 16, "region access");

/** Section "VFIO_USER_DEVICE_FEATURE"; data follows. */
struct vfu_feature {
	uint32_t argsz;
	uint32_t flags;
};
static_assert(sizeof(struct vfu_feature) == 8, "feature");

/* What the kernel's header gives must be what the document draws. */
static_assert(sizeof(struct vfio_region_info) == 32, "region info");
static_assert(sizeof(struct vfio_irq_info) == 16, "irq info");
static_assert(offsetof(struct vfio_irq_set, data) == 20, "irq set");
static_assert(offsetof(struct vfio_region_info_cap_sparse_mmap, areas) == 16, "sparse mmap");
static_assert(sizeof(struct vfio_region_sparse_mmap_area) == 16, "sparse mmap area");

#endif /* VFU_WIRE_H */
