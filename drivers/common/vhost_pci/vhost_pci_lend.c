/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_lend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vhost_pci_ring.h"

/** How long to sleep between two looks at what was given back, in nanoseconds. */
#define WAIT_NS 50000

/** More than are ever lent: what keeps a lending that is being closed from being freed. */
#define MISSING_BIAS (1 << 30)

/* Memory tables: their counts are the polling thread's own, so that lending costs no atomics */

/** Let go of a table that is neither in use nor lent of. */
static void
drop_mem(struct vhost_pci_lend_mem *entry)
{
	vhost_pci_mem_put(entry->mem);
	entry->mem = NULL;
}

/** Find a place for the vring's table, so that chains can be lent of it. */
static bool
use_mem(struct vhost_pci_lend *lend, struct vhost_pci_mem *mem)
{
	unsigned int i;

	lend->mem_slot = VHOST_PCI_LEND_MEMS;
	for (i = 0; i < VHOST_PCI_LEND_MEMS; i++) {
		if (lend->mems[i].mem == mem) {
			lend->mem_slot = i;
			return true;
		}
		if (lend->mems[i].mem == NULL)
			lend->mem_slot = i;
	}
	if (lend->mem_slot == VHOST_PCI_LEND_MEMS)
		return false;
	lend->mems[lend->mem_slot].mem = vhost_pci_mem_get(mem);
	return true;
}

void
vhost_pci_lend_follow_mem(struct vhost_pci_vring *vr)
{
	struct vhost_pci_lend *lend = vr->lend;
	unsigned int i;

	if (lend == NULL)
		return;
	for (i = 0; i < VHOST_PCI_LEND_MEMS; i++)
		if (lend->mems[i].mem != vr->mem && lend->mems[i].nb_lent == 0)
			drop_mem(&lend->mems[i]);
	use_mem(lend, vr->mem);
}

/* Begin and end */

/** A power of two that is no less. */
static uint32_t
round_up(uint32_t nb)
{
	uint32_t power = 1;

	while (power < nb)
		power *= 2;
	return power;
}

static void
lend_free(struct vhost_pci_lend *lend)
{
	unsigned int i;

	for (i = 0; i < VHOST_PCI_LEND_MEMS; i++)
		vhost_pci_mem_put(lend->mems[i].mem);
	free(lend->turns);
	free(lend);
}

int
vhost_pci_lend_open(struct vhost_pci_vring *vr, bool in_order)
{
	uint32_t nb_max = vr->size / 2u;
	struct vhost_pci_lend *lend;
	size_t bytes = sizeof(*lend) + nb_max * sizeof(lend->lent[0]);
	uint32_t i;

	if (vr->lend != NULL)
		return 0;
	lend = aligned_alloc(VHOST_PCI_CACHE_LINE, bytes);
	if (lend == NULL)
		return -ENOMEM;
	memset(lend, 0, bytes);
	if (in_order) {
		/* Each chain has a descriptor of its own at least. */
		lend->turn_mask = round_up(vr->size) - 1;
		lend->turns = calloc(lend->turn_mask + 1u, sizeof(lend->turns[0]));
		if (lend->turns == NULL) {
			free(lend);
			return -ENOMEM;
		}
	}
	lend->given_back = VHOST_PCI_LEND_NONE;
	lend->nb_max = nb_max;
	lend->free = nb_max == 0 ? VHOST_PCI_LEND_NONE : 0;
	for (i = 0; i < nb_max; i++) {
		lend->lent[i].lend = lend;
		lend->lent[i].next = i + 1 < nb_max ? i + 1 : VHOST_PCI_LEND_NONE;
	}
	use_mem(lend, vr->mem);
	vr->lend = lend;
	return 0;
}

/** Return the chain of an entry, or let those behind it have their turn; the entry is unused. */
static void
return_lent(struct vhost_pci_vring *vr, struct vhost_pci_lent *lent)
{
	struct vhost_pci_lend *lend = vr->lend;

	lent->is_lent = false;
	vhost_pci_store_relaxed(&vr->nb_lent, vr->nb_lent - 1);
	if (lend->turns != NULL)
		lend->turns[lent->order_slot].is_due = true;
	else
		vhost_pci_ring_put(vr, &lent->chain, 0, vhost_pci_vring_kind(vr));
}

/** With VIRTIO_F_IN_ORDER: return the chains that wait for none any more. */
static void
return_in_turn(struct vhost_pci_vring *vr)
{
	struct vhost_pci_lend *lend = vr->lend;
	struct vhost_pci_lend_turn *turn;

	for (; vhost_pci_lend_is_waiting(lend); lend->turn_first++) {
		turn = &lend->turns[lend->turn_first & lend->turn_mask];
		if (!turn->is_due)
			break;
		vhost_pci_ring_put(vr, &turn->chain, 0, vhost_pci_vring_kind(vr));
	}
}

/** Count that nothing of a memory table is lent any more but what others have. */
static void
uncount_mem(struct vhost_pci_vring *vr, unsigned int slot)
{
	struct vhost_pci_lend *lend = vr->lend;

	if (--lend->mems[slot].nb_lent > 0 || slot == lend->mem_slot)
		return;
	/* The vring has moved on to another table, which may have found no place here. */
	drop_mem(&lend->mems[slot]);
	if (lend->mem_slot == VHOST_PCI_LEND_MEMS)
		use_mem(lend, vr->mem);
}

/** Return what is on a list of entries that were given back. */
static void
return_list(struct vhost_pci_vring *vr, uint32_t idx)
{
	struct vhost_pci_lend *lend = vr->lend;

	while (idx != VHOST_PCI_LEND_NONE) {
		struct vhost_pci_lent *lent = &lend->lent[idx];
		uint32_t next = lent->next;

		return_lent(vr, lent);
		uncount_mem(vr, lent->mem_slot);
		lent->next = lend->free;
		lend->free = idx;
		idx = next;
	}
	return_in_turn(vr);
}

void
vhost_pci_lend_drain(struct vhost_pci_vring *vr)
{
	/* Acquire: what was read of the buffers was read before they go back. Partner: the
	 * release in vhost_pci_lend_give_back().
	 */
	return_list(vr,
			__atomic_exchange_n(&vr->lend->given_back, VHOST_PCI_LEND_NONE,
					__ATOMIC_ACQUIRE));
}

/** Drop what others still have, for whom this is the last they can tell us. */
static void
lend_orphan(struct vhost_pci_lend *lend, int32_t nb_missing)
{
	/* Partner: the subtraction in vhost_pci_lend_give_back(); the last of both frees. */
	if (__atomic_add_fetch(&lend->nb_missing, nb_missing - MISSING_BIAS, __ATOMIC_ACQ_REL) == 0)
		lend_free(lend);
}

void
vhost_pci_lend_close(struct vhost_pci_vring *vr)
{
	struct vhost_pci_lend *lend = vr->lend;
	/* A ring that broke, or whose memory is gone, is left as it is. */
	bool can_return = vr->mem != NULL &&
			vhost_pci_load_relaxed(&vr->error) == VHOST_PCI_VRING_OK;
	int32_t nb_missing = 0;
	uint32_t idx, i;

	if (lend == NULL)
		return;
	vhost_pci_store_relaxed(&lend->nb_missing, MISSING_BIAS);
	/* From here on who gives a chain back only counts it. */
	idx = __atomic_exchange_n(&lend->given_back, VHOST_PCI_LEND_CLOSED, __ATOMIC_ACQ_REL);
	if (can_return)
		return_list(vr, idx);
	else
		for (; idx != VHOST_PCI_LEND_NONE; idx = lend->lent[idx].next)
			lend->lent[idx].is_lent = false;
	for (i = 0; i < lend->nb_max; i++) {
		if (!lend->lent[i].is_lent)
			continue;
		nb_missing++;
		if (can_return)
			return_lent(vr, &lend->lent[i]);
	}
	if (can_return) {
		return_in_turn(vr);
		vhost_pci_ring_end(vr, vhost_pci_vring_kind(vr));
	}
	for (i = 0; i < VHOST_PCI_LEND_MEMS; i++)
		if (lend->mems[i].nb_lent == 0)
			drop_mem(&lend->mems[i]);
	vhost_pci_store_relaxed(&vr->nb_lent, 0);
	vr->lend = NULL;
	lend_orphan(lend, nb_missing);
}

uint64_t
vhost_pci_lend_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void
vhost_pci_lend_wait(struct vhost_pci_vring *vr, uint64_t until_ms)
{
	const struct timespec pause = { .tv_nsec = WAIT_NS };

	if (vr->lend == NULL || vr->mem == NULL ||
			vhost_pci_load_relaxed(&vr->error) != VHOST_PCI_VRING_OK)
		return;
	vhost_pci_lend_drain(vr);
	while (vr->nb_lent > 0 && vhost_pci_lend_now_ms() < until_ms) {
		nanosleep(&pause, NULL);
		vhost_pci_lend_drain(vr);
	}
	vhost_pci_ring_end(vr, vhost_pci_vring_kind(vr));
}

/* A chain's way */

/** Whether more chains wait than a driver can have made available. */
static bool
turns_are_full(const struct vhost_pci_lend *lend)
{
	return lend->turns != NULL && lend->turn_end - lend->turn_first > lend->turn_mask;
}

/** Let a chain wait for its turn. Returns its place. */
static uint16_t
add_turn(struct vhost_pci_lend *lend, const struct vhost_pci_chain *chain, bool is_due)
{
	uint32_t slot = lend->turn_end++ & lend->turn_mask;

	lend->turns[slot] = (struct vhost_pci_lend_turn){ *chain, is_due };
	return (uint16_t)slot;
}

struct vhost_pci_lent *
vhost_pci_lend_chain(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain)
{
	struct vhost_pci_lend *lend = vr->lend;
	struct vhost_pci_lent *lent;

	if (lend->free == VHOST_PCI_LEND_NONE || lend->mem_slot == VHOST_PCI_LEND_MEMS ||
			turns_are_full(lend))
		return NULL;
	lent = &lend->lent[lend->free];
	lend->free = lent->next;
	lent->chain = *chain;
	lent->mem_slot = (uint8_t)lend->mem_slot;
	lent->is_lent = true;
	lend->mems[lend->mem_slot].nb_lent++;
	if (lend->turns != NULL)
		lent->order_slot = add_turn(lend, chain, false);
	vhost_pci_store_relaxed(&vr->nb_lent, vr->nb_lent + 1);
	return lent;
}

void
vhost_pci_lend_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain)
{
	if (!vhost_pci_lend_is_waiting(vr->lend))
		vhost_pci_ring_put(vr, chain, 0, vhost_pci_vring_kind(vr));
	else if (turns_are_full(vr->lend))
		/* VIRTIO 2.7.13: it offers what it has not got back yet. */
		vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_AVAIL_IDX);
	else
		add_turn(vr->lend, chain, true);
}

void
vhost_pci_lend_give_back(struct vhost_pci_lent *lent)
{
	struct vhost_pci_lend *lend = lent->lend;
	/* Acquire: where the end is seen, so is what was stored before it. */
	uint32_t head = vhost_pci_load_acquire(&lend->given_back);

	do {
		if (head == VHOST_PCI_LEND_CLOSED) {
			/* Partner: lend_orphan(). */
			if (__atomic_sub_fetch(&lend->nb_missing, 1, __ATOMIC_ACQ_REL) == 0)
				lend_free(lend);
			return;
		}
		lent->next = head;
		/* Release: the buffers' last use comes before. Partner: vhost_pci_lend_drain(). */
	} while (!__atomic_compare_exchange_n(&lend->given_back, &head,
			(uint32_t)(lent - lend->lent), true, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE));
}
