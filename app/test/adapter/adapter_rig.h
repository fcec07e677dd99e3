/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * An endpoint in a thread of its own, and a driver of its adapter that does by hand what a guest
 * does: registers over vfio-user, rings and windows in the memory that the client maps.
 */

#ifndef ADAPTER_RIG_H
#define ADAPTER_RIG_H

#include "endpoint.h"
#include "loop_thread.h"
#include "tfe_dev.h"
#include "vfu_client.h"
#include "vhost_pci_barrier.h"
#include "vhost_pci_msgring.h"

/** An endpoint. */
struct adapter_rig {
	struct loop_thread thread;
	char *dir;
	char *vhost_path;   /**< where front-ends connect to */
	char *adapter_path; /**< of the first adapter's socket */
	unsigned int nb_fds;
	struct endpoint *endpoint;
	struct endpoint_config config;
	GMutex mutex; /**< of the counters */
	GCond cond;
	unsigned int nb_plugged;
	unsigned int nb_unplugged;
	unsigned int nb_gone;
};

/** A driver of an adapter. */
struct drv {
	struct vfc client;
	uint8_t *shared; /**< the shared area */
	uint8_t *log;    /**< the log window, or NULL */
	size_t log_bytes;
	uint8_t *memory; /**< BAR2's window */
	size_t memory_bytes;
	uint32_t event_seq; /**< without interrupts: the event counter, as it was read last */
	int event_fd;       /**< of vector 0, the driver's event vector */
	int kick_fd;        /**< of vector 1, the vector of all vrings */
	struct vhost_pci_msgring f2b;
	struct vhost_pci_msgring b2f;
};

/** A configuration that tests begin with: a listening endpoint, without grace. */
void adapter_rig_defaults(struct adapter_rig *rig);

/** Start; after adapter_rig_defaults() and what the test changes in rig->config. */
void adapter_rig_start(struct adapter_rig *rig);

/** Stop; fails the test where fds are left. */
void adapter_rig_stop(struct adapter_rig *rig);

/** Wait until the loop has nothing to do, with the idle work that came up meanwhile. */
void adapter_rig_settle(struct adapter_rig *rig);

/** Wait until the adapter's socket is there, or gone: fails the test after 5 s. */
void adapter_rig_wait_socket(struct adapter_rig *rig, bool there);

/** Counters of the first adapter's vfio-user side. */
struct vfu_device_stats adapter_rig_vfu_stats(struct adapter_rig *rig);

/** Counters of the first adapter, and its state (enum vhost_pci_adapter_conn). */
struct adapter_stats adapter_rig_stats(struct adapter_rig *rig, uint32_t *state);

/** Number of adapters. */
unsigned int adapter_rig_nb_adapters(struct adapter_rig *rig);

/** Open a front-end at the rig's socket as tfe_dev_open() does; its defaults, 16 MB. */
void adapter_rig_open_frontend(struct adapter_rig *rig, struct tfe_dev *dev);

/** Plug the adapter and map its BARs. */
void drv_plug(struct drv *drv, struct adapter_rig *rig);

/** Unplug: close all. */
void drv_unplug(struct drv *drv);

/** Set the driver up, up to DRIVER_READY or not [ADP-5.3]. */
void drv_init(struct drv *drv, uint64_t features, bool ready);

/** Wait until an eventfd has counted, and take it. Fails the test after 5 s. */
uint64_t drv_wait_fd(int fd);

/** Read a register. */
uint32_t drv_read(struct drv *drv, uint32_t offset);

/** Write a register. */
void drv_write(struct drv *drv, uint32_t offset, uint32_t value);

/** Wait for an event: an interrupt of the event vector. Fails the test after 5 s. */
void drv_wait_event(struct drv *drv);

/** Wait until a register has a value, from event to event. Fails the test after 5 s. */
void drv_wait_reg(struct drv *drv, uint32_t offset, uint32_t value);

/** Receive a message, waiting for it. Fails the test after 5 s. */
void drv_recv(struct drv *drv, struct vhost_pci_msg *msg, struct vhost_pci_adapter_frame *frame);

/** Receive a message of this kind with these flags. */
void drv_expect(struct drv *drv, struct vhost_pci_msg *msg, uint32_t request, uint16_t flags);

/** Receive all of a replay that ends with this message; how many they were. */
unsigned int drv_recv_replay(struct drv *drv, uint32_t last);

/** Start, and have a front-end, its adapter, and a driver that has read the replay. */
void adapter_rig_open_all(struct adapter_rig *rig, struct tfe_dev *dev, struct drv *drv);

/** Whether there is no message now. */
bool drv_is_empty(struct drv *drv);

/** Send a message and notify. */
void drv_send(struct drv *drv, const struct vhost_pci_msg *msg, uint64_t conn_id);

/** Reply to a request by a u64. */
void drv_reply_u64(struct drv *drv, uint32_t request, uint64_t value, uint64_t conn_id);

/** Offset of an adapter register. */
#define DRV_REG(name) ((uint32_t)offsetof(struct vhost_pci_adapter_regs, name))

/** Offset of a register of a vring. */
#define DRV_VRING_REG(i, name) \
	((uint32_t)(VHOST_PCI_ADAPTER_VRING_REGS_OFF + \
			(i) * sizeof(struct vhost_pci_adapter_vring_regs) + \
			offsetof(struct vhost_pci_adapter_vring_regs, name)))

/** Offset of a doorbell. */
#define DRV_BELL(name) \
	((uint32_t)(VHOST_PCI_ADAPTER_DOORBELLS_OFF + \
			offsetof(struct vhost_pci_adapter_doorbells, name)))

#endif /* ADAPTER_RIG_H */
