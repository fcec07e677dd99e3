/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * An endpoint: a vhost-user socket, the front-ends that come over it, and the adapters made for
 * them.
 *
 * A front-end is answered as soon as it is connected. When its session is complete it gets an
 * adapter: one that is free and has its memory behind its BARs, or a new one, which is plugged
 * into the machine. A static endpoint has one adapter from the beginning, for one front-end at a
 * time, whose memory is a file that was named beforehand.
 *
 * All functions: the thread of the main loop.
 */

#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "adapter.h"

struct endpoint;

/** What an endpoint shall be; copied. */
struct endpoint_config {
	const char *name;         /**< its adapters are NAME-0, NAME-1, ... */
	const char *listen_path;  /**< vhost-user socket to listen on, or NULL */
	const char *connect_path; /**< vhost-user socket to connect to, or NULL */
	const char *socket_dir;   /**< where the adapters' vfio-user sockets are made */
	const char *peer_memory;  /**< static: the front-end's memory file; or NULL */
	uint16_t virtio_id;
	uint64_t features;
	uint64_t protocol_features;
	unsigned int nb_vrings;
	unsigned int max_frontends;
	enum vfu_pci_irq irq;
	bool dialect;           /**< front-ends may speak the vhost-pci dialect */
	bool log;               /**< front-ends can be migrated */
	bool require_seals;     /**< refuse memory that can become shorter */
	unsigned int linger_ms; /**< an adapter without front-end is kept as long */
	unsigned int grace_ms;  /**< after a start, before the first adapter [ADP-12.12] */
	unsigned int reply_ms;  /**< limit for a reply of a driver; 0: the default */
};

/** How an endpoint has its adapters plugged. */
struct endpoint_plug_ops {
	/** An adapter is there for its machine to connect to. */
	void (*plug)(void *opaque, const char *id, const char *path);
	/** An adapter has no use any more; its machine is to let go of it. */
	void (*unplug)(void *opaque, const char *id);
	/** An adapter that is to be unplugged has been let go of, or was never plugged. */
	void (*gone)(void *opaque, const char *id);
	/** A machine has connected to an adapter, or disconnected; may be NULL. */
	void (*attached)(void *opaque, const char *id, bool attached);
};

/** What an endpoint counts. */
struct endpoint_stats {
	uint64_t frontends;         /**< connections accepted or made */
	uint64_t frontends_refused; /**< for being too many, or for their memory */
	uint64_t sessions_ended;    /**< by the device, for a fault */
	uint64_t adapters;          /**< created */
};

/**
 * Create an endpoint and begin.
 *
 * @param plug	 May be NULL: nobody is told.
 * @return 0 or -errno; what is wrong has been logged.
 */
int endpoint_create(const struct endpoint_config *config, const struct endpoint_plug_ops *plug,
		void *opaque, struct endpoint **endpoint);

/** Close all front-ends, destroy all adapters, remove the sockets. Harmless on NULL. */
void endpoint_destroy(struct endpoint *endpoint);

/** Retire all adapters: the daemon is to end, and machines should let go of them first. */
void endpoint_retire(struct endpoint *endpoint);

/** Call a function for each adapter. */
void endpoint_foreach_adapter(const struct endpoint *endpoint,
		void (*fn)(void *opaque, const struct adapter *adapter), void *opaque);

/** Call a function for each front-end that has no adapter yet. */
void endpoint_foreach_waiting(const struct endpoint *endpoint,
		void (*fn)(void *opaque, struct frontend *frontend), void *opaque);

/** Configuration. */
const struct endpoint_config *endpoint_config(const struct endpoint *endpoint);

/** Counters. */
const struct endpoint_stats *endpoint_stats(const struct endpoint *endpoint);

#endif /* ENDPOINT_H */
