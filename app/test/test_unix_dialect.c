/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_transport_unix.h"

/** The connection's id; both of its halves count. */
#define CONN_ID UINT64_C(0x500000007)

/** A connection that speaks the dialect, and the front-end's end of it. */
struct dialect {
	struct vhost_pci_transport *transport;
	struct vhost_pci_msg msg; /**< The last one received. */
	int peer;
	unsigned int nb_fds;
};

/** A message of version 2 as it is on the wire. */
struct wire {
	struct vhost_user_hdr_v2 hdr;
	uint8_t payload[32];
} __attribute__((packed));

static int
setup(void **state)
{
	unsigned int nb_fds = test_nb_fds();
	struct dialect *dialect = calloc(1, sizeof(*dialect));
	int ends[2];

	assert_non_null(dialect);
	dialect->nb_fds = nb_fds;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	dialect->peer = ends[0];
	assert_int_equal(vhost_pci_unix_transport_create(ends[1], &dialect->transport), 0);
	vhost_pci_unix_set_dialect(dialect->transport, CONN_ID);
	*state = dialect;
	return 0;
}

static int
teardown(void **state)
{
	struct dialect *dialect = *state;
	bool clean;

	vhost_pci_transport_close(dialect->transport);
	close(dialect->peer);
	clean = test_nb_fds() == dialect->nb_fds;
	free(dialect);
	return clean ? 0 : -1;
}

static int
receive(struct dialect *dialect)
{
	return vhost_pci_transport_recv(dialect->transport, &dialect->msg);
}

static void
write_bytes(const struct dialect *dialect, const void *bytes, size_t nb_bytes)
{
	assert_int_equal(send(dialect->peer, bytes, nb_bytes, MSG_NOSIGNAL), nb_bytes);
}

static struct wire
make(uint32_t request, uint32_t flags, uint64_t conn_id, uint32_t size)
{
	struct wire wire = { { request, flags, conn_id, size }, { 0 } };

	return wire;
}

static void
write_wire(const struct dialect *dialect, const struct wire *wire)
{
	write_bytes(dialect, wire, sizeof(wire->hdr) + wire->hdr.size);
}

/** Send a message of version 1 that needs no payload. */
static void
write_v1(const struct dialect *dialect, uint32_t request)
{
	const struct vhost_user_hdr hdr = { request, VHOST_USER_VERSION, 0 };

	write_bytes(dialect, &hdr, sizeof(hdr));
}

static void
test_anonymous_message(void **state)
{
	struct dialect *dialect = *state;
	struct wire wire = make(VHOST_USER_GET_CONN_ID, VHOST_USER_VERSION_2,
			VHOST_USER_CONN_ID_ANONYMOUS, 0);

	write_wire(dialect, &wire);
	assert_int_equal(receive(dialect), 1);
	assert_int_equal(dialect->msg.hdr.request, VHOST_USER_GET_CONN_ID);
	assert_true(vhost_pci_codec_is_dialect_request(&dialect->msg.hdr));
	assert_true(dialect->msg.conn_id == CONN_ID);
	assert_int_equal(receive(dialect), -EAGAIN);
}

static void
test_message_byte_by_byte(void **state)
{
	struct dialect *dialect = *state;
	struct wire wire = make(VHOST_USER_SET_DEV_INFO, VHOST_USER_VERSION_2, CONN_ID, 18);
	size_t total = sizeof(wire.hdr) + wire.hdr.size;
	size_t i;

	for (i = 0; i < wire.hdr.size; i++)
		wire.payload[i] = (uint8_t)(i + 1);
	for (i = 0; i < total; i++) {
		assert_int_equal(receive(dialect), -EAGAIN);
		write_bytes(dialect, (const uint8_t *)&wire + i, 1);
	}
	assert_int_equal(receive(dialect), 1);
	assert_int_equal(dialect->msg.hdr.size, 18);
	assert_int_equal(dialect->msg.payload.dev_info.virtio_id, 0x0201);
	assert_int_equal(dialect->msg.payload.dev_info.uuid[15], 18);
}

/** Versions alternate, and each request is answered in its own. */
static void
test_reply_has_the_version_of_its_request(void **state)
{
	struct dialect *dialect = *state;
	struct wire wire = make(VHOST_USER_GET_FEATURES, VHOST_USER_VERSION_2, CONN_ID, 0);
	struct vhost_pci_msg reply;
	struct wire answer;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		bool is_v2 = i % 2 == 0;
		size_t nb_bytes = (is_v2 ? sizeof(struct vhost_user_hdr_v2)
					 : sizeof(struct vhost_user_hdr)) +
				sizeof(uint64_t);

		if (is_v2)
			write_wire(dialect, &wire);
		else
			write_v1(dialect, VHOST_USER_GET_FEATURES);
		assert_int_equal(receive(dialect), 1);
		vhost_pci_codec_make_reply(&reply, VHOST_USER_GET_FEATURES, sizeof(uint64_t));
		reply.payload.u64 = 0x55;
		assert_int_equal(vhost_pci_transport_send(dialect->transport, &reply), 0);
		assert_int_equal(recv(dialect->peer, &answer, sizeof(answer), MSG_DONTWAIT),
				nb_bytes);
		assert_int_equal(answer.hdr.flags,
				(is_v2 ? VHOST_USER_VERSION_2 : VHOST_USER_VERSION) |
						VHOST_USER_REPLY);
		if (!is_v2)
			continue;
		assert_true(answer.hdr.conn_id == CONN_ID);
		assert_int_equal(answer.hdr.size, sizeof(uint64_t));
		assert_int_equal(answer.payload[0], 0x55);
	}
}

/** The back-end asks, and what the front-end answers is not taken for a request. */
static void
test_request_of_the_back_end(void **state)
{
	struct dialect *dialect = *state;
	struct vhost_pci_msg request = {
		.hdr = { VHOST_USER_SET_PEER_CONNECTION, VHOST_USER_VERSION_2, sizeof(uint64_t) },
		.payload.u64 = VHOST_USER_PEER_OFF,
	};
	struct wire wire,
			answer = make(VHOST_USER_SET_PEER_CONNECTION,
					VHOST_USER_VERSION_2 | VHOST_USER_REPLY, CONN_ID, 8);

	assert_int_equal(vhost_pci_transport_send(dialect->transport, &request), 0);
	assert_int_equal(recv(dialect->peer, &wire, sizeof(wire), MSG_DONTWAIT), 28);
	assert_int_equal(wire.hdr.request, VHOST_USER_SET_PEER_CONNECTION);
	assert_int_equal(wire.hdr.flags, VHOST_USER_VERSION_2);
	write_wire(dialect, &answer);
	write_v1(dialect, VHOST_USER_GET_FEATURES);
	assert_int_equal(receive(dialect), -EAGAIN);
	assert_int_equal(receive(dialect), 1);
	assert_int_equal(dialect->msg.hdr.request, VHOST_USER_GET_FEATURES);
}

/** Ids mean what they mean in their header's version, whatever the payload's size. */
static void
test_ids_by_version(void **state)
{
	struct dialect *dialect = *state;
	struct wire wire = make(VHOST_USER_SET_PEER_CONNECTION, VHOST_USER_VERSION_2, CONN_ID, 8);
	const struct {
		struct vhost_user_hdr hdr;
		uint64_t mtu;
	} __attribute__((packed)) v1 = { { VHOST_USER_NET_SET_MTU, VHOST_USER_VERSION, 8 }, 1500 };

	write_wire(dialect, &wire);
	write_bytes(dialect, &v1, sizeof(v1));
	assert_int_equal(receive(dialect), 1);
	assert_true(vhost_pci_codec_is_dialect_request(&dialect->msg.hdr));
	assert_int_equal(receive(dialect), 1);
	assert_false(vhost_pci_codec_is_dialect_request(&dialect->msg.hdr));
	assert_int_equal(dialect->msg.payload.u64, 1500);
}

/** Each is refused, and so is all that follows on the stream. */
static void
expect_refused(struct dialect *dialect, const struct wire *wire, int error)
{
	write_bytes(dialect, wire, sizeof(wire->hdr));
	assert_int_equal(receive(dialect), error);
	assert_int_equal(receive(dialect), error);
}

#define REFUSED(name, request, flags, conn_id, size, error) \
	static void test_##name(void **state) \
	{ \
		struct wire wire = make(request, flags, conn_id, size); \
\
		expect_refused(*state, &wire, error); \
	}

REFUSED(id_of_another_connection, VHOST_USER_GET_CONN_ID, VHOST_USER_VERSION_2, 5, 0, -EBADMSG)
REFUSED(half_of_the_id, VHOST_USER_GET_CONN_ID, VHOST_USER_VERSION_2, 7, 0, -EBADMSG)
REFUSED(payload_where_none_is_due, VHOST_USER_GET_CONN_ID, VHOST_USER_VERSION_2, CONN_ID, 8,
		-EMSGSIZE)
REFUSED(device_info_too_short, VHOST_USER_SET_DEV_INFO, VHOST_USER_VERSION_2, CONN_ID, 17,
		-EMSGSIZE)
REFUSED(device_info_too_long, VHOST_USER_SET_DEV_INFO, VHOST_USER_VERSION_2, CONN_ID, 20, -EMSGSIZE)
REFUSED(huge_message, VHOST_USER_SET_FEATURES, VHOST_USER_VERSION_2, CONN_ID, UINT32_MAX, -EMSGSIZE)
REFUSED(version_3, VHOST_USER_GET_CONN_ID, 3, CONN_ID, 0, -EPROTONOSUPPORT)

/** An answer to a request that no back-end sends is no answer. */
static void
test_reply_to_nothing(void **state)
{
	struct wire wire = make(VHOST_USER_GET_CONN_ID, VHOST_USER_VERSION_2 | VHOST_USER_REPLY,
			CONN_ID, 0);

	expect_refused(*state, &wire, -EPROTOTYPE);
}

/** Cut off at each byte of header and payload. */
static void
test_end_in_the_middle(void **state)
{
	struct wire wire = make(VHOST_USER_SET_PEER_CONNECTION, VHOST_USER_VERSION_2, CONN_ID, 8);
	struct vhost_pci_transport *transport;
	struct vhost_pci_msg msg;
	size_t nb;

	(void)state;
	for (nb = 1; nb < sizeof(wire.hdr) + wire.hdr.size; nb++) {
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		assert_int_equal(vhost_pci_unix_transport_create(ends[1], &transport), 0);
		vhost_pci_unix_set_dialect(transport, CONN_ID);
		assert_int_equal(send(ends[0], &wire, nb, 0), nb);
		close(ends[0]);
		assert_int_equal(vhost_pci_transport_recv(transport, &msg), -ECONNRESET);
		vhost_pci_transport_close(transport);
	}
}

#define DIALECT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	DIALECT_TEST(test_anonymous_message),
	DIALECT_TEST(test_message_byte_by_byte),
	DIALECT_TEST(test_reply_has_the_version_of_its_request),
	DIALECT_TEST(test_request_of_the_back_end),
	DIALECT_TEST(test_ids_by_version),
	DIALECT_TEST(test_id_of_another_connection),
	DIALECT_TEST(test_half_of_the_id),
	DIALECT_TEST(test_payload_where_none_is_due),
	DIALECT_TEST(test_device_info_too_short),
	DIALECT_TEST(test_device_info_too_long),
	DIALECT_TEST(test_huge_message),
	DIALECT_TEST(test_version_3),
	DIALECT_TEST(test_reply_to_nothing),
	DIALECT_TEST(test_end_in_the_middle),
};

REGISTER_TEST_GROUP(unix_dialect_autotest, tests, NULL, NULL);
