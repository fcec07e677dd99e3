# SPDX-License-Identifier: BSD-3-Clause
"""An appliance with one adapter; its front-end is a DPDK virtio_user on the host."""

from __future__ import annotations

import pytest

from harness import adapter
from harness.adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from harness.guest_image import GuestImage, ImageError
from harness.stage import Stage
from harness.testpmd import Testpmd
from harness.virtio_user import FrontEnd, start_front, transfer

POLLING = Machine(driver="uio_pci_generic", eal_args=())
WRITEBACK = Machine(driver="uio_pci_generic", eal_args=(), devargs="writeback=1")
MSI = Machine()
MSIX = Machine(eal_args=())
NONE = Machine(eal_args=())


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


def boot(stage: Stage, image: GuestImage, machine: Machine) -> Appliance:
    """Boot an appliance without adapters."""
    appliance = Appliance(stage, image, machine)
    appliance.wait_boot()
    appliance.prepare()
    return appliance


def start_testpmd(appliance: Appliance) -> ApplianceTestpmd:
    """Start testpmd on one adapter, and wait for its link."""
    back = appliance.testpmd(allow=appliance.wait_adapters(1)).ready()
    back.wait_link(True)
    return back


def exchange(front: Testpmd, back: ApplianceTestpmd, packets: int = 20_000) -> None:
    """Packets one way, then the other."""
    transfer(front, back, packets)
    transfer(back, front, packets)


@pytest.mark.parametrize("machine, interrupts", [
    pytest.param(MSI, "msi", id="vfio-msi"),
    pytest.param(MSIX, "msix", id="vfio-msix"),
    pytest.param(NONE, "none", id="vfio-none"),
    pytest.param(POLLING, "msi", id="uio"),
    pytest.param(WRITEBACK, "none", id="uio-writeback"),
])
@pytest.mark.parametrize("config", [FrontEnd(packed=True)], ids=str)
def test_packets_pass(stage: Stage, appliance_image: GuestImage, machine: Machine,
                      interrupts: str, config: FrontEnd) -> None:
    """Packets pass both ways, whatever the kernel's driver and the interrupts are."""
    appliance = boot(stage, appliance_image, machine)
    Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0",
           f"--interrupts={interrupts}").ready()
    front = start_front(stage, config)
    back = start_testpmd(appliance)
    exchange(front, back)
    text = back.output()
    assert "can't be mapped write-back" not in text
    expected = "polling" if interrupts == "none" or machine.driver != "vfio-pci" else "interrupt"
    assert expected in text, text
    back.quit()


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
    front.kill()
    # The daemon unplugs the adapter, and testpmd hears that it is to go.
    back.wait_ports([])
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
    daemon.kill()
    back.wait_link(False, timeout=10)
    assert "the device is gone" in back.output(mark)
    # What is left of the adapter is unplugged by hand.
    appliance.unplug("vpci-0")
    back.wait_ports([])
    appliance.wait_adapters(0)
    front.kill()

    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0").ready()
    front = start_front(stage, FrontEnd())
    address, = appliance.wait_adapters(1)
    back.attach(address)
    back.wait_link(True)
    exchange(front, back)
