/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Processes of vhost-pci-soak-backend, for cmocka tests: the driver in a process that can be
 * killed.
 */

#ifndef SOAK_PROCESS_H
#define SOAK_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/** A back-end. */
struct soak_process {
	pid_t pid;
	int stdin_fd;
};

/** Whether it is known which program that is; without it tests are skipped. */
bool soak_process_is_known(void);

/**
 * Start one; it dies with this process.
 *
 * @param dir   The folder for what EAL makes.
 * @param ports NAME,DEVARGS or NAME of each port, and NULL.
 */
void soak_process_start(struct soak_process *process, const char *dir, char *const *ports);

/** Kill it as a crash would. */
void soak_process_kill(struct soak_process *process);

/** Have it close all; fails the test where mbufs are missing then. */
void soak_process_quit(struct soak_process *process);

/** Remove the folder, when all processes are gone and it is otherwise empty. */
void soak_process_remove_dir(const char *dir);

#endif /* SOAK_PROCESS_H */
