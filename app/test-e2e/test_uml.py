# SPDX-License-Identifier: BSD-3-Clause
"""User Mode Linux, whose virtio_uml driver is a front-end that has nothing to do with QEMU."""

import re
from typing import Callable, List

import pytest

from harness import guest_pair, uml
from harness.guest import Guest
from harness.guest_image import GuestImage
from harness.guest_pair import Application, GuestPair, Shape
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage
from harness.uml import TimeTraveller, UmlGuest
from harness.virtio import CHECKSUM, SEGMENTATION, Feature

pytestmark = [
    pytest.mark.net_vhost_cannot("offers a control queue and serves none, for which Linux waits"),
    pytest.mark.skipif(bool(uml.program_missing()), reason=uml.program_missing()),
]

# virtio_uml of Linux 6.1 starts a packed virtqueue with wrap counters of 0.
SPLIT = ("packed=0",)
UNAWARE = Shape("unaware", application=Application.UNAWARE, switches=SPLIT)
TSO = Shape("tso", switches=SPLIT)
# Kicks and calls by the descriptors that UML sends (a call's is a pipe), and the configuration
# space, with the state of the link, from the port.
DESCRIPTORS = Shape("descriptors", application=Application.UNAWARE,
                    switches=SPLIT + ("inband=0", "config=1"))
SHAPES = pytest.mark.parametrize("shape", (UNAWARE, TSO), ids=lambda shape: shape.name)
SOCKETS = ("s0", "s1")

#: What the driver logs of a kick that the application was too slow for.
GAVE_UP = "a kick is answered before its virtqueue was processed"

Starter = Callable[[Stage, GuestImage, int], Guest]


def start_uml(stage: Stage, image: GuestImage, number: int) -> Guest:
    """A guest in User Mode Linux."""
    return UmlGuest(stage, f"uml{number}", image, SOCKETS[number])


def start_qemu(stage: Stage, image: GuestImage, number: int) -> Guest:
    """A guest in QEMU."""
    return QemuGuest(stage, f"guest{number}", number + 1, image, Nic(SOCKETS[number]))


def start_pair(stage: Stage, image: GuestImage, shape: Shape, *starters: Starter) -> GuestPair:
    """A back-end process, and a guest at each of its ports."""
    back = guest_pair.start_back(stage, shape, SOCKETS)
    guests: List[Guest] = [start(stage, image, number) for number, start in enumerate(starters)]
    for guest in guests:
        guest.wait_boot()
    pair = GuestPair(back, guests, shape)
    pair.forward()
    return pair


def check(pair: GuestPair) -> None:
    """Echoes, and a file there and back."""
    pair.ping()
    one, other = pair.guests
    errors = [guest.checksum_errors() for guest in pair.guests]
    checksum = one.make_file()
    assert other.fetch_file(one) == checksum
    assert one.fetch_file(other) == checksum
    assert [guest.checksum_errors() for guest in pair.guests] == errors


@pytest.mark.parametrize("shape", (UNAWARE, TSO, DESCRIPTORS), ids=lambda shape: shape.name)
def test_two_guests(stage: Stage, image: GuestImage, shape: Shape) -> None:
    """Two User Mode Linux guests talk to each other."""
    pair = start_pair(stage, image, shape, start_uml, start_uml)
    for guest in pair.guests:
        wanted = CHECKSUM | Feature.MRG_RXBUF | Feature.VERSION_1
        if shape is TSO:
            wanted |= SEGMENTATION
        assert Feature(guest.features() & sum(Feature)) & wanted == wanted
    check(pair)


@SHAPES
def test_other_kind(stage: Stage, image: GuestImage, shape: Shape) -> None:
    """A User Mode Linux guest and one in QEMU talk to each other."""
    check(start_pair(stage, image, shape, start_uml, start_qemu))


def test_killed(stage: Stage, image: GuestImage) -> None:
    """A guest that dies in mid-talk takes its link down; the next one is welcome."""
    pair = start_pair(stage, image, UNAWARE, start_uml, start_uml)
    for _ in range(3):
        pair.guests[1].chatter(pair.guests[0])
        mark = pair.back.out.mark()
        pair.guests[0].process.kill()
        pair.back.wait_link_event(mark)
        pair.back.wait_link(False)
        pair.guests[0] = start_uml(stage, image, 0)
        pair.guests[0].wait_boot()
        pair.guests[0].configure("10.0.0.1")
        pair.back.wait_link(True)
        pair.meet()
        pair.guests[1].hush()
        pair.ping()


def test_back_end_dies(stage: Stage, image: GuestImage) -> None:
    """A guest outlives its back-end: its programs run on, without a network."""
    pair = start_pair(stage, image, UNAWARE, start_uml, start_uml)
    pair.back.kill()
    one, other = pair.guests
    assert not one.reaches(other)
    for guest in pair.guests:
        assert guest.run("echo alive") == "alive"


@pytest.mark.skipif(bool(uml.time_travel_missing()), reason=uml.time_travel_missing())
def test_time_travel(stage: Stage, image: GuestImage) -> None:
    """A guest's clock stands still until its kick is answered, and by then the echo has come.

    Else the guest finds nothing to do, lets its clock jump on, and sees the echo late.
    """
    back = stage.back_end([stage.back_end_device(0, SOCKETS[0], switches=SPLIT)],
                          eal_args=("--log-level=pmd.net.vhost_pci:debug",),
                          app_args=("--forward-mode=icmpecho",)).ready()
    back.command("start")
    guest = TimeTraveller(stage, "uml0", image, SOCKETS[0])
    guest.wait_boot()
    guest.configure("10.0.0.1")
    back.wait_link(True)
    before = guest.uptime()
    text = guest.try_run("ping -c 100 -i 10 -W 5 10.0.0.2", 60)[1]
    back.command("stop")
    if GAVE_UP in back.err.since():
        pytest.skip("the machine is too busy: the back-end waited for a processor for 100 ms")
    times = [float(time) for time in re.findall(r"time=([\d.]+) ms", text)]
    assert len(times) == 100 and max(times) < 1, times
    assert guest.uptime() - before >= 990
