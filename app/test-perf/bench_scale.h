/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Many front-ends, a port each, all on one processor.
 *
 * A DPDK program has RTE_MAX_ETHPORTS ports at most, 32 as distributions build it. Ports beyond
 * that are in more processes on the same processor, which take turns: a turn is a few bursts from
 * each port of a process, and the next process is woken through shared memory.
 */

#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include "bench.h"

/**
 * The main function of such a process, with the EAL started.
 *
 * @param spec  what bench_scale gave it on its command line.
 */
int bench_farm_main(const char *spec);

#endif /* BENCH_SCALE_H */
