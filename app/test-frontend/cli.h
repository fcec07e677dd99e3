/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * vhost-user-frontend: the command line's side of the test front-end.
 */

#ifndef CLI_H
#define CLI_H

#include "tfe.h"

/** Threads at most. */
#define CLI_WORKERS 64

/** What to do, seen from the front-end. */
enum cli_mode {
	CLI_TX,
	CLI_RX,
	CLI_BOTH,
	CLI_PING,
};

/** The command line. */
struct cli_conf {
	struct tfe_dev_conf dev;
	enum cli_mode mode;
	struct tfe_gen_conf tx;
	struct tfe_gen_conf rx;
	unsigned int seconds;  /**< 0: until interrupted, or until all packets were sent */
	int cpus[CLI_WORKERS]; /**< one thread each; -1: not pinned */
	unsigned int nb_workers;
	bool reconnect;
	bool json;
	bool quiet;
};

/** Run it. @return the exit status. */
int cli_run(const struct cli_conf *conf);

#endif /* CLI_H */
