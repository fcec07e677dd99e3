/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define EXIT_USAGE 2

/* As a driver for speed does: leave the rings alone until there is work for a while. */
#define MIN_BURST 32

static const char help[] =
		"Usage: vhost-user-frontend [OPTION]... SOCKET\n"
		"Drive a vhost-user network back-end through its socket: send it packets,\n"
		"receive what it sends, or measure round trips. Directions are those of the\n"
		"front-end: what it transmits, the back-end receives.\n"
		"\n"
		"What to do:\n"
		"  -m, --mode=MODE       tx, rx, both or ping (both)\n"
		"  -t, --seconds=N       how long; 0: until interrupted (10)\n"
		"  -n, --packets=N       send N packets per queue, then end; ping: N round trips\n"
		"  -z, --size=BYTES      length of a frame, without FCS (64)\n"
		"  -V, --verify          number each packet, check every byte of those received\n"
		"  -T, --touch           write each packet anew, read each received one\n"
		"  -R, --reconnect       when the back-end goes away, wait for it and go on\n"
		"\n"
		"Connection and memory:\n"
		"  -s, --server          listen on SOCKET (the back-end connects)\n"
		"  -w, --wait=SECONDS    how long to wait for the back-end (10)\n"
		"  -M, --memory=MIB      size of the shared memory (64 for each queue pair)\n"
		"  -g, --huge            hugepages of 2 MiB\n"
		"      --slots           announce memory by ADD_MEM_REG\n"
		"      --no-ack          don't ask for an answer to each message\n"
		"\n"
		"Virtqueues:\n"
		"  -q, --queues=N        queue pairs (1)\n"
		"  -p, --packed          packed rings\n"
		"  -r, --ring-size=N     descriptors in each ring (256)\n"
		"  -H, --header=KIND     legacy (10 bytes), modern or mergeable (modern)\n"
		"  -l, --layout=LAYOUT   of packets sent: single, chain or indirect (single)\n"
		"      --segments=N      buffers of a frame in a chain or indirect table (1)\n"
		"  -b, --buffer=BYTES    room of a receive buffer (the frame, at least 1518)\n"
		"  -B, --burst=N         packets moved at a time (64)\n"
		"  -e, --event-idx       notification suppression by index\n"
		"  -i, --in-order        in-order use of descriptors\n"
		"\n"
		"  -c, --cpus=LIST       CPUs, a thread each, such as 0,1 (one, anywhere)\n"
		"  -j, --json            a summary in JSON, one line\n"
		"  -Q, --quiet           no rates while running\n"
		"  -h, --help            this text\n"
		"\n"
		"Exit status: 0 all went well, 1 the back-end failed or packets were damaged,\n"
		"2 usage.\n";

enum {
	OPT_SLOTS = 256,
	OPT_NO_ACK,
	OPT_SEGMENTS,
};

static const char short_options[] = "m:t:n:z:VTRsw:M:gq:pr:H:l:b:B:eic:jQh";

static const struct option long_options[] = {
	{ "mode", required_argument, NULL, 'm' },
	{ "seconds", required_argument, NULL, 't' },
	{ "packets", required_argument, NULL, 'n' },
	{ "size", required_argument, NULL, 'z' },
	{ "verify", no_argument, NULL, 'V' },
	{ "touch", no_argument, NULL, 'T' },
	{ "reconnect", no_argument, NULL, 'R' },
	{ "server", no_argument, NULL, 's' },
	{ "wait", required_argument, NULL, 'w' },
	{ "memory", required_argument, NULL, 'M' },
	{ "huge", no_argument, NULL, 'g' },
	{ "slots", no_argument, NULL, OPT_SLOTS },
	{ "no-ack", no_argument, NULL, OPT_NO_ACK },
	{ "queues", required_argument, NULL, 'q' },
	{ "packed", no_argument, NULL, 'p' },
	{ "ring-size", required_argument, NULL, 'r' },
	{ "header", required_argument, NULL, 'H' },
	{ "layout", required_argument, NULL, 'l' },
	{ "segments", required_argument, NULL, OPT_SEGMENTS },
	{ "buffer", required_argument, NULL, 'b' },
	{ "burst", required_argument, NULL, 'B' },
	{ "event-idx", no_argument, NULL, 'e' },
	{ "in-order", no_argument, NULL, 'i' },
	{ "cpus", required_argument, NULL, 'c' },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'Q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A number given to an option, within bounds. */
static int
parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && text[0] != '-' && *value >= min &&
			*value <= max)
		return 0;
	fprintf(stderr, "vhost-user-frontend: '%s' is no number from %ju to %ju\n", text,
			(uintmax_t)min, (uintmax_t)max);
	return -EINVAL;
}

static int
parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t wide = 0;
	int ret = parse_number(text, min, max, &wide);

	*value = (uint32_t)wide;
	return ret;
}

/* A word given to an option: its index in a list that ends with NULL. */
static int
parse_word(const char *text, const char *const *words, int *index)
{
	for (*index = 0; words[*index] != NULL; (*index)++)
		if (strcmp(text, words[*index]) == 0)
			return 0;
	fprintf(stderr, "vhost-user-frontend: '%s' is not one of", text);
	for (; *words != NULL; words++)
		fprintf(stderr, " %s", *words);
	fprintf(stderr, "\n");
	return -EINVAL;
}

static int
parse_mode(struct cli_conf *conf, const char *text)
{
	static const char *const words[] = { "tx", "rx", "both", "ping", NULL };
	int index;
	int ret = parse_word(text, words, &index);

	conf->mode = (enum cli_mode)index;
	return ret;
}

static int
parse_header(struct cli_conf *conf, const char *text)
{
	static const char *const words[] = { "legacy", "modern", "mergeable", NULL };
	int index;
	int ret = parse_word(text, words, &index);

	if (index == 0)
		conf->dev.features &= ~TFE_BIT(VIRTIO_F_VERSION_1);
	if (index == 2)
		conf->dev.required_features |= TFE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	return ret;
}

static int
parse_layout(struct cli_conf *conf, const char *text)
{
	static const char *const words[] = { "single", "chain", "indirect", NULL };
	int index;
	int ret = parse_word(text, words, &index);

	conf->tx.layout = (enum tfe_gen_layout)index;
	if (conf->tx.layout == TFE_GEN_INDIRECT)
		conf->dev.required_features |= TFE_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	return ret;
}

static int
parse_cpus(struct cli_conf *conf, const char *text)
{
	char *copy = strdup(text);
	char *rest = copy;
	char *word;
	int ret = copy != NULL ? 0 : -ENOMEM;

	conf->nb_workers = 0;
	while (ret == 0 && (word = strsep(&rest, ",")) != NULL) {
		uint32_t cpu;

		ret = conf->nb_workers < CLI_WORKERS ? parse_u32(word, 0, 1023, &cpu) : -E2BIG;
		if (ret == 0)
			conf->cpus[conf->nb_workers++] = (int)cpu;
	}
	free(copy);
	return ret;
}

static int
parse_memory(struct cli_conf *conf, const char *text)
{
	int ret = parse_number(text, 1, UINT64_C(1) << 20, &conf->dev.mem_bytes);

	conf->dev.mem_bytes <<= 20;
	return ret;
}

static int
parse_wait(struct cli_conf *conf, const char *text)
{
	uint32_t seconds = 0;
	int ret = parse_u32(text, 0, 1000000, &seconds);

	conf->dev.timeout_ms = (int)seconds * 1000;
	return ret;
}

static int
parse_ring_size(struct cli_conf *conf, const char *text)
{
	int ret = parse_u32(text, 1, TFE_RING_SIZE_MAX, &conf->dev.receiveq_size);

	conf->dev.transmitq_size = conf->dev.receiveq_size;
	return ret;
}

static int
parse_burst(struct cli_conf *conf, const char *text)
{
	int ret = parse_u32(text, 1, TFE_RING_SIZE_MAX, &conf->tx.burst);

	conf->rx.burst = conf->tx.burst;
	return ret;
}

static void
set_touch(struct cli_conf *conf, enum tfe_gen_touch touch)
{
	conf->tx.touch = touch;
	conf->rx.touch = touch;
}

/* Options without a value. @return 0, or -ENOENT for any other. */
static int
set_flag(struct cli_conf *conf, int option)
{
	switch (option) {
	case 'V':
		set_touch(conf, TFE_GEN_TOUCH_VERIFY);
		return 0;
	case 'T':
		set_touch(conf, TFE_GEN_TOUCH_PAYLOAD);
		return 0;
	case 'R':
		conf->reconnect = true;
		return 0;
	case 's':
		conf->dev.role = TFE_ROLE_SERVER;
		return 0;
	case 'g':
		conf->dev.mem_flags |= TFE_MEM_HUGE;
		return 0;
	case OPT_SLOTS:
		conf->dev.mem_slots = true;
		conf->dev.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
		return 0;
	case OPT_NO_ACK:
		conf->dev.need_reply = false;
		return 0;
	case 'p':
		conf->dev.required_features |= TFE_BIT(VIRTIO_F_RING_PACKED);
		return 0;
	case 'e':
		conf->dev.required_features |= TFE_BIT(VIRTIO_RING_F_EVENT_IDX);
		return 0;
	case 'i':
		conf->dev.required_features |= TFE_BIT(VIRTIO_F_IN_ORDER);
		return 0;
	case 'j':
		conf->json = true;
		return 0;
	case 'Q':
		conf->quiet = true;
		return 0;
	}
	return -ENOENT;
}

/* Options with a value. */
static int
set_value(struct cli_conf *conf, int option, const char *text)
{
	switch (option) {
	case 'm':
		return parse_mode(conf, text);
	case 't':
		return parse_u32(text, 0, 1000000, &conf->seconds);
	case 'n':
		return parse_number(text, 1, UINT64_MAX, &conf->tx.nb_packets);
	case 'z':
		return parse_u32(text, 14, TFE_GEN_FRAME_BYTES, &conf->tx.frame_bytes);
	case 'w':
		return parse_wait(conf, text);
	case 'M':
		return parse_memory(conf, text);
	case 'q':
		return parse_u32(text, 1, TFE_DEV_VRINGS / 2, &conf->dev.nb_pairs);
	case 'r':
		return parse_ring_size(conf, text);
	case 'H':
		return parse_header(conf, text);
	case 'l':
		return parse_layout(conf, text);
	case OPT_SEGMENTS:
		return parse_u32(text, 1, TFE_RING_TABLE_DESCS - 1, &conf->tx.nb_segs);
	case 'b':
		return parse_u32(text, 1, TFE_GEN_FRAME_BYTES, &conf->rx.buf_bytes);
	case 'B':
		return parse_burst(conf, text);
	case 'c':
		return parse_cpus(conf, text);
	}
	return -EINVAL;
}

/* What follows from the options given. */
static int
settle(struct cli_conf *conf)
{
	const uint32_t shortest = conf->mode == CLI_PING || conf->tx.touch == TFE_GEN_TOUCH_VERIFY
			? TFE_FRAME_MIN_BYTES
			: 0;

	if (conf->tx.frame_bytes < shortest) {
		fprintf(stderr, "vhost-user-frontend: a frame to be checked has %u bytes or more\n",
				shortest);
		return -EINVAL;
	}
	if (conf->rx.buf_bytes == 0)
		conf->rx.buf_bytes = conf->tx.frame_bytes > 1518 ? conf->tx.frame_bytes : 1518;
	if (conf->dev.mem_bytes == 0)
		conf->dev.mem_bytes = (UINT64_C(64) << 20) * conf->dev.nb_pairs;
	if (conf->rx.touch == TFE_GEN_TOUCH_NONE &&
			conf->dev.required_features & TFE_BIT(VIRTIO_NET_F_MRG_RXBUF))
		conf->rx.touch = TFE_GEN_TOUCH_HEADER;
	return 0;
}

static int
parse_args(struct cli_conf *conf, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) >= 0) {
		int ret;

		if (option == 'h') {
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		}
		if (option == '?')
			return -EINVAL;
		ret = set_flag(conf, option);
		if (ret == -ENOENT)
			ret = set_value(conf, option, optarg);
		if (ret < 0)
			return ret;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "vhost-user-frontend: exactly one socket is needed\n");
		return -EINVAL;
	}
	conf->dev.path = argv[optind];
	return settle(conf);
}

int
main(int argc, char **argv)
{
	static struct cli_conf conf = {
		.dev = TFE_DEV_CONF_DEFAULT,
		.mode = CLI_BOTH,
		.tx = { .dir = TFE_GEN_TRANSMIT, .frame_bytes = 64, .min_burst = MIN_BURST },
		.rx = { .dir = TFE_GEN_RECEIVE, .min_burst = MIN_BURST },
		.seconds = 10,
		.cpus = { -1 },
		.nb_workers = 1,
	};

	conf.dev.mem_bytes = 0;
	conf.dev.timeout_ms = 10000;
	if (parse_args(&conf, argc, argv) < 0) {
		fprintf(stderr, "Try 'vhost-user-frontend --help'.\n");
		return EXIT_USAGE;
	}
	return cli_run(&conf);
}
