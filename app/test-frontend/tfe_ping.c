/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tfe_gen.h"
#include "tfe_time.h"

/* Chains in the receiveq; more than enough for one packet on its way. */
#define NB_RECEIVE 64

#define STREAM 0x7069

/* The two rings of a pair and their buffers. */
struct ping {
	struct tfe_ring *tx;
	struct tfe_ring *rx;
	struct tfe_buf tx_buf;
	struct tfe_buf rx_bufs;
	uint32_t hdr_bytes;
	uint32_t chain_bytes;
	const struct tfe_ping_conf *conf;
	struct tfe_ping_result *result;
};

static uint8_t *
rx_va(const struct ping *ping, uint32_t i)
{
	return (uint8_t *)ping->rx_bufs.va + (uint64_t)i * ping->chain_bytes;
}

static int
post(struct ping *ping, uint8_t *va)
{
	struct tfe_seg seg = {
		.gpa = ping->rx_bufs.gpa + (uint64_t)(va - rx_va(ping, 0)),
		.len_bytes = ping->chain_bytes,
	};
	struct tfe_chain chain = { .segs = &seg, .nb_in = 1, .cookie = va };
	int ret;

	ret = tfe_ring_add(ping->rx, &chain);
	if (ret < 0)
		return ret;
	tfe_ring_publish(ping->rx);
	return tfe_ring_notify(ping->rx);
}

static int
send_one(struct ping *ping, uint64_t seq)
{
	struct tfe_seg seg = { ping->tx_buf.gpa, ping->chain_bytes };
	struct tfe_chain chain = { .segs = &seg, .nb_out = 1 };
	uint8_t *va = ping->tx_buf.va;
	int ret;

	tfe_frame_build(va + ping->hdr_bytes, ping->conf->frame_bytes, STREAM, seq);
	ret = tfe_ring_add(ping->tx, &chain);
	if (ret < 0)
		return ret;
	tfe_ring_publish(ping->tx);
	return tfe_ring_notify(ping->tx);
}

/* Poll until a chain was used; the clock is looked at now and then. */
static int
take(struct tfe_ring *ring, struct tfe_used *used, uint64_t deadline_ns)
{
	unsigned int i = 0;
	int ret;

	do {
		ret = tfe_ring_get_used(ring, used);
		if (ret == 0 && ++i % 1024 == 0 && tfe_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
	} while (ret == 0);
	return ret;
}

/* Whether this used buffer holds the packet that was sent. */
static bool
is_echo(const struct ping *ping, const struct tfe_used *used, uint64_t seq)
{
	const uint8_t *va = used->cookie;
	uint64_t got_seq = 0;
	uint16_t stream = 0;

	return used->len_bytes > ping->hdr_bytes &&
			tfe_frame_check(va + ping->hdr_bytes, used->len_bytes - ping->hdr_bytes,
					&stream, &got_seq) == TFE_FRAME_GOOD &&
			stream == STREAM && got_seq == seq;
}

/* One round trip. @return ns, or -errno. */
static int64_t
round_trip(struct ping *ping, uint64_t seq)
{
	struct tfe_used used;
	uint64_t start_ns, end_ns, deadline_ns;
	int ret;

	deadline_ns = tfe_deadline_ns(ping->conf->timeout_ms);
	start_ns = tfe_now_ns();
	ret = send_one(ping, seq);
	if (ret < 0)
		return ret;
	ping->result->nb_sent++;
	ret = take(ping->rx, &used, deadline_ns);
	if (ret < 0)
		return ret;
	end_ns = tfe_now_ns();
	ping->result->nb_received++;
	if (!is_echo(ping, &used, seq))
		ping->result->nb_bad++;
	ret = post(ping, used.cookie);
	if (ret == 0)
		ret = take(ping->tx, &used, deadline_ns);
	return ret < 0 ? ret : (int64_t)(end_ns - start_ns);
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
summarize(struct tfe_ping_result *result, uint64_t *samples, uint64_t n)
{
	qsort(samples, n, sizeof(samples[0]), compare);
	result->min_ns = samples[0];
	result->p50_ns = samples[n / 2];
	result->p99_ns = samples[n * 99 / 100];
	result->p999_ns = samples[n * 999 / 1000];
	result->max_ns = samples[n - 1];
}

static int
make_ping(struct ping *ping, struct tfe_mem *mem)
{
	int ret;

	if (ping->tx->nb_outstanding > 0 || ping->rx->nb_outstanding > 0)
		return -EBUSY;
	ret = tfe_mem_alloc(mem, 0, ping->chain_bytes, 64, &ping->tx_buf);
	if (ret == 0)
		ret = tfe_mem_alloc(mem, 0, (uint64_t)NB_RECEIVE * ping->chain_bytes, 64,
				&ping->rx_bufs);
	tfe_ring_want_calls(ping->tx, false);
	tfe_ring_want_calls(ping->rx, false);
	for (uint32_t i = 0; ret == 0 && i < NB_RECEIVE && ping->rx->nb_free > 0; i++)
		ret = post(ping, rx_va(ping, i));
	return ret;
}

static int
run(struct ping *ping, uint64_t *samples)
{
	const uint64_t nb_all = ping->conf->nb_warmup + ping->conf->nb_packets;

	for (uint64_t i = 0; i < nb_all; i++) {
		int64_t ns = round_trip(ping, i);

		if (ns < 0)
			return (int)ns;
		if (i >= ping->conf->nb_warmup)
			samples[i - ping->conf->nb_warmup] = (uint64_t)ns;
	}
	summarize(ping->result, samples, ping->conf->nb_packets);
	return 0;
}

int
tfe_ping(struct tfe_dev *dev, unsigned int pair, const struct tfe_ping_conf *conf,
		struct tfe_ping_result *result)
{
	struct ping ping = {
		.hdr_bytes = dev->hdr_bytes,
		.chain_bytes = dev->hdr_bytes + conf->frame_bytes,
		.conf = conf,
		.result = result,
	};
	uint64_t *samples;
	int ret;

	memset(result, 0, sizeof(*result));
	if (2 * pair + 1 >= dev->nb_rings || conf->nb_packets == 0 ||
			conf->frame_bytes < TFE_FRAME_MIN_BYTES)
		return -EINVAL;
	ping.tx = tfe_dev_transmitq(dev, pair);
	ping.rx = tfe_dev_receiveq(dev, pair);
	samples = calloc(conf->nb_packets, sizeof(samples[0]));
	if (samples == NULL)
		return -ENOMEM;
	ret = make_ping(&ping, &dev->mem);
	if (ret == 0)
		ret = run(&ping, samples);
	free(samples);
	return ret;
}
