# SPDX-License-Identifier: BSD-3-Clause
"""The back-end under test: which driver it is, and what can be asked of it."""

from __future__ import annotations

import dataclasses
import os
from typing import List, Tuple

from . import settings


@dataclasses.dataclass(frozen=True)
class Offloads:
    """What the application needs to pass checksum and segmentation work along.

    The switches go to each device, the arguments to testpmd's command line, the
    commands to its prompt while all ports are stopped.
    """

    switches: Tuple[str, ...] = ()
    arguments: Tuple[str, ...] = ()
    commands: Tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class BackEnd:
    """A DPDK driver that is a vhost-user back-end."""

    #: Name of the virtual device, without the number.
    driver: str
    #: A plugin to load, or nothing where the distribution has the driver.
    plugin: str = ""
    #: Whether a socket file left by a dead process is replaced.
    replaces_stale_socket: bool = True
    #: Whether packets longer than an mbuf are an offload to ask for, or come unasked.
    scatters_on_request: bool = True

    def eal_args(self) -> List[str]:
        """EAL options that make the driver known."""
        return ["-d", os.path.basename(self.plugin)] if self.plugin else []

    def device(self, number: int, iface: str, *, client: bool = False, queues: int = 1,
               switches: Tuple[str, ...] = ()) -> str:
        """Name and arguments of a device, as --vdev and `port attach` take them."""
        parts = [f"{self.driver}{number}", f"iface={iface}", f"client={int(client)}",
                 f"queues={queues}", *switches]
        return ",".join(parts)

    def csum_offloads(self, ports: int) -> Offloads:
        """How an application that has a say in each packet (testpmd's csum engine) forwards."""
        raise NotImplementedError

    def io_offloads(self) -> Offloads:
        """How an application that passes packets on unseen (testpmd's io engine) forwards."""
        raise NotImplementedError

    def scatter_commands(self, port: int) -> List[str]:
        """testpmd commands that let a stopped port take packets longer than an mbuf."""
        commands = [f"port config {port} tx_offload multi_segs on"]
        if self.scatters_on_request:
            commands.append(f"port config {port} rx_offload scatter on")
        return commands

    def missing(self) -> str:
        """Why the driver can't be used here, or nothing."""
        if not self.plugin and self.driver == "net_vpci":
            return "VHOST_PCI_PLUGIN does not name the driver's shared object"
        return ""


_RX_CHECKSUMS = 0xc     # RTE_ETH_RX_OFFLOAD_UDP_CKSUM, RTE_ETH_RX_OFFLOAD_TCP_CKSUM
_RX_LRO = 0x10          # RTE_ETH_RX_OFFLOAD_TCP_LRO
#: Payload of a full segment, with TCP's time stamps in it.
_SEGMENT = 1448


class NetVpci(BackEnd):
    """The driver of this project."""

    def csum_offloads(self, ports: int) -> Offloads:
        """Checksums and segments of received packets are marked, those to be sent asked for."""
        commands: List[str] = []
        for port in range(ports):
            commands += [f"csum set ip sw {port}", f"csum set tcp hw {port}",
                         f"csum set udp hw {port}", f"tso set {_SEGMENT} {port}",
                         f"csum mac-swap off {port}"]
        commands.append("set fwd csum")
        return Offloads(("tso=1",), (f"--rx-offloads={_RX_CHECKSUMS | _RX_LRO:#x}",),
                        tuple(commands))

    def io_offloads(self) -> Offloads:
        """As with net_vhost, but packets longer than the MTU come only when asked for."""
        return Offloads(("tso=1", "legacy-ol-flags=1"), (f"--rx-offloads={_RX_LRO:#x}",))


class NetVhost(BackEnd):
    """DPDK's own driver: the control experiment."""

    def csum_offloads(self, ports: int) -> Offloads:
        """Of LRO and TSO the driver does not know; nothing but io does it justice."""
        return self.io_offloads()

    def io_offloads(self) -> Offloads:
        """Flags set on receive are those that transmit looks at: nothing to do."""
        return Offloads(("tso=1", "legacy-ol-flags=1"))


def under_test() -> BackEnd:
    """The back-end that the environment names."""
    if settings.BACKEND == "net_vhost":
        return NetVhost("net_vhost", replaces_stale_socket=False,
                        scatters_on_request=False)
    if settings.BACKEND == "net_vpci":
        if os.path.dirname(settings.PLUGIN) and not os.path.exists(settings.PLUGIN):
            raise FileNotFoundError(f"VHOST_PCI_PLUGIN={settings.PLUGIN} does not exist")
        return NetVpci("net_vpci", settings.PLUGIN)
    raise ValueError(f"VHOST_PCI_BACKEND={settings.BACKEND}: net_vpci or net_vhost")
