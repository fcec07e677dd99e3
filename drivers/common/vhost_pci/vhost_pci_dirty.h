/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The dirty log of a live migration: which pages of the guest's memory this back-end has written
 * to (vhost-user, "Migration"). A bit per page of 4 KiB, in memory of the front-end, which reads
 * and clears it at the same time.
 *
 * A page is marked after it was written: the front-end clears the bit, then copies the page, and
 * so copies what was written before the bit was set. All functions: the thread that polls the
 * queue, inside the gate, or control while the vring is paused; the vring has a log.
 */

#ifndef VHOST_PCI_DIRTY_H
#define VHOST_PCI_DIRTY_H

#include "vhost_pci_chain.h"

/** Bytes of a page of the log: VHOST_LOG_PAGE. */
#define VHOST_PCI_DIRTY_PAGE_SHIFT 12

/** Bytes of what a device writes to besides descriptors: the used ring or the device event. */
uint64_t vhost_pci_dirty_used_bytes(bool is_packed, uint32_t size);

/**
 * Mark a range of guest-physical addresses. Pages beyond the log are left out and counted in
 * vhost_pci_vring_stats.log_beyond.
 */
void vhost_pci_dirty_mark(struct vhost_pci_vring *vr, uint64_t gpa, uint64_t bytes);

/** Mark what was written to the buffers of a chain: its first @p len bytes. */
void vhost_pci_dirty_chain(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain,
		uint32_t len);

/** Mark the used entry that was written for a chain; its place is the used index before. */
void vhost_pci_dirty_used(struct vhost_pci_vring *vr, uint16_t used_idx);

/** Mark what a flush has written: the used index, the first of the packed entries. */
void vhost_pci_dirty_flush(struct vhost_pci_vring *vr);

/** Mark where kicks are asked for. */
void vhost_pci_dirty_kick(struct vhost_pci_vring *vr);

/** Tell the front-end, if it wants that, that the log has changed since it was last told. */
void vhost_pci_dirty_signal(struct vhost_pci_vring *vr);

#endif /* VHOST_PCI_DIRTY_H */
