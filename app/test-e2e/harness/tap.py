# SPDX-License-Identifier: BSD-3-Clause
"""Test results in the Test Anything Protocol, one line for each case."""

from __future__ import annotations

import sys
from typing import Dict, List, TextIO

import pytest


class TapReporter:
    """Prints a line per case, when its teardown is over too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._number = 0
        self._failures: Dict[str, List[str]] = {}
        self._skips: Dict[str, str] = {}

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    @staticmethod
    def _one_line(text: str) -> str:
        return " ".join(text.replace("#", " ").split())

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The plan: how many cases follow."""
        self._print(f"1..{len(session.items)}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that can't be read has no cases to fail."""
        if report.failed:
            self._comment(str(report.longreprtext))
            self._print(f"Bail out! {report.nodeid} can't be collected")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what happened in set-up, call, and teardown."""
        if report.failed:
            text = [f"{report.when}:", report.longreprtext]
            text += [f"{title}:\n{body}" for title, body in report.sections]
            self._failures.setdefault(report.nodeid, []).append("\n".join(text))
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else \
                getattr(report, "wasxfail", "")
            self._skips[report.nodeid] = str(reason).removeprefix("Skipped: ")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """The line of a case."""
        self._number += 1
        name = self._one_line(nodeid.rpartition("/")[2])
        failures = self._failures.pop(nodeid, None)
        if failures:
            self._print(f"not ok {self._number} - {name}")
            for failure in failures:
                self._comment(failure)
        elif nodeid in self._skips:
            reason = self._one_line(self._skips.pop(nodeid))
            self._print(f"ok {self._number} - {name} # SKIP {reason}")
        else:
            self._print(f"ok {self._number} - {name}")

    def _comment(self, text: str) -> None:
        for line in text.splitlines():
            self._print(f"# {line}")

    def pytest_keyboard_interrupt(self) -> None:
        """Interrupted: the remaining cases will not come."""
        self._print("Bail out! interrupted")

    def pytest_internalerror(self, excrepr: object) -> None:
        """A fault of the harness itself."""
        self._comment(str(excrepr))
        self._print("Bail out! internal error")


def install(config: pytest.Config) -> None:
    """Report in TAP on the standard output."""
    config.option.tbstyle = "short"
    # An option of the reporter that this one takes the place of; comparisons ask for it.
    config.option.verbose = 0
    config.pluginmanager.register(TapReporter(sys.stdout), "tap-reporter")
