/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

#define MODERN (UINT64_C(1) << VIRTIO_F_VERSION_1)

static const struct vhost_pci_mem *
table(struct session_peer *peer)
{
	return vhost_pci_session_mem(peer->session);
}

/** SET_MEM_TABLE with these regions, all of the one file. */
static int
send_table(struct session_peer *peer, const struct vhost_user_mem_region *regions, uint32_t nb)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_MEM_TABLE, 8 + nb * 32);
	uint32_t i;

	msg.payload.mem_table.nb_regions = nb;
	for (i = 0; i < nb; i++) {
		msg.payload.mem_table.region[i] = regions[i];
		msg.fds[i] = fcntl(peer->memory_fd, F_DUPFD_CLOEXEC, 0);
	}
	msg.nb_fds = nb;
	return peer_send(peer, &msg);
}

/** A table that is refused leaves the old one, and no mapping. */
static void
assert_refused(struct session_peer *peer, const struct vhost_user_mem_region *regions, uint32_t nb,
		int error)
{
	const struct vhost_pci_mem *before = table(peer);
	unsigned int nb_fds = test_nb_fds();
	unsigned int nb_mappings = test_nb_mappings();

	assert_int_equal(send_table(peer, regions, nb), error);
	assert_ptr_equal(table(peer), before);
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(test_nb_mappings(), nb_mappings);
}

static void
test_region_is_mapped_at_its_offset(void **state)
{
	struct session_peer *peer = *state;
	const struct vhost_pci_mem_region *region;

	assert_int_equal(peer_send_mem_table(peer), 0);
	region = &table(peer)->region[0];
	assert_int_equal(table(peer)->nb_regions, 1);
	assert_int_equal(region->gpa, PEER_GPA);
	assert_int_equal(region->uva, PEER_UVA);
	assert_int_equal(region->size, PEER_BYTES);
	assert_int_equal(region->mmap_offset, PEER_MMAP_OFFSET);
	peer->memory[0] = 0x5a;
	peer->memory[PEER_BYTES - 1] = 0xa5;
	assert_int_equal(region->va[0], 0x5a);
	assert_int_equal(region->va[PEER_BYTES - 1], 0xa5);
}

static void
test_table_needs_no_fd_once_mapped(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();

	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 2);
}

static void
test_new_table_replaces_the_old(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region half = peer_region();
	unsigned int i;

	half.size /= 2;
	for (i = 0; i < 3; i++) {
		assert_int_equal(peer_send_mem_table(peer), 0);
		assert_int_equal(send_table(peer, &half, 1), 0);
		assert_int_equal(table(peer)->region[0].size, PEER_BYTES / 2);
		assert_int_equal(test_nb_mappings(), peer->nb_mappings + 2);
	}
}

static void
test_table_of_no_regions_is_no_memory(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(send_table(peer, NULL, 0), 0);
	assert_false(peer->ready);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_true(peer->ready);
}

static void
test_new_table_while_running_moves_the_rings(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_vring *vr = peer_vring(peer, 1);
	const struct vring_desc *old = vr->split.desc;

	vr->avail_idx = 3;
	vr->used_idx = 3;
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_ptr_not_equal(vr->split.desc, old);
	assert_ptr_equal(vr->mem, table(peer));
	assert_int_equal(vr->avail_idx, 3);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_true(peer->ready);
	assert_int_equal(peer->nb_ready_changes, 1);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 2);
}

static void
test_held_table_outlives_its_successor(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_mem *held = vhost_pci_mem_get(peer_vring(peer, 1)->mem);

	peer->memory[0x123] = 0x77;
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_ptr_not_equal(held, table(peer));
	/* As a packet that was received without a copy would. */
	assert_int_equal(held->region[0].va[0x123], 0x77);
	vhost_pci_mem_put(held);
}

static void
test_table_without_the_rings_turns_them_off(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region elsewhere = peer_region();

	elsewhere.uva += UINT64_C(1) << 32;
	peer_vring(peer, 1)->avail_idx = 8;
	assert_int_equal(send_table(peer, &elsewhere, 1), 0);
	assert_int_equal(peer_mode(peer, 0), VHOST_PCI_VRING_OFF);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_false(peer->ready);
	/* Memory comes back: so do they, where they were. */
	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_vring(peer, 1)->avail_idx, 8);
	assert_true(peer->ready);
}

static void
test_region_of_size_0(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	region.size = 0;
	assert_refused(peer, &region, 1, -EINVAL);
}

static void
test_file_offset_that_wraps(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	region.mmap_offset = UINT64_MAX - PEER_BYTES + 1;
	assert_refused(peer, &region, 1, -EINVAL);
	region.mmap_offset = UINT64_MAX;
	assert_refused(peer, &region, 1, -EINVAL);
}

/* Regions without user addresses, as of a front-end that shows none. */
static struct vhost_user_mem_region
gpa_region(unsigned int i)
{
	struct vhost_user_mem_region region = peer_region();

	region.size /= 2;
	region.gpa += i * region.size;
	region.mmap_offset += i * region.size;
	region.uva = 0;
	return region;
}

static void
send_gpa_addr(struct session_peer *peer, unsigned int index)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_VRING_ADDR, sizeof(msg.payload.addr));
	uint64_t gpa = PEER_GPA + index * PEER_RING_BYTES;

	msg.payload.addr.index = index;
	msg.payload.addr.desc_user_addr = gpa;
	msg.payload.addr.avail_user_addr = gpa + PEER_AVAIL;
	msg.payload.addr.used_user_addr = gpa + PEER_USED;
	assert_int_equal(peer_send(peer, &msg), 0);
}

static void
test_rings_at_guest_addresses(void **state)
{
	static const uint64_t with = PEER_PROTOCOL_TAKEN | VHOST_USER_PROTOCOL_MASK(GPA_ADDRESSES);
	struct session_peer *peer = *state;
	struct vhost_user_mem_region regions[] = { gpa_region(0), gpa_region(1) };
	unsigned int i;

	peer_negotiate(peer, PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, with), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &regions[i]), 0);
	/* What addresses mean does not change while there are some. */
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN),
			-EBUSY);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 with & ~VHOST_USER_PROTOCOL_MASK(RARP)),
			0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_NUM, i, PEER_RING_SIZE),
				0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_BASE, i, 0), 0);
		send_gpa_addr(peer, i);
		assert_int_equal(peer_send_vring_fd(peer, VHOST_USER_SET_VRING_KICK, i,
						 peer->kick[i]),
				0);
		assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
		assert_int_equal(peer_mode(peer, i), VHOST_PCI_VRING_ON);
		/* The very byte that the front-end has there. */
		peer->memory[i * PEER_RING_BYTES] = (uint8_t)(0xa0 + i);
		assert_int_equal(*(const uint8_t *)peer_vring(peer, i)->split.desc, 0xa0 + i);
	}
	assert_true(peer->ready);
	/* A region goes by its guest address. */
	regions[1].uva = PEER_UVA;
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &regions[1]), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &regions[1]), -ENOENT);
	assert_true(peer->ready);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &regions[0]), 0);
	assert_false(peer->ready);
}

static void
test_gpa_that_wraps(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	region.gpa = UINT64_MAX - PEER_BYTES + 2;
	assert_refused(peer, &region, 1, -EINVAL);
}

static void
test_uva_that_wraps(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	region.uva = UINT64_MAX - PEER_BYTES + 2;
	assert_refused(peer, &region, 1, -EINVAL);
}

static void
test_file_shorter_than_the_region(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	region.size++;
	assert_refused(peer, &region, 1, -EINVAL);
	region.size = UINT64_C(1) << 40;
	assert_refused(peer, &region, 1, -EINVAL);
}

static void
test_overlap_of_regions(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region regions[2] = { peer_region(), peer_region() };

	regions[1].gpa += PEER_BYTES - 1;
	regions[1].uva += PEER_BYTES;
	assert_refused(peer, regions, 2, -EEXIST);
	regions[1].gpa += 1;
	regions[1].uva -= 1;
	assert_refused(peer, regions, 2, -EEXIST);
	regions[1].uva += 1;
	assert_int_equal(send_table(peer, regions, 2), 0);
}

static void
test_last_region_bad_releases_the_first(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region regions[8];
	unsigned int i;

	for (i = 0; i < 8; i++) {
		regions[i] = peer_region();
		regions[i].gpa += i * PEER_BYTES;
		regions[i].uva += i * PEER_BYTES;
	}
	assert_int_equal(peer_send_mem_table(peer), 0);
	regions[7].size++;
	assert_refused(peer, regions, 8, -EINVAL);
	regions[7].size--;
	assert_int_equal(send_table(peer, regions, 8), 0);
	assert_int_equal(table(peer)->nb_regions, 8);
}

static void
test_mapping_that_fails(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	assert_int_equal(peer_send_mem_table(peer), 0);
	peer->owner_error = -ENOMEM;
	assert_refused(peer, &region, 1, -ENOMEM);
}

static void
test_fd_that_can_not_be_mapped(void **state)
{
	struct session_peer *peer = *state;
	int memory_fd = peer->memory_fd;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	peer->memory_fd = sockets[0];
	assert_int_equal(peer_send_mem_table(peer), -EINVAL);
	peer->memory_fd = peer->kick[0];
	assert_int_equal(peer_send_mem_table(peer), -EINVAL);
	peer->memory_fd = memory_fd;
	close(sockets[0]);
	close(sockets[1]);
}

static void
test_slots_are_509(void **state)
{
	struct session_peer *peer = *state;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_MAX_MEM_SLOTS), 1);
	assert_int_equal(peer->reply.payload.u64, 509);
}

static void
test_slots_need_their_feature(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	assert_int_equal(peer_send_none(peer, VHOST_USER_GET_MAX_MEM_SLOTS), -EPROTO);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), -EPROTO);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), -EPROTO);
}

static void
test_509_slots_are_filled_and_the_next_is_refused(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	unsigned int i;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	region.size = 0x1000;
	for (i = 0; i < 509; i++) {
		region.gpa = i * UINT64_C(0x2000);
		region.uva = PEER_UVA + i * UINT64_C(0x1000);
		region.mmap_offset = i % 16 * 0x1000;
		assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
	}
	assert_int_equal(table(peer)->nb_regions, 509);
	region.gpa = UINT64_C(0x10000000);
	region.uva = PEER_UVA + UINT64_C(0x10000000);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), -E2BIG);
	for (i = 0; i < 509; i++) {
		region.gpa = i * UINT64_C(0x2000);
		region.uva = PEER_UVA + i * UINT64_C(0x1000);
		assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	}
	assert_int_equal(table(peer)->nb_regions, 0);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 1);
}

static void
test_slot_that_overlaps(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	unsigned int nb_mappings = test_nb_mappings();

	region.uva += region.size;
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), -EEXIST);
	assert_int_equal(test_nb_mappings(), nb_mappings);
	assert_true(peer->ready);
}

/* QEMU 7.2 adds and removes each region once per queue pair. */
static void
test_slot_added_again(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	unsigned int nb_mappings = test_nb_mappings();

	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
	assert_int_equal(table(peer)->nb_regions, 1);
	assert_int_equal(test_nb_mappings(), nb_mappings);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_true(peer->ready);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_false(peer->ready);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), -ENOENT);
}

static void
test_removal_must_match_exactly(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	region.gpa++;
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), -ENOENT);
	region.gpa--;
	region.uva++;
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), -ENOENT);
	region.uva--;
	region.size--;
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), -ENOENT);
	region.size++;
	/* "The mmap offset is ignored." */
	region.mmap_offset = 0;
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), -ENOENT);
}

static void
test_removal_closes_its_fd(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();
	unsigned int nb_fds = test_nb_fds();

	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_int_equal(test_nb_fds(), nb_fds);
}

static void
test_slots_come_and_go_under_running_rings(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region other = peer_region();

	other.gpa += PEER_BYTES;
	other.uva += PEER_BYTES;
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &other), 0);
	assert_ptr_equal(peer_vring(peer, 1)->mem, table(peer));
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &other), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_int_equal(peer->nb_ready_changes, 1);
}

static void
test_slot_of_the_rings_is_removed_and_added(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_user_mem_region region = peer_region();

	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &region), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_OFF);
	assert_false(peer->ready);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 0);
	assert_int_equal(peer_mode(peer, 1), VHOST_PCI_VRING_ON);
	assert_true(peer->ready);
}

static int
send_log(struct session_peer *peer, int fd, uint64_t size, uint64_t offset)
{
	struct vhost_pci_msg msg = peer_msg(VHOST_USER_SET_LOG_BASE, 16);

	msg.payload.log.size = size;
	msg.payload.log.mmap_offset = offset;
	msg.fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	msg.nb_fds = 1;
	return peer_send(peer, &msg);
}

static void
test_log_is_mapped_and_answered(void **state)
{
	struct session_peer *peer = *state;
	int fd = test_memfd(0x3000, true);

	/* "requires a reply", need_reply or not. */
	assert_int_equal(send_log(peer, fd, 0x1000, 0x2000), 1);
	assert_int_equal(peer->reply.hdr.size, 8);
	assert_int_equal(peer->reply.payload.u64, 0);
	assert_int_equal(send_log(peer, fd, 0x3000, 0), 1);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 3);
	close(fd);
}

static void
test_log_that_does_not_fit_its_file(void **state)
{
	struct session_peer *peer = *state;
	int fd = test_memfd(0x3000, true);

	assert_int_equal(send_log(peer, fd, 0x3001, 0), -EINVAL);
	assert_int_equal(send_log(peer, fd, 0x1000, 0x2001), -EINVAL);
	assert_int_equal(send_log(peer, fd, 0, 0), -EINVAL);
	assert_int_equal(send_log(peer, fd, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(send_log(peer, fd, 0x1000, UINT64_MAX - 0xfff), -EINVAL);
	assert_int_equal(test_nb_mappings(), peer->nb_mappings + 2);
	close(fd);
}

static void
test_log_needs_its_feature(void **state)
{
	struct session_peer *peer = *state;
	int fd = test_memfd(0x1000, true);

	assert_int_equal(send_log(peer, fd, 0x1000, 0), -EPROTO);
	close(fd);
}

static void
test_log_as_a_bare_address(void **state)
{
	struct session_peer *peer = *state;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_LOG_BASE, 0x1000), -EPROTO);
}

static void
test_log_fd_is_replaced(void **state)
{
	struct session_peer *peer = *state;
	unsigned int nb_fds = test_nb_fds();

	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_LOG_FD, peer->kick[0]), 0);
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_LOG_FD, peer->kick[1]), 0);
	assert_int_equal(test_nb_fds(), nb_fds + 1);
	assert_int_equal(peer_send_fd(peer, VHOST_USER_SET_LOG_FD, peer->memory_fd), -EINVAL);
	assert_int_equal(test_nb_fds(), nb_fds + 1);
}

#define PEER_TEST(test) cmocka_unit_test_setup_teardown(test, peer_setup, peer_teardown)
#define UP_TEST(test)   cmocka_unit_test_setup_teardown(test, peer_setup_up, peer_teardown)

static const struct CMUnitTest tests[] = {
	PEER_TEST(test_region_is_mapped_at_its_offset),
	PEER_TEST(test_table_needs_no_fd_once_mapped),
	PEER_TEST(test_new_table_replaces_the_old),
	UP_TEST(test_table_of_no_regions_is_no_memory),
	UP_TEST(test_new_table_while_running_moves_the_rings),
	UP_TEST(test_held_table_outlives_its_successor),
	UP_TEST(test_table_without_the_rings_turns_them_off),
	PEER_TEST(test_region_of_size_0),
	PEER_TEST(test_file_offset_that_wraps),
	PEER_TEST(test_rings_at_guest_addresses),
	PEER_TEST(test_gpa_that_wraps),
	PEER_TEST(test_uva_that_wraps),
	PEER_TEST(test_file_shorter_than_the_region),
	PEER_TEST(test_overlap_of_regions),
	PEER_TEST(test_last_region_bad_releases_the_first),
	PEER_TEST(test_mapping_that_fails),
	PEER_TEST(test_fd_that_can_not_be_mapped),
	PEER_TEST(test_slots_are_509),
	PEER_TEST(test_slots_need_their_feature),
	PEER_TEST(test_509_slots_are_filled_and_the_next_is_refused),
	UP_TEST(test_slot_that_overlaps),
	UP_TEST(test_slot_added_again),
	UP_TEST(test_removal_must_match_exactly),
	UP_TEST(test_removal_closes_its_fd),
	UP_TEST(test_slots_come_and_go_under_running_rings),
	UP_TEST(test_slot_of_the_rings_is_removed_and_added),
	UP_TEST(test_log_is_mapped_and_answered),
	UP_TEST(test_log_that_does_not_fit_its_file),
	PEER_TEST(test_log_needs_its_feature),
	UP_TEST(test_log_as_a_bare_address),
	UP_TEST(test_log_fd_is_replaced),
};

REGISTER_TEST_GROUP(session_mem_autotest, tests, NULL, NULL);
