/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Front-ends whose rings are wrong: they lose their connection, the port and the next one live. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_log.h>

#include "driver_rig.h"

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

/* Offsets of a buffer and of an indirect table in the memory that a case gets. */
#define BUF   0x10000u
#define TABLE 0x20000u
#define BYTES 0x30000u

/* A gpa that no region holds. */
#define NOWHERE UINT64_C(0x123456789000)

/* Rounds of the test in which rings change below the port's hands. */
#define NB_RACES 40

/* Bursts in each of them. */
#define NB_BURSTS 3000

/* Connections that bring nothing but nonsense. */
#define NB_FLOOD 200

struct desc {
	uint64_t gpa; /* BUF and TABLE are offsets, other values are as they are. */
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* Split. */
};

/* A chain that is wrong; in one format, or in both. */
struct malformed {
	const char *name;
	bool not_split;
	bool not_packed;
	bool no_indirect;    /* Not negotiated. */
	bool is_rx;          /* On the receiveq, where the port transmits. */
	uint16_t avail_jump; /* Split: how far avail idx goes; 0: 1. */
	uint16_t head;       /* Split: the avail entry. */
	struct desc descs[4];
	struct desc table[4];
};

static const struct malformed malformed[] = {
	{ "avail idx beyond the queue size", .not_packed = true, .avail_jump = 257,
			.descs = { { BUF, 100 } } },
	{ "head beyond the queue size", .not_packed = true, .head = 256,
			.descs = { { BUF, 100 } } },
	{ "next beyond the queue size", .not_packed = true, .descs = { { BUF, 100, NEXT, 256 } } },
	{ "loop", .not_packed = true, .descs = { { BUF, 100, NEXT, 1 }, { BUF, 100, NEXT, 0 } } },
	{ "part of a chain", .not_split = true, .descs = { { BUF, 100, NEXT } } },
	{ "address nowhere", .descs = { { NOWHERE, 100 } } },
	{ "length beyond the region", .descs = { { BUF, UINT32_MAX } } },
	{ "lengths of 4 GiB", .descs = { { BUF, 100, NEXT, 1 }, { BUF, UINT32_MAX } } },
	{ "writable", .descs = { { BUF, 100, WRITE } } },
	{ "writable, then readable", .descs = { { BUF, 100, WRITE | NEXT, 1 }, { BUF, 100 } } },
	{ "no room for the header", .descs = { { BUF, 11 } } },
	{ "no bytes", .descs = { { BUF, 0 } } },
	{ "empty with a bad address", .descs = { { NOWHERE, 0 } } },
	{ "indirect, not negotiated", .no_indirect = true, .descs = { { TABLE, 16, INDIRECT } },
			.table = { { BUF, 100 } } },
	{ "indirect of no bytes", .descs = { { TABLE, 0, INDIRECT } } },
	{ "indirect of 17 bytes", .descs = { { TABLE, 17, INDIRECT } }, .table = { { BUF, 100 } } },
	{ "indirect without an end", .descs = { { TABLE, 0xfffffff0, INDIRECT } } },
	{ "indirect and next", .descs = { { TABLE, 16, INDIRECT | NEXT, 1 }, { BUF, 100 } },
			.table = { { BUF, 100 } } },
	{ "indirect in indirect", .descs = { { TABLE, 16, INDIRECT } },
			.table = { { TABLE, 16, INDIRECT } } },
	{ "table nowhere", .descs = { { NOWHERE, 16, INDIRECT } } },
	{ "next beyond the table", .not_packed = true, .descs = { { TABLE, 32, INDIRECT } },
			.table = { { BUF, 100, NEXT, 2 } } },
	{ "loop in the table", .not_packed = true, .descs = { { TABLE, 32, INDIRECT } },
			.table = { { BUF, 100, NEXT, 1 }, { BUF, 100, NEXT, 0 } } },
	{ "a packet goes to a readable buffer", .is_rx = true, .descs = { { BUF, 2000 } } },
	{ "a packet goes nowhere", .is_rx = true, .descs = { { NOWHERE, 2000, WRITE } } },
	{ "a packet goes where no header fits", .is_rx = true, .descs = { { BUF, 11, WRITE } } },
	{ "a packet goes to no bytes", .is_rx = true, .descs = { { BUF, 0, WRITE } } },
};

/* One round: the buffer that the chains of a case point into. */
static struct tfe_buf area;

static uint64_t
real_gpa(uint64_t gpa)
{
	return gpa < BYTES ? area.gpa + gpa : gpa;
}

static void
put_split(struct tfe_ring *ring, const struct malformed *bad)
{
	struct vring_desc *table = (struct vring_desc *)((uint8_t *)area.va + TABLE);
	uint16_t avail_idx = ring->avail_idx;
	uint16_t i;

	for (i = 0; i < 4; i++) {
		const struct desc *d = &bad->descs[i];
		const struct desc *t = &bad->table[i];
		struct vring_desc desc = { real_gpa(d->gpa), d->len, d->flags, d->next };

		tfe_split_put_desc(ring, i, &desc);
		table[i] = (struct vring_desc){ real_gpa(t->gpa), t->len, t->flags, t->next };
	}
	tfe_split_put_avail(ring, bad->head);
	tfe_split_set_avail_idx(ring, avail_idx + (bad->avail_jump == 0 ? 1 : bad->avail_jump));
}

static void
put_packed(struct tfe_ring *ring, const struct malformed *bad)
{
	struct vring_packed_desc *table = (struct vring_packed_desc *)((uint8_t *)area.va + TABLE);
	uint16_t i;

	for (i = 4; i-- > 0;) {
		const struct desc *d = &bad->descs[i];
		const struct desc *t = &bad->table[i];
		struct vring_packed_desc desc = {
			.addr = real_gpa(d->gpa),
			.len = d->len,
			.flags = d->flags | tfe_packed_avail_bits(ring),
		};

		table[i] = (struct vring_packed_desc){
			.addr = real_gpa(t->gpa),
			.len = t->len,
			.flags = t->flags,
		};
		/* Only what belongs to the chain is made available, the first one last. */
		if (i == 0 || d->len != 0)
			tfe_packed_put_desc(ring, i, &desc);
	}
}

static void
open_front_end(struct rig *rig, const struct rig_variant *variant, bool no_indirect)
{
	struct tfe_dev_conf conf = rig_dev_conf(rig, variant);

	conf.mem_bytes = 8 << 20;
	if (!no_indirect)
		conf.features |= F(RING_F_INDIRECT_DESC);
	rig_connect(rig, &conf);
}

/* A good front-end, and a packet each way. */
static void
check_port(struct rig *rig, const struct rig_variant *variant)
{
	open_front_end(rig, variant, true);
	rig_netqs(rig, 2048, NULL);
	rig_check_traffic(rig, 0, 1);
	rig_disconnect(rig);
	rig_wait_link(rig, false);
}

/* Let the port come upon the chain. */
static void
poll_port(struct rig *rig, bool is_rx)
{
	uint8_t frame[64];
	struct rte_mbuf *m;

	if (!is_rx) {
		assert_int_equal(rte_eth_rx_burst(rig->port, 0, &m, 1), 0);
		return;
	}
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	m = rig_mbuf(rig, frame, sizeof(frame), 0);
	assert_int_equal(rte_eth_tx_burst(rig->port, 0, &m, 1), 0);
	rte_pktmbuf_free(m);
}

static void
check_malformed(struct rig *rig, const struct rig_variant *variant, const struct malformed *bad)
{
	uint64_t nb_broken = rig_xstat(rig, "frontend_broken_vrings");
	struct tfe_ring *ring;

	open_front_end(rig, variant, bad->no_indirect);
	assert_int_equal(tfe_mem_alloc(&rig->dev.mem, 0, BYTES, 4096, &area), 0);
	ring = bad->is_rx ? tfe_dev_receiveq(&rig->dev, 0) : tfe_dev_transmitq(&rig->dev, 0);
	if (ring->packed)
		put_packed(ring, bad);
	else
		put_split(ring, bad);
	poll_port(rig, bad->is_rx);
	if (tfe_conn_wait_closed(&rig->dev.conn, RIG_TIMEOUT_MS) != 0)
		fail_msg("%s: the connection stays open", bad->name);
	rig_wait_link(rig, false);
	assert_int_equal(rig_xstat(rig, "frontend_broken_vrings"), nb_broken + 1);
	rig_disconnect(rig);
}

static void
test_malformed(void **state)
{
	const struct rig_variant *variant = *state;
	bool is_packed = (variant->features & F(F_RING_PACKED)) != 0;
	const struct rig_conf conf = { 0 };
	unsigned int i, nb_fds;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	check_port(&rig, variant);
	nb_fds = rig_nb_fds();
	for (i = 0; i < RTE_DIM(malformed); i++) {
		if (is_packed ? malformed[i].not_packed : malformed[i].not_split)
			continue;
		check_malformed(&rig, variant, &malformed[i]);
		check_port(&rig, variant);
		assert_int_equal(rig_nb_fds(), nb_fds);
	}
	rig_fini(&rig);
}

/* Messages that are wrong in one way each; the session's own tests have them all. */
static const struct {
	const char *name;
	struct tfe_vu_hdr hdr;
	uint32_t nb_bytes; /* Sent after the header. */
	unsigned int nb_fds;
} bad_messages[] = {
	{ "version 0", { TFE_VU_GET_FEATURES, 0, 0 } },
	{ "version 2", { TFE_VU_GET_FEATURES, 2, 0 } },
	{ "a reply", { TFE_VU_GET_FEATURES, TFE_VU_VERSION | TFE_VU_REPLY, 0 } },
	{ "unknown", { TFE_VU_REQUEST_LAST + 1, TFE_VU_VERSION, 0 } },
	{ "id 0", { 0, TFE_VU_VERSION, 0 } },
	{ "too long", { TFE_VU_SET_VRING_NUM, TFE_VU_VERSION, 4000 }, 4000 },
	{ "longer than any", { TFE_VU_SET_VRING_NUM, TFE_VU_VERSION, UINT32_MAX } },
	{ "too short", { TFE_VU_SET_VRING_NUM, TFE_VU_VERSION, 4 }, 4 },
	{ "no features", { TFE_VU_SET_FEATURES, TFE_VU_VERSION, 0 } },
	{ "fds that it takes none of", { TFE_VU_SET_OWNER, TFE_VU_VERSION, 0 }, 0, 3 },
	{ "more fds than any", { TFE_VU_SET_MEM_TABLE, TFE_VU_VERSION, 8 }, 8, 100 },
};

static void
test_bad_messages(void **state)
{
	struct {
		struct tfe_vu_hdr hdr;
		uint8_t payload[4096];
	} msg;
	const struct rig_conf conf = { 0 };
	unsigned int i, j, nb_fds;
	struct tfe_conn conn;
	struct rig rig;
	int fds[100];

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	check_port(&rig, *state);
	nb_fds = rig_nb_fds();
	memset(&msg, 0, sizeof(msg));
	for (i = 0; i < RTE_DIM(bad_messages); i++) {
		tfe_conn_init(&conn);
		assert_int_equal(tfe_conn_connect(&conn, rig.path, RIG_TIMEOUT_MS), 0);
		for (j = 0; j < RTE_DIM(fds); j++)
			fds[j] = conn.fd;
		msg.hdr = bad_messages[i].hdr;
		assert_int_equal(tfe_conn_send_raw(&conn, &msg,
						 sizeof(msg.hdr) + bad_messages[i].nb_bytes, fds,
						 bad_messages[i].nb_fds),
				0);
		if (tfe_conn_wait_closed(&conn, RIG_TIMEOUT_MS) != 0)
			fail_msg("%s: the connection stays open", bad_messages[i].name);
		tfe_conn_close(&conn);
		/* The fds are the connection itself, which ends for who sent them when they do. */
		rig_wait_xstat(&rig, "frontend_closed", i + 1);
		check_port(&rig, *state);
		assert_int_equal(rig_nb_fds(), nb_fds);
	}
	rig_fini(&rig);
}

/* A front-end that changes its memory while the port looks at it. */
struct racer {
	pthread_t thread;
	struct rig *rig;
	unsigned int seed;
	bool stop; /* Atomic. */
};

static uint32_t
next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 8;
}

/* Write anything that is nearly right anywhere into a ring. */
static void
scribble(struct tfe_ring *ring, unsigned int *seed)
{
	uint32_t slot = next_random(seed) % 8;
	uint32_t len = next_random(seed) % 5 == 0 ? next_random(seed) : next_random(seed) % 3000;
	uint64_t gpa = area.gpa + next_random(seed) % BYTES;
	uint16_t flags = next_random(seed) % 16 == 0 ? next_random(seed) & 7
						     : (ring->index % 2 ? 0 : WRITE);

	if (ring->packed) {
		struct vring_packed_desc *desc = &ring->pdesc[slot];

		__atomic_store_n(&desc->addr, gpa, __ATOMIC_RELAXED);
		__atomic_store_n(&desc->len, len, __ATOMIC_RELAXED);
		__atomic_store_n(&desc->flags, flags | (next_random(seed) & 0x8080),
				__ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&ring->desc[slot].addr, gpa, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->desc[slot].len, len, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->desc[slot].flags, flags, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->desc[slot].next, next_random(seed) % 9, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->avail->ring[next_random(seed) % 256], slot, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->avail->idx, (uint16_t)(ring->used->idx + next_random(seed) % 256),
			__ATOMIC_RELEASE);
}

static void *
race(void *arg)
{
	struct racer *racer = arg;
	struct tfe_dev *dev = &racer->rig->dev;

	while (!__atomic_load_n(&racer->stop, __ATOMIC_RELAXED)) {
		scribble(tfe_dev_transmitq(dev, 0), &racer->seed);
		scribble(tfe_dev_receiveq(dev, 0), &racer->seed);
	}
	return NULL;
}

static void
burst_both_ways(struct rig *rig)
{
	struct rte_mbuf *mbufs[RIG_MAX_BURST];
	uint16_t nb, nb_tx;

	nb = rte_eth_rx_burst(rig->port, 0, mbufs, RIG_MAX_BURST);
	nb_tx = rte_eth_tx_burst(rig->port, 0, mbufs, nb);
	rte_pktmbuf_free_bulk(&mbufs[nb_tx], nb - nb_tx);
}

static void
test_race(void **state)
{
	const struct rig_conf conf = {
		.devargs = ",tso=1",
		.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
		.nb_mbufs = 4095,
	};
	struct racer racer = { .seed = 1 };
	struct tfe_dev_conf dev_conf;
	unsigned int i, j;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	for (i = 0; i < NB_RACES; i++) {
		dev_conf = rig_dev_conf(&rig, *state);
		dev_conf.mem_bytes = 8 << 20;
		dev_conf.features |= F(RING_F_INDIRECT_DESC) | F(NET_F_MRG_RXBUF) | F(NET_F_CSUM) |
				F(NET_F_HOST_TSO4) | F(NET_F_HOST_UFO);
		rig_connect(&rig, &dev_conf);
		assert_int_equal(tfe_mem_alloc(&rig.dev.mem, 0, BYTES, 4096, &area), 0);
		/* Bytes that are headers of all kinds, wherever a chain may begin. */
		for (j = 0; j < BYTES; j++)
			((uint8_t *)area.va)[j] = (uint8_t)(next_random(&racer.seed) % 5);
		racer.rig = &rig;
		racer.stop = false;
		assert_int_equal(pthread_create(&racer.thread, NULL, race, &racer), 0);
		rig_run_anywhere(racer.thread);
		for (j = 0; j < NB_BURSTS; j++)
			burst_both_ways(&rig);
		__atomic_store_n(&racer.stop, true, __ATOMIC_RELAXED);
		pthread_join(racer.thread, NULL);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
	}
	check_port(&rig, *state);
	rig_fini(&rig);
}

static int
count_event(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	(void)port;
	(void)type;
	(void)ret;
	__atomic_add_fetch((unsigned int *)arg, 1, __ATOMIC_RELAXED);
	return 0;
}

/* Lines of a log that have a text in them. */
static unsigned int
count_lines(const char *log, const char *text)
{
	unsigned int nb = 0;

	while ((log = strstr(log, text)) != NULL) {
		log += strlen(text);
		nb++;
	}
	return nb;
}

/* Who connects again and again with nonsense fills no log, and no application's event queue. */
static void
test_flood(void **state)
{
	const struct rig_conf conf = { 0 };
	uint64_t begin, seconds;
	unsigned int nb_events = 0;
	struct tfe_conn conn;
	size_t log_bytes;
	struct rig rig;
	unsigned int i;
	FILE *stream;
	char *log;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	assert_int_equal(rte_eth_dev_callback_register(rig.port, RTE_ETH_EVENT_QUEUE_STATE,
					 count_event, &nb_events),
			0);
	stream = open_memstream(&log, &log_bytes);
	assert_non_null(stream);
	assert_int_equal(rte_openlog_stream(stream), 0);
	rte_log_set_level_pattern("pmd.net.vhost_pci", RTE_LOG_NOTICE);
	begin = rte_get_timer_cycles();
	for (i = 0; i < NB_FLOOD; i++) {
		tfe_conn_init(&conn);
		assert_int_equal(tfe_conn_connect(&conn, rig.path, RIG_TIMEOUT_MS), 0);
		assert_int_equal(tfe_conn_send_raw(&conn, "nonsense, nonsense", 18, NULL, 0), 0);
		assert_int_equal(tfe_conn_wait_closed(&conn, RIG_TIMEOUT_MS), 0);
		tfe_conn_close(&conn);
	}
	rig_wait_xstat(&rig, "frontend_closed", NB_FLOOD);
	rig_ping();
	seconds = (rte_get_timer_cycles() - begin) / rte_get_timer_hz();
	rte_log_set_level_pattern("pmd.net.vhost_pci", RTE_LOG_ERR);
	assert_int_equal(rte_openlog_stream(NULL), 0);
	fclose(stream);
	assert_in_range(count_lines(log, "connection closed"), 1, seconds + 2);
	free(log);
	assert_int_equal(nb_events, 0);
	/* A vring that starts is news, one whose memory changes is not. */
	check_port(&rig, *state);
	assert_in_range(nb_events, 1, 16);
	assert_int_equal(rte_eth_dev_callback_unregister(rig.port, RTE_ETH_EVENT_QUEUE_STATE,
					 count_event, &nb_events),
			0);
	rig_fini(&rig);
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	BOTH(test_malformed),
	RIG_TEST(test_bad_messages, split),
	RIG_TEST(test_flood, split),
	BOTH(test_race),
};

REGISTER_TEST_GROUP(driver_hostile_autotest, tests, rig_group_setup, rig_group_teardown);
