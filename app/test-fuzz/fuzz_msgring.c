/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Both ends of a message ring, whose shared memory the other side writes. */

#include "fuzz.h"
#include "vhost_pci_msgring.h"

/** The ring, in memory of its own, so that what is beyond it is not touched unseen. */
#define RING_BYTES VHOST_PCI_ADAPTER_RING_BYTES_MIN
#define MSG_BYTES  (sizeof(struct vhost_user_hdr) + sizeof(union vhost_user_payload))

/** What the other side does before the next message, as the input says. */
static void
change(struct fuzz_input *input, struct vhost_pci_adapter_ring_ctrl *ctrl, uint8_t *data)
{
	uint8_t what = fuzz_u8(input);
	uint16_t offset = fuzz_u16(input) % RING_BYTES;
	uint8_t nb = fuzz_u8(input);

	if (what & 1)
		fuzz_take(input, &ctrl->prod_idx, sizeof(ctrl->prod_idx));
	if (what & 2)
		fuzz_take(input, &ctrl->cons_idx, sizeof(ctrl->cons_idx));
	if (what & 4)
		ctrl->prod_idx += nb * 8u;
	if (what & 8)
		ctrl->cons_idx = ctrl->prod_idx;
	if (what & 16)
		fuzz_take(input, &data[offset], nb < RING_BYTES - offset ? nb : 0);
}

static void
run(struct fuzz_input *input, struct vhost_pci_adapter_ring_ctrl *ctrl, uint8_t *data)
{
	struct vhost_pci_msgring producer, consumer;
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg = { 0 };

	fuzz_check(vhost_pci_msgring_init(&producer, ctrl, data, RING_BYTES, MSG_BYTES) == 0);
	fuzz_check(vhost_pci_msgring_init(&consumer, ctrl, data, RING_BYTES, MSG_BYTES) == 0);
	fuzz_take(input, data, fuzz_u8(input) * 4u);
	while (input->nb_left > 0) {
		change(input, ctrl, data);
		if (vhost_pci_msgring_dequeue(&consumer, &msg, &frame) == 0)
			fuzz_check(msg.hdr.size <= sizeof(msg.payload));
		else
			memset(&msg, 0, sizeof(msg));
		msg.hdr.size = fuzz_u16(input) % (sizeof(msg.payload) + 1);
		(void)vhost_pci_msgring_enqueue(&producer, &msg, 0, 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes)
{
	struct fuzz_input input = { bytes, nb_bytes };
	struct vhost_pci_adapter_ring_ctrl *ctrl = aligned_alloc(64, sizeof(*ctrl));
	uint8_t *data = aligned_alloc(64, RING_BYTES);

	fuzz_check(ctrl != NULL && data != NULL);
	memset(ctrl, 0, sizeof(*ctrl));
	memset(data, 0, RING_BYTES);
	run(&input, ctrl, data);
	free(data);
	free(ctrl);
	return 0;
}
