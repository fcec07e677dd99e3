/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The daemon vhost-pci-adapter.
 */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib-unix.h>

#include "keeper.h"
#include "options.h"
#include "plug.h"
#include "status.h"
#include "watch.h"

/** How long machines have to let go of their adapters when the daemon ends. */
#define STOP_MS 10000u

/** How often is looked whether they have. */
#define STOP_LOOK_MS 50u

/** The daemon. */
struct daemon {
	GMainLoop *loop;
	GHashTable *plugs; /**< of struct plug, by the path of the QMP socket, "" for none */
	GPtrArray *endpoints;
	GPtrArray *awaited; /**< those of endpoints whose machines are told to let go */
	struct status *status;
	GSource *look;
	int64_t stopping_since; /**< 0: it does not stop */
};

static enum vhost_pci_log_level log_level;
static bool log_to_journal;

static void log_sink(enum vhost_pci_log_level level, const char *format, va_list args)
		G_GNUC_PRINTF(2, 0);

static void
log_sink(enum vhost_pci_log_level level, const char *format, va_list args)
{
	/* priorities of syslog, which the journal reads from a line's beginning */
	static const int priorities[] = { 3, 4, 5, 6, 7 };

	if (level > log_level)
		return;
	if (log_to_journal)
		fprintf(stderr, "<%d>", priorities[level]);
	else
		fputs("vhost-pci-adapter: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

static bool
become_user(const char *name)
{
	const struct passwd *user = getpwnam(name);

	if (user == NULL) {
		fprintf(stderr, "vhost-pci-adapter: %s: no such user\n", name);
		return false;
	}
	if (initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
			setuid(user->pw_uid) < 0) {
		fprintf(stderr, "vhost-pci-adapter: can't become %s: %s\n", name, strerror(errno));
		return false;
	}
	return true;
}

/* Many front-ends need many fds; nothing here needs new privileges. */
static void
prepare_process(void)
{
	struct rlimit limit;

	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Tell a service manager (sd_notify(3)), if there is one. */
static void
notify_manager(const char *text)
{
	const char *path = g_getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len;
	int fd;

	if (path == NULL || strlen(path) >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, strlen(path));
	len = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr, len);
	close(fd);
}

static struct plug *
daemon_plug(struct daemon *daemon, const struct options_endpoint *options)
{
	const char *key = options->qmp_path != NULL ? options->qmp_path : "";
	struct plug *plug = g_hash_table_lookup(daemon->plugs, key);

	/* a QMP socket takes one connection: endpoints of one machine share it */
	if (plug == NULL) {
		plug = plug_create(options->qmp_path, options->buses);
		g_hash_table_insert(daemon->plugs, g_strdup(key), plug);
	}
	return plug;
}

static bool
daemon_start(struct daemon *daemon, const struct options *options)
{
	for (unsigned int i = 0; i < options->endpoints->len; i++) {
		const struct options_endpoint *oe = g_ptr_array_index(options->endpoints, i);
		struct endpoint *endpoint;
		struct plug *plug;

		if (g_mkdir_with_parents(oe->config.socket_dir, 0750) < 0) {
			fprintf(stderr, "vhost-pci-adapter: %s: %s\n", oe->config.socket_dir,
					strerror(errno));
			return false;
		}
		if (oe->config.irq == VFU_PCI_IRQ_MSIX)
			vhost_pci_log(VHOST_PCI_LOG_WARNING,
					"%s: adapters have MSI-X: do not unplug them while their "
					"machine runs, QEMU may abort",
					oe->config.name);
		plug = daemon_plug(daemon, oe);
		if (endpoint_create(&oe->config, &plug_ops, plug, &endpoint) < 0)
			return false;
		g_ptr_array_add(daemon->endpoints, endpoint);
		/* nobody waits for somebody to type */
		if (plug_is_automatic(plug))
			g_ptr_array_add(daemon->awaited, endpoint);
	}
	if (options->status_path != NULL) {
		int error = status_create(options->status_path, daemon->endpoints, &daemon->status);

		if (error < 0) {
			fprintf(stderr, "vhost-pci-adapter: %s: %s\n", options->status_path,
					strerror(-error));
			return false;
		}
	}
	return true;
}

static void
count_attached(void *opaque, const struct adapter *adapter)
{
	unsigned int *nb = opaque;

	*nb += adapter_is_attached(adapter);
}

/* Look whether all machines have let go, and end then or when the time is over. */
static void
daemon_look(void *opaque)
{
	struct daemon *daemon = opaque;
	unsigned int nb = 0;

	watch_stop(&daemon->look);
	for (unsigned int i = 0; i < daemon->awaited->len; i++)
		endpoint_foreach_adapter(g_ptr_array_index(daemon->awaited, i), count_attached,
				&nb);
	if (nb == 0 || g_get_monotonic_time() - daemon->stopping_since > STOP_MS * 1000)
		g_main_loop_quit(daemon->loop);
	else
		daemon->look = watch_timer(STOP_LOOK_MS, daemon_look, daemon);
}

/* SIGTERM, SIGINT: unplug all adapters first; the second time at once. */
static gboolean
daemon_stop(gpointer data)
{
	struct daemon *daemon = data;

	if (daemon->stopping_since != 0) {
		g_main_loop_quit(daemon->loop);
		return G_SOURCE_CONTINUE;
	}
	daemon->stopping_since = g_get_monotonic_time();
	notify_manager("STOPPING=1");
	for (unsigned int i = 0; i < daemon->endpoints->len; i++)
		endpoint_retire(g_ptr_array_index(daemon->endpoints, i));
	daemon_look(daemon);
	return G_SOURCE_CONTINUE;
}

static int
daemon_run(const struct options *options)
{
	struct daemon daemon = {
		.loop = g_main_loop_new(NULL, FALSE),
		.plugs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
				(GDestroyNotify)plug_destroy),
		.endpoints = g_ptr_array_new_with_free_func((GDestroyNotify)endpoint_destroy),
		.awaited = g_ptr_array_new(),
	};
	bool started;
	int error;

	error = keeper_start();
	if (error < 0)
		vhost_pci_log(VHOST_PCI_LOG_WARNING, "no keeper of connections: %s",
				strerror(-error));
	g_unix_signal_add(SIGTERM, daemon_stop, &daemon);
	g_unix_signal_add(SIGINT, daemon_stop, &daemon);
	started = daemon_start(&daemon, options);
	if (started) {
		notify_manager("READY=1");
		g_main_loop_run(daemon.loop);
	}
	status_destroy(daemon.status);
	watch_stop(&daemon.look);
	g_ptr_array_free(daemon.awaited, TRUE);
	g_ptr_array_free(daemon.endpoints, TRUE);
	g_hash_table_destroy(daemon.plugs);
	g_main_loop_unref(daemon.loop);
	return started ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
dump(const char *path)
{
	int error = status_print(path);

	if (error < 0)
		fprintf(stderr, "vhost-pci-adapter: %s: %s\n", path, strerror(-error));
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	struct options options;
	int ret;

	if (!options_parse(&options, &argc, &argv, &error)) {
		fprintf(stderr, "vhost-pci-adapter: %s\n", error->message);
		options_clear(&options);
		return EXIT_FAILURE;
	}
	log_level = options.log_level;
	log_to_journal = g_getenv("JOURNAL_STREAM") != NULL;
	vhost_pci_log_set_sink(log_sink);
	prepare_process();
	if (options.version) {
		puts("vhost-pci-adapter " VHOST_PCI_VERSION);
		ret = EXIT_SUCCESS;
	} else if (options.dump) {
		ret = dump(options.status_path);
	} else if (options.user != NULL && !become_user(options.user)) {
		ret = EXIT_FAILURE;
	} else {
		ret = daemon_run(&options);
	}
	options_clear(&options);
	return ret;
}
