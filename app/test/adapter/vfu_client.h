/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A small vfio-user client that plays QEMU, and can send what QEMU never would. It blocks, with a
 * limit of five seconds, QEMU's own.
 *
 * Its wire formats are written down here anew from the specification (QEMU,
 * docs/interop/vfio-user.rst), so that a wrong layout in the server shows as a failing test.
 */

#ifndef VFU_CLIENT_H
#define VFU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Commands, as numbers of the wire. */
enum vfc_command {
	VFC_VERSION = 1,
	VFC_DMA_MAP = 2,
	VFC_DMA_UNMAP = 3,
	VFC_GET_INFO = 4,
	VFC_GET_REGION_INFO = 5,
	VFC_GET_REGION_IO_FDS = 6,
	VFC_GET_IRQ_INFO = 7,
	VFC_SET_IRQS = 8,
	VFC_REGION_READ = 9,
	VFC_REGION_WRITE = 10,
	VFC_RESET = 13,
	VFC_WRITE_MULTI = 15,
	VFC_FEATURE = 16,
};

/** Regions and interrupt types of a PCI device. */
enum vfc_index {
	VFC_BAR0 = 0,
	VFC_BAR2 = 2,
	VFC_BAR4 = 4,
	VFC_CONFIG = 7,
	VFC_NB_REGIONS = 9,
	VFC_MSI = 1,
	VFC_MSIX = 2,
	VFC_ERR = 3,
	VFC_NB_IRQS = 5,
};

/** Header. */
struct vfc_hdr {
	uint16_t id;
	uint16_t command;
	uint32_t size;
	uint32_t flags;
	uint32_t error;
};

/** A message in either direction. */
struct vfc_msg {
	struct vfc_hdr hdr;
	uint8_t payload[8192];
	size_t nb_bytes;
	int fds[32];
	unsigned int nb_fds; /**< received ones are the caller's */
};

/** What a region is, as the server told. */
struct vfc_region {
	uint64_t size_bytes;
	uint64_t fd_offset;
	uint32_t flags;
	unsigned int nb_areas;
	struct {
		uint64_t offset;
		uint64_t size_bytes;
	} areas[8];
	int fd; /**< -1 where none came */
};

/** A client. */
struct vfc {
	int fd;
	uint16_t next_id;
	uint32_t nb_vectors; /**< of the interrupt type the server has */
	int irq_type;        /**< VFC_MSI, VFC_MSIX or -1 */
	struct vfc_region regions[VFC_NB_REGIONS];
	uint8_t config[4096]; /**< as read when plugged */
};

/** Connect. @return 0 or -errno. */
int vfc_connect(struct vfc *client, const char *path);

/** Close the connection and all that came over it. */
void vfc_close(struct vfc *client);

/** Begin a message of the client. */
void vfc_msg_init(struct vfc_msg *msg, uint16_t command, const void *payload, size_t nb_bytes);

/** Send exactly this message. @return 0 or -errno. */
int vfc_send(struct vfc *client, const struct vfc_msg *msg);

/** Send bytes. @return 0 or -errno. */
int vfc_send_bytes(struct vfc *client, const void *bytes, size_t nb_bytes);

/** Receive a message. @return 0; -ECONNRESET when closed; -ETIMEDOUT. */
int vfc_recv(struct vfc *client, struct vfc_msg *msg);

/**
 * Send a request and receive its reply into the same message.
 *
 * @return 0; the error of the reply (positive); -errno of the connection; -EBADMSG for a reply that
 *	   is none to this request.
 */
int vfc_call(struct vfc *client, struct vfc_msg *msg);

/** vfc_call() with a payload and no fds; the reply is dropped. */
int vfc_request(struct vfc *client, uint16_t command, const void *payload, size_t nb_bytes);

/** Negotiate the version, with what QEMU proposes. */
int vfc_version(struct vfc *client);

/** Ask for a region twice, as QEMU does. */
int vfc_region_info(struct vfc *client, unsigned int index, struct vfc_region *region);

/** Read from a region. */
int vfc_read(struct vfc *client, unsigned int region, uint64_t offset, void *data, uint32_t count);

/** Write to a region. */
int vfc_write(struct vfc *client, unsigned int region, uint64_t offset, const void *data,
		uint32_t count);

/** Read 32 bits; ~0 on failure, as a guest would see it. */
uint32_t vfc_read32(struct vfc *client, unsigned int region, uint64_t offset);

/** Write 32 bits; 0 or the error. */
int vfc_write32(struct vfc *client, unsigned int region, uint64_t offset, uint32_t value);

/** Set the eventfds of nb interrupts from start on; fds NULL takes them away. */
int vfc_set_irqs(struct vfc *client, uint32_t type, uint32_t start, const int *fds, uint32_t nb);

/** All that QEMU does between connect() and a running device, in its order. */
int vfc_plug(struct vfc *client);

/** Map an area of a region; MAP_FAILED on error. */
void *vfc_map(const struct vfc_region *region, unsigned int area);

#endif /* VFU_CLIENT_H */
