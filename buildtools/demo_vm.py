#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration behind demo.sh --vm: two machines reach each other through a third one."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import pathlib
import re
import subprocess
import sys
import threading
import time
from typing import Dict, Iterator, List, Optional, Tuple

import demo_common  # knows where the harness is
from demo_common import E2E, QUEUE_SIZE

from harness import adapter, guest_image, qemu, settings, testpmd
from harness.adapter import Appliance, ApplianceTestpmd, Daemon, Machine
from harness.guest_image import GuestImage, ImageError
from harness.process import ProcessError, wait_until
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage

#: Echoes that VM 1 asks for.
ECHOES = 50
#: Bursts of 32 packets that each neighbour starts with: all of them fit into one virtqueue.
BURSTS = 14
#: If no time is given: packets go on until so many have passed, but no longer than so.
PACKETS, SECONDS_MAX = 1_000_000, 60

MAKE_APPLIANCE = E2E / "guest" / "make-appliance"
#: Where a neighbour finds DPDK's driver for its virtio-net device.
VIRTIO_DRIVER = "/usr/lib/vhost-pci/librte_net_virtio.so"
#: The neighbours as they are when they poll, and the pages that DPDK gets then.
POLLING = Machine(driver="uio_pci_generic", ports=0, eal_args=("-m", "64", "-d", VIRTIO_DRIVER))
NEIGHBOUR_PAGES = 40

PICTURE = """\
   VM 1                    VM 2, the appliance              VM 3
  +-----------------+     +------------------------+     +-----------------+
  | Debian's kernel |     |      dpdk-testpmd      |     | Debian's kernel |
  |   virtio-net    |     |           io           |     |   virtio-net    |
  |                 |     |  net_vhost_pci  (two)  |     |                 |
  |    [ vrings ] <------------ BAR2 | BAR2 ------------> [ vrings ]       |
  +-----------------+     +------------------------+     +-----------------+
          | vhost-user                | vfio-user                 | vhost-user
          |               +------------------------+              |
          +---------------|   vhost-pci-adapter    |--------------+
                          +------------------------+
"""


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Show what is being done, that it goes on, and how long it took."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(5):
            print(".", end="", flush=True)

    print(f"{text} ...", end="", flush=True)
    start = time.monotonic()
    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    result = "stopped"
    try:
        yield
        result = "done"
    except (ProcessError, ImageError):
        result = "failed"
        raise
    finally:
        over.set()
        ticker.join()
        print(f" {result}, {time.monotonic() - start:.0f} s", flush=True)


# Images

def base_image() -> GuestImage:
    """Kernel and initramfs that the others are made from; as the tests have them."""
    try:
        return guest_image.image()
    except ImageError:
        # Package lists that are old, or were removed.
        subprocess.run(["apt-get", "update"], stdin=subprocess.DEVNULL, capture_output=True,
                       check=False)
        return guest_image.image()


def virtio_driver() -> pathlib.Path:
    """DPDK's driver for virtio-net devices."""
    name = pathlib.Path(VIRTIO_DRIVER).name
    for path in sorted(pathlib.Path("/usr/lib").glob(f"*/dpdk/pmds-*/{name}")):
        return path
    raise ImageError(f"DPDK's {name} is not installed")


def neighbour_image(base: GuestImage) -> GuestImage:
    """That of VM 1 and VM 3: a testpmd too, with the driver of virtio-net devices."""
    driver = virtio_driver()
    digest = hashlib.sha256()
    for path in (base.initramfs, settings.PLUGIN, driver, MAKE_APPLIANCE):
        digest.update(pathlib.Path(path).read_bytes())
    target = settings.CACHE / f"neighbour-{digest.hexdigest()[:16]}.gz"
    with open(settings.CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for old in settings.CACHE.glob("neighbour-*.gz"):
                old.unlink()
            modules = next((base.kernel.parent / "modules").iterdir())
            done = subprocess.run(
                [str(MAKE_APPLIANCE), str(target), str(base.initramfs), str(modules),
                 settings.PLUGIN, str(driver)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ImageError(f"{MAKE_APPLIANCE.name}: {done.stderr.strip()}")
    return GuestImage(base.kernel, target)


# Machines

class Neighbour(QemuGuest):
    """VM 1 or VM 3: its device is the kernel's at first, and testpmd's later."""

    machine = POLLING

    def __init__(self, stage: Stage, number: int, image: GuestImage, nic: Nic) -> None:
        super().__init__(stage, f"vm{number}", number, image, nic, cpus=2, cold=True)

    def poll(self, size: int) -> ApplianceTestpmd:
        """Take the device from the kernel, and give it to a testpmd."""
        address = self.run(
            f"address=$(basename $(readlink -f /sys/class/net/{self.interface}/device/..)) && "
            f"ip link set {self.interface} down && modprobe uio_pci_generic && "
            "cd /sys/bus/pci && echo $address > devices/$address/driver/unbind && "
            "echo uio_pci_generic > devices/$address/driver_override && "
            "echo $address > drivers_probe && echo $address")
        self.run("mkdir -p /dev/shm /var/run /mnt/huge && mount -t tmpfs none /dev/shm && "
                 f"echo {NEIGHBOUR_PAGES} > /proc/sys/vm/nr_hugepages && "
                 "mount -t hugetlbfs none /mnt/huge")
        # It needs of an appliance what every guest has.
        return ApplianceTestpmd(self, demo_common.testpmd_args(size), [address])  # type: ignore


@dataclasses.dataclass(frozen=True)
class Counts:
    """Packets that the appliance has passed on, and what it has left guest mode for."""

    there: int
    back: int
    doorbells: int
    region_reads: int
    region_writes: int

    def __sub__(self, other: "Counts") -> "Counts":
        ours, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Counts(*(a - b for a, b in zip(ours, theirs)))

    @property
    def exits(self) -> int:
        """Everything that is not to be."""
        return self.doorbells + self.region_reads + self.region_writes


class Demo:
    """The three machines, the daemon, and what they count."""

    def __init__(self, stage: Stage, args: argparse.Namespace) -> None:
        self._size = args.size
        with step("kernel and images of the machines"):
            base = base_image()
            images = adapter.appliance_image(base), neighbour_image(base)
        with step("VM 2, the appliance, boots"):
            self.appliance = Appliance(stage, images[0], Machine())
            self.appliance.wait_boot(120)
            self.appliance.prepare()
        self.daemon = Daemon(stage, f"--qmp={self.appliance.qmp_path}", "--bus=rp0,rp1").ready()
        properties = {"rx_queue_size": str(QUEUE_SIZE), "tx_queue_size": str(QUEUE_SIZE)}
        if args.packed:
            properties["packed"] = "on"
        self.neighbours: List[Neighbour] = []
        self.fronts: List[ApplianceTestpmd] = []
        # One after the other, so that port 0 of the appliance is VM 1's.
        for number in (1, 3):
            with step(f"VM {number} boots, and its adapter is plugged into VM 2"):
                guest = Neighbour(stage, number, images[1], Nic("s", properties=properties))
                guest.wait_boot(120)
                guest.configure(f"10.0.0.{number}")
                self.neighbours.append(guest)
                self.appliance.wait_adapters(len(self.neighbours), 60)
        with step("testpmd in VM 2 starts on both adapters"):
            self.back = self.appliance.testpmd(allow=self.appliance.wait_adapters(2)).ready(120)
            self.wait_links()
            self.back.command("start")

    def wait_links(self) -> None:
        """Wait until both neighbours are connected."""
        for port in range(2):
            self.back.wait_link(True, port, 60)

    def counts(self) -> Counts:
        """What testpmd in VM 2 and the daemon have counted."""
        text = self.back.command("show port stats all")
        to_one, to_three = map(int, re.findall(r"TX-packets:\s+(\d+)", text))
        accesses = [self.daemon.accesses(number) for number in range(2)]
        return Counts(to_three, to_one, *(sum(one[name] for one in accesses)
                                          for name in ("doorbells", "reads", "writes")))

    def ping(self) -> Tuple[int, int, str]:
        """Echoes from VM 1 to VM 3: those asked for, those that came, their times."""
        one, other = self.neighbours
        one.wait_reaches(other, 60)
        before = one.echoes()
        times = re.search(r"round-trip min/avg/max = (\S+ ms)", one.ping(other, ECHOES))
        sent, answered = (now - then for now, then in zip(one.echoes(), before))
        return sent, answered, times[1] if times else "-"

    def poll(self) -> None:
        """Let testpmd have the neighbours' devices."""
        self.fronts = [guest.poll(self._size) for guest in self.neighbours]
        for front in self.fronts:
            front.ready(120)
        self.wait_links()

    def start(self) -> None:
        """Let packets circulate: each neighbour sends back what it receives."""
        for front in self.fronts:
            front.command("clear port stats all")
        for front in self.fronts:
            front.command(f"start tx_first {BURSTS}")
        begin = self.counts()
        wait_until(lambda: min(dataclasses.astuple(self.counts() - begin)[:2]) > 0, 30,
                   "packets both ways")

    def drain(self) -> Dict[str, Tuple[int, int]]:
        """Stop sending, receive what is still under way; packets sent and received, by way."""
        for front in self.fronts:
            front.commands("stop", "set fwd rxonly", "start")
        ways: Dict[str, Tuple[int, int]] = {}
        end = time.monotonic() + 15
        while True:
            one, three = (front.stats() for front in self.fronts)
            ways = {"VM 1 -> VM 3": (one.tx_packets, three.rx_packets),
                    "VM 3 -> VM 1": (three.tx_packets, one.rx_packets)}
            if all(sent == received for sent, received in ways.values()) or \
                    time.monotonic() > end:
                return ways

    def stop(self) -> None:
        """End the testpmds in good order."""
        for one in (*self.fronts, self.back):
            one.quit()


def goes_on(passed: int, seconds: float, wanted: Optional[int]) -> bool:
    """Whether packets are to flow for another second."""
    if wanted:
        return seconds < wanted - 0.5
    return passed < PACKETS and seconds < SECONDS_MAX


def show_rates(demo: Demo, wanted: Optional[int]) -> Tuple[Counts, float]:
    """A line each second; what was counted from the first to the last, and the time."""
    first = before = demo.counts()
    total = first - first
    begin = last = time.monotonic()
    while goes_on(total.there + total.back, last - begin, wanted):
        time.sleep(max(0.0, last + 1 - time.monotonic()))
        counts, now = demo.counts(), time.monotonic()
        rates = [number / (now - last) / 1e3 for number in
                 dataclasses.astuple(counts - before)[:2]]
        total = counts - first
        print(f"  {now - begin:4.0f} s   VM 1 -> VM 3 {rates[0]:7.1f} kpps   "
              f"VM 3 -> VM 1 {rates[1]:7.1f} kpps   doorbells {total.doorbells}, "
              f"register accesses {total.region_reads + total.region_writes}", flush=True)
        last, before = now, counts
    return total, last - begin


@dataclasses.dataclass(frozen=True)
class Results:
    """What came of it."""

    echoes: Tuple[int, int, str]
    pinging: Counts
    polling: Counts
    seconds: float
    ways: Dict[str, Tuple[int, int]]

    def faults(self) -> List[str]:
        """What is not as it should be."""
        faults = []
        if self.echoes[0] != self.echoes[1] or self.echoes[1] == 0:
            faults.append("echoes were lost")
        if any(sent == 0 or sent != received for sent, received in self.ways.values()):
            faults.append(demo_common.LOST)
        if self.polling.exits != 0:
            faults.append("there were exits although both sides polled")
        return faults

    def show(self) -> int:
        """Print it; the exit status."""
        sent, answered, times = self.echoes
        polling = self.polling
        print("\nSummary")
        print(f"  ping VM 1 to VM 3   {sent} sent, {answered} answered, "
              f"{100 * (sent - answered) / max(sent, 1):.0f} % lost; "
              f"round trip min/avg/max {times}")
        print(f"                      the kernels sleep: {self.pinging.doorbells} doorbells "
              "woke them")
        for (way, (sent, received)), counted in zip(self.ways.items(),
                                                    (polling.there, polling.back)):
            demo_common.show_way(f"{way:20}", sent, received,
                                 f"{counted / self.seconds / 1e3:.1f} kpps")
        print(f"  all sides polling   {polling.there + polling.back:,d} packets passed the "
              f"adapters in {self.seconds:.0f} s; in that time the daemon")
        print(f"                      saw {polling.doorbells} doorbells, {polling.region_reads} "
              f"REGION_READ and {polling.region_writes} REGION_WRITE messages")
        return demo_common.conclude(
            self.faults(),
            "echoes and packets went both ways, none was lost, and polling needs no exits")


# The program

def show(stage: Stage, args: argparse.Namespace) -> int:
    """All of it; the exit status."""
    print(PICTURE)
    demo = Demo(stage, args)
    before = demo.counts()
    with step("VM 1 pings VM 3 through VM 2"):
        echoes = demo.ping()
    pinging = demo.counts() - before
    print(f"  {echoes[1]} of {echoes[0]} echoes, round trip min/avg/max {echoes[2]}")
    with step("VM 1 and VM 3 give their virtio-net devices to testpmd, which polls"):
        demo.poll()
        demo.start()
    until = f"{args.seconds} s" if args.seconds else f"until {PACKETS:,d} have passed"
    print(f"{'Packed' if args.packed else 'Split'} virtqueues, {args.size}-byte packets, "
          f"{until}, as testpmd in VM 2 counts them:", flush=True)
    polling, seconds = show_rates(demo, args.seconds)
    with step("the last packets arrive"):
        ways = demo.drain()
        demo.stop()
    return Results(echoes, pinging, polling, seconds, ways).show()


def missing() -> str:
    """What is not there that is needed, or nothing."""
    return testpmd.program_missing() or qemu.program_missing() or adapter.missing()


if __name__ == "__main__":
    sys.exit(demo_common.main(demo_common.arguments("demo.sh --vm", None), missing, show,
                              "the machines and the daemon are gone"))
