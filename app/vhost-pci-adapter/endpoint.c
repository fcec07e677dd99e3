/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <linux/vhost_types.h>

#include "endpoint_priv.h"
#include "vhost_pci_log.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

/** Between two attempts to connect. */
#define ENDPOINT_RETRY_MS 250u

static void endpoint_connect(void *opaque);

void
endpoint_end_frontend(struct endpoint *endpoint, struct frontend *frontend, const char *reason)
{
	uint64_t id = frontend_conn_id(frontend);

	if (reason != NULL) {
		endpoint->stats.sessions_ended++;
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: front-end %" PRIu64 " is closed: %s",
				endpoint->config.name, id, reason);
	} else {
		vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: front-end %" PRIu64 " has disconnected",
				endpoint->config.name, id);
	}
	frontend_destroy(frontend);
	if (endpoint->config.connect_path != NULL && endpoint->retry == NULL)
		endpoint->retry = watch_timer(ENDPOINT_RETRY_MS, endpoint_connect, endpoint);
	endpoint_review_soon(endpoint);
}

static void
waiting_complete(void *opaque)
{
	struct endpoint_waiting *waiting = opaque;

	waiting->is_complete = true;
	endpoint_review_soon(waiting->endpoint);
}

static void
waiting_event_changed(void *opaque, unsigned int vring)
{
	(void)opaque;
	(void)vring;
}

static void
waiting_merge_log(void *opaque)
{
	(void)opaque;
}

/* Whether a log fits is known when there is an adapter. */
static int
waiting_log_changed(void *opaque, uint64_t size_bytes)
{
	(void)opaque;
	(void)size_bytes;
	return 0;
}

/* There is no driver that could want packets. */
static int
waiting_peer_said(void *opaque)
{
	(void)opaque;
	return 0;
}

/* There is no driver that could have asked. */
static int
waiting_channel_replied(void *opaque, uint32_t request, uint64_t value)
{
	(void)opaque;
	(void)value;
	return request == FRONTEND_CHANNEL_FAILED ? 0 : -EPROTO;
}

static enum frontend_relayed
waiting_relay(void *opaque, const struct vhost_pci_msg *msg, bool is_answered)
{
	(void)opaque;
	(void)msg;
	(void)is_answered;
	return FRONTEND_NOT_RELAYED;
}

static void
waiting_closed(void *opaque, const char *reason)
{
	struct endpoint_waiting *waiting = opaque;
	struct endpoint *endpoint = waiting->endpoint;
	struct frontend *frontend = waiting->frontend;

	endpoint_forget(waiting);
	endpoint_end_frontend(endpoint, frontend, reason);
}

static const struct frontend_ops waiting_ops = {
	.complete = waiting_complete,
	.event_changed = waiting_event_changed,
	.merge_log = waiting_merge_log,
	.log_changed = waiting_log_changed,
	.peer_said = waiting_peer_said,
	.channel_replied = waiting_channel_replied,
	.relay = waiting_relay,
	.closed = waiting_closed,
};

struct endpoint_waiting *
endpoint_adopt(struct endpoint *endpoint, struct frontend *frontend)
{
	struct endpoint_waiting *waiting = g_new0(struct endpoint_waiting, 1);

	waiting->endpoint = endpoint;
	waiting->frontend = frontend;
	waiting->is_complete = frontend_is_complete(frontend);
	frontend_set_owner(frontend, &waiting_ops, waiting);
	g_ptr_array_add(endpoint->waiting, waiting);
	endpoint_review_soon(endpoint);
	return waiting;
}

void
endpoint_forget(struct endpoint_waiting *waiting)
{
	g_ptr_array_remove(waiting->endpoint->waiting, waiting);
	g_free(waiting);
}

/* Front-ends that are there, with adapter or without. */
static unsigned int
endpoint_nb_frontends(const struct endpoint *endpoint)
{
	unsigned int nb = endpoint->waiting->len;

	for (unsigned int i = 0; i < endpoint->adapters->len; i++) {
		const struct endpoint_adapter *ea = g_ptr_array_index(endpoint->adapters, i);

		nb += adapter_frontend(ea->adapter) != NULL;
	}
	return nb;
}

/* A front-end's connection is there: begin to answer it. */
static void
endpoint_begin(struct endpoint *endpoint, int fd)
{
	static uint64_t last_conn_id; /* never given twice [ADP-12.3] */
	struct frontend_config config = {
		.name = endpoint->config.name,
		.conn_id = ++last_conn_id,
		.features = endpoint->features,
		.protocol_features = endpoint->protocol_features,
		.nb_vrings = endpoint->nb_vrings,
		.require_seals = endpoint->config.require_seals,
		.dialect = endpoint->config.dialect,
		.virtio_id = endpoint->config.virtio_id,
	};
	struct frontend *frontend;

	if (endpoint_nb_frontends(endpoint) >= endpoint->config.max_frontends) {
		endpoint->stats.frontends_refused++;
		vhost_pci_log(VHOST_PCI_LOG_WARNING,
				"%s: a front-end is refused: there are %u already",
				endpoint->config.name, endpoint->config.max_frontends);
		vhost_pci_peer_fd_close(fd);
		return;
	}
	if (frontend_create(fd, &config, &waiting_ops, NULL, &frontend) < 0)
		return;
	endpoint->stats.frontends++;
	vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: front-end %" PRIu64 " has connected",
			endpoint->config.name, config.conn_id);
	endpoint_adopt(endpoint, frontend);
	endpoint->peak = MAX(endpoint->peak, endpoint_nb_frontends(endpoint));
}

static void
endpoint_accept(void *opaque, int fd)
{
	endpoint_begin(opaque, fd);
}

static void
endpoint_connect(void *opaque)
{
	struct endpoint *endpoint = opaque;
	int fd;

	watch_stop(&endpoint->retry);
	fd = vhost_pci_unix_connect(endpoint->config.connect_path);
	if (fd >= 0)
		endpoint_begin(endpoint, fd);
	else
		endpoint->retry = watch_timer(ENDPOINT_RETRY_MS, endpoint_connect, endpoint);
}

static int
endpoint_open(struct endpoint *endpoint)
{
	int error;

	if (endpoint->config.connect_path != NULL) {
		endpoint_connect(endpoint);
		return 0;
	}
	error = listener_create(endpoint->config.listen_path, endpoint_accept, endpoint,
			&endpoint->listener);
	if (error < 0)
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: can't listen on %s: %s",
				endpoint->config.name, endpoint->config.listen_path,
				strerror(-error));
	return error;
}

static void
endpoint_copy_config(struct endpoint *endpoint, const struct endpoint_config *config)
{
	endpoint->config = *config;
	endpoint->config.name = endpoint->strings[0] = g_strdup(config->name);
	endpoint->config.listen_path = endpoint->strings[1] = g_strdup(config->listen_path);
	endpoint->config.connect_path = endpoint->strings[2] = g_strdup(config->connect_path);
	endpoint->config.socket_dir = endpoint->strings[3] = g_strdup(config->socket_dir);
	endpoint->config.peer_memory = endpoint->strings[4] = g_strdup(config->peer_memory);
	if (!config->log)
		endpoint->config.protocol_features &= ~VHOST_USER_PROTOCOL_MASK(LOG_SHMFD);
	/* one connection is made, and one file is named */
	if (config->connect_path != NULL || config->peer_memory != NULL)
		endpoint->config.max_frontends = 1;
	endpoint->features = endpoint->config.features;
	if (config->log)
		endpoint->features |= UINT64_C(1) << VHOST_F_LOG_ALL;
	endpoint->protocol_features = endpoint->config.protocol_features;
	endpoint->nb_vrings = endpoint->config.nb_vrings;
}

int
endpoint_create(const struct endpoint_config *config, const struct endpoint_plug_ops *plug,
		void *opaque, struct endpoint **endpoint)
{
	struct endpoint *ep = g_new0(struct endpoint, 1);
	int error = 0;

	endpoint_copy_config(ep, config);
	ep->plug = plug;
	ep->opaque = opaque;
	ep->created_at = g_get_monotonic_time();
	ep->waiting = g_ptr_array_new();
	ep->adapters = g_ptr_array_new_with_free_func(endpoint_adapter_free);
	if (config->peer_memory != NULL)
		error = endpoint_create_static(ep);
	if (error == 0)
		error = endpoint_open(ep);
	if (error < 0) {
		endpoint_destroy(ep);
		return error;
	}
	*endpoint = ep;
	return 0;
}

/* Destroy front-ends and adapters, without ceremony. */
static void
endpoint_drop_all(struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < endpoint->waiting->len; i++) {
		struct endpoint_waiting *waiting = g_ptr_array_index(endpoint->waiting, i);

		frontend_destroy(waiting->frontend);
		g_free(waiting);
	}
	g_ptr_array_free(endpoint->waiting, TRUE);
	g_ptr_array_free(endpoint->adapters, TRUE);
}

void
endpoint_destroy(struct endpoint *endpoint)
{
	if (endpoint == NULL)
		return;
	listener_destroy(endpoint->listener);
	watch_stop(&endpoint->retry);
	endpoint_drop_all(endpoint);
	watch_stop(&endpoint->review);
	watch_stop(&endpoint->linger);
	for (size_t i = 0; i < G_N_ELEMENTS(endpoint->strings); i++)
		g_free(endpoint->strings[i]);
	g_free(endpoint);
}

void
endpoint_foreach_adapter(const struct endpoint *endpoint,
		void (*fn)(void *opaque, const struct adapter *adapter), void *opaque)
{
	for (unsigned int i = 0; i < endpoint->adapters->len; i++) {
		const struct endpoint_adapter *ea = g_ptr_array_index(endpoint->adapters, i);

		fn(opaque, ea->adapter);
	}
}

void
endpoint_foreach_waiting(const struct endpoint *endpoint,
		void (*fn)(void *opaque, struct frontend *frontend), void *opaque)
{
	for (unsigned int i = 0; i < endpoint->waiting->len; i++) {
		const struct endpoint_waiting *waiting = g_ptr_array_index(endpoint->waiting, i);

		fn(opaque, waiting->frontend);
	}
}

const struct endpoint_config *
endpoint_config(const struct endpoint *endpoint)
{
	return &endpoint->config;
}

const struct endpoint_stats *
endpoint_stats(const struct endpoint *endpoint)
{
	return &endpoint->stats;
}
