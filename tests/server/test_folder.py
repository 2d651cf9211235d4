"""The pages' API over a folder of runs as they lie: found, followed, changed; nothing beside."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_process import killed_run
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

import ml_dash
from ml_dash import Experiment
from ml_dash.reading.locate import run_folders
from ml_dash.server.folder import watch
from ml_dash.server.folder.app import FolderApp
from ml_dash.server.folder.contents import Contents

BASE = "http://127.0.0.1:3001"


class Folder:
    """The application over a folder, and a browser that has opened its address."""

    def __init__(self, root: Path, *, edit: bool = False) -> None:
        root.mkdir(exist_ok=True)
        self.made = FolderApp(root, 3001, edit=edit)
        self.made.watch.scan()
        self.client = TestClient(self.made.app, base_url=BASE)
        assert self.client.get(self.made.path, follow_redirects=False).status_code == 303

    def runs(self, **params: Any) -> dict[str, dict[str, Any]]:
        """All runs by name."""
        answer = self.client.get("/api/v1/runs", params=params)
        assert answer.status_code == 200, answer.text
        return {run["name"]: run for run in answer.json()["runs"]}

    def get(self, path: str, **params: Any) -> Any:
        """What the API says of a run."""
        answer = self.client.get(f"/api/v1/runs/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer

    def rows(self, run: str, stream: str) -> list[dict[str, Any]]:
        """The rows of a stream."""
        lines = self.get(f"{run}/streams/{stream}/rows").text.splitlines()
        return [json.loads(line) for line in lines]

    def execute(self, statement: str) -> None:
        """Change the database behind its back."""
        self.made.app.state.database.transaction(lambda session: session.execute(text(statement)))

    def csrf(self) -> dict[str, str]:
        """The header that changes need."""
        found = re.search(r'name="csrf-token" content="(\w+)"', self.client.get("/").text)
        assert found
        return {"X-CSRF-Token": found[1]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where runs are recorded."""
    return tmp_path / "runs"


@pytest.fixture
def folder(root: Path) -> Iterator[Folder]:
    """The pages over a run that is complete."""
    record(root, "robotics/arm")
    made = Folder(root)
    yield made
    made.made.app.state.database.close()


def record(root: Path, prefix: str, rows: int = 20) -> None:
    """A run with a track, a metric, a message, a param and frames."""
    with Experiment(prefix, dash_root=root, tags=["first"]).run as run:
        run.params.set(lr=0.001)
        for step in range(rows):
            run.track("arm").append({"x": step / 2, "q": [step, -step]}, step=step)
            run.metrics("train").log(loss=1 / (step + 1), step=step)
        run.log("done", level="info")
        run.files("camera").save_image(np.full((8, 8, 3), 7, np.uint8), to="a.png", step=3)


def test_runs_are_found_with_what_the_table_tells(folder: Folder) -> None:
    """Status, tags, params and the last metrics are there before anybody opens the run."""
    run = folder.runs()["arm"]
    assert run["project"] == "robotics"
    assert run["status"] == "COMPLETED"
    assert run["tags"] == ["first"]
    assert run["params"]["lr"] == 0.001
    assert run["metrics"]["train.loss"] == pytest.approx(1 / 20)
    assert folder.runs(filter="lr > 1e-2") == {}


def test_streams_are_those_of_the_files(folder: Folder, root: Path) -> None:
    """Rows, chart, messages and a frame come as they are read from the folder."""
    run = folder.runs()["arm"]["id"]
    local = ml_dash.open_run("robotics/arm", root)
    assert [row["x"] for row in folder.rows(run, "tracks/arm")] == [
        row["x"] for row in local.tracks["arm"].rows()
    ]
    chart = folder.get(f"{run}/streams/metrics/train/chart", columns="loss").json()
    assert len(chart["columns"]["loss"]["x"]) == 20
    assert [row["message"] for row in folder.get(f"{run}/logs").json()["rows"]] == ["done"]
    (file,) = folder.get(f"{run}/files").json()["files"]
    assert file["stored"]
    picture = folder.get(f"{run}/files/{file['path']}").content
    assert picture == local.files.read_bytes(file["path"])


def test_a_file_that_is_gone_from_the_folder_is_told_as_lost(folder: Folder, root: Path) -> None:
    """The files are the store's objects here, and none of a whole run is lost."""
    run = folder.runs()["arm"]["id"]
    assert folder.get(f"{run}/lost").json()["count"] == 0
    frame = min((root / "robotics/arm/files/data").rglob("*.png"))
    frame.unlink()
    lost = folder.get(f"{run}/lost").json()
    assert lost["count"] == 1 and Path(lost["files"][0]).name == frame.name


def test_a_file_that_goes_while_the_folder_is_looked_through_is_passed_over(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on has temporary files."""
    run = folder.runs()["arm"]["id"]
    real = os.walk

    def walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for inside, folders, names in real(top):
            yield inside, folders, [*names, "gone.tmp"]

    monkeypatch.setattr(os, "walk", walk)
    assert folder.get(f"{run}/lost").json()["count"] == 0


def test_a_run_that_goes_on_is_followed(folder: Folder, root: Path) -> None:
    """What is added to a run that was opened is there at the next look, and so is a new run."""
    with Experiment("robotics/live", dash_root=root).run as run:
        run.track("arm").append({"x": 1.0}, step=1)
        run.flush()
        folder.made.watch.scan()
        live = folder.runs()["live"]
        assert live["status"] == "RUNNING"
        assert len(folder.rows(live["id"], "tracks/arm")) == 1
        run.track("arm").append({"x": 2.0}, step=2)
        run.flush()
        folder.made.watch.look()
        assert [row["x"] for row in folder.rows(live["id"], "tracks/arm")] == [1.0, 2.0]
    folder.made.watch.look()
    assert folder.runs()["live"]["status"] == "COMPLETED"


def test_a_run_goes_on_for_as_long_as_its_process(folder: Folder, root: Path) -> None:
    """Between two heartbeats, and though nobody looks at it; its rows are counted all the same."""
    experiment = Experiment("lab/live", dash_root=root, echo=False, environment=False)
    with experiment.run:
        experiment.track("t").append({"step": 0})
        experiment.flush()
        folder.made.watch.scan()
        assert folder.runs()["live"]["status"] == "RUNNING"
        folder.execute("UPDATE runs SET lives_until = 1")  # no sign of life for two minutes
        assert folder.runs()["live"]["status"] == "INTERRUPTED"
        folder.made.watch.scan()
        folder.made.watch.count()
        assert folder.runs()["live"]["status"] == "RUNNING"
        assert folder.runs()["live"]["rows"] > 0
    folder.made.watch.scan()
    assert folder.runs()["live"]["status"] == "COMPLETED"


def test_rows_of_a_run_that_has_ended_are_all_counted(folder: Folder, root: Path) -> None:
    """Though nobody looked at it: what came between the last look and its end counts, too."""
    experiment = Experiment("lab/live", dash_root=root, echo=False, environment=False)
    with experiment.run:
        experiment.track("t").append({"step": 0})
        experiment.flush()
        folder.made.watch.scan()
        folder.made.watch.count()
        for step in range(1, 50):
            experiment.track("t").append({"step": step})
    folder.made.watch.scan()
    folder.made.watch.count()
    folder.made.watch.look()
    files = [*(root / "lab/live").rglob("*.jsonl")]
    lines = sum(len(path.read_bytes().splitlines()) for path in files)
    live = folder.runs()["live"]
    assert (live["rows"], live["size"]) == (lines, sum(path.stat().st_size for path in files))


def test_a_run_whose_process_is_gone_is_interrupted_at_once(folder: Folder, root: Path) -> None:
    """As `ml-dash show` has it, though its last heartbeat is a moment old."""
    killed_run("lab/gone", root)
    folder.made.watch.scan()
    assert folder.runs()["gone"]["status"] == "INTERRUPTED"


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_of_long_ago_was_last_seen_then(folder: Folder, root: Path, killed: bool) -> None:
    """Not when the pages began; what was killed between two heartbeats, by its last row."""
    if killed:
        killed_run("lab/old", root)
    else:
        with Experiment("lab/old", dash_root=root, echo=False, environment=False).run as run:
            run.track("t").append({"step": 0})
    latest = 0.0
    for path in (root / "lab/old").rglob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["timestamp"] -= 10_000.0 if row.get("event") else 9_990.0
            latest = max(latest, row["timestamp"])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.made.watch.scan()
    found = folder.runs()["old"]
    assert found["status"] == ("INTERRUPTED" if killed else "COMPLETED")
    assert found["heartbeat"] == (latest if killed else found["ended"])


def test_files_are_told_before_the_stream_that_tells_of_them(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of a run's frames is read anew when that stream grows: they are there then."""
    monkeypatch.setattr(watch, "COUNT", 0.0)
    experiment = Experiment("lab/live", dash_root=root, echo=False, environment=False)
    picture = np.zeros((4, 4, 3), np.uint8)
    with experiment.run:
        experiment.files("front").save_image(picture, to="f_0.png")
        experiment.flush()
        folder.made.watch.scan()
        run = folder.runs()["live"]["id"]
        assert folder.get(f"{run}/frames/front").json()["count"] == 1
        experiment.files("front").save_image(picture, to="f_1.png")
        experiment.flush()
        folder.made.watch.count()
        folder.get(f"{run}/frames/front")
        folder.made.watch.look()
        assert folder.get(f"{run}/frames/front").json()["count"] == 2


def test_a_line_that_is_still_written_is_taken_once_it_is_whole(folder: Folder, root: Path) -> None:
    """The end of a segment without a newline is no row, and damages nothing."""
    run = folder.runs()["arm"]["id"]
    (segment,) = (root / "robotics/arm/tracks/arm").glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"timestamp": 4e9, "step": 20, "x": ')
    assert len(folder.rows(run, "tracks/arm")) == 20
    with segment.open("ab") as file:
        file.write(b'10.0, "q": []}\n')
    folder.made.watch.look()
    assert folder.rows(run, "tracks/arm")[-1]["x"] == 10.0


def test_links_to_a_run_stay_good(folder: Folder, root: Path) -> None:
    """A run has the same id when the pages are started again."""
    again = Folder(root)
    assert again.runs()["arm"]["id"] == folder.runs()["arm"]["id"]
    again.made.app.state.database.close()


def test_a_run_that_is_gone_is_forgotten(folder: Folder, root: Path) -> None:
    """It leaves the table, and asking for it is a 404."""
    run = folder.runs()["arm"]["id"]
    (root / "robotics/arm").rename(root.parent / "elsewhere")
    folder.made.watch.scan()
    assert folder.runs() == {}
    assert folder.client.get(f"/api/v1/runs/{run}").status_code == 404


def test_a_run_that_goes_while_the_folder_is_looked_through_hides_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though they were all to be taken in together."""
    for name in "abc":
        record(root, f"robotics/{name}")

    def found(folder: Path) -> list[Path]:
        seen = list(run_folders(folder))
        shutil.rmtree(root / "robotics/c", ignore_errors=True)
        return seen

    monkeypatch.setattr(watch, "run_folders", found)
    assert sorted(Folder(root).runs()) == ["a", "b"]


def test_a_run_that_cannot_be_taken_in_hides_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named once, and is there as soon as it can be taken in."""
    for name in "abc":
        record(root, f"robotics/{name}")
    real = Contents.tell
    named: list[Path] = []
    monkeypatch.setattr(watch._log, "error", lambda text, folder, **_: named.append(folder))

    def tell(self: Contents, session: Session, now: float) -> bool:
        told = real(self, session, now)
        if self.backend.folder.name == "b":
            raise OverflowError("a row that no database takes")
        return told

    monkeypatch.setattr(Contents, "tell", tell)
    monkeypatch.setattr(watch, "ODD", 0.0)
    folder = Folder(root)
    folder.made.watch.scan()
    assert sorted(folder.runs()) == ["a", "c"]
    assert named == [root / "robotics/b"]
    monkeypatch.setattr(Contents, "tell", real)
    folder.made.watch.scan()
    assert sorted(folder.runs()) == ["a", "b", "c"]
    assert folder.rows(folder.runs()["b"]["id"], "logs")


def test_nothing_can_be_changed_unless_it_may(folder: Folder, root: Path) -> None:
    """Without --edit tags and deletion are refused, and the folder is as it was."""
    run = folder.runs()["arm"]["id"]
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for method, body in (("PATCH", {"tags": ["x"]}), ("DELETE", None)):
        answer = folder.client.request(
            method, f"/api/v1/runs/{run}", json=body, headers=folder.csrf()
        )
        assert answer.status_code == 403
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_run_is_tagged_and_deleted_in_its_folder(root: Path) -> None:
    """With --edit the reader sees the new tags, and afterwards no run."""
    record(root, "robotics/arm")
    folder = Folder(root, edit=True)
    run = folder.runs()["arm"]["id"]
    address = f"/api/v1/runs/{run}"
    answer = folder.client.patch(address, json={"tags": ["new"]}, headers=folder.csrf())
    assert answer.json()["run"]["tags"] == ["new"]
    assert ml_dash.open_run("robotics/arm", root).tags == ["new"]
    assert folder.client.delete(address, headers=folder.csrf()).status_code == 204
    assert folder.runs() == {}
    assert list(ml_dash.list_runs(root)) == []
    folder.made.app.state.database.close()


def test_a_run_that_is_written_is_not_deleted(root: Path) -> None:
    """It is told that it must end first."""
    with Experiment("robotics/live", dash_root=root).run as run:
        run.track("arm").append({"x": 1.0}, step=1)
        run.flush()
        folder = Folder(root, edit=True)
        name = folder.runs()["live"]["id"]
        answer = folder.client.delete(f"/api/v1/runs/{name}", headers=folder.csrf())
        assert answer.status_code == 409
        folder.made.app.state.database.close()
    assert ml_dash.open_run("robotics/live", root).status == "COMPLETED"


def test_only_who_was_given_the_address_gets_in(folder: Folder) -> None:
    """Without the token there is no page and no data; with a wrong one neither."""
    stranger = TestClient(folder.made.app, base_url=BASE, follow_redirects=False)
    told = stranger.get("/view?run=7")
    assert (told.status_code, "ml-dash ui" in told.text) == (401, True)
    assert stranger.get("/api/v1/runs").status_code == 401
    assert stranger.get("/open?token=guess").status_code == 401
    assert stranger.get("/open?token=%ff").status_code == 401


def test_a_page_elsewhere_cannot_ask_by_another_name(folder: Folder) -> None:
    """A name that was made to lead to this machine is refused, whatever cookies come along."""
    answer = folder.client.get("/api/v1/runs", headers={"Host": "evil.example:3001"})
    assert answer.status_code == 400


@pytest.mark.parametrize("place", ["../../../../etc/passwd", "/etc/passwd", "link", "a/../../x"])
def test_rows_lead_to_no_file_outside_of_the_run(root: Path, place: str) -> None:
    """A folder that came from somebody else shows nothing of this machine."""
    record(root, "robotics/arm")
    (root.parent / "secret").write_text("secret")
    (root / "robotics/arm/files/data/link").symlink_to(root.parent / "secret")
    row = {"timestamp": 4e9, "op": "save", "path": "a.txt", "data": place, "size": 6}
    row["sha256"] = "0" * 64
    (root / "robotics/arm/files/index/zz.jsonl").write_text(json.dumps(row) + "\n")
    folder = Folder(root)
    run = folder.runs()["arm"]["id"]
    answer = folder.client.get(f"/api/v1/runs/{run}/files/a.txt")
    assert answer.status_code in (404, 410)
    assert b"secret" not in answer.content
    folder.made.app.state.database.close()
