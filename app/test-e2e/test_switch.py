# SPDX-License-Identifier: BSD-3-Clause
"""Many front-ends at one socket, with the example application whose ports come and go."""

from typing import List

import pytest

from harness import settings, uml
from harness.guest import Guest
from harness.guest_image import GuestImage
from harness.stage import Stage
from harness.switch import Switch
from harness.uml import UmlGuest

SOCKET = "s"

pytestmark = [
    pytest.mark.net_vhost_cannot("serves one front-end at a socket"),
    pytest.mark.skipif(bool(uml.program_missing()), reason=uml.program_missing()),
    pytest.mark.skipif(not settings.SWITCH, reason="no switch was built"),
]


def start_guest(stage: Stage, image: GuestImage, number: int) -> Guest:
    """A machine at the one socket that there is."""
    guest = UmlGuest(stage, f"uml{number}", image, SOCKET)
    guest.wait_boot()
    guest.configure(f"10.0.0.{number + 1}")
    return guest


def meet(guests: List[Guest]) -> None:
    """Each machine reaches each other one, and no echo is lost."""
    for guest in guests:
        for peer in guests:
            if peer is not guest:
                guest.wait_reaches(peer)
                guest.ping(peer)


def test_machines_come_and_go(stage: Stage, image: GuestImage) -> None:
    """Three machines talk to each other; one dies, and another one takes its place."""
    # virtio_uml of Linux 6.1 starts a packed virtqueue with wrap counters of 0.
    switch = Switch(stage, SOCKET, 3, ("packed=0",))
    guests = [start_guest(stage, image, 0)]
    for number in (1, 2):
        mark = switch.out.mark()
        guests.append(start_guest(stage, image, number))
        switch.wait_added(number, mark)
    meet(guests)
    mark = switch.out.mark()
    guests[1].process.kill()
    switch.wait_removed(1, mark)
    meet([guests[0], guests[2]])
    mark = switch.out.mark()
    guests[1] = start_guest(stage, image, 1)
    switch.wait_added(1, mark)
    # The machine that is new has an address of its own, which others are yet to learn.
    for guest in (guests[0], guests[2]):
        guest.run(f"ip neigh flush dev {guest.interface}")
    meet(guests)
    switch.quit()
