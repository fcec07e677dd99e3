/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Ports, and links: a port with a front-end at its socket.
 */

#ifndef BENCH_PORT_H
#define BENCH_PORT_H

#include <pthread.h>

#include "bench.h"
#include "tfe.h"

struct rte_mempool;

/** Packets a burst moves at most. */
#define BENCH_BURST 32

/** Descriptors of a front-end's ring. */
#define BENCH_RING_SIZE 1024u

/** Room in an mbuf for packet data. */
#define BENCH_ROOM 2048

/** Mbufs a packet of the largest size takes, and a few. */
#define BENCH_MAX_SEGS (BENCH_64K / BENCH_ROOM + 2)

/** Length of a device's name. */
#define BENCH_NAME_LEN 48

/** A port. */
struct bench_port {
	uint16_t id;
	char name[BENCH_NAME_LEN]; /**< Of its virtual device. */
};

/** A port with a front-end. */
struct bench_link {
	struct bench_port port;
	bool has_port;
	struct tfe_dev dev;
	struct tfe_gen *gen; /**< NULL: the front-end's rings are the caller's. */
	bool sends;          /**< The generator does, rather than receive. */
};

/** What a link shall be. */
struct bench_link_conf {
	unsigned int index;             /**< Tells links apart that there are at a time. */
	const struct tfe_gen_conf *gen; /**< NULL: no generator. */
	bool interrupts;                /**< The port's Rx queue has interrupts. */
};

/** The mempool of all ports; made by bench_pool_create(). */
struct rte_mempool *bench_pool(void);

/** Make the mempool. @return 0 or negative errno. */
int bench_pool_create(unsigned int nb_mbufs);

/**
 * A started port with one queue pair on a new virtual device.
 *
 * @param name     of the device; it is attached with devargs as for rte_eal_hotplug_add().
 * @return 0, or negative errno with a message on stderr and nothing left behind.
 */
int bench_port_open(struct bench_port *port, const char *name, const char *devargs,
		bool interrupts);

/** Stop, close and detach. */
void bench_port_close(struct bench_port *port);

/** Wait until the port's link is up. @return 0 or -ETIMEDOUT with a message. */
int bench_port_wait_link(const struct bench_port *port);

/** Whether a device can be attached with these devargs; nothing is said where it can't. */
bool bench_port_accepts(const char *name, const char *devargs);

/**
 * The front-end's settings for a job: ring format, features, memory. The path is left open.
 */
void bench_frontend_conf(const struct bench_job *job, struct tfe_dev_conf *conf);

/** The front-end sends, as the job's point and proof say. */
struct tfe_gen_conf bench_sender(const struct bench_job *job);

/** The front-end receives. */
struct tfe_gen_conf bench_receiver(const struct bench_job *job);

/**
 * Attach the contender's port, connect a front-end, wait for the link.
 *
 * @return 0, or negative errno with a message on stderr and nothing left behind.
 */
int bench_link_open(const struct bench_job *job, const struct bench_link_conf *conf,
		struct bench_link *link);

/** Disconnect and detach; harmless on a link that is all zeros. */
void bench_link_close(struct bench_link *link);

/** Start the thread of the other side on the front-end's processor. @return 0 or negative errno. */
int bench_thread_start(const struct bench_job *job, void *(*thread_main)(void *arg), void *arg,
		pthread_t *thread);

/** Notifications the front-end got so far. */
uint64_t bench_link_calls(struct bench_link *link);

#endif /* BENCH_PORT_H */
