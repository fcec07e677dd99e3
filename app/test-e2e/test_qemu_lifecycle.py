# SPDX-License-Identifier: BSD-3-Clause
"""Guests reset, QEMU and the back-end crash and return, while guests talk."""

from typing import List

import pytest

from harness import guest_pair
from harness.guest import DIGEST, FILE_BYTES
from harness.guest_image import GuestImage
from harness.guest_pair import Application, GuestPair, Shape
from harness.process import wait_until
from harness.qemu import Nic, QemuGuest
from harness.stage import Stage
from harness.virtio import CHECKSUM, SEGMENTATION

SPLIT = Shape("split", application=Application.IO)
PACKED = Shape("packed", packed=True, application=Application.IO)
SOCKETS = ("s0", "s1")
ROUNDS = 2

ROLES = pytest.mark.parametrize("guest_serves", (False, True),
                                ids=("qemu-client", "qemu-server"))


class Scene:
    """A pair of guests, and how its parts are started anew."""

    def __init__(self, stage: Stage, image: GuestImage, shape: Shape,
                 guest_serves: bool = False) -> None:
        self.stage, self.image, self.shape = stage, image, shape
        self.guest_serves = guest_serves
        back = self.start_back()
        guests = guest_pair.start_guests(stage, shape, image, SOCKETS, server=guest_serves)
        self.guests: List[QemuGuest] = guests
        self.pair = GuestPair(back, list(guests), shape)
        self.pair.forward()

    def start_back(self):
        """A back-end process."""
        return guest_pair.start_back(self.stage, self.shape, SOCKETS, client=self.guest_serves)

    def start_guest(self, number: int) -> QemuGuest:
        """A guest in place of an earlier one; boots and gets its address."""
        nic = Nic(SOCKETS[number], self.guest_serves, self.shape.queues, self.shape.properties())
        guest = QemuGuest(self.stage, f"guest{number}", number + 1, self.image, nic)
        self.guests[number] = self.pair.guests[number] = guest
        guest.wait_boot()
        guest.configure(f"10.0.0.{number + 1}")
        return guest

    def chatter(self) -> None:
        """Let the second guest talk without end."""
        self.guests[1].chatter(self.guests[0])

    def check(self) -> None:
        """Both guests are in touch, and not only just; then the chatter goes on."""
        for port in range(2):
            self.pair.wait_link(port, True)
        self.pair.meet()
        self.guests[1].hush()
        self.pair.ping()
        self.chatter()


@pytest.mark.parametrize("shape", (SPLIT, PACKED), ids=lambda shape: shape.name)
def test_guest_restarts(stage: Stage, image: GuestImage, shape: Shape) -> None:
    """A guest's device stops and starts: by its driver, by QEMU, by reboot, by reset."""
    scene = Scene(stage, image, shape)
    guest, back = scene.guests[0], scene.pair.back
    scene.chatter()

    mark = back.out.mark()
    guest.run("modprobe -r virtio_net")
    mark = back.wait_link_event(mark)
    guest.run("modprobe virtio_net")
    guest.configure(guest.address)
    back.wait_link_event(mark)
    scene.check()

    mark = back.out.mark()
    guest.qmp("stop")
    mark = back.wait_link_event(mark)
    guest.qmp("cont")
    back.wait_link_event(mark)
    scene.check()

    for restart in (guest.send_reboot, guest.send_reset):
        boot, mark = guest.process.out.mark(), back.out.mark()
        restart()
        mark = back.wait_link_event(mark)
        # Nobody needs the processor more than a guest that boots.
        back.command("stop")
        guest.wait_boot(60, boot)
        back.command("start")
        guest.configure(guest.address)
        back.wait_link_event(mark)
        scene.check()


@ROLES
def test_guest_killed(stage: Stage, image: GuestImage, guest_serves: bool) -> None:
    """A QEMU that dies takes its link down; the next one gets it up again."""
    scene = Scene(stage, image, SPLIT, guest_serves)
    scene.chatter()
    for _ in range(ROUNDS):
        mark = scene.pair.back.out.mark()
        scene.guests[0].process.kill()
        scene.pair.back.wait_link_event(mark)
        scene.pair.back.wait_link(False)
        scene.start_guest(0)
        scene.check()


@ROLES
def test_back_end_killed(stage: Stage, image: GuestImage, guest_serves: bool) -> None:
    """Guests see the link go when the back-end dies, and find each other in the next one."""
    scene = Scene(stage, image, SPLIT, guest_serves)
    scene.chatter()
    for _ in range(ROUNDS):
        scene.pair.back.kill()
        for socket in SOCKETS if not guest_serves else ():
            stage.forget_socket(socket)
        scene.guests[0].wait_carrier(False)
        scene.pair.back = scene.start_back()
        scene.pair.back.command("start")
        scene.check()


def test_back_end_killed_in_transfer(stage: Stage, image: GuestImage) -> None:
    """A file that was on its way when the back-end died arrives intact."""
    # Small segments, so that it takes its time.
    scene = Scene(stage, image, Shape("plain", without=CHECKSUM | SEGMENTATION))
    sender, receiver = scene.guests
    checksum = sender.make_file(2 * FILE_BYTES)
    before = receiver.traffic().rx_bytes
    receiver.run(f"wget -q -O - http://{sender.address}/file | {DIGEST} >/tmp/sum 2>&1 &")
    wait_until(lambda: receiver.traffic().rx_bytes - before > 4 << 20, 20, "a part of the file")
    scene.pair.back.kill()
    assert receiver.run("cat /tmp/sum") == "", "the transfer was over before the kill"
    for socket in SOCKETS:
        stage.forget_socket(socket)
    scene.pair.back = scene.start_back()
    scene.pair.back.command("start")
    arrived = wait_until(lambda: receiver.run("cat /tmp/sum"), 60, "the rest of the file", 0.2)
    assert arrived.split()[0] == checksum.split()[0]


def test_guests_first(stage: Stage, image: GuestImage) -> None:
    """QEMUs that were started before the back-end go on when it is there."""
    guests = [QemuGuest(stage, f"guest{number}", number + 1, image, Nic(socket))
              for number, socket in enumerate(SOCKETS)]
    back = guest_pair.start_back(stage, SPLIT)
    for guest in guests:
        guest.wait_boot()
    pair = GuestPair(back, list(guests), SPLIT)
    pair.forward()
    pair.ping()


def test_port_detached(stage: Stage, image: GuestImage) -> None:
    """A port that is detached and attached again is found by its guest."""
    scene = Scene(stage, image, SPLIT)
    scene.chatter()
    back = scene.pair.back
    device = guest_pair.device(stage, SPLIT, 0, SOCKETS[0])
    for detach in ("port detach 0", f"device detach {device.partition(',')[0]}"):
        back.commands("stop", "port stop 0", detach)
        scene.guests[0].wait_carrier(False)
        assert back.ports() == [1]
        assert back.attach(device) == 0
        back.commands("port start 0", "start")
        scene.check()
