/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The test front-end: a vhost-user front-end in a library, to drive any back-end with correct, fast
 * or hostile input.
 *
 * From the bottom up: tfe_wire.h (formats), tfe_conn.h (socket, messages, fds), tfe_req.h
 * (requests), tfe_dialect.h (those with another header), tfe_mem.h (memory), tfe_ring.h
 * (virtqueues), tfe_dev.h (session), tfe_net.h (packets), tfe_frame.h (frames), tfe_gen.h
 * (generator).
 *
 * A good session, and then a bad message:
 * @code
 * struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
 * struct tfe_net_layout indirect = { .indirect = true, .split_header = true };
 * struct tfe_netq tx, rx;
 * struct tfe_dev dev;
 * struct tfe_pkt pkt;
 * struct tfe_msg msg;
 * uint8_t frame[128];
 *
 * conf.path = "/run/v0.sock";
 * conf.required_features = TFE_BIT(VIRTIO_F_RING_PACKED) | TFE_BIT(VIRTIO_RING_F_INDIRECT_DESC);
 * tfe_dev_open(&dev, &conf);                     connect, negotiate, memory, rings, enable
 * tfe_netq_init(&tx, &dev, 1, 2048, &indirect);  transmitq of pair 0
 * tfe_netq_init(&rx, &dev, 0, 2048, NULL);       receiveq
 * tfe_netq_post(&rx, 64);
 * tfe_frame_build(frame, sizeof(frame), 0, 0);
 * tfe_netq_send(&tx, NULL, frame, sizeof(frame));
 * tfe_netq_recv(&rx, &pkt, 1000);                1, and pkt.frame, pkt.len_bytes, pkt.hdr
 *
 * tfe_msg_init(&msg, TFE_VU_SET_VRING_NUM, &(struct tfe_vu_vring_state){ 0xffff0000, 7 }, 8);
 * tfe_msg_add_fd(&msg, fd);                      this message takes no fd
 * msg.hdr.flags |= TFE_VU_REPLY;                 any flags, any size
 * tfe_conn_send(&dev.conn, &msg);
 * tfe_conn_wait_closed(&dev.conn, 1000);         0: the back-end has closed the connection
 * @endcode
 */

#ifndef TFE_H
#define TFE_H

#include "tfe_conn.h"
#include "tfe_dev.h"
#include "tfe_dialect.h"
#include "tfe_frame.h"
#include "tfe_gen.h"
#include "tfe_iommu.h"
#include "tfe_mem.h"
#include "tfe_net.h"
#include "tfe_req.h"
#include "tfe_ring.h"
#include "tfe_wire.h"

#endif /* TFE_H */
