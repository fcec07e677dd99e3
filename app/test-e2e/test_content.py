# SPDX-License-Identifier: BSD-3-Clause
"""Every byte of every packet arrives, in order, both ways at once."""

import itertools
from typing import List

import pytest

from harness.packets import difference, random_packets, read_capture, write_capture
from harness.stage import Stage
from harness.testpmd import Testpmd
from harness.virtio_user import FrontEnd, ORDINARY_LENGTH, start_back, start_front

COUNT = 3000
SHAPES = [FrontEnd(packed=packed, mrg_rxbuf=mrg, max_length=length)
          for packed, mrg, length in itertools.product((False, True), (True, False),
                                                       (ORDINARY_LENGTH, 9018))]
SHAPES += [FrontEnd(packed=packed, in_order=False) for packed in (False, True)]


def shape_name(shape: FrontEnd) -> str:
    """The name of a case."""
    return f"{shape}-{shape.max_length}"


def capture_device(stage: Stage, name: str, packets: List[bytes]) -> str:
    """A port that receives packets from one file and sends what it is given to another."""
    write_capture(stage.folder / f"{name}-in.pcap", packets)
    return (f"net_pcap0,rx_pcap={stage.path(f'{name}-in.pcap')},"
            f"tx_pcap={stage.path(f'{name}-out.pcap')}")


def wait_written(port: Testpmd, packets: int) -> None:
    """Wait until the capture port has been given so many packets."""
    port.wait_stats(lambda now: now.tx_packets >= packets, f"{packets} packets written", 1)


@pytest.mark.parametrize("shape", SHAPES, ids=shape_name)
def test_content(stage: Stage, shape: FrontEnd) -> None:
    """Packets of random lengths and content, from files to files."""
    longest = shape.max_length - 4
    to_back = random_packets(COUNT, 60, longest, seed=1)
    to_front = random_packets(COUNT, 60, longest, seed=2)
    # Two forwarding threads: who waits for room one way still takes packets the other way.
    # Without --no-flush-rx, testpmd reads and drops a whole file before it starts to forward.
    back = start_back(stage, shape, devices=[capture_device(stage, "back", to_front)],
                      app_args=["--no-flush-rx"], forwarders=2)
    front = start_front(stage, shape, devices=[capture_device(stage, "front", to_back)],
                        app_args=["--no-flush-rx"], forwarders=2)
    back.wait_link(True)
    for side in (back, front):
        # A full ring is no reason to drop a packet.
        side.commands("set fwd io retry", "set burst tx delay 10 retry 100000")
    back.command("start")
    front.command("start")
    wait_written(back, COUNT)
    wait_written(front, COUNT)
    for side in (front, back):
        side.command("stop")
        side.quit()
    assert not difference(to_back, read_capture(stage.folder / "back-out.pcap"))
    assert not difference(to_front, read_capture(stage.folder / "front-out.pcap"))
