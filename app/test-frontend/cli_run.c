/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/signalfd.h>

#include "cli.h"
#include "tfe_time.h"

#define NS_PER_S UINT64_C(1000000000)

/* How long the last packets may take to come back. */
#define SETTLE_MS     300
#define SETTLE_MAX_MS 3000

/* With a number of packets to send, how often is looked whether they are. */
#define LOOK_MS 10

#define PING_DEFAULT UINT64_C(100000)

/* A running session. */
struct cli {
	const struct cli_conf *conf;
	struct tfe_dev dev;
	struct tfe_gen *gens[2 * TFE_DEV_VRINGS];
	unsigned int nb_gens;
	struct tfe_gen *spread[CLI_WORKERS][2 * TFE_DEV_VRINGS];
	unsigned int nb_spread[CLI_WORKERS];
	struct tfe_worker workers[CLI_WORKERS];
	int signal_fd;
	uint64_t start_ns;
	uint64_t end_ns;
	unsigned int nb_reconnects;
};

/* Counters of all generators of one direction. */
struct total {
	struct tfe_gen_stats tx;
	struct tfe_gen_stats rx;
};

static int
complain(const char *what, int err)
{
	fprintf(stderr, "vhost-user-frontend: %s: %s\n", what, strerror(-err));
	return err;
}

static void
add_stats(struct tfe_gen_stats *sum, const struct tfe_gen_stats *stats)
{
	const uint64_t *from = (const uint64_t *)stats;
	uint64_t *to = (uint64_t *)sum;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(*from); i++)
		to[i] += from[i];
}

/* Generators alternate: those that transmit have even numbers when both are there. */
static bool
is_tx(const struct cli *cli, unsigned int i)
{
	return cli->conf->mode == CLI_TX || (cli->conf->mode == CLI_BOTH && i % 2 == 0);
}

static void
read_totals(const struct cli *cli, struct total *total)
{
	memset(total, 0, sizeof(*total));
	for (unsigned int i = 0; i < cli->nb_gens; i++) {
		struct tfe_gen_stats stats;

		tfe_gen_stats(cli->gens[i], &stats);
		add_stats(is_tx(cli, i) ? &total->tx : &total->rx, &stats);
	}
}

static int
make_gen(struct cli *cli, unsigned int pair, const struct tfe_gen_conf *conf)
{
	struct tfe_gen_conf copy = *conf;
	int ret;

	copy.stream = (uint16_t)pair;
	ret = tfe_gen_create(&cli->gens[cli->nb_gens], &cli->dev, pair, &copy);
	if (ret < 0)
		return complain("generator", ret);
	cli->nb_gens++;
	return 0;
}

static int
make_gens(struct cli *cli)
{
	int ret = 0;

	for (unsigned int i = 0; i < cli->conf->dev.nb_pairs && ret == 0; i++) {
		if (cli->conf->mode != CLI_RX)
			ret = make_gen(cli, i, &cli->conf->tx);
		if (ret == 0 && cli->conf->mode != CLI_TX)
			ret = make_gen(cli, i, &cli->conf->rx);
	}
	/* A pair's two generators run in the same thread. */
	for (unsigned int i = 0; i < cli->nb_gens; i++) {
		unsigned int pair = cli->conf->mode == CLI_BOTH ? i / 2 : i;
		unsigned int w = pair % cli->conf->nb_workers;

		cli->spread[w][cli->nb_spread[w]++] = cli->gens[i];
	}
	return ret;
}

static int
start_workers(struct cli *cli)
{
	int ret = 0;

	for (unsigned int i = 0; i < cli->conf->nb_workers && ret == 0; i++)
		ret = tfe_worker_start(&cli->workers[i], cli->spread[i], cli->nb_spread[i],
				cli->conf->cpus[i]);
	return ret < 0 ? complain("thread", ret) : 0;
}

static int
stop_workers(struct cli *cli)
{
	int ret = 0;

	for (unsigned int i = 0; i < cli->conf->nb_workers; i++) {
		int err = tfe_worker_stop(&cli->workers[i]);

		if (ret == 0)
			ret = err;
	}
	for (unsigned int i = 0; i < cli->nb_gens; i++)
		if (tfe_gen_error(cli->gens[i]) != NULL)
			fprintf(stderr, "vhost-user-frontend: the back-end broke a ring: %s\n",
					tfe_gen_error(cli->gens[i]));
	return ret;
}

static double
mega_per_s(uint64_t n, uint64_t ns)
{
	return ns == 0 ? 0 : (double)n * 1e3 / (double)ns;
}

static double
gbit_per_s(uint64_t nb_bytes, uint64_t ns)
{
	return ns == 0 ? 0 : (double)nb_bytes * 8 / (double)ns;
}

static void
print_rate(const char *name, const struct tfe_gen_stats *now, const struct tfe_gen_stats *before,
		uint64_t ns)
{
	printf("  %s %8.3f Mpps %8.3f Gbit/s", name,
			mega_per_s(now->nb_packets - before->nb_packets, ns),
			gbit_per_s(now->nb_bytes - before->nb_bytes, ns));
}

static void
print_rates(const struct cli *cli, const struct total *now, const struct total *before, uint64_t ns)
{
	printf("%5.0f s", (double)(tfe_now_ns() - cli->start_ns) / 1e9);
	if (cli->conf->mode != CLI_RX)
		print_rate("tx", &now->tx, &before->tx, ns);
	if (cli->conf->mode != CLI_TX)
		print_rate("rx", &now->rx, &before->rx, ns);
	printf("\n");
	fflush(stdout);
}

/* All that is to be sent was sent. The workers own the generators: only counters are looked at. */
static bool
all_sent(const struct cli *cli, const struct total *total)
{
	return cli->conf->mode != CLI_RX && cli->conf->tx.nb_packets != 0 &&
			total->tx.nb_packets >= cli->conf->tx.nb_packets * cli->conf->dev.nb_pairs;
}

static bool
any_failed(const struct cli *cli)
{
	for (unsigned int i = 0; i < cli->nb_gens; i++)
		if (tfe_gen_error(cli->gens[i]) != NULL)
			return true;
	return false;
}

/* The back-end is gone: wait for it to come back, and go on. */
static int
reconnect(struct cli *cli)
{
	int ret = stop_workers(cli);

	if (ret < 0)
		return ret;
	fprintf(stderr, "vhost-user-frontend: the back-end closed the connection\n");
	if (!cli->conf->reconnect)
		return -ECONNRESET;
	/* One that dies while it is asked for its features gets another chance. */
	do {
		ret = tfe_dev_reconnect(&cli->dev);
	} while (ret == -ECONNRESET);
	if (ret < 0)
		return complain("reconnection", ret);
	for (unsigned int i = 0; i < cli->nb_gens; i++)
		tfe_gen_restart(cli->gens[i]);
	cli->nb_reconnects++;
	return start_workers(cli);
}

/* Wait for the next look at the counters, a signal or the back-end's end. Returns 1 to go on, 0 to
 * end, -errno.
 */
static int
wait_event(struct cli *cli, uint64_t until_ns)
{
	struct pollfd pfds[2] = {
		{ .fd = cli->signal_fd, .events = POLLIN },
		{ .fd = cli->dev.conn.fd, .events = POLLIN },
	};
	int left_ms = tfe_left_ms(until_ns);
	int ret;

	if (cli->conf->tx.nb_packets != 0 && left_ms > LOOK_MS)
		left_ms = LOOK_MS;
	ret = poll(pfds, 2, left_ms);

	if (ret < 0 && errno != EINTR)
		return -errno;
	if (ret > 0 && pfds[0].revents != 0)
		return 0;
	if (ret > 0 && pfds[1].revents != 0) {
		ret = reconnect(cli);
		return ret < 0 ? ret : 1;
	}
	return 1;
}

static int
run_until_end(struct cli *cli)
{
	const uint64_t end_ns = cli->conf->seconds == 0
			? UINT64_MAX
			: cli->start_ns + cli->conf->seconds * NS_PER_S;
	struct total before = { 0 };
	uint64_t last_ns = cli->start_ns;
	int ret;

	do {
		struct total now;
		uint64_t now_ns, until_ns = last_ns + NS_PER_S;

		ret = wait_event(cli, until_ns < end_ns ? until_ns : end_ns);
		if (ret <= 0)
			return ret;
		now_ns = tfe_now_ns();
		read_totals(cli, &now);
		if (!cli->conf->quiet && now_ns >= until_ns)
			print_rates(cli, &now, &before, now_ns - last_ns);
		if (now_ns >= until_ns) {
			before = now;
			last_ns = now_ns;
		}
		if (all_sent(cli, &now) || any_failed(cli))
			return 0;
	} while (tfe_now_ns() < end_ns);
	return 0;
}

/* Take what comes back late: until nothing has come for a while, or it does not end. */
static int
settle(struct cli *cli)
{
	const uint64_t end_ns = tfe_deadline_ns(SETTLE_MAX_MS);
	uint64_t quiet_ns = tfe_deadline_ns(SETTLE_MS);

	while (tfe_now_ns() < quiet_ns && tfe_now_ns() < end_ns) {
		for (unsigned int i = 0; i < cli->nb_gens; i++) {
			int ret = tfe_gen_poll(cli->gens[i]);

			if (ret < 0)
				return ret;
			if (ret > 0)
				quiet_ns = tfe_deadline_ns(SETTLE_MS);
		}
	}
	return 0;
}

/* Stop transmitting, take what is still on its way, stop the rings. */
static int
finish(struct cli *cli)
{
	int ret = stop_workers(cli);

	cli->end_ns = tfe_now_ns();
	for (unsigned int i = 0; i < cli->nb_gens && ret == 0; i++)
		if (is_tx(cli, i)) {
			ret = tfe_gen_drain(cli->gens[i], cli->conf->dev.timeout_ms);
			if (ret < 0)
				complain("the back-end keeps transmit buffers", ret);
		}
	/* A back-end that transmits on its own would never settle. */
	if (ret == 0 && cli->conf->mode == CLI_BOTH)
		ret = settle(cli);
	if (ret == 0) {
		ret = tfe_dev_stop(&cli->dev);
		if (ret < 0)
			complain("stopping the rings", ret);
	}
	return ret;
}

static void
print_json(const struct cli *cli, const struct total *t, uint64_t ns)
{
	printf("{\"seconds\":%.3f,\"tx_packets\":%" PRIu64 ",\"rx_packets\":%" PRIu64
	       ",\"tx_mpps\":%.4f,\"rx_mpps\":%.4f,\"tx_gbps\":%.4f,\"rx_gbps\":%.4f"
	       ",\"kicks\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"late\":%" PRIu64
	       ",\"foreign\":%" PRIu64 ",\"reconnects\":%u}\n",
			(double)ns / 1e9, t->tx.nb_packets, t->rx.nb_packets,
			mega_per_s(t->tx.nb_packets, ns), mega_per_s(t->rx.nb_packets, ns),
			gbit_per_s(t->tx.nb_bytes, ns), gbit_per_s(t->rx.nb_bytes, ns),
			t->tx.nb_kicks + t->rx.nb_kicks, t->rx.nb_bad, t->rx.nb_lost, t->rx.nb_late,
			t->rx.nb_foreign, cli->nb_reconnects);
}

static void
print_direction(const char *name, const struct tfe_gen_stats *stats, uint64_t ns)
{
	printf("%s %" PRIu64 " packets in %.2f s: %.3f Mpps, %.3f Gbit/s, %" PRIu64 " kicks\n",
			name, stats->nb_packets, (double)ns / 1e9,
			mega_per_s(stats->nb_packets, ns), gbit_per_s(stats->nb_bytes, ns),
			stats->nb_kicks);
}

static void
print_summary(const struct cli *cli)
{
	const uint64_t ns = cli->end_ns - cli->start_ns;
	struct total total;

	read_totals(cli, &total);
	if (cli->conf->json) {
		print_json(cli, &total, ns);
		return;
	}
	if (cli->conf->mode != CLI_RX)
		print_direction("sent    ", &total.tx, ns);
	if (cli->conf->mode != CLI_TX)
		print_direction("received", &total.rx, ns);
	if (cli->conf->rx.touch == TFE_GEN_TOUCH_VERIFY && cli->conf->mode != CLI_TX)
		printf("checked  %" PRIu64 " damaged, %" PRIu64 " missing in sequence, %" PRIu64
		       " doubled or late, %" PRIu64 " of other origin\n",
				total.rx.nb_bad, total.rx.nb_lost, total.rx.nb_late,
				total.rx.nb_foreign);
	if (cli->nb_reconnects > 0)
		printf("reconnected %u times\n", cli->nb_reconnects);
}

static int
run_traffic(struct cli *cli)
{
	struct total total;
	int ret;

	ret = make_gens(cli);
	cli->start_ns = tfe_now_ns();
	if (ret == 0)
		ret = start_workers(cli);
	if (ret == 0)
		ret = run_until_end(cli);
	if (ret == 0) {
		ret = finish(cli);
	} else {
		stop_workers(cli);
		cli->end_ns = tfe_now_ns();
	}
	print_summary(cli);
	read_totals(cli, &total);
	return ret == 0 && total.rx.nb_bad > 0 ? -EBADMSG : ret;
}

static int
run_ping(struct cli *cli)
{
	struct tfe_ping_conf conf = {
		.frame_bytes = cli->conf->tx.frame_bytes,
		.nb_packets = cli->conf->tx.nb_packets,
		.timeout_ms = 2000,
	};
	struct tfe_ping_result r;
	int ret;

	if (conf.nb_packets == 0)
		conf.nb_packets = PING_DEFAULT;
	conf.nb_warmup = conf.nb_packets / 10;
	ret = tfe_ping(&cli->dev, 0, &conf, &r);
	if (ret < 0)
		return complain("ping", ret);
	if (cli->conf->json)
		printf("{\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"bad\":%" PRIu64
		       ",\"min_ns\":%" PRIu64 ",\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
		       ",\"p999_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64 "}\n",
				r.nb_sent, r.nb_received, r.nb_bad, r.min_ns, r.p50_ns, r.p99_ns,
				r.p999_ns, r.max_ns);
	else
		printf("%" PRIu64 " round trips, %" PRIu64 " damaged; ns: min %" PRIu64
		       ", p50 %" PRIu64 ", p99 %" PRIu64 ", p99.9 %" PRIu64 ", max %" PRIu64 "\n",
				r.nb_received, r.nb_bad, r.min_ns, r.p50_ns, r.p99_ns, r.p999_ns,
				r.max_ns);
	return r.nb_bad > 0 ? -EBADMSG : 0;
}

/* Signals are read from a descriptor; threads inherit the mask. */
static int
open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void
print_session(const struct cli *cli)
{
	const struct tfe_dev *dev = &cli->dev;

	if (cli->conf->quiet || cli->conf->json)
		return;
	printf("connected: %u queue pair%s, %s rings of %u, %u-byte header, features 0x%" PRIx64
	       ", protocol features 0x%" PRIx64 "\n",
			cli->conf->dev.nb_pairs, cli->conf->dev.nb_pairs > 1 ? "s" : "",
			dev->rings[0].packed ? "packed" : "split", dev->rings[0].size,
			dev->hdr_bytes, dev->features, dev->protocol_features);
	fflush(stdout);
}

int
cli_run(const struct cli_conf *conf)
{
	struct cli *cli = calloc(1, sizeof(*cli));
	int ret;

	if (cli == NULL)
		return EXIT_FAILURE;
	cli->conf = conf;
	ret = tfe_dev_open(&cli->dev, &conf->dev);
	cli->signal_fd = open_signals();
	if (ret < 0) {
		complain(conf->dev.path, ret);
	} else {
		print_session(cli);
		ret = conf->mode == CLI_PING ? run_ping(cli) : run_traffic(cli);
	}
	for (unsigned int i = 0; i < cli->nb_gens; i++)
		tfe_gen_destroy(cli->gens[i]);
	tfe_dev_close(&cli->dev);
	close(cli->signal_fd);
	free(cli);
	return ret < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
