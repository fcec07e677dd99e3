/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The test front-end: a vhost-user front-end in a library, to drive any back-end with correct, fast
 * or hostile input.
 *
 * From the bottom up: tfe_wire.h (formats), tfe_conn.h (socket, messages, fds), tfe_req.h
 * (requests), tfe_mem.h (memory), tfe_ring.h (virtqueues), tfe_dev.h (session), tfe_net.h
 * (packets), tfe_frame.h (frames), tfe_gen.h (generator).
 */

#ifndef TFE_H
#define TFE_H

#include "tfe_conn.h"
#include "tfe_dev.h"
#include "tfe_frame.h"
#include "tfe_gen.h"
#include "tfe_mem.h"
#include "tfe_net.h"
#include "tfe_req.h"
#include "tfe_ring.h"
#include "tfe_wire.h"

#endif /* TFE_H */
