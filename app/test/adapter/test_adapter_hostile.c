/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter_rig.h"
#include "test.h"

#define MB UINT64_C(0x100000)

#define CONN(name) VHOST_PCI_ADAPTER_CONN_##name

static uint32_t
next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 32;
}

/* A front-end, its adapter, and a driver that has read the replay. */
static void
open_all(struct adapter_rig *rig, struct tfe_dev *dev, struct drv *drv)
{
	adapter_rig_start(rig);
	adapter_rig_open_frontend(rig, dev);
	drv_plug(drv, rig);
	drv_init(drv, drv_read(drv, DRV_REG(device_features_lo)), true);
	drv_recv_replay(drv, VHOST_USER_SET_STATUS);
}

/* Two polling sides: nothing passes through the daemon, whatever they exchange. */
static void
test_polling(void **state)
{
	struct vfu_device_stats before, after;
	struct adapter_stats stats;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	volatile uint64_t *theirs, *ours;
	struct tfe_buf buf;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.irq = VFU_PCI_IRQ_NONE;
	open_all(&rig, &dev, &drv);
	assert_int_equal(drv.client.irq_type, -1);
	assert_int_equal(drv_read(&drv, DRV_REG(nb_vectors)), 0);
	assert_int_equal(tfe_mem_alloc(&dev.mem, 0, 64, 64, &buf), 0);
	theirs = buf.va;
	ours = (void *)(drv.memory + TFE_MEM_OFFSET + (buf.gpa - TFE_MEM_GPA));
	before = adapter_rig_vfu_stats(&rig);
	for (uint64_t i = 0; i < 1000000; i++) {
		*theirs = i;
		if (*ours != i)
			fail();
		*ours = ~i;
		if (*theirs != ~i)
			fail();
	}
	after = adapter_rig_vfu_stats(&rig);
	assert_int_equal(after.requests, before.requests);
	stats = adapter_rig_stats(&rig, NULL);
	assert_int_equal(stats.calls + stats.kicks, 0);
	/* kicks of a front-end that does not poll are left unread */
	assert_int_equal(tfe_ring_kick(&dev.rings[0]), 0);
	assert_int_equal(adapter_rig_stats(&rig, NULL).kicks, 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A replay of several times what the ring holds, and a front-end with all vrings there are. */
static void
test_large_replay(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.nb_vrings = 256;
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 32 * MB;
	conf.nb_pairs = 128;
	conf.receiveq_size = 64;
	conf.transmitq_size = 64;
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	drv_plug(&drv, &rig);
	assert_int_equal(drv_read(&drv, DRV_REG(nb_vectors)), 32);
	drv_init(&drv, 0, true);
	/* seven of each vring, and at most ten others */
	assert_in_range(drv_recv_replay(&drv, VHOST_USER_SET_STATUS), 256 * 7 + 5, 256 * 7 + 10);
	assert_true(drv_is_empty(&drv));
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A driver that reads nothing: messages wait, nothing is lost; for too long: the session ends. */
static void
test_full_ring(void **state)
{
	enum {
		NB = 430
	}; /* the ring holds 409 */
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	int ret;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.reply_ms = 500;
	open_all(&rig, &dev, &drv);
	dev.conn.need_reply = false;
	for (unsigned int i = 0; i < NB; i++)
		assert_int_equal(tfe_req_set_status(&dev.conn, i % 256), 0);
	for (unsigned int i = 0; i < NB; i++) {
		drv_expect(&drv, &msg, VHOST_USER_SET_STATUS, 0);
		assert_int_equal(msg.payload.u64, i % 256);
	}
	for (unsigned int i = 0; i < NB; i++)
		assert_int_equal(tfe_req_set_status(&dev.conn, i % 256), 0);
	ret = tfe_conn_wait_closed(&dev.conn, 5000);
	assert_true(ret == 0 || ret == -ECONNRESET); /* reset, if it had not read all */
	assert_int_equal(adapter_rig_stats(&rig, NULL).timeouts, 1);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* The same messages again and again: no fd, no memory piles up. */
static void
test_storm(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	unsigned int nb_fds;
	size_t bytes;
	uint64_t value;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	adapter_rig_wait_socket(&rig, true);
	dev.conn.need_reply = false;
	assert_int_equal(tfe_req_get_features(&dev.conn, &value), 0);
	adapter_rig_settle(&rig);
	nb_fds = count_fds();
	bytes = mallinfo2().uordblks;
	for (unsigned int i = 0; i < 20000; i++) {
		assert_int_equal(tfe_req_set_vring_num(&dev.conn, i % 4, 256), 0);
		if (i % 16 != 0)
			continue;
		assert_int_equal(tfe_dev_send_mem(&dev), 0);
		assert_int_equal(tfe_req_set_vring_call(&dev.conn, 1, dev.rings[1].call_fd), 0);
		assert_int_equal(tfe_req_set_vring_kick(&dev.conn, 1, dev.rings[1].kick_fd), 0);
	}
	assert_int_equal(tfe_req_get_features(&dev.conn, &value), 0);
	adapter_rig_settle(&rig);
	assert_int_equal(count_fds(), nb_fds);
	assert_true(mallinfo2().uordblks < bytes + 65536);
	tfe_dev_close(&dev);
	adapter_rig_stop(&rig);
}

/** A message that no front-end sends; its session ends. */
struct bad_message {
	uint32_t request, flags, size;
	uint64_t payload[2];
	unsigned int nb_fds;
};

/* Malformed messages: each ends its own session, while another one goes on. */
static void
test_bad_messages(void **state)
{
	static const struct bad_message bad[] = {
		{ TFE_VU_SET_OWNER, 0, 0, { 0 }, 0 },     /* version 0 */
		{ TFE_VU_SET_OWNER, 2, 0, { 0 }, 0 },     /* version 2, of a dialect not spoken */
		{ TFE_VU_GET_FEATURES, 5, 8, { 0 }, 0 },  /* a reply */
		{ TFE_VU_SET_FEATURES, 1, 0, { 0 }, 0 },  /* too short */
		{ TFE_VU_SET_FEATURES, 1, 16, { 0 }, 0 }, /* too long */
		{ TFE_VU_SET_FEATURES, 1, UINT32_MAX, { 0 }, 0 },
		{ TFE_VU_SET_FEATURES, 1, 8, { UINT64_MAX }, 0 }, /* not offered */
		{ TFE_VU_SET_PROTOCOL_FEATURES, 1, 8, { UINT64_MAX }, 0 },
		{ TFE_VU_SET_OWNER, 1, 0, { 0 }, 1 },      /* an fd on what takes none */
		{ TFE_VU_SET_VRING_CALL, 1, 8, { 0 }, 2 }, /* two fds */
		{ TFE_VU_SET_VRING_CALL, 1, 8, { 0 }, 0 }, /* none, without saying so */
		{ TFE_VU_SET_VRING_CALL, 1, 8, { 0x1ff }, 0 },
		{ TFE_VU_SET_VRING_CALL, 1, 8, { 0x10000 }, 1 },
		{ TFE_VU_SET_VRING_NUM, 1, 8, { UINT64_C(256) << 32 | 4 }, 0 },
		{ TFE_VU_SET_VRING_NUM, 1, 8, { UINT64_C(256) << 32 | 0xffff0000 }, 0 },
		{ TFE_VU_SET_VRING_NUM, 1, 8, { 0 }, 0 },
		{ TFE_VU_SET_VRING_NUM, 1, 8, { UINT64_C(32769) << 32 }, 0 },
		{ TFE_VU_GET_VRING_BASE, 1, 8, { 0xff }, 0 },
		{ TFE_VU_SET_MEM_TABLE, 1, 8, { 1 }, 0 },
		{ TFE_VU_SET_MEM_TABLE, 1, 8, { 9 }, 0 },
		{ TFE_VU_GET_INFLIGHT_FD, 1, 16, { 0 }, 0 },
		{ TFE_VU_GET_SHMEM_CONFIG, 1, 0, { 0 }, 0 },
	};
	unsigned int nb_fds, nb_mine = 0;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	open_all(&rig, &dev, &drv);
	nb_fds = count_fds();
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tfe_conn conn;
		struct tfe_msg msg;
		int fd = eventfd(0, EFD_CLOEXEC);

		tfe_conn_init(&conn);
		assert_int_equal(tfe_conn_connect(&conn, rig.vhost_path, 5000), 0);
		tfe_msg_init(&msg, bad[i].request, bad[i].payload,
				bad[i].size > sizeof(bad[i].payload) ? 16 : bad[i].size);
		msg.hdr.flags = bad[i].flags;
		for (unsigned int j = 0; j < bad[i].nb_fds; j++)
			tfe_msg_add_fd(&msg, fd);
		/* the header may say more than there is */
		if (bad[i].size > sizeof(bad[i].payload)) {
			msg.hdr.size = bad[i].size;
			assert_int_equal(tfe_conn_send_raw(&conn, &msg.hdr, sizeof(msg.hdr), NULL,
							 0),
					0);
		} else {
			assert_int_equal(tfe_conn_send(&conn, &msg), 0);
		}
		if (tfe_conn_wait_closed(&conn, 5000) != 0)
			fail_msg("message %u was accepted", i);
		tfe_conn_close(&conn);
		close(fd);
		/* the other one */
		assert_int_equal(tfe_ring_kick(&dev.rings[0]), 0);
		drv_wait_fd(drv.kick_fd);
		nb_mine++;
	}
	adapter_rig_settle(&rig);
	assert_int_equal(count_fds(), nb_fds);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(CONNECTED));
	assert_int_equal(adapter_rig_stats(&rig, NULL).kicks, nb_mine);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A guest that accesses BAR0 by chance, and scribbles over all that it shares. */
static void
test_random_guest(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint64_t seed = 7;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.linger_ms = 60000;
	open_all(&rig, &dev, &drv);
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t offset = next_random(&seed) % 0x3000, count = 1 + next_random(&seed) % 8;
		uint64_t value = next_random(&seed) >> next_random(&seed) % 32;

		if (next_random(&seed) % 4 == 0)
			memset(drv.shared + next_random(&seed) % 0xff00, (int)value, count);
		if (next_random(&seed) % 2) {
			offset &= ~3u;
			count = 4;
		}
		if (next_random(&seed) % 3)
			assert_int_equal(vfc_write(&drv.client, VFC_BAR0, offset, &value, count),
					0);
		else
			assert_int_equal(vfc_read(&drv.client, VFC_BAR0, offset, &value, count), 0);
		/* up again, so that there is something to break */
		if (i % 100 == 0)
			drv_init(&drv, 0, true);
	}
	/* the front-end may have been closed, and comes back; the driver is reset, and serves it */
	drv_write(&drv, DRV_REG(device_status), 0);
	adapter_rig_settle(&rig);
	tfe_dev_disconnect(&dev);
	assert_int_equal(tfe_dev_reconnect(&dev), 0);
	drv_init(&drv, 0, true);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(CONNECTED));
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Files of a folder. */
static unsigned int
count_files(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	unsigned int nb = 0;

	assert_non_null(dir);
	while (g_dir_read_name(dir) != NULL)
		nb++;
	return nb;
}

/* Mappings of shared memory that this process has: of BARs, and of what the peers share. */
static unsigned int
count_shared_mappings(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	unsigned int nb = 0;

	assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line != NULL; line++)
		nb += strstr(*line, "rw-s") != NULL;
	return nb;
}

/* What may pile up. */
struct usage {
	unsigned int nb_fds;
	unsigned int nb_mappings;
	unsigned int nb_files; /**< sockets */
	unsigned int nb_shm;
	size_t nb_bytes; /**< allocated */
};

static struct usage
count_usage(struct adapter_rig *rig)
{
	adapter_rig_settle(rig);
	return (struct usage){
		.nb_fds = count_fds(),
		.nb_mappings = count_shared_mappings(),
		.nb_files = count_files(rig->dir),
		.nb_shm = count_files("/dev/shm"),
		.nb_bytes = mallinfo2().uordblks,
	};
}

/* Front-end and machine come and go in any order, at any point: nothing piles up. */
static void
test_rounds(void **state)
{
	struct usage before = { 0 }, after;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint64_t seed = 3;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	for (unsigned int round = 0; round < 220; round++) {
		unsigned int how_far = next_random(&seed) % 4;

		/* what is allocated once is, after some rounds */
		if (round == 20)
			before = count_usage(&rig);

		adapter_rig_open_frontend(&rig, &dev);
		if (how_far > 0)
			drv_plug(&drv, &rig);
		if (how_far > 1)
			drv_init(&drv, 0, how_far > 2);
		if (how_far > 0 && next_random(&seed) % 2) {
			drv_unplug(&drv);
			tfe_dev_close(&dev);
		} else {
			tfe_dev_close(&dev);
			if (how_far > 0)
				drv_unplug(&drv);
		}
		adapter_rig_wait_socket(&rig, false);
	}
	assert_int_equal(adapter_rig_nb_adapters(&rig), 0);
	after = count_usage(&rig);
	assert_int_equal(after.nb_fds, before.nb_fds);
	assert_int_equal(after.nb_mappings, before.nb_mappings);
	assert_int_equal(after.nb_files, before.nb_files);
	/* others may use that folder at the same time: as many as the rounds would show */
	assert_true(after.nb_shm < before.nb_shm + 100);
	assert_true(after.nb_bytes < before.nb_bytes + 65536);
	adapter_rig_stop(&rig);
}

/* A socket in the place of an eventfd, whose last close would wait: the daemon does not. */
static void
test_lingering_socket(void **state)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 3600 };
	struct linger after;
	socklen_t bytes = sizeof(after);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const uint64_t index = 0;
	struct adapter_rig rig;
	struct tfe_conn conn;
	struct tfe_msg msg;
	unsigned int nb_fds;

	(void)state;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	nb_fds = count_fds();
	tfe_conn_init(&conn);
	assert_int_equal(tfe_conn_connect(&conn, rig.vhost_path, 5000), 0);
	tfe_msg_init(&msg, TFE_VU_SET_VRING_CALL, &index, sizeof(index));
	tfe_msg_add_fd(&msg, fd);
	assert_int_equal(tfe_conn_send(&conn, &msg), 0);
	/* of a version that is not spoken: the end of the session */
	tfe_msg_init(&msg, TFE_VU_SET_OWNER, NULL, 0);
	msg.hdr.flags = 2;
	assert_int_equal(tfe_conn_send(&conn, &msg), 0);
	assert_int_equal(tfe_conn_wait_closed(&conn, 5000), 0);
	tfe_conn_close(&conn);
	adapter_rig_settle(&rig);
	assert_int_equal(count_fds(), nb_fds);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &after, &bytes), 0);
	assert_int_equal(after.l_onoff, 0);
	adapter_rig_stop(&rig);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_polling),
	cmocka_unit_test(test_large_replay),
	cmocka_unit_test(test_full_ring),
	cmocka_unit_test(test_storm),
	cmocka_unit_test(test_bad_messages),
	cmocka_unit_test(test_random_guest),
	cmocka_unit_test(test_rounds),
	cmocka_unit_test(test_lingering_socket),
};

REGISTER_TEST_GROUP(adapter_hostile_autotest, tests, NULL, NULL);
