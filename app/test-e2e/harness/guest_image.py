# SPDX-License-Identifier: BSD-3-Clause
"""Kernel and initramfs of the guests, made once and kept in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import shutil
import struct
import subprocess
import tempfile
from typing import List, Optional

from . import settings

_SCRIPTS = pathlib.Path(__file__).parent.parent / "guest"
#: What goes into the image, and what makes it.
_SOURCES = ("agent", "init", "make-initramfs")
_UML_MODULES = pathlib.Path("/usr/lib/uml/modules")
_KERNEL_PACKAGE = "linux-image-cloud-amd64"
#: How a compressed kernel begins, and what decompresses it.
_COMPRESSIONS = {b"\x02\x21\x4c\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd",
                 b"\xfd7zXZ\0": "xz", b"\x1f\x8b\x08": "gzip"}


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


def _decompress(kernel: pathlib.Path) -> None:
    """Leave `vmlinux` beside a `vmlinuz`, where it is known how.

    QEMU boots either. A guest that decompresses its kernel where it had code before, at a reboot,
    takes many times as long for it as at first: QEMU has translated what is overwritten.
    """
    image = kernel.read_bytes()
    # "The Linux/x86 Boot Protocol": setup_sects, payload_offset, payload_length.
    offset, length = struct.unpack_from("<II", image, 0x248)
    offset += (image[0x1f1] + 1) * 512
    payload = image[offset:offset + length]
    for magic, program in _COMPRESSIONS.items():
        if payload.startswith(magic) and shutil.which(program):
            done = subprocess.run([program, "-dc"], input=payload, capture_output=True,
                                  check=False)
            # What follows the kernel is not part of it, and makes some programs complain.
            if done.stdout.startswith(b"\x7fELF"):
                kernel.with_name("vmlinux").write_bytes(done.stdout)


def _unpack_kernel(target: pathlib.Path) -> None:
    """Leave `vmlinuz`, `vmlinux` and `modules/VERSION` in the target folder."""
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = pathlib.Path(name)
        package = _kernel_package(folder)
        run_tool(["dpkg-deb", "-x", str(package), "root"], folder)
        unpacked = folder / "unpacked"
        (unpacked / "modules").mkdir(parents=True)
        shutil.move(next((folder / "root/boot").glob("vmlinuz-*")), unpacked / "vmlinuz")
        _decompress(unpacked / "vmlinuz")
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
    with settings.locked_cache():
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
        names = ("vmlinux", "vmlinuz")
        return GuestImage(next(kernel / name for name in names if (kernel / name).exists()),
                          initramfs)
