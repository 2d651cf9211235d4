"""What `MLDashLogger` takes beside metrics: hyperparameters, media, checkpoints, norms."""

from __future__ import annotations

import argparse
import enum
import functools
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_parts import data, model, package, trainer
from PIL import Image

from ml_dash import open_run
from ml_dash_lightning import MLDashLogger
from ml_dash_lightning.plain import hyperparameters

pytestmark = [
    # The framework's advice on workers, devices and its own deprecations is not our affair.
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]


@pytest.fixture
def logger(tmp_path: Path) -> MLDashLogger:
    """A logger that records into the test's folder."""
    return MLDashLogger(tmp_path / "dash", name="media", environment=False)


def end(one: MLDashLogger) -> Any:
    """End the run as the process would, and open it; nothing had gone wrong."""
    assert one.failures == {}
    experiment = one.experiment
    experiment.run.complete()
    return open_run(experiment.folder)


# -- hyperparameters -------------------------------------------------------------------------------


class Color(enum.Enum):
    """An enumeration."""

    RED = 1


@dataclass
class Config:
    """Hyperparameters as a dataclass."""

    width: int = 3
    layers: list[int] = field(default_factory=lambda: [1, 2])


class Rude:
    """Its repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_hyperparameters_of_any_kind_are_readable(logger: MLDashLogger) -> None:
    """Nested and flat, plain and not; what is no value is a text that says what it is."""
    cyclic: dict[str, Any] = {"a": 1}
    cyclic["self"] = cyclic
    logger.log_hyperparams(
        {
            "lr": 0.1,
            "path": Path("/data/x"),
            "color": Color.RED,
            "config": Config(),
            "namespace": argparse.Namespace(a=1, b={"c": 2}),
            "function": torch.relu,
            "class": Config,
            "partial": functools.partial(np.clip, a_min=0),
            "module": torch.nn.Linear(2, 3),
            "small": torch.tensor([1.0, 2.0]),
            "large": torch.zeros(3, 100),
            "number": np.int64(4),
            "dtype": torch.float32,
            "cyclic": cyclic,
            "set": {7},
            "lock": logging.getLogger(),
            "rude": Rude(),
            "_private": 5,
            6: "six",
            "none": None,
            "long": "x" * 100_000,
        }
    )
    logger.log_hyperparams(argparse.Namespace(lr=0.2))
    params = end(logger).params
    expected = {
        "lr": 0.2,
        "path": "/data/x",
        "color": "RED",
        "config": {"width": 3, "layers": [1, 2]},
        "namespace": {"a": 1, "b": {"c": 2}},
        "partial": "partial(numpy.clip, a_min=0)",
        "module": "Linear(in_features=2, out_features=3, bias=True)",
        "small": [1.0, 2.0],
        "large": "Tensor(3, 100) float32",
        "number": 4,
        "dtype": "torch.float32",
        "cyclic": {"a": 1, "self": "…"},
        "set": [7],
        "param_private": 5,
        "6": "six",
        "none": None,
    }
    assert {key: params[key] for key in expected} == expected
    assert params["class"].endswith(".Config")
    assert "relu" in params["function"]
    assert "RuntimeError('no')" in params["rude"]
    assert len(params["long"]) < 3_000


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD = st.sampled_from([Color.RED, torch.relu, torch.zeros(2), object(), Config(), b"x"])
KEYS = (
    st.text(max_size=4) | st.integers() | st.none() | st.sampled_from(["a.b", "_x", "a", Color.RED])
)
TREES = st.recursive(
    SCALARS | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_no_hyperparameters_fail(params: dict[Any, Any]) -> None:
    """Whatever they are, they become plain values that a run takes."""
    from ml_dash import Experiment, MemoryBackend

    experiment = Experiment("p/e", backend=MemoryBackend(), environment=False)
    logger = MLDashLogger(experiment=experiment)
    logger.log_hyperparams(params)
    hyperparameters(params)
    unexpected = {
        key: n for key, n in logger.failures.items() if not key.startswith("log_hyperparams(")
    }
    logger.experiment.run.complete()
    assert unexpected == {}


# -- pictures --------------------------------------------------------------------------------------


def test_images_of_every_form_are_saved_as_they_look(logger: MLDashLogger, tmp_path: Path) -> None:
    """Arrays and tensors with channels first or last, gray, floats, PIL images, paths, figures."""
    colored = np.zeros((6, 8, 3), np.uint8)
    colored[:2, :, 0] = 200
    Image.fromarray(colored).save(tmp_path / "colored.png")
    first = torch.from_numpy(colored).permute(2, 0, 1)
    images = [
        colored,
        first,
        first.float() / 255,
        np.moveaxis(colored, -1, 0),
        torch.from_numpy(colored),
        Image.fromarray(colored),
        tmp_path / "colored.png",
    ]
    logger.log_image("forms", images, step=3, caption=[f"form {i}" for i in range(len(images))])
    logger.log_image("gray", torch.full((1, 6, 8), 7, dtype=torch.uint8), step=4)
    logger.log_image("batch", torch.stack([first, first]))
    run = end(logger)
    table = run.tracks["images/forms"]
    assert list(table["caption"]) == [f"form {i}" for i in range(7)]
    assert table.steps.tolist() == [3] * 7
    frames = run.frames("images/forms")
    by_name = dict(zip(frames.names, frames, strict=True))
    for row in table.rows():
        assert np.array_equal(by_name[row["frame"]], colored), row["caption"]
    assert np.array_equal(np.squeeze(run.frames("images/gray")[0]), np.full((6, 8), 7))
    assert len(run.frames("images/batch")) == 2


def test_wrong_images_are_told(logger: MLDashLogger) -> None:
    """An argument of a wrong kind is an exception, as other loggers have it."""
    with pytest.raises(TypeError, match="list of images"):
        logger.log_image("a", 3)
    with pytest.raises(ValueError, match="1 values of caption for 2 images"):
        logger.log_image("a", [np.zeros((2, 2))] * 2, caption=["one"])
    with pytest.raises(TypeError, match="caption must be a list"):
        logger.log_image("a", [np.zeros((2, 2))] * 2, caption="one")
    with pytest.raises(TypeError, match="list of videos"):
        logger.log_video("a", 3)


def test_videos_keep_their_frames(logger: MLDashLogger, tmp_path: Path) -> None:
    """A file as it is; arrays, whatever is installed; with a row each."""
    (tmp_path / "film.mp4").write_bytes(b"film")
    logger.log_video("files", [tmp_path / "film.mp4"], step=1, caption=["a film"])
    video = torch.randint(0, 255, (4, 3, 16, 16), dtype=torch.uint8)
    logger.log_video("arrays", [video, video.permute(0, 2, 3, 1).numpy()], step=2, fps=10)
    run = end(logger)
    (row,) = run.tracks["videos/files"].rows()
    assert run.files.read_bytes(f"videos/files/{row['file']}") == b"film"
    rows = list(run.tracks["videos/arrays"].rows())
    assert [row["step"] for row in rows] == [2, 2]
    for row in rows:
        if "folder" in row:
            frames = run.frames(f"videos/arrays/{row['folder']}")
            assert np.array_equal(frames.to_numpy(), video.permute(0, 2, 3, 1).numpy())
        else:
            assert len(run.files.read_bytes(f"videos/arrays/{row['file']}")) > 500


def test_texts_and_tables_become_tracks(logger: MLDashLogger) -> None:
    """Rows of one call share its step; frames of pandas are taken, too."""
    import pandas as pd

    logger.log_text("samples", ["hello", "you"], step=2, temperature=0.5)
    logger.log_table("scores", columns=["name", "score"], data=[["a", 1], ["b", 2.5]], step=4)
    logger.log_table("frame", dataframe=pd.DataFrame({"x": [1, 2]}), step=4)
    with pytest.raises(ValueError, match="row 0 has 1 values, not 2"):
        logger.log_table("scores", columns=["a", "b"], data=[[1]])
    with pytest.raises(ValueError, match="give columns and data"):
        logger.log_table("scores")
    run = end(logger)
    assert list(run.tracks["texts/samples"]["text"]) == ["hello", "you"]
    table = run.tracks["tables/scores"]
    assert list(table["name"]) == ["a", "b"] and table["score"].tolist() == [1, 2.5]
    assert table["row"].tolist() == [0, 1] and table.steps.tolist() == [4, 4]
    assert run.tracks["tables/frame"]["x"].tolist() == [1, 2]


# -- checkpoints and norms -------------------------------------------------------------------------


@pytest.mark.parametrize("log_model", [False, True, "all"])
def test_checkpoints_are_kept_as_asked(tmp_path: Path, log_model: Any) -> None:
    """None, the best and the last, or each, also those that the callback deletes again."""
    pl = package()
    logger = MLDashLogger(tmp_path / "dash", name="m", log_model=log_model, environment=False)
    keeper = pl.callbacks.ModelCheckpoint(
        tmp_path / "ck", "{epoch}", monitor="val_loss", mode="max", save_last=True, save_top_k=1
    )
    written: list[str] = []
    save = keeper._save_checkpoint
    keeper._save_checkpoint = lambda *a: (written.append(Path(a[1]).name), save(*a))[1]
    trainer(pl, logger, epochs=3, callbacks=[keeper]).fit(model(pl), data(), data())
    best = Path(keeper.best_model_path)
    run = end(logger)
    kept = {Path(entry["path"]).name for entry in run.files.list("checkpoints/*")}
    if log_model is False:
        assert kept == set()
        return
    assert kept == ({*written} if log_model == "all" else {best.name, "last.ckpt"}) | {
        "checkpoints.json"
    }
    (entry,) = run.files.read_json("checkpoints/checkpoints.json")
    assert (entry["best"], entry["last"]) == (best.name, "last.ckpt")
    assert (entry["monitor"], entry["mode"]) == ("val_loss", "max")
    assert entry["scores"][best.name] == pytest.approx(float(keeper.best_model_score))
    assert run.files.read_bytes(f"checkpoints/{best.name}") == best.read_bytes()


def test_norms_are_those_of_the_gradients(logger: MLDashLogger) -> None:
    """Of each parameter and of all, at every n-th backward pass; until it is told to stop."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    logger.watch(module, log="all", log_freq=2)
    expected = []
    for index in range(5):
        module.zero_grad()
        module(torch.randn(2, 3)).sum().backward()
        if index % 2 == 0:
            expected.append({name: p.grad.norm().item() for name, p in module.named_parameters()})
    logger.unwatch()
    module(torch.randn(2, 3)).sum().backward()
    found = list(end(logger).metrics["norms"].rows())
    assert len(found) == 3
    for row, norms in zip(found, expected, strict=True):
        for name, norm in norms.items():
            assert row[f"gradients/{name}"] == pytest.approx(norm)
        assert row["gradients"] == pytest.approx(sum(n * n for n in norms.values()) ** 0.5)
        assert row["parameters/0.weight"] == pytest.approx(module[0].weight.norm().item())


def test_norms_of_a_trained_model_have_its_step(tmp_path: Path, logger: MLDashLogger) -> None:
    """The trainer's `global_step` when the backward pass began."""
    pl = package()
    module = model(pl)
    logger.watch(module, log_freq=3)
    fit = trainer(pl, logger, epochs=1, enable_checkpointing=False, default_root_dir=tmp_path)
    fit.fit(module, data())
    assert end(logger).metrics["norms"].steps.tolist() == [0, 3, 6]


def test_wrong_wishes_to_watch_are_told(logger: MLDashLogger) -> None:
    """At the call."""
    with pytest.raises(ValueError, match="'gradients', 'parameters' or 'all'"):
        logger.watch(torch.nn.Linear(1, 1), log="weights")
    with pytest.raises(ValueError, match="log_freq is 0"):
        logger.watch(torch.nn.Linear(1, 1), log_freq=0)
