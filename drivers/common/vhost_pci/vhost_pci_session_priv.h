/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the parts of the session share: its state, its handlers by subject, and the one way to
 * change a vring. Nobody else includes this.
 */

#ifndef VHOST_PCI_SESSION_PRIV_H
#define VHOST_PCI_SESSION_PRIV_H

#include "vhost_pci_session.h"

/** Fds of one vring that may be replaced between a pause and a resume. */
#define RETIRED_FDS_MAX 8

/** What control knows of a vring besides what is in it. */
struct session_ring {
	uint32_t num;                   /**< Of SET_VRING_NUM; 0: not known. */
	bool base_set;                  /**< SET_VRING_BASE was seen, or the ring was stopped. */
	bool stopped;                   /**< GET_VRING_BASE was seen, and no new base since. */
	bool loaded;                    /**< The vring's indexes are valid since its start. */
	bool error_seen;                /**< That it broke was logged and counted. */
	bool call_due;                  /**< A call may have been lost: see call_if_due(). */
	enum vhost_pci_vring_mode mode; /**< As last given to the polling thread. */
	int call_reader;                /**< Keeps a pipe for calls readable; -1: none. */
	int err_reader;                 /**< Keeps a pipe for errors readable; -1: none. */
	uint32_t call_posted;           /**< A call is to be sent as a message; atomic. */
	uint32_t err_posted;            /**< The same for an error. */
};

/** A kick that is to be answered once its ring was processed. */
struct session_kick {
	struct vhost_pci_vring *vr; /**< NULL: none. */
	uint16_t shown;             /**< Its avail_shown when the kick came. */
	uint16_t nb_avail;          /**< What was available then, beyond that. */
};

/** The dirty log of a migration. */
struct session_log {
	struct vhost_pci_mapping *mapping;  /**< NULL: none. */
	uint64_t nb_pages;                  /**< That it has a bit for. */
	struct vhost_pci_notifier notifier; /**< Tells the front-end that it changed. */
	int reader;                         /**< Keeps a pipe for that readable; -1: none. */
};

/** The areas in which chains under way are written down; see vhost_pci_inflight.h. */
struct session_inflight {
	struct vhost_pci_mapping *mapping; /**< NULL: none. */
	uint16_t nb_queues;
	uint16_t queue_size;
};

/** A migration with a postcopy phase, at its destination. */
struct session_postcopy {
	struct vhost_pci_faults *faults; /**< Since POSTCOPY_ADVISE; NULL: no such migration. */
	bool listening; /**< Since POSTCOPY_LISTEN: memory that comes now raises faults. */
	/** Memory that the front-end knows the bases of once it acknowledges; NULL: none. */
	struct vhost_pci_mem *pending;
};

/** A session. Fields are grouped by how long they last. */
struct vhost_pci_session {
	/* Fixed at creation. */
	struct vhost_pci_session_ops ops;
	void *opaque;
	char *name;
	uint64_t offered;          /**< Features. */
	uint64_t offered_protocol; /**< Protocol features. */
	uint16_t max_queue_size;
	bool require_seals;
	unsigned int nb_vrings;
	struct vhost_pci_vring *vrings;
	struct session_ring *rings;

	/* Of the owner. */
	bool admin_up;
	bool warned_of_shrink; /**< Once is enough for all connections. */
	int wake_fd;           /**< See vhost_pci_session_set_wake(). */
	struct vhost_pci_session_stats stats;
	struct virtio_net_config config; /**< The configuration space. */

	/* Of the connection: all of it is forgotten by a reset. */
	bool in_use; /**< A message was handled. */
	bool features_set;
	bool ready;
	bool peer_off;   /**< One side wants no packets to flow. */
	bool complained; /**< One message of the log is enough for a connection. */
	uint8_t status;
	uint64_t features;
	uint64_t protocol_features;
	struct vhost_pci_mem *mem;     /**< NULL: not known. */
	struct vhost_pci_iotlb *iotlb; /**< Owned for life; NULL: not offered. */
	uint64_t iotlb_changes;        /**< How often it had changed at the last miss sent. */
	struct session_log log;
	struct session_inflight inflight;
	struct session_postcopy postcopy;
	struct vhost_pci_transport *channel; /**< Back-end channel; NULL: none. */
	uint32_t channel_request;            /**< Whose reply is awaited there; 0: none. */
	struct session_kick kick;
	uint8_t mac[6];      /**< Of the front-end, over that of the configuration space. */
	bool mac_written;    /**< mac is valid. */
	bool config_changed; /**< The front-end is to be told. */

	/* Of the message that is handled. */
	uint64_t lend_until_ms; /**< When lent chains are waited for no more; 0: not yet known. */
	bool resetting;         /**< The front-end is gone: it waits for no reply, nor do we. */

	/* Between a pause and a resume. */
	int retired[RETIRED_FDS_MAX];
	unsigned int nb_retired;
};

/**
 * Handle one kind of message, which was checked by the codec and for the features it needs.
 *
 * @return 1: @p reply was made. 0: done. Negative: refused; -ECONNABORTED where the
 *	   specification asks for the connection to be closed.
 */
typedef int session_handler_t(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

/** Messages about features and the device as a whole. */
session_handler_t session_get_features, session_set_features, session_get_protocol_features,
		session_set_protocol_features, session_get_queue_num, session_set_owner,
		session_reset_owner, session_reset_device, session_set_status, session_get_status,
		session_send_rarp, session_net_set_mtu;

/** Messages about memory. */
session_handler_t session_set_mem_table, session_get_max_mem_slots, session_add_mem_reg,
		session_rem_mem_reg;

/** Messages about the postcopy phase of a migration. */
session_handler_t session_postcopy_advise, session_postcopy_listen, session_postcopy_end;

/** Messages about the log of writes to memory. */
session_handler_t session_set_log_base, session_set_log_fd;

/** Messages about one vring. */
session_handler_t session_set_vring_num, session_set_vring_addr, session_set_vring_base,
		session_get_vring_base, session_set_vring_kick, session_set_vring_notifier,
		session_set_vring_enable;

/** The message that brings the back-end channel. */
session_handler_t session_set_backend_req_fd;

/** The message that stands for a kick. */
session_handler_t session_vring_kick;

/** Messages about the configuration space. */
session_handler_t session_get_config, session_set_config;

/** The vring of a message, NULL where there is none of that index. */
struct vhost_pci_vring *session_find_ring(struct vhost_pci_session *session, uint64_t index);

/** @name Vrings: nothing in one changes but between a pause and the resume that follows */
/**@{*/

/** Wait until no burst uses the vring. */
void session_ring_pause(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/** Let it be used as its state now says, tell the owner, close what was retired. */
void session_ring_resume(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/**
 * Map a paused vring if it is started and all of it is known; else do nothing.
 *
 * @return 0, or the error of vhost_pci_vring_map() or vhost_pci_vring_set_base(): not mapped.
 */
int session_ring_map(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/**
 * Start a vring, which is not paused.
 *
 * @param kick_fd Becomes the vring's; -1: none.
 * @param is_inband Kicks are messages, and kick_fd is written to by control.
 * @return 0, or the error of session_ring_map(), and the vring is stopped.
 */
int session_ring_start(struct vhost_pci_session *session, struct vhost_pci_vring *vr, int kick_fd,
		bool is_inband);

/** Empty a notifier of a paused vring. */
void session_notifier_retire(struct vhost_pci_session *session,
		struct vhost_pci_notifier *notifier);

/** Stop a paused vring; its base is what it has come to. */
void session_ring_stop(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/** Forget all of a vring but its counters. */
void session_ring_reset(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/** Whether a vring passes packets, the owner's port apart. */
bool session_ring_is_on(const struct vhost_pci_vring *vr);

/** Whether all of a vring is there but a message that starts it, its first kick. */
bool session_ring_awaits_kick(const struct vhost_pci_session *session,
		const struct vhost_pci_vring *vr);

/** Whether any vring is started. */
bool session_any_started(const struct vhost_pci_session *session);

/** Stop all vrings. */
void session_stop_rings(struct vhost_pci_session *session);

/**
 * Let a paused vring be used as before: neither its state nor what its owner knows has changed. One
 * that is held stays closed; what was put off while it was held is done when it is no longer.
 */
void session_ring_open(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/** Derive all vrings anew, after the memory table or the features have changed. */
void session_remap_rings(struct vhost_pci_session *session);
/**@}*/

/**
 * Whether memory of the front-end's was found to be gone: that of the table in force, of the log,
 * of the areas for chains under way.
 */
bool session_mem_is_lost(const struct vhost_pci_session *session);

/**
 * Accept what was mapped for the front-end: whether it may be cut short, and who is woken if it is.
 *
 * @return 0; -EPERM where only sealed memory is wanted, and the mapping is let go.
 */
int session_accept_mapping(struct vhost_pci_session *session, struct vhost_pci_mapping *mapping);

/** Put a table in force, whose one reference becomes the session's. */
void session_publish_mem(struct vhost_pci_session *session, struct vhost_pci_mem *mem);

/** @name The postcopy phase of a migration */
/**@{*/

/**
 * Whether a message about memory is the front-end's answer to our reply to an earlier one: it
 * knows the bases now, "and only upon reception of this message may the guest start accessing the
 * memory and generating faults".
 */
bool session_postcopy_is_ack(const struct vhost_pci_session *session,
		const struct vhost_pci_msg *msg);

/** Handle such an answer: what was pending is in force. Returns 0; -EINVAL where it says no. */
int session_postcopy_ack(struct vhost_pci_session *session, const struct vhost_pci_msg *msg);

/** The latest table, in force or pending; NULL: none. */
struct vhost_pci_mem *session_postcopy_latest(const struct vhost_pci_session *session);

/** Keep a table, whose one reference becomes the session's, until the front-end answers. */
void session_postcopy_keep(struct vhost_pci_session *session, struct vhost_pci_mem *mem);

/** Let all faults go and forget the migration. */
void session_postcopy_reset(struct vhost_pci_session *session);
/**@}*/

/** Messages about chains under way. */
session_handler_t session_get_inflight_fd, session_set_inflight_fd;

/**
 * Begin to track a vring that starts, if its queue has an area.
 *
 * @return 0, or the error of vhost_pci_inflight_open().
 */
int session_inflight_open(struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/** Drop the areas; no vring is tracked. */
void session_inflight_reset(struct vhost_pci_session *session);

/** @name The dirty log */
/**@{*/

/** Have a paused vring log its writes, or not, as the session's state now says. */
void session_log_bind(const struct vhost_pci_session *session, struct vhost_pci_vring *vr);

/** Do so for all vrings. */
void session_log_update(struct vhost_pci_session *session);

/** Check where writes to a vring's used ring are to be logged. Returns 0 or -EINVAL. */
int session_log_check_addr(const struct vhost_pci_session *session,
		const struct vhost_vring_addr *addr);

/** Drop the log, its mapping and its fd; no vring uses it. */
void session_log_reset(struct vhost_pci_session *session);
/**@}*/

/** @name The device IOTLB */
/**@{*/

/** Have an IOTLB if it is offered. Returns 0 or -ENOMEM. */
int session_iotlb_create(struct vhost_pci_session *session);

/** The message that brings translations, and takes them back. */
session_handler_t session_iotlb_msg;

/** The IOTLB by which all addresses are translated; NULL: they are what they are. */
const struct vhost_pci_iotlb *session_iotlb(const struct vhost_pci_session *session);

/** Forget all translations; no vring uses them. */
void session_iotlb_clear(struct vhost_pci_session *session);

/** Wait until no burst uses a started vring; each is resumed by itself. */
void session_iotlb_pause(struct vhost_pci_session *session);

/** Follow the memory table in force, if there are translations; started vrings are paused then. */
void session_iotlb_follow_mem(struct vhost_pci_session *session);

/**
 * Take the next miss that is to be sent.
 *
 * @param[out] msg The request, without need_reply.
 * @return false: there is none.
 */
bool session_iotlb_next(struct vhost_pci_session *session, struct vhost_pci_msg *msg);

/** A miss was answered: by its update, or by a refusal. */
void session_iotlb_answered(struct vhost_pci_session *session, bool refused);

/** The channel on which misses were sent is another one. */
void session_iotlb_ask_anew(struct vhost_pci_session *session);
/**@}*/

/** Close the back-end channel, if there is one. */
void session_channel_close(struct vhost_pci_session *session);

/** Let calls and errors go as messages, or no longer, as the protocol features now say. */
void session_inband_update(struct vhost_pci_session *session);

/**
 * Take the next call or error that is to be sent as a message.
 *
 * @param[out] msg The request, without need_reply.
 * @return false: there is none.
 */
bool session_inband_next(struct vhost_pci_session *session, struct vhost_pci_msg *msg);

/**
 * Send all calls and errors that are posted, also while an answer is awaited on the channel. Only
 * in answer to a message of the front-end's, which so has a say in how many they are.
 */
void session_channel_flush(struct vhost_pci_session *session);

/** Forget what a front-end wrote to the configuration space, and what it was to be told. */
void session_config_reset(struct vhost_pci_session *session);

/**
 * Take the news that the configuration space has changed.
 *
 * @param[out] msg The request, without need_reply.
 * @return false: there is none.
 */
bool session_config_next(struct vhost_pci_session *session, struct vhost_pci_msg *msg);

/** Whether a protocol feature was set by the front-end. */
static inline bool
session_has_protocol(const struct vhost_pci_session *session,
		enum vhost_user_protocol_feature feature)
{
	return (session->protocol_features >> feature & 1) != 0;
}

/** Whether a feature was set by the front-end. */
static inline bool
session_has_feature(const struct vhost_pci_session *session, unsigned int bit)
{
	return (session->features >> bit & 1) != 0;
}

/** Make a reply that carries a u64. */
static inline int
session_reply_u64(struct vhost_pci_msg *reply, const struct vhost_pci_msg *msg, uint64_t value)
{
	vhost_pci_codec_make_reply(reply, msg->hdr.request, sizeof(reply->payload.u64));
	reply->payload.u64 = value;
	return 1;
}

#endif /* VHOST_PCI_SESSION_PRIV_H */
