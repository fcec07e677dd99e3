/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Back-ends that are killed, one after the other, at any moment while the driver goes on, and at
 * each of their instructions that has changed what they share: every chain comes back exactly once.
 */

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/ptrace.h>
#include <sys/wait.h>

#include "inflight_area.h"
#include "ring_driver.h"
#include "test.h"

/** How many back-ends are killed, unless the environment says otherwise. */
#define NB_KILLS     12
#define NB_KILLS_ENV "VHOST_PCI_TEST_KILLS"

/** Chains that a back-end holds at most, to be returned in any order. */
#define MAX_HELD 16

/** Buffers of a chain at most, directly and in a table. */
#define MAX_DIRECT   3
#define MAX_INDIRECT 4

/** Seconds without any chain, after which they are lost. */
#define PATIENCE 20

/** Back-ends that are followed step by step, and how often each polls. */
#define NB_STEPPED 2
#define NB_POLLS   12

/** How often a back-end has changed something when the driver goes on. */
#define NB_CHANGES_TO_REFILL 32

/** The parts that a back-end writes to: the ring's and the area. */
#define NB_PARTS 3

/** The driver's part: what it is waiting for. */
struct driver {
	struct ring ring;
	struct inflight_area area;
	uint64_t seed;
	uint32_t *len; /**< By id: bytes of the chain that was offered. */
	uint64_t nb_offered;
	uint64_t nb_returned;
};

/** A back-end: takes chains, returns them in any order, sometimes puts the last ones back. */
static void
poll_once(struct ring *ring, uint64_t *seed, struct vhost_pci_chain *held, unsigned int *nb_held)
{
	struct vhost_pci_cursor cursor = vhost_pci_ring_save(ring->vr);
	unsigned int nb_before = *nb_held;
	unsigned int i;

	vhost_pci_ring_begin(ring->vr);
	while (*nb_held < MAX_HELD && ring_random(seed) % 8 != 0 &&
			ring_next(ring, &held[*nb_held], VHOST_PCI_DEQUEUE) > 0) {
		(*nb_held)++;
		vhost_pci_ring_drop_segs(ring->vr);
	}
	if (ring_random(seed) % 4 == 0) {
		ring_restore(ring, cursor);
		*nb_held = nb_before;
	}
	while (*nb_held > 0 && ring_random(seed) % 4 != 0) {
		i = ring_random(seed) % *nb_held;
		ring_put(ring, &held[i], held[i].len);
		held[i] = held[--*nb_held];
	}
	ring_end(ring);
}

/** Begin where the last back-end was killed. */
static int
begin(struct driver *driver)
{
	struct ring *ring = &driver->ring;

	return inflight_begin(ring, &driver->area,
			ring->is_packed ? RING_PACKED_START : ring->used->idx);
}

/** Where the harness would go on with the test, a child process is to die. */
static void
leave_harness(void)
{
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
}

/** The life of a back-end, in a process of its own: until it is killed, or its parent is gone. */
static void
run_backend(struct driver *driver, uint64_t seed)
{
	struct ring *ring = &driver->ring;
	struct vhost_pci_chain held[MAX_HELD];
	pid_t parent = getppid();
	unsigned int nb_held = 0;

	leave_harness();
	if (begin(driver) < 0)
		_exit(1);
	while (getppid() == parent && ring->vr->error == VHOST_PCI_VRING_OK)
		poll_once(ring, &seed, held, &nb_held);
	_exit(2);
}

/** Offer a chain of any shape, if there is room. */
static void
offer(struct driver *driver)
{
	struct ring *ring = &driver->ring;
	struct ring_buf bufs[MAX_DIRECT + MAX_INDIRECT];
	struct ring_offer offer = { .bufs = bufs };
	uint32_t len = 0;
	unsigned int i;
	int id;

	if (ring->nb_free_ids == 0)
		return;
	offer.nb_direct = (uint16_t)(ring_random(&driver->seed) % MAX_DIRECT);
	offer.nb_indirect = (uint16_t)(ring_random(&driver->seed) % MAX_INDIRECT);
	if (offer.nb_direct + offer.nb_indirect == 0)
		offer.nb_direct = 1;
	/* Each chain has a table of its own: the id it will have is the next free one. */
	offer.table_gpa = RING_HIGH_GPA +
			ring->free_ids[ring->nb_free_ids - 1] * 16u * MAX_INDIRECT;
	for (i = 0; i < (unsigned int)offer.nb_direct + offer.nb_indirect; i++) {
		bufs[i].gpa = RING_LOW_GPA;
		bufs[i].len = 1 + ring_random(&driver->seed) % 1000;
		len += bufs[i].len;
	}
	id = ring_offer(ring, &offer);
	if (id < 0)
		return;
	driver->len[id] = len;
	driver->nb_offered++;
	ring_publish(ring);
}

/** Take all that came back: ring_get_used() fails the test for a chain that is not under way. */
static unsigned int
reap(struct driver *driver)
{
	unsigned int nb = 0;
	uint32_t id, len;

	while (ring_get_used(&driver->ring, &id, &len)) {
		assert_int_equal(len, driver->len[id]);
		driver->nb_returned++;
		nb++;
	}
	return nb;
}

/** Fail where the back-end ended by itself, or no chain has come back for long. */
static void
check_alive(pid_t pid, time_t last)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid)
		fail_msg("the back-end ended with status 0x%x", status);
	if (time(NULL) - last > PATIENCE)
		fail_msg("no chain has come back for %u seconds", PATIENCE);
}

/** Drive the ring until so many more chains came back, or (without new ones) all of them. */
static void
drive(struct driver *driver, pid_t pid, uint64_t nb_more, bool drain)
{
	uint64_t nb_wanted = drain ? driver->nb_offered : driver->nb_returned + nb_more;
	time_t last = time(NULL);

	while (driver->nb_returned < nb_wanted) {
		if (!drain)
			offer(driver);
		if (reap(driver) > 0)
			last = time(NULL);
		else
			check_alive(pid, last);
	}
}

static pid_t
start_backend(struct driver *driver)
{
	uint64_t seed = ring_random(&driver->seed);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		run_backend(driver, seed);
	return pid;
}

static void
kill_backend(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void
open_driver(struct driver *driver, const void *conf)
{
	ring_open(&driver->ring, conf);
	inflight_area_open(&driver->area, driver->ring.is_packed, driver->ring.size);
	vhost_pci_vring_pause(driver->ring.vr);
	driver->len = calloc(driver->ring.size, sizeof(*driver->len));
	assert_non_null(driver->len);
}

/** All that was offered has come back, and the area knows of no chain. */
static void
close_driver(struct driver *driver)
{
	assert_int_equal(driver->nb_returned, driver->nb_offered);
	assert_int_equal(inflight_area_count(&driver->area), 0);
	free(driver->len);
	ring_close(&driver->ring);
	inflight_area_close(&driver->area);
}

static void
test_every_chain_returns_once(void **state)
{
	const char *env = getenv(NB_KILLS_ENV);
	unsigned long nb_kills = env != NULL ? strtoul(env, NULL, 10) : NB_KILLS;
	struct driver driver = { .seed = 42 };
	unsigned long i;
	pid_t pid;

	open_driver(&driver, *state);
	for (i = 0; i < nb_kills; i++) {
		pid = start_backend(&driver);
		drive(&driver, pid, ring_random(&driver.seed) % 200, false);
		kill_backend(pid);
	}
	pid = start_backend(&driver);
	drive(&driver, pid, 0, true);
	kill_backend(pid);
	reap(&driver);
	close_driver(&driver);
}

/** What a back-end shares, and a copy of it. */
struct shared {
	struct {
		uint8_t *map;
		uint8_t *kept;
		size_t bytes;
	} part[NB_PARTS];
};

static void
add_part(struct shared *shared, unsigned int i, void *map, size_t bytes)
{
	shared->part[i].map = map;
	shared->part[i].bytes = bytes;
	shared->part[i].kept = malloc(bytes);
	assert_non_null(shared->part[i].kept);
}

static void
open_shared(struct shared *shared, const struct driver *driver)
{
	const struct vhost_pci_mem_region *region = driver->ring.mem->region;

	add_part(shared, 0, region[RING_REGION_DESC].va, region[RING_REGION_DESC].size);
	add_part(shared, 1, region[RING_REGION_DEVICE].va, region[RING_REGION_DEVICE].size);
	add_part(shared, 2, driver->area.map, driver->area.bytes);
}

static void
close_shared(struct shared *shared)
{
	unsigned int i;

	for (i = 0; i < NB_PARTS; i++)
		free(shared->part[i].kept);
}

/** Keep what is there now. Returns whether it is not what was kept. */
static bool
keep_shared(struct shared *shared)
{
	bool changed = false;
	unsigned int i;

	for (i = 0; i < NB_PARTS; i++) {
		if (memcmp(shared->part[i].kept, shared->part[i].map, shared->part[i].bytes) == 0)
			continue;
		memcpy(shared->part[i].kept, shared->part[i].map, shared->part[i].bytes);
		changed = true;
	}
	return changed;
}

static void
restore_shared(struct shared *shared)
{
	unsigned int i;

	for (i = 0; i < NB_PARTS; i++)
		memcpy(shared->part[i].map, shared->part[i].kept, shared->part[i].bytes);
}

/** A back-end that begins now, takes all there is, and returns it. */
static void
succeed(struct driver *driver)
{
	struct ring *ring = &driver->ring;
	struct vhost_pci_chain chain;

	assert_int_equal(begin(driver), 0);
	vhost_pci_ring_begin(ring->vr);
	while (ring_next(ring, &chain, VHOST_PCI_DEQUEUE) > 0) {
		ring_put(ring, &chain, chain.len);
		vhost_pci_ring_drop_segs(ring->vr);
	}
	ring_end(ring);
	assert_int_equal(ring->vr->error, VHOST_PCI_VRING_OK);
	vhost_pci_vring_pause(ring->vr);
	vhost_pci_inflight_close(ring->vr);
	reap(driver);
	assert_int_equal(driver->nb_returned, driver->nb_offered);
}

/** Try what would be if the back-end were killed now; nothing of it remains. */
static void
try_to_succeed(struct driver *driver)
{
	const struct driver before = *driver;
	const struct ring *ring = &before.ring;
	size_t bytes = ring->size * sizeof(uint16_t);
	uint16_t *ids = malloc(2 * bytes);

	assert_non_null(ids);
	memcpy(ids, ring->free_ids, bytes);
	memcpy(ids + ring->size, ring->nb_descs, bytes);
	succeed(driver);
	*driver = before;
	memcpy(ring->free_ids, ids, bytes);
	memcpy(ring->nb_descs, ids + ring->size, bytes);
	free(ids);
}

/** A back-end that lets itself be followed, polls some times, and then is dead as if killed. */
static void
run_stepped(struct driver *driver, uint64_t seed)
{
	struct vhost_pci_chain held[MAX_HELD];
	unsigned int nb_held = 0;
	unsigned int i;

	leave_harness();
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(1);
	raise(SIGSTOP);
	if (begin(driver) < 0)
		_exit(2);
	for (i = 0; i < NB_POLLS && driver->ring.vr->error == VHOST_PCI_VRING_OK; i++)
		poll_once(&driver->ring, &seed, held, &nb_held);
	_exit(driver->ring.vr->error == VHOST_PCI_VRING_OK ? 0 : 3);
}

/** The driver goes on: takes what came back, and offers as much as there is room for. */
static void
refill(struct driver *driver)
{
	unsigned int i;

	reap(driver);
	for (i = 0; i < driver->ring.size; i++)
		offer(driver);
}

/** Follow a back-end. Returns how often it has changed what is shared. */
static unsigned int
step_backend(struct driver *driver, struct shared *shared)
{
	uint64_t seed = ring_random(&driver->seed);
	unsigned int nb_changes = 0;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		run_stepped(driver, seed);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL), 0);
	keep_shared(shared);
	while (WIFSTOPPED(status)) {
		if (keep_shared(shared)) {
			nb_changes++;
			try_to_succeed(driver);
			restore_shared(shared);
			if (nb_changes % NB_CHANGES_TO_REFILL == 0) {
				refill(driver);
				keep_shared(shared);
			}
		}
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFSTOPPED(status))
			assert_int_equal(WSTOPSIG(status), SIGTRAP);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return nb_changes;
}

static void
test_killed_at_each_step(void **state)
{
	struct driver driver = { .seed = 43 };
	struct shared shared;
	cpu_set_t cpus, here;
	unsigned int i;

#ifdef __SANITIZE_THREAD__
	print_message("# one thread at a time, and many more steps with its sanitizer\n");
	skip();
#endif
	/* Two that take turns need not wake each other's processor. */
	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CPU_ZERO(&here);
	CPU_SET((unsigned int)sched_getcpu(), &here);
	assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
	/* Large memory comes from the kernel each time, instead of being cleared step by step. */
	mallopt(M_MMAP_THRESHOLD, 1 << 16);
	mallopt(M_PERTURB, 0);
	open_driver(&driver, *state);
	open_shared(&shared, &driver);
	for (i = 0; i < NB_STEPPED; i++) {
		refill(&driver);
		assert_true(step_backend(&driver, &shared) > NB_POLLS);
		reap(&driver);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
	succeed(&driver);
	close_shared(&shared);
	close_driver(&driver);
}

static const struct CMUnitTest tests[] = {
	RING_BOTH_FORMATS(test_every_chain_returns_once),
	RING_BOTH_FORMATS(test_killed_at_each_step),
};

REGISTER_TEST_GROUP(inflight_kill_autotest, tests, NULL, NULL);
