# SPDX-License-Identifier: BSD-3-Clause
"""A stage: the private folder of a test and all that runs in it."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
import tempfile
from typing import Iterator, List, Sequence, Tuple, TypeVar

from . import settings
from .backend import BackEnd
from .process import Process, ProcessError
from .testpmd import Testpmd

P = TypeVar("P", bound=Process)

#: Suffixes of the files kept when a test fails.
_LOG_SUFFIXES = (".out", ".err", ".cmd")
_TAIL_LINES = 30


class Stage:
    """Starts processes in a folder of its own, and ends them all."""

    active: List["Stage"] = []

    def __init__(self, backend: BackEnd) -> None:
        self.backend = backend
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="vpci-", dir=settings.WORK_ROOT))
        self._processes: List[Process] = []
        self._starts = 0
        Stage.active.append(self)

    def path(self, name: str) -> str:
        """A path in the folder, short enough for a UNIX socket."""
        path = str(self.folder / name)
        assert len(path) < 108, path
        return path

    def add(self, process: P) -> P:
        """Take charge of a process."""
        self._processes.append(process)
        return process

    def unique(self, name: str) -> str:
        """A name for a process and its logs."""
        self._starts += 1
        return f"{self._starts:02d}-{name}"

    def testpmd(self, name: str, devices: Sequence[str], **options) -> Testpmd:
        """Start a testpmd; it is not ready yet."""
        return self.add(Testpmd(self.unique(name), self.folder, devices=devices, **options))

    def back_end(self, devices: Sequence[str], **options) -> Testpmd:
        """Start a testpmd with the driver under test; it is not ready yet."""
        eal_args = [*self.backend.eal_args(), *options.pop("eal_args", ())]
        return self.testpmd("backend", devices, eal_args=eal_args, preload=settings.PRELOAD,
                            **options)

    def back_end_device(self, number: int, socket: str, **options) -> str:
        """The device arguments of the driver under test, for a socket in the folder."""
        return self.backend.device(number, self.path(socket), **options)

    def forget_socket(self, socket: str) -> None:
        """Remove a dead process' socket file, for a back-end that can't replace it."""
        if not self.backend.replaces_stale_socket:
            pathlib.Path(self.path(socket)).unlink(missing_ok=True)

    def tails(self) -> str:
        """The end of each log, for a failure's report."""
        texts = []
        for path in sorted(self.folder.iterdir()):
            if path.suffix not in _LOG_SUFFIXES:
                continue
            lines = path.read_text(errors="replace").splitlines()
            if lines:
                texts.append(f"--- {path.name}")
                texts += lines[-_TAIL_LINES:]
        return "\n".join(texts)

    def keep_logs(self, test: str) -> pathlib.Path:
        """Copy the logs to where they survive the test; where that is."""
        target = settings.LOGS / re.sub(r"[^\w.,=-]+", "_", test)
        target.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.suffix in _LOG_SUFFIXES or path.suffix == ".pcap":
                shutil.copy(path, target / path.name)
        return target

    def check(self) -> None:
        """Fail if a process crashed or a sanitizer has complained."""
        for process in self._processes:
            process.check()

    def close(self) -> None:
        """Kill what still runs; then look for crashes and reports."""
        try:
            self.check()
            for process in reversed(self._processes):
                process.kill()
            self.check()
        finally:
            for process in reversed(self._processes):
                if process in Process.live:
                    process.kill()
            Stage.active.remove(self)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> str:
        """End and remove everything; what a process had died of or complained about, or nothing."""
        try:
            self.close()
            return ""
        except ProcessError as error:
            return str(error)
        finally:
            self.discard()


@contextlib.contextmanager
def opened(backend: BackEnd, test: str) -> Iterator[Stage]:
    """A stage for a test, or several; what is found when it closes fails the test."""
    stage = Stage(backend)
    try:
        yield stage
    finally:
        try:
            stage.close()
        except ProcessError as error:
            kept = stage.keep_logs(f"{test}-teardown")
            raise ProcessError(f"{error}\nlogs are in {kept}") from None
        finally:
            stage.discard()


def pair_args(queues: int) -> Tuple[str, ...]:
    """testpmd arguments for this many queue pairs."""
    return (f"--rxq={queues}", f"--txq={queues}")
