/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The two sides of a test under load: the application's thread, which polls a port, and the
 * front-end's, which sends frames that carry their own proof and checks those that come back.
 */

#ifndef STRESS_RIG_H
#define STRESS_RIG_H

#include "driver_rig.h"

/** What a poller does over and over. */
typedef void (*poller_fn_t)(void *arg);

/** A thread of the application, which runs on any processor. */
struct poller {
	pthread_t thread;
	poller_fn_t poll;
	void *arg;
	bool pause;   /**< Atomic: asked to be idle. */
	bool is_idle; /**< Atomic. */
	bool stop;    /**< Atomic. */
};

/** Start a poller. */
void poller_start(struct poller *poller, poller_fn_t poll, void *arg);

/**
 * Have a poller do nothing, or go on: an application does not poll a port that it stops. What it
 * did before is over, and seen, when it pauses.
 */
void poller_pause(struct poller *poller, bool pause);

/** End a poller. */
void poller_stop(struct poller *poller);

/** What the front-end of a rig sends. */
struct traffic_conf {
	uint32_t frame_bytes;
	uint16_t stream;
};

/** The front-end's thread: one generator sends, one checks what comes back. */
struct traffic {
	struct tfe_gen *tx;
	struct tfe_gen *rx;
	struct tfe_gen *gens[2];
	struct tfe_worker worker;
};

/** Send and receive on the rings of the rig's connected front-end. */
void traffic_start(struct traffic *traffic, struct rig *rig, const struct traffic_conf *conf);

/** Wait until more frames have been all the way. */
void traffic_wait(const struct traffic *traffic, uint64_t nb);

/** Move no more frames; both generators are still there, and belong to the caller's thread. */
void traffic_halt(struct traffic *traffic);

/** Halt, and check that no frame came back changed, twice, late or from elsewhere. */
void traffic_stop(struct traffic *traffic);

#endif /* STRESS_RIG_H */
