#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs test files with pytest and reports in TAP, for `meson test`."""

import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent


def main() -> int:
    """Run the files named on the command line."""
    try:
        import pytest  # pylint: disable=import-outside-toplevel
    except ImportError:
        print("1..0 # SKIP python3-pytest is not installed")
        return 0
    sys.dont_write_bytecode = True
    files = [str(FOLDER / name) for name in sys.argv[1:]]
    status = pytest.main(["-p", "no:terminal", "-p", "no:cacheprovider", "--tap",
                          f"--rootdir={FOLDER}", *files])
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
