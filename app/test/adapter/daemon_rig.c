/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon_rig.h"
#include "test.h"

/* The program under test; the tests are skipped where nobody says which. */
static const char *
program(void)
{
	const char *path = g_getenv("VHOST_PCI_DAEMON");

	if (path == NULL) {
		print_message("# VHOST_PCI_DAEMON does not say which program\n");
		skip();
	}
	return path;
}

/* Run the program to its end, with these arguments: what it prints, and how it exits. */
int
daemon_run_once(char *text, size_t text_bytes, const char *const *args)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *out = NULL, *err = NULL;
	int status;

	g_ptr_array_add(argv, g_strdup(program()));
	for (; *args != NULL; args++)
		g_ptr_array_add(argv, g_strdup(*args));
	g_ptr_array_add(argv, NULL);
	assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL,
			&out, &err, &status, NULL));
	snprintf(text, text_bytes, "%s%s", out, err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A socket on which a service manager is told that the daemon is up (sd_notify(3)). */
static int
notify_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	/* for a daemon that is another user */
	assert_int_equal(chmod(path, 0777), 0);
	return fd;
}

static void
notify_wait(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char text[64] = "";

	assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "READY=1");
	close(fd);
}

/* For the child: no daemon outlives its test, however that ends. */
static void
die_with_parent(gpointer data)
{
	(void)data;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void
daemon_start(struct daemon_rig *rig, const char *const *more)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *notify_path = g_build_filename(rig->dir, "notify.sock", NULL);
	g_auto(GStrv) env = g_environ_setenv(g_get_environ(), "NOTIFY_SOCKET", notify_path, TRUE);
	int notify = notify_listen(notify_path);

	rig->vhost_path = g_build_filename(rig->dir, "vhost.sock", NULL);
	rig->status_path = g_build_filename(rig->dir, "status.sock", NULL);
	g_ptr_array_add(argv, g_strdup(program()));
	g_ptr_array_add(argv, g_strdup_printf("--listen=%s", rig->vhost_path));
	g_ptr_array_add(argv, g_strdup_printf("--socket-dir=%s", rig->dir));
	g_ptr_array_add(argv, g_strdup_printf("--status=%s", rig->status_path));
	g_ptr_array_add(argv, g_strdup("--grace=0"));
	g_ptr_array_add(argv, g_strdup("--linger=0"));
	for (; more != NULL && *more != NULL; more++)
		g_ptr_array_add(argv, g_strdup(*more));
	g_ptr_array_add(argv, NULL);
	assert_true(g_spawn_async(NULL, (char **)argv->pdata, env,
			G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL |
					G_SPAWN_STDERR_TO_DEV_NULL,
			die_with_parent, NULL, &rig->pid, NULL));
	notify_wait(notify);
}

/* End the daemon in good order. */
void
daemon_stop(struct daemon_rig *rig)
{
	int status;

	assert_int_equal(kill(rig->pid, SIGTERM), 0);
	assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
	assert_int_equal(status, 0);
	assert_int_not_equal(access(rig->vhost_path, F_OK), 0);
	assert_int_not_equal(access(rig->status_path, F_OK), 0);
	if (rig->qmp >= 0)
		close(rig->qmp);
	if (rig->qmp_listen >= 0)
		close(rig->qmp_listen);
	g_string_free(rig->in, TRUE);
	g_free(rig->vhost_path);
	g_free(rig->status_path);
	g_free(rig->qmp_path);
	test_dir_remove(rig->dir);
}

void
daemon_rig_init(struct daemon_rig *rig)
{
	*rig = (struct daemon_rig){ .dir = test_dir_make(), .qmp_listen = -1, .qmp = -1 };
	rig->in = g_string_new(NULL);
}

void
daemon_open_frontend(const struct daemon_rig *rig, struct tfe_dev *dev)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->vhost_path;
	conf.mem_bytes = 4 * MB;
	conf.receiveq_size = 16;
	conf.transmitq_size = 16;
	assert_int_equal(tfe_dev_open(dev, &conf), 0);
}
