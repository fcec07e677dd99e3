/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* What a processor may watch in a power saving state, while there is nothing to receive. */

#include <rte_power_intrinsics.h>

#include "vhost_pci_ethdev.h"
#include "vhost_pci_intr.h"
#include "vhost_pci_queue.h"

/** The words that a callback gets with the value. */
enum {
	WORD_MASK,  /**< Bits of the value that count. */
	WORD_VALUE, /**< What they are compared with. */
	WORD_AWAKE, /**< Whether to be equal (1) or not to be (0) means that there is news. */
};

/** Whether to stay awake: -1, or 0 to go to sleep. */
static int
monitor_check(const uint64_t value, const uint64_t words[RTE_POWER_MONITOR_OPAQUE_SZ])
{
	bool equal = (value & words[WORD_MASK]) == words[WORD_VALUE];

	return equal == (words[WORD_AWAKE] != 0) ? -1 : 0;
}

/** Watch a ring, which is mapped, for the next chain. */
static void
monitor_ring(const struct vhost_pci_vring *vr, struct rte_power_monitor_cond *cond)
{
	const uint64_t both = VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED;

	if (vr->is_packed) {
		cond->addr = &vr->packed.desc[vr->avail_idx].flags;
		cond->size = sizeof(vr->packed.desc->flags);
		cond->opaque[WORD_MASK] = both;
		cond->opaque[WORD_VALUE] = vr->avail_wrap ? VHOST_PCI_PACKED_F_AVAIL
							  : VHOST_PCI_PACKED_F_USED;
		cond->opaque[WORD_AWAKE] = 1;
	} else {
		cond->addr = &vr->split.avail->idx;
		cond->size = sizeof(vr->split.avail->idx);
		cond->opaque[WORD_MASK] = UINT16_MAX;
		cond->opaque[WORD_VALUE] = vr->avail_idx;
		cond->opaque[WORD_AWAKE] = 0;
	}
}

int
vhost_pci_get_monitor_addr(void *rx_queue, struct rte_power_monitor_cond *cond)
{
	struct vhost_pci_rxq *rxq = rx_queue;
	struct vhost_pci_vring *vr = rxq->vr;

	cond->fn = monitor_check;
	if (vhost_pci_vring_enter(vr) == VHOST_PCI_VRING_OFF) {
		/* Control resumes it for a front-end. The vring lives as long as the port. */
		vhost_pci_monitor_forget(rxq);
		cond->addr = &vr->mode;
		cond->size = sizeof(vr->mode);
		cond->opaque[WORD_MASK] = UINT32_MAX;
		cond->opaque[WORD_VALUE] = VHOST_PCI_VRING_OFF;
		cond->opaque[WORD_AWAKE] = 0;
		return 0;
	}
	if (rxq->monitored != vr->mem) {
		/* The address is read by others, outside of the gate. */
		vhost_pci_monitor_forget(rxq);
		rxq->monitored = vhost_pci_mem_get(vr->mem);
	}
	monitor_ring(vr, cond);
	vhost_pci_vring_leave(vr);
	return 0;
}

void
vhost_pci_monitor_forget(struct vhost_pci_rxq *rxq)
{
	vhost_pci_mem_put(rxq->monitored);
	rxq->monitored = NULL;
}
