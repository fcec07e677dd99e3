/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A connection to a QMP socket (QEMU, docs/interop/qmp-spec.rst): commands with their answers,
 * and events. It is made anew when it is lost.
 *
 * All functions: the thread of the main loop.
 */

#ifndef QMP_H
#define QMP_H

#include <stdbool.h>

#include <json-glib/json-glib.h>

struct qmp;

/** What a connection tells its owner. */
struct qmp_ops {
	/** Commands can be sent (true), or the connection is lost (false). */
	void (*ready)(void *opaque, bool ready);
	/** An event; data may be NULL. */
	void (*event)(void *opaque, const char *name, JsonObject *data);
	/**
	 * The answer to a command.
	 *
	 * @param tag	What qmp_send() was given.
	 * @param error A description, or NULL where the command succeeded.
	 * @param result What it returned, where that is a string; NULL else.
	 */
	void (*answer)(void *opaque, const char *tag, const char *error, const char *result);
};

/** Make a connection, now or as soon as somebody listens. */
struct qmp *qmp_create(const char *path, const struct qmp_ops *ops, void *opaque);

/** Close. Harmless on NULL. */
void qmp_destroy(struct qmp *qmp);

/** Whether commands can be sent. */
bool qmp_is_ready(const struct qmp *qmp);

/**
 * Send a command; while the connection is not ready it is dropped.
 *
 * @param arguments Taken over; may be NULL.
 * @param tag	Comes back with the answer.
 */
void qmp_send(struct qmp *qmp, const char *command, JsonObject *arguments, const char *tag);

#endif /* QMP_H */
