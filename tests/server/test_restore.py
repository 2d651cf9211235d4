"""What the store has lost is sent again by who still has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_dash import Experiment, wire
from ml_dash.remote import RemoteClient
from ml_dash.server.database import Database
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Blob, Upload
from ml_dash.sync import replicate
from ml_dash.sync.verify import NOT_GIVEN, differences

from .copies import QUIET
from .inside import Inside, make_run, send
from .recorded import sha, store
from .serving import Served

LINES = b'{"timestamp":1.0,"step":1,"x":2}\n' * 50
LARGE = (1 << 20) + 5


def recorded(root: Path) -> Path:
    """A run with rows in two streams, small files and one that is sent in parts."""
    with Experiment("heal/arm", dash_root=root, **QUIET).run as experiment:
        for step in range(20):
            experiment.track("robot/arm").append({"step": step, "x": step / 7})
        experiment.metrics("train").log(step=1, loss=0.5)
        for number in range(3):
            experiment.files("models").save_blob(os.urandom(2000), to=f"{number}.bin")
        experiment.files("models").save_blob(os.urandom(LARGE), to="large.bin")
    return root / "heal/arm"


def objects_of(server: Served) -> ObjectStore:
    """The store of a server, to be harmed."""
    settings = server.settings
    return ObjectStore(settings.store, endpoint=settings.endpoint, region=settings.region)


def run_of(client: RemoteClient) -> str:
    """The id of the run that `recorded` makes."""
    about = {"prefix": "heal/arm", "id": "", "create": False}
    return str(client.json("POST", "/runs", json=about)["run"]["id"])


def cut(objects: ObjectStore, keys: list[str]) -> None:
    """Let every object have lost its last byte."""
    for key in keys:
        objects.put(key, objects.get(key)[:-1])


def delete(objects: ObjectStore, keys: list[str]) -> None:
    """Let every object be gone."""
    objects.delete(keys)


@pytest.mark.parametrize("harm", [delete, cut])
def test_sync_heals_what_the_store_has_lost(
    server: Served, tmp_path: Path, harm: Callable[[ObjectStore, list[str]], None]
) -> None:
    """Rows, small files and large ones: all is there again, and then nothing is left to send."""
    person = server.person()
    client, folder = server.client(person), recorded(tmp_path)
    assert replicate(folder, client).ok
    objects, run = objects_of(server), run_of(client)
    keys = sorted(objects.of_run(run))
    harm(objects, keys)
    lost = client.json("GET", f"/runs/{run}/lost")
    assert lost["chunks"] and len(lost["contents"]) >= 2, "rows, a small file and the large one"
    report = replicate(folder, client)
    assert report.ok, report
    assert (report.restored, report.files) == (lost["count"], len(lost["contents"]))
    assert client.json("GET", f"/runs/{run}/lost")["count"] == 0
    assert differences(folder, client) == []
    again = replicate(folder, client)
    assert (again.ok, again.bytes, again.files, again.restored) == (True, 0, 0, 0)


def test_what_the_folder_has_not_either_stays_told(server: Served, tmp_path: Path) -> None:
    """A file that is another one here by now: no good copy, so nothing is sent."""
    person = server.person()
    client, folder = server.client(person), recorded(tmp_path)
    assert replicate(folder, client).ok
    objects, run = objects_of(server), run_of(client)
    objects.delete([key for key in objects.of_run(run) if "/parts/" in key])
    (folder / "files/data/models/large.bin").write_bytes(os.urandom(LARGE))
    report = replicate(folder, client)
    assert not report.ok and "models/large.bin" in str(report), report
    assert (report.files, report.restored) == (0, 0)
    told = client.json("GET", f"/runs/{run}/lost")
    assert told["count"] == 1, "the server knows of it still"


def test_lines_that_differ_or_are_not_lost_are_not_taken(inside: Inside) -> None:
    """Of a lost chunk only the very lines that it had count; and what is there is not replaced."""
    anna = inside.user("anna")
    run = make_run(anna)
    for name in ("a", "b"):
        send(anna, run, (f"tracks/{name}/w.jsonl", 0, b"", LINES))
    objects: ObjectStore = inside.app.state.store
    (lost, *_) = sorted(key for key in objects.of_run(run))
    objects.delete([lost])

    def again(segment: str, offset: int, text: bytes) -> Any:
        pieces = [{"segment": segment, "offset": offset, "size": len(text)}]
        body = wire.pack({"pieces": pieces}, [text])
        return anna.post(f"/api/v1/runs/{run}/lost/rows", content=body)

    before = objects.of_run(run)
    for segment, offset, text in (
        ("tracks/a/w.jsonl", 0, LINES.replace(b"2", b"3")),
        ("tracks/a/w.jsonl", 1, LINES),
        ("tracks/b/w.jsonl", 0, LINES),
        ("tracks/none/w.jsonl", 0, LINES),
    ):
        answer = again(segment, offset, text)
        assert (answer.status_code, answer.json()) == (200, {"stored": 0})
    assert objects.of_run(run) == before
    assert again("tracks/a/w.jsonl", "x", LINES).status_code == 422  # type: ignore[arg-type]
    assert again("tracks/a/w.jsonl", 0, LINES).json() == {"stored": 1}
    assert again("tracks/a/w.jsonl", 0, LINES).json() == {"stored": 0}
    assert anna.get(f"/api/v1/runs/{run}/segments/tracks/a/w.jsonl").content == LINES


@pytest.mark.parametrize("segment", ["tracks/a\0/w.jsonl", "../w.jsonl", "x" * 2000, "", 7, None])
def test_lines_of_what_cannot_be_a_segment_are_refused(inside: Inside, segment: Any) -> None:
    """Before a database is asked, which does not take every text."""
    anna = inside.user("anna")
    body = wire.pack({"pieces": [{"segment": segment, "offset": 0, "size": 1}]}, [b"x"])
    answer = anna.post(f"/api/v1/runs/{make_run(anna)}/lost/rows", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


def test_only_a_lost_content_is_forgotten(inside: Inside) -> None:
    """Who asks for one that is there, or that nobody knows, changes nothing."""
    anna = inside.user("anna")
    run = make_run(anna)
    contents = [b"here", b"gone"]
    for content in contents:
        assert store(anna, run, content).status_code == 200
    objects: ObjectStore = inside.app.state.store
    with inside.data.reading() as session:
        blob = session.get(Blob, (run, sha(b"gone")))
    assert blob is not None
    objects.delete(list(blob.parts))
    asked = {"blobs": [{"sha256": sha(each), "size": 4} for each in (*contents, b"none")]}
    where = f"/api/v1/runs/{run}/lost/contents"
    assert anna.post(where, json=asked).json() == {"missing": [sha(b"gone")]}
    assert anna.post(where, json=asked).json() == {"missing": []}
    missing = anna.post(f"/api/v1/runs/{run}/blobs/missing", json=asked).json()["missing"]
    assert missing == [sha(b"gone"), sha(b"none")]
    with inside.data.reading() as session:
        assert session.query(Upload).count() == 0


def test_what_is_lost_in_the_middle_of_a_file_is_told_in_words(
    served: Callable[[str], Served], tmp_path: Path
) -> None:
    """The answer breaks off after it began with 200; asked for the rest, the server says why."""
    server = served("sqlite-folder")
    client = server.client(server.person())
    with Experiment("heal/large", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(os.urandom(2 * wire.PART_SIZE), to="large.bin")
    folder = tmp_path / "heal/large"
    assert replicate(folder, client).ok
    about = {"prefix": "heal/large", "id": "", "create": False}
    run = client.json("POST", "/runs", json=about)["run"]["id"]
    with_parts = client.json("GET", f"/runs/{run}/files")["files"]
    data = Database(server.settings.database)
    with data.reading() as session:
        blob = session.get(Blob, (str(run), with_parts[0]["sha256"]))
    data.close()
    assert blob is not None and len(blob.parts) == 2
    objects_of(server).delete([blob.parts[1]])
    assert differences(folder, client) == [f"files/data/models/large.bin: {NOT_GIVEN}"]


def test_lines_that_only_the_server_remembers_count_as_lost(server: Served, tmp_path: Path) -> None:
    """It still gives them, from its memory; a disk that is freed then had the last copy."""
    client = server.client(server.person())
    folder = recorded(tmp_path)
    assert replicate(folder, client).ok
    assert differences(folder, client) == []  # which has the server read and remember all lines
    objects, run = objects_of(server), run_of(client)
    objects.delete([key for key in objects.of_run(run) if "/rows/" in key])
    found = differences(folder, client)
    assert found and all(each.endswith(f".jsonl: {NOT_GIVEN}") for each in found)
