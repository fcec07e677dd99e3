/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <inttypes.h>
#include <math.h>

#include "bench.h"
#include "bench_syscall.h"

/** Share of disturbed samples from which a run is not to be trusted. */
#define MAX_DISTURBED 0.1

static const char *
ring_name(const struct bench_point *point)
{
	return point->packed ? "packed" : "split";
}

/** The case's name: the workload's, the metric's, or both. */
static void
case_name(const struct bench_row *row, char *name, size_t size)
{
	const char *variant = row->point->workload->variant, *metric = row->metric->name;

	snprintf(name, size, "%s%s%s", variant, *variant && *metric ? " " : "", metric);
}

void
bench_report_head(void)
{
	printf("%-5s %-9s %-6s %5s %-7s | %9s %-11s %9s %-13s | %6s %-13s | %s\n", "", "", "", "",
			"mode of", "", "", "", "", "ours/", "", "cycles per packet");
	printf("%-5s %-9s %-6s %5s %-7s | %9s %-11s %9s %-13s | %6s %-13s | %s\n", "work", "case",
			"ring", "bytes", "ours", "ours", "peer", "peer", "unit", "peer", "min-max",
			"ours peer (kicks, calls, system calls per M)");
	fflush(stdout);
}

/** A figure, or a dash where there is none. */
static const char *
figure(double value, const char *format, char text[16])
{
	if (isnan(value))
		snprintf(text, 16, "-");
	else
		snprintf(text, 16, format[0] == '2' ? "%.2f" : "%.0f", value);
	return text;
}

static uint64_t
per_million(uint64_t nb, uint64_t nb_packets)
{
	return nb_packets == 0 ? 0 : (nb * 1000000 + nb_packets / 2) / nb_packets;
}

static void
print_counters(const struct bench_sample *sample)
{
	if (!sample->valid || sample->nb_packets == 0)
		return;
	printf(" %.0f", sample->cycles);
	printf(" (%" PRIu64 ",%" PRIu64 ",", per_million(sample->nb_kicks, sample->nb_packets),
			per_million(sample->nb_calls, sample->nb_packets));
	if (sample->nb_syscalls == BENCH_SYSCALL_UNKNOWN)
		printf("-)");
	else
		printf("%" PRIu64 ")", sample->nb_syscalls);
}

static void
print_row(const struct bench_row *row)
{
	const struct bench_summary *summary = &row->summary;
	char name[32], spread[40], a[16], b[16];

	case_name(row, name, sizeof(name));
	printf("%-5s %-9s %-6s %5u %-7s |", row->point->workload->name, name, ring_name(row->point),
			row->point->frame_bytes, row->ours->mode);
	printf(" %9s %-11s", figure(summary->ours, "2", a),
			row->peer != NULL ? row->peer->name : "");
	printf(" %9s %-13s |", figure(summary->peer, "2", b), row->metric->unit);
	snprintf(spread, sizeof(spread), "%s-%s", figure(summary->ratio_min, "2", a),
			figure(summary->ratio_max, "2", b));
	printf(" %6s %-13s |", figure(summary->ratio, "2", a), spread);
	print_counters(&row->ours_total);
	print_counters(&row->peer_total);
	printf("%s\n", row->ours_total.valid ? "" : " FAILED");
	if (row->peer != NULL && row->peer->kind != BENCH_WALK && row->peer->kind != BENCH_MEMIF &&
			row->peer_total.valid && row->peer_total.features != 0 &&
			row->peer_total.features != row->ours_total.features)
		printf("      features negotiated differ: ours 0x%" PRIx64 ", peer 0x%" PRIx64 "\n",
				row->ours_total.features, row->peer_total.features);
	fflush(stdout);
}

/** A number, or null where there is none. */
static void
put_number(FILE *file, const char *name, double value)
{
	if (isnan(value))
		fprintf(file, ",\"%s\":null", name);
	else
		fprintf(file, ",\"%s\":%.6g", name, value);
}

/** Counters of one side; names begin with its name. */
static void
put_counters(FILE *file, const char *side, const struct bench_sample *sample)
{
	if (!sample->valid)
		return;
	fprintf(file, ",\"%s_features\":\"0x%" PRIx64 "\"", side, sample->features);
	if (sample->lost >= 0)
		fprintf(file, ",\"%s_lost\":%.4f", side, sample->lost);
	if (sample->nb_packets == 0)
		return;
	fprintf(file, ",\"%s_packets\":%" PRIu64, side, sample->nb_packets);
	fprintf(file, ",\"%s_cycles\":%.1f,\"%s_kicks\":%" PRIu64 ",\"%s_calls\":%" PRIu64, side,
			sample->cycles, side, per_million(sample->nb_kicks, sample->nb_packets),
			side, per_million(sample->nb_calls, sample->nb_packets));
	if (sample->nb_syscalls != BENCH_SYSCALL_UNKNOWN)
		fprintf(file, ",\"%s_syscalls\":%" PRIu64, side, sample->nb_syscalls);
}

static void
put_row(FILE *file, const struct bench_row *row)
{
	const struct bench_summary *summary = &row->summary;
	char name[32];

	case_name(row, name, sizeof(name));
	fprintf(file, "{\"workload\":\"%s\",\"case\":\"%s\",\"ring\":\"%s\",\"size\":%u,",
			row->point->workload->name, name, ring_name(row->point),
			row->point->frame_bytes);
	fprintf(file, "\"mode\":\"%s\"", row->ours->mode);
	put_number(file, "ours", summary->ours);
	fprintf(file, ",\"peer_name\":\"%s\"", row->peer != NULL ? row->peer->name : "");
	put_number(file, "peer", summary->peer);
	put_number(file, "ratio", summary->ratio);
	fprintf(file, ",\"unit\":\"%s\",\"better\":\"%s\"", row->metric->unit,
			row->metric->lower_is_better ? "lower" : "higher");
	if (isnan(summary->ratio))
		fprintf(file, ",\"spread\":null");
	else
		fprintf(file, ",\"spread\":[%.6g,%.6g]", summary->ratio_min, summary->ratio_max);
	fprintf(file, ",\"rounds\":%u", summary->nb_pairs);
	put_counters(file, "ours", &row->ours_total);
	put_counters(file, "peer", &row->peer_total);
	fprintf(file, "}\n");
	fflush(file);
}

void
bench_report_row(struct bench_output *output, const struct bench_row *row)
{
	print_row(row);
	output->nb_rows++;
	if (output->json != NULL)
		put_row(output->json, row);
	if (!row->metric->lower_is_better && row->summary.ratio < output->at_least) {
		printf("      below the bound of %.2f\n", output->at_least);
		output->nb_low++;
	}
}

void
bench_report_noise(const struct bench_conf *conf, const struct bench_output *output)
{
	double share = output->nb_samples == 0 ? 0
					       : (double)output->nb_disturbed / output->nb_samples;

	if (conf->one_thread)
		printf("\nfront-end and back-end took turns on processor %d\n", conf->backend_cpu);
	else
		printf("\nfront-end on processor %d, back-end on processor %d, both pinned\n",
				conf->frontend_cpu, conf->backend_cpu);
	printf("%u of %u measurements lost more than 2 %% of their time to others%s\n",
			output->nb_disturbed, output->nb_samples,
			share > MAX_DISTURBED
					? ": THE MACHINE IS TOO NOISY, the figures are not to "
					  "be trusted"
					: "");
}
