#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Say what the rows of a benchmark mean: targets, changes since another run, and a chart.

bench-report.py [--against FILE] [--chart FILE] FILE

FILE has lines of JSON as the benchmark writes them. A target is met if the median ratio is. A
change counts if the spreads of the two runs, lowest to highest ratio, have nothing in common.
The chart is SVG, made by gnuplot. The exit status is 2 if a file can't be read.
"""

import argparse
import json
import shutil
import subprocess
import sys

# Workload, case (None: any), ring (None: both), size (None: any), what ratio to reach: at least
# for rates, at most for what is better when lower. Of a row's bounds the first counts.
TARGETS = [
    ("W1", None, None, 64, 1.5),
    ("W1", "warm", None, 1518, 1.5),
    ("W1", "written", None, 1518, 3),
    ("W1", None, None, 65536, 10),
    ("W2", None, None, 64, 2),
    ("W2", "warm", None, 1518, 1.5),
    ("W2", "written", None, 1518, 3),
    ("W2", None, None, 65536, 10),
    ("W3", None, "split", 64, 1.3),
    ("W3", None, "packed", 64, 1.6),
    ("W3", None, None, 1518, 1.1),
    ("W3", None, None, 9000, 1.1),
    ("W3", None, None, 65536, 1.1),
    ("W4", None, None, None, 1.5),
    ("W5", None, None, None, 3),
    ("W6", None, None, None, 1),
    ("W7", "256", None, None, 1.5),
    ("floor", None, None, None, 1.3),
]

# The bound of large frames over memcpy of the same bytes.
MEMCPY_TARGET = 0.9

# Idle: percent of a processor that pass for none, as it takes some to measure.
IDLE_TARGET = 0.5

# Zero-copy modes a target holds for: the one a port has if it is told nothing.
TARGET_MODES = ("default", "split")


def load(path):
    """The rows of a file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def key(row):
    """What tells a row from others of its run."""
    return (row["workload"], row.get("case", ""), row["ring"], row["size"], row["mode"],
            row["peer_name"])


def label(row):
    """The key for a reader."""
    size = "64K" if row["size"] == 65536 else str(row["size"])
    words = [row["workload"], row.get("case", ""), row["ring"], size,
             "" if row["mode"] == "default" else row["mode"], f"/ {row['peer_name']}"]
    return " ".join(word for word in words if word)


def is_lower_better(row):
    """Whether less is more."""
    return row.get("better") == "lower"


def target_of(row):
    """The ratio a row shall reach, or None."""
    if row["mode"] not in TARGET_MODES or row["peer_name"] == "memif":
        return None
    if row["peer_name"] == "memcpy":
        return MEMCPY_TARGET if row["size"] >= 1518 else None
    for workload, case, ring, size, bound in TARGETS:
        if (workload == row["workload"] and case in (None, row.get("case", "")) and
                ring in (None, row["ring"]) and size in (None, row["size"])):
            return bound
    return None


def verdict(row):
    """(met, text) of a row that has a target, or None."""
    if row["workload"] == "W8":
        if row["ours"] is None:
            return False, "no figure"
        return row["ours"] <= IDLE_TARGET, f"{row['ours']:.2f} % CPU, target 0"
    bound = target_of(row)
    if bound is None:
        return None
    if row["ratio"] is None:
        return False, "no ratio"
    if is_lower_better(row):
        # No worse, as far as can be told; the bound is one of the median elsewhere.
        best = row["spread"][0] if row["workload"] == "W6" else row["ratio"]
        return best <= bound, f"{row['ratio']:.2f}, target at most {bound:g}"
    return row["ratio"] >= bound, f"{row['ratio']:.2f}, target {bound:g}"


def print_targets(rows):
    """Which targets are met, and which are not."""
    verdicts = [(row, verdict(row)) for row in rows]
    verdicts = [(row, found) for row, found in verdicts if found is not None]
    if not verdicts:
        return
    missed = [(row, text) for row, (met, text) in verdicts if not met]
    print(f"\ntargets: {len(verdicts) - len(missed)} met, {len(missed)} missed")
    for row, text in missed:
        print(f"  missed: {label(row)}: {text}")


def print_notifications(rows):
    """Between polling sides there is none: say where that is not so."""
    seen = set()
    for row in rows:
        for name in ("kicks", "calls", "syscalls"):
            found = row.get(f"ours_{name}", 0)
            where = key(row)[:5] + (name,)
            if found and where not in seen:
                print(f"  {label(row)}: {found} {name} per million packets")
            seen.add(where)
    counted = sum(1 for row in rows if "ours_kicks" in row)
    print(f"kicks, calls and system calls of ours were counted in {counted} rows")


def change(new, old):
    """'better', 'worse' or None, of two rows with the same key."""
    if not new["spread"] or not old["spread"]:
        return None
    if new["spread"][0] > old["spread"][1]:
        return "worse" if is_lower_better(new) else "better"
    if new["spread"][1] < old["spread"][0]:
        return "better" if is_lower_better(new) else "worse"
    return None


def print_changes(rows, before):
    """What has changed by more than the noise, and what can't be compared."""
    old = {key(row): row for row in before}
    common = [(row, old[key(row)]) for row in rows if key(row) in old]
    changes = [(row, other, change(row, other)) for row, other in common]
    changes = [found for found in changes if found[2] is not None]
    print(f"\nagainst the other run: {len(common)} rows in common, "
          f"{len(changes)} changed beyond the noise")
    for row, other, what in changes:
        print(f"  {what}: {label(row)}: {other['ratio']:.2f} "
              f"({other['spread'][0]:.2f}-{other['spread'][1]:.2f}) then, {row['ratio']:.2f} "
              f"({row['spread'][0]:.2f}-{row['spread'][1]:.2f}) now")


def bar(row):
    """Median, lowest and highest gain: above 1 ours is better, whatever the unit."""
    if is_lower_better(row):
        return 1 / row["ratio"], 1 / row["spread"][1], 1 / row["spread"][0]
    return row["ratio"], row["spread"][0], row["spread"][1]


def chart_script(rows, path):
    """What to tell gnuplot."""
    rows = [row for row in rows if row["ratio"] and row["spread"] and row["spread"][0] > 0]
    quoted = path.replace("'", "''")
    height = 120 + 16 * len(rows)
    tics = ", ".join(f'"{label(row)}" {place}' for place, row in enumerate(rows))
    lines = [
        f"set terminal svg size 900,{height} noenhanced font 'sans,11'",
        f"set output '{quoted}'",
        "set title 'net_vpci over others: right of 1 it is faster, or needs less'",
        "set logscale x 2", "set grid x", "unset key", "set lmargin 40",
        f"set yrange [{len(rows)}:-1]", f"set ytics ({tics})",
        "set arrow from 1, graph 0 to 1, graph 1 nohead lw 2",
        "set style fill solid 0.6 noborder",
        "plot '-' using 2:1:(1):2:($1-0.35):($1+0.35) with boxxyerror lc rgb '#4477aa', "
        "'-' using 2:1:3:4 with xerrorbars lc rgb '#222222' pt 0",
    ]
    data = [f"{place} {' '.join(f'{value:.6g}' for value in bar(row))}"
            for place, row in enumerate(rows)]
    return "\n".join(lines + 2 * (data + ["e"])) + "\n" if rows else ""


def draw(rows, path):
    """Make the chart; without gnuplot, or without a ratio, there is none."""
    script = chart_script(rows, path)
    if not script:
        print("no chart: no row has a ratio")
    elif shutil.which("gnuplot") is None:
        print("no chart: gnuplot is not installed (buildtools/setup.sh --with bench)")
    else:
        done = subprocess.run(["gnuplot"], input=script, encoding="utf-8", check=False)
        print(f"chart: {path}" if done.returncode == 0 else "no chart: gnuplot failed")


def main():
    """Read, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="FILE", help="rows of another run")
    parser.add_argument("--chart", metavar="FILE", help="SVG to write")
    parser.add_argument("rows", metavar="FILE")
    args = parser.parse_args()
    try:
        rows = load(args.rows)
        before = load(args.against) if args.against else None
    except (OSError, ValueError) as error:
        sys.stderr.write(f"bench-report.py: {error}\n")
        return 2
    print_targets(rows)
    print_notifications(rows)
    if before is not None:
        print_changes(rows, before)
    if args.chart:
        draw(rows, args.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
