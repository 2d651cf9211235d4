"""Whether a server lives and works, how it ends, and what its log tells."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from uvicorn.server import ServerState

from ml_dash import wire
from ml_dash.cli import main
from ml_dash.server import health, process, serving
from ml_dash.server.serving import UnreachableError, reach, serve
from ml_dash.server.settings import ServerSettings
from ml_dash.version import __version__

from .inside import Inside, make_run
from .serving import KINDS, Machines, Served

SEGMENT = "logs/w.jsonl"


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    made = Inside(tmp_path / "server")
    yield made
    made.close()


def ready(inside: Inside) -> Any:
    """What `/ready` answers."""
    return TestClient(inside.app).get("/api/v1/ready")


def test_a_server_that_works_is_ready(inside: Inside) -> None:
    """Without a token: balancers have none."""
    assert ready(inside).json() == {"status": "ready", "database": "ok", "store": "ok"}
    alive = TestClient(inside.app).get("/api/v1/health").json()
    assert alive == {"status": "ok", "version": __version__}


@pytest.mark.parametrize("name", ["database", "store"])
def test_a_server_without_database_or_store_is_not_ready(
    inside: Inside, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """503, with Retry-After and what is missing, and without what the error says of passwords."""

    def fail() -> None:
        raise OSError("postgresql://dash:secret@host")

    (probe,) = [probe for probe in inside.app.state.probes if probe.name == name]
    monkeypatch.setattr(probe, "_ask", fail)
    answer = ready(inside)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert (answer.json()[name], answer.json()["code"]) == ("failing", "unavailable")
    assert "secret" not in answer.text + caplog.text
    assert TestClient(inside.app).get("/api/v1/health").status_code == 200


def test_a_database_that_hangs_is_told_within_a_bound(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often one asks, it takes up one thread; once it answers, the server is ready."""
    monkeypatch.setattr(health, "BOUND", 0.05)
    monkeypatch.setattr(health.Probe.check, "__defaults__", (0.05,))
    monkeypatch.setattr(health, "KEPT", -1.0)
    answered, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        answered.wait(30)

    (probe,) = [probe for probe in inside.app.state.probes if probe.name == "database"]
    monkeypatch.setattr(probe, "_ask", hang)
    with TestClient(inside.app) as client:  # one event loop for all of them
        for _ in range(5):
            answer = client.get("/api/v1/ready")
            assert (answer.status_code, answer.json()["database"]) == (503, "silent")
        assert len(asked) == 1
        answered.set()
        while client.get("/api/v1/ready").status_code != 200:
            pass


def test_a_server_that_is_about_to_end_is_not_ready(inside: Inside) -> None:
    """So that a balancer sends nobody there any more."""
    inside.app.state.stopping = True
    assert ready(inside).status_code == 503


def test_a_database_that_is_away_is_told_as_such(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with Retry-After, which clients take as a reason to come back; not 500."""
    client = inside.user("anna")
    run = make_run(client)

    def fail(*args: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("postgresql://dash:secret@host"))

    monkeypatch.setattr("ml_dash.server.runs.routes.list_runs", fail)
    answer = client.get("/api/v1/runs")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "secret" not in answer.text
    assert client.get(f"/api/v1/runs/{run}").status_code == 200


@pytest.fixture(params=KINDS)
def own(request: pytest.FixtureRequest, machines: Machines, tmp_path: Path) -> Iterator[Served]:
    """A server process of each kind, for one test."""
    made = Served(machines.settings(request.param, tmp_path))
    made.start()
    yield made
    made.kill()


def lines_of(server: Served) -> list[dict[str, Any]]:
    """The lines of a server's log that are JSON."""
    found = (line for line in server.said().splitlines() if line.startswith("{"))
    return [json.loads(line) for line in found]


@contextmanager
def connect(server: Served) -> Iterator[http.client.HTTPConnection]:
    """A connection that is closed afterwards."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with closing(link):
        yield link


def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_append_that_is_under_way_when_the_server_ends_is_answered(own: Served) -> None:
    """SIGTERM in the middle of its body: nobody new is let in, it is taken, the process exits 0."""
    person = own.person()
    about = own.client(person).json("POST", "/runs", json={"prefix": "demo/a", "id": "1"})
    line = b'{"timestamp": 1.0, "message": "x"}\n'
    piece = {"segment": SEGMENT, "offset": 0, "tail": 0, "size": len(line)}
    body = wire.pack({"pieces": [piece]}, [line])
    with connect(own) as link:
        link.putrequest("POST", f"/api/v1/runs/{about['run']['id']}/append")
        link.putheader("Authorization", f"Bearer {person.token}")
        link.putheader("Content-Length", str(len(body)))
        link.endheaders(body[:10])
        codes: list[int] = []
        ending = threading.Thread(target=lambda: codes.append(own.stop()))
        ending.start()
        until(lambda: not own.answers())
        link.send(body[10:])
        answer = link.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["pieces"][0]["state"] == "taken"
    ending.join(30)
    assert codes == [0]
    own.start()
    found = own.client(person).request("GET", f"/runs/{about['run']['id']}/segments/{SEGMENT}")
    assert found.content == line


def test_a_server_ends_though_somebody_follows_a_run(own: Served) -> None:
    """Server-sent events have no end of their own; with SIGTERM they end at once."""
    person = own.person()
    about = own.client(person).json("POST", "/runs", json={"prefix": "demo/a", "id": "1"})
    with connect(own) as link:
        headers = {"Authorization": f"Bearer {person.token}"}
        link.request("GET", f"/api/v1/runs/{about['run']['id']}/events", headers=headers)
        answer = link.getresponse()
        assert answer.readline().startswith(b"retry:")
        begun = time.monotonic()
        assert own.stop() == 0
        assert time.monotonic() - begun < 10
        answer.read()  # it ended as it should, not cut off


def test_the_log_has_a_line_for_each_request_and_no_secrets(own: Served) -> None:
    """Method, path without its query, status, duration and the id of the user, as JSON."""
    person = own.person()
    with connect(own) as link:
        headers = {"Authorization": f"Bearer {person.token}"}
        link.request("GET", f"/api/v1/runs?cursor=&search={person.token}", headers=headers)
        assert link.getresponse().read()
        link.request("GET", "/api/v1/runs/1%0a%22x?token=mld_at_secret")
        assert link.getresponse().read()
    until(lambda: len([line for line in lines_of(own) if "path" in line]) >= 2)
    first, second = [line for line in lines_of(own) if "path" in line]
    told = {key: first[key] for key in ("method", "path", "status", "user", "level")}
    assert told == {
        "method": "GET",
        "path": "/api/v1/runs",
        "status": 200,
        "user": person.id,
        "level": "info",
    }
    assert 0 < first["milliseconds"] < 30_000
    assert (second["path"], second["status"], second["user"]) == ('/api/v1/runs/1\n"x', 401, None)
    assert person.token not in own.log.read_text()
    assert "mld_at_" not in own.said()


def test_a_client_that_goes_away_in_the_middle_is_one_line_of_the_log(own: Served) -> None:
    """No defect of ours, so no trace; the server goes on."""
    person = own.person()
    about = own.client(person).json("POST", "/runs", json={"prefix": "demo/a", "id": "1"})
    path = f"/api/v1/runs/{about['run']['id']}/append"
    with connect(own) as link:
        link.putrequest("POST", path)
        link.putheader("Authorization", f"Bearer {person.token}")
        link.putheader("Content-Length", "100000")
        link.endheaders(b"x" * 10)
    until(lambda: any(line.get("path") == path for line in lines_of(own)))
    (told,) = [line for line in lines_of(own) if line.get("path") == path]
    assert told["status"] == 400
    assert "Traceback" not in own.said()
    assert own.answers()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"database": "nonsense"}, "the database is not given as it must be"),
        ({"database": "nothing://x"}, "the database is not given as it must be"),
        ({"database": "postgresql+psycopg://dash:secret@127.0.0.1:1/x"}, "cannot be used"),
        ({"folder": "/dev/null/x"}, "the folder /dev/null/x cannot be used"),
    ],
)
def test_what_a_server_cannot_reach_at_its_start_is_told_in_a_sentence(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    """And no password is in it."""
    wanted = ServerSettings.load({"folder": str(tmp_path)} | settings, {})
    with pytest.raises(UnreachableError, match=told) as error:
        reach(wanted)
    assert "secret" not in str(error.value)


def test_a_port_that_is_taken_is_told_before_anything_else(tmp_path: Path) -> None:
    """Nobody is sent to another's server, and the administrator's link is not used up."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = ServerSettings.load({"folder": str(tmp_path), "port": port}, {})
        said: list[str] = []
        with pytest.raises(UnreachableError, match=f"cannot listen on 127.0.0.1:{port}.*--port 0"):
            serve(wanted, said.append)
    assert said == []
    assert list(tmp_path.iterdir()) == []


def test_all_addresses_of_a_host_have_one_port() -> None:
    """A free one is chosen once; a host that is none of this machine is an error."""
    found = process.listen("localhost", 0)
    assert len({each.getsockname()[1] for each in found}) == 1
    for each in found:
        each.close()
    with pytest.raises(OSError):
        process.listen("192.0.2.1", 0)


def test_a_head_that_does_not_come_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who says nothing, or half a head, is cut off; a request that works on longer is answered."""
    monkeypatch.setattr(process, "HEAD", 0.05)
    assert asyncio.run(talk([b""])) == b""
    assert asyncio.run(talk([b"GET / HTTP/1.1\r\nHost: x\r\nX: "])) == b""
    assert asyncio.run(talk([b"GET / HTTP/1.1\r\n", b"Host: x\r\n\r\n"])).endswith(b"late")
    body = [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n", b"a", b"b"]
    assert asyncio.run(talk(body)).endswith(b"late")


async def talk(pieces: list[bytes]) -> bytes:
    """What a client is told that sends a request in pieces, and then no more."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)  # longer than a head may take
        headers = [(b"content-length", b"4"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"late"})

    config = uvicorn.Config(app, http=process.PatientProtocol, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: process.PatientProtocol(config, state, {}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(30):
        found = await reader.read()
    writer.close()
    server.close()
    return found


def test_what_the_server_keeps_is_for_its_user_alone(tmp_path: Path) -> None:
    """Database, rows and the folder itself, whatever the umask of whoever started it."""
    folder = tmp_path / "kept"
    before = os.umask(0o022)
    try:
        assert main(["server", "upgrade", "--folder", str(folder)]) == 0
    finally:
        after = os.umask(before)
    assert after == 0o022
    found = {path: path.stat().st_mode & 0o077 for path in (folder, *folder.rglob("*"))}
    assert len(found) > 1
    assert not any(found.values())


def test_a_defect_says_that_it_closes_the_connection(small: Inside) -> None:
    """A proxy that is not told gives the connection to the next request, which is lost then."""
    anna = small.user("anna")
    anna._transport.raise_server_exceptions = False  # type: ignore[attr-defined]  # as in a process
    del small.app.state.now
    answer = anna.get("/api/v1/runs")
    assert (answer.status_code, answer.json()["code"]) == (500, "defect")
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    "address", ["//dash:{}@/db?host=/x", "//dash@/db?host=/x&password={}&sslpassword={}"]
)
def test_the_password_of_a_database_is_not_shown(address: str) -> None:
    """Neither that of the user nor one of the query."""
    url = make_url(f"postgresql+psycopg:{address.format('secret', 'secret')}")
    text = serving.shown(url)
    assert "secret" not in text and "host=" in text and text.startswith("postgresql+psycopg://dash")
