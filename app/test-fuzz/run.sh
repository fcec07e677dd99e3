#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: run.sh PROGRAM CORPUS DIR SECONDS
#
# Runs a fuzz target on its corpus. What it finds new goes to DIR: inputs to DIR/found, and one that
# it crashes with to DIR/crash-..., leak-..., timeout-...

set -eu
program=$1 corpus=$2 dir=$3 seconds=$4
mkdir -p "$dir/found"
exec "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
	-artifact_prefix="$dir/" -print_final_stats=1 "$dir/found" "$corpus"
