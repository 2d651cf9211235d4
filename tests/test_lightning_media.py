"""What `MLDashLogger` takes beside metrics: hyperparameters, media, checkpoints, norms."""

from __future__ import annotations

import argparse
import copy
import datetime
import enum
import functools
import logging
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_parts import data, model, package, trainer
from PIL import Image

from ml_dash import Experiment, MemoryBackend, open_run
from ml_dash_lightning import MLDashLogger, book
from ml_dash_lightning.hyperparameters import hyperparameters

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
            "long": "x" * 200_000,
            "since": datetime.datetime(2026, 1, 2, 3, 4),
            "days": [datetime.date(2026, 1, 2)],
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
        "since": "2026-01-02T03:04:00",
        "days": ["2026-01-02"],
    }
    assert {key: params[key] for key in expected} == expected
    assert params["class"].endswith(".Config")
    assert "relu" in params["function"]
    assert "RuntimeError('no')" in params["rude"]
    assert 90_000 < len(params["long"]) < 110_000


class Missing(dict[str, Any]):
    """A configuration that has a value yet to be given, as those of OmegaConf may."""

    def __getitem__(self, key: str) -> Any:
        if key == "later":
            raise LookupError("later is missing")
        return super().__getitem__(key)


class Shapeless:
    """Raises when it is looked at."""

    dtype = "float32"

    def __repr__(self) -> str:
        return "<Shapeless>"

    @property
    def shape(self) -> Any:
        raise RuntimeError("no shape")


def test_no_hyperparameter_costs_another(logger: MLDashLogger) -> None:
    """Names that are the same as text or dotted, values that raise: all that is well is there."""
    logger.log_hyperparams(
        {
            1: "number",
            "1": "text",
            "a.b": "dotted",
            "a": {"b": "nested"},
            "c": "value",
            "c.d": "below",
            "missing": Missing(later=1, now=2),
            "shapeless": Shapeless(),
            "empty": {},
        }
    )
    assert end(logger).params == {
        "1": "number",
        "1'": "text",
        "a": {"b": "dotted", "b'": "nested"},
        "c'": "value",
        "c": {"d": "below"},
        "missing": {"later": "<LookupError: later is missing>", "now": 2},
        "shapeless": "<Shapeless>",
        "empty": {},
    }


def test_huge_hyperparameters_are_read_in_part(logger: MLDashLogger) -> None:
    """A vocabulary, and a list that has the same few items again and again: in a moment."""
    again: Any = [1]
    for _ in range(10):
        again = [again] * 10
    begun = time.perf_counter()
    logger.log_hyperparams({"vocabulary": {f"w{i}": i for i in range(50_000)}, "again": again})
    taken = time.perf_counter() - begun
    params = end(logger).params
    assert params["vocabulary"]["w0"] == 0
    assert params["vocabulary"]["…"] == "(49,000 more)"
    assert str(params["again"]).count("1") > 1_000
    assert taken < 10  # without bounds it takes hours


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD = st.sampled_from(
    [
        *(Color.RED, torch.relu, torch.zeros(2), object(), Config(), b"x", Shapeless()),
        *(Missing(later=1), torch.ones(1, device="meta"), torch.eye(2).to_sparse()),
    ]
)
KEYS = (
    st.text(max_size=4) | st.integers() | st.none() | st.sampled_from(["a.b", "_x", "a", Color.RED])
)


@dataclass
class Pair:
    """A dataclass of anything."""

    first: Any
    second: Any


def containers(inner: Any) -> Any:
    """Whatever has parts."""
    named = st.dictionaries(st.text(max_size=4), inner, max_size=3)
    return (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(Pair, inner, inner)
        | named.map(lambda parts: argparse.Namespace(**parts))
    )


TREES = st.recursive(SCALARS | ODD, containers, max_leaves=10)


def leaves(tree: Any) -> int:
    """How many values a tree of dicts has."""
    if isinstance(tree, (Config, Missing)):
        return 2 if isinstance(tree, Config) else 1
    if isinstance(tree, (Pair, argparse.Namespace)):
        tree = vars(tree)
    if isinstance(tree, dict) and tree:
        return sum(map(leaves, tree.values()))
    return 1


@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_no_hyperparameters_fail(params: dict[Any, Any]) -> None:
    """Whatever they are, a run takes them, and each is there."""
    experiment = Experiment("p/e", backend=MemoryBackend(), environment=False)
    logger = MLDashLogger(experiment=experiment)
    logger.log_hyperparams(params)
    flat = hyperparameters(params)
    assert logger.failures == {}
    assert set(logger.experiment.params.get()) == set(flat)
    logger.experiment.run.complete()
    assert len(flat) == sum(map(leaves, params.values()))


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
    with pytest.raises(ValueError, match="1 values of caption for 2 videos"):
        logger.log_video("a", [np.zeros((2, 4, 4))] * 2, caption=["one"])
    with pytest.raises(TypeError, match="list of videos"):
        logger.log_video("a", 3)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("../x", ValueError, r"key '[a-z]+/\.\./x' has the component '..'"),
        ("a//b", ValueError, r"key '[a-z]+/a//b' has an empty component"),
        (5, TypeError, "key is a int; give a text, such as 'val/a'"),
        (None, TypeError, "key is a NoneType"),
        ("", ValueError, "key is ''; give a name, such as 'val/a'"),
        ("/", ValueError, "key is '/'"),
    ],
)
def test_a_key_that_is_no_name_is_told(
    logger: MLDashLogger, key: Any, error: type[Exception], message: str
) -> None:
    """By an exception, since nothing that is logged under it could be kept."""
    picture = np.zeros((2, 2), np.uint8)
    calls: dict[str, tuple[Any, ...]] = {
        "log_image": ([picture],),
        "log_video": ([[picture]],),
        "log_text": ("hello",),
        "log_table": (["a"], [[1]]),
    }
    for name, arguments in calls.items():
        with pytest.raises(error, match=f"{name}.*{message}"):
            getattr(logger, name)(key, *arguments)
    assert logger.failures == {}


def test_a_call_without_what_it_needs_is_told(logger: MLDashLogger) -> None:
    """Also one in the form of another logger, of which nothing could be kept."""
    with pytest.raises(TypeError, match="text"):
        logger.log_text("t")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="text"):
        logger.log_text("t", columns=["a"], data=[["b"]])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="row 1 is 5; give a list of rows, each a list"):
        logger.log_table("t", columns=["a"], data=[[1], 5])  # type: ignore[list-item]


def test_what_fails_is_told_by_the_name_of_the_call(
    logger: MLDashLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not by that of a part of it, which nobody has called."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(logger, "_record", broken)
    logger.log_image("i", [np.zeros((2, 2))])
    logger.log_video("v", [[np.zeros((16, 16), np.uint8)] * 2])
    logger.log_text("t", "hello")
    logger.log_table("t", ["a"], [[1]])
    assert logger.failures == {"log_image": 1, "log_video": 1, "log_text": 1, "log_table": 1}


def test_a_file_of_sixteen_bits_stays_one(logger: MLDashLogger, tmp_path: Path) -> None:
    """A depth image by its path has the values of the one by itself."""
    depth = np.arange(0, 60_000, 1_000, np.uint16).reshape(6, 10)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    logger.log_image("depth", [tmp_path / "depth.png", depth], step=0)
    for frame in end(logger).frames("images/depth"):
        assert frame.dtype == np.uint16 and np.array_equal(frame, depth)


def test_videos_of_one_call_may_differ_in_their_rate(logger: MLDashLogger) -> None:
    """As other loggers have it: a list, one for each."""
    clip = np.zeros((3, 16, 16), np.uint8)
    logger.log_video("v", [clip, clip], step=0, fps=[5, 12.5])
    for wrong in (0, -1, "fast", True, [5], [5, None]):
        with pytest.raises(ValueError, match="fps"):
            logger.log_video("v", [clip, clip], fps=wrong)  # type: ignore[arg-type]
    rows = list(end(logger).tracks["videos/v"].rows())
    assert [row["fps"] for row in rows] == [5, 12.5]
    assert not any("folder" in row for row in rows)


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


def test_a_video_never_replaces_another(logger: MLDashLogger) -> None:
    """Of the same step, or of none at all."""
    for value, step in ((10, 3), (20, 3), (30, None)):
        logger.log_video("v", [np.full((2, 16, 16), value, np.uint8)], step=step)
    run = end(logger)
    rows = list(run.tracks["videos/v"].rows())
    assert [row["step"] for row in rows] == [3, 3, 0]
    names = {row.get("file") or row["folder"] for row in rows}
    assert len(names) == 3
    kept = {Path(entry["path"]).parts[2] for entry in run.files.list("videos/v/*")}
    assert kept == names


def test_what_cannot_be_read_keeps_nothing_else_out(logger: MLDashLogger, tmp_path: Path) -> None:
    """The other pictures and clips of a call, and the captions of all."""
    good = np.full((4, 4), 9, np.uint8)
    logger.log_image("i", [tmp_path / "none.png", good], step=1, caption=["a", "b"])
    logger.log_video("v", [tmp_path / "none.mp4", good[None].repeat(2, 0)], step=1)
    assert logger.failures == {"log_image": 1, "log_video": 1}
    logger.failures.clear()
    run = end(logger)
    assert list(run.tracks["images/i"]["caption"]) == ["a", "b"]
    assert len(run.frames("images/i")) == 1
    assert len(list(run.tracks["videos/v"].rows())) == 2


def test_columns_that_a_row_cannot_have_are_renamed(logger: MLDashLogger) -> None:
    """A table of steps is a frequent one."""
    logger.log_table("t", columns=["step", "loss", "_id"], data=[[7, 0.5, 1]], step=3)
    logger.log_image("i", [np.zeros((2, 2))], step=3, timestamp=["noon"])
    logger.log_text("s", "hello", step=3, _private=1)
    run = end(logger)
    (row,) = run.tracks["tables/t"].rows()
    assert (row["step"], row["column/step"], row["loss"], row["column/_id"]) == (3, 7, 0.5, 1)
    assert list(run.tracks["images/i"]["column/timestamp"]) == ["noon"]
    assert list(run.tracks["texts/s"]["column/_private"]) == [1]


def test_media_without_a_step_have_that_of_the_latest_metrics(logger: MLDashLogger) -> None:
    """And use up none: metrics that count for themselves go on as they would."""
    logger.log_text("t", "before")
    for value in range(3):
        logger.log_metrics({"loss": value})
        logger.log_text("t", "after")
        logger.log_image("i", np.zeros((2, 2)))
    run = end(logger)
    assert run.metrics["lightning"].steps.tolist() == [0, 1, 2]
    assert run.tracks["texts/t"].steps.tolist() == [0, 0, 1, 2]
    assert run.tracks["images/i"].steps.tolist() == [0, 1, 2]


def test_a_module_that_does_not_know_its_size_yet_is_described(logger: MLDashLogger) -> None:
    """Lazy modules have no parameters before their first batch."""
    logger.log_graph(torch.nn.Sequential(torch.nn.LazyLinear(3)))
    assert "unknown parameters" in end(logger).files.read_text("model.txt")


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


def test_options_replace_nothing_that_is_known_of_a_picture(logger: MLDashLogger) -> None:
    """What finds its file is the row's own; what the user calls so is kept beside it."""
    picture = np.zeros((8, 8, 3), np.uint8)
    logger.log_image("two", [picture, picture], step=1, index=[7, 8], frame=["a", "b"])
    logger.log_video("clip", [np.zeros((2, 16, 16), np.uint8)], step=1, file=["mine"])
    run = end(logger)
    rows = list(run.tracks["images/two"].rows())
    assert [row["frame"] for row in rows] == list(run.frames("images/two").names)
    assert [(row["index"], row["column/index"], row["column/frame"]) for row in rows] == [
        (0, 7, "a"),
        (1, 8, "b"),
    ]
    (clip,) = run.tracks["videos/clip"].rows()
    assert clip["column/file"] == "mine" and clip["index"] == 0


def test_columns_of_the_same_name_are_all_kept(logger: MLDashLogger) -> None:
    """A join has them, and so may a table that was written by hand."""
    import pandas as pd

    frame = pd.DataFrame([[3, 4, 5]], columns=["x", "x", "x'"])
    logger.log_table("twice", columns=["a", "a", 1, "1"], data=[[1, 2, 3, 4]], step=0)
    logger.log_table("frame", dataframe=frame, step=0)
    run = end(logger)
    twice, joined = (next(iter(run.tracks[f"tables/{name}"].rows())) for name in ("twice", "frame"))
    assert [twice[name] for name in ("a", "a'", "1", "1'")] == [1, 2, 3, 4]
    assert [joined[name] for name in ("x", "x'", "x''")] == [3, 4, 5]


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


def test_checkpoints_of_the_same_name_are_kept_apart(tmp_path: Path, logger: MLDashLogger) -> None:
    """Two callbacks may write `best.ckpt` into folders of their own."""
    pl = package()
    logger = MLDashLogger(tmp_path / "dash", name="m", log_model="all", environment=False)
    keepers = [
        pl.callbacks.ModelCheckpoint(tmp_path / monitor, "best", monitor=monitor, mode=mode)
        for monitor, mode in (("val_loss", "min"), ("train/loss_epoch", "max"))
    ]
    trainer(pl, logger, epochs=1, callbacks=keepers).fit(model(pl), data(), data())
    run = end(logger)
    entries = run.files.read_json("checkpoints/checkpoints.json")
    assert {entry["best"] for entry in entries} == {"best.ckpt", "2/best.ckpt"}
    for entry in entries:
        source = tmp_path / entry["monitor"] / "best.ckpt"
        assert run.files.read_bytes(f"checkpoints/{entry['best']}") == source.read_bytes()


@pytest.mark.parametrize("made", ["once", "twice for one experiment", "twice", "after an end"])
def test_the_best_of_each_fold_is_kept_and_listed(tmp_path: Path, made: str) -> None:
    """Their callbacks are alike but for the folder, whether they share a logger or the run only."""
    pl = package()

    def make() -> MLDashLogger:
        given = {"name": "m", "version": "folds", "environment": False}
        return MLDashLogger(tmp_path / "dash", log_model=True, **given)

    one = make()
    written = []
    for fold in range(3):
        if fold and made == "twice for one experiment":
            one = MLDashLogger(experiment=one.experiment, log_model=True)
        elif fold and made != "once":
            if made == "after an end":
                end(one)
            one = make()
        keeper = pl.callbacks.ModelCheckpoint(tmp_path / str(fold), "best", monitor="val_loss")
        trainer(pl, one, epochs=1, callbacks=[keeper]).fit(model(pl), data(), data())
        written.append(Path(keeper.best_model_path).read_bytes())
    run = end(one)
    entries = run.files.read_json("checkpoints/checkpoints.json")
    assert [entry["best"] for entry in entries] == ["best.ckpt", "2/best.ckpt", "3/best.ckpt"]
    assert [Path(entry["folder"]).name for entry in entries] == ["0", "1", "2"]
    assert [run.files.read_bytes(f"checkpoints/{entry['best']}") for entry in entries] == written


def test_checkpoints_of_a_continued_run_have_the_names_that_they_had(tmp_path: Path) -> None:
    """The last one replaces the last one of before; what the user has saved is left alone."""

    class Keeper:
        state_key = monitor = "loss"
        dirpath = str(tmp_path)
        best_k_models: ClassVar[dict[str, Any]] = {}
        best_model_path = str(tmp_path / "best.ckpt")
        last_model_path = str(tmp_path / "last.ckpt")
        best_model_score = current_score = torch.tensor(0.5)

    sessions = ((b"first", False), (b"second", True), (b"third", False))
    for number, (session, damaged) in enumerate(sessions, 2):
        given = {"name": "m", "version": "1", "environment": False}
        logger = MLDashLogger(tmp_path / "dash", log_model=True, **given)
        logger.experiment.files("checkpoints").save_text("mine", to="best.ckpt")
        for path in (Keeper.best_model_path, Keeper.last_model_path):
            Path(path).write_bytes(session)
        logger.after_save_checkpoint(Keeper())
        run = end(logger)
        assert logger.failures == {}
        assert run.files.read_bytes("checkpoints/best.ckpt") == b"mine"
        for kept, (text, _) in enumerate(sessions[: number - 1], 2):
            assert run.files.read_bytes(f"checkpoints/{kept}/best.ckpt") == text
        assert run.files.read_bytes("checkpoints/last.ckpt") == session
        (entry,) = run.files.read_json("checkpoints/checkpoints.json")
        assert (entry["best"], entry["last"]) == (f"{number}/best.ckpt", "last.ckpt")
        if damaged:
            (listed,) = (tmp_path / "dash").rglob("checkpoints.json")
            listed.write_bytes(b"\0")


@pytest.mark.parametrize("again", ["in the process", "in another one"])
def test_a_later_fit_replaces_no_checkpoint_but_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """Each is kept: one that is written where an earlier fit's was deleted is another one."""

    class Keeper:
        state_key = monitor = "loss"
        dirpath = str(tmp_path)
        best_k_models: ClassVar[dict[str, Any]] = {}
        best_model_path = str(tmp_path / "epoch=0.ckpt")
        last_model_path = str(tmp_path / "last.ckpt")
        best_model_score = current_score = torch.tensor(0.5)

    given = {"name": "m", "version": "1", "environment": False}
    logger = MLDashLogger(tmp_path / "dash", log_model="all", **given)
    for number, text in enumerate((b"first", b"second", b"third")):
        if number and again == "in another one":
            end(logger)
            monkeypatch.setattr(book, "_books", {})
            logger = MLDashLogger(tmp_path / "dash", log_model="all", **given)
        for half in (b" half", b""):  # within a fit the newest counts, as on the disk
            for path in (Keeper.best_model_path, Keeper.last_model_path):
                Path(path).write_bytes(text + half)
                os.utime(path, ns=(0, 10**9 * (2 * number + (not half))))
            logger.after_save_checkpoint(Keeper())
        logger.finalize("success")
        assert logger.failures == {}
    run = end(logger)
    names = ["epoch=0.ckpt", "2/epoch=0.ckpt", "3/epoch=0.ckpt", "last.ckpt"]
    kept = {path for path in run.files if path.endswith(".ckpt")}
    assert kept == {f"checkpoints/{name}" for name in names}
    found = [run.files.read_bytes(f"checkpoints/{name}") for name in names]
    assert found == [b"first", b"second", b"third", b"third"]
    (entry,) = run.files.read_json("checkpoints/checkpoints.json")
    assert (entry["best"], entry["last"]) == ("3/epoch=0.ckpt", "last.ckpt")


def test_folds_of_processes_at_the_same_time_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a book of its own, and saw no checkpoints in the run when its own was written."""

    class Keeper:
        state_key = monitor = "loss"
        best_k_models: ClassVar[dict[str, Any]] = {}
        last_model_path = ""
        best_model_score = current_score = torch.tensor(0.5)

        def __init__(self, fold: int) -> None:
            self.dirpath = str(tmp_path / str(fold))
            self.best_model_path = str(tmp_path / str(fold) / "best.ckpt")
            Path(self.dirpath).mkdir()
            Path(self.best_model_path).write_bytes(b"fold %d" % fold)

    given = {"name": "m", "version": "folds", "environment": False, "log_model": True}
    loggers = [MLDashLogger(tmp_path / "dash", **given) for _ in range(3)]
    books: list[dict[Any, Any]] = [{} for _ in loggers]
    for fold, one in enumerate(loggers):
        monkeypatch.setattr(book, "_books", books[fold])
        one.after_save_checkpoint(Keeper(fold))
    for fold, one in enumerate(loggers):
        monkeypatch.setattr(book, "_books", books[fold])
        one.finalize("success")
    run = [end(one) for one in loggers][-1]
    entries = run.files.read_json("checkpoints/checkpoints.json")
    listed = {Path(entry["folder"]).name: entry["best"] for entry in entries}
    assert listed == {"0": "best.ckpt", "1": "2/best.ckpt", "2": "3/best.ckpt"}
    for fold, best in listed.items():
        assert run.files.read_bytes(f"checkpoints/{best}") == f"fold {fold}".encode()


@pytest.mark.parametrize("log_model", [True, "all"])
def test_checkpoints_on_another_machine_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, log_model: Any
) -> None:
    """They cannot be kept; those here are."""

    class Keeper:
        state_key = monitor = "loss"
        best_model_path, last_model_path = "memory://models/best.ckpt", str(tmp_path / "last.ckpt")
        best_k_models: ClassVar[dict[str, Any]] = {}
        best_model_score = current_score = torch.tensor(0.5)

    Path(Keeper.last_model_path).write_bytes(b"weights")
    logger = MLDashLogger(tmp_path / "dash", name="m", log_model=log_model, environment=False)
    logger.after_save_checkpoint(Keeper())
    logger.finalize("success")
    assert "'memory://models/best.ckpt' is not on this machine" in caplog.text
    assert sum(logger.failures.values()) >= 1
    logger.failures.clear()
    run = end(logger)
    assert run.files.read_bytes("checkpoints/last.ckpt") == b"weights"
    (entry,) = run.files.read_json("checkpoints/checkpoints.json")
    assert (entry["best"], entry["last"]) == (None, "last.ckpt")


@pytest.mark.parametrize("log_model", [True, "all"])
@pytest.mark.parametrize("leave", [shutil.rmtree, lambda path: Path(path).rename(f"{path}-moved")])
def test_checkpoints_that_vanish_before_the_fit_ends_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, log_model: Any, leave: Any
) -> None:
    """They end no fit; those that are kept as soon as they are written are there."""
    pl = package()
    keeper = pl.callbacks.ModelCheckpoint(tmp_path / "ck", monitor="train/loss_epoch")

    class Leave(pl.Callback):
        def on_train_end(self, trainer: Any, module: Any) -> None:
            leave(keeper.dirpath)

    logger = MLDashLogger(tmp_path / "dash", name="m", log_model=log_model, environment=False)
    with caplog.at_level(logging.WARNING, "ml_dash_lightning"):
        fit = trainer(pl, logger, epochs=1, callbacks=[keeper, Leave()])
        fit.fit(model(pl), data())
        logger.finalize("success")  # as a test would that comes next
        logger.experiment.run.complete()
    told = [record.getMessage() for record in caplog.records if record.name == "ml_dash_lightning"]
    run = open_run(logger.log_dir)
    assert run.status == "COMPLETED"
    if log_model == "all":
        assert told == []
        assert run.files.list("checkpoints/*.ckpt")
        return
    (message,) = told
    assert f"'{keeper.best_model_path}' was not there when the fit ended" in message
    assert 'log_model="all"' in message


def test_a_last_checkpoint_that_is_a_link_of_its_own_name_is_kept(tmp_path: Path) -> None:
    """The framework makes it after it has told the logger, and deletes the one before."""
    pl = package()
    keeper = pl.callbacks.ModelCheckpoint(
        tmp_path / "ck", monitor="train/loss_epoch", save_last="link", save_top_k=1
    )
    keeper.CHECKPOINT_NAME_LAST = "{epoch}-last"
    logger = MLDashLogger(tmp_path / "dash", name="m", log_model=True, environment=False)
    trainer(pl, logger, callbacks=[keeper]).fit(model(pl), data())
    run = end(logger)
    (entry,) = run.files.read_json("checkpoints/checkpoints.json")
    assert entry["last"] == Path(keeper.last_model_path).name == "epoch=1-last.ckpt"
    kept = run.files.read_bytes(f"checkpoints/{entry['last']}")
    assert kept == Path(keeper.last_model_path).read_bytes()


@pytest.mark.parametrize("finalized", [False, True])
@pytest.mark.parametrize("comes", [False, True])
def test_checkpoints_that_come_after_the_fit_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, finalized: bool, comes: bool
) -> None:
    """As those written in the background: when the run ends, whatever ends it, with or without a
    fit that said it was over; by then those that never came are told."""

    class Keeper:
        state_key = monitor = "loss"
        best_model_path = last_model_path = str(tmp_path / "best.ckpt")
        best_k_models: ClassVar[dict[str, Any]] = {}
        best_model_score = current_score = torch.tensor(0.5)

    logger = MLDashLogger(tmp_path / "dash", name="m", log_model=True, environment=False)
    logger.after_save_checkpoint(Keeper())
    if finalized:
        logger.finalize("success")
        assert logger.failures == {}
    if not comes:
        logger.experiment.run.complete()
        assert f"the checkpoint '{Keeper.best_model_path}' was not there" in caplog.text
        return
    Path(Keeper.best_model_path).write_bytes(b"weights")
    run = end(logger)
    assert run.files.read_bytes("checkpoints/best.ckpt") == b"weights"


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


def test_norms_of_a_batch_with_several_optimizers_have_the_step_of_its_metrics(
    tmp_path: Path, logger: MLDashLogger
) -> None:
    """Where `global_step` counts each of them."""
    pl = package()

    class Two(pl.LightningModule):
        automatic_optimization = False

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> None:
            for optimizer, layer in zip(self.optimizers(), (self.a, self.b), strict=True):
                optimizer.zero_grad()
                loss = layer(batch).pow(2).mean()
                self.manual_backward(loss)
                optimizer.step()
            self.log("loss", loss)

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(one.parameters(), 0.1) for one in (self.a, self.b)]

    module = Two()
    logger.watch(module, log_freq=1)
    fit = trainer(pl, logger, epochs=1, enable_checkpointing=False, default_root_dir=tmp_path)
    fit.fit(module, data())
    run = end(logger)
    assert run.metrics["norms"].steps.tolist() == run.metrics["lightning"].steps.tolist()
    assert set(run.metrics["norms"].columns) >= {"gradients/a.weight", "gradients/b.weight"}


def test_parameters_that_come_to_be_trained_later_are_watched(logger: MLDashLogger) -> None:
    """As those that a callback unfreezes."""
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    module[0].requires_grad_(False)
    logger.watch(module, log_freq=1)
    for _ in range(3):
        module(torch.ones(1, 2)).sum().backward()
        module[0].requires_grad_(True)
    logger.unwatch()
    rows = list(end(logger).metrics["norms"].rows())
    assert "gradients/0.weight" not in rows[0]
    assert "gradients/0.weight" in rows[-1]


def test_a_watched_module_is_copied_and_saved_without_its_watch(
    logger: MLDashLogger, tmp_path: Path
) -> None:
    """As averages of weights and checkpoints do."""
    module = torch.nn.Linear(2, 1)
    logger.watch(module, log_freq=1)
    twin = copy.deepcopy(module)
    torch.save(module, tmp_path / "module.pt")
    twin(torch.ones(1, 2)).sum().backward()
    module(torch.ones(1, 2)).sum().backward()
    assert len(list(end(logger).metrics["norms"].rows())) == 1


def test_norms_that_cannot_be_had_end_no_backward_pass(
    logger: MLDashLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in a hook of the gradients would."""
    module = torch.nn.Linear(2, 1)
    logger.watch(module, log_freq=1)

    def fail(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("no norm of this kind")

    monkeypatch.setattr(torch.Tensor, "norm", fail)
    module(torch.ones(1, 2)).sum().backward()
    assert module.weight.grad is not None
    assert logger.failures == {"watch": 2}
    logger.experiment.run.complete()


class Broken:
    """A norm on a device that has failed."""

    def __float__(self) -> float:
        raise RuntimeError("device-side assert triggered")


def test_norms_that_cannot_be_had_cost_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a fit fails with its device: what was written before is kept, and nothing raised."""

    class Keeper:
        state_key = monitor = "loss"
        best_model_path = last_model_path = str(tmp_path / "best.ckpt")
        best_k_models: ClassVar[dict[str, Any]] = {}
        best_model_score = current_score = torch.tensor(0.5)

    Path(Keeper.best_model_path).write_bytes(b"weights")
    logger = MLDashLogger(tmp_path / "dash", name="m", log_model=True, environment=False)
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Linear(2, 1))
    logger.watch(module, log_freq=1)
    logger.after_save_checkpoint(Keeper())
    for stop in (lambda: logger.finalize("success"), logger.unwatch):
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "norm", lambda *_: Broken())
            module[0](torch.ones(1, 2)).sum().backward()  # the row is not complete yet
            stop()
    assert logger.failures == {"watch": 2}
    logger.failures.clear()
    assert end(logger).files.read_bytes("checkpoints/best.ckpt") == b"weights"


def test_wrong_wishes_to_watch_are_told(logger: MLDashLogger) -> None:
    """At the call."""
    with pytest.raises(ValueError, match="'gradients', 'parameters' or 'all'"):
        logger.watch(torch.nn.Linear(1, 1), log="weights")
    with pytest.raises(ValueError, match="log_freq is 0"):
        logger.watch(torch.nn.Linear(1, 1), log_freq=0)
