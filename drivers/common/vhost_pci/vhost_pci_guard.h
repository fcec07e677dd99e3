/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Survive a peer that takes its memory away: a file that is truncated while it is mapped raises
 * SIGBUS at the next access beyond its end, and so does one whose pages can't be had any more.
 *
 * A guarded range that raises SIGBUS is replaced, from the faulting page to its end, by memory of
 * our own that reads as zeros; the access is done again and succeeds, so whoever was in the midst
 * of a burst goes on, and comes upon a ring or packets of zeros at worst. The range is marked, and
 * an eventfd wakes control, which ends the connection. No access costs anything.
 *
 * One signal handler serves the process while there is a guarded range. What is not in one goes to
 * the handler that was there before, DPDK's of hot-unplugged devices among them. That one passes
 * on no address to the handler that it has found, so whoever enables it does so before: at each new
 * range the handler sees to it that it is the first one.
 */

#ifndef VHOST_PCI_GUARD_H
#define VHOST_PCI_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/** A guarded range. */
struct vhost_pci_guard;

/**
 * Guard a range of mapped memory.
 *
 * @param pages First byte; it and @p bytes are multiples of @p page_bytes.
 * @param page_bytes Size of the pages that it is mapped in.
 * @param[out] guard The caller's, until vhost_pci_guard_remove().
 * @return 0; -ENOMEM; -errno where no handler can be installed.
 *
 * Control thread.
 */
int vhost_pci_guard_add(void *pages, size_t bytes, size_t page_bytes,
		struct vhost_pci_guard **guard);

/**
 * Guard a range no more; when this returns nobody replaces anything in it, and it may be unmapped.
 *
 * @param guard NULL: nothing to do. Any thread but a signal handler.
 */
void vhost_pci_guard_remove(struct vhost_pci_guard *guard);

/**
 * Say which eventfd of ours is written to when a range is hit.
 *
 * @param guard NULL: nothing to do.
 * @param fd	Not owned: vhost_pci_guard_forget() before it is closed. Control thread.
 */
void vhost_pci_guard_set_wake(struct vhost_pci_guard *guard, int fd);

/** Have no range write to an fd any more, whoever still holds the range. Control thread. */
void vhost_pci_guard_forget(int fd);

/** Whether a range was hit; false for NULL. Any thread. */
bool vhost_pci_guard_is_hit(const struct vhost_pci_guard *guard);

#endif /* VHOST_PCI_GUARD_H */
