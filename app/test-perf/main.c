/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "bench.h"
#include "bench_memif.h"
#include "bench_port.h"
#include "bench_scale.h"

/** Processes of DPDK have so many arguments at most. */
#define MAX_ARGS 24

/** Enough for packets of 64K in bursts, and for what ports keep. */
#define NB_MBUF 32767

/** What the command line says. */
struct options {
	struct bench_conf conf;
	struct bench_selection selection;
	struct bench_output output;
	const char *json;
	const char *simd_bits;
	const char *farm; /**< This process is one of bench_scale.h's. */
	bool verbose;
};

enum {
	KEY_PORT_ARGS = 0x100,
	KEY_MODES,
	KEY_SIMD,
	KEY_BUDGET,
	KEY_FARM,
	KEY_PROFILE,
};

static const struct argp_option argp_options[] = {
	{ "plugin", 'd', "FILE", 0, "Driver plugin to load", 0 },
	{ "rounds", 'r', "N", 0, "Measure each contender as often (5)", 0 },
	{ "window", 'w', "MS", 0, "Measured time of a measurement (300)", 0 },
	{ "budget", KEY_BUDGET, "S", 0, "Fewer rounds, but three, if it would take longer", 0 },
	{ "workload", 'W', "NAME", 0, "This workload only, such as W1 or floor", 0 },
	{ "size", 's', "BYTES", 0, "This frame size only", 0 },
	{ "quick", 'q', NULL, 0, "Fewer workloads, sizes", 0 },
	{ "modes", KEY_MODES, "LIST", 0, "Zero-copy modes of ours: off,split,full", 0 },
	{ "port-args", KEY_PORT_ARGS, "ARGS", 0, "More device arguments for net_vpci", 0 },
	{ "simd", KEY_SIMD, "BITS", 0, "Widest vectors that drivers may use", 0 },
	{ "frontend-cpu", 'f', "CPU", 0, "Processor of the front-end (0)", 0 },
	{ "backend-cpu", 'b', "CPU", 0, "Processor of the back-end (1)", 0 },
	{ "json", 'j', "FILE", 0, "Write a line of JSON for each row", 0 },
	{ "at-least", 'a', "RATIO", 0, "Fail if a row's ratio is lower", 0 },
	{ "one-thread", '1', NULL, 0,
			"Poll generator and back-end in turn, on one processor: cycles without the "
			"traffic between caches",
			0 },
	{ "profile", KEY_PROFILE, NULL, 0,
			"No proof and no warm-up, for a run beneath a profiler: what it counts "
			"is of the packets that the results name",
			0 },
	{ "no-huge", 'n', NULL, 0, "Ordinary pages for front-end and back-end", 0 },
	{ "verbose", 'v', NULL, 0, "Show the drivers' messages", 0 },
	{ "farm", KEY_FARM, "SPEC", OPTION_HIDDEN, NULL, 0 },
	{ 0 },
};

/** A number that is not negative. */
static unsigned int
number(const char *arg, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(arg, &end, 0);

	if (end == arg || *end != '\0' || value > INT_MAX)
		argp_error(state, "%s is no number", arg);
	return (unsigned int)value;
}

/** Options that select what to measure, and how. */
static error_t
parse_selection(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'W':
		options->selection.workload = arg;
		break;
	case 's':
		options->selection.size = number(arg, state);
		break;
	case 'q':
		options->selection.quick = true;
		break;
	case KEY_MODES:
		options->selection.modes = arg;
		break;
	case 'r':
		options->conf.rounds = number(arg, state);
		if (options->conf.rounds == 0)
			argp_error(state, "at least one round");
		break;
	case 'w':
		options->conf.window_ms = number(arg, state);
		break;
	case KEY_BUDGET:
		options->conf.budget_s = number(arg, state);
		break;
	case 'a':
		options->output.at_least = strtod(arg, NULL);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static error_t
parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'd':
		options->conf.plugin = arg;
		break;
	case 'f':
		options->conf.frontend_cpu = (int)number(arg, state);
		break;
	case 'b':
		options->conf.backend_cpu = (int)number(arg, state);
		break;
	case 'j':
		options->json = arg;
		break;
	case KEY_PORT_ARGS:
		options->conf.port_args = arg[0] != '\0' ? arg : NULL;
		break;
	case KEY_SIMD:
		options->simd_bits = arg;
		break;
	case KEY_FARM:
		options->farm = arg;
		break;
	case '1':
		options->conf.one_thread = true;
		options->selection.one_thread = true;
		break;
	case KEY_PROFILE:
		options->conf.profile = true;
		break;
	case 'n':
		options->conf.hugepages = false;
		break;
	case 'v':
		options->verbose = true;
		break;
	default:
		return parse_selection(key, arg, state);
	}
	return 0;
}

static int
eal_start(const struct options *options)
{
	char lcores[32], prefix[64], plugin[PATH_MAX], simd[64];
	const char *argv[MAX_ARGS];
	/* The EAL permutes its arguments and writes to none of them. */
	union {
		const char **words;
		char **eal;
	} args = { .words = argv };
	int argc = 0;

	snprintf(lcores, sizeof(lcores), "0@%d", options->conf.backend_cpu);
	snprintf(prefix, sizeof(prefix), "--file-prefix=vpcibench%d", (int)getpid());
	argv[argc++] = "vhost-pci-bench";
	argv[argc++] = "--lcores";
	argv[argc++] = lcores;
	argv[argc++] = "--no-pci";
	argv[argc++] = "--no-telemetry";
	argv[argc++] = prefix;
	argv[argc++] = options->conf.hugepages ? "--in-memory" : "--no-huge";
	if (options->conf.hugepages)
		argv[argc++] = "--single-file-segments"; /* virtio_user shares few files */
	argv[argc++] = "-m";
	argv[argc++] = options->farm != NULL ? "64" : "256";
	argv[argc++] = options->verbose ? "--log-level=info" : "--log-level=error";
	if (options->simd_bits != NULL) {
		snprintf(simd, sizeof(simd), "--force-max-simd-bitwidth=%s", options->simd_bits);
		argv[argc++] = simd;
	}
	if (options->conf.plugin != NULL) {
		snprintf(plugin, sizeof(plugin), "%s", options->conf.plugin);
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

/** Find out what this driver can do, then measure. */
static int
run(struct options *options)
{
	char devargs[PATH_MAX];
	int ret;

	ret = bench_pool_create(NB_MBUF);
	if (ret < 0)
		return ret;
	snprintf(devargs, sizeof(devargs), "iface=%s/probe.sock,zero-copy=split",
			options->conf.dir);
	options->selection.has_zero_copy = bench_port_accepts("net_vpci_probe", devargs);
	bench_report_head();
	ret = bench_run_all(&options->conf, &options->selection, &options->output);
	if (options->output.nb_rows > 0)
		bench_report_noise(&options->conf, &options->output);
	if (!options->selection.has_zero_copy)
		printf("this net_vpci knows no zero-copy: its modes were not told apart\n");
	if (ret == -ENOENT)
		fprintf(stderr, "no workload is selected\n");
	return ret == 0 && options->output.nb_low > 0 ? -ERANGE : ret;
}

/** The benchmark, with a folder of its own. */
static int
run_in_dir(struct options *options)
{
	char dir[] = "/tmp/vhost-pci-bench-XXXXXX";
	int ret;

	if (mkdtemp(dir) == NULL) {
		fprintf(stderr, "%s: %s\n", dir, strerror(errno));
		return -errno;
	}
	options->conf.dir = dir;
	ret = eal_start(options);
	if (ret == 0)
		ret = run(options);
	options->conf.dir = NULL;
	if (!bench_memif_is_open())
		rte_eal_cleanup();
	if (rmdir(dir) < 0)
		fprintf(stderr, "%s is left: %s\n", dir, strerror(errno));
	return ret;
}

int
main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse_option,
		.doc = "Compares net_vpci with others, driven by one generator front-end.",
	};
	struct options options = {
		.conf = { .rounds = 5,
				.window_ms = 300,
				.frontend_cpu = 0,
				.backend_cpu = 1,
				.hugepages = true },
	};
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	if (options.farm != NULL) {
		ret = eal_start(&options);
		if (ret == 0)
			ret = bench_farm_main(options.farm);
		rte_eal_cleanup();
		return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	if (options.json != NULL) {
		options.output.json = fopen(options.json, "w");
		if (options.output.json == NULL) {
			fprintf(stderr, "%s: %s\n", options.json, strerror(errno));
			return EXIT_FAILURE;
		}
	}
	ret = run_in_dir(&options);
	if (options.output.json != NULL && fclose(options.output.json) != 0 && ret == 0) {
		fprintf(stderr, "%s: %s\n", options.json, strerror(errno));
		ret = -errno;
	}
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
