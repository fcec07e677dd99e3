# SPDX-License-Identifier: BSD-3-Clause
"""Packets in capture files: what goes in must come out."""

from __future__ import annotations

import pathlib
import random
import struct
from typing import List

_MAGIC = 0xA1B2C3D4
_FILE_HEADER = struct.Struct("=IHHiIII")
_PACKET_HEADER = struct.Struct("=IIII")
_ETHERNET = 1
#: Ethertype for local experiments: no stack makes anything of it.
_ETHERTYPE = b"\x88\xb5"

HEADER_LENGTH = 14


def random_packets(count: int, shortest: int, longest: int, seed: int) -> List[bytes]:
    """Ethernet frames of random lengths, both extremes among them, and random content."""
    source = random.Random(seed)
    lengths = [shortest, longest]
    lengths += [source.randint(shortest, longest) for _ in range(count - 2)]
    source.shuffle(lengths)
    addresses = bytes.fromhex("020000000001020000000002")
    return [addresses + _ETHERTYPE + source.randbytes(length - HEADER_LENGTH)
            for length in lengths]


def write_capture(path: pathlib.Path, packets: List[bytes]) -> None:
    """Write a capture file."""
    with open(path, "wb") as file:
        file.write(_FILE_HEADER.pack(_MAGIC, 2, 4, 0, 0, 65535, _ETHERNET))
        for number, packet in enumerate(packets):
            file.write(_PACKET_HEADER.pack(0, number, len(packet), len(packet)))
            file.write(packet)


def read_capture(path: pathlib.Path) -> List[bytes]:
    """The packets of a capture file."""
    data = path.read_bytes()
    if len(data) < _FILE_HEADER.size:
        return []
    packets = []
    place = _FILE_HEADER.size
    while place < len(data):
        _, _, length, _ = _PACKET_HEADER.unpack_from(data, place)
        place += _PACKET_HEADER.size
        packets.append(data[place:place + length])
        place += length
    return packets


def difference(sent: List[bytes], received: List[bytes]) -> str:
    """Where two lists of packets part, or nothing if they are the same."""
    for number, (ours, theirs) in enumerate(zip(sent, received)):
        if ours == theirs:
            continue
        if len(ours) != len(theirs):
            return f"packet {number} has {len(theirs)} instead of {len(ours)} bytes"
        place = next(i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b)
        return f"packet {number} of {len(ours)} bytes differs from byte {place} on"
    if len(sent) != len(received):
        return f"{len(received)} instead of {len(sent)} packets"
    return ""
