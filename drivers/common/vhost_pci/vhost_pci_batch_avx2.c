/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Four descriptors, one cache line's worth, at a time. Compiled with AVX2 on; reached only through
 * vhost_pci_batch_taker(), on processors that have it.
 */

#include "vhost_pci_batch_priv.h"

#include <immintrin.h>

/** There are only signed comparisons: numbers without sign, in their order. */
VHOST_PCI_ALWAYS_INLINE __m256i
signed_order(__m256i value)
{
	return _mm256_xor_si256(value, _mm256_set1_epi64x(INT64_MIN));
}

VHOST_PCI_ALWAYS_INLINE __m256i
load_pair(const struct vring_packed_desc *desc)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)desc);
}

/** The first halves of four descriptors, or the second ones, in the order 0, 2, 1, 3. */
#define FIRST_HALVES(low, high)  _mm256_unpacklo_epi64(low, high)
#define SECOND_HALVES(low, high) _mm256_unpackhi_epi64(low, high)

/** Bring what is in the order 0, 2, 1, 3 into the ring's. */
VHOST_PCI_ALWAYS_INLINE __m256i
in_order(__m256i value)
{
	return _mm256_permute4x64_epi64(value, 0xd8);
}

/** How many leading words have all bits set, of four. */
VHOST_PCI_ALWAYS_INLINE unsigned int
leading(__m256i words)
{
	int mask = _mm256_movemask_pd(_mm256_castsi256_pd(words));

	return (unsigned int)__builtin_ctz(~(unsigned int)mask);
}

/** Which of four second halves have the flags of plain descriptors. */
VHOST_PCI_ALWAYS_INLINE __m256i
has_flags(__m256i half, __m256i mask, __m256i want)
{
	return _mm256_cmpeq_epi64(_mm256_and_si256(half, mask), want);
}

/**
 * Take the leading plain ones of four descriptors.
 *
 * @return Their number.
 */
VHOST_PCI_ALWAYS_INLINE unsigned int
take_group(const struct vring_packed_desc *desc, uint16_t flags, struct vhost_pci_mem_cache cache,
		struct vhost_pci_batch *batch, unsigned int nb)
{
	const __m256i want = _mm256_set1_epi64x(vhost_pci_packed_flags_word(flags));
	const __m256i mask = _mm256_set1_epi64x(
			vhost_pci_packed_flags_word(VHOST_PCI_PACKED_PLAIN_MASK));
	const __m256i size = _mm256_set1_epi64x((long long)cache.size);
	const __m256i low_words = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
	unsigned int seen, plain;
	__m256i low, high, half, offset, len, room, ok, parts;

	/* Flags first. Partner: the driver's release of the flags (VIRTIO 2.8.21); these loads and
	 * the next ones are done in this order by the processor, and by the compiler as well.
	 */
	half = SECOND_HALVES(load_pair(&desc[0]), load_pair(&desc[2]));
	seen = leading(in_order(has_flags(half, mask, want)));
	if (seen == 0)
		return 0;
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
	/* Each field once more, and for good: what is checked here is what is used. */
	low = load_pair(&desc[0]);
	high = load_pair(&desc[2]);
	offset = _mm256_sub_epi64(in_order(FIRST_HALVES(low, high)),
			_mm256_set1_epi64x((long long)cache.gpa));
	half = in_order(SECOND_HALVES(low, high));
	len = _mm256_and_si256(half, _mm256_set1_epi64x(UINT32_MAX));
	room = _mm256_sub_epi64(size, offset);
	ok = has_flags(half, mask, want);
	ok = _mm256_and_si256(ok, _mm256_cmpgt_epi64(signed_order(size), signed_order(offset)));
	ok = _mm256_andnot_si256(_mm256_cmpgt_epi64(signed_order(len), signed_order(room)), ok);
	ok = _mm256_andnot_si256(_mm256_cmpeq_epi64(len, _mm256_setzero_si256()), ok);
	plain = leading(ok);
	/* Lengths in the lower half, ids and flags in the upper one. */
	parts = _mm256_permutevar8x32_epi32(half, low_words);
	_mm256_storeu_si256((__m256i *)(void *)&batch->va[nb],
			_mm256_add_epi64(offset,
					_mm256_set1_epi64x((long long)(uintptr_t)cache.va)));
	_mm_storeu_si128((__m128i *)(void *)&batch->len[nb], _mm256_castsi256_si128(parts));
	_mm_storel_epi64((__m128i *)(void *)&batch->id[nb],
			_mm_shuffle_epi8(_mm256_extracti128_si256(parts, 1),
					_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1,
							-1, -1, -1)));
	return plain < seen ? plain : seen;
}

static const struct vhost_pci_group group = { take_group, 4 };

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

const vhost_pci_take_fn_t vhost_pci_packed_takers_avx2[2] = {
	[VHOST_PCI_DEQUEUE] = take_dequeue,
	[VHOST_PCI_ENQUEUE] = take_enqueue,
};
