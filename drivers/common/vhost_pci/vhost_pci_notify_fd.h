/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What must be true of an fd that a peer gives for notifications, before anything is written to
 * it: that the write neither blocks nor raises a signal, nor ends up in a file.
 *
 * A peer keeps its own fd of the same open file, and with it the power to clear O_NONBLOCK at any
 * time, and to fill it. So nothing here that is used on the data path relies on that flag where
 * the open file is the peer's too.
 */

#ifndef VHOST_PCI_NOTIFY_FD_H
#define VHOST_PCI_NOTIFY_FD_H

#include <stdbool.h>

/** How an fd is written to without ever waiting. */
enum vhost_pci_notify_way {
	/** write(): an eventfd or a pipe whose open file is ours alone, and non-blocking. */
	VHOST_PCI_NOTIFY_WRITE,
	/**
	 * By the kernel: a peer's eventfd. Its open file can't be had anew, and its write() knows
	 * no flags. But asynchronous I/O signals it when it completes, as vhost in the kernel does:
	 * that never waits, a counter that is full stays so.
	 */
	VHOST_PCI_NOTIFY_SIGNAL,
	/** send() with MSG_DONTWAIT: a UNIX socket, which User Mode Linux takes for a pipe. */
	VHOST_PCI_NOTIFY_SEND,
};

/**
 * Check an fd that a peer gave for calls or errors, and ready it for vhost_pci_notify_fd_signal().
 *
 * A pipe's open file is replaced, under the same fd, by one of our own.
 *
 * @return 0; -EINVAL where it is neither an eventfd nor a pipe without a path nor a UNIX socket,
 *	   whatever else it can do: files of other kinds may wait in any call, even fstat(); -EBADF;
 *	   -errno.
 *
 * Control thread. Clause: vhost-user, "Support for platforms other than Linux": eventfd or pipe.
 */
int vhost_pci_notify_fd_prepare(int fd);

/**
 * The same for kicks, which are waited for but not read: no pipe, which would be full after 64 KiB
 * of them, its writer stuck. On Linux front-ends have eventfds; User Mode Linux, which has pipes
 * for its calls, has them as well for its kicks.
 *
 * @return 0; -EINVAL where it is no eventfd; -EBADF; -errno.
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
 * @param way	As vhost_pci_notify_fd_hold() says; VHOST_PCI_NOTIFY_WRITE for our own.
 *
 * Any thread. Part of vhost_pci_transport_unix.c, as it knows sockets.
 */
void vhost_pci_notify_fd_signal(int fd, enum vhost_pci_notify_way way);

/**
 * Add 1 to a peer's eventfd, or leave it where it is full; never blocks.
 *
 * Without asynchronous I/O, which a container may forbid, it is looked at before it is written to.
 *
 * @return 0; -EINVAL where it is no eventfd; -errno. Changes errno. Any thread.
 */
int vhost_pci_notify_eventfd_signal(int fd);

/**
 * Say how a prepared fd is written to, and keep a pipe that is from ever being without a reader,
 * which would raise SIGPIPE.
 *
 * @param[out] reader A reading end of the same pipe, the caller's, to be closed after @p fd; -1
 *		where @p fd is no pipe and needs none.
 * @param[out] way For vhost_pci_notify_fd_signal().
 * @return 0; -errno where the reading end can't be opened.
 *
 * Control thread.
 */
int vhost_pci_notify_fd_hold(int fd, int *reader, enum vhost_pci_notify_way *way);

#endif /* VHOST_PCI_NOTIFY_FD_H */
