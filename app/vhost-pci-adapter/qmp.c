/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "qmp.h"
#include "vhost_pci_log.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

/** Between two attempts to connect. */
#define QMP_RETRY_MS 500u

/** Longest line taken; QEMU's answers here have some hundred bytes. */
#define QMP_LINE_BYTES (1u << 20)

/** Arrays and objects of a line at most: the parser calls itself for one within another. */
#define QMP_LINE_NODES 1024u

/** Tag of the command that ends the negotiation. */
#define QMP_NEGOTIATION "qmp_capabilities"

struct qmp {
	char *path;
	const struct qmp_ops *ops;
	void *opaque;
	int fd;
	GSource *watch;
	GSource *retry;
	GString *in;
	bool is_ready;
	bool was_reported; /**< that nobody listens */
};

static void qmp_connect(void *opaque);

static void
qmp_lose(struct qmp *qmp)
{
	bool was_ready = qmp->is_ready;

	watch_stop(&qmp->watch);
	vhost_pci_peer_fd_close(qmp->fd);
	qmp->fd = -1;
	qmp->is_ready = false;
	g_string_truncate(qmp->in, 0);
	watch_stop(&qmp->retry);
	qmp->retry = watch_timer(QMP_RETRY_MS, qmp_connect, qmp);
	if (was_ready)
		qmp->ops->ready(qmp->opaque, false);
}

void
qmp_send(struct qmp *qmp, const char *command, JsonObject *arguments, const char *tag)
{
	JsonObject *object = json_object_new();
	g_autoptr(JsonNode) node = json_node_alloc();
	g_autofree char *text = NULL;
	g_autofree char *line = NULL;
	ssize_t nb;

	json_object_set_string_member(object, "execute", command);
	if (arguments != NULL)
		json_object_set_object_member(object, "arguments", arguments);
	json_object_set_string_member(object, "id", tag);
	json_node_init_object(node, object);
	json_object_unref(object);
	text = json_to_string(node, FALSE);
	line = g_strconcat(text, "\n", NULL);
	if (qmp->fd < 0)
		return;
	/* a socket that does not take a line of some hundred bytes is of no use */
	nb = send(qmp->fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (nb != (ssize_t)strlen(line))
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s does not take a command", qmp->path);
}

/* A member that is a string, or NULL. */
static const char *
qmp_string(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);

	return node != NULL && json_node_get_value_type(node) == G_TYPE_STRING
			? json_node_get_string(node)
			: NULL;
}

/* A member that is an object, or NULL. */
static JsonObject *
qmp_object(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);

	return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static void
qmp_answer(struct qmp *qmp, const char *tag, const char *error, const char *result)
{
	if (strcmp(tag, QMP_NEGOTIATION) != 0) {
		qmp->ops->answer(qmp->opaque, tag, error, result);
	} else if (error == NULL && !qmp->is_ready) {
		vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: connected", qmp->path);
		qmp->is_ready = true;
		qmp->ops->ready(qmp->opaque, true);
	}
}

static void
qmp_message(struct qmp *qmp, JsonObject *message)
{
	const char *event = qmp_string(message, "event"), *tag = qmp_string(message, "id");
	JsonObject *error = qmp_object(message, "error");
	const char *description = NULL;

	if (qmp_object(message, "QMP") != NULL) {
		qmp_send(qmp, QMP_NEGOTIATION, NULL, QMP_NEGOTIATION);
	} else if (event != NULL) {
		qmp->ops->event(qmp->opaque, event, qmp_object(message, "data"));
	} else if (tag != NULL) {
		if (error != NULL)
			description = qmp_string(error, "desc");
		if (error != NULL && description == NULL)
			description = "unknown error";
		qmp_answer(qmp, tag, description, qmp_string(message, "return"));
	}
}

/* Whether a line can be parsed: what a machine sends must not use up the stack. */
static bool
qmp_line_is_flat(const char *line)
{
	unsigned int nb = 0;

	/* also what is in a string, about whose ends a machine and this parser may differ */
	for (; *line != '\0' && nb <= QMP_LINE_NODES; line++)
		nb += *line == '[' || *line == '{';
	return nb <= QMP_LINE_NODES;
}

static void
qmp_line(struct qmp *qmp, const char *line)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	JsonNode *root = NULL;

	if (qmp_line_is_flat(line) && json_parser_load_from_data(parser, line, -1, NULL))
		root = json_parser_get_root(parser);
	if (root != NULL && JSON_NODE_HOLDS_OBJECT(root))
		qmp_message(qmp, json_node_get_object(root));
}

static void
qmp_readable(void *opaque)
{
	struct qmp *qmp = opaque;
	char bytes[4096];
	ssize_t nb = vhost_pci_unix_recv_bytes(qmp->fd, bytes, sizeof(bytes));
	char *end;

	if (nb == -EAGAIN || nb == -EINTR)
		return;
	if (nb <= 0 || qmp->in->len > QMP_LINE_BYTES) {
		vhost_pci_log(VHOST_PCI_LOG_INFO, "%s: connection lost", qmp->path);
		qmp_lose(qmp);
		return;
	}
	g_string_append_len(qmp->in, bytes, nb);
	while (qmp->fd >= 0 && (end = strchr(qmp->in->str, '\n')) != NULL) {
		g_autofree char *line = g_strndup(qmp->in->str, end - qmp->in->str);

		g_string_erase(qmp->in, 0, end - qmp->in->str + 1);
		qmp_line(qmp, line);
	}
}

static void
qmp_connect(void *opaque)
{
	struct qmp *qmp = opaque;

	watch_stop(&qmp->retry);
	qmp->fd = vhost_pci_unix_connect(qmp->path);
	if (qmp->fd >= 0) {
		qmp->was_reported = false;
		qmp->watch = watch_fd(qmp->fd, G_IO_IN, qmp_readable, qmp);
		return;
	}
	if (!qmp->was_reported)
		vhost_pci_log(VHOST_PCI_LOG_WARNING, "%s: %s; trying again", qmp->path,
				strerror(-qmp->fd));
	qmp->was_reported = true;
	qmp->retry = watch_timer(QMP_RETRY_MS, qmp_connect, qmp);
}

struct qmp *
qmp_create(const char *path, const struct qmp_ops *ops, void *opaque)
{
	struct qmp *qmp = g_new0(struct qmp, 1);

	qmp->path = g_strdup(path);
	qmp->ops = ops;
	qmp->opaque = opaque;
	qmp->fd = -1;
	qmp->in = g_string_new(NULL);
	/* not from within: the owner has not got us yet */
	qmp->retry = watch_idle(qmp_connect, qmp);
	return qmp;
}

void
qmp_destroy(struct qmp *qmp)
{
	if (qmp == NULL)
		return;
	watch_stop(&qmp->watch);
	watch_stop(&qmp->retry);
	if (qmp->fd >= 0)
		vhost_pci_peer_fd_close(qmp->fd);
	g_string_free(qmp->in, TRUE);
	g_free(qmp->path);
	g_free(qmp);
}

bool
qmp_is_ready(const struct qmp *qmp)
{
	return qmp->is_ready;
}
