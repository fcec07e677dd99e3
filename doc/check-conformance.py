#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check the table of requirements and tests, doc/guides/prog_guide/conformance.rst.

Each requirement has a number of its own, the numbers of a section leave no gap, and each is
shown by tests that exist, or says why it is left out. With --by-test the table is printed the
other way round: each test that is named, and what it shows.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TABLE = TOP / "doc/guides/prog_guide/conformance.rst"
TESTS = TOP / "app"

#: "**[PRO-1.2]** text", up to the next blank line.
ROW = re.compile(r"^\*\*\[(PRO|HOS)-(\d+)\.(\d+)\]\*\* (.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
#: The end of a row: how the requirement is shown, or why it is not.
SHOWN = re.compile(r"\*Shown\s+by\*\s+(.*)\Z", re.DOTALL)
LEFT_OUT = re.compile(r"\*Left\s+out:\*\s+\S.{10,}\Z", re.DOTALL)
OPEN = re.compile(r"\*Open\*\.\Z")
#: A test by its file, without "test_" and suffix, and its function.
NAMED = re.compile(r"``([^`]+)``")
DEFINED = re.compile(r"^(?:def )?(test_\w+)\(", re.MULTILINE)


def known_tests():
    """All tests, as FILE.FUNCTION."""
    names = set()
    for pattern in ("test_*.c", "test_*.py"):
        for path in TESTS.rglob(pattern):
            module = path.stem[len("test_"):]
            for name in DEFINED.findall(path.read_text(encoding="utf-8")):
                names.add(f"{module}.{name}")
    return names


def check_row(row, text, tests, shows):
    """What is wrong with one row."""
    shown = SHOWN.search(text)
    if not shown:
        return [] if LEFT_OUT.search(text) or OPEN.search(text) else [f"{row}: shown by nothing"]
    named = NAMED.findall(shown.group(1))
    errors = [f"{row}: there is no {name}" for name in named if name not in tests]
    for name in named:
        shows[name].append(row)
    return errors if named else [f"{row}: no test is named"]


def main():
    tests = known_tests()
    shows = defaultdict(list)
    errors = []
    last = {}
    rows = ROW.findall(TABLE.read_text(encoding="utf-8"))
    for kind, section, number, text in rows:
        row = f"{kind}-{section}.{number}"
        expected = last.get((kind, section), 0) + 1
        if int(number) != expected:
            errors.append(f"{row}: the next number of its section is {expected}")
        last[(kind, section)] = int(number)
        errors += check_row(row, text.strip(), tests, shows)
    if "--by-test" in sys.argv[1:]:
        for name in sorted(shows):
            print(f"{name}: {', '.join(shows[name])}")
    print(*errors, sep="\n", end="\n" if errors else "")
    nb_open = sum(1 for row in rows if OPEN.search(row[3].strip()))
    print(f"{len(rows)} requirements, {nb_open} of them open, shown by {len(shows)} tests")
    return 1 if errors or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
