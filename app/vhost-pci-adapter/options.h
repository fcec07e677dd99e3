/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the daemon is told: by a configuration file, and by the command line, which comes after it
 * and adds endpoints.
 */

#ifndef OPTIONS_H
#define OPTIONS_H

#include <glib.h>

#include "endpoint.h"
#include "vhost_pci_log.h"

/** An endpoint, and where its adapters are plugged. */
struct options_endpoint {
	struct endpoint_config config;
	char *strings[5]; /**< what the configuration points to */
	char *qmp_path;   /**< or NULL */
	char **buses;     /**< or NULL */
};

/** All that was told. */
struct options {
	GPtrArray *endpoints; /**< of struct options_endpoint */
	char *status_path;
	char *user; /**< to become, or NULL */
	enum vhost_pci_log_level log_level;
	bool dump;    /**< print the status of a running daemon, and end */
	bool version; /**< print the version, and end */
};

/**
 * Read command line and configuration file.
 *
 * @param[out] error What is wrong, for the user.
 */
bool options_parse(struct options *options, int *argc, char ***argv, GError **error);

/** Free all. */
void options_clear(struct options *options);

#endif /* OPTIONS_H */
