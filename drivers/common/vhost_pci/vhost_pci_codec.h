/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The syntax of vhost-user messages: what can be said of a message without knowing the state of
 * its session. Each kind of malformation has an errno of its own:
 *
 * | errno            | malformation                                                         |
 * |------------------|----------------------------------------------------------------------|
 * | -EPROTONOSUPPORT | the header's version is not that of the kind of message              |
 * | -EPROTOTYPE      | a reply where a request is due, or the reverse                       |
 * | -EMSGSIZE        | a payload that is too long, too short, or no multiple of its items   |
 * | -EOPNOTSUPP      | an id that is not known here (the only one that may be answered)     |
 * | -EBADF           | fewer fds than the message needs                                     |
 * | -E2BIG           | more fds than the message takes                                      |
 * | -EBADMSG         | parts that contradict each other: the number of regions and the size |
 * |                  | or the fds, the "no fd" flag and an fd, reserved bits of a vring id  |
 *
 * The checks are made in the order of the table, so that a message has one errno.
 */

#ifndef VHOST_PCI_CODEC_H
#define VHOST_PCI_CODEC_H

#include <stdbool.h>

#include "vhost_user.h"

/** Fds that one message carries at most. */
#define VHOST_PCI_MSG_MAX_FDS VHOST_USER_MEM_TABLE_REGIONS

/** A message and the fds that came, or go, with it. */
struct vhost_pci_msg {
	struct vhost_user_hdr hdr;
	union vhost_user_payload payload;
	uint64_t conn_id;               /**< Of the connection; only with a header of version 2. */
	unsigned int nb_fds;            /**< Entries of fds in use. */
	int fds[VHOST_PCI_MSG_MAX_FDS]; /**< Owned by whoever holds the message; -1: taken. */
};

/** Which of the protocol's streams a message belongs to. */
enum vhost_pci_msg_kind {
	VHOST_PCI_MSG_REQUEST,         /**< Front-end to back-end, enum vhost_user_request. */
	VHOST_PCI_MSG_REPLY,           /**< The back-end's answer to it. */
	VHOST_PCI_MSG_BACKEND_REQUEST, /**< enum vhost_user_backend_request, on its channel. */
	VHOST_PCI_MSG_BACKEND_REPLY,   /**< The front-end's answer to it. */
	/**
	 * Front-end to back-end with a header of version 2: enum vhost_user_dialect_request, and
	 * the ids of enum vhost_user_request that are not in it.
	 */
	VHOST_PCI_MSG_DIALECT_REQUEST,
	/** The front-end's answer to a VHOST_USER_SET_PEER_CONNECTION of the back-end. */
	VHOST_PCI_MSG_DIALECT_REPLY,
};

/** How a front-end's request is answered (vhost-user, "Communication"). */
enum vhost_pci_reply {
	VHOST_PCI_REPLY_ACK,  /**< By a u64 where REPLY_ACK is negotiated and need_reply set. */
	VHOST_PCI_REPLY_OWN,  /**< Always, with a payload of its own: an error has no form. */
	VHOST_PCI_REPLY_CODE, /**< Always, with a u64 that says 0 or error. */
};

/**
 * Check a header before the payload is read.
 *
 * @return 0; -EPROTONOSUPPORT, -EPROTOTYPE, -EMSGSIZE (see the table). An unknown id passes, for
 *	   its payload must be read before it can be refused.
 *
 * Any thread. Clause: vhost-user, "Header".
 */
int vhost_pci_codec_check_header(const struct vhost_user_hdr *hdr, enum vhost_pci_msg_kind kind);

/**
 * Check a whole message: header, fds, and the payload as far as it contradicts either.
 *
 * @return 0, or the negative errno of the table. Any thread.
 */
int vhost_pci_codec_check(const struct vhost_pci_msg *msg, enum vhost_pci_msg_kind kind);

/** Whether a message has a header of version 2. Any thread. */
static inline bool
vhost_pci_codec_is_dialect(const struct vhost_user_hdr *hdr)
{
	return (hdr->flags & VHOST_USER_VERSION_MASK) == VHOST_USER_VERSION_2;
}

/** Whether a message is one of enum vhost_user_dialect_request. Any thread. */
static inline bool
vhost_pci_codec_is_dialect_request(const struct vhost_user_hdr *hdr)
{
	return vhost_pci_codec_is_dialect(hdr) && hdr->request >= VHOST_USER_GET_CONN_ID &&
			hdr->request <= VHOST_USER_SET_PEER_CONNECTION;
}

/** How a front-end's request is answered; VHOST_PCI_REPLY_ACK for an unknown one. Any thread. */
enum vhost_pci_reply vhost_pci_codec_reply(uint32_t request);

/** Name of a front-end's request without its prefix, such as "SET_VRING_NUM"; "unknown". */
const char *vhost_pci_codec_name(uint32_t request);

/**
 * Begin a reply: the header as it answers @p request, no fds, and a payload of @p size bytes,
 * which the caller fills in. Any thread.
 */
void vhost_pci_codec_make_reply(struct vhost_pci_msg *reply, uint32_t request, uint32_t size);

/**
 * Take an fd out of a message: it becomes the caller's.
 *
 * @return The fd, or -1 where the message has none at @p index or it was taken. Any thread.
 */
int vhost_pci_msg_take_fd(struct vhost_pci_msg *msg, unsigned int index);

/** Close all fds that were not taken; the message has none after that. Any thread. */
void vhost_pci_msg_close_fds(struct vhost_pci_msg *msg);

#endif /* VHOST_PCI_CODEC_H */
