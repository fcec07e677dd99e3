# SPDX-License-Identifier: BSD-3-Clause
"""Connections that come to nothing leave nothing behind."""

import pathlib
import socket
import struct
from typing import Callable, List

import pytest

from harness import settings
from harness.process import ProcessError, wait_until
from harness.stage import Stage
from harness.testpmd import Testpmd
from harness.virtio_user import FrontEnd, Pair, start_back, start_front, transfer_both_ways

CYCLES = 1000
FEW = 1000
#: More than an allocator's whims, less than anything worth a page in each cycle.
GROWTH_BYTES = 2 << 20

_HEADER = struct.Struct("=III")
_TEN_SECONDS = struct.pack("@ll", 10, 0)
_VERSION = 1
_GET_FEATURES, _SET_OWNER = 1, 3


def connect(stage: Stage) -> socket.socket:
    """A connection to the back-end, once it has room for one."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TEN_SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TEN_SECONDS)
    connection.connect(stage.path("s"))
    return connection


def say_nothing(_connection: socket.socket) -> None:
    """Connect and leave."""


def ask_features(connection: socket.socket) -> None:
    """Begin a session as every front-end does."""
    connection.sendall(_HEADER.pack(_SET_OWNER, _VERSION, 0) +
                       _HEADER.pack(_GET_FEATURES, _VERSION, 0))
    reply = connection.recv(_HEADER.size + 8, socket.MSG_WAITALL)
    assert len(reply) == _HEADER.size + 8


def send_half(connection: socket.socket) -> None:
    """Leave in the middle of a header."""
    connection.sendall(_HEADER.pack(_GET_FEATURES, _VERSION, 0)[:5])


def send_nonsense(connection: socket.socket) -> None:
    """Send what is no message, and wait until that has been noticed."""
    connection.sendall(64 * b"\xff")
    try:
        assert connection.recv(1) == b""
    except ConnectionResetError:
        pass


def resident_bytes(process: Testpmd) -> int:
    """Memory that the process has touched."""
    fields = pathlib.Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def settle(stage: Stage, back: Testpmd) -> None:
    """Wait until the back-end serves again, which is after all that came before."""
    with connect(stage) as connection:
        ask_features(connection)
    back.wait_link(False)


@pytest.mark.parametrize("talk", (say_nothing, ask_features, send_half, send_nonsense),
                         ids=lambda talk: talk.__name__.replace("_", "-"))
def test_cycles(stage: Stage, talk: Callable[[socket.socket], None]) -> None:
    """A thousand connections cost neither descriptors nor memory, nor the port its function."""
    shape = FrontEnd()
    back = start_back(stage, shape)
    for number in range(CYCLES + 100):
        if number == 100:
            settle(stage, back)
            memory = resident_bytes(back)
        with connect(stage) as connection:
            talk(connection)
    settle(stage, back)
    grown = resident_bytes(back) - memory
    # A sanitizer keeps what was freed, and finds leaks by other means.
    if grown > GROWTH_BYTES and not settings.PRELOAD:
        raise ProcessError(f"{grown} bytes more after {CYCLES} connections")
    pair = Pair(back, start_front(stage, shape))
    back.wait_link(True)
    transfer_both_ways(pair, FEW)
    pair.front.quit()
    back.quit()


def kinds(process: Testpmd) -> List[str]:
    """The open descriptors of a process, without the numbers that differ each time."""
    return sorted(name.partition(":[")[0] for name in process.open_fds())


@pytest.mark.parametrize("packed", (False, True), ids=("split", "packed"))
def test_sessions(stage: Stage, packed: bool) -> None:
    """Front-ends that were killed in mid-traffic leave no descriptor open."""
    shape = FrontEnd(packed=packed)
    back = start_back(stage, shape)
    before = kinds(back)
    for _ in range(3):
        front = start_front(stage, shape)
        back.wait_link(True)
        transfer_both_ways(Pair(back, front), FEW)
        front.kill()
        back.wait_link(False)
    wait_until(lambda: kinds(back) == before, 10, f"descriptors as before: {before}")
    back.quit()
