/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <string.h>

#include "adapter_priv.h"
#include "notify.h"

/** Where a register is. */
#define REG(name) offsetof(struct vhost_pci_adapter_regs, name)

/** What a write of a register does, where it does anything. */
typedef void (*adapter_write_fn)(struct adapter *adapter, uint32_t value);

static void
write_driver_features_lo(struct adapter *adapter, uint32_t value)
{
	/* [ADP-4.4] */
	if (!(adapter->regs.device_status & VHOST_PCI_ADAPTER_STATUS_FEATURES_OK))
		adapter->regs.driver_features_lo = value;
}

static void
write_driver_features_hi(struct adapter *adapter, uint32_t value)
{
	if (!(adapter->regs.device_status & VHOST_PCI_ADAPTER_STATUS_FEATURES_OK))
		adapter->regs.driver_features_hi = value;
}

/* The bits of a written status that the device takes [ADP-4.4, ADP-5.1, ADP-5.2]. */
static uint32_t
status_bits_taken(const struct vhost_pci_adapter_regs *regs, uint32_t value)
{
	uint32_t status = regs->device_status, taken;

	taken = value & (VHOST_PCI_ADAPTER_STATUS_DRIVER | VHOST_PCI_ADAPTER_STATUS_FAILED);
	if (!((status | taken) & VHOST_PCI_ADAPTER_STATUS_DRIVER) ||
			(regs->driver_features_lo & ~regs->device_features_lo) ||
			(regs->driver_features_hi & ~regs->device_features_hi))
		return taken;
	taken |= value & VHOST_PCI_ADAPTER_STATUS_FEATURES_OK;
	if ((status | taken) & VHOST_PCI_ADAPTER_STATUS_FEATURES_OK)
		taken |= value & VHOST_PCI_ADAPTER_STATUS_DRIVER_READY;
	return taken;
}

static void
write_device_status(struct adapter *adapter, uint32_t value)
{
	const uint32_t before = adapter->regs.device_status;
	uint32_t added;

	if (value == 0) {
		adapter_reset(adapter);
		return;
	}
	if (before & (VHOST_PCI_ADAPTER_STATUS_FAILED | VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET))
		return;
	added = status_bits_taken(&adapter->regs, value) & ~before;
	adapter->regs.device_status |= added;
	if (added & VHOST_PCI_ADAPTER_STATUS_FAILED)
		adapter_driver_gone(adapter);
	else if (added & VHOST_PCI_ADAPTER_STATUS_DRIVER_READY)
		adapter_driver_ready(adapter);
}

/* A vector, as it reads after it was written [ADP-6.3]. */
static uint32_t
vector_taken(const struct adapter *adapter, uint32_t value)
{
	value &= 0xffff;
	return value < adapter->regs.nb_vectors ? value : VHOST_PCI_ADAPTER_NO_VECTOR;
}

static void
write_event_vector(struct adapter *adapter, uint32_t value)
{
	adapter->regs.event_vector = vector_taken(adapter, value);
}

static void
write_local_connection(struct adapter *adapter, uint32_t value)
{
	/* [ADP-14.2] */
	if ((value != VHOST_PCI_ADAPTER_PEER_OFF && value != VHOST_PCI_ADAPTER_PEER_ON) ||
			value == adapter->regs.local_connection)
		return;
	adapter->regs.local_connection = value;
	adapter_local_changed(adapter);
}

/** A register that can be written. */
struct adapter_reg_desc {
	uint32_t offset;
	adapter_write_fn write;
};

static const struct adapter_reg_desc writable_regs[] = {
	{ REG(driver_features_lo), write_driver_features_lo },
	{ REG(driver_features_hi), write_driver_features_hi },
	{ REG(device_status), write_device_status },
	{ REG(event_vector), write_event_vector },
	{ REG(local_connection), write_local_connection },
	{ REG(conn_control), adapter_control },
};

/** Registers that just keep what is written, until DRIVER_READY is set [ADP-5.5]. */
static const uint32_t cap_regs[] = {
	REG(driver_cap_features_lo),
	REG(driver_cap_features_hi),
	REG(driver_cap_protocol_lo),
	REG(driver_cap_protocol_hi),
	REG(driver_cap_vrings),
};

static void
write_adapter_reg(struct adapter *adapter, uint32_t offset, uint32_t value)
{
	for (size_t i = 0; i < G_N_ELEMENTS(writable_regs); i++) {
		if (writable_regs[i].offset == offset)
			writable_regs[i].write(adapter, value);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(cap_regs); i++) {
		if (cap_regs[i] == offset &&
				!(adapter->regs.device_status &
						VHOST_PCI_ADAPTER_STATUS_DRIVER_READY))
			memcpy((uint8_t *)&adapter->regs + offset, &value, sizeof(value));
	}
}

static void
write_vring_reg(struct adapter *adapter, uint32_t offset, uint32_t value)
{
	unsigned int i = offset / sizeof(struct vhost_pci_adapter_vring_regs);
	uint32_t reg = offset % sizeof(struct vhost_pci_adapter_vring_regs);

	/* [ADP-3.6] */
	if (i >= adapter->regs.nb_vrings ||
			reg != offsetof(struct vhost_pci_adapter_vring_regs, vector))
		return;
	adapter->vrings[i].regs.vector = vector_taken(adapter, value);
	adapter_connect_vring(adapter, i);
}

/* Signal an event of the front-end; whether there was one. */
static bool
ring_event(struct adapter *adapter, const struct record_event *event)
{
	if (event->fd < 0)
		return false;
	notify_signal(event->fd);
	adapter->stats.calls++;
	return true;
}

/* A doorbell of a vring: call or err [ADP-7.3]. */
static bool
ring_vring_doorbell(struct adapter *adapter, uint32_t offset)
{
	const uint32_t err = offsetof(struct vhost_pci_adapter_doorbells, err);
	unsigned int i = offset % err / sizeof(uint32_t);
	const struct record_vring *vring;

	if (i >= adapter->regs.nb_vrings ||
			adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return false;
	vring = &frontend_record(adapter->frontend)->vrings[i];
	return ring_event(adapter, offset < err ? &vring->call : &vring->err);
}

static void
ring_doorbell(struct adapter *adapter, uint32_t offset)
{
	bool is_known = true;

	/* [ADP-5.4] */
	if (!adapter_is_ready(adapter))
		return;
	adapter->stats.doorbells++;
	if (offset == offsetof(struct vhost_pci_adapter_doorbells, log_changed))
		adapter_merge_log(adapter);
	else if (offset == offsetof(struct vhost_pci_adapter_doorbells, msg_notify))
		adapter_msg_notify(adapter);
	else if (offset < offsetof(struct vhost_pci_adapter_doorbells, log_changed))
		is_known = ring_vring_doorbell(adapter, offset);
	else
		is_known = false;
	if (!is_known)
		adapter->stats.doorbells_bad++;
}

/* What is in BAR0 and mapped by the machine, which may yet ask for it. */
static bool
is_memory(const struct adapter *adapter, uint64_t offset, size_t count)
{
	return offset >= VHOST_PCI_ADAPTER_SHARED_OFF && offset + count <= adapter->bar0_bytes;
}

void
adapter_regs_read(struct adapter *adapter, uint64_t offset, void *data, size_t count)
{
	memset(data, 0, count);
	if (is_memory(adapter, offset, count)) {
		memcpy(data, adapter->bar0 + offset, count);
		return;
	}
	/* [ADP-3.2] */
	if (count != sizeof(uint32_t) || offset % sizeof(uint32_t) != 0) {
		adapter->stats.bad_accesses++;
		return;
	}
	if (offset < sizeof(adapter->regs)) {
		memcpy(data, (uint8_t *)&adapter->regs + offset, count);
	} else if (offset >= VHOST_PCI_ADAPTER_VRING_REGS_OFF &&
			offset < VHOST_PCI_ADAPTER_DOORBELLS_OFF) {
		uint64_t in = offset - VHOST_PCI_ADAPTER_VRING_REGS_OFF;
		unsigned int i = in / sizeof(struct vhost_pci_adapter_vring_regs);
		const uint8_t *regs = (const uint8_t *)&adapter->vrings[i].regs;

		if (i < adapter->regs.nb_vrings)
			memcpy(data, regs + in % sizeof(struct vhost_pci_adapter_vring_regs),
					count);
	}
}

void
adapter_regs_write(struct adapter *adapter, uint64_t offset, const void *data, size_t count)
{
	uint32_t value;

	if (is_memory(adapter, offset, count)) {
		memcpy(adapter->bar0 + offset, data, count);
		return;
	}
	if (count != sizeof(value) || offset % sizeof(value) != 0) {
		adapter->stats.bad_accesses++;
		return;
	}
	memcpy(&value, data, sizeof(value));
	if (offset < sizeof(adapter->regs))
		write_adapter_reg(adapter, offset, value);
	else if (offset < VHOST_PCI_ADAPTER_VRING_REGS_OFF)
		return;
	else if (offset < VHOST_PCI_ADAPTER_DOORBELLS_OFF)
		write_vring_reg(adapter, offset - VHOST_PCI_ADAPTER_VRING_REGS_OFF, value);
	else if (offset < VHOST_PCI_ADAPTER_MSIX_TABLE_OFF)
		ring_doorbell(adapter, offset - VHOST_PCI_ADAPTER_DOORBELLS_OFF);
}

void
adapter_regs_reset(struct adapter *adapter)
{
	struct vhost_pci_adapter_regs *regs = &adapter->regs;

	regs->driver_features_lo = 0;
	regs->driver_features_hi = 0;
	regs->device_status = 0;
	regs->event_vector = VHOST_PCI_ADAPTER_NO_VECTOR;
	regs->local_connection = VHOST_PCI_ADAPTER_PEER_INIT;
	regs->driver_cap_features_lo = UINT32_MAX;
	regs->driver_cap_features_hi = UINT32_MAX;
	regs->driver_cap_protocol_lo = UINT32_MAX;
	regs->driver_cap_protocol_hi = UINT32_MAX;
	regs->driver_cap_vrings = regs->nb_vrings;
	for (unsigned int i = 0; i < regs->nb_vrings; i++) {
		adapter->vrings[i].regs.vector = VHOST_PCI_ADAPTER_NO_VECTOR;
		adapter_connect_vring(adapter, i);
	}
}

static void
init_window(struct vhost_pci_adapter_window *reg, uint32_t info, uint64_t offset, uint64_t bytes)
{
	reg->info = info;
	reg->generation = 1;
	reg->offset_lo = (uint32_t)offset;
	reg->offset_hi = offset >> 32;
	reg->bytes_lo = (uint32_t)bytes;
	reg->bytes_hi = bytes >> 32;
}

static void
init_windows(struct adapter *adapter)
{
	static const unsigned int bars[WINDOW_FILES] = { VHOST_PCI_ADAPTER_BAR_MEM0,
		VHOST_PCI_ADAPTER_BAR_MEM1 };

	for (unsigned int i = 0; i < adapter->window.nb_files && i < WINDOW_FILES; i++) {
		const struct window_file *file = &adapter->window.files[i];
		uint32_t info = VHOST_PCI_ADAPTER_WINDOW_INFO(bars[i],
				VHOST_PCI_ADAPTER_WINDOW_MEM);

		if (file->sealed)
			info |= VHOST_PCI_ADAPTER_WINDOW_INFO_SEALED;
		init_window(&adapter->regs.window[i], info, 0, file->size_bytes);
	}
	if (adapter->log != NULL)
		init_window(&adapter->regs.window[VHOST_PCI_ADAPTER_WINDOW_IDX_LOG],
				VHOST_PCI_ADAPTER_WINDOW_INFO(VHOST_PCI_ADAPTER_BAR_REGS,
						VHOST_PCI_ADAPTER_WINDOW_LOG) |
						VHOST_PCI_ADAPTER_WINDOW_INFO_SEALED,
				VHOST_PCI_ADAPTER_LOG_OFF, adapter->log_words * sizeof(uint64_t));
}

/* Offset in BAR0 of what is in the shared area. */
#define SHARED(member) \
	(VHOST_PCI_ADAPTER_SHARED_OFF + offsetof(struct vhost_pci_adapter_shared, member))

void
adapter_regs_init(struct adapter *adapter)
{
	const struct adapter_config *config = &adapter->config;
	struct vhost_pci_adapter_regs *regs = &adapter->regs;
	uint64_t device_features = 0;

	if (adapter->log != NULL)
		device_features |= VHOST_PCI_ADAPTER_F_LOG;
	if (config->protocol_features & VHOST_USER_PROTOCOL_MASK(BACKEND_REQ))
		device_features |= VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL;
	if (config->dialect)
		device_features |= VHOST_PCI_ADAPTER_F_PEER_CONNECTION;
	if (config->is_static)
		device_features |= VHOST_PCI_ADAPTER_F_STATIC;
	regs->magic = VHOST_PCI_ADAPTER_MAGIC;
	regs->version = VHOST_PCI_ADAPTER_VERSION;
	regs->device_features_lo = (uint32_t)device_features;
	regs->device_features_hi = device_features >> 32;
	regs->nb_vrings = config->nb_vrings;
	regs->msg_bytes_max = VHOST_PCI_ADAPTER_MSG_BYTES_MAX;
	regs->f2b_ctrl_off = SHARED(f2b_ctrl);
	regs->f2b_data_off = SHARED(f2b_data);
	regs->f2b_bytes = sizeof(adapter->shared->f2b_data);
	regs->b2f_ctrl_off = SHARED(b2f_ctrl);
	regs->b2f_data_off = SHARED(b2f_data);
	regs->b2f_bytes = sizeof(adapter->shared->b2f_data);
	regs->counters_off = SHARED(counters);
	regs->vring_state_off = SHARED(vring_state);
	regs->conn_state = VHOST_PCI_ADAPTER_CONN_NONE;
	regs->virtio_id = config->virtio_id;
	regs->peer_connection = VHOST_PCI_ADAPTER_PEER_INIT;
	regs->offered_features_lo = (uint32_t)config->features;
	regs->offered_features_hi = config->features >> 32;
	regs->offered_protocol_lo = (uint32_t)config->protocol_features;
	regs->offered_protocol_hi = config->protocol_features >> 32;
	init_windows(adapter);
	adapter_regs_reset(adapter);
}
