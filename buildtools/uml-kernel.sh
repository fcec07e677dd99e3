#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOT
usage: buildtools/uml-kernel.sh [--output FILE] [--check]

Makes a User Mode Linux that has the time-travel mode, in which a guest's time stands still
while it waits for the answer to a kick. The one of Debian is built without. It is built, once,
out of Debian's linux-source package, which is unpacked and not installed, with what the tests
need and nothing else: it takes some minutes on two cores, and 500 MB until it is done.

  --output FILE  the kernel (default: \$VHOST_PCI_UML_KERNEL, or uml-kernel/linux in the user's
                 cache)
  --check        only say whether it is there, by the exit status
  --help         show this text
EOT
}

package=linux-source-6.1
kernel=${VHOST_PCI_UML_KERNEL:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vhost-pci/uml-kernel/linux}
check=false

# Beyond what is needed to be a guest with a console and a network device: nothing. All that
# may be left out is left out by EXPERT.
options=(
	EXPERT 64BIT PRINTK PRINTK_TIME BUG TTY NULL_CHAN MULTIUSER POSIX_TIMERS FUTEX EPOLL
	HIGH_RES_TIMERS NO_HZ_IDLE UML_TIME_TRAVEL_SUPPORT
	BINFMT_ELF BINFMT_SCRIPT BLK_DEV_INITRD RD_GZIP PROC_FS PROC_SYSCTL SYSFS DEVTMPFS
	NET INET UNIX PACKET NETDEVICES NET_CORE VIRTIO_MENU VIRTIO_UML VIRTIO_NET
)
# What is not compiled and large to unpack; the files that say how it is configured are needed.
left_out=(
	'*/Documentation/[!K]*' '*/tools/testing/*' '*/sound/*.[ch]' '*/drivers/gpu/*.[ch]'
	'*/drivers/net/*/*.[ch]' '*/drivers/media/*.[ch]' '*/drivers/scsi/*.[ch]'
	'*/drivers/staging/*.[ch]'
)

while [ $# -gt 0 ]; do
	case $1 in
	--output) kernel=${2:?--output needs a file}; shift ;;
	--output=*) kernel=${1#*=} ;;
	--check) check=true ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

unpack()
{
	local dir=$1

	apt_aside "$dir/apt" deb "$(debian_suites)" || return
	"${apt[@]}" update &&
		"${apt[@]}" install --download-only "$package" || return
	dpkg-deb -x "$dir/apt/cache/archives/$package"_*.deb "$dir/package" &&
		mkdir "$dir/source" || return
	tar -xJf "$dir/package/usr/src/$package.tar.xz" -C "$dir/source" --strip-components=1 \
		"${left_out[@]/#/--exclude=}"
}

build()
{
	local dir=$1 option
	local -a make=(make -C "$dir/source" ARCH=um "O=$dir/build" "-j$(nproc)")

	mkdir "$dir/build" &&
		printf 'CONFIG_%s=y\n' "${options[@]}" >"$dir/wanted" &&
		"${make[@]}" "KCONFIG_ALLCONFIG=$dir/wanted" tinyconfig || return
	# An option whose conditions are not met is left out without a word.
	for option in "${options[@]}"; do
		grep -qx "CONFIG_$option=y" "$dir/build/.config" ||
			{ echo "$option can't be had"; return 1; }
	done
	"${make[@]}" linux
}

make_kernel()
{
	local dir=$kernel.tmp

	rm -rf "$dir" && mkdir -p "$dir" && unpack "$dir" && build "$dir" &&
		mv "$dir/build/linux" "$kernel" && rm -rf "$dir"
}

if [ -x "$kernel" ]; then
	exit 0
fi
! $check || exit 1
mkdir -p "${kernel%/*}"
kernel=$(cd "${kernel%/*}" && pwd -P)/${kernel##*/}
step_log=$kernel.log
exec 9>"$kernel.lock"
flock 9
[ -x "$kernel" ] || step "User Mode Linux with time travel" make_kernel >&2
