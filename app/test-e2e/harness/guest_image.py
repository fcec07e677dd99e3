# SPDX-License-Identifier: BSD-3-Clause
"""Kernel and initramfs of the guests, made once and kept in the cache."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import pathlib
import shutil
import subprocess
import tempfile
from typing import List, Optional

from . import settings

_SCRIPTS = pathlib.Path(__file__).parent.parent / "guest"
#: What goes into the image, and what makes it.
_SOURCES = ("agent", "init", "make-initramfs")
_UML_MODULES = pathlib.Path("/usr/lib/uml/modules")
_KERNEL_PACKAGE = "linux-image-cloud-amd64"


class ImageError(Exception):
    """The image can't be made here; says why."""


@dataclasses.dataclass(frozen=True)
class GuestImage:
    """What a guest boots from."""

    kernel: pathlib.Path
    initramfs: pathlib.Path


def run_tool(argv: List[str], folder: pathlib.Path) -> str:
    """Run a tool; its output, or ImageError."""
    try:
        done = subprocess.run(argv, cwd=folder, text=True, capture_output=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"{argv[0]}: {error}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise ImageError(f"{' '.join(argv[:3])} failed: {lines[-1]}")
    return done.stdout


def _kernel_package(folder: pathlib.Path) -> pathlib.Path:
    """The package that holds a cloud kernel: named by the user, or downloaded."""
    if settings.KERNEL_PACKAGE:
        return pathlib.Path(settings.KERNEL_PACKAGE).absolute()
    depends = run_tool(["apt-cache", "depends", _KERNEL_PACKAGE], folder).split()
    names = [word for word in depends if word.startswith("linux-image-") and
             word != _KERNEL_PACKAGE]
    if not names:
        raise ImageError(f"apt knows no {_KERNEL_PACKAGE}")
    run_tool(["apt-get", "download", names[0]], folder)
    return next(folder.glob("linux-image-*.deb"))


def _unpack_kernel(target: pathlib.Path) -> None:
    """Leave `vmlinuz` and `modules/VERSION` in the target folder."""
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = pathlib.Path(name)
        package = _kernel_package(folder)
        run_tool(["dpkg-deb", "-x", str(package), "root"], folder)
        unpacked = folder / "unpacked"
        (unpacked / "modules").mkdir(parents=True)
        shutil.move(next((folder / "root/boot").glob("vmlinuz-*")), unpacked / "vmlinuz")
        for version in (folder / "root/lib/modules").iterdir():
            shutil.move(version, unpacked / "modules")
        unpacked.rename(target)


def _initramfs_name(modules: List[pathlib.Path]) -> str:
    """A name that changes with whatever goes into the image."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((_SCRIPTS / name).read_bytes())
    for folder in modules:
        digest.update(str(folder).encode())
    return f"initramfs-{digest.hexdigest()[:16]}.gz"


def _kernel_folder(cache: pathlib.Path) -> pathlib.Path:
    """Where the unpacked kernel is, by the package it came from."""
    name = "kernel"
    if settings.KERNEL_PACKAGE:
        name += "-" + hashlib.sha256(settings.KERNEL_PACKAGE.encode()).hexdigest()[:16]
    return cache / name


def uml_modules() -> Optional[pathlib.Path]:
    """The modules of the installed User Mode Linux."""
    versions = sorted(_UML_MODULES.iterdir()) if _UML_MODULES.is_dir() else []
    return versions[-1] if versions else None


def image() -> GuestImage:
    """The image, made now if the cache has none; ImageError says why there can't be one."""
    cache = settings.CACHE
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = _kernel_folder(cache)
        if not kernel.is_dir():
            _unpack_kernel(kernel)
        modules = list((kernel / "modules").iterdir())
        uml = uml_modules()
        if uml:
            modules.append(uml)
        initramfs = cache / _initramfs_name(modules)
        if not initramfs.exists():
            run_tool([str(_SCRIPTS / "make-initramfs"), str(initramfs), *map(str, modules)], cache)
        return GuestImage(kernel / "vmlinuz", initramfs)
