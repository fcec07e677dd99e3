# SPDX-License-Identifier: BSD-3-Clause
"""The dialect and the back-end channel between a front-end and the driver in an appliance."""

import os

import pytest

from harness.adapter import Appliance, Daemon, Machine
from harness.guest_image import GuestImage
from harness.process import Process
from harness.stage import Stage

#: Our front-end, which does what it is told.
FRONTEND = os.environ.get("VHOST_PCI_FRONTEND_TALK", "")
#: What adapters offer, and CONFIG.
PROTOCOL_FEATURES = 0x1823f
FRAMES = 300
#: The request that says that the configuration space has changed.
CONFIG_CHANGE = 2


class Talk:
    """The front-end in a process."""

    def __init__(self, stage: Stage, socket: str) -> None:
        argv = [FRONTEND, stage.path(socket)]
        self._process = stage.add(Process(stage.unique("talk"), argv, stage.folder))
        self._mark = 0

    def tell(self, line: str) -> None:
        """Give it something to do."""
        self._process.write(line + "\n")

    def hears(self, *lines: str) -> None:
        """Wait until it has told of each of these, in any order, since the last time."""
        ends = [self._process.out.expect(f"(?m)^{line}\n", 60, self._mark).end() for line in lines]
        self._mark = max(ends)

    def exchange(self) -> None:
        """Frames go to the appliance, and come back whole."""
        self.tell(f"exchange {FRAMES}")
        self.hears(f"exchanged {FRAMES}")


@pytest.mark.skipif(not os.path.exists(FRONTEND), reason="VHOST_PCI_FRONTEND_TALK names no program")
def test_dialect_and_channel(stage: Stage, appliance_image: GuestImage) -> None:
    """Each side turns packets off and on; the driver's requests reach the front-end."""
    appliance = Appliance(stage, appliance_image, Machine(ports=1, devargs="config=1"))
    appliance.wait_boot(120)
    appliance.prepare()
    daemon = Daemon(stage, f"--qmp={appliance.qmp_path}", "--bus=rp0", "--dialect=vhost-pci",
                    f"--protocol-features={PROTOCOL_FEATURES:#x}").ready()
    talk = Talk(stage, "s")
    talk.hears("connection 1")
    back = appliance.testpmd(allow=appliance.wait_adapters(1)).ready()
    # A front-end that speaks the dialect is to say that it wants packets, too.
    talk.hears("peer 1")
    talk.tell("say 1")
    talk.hears("answered 0")
    back.wait_link(True)
    back.command("start")
    talk.exchange()

    # The driver's side: the peer connection, and the link in the configuration space.
    back.command("set link-down port 0")
    talk.hears("peer 0", f"request {CONFIG_CHANGE}")
    back.command("set link-up port 0")
    talk.hears("peer 1", f"request {CONFIG_CHANGE}")
    back.wait_link(True)
    talk.exchange()

    # The front-end's.
    talk.tell("say 0")
    talk.hears("answered 0")
    back.wait_link(False)
    talk.tell("say 1")
    talk.hears("answered 0")
    back.wait_link(True)
    talk.exchange()
    assert daemon.adapters()[0]["counters"]["sessions"] == 1
