"""`MLDashLogger` in a trainer: nothing dropped, nothing changed, one run, ended as it ended."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_parts import PACKAGES, data, model, package, tape, trainer

from ml_dash import Experiment, MemoryBackend, list_runs, open_run
from ml_dash.metrics.metric import Metric
from ml_dash_lightning import MLDashLogger
from ml_dash_lightning.base import rank_zero_only
from ml_dash_lightning.checkpoints import Checkpoints
from ml_dash_lightning.logger import LAST_FLUSH

pytestmark = [
    # The framework's advice on workers, devices and its own deprecations is not our affair.
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]


def logger(tmp_path: Path, **options: Any) -> MLDashLogger:
    """A logger that records into the test's folder."""
    given = {"save_dir": tmp_path / "dash", "name": "fit", "environment": False, **options}
    return MLDashLogger(**given)


def end(one: MLDashLogger) -> Any:
    """End the run as the process would, and open it."""
    experiment = one.experiment
    experiment.run.complete()
    return open_run(experiment.folder)


def rows(run: Any, name: str = "lightning") -> list[tuple[Any, dict[str, Any]]]:
    """The rows of a metric in order: the step, and the values."""
    found = []
    for row in run.metrics[name].rows():
        row.pop("timestamp")
        found.append((row.pop("step"), row))
    return found


# -- in a trainer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGES)
def test_a_fit_is_recorded_row_by_row(tmp_path: Path, name: str) -> None:
    """Every call of the trainer, in its order, with its step; of either package."""
    pl = package(name)
    ours, told = logger(tmp_path), tape(pl)
    monitor = pl.callbacks.LearningRateMonitor()
    fit = trainer(pl, [ours, told], callbacks=[monitor])
    module = model(pl)
    fit.fit(module, data(), data())
    fit.test(module, data(), verbose=False)
    run = end(ours)
    assert rows(run) == told.rows
    assert len(told.rows) > 20
    assert any("lr-SGD" in row for _, row in told.rows)
    assert run.params["lr"] == 0.1
    assert "relu" in run.params["activation"]
    assert run.files.read_text("model.txt").startswith("Model(")
    assert ours.failures == {}


@pytest.mark.parametrize("name", PACKAGES)
def test_it_is_a_logger_of_both_packages(tmp_path: Path, name: str) -> None:
    """Also of the one whose class it does not extend, and of Fabric."""
    ours = logger(tmp_path)
    assert isinstance(ours, package(name).loggers.Logger)
    fabric = "lightning.fabric" if name.startswith("lightning.") else "lightning_fabric"
    assert isinstance(ours, package(f"{fabric}.loggers").Logger)


@pytest.mark.parametrize("fabric", ["lightning.fabric", "lightning_fabric"])
def test_fabric_counts_steps_by_itself(tmp_path: Path, fabric: str) -> None:
    """`log_dict` without a step gives each call the next one; nobody finalizes, nothing is lost."""
    ours = logger(tmp_path)
    run = package(fabric).Fabric(accelerator="cpu", loggers=ours)
    for value in range(3):
        run.log("loss", torch.tensor(float(value)))
    run.log_dict({"loss": 9.0}, step=10)
    run.log_dict({"loss": 10.0})
    assert rows(end(ours)) == [
        *((step, {"loss": float(step)}) for step in range(3)),
        (10, {"loss": 9.0}),
        (11, {"loss": 10.0}),
    ]


def test_training_is_the_same_with_and_without_it(tmp_path: Path) -> None:
    """The same losses and weights to the last bit."""
    pl = package()
    weights = []
    for one in (False, logger(tmp_path)):
        torch.manual_seed(1)
        module = model(pl)
        fit = trainer(pl, one, default_root_dir=tmp_path, enable_checkpointing=False)
        if one:
            one.watch(module, log="all", log_freq=1)
        fit.fit(module, data(), data())
        weights.append(module.layer.weight.detach().clone())
    assert torch.equal(*weights)


def test_several_fits_and_tests_are_one_run(tmp_path: Path) -> None:
    """`finalize("success")` is no end: the second fit, with steps from 0, goes on in the run."""
    pl = package()
    ours, told = logger(tmp_path), tape(pl)
    for _ in range(2):
        module = model(pl)
        fit = trainer(pl, [ours, told], epochs=1)
        fit.fit(module, data(), data())
        fit.validate(module, data(), verbose=False)
        assert ours.experiment.run.status == "RUNNING"
    run = end(ours)
    assert rows(run) == told.rows
    assert len(list(list_runs(tmp_path / "dash"))) == len(run.sessions) == 1


def test_workers_that_hold_the_logger_record_nothing_of_their_own(tmp_path: Path) -> None:
    """Forked workers of a DataLoader, with a model that refers to the logger."""
    pl = package()
    ours, told = logger(tmp_path), tape(pl)
    fit = trainer(pl, [ours, told], epochs=1)
    fit.fit(model(pl), data(2, multiprocessing_context="fork"))
    run = end(ours)
    assert rows(run) == told.rows
    assert [session.status for session in run.sessions] == ["COMPLETED"]


# -- metrics ---------------------------------------------------------------------------------------


def test_whatever_the_step_does_every_row_is_kept(tmp_path: Path) -> None:
    """Repeats, restarts, going back, numpy and tensor steps, none, a fraction."""
    ours = logger(tmp_path)
    steps = [5, 5, 0, 3, -1, np.int64(7), torch.tensor(8), 9.0, None, 2.5]
    for index, step in enumerate(steps):
        ours.log_metrics(metrics={"index": index}, step=step)
    found = rows(end(ours))
    assert [row["index"] for _, row in found] == list(range(10))
    assert [step for step, _ in found] == [5, 5, 0, 3, -1, 7, 8, 9, 10, 11]
    assert found[-1][1]["metric/step"] == 2.5


def test_metrics_of_every_kind_are_kept(tmp_path: Path) -> None:
    """Numbers, NaN, text, tensors, mappings, odd names, and what has no form at all."""
    ours = logger(tmp_path)
    values = {
        "nan": math.nan,
        "inf": torch.tensor(math.inf),
        "half": torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True),
        "vector": torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        "numpy": np.float32(0.25),
        "flag": True,
        "text": "warm-up",
        "none": None,
        "nested": {"a": torch.tensor(3), "_b": 4},
        "step": 17,
        "timestamp": "noon",
        "_private": 1,
        3: "three",
        "3": "text three",
        "odd": object(),
        "": 0,
    }
    ours.log_metrics(values, step=4)
    ((step, row),) = rows(end(ours))
    assert ours.failures == {}
    assert step == 4
    assert math.isnan(row["nan"]) and row["inf"] == math.inf
    expected = {
        "half": 0.5,
        "vector": [1.0, 2.0],
        "numpy": 0.25,
        "flag": True,
        "text": "warm-up",
        "none": None,
        "nested/a": 3,
        "nested/metric/_b": 4,
        "metric/step": 17,
        "metric/timestamp": "noon",
        "metric/_private": 1,
        "3": "three",
        "3'": "text three",
        "": 0,
    }
    assert {key: row[key] for key in expected} == expected
    assert "object" in row["odd"]


def test_no_metric_costs_another(tmp_path: Path) -> None:
    """Names that meet when flattened, tensors of any kind, steps that are none, long rows."""
    ours = logger(tmp_path)
    ours.log_metrics({"a": {"b": 1}, "a/b": 2, "empty": {}}, step=0)
    ours.log_metrics(
        {
            "sparse": torch.eye(2).to_sparse(),
            "double": torch.tensor([0.1, 0.2], dtype=torch.float64),
            "tiny": torch.ones(2).to(torch.float8_e4m3fn),
            "hollow": torch.ones(1, device="meta"),
            "good": 1,
        },
        step=torch.tensor([1, 2]),
    )
    ours.log_metrics({"good": 2}, step=2**70)
    assert ours.failures == {}
    ours.log_metrics({"long": torch.rand(2_000_000), "good": 3}, step=5)
    assert ours.failures == {"log_metrics": 1}
    found = [row for _, row in rows(end(ours))]
    assert found[0] == {"a/b": 1, "a/b'": 2, "empty": {}}
    assert found[1].pop("hollow").startswith("tensor(")
    assert found[1] == {
        "sparse": [[1, 0], [0, 1]],
        "double": [0.1, 0.2],
        "tiny": [1, 1],
        "good": 1,
        "metric/step": [1, 2],
    }
    assert found[2] == {"good": 2, "metric/step": 2**70}
    assert found[3] == {"long": "ndarray(2000000,) float32", "good": 3}


def test_metrics_are_kept_within_a_step_of_somebody_else(tmp_path: Path) -> None:
    """Where a loop counts steps of an environment: under the trainer's, or joined without any."""
    ours = logger(tmp_path)
    recorder = ours.experiment.recorder()
    with recorder.step(100):
        ours.log_metrics({"a": 1}, step=3)
        ours.log_metrics({"a": 2})
        ours.log_text("t", "joined")
        recorder.record(tracks={"env": {"x": 1}})
    assert ours.failures == {}
    run = end(ours)
    assert run.metrics["lightning"].steps.tolist() == [3, 100]
    assert run.tracks["texts/t"].steps.tolist() == [100]
    assert run.tracks["env"].steps.tolist() == [100]


def test_a_prefix_keeps_trainers_of_one_run_apart(tmp_path: Path) -> None:
    """Of two loggers on one experiment; the run is the user's, and its end is, too."""
    with Experiment("p/e", dash_root=tmp_path, environment=False).run as experiment:
        for fold in range(2):
            ours = MLDashLogger(experiment=experiment, prefix=f"fold{fold}")
            ours.log_metrics({"loss": fold}, step=0)
            ours.log_hyperparams({"lr": fold})
            ours.finalize("failed")
        assert experiment.run.status == "RUNNING"
    run = open_run(experiment.folder)
    assert [rows(run, f"fold{fold}/lightning") for fold in range(2)] == [
        [(0, {"loss": 0})],
        [(0, {"loss": 1})],
    ]
    assert run.params == {"fold0": {"lr": 0}, "fold1": {"lr": 1}}
    assert run.status == "COMPLETED"


# -- the run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["success", "failed", "finished"])
def test_a_logger_that_was_never_used_leaves_nothing(tmp_path: Path, status: str) -> None:
    """No file, no thread, whatever is asked of it."""
    before = threading.active_count()
    ours = logger(tmp_path)
    assert (ours.name, ours.save_dir) == ("fit", str(tmp_path / "dash"))
    assert ours.version == ours.version
    assert Path(ours.log_dir) == Path(ours.root_dir, ours.version)
    pickle.loads(pickle.dumps(ours)).save()
    ours.save()
    ours.finalize(status)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/../b"}, "prefix"),
        ({"name": "params"}, "params"),
        ({"version": "a b/\0"}, "prefix"),
        ({"experiment": "p/e"}, "experiment must be"),
        ({"log_model": "best"}, "log_model"),
        ({"tags": [3]}, "tags"),
        ({"save_dir": "s3://bucket/runs"}, "local folder"),
        ({"prefix": "../x"}, "prefix '../x' has the component '..'; leave it out"),
        ({"prefix": "a//b"}, "prefix 'a//b' has an empty component"),
        ({"prefix": "aux"}, "prefix 'aux' has the component 'aux', which is a device on Windows"),
        ({"prefix": 3}, "prefix is a int; give a text, such as 'teacher'"),
    ],
)
def test_a_wrong_argument_is_told_by_the_constructor(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    """And not in the middle of a fit."""
    with pytest.raises((TypeError, ValueError), match=message):
        logger(tmp_path, **options)


@pytest.mark.parametrize("prefix", ["run", "metrics/a", "/Teacher é/", "", None])
def test_a_prefix_may_be_called_as_a_folder_of_runs_is(tmp_path: Path, prefix: Any) -> None:
    """Only prefixes of runs may not: its names lie one floor below."""
    ours = logger(tmp_path, prefix=prefix)
    ours.log_metrics({"a": 1.0}, step=0)
    ours.experiment.run.complete()
    where = "/".join(filter(None, ((prefix or "").strip("/"), "lightning")))
    assert ours.failures == {}
    assert len(open_run(ours.experiment.folder).metrics[where]) == 1


def test_an_empty_version_is_none(tmp_path: Path) -> None:
    """As of a variable that is set to nothing: two such loggers have runs of their own."""
    first, second = (logger(tmp_path, version="") for _ in range(2))
    assert first.version != second.version
    assert first.name == second.name == "fit"


def test_another_rank_than_zero_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its experiment swallows every call."""
    ours = logger(tmp_path)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    ours.log_metrics({"a": 1}, step=0)
    ours.log_hyperparams({"a": 1})
    ours.log_image("a", [np.zeros((2, 2))])
    ours.experiment.track("a").append({"x": 1})
    ours.finalize("success")
    assert list(tmp_path.iterdir()) == []


def test_the_experiment_of_other_ranks_stands_in_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the framework's does, and for calls upon calls, too."""
    ours = logger(tmp_path)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    other: Any = ours.experiment
    assert isinstance(other, package().loggers.logger.DummyExperiment)
    assert other.something(foo="bar") is None
    other["a"] = 1
    other.params.set(a=1)
    other.metrics("a").log(b=1)
    with other.recorder().step(3):
        other.run.complete()


def test_a_run_is_named_when_its_logger_is_made(tmp_path: Path) -> None:
    """So that forked ranks and their parent mean the same one; two loggers never do."""
    ours, other = logger(tmp_path), logger(tmp_path)
    assert ours.version != other.version
    assert Path(ours.log_dir) == tmp_path / "dash" / "fit" / ours.version
    odd = logger(tmp_path, name="a:b", version=1)
    odd.log_metrics({"a": 1}, step=0)
    assert Path(odd.log_dir) == odd.experiment.folder
    end(odd)
    plain = MLDashLogger(experiment=Experiment("alone", dash_root=tmp_path))
    assert (plain.name, plain.version, plain.save_dir) == ("", "alone", str(tmp_path))


def test_a_version_given_again_continues_its_run(tmp_path: Path) -> None:
    """As after a requeue, or a resume from a checkpoint."""
    pl = package()
    first = logger(tmp_path, version=7)
    fit = trainer(pl, first, epochs=1)
    fit.fit(model(pl), data())
    checkpoint = fit.checkpoint_callback.best_model_path
    assert Path(checkpoint).is_relative_to(first.log_dir)
    end(first)
    second = logger(tmp_path, version="7")
    trainer(pl, second, epochs=2).fit(model(pl), data(), ckpt_path=checkpoint)
    run = end(second)
    assert run.prefix == "fit/7"
    steps = [step for step, row in rows(run) if "train/loss_step" in row]
    assert steps == list(range(16))
    assert len(run.sessions) == 2


def test_copies_record_into_the_same_run(tmp_path: Path) -> None:
    """Deep copies and pickles, before and after the run has started, and a whole trainer."""
    pl = package()
    ours = logger(tmp_path)
    early = pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)
    assert {one.version for one in early} == {ours.version}
    ours.log_metrics({"who": 0}, step=0)
    late = pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)
    whole = pickle.loads(pickle.dumps(trainer(pl, ours, enable_checkpointing=False))).logger
    for number, one in enumerate([*late, whole], 1):
        one.log_metrics({"who": number}, step=0)
        assert one.log_dir == ours.log_dir
    assert [row["who"] for _, row in rows(end(ours))] == [0, 1, 2, 3]


def test_a_failed_run_goes_on_when_more_is_logged(tmp_path: Path) -> None:
    """An exception in a fit makes it FAILED, at once, with the exception's text."""
    pl = package()
    ours = logger(tmp_path)

    def burst(module: Any, index: int) -> None:
        if index == 3:
            raise RuntimeError("burst")

    with pytest.raises(RuntimeError, match="burst"):
        trainer(pl, ours).fit(model(pl, burst), data())
    run = open_run(ours.log_dir)
    assert run.status == "FAILED"
    assert "RuntimeError: burst" in run.sessions[0].error
    trainer(pl, ours).validate(model(pl), data(), verbose=False)
    assert end(ours).status == "COMPLETED"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(0), "COMPLETED"),
        (SystemExit(3), "FAILED"),
        (KeyboardInterrupt(), "CANCELLED"),
        (package().utilities.exceptions.SIGTERMException(), "CANCELLED"),
    ],
)
def test_a_run_ends_as_its_fit(tmp_path: Path, error: BaseException, status: str) -> None:
    """By what ends it."""
    ours = logger(tmp_path)
    ours.log_metrics({"a": 1}, step=0)
    try:
        raise error
    except (KeyboardInterrupt, SystemExit):
        ours.finalize("failed")
    assert open_run(ours.log_dir).status == status


def test_a_run_fails_with_its_fit_whatever_else_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints that cannot be copied do not make it a success."""

    def full(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Checkpoints, "finish", full)
    pl = package()

    def burst(module: Any, index: int) -> None:
        raise RuntimeError("burst")

    ours = logger(tmp_path, log_model=True)
    with pytest.raises(RuntimeError, match="burst"):
        trainer(pl, ours, enable_checkpointing=False).fit(model(pl, burst), data())
    run = open_run(ours.log_dir)
    assert run.status == "FAILED" and "burst" in run.error
    assert ours.failures["finalize"] >= 1


def test_a_failure_of_ranks_elsewhere_is_told_by_their_parent(tmp_path: Path) -> None:
    """Spawned ranks cannot tell; where no rank has made a run, there is none afterwards."""
    ours = logger(tmp_path)
    rank = pickle.loads(pickle.dumps(ours))
    for made in (False, True):
        if made:
            rank.log_metrics({"a": 1}, step=0)
            end(rank)
        try:
            raise RuntimeError("a rank has failed")
        except RuntimeError:
            ours.finalize("failed")
        assert Path(ours.log_dir).exists() is made
    run = open_run(ours.log_dir)
    assert run.status == "FAILED"
    assert "a rank has failed" in run.sessions[-1].error


def test_a_job_that_is_requeued_has_its_files_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by "finished", after which SLURM may kill: that call waits, for a while at most."""
    ours = logger(tmp_path)
    ours.log_metrics({"a": 1}, step=0)
    waits: list[Any] = []
    monkeypatch.setattr(Experiment, "flush", lambda _, timeout=None: waits.append(timeout))
    ours.finalize("finished")
    assert waits == [LAST_FLUSH]
    monkeypatch.undo()
    assert ours.experiment.run.status == "RUNNING"
    end(ours)


def test_a_copy_that_is_only_carried_along_joins_nothing(tmp_path: Path) -> None:
    """Such as those in spawned workers and ranks; it does when it records."""
    ours = logger(tmp_path)
    ours.log_metrics({"a": 1}, step=0)
    code = """if True:
        import pathlib, pickle, sys, threading
        copy = pickle.load(sys.stdin.buffer)
        sessions = pathlib.Path(copy.log_dir, "run")
        assert threading.active_count() == 1
        assert len(list(sessions.glob("*.jsonl"))) == 1
        copy.log_metrics({"a": 2}, step=1)
        assert len(list(sessions.glob("*.jsonl"))) == 2
    """
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(ours), check=True, timeout=120)
    run = end(ours)
    assert [row["a"] for _, row in rows(run)] == [1, 2]
    assert run.status == "COMPLETED"


def test_nothing_that_goes_wrong_in_recording_stops_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once of each kind, and counted."""
    pl = package()
    ours = logger(tmp_path)

    def broken(*_: Any, **__: Any) -> int:
        raise OSError("the disk is on fire")

    monkeypatch.setattr(Metric, "log", broken)
    fit = trainer(pl, ours, epochs=1)
    fit.fit(model(pl), data())
    assert fit.state.finished
    assert ours.failures["log_metrics"] == 9
    assert caplog.text.count("the disk is on fire") == 1
    end(ours)


def test_save_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for no more than a flush without a wait, once a second at most."""
    ours = logger(tmp_path)
    ours.log_metrics({"a": 1}, step=0)
    waits: list[Any] = []
    monkeypatch.setattr(Experiment, "flush", lambda _, timeout=None: waits.append(timeout))
    for _ in range(100):
        ours.save()
    assert waits == [0]
    monkeypatch.undo()
    end(ours)


def test_a_save_that_fails_stops_no_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A trainer calls it after each row: what it raises is counted as anything else is."""

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is on fire")

    ours = logger(tmp_path)
    ours.log_metrics({"a": 1}, step=0)
    with monkeypatch.context() as patched:
        patched.setattr(Experiment, "flush", broken)
        ours.save()
    assert ours.failures == {"save": 1}
    assert caplog.text.count("the disk is on fire") == 1
    end(ours)


def test_a_run_in_memory_may_be_used(tmp_path: Path) -> None:
    """As in the tests of those who use the logger."""
    experiment = Experiment("p/e", backend=MemoryBackend(), environment=False)
    ours = MLDashLogger(tmp_path, experiment=experiment)
    ours.log_metrics({"a": 1}, step=0)
    assert (ours.name, ours.version, ours.save_dir) == ("p", "e", str(tmp_path))
    assert experiment.metrics("lightning").read()
    ours.experiment.run.complete()


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, "http://dash.invalid"),
        ({"save_dir": "runs"}, None),
        ({"dash_url": False}, None),
        ({"save_dir": "runs", "dash_url": "http://other.invalid"}, "http://other.invalid"),
    ],
)
def test_a_run_goes_to_the_kept_server_unless_its_folder_is_named(
    options: dict[str, Any], url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run of `Experiment` does: the default of `save_dir` names no folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_DASH_URL", "http://dash.invalid")
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "all"))
    one = MLDashLogger(name="fit", version="a", **options)
    made = one._link.experiment
    assert made.settings.url == url
    root = tmp_path / options.get("save_dir", "all")
    assert made.folder == root / "fit" / "a" == Path(one.log_dir).absolute()
    assert not list(tmp_path.iterdir())
