/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The path of a UNIX socket: claimed for one port, or for the ports that share a listener, and
 * the listener that may be at it.
 */

#ifndef VHOST_PCI_PATH_H
#define VHOST_PCI_PATH_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <rte_dev.h>

/** A claimed path; the fields may be read. */
struct vhost_pci_path {
	LIST_ENTRY(vhost_pci_path) entry;
	char *path;
	char name[RTE_DEV_NAME_MAX_LEN]; /**< Of the device that has it. */
	int listen_fd;                   /**< -1: not listening. Owned. */
	bool is_bound;                   /**< There is a file at path that is ours. */
	dev_t file_dev; /**< That file, whoever may have put another one in its place. */
	ino_t file_ino;
};

/**
 * Claim a path: no other device of this process has it. Nothing is opened.
 *
 * @param path	Of the socket; copied.
 * @param name	Of the device, for messages; copied.
 * @param[out] result Given back by vhost_pci_path_release().
 * @return 0; -EADDRINUSE where another device has the path, as the log says; -ENOMEM.
 *
 * Any thread.
 */
int vhost_pci_path_claim(const char *path, const char *name, struct vhost_pci_path **result);

/** Close the listener, if there is one, and give the path back. Any thread. */
void vhost_pci_path_release(struct vhost_pci_path *p);

/**
 * Listen at the path.
 *
 * @return 0; -errno of vhost_pci_unix_listen(), as the log says. Callers serialise.
 */
int vhost_pci_path_listen(struct vhost_pci_path *p);

/** Close the listener and remove its file; nothing happens without one. Callers serialise. */
void vhost_pci_path_close(struct vhost_pci_path *p);

#endif /* VHOST_PCI_PATH_H */
