/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_batch_priv.h"

const char *
vhost_pci_isa_name(enum vhost_pci_isa isa)
{
	static const char *const names[VHOST_PCI_ISA_MAX] = {
		[VHOST_PCI_ISA_SCALAR] = "Scalar",
		[VHOST_PCI_ISA_AVX2] = "Vector AVX2",
		[VHOST_PCI_ISA_AVX512] = "Vector AVX512",
	};

	return names[isa];
}

bool
vhost_pci_isa_supported(enum vhost_pci_isa isa)
{
	/* A load of several descriptors is none that ThreadSanitizer could pair with a store. */
#if defined(VHOST_PCI_AVX) && !defined(VHOST_PCI_THREAD_CHECKER)
	if (isa == VHOST_PCI_ISA_AVX2)
		return __builtin_cpu_supports("avx2") != 0;
	if (isa == VHOST_PCI_ISA_AVX512)
		return __builtin_cpu_supports("avx512f") != 0 &&
				__builtin_cpu_supports("avx512bw") != 0 &&
				__builtin_cpu_supports("avx512vl") != 0;
#endif
	return isa == VHOST_PCI_ISA_SCALAR;
}

VHOST_PCI_ALWAYS_INLINE unsigned int
take_split(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max,
		const enum vhost_pci_dir dir)
{
	/* Copies, which what is written to the batch can't change. */
	const struct vhost_pci_mem_cache cache = vr->cache;
	const struct vring_desc *table = vr->split.desc;
	const uint16_t *ring = vr->split.avail->ring;
	const uint32_t size = vr->size;
	uint32_t avail_idx = vr->avail_idx;
	unsigned int nb, nb_seen, nb_max;

	batch->is_last = true;
	if ((uint16_t)(vr->avail_seen - avail_idx) < max && vhost_pci_split_nb_avail(vr) <= 0)
		return 0;
	nb_seen = (uint16_t)(vr->avail_seen - avail_idx);
	nb_max = nb_seen < max ? nb_seen : max;
	for (nb = 0; nb < nb_max; nb++) {
		uint32_t head = vhost_pci_load_relaxed(&ring[(avail_idx + nb) & (size - 1)]);
		struct vhost_pci_desc desc;

		if (vhost_pci_unlikely(head >= size))
			break;
		desc = vhost_pci_desc_load_split(&table[head]);
		if (vhost_pci_unlikely((desc.flags & VHOST_PCI_PLAIN_MASK) !=
						    vhost_pci_plain_flags(dir) ||
				    !vhost_pci_batch_add(&cache, batch, nb, &desc)))
			break;
		batch->id[nb] = (uint16_t)head;
	}
	batch->is_last = nb < max && nb == nb_seen;
	return nb;
}

static unsigned int
take_split_dequeue(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max)
{
	return take_split(vr, batch, max, VHOST_PCI_DEQUEUE);
}

static unsigned int
take_split_enqueue(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max)
{
	return take_split(vr, batch, max, VHOST_PCI_ENQUEUE);
}

VHOST_PCI_ALWAYS_INLINE unsigned int
take_packed(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max,
		const enum vhost_pci_dir dir)
{
	/* No group is so small. */
	const struct vhost_pci_group one_by_one = { NULL, UINT32_MAX };

	return vhost_pci_packed_take(vr, batch, max, dir, one_by_one);
}

static unsigned int
take_packed_dequeue(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max)
{
	return take_packed(vr, batch, max, VHOST_PCI_DEQUEUE);
}

static unsigned int
take_packed_enqueue(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max)
{
	return take_packed(vr, batch, max, VHOST_PCI_ENQUEUE);
}

static const vhost_pci_take_fn_t split_takers[2] = {
	[VHOST_PCI_DEQUEUE] = take_split_dequeue,
	[VHOST_PCI_ENQUEUE] = take_split_enqueue,
};

static const vhost_pci_take_fn_t packed_takers[2] = {
	[VHOST_PCI_DEQUEUE] = take_packed_dequeue,
	[VHOST_PCI_ENQUEUE] = take_packed_enqueue,
};

vhost_pci_take_fn_t
vhost_pci_batch_taker(unsigned int kind, enum vhost_pci_dir dir, enum vhost_pci_isa *isa)
{
	if ((kind & VHOST_PCI_RING_PACKED) == 0) {
		*isa = VHOST_PCI_ISA_SCALAR;
		return split_takers[dir];
	}
#if defined(VHOST_PCI_AVX)
	if (*isa == VHOST_PCI_ISA_AVX512)
		return vhost_pci_packed_takers_avx512[dir];
	if (*isa == VHOST_PCI_ISA_AVX2)
		return vhost_pci_packed_takers_avx2[dir];
#endif
	*isa = VHOST_PCI_ISA_SCALAR;
	return packed_takers[dir];
}
