/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The client of QMP: what a program on the other end of the socket sends. */

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "qmp.h"
#include "vhost_pci_transport_unix.h"

static char dir[32];
static char path[64];
static int listener = -1;
static struct qmp *qmp;

static void
on_ready(void *opaque, bool ready)
{
	(void)opaque;
	if (ready)
		qmp_send(qmp, "query-status", NULL, "tag");
}

static void
on_event(void *opaque, const char *name, JsonObject *data)
{
	(void)opaque;
	fuzz_check(name != NULL);
	if (data != NULL)
		(void)json_object_get_size(data);
}

static void
on_answer(void *opaque, const char *tag, const char *error, const char *result)
{
	(void)opaque;
	fuzz_check(tag != NULL && strlen(tag) < SIZE_MAX);
	fuzz_check(error == NULL || strlen(error) < SIZE_MAX);
	fuzz_check(result == NULL || strlen(result) < SIZE_MAX);
}

static const struct qmp_ops ops = { .ready = on_ready, .event = on_event, .answer = on_answer };

static void
remove_path(void)
{
	unlink(path);
	(void)rmdir(dir);
}

static void
make_listener(void)
{
	snprintf(dir, sizeof(dir), "/tmp/vpci-fuzz-XXXXXX");
	fuzz_check(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/qmp", dir);
	listener = vhost_pci_unix_listen(path);
	fuzz_check(listener >= 0);
	fuzz_check(atexit(remove_path) == 0);
}

static void
settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		continue;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes)
{
	char answer[4096];
	int server;

	if (listener < 0)
		make_listener();
	qmp = qmp_create(path, &ops, NULL);
	settle();
	server = vhost_pci_unix_accept(listener);
	fuzz_check(server >= 0);
	while (nb_bytes > 0) {
		size_t nb = nb_bytes < sizeof(answer) ? nb_bytes : sizeof(answer);

		if (send(server, bytes, nb, MSG_DONTWAIT | MSG_NOSIGNAL) <= 0)
			break;
		settle();
		while (recv(server, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			settle();
		bytes += nb;
		nb_bytes -= nb;
	}
	close(server);
	settle();
	qmp_destroy(qmp);
	return 0;
}
