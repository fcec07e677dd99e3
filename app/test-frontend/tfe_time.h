/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Monotonic time and deadlines.
 */

#ifndef TFE_TIME_H
#define TFE_TIME_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

/** Monotonic time in ns. */
static inline uint64_t
tfe_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/** The moment timeout_ms from now; a negative time-out is far away. */
static inline uint64_t
tfe_deadline_ns(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return tfe_now_ns() + (uint64_t)timeout_ms * UINT64_C(1000000);
}

/** Time left for poll(2) in ms, rounded up; 0 once the deadline has passed. */
static inline int
tfe_left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = tfe_now_ns();
	uint64_t left_ms;

	if (deadline_ns <= now_ns)
		return 0;
	left_ms = (deadline_ns - now_ns + 999999) / 1000000;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

#endif /* TFE_TIME_H */
