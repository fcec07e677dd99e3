/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A session: messages with fds of all kinds, and bursts on its vrings between them. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "fuzz.h"
#include "vhost_pci_ring.h"
#include "vhost_pci_session.h"
#include "vhost_pci_transport_unix.h"

/** Size of the front-end's memory file. */
#define FILE_BYTES 0x40000u

/** Queue pairs; an input that brings more vrings than these is refused. */
#define NB_PAIRS 2

/** Chains that a burst takes. */
#define BURST 64

/** What a byte in the place of a request means: not a message, but another step. */
enum step {
	STEP_BURST = 0xf0, /**< Poll all vrings. */
	STEP_WRITE,        /**< The front-end writes to its memory. */
	STEP_RESET,        /**< The connection is lost. */
	STEP_ADMIN,        /**< The port is set down or up. */
	STEP_CHECK,        /**< Control looks for broken vrings. */
};

/** Fds that a message may bring: copies of these, made once. */
enum {
	FD_MEMORY,
	FD_SEALED,
	FD_EVENT,
	FD_PIPE,
	FD_SOCKET,
	FD_NULL,
	NB_FDS,
};

static int fds[NB_FDS];
static uint8_t *memory;

static void
make_fds(void)
{
	int ends[2];

	fds[FD_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
	fds[FD_SEALED] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fuzz_check(ftruncate(fds[FD_MEMORY], FILE_BYTES) == 0);
	fuzz_check(ftruncate(fds[FD_SEALED], 4096) == 0);
	fuzz_check(fcntl(fds[FD_SEALED], F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	memory = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds[FD_MEMORY], 0);
	fuzz_check(memory != MAP_FAILED);
	fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fuzz_check(pipe(ends) == 0);
	fds[FD_PIPE] = ends[1];
	fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	fds[FD_SOCKET] = ends[1];
	fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int
map_region(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	(void)opaque;
	return vhost_pci_unix_map(fd, mmap_offset, size, mapping);
}

static int
open_channel(void *opaque, int fd, struct vhost_pci_transport **channel)
{
	(void)opaque;
	return vhost_pci_unix_channel_create(fd, channel);
}

static int
set_mtu(void *opaque, uint16_t mtu)
{
	(void)opaque;
	return mtu < 68 ? -1 : 0;
}

static int
send_rarp(void *opaque, const uint8_t mac[6])
{
	(void)opaque;
	(void)mac;
	return 0;
}

static const struct vhost_pci_session_ops ops = {
	.map_region = map_region,
	.open_channel = open_channel,
	.set_mtu = set_mtu,
	.send_rarp = send_rarp,
};

static const struct vhost_pci_session_config config = {
	.features = UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_F_RING_PACKED |
			UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
			UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
			UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF | UINT64_C(1) << VHOST_F_LOG_ALL |
			UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM,
	.protocol_features = UINT64_MAX,
	.max_queue_pairs = NB_PAIRS,
	.max_queue_size = 1024,
	.name = "fuzz",
};

/** Take chains, touch them, return them; as a polling thread does, and no more than it may. */
VHOST_PCI_ALWAYS_INLINE void
walk(struct vhost_pci_vring *vr, const unsigned int kind, const enum vhost_pci_dir dir)
{
	struct vhost_pci_chain chain;
	unsigned int i, nb;

	vhost_pci_ring_begin(vr);
	for (nb = 0; nb < BURST && vhost_pci_ring_next(vr, &chain, kind, dir) == 1; nb++) {
		for (i = 0; i < chain.nb_segs; i++) {
			const struct vhost_pci_seg *seg = &vr->segs[chain.seg_idx + i];

			(void)vhost_pci_load_relaxed(&seg->va[0]);
			(void)vhost_pci_load_relaxed(&seg->va[seg->len - 1]);
		}
		vhost_pci_ring_put(vr, &chain, 0, kind);
	}
	vhost_pci_ring_end(vr, kind);
}

static void
burst(struct vhost_pci_vring *vr)
{
	enum vhost_pci_vring_mode mode = vhost_pci_vring_enter(vr);
	bool peer_sends = (vr->index & 1) != 0;

	if (mode == VHOST_PCI_VRING_OFF)
		return;
	if (mode == VHOST_PCI_VRING_DISCARD)
		(void)vhost_pci_ring_discard(vr, BURST);
	else if (vr->is_packed)
		walk(vr, VHOST_PCI_RING_PACKED, peer_sends ? VHOST_PCI_DEQUEUE : VHOST_PCI_ENQUEUE);
	else
		walk(vr, VHOST_PCI_RING_SPLIT, peer_sends ? VHOST_PCI_DEQUEUE : VHOST_PCI_ENQUEUE);
	vhost_pci_vring_leave(vr);
}

/** One message: request, flags, payload bytes, fds, payload. */
static void
send_message(struct fuzz_input *input, struct vhost_pci_session *session, uint8_t request)
{
	struct vhost_pci_msg msg = { .hdr = { request, VHOST_USER_VERSION, 0 } };
	struct vhost_pci_msg reply;
	uint8_t flags = fuzz_u8(input);
	unsigned int i;

	msg.hdr.flags ^= flags & 0x0fu;
	msg.hdr.size = fuzz_u16(input) % (sizeof(msg.payload) + 8);
	msg.nb_fds = (flags >> 4) % (VHOST_PCI_MSG_MAX_FDS + 1);
	for (i = 0; i < msg.nb_fds; i++)
		msg.fds[i] = fcntl(fds[fuzz_u8(input) % NB_FDS], F_DUPFD_CLOEXEC, 0);
	fuzz_take(input, &msg.payload,
			msg.hdr.size < sizeof(msg.payload) ? msg.hdr.size : sizeof(msg.payload));
	if (vhost_pci_session_handle(session, &msg, &reply) == 1) {
		fuzz_check(reply.hdr.size <= sizeof(reply.payload));
		vhost_pci_msg_close_fds(&reply);
	}
}

static void
write_memory(struct fuzz_input *input)
{
	uint32_t offset = fuzz_u16(input) * 4u % FILE_BYTES;
	size_t nb = fuzz_u8(input);

	fuzz_take(input, &memory[offset], nb < FILE_BYTES - offset ? nb : FILE_BYTES - offset);
}

static void
do_step(struct fuzz_input *input, struct vhost_pci_session *session)
{
	uint8_t request = fuzz_u8(input);
	unsigned int i;

	switch (request) {
	case STEP_BURST:
		for (i = 0; i < vhost_pci_session_nb_vrings(session); i++)
			burst(vhost_pci_session_vring(session, i));
		break;
	case STEP_WRITE:
		write_memory(input);
		break;
	case STEP_RESET:
		vhost_pci_session_reset(session);
		break;
	case STEP_ADMIN:
		vhost_pci_session_set_admin_up(session, (fuzz_u8(input) & 1) != 0);
		break;
	case STEP_CHECK:
		(void)vhost_pci_session_check(session);
		break;
	default:
		send_message(input, session, request);
	}
}

/** The lowest fd that is free. */
static int
free_fd(void)
{
	int fd = fcntl(fds[FD_NULL], F_DUPFD_CLOEXEC, 0);

	close(fd);
	return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes)
{
	struct fuzz_input input = { bytes, nb_bytes };
	struct vhost_pci_session *session;
	int first_free;

	if (memory == NULL)
		make_fds();
	memset(memory, 0, FILE_BYTES);
	first_free = free_fd();
	fuzz_check(vhost_pci_session_create(&config, &ops, NULL, &session) == 0);
	vhost_pci_session_set_admin_up(session, true);
	while (input.nb_left > 0)
		do_step(&input, session);
	vhost_pci_session_destroy(session);
	fuzz_check(free_fd() == first_free);
	return 0;
}
