# SPDX-License-Identifier: BSD-3-Clause
"""The adapter: its daemon, and the appliance guest whose testpmd has our driver."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
from typing import Any, Dict, List, Sequence

from . import booted, settings
from .guest import Guest
from .guest_image import GuestImage, ImageError
from .process import Process, ProcessError, wait_until
from .qemu import qmp
from .stage import Stage
from .testpmd import PROMPT, PortStats

_FOLDER = pathlib.Path(__file__).parent.parent
_MAKE = _FOLDER / "guest" / "make-appliance"
_BUILDTOOLS = _FOLDER.parent.parent / "buildtools"
_CHROOT = _BUILDTOOLS / "qemu-chroot.sh"
_EXAMPLE = _BUILDTOOLS / "dpdk-example.sh"

#: One of DPDK's examples: it forwards between two ports.
L2FWD = settings.CACHE / "l2fwd"

#: The daemon under test.
DAEMON = os.environ.get("VHOST_PCI_DAEMON", "")

#: Our program that waits for Rx interrupts.
RX_INTR = os.environ.get("VHOST_PCI_RX_INTR", "")

#: Where the appliance finds our driver.
_GUEST_PLUGIN = "/usr/lib/vhost-pci/librte_net_vhost_pci.so"

#: The counters of a port, in the order of PortStats.
_COUNTERS = ("RX-packets", "TX-packets", "RX-bytes", "TX-bytes", "RX-errors", "TX-errors",
             "RX-missed", "RX-nombuf")

#: The class code in sysfs is of no use: these are vendor and device of the adapter.
_PCI_ID = "1af4 10f0"

#: EAL options of a testpmd for its memory, and of one more beside it.
HUGEPAGES = ("-m", "128")
BESIDE = ("--no-huge", "-m", "96", "--file-prefix=beside")


def missing() -> str:
    """Why there can be no adapter here, or nothing."""
    if not DAEMON or not os.path.exists(DAEMON):
        return "VHOST_PCI_DAEMON does not name the daemon"
    if not os.path.exists(settings.PLUGIN):
        return "VHOST_PCI_PLUGIN does not name the driver's shared object"
    if settings.PRELOAD:
        return "the appliance's testpmd can't be run with a sanitizer"
    if subprocess.run([str(_CHROOT), "--check"], check=False).returncode != 0:
        return ("no QEMU with vfio-user-pci: buildtools/qemu-chroot.sh gets one")
    return ""


def make_l2fwd() -> str:
    """Build DPDK's l2fwd if the cache has none; why that could not be, or nothing."""
    with settings.locked_cache():
        if L2FWD.exists():
            return ""
        done = subprocess.run([str(_EXAMPLE), "l2fwd", str(L2FWD)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no l2fwd: {done.stderr.strip()[-300:]}"


def appliance_image(image: GuestImage) -> GuestImage:
    """The appliance's image, from that of other guests; made now if the cache has none."""
    digest = hashlib.sha256()
    programs = [str(path) for path in (RX_INTR, L2FWD) if os.path.isfile(path)]
    for path in (image.initramfs, settings.PLUGIN, _MAKE, *programs):
        digest.update(pathlib.Path(path).read_bytes())
    target = settings.CACHE / f"appliance-{digest.hexdigest()[:16]}.gz"
    with settings.locked_cache():
        if not target.exists():
            for old in settings.CACHE.glob("appliance-*.gz"):
                old.unlink()
            modules = next((image.kernel.parent / "modules").iterdir())
            done = subprocess.run(
                [str(_MAKE), str(target), str(image.initramfs), str(modules), settings.PLUGIN,
                 *programs],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ImageError(f"{_MAKE.name}: {done.stderr.strip()}")
    return GuestImage(image.kernel, target)


class Daemon(Process):
    """A running vhost-pci-adapter, which listens on the stage's socket."""

    def __init__(self, stage: Stage, *options: str, listen: str = "s", status: str = "") -> None:
        self._status = stage.path(status or stage.unique("status"))
        argv = [DAEMON, "--log-level=debug", f"--status={self._status}", "--grace=0",
                f"--socket-dir={stage.folder}", f"--listen={stage.path(listen)}", *options]
        super().__init__(stage.unique("daemon"), argv, stage.folder)
        stage.add(self)
        self.listening = pathlib.Path(stage.path(listen))

    def ready(self) -> "Daemon":
        """Wait until front-ends can connect, to this one and not to what was here before."""
        def look() -> bool:
            try:
                return bool(self.status())
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        wait_until(look, 60, "the daemon's sockets")
        return self

    def adapters(self) -> List[Dict[str, Any]]:
        """What it says of each adapter."""
        return self.status()["endpoints"][0]["adapters"]

    def waiting(self) -> List[Dict[str, Any]]:
        """What it says of each front-end that has no adapter yet."""
        return self.status()["endpoints"][0]["waiting"]

    def wait_state(self, state: str, number: int = 0, timeout: float = 20) -> None:
        """Wait until an adapter is in a state."""
        def look() -> bool:
            adapters = self.adapters()
            return len(adapters) > number and adapters[number]["state"] == state

        wait_until(look, timeout, f"adapter {number} of the daemon in state {state}")

    def accesses(self, number: int = 0) -> Dict[str, int]:
        """How often the appliance has left guest mode for an adapter."""
        adapter = self.adapters()[number]
        vfio_user = adapter["vfio-user"]["counters"]
        return {"doorbells": adapter["counters"]["doorbells"],
                "reads": vfio_user["reads"], "writes": vfio_user["writes"]}

    def status(self) -> Dict[str, Any]:
        """What the daemon says of itself."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(settings.deadline(10))
            connection.connect(self._status)
            text = b""
            while True:
                data = connection.recv(65536)
                if not data:
                    return json.loads(text)
                text += data


@dataclasses.dataclass(frozen=True)
class Machine:
    """How the appliance is configured."""

    #: vfio-pci, or uio_pci_generic.
    driver: str = "vfio-pci"
    #: Options of EAL.
    eal_args: Sequence[str] = ("--vfio-intr=msi",)
    #: Arguments of each port's device.
    devargs: str = ""
    ports: int = 2
    #: Address space of each adapter's bus: at least the front-end's memory as a power of two.
    reserve: str = "2G"
    #: vfio-user sockets of adapters that are there from the beginning.
    cold: Sequence[str] = ()

    def kernel_args(self) -> str:
        """What the guest's kernel is told: vfio-pci needs an IOMMU."""
        return " intel_iommu=on" if self.driver == "vfio-pci" else ""

    def qemu_args(self) -> List[str]:
        """The IOMMU, and a bus for each adapter."""
        args = []
        if self.driver == "vfio-pci":
            args += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
        for number in range(self.ports):
            args += ["-device", f"pcie-root-port,id=rp{number},slot={number + 1},"
                                f"pref64-reserve={self.reserve},mem-reserve=16M"]
        for number, path in enumerate(self.cold):
            device = {"driver": "vfio-user-pci", "id": f"cold{number}", "bus": f"rp{number}",
                      "socket": {"type": "unix", "path": path}}
            args += ["-device", json.dumps(device)]
        return args


class Appliance(Guest):
    """A guest with adapters instead of virtio devices."""

    def __init__(self, stage: Stage, image: GuestImage, machine: Machine, qmp_name: str = "", *,
                 has_booted: bool = False) -> None:
        """Start it, or have it go on where one has booted and was prepared."""
        super().__init__()
        self._has_booted = has_booted
        self.machine = machine
        self.qmp_path = stage.path(qmp_name or stage.unique("appliance") + ".qmp")
        self._own_qmp_path = stage.path(stage.unique("appliance") + ".qmp")
        argv = [
            str(_CHROOT), "qemu-system-x86_64", "-nodefaults", "-no-user-config",
            "-display", "none", "-machine", "q35", "-accel", "tcg,thread=multi",
            # With 40 bits the firmware puts large BARs where Linux does not use them.
            "-cpu", "max,phys-bits=39", "-smp", "2", "-m", "640",
            "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
            "-append", "console=ttyS0 quiet nokaslr mitigations=off random.trust_cpu=on "
            # On a loaded machine its timer comes too late for the kernel's check.
            "no_timer_check" + machine.kernel_args(),
            "-chardev", "stdio,id=s0,signal=off", "-serial", "chardev:s0",
            *machine.qemu_args(),
        ]
        begin = []
        if has_booted:
            begin = booted.args(image, argv, lambda: self._boot(stage, image, machine))
        argv += [
            # One for the daemon, which stays connected, and one for the test.
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
            "-qmp", f"unix:{self._own_qmp_path},server=on,wait=off", *begin,
        ]
        self.process = stage.add(Process(stage.unique("appliance"), argv, stage.folder))
        if has_booted:
            booted.wait_loaded(self)
            self.qmp("cont")

    @staticmethod
    def _boot(stage: Stage, image: GuestImage, machine: Machine) -> "Appliance":
        """One that has booted, and is prepared."""
        appliance = Appliance(stage, image, machine)
        appliance.wait_boot()
        appliance.prepare()
        return appliance

    def wait_boot(self, timeout: float = 60, mark: int = 0) -> None:
        """Wait until the guest takes commands."""
        if not self._has_booted:
            super().wait_boot(timeout, mark)

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Run one command of the machine protocol."""
        return qmp(self._own_qmp_path, command, **arguments)

    def plug(self, path: str, name: str, number: int) -> None:
        """Plug the adapter with this vfio-user socket into a bus."""
        self.qmp("device_add", driver="vfio-user-pci", id=name, bus=f"rp{number}",
                 socket={"type": "unix", "path": path})

    def unplug(self, name: str) -> None:
        """Ask the guest to let go of an adapter."""
        self.qmp("device_del", id=name)

    def adapters(self) -> List[str]:
        """The PCI addresses of the adapters that the guest sees."""
        text = self.run("cd /sys/bus/pci/devices; for d in *; do "
                        "echo $d $(cat $d/vendor $d/device); done")
        wanted = " ".join(f"0x{part}" for part in _PCI_ID.split())
        return sorted(line.split()[0] for line in text.splitlines() if line.endswith(wanted))

    def wait_adapters(self, number: int, timeout: float = 20) -> List[str]:
        """Wait until the guest sees so many adapters; their addresses."""
        wait_until(lambda: len(self.adapters()) == number, timeout,
                   f"{number} adapters in the guest", 0.1)
        adapters = self.adapters()
        for address in adapters:
            wait_until(lambda path=f"/sys/bus/pci/devices/{address}/driver":
                       self.try_run(f"test -e {path}")[0] == 0, timeout,
                       f"{address} to have a driver in the guest", 0.1)
        return adapters

    def devices(self) -> List[str]:
        """The names of the adapters in QEMU, whether somebody is behind them or not."""
        objects = self.qmp("qom-list", path="/machine/peripheral")
        return [entry["name"] for entry in objects if "vfio-user-pci" in entry["type"]]

    def wait_request(self, timeout: float = 20) -> None:
        """Wait until the kernel has asked for a device that it wants to remove."""
        wait_until(lambda: self.try_run("dmesg | grep 'device request'")[0] == 0, timeout,
                   "the kernel's request for a device", 0.2)

    def crashes(self) -> str:
        """What the kernel says of programs that have crashed."""
        return self.try_run("dmesg | grep -A 1 'fatal signal'")[1]

    def prepare(self) -> None:
        """Load the driver that hands devices to user space, and reserve hugepages."""
        if self._has_booted:
            return
        # Where a program crashes, the kernel's log says so.
        self.run("echo 1 > /proc/sys/kernel/print-fatal-signals")
        self.run("mkdir -p /dev/shm /var/run /mnt/huge && mount -t tmpfs none /dev/shm && "
                 "echo 96 > /proc/sys/vm/nr_hugepages && mount -t hugetlbfs none /mnt/huge")
        if self.machine.driver == "vfio-pci":
            # The kernel would load it, had it a /sbin/modprobe.
            self.run("modprobe vfio_iommu_type1")
        self.run(f"modprobe {self.machine.driver}")
        self.run(f"echo {_PCI_ID} > /sys/bus/pci/drivers/{self.machine.driver}/new_id")

    def start_rx_intr(self, queues: int, packets: int) -> str:
        """Start the program that waits for Rx interrupts; the file it writes to."""
        output = "/run/rx_intr.out"
        self.run(f"{self._program('rx_intr', 1)} {queues} {packets} > {output} 2>&1 &")
        wait_until(lambda: "waiting" in self.try_run(f"cat {output}")[1], 60,
                   "the program that waits for interrupts", 0.2)
        return output

    def start_l2fwd(self) -> None:
        """Let DPDK's l2fwd forward between two adapters, and leave packets as they are."""
        self.run(f"{self._program('l2fwd', 2)} -p 3 -q 1 -T 0 --no-mac-updating "
                 "> /run/l2fwd.out 2>&1 & echo $! > /run/l2fwd.pid")

    def stop_l2fwd(self) -> str:
        """End it in good order; what it has printed."""
        self.run("kill -INT $(cat /run/l2fwd.pid)")
        wait_until(lambda: self.try_run("kill -0 $(cat /run/l2fwd.pid)")[0] != 0, 20,
                   "the end of l2fwd", 0.1)
        return self.run("cat /run/l2fwd.out")

    def _program(self, name: str, adapters: int) -> str:
        """The start of a program of ours, with an lcore for each adapter."""
        allowed = " ".join(f"-a {address}" for address in self.wait_adapters(adapters))
        eal = " ".join(self.machine.eal_args)
        return (f"/usr/lib/vhost-pci/{name} -l 0-{adapters - 1} --no-telemetry -m 128 {eal} "
                f"{allowed} -d {_GUEST_PLUGIN} --")

    def testpmd(self, *app_args: str, allow: Sequence[str] = (),
                memory: Sequence[str] = HUGEPAGES) -> "ApplianceTestpmd":
        """Start a testpmd on the adapters there are, or those that are allowed."""
        return ApplianceTestpmd(self, app_args, allow, memory)


class ApplianceTestpmd:
    """An interactive testpmd in the appliance: its input is a pipe there, its output a file."""

    _instances = 0

    #: For messages.
    name = "the appliance's testpmd"

    def __init__(self, guest: Appliance, app_args: Sequence[str], allow: Sequence[str],
                 memory: Sequence[str] = HUGEPAGES) -> None:
        ApplianceTestpmd._instances += 1
        self._guest = guest
        self._base = f"/run/testpmd{ApplianceTestpmd._instances}"
        devargs = f",{guest.machine.devargs}" if guest.machine.devargs else ""
        allowed = " ".join(f"-a {address}{devargs}" for address in allow)
        eal = " ".join([*memory, *guest.machine.eal_args])
        # It has both ends of its input: there is no end of file where nobody writes.
        guest.run(f"mkfifo {self._base}.in; "
                  "LD_PRELOAD=/usr/lib/vhost-pci/libstdbuf.so _STDBUF_O=L "
                  f"/usr/bin/dpdk-testpmd --lcores 0@0,1@1 --no-telemetry {eal} {allowed} "
                  "--log-level=pmd.net.vhost_pci:debug "
                  f"-d {_GUEST_PLUGIN} -- -i --total-num-mbufs=8192 {' '.join(app_args)} "
                  f"0<> {self._base}.in > {self._base}.out 2>&1 & echo $! > {self._base}.pid")
        self._mark = 0

    def output(self, mark: int = 0) -> str:
        """What it has printed, from a mark on."""
        return self._guest.run(f"tail -c +{mark + 1} {self._base}.out")

    def mark(self) -> int:
        """The place where the output ends now."""
        return int(self._guest.run(f"stat -c %s {self._base}.out"))

    def expect(self, pattern: str, timeout: float, mark: int = 0) -> "re.Match[str]":
        """Wait for a pattern in the output after a mark."""
        def look() -> Any:
            text = self.output(mark)
            match = re.search(pattern, text)
            if not match and not self.running():
                raise ProcessError(f"the appliance's testpmd ended:\n{text[-3000:]}")
            return match

        try:
            return wait_until(look, timeout, repr(pattern), 0.2)
        except ProcessError as error:
            raise ProcessError(f"{error}:\n{self.output()[-3000:]}") from None

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._guest.try_run(f"kill -0 $(cat {self._base}.pid)")[0] == 0

    def ready(self, timeout: float = 60) -> "ApplianceTestpmd":
        """Wait for the first prompt."""
        self.expect(re.escape(PROMPT.strip()), timeout)
        return self

    def command(self, line: str, timeout: float = 30) -> str:
        """Give a command; what it prints until the next prompt."""
        mark = self.mark()
        self._guest.run(f"echo '{line}' > {self._base}.in")
        self.expect(re.escape(PROMPT.strip()), timeout, mark)
        return self.output(mark)

    def commands(self, *lines: str) -> None:
        """Give several commands."""
        for line in lines:
            self.command(line)

    def stats(self, port: int = 0) -> PortStats:
        """The counters of a port."""
        text = self.command(f"show port stats {port}")
        values = dict(re.findall(r"([RT]X-\w+):\s+(\d+)", text))
        return PortStats(*(int(values[name]) for name in _COUNTERS))

    def received_by_queue(self, queues: int, port: int = 0) -> List[int]:
        """Packets that each queue has received."""
        text = self.command(f"show port xstats {port}")
        counts = dict(re.findall(r"(rx_q\d+_packets): (\d+)", text))
        return [int(counts[f"rx_q{queue}_packets"]) for queue in range(queues)]

    def wait_received(self, packets: int, port: int = 0, timeout: float = 30) -> PortStats:
        """Poll until so many packets have been received."""
        wait_until(lambda: self.stats(port).rx_packets >= packets, timeout,
                   f"{packets} packets in the appliance", 0.2)
        return self.stats(port)

    def link_is_up(self, port: int = 0) -> bool:
        """The link state, as an application sees it."""
        match = re.search(r"Link status: (up|down)", self.command(f"show port info {port}"))
        if not match:
            raise ProcessError(f"the appliance has no port {port}:\n{self.output()[-3000:]}")
        return match[1] == "up"

    def wait_link(self, up: bool, port: int = 0, timeout: float = 30) -> None:
        """Wait until the link is up, or down."""
        wait_until(lambda: self.link_is_up(port) == up, timeout,
                   f"link {'up' if up else 'down'} on port {port} of the appliance", 0.2)

    def ports(self) -> List[int]:
        """The numbers of the ports there are."""
        text = self.command("show port summary all")
        return [int(number) for number in re.findall(r"^(\d+)\s", text, re.M)]

    def wait_detached(self, mark: int, number: int = 1, timeout: float = 60) -> None:
        """Wait until so many devices were removed since the mark.

        It takes no commands meanwhile: testpmd removes them in another thread, and one that
        shows ports would read what is freed.
        """
        wait_until(lambda: self.output(mark).count("Device is detached") >= number, timeout,
                   f"the end of {number} ports of the appliance", 0.2)

    def attach(self, address: str) -> int:
        """Attach a device, and start its port; the number of that."""
        text = self.command(f"port attach {address}")
        match = re.search(r"Port (\d+) is attached", text)
        if not match:
            raise ProcessError(f"{address} is not attached:\n{text}")
        self.command(f"port start {match[1]}")
        return int(match[1])

    def quit(self, timeout: float = 30) -> None:
        """Leave by the prompt."""
        self.begin_quit()
        wait_until(lambda: not self.running(), timeout, "the end of testpmd", 0.2)

    def begin_quit(self) -> None:
        """Give the command to leave, and wait for nothing."""
        self._guest.run(f"echo quit > {self._base}.in")

    def end(self, timeout: float = 30) -> None:
        """Kill it, if it has not ended."""
        self._guest.try_run(f"kill -9 $(cat {self._base}.pid)")
        wait_until(lambda: not self.running(), timeout, "the end of testpmd", 0.1)
