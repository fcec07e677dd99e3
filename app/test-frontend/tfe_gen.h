/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The generator: produces or consumes packets on one ring as fast as a core can, so that in a
 * benchmark the back-end is what is measured.
 *
 * Descriptors are prepared once and only recycled: for a split ring a burst reads used entries and
 * moves avail->idx, for a packed ring it writes descriptors back. No system call but a kick, and
 * that only when the device asks for one; calls are never asked for.
 *
 * A generator is driven by one thread: the caller's, by tfe_gen_poll(), or one of a tfe_worker.
 * Counters may be read by any thread with tfe_gen_stats().
 */

#ifndef TFE_GEN_H
#define TFE_GEN_H

#include <pthread.h>

#include "tfe_dev.h"
#include "tfe_frame.h"

/** Direction, seen from the front-end. */
enum tfe_gen_dir {
	TFE_GEN_TRANSMIT, /**< transmitq: the back-end receives */
	TFE_GEN_RECEIVE,  /**< receiveq: the back-end transmits */
};

/** How a packet lies in descriptors. */
enum tfe_gen_layout {
	TFE_GEN_SINGLE,   /**< header and frame in one buffer */
	TFE_GEN_CHAIN,    /**< header, then the frame in nb_segs buffers, chained */
	TFE_GEN_INDIRECT, /**< the same in an indirect table: one descriptor in the ring */
};

/** What the generator does with the payload. */
enum tfe_gen_touch {
	TFE_GEN_TOUCH_NONE,    /**< nothing: written once at the start, never read */
	TFE_GEN_TOUCH_HEADER,  /**< receive: read the virtio-net header (num_buffers) */
	TFE_GEN_TOUCH_PAYLOAD, /**< transmit: write every frame anew; receive: read every byte */
	TFE_GEN_TOUCH_VERIFY,  /**< as PAYLOAD, with the proof of tfe_frame.h made or checked */
};

/** Room a guest's packet buffer takes at least, metadata included; sizes the cache footprint. */
#define TFE_GEN_STRIDE 2304

/** Calls after which less than min_burst is taken. */
#define TFE_GEN_PATIENCE 64

/** Bytes of a frame at most: what one segmentation offload packet may have. */
#define TFE_GEN_FRAME_BYTES (UINT32_C(65535) + 14)

/** What a generator shall do. Fields not named are best left 0. */
struct tfe_gen_conf {
	enum tfe_gen_dir dir;
	enum tfe_gen_layout layout;
	enum tfe_gen_touch touch;
	uint32_t frame_bytes; /**< transmit: length of a frame, without header and FCS */
	uint32_t buf_bytes;   /**< receive: room for a frame in one chain, without header */
	uint32_t nb_segs;     /**< buffers the frame is cut into; 0 stands for 1 */
	uint32_t burst;       /**< chains a call moves at most; 0 stands for 64 */
	/** Chains a call waits for before it touches the ring, so that both sides do not fight for
	 * the same cache lines; 0 stands for 1, benchmarks want about 32; at most half of all there
	 * are. When fewer come for TFE_GEN_PATIENCE calls, those are taken.
	 */
	uint32_t min_burst;
	uint32_t nb_bufs;      /**< chains in use; 0: as many as the ring has room for */
	uint16_t stream;       /**< for TFE_GEN_TOUCH_VERIFY */
	bool one_stream;       /**< receive, verify: frames of other streams are foreign */
	uint32_t stride_bytes; /**< from chain to chain; 0: TFE_GEN_STRIDE or what is needed */
	uint64_t nb_packets;   /**< transmit: stop after as many; 0: no end */
};

/** Counters of a generator. */
struct tfe_gen_stats {
	/** Transmit: used by the device. Receive: received, but without a touch chains are counted,
	 * of which a mergeable packet may have many, and nb_bytes leaves out a header in each.
	 */
	uint64_t nb_packets;
	uint64_t nb_bytes;   /**< of frames, without virtio-net headers */
	uint64_t nb_bursts;  /**< calls that moved at least one packet */
	uint64_t nb_empty;   /**< calls that moved none */
	uint64_t nb_kicks;   /**< system calls made */
	uint64_t nb_bad;     /**< verify: changed frames; else frames of impossible length */
	uint64_t nb_lost;    /**< verify: gaps in the sequence */
	uint64_t nb_late;    /**< verify: doubled or late frames */
	uint64_t nb_foreign; /**< verify: frames of other origin */
};

struct tfe_gen;

/**
 * Prepare buffers and descriptors on an open device's ring; nothing is made available yet.
 *
 * The ring must have no chain outstanding. It is the generator's from now on: tfe_ring_*() must not
 * add or take until tfe_ring_reset(). Buffers come from region 0 and go with the memory.
 *
 * @return 0 and *gen; -ENOMEM; -EINVAL; -EBUSY; -ENOTSUP for INDIRECT when not negotiated.
 */
int tfe_gen_create(struct tfe_gen **gen, struct tfe_dev *dev, unsigned int pair,
		const struct tfe_gen_conf *conf);

/** Free private state. */
void tfe_gen_destroy(struct tfe_gen *gen);

/**
 * Move one burst: take what the device used, make it available again.
 *
 * The first call makes the chains available.
 *
 * @return chains taken from the used ring; -EPROTO when the device broke the rules (the generator
 *         then stays stopped).
 */
int tfe_gen_poll(struct tfe_gen *gen);

/** Transmit with nb_packets: all made available and used. */
bool tfe_gen_done(const struct tfe_gen *gen);

/**
 * Transmit: make no more available, wait until the device has used all there is.
 *
 * Each chain must come back exactly once. @return 0, -ETIMEDOUT (chains were lost), -EPROTO.
 */
int tfe_gen_drain(struct tfe_gen *gen, int timeout_ms);

/**
 * Start anew on the ring after tfe_dev_reconnect(), which has reset it; or after tfe_gen_drain().
 *
 * Counters and sequence numbers go on; a transmitter with nb_packets gets as many again.
 */
void tfe_gen_restart(struct tfe_gen *gen);

/** Read the counters; any thread. */
void tfe_gen_stats(const struct tfe_gen *gen, struct tfe_gen_stats *stats);

/** Why tfe_gen_poll() returned -EPROTO; or NULL. Any thread. */
const char *tfe_gen_error(const struct tfe_gen *gen);

/** A thread that polls generators in turn. */
struct tfe_worker {
	pthread_t thread;
	struct tfe_gen **gens;
	unsigned int nb_gens;
	int cpu;   /**< pinned there, or -1 */
	int error; /**< -errno that ended it, valid after tfe_worker_stop() */
	bool stop; /**< atomic: written by the owner, read by the thread */
	bool started;
};

/** Start a worker over generators that live until it is stopped. @param cpu  -1: not pinned. */
int tfe_worker_start(struct tfe_worker *worker, struct tfe_gen **gens, unsigned int nb_gens,
		int cpu);

/** Ask the thread to end and wait for it. @return 0 or the error that ended it. */
int tfe_worker_stop(struct tfe_worker *worker);

/** Poll generators in turn in this thread for duration_ns. */
int tfe_gen_run(struct tfe_gen **gens, unsigned int nb_gens, uint64_t duration_ns);

/** What tfe_ping() measures. */
struct tfe_ping_result {
	uint64_t nb_sent;
	uint64_t nb_received;
	uint64_t nb_bad; /**< frames that came back changed */
	uint64_t min_ns;
	uint64_t p50_ns;
	uint64_t p99_ns;
	uint64_t p999_ns;
	uint64_t max_ns;
};

/** What tfe_ping() shall do. */
struct tfe_ping_conf {
	uint32_t frame_bytes;
	uint64_t nb_packets; /**< round trips to measure */
	uint64_t nb_warmup;  /**< round trips before that */
	int timeout_ms;      /**< for one round trip */
};

/**
 * Round trips, one packet in flight: send on a pair's transmitq, poll its receiveq. The back-end
 * must send back what it gets.
 *
 * @return 0, -ETIMEDOUT for a lost packet, -EPROTO, -ENOMEM.
 */
int tfe_ping(struct tfe_dev *dev, unsigned int pair, const struct tfe_ping_conf *conf,
		struct tfe_ping_result *result);

#endif /* TFE_GEN_H */
