/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "vfu_pci.h"

/** Where the capabilities are: that of the interrupts first, if there is one. */
#define VFU_PCI_CAP_IRQ 0x40u
#define VFU_PCI_CAP_EXP 0x60u

/** Bus mastering, by its legacy name in PCI. */
#define VFU_PCI_COMMAND_BUS PCI_COMMAND_MASTER /* legacy name */

/** Fields of PCI_EXP_LNKCAP and PCI_EXP_LNKSTA: one lane of the slowest speed. */
#define VFU_PCI_LINK (PCI_EXP_LNKSTA_NLW_X1 | PCI_EXP_LNKSTA_CLS_2_5GB)

/* The space is little-endian whatever the host is. */
static void
vfu_pci_put(uint8_t *at, uint32_t value, unsigned int nb_bytes)
{
	for (unsigned int i = 0; i < nb_bytes; i++)
		at[i] = value >> (8 * i);
}

static void
vfu_pci_put16(struct vfu_pci *pci, unsigned int offset, uint16_t value, uint16_t writable)
{
	vfu_pci_put(&pci->bytes[offset], value, 2);
	vfu_pci_put(&pci->writable[offset], writable, 2);
}

static void
vfu_pci_put32(struct vfu_pci *pci, unsigned int offset, uint32_t value, uint32_t writable)
{
	vfu_pci_put(&pci->bytes[offset], value, 4);
	vfu_pci_put(&pci->writable[offset], writable, 4);
}

static int
vfu_pci_init_bar(struct vfu_pci *pci, const struct vfu_pci_bar *bars, unsigned int i)
{
	const struct vfu_pci_bar *bar = &bars[i];
	unsigned int offset = PCI_BASE_ADDRESS_0 + 4 * i;
	uint64_t mask = ~(bar->size_bytes - 1);
	uint32_t type = 0;

	if (bar->size_bytes == 0)
		return 0;
	if (bar->size_bytes < 16 || (bar->size_bytes & (bar->size_bytes - 1)))
		return -EINVAL;
	if (bar->prefetchable)
		type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	if (bar->is_64bit) {
		if (i + 1 >= PCI_STD_NUM_BARS || bars[i + 1].size_bytes != 0)
			return -EINVAL;
		type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
		vfu_pci_put32(pci, offset + 4, 0, mask >> 32);
	} else if (mask >> 31 != UINT64_C(0x1ffffffff)) {
		return -EINVAL;
	}
	/* the type bits stay: a client reads them again after it wrote the address */
	vfu_pci_put32(pci, offset, type, mask & PCI_BASE_ADDRESS_MEM_MASK);
	return 0;
}

static int
vfu_pci_init_msi(struct vfu_pci *pci, const struct vfu_pci_config *config)
{
	unsigned int nb = config->nb_vectors, cap = VFU_PCI_CAP_IRQ;

	if (nb == 0 || nb > 32 || (nb & (nb - 1)))
		return -EINVAL;
	pci->bytes[cap] = PCI_CAP_ID_MSI;
	vfu_pci_put16(pci, cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | __builtin_ctz(nb) << 1,
			PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	vfu_pci_put32(pci, cap + PCI_MSI_ADDRESS_LO, 0, ~UINT32_C(3));
	vfu_pci_put32(pci, cap + PCI_MSI_ADDRESS_HI, 0, ~UINT32_C(0));
	vfu_pci_put16(pci, cap + PCI_MSI_DATA_64, 0, 0xffff);
	return 0;
}

static int
vfu_pci_init_msix(struct vfu_pci *pci, const struct vfu_pci_config *config)
{
	unsigned int nb = config->nb_vectors, cap = VFU_PCI_CAP_IRQ;

	if (nb == 0 || nb > PCI_MSIX_FLAGS_QSIZE + 1 || config->msix_bar >= PCI_STD_NUM_BARS ||
			((config->msix_table | config->msix_pba) & PCI_MSIX_TABLE_BIR))
		return -EINVAL;
	pci->bytes[cap] = PCI_CAP_ID_MSIX;
	vfu_pci_put16(pci, cap + PCI_MSIX_FLAGS, nb - 1,
			PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	vfu_pci_put32(pci, cap + PCI_MSIX_TABLE, config->msix_table | config->msix_bar, 0);
	vfu_pci_put32(pci, cap + PCI_MSIX_PBA, config->msix_pba | config->msix_bar, 0);
	return 0;
}

static void
vfu_pci_init_express(struct vfu_pci *pci)
{
	unsigned int cap = VFU_PCI_CAP_EXP;

	pci->devctl = cap + PCI_EXP_DEVCTL;
	pci->bytes[cap] = PCI_CAP_ID_EXP;
	vfu_pci_put16(pci, cap + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 0);
	vfu_pci_put32(pci, cap + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0);
	/* the bit that asks for a reset reads as 0 */
	vfu_pci_put16(pci, pci->devctl, 0, (uint16_t)~PCI_EXP_DEVCTL_BCR_FLR);
	vfu_pci_put32(pci, cap + PCI_EXP_LNKCAP, VFU_PCI_LINK, 0);
	vfu_pci_put16(pci, cap + PCI_EXP_LNKCTL, 0, 0xffff);
	vfu_pci_put16(pci, cap + PCI_EXP_LNKSTA, VFU_PCI_LINK, 0);
}

int
vfu_pci_init(struct vfu_pci *pci, const struct vfu_pci_config *config)
{
	int error = 0;

	memset(pci, 0, sizeof(*pci));
	vfu_pci_put16(pci, PCI_VENDOR_ID, config->vendor_id, 0);
	vfu_pci_put16(pci, PCI_DEVICE_ID, config->device_id, 0);
	vfu_pci_put16(pci, PCI_COMMAND, 0,
			PCI_COMMAND_MEMORY | VFU_PCI_COMMAND_BUS | PCI_COMMAND_INTX_DISABLE);
	vfu_pci_put16(pci, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	vfu_pci_put32(pci, PCI_CLASS_REVISION, config->class_code << 8 | config->revision, 0);
	pci->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	vfu_pci_put16(pci, PCI_SUBSYSTEM_VENDOR_ID, config->subsystem_vendor_id, 0);
	vfu_pci_put16(pci, PCI_SUBSYSTEM_ID, config->subsystem_id, 0);
	pci->writable[PCI_INTERRUPT_LINE] = 0xff;
	for (unsigned int i = 0; i < PCI_STD_NUM_BARS && error == 0; i++)
		error = vfu_pci_init_bar(pci, config->bars, i);
	if (error < 0)
		return error;

	vfu_pci_init_express(pci);
	pci->bytes[PCI_CAPABILITY_LIST] = VFU_PCI_CAP_EXP;
	if (config->irq != VFU_PCI_IRQ_NONE) {
		pci->bytes[PCI_CAPABILITY_LIST] = VFU_PCI_CAP_IRQ;
		pci->bytes[VFU_PCI_CAP_IRQ + PCI_CAP_LIST_NEXT] = VFU_PCI_CAP_EXP;
	}
	if (config->irq == VFU_PCI_IRQ_MSI)
		error = vfu_pci_init_msi(pci, config);
	else if (config->irq == VFU_PCI_IRQ_MSIX)
		error = vfu_pci_init_msix(pci, config);
	memcpy(pci->initial, pci->bytes, sizeof(pci->initial));
	return error;
}

void
vfu_pci_read(const struct vfu_pci *pci, size_t offset, void *data, size_t count)
{
	memcpy(data, &pci->bytes[offset], count);
}

bool
vfu_pci_write(struct vfu_pci *pci, size_t offset, const void *data, size_t count)
{
	const uint8_t *bytes = data;
	size_t flr = pci->devctl + 1; /* the byte PCI_EXP_DEVCTL_BCR_FLR is in */

	for (size_t i = 0; i < count; i++) {
		uint8_t mask = pci->writable[offset + i];

		pci->bytes[offset + i] = (pci->bytes[offset + i] & ~mask) | (bytes[i] & mask);
	}
	return flr >= offset && flr < offset + count &&
			(bytes[flr - offset] & (PCI_EXP_DEVCTL_BCR_FLR >> 8));
}

void
vfu_pci_reset(struct vfu_pci *pci)
{
	memcpy(pci->bytes, pci->initial, sizeof(pci->bytes));
}
