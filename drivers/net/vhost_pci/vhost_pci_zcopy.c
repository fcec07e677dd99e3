/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_zcopy.h"

#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_ethdev.h"
#include "vhost_pci_features.h"
#include "vhost_pci_lend.h"

/** Pieces of a packet at most: more than a Linux guest ever makes. */
#define MAX_PIECES 24

/** Bytes that a piece has on average at least: below that, copying costs less. */
#define PIECE_BYTES 512

_Static_assert(sizeof(struct rte_mbuf_ext_shared_info) <=
				sizeof(((struct vhost_pci_lent *)NULL)->owner),
		"what a packet's mbufs share lies in the lent chain");

/** Whether there is, or was, a port that needs addresses which mean something to its device. */
static bool needs_addresses;

/* Ports that send packets by their address */

/** Virtual devices that do so, by the beginnings of their names: their peers map EAL's memory. */
static const char *const sharing_vdevs[] = {
	"net_virtio_user",
	"virtio_user",
	"net_memif",
	"net_af_xdp",
};

/** Whether a port hands on addresses: hardware does, and the above; others and ours copy. */
static bool
port_needs_addresses(uint16_t port_id)
{
	const struct rte_eth_dev *eth_dev = &rte_eth_devices[port_id];
	const struct rte_bus *bus;
	unsigned int i;

	if (vhost_pci_is_ours(eth_dev) || eth_dev->device == NULL)
		return false;
	for (i = 0; i < RTE_DIM(sharing_vdevs); i++)
		if (strncmp(eth_dev->data->name, sharing_vdevs[i], strlen(sharing_vdevs[i])) == 0)
			return true;
	bus = rte_dev_bus(eth_dev->device);
	return bus == NULL || strcmp(rte_bus_name(bus), "vdev") != 0;
}

/** A port has come: it has not sent anything yet. */
static int
on_new_port(uint16_t port_id, enum rte_eth_event_type type, void *arg, void *ret)
{
	RTE_SET_USED(type);
	RTE_SET_USED(arg);
	RTE_SET_USED(ret);
	if (!port_needs_addresses(port_id) ||
			__atomic_exchange_n(&needs_addresses, true, __ATOMIC_RELAXED))
		return 0;
	DRV_LOG(NOTICE, "port %u can't send out of a front-end's memory: all packets are copied",
			port_id);
	return 0;
}

void
vhost_pci_zcopy_init(void)
{
	static bool watched;
	uint16_t port_id;

	if (watched)
		return;
	watched = rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_NEW, on_new_port,
				  NULL) == 0;
	RTE_ETH_FOREACH_DEV(port_id)
		on_new_port(port_id, RTE_ETH_EVENT_NEW, NULL, NULL);
}

/* Queues */

void
vhost_pci_zcopy_setup(struct vhost_pci_rxq *rxq)
{
	const struct vhost_pci_port_config *config = &rxq->port->config;
	bool scattered = rxq->max_len > rxq->room;

	/* Headers and payload are two mbufs: that is for who has asked for such packets. */
	rxq->zcopy_headers = config->zcopy == VHOST_PCI_ZCOPY_FULL
			? 0
			: RTE_MIN((uint32_t)VHOST_PCI_ZCOPY_HEADERS, rxq->room);
	rxq->zcopy_pieces = scattered ? MAX_PIECES : 1;
	rxq->copybreak = config->copybreak;
	if (config->zcopy == VHOST_PCI_ZCOPY_OFF ||
			(config->zcopy == VHOST_PCI_ZCOPY_SPLIT && !scattered))
		rxq->copybreak = VHOST_PCI_ZCOPY_NEVER;
}

void
vhost_pci_zcopy_bind(struct vhost_pci_rxq *rxq)
{
	struct vhost_pci_vring *vr = rxq->vr;

	/* Behind an IOMMU of the guest's, memory may be withdrawn page by page at any time. */
	if (rxq->copybreak == VHOST_PCI_ZCOPY_NEVER || vr->mem == NULL ||
			(rxq->features & VHOST_PCI_FEATURE(F_ACCESS_PLATFORM)) != 0)
		return;
	if (vhost_pci_lend_open(vr, (rxq->features & VHOST_PCI_FEATURE(F_IN_ORDER)) != 0) < 0)
		DRV_LOG(WARNING, "%s: Rx queue %u: no memory to receive without a copy",
				vhost_pci_port_name(rxq->port), rxq->queue_id);
	/* An opportunity to return what was given back: the next burst may be a long time away. */
	vhost_pci_lend_wait(vr, 0);
}

/* Packets */

/** The last mbuf of a packet was freed. Any thread. */
static void
packet_freed(void *addr, void *opaque)
{
	RTE_SET_USED(addr);
	vhost_pci_lend_give_back(opaque);
}

/** A piece of a packet, in the front-end's memory. */
struct piece {
	uint8_t *va;
	uint16_t len;
};

/**
 * Find the pieces that are to be attached.
 *
 * @return How many; 0 where there are too many.
 */
static unsigned int
find_pieces(struct vhost_pci_rx_cursor cursor, uint32_t len, unsigned int max, struct piece *pieces)
{
	unsigned int nb = 0;
	uint32_t part;

	while (len > 0) {
		if (cursor.offset == cursor.seg->len) {
			cursor.seg++;
			cursor.offset = 0;
			continue;
		}
		if (nb == max)
			return 0;
		part = RTE_MIN(cursor.seg->len - cursor.offset, len);
		part = RTE_MIN(part, (uint32_t)UINT16_MAX);
		pieces[nb].va = cursor.seg->va + cursor.offset;
		pieces[nb++].len = (uint16_t)part;
		cursor.offset += part;
		len -= part;
	}
	return nb;
}

/** Take mbufs, all of them or none. */
static bool
take_mbufs(struct vhost_pci_rxq *rxq, struct rte_mbuf **mbufs, unsigned int nb)
{
	unsigned int i;

	for (i = 0; i < nb; i++) {
		mbufs[i] = vhost_pci_rx_mbuf(rxq);
		if (mbufs[i] != NULL)
			continue;
		rte_pktmbuf_free_bulk(mbufs, i);
		return false;
	}
	return true;
}

/** Attach a piece to an mbuf, with no room before or behind it. */
static void
attach(struct rte_mbuf *m, const struct piece *piece, struct rte_mbuf_ext_shared_info *shared)
{
	/* Where addresses are physical nobody knows that of a front-end's page: no device is there
	 * that would ask, see needs_addresses.
	 */
	rte_iova_t iova = rte_eal_iova_mode() == RTE_IOVA_VA ? (rte_iova_t)(uintptr_t)piece->va
							     : RTE_BAD_IOVA;

	rte_pktmbuf_attach_extbuf(m, piece->va, iova, piece->len, shared);
	m->data_len = piece->len;
	m->pkt_len = piece->len;
}

/** Lend the chain to the mbufs of one packet. */
static struct rte_mbuf_ext_shared_info *
lend(struct vhost_pci_rxq *rxq, const struct vhost_pci_chain *chain, unsigned int nb_mbufs)
{
	struct vhost_pci_lent *lent = vhost_pci_lend_chain(rxq->vr, chain);
	struct rte_mbuf_ext_shared_info *shared;

	if (lent == NULL)
		return NULL;
	shared = (struct rte_mbuf_ext_shared_info *)(void *)lent->owner;
	shared->free_cb = packet_freed;
	shared->fcb_opaque = lent;
	rte_mbuf_ext_refcnt_set(shared, (uint16_t)nb_mbufs);
	return shared;
}

/** Make one packet of mbufs whose data is in place. */
static struct rte_mbuf *
link_mbufs(struct rte_mbuf **mbufs, unsigned int nb)
{
	struct rte_mbuf *last = mbufs[0];
	unsigned int i;

	for (i = 1; i < nb; i++)
		vhost_pci_rx_link(mbufs[0], &last, mbufs[i]);
	return mbufs[0];
}

struct rte_mbuf *
vhost_pci_zcopy_rx(struct vhost_pci_rxq *rxq, const struct vhost_pci_chain *chain,
		struct vhost_pci_rx_cursor frame, uint32_t len)
{
	const uint32_t headers = rxq->zcopy_headers;
	const unsigned int first = headers > 0 ? 1 : 0;
	struct rte_mbuf_ext_shared_info *shared;
	struct rte_mbuf *mbufs[MAX_PIECES + 1];
	struct vhost_pci_rx_cursor payload;
	struct piece pieces[MAX_PIECES];
	unsigned int nb, i;

	if (rxq->vr->lend == NULL || __atomic_load_n(&needs_addresses, __ATOMIC_RELAXED))
		return NULL;
	payload = frame;
	vhost_pci_rx_skip(&payload, headers);
	nb = find_pieces(payload, len - headers, RTE_MIN(rxq->zcopy_pieces, len / PIECE_BYTES + 1),
			pieces);
	if (nb == 0 || !take_mbufs(rxq, mbufs, nb + first))
		return NULL;
	shared = lend(rxq, chain, nb);
	if (shared == NULL) {
		rxq->stats.starved++;
		rte_pktmbuf_free_bulk(mbufs, nb + first);
		return NULL;
	}
	for (i = 0; i < nb; i++)
		attach(mbufs[first + i], &pieces[i], shared);
	if (first > 0) {
		vhost_pci_rx_read(&frame, rte_pktmbuf_mtod(mbufs[0], uint8_t *), headers);
		mbufs[0]->data_len = (uint16_t)headers;
		mbufs[0]->pkt_len = headers;
	}
	return link_mbufs(mbufs, nb + first);
}
