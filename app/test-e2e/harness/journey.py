# SPDX-License-Identifier: BSD-3-Clause
"""A guest that moves from one QEMU to another while it talks to one that stays."""

from __future__ import annotations

import re
import time
from typing import Sequence, Tuple, Union

from . import guest_pair
from .adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from .guest import DIGEST
from .guest_image import GuestImage
from .guest_pair import Shape
from .process import wait_until
from .qemu import Nic, QemuGuest
from .stage import Stage
from .testpmd import Testpmd

#: Seconds between two echo requests.
INTERVAL = 0.1


class VdevPath:
    """Ports of a testpmd: the guest that moves takes turns with two of them."""

    #: Sockets of the guest that moves, before its first move, and of the one that stays.
    sockets = ("s0", "s1")

    def __init__(self, stage: Stage, shape: Shape) -> None:
        self._port = 0
        self.back: Testpmd = guest_pair.start_back(stage, shape, ("s0", "s1", "s2"))
        self.back.command("set portlist 0,1")

    def wait_placed(self, guests: int) -> None:
        """Wait until so many guests have their places: they chose them by their sockets."""

    def start(self, guests: Sequence[QemuGuest]) -> None:
        """Let packets through between the guests, which have no address yet."""
        self.back.command("start")
        configure(guests)
        wait_links(self.back)

    def successor_socket(self) -> str:
        """Where the next QEMU of the guest that moves connects."""
        return f"s{2 - self._port}"

    def turn(self) -> None:
        """Let packets through to the successor, which runs."""
        self._port = 2 - self._port
        self.back.commands("stop", f"set portlist {self._port},1", "start")

    def forget(self) -> None:
        """Wait until nothing is left of the predecessor, which has ended: a port stays."""


class AdapterPath:
    """Adapters of an appliance: each QEMU of the guest that moves has a new one."""

    sockets = ("s", "s")

    def __init__(self, stage: Stage, appliance_image: GuestImage) -> None:
        self.appliance = Appliance(stage, appliance_image, Machine(ports=3), has_booted=True)
        self.daemon = Daemon(stage, f"--qmp={self.appliance.qmp_path}", "--bus=rp0,rp1,rp2",
                             "--linger=0").ready()
        self.back: ApplianceTestpmd
        self._known: Sequence[str] = ()

    def wait_placed(self, guests: int) -> None:
        """Who comes first has the first adapter: when its driver is up and QEMU sends the memory.
        """
        self.daemon.wait_state("ready", guests - 1, 60)

    def start(self, guests: Sequence[QemuGuest]) -> None:
        """Let packets through between the guests, which have no address yet."""
        configure(guests)
        self.appliance.wait_boot(120)
        self.appliance.prepare()
        self._known = self.appliance.wait_adapters(2)
        self.back = self.appliance.testpmd(allow=self._known).ready()
        wait_links(self.back)
        self.back.command("start")

    def successor_socket(self) -> str:
        """All are front-ends of one endpoint."""
        return self.sockets[0]

    def turn(self) -> None:
        """Let packets through to the successor's adapter, which has been plugged."""
        address, = set(self.appliance.wait_adapters(3)) - set(self._known)
        self.back.command("stop")
        port = self.back.attach(address)
        self.back.wait_link(True, port)
        self.back.commands(f"set portlist {port},1", "start")

    def forget(self) -> None:
        """The predecessor's adapter is unplugged, and its port goes."""
        self._known = self.appliance.wait_adapters(2)
        wait_until(lambda: len(self.back.ports()) == 2, 30, "the end of the old port", 0.2)


Path = Union[VdevPath, AdapterPath]


def configure(guests: Sequence[QemuGuest]) -> None:
    """Give each guest its address."""
    for number, guest in enumerate(guests):
        guest.configure(f"10.0.0.{number + 1}")


def wait_links(back: Union[Testpmd, ApplianceTestpmd]) -> None:
    """Wait until the ports of both guests have a link."""
    for port in range(2):
        back.wait_link(True, port)


class Journey:
    """The guests, in touch, and the way between them."""

    def __init__(self, stage: Stage, image: GuestImage, shape: Shape, path: Path) -> None:
        self._stage, self._image, self._shape, self._path = stage, image, shape, path
        self._moves = 0
        guests = []
        for number, socket in enumerate(path.sockets):
            guests.append(self._start_guest(f"guest{number}", number + 1, socket))
            guests[-1].go_on()
            path.wait_placed(number + 1)
        for guest in guests:
            guest.wait_boot(120)
        self.mover, self.stayer = guests
        path.start(guests)
        self.meet()

    def _start_guest(self, name: str, number: int, socket: str, incoming: str = "") -> QemuGuest:
        nic = Nic(socket, False, self._shape.queues, self._shape.properties())
        # Both machines of a migration have the device from the beginning.
        return QemuGuest(self._stage, name, number, self._image, nic, self._shape.queues,
                         incoming=incoming, cold=number == 1)

    def meet(self) -> None:
        """Wait until each guest gets answers from the other."""
        self.mover.wait_reaches(self.stayer)
        self.stayer.wait_reaches(self.mover)

    def ping(self) -> None:
        """Echoes of several sizes, up to several fragments, from both sides."""
        guest_pair.ping(self.mover, self.stayer)

    def move(self) -> float:
        """Move; seconds for which no packet could pass."""
        successor, uri = self._start_successor()
        stopped = self.mover.migrate(successor, uri)
        self._path.turn()
        gap = time.monotonic() - stopped
        self._leave(successor)
        return gap

    def move_before_memory(self) -> float:
        """As move(), but the guests are in touch again before all memory has followed.

        Until then the guest may be too slow for some packets: that counts as part of the gap.
        """
        successor, uri = self._start_successor()
        stopped = self.mover.migrate_postcopy(successor, uri)
        self._path.turn()
        # Programs of the guest, too, come page by page.
        wait_until(lambda: successor.try_run(f"ping -c 1 -W 10 {self.stayer.address}", 120)[0] == 0,
                   120, "an answer while memory follows", 0.1)
        assert self.mover.migration_status() == "postcopy-active"
        self.mover.speed_up()
        assert self.mover.wait_migration("completed")["ram"]["postcopy-requests"] > 0
        gap = time.monotonic() - stopped
        self._leave(successor)
        return gap

    def _start_successor(self) -> Tuple[QemuGuest, str]:
        """A QEMU that waits for the guest, and where."""
        self._moves += 1
        uri = f"unix:{self._stage.path(f'move{self._moves}')}"
        successor = self._start_guest(f"guest0-{self._moves}", 1, self._path.successor_socket(),
                                      incoming=uri)
        successor.qmp("query-status")
        return successor, uri

    def _leave(self, successor: QemuGuest) -> None:
        """The guest that moves is all with its successor."""
        self.mover.process.kill()
        self.mover = successor
        self._path.forget()

    def start_download(self) -> None:
        """Have the guest that stays get the file of the one that moves, and wait for a part."""
        before = self.stayer.traffic().rx_bytes
        self.stayer.run("rm -f /tmp/sum")
        self.stayer.run(f"wget -q -O - http://{self.mover.address}/file | "
                        f"{DIGEST} >/tmp/sum 2>&1 &")
        wait_until(lambda: self.stayer.traffic().rx_bytes - before > 2 << 20, 30,
                   "a part of the file")

    def end_download(self) -> str:
        """Wait for the whole file; its checksum."""
        text = wait_until(lambda: self.stayer.run("cat /tmp/sum"), 120, "the rest of the file", 0.2)
        return text.split()[0]

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
