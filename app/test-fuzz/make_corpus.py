#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the seeds of the fuzz targets' corpora: inputs that reach deep into what is tested.

The targets' sources tell how an input is read. What a fuzzer crashed with is kept beside them,
under a name of its own, which is left alone here.
"""

import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"

# vhost-user requests
SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_LOG_BASE = 2, 3, 5, 6
NUM, ADDR, BASE, GET_BASE, KICK, CALL = 8, 9, 10, 11, 12, 13
SET_PROTOCOL, ENABLE, ADD_MEM, REM_MEM = 16, 18, 37, 38
BURST, WRITE, RESET, CHECK = 0xF0, 0xF1, 0xF2, 0xF4
GPA, UVA, FILE_BYTES = 0x10000, 0x7F0000000000, 0x40000

# fuzz_ring.c
RING_GPA, RING_AVAIL = 0x10000, 0x1000
NEXT, WRITABLE, INDIRECT = 1, 2, 4


def message(request, payload=b"", fds=(), flags=0):
    """One message of the session's target."""
    head = struct.pack("<BBH", request, flags | len(fds) << 4, len(payload))
    return head + bytes(fds) + payload


def memory(offset, data):
    """The front-end writes to its memory."""
    return struct.pack("<BHB", WRITE, offset // 4, len(data)) + data


def split_ring(index, descs):
    """Start one vring, with chains of one descriptor each."""
    base = index * 0x8000
    table = b"".join(struct.pack("<QIHH", *desc) for desc in descs)
    avail = struct.pack("<HH", 0, len(descs)) + b"".join(
        struct.pack("<H", i) for i in range(len(descs))
    )
    addr = (UVA + base, UVA + base + 0x4000, UVA + base + 0x2000, 0)
    return b"".join(
        (
            memory(base, table),
            memory(base + 0x2000, avail),
            message(NUM, struct.pack("<II", index, 256)),
            message(BASE, struct.pack("<II", index, 0)),
            message(ADDR, struct.pack("<IIQQQQ", index, 0, *addr)),
            message(CALL, struct.pack("<Q", index), fds=(2,)),
            message(KICK, struct.pack("<Q", index), fds=(2,)),
            message(ENABLE, struct.pack("<II", index, 1)),
        )
    )


def session(features, protocol=True):
    """A front-end that does everything right, and goes."""
    region = struct.pack("<QQQQ", GPA, FILE_BYTES, UVA, 0)
    steps = [
        message(SET_OWNER),
        message(SET_PROTOCOL, struct.pack("<Q", 0x8A2B)) if protocol else b"",
        message(SET_FEATURES, struct.pack("<Q", features)),
        message(SET_MEM_TABLE, struct.pack("<II", 1, 0) + region, fds=(0,)),
        split_ring(0, [(GPA + 0x20000, 2048, WRITABLE, 0)] * 4),
        split_ring(1, [(GPA + 0x30000, 64, 0, 0)] * 4),
        bytes([BURST, CHECK]),
        message(ADD_MEM, struct.pack("<QQQQQ", 0, GPA + FILE_BYTES, 4096, 1 << 40, 0), fds=(1,)),
        message(REM_MEM, struct.pack("<QQQQQ", 0, GPA + FILE_BYTES, 4096, 1 << 40, 0), fds=(1,)),
        message(SET_LOG_BASE, struct.pack("<QQ", 4096, 0), fds=(1,)),
        message(GET_BASE, struct.pack("<II", 1, 0)),
        bytes([BURST, RESET]),
    ]
    return b"".join(steps)


def change(place, data):
    """Write to the memory of a ring's target."""
    return struct.pack("<HB", place, len(data)) + data


def split(race, options):
    """A split ring: a chain of two, one by a table, and the avail ring."""
    out = WRITABLE if options & 32 else 0
    table = struct.pack("<QIHH", RING_GPA + 0x3000, 64, NEXT | out, 1)
    table += struct.pack("<QIHH", RING_GPA + 0x3FF0, 64, out, 0)
    table += struct.pack("<QIHH", RING_GPA + 0x3800, 32, INDIRECT, 0)
    avail = struct.pack("<HHHH", 0, 2, 0, 2)
    head = struct.pack("<BBH", race, options, 0)
    inner = struct.pack("<QIHH", RING_GPA + 0x5000, 32, NEXT | out, 1)
    inner += struct.pack("<QIHH", RING_GPA + 0x5100, 100, out, 0)
    return head + change(0, table) + change(0x3800, inner) + change(RING_AVAIL, avail) + bytes(8)


def packed(race, options):
    """The same for a packed ring, all of it available on the first lap."""
    avail = 1 << 7 | (WRITABLE if options & 32 else 0)
    table = struct.pack("<QIHH", RING_GPA + 0x3000, 64, 0, NEXT | avail)
    table += struct.pack("<QIHH", RING_GPA + 0x3FF0, 64, 7, avail)
    table += struct.pack("<QIHH", RING_GPA + 0x3800, 32, 3, INDIRECT | avail & 0x80)
    inner = struct.pack("<QIHH", RING_GPA + 0x5000, 32, 0, avail & 2)
    inner += struct.pack("<QIHH", RING_GPA + 0x5100, 100, 0, avail & 2)
    return struct.pack("<BB", race, options) + change(0, table) + change(0x3800, inner) + bytes(11)


def frame(payload_bytes):
    """A frame of a message ring, with a message."""
    message_bytes = 12 + payload_bytes
    head = struct.pack("<IHHQ", message_bytes, 0, 0, 1)
    body = struct.pack("<III", 1, 1, payload_bytes) + bytes(payload_bytes)
    return head + body + bytes(-message_bytes % 8)


def msgring():
    """Messages that come in, and go out."""
    frames = frame(8) + frame(0) + frame(40)
    filled = frames.ljust((len(frames) + 3) // 4 * 4, b"\0")
    steps = struct.pack("<BHBH", 4, 0, len(frames) // 8, 8) + struct.pack("<BHBH", 8, 0, 0, 40) * 4
    return bytes([len(filled) // 4]) + filled + steps


def vfu(command, payload, message_id=1, flags=0, fd=0):
    """A piece of a vfio-user client's stream: one request."""
    head = struct.pack("<HHIII", message_id, command, 16 + len(payload), flags, 0)
    return struct.pack("<BH", fd, len(head + payload)) + head + payload


def vfu_session():
    """A client that starts, looks around, reads, writes, and resets."""
    version = struct.pack("<HH", 0, 0) + b'{"capabilities":{"max_msg_fds":8}}\0'
    return b"".join(
        (
            vfu(1, version),
            vfu(4, struct.pack("<IIII", 16, 0, 0, 0)),
            vfu(5, struct.pack("<IIIIQQ", 32, 0, 0, 0, 0, 0)),
            vfu(7, struct.pack("<IIII", 16, 0, 2, 0)),
            vfu(8, struct.pack("<IIIII", 20, 0x24, 2, 0, 1), fd=1),
            vfu(9, struct.pack("<QII", 0, 0, 4)),
            vfu(10, struct.pack("<QII", 8, 0, 4) + b"abcd"),
            vfu(2, struct.pack("<IIQQQ", 32, 3, 0, 0, 4096), fd=1),
            vfu(3, struct.pack("<IIQQ", 24, 0, 0, 4096)),
            vfu(13, b""),
        )
    )


def codec():
    """A good message of each request, as far as its size goes."""
    sizes = {1: 0, 2: 8, 5: 40, 6: 16, 8: 8, 9: 40, 10: 8, 12: 8, 18: 8, 37: 40}
    for request, size in sizes.items():
        head = struct.pack("<BBIII", request in (5, 6, 37), 0, request, 1, size)
        yield f"request-{request}", head + struct.pack("<II", 1, 0)[:size].ljust(size, b"\0")


QMP = (
    b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 10}}, "capabilities": []}}\r\n'
    b'{"return": {}, "id": "qmp_capabilities"}\r\n'
    b'{"event": "DEVICE_DELETED", "data": {"device": "x"}, "timestamp": {"seconds": 1}}\r\n'
    b'{"error": {"class": "GenericError", "desc": "no"}, "id": "tag"}\r\n'
)


def main():
    """Write all of them."""
    modern, indirect, event = 1 << 32, 1 << 28, 1 << 29
    seeds = {
        "codec": dict(codec()),
        "msgring": {"messages": msgring()},
        "packed": {f"{race}-{opt}": packed(race, opt) for race in (0, 1) for opt in (27, 59)},
        "qmp": {"session": QMP},
        "session": {
            "modern": session(modern | 1 << 30 | indirect | event),
            "legacy": session(0, protocol=False),
        },
        "split": {f"{race}-{opt}": split(race, opt) for race in (0, 1) for opt in (27, 59)},
        "vfu": {"session": vfu_session()},
    }
    for target, inputs in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
