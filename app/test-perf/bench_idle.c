/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* W8: a port with Rx interrupts and nothing to do, and that it wakes up for a packet. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_mbuf.h>

#include "bench_port.h"
#include "tfe_time.h"

#define WAKE_MS 2000

static double
process_s(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/** Take what has come. @return packets. */
static unsigned int
take(uint16_t port)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint16_t nb = rte_eth_rx_burst(port, 0, mbufs, BENCH_BURST);

	rte_pktmbuf_free_bulk(mbufs, nb);
	return nb;
}

/** Sleep with interrupts on until there is one; then packets must be there, soon. */
static int
expect_wake(struct bench_link *link)
{
	uint64_t deadline_ns = tfe_deadline_ns(WAKE_MS);
	struct rte_epoll_event event;
	unsigned int nb = 0;

	if (tfe_gen_poll(link->gen) < 0)
		return -EPROTO;
	while (nb == 0 && tfe_left_ms(deadline_ns) > 0) {
		if (rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, tfe_left_ms(deadline_ns)) < 0)
			return -EIO;
		nb = take(link->port.id);
	}
	return nb > 0 ? 0 : -ETIMEDOUT;
}

/** Nothing to do for a time: what it costs the whole process, in percent of a processor. */
static int
idle(const struct bench_job *job, struct bench_link *link, struct bench_sample *sample)
{
	uint64_t end_ns = tfe_deadline_ns((int)(2 * job->conf->window_ms));
	uint64_t begin_ns = tfe_now_ns();
	struct rte_epoll_event event;
	double begin_s = process_s();

	while (tfe_left_ms(end_ns) > 0) {
		if (rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, tfe_left_ms(end_ns)) < 0)
			return -EIO;
		take(link->port.id);
	}
	sample->values[0] = (process_s() - begin_s) * 1e11 / (double)(tfe_now_ns() - begin_ns);
	sample->nb_syscalls = UINT64_MAX;
	sample->lost = BENCH_LOST_UNKNOWN;
	sample->features = link->dev.features;
	sample->valid = true;
	return 0;
}

static int
sleep_and_wake(const struct bench_job *job, struct bench_link *link, struct bench_sample *sample)
{
	uint16_t port = link->port.id;
	int ret;

	ret = rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL);
	if (ret == 0)
		ret = rte_eth_dev_rx_intr_enable(port, 0);
	if (ret == 0)
		ret = idle(job, link, sample);
	if (ret == 0)
		ret = expect_wake(link);
	if (ret < 0) {
		sample->valid = false;
		fprintf(stderr, "%s: Rx interrupts: %s\n", job->contender->name, strerror(-ret));
	}
	rte_eth_dev_rx_intr_disable(port, 0);
	rte_eth_dev_rx_intr_ctl_q(port, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_DEL, NULL);
	return ret;
}

static int
idle_measure(const struct bench_job *job, struct bench_sample *sample)
{
	const struct tfe_gen_conf gen = bench_sender(job);
	const struct bench_link_conf conf = { .gen = &gen, .interrupts = true };
	struct bench_link link = { 0 };
	int ret;

	ret = bench_link_open(job, &conf, &link);
	if (ret == 0)
		ret = sleep_and_wake(job, &link, sample);
	bench_link_close(&link);
	return ret;
}

const struct bench_family bench_idle = {
	.nb_metrics = 1,
	.metrics = { { "", "% CPU", true } },
	.measure = idle_measure,
};
