/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Steps of a back-end that only receives or only transmits.
 */

#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H

#include "bench_loop.h"

struct rte_mbuf;

/** Receive a burst on rx_port and free it; in a proof, look at every byte. */
int bench_receive_step(struct bench_loop *loop);

/** Make a burst and transmit it on tx_port. */
int bench_transmit_step(struct bench_loop *loop);

/** BENCH_BURST packets of the point's size, their bytes as they come. @return 0 or -ENOMEM. */
int bench_make_burst(struct bench_loop *loop, struct rte_mbuf **packets);

#endif /* BENCH_TRAFFIC_H */
