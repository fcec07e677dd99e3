/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Event sources of the thread's main loop (GLib's thread-default main context).
 */

#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>

#include <glib.h>

/** Called when the fd is ready, until the watch is stopped. */
typedef void (*watch_fd_fn)(void *opaque);

/**
 * Watch an fd.
 *
 * @param condition G_IO_IN or G_IO_OUT; errors and hang-ups are reported in either case.
 * @return The watch; watch_stop() ends it, also from within the function it calls.
 */
GSource *watch_fd(int fd, GIOCondition condition, watch_fd_fn fn, void *opaque);

/** Call a function once, after some time; the watch must be stopped also after that. */
GSource *watch_timer(unsigned int ms, watch_fd_fn fn, void *opaque);

/** Call a function once, when the loop is back; the watch must be stopped also after that. */
GSource *watch_idle(watch_fd_fn fn, void *opaque);

/** End a watch and set it to NULL; harmless on NULL. */
void watch_stop(GSource **watch);

#endif /* WATCH_H */
