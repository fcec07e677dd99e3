/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Lending: chains whose buffers are in use by others after the burst that took them, for a receive
 * without a copy. A chain that is lent comes back from any thread, at any time and in any order,
 * and is returned to the front-end exactly once.
 *
 * The used ring has one writer, so who gives a chain back only puts it on a list, from which the
 * thread that polls the queue (or control, while the vring is paused) takes and returns it. With
 * VIRTIO_F_IN_ORDER all chains that were taken later wait for it, lent or not.
 *
 * What is lent outlives the vring: the memory stays mapped, and the lending itself allocated, until
 * the last chain was given back. A ring that is stopped does not wait for that longer than
 * VHOST_PCI_LEND_DEADLINE_MS: then all its chains are returned, and what is still lent is memory
 * that the front-end may use anew.
 */

#ifndef VHOST_PCI_LEND_H
#define VHOST_PCI_LEND_H

#include "vhost_pci_chain.h"

/**
 * How long a message that stops a ring waits for chains that are lent, in milliseconds: enough for
 * packets on their way through an application, and short for a thread that serves other ports too.
 */
#define VHOST_PCI_LEND_DEADLINE_MS 10

/** Memory tables of which chains are lent at a time; beyond that nothing is lent. */
#define VHOST_PCI_LEND_MEMS 8

/** Words that the owner has in each lent chain. */
#define VHOST_PCI_LENT_WORDS 3

struct vhost_pci_lend;

/** A chain that is lent; two of them share no cache line, for each has a thread of its own. */
struct VHOST_PCI_CACHE_ALIGNED vhost_pci_lent {
	struct vhost_pci_lend *lend;
	struct vhost_pci_chain chain;         /**< Of the polling thread; without its segments. */
	uint32_t next;                        /**< The next one of a list. */
	uint16_t order_slot;                  /**< With VIRTIO_F_IN_ORDER: where it waits. */
	uint8_t mem_slot;                     /**< Which memory table it is in. */
	bool is_lent;                         /**< Of the polling thread: not returned yet. */
	uint64_t owner[VHOST_PCI_LENT_WORDS]; /**< For whoever lends. */
};

_Static_assert(sizeof(struct vhost_pci_lent) == VHOST_PCI_CACHE_LINE, "no line is wasted");

/**
 * Begin to lend chains of a vring that is mapped; nothing happens where that was done before.
 *
 * @param in_order VIRTIO_F_IN_ORDER was negotiated.
 * @return 0 or -ENOMEM. Control thread, with the vring paused.
 */
int vhost_pci_lend_open(struct vhost_pci_vring *vr, bool in_order);

/**
 * Return all chains that are lent to the front-end, and lend no more; what others still have stays
 * mapped until they give it back. Control thread, with the vring paused.
 */
void vhost_pci_lend_close(struct vhost_pci_vring *vr);

/**
 * Wait until all chains were given back, and return them.
 *
 * @param until_ms When to give up; see vhost_pci_lend_now_ms().
 *
 * Control thread, with the vring paused.
 */
void vhost_pci_lend_wait(struct vhost_pci_vring *vr, uint64_t until_ms);

/** Milliseconds of CLOCK_MONOTONIC. */
uint64_t vhost_pci_lend_now_ms(void);

/** Follow the vring to another memory table. Control thread, with the vring paused. */
void vhost_pci_lend_follow_mem(struct vhost_pci_vring *vr);

/**
 * Lend the chain that was taken last, if no more than half of the ring is lent with it.
 *
 * @param chain	Taken and neither returned nor restored; from now on it is returned here.
 * @return What vhost_pci_lend_give_back() is to be called with, once; NULL: not lent.
 *
 * The thread that polls the queue.
 */
struct vhost_pci_lent *vhost_pci_lend_chain(struct vhost_pci_vring *vr,
		const struct vhost_pci_chain *chain);

/** Give a lent chain back: its buffers are not used any more. Any thread. */
void vhost_pci_lend_give_back(struct vhost_pci_lent *lent);

/** Return to the front-end what was given back, without publishing. The same thread. */
void vhost_pci_lend_drain(struct vhost_pci_vring *vr);

/**
 * Return a chain that is not lent, as vhost_pci_ring_put() with a length of 0, but behind those
 * that must be returned before it. The thread that polls the queue.
 */
void vhost_pci_lend_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain);

/** The end of the list of chains that were given back; or there is none any more. */
#define VHOST_PCI_LEND_NONE   UINT32_MAX
#define VHOST_PCI_LEND_CLOSED (UINT32_MAX - 1)

/** A memory table that chains are lent of. */
struct vhost_pci_lend_mem {
	struct vhost_pci_mem *mem; /**< A reference; NULL: unused. */
	uint32_t nb_lent;
};

/** A chain that waits for its turn, with VIRTIO_F_IN_ORDER. */
struct vhost_pci_lend_turn {
	struct vhost_pci_chain chain;
	bool is_due; /**< Not lent, or given back. */
};

/** The lending of one vring, from the start of the ring to its stop. */
struct vhost_pci_lend {
	/* Shared: a list of those that were given back, and how many are missing after the end. */
	uint32_t given_back;
	int32_t nb_missing;

	/* Owned by the polling thread; control may use it while the vring is paused. */
	VHOST_PCI_CACHE_ALIGNED uint32_t free; /**< A list of unused entries. */
	uint32_t nb_max;                       /**< Entries. */
	unsigned int mem_slot;                 /**< Where the vring's own table is. */
	struct vhost_pci_lend_mem mems[VHOST_PCI_LEND_MEMS];
	struct vhost_pci_lend_turn *turns; /**< NULL: in any order. */
	uint32_t turn_mask;
	uint32_t turn_first;
	uint32_t turn_end;
	VHOST_PCI_CACHE_ALIGNED struct vhost_pci_lent lent[];
};

/** Whether chains must wait for others, and some do. The thread that polls the queue. */
static inline bool
vhost_pci_lend_is_waiting(const struct vhost_pci_lend *lend)
{
	return lend->turn_first != lend->turn_end;
}

/** Whether chains were given back that are yet to be returned. The thread that polls the queue. */
static inline bool
vhost_pci_lend_is_due(const struct vhost_pci_vring *vr)
{
	/* Without the lending's own line where nothing is lent. */
	return vr->lend != NULL && vr->nb_lent > 0 &&
			vhost_pci_load_relaxed(&vr->lend->given_back) != VHOST_PCI_LEND_NONE;
}

#endif /* VHOST_PCI_LEND_H */
