/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Fds that came from a peer: whatever they are, nothing that is done with them shall wait. A file's
 * file system may be the peer's own (FUSE), and then each question, each page and each close is one
 * that the peer answers or not. What is about sockets is part of vhost_pci_transport_unix.c.
 */

#ifndef VHOST_PCI_PEER_FD_H
#define VHOST_PCI_PEER_FD_H

#include <stdbool.h>

/**
 * Close an fd that a peer sent, or a socket that a peer sends to.
 *
 * Any file may come where an eventfd is expected. Of a socket with SO_LINGER the last close waits
 * until what was sent is acknowledged, as long as the peer has set: the option is taken off first.
 * A UNIX socket is emptied, which ends what can be received from it by any fd: what is in its
 * queue, such sockets again, the kernel would close with it. A file that another process answers
 * for is closed by a thread of its own.
 *
 * @param fd -1: nothing to do.
 *
 * Control thread.
 */
void vhost_pci_peer_fd_close(int fd);

/** The part of vhost_pci_peer_fd_close() that is for all but sockets. */
void vhost_pci_peer_fd_close_file(int fd);

/** Close an fd by a thread of its own, which may wait. */
void vhost_pci_peer_fd_close_later(int fd);

/**
 * Check, without asking its file system, that an fd is one which answers by itself: no file at all,
 * a memfd, a file of tmpfs or hugetlbfs, or one on a mount that this process sees and that neither
 * FUSE nor a network serves. To be called before anything else is done with a peer's file.
 *
 * @return 0; -EREMOTE for any other; -EBADF for no fd.
 *
 * Control thread.
 */
int vhost_pci_peer_fd_check_file(int fd);

/** Whether an fd that a peer sent is a UNIX socket, of which no send has to wait. Any thread. */
bool vhost_pci_peer_fd_is_unix(int fd);

#endif /* VHOST_PCI_PEER_FD_H */
