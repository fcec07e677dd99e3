/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Plugging adapters into their machine: by QMP, or by telling the user what to type.
 *
 * Each bus takes one adapter, as a PCI Express root port does; an adapter that finds none free
 * waits for one.
 */

#ifndef PLUG_H
#define PLUG_H

#include "endpoint.h"

struct plug;

/**
 * Make a plug.
 *
 * @param qmp_path A machine's QMP socket, or NULL: the user is told.
 * @param buses	 Ids of buses, ended by NULL; NULL where the machine chooses.
 */
struct plug *plug_create(const char *qmp_path, char *const *buses);

/** Destroy; nothing is unplugged. Harmless on NULL. */
void plug_destroy(struct plug *plug);

/** Whether a machine can be told. */
bool plug_is_automatic(const struct plug *plug);

/** What endpoints call, with the plug as opaque. */
extern const struct endpoint_plug_ops plug_ops;

#endif /* PLUG_H */
