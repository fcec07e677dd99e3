/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "tfe_dialect.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_BYTES offsetof(struct tfe_dialect_msg, payload)

int
tfe_dialect_send(int fd, const struct tfe_dialect_msg *msg)
{
	size_t bytes = HEADER_BYTES + msg->size;

	if (msg->size > sizeof(msg->payload))
		return -EMSGSIZE;
	return send(fd, msg, bytes, MSG_NOSIGNAL) == (ssize_t)bytes ? 0 : -ECONNRESET;
}

int
tfe_dialect_recv(int fd, struct tfe_dialect_msg *msg, uint64_t *value)
{
	const ssize_t bytes = HEADER_BYTES + sizeof(*value);

	if (recv(fd, msg, bytes, MSG_WAITALL) != bytes)
		return -ECONNRESET;
	if ((msg->flags & ~TFE_DIALECT_REPLY) != TFE_DIALECT_VERSION || msg->size != sizeof(*value))
		return -EPROTO;
	memcpy(value, msg->payload, sizeof(*value));
	return 0;
}
