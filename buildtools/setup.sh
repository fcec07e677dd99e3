#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause

. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage()
{
	cat <<EOF
usage: buildtools/setup.sh [--check] [--with bench] [--build-dir DIR] [--help]

Brings a Debian 12 machine to where vhost-pci builds, runs and passes its tests:
  packages        installs those that are missing
  driver headers  Debian leaves DPDK's driver headers out of libdpdk-dev: takes them
                  from the source package of the installed version, into
                  DIR/driver-headers
  hugepages       reserves up to $pages_wanted of 2 MB, at most half of the available memory,
                  and mounts them at /dev/hugepages if they are mounted nowhere

What is there already is left alone. Packages and hugepages need root.

  --check          only report what is missing
  --with bench     also what only the benchmark's chart needs: gnuplot
  --build-dir DIR  where the driver headers go (default: build in the source folder)
  --help           show this text

Exit status: 0 all is there, 1 something is missing, 3 only hugepages are missing.
EOF
}

packages=(
	# DPDK, its programs, and what its source package needs to be unpacked
	dpdk dpdk-dev libdpdk-dev dpkg-dev
	# build
	gcc libc6-dev clang meson ninja-build pkg-config python3 python3-pyelftools
	libglib2.0-dev libjson-glib-dev
	# tests
	libcmocka-dev libclang-rt-dev python3-pytest python3-pexpect
	qemu-system-x86 user-mode-linux busybox-static cpio iproute2 lz4 procps
	libunbound8 libxdp1 libcap-ng0
	# tests: a kernel is built from its source
	bc bison flex make xz-utils
	# lint
	clang-format clang-tidy cppcheck shellcheck git
	# documents
	doxygen python3-sphinx python3-sphinx-rtd-theme
)

pages_wanted=2048
pages_least=256
pages_dir=/sys/kernel/mm/hugepages/hugepages-2048kB

check=false
build_dir=$top/build
missing=()

# What not everyone needs.
add_packages()
{
	case $1 in
	bench) packages+=(gnuplot-nox) ;;
	*) die "no packages are known as $1" ;;
	esac
}

while [ $# -gt 0 ]; do
	case $1 in
	--check) check=true ;;
	--with) add_packages "${2:?--with needs a name}"; shift ;;
	--with=*) add_packages "${1#*=}" ;;
	--build-dir) build_dir=${2:?--build-dir needs a folder}; shift ;;
	--build-dir=*) build_dir=${1#*=} ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

is_root()
{
	[ "$(id -u)" -eq 0 ]
}

# report WHAT STATE: one line of the result; a non-empty third word says what is missing.
report()
{
	printf '%-15s %s\n' "$1:" "$2"
	if [ $# -gt 2 ]; then
		missing+=("$3")
	fi
}

check_system()
{
	local id='' version=''

	if [ -r /etc/os-release ]; then
		# shellcheck source=/dev/null
		id=$(. /etc/os-release && printf '%s' "${ID:-}")
		# shellcheck source=/dev/null
		version=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
	fi
	if [ "$id" != debian ] || [ "$version" != 12 ]; then
		report system "${id:-unknown} ${version}: only Debian 12 is tested, going on"
	fi
	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		die "apt-get and dpkg are needed; what this installs with them: ${packages[*]}"
	fi
}

# Prints the packages of the list that are not installed.
packages_missing()
{
	# dpkg-query fails if it does not know a package, and still lists the others
	{
		dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" || true
	} 2>/dev/null |
		awk -v wanted="${packages[*]}" '
			$1 == "installed" { have[$2] = 1 }
			END { n = split(wanted, w, " ")
			      for (i = 1; i <= n; i++) if (!(w[i] in have)) print w[i] }'
}

apt_install()
{
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		-o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@"
}

apt_update()
{
	# A third-party source that does not answer is no reason to stop: what can
	# not be installed shows in the next step.
	apt-get update -o DPkg::Lock::Timeout=600 || true
}

setup_packages()
{
	local -a absent
	mapfile -t absent < <(packages_missing)

	if [ ${#absent[@]} -eq 0 ]; then
		report packages "all ${#packages[@]} installed"
		return
	fi
	if $check; then
		report packages "missing: ${absent[*]}" packages
	elif ! is_root; then
		report packages "missing, and only root can install them:" packages
		say "    apt-get update && apt-get install --no-install-recommends ${absent[*]}"
	else
		step "package lists" apt_update
		if step "installing ${#absent[@]} packages" apt_install "${absent[@]}"; then
			report packages "installed ${absent[*]}"
		else
			report packages "could not install: ${absent[*]}" packages
		fi
	fi
}

# The file among apt's sources that the given version of a package comes from.
apt_source_file()
{
	local package=$1 version=$2 uri suite

	read -r uri suite < <(apt-cache madison "$package" |
		awk -F ' *[|] *' -v v="$version" '
			$2 == v { split($3, w, " "); sub("/.*", "", w[2])
			          print w[1], w[2]; exit }') ||
		return 1
	# madison says "URI suite/component arch Packages", as the targets do
	# shellcheck disable=SC2016 # the names are apt's, not the shell's
	apt-get indextargets --format '$(SITE) $(RELEASE) $(SOURCESENTRY)' 'Created-By: Packages' |
		awk -v uri="${uri%/}" -v suite="$suite" '
			{ sub("/$", "", $1) }
			$1 == uri && $2 == suite { sub(":[0-9]+$", "", $3); print $3; exit }' |
		grep .
}

# Gets and unpacks a source package below a folder, by a source list of its own:
# the machine's stays as it is. Keys, options and mirrors are those of the machine.
get_source()
{
	local dir=$1 package=$2 version=$3 list=$4
	local -a apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null
		-o "Dir::Etc::SourceParts=$dir/sources.d" -o "Dir::State::Lists=$dir/lists"
		-o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=$(id -un)"
		-o Debug::NoLocking=1 -o Acquire::Retries=2)

	mkdir -p "$dir/sources.d" "$dir/lists/partial" "$dir/cache/archives/partial" \
		"$dir/source" &&
		case $list in
		*.sources) sed 's/^Types:.*/Types: deb-src/' "$list" ;;
		*) sed -n 's/^deb[[:space:]]/deb-src /p' "$list" ;;
		esac >"$dir/sources.d/${list##*/}" &&
		"${apt[@]}" update &&
		cd "$dir/source" &&
		"${apt[@]}" source --download-only "$package=$version" &&
		dpkg-source --no-copy -x ./*.dsc unpacked
}

# Copies what DPDK's own build would install for drivers outside of its tree.
copy_driver_headers()
{
	local source=$1 to=$2 dir

	mkdir -p "$to" || return
	for dir in lib/eal/include lib/ethdev drivers/bus/pci drivers/bus/vdev; do
		# the file names in: driver_sdk_headers += files('a.h', 'b.h')
		sed -n '/driver_sdk_headers *+\?= *files(/,/)/p' "$source/$dir/meson.build" |
			grep -o "[^']*\.h" | while read -r name; do
				cp "$source/$dir/$name" "$to/" || return
			done || return
	done
}

compile_driver_headers()
{
	# shellcheck disable=SC2046 # compiler flags are words
	printf '#include <%s>\n' ethdev_driver.h ethdev_pci.h ethdev_vdev.h \
		bus_pci_driver.h bus_vdev_driver.h |
		cc -DALLOW_INTERNAL_API -DALLOW_EXPERIMENTAL_API $(pkg-config --cflags libdpdk) \
			"$@" -x c -fsyntax-only -
}

# Makes the folder of driver headers; it appears complete or not at all.
make_driver_headers()
{
	local package=$1 version=$2 headers=$3 list tmp=$3.tmp

	if ! list=$(apt_source_file libdpdk-dev "$version") && is_root; then
		# the lists may have been removed after the packages were installed
		apt_update
		list=$(apt_source_file libdpdk-dev "$version") || true
	fi
	if [ -z "$list" ]; then
		echo "apt has no source of libdpdk-dev $version: run apt-get update, or else"
		echo "install one of the versions which 'apt-cache madison libdpdk-dev' shows"
		return 1
	fi
	rm -rf "$tmp" && mkdir -p "$tmp" || return
	( get_source "$tmp" "$package" "$version" "$list" ) &&
		copy_driver_headers "$tmp/source/unpacked" "$tmp/new" &&
		compile_driver_headers -isystem "$tmp/new" &&
		pkg-config --modversion libdpdk >"$tmp/new/VERSION" &&
		echo "$package $version" >"$tmp/new/SOURCE" &&
		rm -rf "$headers" &&
		mv "$tmp/new" "$headers" &&
		rm -rf "$tmp"
}

setup_driver_headers()
{
	local headers=$build_dir/driver-headers source package version

	if ! pkg-config --exists libdpdk 2>/dev/null; then
		report "driver headers" "missing: DPDK comes first, they have its version" headers
		return
	fi
	if compile_driver_headers 2>/dev/null; then
		report "driver headers" "those of the installed DPDK"
		return
	fi
	if ! source=$(dpkg-query -W -f='${source:Package} ${source:Version}' libdpdk-dev \
		2>/dev/null); then
		report "driver headers" "missing: this DPDK has none and is not Debian's" headers
		return
	fi
	if [ -e "$headers/SOURCE" ] && [ "$(<"$headers/SOURCE")" = "$source" ]; then
		report "driver headers" "$source"
		return
	fi
	if $check; then
		report "driver headers" "missing: those of $source" headers
		return
	fi
	read -r package version <<<"$source"
	if step "driver headers of DPDK $version" \
		make_driver_headers "$package" "$version" "$headers"; then
		report "driver headers" "$source, now in $headers"
	else
		report "driver headers" "missing: could not get those of $source" headers
	fi
}

# How many pages this machine should have: half of what is free or reserved already.
pages_for_machine()
{
	local have=$1 available_kb

	available_kb=$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)
	set -- $(((available_kb / 2048 + have) / 2))
	echo $(($1 < pages_wanted ? $1 : pages_wanted))
}

setup_pages()
{
	local have want

	if ! have=$(cat "$pages_dir/nr_hugepages" 2>/dev/null); then
		report hugepages "missing: this kernel has none of 2 MB" hugepages
		return
	fi
	want=$(pages_for_machine "$have")
	[ "$want" -ge $pages_least ] || want=$pages_least
	# What is available varies: a few pages less are enough.
	if [ "$have" -ge $((want * 7 / 8)) ] || { $check && [ "$have" -ge $pages_least ]; }; then
		report hugepages "$have of 2 MB reserved"
		return
	fi
	if $check; then
		report hugepages "missing: $have of 2 MB reserved, $want wanted" hugepages
	elif ! is_root || ! { echo "$want" >"$pages_dir/nr_hugepages"; } 2>/dev/null; then
		report hugepages "missing: root can reserve them, outside of a container:" hugepages
		say "    echo $want > $pages_dir/nr_hugepages"
	else
		want=$(cat "$pages_dir/nr_hugepages")
		if [ "$want" -ge $pages_least ]; then
			report hugepages "$want of 2 MB reserved now, $have before"
		else
			report hugepages "missing: only $want of 2 MB could be reserved" hugepages
		fi
	fi
}

setup_hugetlbfs()
{
	local mounted

	mounted=$(awk '$3 == "hugetlbfs" && $4 !~ /pagesize=(1024M|1G)/ { print $2; exit }' \
		/proc/mounts)
	if [ -n "$mounted" ]; then
		report hugetlbfs "mounted at $mounted"
	elif $check; then
		report hugetlbfs "missing: mounted nowhere" hugepages
	elif ! is_root || ! mkdir -p /dev/hugepages ||
		! mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages 2>/dev/null; then
		report hugetlbfs "missing: root can mount it, outside of a container:" hugepages
		say "    mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages"
	else
		report hugetlbfs "mounted at /dev/hugepages now"
	fi
}

# One set-up at a time on a machine: they share apt and the hugepages.
lock_setup()
{
	local lock=$build_dir/setup.lock

	is_root && lock=/run/lock/vhost-pci-setup.lock
	exec 9>"$lock"
	if ! flock -n 9; then
		say "waiting for another set-up to end"
		flock 9
	fi
}

main()
{
	check_system
	if ! $check; then
		mkdir -p "$build_dir"
		build_dir=$(cd "$build_dir" && pwd -P)
		lock_setup
		step_log=$build_dir/setup.log
		: >"$step_log"
	fi
	setup_packages
	setup_driver_headers
	setup_pages
	setup_hugetlbfs

	case ${missing[*]} in
	'') exit 0 ;;
	*packages* | *headers*) exit 1 ;;
	*) exit 3 ;;
	esac
}

main
