#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOT
usage: buildtools/soak.sh [--minutes N] [--seed S] [--sanitize] [--build-dir DIR] [--help]

Sets the machine up (see buildtools/setup.sh), builds, and runs a soak: one process with the
driver serves eight front-ends at which random faults happen, while the traffic of four others
is checked bit for bit, with nothing lost.

  --minutes N      how long, 30 if left out
  --seed S         which faults, in which order; a new one if left out, and told
  --sanitize       built with gcc's address and undefined behaviour sanitizers
  --build-dir DIR  where to build (default: build in the source folder)
  --help           show this text

Faults: front-ends are killed or stopped for a while; truncate their memory; send garbage, messages
without sense and halves of messages; spoil their virtqueues; are slow; fill their event counters.
The back-end is out of file descriptors, of address space, of mbufs; its ports are stopped and
started, unplugged and plugged.

Ends with the faults of each kind, the packets that were checked, corrupted and lost, what was left
behind, and hangs. The exit status is 0 if there was none of these.
EOT
}

build_dir=$top/build
minutes=30
seed=$((RANDOM * 32768 + RANDOM))
variant=gcc
options=()

while [ $# -gt 0 ]; do
	case $1 in
	--minutes) minutes=${2:?--minutes needs a number}; shift ;;
	--minutes=*) minutes=${1#*=} ;;
	--seed) seed=${2:?--seed needs a number}; shift ;;
	--seed=*) seed=${1#*=} ;;
	--sanitize)
		variant=sanitize
		# shellcheck disable=SC2054 # a comma is meson's
		options=(-Db_sanitize=address,undefined -Doptimization=1)
		;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	--build-dir=*) build_dir=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || die "--minutes $minutes: not a number of minutes"
[[ $seed =~ ^[0-9]+$ ]] || die "--seed $seed: not a number"

set_up "a soak needs none"
dir=$build_dir/$variant
step_log=$build_dir/soak.log
: >"$step_log"
step "build" build_tree gcc "$dir" -Dtests=enabled "${options[@]}"
say "$minutes min of faults, seed $seed"
exec "$top/app/test-soak/soak.py" --seconds $((60 * minutes)) --seed "$seed" \
	--backend "$dir/app/test-soak/vhost-pci-soak-backend" \
	--frontend "$dir/app/test-soak/vhost-pci-soak-frontend"
