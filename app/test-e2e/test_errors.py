# SPDX-License-Identifier: BSD-3-Clause
"""What a user gets wrong costs one clear line, and the application goes on."""

import pathlib
import re
import socket
from typing import Callable, List, NamedTuple

import pytest

from harness.stage import Stage
from harness.testpmd import Testpmd
from harness.virtio_user import FrontEnd, Pair, start_front, transfer_both_ways

pytestmark = pytest.mark.net_vhost_cannot("says it in other words, or not at all")

FEW = 1000


def nothing(_path: pathlib.Path) -> None:
    """The path does not exist."""


def live_socket(path: pathlib.Path) -> socket.socket:
    """Another process listens at the path."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def regular_file(path: pathlib.Path) -> None:
    """A file that somebody may still need."""
    path.write_text("precious", encoding="ascii")


class Mistake(NamedTuple):
    """Device arguments, with {path} in them, and what the one line must say."""

    name: str
    arguments: str
    says: str
    prepare: Callable[[pathlib.Path], object] = nothing


MISTAKES: List[Mistake] = [
    Mistake("unknown-argument", "iface={path},colour=1", "colour"),
    Mistake("no-iface", "queues=1", "iface"),
    Mistake("empty-iface", "iface=", "iface"),
    Mistake("iface-twice", "iface={path},iface={path}", "iface"),
    Mistake("long-iface", "iface=/tmp/" + 110 * "x", "long"),
    Mistake("no-folder", "iface={path}/no/such/folder", "No such file or directory"),
    Mistake("zero-queues", "iface={path},queues=0", "queues=0"),
    Mistake("too-many-queues", "iface={path},queues=4000", "queues=4000"),
    Mistake("no-number", "iface={path},client=maybe", "client=maybe"),
    Mistake("live-socket", "iface={path}", "in use", live_socket),
    Mistake("regular-file", "iface={path}", "{path}", regular_file),
]


def attach_errors(back: Testpmd, device: str) -> List[str]:
    """Attach a device that can't be; the lines in which the driver says why."""
    mark = back.err.mark()
    answer = back.command(f"port attach {device}")
    assert "is attached" not in answer
    return re.findall(r"^net_vhost_pci: (.*)$", back.err.since(mark), re.M)


def check_working(stage: Stage, back: Testpmd) -> None:
    """A device with good arguments carries packets."""
    port = back.attach(stage.back_end_device(0, "good"))
    back.command(f"port start {port}")
    pair = Pair(back, start_front(stage, FrontEnd(), "good"))
    back.wait_link(True, port)
    transfer_both_ways(pair, FEW)
    pair.front.quit()
    back.commands(f"port stop {port}", f"port detach {port}")


def test_arguments(stage: Stage) -> None:
    """Each mistake has its line; after all of them the application is as good as new."""
    back = stage.back_end([]).ready()
    fds = back.open_fds()
    wrong = []
    for number, mistake in enumerate(MISTAKES):
        path = stage.folder / f"m{number}"
        kept = mistake.prepare(path)
        device = f"{stage.backend.driver}9," + mistake.arguments.format(path=path)
        lines = attach_errors(back, device)
        if len(lines) != 1 or mistake.says.format(path=path) not in lines[0]:
            wrong.append((mistake.name, lines))
        if isinstance(kept, socket.socket):
            kept.close()
        if mistake.prepare is regular_file:
            assert path.read_text(encoding="ascii") == "precious"
    assert not wrong
    assert back.open_fds() == fds
    check_working(stage, back)
    back.quit()


def test_path_in_use(stage: Stage) -> None:
    """The second port on a path is refused, the first one works on."""
    back = stage.back_end([stage.back_end_device(0, "s")]).ready()
    lines = attach_errors(back, stage.back_end_device(1, "s"))
    assert len(lines) == 1 and "s" in lines[0], lines
    pair = Pair(back, start_front(stage, FrontEnd()))
    back.wait_link(True)
    transfer_both_ways(pair, FEW)
    pair.front.quit()
    back.quit()


def test_stale_socket(stage: Stage) -> None:
    """A socket file whose owner is gone is replaced."""
    live_socket(stage.folder / "s").close()
    back = stage.back_end([stage.back_end_device(0, "s")]).ready()
    pair = Pair(back, start_front(stage, FrontEnd()))
    back.wait_link(True)
    transfer_both_ways(pair, FEW)
    pair.front.quit()
    back.quit()
