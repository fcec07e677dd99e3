/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The vhost-pci extension of vhost-user: messages with a header of version 2, as bytes on a
 * connection's socket.
 */

#ifndef TFE_DIALECT_H
#define TFE_DIALECT_H

#include <stddef.h>
#include <stdint.h>

/** The connection id of who names none. */
#define TFE_DIALECT_ANONYMOUS UINT64_MAX

/** Flags of the header: its version, and that of a reply. */
#define TFE_DIALECT_VERSION 2u
#define TFE_DIALECT_REPLY   4u

/** Largest payload: device information. */
#define TFE_DIALECT_PAYLOAD_BYTES 18

/** Ids that mean something else in version 1. */
enum tfe_dialect_request {
	TFE_DIALECT_GET_CONN_ID = 20,
	TFE_DIALECT_SET_DEV_INFO = 21,
	TFE_DIALECT_SET_PEER_CONNECTION = 22,
};

/** Payload of SET_PEER_CONNECTION, a u64. */
enum tfe_dialect_peer {
	TFE_DIALECT_PEER_OFF,
	TFE_DIALECT_PEER_ON,
	TFE_DIALECT_PEER_INIT,
};

/** A message as it is on the wire. */
struct tfe_dialect_msg {
	uint32_t request;
	uint32_t flags;
	uint64_t conn_id;
	uint32_t size;
	uint8_t payload[TFE_DIALECT_PAYLOAD_BYTES];
} __attribute__((packed));

/** Send a message, version and payload as they are: its size says how much. @return 0, -errno. */
int tfe_dialect_send(int fd, const struct tfe_dialect_msg *msg);

/**
 * Wait for a message whose payload is a u64.
 *
 * @return 0; -ECONNRESET where the connection has ended; -EPROTO for another kind of message.
 */
int tfe_dialect_recv(int fd, struct tfe_dialect_msg *msg, uint64_t *value);

#endif /* TFE_DIALECT_H */
