/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "endpoint_priv.h"
#include "vhost_pci_log.h"
#include "watch.h"

/** What a machine's memory may need above its size: the hole below 4 GB, and what comes later. */
#define ENDPOINT_GPA_HOLE (UINT64_C(4) << 30)

static void
ea_frontend_closed(void *opaque, struct frontend *frontend, const char *reason)
{
	struct endpoint_adapter *ea = opaque;

	endpoint_end_frontend(ea->endpoint, frontend, reason);
}

static void
ea_frontend_moved(void *opaque, struct frontend *frontend)
{
	struct endpoint_adapter *ea = opaque;

	vhost_pci_log(VHOST_PCI_LOG_NOTICE,
			"%s: front-end %" PRIu64 " has other memory now, and needs another adapter",
			adapter_config(ea->adapter)->name, frontend_conn_id(frontend));
	endpoint_adopt(ea->endpoint, frontend);
}

/* Tell who plugs adapters that a machine has come, or gone. */
static void
ea_tell_attached(struct endpoint_adapter *ea)
{
	const struct endpoint *endpoint = ea->endpoint;
	bool attached = adapter_is_attached(ea->adapter);

	if (attached == ea->is_attached)
		return;
	ea->is_attached = attached;
	if (endpoint->plug != NULL && endpoint->plug->attached != NULL)
		endpoint->plug->attached(endpoint->opaque, adapter_config(ea->adapter)->name,
				attached);
}

/* Remember what a driver can do: the next front-end is offered no more [ADP-10.4]. */
static void
ea_changed(void *opaque)
{
	struct endpoint_adapter *ea = opaque;
	struct endpoint *endpoint = ea->endpoint;
	uint64_t features, protocol_features;
	unsigned int nb_vrings;

	if (ea->adapter != NULL)
		ea_tell_attached(ea);
	if (ea->adapter != NULL &&
			adapter_driver_caps(ea->adapter, &features, &protocol_features,
					&nb_vrings)) {
		endpoint->features = features;
		endpoint->protocol_features = protocol_features;
		endpoint->nb_vrings = MAX(nb_vrings, 1);
	}
	endpoint_review_soon(endpoint);
}

static const struct adapter_ops ea_ops = {
	.frontend_closed = ea_frontend_closed,
	.frontend_moved = ea_frontend_moved,
	.changed = ea_changed,
};

void
endpoint_adapter_free(void *data)
{
	struct endpoint_adapter *ea = data;
	struct endpoint *endpoint = ea->endpoint;
	struct frontend *frontend = adapter_frontend(ea->adapter);
	g_autofree char *id = g_strdup(adapter_config(ea->adapter)->name);

	adapter_destroy(ea->adapter);
	frontend_destroy(frontend);
	if (endpoint->plug != NULL)
		endpoint->plug->gone(endpoint->opaque, id);
	g_free(ea);
}

/* The lowest number that no adapter has. */
static unsigned int
endpoint_free_number(const struct endpoint *endpoint)
{
	unsigned int number = 0, i = 0;

	while (i < endpoint->adapters->len) {
		const struct endpoint_adapter *ea = g_ptr_array_index(endpoint->adapters, i++);

		if (ea->number == number) {
			number++;
			i = 0;
		}
	}
	return number;
}

/* Make an adapter with these files behind its BARs; NULL where that fails, which is logged. */
static struct endpoint_adapter *
endpoint_new_adapter(struct endpoint *endpoint, const struct window *window, uint64_t gpa_end)
{
	const struct endpoint_config *config = &endpoint->config;
	unsigned int number = endpoint_free_number(endpoint);
	g_autofree char *name = g_strdup_printf("%s-%u", config->name, number);
	g_autofree char *path = g_strdup_printf("%s/%s.sock", config->socket_dir, name);
	const struct adapter_config adapter_config = {
		.name = name,
		.path = path,
		.virtio_id = config->virtio_id,
		.features = config->features,
		.protocol_features = config->protocol_features,
		.nb_vrings = config->nb_vrings,
		.irq = config->irq,
		.is_static = config->peer_memory != NULL,
		.dialect = config->dialect,
		.gpa_end = config->log ? gpa_end : 0,
		.reply_ms = config->reply_ms,
	};
	struct endpoint_adapter *ea = g_new0(struct endpoint_adapter, 1);
	int error;

	ea->endpoint = endpoint;
	ea->number = number;
	ea->idle_since = g_get_monotonic_time();
	error = adapter_create(&adapter_config, window, &ea_ops, ea, &ea->adapter);
	if (error < 0) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: can't make an adapter at %s: %s", name, path,
				strerror(-error));
		g_free(ea);
		return NULL;
	}
	for (unsigned int i = 0; i < window->nb_files; i++) {
		if (!window->files[i].sealed)
			vhost_pci_log(VHOST_PCI_LOG_WARNING,
					"%s: the front-end's memory is not sealed: whoever cuts "
					"its file short ends the adapter's machine",
					name);
	}
	endpoint->stats.adapters++;
	g_ptr_array_add(endpoint->adapters, ea);
	if (endpoint->plug != NULL)
		endpoint->plug->plug(endpoint->opaque, name, path);
	return ea;
}

int
endpoint_create_static(struct endpoint *endpoint)
{
	const struct endpoint_config *config = &endpoint->config;
	struct endpoint_adapter *ea;
	struct window window;
	int fd, file;

	fd = open(config->peer_memory, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		file = -errno;
		vhost_pci_log(VHOST_PCI_LOG_ERR,
				"%s: %s: %s; a peer's memory must exist, with its size, before the "
				"daemon starts",
				config->name, config->peer_memory, strerror(-file));
		return file;
	}
	window_init(&window);
	file = window_add(&window, fd, config->require_seals);
	close(fd);
	if (file < 0) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: %s: %s", config->name, config->peer_memory,
				window_strerror(file));
		return file;
	}
	ea = endpoint_new_adapter(endpoint, &window,
			window.files[0].size_bytes + ENDPOINT_GPA_HOLE);
	window_clear(&window);
	return ea == NULL ? -EIO : 0;
}

/* An adapter for a front-end: a free one that has its memory; NULL if there is none. */
static struct endpoint_adapter *
endpoint_find_adapter(const struct endpoint *endpoint, const struct record *record)
{
	for (unsigned int i = 0; i < endpoint->adapters->len; i++) {
		struct endpoint_adapter *ea = g_ptr_array_index(endpoint->adapters, i);

		if (adapter_frontend(ea->adapter) == NULL && !adapter_is_retired(ea->adapter) &&
				(record == NULL || adapter_fits(ea->adapter, record)))
			return ea;
	}
	return NULL;
}

static void
endpoint_link(struct endpoint_adapter *ea, struct endpoint_waiting *waiting)
{
	struct frontend *frontend = waiting->frontend;

	endpoint_forget(waiting);
	adapter_link(ea->adapter, frontend);
}

/* Give a waiting front-end an adapter, if it is time to. */
static void
endpoint_place(struct endpoint *endpoint, struct endpoint_waiting *waiting)
{
	const struct record *record = frontend_record(waiting->frontend);
	bool is_static = endpoint->config.peer_memory != NULL;
	struct endpoint_adapter *ea;

	/* a static adapter shows its front-end from the beginning */
	if (is_static && !waiting->is_complete) {
		ea = endpoint_find_adapter(endpoint, NULL);
		if (ea != NULL)
			endpoint_link(ea, waiting);
		return;
	}
	if (!waiting->is_complete || endpoint->is_retiring)
		return;
	ea = endpoint_find_adapter(endpoint, record);
	if (ea == NULL && is_static) {
		endpoint->stats.frontends_refused++;
		frontend_close(waiting->frontend, "its memory is not the file of --peer-memory");
		waiting->is_complete = false;
		return;
	}
	if (ea == NULL)
		ea = endpoint_new_adapter(endpoint, &record->window,
				record_gpa_end(record) + ENDPOINT_GPA_HOLE);
	if (ea != NULL)
		endpoint_link(ea, waiting);
	else
		frontend_close(waiting->frontend, "there is no adapter for it");
}

static void
endpoint_retire_adapter(struct endpoint_adapter *ea)
{
	struct endpoint *endpoint = ea->endpoint;

	if (!adapter_is_retired(ea->adapter))
		adapter_retire(ea->adapter);
	if (ea->is_unplugging)
		return;
	ea->is_unplugging = true;
	if (endpoint->plug != NULL)
		endpoint->plug->unplug(endpoint->opaque, adapter_config(ea->adapter)->name);
}

/*
 * Look at an adapter without a front-end: retire it when its time is over, destroy it when its
 * machine has let go.
 *
 * Returns how long to wait before the next look in ms, 0 if there is nothing to wait for, -1 if
 * the adapter is to be destroyed.
 */
static int
endpoint_review_adapter(struct endpoint_adapter *ea, bool is_surplus)
{
	const struct endpoint_config *config = &ea->endpoint->config;
	int64_t idle_ms;

	if (adapter_frontend(ea->adapter) != NULL) {
		ea->idle_since = 0;
		return 0;
	}
	if (ea->idle_since == 0)
		ea->idle_since = g_get_monotonic_time();
	idle_ms = (g_get_monotonic_time() - ea->idle_since) / 1000;
	if (adapter_is_retired(ea->adapter) ||
			(config->peer_memory == NULL &&
					(idle_ms >= config->linger_ms || is_surplus)))
		endpoint_retire_adapter(ea);
	if (adapter_is_retired(ea->adapter))
		return adapter_is_attached(ea->adapter) ? 0 : -1;
	return config->peer_memory == NULL ? (int)(config->linger_ms - idle_ms) + 1 : 0;
}

/* In the order they came; one that is placed leaves the array. */
static void
endpoint_place_all(struct endpoint *endpoint)
{
	unsigned int i = 0;

	while (i < endpoint->waiting->len) {
		struct endpoint_waiting *waiting = g_ptr_array_index(endpoint->waiting, i);

		endpoint_place(endpoint, waiting);
		if (i < endpoint->waiting->len &&
				g_ptr_array_index(endpoint->waiting, i) == waiting)
			i++;
	}
}

static void
endpoint_review(void *opaque)
{
	struct endpoint *endpoint = opaque;
	int64_t age_ms = (g_get_monotonic_time() - endpoint->created_at) / 1000;
	unsigned int grace_ms = endpoint->config.grace_ms;
	int wait_ms = 0;

	watch_stop(&endpoint->review);
	watch_stop(&endpoint->linger);
	if (age_ms < grace_ms) {
		wait_ms = (int)(grace_ms - age_ms) + 1;
	} else {
		endpoint_place_all(endpoint);
	}
	for (unsigned int i = endpoint->adapters->len; i-- > 0;) {
		struct endpoint_adapter *ea = g_ptr_array_index(endpoint->adapters, i);
		/* a machine that came back has a new adapter, and may need the old bus */
		bool is_surplus = endpoint->adapters->len > endpoint->peak;
		int ms = endpoint_review_adapter(ea, is_surplus);

		if (ms < 0)
			g_ptr_array_remove_index(endpoint->adapters, i);
		else if (ms > 0 && (wait_ms == 0 || ms < wait_ms))
			wait_ms = ms;
	}
	if (wait_ms > 0 && endpoint->linger == NULL)
		endpoint->linger = watch_timer(wait_ms, endpoint_review, endpoint);
}

void
endpoint_review_soon(struct endpoint *endpoint)
{
	if (endpoint->review == NULL)
		endpoint->review = watch_idle(endpoint_review, endpoint);
}

void
endpoint_retire(struct endpoint *endpoint)
{
	endpoint->is_retiring = true;
	for (unsigned int i = 0; i < endpoint->adapters->len; i++) {
		struct endpoint_adapter *ea = g_ptr_array_index(endpoint->adapters, i);
		struct frontend *frontend = adapter_frontend(ea->adapter);

		if (frontend != NULL)
			frontend_close(frontend, NULL);
		endpoint_retire_adapter(ea);
	}
	endpoint_review_soon(endpoint);
}
