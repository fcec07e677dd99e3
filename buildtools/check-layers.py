#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check that no layer of the sources reaches into one it must not know.

Sources are checked by what they include, libraries and programs by the symbols
they want from elsewhere.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

DPDK = re.compile(r"^(rte_\w+|ethdev_\w+|bus_\w*driver|dev_driver|bus_driver|eal_\w+)\.h$")
DPDK_DRIVER = re.compile(r"^(ethdev_\w+|bus_\w*driver|dev_driver|rte_\w+_(driver|pmd))\.h$")
PCI_BUS = re.compile(r"^(bus_pci_driver|ethdev_pci|rte_bus_pci)\.h$")
VDEV_BUS = re.compile(r"^(bus_vdev_driver|ethdev_vdev|rte_bus_vdev)\.h$")
SOCKETS = re.compile(r"^(sys/(socket|un)|netinet/\w+|arpa/inet)\.h$")

ENGINE = "drivers/common/vhost_pci"
DRIVER = "drivers/net/vhost_pci"


class Layer:
    """A folder, the folders whose headers it may use, and what it may not include."""

    def __init__(self, folder, uses=(), never=(), only_in=()):
        self.folder = folder
        self.headers = (folder, *uses)
        self.never = never
        self.only_in = only_in


LAYERS = (
    Layer(
        ENGINE,
        never=[(DPDK, "the engine is free of DPDK")],
        only_in=[(SOCKETS, "vhost_pci_transport_unix.c", "sockets")],
    ),
    Layer(
        DRIVER,
        uses=[ENGINE],
        never=[(SOCKETS, "the driver leaves sockets to the engine's transport")],
        only_in=[
            (PCI_BUS, "vhost_pci_pci.c", "the PCI bus"),
            (VDEV_BUS, "vhost_pci_vdev.c", "the vdev bus"),
        ],
    ),
    Layer(
        "app/vhost-pci-adapter",
        uses=[ENGINE],
        never=[(DPDK, "the daemon is free of DPDK")],
    ),
    Layer(
        "app/test-frontend",
        # its own tests run in the harness of the others
        uses=["app/test"],
        never=[(DPDK, "the front-end serves tests without DPDK too")],
    ),
    Layer(
        "examples",
        never=[(DPDK_DRIVER, "an example uses public DPDK headers only")],
    ),
)


def includes(path):
    """The (line number, is in quotes, name) of each include of a file."""
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1] == '"', match[2]


def check_include(root, layer, path, quoted, name):
    """What is wrong with one include, or None."""
    base = name.rsplit("/", 1)[-1]
    for pattern, why in layer.never:
        if pattern.match(name) or pattern.match(base):
            return f"{name}: {why}"
    for pattern, home, what in layer.only_in:
        if pattern.match(name) and path.name != home:
            return f"{name}: {what} belongs in {home} alone"
    if ".." in Path(name).parts:
        return f"{name}: name the header, the build knows its folder"
    if not quoted:
        return None
    places = [path.parent, *(root / folder for folder in layer.headers)]
    if not any((place / name).is_file() for place in places):
        return f"{name}: not a header of {', '.join(layer.headers)}"
    return None


def check_sources(root):
    """Every forbidden include below a source folder."""
    for layer in LAYERS:
        for path in sorted((root / layer.folder).rglob("*.[ch]")):
            for number, quoted, name in includes(path):
                wrong = check_include(root, layer, path, quoted, name)
                if wrong:
                    yield f"{path.relative_to(root)}:{number}: {wrong}"


def check_symbols(binary):
    """Every DPDK symbol that a library or program wants."""
    listing = subprocess.run(
        ["nm", "--undefined-only", "--format=posix", binary],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ).stdout
    for line in listing.splitlines():
        symbol = line.split(" ", 1)[0]
        if symbol.lstrip("_").startswith("rte_"):
            yield f"{binary}: wants {symbol}: it must be free of DPDK"


def main():
    """Check, list what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parent.parent,
        help="the source folder",
    )
    parser.add_argument(
        "--no-dpdk",
        type=Path,
        nargs="*",
        default=[],
        metavar="BINARY",
        help="libraries and programs that must not want a symbol of DPDK",
    )
    args = parser.parse_args()

    if not (args.root / ENGINE).is_dir():
        sys.exit(f"{args.root}: no {ENGINE} in it")
    wrong = list(check_sources(args.root))
    for binary in args.no_dpdk:
        wrong += check_symbols(binary)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
