/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What any back-end has to do at least: no port, no driver.
 */

#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "bench.h"

/**
 * The bare ring walk on the rings of a front-end that sends: read what is available, read each
 * descriptor, translate its address, write it as used.
 */
int bench_walk_measure(const struct bench_job *job, struct bench_sample *sample);

/**
 * memcpy() of packets in mbufs into the buffers a front-end would receive in, one after another;
 * mbufs are allocated and freed as for a port.
 */
int bench_copy_measure(const struct bench_job *job, struct bench_sample *sample);

#endif /* BENCH_BARE_H */
