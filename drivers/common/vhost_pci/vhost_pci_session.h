/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The state machine of one vhost-user connection, from the back-end's side: a message in, the
 * reply and the effects out. It owns the vrings and the memory table; it knows neither sockets
 * nor BARs (see vhost_pci_transport.h) nor DPDK.
 *
 * A session outlives its connections: vhost_pci_session_reset() readies it for the next one, the
 * vrings stay where they are, so that a thread may poll them at any time.
 *
 * Unless said otherwise every function is called on the control thread, or with the lock that
 * serialises control.
 */

#ifndef VHOST_PCI_SESSION_H
#define VHOST_PCI_SESSION_H

#include "vhost_pci_codec.h"
#include "vhost_pci_mem.h"
#include "vhost_pci_vring.h"

struct vhost_pci_session;

/** What a session tells its owner. All are called from within a call of a session's function. */
struct vhost_pci_session_ops {
	/**
	 * The front-end has become ready, or is no longer.
	 *
	 * Ready: owner set, features set, memory known, and both vrings of the first queue pair
	 * started and enabled. The owner's link is up while the session is ready.
	 */
	void (*ready_changed)(void *opaque, bool ready);
	/**
	 * A vring's mode, kick fd, call fd or format has changed. It is still paused if it was
	 * started; vhost_pci_session_vring_mode() tells what it is about to become.
	 */
	void (*vring_changed)(void *opaque, struct vhost_pci_vring *vr);
	/** VHOST_USER_NET_SET_MTU: returns 0, or -EINVAL for an MTU the owner can't have. */
	int (*set_mtu)(void *opaque, uint16_t mtu);
	/** VHOST_USER_SEND_RARP: announce this MAC address. Returns 0 or -errno. */
	int (*send_rarp)(void *opaque, const uint8_t mac[6]);
	/** The front-end set features; called once per SET_FEATURES that changed them. */
	void (*features_changed)(void *opaque, uint64_t features);
	/**
	 * Map a region of the front-end's memory.
	 *
	 * @param fd	The region's file, -1 where the transport has none; stays the session's.
	 * @param mmap_offset, size The range to map, checked for overflow only.
	 * @param[out] mapping One reference, whose va is the byte at mmap_offset.
	 * @return 0; -EINVAL where the file is shorter than the range; -errno.
	 */
	int (*map_region)(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
			struct vhost_pci_mapping **mapping);
};

/** What a session may agree to. */
struct vhost_pci_session_config {
	uint64_t features;          /**< Offered, without VHOST_USER_F_PROTOCOL_FEATURES. */
	uint64_t protocol_features; /**< Offered. */
	uint16_t max_queue_pairs;   /**< 1 to 128: vrings are indexed in 8 bits. */
	uint16_t max_queue_size;    /**< Largest queue size accepted; up to 32768. */
	const char *name;           /**< For messages; copied. */
};

/** Events that a session counts. */
struct vhost_pci_session_stats {
	uint64_t messages;  /**< Messages handled, good or bad. */
	uint64_t malformed; /**< Messages that ended a connection or were answered by an error. */
	uint64_t rejected;  /**< Well-formed messages that were refused. */
	uint64_t broken_vrings; /**< Vrings that were found broken. */
	uint64_t connections;   /**< Sessions begun: resets after at least one message. */
};

/**
 * Create a session with all its vrings, stopped.
 *
 * @return 0; -EINVAL for a configuration outside of its ranges; -ENOMEM.
 */
int vhost_pci_session_create(const struct vhost_pci_session_config *config,
		const struct vhost_pci_session_ops *ops, void *opaque,
		struct vhost_pci_session **session);

/** End a session: as vhost_pci_session_reset(), and free it. No thread polls a vring any more. */
void vhost_pci_session_destroy(struct vhost_pci_session *session);

/**
 * Forget the front-end: stop all vrings, close their fds, drop the memory table, forget what was
 * negotiated. For a lost or closed connection.
 */
void vhost_pci_session_reset(struct vhost_pci_session *session);

/**
 * Handle one message.
 *
 * @param msg	The message, as vhost_pci_codec_check() has passed it or not: it is checked again
 *		here. Fds that are not kept are closed before the function returns, in all cases.
 * @param[out] reply Filled where 1 is returned.
 * @return 1: send @p reply. 0: nothing to send. Negative: close the connection; -EBADMSG for a
 *	   malformed message (codec), -EPROTO for one that the state does not allow, -EINVAL for
 *	   bad contents, -EMFILE, -ENOMEM, or the errno of what failed.
 *
 * With VHOST_USER_PROTOCOL_F_REPLY_ACK and need_reply, a message that fails for its contents is
 * answered by a non-zero u64 and the connection goes on where the protocol's state is not harmed.
 */
int vhost_pci_session_handle(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

/**
 * Say whether the owner's port is up: while it is not, all vrings are VHOST_PCI_VRING_OFF
 * whatever the front-end says, and no state of the front-end is lost.
 */
void vhost_pci_session_set_admin_up(struct vhost_pci_session *session, bool up);

/**
 * Look for vrings that broke (after broken_fd was written): each new one is logged once, counted,
 * and its err notifier signalled.
 *
 * @return The number of vrings newly found broken; the owner then closes the connection.
 */
unsigned int vhost_pci_session_check_vrings(struct vhost_pci_session *session);

/** Number of vrings: twice the configured queue pairs. Any thread. */
unsigned int vhost_pci_session_nb_vrings(const struct vhost_pci_session *session);

/**
 * A vring by its index in the protocol: 2n receives for the front-end (we enqueue), 2n + 1 sends.
 * The pointer is valid for the session's life. Any thread.
 */
struct vhost_pci_vring *vhost_pci_session_vring(struct vhost_pci_session *session,
		unsigned int index);

/** What the vring's mode is, or is about to become in vring_changed(). */
enum vhost_pci_vring_mode vhost_pci_session_vring_mode(const struct vhost_pci_session *session,
		const struct vhost_pci_vring *vr);

/** Features that the front-end has set; 0 before SET_FEATURES. */
uint64_t vhost_pci_session_features(const struct vhost_pci_session *session);

/** Protocol features that the front-end has set. */
uint64_t vhost_pci_session_protocol_features(const struct vhost_pci_session *session);

/** Device status of the last SET_STATUS; 0 before. */
uint8_t vhost_pci_session_status(const struct vhost_pci_session *session);

/** Whether the session is ready, as ready_changed() defines it. */
bool vhost_pci_session_is_ready(const struct vhost_pci_session *session);

/** The memory table in force, NULL if there is none; no reference is taken. */
const struct vhost_pci_mem *vhost_pci_session_mem(const struct vhost_pci_session *session);

/** Counters since creation. */
const struct vhost_pci_session_stats *vhost_pci_session_stats(
		const struct vhost_pci_session *session);

#endif /* VHOST_PCI_SESSION_H */
