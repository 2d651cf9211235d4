"""How far files on their way have come is told while they go out, not part by part."""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryClient, MemoryServer
from test_remote_pace import read_head, served

from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.remote import RemoteClient
from ml_dash.settings import Settings
from ml_dash.sync import Replicator, server
from ml_dash.sync.replica import Progress, Replica

QUIET: dict[str, Any] = {"echo": False, "environment": False}
SIZE = 2 << 20


class SlowClient(MemoryClient):
    """Parts go out bit by bit: the next bit once somebody has been told of the one before.

    Attributes:
        underway: bytes that have gone out.
        told: the bytes of the file, out of all, that somebody was told of.
    """

    def __init__(self, made: MemoryServer) -> None:
        super().__init__(made)
        self.underway = 0
        self.told: set[int] = set()
        self._taken = 0

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Ask."""
        if method != "PUT":
            return super().json(method, path, **options)
        for _ in range(2):
            self.underway += 1_000
            end = time.monotonic() + 20
            while self._taken + self.underway not in self.told:
                assert time.monotonic() < end, "nobody was told"
                time.sleep(0.005)
        self.underway = 0
        self._taken += len(options["body"])
        return super().json(method, path, **options)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One at every address, and a run with a file of two parts."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(random.Random(1).randbytes(SIZE), to="m.bin")
    made = SlowClient(MemoryServer(part_size=1 << 20))
    monkeypatch.setattr(server, "server_at", lambda url: made)
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path))
    monkeypatch.setenv("ML_DASH_URL", "http://dash.invalid")
    return made


def test_bytes_of_files_are_counted_as_they_go_out(tmp_path: Path, client: Any) -> None:
    """While a part is on its way, and after it."""
    seen: list[Progress] = []

    def progress(found: Progress) -> None:
        seen.append(found)
        client.told.add(found.file_bytes)

    Replica(tmp_path / "a/b", client).advance(progress)
    told = [found for found in seen if found.files_left]
    assert {found.file_bytes + found.file_bytes_left for found in told} == {SIZE}
    assert client.told >= {1_000, 2_000, (1 << 20) + 1_000, (1 << 20) + 2_000}
    assert seen[-1].files == 1 and not seen[-1].files_left


def test_sync_shows_files_and_how_far_they_are(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a bar of rows that is full."""
    shown: list[str] = []

    def show(screen: Any, text: str) -> None:
        shown.append(text)
        found = re.search(r"1 file, bytes .*%  ([0-9,]+) of 2,097,152", text)
        client.told.add(int(found[1].replace(",", "")) if found else 0)

    monkeypatch.setattr("ml_dash.cli.screen.Screen.progress", show)
    monkeypatch.setattr("ml_dash.cli.screen._is_tty", lambda stream: True)
    assert main(["sync", "a/b"]) == 0
    assert any("50%  1,050,576 of 2,097,152" in text for text in shown)


def test_the_end_of_a_run_tells_less_and_less(
    tmp_path: Path,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Though a part is not through; what is missing in the end is what the server has not."""
    monkeypatch.setattr("ml_dash.sync.replicator.SILENT", 0.0)
    monkeypatch.setattr("ml_dash.sync.replicator.AGAIN", 0.0)

    class Telling(Replicator):
        def _tell_progress(self, left: float) -> None:
            super()._tell_progress(left)
            said = capsys.readouterr().err.replace(",", "")
            client.told.update(
                SIZE - int(size) for size in re.findall(r"1 file \((\d+) bytes", said)
            )

    replicator = Telling(
        tmp_path / "a/b", "a/b", Settings(url="http://dash.invalid"), client=client
    )
    replicator.start()
    assert replicator.finish(30.0).ok
    assert client.told >= {1_000, (1 << 20) + 2_000}


def test_a_client_knows_what_has_gone_out_and_is_not_answered() -> None:
    """Of all its threads; nothing once there is an answer, or the connection broke."""
    taken, answer = threading.Event(), threading.Event()

    def serve(connection: socket.socket, over: threading.Event) -> None:
        left = 300_000 - len(read_head(connection).partition(b"\r\n\r\n")[2])
        while left:
            left -= len(connection.recv(left))
        taken.set()
        answer.wait(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Content-Length: 2\r\n\r\n{}")

    with served(serve) as url:
        client = RemoteClient(url)
        asks = threading.Thread(
            target=client.json, args=("PUT", "/x"), kwargs={"body": bytes(300_000)}
        )
        asks.start()
        assert taken.wait(20)
        assert 300_000 <= client.underway < 301_000
        answer.set()
        asks.join(20)
        assert client.underway == 0
