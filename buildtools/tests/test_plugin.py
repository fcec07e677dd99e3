#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The built driver as others find it: what it exports, tells of itself, and installs.

To be run in the build folder; the argument is the folder it installs to.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tap

BUILD = Path.cwd()
PLUGIN = BUILD / "drivers/net/vhost_pci/librte_net_vhost_pci.so"
PLUGIN_DIR = sys.argv.pop(1)


def output_of(*command):
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, check=False, encoding="utf-8", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout


class Plugin(unittest.TestCase):
    """librte_net_vhost_pci.so"""

    def test_plugin_hides_its_symbols(self):
        listing = output_of("nm", "--dynamic", "--defined-only", "--format=posix", PLUGIN)
        self.assertEqual([line.split()[0] for line in listing.splitlines()
                          if not line.startswith(("__asan", "__odr_asan", "__ubsan"))], [])

    def test_plugin_wants_what_it_uses(self):
        needed = output_of("readelf", "--dynamic", "--wide", PLUGIN)
        for library in "librte_ethdev", "librte_eal", "librte_bus_vdev":
            self.assertIn(library, needed)
        self.assertNotIn("RUNPATH", needed)

    def test_plugin_information(self):
        if shutil.which("dpdk-pmdinfo.py") is None:
            self.skipTest("dpdk-pmdinfo.py is not installed")
        drivers = {info["name"]: info
                   for info in json.loads(output_of("dpdk-pmdinfo.py", PLUGIN))}
        self.assertIn("net_vpci", drivers)
        for devarg in "iface=", "client=", "queues=":
            self.assertIn(devarg, drivers["net_vpci"]["params"])

    def test_plugin_installs(self):
        destination = tempfile.mkdtemp(prefix="vhost-pci-install-")
        self.addCleanup(shutil.rmtree, destination)
        output_of("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", destination)
        folder = Path(destination) / PLUGIN_DIR.lstrip("/")
        names = sorted(os.listdir(folder))
        self.assertEqual(len(names), 3)
        # as DPDK's own: a file of the full version, a link of the ABI's, a plain one
        self.assertEqual(names[0], "librte_net_vhost_pci.so")
        for short, long in zip(names, names[1:]):
            self.assertEqual(os.readlink(folder / short), long)
        self.assertTrue((folder / names[2]).is_file())


if __name__ == "__main__":
    tap.main()
