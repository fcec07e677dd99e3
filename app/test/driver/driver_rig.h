/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the driver's tests stand on: an EAL in the process, a port made from devargs, and the test
 * front-end at the other end of the port's socket. Everything goes through public interfaces:
 * ethdev on one side, the socket and shared memory on the other.
 *
 * A rig counts what it must get back: when it is closed no fd and no mbuf may be missing.
 */

#ifndef DRIVER_RIG_H
#define DRIVER_RIG_H

#include <pthread.h>
#include <stdbool.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "test.h"
#include "tfe.h"

/** Time that anything may take, in milliseconds; reached only by what fails. */
#define RIG_TIMEOUT_MS 60000

/**
 * Environment variable: the mode in which all ports receive, which is to make no difference for any
 * test. Frames of RIG_COPYBREAK bytes or more are then received without a copy.
 */
#define RIG_ZCOPY_ENV "VHOST_PCI_TEST_ZCOPY"
#define RIG_COPYBREAK "256"

/** Packets that rig_rx() takes at most. */
#define RIG_MAX_BURST 64

/** A feature as a mask, by its name without VIRTIO_. */
#define F(name) TFE_BIT(VIRTIO_##name)

/** Ring formats and what goes with them: the initial state of tests that are run for each. */
struct rig_variant {
	const char *name;
	uint64_t features; /**< On top of TFE_FEATURES_BASE. */
	bool legacy;       /**< Without VIRTIO_F_VERSION_1. */
};

/* Not const: a test's initial state is not, but tests only read it. */
extern struct rig_variant rig_split, rig_packed, rig_split_event, rig_packed_event,
		rig_split_in_order, rig_packed_in_order, rig_legacy;

/** A test for one variant, whose initial state it gets. */
#define RIG_TEST(test, variant) \
	{ \
#test ": " #variant, test, NULL, NULL, &rig_##variant \
	}

/** What a port shall be; zero-initialised: one queue pair, no offloads. */
struct rig_conf {
	const char *devargs; /**< After iface=..., with its comma; NULL: none. */
	uint16_t nb_queues;  /**< 0: one. */
	uint16_t nb_pairs;   /**< Of the port: queues=; 0: as nb_queues. */
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint16_t room;     /**< Of an mbuf, without headroom; 0: 2048. */
	uint32_t nb_mbufs; /**< 0: 1023. */
	bool rxq_intr;
};

/** A rig; the fields may be read. */
struct rig {
	char dir[32];
	char path[64];
	char devargs[192];
	char vdev[32];
	uint16_t port;
	bool has_port;
	uint16_t nb_queues;
	struct rte_mempool *pool;
	struct tfe_dev dev;
	bool has_dev;
	struct tfe_netq tx[4]; /**< The front-end's transmitqs: what the port receives. */
	struct tfe_netq rx[4]; /**< Its receiveqs: what the port transmits. */
	unsigned int nb_netqs;
	unsigned int nb_fds; /**< When the rig was made. */
	unsigned int nb_lsc; /**< Link events; atomic. */
};

/** Group fixtures: the EAL starts once for a program. */
int rig_group_setup(void **state);
int rig_group_teardown(void **state);

/** Wait until EAL's interrupt thread has looked at its events once more. */
void rig_ping(void);

/**
 * Fds of the process, with EAL's interrupt thread at rest: when a callback was registered or
 * unregistered it makes its epoll set anew, and then has one fd less for a moment. It has done so
 * at the latest after the first of two pings.
 */
unsigned int rig_nb_fds(void);

/** Make a rig: a folder and a name, nothing else. */
void rig_init(struct rig *rig);

/** Close everything that is open, and check that nothing is missing. */
void rig_fini(struct rig *rig);

/** Attach the port, configure and start it. */
void rig_port_open(struct rig *rig, const struct rig_conf *conf);

/** Attach the port only. Returns what rte_eal_hotplug_add() returns. */
int rig_port_attach(struct rig *rig, const char *devargs);

/** Configure the attached port, set up its queues, start it. */
void rig_port_start(struct rig *rig, const struct rig_conf *conf);

/** Stop, close and detach the port. */
void rig_port_close(struct rig *rig);

/** The configuration of a front-end that fits the rig and a variant. */
struct tfe_dev_conf rig_dev_conf(const struct rig *rig, const struct rig_variant *variant);

/** Connect a front-end, all the way to a link that is up. */
void rig_connect(struct rig *rig, const struct tfe_dev_conf *conf);

/** Make queues over all rings of the connected front-end; NULL: one buffer for all. */
void rig_netqs(struct rig *rig, uint32_t buf_bytes, const struct tfe_net_layout *layout);

/** Free the queues and close the front-end. */
void rig_disconnect(struct rig *rig);

/** rig_init(), rig_port_open() with @p conf, rig_connect() for a variant, rig_netqs(). */
void rig_open(struct rig *rig, const struct rig_conf *conf, const struct rig_variant *variant,
		uint64_t features, const struct tfe_net_layout *layout);

/** Wait for the link. */
void rig_wait_link(const struct rig *rig, bool up);

/** Wait until the port's link events have reached a number. */
void rig_wait_lsc(const struct rig *rig, unsigned int nb);

/** Poll an Rx queue until it has given as many packets; fails if they don't come. */
void rig_rx(const struct rig *rig, uint16_t queue, struct rte_mbuf **mbufs, unsigned int nb);

/** Poll an Rx queue until the front-end's chains are all used; no packet may come. */
void rig_rx_none(struct rig *rig, uint16_t queue);

/** Send mbufs; all must be taken. */
void rig_tx(const struct rig *rig, uint16_t queue, struct rte_mbuf **mbufs, unsigned int nb);

/** An mbuf with these bytes, in pieces of seg_bytes; 0: as many bytes as an mbuf holds. */
struct rte_mbuf *rig_mbuf(const struct rig *rig, const void *bytes, uint32_t len,
		uint32_t seg_bytes);

/** Check that an mbuf, of any number of segments, has these bytes. */
void rig_check_mbuf(const struct rte_mbuf *m, const void *bytes, uint32_t len);

/** Send a packet each way through a queue pair, of bytes that are this id's alone. */
void rig_check_traffic(struct rig *rig, uint16_t queue, uint16_t id);

/** The value of an extended statistic; fails for an unknown one. */
uint64_t rig_xstat(const struct rig *rig, const char *name);

/** An mbuf's flags but the one that tells where its data is. */
static inline uint64_t
rig_ol_flags(const struct rte_mbuf *m)
{
	return m->ol_flags & ~RTE_MBUF_F_EXTERNAL;
}

/** Wait until an extended statistic, which control counts, has a value. */
void rig_wait_xstat(const struct rig *rig, const char *name, uint64_t value);

/** Let a thread run on any processor, not on the one that EAL gave to the thread that made it. */
void rig_run_anywhere(pthread_t thread);

#endif /* DRIVER_RIG_H */
