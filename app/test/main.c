/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <stdio.h>
#include <string.h>

#include "test.h"

static struct test_group *groups;

void
test_group_register(struct test_group *group)
{
	struct test_group **place = &groups;

	/* By name, whatever the order of the linker. */
	while (*place != NULL && strcmp((*place)->name, group->name) < 0)
		place = &(*place)->next;
	group->next = *place;
	*place = group;
}

static int
run_group(const char *name)
{
	struct test_group *group;

	for (group = groups; group != NULL; group = group->next)
		if (strcmp(group->name, name) == 0)
			return group->run() != 0;
	fprintf(stderr, "%s: no such test group\n", name);
	return 2;
}

static void
list_groups(void)
{
	struct test_group *group;

	for (group = groups; group != NULL; group = group->next)
		puts(group->name);
}

/** Usage: vhost-pci-test [--list | GROUP...]; without arguments all groups are run. */
int
main(int argc, char **argv)
{
	struct test_group *group;
	int ret = 0;
	int i;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		list_groups();
		return 0;
	}
	for (i = 1; i < argc; i++)
		ret |= run_group(argv[i]);
	if (argc == 1)
		for (group = groups; group != NULL; group = group->next)
			ret |= group->run() != 0;
	return ret;
}
