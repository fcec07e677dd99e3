/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_msgring.h"

#define FRAME_ALIGN VHOST_PCI_ADAPTER_FRAME_ALIGN
#define FRAME_WORDS (sizeof(struct vhost_pci_adapter_frame) / FRAME_ALIGN)

/** The largest message that struct vhost_pci_msg holds. */
#define MSG_BYTES_HELD (sizeof(struct vhost_user_hdr) + sizeof(union vhost_user_payload))

_Static_assert(FRAME_ALIGN == sizeof(uint64_t), "rings are copied by words");
_Static_assert(MSG_BYTES_HELD == VHOST_PCI_ADAPTER_MSG_BYTES_LEAST,
		"every message known fits into every ring");

/** A frame as it is on the ring, in private memory. */
union frame_copy {
	struct {
		struct vhost_pci_adapter_frame frame;
		struct vhost_user_hdr hdr;
		uint8_t payload[sizeof(union vhost_user_payload)];
	} part;
	uint64_t word[(sizeof(struct vhost_pci_adapter_frame) + MSG_BYTES_HELD + FRAME_ALIGN - 1) /
			FRAME_ALIGN];
};
_Static_assert(offsetof(union frame_copy, part.hdr) == 0x10, "ADP-8.3");
_Static_assert(offsetof(union frame_copy, part.payload) == 0x1c, "ADP-8.3");

static uint32_t
frame_bytes(uint32_t msg_bytes)
{
	uint32_t bytes = sizeof(struct vhost_pci_adapter_frame) + msg_bytes;

	return (bytes + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
}

static vhost_pci_word64 *
word_at(const struct vhost_pci_msgring *ring, uint32_t idx)
{
	return (vhost_pci_word64 *)(ring->data + (idx & (ring->data_bytes - 1)));
}

/* Each word is loaded once: the peer may change it at any time [ADP-8.10]. */
static void
copy_out(const struct vhost_pci_msgring *ring, uint32_t idx, uint64_t *words, uint32_t nb_words)
{
	for (uint32_t i = 0; i < nb_words; i++)
		words[i] = vhost_pci_load_relaxed(word_at(ring, idx + i * FRAME_ALIGN));
}

static void
copy_in(const struct vhost_pci_msgring *ring, uint32_t idx, const uint64_t *words,
		uint32_t nb_words)
{
	for (uint32_t i = 0; i < nb_words; i++)
		vhost_pci_store_relaxed(word_at(ring, idx + i * FRAME_ALIGN), words[i]);
}

static int
break_ring(struct vhost_pci_msgring *ring)
{
	ring->broken = true;
	return -EPROTO;
}

int
vhost_pci_msgring_init(struct vhost_pci_msgring *ring, struct vhost_pci_adapter_ring_ctrl *ctrl,
		void *data, uint32_t data_bytes, uint32_t msg_bytes_max)
{
	/* [ADP-8.1] */
	if (data_bytes < VHOST_PCI_ADAPTER_RING_BYTES_MIN ||
			data_bytes > VHOST_PCI_ADAPTER_RING_BYTES_MAX ||
			(data_bytes & (data_bytes - 1)) != 0)
		return -EINVAL;
	if ((uintptr_t)ctrl % VHOST_PCI_ADAPTER_RING_ALIGN != 0 ||
			(uintptr_t)data % VHOST_PCI_ADAPTER_RING_ALIGN != 0)
		return -EINVAL;
	if (msg_bytes_max < VHOST_PCI_ADAPTER_MSG_BYTES_LEAST ||
			msg_bytes_max > VHOST_PCI_ADAPTER_MSG_BYTES_MAX)
		return -EINVAL;
	ring->ctrl = ctrl;
	ring->data = data;
	ring->data_bytes = data_bytes;
	ring->msg_bytes_max = msg_bytes_max;
	ring->own_idx = 0;
	ring->broken = false;
	return 0;
}

void
vhost_pci_msgring_clear(struct vhost_pci_adapter_ring_ctrl *ctrl)
{
	vhost_pci_store_relaxed(&ctrl->prod_idx, 0);
	vhost_pci_store_relaxed(&ctrl->cons_idx, 0);
}

/*
 * Reads the other end's index, which pairs with its store-release in enqueue or dequeue, and says
 * how many bytes are in use; negative if that can't be [ADP-8.2, ADP-8.10].
 */
static int64_t
bytes_in_use(const struct vhost_pci_msgring *ring, bool producer)
{
	uint32_t used;

	if (producer)
		used = ring->own_idx - vhost_pci_load_acquire(&ring->ctrl->cons_idx);
	else
		used = vhost_pci_load_acquire(&ring->ctrl->prod_idx) - ring->own_idx;
	if (used > ring->data_bytes || used % FRAME_ALIGN != 0)
		return -1;
	return used;
}

int
vhost_pci_msgring_enqueue(struct vhost_pci_msgring *ring, const struct vhost_pci_msg *msg,
		uint16_t flags, uint64_t conn_id)
{
	union frame_copy copy;
	uint32_t bytes;
	int64_t used;

	if (ring->broken)
		return -EPIPE;
	if (msg->hdr.size > sizeof(msg->payload))
		return -EMSGSIZE;
	used = bytes_in_use(ring, true);
	if (used < 0)
		return break_ring(ring);
	copy.part.frame.msg_bytes = sizeof(msg->hdr) + msg->hdr.size;
	copy.part.frame.flags = flags;
	copy.part.frame.nb_fds = (uint16_t)msg->nb_fds;
	copy.part.frame.conn_id = conn_id;
	bytes = frame_bytes(copy.part.frame.msg_bytes);
	if (bytes > ring->data_bytes - used)
		return -ENOSPC;
	/* The padding is on the ring too: nothing of this stack is to be seen there. */
	copy.word[bytes / FRAME_ALIGN - 1] = 0;
	copy.part.hdr = msg->hdr;
	memcpy(copy.part.payload, &msg->payload, msg->hdr.size);
	copy_in(ring, ring->own_idx, copy.word, bytes / FRAME_ALIGN);
	ring->own_idx += bytes;
	/* Pairs with the load-acquire in the consumer's bytes_in_use() [ADP-8.4]. */
	vhost_pci_store_release(&ring->ctrl->prod_idx, ring->own_idx);
	return 0;
}

/* Gives the bytes of a frame back; pairs with the load-acquire in the producer's bytes_in_use(). */
static void
consume(struct vhost_pci_msgring *ring, uint32_t bytes)
{
	ring->own_idx += bytes;
	vhost_pci_store_release(&ring->ctrl->cons_idx, ring->own_idx);
}

/* Whether a frame header, already copied, can be true of a frame in this many bytes [ADP-8.10]. */
static bool
frame_is_possible(const struct vhost_pci_msgring *ring, const struct vhost_pci_adapter_frame *frame,
		int64_t used)
{
	return frame->msg_bytes >= VHOST_PCI_ADAPTER_MSG_BYTES_MIN &&
			frame->msg_bytes <= ring->msg_bytes_max &&
			frame->nb_fds <= VHOST_PCI_MSG_MAX_FDS &&
			frame_bytes(frame->msg_bytes) <= used;
}

int
vhost_pci_msgring_dequeue(struct vhost_pci_msgring *ring, struct vhost_pci_msg *msg,
		struct vhost_pci_adapter_frame *frame)
{
	union frame_copy copy;
	uint32_t bytes;
	int64_t used;

	if (ring->broken)
		return -EPIPE;
	used = bytes_in_use(ring, false);
	if (used == 0)
		return -EAGAIN;
	if (used < 0)
		return break_ring(ring);
	copy_out(ring, ring->own_idx, copy.word, FRAME_WORDS);
	if (!frame_is_possible(ring, &copy.part.frame, used))
		return break_ring(ring);
	*frame = copy.part.frame;
	bytes = frame_bytes(frame->msg_bytes);
	if (frame->msg_bytes > MSG_BYTES_HELD) {
		consume(ring, bytes);
		return -EMSGSIZE;
	}
	copy_out(ring, ring->own_idx + sizeof(*frame), copy.word + FRAME_WORDS,
			bytes / FRAME_ALIGN - FRAME_WORDS);
	/* [ADP-8.11] */
	if (copy.part.hdr.size != frame->msg_bytes - sizeof(copy.part.hdr))
		return break_ring(ring);
	consume(ring, bytes);
	msg->hdr = copy.part.hdr;
	memcpy(&msg->payload, copy.part.payload, copy.part.hdr.size);
	msg->nb_fds = frame->nb_fds;
	memset(msg->fds, 0xff, sizeof(msg->fds)); /* -1 each */
	return 0;
}
