/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <assert.h>
#include <string.h>

#include <arpa/inet.h>

#include "tfe_frame.h"

#define MAGIC      UINT32_C(0x56504354)
#define UDP_PORT   4789
#define MAC_BYTES  12
#define IP_OFFSET  14
#define UDP_OFFSET 34

/* What a frame carries from TFE_FRAME_PAYLOAD on; the rest is words made from stream and seq. */
struct proof {
	uint32_t magic;
	uint16_t stream;
	uint32_t seq_low;
	uint32_t seq_high;
	uint32_t len_bytes;
} __attribute__((packed));

#define FILL_OFFSET (TFE_FRAME_PAYLOAD + sizeof(struct proof))
static_assert(FILL_OFFSET == TFE_FRAME_MIN_BYTES, "the shortest frame has no room for the proof");

/* IPv4 without options and UDP, as they lie in the frame. */
struct headers {
	uint8_t dst_mac[6];
	uint8_t src_mac[6];
	uint16_t ether_type;
	uint8_t version_ihl;
	uint8_t tos;
	uint16_t total_len;
	uint16_t id;
	uint16_t fragment;
	uint8_t ttl;
	uint8_t protocol;
	uint16_t header_csum;
	uint32_t src_addr;
	uint32_t dst_addr;
	uint16_t src_port;
	uint16_t dst_port;
	uint16_t udp_len;
	uint16_t udp_csum;
} __attribute__((packed));
static_assert(sizeof(struct headers) == TFE_FRAME_PAYLOAD, "headers end where the payload starts");

uint16_t
tfe_frame_csum(const void *bytes, size_t nb_bytes, uint32_t initial)
{
	const uint8_t *p = bytes;
	uint64_t sum = initial;

	for (; nb_bytes > 1; nb_bytes -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (nb_bytes == 1)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A word of the filling: any change of stream, sequence or place shows. */
static inline uint64_t
fill_word(uint64_t seed, uint64_t i)
{
	return seed + i * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t
seed_of(uint16_t stream, uint64_t seq)
{
	return seq * UINT64_C(0xd6e8feb86659fd93) + stream * UINT64_C(0xa0761d6478bd642f);
}

static void
make_headers(struct headers *h, uint32_t len_bytes, uint16_t stream)
{
	*h = (struct headers){
		.dst_mac = { 0x02, 0, 0, 0, 0, 0x02 },
		.src_mac = { 0x02, 0, 0, 0, 0, 0x01 },
		.ether_type = htons(0x0800),
		.version_ihl = 0x45,
		.total_len = htons((uint16_t)(len_bytes - IP_OFFSET)),
		.ttl = 64,
		.protocol = 17,
		.src_addr = htonl(0xc6120001),
		.dst_addr = htonl(0xc6120002),
		.src_port = htons((uint16_t)(1024 + stream % 64000)),
		.dst_port = htons(UDP_PORT),
		.udp_len = htons((uint16_t)(len_bytes - UDP_OFFSET)),
	};
	h->header_csum = htons((uint16_t)~tfe_frame_csum(&h->version_ihl, 20, 0));
}

void
tfe_frame_build(void *frame, uint32_t len_bytes, uint16_t stream, uint64_t seq)
{
	const struct proof proof = {
		.magic = MAGIC,
		.stream = stream,
		.seq_low = (uint32_t)seq,
		.seq_high = (uint32_t)(seq >> 32),
		.len_bytes = len_bytes,
	};
	const uint64_t seed = seed_of(stream, seq);
	uint8_t *p = frame;
	struct headers headers;
	uint32_t offset = FILL_OFFSET;
	uint64_t word, i;

	make_headers(&headers, len_bytes, stream);
	memcpy(p, &headers, sizeof(headers));
	memcpy(p + TFE_FRAME_PAYLOAD, &proof, sizeof(proof));
	for (i = 0; offset + sizeof(word) <= len_bytes; i++, offset += sizeof(word)) {
		word = fill_word(seed, i);
		memcpy(p + offset, &word, sizeof(word));
	}
	word = fill_word(seed, i);
	memcpy(p + offset, &word, len_bytes - offset);
}

static int
fill_differs(const uint8_t *p, uint32_t len_bytes, uint64_t seed)
{
	uint32_t offset = FILL_OFFSET;
	uint64_t differs = 0, got, i;

	for (i = 0; offset + sizeof(got) <= len_bytes; i++, offset += sizeof(got)) {
		memcpy(&got, p + offset, sizeof(got));
		differs |= got ^ fill_word(seed, i);
	}
	if (offset < len_bytes) {
		uint64_t want = fill_word(seed, i);

		differs |= (uint64_t)memcmp(p + offset, &want, len_bytes - offset);
	}
	return differs != 0;
}

enum tfe_frame_verdict
tfe_frame_check(const void *frame, uint32_t len_bytes, uint16_t *stream, uint64_t *seq)
{
	const uint8_t *p = frame;
	struct headers headers;
	struct proof proof;

	if (len_bytes < TFE_FRAME_MIN_BYTES)
		return TFE_FRAME_FOREIGN;
	memcpy(&proof, p + TFE_FRAME_PAYLOAD, sizeof(proof));
	if (proof.magic != MAGIC)
		return TFE_FRAME_FOREIGN;
	*stream = proof.stream;
	*seq = (uint64_t)proof.seq_high << 32 | proof.seq_low;
	make_headers(&headers, len_bytes, *stream);
	if (proof.len_bytes != len_bytes ||
			memcmp(p + MAC_BYTES, (const uint8_t *)&headers + MAC_BYTES,
					sizeof(headers) - MAC_BYTES) != 0 ||
			fill_differs(p, len_bytes, seed_of(*stream, *seq)))
		return TFE_FRAME_CORRUPT;
	return TFE_FRAME_GOOD;
}
