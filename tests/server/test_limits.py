"""Limits of requests: how large, how slow, how many at once, and how much memory they take."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.types import Message

from ml_dash import wire
from ml_dash.server import limits
from ml_dash.server.limits import Memory, Passage
from ml_dash.server.problems import Problem

from .inside import Inside, make_run, send

LINE = b'{"timestamp": 1.0, "message": "x"}\n'


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Inside]:
    """A server that takes small requests, and few at once."""
    made = Inside(tmp_path / "server", request_limit=10_000, body_memory=20_000, concurrency=4)
    yield made
    made.close()


def append(client: TestClient, run: str, body: Any, **headers: str) -> Any:
    """What an append is answered."""
    return client.post(f"/api/v1/runs/{run}/append", content=body, headers=headers)


def frames(text: bytes) -> bytes:
    """The body of an append to the logs."""
    piece = {"segment": "logs/w.jsonl", "offset": 0, "tail": 0, "size": len(text)}
    return wire.pack({"pieces": [piece]}, [text])


def test_a_body_that_is_too_large_is_told_whatever_it_says_of_its_size(small: Inside) -> None:
    """413 by its length, 413 by counting, 413 by what it is decoded; what fits is taken."""
    client = small.user("anna")
    run = make_run(client)
    large = frames(LINE * 400)
    packed = gzip.compress(large)
    assert len(packed) < 10_000 < len(large)
    answers = [
        append(client, run, large),
        append(client, run, iter([large[:6000], large[6000:]])),
        append(client, run, packed, **{"Content-Encoding": "gzip"}),
    ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(413, "too_large")] * 3
    fits = gzip.compress(frames(LINE * 200))
    assert append(client, run, fits, **{"Content-Encoding": "gzip"}).status_code == 200


def test_a_body_of_json_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """Rows may be many; what a route reads as JSON is read at once."""
    inside = Inside(tmp_path / "server")
    client = inside.user("anna")
    body = b'{"prefix": "' + b"x" * limits.SMALL_BODY + b'"}'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    for content in (body, iter([body[:100], body[100:]])):
        answer = client.post("/api/v1/runs", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    inside.close()


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"\x1f\x8b rubbish", "gzip", 400),
        (gzip.compress(b"x" * 100)[:-9], "gzip", 400),
        (gzip.compress(b"{}\n") + b"more", "gzip", 400),
        (gzip.compress(b"{}\n") + gzip.compress(b"x"), "gzip", 400),
        (zlib.compress(b"x"), "gzip", 400),
        (b"x", "br", 415),
        (b"", "gzip", 400),
    ],
    ids=["rubbish", "torn", "followed", "twice", "zlib", "brotli", "empty"],
)
def test_a_body_that_is_not_compressed_as_it_says_is_told(
    small: Inside, body: bytes, encoding: str, status: int
) -> None:
    """Never 500, and never taken in part."""
    client = small.user("anna")
    run = make_run(client)
    answer = append(client, run, body, **{"Content-Encoding": encoding})
    assert answer.status_code == status, answer.text
    assert client.get(f"/api/v1/runs/{run}/segments").json()["segments"] == []


BOMBS = """
import resource, sys, zlib
from pathlib import Path
from tests.server.inside import Inside, make_run
inside = Inside(Path(sys.argv[1]))
client = inside.user("anna")
run = make_run(client)
packer = zlib.compressobj(9, wbits=31)
bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(1024)] + [packer.flush()])
url, headers = f"/api/v1/runs/{run}/append", {"Content-Encoding": "gzip"}
client.get(f"/api/v1/runs/{run}")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(5):
    answer = client.post(url, content=bomb, headers=headers)
    assert answer.status_code == 413, answer.text
print(len(bomb), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_gigabyte_in_a_megabyte_takes_no_more_memory_than_the_limit(tmp_path: Path) -> None:
    """It is given up where the limit is, again and again: 48 MiB, and a little."""
    done = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "100000"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    size, grown = map(int, done.stdout.split())
    assert size < 2 << 20
    assert grown * 1024 < 96 << 20


class Slow:
    """Routes that wait until they are let go on."""

    def __init__(self, inside: Inside, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.go_on = threading.Event()
        self.inside = threading.Semaphore(0)
        self._count = count

        def wait(*args: Any) -> Any:
            self.inside.release()
            self.go_on.wait(30)
            raise Problem(409, "enough")

        monkeypatch.setattr("ml_dash.server.runs.routes.list_runs", wait)

    def occupy(self, clients: list[TestClient]) -> list[threading.Thread]:
        """Have each client wait in a request."""
        threads = [
            threading.Thread(target=client.get, args=("/api/v1/runs",)) for client in clients
        ]
        for thread in threads:
            thread.start()
        for _ in clients:
            assert self.inside.acquire(timeout=30)
        return threads


def test_too_many_at_once_are_told_to_come_back(
    small: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 for one caller with more than half of the places, 503 for all; then it goes on."""
    slow = Slow(small, monkeypatch, 4)
    anna, bert, carl = (small.user(name) for name in ("anna", "bert", "carl"))
    threads = slow.occupy([anna, anna])
    answer = anna.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
    assert int(answer.headers["Retry-After"]) >= 1
    assert bert.get("/api/v1/me").status_code == 200
    threads += slow.occupy([bert, bert])
    answer = carl.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert carl.get("/api/v1/health").status_code == 200
    assert carl.get("/api/v1/ready").status_code == 200
    slow.go_on.set()
    for thread in threads:
        thread.join()
    assert [client.get("/api/v1/me").status_code for client in (anna, bert, carl)] == [200] * 3


def test_bodies_beyond_the_memory_for_them_are_told_to_come_back() -> None:
    """503 with Retry-After; what is given back can be had again."""
    memory = Memory(100)
    one, two = Passage(memory), Passage(memory)
    one.reserve(60)
    with pytest.raises(HTTPException) as refused:
        two.reserve(50)
    assert refused.value.status_code == 503
    assert refused.value.headers == {"Retry-After": "2"}
    one.close()
    two.reserve(100)
    two.close()
    assert memory.used == 0


def test_memory_is_given_back_whatever_comes_of_a_request(small: Inside) -> None:
    """Taken, refused or unreadable: a server never runs out of it."""
    client = small.user("anna")
    run = make_run(client)
    for _ in range(10):
        append(client, run, frames(LINE * 200))
        append(client, run, b"x" * 9000)
        append(client, run, gzip.compress(frames(LINE * 400)), **{"Content-Encoding": "gzip"})
        append(client, run, iter([b"x" * 9000, b"x" * 9000]))
    assert append(
        client, run, gzip.compress(frames(LINE)), **{"Content-Encoding": "gzip"}
    ).is_success


async def drip(pieces: list[bytes], pause: float) -> list[Message | int]:
    """What a route gets of a body whose pieces come slowly; at last the status that ended it."""
    waiting = iter(pieces)

    async def receive() -> Message:
        await asyncio.sleep(pause)
        piece = next(waiting, None)
        more = piece is not None
        return {"type": "http.request", "body": piece or b"", "more_body": more}

    body = limits._Body(receive, 1000, Passage(Memory(1000)))
    found: list[Message | int] = []
    try:
        while not found or found[-1]["more_body"]:  # type: ignore[index]
            found.append(await body.receive())
    except HTTPException as error:
        found.append(error.status_code)
    return found


def test_a_body_that_stops_coming_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after a silence."""
    monkeypatch.setattr(limits, "SILENCE", 0.01)
    assert asyncio.run(drip([b"x"], 5.0)) == [408]


def test_a_body_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """408 though it is never silent, once it is slower than a body may be."""
    monkeypatch.setattr(limits, "PATIENCE", 0.05)
    monkeypatch.setattr(limits, "SLOWEST", 1e9)
    assert asyncio.run(drip([b"x"] * 900, 0.001))[-1] == 408
    monkeypatch.setattr(limits, "PATIENCE", 60.0)
    assert len(asyncio.run(drip([b"x"] * 5, 0.001))) == 6


def test_what_was_told_of_a_request_is_forgotten_when_it_ends(small: Inside) -> None:
    """The gate keeps nothing of callers that are gone: their number is not bounded."""
    client = small.user("anna")
    run = make_run(client)
    send(client, run, ("logs/w.jsonl", 0, b"", LINE))
    for number in range(50):
        other = TestClient(small.app, headers={"Authorization": f"Bearer {number}"})
        assert other.get("/api/v1/me").status_code == 401
    stack: Any = small.app.middleware_stack
    while not isinstance(stack, limits.Gate):
        stack = stack.app
    assert stack._at_once == {}
