"""Lines whose connections break before much is through: all gets there, in smaller requests."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryClient, MemoryServer, client_of, files_in, segments_in

from ml_dash import Experiment
from ml_dash.remote import UnreachableError
from ml_dash.sync import ReplicaReport, replicate

QUIET: dict[str, Any] = {"echo": False, "environment": False}


class CuttingServer(MemoryServer):
    """Behind a line that breaks each connection after some bytes.

    Args:
        cut: how many; each thread has a connection of its own.

    Attributes:
        bodies: bytes of each body, as far as it came.
        cuts: connections that broke.
    """

    def __init__(self, cut: int) -> None:
        super().__init__(part_size=8 << 20)
        self.bodies: list[int] = []
        self.cuts = 0
        self._cut = cut
        self._connection = threading.local()

    def answer(self, *asked: Any) -> dict[str, Any]:
        """Carry out one request, if it gets through."""
        size = len(asked[4] or b"")
        left = getattr(self._connection, "left", self._cut)
        if size:
            self.bodies.append(min(left, size))
        left -= size + 300
        self._connection.left = left
        if left < 0:
            self._connection.left = self._cut
            self.cuts += 1
            raise closed()
        return super().answer(*asked)


def closed() -> UnreachableError:
    """The error for a connection that broke."""
    error = UnreachableError("it closed the connection")
    error.kind = "closed"
    return error


def saved(root: Path, *sizes: int) -> Path:
    """A run with files of these sizes."""
    with Experiment("a/b", dash_root=root, **QUIET).run as experiment:
        for number, size in enumerate(sizes):
            data = random.Random(number).randbytes(size)
            experiment.files("f").save_blob(data, to=f"{number}.bin")
    return root / "a/b"


def synced(folder: Path, server: MemoryServer) -> ReplicaReport:
    """Replicate a run without any wait: each is a failure that nothing was made of."""

    def sleep(seconds: float) -> None:
        raise AssertionError("it waits instead of going on")

    return replicate(folder, client_of(server), patience=0.0, sleep=sleep)


@pytest.mark.parametrize("cut", [6_000_000, 1_000_000, 300_000, 80_000])
def test_a_large_file_gets_through_connections_that_break(tmp_path: Path, cut: int) -> None:
    """In parts that fit between two breaks, and what is there is not sent again."""
    folder, server = saved(tmp_path, 10_000_000), CuttingServer(cut)
    report = synced(folder, server)
    assert report.ok, str(report)
    assert server.blobs == files_in(folder) and server.cuts
    assert sum(server.bodies) < 30_000_000


@pytest.mark.parametrize("cut", [100_000, 20_000])
def test_rows_get_through_connections_that_break(tmp_path: Path, cut: int) -> None:
    """Requests become smaller until they fit."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(100):
            experiment.log(random.Random(step).randbytes(5_000).hex(), step=step)
    server = CuttingServer(cut)
    report = synced(tmp_path / "a/b", server)
    assert report.ok, str(report)
    assert server.segments == segments_in(tmp_path / "a/b") and server.cuts


def test_small_files_get_through_connections_that_break(tmp_path: Path) -> None:
    """Fewer of them at a time; one of which no request holds all, in parts."""
    folder, server = saved(tmp_path, *[20_000] * 60, 900_000), CuttingServer(300_000)
    report = synced(folder, server)
    assert report.ok, str(report)
    assert server.blobs == files_in(folder) and server.cuts


def test_a_file_that_is_cut_off_later_keeps_its_parts(tmp_path: Path) -> None:
    """One break says nothing of the size: only the part that broke is sent again."""
    folder, server = saved(tmp_path, 20_000_000), MemoryServer(part_size=8 << 20)
    parts: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "PUT":
            parts.append(path)
            if len(parts) in (2, 3):
                raise closed()

    client: Any = MemoryClient(server, before=before)
    assert replicate(folder, client, patience=0.0).ok
    assert len(parts) == 3 + 2 and server.blobs == files_in(folder)


def test_a_part_that_never_gets_through_makes_all_smaller(tmp_path: Path) -> None:
    """Though one before it did, by luck: the file is begun anew rather than never to end."""
    folder, server = saved(tmp_path, 20_000_000), MemoryServer(part_size=8 << 20)
    parts: list[int] = []

    def before(method: str, path: str) -> None:
        if method == "PUT":
            parts.append(server.part_size)
            if len(parts) > 1 and server.part_size == 8 << 20:
                raise closed()

    client: Any = MemoryClient(server, before=before)
    assert replicate(folder, client, patience=0.0).ok
    assert parts[:6] == [8 << 20] * 5 + [4 << 20] and server.blobs == files_in(folder)


@pytest.mark.parametrize("kind", ["closed", "refused", "dns"])
def test_a_server_that_is_gone_makes_nothing_smaller(tmp_path: Path, kind: str) -> None:
    """Not even where a proxy before it takes connections and drops them."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(10):
            experiment.log("x" * 5_000, step=step)
    asked: list[str] = []

    def before(method: str, path: str) -> None:
        asked.append(path)
        if any(path.endswith("/append") for path in asked):
            error = UnreachableError("gone")
            error.kind = kind
            raise error

    client: Any = MemoryClient(MemoryServer(), before=before)
    report = replicate(tmp_path / "a/b", client, patience=0.0)
    assert not report.ok and report.error == "gone"
    assert sum(path.endswith("/append") for path in asked) == 1


def test_a_line_that_lets_nothing_through_is_given_up(tmp_path: Path) -> None:
    """Though it answers questions; nothing is tried for ever."""
    folder, server = saved(tmp_path, 3_000_000), CuttingServer(5_000)
    report = replicate(folder, client_of(server), patience=0.0)
    assert not report.ok and report.pending_files == 1
    assert len(server.bodies) < 40
