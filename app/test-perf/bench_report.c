/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench.h"

static const char *
ring_name(const struct bench_workload *workload)
{
	return workload->packed ? "packed" : "split";
}

void
bench_report_head(const struct bench_backend *peer)
{
	printf("%-4s %-8s %-6s %5s | %9s %7s | %9s %7s | %5s %s\n", "", "", "", "", "net_vpci", "",
			peer->name, "", "ours/", "");
	printf("%-4s %-8s %-6s %5s | %9s %7s | %9s %7s | %5s %s\n", "work", "port", "ring", "bytes",
			"Mpps", "cyc/pkt", "Mpps", "cyc/pkt", "peer", "min-max");
	fflush(stdout);
}

void
bench_report_row(const struct bench_workload *workload, const struct bench_result *result)
{
	printf("%-4s %-8s %-6s %5u | %9.2f %7.0f | %9.2f %7.0f | %5.2f %.2f-%.2f\n", workload->name,
			bench_kind_name(workload->kind), ring_name(workload), workload->frame_bytes,
			result->ours.mpps, result->ours.cycles, result->peer.mpps,
			result->peer.cycles, result->ratio, result->ratio_min, result->ratio_max);
	fflush(stdout);
}

void
bench_report_json(FILE *file, const struct bench_workload *workload,
		const struct bench_backend *peer, const struct bench_result *result)
{
	fprintf(file,
			"{\"workload\":\"%s\",\"ring\":\"%s\",\"size\":%u,\"mode\":\"%s\","
			"\"ours\":%.4f,"
			"\"peer_name\":\"%s\",\"peer\":%.4f,\"ratio\":%.4f,\"unit\":\"Mpps\","
			"\"spread\":[%.4f,%.4f],\"ours_cycles\":%.1f,\"peer_cycles\":%.1f,"
			"\"kicks\":%llu}\n",
			workload->name, ring_name(workload), workload->frame_bytes,
			bench_kind_name(workload->kind), result->ours.mpps, peer->name,
			result->peer.mpps, result->ratio, result->ratio_min, result->ratio_max,
			result->ours.cycles, result->peer.cycles,
			(unsigned long long)result->ours.nb_kicks);
	fflush(file);
}
