#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/test.sh [--quick] [--suite NAME]... [--build-dir DIR] [--help]

Sets the machine up (see buildtools/setup.sh), builds vhost-pci and runs its tests:
  gcc       built with gcc: suites lint, fast, driver, e2e
  clang     built with clang: suite fast
  sanitize  built with gcc's address and undefined behaviour sanitizers: suites fast,
            driver, and e2e-driver, which is a part of e2e
  thread    built with gcc's thread sanitizer: suite fast
  fuzz      fuzz targets, built with clang's sanitizers: suite fuzz, 30 s each

  --quick          only the build with gcc
  --suite NAME     only this suite; may be given several times; perf, which takes
                   measures and takes its time, runs only if it is named
  --build-dir DIR  where to build and log (default: build in the source folder)
  --help           show this text

Ends with what was skipped and why, what failed, and one line
  N passed, N failed, N skipped
that counts test cases. The exit status is 0 if at least one case ran and none failed.
EOF
}

build_dir=$top/build
chosen=()
variants=(gcc clang sanitize thread fuzz)

while [ $# -gt 0 ]; do
	case $1 in
	--quick) variants=(gcc) ;;
	--suite) chosen+=("${2:?--suite needs a name}"); shift ;;
	--suite=*) chosen+=("${1#*=}") ;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	--build-dir=*) build_dir=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

declare -A variant_compiler=([gcc]=gcc [clang]=clang [sanitize]=gcc [thread]=gcc [fuzz]=clang)
declare -A variant_suites=([gcc]="lint fast driver e2e" [clang]="fast"
	[sanitize]="fast driver e2e-driver" [thread]="fast" [fuzz]="fuzz")
declare -A variant_options=([gcc]='' [clang]=''
	[sanitize]='-Db_sanitize=address,undefined -Doptimization=1'
	[thread]='-Db_sanitize=thread -Doptimization=1'
	[fuzz]="${fuzz_options[*]}")
# Sanitizers make everything slower, so each test gets more time.
declare -A variant_patience=([gcc]=1 [clang]=1 [sanitize]=3 [thread]=5 [fuzz]=1)

# What the thread sanitizer is not to report, and why.
export TSAN_OPTIONS=suppressions=$top/buildtools/tsan.supp

logs=()
failures=()

# Sets $suites to those of a variant that were asked for.
choose_suites()
{
	local variant=$1 suite

	suites=()
	if [ ${#chosen[@]} -eq 0 ]; then
		read -ra suites <<<"${variant_suites[$variant]}"
		return
	fi
	for suite in "${chosen[@]}"; do
		case " ${variant_suites[$variant]} $variant:$suite " in
		*" $suite "* | *" gcc:perf "*) suites+=("$suite") ;;
		esac
	done
}

build()
{
	local -a options

	read -ra options <<<"${variant_options[$1]}"
	build_tree "${variant_compiler[$1]}" "$2" -Dtests=enabled "${options[@]}"
}

run_suite()
{
	local variant=$1 dir=$2 suite=$3 start=$SECONDS log counts

	log=$dir/meson-logs/test-$suite
	rm -f "$log".*
	run_logged "$variant: tests, $suite" meson test -C "$dir" --no-rebuild --suite "$suite" \
		--logbase "test-$suite" -t "${variant_patience[$variant]}" || true
	logs+=("$variant $suite=$log")
	counts=$("$top/buildtools/test-report.py" --brief "$suite=$log") || true
	printf ' %s, %d s\n' "$counts" $((SECONDS - start))
	if [ "$counts" = "0 passed, 0 failed, 0 skipped" ]; then
		failures+=(--failed "[$variant $suite] the suite has no test")
	fi
}

run_variant()
{
	local variant=$1 dir=$build_dir/$1 suite

	choose_suites "$variant"
	[ ${#suites[@]} -ne 0 ] || return 0
	if ! step "$variant: build" build "$variant" "$dir"; then
		failures+=(--failed "[$variant] the build")
		return
	fi
	for suite in "${suites[@]}"; do
		run_suite "$variant" "$dir" "$suite"
	done
}

set_up "the tests that need hugepages are skipped"
case " ${chosen[*]-e2e} " in
*" e2e "*)
	"$top/buildtools/qemu-chroot.sh" ||
		say "going on: the tests of adapters in machines are skipped"
	"$top/buildtools/uml-kernel.sh" || say "going on: the test of time travel is skipped"
	;;
esac
step_log=$build_dir/test.log
: >"$step_log"
for variant in "${variants[@]}"; do
	run_variant "$variant"
done
say
"$top/buildtools/test-report.py" "${failures[@]}" "${logs[@]}"
