/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The measured loop: the back-end's bursts in this thread, front-ends in another, for a time.
 */

#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include "bench_port.h"

/** Bursts whose cycles are kept: the last ones of a measurement. */
#define BENCH_NB_KEPT 16384

/** Links of a loop at most. */
#define BENCH_MAX_LINKS 2

struct bench_loop;

/** One turn of the back-end: count packets, or return -errno. */
typedef int (*bench_step_fn)(struct bench_loop *loop);

/** A back-end at work. */
struct bench_loop {
	const struct bench_job *job;
	bench_step_fn step;
	void *arg;                                 /**< For the step. */
	struct bench_link *links[BENCH_MAX_LINKS]; /**< Whose generators run; may be fewer. */
	unsigned int nb_links;
	uint16_t rx_port;
	uint16_t tx_port;
	uint8_t *frame;      /**< Proof: to build or gather a frame in. */
	uint64_t seq;        /**< Proof: next frame's number. */
	uint64_t nb_all;     /**< Packets, also those before and after the measured time. */
	uint64_t nb_dropped; /**< Received, and not taken by the port they were to leave on. */
	uint64_t nb_packets;
	uint64_t nb_bursts;           /**< That moved packets. */
	double cycles[BENCH_NB_KEPT]; /**< Per packet, of bursts that moved packets. */
};

/** Allocate a loop. @return NULL without memory. */
struct bench_loop *bench_loop_create(const struct bench_job *job, bench_step_fn step);

/** Free it. */
void bench_loop_free(struct bench_loop *loop);

/** Add a link whose generator runs while the loop does. */
void bench_loop_add(struct bench_loop *loop, struct bench_link *link);

/**
 * Warm up, then measure, as the job says.
 *
 * values[0] of the sample becomes millions of packets per second. Front-ends must have seen as many
 * packets as the back-end moved, but for those in their rings; in a proof, all intact.
 *
 * @return 0; -errno with a message on stderr.
 */
int bench_loop_measure(struct bench_loop *loop, struct bench_sample *sample);

/** Count a burst that began at a time of the TSC. */
void bench_loop_count(struct bench_loop *loop, uint64_t begin, uint16_t nb);

#endif /* BENCH_LOOP_H */
