/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Memory whose pages come when they are touched: during the postcopy phase of a migration a page
 * that has not arrived yet raises a fault, which waits in the kernel until the front-end, who reads
 * of it from a userfaultfd, has put the page there.
 *
 * The thread that touches such a page sleeps for as long, whichever it is. That the front-end does
 * not come back is seen by a thread of this module: it lets all faults go when the connection's
 * socket is closed, also where every other thread waits for a page.
 *
 * A userfaultfd is an access to the whole process: who has it may register other memory of ours,
 * and fill pages of it that were not touched yet. So this is for front-ends that are trusted.
 */

#ifndef VHOST_PCI_FAULTS_H
#define VHOST_PCI_FAULTS_H

#include <stddef.h>

/** A userfaultfd and the ranges that are registered with it. */
struct vhost_pci_faults;

/** One range. */
struct vhost_pci_faults_range;

/**
 * Open a userfaultfd.
 *
 * @param peer_fd The connection's socket: when it is closed by the peer, or broken, faults are let
 *		go. Not owned: vhost_pci_faults_close() before it is closed.
 * @param[out] faults The caller's.
 * @return 0; -ENOTSUP where the kernel has none for shared memory; -EPERM where it is not allowed;
 *	   -ENOMEM; -errno. Control thread.
 *
 * Clause: vhost-user, POSTCOPY_ADVISE.
 */
int vhost_pci_faults_open(int peer_fd, struct vhost_pci_faults **faults);

/** The userfaultfd; it stays ours. */
int vhost_pci_faults_fd(const struct vhost_pci_faults *faults);

/**
 * Let all faults go, none is raised any more: what has not arrived reads as zeros. The ranges
 * remain their owners'.
 *
 * @param faults NULL: nothing to do. Control thread, once.
 */
void vhost_pci_faults_close(struct vhost_pci_faults *faults);

/**
 * Have faults raised in a range, and only then allow access to it.
 *
 * @param pages, bytes Mapped with PROT_NONE, so that nothing can have touched it, not even
 *		mlockall(); whole pages of the file's size.
 * @param[out] range To be removed before the range is unmapped.
 * @return 0; -ECONNRESET where faults were let go already; -EINVAL for memory that can raise none;
 *	   -ENOMEM; -errno. Control thread.
 */
int vhost_pci_faults_add(struct vhost_pci_faults *faults, void *pages, size_t bytes,
		struct vhost_pci_faults_range **range);

/** Raise no faults in a range any more. NULL: nothing to do. Any thread. */
void vhost_pci_faults_remove(struct vhost_pci_faults_range *range);

#endif /* VHOST_PCI_FAULTS_H */
