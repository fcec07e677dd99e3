#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check-unit.sh UNIT PROGRAM: whether systemd takes the unit of the daemon, which is to run this
# program, and finds it well confined. Skipped where systemd-analyze is missing or too old.

set -o nounset
unit=${1:?the unit}
program=$(realpath "${2:?the program}")

# Of 100: what it is below is called "safe".
exposure=20

command -v systemd-analyze >/dev/null || { echo "systemd-analyze is missing"; exit 77; }
systemd-analyze --help | grep -q -- --offline || { echo "systemd-analyze is too old"; exit 77; }

folder=$(mktemp -d) || exit
trap 'rm -rf "$folder"' EXIT
copy=$folder/${unit##*/}
sed "s,^ExecStart=[^ ]*,ExecStart=$program," "$unit" >"$copy" || exit

systemd-analyze verify --man=no "$copy" >"$folder/log" 2>&1
status=$?
cat "$folder/log"
[ $status -eq 0 ] && [ ! -s "$folder/log" ] || exit 1
systemd-analyze security --offline=true --no-pager --threshold=$exposure "$copy"
