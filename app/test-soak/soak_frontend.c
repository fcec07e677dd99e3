/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A front-end of a soak: it sends frames that carry their own proof, and checks what comes back.
 * On standard output it says
 *
 *   up                                     it is connected, traffic begins
 *   count SENT RECEIVED BAD LOST LATE FOREIGN   so far, several times a second
 *   down                                   the back-end has closed the connection
 *   committed                              the fault that was asked for
 *   done                                   all that was sent has come back
 *   hang, broken WHY                       what must not be
 *
 * and on standard input it is told "finish", or "FAULT SEED".
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>

#include "soak_frontend.h"
#include "tfe_time.h"

#define REPORT_MS 250

/** How long the rings are left alone between two bursts: others want the processor, too. */
#define PACE_MS 1

#define MEM_BYTES (UINT64_C(32) << 20)

/** The command line. */
struct args {
	const char *path;
	uint16_t stream;
	uint32_t frame_bytes;
	bool packed;
	bool mergeable;
	bool indirect;
	bool sealed;
};

static void
report(const struct soak_frontend *fe)
{
	struct tfe_gen_stats tx, rx;

	tfe_gen_stats(fe->tx, &tx);
	tfe_gen_stats(fe->rx, &rx);
	printf("count %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			tx.nb_packets, rx.nb_packets, rx.nb_bad, rx.nb_lost, rx.nb_late,
			rx.nb_foreign);
}

static int
open_device(struct soak_frontend *fe, const struct args *args)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = args->path;
	conf.timeout_ms = SOAK_TIMEOUT_MS;
	conf.mem_bytes = MEM_BYTES;
	conf.mem_flags = args->sealed ? TFE_MEM_SEAL_SHRINK : 0;
	if (args->packed)
		conf.features |= TFE_BIT(VIRTIO_F_RING_PACKED);
	if (args->mergeable)
		conf.features |= TFE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (args->indirect)
		conf.features |= TFE_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	return tfe_dev_open(&fe->dev, &conf);
}

static int
make_generators(struct soak_frontend *fe, const struct args *args)
{
	struct tfe_gen_conf conf = {
		.dir = TFE_GEN_TRANSMIT,
		.layout = args->indirect ? TFE_GEN_INDIRECT : TFE_GEN_SINGLE,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = args->frame_bytes,
		.nb_segs = args->indirect ? 3 : 1,
		.stream = args->stream,
	};
	int ret = tfe_gen_create(&fe->tx, &fe->dev, 0, &conf);

	if (ret < 0)
		return ret;
	conf.dir = TFE_GEN_RECEIVE;
	conf.layout = TFE_GEN_SINGLE;
	conf.one_stream = true;
	/* A mergeable one takes several buffers for a large frame. */
	conf.buf_bytes = args->mergeable ? 2048 : args->frame_bytes;
	return tfe_gen_create(&fe->rx, &fe->dev, 0, &conf);
}

/** A line of standard input: whether the front-end lives on. */
static enum soak_next
obey(struct soak_frontend *fe, bool *finish)
{
	enum soak_next next = SOAK_GO_ON;
	char line[64], *rest, *name, *seed;

	if (fgets(line, sizeof(line), stdin) == NULL)
		return SOAK_END;
	name = strtok_r(line, " \n", &rest);
	seed = strtok_r(NULL, " \n", &rest);
	if (name == NULL)
		return SOAK_GO_ON;
	if (strcmp(name, "finish") == 0) {
		*finish = true;
		return SOAK_GO_ON;
	}
	fe->seed = seed == NULL ? 0 : strtoull(seed, NULL, 0);
	if (soak_fault(fe, name, &next) < 0)
		return SOAK_HANG;
	puts("committed");
	return next;
}

static int
move_packets(struct soak_frontend *fe, bool finish)
{
	int ret = finish ? tfe_gen_drain(fe->tx, 0) : tfe_gen_poll(fe->tx);

	if (ret >= 0 || ret == -ETIMEDOUT)
		ret = tfe_gen_poll(fe->rx);
	return ret < 0 ? ret : 0;
}

static bool
all_back(const struct soak_frontend *fe)
{
	struct tfe_gen_stats tx, rx;

	tfe_gen_stats(fe->tx, &tx);
	tfe_gen_stats(fe->rx, &rx);
	return fe->dev.rings[1].nb_outstanding == 0 && tx.nb_packets == rx.nb_packets;
}

static void
complain(const struct soak_frontend *fe)
{
	const char *error = tfe_gen_error(fe->tx);

	printf("broken %s\n", error != NULL ? error : tfe_gen_error(fe->rx));
}

/** Traffic, until one of the sides has had enough. */
static enum soak_next
run(struct soak_frontend *fe)
{
	struct pollfd pfds[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = fe->dev.conn.fd, .events = POLLIN },
	};
	uint64_t report_ns = 0;
	enum soak_next next = SOAK_GO_ON;
	bool finish = false;

	while (next == SOAK_GO_ON) {
		if (tfe_now_ns() >= fe->idle_end_ns && move_packets(fe, finish) < 0) {
			complain(fe);
			return SOAK_HANG;
		}
		if (tfe_now_ns() >= report_ns) {
			report(fe);
			report_ns = tfe_deadline_ns(REPORT_MS);
		}
		if (finish && all_back(fe)) {
			report(fe);
			puts("done");
			return SOAK_END;
		}
		if (poll(pfds, 2, PACE_MS) <= 0)
			continue;
		if (pfds[1].revents != 0) {
			puts("down");
			return SOAK_END;
		}
		next = obey(fe, &finish);
	}
	return next;
}

static int
parse_args(int argc, char **argv, struct args *args)
{
	static const struct option options[] = {
		{ "stream", required_argument, NULL, 's' },
		{ "size", required_argument, NULL, 'z' },
		{ "packed", no_argument, NULL, 'p' },
		{ "mergeable", no_argument, NULL, 'm' },
		{ "indirect", no_argument, NULL, 'i' },
		{ "sealed", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		args->packed |= option == 'p';
		args->mergeable |= option == 'm';
		args->indirect |= option == 'i';
		args->sealed |= option == 'l';
		if (option == 's')
			args->stream = (uint16_t)strtoul(optarg, NULL, 0);
		else if (option == 'z')
			args->frame_bytes = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == '?')
			return -EINVAL;
	}
	if (optind + 1 != argc)
		return -EINVAL;
	args->path = argv[optind];
	return 0;
}

int
main(int argc, char **argv)
{
	struct args args = { .frame_bytes = 200 };
	struct soak_frontend fe = { .idle_end_ns = 0 };
	enum soak_next next = SOAK_END;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* A line at a time, so that poll(2) sees the next one. */
	setvbuf(stdin, NULL, _IONBF, 0);
	if (parse_args(argc, argv, &args) < 0) {
		fprintf(stderr,
				"usage: %s [--stream N] [--size N] [--packed] [--mergeable] "
				"[--indirect] [--sealed] SOCKET\n",
				argv[0]);
		return 2;
	}
	/* The back-end may be without fds or memory, or its port just be gone. */
	if (open_device(&fe, &args) < 0) {
		puts("refused");
		return EXIT_SUCCESS;
	}
	if (make_generators(&fe, &args) == 0) {
		puts("up");
		next = run(&fe);
	}
	if (next == SOAK_HANG)
		puts("hang");
	tfe_gen_destroy(fe.tx);
	tfe_gen_destroy(fe.rx);
	tfe_dev_close(&fe.dev);
	return next == SOAK_HANG ? EXIT_FAILURE : EXIT_SUCCESS;
}
