# SPDX-License-Identifier: BSD-3-Clause
"""An appliance with one adapter; its front-end is a DPDK virtio_user on the host."""

from __future__ import annotations

import dataclasses
import re
from typing import Sequence

import pytest

from harness.adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from harness.guest_image import GuestImage
from harness.process import wait_until
from harness.stage import Stage, pair_args
from harness.testpmd import Testpmd
from harness.virtio_user import FrontEnd, start_front, transfer

#: Packets that testpmd sends at once.
BURST = 32

POLLING = Machine(driver="uio_pci_generic", eal_args=())
WRITEBACK = Machine(driver="uio_pci_generic", eal_args=(), devargs="writeback=1")
MSI = Machine()
MSIX = Machine(eal_args=())
NONE = Machine(eal_args=())


def boot(stage: Stage, image: GuestImage, machine: Machine) -> Appliance:
    """Boot an appliance without adapters."""
    appliance = Appliance(stage, image, machine, has_booted=not machine.cold)
    appliance.wait_boot()
    appliance.prepare()
    return appliance


def start_testpmd(appliance: Appliance, *app_args: str) -> ApplianceTestpmd:
    """Start testpmd on one adapter, and wait for its link."""
    back = appliance.testpmd(*app_args, allow=appliance.wait_adapters(1)).ready()
    back.wait_link(True)
    return back


def exchange(front: Testpmd, back: ApplianceTestpmd, packets: int = 20_000) -> None:
    """Packets one way, then the other."""
    transfer(front, back, packets)
    transfer(back, front, packets)


@pytest.mark.parametrize("machine, interrupts, config", [
    pytest.param(MSI, "msi", FrontEnd(packed=True, queues=2), id="vfio-msi-mq"),
    pytest.param(NONE, "none", FrontEnd(packed=True), id="vfio-none"),
    pytest.param(POLLING, "msi", FrontEnd(mrg_rxbuf=False), id="uio"),
    pytest.param(WRITEBACK, "none", FrontEnd(packed=True), id="uio-writeback"),
])
def test_packets_pass(stage: Stage, appliance_image: GuestImage, machine: Machine,
                      interrupts: str, config: FrontEnd) -> None:
    """Packets pass both ways, whatever the kernel's driver and the interrupts are."""
    appliance = boot(stage, appliance_image, machine)
    Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0",
           f"--interrupts={interrupts}").ready()
    front = start_front(stage, config)
    back = start_testpmd(appliance, *pair_args(config.queues))
    exchange(front, back)
    text = back.output()
    assert "can't be mapped write-back" not in text
    expected = "polling" if interrupts == "none" or machine.driver != "vfio-pci" else "interrupt"
    assert expected in text, text
    back.quit()


def test_adapter_that_is_there_at_boot(stage: Stage, appliance_image: GuestImage) -> None:
    """A machine boots with an adapter, which has MSI-X: its queues have a vector each."""
    daemon = Daemon(stage, "--interrupts=msix").ready()
    front = start_front(stage, FrontEnd(queues=2))
    daemon.wait_state("ready")
    socket = daemon.adapters()[0]["socket"]
    appliance = boot(stage, appliance_image, dataclasses.replace(MSIX, cold=(socket,)))
    back = start_testpmd(appliance, *pair_args(2))
    assert "an interrupt for each Rx queue" in back.output()
    exchange(front, back)


@pytest.mark.parametrize("interrupts, eal_args", [
    ("msi", ("--vfio-intr=msi",)),
    ("msix", ()),
])
def test_kicks_are_interrupts(stage: Stage, appliance_image: GuestImage, interrupts: str,
                              eal_args: Sequence[str]) -> None:
    """An application that sleeps is woken by what the front-end sends."""
    appliance = boot(stage, appliance_image, Machine(eal_args=eal_args))
    daemon = Daemon(stage, f"--interrupts={interrupts}").ready()
    front = start_front(stage, FrontEnd())
    daemon.wait_state("ready")
    # With MSI-X it is plugged by hand: the daemon does not do what it could not take back.
    appliance.plug(daemon.adapters()[0]["socket"], "vpci-0", 0)
    output = appliance.start_rx_intr(queues=1, packets=3 * BURST)
    front.wait_link(True)
    for burst in range(3):
        front.commands("start tx_first", "stop")
        wait_until(lambda total=(burst + 1) * BURST: received(appliance, output) >= total, 15,
                   f"burst {burst} in the appliance", 0.2)
    text = appliance.run(f"cat {output}")
    assert re.search(r"woken by queue 0: [1-9]", text), text


def received(appliance: Appliance, output: str) -> int:
    """What the program that waits for interrupts has counted."""
    counts = re.findall(r"woken by queue \d+: (\d+) packets", appliance.run(f"cat {output}"))
    return sum(map(int, counts))


def test_million_packets_without_an_exit(stage: Stage, appliance_image: GuestImage) -> None:
    """While both sides poll, the daemon hears of nothing; and drivers come and go."""
    appliance = boot(stage, appliance_image, MSI)
    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0").ready()
    front = start_front(stage, FrontEnd())
    back = start_testpmd(appliance)
    exchange(front, back, 1_000)
    before = daemon.accesses()
    received = transfer(front, back, 1_000_000)
    assert received.rx_packets >= 1_000_000
    assert daemon.accesses() == before

    # The front-end does not notice that another driver has come.
    back.quit()
    daemon.wait_state("ready")
    back = start_testpmd(appliance)
    exchange(front, back)
    assert daemon.adapters()[0]["counters"]["sessions"] == 1


def test_front_end_comes_again(stage: Stage, appliance_image: GuestImage) -> None:
    """Another front-end has other memory: its adapter takes the place of the old one."""
    appliance = boot(stage, appliance_image, MSI)
    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0", "--linger=0").ready()
    front = start_front(stage, FrontEnd())
    back = start_testpmd(appliance)
    mark = back.mark()
    front.kill()
    # The daemon unplugs the adapter, and testpmd hears that it is to go.
    back.wait_detached(mark)
    assert not back.ports()
    appliance.wait_adapters(0)
    front = start_front(stage, FrontEnd())
    address, = appliance.wait_adapters(1)
    daemon.wait_state("ready")
    back.attach(address)
    back.wait_link(True)
    exchange(front, back)


def test_dead_daemon_is_a_link_that_is_down(stage: Stage, appliance_image: GuestImage) -> None:
    """Neither testpmd nor the machine dies with the daemon, and a new one serves them."""
    appliance = boot(stage, appliance_image, MSI)
    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0").ready()
    front = start_front(stage, FrontEnd(server=False))
    back = start_testpmd(appliance)
    mark = back.mark()
    daemon.crash()
    back.wait_link(False, timeout=10)
    assert "the device is gone" in back.output(mark)
    # What is left of the adapter is unplugged by hand.
    appliance.unplug("vpci-0")
    back.wait_detached(mark)
    assert not back.ports()
    appliance.wait_adapters(0)
    front.kill()

    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0").ready()
    front = start_front(stage, FrontEnd())
    address, = appliance.wait_adapters(1)
    back.attach(address)
    back.wait_link(True)
    exchange(front, back)
