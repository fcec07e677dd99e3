/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* What the benchmark makes of its samples, which points it plans, and that it counts right. */

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench_syscall.h"
#include "test.h"

/* Families are not run here. */
const struct bench_family bench_receive, bench_transmit, bench_forward, bench_latency, bench_idle,
		bench_scale, bench_floor;

static const struct bench_workload *
workload_of(const char *name, const char *variant)
{
	const struct bench_workload *workload = bench_workloads;

	while (workload->name != NULL &&
			(strcmp(workload->name, name) != 0 ||
					strcmp(workload->variant, variant) != 0))
		workload++;
	assert_non_null(workload->name);
	return workload;
}

static void
test_median_odd_even_none(void **state)
{
	double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 2 };

	(void)state;
	assert_true(bench_median(odd, 3) == 3);
	assert_true(bench_median(even, 4) == 2.5);
	assert_true(isnan(bench_median(NULL, 0)));
}

static void
test_ratio_is_pair_by_pair(void **state)
{
	/* The machine gets slower by the half: medians alone would say 1.5. */
	const double ours[] = { 20, 10, 15 }, peer[] = { 10, 5, 10 };
	struct bench_summary summary;
	double scratch[3];

	(void)state;
	bench_summarize(ours, peer, 3, scratch, &summary);
	assert_true(summary.ours == 15);
	assert_true(summary.peer == 10);
	assert_true(summary.ratio == 2);
	assert_true(summary.ratio_min == 1.5);
	assert_true(summary.ratio_max == 2);
	assert_int_equal(summary.nb_pairs, 3);
}

static void
test_missing_sample_has_no_pair(void **state)
{
	const double ours[] = { 20, NAN, 15 }, peer[] = { 10, 5, NAN };
	struct bench_summary summary;
	double scratch[3];

	(void)state;
	bench_summarize(ours, peer, 3, scratch, &summary);
	assert_int_equal(summary.nb_pairs, 1);
	assert_true(summary.ratio == 2);
	assert_true(summary.ours == 17.5);
	assert_true(summary.peer == 7.5);
}

static void
test_no_ratio_over_nothing(void **state)
{
	const double ours[] = { 1, 2 }, zeros[] = { 0, 0 };
	struct bench_summary summary;
	double scratch[2];

	(void)state;
	bench_summarize(ours, zeros, 2, scratch, &summary);
	assert_true(isnan(summary.ratio) && isnan(summary.ratio_min) && isnan(summary.ratio_max));
	assert_true(summary.peer == 0);
	bench_summarize(ours, NULL, 2, scratch, &summary);
	assert_true(isnan(summary.ratio) && isnan(summary.peer));
	assert_true(summary.ours == 1.5);
}

static void
test_plan_points_of_both_rings(void **state)
{
	struct bench_selection selection = { .size = 1518 };
	struct bench_point points[2 * BENCH_MAX_SIZES];
	const struct bench_workload *w3 = workload_of("W3", "");

	(void)state;
	assert_int_equal(bench_plan_points(&selection, w3, points, 10), 2);
	assert_false(points[0].packed);
	assert_true(points[1].packed);
	selection.size = 0;
	assert_int_equal(bench_plan_points(&selection, w3, points, 10), 10);
	assert_int_equal(bench_plan_points(&selection, w3, points, 4), 4);
	selection.workload = "W1";
	assert_int_equal(bench_plan_points(&selection, w3, points, 10), 0);
}

static void
test_plan_quick_has_fewer(void **state)
{
	struct bench_selection selection = { .quick = true };
	struct bench_point points[2 * BENCH_MAX_SIZES];

	(void)state;
	assert_int_equal(bench_plan_points(&selection, workload_of("W1", "warm"), points, 10), 3);
	assert_int_equal(bench_plan_points(&selection, workload_of("W1", "written"), points, 10),
			0);
}

static void
test_plan_modes_of_large_frames(void **state)
{
	struct bench_contender contenders[BENCH_MAX_CONTENDERS];
	struct bench_selection selection = { .has_zero_copy = true };
	struct bench_point point = { workload_of("W1", "written"), false, 1518 };

	(void)state;
	assert_int_equal(bench_plan_contenders(&selection, &point, contenders), 4);
	assert_string_equal(contenders[0].mode, "off");
	assert_string_equal(contenders[2].devargs, "zero-copy=full");
	assert_false(bench_is_ours(&contenders[3]));
	selection.modes = "split,full";
	assert_int_equal(bench_plan_contenders(&selection, &point, contenders), 3);
	assert_string_equal(contenders[0].mode, "split");
	selection.has_zero_copy = false;
	assert_int_equal(bench_plan_contenders(&selection, &point, contenders), 2);
	assert_string_equal(contenders[0].devargs, "");
	selection.has_zero_copy = true;
	point.frame_bytes = 64;
	assert_int_equal(bench_plan_contenders(&selection, &point, contenders), 2);
	assert_string_equal(contenders[0].mode, "default");
}

static void
test_plan_macswap_writes_no_peer_memory(void **state)
{
	struct bench_contender contenders[BENCH_MAX_CONTENDERS];
	const struct bench_selection selection = { .has_zero_copy = true };
	const struct bench_point point = { workload_of("W4", "macswap"), false, 1518 };
	unsigned int nb = bench_plan_contenders(&selection, &point, contenders), i;

	(void)state;
	assert_int_equal(nb, 3);
	for (i = 0; i < nb; i++)
		assert_string_not_equal(contenders[i].mode, "full");
}

static void
test_syscalls_are_counted(void **state)
{
	uint64_t nb;
	int ret, i;

	(void)state;
	ret = bench_syscall_start();
	for (i = 0; ret == 0 && i < 100; i++)
		assert_true(getppid() > 0);
	nb = bench_syscall_stop();
	if (ret < 0) {
		assert_true(nb == BENCH_SYSCALL_UNKNOWN);
		print_message("# this kernel does not let system calls be counted\n");
		skip();
	}
	assert_int_equal(nb, 100);
	/* They still work, and none is counted any more. */
	assert_true(getppid() > 0);
	assert_true(bench_syscall_stop() == BENCH_SYSCALL_UNKNOWN);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_median_odd_even_none),
	cmocka_unit_test(test_ratio_is_pair_by_pair),
	cmocka_unit_test(test_missing_sample_has_no_pair),
	cmocka_unit_test(test_no_ratio_over_nothing),
	cmocka_unit_test(test_plan_points_of_both_rings),
	cmocka_unit_test(test_plan_quick_has_fewer),
	cmocka_unit_test(test_plan_modes_of_large_frames),
	cmocka_unit_test(test_plan_macswap_writes_no_peer_memory),
	cmocka_unit_test(test_syscalls_are_counted),
};

REGISTER_TEST_GROUP(bench_autotest, tests, NULL, NULL);
