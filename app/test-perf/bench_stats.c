/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_stats.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static int
compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
bench_quantile(double *values, unsigned int nb, double share)
{
	if (nb == 0)
		return NAN;
	qsort(values, nb, sizeof(values[0]), compare_double);
	return values[(unsigned int)(share * (nb - 1) + 0.5)];
}

double
bench_median(double *values, unsigned int nb)
{
	if (nb == 0)
		return NAN;
	qsort(values, nb, sizeof(values[0]), compare_double);
	return nb % 2 ? values[nb / 2] : (values[nb / 2 - 1] + values[nb / 2]) / 2;
}

/** The median of those that are there. */
static double
median_of(const double *values, unsigned int nb, double *scratch)
{
	unsigned int i, nb_valid = 0;

	for (i = 0; values != NULL && i < nb; i++)
		if (!isnan(values[i]))
			scratch[nb_valid++] = values[i];
	return bench_median(scratch, nb_valid);
}

void
bench_summarize(const double *ours, const double *peer, unsigned int nb, double *scratch,
		struct bench_summary *summary)
{
	unsigned int i, nb_pairs = 0;

	summary->ours = median_of(ours, nb, scratch);
	summary->peer = median_of(peer, nb, scratch);
	for (i = 0; peer != NULL && i < nb; i++)
		if (!isnan(ours[i]) && !isnan(peer[i]) && peer[i] != 0)
			scratch[nb_pairs++] = ours[i] / peer[i];
	summary->nb_pairs = nb_pairs;
	summary->ratio = bench_median(scratch, nb_pairs);
	summary->ratio_min = nb_pairs > 0 ? scratch[0] : NAN;
	summary->ratio_max = nb_pairs > 0 ? scratch[nb_pairs - 1] : NAN;
}
