"""What `checkpoints.json` of a Lightning run says; no fit costs another its checkpoints."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_parts import data, model, package, trainer

from ml_dash import open_run
from ml_dash_lightning import MLDashLogger, book

pytestmark = [
    # The framework's advice on workers, devices and its own deprecations is not our affair.
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

LIST = "checkpoints/checkpoints.json"


class Keeper:
    """What a logger sees of a `ModelCheckpoint` that keeps the best of each of its fits."""

    state_key = monitor = "loss"
    last_model_path = ""

    def __init__(self, folder: Path) -> None:
        self.dirpath = str(folder)
        self.best_k_models: dict[str, Any] = {}
        folder.mkdir(exist_ok=True)

    def write(self, name: str, content: bytes, score: float, when: int) -> Keeper:
        """Write a checkpoint, in place of all before, as `save_top_k=1` does."""
        for path in self.best_k_models:
            Path(path).unlink()
        path = Path(self.dirpath, name)
        path.write_bytes(content)
        os.utime(path, ns=(0, when * 10**9))
        self.best_k_models = {str(path): torch.tensor(score)}
        self.best_model_path = str(path)
        self.best_model_score = self.current_score = torch.tensor(score)
        return self


def make(folder: Path, log_model: Any, version: str = "1") -> MLDashLogger:
    """A logger of the test's run."""
    return MLDashLogger(
        folder / "dash", name="m", version=version, log_model=log_model, environment=False
    )


def end(one: MLDashLogger) -> Any:
    """End the run as the process would, and open it; nothing had gone wrong."""
    assert one.failures == {}
    one.experiment.run.complete()
    return open_run(one.log_dir)


def strict(run: Any) -> Any:
    """The list, read as any reader of JSON does."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(run.files.read_bytes(LIST), parse_constant=refuse)


@pytest.mark.parametrize("log_model", [True, "all"])
@pytest.mark.parametrize(
    ("value", "name"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_scores_that_are_not_finite_leave_a_list_that_any_reader_reads(
    tmp_path: Path, log_model: Any, value: float, name: str
) -> None:
    """They are texts, also once the run is continued."""
    keeper = Keeper(tmp_path / "ck")
    for session in range(2):
        logger = make(tmp_path, log_model)
        logger.after_save_checkpoint(keeper.write(f"{session}.ckpt", b"weights", value, session))
        logger.finalize("success")
        run = end(logger)
        (entry,) = strict(run)
        assert run.files.read_json(LIST) == [entry]
        assert entry["scores"][f"{session}.ckpt"] == name
        assert float(entry["scores"]["0.ckpt"]) == pytest.approx(value, nan_ok=True)


def test_a_metric_that_is_nan_in_one_epoch_leaves_a_list_that_any_reader_reads(
    tmp_path: Path,
) -> None:
    """The framework keeps such a checkpoint as one of a score of infinity."""
    pl = package()
    logger = make(tmp_path, True)
    keeper = pl.callbacks.ModelCheckpoint(tmp_path / "ck", "{epoch}", "odd", save_top_k=2)
    module = model(pl)

    def log_odd(self: Any, batch: Any, index: int) -> None:
        self.log("odd", math.nan if self.current_epoch else 2.0)

    type(module).validation_step = log_odd
    trainer(pl, logger, callbacks=[keeper]).fit(module, data(), data())
    (entry,) = strict(end(logger))
    assert entry["scores"] == {"epoch=0.ckpt": 2.0, "epoch=1.ckpt": "Infinity"}


def test_a_list_of_an_earlier_version_is_read_and_made_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which wrote the numbers that JSON has not, as Python does."""
    keeper = Keeper(tmp_path / "ck")
    logger = make(tmp_path, True)
    logger.after_save_checkpoint(keeper.write("a.ckpt", b"weights", 1.0, 1))
    logger.finalize("success")
    text = logger.experiment.files.read_text(LIST)
    logger.experiment.files.save_text(text.replace("1.0", "NaN"), to=LIST)
    run = end(logger)
    (entry,) = run.files.read_json(LIST)
    assert math.isnan(entry["scores"]["a.ckpt"])
    monkeypatch.setattr(book, "_books", {})
    logger = make(tmp_path, True)
    other = Keeper(tmp_path / "other").write("b.ckpt", b"weights", 2.0, 2)
    logger.after_save_checkpoint(other)
    logger.finalize("success")
    assert [one["scores"] for one in strict(end(logger))] == [{"a.ckpt": "NaN"}, {"b.ckpt": 2.0}]


@pytest.mark.parametrize("continued", [False, True])
def test_scores_of_deleted_checkpoints_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, continued: bool
) -> None:
    """Of each that is in the run, whatever the callback still has on the disk."""
    logger = make(tmp_path, "all")
    keeper = Keeper(tmp_path / "ck")
    for number in range(4):
        if continued and number == 2:
            end(logger)
            monkeypatch.setattr(book, "_books", {})
            logger = make(tmp_path, "all")
        logger.after_save_checkpoint(keeper.write(f"{number}.ckpt", b"w", number / 4, number))
    run = end(logger)
    (entry,) = strict(run)
    assert entry["scores"] == {f"{number}.ckpt": number / 4 for number in range(4)}
    assert entry["best"] == "3.ckpt"
    assert len(run.files.list("*.ckpt")) == 4


def test_scores_of_each_checkpoint_of_a_fit_are_listed(tmp_path: Path) -> None:
    """Also of those that the callback writes for a moment only."""
    pl = package()
    logger = make(tmp_path, "all")
    keeper = pl.callbacks.ModelCheckpoint(tmp_path / "ck", "{epoch}", "train/loss_epoch")
    trainer(pl, logger, epochs=3, callbacks=[keeper]).fit(model(pl), data())
    run = end(logger)
    (entry,) = strict(run)
    losses = run.metrics["lightning"]
    known = losses["train/loss_epoch"][~losses.missing("train/loss_epoch")]
    names = [f"epoch={number}.ckpt" for number in range(3)]
    assert [entry["scores"][name] for name in names] == pytest.approx(known.tolist())


@pytest.mark.parametrize("log_model", [True, "all"])
@pytest.mark.parametrize("again", ["in the process", "in another one"])
def test_a_fit_that_writes_where_an_earlier_one_did_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str, log_model: Any
) -> None:
    """Its checkpoint is kept beside the first, and each has its own score."""
    logger = make(tmp_path, log_model)
    for number in range(3):
        if number and again == "in another one":
            end(logger)
            monkeypatch.setattr(book, "_books", {})
            logger = make(tmp_path, log_model)
        keeper = Keeper(tmp_path / "ck").write("best.ckpt", b"fit %d" % number, number, number)
        logger.after_save_checkpoint(keeper)
        logger.finalize("success")
    other = Keeper(tmp_path / "other").write("x.ckpt", b"other", 0.5, 9)
    if again == "in another one":  # such as the next fold, which lists the others, too
        end(logger)
        monkeypatch.setattr(book, "_books", {})
        logger = make(tmp_path, log_model)
    logger.after_save_checkpoint(other)
    logger.finalize("success")
    run = end(logger)
    names = ["best.ckpt", "2/best.ckpt", "3/best.ckpt"]
    found = [run.files.read_bytes(f"checkpoints/{name}") for name in names]
    assert found == [b"fit 0", b"fit 1", b"fit 2"]
    entry, second = strict(run)
    assert entry["best"] == "3/best.ckpt" and second["best"] == "x.ckpt"
    assert entry["scores"] == {"best.ckpt": 0.0, "2/best.ckpt": 1.0, "3/best.ckpt": 2.0}


def test_what_a_fit_still_writes_after_it_is_over_is_no_other_checkpoint(tmp_path: Path) -> None:
    """As one that is written in the background: the newest of it counts."""
    keeper = Keeper(tmp_path / "ck")
    logger = make(tmp_path, True)
    logger.after_save_checkpoint(keeper.write("best.ckpt", b"half", 1.0, 1))
    logger.finalize("success")
    keeper.write("best.ckpt", b"whole", 1.0, 2)
    run = end(logger)
    assert run.files.read_bytes("checkpoints/best.ckpt") == b"whole"
    assert len(run.files.list("*.ckpt")) == 1
