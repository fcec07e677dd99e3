/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The front-end of the session's tests: it hands messages straight to the session, without a
 * socket, and owns what a front-end owns: memory, eventfds, what it expects to hear.
 */

#ifndef SESSION_PEER_H
#define SESSION_PEER_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vhost_pci_session.h"

/** @name The front-end's memory: one region of a file, and vrings in it */
/**@{*/
#define PEER_GPA         UINT64_C(0x40000000)
#define PEER_UVA         UINT64_C(0x7f1200000000)
#define PEER_BYTES       UINT64_C(0x100000)
#define PEER_MMAP_OFFSET UINT64_C(0x3000)  /**< In the file, which is as much longer. */
#define PEER_RING_BYTES  UINT64_C(0x10000) /**< Of each vring's part, from the first byte on. */
#define PEER_AVAIL       UINT64_C(0x4000)  /**< Offset in it; the descriptors are at 0. */
#define PEER_USED        UINT64_C(0x8000)
#define PEER_RING_SIZE   256
/**@}*/

/** Vrings of the session under test: two queue pairs. */
#define PEER_NB_VRINGS 4

/** Largest queue size that the session under test takes. */
#define PEER_MAX_QUEUE_SIZE 1024

/** Features that the session offers, without VHOST_USER_F_PROTOCOL_FEATURES. */
#define PEER_FEATURES \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_F_RING_PACKED | \
			UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX | \
			UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | \
			UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF | UINT64_C(1) << VHOST_F_LOG_ALL)

/** VHOST_USER_F_PROTOCOL_FEATURES as a mask. */
#define PEER_F_PROTOCOL (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)

/** Protocol features that it offers. */
#define PEER_PROTOCOL_FEATURES \
	(VHOST_USER_PROTOCOL_MASK(MQ) | VHOST_USER_PROTOCOL_MASK(LOG_SHMFD) | \
			VHOST_USER_PROTOCOL_MASK(RARP) | VHOST_USER_PROTOCOL_MASK(REPLY_ACK) | \
			VHOST_USER_PROTOCOL_MASK(MTU) | VHOST_USER_PROTOCOL_MASK(BACKEND_REQ) | \
			VHOST_USER_PROTOCOL_MASK(RESET_DEVICE) | \
			VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS) | \
			VHOST_USER_PROTOCOL_MASK(CONFIG) | \
			VHOST_USER_PROTOCOL_MASK(GPA_ADDRESSES) | \
			VHOST_USER_PROTOCOL_MASK(PAGEFAULT) | \
			VHOST_USER_PROTOCOL_MASK(INFLIGHT_SHMFD) | \
			VHOST_USER_PROTOCOL_MASK(CONFIGURE_MEM_SLOTS) | \
			VHOST_USER_PROTOCOL_MASK(STATUS))

/** Those of them that the front-end takes for kicks and calls by messages. */
#define PEER_PROTOCOL_INBAND \
	(PEER_PROTOCOL_FEATURES & ~VHOST_USER_PROTOCOL_MASK(GPA_ADDRESSES) & \
			~VHOST_USER_PROTOCOL_MASK(PAGEFAULT))

/** Those of them that the front-end takes. */
#define PEER_PROTOCOL_TAKEN (PEER_PROTOCOL_INBAND & ~VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS))

/** The front-end, and what the session told its owner. */
struct session_peer {
	struct vhost_pci_session *session;
	struct vhost_pci_msg reply; /**< The last one. */
	int memory_fd;
	uint8_t *memory;   /**< The region's first byte. */
	int connection[2]; /**< For who watches it: ours, and the front-end's. */
	int kick[PEER_NB_VRINGS];
	int call[PEER_NB_VRINGS];

	unsigned int nb_ready_changes;
	bool ready;
	unsigned int nb_vring_changes;
	unsigned int nb_features_changes;
	unsigned int nb_looks; /**< Vrings that are to be looked at again. */
	uint64_t features;
	unsigned int nb_rarp;
	uint8_t mac[6];
	uint16_t mtu;
	int owner_error;    /**< What the owner's functions return. */
	bool old_fd_open;   /**< Whether watched_fd was open at the last vring change. */
	int watched_fd;     /**< -1: none. */
	bool seen_unpaused; /**< A vring that was changed was not paused. */

	uint32_t stop;      /**< Ends a polling thread of the test. */
	uint64_t nb_polled; /**< Bursts that it has done. */

	unsigned int nb_fds;      /**< Before it all. */
	unsigned int nb_mappings; /**< Before it all. */
};

/** What a session's owner has at least: it maps no memory, and has none of the other functions. */
extern const struct vhost_pci_session_ops peer_least_ops;

/** cmocka fixture: a session, its owner's port up, and a front-end; nothing was said yet. */
int peer_setup(void **state);

/** cmocka fixture: peer_setup(), of a session that requires seals. */
int peer_setup_require_seals(void **state);

/** The same with a session that offers VIRTIO_F_ACCESS_PLATFORM. */
int peer_setup_iommu(void **state);

/** cmocka fixture: peer_setup() and peer_up(). */
int peer_setup_up(void **state);

/** cmocka fixture: end all; fails where an fd or a mapping is left. */
int peer_teardown(void **state);

/** Have memory that is not sealed against shrinking; before it is sent. */
void peer_unseal(struct session_peer *peer);

/** @name Messages; fds are taken over by the session
 * They return what vhost_pci_session_handle() does.
 */
/**@{*/
int peer_send(struct session_peer *peer, struct vhost_pci_msg *msg);
int peer_send_none(struct session_peer *peer, uint32_t request);
int peer_send_u64(struct session_peer *peer, uint32_t request, uint64_t u64);
int peer_send_state(struct session_peer *peer, uint32_t request, uint32_t index, uint32_t num);
int peer_send_fd(struct session_peer *peer, uint32_t request, int fd);
/** SET_BACKEND_REQ_FD, which must be taken: the fd is the session's alone then, and -1 here. */
void peer_send_channel(struct session_peer *peer, int *fd);
/** SET_VRING_KICK, _CALL or _ERR; -1: without an fd. */
int peer_send_vring_fd(struct session_peer *peer, uint32_t request, unsigned int index, int fd);
/** SET_VRING_ADDR with the vring's usual parts. */
int peer_send_addr(struct session_peer *peer, unsigned int index);
/** SET_MEM_TABLE with the one region. */
int peer_send_mem_table(struct session_peer *peer);
/** ADD_MEM_REG or REM_MEM_REG; the memory file is sent along. */
int peer_send_region(struct session_peer *peer, uint32_t request,
		const struct vhost_user_mem_region *region);
/**@}*/

/** An empty message of the current version. */
struct vhost_pci_msg peer_msg(uint32_t request, uint32_t bytes);

/** The one region. */
struct vhost_user_mem_region peer_region(void);

/** @name Steps that a good front-end takes, which succeed */
/**@{*/
/** SET_OWNER, features and protocol features; bit 30 as @p features has it. */
void peer_negotiate(struct session_peer *peer, uint64_t features);
/** Size, base, addresses, call and kick of one vring. */
void peer_start_ring(struct session_peer *peer, unsigned int index);

/** Sends SET_VRING_ADDR; what the session returned. */
typedef int (*peer_send_addr_fn_t)(struct session_peer *peer, unsigned int index);

/** As peer_start_ring(), with addresses of one's own. */
void peer_start_ring_at(struct session_peer *peer, unsigned int index,
		peer_send_addr_fn_t send_addr);
/** All of it, with the first queue pair started and enabled: modern and split. */
void peer_up(struct session_peer *peer);
/**@}*/

/** A vring. */
struct vhost_pci_vring *peer_vring(struct session_peer *peer, unsigned int index);

/** A vring's mode, as the polling thread sees it. */
enum vhost_pci_vring_mode peer_mode(struct session_peer *peer, unsigned int index);

#endif /* SESSION_PEER_H */
