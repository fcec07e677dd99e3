/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <glib-unix.h>

#include "watch.h"

/** What a source's callback needs. */
struct watch {
	watch_fd_fn fn;
	void *opaque;
	bool once;
};

static gboolean
watch_dispatch(gpointer data)
{
	struct watch *watch = data;
	bool once = watch->once; /* the function may stop, and so free, the watch */

	watch->fn(watch->opaque);
	return once ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean
watch_dispatch_fd(gint fd, GIOCondition condition, gpointer data)
{
	(void)fd;
	(void)condition;
	return watch_dispatch(data);
}

static GSource *
watch_attach(GSource *source, GSourceFunc dispatch, const struct watch *template)
{
	g_source_set_callback(source, dispatch, g_memdup2(template, sizeof(*template)), g_free);
	g_source_attach(source, g_main_context_get_thread_default());
	return source;
}

GSource *
watch_fd(int fd, GIOCondition condition, watch_fd_fn fn, void *opaque)
{
	const struct watch template = { .fn = fn, .opaque = opaque };

	return watch_attach(g_unix_fd_source_new(fd, condition | G_IO_HUP | G_IO_ERR),
			G_SOURCE_FUNC(watch_dispatch_fd), &template);
}

GSource *
watch_timer(unsigned int ms, watch_fd_fn fn, void *opaque)
{
	const struct watch template = { .fn = fn, .opaque = opaque, .once = true };

	return watch_attach(g_timeout_source_new(ms), watch_dispatch, &template);
}

GSource *
watch_idle(watch_fd_fn fn, void *opaque)
{
	const struct watch template = { .fn = fn, .opaque = opaque, .once = true };
	GSource *source = g_idle_source_new();

	/* fds that are always ready must not put it off for ever */
	g_source_set_priority(source, G_PRIORITY_DEFAULT);
	return watch_attach(source, watch_dispatch, &template);
}

void
watch_stop(GSource **watch)
{
	if (*watch == NULL)
		return;
	g_source_destroy(*watch);
	g_source_unref(*watch);
	*watch = NULL;
}
