/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Telemetry commands: /net_vhost_pci/list names the ports of this driver, /net_vhost_pci/info,PORT
 * shows what a port's front-end has negotiated, its memory and its vrings.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include <rte_telemetry.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_queue.h"
#include "vhost_pci_telemetry.h"

/** Regions and vrings that an answer has room for; there may be 509 and 256. */
#define MAX_SHOWN 32

/** All ports of the process. The lock is taken before a port's. */
static LIST_HEAD(port_list, vhost_pci_port) ports = LIST_HEAD_INITIALIZER(ports);
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;

void
vhost_pci_telemetry_show(struct vhost_pci_port *port)
{
	pthread_mutex_lock(&ports_lock);
	LIST_INSERT_HEAD(&ports, port, shown_entry);
	pthread_mutex_unlock(&ports_lock);
}

void
vhost_pci_telemetry_hide(struct vhost_pci_port *port)
{
	pthread_mutex_lock(&ports_lock);
	LIST_REMOVE(port, shown_entry);
	pthread_mutex_unlock(&ports_lock);
}

/** Put a dictionary into another one, or free it where there is no room. */
static void
add_dict(struct rte_tel_data *dict, const char *name, struct rte_tel_data *entry)
{
	if (entry != NULL && rte_tel_data_add_dict_container(dict, name, entry, 0) != 0)
		rte_tel_data_free(entry);
}

/** A 64-bit number as hexadecimal text: telemetry's own numbers are decimal. */
static void
add_hex(struct rte_tel_data *dict, const char *name, uint64_t value)
{
	char text[2 + 2 * sizeof(value) + 1];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	rte_tel_data_add_dict_string(dict, name, text);
}

static const char *
mode_name(enum vhost_pci_vring_mode mode)
{
	switch (mode) {
	case VHOST_PCI_VRING_ON:
		return "on";
	case VHOST_PCI_VRING_DISCARD:
		return "discard";
	case VHOST_PCI_VRING_OFF:
		break;
	}
	return "off";
}

static struct rte_tel_data *
vring_dict(const struct vhost_pci_port *port, const struct vhost_pci_vring *vr)
{
	struct rte_tel_data *dict = rte_tel_data_alloc();
	enum vhost_pci_vring_error error = vhost_pci_load_relaxed(&vr->error);

	if (dict == NULL)
		return NULL;
	rte_tel_data_start_dict(dict);
	rte_tel_data_add_dict_string(dict, "mode",
			mode_name(vhost_pci_session_vring_mode(port->session, vr)));
	rte_tel_data_add_dict_string(dict, "format", vr->is_packed ? "packed" : "split");
	VHOST_PCI_TEL_ADD_UINT(dict, "size", vr->size);
	rte_tel_data_add_dict_int(dict, "enabled", vr->enabled);
	rte_tel_data_add_dict_string(dict, "error", vhost_pci_vring_error_name(error));
	VHOST_PCI_TEL_ADD_UINT(dict, "notifications",
			vhost_pci_load_relaxed(&vr->stats.notifications));
	VHOST_PCI_TEL_ADD_UINT(dict, "discarded", vhost_pci_load_relaxed(&vr->stats.discarded));
	return dict;
}

static struct rte_tel_data *
vrings_dict(const struct vhost_pci_port *port, unsigned int *nb_started)
{
	struct rte_tel_data *dict = rte_tel_data_alloc();
	const struct vhost_pci_vring *vr;
	char name[16];
	unsigned int nb = 0;
	unsigned int i;

	if (dict == NULL)
		return NULL;
	rte_tel_data_start_dict(dict);
	for (i = 0; i < vhost_pci_session_nb_vrings(port->session); i++) {
		vr = vhost_pci_session_vring(port->session, i);
		if (!vr->started || nb++ >= MAX_SHOWN)
			continue;
		snprintf(name, sizeof(name), "%u", i);
		add_dict(dict, name, vring_dict(port, vr));
	}
	*nb_started = nb;
	return dict;
}

static struct rte_tel_data *
regions_dict(const struct vhost_pci_port *port)
{
	const struct vhost_pci_mem *mem = vhost_pci_session_mem(port->session);
	struct rte_tel_data *dict = rte_tel_data_alloc();
	struct rte_tel_data *entry;
	char name[16];
	unsigned int i;

	if (dict == NULL)
		return NULL;
	rte_tel_data_start_dict(dict);
	for (i = 0; mem != NULL && i < RTE_MIN(mem->nb_regions, MAX_SHOWN); i++) {
		entry = rte_tel_data_alloc();
		if (entry == NULL)
			break;
		rte_tel_data_start_dict(entry);
		add_hex(entry, "gpa", mem->region[i].gpa);
		add_hex(entry, "uva", mem->region[i].uva);
		add_hex(entry, "size", mem->region[i].size);
		add_hex(entry, "mmap_offset", mem->region[i].mmap_offset);
		snprintf(name, sizeof(name), "%u", i);
		add_dict(dict, name, entry);
	}
	return dict;
}

/** What the front-end has told of its device; a UUID as RFC 4122 writes it. */
static void
add_dev_info(const struct vhost_pci_port *port, struct rte_tel_data *dict)
{
	const uint8_t *u = port->dev_info.uuid;
	char text[37];

	snprintf(text, sizeof(text),
			"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
			u[12], u[13], u[14], u[15]);
	VHOST_PCI_TEL_ADD_UINT(dict, "virtio_id", port->dev_info.virtio_id);
	rte_tel_data_add_dict_string(dict, "uuid", text);
}

static void
add_counters(const struct vhost_pci_port *port, struct rte_tel_data *dict)
{
	const struct vhost_pci_session_stats *session = vhost_pci_session_stats(port->session);

	VHOST_PCI_TEL_ADD_UINT(dict, "messages", session->messages);
	VHOST_PCI_TEL_ADD_UINT(dict, "malformed", session->malformed);
	VHOST_PCI_TEL_ADD_UINT(dict, "rejected", session->rejected);
	VHOST_PCI_TEL_ADD_UINT(dict, "broken_vrings", session->broken_vrings);
	VHOST_PCI_TEL_ADD_UINT(dict, "lost_memory", session->lost_memory);
	VHOST_PCI_TEL_ADD_UINT(dict, "connections", port->stats.connections);
	VHOST_PCI_TEL_ADD_UINT(dict, "refused", port->stats.refused);
	VHOST_PCI_TEL_ADD_UINT(dict, "lost", port->stats.lost);
	VHOST_PCI_TEL_ADD_UINT(dict, "closed", port->stats.closed);
}

static void
add_port(struct vhost_pci_port *port, struct rte_tel_data *dict)
{
	const struct vhost_pci_mem *mem;
	struct rte_tel_data *vrings;
	unsigned int nb_started = 0;

	vhost_pci_port_lock(port);
	rte_tel_data_add_dict_string(dict, "name", vhost_pci_port_name(port));
	rte_tel_data_add_dict_string(dict, "front_door", port->door->name);
	rte_tel_data_add_dict_int(dict, "connected", port->transport != NULL);
	VHOST_PCI_TEL_ADD_UINT(dict, "connection_id", port->conn_id);
	if (port->dev_info.virtio_id != 0)
		add_dev_info(port, dict);
	rte_tel_data_add_dict_int(dict, "ready", vhost_pci_session_is_ready(port->session));
	add_hex(dict, "features_offered", port->features);
	add_hex(dict, "features", vhost_pci_session_features(port->session));
	add_hex(dict, "protocol_features", vhost_pci_session_protocol_features(port->session));
	add_hex(dict, "status", vhost_pci_session_status(port->session));
	VHOST_PCI_TEL_ADD_UINT(dict, "peer_mtu", port->peer_mtu);
	add_counters(port, dict);
	mem = vhost_pci_session_mem(port->session);
	VHOST_PCI_TEL_ADD_UINT(dict, "nb_regions", mem == NULL ? 0 : mem->nb_regions);
	add_dict(dict, "regions", regions_dict(port));
	vrings = vrings_dict(port, &nb_started);
	VHOST_PCI_TEL_ADD_UINT(dict, "nb_vrings", nb_started);
	add_dict(dict, "vrings", vrings);
	vhost_pci_port_unlock(port);
}

static int
handle_list(const char *cmd, const char *params, struct rte_tel_data *data)
{
	const struct vhost_pci_port *port;

	RTE_SET_USED(cmd);
	RTE_SET_USED(params);
	rte_tel_data_start_array(data, RTE_TEL_INT_VAL);
	pthread_mutex_lock(&ports_lock);
	LIST_FOREACH(port, &ports, shown_entry)
		/* More than an answer has room for are not shown. */
		if (rte_tel_data_add_array_int(data, vhost_pci_port_id(port)) != 0)
			break;
	pthread_mutex_unlock(&ports_lock);
	return 0;
}

static int
handle_info(const char *cmd, const char *params, struct rte_tel_data *data)
{
	struct vhost_pci_port *port, *found = NULL;
	unsigned long port_id;
	char *end;

	RTE_SET_USED(cmd);
	if (params == NULL || params[0] < '0' || params[0] > '9')
		return -EINVAL;
	port_id = strtoul(params, &end, 0);
	if (*end != '\0')
		return -EINVAL;
	pthread_mutex_lock(&ports_lock);
	LIST_FOREACH(port, &ports, shown_entry)
		if (vhost_pci_port_id(port) == port_id)
			found = port;
	if (found != NULL) {
		rte_tel_data_start_dict(data);
		add_port(found, data);
	}
	pthread_mutex_unlock(&ports_lock);
	return found == NULL ? -EINVAL : 0;
}

RTE_INIT(vhost_pci_telemetry_init)
{
	rte_telemetry_register_cmd("/net_vhost_pci/list", handle_list,
			"Returns the ports of this driver. Takes no parameters");
	rte_telemetry_register_cmd("/net_vhost_pci/info", handle_info,
			"Returns a port's front-end, memory and vrings. Parameters: int port_id");
}
