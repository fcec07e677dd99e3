/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vfu_rig.h"

#define MB UINT64_C(0x100000)
#define GB UINT64_C(0x40000000)

/* Take what an eventfd counted; 0 where it counted nothing. */
static uint64_t
take(int fd)
{
	uint64_t value = 0;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

/* QEMU's sequence, and a device that looks as a PCI device must. */
static void
test_plug(void **state)
{
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, 64 * MB);
	vfu_rig_plug(&rig, &client);
	assert_int_equal(client.irq_type, VFC_MSIX);
	assert_int_equal(client.nb_vectors, VFU_RIG_VECTORS);
	assert_int_equal(client.config[0] | client.config[1] << 8, 0x1af4);
	assert_int_equal(client.config[PCI_CLASS_DEVICE + 1], 0x02);
	/* no BAR but 0 and 2, 64 bits wide; no expansion ROM */
	assert_int_equal(client.config[PCI_BASE_ADDRESS_2] & 0xf, 0xc);
	assert_int_equal(client.regions[1].size_bytes, 0);
	assert_int_equal(client.regions[VFC_BAR2].size_bytes, 64 * MB);
	assert_int_equal(rig.nb_attached, 1);
	assert_int_equal(rig.nb_resets, 1);
	vfc_close(&client);
	vfu_rig_stop(&rig);
	assert_int_equal(rig.nb_detached, 1);
}

/* Registers are accessed in any size; the device sees the size. */
static void
test_access(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	uint64_t out = UINT64_C(0x0123456789abcdef), in;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	for (unsigned int count = 1; count <= 8; count++) {
		in = 0;
		assert_int_equal(vfc_write(&client, VFC_BAR0, 0x11, &out, count), 0);
		assert_int_equal(rig.last_count, count);
		assert_int_equal(vfc_read(&client, VFC_BAR0, 0x11, &in, count), 0);
		assert_memory_equal(&in, &out, count);
	}
	/* the last byte, and one beyond */
	assert_int_equal(vfc_write(&client, VFC_BAR0, VFU_RIG_BAR0_BYTES - 4, &out, 4), 0);
	assert_int_equal(vfc_write(&client, VFC_BAR0, VFU_RIG_BAR0_BYTES - 4, &out, 8), EINVAL);
	assert_int_equal(vfc_read(&client, VFC_BAR0, VFU_RIG_BAR0_BYTES, &in, 1), EINVAL);
	assert_int_equal(vfc_read(&client, VFC_BAR0, UINT64_MAX, &in, 1), EINVAL);
	assert_int_equal(vfc_read(&client, 1, 0, &in, 1), EINVAL);
	assert_int_equal(vfu_rig_stats(&rig).errors, 4);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Read-only bits of the configuration space stay, BARs tell their size. */
static void
test_config_space(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	uint8_t ones[256];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	vfu_rig_start(&rig, 3 * MB);
	vfu_rig_plug(&rig, &client);
	assert_int_equal(vfc_write(&client, VFC_CONFIG, 0, ones, sizeof(ones)), 0);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_VENDOR_ID), 0x10f01af4);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_COMMAND) & 0xffff, 0x406);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_BASE_ADDRESS_0), 0xffff0000);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_BASE_ADDRESS_1), 0);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_BASE_ADDRESS_2), 0xffc0000c);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_BASE_ADDRESS_3), 0xffffffff);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_ROM_ADDRESS), 0);
	/* MSI-X: enable and function mask, and nothing else of the capability */
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, 0x40), 0xc0076011);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, 0x44), 0x8000);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, 0x48), 0x9000);
	/* all ones ask for a function-level reset too, and the bit reads as 0 */
	assert_int_equal(rig.nb_resets, 2);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, 0x68) & 0xffff, 0x7fff);
	assert_int_equal(vfc_request(&client, VFC_RESET, NULL, 0), 0);
	assert_int_equal(vfc_read32(&client, VFC_CONFIG, PCI_COMMAND) & 0xffff, 0);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* A trigger is a write to the vector's eventfd, kept until there is one. */
static void
test_interrupts(void **state)
{
	const uint32_t disable[5] = { 20, 0x01 | 0x20, VFC_MSIX, 0, 0 };
	int fds[VFU_RIG_VECTORS];
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < VFU_RIG_VECTORS; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	vfu_rig_trigger(&rig, 3);
	vfu_rig_trigger(&rig, 3);
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 0, fds, VFU_RIG_VECTORS), 0);
	assert_int_equal(take(fds[3]), 1);
	assert_int_equal(take(fds[2]), 0);
	vfu_rig_trigger(&rig, 2);
	vfu_rig_trigger(&rig, 2);
	assert_int_equal(take(fds[2]), 2);

	/* without an fd: taken away; the trigger waits for the next one */
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 2, NULL, 1), 0);
	vfu_rig_trigger(&rig, 2);
	assert_int_equal(take(fds[2]), 0);
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 2, &fds[2], 1), 0);
	assert_int_equal(take(fds[2]), 1);

	assert_int_equal(vfc_request(&client, VFC_SET_IRQS, disable, sizeof(disable)), 0);
	vfu_rig_trigger(&rig, 1);
	assert_int_equal(take(fds[1]), 0);
	/* a reset forgets what waits */
	assert_int_equal(vfc_request(&client, VFC_RESET, NULL, 0), 0);
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 1, &fds[1], 1), 0);
	assert_int_equal(take(fds[1]), 0);
	vfu_rig_trigger(&rig, VFU_RIG_VECTORS); /* one that does not exist */

	for (unsigned int i = 0; i < VFU_RIG_VECTORS; i++)
		close(fds[i]);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* The client triggers interrupts itself: all of a range, or those of a list. */
static void
test_client_triggers(void **state)
{
	struct {
		uint32_t set[5];
		uint8_t bools[4];
	} msg = { { 24, 0x02 | 0x20, VFC_MSIX, 0, 4 }, { 0, 1, 0, 1 } };
	int fds[4];
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 0, fds, 4), 0);
	assert_int_equal(vfc_request(&client, VFC_SET_IRQS, &msg, 24), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(take(fds[i]), msg.bools[i]);
	msg.set[0] = 20;
	msg.set[1] = 0x01 | 0x20;
	assert_int_equal(vfc_request(&client, VFC_SET_IRQS, &msg, 20), 0);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(take(fds[i]), 1);
		close(fds[i]);
	}
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* An eventfd that can't be written to, or no eventfd at all, stops nobody. */
static void
test_hostile_eventfd(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	struct vfu_rig rig;
	struct vfc client;
	int fd, file;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 0, &fd, 1), 0);
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* writes to it block now */
	vfu_rig_trigger(&rig, 0);
	assert_int_equal(vfc_read32(&client, VFC_BAR0, 0), 0);

	file = memfd_create("none", MFD_CLOEXEC);
	assert_int_equal(vfc_set_irqs(&client, VFC_MSIX, 0, &file, 1), EINVAL);
	close(file);
	close(fd);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* A client that comes back finds the device as it left it. */
static void
test_reconnect(void **state)
{
	struct vfu_rig rig;
	struct vfc client;

	(void)state;
	vfu_rig_start(&rig, MB);
	for (unsigned int round = 0; round < 20; round++) {
		vfu_rig_plug(&rig, &client);
		assert_int_equal(vfc_read32(&client, VFC_BAR0, 8), round);
		assert_int_equal(vfc_write32(&client, VFC_BAR0, 8, round + 1), 0);
		vfc_close(&client);
	}
	vfu_rig_stop(&rig);
	assert_int_equal(rig.nb_attached, 20);
	assert_int_equal(rig.nb_detached, 20);
}

/* A second client is turned away, the first goes on. */
static void
test_second_client(void **state)
{
	struct vfu_rig rig;
	struct vfc first, second;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &first);
	assert_int_equal(vfc_connect(&second, rig.path), 0);
	assert_true(vfc_version(&second) < 0);
	assert_int_equal(vfc_read32(&first, VFC_BAR0, 0), 0);
	assert_int_equal(vfu_rig_stats(&rig).refused, 1);
	vfc_close(&first);
	vfc_close(&second);
	vfu_rig_stop(&rig);
}

/** What destroy_with_waiting() is handed over. */
struct waiting {
	struct vfu_rig *rig;
	struct vfc client;
	int fd;    /**< that the client has sent */
	int error; /**< of who comes when the device is gone */
};

/* In the thread, which so has no time to accept the client before the device goes. */
static void
destroy_with_waiting(void *opaque)
{
	struct waiting *waiting = opaque;
	struct vfc late;
	struct vfc_msg msg;

	vfc_msg_init(&msg, VFC_RESET, NULL, 0);
	msg.fds[msg.nb_fds++] = waiting->fd;
	if (vfc_connect(&waiting->client, waiting->rig->path) == 0)
		vfc_send(&waiting->client, &msg);
	vfu_device_destroy(waiting->rig->device);
	waiting->rig->device = NULL;
	waiting->error = vfc_connect(&late, waiting->rig->path);
}

/*
 * The device goes while a client waits to be accepted: it finds the end of the stream, where a
 * reset would make QEMU 11.1 abort.
 */
static void
test_destroyed_with_a_client_that_waits(void **state)
{
	struct vfu_rig rig;
	struct waiting waiting = { .rig = &rig, .client.fd = -1 };
	char byte;

	(void)state;
	vfu_rig_start(&rig, 0);
	waiting.fd = test_lingering_socket();
	loop_thread_call(&rig.thread, destroy_with_waiting, &waiting);
	assert_true(waiting.client.fd >= 0);
	assert_int_equal(read(waiting.client.fd, &byte, sizeof(byte)), 0);
	assert_int_equal(waiting.error, -ENOENT);
	/* and what it has sent is not waited for */
	assert_false(test_socket_lingers(waiting.fd));
	close(waiting.fd);
	vfc_close(&waiting.client);
	vfu_rig_stop(&rig);
}

/* Fds whose last close would wait, and more of them than any message has. */
static void
test_lingering_sockets(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg, reply;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	vfc_msg_init(&msg, VFC_RESET, NULL, 0);
	for (msg.nb_fds = 0; msg.nb_fds < G_N_ELEMENTS(msg.fds); msg.nb_fds++)
		msg.fds[msg.nb_fds] = test_lingering_socket();
	assert_int_equal(vfc_send(&client, &msg), 0);
	assert_int_equal(vfc_recv(&client, &reply), -ECONNRESET);
	for (unsigned int i = 0; i < msg.nb_fds; i++) {
		assert_false(test_socket_lingers(msg.fds[i]));
		close(msg.fds[i]);
	}
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* One that comes out of band, which the kernel would drop. */
static void
test_lingering_socket_out_of_band(void **state)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .align = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec part;
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;
	int fd;

	(void)state;
	if (!test_unix_has_oob())
		skip();
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	fd = test_lingering_socket();
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	message.msg_control = &control;
	message.msg_controllen = sizeof(control);
	vfc_msg_init(&msg, VFC_RESET, NULL, 0);
	part = (struct iovec){ &msg.hdr, 1 };
	assert_int_equal(sendmsg(client.fd, &message, MSG_OOB | MSG_NOSIGNAL), 1);
	assert_int_equal(vfc_send_bytes(&client, (uint8_t *)&msg.hdr + 1, sizeof(msg.hdr) - 1), 0);
	/* a request that takes no fd */
	assert_int_equal(vfc_recv(&client, &msg), 0);
	assert_int_equal(msg.hdr.error, EINVAL);
	loop_thread_settle(&rig.thread);
	assert_false(test_socket_lingers(fd));
	close(fd);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* Requests may come in pieces, many at once, and without wanting a reply. */
static void
test_pieces_and_pipeline(void **state)
{
	struct {
		struct vfc_hdr hdr;
		uint64_t offset;
		uint32_t region, count;
		uint32_t value;
	} __attribute__((packed)) writes[3];
	struct vfu_rig rig;
	struct vfc client;
	struct vfc_msg msg;

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	memset(writes, 0, sizeof(writes));
	for (unsigned int i = 0; i < 3; i++) {
		writes[i].hdr = (struct vfc_hdr){ 100 + i, VFC_REGION_WRITE, sizeof(writes[i]),
			i < 2 ? 0x10 : 0, 0 };
		writes[i].offset = 4 * i;
		writes[i].count = 4;
		writes[i].value = i + 1;
	}
	assert_int_equal(vfc_send_bytes(&client, writes, sizeof(writes)), 0);
	assert_int_equal(vfc_recv(&client, &msg), 0);
	assert_int_equal(msg.hdr.id, 102);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(vfc_read32(&client, VFC_BAR0, 4 * i), i + 1);

	writes[2].value = 77;
	for (size_t i = 0; i < sizeof(writes[2]); i++) {
		assert_int_equal(vfc_send_bytes(&client, (uint8_t *)&writes[2] + i, 1), 0);
		loop_thread_settle(&rig.thread);
	}
	assert_int_equal(vfc_recv(&client, &msg), 0);
	assert_int_equal(vfc_read32(&client, VFC_BAR0, 8), 77);
	/* cut short */
	assert_int_equal(vfc_send_bytes(&client, &writes[2], 20), 0);
	vfc_close(&client);
	vfu_rig_plug(&rig, &client);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* A client that does not read its replies stops itself, and nobody else. */
static void
test_client_does_not_read(void **state)
{
	const struct {
		struct vfc_hdr hdr;
		uint64_t offset;
		uint32_t region, count;
	} request = { { 1, VFC_REGION_READ, 32, 0, 0 }, 0, VFC_BAR0, VFU_RIG_BAR0_BYTES };
	const unsigned int nb_requests = 64; /* 4 MB of replies */
	size_t nb_bytes = 0;
	struct vfu_rig rig;
	struct vfc client;
	uint8_t bytes[65536];

	(void)state;
	vfu_rig_start(&rig, 0);
	vfu_rig_plug(&rig, &client);
	for (unsigned int i = 0; i < nb_requests; i++)
		assert_int_equal(vfc_send_bytes(&client, &request, sizeof(request)), 0);
	loop_thread_settle(&rig.thread);
	assert_true(vfu_rig_stats(&rig).reads < nb_requests);
	while (nb_bytes < nb_requests * (32ul + VFU_RIG_BAR0_BYTES)) {
		ssize_t nb = recv(client.fd, bytes, sizeof(bytes), 0);

		assert_true(nb > 0);
		nb_bytes += nb;
	}
	assert_int_equal(vfu_rig_stats(&rig).reads, nb_requests);
	assert_int_equal(vfc_read32(&client, VFC_BAR0, 0), 0);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* The peer's memory: the client maps the file itself, and never beyond its end. */
static void
test_memory(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	uint32_t *memory;

	(void)state;
	vfu_rig_start(&rig, 5 * MB);
	vfu_rig_plug(&rig, &client);
	assert_int_equal(client.regions[VFC_BAR2].size_bytes, 8 * MB);
	assert_int_equal(client.regions[VFC_BAR2].nb_areas, 1);
	assert_int_equal(client.regions[VFC_BAR2].areas[0].size_bytes, 5 * MB);
	memory = vfc_map(&client.regions[VFC_BAR2], 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memory[MB] = 0x12345678;
	assert_int_equal(vfc_read32(&client, VFC_BAR2, 4 * MB), 0x12345678);
	assert_int_equal(vfc_write32(&client, VFC_BAR2, 4 * MB, 0x9abcdef0), 0);
	assert_int_equal(memory[MB], 0x9abcdef0);
	/* beyond the file, within the BAR */
	assert_int_equal(vfc_read32(&client, VFC_BAR2, 6 * MB), 0);
	assert_int_equal(vfc_write32(&client, VFC_BAR2, 6 * MB, 0), EIO);
	munmap(memory, 5 * MB);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

/* A 64 GB file, sparse: its last page is reached. */
static void
test_memory_64g(void **state)
{
	struct vfu_rig rig;
	struct vfc client;
	uint8_t *memory;

	(void)state;
	vfu_rig_start(&rig, 64 * GB);
	vfu_rig_plug(&rig, &client);
	assert_int_equal(client.regions[VFC_BAR2].size_bytes, 64 * GB);
	memory = vfc_map(&client.regions[VFC_BAR2], 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memory[64 * GB - 1] = 0x5a;
	assert_int_equal(vfc_read32(&client, VFC_BAR2, 64 * GB - 4), 0x5a000000);
	assert_int_equal(vfc_read32(&client, VFC_BAR2, 0), 0);
	munmap(memory, 64 * GB);
	vfc_close(&client);
	vfu_rig_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_plug),
	cmocka_unit_test(test_access),
	cmocka_unit_test(test_config_space),
	cmocka_unit_test(test_interrupts),
	cmocka_unit_test(test_client_triggers),
	cmocka_unit_test(test_hostile_eventfd),
	cmocka_unit_test(test_reconnect),
	cmocka_unit_test(test_second_client),
	cmocka_unit_test(test_destroyed_with_a_client_that_waits),
	cmocka_unit_test(test_lingering_sockets),
	cmocka_unit_test(test_lingering_socket_out_of_band),
	cmocka_unit_test(test_pieces_and_pipeline),
	cmocka_unit_test(test_client_does_not_read),
	cmocka_unit_test(test_memory),
	cmocka_unit_test(test_memory_64g),
};

REGISTER_TEST_GROUP(vfu_device_autotest, tests, NULL, NULL);
