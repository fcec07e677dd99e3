# SPDX-License-Identifier: BSD-3-Clause
"""Two Linux guests in QEMU reach each other, whatever their devices offer."""

import re
from typing import Iterator, Tuple

import pytest

from harness import guest_image, guest_pair
from harness.backend import BackEnd
from harness.guest import FILE_BYTES
from harness.guest_pair import Application, GuestPair, Shape
from harness.stage import opened
from harness.virtio import CHECKSUM, SEGMENTATION, Feature

OFFLOADS = CHECKSUM | SEGMENTATION
NO_MRG = Feature.MRG_RXBUF
SHAPES = [
    Shape("plain", without=OFFLOADS),
    Shape("checksum", without=SEGMENTATION),
    Shape("checksum-unaware", without=SEGMENTATION, application=Application.UNAWARE),
    Shape("tso"),
    Shape("tso-io", application=Application.IO),
    Shape("plain-no-mrg", without=OFFLOADS | NO_MRG),
    Shape("tso-no-mrg", without=NO_MRG),
    Shape("packed-plain", without=OFFLOADS, packed=True),
    Shape("packed-tso", packed=True),
    Shape("packed-tso-no-mrg", without=NO_MRG, packed=True),
    Shape("mq", queues=2),
    Shape("packed-mq", packed=True, queues=2),
    Shape("legacy", without=OFFLOADS, legacy=True),
    Shape("legacy-tso-no-mrg", without=NO_MRG, legacy=True),
    Shape("zero-copy-off", switches=("zero-copy=off",)),
    Shape("zero-copy-full", application=Application.IO, switches=("zero-copy=full",)),
    Shape("direct-no-event-idx", without=Feature.INDIRECT_DESC | Feature.EVENT_IDX),
]
MTU_FRAME = 1514
# What is longer than a frame may be has not been cut into segments.
LARGE = "size_1519_max_packets"


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: shape.name)
def pair(backend: BackEnd, image: guest_image.GuestImage,
         request: pytest.FixtureRequest) -> Iterator[GuestPair]:
    """Both guests, booted and in touch."""
    shape: Shape = request.param
    if shape.switches and backend.driver != "net_vpci":
        pytest.skip("arguments of net_vpci")
    with opened(backend, f"test_qemu-{shape.name}") as stage:
        back = guest_pair.start_back(stage, shape)
        guests = guest_pair.start_guests(stage, shape, image)
        both = GuestPair(back, list(guests), shape)
        both.forward()
        yield both
        for port, guest in enumerate(guests):
            guest.process.kill()
            back.wait_link(False, port)
        back.quit()


def test_negotiation(pair: GuestPair) -> None:
    """The guests have what they asked for, and nothing that was switched off."""
    for guest in pair.guests:
        features = Feature(guest.features() & sum(Feature))
        assert features & pair.shape.wanted() == pair.shape.wanted(), features
        assert not features & pair.shape.unwanted(), features


def test_ping(pair: GuestPair) -> None:
    """Every echo comes back, of short, full, and fragmented packets."""
    pair.ping()


    if pair.shape.queues > 1:
        check_queues(pair)


def check_queues(pair: GuestPair) -> None:
    """Each queue pair carries packets both ways."""
    one, other = pair.guests
    for cpu in range(pair.shape.queues):
        one.run(f"taskset -c {cpu} ping -q -A -c 20 {other.address}")
        other.run(f"taskset -c {cpu} ping -q -A -c 20 {one.address}")
    counts = pair.back.queue_counts()
    for port in range(2):
        for queue in range(pair.shape.queues):
            assert counts[f"rx{port}/{queue}"] > 0, counts
            assert counts[f"tx{port}/{queue}"] > 0, counts


def test_file(pair: GuestPair) -> None:
    """A file of 16 MB arrives intact, and comes back as it was."""
    checksum = pair.guests[0].make_file()
    errors = [guest.checksum_errors() for guest in pair.guests]
    fetch(pair, 0, 1, checksum)
    fetch(pair, 1, 0, checksum)
    assert [guest.checksum_errors() for guest in pair.guests] == errors


def whole_packets(pair: GuestPair, source: int, target: int) -> Tuple[int, int]:
    """How many packets longer than a frame one port has received, and the other one sent."""
    received, sent = pair.back.xstats(source), pair.back.xstats(target)
    return (sum(count for name, count in received.items() if re.match(f"rx_q\\d+_{LARGE}", name)),
            sum(count for name, count in sent.items() if re.match(f"tx_q\\d+_{LARGE}", name)))


def fetch(pair: GuestPair, source: int, target: int, checksum: str) -> None:
    """Move the file one way, in segments as large as was negotiated."""
    sender, receiver = pair.guests[source], pair.guests[target]
    before, received = pair.back.stats(source), receiver.traffic()
    large = whole_packets(pair, source, target)
    assert receiver.fetch_file(sender) == checksum
    sent, now = pair.back.stats(source) - before, receiver.traffic()
    assert sent.rx_bytes > FILE_BYTES
    assert (sent.rx_errors, sent.rx_missed, sent.rx_nombuf) == (0, 0, 0)
    sizes = (sent.rx_bytes / sent.rx_packets,
             (now.rx_bytes - received.rx_bytes) / (now.rx_packets - received.rx_packets))
    if pair.shape.segmentation:
        assert min(sizes) > 4 * MTU_FRAME, f"mean packet sizes at port and guest: {sizes}"
        passed = [now - then for now, then
                  in zip(whole_packets(pair, source, target), large)]
        # 64 KB at most in each: so many at least, and none of them was cut on its way.
        assert min(passed) >= FILE_BYTES // 65536, f"large packets received and sent: {passed}"
    else:
        assert max(sizes) <= MTU_FRAME, f"mean packet sizes at port and guest: {sizes}"
