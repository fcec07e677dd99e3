/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The connection: a Unix socket on which vhost-user messages travel, with every byte and every
 * file descriptor under the caller's control.
 *
 * A connection belongs to one thread at a time. All functions return 0 or a count, or -errno:
 *  - -ETIMEDOUT: nothing came within the time given;
 *  - -ECONNRESET: the back-end has closed the connection (a clean end of file included);
 *  - -EBADMSG: the back-end's bytes are no vhost-user message, or no reply to the request;
 *  - -EREMOTEIO: the back-end answered need_reply with a value other than 0;
 *  - -ENOTCONN: the connection is not open.
 */

#ifndef TFE_CONN_H
#define TFE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tfe_wire.h"

/** Fds one message may carry here; the kernel's own limit for SCM_RIGHTS. */
#define TFE_MSG_FDS 253

/** Payload bytes one message may carry here; larger ones need tfe_conn_send_raw(). */
#define TFE_MSG_BYTES 4096

/** Time to wait for a reply when the caller gives none, in ms. */
#define TFE_TIMEOUT_MS 5000

/** Which side of the socket the front-end is. */
enum tfe_role {
	TFE_ROLE_CLIENT, /**< connects to the back-end's listening socket */
	TFE_ROLE_SERVER, /**< listens; the back-end connects */
};

/**
 * One message, as sent or received.
 *
 * Fds in a message to be sent stay the caller's. Fds in a received message belong to the caller,
 * who closes them with tfe_msg_close_fds().
 */
struct tfe_msg {
	struct tfe_vu_hdr hdr;
	union {
		uint64_t u64;
		struct tfe_vu_vring_state state;
		struct tfe_vu_vring_addr addr;
		struct tfe_vu_mem_table mem;
		struct tfe_vu_single_region region;
		struct tfe_vu_log log;
		struct tfe_vu_iotlb iotlb;
		struct tfe_vu_config config;
		struct tfe_vu_vring_area area;
		struct tfe_vu_inflight inflight;
		struct tfe_vu_device_state device_state;
		uint8_t raw[TFE_MSG_BYTES];
	};
	unsigned int nb_fds;
	int fds[TFE_MSG_FDS];
	bool fds_truncated; /**< received only: the kernel dropped fds (MSG_CTRUNC) */
};

/** A connection; fields may be read freely, and timeout_ms, need_reply changed at any time. */
struct tfe_conn {
	int fd;               /**< the connected socket, or -1 */
	int listen_fd;        /**< the listening socket of a server, or -1 */
	char path[108];       /**< the socket's path, or "" */
	int timeout_ms;       /**< limit for one reply or one send */
	bool need_reply;      /**< tfe_conn_call() sets need_reply and waits for the answer */
	uint64_t last_ack;    /**< value of the last answer to need_reply */
	uint64_t nb_sent;     /**< messages sent */
	uint64_t nb_received; /**< messages received */
};

/** Initialise to "not open" with the default time-out. Must come first. */
void tfe_conn_init(struct tfe_conn *conn);

/**
 * Connect to the back-end's socket.
 *
 * Where the path does not exist or nobody listens, wait for it: the directory is watched, there is
 * no blind retry while nothing changes.
 *
 * @param timeout_ms  0: one attempt only.
 * @return 0; -ETIMEDOUT, or with timeout_ms 0 -ENOENT or -ECONNREFUSED; -ENAMETOOLONG.
 */
int tfe_conn_connect(struct tfe_conn *conn, const char *path, int timeout_ms);

/** Listen at path, whose stale socket file is replaced. The file goes with tfe_conn_close(). */
int tfe_conn_listen(struct tfe_conn *conn, const char *path);

/** Accept one back-end on a listening connection; a former one is closed first. */
int tfe_conn_accept(struct tfe_conn *conn, int timeout_ms);

/** Take over a connected stream socket, such as an end of a socketpair; it is ours to close. */
int tfe_conn_adopt(struct tfe_conn *conn, int fd);

/** Close the connection, keep listening. */
void tfe_conn_disconnect(struct tfe_conn *conn);

/** Close everything; remove the listening socket's file. */
void tfe_conn_close(struct tfe_conn *conn);

/**
 * Send bytes and fds as they are: no header is made, nothing is checked.
 *
 * @param fds     may be NULL when nb_fds is 0; at most TFE_MSG_FDS. They go with the first byte.
 * @return 0 when all bytes are sent; -EINVAL for too many fds; see the file's list.
 */
int tfe_conn_send_raw(struct tfe_conn *conn, const void *bytes, size_t nb_bytes, const int *fds,
		unsigned int nb_fds);

/**
 * Receive exactly nb_bytes, within the connection's timeout_ms.
 *
 * @param msg  where received fds are appended (fds, nb_fds, fds_truncated); its other fields are
 *             not touched.
 */
int tfe_conn_recv_raw(struct tfe_conn *conn, void *bytes, size_t nb_bytes, struct tfe_msg *msg);

/** Begin a message: version 1, no flags, the payload given (may be NULL with nb_bytes 0). */
void tfe_msg_init(struct tfe_msg *msg, uint32_t request, const void *payload, uint32_t nb_bytes);

/** Begin a message whose payload is one u64. */
void tfe_msg_init_u64(struct tfe_msg *msg, uint32_t request, uint64_t value);

/** Append an fd to be sent; it stays the caller's. */
void tfe_msg_add_fd(struct tfe_msg *msg, int fd);

/** Close the fds of a received message. */
void tfe_msg_close_fds(struct tfe_msg *msg);

/** Send a message exactly as its header, payload and fds say. */
int tfe_conn_send(struct tfe_conn *conn, const struct tfe_msg *msg);

/** Receive one message of any kind. On error no fd is left open. */
int tfe_conn_recv(struct tfe_conn *conn, struct tfe_msg *msg);

/**
 * Send a request that has no reply of its own.
 *
 * With need_reply set in the connection, or in the message's flags, wait for the answer.
 */
int tfe_conn_call(struct tfe_conn *conn, const struct tfe_msg *msg);

/**
 * Send a request and receive the reply of the same id with the reply flag.
 *
 * @param msg  the request; the reply takes its place.
 */
int tfe_conn_query(struct tfe_conn *conn, struct tfe_msg *msg);

/** Answer a message of the back-end channel that has need_reply set. */
int tfe_conn_answer(struct tfe_conn *conn, const struct tfe_msg *request, uint64_t value);

/**
 * Wait until the back-end closes the connection; messages arriving before that are discarded.
 *
 * @return 0 once closed, -ETIMEDOUT while it is still open.
 */
int tfe_conn_wait_closed(struct tfe_conn *conn, int timeout_ms);

/** Wait until the socket has something to read: 1 yes, 0 time-out, -errno. */
int tfe_conn_poll(struct tfe_conn *conn, int timeout_ms);

/**
 * Open the back-end channel: make a socketpair, send one end with SET_BACKEND_REQ_FD.
 *
 * @param channel  initialised connection that gets our end; the back-end's requests are read from
 *                 it with tfe_conn_recv() and answered with tfe_conn_answer().
 */
int tfe_conn_open_channel(struct tfe_conn *conn, struct tfe_conn *channel);

#endif /* TFE_CONN_H */
