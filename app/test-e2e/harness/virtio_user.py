# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's virtio_user in a testpmd of its own, as a front-end."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Sequence, Tuple

from .process import ProcessError
from .stage import Stage, pair_args
from .testpmd import PortStats, Testpmd


#: An Ethernet frame, with its checksum.
ORDINARY_LENGTH = 1518
#: Size of an mbuf that holds a jumbo frame.
JUMBO_BUFFER = 9728


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """How the front-end is configured."""

    server: bool = False
    queues: int = 1
    packed: bool = False
    mrg_rxbuf: bool = True
    in_order: bool = True
    queue_size: int = 256
    #: The longest packet that either side is to take.
    max_length: int = ORDINARY_LENGTH

    def device(self, path: str, number: int = 0) -> str:
        """Name and arguments of the device."""
        return (f"net_virtio_user{number},path={path},server={int(self.server)},"
                f"queues={self.queues},queue_size={self.queue_size},"
                f"packed_vq={int(self.packed)},mrg_rxbuf={int(self.mrg_rxbuf)},"
                f"in_order={int(self.in_order)}")

    def __str__(self) -> str:
        parts = ["packed" if self.packed else "split", f"{self.queues}q",
                 "server" if self.server else "client"]
        if not self.mrg_rxbuf:
            parts.append("no-mrg")
        if not self.in_order:
            parts.append("no-in-order")
        return "-".join(parts)


@dataclasses.dataclass
class Pair:
    """A back-end's port and the front-end's port at its other end."""

    back: Testpmd
    front: Testpmd


def start_front(stage: Stage, config: FrontEnd, socket: str = "s", **options) -> Testpmd:
    """Start a front-end on its own core; wait for its prompt."""
    return front_ready(launch_front(stage, config, socket, **options), config)


def launch_front(stage: Stage, config: FrontEnd, socket: str = "s", *,
                 devices: Sequence[str] = (), app_args: Sequence[str] = (), **options) -> Testpmd:
    """Start a front-end on its own core; it is not ready yet."""
    args = [*app_args, *pair_args(config.queues)]
    if config.max_length > ORDINARY_LENGTH:
        args += [f"--max-pkt-len={config.max_length}", "--disable-device-start"]
        args += [] if config.mrg_rxbuf else [f"--mbuf-size={JUMBO_BUFFER}"]
    return stage.testpmd("frontend", [config.device(stage.path(socket)), *devices], core=1,
                         app_args=args, **options)


def front_ready(front: Testpmd, config: FrontEnd) -> Testpmd:
    """Wait for the prompt and, where that is put off, start the ports."""
    front.ready()
    if config.max_length > ORDINARY_LENGTH:
        front.command("port config 0 tx_offload multi_segs on")
        if config.mrg_rxbuf:
            front.command("port config 0 rx_offload scatter on")
        front.command("port start all")
    return front


def start_back(stage: Stage, config: FrontEnd, socket: str = "s", *,
               devices: Sequence[str] = (), app_args: Sequence[str] = (),
               switches: Tuple[str, ...] = (), **options) -> Testpmd:
    """Start a back-end for such a front-end; wait for its prompt."""
    device = stage.back_end_device(0, socket, client=config.server, queues=config.queues,
                                   switches=switches)
    args = [*app_args, *pair_args(config.queues)]
    jumbo = config.max_length > ORDINARY_LENGTH
    if jumbo:
        args += [f"--max-pkt-len={config.max_length}", "--disable-device-start"]
    back = stage.back_end([device, *devices], app_args=args, **options).ready()
    if jumbo:
        back.commands(*stage.backend.scatter_commands(0), "port start all")
    return back


def start_pair(stage: Stage, config: FrontEnd, socket: str = "s", *,
               switches: Tuple[str, ...] = ()) -> Pair:
    """Start both, the socket's server first, and wait for the link."""
    if config.server:
        # A virtio_user server has no prompt before its first client is there.
        front = launch_front(stage, config, socket)
        back = start_back(stage, config, socket, switches=switches)
        front_ready(front, config)
    else:
        back = start_back(stage, config, socket, switches=switches)
        front = start_front(stage, config, socket)
    back.wait_link(True)
    front.wait_link(True)
    return Pair(back, front)


def transfer(sender: Testpmd, receiver: Testpmd, packets: int = 100_000) -> PortStats:
    """Send at least so many packets one way, and find that none is lost.

    Returns what the receiver has counted.
    """
    receiver.commands("set fwd rxonly", "start")
    sender.command("set fwd txonly")
    sent, received = sender.stats(), receiver.stats()
    sender.command("start")
    receiver.wait_received(received.rx_packets + packets)
    sender.command("stop")
    sent = sender.stats() - sent
    if sent.tx_packets < packets:
        raise ProcessError(f"{sender.name} counts {sent.tx_packets} of {packets} packets")
    received = receiver.wait_received(received.rx_packets + sent.tx_packets) - received
    receiver.command("stop")
    if (received.rx_packets, received.rx_bytes) != (sent.tx_packets, sent.tx_bytes):
        raise ProcessError(f"{sender.name} sent {sent}, {receiver.name} received {received}")
    if received.rx_errors or received.rx_missed or received.rx_nombuf:
        raise ProcessError(f"{receiver.name} counts errors: {received}")
    return received


def transfer_both_ways(pair: Pair, packets: int = 100_000) -> None:
    """One way, then the other."""
    transfer(pair.front, pair.back, packets)
    transfer(pair.back, pair.front, packets)


def remove_socket(path: str) -> None:
    """A virtio_user server does not replace the file of a dead one."""
    pathlib.Path(path).unlink(missing_ok=True)
