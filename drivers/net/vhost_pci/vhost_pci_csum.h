/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The Internet checksum (RFC 1071) over parts of packets.
 */

#ifndef VHOST_PCI_CSUM_H
#define VHOST_PCI_CSUM_H

#include <rte_byteorder.h>
#include <rte_ip.h>

/** Add two sums, neither of which is inverted. */
static inline uint16_t
vhost_pci_csum_add(uint16_t a, uint16_t b)
{
	uint32_t sum = (uint32_t)a + b;

	return (uint16_t)(sum > UINT16_MAX ? sum - UINT16_MAX : sum);
}

/** Add the sum of a part that begins at an offset: at an odd one its bytes count swapped. */
static inline uint16_t
vhost_pci_csum_add_at(uint16_t sum, uint16_t part, uint32_t offset)
{
	return vhost_pci_csum_add(sum, offset % 2 == 0 ? part : rte_bswap16(part));
}

/**
 * The checksum field's value for a sum. 0 would mean "no checksum" to UDP (RFC 768), and is the
 * same as 0xffff to all others.
 */
static inline uint16_t
vhost_pci_csum_field(uint16_t sum)
{
	return sum == UINT16_MAX ? UINT16_MAX : (uint16_t)~sum;
}

/**
 * Sum bytes of an mbuf.
 *
 * rte_raw_cksum_mbuf() loses carries where a segment begins at an odd offset.
 *
 * @param offset Of the first one.
 * @param len    Their number; offset + len is at most the packet's length.
 */
static inline uint16_t
vhost_pci_csum_mbuf(const struct rte_mbuf *m, uint32_t offset, uint32_t len)
{
	uint32_t done = 0, part;
	uint16_t sum = 0;

	for (; m != NULL && done < len; m = m->next) {
		if (offset >= m->data_len) {
			offset -= m->data_len;
			continue;
		}
		part = RTE_MIN(m->data_len - offset, len - done);
		sum = vhost_pci_csum_add_at(sum,
				rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, offset),
						part),
				done);
		done += part;
		offset = 0;
	}
	return sum;
}

#endif /* VHOST_PCI_CSUM_H */
