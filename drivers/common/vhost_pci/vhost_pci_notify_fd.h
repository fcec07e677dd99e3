/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What must be true of an fd that a peer gives for notifications, before anything is written to
 * it: that the write neither blocks nor raises a signal, nor ends up in a file.
 */

#ifndef VHOST_PCI_NOTIFY_FD_H
#define VHOST_PCI_NOTIFY_FD_H

#include <stdbool.h>

/**
 * Check an fd that a peer gave for calls or errors, and make it non-blocking.
 *
 * @return 0; -EINVAL where it is neither an eventfd (or another anonymous inode, which refuses
 *	   what it can't do) nor a pipe nor a socket; -errno.
 *
 * Control thread. Clause: vhost-user, "Support for platforms other than Linux": eventfd or pipe.
 */
int vhost_pci_notify_fd_prepare(int fd);

/**
 * The same for kicks, which are waited for but not read: no pipe, which would be full after 64 KiB
 * of them, its writer stuck. On Linux front-ends have eventfds; User Mode Linux, which has pipes
 * for its calls, has them as well for its kicks.
 *
 * @return 0; -EINVAL where it is no eventfd nor another anonymous inode; -errno.
 *
 * Control thread. Clause: vhost-user, "Support for platforms other than Linux": a pipe is what
 * there is "on platforms where eventfd is not available".
 */
int vhost_pci_notify_fd_prepare_kick(int fd);

/**
 * Write to an fd that was prepared, or to an eventfd of our own: neither blocks nor raises a
 * signal. One that is full was not read yet: its reader will come by.
 *
 * @param fd -1: nothing to do.
 *
 * Any thread. Part of vhost_pci_transport_unix.c, as it knows sockets.
 */
void vhost_pci_notify_fd_signal(int fd, bool is_socket);

/**
 * Keep a pipe that is written to from ever being without a reader, which would raise SIGPIPE.
 *
 * @param[out] reader A reading end of the same pipe, the caller's, to be closed after @p fd; -1
 *		where @p fd is no pipe and needs none.
 * @param[out] is_socket Whether @p fd is a socket, which User Mode Linux takes for a pipe: it needs
 *		no reader, for it is written to by vhost_pci_notify_fd_signal().
 * @return 0; -errno where the reading end can't be opened.
 *
 * Control thread.
 */
int vhost_pci_notify_fd_hold(int fd, int *reader, bool *is_socket);

#endif /* VHOST_PCI_NOTIFY_FD_H */
