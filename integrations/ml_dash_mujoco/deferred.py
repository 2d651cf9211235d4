"""Draws the frames of states that were kept."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import mujoco
import numpy as np

from ml_dash import Experiment, open_run
from ml_dash_mujoco.contexts import REMEDY, NoOpenGLError
from ml_dash_mujoco.kept import put_view, read_look
from ml_dash_mujoco.painter import Painter
from ml_dash_mujoco.showing import Showing
from ml_dash_mujoco.snapshot import Snapshot

Row = dict[str, Any]


def render_deferred(
    experiment: Experiment,
    model: mujoco.MjModel | None = None,
    *,
    prefix: str = "",
    progress: bool = True,
) -> int:
    """Draw the frames that a hook has deferred, under the steps and names that its rows have.

    What is drawn already is left alone, so that it can be interrupted and called again. A run that
    is not going on is continued for it, and keeps its status, whatever ends the drawing.

    Args:
        experiment: the one that was recorded into, or `Experiment(…)` with the same prefix in
            another process, later, or on another machine.
        model: what to draw; by default the model as it was when the recording began, which is in
            the run, to be read by the same version of MuJoCo.
        prefix: that of the hook.
        progress: show a progress bar on stderr; with tqdm, where that is installed.

    Returns:
        How many moments were drawn, each as all cameras see it.

    Raises:
        FileNotFoundError: nothing was deferred in this run.
        RuntimeError: OpenGL does not work here.
    """
    root = f"{prefix}/mujoco" if prefix else "mujoco"
    topic = f"{root}/deferred"
    with _going_on(experiment):
        if topic not in experiment.track.names:
            raise FileNotFoundError(
                f"nothing was deferred in the run {experiment.prefix!r}: it has no track {topic!r}"
            )
        kept = experiment.track(topic).slice()
        studios: dict[str, _Studio] = {}
        for row in kept:
            if row["model"] not in studios:
                studios[row["model"]] = _Studio(experiment, root, row["model"], model)
        missing = {row["frame"] for row in kept if studios[row["model"]].is_missing(row)}
        todo = (row for row in kept if row["frame"] in missing)
        try:
            for row in _shown(todo, len(missing)) if progress else todo:
                studios[row["model"]].draw(row)
        except NoOpenGLError as error:
            raise RuntimeError(
                f"the deferred frames cannot be drawn here: {error}. {REMEDY}"
            ) from error
        finally:
            for studio in studios.values():
                studio.close()
    return len(missing)


class _Studio:
    """Draws the states that were kept of one model.

    Args:
        experiment: whose run goes on.
        root: see `Keeper`.
        key: which model it is.
        model: the model, if the user has given it.
    """

    def __init__(self, experiment: Experiment, root: str, key: str, model: Any) -> None:
        files = experiment.files(root)
        settings = files.read_json(f"model_{key}.json")
        if model is None:
            model = _load(files.read_bytes(f"model_{key}.mjb"), settings["mujoco"])
        look = read_look(settings, model)
        room = model.vis.global_
        room.offheight = max(room.offheight, look.size[0])
        room.offwidth = max(room.offwidth, look.size[1])
        self._files = files
        self._showing = Showing(model)
        self._views = {
            name: (look.views[name], spelling)
            for name, spelling in settings["views"].items()
            if not isinstance(spelling, int)
        }
        self._quality = settings["quality"]
        self._snapshot = Snapshot(model)
        self._painter = Painter(model, look)
        self._drawn = {
            name: {row["path"].rpartition("/")[2] for row in files(name).list("frame_*")}
            for name in look.folders
        }

    def is_missing(self, row: Row) -> bool:
        """Whether a camera has no frame of a moment."""
        stem = row["frame"].rpartition(".")[0]
        return any(
            row["frame"] not in names and f"{stem}.png" not in names
            for names in self._drawn.values()
        )

    def draw(self, row: Row) -> None:
        """Draw a moment and save its frames."""
        moved = row.get("views", {})
        for name, (view, spelling) in self._views.items():
            put_view(view, moved.get(name, spelling))
        try:
            self._showing.put(row.get("changes", {}))
            pictures = self._painter.draw(self._snapshot.put(np.array(row["state"])))
        finally:
            self._showing.put({})  # other states may be drawn of the same model
        stem = row["frame"].rpartition(".")[0]
        at = {"step": row["step"], "timestamp": row["timestamp"]}
        for name, picture in pictures.colour.items():
            self._files(name).save_image(picture, to=row["frame"], quality=self._quality, **at)
        for name, picture in pictures.exact.items():
            self._files(name).save_image(picture, to=f"{stem}.png", **at)

    def close(self) -> None:
        """Free the renderer."""
        self._painter.close()


def _load(content: bytes, version: str) -> mujoco.MjModel:
    """A model that was saved in the run."""
    if version != mujoco.__version__:
        raise RuntimeError(
            f"the model in the run was saved by mujoco {version}, which {mujoco.__version__} does"
            " not read; give the model: render_deferred(experiment, model)"
        )
    return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": content})


@contextmanager
def _going_on(experiment: Experiment) -> Iterator[None]:
    """Within a run that goes on, which one that has ended does again for this."""
    if experiment.run.status == "RUNNING":
        yield
        return
    folder = experiment.folder
    if folder and not folder.exists():
        raise FileNotFoundError(
            f"nothing was deferred in the run {experiment.prefix!r}: there is no {folder}"
        )
    status = open_run(folder).status if folder else experiment.run.status
    # Whatever ends the drawing, be it a signal, says nothing of what was recorded.
    experiment.run.start(decides=False)
    try:
        yield
    finally:
        experiment.run.end(status)


def _shown(rows: Iterable[Row], count: int) -> Iterator[Row]:
    """The rows, with a progress bar while they are gone through."""
    try:
        tqdm = import_module("tqdm").tqdm
    except ImportError:
        yield from _told(rows, count)
    else:
        yield from tqdm(rows, total=count, desc="rendering", unit="frame")


def _told(rows: Iterable[Row], count: int) -> Iterator[Row]:
    """The rows, with a line at each tenth of them."""
    for number, row in enumerate(rows, 1):
        yield row
        if number * 10 // count > (number - 1) * 10 // count:
            print(f"rendering: {number:,} of {count:,} frames", file=sys.stderr)
