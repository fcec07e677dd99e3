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

#include <linux/virtio_net.h>

#include "vhost_pci_codec.h"
#include "vhost_pci_mem.h"
#include "vhost_pci_transport.h"
#include "vhost_pci_vring.h"

struct vhost_pci_session;

/**
 * Map memory that the front-end shares.
 *
 * @param opaque The owner's.
 * @param fd	The memory's file, -1 where the transport has none; stays the session's.
 * @param mmap_offset, size The range to map, checked for overflow only.
 * @param[out] mapping One reference, whose va is the byte at mmap_offset.
 * @return 0; -EINVAL where the file is shorter than the range; -errno.
 */
typedef int vhost_pci_session_map_t(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping);

/**
 * What a session tells its owner. All are called from within a call of a session's function, and
 * call none that changes the session. All may be NULL but map_region; RARP, MTU, BACKEND_REQ and
 * with it VIRTIO_F_ACCESS_PLATFORM are offered only with the functions that serve them.
 */
struct vhost_pci_session_ops {
	/**
	 * The front-end has become ready, or is no longer.
	 *
	 * Ready: features set, memory known, both vrings of the first queue pair started,
	 * enabled and mapped, and the peer connection on. The owner's link is up while the
	 * session is ready. With in-band notifications a vring need not be started: it starts
	 * with the first kick, which comes with a packet and so after the link is up.
	 */
	void (*ready_changed)(void *opaque, bool ready);
	/**
	 * A vring's mode, kick fd, call fd or format may have changed. It is still paused;
	 * vhost_pci_session_vring_mode() tells what it is about to become. Fds that were replaced
	 * are closed after the call, so that they can be taken out of an epoll set in it.
	 */
	void (*vring_changed)(void *opaque, struct vhost_pci_vring *vr);
	/** A vring that ran has stopped; its base is what GET_VRING_BASE would say. */
	void (*vring_stopped)(void *opaque, const struct vhost_pci_vring *vr);
	/**
	 * Where to signal an event whose fd the front-end sent and the transport did not pass on.
	 *
	 * @param request VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_ERR, or
	 *		VHOST_USER_SET_LOG_FD, for which the index is 0.
	 * @return A register to write @p index to, valid while the connection lasts; NULL: nowhere.
	 */
	volatile uint32_t *(*find_doorbell)(void *opaque, uint32_t request, unsigned int index);
	/** VHOST_USER_NET_SET_MTU: returns 0, or -EINVAL for an MTU the owner can't have. */
	int (*set_mtu)(void *opaque, uint16_t mtu);
	/** VHOST_USER_SEND_RARP: announce this MAC address. Returns 0 or -errno. */
	int (*send_rarp)(void *opaque, const uint8_t mac[6]);
	/** The front-end set features; called once per SET_FEATURES that changed them. */
	void (*features_changed)(void *opaque, uint64_t features);
	vhost_pci_session_map_t *map_region; /**< For the front-end's memory. Needed. */
	vhost_pci_session_map_t *map_log;    /**< For a dirty log. NULL: by map_region. */
	/**
	 * Make a transport of the back-end channel, such as vhost_pci_unix_channel_create().
	 *
	 * @param fd	Of VHOST_USER_SET_BACKEND_REQ_FD; the transport's, also where it fails. -1:
	 *		an adapter's device keeps it.
	 * @return 0; -ENOTSUP where there is no channel to be had, which is no fault of the
	 *	   front-end's; -errno.
	 */
	int (*open_channel)(void *opaque, int fd, struct vhost_pci_transport **channel);
	/**
	 * Open a userfaultfd for a migration with a postcopy phase, as vhost_pci_faults_open().
	 * PAGEFAULT is offered only with this function.
	 *
	 * @return 0; -ENOTSUP where the transport has no faults; -errno.
	 */
	int (*open_faults)(void *opaque, struct vhost_pci_faults **faults);
	/** As map_region, of memory whose pages are still to come. Needed where open_faults is. */
	int (*map_faulting)(void *opaque, const struct vhost_pci_map_request *request,
			struct vhost_pci_mapping **mapping);
	/**
	 * The back-end channel is open, or about to be closed.
	 *
	 * @param fd	Readable when an answer has come, see vhost_pci_session_channel_recv(); -1:
	 *		the former one is to be watched no more.
	 */
	void (*channel_changed)(void *opaque, int fd);
	/**
	 * A vring that could not go on, for an address of its was yet to be translated, now can:
	 * who waits for a kick shall look at it without one. It may be in use already.
	 */
	void (*look_again)(void *opaque, const struct vhost_pci_vring *vr);
};

/** What vhost_pci_session_handle() returns where an answer is due, but not yet. */
#define VHOST_PCI_SESSION_LATER 2

/** What a session may agree to. */
struct vhost_pci_session_config {
	uint64_t features;          /**< Offered, without VHOST_USER_F_PROTOCOL_FEATURES. */
	uint64_t protocol_features; /**< Offered; see vhost_pci_session_ops for some. */
	uint16_t max_queue_pairs;   /**< 1 to 128: vrings are indexed in 8 bits. */
	uint16_t max_queue_size;    /**< Largest queue size accepted; up to 32768. */
	const char *name;           /**< For messages; copied. */
	bool require_seals; /**< Refuse memory whose file can be cut short: no F_SEAL_SHRINK. */
};

/** Events that a session counts. */
struct vhost_pci_session_stats {
	uint64_t messages;          /**< Messages handled, good or bad. */
	uint64_t malformed;         /**< Those that the codec refused here, after the transport. */
	uint64_t rejected;          /**< Well-formed or unknown ones that were refused. */
	uint64_t broken_vrings;     /**< Vrings that were found broken. */
	uint64_t connections;       /**< Connections that brought at least one message. */
	uint64_t lost_memory;       /**< Times that the front-end's memory was found to be gone. */
	uint64_t iotlb_updates;     /**< Translations that the front-end gave. */
	uint64_t iotlb_invalidates; /**< Ranges of which it took them back. */
	uint64_t iotlb_refused;     /**< Misses that it did not know, either. */
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
 * @return 1: send @p reply. 0: nothing to send. VHOST_PCI_SESSION_LATER: nothing yet, and no
 *	   message may be handled before vhost_pci_session_late_reply() has one. Negative:
 *	   close the connection; the errno is the codec's for a malformed message (see
 *	   vhost_pci_codec.h), -EOPNOTSUPP for one that is unknown or not served, -EPROTO for one
 *	   whose feature was not negotiated, -EBUSY for a change of what is in use, -EINVAL for
 *	   bad contents, -EFAULT for a ring outside of the memory, -EEXIST, -ENOENT and -E2BIG of
 *	   regions, -ECONNABORTED where the specification asks for it, -EPERM for memory that can
 *	   be cut short where that is not allowed, or the errno of what failed.
 *
 * With VHOST_USER_PROTOCOL_F_REPLY_ACK and need_reply, a well-formed message that is refused is
 * answered by a non-zero u64 and the connection goes on, unless its reply has a payload of its
 * own. The first such message of a connection is logged as a warning, all others for debugging:
 * who closes the connection says why. A refused message leaves nothing behind but, for the parts
 * of a ring that come after its kick, a ring that does not run.
 */
int vhost_pci_session_handle(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

/**
 * The vring of the kick that vhost_pci_session_handle() left for later, if what was available when
 * it came was taken.
 *
 * The polling thread need not be done with it: what it sends in return, and calls for, belongs to
 * the processing of the ring for a front-end whose time stands still meanwhile. Only who knows the
 * polling thread can say when that is over.
 *
 * @return NULL: not yet, or no kick is unanswered. Control thread.
 */
const struct vhost_pci_vring *vhost_pci_session_kicked(const struct vhost_pci_session *session);

/**
 * Answer the kick that vhost_pci_session_handle() left for later: its ring was processed, or is
 * waited for no longer. Calls that were posted by now are sent first: the guest's time may go on
 * with the answer, and what was sent to it before came in no time.
 *
 * @param[out] reply To be sent. Control thread.
 *
 * Clause: vhost-user, "In-band notifications".
 */
void vhost_pci_session_late_reply(struct vhost_pci_session *session, struct vhost_pci_msg *reply);

/**
 * Say whether the owner's port is up, which it is not at first: while it is not, all vrings are
 * VHOST_PCI_VRING_OFF whatever the front-end says, and no state of the front-end is lost.
 */
void vhost_pci_session_set_admin_up(struct vhost_pci_session *session, bool up);

/**
 * Say whether front-end and back-end both want packets to flow, which they do until somebody says
 * otherwise: while one of them does not, all vrings are VHOST_PCI_VRING_OFF and the session is not
 * ready, whatever is enabled, and no state of the front-end is lost.
 *
 * Clause: the peer connection, which is independent of VHOST_USER_SET_VRING_ENABLE.
 */
void vhost_pci_session_set_peer_on(struct vhost_pci_session *session, bool on);

/**
 * Set the device's configuration space, which is all 0 before: for front-ends that leave it to the
 * back-end. Where one has done so, and the space differs from what it was, it is told by
 * VHOST_USER_BACKEND_CONFIG_CHANGE_MSG as soon as its channel is free.
 *
 * @param config In the byte order of the wire. A front-end that has written the MAC address, as a
 *		legacy driver may and a migration does, goes on seeing its own.
 *
 * Clause: vhost-user, VHOST_USER_GET_CONFIG and VHOST_USER_SET_CONFIG; VIRTIO 5.1.4.
 */
void vhost_pci_session_set_config(struct vhost_pci_session *session,
		const struct virtio_net_config *config);

/**
 * Set the eventfd that is written to when a vring breaks or the front-end's memory is gone, after
 * which vhost_pci_session_check() is due.
 *
 * @param fd	Not owned, non-blocking; the session writes to it no more after its end. Before the
 *		first message.
 */
void vhost_pci_session_set_wake(struct vhost_pci_session *session, int fd);

/**
 * Look for what makes a connection end: memory that is gone, such as that of a file that was
 * truncated, and vrings that broke. Each is logged once, counted, and of a vring the err notifier
 * is signalled. Where memory is gone the vrings, which may be nothing but zeros, are not looked at.
 *
 * @return The number of those that are new; unless it is 0 the owner closes the connection.
 */
unsigned int vhost_pci_session_check(struct vhost_pci_session *session);

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

/**
 * The fd that is readable when an answer has come on the back-end channel, or it was closed.
 *
 * @return -1 where there is no channel. It changes with SET_BACKEND_REQ_FD.
 */
int vhost_pci_session_channel_fd(const struct vhost_pci_session *session);

/**
 * Send a request of the back-end on its channel; nothing waits for the answer here.
 *
 * @param msg	The request; with VHOST_USER_NEED_REPLY an answer is awaited. Its fds are closed.
 * @return 0; -ENOTCONN where there is no channel; -EBUSY while an earlier request awaits its
 *	   answer; -EPROTO for need_reply without REPLY_ACK; the codec's errno for a malformed
 *	   request; the transport's, after which there is no channel any more. The connection
 *	   itself goes on in any case.
 *
 * Clause: vhost-user, "Back-end communication".
 */
int vhost_pci_session_channel_send(struct vhost_pci_session *session, struct vhost_pci_msg *msg);

/**
 * Send what is due on the back-end channel, as far as no answer is awaited: misses of the IOTLB,
 * that the configuration space has changed, calls and errors that the front-end wants as messages.
 * For each, after broken_fd was written and after an answer.
 *
 * The next is sent when the one before was answered: a front-end that does not read is not
 * flooded, and calls for the same ring become one.
 */
void vhost_pci_session_channel_serve(struct vhost_pci_session *session);

/**
 * Receive the answer to the request that was sent.
 *
 * @param[out] reply The answer, its fds are the caller's.
 * @return 1; -EAGAIN if it has not come yet; -ENOTCONN where there is no channel (any more);
 *	   -EPROTO for an answer to nothing, or to something else, and the codec's errno for a
 *	   malformed one: there is no channel any more.
 */
int vhost_pci_session_channel_recv(struct vhost_pci_session *session, struct vhost_pci_msg *reply);

#endif /* VHOST_PCI_SESSION_H */
