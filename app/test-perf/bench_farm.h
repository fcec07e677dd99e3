/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the processes of bench_scale.h share.
 */

#ifndef BENCH_FARM_H
#define BENCH_FARM_H

#include <stdint.h>

/** Processes at most. */
#define BENCH_MAX_FARMS 16

/** What all are to do; set by the parent. */
enum bench_farm_command {
	BENCH_FARM_OPEN,    /**< Attach the ports, if not yet done; then wait. */
	BENCH_FARM_CONNECT, /**< Wait for the links; then wait. */
	BENCH_FARM_RUN,     /**< Receive, in turns. */
	BENCH_FARM_STOP,    /**< Detach and end. */
};

/** How far one is. */
enum bench_farm_state {
	BENCH_FARM_STARTING,
	BENCH_FARM_READY, /**< All ports listen. */
	BENCH_FARM_UP,    /**< All links are up. */
	BENCH_FARM_FAILED,
};

/** What is in the memory they share. All fields are atomic. */
struct bench_farms {
	uint32_t nb_farms;
	uint32_t command; /**< Waited for as a futex. */
	uint32_t turn;    /**< Whose turn it is; waited for as a futex. */
	struct bench_farm_slot {
		_Alignas(64) uint32_t state;
		uint32_t memory_kib; /**< The process took for its ports. */
		uint64_t nb_packets;
	} slots[BENCH_MAX_FARMS];
};

/** Wait while a word has a value, or for a time at most. */
void bench_farm_wait(const uint32_t *word, uint32_t value, unsigned int timeout_ms);

/** Wake all who wait for a word. */
void bench_farm_wake(const uint32_t *word);

/** Change a word, and wake all who wait for it. */
void bench_farm_set(uint32_t *word, uint32_t value);

/** Read a word that another process writes. */
static inline uint32_t
bench_farm_get(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

#endif /* BENCH_FARM_H */
