# SPDX-License-Identifier: BSD-3-Clause
"""Two guests whose packets go through one back-end process with a port for each."""

from __future__ import annotations

import dataclasses
import enum
from typing import Dict, List, Sequence, Tuple

from .backend import Offloads
from .guest import Guest
from .guest_image import GuestImage
from .process import wait_until
from .qemu import Nic, QemuGuest
from .stage import Stage, pair_args
from .testpmd import PortStats, Testpmd
from .virtio import CHECKSUM, SEGMENTATION, Feature

#: Device properties that switch a feature off.
_PROPERTIES: Dict[Feature, Sequence[str]] = {
    Feature.CSUM: ("csum",),
    Feature.GUEST_CSUM: ("guest_csum",),
    Feature.HOST_TSO4: ("host_tso4", "host_ecn", "host_ufo"),
    Feature.HOST_TSO6: ("host_tso6",),
    Feature.GUEST_TSO4: ("guest_tso4", "guest_ecn", "guest_ufo"),
    Feature.GUEST_TSO6: ("guest_tso6",),
    Feature.MRG_RXBUF: ("mrg_rxbuf",),
    Feature.INDIRECT_DESC: ("indirect_desc",),
    Feature.EVENT_IDX: ("event_idx",),
}


class Application(enum.Enum):
    """What stands between the guests."""

    #: Looks at each packet, and asks for checksums and segmentation.
    CSUM = "csum"
    #: Passes packets on with the flags they came with.
    IO = "io"
    #: Passes packets on, and has never heard of offloads.
    UNAWARE = "unaware"


@dataclasses.dataclass(frozen=True)
class Shape:
    """How the guests' devices are configured."""

    name: str
    without: Feature = Feature(0)
    packed: bool = False
    legacy: bool = False
    queues: int = 1
    #: How the application between the guests treats offloads.
    application: Application = Application.CSUM
    #: Further switches of the back-end's devices.
    switches: Tuple[str, ...] = ()

    @property
    def checksums(self) -> bool:
        """Whether checksums are left to the device."""
        return not self.without & CHECKSUM

    @property
    def segmentation(self) -> bool:
        """Whether TCP segmentation is left to the device."""
        return not self.without & SEGMENTATION

    def properties(self) -> Dict[str, str]:
        """Properties of QEMU's device."""
        values = {name: "off" for feature, names in _PROPERTIES.items()
                  if feature & self.without for name in names}
        if self.packed:
            values["packed"] = "on"
        if self.legacy:
            values["disable-modern"] = "on"
            values["disable-legacy"] = "off"
        return values

    def wanted(self) -> Feature:
        """Features that a guest must have agreed on."""
        wanted = (CHECKSUM | SEGMENTATION | Feature.MRG_RXBUF | Feature.INDIRECT_DESC |
                  Feature.EVENT_IDX)
        wanted &= ~self.without
        if not self.legacy:
            wanted |= Feature.VERSION_1
        if self.packed:
            wanted |= Feature.RING_PACKED
        if self.queues > 1:
            wanted |= Feature.MQ
        return wanted

    def unwanted(self) -> Feature:
        """Features that a guest must not have."""
        unwanted = self.without
        if not self.packed:
            unwanted |= Feature.RING_PACKED
        if self.legacy:
            unwanted |= Feature.VERSION_1
        return unwanted


@dataclasses.dataclass
class GuestPair:
    """The guests, and the process between them."""

    back: Testpmd
    guests: List[Guest]
    shape: Shape

    def forward(self) -> None:
        """Let packets through, and wait until the guests see each other."""
        self.back.command("start")
        for port, guest in enumerate(self.guests):
            guest.configure(f"10.0.0.{port + 1}")
        for port in range(2):
            self.wait_link(port, True)
        self.meet()

    def meet(self) -> None:
        """Wait until each guest gets answers from the other."""
        one, other = self.guests
        one.wait_reaches(other)
        other.wait_reaches(one)

    def ping(self) -> None:
        """Echoes of several sizes, from both sides."""
        ping(*self.guests)

    def port_stats(self) -> List[PortStats]:
        """The counters of both ports."""
        return [self.back.stats(port) for port in range(2)]

    def wait_link(self, port: int, up: bool) -> None:
        """Wait until a port and its guest agree on the link."""
        self.back.wait_link(up, port)
        guest = self.guests[port]
        wait_until(lambda: guest.carrier() == up, 20, f"carrier of guest {port}", 0.1)


def ping(one: Guest, other: Guest) -> None:
    """Echoes of several sizes, up to several fragments, from both sides."""
    for size in (56, 1472, 9000):
        one.ping(other, size=size)
        other.ping(one, size=size)


def offloads(stage: Stage, shape: Shape) -> Offloads:
    """What the back-end process needs for guests of this shape."""
    if not shape.checksums or shape.application == Application.UNAWARE:
        return Offloads()
    if shape.application == Application.IO:
        return stage.backend.io_offloads()
    return stage.backend.csum_offloads(2)


def device(stage: Stage, shape: Shape, port: int, socket: str, client: bool = False) -> str:
    """Name and arguments of a port's device."""
    return stage.back_end_device(port, socket, client=client, queues=shape.queues,
                                 switches=(*offloads(stage, shape).switches, *shape.switches))


def set_up_offloads(stage: Stage, shape: Shape, back: Testpmd) -> None:
    """Prepare the ports for guests of this shape."""
    commands = offloads(stage, shape).commands
    if commands:
        back.commands("port stop all", *commands, "port start all")


def start_back(stage: Stage, shape: Shape, sockets: Sequence[str] = ("s0", "s1"), *,
               client: bool = False) -> Testpmd:
    """Start the process with two ports; it does not forward yet."""
    devices = [device(stage, shape, port, socket, client) for port, socket in enumerate(sockets)]
    args = [*offloads(stage, shape).arguments, *pair_args(shape.queues)]
    back = stage.back_end(devices, app_args=args).ready()
    set_up_offloads(stage, shape, back)
    return back


def start_guests(stage: Stage, shape: Shape, image: GuestImage,
                 sockets: Sequence[str] = ("s0", "s1"), *,
                 server: bool = False) -> List[QemuGuest]:
    """Boot both guests at once."""
    guests = [QemuGuest(stage, f"guest{port}", port + 1, image,
                        Nic(socket, server, shape.queues, shape.properties()),
                        cpus=shape.queues)
              for port, socket in enumerate(sockets)]
    for guest in guests:
        guest.wait_boot()
    return guests
