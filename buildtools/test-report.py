#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Count the test cases of meson's logs and say what failed and what was skipped.

The cases are those of the JUnit logs: one per TAP subtest, one per program that
has none. Whether a program as a whole went wrong, by a crash after its last
good case for example, is in the JSON logs beside them.
"""

import argparse
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
GOOD = {"OK", "EXPECTEDFAIL"}
SHOWN_LINES = 60
SKIP_PLAN = re.compile(r"^1\.\.0\s*#\s*skip\S*\s*(.*)", re.IGNORECASE | re.MULTILINE)
# cmocka says "not ok 2 # SKIP name" of a case that it skips: meson takes that for a failure
SKIP_CASE = re.compile(r"^(?:not )?ok\s+(\d+)[^#]*#\s*skip\S*\s*(.*)", re.IGNORECASE)


class Case:
    """One test case, and why it is what it is."""

    def __init__(self, name, result, why=""):
        self.name = name
        self.result = result
        self.why = why


def last_line(text):
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].lstrip("# ") if lines else ""


def skipped_cases(output):
    """The number of each skipped case, and the TAP comments before it: cmocka's reasons."""
    skipped = {}
    comments = []
    for line in output.splitlines():
        match = SKIP_CASE.match(line)
        if match:
            skipped[match[1]] = " ".join(comments)
        if line.startswith("#"):
            comments.append(line.lstrip("# "))
        else:
            comments = []
    return skipped


def subtests(program, suite):
    """The cases of a program that reports in TAP."""
    skipped = skipped_cases(suite.findtext("system-out") or "")
    for element in suite.iter("testcase"):
        # meson puts the number before the name; cmocka puts the name where the reason belongs
        number, _, name = element.get("name", "").partition(" ")
        text = (element.findtext("system-out") or "").strip()
        name = name.removeprefix("- ")
        if not name:
            name, text = text or number, ""
        name = f"{program}: {name}"
        if number in skipped:
            yield Case(name, SKIPPED, text or skipped[number] or "no reason given")
        elif element.find("failure") is not None or element.find("error") is not None:
            yield Case(name, FAILED, text)
        else:
            yield Case(name, PASSED)


def cases_of_program(program, record, suite):
    """The cases of one program: its subtests, or the program itself."""
    result = record["result"]
    output = record.get("stdout", "")
    status = f"{result.lower()}, exit status {record.get('returncode')}"
    cases = list(subtests(program, suite)) if suite is not None else []
    if cases:
        bad = result not in GOOD | {"SKIP", "FAIL"} or record.get("returncode") != 0
        if bad and not any(case.result == FAILED for case in cases):
            cases.append(Case(f"{program}: the program", FAILED, status))
        return cases
    if result in GOOD:
        return [Case(program, PASSED)]
    if result == "SKIP":
        plan = SKIP_PLAN.search(output)
        why = plan[1] if plan else last_line(output) or last_line(record.get("stderr", ""))
        if not why:
            # a TAP program that printed nothing also counts as skipped with meson
            return [Case(program, FAILED, "ran no test and gave no reason")]
        return [Case(program, SKIPPED, why)]
    return [Case(program, FAILED, status)]


def program_of(name):
    """The name of a program in what meson calls it: 'project:suite / name' or 'project.name'."""
    return re.split(r" / |:|\.", name)[-1]


def failed_blocks(output):
    """What each failed case of a TAP program said: its line, and the comments around it."""
    blocks, comments, is_failed = [], [], False
    for line in output.splitlines():
        if line.startswith("#"):
            (blocks[-1] if is_failed else comments).append(line)
            continue
        is_failed = line.startswith("not ok") and not SKIP_CASE.match(line)
        if is_failed:
            blocks.append([*comments, line])
        comments = []
    return blocks


def shorten(lines):
    """The beginning, which says what was wrong, and the end of what is too long to be shown."""
    if len(lines) <= SHOWN_LINES:
        return lines
    left_out = f"... {len(lines) - SHOWN_LINES} lines more ..."
    return [*lines[: SHOWN_LINES // 2], left_out, *lines[-(SHOWN_LINES // 2):]]


def show_output(program, record):
    """What the failed cases of a program said; where there are none, the end of all it said."""
    stdout, stderr = (record.get(stream, "") for stream in ("stdout", "stderr"))
    blocks = failed_blocks(stdout) or [stdout.splitlines()[-SHOWN_LINES:]]
    for name, parts in ("stdout", blocks), ("stderr", [stderr.splitlines()[-SHOWN_LINES:]]):
        if any(parts):
            print(f"--- {program}, {name}:")
            print(*(line for part in parts for line in shorten(part)), sep="\n")


def cases_of_log(base, label, show):
    """The cases of one run of `meson test`, by the path of its logs without suffixes."""
    suites = {}
    # there are no logs if no test was chosen
    junit = Path(f"{base}.junit.xml")
    if not junit.exists():
        return
    for suite in ElementTree.parse(junit).getroot().findall("testsuite"):
        suites[program_of(suite.get("name"))] = suite
    with Path(f"{base}.json").open(encoding="utf-8") as log:
        for line in log:
            record = json.loads(line)
            program = program_of(record["name"])
            cases = list(cases_of_program(program, record, suites.get(program)))
            if show and any(case.result == FAILED for case in cases):
                show_output(f"[{label}] {program}", record)
            for case in cases:
                case.name = f"[{label}] {case.name}"
                yield case


def plural(cases, result):
    """How many cases have a result."""
    return f"{sum(case.result == result for case in cases)} {result}"


def summary(cases):
    """The closing line."""
    return ", ".join(plural(cases, result) for result in (PASSED, FAILED, SKIPPED))


def main():
    """Report; the exit status is 1 if a case failed or there was none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brief", action="store_true", help="only the closing line")
    parser.add_argument(
        "--failed",
        action="append",
        default=[],
        metavar="WHAT",
        help="count something else as a failed case",
    )
    parser.add_argument(
        "logs",
        nargs="*",
        metavar="LABEL=PATH",
        help="a label for the run, and its log's path without .json and .junit.xml",
    )
    args = parser.parse_args()

    cases = [Case(what, FAILED) for what in args.failed]
    for log in args.logs:
        label, _, base = log.partition("=")
        cases += cases_of_log(base, label, not args.brief)

    if not args.brief:
        for result in SKIPPED, FAILED:
            for case in (case for case in cases if case.result == result):
                print(f"{result}: {case.name}{': ' if case.why else ''}{case.why}")
    if not cases and not args.brief:
        print("no test was run")
    print(summary(cases))
    good = cases and not any(case.result == FAILED for case in cases)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
