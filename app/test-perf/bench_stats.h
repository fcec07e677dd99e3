/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What is made of samples: medians, and the ratio pair by pair with its spread.
 */

#ifndef BENCH_STATS_H
#define BENCH_STATS_H

/** What pairs of samples come to. Figures that can't be had are NaN. */
struct bench_summary {
	double ours; /**< Median. */
	double peer; /**< Median. */
	/** Median of the ratios ours / peer, pair by pair. */
	double ratio;
	double ratio_min;
	double ratio_max;
	unsigned int nb_pairs; /**< Pairs of which both samples are there. */
};

/** The median; values are sorted by it. NaN of none. */
double bench_median(double *values, unsigned int nb);

/** The value at a share of the way from the lowest (0) to the highest (1). NaN of none. */
double bench_quantile(double *values, unsigned int nb, double share);

/**
 * Compare samples that were taken pair by pair.
 *
 * A missing sample is NaN; its pair has no ratio then. Nor has one whose second is 0.
 *
 * @param scratch  room for nb values.
 */
void bench_summarize(const double *ours, const double *peer, unsigned int nb, double *scratch,
		struct bench_summary *summary);

#endif /* BENCH_STATS_H */
