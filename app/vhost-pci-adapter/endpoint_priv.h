/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What endpoint.c (sockets, front-ends) and endpoint_adapter.c (adapters) share.
 */

#ifndef ENDPOINT_PRIV_H
#define ENDPOINT_PRIV_H

#include <glib.h>

#include "endpoint.h"
#include "listener.h"

/** A front-end without adapter. */
struct endpoint_waiting {
	struct endpoint *endpoint;
	struct frontend *frontend;
	bool is_complete; /**< it waits for an adapter */
};

/** An adapter, as its endpoint sees it. */
struct endpoint_adapter {
	struct endpoint *endpoint;
	struct adapter *adapter;
	unsigned int number; /**< of its name */
	int64_t idle_since;  /**< without a front-end, as g_get_monotonic_time() */
	bool is_unplugging;
	bool is_attached; /**< as was told */
};

struct endpoint {
	struct endpoint_config config;
	char *strings[5]; /**< what the configuration points to */
	const struct endpoint_plug_ops *plug;
	void *opaque;
	struct endpoint_stats stats;
	int64_t created_at;

	struct listener *listener; /**< or NULL where it connects */
	GSource *retry;            /**< to connect */

	GPtrArray *waiting;  /**< of struct endpoint_waiting */
	GPtrArray *adapters; /**< of struct endpoint_adapter */
	GSource *review;     /**< endpoint_review() is to be called */
	GSource *linger;     /**< and at this time */
	bool is_retiring;
	unsigned int peak; /**< most front-ends that were there at a time */

	/* what the last driver could do of what is configured [ADP-10.4] */
	uint64_t features;
	uint64_t protocol_features;
	unsigned int nb_vrings;
};

/** @name endpoint.c */
/**@{*/
/** Take a front-end back that has no adapter any more; it is destroyed when it closes. */
struct endpoint_waiting *endpoint_adopt(struct endpoint *endpoint, struct frontend *frontend);
/** Forget a front-end that is in other hands now. */
void endpoint_forget(struct endpoint_waiting *waiting);
/** Say why a session ended, and destroy the front-end. */
void endpoint_end_frontend(struct endpoint *endpoint, struct frontend *frontend,
		const char *reason);
/**@}*/

/** @name endpoint_adapter.c */
/**@{*/
/** Look at all adapters and waiting front-ends, soon, and do what is to be done. */
void endpoint_review_soon(struct endpoint *endpoint);
/** Make the adapter of a static endpoint. @return 0 or -errno. */
int endpoint_create_static(struct endpoint *endpoint);
/** Destroy an adapter: a GDestroyNotify. */
void endpoint_adapter_free(void *data);
/**@}*/

#endif /* ENDPOINT_PRIV_H */
