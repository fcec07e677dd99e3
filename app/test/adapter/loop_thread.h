/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The daemon's side of a test: a thread that runs a main loop, and functions called in it, so that
 * the test's own thread can be a client that blocks.
 */

#ifndef LOOP_THREAD_H
#define LOOP_THREAD_H

#include <glib.h>

/** A thread with a main loop. */
struct loop_thread {
	GMainContext *context;
	GMainLoop *loop;
	GThread *thread;
};

/** Start. */
void loop_thread_start(struct loop_thread *thread);

/** Call a function in the thread and wait until it has returned. */
void loop_thread_call(struct loop_thread *thread, void (*fn)(void *opaque), void *opaque);

/** Let the loop handle all that is ready now, and wait for that. */
void loop_thread_settle(struct loop_thread *thread);

/** Stop and free. */
void loop_thread_stop(struct loop_thread *thread);

/** Number of this process' open fds. */
unsigned int count_fds(void);

/** A directory of the test's own, removed by test_dir_remove() with the files in it. */
char *test_dir_make(void);
void test_dir_remove(char *dir);

#endif /* LOOP_THREAD_H */
