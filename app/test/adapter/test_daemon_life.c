/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon_rig.h"
#include "test.h"
#include "tfe_req.h"
#include "vfu_client.h"
#include "vhost_pci_transport_unix.h"

#define KILL_ROUNDS 200u
/** Pages that a daemon may grow by in most of these rounds: less than one in each. */
#define KILL_PAGES_MAX 64u

/* Killed at any time: the next one takes the place of what it left behind. */
static void
test_killed(void **state)
{
	struct daemon_rig rig;
	struct tfe_dev dev;
	int status;

	(void)state;
	daemon_rig_init(&rig);
	for (unsigned int i = 0; i < 3; i++) {
		daemon_start(&rig, NULL);
		daemon_open_frontend(&rig, &dev);
		assert_int_equal(kill(rig.pid, SIGKILL), 0);
		assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
		tfe_dev_close(&dev);
		g_free(rig.vhost_path);
		g_free(rig.status_path);
	}
	daemon_start(&rig, NULL);
	daemon_open_frontend(&rig, &dev);
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* The stream ends, and was not reset. */
static void
expect_end(const struct vfc *machine)
{
	struct pollfd pfd = { .fd = machine->fd, .events = POLLIN };
	char byte;

	assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
	assert_int_equal(read(machine->fd, &byte, sizeof(byte)), 0);
}

/*
 * Killed with requests that it has not read, and a client that it has not accepted: machines find
 * the end of the stream, where a reset would make QEMU 11.1 abort.
 */
static void
test_killed_with_requests(void **state)
{
	g_autofree char *path = NULL;
	struct vfc machine, next;
	struct daemon_rig rig;
	struct vfc_msg msg;
	struct tfe_dev dev;
	int status;

	(void)state;
	daemon_rig_init(&rig);
	daemon_start(&rig, NULL);
	daemon_open_frontend(&rig, &dev);
	path = g_build_filename(rig.dir, "vpci-0.sock", NULL);
	while (vfc_connect(&machine, path) < 0)
		;
	assert_int_equal(vfc_plug(&machine), 0);
	assert_int_equal(kill(rig.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(rig.pid, &status, WUNTRACED), rig.pid);
	vfc_msg_init(&msg, VFC_RESET, NULL, 0);
	assert_int_equal(vfc_send(&machine, &msg), 0);
	assert_int_equal(vfc_connect(&next, path), 0);
	assert_int_equal(vfc_send(&next, &msg), 0);
	assert_int_equal(kill(rig.pid, SIGKILL), 0);
	assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
	expect_end(&machine);
	expect_end(&next);
	vfc_close(&machine);
	vfc_close(&next);
	tfe_dev_close(&dev);
	g_free(rig.vhost_path);
	g_free(rig.status_path);
	daemon_start(&rig, NULL);
	daemon_stop(&rig);
}

/** How far a process has come when it is killed. */
enum kill_step {
	KILL_CONNECTED,
	KILL_NEGOTIATED, /**< a front-end only: without memory and rings there is no adapter */
	KILL_COMPLETE,
	KILL_NB,
};

/* Come so far with the front-end. */
static void
front_end_go(const struct daemon_rig *rig, struct tfe_dev *dev, enum kill_step step)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->vhost_path;
	conf.mem_bytes = 4 * MB;
	if (step == KILL_COMPLETE) {
		assert_int_equal(tfe_dev_open(dev, &conf), 0);
		return;
	}
	assert_int_equal(tfe_dev_init(dev, &conf), 0);
	assert_int_equal(tfe_dev_connect(dev), 0);
	if (step == KILL_NEGOTIATED)
		assert_int_equal(tfe_dev_negotiate(dev), 0);
}

/* Come so far with the machine, once there is an adapter. */
static void
machine_go(const struct daemon_rig *rig, struct vfc *machine, enum kill_step step)
{
	g_autofree char *path = g_build_filename(rig->dir, "vpci-0.sock", NULL);
	gint64 end = g_get_monotonic_time() + TIMEOUT_MS * 1000;
	int error;

	do {
		error = vfc_connect(machine, path);
	} while (error < 0 && g_get_monotonic_time() < end);
	assert_int_equal(error, 0);
	if (step == KILL_COMPLETE)
		assert_int_equal(vfc_plug(machine), 0);
}

/* Be a front-end or a machine in a process of its own; it is that far when this returns. */
static pid_t
start_victim(const struct daemon_rig *rig, bool is_front_end, enum kill_step step)
{
	struct tfe_dev dev;
	struct vfc machine;
	char byte = 0;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (is_front_end)
			front_end_go(rig, &dev, step);
		else
			machine_go(rig, &machine, step);
		if (write(fds[1], &byte, sizeof(byte)) != sizeof(byte))
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, sizeof(byte)), sizeof(byte));
	close(fds[0]);
	return pid;
}

static void
kill_victim(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Number of entries of a directory. */
static unsigned int
count_entries(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	unsigned int nb = 0;

	assert_non_null(dir);
	while (g_dir_read_name(dir) != NULL)
		nb++;
	g_dir_close(dir);
	return nb;
}

/** What must not pile up. */
struct daemon_usage {
	unsigned int nb_fds;   /**< with those of its keeper */
	unsigned int nb_files; /**< sockets in the daemon's directory */
	unsigned int nb_pages; /**< resident */
};

static unsigned int
count_process_fds(int pid)
{
	g_autofree char *fds = g_strdup_printf("/proc/%d/fd", pid);

	return count_entries(fds);
}

/* The daemon's child. */
static int
keeper_pid(const struct daemon_rig *rig)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", (int)rig->pid,
			(int)rig->pid);
	g_autofree char *text = NULL;
	int pid;

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_int_equal(sscanf(text, "%d", &pid), 1);
	return pid;
}

static struct daemon_usage
daemon_usage(const struct daemon_rig *rig)
{
	g_autofree char *statm = g_strdup_printf("/proc/%d/statm", (int)rig->pid), *text = NULL;
	struct daemon_usage usage = {
		.nb_fds = count_process_fds((int)rig->pid) + count_process_fds(keeper_pid(rig)),
		.nb_files = count_entries(rig->dir),
	};

	assert_true(g_file_get_contents(statm, &text, NULL, NULL));
	assert_int_equal(sscanf(text, "%*u %u", &usage.nb_pages), 1);
	return usage;
}

/* Wait until the daemon has let go of all that the round has brought. */
static void
wait_fds(const struct daemon_rig *rig, unsigned int nb_fds)
{
	gint64 end = g_get_monotonic_time() + TIMEOUT_MS * 1000;

	while (daemon_usage(rig).nb_fds != nb_fds)
		assert_true(g_get_monotonic_time() < end);
}

/* The front-end is killed: the machine is answered by the daemon as before. */
static void
kill_front_end(const struct daemon_rig *rig, enum kill_step step)
{
	pid_t pid = start_victim(rig, true, step);
	struct vfc machine;

	if (step != KILL_COMPLETE) {
		kill_victim(pid);
		return;
	}
	machine_go(rig, &machine, KILL_COMPLETE);
	kill_victim(pid);
	assert_int_equal(vfc_read32(&machine, VFC_CONFIG, 0), 0x10f01af4);
	vfc_close(&machine);
}

/* The machine is killed: the front-end is answered by the daemon as before. */
static void
kill_machine(const struct daemon_rig *rig, enum kill_step step)
{
	struct tfe_dev dev;
	uint64_t features;

	front_end_go(rig, &dev, KILL_COMPLETE);
	kill_victim(start_victim(rig, false, step));
	assert_int_equal(tfe_req_get_features(&dev.conn, &features), 0);
	tfe_dev_close(&dev);
}

/* Front-ends and machines are killed at each step: the others live, and nothing piles up. */
static void
test_peers_killed(void **state)
{
	struct daemon_usage before, after;
	g_autofree char *status = NULL;
	struct daemon_rig rig;
	char text[16384];

	(void)state;
	daemon_rig_init(&rig);
	daemon_start(&rig, NULL);
	/* whose answer says that the start is over, with what is open meanwhile */
	status = g_strdup_printf("--status=%s", rig.status_path);
	assert_int_equal(RUN("--dump", status), 0);
	before = daemon_usage(&rig);
	for (unsigned int round = 0; round < KILL_ROUNDS; round++) {
		enum kill_step step = round / 2 % KILL_NB;

		if (round % 2 == 0)
			kill_front_end(&rig, step);
		else
			kill_machine(&rig, step);
		wait_fds(&rig, before.nb_fds);
		/* what is allocated once, for the first of all */
		if (round == KILL_ROUNDS / 4)
			before.nb_pages = daemon_usage(&rig).nb_pages;
	}
	after = daemon_usage(&rig);
	assert_int_equal(after.nb_files, before.nb_files);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed for a while */
	assert_in_range(after.nb_pages, 0, before.nb_pages + KILL_PAGES_MAX);
#endif
	daemon_stop(&rig);
}

/* A front-end that comes back again and again finds its adapter, and nothing piles up. */
static void
test_reconnects(void **state)
{
	const char *const more[] = { "--linger=60", NULL };
	struct daemon_usage before = { 0 };
	struct daemon_rig rig;
	struct tfe_dev dev;

	(void)state;
	daemon_rig_init(&rig);
	daemon_start(&rig, more);
	daemon_open_frontend(&rig, &dev);
	for (unsigned int round = 0; round < KILL_ROUNDS; round++) {
		tfe_dev_disconnect(&dev);
		assert_int_equal(tfe_dev_reconnect(&dev), 0);
		if (round == KILL_ROUNDS / 4)
			before = daemon_usage(&rig);
		if (round > KILL_ROUNDS / 4)
			wait_fds(&rig, before.nb_fds);
	}
	assert_int_equal(daemon_usage(&rig).nb_files, before.nb_files);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(daemon_usage(&rig).nb_pages, 0, before.nb_pages + KILL_PAGES_MAX);
#endif
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* With few descriptors it refuses front-ends, lives, and takes them when there is room again. */
static void
test_few_fds(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct daemon_rig rig;
	struct tfe_dev devs[8];
	struct rlimit limit;
	unsigned int nb = 0;

	(void)state;
	daemon_rig_init(&rig);
	daemon_start(&rig, NULL);
	assert_int_equal(prlimit(rig.pid, RLIMIT_NOFILE, NULL, &limit), 0);
	limit.rlim_cur = count_process_fds((int)rig.pid) + 24;
	assert_int_equal(prlimit(rig.pid, RLIMIT_NOFILE, &limit, NULL), 0);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 4 * MB;
	conf.timeout_ms = 500;
	while (nb < G_N_ELEMENTS(devs) && tfe_dev_open(&devs[nb], &conf) == 0)
		nb++;
	assert_in_range(nb, 1, G_N_ELEMENTS(devs) - 1);
	while (nb > 0)
		tfe_dev_close(&devs[--nb]);
	conf.timeout_ms = TIMEOUT_MS;
	assert_int_equal(tfe_dev_open(&devs[0], &conf), 0);
	tfe_dev_close(&devs[0]);
	daemon_stop(&rig);
}

/* Whether the daemon has nothing to do; one whose loop comes by without end always has. */
static bool
is_asleep(const struct daemon_rig *rig)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)rig->pid), *text = NULL;
	const char *name_end;

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	name_end = strrchr(text, ')');
	assert_non_null(name_end);
	return g_str_has_prefix(name_end, ") S");
}

/* Wait until the daemon sleeps with what it can't do. */
static void
wait_asleep(const struct daemon_rig *rig)
{
	gint64 end = g_get_monotonic_time() + TIMEOUT_MS * 1000;

	while (!is_asleep(rig)) {
		assert_true(g_get_monotonic_time() < end);
		g_thread_yield();
	}
}

/* Leave the daemon without any descriptor: none below the lowest one that is not open. */
static void
take_fds(const struct daemon_rig *rig, struct rlimit *before)
{
	struct rlimit limit;
	bool is_open = true;

	assert_int_equal(prlimit(rig->pid, RLIMIT_NOFILE, NULL, before), 0);
	limit = *before;
	for (limit.rlim_cur = 0; is_open; limit.rlim_cur++) {
		g_autofree char *path = g_strdup_printf("/proc/%d/fd/%u", (int)rig->pid,
				(unsigned int)limit.rlim_cur);

		is_open = g_file_test(path, G_FILE_TEST_IS_SYMLINK);
	}
	limit.rlim_cur--;
	assert_int_equal(prlimit(rig->pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* Read to the end. */
static void
expect_status(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	g_autoptr(GString) text = g_string_new(NULL);
	char bytes[512];
	ssize_t nb = 1;

	while (nb > 0) {
		assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
		nb = read(fd, bytes, sizeof(bytes));
		assert_true(nb >= 0);
		g_string_append_len(text, bytes, nb);
	}
	assert_non_null(strstr(text->str, "\"vpci-0\""));
}

/*
 * Without any descriptor left, connections wait at each of its sockets: it sleeps, and takes them
 * when there are some again.
 */
static void
test_no_fds(void **state)
{
	g_autofree char *path = NULL;
	struct tfe_dev dev, next;
	struct daemon_rig rig;
	struct rlimit before;
	struct vfc machine;
	int status;

	(void)state;
	daemon_rig_init(&rig);
	daemon_start(&rig, NULL);
	daemon_open_frontend(&rig, &dev);
	/* its adapter is there */
	machine_go(&rig, &machine, KILL_COMPLETE);
	vfc_close(&machine);
	path = g_build_filename(rig.dir, "vpci-0.sock", NULL);
	take_fds(&rig, &before);

	assert_int_equal(vfc_connect(&machine, path), 0);
	wait_asleep(&rig);
	status = vhost_pci_unix_connect(rig.status_path);
	assert_true(status >= 0);
	wait_asleep(&rig);
	front_end_go(&rig, &next, KILL_CONNECTED);
	wait_asleep(&rig);
	assert_int_equal(prlimit(rig.pid, RLIMIT_NOFILE, &before, NULL), 0);

	assert_int_equal(vfc_plug(&machine), 0);
	expect_status(status);
	assert_int_equal(tfe_dev_negotiate(&next), 0);
	close(status);
	vfc_close(&machine);
	tfe_dev_close(&next);
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* A line of the daemon's status in /proc. */
static void
expect_proc(const struct daemon_rig *rig, const char *line)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)rig->pid), *text = NULL;

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	if (strstr(text, line) == NULL)
		fail_msg("no %s in %s", line, text);
}

/* Without any privilege it does all it does. Root is needed to give them up. */
static void
test_unprivileged(void **state)
{
	const char *const more[] = { "--user=nobody", NULL };
	const struct passwd *nobody = getpwnam("nobody");
	g_autofree char *path = NULL, *uids = NULL;
	struct daemon_rig rig;
	struct vfc machine;
	struct tfe_dev dev;
	struct stat info;

	(void)state;
	if (geteuid() != 0 || nobody == NULL) {
		skip();
		return;
	}
	daemon_rig_init(&rig);
	assert_int_equal(chown(rig.dir, nobody->pw_uid, nobody->pw_gid), 0);
	daemon_start(&rig, more);
	uids = g_strdup_printf("Uid:\t%u\t%u\t%u\t%u\n", nobody->pw_uid, nobody->pw_uid,
			nobody->pw_uid, nobody->pw_uid);
	expect_proc(&rig, uids);
	expect_proc(&rig, "CapEff:\t0000000000000000\n");
	expect_proc(&rig, "CapPrm:\t0000000000000000\n");
	expect_proc(&rig, "NoNewPrivs:\t1\n");
	daemon_open_frontend(&rig, &dev);
	machine_go(&rig, &machine, KILL_COMPLETE);
	assert_int_equal(vfc_read32(&machine, VFC_CONFIG, 0), 0x10f01af4);
	path = g_build_filename(rig.dir, "vpci-0.sock", NULL);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_uid, nobody->pw_uid);
	vfc_close(&machine);
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_killed),
	cmocka_unit_test(test_killed_with_requests),
	cmocka_unit_test(test_peers_killed),
	cmocka_unit_test(test_reconnects),
	cmocka_unit_test(test_few_fds),
	cmocka_unit_test(test_no_fds),
	cmocka_unit_test(test_unprivileged),
};

REGISTER_TEST_GROUP(daemon_life_autotest, tests, NULL, NULL);
