/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Processes with the driver that are killed under traffic, one after the other, at a front-end that
 * lives on and connects again, as QEMU does: each chain comes back exactly once.
 */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "soak_process.h"
#include "test.h"
#include "tfe.h"
#include "tfe_time.h"

/** How many processes are killed in each case, if the environment says so. */
#define NB_KILLS_ENV "VHOST_PCI_TEST_KILLS"

/** Time that anything may take, in milliseconds; reached only by what fails. */
#define TIMEOUT_MS 60000

/** Packets that come back before the next kill, at most. */
#define MAX_PACKETS 3000

/** Rounds of the front-end between that and the kill, at most. */
#define MAX_BUSY 2000

#define STREAM      3
#define BUF_BYTES   2048u
#define SMALL_BYTES 64u
#define MAX_BYTES   4000u

/** One case: how the front-end talks. */
struct way {
	uint64_t features;
	bool is_server; /**< The front-end listens, and the driver connects. */
	unsigned int nb_kills;
};

/** The front-end, and the back-end that it has at present. */
struct link {
	const struct way *way;
	char dir[32];
	char path[64];
	struct tfe_dev dev;
	struct tfe_netq tx;
	struct tfe_netq rx;
	struct tfe_vu_inflight inflight;
	int inflight_fd;
	struct soak_process backend;
	uint64_t seed;
	uint64_t nb_sent;
	uint64_t nb_received;
	uint64_t nb_used;  /**< Chains of the receiveq that came back. */
	uint64_t nb_again; /**< Packets that came before: their chains were taken twice. */
	uint64_t next_seq; /**< One more than the highest that came. */
	uint8_t frame[MAX_BYTES];
};

static uint32_t
draw(struct link *l, uint32_t end)
{
	l->seed = l->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(l->seed >> 33) % end;
}

static void
start_backend(struct link *l)
{
	char port[128];
	char *const ports[] = { port, NULL };

	snprintf(port, sizeof(port), "net_vpci0,iface=%s,client=%d", l->path, l->way->is_server);
	soak_process_start(&l->backend, l->dir, ports);
}

static void
negotiate(struct link *l)
{
	assert_int_equal(tfe_dev_connect(&l->dev), 0);
	assert_int_equal(tfe_dev_negotiate(&l->dev), 0);
	assert_true(tfe_dev_has_protocol(&l->dev, TFE_VU_PROTOCOL_F_INFLIGHT_SHMFD));
}

/** Hand over what is under way, and start the rings where they are. */
static void
start_rings(struct link *l)
{
	struct tfe_conn *conn = &l->dev.conn;
	unsigned int i;

	assert_int_equal(tfe_req_set_inflight_fd(conn, &l->inflight, l->inflight_fd), 0);
	assert_int_equal(tfe_dev_send_mem(&l->dev), 0);
	for (i = 0; i < l->dev.nb_rings; i++)
		l->dev.rings[i].base = tfe_ring_base(&l->dev.rings[i]);
	assert_int_equal(tfe_dev_start(&l->dev), 0);
	assert_int_equal(tfe_dev_driver_ok(&l->dev), 0);
}

static void
link_open(struct link *l, const struct way *way)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	*l = (struct link){ .way = way, .seed = 7, .inflight_fd = -1 };
	snprintf(l->dir, sizeof(l->dir), "/tmp/vpci-inflight-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	snprintf(l->path, sizeof(l->path), "%s/sock", l->dir);
	conf.path = l->path;
	conf.role = way->is_server ? TFE_ROLE_SERVER : TFE_ROLE_CLIENT;
	conf.timeout_ms = TIMEOUT_MS;
	conf.features |= way->features | TFE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	conf.required_features = conf.features;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_INFLIGHT_SHMFD);
	conf.mem_bytes = UINT64_C(16) << 20;
	start_backend(l);
	assert_int_equal(tfe_dev_init(&l->dev, &conf), 0);
	negotiate(l);
	assert_int_equal(tfe_dev_make_rings(&l->dev), 0);
	l->inflight = (struct tfe_vu_inflight){ .nb_queues = 2, .queue_size = 256 };
	assert_int_equal(tfe_req_get_inflight_fd(&l->dev.conn, &l->inflight, &l->inflight_fd), 0);
	start_rings(l);
	assert_int_equal(tfe_netq_init(&l->rx, &l->dev, 0, BUF_BYTES, NULL), 0);
	assert_int_equal(tfe_netq_init(&l->tx, &l->dev, 1, MAX_BYTES, NULL), 0);
}

static void
link_close(struct link *l)
{
	tfe_netq_fini(&l->rx);
	tfe_netq_fini(&l->tx);
	tfe_dev_close(&l->dev);
	close(l->inflight_fd);
	unlink(l->path);
	soak_process_remove_dir(l->dir);
}

/** Send a frame; false where there is no room. */
static bool
send_frame(struct link *l, uint32_t bytes)
{
	int ret;

	tfe_frame_build(l->frame, bytes, STREAM, l->nb_sent);
	ret = tfe_netq_send(&l->tx, NULL, l->frame, bytes);
	if (ret == -ENOSPC)
		return false;
	if (ret < 0)
		fail_msg("transmitq: %s", l->tx.error);
	l->nb_sent++;
	return true;
}

/** Take a packet, if there is one: it must be one that was sent, whole. */
static bool
receive_frame(struct link *l)
{
	struct tfe_pkt pkt;
	uint16_t stream;
	uint64_t seq;
	int ret = tfe_netq_recv(&l->rx, &pkt, 0);

	if (ret < 0)
		fail_msg("receiveq: %s", l->rx.error);
	if (ret == 0)
		return false;
	assert_int_equal(tfe_frame_check(pkt.frame, pkt.len_bytes, &stream, &seq), TFE_FRAME_GOOD);
	assert_int_equal(stream, STREAM);
	assert_true(seq < l->nb_sent);
	if (seq < l->next_seq)
		l->nb_again++;
	else
		l->next_seq = seq + 1;
	l->nb_received++;
	l->nb_used += pkt.nb_chains;
	return true;
}

/** Traffic until so many more packets have come; frames of up to so many bytes. */
static void
drive(struct link *l, uint64_t nb_more, uint32_t max_bytes)
{
	uint64_t end = l->nb_received + nb_more;
	uint64_t deadline_ns = tfe_deadline_ns(TIMEOUT_MS);
	unsigned int i;

	while (l->nb_received < end) {
		assert_true(tfe_netq_post(&l->rx, l->rx.nb_bufs) >= 0);
		for (i = 0; i < 32 && send_frame(l, SMALL_BYTES + draw(l, max_bytes - SMALL_BYTES));
				i++)
			;
		while (receive_frame(l))
			deadline_ns = tfe_deadline_ns(TIMEOUT_MS);
		assert_true(tfe_now_ns() < deadline_ns);
		sched_yield();
	}
}

/** All that there is room for, so that the back-end is amidst it when it is killed. */
static void
keep_busy(struct link *l)
{
	unsigned int i;

	for (i = draw(l, MAX_BUSY); i > 0; i--) {
		assert_true(tfe_netq_post(&l->rx, 1) >= 0);
		if (!send_frame(l, SMALL_BYTES + draw(l, MAX_BYTES - SMALL_BYTES)))
			receive_frame(l);
	}
}

/** Take what the back-end that is no more had returned. */
static void
reap(struct link *l)
{
	while (receive_frame(l))
		;
	assert_true(tfe_netq_wait_sent(&l->tx, 0) != -EPROTO);
}

/** Wait until a frame comes that was sent now: all that was on its way came before it. */
static void
settle(struct link *l)
{
	uint64_t deadline_ns = tfe_deadline_ns(TIMEOUT_MS);
	uint64_t seq;

	while (!send_frame(l, SMALL_BYTES)) {
		assert_true(tfe_netq_post(&l->rx, l->rx.nb_bufs) >= 0);
		receive_frame(l);
		assert_true(tfe_now_ns() < deadline_ns);
	}
	for (seq = l->nb_sent; l->next_seq < seq;) {
		assert_true(tfe_netq_post(&l->rx, l->rx.nb_bufs) >= 0);
		if (!receive_frame(l))
			sched_yield();
		assert_true(tfe_now_ns() < deadline_ns);
	}
}

/** No buffers any more, and one packet for each of those that are left: all chains come back. */
static void
drain(struct link *l)
{
	uint64_t deadline_ns = tfe_deadline_ns(TIMEOUT_MS);

	settle(l);
	while (l->rx.ring->nb_outstanding > 0) {
		uint64_t nb = l->nb_sent + l->rx.ring->nb_outstanding;

		while (l->nb_sent < nb || l->next_seq < nb) {
			if (l->nb_sent < nb)
				send_frame(l, SMALL_BYTES);
			if (!receive_frame(l))
				sched_yield();
			assert_true(tfe_now_ns() < deadline_ns);
		}
	}
	assert_int_equal(tfe_netq_wait_sent(&l->tx, TIMEOUT_MS), 0);
	assert_int_equal(l->tx.nb_free_bufs, l->tx.nb_bufs);
	assert_int_equal(l->rx.nb_free_bufs, l->rx.nb_bufs);
}

static void
test_every_chain_returns_once(void **state)
{
	const char *env = getenv(NB_KILLS_ENV);
	const struct way *way = *state;
	unsigned long nb_kills = env != NULL ? strtoul(env, NULL, 10) : way->nb_kills;
	static struct link l;
	unsigned long i;

	if (!soak_process_is_known())
		skip();
	link_open(&l, way);
	for (i = 0; i < nb_kills; i++) {
		drive(&l, draw(&l, MAX_PACKETS), MAX_BYTES);
		keep_busy(&l);
		soak_process_kill(&l.backend);
		reap(&l);
		tfe_dev_disconnect(&l.dev);
		start_backend(&l);
		negotiate(&l);
		start_rings(&l);
	}
	drive(&l, MAX_PACKETS, MAX_BYTES);
	drain(&l);
	/* Every chain of the transmitq had one packet; one that comes back twice is an error. */
	print_message("# %lu kills: %lu chains sent, %lu came back filled, of %lu packets, %lu of "
		      "them again; %lu lost\n",
			nb_kills, (unsigned long)l.nb_sent, (unsigned long)l.nb_used,
			(unsigned long)l.nb_received, (unsigned long)l.nb_again,
			(unsigned long)l.tx.ring->nb_outstanding + l.rx.ring->nb_outstanding);
	soak_process_quit(&l.backend);
	link_close(&l);
}

static struct way split_client = { .nb_kills = 3 };
static struct way packed_client = {
	.features = TFE_BIT(VIRTIO_F_RING_PACKED),
	.nb_kills = 3,
};
static struct way split_server = { .is_server = true, .nb_kills = 2 };
static struct way packed_server = {
	.features = TFE_BIT(VIRTIO_F_RING_PACKED),
	.is_server = true,
	.nb_kills = 2,
};

#define CASE(way) \
	{ \
		"test_every_chain_returns_once: " #way, test_every_chain_returns_once, NULL, NULL, \
				&(way) \
	}

static const struct CMUnitTest tests[] = {
	CASE(split_client),
	CASE(packed_client),
	CASE(split_server),
	CASE(packed_server),
};

REGISTER_TEST_GROUP(driver_inflight_autotest, tests, NULL, NULL);
