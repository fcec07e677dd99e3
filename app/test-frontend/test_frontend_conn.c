/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "test.h"
#include "tfe.h"

/* A front-end's connection and the bare socket at its other end. */
struct pair {
	struct tfe_conn conn;
	struct tfe_conn peer;
	char dir[32];
	char path[64];
	int returned; /* what a call in a thread returned */
};

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	int fds[2];

	assert_non_null(pair);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	tfe_conn_init(&pair->conn);
	tfe_conn_init(&pair->peer);
	assert_int_equal(tfe_conn_adopt(&pair->conn, fds[0]), 0);
	assert_int_equal(tfe_conn_adopt(&pair->peer, fds[1]), 0);
	snprintf(pair->dir, sizeof(pair->dir), "/tmp/frontend-XXXXXX");
	assert_non_null(mkdtemp(pair->dir));
	snprintf(pair->path, sizeof(pair->path), "%s/sock", pair->dir);
	*state = pair;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *pair = *state;

	tfe_conn_close(&pair->conn);
	tfe_conn_close(&pair->peer);
	unlink(pair->path);
	assert_int_equal(rmdir(pair->dir), 0);
	free(pair);
	return 0;
}

static unsigned int
count_fds(void)
{
	unsigned int n = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Queue a message for the front-end, with any header. */
static void
peer_sends(struct pair *pair, uint32_t request, uint32_t flags, uint64_t value)
{
	struct tfe_msg msg;

	tfe_msg_init_u64(&msg, request, value);
	msg.hdr.flags = flags;
	assert_int_equal(tfe_conn_send(&pair->peer, &msg), 0);
}

static void
test_raw_bytes_arrive_as_sent(void **state)
{
	struct pair *pair = *state;
	const uint8_t bytes[5] = { 0xff, 1, 2, 3, 4 };
	struct tfe_msg got = { .nb_fds = 0 };
	uint8_t back[5];
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(tfe_conn_send_raw(&pair->conn, bytes, sizeof(bytes), &fd, 1), 0);
	assert_int_equal(tfe_conn_recv_raw(&pair->peer, back, sizeof(back), &got), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(got.nb_fds, 1);
	tfe_msg_close_fds(&got);
	close(fd);
}

static void
test_message_carries_as_many_fds_as_the_kernel_lets(void **state)
{
	struct pair *pair = *state;
	unsigned int nb_before = count_fds();
	struct tfe_msg msg, got;

	tfe_msg_init(&msg, TFE_VU_SET_OWNER, NULL, 0);
	while (msg.nb_fds < TFE_MSG_FDS)
		tfe_msg_add_fd(&msg, pair->conn.fd);
	assert_int_equal(tfe_conn_send(&pair->conn, &msg), 0);
	assert_int_equal(tfe_conn_recv(&pair->peer, &got), 0);
	assert_int_equal(got.nb_fds, TFE_MSG_FDS);
	tfe_msg_close_fds(&got);
	assert_int_equal(count_fds(), nb_before);
}

static void *
send_much_in_thread(void *arg)
{
	struct pair *pair = arg;
	static const uint8_t bytes[1 << 20];

	pair->returned = tfe_conn_send_raw(&pair->conn, bytes, sizeof(bytes), &pair->peer.fd, 1);
	return NULL;
}

static void
test_fds_go_once_however_often_the_socket_fills(void **state)
{
	struct pair *pair = *state;
	struct tfe_msg got = { .nb_fds = 0 };
	static uint8_t back[1 << 20];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, send_much_in_thread, pair), 0);
	assert_int_equal(tfe_conn_recv_raw(&pair->peer, back, sizeof(back), &got), 0);
	pthread_join(thread, NULL);
	assert_int_equal(pair->returned, 0);
	assert_int_equal(got.nb_fds, 1);
	tfe_msg_close_fds(&got);
}

static void
test_query_sends_header_and_returns_reply(void **state)
{
	struct pair *pair = *state;
	struct tfe_msg none = { .nb_fds = 0 };
	uint32_t header[3];
	uint64_t features;

	peer_sends(pair, 1, 0x5, 0x123456789abcdef0);
	assert_int_equal(tfe_req_get_features(&pair->conn, &features), 0);
	assert_true(features == 0x123456789abcdef0);
	assert_int_equal(tfe_conn_recv_raw(&pair->peer, header, sizeof(header), &none), 0);
	assert_int_equal(header[0], 1);
	assert_int_equal(header[1], 1);
	assert_int_equal(header[2], 0);
}

static void
test_query_refuses_other_id(void **state)
{
	uint64_t value;

	peer_sends(*state, TFE_VU_GET_STATUS, 0x5, 0);
	assert_int_equal(tfe_req_get_features(&((struct pair *)*state)->conn, &value), -EBADMSG);
}

static void
test_query_refuses_message_that_is_no_reply(void **state)
{
	uint64_t value;

	peer_sends(*state, TFE_VU_GET_FEATURES, 0x1, 0);
	assert_int_equal(tfe_req_get_features(&((struct pair *)*state)->conn, &value), -EBADMSG);
}

static void
test_query_refuses_other_version(void **state)
{
	uint64_t value;

	peer_sends(*state, TFE_VU_GET_FEATURES, 0x6, 0);
	assert_int_equal(tfe_req_get_features(&((struct pair *)*state)->conn, &value), -EBADMSG);
}

static void
test_refused_reply_leaves_no_fd_open(void **state)
{
	struct pair *pair = *state;
	unsigned int nb_before = count_fds();
	struct tfe_msg msg;
	uint64_t value;

	tfe_msg_init_u64(&msg, TFE_VU_GET_FEATURES, 0);
	msg.hdr.flags |= TFE_VU_REPLY;
	tfe_msg_add_fd(&msg, pair->peer.fd);
	assert_int_equal(tfe_conn_send(&pair->peer, &msg), 0);
	assert_int_equal(tfe_req_get_features(&pair->conn, &value), -EBADMSG);
	assert_int_equal(count_fds(), nb_before);
}

static void
test_call_waits_for_answer_where_asked(void **state)
{
	struct pair *pair = *state;
	struct tfe_msg got;

	pair->conn.need_reply = true;
	peer_sends(pair, TFE_VU_SET_OWNER, 0x5, 0);
	assert_int_equal(tfe_req_set_owner(&pair->conn), 0);
	assert_int_equal(tfe_conn_recv(&pair->peer, &got), 0);
	assert_int_equal(got.hdr.flags, 0x9);
}

static void
test_call_reports_refusal(void **state)
{
	struct pair *pair = *state;

	pair->conn.need_reply = true;
	peer_sends(pair, TFE_VU_SET_OWNER, 0x5, 22);
	assert_int_equal(tfe_req_set_owner(&pair->conn), -EREMOTEIO);
	assert_int_equal(pair->conn.last_ack, 22);
}

static void
test_end_of_file_is_reset(void **state)
{
	struct pair *pair = *state;
	uint64_t value;

	tfe_conn_close(&pair->peer);
	assert_int_equal(tfe_req_get_features(&pair->conn, &value), -ECONNRESET);
	assert_int_equal(tfe_conn_wait_closed(&pair->conn, 0), 0);
}

static void
test_silence_is_timeout(void **state)
{
	struct pair *pair = *state;
	uint64_t value;

	pair->conn.timeout_ms = 1;
	assert_int_equal(tfe_req_get_features(&pair->conn, &value), -ETIMEDOUT);
	assert_int_equal(tfe_conn_wait_closed(&pair->conn, 1), -ETIMEDOUT);
}

static void
test_connect_once_tells_why_not(void **state)
{
	struct pair *pair = *state;
	char long_path[200];

	assert_int_equal(tfe_conn_connect(&pair->conn, pair->path, 0), -ENOENT);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(tfe_conn_connect(&pair->conn, long_path, 0), -ENAMETOOLONG);
}

static void *
connect_in_thread(void *arg)
{
	struct pair *pair = arg;

	pair->returned = tfe_conn_connect(&pair->conn, pair->path, TFE_TIMEOUT_MS);
	return NULL;
}

static void
test_connect_waits_for_listener(void **state)
{
	struct pair *pair = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, connect_in_thread, pair), 0);
	assert_int_equal(tfe_conn_listen(&pair->peer, pair->path), 0);
	assert_int_equal(tfe_conn_accept(&pair->peer, TFE_TIMEOUT_MS), 0);
	pthread_join(thread, NULL);
	assert_int_equal(pair->returned, 0);
}

static void
test_listen_replaces_stale_socket_only(void **state)
{
	struct pair *pair = *state;
	struct tfe_conn other;
	int stale;

	tfe_conn_init(&other);
	assert_int_equal(tfe_conn_listen(&pair->peer, pair->path), 0);
	assert_int_equal(tfe_conn_listen(&other, pair->path), -EADDRINUSE);
	/* Without the listener's unlink() its file stays behind. */
	stale = pair->peer.listen_fd;
	pair->peer.listen_fd = -1;
	close(stale);
	assert_int_equal(tfe_conn_listen(&other, pair->path), 0);
	tfe_conn_close(&other);
	assert_int_equal(access(pair->path, F_OK), -1);
}

static void
test_channel_carries_requests_and_answers(void **state)
{
	struct pair *pair = *state;
	struct tfe_conn channel, backend;
	struct tfe_msg msg;

	tfe_conn_init(&channel);
	tfe_conn_init(&backend);
	assert_int_equal(tfe_conn_open_channel(&pair->conn, &channel), 0);
	assert_int_equal(tfe_conn_recv(&pair->peer, &msg), 0);
	assert_int_equal(msg.hdr.request, 21);
	assert_int_equal(msg.hdr.size, 0);
	assert_int_equal(msg.nb_fds, 1);
	tfe_conn_adopt(&backend, msg.fds[0]);
	tfe_msg_init(&msg, TFE_VU_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
	msg.hdr.flags |= TFE_VU_NEED_REPLY;
	assert_int_equal(tfe_conn_send(&backend, &msg), 0);
	assert_int_equal(tfe_conn_recv(&channel, &msg), 0);
	assert_int_equal(msg.hdr.request, 2);
	assert_int_equal(tfe_conn_answer(&channel, &msg, 0), 0);
	assert_int_equal(tfe_conn_recv(&backend, &msg), 0);
	assert_int_equal(msg.hdr.flags, 0x5);
	tfe_conn_close(&channel);
	tfe_conn_close(&backend);
}

/* The literal numbers of the specification, not those of tfe_wire.h. */
static void
expect_request(struct pair *pair, uint32_t id, uint32_t nb_bytes, unsigned int nb_fds)
{
	struct tfe_msg msg;

	assert_int_equal(tfe_conn_recv(&pair->peer, &msg), 0);
	assert_int_equal(msg.hdr.request, id);
	assert_int_equal(msg.hdr.flags, 1);
	assert_int_equal(msg.hdr.size, nb_bytes);
	assert_int_equal(msg.nb_fds, nb_fds);
	tfe_msg_close_fds(&msg);
}

static void
test_session_requests_are_well_formed(void **state)
{
	struct pair *pair = *state;
	struct tfe_conn *c = &pair->conn;
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

	assert_int_equal(tfe_req_set_features(c, 0), 0);
	expect_request(pair, 2, 8, 0);
	assert_int_equal(tfe_req_set_owner(c), 0);
	expect_request(pair, 3, 0, 0);
	assert_int_equal(tfe_req_reset_owner(c), 0);
	expect_request(pair, 4, 0, 0);
	assert_int_equal(tfe_req_set_protocol_features(c, 0), 0);
	expect_request(pair, 16, 8, 0);
	assert_int_equal(tfe_req_send_rarp(c, mac), 0);
	expect_request(pair, 19, 8, 0);
	assert_int_equal(tfe_req_net_set_mtu(c, 1500), 0);
	expect_request(pair, 20, 8, 0);
	assert_int_equal(tfe_req_reset_device(c), 0);
	expect_request(pair, 34, 0, 0);
	assert_int_equal(tfe_req_set_status(c, 0), 0);
	expect_request(pair, 39, 8, 0);
	assert_int_equal(tfe_req_set_log_fd(c, pair->peer.fd), 0);
	expect_request(pair, 7, 0, 1);
}

static void
test_vring_requests_are_well_formed(void **state)
{
	struct pair *pair = *state;
	struct tfe_conn *c = &pair->conn;
	const struct tfe_vu_vring_addr addr = { .index = 1 };

	assert_int_equal(tfe_req_set_vring_num(c, 1, 256), 0);
	expect_request(pair, 8, 8, 0);
	assert_int_equal(tfe_req_set_vring_addr(c, &addr), 0);
	expect_request(pair, 9, 40, 0);
	assert_int_equal(tfe_req_set_vring_base(c, 1, 0), 0);
	expect_request(pair, 10, 8, 0);
	assert_int_equal(tfe_req_set_vring_kick(c, 1, pair->peer.fd), 0);
	expect_request(pair, 12, 8, 1);
	assert_int_equal(tfe_req_set_vring_call(c, 1, -1), 0);
	expect_request(pair, 13, 8, 0);
	assert_int_equal(tfe_req_set_vring_err(c, 1, pair->peer.fd), 0);
	expect_request(pair, 14, 8, 1);
	assert_int_equal(tfe_req_set_vring_enable(c, 1, true), 0);
	expect_request(pair, 18, 8, 0);
	assert_int_equal(tfe_req_vring_kick(c, 1), 0);
	expect_request(pair, 35, 8, 0);
}

static void
test_vring_without_fd_says_so(void **state)
{
	struct pair *pair = *state;
	struct tfe_msg msg;

	assert_int_equal(tfe_req_set_vring_call(&pair->conn, 3, -1), 0);
	assert_int_equal(tfe_conn_recv(&pair->peer, &msg), 0);
	assert_int_equal(msg.u64, 0x103);
	assert_int_equal(tfe_req_set_vring_call(&pair->conn, 3, pair->peer.fd), 0);
	assert_int_equal(tfe_conn_recv(&pair->peer, &msg), 0);
	assert_int_equal(msg.u64, 3);
	tfe_msg_close_fds(&msg);
}

static void
test_memory_requests_are_well_formed(void **state)
{
	struct pair *pair = *state;
	struct tfe_conn *c = &pair->conn;
	const struct tfe_vu_region regions[9] = { { .gpa = 0 } };
	const struct tfe_vu_iotlb iotlb = { .iova = 0 };
	const int fds[8] = { pair->peer.fd, pair->peer.fd };

	assert_int_equal(tfe_req_set_mem_table(c, regions, fds, 2), 0);
	expect_request(pair, 5, 8 + 2 * 32, 2);
	assert_int_equal(tfe_req_set_mem_table(c, regions, fds, 9), -E2BIG);
	assert_int_equal(tfe_req_add_mem_reg(c, regions, pair->peer.fd), 0);
	expect_request(pair, 37, 40, 1);
	assert_int_equal(tfe_req_rem_mem_reg(c, regions, -1), 0);
	expect_request(pair, 38, 40, 0);
	assert_int_equal(tfe_req_iotlb(c, &iotlb), 0);
	expect_request(pair, 22, 32, 0);
}

static void
test_memory_has_three_address_spaces(void **state)
{
	struct tfe_mem mem;
	struct tfe_buf a, b;

	(void)state;
	assert_int_equal(tfe_mem_create(&mem, 1 << 20, TFE_MEM_SEAL_SHRINK), 0);
	assert_int_equal(tfe_mem_alloc(&mem, 0, 100, 1, &a), 0);
	assert_int_equal(tfe_mem_alloc(&mem, 0, 100, 4096, &b), 0);
	assert_int_equal(b.gpa - a.gpa, 4096);
	assert_int_equal(b.uva - a.uva, 4096);
	assert_ptr_equal(tfe_mem_gpa_to_va(&mem, b.gpa, 100), b.va);
	assert_ptr_equal(tfe_mem_uva_to_va(&mem, b.uva, 100), b.va);
	assert_null(tfe_mem_gpa_to_va(&mem, TFE_MEM_GPA + (1 << 20) - 1, 2));
	assert_null(tfe_mem_gpa_to_va(&mem, TFE_MEM_GPA - 1, 1));
	assert_int_equal(tfe_mem_alloc(&mem, 0, 1 << 20, 1, &a), -ENOMEM);
	assert_int_equal(ftruncate(mem.regions[0].fd, 4096), -1);
	tfe_mem_destroy(&mem);
}

static void
test_regions_share_a_file(void **state)
{
	struct tfe_region_conf conf = { .gpa = 0x1000000, .size_bytes = 8192, .share_fd_of = -1 };
	struct tfe_mem mem;
	uint8_t *map;

	(void)state;
	tfe_mem_init(&mem);
	assert_int_equal(tfe_mem_add_region(&mem, &conf), 0);
	conf.gpa = 0x8000000;
	conf.mmap_offset = 8192;
	conf.share_fd_of = 0;
	assert_int_equal(tfe_mem_add_region(&mem, &conf), 1);
	conf.share_fd_of = 5;
	assert_int_equal(tfe_mem_add_region(&mem, &conf), -EINVAL);
	map = tfe_mem_gpa_to_va(&mem, 0x8000000, 8192);
	map[0] = 0x5a;
	assert_int_equal(pread(mem.regions[0].fd, &conf, 1, 8192), 1);
	assert_int_equal(*(uint8_t *)&conf, 0x5a);
	tfe_mem_destroy(&mem);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_raw_bytes_arrive_as_sent),
	TEST(test_message_carries_as_many_fds_as_the_kernel_lets),
	TEST(test_fds_go_once_however_often_the_socket_fills),
	TEST(test_query_sends_header_and_returns_reply),
	TEST(test_query_refuses_other_id),
	TEST(test_query_refuses_message_that_is_no_reply),
	TEST(test_query_refuses_other_version),
	TEST(test_refused_reply_leaves_no_fd_open),
	TEST(test_call_waits_for_answer_where_asked),
	TEST(test_call_reports_refusal),
	TEST(test_end_of_file_is_reset),
	TEST(test_silence_is_timeout),
	TEST(test_connect_once_tells_why_not),
	TEST(test_connect_waits_for_listener),
	TEST(test_listen_replaces_stale_socket_only),
	TEST(test_channel_carries_requests_and_answers),
	TEST(test_session_requests_are_well_formed),
	TEST(test_vring_requests_are_well_formed),
	TEST(test_vring_without_fd_says_so),
	TEST(test_memory_requests_are_well_formed),
	cmocka_unit_test(test_memory_has_three_address_spaces),
	cmocka_unit_test(test_regions_share_a_file),
};

REGISTER_TEST_GROUP(frontend_conn_autotest, tests, NULL, NULL);
