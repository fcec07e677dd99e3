/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_port.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>

/* Buffers of guests that merge them are no larger than a page. */
#define MERGED_BYTES 4084

/* As Linux has it: the header, and a frame of 64K in pages. */
#define CHAIN_SEGS  17
#define CHAIN_BYTES 16384

#define MEM_BYTES (UINT64_C(16) << 20)

void
bench_frontend_conf(const struct bench_job *job, struct tfe_dev_conf *conf)
{
	*conf = (struct tfe_dev_conf)TFE_DEV_CONF_DEFAULT;
	conf->receiveq_size = BENCH_RING_SIZE;
	conf->transmitq_size = BENCH_RING_SIZE;
	conf->mem_bytes = MEM_BYTES;
	conf->features |= TFE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (job->conf->hugepages)
		conf->mem_flags |= TFE_MEM_HUGE;
	if (job->point->packed) {
		conf->features |= TFE_BIT(VIRTIO_F_RING_PACKED);
		conf->required_features |= TFE_BIT(VIRTIO_F_RING_PACKED);
	}
}

struct tfe_gen_conf
bench_sender(const struct bench_job *job)
{
	const struct bench_point *point = job->point;
	bool is_chain = point->frame_bytes > CHAIN_BYTES;
	enum tfe_gen_touch touch = TFE_GEN_TOUCH_NONE;

	if (job->proof)
		touch = TFE_GEN_TOUCH_VERIFY;
	else if (point->workload->written)
		touch = TFE_GEN_TOUCH_PAYLOAD;
	return (struct tfe_gen_conf){
		.dir = TFE_GEN_TRANSMIT,
		.layout = is_chain ? TFE_GEN_CHAIN : TFE_GEN_SINGLE,
		.touch = touch,
		.min_burst = BENCH_BURST,
		.frame_bytes = point->frame_bytes,
		.nb_segs = is_chain ? CHAIN_SEGS : 1,
	};
}

struct tfe_gen_conf
bench_receiver(const struct bench_job *job)
{
	uint32_t frame_bytes = job->point->frame_bytes;
	enum tfe_gen_touch touch = TFE_GEN_TOUCH_NONE;

	/* Packets in several buffers are told apart by their headers only. */
	if (job->proof)
		touch = TFE_GEN_TOUCH_VERIFY;
	else if (frame_bytes > MERGED_BYTES)
		touch = TFE_GEN_TOUCH_HEADER;
	return (struct tfe_gen_conf){
		.dir = TFE_GEN_RECEIVE,
		.layout = TFE_GEN_SINGLE,
		.touch = touch,
		.min_burst = BENCH_BURST,
		.buf_bytes = RTE_MIN(frame_bytes, (uint32_t)MERGED_BYTES),
	};
}

/** The front-end listens: net_vhost, which looks at new sockets of its own only once a second,
 * connects at once.
 */
static int
frontend_listen(const struct bench_job *job, const char *path, struct bench_link *link)
{
	struct tfe_dev_conf conf;
	int ret;

	bench_frontend_conf(job, &conf);
	conf.role = TFE_ROLE_SERVER;
	conf.path = path;
	ret = tfe_dev_init(&link->dev, &conf);
	if (ret == 0)
		ret = tfe_conn_listen(&link->dev.conn, path);
	if (ret < 0) {
		fprintf(stderr, "front-end cannot listen at %s: %s\n", path, strerror(-ret));
		tfe_dev_close(&link->dev);
	}
	return ret;
}

/** Take the connection, make the generator, wait for the port to be ready. */
static int
frontend_start(const struct bench_link_conf *conf, struct bench_link *link)
{
	/* The first connection, in spite of the name. */
	int ret = tfe_dev_reconnect(&link->dev);

	link->dev.conf.path = NULL;
	if (ret == 0 && conf->gen != NULL) {
		link->sends = conf->gen->dir == TFE_GEN_TRANSMIT;
		ret = tfe_gen_create(&link->gen, &link->dev, 0, conf->gen);
	}
	if (ret < 0)
		fprintf(stderr, "front-end of %s: %s\n", link->port.name, strerror(-ret));
	return ret == 0 ? bench_port_wait_link(&link->port) : ret;
}

int
bench_link_open(const struct bench_job *job, const struct bench_link_conf *conf,
		struct bench_link *link)
{
	const struct bench_contender *contender = job->contender;
	const char *more = bench_is_ours(contender) ? job->conf->port_args : NULL;
	char path[PATH_MAX], devargs[PATH_MAX + 256], name[BENCH_NAME_LEN];
	int ret;

	memset(link, 0, sizeof(*link));
	snprintf(name, sizeof(name), "%s_bench%u", contender->driver, conf->index);
	snprintf(path, sizeof(path), "%s/%s.sock", job->conf->dir, name);
	snprintf(devargs, sizeof(devargs), "iface=%s,client=1%s%s%s%s", path,
			contender->devargs[0] != '\0' ? "," : "", contender->devargs,
			more != NULL ? "," : "", more != NULL ? more : "");
	ret = frontend_listen(job, path, link);
	if (ret < 0)
		return ret;
	ret = bench_port_open(&link->port, name, devargs, conf->interrupts);
	if (ret < 0) {
		tfe_dev_close(&link->dev);
		return ret;
	}
	link->has_port = true;
	ret = frontend_start(conf, link);
	if (ret < 0)
		bench_link_close(link);
	return ret;
}

void
bench_link_close(struct bench_link *link)
{
	if (!link->has_port)
		return;
	/*
	 * The port first: a net_vhost that loses its front-end connects again from a thread of its
	 * own, which DPDK 22.11 lets use what closing the port has freed.
	 */
	bench_port_close(&link->port);
	tfe_gen_destroy(link->gen);
	tfe_dev_close(&link->dev);
	memset(link, 0, sizeof(*link));
}

int
bench_thread_start(const struct bench_job *job, void *(*thread_main)(void *arg), void *arg,
		pthread_t *thread)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int ret;

	CPU_ZERO(&cpus);
	CPU_SET((unsigned int)job->conf->frontend_cpu, &cpus);
	ret = -pthread_attr_init(&attr);
	if (ret < 0)
		return ret;
	ret = -pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	if (ret == 0)
		ret = -pthread_create(thread, &attr, thread_main, arg);
	pthread_attr_destroy(&attr);
	return ret;
}

uint64_t
bench_link_calls(struct bench_link *link)
{
	unsigned int i;

	for (i = 0; i < link->dev.nb_rings; i++) {
		struct tfe_ring *ring = &link->dev.rings[i];
		uint64_t nb;

		/* The descriptor does not block, and reading it starts it at 0 again. */
		if (ring->call_fd >= 0 && read(ring->call_fd, &nb, sizeof(nb)) == sizeof(nb))
			ring->nb_calls += nb;
	}
	return link->dev.nb_rings > 1 ? link->dev.rings[0].nb_calls + link->dev.rings[1].nb_calls
				      : 0;
}
