/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"

/** What a test of a connection works with. */
/** As many fds as one piece of a stream may have. */
#define MANY_FDS 253

/** SO_PASSPIDFD, which is in no header of older systems. */
#define PASSPIDFD 76

struct connection {
	struct vhost_pci_transport *transport;
	struct vhost_pci_msg msg; /**< The last one received. */
	int peer;                 /**< The front-end's end; -1: closed. */
	int flags;                /**< Of what is written there. */
	unsigned int nb_fds;      /**< Before it all. */
};

static int
setup(void **state)
{
	unsigned int nb_fds = test_nb_fds();
	struct connection *conn = calloc(1, sizeof(*conn));
	int ends[2];

	assert_non_null(conn);
	conn->nb_fds = nb_fds;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	conn->peer = ends[0];
	assert_int_equal(vhost_pci_unix_transport_create(ends[1], &conn->transport), 0);
	*state = conn;
	return 0;
}

static int
teardown(void **state)
{
	struct connection *conn = *state;
	bool clean;

	if (conn->transport != NULL)
		vhost_pci_transport_close(conn->transport);
	if (conn->peer >= 0)
		close(conn->peer);
	clean = test_nb_fds() == conn->nb_fds;
	free(conn);
	return clean ? 0 : -1;
}

static int
receive(struct connection *conn)
{
	return vhost_pci_transport_recv(conn->transport, &conn->msg);
}

/** Write bytes, and fds along with the first of them; the fds stay the caller's. */
static void
write_fds(const struct connection *conn, void *bytes, size_t nb_bytes, const int *fds,
		unsigned int nb_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MANY_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec part = { bytes, nb_bytes };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (nb_fds > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(nb_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nb_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nb_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(conn->peer, &message, MSG_NOSIGNAL | conn->flags), nb_bytes);
}

static void
write_bytes(struct connection *conn, void *bytes, size_t nb_bytes)
{
	write_fds(conn, bytes, nb_bytes, NULL, 0);
}

/** A message as it is on the wire. */
struct wire {
	struct vhost_user_hdr hdr;
	uint32_t payload[10];
};

static size_t
wire_bytes(const struct wire *wire)
{
	return sizeof(wire->hdr) + wire->hdr.size;
}

static struct wire
set_features(uint64_t features)
{
	struct wire wire = { { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8 }, { 0 } };

	memcpy(wire.payload, &features, sizeof(features));
	return wire;
}

static struct wire
set_call(unsigned int index)
{
	return (struct wire){ { VHOST_USER_SET_VRING_CALL, VHOST_USER_VERSION, 8 }, { index } };
}

/* Messages in */

static void
test_nothing_to_receive_yet(void **state)
{
	struct connection *conn = *state;

	assert_int_equal(receive(conn), -EAGAIN);
}

static void
test_message_in_one_piece(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(UINT64_C(0x123456789abcdef0));

	write_bytes(conn, &wire, wire_bytes(&wire));
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.hdr.request, VHOST_USER_SET_FEATURES);
	assert_int_equal(conn->msg.payload.u64, UINT64_C(0x123456789abcdef0));
	assert_int_equal(conn->msg.nb_fds, 0);
	assert_int_equal(receive(conn), -EAGAIN);
}

static void
test_message_byte_by_byte(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(UINT64_C(0x123456789abcdef0));
	uint8_t *bytes = (uint8_t *)&wire;
	size_t i;

	for (i = 0; i < wire_bytes(&wire); i++) {
		assert_int_equal(receive(conn), -EAGAIN);
		write_bytes(conn, bytes + i, 1);
	}
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.payload.u64, UINT64_C(0x123456789abcdef0));
}

static void
test_message_without_payload(void **state)
{
	struct connection *conn = *state;
	struct wire wire = { { VHOST_USER_SET_OWNER, VHOST_USER_VERSION, 0 }, { 0 } };

	write_bytes(conn, &wire, wire_bytes(&wire));
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.hdr.request, VHOST_USER_SET_OWNER);
}

static void
test_two_messages_in_one_write(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);
	uint8_t bytes[2 * sizeof(wire)];

	memcpy(bytes, &wire, wire_bytes(&wire));
	wire = set_features(2);
	memcpy(bytes + wire_bytes(&wire), &wire, wire_bytes(&wire));
	write_bytes(conn, bytes, 2 * wire_bytes(&wire));
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.payload.u64, 1);
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.payload.u64, 2);
}

static void
test_fd_arrives(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(3);
	int fd = test_eventfd();

	write_fds(conn, &wire, wire_bytes(&wire), &fd, 1);
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.nb_fds, 1);
	assert_int_equal(fcntl(conn->msg.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(conn->msg.fds[0], &(uint64_t){ 1 }, 8), 8);
	assert_int_equal(test_eventfd_read(fd), 1);
	vhost_pci_msg_close_fds(&conn->msg);
	close(fd);
}

static void
test_fd_belongs_to_the_message_it_came_with(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);
	int fd = test_eventfd();

	write_bytes(conn, &wire, wire_bytes(&wire));
	wire = set_call(1);
	write_fds(conn, &wire, wire_bytes(&wire), &fd, 1);
	wire = set_features(2);
	write_bytes(conn, &wire, wire_bytes(&wire));
	close(fd);
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.nb_fds, 0);
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.nb_fds, 1);
	vhost_pci_msg_close_fds(&conn->msg);
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.nb_fds, 0);
}

static void
test_fd_arrives_with_the_payload(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	int fd = test_eventfd();

	write_bytes(conn, &wire, sizeof(wire.hdr));
	assert_int_equal(receive(conn), -EAGAIN);
	write_fds(conn, wire.payload, wire.hdr.size, &fd, 1);
	close(fd);
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.nb_fds, 1);
	vhost_pci_msg_close_fds(&conn->msg);
}

static void
test_fds_on_a_message_that_takes_none(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);
	unsigned int nb_fds;
	int fds[3] = { test_eventfd(), test_eventfd(), test_eventfd() };
	int i;

	nb_fds = test_nb_fds();
	write_fds(conn, &wire, wire_bytes(&wire), fds, 3);
	assert_int_equal(receive(conn), -E2BIG);
	assert_int_equal(test_nb_fds(), nb_fds);
	for (i = 0; i < 3; i++)
		close(fds[i]);
}

static void
test_more_fds_than_any_message_takes(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	unsigned int nb_fds;
	int fds[64];
	int i;

	for (i = 0; i < 64; i++)
		fds[i] = test_eventfd();
	nb_fds = test_nb_fds();
	write_fds(conn, &wire, wire_bytes(&wire), fds, 64);
	assert_int_equal(receive(conn), -E2BIG);
	assert_int_equal(test_nb_fds(), nb_fds);
	for (i = 0; i < 64; i++)
		close(fds[i]);
}

static void
test_fds_with_every_byte(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	uint8_t *bytes = (uint8_t *)&wire;
	int fd = test_eventfd();
	unsigned int nb_fds = test_nb_fds();
	size_t i;

	for (i = 0; i < 9; i++)
		write_fds(conn, bytes + i, 1, &fd, 1);
	assert_int_equal(receive(conn), -E2BIG);
	assert_int_equal(test_nb_fds(), nb_fds);
	close(fd);
}

/* A socket can be sent as well, of which a close would wait. */
static void
test_lingering_sockets(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);
	int fds[64];
	int i;

	for (i = 0; i < 64; i++)
		fds[i] = test_lingering_socket();
	write_fds(conn, &wire, wire_bytes(&wire), fds, 64);
	assert_int_equal(receive(conn), -E2BIG);
	for (i = 0; i < 64; i++) {
		assert_false(test_socket_lingers(fds[i]));
		close(fds[i]);
	}
}

/* Nor does the end of a connection wait for what was sent and not received. */
static void
test_lingering_sockets_left_in_a_connection(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	int fds[3];
	int i;

	for (i = 0; i < 3; i++) {
		fds[i] = test_lingering_socket();
		write_fds(conn, &wire, wire_bytes(&wire), &fds[i], 1);
	}
	vhost_pci_transport_close(conn->transport);
	conn->transport = NULL;
	for (i = 0; i < 3; i++) {
		assert_false(test_socket_lingers(fds[i]));
		close(fds[i]);
	}
}

/* Nor that of one which was never served, or not even accepted. */
static void
test_lingering_sockets_of_nobody(void **state)
{
	struct connection *conn = *state;
	int fds[] = { test_lingering_socket(), test_lingering_socket() };
	struct wire wire = set_call(1);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t bytes = sizeof(address);
	struct connection waiting = { .flags = 0 };
	int fd, listener;

	/* bound to nothing but the family, it gets a name of its own from the kernel */
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
	assert_int_equal(listen(listener, 2), 0);
	waiting.peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(waiting.peer, (struct sockaddr *)&address, bytes), 0);
	write_fds(&waiting, &wire, wire_bytes(&wire), &fds[0], 1);
	vhost_pci_peer_fd_close(listener);
	assert_false(test_socket_lingers(fds[0]));

	fd = dup(conn->transport->event_fd);
	write_fds(conn, &wire, wire_bytes(&wire), &fds[1], 1);
	vhost_pci_peer_fd_close(fd);
	assert_false(test_socket_lingers(fds[1]));
	close(waiting.peer);
	close(fds[0]);
	close(fds[1]);
}

/* Nor does one whose peer has no fds to send, and sends them. */
static void
test_lingering_socket_along_with_bytes(void **state)
{
	struct connection *conn = *state;
	int fd = test_lingering_socket();
	struct wire wire = set_call(1);
	uint8_t bytes[sizeof(wire)];

	assert_int_equal(vhost_pci_unix_recv_bytes(conn->transport->event_fd, bytes, sizeof(bytes)),
			-EAGAIN);
	write_fds(conn, &wire, wire_bytes(&wire), &fd, 1);
	assert_int_equal(vhost_pci_unix_recv_bytes(conn->transport->event_fd, bytes, sizeof(bytes)),
			wire_bytes(&wire));
	assert_memory_equal(bytes, &wire, wire_bytes(&wire));
	assert_false(test_socket_lingers(fd));
	close(fd);
}

/* Nor what is in the queue of a socket that came as an fd: the kernel would close it with that. */
static void
test_lingering_sockets_in_sockets(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	struct connection front = { .msg.nb_fds = 0 };
	struct wire wire = set_call(1);
	int outer[2], inner[2];
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		int fd = test_lingering_socket();

		assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, outer), 0);
		assert_int_equal(socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, inner), 0);
		front.peer = inner[0];
		/* A message without bytes is not the end, but of a stream. */
		assert_int_equal(send(inner[0], NULL, 0, 0), 0);
		write_fds(&front, &wire, wire_bytes(&wire), &fd, 1);
		front.peer = outer[0];
		write_fds(&front, &wire, wire_bytes(&wire), &inner[1], 1);
		close(inner[0]);
		close(inner[1]);
		vhost_pci_peer_fd_close(outer[1]);
		assert_false(test_socket_lingers(fd));
		close(outer[0]);
		close(fd);
	}
}

/* Nor what comes out of band, for which the stream has no use: the kernel would drop it. */
static void
test_lingering_sockets_out_of_band(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);
	struct connection front;
	int fds[2], ends[2];
	uint8_t byte;

	if (!test_unix_has_oob())
		skip();
	fds[0] = test_lingering_socket();
	fds[1] = test_lingering_socket();
	conn->flags = MSG_OOB;
	write_fds(conn, &wire, 1, &fds[0], 1);
	conn->flags = 0;
	write_bytes(conn, (uint8_t *)&wire + 1, wire_bytes(&wire) - 1);
	assert_int_equal(receive(conn), -E2BIG);
	assert_false(test_socket_lingers(fds[0]));

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	front = (struct connection){ .peer = ends[0], .flags = MSG_OOB };
	write_fds(&front, &wire, 1, &fds[1], 1);
	assert_int_equal(vhost_pci_unix_recv_bytes(ends[1], &byte, 1), 1);
	assert_false(test_socket_lingers(fds[1]));
	close(ends[0]);
	close(ends[1]);
	close(fds[0]);
	close(fds[1]);
}

static void
test_channel_of_a_lingering_socket(void **state)
{
	struct vhost_pci_transport *channel;
	int fd = test_lingering_socket();

	(void)state;
	assert_int_equal(vhost_pci_unix_channel_create(dup(fd), &channel), 0);
	vhost_pci_transport_close(channel);
	assert_false(test_socket_lingers(fd));
	close(fd);
}

/* A front-end has asked for more to come with each piece, of a channel that it has made. */
static void
test_channel_with_socket_options(void **state)
{
	const int options[] = { SO_PASSCRED, SO_PASSSEC, PASSPIDFD };
	const struct vhost_user_hdr hdr = { 1, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 };
	struct connection front = { .msg.nb_fds = 0 };
	int ends[2], fds[MANY_FDS], on = 1;
	unsigned int i, nb_fds = test_nb_fds();
	uint8_t bytes[sizeof(hdr) + 8] = { 0 };

	(void)state;
	memcpy(bytes, &hdr, sizeof(hdr));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	/* What a kernel does not know can do no harm. */
	for (i = 0; i < 3; i++)
		(void)setsockopt(ends[1], SOL_SOCKET, options[i], &on, sizeof(on));
	front.peer = ends[0];
	assert_int_equal(vhost_pci_unix_channel_create(ends[1], &front.transport), 0);
	for (i = 0; i < sizeof(bytes) - 1; i++) {
		write_bytes(&front, &bytes[i], 1);
		assert_int_equal(receive(&front), -EAGAIN);
	}
	/* No fd of the sender's process is left. */
	assert_int_equal(test_nb_fds(), nb_fds + 2);
	for (i = 0; i < MANY_FDS; i++)
		fds[i] = test_lingering_socket();
	write_fds(&front, &bytes[sizeof(bytes) - 1], 1, fds, MANY_FDS);
	assert_int_equal(receive(&front), -E2BIG);
	for (i = 0; i < MANY_FDS; i++) {
		assert_false(test_socket_lingers(fds[i]));
		close(fds[i]);
	}
	vhost_pci_transport_close(front.transport);
	close(ends[0]);
	assert_int_equal(test_nb_fds(), nb_fds);
}

static void
test_fds_when_the_process_has_no_more(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	int fds[2] = { test_eventfd(), test_eventfd() };
	unsigned int nb_fds = test_nb_fds();
	struct rlimit limit, none;

	write_fds(conn, &wire, wire_bytes(&wire), fds, 2);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(receive(conn), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(test_nb_fds(), nb_fds);
	close(fds[0]);
	close(fds[1]);
}

static void
test_peer_that_closes_between_messages(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);

	write_bytes(conn, &wire, wire_bytes(&wire));
	close(conn->peer);
	conn->peer = -1;
	assert_int_equal(receive(conn), 1);
	assert_int_equal(receive(conn), 0);
}

static void
test_peer_that_closes_at_every_byte_of_a_message(void **state)
{
	struct wire wire = set_call(1);
	size_t i;

	(void)state;
	for (i = 1; i < wire_bytes(&wire); i++) {
		struct connection *conn;
		int fd;

		setup((void **)&conn);
		fd = test_eventfd();
		write_fds(conn, &wire, i, &fd, 1);
		close(fd);
		close(conn->peer);
		conn->peer = -1;
		assert_int_equal(receive(conn), -ECONNRESET);
		assert_int_equal(receive(conn), -ECONNRESET);
		assert_int_equal(teardown((void **)&conn), 0);
	}
}

static void
test_close_in_the_middle_of_a_message(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	int fd = test_eventfd();

	/* The fixture finds an fd that is left. */
	write_fds(conn, &wire, sizeof(wire.hdr) + 3, &fd, 1);
	close(fd);
	assert_int_equal(receive(conn), -EAGAIN);
	vhost_pci_transport_close(conn->transport);
	conn->transport = NULL;
}

static void
test_close_with_fds_not_yet_received(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_call(1);
	int fd = test_eventfd();

	write_fds(conn, &wire, wire_bytes(&wire), &fd, 1);
	close(fd);
	vhost_pci_transport_close(conn->transport);
	conn->transport = NULL;
}

static void
test_header_alone_is_enough_to_refuse(void **state)
{
	static const struct {
		struct vhost_user_hdr hdr;
		int error;
	} bad[] = {
		{ { VHOST_USER_SET_FEATURES, 2, 8 }, -EPROTONOSUPPORT },
		{ { VHOST_USER_SET_FEATURES, 0, 8 }, -EPROTONOSUPPORT },
		{ { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION | VHOST_USER_REPLY, 8 },
				-EPROTOTYPE },
		{ { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 0 }, -EMSGSIZE },
		{ { VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 9 }, -EMSGSIZE },
		{ { VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, UINT32_MAX }, -EMSGSIZE },
		{ { 1000, VHOST_USER_VERSION, UINT32_MAX }, -EMSGSIZE },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vhost_user_hdr hdr = bad[i].hdr;
		struct connection *conn;

		setup((void **)&conn);
		write_bytes(conn, &hdr, sizeof(hdr));
		assert_int_equal(receive(conn), bad[i].error);
		assert_int_equal(teardown((void **)&conn), 0);
	}
}

static void
test_stream_stays_broken(void **state)
{
	struct connection *conn = *state;
	struct wire wire = set_features(1);

	wire.hdr.flags = 3;
	write_bytes(conn, &wire, sizeof(wire.hdr));
	assert_int_equal(receive(conn), -EPROTONOSUPPORT);
	wire = set_features(1);
	write_bytes(conn, &wire, wire_bytes(&wire));
	assert_int_equal(receive(conn), -EPROTONOSUPPORT);
}

static void
test_unknown_id_is_passed_on_with_its_payload(void **state)
{
	struct connection *conn = *state;
	struct wire wire = { { 1000, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, 40 }, { 7 } };

	write_bytes(conn, &wire, wire_bytes(&wire));
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.hdr.request, 1000);
	assert_int_equal(conn->msg.hdr.size, 40);
	wire = set_features(5);
	write_bytes(conn, &wire, wire_bytes(&wire));
	assert_int_equal(receive(conn), 1);
	assert_int_equal(conn->msg.payload.u64, 5);
}

/* Messages out */

static struct vhost_pci_msg
reply_u64(uint64_t u64)
{
	struct vhost_pci_msg msg = { 0 };

	vhost_pci_codec_make_reply(&msg, VHOST_USER_GET_FEATURES, sizeof(u64));
	msg.payload.u64 = u64;
	return msg;
}

static void
test_reply_is_sent_whole(void **state)
{
	struct connection *conn = *state;
	struct vhost_pci_msg msg = reply_u64(UINT64_C(0xfedcba9876543210));
	struct wire wire;
	uint64_t u64;

	assert_int_equal(vhost_pci_transport_send(conn->transport, &msg), 0);
	assert_int_equal(read(conn->peer, &wire, sizeof(wire)), 20);
	assert_int_equal(wire.hdr.request, VHOST_USER_GET_FEATURES);
	assert_int_equal(wire.hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
	memcpy(&u64, wire.payload, sizeof(u64));
	assert_int_equal(u64, UINT64_C(0xfedcba9876543210));
}

static void
test_fd_is_sent_and_closed(void **state)
{
	struct connection *conn = *state;
	struct vhost_pci_msg msg = reply_u64(0);
	struct vhost_pci_transport *front_end;
	unsigned int nb_fds = test_nb_fds();

	msg.hdr.request = VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP;
	msg.fds[msg.nb_fds++] = test_eventfd();
	assert_int_equal(vhost_pci_transport_send(conn->transport, &msg), 0);
	assert_int_equal(msg.nb_fds, 0);
	assert_int_equal(test_nb_fds(), nb_fds);
	assert_int_equal(vhost_pci_unix_channel_create(conn->peer, &front_end), 0);
	conn->peer = -1;
	assert_int_equal(vhost_pci_transport_recv(front_end, &msg), 1);
	assert_int_equal(msg.nb_fds, 1);
	vhost_pci_msg_close_fds(&msg);
	vhost_pci_transport_close(front_end);
}

static void
test_send_to_a_closed_peer_raises_no_signal(void **state)
{
	struct connection *conn = *state;
	struct vhost_pci_msg msg = reply_u64(0);

	close(conn->peer);
	conn->peer = -1;
	assert_int_equal(vhost_pci_transport_send(conn->transport, &msg), -EPIPE);
}

static void
test_send_to_a_peer_that_does_not_read(void **state)
{
	struct connection *conn = *state;
	struct vhost_pci_msg msg;
	int ret;

	do {
		msg = reply_u64(0);
		ret = vhost_pci_transport_send(conn->transport, &msg);
	} while (ret == 0);
	assert_int_equal(ret, -EAGAIN);
}

static void
test_channel_is_a_socket(void **state)
{
	struct connection *conn = *state;
	struct vhost_pci_transport *channel = NULL;
	int fd = test_eventfd();

	(void)conn;
	assert_int_equal(vhost_pci_unix_channel_create(fd, &channel), -ENOTSOCK);
	assert_null(channel);
	assert_false(test_fd_is_open(fd));
}

#define CONN_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	CONN_TEST(test_nothing_to_receive_yet),
	CONN_TEST(test_message_in_one_piece),
	CONN_TEST(test_message_byte_by_byte),
	CONN_TEST(test_message_without_payload),
	CONN_TEST(test_two_messages_in_one_write),
	CONN_TEST(test_fd_arrives),
	CONN_TEST(test_fd_belongs_to_the_message_it_came_with),
	CONN_TEST(test_fd_arrives_with_the_payload),
	CONN_TEST(test_fds_on_a_message_that_takes_none),
	CONN_TEST(test_more_fds_than_any_message_takes),
	CONN_TEST(test_fds_with_every_byte),
	CONN_TEST(test_lingering_sockets),
	CONN_TEST(test_lingering_sockets_left_in_a_connection),
	CONN_TEST(test_lingering_sockets_of_nobody),
	CONN_TEST(test_lingering_socket_along_with_bytes),
	cmocka_unit_test(test_lingering_sockets_in_sockets),
	CONN_TEST(test_lingering_sockets_out_of_band),
	CONN_TEST(test_channel_of_a_lingering_socket),
	cmocka_unit_test(test_channel_with_socket_options),
	CONN_TEST(test_fds_when_the_process_has_no_more),
	CONN_TEST(test_peer_that_closes_between_messages),
	cmocka_unit_test(test_peer_that_closes_at_every_byte_of_a_message),
	CONN_TEST(test_close_in_the_middle_of_a_message),
	CONN_TEST(test_close_with_fds_not_yet_received),
	cmocka_unit_test(test_header_alone_is_enough_to_refuse),
	CONN_TEST(test_stream_stays_broken),
	CONN_TEST(test_unknown_id_is_passed_on_with_its_payload),
	CONN_TEST(test_reply_is_sent_whole),
	CONN_TEST(test_fd_is_sent_and_closed),
	CONN_TEST(test_send_to_a_closed_peer_raises_no_signal),
	CONN_TEST(test_send_to_a_peer_that_does_not_read),
	CONN_TEST(test_channel_is_a_socket),
};

REGISTER_TEST_GROUP(transport_unix_autotest, tests, NULL, NULL);
