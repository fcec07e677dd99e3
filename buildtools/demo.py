#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration behind demo.sh: packets through two net_vpci ports, both ways."""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
import time
from typing import List, Tuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app" / "test-e2e"))

from harness import process, testpmd  # noqa: E402
from harness.backend import under_test  # noqa: E402
from harness.stage import Stage  # noqa: E402

#: Descriptors of each virtqueue of the front-ends.
QUEUE_SIZE = 1024
#: Bursts of 32 packets that are under way in each direction.
BURSTS = 16
#: Frames that testpmd can make and that need no jumbo buffers.
MIN_SIZE, MAX_SIZE = 60, 1514

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
            app_args=[f"--txpkts={size}", f"--rxd={QUEUE_SIZE}", f"--txd={QUEUE_SIZE}"])
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
        lost = sent - received
        failed = failed or received == 0 or lost != 0
        print(f"  {way}   sent {sent:>12,d}   received {received:>12,d}   lost {lost:d}   "
              f"mean {mean:.2f} Mpps, {mean * size * 8 / 1000:.2f} Gbit/s")
    status = 1 if failed else 0
    print(f"  exit status {status}: " + ("packets were lost or did not flow" if failed
                                         else "packets went both ways, none was lost"))
    return status


def arguments(argv: List[str]) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="demo.sh", add_help=False)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--check", action="store_true", help="only check the arguments")
    args = parser.parse_args(argv)
    if args.seconds < 1:
        parser.error("--seconds: at least 1")
    if not MIN_SIZE <= args.size <= MAX_SIZE:
        parser.error(f"--size: {MIN_SIZE} to {MAX_SIZE}")
    return args


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


def run(args: argparse.Namespace) -> int:
    """Start, show, stop."""
    stage = Stage(under_test())
    status = 1
    try:
        status = show(stage, args)
    except process.ProcessError as error:
        print(f"\ndemo failed: {error}\n{stage.tails()}", file=sys.stderr)
    finally:
        fault = stage.clear()
        if fault:
            print(fault, file=sys.stderr)
    return 1 if fault else status


def main() -> int:
    """The whole program."""
    args = arguments(sys.argv[1:])
    if args.check:
        return 0
    missing = testpmd.program_missing()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(args)
    except KeyboardInterrupt:
        print("\ninterrupted: both processes are gone", file=sys.stderr)
        return 130
    finally:
        process.kill_all()


if __name__ == "__main__":
    sys.exit(main())
