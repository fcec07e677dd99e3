# SPDX-License-Identifier: BSD-3-Clause
"""Front-end and back-end come, go, crash, and return, while packets flow."""

from typing import Dict, Sequence

import pytest

from harness.process import ProcessError
from harness.stage import Stage
from harness.testpmd import Testpmd
from harness.virtio_user import (FrontEnd, Pair, remove_socket, start_back, start_front,
                                 start_pair, transfer, transfer_both_ways)

ROUNDS = 3
FEW = 20_000

RINGS = pytest.mark.parametrize("packed", (False, True), ids=("split", "packed"))
ROLES = pytest.mark.parametrize("front_serves", (False, True),
                                ids=("front-end-client", "front-end-server"))


def flood(sender: Testpmd, receiver: Testpmd) -> None:
    """Let packets flow one way, and leave both sides at it."""
    receiver.commands("set fwd rxonly", "start")
    sender.commands("set fwd txonly", "start")
    receiver.wait_received(receiver.stats().rx_packets + FEW)


@RINGS
@ROLES
@pytest.mark.parametrize("front_sends", (True, False), ids=("receiving", "sending"))
def test_front_end_killed(stage: Stage, packed: bool, front_serves: bool,
                          front_sends: bool) -> None:
    """A front-end that dies costs a link event; the next one finds the port working."""
    shape = FrontEnd(packed=packed, server=front_serves)
    pair = start_pair(stage, shape)
    for _ in range(ROUNDS):
        flood(*((pair.front, pair.back) if front_sends else (pair.back, pair.front)))
        mark = pair.back.out.mark()
        pair.front.kill()
        pair.back.wait_link_event(mark)
        pair.back.wait_link(False)
        pair.back.command("stop")

        if front_serves:
            remove_socket(stage.path("s"))
        mark = pair.back.out.mark()
        pair.front = start_front(stage, shape)
        pair.back.wait_link_event(mark)
        pair.back.wait_link(True)
        transfer_both_ways(pair, FEW)
    pair.front.quit()
    pair.back.quit()


@RINGS
@pytest.mark.parametrize("back_sends", (True, False), ids=("sending", "receiving"))
def test_back_end_killed(stage: Stage, packed: bool, back_sends: bool) -> None:
    """A front-end that outlives its back-end gets its packets through the next one."""
    shape = FrontEnd(packed=packed, server=True)
    pair = start_pair(stage, shape)
    for _ in range(ROUNDS):
        flood(*((pair.back, pair.front) if back_sends else (pair.front, pair.back)))
        mark = pair.front.out.mark()
        pair.back.kill()
        pair.front.wait_link_event(mark)
        pair.front.command("stop")

        pair.back = start_back(stage, shape)
        pair.front.wait_link(True)
        pair.back.wait_link(True)
        drain(pair.front)
        transfer_both_ways(pair, FEW)
    pair.front.quit()
    pair.back.quit()


def drain(front: Testpmd) -> None:
    """Let a front-end take what its dead back-end had left in its rings."""
    front.commands("set fwd rxonly", "start", "stop")


@RINGS
def test_back_end_server_killed(stage: Stage, packed: bool) -> None:
    """A back-end that serves the socket returns to the path its dead self has left."""
    shape = FrontEnd(packed=packed)
    pair = start_pair(stage, shape)
    for _ in range(ROUNDS):
        flood(pair.front, pair.back)
        mark = pair.front.out.mark()
        pair.back.kill()
        pair.front.wait_link_event(mark)
        pair.front.kill()
        stage.forget_socket("s")
        pair = start_pair(stage, shape)
        transfer_both_ways(pair, FEW)
    pair.front.quit()
    pair.back.quit()


def test_back_end_client_first(stage: Stage) -> None:
    """A back-end that connects waits for the front-end's socket to appear."""
    shape = FrontEnd(server=True)
    back = start_back(stage, shape)
    assert not back.link_is_up()
    mark = back.out.mark()
    front = start_front(stage, shape)
    back.wait_link_event(mark)
    back.wait_link(True)
    front.wait_link(True)
    transfer_both_ways(Pair(back, front), FEW)
    front.quit()
    back.quit()


@RINGS
@pytest.mark.parametrize("between", ((), ("port config all rxd 512", "port config all txd 512")),
                         ids=("restarted", "reconfigured"))
def test_port_restarts(stage: Stage, packed: bool, between: Sequence[str]) -> None:
    """A port that stops and starts while its front-end sends goes on where it was."""
    pair = start_pair(stage, FrontEnd(packed=packed))
    for _ in range(ROUNDS):
        flood(pair.front, pair.back)
        pair.back.commands("stop", "port stop 0", *between, "port start 0")
        pair.back.wait_link(True)
        pair.back.command("start")
        pair.back.wait_received(pair.back.stats().rx_packets + FEW)
        pair.front.command("stop")
        settle(pair.back)
        pair.back.command("stop")
        transfer_both_ways(pair, FEW)
    pair.front.quit()
    pair.back.quit()


def settle(receiver: Testpmd) -> None:
    """Wait until the receiver has taken all that was sent."""
    counts: Dict[str, int] = {"last": -1}

    def quiet() -> bool:
        now = receiver.stats().rx_packets
        same = now == counts["last"]
        counts["last"] = now
        return same

    for _ in range(3):
        receiver.wait_stats(lambda _: quiet(), "no more packets")


@pytest.mark.parametrize("closed", (True, False), ids=("closed-first", "detached-at-once"))
@pytest.mark.parametrize("packed, front_serves", ((False, False), (True, True)),
                         ids=("split-client", "packed-server"))
def test_port_detached(stage: Stage, packed: bool, front_serves: bool, closed: bool) -> None:
    """A port that is detached under traffic can be attached again, on the same path."""
    shape = FrontEnd(packed=packed, server=front_serves)
    pair = start_pair(stage, shape)
    device = stage.back_end_device(0, "s", client=front_serves)
    name = device.partition(",")[0]
    for _ in range(2):
        flood(pair.front, pair.back)
        pair.back.commands("stop", "port stop 0")
        mark = pair.front.out.mark()
        if closed:
            pair.back.command("port close 0")
        pair.back.command(f"device detach {name}" if closed else "port detach 0")
        assert pair.back.ports() == []
        pair.front.wait_link_event(mark)
        pair.front.command("stop")
        if not front_serves:
            pair.front.kill()
        assert pair.back.attach(device) == 0
        pair.back.command("port start 0")
        if not front_serves:
            pair.front = start_front(stage, shape)
        pair.front.wait_link(True)
        pair.back.wait_link(True)
        drain(pair.front)
        transfer_both_ways(pair, FEW)
    pair.front.quit()
    pair.back.quit()


@RINGS
@ROLES
def test_front_end_renegotiates(stage: Stage, packed: bool, front_serves: bool) -> None:
    """A front-end that resets its device, asks for other features and starts anew."""
    pair = start_pair(stage, FrontEnd(packed=packed, server=front_serves))
    for number in range(ROUNDS):
        flood(pair.back, pair.front)
        pair.front.command("stop")
        mark = pair.back.out.mark()
        # Another set of offloads is another set of features: virtio resets the device.
        pair.front.commands("port stop 0",
                            f"port config 0 rx_offload tcp_cksum {'off' if number % 2 else 'on'}",
                            "port start 0")
        mark = pair.back.wait_link_event(mark)
        pair.back.wait_link_event(mark)
        pair.back.wait_link(True)
        pair.front.wait_link(True)
        pair.back.command("stop")
        transfer_both_ways(pair, FEW)
    pair.front.quit()
    pair.back.quit()


def test_neighbour_unharmed(stage: Stage) -> None:
    """While one port's front-end dies and returns, the other port's packets flow."""
    shape = FrontEnd()
    devices = [stage.back_end_device(number, f"s{number}") for number in range(2)]
    back = stage.back_end(devices, app_args=["--port-topology=loop"]).ready()
    fronts = [start_front(stage, shape, f"s{number}") for number in range(2)]
    for port, front in enumerate(fronts):
        back.wait_link(True, port)
        front.commands("set fwd txonly", "start")
    back.commands("set fwd rxonly", "start")
    for _ in range(ROUNDS):
        back.wait_received(back.stats(1).rx_packets + FEW, 1)
        mark = back.out.mark()
        fronts[1].kill()
        back.wait_link_event(mark, 1)
        back.wait_link(False, 1)
        back.wait_received(back.stats(0).rx_packets + FEW, 0)
        fronts[1] = start_front(stage, shape, "s1")
        back.wait_link(True, 1)
        fronts[1].commands("set fwd txonly", "start")
    assert "Port 0: " not in back.out.since(mark), "the other port's link has changed"
    for front in fronts:
        front.command("stop")
        front.quit()
    back.command("stop")
    back.quit()


def test_application_quits_first(stage: Stage) -> None:
    """A back-end that leaves in an orderly way takes its socket file along."""
    pair = start_pair(stage, FrontEnd())
    flood(pair.front, pair.back)
    mark = pair.front.out.mark()
    pair.back.command("stop")
    pair.back.quit()
    pair.front.wait_link_event(mark)
    if (stage.folder / "s").exists():
        raise ProcessError("the socket file is still there")
    # A virtio_user client that tells a dead back-end of its own end dies of SIGPIPE.
    pair.front.kill()
