# SPDX-License-Identifier: BSD-3-Clause
"""Two Linux guests, and the distribution's Open vSwitch between them."""

import pathlib
from typing import Iterator, List

import pytest

from harness import ovs
from harness.backend import BackEnd
from harness.guest import FILE_BYTES
from harness.guest_image import GuestImage
from harness.guest_pair import Shape, start_guests
from harness.ovs import OpenVSwitch
from harness.qemu import QemuGuest
from harness.stage import Stage, opened

SOCKETS = ("s0", "s1")
SPLIT = Shape("split")
PACKED = Shape("packed-mq", packed=True, queues=2)

each_shape = pytest.mark.parametrize("network", (SPLIT, PACKED), indirect=True,
                                     ids=lambda shape: shape.name)
split_only = pytest.mark.parametrize("network", (SPLIT,), indirect=True,
                                     ids=lambda shape: shape.name)

pytestmark = pytest.mark.net_vhost_cannot("Open vSwitch opens it in another way")


class Network:
    """The switch and its guests, one at each port."""

    def __init__(self, stage: Stage, shape: Shape, image: GuestImage) -> None:
        self.stage = stage
        self.shape = shape
        self.switch = OpenVSwitch(stage)
        for number in range(2):
            self.add_port(number)
        self.guests: List[QemuGuest] = start_guests(stage, shape, image, SOCKETS)
        for number, guest in enumerate(self.guests):
            guest.configure(f"10.0.0.{number + 1}")
        self.meet()

    def add_port(self, number: int) -> None:
        """Add the port of a guest."""
        self.switch.add_port(f"vm{number}", number, SOCKETS[number], self.shape.queues)

    def meet(self) -> None:
        """Wait until each guest gets answers from the other; then no echo may be lost."""
        one, other = self.guests
        for number in range(2):
            self.switch.wait_link(f"vm{number}", True)
        one.wait_reaches(other)
        other.wait_reaches(one)
        one.ping(other)
        other.ping(one)


@pytest.fixture(name="network", scope="module")
def _network(backend: BackEnd, image: GuestImage,
             request: pytest.FixtureRequest) -> Iterator[Network]:
    reason = ovs.missing()
    if reason:
        pytest.skip(reason)
    with opened(backend, f"test_ovs-{request.param.name}") as stage:
        network = Network(stage, request.param, image)
        yield network
        network.switch.quit()


@each_shape
def test_file(network: Network) -> None:
    """A file arrives intact both ways, and the switch has counted it at both of its ports."""
    one, other = network.guests
    checksum = one.make_file()
    before = [network.switch.statistics(f"vm{number}") for number in range(2)]
    assert other.fetch_file(one) == checksum
    assert one.fetch_file(other) == checksum
    for number in range(2):
        counts = network.switch.statistics(f"vm{number}")
        for counter in ("rx_bytes", "tx_bytes"):
            assert counts[counter] - before[number][counter] > FILE_BYTES, counts
        assert (counts["rx_errs"], counts["tx_errs"]) == (0, 0), counts


@split_only
def test_port_deleted_and_added(network: Network) -> None:
    """A port that goes takes its socket along; when it is back, so is its guest."""
    listening = pathlib.Path(network.stage.path(SOCKETS[0]))
    network.switch.del_port("vm0")
    assert not listening.exists()
    network.switch.wait_link("vm1", True)
    network.add_port(0)
    network.meet()


@split_only
def test_guest_killed(network: Network, image: GuestImage) -> None:
    """A guest that dies takes its link down; its successor finds all as it was."""
    network.guests[0].process.kill()
    network.switch.wait_link("vm0", False)
    network.switch.wait_link("vm1", True)
    shape = network.shape
    network.guests[0] = start_guests(network.stage, shape, image, SOCKETS[:1])[0]
    network.guests[0].configure("10.0.0.1")
    network.meet()
