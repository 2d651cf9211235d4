"""What `MLDashLogger` is given in forms that are odd or wrong: taken, told, or refused in words."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ml_dash import open_run
from ml_dash_lightning import MLDashLogger


@pytest.fixture
def logger(tmp_path: Path) -> MLDashLogger:
    """A logger that records into the test's folder."""
    return MLDashLogger(tmp_path / "dash", name="odd", environment=False)


def end(one: MLDashLogger) -> Any:
    """End the run as the process would, and open it."""
    one.experiment.run.complete()
    return open_run(one.log_dir)


NO_IMAGES = {
    "none": (None, "None is no image"),
    "empty": (np.zeros((0, 5, 3), np.uint8), "it is empty"),
    "two channels": (np.zeros((5, 5, 2), np.uint8), "2 channels; take 1, 3 or 4"),
    "complex": (np.zeros((4, 4), complex), "take its magnitude"),
    "nested": ([[1, 2], [3, 4]], "got a list, not an array"),
    "object": (object(), "got a object, not an array"),
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_is_counted_and_told(
    logger: MLDashLogger, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """By the logger of the adapter, once; the row is there, and the other image of the call."""
    wrong, message = NO_IMAGES[kind]
    good = np.full((4, 4), 9, np.uint8)
    with caplog.at_level(logging.WARNING):
        logger.log_image("i", [wrong, good], step=1, caption=["a", "b"])
        logger.log_image("i", [wrong], step=2)
    (told,) = caplog.records
    assert told.name == "ml_dash_lightning"
    assert "MLDashLogger.log_image could not record everything" in told.getMessage()
    assert message in told.getMessage() and "camera" not in told.getMessage()
    assert logger.failures == {"log_image": 2}
    run = end(logger)
    rows = list(run.tracks["images/i"].rows())
    assert [(row["step"], row.get("caption")) for row in rows] == [(1, "a"), (1, "b"), (2, None)]
    (name,) = run.frames("images/i").names
    assert [row.get("frame") for row in rows] == [None, name, None]
    assert np.array_equal(run.frames("images/i")[0], good)


def test_images_within_an_open_step_are_all_kept(logger: MLDashLogger) -> None:
    """Each has a name of its own, and the step that is open, or the one that is given."""
    first, second = np.full((4, 4), 1, np.uint8), np.full((4, 4), 2, np.uint8)
    with logger.experiment.recorder().step(5):
        logger.log_image("i", [first, second])
        logger.log_image("i", [second], step=7)
    run = end(logger)
    rows = list(run.tracks["images/i"].rows())
    assert [row["step"] for row in rows] == [5, 5, 7]
    frames = run.frames("images/i")
    by_name = dict(zip(frames.names, frames, strict=True))
    assert [by_name[row["frame"]][0, 0] for row in rows] == [1, 2, 2]
    assert logger.failures == {}


FILM = np.zeros((6, 16, 32, 3), np.uint8)
FILM[..., 0] = 200

FRAMES: dict[str, list[Any]] = {
    "arrays": list(FILM),
    "tensors": list(torch.from_numpy(FILM).permute(0, 3, 1, 2)),
    "tensors with channels last": list(torch.from_numpy(FILM)),
    "pictures": [Image.fromarray(frame) for frame in FILM],
    "gray": list(FILM[..., 0]),
}


@pytest.fixture
def clips(logger: MLDashLogger, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The frames of each video that is logged, with its rate, as they go to the encoder."""
    taken: list[Any] = []

    def save_video(self: Any, frames: Any, *, to: str, fps: Any, **at: Any) -> None:
        taken.append((np.stack([np.asarray(frame) for frame in frames]), fps))

    monkeypatch.setattr(type(logger.experiment.files), "save_video", save_video)
    return taken


@pytest.mark.parametrize("kind", FRAMES)
def test_the_frames_of_a_video_are_one_video(
    logger: MLDashLogger, clips: list[Any], kind: str
) -> None:
    """Whatever images they are; each was taken for a video some pixels wide."""
    logger.log_video("v", FRAMES[kind], step=1, caption=["a film"])
    ((clip, _),) = clips
    assert np.array_equal(clip, FILM[..., 0] if kind == "gray" else FILM)
    (row,) = end(logger).tracks["videos/v"].rows()
    assert row["caption"] == "a film"
    assert logger.failures == {}


def test_videos_are_still_taken_as_documented(logger: MLDashLogger, clips: list[Any]) -> None:
    """Also gray ones of as many frames as there are colours, alone or with others."""
    gray = np.zeros((3, 16, 32), np.uint8)
    tensor = torch.from_numpy(gray)
    for videos in (gray, [gray], [gray, gray], tensor, [tensor], [tensor, FILM], [FILM, FILM]):
        logger.log_video("v", videos)
    logger.log_video("v", np.stack([FILM, FILM]))
    logger.log_video("v", [list(FILM), list(FILM)])
    logger.log_video("v", [])
    assert [len(clip) for clip, _ in clips] == [3, 3, 3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6]
    assert logger.failures == {}
    end(logger)


@pytest.mark.parametrize("videos", [FILM[0], [FILM, FILM[0]], [FILM, Image.fromarray(FILM[0])]])
def test_one_image_for_a_video_is_told(logger: MLDashLogger, videos: Any) -> None:
    """With what to give."""
    with pytest.raises(ValueError, match=r"log_video 'v': videos has one image.*\[\[frame, frame"):
        logger.log_video("v", videos)


@pytest.mark.parametrize(
    ("fps", "plain"),
    [(np.int64(4), 4), (np.float32(2.5), 2.5), (np.float64(5), 5.0), ([np.uint8(3)], 3)],
)
def test_rates_of_any_kind_of_number_are_taken(
    logger: MLDashLogger, clips: list[Any], fps: Any, plain: float
) -> None:
    """As the encoder takes only plain ones, they are made such."""
    logger.log_video("v", [FILM], fps=fps)
    ((_, rate),) = clips
    assert (type(rate), rate) == (type(plain), plain)
    (row,) = end(logger).tracks["videos/v"].rows()
    assert row["fps"] == plain and logger.failures == {}
    with pytest.raises(ValueError, match="fps is inf"):
        logger.log_video("v", [FILM], fps=float("inf"))


@pytest.mark.parametrize("text", [b"bytes", bytearray(b"x"), memoryview(b"x"), ["a", b"b"]])
def test_bytes_are_no_text(logger: MLDashLogger, text: Any) -> None:
    """They were as many rows, of a number each."""
    with pytest.raises(TypeError, match=r"log_text 't': the text is bytes; give text\.decode\(\)"):
        logger.log_text("t", text)


def test_rows_of_a_table_may_be_dicts(logger: MLDashLogger) -> None:
    """Their values are taken by the names of the columns, whatever their order; never the keys."""
    logger.log_table("t", columns=["a", "b"], data=[{"a": 1, "b": 2}, {"b": 4, "a": 3}, [5, 6]])
    for wrong in ({"a": 1}, {"a": 1, "c": 2}):
        with pytest.raises(
            ValueError, match=r"log_table 't': row 0 has the keys \['a'.*\['a', 'b'"
        ):
            logger.log_table("t", columns=["a", "b"], data=[wrong])
    table = end(logger).tracks["tables/t"]
    assert table["a"].tolist() == [1, 3, 5] and table["b"].tolist() == [2, 4, 6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ["x"], "data": 5}, "data is 5; give a list"),
        ({"dataframe": "x"}, "dataframe is a str; give a frame of pandas or polars"),
        ({"dataframe": [[1]]}, "dataframe is a list"),
        ({"columns": "ab", "data": [[1, 2]]}, "columns is 'ab'; give a list of names"),
        ({"columns": ["a"], "data": [{1}]}, "row 0 is {1}; give a list of rows, each a list"),
        ({"columns": ["a"], "data": [b"x"]}, "row 0 is b'x'"),
    ],
)
def test_what_is_no_table_is_told(
    logger: MLDashLogger, arguments: dict[str, Any], message: str
) -> None:
    """At the call, in words."""
    with pytest.raises(TypeError, match=re.escape(f"log_table 't': {message}")):
        logger.log_table("t", **arguments)


@pytest.mark.parametrize("step", ["x", 2.5, float("nan"), [1, 2], object()])
def test_a_step_that_is_no_number_is_told_once(
    logger: MLDashLogger, caplog: pytest.LogCaptureFixture, step: Any
) -> None:
    """What has it is kept, as without a step; whole numbers of any kind are taken."""
    logger.log_metrics({"loss": 1.0}, step=3)
    with caplog.at_level(logging.WARNING, "ml_dash_lightning"):
        for _ in range(2):
            logger.log_image("i", [np.zeros((4, 4), np.uint8)], step=step)
            logger.log_video("v", ["none.mp4"][:0], step=step)
            logger.log_text("t", ["a", "b"], step=step)
            logger.log_table("t", ["a"], [[1], [2]], step=step)
    calls = ["log_image", "log_video", "log_text", "log_table"]
    assert logger.failures == dict.fromkeys(calls, 2)
    told = [record.getMessage() for record in caplog.records]
    assert [message.split()[0] for message in told] == [f"MLDashLogger.{one}" for one in calls]
    assert all("step is" in message and "no whole number" in message for message in told)
    logger.log_text("t", "c", step=np.int64(5))  # type: ignore[arg-type]  # as users do
    logger.log_text("t", "d", step=torch.tensor(6.0))  # type: ignore[arg-type]
    assert logger.failures == dict.fromkeys(calls, 2)
    run = end(logger)
    assert run.tracks["images/i"].steps.tolist() == [3, 3]
    assert run.tracks["texts/t"].steps.tolist() == [3] * 4 + [5, 6]
    assert run.tracks["tables/t"].steps.tolist() == [3] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, "name is a int; give a text, such as 'mnist/mlp', or None"),
        ({"name": Path("a")}, "name is a PosixPath"),
        ({"save_dir": None}, "save_dir is a NoneType; give a folder"),
        ({"save_dir": 3}, "save_dir is a int"),
        ({"save_dir": b"x"}, "save_dir is a bytes"),
    ],
)
def test_a_name_or_folder_that_is_none_is_told(arguments: dict[str, Any], message: str) -> None:
    """At the call, by the name of the argument."""
    with pytest.raises(TypeError, match=message):
        MLDashLogger(**arguments)


def test_the_constructor_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It settles what holds, as its documentation says: by the configuration file, too."""
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "config.toml"
    monkeypatch.setenv("ML_DASH_CONFIG", str(settings))
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    settings.write_text('root = "elsewhere"\n')
    made = MLDashLogger(name="a", dash_url=False)
    assert made.save_dir == str(tmp_path / "elsewhere")
    settings.write_text("environment = 3\n")
    with pytest.raises(ValueError, match="environment"):
        MLDashLogger(name="a", dash_url=False)
    assert [one.name for one in tmp_path.iterdir()] == ["config.toml"]
