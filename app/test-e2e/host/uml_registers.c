/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Preloaded into User Mode Linux. It gives back the registers of its guest's programs at the size
 * that it was built with; the host takes them only at their size on its processor, which is larger
 * where that has AMX: "ptrace set fp regs failed", and the guest's init dies. Here they are made as
 * large as the host has them.
 */

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/** More than any processor's registers take. */
#define REGISTER_BYTES 32768

/** Set all of the extended registers, of which the caller has the first. */
static long
set_registers(long pid, const struct iovec *first)
{
	static __thread char bytes[REGISTER_BYTES];
	struct iovec all = { bytes, sizeof(bytes) };
	long ret = syscall(SYS_ptrace, (long)PTRACE_GETREGSET, pid, (long)NT_X86_XSTATE, &all);

	if (ret < 0)
		return ret;
	memcpy(bytes, first->iov_base, first->iov_len < all.iov_len ? first->iov_len : all.iov_len);
	return syscall(SYS_ptrace, (long)PTRACE_SETREGSET, pid, (long)NT_X86_XSTATE, &all);
}

/** The C library's, but for what is said above. */
long
ptrace(enum __ptrace_request request, ...)
{
	long pid, addr, word = 0, ret;
	void *data;
	va_list args;

	va_start(args, request);
	pid = va_arg(args, int);
	addr = va_arg(args, long);
	data = va_arg(args, void *);
	va_end(args);
	if (request == PTRACE_SETREGSET && addr == NT_X86_XSTATE)
		return set_registers(pid, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, (long)request, pid, addr, data);
	/* The kernel writes what it has found; the library returns it. */
	ret = syscall(SYS_ptrace, (long)request, pid, addr, &word);
	if (ret < 0)
		return ret;
	errno = 0;
	return word;
}
