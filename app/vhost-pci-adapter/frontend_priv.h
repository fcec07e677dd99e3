/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What frontend.c (connection, answers) and frontend_msg.c (the messages) share.
 */

#ifndef FRONTEND_PRIV_H
#define FRONTEND_PRIV_H

#include <glib.h>

#include "frontend.h"
#include "vhost_pci_log.h"
#include "vhost_pci_transport.h"

/** The back-end channel, whose other end is the front-end's [section 9.5]. */
struct frontend_channel {
	struct vhost_pci_transport *transport; /**< NULL: none */
	GSource *watch;
	uint64_t nb_due;   /**< replies that the front-end owes */
	uint64_t nb_stale; /**< the first of them: those of drivers that are gone */
};

struct frontend {
	struct frontend_config config;
	char *name;
	const struct frontend_ops *ops;
	void *opaque;
	struct vhost_pci_transport *transport;
	struct record record;
	struct frontend_stats stats;
	GSource *watch;       /**< of the connection, while it is read */
	GSource *watch_close; /**< closed() is on its way */
	char *close_reason;
	bool is_closing;
	bool is_relaying;
	bool is_paused;
	bool is_complete;
	bool has_complained; /**< see frontend_complaint_level() */

	struct frontend_channel channel;

	bool has_pending; /**< a request waits for the driver's reply */
	int64_t pending_since;
	struct vhost_user_hdr pending;
	uint32_t pending_index; /**< of GET_VRING_BASE */
};

/** How a message is treated, [section 9.2]. */
enum frontend_class {
	FRONTEND_CLASS_X, /**< not offered */
	FRONTEND_CLASS_D, /**< the device answers */
	FRONTEND_CLASS_B, /**< the driver answers, if it is there */
};

/**
 * How important it is to say what is wrong with a front-end: the first time as important as it is,
 * but later no more, for a front-end may do the like without end.
 */
enum vhost_pci_log_level frontend_complaint_level(struct frontend *frontend,
		enum vhost_pci_log_level level);

/** A message's class. */
enum frontend_class frontend_msg_class(uint32_t request);

/**
 * Check a message against the state of the session, and record it. Its fds are taken or closed.
 *
 * @return 0; 1 where it changes nothing for a driver, which is not to hear of it; -errno for what
 *	   can't be accepted.
 */
int frontend_msg_record(struct frontend *frontend, struct vhost_pci_msg *msg);

/**
 * Make the device's own answer.
 *
 * @return 0; -ENOTSUP where this request has no answer the device could give; -ENODATA for a base
 *	   that nobody knows.
 */
int frontend_msg_answer(struct frontend *frontend, const struct vhost_user_hdr *request,
		uint32_t index, struct vhost_pci_msg *reply);

/** Take over the channel that comes with a message. @return 0 or -errno. */
int frontend_channel_open(struct frontend *frontend, struct vhost_pci_msg *msg);

/** Close the channel, if there is one. */
void frontend_channel_close(struct frontend *frontend);

/**
 * Handle one of the requests that a header of version 2 has, all of which are the device's to
 * answer [ADP-14.4].
 *
 * @return 1: send @p reply; 0: nothing is to be sent; -errno for what can't be accepted.
 */
int frontend_dialect_handle(struct frontend *frontend, const struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply);

/** Whether a request is to be answered [ADP-9.12]. */
bool frontend_msg_wants_reply(const struct frontend *frontend, const struct vhost_user_hdr *hdr);

#endif /* FRONTEND_PRIV_H */
