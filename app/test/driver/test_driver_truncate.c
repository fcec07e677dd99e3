/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Front-ends that truncate their memory under traffic: they lose their connection, nobody else. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver_rig.h"

/* What is truncated is in a file of its own, so that all else stays. */
#define LOST_GPA   UINT64_C(0x80000000)
#define LOST_UVA   UINT64_C(0x700000000000)
#define LOST_BYTES UINT64_C(0x40000)

/* Chains under way when the file is truncated, and what the port does then. */
#define NB_CHAINS 32
#define BUF_BYTES 2048u

/* The part of a ring that is lost. */
enum part {
	PART_DESC,
	PART_DRIVER,
	PART_DEVICE,
	PART_BUFFER,
	NB_PARTS,
};

static const char *const part_names[] = { "descriptors", "driver area", "device area", "buffers" };

/* One case. */
struct lost {
	const struct rig_variant *variant;
	enum part part;
	bool is_tx; /* The port transmits. */
};

/* Move a part of a ring to the file that is truncated later. */
static void
move_part(struct tfe_dev *dev, struct tfe_ring *ring, enum part part, struct tfe_buf *buffer)
{
	struct tfe_buf *const bufs[] = { &ring->desc_buf, &ring->driver_buf, &ring->device_buf,
		buffer };
	uint64_t bytes = part == PART_BUFFER ? NB_CHAINS * BUF_BYTES : bufs[part]->size_bytes;

	assert_int_equal(tfe_mem_alloc(&dev->mem, 0, NB_CHAINS * BUF_BYTES, 4096, buffer), 0);
	assert_int_equal(tfe_mem_alloc(&dev->mem, 1, bytes, 4096, bufs[part]), 0);
	if (ring->packed) {
		ring->pdesc = ring->desc_buf.va;
		ring->driver_event = ring->driver_buf.va;
		ring->device_event = ring->device_buf.va;
	} else {
		ring->desc = ring->desc_buf.va;
		ring->avail = ring->driver_buf.va;
		ring->used = ring->device_buf.va;
	}
	tfe_ring_reset(ring);
}

/* A front-end, a part of whose ring is in a file of its own. */
static struct tfe_ring *
open_front_end(struct rig *rig, const struct lost *lost, struct tfe_buf *buffer)
{
	const struct tfe_region_conf region = { LOST_GPA, LOST_UVA, LOST_BYTES, 0, 0, -1 };
	struct tfe_dev_conf conf = rig_dev_conf(rig, lost->variant);
	struct tfe_dev *dev = &rig->dev;
	struct tfe_ring *ring;

	conf.mem_bytes = 4 << 20;
	assert_int_equal(tfe_dev_init(dev, &conf), 0);
	rig->has_dev = true;
	assert_int_equal(tfe_mem_add_region(&dev->mem, &region), 1);
	assert_int_equal(tfe_dev_connect(dev), 0);
	assert_int_equal(tfe_dev_negotiate(dev), 0);
	assert_int_equal(tfe_dev_make_rings(dev), 0);
	ring = lost->is_tx ? tfe_dev_receiveq(dev, 0) : tfe_dev_transmitq(dev, 0);
	move_part(dev, ring, lost->part, buffer);
	assert_int_equal(tfe_dev_send_mem(dev), 0);
	assert_int_equal(tfe_dev_start_rings(dev), 0);
	assert_int_equal(tfe_dev_enable(dev, true), 0);
	assert_int_equal(tfe_dev_driver_ok(dev), 0);
	rig_wait_link(rig, true);
	return ring;
}

static void
add_chains(struct tfe_ring *ring, const struct tfe_buf *buffer, bool is_tx)
{
	unsigned int i;

	for (i = 0; i < NB_CHAINS; i++) {
		const struct tfe_seg seg = { buffer->gpa + i * BUF_BYTES, is_tx ? BUF_BYTES : 100 };
		const struct tfe_chain chain = {
			.segs = &seg,
			.nb_out = !is_tx,
			.nb_in = is_tx,
		};

		assert_true(tfe_ring_add(ring, &chain) >= 0);
	}
	tfe_ring_publish(ring);
}

/* Bursts, until the port has found out. */
static void
poll_port(struct rig *rig, bool is_tx)
{
	struct rte_mbuf *mbufs[NB_CHAINS];
	uint8_t frame[64] = { 0 };
	uint16_t nb, nb_done = 0;

	if (is_tx) {
		for (nb = 0; nb < NB_CHAINS; nb++)
			mbufs[nb] = rig_mbuf(rig, frame, sizeof(frame), 0);
		nb_done = rte_eth_tx_burst(rig->port, 0, mbufs, nb);
	} else {
		nb = rte_eth_rx_burst(rig->port, 0, mbufs, NB_CHAINS);
	}
	rte_pktmbuf_free_bulk(&mbufs[nb_done], (unsigned int)(nb - nb_done));
}

static void
check_lost(struct rig *rig, struct rig *other, const struct lost *lost)
{
	uint64_t nb_lost = rig_xstat(rig, "frontend_lost_memory");
	struct tfe_buf buffer = { 0 };
	struct tfe_ring *ring = open_front_end(rig, lost, &buffer);

	rig_check_traffic(other, 0, 1);
	add_chains(ring, &buffer, lost->is_tx);
	assert_int_equal(ftruncate(rig->dev.mem.regions[1].fd, 0), 0);
	poll_port(rig, lost->is_tx);
	rig_check_traffic(other, 0, 1);
	if (tfe_conn_wait_closed(&rig->dev.conn, RIG_TIMEOUT_MS) != 0)
		fail_msg("%s: the connection stays open", part_names[lost->part]);
	rig_wait_link(rig, false);
	assert_int_equal(rig_xstat(rig, "frontend_lost_memory"), nb_lost + 1);
	assert_int_equal(rig_xstat(rig, "frontend_broken_vrings"), 0);
	rig_disconnect(rig);
}

static void
test_truncated_part(void **state)
{
	const struct rig_variant *variant = *state;
	const struct rig_conf conf = { 0 };
	struct rig rig, other;
	unsigned int part;

	rig_open(&other, &conf, &rig_split, 0, NULL);
	rig_init(&rig);
	rig_port_open(&rig, &conf);
	for (part = 0; part < NB_PARTS; part++) {
		/* That of a packed ring is written where kicks are wanted, and not in a burst. */
		if (part == PART_DEVICE && (variant->features & F(F_RING_PACKED)) != 0)
			continue;
		check_lost(&rig, &other, &(struct lost){ variant, part, false });
		check_lost(&rig, &other, &(struct lost){ variant, part, true });
	}
	rig_fini(&rig);
	rig_check_traffic(&other, 0, 1);
	rig_fini(&other);
}

static void
test_next_front_end(void **state)
{
	const struct lost lost = { *state, PART_DESC, false };
	const struct rig_conf conf = { 0 };
	struct tfe_dev_conf dev_conf;
	struct tfe_buf buffer = { 0 };
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	add_chains(open_front_end(&rig, &lost, &buffer), &buffer, false);
	assert_int_equal(ftruncate(rig.dev.mem.regions[1].fd, 0), 0);
	poll_port(&rig, false);
	assert_int_equal(tfe_conn_wait_closed(&rig.dev.conn, RIG_TIMEOUT_MS), 0);
	rig_disconnect(&rig);
	dev_conf = rig_dev_conf(&rig, *state);
	rig_wait_link(&rig, false);
	rig_connect(&rig, &dev_conf);
	rig_netqs(&rig, 2048, NULL);
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
}

static void
test_require_seals(void **state)
{
	const struct rig_conf conf = { .devargs = ",require-seals=1" };
	struct tfe_dev_conf dev_conf;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	dev_conf = rig_dev_conf(&rig, *state);
	dev_conf.mem_flags = 0;
	assert_true(tfe_dev_open(&rig.dev, &dev_conf) < 0);
	dev_conf.mem_flags = TFE_MEM_SEAL_SHRINK;
	rig_connect(&rig, &dev_conf);
	rig_netqs(&rig, 2048, NULL);
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
}

static const struct CMUnitTest tests[] = {
	RIG_TEST(test_truncated_part, split),
	RIG_TEST(test_truncated_part, packed),
	RIG_TEST(test_truncated_part, split_event),
	RIG_TEST(test_next_front_end, split),
	RIG_TEST(test_next_front_end, packed),
	RIG_TEST(test_require_seals, split),
};

REGISTER_TEST_GROUP(driver_truncate_autotest, tests, rig_group_setup, rig_group_teardown);
