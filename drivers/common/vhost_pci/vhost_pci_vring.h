/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A vring as the back-end sees it: the memory of one virtqueue of the front-end, its indexes,
 * and the gate between the control thread, the thread that polls it, and those that only look.
 *
 * Ownership: the control thread writes a vring only while it is paused; the polling thread
 * touches it only between vhost_pci_vring_enter() and vhost_pci_vring_leave(), any other thread
 * only looks at it, between vhost_pci_vring_enter_look() and vhost_pci_vring_leave_look(). The
 * walk of the ring itself is in vhost_pci_ring.h.
 */

#ifndef VHOST_PCI_VRING_H
#define VHOST_PCI_VRING_H

#include <errno.h>

#include <linux/virtio_ring.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_mem.h"
#include "vhost_pci_notify_fd.h"

/** Largest queue size of either format (VIRTIO 2.7, 2.8). */
#define VHOST_PCI_VRING_MAX_SIZE 32768

/**
 * Entries that an indirect table may have in the smallest of queues. VIRTIO 2.7.5.3.1 has none
 * longer than the queue size, but Linux makes tables as long as a packet's fragments ask for,
 * up to 47, whatever the queue size.
 */
#define VHOST_PCI_VRING_SMALL_TABLE 64

/** Slot and wrap counter in one half of a packed ring's base (vhost-user, SET_VRING_BASE). */
#define VHOST_PCI_BASE_WRAP_BIT  15
#define VHOST_PCI_BASE_SLOT_MASK ((1u << VHOST_PCI_BASE_WRAP_BIT) - 1)

/**
 * @name What kind of ring a vring is: bits. The functions that walk a ring have them as a constant
 * argument, and are compiled for each kind that is used.
 */
/**@{*/
#define VHOST_PCI_RING_SPLIT  0u        /**< No bit: a split ring, and nothing else. */
#define VHOST_PCI_RING_PACKED (1u << 0) /**< VIRTIO_F_RING_PACKED was negotiated. */
/**
 * A rare mode is on; which one is looked for at run time. Rings without this bit have no code for
 * any of them.
 */
#define VHOST_PCI_RING_TRACKED (1u << 1)
#define VHOST_PCI_RING_KINDS   4 /**< For tables indexed by a kind. */
/**@}*/

/** What a polling thread may do with a vring at the moment. */
enum vhost_pci_vring_mode {
	VHOST_PCI_VRING_OFF,     /**< Nothing: stopped, suspended, or the port is down. */
	VHOST_PCI_VRING_DISCARD, /**< Started but disabled: take what comes and throw it away. */
	VHOST_PCI_VRING_ON,      /**< Process packets. */
};

/** Why a vring was broken: the first thing in it that no correct driver does. */
enum vhost_pci_vring_error {
	VHOST_PCI_VRING_OK,
	VHOST_PCI_VRING_E_AVAIL_IDX,       /**< avail idx is more than a queue size ahead. */
	VHOST_PCI_VRING_E_HEAD,            /**< An avail entry is not below the queue size. */
	VHOST_PCI_VRING_E_NEXT,            /**< A next field is not below the table's size. */
	VHOST_PCI_VRING_E_LOOP,            /**< A chain is longer than the queue. */
	VHOST_PCI_VRING_E_WRAP,            /**< Packed: part of a chain is not available. */
	VHOST_PCI_VRING_E_INDIRECT,        /**< An indirect table where none was negotiated. */
	VHOST_PCI_VRING_E_INDIRECT_LEN,    /**< Of 0 or too many entries, or of no whole number. */
	VHOST_PCI_VRING_E_INDIRECT_NEXT,   /**< INDIRECT and NEXT both set. */
	VHOST_PCI_VRING_E_INDIRECT_NESTED, /**< INDIRECT inside an indirect table. */
	VHOST_PCI_VRING_E_ADDR,            /**< A buffer or table is not in the memory table. */
	VHOST_PCI_VRING_E_DIRECTION,       /**< A writable buffer to read from, or the reverse. */
	VHOST_PCI_VRING_E_LENGTH,          /**< A chain's lengths add up to 4 GiB or more. */
	VHOST_PCI_VRING_E_SEGMENTS,        /**< A chain is in more pieces than a table can hold. */
	VHOST_PCI_VRING_E_ID,              /**< More chains are under way than there can be. */
	VHOST_PCI_VRING_E_RUNT,            /**< A chain has no room for the virtio-net header. */
	VHOST_PCI_VRING_E_MAX,
};

struct vhost_pci_iotlb;
struct vhost_pci_lend;

/** A piece of a chain that is contiguous in this process. */
struct vhost_pci_seg {
	uint8_t *va;  /**< Peer memory: untrusted, may change at any time. */
	uint32_t len; /**< Bytes, at least 1, all within the memory table. */
};

/**
 * What tells the peer, or the peer's driver, of something: an eventfd (or pipe) of the socket
 * transport, a doorbell register of the adapter, or a word for control, which sends a message.
 */
struct vhost_pci_notifier {
	int fd;                        /**< Owned, unless is_inband; -1: none. */
	enum vhost_pci_notify_way way; /**< How the fd is written to. */
	bool is_inband;                /**< fd wakes control, which looks at the doorbell. */
	volatile uint32_t *doorbell;   /**< Goes before an fd; NULL: none. */
	uint32_t value;                /**< Written to the doorbell. */
};

/** Where a vring's writes to guest memory are logged; see vhost_pci_dirty.h. */
struct vhost_pci_dirty {
	/* Written by control while paused. */
	uint8_t *log;      /**< The byte of guest-physical address 0; NULL: nothing is logged. */
	uint64_t nb_pages; /**< Bits of the log. */
	uint64_t used_gpa; /**< Where writes to the used ring, or the device event, are logged. */
	bool log_used;     /**< VHOST_VRING_F_LOG: those are logged at all. */
	struct vhost_pci_notifier notifier; /**< Of SET_LOG_FD; not owned. */
	/* Owned by the polling thread. */
	bool changed; /**< A page was marked since the front-end was told. */
};

/** How far the question for a translation has come. */
enum vhost_pci_miss_state {
	VHOST_PCI_MISS_NONE,    /**< Nothing is missing: the polling thread's to write. */
	VHOST_PCI_MISS_POSTED,  /**< To be asked for; from here on control's. */
	VHOST_PCI_MISS_SENT,    /**< The front-end was asked. */
	VHOST_PCI_MISS_REFUSED, /**< It said no; asked once more when the IOTLB has changed. */
};

/** A translation that a vring lacks, one at a time; see vhost_pci_vring_miss(). */
struct vhost_pci_miss {
	uint64_t iova;
	uint8_t perm;   /**< VHOST_ACCESS_*. */
	uint32_t state; /**< enum vhost_pci_miss_state; atomic. */
};

/** Events that a vring counts; see vhost_pci_count(). */
struct vhost_pci_vring_stats {
	uint64_t notifications; /**< Calls sent to the front-end. */
	uint64_t discarded;     /**< Chains taken and thrown away in VHOST_PCI_VRING_DISCARD. */
	uint64_t log_beyond;    /**< Writes that could not be logged: the log is too short. */
	uint64_t iotlb_misses;  /**< Translations that were missing. */
};

/** One vring. Fields are grouped by the thread that owns them. */
struct vhost_pci_vring {
	/* Read by the polling thread; written by control while paused. */
	union {
		struct {
			struct vring_desc *desc;
			struct vring_avail *avail;
			struct vring_used *used;
		} split;
		struct {
			struct vring_packed_desc *desc;
			struct vring_packed_desc_event *driver_event;
			struct vring_packed_desc_event *device_event;
		} packed;
	};
	struct vhost_pci_mem *mem; /**< The table that the pointers above come from; a reference. */
	struct vhost_pci_lend *lend; /**< Chains in use after their burst; NULL: none ever are. */
	struct vhost_pci_seg *segs;
	uint32_t max_segs;
	/* The gate: control writes it at any time, the polling thread when the ring breaks. Here,
	 * on the line that a burst reads anyway: a look at an idle ring is as cheap as can be.
	 */
	uint32_t mode;    /**< enum vhost_pci_vring_mode. */
	uint16_t size;    /**< Descriptors; a power of two for split rings. */
	bool is_packed;   /**< VIRTIO_F_RING_PACKED was negotiated. */
	bool event_idx;   /**< VIRTIO_RING_F_EVENT_IDX was negotiated. */
	bool indirect;    /**< VIRTIO_RING_F_INDIRECT_DESC was negotiated. */
	bool kick_always; /**< Kicks are messages that are answered: wanted, polled or not. */
	bool tracked;     /**< A rare mode is on: VHOST_PCI_RING_TRACKED. */
	uint8_t hdr_len;  /**< Bytes of the virtio-net header: 10 legacy, 12 otherwise. */

	/* Owned by the polling thread; control may read and write them while paused. */
	VHOST_PCI_CACHE_ALIGNED uint16_t avail_idx; /**< Split: free-running. Packed: a slot. */
	uint16_t avail_seen;    /**< Split: the peer's avail idx as last loaded and checked. */
	uint16_t used_idx;      /**< Split: free-running. Packed: a slot. */
	bool avail_wrap;        /**< Packed: wrap counter that goes with avail_idx. */
	bool used_wrap;         /**< Packed: wrap counter that goes with used_idx. */
	bool signalled_valid;   /**< signalled_idx was set since the ring was started. */
	bool notify_peer;       /**< The front-end is asked to kick (interrupt mode). */
	uint16_t signalled_idx; /**< used_idx when the peer was last looked at for a call. */
	uint16_t flush_slot;    /**< Packed: slot of the first used entry not yet published. */
	uint16_t flush_flags;   /**< Packed: its flags, withheld until the flush. */
	uint16_t nb_unflushed;  /**< Used entries written but not yet published. */
	uint16_t kick_event;    /**< Split: the avail event last written. */
	uint16_t avail_shown;   /**< Atomic: the avail half of the base, for threads that look. */
	uint32_t nb_segs;       /**< Segments in use in segs. */
	uint32_t busy;          /**< The gate's other half: 1 inside a burst. */
	uint64_t nb_lent;       /**< Chains that are lent, as a gauge: others may look at it. */
	struct vhost_pci_mem_cache cache;
	struct vhost_pci_vring_stats stats;
	enum vhost_pci_vring_error error; /**< Set once, with the atomic accessors. */

	/* Of rare modes, for VHOST_PCI_RING_TRACKED. */
	struct vhost_pci_dirty dirty;
	struct vhost_pci_inflight *inflight; /**< Owned; NULL: chains are not tracked. */
	/** Translates all addresses; cache stays empty. NULL: they are guest-physical. */
	const struct vhost_pci_iotlb *iotlb;
	struct vhost_pci_miss miss;

	/* Written by threads that look; here they are in nobody's way. */
	VHOST_PCI_CACHE_ALIGNED uint32_t nb_lookers; /**< Atomic: those inside the gate. */

	/* Owned by control. Behind an IOTLB the three addresses are IOVAs. */
	VHOST_PCI_CACHE_ALIGNED uint64_t desc_uva;
	uint64_t avail_uva;  /**< Packed: the driver event suppression structure. */
	uint64_t used_uva;   /**< Packed: the device event suppression structure. */
	uint64_t log_gpa;    /**< Where used ring writes are logged, with VHOST_VRING_F_LOG. */
	uint32_t addr_flags; /**< Flags of SET_VRING_ADDR. */
	uint32_t base;       /**< What SET_VRING_BASE said, or GET_VRING_BASE returned. */
	unsigned int index;  /**< Number of the virtqueue. */
	bool addr_set;       /**< SET_VRING_ADDR was seen. */
	bool started;        /**< SET_VRING_KICK was seen, GET_VRING_BASE was not. */
	bool enabled;        /**< SET_VRING_ENABLE 1, or no VHOST_USER_F_PROTOCOL_FEATURES. */
	bool held;   /**< The ring's own translation was withdrawn: nobody touches its memory. */
	int kick_fd; /**< -1: none, the ring is polled. Owned. */
	struct vhost_pci_notifier call;
	struct vhost_pci_notifier err;
	int broken_fd; /**< Wakes control: broken, or see is_inband; not owned; -1: none. */
};

/** Whether a ring moves data towards the peer or away from it: its Tx is a dequeue for us. */
enum vhost_pci_dir {
	VHOST_PCI_DEQUEUE, /**< The peer's buffers are read. */
	VHOST_PCI_ENQUEUE, /**< The peer's buffers are written. */
};

/** Name of an error for messages and counters, such as "avail_idx"; never NULL. */
const char *vhost_pci_vring_error_name(enum vhost_pci_vring_error error);

/** Most entries of an indirect table, for a queue size; see VHOST_PCI_VRING_SMALL_TABLE. */
static inline uint32_t
vhost_pci_vring_max_table(uint32_t size)
{
	return size > VHOST_PCI_VRING_SMALL_TABLE ? size : VHOST_PCI_VRING_SMALL_TABLE;
}

/** The VHOST_PCI_RING_* of a vring that is mapped. The polling thread, or control while paused. */
static inline unsigned int
vhost_pci_vring_kind(const struct vhost_pci_vring *vr)
{
	return (vr->is_packed ? VHOST_PCI_RING_PACKED : VHOST_PCI_RING_SPLIT) |
			(vr->tracked ? VHOST_PCI_RING_TRACKED : 0);
}

/** Bring a vring to its initial, stopped state; all fds are -1. Control thread. */
void vhost_pci_vring_init(struct vhost_pci_vring *vr, unsigned int index);

/** Close what a paused vring owns and bring it back to its initial state. Control thread. */
void vhost_pci_vring_fini(struct vhost_pci_vring *vr);

/** What vhost_pci_vring_map() needs to know besides the vring itself. */
struct vhost_pci_vring_format {
	uint16_t size;                       /**< Queue size; checked again here. */
	bool is_packed;                      /**< Ring format. */
	bool event_idx;                      /**< Event index negotiated. */
	bool indirect;                       /**< Indirect descriptors negotiated. */
	uint8_t hdr_len;                     /**< 10 or 12. */
	const struct vhost_pci_iotlb *iotlb; /**< Outlives the mapping; NULL: none. */
};

/**
 * Derive a paused vring's pointers from its user addresses and a memory table.
 *
 * Called at the start of the ring, and again whenever table or addresses change; indexes stay.
 * On failure the vring is left unmapped (its mode must stay VHOST_PCI_VRING_OFF).
 *
 * @return 0; -EINVAL for a queue size of 0, above VHOST_PCI_VRING_MAX_SIZE, or (split) not a
 *	   power of two, and for a misaligned part; -EFAULT where a part of the ring is not
 *	   within one region, or not contiguous behind an IOTLB; -EAGAIN where a translation is
 *	   missing, which was posted; -ENOMEM.
 *
 * Control thread. Clauses: VIRTIO 2.7 and 2.8 (alignment), 2.7.2, vhost-user SET_VRING_ADDR.
 */
int vhost_pci_vring_map(struct vhost_pci_vring *vr, struct vhost_pci_mem *mem,
		const struct vhost_pci_vring_format *format);

/**
 * Derive the pointers of a paused vring that is mapped behind an IOTLB once more, after the IOTLB
 * has changed. On failure they are what they were, and are not to be used.
 *
 * @return 0 or an error of vhost_pci_vring_map(). Control thread.
 */
int vhost_pci_vring_remap(struct vhost_pci_vring *vr);

/**
 * Post a miss, unless there is one under way: control, which is woken, asks the front-end.
 *
 * @param perm	VHOST_ACCESS_*: what is to be done there.
 * @return -EAGAIN, so that a walk can return its result.
 *
 * The thread that polls the queue, inside the gate, or control while the vring is paused.
 */
int vhost_pci_vring_miss(struct vhost_pci_vring *vr, uint64_t iova, uint8_t perm);

/** Forget a paused vring's pointers and its reference of the memory table. Control thread. */
void vhost_pci_vring_unmap(struct vhost_pci_vring *vr);

/**
 * Set the indexes of a paused vring from a base, as SET_VRING_BASE defines it: for a split ring
 * the avail index; for a packed ring avail slot and wrap counter in bits 0-15, used slot and
 * wrap counter in bits 16-31; where the latter are all 0, the used half is as the avail half.
 *
 * @return 0, or -EINVAL where a slot is not below the queue size. Control thread.
 */
int vhost_pci_vring_set_base(struct vhost_pci_vring *vr, uint32_t base);

/** The base of a paused vring in the form of vhost_pci_vring_set_base(). Control thread. */
uint32_t vhost_pci_vring_get_base(const struct vhost_pci_vring *vr);

/**
 * Stop all use of a vring and wait until a burst and the looks that are under way are over.
 *
 * Waits for at most one burst and one look of each thread; control may then change the vring.
 * The wait has no bound of its own, and needs none: a burst takes no lock, makes no system call
 * that waits (see vhost_pci_notify_fd.h), and walks no chain for longer than the queue size,
 * whatever the peer does. What is left is a thread that is not run, for which the process stands.
 * Control thread.
 */
void vhost_pci_vring_pause(struct vhost_pci_vring *vr);

/** Let the polling thread use a vring again, in the given mode. Control thread. */
void vhost_pci_vring_resume(struct vhost_pci_vring *vr, enum vhost_pci_vring_mode mode);

/** What vhost_pci_vring_break() does; the same thread. */
void vhost_pci_vring_set_broken(struct vhost_pci_vring *vr, enum vhost_pci_vring_error error);

/**
 * Declare a vring broken: the first error is kept, control is woken, and no burst uses the ring
 * until the front-end sets it up anew. Returns -EPROTO, so that a check can return its result.
 *
 * The thread that polls the queue.
 */
static inline int
vhost_pci_vring_break(struct vhost_pci_vring *vr, enum vhost_pci_vring_error error)
{
	vhost_pci_vring_set_broken(vr, error);
	return -EPROTO;
}

/**
 * Tell the peer, without regard to what it wants: a store to a doorbell, a write that never
 * blocks, or both. The thread that polls the queue, or control while the vring is paused.
 */
void vhost_pci_notifier_signal(const struct vhost_pci_notifier *notifier);

/**
 * Let other threads see how far chains have been taken: slot and wrap counter at once.
 *
 * The thread that polls the queue, or control while the vring is paused.
 */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_vring_show_avail(struct vhost_pci_vring *vr, const bool is_packed)
{
	uint32_t wrap = is_packed ? (uint32_t)vr->avail_wrap << VHOST_PCI_BASE_WRAP_BIT : 0;

	vhost_pci_store_relaxed(&vr->avail_shown, (uint16_t)(vr->avail_idx | wrap));
}

/**
 * Enter the gate.
 *
 * @return What may be done; unless it is VHOST_PCI_VRING_OFF, vhost_pci_vring_leave() follows.
 *
 * The thread that polls the queue. Partner: vhost_pci_vring_pause().
 */
static inline enum vhost_pci_vring_mode
vhost_pci_vring_enter(struct vhost_pci_vring *vr)
{
	uint32_t mode = vhost_pci_load_relaxed(&vr->mode);

	if (mode == VHOST_PCI_VRING_OFF)
		return VHOST_PCI_VRING_OFF;
	/* Control stores mode, then loads busy; here busy is stored, then mode loaded: at least
	 * one of the two sees the other.
	 */
	vhost_pci_store_full(&vr->busy, 1);
	mode = vhost_pci_load_full(&vr->mode);
	if (vhost_pci_unlikely(mode == VHOST_PCI_VRING_OFF))
		vhost_pci_store_release(&vr->busy, 0);
	return (enum vhost_pci_vring_mode)mode;
}

/** Leave the gate. The thread that polls the queue. Partner: vhost_pci_vring_pause(). */
static inline void
vhost_pci_vring_leave(struct vhost_pci_vring *vr)
{
	vhost_pci_store_release(&vr->busy, 0);
}

/**
 * Enter the gate in order to look, and change nothing, while another thread may poll the queue.
 *
 * @return What the polling thread may do; unless it is VHOST_PCI_VRING_OFF,
 *	   vhost_pci_vring_leave_look() follows, and soon: control waits for it.
 *
 * Any thread, any number of them. Partner: vhost_pci_vring_pause().
 */
static inline enum vhost_pci_vring_mode
vhost_pci_vring_enter_look(struct vhost_pci_vring *vr)
{
	uint32_t mode = vhost_pci_load_relaxed(&vr->mode);

	/* A paused vring is left alone: a pause shall not wait for ever new looks. */
	if (mode == VHOST_PCI_VRING_OFF)
		return VHOST_PCI_VRING_OFF;
	/* As in vhost_pci_vring_enter(), with a count in the place of the flag. */
	vhost_pci_add_full(&vr->nb_lookers, 1);
	mode = vhost_pci_load_full(&vr->mode);
	if (vhost_pci_unlikely(mode == VHOST_PCI_VRING_OFF))
		vhost_pci_sub_release(&vr->nb_lookers, 1);
	return (enum vhost_pci_vring_mode)mode;
}

/** Leave the gate after a look. The thread that entered. Partner: vhost_pci_vring_pause(). */
static inline void
vhost_pci_vring_leave_look(struct vhost_pci_vring *vr)
{
	vhost_pci_sub_release(&vr->nb_lookers, 1);
}

#endif /* VHOST_PCI_VRING_H */
