/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * A small back-end in a thread, for the front-end's self-test: it answers the messages of a plain
 * session and brings back what is transmitted, woken by kicks.
 */

#ifndef TEST_BACKEND_H
#define TEST_BACKEND_H

#include <pthread.h>

#include "test_device.h"

/** Vrings it has. */
#define TB_VRINGS 4

/** A back-end. Fields above the line are set before tb_start(). */
struct tb {
	uint64_t features;          /**< offered */
	uint64_t protocol_features; /**< offered */
	uint32_t refused;           /**< request answered with 1 where an answer is wanted, or 0 */
	uint32_t base_error;        /**< added to what GET_VRING_BASE returns */
	struct tfe_conn conn;       /**< connected, or listening: then each connection is served */

	/* The thread's. */
	uint64_t acked;
	uint64_t status;
	struct tfe_mem mem;
	struct tfe_ring rings[TB_VRINGS];
	struct td_ring sides[TB_VRINGS];
	bool started[TB_VRINGS];
	bool enabled[TB_VRINGS];

	pthread_t thread;
	int stop_fd;
	unsigned int nb_sessions; /**< connections served; read after tb_stop() */
	const char *error;        /**< what went wrong; read after tb_stop() */
};

/** Offer everything the thread can do. */
void tb_init(struct tb *tb);

/** Start the thread. */
int tb_start(struct tb *tb);

/** End the thread, close all. @return 0 or -1 with tb->error. */
int tb_stop(struct tb *tb);

#endif /* TEST_BACKEND_H */
