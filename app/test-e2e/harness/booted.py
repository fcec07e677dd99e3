# SPDX-License-Identifier: BSD-3-Clause
"""Machines that have booted once, and are kept as they were then.

A guest that boots takes more time than most tests. So a machine of each kind boots once, without
the devices that a test is about, and further ones of its kind go on from there.
"""

from __future__ import annotations

import hashlib
import pathlib
import re
import subprocess
from typing import Any, Callable, List, Protocol, Sequence

from . import settings
from .guest_image import GuestImage
from .process import Process, ProcessError, wait_until


class Machine(Protocol):
    """A guest in QEMU."""

    process: Process

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Run one command of the machine protocol."""


def args(image: GuestImage, argv: Sequence[str], boot: Callable[[], Machine]) -> List[str]:
    """QEMU's arguments to begin with a machine's state, which is made now if the cache has none.

    The machine is known by QEMU's arguments, before which there may be a program that starts it.
    boot() starts one and returns when it has booted; the file that it comes from counts as well.
    """
    qemu = next(number for number, word in enumerate(argv) if word.startswith("qemu-system"))
    version = subprocess.run([*argv[:qemu + 1], "--version"], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, check=True).stdout
    maker = pathlib.Path(boot.__code__.co_filename).read_bytes()
    digest = hashlib.sha256((version + " ".join(argv)).encode() + maker).hexdigest()
    prefix = f"booted-{image.initramfs.stem}-"
    path = settings.CACHE / f"{prefix}{digest[:16]}"
    # From 8.2 on. A QEMU in a root of its own is newer, and there is no such program.
    major, minor = re.search(r"version (\d+)\.(\d+)", version).groups()
    knows_files = (int(major), int(minor)) >= (8, 2)
    with settings.locked_cache():
        if not path.exists():
            kind = image.initramfs.stem.partition("-")[0]
            for old in settings.CACHE.glob(f"booted-{kind}-*"):
                if not old.name.startswith(prefix):
                    old.unlink()
            machine = boot()
            _save(machine, f"file:{path}.new" if knows_files else f"exec:cat >{path}.new")
            pathlib.Path(f"{path}.new").rename(path)
            machine.process.kill()
    return ["-incoming", f"file:{path}" if knows_files else f"exec:cat {path}"]


def _save(machine: Machine, uri: str) -> None:
    """Stop a machine, and send its state somewhere."""
    def saved() -> bool:
        status = machine.qmp("query-migrate").get("status")
        if status == "failed":
            raise ProcessError(f"the state of {machine.process.name} can't be saved")
        return status == "completed"

    machine.qmp("stop")
    machine.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 33})
    machine.qmp("migrate", uri=uri)
    wait_until(saved, 60, f"the state of {machine.process.name}")


def wait_loaded(machine: Machine) -> None:
    """Wait until a machine has the state with which it begins; it stands still then."""
    wait_until(lambda: machine.qmp("query-status")["status"] != "inmigrate", 20,
               f"{machine.process.name} to have the state of one that has booted")
