/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "test.h"
#include "vfu_requests.h"

const struct vfr_good vfr_goods[] = {
	{ VFC_DMA_MAP, { 32, 3, 0, 0, 0x100000, 0, 0x1000, 0 }, 32, 1, 0 },
	{ VFC_DMA_UNMAP, { 24, 0, 0x100000, 0, 0x1000, 0 }, 24, 0, 0 },
	{ VFC_GET_INFO, { 16, 0, 0, 0 }, 16, 0, 0 },
	{ VFC_GET_REGION_INFO, { 32, 0, VFC_BAR2, 0, 0, 0, 0, 0 }, 32, 0, 0 },
	{ VFC_GET_REGION_IO_FDS, { 16, 0, VFC_BAR0, 0 }, 16, 0, ENOTSUP },
	{ VFC_GET_IRQ_INFO, { 16, 0, VFC_MSIX, 0 }, 16, 0, 0 },
	{ VFC_SET_IRQS, { 20, 0x24, VFC_MSIX, 1, 2 }, 20, 2, 0 },
	{ VFC_REGION_READ, { 0x100, 0, VFC_BAR0, 4 }, 16, 0, 0 },
	{ VFC_REGION_WRITE, { 0x100, 0, VFC_BAR0, 4, 0 }, 20, 0, 0 },
	{ VFC_RESET, { 0 }, 0, 0, 0 },
	{ VFC_WRITE_MULTI, { 1, 0, 0x100, 0, VFC_BAR0, 4, 0, 0 }, 32, 0, ENOTSUP },
	{ VFC_FEATURE, { 8, 1 << 16 | 1 }, 8, 0, ENOTTY },
};

const unsigned int vfr_nb_goods = sizeof(vfr_goods) / sizeof(vfr_goods[0]);

const struct vfr_bad vfr_bads[] = {
	/* argsz, flags, offset, address, size */
	{ VFC_DMA_MAP, 0, 0, false },
	{ VFC_DMA_MAP, 0, 31, false },
	{ VFC_DMA_MAP, 0, UINT32_MAX, false },
	{ VFC_DMA_MAP, 1, 4, false },
	{ VFC_DMA_MAP, 1, UINT32_MAX, false },
	{ VFC_DMA_MAP, 3, UINT32_MAX, false }, /* no offset of a file */
	{ VFC_DMA_MAP, 7, UINT32_MAX, false },
	{ VFC_DMA_MAP, 6, 0, false },
	/* argsz, flags, address, size */
	{ VFC_DMA_UNMAP, 0, 23, false },
	{ VFC_DMA_UNMAP, 0, UINT32_MAX, true },
	{ VFC_DMA_UNMAP, 1, 1, false },
	{ VFC_DMA_UNMAP, 1, 2, false }, /* all, and a range */
	{ VFC_DMA_UNMAP, 4, 0, false },
	{ VFC_DMA_UNMAP, 5, UINT32_MAX, true },
	/* argsz, flags, num_regions, num_irqs */
	{ VFC_GET_INFO, 0, 0, false },
	{ VFC_GET_INFO, 0, 15, false },
	{ VFC_GET_INFO, 0, UINT32_MAX, true },
	{ VFC_GET_INFO, 1, 1, false },
	{ VFC_GET_INFO, 2, 9, false },
	{ VFC_GET_INFO, 3, 5, false },
	/* argsz, flags, index, cap_offset, size, offset */
	{ VFC_GET_REGION_INFO, 0, 0, false },
	{ VFC_GET_REGION_INFO, 0, 31, false },
	{ VFC_GET_REGION_INFO, 0, UINT32_MAX, true },
	{ VFC_GET_REGION_INFO, 1, 4, false },
	{ VFC_GET_REGION_INFO, 2, VFC_NB_REGIONS, false },
	{ VFC_GET_REGION_INFO, 2, UINT32_MAX, false },
	{ VFC_GET_REGION_INFO, 3, 32, false },
	{ VFC_GET_REGION_INFO, 4, 1, false },
	{ VFC_GET_REGION_INFO, 7, 1, false },
	/* argsz, flags, index, count */
	{ VFC_GET_REGION_IO_FDS, 0, 15, false },
	{ VFC_GET_REGION_IO_FDS, 1, 1, false },
	{ VFC_GET_REGION_IO_FDS, 2, VFC_NB_REGIONS, false },
	{ VFC_GET_REGION_IO_FDS, 3, 1, false },
	/* argsz, flags, index, count */
	{ VFC_GET_IRQ_INFO, 0, 15, false },
	{ VFC_GET_IRQ_INFO, 1, 1, false },
	{ VFC_GET_IRQ_INFO, 2, VFC_NB_IRQS, false },
	{ VFC_GET_IRQ_INFO, 2, UINT32_MAX, false },
	{ VFC_GET_IRQ_INFO, 3, 1, false },
	/* argsz, flags, index, start, count */
	{ VFC_SET_IRQS, 0, 0, false },
	{ VFC_SET_IRQS, 0, 24, false },
	{ VFC_SET_IRQS, 1, 0, false },
	{ VFC_SET_IRQS, 1, 0x04, false }, /* no action */
	{ VFC_SET_IRQS, 1, 0x20, false }, /* no data */
	{ VFC_SET_IRQS, 1, 0x26, false }, /* two kinds of data */
	{ VFC_SET_IRQS, 1, 0x34, false }, /* two actions */
	{ VFC_SET_IRQS, 1, 0x0c, false }, /* mask, which no type has */
	{ VFC_SET_IRQS, 1, 0x21, false }, /* fds without wanting any */
	{ VFC_SET_IRQS, 1, 0x22, false }, /* a list that is not there */
	{ VFC_SET_IRQS, 1, 0x64, false },
	{ VFC_SET_IRQS, 2, 0, false },
	{ VFC_SET_IRQS, 2, VFC_NB_IRQS, false },
	{ VFC_SET_IRQS, 2, UINT32_MAX, false },
	{ VFC_SET_IRQS, 3, VFR_VECTORS - 1, false },
	{ VFC_SET_IRQS, 3, UINT32_MAX, false },
	{ VFC_SET_IRQS, 4, 0, false },
	{ VFC_SET_IRQS, 4, 1, false },
	{ VFC_SET_IRQS, 4, 3, false },
	{ VFC_SET_IRQS, 4, UINT32_MAX, false },
	/* offset, region, count */
	{ VFC_REGION_READ, 0, VFR_BAR0_BYTES - 3, false },
	{ VFC_REGION_READ, 1, UINT32_MAX, false },
	{ VFC_REGION_READ, 2, 1, false },
	{ VFC_REGION_READ, 2, VFC_NB_REGIONS, false },
	{ VFC_REGION_READ, 2, UINT32_MAX, false },
	{ VFC_REGION_READ, 3, 0, false },
	{ VFC_REGION_READ, 3, VFR_BAR0_BYTES, false },
	{ VFC_REGION_READ, 3, UINT32_MAX, false },
	{ VFC_REGION_WRITE, 0, VFR_BAR0_BYTES - 3, false },
	{ VFC_REGION_WRITE, 1, UINT32_MAX, false },
	{ VFC_REGION_WRITE, 2, 1, false },
	{ VFC_REGION_WRITE, 2, VFC_NB_REGIONS, false },
	{ VFC_REGION_WRITE, 3, 0, false },
	{ VFC_REGION_WRITE, 3, 3, false },
	{ VFC_REGION_WRITE, 3, 5, false },
	{ VFC_REGION_WRITE, 3, UINT32_MAX, false },
	/* argsz, flags */
	{ VFC_FEATURE, 0, 7, false },
	{ VFC_FEATURE, 1, 1, false },
	{ VFC_FEATURE, 1, 1u << 19 | 1 << 16 | 1, false },
};

const unsigned int vfr_nb_bads = sizeof(vfr_bads) / sizeof(vfr_bads[0]);

const struct vfr_good *
vfr_find(uint16_t command)
{
	for (unsigned int i = 0; i < vfr_nb_goods; i++) {
		if (vfr_goods[i].command == command)
			return &vfr_goods[i];
	}
	fail_msg("no request %u", command);
	return NULL;
}

void
vfr_make(struct vfc_msg *msg, const struct vfr_good *good)
{
	vfc_msg_init(msg, good->command, good->words, good->nb_bytes);
	for (unsigned int i = 0; i < good->nb_fds; i++)
		msg->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	msg->nb_fds = good->nb_fds;
}

int
vfr_call(struct vfc *client, struct vfc_msg *msg)
{
	unsigned int nb_fds = msg->nb_fds;
	int fds[32], ret;

	memcpy(fds, msg->fds, sizeof(fds));
	ret = vfc_call(client, msg);
	for (unsigned int i = 0; i < nb_fds; i++)
		close(fds[i]);
	if (ret >= 0) {
		for (unsigned int i = 0; i < msg->nb_fds; i++)
			close(msg->fds[i]);
	}
	return ret;
}

void
vfr_make_bad(struct vfc_msg *msg, const struct vfr_bad *bad)
{
	vfr_make(msg, vfr_find(bad->command));
	memcpy(msg->payload + 4 * bad->word, &bad->value, sizeof(bad->value));
}
