/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * What the fuzz targets share: reading an input piece by piece, and the entry that libFuzzer calls.
 *
 * A target is deterministic but for the ring targets' second thread, and leaves nothing behind
 * between two inputs.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/** An input, and what is left of it. */
struct fuzz_input {
	const uint8_t *bytes;
	size_t nb_left;
};

/** Run one input; libFuzzer's name. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes);

/** Take bytes; what the input has no more of is 0. Returns how many it had. */
static inline size_t
fuzz_take(struct fuzz_input *input, void *to, size_t nb_bytes)
{
	size_t nb = nb_bytes < input->nb_left ? nb_bytes : input->nb_left;

	memset(to, 0, nb_bytes);
	if (nb > 0)
		memcpy(to, input->bytes, nb);
	input->bytes += nb;
	input->nb_left -= nb;
	return nb;
}

/** Take a number of 8 bits. */
static inline uint8_t
fuzz_u8(struct fuzz_input *input)
{
	uint8_t value;

	fuzz_take(input, &value, sizeof(value));
	return value;
}

/** Take a number of 16 bits. */
static inline uint16_t
fuzz_u16(struct fuzz_input *input)
{
	uint16_t value;

	fuzz_take(input, &value, sizeof(value));
	return value;
}

/** End the run: what must be true is not. */
static inline void
fuzz_check(bool is_true)
{
	if (!is_true)
		abort();
}

#endif /* FUZZ_H */
