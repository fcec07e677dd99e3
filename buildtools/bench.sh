#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/bench.sh [--quick] [--out DIR] [--against FILE] [OPTION...]

Compares net_vpci with DPDK's net_vhost, and with memif, memcpy, a host switch and the bare
ring walk where they fit. One generator, a vhost-user front-end on a processor of its own,
drives all in turn, on the same rings with the same packets, so that the ratios hold where the
machine's speed drifts. doc/guides/howto/benchmark.rst says what is measured and how to read it.

  --quick            fewer workloads, sizes and rounds, under 3 minutes; else under 15
  --out DIR          where the results go (default: bench below the build folder):
                     bench.jsonl, a line for each row; bench.svg, a chart; machine.txt
  --against FILE     compare with the bench.jsonl of another run; what changed by more than
                     the noise is told
  --workload NAME    only W1 .. W8 or floor
  --size BYTES       only frames of this size
  --modes LIST       only these zero-copy modes of net_vpci: off,split,full
  --port-args ARGS   more device arguments for net_vpci, such as copybreak=512
  --simd BITS        the widest vectors that drivers may use: 128, 256, 512
  --rounds N         measure each as often (default: 7; quick: 3)
  --cpus F,B         processors of the front-end and the back-end
  --one-thread       poll front-end and back-end in turn on one processor: cycles without
                     the traffic between caches, and steady where the machine is busy
  --at-least RATIO   fail if the ratio of a row is lower
  --build-dir DIR    where to build (default: build in the source folder)
  --help             show this text

Two processors are needed, with nothing else to do. The exit status is 0 if all of net_vpci could
be measured, whatever the figures are.
EOF
}

build_dir=$top/build
bench_args=()
report_args=()
out=
quick=false
rounds=
cpus=

while [ $# -gt 0 ]; do
	# --name=value is --name value
	case $1 in
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	esac
	case $1 in
	--quick) quick=true ;;
	--one-thread) bench_args+=("$1") ;;
	--workload | --size | --at-least | --modes | --port-args | --simd)
		bench_args+=("$1=${2:?$1 needs a value}")
		shift
		;;
	--rounds) rounds=${2:?--rounds needs a number}; shift ;;
	--cpus) cpus=${2:?--cpus needs two numbers}; shift ;;
	--against)
		[ -r "${2:?--against needs a file}" ] || die "cannot read $2"
		report_args+=(--against "$(realpath "$2")")
		shift
		;;
	--out) out=${2:?--out needs a folder}; shift ;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

# The processors this process may use, one a line.
allowed_cpus()
{
	awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status | tr ',' '\n' |
		awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }'
}

# The processors that share a core with one, itself among them, one a line.
siblings()
{
	local file=/sys/devices/system/cpu/cpu$1/topology/thread_siblings_list

	{ cat "$file" 2>/dev/null || echo "$1"; } | tr ',' '\n' |
		awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++) print i }'
}

# Sets $frontend_cpu and $backend_cpu: on cores of their own, if there are two.
choose_cpus()
{
	local -a allowed
	local cpu

	if [ -n "$cpus" ]; then
		[[ $cpus =~ ^[0-9]+,[0-9]+$ ]] || die "--cpus needs two numbers, as in 0,1"
		frontend_cpu=${cpus%,*}
		backend_cpu=${cpus#*,}
		return
	fi
	mapfile -t allowed < <(allowed_cpus)
	[ ${#allowed[@]} -ge 2 ] || die "two processors are needed"
	frontend_cpu=${allowed[0]}
	backend_cpu=${allowed[1]}
	for cpu in "${allowed[@]}"; do
		if ! siblings "$frontend_cpu" | grep -qx "$cpu"; then
			backend_cpu=$cpu
			return
		fi
	done
}

# What the figures were measured on.
machine()
{
	local shared=no

	! siblings "$frontend_cpu" | grep -qx "$backend_cpu" || shared=yes
	printf '%-12s %s\n' \
		processor: "$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)" \
		processors: "$(nproc); front-end on $frontend_cpu, back-end on $backend_cpu" \
		same-core: "$shared" \
		hypervisor: "$(grep -qw hypervisor /proc/cpuinfo && echo yes || echo no)" \
		kernel: "$(uname -r)" \
		dpdk: "$(pkg-config --modversion libdpdk)" \
		hugepages: "$(huge && echo yes || echo no)" \
		source: "$(git -C "$top" describe --always --dirty 2>/dev/null || echo unknown)" \
		load: "$(cut -d ' ' -f 1-3 /proc/loadavg)" \
		options: "${bench_args[*]-}"
}

huge()
{
	local pages

	pages=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2>/dev/null || echo 0)
	[ "$pages" -ge 256 ]
}

[ "$(nproc)" -ge 2 ] || die "two processors are needed, this machine has $(nproc)"
set_up "the benchmark runs on ordinary pages" --with bench
choose_cpus
out=${out:-$build_dir/bench}
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
step_log=$build_dir/bench.log
: >"$step_log"
step "build" build_tree gcc "$build_dir/gcc" -Dtests=enabled

if $quick; then
	bench_args+=(--quick --rounds "${rounds:-3}" --window 60 --budget 100)
else
	bench_args+=(--rounds "${rounds:-7}" --window 250 --budget 600)
fi
huge || bench_args+=(--no-huge)
bench_args+=(--frontend-cpu "$frontend_cpu" --backend-cpu "$backend_cpu"
	--json "$out/bench.jsonl")
machine | tee "$out/machine.txt"
say

export LD_LIBRARY_PATH=$build_dir/gcc/drivers/net/vhost_pci${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
status=0
"$build_dir/gcc/app/test-perf/vhost-pci-bench" --plugin librte_net_vhost_pci.so \
	"${bench_args[@]}" || status=$?
"$top/buildtools/bench-report.py" "${report_args[@]}" --chart "$out/bench.svg" "$out/bench.jsonl" ||
	status=$?
say "results: $out"
exit $status
