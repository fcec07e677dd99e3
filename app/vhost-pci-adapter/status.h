/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The status of the daemon as JSON: all endpoints, adapters and front-ends with their counters,
 * given to whoever connects to a socket.
 */

#ifndef STATUS_H
#define STATUS_H

#include <glib.h>

#include "endpoint.h"

struct status;

/**
 * Listen.
 *
 * @param endpoints Of struct endpoint; stays the caller's and must live as long.
 * @return 0 or -errno.
 */
int status_create(const char *path, GPtrArray *endpoints, struct status **status);

/** Close, remove the socket. Harmless on NULL. */
void status_destroy(struct status *status);

/** The status as text, to be freed with g_free(). */
char *status_text(GPtrArray *endpoints);

/** Print the status that a daemon gives at this socket. @return 0 or -errno. */
int status_print(const char *path);

#endif /* STATUS_H */
