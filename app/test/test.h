/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * The harness of the test programs: each module's file registers a group of cmocka tests under
 * the name `<module>_autotest`, and the program runs the groups it is asked for.
 */

#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/** A group of tests; see REGISTER_TEST_GROUP(). */
struct test_group {
	const char *name;
	int (*run)(void); /**< Returns the number of failed tests, negative for a failed setup. */
	struct test_group *next;
};

/** Add a group to those that the program knows; called before main(). */
void test_group_register(struct test_group *group);

/**
 * Register a group.
 *
 * @param name	 `<module>_autotest`, without quotes.
 * @param tests	 An array of struct CMUnitTest.
 * @param setup, teardown cmocka's group fixtures, or NULL.
 */
#define REGISTER_TEST_GROUP(name, tests, setup, teardown) \
	static int run_##name(void) \
	{ \
		return cmocka_run_group_tests_name(#name, tests, setup, teardown); \
	} \
	static struct test_group group_##name = { #name, run_##name, NULL }; \
	__attribute__((constructor)) static void register_##name(void) \
	{ \
		test_group_register(&group_##name); \
	} \
	struct test_group

#endif /* TEST_H */
