# SPDX-License-Identifier: BSD-3-Clause
"""Front-ends' machine, the appliance, and the daemon are killed at each step of what they do.

Two guests are served by an appliance. A round kills one of the three twice: first where it
serves, with packets under way or while it ends; then the one that takes its place, at a step of
its start. After each, the others live; after both, everybody is served again, and the daemon
holds what it held before.

Rings are split. Where a packed one is, nobody knows but the driver in the appliance: when that or
the daemon has been killed, the guest must start its device anew.

With VHOST_PCI_TEST_ROUNDS=N each test runs all its rounds N times.
"""

from __future__ import annotations

import collections
import os
import pathlib
import re
import signal
import time
from typing import Any, Callable, Counter, Dict, Iterator, List

import pytest

from harness.adapter import BESIDE, Appliance, ApplianceTestpmd, Daemon, Machine
from harness.backend import BackEnd
from harness.guest_image import GuestImage
from harness.process import Process, ProcessError, wait_until
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage, opened

ROUNDS = int(os.environ.get("VHOST_PCI_TEST_ROUNDS", "1"))

#: Whoever is in the middle of something is waited for as long.
PATIENCE = 120

#: How a daemon that was killed, and the device of it, show in testpmd's log.
DEVICE_IS_GONE = "the device is gone"

#: The appliance's machine: a bus for each of two guests, and one for who comes anew.
BUSES = 3
MACHINE = Machine(ports=BUSES)


class Usage:
    """What a daemon holds, and what is left around it."""

    def __init__(self, daemon: Daemon) -> None:
        proc = pathlib.Path(f"/proc/{daemon.pid}")
        #: Kinds of descriptors, and how many of each.
        self.fds: Counter[str] = collections.Counter(
            re.sub(r"\d+", "", name) for name in daemon.open_fds())
        self.threads = len(list((proc / "task").iterdir()))
        maps = [line.split(None, 5) for line in (proc / "maps").read_text().splitlines()]
        #: Files that are mapped. Memory without a file is malloc's own affair.
        self.maps: Counter[str] = collections.Counter(
            fields[5].strip() for fields in maps if len(fields) > 5)
        #: Its sockets in the folder: machines' own have another suffix.
        self.sockets = sorted(re.sub(r"\d+", "", path.name) for path in daemon.folder.iterdir()
                              if path.is_socket() and path.suffix != ".qmp")
        #: Others' are none of its business, and come and go.
        self.shm = sorted(name for name in os.listdir("/dev/shm") if "vpci" in name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"Usage({vars(self)})"


def strangers(folder: pathlib.Path) -> List[str]:
    """Processes that know the folder and are none of those that are to live, nor their children."""
    known = {process.pid for process in Process.live}
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command and parent not in known:
            found.append(command)
    return found


class Site:
    """Two guests, the daemon, and the appliance, where testpmd answers echo requests."""

    def __init__(self, stage: Stage, image: GuestImage, appliance_image: GuestImage) -> None:
        self.stage = stage
        self._image = image
        self._appliance_image = appliance_image
        self.daemon = self.new_daemon().ready()
        self.appliance = self.new_appliance()
        self.guests = [self.new_guest(number) for number in range(2)]
        self.set_up_appliance()
        for number in range(2):
            self.set_up_guest(number)
        self.back = self.new_testpmd()
        self.serve()

    def new_daemon(self, buses: int = BUSES) -> Daemon:
        """Start a daemon, or one in the place of another; it plugs adapters where it has a bus."""
        names = ",".join(f"rp{number}" for number in range(buses))
        plugs = [f"--qmp={self.stage.path('vm2.qmp')}", f"--bus={names}"] if buses else []
        return Daemon(self.stage, *plugs, "--linger=0", status="status")

    def new_appliance(self) -> Appliance:
        """Start an appliance, or one in the place of another."""
        return Appliance(self.stage, self._appliance_image, MACHINE, "vm2.qmp")

    def new_guest(self, number: int) -> QemuGuest:
        """Start a guest, or one in the place of another."""
        guest = QemuGuest(self.stage, f"guest{number}", number, self._image, Nic("s"))
        guest.go_on()
        return guest

    def set_up_guest(self, number: int) -> None:
        """Wait until a guest has an address."""
        self.guests[number].wait_boot(PATIENCE)
        self.guests[number].configure(f"10.0.0.{number + 1}")

    def set_up_appliance(self) -> None:
        """Wait until the appliance can take adapters."""
        self.appliance.wait_boot(PATIENCE)
        self.appliance.prepare()
        # testpmd answers for any address.
        self.appliance.address = "10.0.0.9"

    def new_testpmd(self) -> ApplianceTestpmd:
        """Start a testpmd on all adapters."""
        return self.appliance.testpmd(allow=self.appliance.wait_adapters(2, PATIENCE)).ready()

    def serve(self) -> None:
        """Bring all guests' links up, and let echo requests pass, of which none is lost."""
        for port in self.back.ports():
            self.back.wait_link(True, port, PATIENCE)
        self.back.commands("set fwd icmpecho", "start")
        for guest in self.guests:
            guest.wait_reaches(self.appliance, PATIENCE)
            guest.ping(self.appliance)

    def attach(self, addresses: List[str]) -> None:
        """Let testpmd take adapters that have come."""
        self.back.command("stop")
        for address in addresses:
            self.back.attach(address)

    def unplug_all(self) -> None:
        """Unplug what is left of a daemon's adapters."""
        for name in self.appliance.devices():
            self.appliance.unplug(name)

    def others(self, names: List[str]) -> List[Dict[str, Any]]:
        """The daemon's adapters but those of these names."""
        return [adapter for adapter in self.daemon.adapters() if adapter["name"] not in names]

    def wait_adapters(self, number: int) -> List[str]:
        """Wait until so many adapters are in the appliance, and no more at the daemon."""
        def look() -> bool:
            adapters = self.daemon.adapters()
            return (len(adapters) == number and not self.daemon.waiting() and
                    all(adapter["attached"] for adapter in adapters))

        wait_until(look, PATIENCE, f"{number} adapters of the daemon that are plugged")
        return self.appliance.wait_adapters(number, PATIENCE)

    def drivers(self) -> int:
        """How many adapters have a driver."""
        return sum(adapter["driver-ready"] for adapter in self.daemon.adapters())

    def begin_probe(self, addresses: List[str], before: int) -> "ApplianceTestpmd":
        """Let another testpmd probe adapters; the first of them has a driver when this returns."""
        beside = self.appliance.testpmd(allow=addresses, memory=BESIDE)
        wait_until(lambda: self.drivers() > before or not beside.running(), PATIENCE,
                   "a driver that probes")
        return beside

    def usage(self) -> Usage:
        """What the daemon holds, when nothing is under way."""
        assert not strangers(self.stage.folder)
        assert not self.appliance.crashes()
        return Usage(self.daemon)

    def settled(self, wanted: Usage) -> None:
        """Wait until the daemon holds what is wanted, no more and no less."""
        try:
            wait_until(lambda: self.usage() == wanted, PATIENCE, "what was held before")
        except ProcessError:
            raise ProcessError(f"{self.usage()} is not {wanted}") from None


@pytest.fixture(scope="module", name="site")
def _site(backend: BackEnd, image: GuestImage, appliance_image: GuestImage) -> Iterator[Site]:
    """All machines, up and in touch."""
    with opened(backend, "test_adapter_kills") as stage:
        site = Site(stage, image, appliance_image)
        yield site
        site.back.quit()


def rounds(site: Site, late: Dict[str, Callable[[Site], None]],
           early: Dict[str, Callable[[Site], None]], renew: Callable[[Site], None]) -> None:
    """Kill who serves and who starts at each step, bring everything back, and look what is left."""
    wanted = site.usage()
    for _ in range(ROUNDS):
        for number, start in enumerate(early):
            end = list(late)[number % len(late)]
            began = time.monotonic()
            late[end](site)
            print(f"killed {end}: {time.monotonic() - began:.1f} s", flush=True)
            early[start](site)
            print(f"then {start}: {time.monotonic() - began:.1f} s", flush=True)
            renew(site)
            site.settled(wanted)
            print(f"killed {end}, then {start}: {time.monotonic() - began:.1f} s")


# The machine of a front-end.

def guest_stays(site: Site) -> None:
    """The other guest is served as if nothing had been, and nothing is left of the first one."""
    site.wait_adapters(1)
    site.guests[1].ping(site.appliance)


def lose_guest(site: Site) -> None:
    """Kill a guest that testpmd serves."""
    mark = site.back.mark()
    site.guests[0].process.kill()
    site.back.wait_detached(mark)
    guest_stays(site)


def guest_in_traffic(site: Site) -> None:
    """A guest sends."""
    site.guests[0].chatter(site.appliance)
    lose_guest(site)


def guest_in_shutdown(site: Site) -> None:
    """A guest's driver lets go of the device."""
    site.guests[0].send_reboot()
    wait_until(lambda: any(adapter["state"] != "ready" for adapter in site.daemon.adapters()),
               PATIENCE, "the end of the driver")
    lose_guest(site)


def guest_until(site: Site, reached: Callable[[List[Dict[str, Any]]], bool]) -> None:
    """Start a guest, and kill it when its adapter, if there is one, has come so far."""
    stays = [adapter["name"] for adapter in site.daemon.adapters()]
    guest = site.new_guest(0)
    wait_until(lambda: reached(site.others(stays)), PATIENCE, "a step of a guest's start", 0.005)
    guest.process.kill()
    guest_stays(site)


def guest_connects(site: Site) -> None:
    """QEMU has connected, and asks for features."""
    guest_until(site, lambda adapters: bool(site.daemon.waiting()))


def guest_is_complete(site: Site) -> None:
    """The guest's driver has started, memory and rings are known."""
    guest_until(site, bool)


def guest_is_plugged(site: Site) -> None:
    """The appliance gets the device."""
    guest_until(site, lambda adapters: any(adapter["attached"] for adapter in adapters))


def guest_is_probed(site: Site) -> None:
    """The driver in the appliance has found the device, and reads what was recorded."""
    stays = set(site.appliance.adapters())
    guest = site.new_guest(0)
    new = set(site.wait_adapters(2)) - stays
    beside = site.begin_probe(sorted(new), site.drivers())
    guest.process.kill()
    beside.end()
    guest_stays(site)


def renew_guest(site: Site) -> None:
    """A new guest is served."""
    stays = set(site.appliance.adapters())
    site.guests[0] = site.new_guest(0)
    site.set_up_guest(0)
    site.attach(sorted(set(site.wait_adapters(2)) - stays))
    site.serve()


def test_front_end_is_killed(site: Site) -> None:
    """The appliance and its other front-end live, and a new machine is served."""
    rounds(site, {"in traffic": guest_in_traffic, "in shutdown": guest_in_shutdown},
           {"connected": guest_connects, "complete": guest_is_complete,
            "plugged": guest_is_plugged, "probed": guest_is_probed}, renew_guest)


# The appliance.

def guests_stay(site: Site) -> None:
    """The guests run, and the daemon serves them still."""
    assert all(guest.process.running for guest in site.guests)
    wait_until(lambda: not any(adapter["attached"] for adapter in site.daemon.adapters()),
               PATIENCE, "the end of the appliance at the daemon")
    assert all(adapter["front-end"]["complete"] for adapter in site.daemon.adapters())


def appliance_in_traffic(site: Site) -> None:
    """Both guests' packets are under way."""
    for guest in site.guests:
        guest.chatter(site.appliance)
    site.appliance.process.kill()
    guests_stay(site)
    for guest in site.guests:
        guest.hush()


def appliance_in_shutdown(site: Site) -> None:
    """testpmd closes its ports."""
    site.back.begin_quit()
    wait_until(lambda: site.drivers() < 2, PATIENCE, "the end of a driver")
    site.appliance.process.kill()
    guests_stay(site)


def appliance_is_plugged(site: Site) -> None:
    """QEMU has connected to an adapter, and asks what it is."""
    site.appliance = site.new_appliance()
    wait_until(lambda: any(adapter["attached"] for adapter in site.daemon.adapters()), PATIENCE,
               "an appliance that connects", 0.005)
    site.appliance.process.kill()
    guests_stay(site)


def appliance_is_probing(site: Site) -> None:
    """The driver has found its first device."""
    site.appliance = site.new_appliance()
    site.set_up_appliance()
    site.begin_probe(site.wait_adapters(2), 0)
    site.appliance.process.kill()
    guests_stay(site)


def renew_appliance(site: Site) -> None:
    """A new appliance serves the guests, which have not noticed."""
    site.appliance = site.new_appliance()
    site.set_up_appliance()
    site.wait_adapters(2)
    site.back = site.new_testpmd()
    site.serve()
    assert {adapter["counters"]["sessions"] for adapter in site.daemon.adapters()} == {1}


def test_appliance_is_killed(site: Site) -> None:
    """The front-ends live, stay connected, and are served by a new appliance."""
    rounds(site, {"in traffic": appliance_in_traffic, "in shutdown": appliance_in_shutdown},
           {"plugged": appliance_is_plugged, "probing": appliance_is_probing}, renew_appliance)


# The daemon.

def machines_stay(site: Site) -> None:
    """All machines run."""
    assert all(guest.process.running for guest in site.guests)
    assert site.appliance.process.running
    assert site.back.running()


def daemon_in_traffic(site: Site) -> None:
    """Both guests' packets are under way; the driver takes its links down."""
    for guest in site.guests:
        guest.chatter(site.appliance)
    mark = site.back.mark()
    site.daemon.crash()
    for port in site.back.ports():
        site.back.wait_link(False, port, PATIENCE)
    assert site.back.output(mark).count(DEVICE_IS_GONE) == 2
    machines_stay(site)
    for guest in site.guests:
        guest.hush()
    remove_stale(site)


def remove_stale(site: Site) -> None:
    """What is left of adapters is unplugged: testpmd lets go of them."""
    mark = site.back.mark()
    site.unplug_all()
    site.back.wait_detached(mark, 2)
    site.appliance.wait_adapters(0)


def daemon_in_shutdown(site: Site) -> None:
    """It ends in good order, and was told that the first of its adapters is unplugged."""
    mark, log = site.back.mark(), site.daemon.err.mark()
    site.daemon.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: "unplugged" in site.daemon.err.since(log), PATIENCE, "the first to go",
               0.005)
    site.daemon.crash()
    # QEMU was asked for both.
    site.back.wait_detached(mark, 2)
    machines_stay(site)


def daemon_until(site: Site, buses: int, reached: Callable[[], bool]) -> None:
    """Start a daemon with so many buses, and kill it when it has come so far.

    QEMU 11.1 dies with a daemon that is killed between its device_add and the answer to that:
    no step is there.
    """
    site.daemon = site.new_daemon(buses).ready()
    wait_until(reached, PATIENCE, "a step of the daemon's start", 0.005)
    site.daemon.crash()
    machines_stay(site)


def daemon_listens(site: Site) -> None:
    """It takes front-ends from now on."""
    daemon_until(site, 0, lambda: True)


def daemon_is_connected(site: Site) -> None:
    """A front-end has come back."""
    daemon_until(site, 0, lambda: bool(site.daemon.waiting() or site.daemon.adapters()))


def daemon_is_plugged(site: Site) -> None:
    """The appliance gets a device."""
    daemon_until(site, 1, lambda: "plugged into" in site.daemon.err.since())


def daemon_is_probed(site: Site) -> None:
    """The driver has found a device, and reads what was recorded."""
    site.daemon = site.new_daemon().ready()
    beside = site.begin_probe(site.wait_adapters(2)[:1], 0)
    site.daemon.crash()
    machines_stay(site)
    # Linux gives a device of which nothing is left a minute to come back from its reset, and
    # resets it where its user ends, unless it is about to be removed.
    site.unplug_all()
    site.appliance.wait_request(PATIENCE)
    beside.end()
    site.appliance.wait_adapters(0, PATIENCE)


def renew_daemon(site: Site) -> None:
    """A new daemon clears away what is left of the old one, and all are served again."""
    site.daemon = site.new_daemon().ready()
    site.attach(site.wait_adapters(2))
    site.serve()


def test_daemon_is_killed(site: Site) -> None:
    """All machines live, see their links go down, and are served by a new daemon."""
    rounds(site, {"in traffic": daemon_in_traffic, "in shutdown": daemon_in_shutdown},
           {"listening": daemon_listens, "connected": daemon_is_connected,
            "plugged": daemon_is_plugged, "probed": daemon_is_probed}, renew_daemon)
