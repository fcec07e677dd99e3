/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "daemon_rig.h"
#include "test.h"
#include "test_util.h"
#include "tfe_dev.h"
#include "tfe_req.h"
#include "vfu_client.h"
#include "vhost_pci_adapter.h"

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

/* Accept the daemon, which begins to negotiate. */
static void
qmp_greet(struct daemon_rig *rig)
{
	struct pollfd pfd = { .fd = rig->qmp_listen, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, TIMEOUT_MS), 1);
	rig->qmp = accept4(rig->qmp_listen, NULL, NULL, SOCK_CLOEXEC);
	assert_true(rig->qmp >= 0);
	qmp_write(rig, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	qmp_expect(rig, STRINGS("\"execute\":\"qmp_capabilities\""));
}

/* Accept the daemon, and negotiate. */
static void
qmp_accept(struct daemon_rig *rig)
{
	qmp_greet(rig);
	qmp_write(rig, "{\"return\": {}, \"id\": \"qmp_capabilities\"}\r\n");
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
	assert_int_equal(RUN("--queues=2"), 1);
	assert_non_null(strstr(text, "--queues is of an endpoint"));
	assert_int_equal(RUN("--no-log"), 1);
	assert_non_null(strstr(text, "--no-log is of an endpoint"));
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
	/* What the command line says of an endpoint is of its own, not of the file's. */
	assert_true(g_file_set_contents(path, "[endpoint a]\nlisten=a\n", -1, NULL));
	assert_int_equal(RUN(option, "--qmp=q"), 1);
	assert_non_null(strstr(text, "--qmp is of an endpoint"));
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
	daemon_rig_init(&rig);
	path = g_build_filename(rig.dir, "config", NULL);
	option = g_strdup_printf("--config=%s", path);
	config = g_strdup_printf("[daemon]\nlog-level=debug\n[endpoint blue]\nlisten=%s/blue.sock\n"
				 "socket-dir=%s\nqueues=2\nrequire-seals=true\n"
				 "[endpoint green]\nconnect=%s/green.sock\nsocket-dir=%s\n",
			rig.dir, rig.dir, rig.dir, rig.dir);
	assert_true(g_file_set_contents(path, config, -1, NULL));
	more[0] = option;
	daemon_start(&rig, more);
	daemon_open_frontend(&rig, &dev);
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
	daemon_rig_init(&rig);
	qmp_listen(&rig);
	option = g_strdup_printf("--qmp=%s", rig.qmp_path);
	more[0] = option;
	daemon_start(&rig, more);
	qmp_accept(&rig);
	daemon_open_frontend(&rig, &first);
	path = g_build_filename(rig.dir, "vpci-0.sock", NULL);
	qmp_expect(&rig,
			STRINGS("\"execute\":\"device_add\"", "\"driver\":\"vfio-user-pci\"",
					"\"id\":\"vpci-0\"", "\"bus\":\"rp0\"", path));
	assert_int_equal(vfc_connect(&machine, path), 0);
	assert_int_equal(vfc_plug(&machine), 0);
	qmp_write(&rig, "{\"return\": {}, \"id\": \"vpci-0\"}\r\n");

	/* a second one waits for the only bus */
	daemon_open_frontend(&rig, &second);
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
	daemon_rig_init(&rig);
	qmp_listen(&rig);
	option = g_strdup_printf("--qmp=%s", rig.qmp_path);
	more[0] = option;
	daemon_start(&rig, more);
	qmp_accept(&rig);
	daemon_open_frontend(&rig, &dev);
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
	daemon_open_frontend(&rig, &dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	qmp_write(&rig, duplicate);
	qmp_expect(&rig, STRINGS("\"execute\":\"qom-get\""));
	qmp_write(&rig, "{\"return\": \"virtio-net-pci\", \"id\": \"vpci-0\"}\r\n");
	tfe_dev_close(&dev);
	daemon_open_frontend(&rig, &dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	qmp_write(&rig, duplicate);
	qmp_expect(&rig, STRINGS("\"execute\":\"qom-get\""));
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* The daemon ends: a machine that is told so has the time to let go, whoever else is not told. */
static void
test_qmp_stop(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	g_autofree char *path = NULL, *option = NULL, *config = NULL, *listen_path = NULL;
	const char *more[2] = { NULL };
	struct daemon_rig rig;
	struct tfe_dev dev;
	struct vfc machine;
	int status;

	(void)state;
	daemon_rig_init(&rig);
	qmp_listen(&rig);
	path = g_build_filename(rig.dir, "config", NULL);
	listen_path = g_build_filename(rig.dir, "blue.sock", NULL);
	option = g_strdup_printf("--config=%s", path);
	config = g_strdup_printf("[endpoint blue]\nlisten=%s\nsocket-dir=%s\nqmp=%s\ngrace=0\n",
			listen_path, rig.dir, rig.qmp_path);
	assert_true(g_file_set_contents(path, config, -1, NULL));
	more[0] = option;
	/* that of the command line is one whose adapters somebody else plugs */
	daemon_start(&rig, more);
	qmp_accept(&rig);
	conf.path = listen_path;
	conf.mem_bytes = 4 * MB;
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\"", "\"id\":\"blue-0\""));
	g_free(path);
	path = g_build_filename(rig.dir, "blue-0.sock", NULL);
	assert_int_equal(vfc_connect(&machine, path), 0);
	assert_int_equal(vfc_plug(&machine), 0);
	qmp_write(&rig, "{\"return\": {}, \"id\": \"blue-0\"}\r\n");

	assert_int_equal(kill(rig.pid, SIGTERM), 0);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_del\"", "\"id\":\"blue-0\""));
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, TIMEOUT_MS), 0);
	assert_int_equal(vfc_read32(&machine, VFC_BAR0, 0), VHOST_PCI_ADAPTER_MAGIC);
	assert_int_equal(waitpid(rig.pid, &status, WNOHANG), 0);
	vfc_close(&machine);
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* A machine that sends arrays within arrays: they are none of its answers, and do no harm. */
static void
test_qmp_nested(void **state)
{
	g_autofree char *option = NULL, *nested = g_strnfill(512 * 1024, '[');
	const char *more[2] = { NULL };
	struct daemon_rig rig;
	struct tfe_dev dev;

	(void)state;
	daemon_rig_init(&rig);
	qmp_listen(&rig);
	option = g_strdup_printf("--qmp=%s", rig.qmp_path);
	more[0] = option;
	daemon_start(&rig, more);
	qmp_accept(&rig);
	qmp_write(&rig, nested);
	qmp_write(&rig, "\r\n");
	daemon_open_frontend(&rig, &dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\"", "\"id\":\"vpci-0\""));
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

/* A machine that sends fds along with its answers: nothing waits for their last close. */
static void
test_qmp_lingering_socket(void **state)
{
	static char answer[] = "{\"return\": {}, \"id\": \"qmp_capabilities\"}\r\n";
	struct iovec part = { answer, sizeof(answer) - 1 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .align = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	g_autofree char *option = NULL;
	const char *more[2] = { NULL };
	int fd = test_lingering_socket();
	struct daemon_rig rig;
	struct tfe_dev dev;

	(void)state;
	daemon_rig_init(&rig);
	qmp_listen(&rig);
	option = g_strdup_printf("--qmp=%s", rig.qmp_path);
	more[0] = option;
	daemon_start(&rig, more);
	qmp_greet(&rig);
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	message.msg_control = &control;
	message.msg_controllen = sizeof(control);
	assert_int_equal(sendmsg(rig.qmp, &message, MSG_NOSIGNAL), sizeof(answer) - 1);
	daemon_open_frontend(&rig, &dev);
	qmp_expect(&rig, STRINGS("\"execute\":\"device_add\""));
	assert_false(test_socket_lingers(fd));
	close(fd);
	tfe_dev_close(&dev);
	daemon_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_command_line),
	cmocka_unit_test(test_config_file),
	cmocka_unit_test(test_status),
	cmocka_unit_test(test_qmp),
	cmocka_unit_test(test_qmp_name_is_taken),
	cmocka_unit_test(test_qmp_stop),
	cmocka_unit_test(test_qmp_nested),
	cmocka_unit_test(test_qmp_lingering_socket),
};

REGISTER_TEST_GROUP(daemon_autotest, tests, NULL, NULL);
