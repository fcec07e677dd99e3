#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The soak behind soak.sh: random faults at many front-ends of one back-end process, while the
traffic of others is checked bit for bit.

Each actor (eight front-ends that misbehave, and what is done to the back-end itself) draws its
faults from a sequence of its own, which follows from the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from typing import Dict, List, Optional, Tuple

#: Seconds that anything may take; reached only by what hangs, sanitizers and load included.
HANG_S = 120.0
#: Bytes that the back-end's own memory may grow by between the first faults and the last.
GROWTH_BYTES = 64 << 20
#: Address space left to a back-end that is short of it: less than a front-end's memory.
SPARE_BYTES = 16 << 20
#: How the memory of front-ends is named in /proc/PID/maps.
PEER_MEMORY = "memfd:test-frontend"

NB_VICTIMS = 8
#: Victims that share a listener, with the first of those that are checked.
NB_SHARED = 4

#: What is checked: its port and how it talks.
CHECKED: Tuple[Tuple[str, str, Tuple[str, ...]], ...] = (
    ("net_vpci0", f"max-clients={NB_SHARED + 1}", ("--size=200",)),
    ("net_vpci1", "queues=2", ("--size=1514", "--packed")),
    ("net_vpci2", "zero-copy=full,copybreak=256", ("--size=4000", "--mergeable", "--indirect")),
    ("net_vpci3", "zero-copy=full,copybreak=256", ("--size=9000", "--mergeable", "--packed")),
)

#: Faults of a front-end, and how often each is drawn.
VICTIM_FAULTS = {
    "kill": 4, "stop": 2, "truncate": 2, "cut": 1, "garbage": 2, "message": 4, "ring": 4,
    "slow": 2, "partial": 2, "eventfd": 2,
}
#: Faults after which a front-end's life goes on.
GO_ON = {"stop", "slow", "partial", "eventfd"}
#: What the back-end itself is short of, or has done to its ports.
BACK_END_FAULTS = ("fds", "memory", "mbufs", "port", "unplug")


class Failure(Exception):
    """The soak can't go on."""


class Child:
    """A process of ours that talks in lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.counts = [0] * 6
        self.counted = time.monotonic()
        self.said: "asyncio.Queue[str]" = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, argv: List[str], log: pathlib.Path,
                    env: Optional[Dict[str, str]] = None) -> "Child":
        """Start a process whose errors go to a file. It dies with us."""
        with open(log, "ab") as errors:
            return cls(await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=errors, env=dict(os.environ, **(env or {}))))

    async def _read(self) -> None:
        while True:
            line = (await self.process.stdout.readline()).decode().strip()
            if not line:
                break
            if line.startswith("count "):
                counts = [int(word) for word in line.split()[1:]]
                if counts[1] != self.counts[1]:
                    self.counted = time.monotonic()
                self.counts = counts
            else:
                self.said.put_nowait(line)
        await self.process.wait()
        self.said.put_nowait("end")

    async def hear(self, seconds: float = HANG_S) -> str:
        """The next line, or "end", or "" where none comes in time."""
        try:
            return await asyncio.wait_for(self.said.get(), seconds)
        except asyncio.TimeoutError:
            return ""

    def say(self, line: str) -> None:
        """Tell it something; it may have ended."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def signal(self, number: int) -> None:
        """Send a signal; it may have ended."""
        # Not by Popen, which may reap it before asyncio does.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def kill(self) -> None:
        """End it as a crash would."""
        self.signal(signal.SIGKILL)
        await self.process.wait()
        await self._reader


class BackEnd:
    """The back-end process, seen from outside."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.pid = child.process.pid
        self._turn = asyncio.Lock()

    async def command(self, line: str) -> None:
        """Tell it something, and wait until it is done."""
        async with self._turn:
            self.child.say(line)
            answer = await self.child.hear()
            if answer != "ok":
                raise Failure(f"the back-end answers {line!r} by {answer or 'silence'!r}")

    def status(self, field: str) -> int:
        """A number of /proc/PID/status; kilobytes as bytes."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                number, *unit = value.split()
                return int(number) * (1024 if unit else 1)
        raise Failure(f"the back-end has no {field}")

    def highest_fd(self) -> int:
        """The highest file descriptor that is open."""
        return max(int(name) for name in os.listdir(f"/proc/{self.pid}/fd"))

    def held(self) -> Dict[str, int]:
        """What it has that it must give back."""
        maps = pathlib.Path(f"/proc/{self.pid}/maps").read_text()
        return {
            "fds": len(os.listdir(f"/proc/{self.pid}/fd")),
            "threads": len(os.listdir(f"/proc/{self.pid}/task")),
            "mappings": maps.count(PEER_MEMORY),
        }


class Soak:
    """All of it."""

    def __init__(self, args: argparse.Namespace, folder: pathlib.Path) -> None:
        self.args = args
        self.folder = folder
        self.faults: Counter[str] = Counter()
        self.lives: Counter[str] = Counter()
        self.wrong: List[str] = []
        self.checked: List[Child] = []
        self.victims = [0] * 6
        self.back: Optional[BackEnd] = None
        self.over = asyncio.Event()
        self.growth = 0
        self.leaks: Dict[str, int] = {}

    # Processes

    def path(self, name: str) -> str:
        """The socket of a port."""
        return str(self.folder / f"{name}.sock")

    async def start_back_end(self) -> None:
        """One process with a port for each front-end."""
        ports = [f"{name},iface={self.path(name)},{more}" for name, more, _ in CHECKED]
        ports += [f"net_vpci0_{i + 1}" for i in range(NB_SHARED)]
        ports += [f"{name},iface={self.path(name)}" for name in self.victim_ports()]
        cpus = ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))
        argv = [self.args.backend, "--no-huge", "--no-shconf", "-m", "128", "--no-pci",
                "--no-telemetry",
                f"--lcores=(0-1)@({cpus})",
                "--log-level=pmd.net.vhost_pci:error", "--", *ports]
        child = await Child.start(argv, self.folder / "back-end.log", {
            "RUNTIME_DIRECTORY": str(self.folder),
            "ASAN_OPTIONS": "quarantine_size_mb=16:" + os.environ.get("ASAN_OPTIONS", "")})
        self.back = BackEnd(child)
        if await child.hear() != "ready":
            raise Failure("the back-end does not start")

    @staticmethod
    def victim_ports() -> List[str]:
        """Ports of the victims that have one alone."""
        return [f"net_vpci{len(CHECKED) + i}" for i in range(NB_VICTIMS - NB_SHARED)]

    async def start_front_end(self, stream: int, port: str, options: List[str]) -> Child:
        """A front-end, not yet connected."""
        argv = [self.args.frontend, f"--stream={stream}", *options, self.path(port)]
        return await Child.start(argv, self.folder / "front-ends.log")

    # Those that are checked

    async def start_checked(self) -> None:
        """They come first and stay until the end."""
        for i, (port, _, options) in enumerate(CHECKED):
            child = await self.start_front_end(i, port, ["--sealed", *options])
            if await child.hear() != "up":
                raise Failure(f"the front-end at {port} does not come up")
            self.checked.append(child)

    async def watch(self) -> None:
        """Those that are checked live, and their packets flow."""
        while not self.over.is_set():
            for (port, _, _), child in zip(CHECKED, self.checked):
                if not child.said.empty():
                    raise Failure(f"the front-end at {port} says {child.said.get_nowait()!r}")
                if time.monotonic() > child.counted + HANG_S:
                    raise Failure(f"hang: no packet comes back from {port}")
            if self.back.child.process.returncode is not None:
                raise Failure("the back-end has died")
            await self.pause(0.5)

    async def pause(self, seconds: float) -> None:
        """Let time pass, or the soak end."""
        try:
            await asyncio.wait_for(self.over.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def finish_checked(self) -> None:
        """All that was sent must come back."""
        for child in self.checked:
            child.say("finish")
        for (port, _, _), child in zip(CHECKED, self.checked):
            if await child.hear() != "done":
                self.wrong.append(f"{port}: not all that was sent has come back")
            await child.process.wait()

    # Those that misbehave

    def victim_plan(self, index: int):
        """Lives without end: options, and (delay, fault, seed) until one that ends it."""
        rng = random.Random(f"{self.args.seed}/front-end/{index}")
        names, weights = list(VICTIM_FAULTS), list(VICTIM_FAULTS.values())
        while True:
            options = [f"--size={rng.choice((60, 200, 1514, 3000, 9000))}"]
            options += [option for option in ("--packed", "--mergeable", "--indirect")
                        if rng.random() < 0.5]
            faults = []
            while not faults or faults[-1][1] in GO_ON:
                faults.append((rng.uniform(0, 0.7), rng.choices(names, weights)[0],
                               rng.getrandbits(48)))
            yield options, faults

    async def victim(self, index: int) -> None:
        """One of the eight, life after life."""
        port = CHECKED[0][0] if index < NB_SHARED else self.victim_ports()[index - NB_SHARED]
        stream = index
        for options, faults in self.victim_plan(index):
            came = False
            while not came and not self.over.is_set():
                # What an earlier life has left at the port is none of this one's.
                stream = (stream + NB_VICTIMS) % 65536
                child = await self.start_front_end(stream, port, options)
                came = await self.live(child, faults)
                await child.kill()
                self.victims = [a + b for a, b in zip(self.victims, child.counts)]
                if not came:
                    await self.pause(0.05)
            if self.over.is_set():
                return

    async def live(self, child: Child, faults: List[Tuple[float, str, int]]) -> bool:
        """A life; False where the back-end had no place for it."""
        heard = asyncio.create_task(child.hear())
        await asyncio.wait([heard, asyncio.create_task(self.over.wait())],
                           return_when=asyncio.FIRST_COMPLETED)
        if not heard.done():
            heard.cancel()
            return True
        said = heard.result()
        if said != "up":
            if said not in ("refused", "down", "end"):
                self.wrong.append(f"hang: a front-end does not come up: {said!r}")
            self.lives["refused"] += 1
            return False
        self.lives["up"] += 1
        for delay, fault, seed in faults:
            await self.pause(delay)
            if self.over.is_set() or not await self.commit(child, fault, seed):
                break
        return True

    async def commit(self, child: Child, fault: str, seed: int) -> bool:
        """Commit a fault; False where the life is over."""
        if not child.said.empty():
            return self.last_words(child.said.get_nowait())
        self.faults[fault] += 1
        if fault == "kill":
            await child.kill()
            return False
        if fault == "stop":
            child.signal(signal.SIGSTOP)
            await self.pause(seed % 1500 / 1000)
            child.signal(signal.SIGCONT)
            return True
        child.say(f"{fault} {seed}")
        said = await child.hear(2 * HANG_S)
        if said == "committed":
            return fault in GO_ON or self.last_words(await child.hear())
        return self.last_words(said)

    def last_words(self, said: str) -> bool:
        """The last words of a life: how it ended."""
        if said.startswith(("hang", "broken")) or not said:
            self.wrong.append(f"a front-end says {said!r}")
        self.lives["disconnected"] += said == "down"
        return False

    # What is done to the back-end

    async def trouble(self) -> None:
        """One shortage or change after the other."""
        rng = random.Random(f"{self.args.seed}/back-end")
        ports = self.victim_ports() + [f"net_vpci0_{i + 1}" for i in range(NB_SHARED)]
        while not self.over.is_set():
            await self.pause(rng.uniform(0, 0.5))
            fault, port = rng.choice(BACK_END_FAULTS), rng.choice(ports)
            seconds, room = rng.uniform(0.1, 1.5), rng.randrange(4)
            if self.over.is_set():
                return
            self.faults[fault] += 1
            if fault == "fds":
                await self.limit(resource.RLIMIT_NOFILE, self.back.highest_fd() + 1 + room,
                                 seconds)
            elif fault == "memory":
                await self.limit(resource.RLIMIT_AS, self.back.status("VmSize") + SPARE_BYTES,
                                 seconds)
            elif fault == "mbufs":
                for _ in range(1 + room):
                    await self.back.command("hoard")
                    await self.pause(seconds / (1 + room))
                await self.back.command("release")
            else:
                # those of a listener with several are not plugged alone
                there = "stop start" if fault == "port" or "_1" in port[8:] else "unplug plug"
                if fault == "unplug" and port not in self.victim_ports():
                    port = self.victim_ports()[room]
                    there = "unplug plug"
                off, on = there.split()
                await self.back.command(f"{off} {port}")
                await self.pause(seconds)
                await self.back.command(f"{on} {port}")

    async def limit(self, what: int, value: int, seconds: float) -> None:
        """Let the back-end have no more of something for a while."""
        before = resource.prlimit(self.back.pid, what)
        resource.prlimit(self.back.pid, what, (value, before[1]))
        await self.pause(seconds)
        resource.prlimit(self.back.pid, what, before)

    # The whole

    async def base(self) -> Dict[str, int]:
        """What the back-end has when nobody is there, but somebody was."""
        before = self.back.held()
        child = await self.start_front_end(99, self.victim_ports()[0], [])
        if await child.hear() != "up":
            raise Failure("a front-end does not come up")
        await child.kill()
        await self.settle(before)
        return self.back.held()

    async def settle(self, base: Dict[str, int]) -> Dict[str, int]:
        """Wait until the back-end has given all back; what it has not."""
        end = time.monotonic() + HANG_S
        await self.back.command("forget")
        while self.back.held() != base and time.monotonic() < end:
            await asyncio.sleep(0.05)
            await self.back.command("forget")
        held = self.back.held()
        return {name: held[name] - base[name] for name in base}

    async def act(self) -> None:
        """All actors at a time, until the time is over."""
        actors = [self.watch(), self.trouble(), *(self.victim(i) for i in range(NB_VICTIMS))]
        tasks = [asyncio.create_task(actor) for actor in actors]
        begin = time.monotonic()
        early = 0
        while time.monotonic() < begin + self.args.seconds and not self.wrong:
            done, _ = await asyncio.wait(tasks, timeout=min(10.0, self.args.seconds / 4),
                                         return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            early = early or self.back.status("RssAnon")
            print(f"  {time.monotonic() - begin:5.0f} s: {sum(self.faults.values())} faults, "
                  f"{sum(child.counts[1] for child in self.checked)} packets checked",
                  flush=True)
        self.over.set()
        _, stuck = await asyncio.wait(tasks, timeout=4 * HANG_S)
        if stuck:
            raise Failure(f"hang: {len(stuck)} actors don't come to their end")
        for task in tasks:
            task.result()
        self.growth = self.back.status("RssAnon") - early

    async def run(self) -> None:
        """From the back-end's start to its end."""
        await self.start_back_end()
        base = await self.base()
        await self.start_checked()
        await self.act()
        await self.finish_checked()
        self.leaks = await self.settle(base)
        await self.back.command("quit")
        status = await self.back.child.process.wait()
        if status != 0:
            self.wrong.append(f"the back-end ends with status {status}")

    def judge(self) -> None:
        """What must hold besides."""
        counts = [sum(column) for column in zip(*(child.counts for child in self.checked))]
        for name, number in zip(("damaged", "missing", "doubled or late", "of others"),
                                counts[2:] if counts else ()):
            if number:
                self.wrong.append(f"{number} packets are {name}")
        if self.victims[2]:
            self.wrong.append(f"{self.victims[2]} packets of front-ends with faults are damaged")
        for name, number in self.leaks.items():
            if number:
                self.wrong.append(f"{number} {name} are left")
        if self.growth > GROWTH_BYTES:
            self.wrong.append(f"the back-end's memory has grown by {self.growth} bytes")
        if "runtime error:" in self.logs():
            self.wrong.append("the undefined behaviour sanitizer complains")

    def logs(self) -> str:
        """What the processes have said on their standard error."""
        return "".join(path.read_text(errors="replace")
                       for path in sorted(self.folder.glob("*.log")))

    def report(self, seconds: float) -> None:
        """The final print."""
        counts = [sum(column) for column in zip(*(child.counts for child in self.checked))]
        counts = counts or [0] * 6
        hangs = sum("hang" in text or "silence" in text for text in self.wrong)
        print(f"seed {self.args.seed}, {seconds:.0f} s, {NB_VICTIMS} front-ends with faults, "
              f"{len(CHECKED)} without")
        print("faults: " + ", ".join(f"{name} {self.faults[name]}"
                                     for name in (*VICTIM_FAULTS, *BACK_END_FAULTS))
              + f"; {sum(self.faults.values())} in all")
        print(f"lives of front-ends with faults: {self.lives['up']}, refused "
              f"{self.lives['refused']}, disconnected {self.lives['disconnected']}; "
              f"{self.victims[1]} packets checked, {self.victims[2]} corrupted")
        print(f"packets checked: {counts[1]} of {counts[0]}, corrupted {counts[2]}, lost "
              f"{counts[3]}, doubled or late {counts[4]}, foreign {counts[5]}")
        print("leaks: " + ", ".join(f"{name} {number}" for name, number in self.leaks.items())
              + f"; memory {self.growth / 2**20:+.1f} MB")
        print(f"hangs: {hangs}")
        for text in self.wrong:
            print(f"WRONG: {text}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="soak.py", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", required=True, help="the program vhost-pci-soak-backend")
    parser.add_argument("--frontend", required=True, help="the program vhost-pci-soak-frontend")
    return parser.parse_args()


async def soak(args: argparse.Namespace, folder: pathlib.Path) -> int:
    """Run, report; the exit status."""
    this = Soak(args, folder)
    begin = time.monotonic()
    try:
        await this.run()
    except Failure as failure:
        this.wrong.append(str(failure))
    this.judge()
    this.report(time.monotonic() - begin)
    if this.wrong:
        print(this.logs()[-8000:])
    # what is left dies with this process
    return 1 if this.wrong else 0


def main() -> int:
    """The whole program."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if sys.version_info < (3, 12):
        # Reaps in this thread, where nobody sends a signal at the same time.
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vhost-pci-soak-"))
    try:
        status = asyncio.run(soak(args, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"exit status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
