"""Servers for tests: real processes over real databases, one of each kind for a whole session."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from ml_dash.server.settings import ServerSettings

from .inside import Inside
from .people import Browser
from .serving import KINDS, Machines, Served

_LOG = 6_000  # characters of a server's log that a failed test shows

_running: list[Served] = []


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """PostgreSQL and an S3 server, started when first needed."""
    found = Machines()
    yield found
    found.close()


@pytest.fixture(scope="session")
def served(
    machines: Machines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Served]]:
    """`served(kind)` is a server that runs; each kind is started once. Make users of your own."""
    started: dict[str, Served] = {}

    def find(kind: str) -> Served:
        if kind not in started:
            settings = machines.settings(kind, tmp_path_factory.mktemp(kind))
            started[kind] = Served(settings)
            _running.append(started[kind])
            started[kind].start()
        return started[kind]

    yield find
    for each in started.values():
        each.kill()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, served: Callable[[str], Served]) -> Served:
    """A server of each kind, one after the other."""
    return served(request.param)


@pytest.fixture(params=KINDS)
def inside(request: pytest.FixtureRequest, machines: Machines, tmp_path: Path) -> Iterator[Inside]:
    """A new server within the test's process, of each kind, one after the other."""
    yield from _open(machines.settings(request.param, tmp_path / "server"))


@pytest.fixture(scope="module", params=KINDS)
def lasting(
    request: pytest.FixtureRequest, machines: Machines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inside]:
    """The same, kept for all tests of a file, which make runs and users of their own."""
    yield from _open(machines.settings(request.param, tmp_path_factory.mktemp("server")))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Inside]:
    """One over SQLite: what pages do is the same over any database."""
    yield from _open(ServerSettings(folder=str(tmp_path / "server")))


@pytest.fixture
def browser(small: Inside) -> Browser:
    """The browser of a user `anna` of it, who is not logged in."""
    small.user("anna")
    return Browser(small)


def _open(found: ServerSettings) -> Iterator[Inside]:
    made = Inside(
        Path(found.folder),
        database=found.database,
        store=found.store,
        endpoint=found.endpoint,
        region=found.region,
    )
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """What the servers said before belongs to other tests."""
    for each in _running:
        if each.log.exists():
            each.shown = each.log.stat().st_size
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its servers said meanwhile."""
    report = yield
    if report.failed:
        for each in _running:
            if said := each.said():
                report.sections.append((f"log of {each.url}", said[-_LOG:]))
    return report
