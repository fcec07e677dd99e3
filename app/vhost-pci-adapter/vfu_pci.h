/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The configuration space of an emulated PCI Express endpoint: a type 0 header, a capability for
 * its interrupts (MSI-X, MSI or none) and the PCI Express capability with function-level reset.
 *
 * A client (QEMU) puts its own emulation of BARs and interrupt capabilities in front; what is here
 * is what it reads when the device is realized, and the rest of the space after that.
 */

#ifndef VFU_PCI_H
#define VFU_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/pci_regs.h>

/** Bytes of the configuration space. */
#define VFU_PCI_CONFIG_BYTES PCI_CFG_SPACE_EXP_SIZE

/** How a device interrupts. */
enum vfu_pci_irq {
	VFU_PCI_IRQ_NONE,
	VFU_PCI_IRQ_MSI,
	VFU_PCI_IRQ_MSIX,
};

/** A BAR; one of size 0 does not exist. */
struct vfu_pci_bar {
	uint64_t size_bytes; /**< a power of two, at least 16 */
	bool is_64bit;       /**< takes the next BAR as its upper half */
	bool prefetchable;
};

/** What a configuration space shall say. */
struct vfu_pci_config {
	uint16_t vendor_id;
	uint16_t device_id;
	uint16_t subsystem_vendor_id;
	uint16_t subsystem_id;
	uint32_t class_code; /**< base class, subclass, interface: 24 bits */
	uint8_t revision;
	struct vfu_pci_bar bars[PCI_STD_NUM_BARS];
	enum vfu_pci_irq irq;
	unsigned int nb_vectors; /**< MSI: a power of two up to 32. MSI-X: up to 2048. */
	uint8_t msix_bar;        /**< of MSI-X table and pending bits */
	uint32_t msix_table;     /**< offset in that BAR */
	uint32_t msix_pba;       /**< offset in that BAR */
};

/** A configuration space; all zero before vfu_pci_init(). */
struct vfu_pci {
	uint8_t bytes[VFU_PCI_CONFIG_BYTES];
	uint8_t writable[VFU_PCI_CONFIG_BYTES]; /**< bits that a client may change */
	uint8_t initial[VFU_PCI_CONFIG_BYTES];  /**< what a reset returns to */
	unsigned int devctl;                    /**< offset of PCI_EXP_DEVCTL */
};

/** Build a configuration space. @return 0; -EINVAL for what no device can have. */
int vfu_pci_init(struct vfu_pci *pci, const struct vfu_pci_config *config);

/** Read bytes; the range is within the space. */
void vfu_pci_read(const struct vfu_pci *pci, size_t offset, void *data, size_t count);

/**
 * Write bytes; the range is within the space. Read-only bits stay.
 *
 * @return Whether a function-level reset was asked for, which the caller carries out.
 */
bool vfu_pci_write(struct vfu_pci *pci, size_t offset, const void *data, size_t count);

/** Return to the initial values. */
void vfu_pci_reset(struct vfu_pci *pci);

#endif /* VFU_PCI_H */
