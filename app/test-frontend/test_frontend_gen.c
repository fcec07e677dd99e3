/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Frames, packets and the generator, against a device that is stepped by hand. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "test_device.h"

#define BIT TFE_BIT

/* A device without a connection: its rings, and the other side of them. */
struct bench {
	struct tfe_dev dev;
	struct td_ring rx;
	struct td_ring tx;
	struct td_loop_conf loop;
	struct tfe_gen *sender;
	struct tfe_gen *receiver;
};

static void
make(struct bench *b, uint64_t features, uint32_t size)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	memset(b, 0, sizeof(*b));
	conf.receiveq_size = size;
	conf.transmitq_size = size;
	assert_int_equal(tfe_dev_init(&b->dev, &conf), 0);
	b->dev.features = features | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_INDIRECT_DESC);
	b->dev.hdr_bytes = 12;
	assert_int_equal(tfe_dev_make_rings(&b->dev), 0);
	td_init(&b->rx, tfe_dev_receiveq(&b->dev, 0), &b->dev.mem);
	td_init(&b->tx, tfe_dev_transmitq(&b->dev, 0), &b->dev.mem);
	b->loop.hdr_bytes = 12;
	b->loop.mergeable = features & BIT(VIRTIO_NET_F_MRG_RXBUF);
}

static void
make_gens(struct bench *b, const struct tfe_gen_conf *tx, const struct tfe_gen_conf *rx)
{
	assert_int_equal(tfe_gen_create(&b->sender, &b->dev, 0, tx), 0);
	assert_int_equal(tfe_gen_create(&b->receiver, &b->dev, 0, rx), 0);
	assert_int_equal(tfe_gen_poll(b->receiver), 0);
}

static void
destroy(struct bench *b)
{
	tfe_gen_destroy(b->sender);
	tfe_gen_destroy(b->receiver);
	tfe_dev_close(&b->dev);
}

/* Turn the wheel until all was sent; every packet must have come back whole and in order. */
static void
run(struct bench *b, uint64_t nb_packets)
{
	struct tfe_gen_stats sent, received;
	unsigned int rounds = 0;

	while (!tfe_gen_done(b->sender)) {
		assert_true(tfe_gen_poll(b->sender) >= 0);
		b->loop.nb_max = rounds % 7 + 1;
		assert_true(td_loop(&b->tx, &b->rx, &b->loop) >= 0);
		assert_true(tfe_gen_poll(b->receiver) >= 0);
		assert_true(rounds++ < 100000);
	}
	while (tfe_gen_poll(b->receiver) > 0)
		;
	tfe_gen_stats(b->sender, &sent);
	tfe_gen_stats(b->receiver, &received);
	assert_int_equal(sent.nb_packets, nb_packets);
	assert_int_equal(received.nb_packets, nb_packets);
	assert_int_equal(received.nb_bytes, sent.nb_bytes);
	assert_int_equal(received.nb_bad, 0);
	assert_int_equal(received.nb_lost, 0);
	assert_int_equal(received.nb_late, 0);
	assert_int_equal(received.nb_foreign, 0);
}

static const uint64_t formats[] = {
	0,
	BIT(VIRTIO_RING_F_EVENT_IDX),
	BIT(VIRTIO_F_IN_ORDER),
	BIT(VIRTIO_F_RING_PACKED),
	BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_RING_F_EVENT_IDX),
	BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER),
};
#define NB_FORMATS (sizeof(formats) / sizeof(formats[0]))

static void
test_frame_shows_any_changed_byte(void **state)
{
	uint8_t frame[200];
	uint16_t stream;
	uint64_t seq;

	(void)state;
	tfe_frame_build(frame, sizeof(frame), 17, 0x123456789a);
	assert_int_equal(tfe_frame_check(frame, sizeof(frame), &stream, &seq), TFE_FRAME_GOOD);
	assert_int_equal(stream, 17);
	assert_true(seq == 0x123456789a);
	for (unsigned int i = 12; i < sizeof(frame); i++) {
		frame[i] ^= 1;
		assert_int_not_equal(tfe_frame_check(frame, sizeof(frame), &stream, &seq),
				TFE_FRAME_GOOD);
		frame[i] ^= 1;
	}
	/* The addresses may be swapped. */
	frame[0] ^= 1;
	frame[11] ^= 1;
	assert_int_equal(tfe_frame_check(frame, sizeof(frame), &stream, &seq), TFE_FRAME_GOOD);
	assert_int_equal(tfe_frame_check(frame, sizeof(frame) - 1, &stream, &seq),
			TFE_FRAME_CORRUPT);
	assert_int_equal(tfe_frame_check(frame, 40, &stream, &seq), TFE_FRAME_FOREIGN);
	memset(frame, 0, sizeof(frame));
	assert_int_equal(tfe_frame_check(frame, sizeof(frame), &stream, &seq), TFE_FRAME_FOREIGN);
}

static void
test_frame_of_any_length(void **state)
{
	uint8_t *frame = malloc(TFE_GEN_FRAME_BYTES);

	(void)state;
	for (uint32_t len = TFE_FRAME_MIN_BYTES; len <= TFE_GEN_FRAME_BYTES;
			len += len < 200 ? 1 : 997) {
		uint16_t stream;
		uint64_t seq;

		tfe_frame_build(frame, len, 1, len);
		assert_int_equal(tfe_frame_check(frame, len, &stream, &seq), TFE_FRAME_GOOD);
	}
	free(frame);
}

static void
test_frame_has_a_valid_ip_checksum(void **state)
{
	uint8_t frame[64];

	(void)state;
	tfe_frame_build(frame, sizeof(frame), 3, 3);
	assert_int_equal(tfe_frame_csum(frame + 14, 20, 0), 0xffff);
	/* RFC 1071's own example. */
	assert_int_equal(tfe_frame_csum("\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8, 0), 0xddf2);
}

static void
test_traffic_in_every_layout(void **state)
{
	static const uint32_t sizes[] = { 8, 64 };

	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++)
		for (unsigned int layout = 0; layout < 3; layout++)
			for (unsigned int s = 0; s < 2; s++) {
				const struct tfe_gen_conf tx = {
					.dir = TFE_GEN_TRANSMIT,
					.layout = layout,
					.touch = TFE_GEN_TOUCH_VERIFY,
					.frame_bytes = 100,
					.nb_packets = 500,
				};
				const struct tfe_gen_conf rx = {
					.dir = TFE_GEN_RECEIVE,
					.touch = TFE_GEN_TOUCH_VERIFY,
					.buf_bytes = 1518,
					.burst = 3,
				};
				struct bench b;

				make(&b, formats[f], sizes[s]);
				make_gens(&b, &tx, &rx);
				run(&b, 500);
				destroy(&b);
			}
}

static void
test_long_chains_on_odd_packed_ring(void **state)
{
	const struct tfe_gen_conf tx = {
		.dir = TFE_GEN_TRANSMIT,
		.layout = TFE_GEN_CHAIN,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = 65000,
		.nb_segs = 17,
		.nb_packets = 300,
	};
	const struct tfe_gen_conf rx = {
		.dir = TFE_GEN_RECEIVE,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.buf_bytes = 65535,
	};
	struct bench b;

	(void)state;
	make(&b, BIT(VIRTIO_F_RING_PACKED), 101);
	make_gens(&b, &tx, &rx);
	run(&b, 300);
	destroy(&b);
}

static void
test_mergeable_packets_are_gathered(void **state)
{
	const struct tfe_gen_conf tx = {
		.dir = TFE_GEN_TRANSMIT,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.frame_bytes = 9000,
		.nb_packets = 300,
	};
	const struct tfe_gen_conf rx = {
		.dir = TFE_GEN_RECEIVE,
		.touch = TFE_GEN_TOUCH_VERIFY,
		.buf_bytes = 700,
		.burst = 5,
	};

	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		struct bench b;

		make(&b, formats[f] | BIT(VIRTIO_NET_F_MRG_RXBUF), 64);
		make_gens(&b, &tx, &rx);
		run(&b, 300);
		destroy(&b);
	}
}

/* A sender that is polled and stepped by the test itself. */
static void
make_sender(struct bench *b, uint64_t features, enum tfe_gen_touch touch)
{
	const struct tfe_gen_conf tx = {
		.dir = TFE_GEN_TRANSMIT,
		.touch = touch,
		.frame_bytes = 64,
	};
	const struct tfe_gen_conf rx = { .dir = TFE_GEN_RECEIVE, .buf_bytes = 1518 };

	make(b, features, 16);
	make_gens(b, &tx, &rx);
}

static void
test_out_of_order_chains_are_recycled(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		struct tfe_gen_stats stats;
		struct bench b;

		if (formats[f] & BIT(VIRTIO_F_IN_ORDER))
			continue;
		make_sender(&b, formats[f], TFE_GEN_TOUCH_VERIFY);
		b.loop.reverse = true;
		for (unsigned int i = 0; i < 100; i++) {
			assert_true(tfe_gen_poll(b.sender) >= 0);
			b.loop.nb_max = i % 16 + 1;
			assert_true(td_loop(&b.tx, &b.rx, &b.loop) > 0);
			assert_true(tfe_gen_poll(b.receiver) >= 0);
		}
		tfe_gen_stats(b.receiver, &stats);
		assert_int_equal(stats.nb_bad, 0);
		assert_int_equal(stats.nb_packets > 800, 1);
		destroy(&b);
	}
}

static void
test_in_order_batches_are_understood(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		struct tfe_gen_stats stats;
		struct bench b;
		uint64_t nb = 0;

		if (!(formats[f] & BIT(VIRTIO_F_IN_ORDER)))
			continue;
		make_sender(&b, formats[f], TFE_GEN_TOUCH_NONE);
		b.loop.batch = true;
		for (unsigned int i = 0; i < 200; i++) {
			assert_true(tfe_gen_poll(b.sender) >= 0);
			b.loop.nb_max = i % 16 + 1;
			nb += (uint64_t)td_loop(&b.tx, &b.rx, &b.loop);
			assert_true(tfe_gen_poll(b.receiver) >= 0);
		}
		assert_true(tfe_gen_poll(b.sender) >= 0);
		tfe_gen_stats(b.sender, &stats);
		assert_int_equal(stats.nb_packets, nb);
		destroy(&b);
	}
}

static void
test_loss_and_doubling_are_counted(void **state)
{
	static struct td_chain chain, to;
	struct tfe_gen_stats stats;
	uint8_t packet[200];
	struct bench b;

	(void)state;
	make(&b, 0, 16);
	make_gens(&b,
			&(struct tfe_gen_conf){ .dir = TFE_GEN_TRANSMIT,
					.touch = TFE_GEN_TOUCH_VERIFY,
					.frame_bytes = 64 },
			&(struct tfe_gen_conf){ .dir = TFE_GEN_RECEIVE,
					.touch = TFE_GEN_TOUCH_VERIFY,
					.buf_bytes = 1518 });
	assert_int_equal(tfe_gen_poll(b.sender), 0);
	/* Packets 0, 1 and 2 get lost; 3 comes, comes again, and comes damaged. */
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(td_pop(&b.tx, &chain), 1);
		assert_int_equal(td_read(&chain, packet, sizeof(packet)), 12 + 64);
	}
	packet[10] = 1;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(td_pop(&b.rx, &to), 1);
		packet[12 + 63] ^= i / 2;
		td_write(&to, packet, 12 + 64);
		td_push(&b.rx, &to, 12 + 64);
	}
	assert_int_equal(tfe_gen_poll(b.receiver), 3);
	tfe_gen_stats(b.receiver, &stats);
	assert_int_equal(stats.nb_lost, 3);
	assert_int_equal(stats.nb_late, 1);
	assert_int_equal(stats.nb_bad, 1);
	destroy(&b);
}

/* Where one stream is expected, frames of others count as theirs, whole or damaged. */
static void
test_frames_of_other_streams_are_foreign(void **state)
{
	static struct td_chain to;
	struct tfe_gen_stats stats;
	uint8_t packet[12 + 64] = { 0 };
	struct bench b;

	(void)state;
	make(&b, 0, 16);
	make_gens(&b, &(struct tfe_gen_conf){ .dir = TFE_GEN_TRANSMIT, .frame_bytes = 64 },
			&(struct tfe_gen_conf){ .dir = TFE_GEN_RECEIVE,
					.touch = TFE_GEN_TOUCH_VERIFY,
					.stream = 7,
					.one_stream = true,
					.buf_bytes = 1518 });
	packet[10] = 1;
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(td_pop(&b.rx, &to), 1);
		tfe_frame_build(packet + 12, 64, i < 2 ? 7 : 8, i);
		packet[12 + 63] ^= i % 2;
		td_write(&to, packet, 12 + 64);
		td_push(&b.rx, &to, 12 + 64);
	}
	assert_int_equal(tfe_gen_poll(b.receiver), 4);
	tfe_gen_stats(b.receiver, &stats);
	assert_int_equal(stats.nb_bad, 1);
	assert_int_equal(stats.nb_foreign, 2);
	assert_int_equal(stats.nb_lost, 0);
	destroy(&b);
}

static void
test_wrong_used_id_stops_the_generator(void **state)
{
	static struct td_chain chain;

	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		struct bench b;

		make_sender(&b, formats[f], TFE_GEN_TOUCH_NONE);
		assert_int_equal(tfe_gen_poll(b.sender), 0);
		assert_int_equal(td_pop(&b.tx, &chain), 1);
		chain.id = 4711;
		td_push(&b.tx, &chain, 0);
		assert_int_equal(tfe_gen_poll(b.sender), -EPROTO);
		assert_non_null(tfe_gen_error(b.sender));
		assert_int_equal(tfe_gen_poll(b.sender), -EPROTO);
		destroy(&b);
	}
}

static void
test_chain_used_twice_stops_the_generator(void **state)
{
	static struct td_chain chain;
	struct bench b;

	(void)state;
	make_sender(&b, 0, TFE_GEN_TOUCH_VERIFY);
	assert_int_equal(tfe_gen_poll(b.sender), 0);
	assert_int_equal(td_pop(&b.tx, &chain), 1);
	td_push(&b.tx, &chain, 0);
	td_push(&b.tx, &chain, 0);
	assert_int_equal(tfe_gen_poll(b.sender), -EPROTO);
	destroy(&b);
}

static void
test_drain_wants_every_chain_back(void **state)
{
	static struct td_chain chain;

	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		struct bench b;

		make_sender(&b, formats[f], TFE_GEN_TOUCH_VERIFY);
		assert_int_equal(tfe_gen_poll(b.sender), 0);
		for (unsigned int i = 0; i < 15; i++) {
			assert_int_equal(td_pop(&b.tx, &chain), 1);
			td_push(&b.tx, &chain, 0);
		}
		assert_int_equal(tfe_gen_drain(b.sender, 0), -ETIMEDOUT);
		assert_int_equal(td_pop(&b.tx, &chain), 1);
		td_push(&b.tx, &chain, 0);
		assert_int_equal(tfe_gen_drain(b.sender, 0), 0);
		assert_int_equal(td_pop(&b.tx, &chain), 0);
		/* And on it goes where the ring stands. */
		tfe_gen_restart(b.sender);
		assert_int_equal(tfe_gen_poll(b.sender), 0);
		for (unsigned int i = 0; i < 16; i++) {
			assert_int_equal(td_pop(&b.tx, &chain), 1);
			td_push(&b.tx, &chain, 0);
		}
		assert_int_equal(tfe_gen_drain(b.sender, 0), 0);
		destroy(&b);
	}
}

static void
test_polling_device_is_not_kicked(void **state)
{
	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		struct tfe_gen_stats stats;
		struct bench b;

		make_sender(&b, formats[f], TFE_GEN_TOUCH_NONE);
		td_want_kicks(&b.tx, false);
		td_want_kicks(&b.rx, false);
		for (unsigned int i = 0; i < 5000; i++) {
			assert_true(tfe_gen_poll(b.sender) >= 0);
			b.loop.nb_max = 4;
			assert_true(td_loop(&b.tx, &b.rx, &b.loop) >= 0);
			assert_true(tfe_gen_poll(b.receiver) >= 0);
			assert_false(td_call(&b.rx));
			assert_false(td_call(&b.tx));
		}
		tfe_gen_stats(b.sender, &stats);
		assert_int_equal(stats.nb_kicks, 0);
		tfe_gen_stats(b.receiver, &stats);
		/* Once, before the device said that it polls. */
		assert_int_equal(stats.nb_kicks, 1);
		destroy(&b);
	}
}

static void
test_small_bursts_are_left_for_a_while(void **state)
{
	const struct tfe_gen_conf tx = {
		.dir = TFE_GEN_TRANSMIT,
		.frame_bytes = 64,
		.min_burst = 4,
	};
	static struct td_chain chain;

	(void)state;
	for (unsigned int f = 0; f < NB_FORMATS; f++) {
		unsigned int nb_polls = 1;
		struct bench b;

		make(&b, formats[f], 16);
		assert_int_equal(tfe_gen_create(&b.sender, &b.dev, 0, &tx), 0);
		assert_int_equal(tfe_gen_poll(b.sender), 0);
		for (unsigned int i = 0; i < 4; i++) {
			assert_int_equal(td_pop(&b.tx, &chain), 1);
			td_push(&b.tx, &chain, 0);
		}
		assert_int_equal(tfe_gen_poll(b.sender), 4);
		assert_int_equal(td_pop(&b.tx, &chain), 1);
		td_push(&b.tx, &chain, 0);
		while (tfe_gen_poll(b.sender) == 0)
			assert_true(nb_polls++ <= TFE_GEN_PATIENCE);
		/* In order there is nothing to look ahead for on a packed ring. */
		if (!b.dev.rings[1].packed || !b.dev.rings[1].in_order)
			assert_int_equal(nb_polls, TFE_GEN_PATIENCE + 1);
		destroy(&b);
	}
}

static void
test_bad_configurations_are_refused(void **state)
{
	struct tfe_gen_conf conf = { .dir = TFE_GEN_TRANSMIT };
	struct tfe_gen *gen = NULL;
	struct bench b;

	(void)state;
	make(&b, 0, 16);
	assert_int_equal(tfe_gen_create(&gen, &b.dev, 0, &conf), -EINVAL);
	conf.frame_bytes = 64;
	assert_int_equal(tfe_gen_create(&gen, &b.dev, 1, &conf), -EINVAL);
	conf.frame_bytes = TFE_GEN_FRAME_BYTES + 1;
	assert_int_equal(tfe_gen_create(&gen, &b.dev, 0, &conf), -EINVAL);
	conf.frame_bytes = 59;
	conf.touch = TFE_GEN_TOUCH_VERIFY;
	assert_int_equal(tfe_gen_create(&gen, &b.dev, 0, &conf), -EINVAL);
	conf.frame_bytes = 64;
	conf.layout = TFE_GEN_CHAIN;
	conf.nb_segs = 16;
	assert_int_equal(tfe_gen_create(&gen, &b.dev, 0, &conf), -EINVAL);
	conf.layout = TFE_GEN_INDIRECT;
	b.dev.features = 0;
	assert_int_equal(tfe_gen_create(&gen, &b.dev, 0, &conf), -ENOTSUP);
	destroy(&b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_frame_shows_any_changed_byte),
	cmocka_unit_test(test_frame_of_any_length),
	cmocka_unit_test(test_frame_has_a_valid_ip_checksum),
	cmocka_unit_test(test_traffic_in_every_layout),
	cmocka_unit_test(test_long_chains_on_odd_packed_ring),
	cmocka_unit_test(test_mergeable_packets_are_gathered),
	cmocka_unit_test(test_out_of_order_chains_are_recycled),
	cmocka_unit_test(test_in_order_batches_are_understood),
	cmocka_unit_test(test_loss_and_doubling_are_counted),
	cmocka_unit_test(test_frames_of_other_streams_are_foreign),
	cmocka_unit_test(test_wrong_used_id_stops_the_generator),
	cmocka_unit_test(test_chain_used_twice_stops_the_generator),
	cmocka_unit_test(test_drain_wants_every_chain_back),
	cmocka_unit_test(test_polling_device_is_not_kicked),
	cmocka_unit_test(test_small_bursts_are_left_for_a_while),
	cmocka_unit_test(test_bad_configurations_are_refused),
};

REGISTER_TEST_GROUP(frontend_gen_autotest, tests, NULL, NULL);
