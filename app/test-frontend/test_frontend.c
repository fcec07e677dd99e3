/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Whole sessions of the front-end with a small back-end in a thread. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "test.h"
#include "test_backend.h"

#define BIT TFE_BIT

/* A back-end and the configuration of a front-end that reaches it. */
struct session {
	struct tb tb;
	struct tfe_dev dev;
	struct tfe_dev_conf conf;
	char dir[32];
	char path[64];
};

static int
setup(void **state)
{
	struct session *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/frontend-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	tb_init(&s->tb);
	assert_int_equal(tfe_conn_listen(&s->tb.conn, s->path), 0);
	s->conf = (struct tfe_dev_conf)TFE_DEV_CONF_DEFAULT;
	s->conf.path = s->path;
	s->conf.mem_bytes = 16 << 20;
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct session *s = *state;

	tfe_dev_close(&s->dev);
	assert_int_equal(tb_stop(&s->tb), 0);
	assert_int_equal(rmdir(s->dir), 0);
	free(s);
	return 0;
}

static void
open_session(struct session *s)
{
	assert_int_equal(tb_start(&s->tb), 0);
	assert_int_equal(tfe_dev_open(&s->dev, &s->conf), 0);
}

/* Send frames of growing length on a pair, each must come back whole. */
static void
echo(struct tfe_dev *dev, unsigned int pair, const struct tfe_net_layout *layout, uint32_t max)
{
	uint64_t mark = tfe_mem_mark(&dev->mem, 0);
	struct tfe_netq tx, rx;
	uint8_t *frame = malloc(max);

	assert_int_equal(tfe_netq_init(&tx, dev, 2 * pair + 1, max, layout), 0);
	assert_int_equal(tfe_netq_init(&rx, dev, 2 * pair, 1600, layout), 0);
	assert_true(tfe_netq_post(&rx, 40) > 0);
	for (unsigned int i = 0; i < 40; i++) {
		uint32_t len = TFE_FRAME_MIN_BYTES + (max - TFE_FRAME_MIN_BYTES) * i / 39;
		struct tfe_pkt pkt;
		uint16_t stream;
		uint64_t seq;

		tfe_frame_build(frame, len, 7, i);
		assert_int_equal(tfe_netq_send(&tx, NULL, frame, len), 0);
		assert_int_equal(tfe_netq_recv(&rx, &pkt, TFE_TIMEOUT_MS), 1);
		assert_int_equal(pkt.len_bytes, len);
		assert_int_equal(tfe_frame_check(pkt.frame, len, &stream, &seq), TFE_FRAME_GOOD);
		assert_int_equal(seq, i);
		assert_int_equal(tfe_netq_post(&rx, pkt.nb_chains), pkt.nb_chains);
	}
	assert_int_equal(tfe_netq_wait_sent(&tx, TFE_TIMEOUT_MS), 0);
	free(frame);
	tfe_netq_fini(&tx);
	tfe_netq_fini(&rx);
	/* The receive chains stay with the device: the memory can be used again after a reset. */
	for (unsigned int i = 0; i < dev->nb_rings; i++)
		if (dev->rings[i].nb_outstanding > 0)
			return;
	tfe_mem_release(&dev->mem, 0, mark);
}

static void
test_session_opens_and_echoes(void **state)
{
	struct session *s = *state;

	open_session(s);
	assert_true(s->dev.features == TFE_FEATURES_BASE);
	assert_int_equal(s->dev.hdr_bytes, 12);
	assert_int_equal(s->dev.max_pairs, 2);
	echo(&s->dev, 0, NULL, 1500);
}

static void
test_every_layout_on_every_format(void **state)
{
	static const struct tfe_net_layout layouts[] = {
		{ .split_header = false },
		{ .split_header = true },
		{ .split_header = true, .hdr_seg_bytes = 5, .seg_bytes = 100 },
		{ .seg_bytes = 64 },
		{ .indirect = true },
		{ .indirect = true, .split_header = true, .hdr_seg_bytes = 1, .seg_bytes = 61 },
	};
	static const uint64_t formats[] = {
		0,
		BIT(VIRTIO_RING_F_EVENT_IDX),
		BIT(VIRTIO_F_RING_PACKED),
		BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_RING_F_EVENT_IDX),
	};
	struct session *s = *state;

	assert_int_equal(tb_start(&s->tb), 0);
	for (unsigned int f = 0; f < 4; f++)
		for (unsigned int l = 0; l < 6; l++) {
			s->conf.features = TFE_FEATURES_BASE | formats[f] |
					BIT(VIRTIO_RING_F_INDIRECT_DESC);
			assert_int_equal(tfe_dev_open(&s->dev, &s->conf), 0);
			echo(&s->dev, 0, &layouts[l], 1500);
			tfe_dev_close(&s->dev);
		}
}

static void
test_mergeable_packets_span_buffers(void **state)
{
	struct session *s = *state;

	assert_int_equal(tb_start(&s->tb), 0);
	for (unsigned int packed = 0; packed < 2; packed++) {
		s->conf.required_features = BIT(VIRTIO_NET_F_MRG_RXBUF);
		if (packed)
			s->conf.required_features |= BIT(VIRTIO_F_RING_PACKED);
		assert_int_equal(tfe_dev_open(&s->dev, &s->conf), 0);
		echo(&s->dev, 0, NULL, 9000);
		tfe_dev_close(&s->dev);
	}
}

static void
test_legacy_header_has_10_bytes(void **state)
{
	struct session *s = *state;

	s->conf.features = BIT(TFE_VHOST_USER_F_PROTOCOL_FEATURES);
	open_session(s);
	assert_int_equal(s->dev.hdr_bytes, 10);
	echo(&s->dev, 0, NULL, 1500);
}

static void
test_two_pairs(void **state)
{
	struct session *s = *state;

	s->conf.nb_pairs = 2;
	open_session(s);
	assert_true(tfe_dev_has(&s->dev, VIRTIO_NET_F_MQ));
	echo(&s->dev, 1, NULL, 1500);
	echo(&s->dev, 0, NULL, 1500);
}

static void
test_more_pairs_than_offered(void **state)
{
	struct session *s = *state;

	s->conf.nb_pairs = 3;
	assert_int_equal(tb_start(&s->tb), 0);
	assert_int_equal(tfe_dev_open(&s->dev, &s->conf), -ERANGE);
}

static void
test_required_feature_not_offered(void **state)
{
	struct session *s = *state;

	s->conf.required_features = BIT(VIRTIO_F_RING_RESET);
	assert_int_equal(tb_start(&s->tb), 0);
	assert_int_equal(tfe_dev_open(&s->dev, &s->conf), -ENOTSUP);
}

static void
test_refused_message_ends_the_opening(void **state)
{
	struct session *s = *state;

	s->tb.refused = TFE_VU_SET_VRING_ADDR;
	assert_int_equal(tb_start(&s->tb), 0);
	assert_int_equal(tfe_dev_open(&s->dev, &s->conf), -EREMOTEIO);
}

static void
test_memory_by_slots(void **state)
{
	struct session *s = *state;

	s->conf.mem_slots = true;
	open_session(s);
	echo(&s->dev, 0, NULL, 1500);
}

static void
test_own_memory_layout(void **state)
{
	struct tfe_region_conf region = {
		.gpa = 0,
		.uva = 0x10000,
		.size_bytes = 8 << 20,
		.share_fd_of = -1,
	};
	struct session *s = *state;

	s->conf.mem_bytes = 0;
	assert_int_equal(tb_start(&s->tb), 0);
	assert_int_equal(tfe_dev_init(&s->dev, &s->conf), 0);
	assert_int_equal(tfe_mem_add_region(&s->dev.mem, &region), 0);
	region.gpa = UINT64_C(1) << 40;
	region.uva = 0x900000;
	region.mmap_offset = 8 << 20;
	region.share_fd_of = 0;
	assert_int_equal(tfe_mem_add_region(&s->dev.mem, &region), 1);
	assert_int_equal(tfe_dev_reconnect(&s->dev), 0);
	echo(&s->dev, 0, NULL, 1500);
}

static void
test_stop_and_start_keep_the_rings(void **state)
{
	struct session *s = *state;

	assert_int_equal(tb_start(&s->tb), 0);
	for (unsigned int packed = 0; packed < 2; packed++) {
		uint8_t frame[64];
		struct tfe_netq tx;

		if (packed)
			s->conf.required_features = BIT(VIRTIO_F_RING_PACKED);
		assert_int_equal(tfe_dev_open(&s->dev, &s->conf), 0);
		echo(&s->dev, 0, NULL, 1500);
		assert_int_equal(tfe_dev_stop(&s->dev), 0);
		/* Sent while stopped, taken after the start. */
		tfe_frame_build(frame, sizeof(frame), 0, 0);
		assert_int_equal(tfe_netq_init(&tx, &s->dev, 1, 1500, NULL), 0);
		assert_int_equal(tfe_netq_send(&tx, NULL, frame, sizeof(frame)), 0);
		assert_int_equal(tfe_dev_start(&s->dev), 0);
		assert_int_equal(tfe_netq_wait_sent(&tx, TFE_TIMEOUT_MS), 0);
		tfe_netq_fini(&tx);
		tfe_dev_close(&s->dev);
	}
}

static void
test_wrong_base_is_noticed(void **state)
{
	struct session *s = *state;

	s->tb.base_error = 1;
	open_session(s);
	assert_int_equal(tfe_dev_stop(&s->dev), -EPROTO);
}

static void
test_reconnect_begins_anew(void **state)
{
	struct session *s = *state;

	open_session(s);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t mark = tfe_mem_mark(&s->dev.mem, 0);

		echo(&s->dev, 0, NULL, 1500);
		tfe_mem_release(&s->dev.mem, 0, mark);
		assert_int_equal(tfe_dev_reconnect(&s->dev), 0);
	}
	tfe_dev_close(&s->dev);
	assert_int_equal(tb_stop(&s->tb), 0);
	assert_int_equal(s->tb.nb_sessions, 4);
	assert_int_equal(tfe_conn_listen(&s->tb.conn, s->path), 0);
	assert_int_equal(tb_start(&s->tb), 0);
}

static void
test_server_accepts_the_backend(void **state)
{
	struct session *s = *state;

	tfe_conn_close(&s->tb.conn);
	s->conf.role = TFE_ROLE_SERVER;
	assert_int_equal(tfe_dev_init(&s->dev, &s->conf), 0);
	assert_int_equal(tfe_conn_listen(&s->dev.conn, s->path), 0);
	assert_int_equal(tfe_conn_connect(&s->tb.conn, s->path, 0), 0);
	assert_int_equal(tb_start(&s->tb), 0);
	assert_int_equal(tfe_dev_reconnect(&s->dev), 0);
	echo(&s->dev, 0, NULL, 1500);
}

static void
test_adopted_socket(void **state)
{
	struct session *s = *state;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(tfe_conn_adopt(&s->tb.conn, fds[0]), 0);
	assert_int_equal(tb_start(&s->tb), 0);
	s->conf.path = NULL;
	assert_int_equal(tfe_dev_init(&s->dev, &s->conf), 0);
	assert_int_equal(tfe_conn_adopt(&s->dev.conn, fds[1]), 0);
	assert_int_equal(tfe_dev_connect(&s->dev), 0);
	assert_int_equal(tfe_dev_negotiate(&s->dev), 0);
	assert_int_equal(tfe_dev_make_rings(&s->dev), 0);
	assert_int_equal(tfe_dev_send_mem(&s->dev), 0);
	assert_int_equal(tfe_dev_start_rings(&s->dev), 0);
	assert_int_equal(tfe_dev_enable(&s->dev, true), 0);
	assert_int_equal(tfe_dev_driver_ok(&s->dev), 0);
	echo(&s->dev, 0, NULL, 1500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_session_opens_and_echoes),
	TEST(test_every_layout_on_every_format),
	TEST(test_mergeable_packets_span_buffers),
	TEST(test_legacy_header_has_10_bytes),
	TEST(test_two_pairs),
	TEST(test_more_pairs_than_offered),
	TEST(test_required_feature_not_offered),
	TEST(test_refused_message_ends_the_opening),
	TEST(test_memory_by_slots),
	TEST(test_own_memory_layout),
	TEST(test_stop_and_start_keep_the_rings),
	TEST(test_wrong_base_is_noticed),
	TEST(test_reconnect_begins_anew),
	TEST(test_server_accepts_the_backend),
	TEST(test_adopted_socket),
};

REGISTER_TEST_GROUP(frontend_autotest, tests, NULL, NULL);
