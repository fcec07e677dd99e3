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
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <rte_kvargs.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_socket.h"
#include "vhost_pci_vring.h"

#define ARG_IFACE           "iface"
#define ARG_CLIENT          "client"
#define ARG_QUEUES          "queues"
#define ARG_MAX_QUEUE_SIZE  "max-queue-size"
#define ARG_TSO             "tso"
#define ARG_PACKED          "packed"
#define ARG_LEGACY_OL_FLAGS "legacy-ol-flags"
#define ARG_MAC             "mac"

/** Everything that devargs say. */
struct vdev_args {
	const char *name; /**< Of the device, for messages. */
	const char *iface;
	bool client;
	struct vhost_pci_port_config config;
};

/** A number that an argument has, and its range. */
struct number {
	unsigned long min;
	unsigned long max;
	unsigned long value;
};

static const char *const valid_args[] = {
	ARG_IFACE,
	ARG_CLIENT,
	ARG_QUEUES,
	ARG_MAX_QUEUE_SIZE,
	ARG_TSO,
	ARG_PACKED,
	ARG_LEGACY_OL_FLAGS,
	ARG_MAC,
	NULL,
};

/** Read a number and check its range; says what is wrong. */
static int
parse_number(const struct vdev_args *args, const char *key, const char *value,
		struct number *number)
{
	char *end = NULL;

	errno = 0;
	if (value != NULL && value[0] >= '0' && value[0] <= '9')
		number->value = strtoul(value, &end, 0);
	if (end == NULL || *end != '\0' || errno != 0 || number->value < number->min ||
			number->value > number->max) {
		DRV_LOG(ERR, "%s: %s=%s is no number from %lu to %lu", args->name, key,
				value == NULL ? "" : value, number->min, number->max);
		return -EINVAL;
	}
	return 0;
}

static int
parse_bool(const struct vdev_args *args, const char *key, const char *value, bool *flag)
{
	struct number number = { .max = 1 };
	int ret = parse_number(args, key, value, &number);

	*flag = number.value != 0;
	return ret;
}

/** A number of 16 bits that is not 0. */
static int
parse_count(const struct vdev_args *args, const char *key, const char *value, uint16_t max,
		uint16_t *result)
{
	struct number number = { .min = 1, .max = max };
	int ret = parse_number(args, key, value, &number);

	*result = (uint16_t)number.value;
	return ret;
}

static int
parse_mac(struct vdev_args *args, const char *value)
{
	struct vhost_pci_port_config *config = &args->config;

	if (value == NULL || rte_ether_unformat_addr(value, &config->mac) < 0 ||
			!rte_is_valid_assigned_ether_addr(&config->mac)) {
		DRV_LOG(ERR, "%s: " ARG_MAC "=%s is no unicast MAC address", args->name,
				value == NULL ? "" : value);
		return -EINVAL;
	}
	config->has_mac = true;
	return 0;
}

/** One key and its value; a callback of VHOST_PCI_KVARGS_PROCESS(). */
static int
parse_arg(const char *key, const char *value, void *opaque)
{
	struct vdev_args *args = opaque;
	struct vhost_pci_port_config *config = &args->config;

	if (strcmp(key, ARG_IFACE) == 0) {
		args->iface = value;
		return 0;
	}
	if (strcmp(key, ARG_CLIENT) == 0)
		return parse_bool(args, key, value, &args->client);
	if (strcmp(key, ARG_TSO) == 0)
		return parse_bool(args, key, value, &config->tso);
	if (strcmp(key, ARG_PACKED) == 0)
		return parse_bool(args, key, value, &config->packed);
	if (strcmp(key, ARG_LEGACY_OL_FLAGS) == 0)
		return parse_bool(args, key, value, &config->legacy_ol_flags);
	if (strcmp(key, ARG_MAC) == 0)
		return parse_mac(args, value);
	if (strcmp(key, ARG_QUEUES) == 0)
		return parse_count(args, key, value, VHOST_PCI_MAX_QUEUE_PAIRS,
				&config->max_queue_pairs);
	return parse_count(args, key, value, VHOST_PCI_VRING_MAX_SIZE, &config->max_queue_size);
}

static int
parse_args(struct vdev_args *args, const struct rte_kvargs *kvlist)
{
	unsigned int i;
	int ret;

	for (i = 0; valid_args[i] != NULL; i++) {
		if (rte_kvargs_count(kvlist, valid_args[i]) > 1) {
			DRV_LOG(ERR, "%s: %s is given more than once", args->name, valid_args[i]);
			return -EINVAL;
		}
		ret = VHOST_PCI_KVARGS_PROCESS(kvlist, valid_args[i], parse_arg, args);
		if (ret < 0)
			return -EINVAL;
	}
	if (args->iface == NULL || args->iface[0] == '\0') {
		DRV_LOG(ERR, "%s: " ARG_IFACE "=<path of the socket> is missing", args->name);
		return -EINVAL;
	}
	return 0;
}

static int
vdev_create(struct rte_vdev_device *vdev, const struct vdev_args *args)
{
	struct vhost_pci_socket *sock;
	int ret;

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
		.config = {
			.max_queue_pairs = 1,
			.max_queue_size = VHOST_PCI_VRING_MAX_SIZE,
			.packed = true,
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
		ARG_IFACE "=<path> " ARG_CLIENT "=<0|1> " ARG_QUEUES "=<int> " ARG_MAX_QUEUE_SIZE
			  "=<int> " ARG_TSO "=<0|1> " ARG_PACKED "=<0|1> " ARG_LEGACY_OL_FLAGS
			  "=<0|1> " ARG_MAC "=<addr>");
