/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "vfu_rig.h"

static int
rig_read(void *opaque, unsigned int region, uint64_t offset, void *data, size_t count)
{
	struct vfu_rig *rig = opaque;

	if (region == VFC_CONFIG)
		vfu_pci_read(&rig->pci, offset, data, count);
	else if (region == VFC_BAR2)
		window_read(&rig->window, 0, offset, data, count);
	else
		memcpy(data, rig->bar0 + offset, count);
	rig->last_count = count;
	return 0;
}

static int
rig_write(void *opaque, unsigned int region, uint64_t offset, const void *data, size_t count)
{
	struct vfu_rig *rig = opaque;

	rig->last_count = count;
	if (region == VFC_BAR2)
		return window_write(&rig->window, 0, offset, data, count);
	if (region != VFC_CONFIG)
		memcpy(rig->bar0 + offset, data, count);
	else if (vfu_pci_write(&rig->pci, offset, data, count))
		rig->nb_resets++;
	return 0;
}

static void
rig_reset(void *opaque)
{
	struct vfu_rig *rig = opaque;

	rig->nb_resets++;
	vfu_pci_reset(&rig->pci);
}

static void
rig_attached(void *opaque, bool attached)
{
	struct vfu_rig *rig = opaque;

	if (attached)
		rig->nb_attached++;
	else
		rig->nb_detached++;
}

static const struct vfu_device_ops rig_ops = {
	.read = rig_read,
	.write = rig_write,
	.reset = rig_reset,
	.attached = rig_attached,
};

static void
rig_init_pci(struct vfu_rig *rig, uint64_t bar2_bytes)
{
	const struct vfu_pci_config config = {
		.vendor_id = 0x1af4,
		.device_id = 0x10f0,
		.class_code = 0x028000,
		.bars = { [0] = { VFU_RIG_BAR0_BYTES, false, false },
				[2] = { bar2_bytes, true, true } },
		.irq = VFU_PCI_IRQ_MSIX,
		.nb_vectors = VFU_RIG_VECTORS,
		.msix_table = 0x8000,
		.msix_pba = 0x9000,
	};

	assert_int_equal(vfu_pci_init(&rig->pci, &config), 0);
}

static void
rig_add_memory(struct vfu_rig *rig, uint64_t memory_bytes)
{
	int fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, memory_bytes), 0);
	assert_int_equal(window_add(&rig->window, fd, false), 0);
	close(fd);
}

static void
rig_create(void *opaque)
{
	struct vfu_rig *rig = opaque;
	const struct window_file *file = &rig->window.files[0];
	struct vfu_device_config config = {
		.path = rig->path,
		.name = "rig",
		.regions = { [VFC_BAR0] = { .size_bytes = VFU_RIG_BAR0_BYTES, .fd = -1 },
				[VFC_CONFIG] = { .size_bytes = VFU_PCI_CONFIG_BYTES, .fd = -1 } },
		.nb_irqs = { [VFC_MSIX] = VFU_RIG_VECTORS, [VFC_ERR] = 1 },
	};

	if (rig->window.nb_files > 0)
		config.regions[VFC_BAR2] = (struct vfu_region){
			.size_bytes = window_bar_bytes(file),
			.fd = file->fd,
			.nb_areas = 1,
			.areas = { { 0, file->size_bytes } },
		};
	rig_init_pci(rig, config.regions[VFC_BAR2].size_bytes);
	assert_int_equal(vfu_device_create(&config, &rig_ops, rig, &rig->device), 0);
}

void
vfu_rig_start(struct vfu_rig *rig, uint64_t memory_bytes)
{
	memset(rig, 0, sizeof(*rig));
	window_init(&rig->window);
	rig->dir = test_dir_make();
	rig->path = g_build_filename(rig->dir, "vfu.sock", NULL);
	loop_thread_start(&rig->thread);
	loop_thread_settle(&rig->thread);
	rig->nb_fds = count_fds();
	if (memory_bytes > 0)
		rig_add_memory(rig, memory_bytes);
	loop_thread_call(&rig->thread, rig_create, rig);
}

static void
rig_destroy(void *opaque)
{
	struct vfu_rig *rig = opaque;

	vfu_device_destroy(rig->device);
	window_clear(&rig->window);
}

void
vfu_rig_stop(struct vfu_rig *rig)
{
	loop_thread_call(&rig->thread, rig_destroy, rig);
	assert_int_equal(count_fds(), rig->nb_fds);
	loop_thread_stop(&rig->thread);
	assert_int_not_equal(access(rig->path, F_OK), 0);
	g_free(rig->path);
	test_dir_remove(rig->dir);
}

void
vfu_rig_plug(struct vfu_rig *rig, struct vfc *client)
{
	assert_int_equal(vfc_connect(client, rig->path), 0);
	assert_int_equal(vfc_plug(client), 0);
}

/** What vfu_rig_trigger() hands over to the thread. */
struct rig_trigger {
	struct vfu_rig *rig;
	unsigned int vector;
};

static void
rig_trigger(void *opaque)
{
	struct rig_trigger *trigger = opaque;

	vfu_device_trigger(trigger->rig->device, VFC_MSIX, trigger->vector);
}

void
vfu_rig_trigger(struct vfu_rig *rig, unsigned int vector)
{
	struct rig_trigger trigger = { rig, vector };

	loop_thread_call(&rig->thread, rig_trigger, &trigger);
}

/** What vfu_rig_stats() hands over to the thread. */
struct rig_stats {
	struct vfu_rig *rig;
	struct vfu_device_stats stats;
};

static void
rig_stats(void *opaque)
{
	struct rig_stats *stats = opaque;

	stats->stats = *vfu_device_stats(stats->rig->device);
}

struct vfu_device_stats
vfu_rig_stats(struct vfu_rig *rig)
{
	struct rig_stats stats = { .rig = rig };

	loop_thread_call(&rig->thread, rig_stats, &stats);
	return stats.stats;
}
