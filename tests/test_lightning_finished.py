"""Runs whose fits went well: they may go on, do not pile up, and are nobody else's failure."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from lightning_parts import SETUP, all_statuses
from scripts import finish, start

from ml_dash import Experiment, open_run
from ml_dash_lightning import MLDashLogger, finished

CRASHES = {
    "the next fold": "fit(two, burst)",
    "a fit without a logger": "fit(False, burst)",
    "after the next one": "fit(two); burst()",
    "after the only fit": "burst()",
    "after a fit with both": "fit([one, two]); burst()",
    "within what goes on": "fit(two); one.log_metrics({'a': 1}); fit(False, burst)",
}
SCRIPT = (
    SETUP
    + """
def burst(module=None, index=0):
    raise RuntimeError("burst")
def fit(logger, on_step=None):
    trainer(pl, logger, epochs=1, enable_checkpointing=False).fit(model(pl, on_step), data())
for number, crash in enumerate(sys.argv[2:]):  # each in a process, with one import for all
    if not os.fork():
        one, two = (MLDashLogger(root, name=f"case{number}", version=each) for each in (1, 2))
        fit(one)
        exec(crash)
        raise SystemExit("it should have burst")
    _, status = os.wait()
    print(os.waitstatus_to_exitcode(status))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="each case is forked")
def test_what_crashes_fails_its_own_run_only(tmp_path: Path) -> None:
    """A run whose fit went well is FAILED by nothing but what comes after it as its own."""
    process = start(tmp_path, SCRIPT, *CRASHES.values())
    code, out, err = finish(process, timeout=180)  # a fit for each
    assert code == 0 and out.split() == ["1"] * len(CRASHES), err
    assert err.count("RuntimeError: burst") == len(CRASHES)
    found = all_statuses(tmp_path)
    statuses = {
        name: [found[key] for key in sorted(found) if key.startswith(f"case{number}/")]
        for number, name in enumerate(CRASHES)
    }
    assert statuses == {
        "the next fold": ["COMPLETED", "FAILED"],
        "a fit without a logger": ["COMPLETED"],
        "after the next one": ["COMPLETED", "FAILED"],
        "after the only fit": ["FAILED"],
        "after a fit with both": ["FAILED", "FAILED"],
        "within what goes on": ["FAILED", "COMPLETED"],
    }


@pytest.fixture
def two_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two finished runs stay open, and those of other tests are none of them."""
    monkeypatch.setattr(finished, "MOST", 2)
    monkeypatch.setattr(finished, "_finished", {})


def trial(tmp_path: Path, version: int, **options: Any) -> MLDashLogger:
    """A logger whose fit went well."""
    one = MLDashLogger(tmp_path, name="trial", version=version, environment=False, **options)
    one.log_metrics({"trial": version}, step=0)
    one.finalize("success")
    return one


@pytest.mark.usefixtures("two_open")
def test_of_many_finished_runs_the_last_stay_open(tmp_path: Path) -> None:
    """Those before them are completed, with their threads and buffer files."""
    before = threading.active_count()
    trials = [trial(tmp_path, version) for version in range(5)]
    assert [open_run(one.log_dir).status for one in trials] == ["COMPLETED"] * 3 + ["RUNNING"] * 2
    assert threading.active_count() <= before + 2 * 2
    assert len(list(tmp_path.rglob("*.ring"))) == 2
    for one in trials[3:]:
        one.experiment.run.complete()


@pytest.mark.usefixtures("two_open")
def test_a_run_that_was_completed_for_others_goes_on(tmp_path: Path) -> None:
    """A test of the first model after all fits is in the first run, and that is open again."""
    first, *others = (trial(tmp_path, version) for version in range(3))
    assert open_run(first.log_dir).status == "COMPLETED"
    first.log_metrics({"trial": -1}, step=1)
    assert first.failures == {}
    assert open_run(first.log_dir).status == "RUNNING"
    for one in (first, *others):
        one.experiment.run.complete()
    assert open_run(first.log_dir).metrics["lightning"]["trial"].tolist() == [0, -1]


@pytest.mark.usefixtures("two_open")
def test_a_run_in_use_is_not_among_the_finished(tmp_path: Path) -> None:
    """One that is recorded into after its fit stays open, however many finish after it."""
    first = trial(tmp_path, 0)
    track = first.experiment.track("after")
    others = [trial(tmp_path, version) for version in range(1, 5)]
    track.append({"step": 0, "x": 1})
    for one in (first, *others):
        one.experiment.run.complete()
    assert open_run(first.log_dir).tracks["after"]["x"].tolist() == [1]


@pytest.mark.usefixtures("two_open")
def test_a_run_of_somebody_else_is_never_ended_for_others(tmp_path: Path) -> None:
    """One that had been started by the user is the user's to end."""
    with Experiment("p/mine", dash_root=tmp_path, environment=False).run as experiment:
        ours = MLDashLogger(experiment=experiment)
        ours.log_metrics({"a": 1}, step=0)
        ours.finalize("success")
        others = [trial(tmp_path, version) for version in range(4)]
        assert experiment.run.status == "RUNNING"
    for one in others:
        one.experiment.run.complete()
