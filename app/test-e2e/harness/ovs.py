# SPDX-License-Identifier: BSD-3-Clause
"""Open vSwitch with DPDK, as the distribution packages it, in a folder of its own.

The packages are unpacked into the cache and not installed: installed, they would start
services, and a machine that runs Open vSwitch already keeps its own.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import tempfile
from typing import Dict, List

from . import settings
from .guest_image import ImageError, run_tool
from .process import Process, ProcessError, wait_until
from .stage import Stage
from .testpmd import memory_args, sanitizer_env

_PACKAGES = ("openvswitch-common", "openvswitch-switch", "openvswitch-switch-dpdk")
_ROOT = settings.CACHE / "openvswitch"
_SCHEMA = _ROOT / "usr/share/openvswitch/vswitch.ovsschema"
_SWITCH = _ROOT / "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
_DATABASE = _ROOT / "usr/sbin/ovsdb-server"
_BRIDGE = "br0"


def missing() -> str:
    """Unpack the packages if the cache has none; why that could not be, or nothing."""
    with settings.locked_cache():
        try:
            if not _ROOT.is_dir():
                _unpack()
            for program in (_SWITCH, _DATABASE):
                lacking = [line.split()[0] for line in run_tool(["ldd", str(program)],
                                                                settings.CACHE).splitlines()
                           if "not found" in line]
                if lacking:
                    return f"{program.name} needs {', '.join(lacking)}"
        except ImageError as error:
            return f"no Open vSwitch: {error}"
    return ""


def _unpack() -> None:
    """Leave what the packages hold in the cache."""
    with tempfile.TemporaryDirectory(dir=settings.CACHE) as name:
        folder = pathlib.Path(name)
        run_tool(["apt-get", "download", *_PACKAGES], folder)
        for package in folder.glob("*.deb"):
            run_tool(["dpkg-deb", "-x", str(package), "root"], folder)
        (folder / "root").rename(_ROOT)


class OpenVSwitch:
    """A database, and a switch with one bridge whose datapath is in user space."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._env = {name: str(stage.folder) for name in
                     ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")}
        self._database = f"unix:{stage.path('db.sock')}"
        self._start_database()
        self._set_up_dpdk()
        self.process = self._start("ovs-vswitchd", [
            str(_SWITCH), self._database, f"--unixctl={stage.path('switch.ctl')}", "--no-chdir"],
            sanitizer_env(settings.PRELOAD))
        # Without --no-wait, ovs-vsctl returns when the switch has done it.
        self.vsctl("add-br", _BRIDGE, "--", "set", "bridge", _BRIDGE, "datapath_type=netdev")

    def _start(self, name: str, argv: List[str], env: Dict[str, str]) -> Process:
        return self._stage.add(Process(self._stage.unique(name), argv, self._stage.folder,
                                       {**self._env, **env}))

    def _start_database(self) -> None:
        path = self._stage.path("conf.db")
        run_tool([str(_ROOT / "usr/bin/ovsdb-tool"), "create", path, str(_SCHEMA)],
                 self._stage.folder)
        self._start("ovsdb-server", [
            str(_DATABASE), path, f"--remote=p{self._database}", "--no-chdir",
            f"--unixctl={self._stage.path('db.ctl')}"], {})
        listening = pathlib.Path(self._stage.path("db.sock"))
        wait_until(listening.exists, 20, "Open vSwitch's database")

    def _set_up_dpdk(self) -> None:
        """What a user sets once; EAL's options are those of every other process here."""
        extra = ["--no-pci", "--no-telemetry", f"--file-prefix=ovs-{os.getpid()}",
                 *memory_args(384), *self._stage.backend.eal_args()]
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
                   "other_config:dpdk-init=true", "other_config:dpdk-lcore-mask=0x1",
                   "other_config:pmd-cpu-mask=0x1", f'other_config:dpdk-extra="{" ".join(extra)}"')

    def vsctl(self, *arguments: str) -> str:
        """Run ovs-vsctl; what it prints."""
        done = subprocess.run(
            [str(_ROOT / "usr/bin/ovs-vsctl"), f"--db={self._database}",
             f"--timeout={settings.deadline(60):.0f}", *arguments],
            env={**os.environ, **self._env}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False)
        if done.returncode != 0 or done.stderr:
            raise ProcessError(f"ovs-vsctl {' '.join(arguments)}: status {done.returncode}: "
                               f"{done.stderr.strip()}")
        return done.stdout.strip()

    def add_port(self, name: str, number: int, socket: str, queues: int = 1) -> None:
        """Add a port, as the guide says; the driver makes its socket."""
        device = self._stage.back_end_device(number, socket, queues=queues)
        self.vsctl("add-port", _BRIDGE, name, "--", "set", "Interface", name, "type=dpdk",
                   f'options:dpdk-devargs="{device}"', f"options:n_rxq={queues}")

    def del_port(self, name: str) -> None:
        """Take a port away."""
        self.vsctl("del-port", _BRIDGE, name)

    def statistics(self, name: str) -> Dict[str, int]:
        """The counters of a port as they are now; the database has them every 5 s only."""
        text = run_tool([str(_ROOT / "usr/bin/ovs-ofctl"), "dump-ports",
                         self._stage.path(f"{_BRIDGE}.mgmt"), name], self._stage.folder)
        counts: Dict[str, int] = {}
        for way, line in re.findall(r"\b(rx|tx) (pkts=.*)", text):
            for key, value in re.findall(r"(\w+)=(\d+)", line):
                counts[f"{way}_{key}"] = int(value)
        return counts

    def wait_link(self, name: str, up: bool) -> None:
        """Wait until the switch knows that the link is up, or down."""
        wait_until(lambda: self.vsctl("get", "Interface", name, "link_state") ==
                   ("up" if up else "down"), 30, f"link of {name} {'up' if up else 'down'}", 0.1)

    def quit(self) -> None:
        """End the switch by its own command, which must succeed."""
        run_tool([str(_ROOT / "usr/bin/ovs-appctl"), "-t", self._stage.path("switch.ctl"), "exit"],
                 self._stage.folder)
        assert self.process.wait(30) == 0
