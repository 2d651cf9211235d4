"""What `sync` does with runs in every state, against real servers of each kind."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from replicas import segments_in
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ml_dash import Experiment
from ml_dash.cli import main
from ml_dash.reading.lines import Segment as LocalSegment
from ml_dash.server.tables import Chunk, Run, Segment
from ml_dash.sync import replicate
from ml_dash.sync.listing import stored_segments

from .copies import QUIET, check_equal, record
from .faults import FaultProxy
from .serving import Person, Served
from .training import Training


def sign_in(monkeypatch: pytest.MonkeyPatch, server: Served, person: Person, root: Path) -> None:
    """Let commands in this process speak for a user."""
    monkeypatch.setenv("ML_DASH_URL", server.url)
    monkeypatch.setenv("ML_DASH_TOKEN", person.token)
    monkeypatch.setenv("ML_DASH_ROOT", str(root))


def segment_of(folder: Path, room: str) -> str:
    """The first segment of a room."""
    return next(path for path in sorted(segments_in(folder)) if path.startswith(room))


def test_a_second_sync_only_asks(server: Served, tmp_path: Path) -> None:
    """Four questions, however large the run is, and no bytes of rows or files."""
    person = server.person()
    folder = record(tmp_path, "again/one", 10)
    assert replicate(folder, server.client(person)).ok
    with FaultProxy(server.port, rate=0) as proxy:
        report = replicate(folder, server.client(person, proxy.url))
    assert report.ok and (report.rows, report.bytes, report.files) == (0, 0, 0)
    kinds = [(method, path.rpartition("/")[2]) for method, path, _ in proxy.asked]
    asked = [("POST", "runs"), ("GET", "segments"), ("POST", "missing"), ("GET", "lost")]
    assert kinds == asked
    assert sum(size for *_, size in proxy.asked) < 2_000


def test_a_sync_that_was_interrupted_goes_on_where_it_stood(server: Served, tmp_path: Path) -> None:
    """No byte of a row is sent twice."""
    person = server.person()
    with Experiment("again/two", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(200):
            experiment.log("x" * 100_000, step=step)
    folder = tmp_path / "again/two"
    sent = []

    def interrupt(progress: Any) -> None:
        sent.append(progress.rows)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replicate(folder, server.client(person), progress=interrupt)
    report = replicate(folder, server.client(person))
    whole = sum(map(len, segments_in(folder).values()))
    assert 0 < sent[0] < whole and report.bytes == whole - sent[0]
    check_equal(folder, server.client(person), "again/two")


def test_a_run_is_sent_while_it_is_written_and_after(server: Served, tmp_path: Path) -> None:
    """Each time what is new, under the status that it has then."""
    person = server.person()
    client = server.client(person)
    with Experiment("again/live", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(3):
            experiment.track("t").append({"step": step})
            experiment.flush()
            report = replicate(tmp_path / "again/live", client)
            assert report.ok and (report.rows == 1 or step == 0)
    assert replicate(tmp_path / "again/live", client).rows == 1, "the end of its session"
    check_equal(tmp_path / "again/live", client, "again/live")


def test_a_crashed_run_arrives_with_its_torn_line(server: Served, tmp_path: Path) -> None:
    """The copies are equal, and what reads them sees the whole lines."""
    person = server.person()
    with Training("crash/torn", tmp_path, server.url, person) as training:
        training.wait_for_start()
    folder = training.folder
    assert replicate(folder, server.client(person)).ok
    with Experiment("crash/whole", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("t").append({"step": 1})
    path = segment_of(tmp_path / "crash/whole", "tracks")
    with (tmp_path / "crash/whole" / path).open("ab") as file:
        file.write(b'{"timestamp": 17')
    for prefix in ("crash/torn", "crash/whole"):
        assert replicate(tmp_path / prefix, server.client(person)).ok
        check_equal(tmp_path / prefix, server.client(person), prefix)
    about = {"prefix": "crash/whole", "id": "", "create": False}
    run = server.client(person).json("POST", "/runs", json=about)["run"]["id"]
    answer = server.client(person).request("GET", f"/runs/{run}/streams/tracks/t/rows")
    assert answer.content.count(b"\n") == 1 and b'"step":1' in answer.content.replace(b" ", b"")


def test_an_empty_segment_keeps_no_run_from_being_freed(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed when it has just made a segment leaves nothing to be sent."""
    person = server.person()
    sign_in(monkeypatch, server, person, tmp_path)
    folder = record(tmp_path, "crash/empty", 20)
    (folder / "tracks/robot/9").mkdir(parents=True)
    (folder / "tracks/robot/9/w0.jsonl").touch()
    assert main(["sync", "crash/empty"]) == 0
    check_equal(folder, server.client(person), "crash/empty")
    assert main(["clean", "--synced", "--yes", "crash/empty"]) == 0
    assert not folder.exists()


@pytest.mark.parametrize("where", ["before the end", "beyond the end"])
def test_a_segment_that_differs_is_told_and_left_alone(
    server: Served, tmp_path: Path, where: str
) -> None:
    """On both sides, and everything else is sent."""
    person = server.person()
    client = server.client(person)
    folder = record(tmp_path, "differs/one", 3)
    assert replicate(folder, client).ok
    path = segment_of(folder, "logs")
    there = segments_in(folder)[path]
    if where == "before the end":
        changed = there.replace(b"x", b"y", 1) + there
    else:
        changed = there[: there.index(b"\n") // 2]
    (folder / path).write_bytes(changed)
    with Experiment("differs/one", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("new").append({"x": 1})
    report = replicate(folder, client)
    assert len(report.problems) == 1 and path in report.problems[0]
    assert (folder / path).read_bytes() == changed
    (folder / path).write_bytes(there)
    check_equal(folder, client, "differs/one")


def test_the_server_is_down_for_the_whole_run(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then `ml-dash sync` sends all of it."""
    person = server.person()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        arguments: dict[str, Any] = {"dash_root": tmp_path, "dash_url": down, **QUIET}
        with Experiment("down/all", **arguments).run as experiment:
            for step in range(2000):
                experiment.track("t").append({"step": step})
                if step % 500 == 0:
                    experiment.files("models").save_blob(b"%d" % step, to=f"{step}.bin")
    assert experiment.flush().replicated is False
    sign_in(monkeypatch, server, person, tmp_path)
    assert main(["sync", "--all"]) == 0
    check_equal(tmp_path / "down/all", server.client(person), "down/all")


def spoil(session: Session, prefix: str, path: str, what: str) -> None:
    """Give a server's copy of a segment another checksum."""
    name = prefix.rpartition("/")[2]
    query = select(Segment.id).join(Run, Run.id == Segment.run_id)
    (segment,) = session.scalars(query.where(Run.name == name, Segment.path == path)).all()
    if what == "segment":
        session.execute(update(Segment).where(Segment.id == segment).values(crc=1))
    else:
        session.execute(update(Chunk).where(Chunk.segment_id == segment).values(sha256="0" * 64))


@pytest.mark.parametrize("what", ["segment", "chunk"])
def test_clean_frees_only_what_the_servers_checksums_agree_with(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Of two runs, the one whose copy has another checksum stays, whole."""
    person = server.person()
    sign_in(monkeypatch, server, person, tmp_path)
    prefixes = [f"clean/good-{person.name}", f"clean/spoilt-{person.name}"]
    good, spoilt = (record(tmp_path, prefix, 20) for prefix in prefixes)
    before = segments_in(spoilt)
    assert main(["clean", "--synced", "--yes", str(good)]) == 1, "it is not on the server yet"
    assert main(["sync", "--all"]) == 0
    server.change(lambda session: spoil(session, prefixes[1], segment_of(spoilt, "tracks"), what))
    assert main(["clean", "--synced", "--yes"]) == 0
    assert not good.exists() and segments_in(spoilt) == before


def test_two_senders_at_once_lose_and_double_nothing(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's own replicator, and `sync` beside it, through a network that plays tricks."""
    person = server.person()
    monkeypatch.setenv("ML_DASH_TOKEN", person.token)
    monkeypatch.setenv("ML_DASH_FLUSH_INTERVAL", "0.02")
    with FaultProxy(server.port) as proxy:
        proxy.seed(77)
        arguments: dict[str, Any] = {"dash_root": tmp_path, "dash_url": proxy.url, **QUIET}
        with Experiment("live/two", **arguments).run as experiment:
            for step in range(300):
                experiment.track("t").append({"step": step})
                if step % 100 == 0:
                    replicate(tmp_path / "live/two", server.client(person, proxy.url))
    assert replicate(tmp_path / "live/two", server.client(person)).ok
    check_equal(tmp_path / "live/two", server.client(person), "live/two")


def test_a_segment_that_the_server_makes_does_not_disturb_sync(
    server: Served, tmp_path: Path
) -> None:
    """What a person changes there is one more writer's segment, which the folder has not."""
    person = server.person()
    client = server.client(person)
    folder = record(tmp_path, "edit/tags", 4)
    assert replicate(folder, client).ok
    about = {"prefix": "edit/tags", "id": "", "create": False}
    path = f"/runs/{client.json('POST', '/runs', json=about)['run']['id']}"
    assert client.json("PATCH", path, json={"tags": ["kept"]})["run"]["tags"] == ["kept"]
    report = replicate(folder, client)
    assert report.ok and report.bytes == 0
    theirs = {name for name, *_ in stored_segments(client, path)} - set(segments_in(folder))
    assert len(theirs) == 1
    assert LocalSegment(theirs.pop(), 0).writer not in {p.stem for p in folder.rglob("*.jsonl")}
