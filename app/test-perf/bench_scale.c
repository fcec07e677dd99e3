/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* W7: many front-ends that send, all driven by one thread. */

#include "bench_scale.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <rte_common.h>
#include <rte_config.h>

#include "bench_farm.h"
#include "bench_port.h"
#include "tfe_time.h"

/** As guests have by default. */
#define RING_SIZE 256

/** Room for a ring's buffers, and the rings. */
#define MEM_BYTES (UINT64_C(1) << 20)

#define START_MS  30000
#define WARMUP_MS 100

/** How long to wait for packets. */
#define PATIENCE_NS UINT64_C(3000000000)

extern char **environ;

/** All of a measurement. */
struct scale {
	const struct bench_job *job;
	unsigned int nb_peers;
	struct bench_farms *shared;
	int shared_fd;
	pid_t pids[BENCH_MAX_FARMS];
	struct tfe_dev *devs;
	unsigned int nb_devs; /**< Open ones. */
	struct tfe_gen **gens;
};

/** Start a process with some of the ports. */
static int
spawn_farm(struct scale *scale, unsigned int index, unsigned int first, unsigned int nb)
{
	const struct bench_job *job = scale->job;
	const struct bench_conf *conf = job->conf;
	const char *more = bench_is_ours(job->contender) ? conf->port_args : NULL;
	char spec[PATH_MAX + 512], cpu[16], *argv[10];
	char name[] = "vhost-pci-bench", farm[] = "--farm", backend[] = "--backend-cpu",
	     plugin[] = "--plugin", no_huge[] = "--no-huge", plugin_path[PATH_MAX];
	int argc = 0;

	snprintf(spec, sizeof(spec), "%d:%u:%u:%u:%s:%s:%s%s%s", scale->shared_fd, index, first, nb,
			job->contender->driver, conf->dir, job->contender->devargs,
			more != NULL && job->contender->devargs[0] != '\0' ? "," : "",
			more != NULL ? more : "");
	snprintf(cpu, sizeof(cpu), "%d", conf->backend_cpu);
	argv[argc++] = name;
	argv[argc++] = farm;
	argv[argc++] = spec;
	argv[argc++] = backend;
	argv[argc++] = cpu;
	if (conf->plugin != NULL) {
		snprintf(plugin_path, sizeof(plugin_path), "%s", conf->plugin);
		argv[argc++] = plugin;
		argv[argc++] = plugin_path;
	}
	if (!conf->hugepages)
		argv[argc++] = no_huge;
	argv[argc] = NULL;
	return -posix_spawn(&scale->pids[index], "/proc/self/exe", NULL, NULL, argv, environ);
}

/** Wait until all processes have come to a state. */
static int
wait_state(struct scale *scale, uint32_t wanted)
{
	uint64_t deadline_ns = tfe_deadline_ns(START_MS);
	unsigned int i;

	for (i = 0; i < scale->shared->nb_farms; i++) {
		const uint32_t *state = &scale->shared->slots[i].state;
		uint32_t now;

		while ((now = bench_farm_get(state)) != wanted) {
			if (now == BENCH_FARM_FAILED)
				return -EIO;
			if (tfe_left_ms(deadline_ns) == 0 ||
					waitpid(scale->pids[i], NULL, WNOHANG) > 0)
				return -ETIMEDOUT;
			bench_farm_wait(state, now, 100);
		}
	}
	return 0;
}

static int
start_farms(struct scale *scale)
{
	unsigned int first, nb, i = 0;
	int ret = 0;

	/* Inherited: not closed on exec. */
	scale->shared_fd = memfd_create("bench-farms", 0);
	if (scale->shared_fd < 0 || ftruncate(scale->shared_fd, sizeof(*scale->shared)) < 0)
		return -ENOMEM;
	scale->shared = mmap(NULL, sizeof(*scale->shared), PROT_READ | PROT_WRITE, MAP_SHARED,
			scale->shared_fd, 0);
	if (scale->shared == MAP_FAILED) {
		scale->shared = NULL;
		return -ENOMEM;
	}
	for (first = 0; first < scale->nb_peers && ret == 0; first += nb, i++) {
		nb = RTE_MIN(scale->nb_peers - first, (unsigned int)RTE_MAX_ETHPORTS);
		ret = i < BENCH_MAX_FARMS ? spawn_farm(scale, i, first, nb) : -E2BIG;
		scale->shared->nb_farms += ret == 0;
	}
	return ret == 0 ? wait_state(scale, BENCH_FARM_READY) : ret;
}

static void
stop_farms(struct scale *scale)
{
	unsigned int i;

	if (scale->shared == NULL)
		return;
	bench_farm_set(&scale->shared->command, BENCH_FARM_STOP);
	bench_farm_wake(&scale->shared->turn);
	for (i = 0; i < scale->shared->nb_farms; i++)
		waitpid(scale->pids[i], NULL, 0);
	munmap(scale->shared, sizeof(*scale->shared));
}

/** Connect all front-ends, one after another. */
static int
connect_all(struct scale *scale)
{
	struct tfe_gen_conf gen = bench_sender(scale->job);
	struct tfe_dev_conf conf;
	char path[PATH_MAX];
	int ret;

	bench_frontend_conf(scale->job, &conf);
	conf.receiveq_size = RING_SIZE;
	conf.transmitq_size = RING_SIZE;
	conf.mem_bytes = MEM_BYTES;
	conf.mem_flags &= ~TFE_MEM_HUGE;
	conf.path = path;
	for (; scale->nb_devs < scale->nb_peers; scale->nb_devs++) {
		unsigned int i = scale->nb_devs;

		snprintf(path, sizeof(path), "%s/farm%u.sock", scale->job->conf->dir, i);
		ret = tfe_dev_open(&scale->devs[i], &conf);
		if (ret < 0)
			return ret;
		scale->devs[i].conf.path = NULL;
		ret = tfe_gen_create(&scale->gens[i], &scale->devs[i], 0, &gen);
		if (ret < 0) {
			tfe_dev_close(&scale->devs[i]);
			return ret;
		}
	}
	return 0;
}

static uint64_t
received(const struct scale *scale)
{
	uint64_t nb = 0;
	unsigned int i;

	for (i = 0; i < scale->shared->nb_farms; i++)
		nb += __atomic_load_n(&scale->shared->slots[i].nb_packets, __ATOMIC_RELAXED);
	return nb;
}

/** All of what was received was sent, and what was sent is received or in a ring. */
static int
check_delivery(const struct scale *scale)
{
	uint64_t nb_received = received(scale), nb_sent = 0;
	unsigned int i;

	for (i = 0; i < scale->nb_devs; i++) {
		struct tfe_gen_stats stats;

		tfe_gen_stats(scale->gens[i], &stats);
		nb_sent += stats.nb_packets;
	}
	return nb_received >= nb_sent &&
					nb_received - nb_sent <=
							(uint64_t)RING_SIZE * scale->nb_devs
			? 0
			: -EIO;
}

/** Let time pass; the others work. */
static void
let_pass(unsigned int ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/** All front-ends send for a time. */
static int
run(struct scale *scale, struct bench_sample *sample)
{
	const struct bench_conf *conf = scale->job->conf;
	struct tfe_worker worker = { 0 };
	uint64_t nb, now, begin_ns;
	int ret;

	ret = tfe_worker_start(&worker, scale->gens, scale->nb_peers, conf->frontend_cpu);
	if (ret < 0)
		return ret;
	bench_farm_set(&scale->shared->command, BENCH_FARM_RUN);
	let_pass(WARMUP_MS);
	nb = received(scale);
	begin_ns = tfe_now_ns();
	/* Where others have the processors, it takes some time to the first packet. */
	do {
		let_pass(conf->window_ms);
		now = received(scale);
	} while (now == nb && tfe_now_ns() - begin_ns < PATIENCE_NS);
	nb = now - nb;
	sample->values[0] = (double)nb * 1e3 / (double)(tfe_now_ns() - begin_ns);
	ret = tfe_worker_stop(&worker);
	if (ret == 0 && nb == 0)
		ret = -ENODATA;
	return ret;
}

/** Let all processes end their turns: their counters stand still then. */
static int
rest(struct scale *scale)
{
	bench_farm_set(&scale->shared->command, BENCH_FARM_OPEN);
	bench_farm_wake(&scale->shared->turn);
	return wait_state(scale, BENCH_FARM_READY);
}

static int
measure(struct scale *scale, struct bench_sample *sample)
{
	uint64_t begin_ns, memory_kib = 0;
	unsigned int i;
	int ret = start_farms(scale);

	begin_ns = tfe_now_ns();
	if (ret == 0)
		ret = connect_all(scale);
	if (ret < 0)
		return ret;
	bench_farm_set(&scale->shared->command, BENCH_FARM_CONNECT);
	ret = wait_state(scale, BENCH_FARM_UP);
	sample->values[2] = (double)(tfe_now_ns() - begin_ns) / 1e9;
	for (i = 0; i < scale->shared->nb_farms; i++)
		memory_kib += scale->shared->slots[i].memory_kib;
	sample->values[1] = (double)memory_kib / scale->nb_peers;
	if (ret == 0)
		ret = run(scale, sample);
	if (ret == 0)
		ret = rest(scale);
	if (ret == 0)
		ret = check_delivery(scale);
	sample->nb_syscalls = UINT64_MAX;
	sample->lost = BENCH_LOST_UNKNOWN;
	sample->features = scale->devs[0].features;
	sample->valid = ret == 0;
	return ret;
}

/** Each front-end has some eight descriptors. */
static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
scale_measure(const struct bench_job *job, struct bench_sample *sample)
{
	struct scale scale = {
		.job = job,
		.nb_peers = job->point->workload->nb_peers,
		.shared_fd = -1,
	};
	unsigned int i;
	int ret = -ENOMEM;

	raise_limit();
	scale.devs = calloc(scale.nb_peers, sizeof(scale.devs[0]));
	scale.gens = calloc(scale.nb_peers, sizeof(struct tfe_gen *));
	if (scale.devs != NULL && scale.gens != NULL)
		ret = measure(&scale, sample);
	if (ret < 0)
		fprintf(stderr, "%s: %u front-ends: %s\n", job->contender->name, scale.nb_peers,
				strerror(-ret));
	for (i = 0; i < scale.nb_devs; i++) {
		tfe_gen_destroy(scale.gens[i]);
		tfe_dev_close(&scale.devs[i]);
	}
	stop_farms(&scale);
	if (scale.shared_fd >= 0)
		close(scale.shared_fd);
	free(scale.devs);
	free(scale.gens);
	return ret;
}

const struct bench_family bench_scale = {
	.nb_metrics = 3,
	.metrics = { { "", "Mpps", false }, { "memory", "KiB/peer", true },
			{ "accept", "s", true } },
	.measure = scale_measure,
	.needs_two_threads = true,
};
