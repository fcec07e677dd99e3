#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/demo.sh [--vm] [--seconds N] [--size BYTES] [--packed] [--build-dir DIR]
       buildtools/demo.sh --help

Shows vhost-pci at work. The distribution's dpdk-testpmd, with the net_vhost_pci driver
as a plugin, has two net_vpci ports and forwards whatever it receives on one to the other.
Each port is the vhost-user back-end of a DPDK virtio_user front-end in a second process.
Packets go both ways; their rates are shown as they go, and a summary at the end.

With --vm, testpmd runs in a virtual machine, and its ports are vhost-pci adapters: behind
each is the memory of another machine, whose network device is virtio-net. One of these
machines pings the other through testpmd; then testpmd runs in both of them too, and while
all sides poll, packets go round. The summary says how many exits that took: none. The
machines are emulated (QEMU's TCG), so rates say nothing of real ones. It takes 2 minutes
after the set-up, and 1.5 GB of memory.

  --vm             with virtual machines
  --seconds N      how long packets flow (default: 10; with --vm until a million packets
                   have passed, at most 60)
  --size BYTES     length of a packet, 60 to 1514, without its checksum (default: 64)
  --packed         packed virtqueues instead of split ones
  --build-dir DIR  where to build (default: build in the source folder)
  --help           show this text

What is missing on the machine is installed by buildtools/setup.sh first; with --vm, a QEMU
with vfio-user-pci is got by buildtools/qemu-chroot.sh, and a kernel for the machines from
Debian, unless they are there already from a test.
Exit status: 0 if packets went both ways, none was lost and, with --vm, no exits were needed;
1 if not.
EOF
}

build_dir=$top/build
demo=$top/buildtools/demo.py
demo_args=()

while [ $# -gt 0 ]; do
	case $1 in
	--vm) demo=$top/buildtools/demo_vm.py ;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	--build-dir=*) build_dir=${1#*=} ;;
	--seconds | --size) demo_args+=("$1" "${2:?$1 needs a number}"); shift ;;
	--seconds=* | --size=* | --packed) demo_args+=("$1") ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

# Wrong numbers are told of before anything is installed or built.
if command -v python3 >/dev/null; then
	"$demo" --check "${demo_args[@]}"
fi
set_up "the demo runs on ordinary pages"
if [ "$demo" != "$top/buildtools/demo.py" ]; then
	"$top/buildtools/qemu-chroot.sh"
fi
step_log=$build_dir/demo.log
: >"$step_log"
step "build" build_tree gcc "$build_dir/gcc" -Dtests=enabled
say

if [ "$demo" != "$top/buildtools/demo.py" ]; then
	export VHOST_PCI_CACHE=$build_dir/gcc/e2e-cache
	export VHOST_PCI_PLUGIN=$build_dir/gcc/drivers/net/vhost_pci/librte_net_vhost_pci.so
	export VHOST_PCI_DAEMON=$build_dir/gcc/app/vhost-pci-adapter/vhost-pci-adapter
	exec "$demo" "${demo_args[@]}"
fi

# EAL loads no plugin from a path below a folder that everyone may write to: the name
# alone is searched for where the loader looks (see buildtools/meson.build).
export LD_LIBRARY_PATH=$build_dir/gcc/drivers/net/vhost_pci${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export VHOST_PCI_PLUGIN=librte_net_vhost_pci.so
exec "$demo" "${demo_args[@]}"
