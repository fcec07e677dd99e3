/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Requests of vfio-user: a good one of each command, and each of their fields with wrong values.
 */

#ifndef VFU_REQUESTS_H
#define VFU_REQUESTS_H

#include "vfu_client.h"

/** Vectors of MSI-X for which the good SET_IRQS is good. */
#define VFR_VECTORS 8

/** Bytes of BAR0 within which the good accesses are. */
#define VFR_BAR0_BYTES 0x10000

/** A request that is good. */
struct vfr_good {
	uint16_t command;
	uint32_t words[16]; /**< the payload */
	size_t nb_bytes;
	unsigned int nb_fds;
	int error; /**< what a good one is answered with */
};

/** One wrong value of one field. */
struct vfr_bad {
	uint16_t command;
	unsigned int word; /**< of the payload */
	uint32_t value;
	bool is_allowed; /**< no error: the value is as good as another */
};

/** A good request of every command that a client may send. */
extern const struct vfr_good vfr_goods[];
extern const unsigned int vfr_nb_goods;

/** Wrong values of each field of each command. */
extern const struct vfr_bad vfr_bads[];
extern const unsigned int vfr_nb_bads;

/** The good request of a command; fails the test where there is none. */
const struct vfr_good *vfr_find(uint16_t command);

/** Make a request, with eventfds of its own where it wants some. */
void vfr_make(struct vfc_msg *msg, const struct vfr_good *good);

/** Make the good request of a command, with one field wrong. */
void vfr_make_bad(struct vfc_msg *msg, const struct vfr_bad *bad);

/** vfc_call(); the fds of the request are closed, and so are those of the reply. */
int vfr_call(struct vfc *client, struct vfc_msg *msg);

#endif /* VFU_REQUESTS_H */
