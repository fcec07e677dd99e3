/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_features.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "vhost_pci_port.h"
#include "vhost_user.h"

/*
 * Left out, and why:
 *
 * VIRTIO_NET_F_MAC, STATUS, SPEED_DUPLEX, STANDBY: fields of the configuration space, which the
 *	front-end owns. Front-ends that have them (QEMU, virtio_user) offer them to their driver
 *	whatever we say; one that passes our features on unchanged (User Mode Linux) has no
 *	configuration space to read them from, and its driver would see a link that is down. MAC
 *	and STATUS are offered where the port has such a space for it (config=1).
 * VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, CTRL_VLAN, CTRL_MAC_ADDR, CTRL_RX_EXTRA: commands of the
 *	control virtqueue, which the front-end owns and need not tell us of.
 * VIRTIO_NET_F_GSO: the deprecated sum of the HOST_TSO and ECN features; each is offered itself.
 * VIRTIO_NET_F_GUEST_USO4, GUEST_USO6, HOST_USO: mbufs have no flag for UDP segmentation of this
 *	kind (RTE_MBUF_F_TX_UDP_SEG is fragmentation, that is UFO).
 * VIRTIO_NET_F_RSS, HASH_REPORT, GUEST_HDRLEN, RSC_EXT, NOTF_COAL: not implemented.
 * VIRTIO_F_NOTIFY_ON_EMPTY: legacy; calls are suppressed or not without regard to an empty ring.
 * VIRTIO_F_ACCESS_PLATFORM: on request (iommu=1), for each address is then translated on its own,
 *	and no packet lent.
 * VIRTIO_F_ORDER_PLATFORM: all accesses are a processor's to coherent memory, for which the
 *	barriers between processors are enough; it would only make drivers use costlier ones.
 * VIRTIO_F_SR_IOV, VIRTIO_F_NOTIFICATION_DATA, VIRTIO_F_NOTIF_CONFIG_DATA: of other transports.
 * VIRTIO_F_RING_RESET: a vhost-user front-end resets a ring by stopping it.
 * VHOST_F_LOG_ALL: of ports whose front door has no log.
 */

/** Features of all ports. */
#define FEATURES_BASE \
	(VHOST_PCI_FEATURE(F_VERSION_1) | VHOST_PCI_FEATURE(F_ANY_LAYOUT) | \
			VHOST_PCI_FEATURE(RING_F_INDIRECT_DESC) | \
			VHOST_PCI_FEATURE(RING_F_EVENT_IDX) | VHOST_PCI_FEATURE(F_IN_ORDER) | \
			VHOST_PCI_FEATURE(NET_F_MRG_RXBUF) | VHOST_PCI_FEATURE(NET_F_CSUM) | \
			VHOST_PCI_FEATURE(NET_F_GUEST_CSUM) | \
			VHOST_PCI_FEATURE(NET_F_GUEST_TSO4) | \
			VHOST_PCI_FEATURE(NET_F_GUEST_TSO6) | VHOST_PCI_FEATURE(NET_F_GUEST_ECN) | \
			VHOST_PCI_FEATURE(NET_F_GUEST_UFO) | VHOST_PCI_FEATURE(NET_F_MTU))

/** Packets to be segmented, from the front-end: the application must be fit for them. */
#define FEATURES_HOST_TSO \
	(VHOST_PCI_FEATURE(NET_F_HOST_TSO4) | VHOST_PCI_FEATURE(NET_F_HOST_TSO6) | \
			VHOST_PCI_FEATURE(NET_F_HOST_ECN) | VHOST_PCI_FEATURE(NET_F_HOST_UFO))

/**
 * More than one queue pair, and what else a front-end's control virtqueue is for. They are offered
 * together because a driver refuses a device that has one without CTRL_VQ (VIRTIO 5.1.3.1), and
 * only for several queue pairs because a front-end which passes our features on unchanged would
 * expect us to serve that virtqueue.
 */
#define FEATURES_MQ \
	(VHOST_PCI_FEATURE(NET_F_MQ) | VHOST_PCI_FEATURE(NET_F_CTRL_VQ) | \
			VHOST_PCI_FEATURE(NET_F_CTRL_RX) | \
			VHOST_PCI_FEATURE(NET_F_GUEST_ANNOUNCE))

uint64_t
vhost_pci_features(const struct vhost_pci_port_config *config)
{
	uint64_t features = FEATURES_BASE;

	if (config->tso)
		features |= FEATURES_HOST_TSO;
	if (config->iommu)
		features |= VHOST_PCI_FEATURE(F_ACCESS_PLATFORM);
	if (config->packed)
		features |= VHOST_PCI_FEATURE(F_RING_PACKED);
	if (config->dirty_log)
		features |= UINT64_C(1) << VHOST_F_LOG_ALL;
	if (config->max_queue_pairs > 1)
		features |= FEATURES_MQ;
	if (config->config)
		features |= VHOST_PCI_FEATURE(NET_F_STATUS);
	if (config->config && config->has_guest_mac)
		features |= VHOST_PCI_FEATURE(NET_F_MAC);
	return features;
}

uint64_t
vhost_pci_protocol_features(const struct vhost_pci_port_config *config)
{
	uint64_t features = VHOST_USER_PROTOCOL_MASK(MQ) | VHOST_USER_PROTOCOL_MASK(LOG_SHMFD) |
			VHOST_USER_PROTOCOL_MASK(RARP) | VHOST_USER_PROTOCOL_MASK(REPLY_ACK) |
			VHOST_USER_PROTOCOL_MASK(MTU) | VHOST_USER_PROTOCOL_MASK(BACKEND_REQ) |
			VHOST_USER_PROTOCOL_MASK(RESET_DEVICE) |
			VHOST_USER_PROTOCOL_MASK(CONFIGURE_MEM_SLOTS) |
			VHOST_USER_PROTOCOL_MASK(STATUS) | VHOST_USER_PROTOCOL_MASK(GPA_ADDRESSES);

	if (config->inband)
		features |= VHOST_USER_PROTOCOL_MASK(INBAND_NOTIFICATIONS);
	/* On request: QEMU, which has a configuration space of its own for a network device, warns
	 * of a back-end that offers one too, and 7.2.0 to 7.2.2 dereferences NULL on the way.
	 */
	if (config->config)
		features |= VHOST_USER_PROTOCOL_MASK(CONFIG);
	if (config->postcopy)
		features |= VHOST_USER_PROTOCOL_MASK(PAGEFAULT);
	if (config->inflight)
		features |= VHOST_USER_PROTOCOL_MASK(INFLIGHT_SHMFD);
	return features;
}
