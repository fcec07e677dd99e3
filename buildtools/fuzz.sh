#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/fuzz.sh [--minutes N] [--build-dir DIR] [--help] [TARGET]...

Sets the machine up (see buildtools/setup.sh), builds the fuzz targets with clang's libFuzzer and
its address and undefined behaviour sanitizers, and runs them, two at a time:
  codec session split packed msgring vfu qmp

  --minutes N      for each target, 1 if left out
  --build-dir DIR  where to build, and to keep what is found (default: build in the source folder)
  --help           show this text

Each target starts with its corpus in app/test-fuzz/corpus and what earlier runs have found. Inputs
that reach something new go to DIR/fuzz/found/TARGET/found, one that the target crashes with to
DIR/fuzz/found/TARGET/crash-..., with a log beside it. Ends with a line for each target; the exit
status is 0 if none has crashed, leaked or hung.
EOF
}

build_dir=$top/build
minutes=1
chosen=()

while [ $# -gt 0 ]; do
	case $1 in
	--minutes) minutes=${2:?--minutes needs a number}; shift ;;
	--minutes=*) minutes=${1#*=} ;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	--build-dir=*) build_dir=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	*) chosen+=("$1") ;;
	esac
	shift
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || die "--minutes $minutes: not a number of minutes"
[ ${#chosen[@]} -ne 0 ] || chosen=(codec session split packed msgring vfu qmp)

set_up "fuzz targets need none"
dir=$build_dir/fuzz
found=$dir/found
mkdir -p "$found"
step_log=$found/build.log
: >"$step_log"
step "build" build_tree clang "$dir" "${fuzz_options[@]}" || die "the targets are not built"

# run TARGET: leaves its log and its exit status behind.
run()
{
	local status=0

	"$top/app/test-fuzz/run.sh" "$dir/app/test-fuzz/fuzz_$1" "$top/app/test-fuzz/corpus/$1" \
		"$found/$1" $((60 * minutes)) >"$found/$1.log" 2>&1 </dev/null || status=$?
	echo $status >"$found/$1.status"
}

for target in "${chosen[@]}"; do
	[ -x "$dir/app/test-fuzz/fuzz_$target" ] || die "there is no target $target"
done
say "${#chosen[@]} targets, $minutes min each, two at a time"
for target in "${chosen[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n || true
	done
	run "$target" &
done
wait
failed=0
for target in "${chosen[@]}"; do
	status=$(cat "$found/$target.status")
	runs=$(awk '/number_of_executed_units/ { print $2 }' "$found/$target.log")
	cover=$(awk '/ cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") n = $(i + 1) }
		END { print n + 0 }' "$found/$target.log")
	if [ "$status" -eq 0 ]; then
		say "$target: ${runs:-0} inputs, $cover points covered, no crash"
	else
		failed=$((failed + 1))
		say "$target: FAILED (status $status): $found/$target.log"
	fi
done
say "$failed of ${#chosen[@]} targets failed"
[ "$failed" -eq 0 ]
