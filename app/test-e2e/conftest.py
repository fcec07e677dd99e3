# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures and hooks of the end-to-end tests."""

from __future__ import annotations

import pathlib
import signal
import sys
from typing import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness import backend as backend_module  # noqa: E402
from harness import adapter, guest_image, qemu, tap, testpmd  # noqa: E402
from harness.process import kill_all            # noqa: E402
from harness.stage import Stage, opened         # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options."""
    parser.addoption("--tap", action="store_true", help="report in TAP on standard output")


def _terminate(_signum: int, _frame: object) -> None:
    """A terminated run cleans up as an interrupted one does."""
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    """Markers, reporting, and what is to happen on SIGTERM."""
    config.addinivalue_line("markers", "net_vhost_cannot(reason): what the control "
                                       "experiment's driver is known not to do")
    signal.signal(signal.SIGTERM, _terminate)
    if config.getoption("--tap"):
        tap.install(config)


def pytest_unconfigure() -> None:
    """Whatever happened, nothing stays behind."""
    kill_all()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what can't run here, and say why."""
    reason = testpmd.program_missing() or backend_module.under_test().missing()
    if reason:
        pytest.skip(reason)
    mark = item.get_closest_marker("net_vhost_cannot")
    if mark and backend_module.under_test().driver == "net_vhost":
        pytest.skip(f"net_vhost: {mark.args[0]}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """When a test fails, keep its logs and show how they end."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for stage in Stage.active:
        kept = stage.keep_logs(item.nodeid.rpartition("/")[2])
        report.sections.append((f"logs, kept in {kept}", stage.tails()))


@pytest.fixture(scope="session")
def backend() -> backend_module.BackEnd:
    """The driver under test."""
    return backend_module.under_test()


@pytest.fixture
def stage(backend: backend_module.BackEnd, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A private folder and processes for one test."""
    with opened(backend, request.node.name) as one:
        yield one


@pytest.fixture(scope="session")
def image() -> guest_image.GuestImage:
    """Kernel and initramfs of the guests."""
    reason = qemu.program_missing()
    if reason:
        pytest.skip(reason)
    try:
        return guest_image.image()
    except guest_image.ImageError as error:
        pytest.skip(f"no guest image: {error}")


@pytest.fixture(scope="session")
def l2fwd_missing() -> str:
    """Why the appliance has no l2fwd, or nothing."""
    return adapter.missing() or adapter.make_l2fwd()


@pytest.fixture(scope="session")
def appliance_image(image: guest_image.GuestImage, l2fwd_missing: str) -> guest_image.GuestImage:
    """Kernel and initramfs of the appliance, with l2fwd if there can be one."""
    # pylint: disable=unused-argument,redefined-outer-name
    reason = adapter.missing()
    if reason:
        pytest.skip(reason)
    try:
        return adapter.appliance_image(image)
    except guest_image.ImageError as error:
        pytest.skip(f"no image of an appliance: {error}")
