/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhost_pci_packed.h"
#include "vhost_pci_split.h"
#include "vhost_user.h"

/** Each queue's area begins on a multiple of this. */
#define AREA_ALIGN 64

/** The version of the areas. */
#define AREA_VERSION 1

/** No entry. Not below any queue size. */
#define NONE UINT16_MAX

/** Values of a 16-bit buffer id. */
#define NB_IDS 65536u

/** What is kept of an entry of a packed queue's area, for the area itself can't be trusted. */
struct entry {
	uint16_t next; /**< Of the free list, or of a chain's entries. */
	uint16_t last; /**< Of a chain's head: its last entry. */
	uint16_t num;  /**< Of a chain's head: its entries. */
	uint16_t id;   /**< Of a chain's head: the chain's. */
};

/** A chain that was found in an area. */
struct found {
	uint64_t counter;
	uint16_t head;
};

struct vhost_pci_inflight {
	union {
		struct vhost_user_inflight_split *split;
		struct vhost_user_inflight_packed *packed;
	};
	uint64_t counter;    /**< Of the next chain. */
	uint16_t nb_entries; /**< Of the area: the queue size that it was made for. */
	uint16_t nb_batch;   /**< Chains returned and not yet published. */
	uint16_t *batch;     /**< Their heads: split: slots. Packed: entries. */
	uint16_t *at_slot;   /**< By avail slot: the head of the chain taken there. */

	/* Chains of an earlier back-end stand before the ring's own, from a place on. */
	uint16_t again_idx;
	bool again_wrap;
	uint32_t nb_again;            /**< Slots that they take up; 0: none, or no more. */
	struct vhost_pci_desc *again; /**< Packed: their descriptors, as copied, in order. */

	/* Packed. */
	uint16_t free_head;
	uint32_t nb_free;
	struct entry *entries;
	uint16_t *untaken; /**< Heads of chains that are being untaken. */
	uint16_t *by_id;   /**< 1 + head entry of the chain with this id; 0: none. */
};

uint64_t
vhost_pci_inflight_bytes(bool is_packed, uint16_t queue_size)
{
	uint64_t bytes = is_packed ? sizeof(struct vhost_user_inflight_packed) +
					queue_size * sizeof(struct vhost_user_desc_packed)
				   : sizeof(struct vhost_user_inflight_split) +
					queue_size * sizeof(struct vhost_user_desc_split);

	return (bytes + AREA_ALIGN - 1) / AREA_ALIGN * AREA_ALIGN;
}

/* Every store into an area is a release: whenever this process dies, what stands there was written
 * in this order. Partner: the loads of the back-end that comes after it.
 */

/* Chains of an earlier back-end */

/** How many slots the next chain is behind the first of those. */
static uint32_t
again_distance(const struct vhost_pci_vring *vr, uint16_t avail_idx, bool avail_wrap)
{
	const struct vhost_pci_inflight *inflight = vr->inflight;

	if (!vr->is_packed)
		return (uint16_t)(avail_idx - inflight->again_idx);
	if (avail_wrap != inflight->again_wrap)
		return (uint32_t)avail_idx + vr->size - inflight->again_idx;
	/* Before the first of them in the same lap: that is the lap after the next. */
	return avail_idx >= inflight->again_idx ? (uint32_t)(avail_idx - inflight->again_idx)
						: UINT32_MAX;
}

static int
again_split(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain, enum vhost_pci_dir dir)
{
	uint16_t head = vr->inflight->at_slot[vr->avail_idx & (vr->size - 1)];

	int ret = vhost_pci_split_take(vr, chain, head, dir);

	/* What the driver's index was is looked up again when its own chains come. */
	if (ret > 0)
		vr->avail_seen = vr->avail_idx;
	return ret;
}

static int
again_packed(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain, uint32_t distance,
		enum vhost_pci_dir dir)
{
	const struct vhost_pci_inflight *inflight = vr->inflight;
	uint16_t num = inflight->entries[inflight->at_slot[vr->avail_idx]].num;
	int ret;

	vhost_pci_chain_begin(vr, chain, 0);
	ret = vhost_pci_packed_walk_saved(vr, chain, &inflight->again[distance], num, dir);
	if (ret < 0)
		return vhost_pci_chain_abandon(vr, chain, ret);
	vhost_pci_packed_advance(vr, &vr->avail_idx, &vr->avail_wrap, num);
	return 1;
}

/* Taking */

static void
record_split(struct vhost_pci_vring *vr, uint16_t avail_idx, uint16_t head)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	struct vhost_user_desc_split *desc = &inflight->split->desc[head];

	inflight->at_slot[avail_idx & (vr->size - 1)] = head;
	vhost_pci_store_release(&desc->counter, inflight->counter++);
	vhost_pci_store_release(&desc->inflight, 1);
}

/** Copy a descriptor of the ring into an entry of the area. */
static void
save_desc(struct vhost_user_desc_packed *entry, const struct vring_packed_desc *from)
{
	struct vhost_pci_desc desc = vhost_pci_desc_load_packed(from);

	vhost_pci_store_release(&entry->addr, desc.gpa);
	vhost_pci_store_release(&entry->len, desc.len);
	vhost_pci_store_release(&entry->flags, desc.flags);
	vhost_pci_store_release(&entry->id, desc.next);
}

/** Write down a chain that begins at a slot. False where a driver has more than it can. */
static bool
record_packed(struct vhost_pci_vring *vr, uint16_t slot, const struct vhost_pci_chain *chain)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	struct vhost_user_inflight_packed *area = inflight->packed;
	uint16_t head = inflight->free_head;
	uint32_t nb_taken = inflight->nb_entries - inflight->nb_free;
	uint16_t entry = head;
	uint16_t last = head;
	bool wrap = false;
	uint16_t i;

	/* Not more than the ring has: the area may be for a larger one, but then at_slot would be
	 * written anew below chains that are yet to be untaken.
	 */
	if (nb_taken + chain->nb_slots > vr->size || inflight->by_id[chain->id] != 0)
		return false;
	inflight->at_slot[slot] = head;
	for (i = 0; i < chain->nb_slots; i++) {
		save_desc(&area->desc[entry], &vr->packed.desc[slot]);
		vhost_pci_packed_advance(vr, &slot, &wrap, 1);
		last = entry;
		entry = inflight->entries[entry].next;
	}
	vhost_pci_store_release(&area->desc[head].num, chain->nb_slots);
	vhost_pci_store_release(&area->desc[head].last, last);
	vhost_pci_store_release(&area->desc[head].counter, inflight->counter++);
	vhost_pci_store_release(&area->desc[head].inflight, 1);
	vhost_pci_store_release(&area->free_head, entry);
	/* From here on the chain counts: before, its entries are in the old list of free ones. */
	vhost_pci_store_release(&area->old_free_head, entry);

	inflight->entries[head].last = last;
	inflight->entries[head].num = chain->nb_slots;
	inflight->entries[head].id = chain->id;
	inflight->by_id[chain->id] = head + 1;
	inflight->free_head = entry;
	inflight->nb_free -= chain->nb_slots;
	return true;
}

int
vhost_pci_inflight_next(struct vhost_pci_vring *vr, struct vhost_pci_chain *chain,
		enum vhost_pci_dir dir)
{
	uint32_t distance = again_distance(vr, vr->avail_idx, vr->avail_wrap);
	uint16_t avail_idx = vr->avail_idx;
	bool avail_wrap = vr->avail_wrap;
	int ret;

	if (distance < vr->inflight->nb_again)
		return vr->is_packed ? again_packed(vr, chain, distance, dir)
				     : again_split(vr, chain, dir);
	ret = vr->is_packed ? vhost_pci_packed_next(vr, chain, dir)
			    : vhost_pci_split_next(vr, chain, dir);
	if (ret <= 0)
		return ret;
	if (!vr->is_packed) {
		record_split(vr, avail_idx, chain->id);
	} else if (!record_packed(vr, avail_idx, chain)) {
		vr->avail_idx = avail_idx;
		vr->avail_wrap = avail_wrap;
		vr->nb_segs = chain->seg_idx;
		return vhost_pci_vring_break(vr, VHOST_PCI_VRING_E_ID);
	}
	return 1;
}

/** Put a chain's entries before the free ones. */
static void
free_entries(struct vhost_pci_inflight *inflight, uint16_t head)
{
	struct entry *entry = &inflight->entries[head];

	vhost_pci_store_release(&inflight->packed->desc[entry->last].next, inflight->free_head);
	vhost_pci_store_release(&inflight->packed->free_head, head);
	inflight->entries[entry->last].next = inflight->free_head;
	inflight->free_head = head;
	inflight->nb_free += entry->num;
}

static void
untake_packed(struct vhost_pci_vring *vr, uint16_t head)
{
	struct vhost_pci_inflight *inflight = vr->inflight;

	inflight->by_id[inflight->entries[head].id] = 0;
	free_entries(inflight, head);
	vhost_pci_store_release(&inflight->packed->old_free_head, head);
	vhost_pci_store_release(&inflight->packed->desc[head].inflight, 0);
}

static void
untake_last_split(struct vhost_pci_vring *vr, uint16_t avail_idx)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	uint16_t idx = vr->avail_idx;

	while (idx != avail_idx) {
		uint16_t head = inflight->at_slot[--idx & (vr->size - 1)];

		if (again_distance(vr, idx, false) >= inflight->nb_again)
			vhost_pci_store_release(&inflight->split->desc[head].inflight, 0);
	}
}

static void
untake_last_packed(struct vhost_pci_vring *vr, uint16_t avail_idx, bool avail_wrap)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	uint16_t nb = 0;

	while (avail_idx != vr->avail_idx || avail_wrap != vr->avail_wrap) {
		uint16_t head = inflight->at_slot[avail_idx];

		if (again_distance(vr, avail_idx, avail_wrap) >= inflight->nb_again)
			inflight->untaken[nb++] = head;
		vhost_pci_packed_advance(vr, &avail_idx, &avail_wrap, inflight->entries[head].num);
	}
	while (nb > 0)
		untake_packed(vr, inflight->untaken[--nb]);
}

void
vhost_pci_inflight_untake(struct vhost_pci_vring *vr, uint16_t avail_idx, bool avail_wrap)
{
	/* The last one first: whenever this is cut short, chains under way are those from the
	 * driver's oldest on, and the next back-end knows by their number where to go on. Those of
	 * an earlier back-end are in the area and stay there.
	 */
	if (vr->is_packed)
		untake_last_packed(vr, avail_idx, avail_wrap);
	else
		untake_last_split(vr, avail_idx);
}

/* Returning */

void
vhost_pci_inflight_put(struct vhost_pci_vring *vr, const struct vhost_pci_chain *chain)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	uint16_t head = chain->id;

	/* A driver that offers more than its queue holds has itself to blame. */
	if (inflight->nb_batch == inflight->nb_entries)
		return;
	if (vr->is_packed) {
		if (inflight->by_id[chain->id] == 0)
			return;
		head = inflight->by_id[chain->id] - 1;
		inflight->by_id[chain->id] = 0;
	} else {
		struct vhost_user_inflight_split *area = inflight->split;

		vhost_pci_store_release(&area->desc[head].next,
				vhost_pci_load_relaxed(&area->last_batch_head));
		vhost_pci_store_release(&area->last_batch_head, head);
	}
	inflight->batch[inflight->nb_batch++] = head;
}

static void
flush_split(struct vhost_pci_vring *vr)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	uint16_t i;

	vhost_pci_split_flush(vr);
	for (i = 0; i < inflight->nb_batch; i++)
		vhost_pci_store_release(&inflight->split->desc[inflight->batch[i]].inflight, 0);
	vhost_pci_store_release(&inflight->split->used_idx, vr->used_idx);
}

static void
flush_packed(struct vhost_pci_vring *vr)
{
	struct vhost_pci_inflight *inflight = vr->inflight;
	struct vhost_user_inflight_packed *area = inflight->packed;
	uint16_t i;

	/* Not before: a chain that is taken meanwhile commits the list of free entries. */
	for (i = 0; i < inflight->nb_batch; i++)
		free_entries(inflight, inflight->batch[i]);
	vhost_pci_store_release(&area->used_wrap_counter, vr->used_wrap);
	vhost_pci_store_release(&area->used_idx, vr->used_idx);
	vhost_pci_packed_flush(vr);
	for (i = 0; i < inflight->nb_batch; i++)
		vhost_pci_store_release(&area->desc[inflight->batch[i]].inflight, 0);
	vhost_pci_store_release(&area->old_free_head, inflight->free_head);
	/* The wrap counter before the index: the old index with the new counter never looks like a
	 * descriptor that is available, while the new index with the old counter may, in the
	 * middle of a chain of the lap before.
	 */
	vhost_pci_store_release(&area->old_used_wrap_counter, vr->used_wrap);
	vhost_pci_store_release(&area->old_used_idx, vr->used_idx);
}

void
vhost_pci_inflight_flush(struct vhost_pci_vring *vr)
{
	struct vhost_pci_inflight *inflight = vr->inflight;

	if (vr->nb_unflushed == 0)
		return;
	if (vr->is_packed)
		flush_packed(vr);
	else
		flush_split(vr);
	inflight->nb_batch = 0;
	if (again_distance(vr, vr->avail_idx, vr->avail_wrap) >= inflight->nb_again)
		inflight->nb_again = 0;
}

/* Starting */

static int
compare_found(const void *a, const void *b)
{
	const struct found *left = a, *right = b;

	return left->counter < right->counter ? -1 : left->counter > right->counter;
}

/** Sort what was found and go on counting behind it. Returns 0 or -EINVAL. */
static int
sort_found(struct vhost_pci_inflight *inflight, struct found *found, uint32_t nb)
{
	qsort(found, nb, sizeof(*found), compare_found);
	inflight->counter = 0;
	if (nb == 0)
		return 0;
	/* No back-end gets there. */
	if (found[nb - 1].counter >= UINT64_MAX / 2)
		return -EINVAL;
	inflight->counter = found[nb - 1].counter + 1;
	return 0;
}

/** Make the area of a queue that was never tracked. */
static void
init_split(const struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight)
{
	struct vhost_user_inflight_split *area = inflight->split;
	uint32_t i;

	for (i = 0; i < inflight->nb_entries; i++)
		vhost_pci_store_release(&area->desc[i].inflight, 0);
	vhost_pci_store_release(&area->features, 0);
	vhost_pci_store_release(&area->desc_num, inflight->nb_entries);
	vhost_pci_store_release(&area->last_batch_head, 0);
	vhost_pci_store_release(&area->used_idx, vr->used_idx);
	vhost_pci_store_release(&area->version, AREA_VERSION);
}

/** Finish what the last back-end was about to write when it died. Returns 0 or -EINVAL. */
static int
finish_split(const struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight)
{
	struct vhost_user_inflight_split *area = inflight->split;
	uint16_t head = vhost_pci_load_relaxed(&area->last_batch_head);
	uint16_t nb = (uint16_t)(vr->used_idx - vhost_pci_load_relaxed(&area->used_idx));

	if (nb > vr->size)
		return -EINVAL;
	for (; nb > 0; nb--) {
		if (head >= vr->size)
			return -EINVAL;
		vhost_pci_store_release(&area->desc[head].inflight, 0);
		head = vhost_pci_load_relaxed(&area->desc[head].next);
	}
	vhost_pci_store_release(&area->used_idx, vr->used_idx);
	return 0;
}

static int
open_split(struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight, struct found *found)
{
	struct vhost_user_inflight_split *area = inflight->split;
	uint32_t nb = 0;
	uint32_t i;
	int ret;

	if (vhost_pci_load_relaxed(&area->version) == 0)
		init_split(vr, inflight);
	if (vhost_pci_load_relaxed(&area->version) != AREA_VERSION ||
			vhost_pci_load_relaxed(&area->desc_num) != inflight->nb_entries)
		return -EINVAL;
	ret = finish_split(vr, inflight);
	if (ret < 0)
		return ret;
	for (i = 0; i < vr->size; i++)
		if (vhost_pci_load_relaxed(&area->desc[i].inflight) != 0)
			found[nb++] = (struct found){
				.counter = vhost_pci_load_relaxed(&area->desc[i].counter),
				.head = (uint16_t)i,
			};
	ret = sort_found(inflight, found, nb);
	if (ret < 0)
		return ret;
	for (i = 0; i < nb; i++)
		inflight->at_slot[(vr->used_idx + i) & (vr->size - 1)] = found[i].head;
	inflight->again_idx = vr->used_idx;
	inflight->nb_again = nb;
	return 0;
}

static void
init_packed(const struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight)
{
	struct vhost_user_inflight_packed *area = inflight->packed;
	uint16_t i;

	for (i = 0; i < inflight->nb_entries; i++) {
		vhost_pci_store_release(&area->desc[i].inflight, 0);
		vhost_pci_store_release(&area->desc[i].next, (uint16_t)(i + 1));
	}
	vhost_pci_store_release(&area->features, 0);
	vhost_pci_store_release(&area->desc_num, inflight->nb_entries);
	vhost_pci_store_release(&area->free_head, 0);
	vhost_pci_store_release(&area->old_free_head, 0);
	vhost_pci_store_release(&area->used_idx, vr->used_idx);
	vhost_pci_store_release(&area->old_used_idx, vr->used_idx);
	vhost_pci_store_release(&area->used_wrap_counter, vr->used_wrap);
	vhost_pci_store_release(&area->old_used_wrap_counter, vr->used_wrap);
	vhost_pci_store_release(&area->version, AREA_VERSION);
}

/** Go forward or back to where the last back-end was in good order. Returns 0 or -EINVAL. */
static int
finish_packed(struct vhost_pci_vring *vr, const struct vhost_pci_inflight *inflight)
{
	struct vhost_user_inflight_packed *area = inflight->packed;
	uint16_t free_head = vhost_pci_load_relaxed(&area->old_free_head);
	uint16_t used_idx = vhost_pci_load_relaxed(&area->old_used_idx);
	bool used_wrap = (vhost_pci_load_relaxed(&area->old_used_wrap_counter) & 1) != 0;
	uint16_t new_idx = vhost_pci_load_relaxed(&area->used_idx);
	bool new_wrap = (vhost_pci_load_relaxed(&area->used_wrap_counter) & 1) != 0;
	uint32_t base;
	uint32_t i;

	if (used_idx >= vr->size || new_idx >= vr->size)
		return -EINVAL;
	/* It was about to publish a batch: the batch's first descriptor says whether it has. */
	if ((new_idx != used_idx || new_wrap != used_wrap) &&
			!vhost_pci_packed_is_avail(
					vhost_pci_load_acquire(&vr->packed.desc[used_idx].flags),
					used_wrap)) {
		free_head = vhost_pci_load_relaxed(&area->free_head);
		used_idx = new_idx;
		used_wrap = new_wrap;
	}
	for (i = 0; i < inflight->nb_entries && free_head < inflight->nb_entries; i++) {
		vhost_pci_store_release(&area->desc[free_head].inflight, 0);
		free_head = vhost_pci_load_relaxed(&area->desc[free_head].next);
	}
	base = used_idx | (uint32_t)used_wrap << VHOST_PCI_BASE_WRAP_BIT;
	return vhost_pci_vring_set_base(vr, base | base << 16);
}

/** Copy the descriptors of a chain behind those before. Returns 0 or -EINVAL. */
static int
copy_chain(const struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight, uint16_t head)
{
	const struct vhost_user_inflight_packed *area = inflight->packed;
	uint16_t num = vhost_pci_load_relaxed(&area->desc[head].num);
	uint16_t entry = head;
	uint16_t id = 0;
	uint16_t i;

	if (num == 0 || num > vr->size - inflight->nb_again)
		return -EINVAL;
	for (i = 0; i < num; i++) {
		const struct vhost_user_desc_packed *from = &area->desc[entry];

		/* An entry is in one chain only, and once. */
		if (entry >= inflight->nb_entries || inflight->entries[entry].last != NONE)
			return -EINVAL;
		id = vhost_pci_load_relaxed(&from->id);
		inflight->again[inflight->nb_again + i] = (struct vhost_pci_desc){
			.gpa = vhost_pci_load_relaxed(&from->addr),
			.len = vhost_pci_load_relaxed(&from->len),
			.flags = vhost_pci_load_relaxed(&from->flags),
			.next = id,
		};
		inflight->entries[entry].last = entry;
		inflight->entries[head].last = entry;
		inflight->entries[entry].next = vhost_pci_load_relaxed(&from->next);
		entry = inflight->entries[entry].next;
	}
	if (inflight->by_id[id] != 0)
		return -EINVAL;
	inflight->by_id[id] = head + 1;
	inflight->entries[head].num = num;
	return 0;
}

/** Set up a place of the ring for a chain of an earlier back-end. */
static void
place_again(struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight, uint16_t head)
{
	uint16_t num = inflight->entries[head].num;
	uint16_t slot = vr->used_idx;
	bool wrap = vr->used_wrap;
	uint16_t i;

	vhost_pci_packed_advance(vr, &slot, &wrap, (uint16_t)inflight->nb_again);
	inflight->at_slot[slot] = head;
	inflight->nb_again += num;
	for (i = 0; i < num; i++) {
		uint16_t *flags = &vr->packed.desc[slot].flags;
		uint16_t value = vhost_pci_load_relaxed(flags);

		/* The last back-end may have written a used entry here that it never published: the
		 * driver would find it as soon as it has got the entry before.
		 */
		value &= (uint16_t) ~(VHOST_PCI_PACKED_F_AVAIL | VHOST_PCI_PACKED_F_USED);
		value |= wrap ? VHOST_PCI_PACKED_F_AVAIL : VHOST_PCI_PACKED_F_USED;
		vhost_pci_store_relaxed(flags, value);
		vhost_pci_packed_advance(vr, &slot, &wrap, 1);
	}
}

/** Make the list of free entries anew: those that no chain has. */
static void
make_free_list(struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight)
{
	struct vhost_user_inflight_packed *area = inflight->packed;
	uint16_t next = inflight->nb_entries;
	uint16_t i;

	/* If this is cut short, free entries are linked to free entries only. */
	for (i = inflight->nb_entries; i-- > 0;) {
		if (inflight->entries[i].last != NONE)
			continue;
		inflight->entries[i].next = next;
		vhost_pci_store_release(&area->desc[i].next, next);
		next = i;
		inflight->nb_free++;
	}
	inflight->free_head = next;
	vhost_pci_store_release(&area->old_free_head, next);
	vhost_pci_store_release(&area->old_used_wrap_counter, vr->used_wrap);
	vhost_pci_store_release(&area->old_used_idx, vr->used_idx);
	vhost_pci_store_release(&area->free_head, next);
	vhost_pci_store_release(&area->used_wrap_counter, vr->used_wrap);
	vhost_pci_store_release(&area->used_idx, vr->used_idx);
}

static int
open_packed(struct vhost_pci_vring *vr, struct vhost_pci_inflight *inflight, struct found *found)
{
	struct vhost_user_inflight_packed *area = inflight->packed;
	uint32_t nb = 0;
	uint32_t i;
	int ret;

	if (vhost_pci_load_relaxed(&area->version) == 0)
		init_packed(vr, inflight);
	if (vhost_pci_load_relaxed(&area->version) != AREA_VERSION ||
			vhost_pci_load_relaxed(&area->desc_num) != inflight->nb_entries)
		return -EINVAL;
	ret = finish_packed(vr, inflight);
	if (ret < 0)
		return ret;
	for (i = 0; i < inflight->nb_entries; i++)
		if (vhost_pci_load_relaxed(&area->desc[i].inflight) != 0)
			found[nb++] = (struct found){
				.counter = vhost_pci_load_relaxed(&area->desc[i].counter),
				.head = (uint16_t)i,
			};
	ret = sort_found(inflight, found, nb);
	for (i = 0; ret == 0 && i < nb; i++) {
		ret = copy_chain(vr, inflight, found[i].head);
		if (ret == 0)
			place_again(vr, inflight, found[i].head);
	}
	if (ret < 0)
		return ret;
	inflight->again_idx = vr->used_idx;
	inflight->again_wrap = vr->used_wrap;
	make_free_list(vr, inflight);
	return 0;
}

static void
inflight_free(struct vhost_pci_inflight *inflight)
{
	free(inflight->batch);
	free(inflight->at_slot);
	free(inflight->untaken);
	free(inflight->again);
	free(inflight->entries);
	free(inflight->by_id);
	free(inflight);
}

/** What a packed vring needs besides; nothing is in a chain. Returns 0 or -ENOMEM. */
static int
alloc_packed(struct vhost_pci_inflight *inflight, uint16_t size)
{
	inflight->again = calloc(size, sizeof(*inflight->again));
	inflight->entries = calloc(inflight->nb_entries, sizeof(*inflight->entries));
	inflight->by_id = calloc(NB_IDS, sizeof(*inflight->by_id));
	inflight->untaken = calloc(size, sizeof(*inflight->untaken));
	if (inflight->again == NULL || inflight->entries == NULL || inflight->by_id == NULL ||
			inflight->untaken == NULL)
		return -ENOMEM;
	memset(inflight->entries, 0xff, inflight->nb_entries * sizeof(*inflight->entries));
	return 0;
}

static struct vhost_pci_inflight *
inflight_alloc(const struct vhost_pci_vring *vr, uint16_t queue_size)
{
	struct vhost_pci_inflight *inflight = calloc(1, sizeof(*inflight));

	if (inflight == NULL)
		return NULL;
	inflight->nb_entries = queue_size;
	inflight->batch = calloc(queue_size, sizeof(*inflight->batch));
	inflight->at_slot = calloc(vr->size, sizeof(*inflight->at_slot));
	if (inflight->batch == NULL || inflight->at_slot == NULL ||
			(vr->is_packed && alloc_packed(inflight, vr->size) < 0)) {
		inflight_free(inflight);
		return NULL;
	}
	return inflight;
}

int
vhost_pci_inflight_open(struct vhost_pci_vring *vr, void *area, uint16_t queue_size)
{
	struct vhost_pci_inflight *inflight;
	struct found *found;
	int ret = -ENOMEM;

	if (vr->size > queue_size || (uintptr_t)area % sizeof(uint64_t) != 0)
		return -EINVAL;
	inflight = inflight_alloc(vr, queue_size);
	found = calloc(queue_size, sizeof(*found));
	if (inflight != NULL && found != NULL) {
		inflight->packed = area;
		ret = vr->is_packed ? open_packed(vr, inflight, found)
				    : open_split(vr, inflight, found);
	}
	free(found);
	if (ret == 0)
		vr->inflight = inflight;
	else if (inflight != NULL)
		inflight_free(inflight);
	return ret;
}

void
vhost_pci_inflight_close(struct vhost_pci_vring *vr)
{
	if (vr->inflight != NULL)
		inflight_free(vr->inflight);
	vr->inflight = NULL;
}
