/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapter_rig.h"
#include "test.h"

#define MB UINT64_C(0x100000)
#define GB UINT64_C(0x40000000)

#define CONN(name) VHOST_PCI_ADAPTER_CONN_##name

/** Where a region is of a machine whose memory reaches beyond the hole below 4 GB. */
#define LOW_BYTES  (2 * GB)
#define HIGH_GPA   (4 * GB)
#define HIGH_BYTES (2560 * MB)

static void
conf_defaults(struct tfe_dev_conf *conf, const struct adapter_rig *rig)
{
	const struct tfe_dev_conf defaults = TFE_DEV_CONF_DEFAULT;

	*conf = defaults;
	conf->path = rig->vhost_path;
	conf->mem_bytes = 0; /* regions of the test's own */
}

/* Open a front-end with these regions, step by step; the result of the step with the memory. */
static int
open_with_regions(struct tfe_dev *dev, const struct tfe_dev_conf *conf,
		const struct tfe_region_conf *regions, unsigned int nb)
{
	int ret;

	assert_int_equal(tfe_dev_init(dev, conf), 0);
	for (unsigned int i = 0; i < nb; i++)
		assert_int_equal(tfe_mem_add_region(&dev->mem, &regions[i]), i);
	assert_int_equal(tfe_dev_connect(dev), 0);
	assert_int_equal(tfe_dev_negotiate(dev), 0);
	assert_int_equal(tfe_dev_make_rings(dev), 0);
	ret = tfe_dev_send_mem(dev);
	if (ret != 0)
		return ret;
	assert_int_equal(tfe_dev_start_rings(dev), 0);
	assert_int_equal(tfe_dev_enable(dev, true), 0);
	assert_int_equal(tfe_dev_driver_ok(dev), 0);
	return 0;
}

/* Find the memory table of a replay. */
static void
recv_mem_table(struct drv *drv, struct vhost_pci_msg *table)
{
	struct vhost_pci_adapter_frame frame;

	do
		drv_recv(drv, table, &frame);
	while (table->hdr.request != VHOST_USER_SET_MEM_TABLE);
}

/* A 4.5 GB guest: two regions, two fds, one inode, one BAR. */
static void
test_one_inode(void **state)
{
	const struct tfe_region_conf regions[] = {
		{ 0, TFE_MEM_UVA, LOW_BYTES, 0, TFE_MEM_SEAL_SHRINK, -1 },
		{ HIGH_GPA, TFE_MEM_UVA + LOW_BYTES, HIGH_BYTES, LOW_BYTES, 0, 0 },
	};
	struct vhost_pci_msg table;
	struct tfe_dev_conf conf;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf_defaults(&conf, &rig);
	assert_int_equal(open_with_regions(&dev, &conf, regions, 2), 0);
	drv_plug(&drv, &rig);
	assert_true(drv.client.regions[VFC_BAR2].size_bytes == 8 * GB);
	assert_true(drv.memory_bytes == LOW_BYTES + HIGH_BYTES);
	assert_int_equal(drv.client.regions[VFC_BAR4].size_bytes, 0);
	drv_init(&drv, VHOST_PCI_ADAPTER_F_LOG, true);
	recv_mem_table(&drv, &table);
	assert_int_equal(table.payload.mem_table.nb_regions, 2);
	assert_true(table.payload.mem_table.region[0].mmap_offset ==
			vhost_pci_adapter_bar_addr(2, 0));
	assert_true(table.payload.mem_table.region[1].mmap_offset ==
			vhost_pci_adapter_bar_addr(2, LOW_BYTES));
	/* the last byte of the upper region */
	*(dev.mem.regions[1].va + HIGH_BYTES - 1) = 0x5a;
	assert_int_equal(drv.memory[LOW_BYTES + HIGH_BYTES - 1], 0x5a);
	/* the log covers all of it */
	assert_true(drv.log_bytes >= (HIGH_GPA + HIGH_BYTES) / 32768);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Two files: two BARs. */
static void
test_two_inodes(void **state)
{
	const struct tfe_region_conf regions[] = {
		{ 0, TFE_MEM_UVA, 32 * MB, 0, TFE_MEM_SEAL_SHRINK, -1 },
		{ HIGH_GPA, TFE_MEM_UVA + GB, 48 * MB, 0, 0, -1 },
	};
	struct vhost_pci_msg table;
	struct tfe_dev_conf conf;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint8_t *bar4;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf_defaults(&conf, &rig);
	assert_int_equal(open_with_regions(&dev, &conf, regions, 2), 0);
	drv_plug(&drv, &rig);
	assert_int_equal(drv.client.regions[VFC_BAR2].size_bytes, 32 * MB);
	assert_int_equal(drv.client.regions[VFC_BAR4].size_bytes, 64 * MB);
	assert_int_equal(drv_read(&drv, DRV_REG(window[0].info)), 0x10102);
	assert_int_equal(drv_read(&drv, DRV_REG(window[1].info)), 0x104); /* not sealed */
	drv_init(&drv, 0, true);
	recv_mem_table(&drv, &table);
	assert_true(table.payload.mem_table.region[1].mmap_offset ==
			vhost_pci_adapter_bar_addr(4, 0));
	bar4 = vfc_map(&drv.client.regions[VFC_BAR4], 0);
	assert_ptr_not_equal(bar4, MAP_FAILED);
	bar4[48 * MB - 1] = 0xa5;
	assert_int_equal(*(dev.mem.regions[1].va + 48 * MB - 1), 0xa5);
	munmap(bar4, 48 * MB);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Three files, regions that can't be, memory that can be cut short where that is not wanted. */
static void
test_refused(void **state)
{
	static const struct {
		struct tfe_region_conf regions[3];
		unsigned int nb;
		bool require_seals;
	} refused[] = {
		{ { { 0, TFE_MEM_UVA, MB, 0, 0, -1 }, { GB, TFE_MEM_UVA + GB, MB, 0, 0, -1 },
				  { 2 * GB, TFE_MEM_UVA + 2 * GB, MB, 0, 0, -1 } },
				3, false },
		/* overlaps in gpa, overlaps in uva */
		{ { { 0, TFE_MEM_UVA, MB, 0, 0, -1 }, { 4096, TFE_MEM_UVA + GB, MB, MB, 0, 0 } }, 2,
				false },
		{ { { 0, TFE_MEM_UVA, MB, 0, 0, -1 }, { GB, TFE_MEM_UVA + 4096, MB, MB, 0, 0 } }, 2,
				false },
		/* wraps */
		{ { { UINT64_MAX - 4095, TFE_MEM_UVA, MB, 0, 0, -1 } }, 1, false },
		{ { { 0, UINT64_MAX - 4095, MB, 0, 0, -1 } }, 1, false },
		{ { { 0, TFE_MEM_UVA, MB, 0, 0, -1 } }, 1, true },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct tfe_dev_conf conf;
		struct adapter_rig rig;
		struct tfe_dev dev;

		adapter_rig_defaults(&rig);
		rig.config.require_seals = refused[i].require_seals;
		adapter_rig_start(&rig);
		conf_defaults(&conf, &rig);
		conf.receiveq_size = 16;
		conf.transmitq_size = 16;
		assert_int_equal(open_with_regions(&dev, &conf, refused[i].regions, refused[i].nb),
				-EREMOTEIO);
		/* the message is refused, the session may go on with another */
		assert_int_equal(tfe_conn_poll(&dev.conn, 0), 0);
		assert_int_equal(adapter_rig_nb_adapters(&rig), 0);
		tfe_dev_close(&dev);
		adapter_rig_stop(&rig);
	}
}

/* Memory slots, added and removed, over the same file. */
static void
test_slots(void **state)
{
	enum {
		NB = 20
	};
	struct tfe_region_conf regions[NB] = { 0 };
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;
	struct tfe_dev_conf conf;
	struct adapter_rig rig;
	struct tfe_vu_region wire;
	struct tfe_dev dev;
	struct drv drv;
	unsigned int nb = 0;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf_defaults(&conf, &rig);
	conf.mem_slots = true;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	for (unsigned int i = 0; i < NB; i++)
		regions[i] = (struct tfe_region_conf){ 2 * MB * i, TFE_MEM_UVA + 2 * MB * i, 2 * MB,
			2 * MB * i, 0, i == 0 ? -1 : 0 };
	/* the file has all regions from the beginning */
	assert_int_equal(tfe_dev_init(&dev, &conf), 0);
	for (unsigned int i = 0; i < NB; i++)
		assert_int_equal(tfe_mem_add_region(&dev.mem, &regions[i]), i);
	assert_int_equal(tfe_dev_connect(&dev), 0);
	assert_int_equal(tfe_dev_negotiate(&dev), 0);
	assert_int_equal(tfe_dev_make_rings(&dev), 0);
	assert_int_equal(tfe_dev_send_mem(&dev), 0);
	wire = tfe_mem_wire(&dev.mem, NB - 1);
	/* QEMU 7.2 does so once per queue pair: the last one counts */
	assert_int_equal(tfe_req_add_mem_reg(&dev.conn, &wire, dev.mem.regions[0].fd), 0);
	assert_int_equal(tfe_req_rem_mem_reg(&dev.conn, &wire, -1), 0);
	assert_int_equal(tfe_req_rem_mem_reg(&dev.conn, &wire, -1), 0);
	assert_int_equal(tfe_req_rem_mem_reg(&dev.conn, &wire, -1), -EREMOTEIO);
	assert_int_equal(tfe_dev_start_rings(&dev), 0);
	assert_int_equal(tfe_dev_enable(&dev, true), 0);
	assert_int_equal(tfe_dev_driver_ok(&dev), 0);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	do {
		drv_recv(&drv, &msg, &frame);
		nb += msg.hdr.request == VHOST_USER_ADD_MEM_REG;
		assert_int_not_equal(msg.hdr.request, VHOST_USER_SET_MEM_TABLE);
	} while (msg.hdr.request != VHOST_USER_SET_STATUS);
	assert_int_equal(nb, NB - 1);

	/* while the driver is there: relayed, with a place in the BAR */
	dev.conn.need_reply = false;
	assert_int_equal(tfe_req_add_mem_reg(&dev.conn, &wire, dev.mem.regions[0].fd), 0);
	drv_expect(&drv, &msg, VHOST_USER_ADD_MEM_REG, 0);
	assert_int_equal(msg.nb_fds, 1);
	assert_true(msg.payload.single_region.region.mmap_offset ==
			vhost_pci_adapter_bar_addr(2, wire.mmap_offset));

	/* and what is added or removed once more is no matter of the driver's */
	dev.conn.need_reply = true;
	assert_int_equal(tfe_req_add_mem_reg(&dev.conn, &wire, dev.mem.regions[0].fd), 0);
	assert_int_equal(tfe_req_rem_mem_reg(&dev.conn, &wire, -1), 0);
	assert_true(drv_is_empty(&drv));
	dev.conn.need_reply = false;
	assert_int_equal(tfe_req_rem_mem_reg(&dev.conn, &wire, -1), 0);
	drv_expect(&drv, &msg, VHOST_USER_REM_MEM_REG, 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Other memory in the middle of a session: another adapter for it, this one retires. */
static void
test_moved(void **state)
{
	const struct tfe_region_conf other = { 0, TFE_MEM_UVA, 16 * MB, 0, 0, -1 };
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	tfe_mem_destroy(&dev.mem);
	tfe_mem_init(&dev.mem);
	assert_int_equal(tfe_mem_add_region(&dev.mem, &other), 0);
	/* the device answers: the driver has not seen it */
	assert_int_equal(tfe_dev_send_mem(&dev), 0);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(DISCONNECTED));
	assert_true(drv_is_empty(&drv));
	assert_int_equal(adapter_rig_nb_adapters(&rig), 2);
	assert_int_equal(rig.nb_unplugged, 1);
	assert_int_equal(tfe_conn_poll(&dev.conn, 0), 0);
	drv_write(&drv, DRV_REG(conn_control), VHOST_PCI_ADAPTER_CONTROL_RELEASE);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(RETIRED));
	drv_unplug(&drv);
	adapter_rig_wait_socket(&rig, false);
	assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
	tfe_dev_close(&dev);
	adapter_rig_stop(&rig);
}

/* A static adapter: there before the front-end, and after it. */
static void
test_static(void **state)
{
	struct tfe_region_conf region = { 0, TFE_MEM_UVA, 16 * MB, 0, 0, -1 };
	struct tfe_dev_conf conf;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	char *path;
	int fd;

	(void)state;
	adapter_rig_defaults(&rig);
	path = g_build_filename(rig.dir, "memory", NULL);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 16 * MB), 0);
	rig.config.peer_memory = path;
	adapter_rig_start(&rig);
	drv_plug(&drv, &rig);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(NONE));
	assert_true(drv_read(&drv, DRV_REG(device_features_lo)) & VHOST_PCI_ADAPTER_F_STATIC);
	conf_defaults(&conf, &rig);
	for (unsigned int round = 0; round < 3; round++) {
		/* memory of another file: refused, and the adapter stays */
		assert_int_equal(tfe_dev_init(&dev, &conf), 0);
		assert_int_equal(tfe_mem_add_region(&dev.mem, &region), 0);
		assert_int_equal(tfe_dev_connect(&dev), 0);
		assert_int_equal(tfe_dev_negotiate(&dev), 0);
		drv_init(&drv, 0, false);
		drv_wait_reg(&drv, DRV_REG(conn_state), CONN(NEGOTIATING));
		assert_int_equal(tfe_dev_make_rings(&dev), 0);
		if (round < 2) {
			/* of the file that was named */
			assert_int_equal(dup2(fd, dev.mem.regions[0].fd), dev.mem.regions[0].fd);
			assert_int_equal(tfe_dev_send_mem(&dev), 0);
			assert_int_equal(tfe_dev_start_rings(&dev), 0);
			assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));
			tfe_dev_close(&dev);
			drv_wait_reg(&drv, DRV_REG(conn_state), CONN(NONE));
		} else {
			assert_int_equal(tfe_dev_send_mem(&dev), 0);
			assert_int_equal(tfe_dev_start_rings(&dev), 0);
			drv_write(&drv, DRV_REG(device_status),
					VHOST_PCI_ADAPTER_STATUS_DRIVER_READY);
			assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
			drv_wait_reg(&drv, DRV_REG(conn_state), CONN(NONE));
			tfe_dev_close(&dev);
		}
	}
	assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
	close(fd);
	g_free(path);
}

/*
 * Logs that can't be: the session ends, since a front-end may not look at what the reply says, and
 * would lose pages.
 */
static void
test_log_refused(void **state)
{
	static const struct {
		struct tfe_vu_log log;
		bool is_sealed;
	} refused[] = {
		{ { .size_bytes = 65536 }, false }, /* to be cut short would end the daemon */
		{ { .size_bytes = 65536 + 8 }, true },
		{ { .size_bytes = 65536, .offset = 8 }, true },
		{ { .size_bytes = 65536, .offset = UINT64_MAX - 7 }, true },
		{ { .size_bytes = UINT64_MAX }, true },
		{ { .size_bytes = 12 }, true },
		{ { .size_bytes = 0 }, true },
	};
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct adapter_rig rig;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_LOG_SHMFD);
	for (unsigned int i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		struct tfe_dev dev;

		assert_int_equal(ftruncate(fd, 65536), 0);
		if (refused[i].is_sealed)
			assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
		assert_int_equal(tfe_dev_open(&dev, &conf), 0);
		assert_int_equal(tfe_req_set_log_base(&dev.conn, &refused[i].log, fd), -ECONNRESET);
		tfe_dev_close(&dev);
		close(fd);
	}
	adapter_rig_stop(&rig);
}

/* How many mappings of files with this name the process has. */
static unsigned int
nb_mappings(const char *name)
{
	g_autofree char *maps = NULL;
	unsigned int nb = 0;

	assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
	for (const char *at = maps; (at = strstr(at, name)) != NULL; at++)
		nb++;
	return nb;
}

/* A log in huge pages, of which it fills only a part: each one is let go of as a whole. */
static void
test_log_of_huge_pages(void **state)
{
	static const char name[] = "vhost-pci-huge-log";
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct tfe_vu_log log = { .size_bytes = 65536, .offset = 4096 };
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	struct adapter_rig rig;
	struct tfe_dev dev;

	(void)state;
	if (fd < 0 || fallocate(fd, 0, 0, 2 * MB) < 0) {
		close(fd);
		print_message("# there are no huge pages\n");
		skip();
	}
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_LOG_SHMFD);
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(tfe_req_set_log_base(&dev.conn, &log, fd), 0);
	assert_int_equal(nb_mappings(name), 1);
	tfe_dev_close(&dev);
	adapter_rig_wait_socket(&rig, false);
	assert_int_equal(nb_mappings(name), 0);
	adapter_rig_stop(&rig);
	close(fd);
}

/* The adapter's log reaches the front-end's: in time, and before a base is told. */
static void
test_log(void **state)
{
	struct vhost_pci_msg msg, reply;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_msg request;
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct tfe_vu_log log = { .size_bytes = 65536 };
	const struct tfe_vu_vring_state asked = { 0 };
	uint8_t *bits;
	int fd = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING), event;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_LOG_SHMFD);
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	drv_plug(&drv, &rig);
	assert_non_null(drv.log);
	assert_int_equal(ftruncate(fd, 65536), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(tfe_req_set_log_base(&dev.conn, &log, fd), 0);
	event = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(tfe_req_set_log_fd(&dev.conn, event), 0);
	bits = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bits, MAP_FAILED);

	drv_init(&drv, VHOST_PCI_ADAPTER_F_LOG, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	/* by the doorbell */
	bits[5] = 0x80;
	drv.log[5] = 0x01;
	drv_write(&drv, DRV_BELL(log_changed), 0);
	assert_int_equal(bits[5], 0x81);
	assert_int_equal(drv.log[5], 0);
	drv_wait_fd(event);
	/* without it: by time, which the event tells */
	drv.log[65535] = 0x10;
	drv_wait_fd(event);
	assert_int_equal(bits[65535], 0x10);
	/* before the base */
	tfe_msg_init(&request, TFE_VU_GET_VRING_BASE, &asked, sizeof(asked));
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, VHOST_USER_GET_VRING_BASE, 0);
	drv.log[9] = 0x04;
	vhost_pci_codec_make_reply(&reply, VHOST_USER_GET_VRING_BASE, sizeof(reply.payload.state));
	reply.payload.state.index = 0;
	reply.payload.state.num = 0;
	drv_send(&drv, &reply, drv_read(&drv, DRV_REG(conn_id_lo)));
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(bits[9], 0x04);
	munmap(bits, 65536);
	close(event);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_one_inode),
	cmocka_unit_test(test_two_inodes),
	cmocka_unit_test(test_refused),
	cmocka_unit_test(test_slots),
	cmocka_unit_test(test_moved),
	cmocka_unit_test(test_static),
	cmocka_unit_test(test_log_refused),
	cmocka_unit_test(test_log_of_huge_pages),
	cmocka_unit_test(test_log),
};

REGISTER_TEST_GROUP(adapter_memory_autotest, tests, NULL, NULL);
