#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOT
usage: buildtools/qemu-chroot.sh [--root DIR] [--check] [COMMAND [ARG]...]

Runs a command, such as qemu-system-x86_64, where there is a QEMU that has the device
vfio-user-pci (10.1 or newer). Debian 12 has none: so a folder is made, once, with the one
of Debian 13's backports and all that it needs, out of packages that are unpacked and not
installed, from the mirror that the machine's apt uses. It takes half a minute and 180 MB.
The command sees that folder as its root, and all else of the machine that is no part of
its system (/tmp, /home, /dev and so on) in the same place as outside.

Without a command the folder is made, if it is not there. If the QEMU of the machine has
the device, no folder is made and commands are run as they are.

  --root DIR  the folder (default: \$VHOST_PCI_QEMU_ROOT, or qemu-root in the user's cache)
  --check     only say whether a command could be run, by the exit status
  --help      show this text
EOT
}

suites=(trixie trixie-backports)
packages=(base-files libc-bin dash qemu-system-x86)
# Top-level folders that are the system's, and so not those of the machine.
system_folders=" bin boot etc lib lib32 lib64 libx32 lost+found sbin usr "

root=${VHOST_PCI_QEMU_ROOT:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vhost-pci/qemu-root}
check=false

while [ $# -gt 0 ]; do
	case $1 in
	--root) root=${2:?--root needs a folder}; shift ;;
	--root=*) root=${1#*=} ;;
	--check) check=true ;;
	-h | --help) usage; exit 0 ;;
	--) shift; break ;;
	-*) usage >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done

machine_has_device()
{
	command -v qemu-system-x86_64 >/dev/null &&
		qemu-system-x86_64 -M none -device help 2>/dev/null | grep -q '"vfio-user-pci"'
}

# Unpacks the packages below $1, whose name is to become that of the root.
unpack()
{
	local tmp=$1 package

	apt_aside "$tmp/apt" deb "${suites[*]}" && mkdir -p "$tmp/root" || return
	"${apt[@]}" update &&
		"${apt[@]}" install --download-only -t "${suites[-1]}" "${packages[@]}" || return
	# First the one that has the links of / into /usr.
	for package in "$tmp"/apt/cache/archives/base-files_*.deb "$tmp"/apt/cache/archives/*.deb
	do
		dpkg-deb -x "$package" "$tmp/root" || return
	done
	mkdir -p "$tmp/root/etc" && : >"$tmp/root/etc/ld.so.conf" &&
		run_in "$tmp/root" ldconfig &&
		run_in "$tmp/root" qemu-system-x86_64 -M none -device help |
		grep '"vfio-user-pci"'
}

make_root()
{
	local tmp=$root.tmp

	rm -rf "$tmp" && mkdir -p "$tmp" && unpack "$tmp" && rm -rf "$root" &&
		mv "$tmp/root" "$root" && rm -rf "$tmp"
}

# Replaces this shell, or the subshell it is called in, by the command.
exec_in()
{
	local new_root=$1 dir name
	local -a unshare=(unshare --mount) folders=()
	shift

	[ "$(id -u)" -eq 0 ] || unshare+=(--user --map-root-user)
	for dir in /*/; do
		name=${dir//\//}
		case $system_folders in
		*" $name "*) ;;
		*) folders+=("/$name") ;;
		esac
	done
	# A link, such as /work -> /mnt/work, is a folder here.
	# shellcheck disable=SC2016 # for the other shell
	exec "${unshare[@]}" sh -c '
		root=$1 here=$PWD
		shift
		mount --make-rprivate / || exit
		while [ "$1" != -- ]; do
			mkdir -p "$root$1" && mount --rbind "$1" "$root$1" || exit
			shift
		done
		shift
		exec chroot "$root" dash -c '\''cd "$1" 2>/dev/null || cd /; shift; exec "$@"'\'' \
			sh "$here" "$@"' \
		sh "$new_root" "${folders[@]}" -- "$@"
}

run_in()
{
	( exec_in "$@" )
}

if machine_has_device; then
	[ $# -eq 0 ] || exec "$@"
	exit 0
fi
if $check; then
	[ -x "$root/usr/bin/qemu-system-x86_64" ] || exit 1
	[ "$(id -u)" -eq 0 ] || unshare --mount --user --map-root-user true 2>/dev/null || exit 1
	exit 0
fi
if [ ! -x "$root/usr/bin/qemu-system-x86_64" ]; then
	mkdir -p "${root%/*}"
	root=$(cd "${root%/*}" && pwd -P)/${root##*/}
	step_log=$root.log
	exec 9>"$root.lock"
	flock 9
	[ -x "$root/usr/bin/qemu-system-x86_64" ] ||
		step "QEMU with vfio-user-pci" make_root >&2 || exit
	exec 9>&-
fi
if [ $# -gt 0 ]; then
	exec_in "$root" "$@"
fi
