/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A process beside the daemon that ends its vfio-user connections in good order when it is killed.
 *
 * When a process dies with requests that it has not read, the kernel resets the connection, and a
 * machine whose QEMU is 11.1 aborts: there it takes the reset as a second error (util/error.c,
 * "*errp == NULL"). An end of file it survives. So the keeper has duplicates of the sockets, reads
 * what is left when the daemon is gone, and closes them then.
 *
 * All functions: the thread of the main loop.
 */

#ifndef KEEPER_H
#define KEEPER_H

#include <stdint.h>

/**
 * Start the keeper: a child, which ends when this process does. Before there are threads, and
 * connections. Without it the other functions do nothing.
 *
 * @return 0; -errno of socketpair(2) or fork(2).
 */
int keeper_start(void);

/** Let the keeper have a connection, or a socket that listens. @return its id, for release. */
uint64_t keeper_hold(int fd);

/** The socket is closed here: let the keeper close its own. Harmless on 0. */
void keeper_release(uint64_t id);

/** Close a connection so that its client finds the end of the stream, not a reset. */
void keeper_close(int fd);

/**
 * Close the connections that were made to a listening socket and not accepted, as keeper_close()
 * does: with the socket they would be reset. Nobody can connect to it after that.
 */
void keeper_close_waiting(int listen_fd);

#endif /* KEEPER_H */
