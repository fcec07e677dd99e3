# SPDX-License-Identifier: BSD-3-Clause
"""Front-ends' memory of some size and kind, as the appliance gets it by an adapter."""

from __future__ import annotations

from harness.adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from harness.guest_image import GuestImage
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage, pair_args

#: Queue pairs of the large guest.
QUEUES = 2


def test_guest_with_memory_on_both_sides_of_the_gap(
        stage: Stage, image: GuestImage, appliance_image: GuestImage) -> None:
    """A guest with 4.5 GB has its memory in two regions, which are in one file.

    It has several queue pairs too, and QEMU adds its memory for each of them.
    """
    appliance = Appliance(stage, appliance_image, Machine(ports=1, reserve="16G"),
                          has_booted=True)
    appliance.wait_boot()
    appliance.prepare()
    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0").ready()
    guest = QemuGuest(stage, "large", 1, image, Nic("s", queues=QUEUES), cpus=QUEUES,
                      megabytes=4608, cold=True)
    guest.wait_boot()
    guest.configure("10.0.0.1")
    back = appliance.testpmd(*pair_args(QUEUES), allow=appliance.wait_adapters(1)).ready()
    back.wait_link(True)
    # testpmd answers for any address.
    back.commands("set fwd icmpecho", "start")
    for cpu in range(QUEUES):
        guest.run(f"taskset -c {cpu} ping -c 20 -i 0.05 -s 1400 10.0.0.9")
    assert all(count > 0 for count in back.received_by_queue(QUEUES)), back.output()
    frontend = daemon.adapters()[0]["front-end"]
    regions = [region for region in frontend["regions"] if int(region["size"], 0) > 1 << 30]
    assert len(regions) == 2, frontend["regions"]
    assert {region["file"] for region in regions} == {0}, regions


def answer_guest(guest: QemuGuest, appliance: Appliance, back: ApplianceTestpmd) -> None:
    """Let a guest that has booted reach the appliance."""
    guest.configure("10.0.0.1")
    back.wait_link(True)
    guest.wait_reaches(appliance)
    guest.ping(appliance, size=1400)


def test_memory_that_is_named_beforehand(
        stage: Stage, image: GuestImage, appliance_image: GuestImage) -> None:
    """An adapter is there when the appliance boots, before its front-end, and outlives it."""
    memory = stage.folder / "memory"
    with open(memory, "wb") as file:
        file.truncate(QemuGuest.memory_bytes())
    daemon = Daemon(stage, f"--peer-memory={memory}").ready()
    appliance = Appliance(stage, appliance_image,
                          Machine(ports=1, cold=(daemon.adapters()[0]["socket"],)))
    appliance.wait_boot()
    appliance.prepare()
    appliance.address = "10.0.0.9"
    there = appliance.wait_adapters(1)
    back = appliance.testpmd("--disable-link-check", allow=there).ready()
    assert not back.link_is_up()
    back.commands("set fwd icmpecho", "start")
    for name in ("first", "second"):
        guest = QemuGuest(stage, name, 1, image, Nic("s"), memory_file=str(memory))
        guest.wait_boot()
        answer_guest(guest, appliance, back)
        guest.reboot()
        answer_guest(guest, appliance, back)
        guest.process.kill()
        back.wait_link(False)
    assert appliance.adapters() == there
    assert daemon.adapters()[0]["attached"]
    assert memory.stat().st_size == QemuGuest.memory_bytes()
