# SPDX-License-Identifier: BSD-3-Clause
"""Processes under test: started, watched, and gone when the test is over."""

from __future__ import annotations

import ctypes
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import termios
import threading
import time
import tty
from typing import Callable, Dict, List, Optional, Sequence, TypeVar, Union

from . import settings

T = TypeVar("T")
Pattern = Union[str, "re.Pattern[str]"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

#: What a sanitizer prints when it has found something; leaks must be in our own functions.
SANITIZER_REPORT = re.compile(
    r"ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error: |"
    r"(Direct|Indirect) leak of .*\n(?:\s+#\d+ .*\n)*?\s+#\d+ .*vhost_pci")


class ProcessError(AssertionError):
    """A process died, stayed silent, or said what it should not have said."""


def wait_until(condition: Callable[[], T], timeout: float, what: str,
               interval: float = 0.02) -> T:
    """Poll until the condition holds; return its value, fail at the deadline."""
    end = time.monotonic() + settings.deadline(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise ProcessError(f"gave up waiting for {what} after {timeout:g} s")
        time.sleep(interval)


class Output:
    """Text of a stream: kept whole, written to a log, and waited for."""

    def __init__(self, log: pathlib.Path) -> None:
        self._text = ""
        self._closed = False
        self._changed = threading.Condition()
        self._log = open(log, "a", encoding="utf-8")
        self.path = log

    def feed(self, data: bytes) -> None:
        """Take what a reader thread has read."""
        text = data.decode("latin-1").replace("\r", "")
        with self._changed:
            self._text += text
            self._log.write(text)
            self._log.flush()
            self._changed.notify_all()

    def close(self) -> None:
        """Note the end of the stream: who waits for more is told at once."""
        with self._changed:
            self._closed = True
            self._log.close()
            self._changed.notify_all()

    def mark(self) -> int:
        """The place where the text ends now, for expect() and since()."""
        with self._changed:
            return len(self._text)

    def since(self, mark: int = 0) -> str:
        """The text from a mark on."""
        with self._changed:
            return self._text[mark:]

    def expect(self, pattern: Pattern, timeout: float, mark: int = 0,
               failure: Optional[Pattern] = None) -> "re.Match[str]":
        """Wait for a pattern after the mark.

        The end of the stream, the deadline, and a match of `failure` raise ProcessError.
        """
        wanted = re.compile(pattern)
        unwanted = re.compile(failure) if failure else None
        end = time.monotonic() + settings.deadline(timeout)
        with self._changed:
            while True:
                match = wanted.search(self._text, mark)
                if match:
                    return match
                why = ""
                if unwanted and unwanted.search(self._text, mark):
                    why = f"{unwanted.pattern!r} came first"
                elif self._closed:
                    why = "the process ended"
                elif time.monotonic() >= end:
                    why = f"nothing within {timeout:g} s"
                if why:
                    raise ProcessError(
                        f"{self.path.name}: waiting for {wanted.pattern!r}: {why}; "
                        f"last output:\n{self._text[mark:][-2000:]}")
                self._changed.wait(max(0.0, end - time.monotonic()))


class ErrorLog:
    """The error stream: a file, which has what a process wrote before its next prompt."""

    def __init__(self, log: pathlib.Path) -> None:
        self.path = log
        self.path.touch()

    def mark(self) -> int:
        """The place where the file ends now, for since()."""
        return self.path.stat().st_size

    def since(self, mark: int = 0) -> str:
        """The text from a mark on."""
        return self.path.read_bytes()[mark:].decode("latin-1").replace("\r", "")


def _die_with_parent(sig: int) -> Callable[[], None]:
    """For the child: no process outlives the test run, however that ends."""
    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, sig)
    return arrange


def _descendants(pid: int) -> List[int]:
    """Handles (pidfds) of the processes that a process has started, and so on."""
    children: Dict[int, List[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    handles: List[int] = []
    pending = list(children.get(pid, []))
    while pending:
        child = pending.pop()
        pending += children.get(child, [])
        try:
            handles.append(os.pidfd_open(child))
        except ProcessLookupError:
            pass
    return handles


class Process:
    """A child process with a terminal and a separate error stream."""

    live: List["Process"] = []

    def __init__(self, name: str, argv: Sequence[str], folder: pathlib.Path,
                 env: Optional[Dict[str, str]] = None, death_signal: int = signal.SIGKILL) -> None:
        self.name = name
        self.argv = list(argv)
        self.folder = folder
        self._expected_death = False
        self.out = Output(folder / f"{name}.out")
        self.err = ErrorLog(folder / f"{name}.err")
        (folder / f"{name}.cmd").write_text(" ".join(self.argv) + "\n", encoding="utf-8")

        self._terminal, theirs = pty.openpty()
        tty.setraw(theirs, termios.TCSANOW)
        stderr = os.open(self.err.path, os.O_WRONLY | os.O_APPEND)
        full_env = dict(os.environ)
        full_env.update(env or {})
        try:
            # The fork must happen in a thread that lives as long as the run does:
            # the signal for the parent's death is tied to it.
            self.popen = subprocess.Popen(
                self.argv, stdin=theirs, stdout=theirs, stderr=stderr, cwd=folder,
                env=full_env, start_new_session=True,
                preexec_fn=_die_with_parent(death_signal))
        finally:
            os.close(theirs)
            os.close(stderr)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        Process.live.append(self)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:     # a terminal's way to say end of file
                data = b""
            if not data:
                break
            self.out.feed(data)
        self.out.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.popen.poll() is None

    def write(self, text: str) -> None:
        """Send to the standard input."""
        os.write(self._terminal, text.encode())

    def wait(self, timeout: float) -> int:
        """Wait for the end; the exit status (negative: a signal)."""
        try:
            status = self.popen.wait(settings.deadline(timeout))
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} did not end within {timeout:g} s") from None
        self._close()
        return status

    def kill(self) -> None:
        """Kill the process as a crash would, and all it has started; reap it."""
        self._expected_death = True
        if self.running:
            handles = _descendants(self.pid)
            self.popen.kill()
            for handle in handles:
                try:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                os.close(handle)
        self.popen.wait()
        self._close()

    def crash(self, timeout: float = 30) -> None:
        """Kill the process alone: what it has started ends by itself."""
        self._expected_death = True
        handles = _descendants(self.pid)
        self.popen.kill()
        self.popen.wait()
        for handle in handles:
            # A handle is readable when its process has ended.
            ended = select.select([handle], [], [], settings.deadline(timeout))[0]
            os.close(handle)
            if not ended:
                raise ProcessError(f"a child of {self.name} lives")
        self._close()

    def _close(self) -> None:
        if self not in Process.live:
            return
        Process.live.remove(self)
        self._reader.join(timeout=5)
        os.close(self._terminal)

    def open_fds(self) -> List[str]:
        """What the open file descriptors of the process refer to."""
        folder = pathlib.Path(f"/proc/{self.pid}/fd")
        names = []
        for link in folder.iterdir():
            try:
                names.append(os.readlink(link))
            except FileNotFoundError:
                pass
        return sorted(names)

    def check(self) -> None:
        """Fail if the process crashed or a sanitizer has complained."""
        text = self.err.since() + self.out.since()
        report = SANITIZER_REPORT.search(text)
        if report:
            raise ProcessError(f"{self.name}: sanitizer report:\n"
                               f"{text[report.start():report.start() + 4000]}")
        if not self._expected_death and not self.running and self.popen.returncode != 0:
            raise ProcessError(f"{self.name} ended with status {self.popen.returncode}:\n"
                               f"{self.err.since()[-2000:]}")


def kill_all() -> None:
    """Kill whatever is still alive, newest first."""
    for process in reversed(list(Process.live)):
        process.kill()
