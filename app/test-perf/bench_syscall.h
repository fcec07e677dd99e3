/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Counts the system calls of a thread, whoever makes them, by Linux's syscall user dispatch: the
 * kernel turns each into a signal, whose handler counts it and makes it.
 */

#ifndef BENCH_SYSCALL_H
#define BENCH_SYSCALL_H

#include <stdint.h>

/** What bench_syscall_stop() gives where nothing was counted. */
#define BENCH_SYSCALL_UNKNOWN UINT64_MAX

/**
 * Count the calling thread's system calls from now on; one thread at a time.
 *
 * @return 0; -errno where the kernel or the machine can't.
 */
int bench_syscall_start(void);

/** End counting. @return how many there were; BENCH_SYSCALL_UNKNOWN if it was not started. */
uint64_t bench_syscall_stop(void);

#endif /* BENCH_SYSCALL_H */
