/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * Packets pass through one adapter, by interrupts and doorbells, while another adapter's machine,
 * its driver, or a front-end does what it should not. None is lost, and each step of the bad one
 * sees the good one go on.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "../../test-frontend/test_device.h"
#include "adapter_rig.h"
#include "test.h"
#include "tfe_net.h"
#include "vfu_requests.h"

#define TIMEOUT_MS 5000

/** Bytes of a frame. */
#define FRAME_BYTES 64u

/** Steps of those that do something by chance. */
#define NB_RANDOM 30u

/** The good adapter: front-end and driver, in a thread that sends frames and brings them back. */
struct flow {
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_netq receiveq;
	struct tfe_netq transmitq;
	/* the driver's view: everything behind the BAR */
	struct tfe_mem mem;
	struct tfe_ring rings[2];
	struct td_ring sides[2];
	GThread *thread;
	gint stop;
	guint nb_frames;   /**< that have come back */
	const char *error; /**< read after the thread's end */
};

/** All there is. */
struct neighbours {
	struct adapter_rig rig;
	struct flow good;
	struct tfe_dev dev; /**< the front-end of the bad machine */
	struct drv drv;     /**< the bad machine and its driver */
	guint nb_seen;      /**< frames of the good one, at the last look */
	uint64_t nb_resets; /**< of its adapter, when it was set up */
	uint64_t seed;
};

static uint32_t
next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 32;
}

/* A pointer into the front-end's memory, as the driver has it behind the BAR. */
static void *
behind_bar(const struct flow *flow, const void *va)
{
	const struct tfe_region *region = &flow->dev.mem.regions[0];

	return flow->drv.memory + region->mmap_offset + ((const uint8_t *)va - region->va);
}

/* Become the device of the front-end's rings. */
static void
flow_init_device(struct flow *flow)
{
	flow->mem = flow->dev.mem;
	flow->mem.regions[0].va = behind_bar(flow, flow->dev.mem.regions[0].va);
	for (unsigned int i = 0; i < 2; i++) {
		struct tfe_ring *ring = &flow->rings[i];

		*ring = flow->dev.rings[i];
		ring->desc = behind_bar(flow, ring->desc);
		ring->avail = behind_bar(flow, ring->avail);
		ring->used = behind_bar(flow, ring->used);
		ring->call_fd = -1;
		td_init(&flow->sides[i], ring, &flow->mem);
	}
}

/* The driver's part: woken by an interrupt, it brings the frame back and rings the doorbell. */
static const char *
flow_serve(struct flow *flow)
{
	const struct td_loop_conf conf = { .hdr_bytes = flow->dev.hdr_bytes };
	struct pollfd pfd = { .fd = flow->drv.kick_fd, .events = POLLIN };
	uint64_t value;

	if (poll(&pfd, 1, TIMEOUT_MS) != 1 ||
			read(flow->drv.kick_fd, &value, sizeof(value)) != sizeof(value))
		return "no interrupt of the kick";
	if (td_loop(&flow->sides[1], &flow->sides[0], &conf) != 1)
		return "the frame is not in the window";
	if (vfc_write32(&flow->drv.client, VFC_BAR0, DRV_BELL(call[0]), 0) != 0)
		return "no doorbell";
	return NULL;
}

/* One frame, there and back. */
static const char *
flow_frame(struct flow *flow, uint32_t number)
{
	uint8_t frame[FRAME_BYTES];
	const char *error;
	struct tfe_pkt pkt;

	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(number >> 8 * (i % 4)) ^ (uint8_t)i;
	if (tfe_netq_post(&flow->receiveq, 1) != 1)
		return "no receive buffer";
	if (tfe_netq_send(&flow->transmitq, NULL, frame, sizeof(frame)) != 0)
		return "the frame can't be sent";
	error = flow_serve(flow);
	if (error != NULL)
		return error;
	if (tfe_netq_recv(&flow->receiveq, &pkt, TIMEOUT_MS) != 1)
		return "the frame does not come back";
	if (pkt.len_bytes != sizeof(frame) || memcmp(pkt.frame, frame, sizeof(frame)) != 0)
		return "the frame is another one";
	return NULL;
}

static gpointer
flow_run(gpointer data)
{
	struct flow *flow = data;

	while (!g_atomic_int_get(&flow->stop)) {
		flow->error = flow_frame(flow, (uint32_t)flow->nb_frames);
		if (flow->error != NULL)
			break;
		g_atomic_int_inc(&flow->nb_frames);
	}
	return NULL;
}

/* Start the good one on the adapter that there is. */
static void
flow_start(struct flow *flow, struct adapter_rig *rig)
{
	const struct tfe_net_layout layout = { 0 };

	adapter_rig_open_frontend(rig, &flow->dev);
	drv_plug(&flow->drv, rig);
	drv_init(&flow->drv, drv_read(&flow->drv, DRV_REG(device_features_lo)), true);
	drv_recv_replay(&flow->drv, VHOST_USER_SET_STATUS);
	flow_init_device(flow);
	assert_int_equal(tfe_netq_init(&flow->receiveq, &flow->dev, 0, FRAME_BYTES, &layout), 0);
	assert_int_equal(tfe_netq_init(&flow->transmitq, &flow->dev, 1, FRAME_BYTES, &layout), 0);
	/* so that each frame is one kick and one call */
	td_want_kicks(&flow->sides[0], false);
	flow->thread = g_thread_new("flow", flow_run, flow);
}

static void
flow_end(struct flow *flow)
{
	tfe_netq_fini(&flow->receiveq);
	tfe_netq_fini(&flow->transmitq);
	tfe_dev_close(&flow->dev);
	drv_unplug(&flow->drv);
}

/* The bad machine plugs its adapter, and its driver is up. */
static void
plug_bad(struct neighbours *all)
{
	drv_plug(&all->drv, &all->rig);
	drv_init(&all->drv, 0, true);
}

static struct neighbours *
neighbours_start(void)
{
	struct neighbours *all = g_new0(struct neighbours, 1);

	all->seed = 11;
	adapter_rig_defaults(&all->rig);
	all->rig.config.linger_ms = 60000;
	adapter_rig_start(&all->rig);
	flow_start(&all->good, &all->rig);
	all->nb_resets = adapter_rig_stats(&all->rig, NULL).resets;
	/* from now on the rig's adapter is the other one */
	g_free(all->rig.adapter_path);
	all->rig.adapter_path = g_build_filename(all->rig.dir, "vpci-1.sock", NULL);
	adapter_rig_open_frontend(&all->rig, &all->dev);
	plug_bad(all);
	return all;
}

/* A frame more has passed, since the last look. */
static void
wait_frame(struct neighbours *all)
{
	gint64 end = g_get_monotonic_time() + TIMEOUT_MS * 1000;
	guint nb;

	while ((nb = (guint)g_atomic_int_get(&all->good.nb_frames)) == all->nb_seen) {
		if (g_get_monotonic_time() > end)
			fail_msg("frame %u: %s", nb, all->good.error ? all->good.error : "?");
		g_thread_yield();
	}
	all->nb_seen = nb;
}

/* End all: every frame came back, with one kick and one call, whatever the bad one did. */
static void
neighbours_stop(struct neighbours *all)
{
	struct adapter_stats stats;

	wait_frame(all);
	g_atomic_int_set(&all->good.stop, 1);
	g_thread_join(all->good.thread);
	if (all->good.error != NULL)
		fail_msg("frame %u: %s", all->good.nb_frames, all->good.error);
	stats = adapter_rig_stats(&all->rig, NULL);
	assert_int_equal(stats.kicks, all->good.nb_frames);
	assert_int_equal(stats.calls, all->good.nb_frames);
	assert_int_equal(stats.resets, all->nb_resets);
	drv_unplug(&all->drv);
	tfe_dev_close(&all->dev);
	flow_end(&all->good);
	adapter_rig_stop(&all->rig);
	g_free(all);
}

/* Every field of every request of vfio-user, wrong. */
static void
test_bad_requests(void **state)
{
	struct neighbours *all = neighbours_start();

	(void)state;
	for (unsigned int i = 0; i < vfr_nb_bads; i++) {
		const struct vfr_bad *bad = &vfr_bads[i];
		struct vfc_msg msg;

		/* the adapter's BAR0 has as much, and the client no room for it */
		if (bad->command == VFC_REGION_READ && bad->word == 3 &&
				bad->value == VFR_BAR0_BYTES)
			continue;
		vfr_make_bad(&msg, bad);
		assert_true(vfr_call(&all->drv.client, &msg) >= 0);
		/* and cut short */
		vfr_make_bad(&msg, bad);
		msg.nb_bytes /= 2;
		msg.hdr.size = (uint32_t)(sizeof(msg.hdr) + msg.nb_bytes);
		assert_true(vfr_call(&all->drv.client, &msg) >= 0);
		wait_frame(all);
	}
	neighbours_stop(all);
}

/* Bytes that are no requests: the connection ends, and the machine comes back. */
static void
test_bad_headers(void **state)
{
	struct neighbours *all = neighbours_start();

	(void)state;
	for (unsigned int i = 0; i < NB_RANDOM; i++) {
		/* a size that there is not, on whatever command */
		const struct vfc_hdr hdr = {
			.command = (uint16_t)(next_random(&all->seed) % 20),
			.size = i % 2 ? next_random(&all->seed) % sizeof(hdr) : UINT32_MAX - i,
			.flags = next_random(&all->seed) % 4,
		};
		struct vfc_msg msg;

		assert_int_equal(vfc_send_bytes(&all->drv.client, &hdr, sizeof(hdr)), 0);
		assert_int_equal(vfc_recv(&all->drv.client, &msg), -ECONNRESET);
		drv_unplug(&all->drv);
		plug_bad(all);
		wait_frame(all);
	}
	neighbours_stop(all);
}

/* A driver that scribbles over the message rings and all it shares, and writes any register. */
static void
test_bad_rings(void **state)
{
	struct neighbours *all = neighbours_start();

	(void)state;
	for (unsigned int i = 0; i < 10 * NB_RANDOM; i++) {
		uint32_t offset = next_random(&all->seed) % 0x3000 & ~3u;
		uint32_t where = next_random(&all->seed) % 0xff00;

		memset(all->drv.shared + where, (int)next_random(&all->seed), 1 + where % 64);
		drv_write(&all->drv, DRV_BELL(msg_notify), 0);
		drv_write(&all->drv, offset, next_random(&all->seed));
		if (i % 10 != 0)
			continue;
		wait_frame(all);
		drv_init(&all->drv, 0, true);
	}
	neighbours_stop(all);
}

/* A message with a good header and whatever behind it. */
static void
send_garbage(struct neighbours *all, struct tfe_conn *conn)
{
	uint8_t payload[64];
	struct tfe_msg msg;

	for (unsigned int i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)next_random(&all->seed);
	tfe_msg_init(&msg, 1 + next_random(&all->seed) % 48, payload,
			next_random(&all->seed) % sizeof(payload));
	msg.hdr.flags = next_random(&all->seed) % 8 ? 1 : next_random(&all->seed);
	if (next_random(&all->seed) % 4 == 0)
		tfe_msg_add_fd(&msg, all->dev.rings[0].call_fd);
	/* it may be closed already, for what came before */
	tfe_conn_send(conn, &msg);
}

/* Front-ends that send garbage: new ones, and the one that the bad adapter has. */
static void
test_bad_front_ends(void **state)
{
	struct neighbours *all = neighbours_start();

	(void)state;
	for (unsigned int i = 0; i < NB_RANDOM; i++) {
		struct tfe_conn conn;

		tfe_conn_init(&conn);
		assert_int_equal(tfe_conn_connect(&conn, all->rig.vhost_path, TIMEOUT_MS), 0);
		for (unsigned int j = 0; j < 4; j++)
			send_garbage(all, &conn);
		tfe_conn_close(&conn);
		send_garbage(all, &all->dev.conn);
		if (tfe_conn_wait_closed(&all->dev.conn, 0) == 0) {
			tfe_dev_disconnect(&all->dev);
			assert_int_equal(tfe_dev_reconnect(&all->dev), 0);
		}
		wait_frame(all);
	}
	neighbours_stop(all);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_bad_requests),
	cmocka_unit_test(test_bad_headers),
	cmocka_unit_test(test_bad_rings),
	cmocka_unit_test(test_bad_front_ends),
};

REGISTER_TEST_GROUP(adapter_neighbours_autotest, tests, NULL, NULL);
