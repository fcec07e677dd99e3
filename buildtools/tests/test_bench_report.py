#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""bench-report.py tells targets, changes and noise apart."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tap

REPORT = Path(__file__).resolve().parent.parent / "bench-report.py"


def row(ratio=2.0, spread=None, **more):
    """A row as the benchmark writes it."""
    values = {"workload": "W1", "case": "warm", "ring": "split", "size": 64, "mode": "default",
              "ours": 20.0, "peer_name": "net_vhost", "peer": 10.0, "ratio": ratio,
              "unit": "Mpps", "better": "higher",
              "spread": spread or (ratio and [ratio * 0.95, ratio * 1.05])}
    values.update(more)
    return values


class Report(unittest.TestCase):
    """Files of the test's own."""

    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="vhost-pci-bench-report-"))
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, name, rows):
        """Rows into a file; its path."""
        path = self.root / name
        path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
        return path

    def report(self, rows, *args):
        """What is said of rows."""
        done = subprocess.run([sys.executable, REPORT, *args, self.write("now", rows)],
                              check=True, encoding="utf-8", stdout=subprocess.PIPE)
        return done.stdout

    def test_target_met_and_missed(self):
        text = self.report([row(1.6), row(1.4, ring="packed")])
        self.assertIn("targets: 1 met, 1 missed", text)
        self.assertIn("missed: W1 warm packed 64 / net_vhost: 1.40, target 1.5", text)

    def test_target_depends_on_case(self):
        rows = [row(2.0, size=1518, mode="split", case=case) for case in ("warm", "written")]
        self.assertIn("targets: 1 met, 1 missed", self.report(rows))

    def test_target_is_for_the_default_mode(self):
        rows = [row(0.5, size=1518, mode=mode) for mode in ("off", "full")]
        self.assertNotIn("targets", self.report(rows))

    def test_target_over_memcpy(self):
        rows = [row(0.95, workload="W3", size=size, peer_name="memcpy") for size in (256, 1518)]
        self.assertIn("targets: 1 met, 0 missed", self.report(rows))

    def test_lower_is_better(self):
        rows = [row(1.2, workload="floor", peer_name="ring walk", better="lower"),
                row(1.4, workload="floor", peer_name="ring walk", better="lower", ring="packed")]
        self.assertIn("targets: 1 met, 1 missed", self.report(rows))

    def test_latency_no_worse_within_noise(self):
        rows = [row(1.02, workload="W6", case="p50", better="lower", spread=[0.97, 1.1]),
                row(1.2, workload="W6", case="p99", better="lower", spread=[1.1, 1.3])]
        self.assertIn("targets: 1 met, 1 missed", self.report(rows))

    def test_idle_without_ratio(self):
        rows = [row(None, workload="W8", ours=0.02, peer=0, better="lower", unit="% CPU")]
        self.assertIn("targets: 1 met, 0 missed", self.report(rows))

    def test_missing_figure_misses_the_target(self):
        text = self.report([row(None, ours=None)])
        self.assertIn("missed: W1 warm split 64 / net_vhost: no ratio", text)

    def test_notifications_are_told_once(self):
        rows = [row(ours_kicks=0, ours_calls=7, ours_syscalls=0),
                row(ours_kicks=0, ours_calls=7, ours_syscalls=0, peer_name="memif")]
        text = self.report(rows)
        self.assertEqual(text.count("7 calls per million packets"), 1)
        self.assertNotIn("kicks per million", text)

    def against(self, old, new):
        """What is said of a row that was another."""
        path = self.write("before", [old])
        return self.report([new], "--against", path)

    def test_change_within_noise(self):
        text = self.against(row(2.0, [1.8, 2.2]), row(2.3, [2.1, 2.5]))
        self.assertIn("1 rows in common, 0 changed", text)

    def test_change_beyond_noise(self):
        text = self.against(row(2.0, [1.9, 2.1]), row(2.5, [2.4, 2.6]))
        self.assertIn("better: W1 warm split 64 / net_vhost: 2.00 (1.90-2.10) then, 2.50", text)
        text = self.against(row(2.5, [2.4, 2.6]), row(2.0, [1.9, 2.1]))
        self.assertIn("worse: W1", text)

    def test_change_of_what_is_better_lower(self):
        text = self.against(row(1.0, [0.9, 1.1], better="lower"),
                            row(0.5, [0.4, 0.6], better="lower"))
        self.assertIn("better: W1", text)

    def test_rows_of_other_runs_are_left_out(self):
        self.assertIn("0 rows in common", self.against(row(size=256), row()))

    def test_bad_file_fails(self):
        path = self.root / "bad"
        path.write_text("{", encoding="utf-8")
        done = subprocess.run([sys.executable, REPORT, path], check=False,
                              stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)

    def test_chart(self):
        chart = self.root / "chart.svg"
        text = self.report([row(), row(0.5, better="lower", workload="W6", case="p50"),
                            row(None, workload="W8")], "--chart", chart)
        if shutil.which("gnuplot") is None:
            self.assertIn("gnuplot is not installed", text)
            self.skipTest("gnuplot is not installed")
        svg = chart.read_text(encoding="utf-8")
        self.assertIn("W1 warm split 64 / net_vhost", svg)
        self.assertIn("W6 p50 split 64 / net_vhost", svg)
        self.assertNotIn("W8", svg)

    def test_no_chart_of_nothing(self):
        text = self.report([row(None)], "--chart", self.root / "chart.svg")
        self.assertIn("no chart: no row has a ratio", text)


if __name__ == "__main__":
    tap.main()
