# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves from one QEMU to another while it talks through the driver's ports."""

import dataclasses
import os
from typing import Callable

import pytest

from harness.guest_image import GuestImage
from harness.guest_pair import Application, Shape
from harness.journey import INTERVAL, AdapterPath, Journey, VdevPath
from harness.stage import Stage
from harness.virtio import CHECKSUM, SEGMENTATION

OFFLOADS = CHECKSUM | SEGMENTATION
#: Without offloads a file takes its time.
SHAPES = (Shape("split", without=OFFLOADS, application=Application.UNAWARE),
          Shape("packed", without=OFFLOADS, packed=True, application=Application.UNAWARE))
POSTCOPY_SHAPES = tuple(dataclasses.replace(shape, switches=("postcopy=1",)) for shape in SHAPES)
#: There and back again, as often as asked for.
ROUNDS = int(os.environ.get("VHOST_PCI_MIGRATIONS", "2"))
#: Through the adapter one move is enough to have been somewhere else.
ADAPTER_ROUNDS = int(os.environ.get("VHOST_PCI_MIGRATIONS", "1"))
#: Long enough to be on the way while the guest moves.
FILE_BYTES = 32 << 20
ADAPTER_FILE_BYTES = 12 << 20


def travel(journey: Journey, rounds: int, file_bytes: int,
           move: Callable[[Journey], float] = Journey.move) -> None:
    """No echo is lost but in the downtime, and a file that is on its way arrives intact."""
    checksum = journey.mover.make_file(file_bytes).split()[0]
    for number in range(rounds):
        journey.start_echoes()
        journey.start_download()
        gap = move(journey)
        assert journey.end_download() == checksum
        journey.meet()
        lost = journey.end_echoes()
        print(f"move {number}: {lost} echoes lost, gap of {gap:.1f} seconds")
        # One may be under way at either end of the gap, and the last has no time to come.
        assert lost <= gap / INTERVAL + 3, f"{lost} echoes lost, gap of {gap} seconds"
        journey.ping()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_migration(stage: Stage, image: GuestImage, shape: Shape) -> None:
    """The guest moves between ports of a process on the host."""
    travel(Journey(stage, image, shape, VdevPath(stage, shape)), ROUNDS, FILE_BYTES)


@pytest.mark.net_vhost_cannot("postcopy=1 is an argument of net_vpci")
@pytest.mark.parametrize("shape", POSTCOPY_SHAPES, ids=lambda shape: shape.name)
def test_postcopy(stage: Stage, image: GuestImage, shape: Shape) -> None:
    """The guest moves, its memory follows, and the port's page faults are served on the way."""
    travel(Journey(stage, image, shape, VdevPath(stage, shape)), 1, FILE_BYTES,
           Journey.move_before_memory)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_migration_through_adapters(stage: Stage, image: GuestImage, appliance_image: GuestImage,
                                    shape: Shape) -> None:
    """The guest moves between adapters of an appliance, whose daemon merges the logs."""
    path = AdapterPath(stage, appliance_image)
    travel(Journey(stage, image, shape, path), ADAPTER_ROUNDS, ADAPTER_FILE_BYTES)
