/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * One call per vhost-user request, well formed. For malformed ones see tfe_conn.h.
 *
 * All return 0 or -errno as described in tfe_conn.h; fds given stay the caller's. Whether a request
 * without a reply of its own waits for REPLY_ACK is decided by tfe_conn.need_reply.
 */

#ifndef TFE_REQ_H
#define TFE_REQ_H

#include "tfe_conn.h"

/** @name Features and session. */
/**@{*/
int tfe_req_get_features(struct tfe_conn *conn, uint64_t *features);
int tfe_req_set_features(struct tfe_conn *conn, uint64_t features);
int tfe_req_get_protocol_features(struct tfe_conn *conn, uint64_t *features);
int tfe_req_set_protocol_features(struct tfe_conn *conn, uint64_t features);
int tfe_req_set_owner(struct tfe_conn *conn);
int tfe_req_reset_owner(struct tfe_conn *conn);
int tfe_req_reset_device(struct tfe_conn *conn);
int tfe_req_get_queue_num(struct tfe_conn *conn, uint64_t *nb_queues);
int tfe_req_get_status(struct tfe_conn *conn, uint64_t *status);
int tfe_req_set_status(struct tfe_conn *conn, uint64_t status);
/**@}*/

/** @name Vrings. An fd below 0 sends the "no fd" bit: polling. */
/**@{*/
int tfe_req_set_vring_num(struct tfe_conn *conn, uint32_t index, uint32_t num);
int tfe_req_set_vring_base(struct tfe_conn *conn, uint32_t index, uint32_t base);
int tfe_req_get_vring_base(struct tfe_conn *conn, uint32_t index, uint32_t *base);
int tfe_req_set_vring_addr(struct tfe_conn *conn, const struct tfe_vu_vring_addr *addr);
int tfe_req_set_vring_enable(struct tfe_conn *conn, uint32_t index, bool enable);
int tfe_req_set_vring_kick(struct tfe_conn *conn, uint32_t index, int fd);
int tfe_req_set_vring_call(struct tfe_conn *conn, uint32_t index, int fd);
int tfe_req_set_vring_err(struct tfe_conn *conn, uint32_t index, int fd);
/** In-band kick, needs INBAND_NOTIFICATIONS. */
int tfe_req_vring_kick(struct tfe_conn *conn, uint32_t index);
/**@}*/

/** @name Memory. */
/**@{*/
int tfe_req_set_mem_table(struct tfe_conn *conn, const struct tfe_vu_region *regions,
		const int *fds, unsigned int nb_regions);
int tfe_req_get_max_mem_slots(struct tfe_conn *conn, uint64_t *nb_slots);
int tfe_req_add_mem_reg(struct tfe_conn *conn, const struct tfe_vu_region *region, int fd);
/** @param fd  sent along when not below 0; the specification allows both. */
int tfe_req_rem_mem_reg(struct tfe_conn *conn, const struct tfe_vu_region *region, int fd);
int tfe_req_iotlb(struct tfe_conn *conn, const struct tfe_vu_iotlb *iotlb);
/**@}*/

/** @name Migration and recovery. */
/**@{*/
/** With LOG_SHMFD: waits for the reply the specification demands. */
int tfe_req_set_log_base(struct tfe_conn *conn, const struct tfe_vu_log *log, int fd);
int tfe_req_set_log_fd(struct tfe_conn *conn, int fd);
int tfe_req_send_rarp(struct tfe_conn *conn, const uint8_t mac[6]);
/** @param inflight  nb_queues and queue_size in, all fields out.  @param fd  the caller's. */
int tfe_req_get_inflight_fd(struct tfe_conn *conn, struct tfe_vu_inflight *inflight, int *fd);
int tfe_req_set_inflight_fd(struct tfe_conn *conn, const struct tfe_vu_inflight *inflight, int fd);
/**@}*/

/** @name Device. */
/**@{*/
int tfe_req_net_set_mtu(struct tfe_conn *conn, uint64_t mtu);
/** @param config  offset and size_bytes in, data out; -ENODATA for an empty (error) reply. */
int tfe_req_get_config(struct tfe_conn *conn, struct tfe_vu_config *config);
int tfe_req_set_config(struct tfe_conn *conn, const struct tfe_vu_config *config);
/** @param fd  the back-end's end of the channel; see tfe_conn_open_channel(). */
int tfe_req_set_backend_req_fd(struct tfe_conn *conn, int fd);
/**@}*/

#endif /* TFE_REQ_H */
