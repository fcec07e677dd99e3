/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "vfu_requests.h"
#include "vfu_rig.h"

#define MB UINT64_C(0x100000)

static_assert((int)VFR_VECTORS == VFU_RIG_VECTORS && (int)VFR_BAR0_BYTES == VFU_RIG_BAR0_BYTES,
		"the good requests are those of the rig");

/* All requests are what they are said to be: good, or known and not offered. */
static void
test_good(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < vfr_nb_goods; i++) {
		vfr_make(&msg, &vfr_goods[i]);
		assert_int_equal(vfr_call(&client, &msg), vfr_goods[i].error);
	}
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Each field of each payload, wrong: EINVAL, and the next request is served. */
static void
test_fields(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < vfr_nb_bads; i++) {
		const struct vfr_bad *bad = &vfr_bads[i];
		int ret;

		vfr_make_bad(&msg, bad);
		ret = vfr_call(&client, &msg);
		if (ret != (bad->is_allowed ? 0 : EINVAL))
			fail_msg("command %u word %u value %#x: %d", bad->command, bad->word,
					bad->value, ret);
	}
	assert_int_equal(vfc_read32(&client, VFC_BAR0, 0), 0);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Ranges that wrap, which takes two fields. */
static void
test_ranges_that_wrap(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	vfr_make(&msg, vfr_find(VFC_DMA_MAP));
	memset(msg.payload + 16, 0xff, 8); /* address */
	assert_int_equal(vfr_call(&client, &msg), EINVAL);
	vfr_make(&msg, vfr_find(VFC_DMA_UNMAP));
	memset(msg.payload + 8, 0xff, 8); /* address */
	assert_int_equal(vfr_call(&client, &msg), EINVAL);
	vfr_make(&msg, vfr_find(VFC_REGION_READ));
	memset(msg.payload, 0xff, 8); /* offset */
	assert_int_equal(vfr_call(&client, &msg), EINVAL);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Each request too short by a byte, too long by one, with no payload at all. */
static void
test_sizes(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < vfr_nb_goods; i++) {
		const struct vfr_good *good = &vfr_goods[i];
		const size_t sizes[] = { good->nb_bytes - 1, good->nb_bytes + 1, 0, 8000 };

		for (unsigned int j = good->nb_bytes == 0; j < 4; j++) {
			int ret;

			if (sizes[j] == good->nb_bytes)
				continue;
			vfr_make(&msg, good);
			msg.nb_bytes = sizes[j];
			msg.hdr.size = sizeof(msg.hdr) + sizes[j];
			ret = vfr_call(&client, &msg);
			/* what is not offered, or has data of any length, is refused anyway */
			assert_true(ret == EINVAL || (ret == good->error && ret != 0));
		}
	}
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Fds on what takes none, and more than what takes some; none of them is kept. */
static void
test_fds(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;
	unsigned int nb_open;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	nb_open = count_fds();
	for (unsigned int i = 0; i < vfr_nb_goods; i++) {
		struct vfr_good bad = vfr_goods[i];
		int ret;

		bad.nb_fds++;
		vfr_make(&msg, &bad);
		ret = vfr_call(&client, &msg);
		assert_int_equal(ret, EINVAL);
		/* as many as we take at most, on every command */
		bad.nb_fds = 16;
		vfr_make(&msg, &bad);
		assert_int_equal(vfr_call(&client, &msg), EINVAL);
	}
	loop_thread_settle(&rig.thread);
	assert_int_equal(count_fds(), nb_open);

	/* more than that: no client that has read our version does so */
	vfr_make(&msg, &(struct vfr_good){ VFC_RESET, { 0 }, 0, 17, 0 });
	assert_int_equal(vfr_call(&client, &msg), -ECONNRESET);
	loop_thread_settle(&rig.thread);
	assert_int_equal(count_fds(), nb_open - 1);
	vfc_close(&client);
	vfu_rig_plug(&rig, &client);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* SET_IRQS: fds that are not one for each interrupt, data that is not one byte for each. */
static void
test_irq_data(void **state)
{
	static const struct {
		struct vfr_good request;
		int error;
	} cases[] = {
#define SET(flags, start, count, bytes, fds) \
	{ VFC_SET_IRQS, { bytes, flags, VFC_MSIX, start, count }, bytes, fds, 0 }
		{ SET(0x24, 0, 2, 20, 0), 0 }, /* takes theirs away */
		{ SET(0x24, 0, 2, 20, 1), EINVAL },
		{ SET(0x24, 0, 2, 20, 3), EINVAL },
		{ SET(0x24, 0, 0, 20, 0), EINVAL },
		{ SET(0x21, 0, 0, 20, 0), 0 }, /* disables all */
		{ SET(0x21, 1, 0, 20, 0), EINVAL },
		{ SET(0x21, 0, 2, 20, 0), 0 },
		{ SET(0x21, 0, 2, 22, 0), EINVAL }, /* data with no data */
		{ SET(0x22, 0, 2, 22, 0), 0 },
		{ SET(0x22, 0, 2, 21, 0), EINVAL },
		{ SET(0x22, 0, 2, 23, 0), EINVAL },
		{ SET(0x22, 0, 0, 20, 0), EINVAL },
		{ SET(0x22, 0, 2, 22, 1), EINVAL },
		{ SET(0x22, VFR_VECTORS - 1, 2, 22, 0), EINVAL },
		{ SET(0x22, UINT32_MAX, 2, 22, 0), EINVAL },
#undef SET
	};
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int ret;

		vfr_make(&msg, &cases[i].request);
		ret = vfr_call(&client, &msg);
		if (ret != cases[i].error)
			fail_msg("case %u: %d", i, ret);
	}
	assert_int_equal(vfc_read32(&client, VFC_BAR0, 0), 0);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* An fd in the place of an eventfd that could make a signal block is none. */
static void
test_irq_fd_of_a_file(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;
	unsigned int nb_open;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	nb_open = count_fds();
	vfr_make(&msg, vfr_find(VFC_SET_IRQS));
	close(msg.fds[1]);
	msg.fds[1] = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(vfr_call(&client, &msg), EINVAL);
	loop_thread_settle(&rig.thread);
	assert_int_equal(count_fds(), nb_open);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Each request again, and wrong, while it wants no reply: none comes, and none is lost after. */
static void
test_no_reply(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < vfr_nb_goods; i++) {
		struct vfr_good bad = vfr_goods[i];

		bad.nb_fds = 0;
		for (unsigned int wrong = 0; wrong < 2; wrong++) {
			vfr_make(&msg, &bad);
			msg.hdr.flags |= 0x10;
			if (wrong)
				memset(msg.payload, 0xff, msg.nb_bytes);
			assert_int_equal(vfc_send_bytes(&client, &msg.hdr, sizeof(msg.hdr)), 0);
			assert_int_equal(vfc_send_bytes(&client, msg.payload, msg.nb_bytes), 0);
			assert_int_equal(vfc_read32(&client, VFC_BAR0, 0), 0);
		}
	}
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Headers that can't be answered end the connection; the device takes the next client. */
static void
test_headers_that_close(void **state)
{
	static const struct vfc_hdr headers[] = {
		{ 1, VFC_RESET, 0, 0, 0 }, { 1, VFC_RESET, 15, 0, 0 },
		{ 1, VFC_REGION_WRITE, 0x200000, 0, 0 }, { 1, VFC_REGION_WRITE, UINT32_MAX, 0, 0 },
		{ 1, VFC_RESET, 16, 1, 0 }, /* a reply to nothing */
		{ 1, VFC_RESET, 16, 2, 0 }, { 1, VFC_RESET, 16, 0xf, 0 },
		{ 1, VFC_RESET, 16, 0x21, 0 }, { 1, 11, 16, 1, 0 }, /* DMA_READ's */
	};
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, MB);
	for (unsigned int i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		vfu_rig_plug(&rig, &client);
		assert_int_equal(vfc_send_bytes(&client, &headers[i], sizeof(headers[i])), 0);
		assert_int_equal(vfc_recv(&client, &msg), -ECONNRESET);
		vfc_close(&client);
	}
	assert_int_equal(vfu_rig_stats(&rig).refused, sizeof(headers) / sizeof(headers[0]));
	vfu_rig_stop(&rig);
}

/* Headers that can be answered are. */
static void
test_headers_that_fail(void **state)
{
	static const struct {
		struct vfc_hdr hdr;
		int error;
	} headers[] = {
		{ { 1, 0, 16, 0, 0 }, ENOTSUP },
		{ { 1, 11, 16, 0, 0 }, ENOTSUP }, /* DMA_READ is ours to send */
		{ { 1, 14, 16, 0, 0 }, ENOTSUP },
		{ { 1, 19, 16, 0, 0 }, ENOTSUP },
		{ { 1, UINT16_MAX, 16, 0, 0 }, ENOTSUP },
		{ { 1, VFC_RESET, 16, 0x20, 0 }, EINVAL },
		{ { 1, VFC_RESET, 16, 0x40, 0 }, EINVAL },
		{ { 1, VFC_RESET, 16, 0x80000000, 0 }, EINVAL },
		{ { 1, VFC_RESET, 16, 0, 1 }, EINVAL },
	};
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct vfc_msg msg = { .hdr = headers[i].hdr };

		assert_int_equal(vfc_call(&client, &msg), headers[i].error);
	}
	/* one that is wrong and wants no reply gets none */
	assert_int_equal(vfc_send_bytes(&client, &(struct vfc_hdr){ 9, 19, 16, 0x10, 0 }, 16), 0);
	assert_int_equal(vfc_read32(&client, VFC_BAR0, 0), 0);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Version messages, all of them refused by closing the connection. */
static void
test_bad_versions(void **state)
{
	static const struct {
		const char *bytes;
		size_t nb_bytes;
	} versions[] = {
#define VERSION(text) { "\0\0\1\0" text, 4 + sizeof(text) }
		{ "\1\0\0\0", 4 }, /* another major version */
		{ "\0\0\0", 3 },
		{ "", 0 },
		{ "\0\0\1\0{}", 6 },      /* no NUL */
		{ "\0\0\1\0{}\0{}", 10 }, /* two */
		VERSION(""),
		VERSION("[]"),
		VERSION("{"),
		VERSION("\"capabilities\""),
		VERSION("\xff\xfe"),
		VERSION("{\"capabilities\": []}"),
		VERSION("{\"capabilities\": 1}"),
		VERSION("{\"capabilities\": null}"),
		VERSION("{\"capabilities\": {\"max_msg_fds\": \"8\"}}"),
		VERSION("{\"capabilities\": {\"max_msg_fds\": -1}}"),
		VERSION("{\"capabilities\": {\"max_msg_fds\": 0}}"),
		VERSION("{\"capabilities\": {\"max_msg_fds\": {}}}"),
		VERSION("{\"capabilities\": {\"max_data_xfer_size\": true}}"),
		VERSION("{\"capabilities\": {\"max_data_xfer_size\": 1.5}}"),
	};
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, MB);
	for (unsigned int i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		int ret;

		assert_int_equal(vfc_connect(&client, rig.path), 0);
		ret = vfc_request(&client, VFC_VERSION, versions[i].bytes, versions[i].nb_bytes);
		if (ret != -ECONNRESET)
			fail_msg("version %u: %d", i, ret);
		vfc_close(&client);
	}
	/* anything before the version; a version that takes no capability; a second one */
	assert_int_equal(vfc_connect(&client, rig.path), 0);
	assert_int_equal(vfc_request(&client, VFC_RESET, NULL, 0), -ECONNRESET);
	vfc_close(&client);
	assert_int_equal(vfc_connect(&client, rig.path), 0);
	assert_int_equal(vfc_request(&client, VFC_VERSION, "\0\0\7", 4), 0);
	assert_int_equal(vfc_request(&client, VFC_VERSION, "\0\0\0", 4), EINVAL);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Deeply nested text, as long as a version message may be, and longer. */
static void
test_deep_version(void **state)
{
	uint8_t payload[8000];
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, 0);
	memset(payload, '[', sizeof(payload));
	memset(payload, 0, 4);
	payload[4095] = 0;
	assert_int_equal(vfc_connect(&client, rig.path), 0);
	assert_int_equal(vfc_request(&client, VFC_VERSION, payload, 4096), -ECONNRESET);
	vfc_close(&client);
	assert_int_equal(vfc_connect(&client, rig.path), 0);
	assert_int_equal(vfc_request(&client, VFC_VERSION, payload, 4097), EINVAL);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* A simple generator, so that a failure can be had again. */
static uint32_t
next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 32;
}

/* Good requests with a few words overwritten by chance: the device answers, or closes. */
static void
test_random(void **state)
{
	uint64_t seed = 1;
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, MB);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < 5000; i++) {
		struct vfc_msg msg;
		int ret;

		vfr_make(&msg, &vfr_goods[next_random(&seed) % vfr_nb_goods]);
		for (unsigned int j = next_random(&seed) % 3; j > 0 && msg.nb_bytes > 0; j--) {
			uint32_t value = next_random(&seed) >> next_random(&seed) % 32;

			memcpy(msg.payload + next_random(&seed) % msg.nb_bytes / 4 * 4, &value, 4);
		}
		ret = vfr_call(&client, &msg);
		if (ret == -EBADMSG) { /* a reply that is larger than this client takes */
			vfc_close(&client);
			vfu_rig_plug(&rig, &client);
		} else {
			assert_true(ret >= 0);
		}
	}
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_good),
	cmocka_unit_test(test_fields),
	cmocka_unit_test(test_ranges_that_wrap),
	cmocka_unit_test(test_sizes),
	cmocka_unit_test(test_fds),
	cmocka_unit_test(test_irq_data),
	cmocka_unit_test(test_irq_fd_of_a_file),
	cmocka_unit_test(test_no_reply),
	cmocka_unit_test(test_headers_that_close),
	cmocka_unit_test(test_headers_that_fail),
	cmocka_unit_test(test_bad_versions),
	cmocka_unit_test(test_deep_version),
	cmocka_unit_test(test_random),
};

REGISTER_TEST_GROUP(vfu_malformed_autotest, tests, NULL, NULL);
