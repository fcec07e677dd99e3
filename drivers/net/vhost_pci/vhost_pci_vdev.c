/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front door for virtual devices: devargs in, a port with a UNIX socket out.
 *
 * The name is net_vpci and not net_vhost...: the vdev bus takes a driver's name for a prefix of
 * the device's, and those with net_vhost are DPDK's own driver's.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <rte_kvargs.h>

#include "vhost_pci_args.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_hub.h"
#include "vhost_pci_socket.h"
#include "vhost_pci_vring.h"
#include "vhost_pci_zcopy.h"

#define ARG_IFACE          "iface"
#define ARG_CLIENT         "client"
#define ARG_MAX_QUEUE_SIZE "max-queue-size"
#define ARG_DIALECT        "dialect"
#define ARG_REQUIRE_SEALS  "require-seals"
#define ARG_POSTCOPY       "postcopy"
#define ARG_MAX_CLIENTS    "max-clients"
#define ARG_STATIC_PORTS   "static-ports"
#define ARG_CLIENT_PORT    "client-port"
#define ARG_INBAND         "inband"

#define DIALECT_VHOST_PCI "vhost-pci"

/** Everything that devargs say. */
struct vdev_args {
	const char *name; /**< Of the device, for messages. */
	const char *iface;
	bool client;
	uint16_t max_clients; /**< Front-ends of the listener. */
	uint16_t nb_static;   /**< Ports of it that are made at once; 0: all. */
	uint16_t client_port; /**< Which of them this is, 0 the first. */
	struct vhost_pci_port_config config;
};

static const char *const valid_args[] = {
	VHOST_PCI_ARGS_COMMON,
	ARG_IFACE,
	ARG_CLIENT,
	ARG_MAX_QUEUE_SIZE,
	ARG_DIALECT,
	ARG_MAX_CLIENTS,
	ARG_STATIC_PORTS,
	ARG_CLIENT_PORT,
	ARG_REQUIRE_SEALS,
	ARG_INBAND,
	ARG_POSTCOPY,
	NULL,
};

static int
parse_dialect(struct vdev_args *args, const char *value)
{
	if (value == NULL || strcmp(value, DIALECT_VHOST_PCI) != 0) {
		DRV_LOG(ERR, "%s: " ARG_DIALECT "=%s is unknown; there is " DIALECT_VHOST_PCI,
				args->name, value == NULL ? "" : value);
		return -EINVAL;
	}
	args->config.dialect = true;
	return 0;
}

/** Find where the value of a switch is kept; false for a key that is none. */
static bool
find_switch(struct vdev_args *args, const char *key, bool **flag)
{
	const struct {
		const char *key;
		bool *value;
	} switches[] = {
		{ ARG_CLIENT, &args->client },
		{ ARG_REQUIRE_SEALS, &args->config.require_seals },
		{ ARG_INBAND, &args->config.inband },
		{ ARG_POSTCOPY, &args->config.postcopy },
	};
	unsigned int i;

	for (i = 0; i < RTE_DIM(switches); i++) {
		if (strcmp(key, switches[i].key) != 0)
			continue;
		*flag = switches[i].value;
		return true;
	}
	return false;
}

/** One key and its value; a callback of VHOST_PCI_KVARGS_PROCESS(). */
static int
parse_arg(const char *key, const char *value, void *opaque)
{
	struct vdev_args *args = opaque;
	const struct vhost_pci_arg arg = { .device = args->name, .key = key, .value = value };
	bool *flag;
	int ret;

	ret = vhost_pci_arg_common(&arg, &args->config);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (find_switch(args, key, &flag))
		return vhost_pci_arg_bool(&arg, flag);
	if (strcmp(key, ARG_IFACE) == 0) {
		args->iface = value;
		return 0;
	}
	if (strcmp(key, ARG_DIALECT) == 0)
		return parse_dialect(args, value);
	if (strcmp(key, ARG_MAX_CLIENTS) == 0)
		return vhost_pci_arg_count(&arg, VHOST_PCI_HUB_MAX_CLIENTS, &args->max_clients);
	if (strcmp(key, ARG_STATIC_PORTS) == 0)
		return vhost_pci_arg_count(&arg, VHOST_PCI_HUB_MAX_CLIENTS, &args->nb_static);
	if (strcmp(key, ARG_CLIENT_PORT) == 0)
		return vhost_pci_arg_count(&arg, VHOST_PCI_HUB_MAX_CLIENTS - 1, &args->client_port);
	return vhost_pci_arg_count(&arg, VHOST_PCI_VRING_MAX_SIZE, &args->config.max_queue_size);
}

/** Settle what is said of a listener with many front-ends. */
static int
check_listener(struct vdev_args *args)
{
	if (args->nb_static == 0)
		args->nb_static = args->max_clients;
	if (args->client && args->max_clients > 1) {
		DRV_LOG(ERR,
				"%s: " ARG_CLIENT "=1 has no listener that " ARG_MAX_CLIENTS
				" could be of",
				args->name);
		return -EINVAL;
	}
	if (args->nb_static > args->max_clients || args->client_port >= args->max_clients) {
		DRV_LOG(ERR,
				"%s: " ARG_STATIC_PORTS " or " ARG_CLIENT_PORT
				" is more than " ARG_MAX_CLIENTS "=%u has",
				args->name, args->max_clients);
		return -EINVAL;
	}
	return 0;
}

static int
parse_args(struct vdev_args *args, const struct rte_kvargs *kvlist)
{
	if (vhost_pci_args_check_once(args->name, kvlist, valid_args) < 0 ||
			VHOST_PCI_KVARGS_PROCESS(kvlist, NULL, parse_arg, args) < 0)
		return -EINVAL;
	if (args->iface == NULL || args->iface[0] == '\0') {
		DRV_LOG(ERR, "%s: " ARG_IFACE "=<path of the socket> is missing", args->name);
		return -EINVAL;
	}
	if (vhost_pci_args_check_common(args->name, &args->config) < 0)
		return -EINVAL;
	return check_listener(args);
}

/** The name of a listener's port: that of the first, and a number. Returns 0 or -ENAMETOOLONG. */
static int
client_port_name(char *name, size_t size, const char *first, uint16_t index)
{
	int len = snprintf(name, size, "%s_%u", first, index);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

/** Make another port of a listener, a device of its own; see struct vhost_pci_hub_config. */
static int
make_client_port(const char *first, const char *first_args, uint16_t index)
{
	char name[RTE_DEV_NAME_MAX_LEN];
	char *args;
	int ret;

	ret = client_port_name(name, sizeof(name), first, index);
	if (ret == 0 && asprintf(&args, "%s," ARG_CLIENT_PORT "=%u", first_args, index) < 0)
		ret = -ENOMEM;
	if (ret == 0) {
		ret = rte_vdev_init(name, args);
		free(args);
	}
	if (ret < 0)
		DRV_LOG(ERR, "%s: can't make port %u of " ARG_MAX_CLIENTS ": %s", first, index,
				strerror(-ret));
	return ret;
}

/** Unmake the ports of a listener that are numbered from 1 to below an index. */
static void
unmake_client_ports(const char *first, uint16_t index)
{
	char name[RTE_DEV_NAME_MAX_LEN];

	while (--index > 0)
		if (client_port_name(name, sizeof(name), first, index) == 0)
			rte_vdev_uninit(name);
}

/** Make the ports of a listener besides the first: those that are not there already. */
static int
make_client_ports(const struct vdev_args *args, const char *devargs)
{
	uint16_t i;
	int ret;

	for (i = 1; i < args->nb_static; i++) {
		if (vhost_pci_hub_has(args->name, i))
			continue;
		ret = make_client_port(args->name, devargs, i);
		if (ret < 0) {
			unmake_client_ports(args->name, i);
			return ret;
		}
	}
	return 0;
}

/** The name of the first port of a listener, from that of one of the others. */
static void
first_port_name(const struct vdev_args *args, char *first, size_t size)
{
	snprintf(first, size, "%s", args->name);
	if (args->client_port > 0 && strrchr(first, '_') != NULL)
		*strrchr(first, '_') = '\0';
}

/** Make one of the ports that share a listener. */
static int
vdev_create_shared(struct rte_vdev_device *vdev, struct vdev_args *args)
{
	char first[RTE_DEV_NAME_MAX_LEN];
	const struct vhost_pci_hub_config config = {
		.path = args->iface,
		.name = first,
		.args = args->client_port == 0 ? rte_vdev_device_args(vdev) : NULL,
		.max_clients = args->max_clients,
		.nb_static = args->nb_static,
		.make = make_client_port,
	};
	struct vhost_pci_hub_member *member;
	int ret;

	first_port_name(args, first, sizeof(first));
	ret = vhost_pci_hub_join(&config, args->client_port, &member);
	if (ret == -ENODEV)
		DRV_LOG(ERR, "%s: " ARG_CLIENT_PORT " is for ports that %s makes", args->name,
				first);
	if (ret < 0)
		return ret;
	args->config.removable = args->client_port >= args->nb_static;
	/* One address for each: they count up. */
	if (args->config.has_mac)
		args->config.mac.addr_bytes[RTE_ETHER_ADDR_LEN - 1] += args->client_port;
	if (args->config.has_guest_mac)
		args->config.guest_mac.addr_bytes[RTE_ETHER_ADDR_LEN - 1] += args->client_port;
	ret = vhost_pci_ethdev_create(&vdev->device, &args->config, &vhost_pci_hub_ops, member);
	if (ret < 0) {
		vhost_pci_hub_ops.free(member);
		return ret;
	}
	if (args->client_port > 0)
		return 0;
	ret = make_client_ports(args, config.args);
	if (ret < 0)
		vhost_pci_ethdev_destroy(args->name);
	return ret;
}

static int
vdev_create(struct rte_vdev_device *vdev, struct vdev_args *args)
{
	struct vhost_pci_socket *sock;
	int ret;

	if (args->max_clients > 1)
		return vdev_create_shared(vdev, args);
	ret = vhost_pci_socket_create(args->iface, args->client, args->name, &sock);
	if (ret < 0)
		return ret;
	ret = vhost_pci_ethdev_create(&vdev->device, &args->config, &vhost_pci_socket_ops, sock);
	if (ret < 0)
		vhost_pci_socket_free(sock);
	return ret;
}

static int
vdev_probe(struct rte_vdev_device *vdev)
{
	struct vdev_args args = {
		.name = rte_vdev_device_name(vdev),
		.max_clients = 1,
		.config = {
			.max_queue_pairs = 1,
			.dirty_log = true,
			.inflight = true,
			.inband = true,
			.max_queue_size = VHOST_PCI_VRING_MAX_SIZE,
			.packed = true,
			.copybreak = VHOST_PCI_ZCOPY_COPYBREAK,
		},
	};
	struct rte_kvargs *kvlist;
	int ret;

	/* Eventfds, the socket and the peer's memory are this process' alone. */
	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		DRV_LOG(ERR, "%s: not supported in a secondary process", args.name);
		return -ENOTSUP;
	}
	kvlist = rte_kvargs_parse(rte_vdev_device_args(vdev), valid_args);
	if (kvlist == NULL) {
		DRV_LOG(ERR, "%s: unknown or malformed argument in \"%s\"", args.name,
				rte_vdev_device_args(vdev));
		return -EINVAL;
	}
	if (vdev->device.numa_node == SOCKET_ID_ANY)
		vdev->device.numa_node = (int)rte_socket_id();
	ret = parse_args(&args, kvlist);
	if (ret == 0)
		ret = vdev_create(vdev, &args);
	rte_kvargs_free(kvlist);
	return ret;
}

static int
vdev_remove(struct rte_vdev_device *vdev)
{
	return vhost_pci_ethdev_destroy(rte_vdev_device_name(vdev));
}

static struct rte_vdev_driver vdev_driver = {
	.probe = vdev_probe,
	.remove = vdev_remove,
};

RTE_PMD_REGISTER_VDEV(net_vpci, vdev_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_vpci,
		ARG_IFACE "=<path> " ARG_CLIENT "=<0|1> " VHOST_PCI_ARGS_COMMON_PARAMS
			  " " ARG_MAX_QUEUE_SIZE "=<int> " ARG_DIALECT "=" DIALECT_VHOST_PCI
			  " " ARG_MAX_CLIENTS "=<int> " ARG_STATIC_PORTS "=<int> " ARG_REQUIRE_SEALS
			  "=<0|1> " ARG_INBAND "=<0|1> " ARG_POSTCOPY "=<0|1>");
