#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run doxygen; what it warns of is an error.

Constants, fields and simple types may be documented as a group: that they have
no comment each is not reported.
"""

import re
import subprocess
import sys

GROUPED = re.compile(r"\((macro definition|variable|enumvalue|typedef)\).* is not documented")


def main():
    doxygen, config = sys.argv[1:]
    done = subprocess.run([doxygen, config], stderr=subprocess.PIPE, text=True, check=False)
    warnings = [line for line in done.stderr.splitlines() if line and not GROUPED.search(line)]
    print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    return done.returncode or bool(warnings)


if __name__ == "__main__":
    sys.exit(main())
