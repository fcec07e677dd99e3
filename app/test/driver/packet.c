/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "packet.h"

#include <string.h>

enum {
	MAC_BYTES = 6,
	ETHER_BYTES = 14,
	VLAN_BYTES = 4,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	UDP_BYTES = 8,
	IPV4_CSUM = 10,
	TCP_CSUM = 16,
	UDP_CSUM = 6,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
};

static void
put16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

/** Sum of big-endian words, folded, not inverted. */
static uint32_t
sum(const uint8_t *bytes, uint32_t len, uint32_t start)
{
	uint32_t i, total = start;

	for (i = 0; i < len; i++) {
		total += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
		total = (total & 0xffff) + (total >> 16);
	}
	return total;
}

static uint32_t
pseudo_sum(const struct packet *packet, const uint8_t *bytes, uint32_t l4_bytes)
{
	const uint8_t *ip = bytes + packet->l2_len;
	uint8_t tail[4] = { 0, packet->is_udp ? PROTO_UDP : PROTO_TCP };
	uint32_t total;

	put16(tail + 2, l4_bytes);
	total = packet->is_ipv6 ? sum(ip + 8, 32, 0) : sum(ip + 12, 8, 0);
	return sum(tail, sizeof(tail), total);
}

static void
build_ether(struct packet *packet)
{
	static const uint8_t macs[2 * MAC_BYTES] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	uint8_t *at = packet->bytes + sizeof(macs);

	memcpy(packet->bytes, macs, sizeof(macs));
	packet->l2_len = ETHER_BYTES;
	if (packet->has_vlan) {
		put16(at, 0x8100);
		put16(at + 2, 0x123);
		at += VLAN_BYTES;
		packet->l2_len += VLAN_BYTES;
	}
	put16(at, packet->is_ipv6 ? 0x86dd : 0x0800);
}

static void
build_ip(struct packet *packet)
{
	uint8_t *ip = packet->bytes + packet->l2_len;
	uint8_t proto = packet->is_udp ? PROTO_UDP : PROTO_TCP;
	uint32_t l4_bytes = packet->l4_len + packet->payload_len;
	unsigned int i;

	packet->l3_len = packet->is_ipv6 ? IPV6_BYTES : IPV4_BYTES;
	memset(ip, 0, packet->l3_len);
	if (packet->is_ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, l4_bytes);
		ip[6] = proto;
		ip[7] = 64;
		for (i = 0; i < 32; i++)
			ip[8 + i] = (uint8_t)(0x20 + i);
		return;
	}
	ip[0] = 0x45;
	put16(ip + 2, IPV4_BYTES + l4_bytes);
	ip[8] = 64;
	ip[9] = proto;
	for (i = 0; i < 8; i++)
		ip[12 + i] = (uint8_t)(10 + i);
	put16(ip + IPV4_CSUM, ~sum(ip, IPV4_BYTES, 0));
}

static void
build_l4(struct packet *packet)
{
	uint8_t *l4 = packet->bytes + packet->l4_offset;
	uint32_t l4_bytes = packet->l4_len + packet->payload_len;
	uint32_t i, total;

	memset(l4, 0, packet->l4_len);
	put16(l4, 1234);
	put16(l4 + 2, 4321);
	if (packet->is_udp) {
		put16(l4 + 4, l4_bytes);
	} else {
		l4[7] = 1;
		l4[12] = TCP_BYTES / 4 << 4;
		l4[13] = 0x10;
	}
	for (i = 0; i < packet->payload_len; i++)
		l4[packet->l4_len + i] = (uint8_t)(i * 7 + i / 256);
	total = sum(l4, l4_bytes, pseudo_sum(packet, packet->bytes, l4_bytes));
	put16(l4 + packet->csum_offset, ~total);
}

void
packet_build(struct packet *packet)
{
	packet->l4_len = packet->is_udp ? UDP_BYTES : TCP_BYTES;
	packet->csum_offset = packet->is_udp ? UDP_CSUM : TCP_CSUM;
	build_ether(packet);
	build_ip(packet);
	packet->l4_offset = packet->l2_len + packet->l3_len;
	build_l4(packet);
	packet->len = packet->l4_offset + packet->l4_len + packet->payload_len;
}

void
packet_make_partial(struct packet *packet)
{
	put16(packet->bytes + packet->l4_offset + packet->csum_offset,
			pseudo_sum(packet, packet->bytes, packet->l4_len + packet->payload_len));
}

void
packet_clear_csum(struct packet *packet)
{
	put16(packet->bytes + packet->l4_offset + packet->csum_offset, 0);
}

bool
packet_csum_is_good(const struct packet *packet, const uint8_t *bytes, uint32_t len)
{
	uint32_t l4_bytes = len - packet->l4_offset;

	return sum(bytes + packet->l4_offset, l4_bytes, pseudo_sum(packet, bytes, l4_bytes)) ==
			0xffff;
}

bool
packet_csum_is_partial(const struct packet *packet, const uint8_t *bytes, uint32_t len)
{
	uint8_t expected[2];

	put16(expected, pseudo_sum(packet, bytes, len - packet->l4_offset));
	return memcmp(bytes + packet->l4_offset + packet->csum_offset, expected,
			       sizeof(expected)) == 0;
}

bool
packet_ip_csum_is_good(const struct packet *packet, const uint8_t *bytes)
{
	return sum(bytes + packet->l2_len, IPV4_BYTES, 0) == 0xffff;
}
