/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The vhost-user wire formats as the test front-end sees them.
 *
 * These declarations are made from the vhost-user specification (QEMU, docs/interop/vhost-user.rst)
 * on their own and share nothing with the engine under test: a wrong constant or layout on either
 * side shows as a failing test, not as two sides that agree on a mistake.
 *
 * All integers are in host byte order. Ring formats come from the kernel's headers.
 */

#ifndef TFE_WIRE_H
#define TFE_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/** Front-end requests, section "Front-end message types". */
enum tfe_vu_request {
	TFE_VU_GET_FEATURES = 1,
	TFE_VU_SET_FEATURES = 2,
	TFE_VU_SET_OWNER = 3,
	TFE_VU_RESET_OWNER = 4,
	TFE_VU_SET_MEM_TABLE = 5,
	TFE_VU_SET_LOG_BASE = 6,
	TFE_VU_SET_LOG_FD = 7,
	TFE_VU_SET_VRING_NUM = 8,
	TFE_VU_SET_VRING_ADDR = 9,
	TFE_VU_SET_VRING_BASE = 10,
	TFE_VU_GET_VRING_BASE = 11,
	TFE_VU_SET_VRING_KICK = 12,
	TFE_VU_SET_VRING_CALL = 13,
	TFE_VU_SET_VRING_ERR = 14,
	TFE_VU_GET_PROTOCOL_FEATURES = 15,
	TFE_VU_SET_PROTOCOL_FEATURES = 16,
	TFE_VU_GET_QUEUE_NUM = 17,
	TFE_VU_SET_VRING_ENABLE = 18,
	TFE_VU_SEND_RARP = 19,
	TFE_VU_NET_SET_MTU = 20,
	TFE_VU_SET_BACKEND_REQ_FD = 21,
	TFE_VU_IOTLB_MSG = 22,
	TFE_VU_SET_VRING_ENDIAN = 23,
	TFE_VU_GET_CONFIG = 24,
	TFE_VU_SET_CONFIG = 25,
	TFE_VU_CREATE_CRYPTO_SESSION = 26,
	TFE_VU_CLOSE_CRYPTO_SESSION = 27,
	TFE_VU_POSTCOPY_ADVISE = 28,
	TFE_VU_POSTCOPY_LISTEN = 29,
	TFE_VU_POSTCOPY_END = 30,
	TFE_VU_GET_INFLIGHT_FD = 31,
	TFE_VU_SET_INFLIGHT_FD = 32,
	TFE_VU_GPU_SET_SOCKET = 33,
	TFE_VU_RESET_DEVICE = 34,
	TFE_VU_VRING_KICK = 35,
	TFE_VU_GET_MAX_MEM_SLOTS = 36,
	TFE_VU_ADD_MEM_REG = 37,
	TFE_VU_REM_MEM_REG = 38,
	TFE_VU_SET_STATUS = 39,
	TFE_VU_GET_STATUS = 40,
	TFE_VU_GET_SHARED_OBJECT = 41,
	TFE_VU_SET_DEVICE_STATE_FD = 42,
	TFE_VU_CHECK_DEVICE_STATE = 43,
	TFE_VU_GET_SHMEM_CONFIG = 44,
	/** The last id the specification assigns; TFE_VU_REQUEST_LAST + 1 is an unknown one. */
	TFE_VU_REQUEST_LAST = 45,
};

/** Back-end requests, section "Back-end message types"; they travel on the back-end channel. */
enum tfe_vu_backend_request {
	TFE_VU_BACKEND_IOTLB_MSG = 1,
	TFE_VU_BACKEND_CONFIG_CHANGE_MSG = 2,
	TFE_VU_BACKEND_VRING_HOST_NOTIFIER_MSG = 3,
	TFE_VU_BACKEND_VRING_CALL = 4,
	TFE_VU_BACKEND_VRING_ERR = 5,
	TFE_VU_BACKEND_SHARED_OBJECT_ADD = 6,
	TFE_VU_BACKEND_SHARED_OBJECT_REMOVE = 7,
	TFE_VU_BACKEND_SHARED_OBJECT_LOOKUP = 8,
	TFE_VU_BACKEND_SHMEM_MAP = 9,
	TFE_VU_BACKEND_SHMEM_UNMAP = 10,
};

/** Protocol feature bits, section "Protocol features". */
enum tfe_vu_protocol_feature {
	TFE_VU_PROTOCOL_F_MQ = 0,
	TFE_VU_PROTOCOL_F_LOG_SHMFD = 1,
	TFE_VU_PROTOCOL_F_RARP = 2,
	TFE_VU_PROTOCOL_F_REPLY_ACK = 3,
	TFE_VU_PROTOCOL_F_MTU = 4,
	TFE_VU_PROTOCOL_F_BACKEND_REQ = 5,
	TFE_VU_PROTOCOL_F_CROSS_ENDIAN = 6,
	TFE_VU_PROTOCOL_F_CRYPTO_SESSION = 7,
	TFE_VU_PROTOCOL_F_PAGEFAULT = 8,
	TFE_VU_PROTOCOL_F_CONFIG = 9,
	TFE_VU_PROTOCOL_F_BACKEND_SEND_FD = 10,
	TFE_VU_PROTOCOL_F_HOST_NOTIFIER = 11,
	TFE_VU_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	TFE_VU_PROTOCOL_F_RESET_DEVICE = 13,
	TFE_VU_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	TFE_VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	TFE_VU_PROTOCOL_F_STATUS = 16,
	TFE_VU_PROTOCOL_F_XEN_MMAP = 17,
	TFE_VU_PROTOCOL_F_SHARED_OBJECT = 18,
	TFE_VU_PROTOCOL_F_DEVICE_STATE = 19,
	TFE_VU_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
	TFE_VU_PROTOCOL_F_GPA_ADDRESSES = 21,
	TFE_VU_PROTOCOL_F_SHMEM = 22,
	/** The highest bit the specification assigns. */
	TFE_VU_PROTOCOL_F_LAST = 23,
};

/** Virtio feature bits that only the vhost transport uses. */
enum tfe_vhost_feature {
	TFE_VHOST_F_LOG_ALL = 26,
	TFE_VHOST_USER_F_PROTOCOL_FEATURES = 30,
};

/** @name Header flags, section "Header". */
/**@{*/
#define TFE_VU_VERSION      UINT32_C(0x1)
#define TFE_VU_VERSION_MASK UINT32_C(0x3)
#define TFE_VU_REPLY        UINT32_C(0x4)
#define TFE_VU_NEED_REPLY   UINT32_C(0x8)
/**@}*/

/** @name Fields of the u64 in SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR. */
/**@{*/
#define TFE_VU_VRING_IDX_MASK UINT64_C(0xff)
#define TFE_VU_VRING_NOFD     UINT64_C(0x100)
/**@}*/

/** Vring address flag: log writes to the used ring. */
#define TFE_VU_VRING_F_LOG UINT32_C(0x1)

/** Regions one SET_MEM_TABLE can carry; more need CONFIGURE_MEM_SLOTS. */
#define TFE_VU_MEM_TABLE_REGIONS 8

/** Bytes of a configuration space access at most, as the specification's QEMU structure has it. */
#define TFE_VU_CONFIG_BYTES 256

/** Message header; the payload of @ref size bytes follows. */
struct tfe_vu_hdr {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};
static_assert(sizeof(struct tfe_vu_hdr) == 12, "header");

/** "A vring state description". */
struct tfe_vu_vring_state {
	uint32_t index;
	uint32_t num;
};
static_assert(sizeof(struct tfe_vu_vring_state) == 8, "vring state");

/** "A vring address description"; the addresses are uva unless ACCESS_PLATFORM is negotiated. */
struct tfe_vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc_uva;
	uint64_t used_uva;
	uint64_t avail_uva;
	uint64_t log_gpa;
};
static_assert(sizeof(struct tfe_vu_vring_addr) == 40, "vring address");
static_assert(offsetof(struct tfe_vu_vring_addr, used_uva) == 16, "used before available");

/** "A memory region description". */
struct tfe_vu_region {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t uva;
	uint64_t mmap_offset;
};
static_assert(sizeof(struct tfe_vu_region) == 32, "region");

/** "Memory regions description", payload of SET_MEM_TABLE. */
struct tfe_vu_mem_table {
	uint32_t nb_regions;
	uint32_t padding;
	struct tfe_vu_region regions[TFE_VU_MEM_TABLE_REGIONS];
};
static_assert(sizeof(struct tfe_vu_mem_table) == 8 + 8 * 32, "memory table");
static_assert(offsetof(struct tfe_vu_mem_table, regions) == 8, "memory table");

/** "Single memory region description", payload of ADD_MEM_REG and REM_MEM_REG. */
struct tfe_vu_single_region {
	uint64_t padding;
	struct tfe_vu_region region;
};
static_assert(sizeof(struct tfe_vu_single_region) == 40, "single region");

/** "Log description", payload of SET_LOG_BASE. */
struct tfe_vu_log {
	uint64_t size_bytes;
	uint64_t offset;
};
static_assert(sizeof(struct tfe_vu_log) == 16, "log");

/** IOTLB message types. */
enum tfe_vu_iotlb_type {
	TFE_VU_IOTLB_MISS = 1,
	TFE_VU_IOTLB_UPDATE = 2,
	TFE_VU_IOTLB_INVALIDATE = 3,
	TFE_VU_IOTLB_ACCESS_FAIL = 4,
};

/** "An IOTLB message"; perm is 0 none, 1 read, 2 write, 3 both. */
struct tfe_vu_iotlb {
	uint64_t iova;
	uint64_t size_bytes;
	uint64_t uva;
	uint8_t perm;
	uint8_t type;
	uint8_t padding[6];
};
static_assert(sizeof(struct tfe_vu_iotlb) == 32, "IOTLB message");

/** "Virtio device config space" without its variable part. */
struct tfe_vu_config {
	uint32_t offset;
	uint32_t size_bytes;
	uint32_t flags;
	uint8_t data[TFE_VU_CONFIG_BYTES];
};
static_assert(offsetof(struct tfe_vu_config, data) == 12, "config");

/** "Vring area description", payload of BACKEND_VRING_HOST_NOTIFIER_MSG. */
struct tfe_vu_vring_area {
	uint64_t vring;
	uint64_t size_bytes;
	uint64_t offset;
};
static_assert(sizeof(struct tfe_vu_vring_area) == 24, "vring area");

/** "Inflight description", payload of GET_INFLIGHT_FD and SET_INFLIGHT_FD. */
struct tfe_vu_inflight {
	uint64_t mmap_bytes;
	uint64_t mmap_offset;
	uint16_t nb_queues;
	uint16_t queue_size;
	uint32_t padding;
};
/** Bytes of the inflight description on the wire: the trailing padding is not sent. */
#define TFE_VU_INFLIGHT_BYTES 20
static_assert(offsetof(struct tfe_vu_inflight, queue_size) == 18, "inflight");

/** "Device state transfer parameters", payload of SET_DEVICE_STATE_FD. */
struct tfe_vu_device_state {
	uint32_t direction;
	uint32_t phase;
};
static_assert(sizeof(struct tfe_vu_device_state) == 8, "device state");

#endif /* TFE_WIRE_H */
