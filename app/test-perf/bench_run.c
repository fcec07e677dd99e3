/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "bench.h"
#include "bench_syscall.h"
#include "tfe_time.h"

#define MAX_POINTS (2 * BENCH_MAX_SIZES)

/** Rounds that a tight budget leaves. */
#define LEAST_ROUNDS 3u

/** Time a thread may lose before the sample counts as disturbed. */
#define MAX_LOST 0.02

/** Failures after which a contender is left alone at a point. */
#define MAX_FAILED 2

/** How far a run has come. */
struct progress {
	uint64_t begin_ns;
	unsigned int nb_planned; /**< Measurements, at all rounds. */
	unsigned int nb_done;    /**< Of those, taken or saved. */
	unsigned int nb_taken;
};

/** A point at work. */
struct round {
	const struct bench_conf *conf;
	const struct bench_point *point;
	struct bench_contender contenders[BENCH_MAX_CONTENDERS];
	unsigned int nb_contenders;
	unsigned int nb_rounds;
	unsigned int nb_failed[BENCH_MAX_CONTENDERS];
	uint64_t syscalls_per_million[BENCH_MAX_CONTENDERS];
	struct bench_sample *samples; /**< By contender, then by round. */
	double *scratch;              /**< Three times as many as rounds. */
};

static struct bench_sample *
sample_of(const struct round *round, unsigned int contender, unsigned int i)
{
	return &round->samples[contender * round->nb_rounds + i];
}

/** Fewer rounds where the time would not suffice for all. */
static unsigned int
choose_rounds(const struct bench_conf *conf, const struct progress *progress)
{
	double spent_s, left_s, each_s;
	unsigned int left = progress->nb_planned - progress->nb_done;

	if (conf->budget_s == 0 || progress->nb_taken == 0 || left == 0)
		return conf->rounds;
	spent_s = (double)(tfe_now_ns() - progress->begin_ns) / 1e9;
	each_s = spent_s / progress->nb_taken;
	left_s = conf->budget_s - spent_s;
	if (left_s >= each_s * left)
		return conf->rounds;
	left_s = left_s < 0 ? 0 : conf->rounds * left_s / (each_s * left);
	return left_s < LEAST_ROUNDS ? RTE_MIN(LEAST_ROUNDS, conf->rounds) : (unsigned int)left_s;
}

/** Each contender once, with every byte looked at and every system call counted. */
static void
prove(struct round *round, struct bench_output *output)
{
	unsigned int i;

	for (i = 0; i < round->nb_contenders; i++) {
		const struct bench_job job = {
			round->conf,
			round->point,
			&round->contenders[i],
			true,
		};
		struct bench_sample sample = { 0 };

		round->syscalls_per_million[i] = BENCH_SYSCALL_UNKNOWN;
		/* These move no packet of a front-end's. */
		if (job.contender->kind == BENCH_COPY || round->conf->profile ||
				!round->point->workload->family->has_proof)
			continue;
		if (round->point->workload->family->measure(&job, &sample) < 0) {
			round->nb_failed[i]++;
			output->nb_failed += bench_is_ours(job.contender);
		} else if (sample.nb_syscalls != BENCH_SYSCALL_UNKNOWN) {
			round->syscalls_per_million[i] = sample.nb_syscalls * 1000000 /
					sample.nb_packets;
		}
	}
}

/** All contenders in turn, beginning with another each time: none always runs on the warmer or
 * the cooler machine.
 */
static void
run_round(struct round *round, unsigned int i, struct bench_output *output)
{
	unsigned int turn;

	for (turn = 0; turn < round->nb_contenders; turn++) {
		unsigned int c = (turn + i) % round->nb_contenders;
		const struct bench_job job = {
			round->conf,
			round->point,
			&round->contenders[c],
			false,
		};
		struct bench_sample *sample = sample_of(round, c, i);

		if (round->nb_failed[c] >= MAX_FAILED)
			continue;
		if (round->point->workload->family->measure(&job, sample) < 0) {
			sample->valid = false;
			round->nb_failed[c]++;
			output->nb_failed += bench_is_ours(job.contender);
			continue;
		}
		output->nb_samples += sample->lost >= 0;
		output->nb_disturbed += sample->lost > MAX_LOST;
	}
}

/** A contender's figures of a metric, in the order of rounds; NaN where there is none. */
static const double *
gather(const struct round *round, unsigned int c, unsigned int metric, double *values)
{
	unsigned int i;

	for (i = 0; i < round->nb_rounds; i++) {
		const struct bench_sample *sample = sample_of(round, c, i);

		values[i] = sample->valid ? sample->values[metric] : NAN;
	}
	return values;
}

/** Counters added up; medians of what is no counter. */
static struct bench_sample
total(const struct round *round, unsigned int c, double *scratch)
{
	struct bench_sample sum = {
		.nb_syscalls = round->syscalls_per_million[c],
		.lost = BENCH_LOST_UNKNOWN,
	};
	unsigned int i, nb = 0;

	for (i = 0; i < round->nb_rounds; i++) {
		const struct bench_sample *sample = sample_of(round, c, i);

		if (!sample->valid)
			continue;
		sum.valid = true;
		sum.nb_packets += sample->nb_packets;
		sum.nb_kicks += sample->nb_kicks;
		sum.nb_calls += sample->nb_calls;
		sum.features = sample->features;
		scratch[nb++] = sample->cycles;
		sum.lost = RTE_MAX(sum.lost, sample->lost);
	}
	sum.cycles = nb > 0 ? bench_median(scratch, nb) : 0;
	return sum;
}

/** A row for a metric of ours and one it is compared with, or none. */
static void
report(const struct round *round, unsigned int ours, int peer, struct bench_output *output)
{
	const struct bench_family *family = round->point->workload->family;
	double *a = round->scratch, *b = a + round->nb_rounds, *scratch = b + round->nb_rounds;
	struct bench_row row = { .point = round->point, .ours = &round->contenders[ours] };
	unsigned int metric;

	row.ours_total = total(round, ours, scratch);
	if (peer >= 0) {
		row.peer = &round->contenders[peer];
		row.peer_total = total(round, (unsigned int)peer, scratch);
	}
	for (metric = 0; metric < family->nb_metrics; metric++) {
		row.metric = &family->metrics[metric];
		bench_summarize(gather(round, ours, metric, a),
				peer < 0 ? NULL : gather(round, (unsigned int)peer, metric, b),
				round->nb_rounds, scratch, &row.summary);
		bench_report_row(output, &row);
	}
}

static void
report_all(const struct round *round, struct bench_output *output)
{
	unsigned int i, j, nb;

	for (i = 0; i < round->nb_contenders; i++) {
		if (!bench_is_ours(&round->contenders[i]))
			continue;
		for (j = 0, nb = 0; j < round->nb_contenders; j++) {
			if (bench_is_ours(&round->contenders[j]))
				continue;
			report(round, i, (int)j, output);
			nb++;
		}
		if (nb == 0)
			report(round, i, -1, output);
	}
}

static int
run_point(const struct bench_conf *conf, const struct bench_selection *selection,
		const struct bench_point *point, struct progress *progress,
		struct bench_output *output)
{
	struct round round = {
		.conf = conf,
		.point = point,
		.nb_rounds = choose_rounds(conf, progress),
	};
	unsigned int i;
	int ret = -ENOMEM;

	round.nb_contenders = bench_plan_contenders(selection, point, round.contenders);
	round.samples = calloc((size_t)round.nb_contenders * round.nb_rounds,
			sizeof(round.samples[0]));
	round.scratch = calloc(3 * (size_t)round.nb_rounds, sizeof(round.scratch[0]));
	if (round.samples != NULL && round.scratch != NULL) {
		prove(&round, output);
		for (i = 0; i < round.nb_rounds; i++)
			run_round(&round, i, output);
		report_all(&round, output);
		progress->nb_done += round.nb_contenders * conf->rounds;
		progress->nb_taken += round.nb_contenders * round.nb_rounds;
		ret = 0;
	}
	free(round.samples);
	free(round.scratch);
	return ret;
}

/** Points of a workload that this run can measure. */
static unsigned int
points_of(const struct bench_selection *selection, const struct bench_workload *workload,
		struct bench_point *points)
{
	if (selection->one_thread && workload->family->needs_two_threads)
		return 0;
	return bench_plan_points(selection, workload, points, MAX_POINTS);
}

/** How many measurements there are to take. */
static unsigned int
count_planned(const struct bench_conf *conf, const struct bench_selection *selection)
{
	struct bench_contender contenders[BENCH_MAX_CONTENDERS];
	struct bench_point points[MAX_POINTS];
	const struct bench_workload *workload;
	unsigned int nb = 0, nb_points, i;

	for (workload = bench_workloads; workload->name != NULL; workload++) {
		nb_points = points_of(selection, workload, points);
		for (i = 0; i < nb_points; i++)
			nb += bench_plan_contenders(selection, &points[i], contenders);
	}
	return nb * conf->rounds;
}

/**
 * Whether a point has contenders whose ports send packets by their address: our driver lends
 * nothing for the rest of the life of a process that has had such a port.
 */
static bool
ends_lending(const struct bench_selection *selection, const struct bench_point *point)
{
	struct bench_contender contenders[BENCH_MAX_CONTENDERS];
	unsigned int nb = bench_plan_contenders(selection, point, contenders);

	while (nb-- > 0)
		if (contenders[nb].kind == BENCH_MEMIF || contenders[nb].kind == BENCH_HOST_SWITCH)
			return true;
	return false;
}

/** Measure the points of all workloads that end lending, or those that do not. */
static int
run_points(const struct bench_conf *conf, const struct bench_selection *selection,
		bool ending_lending, struct progress *progress, struct bench_output *output)
{
	const struct bench_workload *workload;
	struct bench_point points[MAX_POINTS];
	unsigned int nb_points, i;
	int ret = 0;

	for (workload = bench_workloads; ret == 0 && workload->name != NULL; workload++) {
		nb_points = points_of(selection, workload, points);
		for (i = 0; i < nb_points && ret == 0; i++)
			if (ends_lending(selection, &points[i]) == ending_lending)
				ret = run_point(conf, selection, &points[i], progress, output);
	}
	return ret;
}

int
bench_run_all(const struct bench_conf *conf, const struct bench_selection *selection,
		struct bench_output *output)
{
	struct progress progress = {
		.begin_ns = tfe_now_ns(),
		.nb_planned = count_planned(conf, selection),
	};
	int ret = run_points(conf, selection, false, &progress, output);

	if (ret == 0)
		ret = run_points(conf, selection, true, &progress, output);
	if (ret == 0 && progress.nb_planned == 0)
		ret = -ENOENT;
	return ret == 0 && output->nb_failed > 0 ? -EIO : ret;
}
