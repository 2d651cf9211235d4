"""`ml-dash download` and `delete`, and what a server's refusals look like, with a real server."""

from __future__ import annotations

import errno
import json
import re
import time
from pathlib import Path

import pytest
from cli_process import Line
from dash_server import Person, ServerProcess
from replicas import files_in, segments_in

from ml_dash import Experiment
from ml_dash.backends import blobs
from ml_dash.sync import replicate


def record(root: Path, prefix: str) -> Path:
    """A small run with rows and files."""
    made = Experiment(prefix, dash_root=root, dash_url=False, echo=False, environment=False)
    with made.run as experiment:
        for step in range(50):
            experiment.track("t").append({"step": step, "x": 1.5})
        experiment.files("models").save_blob(bytes(range(256)) * 100, to="model.bin")
        experiment.files("models").save_text("notes", to="notes.txt")
    assert made.folder is not None
    return made.folder


def test_download_makes_the_same_folder(logged_in: Line, anna: Person, tmp_path: Path) -> None:
    """Segments byte for byte, and files; a second time there is nothing to do."""
    folder = record(tmp_path / "runs", "robotics/arm")
    replicate(folder, anna.client(), "robotics/arm")
    done = logged_in("download", "robotics/arm", "--to", tmp_path / "copy")
    assert done.code == 0, done.err
    assert done.out.startswith(f"{tmp_path / 'copy'}  ")
    assert segments_in(tmp_path / "copy") == segments_in(folder)
    assert files_in(tmp_path / "copy") == files_in(folder)
    again = logged_in("download", "anna/robotics/arm", "--to", tmp_path / "copy")
    assert again.code == 0 and " 0 segments and 0 files" in again.out
    below = logged_in("download", "robotics/arm", "--root", tmp_path / "root")
    assert below.code == 0, below.err
    assert segments_in(tmp_path / "root/anna/robotics/arm") == segments_in(folder)
    checked = logged_in("check", "anna/robotics/arm", "--root", tmp_path / "root")
    assert checked.code == 0, checked.err


def test_a_download_that_was_broken_off_goes_on(
    logged_in: Line, anna: Person, server: ServerProcess, tmp_path: Path
) -> None:
    """What is there is not fetched again."""
    folder = record(tmp_path / "runs", "robotics/half")
    replicate(folder, anna.client(), "robotics/half")
    copy = tmp_path / "copy"
    assert logged_in("download", "robotics/half", "--to", copy).code == 0
    next(copy.glob("files/data/**/model.bin")).unlink()
    cut = next(copy.glob("tracks/**/*.jsonl"))
    cut.write_bytes(cut.read_bytes()[:100])
    done = logged_in("download", "robotics/half", "--to", copy)
    assert done.code == 0, done.err
    assert "1 segment and 1 file" in done.out
    assert segments_in(copy) == segments_in(folder) and files_in(copy) == files_in(folder)


def test_another_history_is_never_overwritten(
    logged_in: Line, anna: Person, tmp_path: Path
) -> None:
    """The folder of another run is left as it is."""
    replicate(record(tmp_path / "runs", "robotics/one"), anna.client(), "robotics/one")
    logged_in("download", "robotics/one", "--to", tmp_path / "copy")
    spoiled = next((tmp_path / "copy").glob("tracks/**/*.jsonl"))
    spoiled.write_bytes(spoiled.read_bytes().replace(b"1.5", b"2.5"))
    before = spoiled.read_bytes()
    done = logged_in("download", "robotics/one", "--to", tmp_path / "copy")
    assert done.code == 2
    assert "has another history" in done.err
    assert spoiled.read_bytes() == before


def test_delete_asks_before(
    logged_in: Line,
    anna: Person,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No is no; where nobody can be asked, `--yes` must be given; then it is gone here."""
    folder = record(tmp_path / "runs", "robotics/old")
    root = ["--root", str(tmp_path / "runs")]
    done = logged_in("delete", "robotics/old", *root)
    assert done.code == 2 and "--yes" in done.err and "--dry-run" not in done.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for said, code in (("", 1), ("n", 1), ("y", 0)):
        monkeypatch.setattr("builtins.input", lambda question, said=said: said)
        assert segments_in(folder)
        assert logged_in("delete", "robotics/old", *root).code == code
    assert not folder.exists()


def test_delete_removes_from_the_server_what_it_names(
    logged_in: Line, anna: Person, tmp_path: Path
) -> None:
    """From the server alone; the local folder stays, and the run below stays on both."""
    folder = record(tmp_path / "runs", "robotics/gone")
    inner = record(tmp_path / "runs", "robotics/gone/inner")
    replicate(folder, anna.client(), "robotics/gone")
    replicate(inner, anna.client(), "robotics/gone/inner")
    done = logged_in("delete", "robotics/gone", "--server", "--yes")
    assert done.code == 0, done.err
    assert "anna/robotics/gone on http" in done.out
    missing = logged_in("show", "robotics/gone", "--server")
    assert missing.code == 2 and "no run 'anna/robotics/gone'" in missing.err
    assert logged_in("show", "robotics/gone/inner", "--server").code == 0
    assert segments_in(folder)
    both = ["delete", "robotics/gone/inner", "--server", "--local", "--yes"]
    assert logged_in(*both, "--root", str(tmp_path / "runs")).code == 0
    assert not inner.exists() and segments_in(folder)


def test_a_run_that_is_still_written_is_not_deleted(logged_in: Line, tmp_path: Path) -> None:
    """Its process would go on into nothing."""
    made = Experiment("robotics/live", dash_root=tmp_path, dash_url=False, echo=False)
    with made.run:
        done = logged_in("delete", "robotics/live", "--root", tmp_path, "--yes")
    assert done.code == 2
    assert "still written" in done.err
    assert made.folder is not None and segments_in(made.folder)


@pytest.mark.parametrize("name", ["show", "logs", "download", "delete --yes --server"])
def test_each_failure_of_a_server_is_a_line(
    logged_in: Line, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No such run, no token, a wrong one, nobody there: a sentence each, and 2."""
    where = [] if name.startswith(("down", "delete")) else ["--server"]

    def fails(text: str) -> None:
        done = logged_in(*name.split(), "robotics/none", *where)
        assert (done.code, done.out) == (2, "")
        assert text in done.err
        assert done.err.count("\n") == 1

    fails("no run 'anna/robotics/none' on http")
    monkeypatch.setenv("ML_DASH_TOKEN", "mld_pat_canary")
    fails("does not take the token: the one in ML_DASH_TOKEN")
    monkeypatch.delenv("ML_DASH_TOKEN")
    fails("wants to know who asks: log in with")
    monkeypatch.setenv("ML_DASH_URL", "http://127.0.0.1:1")
    fails("nothing listens at http://127.0.0.1:1")


def test_a_run_of_others_is_as_if_it_were_not_there(
    logged_in: Line,
    anna: Person,
    server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its name is not told either; a reader may read, and deletes nothing."""
    replicate(record(tmp_path, "robotics/mine"), anna.client(), "robotics/mine")
    bob = server.add_user("bob")
    monkeypatch.setenv("ML_DASH_TOKEN", bob.token())
    done = logged_in("show", "anna/robotics/mine", "--server")
    assert done.code == 2 and "or you may not see it" in done.err
    role = {"role": "reader"}
    anna.client().json("PUT", "/namespaces/anna/members/bob", json=role)
    assert logged_in("show", "anna/robotics/mine", "--server").code == 0
    refused = logged_in("delete", "anna/robotics/mine", "--server", "--yes")
    assert refused.code == 2 and "refuses" in refused.err
    assert logged_in("show", "anna/robotics/mine", "--server").code == 0


def test_a_downloaded_run_goes_back_to_where_it_came_from(
    logged_in: Line,
    anna: Person,
    server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader's `sync` and `clean` look at that run, and make none of the reader's own."""
    replicate(record(tmp_path / "runs", "robotics/back"), anna.client(), "robotics/back")
    carl = server.add_user("carl")
    anna.client().json("PUT", "/namespaces/anna/members/carl", json={"role": "reader"})
    monkeypatch.setenv("ML_DASH_TOKEN", carl.token())
    root = ["--root", str(tmp_path / "copies")]
    assert logged_in("download", "anna/robotics/back", *root).code == 0
    folder = tmp_path / "copies/anna/robotics/back"
    for which in (["anna/robotics/back"], ["--all"], [str(folder), "--watch"]):
        done = logged_in("sync", *which, *root)
        assert (done.code, done.out) == (0, "anna/robotics/back  nothing to send\n"), done.err
    runs = carl.client().json("GET", "/runs")["runs"]
    assert {run["namespace"] for run in runs} == {"anna"}
    freed = logged_in("clean", "--synced", "--yes", *root)
    assert freed.code == 0 and freed.out.startswith("anna/robotics/back  "), freed.err
    assert not folder.exists()


def test_what_a_reader_may_not_send_is_counted(
    logged_in: Line,
    anna: Person,
    server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the rows and files that the server has not; they keep the run on the disk."""
    replicate(record(tmp_path / "runs", "robotics/more"), anna.client(), "robotics/more")
    dora = server.add_user("dora")
    anna.client().json("PUT", "/namespaces/anna/members/dora", json={"role": "reader"})
    monkeypatch.setenv("ML_DASH_TOKEN", dora.token())
    assert logged_in("download", "anna/robotics/more", "--to", tmp_path / "copy").code == 0
    more = next((tmp_path / "copy").glob("tracks/**/*.jsonl"))
    with more.open("ab") as file:
        file.write(b'{"timestamp":1.0}\n')
    done = logged_in("sync", tmp_path / "copy")
    assert done.code == 1
    assert "anna/robotics/more: nothing sent; 18 bytes of rows not yet" in done.err
    assert "you are reader" in done.err
    stays = logged_in("clean", "--synced", "--yes", tmp_path / "copy")
    assert stays.code == 1 and "other bytes on the server" in stays.err
    more.write_bytes(more.read_bytes()[:-18])
    extra = tmp_path / "copy/files/data/extra.bin"
    extra.write_bytes(b"mine")
    stays = logged_in("clean", "--synced", "--yes", tmp_path / "copy")
    assert stays.code == 1 and "files/data/extra.bin: " in stays.err


def test_a_full_disk_ends_a_download_that_can_go_on(
    logged_in: Line, anna: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where there is no room, and begins nothing anew afterwards."""
    folder = record(tmp_path / "runs", "robotics/large")
    replicate(folder, anna.client(), "robotics/large")
    copy = tmp_path / "copy"

    def full(file: int, data: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "write_all", full)
        done = logged_in("download", "robotics/large", "--to", copy)
    assert done.code == 2
    assert f"No space left on device: {copy}; the same command goes on" in done.err
    assert logged_in("download", "robotics/large", "--to", copy).code == 0
    assert segments_in(copy) == segments_in(folder)


def test_a_file_that_no_row_names_is_told_as_such(
    logged_in: Line, anna: Person, tmp_path: Path
) -> None:
    """`sync` cannot send it: who was killed between the two left it, and may delete it."""
    folder = record(tmp_path / "runs", "robotics/torn")
    replicate(folder, anna.client(), "robotics/torn")
    extra = folder / "files/data/models/half.bin"
    extra.write_bytes(b"mine")
    stays = logged_in("clean", "--synced", "--yes", folder)
    assert stays.code == 1
    assert "half.bin: not on the server, as no row names it" in stays.err
    model = next(folder.glob("files/data/**/model.bin"))
    model.write_bytes(b"changed by somebody")
    stays = logged_in("clean", "--synced", "--yes", folder)
    assert "model.bin: not on the server, as" not in stays.err
    assert stays.err.count("no row names it") == 1


@pytest.mark.parametrize("first", ["a", "b"])
def test_folders_of_one_prefix_are_one_run_and_that_is_told(
    logged_in: Line, anna: Person, tmp_path: Path, caplog: pytest.LogCaptureFixture, first: str
) -> None:
    """Of files of one path the later save counts; who has the other one keeps it."""
    prefix = f"robotics/both-{first}"
    folders = {}
    for name in "ab":
        folders[name] = record(tmp_path / name, prefix)
        given = {"dash_root": tmp_path / name, "dash_url": False, "environment": False}
        with Experiment(prefix, echo=False, **given).run as experiment:
            experiment.files("models").save_text(name, to="who.txt")
    second = "b" if first == "a" else "a"
    assert logged_in("sync", folders[first]).code == 0 and not caplog.records
    assert logged_in("sync", folders[second]).code == 0
    assert f"'anna/{prefix}' was begun elsewhere" in caplog.text
    stays = logged_in("clean", "--synced", "--yes", folders["a"])
    assert stays.code == 1 and "who.txt: the server has another file" in stays.err
    assert logged_in("clean", "--synced", "--yes", folders["b"]).code == 0
    assert logged_in("download", prefix, "--to", tmp_path / "copy").code == 0
    rows = segments_in(folders["a"])
    assert rows.items() <= segments_in(tmp_path / "copy").items()


def test_a_file_that_another_folder_has_deleted_stays(
    logged_in: Line, anna: Person, tmp_path: Path
) -> None:
    """Two folders of one prefix: what one deletes on the server the other may still have."""
    for name in ("keeps", "deletes"):
        given = {"dash_root": tmp_path / name, "dash_url": False, "environment": False}
        with Experiment("robotics/rotated", echo=False, **given).run as experiment:
            experiment.files("models").save_text(name, to="last.ckpt")
            if name == "deletes":
                experiment.files("models").delete("last.ckpt")
    for name in ("keeps", "deletes"):
        assert logged_in("sync", tmp_path / name / "robotics/rotated").code == 0
    stays = logged_in("clean", "--synced", "--yes", tmp_path / "keeps/robotics/rotated")
    assert stays.code == 1
    assert "models/last.ckpt: on the server a file of this path has been deleted" in stays.err
    assert (tmp_path / "keeps/robotics/rotated").exists()


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_of_long_ago_is_not_running_when_it_is_sent(
    logged_in: Line, anna: Person, tmp_path: Path, ended: bool
) -> None:
    """Killed three days ago, synced today: it was interrupted then, and took as long as it took."""
    folder = record(tmp_path / "runs", f"robotics/old-{ended}")
    days = 3 * 86_400.0
    for path in folder.glob("**/*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if not ended:
            rows = [row for row in rows if row.get("event") != "end"]
        for row in rows:
            row["timestamp"] -= days
            if row.get("event") == "start":
                row |= {"pid": 2**22 + 1, "host": "gone"}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    begun = time.time() - days
    assert logged_in("sync", folder).code == 0
    (run,) = anna.client().json("GET", "/runs", params={"filter": f"name = 'old-{ended}'"})["runs"]
    assert run["status"] == ("COMPLETED" if ended else "INTERRUPTED")
    assert begun - 60 < run["started"] <= run["heartbeat"] < begun + 60
    assert run["updated"] > begun + days - 60


@pytest.mark.parametrize("killed", [False, True])
def test_a_server_tells_the_duration_that_the_folder_tells(
    logged_in: Line, tmp_path: Path, killed: bool
) -> None:
    """Of a run that was continued after a pause, sent by a machine whose clock is a day behind."""
    root, prefix = tmp_path / "runs", f"robotics/again-{killed}"
    folder = record(root, prefix)
    for path in folder.glob("**/*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["timestamp"] -= 86_400.0
            row |= {"pid": 2**22 + 1, "host": "gone"} if row.get("event") == "start" else {}
        ended = [row for row in rows if row.get("event") != "end"]
        kept = ended if killed else rows
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    record(root, prefix)
    assert logged_in("sync", folder).code == 0
    here = json.loads(logged_in("list", "--json", "--root", root).out)
    there = json.loads(logged_in("list", prefix, "--json", "--server").out)
    assert there[0]["duration"] == pytest.approx(here[0]["duration"], abs=1e-5)
    shown = [logged_in("show", *of).out for of in ([folder], [prefix, "--server"])]
    lines = [re.findall(r"^  duration .*", text, re.M) for text in shown]
    assert lines[0] == lines[1] and len(lines[0]) == 1
    assert 0 < here[0]["duration"] < 60


def test_a_run_of_another_server_is_not_sent_to_this_one(
    logged_in: Line, anna: Person, server: ServerProcess, tmp_path: Path
) -> None:
    """Unless `--url` says so; a note that cannot be read is no leave to take it for a new one."""
    replicate(record(tmp_path / "runs", "robotics/far"), anna.client(), "robotics/far")
    copy = tmp_path / "copy"
    assert logged_in("download", "robotics/far", "--to", copy).code == 0
    note = copy / ".buffer/origin.json"
    note.write_text(note.read_text().replace(server.url, "http://far.invalid"))
    for words in (["sync"], ["clean", "--synced", "--yes"]):
        done = logged_in(*words, copy)
        assert done.code == 1 and "it was downloaded from http://far.invalid" in done.err
    done = logged_in("sync", copy, "--url", server.url)
    assert (done.code, done.out) == (0, "anna/robotics/far  nothing to send\n")
    note.write_text("{")
    done = logged_in("sync", copy)
    assert done.code == 2 and "does not say where the run came from" in done.err


def damage(server: ServerProcess, known: set[Path], *, files: bool, cut: bool) -> None:
    """Change what the store has of files, or of rows, among the objects that came since."""
    content = bytes(range(256))
    for path in set(server.folder.glob("objects/**/*")) - known:
        if path.is_file() and (content in (data := path.read_bytes())) is files:
            # Small files are one object, in any order: inside of the one that is known
            at = data.index(content) + 10 if files else len(data) - 1
            rest = b"" if cut else bytes([data[at] ^ 1]) + data[at + 1 :]
            path.write_bytes(data[:at] + rest)


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_on_the_server_is_told_and_the_rest_comes(
    logged_in: Line,
    anna: Person,
    server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: bool,
) -> None:
    """The copy is a run; the way back is named, here and by `clean`, and is one."""
    monkeypatch.setattr("ml_dash.sync.download.FAULT", 0.0)
    prefix = f"robotics/{'cut' if cut else 'flipped'}"
    folder = record(tmp_path / "runs", prefix)
    known = set(server.folder.glob("objects/**/*"))
    replicate(folder, anna.client(), prefix)
    damage(server, known, files=True, cut=cut)
    copy = tmp_path / "copy"
    done = logged_in("download", prefix, "--to", copy)
    assert done.code == 1
    assert "models/model.bin: the server does not give this file as it was saved" in done.err
    assert f"`ml-dash delete anna/{prefix} --server`" in done.err
    assert segments_in(copy) == segments_in(folder)
    stays = logged_in("clean", "--synced", "--yes", folder)
    assert stays.code == 1
    if not cut:
        assert f"then `ml-dash sync {folder}` replace its copy" in stays.err
    assert logged_in("delete", f"anna/{prefix}", "--server", "--yes").code == 0
    assert logged_in("sync", folder).code == 0
    whole = logged_in("download", prefix, "--to", tmp_path / "whole")
    assert whole.code == 0, whole.err
    assert files_in(tmp_path / "whole") == files_in(folder)


def test_damaged_rows_on_the_server_are_told_with_the_way_back(
    logged_in: Line,
    anna: Person,
    server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run without them is none; what recorded it can send them again."""
    monkeypatch.setattr("ml_dash.sync.download.FAULT", 0.0)
    folder = record(tmp_path / "runs", "robotics/rows")
    known = set(server.folder.glob("objects/**/*"))
    replicate(folder, anna.client(), "robotics/rows")
    damage(server, known, files=False, cut=False)
    done = logged_in("download", "robotics/rows", "--to", tmp_path / "copy")
    assert done.code == 2
    assert "the server's store has lost bytes" in done.err
    assert "`ml-dash delete anna/robotics/rows --server`" in done.err
    stays = logged_in("clean", "--synced", "--yes", folder)
    assert stays.code == 1 and f"then `ml-dash sync {folder}` replace its copy" in stays.err
