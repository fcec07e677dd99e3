/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * TCP and UDP packets over IPv4 and IPv6 with checksums whole, partial or none. The sums are
 * computed here byte by byte, so that they share nothing with what is tested.
 */

#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stdint.h>

/** What a packet shall be, and where its parts are; packet_build() fills in the second half. */
struct packet {
	bool is_ipv6;
	bool is_udp;
	bool has_vlan;
	uint32_t payload_len;

	uint8_t bytes[65536 + 128];
	uint32_t len;
	uint16_t l2_len;
	uint16_t l3_len;
	uint16_t l4_len;
	uint16_t l4_offset;
	uint16_t csum_offset; /**< Of the checksum, in the layer 4 header. */
};

/** Write the packet, all its checksums right. */
void packet_build(struct packet *packet);

/** Replace the layer 4 checksum by the sum of the pseudo header, as a guest's driver does. */
void packet_make_partial(struct packet *packet);

/** Set the layer 4 checksum to 0. */
void packet_clear_csum(struct packet *packet);

/** Whether the layer 4 checksum of some bytes, a packet of this shape, is right. */
bool packet_csum_is_good(const struct packet *packet, const uint8_t *bytes, uint32_t len);

/** Whether it is the sum of the pseudo header. */
bool packet_csum_is_partial(const struct packet *packet, const uint8_t *bytes, uint32_t len);

/** Whether the checksum of the IPv4 header is right. */
bool packet_ip_csum_is_good(const struct packet *packet, const uint8_t *bytes);

#endif /* PACKET_H */
