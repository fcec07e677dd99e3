#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""test-report.py counts every way that a test can end."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tap

REPORT = Path(__file__).resolve().parent.parent / "test-report.py"

PROJECT = """
project('report')
sh = find_program('sh')
foreach name, script : {{{tests}}}
	test(name, sh, args: ['-c', script], protocol: {protocol}, suite: 'fast', timeout: 1)
endforeach
"""


class Report(unittest.TestCase):
    """A project of the test's own, with tests that are shell scripts."""

    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="vhost-pci-report-"))
        self.addCleanup(shutil.rmtree, self.root)

    def report(self, script, protocol="tap", args=()):
        """The exit status and the lines of a report over one test."""
        script = script.replace("\n", "\\n")
        tests = f"'t': '{script}'" if script else ""
        text = PROJECT.format(tests=tests, protocol=f"'{protocol}'")
        (self.root / "meson.build").write_text(text, encoding="utf-8")
        build = self.root / "build"
        for command in (["meson", "setup", build, self.root], ["meson", "test", "-C", build]):
            subprocess.run(command, check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done = subprocess.run(
            [sys.executable, REPORT, *args, f"x={build}/meson-logs/testlog"],
            check=False, encoding="utf-8", stdout=subprocess.PIPE)
        return done.returncode, done.stdout.splitlines()

    def expect(self, script, status, *ends, **more):
        """The report of a test ends with some lines."""
        done, lines = self.report(script, **more)
        self.assertEqual(lines[-len(ends):], list(ends))
        self.assertEqual(done, status)

    def test_report_counts_subtests(self):
        self.expect("echo 1..2; echo ok 1 - a; echo ok 2 - b", 0, "2 passed, 0 failed, 0 skipped")

    def test_report_failed_subtest(self):
        self.expect("echo 1..2; echo ok 1 - a; echo not ok 2 - b; exit 1", 1,
                    "failed: [x] t: b", "1 passed, 1 failed, 0 skipped")

    def test_report_shows_output(self):
        _, lines = self.report("echo 1..1; echo \"# why\"; echo not ok 1 - a; echo oops >&2")
        self.assertIn("# why", lines)
        self.assertIn("oops", lines)

    def test_report_shows_what_failed_first(self):
        _, lines = self.report("echo 1..9; echo not ok 1 - a; echo \"# why\"; "
                               "for i in $(seq 100); do echo \"# $i\"; done; "
                               "for i in $(seq 2 9); do echo ok $i - b; done; exit 1")
        self.assertIn("# why", lines)
        self.assertIn("# 100", lines)
        self.assertNotIn("# 50", lines)
        self.assertNotIn("ok 9 - b", lines)

    def test_report_skipped_subtest(self):
        self.expect("echo 1..2; echo ok 1 - a \"# SKIP no room\"; echo ok 2 - b", 0,
                    "skipped: [x] t: a: no room", "1 passed, 0 failed, 1 skipped")

    def test_report_skipped_by_cmocka(self):
        self.expect("echo 1..2; echo ok 1 - a; echo \"# no room\"; echo not ok 2 \"# SKIP\" b", 0,
                    "skipped: [x] t: b: no room", "1 passed, 0 failed, 1 skipped")

    def test_report_crash_after_skip_by_cmocka(self):
        self.expect("echo 1..1; echo not ok 1 \"# SKIP\" b; exit 1", 1,
                    "failed: [x] t: the program: error, exit status 1",
                    "0 passed, 1 failed, 1 skipped")

    def test_report_skipped_program(self):
        self.expect("echo \"1..0 # SKIP no hugepages\"", 0,
                    "skipped: [x] t: no hugepages", "0 passed, 0 failed, 1 skipped")

    def test_report_crash_after_good_case(self):
        self.expect("echo 1..1; echo ok 1 - a; kill -SEGV $$", 1,
                    "failed: [x] t: the program: error, exit status -11",
                    "1 passed, 1 failed, 0 skipped")

    def test_report_timeout_after_good_case(self):
        self.expect("echo 1..2; echo ok 1 - a; exec tail -f /dev/null", 1,
                    "failed: [x] t: the program: timeout, exit status -15",
                    "1 passed, 1 failed, 0 skipped")

    def test_report_too_few_cases(self):
        self.expect("echo 1..2; echo ok 1 - a", 1,
                    "failed: [x] t: the program: error, exit status 0",
                    "1 passed, 1 failed, 0 skipped")

    def test_report_program_of_no_test(self):
        self.expect("exit 0", 1, "failed: [x] t: ran no test and gave no reason",
                    "0 passed, 1 failed, 0 skipped")

    def test_report_exit_status(self):
        self.expect("exit 3", 1, "failed: [x] t: fail, exit status 3",
                    "0 passed, 1 failed, 0 skipped", protocol="exitcode")

    def test_report_exit_77(self):
        self.expect("echo needs root; exit 77", 0, "skipped: [x] t: needs root",
                    "0 passed, 0 failed, 1 skipped", protocol="exitcode")

    def test_report_no_test_at_all(self):
        self.expect("", 1, "no test was run", "0 passed, 0 failed, 0 skipped")

    def test_report_other_failure(self):
        self.expect("exit 0", 1, "failed: the build", "1 passed, 1 failed, 0 skipped",
                    protocol="exitcode", args=["--failed", "the build"])


if __name__ == "__main__":
    tap.main()
