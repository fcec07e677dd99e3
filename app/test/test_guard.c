/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Files that are truncated while they are mapped: the access is survived. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "vhost_pci_barrier.h"
#include "vhost_pci_guard.h"
#include "vhost_pci_transport_unix.h"

#define PAGE       4096u
#define FILE_PAGES 8u
#define FILE_BYTES ((size_t)FILE_PAGES * PAGE)

/* Rounds in which threads run into memory that goes away. */
#define NB_ROUNDS  200
#define NB_READERS 4

/** A file, mapped and guarded. */
struct file {
	int fd;
	struct vhost_pci_mapping *mapping;
};

static struct file
open_file(void)
{
	struct file file = { .fd = test_memfd(FILE_BYTES, false) };

	assert_int_equal(vhost_pci_unix_map(file.fd, 0, FILE_BYTES, &file.mapping), 0);
	memset(file.mapping->va, 0x5a, FILE_BYTES);
	return file;
}

static void
close_file(struct file *file)
{
	vhost_pci_mapping_put(file->mapping);
	close(file->fd);
}

/** One load that the compiler leaves where it is. */
static uint8_t
load(const struct file *file, size_t offset)
{
	return vhost_pci_load_relaxed(&file->mapping->va[offset]);
}

static void
test_truncated_file_reads_as_zeros(void **state)
{
	struct file file = open_file();

	(void)state;
	assert_int_equal(ftruncate(file.fd, 3 * PAGE), 0);
	assert_false(vhost_pci_guard_is_hit(file.mapping->guard));
	assert_int_equal(load(&file, 5 * PAGE + 7), 0);
	assert_true(vhost_pci_guard_is_hit(file.mapping->guard));
	/* What is still there is as it was; the page before the first fault has one of its own. */
	assert_int_equal(load(&file, 3 * PAGE - 1), 0x5a);
	assert_int_equal(load(&file, 3 * PAGE), 0);
	assert_int_equal(load(&file, FILE_BYTES - 1), 0);
	close_file(&file);
	assert_int_equal(test_nb_mappings(), 0);
}

static void
test_truncated_file_can_be_written(void **state)
{
	struct file file = open_file();

	(void)state;
	assert_int_equal(ftruncate(file.fd, 0), 0);
	vhost_pci_store_relaxed(&file.mapping->va[PAGE], 1);
	assert_int_equal(load(&file, PAGE), 1);
	assert_int_equal(load(&file, 0), 0);
	/* It grows again, and the memory is ours all the same. */
	assert_int_equal(ftruncate(file.fd, (off_t)FILE_BYTES), 0);
	assert_int_equal(load(&file, PAGE), 1);
	close_file(&file);
}

static void
test_other_mapping_of_the_file_is_its_own(void **state)
{
	struct file file = open_file();
	struct vhost_pci_mapping *other;

	(void)state;
	assert_int_equal(vhost_pci_unix_map(file.fd, 0, FILE_BYTES, &other), 0);
	assert_int_equal(ftruncate(file.fd, PAGE), 0);
	assert_int_equal(load(&file, PAGE), 0);
	assert_false(vhost_pci_guard_is_hit(other->guard));
	assert_int_equal(vhost_pci_load_relaxed(&other->va[PAGE]), 0);
	assert_true(vhost_pci_guard_is_hit(other->guard));
	vhost_pci_mapping_put(other);
	close_file(&file);
}

static void
test_control_is_woken(void **state)
{
	struct file file = open_file();
	int fd = test_eventfd();

	(void)state;
	vhost_pci_guard_set_wake(file.mapping->guard, fd);
	assert_int_equal(ftruncate(file.fd, 0), 0);
	errno = 77;
	assert_int_equal(load(&file, PAGE), 0);
	assert_int_equal(errno, 77);
	assert_int_equal(test_eventfd_read(fd), 1);
	vhost_pci_guard_forget(fd);
	assert_int_equal(load(&file, 0), 0);
	assert_int_equal(test_eventfd_read(fd), 0);
	close(fd);
	close_file(&file);
}

static void
test_huge_pages(void **state)
{
	const size_t huge = (size_t)2 << 20;
	struct file file = { .fd = memfd_create("vhost-pci-test", MFD_CLOEXEC | MFD_HUGETLB) };
	void *probe;

	(void)state;
	if (file.fd < 0 || ftruncate(file.fd, (off_t)(2 * huge)) < 0) {
		print_message("# no huge pages of 2 MB\n");
		skip();
	}
	probe = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	if (probe == MAP_FAILED) {
		close(file.fd);
		print_message("# no huge pages of 2 MB are free\n");
		skip();
	}
	munmap(probe, 2 * huge);
	assert_int_equal(vhost_pci_unix_map(file.fd, 0, 2 * huge, &file.mapping), 0);
	vhost_pci_store_relaxed(&file.mapping->va[0], 1);
	assert_int_equal(ftruncate(file.fd, (off_t)huge), 0);
	assert_int_equal(load(&file, huge + 12345), 0);
	assert_int_equal(load(&file, 0), 1);
	close_file(&file);
	assert_int_equal(test_nb_mappings(), 0);
}

/** Reads all of a file until its last page reads as zeros. */
static void *
read_all(void *arg)
{
	const struct file *file = arg;
	size_t page;

	do {
		for (page = 0; page < FILE_PAGES; page++)
			(void)load(file, page * PAGE);
	} while (load(file, FILE_BYTES - 1) != 0);
	return NULL;
}

static void
test_threads_that_fault_at_once(void **state)
{
	pthread_t threads[NB_READERS];
	unsigned int round, i;

	(void)state;
	for (round = 0; round < NB_ROUNDS; round++) {
		struct file file = open_file();
		struct file other = open_file();

		for (i = 0; i < NB_READERS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, read_all, &file), 0);
		assert_int_equal(ftruncate(file.fd, (off_t)(round % FILE_PAGES) * PAGE), 0);
		/* Ranges come and go while others are looked up. */
		close_file(&other);
		for (i = 0; i < NB_READERS; i++)
			pthread_join(threads[i], NULL);
		close_file(&file);
	}
}

/* The signal that was there before */

static sigjmp_buf escape;
static void *volatile faulted; /* Where the test's own handler was called for. */

static void
on_fault(int signum, siginfo_t *info, void *context)
{
	(void)signum;
	(void)context;
	faulted = info->si_addr;
	/* As EAL's handler does for a device that was unplugged: memory takes its place. */
	if (mmap(info->si_addr, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			MAP_FAILED)
		_exit(1);
}

static void
on_plain_fault(int signum)
{
	(void)signum;
	siglongjmp(escape, 1);
}

static bool
handler_is(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction now;

	assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
	return now.sa_sigaction == handler;
}

/** A page that no guard has, of a file that is cut short. */
static uint8_t *
map_hole(void)
{
	int fd = test_memfd(PAGE, false);
	void *va = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(va != MAP_FAILED);
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	return va;
}

static void
test_other_faults_go_to_the_handler_before(void **state)
{
	struct sigaction own = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct sigaction before;
	uint8_t *hole = map_hole();
	struct file file;

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &own, &before), 0);
	file = open_file();
	assert_false(handler_is(on_fault));
	assert_int_equal(vhost_pci_load_relaxed(hole), 0);
	assert_ptr_equal(faulted, hole);
	/* Ours is still there, and goes with the last of the memory. */
	assert_int_equal(ftruncate(file.fd, 0), 0);
	assert_int_equal(load(&file, 0), 0);
	close_file(&file);
	assert_true(handler_is(on_fault));
	munmap(hole, PAGE);
	assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
}

static void
test_plain_handler_before(void **state)
{
	struct sigaction own = { .sa_handler = on_plain_fault, .sa_flags = SA_NODEFER };
	struct sigaction before;
	uint8_t *hole = map_hole();
	volatile bool escaped = false;
	struct file file;

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &own, &before), 0);
	file = open_file();
	if (sigsetjmp(escape, 1) == 0)
		(void)vhost_pci_load_relaxed(hole);
	else
		escaped = true;
	assert_true(escaped);
	close_file(&file);
	munmap(hole, PAGE);
	assert_int_equal(sigaction(SIGBUS, &before, NULL), 0);
}

static void
test_handler_that_comes_later_is_before_with_the_next_memory(void **state)
{
	struct sigaction own = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct file file = open_file(), second;
	struct sigaction ours;
	uint8_t *hole = map_hole();

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &own, &ours), 0);
	second = open_file();
	assert_true(handler_is(ours.sa_sigaction));
	faulted = NULL;
	assert_int_equal(ftruncate(file.fd, 0), 0);
	assert_int_equal(load(&file, 0), 0);
	assert_null(faulted);
	assert_int_equal(vhost_pci_load_relaxed(hole), 0);
	assert_ptr_equal(faulted, hole);
	close_file(&second);
	close_file(&file);
	munmap(hole, PAGE);
	(void)signal(SIGBUS, SIG_DFL);
}

/** What ends a process that does something; 0: nothing. */
static int
signal_of(void (*act)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		act();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
act_fault_elsewhere(void)
{
	struct file file;

	(void)signal(SIGBUS, SIG_DFL);
	file = open_file();
	(void)load(&file, 0);
	(void)vhost_pci_load_relaxed(map_hole());
}

static void
act_kill(void)
{
	(void)signal(SIGBUS, SIG_DFL);
	(void)open_file();
	(void)kill(getpid(), SIGBUS);
}

/** Enabled after ours, and with ours for its previous one: as EAL's, it forgets the address. */
static struct sigaction found;

static void
on_fault_of_eal(int signum, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	found.sa_handler(signum);
}

static void
act_two_that_find_each_other(void)
{
	struct sigaction eal = { .sa_sigaction = on_fault_of_eal, .sa_flags = SA_SIGINFO };

	(void)signal(SIGBUS, SIG_DFL);
	(void)open_file();
	(void)sigaction(SIGBUS, &eal, &found);
	(void)open_file();
	(void)vhost_pci_load_relaxed(map_hole());
}

static void
test_other_faults_without_a_handler_end_the_process(void **state)
{
	(void)state;
	assert_int_equal(signal_of(act_fault_elsewhere), SIGBUS);
	assert_int_equal(signal_of(act_kill), SIGBUS);
	assert_int_equal(signal_of(act_two_that_find_each_other), SIGBUS);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_truncated_file_reads_as_zeros),
	cmocka_unit_test(test_truncated_file_can_be_written),
	cmocka_unit_test(test_other_mapping_of_the_file_is_its_own),
	cmocka_unit_test(test_control_is_woken),
	cmocka_unit_test(test_huge_pages),
	cmocka_unit_test(test_threads_that_fault_at_once),
	cmocka_unit_test(test_other_faults_go_to_the_handler_before),
	cmocka_unit_test(test_plain_handler_before),
	cmocka_unit_test(test_handler_that_comes_later_is_before_with_the_next_memory),
	cmocka_unit_test(test_other_faults_without_a_handler_end_the_process),
};

REGISTER_TEST_GROUP(guard_autotest, tests, NULL, NULL);
