/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What device and driver of a vhost-pci adapter see of each other: registers, doorbells and shared
 * memory, as doc/guides/prog_guide/vhost_pci_adapter_spec.rst defines them. The clauses in
 * brackets are those of that document; names are its names.
 *
 * Everything is little-endian [ADP-1.2] and accessed in place. Registers and doorbells are
 * accessed by aligned accesses of 4 bytes [ADP-3.1]; a device finds a register by its offsetof().
 */

#ifndef VHOST_PCI_ADAPTER_H
#define VHOST_PCI_ADAPTER_H

#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "[ADP-1.2], accessed in place");

/** @name Identity in configuration space [ADP-2.1] */
/**@{*/
#define VHOST_PCI_ADAPTER_PCI_VENDOR        0x1af4
#define VHOST_PCI_ADAPTER_PCI_DEVICE        0x10f0
#define VHOST_PCI_ADAPTER_PCI_REVISION      0x01
#define VHOST_PCI_ADAPTER_PCI_CLASS_NET     0x028000 /**< Of a virtio network device. */
#define VHOST_PCI_ADAPTER_PCI_CLASS_OTHER   0xff0000 /**< Of any other. */
#define VHOST_PCI_ADAPTER_PCI_SUBSYS_VENDOR 0x1af4   /**< The subsystem id is the virtio type. */
/**@}*/

/** @name BARs [ADP-2.3] */
/**@{*/
#define VHOST_PCI_ADAPTER_BAR_REGS 0
#define VHOST_PCI_ADAPTER_BAR_MEM0 2
#define VHOST_PCI_ADAPTER_BAR_MEM1 4
/**@}*/

/** @name Fixed places in BAR0, and its least size [ADP-2.4, ADP-2.6] */
/**@{*/
#define VHOST_PCI_ADAPTER_REGS_OFF       0x0000
#define VHOST_PCI_ADAPTER_VRING_REGS_OFF 0x1000
#define VHOST_PCI_ADAPTER_DOORBELLS_OFF  0x2000
#define VHOST_PCI_ADAPTER_BAR0_BYTES_MIN 0x20000
#define VHOST_PCI_ADAPTER_WINDOW_ALIGN   0x1000 /**< Of shared area and windows [ADP-2.7]. */
/**@}*/

/**
 * @name Places in BAR0 where a device of this version puts the rest [ADP-2.6]
 * For devices only: a driver finds them by the registers [ADP-2.5].
 */
/**@{*/
#define VHOST_PCI_ADAPTER_MSIX_TABLE_OFF 0x3000
#define VHOST_PCI_ADAPTER_MSIX_PBA_OFF   0x5000
#define VHOST_PCI_ADAPTER_SHARED_OFF     0x10000 /**< Struct vhost_pci_adapter_shared. */
#define VHOST_PCI_ADAPTER_SHARED_BYTES   0x10000
#define VHOST_PCI_ADAPTER_LOG_OFF        0x20000
/**@}*/

/** @name Limits [ADP-3.6, ADP-6.1, ADP-8.1, section 3.2] */
/**@{*/
#define VHOST_PCI_ADAPTER_VRINGS_MAX      256
#define VHOST_PCI_ADAPTER_VECTORS_MAX     2048
#define VHOST_PCI_ADAPTER_MSI_VECTORS_MAX 32
#define VHOST_PCI_ADAPTER_MSG_BYTES_MIN   12
#define VHOST_PCI_ADAPTER_MSG_BYTES_MAX   4096 /**< Most that a device may say. */
#define VHOST_PCI_ADAPTER_MSG_BYTES_LEAST 2068 /**< Least that a device may say. */
#define VHOST_PCI_ADAPTER_RING_BYTES_MIN  0x4000
#define VHOST_PCI_ADAPTER_RING_BYTES_MAX  0x100000
#define VHOST_PCI_ADAPTER_RING_ALIGN      64
#define VHOST_PCI_ADAPTER_WINDOWS         4
/**@}*/

/** @name Constant registers [section 3.2, ADP-4.1] */
/**@{*/
#define VHOST_PCI_ADAPTER_MAGIC          UINT32_C(0x69637076) /**< "vpci" */
#define VHOST_PCI_ADAPTER_VERSION        UINT32_C(0x00010000)
#define VHOST_PCI_ADAPTER_MAJOR(version) ((version) >> 16)
#define VHOST_PCI_ADAPTER_MINOR(version) ((version)&0xffff)
/**@}*/

/** What a register reads as where there is no device any more [ADP-3.5]. */
#define VHOST_PCI_ADAPTER_GONE UINT32_C(0xffffffff)

/** No vector, in a vector register [ADP-6.3]. */
#define VHOST_PCI_ADAPTER_NO_VECTOR UINT32_C(0xffff)

/** @name Adapter-level features [section 4] */
/**@{*/
#define VHOST_PCI_ADAPTER_F_LOG             (UINT64_C(1) << 0)
#define VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL (UINT64_C(1) << 1)
#define VHOST_PCI_ADAPTER_F_PEER_CONNECTION (UINT64_C(1) << 2)
#define VHOST_PCI_ADAPTER_F_STATIC          (UINT64_C(1) << 3)
/**@}*/

/** @name Bits of device_status [section 5.1] */
/**@{*/
#define VHOST_PCI_ADAPTER_STATUS_DRIVER       UINT32_C(0x01)
#define VHOST_PCI_ADAPTER_STATUS_FEATURES_OK  UINT32_C(0x02)
#define VHOST_PCI_ADAPTER_STATUS_DRIVER_READY UINT32_C(0x04)
#define VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET  UINT32_C(0x40)
#define VHOST_PCI_ADAPTER_STATUS_FAILED       UINT32_C(0x80)
/**@}*/

/** Values of conn_state [section 12.1]; VHOST_PCI_ADAPTER_GONE is the one more. */
enum vhost_pci_adapter_conn {
	VHOST_PCI_ADAPTER_CONN_NONE = 0,
	VHOST_PCI_ADAPTER_CONN_NEGOTIATING = 1,
	VHOST_PCI_ADAPTER_CONN_READY = 2,
	VHOST_PCI_ADAPTER_CONN_CONNECTED = 3,
	VHOST_PCI_ADAPTER_CONN_DISCONNECTED = 4,
	VHOST_PCI_ADAPTER_CONN_RETIRED = 5,
};

/** Values written to conn_control [section 12.2]. */
enum vhost_pci_adapter_control {
	VHOST_PCI_ADAPTER_CONTROL_RELEASE = 1,
	VHOST_PCI_ADAPTER_CONTROL_CLOSE = 2,
};

/** Values of peer_connection and local_connection [section 14]. */
enum vhost_pci_adapter_peer {
	VHOST_PCI_ADAPTER_PEER_OFF = 0,
	VHOST_PCI_ADAPTER_PEER_ON = 1,
	VHOST_PCI_ADAPTER_PEER_INIT = 2,
};

/** Types of a window, in bits 15:8 of its info [section 3.2]. */
enum vhost_pci_adapter_window_type {
	VHOST_PCI_ADAPTER_WINDOW_ABSENT = 0,
	VHOST_PCI_ADAPTER_WINDOW_MEM = 1,
	VHOST_PCI_ADAPTER_WINDOW_LOG = 2,
};

/** Which window is which [section 3.2]. */
enum vhost_pci_adapter_window_idx {
	VHOST_PCI_ADAPTER_WINDOW_IDX_MEM0 = 0,
	VHOST_PCI_ADAPTER_WINDOW_IDX_MEM1 = 1,
	VHOST_PCI_ADAPTER_WINDOW_IDX_LOG = 2,
};

/** @name Fields of a window's info [section 3.2] */
/**@{*/
#define VHOST_PCI_ADAPTER_WINDOW_INFO_BAR(info)  ((info)&0xff)
#define VHOST_PCI_ADAPTER_WINDOW_INFO_TYPE(info) (((info) >> 8) & 0xff)
#define VHOST_PCI_ADAPTER_WINDOW_INFO_SEALED     UINT32_C(0x10000)
#define VHOST_PCI_ADAPTER_WINDOW_INFO(bar, type) ((uint32_t)(bar) | (uint32_t)(type) << 8)
/**@}*/

/** A window descriptor [section 3.2]. */
struct vhost_pci_adapter_window {
	uint32_t info;
	uint32_t generation;
	uint32_t offset_lo; /**< In the BAR, bytes. */
	uint32_t offset_hi;
	uint32_t bytes_lo;
	uint32_t bytes_hi;
	uint32_t reserved[2];
};
_Static_assert(sizeof(struct vhost_pci_adapter_window) == 0x20, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_window, offset_lo) == 0x08, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_window, bytes_lo) == 0x10, "section 3.2");

/** The adapter registers, at VHOST_PCI_ADAPTER_REGS_OFF [section 3.2]. */
struct vhost_pci_adapter_regs {
	uint32_t magic;
	uint32_t version;
	uint32_t device_features_lo; /**< VHOST_PCI_ADAPTER_F_* [ADP-4.2]. */
	uint32_t device_features_hi;
	uint32_t driver_features_lo; /**< [ADP-4.3, ADP-4.4]. */
	uint32_t driver_features_hi;
	uint32_t device_status; /**< VHOST_PCI_ADAPTER_STATUS_* [ADP-5.1, ADP-5.2]. */
	uint32_t event_vector;  /**< [ADP-6.5]. */
	uint32_t nb_vrings;
	uint32_t nb_vectors;
	uint32_t msg_bytes_max;
	uint32_t reserved_2c;
	uint32_t f2b_ctrl_off; /**< Struct vhost_pci_adapter_ring_ctrl, in BAR0 [section 8]. */
	uint32_t f2b_data_off;
	uint32_t f2b_bytes;
	uint32_t b2f_ctrl_off;
	uint32_t b2f_data_off;
	uint32_t b2f_bytes;
	uint32_t counters_off;    /**< Struct vhost_pci_adapter_counters [ADP-6.6]. */
	uint32_t vring_state_off; /**< Struct vhost_pci_adapter_vring_state [section 13]. */
	uint32_t reserved_50[12];
	uint32_t conn_state;      /**< Enum vhost_pci_adapter_conn [section 12.1]. */
	uint32_t conn_generation; /**< [ADP-12.4]. */
	uint32_t conn_id_lo;      /**< [ADP-12.3]. */
	uint32_t conn_id_hi;
	uint32_t virtio_id;           /**< [ADP-12.5]. */
	uint32_t peer_connection;     /**< Enum vhost_pci_adapter_peer [ADP-14.1]. */
	uint32_t local_connection;    /**< [ADP-14.2]. */
	uint32_t conn_control;        /**< Enum vhost_pci_adapter_control [section 12.2]. */
	uint32_t uuid[4];             /**< 16 bytes in the order of RFC 4122 [ADP-12.5]. */
	uint32_t offered_features_lo; /**< [ADP-10.1]. */
	uint32_t offered_features_hi;
	uint32_t offered_protocol_lo;
	uint32_t offered_protocol_hi;
	uint32_t driver_cap_features_lo; /**< [ADP-10.3, ADP-10.4]. */
	uint32_t driver_cap_features_hi;
	uint32_t driver_cap_protocol_lo;
	uint32_t driver_cap_protocol_hi;
	uint32_t driver_cap_vrings;
	uint32_t reserved_d4[11];
	struct vhost_pci_adapter_window window[VHOST_PCI_ADAPTER_WINDOWS]; /**< [section 11]. */
};
_Static_assert(offsetof(struct vhost_pci_adapter_regs, driver_features_lo) == 0x010, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, device_status) == 0x018, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, nb_vrings) == 0x020, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, f2b_ctrl_off) == 0x030, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, b2f_ctrl_off) == 0x03c, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, vring_state_off) == 0x04c, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, conn_state) == 0x080, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, conn_control) == 0x09c, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, uuid) == 0x0a0, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, offered_features_lo) == 0x0b0, "3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, driver_cap_vrings) == 0x0d0, "section 3.2");
_Static_assert(offsetof(struct vhost_pci_adapter_regs, window) == 0x100, "section 3.2");
_Static_assert(sizeof(struct vhost_pci_adapter_regs) == 0x180, "section 3.2");

/** @name Bits of a vring's live register [section 3.3] */
/**@{*/
#define VHOST_PCI_ADAPTER_LIVE_KICK UINT32_C(0x1)
#define VHOST_PCI_ADAPTER_LIVE_CALL UINT32_C(0x2)
#define VHOST_PCI_ADAPTER_LIVE_ERR  UINT32_C(0x4)
/**@}*/

/** The registers of one virtqueue, an array at VHOST_PCI_ADAPTER_VRING_REGS_OFF [section 3.3]. */
struct vhost_pci_adapter_vring_regs {
	uint32_t vector; /**< [ADP-6.4]. */
	uint32_t live;
	uint32_t reserved[2];
};
_Static_assert(sizeof(struct vhost_pci_adapter_vring_regs) == 0x10, "section 3.3");
_Static_assert(offsetof(struct vhost_pci_adapter_vring_regs, live) == 0x04, "section 3.3");
_Static_assert(sizeof(struct vhost_pci_adapter_vring_regs) * VHOST_PCI_ADAPTER_VRINGS_MAX ==
				VHOST_PCI_ADAPTER_DOORBELLS_OFF - VHOST_PCI_ADAPTER_VRING_REGS_OFF,
		"ADP-2.6");

/** The doorbells, at VHOST_PCI_ADAPTER_DOORBELLS_OFF [section 7]. */
struct vhost_pci_adapter_doorbells {
	uint32_t call[VHOST_PCI_ADAPTER_VRINGS_MAX];
	uint32_t err[VHOST_PCI_ADAPTER_VRINGS_MAX];
	uint32_t log_changed;
	uint32_t msg_notify;
};
_Static_assert(offsetof(struct vhost_pci_adapter_doorbells, err) == 0x400, "section 7");
_Static_assert(offsetof(struct vhost_pci_adapter_doorbells, log_changed) == 0x800, "section 7");
_Static_assert(offsetof(struct vhost_pci_adapter_doorbells, msg_notify) == 0x804, "section 7");

/** The control block of a message ring [section 8.1]. */
struct vhost_pci_adapter_ring_ctrl {
	uint32_t prod_idx; /**< Free-running, in bytes; the producer writes it. */
	uint32_t reserved_04[15];
	uint32_t cons_idx; /**< Free-running, in bytes; the consumer writes it. */
	uint32_t reserved_44[15];
};
_Static_assert(sizeof(struct vhost_pci_adapter_ring_ctrl) == 0x80, "section 8.1");
_Static_assert(offsetof(struct vhost_pci_adapter_ring_ctrl, cons_idx) == 0x40, "section 8.1");

/** @name Flags of a frame [ADP-8.3, ADP-9.10, ADP-9.12] */
/**@{*/
#define VHOST_PCI_ADAPTER_FRAME_ANSWERED 0x1
#define VHOST_PCI_ADAPTER_FRAME_REPLAY   0x2
/**@}*/

/** What precedes each message on a ring [ADP-8.3]. */
struct vhost_pci_adapter_frame {
	uint32_t msg_bytes; /**< Bytes of the message, with its header. */
	uint16_t flags;     /**< VHOST_PCI_ADAPTER_FRAME_*. */
	uint16_t nb_fds;    /**< Descriptors that came with the message [ADP-9.3]. */
	uint64_t conn_id;   /**< Session that the message belongs to. */
};
_Static_assert(sizeof(struct vhost_pci_adapter_frame) == 0x10, "ADP-8.3");
_Static_assert(offsetof(struct vhost_pci_adapter_frame, nb_fds) == 0x06, "ADP-8.3");
_Static_assert(offsetof(struct vhost_pci_adapter_frame, conn_id) == 0x08, "ADP-8.3");

/** Frames begin at, and are padded to, a multiple of this [ADP-8.2, ADP-8.3]. */
#define VHOST_PCI_ADAPTER_FRAME_ALIGN 8

/** The device's counters [ADP-6.6, ADP-12.10]. */
struct vhost_pci_adapter_counters {
	uint32_t event_seq;
	uint32_t alive;
};
_Static_assert(sizeof(struct vhost_pci_adapter_counters) == 8, "ADP-6.6");

/** @name The times of ADP-12.10, ADP-12.12 and ADP-11.14, in milliseconds */
/**@{*/
#define VHOST_PCI_ADAPTER_ALIVE_DEVICE_MS 250
#define VHOST_PCI_ADAPTER_ALIVE_DRIVER_MS 500
#define VHOST_PCI_ADAPTER_GRACE_MS        2000
#define VHOST_PCI_ADAPTER_LOG_MERGE_MS    100
/**@}*/

/** The base in a vring state is valid [section 13]. */
#define VHOST_PCI_ADAPTER_VRING_STATE_VALID UINT32_C(0x1)

/** State of one vring, handed from a driver to the next [section 13]. */
struct vhost_pci_adapter_vring_state {
	uint32_t base;
	uint32_t flags; /**< VHOST_PCI_ADAPTER_VRING_STATE_VALID. */
	uint32_t reserved[14];
};
_Static_assert(sizeof(struct vhost_pci_adapter_vring_state) == 64, "section 13");

/** Where a device of this version puts what is in the shared area [ADP-2.6]; for devices only. */
struct vhost_pci_adapter_shared {
	struct vhost_pci_adapter_ring_ctrl f2b_ctrl;
	struct vhost_pci_adapter_ring_ctrl b2f_ctrl;
	struct vhost_pci_adapter_counters counters;
	uint8_t reserved_108[0x4000 - 0x108];
	struct vhost_pci_adapter_vring_state vring_state[VHOST_PCI_ADAPTER_VRINGS_MAX];
	uint8_t f2b_data[VHOST_PCI_ADAPTER_RING_BYTES_MIN];
	uint8_t b2f_data[VHOST_PCI_ADAPTER_RING_BYTES_MIN];
};
_Static_assert(offsetof(struct vhost_pci_adapter_shared, vring_state) == 0x4000, "ADP-2.6");
_Static_assert(offsetof(struct vhost_pci_adapter_shared, f2b_data) == 0x8000, "ADP-2.6");
_Static_assert(sizeof(struct vhost_pci_adapter_shared) == VHOST_PCI_ADAPTER_SHARED_BYTES,
		"ADP-2.6");

/** @name Bar addresses, in place of a message's mmap_offset [ADP-9.4] */
/**@{*/
#define VHOST_PCI_ADAPTER_BAR_OFF_BITS 56
#define VHOST_PCI_ADAPTER_BAR_OFF_MASK ((UINT64_C(1) << VHOST_PCI_ADAPTER_BAR_OFF_BITS) - 1)
/**@}*/

/** Make a bar address of a BAR's number and an offset below 2^56 in it [ADP-9.4]. */
static inline uint64_t
vhost_pci_adapter_bar_addr(unsigned int bar, uint64_t bar_off)
{
	return (uint64_t)bar << VHOST_PCI_ADAPTER_BAR_OFF_BITS | bar_off;
}

/** The number of the BAR in a bar address [ADP-9.4]. */
static inline unsigned int
vhost_pci_adapter_bar(uint64_t bar_addr)
{
	return (unsigned int)(bar_addr >> VHOST_PCI_ADAPTER_BAR_OFF_BITS);
}

/** The offset in the BAR in a bar address [ADP-9.4]. */
static inline uint64_t
vhost_pci_adapter_bar_off(uint64_t bar_addr)
{
	return bar_addr & VHOST_PCI_ADAPTER_BAR_OFF_MASK;
}

/** @name The profile of a network device [ADP-10.2]: bits as in linux/virtio_*.h */
/**@{*/
#define VHOST_PCI_ADAPTER_NET_FEATURES \
	((UINT64_C(3) << 0) |                   /* CSUM, GUEST_CSUM */ \
			(UINT64_C(1) << 3) |    /* MTU */ \
			(UINT64_C(0xff) << 7) | /* GUEST_TSO4, TSO6, ECN, UFO, HOST_ the same */ \
			(UINT64_C(1) << 15) |   /* MRG_RXBUF */ \
			(UINT64_C(7) << 27) |   /* ANY_LAYOUT, INDIRECT_DESC, EVENT_IDX */ \
			(UINT64_C(1) << 32) |   /* VERSION_1 */ \
			(UINT64_C(3) << 34))    /* RING_PACKED, IN_ORDER */
/** More, for more than one queue pair: CTRL_VQ, CTRL_RX, GUEST_ANNOUNCE, MQ. */
#define VHOST_PCI_ADAPTER_NET_FEATURES_MQ ((UINT64_C(3) << 17) | (UINT64_C(3) << 21))
/** MQ, LOG_SHMFD, RARP, REPLY_ACK, MTU, BACKEND_REQ, CONFIGURE_MEM_SLOTS, STATUS. */
#define VHOST_PCI_ADAPTER_NET_PROTOCOL UINT64_C(0x1803f)
/**@}*/

#endif /* VHOST_PCI_ADAPTER_H */
