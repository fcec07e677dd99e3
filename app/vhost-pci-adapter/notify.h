/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Event fds that come from other processes: an eventfd, or a pipe or socket used like one (User
 * Mode Linux sends pipes). Their owners share the open file and may change it at any time, so no
 * call here relies on O_NONBLOCK alone.
 */

#ifndef NOTIFY_H
#define NOTIFY_H

/**
 * Check an fd that was received as an event fd, and prepare it: vhost_pci_notify_fd_prepare().
 *
 * @return 0; -EINVAL for a file that is neither an eventfd nor a pipe nor a socket, whose reads
 *	   or writes could block; -errno.
 */
int notify_prepare(int fd);

/** Signal; an eventfd or pipe that is full has been signalled. Never blocks. */
void notify_signal(int fd);

/**
 * Take what was signalled. Never blocks.
 *
 * @return 1: it was signalled. 0: it was not. -EPIPE: the other end is closed. -errno.
 */
int notify_take(int fd);

#endif /* NOTIFY_H */
