/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stddef.h>

#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vhost_pci_csum.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_offload.h"

/** What a received packet's headers are, as found in the packet. */
struct rx_headers {
	uint32_t ptype;
	struct rte_net_hdr_lens lens;
	uint32_t l4_offset; /**< Of the outermost layer 4 header. */
};

static uint32_t
rx_parse(const struct rte_mbuf *m, struct rx_headers *headers)
{
	headers->ptype = rte_net_get_ptype(m, &headers->lens,
			RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
	headers->l4_offset = (uint32_t)headers->lens.l2_len + headers->lens.l3_len;
	return headers->ptype & RTE_PTYPE_L4_MASK;
}

/** Write two bytes of a packet at any offset, be they in two mbufs. */
static void
mbuf_write16(struct rte_mbuf *m, uint32_t offset, uint16_t value)
{
	uint8_t bytes[sizeof(value)];
	unsigned int i;

	memcpy(bytes, &value, sizeof(value));
	for (i = 0; i < sizeof(bytes); i++, offset++) {
		while (offset >= m->data_len) {
			offset -= m->data_len;
			m = m->next;
		}
		*rte_pktmbuf_mtod_offset(m, uint8_t *, offset) = bytes[i];
	}
}

/** Whether two bytes of a packet are in the front-end's memory, which is not to be written to. */
static bool
mbuf_is_lent(const struct rte_mbuf *m, uint32_t offset)
{
	for (; offset >= m->data_len; m = m->next)
		offset -= m->data_len;
	/* Lent mbufs are the last ones of a packet. */
	if (offset + 1u == m->data_len)
		m = m->next;
	return RTE_MBUF_HAS_EXTBUF(m);
}

/** Complete a partial checksum: the field has the sum of the pseudo header in it. */
static int
rx_complete_csum(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	uint16_t sum;

	if (mbuf_is_lent(m, (uint32_t)hdr->csum_start + hdr->csum_offset))
		return -EROFS;
	sum = vhost_pci_csum_mbuf(m, hdr->csum_start, m->pkt_len - hdr->csum_start);
	mbuf_write16(m, (uint32_t)hdr->csum_start + hdr->csum_offset, vhost_pci_csum_field(sum));
	rxq->stats.sw_csum++;
	return 0;
}

/**
 * The flag that says which checksum is yet to be computed, in terms of mbufs to be sent; 0 where
 * there is none: not the outermost layer 4, or a protocol that flags can't name.
 */
static uint64_t
rx_csum_flag(const struct virtio_net_hdr *hdr, const struct rx_headers *headers)
{
	uint32_t l4 = headers->ptype & RTE_PTYPE_L4_MASK;

	if (hdr->csum_start != headers->l4_offset)
		return 0;
	if (l4 == RTE_PTYPE_L4_TCP && hdr->csum_offset == offsetof(struct rte_tcp_hdr, cksum))
		return RTE_MBUF_F_TX_TCP_CKSUM;
	if (l4 == RTE_PTYPE_L4_UDP && hdr->csum_offset == offsetof(struct rte_udp_hdr, dgram_cksum))
		return RTE_MBUF_F_TX_UDP_CKSUM;
	return 0;
}

/** Flags of an mbuf to be sent on a received one, so that an application passes them on. */
static void
rx_set_legacy_flags(struct rte_mbuf *m, uint64_t flags, const struct rx_headers *headers)
{
	flags |= RTE_ETH_IS_IPV4_HDR(headers->ptype) ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->ol_flags |= flags;
	m->l2_len = headers->lens.l2_len;
	m->l3_len = headers->lens.l3_len;
	m->l4_len = headers->lens.l4_len;
}

/** Handle VIRTIO_NET_HDR_F_NEEDS_CSUM. */
static int
rx_csum(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m,
		const struct rx_headers *headers)
{
	uint64_t flag;

	/* VIRTIO 5.1.6.2.2: the field must be in the packet. */
	if ((uint32_t)hdr->csum_start + hdr->csum_offset + sizeof(uint16_t) > m->pkt_len)
		return -EBADMSG;
	flag = rx_csum_flag(hdr, headers);
	if (rxq->legacy_ol_flags && flag != 0) {
		rx_set_legacy_flags(m, flag, headers);
		return 0;
	}
	if ((flag == RTE_MBUF_F_TX_TCP_CKSUM && rxq->offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) ||
			(flag == RTE_MBUF_F_TX_UDP_CKSUM &&
					rxq->offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM)) {
		/* Intact data, of which the checksum has not been computed. */
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
		return 0;
	}
	return rx_complete_csum(rxq, hdr, m);
}

/** Whether this kind of GSO was negotiated, and the packet is of that kind. */
static bool
rx_gso_is_legal(const struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr,
		const struct rx_headers *headers)
{
	uint32_t l4 = headers->ptype & RTE_PTYPE_L4_MASK;

	/* VIRTIO 5.1.6.2.1: the ECN bit only where it was negotiated. */
	if (hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN &&
			(rxq->features & VHOST_PCI_FEATURE(NET_F_HOST_ECN)) == 0)
		return false;
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return l4 == RTE_PTYPE_L4_TCP && RTE_ETH_IS_IPV4_HDR(headers->ptype) &&
				rxq->features & VHOST_PCI_FEATURE(NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return l4 == RTE_PTYPE_L4_TCP && RTE_ETH_IS_IPV6_HDR(headers->ptype) &&
				rxq->features & VHOST_PCI_FEATURE(NET_F_HOST_TSO6);
	case VIRTIO_NET_HDR_GSO_UDP:
		return l4 == RTE_PTYPE_L4_UDP && rxq->features & VHOST_PCI_FEATURE(NET_F_HOST_UFO);
	default:
		return false;
	}
}

/** Handle a packet that is left to be segmented. hdr->hdr_len is a hint, and not believed. */
static int
rx_gso(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m,
		const struct rx_headers *headers)
{
	uint32_t headers_len = headers->l4_offset + headers->lens.l4_len;
	bool is_udp = (headers->ptype & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_UDP;

	/* VIRTIO 5.1.6.2.1: a size above 0, and for TCP with a checksum to be completed. */
	if (!rx_gso_is_legal(rxq, hdr, headers) || hdr->gso_size == 0 ||
			(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)
		return -EBADMSG;
	/* A packet that fits one segment is an ordinary one. */
	if (m->pkt_len <= headers_len + hdr->gso_size)
		return 0;
	m->tso_segsz = hdr->gso_size;
	rxq->stats.lro++;
	if (rxq->legacy_ol_flags)
		rx_set_legacy_flags(m, is_udp ? RTE_MBUF_F_TX_UDP_SEG : RTE_MBUF_F_TX_TCP_SEG,
				headers);
	else
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
	return 0;
}

/**
 * Do for a received packet what its header asks for: checksum, segmentation.
 *
 * @return 0; -EBADMSG where the header contradicts the packet, which is then to be dropped; -EROFS
 *	   where a checksum is to be written to the front-end's memory: nothing was done yet.
 *
 * Clause: VIRTIO 5.1.6.2 (what a driver may send), 5.1.6.2.2 (what a device must check).
 */
static int
rx_header(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	struct rx_headers headers;
	int ret = 0;

	rx_parse(m, &headers);
	m->tx_offload = 0;
	/* VIRTIO 5.1.6.2.2: flags that a device does not know are ignored. */
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
			rxq->features & VHOST_PCI_FEATURE(NET_F_CSUM))
		ret = rx_csum(rxq, hdr, m, &headers);
	if (ret == 0 && hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		ret = rx_gso(rxq, hdr, m, &headers);
	return ret;
}

/**
 * What an application may have asked for besides the bytes; rare.
 *
 * @return 0; -EBADMSG: drop the packet; -EROFS: where something is to be written the packet is the
 *	   front-end's memory, a copy is needed.
 */
static int
rx_extras(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	bool is_ours = !RTE_MBUF_HAS_EXTBUF(m);
	int ret;

	/* Looked at once: in the front-end's memory the tag may come and go. */
	if (rxq->vlan_strip && !is_ours &&
			rte_pktmbuf_mtod(m, const struct rte_ether_hdr *)->ether_type ==
					rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN))
		return -EROFS;
	ret = hdr != NULL ? rx_header(rxq, hdr, m) : 0;
	if (ret < 0)
		return ret;
	/* A tag needs a whole Ethernet header behind it, and data in the first mbuf. */
	if (rxq->vlan_strip && is_ours && m->data_len >= RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN &&
			rte_vlan_strip(m) == 0 && m->ol_flags & VHOST_PCI_TX_OFFLOAD_FLAGS)
		/* What was set for its transmission counted the tag. */
		m->l2_len -= RTE_VLAN_HLEN;
	if (rxq->ptype_mask != 0)
		m->packet_type = rte_net_get_ptype(m, NULL, rxq->ptype_mask);
	return 0;
}

struct rte_mbuf *
vhost_pci_rx_finish(struct vhost_pci_rxq *rxq, const struct virtio_net_hdr *hdr, struct rte_mbuf *m)
{
	int ret = rx_extras(rxq, hdr, m);
	struct rte_mbuf *copy;

	if (ret == -EROFS) {
		copy = rte_pktmbuf_copy(m, rxq->pool, 0, UINT32_MAX);
		rte_pktmbuf_free(m);
		if (copy == NULL) {
			rxq->stats.no_mbuf++;
			return NULL;
		}
		m = copy;
		m->port = vhost_pci_port_id(rxq->port);
		ret = rx_extras(rxq, hdr, m);
	}
	if (ret == 0)
		return m;
	rxq->stats.bad_header++;
	rte_pktmbuf_free(m);
	return NULL;
}
