"""Changing and deleting runs on the server, and what comes of it."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from ml_dash import wire
from ml_dash.reading import read_rows
from ml_dash.reading.status import fold_life
from ml_dash.server.segments.stored import StoredRun
from ml_dash.server.sweeping import sweep_garbage
from ml_dash.server.tables import Blob, Chunk, File, Garbage, Run, RunTag, RunValue, Segment

from .inside import Inside, make_run, send


def start(at: float, **more: Any) -> bytes:
    """The first row of a session."""
    row = {"timestamp": at, "event": "start", "session": "w", "root": True, "id": "7"} | more
    return orjson.dumps(row) + b"\n"


def end(at: float, status: str, session: str = "w", **more: Any) -> bytes:
    """The last row of a session."""
    row = {"timestamp": at, "event": "end", "session": session, "status": status}
    return orjson.dumps(row | more) + b"\n"


def life(inside: Inside, run: str) -> Any:
    """What the reader makes of the stored segments."""
    return fold_life(read_rows(StoredRun(inside.data, inside.objects, run), "run"))


def test_what_is_changed_is_shown_and_is_in_the_segments(inside: Inside) -> None:
    """The server's own segment says it, so whoever reads the segments reads it, too."""
    client = inside.user("anna")
    run = make_run(client)
    send(client, run, ("run/w.jsonl", 0, b"", start(10.0, tags=["old"], description="before")))
    changes = {
        "tags": ["new", "good"],
        "description": "after",
        "metadata": {"robot": {"arm": 2}},
        "bindrs": ["anna"],
    }
    answer = client.patch(f"/api/v1/runs/{run}", json=changes)
    assert answer.status_code == 200, answer.text
    shown = answer.json()["run"]
    assert {key: shown[key] for key in changes} == changes
    assert life(inside, run).details == changes
    paths = [s["path"] for s in client.get(f"/api/v1/runs/{run}/segments").json()["segments"]]
    assert paths == [f"run/server-{run}.jsonl", "run/w.jsonl"]
    found = client.get("/api/v1/runs", params={"filter": "tag:good metadata.robot.arm = 2"}).json()
    assert [r["id"] for r in found["runs"]] == [run]
    assert client.get("/api/v1/runs", params={"filter": "tag:old"}).json()["runs"] == []


def test_a_change_wins_over_a_clock_that_is_ahead(inside: Inside) -> None:
    """What a person says last is what holds, though the client's clock is a year ahead."""
    client = inside.user("anna")
    run = make_run(client)
    ahead = inside.now + 3e7
    send(client, run, ("run/w.jsonl", 0, b"", start(ahead, tags=["old"])))
    for tags in (["one"], ["two"]):
        shown = client.patch(f"/api/v1/runs/{run}", json={"tags": tags}).json()["run"]
        assert shown["tags"] == tags
        assert life(inside, run).details["tags"] == tags


def test_a_change_keeps_what_it_does_not_name(inside: Inside) -> None:
    """And an empty one changes nothing at all."""
    client = inside.user("anna")
    run = make_run(client)
    send(client, run, ("run/w.jsonl", 0, b"", start(10.0, tags=["old"], description="before")))
    client.patch(f"/api/v1/runs/{run}", json={"description": None})
    shown = client.patch(f"/api/v1/runs/{run}", json={}).json()["run"]
    assert (shown["tags"], shown["description"]) == (["old"], "")


def test_a_change_is_no_sign_of_life(inside: Inside) -> None:
    """A run that ended stays ended, and one that died does not come back."""
    client = inside.user("anna")
    run = make_run(client)
    begun = start(10.0)
    send(client, run, ("run/w.jsonl", 0, b"", begun))
    inside.now += 1000
    shown = client.patch(f"/api/v1/runs/{run}", json={"tags": ["x"]}).json()["run"]
    assert (shown["status"], shown["heartbeat"]) == ("INTERRUPTED", inside.now - 1000)
    send(client, run, ("run/w.jsonl", len(begun), begun, end(20.0, "COMPLETED")))
    shown = client.patch(f"/api/v1/runs/{run}", json={"tags": ["y"]}).json()["run"]
    assert (shown["status"], shown["ended"]) == ("COMPLETED", 20.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": "x"},
        {"tags": [""]},
        {"tags": None},
        {"tags": ["x" * 201]},
        {"metadata": []},
        {"status": "COMPLETED"},
        {"description": 3},
        {"metadata": {"x": "y" * (3 << 20)}, "description": "z" * 20_001},
    ],
)
def test_what_cannot_be_changed_is_told(inside: Inside, changes: dict[str, Any]) -> None:
    """422, and nothing is written."""
    client = inside.user("anna")
    run = make_run(client)
    answer = client.patch(f"/api/v1/runs/{run}", json=changes)
    assert answer.status_code == 422, answer.text
    assert client.get(f"/api/v1/runs/{run}/segments").json()["segments"] == []


def test_changes_at_once_are_all_kept(inside: Inside) -> None:
    """Eight threads each change another thing; no change is lost, and no line is torn."""
    client = inside.user("anna")
    run = make_run(client)
    statuses: list[int] = []

    def work(number: int) -> None:
        key = ("tags", "bindrs")[number % 2]
        answer = client.patch(f"/api/v1/runs/{run}", json={key: [str(number)]})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    (segment,) = client.get(f"/api/v1/runs/{run}/segments").json()["segments"]
    assert segment["rows"] == 8


def test_a_run_that_was_interrupted_and_resumed_is_what_its_last_session_says(
    inside: Inside,
) -> None:
    """A session that never ended does not keep a run RUNNING once a later one has ended."""
    client = inside.user("anna")
    run = make_run(client)
    send(client, run, ("run/a.jsonl", 0, b"", start(10.0, session="a")))
    inside.now += 5
    rows = start(50.0, session="b") + end(60.0, "FAILED", "b", error="boom")
    send(client, run, ("run/b.jsonl", 0, b"", rows))
    running = client.get(f"/api/v1/runs/{run}").json()["run"]
    inside.now += 121
    shown = client.get(f"/api/v1/runs/{run}").json()["run"]
    assert [running[key] for key in ("status", "ended", "error")] == ["RUNNING", None, None]
    assert [shown[key] for key in ("status", "ended", "error")] == ["FAILED", 60.0, "boom"]
    assert life(inside, run).status == "FAILED"


def test_all_parameters_are_told(inside: Inside) -> None:
    """Folded from the segments, also those beyond what a list shows, and what is not finite."""
    client = inside.user("anna")
    run = make_run(client)
    params = {f"p{number}": number for number in range(500)}
    row = {"timestamp": 1.0, "params": {"lr": None}, "_nonfinite": {"/params/lr": "NaN"}}
    text = orjson.dumps(row) + b"\n" + orjson.dumps({"timestamp": 2.0, "params": params}) + b"\n"
    send(client, run, ("params/w.jsonl", 0, b"", text))
    assert client.get(f"/api/v1/runs/{run}/params").json()["params"] == params | {"lr": "nan"}
    assert len(client.get(f"/api/v1/runs/{run}").json()["run"]["params"]) == 200


def filled(inside: Inside) -> tuple[Any, str]:
    """A run that has something of everything."""
    client = inside.user("anna")
    run = make_run(client)
    index = {"timestamp": 1.0, "op": "save", "path": "a.txt", "data": "a.txt", "size": 1}
    send(
        client,
        run,
        ("run/w.jsonl", 0, b"", start(1.0, tags=["x"])),
        ("params/w.jsonl", 0, b"", b'{"timestamp": 1.0, "params": {"lr": 1}}\n'),
        ("files/index/w.jsonl", 0, b"", orjson.dumps(index) + b"\n"),
    )
    import hashlib

    piece = {"sha256": hashlib.sha256(b"a").hexdigest(), "size": 1}
    body = wire.pack({"pieces": [piece]}, [b"a"])
    assert client.post(f"/api/v1/runs/{run}/blobs", content=body).json() == {"stored": 1}
    return client, run


def test_a_deleted_run_is_gone_with_all_that_it_had(inside: Inside) -> None:
    """Its rows at once, its objects once nobody can be reading them; those of others stay."""
    client, run = filled(inside)
    other = make_run(client, "demo/other")
    kept = start(1.0)
    send(client, other, ("run/w.jsonl", 0, b"", kept))
    assert client.delete(f"/api/v1/runs/{run}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/segments"), ("POST", "/append")):
        assert client.request(method, f"/api/v1/runs/{run}{path}").status_code == 404
    with inside.data.reading() as session:
        left = {
            table.__tablename__: session.scalar(
                select(func.count()).select_from(table).where(table.run_id == run)
            )
            for table in (Segment, File, Blob, RunTag, RunValue)
        }
        assert left == dict.fromkeys(left, 0)
        assert session.scalar(select(func.count()).select_from(Chunk)) == 1
    mine = [key for key, _, _ in inside.objects.list(f"runs/{run}")]
    never = threading.Event()
    assert sweep_garbage(inside.data, inside.objects, inside.now - 1, never) == 0
    assert sweep_garbage(inside.data, inside.objects, inside.now + 1, never) == len(mine) == 2
    assert list(inside.objects.list(f"runs/{run}")) == []
    assert client.get(f"/api/v1/runs/{other}/segments/run/w.jsonl").content == kept
    with inside.data.reading() as session:
        assert session.scalar(select(func.count()).select_from(Garbage)) == 0


def test_a_deleted_run_comes_back_only_when_it_is_asked_for(inside: Inside) -> None:
    """Asked for anew it is another run, and empty."""
    client, run = filled(inside)
    client.delete(f"/api/v1/runs/{run}")
    assert (
        client.post("/api/v1/runs", json={"prefix": "demo/a", "create": False}).status_code == 404
    )
    again = make_run(client)
    assert again != run
    shown = client.get(f"/api/v1/runs/{again}").json()["run"]
    assert (shown["rows"], shown["files"], shown["tags"], shown["params"]) == (0, 0, [], {})


def test_a_run_that_is_deleted_during_an_append_takes_nothing_more(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who appends is told 404, and the object that was written for it is removed."""
    client = inside.user("anna")
    run = make_run(client)
    put = inside.objects.put

    def put_late(key: str, data: bytes) -> None:
        put(key, data)
        assert client.delete(f"/api/v1/runs/{run}").status_code == 204

    monkeypatch.setattr(inside.objects, "put", put_late)
    piece = {"segment": "run/w.jsonl", "offset": 0, "tail": 0, "size": len(start(1.0))}
    body = wire.pack({"pieces": [piece]}, [start(1.0)])
    answer = client.post(f"/api/v1/runs/{run}/append", content=body)
    assert answer.status_code == 404
    assert list(inside.objects.list()) == []
    with inside.data.reading() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == 0
