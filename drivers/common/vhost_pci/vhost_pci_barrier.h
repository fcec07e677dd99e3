/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Every memory ordering that the engine uses on memory shared with a peer or between the
 * control thread and the data path, by name. A caller names the partner of each access.
 *
 * Shared memory is only ever touched through these accessors: each is exactly one load or one
 * store of the natural width, so that a peer which rewrites a field is seen once or not at all.
 */

#ifndef VHOST_PCI_BARRIER_H
#define VHOST_PCI_BARRIER_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		"virtqueues are accessed in place, as little-endian");

#define vhost_pci_likely(x)   __builtin_expect(!!(x), 1)
#define vhost_pci_unlikely(x) __builtin_expect(!!(x), 0)

/* Compilers tell in their own ways that the program is built with ThreadSanitizer. */
#if defined(__SANITIZE_THREAD__)
#define VHOST_PCI_THREAD_CHECKER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VHOST_PCI_THREAD_CHECKER
#endif
#endif

/** Inline whatever the compiler thinks: the ring format is a constant argument of the callee. */
#define VHOST_PCI_ALWAYS_INLINE static inline __attribute__((always_inline))

/** Size of a cache line in bytes; groups of fields with different owners are this far apart. */
#define VHOST_PCI_CACHE_LINE 64

/** Start a group of fields that one thread owns on a cache line of its own. */
#define VHOST_PCI_CACHE_ALIGNED __attribute__((aligned(VHOST_PCI_CACHE_LINE)))

/** A word that peer memory is read by, whatever the type of the fields that it covers. */
typedef uint64_t __attribute__((__may_alias__)) vhost_pci_word64;
/** The same for 32 bits. */
typedef uint32_t __attribute__((__may_alias__)) vhost_pci_word32;

/** One load, no order: a value that is checked, or that another access has already ordered. */
#define vhost_pci_load_relaxed(ptr) __atomic_load_n((ptr), __ATOMIC_RELAXED)

/** One store, no order: published later by a store-release. */
#define vhost_pci_store_relaxed(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELAXED)

/** One load; what the partner wrote before its store-release is visible after it. */
#define vhost_pci_load_acquire(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)

/** One store; everything before it is visible to a partner that load-acquires the value. */
#define vhost_pci_store_release(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)

/** One store that is seen before any later vhost_pci_load_full() of this thread is done. */
#define vhost_pci_store_full(ptr, value) \
	((void)__atomic_exchange_n((ptr), (value), __ATOMIC_SEQ_CST))

/** One load; acquires, and is done after each earlier vhost_pci_store_full() was seen. */
#define vhost_pci_load_full(ptr) __atomic_load_n((ptr), __ATOMIC_SEQ_CST)

/** Add to what several threads count; seen before any later vhost_pci_load_full() is done. */
#define vhost_pci_add_full(ptr, nb) ((void)__atomic_fetch_add((ptr), (nb), __ATOMIC_SEQ_CST))

/** Subtract again; everything before it is visible to a partner that load-acquires the value. */
#define vhost_pci_sub_release(ptr, nb) ((void)__atomic_fetch_sub((ptr), (nb), __ATOMIC_RELEASE))

/** Set bits of what a partner reads and clears at once; everything before it is visible then. */
#define vhost_pci_or_release(ptr, bits) ((void)__atomic_fetch_or((ptr), (bits), __ATOMIC_RELEASE))

/** Count events: one thread adds, any thread reads with vhost_pci_load_relaxed(). */
#define vhost_pci_count(ptr, nb) vhost_pci_store_relaxed((ptr), vhost_pci_load_relaxed(ptr) + (nb))

/**
 * Order all earlier stores before all later loads (the store-load case of event suppression:
 * publish an index, then read whether the partner wants to be told).
 *
 * ThreadSanitizer does not follow fences; it is given an exchange, which it does.
 */
static inline void
vhost_pci_fence_full(void)
{
#if defined(VHOST_PCI_THREAD_CHECKER)
	uint32_t dummy = 0;

	(void)__atomic_exchange_n(&dummy, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/** Spin politely: a pause for the sibling thread, and now and then the processor itself. */
static inline void
vhost_pci_relax(unsigned int *spins)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
	/* The burst waited for may have been preempted on this very processor. */
	if ((++*spins & 63) == 0)
		sched_yield();
}

#endif /* VHOST_PCI_BARRIER_H */
