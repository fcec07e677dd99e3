#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check the feature lists of the drivers: each feature is shown by a test.

A feature's line follows a comment with the names of the tests that show it,
and these exist among the sources of the tests.
"""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LISTS = TOP / "doc/guides/nics/features"
TESTS = TOP / "app"

#: A test's definition, in C or in Python.
TEST = re.compile(r"^(?:def )?(test_\w+)\(", re.MULTILINE)
FEATURE = re.compile(r"^(\S.*?)\s*=\s*([YP])$")


def known_tests():
    """The names of all tests."""
    names = set()
    for suffix in ("*.c", "*.py"):
        for path in TESTS.rglob(suffix):
            names.update(TEST.findall(path.read_text(encoding="utf-8")))
    return names


def check(path, tests):
    """What is wrong with a list, and how many features it has."""
    errors = []
    nb_features = 0
    named = []
    in_features = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.relative_to(TOP)}:{number}"
        if line == "[Features]":
            in_features = True
        elif line.startswith(";"):
            named = line[1:].split() if in_features else []
            errors += [f"{where}: there is no {name}" for name in named if name not in tests]
        elif in_features and line:
            nb_features += 1
            if not FEATURE.match(line):
                errors.append(f"{where}: not a feature with Y or P")
            elif not named:
                errors.append(f"{where}: no test is named before it")
            named = []
    return errors, nb_features


def main():
    tests = known_tests()
    nb_features = 0
    errors = []
    for path in sorted(LISTS.glob("*.ini")):
        found, nb = check(path, tests)
        errors += found
        nb_features += nb
    if nb_features == 0:
        errors.append(f"{LISTS.relative_to(TOP)}: no features")
    print(*errors, sep="\n", end="\n" if errors else "")
    print(f"{nb_features} features")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
