#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each check fails where it should: on sources with one mistake each."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import tap

TOOLS = Path(__file__).resolve().parent.parent
SPDX = "/* SPDX-License-Identifier: BSD-3-Clause */\n\n"
ENGINE = "drivers/common/vhost_pci/"
DRIVER = "drivers/net/vhost_pci/"


class Sources(unittest.TestCase):
    """A source folder of the test's own."""

    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="vhost-pci-lint-"))
        self.addCleanup(shutil.rmtree, self.root)
        good = SPDX + "/** Says it. */\nint vhost_pci_good(void);\n"
        self.write(ENGINE + "vhost_pci_good.h", good)

    def write(self, name, text):
        """Make a file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run_tool(self, *command):
        """The exit status and what was printed."""
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stdout


class Layers(Sources):
    """check-layers.py"""

    def check(self, *args):
        """Run it over the sources."""
        return self.run_tool(TOOLS / "check-layers.py", "--root", self.root, *args)

    def refuses(self, name, include, *why):
        """It fails over a file with one include, and says where and why."""
        self.assertEqual(self.check(), (0, ""))
        self.write(name, f"{SPDX}#include {include}\n")
        status, output = self.check()
        self.assertEqual(status, 1)
        self.assertIn(f"{name}:3: ", output)
        for word in why:
            self.assertIn(word, output)

    def accepts(self, name, include):
        """It passes over a file with one include."""
        self.write(name, f"{SPDX}#include {include}\n")
        self.assertEqual(self.check(), (0, ""))

    def test_layers_engine_without_dpdk(self):
        self.refuses(ENGINE + "a.c", "<rte_mbuf.h>", "free of DPDK")

    def test_layers_engine_without_driver_headers(self):
        self.refuses(ENGINE + "a.c", "<ethdev_driver.h>", "free of DPDK")

    def test_layers_engine_without_driver(self):
        self.write(DRIVER + "vhost_pci_ethdev.h", SPDX)
        self.refuses(ENGINE + "a.c", '"vhost_pci_ethdev.h"', "not a header of")

    def test_layers_sockets_in_transport(self):
        self.refuses(ENGINE + "vhost_pci_session.c", "<sys/socket.h>", "transport_unix")

    def test_layers_transport_has_sockets(self):
        self.accepts(ENGINE + "vhost_pci_transport_unix.c", "<sys/socket.h>")

    def test_layers_daemon_without_dpdk(self):
        self.refuses("app/vhost-pci-adapter/main.c", "<rte_eal.h>", "free of DPDK")

    def test_layers_pci_in_front_door(self):
        self.refuses(DRIVER + "vhost_pci_ethdev.c", "<bus_pci_driver.h>", "vhost_pci_pci.c")

    def test_layers_vdev_in_front_door(self):
        self.refuses(DRIVER + "vhost_pci_pci.c", "<bus_vdev_driver.h>", "vhost_pci_vdev.c")

    def test_layers_front_door_has_vdev(self):
        self.accepts(DRIVER + "vhost_pci_vdev.c", "<bus_vdev_driver.h>")

    def test_layers_driver_uses_engine(self):
        self.accepts(DRIVER + "vhost_pci_rx.c", '"vhost_pci_good.h"')

    def test_layers_examples_public_only(self):
        self.refuses("examples/l2/main.c", "<ethdev_driver.h>", "public")

    def test_layers_examples_without_engine(self):
        self.refuses("examples/l2/main.c", '"vhost_pci_good.h"', "not a header of")

    def test_layers_no_way_around(self):
        self.refuses(DRIVER + "a.c", '"../../common/vhost_pci/vhost_pci_good.h"', "its folder")

    def test_layers_symbols(self):
        source = self.write("a.c", "int rte_thing(void);\nint f(void);\nint f(void)\n{\n"
                                   "\treturn rte_thing();\n}\n")
        self.run_tool("cc", "-c", source, "-o", self.root / "a.o")
        status, output = self.check("--no-dpdk", self.root / "a.o")
        self.assertEqual(status, 1)
        self.assertIn("rte_thing", output)


class Style(Sources):
    """check-style.py"""

    def check(self):
        """Run it over the sources."""
        return self.run_tool(TOOLS / "check-style.py", "--root", self.root)

    def refuses(self, name, text, where, why):
        """It fails over a file, with one complaint."""
        self.assertEqual(self.check(), (0, ""))
        self.write(name, text)
        status, output = self.check()
        self.assertEqual(status, 1)
        self.assertRegex(output, f"^{name}:{where}: .*{why}")
        self.assertEqual(output.count("\n"), 1)

    def test_style_license(self):
        self.refuses("a.c", "int a;\n", 1, "SPDX")

    def test_style_columns(self):
        self.refuses("a.c", SPDX + "\t" * 13 + "x;\n", 3, "columns")

    def test_style_blank_at_end(self):
        self.refuses("a.c", SPDX + "int a; \n", 3, "blanks at the end")

    def test_style_tabs(self):
        self.refuses("a.c", SPDX + "int f(\n    int);\n", 4, "tabs")

    def test_style_words(self):
        self.refuses("a.c", SPDX + "int is_mas" + "ter;\n", 3, "back-end")

    def test_style_words_explained(self):
        self.write("a.c", SPDX + "int sla" + "ve_req; /* legacy name */\n")
        self.assertEqual(self.check(), (0, ""))

    def test_style_unfinished(self):
        self.refuses("a.c", SPDX + "/* TO" + "DO */\n", 3, "unfinished")

    def test_style_file_length(self):
        self.refuses("a.c", SPDX + "int a;\n" * 799, 801, "800 lines")

    def test_style_function_length(self):
        body = "\tf();\n" * 81
        self.refuses("a.c", f"{SPDX}void\nf(void)\n{{\n{body}}}\n", 5, "81 lines")

    def test_style_parameters(self):
        head = "void\nf(int a, int b, int (*c)(int, int),\n\t\tint d, int e, int g)"
        self.refuses("a.c", f"{SPDX}{head}\n{{\n}}\n", 6, "5 parameters")

    def test_style_comment(self):
        name = ENGINE + "a.h"
        text = "/** A. */\nint a(void);\nint b(\n\t\tvoid);\n"
        self.refuses(name, SPDX + text, 5, "doc comment")

    def test_style_comments_of_members(self):
        members = "\tint b;\n\n\t/* c */\n\tint c;\n"
        self.write(ENGINE + "a.h", f"{SPDX}/** A. */\nstruct a {{\n{members}}};\n")
        self.assertEqual(self.check(), (0, ""))

    def commit(self, headline):
        """Commit what is there."""
        git = ["git", "-C", self.root, "-c", "user.name=n", "-c", "user.email=e"]
        self.run_tool(*git, "init")
        self.run_tool(*git, "add", ".")
        return self.run_tool(*git, "commit", "-m", headline)

    def test_style_commit(self):
        self.commit("net/vhost_pci: add packed ring Rx")
        self.assertEqual(self.check(), (0, ""))

    def test_style_commit_capital(self):
        self.commit("net/vhost_pci: Add packed ring Rx")
        self.assertIn("do something", self.check()[1])

    def test_style_commit_long(self):
        self.commit("net/vhost_pci: add " + "x" * 42)
        self.assertIn("61 characters", self.check()[1])


class Checkers(Sources):
    """lint.sh: the distribution's checkers run with our rules."""

    def refuses(self, checker, name, text, *why):
        """A checker fails over a file."""
        shutil.copy(TOOLS.parent / ".clang-format", self.root)
        shutil.copy(TOOLS.parent / ".clang-tidy", self.root)
        path = self.write(name, text)
        build = [self.root] if checker == "clang-tidy" else []
        status, output = self.run_tool(TOOLS / "lint.sh", checker, *build, path)
        if status == 77:
            self.skipTest(output.strip())
        self.assertNotEqual(status, 0, output)
        for word in why:
            self.assertIn(word, output)

    def test_checkers_format(self):
        self.refuses("format", "a.c", SPDX + "int f(void) {\n  return 1;\n}\n", "clang-format")

    def test_checkers_cppcheck(self):
        text = "int f(int i);\nint f(int i)\n{\n\tint a[2] = { 0 };\n\n\treturn a[i ? 3 : 0];\n}\n"
        self.refuses("cppcheck", "a.c", SPDX + text, "arrayIndexOutOfBounds")

    def test_checkers_tidy(self):
        self.write(
            "compile_commands.json",
            f'[{{"directory": "{self.root}", "file": "a.c", "command": "cc -c a.c"}}]',
        )
        text = "int f(int i);\nint f(int i)\n{\n\treturn i == i;\n}\n"
        self.refuses("clang-tidy", "a.c", SPDX + text, "misc-redundant-expression")

    def test_checkers_shell(self):
        self.refuses("shell", "a.sh", "#!/bin/bash\nrm $1\n", "SC2086")


if __name__ == "__main__":
    tap.main()
