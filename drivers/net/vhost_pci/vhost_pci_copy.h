/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Copies of frames: short ones without a call, long ones by the C library, which knows the
 * processor it runs on, as a driver that is compiled for all of them does not.
 */

#ifndef VHOST_PCI_COPY_H
#define VHOST_PCI_COPY_H

#include <stdint.h>
#include <string.h>

#include "vhost_pci_barrier.h"

/** Longest copy without a call: from here on the call is paid for by wider moves. */
#define VHOST_PCI_COPY_INLINE 256

/** Copy the first and the last bytes, which overlap: between half and all of twice as many. */
#define VHOST_PCI_COPY_ENDS(dst, src, len, nb) \
	do { \
		memcpy((dst), (src), (nb)); \
		memcpy((dst) + (len) - (nb), (src) + (len) - (nb), (nb)); \
	} while (0)

/**
 * Copy bytes.
 *
 * A peer that no correct driver is may have lent the very memory that it wants to be written to:
 * the copy is then garbage, which it has asked for, but no harm.
 */
VHOST_PCI_ALWAYS_INLINE void
vhost_pci_copy(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	if (len > VHOST_PCI_COPY_INLINE || vhost_pci_unlikely(len < 8))
		memmove(dst, src, len);
	else if (len > 128)
		VHOST_PCI_COPY_ENDS(dst, src, len, 128);
	else if (len > 64)
		VHOST_PCI_COPY_ENDS(dst, src, len, 64);
	else if (len >= 32)
		VHOST_PCI_COPY_ENDS(dst, src, len, 32);
	else if (len >= 16)
		VHOST_PCI_COPY_ENDS(dst, src, len, 16);
	else
		VHOST_PCI_COPY_ENDS(dst, src, len, 8);
}

#endif /* VHOST_PCI_COPY_H */
