/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench.h"

#include <string.h>

#define SPLIT  BENCH_SPLIT
#define PACKED BENCH_PACKED
#define BOTH   (BENCH_SPLIT | BENCH_PACKED)
#define K64    BENCH_64K

/** A buffer of memif. */
#define MEMIF_BYTES 2048

#define OFF_SPLIT      2
#define OFF_SPLIT_FULL 3

static const struct bench_contender net_vhost = {
	.name = "net_vhost",
	.kind = BENCH_PORT,
	.driver = "net_vhost",
	.mode = "",
	.devargs = "queues=1",
};
static const struct bench_contender memif = {
	.name = "memif",
	.kind = BENCH_MEMIF,
	.driver = "net_memif",
	.mode = "",
	.devargs = "",
};
static const struct bench_contender ring_walk = {
	.name = "ring walk",
	.kind = BENCH_WALK,
	.mode = "",
	.devargs = "",
};
static const struct bench_contender copy = {
	.name = "memcpy",
	.kind = BENCH_COPY,
	.mode = "",
	.devargs = "",
};
static const struct bench_contender host_switch = {
	.name = "host switch",
	.kind = BENCH_HOST_SWITCH,
	.driver = "net_vhost",
	.mode = "",
	.devargs = "queues=1",
};

#define SIZES \
	{ \
		64, 256, 1518, 9000, K64 \
	}
#define FORWARD_SIZES \
	{ \
		64, 512, 1518, K64 \
	}

const struct bench_workload bench_workloads[] = {
	{ "W1", "warm", &bench_receive, SPLIT, SIZES, .modes_from = 1518,
			.nb_modes = OFF_SPLIT_FULL, .peers = { &net_vhost, &memif },
			.quick = true },
	{ "W1", "written", &bench_receive, SPLIT, SIZES, .modes_from = 1518,
			.nb_modes = OFF_SPLIT_FULL, .peers = { &net_vhost }, .written = true },
	{ "W2", "warm", &bench_receive, PACKED, SIZES, .modes_from = 1518,
			.nb_modes = OFF_SPLIT_FULL, .peers = { &net_vhost }, .quick = true },
	{ "W2", "written", &bench_receive, PACKED, SIZES, .modes_from = 1518,
			.nb_modes = OFF_SPLIT_FULL, .peers = { &net_vhost }, .written = true },
	{ "W3", "", &bench_transmit, BOTH, SIZES, .peers = { &net_vhost, &copy, &memif },
			.quick = true },
	{ "W4", "io", &bench_forward, BOTH, FORWARD_SIZES, .modes_from = 1518,
			.nb_modes = OFF_SPLIT_FULL, .peers = { &net_vhost }, .quick = true },
	/* In mode full, packets are to be read only. */
	{ "W4", "macswap", &bench_forward, BOTH, FORWARD_SIZES, .modes_from = 1518,
			.nb_modes = OFF_SPLIT, .peers = { &net_vhost }, .macswap = true },
	{ "W5", "", &bench_forward, BOTH, { 64, 1518 }, .modes_from = 1518,
			.nb_modes = OFF_SPLIT_FULL, .peers = { &host_switch }, .quick = true },
	{ "W6", "", &bench_latency, BOTH, { 64 }, .peers = { &net_vhost }, .quick = true },
	{ "W7", "1", &bench_scale, SPLIT, { 64 }, .peers = { &net_vhost }, .nb_peers = 1,
			.quick = true },
	{ "W7", "16", &bench_scale, SPLIT, { 64 }, .peers = { &net_vhost }, .nb_peers = 16 },
	{ "W7", "64", &bench_scale, SPLIT, { 64 }, .peers = { &net_vhost }, .nb_peers = 64,
			.quick = true },
	{ "W7", "256", &bench_scale, SPLIT, { 64 }, .peers = { &net_vhost }, .nb_peers = 256 },
	{ "W8", "", &bench_idle, SPLIT, { 64 }, .peers = { &net_vhost }, .quick = true },
	{ "floor", "", &bench_floor, BOTH, { 64 }, .peers = { &ring_walk }, .quick = true },
	{ 0 },
};

/** Sizes that a quick run has. */
static bool
is_quick_size(uint32_t size)
{
	return size == 64 || size == 1518 || size == K64;
}

static bool
is_selected(const struct bench_selection *selection, const struct bench_workload *workload,
		uint32_t size)
{
	if (selection->workload != NULL && strcmp(selection->workload, workload->name) != 0)
		return false;
	if (selection->size != 0 && selection->size != size)
		return false;
	return !selection->quick || (workload->quick && is_quick_size(size));
}

unsigned int
bench_plan_points(const struct bench_selection *selection, const struct bench_workload *workload,
		struct bench_point *points, unsigned int nb)
{
	unsigned int nb_points = 0, packed, i;

	for (packed = 0; packed < 2; packed++) {
		if (!(workload->rings & (packed ? PACKED : SPLIT)))
			continue;
		for (i = 0; i < BENCH_MAX_SIZES && workload->sizes[i] != 0; i++)
			if (nb_points < nb && is_selected(selection, workload, workload->sizes[i]))
				points[nb_points++] = (struct bench_point){
					.workload = workload,
					.packed = packed,
					.frame_bytes = workload->sizes[i],
				};
	}
	return nb_points;
}

/** memif has one ring format, loses frames that it has to cut into buffers, and its other side is
 * no generator but a thread.
 */
static bool
fits(const struct bench_selection *selection, const struct bench_contender *peer,
		const struct bench_point *point)
{
	return peer->kind != BENCH_MEMIF ||
			(!point->packed && point->frame_bytes <= MEMIF_BYTES &&
					!selection->one_thread);
}

/** Whether a word is in a list with commas; any is in none. */
static bool
is_listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list != NULL) {
		if (strncmp(list, word, len) == 0 && (list[len] == '\0' || list[len] == ','))
			return true;
		list = strchr(list, ',');
		if (list == NULL)
			return false;
		list++;
	}
	return true;
}

bool
bench_is_ours(const struct bench_contender *contender)
{
	return contender->driver != NULL && strcmp(contender->driver, "net_vpci") == 0;
}

unsigned int
bench_plan_contenders(const struct bench_selection *selection, const struct bench_point *point,
		struct bench_contender *contenders)
{
	static const struct bench_contender ours[] = {
		{ "net_vpci", BENCH_PORT, "net_vpci", "off", "zero-copy=off" },
		{ "net_vpci", BENCH_PORT, "net_vpci", "split", "zero-copy=split" },
		{ "net_vpci", BENCH_PORT, "net_vpci", "full", "zero-copy=full" },
	};
	static const struct bench_contender plain = {
		"net_vpci",
		BENCH_PORT,
		"net_vpci",
		"default",
		"",
	};
	const struct bench_workload *workload = point->workload;
	bool by_mode = workload->modes_from != 0 && point->frame_bytes >= workload->modes_from &&
			selection->has_zero_copy;
	unsigned int nb = 0, i;

	for (i = 0; by_mode && i < workload->nb_modes; i++)
		if (is_listed(selection->modes, ours[i].mode))
			contenders[nb++] = ours[i];
	if (nb == 0)
		contenders[nb++] = plain;
	for (i = 0; i < sizeof(workload->peers) / sizeof(workload->peers[0]); i++)
		if (workload->peers[i] != NULL && fits(selection, workload->peers[i], point))
			contenders[nb++] = *workload->peers[i];
	return nb;
}
