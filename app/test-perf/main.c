/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

/** The rows, in the order of the performance page. */
static const struct bench_workload workloads[] = {
	{ "W1", BENCH_RECEIVE, false, 64 },
	{ "W1", BENCH_RECEIVE, false, 256 },
	{ "W1", BENCH_RECEIVE, false, 1518 },
	{ "W2", BENCH_RECEIVE, true, 64 },
	{ "W2", BENCH_RECEIVE, true, 256 },
	{ "W2", BENCH_RECEIVE, true, 1518 },
	{ "W3", BENCH_TRANSMIT, false, 64 },
	{ "W3", BENCH_TRANSMIT, false, 256 },
	{ "W3", BENCH_TRANSMIT, false, 1518 },
	{ "W3", BENCH_TRANSMIT, true, 64 },
	{ "W3", BENCH_TRANSMIT, true, 256 },
	{ "W3", BENCH_TRANSMIT, true, 1518 },
};

static const struct bench_backend ours = { "net_vpci", "net_vpci_bench", "" };
static const struct bench_backend vhost = { "net_vhost", "net_vhost_bench", "queues=1" };

/** What the command line says. */
struct options {
	struct bench_conf conf;
	const char *plugin;
	const char *json;
	const char *only;
	int backend_cpu;
	uint32_t size;
	double at_least;
	bool verbose;
};

static const struct argp_option argp_options[] = {
	{ "plugin", 'd', "FILE", 0, "Driver plugin to load", 0 },
	{ "rounds", 'r', "N", 0, "Pairs of measurements for a row (5)", 0 },
	{ "window", 'w', "MS", 0, "Measured time of a measurement (500)", 0 },
	{ "workload", 'W', "NAME", 0, "Rows of this workload only, such as W1", 0 },
	{ "size", 's', "BYTES", 0, "Rows of this frame size only", 0 },
	{ "frontend-cpu", 'f', "CPU", 0, "Processor of the front-end (0)", 0 },
	{ "backend-cpu", 'b', "CPU", 0, "Processor of the back-end (1)", 0 },
	{ "json", 'j', "FILE", 0, "Write a line of JSON for each row", 0 },
	{ "at-least", 'a', "RATIO", 0, "Fail if a row's ratio is lower", 0 },
	{ "one-thread", '1', NULL, 0,
			"Poll generator and back-end in turn, on one processor: cycles without the "
			"traffic between caches",
			0 },
	{ "no-huge", 'n', NULL, 0, "Ordinary pages for front-end and back-end", 0 },
	{ "verbose", 'v', NULL, 0, "Show the drivers' messages", 0 },
	{ 0 },
};

static error_t
parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'd':
		options->plugin = arg;
		break;
	case 'r':
		options->conf.rounds = (unsigned int)strtoul(arg, NULL, 0);
		if (options->conf.rounds == 0)
			argp_error(state, "at least one round");
		break;
	case 'w':
		options->conf.window_ms = (unsigned int)strtoul(arg, NULL, 0);
		break;
	case 'W':
		options->only = arg;
		break;
	case 's':
		options->size = (uint32_t)strtoul(arg, NULL, 0);
		break;
	case 'f':
		options->conf.frontend_cpu = (int)strtol(arg, NULL, 0);
		break;
	case 'b':
		options->backend_cpu = (int)strtol(arg, NULL, 0);
		break;
	case 'j':
		options->json = arg;
		break;
	case 'a':
		options->at_least = strtod(arg, NULL);
		break;
	case '1':
		options->conf.one_thread = true;
		break;
	case 'n':
		options->conf.hugepages = false;
		break;
	case 'v':
		options->verbose = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int
eal_start(const struct options *options)
{
	char lcores[32], prefix[64], plugin[PATH_MAX];
	const char *argv[16];
	/* The EAL permutes its arguments and writes to none of them. */
	union {
		const char **words;
		char **eal;
	} args = { .words = argv };
	int argc = 0;

	snprintf(lcores, sizeof(lcores), "0@%d", options->backend_cpu);
	snprintf(prefix, sizeof(prefix), "--file-prefix=vpcibench%d", (int)getpid());
	argv[argc++] = "vhost-pci-bench";
	argv[argc++] = "--lcores";
	argv[argc++] = lcores;
	argv[argc++] = "--no-pci";
	argv[argc++] = "--no-telemetry";
	argv[argc++] = prefix;
	argv[argc++] = options->conf.hugepages ? "--in-memory" : "--no-huge";
	argv[argc++] = "-m";
	argv[argc++] = "256";
	argv[argc++] = options->verbose ? "--log-level=info" : "--log-level=error";
	if (options->plugin != NULL) {
		snprintf(plugin, sizeof(plugin), "%s", options->plugin);
		argv[argc++] = "-d";
		argv[argc++] = plugin;
	}
	argv[argc] = NULL;
	if (rte_eal_init(argc, args.eal) < 0) {
		fprintf(stderr, "cannot start the EAL: %s\n", rte_strerror(rte_errno));
		return -rte_errno;
	}
	return 0;
}

static bool
is_selected(const struct options *options, const struct bench_workload *workload)
{
	return (options->only == NULL || strcmp(options->only, workload->name) == 0) &&
			(options->size == 0 || options->size == workload->frame_bytes);
}

/** @return 0; 1 where a ratio is too low; negative errno. */
static int
run_all(const struct options *options, FILE *json)
{
	struct bench_result result;
	int verdict = 0;
	size_t i;
	int ret;

	bench_report_head(&vhost);
	for (i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (!is_selected(options, &workloads[i]))
			continue;
		ret = bench_compare(&options->conf, &workloads[i], &ours, &vhost, &result);
		if (ret < 0)
			return ret;
		bench_report_row(&workloads[i], &result);
		if (json != NULL)
			bench_report_json(json, &workloads[i], &vhost, &result);
		if (result.ratio < options->at_least) {
			printf("     below the bound of %.2f\n", options->at_least);
			verdict = 1;
		}
	}
	return verdict;
}

int
main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse_option,
		.doc = "Compares net_vpci with net_vhost, driven by one generator front-end.",
	};
	struct options options = {
		.conf = { .rounds = 5, .window_ms = 500, .frontend_cpu = 0, .hugepages = true },
		.backend_cpu = 1,
	};
	char dir[] = "/tmp/vhost-pci-bench-XXXXXX";
	FILE *json = NULL;
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (options.json != NULL) {
		json = fopen(options.json, "w");
		if (json == NULL) {
			fprintf(stderr, "%s: %s\n", options.json, strerror(errno));
			return EXIT_FAILURE;
		}
	}
	if (mkdtemp(dir) == NULL) {
		fprintf(stderr, "%s: %s\n", dir, strerror(errno));
		return EXIT_FAILURE;
	}
	options.conf.dir = dir;
	ret = eal_start(&options);
	if (ret == 0)
		ret = bench_pool_create();
	if (ret == 0)
		ret = run_all(&options, json);
	rte_eal_cleanup();
	rmdir(dir);
	if (json != NULL && fclose(json) != 0 && ret == 0)
		ret = -errno;
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
