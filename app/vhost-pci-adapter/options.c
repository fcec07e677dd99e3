/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "options.h"

/** Group of the configuration file for the daemon as a whole, and prefix of those of endpoints. */
#define GROUP_DAEMON   "daemon"
#define GROUP_ENDPOINT "endpoint "

/** What the daemon can relay of the protocol: no messages of class X. */
#define PROTOCOL_POSSIBLE (VHOST_PCI_ADAPTER_NET_PROTOCOL | VHOST_USER_PROTOCOL_MASK(CONFIG))

/*
 * HOST_TSO4, TSO6, ECN and UFO: front-ends that send packets to be segmented need an application
 * behind the driver that takes them, which most do not. They are offered where they are asked for.
 */
#define FEATURES_HOST_TSO (UINT64_C(0xf) << 11)

/** What it can't: LOG_ALL and PROTOCOL_FEATURES are its own. */
#define FEATURES_IMPOSSIBLE (UINT64_C(1) << 26 | UINT64_C(1) << 30)

#define DEFAULT_QUEUE_PAIRS   8
#define DEFAULT_MAX_FRONTENDS 256
#define DEFAULT_LINGER_S      10

/** Settings of an endpoint as text, from either source; NULL: not set. */
struct endpoint_text {
	char *listen, *connect, *socket_dir, *peer_memory, *qmp, *bus, *interrupts;
	char *features, *protocol_features, *dialect;
	int queues, max_frontends, linger, virtio_id, reply_timeout, grace;
	gboolean no_log, require_seals;
};

/** A setting of an endpoint, known by the same name on the command line and in the file. */
struct endpoint_setting {
	const char *name;
	GOptionArg type;
	size_t offset;
	const char *help;
	const char *value;
};

#define SETTING(name, type, field, help, value) \
	{ \
		name, G_OPTION_ARG_##type, offsetof(struct endpoint_text, field), help, value \
	}

static const struct endpoint_setting settings[] = {
	SETTING("listen", FILENAME, listen, "Listen for front-ends on a vhost-user socket", "PATH"),
	SETTING("connect", FILENAME, connect, "Connect to a front-end's vhost-user socket", "PATH"),
	SETTING("socket-dir", FILENAME, socket_dir,
			"Make the adapters' vfio-user sockets in a directory", "DIR"),
	SETTING("peer-memory", FILENAME, peer_memory,
			"Make the adapter at once, with this memory file of the front-end", "FILE"),
	SETTING("qmp", FILENAME, qmp, "Plug adapters by this QMP socket", "PATH"),
	SETTING("bus", STRING, bus, "Plug each adapter into one of these buses", "ID[,ID...]"),
	SETTING("interrupts", STRING, interrupts,
			"Interrupts of the adapters: msi (default), msix, none", "TYPE"),
	SETTING("queues", INT, queues, "Queue pairs that are offered (default 8)", "N"),
	SETTING("features", STRING, features, "Virtio features that are offered", "MASK"),
	SETTING("protocol-features", STRING, protocol_features,
			"Protocol features that are offered", "MASK"),
	SETTING("dialect", STRING, dialect, "Take a dialect of vhost-user as well: vhost-pci",
			"NAME"),
	SETTING("max-frontends", INT, max_frontends,
			"Front-ends on a listening socket (default 256)", "N"),
	SETTING("linger", INT, linger,
			"Keep an adapter without its front-end for as long (default 10)",
			"SECONDS"),
	SETTING("reply-timeout", INT, reply_timeout,
			"Limit for a reply of the driver (default 5000)", "MS"),
	SETTING("grace", INT, grace, "Wait after a start before the first adapter (default 2000)",
			"MS"),
	SETTING("virtio-id", INT, virtio_id, "Virtio device type (default 1, network)", "ID"),
	SETTING("no-log", NONE, no_log, "Do not let front-ends be migrated", NULL),
	SETTING("require-seals", NONE, require_seals, "Refuse memory files that can be cut short",
			NULL),
};

static void
endpoint_text_init(struct endpoint_text *text)
{
	*text = (struct endpoint_text){ .queues = -1,
		.max_frontends = -1,
		.linger = -1,
		.virtio_id = -1,
		.reply_timeout = -1,
		.grace = -1 };
}

static void
endpoint_text_clear(struct endpoint_text *text)
{
	g_free(text->listen);
	g_free(text->connect);
	g_free(text->socket_dir);
	g_free(text->peer_memory);
	g_free(text->qmp);
	g_free(text->bus);
	g_free(text->interrupts);
	g_free(text->features);
	g_free(text->protocol_features);
	g_free(text->dialect);
}

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool
fail(GError **error, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
	return false;
}

/* A mask in any base, within what is possible. */
static bool
parse_mask(const char *name, const char *text, uint64_t possible, uint64_t *mask, GError **error)
{
	char *end;

	if (text == NULL)
		return true;
	errno = 0;
	*mask = g_ascii_strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0')
		return fail(error, "%s: '%s' is no number", name, text);
	if (*mask & ~possible)
		return fail(error, "%s: 0x%" G_GINT64_MODIFIER "x can't be offered", name,
				*mask & ~possible);
	return true;
}

static bool
parse_interrupts(const char *text, enum vfu_pci_irq *irq, GError **error)
{
	*irq = VFU_PCI_IRQ_MSI;
	if (text == NULL || strcmp(text, "msi") == 0)
		return true;
	if (strcmp(text, "msix") == 0)
		*irq = VFU_PCI_IRQ_MSIX;
	else if (strcmp(text, "none") == 0)
		*irq = VFU_PCI_IRQ_NONE;
	else
		return fail(error, "interrupts: '%s' is none of msi, msix, none", text);
	return true;
}

/* A number that was set, or its default. */
static bool
parse_number(const char *name, int value, unsigned int limits[3], unsigned int *number,
		GError **error)
{
	*number = value == -1 ? limits[2] : (unsigned int)value;
	if (value < -1 || *number < limits[0] || *number > limits[1])
		return fail(error, "%s: %d is not from %u to %u", name, value, limits[0],
				limits[1]);
	return true;
}

#define NUMBER(name, value, from, to, otherwise, number) \
	parse_number(name, value, (unsigned int[]){ from, to, otherwise }, number, error)

static bool
parse_numbers(const struct endpoint_text *text, struct endpoint_config *config, GError **error)
{
	unsigned int queues, linger, virtio_id;

	if (!NUMBER("queues", text->queues, 1, 128, DEFAULT_QUEUE_PAIRS, &queues) ||
			!NUMBER("max-frontends", text->max_frontends, 1, 4096,
					DEFAULT_MAX_FRONTENDS, &config->max_frontends) ||
			!NUMBER("linger", text->linger, 0, 86400, DEFAULT_LINGER_S, &linger) ||
			!NUMBER("virtio-id", text->virtio_id, 0, UINT16_MAX, 1, &virtio_id) ||
			!NUMBER("reply-timeout", text->reply_timeout, 10, 60000, 5000,
					&config->reply_ms) ||
			!NUMBER("grace", text->grace, 0, 60000, VHOST_PCI_ADAPTER_GRACE_MS,
					&config->grace_ms))
		return false;
	config->nb_vrings = 2 * queues;
	config->linger_ms = linger * 1000;
	config->virtio_id = virtio_id;
	return true;
}

/* Where sockets go when nobody says: what systemd made, or the user's own. */
static char *
default_dir(void)
{
	const char *dir = g_getenv("RUNTIME_DIRECTORY");

	return dir != NULL ? g_strdup(dir)
			   : g_build_filename(g_get_user_runtime_dir(), "vhost-pci", NULL);
}

static void
options_endpoint_free(gpointer data)
{
	struct options_endpoint *endpoint = data;

	for (size_t i = 0; i < G_N_ELEMENTS(endpoint->strings); i++)
		g_free(endpoint->strings[i]);
	g_free(endpoint->qmp_path);
	g_strfreev(endpoint->buses);
	g_free(endpoint);
}

/* Make an endpoint of its settings. */
static bool
add_endpoint(struct options *options, const char *name, const struct endpoint_text *text,
		GError **error)
{
	struct options_endpoint *endpoint = g_new0(struct options_endpoint, 1);
	struct endpoint_config *config = &endpoint->config;

	g_ptr_array_add(options->endpoints, endpoint);
	config->name = endpoint->strings[0] = g_strdup(name);
	config->listen_path = endpoint->strings[1] = g_strdup(text->listen);
	config->connect_path = endpoint->strings[2] = g_strdup(text->connect);
	config->peer_memory = endpoint->strings[3] = g_strdup(text->peer_memory);
	endpoint->strings[4] = text->socket_dir != NULL ? g_strdup(text->socket_dir)
							: default_dir();
	config->socket_dir = endpoint->strings[4];
	endpoint->qmp_path = g_strdup(text->qmp);
	endpoint->buses = text->bus != NULL ? g_strsplit(text->bus, ",", -1) : NULL;
	config->log = !text->no_log;
	config->require_seals = text->require_seals;
	config->dialect = text->dialect != NULL;
	if (text->dialect != NULL && strcmp(text->dialect, "vhost-pci") != 0)
		return fail(error, "dialect: '%s' is none of vhost-pci", text->dialect);
	config->protocol_features = VHOST_PCI_ADAPTER_NET_PROTOCOL;
	if ((text->listen == NULL) == (text->connect == NULL))
		return fail(error, "endpoint %s: one of listen and connect is needed", name);
	/* [ADP-10.2]: only a network device has a profile */
	if (text->virtio_id != -1 && text->virtio_id != 1 && text->features == NULL)
		return fail(error, "endpoint %s: virtio-id needs features", name);
	if (!parse_numbers(text, config, error))
		return false;
	/* [ADP-10.2] */
	config->features = VHOST_PCI_ADAPTER_NET_FEATURES & ~FEATURES_HOST_TSO;
	if (config->nb_vrings > 2)
		config->features |= VHOST_PCI_ADAPTER_NET_FEATURES_MQ;
	if (!parse_interrupts(text->interrupts, &config->irq, error))
		return false;
	if (config->irq == VFU_PCI_IRQ_MSIX && text->qmp != NULL)
		return fail(error,
				"endpoint %s: not msix with qmp: QEMU aborts when a device with "
				"MSI-X is unplugged",
				name);
	return parse_mask("features", text->features, ~FEATURES_IMPOSSIBLE, &config->features,
			       error) &&
			parse_mask("protocol-features", text->protocol_features, PROTOCOL_POSSIBLE,
					&config->protocol_features, error);
}

static bool
read_setting(GKeyFile *file, const char *group, const struct endpoint_setting *setting,
		struct endpoint_text *text, GError **error)
{
	void *field = (char *)text + setting->offset;
	GError *problem = NULL;

	if (!g_key_file_has_key(file, group, setting->name, NULL))
		return true;
	switch (setting->type) {
	case G_OPTION_ARG_INT:
		*(int *)field = g_key_file_get_integer(file, group, setting->name, &problem);
		break;
	case G_OPTION_ARG_NONE:
		*(gboolean *)field = g_key_file_get_boolean(file, group, setting->name, &problem);
		break;
	default:
		*(char **)field = g_key_file_get_string(file, group, setting->name, &problem);
		break;
	}
	g_key_file_remove_key(file, group, setting->name, NULL);
	if (problem != NULL)
		g_propagate_error(error, problem);
	return problem == NULL;
}

/* A key that is left over is a mistake, which is better told than ignored. */
static bool
check_empty(GKeyFile *file, const char *group, GError **error)
{
	g_auto(GStrv) keys = g_key_file_get_keys(file, group, NULL, NULL);

	if (keys != NULL && keys[0] != NULL)
		return fail(error, "[%s] %s: no such setting", group, keys[0]);
	return true;
}

static bool
read_endpoint(struct options *options, GKeyFile *file, const char *group, GError **error)
{
	struct endpoint_text text;
	bool ok = true;

	endpoint_text_init(&text);
	for (size_t i = 0; i < G_N_ELEMENTS(settings) && ok; i++)
		ok = read_setting(file, group, &settings[i], &text, error);
	ok = ok && check_empty(file, group, error) &&
			add_endpoint(options, group + strlen(GROUP_ENDPOINT), &text, error);
	endpoint_text_clear(&text);
	return ok;
}

/** Settings of the daemon as text. */
struct daemon_text {
	char *config, *status, *user, *log_level;
	gboolean dump, version;
};

static void
read_daemon_setting(GKeyFile *file, const char *name, char **value)
{
	char *text = g_key_file_get_string(file, GROUP_DAEMON, name, NULL);

	g_key_file_remove_key(file, GROUP_DAEMON, name, NULL);
	/* the command line has the last word */
	if (*value == NULL)
		*value = text;
	else
		g_free(text);
}

static bool
read_file(struct options *options, struct daemon_text *daemon, GError **error)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_auto(GStrv) groups = NULL;
	bool ok = true;

	if (!g_key_file_load_from_file(file, daemon->config, G_KEY_FILE_NONE, error))
		return false;
	groups = g_key_file_get_groups(file, NULL);
	for (char **group = groups; *group != NULL && ok; group++) {
		if (g_str_has_prefix(*group, GROUP_ENDPOINT)) {
			ok = read_endpoint(options, file, *group, error);
		} else if (strcmp(*group, GROUP_DAEMON) == 0) {
			read_daemon_setting(file, "status", &daemon->status);
			read_daemon_setting(file, "user", &daemon->user);
			read_daemon_setting(file, "log-level", &daemon->log_level);
			ok = check_empty(file, *group, error);
		} else {
			ok = fail(error, "[%s]: neither [daemon] nor [endpoint NAME]", *group);
		}
	}
	return ok;
}

static bool
parse_log_level(const char *text, enum vhost_pci_log_level *level, GError **error)
{
	static const char *const names[] = {
		[VHOST_PCI_LOG_ERR] = "err",
		[VHOST_PCI_LOG_WARNING] = "warning",
		[VHOST_PCI_LOG_NOTICE] = "notice",
		[VHOST_PCI_LOG_INFO] = "info",
		[VHOST_PCI_LOG_DEBUG] = "debug",
	};

	*level = VHOST_PCI_LOG_NOTICE;
	for (unsigned int i = 0; text != NULL && i < G_N_ELEMENTS(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*level = i;
			return true;
		}
	}
	return text == NULL ||
			fail(error, "log-level: '%s' is none of err, warning, notice, info, debug",
					text);
}

static const char description[] =
		"Serves vhost-pci adapters: PCI devices through which a virtual machine is the\n"
		"vhost-user back-end of others. Each adapter is a vfio-user socket for QEMU's\n"
		"vfio-user-pci device.\n\n"
		"The configuration file has a group [daemon] with the keys status, user and\n"
		"log-level, and a group [endpoint NAME] for each vhost-user socket, with the\n"
		"options above as keys. See vhost-pci-adapter(8).";

/* What the command line says. */
static bool
parse_command_line(struct daemon_text *daemon, struct endpoint_text *text, int *argc, char ***argv,
		GError **error)
{
	const GOptionEntry daemon_entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &daemon->config,
				"Read a configuration file", "FILE" },
		{ "status", 0, 0, G_OPTION_ARG_FILENAME, &daemon->status,
				"Give the status, as JSON, to who connects to this socket",
				"PATH" },
		{ "dump", 0, 0, G_OPTION_ARG_NONE, &daemon->dump,
				"Print the status of a running daemon, and end", NULL },
		{ "user", 'u', 0, G_OPTION_ARG_STRING, &daemon->user,
				"Become this user before anything else", "NAME" },
		{ "log-level", 'l', 0, G_OPTION_ARG_STRING, &daemon->log_level,
				"err, warning, notice (default), info or debug", "LEVEL" },
		{ "version", 'V', 0, G_OPTION_ARG_NONE, &daemon->version,
				"Print the version, and end", NULL },
		{ 0 },
	};
	g_autoptr(GOptionContext) context = g_option_context_new("- vhost-pci adapters");

	g_option_context_set_description(context, description);
	g_option_context_add_main_entries(context, daemon_entries, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
		const GOptionEntry entries[] = {
			{ settings[i].name, 0, 0, settings[i].type,
					(char *)text + settings[i].offset, settings[i].help,
					settings[i].value },
			{ 0 },
		};

		g_option_context_add_main_entries(context, entries, NULL);
	}
	if (!g_option_context_parse(context, argc, argv, error))
		return false;
	if (*argc > 1)
		return fail(error, "'%s': no arguments are taken", (*argv)[1]);
	return true;
}

/** The name of a setting that is set, or NULL. */
static const char *
find_set(const struct endpoint_text *text)
{
	for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
		const void *field = (const char *)text + settings[i].offset;
		bool is_set;

		if (settings[i].type == G_OPTION_ARG_INT)
			is_set = *(const int *)field != -1;
		else if (settings[i].type == G_OPTION_ARG_NONE)
			is_set = *(const gboolean *)field;
		else
			is_set = *(char *const *)field != NULL;
		if (is_set)
			return settings[i].name;
	}
	return NULL;
}

static bool
parse_all(struct options *options, struct daemon_text *daemon, const struct endpoint_text *text,
		GError **error)
{
	const char *set;

	options->dump = daemon->dump;
	options->version = daemon->version;
	if (daemon->version)
		return true;
	if (daemon->config != NULL && !read_file(options, daemon, error))
		return false;
	options->status_path = g_strdup(daemon->status);
	options->user = g_strdup(daemon->user);
	if (!parse_log_level(daemon->log_level, &options->log_level, error))
		return false;
	if (daemon->dump)
		return daemon->status != NULL || fail(error, "--dump needs --status");
	if (text->listen != NULL || text->connect != NULL)
		return add_endpoint(options, "vpci", text, error);
	set = find_set(text);
	if (set != NULL)
		return fail(error, "--%s is of an endpoint: it needs --listen or --connect", set);
	return options->endpoints->len > 0 ||
			fail(error, "nothing to do: --listen, --connect or --config is needed");
}

bool
options_parse(struct options *options, int *argc, char ***argv, GError **error)
{
	struct daemon_text daemon = { 0 };
	struct endpoint_text text;
	bool ok;

	*options = (struct options){
		.endpoints = g_ptr_array_new_with_free_func(options_endpoint_free),
	};
	endpoint_text_init(&text);
	ok = parse_command_line(&daemon, &text, argc, argv, error) &&
			parse_all(options, &daemon, &text, error);
	endpoint_text_clear(&text);
	g_free(daemon.config);
	g_free(daemon.status);
	g_free(daemon.user);
	g_free(daemon.log_level);
	return ok;
}

void
options_clear(struct options *options)
{
	g_ptr_array_free(options->endpoints, TRUE);
	g_free(options->status_path);
	g_free(options->user);
}
