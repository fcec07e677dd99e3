# SPDX-License-Identifier: BSD-3-Clause
"""Two Linux guests reach each other through a third one, the appliance, by two adapters."""

from __future__ import annotations

import dataclasses
from typing import Iterator, List

import pytest

from harness.adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from harness.backend import BackEnd
from harness.guest_image import GuestImage
from harness.qemu import Nic, QemuGuest
from harness.stage import opened
from harness.virtio import Feature

FILE_BYTES = 4 << 20


@dataclasses.dataclass
class Trio:
    """The three machines, the daemon between them, and testpmd."""

    daemon: Daemon
    appliance: Appliance
    back: ApplianceTestpmd
    guests: List[QemuGuest]

    def meet(self) -> None:
        """Wait until each guest gets answers from the other."""
        one, other = self.guests
        one.wait_reaches(other)
        other.wait_reaches(one)

    def wait_links(self) -> None:
        """Wait until both ports have a link."""
        for port in range(2):
            self.back.wait_link(True, port)


@pytest.fixture(scope="module", name="trio")
def _trio(backend: BackEnd, image: GuestImage, appliance_image: GuestImage) -> Iterator[Trio]:
    """All of them, up and in touch."""
    with opened(backend, "test_adapter_guests") as stage:
        appliance = Appliance(stage, appliance_image, Machine(), has_booted=True)
        appliance.wait_boot()
        appliance.prepare()
        daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0,rp1").ready()
        guests = [QemuGuest(stage, f"guest{number}", number, image,
                            Nic("s", properties={"packed": packed}))
                  for number, packed in enumerate(("off", "on"))]
        for number, guest in enumerate(guests):
            guest.wait_boot()
            # QEMU sends the memory when the guest's driver is up; then there is an adapter.
            guest.configure(f"10.0.0.{number + 1}")
        trio = Trio(daemon, appliance, start_testpmd(appliance), guests)
        trio.wait_links()
        trio.back.command("start")
        trio.meet()
        yield trio
        if trio.back.running():
            trio.back.quit()


def start_testpmd(appliance: Appliance) -> ApplianceTestpmd:
    """A testpmd on both adapters."""
    return appliance.testpmd(allow=appliance.wait_adapters(2)).ready()


def check(trio: Trio) -> None:
    """Echoes of several sizes from both sides; a file that goes by TCP and comes back intact."""
    one, other = trio.guests
    for size in (56, 1472, 9000):
        one.ping(other, size=size)
        other.ping(one, size=size)
    checksum = one.make_file(FILE_BYTES)
    assert other.fetch_file(one) == checksum
    assert one.fetch_file(other) == checksum
    assert one.checksum_errors() == other.checksum_errors() == 0


def test_testpmd(trio: Trio) -> None:
    """DPDK's testpmd passes packets on, of split virtqueues and packed ones."""
    packed = [Feature.RING_PACKED in Feature(guest.features() & sum(Feature))
              for guest in trio.guests]
    assert packed == [False, True]
    check(trio)


def test_l2fwd(trio: Trio, l2fwd_missing: str) -> None:
    """DPDK's l2fwd passes packets on as well."""
    if l2fwd_missing:
        pytest.skip(l2fwd_missing)
    trio.back.quit()
    trio.appliance.start_l2fwd()
    trio.meet()
    check(trio)
    assert "Bye" in trio.appliance.stop_l2fwd()
    trio.back = start_testpmd(trio.appliance)
    trio.wait_links()
    trio.back.command("start")
    trio.meet()


def test_guest_reboots(trio: Trio) -> None:
    """A front-end's machine boots anew, and is served again by the same adapter."""
    guest = trio.guests[0]
    guest.reboot()
    guest.configure("10.0.0.1")
    trio.wait_links()
    trio.meet()
    assert len(trio.daemon.adapters()) == 2


def test_unplugged_and_plugged_again(trio: Trio) -> None:
    """The appliance loses an adapter while packets pass, and gets it back."""
    lost = trio.daemon.adapters()[1]
    mark = trio.back.mark()
    trio.appliance.unplug(lost["name"])
    trio.back.wait_detached(mark)
    assert len(trio.back.ports()) == 1
    left, = trio.appliance.wait_adapters(1)
    trio.daemon.wait_state("ready", 1)
    trio.appliance.plug(lost["socket"], lost["name"], 1)
    address = next(address for address in trio.appliance.wait_adapters(2) if address != left)
    trio.back.command("stop")
    trio.back.attach(address)
    trio.wait_links()
    trio.back.command("start")
    trio.meet()
