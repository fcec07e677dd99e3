/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A front-end: its connection, its record, and the answers that the device gives for a driver
 * that is not there (vhost_pci_adapter_spec.rst, section 9, cited as [ADP-...]).
 *
 * All functions: the thread of the main loop.
 */

#ifndef FRONTEND_H
#define FRONTEND_H

#include "record.h"

struct frontend;

/** No request, as the id of a reply: the back-end channel has failed. */
#define FRONTEND_CHANNEL_FAILED 0u

/** What is offered to a front-end [ADP-10.1]. */
struct frontend_config {
	const char *name; /**< for messages; copied */
	uint64_t conn_id;
	uint64_t features; /**< virtio's, and LOG_ALL; PROTOCOL_FEATURES is added */
	uint64_t protocol_features;
	unsigned int nb_vrings;
	bool require_seals; /**< refuse memory that can become shorter */
	bool dialect;       /**< headers of version 2 are taken, with the requests they add */
	uint16_t virtio_id; /**< the type of device that is served; 0: any */
};

/** What became of a message that was handed over for the driver. */
enum frontend_relayed {
	FRONTEND_RELAYED,     /**< the driver has it, or will; it answers if an answer is due */
	FRONTEND_NOT_RELAYED, /**< the device is to answer: there is no driver any more */
};

/**
 * What a front-end tells its owner. The front-end may be destroyed in closed() only; there it
 * must be.
 */
struct frontend_ops {
	/** The session has become complete [ADP-9.9]. */
	void (*complete)(void *opaque);
	/** Kick, call or err of a vring is another; the former fd is closed. */
	void (*event_changed)(void *opaque, unsigned int vring);
	/** The log is about to be another: what is pending goes into the earlier one. */
	void (*merge_log)(void *opaque);
	/** The log is another. @return 0; -errno for one that the window can't serve. */
	int (*log_changed)(void *opaque, uint64_t size_bytes);
	/**
	 * The front-end has said something of the peer connection, which the record has already.
	 *
	 * @return 1: the channel is established; 0: it is not; -ENOTSUP: the driver does not know
	 *	   of peer connections, and nothing was said.
	 */
	int (*peer_said)(void *opaque);
	/**
	 * A message for the driver, while frontend_set_relaying() is on. The record has it already.
	 *
	 * @param is_answered The front-end gets its answer from the device. Otherwise the driver
	 *		is to give it, if one is due, and nothing more is read until it has.
	 */
	enum frontend_relayed (
			*relay)(void *opaque, const struct vhost_pci_msg *msg, bool is_answered);
	/**
	 * The front-end has replied on the back-end channel, or the channel has failed and with it
	 * what waits for a reply.
	 *
	 * @param request Its id, or FRONTEND_CHANNEL_FAILED.
	 * @return 0; -EPROTO for a reply to something else than was asked: the channel fails.
	 */
	int (*channel_replied)(void *opaque, uint32_t request, uint64_t value);
	/**
	 * The connection is over.
	 *
	 * @param reason A sentence for the log, or NULL where the front-end closed in good order.
	 */
	void (*closed)(void *opaque, const char *reason);
};

/** What a front-end counts. */
struct frontend_stats {
	uint64_t messages;
	uint64_t refused;          /**< messages answered by an error */
	uint64_t replies;          /**< answers that the driver gave */
	uint64_t channel_requests; /**< requests of the back-end that were sent */
};

/** Make a front-end of a connected socket, the front-end's from now on. @return 0 or -errno. */
int frontend_create(int fd, const struct frontend_config *config, const struct frontend_ops *ops,
		void *opaque, struct frontend **frontend);

/** Hand over to another owner. */
void frontend_set_owner(struct frontend *frontend, const struct frontend_ops *ops, void *opaque);

/** Close the connection and free all. Harmless on NULL. */
void frontend_destroy(struct frontend *frontend);

/** End the session: closed() is called from the loop, soon. */
void frontend_close(struct frontend *frontend, const char *reason);

/** Whether messages are handed over by relay() or answered here. */
void frontend_set_relaying(struct frontend *frontend, bool relaying);

/** Stop or go on reading; a request that waits for the driver's reply stops it in any case. */
void frontend_set_paused(struct frontend *frontend, bool paused);

/** The request that waits for a reply of the driver; NULL if none does. */
const struct vhost_user_hdr *frontend_pending(const struct frontend *frontend);

/** When it came, as g_get_monotonic_time(). */
int64_t frontend_pending_since(const struct frontend *frontend);

/**
 * Send the driver's reply.
 *
 * @return 0; -EPROTO for a reply that does not fit the request [ADP-9.17].
 */
int frontend_reply(struct frontend *frontend, struct vhost_pci_msg *reply);

/**
 * Send a request of the driver on the back-end channel; the codec has passed it.
 *
 * @return 0; -ENOTCONN where there is no channel, or none any more.
 */
int frontend_channel_send(struct frontend *frontend, struct vhost_pci_msg *msg);

/** The driver is gone: what the front-end still owes is not for the next one. */
void frontend_channel_forget(struct frontend *frontend);

/** Tell a front-end that speaks the dialect what the driver's side wants: VHOST_USER_PEER_*. */
void frontend_tell_peer(struct frontend *frontend, uint32_t peer);

/** Answer the request that waits in place of the driver [ADP-9.15]. */
void frontend_answer_pending(struct frontend *frontend);

/** The front-end's connection id. */
uint64_t frontend_conn_id(const struct frontend *frontend);

/** What was learned of it; valid as long as the front-end is. */
struct record *frontend_record(struct frontend *frontend);

/** Whether the session is complete. */
bool frontend_is_complete(const struct frontend *frontend);

/** What was offered to it. */
const struct frontend_config *frontend_config(const struct frontend *frontend);

/** Counters. */
const struct frontend_stats *frontend_stats(const struct frontend *frontend);

#endif /* FRONTEND_H */
