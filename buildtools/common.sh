# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What the scripts of this folder share; they source it first.
#
#   top             the source folder
#   say TEXT...     a line for the reader
#   die TEXT...     the same on stderr, and the end
#   set_up TEXT OPTION..
#                   makes $build_dir and runs setup.sh with it; TEXT says what becomes of
#                   the rest where only hugepages are missing
#   build_tree CC DIR OPTION..
#                   configures (anew) and builds into DIR
#   fuzz_options    build_tree's options for the fuzz targets
#   step TEXT CMD.. runs CMD with its output in $step_log, which the script sets,
#                   showing TEXT and the seconds it takes; if CMD fails, the end of
#                   its output is shown
#   run_logged ...  the same, but leaves the end of the line and the failure to the
#                   caller

set -euo pipefail

# Debian's own python3 and meson, whatever else the user has on the path.
PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH

# shellcheck disable=SC2034 # the scripts use it
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
step_log=/dev/null

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Shows that a step goes on: its seconds on a terminal, a dot every 5 elsewhere.
step_ticks()
{
	local seconds=0

	while sleep 1; do
		seconds=$((seconds + 1))
		if [ -t 1 ]; then
			printf '\r%s ... %d s ' "$1" $seconds
		elif [ $((seconds % 5)) -eq 0 ]; then
			printf '.'
		fi
	done
}

step_end()
{
	kill "$step_ticker" 2>/dev/null || true
	wait "$step_ticker" 2>/dev/null || true
}

# Descriptor 9 is for locks: nothing that a step starts keeps it.
run_logged()
{
	local text=$1 status=0
	shift

	printf '%s ...' "$text"
	step_ticks "$text" 9>&- &
	step_ticker=$!
	trap 'step_end; printf "\n"; exit 130' INT
	trap 'step_end; printf "\n"; exit 143' TERM
	printf '\n=== %s: %s\n' "$text" "$*" >>"$step_log"
	"$@" >>"$step_log" 2>&1 </dev/null 9>&- || status=$?
	step_end
	trap - INT TERM
	[ ! -t 1 ] || printf '\r%s ...' "$text"
	return $status
}

step()
{
	local start=$SECONDS status=0

	run_logged "$@" || status=$?
	if [ $status -eq 0 ]; then
		printf ' done, %d s\n' $((SECONDS - start))
		return 0
	fi
	printf ' failed (status %d), %d s\n' $status $((SECONDS - start))
	# The end of what this step said, not of the one before.
	awk '/^=== / { n = 0; next } { line[n++] = $0 }
		END { for (i = (n > 40 ? n - 40 : 0); i < n; i++) print "  | " line[i] }' \
		"$step_log" >&2
	printf '  the whole log: %s\n' "$step_log" >&2
	return $status
}

# How the fuzz targets are built; what libFuzzer needs in all objects is an argument of the compiler.
# shellcheck disable=SC2034 # the scripts use it
fuzz_options=(-Dfuzz=true -Dc_args=-fsanitize=fuzzer-no-link -Doptimization=1
	-Db_sanitize=address,undefined -Db_lundef=false)

set_up()
{
	local text=$1 status=0
	shift

	mkdir -p "$build_dir"
	build_dir=$(cd "$build_dir" && pwd -P)
	"$top/buildtools/setup.sh" --build-dir "$build_dir" "$@" || status=$?
	case $status in
	0) ;;
	3) say "going on: $text" ;;
	*) die "the machine is not set up" ;;
	esac
}

build_tree()
{
	local compiler=$1 dir=$2 again=()
	shift 2

	[ ! -e "$dir/build.ninja" ] || again=(--reconfigure)
	CC=$compiler meson setup "${again[@]}" --fatal-meson-warnings \
		"-Ddriver_headers=$build_dir/driver-headers" "$@" "$dir" "$top" &&
		ninja -C "$dir"
}
