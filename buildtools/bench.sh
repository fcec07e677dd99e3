#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/bench.sh [--quick] [--workload NAME] [--size BYTES] [--one-thread]
                           [--at-least RATIO] [--out DIR] [--build-dir DIR] [--help]

Compares net_vpci with DPDK's net_vhost. One generator, a vhost-user front-end on a
processor of its own, drives both in turn, on the same rings with the same packets, so that
the ratio of the two holds where the machine's speed drifts. Shown are, for each row, the
medians of packets per second and of TSC cycles per packet in bursts that moved packets,
and the median, lowest and highest ratio of the rates, pair by pair.

  --quick            3 short rounds instead of 7 longer ones
  --workload NAME    only W1 .. W8 or floor
  --size BYTES       only frames of this size
  --one-thread       poll front-end and back-end in turn on one processor: cycles without
                     the traffic between caches, and steady where the machine is busy
  --at-least RATIO   fail if the ratio of a row is lower
  --out DIR          write the results there, as lines of JSON: bench.jsonl
  --build-dir DIR    where to build (default: build in the source folder)
  --help             show this text

Two processors are needed, with nothing else to do.
EOF
}

build_dir=$top/build
bench_args=()
out=
rounds=(--rounds 7 --window 500)

while [ $# -gt 0 ]; do
	case $1 in
	--quick) rounds=(--rounds 3 --window 60 --quick) ;;
	--workload | --size | --at-least) bench_args+=("$1" "${2:?$1 needs a value}"); shift ;;
	--one-thread | --workload=* | --size=* | --at-least=*) bench_args+=("$1") ;;
	--out) out=${2:?--out needs a folder}; shift ;;
	--out=*) out=${1#*=} ;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	--build-dir=*) build_dir=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

[ "$(nproc)" -ge 2 ] || die "two processors are needed, this machine has $(nproc)"
set_up "the benchmark runs on ordinary pages"
step_log=$build_dir/bench.log
: >"$step_log"
step "build" build_tree gcc "$build_dir/gcc" -Dtests=enabled
pages=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null || echo 0)
if [ "$pages" -lt 256 ]; then
	bench_args+=(--no-huge)
fi
if [ -n "$out" ]; then
	mkdir -p "$out"
	bench_args+=(--json "$out/bench.jsonl")
fi
say

export LD_LIBRARY_PATH=$build_dir/gcc/drivers/net/vhost_pci${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec "$build_dir/gcc/app/test-perf/vhost-pci-bench" --plugin librte_net_vhost_pci.so \
	"${rounds[@]}" "${bench_args[@]}"
