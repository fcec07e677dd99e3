# SPDX-License-Identifier: BSD-3-Clause
"""The example that is a switch, whose ports come and go with the front-ends of one socket."""

from __future__ import annotations

import os
import re
import signal
from typing import Tuple

from . import settings
from .process import Process
from .stage import Stage
from .testpmd import memory_args, sanitizer_env


class Switch(Process):
    """A process of examples/vpci-switch."""

    def __init__(self, stage: Stage, socket: str, max_clients: int,
                 switches: Tuple[str, ...] = ()) -> None:
        device = stage.back_end_device(
            0, socket, switches=(f"max-clients={max_clients}", "static-ports=1", *switches))
        name = stage.unique("switch")
        argv = [settings.SWITCH, "-l", "0", "--no-pci", "--no-telemetry",
                f"--file-prefix={name}-{os.getpid()}", *memory_args(192),
                *stage.backend.eal_args(), "--vdev", device]
        super().__init__(name, argv, stage.folder, sanitizer_env(settings.PRELOAD))
        stage.add(self)
        self.out.expect("switching; SIGINT ends it", 20)

    def wait_added(self, port: int, mark: int = 0) -> None:
        """Wait until a port has come."""
        self.out.expect(rf"port {port} \S+: added\n", 20, mark)

    def wait_removed(self, port: int, mark: int = 0) -> None:
        """Wait until a port has gone."""
        self.out.expect(rf"port {port}: removed\n", 20, mark)

    def quit(self) -> None:
        """End it; every port that is left says what has passed."""
        mark = self.out.mark()
        self.popen.send_signal(signal.SIGINT)
        assert self.wait(20) == 0
        counts = re.findall(r"port \d+: (\d+) received, (\d+) sent, \d+ dropped",
                            self.out.since(mark))
        assert counts and all(int(sent) > 0 for _, sent in counts), counts
