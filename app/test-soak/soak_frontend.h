/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A front-end of a soak, and the faults that it commits when it is told to.
 */

#ifndef SOAK_FRONTEND_H
#define SOAK_FRONTEND_H

#include "tfe.h"

/** Time that anything may take, in milliseconds; reached only by what hangs. */
#define SOAK_TIMEOUT_MS 120000

/** What is left to do after a fault. */
enum soak_next {
	SOAK_GO_ON, /**< Traffic goes on. */
	SOAK_END,   /**< The front-end's life is over, as it should be. */
	SOAK_HANG,  /**< The back-end did not do in time what it had to. */
};

/** A front-end. */
struct soak_frontend {
	struct tfe_dev dev;
	struct tfe_gen *tx;
	struct tfe_gen *rx;
	uint64_t seed;        /**< Of the faults. */
	uint64_t idle_end_ns; /**< Until then the rings are left alone. */
};

/** The next of a sequence of random numbers. */
uint64_t soak_random(uint64_t *seed);

/**
 * Commit a fault.
 *
 * @param name Of the fault; see the table at the end of soak_fault.c.
 * @return 0 and *next; -EINVAL for an unknown name.
 */
int soak_fault(struct soak_frontend *fe, const char *name, enum soak_next *next);

#endif /* SOAK_FRONTEND_H */
