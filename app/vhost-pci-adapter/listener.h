/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A UNIX socket that others connect to. Where fds have run out it rests for a while: connections
 * that wait keep it ready, and the main loop would come by without end.
 *
 * All functions: the thread of the main loop.
 */

#ifndef LISTENER_H
#define LISTENER_H

struct listener;

/** Take a connection: a non-blocking fd, which is the function's. It may destroy the listener. */
typedef void (*listener_fn)(void *opaque, int fd);

/**
 * Listen on a path: vhost_pci_unix_listen().
 *
 * @return 0 or -errno.
 */
int listener_create(const char *path, listener_fn fn, void *opaque, struct listener **listener);

/** The socket; stays the listener's. */
int listener_fd(const struct listener *listener);

/** Close the socket and remove its file; harmless on NULL. */
void listener_destroy(struct listener *listener);

#endif /* LISTENER_H */
