#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check the numbered clauses of the adapter's specification.

Each number is defined once, the numbers of a section leave no gap, and what
the sources and the text itself cite exists.
"""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SPEC = TOP / "doc/guides/prog_guide/vhost_pci_adapter_spec.rst"
SOURCES = ("drivers", "app", "examples", "doc")
SUFFIXES = {".c", ".h", ".py", ".rst"}

DEFINED = re.compile(r"^\*\*\[ADP-(\d+)\.(\d+)\]\*\*", re.MULTILINE)
# "ADP-9.17", "[ADP-8.2, ADP-8.3]", "ADP-4.2, 4.4, 4.5", "ADP-2.6 to 2.8"
CITED = re.compile(r"ADP-(\d+\.\d+(?:(?:,\s+|\s+to\s+|\s+and\s+|\s+or\s+)\d+\.\d+)*)")


def defined_clauses(text):
    """The clauses that the specification defines, and what is wrong with them."""
    clauses = set()
    errors = []
    last = {}
    for section, number in DEFINED.findall(text):
        clause = (int(section), int(number))
        if clause in clauses:
            errors.append(f"{SPEC.name}: ADP-{section}.{number} is defined twice")
        if clause[1] != last.get(section, 0) + 1:
            errors.append(f"{SPEC.name}: ADP-{section}.{number} follows .{last.get(section, 0)}")
        last[section] = clause[1]
        clauses.add(clause)
    return clauses, errors


def cited_clauses(text):
    """Line number and clause of each citation."""
    for match in CITED.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for number in re.findall(r"\d+\.\d+", match.group(1)):
            section, clause = number.split(".")
            yield line, (int(section), int(clause))


def main():
    clauses, errors = defined_clauses(SPEC.read_text(encoding="utf-8"))
    nb_cited = 0
    for folder in SOURCES:
        for path in sorted((TOP / folder).rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            for line, clause in cited_clauses(path.read_text(encoding="utf-8", errors="replace")):
                nb_cited += path != SPEC
                if clause not in clauses:
                    errors.append(f"{path.relative_to(TOP)}:{line}: there is no ADP-%d.%d" % clause)
    print(*errors, sep="\n", end="\n" if errors else "")
    print(f"{len(clauses)} clauses, cited {nb_cited} times in the sources")
    return bool(errors) or not clauses


if __name__ == "__main__":
    sys.exit(main())
