/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Ethernet/IPv4/UDP frames that carry their own proof: a stream number, a sequence number and a
 * payload that follows from both, so that a receiver can tell loss, doubling, reordering and any
 * changed bit. MAC addresses are not covered: a back-end may swap them.
 */

#ifndef TFE_FRAME_H
#define TFE_FRAME_H

#include <stddef.h>
#include <stdint.h>

/** Shortest frame that has room for the proof. */
#define TFE_FRAME_MIN_BYTES 60

/** Offset of the UDP payload. */
#define TFE_FRAME_PAYLOAD 42

/**
 * Write a frame.
 *
 * @param len_bytes  without FCS, TFE_FRAME_MIN_BYTES .. 65535 + 14.
 * @param stream     any number that tells streams apart; the UDP source port follows from it.
 */
void tfe_frame_build(void *frame, uint32_t len_bytes, uint16_t stream, uint64_t seq);

/** What tfe_frame_check() found. */
enum tfe_frame_verdict {
	TFE_FRAME_GOOD,
	TFE_FRAME_FOREIGN, /**< not one of ours: no magic number */
	TFE_FRAME_CORRUPT, /**< ours, but changed or cut */
};

/**
 * Check every byte from the IPv4 header on.
 *
 * @param stream, seq  out: valid when GOOD, and when CORRUPT what the frame says.
 */
enum tfe_frame_verdict tfe_frame_check(const void *frame, uint32_t len_bytes, uint16_t *stream,
		uint64_t *seq);

/**
 * The Internet checksum (RFC 1071) over bytes, folded to 16 bits and not complemented, in host
 * order.
 *
 * @param initial  the sum of what goes before, such as a pseudo header; pieces but the last must
 *                 have an even length.
 */
uint16_t tfe_frame_csum(const void *bytes, size_t nb_bytes, uint32_t initial);

#endif /* TFE_FRAME_H */
