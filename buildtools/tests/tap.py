# SPDX-License-Identifier: BSD-3-Clause
"""Run the test methods of unittest classes and report in TAP."""

import sys
import unittest


def main(module="__main__"):
    """Run all tests of a module; the exit status says whether they passed."""
    tests = list(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module]))
    cases = [case for suite in tests for case in suite]
    print(f"1..{len(cases)}")
    good = True
    for number, case in enumerate(cases, 1):
        result = unittest.TestResult()
        case.run(result)
        name = case.id().rpartition(".")[2]
        for _, trace in result.failures + result.errors:
            print("".join(f"# {line}\n" for line in trace.splitlines()), end="")
        if result.skipped:
            print(f"ok {number} {name} # SKIP {result.skipped[0][1]}")
        else:
            print(f"{'ok' if result.wasSuccessful() else 'not ok'} {number} {name}")
        good = good and result.wasSuccessful()
    sys.exit(0 if good else 1)
