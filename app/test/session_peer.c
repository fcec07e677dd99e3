/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "session_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_transport_unix.h"

static int
map_nothing(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	(void)opaque;
	(void)fd;
	(void)mmap_offset;
	(void)size;
	(void)mapping;
	return -ENOMEM;
}

const struct vhost_pci_session_ops peer_least_ops = { .map_region = map_nothing };

static void
on_ready_changed(void *opaque, bool ready)
{
	struct session_peer *peer = opaque;

	peer->nb_ready_changes++;
	peer->ready = ready;
}

static void
on_vring_changed(void *opaque, struct vhost_pci_vring *vr)
{
	struct session_peer *peer = opaque;

	peer->nb_vring_changes++;
	if (peer->watched_fd >= 0)
		peer->old_fd_open = test_fd_is_open(peer->watched_fd);
	if (vhost_pci_load_relaxed(&vr->mode) != VHOST_PCI_VRING_OFF)
		peer->seen_unpaused = true;
}

static int
on_set_mtu(void *opaque, uint16_t mtu)
{
	struct session_peer *peer = opaque;

	peer->mtu = mtu;
	return peer->owner_error;
}

static int
on_send_rarp(void *opaque, const uint8_t mac[6])
{
	struct session_peer *peer = opaque;

	peer->nb_rarp++;
	memcpy(peer->mac, mac, sizeof(peer->mac));
	return peer->owner_error;
}

static void
on_features_changed(void *opaque, uint64_t features)
{
	struct session_peer *peer = opaque;

	peer->nb_features_changes++;
	peer->features = features;
}

static int
on_map_region(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct session_peer *peer = opaque;

	if (peer->owner_error < 0)
		return peer->owner_error;
	return vhost_pci_unix_map(fd, mmap_offset, size, mapping);
}

static int
on_open_channel(void *opaque, int fd, struct vhost_pci_transport **channel)
{
	(void)opaque;
	return vhost_pci_unix_channel_create(fd, channel);
}

static void
on_look_again(void *opaque, const struct vhost_pci_vring *vr)
{
	struct session_peer *peer = opaque;

	(void)vr;
	peer->nb_looks++;
}

static int
on_open_faults(void *opaque, struct vhost_pci_faults **faults)
{
	const struct session_peer *peer = opaque;

	return vhost_pci_faults_open(peer->connection[0], faults);
}

static int
on_map_faulting(void *opaque, const struct vhost_pci_map_request *request,
		struct vhost_pci_mapping **mapping)
{
	(void)opaque;
	return vhost_pci_unix_map_faulting(request, mapping);
}

static const struct vhost_pci_session_ops ops = {
	.look_again = on_look_again,
	.ready_changed = on_ready_changed,
	.vring_changed = on_vring_changed,
	.set_mtu = on_set_mtu,
	.send_rarp = on_send_rarp,
	.features_changed = on_features_changed,
	.map_region = on_map_region,
	.open_channel = on_open_channel,
	.open_faults = on_open_faults,
	.map_faulting = on_map_faulting,
};

static void
create_memory(struct session_peer *peer, bool seal_shrink)
{
	void *va;

	peer->memory_fd = test_memfd(PEER_MMAP_OFFSET + PEER_BYTES, seal_shrink);
	va = mmap(NULL, PEER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, peer->memory_fd,
			PEER_MMAP_OFFSET);
	assert_ptr_not_equal(va, MAP_FAILED);
	peer->memory = va;
}

static int
setup(void **state, uint64_t more_features, bool require_seals)
{
	const struct vhost_pci_session_config config = {
		.features = PEER_FEATURES | more_features,
		.protocol_features = PEER_PROTOCOL_FEATURES,
		.max_queue_pairs = PEER_NB_VRINGS / 2,
		.max_queue_size = PEER_MAX_QUEUE_SIZE,
		.name = "test",
		.require_seals = require_seals,
	};
	unsigned int nb_fds = test_nb_fds();
	unsigned int nb_mappings = test_nb_mappings();
	struct session_peer *peer = calloc(1, sizeof(*peer));
	unsigned int i;

	assert_non_null(peer);
	peer->nb_fds = nb_fds;
	peer->nb_mappings = nb_mappings;
	peer->watched_fd = -1;
	create_memory(peer, true);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peer->connection), 0);
	for (i = 0; i < PEER_NB_VRINGS; i++) {
		peer->kick[i] = test_eventfd();
		peer->call[i] = test_eventfd();
	}
	assert_int_equal(vhost_pci_session_create(&config, &ops, peer, &peer->session), 0);
	vhost_pci_session_set_admin_up(peer->session, true);
	peer->nb_vring_changes = 0;
	*state = peer;
	return 0;
}

int
peer_setup(void **state)
{
	return setup(state, 0, false);
}

int
peer_setup_iommu(void **state)
{
	return setup(state, UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM, false);
}

int
peer_setup_require_seals(void **state)
{
	return setup(state, 0, true);
}

int
peer_setup_up(void **state)
{
	peer_setup(state);
	peer_up(*state);
	return 0;
}

void
peer_unseal(struct session_peer *peer)
{
	munmap(peer->memory, PEER_BYTES);
	close(peer->memory_fd);
	create_memory(peer, false);
}

int
peer_teardown(void **state)
{
	struct session_peer *peer = *state;
	bool clean = !peer->seen_unpaused;
	unsigned int i;

	vhost_pci_session_destroy(peer->session);
	munmap(peer->memory, PEER_BYTES);
	close(peer->memory_fd);
	close(peer->connection[0]);
	if (peer->connection[1] >= 0)
		close(peer->connection[1]);
	for (i = 0; i < PEER_NB_VRINGS; i++) {
		close(peer->kick[i]);
		close(peer->call[i]);
	}
	clean = clean && test_nb_fds() == peer->nb_fds && test_nb_mappings() == peer->nb_mappings;
	free(peer);
	return clean ? 0 : -1;
}

struct vhost_pci_msg
peer_msg(uint32_t request, uint32_t bytes)
{
	struct vhost_pci_msg msg = { .hdr = { request, VHOST_USER_VERSION, bytes } };

	return msg;
}

int
peer_send(struct session_peer *peer, struct vhost_pci_msg *msg)
{
	int ret;

	memset(&peer->reply, 0xee, sizeof(peer->reply));
	ret = vhost_pci_session_handle(peer->session, msg, &peer->reply);
	if (ret == 1) {
		assert_int_equal(peer->reply.hdr.request, msg->hdr.request);
		assert_int_equal(peer->reply.hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
		assert_int_equal(peer->reply.nb_fds,
				msg->hdr.request == VHOST_USER_GET_INFLIGHT_FD ||
						msg->hdr.request == VHOST_USER_POSTCOPY_ADVISE);
	}
	return ret;
}

int
peer_send_none(struct session_peer *peer, uint32_t request)
{
	struct vhost_pci_msg msg = peer_msg(request, 0);

	return peer_send(peer, &msg);
}

int
peer_send_u64(struct session_peer *peer, uint32_t request, uint64_t u64)
{
	struct vhost_pci_msg msg = peer_msg(request, sizeof(u64));

	msg.payload.u64 = u64;
	return peer_send(peer, &msg);
}

int
peer_send_state(struct session_peer *peer, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_pci_msg msg = peer_msg(request, sizeof(msg.payload.state));

	msg.payload.state.index = index;
	msg.payload.state.num = num;
	return peer_send(peer, &msg);
}

/** The session becomes the owner of a copy: the test keeps its own. */
static void
attach_fd(struct vhost_pci_msg *msg, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	assert_true(copy >= 0);
	msg->fds[msg->nb_fds++] = copy;
}

int
peer_send_fd(struct session_peer *peer, uint32_t request, int fd)
{
	struct vhost_pci_msg msg = peer_msg(request, 0);

	attach_fd(&msg, fd);
	return peer_send(peer, &msg);
}

void
peer_send_channel(struct session_peer *peer, int *fd)
{
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_BACKEND_REQ_FD, *fd), 0);
	close(*fd);
	*fd = -1;
}

int
peer_send_vring_fd(struct session_peer *peer, uint32_t request, unsigned int index, int fd)
{
	struct vhost_pci_msg msg = peer_msg(request, sizeof(msg.payload.u64));

	msg.payload.u64 = index;
	if (fd >= 0)
		attach_fd(&msg, fd);
	else
		msg.payload.u64 |= VHOST_USER_VRING_NOFD;
	return peer_send(peer, &msg);
}

int
peer_send_addr(struct session_peer *peer, unsigned int index)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR,
			sizeof(struct vhost_vring_addr));
	uint64_t uva = PEER_UVA + index * PEER_RING_BYTES;

	msg.payload.addr.index = index;
	msg.payload.addr.desc_user_addr = uva;
	msg.payload.addr.avail_user_addr = uva + PEER_AVAIL;
	msg.payload.addr.used_user_addr = uva + PEER_USED;
	return peer_send(peer, &msg);
}

struct vhost_user_mem_region
peer_region(void)
{
	return (struct vhost_user_mem_region){
		.gpa = PEER_GPA,
		.size = PEER_BYTES,
		.uva = PEER_UVA,
		.mmap_offset = PEER_MMAP_OFFSET,
	};
}

int
peer_send_mem_table(struct session_peer *peer)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_MEM_TABLE,
			offsetof(struct vhost_user_mem_table, region[1]));

	msg.payload.mem_table.nb_regions = 1;
	msg.payload.mem_table.region[0] = peer_region();
	attach_fd(&msg, peer->memory_fd);
	return peer_send(peer, &msg);
}

int
peer_send_region(struct session_peer *peer, uint32_t request,
		const struct vhost_user_mem_region *region)
{
	struct vhost_pci_msg msg = peer_msg(request, sizeof(msg.payload.single_region));

	msg.payload.single_region.region = *region;
	attach_fd(&msg, peer->memory_fd);
	return peer_send(peer, &msg);
}

void
peer_negotiate(struct session_peer *peer, uint64_t features)
{
	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN),
			0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, features), 0);
}

void
peer_start_ring_at(struct session_peer *peer, unsigned int index, peer_send_addr_fn_t send_addr)
{
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, index, PEER_RING_SIZE), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, index, 0), 0);
	assert_int_equal(send_addr(peer, index), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_CALL, index,
					 peer->call[index]),
			0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, index,
					 peer->kick[index]),
			0);
}

void
peer_start_ring(struct session_peer *peer, unsigned int index)
{
	peer_start_ring_at(peer, index, peer_send_addr);
}

void
peer_up(struct session_peer *peer)
{
	peer_negotiate(peer, PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	peer_start_ring(peer, 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_true(peer->ready);
}

struct vhost_pci_vring *
peer_vring(struct session_peer *peer, unsigned int index)
{
	return vhost_pci_session_vring(peer->session, index);
}

enum vhost_pci_vring_mode
peer_mode(struct session_peer *peer, unsigned int index)
{
	struct vhost_pci_vring *vr = peer_vring(peer, index);
	enum vhost_pci_vring_mode mode = vhost_pci_vring_enter(vr);

	if (mode != VHOST_PCI_VRING_OFF)
		vhost_pci_vring_leave(vr);
	assert_int_equal(vhost_pci_session_vring_mode(peer->session, vr), mode);
	return mode;
}
