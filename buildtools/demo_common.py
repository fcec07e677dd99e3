# SPDX-License-Identifier: BSD-3-Clause
"""What the two demonstrations behind demo.sh have in common: options, beginning and end."""

from __future__ import annotations

import argparse
import pathlib
import signal
import sys
from typing import Callable, List, Optional

E2E = pathlib.Path(__file__).resolve().parent.parent / "app" / "test-e2e"
sys.path.insert(0, str(E2E))

from harness import process  # noqa: E402
from harness.backend import under_test  # noqa: E402
from harness.guest_image import ImageError  # noqa: E402
from harness.process import ProcessError  # noqa: E402
from harness.stage import Stage  # noqa: E402

#: Descriptors of each virtqueue of the front-ends.
QUEUE_SIZE = 1024
#: Frames that testpmd can make and that need no jumbo buffers.
MIN_SIZE, MAX_SIZE = 60, 1514

LOST = "packets were lost or did not flow"

#: Shows the demonstration; the exit status.
Show = Callable[[Stage, argparse.Namespace], int]


def arguments(prog: str, seconds: Optional[int]) -> argparse.Namespace:
    """The command line, checked; seconds are those if none are given."""
    parser = argparse.ArgumentParser(prog=prog, add_help=False)
    parser.add_argument("--seconds", type=int, default=seconds)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--check", action="store_true", help="only check the arguments")
    args = parser.parse_args()
    if args.seconds is not None and args.seconds < 1:
        parser.error("--seconds: at least 1")
    if not MIN_SIZE <= args.size <= MAX_SIZE:
        parser.error(f"--size: {MIN_SIZE} to {MAX_SIZE}")
    return args


def testpmd_args(size: int) -> List[str]:
    """What a testpmd is told that sends packets of a size."""
    return [f"--txpkts={size}", f"--rxd={QUEUE_SIZE}", f"--txd={QUEUE_SIZE}"]


def show_way(way: str, sent: int, received: int, mean: str) -> None:
    """A line of the summary: what became of the packets of one direction."""
    print(f"  {way}sent {sent:>12,d}   received {received:>12,d}   lost {sent - received:d}   "
          f"mean {mean}")


def conclude(faults: List[str], success: str) -> int:
    """The last line of the summary; the exit status."""
    status = 1 if faults else 0
    print(f"  exit status {status}: " + ("; ".join(faults) or success))
    return status


def _run(show: Show, args: argparse.Namespace) -> int:
    """Set the stage, show, clear it."""
    stage = Stage(under_test())
    status = 1
    try:
        status = show(stage, args)
    except (ProcessError, ImageError) as error:
        print(f"\ndemo failed: {error}\n{stage.tails()}", file=sys.stderr)
    finally:
        fault = stage.clear()
        if fault:
            print(fault, file=sys.stderr)
    return 1 if fault else status


def main(args: argparse.Namespace, missing: Callable[[], str], show: Show, gone: str) -> int:
    """
    The whole program.

    missing() says what is not there that is needed; gone is who has ended when it is interrupted.
    """
    if args.check:
        return 0
    what = missing()
    if what:
        print(what, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _run(show, args)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {gone}", file=sys.stderr)
        return 130
    finally:
        process.kill_all()
