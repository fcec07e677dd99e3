/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_vring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vhost_pci_inflight.h"
#include "vhost_pci_iotlb.h"
#include "vhost_pci_lend.h"
#include "vhost_pci_peer_fd.h"

/** Alignments of a split ring's parts (VIRTIO 2.7) and of a packed ring's (VIRTIO 2.8). */
enum {
	ALIGN_DESC = 16,
	ALIGN_AVAIL = 2,
	ALIGN_USED = 4,
	ALIGN_EVENT = 4,
};

static const char *const error_names[VHOST_PCI_VRING_E_MAX] = {
	[VHOST_PCI_VRING_OK] = "none",
	[VHOST_PCI_VRING_E_AVAIL_IDX] = "avail_idx",
	[VHOST_PCI_VRING_E_HEAD] = "head",
	[VHOST_PCI_VRING_E_NEXT] = "next",
	[VHOST_PCI_VRING_E_LOOP] = "loop",
	[VHOST_PCI_VRING_E_WRAP] = "wrap",
	[VHOST_PCI_VRING_E_INDIRECT] = "indirect",
	[VHOST_PCI_VRING_E_INDIRECT_LEN] = "indirect_len",
	[VHOST_PCI_VRING_E_INDIRECT_NEXT] = "indirect_next",
	[VHOST_PCI_VRING_E_INDIRECT_NESTED] = "indirect_nested",
	[VHOST_PCI_VRING_E_ADDR] = "addr",
	[VHOST_PCI_VRING_E_DIRECTION] = "direction",
	[VHOST_PCI_VRING_E_LENGTH] = "length",
	[VHOST_PCI_VRING_E_SEGMENTS] = "segments",
	[VHOST_PCI_VRING_E_ID] = "id",
	[VHOST_PCI_VRING_E_RUNT] = "runt",
};

const char *
vhost_pci_vring_error_name(enum vhost_pci_vring_error error)
{
	return (unsigned int)error < VHOST_PCI_VRING_E_MAX ? error_names[error] : "unknown";
}

void
vhost_pci_vring_init(struct vhost_pci_vring *vr, unsigned int index)
{
	memset(vr, 0, sizeof(*vr));
	vr->index = index;
	vr->kick_fd = -1;
	vr->call.fd = -1;
	vr->err.fd = -1;
	vr->dirty.notifier.fd = -1;
	vr->broken_fd = -1;
}

void
vhost_pci_vring_fini(struct vhost_pci_vring *vr)
{
	int broken_fd = vr->broken_fd;

	vhost_pci_lend_close(vr);
	vhost_pci_inflight_close(vr);
	vhost_pci_vring_unmap(vr);
	vhost_pci_peer_fd_close(vr->kick_fd);
	if (!vr->call.is_inband)
		vhost_pci_peer_fd_close(vr->call.fd);
	if (!vr->err.is_inband)
		vhost_pci_peer_fd_close(vr->err.fd);
	vhost_pci_vring_init(vr, vr->index);
	vr->broken_fd = broken_fd;
}

/** A part of a ring, and what is done there. */
struct ring_part {
	uint64_t addr; /**< uva; behind an IOTLB an iova. */
	uint64_t size;
	unsigned int align;
	uint8_t perm; /**< VHOST_ACCESS_*; looked at by an IOTLB. */
};

/** Translate an address by the IOTLB, which may have it in pieces. */
static int
translate_part(struct vhost_pci_vring *vr, const struct ring_part *part, void **va)
{
	uint64_t len = part->size;
	uint64_t rest = 1;

	*va = vhost_pci_iotlb_translate(vr->iotlb, part->addr, &len, part->perm);
	if (*va == NULL)
		return vhost_pci_vring_miss(vr, part->addr, part->perm);
	if (len == part->size)
		return 0;
	/* What follows is known, but it is elsewhere. */
	if (vhost_pci_iotlb_translate(vr->iotlb, part->addr + len, &rest, part->perm) != NULL)
		return -EFAULT;
	return vhost_pci_vring_miss(vr, part->addr + len, part->perm);
}

/** Translate one part of a ring: aligned, and whole within one region. */
static int
map_part(struct vhost_pci_vring *vr, const struct vhost_pci_mem *mem, const struct ring_part *part,
		void **va)
{
	int ret = 0;

	if (vr->iotlb != NULL)
		ret = translate_part(vr, part, va);
	else
		*va = vhost_pci_mem_uva_to_va(mem, part->addr, part->size);
	if (ret < 0)
		return ret;
	if (*va == NULL)
		return -EFAULT;
	/* The mapping is page-aligned, so the guest's alignment shows in the address here. */
	return (uintptr_t)*va % part->align != 0 ? -EINVAL : 0;
}

static int
map_split(struct vhost_pci_vring *vr, const struct vhost_pci_mem *mem, uint16_t size)
{
	/* VIRTIO 2.7.6, 2.7.8: each of the two ends with an event index, negotiated or not. */
	const struct ring_part desc = { vr->desc_uva, (uint64_t)size * sizeof(struct vring_desc),
		ALIGN_DESC, VHOST_ACCESS_RO };
	const struct ring_part avail = { vr->avail_uva,
		sizeof(struct vring_avail) + ((uint64_t)size + 1) * sizeof(__virtio16), ALIGN_AVAIL,
		VHOST_ACCESS_RO };
	const struct ring_part used = { vr->used_uva,
		sizeof(struct vring_used) + (uint64_t)size * sizeof(struct vring_used_elem) +
				sizeof(__virtio16),
		ALIGN_USED, VHOST_ACCESS_RW };
	void *va[3];
	int ret;

	if ((size & (size - 1)) != 0)
		return -EINVAL;
	ret = map_part(vr, mem, &desc, &va[0]);
	if (ret == 0)
		ret = map_part(vr, mem, &avail, &va[1]);
	if (ret == 0)
		ret = map_part(vr, mem, &used, &va[2]);
	if (ret < 0)
		return ret;
	vr->split.desc = va[0];
	vr->split.avail = va[1];
	vr->split.used = va[2];
	return 0;
}

static int
map_packed(struct vhost_pci_vring *vr, const struct vhost_pci_mem *mem, uint16_t size)
{
	const struct ring_part desc = { vr->desc_uva,
		(uint64_t)size * sizeof(struct vring_packed_desc), ALIGN_DESC, VHOST_ACCESS_RW };
	const struct ring_part driver_event = { vr->avail_uva,
		sizeof(struct vring_packed_desc_event), ALIGN_EVENT, VHOST_ACCESS_RO };
	const struct ring_part device_event = { vr->used_uva,
		sizeof(struct vring_packed_desc_event), ALIGN_EVENT, VHOST_ACCESS_WO };
	void *va[3];
	int ret;

	ret = map_part(vr, mem, &desc, &va[0]);
	if (ret == 0)
		ret = map_part(vr, mem, &driver_event, &va[1]);
	if (ret == 0)
		ret = map_part(vr, mem, &device_event, &va[2]);
	if (ret < 0)
		return ret;
	vr->packed.desc = va[0];
	vr->packed.driver_event = va[1];
	vr->packed.device_event = va[2];
	return 0;
}

static int
map_parts(struct vhost_pci_vring *vr, const struct vhost_pci_mem *mem, uint16_t size,
		bool is_packed)
{
	return is_packed ? map_packed(vr, mem, size) : map_split(vr, mem, size);
}

/** Have a table of segments: the old one where it is of that size, for memory comes and goes. */
static int
make_segs(struct vhost_pci_vring *vr, uint32_t max_segs)
{
	if (vr->max_segs == max_segs)
		return 0;
	free(vr->segs);
	vr->max_segs = 0;
	vr->segs = calloc(max_segs, sizeof(*vr->segs));
	if (vr->segs == NULL)
		return -ENOMEM;
	vr->max_segs = max_segs;
	return 0;
}

static int
map_ring(struct vhost_pci_vring *vr, const struct vhost_pci_mem *mem,
		const struct vhost_pci_vring_format *format)
{
	/* A chain may need all descriptors or the longest of tables, each of whose buffers may
	 * continue in another region; and others may be held at the same time.
	 */
	uint32_t max_segs = 2 * vhost_pci_vring_max_table(format->size) + 64;
	int ret;

	if (format->size == 0 || format->size > VHOST_PCI_VRING_MAX_SIZE)
		return -EINVAL;
	if (mem == NULL)
		return -EFAULT;
	ret = map_parts(vr, mem, format->size, format->is_packed);
	if (ret < 0)
		return ret;
	return make_segs(vr, max_segs);
}

/** Forget what a vring has of a memory table, but not its table of segments. */
static void
forget_mem(struct vhost_pci_vring *vr)
{
	memset(&vr->split, 0, sizeof(vr->split));
	memset(&vr->cache, 0, sizeof(vr->cache));
	vr->nb_segs = 0;
	vhost_pci_mem_put(vr->mem);
	vr->mem = NULL;
	vr->iotlb = NULL;
	vr->size = 0;
}

int
vhost_pci_vring_map(struct vhost_pci_vring *vr, struct vhost_pci_mem *mem,
		const struct vhost_pci_vring_format *format)
{
	int ret;

	/* First of all: this vring may hold the last reference of its own table. */
	vhost_pci_mem_get(mem);
	forget_mem(vr);
	vr->iotlb = format->iotlb;
	ret = map_ring(vr, mem, format);
	if (ret < 0) {
		vhost_pci_vring_unmap(vr);
		vhost_pci_mem_put(mem);
		return ret;
	}
	vr->mem = mem;
	vr->size = format->size;
	vr->is_packed = format->is_packed;
	vr->event_idx = format->event_idx;
	vr->indirect = format->indirect;
	vr->hdr_len = format->hdr_len;
	vhost_pci_lend_follow_mem(vr);
	return 0;
}

int
vhost_pci_vring_remap(struct vhost_pci_vring *vr)
{
	return map_parts(vr, vr->mem, vr->size, vr->is_packed);
}

int
vhost_pci_vring_miss(struct vhost_pci_vring *vr, uint64_t iova, uint8_t perm)
{
	struct vhost_pci_miss *miss = &vr->miss;

	/* Partner: control's store of NONE, after it has read the rest. */
	if (vhost_pci_load_acquire(&miss->state) != VHOST_PCI_MISS_NONE)
		return -EAGAIN;
	miss->iova = iova;
	miss->perm = perm;
	vhost_pci_count(&vr->stats.iotlb_misses, 1);
	/* Partner: control's load of the state, before it reads the rest. */
	vhost_pci_store_release(&miss->state, VHOST_PCI_MISS_POSTED);
	vhost_pci_notify_fd_signal(vr->broken_fd, VHOST_PCI_NOTIFY_WRITE);
	return -EAGAIN;
}

void
vhost_pci_vring_unmap(struct vhost_pci_vring *vr)
{
	forget_mem(vr);
	free(vr->segs);
	vr->segs = NULL;
	vr->max_segs = 0;
}

/** Set a packed ring's slots and wrap counters. */
static int
set_base_packed(struct vhost_pci_vring *vr, uint32_t base)
{
	uint16_t avail = base & VHOST_PCI_BASE_SLOT_MASK;
	uint16_t used;

	/* DPDK's virtio_user and vhost library know of the avail half only, and leave the used one
	 * 0: a ring that was stopped in good order has nothing under way, both are the same.
	 */
	if (base >> 16 == 0)
		base |= base << 16;
	used = (base >> 16) & VHOST_PCI_BASE_SLOT_MASK;
	if (avail >= vr->size || used >= vr->size)
		return -EINVAL;
	vr->avail_idx = avail;
	vr->avail_wrap = (base >> VHOST_PCI_BASE_WRAP_BIT) & 1;
	vr->used_idx = used;
	vr->used_wrap = (base >> (16 + VHOST_PCI_BASE_WRAP_BIT)) & 1;
	return 0;
}

int
vhost_pci_vring_set_base(struct vhost_pci_vring *vr, uint32_t base)
{
	if (vr->is_packed) {
		int ret = set_base_packed(vr, base);

		if (ret < 0)
			return ret;
	} else {
		vr->avail_idx = (uint16_t)base;
		vr->used_idx = (uint16_t)base;
	}
	vr->avail_seen = vr->avail_idx;
	vhost_pci_vring_show_avail(vr, vr->is_packed);
	/* As far away as it can be: it is written at the first opportunity. */
	vr->kick_event = (uint16_t)(vr->avail_idx + 0x8000);
	vr->signalled_idx = vr->used_idx;
	vr->signalled_valid = false;
	vr->nb_unflushed = 0;
	vhost_pci_store_relaxed(&vr->error, VHOST_PCI_VRING_OK);
	return 0;
}

uint32_t
vhost_pci_vring_get_base(const struct vhost_pci_vring *vr)
{
	if (!vr->is_packed)
		return vr->avail_idx;
	return vr->avail_idx | (uint32_t)vr->avail_wrap << VHOST_PCI_BASE_WRAP_BIT |
			(vr->used_idx | (uint32_t)vr->used_wrap << VHOST_PCI_BASE_WRAP_BIT) << 16;
}

void
vhost_pci_vring_pause(struct vhost_pci_vring *vr)
{
	unsigned int spins = 0;

	/* Partners: vhost_pci_vring_enter(), which stores busy and then loads mode, and
	 * vhost_pci_vring_enter_look(), which does so with nb_lookers.
	 */
	vhost_pci_store_full(&vr->mode, VHOST_PCI_VRING_OFF);
	while (vhost_pci_load_full(&vr->busy) != 0 || vhost_pci_load_full(&vr->nb_lookers) != 0)
		vhost_pci_relax(&spins);
}

void
vhost_pci_vring_resume(struct vhost_pci_vring *vr, enum vhost_pci_vring_mode mode)
{
	/* Partner: the load of mode in vhost_pci_vring_enter(). */
	vhost_pci_store_release(&vr->mode, mode);
}

void
vhost_pci_vring_set_broken(struct vhost_pci_vring *vr, enum vhost_pci_vring_error error)
{
	if (vhost_pci_load_relaxed(&vr->error) != VHOST_PCI_VRING_OK)
		return;
	vhost_pci_store_relaxed(&vr->error, error);
	vhost_pci_store_relaxed(&vr->mode, VHOST_PCI_VRING_OFF);
	vhost_pci_notify_fd_signal(vr->broken_fd, VHOST_PCI_NOTIFY_WRITE);
}

void
vhost_pci_notifier_signal(const struct vhost_pci_notifier *notifier)
{
	/* In-band the partner is control, which takes the value after it was woken. */
	if (notifier->doorbell != NULL)
		vhost_pci_store_release(notifier->doorbell, notifier->value);
	if (notifier->doorbell == NULL || notifier->is_inband)
		vhost_pci_notify_fd_signal(notifier->fd, notifier->way);
}
