/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <sched.h>

#include "tfe_gen.h"
#include "tfe_time.h"

/* Looks at the clock, or at the flag to stop, happen once in so many rounds. */
#define ROUNDS 64

static int
poll_round(struct tfe_gen **gens, unsigned int nb_gens)
{
	for (unsigned int i = 0; i < nb_gens; i++) {
		int ret = tfe_gen_poll(gens[i]);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int
poll_rounds(struct tfe_gen **gens, unsigned int nb_gens)
{
	int ret = 0;

	for (unsigned int i = 0; i < ROUNDS && ret == 0; i++)
		ret = poll_round(gens, nb_gens);
	return ret;
}

int
tfe_gen_run(struct tfe_gen **gens, unsigned int nb_gens, uint64_t duration_ns)
{
	uint64_t end_ns = tfe_now_ns() + duration_ns;
	int ret;

	do {
		ret = poll_rounds(gens, nb_gens);
	} while (ret == 0 && tfe_now_ns() < end_ns);
	return ret;
}

static void *
worker_main(void *arg)
{
	struct tfe_worker *worker = arg;

	while (worker->error == 0 && !__atomic_load_n(&worker->stop, __ATOMIC_RELAXED))
		worker->error = poll_rounds(worker->gens, worker->nb_gens);
	return NULL;
}

static int
init_attr(pthread_attr_t *attr, int cpu)
{
	cpu_set_t cpus;
	int ret;

	ret = -pthread_attr_init(attr);
	if (ret < 0 || cpu < 0)
		return ret;
	if (cpu >= CPU_SETSIZE)
		ret = -EINVAL;
	CPU_ZERO(&cpus);
	if (ret == 0) {
		CPU_SET((unsigned int)cpu, &cpus);
		ret = -pthread_attr_setaffinity_np(attr, sizeof(cpus), &cpus);
	}
	if (ret < 0)
		pthread_attr_destroy(attr);
	return ret;
}

int
tfe_worker_start(struct tfe_worker *worker, struct tfe_gen **gens, unsigned int nb_gens, int cpu)
{
	pthread_attr_t attr;
	int ret;

	*worker = (struct tfe_worker){ .gens = gens, .nb_gens = nb_gens, .cpu = cpu };
	ret = init_attr(&attr, cpu);
	if (ret < 0)
		return ret;
	ret = -pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_attr_destroy(&attr);
	worker->started = ret == 0;
	return ret;
}

int
tfe_worker_stop(struct tfe_worker *worker)
{
	if (!worker->started)
		return 0;
	__atomic_store_n(&worker->stop, true, __ATOMIC_RELAXED);
	pthread_join(worker->thread, NULL);
	worker->started = false;
	return worker->error;
}
