/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>

#include "bench_syscall.h"

#define WARMUP_MS  60
#define PROOF_MS   20
#define CHECK_MASK 63

/** How long to wait for packets. */
#define PATIENCE_MS 3000

/** Packets that rings may hold between a back-end's count and a front-end's. */
#define MAX_ON_WAY (2 * BENCH_RING_SIZE)

/** Counters of the front-ends of a loop, and clocks. */
struct marks {
	uint64_t tsc;
	uint64_t nb_kicks;
	uint64_t nb_calls;
	double wall_s;
	double backend_s;  /**< Processor time of this thread. */
	double frontend_s; /**< Of the front-end's. */
};

struct bench_loop *
bench_loop_create(const struct bench_job *job, bench_step_fn step)
{
	struct bench_loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return NULL;
	loop->job = job;
	loop->step = step;
	loop->frame = calloc(1, TFE_GEN_FRAME_BYTES);
	if (loop->frame == NULL) {
		free(loop);
		return NULL;
	}
	return loop;
}

void
bench_loop_free(struct bench_loop *loop)
{
	if (loop == NULL)
		return;
	free(loop->frame);
	free(loop);
}

void
bench_loop_add(struct bench_loop *loop, struct bench_link *link)
{
	loop->links[loop->nb_links++] = link;
}

void
bench_loop_count(struct bench_loop *loop, uint64_t begin, uint16_t nb)
{
	uint64_t end = rte_rdtsc();

	if (nb == 0)
		return;
	loop->cycles[loop->nb_bursts++ % BENCH_NB_KEPT] = (double)(end - begin) / nb;
	loop->nb_packets += nb;
}

/** Let the front-ends have a turn, where they have no thread. */
static int
poll_links(struct bench_loop *loop)
{
	unsigned int i;

	for (i = 0; i < loop->nb_links; i++)
		if (tfe_gen_poll(loop->links[i]->gen) < 0)
			return -EPROTO;
	return 0;
}

/** Turn after turn until a deadline. */
static int
run(struct bench_loop *loop, unsigned int duration_ms)
{
	uint64_t begin = rte_rdtsc(), end = begin + rte_get_tsc_hz() / 1000 * duration_ms;
	uint64_t last = begin + rte_get_tsc_hz() / 1000 * PATIENCE_MS;
	bool one_thread = loop->job->conf->one_thread;
	unsigned int calls = 0;
	int ret = 0;

	loop->nb_packets = 0;
	loop->nb_bursts = 0;
	/* The clock is looked at now and then only. Where others have the processor of the
	 * front-end, it takes some time to the first packet.
	 */
	while (ret == 0 &&
			((++calls & CHECK_MASK) != 0 ||
					rte_rdtsc() < (loop->nb_packets > 0 ? end : last))) {
		if (one_thread)
			ret = poll_links(loop);
		if (ret == 0)
			ret = loop->step(loop);
	}
	loop->nb_all += loop->nb_packets;
	if (ret == 0 && loop->nb_packets == 0)
		ret = -ENODATA;
	return ret;
}

static double
clock_s(clockid_t clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void
take_marks(const struct bench_loop *loop, const struct tfe_worker *worker, struct marks *marks)
{
	clockid_t clock;
	unsigned int i;

	memset(marks, 0, sizeof(*marks));
	for (i = 0; i < loop->nb_links; i++) {
		struct tfe_gen_stats stats;

		tfe_gen_stats(loop->links[i]->gen, &stats);
		marks->nb_kicks += stats.nb_kicks;
		marks->nb_calls += bench_link_calls(loop->links[i]);
	}
	if (worker->started && pthread_getcpuclockid(worker->thread, &clock) == 0)
		marks->frontend_s = clock_s(clock);
	marks->backend_s = clock_s(CLOCK_THREAD_CPUTIME_ID);
	marks->wall_s = clock_s(CLOCK_MONOTONIC);
	marks->tsc = rte_rdtsc();
}

/** What the measured time came to. */
static void
fill_sample(struct bench_loop *loop, const struct tfe_worker *worker, const struct marks *begin,
		struct bench_sample *sample)
{
	uint64_t now = rte_rdtsc();
	struct marks end;
	double wall_s;

	take_marks(loop, worker, &end);
	wall_s = end.wall_s - begin->wall_s;
	sample->nb_packets = loop->nb_packets;
	sample->nb_kicks = end.nb_kicks - begin->nb_kicks;
	sample->nb_calls = end.nb_calls - begin->nb_calls;
	sample->values[0] = (double)loop->nb_packets * (double)rte_get_tsc_hz() /
			(double)(now - begin->tsc) / 1e6;
	sample->cycles = bench_median(loop->cycles,
			(unsigned int)RTE_MIN(loop->nb_bursts, (uint64_t)BENCH_NB_KEPT));
	sample->lost = 1 - (end.backend_s - begin->backend_s) / wall_s;
	if (worker->started) {
		double lost = 1 - (end.frontend_s - begin->frontend_s) / wall_s;

		sample->lost = RTE_MAX(sample->lost, lost);
	}
	sample->features = loop->nb_links > 0 ? loop->links[0]->dev.features : 0;
	sample->valid = true;
}

/** Run it twice: to warm up, and measured. */
static int
run_measured(struct bench_loop *loop, const struct tfe_worker *worker, struct bench_sample *sample)
{
	bool proof = loop->job->proof;
	struct marks begin;
	int ret = 0;

	if (!loop->job->conf->profile)
		ret = run(loop, proof ? PROOF_MS : WARMUP_MS);
	if (ret < 0)
		return ret;
	sample->nb_syscalls = BENCH_SYSCALL_UNKNOWN;
	take_marks(loop, worker, &begin);
	/* Where the kernel can't count them, nothing is claimed. */
	if (proof)
		bench_syscall_start();
	ret = run(loop, proof ? PROOF_MS : loop->job->conf->window_ms);
	if (proof)
		sample->nb_syscalls = bench_syscall_stop();
	if (ret == 0)
		fill_sample(loop, worker, &begin, sample);
	return ret;
}

/** What a front-end has seen must be what was moved, but for what is on its way. */
static int
check_link(const struct bench_loop *loop, const struct bench_link *link)
{
	const char *name = loop->job->contender->name;
	uint64_t nb_moved = loop->nb_all + (link->sends ? loop->nb_dropped : 0), diff;
	struct tfe_gen_stats stats;

	tfe_gen_stats(link->gen, &stats);
	diff = stats.nb_packets > nb_moved ? stats.nb_packets - nb_moved
					   : nb_moved - stats.nb_packets;
	if (diff > (uint64_t)MAX_ON_WAY * loop->nb_links) {
		fprintf(stderr, "%s: %" PRIu64 " packets moved, the front-end has %" PRIu64 "\n",
				name, nb_moved, stats.nb_packets);
		return -EIO;
	}
	if (stats.nb_bad + stats.nb_foreign + stats.nb_late > 0) {
		fprintf(stderr, "%s: damaged or doubled packets\n", name);
		return -EBADMSG;
	}
	return 0;
}

static int
check_delivery(const struct bench_loop *loop)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < loop->nb_links && ret == 0; i++)
		ret = check_link(loop, loop->links[i]);
	return ret;
}

/** Say why a loop failed. */
static void
say_failure(const struct bench_loop *loop, int error)
{
	const char *why = NULL;
	unsigned int i;

	for (i = 0; why == NULL && i < loop->nb_links; i++)
		why = tfe_gen_error(loop->links[i]->gen);
	fprintf(stderr, "%s: no traffic: %s\n", loop->job->contender->name,
			why != NULL ? why : strerror(-error));
}

int
bench_loop_measure(struct bench_loop *loop, struct bench_sample *sample)
{
	struct tfe_gen *gens[BENCH_MAX_LINKS];
	struct tfe_worker worker = { 0 };
	int ret = 0, worker_ret;
	unsigned int i;

	for (i = 0; i < loop->nb_links; i++)
		gens[i] = loop->links[i]->gen;
	if (loop->nb_links > 0 && !loop->job->conf->one_thread)
		ret = tfe_worker_start(&worker, gens, loop->nb_links,
				loop->job->conf->frontend_cpu);
	if (ret == 0)
		ret = run_measured(loop, &worker, sample);
	worker_ret = tfe_worker_stop(&worker);
	if (ret == 0)
		ret = worker_ret;
	if (ret < 0)
		say_failure(loop, ret);
	else
		ret = check_delivery(loop);
	return ret;
}
