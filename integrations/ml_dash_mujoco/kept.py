"""States that are kept in the run, to be drawn afterwards."""

from __future__ import annotations

import hashlib
from typing import Any

import mujoco

from ml_dash import Experiment
from ml_dash_mujoco.painter import Look
from ml_dash_mujoco.pictures import Labels
from ml_dash_mujoco.simulation import saved

CHANGING = (
    *("body_pos", "body_quat", "geom_pos", "geom_quat", "geom_size", "geom_rgba", "geom_matid"),
    *("site_pos", "site_quat", "site_size", "site_rgba", "mat_rgba", "mat_emission"),
    *("mat_specular", "mat_shininess", "mat_reflectance", "cam_pos", "cam_quat", "cam_fovy"),
    *("light_active", "light_pos", "light_dir", "light_ambient", "light_diffuse"),
    *("tendon_rgba", "tendon_width"),
)
"""Arrays of a model that programs change while they simulate, and that show."""

_VIEW = ("type", "fixedcamid", "trackbodyid", "distance", "azimuth", "elevation")


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
        self._model: mujoco.MjModel = None
        self._before: dict[str, bytes] = {}

    def prepare(self, model: mujoco.MjModel, look: Look) -> None:
        """Save the model and what is to be drawn of it, for the states that follow."""
        settings = {"mujoco": mujoco.__version__, **self._saving, **spelled(look)}
        content = saved(model)
        self._key = hashlib.sha256(content + repr(settings).encode()).hexdigest()[:12]
        self._model = model
        self._before = {name: getattr(model, name).tobytes() for name in _changing(model)}
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
        changes = {
            name: getattr(self._model, name)
            for name, before in self._before.items()
            if getattr(self._model, name).tobytes() != before
        }
        return {**kept, "changes": changes} if changes else kept


def _changing(model: mujoco.MjModel) -> list[str]:
    return [name for name in CHANGING if hasattr(model, name)]


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
    for name in _VIEW:
        setattr(view, name, spelling[name])
    view.lookat[:] = spelling["lookat"]
    return view
