/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_port.h"
#include "vhost_pci_zcopy.h"

/** Say what a value is not. */
static int
bad_value(const struct vhost_pci_arg *arg, const char *what)
{
	DRV_LOG(ERR, "%s: %s=%s is no %s", arg->device, arg->key,
			arg->value == NULL ? "" : arg->value, what);
	return -EINVAL;
}

/** Read a number and check its range. */
static int
arg_number(const struct vhost_pci_arg *arg, unsigned long min, unsigned long max,
		unsigned long *number)
{
	char *end = NULL;
	char what[64];

	*number = 0;
	errno = 0;
	/* strtoul() takes signs and spaces as well. */
	if (arg->value != NULL && arg->value[0] >= '0' && arg->value[0] <= '9')
		*number = strtoul(arg->value, &end, 0);
	if (end != NULL && *end == '\0' && errno == 0 && *number >= min && *number <= max)
		return 0;
	snprintf(what, sizeof(what), "number from %lu to %lu", min, max);
	return bad_value(arg, what);
}

int
vhost_pci_arg_bool(const struct vhost_pci_arg *arg, bool *flag)
{
	unsigned long number;
	int ret = arg_number(arg, 0, 1, &number);

	*flag = number != 0;
	return ret;
}

int
vhost_pci_arg_count(const struct vhost_pci_arg *arg, uint16_t max, uint16_t *count)
{
	unsigned long number;
	int ret = arg_number(arg, 1, max, &number);

	*count = (uint16_t)number;
	return ret;
}

static int
arg_mac(const struct vhost_pci_arg *arg, struct rte_ether_addr *mac, bool *has_mac)
{
	*has_mac = true;
	if (arg->value == NULL || rte_ether_unformat_addr(arg->value, mac) < 0 ||
			!rte_is_valid_assigned_ether_addr(mac))
		return bad_value(arg, "unicast MAC address");
	return 0;
}

static int
arg_zero_copy(const struct vhost_pci_arg *arg, struct vhost_pci_port_config *config)
{
	static const char *const modes[] = {
		[VHOST_PCI_ZCOPY_SPLIT] = "split",
		[VHOST_PCI_ZCOPY_OFF] = "off",
		[VHOST_PCI_ZCOPY_FULL] = "full",
	};
	unsigned int i;

	for (i = 0; arg->value != NULL && i < RTE_DIM(modes); i++) {
		if (strcmp(arg->value, modes[i]) != 0)
			continue;
		config->zcopy = (enum vhost_pci_zcopy_mode)i;
		return 0;
	}
	return bad_value(arg, "mode: there are off, split and full");
}

static int
arg_copybreak(const struct vhost_pci_arg *arg, struct vhost_pci_port_config *config)
{
	unsigned long number;
	int ret = arg_number(arg, VHOST_PCI_ZCOPY_MIN, VHOST_PCI_MAX_FRAME_LEN, &number);

	config->copybreak = (uint32_t)number;
	return ret;
}

/** Find where the value of a switch is kept; false for a key that is none. */
static bool
find_switch(struct vhost_pci_port_config *config, const char *key, bool **flag)
{
	const struct {
		const char *key;
		bool *value;
	} switches[] = {
		{ VHOST_PCI_ARG_TSO, &config->tso },
		{ VHOST_PCI_ARG_PACKED, &config->packed },
		{ VHOST_PCI_ARG_LEGACY_OL_FLAGS, &config->legacy_ol_flags },
		{ VHOST_PCI_ARG_IOMMU, &config->iommu },
		{ VHOST_PCI_ARG_CONFIG, &config->config },
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

int
vhost_pci_arg_common(const struct vhost_pci_arg *arg, struct vhost_pci_port_config *config)
{
	bool *flag;
	int ret;

	if (find_switch(config, arg->key, &flag))
		ret = vhost_pci_arg_bool(arg, flag);
	else if (strcmp(arg->key, VHOST_PCI_ARG_QUEUES) == 0)
		ret = vhost_pci_arg_count(arg, VHOST_PCI_MAX_QUEUE_PAIRS, &config->max_queue_pairs);
	else if (strcmp(arg->key, VHOST_PCI_ARG_MAC) == 0)
		ret = arg_mac(arg, &config->mac, &config->has_mac);
	else if (strcmp(arg->key, VHOST_PCI_ARG_GUEST_MAC) == 0)
		ret = arg_mac(arg, &config->guest_mac, &config->has_guest_mac);
	else if (strcmp(arg->key, VHOST_PCI_ARG_ZERO_COPY) == 0)
		ret = arg_zero_copy(arg, config);
	else if (strcmp(arg->key, VHOST_PCI_ARG_COPYBREAK) == 0)
		ret = arg_copybreak(arg, config);
	else
		return 0;
	return ret < 0 ? ret : 1;
}

int
vhost_pci_args_check_once(const char *device, const struct rte_kvargs *kvlist,
		const char *const *keys)
{
	for (; *keys != NULL; keys++) {
		if (rte_kvargs_count(kvlist, *keys) <= 1)
			continue;
		DRV_LOG(ERR, "%s: %s is given more than once", device, *keys);
		return -EINVAL;
	}
	return 0;
}

int
vhost_pci_args_check_common(const char *device, const struct vhost_pci_port_config *config)
{
	if (!config->has_guest_mac || config->config)
		return 0;
	DRV_LOG(ERR,
			"%s: " VHOST_PCI_ARG_GUEST_MAC " is of the space that " VHOST_PCI_ARG_CONFIG
			"=1 offers",
			device);
	return -EINVAL;
}
