"""States that are kept in the run, to be drawn afterwards."""

from __future__ import annotations

import hashlib
from typing import Any

import mujoco

from ml_dash import Experiment
from ml_dash_mujoco.painter import Look
from ml_dash_mujoco.pictures import Labels
from ml_dash_mujoco.showing import Showing
from ml_dash_mujoco.simulation import saved

_VIEW = (
    *("type", "fixedcamid", "trackbodyid", "distance", "azimuth", "elevation"),
    *(["orthographic"] if hasattr(mujoco.MjvCamera, "orthographic") else []),
)


class Keeper:
    """Keeps states in the run, with all that is needed to draw them.

    Args:
        experiment: whose run it is.
        root: what names of tracks and files begin with, such as `mujoco`.
        ending: of the cameras' frames, `jpg` or `png`.
        quality: of JPEG frames.

    Attributes:
        topic: the track of the states.
    """

    def __init__(self, experiment: Experiment, root: str, ending: str, quality: int) -> None:
        self.topic = f"{root}/deferred"
        self._experiment = experiment
        self._root = root
        self._saving = {"ending": ending, "quality": quality}
        self._key = ""
        self._showing: Showing | None = None
        self._views: dict[str, Any] = {}  # of the user's own, with how they were at first

    def prepare(self, model: mujoco.MjModel, look: Look) -> None:
        """Save the model and what is to be drawn of it, for the states that follow."""
        settings = {"mujoco": mujoco.__version__, **self._saving, **spelled(look)}
        content = saved(model)
        self._key = hashlib.sha256(content + repr(settings).encode()).hexdigest()[:12]
        self._showing = Showing(model)
        self._views = {
            name: (view, settings["views"][name])
            for name, view in look.views.items()
            if not isinstance(view, int)
        }
        files = self._experiment.files(self._root)
        files.save_blob(content, to=f"model_{self._key}.mjb")
        files.save_json(settings, to=f"model_{self._key}.json")

    def row(self, row: dict[str, Any], state: Any) -> dict[str, Any]:
        """The row that keeps a state.

        Args:
            row: that of the track `state`, which names its frame already.
            state: float64[n], as `mj_getState` gives it.
        """
        own = {name: row[name] for name in ("time", "episode", "frame")}
        kept = {**own, "model": self._key, "state": state}
        if self._showing is not None and (changes := self._showing.changes()):
            kept["changes"] = changes
        views = {
            name: spelling
            for name, (view, before) in self._views.items()
            if (spelling := _spelled_view(view)) != before
        }
        return {**kept, "views": views} if views else kept


def spelled(look: Look) -> dict[str, Any]:
    """What is to be drawn, as JSON types."""
    return {
        "views": {name: _spelled_view(view) for name, view in look.views.items()},
        "size": list(look.size),
        "depth": look.depth,
        "segmentation": look.labels is not None,
        "shadows": look.shadows,
    }


def read_look(settings: dict[str, Any], model: mujoco.MjModel) -> Look:
    """What `spelled` has spelled."""
    height, width = settings["size"]
    return Look(
        {name: _read_view(view) for name, view in settings["views"].items()},
        (height, width),
        settings["depth"],
        Labels(model) if settings["segmentation"] else None,
        settings["shadows"],
    )


def _spelled_view(view: Any) -> Any:
    if isinstance(view, int):
        return view
    return {name: getattr(view, name) for name in _VIEW} | {"lookat": view.lookat.tolist()}


def _read_view(spelling: Any) -> Any:
    if isinstance(spelling, int):
        return spelling
    view = mujoco.MjvCamera()
    put_view(view, spelling)
    return view


def put_view(view: mujoco.MjvCamera, spelling: dict[str, Any]) -> None:
    """Have a view of the user's look as one that was spelled."""
    for name in _VIEW:
        if name in spelling:  # MuJoCo has come to know more of them
            setattr(view, name, spelling[name])
    view.lookat[:] = spelling["lookat"]
