#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/lint.sh format|fix-format|cppcheck|clang-tidy|shell [BUILD_DIR] [FILE...]

Runs one of the distribution's checkers over the sources with the rules of the house:
  format       clang-format, with .clang-format
  fix-format   lets clang-format rewrite the files
  cppcheck     warnings, performance, portability
  clang-tidy   with .clang-tidy; needs BUILD_DIR, a configured build folder
  shell        shellcheck, with .shellcheckrc

With files named, only those are checked; 77 is the exit status if the checker is not
installed.
EOF
}

# The sources of some kind: by name, whether committed yet or not.
sources()
{
	find "$top/drivers" "$top/app" "$top/examples" -name '*.[ch]' 2>/dev/null | sort
}

scripts()
{
	printf '%s\n' "$top"/buildtools/*.sh
	[ ! -e "$top/.ci/run" ] || printf '%s\n' "$top/.ci/run"
}

need()
{
	command -v "$1" >/dev/null && return
	say "$1 is not installed"
	exit 77
}

check_format()
{
	need clang-format
	clang-format "$@" "${files[@]}"
}

check_cppcheck()
{
	need cppcheck
	# The headers of DPDK and of the system stay out: what cppcheck must know
	# of their macros is said here. Compilers and clang-tidy know better than
	# uninitvar what is initialised.
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --platform=unix64 \
		--enable=warning,performance,portability --suppress=missingInclude \
		--suppress=unknownMacro --suppress=preprocessorErrorDirective \
		--suppress=uninitvar \
		-j "$(nproc)" --template='{file}:{line}: {severity}: {message} [{id}]' \
		-I "$top/drivers/common/vhost_pci" -D__linux__ -D__x86_64__ \
		-U__cplusplus "${files[@]}"
}

# The sources that the build compiles, the generated ones apart.
compiled_sources()
{
	/usr/bin/python3 -c '
import json, os, sys
database = sys.argv[1] + "/compile_commands.json"
for entry in json.load(open(database)):
    path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
    if not path.startswith(os.path.realpath(sys.argv[1]) + "/"):
        print(path)' "$1" | sort -u
}

# tidy_files OPTION..; the files are on the input, ended by zeros
tidy_files()
{
	xargs -r -0 -n 4 -P "$(nproc)" clang-tidy --quiet -p "$build_dir" \
		--extra-arg=-Wno-unknown-warning-option "$@"
}

# What it says of warnings in headers of the system is not of interest. Tests have the engine's
# code inlined once more: there the analyzer follows fewer paths, in a third of the time.
check_tidy()
{
	local file option
	local -a own=() tests=() shallow=()

	need clang-tidy
	for option in -Xclang -analyzer-config -Xclang max-nodes=50000; do
		shallow+=("--extra-arg=$option")
	done
	for file in "${files[@]}"; do
		case $file in
		"$top"/app/test*) tests+=("$file\0") ;;
		*) own+=("$file\0") ;;
		esac
	done
	{
		printf '%b' "${own[@]}" | tidy_files &&
			printf '%b' "${tests[@]}" | tidy_files "${shallow[@]}"
	} 2>&1 | sed '/^[0-9]* warnings\? .*generated\.$/d; /^[0-9]* warnings\? treated as/d'
}

what=${1:-}
build_dir=
[ $# -eq 0 ] || shift
if [ "$what" = clang-tidy ]; then
	build_dir=${1:?clang-tidy needs the build folder}
	shift
fi
files=("$@")

case $what in
format | fix-format | cppcheck)
	[ $# -ne 0 ] || mapfile -t files < <(sources)
	;;
clang-tidy)
	[ $# -ne 0 ] || mapfile -t files < <(compiled_sources "$build_dir")
	;;
shell)
	[ $# -ne 0 ] || mapfile -t files < <(scripts)
	;;
-h | --help)
	usage
	exit 0
	;;
*)
	usage >&2
	exit 2
	;;
esac
if [ ${#files[@]} -eq 0 ]; then
	say "no source to check"
	exit 1
fi

case $what in
format) check_format --dry-run -Werror ;;
fix-format) check_format -i ;;
cppcheck) check_cppcheck ;;
clang-tidy) check_tidy ;;
shell) need shellcheck && shellcheck "${files[@]}" ;;
esac
