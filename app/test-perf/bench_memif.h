/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * memif in the place of a back-end and of its front-end: what shared-memory ports between two
 * DPDK programs do. The other side is a port too, and not the generator.
 */

#ifndef BENCH_MEMIF_H
#define BENCH_MEMIF_H

#include "bench_loop.h"

/** Measure a step on one of two memif ports; a thread moves bursts the other way on the other. */
int bench_memif_measure(const struct bench_job *job, bench_step_fn step,
		struct bench_sample *sample);

/** Whether there are ports that can't be closed: the EAL must be left as it is then. */
bool bench_memif_is_open(void);

#endif /* BENCH_MEMIF_H */
