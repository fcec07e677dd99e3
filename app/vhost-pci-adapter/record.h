/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What was learned of a front-end, and how it is told to a driver that comes later or again
 * (vhost_pci_adapter_spec.rst, sections 9.3 and 13, cited as [ADP-...]).
 *
 * A record is bounded: a message supersedes an earlier one that set the same [ADP-9.8].
 */

#ifndef RECORD_H
#define RECORD_H

#include "dirty_log.h"
#include "vhost_pci_adapter.h"
#include "vhost_pci_codec.h"
#include "window.h"

/** Regions that a front-end may have: memory slots as in the engine's table. */
#define RECORD_REGIONS 509u

/** An event of the front-end: an fd, or the word that there is none. */
struct record_event {
	bool is_set; /**< the message has come */
	int fd;      /**< the record's; -1: polling */
};

/** Messages of a vring that have come, bits of struct record_vring::got. */
enum record_vring_got {
	RECORD_VRING_NUM = 0x1,
	RECORD_VRING_ENDIAN = 0x2,
	RECORD_VRING_BASE = 0x4,
	RECORD_VRING_ADDR = 0x8,
	RECORD_VRING_ENABLE = 0x10,
};

/** A vring. */
struct record_vring {
	unsigned int got; /**< RECORD_VRING_* */
	uint32_t num;
	uint32_t endian;
	uint32_t enable;
	struct vhost_vring_addr addr;
	struct record_event kick;
	struct record_event call;
	struct record_event err;
	bool is_started; /**< by SET_VRING_KICK, until GET_VRING_BASE */

	uint32_t base;     /**< of the last SET_VRING_BASE, or reply to GET_VRING_BASE */
	bool base_is_true; /**< no driver has used the vring since then */
	uint32_t saved_base;
	bool saved_is_valid; /**< a driver left saved_base behind at its reset */
};

/** A region of memory. */
struct record_region {
	struct vhost_user_mem_region wire; /**< as the front-end sent it */
	unsigned int file;                 /**< its index in the window */
	uint32_t nb_more;                  /**< how often it was added once more */
};

/** A record. */
struct record {
	uint64_t got; /**< a bit for each id that has come, of ids below 64 */
	uint64_t features;
	uint64_t protocol_features;
	uint64_t mtu;
	uint64_t status;
	struct vhost_user_dev_info dev_info; /**< all 0: not known */
	bool is_dialect;                     /**< a message had a header of version 2 */
	bool peer_is_said;                   /**< SET_PEER_CONNECTION has come */
	uint32_t peer;                       /**< VHOST_USER_PEER_*, as the front-end said */
	struct window window;                /**< the files the regions are in */
	unsigned int nb_regions;
	struct record_region *regions; /**< RECORD_REGIONS of them */
	struct vhost_user_log log;
	struct dirty_log dirty_log;
	struct record_event log_event;
	unsigned int nb_vrings;
	struct record_vring vrings[VHOST_PCI_ADAPTER_VRINGS_MAX];
};

/** Where a replay is. */
struct record_cursor {
	unsigned int step;
	unsigned int i; /**< within a step that is repeated */
};

/** Initialise an empty record. */
void record_init(struct record *record, unsigned int nb_vrings);

/** Close all fds and free all. */
void record_clear(struct record *record);

/** Note that a message has come. */
void record_note(struct record *record, uint32_t request);

/** Forget that a message has come. */
void record_forget(struct record *record, uint32_t request);

/** Whether a message has come. */
bool record_has(const struct record *record, uint32_t request);

/** Whether a feature of the protocol was negotiated: a VHOST_USER_PROTOCOL_F_ number. */
bool record_has_protocol(const struct record *record, unsigned int feature);

/** Set an event; the fd becomes the record's. */
void record_event_set(struct record_event *event, int fd);

/** Forget an event. */
void record_event_clear(struct record_event *event);

/** Forget all vrings, and the device's status: RESET_DEVICE. */
void record_reset_device(struct record *record);

/**
 * Replace all memory.
 *
 * @param fds	One for each region, the caller's.
 * @return 0; -EINVAL for a region that is empty, wraps, reaches beyond its file or overlaps
 *	   another; what window_add() returns. In these cases the record is as before.
 */
int record_set_memory(struct record *record, const struct vhost_user_mem_region *regions,
		const int *fds, unsigned int nb_regions, bool require_seals);

/**
 * Add a region.
 *
 * @return as record_set_memory(); -E2BIG for one too many; 1 for one that is there, and is to be
 *	   removed as often as it was added, which a driver need not know.
 */
int record_add_region(struct record *record, const struct vhost_user_mem_region *region, int fd,
		bool require_seals);

/**
 * Remove a region, known by its addresses and size.
 *
 * @return 0; 1 if it stays, for it was added more often; -ENOENT.
 */
int record_remove_region(struct record *record, const struct vhost_user_mem_region *region);

/** The first guest-physical address behind all regions. */
uint64_t record_gpa_end(const struct record *record);

/** Whether the session is complete [ADP-9.9]. */
bool record_is_complete(const struct record *record);

/**
 * The base of a vring [ADP-13.3].
 *
 * @return 0; -ENODATA where there is none: a packed ring that a driver left in disorder.
 */
int record_vring_base(const struct record *record, unsigned int index, uint32_t *base);

/** A driver has been told to start a vring: what was known of its base is true no more. */
void record_vring_used(struct record_vring *vring);

/** The front-end has got this base in reply to GET_VRING_BASE: the vring is stopped. */
void record_vring_stopped(struct record_vring *vring, uint32_t base);

/**
 * Make the next message of a replay [ADP-9.10].
 *
 * Memory and log are as the front-end sent them: the caller puts bar addresses in [ADP-9.4].
 *
 * @param cursor All zero at the beginning.
 * @param[out] msg The message; nb_fds is set, its fds are -1.
 * @return Whether there was one.
 */
bool record_replay(const struct record *record, struct record_cursor *cursor,
		struct vhost_pci_msg *msg);

#endif /* RECORD_H */
