/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "bench_syscall.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF          0
#define PR_SYS_DISPATCH_ON           1
#endif

#define FILTER_ALLOW 0
#define FILTER_BLOCK 1

/** What the kernel's rt_sigaction() takes; SA_RESTORER is not in libc's headers. */
struct kernel_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};
#define KERNEL_SA_RESTORER 0x04000000ul

/* The one piece of code that may make system calls while they are counted: any system call, and
 * the return from the signal handler.
 */
extern const char bench_gate_begin[], bench_gate_end[];
long bench_gate_syscall(long nr, const long args[6]);
void bench_gate_return(void);

__asm__(".text\n"
	".hidden bench_gate_begin, bench_gate_end, bench_gate_syscall, bench_gate_return\n"
	".globl bench_gate_begin, bench_gate_end, bench_gate_syscall, bench_gate_return\n"
	"bench_gate_begin:\n"
	".type bench_gate_syscall, @function\n"
	"bench_gate_syscall:\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %r11\n"
	"	mov (%r11), %rdi\n"
	"	mov 8(%r11), %rsi\n"
	"	mov 16(%r11), %rdx\n"
	"	mov 24(%r11), %r10\n"
	"	mov 32(%r11), %r8\n"
	"	mov 40(%r11), %r9\n"
	"	syscall\n"
	"	ret\n"
	".size bench_gate_syscall, . - bench_gate_syscall\n"
	".type bench_gate_return, @function\n"
	"bench_gate_return:\n"
	"	mov $15, %eax\n"
	"	syscall\n"
	"	ud2\n"
	".size bench_gate_return, . - bench_gate_return\n"
	"bench_gate_end:\n");

static uint64_t nb_syscalls;
static bool counting;

/* The kernel reads it at each system call of the thread. */
static volatile char filter;

/** Count one and make it. */
static void
on_syscall(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	const long args[6] = { regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10],
		regs[REG_R8], regs[REG_R9] };

	(void)sig;
	nb_syscalls++;
	regs[REG_RAX] = bench_gate_syscall(info->si_syscall, args);
}

int
bench_syscall_start(void)
{
	const struct kernel_sigaction action = {
		.handler = on_syscall,
		.flags = SA_SIGINFO | SA_NODEFER | KERNEL_SA_RESTORER,
		.restorer = bench_gate_return,
	};

	nb_syscalls = 0;
	filter = FILTER_ALLOW;
	/* Not by sigaction(): the return from the handler must be in the gate. */
	if (syscall(SYS_rt_sigaction, SIGSYS, &action, NULL, sizeof(action.mask)) < 0)
		return -errno;
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, bench_gate_begin,
			    (uintptr_t)bench_gate_end - (uintptr_t)bench_gate_begin, &filter) < 0)
		return -errno;
	counting = true;
	filter = FILTER_BLOCK;
	return 0;
}

uint64_t
bench_syscall_stop(void)
{
	if (!counting)
		return BENCH_SYSCALL_UNKNOWN;
	filter = FILTER_ALLOW;
	counting = false;
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
	return nb_syscalls;
}

#else

int
bench_syscall_start(void)
{
	return -ENOTSUP;
}

uint64_t
bench_syscall_stop(void)
{
	return BENCH_SYSCALL_UNKNOWN;
}

#endif
