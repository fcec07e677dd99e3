# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests behind vIOMMUs reach each other: every address is asked for, and taken back."""

from typing import Iterator

import pytest

from harness import guest_image, guest_pair
from harness.backend import BackEnd
from harness.guest_pair import GuestPair, Shape
from harness.process import wait_until
from harness.qemu import Nic, QemuGuest
from harness.stage import opened

#: One guest has split rings, the other one packed ones.
SHAPES = [Shape("split", switches=("iommu=1",)),
          Shape("packed", packed=True, switches=("iommu=1",))]
ACCESS_PLATFORM = 1 << 33
FILE_BYTES = 4 << 20


@pytest.fixture(scope="module", name="pair")
def fixture_pair(backend: BackEnd, image: guest_image.GuestImage) -> Iterator[GuestPair]:
    """Both guests, booted and in touch."""
    if backend.driver != "net_vpci":
        pytest.skip("arguments of net_vpci")
    with opened(backend, "test_iommu") as stage:
        back = guest_pair.start_back(stage, SHAPES[0])
        # A burst ends where a translation is missing: the rest is to be sent, not dropped.
        back.commands("set fwd csum retry", "set burst tx delay 100 retry 50000")
        guests = [QemuGuest(stage, f"guest{port}", port + 1, image,
                            Nic(f"s{port}", viommu=True, properties=shape.properties()))
                  for port, shape in enumerate(SHAPES)]
        for guest in guests:
            guest.wait_boot(60)
        both = GuestPair(back, list(guests), SHAPES[0])
        both.forward()
        yield both
        for port, guest in enumerate(guests):
            guest.process.kill()
            back.wait_link(False, port)
        back.quit()


def iotlb_counts(pair: GuestPair, port: int) -> "dict[str, int]":
    """What a port has counted of its IOTLB."""
    return {name: value for name, value in pair.back.xstats(port).items() if "iotlb" in name}


def test_translated(pair: GuestPair) -> None:
    """The guests' devices are in a domain of the vIOMMU, and know it."""
    for guest in pair.guests:
        assert guest.features() & ACCESS_PLATFORM
        group = guest.run("cat /sys/class/net/eth0/device/../iommu_group/type")
        assert group.startswith("DMA"), group


def test_ping(pair: GuestPair) -> None:
    """Every echo comes back, of short, full, and fragmented packets."""
    pair.ping()


def test_file(pair: GuestPair) -> None:
    """A file arrives intact, and comes back as it was."""
    one, other = pair.guests
    checksum = one.make_file(FILE_BYTES)
    assert other.fetch_file(one, 120) == checksum
    assert one.fetch_file(other, 120) == checksum


def test_counted(pair: GuestPair) -> None:
    """Misses were asked for and answered; what the guests unmap is taken back, in the end."""
    one, other = pair.guests
    for port in range(2):
        def invalidated(port: int = port) -> bool:
            one.ping(other, 100)
            return iotlb_counts(pair, port)["frontend_iotlb_invalidates"] > 0

        wait_until(invalidated, 60, f"an invalidation at port {port}", 0.1)
        counts = iotlb_counts(pair, port)
        assert counts["rx_q0_iotlb_misses"] > 0, counts
        assert counts["tx_q0_iotlb_misses"] > 0, counts
        assert counts["frontend_iotlb_updates"] > 6, counts
        assert counts["frontend_iotlb_refused"] == 0, counts
