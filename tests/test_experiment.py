"""Experiments and the lives of their runs: keys, statuses, styles, modes, what is told when."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from scripts import PREAMBLE, run, wait_until

import ml_dash
from ml_dash import ClosedError, Experiment, MemoryBackend, NotStartedError, open_run
from ml_dash.auto_start import AutoExperiment
from ml_dash.experiment import HANDLES, ml_dash_experiment

QUIET = {"echo": False, "environment": False}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Experiment]]:
    """Makes experiments below the test's folder, and ends their runs."""
    made: list[Experiment] = []

    def make(prefix: Any = "p/e", **options: Any) -> Experiment:
        experiment = Experiment(prefix, **{"dash_root": tmp_path, **QUIET, **options})
        made.append(experiment)
        return experiment

    yield make
    for experiment in made:
        experiment.run.complete()


def read(experiment: Experiment) -> ml_dash.reading.RunView:
    """The run as others see it."""
    assert experiment.folder is not None
    return open_run(experiment.folder)


# -- prefixes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "project", "expected"),
    [
        ("e", None, "e"),
        ("p/e", None, "p/e"),
        ("team/p/sweep/3/e", None, "team/p/sweep/3/e"),
        ("e", "p", "p/e"),
        ("sweep/e", "team/p", "team/p/sweep/e"),
        ("p/e/", None, "p/e"),
        (PurePosixPath("p/e"), PurePosixPath("team"), "team/p/e"),
        ("P/e", None, "P/e"),
    ],
)
def test_the_prefix_is_the_key_and_the_folder(
    make: Callable[..., Experiment], tmp_path: Path, prefix: Any, project: Any, expected: str
) -> None:
    """With the project joined in front of it."""
    experiment = make(prefix, project=project)
    assert experiment.prefix == expected
    assert experiment.folder == tmp_path / expected
    with experiment.run:
        assert (tmp_path / expected / ".buffer").is_dir()
    assert open_run(expected, root=tmp_path).prefix == expected


@pytest.mark.parametrize(
    "prefix",
    ["", "..", "a/../b", "/etc/passwd", "a//b", "CON", "a\0b", "x" * 300, "\ud800", " a", "a/b "]
    + [f"p/{room}" for room in ("run", "params", "logs", "metrics", "tracks", "files")],
    ids=lambda prefix: ascii(prefix)[:15],
)
def test_a_prefix_that_cannot_be_a_folder_is_refused(prefix: str, tmp_path: Path) -> None:
    """At the call, and nothing is made; likewise a project."""
    with pytest.raises(ValueError, match="prefix"):
        Experiment(prefix, dash_root=tmp_path)
    with pytest.raises(ValueError, match="project"):
        Experiment("e", project=prefix, dash_root=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", [5, b"p/e", ["p", "e"], len])
def test_a_prefix_is_text(prefix: Any) -> None:
    """The error says what it must be."""
    with pytest.raises(TypeError, match="prefix must be a string"):
        Experiment(prefix)


def test_without_a_prefix_script_and_time_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one each time; below the project, if there is one."""
    monkeypatch.setattr(sys, "argv", ["/home/me/train.py"])
    first, second = Experiment(project="p").prefix, Experiment(project="p").prefix
    assert first.startswith("p/train-20")
    assert first != second
    monkeypatch.setattr(sys, "argv", ["/home/me/arm/__main__.py"])
    assert Experiment().prefix.startswith("arm-20")
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert Experiment().prefix.startswith("interactive-20")


# -- what is said of a run -----------------------------------------------------------------------


def test_details_are_read_back(make: Callable[..., Experiment]) -> None:
    """Description, tags, bindrs and metadata, with what JSON alone cannot hold."""
    metadata = {"robot": {"joints": 7, "_x": None}, "limits": [1.5, float("inf")], 3: {"a", "b"}}
    with make(
        description="picks üp cups", tags=["a", "b", "a"], bindrs="shelf", metadata=metadata
    ).run as experiment:
        assert experiment.tags == ["a", "b"]
        assert experiment.metadata["3"] == ["a", "b"]
    run = read(experiment)
    assert run.description == "picks üp cups"
    assert run.tags == ["a", "b"]
    assert run.bindrs == ["shelf"]
    assert run.metadata == {
        "robot": {"joints": 7, "_x": None},
        "limits": [1.5, float("inf")],
        "3": ["a", "b"],
    }


def test_details_that_are_not_given_stay_as_they_were(make: Callable[..., Experiment]) -> None:
    """A run that is continued keeps what was said of it; what is said anew wins."""
    with make(description="first", tags=["a"], metadata={"n": 1}).run:
        pass
    with make(tags=("b",), bindrs=None).run as experiment:
        experiment.add_tags("c", "b")
        assert experiment.tags == ["b", "c"]
    run = read(experiment)
    assert (run.description, run.tags, run.metadata) == ("first", ["b", "c"], {"n": 1})


def test_tags_are_added_to_those_of_earlier_sessions(make: Callable[..., Experiment]) -> None:
    """A session that was given none of its own knows and keeps what the run has."""
    with make(tags=["a", "b"]).run:
        pass
    with make().run as experiment:
        experiment.add_tags("c", "a")
        assert experiment.tags == ["a", "b", "c"]
    assert read(experiment).tags == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"tags": [1]}, TypeError, "tags: 1 is not a text"),
        ({"tags": 5}, TypeError, "tags must be a list of texts, not int"),
        ({"tags": {"a": 1}}, TypeError, "tags must be a list of texts, not dict"),
        ({"bindrs": [b"x"]}, TypeError, "bindrs: b'x' is not a text"),
        ({"description": 5}, TypeError, "description must be a text, not int"),
        ({"metadata": [1]}, TypeError, "metadata must be a dict, not list"),
        ({"metadata": {"a": {"b": object()}}}, TypeError, "metadata, key 'a', key 'b'"),
        ({"metadata": {1: 0, "1": 0}}, ValueError, "metadata: the key '1' is given twice"),
        ({"metadata": {"a": "x" * (16 << 20)}}, ValueError, "experiment: the row takes"),
        ({"dash_url": "dash.example"}, ValueError, "is not the address of a server"),
        ({"dash_url": True}, TypeError, "give the server's address"),
    ],
)
def test_wrong_details_are_refused_by_name(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    """When the experiment is made, before anything is on disk."""
    with pytest.raises(error, match=text):
        Experiment("p/e", dash_root=tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_details_of_a_running_run_are_replaced(make: Callable[..., Experiment]) -> None:
    """Each that is given, as a whole; an empty one takes it away; what is not given stays."""
    with make(description="first", tags=["a"], bindrs=["b"], metadata={"n": 1}).run as experiment:
        experiment.run.update(description="second", tags=("x", "y", "x"), metadata={3: {"z"}})
        experiment.run.update(bindrs=[])
        experiment.run.update()
        assert experiment.tags == ["x", "y"]
        experiment.add_tags("c")  # "a" does not come back
    run = read(experiment)
    assert (run.description, run.tags, run.bindrs) == ("second", ["x", "y", "c"], [])
    assert run.metadata == experiment.metadata == {"3": ["z"]}


@pytest.mark.parametrize(
    ("details", "error", "text"),
    [
        ({"tags": [1]}, TypeError, "tags: 1 is not a text"),
        ({"tags": {"a": 1}}, TypeError, "tags must be a list of texts, not dict"),
        ({"bindrs": 5}, TypeError, "bindrs must be a list of texts, not int"),
        ({"description": 5}, TypeError, "description must be a text, not int"),
        ({"metadata": [1]}, TypeError, "metadata must be a dict, not list"),
        ({"metadata": {"a": {"b": object()}}}, TypeError, "metadata, key 'a', key 'b'"),
        ({"metadata": {"a": "x" * (16 << 20)}}, ValueError, "experiment: the row takes"),
        ({"tag": ["x"]}, TypeError, "unexpected keyword argument 'tag'"),
    ],
)
def test_wrong_details_of_a_running_run_change_nothing(
    make: Callable[..., Experiment], details: dict[str, Any], error: type[Exception], text: str
) -> None:
    """As when an experiment is made; nor does what else the call says, and the run goes on."""
    with make(description="first", tags=["a"], metadata={"n": 1}).run as experiment:
        with pytest.raises(error, match=text):
            experiment.run.update(**{"description": "second", "tags": ["b"], **details})
        assert (experiment.description, experiment.tags) == ("first", ["a"])
    run = read(experiment)
    assert (run.description, run.tags, run.metadata) == ("first", ["a"], {"n": 1})


def test_details_are_updated_while_the_run_goes_on_only(make: Callable[..., Experiment]) -> None:
    """Before, they are arguments; nothing is kept of such a call."""
    experiment = make(tags=["a"])
    with pytest.raises(NotStartedError):
        experiment.run.update(tags=["b"])
    assert experiment.tags == ["a"]


# -- life ----------------------------------------------------------------------------------------


def test_what_a_removed_folder_held_is_told_before_the_end(make: Callable[..., Experiment]) -> None:
    """With the folder made again: a process that is killed then has told of its loss."""
    with make(tags=["a"]).run as experiment:
        experiment.track("arm").append({"step": 0})
        experiment.flush()
        assert experiment.folder is not None
        shutil.rmtree(experiment.folder)
        experiment.track("arm").append({"step": 1})
        experiment.flush()
        experiment.flush()
        run = read(experiment)
        assert (run.status, run.tags, run.lost["tracks/arm"]) == ("RUNNING", ["a"], 1)
    assert read(experiment).lost == run.lost


def test_an_experiment_without_its_run_is_no_context(make: Callable[..., Experiment]) -> None:
    """The likeliest slip is told with what to write."""
    with (
        pytest.raises(TypeError, match=r"`with Experiment\(\.\.\.\)\.run as experiment:`"),
        make(),
    ):
        raise AssertionError("the block was entered")


def test_making_an_experiment_touches_no_disk(tmp_path: Path) -> None:
    """Only starting its run does."""
    experiment = Experiment("p/e", dash_root=tmp_path, **QUIET)
    assert experiment.run.status == "NOT STARTED"
    assert experiment.id == ""
    assert experiment.flush().ok
    assert "NOT STARTED" in repr(experiment)
    assert list(tmp_path.iterdir()) == []


def test_a_with_block_is_a_run(make: Callable[..., Experiment]) -> None:
    """RUNNING inside, COMPLETED after; the experiment is what the block is given."""
    experiment = make()
    with experiment.run as entered:
        assert entered is experiment
        assert experiment.run.status == "RUNNING"
        experiment.flush()
        assert read(experiment).status == "RUNNING"
    assert experiment.run.status == "COMPLETED"
    run = read(experiment)
    assert (run.status, run.id) == ("COMPLETED", experiment.id)
    assert experiment.id.isdecimal()


class CauseError(Exception):
    """What ends a block."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CauseError("too hot"), "FAILED"),
        (SystemExit(3), "FAILED"),
        (SystemExit(0), "COMPLETED"),
        (SystemExit(), "COMPLETED"),
        (KeyboardInterrupt(), "CANCELLED"),
        (asyncio.CancelledError(), "CANCELLED"),  # what Ctrl-C is in a task
        (GeneratorExit(), "CANCELLED"),
    ],
    ids=repr,
)
def test_how_a_block_is_left_decides_the_status(
    make: Callable[..., Experiment], error: BaseException, status: str
) -> None:
    """An exception goes on its way, and its text is kept with the run."""
    experiment = make()
    with pytest.raises(type(error)), experiment.run:
        raise error
    run = read(experiment)
    assert run.status == experiment.run.status == status
    assert ("too hot" in (run.error or "")) == isinstance(error, CauseError)


@pytest.mark.parametrize(
    ("end", "status"), [("complete", "COMPLETED"), ("fail", "FAILED"), ("cancel", "CANCELLED")]
)
def test_direct_calls_end_a_run(make: Callable[..., Experiment], end: str, status: str) -> None:
    """`start` gives the experiment; what ends the run ends it once."""
    experiment = make()
    assert experiment.run.start() is experiment
    assert experiment.run.start() is experiment
    getattr(experiment.run, end)()
    experiment.run.complete()
    experiment.run.fail("too late")
    assert experiment.run.status == status
    assert read(experiment).status == status
    assert read(experiment).error is None


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        ("no power", "no power"),
        (CauseError("no grip"), "CauseError: no grip"),
        (None, None),
        (7, "7"),
    ],
)
def test_the_reason_of_a_failure_is_kept(
    make: Callable[..., Experiment], error: Any, kept: str | None
) -> None:
    """A text or an exception."""
    experiment = make()
    experiment.run.start()
    experiment.run.fail(error)
    found = read(experiment).error
    assert (found is None) if kept is None else (found is not None and kept in found)


def test_the_last_line_of_a_reason_says_something(make: Callable[..., Experiment]) -> None:
    """Empty lines behind it, as errors of other processes have them, are left out."""
    experiment = make("a/b")
    experiment.run.start()
    experiment.run.fail(RuntimeError("in a rank\n\n"))
    error = read(experiment).error
    assert error is not None and error.splitlines()[-1] == "RuntimeError: in a rank"


def test_a_reason_of_any_length_ends_the_run(make: Callable[..., Experiment]) -> None:
    """Its beginning and its end are kept."""
    experiment = make()
    experiment.run.start()
    experiment.run.fail("begin" + "x" * (20 << 20) + "end")
    error = read(experiment).error
    assert error is not None
    assert len(error) < 30_000
    assert error.startswith("begin")
    assert error.endswith("end")


def test_reopening_a_prefix_continues_its_run(make: Callable[..., Experiment]) -> None:
    """Rows are added, parameters folded, the id stays, and the status is RUNNING again."""
    first = make()
    with first.run:
        first.track("a").append({"step": 0})
        first.params.set(lr=1, seed=7)
    second = make()
    with second.run:
        second.flush()
        assert read(second).status == "RUNNING"
        second.track("a").append({"step": 1})
        second.params.set(lr=2)
        assert second.params.get() == {"lr": 2, "seed": 7}
    assert first.id == second.id
    run = read(second)
    assert run.id == first.id
    assert run.tracks["a"]["step"].tolist() == [0, 1]
    assert run.params.flat == {"lr": 2, "seed": 7}
    assert [session.status for session in run.sessions] == ["COMPLETED", "COMPLETED"]


def test_one_experiment_may_be_run_again(make: Callable[..., Experiment]) -> None:
    """Its handles are there again, and the last end counts."""
    experiment = make()
    for step in range(3):
        with experiment.run:
            experiment.track("a").append({"step": step})
    experiment.run.start()
    experiment.run.fail("at last")
    run = read(experiment)
    assert run.tracks["a"]["step"].tolist() == [0, 1, 2]
    assert (run.status, len(run.sessions)) == ("FAILED", 4)


def test_a_block_inside_a_block_does_not_end_the_run(make: Callable[..., Experiment]) -> None:
    """The outermost one does, whatever happened inside."""
    experiment = make()
    with experiment.run:
        with pytest.raises(CauseError), experiment.run:
            raise CauseError
        with experiment.run as inner:
            inner.track("a").append({"step": 0})
        experiment.track("a").append({"step": 1})
        assert experiment.run.status == "RUNNING"
    run = read(experiment)
    assert (run.status, len(run.sessions)) == ("COMPLETED", 1)
    assert run.tracks["a"]["step"].tolist() == [0, 1]


def test_a_run_that_was_ended_inside_its_block_stays_so(make: Callable[..., Experiment]) -> None:
    """The end of the block adds nothing."""
    experiment = make()
    with experiment.run:
        experiment.run.cancel()
    assert experiment.run.status == read(experiment).status == "CANCELLED"


def test_what_was_asked_for_before_the_end_is_still_recorded(
    make: Callable[..., Experiment], capfd: pytest.CaptureFixture[str]
) -> None:
    """Once, with the handles there were; what raises is told and stops nothing; a child calls none.

    So an adapter can hold back a row until it has seen what follows.
    """
    experiment = make()
    for number in range(2):
        with experiment.run:
            track, recorder = experiment.track("a"), experiment.recorder()
            if number == 0:
                experiment.run.before_end(lambda: 1 / 0)
                experiment.run.before_end(partial(track.append, {"x": 1}))
                experiment.run.before_end(partial(recorder.record, tracks={"b": {"x": 2}}))
            child = os.fork()
            if child == 0:
                experiment.run.complete()
                os._exit(0)
            os.waitpid(child, 0)
    run = read(experiment)
    assert (run.tracks["a"]["x"].tolist(), run.tracks["b"]["x"].tolist()) == ([1], [2])
    assert run.status == "COMPLETED"
    assert capfd.readouterr().err.count("ZeroDivisionError") == 1


def test_the_id_is_known_although_the_first_session_was_killed_at_once(tmp_path: Path) -> None:
    """Its rows were in its ring only; the one that goes on has its id all the same."""
    script = """
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
experiment.run.start()
print(experiment.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    _, out, _ = run(tmp_path, script)
    with Experiment("p/e", dash_root=tmp_path / "dash", **QUIET).run as experiment:
        assert experiment.id == out.strip()
    assert read(experiment).id == out.strip()


def test_processes_that_start_a_run_at_once_agree_on_its_id(tmp_path: Path) -> None:
    """Also before one of them has written anything."""
    script = """
while not (root / "go").exists():
    time.sleep(0.001)
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
experiment.run.start()
print(experiment.id, experiment.run.open_buffer.first)
"""
    path = tmp_path / "script.py"
    path.write_text(PREAMBLE + script)
    root = tmp_path / "dash"
    processes = [
        subprocess.Popen([sys.executable, path, root], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    root.mkdir()
    (root / "go").touch()
    told = [process.communicate(timeout=60)[0].split() for process in processes]
    assert len({identity for identity, _ in told}) == 1
    assert [first for _, first in told].count("True") == 1
    assert open_run("p/e", root=root).id == told[0][0]


def test_threads_that_start_a_run_at_once_start_it_once(make: Callable[..., Experiment]) -> None:
    """One session, and handles that all share."""
    experiment = make()
    gate = threading.Barrier(8)
    handles = set()

    def work() -> None:
        gate.wait()
        experiment.run.start()
        handles.add(experiment.metrics)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 1
    experiment.run.complete()
    assert len(read(experiment).sessions) == 1


# -- before and after ----------------------------------------------------------------------------

USES = {
    "files": lambda e: e.files("a").save_text("x", to="a.txt"),
    "log": lambda e: e.log("x"),
    "logs": lambda e: e.logs.info("x"),
    "metrics": lambda e: e.metrics("a").log(x=1),
    "params": lambda e: e.params.set(x=1),
    "track": lambda e: e.track("a").append({"x": 1}),
    "tracks": lambda e: e.tracks("a").append({"x": 1}),
    "recorder": lambda e: e.recorder().record(tracks={"a": {"x": 1}}),
    "add_tags": lambda e: e.add_tags("x"),
}


def test_every_handle_is_tried_here() -> None:
    """So that none is left out below."""
    assert set(HANDLES) <= set(USES)


@pytest.mark.parametrize("name", USES)
def test_a_handle_before_start_or_after_the_end_says_what_to_do(
    make: Callable[..., Experiment], name: str
) -> None:
    """A RuntimeError that names the handle and the call that helps."""
    experiment = make()
    with pytest.raises(RuntimeError, match=rf"experiment\.{name} was used before .*with experi"):
        USES[name](experiment)
    with experiment.run:
        USES[name](experiment)
        tags = experiment.tags
    with pytest.raises(RuntimeError, match=rf"experiment\.{name} was used after .*run\.start"):
        USES[name](experiment)
    assert experiment.tags == tags
    assert issubclass(NotStartedError, RuntimeError)
    assert issubclass(ClosedError, RuntimeError)


HELD = {
    "files": lambda e: functools.partial(e.files("a").save_text, "x", to="a.txt"),
    "file": lambda e: functools.partial(e.files("a").save_file, __file__),
    "log": lambda e: functools.partial(e.log, "x"),
    "logs": lambda e: functools.partial(e.logs.info, "x"),
    "metric": lambda e: functools.partial(e.metrics("a").log, x=1),
    "metrics": lambda e: functools.partial(e.metrics.log, a={"x": 1}),
    "params": lambda e: functools.partial(e.params.set, x=1),
    "track": lambda e: functools.partial(e.track("a").append, {"x": 1}),
    "explicit": lambda e: functools.partial(e.track("a").append, {"x": 1}, timestamp=1.0),
    "recorder": lambda e: functools.partial(e.recorder().record, tracks={"a": {"x": 1}}),
    "frames": lambda e: functools.partial(
        e.recorder(format="png").record, frames={"a": __import__("numpy").zeros((2, 2), "u1")}
    ),
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_a_handle_that_is_held_over_the_end_refuses(
    make: Callable[..., Experiment], name: str, used: bool
) -> None:
    """What it is given would go nowhere: a RuntimeError that says how to go on."""
    experiment = make()
    with experiment.run:
        call = HELD[name](experiment)
        if used:
            call()
    before = sorted(experiment.folder.rglob("*")) if experiment.folder else []
    with pytest.raises(RuntimeError, match=r"run has ended.*experiment\.run\.start\(\)"):
        call()
    assert sorted(experiment.folder.rglob("*")) == before  # type: ignore[union-attr]


def test_an_attribute_that_does_not_exist_is_none_of_ours(make: Callable[..., Experiment]) -> None:
    """Typing errors are AttributeErrors, not RuntimeErrors."""
    with pytest.raises(AttributeError, match="'Experiment' object has no attribute 'trakc'"):
        _ = make().trakc
    assert not hasattr(make(), "_repr_html_")


# -- the disk at start ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/1/nothing", "/dev/null/x"])
def test_a_root_that_cannot_be_written_is_told_at_start(tmp_path: Path, place: str) -> None:
    """An OSError with the folder's name, its reason and what to choose instead; nothing runs."""
    if place.startswith("/") and not Path("/proc/1").exists():
        pytest.skip("needs /proc")
    (tmp_path / "file").write_text("mine")
    experiment = Experiment("p/e", dash_root=tmp_path / place, **QUIET)
    with pytest.raises(OSError, match=r"cannot be written.*dash_root=.*ML_DASH_ROOT") as caught:
        experiment.run.start()
    assert str(experiment.folder) in str(caught.value)
    assert caught.value.errno
    assert experiment.run.status == "NOT STARTED"
    with pytest.raises(NotStartedError):
        experiment.log("x")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_read_only_root_is_told_at_start(tmp_path: Path) -> None:
    """By the system's own kind of error."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="dash_root="):
        Experiment("p/e", dash_root=tmp_path, **QUIET).run.start()
    tmp_path.chmod(0o700)


def test_a_start_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    """As soon as the reason is gone, with the same experiment."""
    (tmp_path / "root").write_text("in the way")
    experiment = Experiment("p/e", dash_root=tmp_path / "root", **QUIET)
    with pytest.raises(OSError, match="cannot be written"), experiment.run:
        pytest.fail("it started")
    (tmp_path / "root").unlink()
    with experiment.run:
        experiment.track("a").append({"step": 0})
    assert read(experiment).status == "COMPLETED"


def test_a_run_stays_where_it_began(
    make: Callable[..., Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its folder goes on recording in the same place."""
    monkeypatch.chdir(tmp_path)
    experiment = make(dash_root="runs")
    (tmp_path / "elsewhere").mkdir()
    with experiment.run:
        monkeypatch.chdir(tmp_path / "elsewhere")
        experiment.track("a").append({"step": 0})
    assert (tmp_path / "runs/p/e/run.json").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


# -- decorators ----------------------------------------------------------------------------------


def taking(experiment: Any) -> Any:
    return experiment


def first(exp: Any, lr: float = 0.1) -> Any:
    return exp, lr


def between(lr: float, experiment: Any, steps: int = 1) -> Any:
    return lr, experiment, steps


def only_named(lr: float, *, experiment: Any) -> Any:
    return lr, experiment


def nothing() -> Any:
    return "nothing"


def own(lr: float) -> Any:
    return lr


def all_of(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def leading(*args: Any) -> Any:
    return args


def before(experiment: Any, lr: float) -> Any:
    return experiment, lr


def strictly(experiment: Any, lr: float, /) -> Any:
    return experiment, lr


class Trainer:
    def train(self, experiment: Any, lr: float = 0.1) -> Any:
        return self, experiment, lr

    def other(self, exp: Any) -> Any:
        return self, exp

    def alone(self) -> Any:
        return self


E = object()
"""Stands for the experiment in what is expected."""
T = Trainer()


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (taking, (), {}, E),
        (taking, (), {"experiment": "mine"}, "mine"),
        (taking, ("mine",), {}, "mine"),
        (first, (), {}, (E, 0.1)),
        (first, (0.5,), {}, (E, 0.5)),
        (first, (), {"lr": 0.5}, (E, 0.5)),
        (before, (0.5,), {}, (E, 0.5)),
        (before, (), {"lr": 0.5}, (E, 0.5)),
        (before, ("mine", 0.5), {}, ("mine", 0.5)),
        (strictly, (0.5,), {}, (E, 0.5)),
        (between, (0.5,), {}, (0.5, E, 1)),
        (between, (0.5, 7), {}, (0.5, E, 7)),
        (between, (), {"lr": 0.5, "steps": 7}, (0.5, E, 7)),
        (only_named, (0.5,), {}, (0.5, E)),
        (nothing, (), {}, "nothing"),
        (own, (0.5,), {}, 0.5),
        (own, (), {"lr": 0.5}, 0.5),
        (all_of, (1,), {"a": 2}, ((1,), {"a": 2, "experiment": E})),
        (leading, (1, 2), {}, (E, 1, 2)),
        (Trainer.train, (T,), {}, (T, E, 0.1)),
        (Trainer.train, (T, 0.5), {}, (T, E, 0.5)),
        (Trainer.other, (T,), {}, (T, E)),
        (Trainer.alone, (T,), {}, T),
    ],
)
def test_a_decorated_function_is_given_the_experiment(
    make: Callable[..., Experiment], function: Any, args: Any, kwargs: Any, expected: Any
) -> None:
    """As `experiment`, else as its first argument, where it takes one; its result is given back."""
    experiment = make()

    def filled(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(map(filled, value))
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return experiment if value is E else value

    decorated = experiment.run(function)
    assert decorated(*args, **kwargs) == filled(expected)
    assert decorated.__name__ == function.__name__
    assert experiment.run.status == "COMPLETED"


def test_each_call_of_a_decorated_function_is_a_session(make: Callable[..., Experiment]) -> None:
    """An exception goes through, and fails the run; calls inside of calls are one."""
    experiment = make()

    @experiment.run
    def train(experiment: Experiment, depth: int) -> None:
        experiment.track("a").append({"step": depth})
        if depth:
            train(depth - 1)  # type: ignore[call-arg, arg-type]
            experiment.log("still running")
        else:
            raise CauseError

    for _ in range(2):
        with pytest.raises(CauseError):
            train(2)  # type: ignore[call-arg, arg-type]
    run = read(experiment)
    assert (run.status, len(run.sessions)) == ("FAILED", 2)
    assert run.tracks["a"]["step"].tolist() == [2, 1, 0, 2, 1, 0]


def test_a_decorated_coroutine_records_until_it_is_done(make: Callable[..., Experiment]) -> None:
    """Not only until it is made."""
    experiment = make()

    @experiment.run
    async def train(experiment: Experiment) -> int:
        await asyncio.sleep(0)
        experiment.track("a").append({"step": 0})
        return 5

    assert inspect.iscoroutinefunction(train)
    assert asyncio.run(train()) == 5
    assert read(experiment).tracks["a"]["step"].tolist() == [0]
    assert experiment.run.status == "COMPLETED"


def test_a_generator_cannot_be_decorated(make: Callable[..., Experiment]) -> None:
    """Its run would be over before its first value; the error says what to write."""

    def values() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"values is a generator.*with experiment\.run"):
        make().run(values)


def test_the_decorator_makes_an_experiment_for_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the arguments of `Experiment`; without a prefix each call has a run of its own."""
    monkeypatch.setattr(sys, "argv", ["fit.py"])

    @ml_dash_experiment("p/e", dash_root=tmp_path, tags=["t"], **QUIET)
    def train(experiment: Experiment, step: int) -> str:
        """Trains."""
        experiment.track("a").append({"step": step})
        return experiment.prefix

    assert list(tmp_path.iterdir()) == []
    assert [train(0), train(step=1)] == ["p/e", "p/e"]  # type: ignore[call-arg, arg-type]
    assert (train.__name__, train.__doc__) == ("train", "Trains.")
    run = open_run("p/e", root=tmp_path)
    assert (run.tags, run.status) == (["t"], "COMPLETED")
    assert run.tracks["a"]["step"].tolist() == [0, 1]

    @ml_dash_experiment(project="q", dash_root=tmp_path, **QUIET)
    def fit(experiment: Experiment) -> str:
        return experiment.prefix

    one, two = fit(), fit()  # type: ignore[call-arg]
    assert one != two
    assert one.startswith("q/fit-")


def test_a_wrong_argument_of_the_decorator_is_told_where_it_is_written() -> None:
    """Not when the function is first called, hours later."""
    with pytest.raises(ValueError, match="prefix"):
        ml_dash_experiment("..")(nothing)
    with pytest.raises(TypeError, match="colour"):
        ml_dash_experiment("p/e", colour="red")(nothing)
    with pytest.raises(TypeError, match=r'write `@ml_dash_experiment\("project/name"\)`'):
        ml_dash_experiment(nothing)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write `@experiment\.run`, without parentheses"):
        Experiment("p/e").run()


# -- dxp -----------------------------------------------------------------------------------------


def test_importing_dxp_touches_neither_disk_nor_network(tmp_path: Path) -> None:
    """Not even the configuration file, nor a wrong variable: these count when it is first used."""
    script = f"""
import builtins, io, os, sys
sys.path.insert(0, {str(Path(ml_dash.__file__).parents[1])!r})
import ml_dash, orjson
watched = []
sys.addaudithook(lambda event, args: watched.append((event, args)))
from ml_dash.auto_start import dxp
mine = [
    (event, args) for event, args in watched
    if event.startswith(("socket", "os.mkdir", "os.rename", "urllib"))
    or (event == "open" and ".py" not in str(args[0]) and "__pycache__" not in str(args[0]))
]
assert not mine, mine
assert "socket" not in sys.modules and "requests" not in sys.modules
assert os.listdir() == []
"""
    environ = {**os.environ, "ML_DASH_ECHO": "loud", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environ, check=True)
    assert list(tmp_path.iterdir()) == []


def test_dxp_starts_by_itself_and_ends_with_the_process(tmp_path: Path) -> None:
    """Under the script's name and the time, in the folder that the environment says."""
    script = """
from ml_dash.auto_start import dxp
os.environ["ML_DASH_ROOT"] = str(root)  # also when it is set after the import
dxp.track("a").append({"step": 0})
dxp.params.set(lr=1)
dxp.recorder().record(1, tracks={"a": {}})
dxp.add_tags("quick")
assert dxp.run.status == "RUNNING"
print(dxp.prefix, flush=True)
"""
    code, out, err = run(tmp_path, script)
    assert code == 0, err
    view = open_run(out.strip(), root=tmp_path / "dash")
    assert view.prefix.startswith("script-20")
    assert view.status == "COMPLETED"
    assert view.tags == ["quick"]
    assert view.tracks["a"]["step"].tolist() == [0, 1]


def automatic(folder: Path) -> AutoExperiment:
    return AutoExperiment(prefix="p/e", dash_root=folder, **QUIET)


@pytest.mark.parametrize("name", USES)
def test_any_handle_of_an_automatic_experiment_starts_it(tmp_path: Path, name: str) -> None:
    """Looking at it does not; and once ended it stays so."""
    experiment = automatic(tmp_path)
    assert experiment.prefix == "p/e"
    assert "NOT STARTED" in repr(experiment)
    assert list(tmp_path.iterdir()) == []
    USES[name](experiment)
    assert experiment.run.status == "RUNNING"
    experiment.run.complete()
    with pytest.raises(ClosedError, match=r"run\.start\(\)"):
        USES[name](experiment)


def test_an_automatic_experiment_may_be_used_as_any_other(tmp_path: Path) -> None:
    """By `with`, and started by hand."""
    experiment = automatic(tmp_path)
    with experiment.run as entered:
        assert entered is experiment
        experiment.track("a").append({"step": 0})
    assert read(experiment).status == "COMPLETED"
    with pytest.raises(AttributeError, match="trakc"):
        _ = experiment.trakc


def test_threads_start_an_automatic_experiment_once(tmp_path: Path) -> None:
    """None of them finds it half made."""
    for number in range(10):
        experiment = automatic(tmp_path / str(number))
        gate = threading.Barrier(4)
        failures: list[BaseException] = []

        def work(experiment: Any = experiment, gate: Any = gate, into: Any = failures) -> None:
            gate.wait()
            try:
                experiment.track("a").append({"x": 1})
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                into.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        experiment.run.complete()
        view = read(experiment)
        assert len(view.sessions) == 1
        assert len(view.tracks["a"]) == 4


# -- modes ---------------------------------------------------------------------------------------


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, None),
        ({"dash_url": False}, "https://dash.example"),
        ({"dash_root": "given"}, "https://dash.example"),
        ({"dash_root": "given", "dash_url": False}, "https://dash.example"),
    ],
)
def test_a_run_is_local_where_no_server_is_wanted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    url: str | None,
) -> None:
    """Nothing is sent, and nothing said of a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    if url is not None:
        monkeypatch.setenv("ML_DASH_URL", url)
    with Experiment("p/e", **QUIET, **options).run as experiment:
        experiment.track("a").append({"x": 1})
        assert experiment.run.replicator is None
        assert experiment.flush().replicated is None
    assert experiment.folder == tmp_path / options.get("dash_root", ".dash") / "p/e"
    assert read(experiment).status == "COMPLETED"
    assert warnings_of(caplog) == []


def test_a_run_may_be_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests: nothing is on disk, everything else is the same."""
    monkeypatch.chdir(tmp_path)
    backend = MemoryBackend()
    for step in range(2):
        with Experiment("p/e", backend=backend, tags=["t"], **QUIET).run as experiment:
            experiment.track("a").append({"step": step})
            experiment.files("b").save_text("x", to="c.txt")
        assert experiment.folder is None
    view = ml_dash.reading.RunView(backend)
    assert (view.status, view.tags, view.id) == ("COMPLETED", ["t"], experiment.id)
    assert view.tracks["a"]["step"].tolist() == [0, 1]
    assert list(tmp_path.iterdir()) == []


def test_of_threads_that_start_a_run_in_memory_at_once_one_is_its_first() -> None:
    """They share its id, and frames without given names never take each other's."""
    backend = MemoryBackend()
    experiments = [Experiment("p/e", backend=backend, **QUIET) for _ in range(4)]
    barrier = threading.Barrier(len(experiments))

    def record(experiment: Experiment) -> None:
        barrier.wait()
        experiment.run.start()
        recorder = experiment.recorder()
        for step in range(5):
            recorder.record(step, frames={"cam": np.zeros((4, 4), np.uint8)})

    threads = [threading.Thread(target=record, args=(e,)) for e in experiments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({experiment.id for experiment in experiments}) == 1
    assert [e.run.buffer.first for e in experiments].count(True) == 1
    for experiment in experiments:
        experiment.run.complete()
    assert len(ml_dash.reading.RunView(backend).files) == 20


# -- surroundings --------------------------------------------------------------------------------


def test_the_environment_is_recorded_and_can_be_switched_off(
    make: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host, command line, versions and git; of the environment's variables nothing."""
    monkeypatch.setenv("MY_SECRET_VARIABLE", "sesame-open")
    with make("on", environment=True).run as on:
        pass
    with make("off").run as off:
        pass
    found = read(on).sessions[0].environment
    assert {"host", "command", "cwd", "python", "packages", "os", "cpus"} <= set(found)
    assert found["packages"]["orjson"]
    assert read(off).sessions[0].environment == {}
    for experiment in (on, off):
        assert read(experiment).sessions[0].host
        assert read(experiment).sessions[0].pid == os.getpid()
        for path in experiment.folder.rglob("*"):  # type: ignore[union-attr]
            if path.is_file():
                data = path.read_bytes()
                assert b"sesame-open" not in data
                assert b"MY_SECRET_VARIABLE" not in data


def test_looking_round_does_not_hold_up_the_start(
    make: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git may take its time: rows are recorded meanwhile, and the answer is kept all the same."""
    asked, answer = threading.Event(), threading.Event()

    def slow() -> dict[str, Any]:
        asked.set()
        assert answer.wait(30)
        return {"host": "slow"}

    monkeypatch.setattr("ml_dash.run_rows.capture", slow)
    experiment = make(environment=True)
    with experiment.run:
        experiment.track("a").append({"x": 1})
        assert asked.wait(30)
        assert not answer.is_set()
        answer.set()
    assert read(experiment).sessions[0].environment == {"host": "slow"}


def test_what_looking_round_raises_harms_nothing(
    make: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on without it."""

    def broken() -> dict[str, Any]:
        raise RuntimeError("no git today")

    monkeypatch.setattr("ml_dash.run_rows.capture", broken)
    with make(environment=True).run as experiment:
        experiment.track("a").append({"x": 1})
    assert read(experiment).status == "COMPLETED"


# -- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "taken", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_copies_of_a_running_experiment_are_itself(
    make: Callable[..., Experiment], taken: Callable[[Any], Any]
) -> None:
    """In one process there is one run, however it is handed round."""
    with make().run as experiment:
        assert taken(experiment) is experiment
        assert taken({"logger": [experiment]})["logger"][0] is experiment
    assert len(read(experiment).sessions) == 1


@pytest.mark.parametrize(
    "taken", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_copies_of_handles_write_into_the_same_run(
    make: Callable[..., Experiment], taken: Callable[[Any], Any]
) -> None:
    """Handles of every kind, and a recorder."""
    with make().run as experiment:
        taken(experiment.track("a")).append({"x": 1})
        taken(experiment.track)("a").append({"x": 2})
        taken(experiment.metrics("m")).log(x=1)
        taken(experiment.metrics)("m").log(x=2)
        taken(experiment.log)("hello")
        taken(experiment.params).set(lr=1)
        taken(experiment.files("f")).save_text("x", to="a.txt")
        taken(experiment.recorder()).record(3, tracks={"a": {"x": 3}})
    view = read(experiment)
    assert view.tracks["a"]["x"].tolist() == [1, 2, 3]
    assert view.metrics["m"]["x"].tolist() == [1, 2]
    assert view.params.flat == {"lr": 1}
    assert len(list(view.logs)) == 1
    assert view.files.read_text("f/a.txt") == "x"
    assert len(view.sessions) == 1


def test_a_pickled_experiment_records_where_it_was_made_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that has another working directory, and on the server that was given."""
    monkeypatch.chdir(tmp_path)
    url = "http://127.0.0.1:9"
    made = Experiment("p/Upper/e", dash_root="runs", dash_url=url, echo=False, environment=False)
    local = Experiment("p/e", dash_root="runs", dash_url=False, echo=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    monkeypatch.setenv("ML_DASH_URL", "http://other.invalid")
    again = pickle.loads(pickle.dumps(made))
    assert again.folder == made.folder == tmp_path / "runs/p/Upper/e"
    assert again.settings.url == url
    assert pickle.loads(pickle.dumps(local)).settings.url is None


def test_a_pickled_experiment_that_does_not_run_is_made_anew(
    make: Callable[..., Experiment], tmp_path: Path
) -> None:
    """With the same key, details and settings, and not started."""
    experiment = make(description="d", tags=["t"], bindrs=["b"], metadata={"n": 1})
    for _ in range(2):
        again = pickle.loads(pickle.dumps(experiment))
        assert again is not experiment
        assert (again.prefix, again.folder) == (experiment.prefix, experiment.folder)
        assert (again.description, again.tags, again.bindrs) == ("d", ["t"], ["b"])
        assert again.metadata == {"n": 1}
        assert again.settings == experiment.settings
        assert again.run.status == "NOT STARTED"
        with experiment.run:
            pass
    automatic_ = pickle.loads(pickle.dumps(automatic(tmp_path)))
    assert type(automatic_) is AutoExperiment
    automatic_.log("it starts by itself")
    automatic_.run.complete()


def test_copies_of_a_run_in_memory_stay_in_this_process() -> None:
    """A deep copy of what holds it goes on recording; another process cannot."""
    with Experiment("p/e", backend=MemoryBackend(), **QUIET).run as experiment:
        assert copy.deepcopy(experiment) is experiment
        copy.deepcopy(experiment.track("a")).append({"x": 1})
        assert experiment.track("a").read()["count"] == 1
        with pytest.raises(TypeError, match="in memory"):
            pickle.dumps(experiment)
        with pytest.raises(TypeError, match="in memory"):
            pickle.loads(pickle.dumps(experiment.track("a")))


# -- children ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED"])
def test_what_is_added_to_a_run_may_leave_its_status(
    make: Callable[..., Experiment], end: str
) -> None:
    """However that ends. The next one that does not say so decides again."""
    experiment = make()
    experiment.run.start()
    experiment.run.fail("the arm fell off")
    experiment.run.start(decides=False).track("later").append({"x": 1}, step=0)
    experiment.run.end(end, "no screen")
    run = read(experiment)
    assert (run.status, run.error) == ("FAILED", "the arm fell off")
    assert len(run.tracks["later"]) == 1
    with experiment.run:
        pass
    assert read(experiment).status == "COMPLETED"


def test_a_forked_child_never_decides_the_status(tmp_path: Path) -> None:
    """Not by ending the run, nor by starting it anew and failing."""
    script = """
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
experiment.run.start()
child = os.fork()
if child == 0:
    experiment.track("a").append({"step": 0})
    experiment.run.fail("the child's own")
    experiment.run.start()
    experiment.track("a").append({"step": 1})
    experiment.run.fail("again")
    for _ in range(2):
        with experiment.run:
            experiment.track("a").append({"step": 2})
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert experiment.run.status == "RUNNING"
experiment.run.complete()
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    view = open_run("p/e", root=tmp_path / "dash")
    assert view.status == "COMPLETED"
    assert view.error is None
    assert view.tracks["a"]["step"].tolist() == [0, 1, 2, 2]
    assert [session.root for session in view.sessions].count(True) == 1


def test_a_handle_of_a_child_that_ended_its_run_refuses(tmp_path: Path) -> None:
    """Also when the child had recorded nothing before."""
    script = """
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
with experiment.run:
    track = experiment.track("a")
    child = os.fork()
    if child == 0:
        experiment.run.complete()
        try:
            track.append({"x": 1})
        except RuntimeError as error:
            os._exit(0 if "has ended" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    assert len(open_run("p/e", root=tmp_path / "dash").sessions) == 1


def test_a_session_that_is_gone_without_a_word_reads_as_interrupted(tmp_path: Path) -> None:
    """While it is there it is RUNNING; the next one decides anew."""
    script = """
experiment = Experiment("p/e", dash_root=root, echo=False, environment=False)
experiment.run.start()
experiment.flush()
print("up", flush=True)
time.sleep(60)
"""
    path = tmp_path / "script.py"
    path.write_text(PREAMBLE + script)
    command = [sys.executable, str(path), str(tmp_path / "dash")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert open_run("p/e", root=tmp_path / "dash").status == "RUNNING"
        process.kill()
    wait_until(lambda: open_run("p/e", root=tmp_path / "dash").status == "INTERRUPTED")
    with Experiment("p/e", dash_root=tmp_path / "dash", **QUIET).run as experiment:
        pass
    assert read(experiment).status == "COMPLETED"
    assert [session.status for session in read(experiment).sessions] == [
        "INTERRUPTED",
        "COMPLETED",
    ]


def test_a_run_is_found_as_soon_as_it_has_started(tmp_path: Path) -> None:
    """Whoever opens a run right after its start sees its session."""
    experiment = Experiment("e", dash_root=tmp_path, echo=False, environment=False)
    with experiment.run:
        assert [session.status for session in open_run("e", tmp_path).sessions] == ["RUNNING"]
