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
#   debian_suites   prints the suites of Debian that this machine's apt uses
#   apt_aside DIR TYPE SUITES
#                   sets $apt to an apt-get that leaves the machine's apt alone: it has
#                   its state in DIR and knows these SUITES of Debian, from the machine's
#                   mirror; TYPE is deb or deb-src

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

# How the fuzz targets are built; what libFuzzer needs in all objects is given to the compiler.
# shellcheck disable=SC2034,SC2054 # the scripts use it; a comma is meson's
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

# What the machine's apt gets Debian from: its mirror, or its suites.
debian_targets()
{
	apt-get indextargets --format "\$(LABEL) \$(COMPONENT) \$($1)" 'Created-By: Packages' \
		2>/dev/null | awk '$1 == "Debian" && $2 == "main" { print $3 }' | grep .
}

debian_suites()
{
	debian_targets RELEASE | sort -u | tr '\n' ' '
}

apt_aside()
{
	local dir=$1 type=$2 suites=$3 mirror
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg

	# The lists may have been removed; then apt knows of no mirror.
	mirror=$(debian_targets REPO_URI | head -n 1) ||
		{ apt-get update && mirror=$(debian_targets REPO_URI | head -n 1); } || return
	mkdir -p "$dir/sources.d" "$dir/lists/partial" "$dir/cache/archives/partial" || return
	: >"$dir/status"
	printf '%s\n' "Types: $type" "URIs: $mirror" "Suites: $suites" 'Components: main' \
		"Signed-By: $keyring" >"$dir/sources.d/debian.sources"
	# shellcheck disable=SC2034 # the scripts use it
	apt=(apt-get -q -y -o Dir::Etc::SourceList=/dev/null
		-o "Dir::Etc::SourceParts=$dir/sources.d" -o Dir::Etc::Preferences=/dev/null
		-o Dir::Etc::PreferencesParts=/dev/null -o "Dir::State::Lists=$dir/lists"
		-o "Dir::Cache=$dir/cache" -o "Dir::State::status=$dir/status"
		-o "Dir::State::extended_states=$dir/extended" -o Debug::NoLocking=1
		-o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=2
		-o Acquire::Languages=none -o APT::Install-Recommends=false)
}
