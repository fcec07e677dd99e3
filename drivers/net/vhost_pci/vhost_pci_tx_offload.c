/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stddef.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vhost_pci_csum.h"
#include "vhost_pci_features.h"
#include "vhost_pci_offload.h"

/** Offsets and sizes in headers. */
enum {
	VLAN_OFFSET = 2 * RTE_ETHER_ADDR_LEN,
	TCP_FLAGS_OFFSET = offsetof(struct rte_tcp_hdr, tcp_flags),
	IPV6_ADDR = 16,
};

/** A packet on its way through the offloads. */
struct tx_packet {
	const struct rte_mbuf *m;
	struct vhost_pci_tx_prefix *prefix;
	uint64_t features;
	uint32_t l3_offset; /**< In prefix->headers. */
	uint32_t l4_offset;
	uint32_t l4_bytes; /**< Of layer 4's header and payload, without padding. */
	bool is_padded;    /**< The frame goes on behind layer 4. */
	uint16_t csum_offset;
	uint8_t l4_proto;
};

static void
write16(uint8_t *dst, uint16_t value)
{
	memcpy(dst, &value, sizeof(value));
}

/** Copy the mbuf's first bytes, which the application's lengths speak of, and lay in the tag. */
static int
tx_copy_headers(struct tx_packet *pkt, uint32_t len)
{
	const struct rte_mbuf *m = pkt->m;
	struct vhost_pci_tx_prefix *prefix = pkt->prefix;
	uint8_t *headers = prefix->headers;
	const void *bytes;

	if (len > m->pkt_len || len + RTE_VLAN_HLEN > VHOST_PCI_TX_HEADERS_MAX ||
			len < RTE_ETHER_HDR_LEN)
		return -EINVAL;
	bytes = rte_pktmbuf_read(m, 0, len, headers);
	if (bytes != headers)
		memcpy(headers, bytes, len);
	prefix->skip = len;
	prefix->headers_len = len;
	if (m->ol_flags & RTE_MBUF_F_TX_VLAN) {
		memmove(headers + VLAN_OFFSET + RTE_VLAN_HLEN, headers + VLAN_OFFSET,
				len - VLAN_OFFSET);
		write16(headers + VLAN_OFFSET, RTE_BE16(RTE_ETHER_TYPE_VLAN));
		write16(headers + VLAN_OFFSET + sizeof(uint16_t), rte_cpu_to_be_16(m->vlan_tci));
		prefix->headers_len += RTE_VLAN_HLEN;
	}
	return 0;
}

/** Compute the checksum of the IPv4 header: no front-end can be asked for that. */
static int
tx_ip_csum(struct tx_packet *pkt)
{
	uint8_t *ip = pkt->prefix->headers + pkt->l3_offset;
	const size_t offset = offsetof(struct rte_ipv4_hdr, hdr_checksum);

	if (pkt->m->l3_len < sizeof(struct rte_ipv4_hdr))
		return -EINVAL;
	write16(ip + offset, 0);
	write16(ip + offset, (uint16_t)~rte_raw_cksum(ip, pkt->m->l3_len));
	return 0;
}

/**
 * Find layer 4's length: what layer 3 says, for a frame may be padded (IEEE 802.3: to 60 bytes),
 * and padding is neither part of the pseudo header's length nor of the sum.
 */
static int
tx_l4_length(struct tx_packet *pkt)
{
	const struct rte_mbuf *m = pkt->m;
	const uint8_t *ip = pkt->prefix->headers + pkt->l3_offset;
	uint32_t room = m->pkt_len - m->l2_len - m->l3_len;
	uint32_t l3_bytes;
	uint16_t field;

	if (m->ol_flags & RTE_MBUF_F_TX_IPV4 && m->l3_len >= sizeof(struct rte_ipv4_hdr)) {
		memcpy(&field, ip + offsetof(struct rte_ipv4_hdr, total_length), sizeof(field));
		l3_bytes = rte_be_to_cpu_16(field);
	} else if (m->ol_flags & RTE_MBUF_F_TX_IPV6 && m->l3_len >= sizeof(struct rte_ipv6_hdr)) {
		memcpy(&field, ip + offsetof(struct rte_ipv6_hdr, payload_len), sizeof(field));
		l3_bytes = rte_be_to_cpu_16(field) + (uint32_t)sizeof(struct rte_ipv6_hdr);
	} else {
		return -EINVAL;
	}
	/* Packets to be segmented are not padded, and may be longer than layer 3 can tell. */
	if (m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) {
		pkt->l4_bytes = room;
		return 0;
	}
	if (l3_bytes < (uint32_t)m->l3_len + pkt->csum_offset + sizeof(field) ||
			l3_bytes - m->l3_len > room)
		return -EINVAL;
	pkt->l4_bytes = l3_bytes - m->l3_len;
	pkt->is_padded = pkt->l4_bytes < room;
	return 0;
}

/** Sum of the pseudo header, not inverted, with the length of all of layer 4 in it. */
static uint16_t
tx_phdr_sum(const struct tx_packet *pkt)
{
	const uint8_t *ip = pkt->prefix->headers + pkt->l3_offset;
	struct {
		uint32_t len;
		uint8_t zero[3];
		uint8_t proto;
	} tail = { rte_cpu_to_be_32(pkt->l4_bytes), { 0 }, pkt->l4_proto };
	uint16_t addrs;

	if (pkt->m->ol_flags & RTE_MBUF_F_TX_IPV4)
		addrs = rte_raw_cksum(ip + offsetof(struct rte_ipv4_hdr, src_addr),
				2 * sizeof(rte_be32_t));
	else
		addrs = rte_raw_cksum(ip + offsetof(struct rte_ipv6_hdr, src_addr), 2 * IPV6_ADDR);
	return vhost_pci_csum_add(addrs, rte_raw_cksum(&tail, sizeof(tail)));
}

/** Compute a layer 4 checksum here: the field has the pseudo header's sum in it. */
static void
tx_sw_csum(const struct tx_packet *pkt)
{
	struct vhost_pci_tx_prefix *prefix = pkt->prefix;
	uint8_t *l4 = prefix->headers + pkt->l4_offset;
	uint32_t in_headers = RTE_MIN(prefix->headers_len - pkt->l4_offset, pkt->l4_bytes);
	uint16_t sum;

	sum = vhost_pci_csum_add_at(rte_raw_cksum(l4, in_headers),
			vhost_pci_csum_mbuf(pkt->m, prefix->skip, pkt->l4_bytes - in_headers),
			in_headers);
	write16(l4 + pkt->csum_offset, vhost_pci_csum_field(sum));
	prefix->sw_csum = true;
}

/**
 * Layer 4 checksum: left to the front-end if it can do that, computed here otherwise. Its field is
 * in the headers that were copied.
 */
static void
tx_l4_csum(struct tx_packet *pkt)
{
	struct virtio_net_hdr_v1 *hdr = &pkt->prefix->hdr;

	write16(pkt->prefix->headers + pkt->l4_offset + pkt->csum_offset, tx_phdr_sum(pkt));
	/* VIRTIO 5.1.6.2: a front-end sums up to the frame's end, and padding need not be 0. */
	if ((pkt->features & VHOST_PCI_FEATURE(NET_F_GUEST_CSUM)) == 0 || pkt->is_padded) {
		tx_sw_csum(pkt);
		return;
	}
	/* VIRTIO 5.1.6.4.1: partial checksums only with GUEST_CSUM. */
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = (uint16_t)pkt->l4_offset;
	hdr->csum_offset = pkt->csum_offset;
}

/** Which GSO type an mbuf asks for, if the front-end takes it; 0 otherwise. */
static uint8_t
tx_gso_type(const struct rte_mbuf *m, uint64_t features)
{
	/* VIRTIO 5.1.3.1: each of them needs GUEST_CSUM. */
	if ((features & VHOST_PCI_FEATURE(NET_F_GUEST_CSUM)) == 0)
		return 0;
	if (m->ol_flags & RTE_MBUF_F_TX_UDP_SEG)
		return features & VHOST_PCI_FEATURE(NET_F_GUEST_UFO) ? VIRTIO_NET_HDR_GSO_UDP : 0;
	if (m->ol_flags & RTE_MBUF_F_TX_IPV4)
		return features & VHOST_PCI_FEATURE(NET_F_GUEST_TSO4) ? VIRTIO_NET_HDR_GSO_TCPV4
								      : 0;
	if (m->ol_flags & RTE_MBUF_F_TX_IPV6)
		return features & VHOST_PCI_FEATURE(NET_F_GUEST_TSO6) ? VIRTIO_NET_HDR_GSO_TCPV6
								      : 0;
	return 0;
}

/** Leave a packet to be segmented to the front-end. */
static int
tx_gso(struct tx_packet *pkt)
{
	const struct rte_mbuf *m = pkt->m;
	struct virtio_net_hdr_v1 *hdr = &pkt->prefix->hdr;
	uint8_t type = tx_gso_type(m, pkt->features);
	uint32_t headers_len = pkt->l4_offset + m->l4_len;

	if (m->tso_segsz == 0 || headers_len > pkt->prefix->headers_len)
		return -EINVAL;
	/* What fits one segment needs nobody to segment it. */
	if (pkt->l4_bytes <= (uint32_t)m->l4_len + m->tso_segsz)
		return 0;
	if (type == 0)
		return -ENOTSUP;
	/* VIRTIO 5.1.6.4.1: the ECN bit only where it was negotiated. Without it a congestion
	 * window reduced flag is repeated by who segments the packet, which does no harm.
	 */
	if (type != VIRTIO_NET_HDR_GSO_UDP && pkt->features & VHOST_PCI_FEATURE(NET_F_GUEST_ECN) &&
			pkt->prefix->headers[pkt->l4_offset + TCP_FLAGS_OFFSET] & RTE_TCP_CWR_FLAG)
		type |= VIRTIO_NET_HDR_GSO_ECN;
	hdr->gso_type = type;
	hdr->gso_size = m->tso_segsz;
	hdr->hdr_len = (uint16_t)headers_len;
	return 0;
}

/** Which layer 4 checksum is asked for: sets protocol and offset, false for an unknown one. */
static bool
tx_l4_kind(struct tx_packet *pkt)
{
	uint64_t flags = pkt->m->ol_flags;

	/* Segmentation implies the checksum (RTE_MBUF_F_TX_TCP_SEG). */
	if ((flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM ||
			flags & RTE_MBUF_F_TX_TCP_SEG) {
		pkt->l4_proto = IPPROTO_TCP;
		pkt->csum_offset = offsetof(struct rte_tcp_hdr, cksum);
	} else if ((flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM ||
			flags & RTE_MBUF_F_TX_UDP_SEG) {
		pkt->l4_proto = IPPROTO_UDP;
		pkt->csum_offset = offsetof(struct rte_udp_hdr, dgram_cksum);
	} else {
		return false;
	}
	return true;
}

/** Flags by which an mbuf asks for a layer 4 checksum, with segmentation or without. */
#define SEG_FLAGS (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)
#define L4_FLAGS  (RTE_MBUF_F_TX_L4_MASK | SEG_FLAGS)

/** Do all that an mbuf asks for but the layer 4 checksum, which can always be done then. */
static int
tx_begin(struct tx_packet *pkt)
{
	const struct rte_mbuf *m = pkt->m;
	struct vhost_pci_tx_prefix *prefix = pkt->prefix;
	uint32_t len = RTE_ETHER_HDR_LEN;
	int ret;

	memset(&prefix->hdr, 0, sizeof(prefix->hdr));
	prefix->sw_csum = false;
	/* Tunnels, a second tag, encryption: sent without it the packet would be another one. */
	if (m->ol_flags & VHOST_PCI_TX_OFFLOAD_FLAGS & ~VHOST_PCI_TX_KNOWN_FLAGS)
		return -ENOTSUP;
	if (m->ol_flags & L4_FLAGS) {
		if (!tx_l4_kind(pkt))
			return -ENOTSUP;
		len = RTE_MAX((uint32_t)m->l2_len + m->l3_len + m->l4_len,
				(uint32_t)m->l2_len + m->l3_len + pkt->csum_offset + 2);
	} else if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
		len = (uint32_t)m->l2_len + m->l3_len;
	}
	ret = tx_copy_headers(pkt, len);
	if (ret < 0)
		return ret;
	pkt->l3_offset = m->l2_len + (prefix->headers_len - prefix->skip);
	pkt->l4_offset = pkt->l3_offset + m->l3_len;
	if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM)
		ret = tx_ip_csum(pkt);
	if (ret == 0 && m->ol_flags & L4_FLAGS)
		ret = tx_l4_length(pkt);
	if (ret == 0 && m->ol_flags & SEG_FLAGS)
		ret = tx_gso(pkt);
	return ret;
}

int
vhost_pci_tx_check(uint64_t features, const struct rte_mbuf *m)
{
	struct vhost_pci_tx_prefix prefix;
	struct tx_packet pkt = { .m = m, .prefix = &prefix, .features = features };

	return tx_begin(&pkt);
}

int
vhost_pci_tx_offload(uint64_t features, const struct rte_mbuf *m,
		struct vhost_pci_tx_prefix *prefix)
{
	struct tx_packet pkt = { .m = m, .prefix = prefix, .features = features };
	int ret = tx_begin(&pkt);

	if (ret == 0 && m->ol_flags & L4_FLAGS)
		tx_l4_csum(&pkt);
	return ret;
}
