/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A whole virtio-net device session of the front-end: connection, negotiation, memory, rings.
 *
 * tfe_dev_open() does all of it for a good front-end. The steps it is made of are public, so that a
 * test can do some of them and put something else in between. Queues are named as the virtio
 * specification does: pair n has receiveq (vring 2n, filled by the back-end) and transmitq (vring
 * 2n + 1, filled by the front-end).
 *
 * A device belongs to one thread at a time; its rings may be handed to threads of their own once it
 * is open, one thread a ring.
 */

#ifndef TFE_DEV_H
#define TFE_DEV_H

#include "tfe_conn.h"
#include "tfe_mem.h"
#include "tfe_req.h"
#include "tfe_ring.h"

/** A feature bit as a mask. */
#define TFE_BIT(n) (UINT64_C(1) << (n))

/** Features of a plain modern device: VERSION_1 and the protocol features. */
#define TFE_FEATURES_BASE \
	(TFE_BIT(VIRTIO_F_VERSION_1) | TFE_BIT(TFE_VHOST_USER_F_PROTOCOL_FEATURES))

/** Protocol features wanted unless the configuration says otherwise. */
#define TFE_PROTOCOL_FEATURES_BASE \
	(TFE_BIT(TFE_VU_PROTOCOL_F_MQ) | TFE_BIT(TFE_VU_PROTOCOL_F_REPLY_ACK) | \
			TFE_BIT(TFE_VU_PROTOCOL_F_STATUS))

/** Vrings at most: 256 pairs need more than a vring index's 8 bits, 128 pairs do not. */
#define TFE_DEV_VRINGS 256

/** What a device shall be. TFE_DEV_CONF_DEFAULT gives every field a sensible value. */
struct tfe_dev_conf {
	const char *path; /**< of the socket; NULL when a socket is adopted */
	enum tfe_role role;
	int timeout_ms;             /**< for the connection and for each reply */
	uint64_t features;          /**< wanted; those not offered are left out */
	uint64_t required_features; /**< -ENOTSUP when the back-end does not offer them */
	uint64_t protocol_features; /**< wanted; those not offered are left out */
	unsigned int nb_pairs;      /**< queue pairs, 1 .. TFE_DEV_VRINGS / 2 */
	uint32_t receiveq_size;     /**< descriptors */
	uint32_t transmitq_size;    /**< descriptors */
	uint64_t mem_bytes; /**< one region in the default layout; 0: the caller's own regions */
	unsigned int mem_flags; /**< TFE_MEM_* */
	bool mem_slots;         /**< ADD_MEM_REG rather than SET_MEM_TABLE */
	bool polling;           /**< no call eventfds */
	bool iommu;      /**< behind a vIOMMU: see tfe_iommu.h; what it needs is negotiated */
	bool need_reply; /**< ask for an answer to every message once REPLY_ACK is on */
};

/** Defaults: client, one pair of 256, modern, 64 MiB sealed against shrinking. */
#define TFE_DEV_CONF_DEFAULT \
	{ \
		.role = TFE_ROLE_CLIENT, .timeout_ms = TFE_TIMEOUT_MS, \
		.features = TFE_FEATURES_BASE, .protocol_features = TFE_PROTOCOL_FEATURES_BASE, \
		.nb_pairs = 1, .receiveq_size = 256, .transmitq_size = 256, \
		.mem_bytes = UINT64_C(64) << 20, .mem_flags = TFE_MEM_SEAL_SHRINK, \
		.need_reply = true, \
	}

/** A device. */
struct tfe_dev {
	struct tfe_dev_conf conf;
	struct tfe_conn conn;
	struct tfe_conn channel; /**< with iommu: the back-end's requests */
	struct tfe_mem mem;
	struct tfe_ring *rings; /**< nb_rings, in vring order */
	unsigned int nb_rings;
	uint64_t offered;           /**< GET_FEATURES */
	uint64_t features;          /**< SET_FEATURES */
	uint64_t protocol_offered;  /**< GET_PROTOCOL_FEATURES */
	uint64_t protocol_features; /**< SET_PROTOCOL_FEATURES */
	uint64_t max_pairs;     /**< GET_QUEUE_NUM, queue pairs for a net device; 1 without MQ */
	unsigned int hdr_bytes; /**< virtio-net header: 10 legacy, 12 modern or mergeable */
};

/**
 * Everything: connect (or listen and accept), negotiate, send memory, set up, start and enable all
 * rings, DRIVER_OK.
 *
 * @return 0 or -errno, with nothing left open; see also tfe_conn.h and tfe_dev_negotiate().
 */
int tfe_dev_open(struct tfe_dev *dev, const struct tfe_dev_conf *conf);

/** Close and free everything; harmless on one that was initialised only. */
void tfe_dev_close(struct tfe_dev *dev);

/** @name The steps of tfe_dev_open(), in this order. */
/**@{*/

/** Check the configuration, make the memory of mem_bytes; no connection, no rings yet. */
int tfe_dev_init(struct tfe_dev *dev, const struct tfe_dev_conf *conf);

/** Connect; or, as server, listen if not yet done and accept. */
int tfe_dev_connect(struct tfe_dev *dev);

/**
 * SET_OWNER, features, protocol features, queue number, status up to FEATURES_OK.
 *
 * @return -ENOTSUP when a required feature is not offered, -ERANGE when there are fewer queues than
 *         wanted.
 */
int tfe_dev_negotiate(struct tfe_dev *dev);

/** Make the rings the negotiated features ask for, in region 0; or reset those that exist. */
int tfe_dev_make_rings(struct tfe_dev *dev);

/** SET_MEM_TABLE or ADD_MEM_REG. */
int tfe_dev_send_mem(struct tfe_dev *dev);

/** NUM, BASE, ADDR, CALL, KICK for every ring. */
int tfe_dev_start_rings(struct tfe_dev *dev);

/** SET_VRING_ENABLE for every ring, if protocol features were negotiated. */
int tfe_dev_enable(struct tfe_dev *dev, bool enable);

/** SET_STATUS to all bits up to DRIVER_OK, if STATUS was negotiated. */
int tfe_dev_driver_ok(struct tfe_dev *dev);
/**@}*/

/**
 * Stop all rings with GET_VRING_BASE; the rings' state is kept, so that tfe_dev_start() goes on
 * where they stopped.
 *
 * @return -EPROTO when a base is not one the ring could have stopped at.
 */
int tfe_dev_stop(struct tfe_dev *dev);

/** Start the rings again after tfe_dev_stop(), at the state they are in, and enable them. */
int tfe_dev_start(struct tfe_dev *dev);

/** Close the connection; memory and rings are kept. */
void tfe_dev_disconnect(struct tfe_dev *dev);

/** Connect again as if for the first time: rings are reset. */
int tfe_dev_reconnect(struct tfe_dev *dev);

/** The ring the back-end fills. */
static inline struct tfe_ring *
tfe_dev_receiveq(struct tfe_dev *dev, unsigned int pair)
{
	return &dev->rings[2 * pair];
}

/** The ring the front-end fills. */
static inline struct tfe_ring *
tfe_dev_transmitq(struct tfe_dev *dev, unsigned int pair)
{
	return &dev->rings[2 * pair + 1];
}

/** Whether a virtio feature is negotiated. */
static inline bool
tfe_dev_has(const struct tfe_dev *dev, unsigned int bit)
{
	return dev->features & TFE_BIT(bit);
}

/** Whether a protocol feature is negotiated. */
static inline bool
tfe_dev_has_protocol(const struct tfe_dev *dev, unsigned int bit)
{
	return dev->protocol_features & TFE_BIT(bit);
}

#endif /* TFE_DEV_H */
