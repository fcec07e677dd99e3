/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Receive without a copy: mbufs whose data is the front-end's memory, lent by vhost_pci_lend.h
 * until the application frees them.
 *
 * A device must not write to a buffer that it is given to read (VIRTIO 2.7.5.1: a guest's packet
 * may share pages with its page cache), but applications write to headers, and the driver does so
 * to complete a checksum. So headers are copied into an mbuf's own room, where the peer can't
 * change them any more either, and only what follows is attached; unless the application promises
 * to write to no packet at all.
 */

#ifndef VHOST_PCI_ZCOPY_H
#define VHOST_PCI_ZCOPY_H

#include "vhost_pci_port.h"
#include "vhost_pci_rx_gather.h"

/**
 * Bytes of a packet that are copied: Ethernet with two tags, IPv6 with options and TCP with all of
 * its options fit, and so do the headers of a usual tunnel.
 */
#define VHOST_PCI_ZCOPY_HEADERS 128

/** The smallest packet that may be attached. */
#define VHOST_PCI_ZCOPY_MIN 256

/** From which length on packets are attached, unless the port's arguments say otherwise. */
#define VHOST_PCI_ZCOPY_COPYBREAK 2048

/** A length that no packet has: all are copied. */
#define VHOST_PCI_ZCOPY_NEVER UINT32_MAX

/**
 * Watch for ports whose devices are told the addresses of packets: they can't reach a front-end's
 * memory, of which no IOMMU knows and whose physical addresses nobody does. Once there was one, all
 * packets are copied.
 *
 * Application thread.
 */
void vhost_pci_zcopy_init(void);

/** Set up a queue's mode, from its offloads and the port's arguments. Application thread. */
void vhost_pci_zcopy_setup(struct vhost_pci_rxq *rxq);

/** Let a queue's vring, which is paused, lend its chains where that is wanted. Port locked. */
void vhost_pci_zcopy_bind(struct vhost_pci_rxq *rxq);

/**
 * Make a packet of a chain without copying all of it.
 *
 * @param chain	All of it; lent where a packet is returned.
 * @param frame	Where it begins.
 * @param len	Of the frame, at least the queue's copybreak.
 * @return The packet; NULL where it must be copied.
 *
 * The thread that polls the queue.
 */
struct rte_mbuf *vhost_pci_zcopy_rx(struct vhost_pci_rxq *rxq, const struct vhost_pci_chain *chain,
		struct vhost_pci_rx_cursor frame, uint32_t len);

#endif /* VHOST_PCI_ZCOPY_H */
