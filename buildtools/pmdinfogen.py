#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the C source of the strings that dpdk-pmdinfo.py looks for in a driver.

A driver's objects name each driver they register in a string whose symbol
starts with "this_pmd_name"; further symbols, named after the driver, hold its
parameters, the kernel modules it wants and the name of its PCI id table. The
output has one "PMD_INFO_STRING= {json}" per driver.
"""

import argparse
import json
import struct
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

# struct rte_pci_id: class, vendor, device, subsystem vendor, subsystem device
PCI_ID = "IHHHH"


class Object:
    """The symbols of one relocatable object, and the bytes they stand for."""

    def __init__(self, stream):
        self.elf = ELFFile(stream)
        table = self.elf.get_section_by_name(".symtab")
        if table is None:
            raise ValueError("no symbol table")
        self.symbols = {s.name: s for s in table.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}

    def data(self, name):
        """The bytes of a symbol, or None if the object does not define it."""
        symbol = self.symbols.get(name)
        if symbol is None:
            return None
        section = self.elf.get_section(symbol["st_shndx"])
        start = symbol["st_value"]
        return section.data()[start : start + symbol["st_size"]]

    def text(self, name):
        """The C string of a symbol, or None."""
        data = self.data(name)
        return None if data is None else data.split(b"\0", 1)[0].decode("ascii")

    def pci_ids(self, name):
        """The entries of a struct rte_pci_id array up to the one of all zeroes."""
        data = self.data(name)
        if data is None:
            raise ValueError(f"PCI id table {name} is not in the object that registers it")
        entry = struct.Struct(("<" if self.elf.little_endian else ">") + PCI_ID)
        ids = []
        for offset in range(0, len(data) - entry.size + 1, entry.size):
            _, *fields = entry.unpack_from(data, offset)
            if not any(fields):
                break
            ids.append(fields)
        return ids

    def drivers(self):
        """What is known of each driver, as dpdk-pmdinfo.py names it."""
        for symbol in sorted(n for n in self.symbols if n.startswith("this_pmd_name")):
            name = self.text(symbol)
            info = {"name": name}
            for key, suffix in ("params", "param_string"), ("kmod", "kmod_dep"):
                value = self.text(f"__{name}_{suffix}_export")
                if value:
                    info[key] = value
            table = self.text(f"__{name}_pci_tbl_export")
            info["pci_ids"] = self.pci_ids(table) if table else []
            yield info


def c_source(drivers):
    """C source with one string per driver, which no linker may drop."""
    lines = []
    for info in drivers:
        text = json.dumps(f"PMD_INFO_STRING= {json.dumps(info)}")
        lines.append(
            f"static const char {info['name']}_pmd_info[] __attribute__((used)) =\n\t{text};\n"
        )
    return "".join(lines)


def main():
    """Read the objects, write the source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="C file to write")
    parser.add_argument("objects", type=Path, nargs="+", help="the driver's objects")
    args = parser.parse_args()

    drivers = []
    for path in args.objects:
        with path.open("rb") as stream:
            try:
                drivers += Object(stream).drivers()
            except ValueError as error:
                sys.exit(f"{path}: {error}")
    if not drivers:
        sys.exit("no driver in " + " ".join(map(str, args.objects)))
    args.output.write_text(c_source(drivers), encoding="ascii")


if __name__ == "__main__":
    main()
