/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "vfu_version.h"

/* Read a number of the capabilities, if it is there: false where it is no number or negative. */
static bool
vfu_version_number(JsonObject *caps, const char *name, bool *has, uint64_t *value)
{
	JsonNode *node = json_object_get_member(caps, name);

	*has = node != NULL;
	if (node == NULL)
		return true;
	if (json_node_get_value_type(node) != G_TYPE_INT64 || json_node_get_int(node) < 0)
		return false;
	*value = json_node_get_int(node);
	return true;
}

static int
vfu_version_parse_caps(JsonObject *json, struct vfu_client_caps *caps)
{
	uint64_t max_msg_fds = 1; /* "If not specified then the receiver must assume 1" */
	bool ok;

	ok = vfu_version_number(json, "max_msg_fds", &caps->has_max_msg_fds, &max_msg_fds) &&
			vfu_version_number(json, "max_data_xfer_size",
					&caps->has_max_data_xfer_size, &caps->max_data_xfer_size);
	if (!ok)
		return -EINVAL;
	return max_msg_fds < 1 ? -ENOTSUP : 0;
}

static int
vfu_version_parse_json(const char *text, struct vfu_client_caps *caps)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonNode *node;

	if (!json_parser_load_from_data(parser, text, -1, NULL))
		return -EINVAL;
	node = json_parser_get_root(parser);
	if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node))
		return -EINVAL;
	node = json_object_get_member(json_node_get_object(node), "capabilities");
	if (node == NULL)
		return 0;
	if (!JSON_NODE_HOLDS_OBJECT(node))
		return -EINVAL;
	return vfu_version_parse_caps(json_node_get_object(node), caps);
}

int
vfu_version_parse(const uint8_t *payload, size_t nb_bytes, struct vfu_client_caps *caps)
{
	struct vfu_version version;
	const char *text = (const char *)payload + sizeof(version);

	*caps = (struct vfu_client_caps){ .max_data_xfer_size = VFU_DATA_BYTES };
	if (nb_bytes < sizeof(version) || nb_bytes > VFU_VERSION_BYTES)
		return -EINVAL;
	memcpy(&version, payload, sizeof(version));
	if (version.major != 0)
		return -EPROTONOSUPPORT;
	if (nb_bytes == sizeof(version))
		return 0;
	/* "version data: variable (including terminating NUL)", and no other NUL */
	if (memchr(text, '\0', nb_bytes - sizeof(version)) != payload + nb_bytes - 1 ||
			!g_utf8_validate(text, -1, NULL))
		return -EINVAL;
	return vfu_version_parse_json(text, caps);
}

uint8_t *
vfu_version_reply(const struct vfu_client_caps *caps, size_t *nb_bytes)
{
	const struct vfu_version version = { .major = 0, .minor = 0 };
	g_autoptr(GString) json = g_string_new("{\"capabilities\":{");
	uint8_t *payload;

	if (caps->has_max_msg_fds)
		g_string_append_printf(json, "\"max_msg_fds\":%u", VFU_MSG_FDS);
	if (caps->has_max_data_xfer_size)
		g_string_append_printf(json, "%s\"max_data_xfer_size\":%u",
				caps->has_max_msg_fds ? "," : "", VFU_DATA_BYTES);
	g_string_append(json, "}}");

	*nb_bytes = sizeof(version) + json->len + 1;
	payload = g_malloc(*nb_bytes);
	memcpy(payload, &version, sizeof(version));
	memcpy(payload + sizeof(version), json->str, json->len + 1);
	return payload;
}
