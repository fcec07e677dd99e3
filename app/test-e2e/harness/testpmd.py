# SPDX-License-Identifier: BSD-3-Clause
"""The distribution's dpdk-testpmd, driven from its prompt."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import Dict, List, Sequence

from .process import Process, ProcessError, wait_until

PROGRAM = "dpdk-testpmd"
PROMPT = "testpmd> "
LINK_EVENT = "link state change event"


@dataclasses.dataclass(frozen=True)
class PortStats:
    """Counters of a port, as `show port stats` prints them."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_missed: int
    rx_nombuf: int

    def __sub__(self, other: "PortStats") -> "PortStats":
        ours, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return PortStats(*(a - b for a, b in zip(ours, theirs)))


def free_hugepages() -> int:
    """Number of 2 MB pages nobody uses."""
    path = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    return int(path.read_text()) if path.exists() else 0


def memory_args(megabytes: int) -> List[str]:
    """EAL options for memory that can be shared and that nobody else sees."""
    if free_hugepages() * 2 >= megabytes:
        return ["--in-memory", "--single-file-segments", "-m", str(megabytes)]
    return ["--no-huge", "-m", str(megabytes)]


def sanitizer_env(preload: str) -> Dict[str, str]:
    """The environment of a program that loads a plugin built with a sanitizer."""
    if not preload:
        return {}
    # Leaks are looked for as well, but those of others do not change the exit status.
    return {"LD_PRELOAD": preload,
            "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:handle_abort=1",
            "LSAN_OPTIONS": "exitcode=0:report_objects=0",
            "UBSAN_OPTIONS": "print_stacktrace=1"}


class Testpmd(Process):
    """An interactive testpmd, with its forwarding threads (lcores) on one core."""

    __test__ = False

    def __init__(self, name: str, folder: pathlib.Path, *, devices: Sequence[str],
                 core: int = 0, eal_args: Sequence[str] = (), app_args: Sequence[str] = (),
                 forwarders: int = 1, megabytes: int = 192, mbufs: int = 8192,
                 preload: str = "") -> None:
        core %= os.cpu_count() or 1
        lcores = ",".join(f"{lcore}@{core}" for lcore in range(forwarders + 1))
        argv = [PROGRAM, "--lcores", lcores, "--no-pci", "--no-telemetry",
                f"--file-prefix={name}-{os.getpid()}", *memory_args(megabytes), *eal_args]
        for device in devices:
            argv += ["--vdev", device]
        argv += ["--", "-i", f"--nb-cores={forwarders}", f"--total-num-mbufs={mbufs}", *app_args]
        super().__init__(name, argv, folder, sanitizer_env(preload))

    def ready(self, timeout: float = 20) -> "Testpmd":
        """Wait for the first prompt."""
        self.out.expect(re.escape(PROMPT), timeout)
        failed = re.search("Fail to configure port|Start ports failed", self.err.since())
        if failed:
            raise ProcessError(f"{self.name}: {failed.group()}:\n{self.err.since()[-1500:]}")
        return self

    def command(self, line: str, timeout: float = 15) -> str:
        """Give a command; what it prints until the next prompt."""
        mark = self.out.mark()
        self.write(line + "\n")
        match = self.out.expect(re.escape(PROMPT), timeout, mark)
        text = self.out.since(mark)[:match.start() - mark]
        return text.partition("\n")[2]

    def commands(self, *lines: str) -> None:
        """Give several commands, one after the other."""
        for line in lines:
            self.command(line)

    def reconfigure(self, commands: Sequence[str], port: int = 0) -> None:
        """Give commands that a port takes only while it is stopped."""
        for line in (f"port stop {port}", *commands, f"port start {port}"):
            text = self.command(line)
            if re.search("error|fail|bad argument", text, re.I):
                raise ProcessError(f"{self.name}: {line!r}: {text}")

    def stats(self, port: int = 0) -> PortStats:
        """The counters of a port."""
        text = self.command(f"show port stats {port}")
        values = {name: int(value) for name, value in
                  re.findall(r"([RT]X-\w+):\s+(\d+)", text)}
        try:
            return PortStats(
                values["RX-packets"], values["TX-packets"], values["RX-bytes"],
                values["TX-bytes"], values["RX-errors"], values["TX-errors"],
                values["RX-missed"], values["RX-nombuf"])
        except KeyError as error:
            raise ProcessError(f"{self.name}: no {error} in the statistics:\n{text}") from None

    def xstats(self, port: int = 0) -> Dict[str, int]:
        """The extended counters of a port."""
        text = self.command(f"show port xstats {port}")
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", text, re.M)}

    def queue_counts(self) -> Dict[str, int]:
        """Packets forwarded, by receiving and sending queue: `rx0/1` is port 0 queue 1."""
        text = self.command("show fwd stats all")
        counts: Dict[str, int] = {}
        streams = re.findall(r"RX Port=\s*(\d+)/Queue=\s*(\d+) -> TX Port=\s*(\d+)/Queue=\s*(\d+)"
                             r" -+\n\s+RX-packets:\s+(\d+)\s+TX-packets:\s+(\d+)", text)
        for rx_port, rx_queue, tx_port, tx_queue, received, sent in streams:
            counts[f"rx{rx_port}/{rx_queue}"] = int(received)
            counts[f"tx{tx_port}/{tx_queue}"] = int(sent)
        return counts

    def port_info(self, port: int = 0) -> str:
        """What `show port info` says."""
        return self.command(f"show port info {port}")

    def ports(self) -> List[int]:
        """The numbers of the ports there are."""
        text = self.command("show port summary all")
        return [int(number) for number in re.findall(r"^(\d+)\s", text, re.M)]

    def link_is_up(self, port: int = 0) -> bool:
        """The link state, as an application sees it."""
        match = re.search(r"Link status: (up|down)", self.port_info(port))
        if not match:
            raise ProcessError(f"{self.name}: port {port} has no link status")
        return match.group(1) == "up"

    def wait_link(self, up: bool, port: int = 0, timeout: float = 15) -> None:
        """Wait until the link is up, or down."""
        wait_until(lambda: self.link_is_up(port) == up, timeout,
                   f"{self.name}: link {'up' if up else 'down'} on port {port}")

    def wait_link_event(self, mark: int, port: int = 0, timeout: float = 15) -> int:
        """Wait for the event that tells of a link change; the place after it."""
        return self.out.expect(rf"Port {port}: {LINK_EVENT}", timeout, mark).end()

    def wait_stats(self, condition, what: str, port: int = 0, timeout: float = 15) -> PortStats:
        """Poll the counters until they satisfy the condition."""
        last: List[PortStats] = []

        def check() -> bool:
            last[:] = [self.stats(port)]
            return condition(last[0])

        try:
            wait_until(check, timeout, what)
        except ProcessError as error:
            raise ProcessError(f"{self.name}: {error}; last: {last}") from None
        return last[0]

    def wait_received(self, packets: int, port: int = 0, timeout: float = 15) -> PortStats:
        """Poll until so many packets have been received."""
        return self.wait_stats(lambda now: now.rx_packets >= packets,
                               f"{packets} packets received", port, timeout)

    def attach(self, device: str) -> int:
        """Attach a device; the number of its port."""
        text = self.command(f"port attach {device}")
        match = re.search(r"Port (\d+) is attached", text)
        if not match:
            raise ProcessError(f"{self.name}: {device} is not attached:\n{text}\n"
                               f"{self.err.since()[-1000:]}")
        return int(match.group(1))

    def quit(self, timeout: float = 15) -> None:
        """Leave by the prompt; anything but a clean end is a failure."""
        self.write("quit\n")
        status = self.wait(timeout)
        self.check()
        if status != 0:
            raise ProcessError(f"{self.name} ended with status {status}")


def program_missing() -> str:
    """Why testpmd can't run here, or nothing."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.access(os.path.join(folder, PROGRAM), os.X_OK):
            return ""
    return f"{PROGRAM} is not installed"
