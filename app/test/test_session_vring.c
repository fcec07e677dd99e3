/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

#define MODERN (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define PACKED (UINT64_C(1) << VIRTIO_F_RING_PACKED)

/** The used ring of a vring, as the front-end sees it. */
static struct vring_used *
used_ring(struct session_peer *peer, unsigned int index)
{
	return (struct vring_used *)(void *)(peer->memory + index * PEER_RING_BYTES + PEER_USED);
}

static uint32_t
base_of(struct session_peer *peer, unsigned int index)
{
	assert_int_equal(peer_send_state(peer, VHOST_USER_GET_VRING_BASE, index, 0), 1);
	assert_int_equal(peer->reply.hdr.size, 8);
	assert_int_equal(peer->reply.payload.state.index, index);
	return peer->reply.payload.state.num;
}

static void
test_ready_with_a_started_and_enabled_pair(void **state)
{
	struct session_peer *peer = *state;

	assert_true(vhost_pci_session_is_ready(peer->session));
	assert_int_equal(peer->nb_ready_changes, 1);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_mode(peer, 2), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_mode(peer, 3), VHOST_PCI_VRING_OFF);
}

static void
test_vring_is_mapped_where_the_front_end_has_it(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	struct vring_used *used = used_ring(peer, 1);

	assert_int_equal(vr->size, PEER_RING_SIZE);
	assert_int_equal(vr->hdr_len, 12);
	assert_false(vr->is_packed);
	vr->split.used->flags = 0x1234;
	assert_int_equal(used->flags, 0x1234);
}

static void
test_header_is_short_for_legacy(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	assert_int_equal(peer_vring(peer, 0)->hdr_len, 10);
}

static void
test_header_is_long_for_mergeable_buffers(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	assert_int_equal(peer_vring(peer, 0)->hdr_len, 12);
}

static void
test_negotiated_ring_features_reach_the_vring(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer,
			PEER_F_PROTOCOL | MODERN | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
					UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	assert_true(peer_vring(peer, 0)->event_idx);
	assert_true(peer_vring(peer, 0)->indirect);
}

static void
test_index_beyond_the_last_vring(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
		VHOST_USER_GET_VRING_BASE, VHOST_USER_SET_VRING_ENABLE };
	static const uint32_t indexes[] = { PEER_NB_VRINGS, 256, 0x1ff, 0xffff0000, UINT32_MAX };
	struct session_peer *peer = *state;
	size_t i, r;

	for (r = 0; r < 4; r++)
		for (i = 0; i < 5; i++)
			assert_int_equal(peer_send_state(peer, requests[r], indexes[i], 1),
					-EINVAL);
}

static void
test_address_index_beyond_the_last_vring(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR, 40);

	msg.payload.addr.index = 0xffff0000;
	assert_int_equal(peer_send(peer, &msg), -EINVAL);
}

static void
test_queue_size_out_of_range(void **state)
{
	static const uint32_t sizes[] = { 0, PEER_MAX_QUEUE_SIZE + 1, 32768, 65536 + 256,
		UINT32_MAX };
	struct session_peer *peer = *state;
	size_t i;

	for (i = 0; i < 5; i++)
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, sizes[i]),
				-EINVAL);
}

static void
test_split_queue_size_is_a_power_of_two(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 100), -EINVAL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 1), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 1024), 0);
}

static void
test_packed_queue_size_is_any(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN | PACKED);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 100), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0x80008000), 0);
	assert_int_equal(peer_send_addr(peer, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]), 0);
	assert_int_equal(peer_vring(peer, 0)->size, 100);
	assert_true(peer_vring(peer, 0)->is_packed);
}

static void
test_queue_size_before_the_features_is_checked_at_the_start(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 100), 0);
	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(peer_send_addr(peer, 0), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 0, peer->kick[0]),
			-EINVAL);
	assert_false(peer_vring(peer, 0)->started);
}

static void
test_queue_size_while_running(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 0, 128), -EBUSY);
	assert_int_equal(peer_vring(peer, 0)->size, PEER_RING_SIZE);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
}

static void
test_base_while_running(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 7), -EBUSY);
	assert_int_equal(peer_vring(peer, 0)->avail_idx, 0);
}

static void
test_split_base_has_16_bits(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0x10000), -EINVAL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 0, 0xffff), 0);
}

static void
test_enable_is_0_or_1(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 2), -EINVAL);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, UINT32_MAX),
			-EINVAL);
}

static void
test_started_and_enabled_are_independent(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	peer_start_ring(peer, 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	base_of(peer, 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	peer_start_ring(peer, 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
}

static void
test_disabled_guest_tx_is_discarded_and_rx_is_off(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_DISCARD);
	assert_false(peer->ready);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_true(peer->ready);
}

static void
test_enable_before_features(void **state)
{
	struct session_peer *peer = *state;

	/* As QEMU does when it connects. */
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	peer_start_ring(peer, 1);
	assert_true(peer->ready);
}

static void
test_features_without_bit_30_enable_all_rings(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	peer_start_ring(peer, 1);
	assert_true(peer->ready);
}

static void
test_features_without_bit_30_enable_running_rings(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, MODERN);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
}

/* As virtio_user, a server that has had a back-end before. */
static void
test_ready_without_an_owner(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	peer_start_ring(peer, 1);
	assert_true(peer->ready);
	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	assert_true(peer->ready);
}

static void
test_ring_needs_features_to_start(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	peer_start_ring(peer, 0);
	peer_start_ring(peer, 1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES, MODERN), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_true(peer->ready);
}

static void
test_kick_first_and_the_rest_later(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_true(peer_vring(peer, 1)->kick_fd >= 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(peer_send_addr(peer, 1), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, 0), 0);
	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 1, 64), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

static void
test_addresses_before_memory(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	peer_start_ring(peer, 0);
	assert_null(peer_vring(peer, 0)->mem);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
}

static void
test_base_of_a_ring_never_set_up(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(base_of(peer, 3), 0);
}

static void
test_base_comes_back_unused(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 3, 77), 0);
	assert_int_equal(base_of(peer, 3), 77);
}

static void
test_base_is_the_next_avail_index(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	vr->avail_idx = 300;
	vr->used_idx = 300;
	assert_int_equal(base_of(peer, 1), 300);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_false(peer->ready);
}

static void
test_stopped_ring_gives_its_kick_fd_and_memory_back(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	int kick_fd = vr->kick_fd;

	base_of(peer, 1);
	assert_int_equal(vr->kick_fd, -1);
	assert_false(test_fd_is_open(kick_fd));
	assert_null(vr->mem);
	assert_null(vr->split.desc);
}

static void
test_stopped_ring_goes_on_where_it_was(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	vr->avail_idx = 300;
	vr->used_idx = 300;
	used_ring(peer, 1)->idx = 300;
	base_of(peer, 1);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_int_equal(vr->avail_idx, 300);
	assert_int_equal(vr->used_idx, 300);
	assert_true(peer->ready);
}

static void
test_split_ring_starts_at_its_used_index(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	base_of(peer, 1);
	used_ring(peer, 1)->idx = 0xfff0;
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, 5), 0);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]), 0);
	assert_int_equal(vr->avail_idx, 0xfff0);
	assert_int_equal(vr->used_idx, 0xfff0);
}

static void
start_packed(struct session_peer *peer, uint32_t base)
{
	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN | PACKED);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 1, PEER_RING_SIZE), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, base), 0);
	assert_int_equal(peer_send_addr(peer, 1), 0);
}

static void
test_packed_base_has_both_indexes_and_wrap_counters(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	start_packed(peer, 0x00058003);
	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, -1), 0);
	assert_int_equal(vr->avail_idx, 3);
	assert_true(vr->avail_wrap);
	assert_int_equal(vr->used_idx, 5);
	assert_false(vr->used_wrap);
	assert_int_equal(base_of(peer, 1), 0x00058003);
}

static void
test_packed_base_beyond_the_ring(void **state)
{
	static const uint32_t bases[] = { PEER_RING_SIZE, PEER_RING_SIZE << 16, 0x7fff7fff };
	struct session_peer *peer = *state;
	size_t i;

	start_packed(peer, 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, bases[i]), 0);
		assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1,
						 peer->kick[1]),
				-EINVAL);
		assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
		assert_null(peer_vring(peer, 1)->mem);
	}
}

static void
test_addresses_change_while_running(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR, 40);

	vr->avail_idx = 9;
	msg.payload.addr.index = 1;
	msg.payload.addr.flags = 1 << VHOST_VRING_F_LOG;
	msg.payload.addr.desc_user_addr = PEER_UVA + 5 * PEER_RING_BYTES;
	msg.payload.addr.avail_user_addr = PEER_UVA + 6 * PEER_RING_BYTES;
	msg.payload.addr.used_user_addr = PEER_UVA + 7 * PEER_RING_BYTES;
	msg.payload.addr.log_guest_addr = 0x1234;
	assert_int_equal(peer_send(peer, &msg), 0);
	assert_int_equal(vr->avail_idx, 9);
	assert_int_equal(vr->log_gpa, 0x1234);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	vr->split.used->flags = 0x4321;
	assert_int_equal(*(uint16_t *)(void *)(peer->memory + 7 * PEER_RING_BYTES), 0x4321);
}

static void
test_unknown_address_flags(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR, 40);

	msg.payload.addr.flags = 2;
	assert_int_equal(peer_send(peer, &msg), -EINVAL);
}

/** Start vring 1 with its parts at these offsets of the region; returns what the kick returns. */
static int
start_at(struct session_peer *peer, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR, 40);

	if (vhost_pci_session_mem(peer->session) == NULL) {
		peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
		assert_int_equal(peer_send_mem_table(peer), 0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, 1, 256), 0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, 1, 0), 0);
	}
	msg.payload.addr.index = 1;
	msg.payload.addr.desc_user_addr = PEER_UVA + desc;
	msg.payload.addr.avail_user_addr = PEER_UVA + avail;
	msg.payload.addr.used_user_addr = PEER_UVA + used;
	assert_int_equal(peer_send(peer, &msg), 0);
	return peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, 1, peer->kick[1]);
}

static void
test_ring_partly_outside_of_its_region(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(start_at(peer, PEER_BYTES - 4095 + 15, 0, 0x1000), -EFAULT);
	assert_int_equal(start_at(peer, 0, PEER_BYTES - 2, 0x1000), -EFAULT);
	assert_int_equal(start_at(peer, 0, 0x1000, PEER_BYTES - 4), -EFAULT);
	assert_int_equal(start_at(peer, PEER_BYTES, 0, 0x1000), -EFAULT);
	assert_int_equal(start_at(peer, (uint64_t)-16, 0, 0x1000), -EFAULT);
	/* A refused kick keeps nothing. */
	assert_int_equal(peer_vring(peer, 1)->kick_fd, -1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(start_at(peer, PEER_BYTES - 4096, 0, 0x1000), 0);
}

static void
test_misaligned_ring(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(start_at(peer, 8, 0x2000, 0x4000), -EINVAL);
	assert_int_equal(start_at(peer, 0, 0x2001, 0x4000), -EINVAL);
	assert_int_equal(start_at(peer, 0, 0x2000, 0x4002), -EINVAL);
	assert_int_equal(start_at(peer, 0, 0x2002, 0x4004), 0);
}

static void
test_port_down_turns_vrings_off_and_keeps_the_session(void **state)
{
	struct session_peer *peer = *state;

	vhost_pci_session_set_admin_up(peer->session, false);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_true(peer->ready);
	/* Nothing that the front-end says meanwhile turns them on. */
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	vhost_pci_session_set_admin_up(peer->session, true);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
}

/** Peer connection and ring enable, each off and on: only both on is on. */
static void
test_peer_connection_and_enable_are_independent(void **state)
{
	struct session_peer *peer = *state;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		bool connected = (i & 1) != 0, enabled = (i & 2) != 0;

		/* Whichever of them is said first. */
		if (i < 4)
			vhost_pci_session_set_peer_on(peer->session, connected);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, enabled), 0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, enabled), 0);
		vhost_pci_session_set_peer_on(peer->session, connected);
		assert_int_equal(peer_mode(peer, 0),
				connected && enabled ? VHOST_PCI_VRING_ON : VHOST_PCI_VRING_OFF);
		/* What the other side sends is discarded only while the connection is on. */
		if (connected)
			assert_int_equal(peer_mode(peer, 1),
					enabled ? VHOST_PCI_VRING_ON : VHOST_PCI_VRING_DISCARD);
		else
			assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
		assert_int_equal(peer->ready, connected && enabled);
	}
}

/** What one front-end says does not hold for the next. */
static void
test_peer_connection_is_on_again_after_a_reset(void **state)
{
	struct session_peer *peer = *state;

	vhost_pci_session_set_peer_on(peer->session, false);
	assert_false(peer->ready);
	vhost_pci_session_reset(peer->session);
	peer_up(peer);
	assert_true(peer->ready);
}

static void
test_broken_vring_is_counted_once(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_ERR, 1, peer->call[3]), 0);
	assert_int_equal(vhost_pci_session_check(peer->session), 0);
	vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_HEAD);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
	assert_int_equal(vhost_pci_session_check(peer->session), 0);
	assert_int_equal(vhost_pci_session_stats(peer->session)->broken_vrings, 1);
	assert_int_equal(test_eventfd_read(peer->call[3]), 1);
	assert_false(peer->ready);
}

static void
test_broken_vring_stays_off_until_it_is_started_anew(void **state)
{
	struct session_peer *peer = *state;

	vhost_pci_vring_break(peer_vring(peer, 1), VHOST_PCI_VRING_E_HEAD);
	vhost_pci_session_check(peer->session);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	base_of(peer, 1);
	peer_start_ring(peer, 1);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	vhost_pci_vring_break(peer_vring(peer, 1), VHOST_PCI_VRING_E_HEAD);
	assert_int_equal(vhost_pci_session_check(peer->session), 1);
}

static void
test_reset_forgets_the_front_end(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);

	vr->stats.notifications = 11;
	vr->broken_fd = 1234;
	vhost_pci_session_reset(peer->session);
	assert_false(peer->ready);
	assert_int_equal(vhost_pci_session_features(peer->session), 0);
	assert_int_equal(vhost_pci_session_protocol_features(peer->session), 0);
	assert_null(vhost_pci_session_mem(peer->session));
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(vr->call.fd, -1);
	assert_int_equal(vr->kick_fd, -1);
	assert_false(vr->addr_set);
	/* What is the owner's stays. */
	assert_int_equal(vr->stats.notifications, 11);
	assert_int_equal(vr->broken_fd, 1234);
	assert_int_equal(base_of(peer, 1), 0);
}

static void
test_front_end_after_a_reset(void **state)
{
	struct session_peer *peer = *state;

	vhost_pci_session_reset(peer->session);
	peer_up(peer);
	assert_int_equal(peer->nb_ready_changes, 3);
	assert_int_equal(vhost_pci_session_stats(peer->session)->connections, 2);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	UP_TEST(test_ready_with_a_started_and_enabled_pair),
	UP_TEST(test_vring_is_mapped_where_the_front_end_has_it),
	PEER_TEST(test_header_is_short_for_legacy),
	PEER_TEST(test_header_is_long_for_mergeable_buffers),
	PEER_TEST(test_negotiated_ring_features_reach_the_vring),
	PEER_TEST(test_index_beyond_the_last_vring),
	PEER_TEST(test_address_index_beyond_the_last_vring),
	PEER_TEST(test_queue_size_out_of_range),
	PEER_TEST(test_split_queue_size_is_a_power_of_two),
	PEER_TEST(test_packed_queue_size_is_any),
	PEER_TEST(test_queue_size_before_the_features_is_checked_at_the_start),
	UP_TEST(test_queue_size_while_running),
	UP_TEST(test_base_while_running),
	PEER_TEST(test_split_base_has_16_bits),
	PEER_TEST(test_enable_is_0_or_1),
	PEER_TEST(test_started_and_enabled_are_independent),
	UP_TEST(test_disabled_guest_tx_is_discarded_and_rx_is_off),
	PEER_TEST(test_enable_before_features),
	PEER_TEST(test_features_without_bit_30_enable_all_rings),
	PEER_TEST(test_features_without_bit_30_enable_running_rings),
	PEER_TEST(test_ready_without_an_owner),
	PEER_TEST(test_ring_needs_features_to_start),
	PEER_TEST(test_kick_first_and_the_rest_later),
	PEER_TEST(test_addresses_before_memory),
	PEER_TEST(test_base_of_a_ring_never_set_up),
	PEER_TEST(test_base_comes_back_unused),
	UP_TEST(test_base_is_the_next_avail_index),
	UP_TEST(test_stopped_ring_gives_its_kick_fd_and_memory_back),
	UP_TEST(test_stopped_ring_goes_on_where_it_was),
	UP_TEST(test_split_ring_starts_at_its_used_index),
	PEER_TEST(test_packed_base_has_both_indexes_and_wrap_counters),
	PEER_TEST(test_packed_base_beyond_the_ring),
	UP_TEST(test_addresses_change_while_running),
	PEER_TEST(test_unknown_address_flags),
	PEER_TEST(test_ring_partly_outside_of_its_region),
	PEER_TEST(test_misaligned_ring),
	UP_TEST(test_port_down_turns_vrings_off_and_keeps_the_session),
	UP_TEST(test_peer_connection_and_enable_are_independent),
	UP_TEST(test_peer_connection_is_on_again_after_a_reset),
	UP_TEST(test_broken_vring_is_counted_once),
	UP_TEST(test_broken_vring_stays_off_until_it_is_started_anew),
	UP_TEST(test_reset_forgets_the_front_end),
	UP_TEST(test_front_end_after_a_reset),
};

REGISTER_TEST_GROUP(session_vring_autotest, tests, NULL, NULL);
