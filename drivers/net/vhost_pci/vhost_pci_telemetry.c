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

#include <rte_telemetry.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_queue.h"

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
vrings_dict(const struct vhost_pci_port *port)
{
	struct rte_tel_data *dict = rte_tel_data_alloc();
	const struct vhost_pci_vring *vr;
	struct rte_tel_data *entry;
	char name[16];
	unsigned int i;

	if (dict == NULL)
		return NULL;
	rte_tel_data_start_dict(dict);
	for (i = 0; i < vhost_pci_session_nb_vrings(port->session); i++) {
		/* Only those in use: an answer has room for some, not for 256. */
		vr = vhost_pci_session_vring(port->session, i);
		entry = vr->started ? vring_dict(port, vr) : NULL;
		snprintf(name, sizeof(name), "%u", i);
		if (entry != NULL)
			rte_tel_data_add_dict_container(dict, name, entry, 0);
	}
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
	for (i = 0; mem != NULL && i < mem->nb_regions; i++) {
		entry = rte_tel_data_alloc();
		if (entry == NULL)
			break;
		rte_tel_data_start_dict(entry);
		add_hex(entry, "gpa", mem->region[i].gpa);
		add_hex(entry, "uva", mem->region[i].uva);
		add_hex(entry, "size", mem->region[i].size);
		add_hex(entry, "mmap_offset", mem->region[i].mmap_offset);
		snprintf(name, sizeof(name), "%u", i);
		rte_tel_data_add_dict_container(dict, name, entry, 0);
	}
	return dict;
}

static void
add_counters(const struct vhost_pci_port *port, struct rte_tel_data *dict)
{
	const struct vhost_pci_session_stats *session = vhost_pci_session_stats(port->session);

	VHOST_PCI_TEL_ADD_UINT(dict, "messages", session->messages);
	VHOST_PCI_TEL_ADD_UINT(dict, "malformed", session->malformed);
	VHOST_PCI_TEL_ADD_UINT(dict, "rejected", session->rejected);
	VHOST_PCI_TEL_ADD_UINT(dict, "broken_vrings", session->broken_vrings);
	VHOST_PCI_TEL_ADD_UINT(dict, "connections", port->stats.connections);
	VHOST_PCI_TEL_ADD_UINT(dict, "refused", port->stats.refused);
	VHOST_PCI_TEL_ADD_UINT(dict, "lost", port->stats.lost);
	VHOST_PCI_TEL_ADD_UINT(dict, "closed", port->stats.closed);
}

static void
add_port(struct vhost_pci_port *port, struct rte_tel_data *dict)
{
	struct rte_tel_data *vrings, *regions;

	vhost_pci_port_lock(port);
	rte_tel_data_add_dict_string(dict, "name", vhost_pci_port_name(port));
	rte_tel_data_add_dict_string(dict, "front_door", port->door->name);
	rte_tel_data_add_dict_int(dict, "connected", port->transport != NULL);
	rte_tel_data_add_dict_int(dict, "ready", vhost_pci_session_is_ready(port->session));
	add_hex(dict, "features_offered", port->features);
	add_hex(dict, "features", vhost_pci_session_features(port->session));
	add_hex(dict, "protocol_features", vhost_pci_session_protocol_features(port->session));
	add_hex(dict, "status", vhost_pci_session_status(port->session));
	VHOST_PCI_TEL_ADD_UINT(dict, "peer_mtu", port->peer_mtu);
	add_counters(port, dict);
	regions = regions_dict(port);
	if (regions != NULL)
		rte_tel_data_add_dict_container(dict, "regions", regions, 0);
	vrings = vrings_dict(port);
	if (vrings != NULL)
		rte_tel_data_add_dict_container(dict, "vrings", vrings, 0);
	vhost_pci_port_unlock(port);
}

static int
handle_list(const char *cmd, const char *params, struct rte_tel_data *data)
{
	uint16_t port_id;

	RTE_SET_USED(cmd);
	RTE_SET_USED(params);
	rte_tel_data_start_array(data, RTE_TEL_INT_VAL);
	RTE_ETH_FOREACH_DEV(port_id) {
		if (vhost_pci_is_ours(&rte_eth_devices[port_id]))
			rte_tel_data_add_array_int(data, port_id);
	}
	return 0;
}

static int
handle_info(const char *cmd, const char *params, struct rte_tel_data *data)
{
	unsigned long port_id;
	char *end;

	RTE_SET_USED(cmd);
	if (params == NULL || params[0] < '0' || params[0] > '9')
		return -EINVAL;
	port_id = strtoul(params, &end, 0);
	if (*end != '\0' || port_id >= RTE_MAX_ETHPORTS ||
			!rte_eth_dev_is_valid_port((uint16_t)port_id) ||
			!vhost_pci_is_ours(&rte_eth_devices[port_id]))
		return -EINVAL;
	rte_tel_data_start_dict(data);
	add_port(vhost_pci_port_of(&rte_eth_devices[port_id]), data);
	return 0;
}

RTE_INIT(vhost_pci_telemetry_init)
{
	rte_telemetry_register_cmd("/net_vhost_pci/list", handle_list,
			"Returns the ports of this driver. Takes no parameters");
	rte_telemetry_register_cmd("/net_vhost_pci/info", handle_info,
			"Returns a port's front-end, memory and vrings. Parameters: int port_id");
}
