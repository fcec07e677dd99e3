# SPDX-License-Identifier: BSD-3-Clause
"""What the environment says about this run.

==========================  ====================================================
VHOST_PCI_BACKEND           driver under test: ``net_vpci`` (default), or
                            ``net_vhost``, DPDK's own, as a control experiment
VHOST_PCI_PLUGIN            path of librte_net_vhost_pci.so, for ``net_vpci``
VHOST_PCI_PRELOAD           libraries to LD_PRELOAD into testpmd, when the plugin
                            is built with a sanitizer that wants to come first
VHOST_PCI_CACHE             folder of the kernel, of guests' images, and of guests
                            as they were when they had booted, kept between runs
VHOST_PCI_LOGS              folder where the logs of failed tests are kept
VHOST_PCI_SWITCH            the program of examples/vpci-switch
VHOST_PCI_MIGRATIONS        how often a guest moves in each case of migration,
                            instead of once or twice
VHOST_PCI_KERNEL            package file (.deb) to take the guest kernel from,
                            instead of downloading one
VHOST_PCI_UML_PRELOAD       what is to be preloaded into User Mode Linux, or nothing
VHOST_PCI_UML_KERNEL        the User Mode Linux with time travel that
                            ``buildtools/uml-kernel.sh`` has made
==========================  ====================================================
"""

import contextlib
import fcntl
import os
import pathlib
import tempfile
from typing import Iterator

BACKEND = os.environ.get("VHOST_PCI_BACKEND", "net_vpci")
PLUGIN = os.environ.get("VHOST_PCI_PLUGIN", "")
SWITCH = os.environ.get("VHOST_PCI_SWITCH", "")
PRELOAD = os.environ.get("VHOST_PCI_PRELOAD", "")
UML_PRELOAD = os.environ.get("VHOST_PCI_UML_PRELOAD", "")
KERNEL_PACKAGE = os.environ.get("VHOST_PCI_KERNEL", "")

# EAL loads no plugin from a path below a folder that everyone may write to: it is
# given the name alone, and the loader is told where to look.
if os.path.dirname(PLUGIN):
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        filter(None, [os.path.dirname(PLUGIN), os.environ.get("LD_LIBRARY_PATH")]))


def _folder(variable: str, name: str) -> pathlib.Path:
    """The path a variable names, or one of this name where the user keeps caches."""
    named = os.environ.get(variable)
    if named:
        return pathlib.Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "vhost-pci" / name


CACHE = _folder("VHOST_PCI_CACHE", "e2e-cache")
LOGS = _folder("VHOST_PCI_LOGS", "e2e-logs")
UML_KERNEL = _folder("VHOST_PCI_UML_KERNEL", "uml-kernel/linux")

#: Every deadline is multiplied by this: a sanitizer makes everything slower.
PATIENCE = 3.0 if PRELOAD else 1.0

#: UNIX socket paths end at 107 characters, so work happens in a short folder.
WORK_ROOT = tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"


def deadline(seconds: float) -> float:
    """A time limit for this run, from one that suits an ordinary build."""
    return seconds * PATIENCE


@contextlib.contextmanager
def locked_cache() -> Iterator[None]:
    """The cache, which is there then, for whoever may have to make something in it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
