# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests in QEMU, without hardware virtualization."""

from __future__ import annotations

import dataclasses
import json
import shutil
import socket
import time
from typing import Any, Dict, List, Optional

from . import booted, settings
from .guest import Guest
from .guest_image import GuestImage
from .process import Process, ProcessError, wait_until
from .stage import Stage

PROGRAM = "qemu-system-x86_64"


@dataclasses.dataclass(frozen=True)
class Nic:
    """A virtio-net device with a vhost-user back-end."""

    socket: str
    #: Whether QEMU connects (and connects again), or waits to be connected to.
    server: bool = False
    queues: int = 1
    #: Further properties of the device, such as {"csum": "off"}.
    properties: Dict[str, str] = dataclasses.field(default_factory=dict)
    #: Whether the guest is behind a vIOMMU, and does all its transfers through it.
    viommu: bool = False

    def host_args(self, path: str) -> List[str]:
        """QEMU's arguments for the host's side of it."""
        role = "server=on,wait=off" if self.server else "server=off,reconnect=1"
        netdev = "vhost-user,id=n0,chardev=c0,vhostforce=on"
        if self.queues > 1:
            netdev += f",queues={self.queues}"
        return ["-chardev", f"socket,id=c0,path={path},{role}", "-netdev", netdev]

    def device(self, mac: str) -> str:
        """What the guest sees, as QEMU's -device and device_add have it."""
        # Under TCG, QEMU 7.2 crashes when the driver starts a device with vectors.
        device = f"virtio-net-pci,netdev=n0,mac={mac},vectors=0"
        if self.queues > 1:
            device += ",mq=on"
        if self.viommu:
            device += ",iommu_platform=on,ats=on,disable-legacy=on"
        return device + "".join(f",{name}={value}" for name, value in self.properties.items())


class Qmp:
    """The machine protocol: commands to the running QEMU."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(settings.deadline(20))
        self._socket.connect(path)
        self._file = self._socket.makefile("r", encoding="utf-8")
        # An event may be on its way when the machine takes the connection, and come first.
        while "QMP" not in self._read("the greeting"):
            pass
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command; its result."""
        message: Dict[str, Any] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self._socket.sendall((json.dumps(message) + "\n").encode())
        while True:
            reply = self._read(command)
            if "event" in reply:
                continue
            if "error" in reply:
                raise ProcessError(f"{command}: {reply['error']}")
            return reply["return"]

    def _read(self, what: str) -> Dict[str, Any]:
        """The next message."""
        line = self._file.readline()
        if not line:
            raise ProcessError(f"QEMU closed its control socket during {what}")
        return json.loads(line)

    def close(self) -> None:
        """Disconnect."""
        self._file.close()
        self._socket.close()


def qmp(path: str, command: str, /, **arguments: Any) -> Any:
    """Run one command of the QEMU with this control socket, which may be starting."""
    def connect() -> Any:
        try:
            return Qmp(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    connection = wait_until(connect, 10, "QEMU's control socket")
    try:
        return connection.execute(command, **arguments)
    finally:
        connection.close()


@dataclasses.dataclass(frozen=True)
class Hardware:
    """What a guest runs on, but for its network device."""

    image: GuestImage
    cpus: int = 1
    megabytes: int = 256
    #: The file that is its memory, or a nameless one.
    memory_file: str = ""
    viommu: bool = False
    #: Whether a network device can be plugged into its first bus.
    pluggable: bool = False

    def args(self) -> List[str]:
        """QEMU's arguments, and QEMU itself."""
        memory = f"{QemuGuest.memory_bytes(self.megabytes) // 1024}K"
        backend = f"memory-backend-file,mem-path={self.memory_file}" if self.memory_file else \
            "memory-backend-memfd"
        argv = [
            PROGRAM, "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", f"{'pc' if self.pluggable else 'q35'},memory-backend=m0",
            "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(self.cpus), "-m", memory,
            "-object", f"{backend},id=m0,size={memory},share=on",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initramfs),
            # On a loaded machine the timer comes too late for the kernel's check of it.
            "-append", "console=ttyS0 quiet nokaslr mitigations=off random.trust_cpu=on "
            "no_timer_check" + (" intel_iommu=on iommu=nopt" if self.viommu else ""),
            "-chardev", "stdio,id=s0,signal=off", "-serial", "chardev:s0",
        ]
        if self.viommu:
            # In caching mode, Linux unmaps each buffer at once rather than many at a time.
            argv += ["-device", "intel-iommu,intremap=on,device-iotlb=on,caching-mode=on"]
        return argv


class QemuGuest(Guest):
    """A guest in a QEMU of its own."""

    def __init__(self, stage: Stage, name: str, number: int, image: GuestImage,
                 nic: Optional[Nic], cpus: int = 1, megabytes: int = 256, *, incoming: str = "",
                 memory_file: str = "", cold: bool = False) -> None:
        """Start it. Unless it is to be cold, it goes on where one has booted, see go_on()."""
        super().__init__()
        self._qmp_path = stage.path(stage.unique(name) + ".qmp")
        #: Whether it has booted before, and nobody has waited for it yet.
        self._has_booted = bool(nic and not (incoming or memory_file or nic.viommu or cold))
        hardware = Hardware(image, cpus, megabytes, memory_file, bool(nic and nic.viommu),
                            self._has_booted or not nic)
        argv = [*hardware.args(), "-qmp", f"unix:{self._qmp_path},server=on,wait=off"]
        #: What is plugged before it goes on.
        self._to_plug = ""
        if nic:
            device = nic.device(f"52:54:00:00:00:{number:02x}")
            argv += nic.host_args(stage.path(nic.socket))
            if self._has_booted:
                self._to_plug = device
                argv += booted.args(image, hardware.args(), lambda: self._boot(stage, hardware))
            else:
                argv += ["-device", device]
        if incoming:
            argv += ["-incoming", incoming]
        self.process = stage.add(Process(stage.unique(name), argv, stage.folder))

    @staticmethod
    def _boot(stage: Stage, hardware: Hardware) -> "QemuGuest":
        """A guest without a network device, which has booted."""
        guest = QemuGuest(stage, "booting", 0, hardware.image, None, hardware.cpus,
                          hardware.megabytes)
        guest.wait_boot()
        return guest

    @staticmethod
    def memory_bytes(megabytes: int = 256) -> int:
        """What a guest of this size gets.

        QEMU before 9.0 loses what a guest under TCG writes while it migrates, where the
        memory is a multiple of 256 KiB ("physmem: Fix migration dirty bitmap coherency").
        """
        return (megabytes << 20) - (8 << 10)

    def go_on(self) -> None:
        """Plug the device of a guest that has booted before, and let it go on; but once."""
        device, self._to_plug = self._to_plug, ""
        if not device:
            return
        booted.wait_loaded(self)
        # Takes a device's properties as the command line does.
        complaint = self.qmp("human-monitor-command", **{"command-line": f"device_add {device}"})
        if complaint:
            raise ProcessError(f"{self.process.name}: {device}: {complaint}")
        self.qmp("cont")

    def wait_boot(self, timeout: float = 40, mark: int = 0) -> None:
        """Wait until the guest takes commands, and has its device."""
        if not self._has_booted:
            super().wait_boot(timeout, mark)
            return
        self.go_on()
        self.wait_interface(timeout)
        self._has_booted = False

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Run one command of the machine protocol."""
        return qmp(self._qmp_path, command, **arguments)

    def migrate(self, successor: "QemuGuest", uri: str) -> float:
        """Move the guest to a QEMU that waits for it at this address, while it runs.

        Whoever controlled the guest goes on with the successor. Returns when the guest was
        stopped, as a time.monotonic().
        """
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 30, "downtime-limit": 300})
        started = time.monotonic()
        self.qmp("migrate", uri=uri)
        answer = self.wait_migration("completed")
        successor.arrive(self)
        return started + (answer["total-time"] - answer["downtime"]) / 1000

    def migrate_postcopy(self, successor: "QemuGuest", uri: str) -> float:
        """As migrate(), but the guest goes first, and its memory follows, slowly.

        wait_migration() is due, before which speed_up() helps.
        """
        for qemu in (self, successor):
            qemu.qmp("migrate-set-capabilities",
                     capabilities=[{"capability": "postcopy-ram", "state": True}])
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 20,
                                              "max-postcopy-bandwidth": 2 << 20})
        self.qmp("migrate", uri=uri)
        self.wait_migration("active")
        stopped = time.monotonic()
        self.qmp("migrate-start-postcopy")
        self.wait_migration("postcopy-active")
        successor.arrive(self)
        return stopped

    def speed_up(self) -> None:
        """Let the memory that is still here follow as fast as it can."""
        self.qmp("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})

    def migration_status(self) -> str:
        """How far a migration from here is."""
        return self.qmp("query-migrate")["status"]

    def wait_migration(self, status: str, timeout: float = 120) -> Dict[str, Any]:
        """Wait until a migration from here has got so far; all that is known of it then."""
        def look() -> Any:
            answer = self.qmp("query-migrate")
            return answer if answer.get("status") in (status, "failed") else None

        answer = wait_until(look, timeout, f"a migration that is {status}")
        if answer["status"] == "failed":
            raise ProcessError(f"{self.process.name}: migration: {answer}")
        return answer

    def arrive(self, predecessor: "QemuGuest") -> None:
        """Wait until the guest that was a predecessor's runs here, and take control of it."""
        wait_until(lambda: self.qmp("query-status")["running"], 60, "the successor to run")
        self.take_over(predecessor)

    def reboot(self, timeout: float = 60) -> None:
        """Let the guest reboot itself, and wait until it is back."""
        mark = self.process.out.mark()
        self.send_reboot()
        self.wait_boot(timeout, mark)

    def send_reboot(self) -> None:
        """Let the guest reboot itself, its network down first, as an init would have it.

        Kernels that break their virtqueues when they shut down, and are older than "virtio_ring:
        fix infinite loop in virtnet_poll_cleantx when device is broken" (2026), may spin for ever
        on a queue with packets that the back-end has sent and they have not looked after yet.
        """
        self.send(f"ip link set {self.interface} down; reboot -f")

    def send_reset(self) -> None:
        """Press the reset button."""
        self.qmp("system_reset")


def program_missing() -> str:
    """Why QEMU can't run here, or nothing."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed"
