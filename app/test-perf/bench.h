/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The benchmark: one generator front-end drives our back-end and others alike, in alternation, so
 * that the ratios hold on a machine whose speed drifts.
 *
 * A workload (a row of bench_plan.c) is measured at points: ring format and frame size. At each
 * point there are contenders: our port in its zero-copy modes, and those it is compared with. A
 * round measures each contender once. A family is the code that measures workloads of a kind.
 */

#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench_stats.h"

/** Figures one measurement may have. */
#define BENCH_MAX_METRICS 3

/** Contenders at a point: three modes of ours, and three others. */
#define BENCH_MAX_CONTENDERS 6

/** Frame sizes a workload may have. */
#define BENCH_MAX_SIZES 5

/** Length of the largest frames, which the table calls 64K. */
#define BENCH_64K UINT32_C(65536)

/** @name Ring formats of a workload. */
/**@{*/
#define BENCH_SPLIT  0x1u
#define BENCH_PACKED 0x2u
/**@}*/

/** A sample's lost time where it was not measured. */
#define BENCH_LOST_UNKNOWN (-1.0)

/** What a contender is. */
enum bench_kind {
	BENCH_PORT,        /**< A port that is a vhost-user back-end. */
	BENCH_WALK,        /**< The bare ring walk: no port, no mbuf. */
	BENCH_COPY,        /**< memcpy() from mbufs to the front-end's buffers: no ring. */
	BENCH_HOST_SWITCH, /**< A host switch, and an appliance with virtio_user behind it. */
	BENCH_MEMIF,       /**< A pair of memif ports, one in the front-end's place. */
};

/** One of those that are compared. */
struct bench_contender {
	const char *name; /**< As printed: "net_vhost". */
	enum bench_kind kind;
	const char *driver;  /**< Names of its devices begin so; NULL without a port. */
	const char *mode;    /**< Zero-copy mode of ours; "" where there is none to choose. */
	const char *devargs; /**< After "iface=PATH"; may be empty. */
};

/** A figure of a measurement. */
struct bench_metric {
	const char *name; /**< Ends the case's name; may be empty. */
	const char *unit;
	bool lower_is_better;
};

/** One measurement. */
struct bench_sample {
	bool valid;
	double values[BENCH_MAX_METRICS]; /**< In the units of the family's metrics. */
	double cycles; /**< TSC cycles per packet in bursts that moved packets, median; or 0. */
	uint64_t nb_packets;  /**< Through the back-end within the measured time. */
	uint64_t nb_kicks;    /**< System calls the front-end made for it. */
	uint64_t nb_calls;    /**< Notifications to the front-end. */
	uint64_t nb_syscalls; /**< Of the back-end's thread; UINT64_MAX: not counted. */
	double lost;          /**< Share of the time that a thread was kept off its processor. */
	uint64_t features;    /**< Negotiated by the front-end. */
};

struct bench_job;

/** How workloads of a kind are measured. */
struct bench_family {
	unsigned int nb_metrics;
	struct bench_metric metrics[BENCH_MAX_METRICS];
	/** Attach, connect, measure, detach. @return 0; -errno with a message on stderr. */
	int (*measure)(const struct bench_job *job, struct bench_sample *sample);
	/** Packets flow: measured once more before all others with every byte checked. */
	bool has_proof;
	bool needs_two_threads; /**< Front-end and back-end can't take turns in one. */
};

/** A workload. */
struct bench_workload {
	const char *name;    /**< As in the table of targets: "W1". */
	const char *variant; /**< What tells it from others of the name; may be empty. */
	const struct bench_family *family;
	unsigned int rings;              /**< BENCH_SPLIT, BENCH_PACKED. */
	uint32_t sizes[BENCH_MAX_SIZES]; /**< Frames without FCS; 0 ends them. */
	uint32_t modes_from;   /**< Zero-copy modes one by one from this size; 0: never. */
	unsigned int nb_modes; /**< The first so many of off, split, full. */
	const struct bench_contender *peers[3];
	unsigned int nb_peers; /**< Front-ends at a time; 0 stands for what the family has. */
	bool written;          /**< The front-end writes each payload anew. */
	bool macswap;          /**< The back-end swaps the MAC addresses. */
	bool quick;            /**< Also measured with --quick. */
};

/** Where a workload is measured. */
struct bench_point {
	const struct bench_workload *workload;
	bool packed;
	uint32_t frame_bytes;
};

/** Settings of a run. */
struct bench_conf {
	const char *dir;        /**< Private folder for sockets. */
	const char *port_args;  /**< More devargs for ours; or NULL. */
	const char *plugin;     /**< For processes of their own; or NULL. */
	unsigned int rounds;    /**< Each contender is measured as often. */
	unsigned int window_ms; /**< Measured time of one measurement. */
	unsigned int budget_s;  /**< Fewer rounds, but three, if it would take longer; 0: none. */
	int frontend_cpu;       /**< Processor of the generator. */
	int backend_cpu;        /**< Processor of the back-end. */
	bool hugepages;         /**< Front-end memory in 2 MiB pages. */
	bool one_thread;        /**< Generator and back-end in turn, on one processor. */
	bool profile;           /**< Count each packet: no proof, and nothing to warm up. */
};

/** One measurement to take. */
struct bench_job {
	const struct bench_conf *conf;
	const struct bench_point *point;
	const struct bench_contender *contender;
	bool proof; /**< Short, and with a look at every byte and every system call. */
};

/** Figures of a row: one of ours, one it is compared with, one metric. */
struct bench_row {
	const struct bench_point *point;
	const struct bench_metric *metric;
	const struct bench_contender *ours;
	const struct bench_contender *peer; /**< NULL where there is none. */
	struct bench_summary summary;
	struct bench_sample ours_total; /**< Counters of all rounds; medians of cycles and lost. */
	struct bench_sample peer_total;
};

/** Where rows go. */
struct bench_output {
	FILE *json; /**< Or NULL. */
	double at_least;
	unsigned int nb_rows;
	unsigned int nb_low;       /**< Rows below at_least. */
	unsigned int nb_failed;    /**< Measurements of ours that failed. */
	unsigned int nb_samples;   /**< Whose lost time was measured. */
	unsigned int nb_disturbed; /**< Samples in which a thread was kept off its processor. */
};

/** All workloads; the last has no name. */
extern const struct bench_workload bench_workloads[];

/** @name Families. */
/**@{*/
extern const struct bench_family bench_receive;
extern const struct bench_family bench_transmit;
extern const struct bench_family bench_forward;
extern const struct bench_family bench_latency;
extern const struct bench_family bench_scale;
extern const struct bench_family bench_idle;
extern const struct bench_family bench_floor;
/**@}*/

/** What is to be measured. */
struct bench_selection {
	const char *workload; /**< Of this name only; or NULL. */
	const char *modes;    /**< Zero-copy modes, "off,split,full"; NULL: those that there are. */
	uint32_t size;        /**< Of this size only; 0: all. */
	bool quick;           /**< The quick ones only. */
	bool has_zero_copy;   /**< Our driver knows zero-copy modes. */
	bool one_thread;      /**< Nothing that needs a second thread. */
};

/** Points of a workload that are to be measured. @return how many, at most nb. */
unsigned int bench_plan_points(const struct bench_selection *selection,
		const struct bench_workload *workload, struct bench_point *points, unsigned int nb);

/** Contenders at a point, ours first. @return how many, at most BENCH_MAX_CONTENDERS. */
unsigned int bench_plan_contenders(const struct bench_selection *selection,
		const struct bench_point *point, struct bench_contender *contenders);

/** Whether a contender is ours. */
bool bench_is_ours(const struct bench_contender *contender);

/**
 * Measure all that is selected and report it, row by row.
 *
 * @return 0; the first error of ours, with all else measured all the same.
 */
int bench_run_all(const struct bench_conf *conf, const struct bench_selection *selection,
		struct bench_output *output);

/** Print the head of the table. */
void bench_report_head(void);

/** Print a row, and write it as a line of JSON. */
void bench_report_row(struct bench_output *output, const struct bench_row *row);

/** Print what was seen of the machine, and whether it was too noisy. */
void bench_report_noise(const struct bench_conf *conf, const struct bench_output *output);

#endif /* BENCH_H */
