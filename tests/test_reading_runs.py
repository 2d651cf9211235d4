"""Opening runs: where they are found, and what they say of themselves."""

import errno
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from written import A, B, C, Written, line, png

from ml_dash.cli.overview import seconds_of
from ml_dash.environment import process_identity
from ml_dash.names import prefix_folder
from ml_dash.reading import list_runs, open_run, write_views
from ml_dash.reading.files import matches
from ml_dash.reading.status import STALE, fold_life


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root with a few runs, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    for prefix in ("robotics/arm", "robotics/arm/retry", "robotics/Hand", "cartpole"):
        Written(tmp_path / ".dash" / prefix_folder(prefix)).start(prefix=prefix).end()
    return tmp_path / ".dash"


@pytest.fixture
def run(tmp_path):
    """A run's folder."""
    return Written(tmp_path / "run").start(prefix="some/run", id="7")


def opened(run):
    """The run, read."""
    return open_run(run.folder)


# -- finding -------------------------------------------------------------------------------------


def test_a_run_opens_by_prefix_below_the_default_root(root):
    """`./.dash` is where runs are by default; upper case and runs inside of runs are no matter."""
    for prefix in ("robotics/arm", "robotics/arm/retry", "robotics/Hand", "cartpole"):
        assert open_run(prefix).prefix == prefix


def test_a_run_opens_by_prefix_below_a_given_root_or_that_of_the_environment(root, monkeypatch):
    """`root=` and ML_DASH_ROOT say where prefixes are looked up."""
    root.rename("elsewhere")
    assert open_run("cartpole", root="elsewhere").status == "COMPLETED"
    monkeypatch.setenv("ML_DASH_ROOT", "elsewhere")
    assert open_run("cartpole").status == "COMPLETED"


def test_a_run_opens_by_the_path_of_its_folder(root, tmp_path):
    """A path, relative or not, leads to the run, also outside of any root."""
    assert open_run(root / "cartpole").prefix == "cartpole"
    assert open_run(".dash/robotics/arm").prefix == "robotics/arm"
    (root / "cartpole").rename(tmp_path / "copy")
    assert open_run("copy").prefix == "cartpole"  # as its sessions said


def test_a_missing_run_names_where_it_was_looked_for_and_what_is_near(root):
    """The error is of use: places, similar prefixes, or what lies below the folder asked for."""
    with pytest.raises(FileNotFoundError, match=r"'robotics/arm'") as error:
        open_run("robotics/amr")
    assert str(root / "robotics/amr") in str(error.value)
    with pytest.raises(FileNotFoundError, match="Did you mean 'robotics/Hand', 'robotics/arm'"):
        open_run("robotics")
    with pytest.raises(FileNotFoundError, match="There are 4 others"):
        open_run("zzzzzzzzzzzz")
    with pytest.raises(FileNotFoundError, match="There are no runs below"):
        open_run("cartpole", root="nowhere")
    with pytest.raises(FileNotFoundError, match=r"no run '\.\./\.\./etc'"):
        open_run("../../etc")


def test_all_runs_below_a_root_are_listed_in_order(root):
    """Runs inside of runs too; links, other folders and a missing root do no harm."""
    (root / "notes/run").mkdir(parents=True)  # no session ever began here
    (root / "loop").symlink_to(root)
    expected = ["cartpole", "robotics/Hand", "robotics/arm", "robotics/arm/retry"]
    assert [run.prefix for run in list_runs()] == expected
    assert list(list_runs("nowhere")) == []


def test_listing_reads_nothing_of_a_run(root, monkeypatch):
    """A thousand runs are listed without opening one."""
    from ml_dash.backends import LocalBackend

    monkeypatch.setattr(LocalBackend, "read", None)
    monkeypatch.setattr(LocalBackend, "list", None)
    assert len(list(list_runs())) == 4


# -- status --------------------------------------------------------------------------------------


def gone():
    """The identity of a process that has ended."""
    code = "import orjson; from ml_dash.environment import process_identity as p;"
    code += "print(orjson.dumps(p()).decode())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def dead():
    """The identity of a process that has ended."""
    return gone()


HERE = process_identity()
AWAY = {**HERE, "host": "another-host"}


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_the_status_is_what_the_root_session_said(run, status):
    """An ended run has the status, and the error, of its end."""
    run.end(status=status, error="ValueError: no")
    assert opened(run).status == status
    assert opened(run).error == "ValueError: no"


def test_the_root_session_that_ended_last_decides(run, dead):
    """Sessions may overlap and be resumed: the latest end counts, that of a crash included."""
    run.end(at=50.0, status="FAILED", error="one")
    run.start(60.0, B, **dead).end(70.0, B, status="COMPLETED")
    assert (opened(run).status, opened(run).error) == ("COMPLETED", None)
    run.start(80.0, C, **dead)
    run.put("run", line(90.0, event="heartbeat", session=C), writer=C)
    assert opened(run).status == "INTERRUPTED"


def test_a_crash_before_the_last_end_does_not_decide(run, dead):
    """A session killed at 20 leaves the status to the one that ended at 30."""
    run.start(5.0, B, **dead)
    run.put("run", line(20.0, event="heartbeat", session=B), writer=B)
    run.end(at=30.0)
    assert opened(run).status == "COMPLETED"


def test_a_forked_child_never_decides(run, dead):
    """Neither a child that closed nor one that was killed changes the run's status."""
    run.start(5.0, B, root=False, **HERE).end(200.0, B, status="CLOSED")
    run.start(6.0, C, root=False, **dead)
    run.end(at=100.0, status="FAILED")
    view = opened(run)
    assert view.status == "FAILED"
    assert [s.status for s in view.sessions] == ["FAILED", "CLOSED", "INTERRUPTED"]


def test_a_run_is_running_while_any_session_lives(run):
    """A child that goes on keeps the run RUNNING; so does its own process."""
    run.end()
    run.start(2.0, B, root=False, **HERE)
    assert opened(run).status == "RUNNING"


def test_a_session_whose_process_is_gone_is_interrupted(tmp_path, dead):
    """Without an end and without a process, a session was interrupted."""
    run = Written(tmp_path / "r").start(time.time(), **dead)
    assert opened(run).status == "INTERRUPTED"


def test_a_killed_session_was_seen_until_its_last_row(run, dead):
    """Also in a second segment or one found in its ring; stamps of the user's own say nothing."""
    run.end(at=2.0).start(5.0, B, **dead).start(6.0, C, **dead)
    run.put("tracks/arm", line(7.0, x=1), line(1e6, explicit=True, x=1), writer=B)
    run.put("metrics/m", line(8.0, x=1), writer=C)
    run.put("metrics/m", line(9.0, x=1), line(9.5, x="y" * 100_000), writer=C, part="-2")
    run.put("logs", line(11.0, message="m"), b'{"timestamp":12.0,"mes', writer=C, part="-r")
    run.put("logs", line(99.0, message="of another"), writer=A)
    view = opened(run)
    assert [session.last_seen for session in view.sessions] == [2.0, 7.0, 11.0]
    assert view.to_json()["ended"] == 11.0
    run.put("logs", line(13.0, message="m"), writer=C, part="-r2")
    view.refresh()
    assert view.sessions[2].last_seen == 13.0


def test_of_what_is_stamped_by_the_user_only_a_little_is_looked_at(run, dead):
    """A long track without one automatic stamp is not read from its end to its beginning."""
    run.start(5.0, B, **dead)
    lines = [line(1e6, explicit=True, x="y" * 1000)] * 1000
    path = run.put("tracks/arm", line(50.0, x=1), *lines, line(30.0, x=1), *lines[:9], writer=B)
    assert opened(run).sessions[1].last_seen == 30.0
    path.write_bytes(line(50.0, x=1) + b"".join(lines))
    assert opened(run).sessions[1].last_seen == 5.0


def test_elsewhere_the_age_of_the_heartbeat_tells():
    """A session on another host lives as long as its signs of life are young."""
    rows = [{"timestamp": 1000.0, "event": "start", "session": A, "root": True, **AWAY}]
    rows += [{"timestamp": 1500.0, "event": "heartbeat", "session": A}]
    assert fold_life(rows, now=1500.0 + STALE / 2).status == "RUNNING"
    assert fold_life(rows, now=1500.0 + STALE * 2).status == "INTERRUPTED"


def test_a_run_without_a_readable_row_is_interrupted(tmp_path):
    """A crash before the first row leaves a run that can be opened all the same."""
    run = Written(tmp_path / "torn")
    run.put("run", b'{"timestamp":1.0,"eve')
    view = opened(run)
    assert (view.status, view.id, view.prefix, view.sessions) == ("INTERRUPTED", "", "torn", [])
    assert [problem.reason for problem in view.problems] == ["an unfinished line"]


def test_details_are_the_latest_of_each(run):
    """Tags, description and metadata fold over starts and updates; lost rows add up."""
    run.start(2.0, B, description="first", tags=["a"], bindrs=["b"], metadata={"k": 1})
    run.put("run", line(3.0, event="update", session=B, tags=["a", "c"]), writer=B)
    run.put("run", line(4.0, event="environment", session=B, environment={"os": "x"}), writer=B)
    run.end(5.0, B, lost={"logs": 2, "files": 1})
    run.end(6.0, A, lost={"logs": 3})
    view = opened(run)
    assert (view.description, view.tags, view.bindrs) == ("first", ["a", "c"], ["b"])
    assert view.metadata == {"k": 1}
    assert view.lost == {"logs": 5, "files": 1}
    assert view.sessions[1].environment == {"os": "x"}
    assert view.id == "7"


def test_a_live_writers_unfinished_line_is_no_problem(tmp_path, dead):
    """The same bytes are a problem once the writer is gone."""
    for identity, expected in ((HERE, 0), (dead, 1)):
        run = Written(tmp_path / str(expected)).start(time.time(), **identity)
        run.put("logs", line(1.0), b'{"timest')
        view = opened(run)
        assert len(list(view.logs)) == 1
        assert len(view.problems) == expected


def test_a_run_that_is_written_grows_when_refreshed(run):
    """An open run shows one moment; `refresh` shows the next, new topics among it."""
    view = opened(run)
    run.put("tracks/a", line(1.0, x=1))
    assert list(view.tracks) == ["a"]
    run.put("tracks/a", line(2.0, x=2))
    run.put("tracks/b", line(2.0, x=2))
    run.end()
    assert (len(view.tracks["a"]), list(view.tracks)) == (1, ["a"])
    view.refresh()
    assert (len(view.tracks["a"]), list(view.tracks)) == (2, ["a", "b"])
    assert view.status == "COMPLETED"


def test_a_run_is_running_from_its_very_start(tmp_path):
    """Opened before its first row has reached a segment, it is RUNNING and not interrupted."""
    from ml_dash import Experiment

    for _ in range(5):
        with Experiment("quick", dash_root=tmp_path, environment=False).run:
            assert open_run("quick", root=tmp_path).status == "RUNNING"
        assert open_run("quick", root=tmp_path).status == "COMPLETED"


def test_rows_of_a_killed_process_are_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    """On a full or read-only disk a ring is read in place; once there is room, it is drained."""
    from ml_dash.buffer import recovery

    code = f"""
import os, signal
from ml_dash import Experiment
experiment = Experiment("killed", dash_root={str(tmp_path)!r}, environment=False)
experiment.run.start()
for n in range(3000):
    experiment.track("a").append({{"step": n}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    with monkeypatch.context() as patch:
        patch.setattr(recovery, "_write_whole", full)
        view = open_run("killed", root=tmp_path)
        assert view.tracks["a"].steps.tolist() == list(range(3000))
        assert (view.status, view.problems) == ("INTERRUPTED", [])
        assert view.source.recovery.problems
    view.refresh()
    assert view.tracks["a"].steps.tolist() == list(range(3000))
    assert not view.source.recovery.problems
    assert not list(tmp_path.glob("**/*.ring"))


def full(*_):
    """A disk that takes nothing."""
    raise OSError(28, "No space left on device")


# -- contents ------------------------------------------------------------------------------------


def test_topics_have_their_own_names_again(run):
    """Encoded folders give back the names that users gave."""
    from ml_dash.names import stream_name

    names = ["robot/Position", "a_b", "a/b", "a%2Fb", "x.jsonl/y"]
    for name in names:
        run.put(stream_name("tracks", name), line(1.0, x=1))
        run.put(stream_name("metrics", name), line(1.0, x=2))
    view = opened(run)
    assert sorted(view.tracks) == sorted(view.metrics) == sorted(names)
    assert [view.tracks[n]["x"].tolist() for n in names] == [[1]] * len(names)
    assert "none" not in view.tracks
    with pytest.raises(KeyError, match="did you mean 'robot/Position'"):
        view.tracks["robot/position"]
    assert view.tracks.get("none") is None


def test_thousands_of_topics_are_listed_and_read(run):
    """3,000 topics: going through all of them takes seconds."""
    for number in range(3000):
        run.put(f"tracks/t/{number:04d}", line(1.0, x=number))
    tracks = opened(run).tracks
    begin = time.process_time()
    assert [table["x"][0] for table in tracks.values()] == list(range(3000))
    assert time.process_time() - begin < 10


def test_params_are_folded_and_nested(run):
    """The later value wins; `flat` has dotted names."""
    run.put("params", line(1.0, params={"lr": 1, "model.layers": 2}))
    run.put("params", line(2.0, params={"lr": 3}), writer=B)
    params = opened(run).params
    assert params == {"lr": 3, "model": {"layers": 2}}
    assert params.flat == {"lr": 3, "model.layers": 2}


def test_logs_are_filtered_by_least_level_and_time(run):
    """`warning` gives warnings and worse; a level that nobody knows is kept; a typo is an error."""
    levels = ["debug", "info", "warning", "error", "fatal", "strange"]
    run.put("logs", *(line(float(n), level=level, message="m") for n, level in enumerate(levels)))
    logs = opened(run).logs
    assert [row["level"] for row in logs.rows("warning")] == levels[2:]
    assert [row["level"] for row in logs.rows("warn", start=3.0, end=4.0)] == levels[3:5]
    assert len(logs) == len(list(logs)) == 6
    with pytest.raises(ValueError, match=r"'warnings'.*debug, info, warning"):
        logs.rows("warnings")


def test_the_latest_save_of_a_path_wins_and_deletes_count(run):
    """Files are folded over all writers; what was deleted last is not there."""
    run.file("a.txt", b"old", timestamp=1.0)
    run.file("a.txt", b"new", timestamp=3.0, writer=B)
    run.file("b.txt", b"gone", timestamp=1.0)
    run.put("files/index", line(2.0, op="delete", path="b.txt"), writer=B)
    run.file("c.txt", b"back", timestamp=5.0)
    run.put("files/index", line(4.0, op="delete", path="c.txt"), writer=B)
    files = opened(run).files
    assert list(files) == ["a.txt", "c.txt"]
    assert files.read_text("a.txt") == "new"
    assert files["a.txt"]["size"] == 3
    assert not files.exists("b.txt")
    with pytest.raises(FileNotFoundError, match=r"no file 'b\.txt'"):
        files.read_bytes("b.txt")


def test_a_json_file_with_numbers_that_json_has_not_is_read(run):
    """As `files.save` writes NaN, and as the run that records reads it."""
    run.file("a.json", b'{"x": [NaN, -Infinity]}')
    found = opened(run).files.read_json("a.json")["x"]
    assert math.isnan(found[0]) and found[1] == -math.inf
    run.file("b.json", b"{")
    with pytest.raises(ValueError, match="Expecting"):
        opened(run).files.read_json("b.json")


def test_files_are_read_by_the_name_that_users_gave(run):
    """Names that a file system cannot hold read like any other."""
    run.file("data/wh?t: é.json", b'{"x": [1, 2]}')
    files = opened(run).files
    assert files.read_json("data/wh?t: é.json") == {"x": [1, 2]}
    assert [row["path"] for row in files.list("*.json")] == ["data/wh?t: é.json"]
    with pytest.raises(KeyError, match="did you mean"):
        files["data/what.json"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*.pt", True), ("models/*", True), ("**/*.pt", True), ("*.png", False), ("model", False)],
)
def test_patterns_match_a_name_or_a_whole_path(pattern, expected):
    """`*` stands for anything; `**/` also for nothing."""
    assert matches("models/deep/last.pt", pattern) is expected
    assert matches("last.pt", "**/*.pt")


def test_no_entry_of_the_index_leads_out_of_the_run(run, tmp_path):
    """An index from elsewhere, or a planted link, reads nothing outside of the folder."""
    (tmp_path / "secret").write_bytes(b"secret")
    row = {"op": "save", "id": "1", "path": "s", "size": 6, "sha256": ""}
    for place in ("../../../secret", "/etc/passwd", "x/../../../../secret"):
        run.put("files/index", line(1.0, **row, data=place))
        with pytest.raises(ValueError, match="not a place inside the run"):
            opened(run).files.read_bytes("s")
    target = run.file("link", b"x")
    target.unlink()
    target.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="link"):
        opened(run).files.read_bytes("link")


# -- frames --------------------------------------------------------------------------------------


def test_frames_come_in_order_of_their_time_and_are_decoded_when_asked(run):
    """Encoders finish in any order; frames are sorted by the time they belong to."""
    for step in (2, 0, 1):
        run.frame(f"cam/frame_{step}.png", at=10.0 + step, step=step, shade=100 + step)
    run.file("cam/notes.txt", b"no image")
    frames = opened(run).frames("cam")
    assert len(frames) == 3
    assert frames.steps.tolist() == [0, 1, 2]
    assert frames.timestamps.tolist() == [10, 11, 12]
    assert frames.names == ["frame_0.png", "frame_1.png", "frame_2.png"]
    assert frames.paths[0] == "cam/frame_0.png"
    assert frames[1].shape == (2, 3)
    assert [int(frame[0, 0]) for frame in frames] == [100, 101, 102]
    assert int(frames[-1][0, 0]) == 102
    assert frames.to_numpy().shape == (3, 2, 3)
    assert frames[1:].steps.tolist() == [1, 2]
    assert frames[::-1].names == frames.names[::-1]
    with pytest.raises(IndexError):
        frames[3]


def test_frames_without_a_step_are_masked(run):
    """A frame may have no step."""
    run.frame("cam/a.png", at=1.0)
    run.frame("cam/b.png", at=2.0, step=5)
    assert opened(run).frames("cam").steps.tolist() == [None, 5]


def test_frames_of_different_sizes_do_not_stack(run):
    """The error names the two."""
    run.frame("cam/a.png", at=1.0)
    from ml_dash import image

    run.file("cam/b.png", image.encode(np.zeros((4, 4), np.uint8), "png"), at=2.0)
    with pytest.raises(ValueError, match=r"'cam/a.png' is \(2, 3\).*'cam/b.png' is \(4, 4\)"):
        opened(run).frames("cam").to_numpy()


def test_cameras_are_the_folders_with_images(run):
    """A prefix without images is an error that names those with."""
    run.frame("robot/left/0.png", at=1.0)
    run.frame("robot/right/0.png", at=1.0)
    run.file("models/m.pt", b"")
    view = opened(run)
    assert view.cameras == ["robot/left", "robot/right"]
    assert len(view.frames("robot")) == 2
    with pytest.raises(KeyError, match=r"no frames below 'models'; .*'robot/left'"):
        view.frames("models")


def test_images_in_no_folder_are_no_frames(run):
    """They are files; the error does not say that there are no images."""
    run.frame("0.png", at=1.0)
    view = opened(run)
    with pytest.raises(KeyError, match="no frames below ''; no folder of this run's files has"):
        view.frames("")


def test_a_frame_whose_bytes_are_gone_says_so(run):
    """Only reading it fails, one by one or all at once, with its path and what to do."""
    run.frame("cam/a.png", at=1.0).unlink()
    run.frame("cam/b.png", at=2.0)
    frames = opened(run).frames("cam")
    assert len(frames) == 2
    for read in (lambda: frames[0], frames.to_numpy, lambda: frames.read_bytes(0)):
        with pytest.raises(FileNotFoundError, match=r"refresh\(\).*ml-dash check.*cam/a\.png"):
            read()
    assert frames[1].shape == (2, 3)


def test_a_frame_that_is_damaged_is_named(run):
    """Whoever decodes it learns which of the files cannot be decoded."""
    run.frame("cam/a.png", at=1.0)
    run.frame("cam/b.png", at=2.0).write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"frame 'cam/b\.png': .*cannot be decoded"):
        opened(run).frames("cam").to_numpy()


# -- views ---------------------------------------------------------------------------------------


def test_views_say_what_the_run_says(run):
    """`run.json` and `params.json` are plain JSON and can be made again."""
    run.put("params", line(1.0, params={"lr": float("nan"), "big": 2**80, "a.b": "\ud800"}))
    run.end(status="FAILED", error="boom")
    write_views(run.folder)
    write_views(run.folder)
    view = json.loads((run.folder / "run.json").read_text())
    assert (view["id"], view["status"], view["error"]) == ("7", "FAILED", "boom")
    assert (view["started"], view["ended"]) == (1.0, 100.0)
    text = (run.folder / "params.json").read_text()
    assert "NaN" not in text  # which is no JSON
    assert json.loads(text) == {"lr": None, "big": 2**80, "a": {"b": "\ud800"}}
    assert not list(run.folder.glob("**/*.tmp"))


def test_reading_params_and_status_loads_no_numpy(run):
    """Listing runs stays quick: arrays are loaded when columns are asked for."""
    run.put("params", line(1.0, params={"lr": 1}))
    run.put("logs", line(1.0, level="info", message="m"))
    run.file("a.txt", png(0))
    code = f"""
import sys
from ml_dash.reading import open_run
run = open_run({str(run.folder)!r})
run.status, run.params, list(run.logs), list(run.tracks), run.files.list()
assert not {{"numpy", "PIL"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_that_may_not_be_read_is_told_from_none(tmp_path, monkeypatch):
    """Another user's folder is refused by its name, not called missing."""
    from ml_dash import Experiment

    with Experiment("p/closed", dash_root=tmp_path, echo=False, environment=False).run:
        pass
    closed = tmp_path / "p/closed"
    scandir = os.scandir

    def refuse(place="."):
        if Path(place).is_relative_to(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="p/closed"):
        open_run("p/closed", root=tmp_path)
    with pytest.raises(FileNotFoundError):
        open_run("p/other", root=tmp_path)


@pytest.mark.parametrize("ahead", [-1e6, 0.0, 1e6])
@pytest.mark.parametrize(("silent", "status"), [(5.0, "RUNNING"), (STALE + 1, "INTERRUPTED")])
def test_a_server_knows_whether_a_session_of_a_wrong_clock_lives(
    ahead: float, silent: float, status: str
) -> None:
    """Its rows do not tell: they are of another machine, whose clock may be anything."""
    start = {"event": "start", "session": "w", "root": True, "host": "elsewhere", "pid": 1}
    rows = [{"timestamp": 1e9 + ahead, **start}]
    now = 1e9 + 10.0 + silent
    life = fold_life(rows, now, lambda: {"w": (1e9 + 10.0 + ahead, silent)})
    assert life.status == status
    assert life.active == pytest.approx(10.0)
    lasted = seconds_of(life.sessions, now)
    assert lasted == pytest.approx(10.0 + (silent if status == "RUNNING" else 0.0))
