/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The transport over a UNIX stream socket, and the sockets it comes from. Either side of the
 * protocol may be the socket's client (vhost-user, "Communication").
 *
 * All functions: control thread. None of them blocks. All sockets are close-on-exec.
 */

#ifndef VHOST_PCI_TRANSPORT_UNIX_H
#define VHOST_PCI_TRANSPORT_UNIX_H

#include <sys/types.h>

#include "vhost_pci_transport.h"

/**
 * Listen on a path.
 *
 * A stale socket file, one that nobody listens on, is replaced; one that is in use is not.
 *
 * @return A listening, non-blocking fd, the caller's to close by vhost_pci_peer_fd_close(), as all
 *	   sockets that peers send to; -ENAMETOOLONG for a path that does not fit
 *	   a socket address; -EINVAL for an empty one; -EADDRINUSE where somebody listens on it, or
 *	   where the path exists and is no socket; -errno.
 */
int vhost_pci_unix_listen(const char *path);

/**
 * Accept a connection.
 *
 * @return A connected, non-blocking fd, the caller's; -EAGAIN if there is none; -errno.
 */
int vhost_pci_unix_accept(int listen_fd);

/**
 * Connect to a path.
 *
 * @return A connected, non-blocking fd, the caller's; -ENAMETOOLONG; -EINVAL for an empty path;
 *	   -ENOENT or -ECONNREFUSED where nobody listens (yet); -EAGAIN where the listener's
 *	   backlog is full; -errno.
 */
int vhost_pci_unix_connect(const char *path);

/**
 * Receive bytes from a socket whose peer has no fds to send; those that come along nevertheless are
 * closed by vhost_pci_peer_fd_close(), for the kernel might wait where it drops them.
 *
 * @return As recv(2) with MSG_DONTWAIT, but -errno where it fails.
 */
ssize_t vhost_pci_unix_recv_bytes(int fd, void *bytes, size_t nb_bytes);

/**
 * Make a transport out of a connected fd, which becomes the transport's also where it fails.
 *
 * What is received are the front-end's requests, what is sent are replies.
 *
 * @return 0; -ENOMEM; -errno where the fd can't be made non-blocking.
 */
int vhost_pci_unix_transport_create(int fd, struct vhost_pci_transport **transport);

/**
 * Let a transport of vhost_pci_unix_transport_create() speak the dialect as well: messages with a
 * header of version 2, which names the connection. Without this call they end the connection.
 *
 * A message that names no connection, or this one, is received with the connection's id, any
 * other one is -EBADMSG. Replies have the version of the request received last; what is sent with
 * VHOST_USER_VERSION_2 in its flags is sent so, and the front-end's answers to it are dropped.
 *
 * @param conn_id The connection's, not VHOST_USER_CONN_ID_ANONYMOUS.
 */
void vhost_pci_unix_set_dialect(struct vhost_pci_transport *transport, uint64_t conn_id);

/**
 * Make a transport out of the fd of VHOST_USER_SET_BACKEND_REQ_FD, which becomes the transport's
 * also where it fails. What is sent are the back-end's requests, what is received are replies.
 *
 * @return 0; -ENOTSOCK where the fd is no socket; -ENOMEM; -errno.
 *
 * Clause: vhost-user, SET_BACKEND_REQ_FD.
 */
int vhost_pci_unix_channel_create(int fd, struct vhost_pci_transport **transport);

/**
 * Map a part of a file that the front-end shares: a region of its memory, or its log.
 *
 * Files on hugetlbfs are mapped in whole huge pages around the part. The mapping is left out of
 * core dumps, and guarded: where the file loses its pages, zeros take their place.
 *
 * @param fd	The file; stays the caller's and is not needed any more afterwards.
 * @param offset, size The part in bytes; need not be aligned.
 * @param[out] mapping One reference, whose va is the byte at @p offset.
 * @return 0; -EINVAL for size 0, an end that wraps, a file that is no regular one or that ends
 *	   before the part does; -EBADF; -EACCES where the fd can't be written through; -ENOMEM;
 *	   -errno of mmap().
 *
 * Clause: vhost-user, "Memory region description", "Log description".
 */
int vhost_pci_unix_map(int fd, uint64_t offset, uint64_t size, struct vhost_pci_mapping **mapping);

/**
 * As vhost_pci_unix_map(), and where the request has faults its pages raise them until they have
 * come: nothing of the part was touched when this returns.
 *
 * @return Also the errno of vhost_pci_faults_add().
 *
 * Clause: vhost-user, POSTCOPY_LISTEN.
 */
int vhost_pci_unix_map_faulting(const struct vhost_pci_map_request *request,
		struct vhost_pci_mapping **mapping);

#endif /* VHOST_PCI_TRANSPORT_UNIX_H */
