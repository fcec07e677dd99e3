/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "vfu_rig.h"

#define MB UINT64_C(0x100000)

/** A request that is good. */
struct good_request {
	uint16_t command;
	uint32_t words[16]; /**< the payload */
	size_t nb_bytes;
	unsigned int nb_fds;
	int error; /**< what a good one is answered with */
};

/** A good request of every command that a client may send. */
static const struct good_request good_requests[] = {
	{ VFC_DMA_MAP, { 32, 3, 0, 0, 0x100000, 0, 0x1000, 0 }, 32, 1, 0 },
	{ VFC_DMA_UNMAP, { 24, 0, 0x100000, 0, 0x1000, 0 }, 24, 0, 0 },
	{ VFC_GET_INFO, { 16, 0, 0, 0 }, 16, 0, 0 },
	{ VFC_GET_REGION_INFO, { 32, 0, VFC_BAR2, 0, 0, 0, 0, 0 }, 32, 0, 0 },
	{ VFC_GET_REGION_IO_FDS, { 16, 0, VFC_BAR0, 0 }, 16, 0, ENOTSUP },
	{ VFC_GET_IRQ_INFO, { 16, 0, VFC_MSIX, 0 }, 16, 0, 0 },
	{ VFC_SET_IRQS, { 20, 0x24, VFC_MSIX, 1, 2 }, 20, 2, 0 },
	{ VFC_REGION_READ, { 0x100, 0, VFC_BAR0, 4 }, 16, 0, 0 },
	{ VFC_REGION_WRITE, { 0x100, 0, VFC_BAR0, 4, 0 }, 20, 0, 0 },
	{ VFC_RESET, { 0 }, 0, 0, 0 },
	{ VFC_WRITE_MULTI, { 1, 0, 0x100, 0, VFC_BAR0, 4, 0, 0 }, 32, 0, ENOTSUP },
	{ VFC_FEATURE, { 8, 1 << 16 | 1 }, 8, 0, ENOTTY },
};

#define NB_GOOD (sizeof(good_requests) / sizeof(good_requests[0]))

/** One wrong value of one field. */
struct bad_field {
	uint16_t command;
	unsigned int word; /**< of the payload */
	uint32_t value;
	bool is_allowed; /**< no error: the value is as good as another */
};

static const struct bad_field bad_fields[] = {
	/* argsz, flags, offset, address, size */
	{ VFC_DMA_MAP, 0, 0, false },
	{ VFC_DMA_MAP, 0, 31, false },
	{ VFC_DMA_MAP, 0, UINT32_MAX, false },
	{ VFC_DMA_MAP, 1, 4, false },
	{ VFC_DMA_MAP, 1, UINT32_MAX, false },
	{ VFC_DMA_MAP, 3, UINT32_MAX, false }, /* no offset of a file */
	{ VFC_DMA_MAP, 7, UINT32_MAX, false },
	{ VFC_DMA_MAP, 6, 0, false },
	/* argsz, flags, address, size */
	{ VFC_DMA_UNMAP, 0, 23, false },
	{ VFC_DMA_UNMAP, 0, UINT32_MAX, true },
	{ VFC_DMA_UNMAP, 1, 1, false },
	{ VFC_DMA_UNMAP, 1, 2, false }, /* all, and a range */
	{ VFC_DMA_UNMAP, 4, 0, false },
	{ VFC_DMA_UNMAP, 5, UINT32_MAX, true },
	/* argsz, flags, num_regions, num_irqs */
	{ VFC_GET_INFO, 0, 0, false },
	{ VFC_GET_INFO, 0, 15, false },
	{ VFC_GET_INFO, 0, UINT32_MAX, true },
	{ VFC_GET_INFO, 1, 1, false },
	{ VFC_GET_INFO, 2, 9, false },
	{ VFC_GET_INFO, 3, 5, false },
	/* argsz, flags, index, cap_offset, size, offset */
	{ VFC_GET_REGION_INFO, 0, 0, false },
	{ VFC_GET_REGION_INFO, 0, 31, false },
	{ VFC_GET_REGION_INFO, 0, UINT32_MAX, true },
	{ VFC_GET_REGION_INFO, 1, 4, false },
	{ VFC_GET_REGION_INFO, 2, VFC_NB_REGIONS, false },
	{ VFC_GET_REGION_INFO, 2, UINT32_MAX, false },
	{ VFC_GET_REGION_INFO, 3, 32, false },
	{ VFC_GET_REGION_INFO, 4, 1, false },
	{ VFC_GET_REGION_INFO, 7, 1, false },
	/* argsz, flags, index, count */
	{ VFC_GET_REGION_IO_FDS, 0, 15, false },
	{ VFC_GET_REGION_IO_FDS, 1, 1, false },
	{ VFC_GET_REGION_IO_FDS, 2, VFC_NB_REGIONS, false },
	{ VFC_GET_REGION_IO_FDS, 3, 1, false },
	/* argsz, flags, index, count */
	{ VFC_GET_IRQ_INFO, 0, 15, false },
	{ VFC_GET_IRQ_INFO, 1, 1, false },
	{ VFC_GET_IRQ_INFO, 2, VFC_NB_IRQS, false },
	{ VFC_GET_IRQ_INFO, 2, UINT32_MAX, false },
	{ VFC_GET_IRQ_INFO, 3, 1, false },
	/* argsz, flags, index, start, count */
	{ VFC_SET_IRQS, 0, 0, false },
	{ VFC_SET_IRQS, 0, 24, false },
	{ VFC_SET_IRQS, 1, 0, false },
	{ VFC_SET_IRQS, 1, 0x04, false }, /* no action */
	{ VFC_SET_IRQS, 1, 0x20, false }, /* no data */
	{ VFC_SET_IRQS, 1, 0x26, false }, /* two kinds of data */
	{ VFC_SET_IRQS, 1, 0x34, false }, /* two actions */
	{ VFC_SET_IRQS, 1, 0x0c, false }, /* mask, which no type has */
	{ VFC_SET_IRQS, 1, 0x21, false }, /* fds without wanting any */
	{ VFC_SET_IRQS, 1, 0x22, false }, /* a list that is not there */
	{ VFC_SET_IRQS, 1, 0x64, false },
	{ VFC_SET_IRQS, 2, 0, false },
	{ VFC_SET_IRQS, 2, VFC_NB_IRQS, false },
	{ VFC_SET_IRQS, 2, UINT32_MAX, false },
	{ VFC_SET_IRQS, 3, VFU_RIG_VECTORS - 1, false },
	{ VFC_SET_IRQS, 3, UINT32_MAX, false },
	{ VFC_SET_IRQS, 4, 0, false },
	{ VFC_SET_IRQS, 4, 1, false },
	{ VFC_SET_IRQS, 4, 3, false },
	{ VFC_SET_IRQS, 4, UINT32_MAX, false },
	/* offset, region, count */
	{ VFC_REGION_READ, 0, VFU_RIG_BAR0_BYTES - 3, false },
	{ VFC_REGION_READ, 1, UINT32_MAX, false },
	{ VFC_REGION_READ, 2, 1, false },
	{ VFC_REGION_READ, 2, VFC_NB_REGIONS, false },
	{ VFC_REGION_READ, 2, UINT32_MAX, false },
	{ VFC_REGION_READ, 3, 0, false },
	{ VFC_REGION_READ, 3, VFU_RIG_BAR0_BYTES, false },
	{ VFC_REGION_READ, 3, UINT32_MAX, false },
	{ VFC_REGION_WRITE, 0, VFU_RIG_BAR0_BYTES - 3, false },
	{ VFC_REGION_WRITE, 1, UINT32_MAX, false },
	{ VFC_REGION_WRITE, 2, 1, false },
	{ VFC_REGION_WRITE, 2, VFC_NB_REGIONS, false },
	{ VFC_REGION_WRITE, 3, 0, false },
	{ VFC_REGION_WRITE, 3, 3, false },
	{ VFC_REGION_WRITE, 3, 5, false },
	{ VFC_REGION_WRITE, 3, UINT32_MAX, false },
	/* argsz, flags */
	{ VFC_FEATURE, 0, 7, false },
	{ VFC_FEATURE, 1, 1, false },
	{ VFC_FEATURE, 1, 1u << 19 | 1 << 16 | 1, false },
};

static const struct good_request *
find_good(uint16_t command)
{
	for (unsigned int i = 0; i < NB_GOOD; i++) {
		if (good_requests[i].command == command)
			return &good_requests[i];
	}
	fail_msg("no request %u", command);
	return NULL;
}

/* Make a good request, with the fds it wants. */
static void
make_request(struct vfc_msg *msg, const struct good_request *good)
{
	vfc_msg_init(msg, good->command, good->words, good->nb_bytes);
	for (unsigned int i = 0; i < good->nb_fds; i++)
		msg->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	msg->nb_fds = good->nb_fds;
}

/* Send it; our fds are closed, and so are those of the reply. */
static int
call(struct vfc *client, struct vfc_msg *msg)
{
	unsigned int nb_fds = msg->nb_fds;
	int fds[32], ret;

	memcpy(fds, msg->fds, sizeof(fds));
	ret = vfc_call(client, msg);
	for (unsigned int i = 0; i < nb_fds; i++)
		close(fds[i]);
	if (ret >= 0) {
		for (unsigned int i = 0; i < msg->nb_fds; i++)
			close(msg->fds[i]);
	}
	return ret;
}

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
	for (unsigned int i = 0; i < NB_GOOD; i++) {
		make_request(&msg, &good_requests[i]);
		assert_int_equal(call(&client, &msg), good_requests[i].error);
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
	for (unsigned int i = 0; i < sizeof(bad_fields) / sizeof(bad_fields[0]); i++) {
		const struct bad_field *bad = &bad_fields[i];
		int ret;

		make_request(&msg, find_good(bad->command));
		memcpy(msg.payload + 4 * bad->word, &bad->value, 4);
		ret = call(&client, &msg);
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
	make_request(&msg, find_good(VFC_DMA_MAP));
	memset(msg.payload + 16, 0xff, 8); /* address */
	assert_int_equal(call(&client, &msg), EINVAL);
	make_request(&msg, find_good(VFC_DMA_UNMAP));
	memset(msg.payload + 8, 0xff, 8); /* address */
	assert_int_equal(call(&client, &msg), EINVAL);
	make_request(&msg, find_good(VFC_REGION_READ));
	memset(msg.payload, 0xff, 8); /* offset */
	assert_int_equal(call(&client, &msg), EINVAL);
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
	for (unsigned int i = 0; i < NB_GOOD; i++) {
		const struct good_request *good = &good_requests[i];
		const size_t sizes[] = { good->nb_bytes - 1, good->nb_bytes + 1, 0, 8000 };

		for (unsigned int j = good->nb_bytes == 0; j < 4; j++) {
			int ret;

			if (sizes[j] == good->nb_bytes)
				continue;
			make_request(&msg, good);
			msg.nb_bytes = sizes[j];
			msg.hdr.size = sizeof(msg.hdr) + sizes[j];
			ret = call(&client, &msg);
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
	for (unsigned int i = 0; i < NB_GOOD; i++) {
		struct good_request bad = good_requests[i];
		int ret;

		bad.nb_fds++;
		make_request(&msg, &bad);
		ret = call(&client, &msg);
		assert_int_equal(ret, EINVAL);
		/* as many as we take at most, on every command */
		bad.nb_fds = 16;
		make_request(&msg, &bad);
		assert_int_equal(call(&client, &msg), EINVAL);
	}
	loop_thread_settle(&rig.thread);
	assert_int_equal(count_fds(), nb_open);

	/* more than that: no client that has read our version does so */
	make_request(&msg, &(struct good_request){ VFC_RESET, { 0 }, 0, 17, 0 });
	assert_int_equal(call(&client, &msg), -ECONNRESET);
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
		struct good_request request;
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
		{ SET(0x22, VFU_RIG_VECTORS - 1, 2, 22, 0), EINVAL },
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

		make_request(&msg, &cases[i].request);
		ret = call(&client, &msg);
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
	make_request(&msg, find_good(VFC_SET_IRQS));
	close(msg.fds[1]);
	msg.fds[1] = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(call(&client, &msg), EINVAL);
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
	for (unsigned int i = 0; i < NB_GOOD; i++) {
		struct good_request bad = good_requests[i];

		bad.nb_fds = 0;
		for (unsigned int wrong = 0; wrong < 2; wrong++) {
			make_request(&msg, &bad);
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

		make_request(&msg, &good_requests[next_random(&seed) % NB_GOOD]);
		for (unsigned int j = next_random(&seed) % 3; j > 0 && msg.nb_bytes > 0; j--) {
			uint32_t value = next_random(&seed) >> next_random(&seed) % 32;

			memcpy(msg.payload + next_random(&seed) % msg.nb_bytes / 4 * 4, &value, 4);
		}
		ret = call(&client, &msg);
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
