/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include <linux/vhost_types.h>

#include "adapter_priv.h"
#include "notify.h"
#include "vhost_pci_barrier.h"
#include "vhost_pci_log.h"
#include "watch.h"

const char *
adapter_state_name(uint32_t state)
{
	static const char *const names[] = {
		[VHOST_PCI_ADAPTER_CONN_NONE] = "none",
		[VHOST_PCI_ADAPTER_CONN_NEGOTIATING] = "negotiating",
		[VHOST_PCI_ADAPTER_CONN_READY] = "ready",
		[VHOST_PCI_ADAPTER_CONN_CONNECTED] = "connected",
		[VHOST_PCI_ADAPTER_CONN_DISCONNECTED] = "disconnected",
		[VHOST_PCI_ADAPTER_CONN_RETIRED] = "retired",
	};

	return names[state];
}

void
adapter_event(struct adapter *adapter)
{
	/* pairs with the driver's load of the counter: what has changed is visible before it */
	vhost_pci_store_release(&adapter->shared->counters.event_seq, ++adapter->event_seq);
	if (adapter->regs.event_vector != VHOST_PCI_ADAPTER_NO_VECTOR)
		vfu_device_trigger(adapter->vfu, adapter->irq_type, adapter->regs.event_vector);
}

void
adapter_merge_log(struct adapter *adapter)
{
	struct record *record;

	if (adapter->log == NULL || adapter->frontend == NULL)
		return;
	record = frontend_record(adapter->frontend);
	if (!dirty_log_merge(&record->dirty_log, adapter->log, adapter->log_words))
		return;
	adapter->stats.log_merges++;
	/* [ADP-11.15] */
	if (record->log_event.fd >= 0)
		notify_signal(record->log_event.fd);
}

static void
adapter_kicked(void *opaque)
{
	struct adapter_vring *vring = opaque;
	int ret = notify_take(vring->kick_fd);

	if (ret < 0)
		watch_stop(&vring->watch_kick);
	if (ret != 1)
		return;
	vring->adapter->stats.kicks++;
	vfu_device_trigger(vring->adapter->vfu, vring->adapter->irq_type, vring->regs.vector);
}

void
adapter_connect_vring(struct adapter *adapter, unsigned int index)
{
	struct adapter_vring *vring = &adapter->vrings[index];
	const struct record_vring *record;

	watch_stop(&vring->watch_kick);
	vring->regs.live = 0;
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return;
	record = &frontend_record(adapter->frontend)->vrings[index];
	if (record->kick.fd >= 0)
		vring->regs.live |= VHOST_PCI_ADAPTER_LIVE_KICK;
	if (record->call.fd >= 0)
		vring->regs.live |= VHOST_PCI_ADAPTER_LIVE_CALL;
	if (record->err.fd >= 0)
		vring->regs.live |= VHOST_PCI_ADAPTER_LIVE_ERR;
	/* without a vector a kick is dropped [ADP-6.4]: it need not even be read */
	if (record->kick.fd < 0 || vring->regs.vector == VHOST_PCI_ADAPTER_NO_VECTOR)
		return;
	vring->kick_fd = record->kick.fd;
	vring->watch_kick = watch_fd(vring->kick_fd, G_IO_IN, adapter_kicked, vring);
}

static void
adapter_connect_all(struct adapter *adapter)
{
	for (unsigned int i = 0; i < adapter->regs.nb_vrings; i++)
		adapter_connect_vring(adapter, i);
}

/* Peer connection [section 14] */

/* Whether both sides know of it: a front-end that speaks the dialect, a driver with the feature. */
static bool
adapter_speaks_peer(const struct adapter *adapter)
{
	return adapter->frontend != NULL && frontend_record(adapter->frontend)->is_dialect &&
			(adapter->regs.driver_features_lo & VHOST_PCI_ADAPTER_F_PEER_CONNECTION);
}

/* The front-end's side, as the state that is shown has it [ADP-14.1]. */
static uint32_t
adapter_peer(const struct adapter *adapter)
{
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return VHOST_PCI_ADAPTER_PEER_INIT;
	return adapter_speaks_peer(adapter) ? frontend_record(adapter->frontend)->peer
					    : VHOST_PCI_ADAPTER_PEER_ON;
}

/* Tell the front-end of the driver's side, once for each change. */
static void
adapter_tell_local(struct adapter *adapter)
{
	uint32_t local = VHOST_PCI_ADAPTER_PEER_INIT;

	if (adapter->frontend == NULL || adapter->is_ending || !adapter_speaks_peer(adapter))
		return;
	if (adapter->regs.conn_state == VHOST_PCI_ADAPTER_CONN_CONNECTED)
		local = adapter->regs.local_connection;
	if (local == adapter->told_local)
		return;
	adapter->told_local = local;
	frontend_tell_peer(adapter->frontend, local);
}

void
adapter_local_changed(struct adapter *adapter)
{
	adapter_tell_local(adapter);
}

int
adapter_peer_said(struct adapter *adapter)
{
	struct vhost_pci_adapter_regs *regs = &adapter->regs;
	uint32_t peer;

	if (regs->conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return 0;
	if (!adapter_speaks_peer(adapter))
		return -ENOTSUP;
	adapter_tell_local(adapter);
	peer = adapter_peer(adapter);
	if (peer != regs->peer_connection) {
		regs->peer_connection = peer;
		regs->conn_generation++;
		adapter_event(adapter);
	}
	return peer == VHOST_PCI_ADAPTER_PEER_ON &&
			regs->local_connection == VHOST_PCI_ADAPTER_PEER_ON;
}

/* Show what a session's front-end says that it is [ADP-12.5]. */
static void
adapter_show_frontend(struct adapter *adapter, uint64_t conn_id)
{
	struct vhost_pci_adapter_regs *regs = &adapter->regs;
	struct vhost_user_dev_info none = { 0 };
	const struct vhost_user_dev_info *info = conn_id != 0
			? &frontend_record(adapter->frontend)->dev_info
			: &none;

	regs->conn_id_lo = (uint32_t)conn_id;
	regs->conn_id_hi = conn_id >> 32;
	regs->virtio_id = info->virtio_id != 0 ? info->virtio_id : adapter->config.virtio_id;
	memcpy(regs->uuid, info->uuid, sizeof(regs->uuid));
}

/* Show another state [ADP-12.3, ADP-12.4, ADP-14.1]; the event is the caller's to give. */
static void
adapter_set_state(struct adapter *adapter, enum vhost_pci_adapter_conn state)
{
	struct vhost_pci_adapter_regs *regs = &adapter->regs;

	if (regs->conn_state == state)
		return;
	vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: connection %s, was %s", adapter->config.name,
			adapter_state_name(state), adapter_state_name(regs->conn_state));
	regs->conn_state = state;
	if (state != VHOST_PCI_ADAPTER_CONN_DISCONNECTED) {
		bool is_none = adapter->frontend == NULL || state == VHOST_PCI_ADAPTER_CONN_NONE ||
				state == VHOST_PCI_ADAPTER_CONN_RETIRED;

		adapter_show_frontend(adapter, is_none ? 0 : frontend_conn_id(adapter->frontend));
	}
	regs->peer_connection = adapter_peer(adapter);
	adapter_tell_local(adapter);
	regs->conn_generation++;
	adapter_connect_all(adapter);
	adapter_event(adapter);
}

/* Take the session from the driver: T7 and T9, or nothing if it had none. */
static void
adapter_leave_connected(struct adapter *adapter, enum vhost_pci_adapter_conn state)
{
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_CONNECTED)
		return;
	adapter_merge_log(adapter);
	adapter_set_state(adapter, state);
	adapter_relay_stop(adapter);
}

void
adapter_end_session(struct adapter *adapter, const char *reason)
{
	if (adapter->frontend == NULL || adapter->is_ending)
		return;
	adapter->is_ending = true;
	adapter_leave_connected(adapter, VHOST_PCI_ADAPTER_CONN_DISCONNECTED);
	frontend_close(adapter->frontend, reason);
	adapter_update(adapter);
}

/* Whether a session is one that the driver can do [ADP-10.4]. */
static bool
adapter_driver_can(const struct adapter *adapter, const struct record *record)
{
	const struct vhost_pci_adapter_regs *regs = &adapter->regs;
	uint64_t features = adapter_u64(regs->offered_features_lo, regs->offered_features_hi);
	uint64_t protocol = adapter_u64(regs->offered_protocol_lo, regs->offered_protocol_hi);

	features |= UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
	if (adapter_driver_logs(adapter))
		features |= UINT64_C(1) << VHOST_F_LOG_ALL;
	if ((record->features & ~features) || (record->protocol_features & ~protocol))
		return false;
	if (record->peer_is_said &&
			!(regs->driver_features_lo & VHOST_PCI_ADAPTER_F_PEER_CONNECTION))
		return false;
	for (unsigned int i = regs->driver_cap_vrings; i < record->nb_vrings; i++) {
		if (record->vrings[i].kick.is_set)
			return false;
	}
	return true;
}

/* READY to CONNECTED: T4 and T5. */
static void
adapter_enter_connected(struct adapter *adapter)
{
	struct record *record = frontend_record(adapter->frontend);

	if (!adapter_fits(adapter, record)) {
		adapter_move_frontend(adapter);
		return;
	}
	if (!adapter_driver_can(adapter, record)) {
		adapter_end_session(adapter, "it uses more than the driver can do");
		return;
	}
	if (!adapter_replay_begin(adapter)) {
		adapter_end_session(adapter, "where a packed ring stands is known to no driver");
		return;
	}
	adapter->served_id = frontend_conn_id(adapter->frontend);
	adapter_set_state(adapter, VHOST_PCI_ADAPTER_CONN_CONNECTED);
	frontend_set_relaying(adapter->frontend, true);
	adapter_msg_notify(adapter);
}

void
adapter_update(struct adapter *adapter)
{
	struct frontend *frontend = adapter->is_ending ? NULL : adapter->frontend;
	const uint32_t state = adapter->regs.conn_state;

	if (state == VHOST_PCI_ADAPTER_CONN_CONNECTED ||
			state == VHOST_PCI_ADAPTER_CONN_DISCONNECTED ||
			state == VHOST_PCI_ADAPTER_CONN_RETIRED)
		return;
	if (adapter->is_retiring) {
		adapter_set_state(adapter, VHOST_PCI_ADAPTER_CONN_RETIRED);
	} else if (frontend == NULL) {
		adapter_set_state(adapter, VHOST_PCI_ADAPTER_CONN_NONE);
	} else if (!frontend_is_complete(frontend)) {
		adapter_set_state(adapter, VHOST_PCI_ADAPTER_CONN_NEGOTIATING);
	} else {
		adapter_set_state(adapter, VHOST_PCI_ADAPTER_CONN_READY);
		if (adapter_is_ready(adapter) && !adapter->is_resetting)
			adapter_enter_connected(adapter);
	}
	adapter->ops->changed(adapter->opaque);
}

void
adapter_move_frontend(struct adapter *adapter)
{
	struct frontend *frontend = adapter->frontend;

	adapter_leave_connected(adapter, VHOST_PCI_ADAPTER_CONN_DISCONNECTED);
	adapter->frontend = NULL;
	if (!adapter->config.is_static)
		adapter->is_retiring = true;
	adapter_update(adapter);
	adapter->ops->frontend_moved(adapter->opaque, frontend);
}

struct frontend *
adapter_unlink(struct adapter *adapter)
{
	struct frontend *frontend = adapter->frontend;

	adapter->is_ending = true;
	adapter_leave_connected(adapter, VHOST_PCI_ADAPTER_CONN_DISCONNECTED);
	adapter->frontend = NULL;
	adapter->is_ending = false;
	adapter_update(adapter);
	return frontend;
}

/* DISCONNECTED to where the front-end is: T8 and T10. */
static void
adapter_release(struct adapter *adapter)
{
	if (adapter->regs.conn_state != VHOST_PCI_ADAPTER_CONN_DISCONNECTED)
		return;
	adapter_set_state(adapter, VHOST_PCI_ADAPTER_CONN_NONE);
	adapter_update(adapter);
}

void
adapter_control(struct adapter *adapter, uint32_t value)
{
	if (value == VHOST_PCI_ADAPTER_CONTROL_RELEASE)
		adapter_release(adapter);
	else if (value == VHOST_PCI_ADAPTER_CONTROL_CLOSE &&
			adapter->regs.conn_state == VHOST_PCI_ADAPTER_CONN_CONNECTED)
		adapter_end_session(adapter, "the driver ended the session");
}

void
adapter_driver_gone(struct adapter *adapter)
{
	watch_stop(&adapter->tick);
	adapter_leave_connected(adapter, VHOST_PCI_ADAPTER_CONN_READY);
}

void
adapter_needs_reset(struct adapter *adapter)
{
	if (adapter->regs.device_status & VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET)
		return;
	vhost_pci_log(VHOST_PCI_LOG_ERR,
			"%s: the driver corrupted a message ring, and must be reset",
			adapter->config.name);
	adapter->stats.needs_resets++;
	adapter->regs.device_status |= VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET;
	adapter_driver_gone(adapter);
	adapter_event(adapter);
}

static void
adapter_ticked(void *opaque)
{
	struct adapter *adapter = opaque;

	watch_stop(&adapter->tick);
	adapter->tick = watch_timer(ADAPTER_TICK_MS, adapter_ticked, adapter);
	vhost_pci_store_relaxed(&adapter->shared->counters.alive, ++adapter->alive);
	adapter_merge_log(adapter);
	adapter_check_deadline(adapter);
}

void
adapter_driver_ready(struct adapter *adapter)
{
	struct vhost_pci_adapter_regs *regs = &adapter->regs;
	uint64_t features = adapter->config.features &
			adapter_u64(regs->driver_cap_features_lo, regs->driver_cap_features_hi);
	uint64_t protocol = adapter->config.protocol_features &
			adapter_u64(regs->driver_cap_protocol_lo, regs->driver_cap_protocol_hi);

	/* [ADP-10.4] */
	regs->offered_features_lo = (uint32_t)features;
	regs->offered_features_hi = features >> 32;
	regs->offered_protocol_lo = (uint32_t)protocol;
	regs->offered_protocol_hi = protocol >> 32;
	adapter_ticked(adapter);
	adapter_update(adapter);
	adapter->ops->changed(adapter->opaque);
}

/* Keep what a driver left behind of its vrings [ADP-13.2]. */
static void
adapter_save_vrings(struct adapter *adapter)
{
	struct record *record = NULL;

	/* also of a driver that has failed before, whose session waits in READY */
	if (adapter->frontend != NULL && !adapter->is_ending &&
			frontend_conn_id(adapter->frontend) == adapter->served_id)
		record = frontend_record(adapter->frontend);
	adapter->served_id = 0;
	for (unsigned int i = 0; i < adapter->regs.nb_vrings; i++) {
		struct vhost_pci_adapter_vring_state *state = &adapter->shared->vring_state[i];
		uint32_t flags = vhost_pci_load_acquire(&state->flags);
		uint32_t base = vhost_pci_load_relaxed(&state->base);

		vhost_pci_store_relaxed(&state->flags, 0);
		if (record == NULL || !(flags & VHOST_PCI_ADAPTER_VRING_STATE_VALID))
			continue;
		record->vrings[i].saved_base = base;
		record->vrings[i].saved_is_valid = true;
	}
}

void
adapter_reset(struct adapter *adapter)
{
	if (adapter->is_resetting)
		return;
	adapter->is_resetting = true;
	adapter->stats.resets++;
	adapter_save_vrings(adapter);
	adapter_driver_gone(adapter);
	adapter_regs_reset(adapter);
	adapter_rings_reset(adapter);
	adapter_release(adapter);
	vfu_device_clear_pending(adapter->vfu);
	adapter->is_resetting = false;
	adapter->ops->changed(adapter->opaque);
}
