/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The benchmark: one generator front-end drives our back-end and a peer's alike, in alternation,
 * so that the ratio of the two holds on a machine whose speed drifts.
 */

#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/** What a workload measures, from the back-end's port. */
enum bench_kind {
	BENCH_RECEIVE,  /**< rte_eth_rx_burst() of what the front-end sends. */
	BENCH_TRANSMIT, /**< rte_eth_tx_burst() into the front-end's buffers. */
};

/** One row of the table. */
struct bench_workload {
	const char *name; /**< As in the performance page: "W1". */
	enum bench_kind kind;
	bool packed;          /**< Ring format. */
	uint32_t frame_bytes; /**< Without FCS. */
};

/** A back-end under test: a DPDK virtual device. */
struct bench_backend {
	const char *name;    /**< As printed: "net_vhost". */
	const char *vdev;    /**< Name of the device it is attached as. */
	const char *devargs; /**< Devargs after "iface=PATH"; may be empty. */
};

/** One measurement. */
struct bench_sample {
	double mpps;         /**< Millions of packets per second through the back-end. */
	double cycles;       /**< TSC cycles per packet in a burst that moved packets, median. */
	uint64_t nb_packets; /**< Moved within the measured time. */
	uint64_t nb_kicks;   /**< System calls of the front-end within its life. */
};

/** Settings of a run. */
struct bench_conf {
	const char *dir;        /**< Private folder for sockets. */
	unsigned int rounds;    /**< Pairs of measurements for a row. */
	unsigned int window_ms; /**< Measured time of one measurement. */
	int frontend_cpu;       /**< Processor of the generator. */
	bool hugepages;         /**< Front-end memory in 2 MiB pages. */
	bool one_thread;        /**< Generator and back-end in turn, on one processor. */
};

/** Figures of one row. */
struct bench_result {
	struct bench_sample ours; /**< Medians. */
	struct bench_sample peer; /**< Medians. */
	double ratio;             /**< Median of the ratios pair by pair, ours / peer. */
	double ratio_min, ratio_max;
};

/**
 * Attach a back-end, connect the generator, measure, detach.
 *
 * @return 0; negative errno, with a message on stderr.
 */
int bench_measure(const struct bench_conf *conf, const struct bench_workload *workload,
		const struct bench_backend *backend, struct bench_sample *sample);

/**
 * Measure a row: ours and the peer in turn, the order swapped from round to round.
 *
 * @return 0; the error of bench_measure().
 */
int bench_compare(const struct bench_conf *conf, const struct bench_workload *workload,
		const struct bench_backend *ours, const struct bench_backend *peer,
		struct bench_result *result);

/** Print the head of the table. */
void bench_report_head(const struct bench_backend *peer);

/** Print a row of the table. */
void bench_report_row(const struct bench_workload *workload, const struct bench_result *result);

/** Write a row as a line of JSON. */
void bench_report_json(FILE *file, const struct bench_workload *workload,
		const struct bench_backend *peer, const struct bench_result *result);

/**
 * A started port with one queue pair over an attached back-end.
 *
 * @param devargs  As for rte_eal_hotplug_add().
 * @return The port, or negative errno with a message on stderr.
 */
int bench_port_open(const struct bench_backend *backend, const char *path);

/** Stop, close and detach. */
void bench_port_close(const struct bench_backend *backend, int port);

/** Wait until the port's link is up. @return 0 or -ETIMEDOUT. */
int bench_port_wait_link(int port, unsigned int timeout_ms);

/** Name of a workload's direction. */
const char *bench_kind_name(enum bench_kind kind);

/** The mempool of all ports; made by bench_pool_create(). */
struct rte_mempool *bench_pool(void);

/** Make the mempool. @return 0 or negative errno. */
int bench_pool_create(void);

#endif /* BENCH_H */
