# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests that are ordinary processes: User Mode Linux."""

from __future__ import annotations

import pathlib
import shutil
import signal
import subprocess
from typing import Sequence

from . import settings
from .guest import Guest
from .guest_image import GuestImage, uml_modules
from .process import Process
from .stage import Stage

PROGRAM = "linux.uml"
_VIRTIO_ID_NET = 1
_MAKE_KERNEL = pathlib.Path(__file__).parents[3] / "buildtools/uml-kernel.sh"


class UmlGuest(Guest):
    """A guest whose virtio_uml driver is a vhost-user front-end, and the socket's client."""

    def __init__(self, stage: Stage, name: str, image: GuestImage, socket: str, *,
                 program: str = PROGRAM, options: Sequence[str] = ()) -> None:
        super().__init__()
        argv = [
            program, "mem=128M", f"initrd={image.initramfs}", "quiet",
            f"virtio_uml.device={stage.path(socket)}:{_VIRTIO_ID_NET}",
            "con=null", "con0=fd:0,fd:1", f"uml_dir={stage.path('uml')}",
            *options,
        ]
        env = {"TMPDIR": "/dev/shm"}
        if settings.UML_PRELOAD:
            env["LD_PRELOAD"] = settings.UML_PRELOAD
        # Asked to end, it takes along the processes that are its guest's programs.
        self.process = stage.add(Process(stage.unique(name), argv, stage.folder,
                                         env=env,
                                         death_signal=signal.SIGTERM))


def program_missing() -> str:
    """Why User Mode Linux can't run here, or nothing."""
    if not shutil.which(PROGRAM):
        return f"{PROGRAM} is not installed"
    return "" if uml_modules() else "User Mode Linux has no modules"


def time_travel_missing() -> str:
    """Why there is no User Mode Linux with time travel, or nothing."""
    if subprocess.run([_MAKE_KERNEL, "--check"], check=False).returncode != 0:
        return "no User Mode Linux with time travel: buildtools/uml-kernel.sh makes one"
    return ""


class TimeTraveller(UmlGuest):
    """A guest whose clock stands still while it computes, or waits for the answer to a kick.

    While it idles the clock jumps to when there is something to do: it is no measure of what
    others need to answer, unless their answer comes by the time the kick is answered.
    """

    def __init__(self, stage: Stage, name: str, image: GuestImage, socket: str) -> None:
        super().__init__(stage, name, image, socket, program=str(settings.UML_KERNEL),
                         options=("time-travel=inf-cpu",))

    def uptime(self) -> float:
        """Seconds of its own time since it started."""
        return float(self.run("cat /proc/uptime").split()[0])
