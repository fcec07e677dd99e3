/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The configuration space that a front-end leaves to the back-end. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

#define SPACE_BYTES sizeof(struct virtio_net_config)
#define WRITABLE    0
#define MIGRATION   1
#define MODERN      (UINT64_C(1) << VIRTIO_F_VERSION_1)

static const struct virtio_net_config space = {
	.mac = { 0x02, 1, 2, 3, 4, 5 },
	.status = VIRTIO_NET_S_LINK_UP,
	.max_virtqueue_pairs = PEER_NB_VRINGS / 2,
	.mtu = 9000,
};

static int
setup(void **state)
{
	struct session_peer *peer;

	peer_setup(state);
	peer = *state;
	vhost_pci_session_set_config(peer->session, &space);
	return 0;
}

static struct vhost_pci_msg
config_msg(uint32_t request, uint32_t offset, uint32_t size)
{
	struct vhost_pci_msg msg = peer_msg(request,
			offsetof(struct vhost_user_config, data) + size);

	msg.payload.config.offset = offset;
	msg.payload.config.size = size;
	return msg;
}

/* What the front-end reads of the space. */
static void
read_space(struct session_peer *peer, uint32_t offset, uint32_t size, void *data)
{
	struct vhost_pci_msg msg = config_msg(VHOST_USER_GET_CONFIG, offset, size);

	assert_int_equal(peer_send(peer, &msg), 1);
	assert_int_equal(peer->reply.hdr.size, msg.hdr.size);
	assert_int_equal(peer->reply.payload.config.offset, offset);
	assert_int_equal(peer->reply.payload.config.size, size);
	memcpy(data, peer->reply.payload.config.data, size);
}

static int
write_space(struct session_peer *peer, uint32_t flags, uint32_t offset, uint32_t size,
		const void *data)
{
	struct vhost_pci_msg msg = config_msg(VHOST_USER_SET_CONFIG, offset, size);

	msg.payload.config.flags = flags;
	memcpy(msg.payload.config.data, data, size);
	return peer_send(peer, &msg);
}

static void
test_space_is_read_as_the_owner_has_set_it(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config seen;
	uint32_t offset, size;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	for (offset = 0; offset < SPACE_BYTES; offset++) {
		for (size = 1; size <= SPACE_BYTES - offset; size++) {
			read_space(peer, offset, size, &seen);
			assert_memory_equal(&seen, (const uint8_t *)&space + offset, size);
		}
	}
}

static void
test_bytes_that_there_are_not_and_flags_that_are_unknown(void **state)
{
	static const struct {
		uint32_t offset;
		uint32_t size;
		uint32_t flags;
	} bad[] = {
		{ 0, 0, 0 },
		{ 0, SPACE_BYTES + 1, 0 },
		{ 1, SPACE_BYTES, 0 },
		{ SPACE_BYTES, 1, 0 },
		{ SPACE_BYTES - 1, 2, 0 },
		{ UINT32_MAX, 1, 0 },
		{ UINT32_MAX - 1, 4, 0 },
		{ 0, VHOST_USER_CONFIG_BYTES, 0 },
		{ 0, 6, 2 },
		{ 0, 6, UINT32_MAX },
	};
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg;
	size_t i;

	/* A legacy driver, which may write the first six bytes. */
	peer_negotiate(peer, PEER_F_PROTOCOL);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		msg = config_msg(VHOST_USER_GET_CONFIG, bad[i].offset, bad[i].size);
		msg.payload.config.flags = bad[i].flags;
		assert_int_equal(peer_send(peer, &msg), 1);
		assert_int_equal(peer->reply.hdr.size, 0);
		msg.hdr.request = VHOST_USER_SET_CONFIG;
		assert_int_equal(peer_send(peer, &msg), -EINVAL);
		if (bad[i].flags != 0)
			continue;
		msg.payload.config.flags = MIGRATION;
		assert_int_equal(peer_send(peer, &msg), -EINVAL);
	}
}

static void
test_messages_need_the_feature(void **state)
{
	struct session_peer *peer = *state;
	struct vhost_pci_msg msg;

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 PEER_PROTOCOL_TAKEN & ~VHOST_USER_PROTOCOL_MASK(CONFIG)),
			0);
	msg = config_msg(VHOST_USER_GET_CONFIG, 0, 6);
	assert_int_equal(peer_send(peer, &msg), -EPROTO);
	msg = config_msg(VHOST_USER_SET_CONFIG, 0, 6);
	assert_int_equal(peer_send(peer, &msg), -EPROTO);
}

static void
test_modern_driver_writes_nothing(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config seen;
	uint32_t offset;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	for (offset = 0; offset < SPACE_BYTES; offset++)
		assert_int_equal(write_space(peer, WRITABLE, offset, 1, "x"), -EROFS);
	read_space(peer, 0, SPACE_BYTES, &seen);
	assert_memory_equal(&seen, &space, SPACE_BYTES);
}

static void
test_legacy_driver_writes_its_mac_and_nothing_else(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config seen;
	uint32_t offset;

	/* Nobody knows yet what it is. */
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN),
			0);
	assert_int_equal(write_space(peer, WRITABLE, 0, 6, "\2abcde"), -EROFS);
	peer_negotiate(peer, PEER_F_PROTOCOL);
	assert_int_equal(write_space(peer, WRITABLE, 0, 6, "\2abcde"), 0);
	/* Byte by byte, as a driver does. */
	assert_int_equal(write_space(peer, WRITABLE, 5, 1, "z"), 0);
	for (offset = 6; offset < SPACE_BYTES; offset++)
		assert_int_equal(write_space(peer, WRITABLE, offset, 1, "x"), -EROFS);
	assert_int_equal(write_space(peer, WRITABLE, 0, 7, "\2xxxxxx"), -EROFS);
	read_space(peer, 0, SPACE_BYTES, &seen);
	assert_memory_equal(seen.mac, "\2abcdz", 6);
	assert_memory_equal(&seen.status, &space.status, SPACE_BYTES - 6);
}

static void
test_migration_brings_the_mac_and_must_fit_the_rest(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config sent = space, seen;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	memcpy(sent.mac, "\2abcde", 6);
	sent.status = 0;
	assert_int_equal(write_space(peer, MIGRATION, 0, SPACE_BYTES, &sent), 0);
	read_space(peer, 0, SPACE_BYTES, &seen);
	assert_memory_equal(seen.mac, sent.mac, 6);
	/* The link is this device's. */
	assert_int_equal(seen.status, VIRTIO_NET_S_LINK_UP);
	memcpy(sent.mac, "\2vwxyz", 6);
	sent.mtu--;
	assert_int_equal(write_space(peer, MIGRATION, 0, SPACE_BYTES, &sent), -EINVAL);
	sent.mtu++;
	sent.max_virtqueue_pairs++;
	assert_int_equal(write_space(peer, MIGRATION, 0, SPACE_BYTES, &sent), -EINVAL);
	read_space(peer, 0, SPACE_BYTES, &seen);
	assert_memory_equal(seen.mac, "\2abcde", 6);
}

static void
test_next_front_end_sees_nothing_of_it(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config seen;

	peer_negotiate(peer, PEER_F_PROTOCOL);
	assert_int_equal(write_space(peer, WRITABLE, 0, 6, "\2abcde"), 0);
	vhost_pci_session_reset(peer->session);
	peer_negotiate(peer, PEER_F_PROTOCOL);
	read_space(peer, 0, SPACE_BYTES, &seen);
	assert_memory_equal(&seen, &space, SPACE_BYTES);
}

/* A channel; returns the front-end's end. */
static int
open_channel(struct session_peer *peer)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	peer_send_channel(peer, &ends[1]);
	return ends[0];
}

/* Whether the front-end is told, and answers. */
static bool
is_told(struct session_peer *peer, int fd)
{
	struct {
		struct vhost_user_hdr hdr;
		uint64_t value;
	} answer = {
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 },
		0,
	};
	struct vhost_user_hdr hdr;
	struct vhost_pci_msg reply;

	if (recv(fd, &hdr, sizeof(hdr), MSG_DONTWAIT) != sizeof(hdr))
		return false;
	assert_int_equal(hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(hdr.flags, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY);
	assert_int_equal(hdr.size, 0);
	assert_int_equal(send(fd, &answer, sizeof(answer.hdr) + 8, 0), sizeof(answer.hdr) + 8);
	assert_int_equal(vhost_pci_session_channel_recv(peer->session, &reply), 1);
	vhost_pci_session_channel_serve(peer->session);
	return true;
}

static void
test_change_is_told_where_the_space_is_ours(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config changed = space;
	int fd;

	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	fd = open_channel(peer);
	assert_false(is_told(peer, fd));
	vhost_pci_session_set_config(peer->session, &changed);
	assert_false(is_told(peer, fd));
	changed.status = 0;
	vhost_pci_session_set_config(peer->session, &changed);
	assert_true(is_told(peer, fd));
	assert_false(is_told(peer, fd));
	/* Once, where two changes come before the answer. */
	changed.status = VIRTIO_NET_S_LINK_UP;
	vhost_pci_session_set_config(peer->session, &changed);
	changed.status = 0;
	vhost_pci_session_set_config(peer->session, &changed);
	changed.status = VIRTIO_NET_S_LINK_UP;
	vhost_pci_session_set_config(peer->session, &changed);
	assert_true(is_told(peer, fd));
	assert_true(is_told(peer, fd));
	assert_false(is_told(peer, fd));
	close(fd);
}

static void
test_change_before_the_channel_is_told_on_it(void **state)
{
	struct session_peer *peer = *state;
	struct virtio_net_config changed = space;
	int fd;

	changed.status = 0;
	peer_negotiate(peer, PEER_F_PROTOCOL | MODERN);
	vhost_pci_session_set_config(peer->session, &changed);
	fd = open_channel(peer);
	assert_true(is_told(peer, fd));
	close(fd);
}

static void
test_nobody_else_is_told(void **state)
{
	static const uint64_t without = PEER_PROTOCOL_TAKEN & ~VHOST_USER_PROTOCOL_MASK(CONFIG);
	struct session_peer *peer = *state;
	struct virtio_net_config changed = space;
	int fd;

	/* Of a change while the front-end has the space itself. */
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, without), 0);
	fd = open_channel(peer);
	changed.status = 0;
	vhost_pci_session_set_config(peer->session, &changed);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_PROTOCOL_TAKEN),
			0);
	vhost_pci_session_channel_serve(peer->session);
	assert_false(is_told(peer, fd));
	close(fd);
	/* Of a change when it takes it back, or is gone. */
	vhost_pci_session_set_config(peer->session, &space);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES, without), 0);
	fd = open_channel(peer);
	assert_false(is_told(peer, fd));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, peer_teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_space_is_read_as_the_owner_has_set_it),
	TEST(test_bytes_that_there_are_not_and_flags_that_are_unknown),
	TEST(test_messages_need_the_feature),
	TEST(test_modern_driver_writes_nothing),
	TEST(test_legacy_driver_writes_its_mac_and_nothing_else),
	TEST(test_migration_brings_the_mac_and_must_fit_the_rest),
	TEST(test_next_front_end_sees_nothing_of_it),
	TEST(test_change_is_told_where_the_space_is_ours),
	TEST(test_change_before_the_channel_is_told_on_it),
	TEST(test_nobody_else_is_told),
};

REGISTER_TEST_GROUP(session_config_autotest, tests, NULL, NULL);
