/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Packets over a device's rings: send and receive whole frames in any chain layout.
 *
 * Made for tests, where clarity counts; for speed see tfe_gen.h.
 */

#ifndef TFE_NET_H
#define TFE_NET_H

#include "tfe_dev.h"

/** Buffers one chain may have here. */
#define TFE_NET_SEGS 128

/** How frames lie in descriptors. Zero-initialised: header and frame in one buffer. */
struct tfe_net_layout {
	bool split_header;      /**< the virtio-net header has a buffer of its own */
	bool indirect;          /**< the chain is one indirect descriptor */
	uint32_t hdr_seg_bytes; /**< with split_header: pieces the header is cut into; 0: whole */
	uint32_t seg_bytes; /**< cut the frame (the receive buffer) into pieces of this; 0: whole */
};

/** A piece of a buffer: one element of its chain. A guard follows it. */
struct tfe_net_piece {
	uint32_t offset; /**< in the buffer */
	uint32_t len_bytes;
};

/**
 * One direction of a pair: a ring and a pool of buffers, one for each descriptor.
 *
 * The pieces of a buffer don't touch each other; guard bytes between them show a device that writes
 * beyond a piece.
 */
struct tfe_netq {
	struct tfe_dev *dev;
	struct tfe_ring *ring;
	struct tfe_net_layout layout;
	struct tfe_net_piece pieces[TFE_NET_SEGS];
	uint32_t nb_pieces;     /**< of a whole buffer, those of the header first */
	uint32_t nb_hdr_pieces; /**< 0 when header and frame share the first piece */
	struct tfe_buf pool;
	uint32_t stride_bytes; /**< from one buffer to the next */
	uint32_t nb_bufs;
	uint32_t *free_bufs; /**< stack of free buffers' numbers */
	uint32_t nb_free_bufs;
	uint8_t *packet; /**< receive: where header and frame are gathered */
	/** Receive: without MRG_RXBUF take any num_buffers for 1; net_vhost does not write it. */
	bool ignore_num_buffers;
	bool hold;         /**< send and post only add; tfe_netq_flush() publishes and kicks */
	const char *error; /**< what the device did wrong, after -EPROTO; or NULL */
};

/** A received packet; the pointer is valid until the next call on the queue. */
struct tfe_pkt {
	struct virtio_net_hdr_v1 hdr; /**< num_buffers is 1 for the 10-byte header */
	const uint8_t *frame;
	uint32_t len_bytes; /**< of the frame, without the header */
	uint32_t nb_chains; /**< chains it took */
};

/** Largest packet tfe_netq_recv() gathers, header included. */
#define TFE_NET_PACKET_BYTES (UINT32_C(128) << 10)

/**
 * Make a queue over vring number vring of an open device.
 *
 * @param buf_bytes  room of one buffer for a frame; that for the header comes on top. The pool
 *                   comes from region 0 and is freed with the memory.
 * @return 0, -ENOMEM, -EINVAL for a layout of more than TFE_NET_SEGS pieces.
 */
int tfe_netq_init(struct tfe_netq *q, struct tfe_dev *dev, unsigned int vring, uint32_t buf_bytes,
		const struct tfe_net_layout *layout);

/** Free private state. */
void tfe_netq_fini(struct tfe_netq *q);

/**
 * Send one frame on a transmitq; used chains are taken back first.
 *
 * @param hdr  its header, or NULL for zeros; its first hdr_bytes are sent.
 * @return 0; -ENOSPC when the ring or pool is full; -EMSGSIZE; -EPROTO as tfe_ring_get_used().
 */
int tfe_netq_send(struct tfe_netq *q, const struct virtio_net_hdr_v1 *hdr, const void *frame,
		uint32_t len_bytes);

/** Wait until every chain sent has been used. @return 0, -ETIMEDOUT, -EPROTO. */
int tfe_netq_wait_sent(struct tfe_netq *q, int timeout_ms);

/** Make up to nb chains available on a receiveq. @return how many, or -errno. */
int tfe_netq_post(struct tfe_netq *q, unsigned int nb);

/**
 * Receive one packet, gathered from all its buffers; they are not posted again.
 *
 * @return 1; 0 on time-out; -EPROTO when the device broke the rules (num_buffers, lengths,
 *         writes beyond a buffer); the reason is in q->error.
 */
int tfe_netq_recv(struct tfe_netq *q, struct tfe_pkt *pkt, int timeout_ms);

/** Publish what was added under hold, and kick if wanted. */
int tfe_netq_flush(struct tfe_netq *q);

#endif /* TFE_NET_H */
