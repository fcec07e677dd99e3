#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration behind demo.sh: packets through two net_vpci ports, both ways."""

from __future__ import annotations

import argparse
import sys
import time
from typing import List, Tuple

import demo_common  # knows where the harness is
from demo_common import QUEUE_SIZE

from harness import testpmd
from harness.stage import Stage

#: Bursts of 32 packets that are under way in each direction.
BURSTS = 16

PICTURE = """\
  front-ends, one process          back-end: dpdk-testpmd -d librte_net_vhost_pci.so
  +----------------------+         +----------------------+
  | A  net_virtio_user0  | <-----> | net_vpci0 <-+        |
  |                      |  vrings |             | io     |
  | B  net_virtio_user1  | <-----> | net_vpci1 <-+        |
  +----------------------+         +----------------------+
"""


class Demo:
    """The two processes and what they count."""

    def __init__(self, stage: Stage, size: int, packed: bool) -> None:
        self._stage = stage
        sockets = ("a", "b")
        self.back = stage.back_end(
            [stage.back_end_device(i, name) for i, name in enumerate(sockets)], core=0)
        self.back.ready()
        # One process for both front-ends, so that two processors are enough: each of the
        # two processes polls on a processor of its own.
        self.front = stage.testpmd(
            "front-ends",
            [f"net_virtio_user{i},path={stage.path(name)},queue_size={QUEUE_SIZE},"
             f"packed_vq={int(packed)}" for i, name in enumerate(sockets)],
            core=1,
            app_args=demo_common.testpmd_args(size))
        self.front.ready()

    def connect(self) -> None:
        """Wait for both links."""
        for port in range(2):
            self.back.wait_link(True, port)
            self.front.wait_link(True, port)

    def start(self) -> None:
        """Let packets circulate: what comes in at one front-end goes out at the other."""
        self.back.commands("set fwd io", "start")
        self.front.commands("clear port stats all", "set fwd io", f"start tx_first {BURSTS}")

    def counts(self) -> Tuple[int, int, int, int]:
        """Packets: A sent, B received, B sent, A received."""
        a, b = self.front.stats(0), self.front.stats(1)
        return a.tx_packets, b.rx_packets, b.tx_packets, a.rx_packets

    def drain(self) -> Tuple[int, int, int, int]:
        """Stop sending, receive what is still under way, count."""
        self.front.commands("stop", "set fwd rxonly", "start")
        counts = self.counts()
        end = time.monotonic() + 5
        while time.monotonic() < end and (counts[1] < counts[0] or counts[3] < counts[2]):
            counts = self.counts()
        return counts

    def stop(self) -> None:
        """End both processes in good order."""
        self.front.quit()
        self.back.quit()


def show_rates(demo: Demo, seconds: int) -> List[Tuple[float, float]]:
    """A line each second; the rates, in Mpps, A to B and B to A."""
    rates = []
    begin = last = time.monotonic()
    before = demo.counts()
    for second in range(1, seconds + 1):
        time.sleep(max(0.0, begin + second - time.monotonic()))
        now, counts = time.monotonic(), demo.counts()
        rate = ((counts[1] - before[1]) / (now - last) / 1e6,
                (counts[3] - before[3]) / (now - last) / 1e6)
        print(f"  {second:3d} s   A -> B {rate[0]:7.2f} Mpps   B -> A {rate[1]:7.2f} Mpps",
              flush=True)
        rates.append(rate)
        last, before = now, counts
    return rates


def summary(rates: List[Tuple[float, float]], counts: Tuple[int, int, int, int],
            size: int) -> int:
    """Print what came of it; the exit status."""
    ways = (("A -> B", counts[0], counts[1]), ("B -> A", counts[2], counts[3]))
    print("\nSummary")
    failed = False
    for number, (way, sent, received) in enumerate(ways):
        mean = sum(rate[number] for rate in rates) / len(rates)
        failed = failed or received == 0 or sent != received
        demo_common.show_way(f"{way}   ", sent, received,
                             f"{mean:.2f} Mpps, {mean * size * 8 / 1000:.2f} Gbit/s")
    return demo_common.conclude([demo_common.LOST] if failed else [],
                                "packets went both ways, none was lost")


def show(stage: Stage, args: argparse.Namespace) -> int:
    """All of it; the exit status."""
    print(PICTURE)
    demo = Demo(stage, args.size, args.packed)
    demo.connect()
    print(f"Both links are up; {'packed' if args.packed else 'split'} virtqueues, "
          f"{args.size}-byte packets, {args.seconds} s:", flush=True)
    demo.start()
    rates = show_rates(demo, args.seconds)
    counts = demo.drain()
    demo.stop()
    return summary(rates, counts, args.size)


if __name__ == "__main__":
    sys.exit(demo_common.main(demo_common.arguments("demo.sh", 10), testpmd.program_missing, show,
                              "both processes are gone"))
