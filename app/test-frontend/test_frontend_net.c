/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Packets against a device that is stepped by hand, and what a faulty one may do to them. */

#include <errno.h>
#include <string.h>

#include "test.h"
#include "test_device.h"

/* A device without a connection, one queue of it, and the other side of that. */
struct bench {
	struct tfe_dev dev;
	struct tfe_netq q;
	struct td_ring side;
	struct td_chain chain;
	uint8_t packet[4096];
};

static struct bench bench;

static void
make(unsigned int vring, uint64_t features, const struct tfe_net_layout *layout)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct bench *b = &bench;

	memset(b, 0, sizeof(*b));
	conf.receiveq_size = 16;
	conf.transmitq_size = 16;
	assert_int_equal(tfe_dev_init(&b->dev, &conf), 0);
	b->dev.features = features | TFE_BIT(VIRTIO_F_VERSION_1);
	b->dev.hdr_bytes = 12;
	assert_int_equal(tfe_dev_make_rings(&b->dev), 0);
	assert_int_equal(tfe_netq_init(&b->q, &b->dev, vring, 1000, layout), 0);
	td_init(&b->side, b->q.ring, &b->dev.mem);
}

static int
teardown(void **state)
{
	(void)state;
	tfe_netq_fini(&bench.q);
	tfe_dev_close(&bench.dev);
	return 0;
}

/* The device writes a packet of nb_bytes, with this num_buffers, into the next chain. */
static void
receive(uint32_t nb_bytes, uint16_t num_buffers)
{
	struct bench *b = &bench;

	memcpy(b->packet + 10, &num_buffers, sizeof(num_buffers));
	assert_int_equal(td_pop(&b->side, &b->chain), 1);
	assert_int_equal(td_write(&b->chain, b->packet, nb_bytes), nb_bytes);
	td_push(&b->side, &b->chain, nb_bytes);
}

static void
expect_received(int ret, const char *error)
{
	struct tfe_pkt pkt;

	assert_int_equal(tfe_netq_recv(&bench.q, &pkt, 0), ret);
	if (error != NULL)
		assert_string_equal(bench.q.error, error);
}

static void
test_write_beyond_a_piece_is_noticed(void **state)
{
	(void)state;
	make(0, 0, &(struct tfe_net_layout){ .seg_bytes = 100 });
	assert_int_equal(tfe_netq_post(&bench.q, 1), 1);
	receive(60, 1);
	bench.chain.segs[0].va[bench.chain.segs[0].len_bytes] = 0;
	expect_received(-EPROTO, "the device wrote beyond a buffer");
}

static void
test_write_to_a_transmit_buffer_is_noticed(void **state)
{
	struct bench *b = &bench;

	(void)state;
	make(1, 0, NULL);
	assert_int_equal(tfe_netq_send(&b->q, NULL, b->packet, 1000), 0);
	assert_int_equal(td_pop(&b->side, &b->chain), 1);
	b->chain.segs[0].va[b->chain.segs[0].len_bytes] = 0;
	td_push(&b->side, &b->chain, 0);
	assert_int_equal(tfe_netq_wait_sent(&b->q, 0), -EPROTO);
}

static void
test_packet_shorter_than_its_header_is_noticed(void **state)
{
	(void)state;
	make(0, 0, NULL);
	assert_int_equal(tfe_netq_post(&bench.q, 1), 1);
	receive(11, 1);
	expect_received(-EPROTO, "the first buffer is shorter than the header");
}

static void
test_no_buffers_claimed_is_noticed(void **state)
{
	(void)state;
	make(0, TFE_BIT(VIRTIO_NET_F_MRG_RXBUF), NULL);
	assert_int_equal(tfe_netq_post(&bench.q, 1), 1);
	receive(100, 0);
	expect_received(-EPROTO, "num_buffers is 0");
}

static void
test_missing_buffers_are_noticed(void **state)
{
	(void)state;
	make(0, TFE_BIT(VIRTIO_NET_F_MRG_RXBUF), NULL);
	assert_int_equal(tfe_netq_post(&bench.q, 3), 3);
	receive(1012, 3);
	receive(1012, 3);
	expect_received(-EPROTO, "fewer buffers than num_buffers");
}

static void
test_num_buffers_without_mergeable(void **state)
{
	(void)state;
	make(0, 0, NULL);
	assert_int_equal(tfe_netq_post(&bench.q, 2), 2);
	receive(100, 7);
	expect_received(-EPROTO, "num_buffers is not 1 without MRG_RXBUF");
	bench.q.ignore_num_buffers = true;
	receive(100, 7);
	expect_received(1, NULL);
}

static void
test_packet_is_gathered_from_its_buffers(void **state)
{
	struct bench *b = &bench;
	struct tfe_pkt pkt;

	(void)state;
	make(0, TFE_BIT(VIRTIO_NET_F_MRG_RXBUF),
			&(struct tfe_net_layout){ .split_header = true, .seg_bytes = 300 });
	assert_int_equal(tfe_netq_post(&b->q, 1), 1);
	assert_int_equal(tfe_netq_post(&b->q, 1), 1);
	memset(b->packet + 12, 0x11, 1000);
	receive(1012, 2);
	memset(b->packet, 0x22, 500);
	assert_int_equal(td_pop(&b->side, &b->chain), 1);
	assert_int_equal(td_write(&b->chain, b->packet, 500), 500);
	td_push(&b->side, &b->chain, 500);
	assert_int_equal(tfe_netq_recv(&b->q, &pkt, 0), 1);
	assert_int_equal(pkt.len_bytes, 1500);
	assert_int_equal(pkt.nb_chains, 2);
	assert_int_equal(pkt.hdr.num_buffers, 2);
	for (unsigned int i = 0; i < 1500; i++)
		assert_int_equal(pkt.frame[i], i < 1000 ? 0x11 : 0x22);
}

static void
test_nothing_received_is_no_error(void **state)
{
	(void)state;
	make(0, 0, NULL);
	assert_int_equal(tfe_netq_post(&bench.q, 1), 1);
	expect_received(0, NULL);
}

static void
test_ring_takes_what_it_has_room_for(void **state)
{
	(void)state;
	make(0, 0, &(struct tfe_net_layout){ .seg_bytes = 300 });
	/* Chains of 4 on a ring of 16. */
	assert_int_equal(tfe_netq_post(&bench.q, 5), 4);
	assert_int_equal(tfe_netq_post(&bench.q, 5), 0);
}

static void
test_send_says_what_does_not_fit(void **state)
{
	struct bench *b = &bench;

	(void)state;
	make(1, 0, &(struct tfe_net_layout){ .seg_bytes = 300 });
	assert_int_equal(tfe_netq_send(&b->q, NULL, b->packet, 1001), -EMSGSIZE);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(tfe_netq_send(&b->q, NULL, b->packet, 1000), 0);
	assert_int_equal(tfe_netq_send(&b->q, NULL, b->packet, 1), -ENOSPC);
	assert_int_equal(tfe_netq_wait_sent(&b->q, 0), -ETIMEDOUT);
}

static void
test_header_travels_as_given(void **state)
{
	const struct virtio_net_hdr_v1 hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	struct bench *b = &bench;
	uint8_t got[1100];

	(void)state;
	make(1, 0, &(struct tfe_net_layout){ .split_header = true, .hdr_seg_bytes = 3 });
	memset(b->packet, 0x33, 700);
	assert_int_equal(tfe_netq_send(&b->q, &hdr, b->packet, 700), 0);
	assert_int_equal(td_pop(&b->side, &b->chain), 1);
	assert_int_equal(b->chain.nb_segs, 5);
	assert_int_equal(td_read(&b->chain, got, sizeof(got)), 712);
	assert_memory_equal(got, &hdr, 12);
	assert_memory_equal(got + 12, b->packet, 700);
}

static void
test_held_packets_wait_for_the_flush(void **state)
{
	struct bench *b = &bench;

	(void)state;
	make(1, 0, NULL);
	b->q.hold = true;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(tfe_netq_send(&b->q, NULL, b->packet, 60), 0);
	assert_int_equal(td_pop(&b->side, &b->chain), 0);
	assert_int_equal(b->q.ring->nb_kicks, 0);
	assert_int_equal(tfe_netq_flush(&b->q), 0);
	assert_int_equal(b->q.ring->nb_kicks, 1);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(td_pop(&b->side, &b->chain), 1);
}

static void
test_layout_of_too_many_pieces_is_refused(void **state)
{
	struct tfe_netq q;

	(void)state;
	make(1, 0, NULL);
	assert_int_equal(tfe_netq_init(&q, &bench.dev, 1, 1000,
					 &(struct tfe_net_layout){ .seg_bytes = 5 }),
			-EINVAL);
	assert_int_equal(tfe_netq_init(&q, &bench.dev, 2, 1000, NULL), -EINVAL);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_write_beyond_a_piece_is_noticed),
	TEST(test_write_to_a_transmit_buffer_is_noticed),
	TEST(test_packet_shorter_than_its_header_is_noticed),
	TEST(test_no_buffers_claimed_is_noticed),
	TEST(test_missing_buffers_are_noticed),
	TEST(test_num_buffers_without_mergeable),
	TEST(test_packet_is_gathered_from_its_buffers),
	TEST(test_nothing_received_is_no_error),
	TEST(test_ring_takes_what_it_has_room_for),
	TEST(test_send_says_what_does_not_fit),
	TEST(test_header_travels_as_given),
	TEST(test_held_packets_wait_for_the_flush),
	TEST(test_layout_of_too_many_pieces_is_refused),
};

REGISTER_TEST_GROUP(frontend_net_autotest, tests, NULL, NULL);
