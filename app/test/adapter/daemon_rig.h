/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The daemon as a process, with all that its tests need.
 */

#ifndef DAEMON_RIG_H
#define DAEMON_RIG_H

#include <glib.h>

#include "loop_thread.h"
#include "tfe_dev.h"

#define MB UINT64_C(0x100000)

#define TIMEOUT_MS 5000

/** A running daemon, and a QMP server that plays the adapter's machine. */
struct daemon_rig {
	char *dir;
	char *vhost_path;
	char *status_path;
	char *qmp_path;
	GPid pid;
	int qmp_listen;
	int qmp; /**< the daemon's connection, or -1 */
	GString *in;
};

/** Strings, ended by NULL. */
#define STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/** daemon_run_once() with these arguments, into the array "text". */
#define RUN(...) daemon_run_once(text, sizeof(text), STRINGS(__VA_ARGS__))

/** Begin with a folder, and no daemon. */
void daemon_rig_init(struct daemon_rig *rig);

/**
 * Start the daemon with what all tests need, and more; wait until it is up. The test is skipped
 * where VHOST_PCI_DAEMON does not name the program.
 */
void daemon_start(struct daemon_rig *rig, const char *const *more);

/** End the daemon in good order, and free all. */
void daemon_stop(struct daemon_rig *rig);

/** Run the program to its end, with these arguments: what it prints, and how it exits. */
int daemon_run_once(char *text, size_t text_bytes, const char *const *args);

/** Open a front-end with 4 MB at the daemon's socket. */
void daemon_open_frontend(const struct daemon_rig *rig, struct tfe_dev *dev);

#endif /* DAEMON_RIG_H */
