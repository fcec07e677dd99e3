/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front door for vhost-pci adapters: a PCI function in, a port out. What is of the PCI bus is
 * here, what is of the adapter in vhost_pci_pci_door.c and below.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#include <bus_pci_driver.h>
#include <rte_dev.h>
#include <rte_kvargs.h>

#include "vhost_pci_args.h"
#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_log.h"
#include "vhost_pci_pci_door.h"
#include "vhost_pci_vring.h"
#include "vhost_pci_zcopy.h"

#define ARG_WRITEBACK "writeback"
#define ARG_POSTCOPY  "postcopy"

/** Capabilities of a function at most: 4 bytes each, in what is left of 256. */
#define CAPS_MAX 48

_Static_assert(VHOST_PCI_ADP_BARS <= PCI_MAX_RESOURCE, "the bus knows of all BARs");

/** Everything that devargs say. */
struct pci_args {
	const char *name; /* Of the device, for messages. */
	bool writeback;
	bool tso_given;
	struct vhost_pci_port_config config;
};

static const char *const valid_args[] = {
	VHOST_PCI_ARGS_COMMON,
	ARG_WRITEBACK,
	ARG_POSTCOPY,
	NULL,
};

/* Arguments */

/** One key and its value; a callback of VHOST_PCI_KVARGS_PROCESS(). */
static int
parse_arg(const char *key, const char *value, void *opaque)
{
	struct pci_args *args = opaque;
	const struct vhost_pci_arg arg = { .device = args->name, .key = key, .value = value };
	int ret;

	args->tso_given |= strcmp(key, VHOST_PCI_ARG_TSO) == 0;
	ret = vhost_pci_arg_common(&arg, &args->config);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	if (strcmp(key, ARG_WRITEBACK) == 0)
		return vhost_pci_arg_bool(&arg, &args->writeback);
	/* What is left is ARG_POSTCOPY. */
	if (value != NULL && strcmp(value, "0") == 0)
		return 0;
	DRV_LOG(ERR,
			"%s: there is no " ARG_POSTCOPY " with an adapter: the front-end "
			"can't serve the page faults of another machine",
			args->name);
	return -ENOTSUP;
}

static int
parse_args(struct pci_args *args, const struct rte_devargs *devargs)
{
	struct rte_kvargs *kvlist;
	int ret;

	if (devargs == NULL || devargs->args == NULL || devargs->args[0] == '\0')
		return 0;
	kvlist = rte_kvargs_parse(devargs->args, valid_args);
	if (kvlist == NULL) {
		DRV_LOG(ERR, "%s: unknown or malformed argument in \"%s\"", args->name,
				devargs->args);
		return -EINVAL;
	}
	ret = vhost_pci_args_check_once(args->name, kvlist, valid_args);
	if (ret == 0)
		ret = VHOST_PCI_KVARGS_PROCESS(kvlist, NULL, parse_arg, args);
	rte_kvargs_free(kvlist);
	if (ret < 0)
		return -EINVAL;
	return vhost_pci_args_check_common(args->name, &args->config);
}

/* The PCI function */

/** Whether the function has a capability. */
static bool
has_cap(const struct rte_pci_device *dev, uint8_t wanted)
{
	uint16_t status = 0;
	uint8_t cap[2] = { 0 };
	uint8_t pos = 0;
	unsigned int i;

	if (rte_pci_read_config(dev, &status, sizeof(status), PCI_STATUS) != sizeof(status) ||
			(status & PCI_STATUS_CAP_LIST) == 0 ||
			rte_pci_read_config(dev, &pos, sizeof(pos), PCI_CAPABILITY_LIST) !=
					sizeof(pos))
		return false;
	/* A list that goes in circles ends here too. */
	for (i = 0; i < CAPS_MAX && pos >= PCI_STD_HEADER_SIZEOF; i++) {
		pos &= ~3;
		if (rte_pci_read_config(dev, cap, sizeof(cap), pos) != sizeof(cap))
			return false;
		if (cap[0] == wanted)
			return true;
		pos = cap[1];
	}
	return false;
}

/** Whether there are interrupts of the kind that the bus was told to use. */
static bool
has_interrupts(struct rte_pci_device *dev, unsigned int nb_vectors)
{
	enum rte_intr_handle_type type = rte_intr_type_get(dev->intr_handle);
	bool has = (type == RTE_INTR_HANDLE_VFIO_MSIX && has_cap(dev, PCI_CAP_ID_MSIX)) ||
			(type == RTE_INTR_HANDLE_VFIO_MSI && has_cap(dev, PCI_CAP_ID_MSI));

	if (!has && nb_vectors > 0 && has_cap(dev, PCI_CAP_ID_MSI) &&
			type == RTE_INTR_HANDLE_VFIO_MSIX)
		DRV_LOG(NOTICE,
				"%s: polling: the device has MSI, and the EAL option "
				"--vfio-intr=msi would use it",
				dev->device.name);
	if (!has)
		return false;
	/* An interrupt is a write of the device's to memory. */
	return rte_pci_set_bus_master(dev, true) == 0; /* legacy name */
}

/**
 * Map a BAR from physical memory: unlike the kernel drivers' files that gives the processor's
 * caches a say.
 */
static int
map_writeback(const struct rte_pci_device *dev, struct vhost_pci_adp_bar *bar, unsigned int number)
{
	void *va;
	int fd;

	/* Without O_SYNC: that is what makes it write-back. */
	fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	va = mmap(NULL, bar->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			(off_t)dev->mem_resource[number].phys_addr);
	close(fd);
	if (va == MAP_FAILED)
		return -errno;
	(void)madvise(va, bar->bytes, MADV_DONTDUMP);
	bar->va = va;
	return 0;
}

/** Whether a BAR is mapped by map_writeback(). */
static bool
is_writeback(const struct rte_pci_device *dev, const struct vhost_pci_adp_bar *bars,
		unsigned int number)
{
	return bars[number].va != NULL && bars[number].va != dev->mem_resource[number].addr;
}

/** Let the door have the mappings made here, or, without one, undo them. */
static void
hand_over_writeback(const struct rte_pci_device *dev, const struct vhost_pci_adp_bar *bars,
		struct vhost_pci_pci_door *door)
{
	unsigned int i;

	for (i = 0; i < VHOST_PCI_ADP_BARS; i++) {
		if (!is_writeback(dev, bars, i))
			continue;
		if (door != NULL)
			vhost_pci_pci_door_own(door, bars[i].va, bars[i].bytes);
		else
			munmap(bars[i].va, bars[i].bytes);
	}
}

/** The BARs as the bus has mapped them, or better. */
static void
find_bars(const struct rte_pci_device *dev, const struct pci_args *args,
		struct vhost_pci_adp_bar *bars)
{
	unsigned int i;
	int ret;

	for (i = 0; i < VHOST_PCI_ADP_BARS; i++) {
		bars[i].va = dev->mem_resource[i].addr;
		bars[i].bytes = bars[i].va != NULL ? dev->mem_resource[i].len : 0;
		if (!args->writeback || bars[i].va == NULL || i == VHOST_PCI_ADAPTER_BAR_REGS)
			continue;
		ret = map_writeback(dev, &bars[i], i);
		if (ret < 0)
			DRV_LOG(WARNING, "%s: BAR%u can't be mapped write-back: %s", args->name, i,
					strerror(-ret));
	}
}

/* Ports */

/** Let the port be what the device and the arguments allow. */
static int
fit_config(struct pci_args *args, const struct vhost_pci_adp_info *info)
{
	struct vhost_pci_port_config *config = &args->config;
	unsigned int nb_pairs = info->nb_vrings / 2;

	config->dirty_log = (info->device_features & VHOST_PCI_ADAPTER_F_LOG) != 0;
	if (info->virtio_id != 0 && info->virtio_id != VIRTIO_ID_NET) {
		DRV_LOG(ERR, "%s: the adapter is for virtio devices of type %u, not for networks",
				args->name, info->virtio_id);
		return -ENOTSUP;
	}
	if (nb_pairs == 0) {
		DRV_LOG(ERR, "%s: the adapter has no pair of virtqueues", args->name);
		return -ENOTSUP;
	}
	config->max_queue_pairs = (uint16_t)RTE_MIN(nb_pairs, config->max_queue_pairs);
	/* A front-end was promised it, and may not come back if it is taken away [ADP-10.4]. */
	if (!args->tso_given)
		config->tso = (info->offered_features &
					      (VHOST_PCI_FEATURE(NET_F_HOST_TSO4) |
							      VHOST_PCI_FEATURE(
									      NET_F_HOST_TSO6))) !=
				0;
	return 0;
}

/** Find the adapter behind the BARs, and make a door for it. */
static int
make_door(struct rte_pci_device *dev, struct pci_args *args, const struct vhost_pci_adp_bar *bars,
		struct vhost_pci_pci_door **door)
{
	const struct vhost_pci_adp_info *info;
	struct vhost_pci_pci_parts parts = {
		.name = args->name,
		.intr_handle = dev->intr_handle,
	};
	int ret;

	ret = vhost_pci_adp_create(bars, args->name, &parts.adp);
	if (ret < 0)
		return ret;
	info = vhost_pci_adp_info(parts.adp);
	ret = fit_config(args, info);
	if (ret < 0) {
		vhost_pci_adp_destroy(parts.adp);
		return ret;
	}
	parts.has_intr = has_interrupts(dev, info->nb_vectors);
	return vhost_pci_pci_door_create(&parts, &args->config, door);
}

static int
make_port(struct rte_pci_device *dev, struct pci_args *args)
{
	struct vhost_pci_adp_bar bars[VHOST_PCI_ADP_BARS];
	struct vhost_pci_pci_door *door = NULL;
	int ret;

	find_bars(dev, args, bars);
	ret = make_door(dev, args, bars, &door);
	hand_over_writeback(dev, bars, ret == 0 ? door : NULL);
	if (ret < 0)
		return ret;
	ret = vhost_pci_ethdev_create(&dev->device, &args->config, &vhost_pci_pci_door_ops, door);
	if (ret < 0)
		vhost_pci_pci_door_free(door);
	return ret;
}

/** EAL's news about a device: one of ours is about to be taken away. EAL's interrupt thread. */
static void
device_event(const char *name, enum rte_dev_event_type event, void *arg)
{
	struct rte_eth_dev *eth_dev;

	RTE_SET_USED(arg);
	if (event != RTE_DEV_EVENT_REMOVE)
		return;
	eth_dev = rte_eth_dev_allocated(name);
	if (eth_dev == NULL || !vhost_pci_is_ours(eth_dev))
		return;
	DRV_LOG(NOTICE, "%s: the device is being removed", name);
	rte_eth_dev_callback_process(eth_dev, RTE_ETH_EVENT_INTR_RMV, NULL);
}

/** Hear of removals; once for all devices, as long as the process lives. */
static void
watch_removals(void)
{
	static bool watched;

	if (!watched && rte_dev_event_callback_register(NULL, device_event, NULL) == 0)
		watched = true;
}

static int
pci_probe(struct rte_pci_driver *driver, struct rte_pci_device *dev)
{
	struct pci_args args = {
		.name = dev->device.name,
		.config = {
			.max_queue_pairs = VHOST_PCI_MAX_QUEUE_PAIRS,
			.max_queue_size = VHOST_PCI_VRING_MAX_SIZE,
			.packed = true,
			.inband = true,
			.copybreak = VHOST_PCI_ZCOPY_COPYBREAK,
			.removable = true,
		},
	};
	int ret;

	RTE_SET_USED(driver);
	/* Eventfds and the state of the message rings are this process' alone. */
	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		DRV_LOG(ERR, "%s: not supported in a secondary process", args.name);
		return -ENOTSUP;
	}
	vhost_pci_drv_log_init();
	ret = parse_args(&args, dev->device.devargs);
	if (ret == 0)
		ret = make_port(dev, &args);
	if (ret < 0)
		return ret;
	watch_removals();
	return 0;
}

static int
pci_remove(struct rte_pci_device *dev)
{
	int ret = vhost_pci_ethdev_destroy(dev->device.name);

	/* Afterwards the bus unmaps the BARs. */
	return ret < 0 ? ret : vhost_pci_pci_door_reap(dev->device.name);
}

static const struct rte_pci_id pci_ids[] = {
	{ RTE_PCI_DEVICE(VHOST_PCI_ADAPTER_PCI_VENDOR, VHOST_PCI_ADAPTER_PCI_DEVICE) },
	{ .vendor_id = 0 },
};

static struct rte_pci_driver pci_driver = {
	.id_table = pci_ids,
	.drv_flags = RTE_PCI_DRV_NEED_MAPPING | RTE_PCI_DRV_INTR_LSC | RTE_PCI_DRV_INTR_RMV,
	.probe = pci_probe,
	.remove = pci_remove,
};

RTE_PMD_REGISTER_PCI(net_vhost_pci, pci_driver);
RTE_PMD_REGISTER_PCI_TABLE(net_vhost_pci, pci_ids);
RTE_PMD_REGISTER_KMOD_DEP(net_vhost_pci, "* vfio-pci | uio_pci_generic | igb_uio");
RTE_PMD_REGISTER_PARAM_STRING(net_vhost_pci,
		VHOST_PCI_ARGS_COMMON_PARAMS " " ARG_WRITEBACK "=<0|1>");
