/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Eight descriptors, two cache lines, at a time. Compiled with AVX-512 on; reached only through
 * vhost_pci_batch_taker(), on processors that have it.
 */

#include "vhost_pci_batch_priv.h"

#include <immintrin.h>

/** Which of eight descriptors have the flags of plain ones, before any other field is loaded. */
VHOST_PCI_ALWAYS_INLINE unsigned int
group_flags(const struct vring_packed_desc *desc, __m512i mask, __m512i want)
{
	/* The odd words, four of each load: then pairs of bits, of which the upper one counts. */
	__mmask8 low = _mm512_mask_cmpeq_epi64_mask(0xaa,
			_mm512_and_si512(_mm512_loadu_si512(&desc[0]), mask), want);
	__mmask8 high = _mm512_mask_cmpeq_epi64_mask(0xaa,
			_mm512_and_si512(_mm512_loadu_si512(&desc[4]), mask), want);

	return (unsigned int)low | (unsigned int)high << 8;
}

/**
 * Take the leading plain ones of eight descriptors.
 *
 * @return Their number.
 */
VHOST_PCI_ALWAYS_INLINE unsigned int
take_group(const struct vring_packed_desc *desc, uint16_t flags, struct vhost_pci_mem_cache cache,
		struct vhost_pci_batch *batch, unsigned int nb)
{
	const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
	const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
	const __m512i want = _mm512_set1_epi64(vhost_pci_packed_flags_word(flags));
	const __m512i mask = _mm512_set1_epi64(
			vhost_pci_packed_flags_word(VHOST_PCI_PACKED_PLAIN_MASK));
	const __m512i region_size = _mm512_set1_epi64((long long)cache.size);
	__m512i first, second, half, offset, len;
	unsigned int seen, plain;
	__mmask8 ok;

	/* Flags first. Partner: the driver's release of the flags (VIRTIO 2.8.21); these loads and
	 * the next ones are done in this order by the processor, and by the compiler as well.
	 */
	seen = group_flags(desc, mask, want);
	if ((seen & 2) == 0)
		return 0;
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
	/* Each field once more, and for good: what is checked here is what is used. */
	first = _mm512_loadu_si512(&desc[0]);
	second = _mm512_loadu_si512(&desc[4]);
	half = _mm512_permutex2var_epi64(first, odd, second);
	len = _mm512_and_si512(half, _mm512_set1_epi64(UINT32_MAX));
	offset = _mm512_sub_epi64(_mm512_permutex2var_epi64(first, even, second),
			_mm512_set1_epi64((long long)cache.gpa));
	ok = _mm512_cmpeq_epi64_mask(_mm512_and_si512(half, mask), want);
	ok = _mm512_mask_cmplt_epu64_mask(ok, offset, region_size);
	ok = _mm512_mask_cmple_epu64_mask(ok, len, _mm512_sub_epi64(region_size, offset));
	ok = _mm512_mask_test_epi64_mask(ok, len, len);
	/* Behind the first one that is not plain, or was not seen, nothing counts. */
	plain = (unsigned int)__builtin_ctz(~(unsigned int)ok);
	seen = (unsigned int)__builtin_ctz(~(seen | 0x5555)) / 2;
	_mm512_storeu_si512(&batch->va[nb],
			_mm512_add_epi64(offset,
					_mm512_set1_epi64((long long)(uintptr_t)cache.va)));
	_mm256_storeu_si256((__m256i *)(void *)&batch->len[nb], _mm512_cvtepi64_epi32(half));
	_mm_storeu_si128((__m128i *)(void *)&batch->id[nb],
			_mm512_cvtepi64_epi16(_mm512_srli_epi64(half, 32)));
	return plain < seen ? plain : seen;
}

static const struct vhost_pci_group group = { take_group, 8 };

static unsigned int
take_dequeue(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max)
{
	return vhost_pci_packed_take(vr, batch, max, VHOST_PCI_DEQUEUE, group);
}

static unsigned int
take_enqueue(struct vhost_pci_vring *vr, struct vhost_pci_batch *batch, unsigned int max)
{
	return vhost_pci_packed_take(vr, batch, max, VHOST_PCI_ENQUEUE, group);
}

const vhost_pci_take_fn_t vhost_pci_packed_takers_avx512[2] = {
	[VHOST_PCI_DEQUEUE] = take_dequeue,
	[VHOST_PCI_ENQUEUE] = take_enqueue,
};
