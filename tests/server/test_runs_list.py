"""Lists of runs: whose they are, how they are filtered, sorted and paged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

from .inside import Inside, make_run, send
from .recorded import fill
from .serving import KINDS, Machines

LRS = {"a": 0.1, "b": 0.001, "c": 0.0001, "d": None}
LOSSES = {"a": 3.0, "b": 1.0, "c": None, "d": 2.0}


@pytest.fixture(scope="module", params=KINDS)
def inside(
    request: pytest.FixtureRequest, machines: Machines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inside]:
    """A server over each kind of database, with four runs of anna's in it."""
    folder = tmp_path_factory.mktemp("server")
    settings = machines.settings(request.param, folder)
    made = Inside(folder, database=settings.database)
    anna = made.user("anna")
    made.user("bert")
    for number, name in enumerate("abcd"):
        made.now += 1
        record(anna, f"arm/{name}", number)
    yield made
    made.close()


@pytest.fixture(scope="module")
def anna(inside: Inside) -> TestClient:
    return member(inside, "anna")


def member(inside: Inside, name: str) -> TestClient:
    """A client of a user that is there."""
    from sqlalchemy import select

    from ml_dash.server.tables import User

    with inside.data.reading() as session:
        found = session.scalar(select(User.id).where(User.name == name))
    assert found is not None
    return inside.client(found, ("read", "write", "admin"))


def record(client: TestClient, prefix: str, number: int) -> str:
    """Record a run: a and c have ended, b and d go on."""
    name = prefix[-1]
    run = make_run(client, prefix)
    at = 1_000.0 + number
    rows: list[tuple[str, dict[str, Any]]] = [
        (
            "run",
            {
                "timestamp": at,
                "event": "start",
                "session": "w",
                "root": True,
                "host": f"lab-{number}",
                "tags": ["baseline", f"t{number}"] if number % 2 else ["sweep it"],
                "metadata": {"robot": {"kind": "ur5" if number else "panda"}},
                "description": f"Picks and places {name}",
                "environment": {"git": {"commit": f"abc{number}", "dirty": number == 0}},
            },
        ),
        ("params", {"timestamp": at, "params": {"model.name": f"net{number}", "fast": number > 1}}),
    ]
    if LRS[name] is not None:
        rows.append(("params", {"timestamp": at, "params": {"lr": LRS[name]}}))
    if LOSSES[name] is not None:
        rows.append(("metrics/train", {"timestamp": at, "loss": LOSSES[name]}))
    if name in "ac":
        end = {"timestamp": at + 10 * (number + 1), "event": "end", "session": "w"}
        rows.append(("run", end | {"status": "FAILED" if name == "c" else "COMPLETED"}))
    texts: dict[str, bytes] = {}
    for stream, row in rows:
        texts[stream] = texts.get(stream, b"") + orjson.dumps(row) + b"\n"
    send(client, run, *((f"{stream}/w.jsonl", 0, b"", text) for stream, text in texts.items()))
    return run


def names(client: TestClient, **asked: Any) -> str:
    """The last letters of the runs of one answer, in its order."""
    answer = client.get("/api/v1/runs", params={"sort": "name"} | asked)
    assert answer.status_code == 200, answer.text
    return "".join(run["name"][-1] for run in answer.json()["runs"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "abcd"),
        ("lr > 1e-3", "a"),
        ("lr >= 1e-3", "ab"),
        ("lr = 0.1", "a"),
        ("lr != 0.1", "bc"),
        ("params.lr <= 0.0001", "c"),
        ("metrics.train.loss < 2.5", "bd"),
        ("train.loss < 2.5", "bd"),
        ("tag:baseline", "bd"),
        ("tag != baseline", "ac"),
        ("tag:'sweep it'", "ac"),
        ("tag ~ SWEEP", "ac"),
        ("has:tag", "abcd"),
        ("tag:baseline and tag:t3", "d"),
        ("status:running", "bd"),
        ("status:COMPLETED", "a"),
        ("status != running", "ac"),
        ("not status:running", "ac"),
        ("lr > 1e-5 and tag:baseline and status:running", "b"),
        ("lr > 1e-5 tag:baseline status:running", "b"),
        ("has:lr", "abc"),
        ("not has:params.lr", "d"),
        ("not lr > 1e-3", "bcd"),
        ("ended > 0", "ac"),
        ("not ended > 0", "bd"),
        ("duration > 1", "abc"),
        ("duration > 1 and not status:running", "ac"),
        ("duration <= 10", "abd"),
        ("model.name:net1", "b"),
        ("model.name ~ NET", "abcd"),
        ("params.fast:true", "cd"),
        ("params.fast = 0", "ab"),
        ("host:lab-2", "c"),
        ("metadata.robot.kind:ur5", "bcd"),
        ("git.commit ~ c3", "d"),
        ("git.dirty:true", "a"),
        ("started >= 1970-01-01T00:16:41", "bcd"),
        ("started < 1970-01-02", "abcd"),
        ("rows > 4", "a"),
        ("name:a or name:b and lr < 0", "a"),
        ("prefix:anna/arm/a or lr = 0.001", "ab"),
        ("(prefix:anna/arm/a or lr = 0.001) and tag:baseline", "b"),
        ("project:arm and namespace:anna and name ~ b", "b"),
        ("PLACES", "abcd"),
        ('"picks and places c"', "c"),
        ("t3", "d"),
        ("not baseline", "ac"),
        ("anna/arm/d or arm/a", "ad"),
        ("description ~ '100%'", ""),
        ("description ~ _", ""),
    ],
)
def test_a_filter_finds(anna: TestClient, text: str, found: str) -> None:
    """Each sign, field and joint finds those runs that it says, and no others."""
    assert names(anna, filter=text) == found


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("lr >", 4),
        ("lr > 1 and", 10),
        ("(lr > 1", 7),
        ("lr > 1)", 6),
        ("lr >> 1", 4),
        ("and", 0),
        ("tag > x", 0),
        ("tag:'x", 4),
        ("rows > many", 7),
        ("lr > 1 and started > yesterday", 21),
        ("rows ~ 1", 0),
        ("((((((((((((((((((((((((((((((((((((((((lr > 1", 30),
        (" and ".join(["lr > 1"] * 60), 550),
    ],
)
def test_a_filter_that_cannot_be_understood_is_told_with_its_place(
    anna: TestClient, text: str, position: int
) -> None:
    """422, with the character at which it is."""
    answer = anna.get("/api/v1/runs", params={"filter": text})
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert (told["code"], told["position"]) == ("filter", position)
    assert f"at character {position + 1}:" in told["detail"]


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("created", "abcd"),
        ("-created", "dcba"),
        ("name", "abcd"),
        ("-prefix", "dcba"),
        ("metrics.train.loss", "bdac"),
        ("-metrics.train.loss", "adbc"),
        ("params.lr", "cbad"),
        ("-params.lr", "abcd"),
        ("-params.model.name", "dcba"),
        ("host", "abcd"),
        ("-ended", "cadb"),
        ("duration", "dbac"),
        ("-duration", "cabd"),
        ("status", "acbd"),
        ("git.commit", "abcd"),
        ("params.nothing", "abcd"),
        ("-params.nothing", "dcba"),
        ("status,-name", "acdb"),
        ("-status,name", "bdca"),
        ("params.nothing,-metrics.train.loss,name", "adbc"),
    ],
)
def test_runs_are_sorted_and_those_without_a_value_come_last(
    anna: TestClient, sort: str, found: str
) -> None:
    """By own fields, parameters, metrics and metadata, in both directions, also page by page."""
    assert names(anna, sort=sort) == found
    asked: dict[str, Any] = {"sort": sort, "limit": 1}
    paged, totals = "", []
    for _ in range(5):
        page = anna.get("/api/v1/runs", params=asked).json()
        paged += "".join(run["name"][-1] for run in page["runs"])
        totals.append(page["total"])
        if page["next"] is None:
            break
        asked["cursor"] = page["next"]
    assert paged == found
    assert totals == [4, None, None, None]


def test_runs_that_are_added_move_no_page(tmp_path: Path) -> None:
    """Whatever comes in front of a cursor, the next page goes on behind it."""
    inside = Inside(tmp_path / "server")
    client = inside.user("anna")
    for number in range(6):
        inside.now += 1
        make_run(client, f"demo/{number}")
    first = client.get("/api/v1/runs", params={"limit": 3}).json()
    inside.now += 1
    make_run(client, "demo/6")
    second = client.get("/api/v1/runs", params={"limit": 3, "cursor": first["next"]}).json()
    inside.close()
    assert [run["name"] for run in first["runs"] + second["runs"]] == list("543210")


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "bnVsbA", "WyItY3JlYXRlZCIsMCwxLCJcdTAwMDAiXQ", "é"]
)
def test_a_cursor_that_is_none_is_told(anna: TestClient, cursor: str) -> None:
    """422 for what is no cursor, and for one of another order."""
    page = anna.get("/api/v1/runs", params={"limit": 1, "sort": "name"}).json()
    for wrong in (cursor, page["next"]):
        assert anna.get("/api/v1/runs", params={"cursor": wrong}).status_code == 422


@pytest.mark.parametrize(
    "asked",
    [{"sort": "nothing"}, {"limit": 0}, {"limit": 5000}, {"filter": "a\0"}, {"search": "x " * 11}],
)
def test_what_cannot_be_asked_is_told(anna: TestClient, asked: dict[str, Any]) -> None:
    """With 400 or 422, never 500."""
    assert anna.get("/api/v1/runs", params=asked).status_code in (400, 422)


def test_a_prefix_means_a_run_and_what_is_below_it(anna: TestClient) -> None:
    """In whole segments: `arm/a` is not the beginning of `arm/abc`."""
    made = [make_run(anna, f"anna/deep/{name}") for name in ("sweep/1", "sweep/12", "sweep")]
    found = [
        [
            run["prefix"]
            for run in anna.get("/api/v1/runs", params={"prefix": prefix}).json()["runs"]
        ]
        for prefix in ("anna/deep/sweep/1", "anna/deep/sweep", "anna/deep", "anna/nothing")
    ]
    for run in made:
        assert anna.delete(f"/api/v1/runs/{run}").status_code == 204
    assert [len(runs) for runs in found] == [1, 3, 3, 0]


def test_search_wants_all_words(anna: TestClient) -> None:
    """In prefix, description or tags, whatever the case."""
    assert names(anna, search="PICKS baseline") == "bd"
    assert names(anna, search="picks nothing") == ""


def test_only_what_one_may_read_is_listed(inside: Inside, anna: TestClient) -> None:
    """Runs of others are neither listed nor counted, whatever is asked."""
    bert = member(inside, "bert")
    for asked in ({}, {"namespace": "anna"}, {"prefix": "anna/arm/a"}, {"filter": "not has:x"}):
        page = bert.get("/api/v1/runs", params=asked).json()
        assert page == {"runs": [], "next": None, "total": 0}
    assert len(anna.get("/api/v1/runs", params={"namespace": "anna"}).json()["runs"]) == 4


def test_a_value_that_changes_is_found_by_its_new_one(tmp_path: Path) -> None:
    """Metrics, params and tags are looked for as they are now."""
    inside = Inside(tmp_path / "server")
    client = inside.user("anna")
    run = make_run(client)
    first = orjson.dumps({"timestamp": 1.0, "loss": 5.0, "kept": 1}) + b"\n"
    send(client, run, ("metrics/train/w.jsonl", 0, b"", first))
    assert names(client, filter="train.loss > 4") == "a"
    second = orjson.dumps({"timestamp": 2.0, "loss": "none"}) + b"\n"
    third = orjson.dumps({"timestamp": 3.0, "loss": 0.5}) + b"\n"
    send(client, run, ("metrics/train/w.jsonl", len(first), first, second + third))
    found = [
        names(client, filter=text) for text in ("train.loss > 4", "train.loss < 1 train.kept = 1")
    ]
    inside.close()
    assert found == ["", "a"]


def test_bytes_of_files_are_those_of_the_latest(tmp_path: Path) -> None:
    """A file that is saved anew counts once, one that is deleted no more."""
    inside = Inside(tmp_path)
    client = inside.user("anna")
    saved = {"op": "save", "sha256": "0" * 64}
    rows = [
        {"timestamp": 1.0, "path": "a", "data": "a", "size": 100, **saved},
        {"timestamp": 2.0, "path": "b", "data": "b", "size": 7, **saved},
        {"timestamp": 3.0, "path": "a", "data": "a-1", "size": 30, **saved},
        {"timestamp": 4.0, "path": "b", "op": "delete"},
    ]
    run, _ = fill(client, {"files/index/w.jsonl": rows})
    shown = client.get(f"/api/v1/runs/{run}").json()["run"]
    assert (shown["files"], shown["file_bytes"]) == (1, 30)
    inside.close()


def test_a_clock_that_is_wrong_breaks_no_list(tmp_path: Path) -> None:
    """Times far ahead and far behind are listed, sorted and filtered; signs of life are ours."""
    inside = Inside(tmp_path / "server")
    client = inside.user("anna")
    for name, at in (("a", -1e300), ("b", 1e300), ("c", 0.0)):
        run = make_run(client, f"demo/{name}")
        row = {"timestamp": at, "event": "start", "session": "w", "root": True}
        send(client, run, ("run/w.jsonl", 0, b"", json.dumps(row).encode() + b"\n"))
    assert names(client, sort="started") == "acb"
    assert names(client, filter="status:running") == "abc"
    inside.now += 1000
    assert names(client, filter="status:running") == ""
    assert names(client, filter="status:interrupted", sort="-started") == "bca"
    inside.close()
