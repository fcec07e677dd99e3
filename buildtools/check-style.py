#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check what the house style asks for and clang-format does not see.

Without a file named, all files that git knows are checked, and the headlines
of the commits.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

COLUMNS = 100
FILE_LINES = 800
FUNCTION_LINES = 80
PARAMETERS = 5
HEADLINE = 60

SPDX = "SPDX-License-Identifier: BSD-3-Clause"
CODE = {".c", ".h", ".py", ".sh"}
TEXT = CODE | {".build", ".rst", ".md", ".txt", ".map", ".yml", ".ini"}
# Files of no suffix, and text that carries no license line.
TEXT_NAMES = {"README", "run", ".clang-format", ".clang-tidy", ".editorconfig", ".gitignore"}
NO_SPDX = {"README", ".gitignore", "version.map", "LICENSE"}
NO_SPDX_SUFFIX = {".ini", ".md", ".map"}

# Headers whose every declaration is documented.
DOCUMENTED = ("drivers/common/vhost_pci/", "app/test-frontend/tfe.h")
# Functions whose parameters are given by DPDK.
GIVEN_PARAMETERS = re.compile(r"(^|_)rx_queue_setup$")

# The words of old specifications may stand where a line says what they are.
OLD_WORD = re.compile(r"(?<![a-z])(mas" r"ter|sla" r"ve)s?(?![a-z])", re.IGNORECASE)
OLD_WORD_ALLOWED = re.compile(r"legacy name", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")

COMMIT = re.compile(r"^[a-z0-9][a-z0-9_.,/+-]*( [a-z0-9]+)?: (?![A-Z][a-z])\S.*[^.\s]$")


def check_lines(path, lines):
    """Columns, blanks, words: what one line shows."""
    code_or_text = path.suffix in CODE | {".rst", ".build"} or path.name == "README"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, "blanks at the end of the line"
        if code_or_text and len(line.expandtabs(8)) > COLUMNS:
            yield number, f"more than {COLUMNS} columns"
        if path.suffix in {".c", ".h"} and re.match(r" (?!\*)", line):
            yield number, "indentation is by tabs"
        if re.search(r" \t", line):
            yield number, "a blank before a tab"
        if UNFINISHED.search(line):
            yield number, "unfinished: do it, or report it"
        if OLD_WORD.search(line) and not OLD_WORD_ALLOWED.search(line):
            yield number, "front-end and back-end are the words (or explain the legacy name)"


def check_file(path, lines):
    """The license line and the length."""
    if path.name not in NO_SPDX and path.suffix not in NO_SPDX_SUFFIX:
        if not any(SPDX in line for line in lines[:3]):
            yield 1, f"no line '{SPDX}' at the top"
    if path.suffix in CODE and len(lines) > FILE_LINES:
        yield len(lines), f"more than {FILE_LINES} lines"


def functions(lines):
    """The (name, parameters, first line, number of lines) of each C function.

    A function's braces stand alone at the start of their lines, and nobody
    else's do.
    """
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            first = start - 1
            while first > 0 and re.match(r"[^#/ }]", lines[first - 1]):
                first -= 1
            head = " ".join(lines[first:start])
            match = re.search(r"(\w+)\s*\((.*)\)", head)
            if match:
                yield match[1], match[2], start + 1, number - start - 1
            start = None


def count_parameters(text):
    """How many parameters a list has, commas within parentheses apart."""
    depth = 0
    count = 1
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        count += letter == "," and depth == 0
    return count


def check_functions(path, lines):
    """The size of each function."""
    if path.suffix not in {".c", ".h"}:
        return
    for name, parameters, number, length in functions(lines):
        if length > FUNCTION_LINES:
            yield number, f"{name}() has {length} lines, {FUNCTION_LINES} is the end"
        if count_parameters(parameters) > PARAMETERS and not GIVEN_PARAMETERS.search(name):
            yield number, f"{name}() has more than {PARAMETERS} parameters"


def check_comments(path, lines):
    """A doc comment before each declaration of a documented header."""
    if path.suffix != ".h" or not path.as_posix().startswith(DOCUMENTED):
        return
    comment = directive = inside = doc = False
    depth = 0
    for number, line in enumerate(lines, 1):
        if comment or re.match(r"\s*/\*", line):
            if not comment and depth == 0:
                doc = line.startswith("/**")
            comment = not line.endswith("*/")
        elif directive or line.startswith("#"):
            directive = line.endswith("\\")
            doc = False
        elif not line.strip():
            doc = False
        else:
            # forward declarations and assertions say nothing that could be documented
            silent = re.match(r"(_S|s)tatic_assert|struct \w+;|[{}]", line)
            if not inside and not doc and not silent:
                yield number, "a declaration without a doc comment"
            code = re.sub(r"/\*.*?\*/|/\*.*", "", line).rstrip()
            comment = "/*" in line and not line.endswith("*/")
            depth += code.count("{") - code.count("}")
            inside = depth > 0 or not code.endswith((";", "}"))
            doc = False


def check(path, root):
    """All that is wrong with one file, as lines of text."""
    raw = (root / path).read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        yield f"{path}: not UTF-8"
        return
    if "\r" in text:
        yield f"{path}: carriage returns"
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"
    if text.endswith("\n\n"):
        yield f"{path}: blank lines at the end"
    lines = text.split("\n")[:-1]
    for rule in (check_lines, check_file, check_functions, check_comments):
        for number, wrong in rule(path, lines):
            yield f"{path}:{number}: {wrong}"


def git(root, *args):
    """The output of a git command, or None where there is no repository."""
    try:
        return subprocess.run(
            ["git", "-C", root, "-c", f"safe.directory={root}", *args],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def source_files(root):
    """All text files of the project, below its root."""
    listing = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listing is not None:
        paths = [Path(name) for name in listing.split("\0") if name]
    else:
        paths = [path.relative_to(root) for path in root.rglob("*")]
        paths = [path for path in paths if not path.parts[0].startswith("build")]
        paths += [path.relative_to(root) for path in (root / "buildtools").rglob("*")]
    wanted = {p for p in paths if p.suffix in TEXT or p.name in TEXT_NAMES}
    return sorted(path for path in wanted if (root / path).is_file())


def check_commits(root):
    """What is wrong with the headlines of the history."""
    log = git(root, "log", "--no-merges", "--format=%h %s") or ""
    for line in log.splitlines():
        commit, _, headline = line.partition(" ")
        if len(headline) > HEADLINE:
            yield f"commit {commit}: headline of {len(headline)} characters: {headline}"
        if not COMMIT.match(headline):
            yield f"commit {commit}: not 'part/of/tree: do something': {headline}"


def main():
    """Check, list what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parent.parent,
        help="the source folder",
    )
    parser.add_argument("files", type=Path, nargs="*", help="files, relative to the root")
    args = parser.parse_args()

    files = args.files or source_files(args.root)
    if not files:
        sys.exit(f"{args.root}: no source in it")
    wrong = [line for path in files for line in check(path, args.root)]
    if not args.files:
        wrong += check_commits(args.root)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
