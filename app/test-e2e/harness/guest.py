# SPDX-License-Identifier: BSD-3-Clause
"""A Linux guest, controlled by commands over its console."""

from __future__ import annotations

import dataclasses
from typing import Dict, Tuple

from .process import Process, ProcessError, wait_until

#: Size of the file that is moved between guests.
FILE_BYTES = 16 << 20
#: What tells whether it has arrived intact: the fastest of busybox, where the processor is slow.
DIGEST = "md5sum"
_FILE = "/srv/file"
_PART_BYTES = 1 << 20


class CommandError(ProcessError):
    """A command in a guest has failed."""


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Counters of a guest's interface."""

    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int


class Guest:
    """What QEMU's and UML's guests have in common; `process` has the console."""

    process: Process
    interface = "eth0"
    address = ""

    def __init__(self) -> None:
        self._number = 0

    def take_over(self, other: "Guest") -> None:
        """Become the control of another one's guest, which has moved here with its agent."""
        self._number = other._number
        self.address = other.address

    def wait_boot(self, timeout: float = 40, mark: int = 0) -> None:
        """Wait until the guest takes commands."""
        self.process.out.expect(r"@ready \S+\n", timeout, mark, failure="Kernel panic")

    def send(self, command: str) -> None:
        """Send a shell command, and wait for nothing."""
        self._number += 1
        self.process.write(f"{self._number} {command}\n")

    def try_run(self, command: str, timeout: float = 30) -> Tuple[int, str]:
        """Run a shell command; its exit status and what it printed."""
        out = self.process.out
        mark = out.mark()
        self.send(command)
        match = out.expect(
            rf"(?s:@begin {self._number}\n(?P<text>.*?)\n@end {self._number} (?P<status>\d+)\n)",
            timeout, mark, failure="Kernel panic")
        return int(match["status"]), match["text"].strip()

    def run(self, command: str, timeout: float = 30) -> str:
        """Run a shell command that must succeed; what it printed."""
        status, text = self.try_run(command, timeout)
        if status != 0:
            raise CommandError(f"{self.process.name}: {command!r} ended with {status}: {text}")
        return text

    def configure(self, address: str) -> None:
        """Give the interface an address of 10.0.0.0/24 and bring it up."""
        self.address = address
        self.run(f"ip addr add {address}/24 dev {self.interface} && "
                 f"ip link set {self.interface} up")

    def wait_interface(self, timeout: float = 20) -> None:
        """Wait until the guest's driver has found the device."""
        wait_until(lambda: self.try_run(f"test -e /sys/class/net/{self.interface}")[0] == 0,
                   timeout, f"{self.process.name} to have {self.interface}")

    def carrier(self) -> bool:
        """Whether the interface, which must be up, sees a link."""
        return self.run(f"cat /sys/class/net/{self.interface}/carrier") == "1"

    def wait_carrier(self, up: bool, timeout: float = 20) -> None:
        """Wait until the guest sees the link up, or down."""
        wait_until(lambda: self.carrier() == up, timeout,
                   f"{self.process.name}: carrier {'up' if up else 'down'}", 0.1)

    def reaches(self, peer: "Guest") -> bool:
        """Whether one echo request is answered within a second."""
        return self.try_run(f"ping -c 1 -W 1 {peer.address}")[0] == 0

    def wait_reaches(self, peer: "Guest", timeout: float = 30) -> None:
        """Wait for the first answer, while links and neighbour tables settle."""
        wait_until(lambda: self.reaches(peer), timeout,
                   f"{self.process.name} to reach {peer.address}", 0.1)

    def ping(self, peer: "Guest", count: int = 10, size: int = 56) -> str:
        """Send echo requests as fast as they are answered, and all must be; the summary.

        The program gives the last answer a second and lets its socket overflow: whether
        they have come is known to the kernel.
        """
        before = self.echoes()
        text = self.try_run(f"ping -q -A -c {count} -s {size} -w 10 {peer.address}", 20)[1]

        def counts() -> Tuple[int, int]:
            now = self.echoes()
            return now[0] - before[0], now[1] - before[1]

        def answered() -> bool:
            sent, answers = counts()
            return sent >= count and answers >= sent

        try:
            wait_until(answered, 10, "the last answer", 0.1)
        except ProcessError:
            raise CommandError(f"{self.process.name}: echo requests to {peer.address} and "
                               f"their answers: {counts()}; {text}") from None
        return text

    def chatter(self, peer: "Guest") -> None:
        """Send echo requests without end, in the background."""
        self.run(f"ping -A {peer.address} >/dev/null 2>&1 &")

    def hush(self) -> None:
        """End what chatter() has started, so that others' echoes can be counted."""
        self.run("killall ping")
        wait_until(lambda: self.try_run("pidof ping")[0] != 0, 10, "the end of the chatter", 0.1)

    def echoes(self) -> Tuple[int, int]:
        """Echo requests that were sent, and answers that have come, since the guest started."""
        fields = self._protocols()["Icmp"]
        return fields["OutEchos"], fields["InEchoReps"]

    def make_file(self, size: int = FILE_BYTES) -> str:
        """Make a file and offer it by HTTP; its checksum.

        The content is random, and the same in each of its numbered parts: more of it takes a
        guest longer than to move it.
        """
        self.run(f"head -c {_PART_BYTES} /dev/urandom >/tmp/part; number=0; "
                 f"while [ $number -lt {size // _PART_BYTES} ]; do "
                 "number=$((number + 1)); echo $number; cat /tmp/part; "
                 f"done >{_FILE}; truncate -s {size} {_FILE}", 60)
        return self._offer_file()

    def fetch_file(self, peer: "Guest", timeout: float = 60) -> str:
        """Get the peer's file by TCP, and offer what has arrived; its checksum."""
        name = _FILE.rpartition("/")[2]
        self.run(f"wget -q -O {_FILE}.new http://{peer.address}/{name} && mv {_FILE}.new {_FILE}",
                 timeout)
        return self._offer_file()

    def _offer_file(self) -> str:
        if self.try_run("pidof httpd")[0] != 0:
            self.run("httpd -h /srv")
        return self.run(f"{DIGEST} {_FILE}", 60)

    def traffic(self) -> Traffic:
        """The interface's counters."""
        names = [field.name for field in dataclasses.fields(Traffic)]
        files = " ".join(f"/sys/class/net/{self.interface}/statistics/{name}" for name in names)
        return Traffic(*map(int, self.run(f"cat {files}").split()))

    def checksum_errors(self) -> int:
        """Packets dropped for a wrong TCP or UDP checksum."""
        return sum(fields.get("InCsumErrors", 0) for fields in self._protocols().values())

    def _protocols(self) -> Dict[str, Dict[str, int]]:
        """The kernel's counters of each protocol."""
        lines = self.run("cat /proc/net/snmp").splitlines()
        counters = {}
        for names, values in zip(lines[::2], lines[1::2]):
            protocol, *fields = names.split()
            counters[protocol.rstrip(":")] = dict(zip(fields, map(int, values.split()[1:])))
        return counters

    def features(self) -> int:
        """The virtio features that driver and device have agreed on."""
        bits = self.run(f"cat /sys/class/net/{self.interface}/device/features")
        return sum(1 << place for place, bit in enumerate(bits) if bit == "1")
