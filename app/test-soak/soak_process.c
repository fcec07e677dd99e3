/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "soak_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "test.h"

#define PROGRAM_ENV "VHOST_PCI_SOAK_BACKEND"

/** Ports of one back-end at most. */
#define MAX_PORTS 512

bool
soak_process_is_known(void)
{
	return getenv(PROGRAM_ENV) != NULL;
}

/** In the child: become the back-end. */
static void
exec_backend(const char *dir, char *const *ports, int stdin_fd)
{
	static char args[][32] = { "vhost-pci-soak-backend", "--no-huge", "--no-shconf", "-m", "64",
		"--no-pci", "--no-telemetry", "--lcores=(0-1)@(0-1)", "--" };
	char *argv[MAX_PORTS + sizeof(args) / sizeof(args[0]) + 1];
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	unsigned int nb = 0;

	for (; nb < sizeof(args) / sizeof(args[0]); nb++)
		argv[nb] = args[nb];
	for (; *ports != NULL && nb < sizeof(argv) / sizeof(argv[0]) - 1; ports++)
		argv[nb++] = *ports;
	argv[nb] = NULL;
	setenv("RUNTIME_DIRECTORY", dir, 1);
	dup2(stdin_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
	dup2(null_fd, STDERR_FILENO);
	execv(getenv(PROGRAM_ENV), argv);
	_exit(127);
}

void
soak_process_start(struct soak_process *process, const char *dir, char *const *ports)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	process->pid = fork();
	assert_true(process->pid >= 0);
	if (process->pid == 0)
		exec_backend(dir, ports, fds[0]);
	close(fds[0]);
	process->stdin_fd = fds[1];
}

void
soak_process_kill(struct soak_process *process)
{
	int status;

	assert_int_equal(kill(process->pid, SIGKILL), 0);
	assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(process->stdin_fd);
}

void
soak_process_quit(struct soak_process *process)
{
	int status;

	assert_int_equal(write(process->stdin_fd, "quit\n", 5), 5);
	assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
	assert_int_equal(status, 0);
	close(process->stdin_fd);
}

void
soak_process_remove_dir(const char *dir)
{
	static const char *const folders[] = { "/dpdk/rte", "/dpdk", "" };
	char path[96];
	unsigned int i;

	for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, folders[i]);
		assert_int_equal(rmdir(path), 0);
	}
}
