"""What all tests have in common."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Line, isolate
from dash_server import Person, ServerProcess
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell that puts the tests into the background has Ctrl-C ignored, in their children, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("steady")

IN_CI = bool(os.environ.get("CI"))
LACKING = re.compile(r"could not import '(?!tensorflow)")
"""Why a test may not be skipped in CI: what it needs was to be installed. TensorFlow is not."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a test that is skipped for want of a package fails."""
    report = yield
    return _held(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """And so does a file of tests."""
    report = yield
    return _held(report)


def _held(report: Any) -> Any:
    lacks = IN_CI and report.skipped and not hasattr(report, "wasxfail")
    if lacks and LACKING.search(str(report.longrepr)):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real one, for the tests of a file."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture(scope="module")
def anna(server: ServerProcess) -> Person:
    """Somebody with an account on it."""
    return server.add_user("anna")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration is; nobody is logged in."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def cli(config: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    """Runs a command in this process."""
    return Line(capsys)


@pytest.fixture
def logged_in(
    cli: Line, server: ServerProcess, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> Line:
    """Runs commands as anna."""
    monkeypatch.setenv("ML_DASH_URL", server.url)
    monkeypatch.setenv("ML_DASH_TOKEN", anna.token())
    return cli
