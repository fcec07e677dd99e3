/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * How messages travel between a session and its front-end: over a UNIX socket, or over the
 * message queues of a vhost-pci adapter. Callers see messages and no difference.
 *
 * All functions: control thread. None of them blocks.
 */

#ifndef VHOST_PCI_TRANSPORT_H
#define VHOST_PCI_TRANSPORT_H

#include "vhost_pci_codec.h"
#include "vhost_pci_faults.h"
#include "vhost_pci_mem.h"

struct vhost_pci_transport;

/** A range of a file that is to be mapped so that its missing pages raise faults. */
struct vhost_pci_map_request {
	int fd; /**< Stays the caller's. */
	uint64_t mmap_offset;
	uint64_t size;
	struct vhost_pci_faults *faults; /**< Where they are raised. */
};

/** What a kind of transport implements. */
struct vhost_pci_transport_ops {
	/** See vhost_pci_transport_recv(). */
	int (*recv)(struct vhost_pci_transport *transport, struct vhost_pci_msg *msg);
	/** See vhost_pci_transport_send(). */
	int (*send)(struct vhost_pci_transport *transport, struct vhost_pci_msg *msg);
	/** See the map_region of struct vhost_pci_session_ops. */
	int (*map_region)(struct vhost_pci_transport *transport, int fd, uint64_t mmap_offset,
			uint64_t size, struct vhost_pci_mapping **mapping);
	/** See the map_log of struct vhost_pci_session_ops. NULL: by map_region. */
	int (*map_log)(struct vhost_pci_transport *transport, int fd, uint64_t mmap_offset,
			uint64_t size, struct vhost_pci_mapping **mapping);
	/** See the find_doorbell of struct vhost_pci_session_ops. NULL: fds come with messages. */
	volatile uint32_t *(*doorbell)(struct vhost_pci_transport *transport, uint32_t request,
			unsigned int index);
	/** See the vring_stopped of struct vhost_pci_session_ops. NULL: nobody wants to know. */
	void (*vring_stopped)(struct vhost_pci_transport *transport, unsigned int index,
			uint32_t base);
	/** See the open_channel of struct vhost_pci_session_ops. NULL: -ENOTSUP. */
	int (*open_channel)(struct vhost_pci_transport *transport, int fd,
			struct vhost_pci_transport **channel);
	/** See the open_faults of struct vhost_pci_session_ops. NULL: -ENOTSUP. */
	int (*open_faults)(struct vhost_pci_transport *transport, struct vhost_pci_faults **faults);
	/** See the map_faulting of struct vhost_pci_session_ops. NULL where open_faults is. */
	int (*map_faulting)(struct vhost_pci_transport *transport,
			const struct vhost_pci_map_request *request,
			struct vhost_pci_mapping **mapping);
	/** See vhost_pci_transport_close(). */
	void (*close)(struct vhost_pci_transport *transport);
};

/** The part that every transport begins with. */
struct vhost_pci_transport {
	const struct vhost_pci_transport_ops *ops;
	int event_fd; /**< Readable when there is something to receive, or the peer is gone. */
};

/**
 * Receive a message; its fds are the caller's.
 *
 * It was checked by the codec, but may have an unknown id: who handles it may owe an answer.
 *
 * @return 1: a message. -EAGAIN: none yet. 0: the peer closed the connection in good order,
 *	   between messages. Other negative: the connection is to be closed: the codec's errno for
 *	   a malformed message, -EMFILE for fds that the kernel had to drop, -ECONNRESET for a
 *	   message cut short, or the errno of the failure.
 */
static inline int
vhost_pci_transport_recv(struct vhost_pci_transport *transport, struct vhost_pci_msg *msg)
{
	return transport->ops->recv(transport, msg);
}

/**
 * Send a message, whole. Its fds are closed, whatever the result.
 *
 * @return 0; -EAGAIN where the peer does not read (the connection is to be closed: the peer owes
 *	   reading its replies); -errno.
 */
static inline int
vhost_pci_transport_send(struct vhost_pci_transport *transport, struct vhost_pci_msg *msg)
{
	return transport->ops->send(transport, msg);
}

/** Close the connection and free the transport. */
static inline void
vhost_pci_transport_close(struct vhost_pci_transport *transport)
{
	transport->ops->close(transport);
}

#endif /* VHOST_PCI_TRANSPORT_H */
