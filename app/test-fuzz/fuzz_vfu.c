/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The vfio-user server: what a client sends on its socket, some of it with fds. */

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>

#include "fuzz.h"
#include "vfu_device.h"
#include "vhost_pci_transport_unix.h"

#define BAR_BYTES  0x4000u
#define NB_VECTORS 8u

/** What the device's owner has behind the region. */
static uint8_t bar[BAR_BYTES];
static struct vfu_device *device;
static char dir[32];
static char path[64];

static int
on_read(void *opaque, unsigned int region, uint64_t offset, void *data, size_t count)
{
	(void)opaque;
	(void)region;
	fuzz_check(offset <= BAR_BYTES && count <= BAR_BYTES - offset);
	memcpy(data, &bar[offset], count);
	return 0;
}

static int
on_write(void *opaque, unsigned int region, uint64_t offset, const void *data, size_t count)
{
	(void)opaque;
	(void)region;
	fuzz_check(offset <= BAR_BYTES && count <= BAR_BYTES - offset);
	memcpy(&bar[offset], data, count);
	vfu_device_trigger(device, VFIO_PCI_MSIX_IRQ_INDEX, offset % NB_VECTORS);
	return 0;
}

static void
on_reset(void *opaque)
{
	(void)opaque;
	memset(bar, 0, sizeof(bar));
	vfu_device_clear_pending(device);
}

static void
on_attached(void *opaque, bool attached)
{
	(void)opaque;
	(void)attached;
}

static const struct vfu_device_ops ops = {
	.read = on_read,
	.write = on_write,
	.reset = on_reset,
	.attached = on_attached,
};

static void
remove_path(void)
{
	vfu_device_destroy(device);
	(void)rmdir(dir);
}

static void
make_device(void)
{
	struct vfu_device_config config = {
		.path = path,
		.name = "fuzz",
		.regions = { [VFIO_PCI_BAR0_REGION_INDEX] = { .size_bytes = BAR_BYTES, .fd = -1 } },
		.nb_irqs = { [VFIO_PCI_MSIX_IRQ_INDEX] = NB_VECTORS },
	};

	snprintf(dir, sizeof(dir), "/tmp/vpci-fuzz-XXXXXX");
	fuzz_check(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/sock", dir);
	fuzz_check(vfu_device_create(&config, &ops, NULL, &device) == 0);
	fuzz_check(atexit(remove_path) == 0);
}

static void
settle(void)
{
	while (g_main_context_iteration(NULL, FALSE))
		continue;
}

/** Send a piece of the stream, with an fd or without. */
static void
send_piece(int client, struct fuzz_input *input, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .align = { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS } };
	uint8_t bytes[4096];
	size_t nb = fuzz_u16(input) % sizeof(bytes);
	struct iovec part = { bytes, fuzz_take(input, bytes, nb) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	if (part.iov_len > 0)
		(void)sendmsg(client, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes)
{
	struct fuzz_input input = { bytes, nb_bytes };
	uint8_t answer[4096];
	int client, event;

	if (device == NULL)
		make_device();
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	client = vhost_pci_unix_connect(path);
	fuzz_check(event >= 0 && client >= 0);
	settle();
	while (input.nb_left > 0) {
		bool has_fd = (fuzz_u8(&input) & 1) != 0;

		send_piece(client, &input, has_fd ? event : -1);
		settle();
		while (recv(client, answer, sizeof(answer), MSG_DONTWAIT) > 0)
			settle();
	}
	close(client);
	settle();
	fuzz_check(!vfu_device_is_attached(device));
	close(event);
	return 0;
}
