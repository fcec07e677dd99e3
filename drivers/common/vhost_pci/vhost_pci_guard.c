/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_notify_fd.h"

/** Ranges in one piece of the table. */
#define CHUNK_GUARDS 64

/** Bytes from our frame to what the kernel says of the signal; with another frame it is more. */
#define KERNEL_FRAME_BYTES 1024

/**
 * A range. The fields that describe it are written while start is 0, so that the signal handler
 * does not look at them.
 */
struct vhost_pci_guard {
	uintptr_t start; /**< Atomic; 0: free, or being filled. */
	uint8_t *pages;  /**< The same as a pointer. */
	size_t bytes;
	size_t page_bytes;
	uintptr_t lost; /**< Atomic; from here on memory is our own. Set by the signal handler. */
	int wake_fd;    /**< Atomic; -1: none. */
	bool is_in_use; /**< Under the lock. */
};

/** A piece of the table; pieces are added and never freed, so that the handler may walk them. */
struct chunk {
	struct chunk *next; /**< Atomic. */
	struct vhost_pci_guard guards[CHUNK_GUARDS];
};

/** All ranges of the process. */
static struct {
	pthread_mutex_t lock;
	struct chunk *chunks;   /**< Atomic. */
	unsigned int nb_guards; /**< In use. */
	uint32_t nb_handling;   /**< Atomic: handlers that look at ranges. */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

/** What SIGBUS did before. */
static struct {
	void (*handler)(int, siginfo_t *, void *); /**< Atomic; for the signal handler. */
	int flags;                                 /**< Atomic; for the signal handler. */
	struct sigaction action;                   /**< All of it, under the lock. */
} previous;

/**
 * This thread is in the previous handler. Of the model that needs no memory at the first use, which
 * a signal handler could not get.
 */
static __thread bool is_passing_on __attribute__((tls_model("initial-exec")));

/** Put zeros in the place of what can't be reached any more. Signal handler. */
static bool
replace_pages(struct vhost_pci_guard *guard, uintptr_t start, uintptr_t address)
{
	uintptr_t first = address - (address - start) % guard->page_bytes;
	uintptr_t lost = vhost_pci_load_acquire(&guard->lost);

	/* Another thread may have come first. Where two come at once both put zeros there. */
	if (first >= lost)
		return true;
	if (mmap(guard->pages + (first - start), lost - first, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			    0) == MAP_FAILED)
		return false;
	/* Partners: the load above, and that in vhost_pci_guard_is_hit(). */
	vhost_pci_store_release(&guard->lost, first);
	vhost_pci_notify_fd_signal(vhost_pci_load_relaxed(&guard->wake_fd), VHOST_PCI_NOTIFY_WRITE);
	return true;
}

/** Find the range of an address, and save it. Signal handler. */
static bool
recover(uintptr_t address)
{
	struct chunk *chunk = vhost_pci_load_acquire(&table.chunks);
	unsigned int i;

	for (; chunk != NULL; chunk = vhost_pci_load_acquire(&chunk->next)) {
		for (i = 0; i < CHUNK_GUARDS; i++) {
			struct vhost_pci_guard *guard = &chunk->guards[i];
			uintptr_t start = vhost_pci_load_full(&guard->start);

			if (start != 0 && address - start < guard->bytes)
				return replace_pages(guard, start, address);
		}
	}
	return false;
}

/** Let a signal have its way that is not ours. Signal handler. */
static void
pass_on(int signum, siginfo_t *info, void *context)
{
	/* For its union of the two kinds of handlers. */
	struct sigaction action = { .sa_sigaction = vhost_pci_load_relaxed(&previous.handler) };
	int flags = vhost_pci_load_relaxed(&previous.flags);

	if (is_passing_on || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
		/* The access is done again, and ends the process where it went wrong. */
		(void)signal(signum, SIG_DFL);
		if (is_passing_on || info->si_code <= 0)
			(void)raise(signum);
		return;
	}
	is_passing_on = true;
	if ((flags & SA_SIGINFO) != 0)
		action.sa_sigaction(signum, info, context);
	else
		action.sa_handler(signum);
	is_passing_on = false;
}

/**
 * Whether a signal comes from the kernel, and not from a handler that has found us for its previous
 * one: what the kernel says of it lies next to the frame that it made for us.
 */
static bool
is_from_kernel(const siginfo_t *info, const void *frame)
{
	return (uintptr_t)info - (uintptr_t)frame < KERNEL_FRAME_BYTES;
}

static void
on_sigbus(int signum, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	bool is_ours;

	/* The last one may have left the previous handler by a jump. */
	if (is_from_kernel(info, __builtin_frame_address(0)))
		is_passing_on = false;
	/* The previous handler has found us for its own previous one: there is no more to be done,
	 * and what came along may be nothing.
	 */
	if (is_passing_on) {
		pass_on(signum, info, context);
		return;
	}
	/* Partner: synchronise(). */
	vhost_pci_add_full(&table.nb_handling, 1);
	/* Not one that was sent by kill(), nor bad memory of this machine's. */
	is_ours = info->si_code == BUS_ADRERR && recover((uintptr_t)info->si_addr);
	vhost_pci_sub_release(&table.nb_handling, 1);
	if (!is_ours)
		pass_on(signum, info, context);
	errno = saved_errno;
}

static bool
is_ours(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_sigbus;
}

/**
 * See to it that our handler is the first.
 *
 * But for the first range a plain handler is left alone: EAL has one while it tries whether there
 * are hugepages, and puts back what it has found.
 */
static int
install(bool is_first)
{
	struct sigaction action = { .sa_sigaction = on_sigbus };
	struct sigaction old;

	if (sigaction(SIGBUS, NULL, &old) < 0)
		return -errno;
	if (is_ours(&old))
		return 0;
	if (!is_first && (old.sa_flags & SA_SIGINFO) == 0 && old.sa_handler != SIG_DFL &&
			old.sa_handler != SIG_IGN)
		return 0;
	previous.action = old;
	vhost_pci_store_relaxed(&previous.flags, old.sa_flags);
	vhost_pci_store_relaxed(&previous.handler, old.sa_sigaction);
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

/** Put back what was there before, unless somebody has come after us, who may rely on us. */
static void
uninstall(void)
{
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) == 0 && is_ours(&now))
		(void)sigaction(SIGBUS, &previous.action, NULL);
}

/** Wait for handlers that may have seen a range as it was. Partner: on_sigbus(). */
static void
synchronise(void)
{
	unsigned int spins = 0;

	while (vhost_pci_load_full(&table.nb_handling) != 0)
		vhost_pci_relax(&spins);
}

/** Find a range that is not in use; NULL where memory is short. */
static struct vhost_pci_guard *
take_guard(void)
{
	struct chunk *chunk;
	unsigned int i;

	for (chunk = table.chunks; chunk != NULL; chunk = chunk->next)
		for (i = 0; i < CHUNK_GUARDS; i++)
			if (!chunk->guards[i].is_in_use)
				return &chunk->guards[i];
	chunk = calloc(1, sizeof(*chunk));
	if (chunk == NULL)
		return NULL;
	chunk->next = table.chunks;
	/* Partner: the load in recover(). */
	vhost_pci_store_release(&table.chunks, chunk);
	return &chunk->guards[0];
}

int
vhost_pci_guard_add(void *pages, size_t bytes, size_t page_bytes, struct vhost_pci_guard **guard)
{
	struct vhost_pci_guard *new_guard;
	int ret;

	pthread_mutex_lock(&table.lock);
	new_guard = take_guard();
	ret = new_guard == NULL ? -ENOMEM : install(table.nb_guards == 0);
	if (ret == 0) {
		table.nb_guards++;
		new_guard->is_in_use = true;
		new_guard->wake_fd = -1;
		new_guard->pages = pages;
		new_guard->bytes = bytes;
		new_guard->page_bytes = page_bytes;
		new_guard->lost = (uintptr_t)pages + bytes;
		/* Partner: the load in recover(). */
		vhost_pci_store_release(&new_guard->start, (uintptr_t)pages);
		*guard = new_guard;
	}
	pthread_mutex_unlock(&table.lock);
	return ret;
}

void
vhost_pci_guard_remove(struct vhost_pci_guard *guard)
{
	if (guard == NULL)
		return;
	pthread_mutex_lock(&table.lock);
	/* Partner: on_sigbus(), which counts itself and then loads start. */
	vhost_pci_store_full(&guard->start, 0);
	synchronise();
	guard->is_in_use = false;
	if (--table.nb_guards == 0)
		uninstall();
	pthread_mutex_unlock(&table.lock);
}

void
vhost_pci_guard_set_wake(struct vhost_pci_guard *guard, int fd)
{
	if (guard != NULL)
		vhost_pci_store_relaxed(&guard->wake_fd, fd);
}

void
vhost_pci_guard_forget(int fd)
{
	struct chunk *chunk;
	unsigned int i;

	if (fd < 0)
		return;
	pthread_mutex_lock(&table.lock);
	for (chunk = table.chunks; chunk != NULL; chunk = chunk->next)
		for (i = 0; i < CHUNK_GUARDS; i++)
			if (chunk->guards[i].is_in_use && chunk->guards[i].wake_fd == fd)
				vhost_pci_store_full(&chunk->guards[i].wake_fd, -1);
	synchronise();
	pthread_mutex_unlock(&table.lock);
}

bool
vhost_pci_guard_is_hit(const struct vhost_pci_guard *guard)
{
	return guard != NULL &&
			vhost_pci_load_acquire(&guard->lost) <
			vhost_pci_load_relaxed(&guard->start) + guard->bytes;
}
