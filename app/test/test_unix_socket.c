/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_transport_unix.h"

/** A folder of the test's own and a path in it. */
struct place {
	char dir[64];
	char path[96];
	unsigned int nb_fds;
};

static int
setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	snprintf(place->dir, sizeof(place->dir), "/tmp/vhost-pci-test.XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->path, sizeof(place->path), "%s/sock", place->dir);
	place->nb_fds = test_nb_fds();
	*state = place;
	return 0;
}

static int
teardown(void **state)
{
	struct place *place = *state;
	bool clean = test_nb_fds() == place->nb_fds;

	unlink(place->path);
	rmdir(place->dir);
	free(place);
	return clean ? 0 : -1;
}

static int
listen_on(const char *path)
{
	int fd = vhost_pci_unix_listen(path);

	assert_true(fd >= 0);
	return fd;
}

/** Leave a socket file behind that nobody is bound to. */
static void
leave_stale(const char *path)
{
	close(listen_on(path));
	assert_int_equal(access(path, F_OK), 0);
}

static void
test_path_that_does_not_fit(void **state)
{
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];

	(void)state;
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(vhost_pci_unix_listen(path), -ENAMETOOLONG);
	assert_int_equal(vhost_pci_unix_connect(path), -ENAMETOOLONG);
}

static void
test_longest_path(void **state)
{
	struct place *place = *state;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int fd;

	memset(path, 'x', sizeof(path));
	memcpy(path, place->dir, strlen(place->dir));
	path[strlen(place->dir)] = '/';
	path[sizeof(path) - 1] = '\0';
	fd = listen_on(path);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

static void
test_empty_path(void **state)
{
	(void)state;
	assert_int_equal(vhost_pci_unix_listen(""), -EINVAL);
	assert_int_equal(vhost_pci_unix_connect(""), -EINVAL);
}

static void
test_path_in_a_folder_that_is_not_there(void **state)
{
	(void)state;
	assert_int_equal(vhost_pci_unix_listen("/nonexistent/sock"), -ENOENT);
	assert_int_equal(vhost_pci_unix_connect("/nonexistent/sock"), -ENOENT);
}

static void
test_sockets_do_not_block_and_are_not_inherited(void **state)
{
	struct place *place = *state;
	int fds[3];
	int i;

	fds[0] = listen_on(place->path);
	fds[1] = vhost_pci_unix_connect(place->path);
	fds[2] = vhost_pci_unix_accept(fds[0]);
	for (i = 0; i < 3; i++) {
		assert_true(fds[i] >= 0);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
}

static void
test_nobody_to_accept(void **state)
{
	struct place *place = *state;
	int fd = listen_on(place->path);

	assert_int_equal(vhost_pci_unix_accept(fd), -EAGAIN);
	close(fd);
}

static void
test_stale_socket_file_is_replaced(void **state)
{
	struct place *place = *state;
	int fd, client;

	leave_stale(place->path);
	fd = listen_on(place->path);
	client = vhost_pci_unix_connect(place->path);
	assert_true(client >= 0);
	close(client);
	close(fd);
}

static void
test_path_in_use_is_refused_and_its_listener_not_disturbed(void **state)
{
	struct place *place = *state;
	int fd = listen_on(place->path);
	int client;

	assert_int_equal(vhost_pci_unix_listen(place->path), -EADDRINUSE);
	assert_int_equal(vhost_pci_unix_accept(fd), -EAGAIN);
	client = vhost_pci_unix_connect(place->path);
	assert_true(client >= 0);
	close(client);
	close(fd);
}

static void
test_path_of_a_datagram_socket_is_in_use(void **state)
{
	struct place *place = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, place->path, strlen(place->path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(vhost_pci_unix_listen(place->path), -EADDRINUSE);
	close(fd);
}

static void
test_file_that_is_no_socket_is_left_alone(void **state)
{
	struct place *place = *state;
	struct stat status;
	int fd = open(place->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	close(fd);
	assert_int_equal(vhost_pci_unix_listen(place->path), -EADDRINUSE);
	assert_int_equal(stat(place->path, &status), 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(vhost_pci_unix_connect(place->path), -ECONNREFUSED);
}

static void
test_connect_to_a_stale_socket_file(void **state)
{
	struct place *place = *state;

	leave_stale(place->path);
	assert_int_equal(vhost_pci_unix_connect(place->path), -ECONNREFUSED);
}

static void
test_connect_where_the_backlog_is_full(void **state)
{
	struct place *place = *state;
	int fd = listen_on(place->path);
	int clients[1024];
	int nb = 0;
	int ret;

	do {
		ret = vhost_pci_unix_connect(place->path);
		if (ret >= 0)
			clients[nb++] = ret;
	} while (ret >= 0 && nb < 1024);
	assert_int_equal(ret, -EAGAIN);
	while (nb > 0)
		close(clients[--nb]);
	close(fd);
}

#define PLACE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	PLACE_TEST(test_path_that_does_not_fit),
	PLACE_TEST(test_longest_path),
	PLACE_TEST(test_empty_path),
	PLACE_TEST(test_path_in_a_folder_that_is_not_there),
	PLACE_TEST(test_sockets_do_not_block_and_are_not_inherited),
	PLACE_TEST(test_nobody_to_accept),
	PLACE_TEST(test_stale_socket_file_is_replaced),
	PLACE_TEST(test_path_in_use_is_refused_and_its_listener_not_disturbed),
	PLACE_TEST(test_path_of_a_datagram_socket_is_in_use),
	PLACE_TEST(test_file_that_is_no_socket_is_left_alone),
	PLACE_TEST(test_connect_to_a_stale_socket_file),
	PLACE_TEST(test_connect_where_the_backlog_is_full),
};

REGISTER_TEST_GROUP(unix_socket_autotest, tests, NULL, NULL);
