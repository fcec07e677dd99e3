# SPDX-License-Identifier: BSD-3-Clause
"""Two Linux guests reach each other through a third one, the appliance, by two adapters."""

from __future__ import annotations

import dataclasses
from typing import Iterator, List

import pytest

from harness import adapter
from harness.adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from harness.backend import BackEnd
from harness.guest_image import GuestImage, ImageError
from harness.process import wait_until
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage, opened

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


@pytest.fixture(scope="session", name="appliance_image")
def _appliance_image(image: GuestImage) -> GuestImage:
    """Kernel and initramfs of the appliance."""
    reason = adapter.missing()
    if reason:
        pytest.skip(reason)
    try:
        return adapter.appliance_image(image)
    except ImageError as error:
        pytest.skip(f"no image of an appliance: {error}")


@pytest.fixture(scope="module", name="trio")
def _trio(backend: BackEnd, image: GuestImage, appliance_image: GuestImage) -> Iterator[Trio]:
    """All of them, up and in touch."""
    with opened(backend, "test_adapter_guests") as stage:
        appliance = Appliance(stage, appliance_image, Machine())
        appliance.wait_boot()
        appliance.prepare()
        daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0,rp1").ready()
        guests = [QemuGuest(stage, f"guest{number}", number, image, Nic("s"))
                  for number in range(2)]
        for number, guest in enumerate(guests):
            guest.wait_boot()
            # QEMU sends the memory when the guest's driver is up; then there is an adapter.
            guest.configure(f"10.0.0.{number + 1}")
        back = appliance.testpmd(allow=appliance.wait_adapters(2)).ready()
        trio = Trio(daemon, appliance, back, guests)
        trio.wait_links()
        back.command("start")
        trio.meet()
        yield trio
        back.quit()


def test_ping(trio: Trio) -> None:
    """Echoes of several sizes, from both sides."""
    one, other = trio.guests
    for size in (56, 1472, 9000):
        one.ping(other, size=size)
        other.ping(one, size=size)


def test_file_arrives_intact(trio: Trio) -> None:
    """A file goes by TCP to the other guest, and comes back as it was."""
    one, other = trio.guests
    checksum = one.make_file(FILE_BYTES)
    assert other.fetch_file(one) == checksum
    assert one.fetch_file(other) == checksum
    assert one.checksum_errors() == other.checksum_errors() == 0


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
    trio.appliance.unplug(lost["name"])
    wait_until(lambda: len(trio.back.ports()) == 1, 30, "testpmd without the port", 0.2)
    left, = trio.appliance.wait_adapters(1)
    trio.daemon.wait_state("ready", 1)
    trio.appliance.plug(lost["socket"], lost["name"], 1)
    address = next(address for address in trio.appliance.wait_adapters(2) if address != left)
    trio.back.command("stop")
    trio.back.attach(address)
    trio.wait_links()
    trio.back.command("start")
    trio.meet()


def test_guest_with_memory_on_both_sides_of_the_gap(
        stage: Stage, image: GuestImage, appliance_image: GuestImage) -> None:
    """A guest with 4.5 GB has its memory in two regions, which are in one file."""
    appliance = Appliance(stage, appliance_image, Machine(ports=1, reserve="16G"))
    appliance.wait_boot()
    appliance.prepare()
    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0").ready()
    guest = QemuGuest(stage, "large", 1, image, Nic("s"), megabytes=4608)
    guest.wait_boot()
    guest.configure("10.0.0.1")
    back = appliance.testpmd(allow=appliance.wait_adapters(1)).ready()
    back.wait_link(True)
    # testpmd answers for any address.
    back.commands("set fwd icmpecho", "start")
    guest.run("ping -c 20 -i 0.05 -s 1400 10.0.0.9")
    frontend = daemon.adapters()[0]["front-end"]
    regions = [region for region in frontend["regions"] if int(region["size"], 0) > 1 << 30]
    assert len(regions) == 2, frontend["regions"]
    assert {region["file"] for region in regions} == {0}, regions
