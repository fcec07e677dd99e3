/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A process with some of the ports of W7. */

#include "bench_farm.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "bench_port.h"
#include "bench_scale.h"

#define NB_MBUF 8191

/** Bursts from each port in a turn. */
#define TURN_BURSTS 4

/** How long to wait at a time; the parent may be gone. */
#define WAIT_MS 1000

/** One such process. */
struct farm {
	struct bench_farms *shared;
	struct bench_farm_slot *slot;
	unsigned int index;
	unsigned int first; /**< Number of its first port among all. */
	unsigned int nb_ports;
	char driver[BENCH_NAME_LEN];
	char devargs[256];
	char dir[PATH_MAX];
	struct bench_port ports[RTE_MAX_ETHPORTS];
	uint64_t begin_kib; /**< Memory without ports. */
};

void
bench_farm_wait(const uint32_t *word, uint32_t value, unsigned int timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000l,
	};

	/* Woken, changed meanwhile or too late: the caller looks. */
	syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

void
bench_farm_wake(const uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void
bench_farm_set(uint32_t *word, uint32_t value)
{
	/* What the word tells of before the word; the partner is bench_farm_get(). */
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	bench_farm_wake(word);
}

/** What this process has of its own: pages, and what it took from the EAL's. */
static uint64_t
memory_kib(void)
{
	struct rte_malloc_socket_stats stats = { 0 };
	uint64_t kib = 0;
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "RssAnon:", 8) == 0)
			kib = strtoull(line + 8, NULL, 10);
	if (file != NULL)
		fclose(file);
	rte_malloc_get_socket_stats(0, &stats);
	return kib + stats.heap_allocsz_bytes / 1024;
}

static int
open_ports(struct farm *farm)
{
	char name[BENCH_NAME_LEN + 16], devargs[PATH_MAX + 512];
	unsigned int i;
	int ret;

	farm->begin_kib = memory_kib();
	for (i = 0; i < farm->nb_ports; i++) {
		snprintf(name, sizeof(name), "%s_farm%u", farm->driver, i);
		snprintf(devargs, sizeof(devargs), "iface=%s/farm%u.sock%s%s", farm->dir,
				farm->first + i, farm->devargs[0] != '\0' ? "," : "",
				farm->devargs);
		ret = bench_port_open(&farm->ports[i], name, devargs, false);
		if (ret < 0) {
			farm->nb_ports = i;
			return ret;
		}
	}
	return 0;
}

/** All links come up, in time. */
static int
wait_links(struct farm *farm)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < farm->nb_ports && ret == 0; i++)
		ret = bench_port_wait_link(&farm->ports[i]);
	__atomic_store_n(&farm->slot->memory_kib, (uint32_t)(memory_kib() - farm->begin_kib),
			__ATOMIC_RELAXED);
	return ret;
}

static void
take_turn(struct farm *farm)
{
	struct rte_mbuf *mbufs[BENCH_BURST];
	uint64_t nb_packets = farm->slot->nb_packets;
	unsigned int i, j;

	for (j = 0; j < TURN_BURSTS; j++) {
		for (i = 0; i < farm->nb_ports; i++) {
			uint16_t nb = rte_eth_rx_burst(farm->ports[i].id, 0, mbufs, BENCH_BURST);

			rte_pktmbuf_free_bulk(mbufs, nb);
			nb_packets += nb;
		}
	}
	__atomic_store_n(&farm->slot->nb_packets, nb_packets, __ATOMIC_RELAXED);
}

/** Turn by turn until there is another command. */
static void
run(struct farm *farm)
{
	uint32_t nb_farms = farm->shared->nb_farms;

	while (bench_farm_get(&farm->shared->command) == BENCH_FARM_RUN) {
		uint32_t turn = bench_farm_get(&farm->shared->turn);

		if (turn != farm->index) {
			bench_farm_wait(&farm->shared->turn, turn, WAIT_MS);
			continue;
		}
		take_turn(farm);
		if (nb_farms > 1)
			bench_farm_set(&farm->shared->turn, (turn + 1) % nb_farms);
	}
}

/** Wait until the command is another; the parent's end ends this process. */
static uint32_t
next_command(const struct farm *farm, uint32_t command)
{
	while (bench_farm_get(&farm->shared->command) == command)
		bench_farm_wait(&farm->shared->command, command, WAIT_MS);
	return bench_farm_get(&farm->shared->command);
}

/** Do as the parent says. */
static int
serve(struct farm *farm)
{
	uint32_t command = BENCH_FARM_OPEN;
	int ret = open_ports(farm);

	while (command != BENCH_FARM_STOP) {
		uint32_t state = command == BENCH_FARM_OPEN ? BENCH_FARM_READY : BENCH_FARM_UP;

		if (ret == 0 && command == BENCH_FARM_CONNECT)
			ret = wait_links(farm);
		if (ret == 0 && command == BENCH_FARM_RUN)
			run(farm);
		bench_farm_set(&farm->slot->state, ret == 0 ? state : BENCH_FARM_FAILED);
		command = next_command(farm, command);
	}
	return ret;
}

/** Read "FD:INDEX:FIRST:NB:DRIVER:DIR:DEVARGS". */
static int
parse(struct farm *farm, const char *spec, int *fd)
{
	int at = 0;

	if (sscanf(spec, "%d:%u:%u:%u:%47[^:]:%4095[^:]:%n", fd, &farm->index, &farm->first,
			    &farm->nb_ports, farm->driver, farm->dir, &at) != 6 ||
			at == 0 || farm->index >= BENCH_MAX_FARMS ||
			farm->nb_ports > RTE_MAX_ETHPORTS)
		return -EINVAL;
	snprintf(farm->devargs, sizeof(farm->devargs), "%s", spec + at);
	return 0;
}

int
bench_farm_main(const char *spec)
{
	struct farm *farm = calloc(1, sizeof(*farm));
	unsigned int i;
	int fd, ret;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (farm == NULL)
		return -ENOMEM;
	ret = parse(farm, spec, &fd);
	if (ret < 0)
		goto out;
	farm->shared = mmap(NULL, sizeof(*farm->shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (farm->shared == MAP_FAILED) {
		ret = -errno;
		goto out;
	}
	farm->slot = &farm->shared->slots[farm->index];
	ret = bench_pool_create(NB_MBUF);
	if (ret == 0)
		ret = serve(farm);
	else
		bench_farm_set(&farm->slot->state, BENCH_FARM_FAILED);
	for (i = 0; i < farm->nb_ports && farm->ports[i].name[0] != '\0'; i++)
		bench_port_close(&farm->ports[i]);
	munmap(farm->shared, sizeof(*farm->shared));
out:
	free(farm);
	return ret;
}
