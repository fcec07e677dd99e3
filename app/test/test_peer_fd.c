/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* A peer's file whose file system is the peer's own, and does not answer. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_peer_fd.h"
#include "vhost_pci_transport_unix.h"

#define FILE_BYTES 0x100000
#define FILE_NODE  2

/* A file system of one file, and who answers for it as long as it wants to. */
struct server {
	pthread_t thread;
	char dir[32];
	int device; /* Of FUSE; its end is the file system's. */
	int stop;   /* Eventfd. */
	int mute;   /* Atomic. */
};

static struct fuse_attr
file_attr(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = node == FILE_NODE ? FILE_BYTES : 0,
		.mode = node == FILE_NODE ? S_IFREG | 0666 : S_IFDIR | 0777,
		.nlink = 1,
	};
}

/* The answer to a request: how many bytes; negative: it has none. */
static int
make_answer(const struct fuse_in_header *in, void *body)
{
	switch (in->opcode) {
	case FUSE_INIT:
		*(struct fuse_init_out *)body = (struct fuse_init_out){
			.major = FUSE_KERNEL_VERSION,
			.minor = FUSE_KERNEL_MINOR_VERSION,
			.max_write = 4096,
		};
		return sizeof(struct fuse_init_out);
	case FUSE_LOOKUP:
		*(struct fuse_entry_out *)body = (struct fuse_entry_out){
			.nodeid = FILE_NODE,
			.attr = file_attr(FILE_NODE),
		};
		return sizeof(struct fuse_entry_out);
	case FUSE_GETATTR:
		*(struct fuse_attr_out *)body = (struct fuse_attr_out){
			.attr = file_attr(in->nodeid),
		};
		return sizeof(struct fuse_attr_out);
	case FUSE_OPEN:
		*(struct fuse_open_out *)body = (struct fuse_open_out){ .fh = 1 };
		return sizeof(struct fuse_open_out);
	default:
		return in->opcode == FUSE_FORGET || in->opcode == FUSE_RELEASE ? -1 : 0;
	}
}

static void *
serve(void *arg)
{
	struct server *server = arg;
	static char request[FUSE_MIN_READ_BUFFER + 4096];
	struct {
		struct fuse_out_header hdr;
		char body[256];
	} answer;
	const struct fuse_in_header *in = (const struct fuse_in_header *)request;

	struct pollfd waits[] = { { .fd = server->device, .events = POLLIN },
		{ .fd = server->stop, .events = POLLIN } };

	while (poll(waits, 2, -1) > 0 && waits[1].revents == 0) {
		int bytes;

		if (read(server->device, request, sizeof(request)) < (ssize_t)sizeof(*in))
			continue;
		memset(&answer, 0, sizeof(answer));
		bytes = make_answer(in, answer.body);
		if (bytes < 0 || __atomic_load_n(&server->mute, __ATOMIC_ACQUIRE))
			continue;
		answer.hdr.unique = in->unique;
		answer.hdr.len = (uint32_t)(sizeof(answer.hdr) + (size_t)bytes);
		assert_int_equal(write(server->device, &answer, answer.hdr.len), answer.hdr.len);
	}
	return NULL;
}

/* Mount the file system and open its file; -1 where that is not allowed. */
static int
server_start(struct server *server)
{
	char options[96], path[64];
	int fd;

	memset(server, 0, sizeof(*server));
	strcpy(server->dir, "/tmp/vpci-fuse-XXXXXX");
	assert_non_null(mkdtemp(server->dir));
	server->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0",
			server->device);
	if (server->device < 0 || mount("test", server->dir, "fuse", 0, options) < 0) {
		if (server->device >= 0)
			close(server->device);
		rmdir(server->dir);
		return -1;
	}
	server->stop = test_eventfd();
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	snprintf(path, sizeof(path), "%s/memory", server->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	__atomic_store_n(&server->mute, true, __ATOMIC_RELEASE);
	return fd;
}

static void
server_unmount(struct server *server)
{
	assert_int_equal(umount2(server->dir, MNT_DETACH), 0);
	rmdir(server->dir);
}

/* Who waits for an answer gets an error. */
static void
server_stop(struct server *server)
{
	uint64_t one = 1;

	assert_int_equal(write(server->stop, &one, sizeof(one)), sizeof(one));
	pthread_join(server->thread, NULL);
	close(server->stop);
	close(server->device);
}

static void
test_file_that_nobody_answers_for(void **state)
{
	struct vhost_pci_mapping *mapping;
	struct server server;
	unsigned int nb_fds = test_nb_fds();
	int fd = server_start(&server);

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(vhost_pci_peer_fd_check_file(fd), -EREMOTE);
	assert_int_equal(vhost_pci_unix_map(fd, 0, 4096, &mapping), -EREMOTE);
	/* A mount that nobody sees. */
	server_unmount(&server);
	assert_int_equal(vhost_pci_peer_fd_check_file(fd), -EREMOTE);
	vhost_pci_peer_fd_close(fd);
	server_stop(&server);
	while (test_nb_fds() > nb_fds)
		sched_yield();
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_file_that_nobody_answers_for),
};

REGISTER_TEST_GROUP(peer_fd_autotest, tests, NULL, NULL);
