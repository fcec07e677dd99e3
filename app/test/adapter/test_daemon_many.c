/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* As many front-ends as a listener of the daemon takes, and a machine for each. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include <glib.h>

#include "adapter_rig.h"
#include "daemon_rig.h"
#include "test.h"
#include "tfe_req.h"

#define NB          256
#define MEM_BYTES   (UINT64_C(4) << 20)
#define PATIENCE_MS 60000

/** Descriptors of this process: front-ends have nine each, machines four. */
#define NB_FDS (16 * NB)

/** The one that misbehaves. */
#define BAD 128

/** The daemon, its front-ends, and machines: number i has the adapter that front-end i has. */
struct crowd {
	struct daemon_rig daemon;
	struct tfe_dev *devs;
	struct vfc *machines;
};

static void
crowd_start(struct crowd *crowd)
{
	crowd->devs = g_new0(struct tfe_dev, NB);
	crowd->machines = g_new0(struct vfc, NB);
	daemon_rig_init(&crowd->daemon);
	daemon_start(&crowd->daemon, STRINGS("--log-level=err"));
}

static void
crowd_stop(struct crowd *crowd)
{
	for (unsigned int i = 0; i < NB; i++) {
		tfe_dev_close(&crowd->devs[i]);
		vfc_close(&crowd->machines[i]);
	}
	daemon_stop(&crowd->daemon);
	g_free(crowd->devs);
	g_free(crowd->machines);
}

/** A front-end comes, and a machine to the adapter that it gets. */
static void
come(struct crowd *crowd, unsigned int i)
{
	g_autofree char *path = g_strdup_printf("%s/vpci-%u.sock", crowd->daemon.dir, i);
	gint64 end = g_get_monotonic_time() + PATIENCE_MS * G_TIME_SPAN_MILLISECOND;
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	int error;

	conf.path = crowd->daemon.vhost_path;
	conf.timeout_ms = PATIENCE_MS;
	conf.mem_bytes = MEM_BYTES;
	conf.mem_flags = 0;
	assert_int_equal(tfe_dev_open(&crowd->devs[i], &conf), 0);
	do {
		error = vfc_connect(&crowd->machines[i], path);
	} while (error < 0 && g_get_monotonic_time() < end);
	assert_int_equal(error, 0);
	assert_int_equal(vfc_plug(&crowd->machines[i]), 0);
}

/** Whether one is served on both sides: by the daemon, and by its adapter's registers. */
static void
check(struct crowd *crowd, unsigned int i)
{
	uint64_t features;

	assert_int_equal(tfe_req_get_features(&crowd->devs[i].conn, &features), 0);
	assert_int_equal(features, crowd->devs[i].offered);
	assert_int_equal(vfc_read32(&crowd->machines[i], VFC_BAR0, DRV_REG(conn_state)),
			VHOST_PCI_ADAPTER_CONN_READY);
}

static void
check_others(struct crowd *crowd)
{
	for (unsigned int i = 0; i < NB; i++)
		if (i != BAD)
			check(crowd, i);
}

/** Kilobytes of a line of the daemon's status. */
static unsigned int
daemon_kilobytes(const struct crowd *crowd, const char *field)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)crowd->daemon.pid),
			*text = NULL;
	const char *line;

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	line = strstr(text, field);
	assert_non_null(line);
	return (unsigned int)g_ascii_strtoull(line + strlen(field), NULL, 10);
}

/** Descriptors for all; false where there are not as many. */
static bool
raise_limit(struct rlimit *before)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	limit = *before;
	limit.rlim_cur = MAX(limit.rlim_cur, NB_FDS);
	return limit.rlim_cur <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void
test_one_of_256_misbehaves(void **state)
{
	static const uint8_t garbage[64] = { 0xff, 0xff, 0xff, 0xff };
	struct crowd crowd = { .devs = NULL };
	unsigned int empty_kb, kb;
	struct rlimit before;
	gint64 begin;

	(void)state;
	if (!raise_limit(&before))
		skip();
	crowd_start(&crowd);
	begin = g_get_monotonic_time();
	come(&crowd, 0);
	empty_kb = daemon_kilobytes(&crowd, "RssAnon:");
	for (unsigned int i = 1; i < NB; i++)
		come(&crowd, i);
	kb = daemon_kilobytes(&crowd, "RssAnon:");
	print_message("%d front-ends, each with a machine: %.2f s; %u kB in the daemon, %u each\n",
			NB, (double)(g_get_monotonic_time() - begin) / 1e6, kb,
			(kb - empty_kb) / (NB - 1));
	check(&crowd, BAD);
	check_others(&crowd);

	/* its memory's file ends, under the adapter's window */
	assert_int_equal(ftruncate(crowd.devs[BAD].mem.regions[0].fd, 0), 0);
	check_others(&crowd);
	/* what is no message ends its own session */
	assert_int_equal(tfe_conn_send_raw(&crowd.devs[BAD].conn, garbage, sizeof(garbage), NULL,
					 0),
			0);
	assert_int_equal(tfe_conn_wait_closed(&crowd.devs[BAD].conn, PATIENCE_MS), 0);
	check_others(&crowd);
	/* and there is room for the next one */
	vfc_close(&crowd.machines[BAD]);
	tfe_dev_close(&crowd.devs[BAD]);
	come(&crowd, BAD);
	check(&crowd, BAD);
	check_others(&crowd);
	crowd_stop(&crowd);
	setrlimit(RLIMIT_NOFILE, &before);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_one_of_256_misbehaves),
};

REGISTER_TEST_GROUP(daemon_many_autotest, tests, NULL, NULL);
