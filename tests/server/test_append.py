"""Append at offset, against an application in this process."""

from __future__ import annotations

import gzip
import json
import random
import threading
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import dotted, wire
from ml_dash.backends import Backend
from ml_dash.names import MAX_PATH
from ml_dash.reading import read_rows
from ml_dash.server.runs import fold as runs_fold
from ml_dash.server.segments import chunks
from ml_dash.server.segments.stored import StoredRun

from .inside import Inside, make_run, send
from .recorded import line, saved

SEGMENT = "tracks/arm/w1.jsonl"


def lines(first: int, count: int) -> bytes:
    """Rows of a track."""
    return b"".join(
        orjson.dumps({"timestamp": 100.0 + i, "step": i, "x": i / 2}) + b"\n"
        for i in range(first, first + count)
    )


def stored(client, run: str, path: str = SEGMENT) -> bytes:
    """What the server has of a segment."""
    return client.get(f"/api/v1/runs/{run}/segments/{path}").content


def test_what_was_appended_is_read_back_byte_by_byte(inside: Inside) -> None:
    """Two appends make one segment, with size, CRC and rows counted."""
    client = inside.user("anna")
    run = make_run(client)
    a, b = lines(0, 5), lines(5, 7)
    assert send(client, run, (SEGMENT, 0, b"", a)) == [
        {"segment": SEGMENT, "state": "taken", "end": len(a)}
    ]
    assert send(client, run, (SEGMENT, len(a), a, b))[0]["state"] == "taken"
    assert stored(client, run) == a + b
    (segment,) = client.get(f"/api/v1/runs/{run}/segments").json()["segments"]
    assert (segment["size"], segment["rows"]) == (len(a + b), 12)
    assert segment["crc"] == zlib.crc32(a + b)


def test_a_repeated_append_is_told_where_the_end_is_and_takes_nothing(inside: Inside) -> None:
    """The answer was lost, so the client asks again."""
    client = inside.user("anna")
    run = make_run(client)
    a = lines(0, 5)
    send(client, run, (SEGMENT, 0, b"", a))
    assert send(client, run, (SEGMENT, 0, b"", a)) == [
        {"segment": SEGMENT, "state": "moved", "end": len(a)}
    ]
    assert stored(client, run) == a
    assert client.get(f"/api/v1/runs/{run}").json()["run"]["rows"] == 5


def test_another_history_is_told_and_never_overwritten(inside: Inside) -> None:
    """The bytes before the append are not those that the server has."""
    client = inside.user("anna")
    run = make_run(client)
    a, other = lines(0, 5), lines(5, 5)[: len(lines(0, 5))]
    send(client, run, (SEGMENT, 0, b"", a))
    (answer,) = send(client, run, (SEGMENT, len(a), other, lines(9, 1)))
    assert (answer["state"], answer["end"]) == ("differs", len(a))
    assert stored(client, run) == a


def test_one_bad_piece_does_not_keep_the_others_out(inside: Inside) -> None:
    """Each piece is answered by itself, in the order of the request."""
    client = inside.user("anna")
    run = make_run(client)
    good = lines(0, 2)
    answers = send(
        client,
        run,
        ("../evil.jsonl", 0, b"", good),
        (SEGMENT, 0, b"", good),
        ("tracks/b/w1.jsonl", 7, b"", good),
        ("tracks/c/w1.jsonl", 0, b"", b'{"torn'),
    )
    assert [answer["state"] for answer in answers] == ["refused", "taken", "moved", "refused"]
    assert stored(client, run) == good
    assert len(list(inside.objects.list())) == 1


def test_a_second_piece_of_a_segment_is_told_where_it_goes(inside: Inside) -> None:
    """Behind the first one, in another request."""
    anna = inside.user("anna")
    run = make_run(anna)
    one, two = b'{"timestamp":1.0}\n', b'{"timestamp":2.0}\n'
    taken, moved = send(anna, run, ("logs/w.jsonl", 0, b"", one), ("logs/w.jsonl", 18, one, two))
    assert (taken["state"], taken["end"]) == ("taken", 18)
    assert (moved["state"], moved["end"]) == ("moved", 18)
    assert send(anna, run, ("logs/w.jsonl", 18, one, two))[0]["state"] == "taken"


@pytest.mark.parametrize(
    "odd", [{"size": 2**63}, {"size": -1}, {"data": "\ud800"}, {"sha256": "0" * 99}]
)
def test_a_row_that_no_database_takes_keeps_nothing_out(
    inside: Inside, odd: dict[str, Any]
) -> None:
    """It is stored as it came; of a file it tells what can be told."""
    anna = inside.user("anna")
    run = make_run(anna)
    text = json.dumps(saved("odd.bin", b"x") | odd).encode() + b"\n" + line(saved("a.bin", b"12"))
    assert send(anna, run, ("files/index/w.jsonl", 0, b"", text))[0]["state"] == "taken"
    shown = anna.get(f"/api/v1/runs/{run}").json()["run"]
    assert shown["file_bytes"] == (2 if "size" in odd or "data" in odd else 3)
    assert anna.get(f"/api/v1/runs/{run}/segments/files/index/w.jsonl").content == text


def test_a_file_with_the_longest_path_is_listed(inside: Inside) -> None:
    """Whoever downloads the run has it, too."""
    anna = inside.user("anna")
    run = make_run(anna)
    path = "/".join(["d" * 255] * 4)[: MAX_PATH - 4] + ".bin"
    text = line(saved(path, b"x"))
    assert send(anna, run, ("files/index/w.jsonl", 0, b"", text))[0]["state"] == "taken"
    files = anna.get(f"/api/v1/runs/{run}/files").json()["files"]
    assert [row["path"] for row in files] == [path]


def test_what_is_refused_leaves_no_object(inside: Inside) -> None:
    """Only bytes that a segment has are kept."""
    client = inside.user("anna")
    run = make_run(client)
    send(client, run, (SEGMENT, 3, b"abc", lines(0, 1)))
    assert list(inside.objects.list()) == []


@pytest.mark.parametrize(
    "path",
    [
        "run.json",
        "tracks/../run/w.jsonl",
        "tracks//w.jsonl",
        "/etc/passwd",
        "tracks/a/w.jsonl.exe",
        "tracks/a\x00b/w.jsonl",
        "files/data/x.jsonl",
        "tracks/" + "a" * 2000 + "/w.jsonl",
    ],
)
def test_paths_that_are_no_segments_are_refused(inside: Inside, path: str) -> None:
    """Nothing but segments in the known rooms."""
    client = inside.user("anna")
    run = make_run(client)
    assert send(client, run, (path, 0, b"", lines(0, 1)))[0]["state"] == "refused"


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(inside: Inside) -> None:
    """A gigabyte of zeros is a megabyte of gzip."""
    client = inside.user("anna")
    run = make_run(client)
    body = gzip.compress(bytes(64 << 20))
    answer = client.post(
        f"/api/v1/runs/{run}/append", content=body, headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_bodies_that_are_not_the_protocol_are_told_so(inside: Inside) -> None:
    """Every one is answered with 400, and none with 500."""
    client = inside.user("anna")
    run = make_run(client)
    for body in (b"", b"{}\n", b'{"pieces": 3}\n', b'{"pieces": [{"size": 9}]}\nabc', b"\xff\n"):
        assert client.post(f"/api/v1/runs/{run}/append", content=body).status_code == 400, body


def test_clients_who_append_at_once_lose_and_double_nothing(inside: Inside) -> None:
    """Eight threads send the same rows of one segment, each going on where it is told."""
    client = inside.user("anna")
    run = make_run(client)
    text = lines(0, 60)
    step = len(lines(0, 1))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            end = 0
            while end < len(text):
                until = text.index(b"\n", min(end + 3 * step, len(text) - 1)) + 1
                (answer,) = send(client, run, (SEGMENT, end, text[:end], text[end:until]))
                assert answer["state"] in ("taken", "moved")
                end = answer["end"]
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert stored(client, run) == text
    assert client.get(f"/api/v1/runs/{run}").json()["run"]["rows"] == 60


def test_a_range_of_bytes_is_read_over_chunks(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `Range` asks for it, with 416 behind the end."""
    monkeypatch.setattr(chunks, "CHUNK", 200)
    client = inside.user("anna")
    run = make_run(client)
    text = lines(0, 50)
    send(client, run, (SEGMENT, 0, b"", text))
    url = f"/api/v1/runs/{run}/segments/{SEGMENT}"
    parts = client.get(url, params={"chunks": True}).json()
    assert len(parts) > 5
    assert sum(part["size"] for part in parts) == len(text)
    for asked, expected in (("bytes=0-0", text[:1]), ("bytes=190-812", text[190:813])):
        answer = client.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, expected)
    assert client.get(url, headers={"Range": "bytes=-7"}).content == text[-7:]
    assert client.get(url, headers={"Range": f"bytes={len(text)}-"}).status_code == 416


def test_the_reading_code_reads_a_stored_run(inside: Inside) -> None:
    """The same rows as from a folder."""
    client = inside.user("anna")
    run = make_run(client)
    send(client, run, (SEGMENT, 0, b"", lines(0, 20)))
    backend = StoredRun(inside.data, inside.objects, run)
    assert isinstance(backend, Backend)
    assert [row["step"] for row in read_rows(backend, "tracks/arm")] == list(range(20))


def test_what_is_told_of_a_run_does_not_depend_on_the_order_of_arrival(inside: Inside) -> None:
    """Sessions, params, tags and last values are folded by their own times."""
    start = {"timestamp": 10.0, "event": "start", "session": "w1", "root": True, "tags": ["x"]}
    rows = [
        ("run/w1.jsonl", start),
        ("run/w2.jsonl", {"timestamp": 12.0, "event": "update", "session": "w2", "tags": ["y"]}),
        ("params/w1.jsonl", {"timestamp": 11.0, "params": {"lr": 0.1}}),
        ("params/w2.jsonl", {"timestamp": 12.0, "params": {"lr": 0.2}}),
        ("metrics/train/w1.jsonl", {"timestamp": 11.0, "loss": 2.0}),
        ("metrics/train/w2.jsonl", {"timestamp": 13.0, "loss": 1.0}),
    ]
    client = inside.user("anna")
    for number, order in enumerate((rows, rows[::-1])):
        run = make_run(client, f"demo/{number}")
        for path, row in order:
            send(client, run, (path, 0, b"", orjson.dumps(row) + b"\n"))
        inside.now += 1000  # nothing has been heard of it for long
        found = client.get(f"/api/v1/runs/{run}").json()["run"]
        assert found["tags"] == ["y"]
        assert found["params"] == {"lr": 0.2}
        assert found["metrics"] == {"train.loss": 1.0}
        assert (found["status"], found["started"]) == ("INTERRUPTED", 10.0)


NAMES = st.sampled_from(["a", "a.b", "a.b.c", "a.c", "ab", "b", "b.a"])


VALUES = st.integers(0, 9) | st.just({})


@settings(max_examples=300)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.randoms())
def test_params_that_replace_each_other_are_told_as_they_are_read(
    sets: list[tuple[str, object]], order: random.Random
) -> None:
    """Values and empty groups take away what they do, in whatever order the rows arrive."""
    rows = [
        {"timestamp": float(at), "params": {name: value}} for at, (name, value) in enumerate(sets)
    ]
    arriving = order.sample(rows, len(rows))
    folded: dict[str, Any] = {"times": {}}
    found: dict[str, Any] = {}
    for row in arriving:
        found = runs_fold._take_params(folded, found, [row])
    read = dotted.fold(rows)
    assert found == {name: "{}" if value == {} else value for name, value in read.items()}


def test_a_writer_that_is_gone_gives_no_sign_of_life(inside: Inside) -> None:
    """What it wrote may come days later; who goes on beside it keeps the run alive."""
    client = inside.user("anna")
    run = make_run(client)
    url = f"/api/v1/runs/{run}"

    def append(writer: str, **said: Any) -> dict[str, Any]:
        start = {"timestamp": 10.0, "event": "start", "session": writer, "root": True}
        line = orjson.dumps(start) + b"\n"
        piece = {"segment": f"run/{writer}.jsonl", "offset": 0, "tail": 0, "size": len(line)}
        body = wire.pack({"pieces": [piece | said]}, [line])
        (answer,) = client.post(f"{url}/append", content=body).json()["pieces"]
        return dict(answer) | dict(client.get(url).json()["run"])

    for wrong in (-1, "1", True, None, 1e300):
        found = append("w1", silent=wrong)
        assert (found["state"], found["reason"]) == (
            "refused",
            "a piece's silent is a number of seconds",
        )
    found = append("w1", silent=5000.5)
    assert (found["state"], found["status"]) == ("taken", "INTERRUPTED")
    assert found["heartbeat"] == inside.now - 5000.5
    found = append("w2")
    assert (found["status"], found["heartbeat"]) == ("RUNNING", inside.now)
    found = append("w3", silent=5000)  # it does not turn back what is known
    assert (found["status"], found["heartbeat"]) == ("RUNNING", inside.now)


def test_a_run_of_somebody_else_cannot_be_told_from_none(inside: Inside) -> None:
    """Neither read nor written, and named by no answer."""
    run = make_run(inside.user("anna"))
    other = inside.user("bert")
    for path in (f"/api/v1/runs/{run}", f"/api/v1/runs/{run}/segments"):
        assert other.get(path).status_code == 404
    assert other.post(f"/api/v1/runs/{run}/append", content=b"").status_code == 404
    assert other.post("/api/v1/runs", json={"prefix": "anna/demo/a"}).status_code == 403


def test_a_token_for_reading_does_not_write(inside: Inside) -> None:
    """The scope counts beside the role."""
    run = make_run(inside.user("anna"))
    reader = inside.client(
        client_id(inside, "anna"),
        ("read",),
    )
    assert reader.get(f"/api/v1/runs/{run}").status_code == 200
    assert reader.post(f"/api/v1/runs/{run}/append", content=b"").status_code == 403


def client_id(inside: Inside, name: str) -> str:
    """The id of a user."""
    from sqlalchemy import select

    from ml_dash.server.tables import User

    with inside.data.reading() as session:
        found = session.scalar(select(User.id).where(User.name == name))
    assert found is not None
    return str(found)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_frames_come_out_as_they_went_in(parts: list[bytes]) -> None:
    """Any bytes, also none, and none at all."""
    header = {"pieces": [{"size": len(part)} for part in parts]}
    found, views = wire.unpack(wire.pack(header, parts))
    assert found == header
    assert list(map(bytes, views)) == parts
