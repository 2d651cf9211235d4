"""A store that is silent, fails or has lost something: what the server answers then."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from obstore.exceptions import BaseError as StoreError
from psycopg import errors
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from ml_dash import wire
from ml_dash.server import patience
from ml_dash.server.blobs.content import PIECE
from ml_dash.server.runs import lost
from ml_dash.server.segments.chunks import CHUNK
from ml_dash.server.store import AT_ONCE, Gate, ObjectStore, SilentError, reason

from .inside import Inside, make_run, send
from .machines import reserve_port
from .recorded import sha, store
from .serving import Machines, Served

LINES = b'{"timestamp":1.0,"step":1,"x":2}\n' * 50


class Between:
    """Stands between a server and its store, and passes bytes on while it is `open`.

    Args:
        port: the store's.
    """

    def __init__(self, port: int) -> None:
        self.open = threading.Event()
        self.open.set()
        self._upstream = port
        self._server = socket.create_server(("127.0.0.1", reserve_port()), backlog=200)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self.open.set()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._upstream)) as far:
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # either side has gone
            while data := source.recv(1 << 16):
                self.open.wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def behind(machines: Machines, folder: Path) -> Iterator[tuple[Served, Between]]:
    """A server over PostgreSQL, and what stands between it and its bucket."""
    settings = machines.settings("postgres-s3", folder)
    between = Between(int(settings.endpoint.rpartition(":")[2]))
    served = Served(replace(settings, endpoint=between.url))
    try:
        served.start()
        yield served, between
    finally:
        served.kill()
        between.close()


def append(url: str, token: str, run: str, writer: str) -> int:
    """Append to a segment of its own; the status, 0 for no answer in time."""
    piece = {"segment": f"tracks/t/{writer}.jsonl", "offset": 0, "tail": wire.tail_crc(b"")}
    body = wire.pack({"pieces": [piece | {"size": len(LINES)}]}, [LINES])
    headers = {"Authorization": f"Bearer {token}", "Content-Type": wire.FRAMES}
    try:
        where = f"{url}/api/v1/runs/{run}/append"
        return requests.post(where, data=body, headers=headers, timeout=60).status_code
    except requests.RequestException:
        return 0


def test_a_silent_store_keeps_nobody_from_what_the_database_knows(
    machines: Machines, tmp_path: Path
) -> None:
    """While 60 appends wait for it: lists are answered, appends with 503, and nothing is lost."""
    with behind(machines, tmp_path) as (served, between):
        person = served.person()
        headers = {"Authorization": f"Bearer {person.token}"}
        client = served.client(person)
        about = {"prefix": "p/x", "id": "", "create": True}
        run = client.json("POST", "/runs", json=about)["run"]["id"]
        between.open.clear()
        found: dict[str, int] = {}

        def work(writer: str) -> None:
            found[writer] = append(served.url, person.token, run, writer)

        threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(60)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        for path in ("me", "runs", f"runs/{run}/segments"):
            answer = requests.get(f"{served.url}/api/v1/{path}", headers=headers, timeout=20)
            assert answer.status_code == 200, path
        end = time.monotonic() + 15
        while len(found) < 60 - AT_ONCE and time.monotonic() < end:
            time.sleep(0.05)
        refused = Counter(found.values())
        assert refused == {503: 60 - AT_ONCE}, "those that are one too many are told to come back"
        between.open.set()
        for thread in threads:
            thread.join()
        taken = {f"tracks/t/{name}.jsonl" for name, status in found.items() if status == 200}
        stored = client.json("GET", f"/runs/{run}/segments")["segments"]
        assert taken <= {each["path"] for each in stored}
        for each in stored:
            path = f"/runs/{run}/segments/{each['path']}"
            assert client.request("GET", path).content == LINES
        assert append(served.url, person.token, run, "later") == 200


def test_a_gate_lets_in_as_many_as_it_may_and_then_the_next() -> None:
    """One too many is turned away after a while, at once where the others wait for long."""
    gate, over = Gate(most=2, silence=1.0), threading.Event()

    def stay() -> None:
        with gate.entered():
            over.wait(30)

    threads = [threading.Thread(target=stay) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(gate._inside) < 2:
        time.sleep(0.01)
    for least, most in ((0.5, 30.0), (0.0, 0.8)):
        begun = time.monotonic()
        with pytest.raises(SilentError), gate.entered():
            pass
        assert least <= time.monotonic() - begun < most
    over.set()
    for thread in threads:
        thread.join()
    with gate.entered(), gate.entered():
        assert len(gate._inside) == 2
    assert not gate._inside


def test_a_store_that_is_slow_and_answers_is_waited_for() -> None:
    """One request of a minute says nothing of the others: they get through, one after another."""
    gate = Gate(most=2, silence=20.0)
    with gate.entered():
        gate._inside = dict.fromkeys(gate._inside, time.monotonic() - 60)
        with gate.entered():
            pass
        second = gate.entered()
        second.__enter__()
        leaving = threading.Timer(0.2, second.__exit__, (None, None, None))
        leaving.start()
        with gate.entered():
            assert len(gate._inside) == 2
        leaving.join()


def test_the_log_says_why_a_store_refuses_and_no_more() -> None:
    """Its status and its code, without the request, which may have keys in it."""
    said = (
        "Generic S3 error: Server returned non-2xx status code: 403 Forbidden: <Error>"
        "<Code>InvalidAccessKeyId</Code><AWSAccessKeyId>canary</AWSAccessKeyId></Error>"
    )
    assert reason(StoreError(said)) == "BaseError, 403 Forbidden, InvalidAccessKeyId"
    assert reason(StoreError("canary")) == "BaseError"
    assert reason(OSError("postgresql://anna:canary@db: 403 Forbidden")) == "OSError"


def test_the_log_says_why_a_database_refuses_and_no_more() -> None:
    """The code of its driver, without the statement or the address."""
    engine = create_engine("sqlite://", hide_parameters=True)
    with pytest.raises(OperationalError) as caught, engine.connect() as link:
        link.execute(text("SELECT canary"))
    assert reason(caught.value) == "OperationalError, SQLITE_ERROR"
    engine.dispose()
    refused = OperationalError("SELECT canary", {}, errors.InvalidPassword("canary"))
    assert reason(refused) == "OperationalError, 28P01"


def lost_of(client: Any, run: str) -> Any:
    """What the server says is lost."""
    return client.get(f"/api/v1/runs/{run}/lost").json()


def test_what_the_store_has_lost_is_found_without_reading_it(inside: Inside) -> None:
    """Objects that are gone and those that are short; of files the path is told."""
    anna = inside.user("anna")
    run = make_run(anna)
    content = b"\x89PNG" * 100
    row = {"timestamp": 1.0, "op": "save", "path": "camera/0.png", "data": "camera/0.png"}
    line = json.dumps(row | {"sha256": sha(content), "size": len(content)}).encode() + b"\n"
    send(anna, run, ("files/index/w.jsonl", 0, b"", line))
    send(anna, run, ("tracks/a/w.jsonl", 0, b"", LINES))
    send(anna, run, ("tracks/b/w.jsonl", 0, b"", LINES))
    assert store(anna, run, content).status_code == 200
    assert lost_of(anna, run)["count"] == 0
    objects: ObjectStore = inside.app.state.store
    sizes = {key: size for key, size, _ in objects.list(f"runs/{run}")}
    (blob,) = (key for key in sizes if "/blobs/" in key)
    objects.put(blob, content[:-1])
    rows = sorted(key for key in sizes if "/rows/" in key)
    objects.delete([rows[1]])
    assert lost_of(anna, run) == {
        "count": 2,
        "segments": ["tracks/a/w.jsonl"],
        "files": ["camera/0.png"],
        "chunks": [{"segment": "tracks/a/w.jsonl", "offset": 0, "size": len(LINES)}],
        "contents": [sha(content)],
    }


@pytest.mark.parametrize("how", ["short", "changed", "gone"])
def test_rows_whose_bytes_are_damaged_are_lost_ones(inside: Inside, how: str) -> None:
    """However the store has spoilt them: no defect of the server, and the word says so."""
    anna = inside.user("anna")
    run = make_run(anna)
    text = b"".join(b'{"timestamp":%d.0,"step":%d,"x":1}\n' % (at, at) for at in range(500))
    send(anna, run, ("tracks/a/w.jsonl", 0, b"", text))
    objects: ObjectStore = inside.app.state.store
    (key,) = objects.of_run(run)
    held = objects.get(key, 0, 10**6)
    objects.delete([key])
    if how != "gone":
        objects.put(key, held[:50] if how == "short" else b"\0" * 20 + held[20:])
    for what in ("rows", "rows?format=arrow", "index"):
        answer = anna.get(f"/api/v1/runs/{run}/streams/tracks/a/{what}")
        assert (answer.status_code, answer.json()["code"]) == (500, "lost"), what


def test_of_a_whole_run_each_object_is_looked_at_and_not_each_content(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents share objects by the thousand: one by one they took longer than a client waits."""
    anna = inside.user("anna")
    run = make_run(anna)
    send(anna, run, ("tracks/a/w.jsonl", 0, b"", LINES))
    assert store(anna, run, *(bytes([number]) * 9 for number in range(50))).status_code == 200
    large = os.urandom(2 * wire.PART_SIZE + 1)
    assert upload(anna, run, large) == 200

    def look(*asked: Any) -> set[Any]:
        raise AssertionError("nothing is lost")

    with monkeypatch.context() as patched:
        patched.setattr(lost, "_look", look)
        assert lost_of(anna, run)["count"] == 0
    objects: ObjectStore = inside.app.state.store
    (*_, last) = sorted(key for key in objects.of_run(run) if "/parts/" in key)
    objects.put(last, b"")
    assert lost_of(anna, run)["contents"] == [sha(large)]


def upload(client: Any, run: str, content: bytes) -> int:
    """Send a content in parts; the status of the last answer."""
    about = {"sha256": sha(content), "size": len(content)}
    begun = client.post(f"/api/v1/runs/{run}/uploads", json=about).json()
    where = f"/api/v1/runs/{run}/uploads/{begun['upload']}"
    for offset in range(0, len(content), begun["part_size"]):
        part = content[offset : offset + begun["part_size"]]
        assert client.put(where, params={"offset": offset}, content=part).status_code == 200
    return int(client.post(f"{where}/complete").status_code)


def test_what_comes_while_the_store_is_listed_is_not_lost(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that grows at every look has each time an object that the list has not."""
    anna = inside.user("anna")
    run = make_run(anna)
    send(anna, run, ("tracks/a/w.jsonl", 0, b"", LINES))
    objects: ObjectStore = inside.app.state.store
    real, looks = objects.of_run, [0]

    def grow(run_id: str) -> dict[str, int]:
        found = real(run_id)
        looks[0] += 1
        send(anna, run, ("tracks/a/w.jsonl", looks[0] * len(LINES), LINES * looks[0], LINES))
        return found

    monkeypatch.setattr(objects, "of_run", grow)
    assert lost_of(anna, run)["count"] == 0
    assert looks == [3]


def test_only_who_may_read_a_run_is_told_what_is_lost(small: Inside) -> None:
    """Others hear that there is no such run."""
    run = make_run(small.user("anna"))
    assert small.user("eve").get(f"/api/v1/runs/{run}/lost").status_code == 404


def test_a_large_file_is_not_begun_to_be_given_while_the_store_is_away(
    small: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, from which a client knows to come back, and no 200 that breaks off."""
    anna = small.user("anna")
    run = make_run(anna)
    content = bytes(PIECE + 1)
    assert store(anna, run, content).status_code == 200

    def away(*asked: Any) -> bytes:
        raise SilentError("too many requests wait for the store")

    where = f"/api/v1/runs/{run}/blobs/{sha(content)}"
    with monkeypatch.context() as patched:
        patched.setattr(small.app.state.store, "get", away)
        answer = anna.get(where)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
    assert anna.get(where).content == content


@pytest.mark.parametrize("kind", ["file", "segment"])
def test_an_answer_that_has_begun_waits_for_a_full_store(
    small: Inside, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It was told 200 already: it comes whole, though there was no room for its second piece."""
    anna = small.user("anna")
    run = make_run(anna)
    if kind == "file":
        content = os.urandom(2 * PIECE + 7)
        assert store(anna, run, content).status_code == 200
        where = f"/api/v1/runs/{run}/blobs/{sha(content)}"
    else:
        content = b"".join(b'{"timestamp":%d.5}\n' % row for row in range(150_000))
        assert len(content) > 2 * CHUNK
        send(anna, run, ("tracks/a/w.jsonl", 0, b"", content))
        where = f"/api/v1/runs/{run}/segments/tracks/a/w.jsonl"
    objects: ObjectStore = small.app.state.store
    real, asked = objects.get, [0]

    def get(*about: Any) -> bytes:
        asked[0] += 1
        if asked[0] in (2, 3, 5):
            raise SilentError("too many requests wait for the store")
        return real(*about)

    monkeypatch.setattr(objects, "get", get)
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    assert anna.get(where).content == content
    assert asked[0] > 5, "it was turned away three times"


def test_an_answer_that_has_begun_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After as long as a client waits for it, it ends with what kept it."""

    def full(place: int) -> Iterator[bytes]:
        if place < 9:
            yield b"d" * 3
        raise SilentError("too many requests wait for the store")

    async def read() -> None:
        async for piece in patience.patiently(b"abc", 3, full):
            found.append(piece)  # noqa: PERF401 - what came before the error counts

    found: list[bytes] = []
    monkeypatch.setattr(patience, "PATIENCE", -1.0)
    with pytest.raises(SilentError):
        asyncio.run(read())
    assert found == [b"abc", b"ddd"]
