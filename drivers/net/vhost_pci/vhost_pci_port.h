/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A port: an ethdev on one side, a session with a front-end on the other. Both front doors (vdev
 * and PCI) end here; what differs between them is how a connection comes about.
 *
 * Threads: the control thread is EAL's interrupt thread, shared with all other devices, so nothing
 * here blocks. It and the ethdev operations, which run on application threads, are serialised by
 * the port's lock. Application callbacks are called without the lock.
 */

#ifndef VHOST_PCI_PORT_H
#define VHOST_PCI_PORT_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <rte_ether.h>
#include <rte_interrupts.h>

#include "vhost_pci_drv_log.h"
#include "vhost_pci_session.h"
#include "vhost_pci_transport.h"

struct rte_eth_dev;
struct vhost_pci_port;
struct vhost_pci_rxq;
struct vhost_pci_txq;

/** Bounds of an MTU: IPv4's smallest (RFC 791), and the largest IP packet. */
#define VHOST_PCI_MIN_MTU 68
#define VHOST_PCI_MAX_MTU 65535

/** What a frame has besides its MTU: Ethernet header and one VLAN tag; there is no CRC. */
#define VHOST_PCI_L2_OVERHEAD (RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN)

/** Longest frame in either direction. */
#define VHOST_PCI_MAX_FRAME_LEN (VHOST_PCI_MAX_MTU + VHOST_PCI_L2_OVERHEAD)

/** Queue pairs of a port at most: the protocol names vrings by 8 bits. */
#define VHOST_PCI_MAX_QUEUE_PAIRS 128

/** How packets are received from a length on; see vhost_pci_zcopy.h. */
enum vhost_pci_zcopy_mode {
	VHOST_PCI_ZCOPY_SPLIT, /**< Headers are copied, the payload is the front-end's memory. */
	VHOST_PCI_ZCOPY_OFF,   /**< All is copied. */
	VHOST_PCI_ZCOPY_FULL,  /**< The whole packet is the front-end's memory. */
};

/** What a port is made with; from devargs or a device's registers. */
struct vhost_pci_port_config {
	uint16_t max_queue_pairs;
	uint16_t max_queue_size;
	bool tso;    /**< Front-ends may send packets to be segmented. */
	bool packed; /**< Offer packed virtqueues. */
	enum vhost_pci_zcopy_mode zcopy;
	uint32_t copybreak;   /**< Shorter packets are copied whatever the mode. */
	bool legacy_ol_flags; /**< Received mbufs carry the flags of mbufs to be sent. */
	bool postcopy;        /**< Front-ends may serve page faults of this process. */
	bool dirty_log;       /**< Front-ends may have writes to their memory logged. */
	bool inflight;        /**< Front-ends may have chains under way written down. */
	bool removable;       /**< The device may be taken away while it is in use. */
	bool dialect;         /**< The vhost-pci extension may be spoken; sockets only. */
	bool iommu;           /**< Front-ends' guests may be behind a vIOMMU. */
	bool require_seals;   /**< Refuse memory whose file can be cut short. */
	bool inband;          /**< Notifications may be messages. */
	bool config;          /**< Front-ends may leave the configuration space to the port. */
	bool has_guest_mac;   /**< guest_mac is set; otherwise front-ends have one of their own. */
	bool has_mac;         /**< mac is set; otherwise a random one is made. */
	struct rte_ether_addr mac;
	struct rte_ether_addr guest_mac; /**< In the configuration space. */
};

/** What wakes a port's control, in the order in which it is looked at. */
enum vhost_pci_event {
	VHOST_PCI_EVENT_TRANSPORT, /**< A message, or the end of the connection. */
	VHOST_PCI_EVENT_CHANNEL,   /**< An answer on the back-end channel, or its end. */
	VHOST_PCI_EVENT_LATE,      /**< Time to look whether a late reply can be sent. */
	VHOST_PCI_EVENT_BROKEN,    /**< A vring broke or posts a message, or memory is gone. */
	VHOST_PCI_EVENT_UNREAD,    /**< A vring without an Rx queue has something. */
	VHOST_PCI_EVENT_TIMER,     /**< The front door's timer. */
	VHOST_PCI_EVENT_DOOR,      /**< Someone at the front door. */
	VHOST_PCI_NB_EVENTS,
};

/** Handles an event; it may be called without one. Control thread, port locked. */
typedef void (*vhost_pci_event_fn_t)(struct vhost_pci_port *port);

/** What a front door does for a port. All are called with the port locked. */
struct vhost_pci_door_ops {
	const char *name; /**< Kind of front door, for messages. */
	/** Begin to get connections: each goes to vhost_pci_conn_open(). Returns 0 or -errno. */
	int (*open)(struct vhost_pci_port *port);
	/** The connection is gone: get the next one. Control thread. */
	void (*disconnected)(struct vhost_pci_port *port);
	/** The port was started or stopped, its link set up or down; NULL: no matter. */
	void (*state_changed)(struct vhost_pci_port *port);
	/** Undo open(), also one that failed. */
	void (*close)(struct vhost_pci_port *port);
	/** Free the front door's data, after close(); without the lock. */
	void (*free)(void *door_data);
};

/** Events of connections that a port counts. */
struct vhost_pci_port_stats {
	uint64_t connections;  /**< Connections opened. */
	uint64_t refused;      /**< Connections refused as there was one already. */
	uint64_t not_accepted; /**< Accepts that failed, such as for want of fds. */
	uint64_t lost;         /**< Connections that the front-end ended. */
	uint64_t unread;       /**< Packets dropped for want of an Rx queue. */
	uint64_t closed;       /**< Connections closed here for what the front-end did. */
};

/** A port; the private data of its ethdev. */
struct vhost_pci_port {
	/* Set at creation. */
	struct rte_eth_dev *eth_dev;
	struct vhost_pci_port_config config;
	const struct vhost_pci_door_ops *door;
	void *door_data; /**< The front door's own. */
	struct vhost_pci_session *session;
	uint64_t features; /**< Offered to front-ends. */

	/* Events: all fds are in one epoll set, registered with EAL for the port's life. */
	int epoll_fd;
	int broken_fd; /**< Eventfd that all vrings wake control by. */
	struct rte_intr_handle *intr_handle;
	int event_fd[VHOST_PCI_NB_EVENTS]; /**< -1: none. Not owned. */
	vhost_pci_event_fn_t event_fn[VHOST_PCI_NB_EVENTS];
	int unread_fd; /**< Eventfd: look at the vrings that no Rx queue reads. */

	LIST_ENTRY(vhost_pci_port) shown_entry; /**< Of vhost_pci_telemetry.c. */

	/* Under the lock. */
	pthread_mutex_t lock;
	struct vhost_pci_transport *transport; /**< NULL: no front-end. */
	int late_fd;                           /**< Timer while a late reply is due; -1: none is. */
	uint64_t late_end;                     /**< When to give up, in ns. */
	bool late_asked;                       /**< The next burst was asked to show. */
	struct vhost_user_dev_info dev_info;   /**< All 0: the front-end has not told. */
	bool dialect_spoken;                   /**< By the front-end of this connection. */
	bool dialect_on;  /**< What it knows of the port side of the peer connection. */
	uint64_t conn_id; /**< Of the last connection, in this process; 0: there was none. */
	struct vhost_pci_rxq **rxq; /**< By queue id; NULL: not set up. */
	struct vhost_pci_txq **txq;
	int *unread_kick;    /**< By Rx queue id: copy of the kick fd where nobody reads, or -1. */
	uint16_t nb_unread;  /**< Of those that are not -1. */
	bool unread_warned;  /**< That there are such. */
	bool started;        /**< Between dev_start and dev_stop. */
	bool admin_up;       /**< Not set down with dev_set_link_down. */
	bool link_changed;   /**< LSC event to be delivered. */
	bool removed;        /**< Removal event to be delivered: the port is not used again. */
	bool queue_changed;  /**< Queue state event to be delivered. */
	uint16_t app_mtu;    /**< The application's, which is in force without the front-end's. */
	uint16_t peer_mtu;   /**< From NET_SET_MTU; 0: none. */
	uint16_t space_mtu;  /**< In the configuration space, of one connection. */
	bool ptypes_wanted;  /**< The application has asked for packet types, or for none. */
	uint32_t ptype_mask; /**< Layers of the packet type to be set. */
	uint32_t *shown;     /**< What is known of each vring's state; see vring_state(). */
	struct vhost_pci_log_limit log_limit; /**< Of what is said about front-ends. */
	struct vhost_pci_port_stats stats;

	/* Owned by the application's threads: what was counted when it last reset counters. */
	struct vhost_pci_port_stats stats_base;
	struct vhost_pci_session_stats session_base;
};

/**
 * Fill a port in zeroed memory: session, event loop. It is not open yet.
 *
 * @return 0 or -errno, with nothing left. Application thread.
 */
int vhost_pci_port_init(struct vhost_pci_port *port, struct rte_eth_dev *eth_dev,
		const struct vhost_pci_port_config *config, const struct vhost_pci_door_ops *door,
		void *door_data);

/** Open the front door. Returns 0 or -errno. Application thread. */
int vhost_pci_port_open(struct vhost_pci_port *port);

/** Close the front door and the connection, free all but the port itself. Application thread. */
void vhost_pci_port_fini(struct vhost_pci_port *port);

/** Take the port's lock. */
static inline void
vhost_pci_port_lock(struct vhost_pci_port *port)
{
	pthread_mutex_lock(&port->lock);
}

/** Release the port's lock. */
static inline void
vhost_pci_port_unlock(struct vhost_pci_port *port)
{
	pthread_mutex_unlock(&port->lock);
}

/**
 * Set the port's state: started by dev_start, and not set down by dev_set_link_down. Vrings and
 * link follow. Port locked; an application thread.
 */
void vhost_pci_port_set_state(struct vhost_pci_port *port, bool started, bool admin_up);

/**
 * Let the configuration space follow the port: its link, and before a connection its MTU, which
 * "the device MUST NOT modify once it has been set" (VIRTIO 5.1.4.1). Port locked.
 */
void vhost_pci_port_update_config(struct vhost_pci_port *port);

/** Let the link follow the session and the port; remembers a change for an event. Port locked. */
void vhost_pci_port_update_link(struct vhost_pci_port *port);

/**
 * Watch an fd for input.
 *
 * @param fd	Not owned: vhost_pci_port_unwatch() before it is closed.
 * @return 0 or -errno. Port locked.
 */
int vhost_pci_port_watch(struct vhost_pci_port *port, enum vhost_pci_event event, int fd,
		vhost_pci_event_fn_t fn);

/** Watch an event's fd no more; nothing happens where there is none. Port locked. */
void vhost_pci_port_unwatch(struct vhost_pci_port *port, enum vhost_pci_event event);

#endif /* VHOST_PCI_PORT_H */
