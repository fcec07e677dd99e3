# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests that are ordinary processes: User Mode Linux."""

from __future__ import annotations

import shutil
import signal

from .guest import Guest
from .guest_image import GuestImage, uml_modules
from .process import Process
from .stage import Stage

PROGRAM = "linux.uml"
_VIRTIO_ID_NET = 1


class UmlGuest(Guest):
    """A guest whose virtio_uml driver is a vhost-user front-end, and the socket's client."""

    def __init__(self, stage: Stage, name: str, image: GuestImage, socket: str) -> None:
        super().__init__()
        argv = [
            PROGRAM, "mem=128M", f"initrd={image.initramfs}", "quiet",
            f"virtio_uml.device={stage.path(socket)}:{_VIRTIO_ID_NET}",
            "con=null", "con0=fd:0,fd:1", f"uml_dir={stage.path('uml')}",
        ]
        # Asked to end, it takes along the processes that are its guest's programs.
        self.process = stage.add(Process(stage.unique(name), argv, stage.folder,
                                         env={"TMPDIR": "/dev/shm"},
                                         death_signal=signal.SIGTERM))


def program_missing() -> str:
    """Why User Mode Linux can't run here, or nothing."""
    if not shutil.which(PROGRAM):
        return f"{PROGRAM} is not installed"
    return "" if uml_modules() else "User Mode Linux has no modules"
