#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOT
usage: buildtools/dpdk-example.sh NAME OUTPUT

Builds one of DPDK's example programs that are a single file, such as l2fwd, out of the
source package that belongs to the installed DPDK, from the mirror that the machine's apt
uses. It takes half a minute, most of it for lists of source packages.
EOT
}

case ${1-} in
-h | --help) usage; exit 0 ;;
esac
[ $# -eq 2 ] || { usage >&2; exit 2; }
name=$1
mkdir -p "$(dirname "$2")"
output=$(cd "$(dirname "$2")" && pwd -P)/${2##*/}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
cd "$tmp"

source_package=$(dpkg-query -W -f '${source:Package}=${source:Version}' dpdk-dev)
suites=$(debian_suites) || die "apt knows no mirror of Debian"
apt_aside "$tmp/apt" deb-src "$suites"
"${apt[@]}" update
"${apt[@]}" source --download-only --tar-only "$source_package"
tar --extract --file dpdk_*.orig.tar.* --wildcards --strip-components=3 "*/examples/$name/*"
read -ra cflags <<<"$(pkg-config --cflags libdpdk)"
read -ra libs <<<"$(pkg-config --libs libdpdk)"
gcc -O2 -DALLOW_EXPERIMENTAL_API "${cflags[@]}" main.c -o "$output.new" \
	-Wl,--as-needed "${libs[@]}"
mv "$output.new" "$output"
