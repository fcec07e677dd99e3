/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The negotiation of vfio-user, section "VFIO_USER_VERSION".
 */

#ifndef VFU_VERSION_H
#define VFU_VERSION_H

#include <stdbool.h>

#include "vfu_wire.h"

/** What a client said. */
struct vfu_client_caps {
	uint64_t max_data_xfer_size; /**< what the client takes in one message */
	bool has_max_msg_fds;        /**< the client named it, so we may */
	bool has_max_data_xfer_size; /**< the client named it, so we may */
};

/**
 * Read a client's version message.
 *
 * @return 0; -EPROTONOSUPPORT for another major version; -EINVAL where the message is malformed;
 *	   -ENOTSUP for a client that can't receive an fd, which every region here needs.
 */
int vfu_version_parse(const uint8_t *payload, size_t nb_bytes, struct vfu_client_caps *caps);

/**
 * Make the payload of the reply: version 0.0, and our limits as far as the client named its own
 * ("The capability list must be a subset of those proposed").
 *
 * @return The payload, to be freed with g_free().
 */
uint8_t *vfu_version_reply(const struct vfu_client_caps *caps, size_t *nb_bytes);

#endif /* VFU_VERSION_H */
