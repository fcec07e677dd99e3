/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Event fds whose owners do all to make the daemon wait, on kernels that help it less. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "notify.h"
#include "test.h"

/** A child that waits longer is killed by an alarm. */
#define PATIENCE_S 20

/** How a child ends that could not be set up. */
#define CHILD_SKIPS 77

#define REFUSE(number, error) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

/** Be on a kernel without asynchronous I/O, and where no read knows flags. */
static bool
refuse_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		REFUSE(SYS_preadv2, EOPNOTSUPP),
		REFUSE(SYS_io_setup, ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/** Run a part of a test in a process of its own: 0 where all in it is as it is to be. */
static void
run_part(int (*part)(void), bool helped)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(PATIENCE_S);
		signal(SIGPIPE, SIG_DFL);
		_exit(helped || refuse_calls() ? part() : CHILD_SKIPS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == CHILD_SKIPS)
		skip();
	if (WEXITSTATUS(status) != 0)
		fail_msg("step %d", WEXITSTATUS(status));
}

/** Run a part on the kernel as it is, and without its help. */
static void
run_both(int (*part)(void))
{
	run_part(part, true);
	run_part(part, false);
}

/** What an owner can do at any time. */
static void
make_blocking(int fd)
{
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/** Take what was signalled: all of it, at once. */
static bool
is_taken(int fd)
{
	int first = notify_take(fd);
	int second = notify_take(fd);

	return first == 1 && second == 0;
}

static int
take_from_socket(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
			notify_prepare(fds[0]) != 0)
		return 1;
	make_blocking(fds[0]);
	if (notify_take(fds[0]) != 0)
		return 2;
	notify_signal(fds[1]);
	if (!is_taken(fds[0]))
		return 3;
	close(fds[1]);
	return notify_take(fds[0]) == -EPIPE ? 0 : 4;
}

static int
take_from_socket_with_fd(void)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 3600 };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	uint64_t one = 1;
	struct iovec part = { &one, sizeof(one) };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct linger after;
	socklen_t bytes = sizeof(after);
	int fds[2], sent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sent < 0 || setsockopt(sent, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ||
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
			notify_prepare(fds[0]) != 0)
		return 1;
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(sent));
	memcpy(CMSG_DATA(&control.align), &sent, sizeof(sent));
	if (sendmsg(fds[1], &message, MSG_NOSIGNAL) != sizeof(one))
		return 2;
	if (!is_taken(fds[0]))
		return 3;
	/* what came along was closed, in a way that would not have waited */
	if (getsockopt(sent, SOL_SOCKET, SO_LINGER, &after, &bytes) < 0 || after.l_onoff)
		return 4;
	return 0;
}

static int
take_from_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0 || notify_prepare(fd) != 0)
		return 1;
	make_blocking(fd);
	if (notify_take(fd) != 0)
		return 2;
	notify_signal(fd);
	return is_taken(fd) ? 0 : 3;
}

static int
take_from_pipe(void)
{
	int fds[2], owners;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return 1;
	owners = dup(fds[0]);
	if (owners < 0 || notify_prepare(fds[0]) != 0 || notify_prepare(fds[1]) != 0)
		return 2;
	make_blocking(owners);
	if (notify_take(fds[0]) != 0)
		return 3;
	notify_signal(fds[1]);
	if (!is_taken(fds[0]))
		return 4;
	close(fds[1]);
	return notify_take(fds[0]) == -EPIPE ? 0 : 5;
}

static int
signal_socket(void)
{
	unsigned int i;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
			notify_prepare(fds[0]) != 0)
		return 1;
	make_blocking(fds[0]);
	/* far more than a socket has room for */
	for (i = 0; i < 100000; i++)
		notify_signal(fds[0]);
	/* and nobody there to read it: no signal ends us */
	close(fds[1]);
	notify_signal(fds[0]);
	return 0;
}

static int
signal_eventfd(void)
{
	const uint64_t full = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0 || notify_prepare(fd) != 0 || write(fd, &full, sizeof(full)) < 0)
		return 1;
	make_blocking(fd);
	notify_signal(fd);
	return notify_take(fd) == 1 ? 0 : 2;
}

static void
test_take_from_socket(void **state)
{
	(void)state;
	run_both(take_from_socket);
}

static void
test_take_from_socket_with_fd(void **state)
{
	(void)state;
	run_both(take_from_socket_with_fd);
}

static void
test_take_from_eventfd(void **state)
{
	(void)state;
	run_both(take_from_eventfd);
}

static void
test_take_from_pipe(void **state)
{
	(void)state;
	run_both(take_from_pipe);
}

static void
test_signal_socket(void **state)
{
	(void)state;
	run_both(signal_socket);
}

static void
test_signal_eventfd(void **state)
{
	(void)state;
	run_both(signal_eventfd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_take_from_socket),
	cmocka_unit_test(test_take_from_socket_with_fd),
	cmocka_unit_test(test_take_from_eventfd),
	cmocka_unit_test(test_take_from_pipe),
	cmocka_unit_test(test_signal_socket),
	cmocka_unit_test(test_signal_eventfd),
};

REGISTER_TEST_GROUP(notify_autotest, tests, NULL, NULL);
