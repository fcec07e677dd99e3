/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A front-end whose guest is behind a vIOMMU: all addresses are IOVAs, which it tells when it is
 * asked, and takes back when it likes.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"
#include "vhost_pci_iotlb.h"
#include "vhost_pci_ring.h"

#define PAGE UINT64_C(0x1000)

/** What the front-end says is at PEER_UVA; the addresses of rings are as if they were uva. */
#define IOVA UINT64_C(0xffff0000)

/** Pages of one vring's three parts, and the next page behind both vrings. */
#define BUFFER_PAGE (PEER_NB_VRINGS * PEER_RING_BYTES / PAGE)

/** The front-end's end of the channel, and the session's. */
static int ends[2];

/** Wakes control. */
static int wake_fd;

static int
setup(void **state)
{
	wake_fd = test_eventfd();
	peer_setup_iommu(state);
	vhost_pci_session_set_wake(((struct session_peer *)*state)->session, wake_fd);
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static int
teardown(void **state)
{
	int ret;

	close(ends[0]);
	close(ends[1]);
	ret = peer_teardown(state);
	close(wake_fd);
	return ret;
}

/** Send an IOTLB message; returns 0 where it is answered by that, or the session's error. */
static int
send_iotlb_msg(struct session_peer *peer, const struct vhost_iotlb_msg *iotlb)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_IOTLB_MSG, sizeof(msg.payload.iotlb));
	int ret;

	msg.payload.iotlb = *iotlb;
	ret = peer_send(peer, &msg);
	if (ret < 0)
		return ret;
	assert_int_equal(ret, 1);
	assert_int_equal(peer->reply.payload.u64, 0);
	return 0;
}

static int
send_iotlb(struct session_peer *peer, uint8_t type, uint64_t iova, uint64_t size, uint8_t perm)
{
	const struct vhost_iotlb_msg iotlb = {
		.iova = iova,
		.size = size,
		.uaddr = PEER_UVA + (iova - IOVA),
		.perm = perm,
		.type = type,
	};

	return send_iotlb_msg(peer, &iotlb);
}

static void
update(struct session_peer *peer, uint64_t iova, uint64_t size)
{
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, iova, size, VHOST_ACCESS_RW), 0);
}

static void
invalidate(struct session_peer *peer, uint64_t iova, uint64_t size)
{
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_INVALIDATE, iova, size, 0), 0);
}

/** What the front-end finds on its channel; false: nothing. */
static bool
read_miss(struct session_peer *peer, struct vhost_iotlb_msg *miss)
{
	struct {
		struct vhost_user_hdr hdr;
		struct vhost_iotlb_msg iotlb;
	} __attribute__((packed)) msg;

	vhost_pci_session_channel_serve(peer->session);
	if (recv(ends[0], &msg, sizeof(msg), MSG_DONTWAIT) != sizeof(msg))
		return false;
	assert_int_equal(msg.hdr.request, VHOST_USER_BACKEND_IOTLB_MSG);
	assert_int_equal(msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY);
	assert_int_equal(msg.iotlb.type, VHOST_IOTLB_MISS);
	*miss = msg.iotlb;
	return true;
}

static void
answer(struct session_peer *peer, uint64_t value)
{
	struct {
		struct vhost_user_hdr hdr;
		uint64_t value;
	} __attribute__((packed))
	reply = { { VHOST_USER_BACKEND_IOTLB_MSG, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 },
		value };
	struct vhost_pci_msg got;

	assert_int_equal(write(ends[0], &reply, sizeof(reply)), sizeof(reply));
	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &got), 1);
}

/** Expect a miss of an address, and answer it; as QEMU does it, a page at a time. */
static void
serve_miss(struct session_peer *peer, uint64_t iova, uint8_t perm)
{
	struct vhost_iotlb_msg miss = { .iova = 0 };

	assert_true(read_miss(peer, &miss));
	assert_int_equal(miss.iova, iova);
	assert_int_equal(miss.perm, perm);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, iova & ~(PAGE - 1), PAGE, perm), 0);
	answer(peer, 0);
}

/** Any number of misses; returns how many. */
static unsigned int
serve_misses(struct session_peer *peer)
{
	struct vhost_iotlb_msg miss = { .iova = 0 };
	unsigned int nb = 0;

	while (read_miss(peer, &miss)) {
		update(peer, miss.iova & ~(PAGE - 1), PAGE);
		answer(peer, 0);
		nb++;
	}
	return nb;
}

static uint64_t
ring_iova(unsigned int index)
{
	return IOVA + index * PEER_RING_BYTES;
}

static int
send_addr(struct session_peer *peer, unsigned int index)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR,
			sizeof(struct vhost_vring_addr));

	msg.payload.addr.index = index;
	msg.payload.addr.desc_user_addr = ring_iova(index);
	msg.payload.addr.avail_user_addr = ring_iova(index) + PEER_AVAIL;
	msg.payload.addr.used_user_addr = ring_iova(index) + PEER_USED;
	return peer_send(peer, &msg);
}

static void
start_ring(struct session_peer *peer, unsigned int index)
{
	peer_start_ring_at(peer, index, send_addr);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
}

/** All but the translations. */
static void
begin(struct session_peer *peer)
{
	peer_negotiate(peer,
			PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1 |
					UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_send_channel(peer, &ends[1]);
	start_ring(peer, 0);
	start_ring(peer, 1);
}

static void
begin_up(struct session_peer *peer)
{
	begin(peer);
	serve_misses(peer);
	assert_true(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

/** The driver offers one readable buffer on vring 1, and publishes it. */
static void
offer(struct session_peer *peer, uint64_t addr, uint32_t len)
{
	uint8_t *ring = peer->memory + PEER_RING_BYTES;
	struct vring_desc *desc = (void *)ring;
	struct vring_avail *avail = (void *)(ring + PEER_AVAIL);
	uint16_t slot = avail->idx % PEER_RING_SIZE;

	desc[slot] = (struct vring_desc){ .addr = addr, .len = len };
	avail->ring[slot] = slot;
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
}

/** Take chains of vring 1 as a polling thread does; returns how many, of how many segments. */
static unsigned int
take(struct session_peer *peer, unsigned int *nb_segs)
{
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	const unsigned int kind = vhost_pci_vring_kind(vr);
	struct vhost_pci_chain chain = { .id = 0 };
	unsigned int nb = 0;

	*nb_segs = 0;
	if (vhost_pci_vring_enter(vr) == VHOST_PCI_VRING_OFF)
		return 0;
	assert_true(vr->tracked);
	vhost_pci_ring_begin(vr);
	while (vhost_pci_ring_next(vr, &chain, kind, VHOST_PCI_DEQUEUE) == 1) {
		*nb_segs += chain.nb_segs;
		nb++;
		vhost_pci_ring_put(vr, &chain, 0, kind);
	}
	vhost_pci_ring_end(vr, kind);
	vhost_pci_vring_leave(vr);
	return nb;
}

static void
test_message_without_the_feature(void **state)
{
	struct session_peer *peer = *state;

	peer_up(peer);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, IOVA, PAGE, VHOST_ACCESS_RW),
			-EPROTO);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_INVALIDATE, 0, 0, 0), -EPROTO);
	/* Addresses are what they were. */
	assert_true(peer_vring(peer, 0)->iotlb == NULL);
	assert_true(peer->ready);
}

static void
test_feature_needs_a_channel_to_be_offered(void **state)
{
	static const struct vhost_pci_session_config config = {
		.features = UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM,
		.protocol_features = PEER_PROTOCOL_FEATURES,
		.max_queue_pairs = 1,
		.max_queue_size = 256,
		.name = "test",
	};
	struct session_peer *peer = *state;
	struct vhost_pci_session *with_channel = peer->session, *session;

	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_FEATURES), 1);
	assert_true((peer->reply.payload.u64 >> VIRTIO_F_ACCESS_PLATFORM & 1) != 0);
	assert_int_equal(vhost_pci_session_create(&config, &peer_least_ops, NULL, &session), 0);
	peer->session = session;
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_FEATURES), 1);
	assert_int_equal(peer->reply.payload.u64, PEER_F_PROTOCOL);
	peer->session = with_channel;
	vhost_pci_session_destroy(session);
}

static void
test_rings_ask_for_their_parts(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	begin(peer);
	assert_false(peer->ready);
	for (i = 0; i < 2; i++) {
		assert_int_equal(peer_mode(peer, i), VHOST_PCI_VRING_OFF);
		/* Some way to wake control, which is here already. */
		assert_true(test_eventfd_read(wake_fd) > 0 || i > 0);
		serve_miss(peer, ring_iova(i), VHOST_ACCESS_RO);
		serve_miss(peer, ring_iova(i) + PEER_AVAIL, VHOST_ACCESS_RO);
		assert_int_equal(peer_mode(peer, i), VHOST_PCI_VRING_OFF);
		serve_miss(peer, ring_iova(i) + PEER_USED, VHOST_ACCESS_RW);
		assert_int_equal(peer_mode(peer, i), VHOST_PCI_VRING_ON);
	}
	assert_true(peer->ready);
	assert_ptr_equal(peer_vring(peer, 1)->split.desc,
			peer_vring(peer, 0)->split.desc +
					PEER_RING_BYTES / sizeof(struct vring_desc));
	assert_int_equal(serve_misses(peer), 0);
}

static void
test_ring_whose_parts_are_in_pages(void **state)
{
	struct session_peer *peer = *state;

	begin(peer);
	/* 1024 descriptors are four pages. */
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 0, 0), 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 1024), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]), 0);
	/* Descriptors 4, avail 2 (the event index), used 3; and 3 of the other vring. */
	assert_int_equal(serve_misses(peer), 4 + 1 + 3 + 3);
	assert_true(peer->ready);
}

static void
test_ring_that_is_not_contiguous_waits(void **state)
{
	struct session_peer *peer = *state;
	/* The second page of the descriptors is the first one once more. */
	const struct vhost_iotlb_msg twice = {
		.iova = ring_iova(0) + PAGE,
		.size = PAGE,
		.uaddr = PEER_UVA,
		.perm = VHOST_ACCESS_RW,
		.type = VHOST_IOTLB_UPDATE,
	};

	begin_up(peer);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 0, 0), 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 512), 0);
	assert_int_equal(send_iotlb_msg(peer, &twice), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]),
			-EFAULT);
	assert_false(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_buffer_is_asked_for_and_nothing_is_lost(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	unsigned int nb_segs;

	begin_up(peer);
	offer(peer, buffer + 0x800, PAGE);
	offer(peer, buffer, 100);
	test_eventfd_read(wake_fd);
	assert_int_equal(take(peer, &nb_segs), 0);
	assert_int_equal(test_eventfd_read(wake_fd), 1);
	/* As often as the ring is polled: it was asked once. */
	assert_int_equal(take(peer, &nb_segs), 0);
	assert_int_equal(test_eventfd_read(wake_fd), 0);
	serve_miss(peer, buffer + 0x800, VHOST_ACCESS_RO);
	assert_int_equal(peer->nb_looks, 1);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer + PAGE, VHOST_ACCESS_RO);
	/* Two pages that are one piece. */
	assert_int_equal(take(peer, &nb_segs), 2);
	assert_int_equal(nb_segs, 2);
	assert_int_equal(peer_vring(peer, 1)->stats.iotlb_misses, 3 + 2);
	assert_int_equal(vhost_pci_session_stats(peer->session)->iotlb_updates, 6 + 2);
}

static void
test_wrong_permission_is_no_translation(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	struct vhost_iotlb_msg miss = { .iova = 0 };
	unsigned int nb_segs;

	begin_up(peer);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, buffer, PAGE, VHOST_ACCESS_WO), 0);
	offer(peer, buffer, 100);
	assert_int_equal(take(peer, &nb_segs), 0);
	assert_true(read_miss(peer, &miss));
	assert_int_equal(miss.perm, VHOST_ACCESS_RO);
	/* The same once more is no answer, and not a reason to ask for ever. */
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, buffer, PAGE, VHOST_ACCESS_WO), 0);
	answer(peer, 0);
	assert_int_equal(take(peer, &nb_segs), 0);
	assert_false(read_miss(peer, &miss));
	update(peer, buffer, PAGE);
	assert_int_equal(take(peer, &nb_segs), 1);
}

/** Have a session miss the translation of a buffer. */
static void
begin_with_miss(struct session_peer *peer, uint64_t buffer, struct vhost_iotlb_msg *miss)
{
	unsigned int nb_segs;

	begin_up(peer);
	offer(peer, buffer, 100);
	assert_int_equal(take(peer, &nb_segs), 0);
	assert_true(read_miss(peer, miss));
}

static void
test_refused_miss_is_asked_again_when_something_changed(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	struct vhost_iotlb_msg miss = { .iova = 0 };
	unsigned int nb_segs, i;

	begin_with_miss(peer, buffer, &miss);
	answer(peer, 1);
	for (i = 0; i < 100; i++)
		assert_int_equal(take(peer, &nb_segs), 0);
	assert_false(read_miss(peer, &miss));
	assert_int_equal(vhost_pci_session_stats(peer->session)->iotlb_refused, 1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	update(peer, buffer + 4 * PAGE, PAGE);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 1);
}

/* The two come by different channels, and nobody knows which one is read first. */
static void
test_refusal_that_a_change_has_overtaken(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	struct vhost_iotlb_msg miss = { .iova = 0 };
	unsigned int nb_segs;

	begin_with_miss(peer, buffer, &miss);
	invalidate(peer, buffer + 4 * PAGE, PAGE);
	answer(peer, 1);
	serve_miss(peer, buffer, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 1);
}

static void
test_front_end_that_never_answers(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	struct vhost_iotlb_msg miss = { .iova = 0 };
	unsigned int nb_segs, i;

	begin_with_miss(peer, buffer, &miss);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(take(peer, &nb_segs), 0);
		assert_false(read_miss(peer, &miss));
	}
	/* The rest of the session goes on, to its end in good order. */
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_FEATURES), 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer->reply.payload.state.num, 0);
}

static void
test_misses_are_asked_anew_on_another_channel(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	struct vhost_iotlb_msg miss = { .iova = 0 };
	unsigned int nb_segs;

	begin_with_miss(peer, buffer, &miss);
	close(ends[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	peer_send_channel(peer, &ends[1]);
	serve_miss(peer, buffer, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 1);
}

static void
test_invalidation_takes_buffers_back(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	unsigned int nb_segs;

	begin_up(peer);
	update(peer, buffer, 2 * PAGE);
	offer(peer, buffer, 100);
	invalidate(peer, buffer + PAGE, PAGE);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 1);
	assert_int_equal(vhost_pci_session_stats(peer->session)->iotlb_invalidates, 1);
	/* Nothing was said of the rings. */
	assert_int_equal(peer->nb_ready_changes, 1);
}

static void
test_invalidation_in_the_middle_of_a_chain(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	unsigned int nb_segs;

	begin_up(peer);
	offer(peer, buffer, 4 * PAGE);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer + PAGE, VHOST_ACCESS_RO);
	/* What was known of the chain is gone before the rest is. */
	invalidate(peer, buffer, PAGE);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer + 2 * PAGE, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 0);
	serve_miss(peer, buffer + 3 * PAGE, VHOST_ACCESS_RO);
	assert_int_equal(take(peer, &nb_segs), 1);
	assert_int_equal(nb_segs, 1);
}

static void
test_invalidated_ring_is_held_and_its_owner_told_nothing(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	struct vhost_pci_vring *vr;
	unsigned int nb_segs, nb_changes;
	uint16_t *flags;

	begin_up(peer);
	vr = peer_vring(peer, 1);
	update(peer, buffer, PAGE);
	offer(peer, buffer, 100);
	nb_changes = peer->nb_vring_changes;
	/* "All": it has no size of its own. */
	invalidate(peer, 0, 0);
	assert_int_equal(vhost_pci_vring_enter(vr), VHOST_PCI_VRING_OFF);
	assert_int_equal(vhost_pci_session_vring_mode(peer->session, vr), VHOST_PCI_VRING_ON);
	assert_int_equal(peer->nb_vring_changes, nb_changes);
	assert_true(peer->ready);
	/* What is not ours is not written to. */
	flags = &vr->split.used->flags;
	*flags = 0x5a5a;
	vhost_pci_ring_ask_kick(vr, true);
	assert_int_equal(*flags, 0x5a5a);
	/* Both rings, then the buffer. */
	assert_int_equal(serve_misses(peer), 2 * 3);
	assert_int_equal(*flags, 0);
	assert_int_equal(take(peer, &nb_segs), 0);
	assert_int_equal(serve_misses(peer), 1);
	assert_int_equal(take(peer, &nb_segs), 1);
	assert_int_equal(peer->nb_ready_changes, 1);
}

static void
test_held_ring_stops_and_starts(void **state)
{
	struct session_peer *peer = *state;
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	unsigned int nb_segs;

	begin_up(peer);
	update(peer, buffer, PAGE);
	offer(peer, buffer, 100);
	assert_int_equal(take(peer, &nb_segs), 1);
	invalidate(peer, ring_iova(1), PAGE);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(vhost_pci_vring_enter(peer_vring(peer, 1)), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer->reply.payload.state.num, 1);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_int_equal(serve_misses(peer), 1);
	offer(peer, buffer, 100);
	assert_int_equal(take(peer, &nb_segs), 1);
}

static void
test_all_rings_stopped_forgets_all(void **state)
{
	struct session_peer *peer = *state;

	begin_up(peer);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 0, 0), 1);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]), 0);
	assert_int_equal(serve_misses(peer), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 0, 0), 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, 1, 0), 1);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_int_equal(serve_misses(peer), 2 * 3);
	assert_true(peer->ready);
}

static void
test_memory_that_changes_takes_translations_along(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	uint64_t buffer = IOVA + BUFFER_PAGE * PAGE;
	unsigned int nb_segs;

	begin_up(peer);
	update(peer, buffer, PAGE);
	/* The same table, mapped elsewhere. */
	assert_int_equal(peer_send_mem_table(peer), 0);
	offer(peer, buffer, 100);
	assert_int_equal(take(peer, &nb_segs), 1);
	assert_int_equal(serve_misses(peer), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, buffer, PAGE, VHOST_ACCESS_RW),
			-EFAULT);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
	serve_misses(peer);
	assert_true(peer->ready);
	update(peer, buffer, PAGE);
	offer(peer, buffer, 100);
	assert_int_equal(take(peer, &nb_segs), 1);
}

static void
test_bad_messages_change_nothing(void **state)
{
	struct session_peer *peer = *state;

	begin_up(peer);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_MISS, IOVA, PAGE, VHOST_ACCESS_RW), -EINVAL);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_ACCESS_FAIL, IOVA, PAGE, 1), -EINVAL);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_BATCH_BEGIN, IOVA, PAGE, 1), -EINVAL);
	assert_int_equal(send_iotlb(peer, 0, IOVA, PAGE, VHOST_ACCESS_RW), -EINVAL);
	assert_int_equal(send_iotlb(peer, 0xff, IOVA, PAGE, VHOST_ACCESS_RW), -EINVAL);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, IOVA, 0, VHOST_ACCESS_RW), -EINVAL);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, IOVA, PAGE, 0), -EINVAL);
	assert_int_equal(send_iotlb(peer, VHOST_IOTLB_UPDATE, IOVA, PEER_BYTES + 1,
					 VHOST_ACCESS_RW),
			-EFAULT);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_int_equal(serve_misses(peer), 0);
}

static void
test_reset_forgets_all(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_segs;

	begin_up(peer);
	offer(peer, IOVA + BUFFER_PAGE * PAGE, 100);
	assert_int_equal(take(peer, &nb_segs), 0);
	vhost_pci_session_reset(peer->session);
	assert_int_equal(peer_vring(peer, 1)->miss.state, VHOST_PCI_MISS_NONE);
	close(ends[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	memset(peer->memory, 0, PEER_BYTES);
	begin(peer);
	assert_int_equal(serve_misses(peer), 2 * 3);
	assert_true(peer->ready);
}

#define IOTLB_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	IOTLB_TEST(test_message_without_the_feature),
	IOTLB_TEST(test_feature_needs_a_channel_to_be_offered),
	IOTLB_TEST(test_rings_ask_for_their_parts),
	IOTLB_TEST(test_ring_whose_parts_are_in_pages),
	IOTLB_TEST(test_ring_that_is_not_contiguous_waits),
	IOTLB_TEST(test_buffer_is_asked_for_and_nothing_is_lost),
	IOTLB_TEST(test_wrong_permission_is_no_translation),
	IOTLB_TEST(test_refused_miss_is_asked_again_when_something_changed),
	IOTLB_TEST(test_refusal_that_a_change_has_overtaken),
	IOTLB_TEST(test_front_end_that_never_answers),
	IOTLB_TEST(test_misses_are_asked_anew_on_another_channel),
	IOTLB_TEST(test_invalidation_takes_buffers_back),
	IOTLB_TEST(test_invalidation_in_the_middle_of_a_chain),
	IOTLB_TEST(test_invalidated_ring_is_held_and_its_owner_told_nothing),
	IOTLB_TEST(test_held_ring_stops_and_starts),
	IOTLB_TEST(test_all_rings_stopped_forgets_all),
	IOTLB_TEST(test_memory_that_changes_takes_translations_along),
	IOTLB_TEST(test_bad_messages_change_nothing),
	IOTLB_TEST(test_reset_forgets_all),
};

REGISTER_TEST_GROUP(session_iotlb_autotest, tests, NULL, NULL);
