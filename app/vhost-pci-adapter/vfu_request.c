/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "notify.h"
#include "vfu_device_priv.h"
#include "vhost_pci_log.h"

#define VFU_IRQ_DATA_MASK \
	(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD)
#define VFU_IRQ_ACTION_MASK \
	(VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER)

/** How a command is handled: returns 0 once it has replied, or -errno, which is then the reply. */
typedef int (*vfu_handler)(struct vfu_device *device, struct vfu_request *request);

/** A command, and what its request must look like. */
struct vfu_command_desc {
	vfu_handler handler;
	uint32_t min_bytes; /**< of the payload */
	uint32_t max_bytes;
	uint32_t max_fds;
};

/* Reply with no payload. */
static int
vfu_reply_empty(struct vfu_device *device, const struct vfu_request *request)
{
	vfu_conn_reply(device->conn, &request->hdr, NULL, 0, -1);
	return 0;
}

static int
vfu_do_version(struct vfu_device *device, struct vfu_request *request)
{
	g_autofree uint8_t *reply = NULL;
	size_t nb_bytes;
	int error;

	if (device->attached)
		return -EINVAL;
	error = vfu_version_parse(request->payload, request->payload_bytes, &device->caps);
	if (error < 0) {
		/* "or closes the connection if it cannot support the advertised version" */
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: closing %s: the client's version message: %s",
				device->name, device->path, strerror(-error));
		device->stats.refused++;
		vfu_device_disconnect(device);
		return 0;
	}
	reply = vfu_version_reply(&device->caps, &nb_bytes);
	device->attached = true;
	device->stats.clients++;
	vfu_conn_reply(device->conn, &request->hdr, reply, nb_bytes, -1);
	device->ops->attached(device->opaque, true);
	return 0;
}

/* Whether a range of addresses is empty or wraps. */
static bool
vfu_range_is_bad(uint64_t address, uint64_t size)
{
	return size == 0 || size - 1 > UINT64_MAX - address;
}

/* The adapter does no DMA: the mapping is acknowledged, its fd closed with the request. */
static int
vfu_do_dma_map(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_dma_map map;

	memcpy(&map, request->payload, sizeof(map));
	if (map.argsz != sizeof(map) ||
			(map.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) ||
			vfu_range_is_bad(map.address, map.size) || map.offset > INT64_MAX ||
			map.size > INT64_MAX - map.offset)
		return -EINVAL;
	return vfu_reply_empty(device, request);
}

static int
vfu_do_dma_unmap(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_dma_unmap unmap;

	memcpy(&unmap, request->payload, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) || (unmap.flags & ~VFIO_DMA_UNMAP_FLAG_ALL))
		return -EINVAL;
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (unmap.address != 0 || unmap.size != 0)
			return -EINVAL;
	} else if (vfu_range_is_bad(unmap.address, unmap.size)) {
		return -EINVAL;
	}
	/* "The server responds with the original DMA entry in the request" */
	unmap.argsz = sizeof(unmap);
	vfu_conn_reply(device->conn, &request->hdr, &unmap, sizeof(unmap), -1);
	return 0;
}

static int
vfu_do_get_info(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_device_info info;

	memcpy(&info, request->payload, sizeof(info));
	/* "all other fields must be zero" */
	if (info.argsz < sizeof(info) || info.flags || info.nb_regions || info.nb_irqs)
		return -EINVAL;
	info = (struct vfu_device_info){
		.argsz = sizeof(info),
		.flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
		.nb_regions = VFIO_PCI_NUM_REGIONS,
		.nb_irqs = VFIO_PCI_NUM_IRQS,
	};
	vfu_conn_reply(device->conn, &request->hdr, &info, sizeof(info), -1);
	return 0;
}

static int
vfu_do_get_region_info(struct vfu_device *device, struct vfu_request *request)
{
	struct {
		struct vfio_region_info info;
		/* struct vfio_region_info_cap_sparse_mmap, but for the array at its end */
		struct {
			struct vfio_info_cap_header header;
			uint32_t nr_areas;
			uint32_t reserved;
		} sparse;
		struct vfio_region_sparse_mmap_area areas[VFU_REGION_AREAS];
	} reply = { 0 };

	_Static_assert(sizeof(reply.sparse) == sizeof(struct vfio_region_info_cap_sparse_mmap),
			"linux/vfio.h");
	const struct vfu_region *region;
	struct vfio_region_info info;
	size_t nb_bytes = sizeof(info);

	memcpy(&info, request->payload, sizeof(info));
	/* "index ... is the only field that is required to be set", "all other ... zero" */
	if (info.argsz < sizeof(info) || info.flags || info.cap_offset || info.size ||
			info.offset || info.index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	region = &device->regions[info.index];
	reply.info.index = info.index;
	reply.info.size = region->size_bytes;
	reply.info.offset = region->fd_offset;
	if (region->size_bytes > 0)
		reply.info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (region->nb_areas > 0) {
		reply.info.flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
		/* a client checks it even where its argsz leaves no room for the capability */
		reply.info.cap_offset = sizeof(info);
		reply.sparse.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		reply.sparse.header.version = 1;
		reply.sparse.nr_areas = region->nb_areas;
		for (unsigned int i = 0; i < region->nb_areas; i++) {
			reply.areas[i].offset = region->areas[i].offset;
			reply.areas[i].size = region->areas[i].size_bytes;
		}
		nb_bytes += sizeof(reply.sparse) + region->nb_areas * sizeof(reply.areas[0]);
	}
	/* "Message sizes": argsz says what is needed; the rest, and the fd, come when asked for */
	reply.info.argsz = nb_bytes;
	if (info.argsz < nb_bytes)
		vfu_conn_reply(device->conn, &request->hdr, &reply, sizeof(info), -1);
	else
		vfu_conn_reply(device->conn, &request->hdr, &reply, nb_bytes,
				region->nb_areas > 0 ? region->fd : -1);
	return 0;
}

/* No sub-region is offered: doorbells work without, and QEMU's client does not ask. */
static int
vfu_do_get_region_io_fds(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_region_io_fds io_fds;

	(void)device;
	memcpy(&io_fds, request->payload, sizeof(io_fds));
	if (io_fds.argsz < sizeof(io_fds) || io_fds.flags || io_fds.count ||
			io_fds.index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	return -ENOTSUP;
}

static int
vfu_do_get_irq_info(struct vfu_device *device, struct vfu_request *request)
{
	struct vfio_irq_info info;

	memcpy(&info, request->payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.flags || info.count ||
			info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info = (struct vfio_irq_info){
		.argsz = sizeof(info),
		/* not NORESIZE: QEMU would disable and set all vectors for each that is added */
		.flags = VFIO_IRQ_INFO_EVENTFD,
		.index = info.index,
		.count = device->irqs[info.index].nb_irqs,
	};
	vfu_conn_reply(device->conn, &request->hdr, &info, sizeof(info), -1);
	return 0;
}

/* VFIO_IRQ_SET_DATA_EVENTFD: one fd for each interrupt, or none to take theirs away. */
static int
vfu_irqs_set_fds(struct vfu_device *device, const struct vfio_irq_set *set,
		struct vfu_request *request)
{
	if (set->count == 0 || (request->nb_fds != set->count && request->nb_fds != 0))
		return -EINVAL;
	for (unsigned int i = 0; i < request->nb_fds; i++) {
		int error = notify_prepare(request->fds[i]);

		if (error < 0)
			return error;
	}
	for (unsigned int i = 0; i < set->count; i++) {
		int fd = -1;

		if (request->nb_fds > 0) {
			fd = request->fds[i];
			request->fds[i] = -1;
		}
		vfu_irq_set_fd(device, set->index, set->start + i, fd);
	}
	return 0;
}

/* VFIO_IRQ_SET_DATA_NONE and _BOOL: the client triggers interrupts itself, or disables all. */
static int
vfu_irqs_trigger(struct vfu_device *device, const struct vfio_irq_set *set, const uint8_t *bools)
{
	if (set->count == 0) {
		/* "a count (and start) of 0, with ... DATA_NONE disables all interrupts" */
		if (set->start != 0 || bools != NULL)
			return -EINVAL;
		vfu_irq_clear_fds(device, set->index);
		return 0;
	}
	for (unsigned int i = 0; i < set->count; i++) {
		if (bools == NULL || bools[i])
			vfu_device_trigger(device, set->index, set->start + i);
	}
	return 0;
}

static int
vfu_irqs_check(const struct vfu_device *device, const struct vfio_irq_set *set,
		const struct vfu_request *request)
{
	uint32_t data = set->flags & VFU_IRQ_DATA_MASK, action = set->flags & VFU_IRQ_ACTION_MASK;
	size_t data_bytes = data == VFIO_IRQ_SET_DATA_BOOL ? set->count : 0;
	unsigned int nb_irqs;

	if (set->flags != (data | action) || __builtin_popcount(data) != 1 ||
			set->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	/* no interrupt type here says that it is maskable */
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EINVAL;
	nb_irqs = device->irqs[set->index].nb_irqs;
	if (set->start > nb_irqs || set->count > nb_irqs - set->start)
		return -EINVAL;
	/* "argsz is the size of the ... request payload, including any data field" */
	if (set->argsz != request->payload_bytes || set->argsz != sizeof(*set) + data_bytes)
		return -EINVAL;
	if (data != VFIO_IRQ_SET_DATA_EVENTFD && request->nb_fds > 0)
		return -EINVAL;
	return 0;
}

static int
vfu_do_set_irqs(struct vfu_device *device, struct vfu_request *request)
{
	struct vfio_irq_set set;
	int error;

	memcpy(&set, request->payload, sizeof(set));
	error = vfu_irqs_check(device, &set, request);
	if (error < 0)
		return error;
	if (set.flags & VFIO_IRQ_SET_DATA_EVENTFD)
		error = vfu_irqs_set_fds(device, &set, request);
	else
		error = vfu_irqs_trigger(device, &set,
				set.flags & VFIO_IRQ_SET_DATA_BOOL ? request->payload + sizeof(set)
								   : NULL);
	return error < 0 ? error : vfu_reply_empty(device, request);
}

/* Check an access: its region, that it lies within, and its count. */
static int
vfu_access_check(struct vfu_device *device, const struct vfu_request *request,
		struct vfu_region_access *access)
{
	uint64_t size_bytes;

	memcpy(access, request->payload, sizeof(*access));
	if (access->region >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	size_bytes = device->regions[access->region].size_bytes;
	/* "The count field must not exceed the value of max_data_xfer_size of the peer" */
	if (access->count == 0 || access->count > VFU_DATA_BYTES ||
			access->count > device->caps.max_data_xfer_size ||
			access->offset > size_bytes || access->count > size_bytes - access->offset)
		return -EINVAL;
	return 0;
}

static int
vfu_do_region_read(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_region_access access;
	g_autofree uint8_t *reply = NULL;
	int error;

	error = vfu_access_check(device, request, &access);
	if (error < 0)
		return error;
	if (access.region != VFIO_PCI_CONFIG_REGION_INDEX)
		device->stats.reads++;
	reply = g_malloc0(sizeof(access) + access.count);
	error = device->ops->read(device->opaque, access.region, access.offset,
			reply + sizeof(access), access.count);
	if (error < 0)
		return error;
	memcpy(reply, &access, sizeof(access));
	vfu_conn_reply(device->conn, &request->hdr, reply, sizeof(access) + access.count, -1);
	return 0;
}

static int
vfu_do_region_write(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_region_access access;
	int error;

	error = vfu_access_check(device, request, &access);
	if (error < 0)
		return error;
	if (request->payload_bytes != sizeof(access) + access.count)
		return -EINVAL;
	if (access.region != VFIO_PCI_CONFIG_REGION_INDEX)
		device->stats.writes++;
	error = device->ops->write(device->opaque, access.region, access.offset,
			request->payload + sizeof(access), access.count);
	if (error < 0)
		return error;
	vfu_conn_reply(device->conn, &request->hdr, &access, sizeof(access), -1);
	return 0;
}

static int
vfu_do_reset(struct vfu_device *device, struct vfu_request *request)
{
	vfu_device_clear_pending(device);
	device->ops->reset(device->opaque);
	return vfu_reply_empty(device, request);
}

/* Features are about migration, which an adapter does not do: its peer's memory stays here. */
static int
vfu_do_feature(struct vfu_device *device, struct vfu_request *request)
{
	struct vfu_feature feature;
	uint32_t known = VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_GET |
			VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PROBE;

	(void)device;
	memcpy(&feature, request->payload, sizeof(feature));
	if (feature.argsz < sizeof(feature) || (feature.flags & ~known) ||
			!(feature.flags & ~VFIO_DEVICE_FEATURE_MASK))
		return -EINVAL;
	return -ENOTTY;
}

/* A command that exists, is the client's to send, and is not offered. */
static int
vfu_do_unsupported(struct vfu_device *device, struct vfu_request *request)
{
	(void)device;
	(void)request;
	return -ENOTSUP;
}

static const struct vfu_command_desc vfu_commands[] = {
	[VFU_VERSION] = { vfu_do_version, 0, VFU_VERSION_BYTES, 0 },
	[VFU_DMA_MAP] = { vfu_do_dma_map, sizeof(struct vfu_dma_map), sizeof(struct vfu_dma_map),
			1 },
	[VFU_DMA_UNMAP] = { vfu_do_dma_unmap, sizeof(struct vfu_dma_unmap),
			sizeof(struct vfu_dma_unmap), 0 },
	[VFU_DEVICE_GET_INFO] = { vfu_do_get_info, sizeof(struct vfu_device_info),
			sizeof(struct vfu_device_info), 0 },
	[VFU_DEVICE_GET_REGION_INFO] = { vfu_do_get_region_info, sizeof(struct vfio_region_info),
			sizeof(struct vfio_region_info), 0 },
	[VFU_DEVICE_GET_REGION_IO_FDS] = { vfu_do_get_region_io_fds,
			sizeof(struct vfu_region_io_fds), sizeof(struct vfu_region_io_fds), 0 },
	[VFU_DEVICE_GET_IRQ_INFO] = { vfu_do_get_irq_info, sizeof(struct vfio_irq_info),
			sizeof(struct vfio_irq_info), 0 },
	[VFU_DEVICE_SET_IRQS] = { vfu_do_set_irqs, sizeof(struct vfio_irq_set),
			sizeof(struct vfio_irq_set) + VFU_IRQS, VFU_MSG_FDS },
	[VFU_REGION_READ] = { vfu_do_region_read, sizeof(struct vfu_region_access),
			sizeof(struct vfu_region_access), 0 },
	[VFU_REGION_WRITE] = { vfu_do_region_write, sizeof(struct vfu_region_access),
			sizeof(struct vfu_region_access) + VFU_DATA_BYTES, 0 },
	[VFU_DEVICE_RESET] = { vfu_do_reset, 0, 0, 0 },
	[VFU_REGION_WRITE_MULTI] = { vfu_do_unsupported, 0, UINT32_MAX, 0 },
	[VFU_DEVICE_FEATURE] = { vfu_do_feature, sizeof(struct vfu_feature), UINT32_MAX, 0 },
	[VFU_MIG_DATA_READ] = { vfu_do_unsupported, 0, UINT32_MAX, 0 },
	[VFU_MIG_DATA_WRITE] = { vfu_do_unsupported, 0, UINT32_MAX, 0 },
};

static int
vfu_request_dispatch(struct vfu_device *device, struct vfu_request *request)
{
	const struct vfu_hdr *hdr = &request->hdr;
	const struct vfu_command_desc *desc;

	/* "Header": other bits and the error are reserved in a command */
	if ((hdr->flags & ~VFU_FLAG_NO_REPLY) || hdr->error)
		return -EINVAL;
	if (hdr->command >= G_N_ELEMENTS(vfu_commands))
		return -ENOTSUP;
	desc = &vfu_commands[hdr->command];
	if (desc->handler == NULL)
		return -ENOTSUP;
	if (request->payload_bytes < desc->min_bytes || request->payload_bytes > desc->max_bytes ||
			request->nb_fds > desc->max_fds)
		return -EINVAL;
	return desc->handler(device, request);
}

void
vfu_request_handle(struct vfu_device *device, struct vfu_request *request)
{
	int error;

	device->stats.requests++;
	/* "VFIO_USER_VERSION ... is the initial message" */
	if (!device->attached && request->hdr.command != VFU_VERSION) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: closing %s: command %u before the version",
				device->name, device->path, request->hdr.command);
		device->stats.refused++;
		vfu_device_disconnect(device);
		return;
	}
	error = vfu_request_dispatch(device, request);
	if (error == 0)
		return;
	device->stats.errors++;
	vhost_pci_log(VHOST_PCI_LOG_DEBUG, "%s: command %u: %s", device->name, request->hdr.command,
			strerror(-error));
	vfu_conn_reply_error(device->conn, &request->hdr, -error);
}
