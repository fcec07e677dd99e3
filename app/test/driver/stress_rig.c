/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "stress_rig.h"

#include <sched.h>
#include <string.h>

#include <rte_cycles.h>

static void *
poller_main(void *arg)
{
	struct poller *poller = arg;

	while (!__atomic_load_n(&poller->stop, __ATOMIC_ACQUIRE)) {
		bool pause = __atomic_load_n(&poller->pause, __ATOMIC_ACQUIRE);

		__atomic_store_n(&poller->is_idle, pause, __ATOMIC_RELEASE);
		if (pause)
			sched_yield();
		else
			poller->poll(poller->arg);
	}
	return NULL;
}

void
poller_start(struct poller *poller, poller_fn_t poll, void *arg)
{
	memset(poller, 0, sizeof(*poller));
	poller->poll = poll;
	poller->arg = arg;
	assert_int_equal(pthread_create(&poller->thread, NULL, poller_main, poller), 0);
	rig_run_anywhere(poller->thread);
}

void
poller_pause(struct poller *poller, bool pause)
{
	__atomic_store_n(&poller->pause, pause, __ATOMIC_RELEASE);
	while (__atomic_load_n(&poller->is_idle, __ATOMIC_ACQUIRE) != pause)
		sched_yield();
}

void
poller_stop(struct poller *poller)
{
	__atomic_store_n(&poller->stop, true, __ATOMIC_RELEASE);
	pthread_join(poller->thread, NULL);
}

void
traffic_start(struct traffic *traffic, struct rig *rig, const struct traffic_conf *conf)
{
	struct tfe_gen_conf gen = {
		.dir = TFE_GEN_TRANSMIT,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = conf->frame_bytes,
		.burst = 32,
		.stream = conf->stream,
	};

	memset(traffic, 0, sizeof(*traffic));
	assert_int_equal(tfe_gen_create(&traffic->tx, &rig->dev, 0, &gen), 0);
	gen.dir = TFE_GEN_RECEIVE;
	gen.buf_bytes = 2048;
	assert_int_equal(tfe_gen_create(&traffic->rx, &rig->dev, 0, &gen), 0);
	traffic->gens[0] = traffic->tx;
	traffic->gens[1] = traffic->rx;
	assert_int_equal(tfe_worker_start(&traffic->worker, traffic->gens, 2, -1), 0);
	rig_run_anywhere(traffic->worker.thread);
}

static uint64_t
nb_received(const struct traffic *traffic)
{
	struct tfe_gen_stats stats;

	tfe_gen_stats(traffic->rx, &stats);
	return stats.nb_packets;
}

void
traffic_wait(const struct traffic *traffic, uint64_t nb)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * RIG_TIMEOUT_MS;
	uint64_t target = nb_received(traffic) + nb;

	while (nb_received(traffic) < target) {
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	}
}

void
traffic_halt(struct traffic *traffic)
{
	assert_int_equal(tfe_worker_stop(&traffic->worker), 0);
	assert_null(tfe_gen_error(traffic->tx));
	assert_null(tfe_gen_error(traffic->rx));
}

void
traffic_stop(struct traffic *traffic)
{
	struct tfe_gen_stats stats;

	traffic_halt(traffic);
	tfe_gen_stats(traffic->rx, &stats);
	assert_int_equal(stats.nb_bad, 0);
	assert_int_equal(stats.nb_late, 0);
	assert_int_equal(stats.nb_foreign, 0);
	tfe_gen_destroy(traffic->tx);
	tfe_gen_destroy(traffic->rx);
}
