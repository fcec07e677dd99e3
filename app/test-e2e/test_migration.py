# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves from one QEMU to another while it talks through the driver's ports."""

import os
import re
import time

import pytest

from harness import guest_pair
from harness.guest_image import GuestImage
from harness.guest_pair import Application, GuestPair, Shape
from harness.process import wait_until
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage
from harness.virtio import CHECKSUM, SEGMENTATION

OFFLOADS = CHECKSUM | SEGMENTATION
#: Without offloads a file takes its time.
SHAPES = (Shape("split", without=OFFLOADS, application=Application.UNAWARE),
          Shape("packed", without=OFFLOADS, packed=True, application=Application.UNAWARE))
#: There and back again, as often as asked for.
ROUNDS = int(os.environ.get("VHOST_PCI_MIGRATIONS", "2"))
#: Seconds between two echo requests.
INTERVAL = 0.1
FILE_BYTES = 32 << 20


class Journey:
    """A guest at port 0 or port 2, and one that stays at port 1."""

    def __init__(self, stage: Stage, image: GuestImage, shape: Shape) -> None:
        self.stage, self.image, self.shape = stage, image, shape
        self.back = guest_pair.start_back(stage, shape, ("s0", "s1", "s2"))
        self.back.command("set portlist 0,1")
        self.guests = guest_pair.start_guests(stage, shape, image, ("s0", "s1"))
        self.pair = GuestPair(self.back, list(self.guests), shape)
        self.pair.forward()
        self.port = 0
        self.moves = 0

    @property
    def mover(self) -> QemuGuest:
        """The guest that moves."""
        return self.guests[0]

    @property
    def stayer(self) -> QemuGuest:
        """The guest that stays."""
        return self.guests[1]

    def move(self) -> float:
        """Move to the other port; seconds for which no packet could pass."""
        target = 2 - self.port
        self.moves += 1
        uri = f"unix:{self.stage.path(f'move{self.moves}')}"
        nic = Nic(f"s{target}", False, self.shape.queues, self.shape.properties())
        successor = QemuGuest(self.stage, f"guest0-{self.moves}", 1, self.image, nic,
                              incoming=uri)
        successor.qmp("query-status")
        stopped = self.mover.migrate(successor, uri)
        self.back.commands("stop", f"set portlist {target},1", "start")
        gap = time.monotonic() - stopped
        self.mover.process.kill()
        self.guests[0] = self.pair.guests[0] = successor
        self.port = target
        return gap

    def start_echoes(self) -> None:
        """Have the guest that stays send requests at a steady rate."""
        self.stayer.run(f"ping -i {INTERVAL} {self.mover.address} >/tmp/echoes 2>&1 &")

    def end_echoes(self) -> int:
        """Requests that were not answered."""
        self.stayer.run("killall -INT ping")
        text = wait_until(lambda: self.stayer.try_run("grep transmitted /tmp/echoes")[1], 10,
                          "what became of the echoes", 0.1)
        match = re.search(r"(\d+) packets transmitted, (\d+) packets received", text)
        assert match, text
        sent, received = map(int, match.groups())
        assert received > 0, text
        return sent - received


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_migration(stage: Stage, image: GuestImage, shape: Shape) -> None:
    """No echo is lost but in the downtime, and a file that is on its way arrives intact."""
    journey = Journey(stage, image, shape)
    checksum = journey.mover.make_file(FILE_BYTES).split()[0]
    for _ in range(ROUNDS):
        stayer, mover = journey.stayer, journey.mover
        stayer.run("rm -f /tmp/sum")
        before = stayer.traffic().rx_bytes
        stayer.run(f"wget -q -O - http://{mover.address}/file | sha256sum >/tmp/sum 2>&1 &")
        journey.start_echoes()
        wait_until(lambda: stayer.traffic().rx_bytes - before > 2 << 20, 30, "a part of the file")
        gap = journey.move()
        arrived = wait_until(lambda: stayer.run("cat /tmp/sum"), 120, "the rest of the file", 0.2)
        assert arrived.split()[0] == checksum
        journey.pair.meet()
        lost = journey.end_echoes()
        # One may be under way at either end of the gap, and the last has no time to come.
        assert lost <= gap / INTERVAL + 3, f"{lost} echoes lost, gap of {gap} seconds"
        journey.pair.ping()
