# SPDX-License-Identifier: BSD-3-Clause
"""Packets to and from DPDK's virtio_user, in each shape its rings can have."""

import itertools

import pytest

from harness.stage import Stage
from harness.virtio_user import FrontEnd, Pair, start_pair, transfer, transfer_both_ways

SHAPES = [FrontEnd(packed=packed, queues=queues, server=server)
          for packed, queues, server in itertools.product((False, True), (1, 4), (False, True))]
SHAPES += [FrontEnd(packed=packed, mrg_rxbuf=mrg, in_order=in_order)
           for packed in (False, True)
           for mrg, in_order in ((True, False), (False, True), (False, False))]
SHAPES += [FrontEnd(packed=packed, queue_size=size)
           for packed, size in ((False, 32), (True, 32), (False, 4096))]


def shape_name(shape: FrontEnd) -> str:
    """The name of a case."""
    return str(shape) if shape.queue_size == 256 else f"{shape}-size-{shape.queue_size}"


@pytest.mark.parametrize("shape", SHAPES, ids=shape_name)
def test_traffic(stage: Stage, shape: FrontEnd) -> None:
    """No packet is lost either way, every queue carries some, both ends leave cleanly."""
    pair = start_pair(stage, shape)
    transfer_both_ways(pair)
    if shape.queues > 1:
        check_queues(pair, shape.queues)
    pair.front.quit()
    pair.back.wait_link(False)
    pair.back.quit()


def check_queues(pair: Pair, queues: int) -> None:
    """Every queue of the back-end receives and sends."""
    pair.back.commands("set fwd io", "clear fwd stats all", "start")
    pair.front.commands("set fwd io", "start tx_first")
    pair.back.wait_received(pair.back.stats().rx_packets + 10_000)
    pair.front.command("stop")
    counts = pair.back.queue_counts()
    pair.back.command("stop")
    for queue in range(queues):
        assert counts[f"rx0/{queue}"] > 0, counts
        assert counts[f"tx0/{queue}"] > 0, counts


@pytest.mark.parametrize("packed", (False, True), ids=("split", "packed"))
@pytest.mark.parametrize("sizes", ("60", "1514", "64,64,64,64", "1800,1800,1800,1800,1800"),
                         ids=("60", "1514", "4-segments", "9000-in-5-segments"))
def test_sizes(stage: Stage, packed: bool, sizes: str) -> None:
    """Short, long, and scattered packets keep their lengths."""
    length = sum(int(size) for size in sizes.split(","))
    pair = start_pair(stage, FrontEnd(packed=packed, max_length=9018))
    for sender, receiver in ((pair.front, pair.back), (pair.back, pair.front)):
        sender.command(f"set txpkts {sizes}")
        received = transfer(sender, receiver, 20_000)
        assert received.rx_bytes == length * received.rx_packets
    pair.front.quit()
    pair.back.quit()


@pytest.mark.parametrize("packed", (False, True), ids=("split", "packed"))
@pytest.mark.parametrize("mode", ("off", "split", "full"))
def test_zero_copy(stage: Stage, packed: bool, mode: str) -> None:
    """Packets received with and without a copy are whole, and their buffers come back."""
    if stage.backend.driver != "net_vpci":
        pytest.skip("an argument of net_vpci")
    pair = start_pair(stage, FrontEnd(packed=packed, max_length=9018),
                      switches=(f"zero-copy={mode}", "copybreak=1024"))
    pair.front.command("set txpkts 1800,1800,1800,1800,1800")
    received = transfer(pair.front, pair.back, 20_000)
    assert received.rx_bytes == 9000 * received.rx_packets
    counts = pair.back.xstats()
    assert counts["rx_q0_lent"] == (0 if mode == "off" else received.rx_packets), counts
    assert counts["rx_q0_held"] == 0, counts
    pair.front.quit()
    pair.back.quit()
