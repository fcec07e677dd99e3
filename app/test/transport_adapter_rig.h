/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The driver's end of an adapter, with BARs in ordinary memory: what a device would do at an
 * access, a test does between two calls.
 */

#ifndef TRANSPORT_ADAPTER_RIG_H
#define TRANSPORT_ADAPTER_RIG_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vhost_pci_msgring.h"
#include "vhost_pci_transport_adapter.h"

/** @name What the device is */
/**@{*/
#define ADP_RIG_NB_VRINGS   4
#define ADP_RIG_NB_VECTORS  5
#define ADP_RIG_BAR0_BYTES  VHOST_PCI_ADAPTER_BAR0_BYTES_MIN
#define ADP_RIG_BAR2_BYTES  UINT64_C(0x100000)
#define ADP_RIG_WINDOW_OFF  UINT64_C(0x1000)
#define ADP_RIG_WINDOW_SIZE UINT64_C(0x80000)
#define ADP_RIG_LOG_OFF     UINT64_C(0x7000)
#define ADP_RIG_LOG_BYTES   UINT64_C(0x1000)
#define ADP_RIG_CONN_ID     7
#define ADP_RIG_FEATURES    UINT64_C(0x100008000) /**< VERSION_1, MRG_RXBUF. */
#define ADP_RIG_F_PROTOCOL  (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define ADP_RIG_PROTOCOL    (VHOST_USER_PROTOCOL_MASK(MQ) | VHOST_USER_PROTOCOL_MASK(REPLY_ACK))
/**@}*/

/** A device, and the driver's end of it. BARs lie between pages that nobody may touch. */
struct adp_rig {
	uint8_t *map;
	size_t map_bytes;
	struct vhost_pci_adp_bar bar[VHOST_PCI_ADP_BARS];
	struct vhost_pci_adapter_regs *regs;
	struct vhost_pci_adapter_vring_regs *vring_regs;
	struct vhost_pci_adapter_doorbells *doorbells;
	struct vhost_pci_adapter_shared *shared;
	struct vhost_pci_msgring f2b; /**< The device's ends. */
	struct vhost_pci_msgring b2f;
	int kick_fd[ADP_RIG_NB_VRINGS];
	struct vhost_pci_adp *adp;
	struct vhost_pci_transport *transport;
	uint64_t now_ms;
	unsigned int nb_fds;
};

/** Write a register of 64 bits. */
void adp_rig_set64(uint32_t *reg_lo, uint64_t value);

/** Give the registers their values: those of a good device after a reset. */
void adp_rig_init_regs(struct adp_rig *f);

/** Give window 2, the log, a place in BAR0 (ADP_RIG_LOG_OFF) or another one. */
void adp_rig_set_log(struct adp_rig *f, unsigned int bar, uint64_t off, uint64_t bytes);

/** Of them, those of window 0. */
void adp_rig_init_window(struct adp_rig *f);

/** The device's side of a reset: rings. */
void adp_rig_device_reset(struct adp_rig *f);

/** cmocka fixture: a device. */
int adp_rig_setup(void **state);

/** cmocka fixture: a device, a driver that is ready, and a session that has a transport. */
int adp_rig_setup_connected(void **state);

/** cmocka fixture: end all; fails where an fd is left. */
int adp_rig_teardown(void **state);

/** Create the driver's end; returns what that does. */
int adp_rig_create(struct adp_rig *f);

/** Create it, and get ready. */
void adp_rig_start(struct adp_rig *f);

/** Something has changed: the device says so, the driver looks. */
enum vhost_pci_adp_state adp_rig_event(struct adp_rig *f);

/** The device gets into a state of the connection, and the driver looks. */
enum vhost_pci_adp_state adp_rig_go_to(struct adp_rig *f, uint32_t conn_state, uint64_t conn_id);

/** An empty message. */
struct vhost_pci_msg adp_rig_make_msg(uint32_t request, uint32_t bytes);

/** Put a message on the ring to the driver. */
void adp_rig_put_msg(struct adp_rig *f, const struct vhost_pci_msg *msg, uint16_t flags,
		uint64_t conn_id);

/** The same, with a u64, as a message of the session. */
void adp_rig_put_u64(struct adp_rig *f, uint32_t request, uint64_t u64, unsigned int nb_fds,
		uint16_t flags);

/** Receive; returns what vhost_pci_transport_recv() does. */
int adp_rig_recv_msg(struct adp_rig *f, struct vhost_pci_msg *msg);

/** Receive what must be a request of this id. */
struct vhost_pci_msg adp_rig_expect_msg(struct adp_rig *f, uint32_t request);

/** Send a reply; returns what vhost_pci_transport_send() does. */
int adp_rig_send_u64(struct adp_rig *f, uint32_t request, uint64_t u64);

/** What the driver has put on its ring next: 0, or -EAGAIN where there is nothing. */
int adp_rig_get_reply(struct adp_rig *f, struct vhost_pci_msg *msg);

#endif /* TRANSPORT_ADAPTER_RIG_H */
