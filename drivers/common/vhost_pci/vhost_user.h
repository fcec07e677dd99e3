/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The vhost-user wire formats, once. Names are those of the specification (QEMU,
 * docs/interop/vhost-user.rst), numbers are in host byte order, vring payloads are the kernel's.
 */

#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stddef.h>
#include <stdint.h>

#include <linux/vhost_types.h>

/** Requests of the front-end (vhost-user, "Front-end message types"). */
enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_SET_VRING_ENDIAN = 23,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_GET_SHARED_OBJECT = 41,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
	VHOST_USER_GET_SHMEM_CONFIG = 44,
	VHOST_USER_REQUEST_MAX, /**< Ids from here on are unknown here. */
};

/** Requests of the back-end, an id space of their own ("Back-end message types"). */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	VHOST_USER_BACKEND_VRING_CALL = 4,
	VHOST_USER_BACKEND_VRING_ERR = 5,
	VHOST_USER_BACKEND_SHARED_OBJECT_ADD = 6,
	VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE = 7,
	VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP = 8,
	VHOST_USER_BACKEND_SHMEM_MAP = 9,
	VHOST_USER_BACKEND_SHMEM_UNMAP = 10,
	VHOST_USER_BACKEND_REQUEST_MAX,
};

/**
 * Requests that a header of version 2 adds, in place of those with the same ids in version 1. All
 * are the front-end's; VHOST_USER_SET_PEER_CONNECTION is the back-end's too, on the same socket.
 */
enum vhost_user_dialect_request {
	VHOST_USER_GET_CONN_ID = 20,         /**< No payload; the reply is a u64. */
	VHOST_USER_SET_DEV_INFO = 21,        /**< Struct vhost_user_dev_info. */
	VHOST_USER_SET_PEER_CONNECTION = 22, /**< A u64, enum vhost_user_peer; so is the reply. */
};

/** What one side says of the connection as a whole (VHOST_USER_SET_PEER_CONNECTION). */
enum vhost_user_peer {
	VHOST_USER_PEER_OFF = 0,  /**< No packets are to flow. */
	VHOST_USER_PEER_ON = 1,   /**< They are, once the other side says so too. */
	VHOST_USER_PEER_INIT = 2, /**< Nothing was said yet. */
};

/** Numbers of the protocol feature bits ("Protocol features"). */
enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
	VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
	VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
	VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
	VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
	VHOST_USER_PROTOCOL_F_GPA_ADDRESSES = 21,
	VHOST_USER_PROTOCOL_F_SHMEM = 22,
};

/** A protocol feature as a mask. */
#define VHOST_USER_PROTOCOL_MASK(name) (UINT64_C(1) << VHOST_USER_PROTOCOL_F_##name)

/** Number of the device feature bit that announces protocol features ("Communication"). */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/** @name Header flags ("Header") */
/**@{*/
#define VHOST_USER_VERSION      UINT32_C(0x1)
#define VHOST_USER_VERSION_2    UINT32_C(0x2) /**< The dialect with connection ids. */
#define VHOST_USER_VERSION_MASK UINT32_C(0x3)
#define VHOST_USER_REPLY        UINT32_C(0x4)
#define VHOST_USER_NEED_REPLY   UINT32_C(0x8)
/**@}*/

/** @name The u64 of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR */
/**@{*/
#define VHOST_USER_VRING_IDX_MASK UINT64_C(0xff)
#define VHOST_USER_VRING_NOFD     UINT64_C(0x100)
/**@}*/

/** Regions that one SET_MEM_TABLE carries at most, and so the fds of any message. */
#define VHOST_USER_MEM_TABLE_REGIONS 8

/** Bytes of configuration space that one message carries at most. */
#define VHOST_USER_CONFIG_BYTES 256

/** Shared memory regions of a device at most. */
#define VHOST_USER_SHMEM_REGIONS 256

/** The header of every message. */
struct vhost_user_hdr {
	uint32_t request; /**< enum vhost_user_request, or enum vhost_user_backend_request. */
	uint32_t flags;
	uint32_t size; /**< Bytes of the payload that follows. */
};
_Static_assert(sizeof(struct vhost_user_hdr) == 12, "Header");
_Static_assert(offsetof(struct vhost_user_hdr, size) == 8, "Header");

_Static_assert(sizeof(struct vhost_vring_state) == 8, "A vring state description");
_Static_assert(sizeof(struct vhost_vring_addr) == 40, "A vring address description");
_Static_assert(offsetof(struct vhost_vring_addr, desc_user_addr) == 8, "descriptor");
_Static_assert(offsetof(struct vhost_vring_addr, used_user_addr) == 16, "used");
_Static_assert(offsetof(struct vhost_vring_addr, avail_user_addr) == 24, "available");
_Static_assert(offsetof(struct vhost_vring_addr, log_guest_addr) == 32, "log");
_Static_assert(sizeof(struct vhost_iotlb_msg) == 32, "An IOTLB message");

/** The connection id of who has none yet, in a header of version 2. */
#define VHOST_USER_CONN_ID_ANONYMOUS UINT64_MAX

/** The header of every message of version 2. */
struct vhost_user_hdr_v2 {
	uint32_t request;
	uint32_t flags;
	uint64_t conn_id;
	uint32_t size;
} __attribute__((packed));
_Static_assert(sizeof(struct vhost_user_hdr_v2) == 20, "| request | flags | conn_id | size |");

/** What the front-end's device is: "virtio id | uuid". */
struct vhost_user_dev_info {
	uint16_t virtio_id;
	uint8_t uuid[16];
};
_Static_assert(sizeof(struct vhost_user_dev_info) == 18, "Device info");

/** "Memory region description". */
struct vhost_user_mem_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t mmap_offset;
};
_Static_assert(sizeof(struct vhost_user_mem_region) == 32, "Memory region description");

/** "Multiple memory regions description". */
struct vhost_user_mem_table {
	uint32_t nb_regions;
	uint32_t padding;
	struct vhost_user_mem_region region[VHOST_USER_MEM_TABLE_REGIONS];
};
_Static_assert(offsetof(struct vhost_user_mem_table, region) == 8, "Memory regions description");
_Static_assert(sizeof(struct vhost_user_mem_table) == 264, "Memory regions description");

/** "Single memory region description". */
struct vhost_user_single_region {
	uint64_t padding;
	struct vhost_user_mem_region region;
};
_Static_assert(sizeof(struct vhost_user_single_region) == 40, "Single memory region description");

/** "Log description". */
struct vhost_user_log {
	uint64_t size;
	uint64_t mmap_offset;
};
_Static_assert(sizeof(struct vhost_user_log) == 16, "Log description");

/** "Virtio device config space". */
struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_BYTES];
};
_Static_assert(offsetof(struct vhost_user_config, data) == 12, "Virtio device config space");

/** "Vring area description". */
struct vhost_user_vring_area {
	uint64_t u64;
	uint64_t size;
	uint64_t offset;
};
_Static_assert(sizeof(struct vhost_user_vring_area) == 24, "Vring area description");

/** "Inflight description": 20 bytes by the text, 24 with the padding that QEMU sends. */
struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t nb_queues;
	uint16_t queue_size;
	uint32_t padding;
};
_Static_assert(offsetof(struct vhost_user_inflight, padding) == 20, "Inflight description");
_Static_assert(sizeof(struct vhost_user_inflight) == 24, "Inflight description");

/** @name "Inflight I/O tracking": the areas of the shared memory, one after the other */
/**@{*/
/** "DescStateSplit". */
struct vhost_user_desc_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};
_Static_assert(sizeof(struct vhost_user_desc_split) == 16, "DescStateSplit");
_Static_assert(offsetof(struct vhost_user_desc_split, next) == 6, "DescStateSplit");

/** "QueueRegionSplit". */
struct vhost_user_inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct vhost_user_desc_split desc[];
};
_Static_assert(sizeof(struct vhost_user_inflight_split) == 16, "QueueRegionSplit");

/** "DescStatePacked". */
struct vhost_user_desc_packed {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};
_Static_assert(sizeof(struct vhost_user_desc_packed) == 32, "DescStatePacked");
_Static_assert(offsetof(struct vhost_user_desc_packed, id) == 16, "DescStatePacked");

/** "QueueRegionPacked". */
struct vhost_user_inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct vhost_user_desc_packed desc[];
};
_Static_assert(sizeof(struct vhost_user_inflight_packed) == 32, "QueueRegionPacked");
_Static_assert(offsetof(struct vhost_user_inflight_packed, used_wrap_counter) == 20,
		"QueueRegionPacked");
/**@}*/

/** "VhostUserShared". */
struct vhost_user_shared {
	uint8_t uuid[16];
};
_Static_assert(sizeof(struct vhost_user_shared) == 16, "VhostUserShared");

/** "Device state transfer parameters". */
struct vhost_user_device_state {
	uint32_t direction;
	uint32_t phase;
};
_Static_assert(sizeof(struct vhost_user_device_state) == 8, "Device state transfer parameters");

/** "MMAP request". */
struct vhost_user_mmap {
	uint8_t shmid;
	uint8_t padding[7];
	uint64_t fd_offset;
	uint64_t shm_offset;
	uint64_t len;
	uint64_t flags;
};
_Static_assert(sizeof(struct vhost_user_mmap) == 40, "MMAP request");

/** "VIRTIO Shared Memory Region configuration". */
struct vhost_user_shmem_config {
	uint32_t nb_regions;
	uint32_t padding;
	uint64_t size[VHOST_USER_SHMEM_REGIONS];
};
_Static_assert(sizeof(struct vhost_user_shmem_config) == 2056, "Shared Memory configuration");

/** All payloads. */
union vhost_user_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_user_mem_table mem_table;
	struct vhost_user_single_region single_region;
	struct vhost_user_log log;
	struct vhost_iotlb_msg iotlb;
	struct vhost_user_config config;
	struct vhost_user_vring_area vring_area;
	struct vhost_user_inflight inflight;
	struct vhost_user_shared shared;
	struct vhost_user_device_state device_state;
	struct vhost_user_mmap mmap;
	struct vhost_user_shmem_config shmem_config;
	struct vhost_user_dev_info dev_info;
	uint8_t bytes[2056];
};
_Static_assert(sizeof(union vhost_user_payload) == 2056, "the largest payload");

#endif /* VHOST_USER_H */
