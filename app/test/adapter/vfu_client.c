/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vfu_client.h"

#define VFC_TIMEOUT_MS 5000

#define VFC_REPLY 0x1u
#define VFC_ERROR 0x20u

/** Payload of GET_REGION_INFO with its only capability. */
struct vfc_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size_bytes;
	uint64_t offset;
	uint16_t cap_id;
	uint16_t cap_version;
	uint32_t cap_next;
	uint32_t nb_areas;
	uint32_t reserved;
	uint64_t areas[16];
};

int
vfc_connect(struct vfc *client, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memset(client, 0, sizeof(*client));
	client->irq_type = -1;
	for (unsigned int i = 0; i < VFC_NB_REGIONS; i++)
		client->regions[i].fd = -1;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return -errno;
	if (connect(client->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int error = -errno;

		close(client->fd);
		client->fd = -1;
		return error;
	}
	return 0;
}

void
vfc_close(struct vfc *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	for (unsigned int i = 0; i < VFC_NB_REGIONS; i++) {
		if (client->regions[i].fd >= 0)
			close(client->regions[i].fd);
		client->regions[i].fd = -1;
	}
}

void
vfc_msg_init(struct vfc_msg *msg, uint16_t command, const void *payload, size_t nb_bytes)
{
	memset(&msg->hdr, 0, sizeof(msg->hdr));
	msg->hdr.command = command;
	msg->hdr.size = sizeof(msg->hdr) + nb_bytes;
	msg->nb_bytes = nb_bytes;
	msg->nb_fds = 0;
	if (nb_bytes > 0)
		memcpy(msg->payload, payload, nb_bytes);
}

int
vfc_send(struct vfc *client, const struct vfc_msg *msg)
{
	struct vfc_msg copy = *msg; /* sendmsg() takes no const */
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(msg->fds))];
	} control = { 0 };
	struct iovec iov[] = {
		{ .iov_base = &copy.hdr, .iov_len = sizeof(copy.hdr) },
		{ .iov_base = copy.payload, .iov_len = copy.nb_bytes },
	};
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	if (msg->nb_fds > 0) {
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * msg->nb_fds);
		memcpy(CMSG_DATA(&control.align), msg->fds, sizeof(int) * msg->nb_fds);
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * msg->nb_fds);
	}
	return sendmsg(client->fd, &mh, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int
vfc_send_bytes(struct vfc *client, const void *bytes, size_t nb_bytes)
{
	return send(client->fd, bytes, nb_bytes, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receive nb_bytes whole, and the fds that come with them. */
static int
vfc_recv_bytes(struct vfc *client, void *bytes, size_t nb_bytes, struct vfc_msg *msg)
{
	size_t got = 0;

	while (got < nb_bytes) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int) * 8)];
		} control;
		struct iovec iov = { (uint8_t *)bytes + got, nb_bytes - got };
		struct msghdr mh = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		struct pollfd pfd = { .fd = client->fd, .events = POLLIN };
		struct cmsghdr *cmsg;
		ssize_t nb;

		if (poll(&pfd, 1, VFC_TIMEOUT_MS) != 1)
			return -ETIMEDOUT;
		nb = recvmsg(client->fd, &mh, MSG_CMSG_CLOEXEC);
		if (nb <= 0)
			return nb < 0 && errno != ECONNRESET ? -errno : -ECONNRESET;
		cmsg = CMSG_FIRSTHDR(&mh);
		if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS) {
			unsigned int nb_fds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			memcpy(msg->fds + msg->nb_fds, CMSG_DATA(cmsg), nb_fds * sizeof(int));
			msg->nb_fds += nb_fds;
		}
		got += nb;
	}
	return 0;
}

int
vfc_recv(struct vfc *client, struct vfc_msg *msg)
{
	int error;

	msg->nb_fds = 0;
	error = vfc_recv_bytes(client, &msg->hdr, sizeof(msg->hdr), msg);
	if (error < 0)
		return error;
	if (msg->hdr.size < sizeof(msg->hdr) ||
			msg->hdr.size - sizeof(msg->hdr) > sizeof(msg->payload))
		return -EBADMSG;
	msg->nb_bytes = msg->hdr.size - sizeof(msg->hdr);
	return vfc_recv_bytes(client, msg->payload, msg->nb_bytes, msg);
}

int
vfc_call(struct vfc *client, struct vfc_msg *msg)
{
	struct vfc_hdr sent;
	int error;

	msg->hdr.id = client->next_id++;
	sent = msg->hdr;
	error = vfc_send(client, msg);
	if (error == 0)
		error = vfc_recv(client, msg);
	if (error < 0)
		return error;
	if (msg->hdr.id != sent.id || msg->hdr.command != sent.command ||
			(msg->hdr.flags & 0xf) != VFC_REPLY)
		return -EBADMSG;
	if (msg->hdr.flags & VFC_ERROR) {
		/* "If an error occurs, the reply message must only include the reply header" */
		return msg->nb_bytes == 0 && msg->nb_fds == 0 ? (int)msg->hdr.error : -EBADMSG;
	}
	return 0;
}

int
vfc_request(struct vfc *client, uint16_t command, const void *payload, size_t nb_bytes)
{
	struct vfc_msg msg;
	int error;

	vfc_msg_init(&msg, command, payload, nb_bytes);
	error = vfc_call(client, &msg);
	for (unsigned int i = 0; error == 0 && i < msg.nb_fds; i++)
		close(msg.fds[i]);
	return error;
}

int
vfc_version(struct vfc *client)
{
	static const char caps[] =
			"{\"capabilities\": {\"max_msg_fds\": 8, \"max_data_xfer_size\": "
			"1048576, \"pgsizes\": 4096, \"write_multiple\": true}}";
	uint8_t payload[4 + sizeof(caps)] = { 0 };
	struct vfc_msg msg;
	int error;

	payload[2] = 1; /* minor version */
	memcpy(payload + 4, caps, sizeof(caps));
	vfc_msg_init(&msg, VFC_VERSION, payload, sizeof(payload));
	error = vfc_call(client, &msg);
	if (error != 0)
		return error;
	/* major 0, a minor not above ours, and text with one NUL at its end */
	if (msg.nb_bytes < 6 || msg.payload[0] || msg.payload[1] || msg.payload[2] > 1 ||
			memchr(msg.payload + 4, 0, msg.nb_bytes - 4) !=
					msg.payload + msg.nb_bytes - 1 ||
			!strstr((char *)msg.payload + 4, "\"max_msg_fds\":16"))
		return -EBADMSG;
	return 0;
}

int
vfc_region_info(struct vfc *client, unsigned int index, struct vfc_region *region)
{
	struct vfc_region_info info = { .argsz = 32, .index = index };
	struct vfc_msg msg;
	int error;

	memset(region, 0, sizeof(*region));
	region->fd = -1;
	vfc_msg_init(&msg, VFC_GET_REGION_INFO, &info, 32);
	error = vfc_call(client, &msg);
	if (error != 0)
		return error;
	if (msg.nb_bytes != 32 || msg.nb_fds > 0)
		return -EBADMSG;
	memcpy(&info, msg.payload, 32);
	if (info.argsz > 32) {
		struct vfc_region_info again = { .argsz = info.argsz, .index = index };

		/* checked by QEMU although the capability is not there yet */
		if (!(info.flags & 0x8) || info.cap_offset < 32 || info.cap_offset > info.argsz)
			return -EBADMSG;
		vfc_msg_init(&msg, VFC_GET_REGION_INFO, &again, 32);
		error = vfc_call(client, &msg);
		if (error != 0)
			return error;
		if (msg.nb_bytes != again.argsz || msg.nb_bytes > sizeof(info) || msg.nb_fds != 1)
			return -EBADMSG;
		memcpy(&info, msg.payload, msg.nb_bytes);
		region->fd = msg.fds[0];
		region->nb_areas = info.nb_areas;
		if (info.cap_id != 1 || info.cap_version != 1 || info.nb_areas > 8 ||
				info.argsz != 48 + 16 * info.nb_areas || !(info.flags & 0x4))
			return -EBADMSG;
		memcpy(region->areas, info.areas, 16 * info.nb_areas);
	}
	region->size_bytes = info.size_bytes;
	region->fd_offset = info.offset;
	region->flags = info.flags;
	return info.index == index ? 0 : -EBADMSG;
}

/** Head of REGION_READ and REGION_WRITE. */
struct vfc_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

int
vfc_read(struct vfc *client, unsigned int region, uint64_t offset, void *data, uint32_t count)
{
	const struct vfc_access access = { offset, region, count };
	struct vfc_msg msg;
	int error;

	vfc_msg_init(&msg, VFC_REGION_READ, &access, sizeof(access));
	error = vfc_call(client, &msg);
	if (error != 0)
		return error;
	if (msg.nb_bytes != sizeof(access) + count ||
			memcmp(msg.payload, &access, sizeof(access)) != 0)
		return -EBADMSG;
	memcpy(data, msg.payload + sizeof(access), count);
	return 0;
}

int
vfc_write(struct vfc *client, unsigned int region, uint64_t offset, const void *data,
		uint32_t count)
{
	const struct vfc_access access = { offset, region, count };
	struct vfc_msg msg;
	int error;

	if (count > sizeof(msg.payload) - sizeof(access))
		return -E2BIG;
	vfc_msg_init(&msg, VFC_REGION_WRITE, &access, sizeof(access));
	memcpy(msg.payload + sizeof(access), data, count);
	msg.nb_bytes += count;
	msg.hdr.size += count;
	error = vfc_call(client, &msg);
	if (error != 0)
		return error;
	return msg.nb_bytes == sizeof(access) && !memcmp(msg.payload, &access, sizeof(access))
			? 0
			: -EBADMSG;
}

uint32_t
vfc_read32(struct vfc *client, unsigned int region, uint64_t offset)
{
	uint32_t value;

	return vfc_read(client, region, offset, &value, sizeof(value)) == 0 ? value : UINT32_MAX;
}

int
vfc_write32(struct vfc *client, unsigned int region, uint64_t offset, uint32_t value)
{
	return vfc_write(client, region, offset, &value, sizeof(value));
}

int
vfc_set_irqs(struct vfc *client, uint32_t type, uint32_t start, const int *fds, uint32_t nb)
{
	const uint32_t set[5] = { 20, 0x04 | 0x20, type, start, nb };
	struct vfc_msg msg;

	vfc_msg_init(&msg, VFC_SET_IRQS, set, sizeof(set));
	if (fds != NULL) {
		memcpy(msg.fds, fds, nb * sizeof(int));
		msg.nb_fds = nb;
	}
	return vfc_call(client, &msg);
}

/* Guest memory, which the server may close at once. */
static int
vfc_dma_map(struct vfc *client, uint64_t address, uint64_t size_bytes)
{
	const struct {
		uint32_t argsz, flags;
		uint64_t offset, address, size;
	} map = { 32, 3, 0, address, size_bytes };
	struct vfc_msg msg;
	int error;

	vfc_msg_init(&msg, VFC_DMA_MAP, &map, sizeof(map));
	msg.fds[0] = memfd_create("guest", MFD_CLOEXEC);
	msg.nb_fds = 1;
	error = msg.fds[0];
	if (error < 0)
		return -errno;
	{
		int fd = msg.fds[0];

		error = vfc_call(client, &msg);
		close(fd);
	}
	return error;
}

static int
vfc_irq_info(struct vfc *client, uint32_t type, uint32_t *nb)
{
	uint32_t info[4] = { 16, 0, type, 0 };
	struct vfc_msg msg;
	int error;

	vfc_msg_init(&msg, VFC_GET_IRQ_INFO, info, sizeof(info));
	error = vfc_call(client, &msg);
	if (error != 0)
		return error;
	memcpy(info, msg.payload, sizeof(info));
	*nb = info[3];
	/* EVENTFD, and not NORESIZE */
	return msg.nb_bytes == 16 && info[2] == type && (info[1] & 0x9) == 0x1 ? 0 : -EBADMSG;
}

static int
vfc_plug_info(struct vfc *client)
{
	uint32_t info[4] = { 16 };
	struct vfc_msg msg;
	int error;

	vfc_msg_init(&msg, VFC_GET_INFO, info, sizeof(info));
	error = vfc_call(client, &msg);
	if (error != 0)
		return error;
	memcpy(info, msg.payload, sizeof(info));
	return msg.nb_bytes == 16 && info[1] == 3 && info[2] == VFC_NB_REGIONS &&
					info[3] == VFC_NB_IRQS
			? 0
			: -EBADMSG;
}

/* A type of interrupt for the guest, where there is one: MSI-X is asked for first. */
static int
vfc_plug_irqs(struct vfc *client)
{
	uint32_t nb_err, nb;
	int error = vfc_irq_info(client, VFC_ERR, &nb_err);

	if (error == 0 && nb_err != 1)
		error = -EBADMSG; /* QEMU warns about any other number */
	for (int type = VFC_MSIX; error == 0 && type >= VFC_MSI; type--) {
		error = vfc_irq_info(client, type, &nb);
		if (error == 0 && nb > 0) {
			client->irq_type = type;
			client->nb_vectors = nb;
		}
	}
	return error;
}

int
vfc_plug(struct vfc *client)
{
	static const unsigned int regions[] = { 0, 1, 2, 3, 4, 5, 7 };
	int error = vfc_version(client);

	if (error == 0)
		error = vfc_dma_map(client, 0, 0xa0000);
	if (error == 0)
		error = vfc_dma_map(client, 0x100000, 0x3ff00000);
	if (error == 0)
		error = vfc_plug_info(client);
	for (unsigned int i = 0; error == 0 && i < sizeof(regions) / sizeof(regions[0]); i++)
		error = vfc_region_info(client, regions[i], &client->regions[regions[i]]);
	if (error == 0)
		error = vfc_plug_irqs(client);
	if (error == 0)
		error = vfc_read(client, VFC_CONFIG, 0, client->config,
				client->regions[VFC_CONFIG].size_bytes);
	if (error == 0)
		error = vfc_request(client, VFC_RESET, NULL, 0);
	return error;
}

void *
vfc_map(const struct vfc_region *region, unsigned int area)
{
	return mmap(NULL, region->areas[area].size_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_NORESERVE, region->fd,
			(off_t)(region->fd_offset + region->areas[area].offset));
}
