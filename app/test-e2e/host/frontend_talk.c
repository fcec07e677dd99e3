/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * A front-end that does what it is told on its standard input, and tells of what it hears.
 *
 *	say N		SET_PEER_CONNECTION with this value; "answered N"
 *	exchange N	send frames, which the back-end returns; "exchanged N"
 *	(unasked)	"peer N": the back-end's SET_PEER_CONNECTION
 *			"request N": one on the back-end channel, by its id
 */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tfe.h"

#define FRAME_BYTES 1000u
#define BURST       32u
#define RX_BUFS     128u
#define TIMEOUT_MS  60000

/** All of it. */
struct talk {
	struct tfe_dev dev;
	struct tfe_conn channel;
	struct tfe_netq rx, tx;
	uint64_t seq;
};

static void
say(const char *what, uint64_t value)
{
	printf("%s %" PRIu64 "\n", what, value);
	fflush(stdout);
}

static int
send_dialect(const struct talk *talk, enum tfe_dialect_request request, const void *payload,
		uint32_t bytes)
{
	struct tfe_dialect_msg msg = { request, TFE_DIALECT_VERSION, TFE_DIALECT_ANONYMOUS, bytes,
		{ 0 } };

	if (bytes > 0)
		memcpy(msg.payload, payload, bytes);
	return tfe_dialect_send(talk->dev.conn.fd, &msg);
}

/** A message of version 2, whether it was waited for or not. */
static int
hear_dialect(const struct talk *talk)
{
	struct tfe_dialect_msg msg;
	uint64_t value;
	int ret = tfe_dialect_recv(talk->dev.conn.fd, &msg, &value);

	if (ret < 0)
		return ret;
	if (msg.request == TFE_DIALECT_GET_CONN_ID)
		say("connection", value);
	else
		say(msg.flags & TFE_DIALECT_REPLY ? "answered" : "peer", value);
	return 0;
}

static int
hear_channel(struct talk *talk)
{
	struct tfe_msg msg;
	int ret = tfe_conn_recv(&talk->channel, &msg);

	if (ret < 0)
		return ret;
	say("request", msg.hdr.request);
	if (msg.hdr.flags & TFE_VU_NEED_REPLY)
		return tfe_conn_answer(&talk->channel, &msg, 0);
	return 0;
}

static int
send_burst(struct talk *talk, unsigned int nb)
{
	uint8_t frame[FRAME_BYTES];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < nb && ret == 0; i++) {
		tfe_frame_build(frame, sizeof(frame), 1, talk->seq + i);
		ret = tfe_netq_send(&talk->tx, NULL, frame, sizeof(frame));
	}
	return ret;
}

/** The frames come back whole and in order. */
static int
receive_burst(struct talk *talk, unsigned int nb)
{
	struct tfe_pkt pkt;
	uint16_t stream;
	uint64_t seq;
	unsigned int i;
	int ret;

	for (i = 0; i < nb; i++) {
		ret = tfe_netq_recv(&talk->rx, &pkt, TIMEOUT_MS);
		if (ret <= 0)
			return ret < 0 ? ret : -ETIMEDOUT;
		if (tfe_frame_check(pkt.frame, pkt.len_bytes, &stream, &seq) != TFE_FRAME_GOOD ||
				seq != talk->seq)
			return -EBADMSG;
		talk->seq++;
		ret = tfe_netq_post(&talk->rx, 1);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int
exchange(struct talk *talk, uint64_t nb)
{
	uint64_t done = 0;
	int ret = 0;

	while (ret == 0 && done < nb) {
		unsigned int burst = nb - done < BURST ? (unsigned int)(nb - done) : BURST;

		ret = send_burst(talk, burst);
		if (ret == 0)
			ret = receive_burst(talk, burst);
		done += burst;
	}
	if (ret == 0)
		say("exchanged", nb);
	return ret;
}

/** 1: the end of the standard input. */
static int
obey(struct talk *talk)
{
	char line[80] = "", verb[16] = "";
	uint64_t value = 0;
	ssize_t nb = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (nb <= 0)
		return 1;
	if (sscanf(line, "%15s %" SCNu64, verb, &value) != 2)
		return -EINVAL;
	if (strcmp(verb, "say") == 0)
		return send_dialect(talk, TFE_DIALECT_SET_PEER_CONNECTION, &value, sizeof(value));
	return strcmp(verb, "exchange") == 0 ? exchange(talk, value) : -EINVAL;
}

static int
serve(struct talk *talk)
{
	struct pollfd fds[] = {
		{ .fd = talk->dev.conn.fd, .events = POLLIN },
		{ .fd = talk->channel.fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	int ret = 0;

	while (ret == 0 && poll(fds, 3, -1) > 0) {
		if (fds[0].revents != 0)
			ret = hear_dialect(talk);
		if (ret == 0 && fds[1].revents != 0)
			ret = hear_channel(talk);
		if (ret == 0 && fds[2].revents != 0)
			ret = obey(talk);
	}
	return ret < 0 ? ret : 0;
}

/** All that comes before the first message which is not the specification's. */
static int
open_device(struct talk *talk, const char *path)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	int ret;

	conf.path = path;
	conf.timeout_ms = TIMEOUT_MS;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_BACKEND_REQ) |
			TFE_BIT(TFE_VU_PROTOCOL_F_CONFIG);
	ret = tfe_dev_open(&talk->dev, &conf);
	if (ret < 0)
		return ret;
	tfe_conn_init(&talk->channel);
	ret = tfe_conn_open_channel(&talk->dev.conn, &talk->channel);
	if (ret == 0)
		ret = tfe_netq_init(&talk->rx, &talk->dev, 0, 2048, NULL);
	if (ret == 0)
		ret = tfe_netq_init(&talk->tx, &talk->dev, 1, 2048, NULL);
	if (ret == 0)
		ret = tfe_netq_post(&talk->rx, RX_BUFS);
	return ret < 0 ? ret : 0;
}

int
main(int argc, char **argv)
{
	struct talk talk = { .seq = 0 };
	int ret;

	if (argc != 2) {
		fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
		return EXIT_FAILURE;
	}
	ret = open_device(&talk, argv[1]);
	if (ret == 0)
		ret = send_dialect(&talk, TFE_DIALECT_GET_CONN_ID, NULL, 0);
	if (ret == 0)
		ret = serve(&talk);
	if (ret < 0)
		fprintf(stderr, "%s: %s\n", argv[0], strerror(-ret));
	return ret < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
