/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Rings that are stopped and go on where they were, and memory that comes and goes, again and again
 * below traffic: the application and the guest notice nothing. Each frame has a number, and none is
 * missing, twice or late.
 */

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "driver_rig.h"
#include "stress_rig.h"

/* Rounds of a test, and how long they go on at most where the machine has more to do;
 * VHOST_PCI_TEST_SECONDS says otherwise.
 */
#define NB_ROUNDS       1000
#define MIN_ROUNDS      40
#define SECONDS_ENV     "VHOST_PCI_TEST_SECONDS"
#define DEFAULT_SECONDS 2

/* Frames that a round waits for, and for how long. */
#define NB_FRAMES 8
#define WAIT_MS   60000

/* Memory slots that a back-end has, of which the rings' own is one. */
#define NB_SLOTS 509

/* In how many steps they are filled, and emptied. */
#define NB_STEPS       16
#define SLOTS_PER_STEP 32

/* Packets that the application keeps at most. */
#define NB_KEPT 64

/* The application: what it has received it keeps for a while, and then sends back or frees. */
struct application {
	struct poller poller;
	struct rig *rig;
	bool sends_back;
	uint32_t frame_bytes;
	struct rte_mbuf *kept[2 * NB_KEPT]; /* The oldest first. */
	unsigned int nb_kept;
	uint64_t nb_received; /* Atomic; and the number that is due next. */
	uint64_t nb_wrong;    /* Frames that were not the one that was due. */
};

/* The frame that is due, as it is when it is received. */
static void
check_received(struct application *app, const struct rte_mbuf *m)
{
	uint8_t bytes[2048];
	const void *frame;
	uint16_t stream;
	uint64_t seq;

	frame = m->pkt_len == app->frame_bytes ? rte_pktmbuf_read(m, 0, m->pkt_len, bytes) : NULL;
	if (frame == NULL || tfe_frame_check(frame, m->pkt_len, &stream, &seq) != TFE_FRAME_GOOD ||
			seq != app->nb_received)
		app->nb_wrong++;
	__atomic_add_fetch(&app->nb_received, 1, __ATOMIC_RELEASE);
}

/* Let go of the oldest packets; what can't be sent yet is kept. */
static void
let_go(struct application *app, unsigned int nb)
{
	if (app->sends_back)
		nb = rte_eth_tx_burst(app->rig->port, 0, app->kept, (uint16_t)nb);
	else
		rte_pktmbuf_free_bulk(app->kept, nb);
	app->nb_kept -= nb;
	memmove(app->kept, &app->kept[nb], app->nb_kept * sizeof(app->kept[0]));
}

static void
poll_port(void *arg)
{
	struct application *app = arg;
	struct rte_mbuf **mbufs = &app->kept[app->nb_kept];
	uint16_t nb = 0, i;

	if (app->nb_kept < NB_KEPT)
		nb = rte_eth_rx_burst(app->rig->port, 0, mbufs, 32);
	for (i = 0; i < nb; i++)
		check_received(app, mbufs[i]);
	app->nb_kept += nb;
	/* Where packets are freed some stay, so that memory is lent at any time. */
	if (app->sends_back && app->nb_kept > 0)
		let_go(app, app->nb_kept);
	else if (app->nb_kept >= NB_KEPT)
		let_go(app, NB_KEPT / 2);
	if (nb == 0)
		sched_yield();
}

static void
application_start(struct application *app, struct rig *rig, bool sends_back, uint32_t frame_bytes)
{
	memset(app, 0, sizeof(*app));
	app->rig = rig;
	app->sends_back = sends_back;
	app->frame_bytes = frame_bytes;
	poller_start(&app->poller, poll_port, app);
}

static void
application_stop(struct application *app)
{
	poller_stop(&app->poller);
	rte_pktmbuf_free_bulk(app->kept, app->nb_kept);
	assert_int_equal(app->nb_wrong, 0);
}

/* What has been all the way. */
static uint64_t
nb_gone(const struct application *app, const struct traffic *traffic)
{
	struct tfe_gen_stats stats;

	if (!app->sends_back)
		return __atomic_load_n(&app->nb_received, __ATOMIC_ACQUIRE);
	tfe_gen_stats(traffic->rx, &stats);
	return stats.nb_packets;
}

static void
wait_frames(const struct application *app, const struct traffic *traffic)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * WAIT_MS;
	uint64_t target = nb_gone(app, traffic) + NB_FRAMES;

	while (nb_gone(app, traffic) < target) {
		sched_yield();
		assert_true(rte_get_timer_cycles() < end);
	}
}

/* Stop a ring; its base is where both sides stand, for nothing is under way. */
static void
stop_ring(struct rig *rig, struct tfe_ring *ring)
{
	assert_int_equal(tfe_req_get_vring_base(&rig->dev.conn, ring->index, &ring->base), 0);
	if (ring->packed)
		assert_int_equal(ring->base & 0xffff, ring->base >> 16);
	else
		assert_int_equal(ring->base, __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE));
}

/* Have a ring go on; nothing was returned while it stood. */
static void
start_ring(struct rig *rig, struct tfe_ring *ring)
{
	if (!ring->packed)
		assert_int_equal(ring->base, __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE));
	assert_int_equal(tfe_ring_send_setup(ring, &rig->dev.conn), 0);
}

/* Hand over one ring, or both: then the device is suspended for a moment. */
static void
hand_over(struct rig *rig, unsigned int round)
{
	unsigned int first = round / 2 % 2;
	unsigned int nb = 1 + round % 2;
	unsigned int i;

	for (i = 0; i < nb; i++)
		stop_ring(rig, &rig->dev.rings[(first + i) % 2]);
	for (i = 0; i < nb; i++)
		start_ring(rig, &rig->dev.rings[(first + i) % 2]);
}

static struct tfe_vu_region
slot_wire(const struct rig *rig, unsigned int i)
{
	struct tfe_vu_region slot = tfe_mem_wire(&rig->dev.mem, 0);

	if (i == 0)
		return slot;
	slot.size_bytes = 4096;
	slot.gpa = (UINT64_C(1) << 40) + i * slot.size_bytes;
	slot.uva = (UINT64_C(1) << 44) + i * slot.size_bytes;
	return slot;
}

static int
add_slot(struct rig *rig, unsigned int i)
{
	const struct tfe_vu_region slot = slot_wire(rig, i);

	return tfe_req_add_mem_reg(&rig->dev.conn, &slot, rig->dev.mem.regions[0].fd);
}

static void
remove_slot(struct rig *rig, unsigned int i)
{
	const struct tfe_vu_region slot = slot_wire(rig, i);

	assert_int_equal(tfe_req_rem_mem_reg(&rig->dev.conn, &slot, -1), 0);
}

/* Fill slots, and empty them in another order, some in each round; one too many is refused. The
 * rings' own goes now and then, with what is lent of it, and comes back.
 */
static void
move_memory(struct rig *rig, unsigned int round)
{
	const unsigned int step = round % (2 * NB_STEPS);
	const unsigned int first = step % NB_STEPS * SLOTS_PER_STEP + 1;
	unsigned int i;

	for (i = first; i < first + SLOTS_PER_STEP && i < NB_SLOTS; i++) {
		if (step < NB_STEPS)
			assert_int_equal(add_slot(rig, i), 0);
		else
			remove_slot(rig, i * 77 % NB_SLOTS);
	}
	if (step == NB_STEPS - 1)
		assert_true(add_slot(rig, NB_SLOTS) < 0);
	if (step % 4 == 0) {
		remove_slot(rig, 0);
		assert_int_equal(add_slot(rig, 0), 0);
	}
}

/* Change something below traffic, round for round. */
static void
run_rounds(const struct rig_conf *conf, const struct rig_variant *variant, bool sends_back,
		void (*change)(struct rig *rig, unsigned int round))
{
	const char *seconds = getenv(SECONDS_ENV);
	uint64_t end = rte_get_timer_cycles() +
			rte_get_timer_hz() *
					(seconds != NULL ? strtoul(seconds, NULL, 10)
							 : DEFAULT_SECONDS);
	const struct traffic_conf traffic_conf = {
		.frame_bytes = sends_back ? 200 : 1400,
		.stream = 5,
	};
	struct tfe_dev_conf dev_conf;
	struct tfe_gen_stats stats;
	struct application app;
	struct traffic traffic;
	struct rig rig;
	unsigned int round;

	rig_init(&rig);
	rig_port_open(&rig, conf);
	dev_conf = rig_dev_conf(&rig, variant);
	dev_conf.mem_bytes = 8 << 20;
	dev_conf.mem_slots = true;
	dev_conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	dev_conf.timeout_ms = WAIT_MS;
	rig_connect(&rig, &dev_conf);
	application_start(&app, &rig, sends_back, traffic_conf.frame_bytes);
	traffic_start(&traffic, &rig, &traffic_conf);
	for (round = 0; round < NB_ROUNDS && (round < MIN_ROUNDS || rte_get_timer_cycles() < end);
			round++) {
		wait_frames(&app, &traffic);
		change(&rig, round);
	}
	wait_frames(&app, &traffic);
	traffic_halt(&traffic);
	tfe_gen_stats(traffic.rx, &stats);
	assert_int_equal(stats.nb_lost, 0);
	traffic_stop(&traffic);
	application_stop(&app);
	rig_fini(&rig);
	printf("# %u rounds, %" PRIu64 " frames\n", round, app.nb_received);
}

static void
test_rings(void **state)
{
	const struct rig_conf conf = { .nb_mbufs = 2047 };

	run_rounds(&conf, *state, true, hand_over);
}

static void
test_slots(void **state)
{
	const struct rig_conf conf = {
		.nb_mbufs = 2047,
		.devargs = ",zero-copy=full,copybreak=256",
	};

	run_rounds(&conf, *state, false, move_memory);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(test_rings, split),
	RIG_TEST(test_rings, packed),
	RIG_TEST(test_rings, split_event),
	RIG_TEST(test_rings, packed_event),
	RIG_TEST(test_slots, split),
	RIG_TEST(test_slots, packed),
};

REGISTER_TEST_GROUP(driver_handover_autotest, tests, rig_group_setup, rig_group_teardown);
