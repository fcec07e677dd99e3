/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "loop_thread.h"
#include "test.h"
#include "tfe_dev.h"
#include "tfe_req.h"
#include "vfu_client.h"

#define MB UINT64_C(0x100000)

#define TIMEOUT_MS 5000

#define KILL_ROUNDS 200u
/** Pages that a daemon may grow by in most of these rounds: less than one in each. */
#define KILL_PAGES_MAX 64u

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

/* The program under test; the tests are skipped where nobody says which. */
static const char *
program(void)
{
	const char *path = g_getenv("VHOST_PCI_DAEMON");

	if (path == NULL)
		skip();
	return path;
}

/* Run the program to its end, with these arguments: what it prints, and how it exits. */
static int
run(char *text, size_t text_bytes, const char *const *args)
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

/** Strings, ended by NULL. */
#define STRINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/** run() with these arguments, into the array "text". */
#define RUN(...) run(text, sizeof(text), STRINGS(__VA_ARGS__))

/* A socket on which a service manager is told that the daemon is up (sd_notify(3)). */
static int
notify_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
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

/* Start the daemon with what all tests need, and more; wait until it is up. */
static void
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
			NULL, NULL, &rig->pid, NULL));
	notify_wait(notify);
}

/* End the daemon in good order. */
static void
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

static void
rig_init(struct daemon_rig *rig)
{
	*rig = (struct daemon_rig){ .dir = test_dir_make(), .qmp_listen = -1, .qmp = -1 };
	rig->in = g_string_new(NULL);
}

/* Be a QMP server. */
static void
qmp_listen(struct daemon_rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	rig->qmp_path = g_build_filename(rig->dir, "qmp.sock", NULL);
	g_strlcpy(addr.sun_path, rig->qmp_path, sizeof(addr.sun_path));
	rig->qmp_listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(rig->qmp_listen, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(rig->qmp_listen, 1), 0);
}

static void
qmp_write(struct daemon_rig *rig, const char *text)
{
	assert_int_equal(send(rig->qmp, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read a line that must have all these words in it. */
static void
qmp_expect(struct daemon_rig *rig, const char *const *words)
{
	struct pollfd pfd = { .fd = rig->qmp, .events = POLLIN };
	char bytes[1024], *end;

	while ((end = strchr(rig->in->str, '\n')) == NULL) {
		ssize_t nb;

		assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
		nb = read(rig->qmp, bytes, sizeof(bytes));
		assert_true(nb > 0);
		g_string_append_len(rig->in, bytes, nb);
	}
	*end = '\0';
	for (; *words != NULL; words++) {
		if (strstr(rig->in->str, *words) == NULL)
			fail_msg("%s is not in %s", *words, rig->in->str);
	}
	g_string_erase(rig->in, 0, end - rig->in->str + 1);
}

/* Accept the daemon, and negotiate. */
static void
qmp_accept(struct daemon_rig *rig)
{
	struct pollfd pfd = { .fd = rig->qmp_listen, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
	rig->qmp = accept4(rig->qmp_listen, NULL, NULL, SOCK_CLOEXEC);
	assert_true(rig->qmp >= 0);
	qmp_write(rig, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	qmp_expect(rig, STRINGS("\"execute\":\"qmp_capabilities\""));
	qmp_write(rig, "{\"return\": {}, \"id\": \"qmp_capabilities\"}\r\n");
}

static void
open_frontend(const struct daemon_rig *rig, struct tfe_dev *dev)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->vhost_path;
	conf.mem_bytes = 4 * MB;
	conf.receiveq_size = 16;
	conf.transmitq_size = 16;
	assert_int_equal(tfe_dev_open(dev, &conf), 0);
}

/* Command lines that are wrong say what is wrong; those that are right do what they say. */
static void
test_command_line(void **state)
{
	char text[8192];

	(void)state;
	assert_int_equal(RUN("--help"), 0);
	assert_non_null(strstr(text, "--peer-memory=FILE"));
	assert_int_equal(RUN("--version"), 0);
	assert_ptr_equal(strstr(text, "vhost-pci-adapter "), text);
	assert_int_equal(RUN("--log-level=debug"), 1);
	assert_non_null(strstr(text, "nothing to do"));
	assert_int_equal(RUN("--listen=a", "--connect=b"), 1);
	assert_non_null(strstr(text, "one of listen and connect"));
	assert_int_equal(RUN("--listen=a", "--queues=129"), 1);
	assert_non_null(strstr(text, "queues: 129 is not from 1 to 128"));
	assert_int_equal(RUN("--listen=a", "--queues=0"), 1);
	assert_int_equal(RUN("--listen=a", "--interrupts=intx"), 1);
	assert_non_null(strstr(text, "msi, msix, none"));
	assert_int_equal(RUN("--listen=a", "--interrupts=msix", "--qmp=q"), 1);
	assert_non_null(strstr(text, "not msix with qmp"));
	assert_int_equal(RUN("--listen=a", "--features=0x40000000"), 1);
	assert_non_null(strstr(text, "can't be offered"));
	assert_int_equal(RUN("--listen=a", "--protocol-features=1x"), 1);
	assert_non_null(strstr(text, "is no number"));
	assert_int_equal(RUN("--listen=a", "--virtio-id=2"), 1);
	assert_int_equal(RUN("--listen=a", "more"), 1);
	assert_int_equal(RUN("--no-such-option"), 1);
	assert_int_equal(RUN("--dump"), 1);
	assert_int_equal(RUN("--dump", "--status=/nonexistent/s"), 1);
	assert_int_equal(RUN("--config=/nonexistent/c"), 1);
}

/* Configuration files: what is not known is told, with its place. */
static void
test_config_file(void **state)
{
	static const struct {
		const char *file;
		const char *message;
	} wrong[] = {
		{ "[daemons]\n", "[daemons]: neither" },
		{ "[daemon]\nlisten=a\n", "[daemon] listen: no such setting" },
		{ "[endpoint a]\nlisten=a\nport=3\n", "[endpoint a] port: no such setting" },
		{ "[endpoint a]\nlisten=a\nqueues=many\n", "queues" },
		{ "[endpoint a]\nlisten=a\nqmp=q\ninterrupts=msix\n", "not msix with qmp" },
		{ "[endpoint a]\n", "one of listen and connect" },
		{ "no group\n", "" },
	};
	char *dir = test_dir_make(), text[4096];
	g_autofree char *path = g_build_filename(dir, "config", NULL);
	g_autofree char *option = g_strdup_printf("--config=%s", path);

	(void)state;
	for (unsigned int i = 0; i < G_N_ELEMENTS(wrong); i++) {
		assert_true(g_file_set_contents(path, wrong[i].file, -1, NULL));
		assert_int_equal(RUN(option), 1);
		assert_non_null(strstr(text, wrong[i].message));
	}
	test_dir_remove(dir);
}

/* Endpoints of a file and of the command line; the status shows them all. */
static void
test_status(void **state)
{
	struct daemon_rig rig;
	g_autofree char *path = NULL, *option = NULL, *config = NULL, *status = NULL;
	const char *more[2] = { NULL };
	struct tfe_dev dev;
	char text[16384];

	(void)state;
	rig_init(&rig);
	path = g_build_filename(rig.dir, "config", NULL);
	option = g_strdup_printf("--config=%s", path);
	config = g_strdup_printf("[daemon]\nlog-level=debug\n[endpoint blue]\nlisten=%s/blue.sock\n"
				 "socket-dir=%s\nqueues=2\nrequire-seals=true\n"
				 "[endpoint green]\nconnect=%s/green.sock\nsocket-dir=%s\n",
			rig.dir, rig.dir, rig.dir, rig.dir);
	assert_true(g_file_set_contents(path, config, -1, NULL));
	more[0] = option;
	daemon_start(&rig, more);
	open_frontend(&rig, &dev);
	status = g_strdup_printf("--status=%s", rig.status_path);
	assert_int_equal(RUN("--dump", status), 0);
	assert_non_null(strstr(text, "\"name\" : \"blue\""));
	assert_non_null(strstr(text, "\"name\" : \"green\""));
	assert_non_null(strstr(text, "\"name\" : \"vpci\""));
	assert_non_null(strstr(text, "\"complete\" : true"));
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* A front-end's adapter is plugged and unplugged by QMP. */
static void
test_qmp(void **state)
{
	struct daemon_rig rig;
	g_autofree char *option = NULL, *path = NULL;
	const char *more[3] = { NULL, "--bus=rp0", NULL };
	struct tfe_dev first, second;
	struct vfc machine;

	(void)state;
	rig_init(&rig);
	qmp_listen(&rig);
	option = g_strdup_printf("--qmp=%s", rig.qmp_path);
	more[0] = option;
	daemon_start(&rig, more);
	qmp_accept(&rig);
	open_frontend(&rig, &first);
	path = g_build_filename(rig.dir, "vpci-0.sock", NULL);
	qmp_expect(&rig,
			STRINGS("\"execute\":\"device_add\"", "\"driver\":\"vfio-user-pci\"",
					"\"id\":\"vpci-0\"", "\"bus\":\"rp0\"", path));
	assert_int_equal(vfc_connect(&machine, path), 0);
	assert_int_equal(vfc_plug(&machine), 0);
	qmp_write(&rig, "{\"return\": {}, \"id\": \"vpci-0\"}\r\n");

	/* a second one waits for the only bus */
	open_frontend(&rig, &second);
	tfe_dev_close(&first);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_del\"", "\"id\":\"vpci-0\""));
	qmp_write(&rig, "{\"return\": {}, \"id\": \"vpci-0\"}\r\n");
	vfc_close(&machine);
	qmp_write(&rig,
			"{\"event\": \"DEVICE_DELETED\", \"data\": {\"path\": \"/p/vpci-0\"}}\r\n"
			"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"vpci-0\"}}\r\n");
	qmp_expect(&rig,
			STRINGS("\"execute\":\"device_add\"", "\"id\":\"vpci-1\"",
					"\"bus\":\"rp0\""));
	qmp_write(&rig,
			"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, "
			"\"id\": \"vpci-1\"}\r\n");

	/* the machine is another: it gets the adapter anew */
	close(rig.qmp);
	qmp_accept(&rig);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\"", "\"id\":\"vpci-1\""));
	/* nonsense, of which nothing comes */
	qmp_write(&rig,
			"\r\n[]\r\n{\r\n{\"event\": 5}\r\n{\"id\": {}, \"return\": 1}\r\n"
			"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": 5}}\r\n");
	tfe_dev_close(&second);
	daemon_stop(&rig);
}

/* The machine has a device of this name: what is done depends on what it is. */
static void
test_qmp_name_is_taken(void **state)
{
	static const char duplicate[] =
			"{\"error\": {\"class\": \"GenericError\", "
			"\"desc\": \"Duplicate device ID 'vpci-0'\"}, \"id\": \"vpci-0\"}\r\n";
	g_autofree char *option = NULL, *path = NULL;
	const char *more[2] = { NULL };
	struct daemon_rig rig;
	struct tfe_dev dev;
	struct vfc machine;

	(void)state;
	rig_init(&rig);
	qmp_listen(&rig);
	option = g_strdup_printf("--qmp=%s", rig.qmp_path);
	more[0] = option;
	daemon_start(&rig, more);
	qmp_accept(&rig);
	open_frontend(&rig, &dev);
	path = g_build_filename(rig.dir, "vpci-0.sock", NULL);

	/* what an earlier daemon has left makes room */
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	qmp_write(&rig, duplicate);
	qmp_expect(&rig, STRINGS("\"execute\":\"qom-get\"", "/machine/peripheral/vpci-0"));
	qmp_write(&rig, "{\"return\": \"vfio-user-pci\", \"id\": \"vpci-0\"}\r\n");
	qmp_expect(&rig, STRINGS("\"execute\":\"device_del\"", "\"id\":\"vpci-0\""));
	qmp_write(&rig,
			"{\"return\": {}, \"id\": \"vpci-0\"}\r\n"
			"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"vpci-0\"}}\r\n");
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	assert_int_equal(vfc_connect(&machine, path), 0);
	assert_int_equal(vfc_plug(&machine), 0);
	qmp_write(&rig, "{\"return\": {}, \"id\": \"vpci-0\"}\r\n");

	/* QMP is lost and comes back, the machine is the same: the device is plugged still */
	close(rig.qmp);
	qmp_accept(&rig);
	tfe_dev_close(&dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_del\""));
	vfc_close(&machine);
	qmp_write(&rig,
			"{\"return\": {}, \"id\": \"vpci-0\"}\r\n"
			"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"vpci-0\"}}\r\n");

	/* what is no adapter at all is left alone */
	open_frontend(&rig, &dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	qmp_write(&rig, duplicate);
	qmp_expect(&rig, STRINGS("\"execute\":\"qom-get\""));
	qmp_write(&rig, "{\"return\": \"virtio-net-pci\", \"id\": \"vpci-0\"}\r\n");
	tfe_dev_close(&dev);
	open_frontend(&rig, &dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	qmp_write(&rig, duplicate);
	qmp_expect(&rig, STRINGS("\"execute\":\"qom-get\""));
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* Killed at any time: the next one takes the place of what it left behind. */
static void
test_killed(void **state)
{
	struct daemon_rig rig;
	struct tfe_dev dev;
	int status;

	(void)state;
	rig_init(&rig);
	for (unsigned int i = 0; i < 3; i++) {
		daemon_start(&rig, NULL);
		open_frontend(&rig, &dev);
		assert_int_equal(kill(rig.pid, SIGKILL), 0);
		assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
		tfe_dev_close(&dev);
		g_free(rig.vhost_path);
		g_free(rig.status_path);
	}
	daemon_start(&rig, NULL);
	open_frontend(&rig, &dev);
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
	rig_init(&rig);
	daemon_start(&rig, NULL);
	open_frontend(&rig, &dev);
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
	unsigned int nb_fds;
	unsigned int nb_files; /**< sockets in the daemon's directory */
	unsigned int nb_pages; /**< resident */
};

static struct daemon_usage
daemon_usage(const struct daemon_rig *rig)
{
	g_autofree char *fds = g_strdup_printf("/proc/%d/fd", (int)rig->pid);
	g_autofree char *statm = g_strdup_printf("/proc/%d/statm", (int)rig->pid), *text = NULL;
	struct daemon_usage usage = {
		.nb_fds = count_entries(fds),
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
	rig_init(&rig);
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

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_command_line),
	cmocka_unit_test(test_config_file),
	cmocka_unit_test(test_status),
	cmocka_unit_test(test_qmp),
	cmocka_unit_test(test_qmp_name_is_taken),
	cmocka_unit_test(test_killed),
	cmocka_unit_test(test_killed_with_requests),
	cmocka_unit_test(test_peers_killed),
};

REGISTER_TEST_GROUP(daemon_autotest, tests, NULL, NULL);
