/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The message rings of an adapter (vhost_pci_adapter_spec.rst, section 8): one producer, one
 * consumer, in memory that the other side can change at any time. A ring end believes nothing of
 * that memory: its own index is private, the other's is read once and checked, and a message is
 * copied out before it is looked at.
 *
 * An end belongs to one thread at a time. Whoever calls rings the doorbell or raises the event.
 */

#ifndef VHOST_PCI_MSGRING_H
#define VHOST_PCI_MSGRING_H

#include <stdbool.h>

#include "vhost_pci_adapter.h"
#include "vhost_pci_codec.h"

/** One end of a message ring, either the producer's or the consumer's. */
struct vhost_pci_msgring {
	struct vhost_pci_adapter_ring_ctrl *ctrl; /**< Shared. */
	uint8_t *data;                            /**< Shared. */
	uint32_t data_bytes;
	uint32_t msg_bytes_max;
	uint32_t own_idx; /**< What this end has published; never read back [ADP-8.9]. */
	bool broken;      /**< The ring was found corrupted. */
};

/**
 * Set up an end of a ring that is empty, with both indexes at 0 [ADP-5.3, ADP-8.2]. What was
 * broken is so no longer.
 *
 * @param ctrl	The shared control block.
 * @param data	The shared data.
 * @param data_bytes Size of the data [ADP-8.1].
 * @param msg_bytes_max The device's limit of a message with its header.
 * @return 0; -EINVAL for sizes or alignments that the specification does not allow [ADP-15.5].
 */
int vhost_pci_msgring_init(struct vhost_pci_msgring *ring, struct vhost_pci_adapter_ring_ctrl *ctrl,
		void *data, uint32_t data_bytes, uint32_t msg_bytes_max);

/** Set both shared indexes to 0: for a device at a reset, before it sets up its end [ADP-5.7]. */
void vhost_pci_msgring_clear(struct vhost_pci_adapter_ring_ctrl *ctrl);

/**
 * Put a message on the ring.
 *
 * @param msg	Header and payload; of the fds the number only, the message keeps them [ADP-9.3].
 * @param flags	VHOST_PCI_ADAPTER_FRAME_*.
 * @param conn_id Session that the message belongs to.
 * @return 0; -ENOSPC where there is no room now; -EMSGSIZE for a message larger than the ring
 *	   takes; -EPROTO where the consumer's index is found impossible [ADP-8.12], and -EPIPE from
 *	   then on.
 */
int vhost_pci_msgring_enqueue(struct vhost_pci_msgring *ring, const struct vhost_pci_msg *msg,
		uint16_t flags, uint64_t conn_id);

/**
 * Take the next message from the ring.
 *
 * @param[out] msg The message; its fds are all -1. The codec has not seen it yet.
 * @param[out] frame The frame header.
 * @return 0; -EAGAIN where the ring is empty; -EMSGSIZE for a message that the ring allows and
 *	   this program has no room for: it is dropped, @p frame says which session it was of;
 *	   -EPROTO where index, frame or message size is found impossible [ADP-8.12], and -EPIPE
 *	   from then on. Where the result is negative, @p msg has no meaning.
 */
int vhost_pci_msgring_dequeue(struct vhost_pci_msgring *ring, struct vhost_pci_msg *msg,
		struct vhost_pci_adapter_frame *frame);

#endif /* VHOST_PCI_MSGRING_H */
