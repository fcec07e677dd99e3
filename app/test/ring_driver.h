/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The other side of a vring, for tests of the engine's data plane: a memory of several regions
 * between guard pages, whose three address spaces differ, and a small virtqueue driver for both
 * formats. Neither uses the engine's code, and both let a test write what no driver would.
 *
 * The driver can be run in a thread of its own, opposite to the one that polls the vring.
 */

#ifndef RING_DRIVER_H
#define RING_DRIVER_H

#include "vhost_pci_ring.h"

/** The regions; HIGH begins in gpa where LOW ends, and nowhere else do two touch. */
enum ring_region {
	RING_REGION_DESC,   /**< The descriptor table, up to the region's last byte. */
	RING_REGION_DRIVER, /**< The avail ring or the driver event, up to the end. */
	RING_REGION_DEVICE, /**< The used ring or the device event, up to the end. */
	RING_REGION_LOW,    /**< Buffers. */
	RING_REGION_HIGH,   /**< Buffers. */
	RING_REGION_FAR,    /**< Buffers, above 4 GiB. */
	RING_NB_REGIONS,
};

/** Where buffers can be: gpa of the regions for them, and of what is in no region. */
enum ring_gpa {
	RING_LOW_GPA = 0x20000000,
	RING_HIGH_GPA = 0x20010000,
	RING_BUF_BYTES = 0x10000, /**< Size of each of the three regions for buffers. */
	RING_HOLE_GPA = 0x30000000,
};

/** The gpa of the region above 4 GiB. */
#define RING_FAR_GPA UINT64_C(0x7400000000)

/** The base of a packed ring that was never used: both at slot 0, both wrap counters 1. */
#define RING_PACKED_START 0x80008000u

/** What a ring shall be. */
struct ring_conf {
	bool is_packed;
	uint16_t size;
	bool event_idx;
	bool no_indirect; /**< Indirect descriptors are not negotiated. */
	uint32_t base;    /**< As SET_VRING_BASE has it; see ring_start(). */
};

/** A small ring of either format, for tests that are run with both. */
extern struct ring_conf ring_split_conf, ring_packed_conf;

/** Two entries of an array of struct CMUnitTest: a test whose state is a struct ring_conf. */
#define RING_BOTH_FORMATS(test) \
	{ #test "_split", test, NULL, NULL, &ring_split_conf }, \
	{ \
#test "_packed", test, NULL, NULL, &ring_packed_conf \
	}

/** One buffer. */
struct ring_buf {
	uint64_t gpa;
	uint32_t len;
};

/** A chain to offer: nb_direct buffers in the ring, then nb_indirect in one table. */
struct ring_offer {
	const struct ring_buf *bufs;
	uint16_t nb_direct;
	uint16_t nb_indirect;
	uint64_t table_gpa; /**< Where to write the table. */
	bool writable;      /**< All buffers are for the device to write. */
};

/** A driver, its memory, and the vring opposite to it. */
struct ring {
	struct vhost_pci_vring *vr;
	struct vhost_pci_mem *mem;
	uint8_t *map[RING_NB_REGIONS]; /**< Mappings with guard pages. */
	size_t map_bytes[RING_NB_REGIONS];
	int broken_fd; /**< An eventfd. */
	int call_fd;   /**< An eventfd. */
	bool is_packed;
	uint16_t size;

	/* Shared memory; the group that belongs to the format is set. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_event;
	struct vring_packed_desc_event *device_event;

	/* The driver's own. */
	uint16_t avail_idx; /**< Split: free-running. Packed: a slot. */
	uint16_t used_idx;
	bool avail_wrap;
	bool used_wrap;
	uint32_t nb_free;     /**< Descriptors in the ring. */
	uint32_t nb_free_ids; /**< Entries of free_ids. */
	uint16_t *free_ids;   /**< A stack: split: slots. Packed: ids. */
	uint16_t *next_slot;  /**< Split: the slot behind this one in its chain. */
	uint16_t *nb_descs;   /**< Slots of the chain with this id; 0: not on its way. */
	uint16_t held_slot;   /**< Packed: first descriptor not published yet. */
	uint64_t held_half;   /**< Packed: its second half. */
	bool held;
};

/** Make memory, driver and vring; the vring is on. Fails the test on any error. */
void ring_open(struct ring *ring, const struct ring_conf *conf);

/** Free all; fails the test where the vring has lost or kept a reference of the memory table. */
void ring_close(struct ring *ring);

/** Begin (or begin again): clear the ring's memory, start driver and vring at this base, on. */
void ring_start(struct ring *ring, uint32_t base);

/** Let nobody touch the memory any more: proves that the vring is left alone. */
void ring_forbid(struct ring *ring);

/** Where a byte of guest memory is here; NULL where there is none. */
uint8_t *ring_va(const struct ring *ring, uint64_t gpa);

/** Whether bytes of this process are all in one region. */
bool ring_in_region(const struct ring *ring, const uint8_t *va, uint32_t len);

/** Write guest memory, across regions too. */
void ring_write(const struct ring *ring, uint64_t gpa, const void *data, size_t bytes);

/** Write entry @p idx of an indirect table, in the ring's format. */
void ring_write_entry(const struct ring *ring, uint64_t table_gpa, unsigned int idx,
		const struct vhost_pci_desc *desc);

/** Write a descriptor of the ring; a packed one becomes visible with it. */
void ring_write_desc(const struct ring *ring, uint16_t slot, const struct vhost_pci_desc *desc);

/** AVAIL and USED flags of a packed descriptor that is available under a wrap counter. */
uint16_t ring_avail_flags(bool wrap);

/** Offer a chain, visible after ring_publish(). Returns its id, -1 where there is no room. */
int ring_offer(struct ring *ring, const struct ring_offer *offer);

/** Offer and publish a chain of one buffer. */
int ring_offer_one(struct ring *ring, uint64_t gpa, uint32_t len, bool writable);

/** Make what was offered visible to the device. */
void ring_publish(struct ring *ring);

/** Take a used chain. Returns false where there is none. */
bool ring_get_used(struct ring *ring, uint32_t *id, uint32_t *len);

/** Take all used chains. */
void ring_take_used(struct ring *ring);

/** Fail the test unless the chain is exactly these buffers. */
void ring_check_chain(const struct ring *ring, const struct vhost_pci_chain *chain,
		const struct ring_buf *bufs, unsigned int nb_bufs);

/** A generator of reproducible numbers. */
uint32_t ring_random(uint64_t *state);

/** @name The device's side, whatever the format. */
/**@{*/
/** Dequeue all chains that are available, and return them. Returns how many they were. */
unsigned int ring_echo(struct ring *ring);

static inline int
ring_next(struct ring *ring, struct vhost_pci_chain *chain, enum vhost_pci_dir dir)
{
	return vhost_pci_ring_next(ring->vr, chain, vhost_pci_vring_kind(ring->vr), dir);
}

static inline void
ring_put(struct ring *ring, const struct vhost_pci_chain *chain, uint32_t len)
{
	vhost_pci_ring_put(ring->vr, chain, len, vhost_pci_vring_kind(ring->vr));
}

static inline void
ring_restore(struct ring *ring, struct vhost_pci_cursor cursor)
{
	vhost_pci_ring_restore(ring->vr, cursor, vhost_pci_vring_kind(ring->vr));
}

static inline void
ring_flush(struct ring *ring)
{
	vhost_pci_ring_flush(ring->vr, vhost_pci_vring_kind(ring->vr));
}

static inline void
ring_end(struct ring *ring)
{
	vhost_pci_ring_end(ring->vr, vhost_pci_vring_kind(ring->vr));
}

static inline bool
ring_call_wanted(struct ring *ring)
{
	return vhost_pci_ring_call_wanted(ring->vr, vhost_pci_vring_kind(ring->vr));
}
/**@}*/

#endif /* RING_DRIVER_H */
