/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * One vfio-user connection: bytes and fds to messages and back.
 *
 * Nothing blocks. A message is read only when the reply to the one before has left, so a client
 * that does not read its replies stops itself and costs one reply's memory.
 *
 * All functions: the thread of the main loop.
 */

#ifndef VFU_CONN_H
#define VFU_CONN_H

#include <stdbool.h>

#include "vfu_wire.h"

struct vfu_conn;

/** A request, as it came. The connection closes the fds that are not taken (set to -1). */
struct vfu_request {
	struct vfu_hdr hdr;
	const uint8_t *payload; /**< aligned for any type */
	size_t payload_bytes;
	unsigned int nb_fds;
	int fds[VFU_MSG_FDS];
};

/** What a connection tells its owner; the connection may be destroyed in each. */
struct vfu_conn_ops {
	/** A request with a valid header; it is valid until the function returns. */
	void (*request)(void *opaque, struct vfu_request *request);
	/**
	 * The connection is over, the owner destroys it.
	 *
	 * @param error 0: closed by the client between messages. -EBADMSG: no vfio-user message.
	 *		Other -errno: of the socket.
	 */
	void (*closed)(void *opaque, int error);
};

/**
 * Make a connection out of a connected stream socket, which is the connection's from now on.
 */
struct vfu_conn *vfu_conn_create(int fd, const struct vfu_conn_ops *ops, void *opaque);

/** Close the socket and free all. Harmless on NULL. */
void vfu_conn_destroy(struct vfu_conn *conn);

/**
 * Send the reply to a request, unless the request wants none.
 *
 * @param payload, nb_bytes The payload, copied.
 * @param fd	An fd that goes with it, or -1; stays the caller's.
 */
void vfu_conn_reply(struct vfu_conn *conn, const struct vfu_hdr *request, const void *payload,
		size_t nb_bytes, int fd);

/** Send an error as the reply to a request, unless the request wants none. */
void vfu_conn_reply_error(struct vfu_conn *conn, const struct vfu_hdr *request, int error);

#endif /* VFU_CONN_H */
