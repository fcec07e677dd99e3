/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* 256 front-ends at a time: as many at each listener as DPDK has ports for, and one of them all
 * misbehaves.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include "soak_process.h"
#include "test.h"
#include "tfe.h"
#include "tfe_time.h"

#define NB 256

/** Ports of a process: DPDK, as it is built by distributions, has no more than 32. */
#define NB_PORTS     30
#define NB_PORTS_ENV "VHOST_PCI_TEST_PORTS"

/** Time that anything may take, in milliseconds; reached only by what fails. */
#define TIMEOUT_MS 60000

/** Descriptors of this process: front-ends have nine each. */
#define NB_FDS (16 * NB)

#define FRAME_BYTES 200u

/** The one that misbehaves. */
#define BAD 128u

/** A front-end. */
struct client {
	struct tfe_dev dev;
	struct tfe_netq tx;
	struct tfe_netq rx;
	uint64_t nb_sent;
};

/** All of them, and the processes that serve them. */
struct crowd {
	char dir[32];
	unsigned int nb_ports; /**< Of each process. */
	unsigned int nb_processes;
	struct soak_process processes[NB];
	struct client clients[NB];
};

static void
socket_path(const struct crowd *crowd, unsigned int process, char path[64])
{
	snprintf(path, 64, "%s/%u.sock", crowd->dir, process);
}

static void
start_process(struct crowd *crowd, unsigned int process)
{
	static char names[NB][128];
	static char *ports[NB + 1];
	char path[64];
	unsigned int i;

	socket_path(crowd, process, path);
	snprintf(names[0], sizeof(names[0]), "net_vpci0,iface=%s,max-clients=%u", path,
			crowd->nb_ports);
	for (i = 0; i < crowd->nb_ports; i++) {
		if (i > 0)
			snprintf(names[i], sizeof(names[i]), "net_vpci0_%u", i);
		ports[i] = names[i];
	}
	ports[i] = NULL;
	soak_process_start(&crowd->processes[process], crowd->dir, ports);
}

static void
crowd_start(struct crowd *crowd)
{
	const char *env = getenv(NB_PORTS_ENV);
	unsigned int i;

	crowd->nb_ports = env != NULL ? (unsigned int)strtoul(env, NULL, 10) : NB_PORTS;
	assert_in_range(crowd->nb_ports, 1, NB);
	crowd->nb_processes = (NB + crowd->nb_ports - 1) / crowd->nb_ports;
	snprintf(crowd->dir, sizeof(crowd->dir), "/tmp/vpci-many-XXXXXX");
	assert_non_null(mkdtemp(crowd->dir));
	for (i = 0; i < crowd->nb_processes; i++)
		start_process(crowd, i);
}

static void
leave(struct client *client)
{
	tfe_netq_fini(&client->rx);
	tfe_netq_fini(&client->tx);
	tfe_dev_close(&client->dev);
}

static void
crowd_stop(struct crowd *crowd)
{
	unsigned int i;

	for (i = 0; i < NB; i++)
		leave(&crowd->clients[i]);
	for (i = 0; i < crowd->nb_processes; i++)
		soak_process_quit(&crowd->processes[i]);
	soak_process_remove_dir(crowd->dir);
}

static void
come(struct crowd *crowd, unsigned int i)
{
	struct client *client = &crowd->clients[i];
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	char path[64];

	socket_path(crowd, i / crowd->nb_ports, path);
	conf.path = path;
	conf.timeout_ms = TIMEOUT_MS;
	conf.mem_bytes = UINT64_C(4) << 20;
	conf.mem_flags = 0;
	if (i % 2 != 0)
		conf.features |= TFE_BIT(VIRTIO_F_RING_PACKED);
	client->nb_sent = 0;
	assert_int_equal(tfe_dev_open(&client->dev, &conf), 0);
	assert_int_equal(tfe_netq_init(&client->rx, &client->dev, 0, 2048, NULL), 0);
	assert_int_equal(tfe_netq_init(&client->tx, &client->dev, 1, 2048, NULL), 0);
	assert_true(tfe_netq_post(&client->rx, 16) > 0);
}

static void
send_one(struct crowd *crowd, unsigned int i)
{
	struct client *client = &crowd->clients[i];
	uint8_t frame[FRAME_BYTES];

	tfe_frame_build(frame, sizeof(frame), (uint16_t)i, client->nb_sent++);
	assert_int_equal(tfe_netq_send(&client->tx, NULL, frame, sizeof(frame)), 0);
}

/** The packet that was sent last comes back, and no other one. */
static void
receive_one(struct crowd *crowd, unsigned int i)
{
	struct client *client = &crowd->clients[i];
	struct tfe_pkt pkt;
	uint16_t stream;
	uint64_t seq;

	assert_int_equal(tfe_netq_recv(&client->rx, &pkt, TIMEOUT_MS), 1);
	assert_int_equal(tfe_frame_check(pkt.frame, pkt.len_bytes, &stream, &seq), TFE_FRAME_GOOD);
	assert_int_equal(stream, i);
	assert_int_equal(seq, client->nb_sent - 1);
	assert_int_equal(tfe_netq_post(&client->rx, 1), 1);
}

/** A packet each, all at a time; the one that misbehaves may be left out. */
static void
check_traffic(struct crowd *crowd, unsigned int left_out)
{
	unsigned int i;

	for (i = 0; i < NB; i++)
		if (i != left_out)
			send_one(crowd, i);
	for (i = 0; i < NB; i++)
		if (i != left_out)
			receive_one(crowd, i);
}

/** Kilobytes of memory that processes have of their own, all together. */
static unsigned long
kilobytes(const struct crowd *crowd)
{
	unsigned long sum = 0, value;
	char path[64], line[128];
	unsigned int i;
	FILE *status;

	for (i = 0; i < crowd->nb_processes; i++) {
		snprintf(path, sizeof(path), "/proc/%d/status", (int)crowd->processes[i].pid);
		status = fopen(path, "r");
		assert_non_null(status);
		while (fgets(line, sizeof(line), status) != NULL)
			if (sscanf(line, "RssAnon: %lu", &value) == 1)
				sum += value;
		fclose(status);
	}
	return sum;
}

/** Descriptors for all; false where there are not as many. */
static bool
raise_limit(struct rlimit *before)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	limit = *before;
	if (limit.rlim_cur < NB_FDS)
		limit.rlim_cur = NB_FDS;
	return limit.rlim_cur <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/** One of each process comes when the process is up; then the others. */
static void
come_all(struct crowd *crowd)
{
	unsigned long before;
	uint64_t begin_ns;
	unsigned int i;

	for (i = 0; i < NB; i += crowd->nb_ports)
		come(crowd, i);
	before = kilobytes(crowd);
	begin_ns = tfe_now_ns();
	for (i = 0; i < NB; i++)
		if (i % crowd->nb_ports != 0)
			come(crowd, i);
	check_traffic(crowd, NB);
	print_message("%d front-ends at %u processes: %.2f s, %lu kB in the processes, %lu more "
		      "than with %u\n",
			NB, crowd->nb_processes, (double)(tfe_now_ns() - begin_ns) / 1e9,
			kilobytes(crowd), kilobytes(crowd) - before, crowd->nb_processes);
}

static void
test_one_of_256_misbehaves(void **state)
{
	static const uint8_t garbage[64] = { 0xff, 0xff, 0xff, 0xff };
	static struct crowd crowd;
	struct client *bad = &crowd.clients[BAD];
	struct rlimit before;

	(void)state;
	if (!soak_process_is_known() || !raise_limit(&before))
		skip();
	crowd_start(&crowd);
	come_all(&crowd);

	/* Its ring lies. */
	tfe_split_set_avail_idx(bad->tx.ring, (uint16_t)(bad->tx.ring->avail_idx + 300));
	assert_int_equal(tfe_conn_wait_closed(&bad->dev.conn, TIMEOUT_MS), 0);
	check_traffic(&crowd, BAD);
	leave(bad);
	come(&crowd, BAD);
	check_traffic(&crowd, NB);

	/* Its memory is gone while the port polls it. */
	assert_int_equal(ftruncate(bad->dev.mem.regions[0].fd, 0), 0);
	assert_int_equal(tfe_conn_wait_closed(&bad->dev.conn, TIMEOUT_MS), 0);
	check_traffic(&crowd, BAD);
	leave(bad);
	come(&crowd, BAD);

	/* It says nonsense. */
	assert_int_equal(tfe_conn_send_raw(&bad->dev.conn, garbage, sizeof(garbage), NULL, 0), 0);
	assert_int_equal(tfe_conn_wait_closed(&bad->dev.conn, TIMEOUT_MS), 0);
	check_traffic(&crowd, BAD);
	crowd_stop(&crowd);
	setrlimit(RLIMIT_NOFILE, &before);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_one_of_256_misbehaves),
};

REGISTER_TEST_GROUP(driver_many_autotest, tests, NULL, NULL);
