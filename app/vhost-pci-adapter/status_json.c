/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <inttypes.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "status.h"

/** A number of a struct, and its name. */
struct status_counter {
	const char *name;
	size_t offset;
};

#define COUNTER(type, field) \
	{ \
#field, offsetof(struct type, field) \
	}

static const struct status_counter endpoint_counters[] = {
	COUNTER(endpoint_stats, frontends),
	COUNTER(endpoint_stats, frontends_refused),
	COUNTER(endpoint_stats, sessions_ended),
	COUNTER(endpoint_stats, adapters),
	{ NULL, 0 },
};

static const struct status_counter adapter_counters[] = {
	COUNTER(adapter_stats, sessions),
	COUNTER(adapter_stats, frames_out),
	COUNTER(adapter_stats, frames_in),
	COUNTER(adapter_stats, frames_dropped),
	COUNTER(adapter_stats, kicks),
	COUNTER(adapter_stats, calls),
	COUNTER(adapter_stats, doorbells),
	COUNTER(adapter_stats, doorbells_bad),
	COUNTER(adapter_stats, bad_accesses),
	COUNTER(adapter_stats, resets),
	COUNTER(adapter_stats, needs_resets),
	COUNTER(adapter_stats, log_merges),
	COUNTER(adapter_stats, timeouts),
	{ NULL, 0 },
};

static const struct status_counter vfu_counters[] = {
	COUNTER(vfu_device_stats, requests),
	COUNTER(vfu_device_stats, reads),
	COUNTER(vfu_device_stats, writes),
	COUNTER(vfu_device_stats, errors),
	COUNTER(vfu_device_stats, clients),
	COUNTER(vfu_device_stats, refused),
	COUNTER(vfu_device_stats, irqs),
	{ NULL, 0 },
};

static const struct status_counter frontend_counters[] = {
	COUNTER(frontend_stats, messages),
	COUNTER(frontend_stats, refused),
	COUNTER(frontend_stats, replies),
	COUNTER(frontend_stats, channel_requests),
	{ NULL, 0 },
};

static void
add_int(JsonBuilder *json, const char *name, int64_t value)
{
	json_builder_set_member_name(json, name);
	json_builder_add_int_value(json, value);
}

static void
add_bool(JsonBuilder *json, const char *name, bool value)
{
	json_builder_set_member_name(json, name);
	json_builder_add_boolean_value(json, value);
}

static void
add_string(JsonBuilder *json, const char *name, const char *value)
{
	json_builder_set_member_name(json, name);
	if (value != NULL)
		json_builder_add_string_value(json, value);
	else
		json_builder_add_null_value(json);
}

/* Masks and addresses are strings: JSON's numbers are not made for 64 bits. */
static void
add_hex(JsonBuilder *json, const char *name, uint64_t value)
{
	char text[32];

	g_snprintf(text, sizeof(text), "0x%" PRIx64, value);
	add_string(json, name, text);
}

static void
add_counters(JsonBuilder *json, const struct status_counter *counters, const void *stats)
{
	json_builder_set_member_name(json, "counters");
	json_builder_begin_object(json);
	for (; counters->name != NULL; counters++) {
		uint64_t value;

		memcpy(&value, (const char *)stats + counters->offset, sizeof(value));
		add_int(json, counters->name, (int64_t)value);
	}
	json_builder_end_object(json);
}

static void
add_vring(JsonBuilder *json, unsigned int index, const struct record_vring *vring)
{
	json_builder_begin_object(json);
	add_int(json, "index", index);
	add_int(json, "size", vring->num);
	add_bool(json, "started", vring->is_started);
	add_bool(json, "enabled", vring->enable != 0);
	add_bool(json, "kick", vring->kick.fd >= 0);
	add_bool(json, "call", vring->call.fd >= 0);
	add_bool(json, "err", vring->err.fd >= 0);
	json_builder_end_object(json);
}

static const char *const peer_names[] = {
	[VHOST_USER_PEER_OFF] = "off",
	[VHOST_USER_PEER_ON] = "on",
	[VHOST_USER_PEER_INIT] = "init",
};

/* As RFC 4122 writes it; null where it is not known. */
static void
add_uuid(JsonBuilder *json, const uint8_t *uuid)
{
	g_autoptr(GString) text = g_string_new(NULL);
	uint8_t any = 0;

	for (unsigned int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			g_string_append_c(text, '-');
		g_string_append_printf(text, "%02x", uuid[i]);
		any |= uuid[i];
	}
	add_string(json, "uuid", any != 0 ? text->str : NULL);
}

static void
add_record(JsonBuilder *json, const struct record *record)
{
	add_hex(json, "features", record->features);
	add_hex(json, "protocol-features", record->protocol_features);
	add_hex(json, "status", record->status);
	add_int(json, "virtio-id", record->dev_info.virtio_id);
	add_uuid(json, record->dev_info.uuid);
	add_string(json, "peer-connection",
			record->is_dialect ? peer_names[MIN(record->peer, VHOST_USER_PEER_INIT)]
					   : NULL);
	add_bool(json, "logging", record->dirty_log.map != NULL);
	json_builder_set_member_name(json, "regions");
	json_builder_begin_array(json);
	for (unsigned int i = 0; i < record->nb_regions; i++) {
		const struct vhost_user_mem_region *wire = &record->regions[i].wire;

		json_builder_begin_object(json);
		add_hex(json, "gpa", wire->gpa);
		add_hex(json, "size", wire->size);
		add_hex(json, "offset", wire->mmap_offset);
		add_int(json, "file", record->regions[i].file);
		json_builder_end_object(json);
	}
	json_builder_end_array(json);
	json_builder_set_member_name(json, "vrings");
	json_builder_begin_array(json);
	for (unsigned int i = 0; i < record->nb_vrings; i++) {
		if (record->vrings[i].got != 0)
			add_vring(json, i, &record->vrings[i]);
	}
	json_builder_end_array(json);
}

static void
add_frontend(JsonBuilder *json, struct frontend *frontend)
{
	const struct vhost_user_hdr *pending = frontend_pending(frontend);

	json_builder_begin_object(json);
	add_int(json, "connection", (int64_t)frontend_conn_id(frontend));
	add_bool(json, "complete", frontend_is_complete(frontend));
	add_string(json, "pending",
			pending != NULL ? vhost_pci_codec_name(pending->request) : NULL);
	add_record(json, frontend_record(frontend));
	add_counters(json, frontend_counters, frontend_stats(frontend));
	json_builder_end_object(json);
}

static void
add_windows(JsonBuilder *json, const struct window *window)
{
	json_builder_set_member_name(json, "windows");
	json_builder_begin_array(json);
	for (unsigned int i = 0; i < window->nb_files; i++) {
		json_builder_begin_object(json);
		add_int(json, "bar", 2 + 2 * i);
		add_hex(json, "file-size", window->files[i].size_bytes);
		add_hex(json, "bar-size", window_bar_bytes(&window->files[i]));
		add_bool(json, "sealed", window->files[i].sealed);
		json_builder_end_object(json);
	}
	json_builder_end_array(json);
}

static void
add_adapter(void *opaque, const struct adapter *adapter)
{
	const struct adapter_config *config = adapter_config(adapter);
	struct frontend *frontend = adapter_frontend(adapter);
	uint64_t features, protocol_features;
	JsonBuilder *json = opaque;
	unsigned int nb_vrings;

	json_builder_begin_object(json);
	add_string(json, "name", config->name);
	add_string(json, "socket", config->path);
	add_string(json, "state", adapter_state_name(adapter_state(adapter)));
	add_bool(json, "attached", adapter_is_attached(adapter));
	add_bool(json, "driver-ready",
			adapter_driver_caps(adapter, &features, &protocol_features, &nb_vrings));
	add_hex(json, "offered-features", features);
	add_hex(json, "offered-protocol-features", protocol_features);
	add_windows(json, adapter_window(adapter));
	add_counters(json, adapter_counters, adapter_stats(adapter));
	json_builder_set_member_name(json, "vfio-user");
	json_builder_begin_object(json);
	add_counters(json, vfu_counters, adapter_vfu_stats(adapter));
	json_builder_end_object(json);
	json_builder_set_member_name(json, "front-end");
	if (frontend != NULL)
		add_frontend(json, frontend);
	else
		json_builder_add_null_value(json);
	json_builder_end_object(json);
}

static void
add_waiting(void *opaque, struct frontend *frontend)
{
	add_frontend(opaque, frontend);
}

static void
add_endpoint(JsonBuilder *json, const struct endpoint *endpoint)
{
	const struct endpoint_config *config = endpoint_config(endpoint);

	json_builder_begin_object(json);
	add_string(json, "name", config->name);
	add_string(json, "listen", config->listen_path);
	add_string(json, "connect", config->connect_path);
	add_string(json, "peer-memory", config->peer_memory);
	add_counters(json, endpoint_counters, endpoint_stats(endpoint));
	json_builder_set_member_name(json, "adapters");
	json_builder_begin_array(json);
	endpoint_foreach_adapter(endpoint, add_adapter, json);
	json_builder_end_array(json);
	json_builder_set_member_name(json, "waiting");
	json_builder_begin_array(json);
	endpoint_foreach_waiting(endpoint, add_waiting, json);
	json_builder_end_array(json);
	json_builder_end_object(json);
}

char *
status_text(GPtrArray *endpoints)
{
	g_autoptr(JsonBuilder) json = json_builder_new();
	g_autoptr(JsonNode) root = NULL;
	g_autofree char *text = NULL;

	json_builder_begin_object(json);
	json_builder_set_member_name(json, "endpoints");
	json_builder_begin_array(json);
	for (unsigned int i = 0; i < endpoints->len; i++)
		add_endpoint(json, g_ptr_array_index(endpoints, i));
	json_builder_end_array(json);
	json_builder_end_object(json);
	root = json_builder_get_root(json);
	text = json_to_string(root, TRUE);
	return g_strconcat(text, "\n", NULL);
}
