/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "loop_thread.h"
#include "vhost_pci_log.h"

static gpointer
loop_thread_main(gpointer data)
{
	struct loop_thread *thread = data;

	g_main_context_push_thread_default(thread->context);
	g_main_loop_run(thread->loop);
	g_main_context_pop_thread_default(thread->context);
	return NULL;
}

void
loop_thread_start(struct loop_thread *thread)
{
	thread->context = g_main_context_new();
	thread->loop = g_main_loop_new(thread->context, FALSE);
	thread->thread = g_thread_new("loop", loop_thread_main, thread);
}

/** A call on its way. */
struct loop_call {
	void (*fn)(void *opaque);
	void *opaque;
	GMutex mutex;
	GCond cond;
	bool done;
};

static gboolean
loop_thread_run_call(gpointer data)
{
	struct loop_call *call = data;

	call->fn(call->opaque);
	g_mutex_lock(&call->mutex);
	call->done = true;
	g_cond_signal(&call->cond);
	g_mutex_unlock(&call->mutex);
	return G_SOURCE_REMOVE;
}

static void
loop_thread_call_at(struct loop_thread *thread, int priority, void (*fn)(void *opaque),
		void *opaque)
{
	struct loop_call call = { .fn = fn, .opaque = opaque };
	GSource *source = g_idle_source_new();

	g_mutex_init(&call.mutex);
	g_cond_init(&call.cond);
	g_source_set_priority(source, priority);
	g_source_set_callback(source, loop_thread_run_call, &call, NULL);
	g_source_attach(source, thread->context);
	g_source_unref(source);
	g_mutex_lock(&call.mutex);
	while (!call.done)
		g_cond_wait(&call.cond, &call.mutex);
	g_mutex_unlock(&call.mutex);
	g_mutex_clear(&call.mutex);
	g_cond_clear(&call.cond);
}

void
loop_thread_call(struct loop_thread *thread, void (*fn)(void *opaque), void *opaque)
{
	loop_thread_call_at(thread, G_PRIORITY_DEFAULT, fn, opaque);
}

static void
loop_thread_nothing(void *opaque)
{
	(void)opaque;
}

void
loop_thread_settle(struct loop_thread *thread)
{
	/* comes only when no source of a higher priority is ready */
	loop_thread_call_at(thread, G_PRIORITY_LOW, loop_thread_nothing, NULL);
}

void
loop_thread_stop(struct loop_thread *thread)
{
	g_main_loop_quit(thread->loop);
	g_thread_join(thread->thread);
	g_main_loop_unref(thread->loop);
	g_main_context_unref(thread->context);
}

unsigned int
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int nb = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		nb++;
	closedir(dir);
	return nb;
}

char *
test_dir_make(void)
{
	return g_dir_make_tmp("vhost-pci-XXXXXX", NULL);
}

void
test_dir_remove(char *dir)
{
	GDir *files = g_dir_open(dir, 0, NULL);
	const char *name;

	while (files != NULL && (name = g_dir_read_name(files)) != NULL) {
		g_autofree char *file = g_build_filename(dir, name, NULL);

		unlink(file);
	}
	g_dir_close(files);
	rmdir(dir);
	g_free(dir);
}

static void log_to_stderr(enum vhost_pci_log_level level, const char *format, va_list args)
		G_GNUC_PRINTF(2, 0);

static void
log_to_stderr(enum vhost_pci_log_level level, const char *format, va_list args)
{
	fprintf(stderr, "# <%d> ", level);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

/* VHOST_PCI_TEST_LOG=1 shows what the daemon says, as diagnostics of the test protocol. */
__attribute__((constructor)) static void
init_log(void)
{
	if (g_getenv("VHOST_PCI_TEST_LOG") != NULL)
		vhost_pci_log_set_sink(log_to_stderr);
}
