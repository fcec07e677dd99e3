/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapter_priv.h"
#include "watch.h"

/** Largest log window: that of 2 TB of guest-physical addresses, in a BAR of 128 MB. */
#define ADAPTER_LOG_BYTES_MAX (UINT64_C(64) << 20)

/** Guest-physical bytes that one byte of the log stands for [ADP-11.11]. */
#define ADAPTER_LOG_SCALE (UINT64_C(4096) * 8)

static unsigned int
adapter_file_of_region(unsigned int region)
{
	return region == VFIO_PCI_BAR2_REGION_INDEX ? 0 : 1;
}

static int
adapter_vfu_read(void *opaque, unsigned int region, uint64_t offset, void *data, size_t count)
{
	struct adapter *adapter = opaque;

	if (region == VFIO_PCI_CONFIG_REGION_INDEX)
		vfu_pci_read(&adapter->pci, offset, data, count);
	else if (region == VFIO_PCI_BAR0_REGION_INDEX)
		adapter_regs_read(adapter, offset, data, count);
	else
		window_read(&adapter->window, adapter_file_of_region(region), offset, data, count);
	return 0;
}

/* Nothing fails here: a client that gets an error while it realizes the device may die of it. */
static int
adapter_vfu_write(void *opaque, unsigned int region, uint64_t offset, const void *data,
		size_t count)
{
	struct adapter *adapter = opaque;

	if (region == VFIO_PCI_BAR0_REGION_INDEX) {
		adapter_regs_write(adapter, offset, data, count);
	} else if (region != VFIO_PCI_CONFIG_REGION_INDEX) {
		/* [ADP-2.8]: what is outside of the window has no effect */
		(void)window_write(&adapter->window, adapter_file_of_region(region), offset, data,
				count);
	} else if (vfu_pci_write(&adapter->pci, offset, data, count)) {
		/* [ADP-16.8] */
		vfu_pci_reset(&adapter->pci);
		adapter_reset(adapter);
	}
	return 0;
}

static void
adapter_vfu_reset(void *opaque)
{
	struct adapter *adapter = opaque;

	vfu_pci_reset(&adapter->pci);
	adapter_reset(adapter);
}

static void
adapter_vfu_attached(void *opaque, bool attached)
{
	struct adapter *adapter = opaque;

	/* [ADP-16.9] */
	if (!attached)
		adapter_vfu_reset(adapter);
	adapter->ops->changed(adapter->opaque);
}

static const struct vfu_device_ops adapter_vfu_ops = {
	.read = adapter_vfu_read,
	.write = adapter_vfu_write,
	.reset = adapter_vfu_reset,
	.attached = adapter_vfu_attached,
};

static void
adapter_fe_complete(void *opaque)
{
	adapter_update(opaque);
}

static void
adapter_fe_event_changed(void *opaque, unsigned int vring)
{
	adapter_connect_vring(opaque, vring);
}

static void
adapter_fe_merge_log(void *opaque)
{
	adapter_merge_log(opaque);
}

static int
adapter_fe_log_changed(void *opaque, uint64_t size_bytes)
{
	struct adapter *adapter = opaque;

	/* [ADP-11.12]: the window is clear, since what was in it has just been merged */
	return size_bytes > adapter->log_words * sizeof(uint64_t) ? -E2BIG : 0;
}

static int
adapter_fe_peer_said(void *opaque)
{
	return adapter_peer_said(opaque);
}

static int
adapter_fe_channel_replied(void *opaque, uint32_t request, uint64_t value)
{
	return adapter_channel_replied(opaque, request, value);
}

static enum frontend_relayed
adapter_fe_relay(void *opaque, const struct vhost_pci_msg *msg, bool is_answered)
{
	return adapter_relay(opaque, msg, is_answered);
}

static void
adapter_fe_closed(void *opaque, const char *reason)
{
	struct adapter *adapter = opaque;
	struct frontend *frontend = adapter_unlink(adapter);

	adapter->ops->frontend_closed(adapter->opaque, frontend, reason);
}

static const struct frontend_ops adapter_frontend_ops = {
	.complete = adapter_fe_complete,
	.event_changed = adapter_fe_event_changed,
	.merge_log = adapter_fe_merge_log,
	.log_changed = adapter_fe_log_changed,
	.peer_said = adapter_fe_peer_said,
	.channel_replied = adapter_fe_channel_replied,
	.relay = adapter_fe_relay,
	.closed = adapter_fe_closed,
};

static uint64_t
adapter_round_up_pow2(uint64_t value)
{
	uint64_t pow2 = 1;

	while (pow2 < value)
		pow2 *= 2;
	return pow2;
}

/* Make the file of BAR0: sealed, since its other user could cut it short under our feet. */
static int
adapter_create_bar0(struct adapter *adapter)
{
	uint64_t log_bytes = adapter->config.gpa_end / ADAPTER_LOG_SCALE + 4096;
	void *map;

	if (adapter->config.gpa_end == 0 || log_bytes > ADAPTER_LOG_BYTES_MAX)
		log_bytes = 0;
	adapter->bar0_bytes = adapter_round_up_pow2(VHOST_PCI_ADAPTER_LOG_OFF + log_bytes);
	adapter->bar0_fd = memfd_create("vhost-pci-bar0", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (adapter->bar0_fd < 0)
		return -errno;
	if (ftruncate(adapter->bar0_fd, (off_t)adapter->bar0_bytes) < 0 ||
			fcntl(adapter->bar0_fd, F_ADD_SEALS,
					F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	map = mmap(NULL, adapter->bar0_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, adapter->bar0_fd,
			0);
	if (map == MAP_FAILED)
		return -errno;
	adapter->bar0 = map;
	adapter->shared = (void *)(adapter->bar0 + VHOST_PCI_ADAPTER_SHARED_OFF);
	if (log_bytes > 0) {
		adapter->log = (void *)(adapter->bar0 + VHOST_PCI_ADAPTER_LOG_OFF);
		adapter->log_words = (adapter->bar0_bytes - VHOST_PCI_ADAPTER_LOG_OFF) /
				sizeof(uint64_t);
	}
	return 0;
}

static int
adapter_copy_window(struct adapter *adapter, const struct window *window)
{
	for (unsigned int i = 0; i < window->nb_files; i++) {
		int file = window_add(&adapter->window, window->files[i].fd, false);

		if (file < 0)
			return file;
	}
	return 0;
}

/* Vectors that the device has [ADP-6.1], and the type of their interrupts. */
static unsigned int
adapter_choose_vectors(struct adapter *adapter)
{
	unsigned int wanted = adapter->config.nb_vrings + 1;

	switch (adapter->config.irq) {
	case VFU_PCI_IRQ_MSIX:
		adapter->irq_type = VFIO_PCI_MSIX_IRQ_INDEX;
		return wanted;
	case VFU_PCI_IRQ_MSI:
		adapter->irq_type = VFIO_PCI_MSI_IRQ_INDEX;
		return MIN(adapter_round_up_pow2(wanted), VHOST_PCI_ADAPTER_MSI_VECTORS_MAX);
	default:
		return 0;
	}
}

static int
adapter_init_pci(struct adapter *adapter)
{
	const bool is_net = adapter->config.virtio_id == 1;
	struct vfu_pci_config config = {
		.vendor_id = VHOST_PCI_ADAPTER_PCI_VENDOR,
		.device_id = VHOST_PCI_ADAPTER_PCI_DEVICE,
		.subsystem_vendor_id = VHOST_PCI_ADAPTER_PCI_SUBSYS_VENDOR,
		.subsystem_id = adapter->config.virtio_id,
		.class_code = is_net ? VHOST_PCI_ADAPTER_PCI_CLASS_NET
				     : VHOST_PCI_ADAPTER_PCI_CLASS_OTHER,
		.revision = VHOST_PCI_ADAPTER_PCI_REVISION,
		.irq = adapter->config.irq,
		.nb_vectors = adapter->regs.nb_vectors,
		.msix_bar = VHOST_PCI_ADAPTER_BAR_REGS,
		.msix_table = VHOST_PCI_ADAPTER_MSIX_TABLE_OFF,
		.msix_pba = VHOST_PCI_ADAPTER_MSIX_PBA_OFF,
	};

	config.bars[VHOST_PCI_ADAPTER_BAR_REGS].size_bytes = adapter->bar0_bytes;
	for (unsigned int i = 0; i < adapter->window.nb_files; i++)
		config.bars[VHOST_PCI_ADAPTER_BAR_MEM0 + 2 * i] = (struct vfu_pci_bar){
			.size_bytes = window_bar_bytes(&adapter->window.files[i]),
			.is_64bit = true,
			.prefetchable = true,
		};
	return vfu_pci_init(&adapter->pci, &config);
}

static int
adapter_create_vfu(struct adapter *adapter)
{
	struct vfu_device_config config = {
		.path = adapter->config.path,
		.name = adapter->config.name,
		.regions[VFIO_PCI_CONFIG_REGION_INDEX] = { .size_bytes = VFU_PCI_CONFIG_BYTES,
				.fd = -1 },
		/* one error interrupt, never raised: a client warns of any other number */
		.nb_irqs[VFIO_PCI_ERR_IRQ_INDEX] = 1,
	};
	struct vfu_region *bar0 = &config.regions[VFIO_PCI_BAR0_REGION_INDEX];

	/* [ADP-16.1]: one file, and areas at its places in the BAR */
	bar0->size_bytes = adapter->bar0_bytes;
	bar0->fd = adapter->bar0_fd;
	bar0->nb_areas = 1;
	bar0->areas[0].offset = VHOST_PCI_ADAPTER_SHARED_OFF;
	bar0->areas[0].size_bytes = VHOST_PCI_ADAPTER_SHARED_BYTES;
	if (adapter->log != NULL) {
		bar0->nb_areas = 2;
		bar0->areas[1].offset = VHOST_PCI_ADAPTER_LOG_OFF;
		bar0->areas[1].size_bytes = adapter->log_words * sizeof(uint64_t);
	}
	for (unsigned int i = 0; i < adapter->window.nb_files; i++) {
		const struct window_file *file = &adapter->window.files[i];

		config.regions[VFIO_PCI_BAR2_REGION_INDEX + 2 * i] = (struct vfu_region){
			.size_bytes = window_bar_bytes(file),
			.fd = file->fd,
			.nb_areas = 1,
			.areas = { { 0, file->size_bytes } },
		};
	}
	config.nb_irqs[adapter->irq_type] = adapter->regs.nb_vectors;
	return vfu_device_create(&config, &adapter_vfu_ops, adapter, &adapter->vfu);
}

int
adapter_create(const struct adapter_config *config, const struct window *window,
		const struct adapter_ops *ops, void *opaque, struct adapter **adapter)
{
	struct adapter *ad;
	int error;

	if (config->nb_vrings == 0 || config->nb_vrings > VHOST_PCI_ADAPTER_VRINGS_MAX ||
			window->nb_files == 0)
		return -EINVAL;
	ad = g_new0(struct adapter, 1);
	ad->config = *config;
	ad->config.name = ad->name = g_strdup(config->name);
	ad->config.path = ad->path = g_strdup(config->path);
	ad->ops = ops;
	ad->opaque = opaque;
	ad->bar0_fd = -1;
	for (unsigned int i = 0; i < VHOST_PCI_ADAPTER_VRINGS_MAX; i++)
		ad->vrings[i].adapter = ad;
	error = adapter_create_bar0(ad);
	if (error == 0)
		error = adapter_copy_window(ad, window);
	if (error == 0) {
		ad->regs.nb_vectors = adapter_choose_vectors(ad);
		error = adapter_init_pci(ad);
	}
	if (error == 0)
		error = adapter_create_vfu(ad);
	if (error < 0) {
		adapter_destroy(ad);
		return error;
	}
	adapter_regs_init(ad);
	adapter_rings_reset(ad);
	*adapter = ad;
	return 0;
}

static void
adapter_nobody(void *opaque)
{
	(void)opaque;
}

void
adapter_destroy(struct adapter *adapter)
{
	static const struct adapter_ops no_ops = { .changed = adapter_nobody };

	if (adapter == NULL)
		return;
	adapter->ops = &no_ops;
	vfu_device_destroy(adapter->vfu);
	watch_stop(&adapter->tick);
	watch_stop(&adapter->resume);
	for (unsigned int i = 0; i < adapter->config.nb_vrings; i++)
		watch_stop(&adapter->vrings[i].watch_kick);
	window_clear(&adapter->window);
	if (adapter->bar0 != NULL)
		munmap(adapter->bar0, adapter->bar0_bytes);
	if (adapter->bar0_fd >= 0)
		close(adapter->bar0_fd);
	g_free(adapter->name);
	g_free(adapter->path);
	g_free(adapter);
}

bool
adapter_fits(const struct adapter *adapter, const struct record *record)
{
	for (unsigned int i = 0; i < record->nb_regions; i++) {
		const struct record_region *region = &record->regions[i];
		int file = window_find(&adapter->window, record->window.files[region->file].fd);

		if (file < 0 ||
				!window_covers(&adapter->window, file, region->wire.mmap_offset,
						region->wire.size))
			return false;
	}
	return true;
}

void
adapter_link(struct adapter *adapter, struct frontend *frontend)
{
	const struct record *record = frontend_record(frontend);

	adapter->frontend = frontend;
	adapter->is_ending = false;
	adapter->told_local = VHOST_PCI_ADAPTER_PEER_INIT;
	adapter->stats.sessions++;
	frontend_set_owner(frontend, &adapter_frontend_ops, adapter);
	if (record->dirty_log.size_bytes > adapter->log_words * sizeof(uint64_t))
		adapter_end_session(adapter, "its log is larger than the adapter's");
	else
		adapter_update(adapter);
}

struct frontend *
adapter_frontend(const struct adapter *adapter)
{
	return adapter->frontend;
}

void
adapter_retire(struct adapter *adapter)
{
	adapter->is_retiring = true;
	adapter_update(adapter);
}

bool
adapter_is_retired(const struct adapter *adapter)
{
	return adapter->is_retiring;
}

uint32_t
adapter_state(const struct adapter *adapter)
{
	return adapter->regs.conn_state;
}

bool
adapter_is_attached(const struct adapter *adapter)
{
	return vfu_device_is_attached(adapter->vfu);
}

bool
adapter_driver_caps(const struct adapter *adapter, uint64_t *features, uint64_t *protocol_features,
		unsigned int *nb_vrings)
{
	const struct vhost_pci_adapter_regs *regs = &adapter->regs;

	*features = adapter_u64(regs->offered_features_lo, regs->offered_features_hi);
	if (adapter_driver_logs(adapter))
		*features |= UINT64_C(1) << VHOST_F_LOG_ALL;
	*protocol_features = adapter_u64(regs->offered_protocol_lo, regs->offered_protocol_hi);
	*nb_vrings = MIN(regs->driver_cap_vrings, regs->nb_vrings);
	return adapter_is_ready(adapter);
}

const struct adapter_config *
adapter_config(const struct adapter *adapter)
{
	return &adapter->config;
}

const struct window *
adapter_window(const struct adapter *adapter)
{
	return &adapter->window;
}

const struct adapter_stats *
adapter_stats(const struct adapter *adapter)
{
	return &adapter->stats;
}

const struct vfu_device_stats *
adapter_vfu_stats(const struct adapter *adapter)
{
	return vfu_device_stats(adapter->vfu);
}
