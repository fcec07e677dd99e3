/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A small device in the same process: the other side of the front-end's rings, for its self-test.
 *
 * It is written for being obviously right, one step at a time, and shares no code with the rings
 * it tests.
 */

#ifndef TEST_DEVICE_H
#define TEST_DEVICE_H

#include "tfe.h"

/** Descriptors of a chain at most. */
#define TD_SEGS 300

/** Bytes of a packet at most, header included. */
#define TD_PACKET_BYTES (UINT32_C(128) << 10)

/** A buffer of a chain. */
struct td_seg {
	uint8_t *va;
	uint32_t len_bytes;
	bool writable;
};

/** A chain the device has taken. */
struct td_chain {
	uint16_t id;
	uint16_t nb_descs; /**< in the ring; an indirect chain takes one */
	unsigned int nb_segs;
	struct td_seg segs[TD_SEGS];
};

/** The device's side of a ring. */
struct td_ring {
	const struct tfe_ring *shared; /**< only its addresses, size and call_fd are used */
	const struct tfe_mem *mem;
	uint16_t avail_idx;
	uint16_t used_idx;
	bool avail_wrap;
	bool used_wrap;
	uint16_t called_idx; /**< event idx: used_idx at the last look at the driver's event */
	bool called_wrap;
	const char *error; /**< what the driver did wrong */
};

/** Begin at the start of a ring. */
void td_init(struct td_ring *ring, const struct tfe_ring *shared, const struct tfe_mem *mem);

/** Take the next chain: 1, 0 when there is none, -1 with ring->error. */
int td_pop(struct td_ring *ring, struct td_chain *chain);

/** Use a chain. */
void td_push(struct td_ring *ring, const struct td_chain *chain, uint32_t len_bytes);

/** In order: use nb chains of one descriptor each with one entry, that of the last. */
void td_push_batch(struct td_ring *ring, const struct td_chain *last, unsigned int nb,
		uint32_t len_bytes);

/** Copy the readable bytes of a chain; returns how many, or -1 for any writable buffer. */
int td_read(const struct td_chain *chain, void *bytes, uint32_t room_bytes);

/** Copy bytes into the writable buffers; returns how many had room, or -1 for a readable one. */
int td_write(const struct td_chain *chain, const void *bytes, uint32_t nb_bytes);

/** Say whether kicks are wanted; with EVENT_IDX: for the next chain. */
void td_want_kicks(struct td_ring *ring, bool want);

/** Call the driver if it wants that. Returns whether it was called. */
bool td_call(struct td_ring *ring);

/** How td_loop() brings packets back. */
struct td_loop_conf {
	unsigned int hdr_bytes;
	bool mergeable;
	unsigned int nb_max; /**< packets at most; 0: all there are */
	bool reverse;        /**< use transmitted chains in reverse order */
	bool batch;          /**< in order: one used entry for all transmitted chains */
};

/**
 * Bring transmitted packets back: every chain of tx that has room in rx.
 *
 * @return packets moved, or -1 with the error in one of the rings.
 */
int td_loop(struct td_ring *tx, struct td_ring *rx, const struct td_loop_conf *conf);

#endif /* TEST_DEVICE_H */
