"""What a hook was asked to record, checked before the simulation starts."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from ml_dash_mujoco.cameras import cameras_of
from ml_dash_mujoco.painter import Look
from ml_dash_mujoco.pictures import MILLIMETRE, Labels
from ml_dash_mujoco.state import Columns

LARGEST = 16_384
"""Pixels on a side; more no graphics driver draws."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a hook that are about one moment; see `RenderHook`.

    Raises:
        ValueError: one is out of its range.
        TypeError: one has a wrong type.
    """

    cameras: Any
    size: Any
    state: Any
    depth: Any
    segmentation: bool
    shadows: bool
    renderer: Any
    deferred: Any = False

    def __post_init__(self) -> None:
        for name in ("segmentation", "shadows", "deferred"):
            if not isinstance(value := getattr(self, name), (int, np.bool_)):
                raise TypeError(f"{name} is {value!r}; give True or False")
        if self.deferred and self.renderer is not None:
            raise ValueError(
                "a renderer is given with deferred=True, but later frames are drawn by another one,"
                " without its flags; leave one out (size= and shadows= hold for both)"
            )

    def columns(self, model: mujoco.MjModel) -> Columns:
        """The columns of the rows."""
        return Columns(model, self.state)

    def look(self, model: mujoco.MjModel) -> Look:
        """What is drawn. Makes room for it in the model's offscreen buffer."""
        views = cameras_of(model, self.cameras)
        size = _size(self.size, self.renderer)
        unit = _unit(self.depth)
        labels = Labels(model) if self.segmentation else None
        look = Look(views, size, unit, labels, bool(self.shadows))
        _check_distinct(look.folders)
        if self.renderer is None and views:
            room = model.vis.global_
            room.offheight = max(room.offheight, size[0])
            room.offwidth = max(room.offwidth, size[1])
        return look


def described(model: mujoco.MjModel, columns: Columns, look: Look) -> dict[str, Any]:
    """What a reader needs to know of the columns and frames, as plain JSON types."""
    found: dict[str, Any] = {
        "mujoco": mujoco.__version__,
        "timestep": float(model.opt.timestep),
        "columns": columns.map,
        "cameras": list(look.views),
        "size": list(look.size),
    }
    if look.depth is not None:
        found["depth"] = {"metres_per_count": look.depth, "nothing": 0}
    if look.labels is not None:
        found["segmentation"] = look.labels.ranges
    return found


def as_selection(state: Any) -> Any:
    """The selection, to be gone through more than once."""
    again = isinstance(state, (str, bytes, Mapping)) or not isinstance(state, Iterable)
    return state if again else list(state)


def _check_distinct(folders: list[str]) -> None:
    """Two kinds of frames must not go to one folder."""
    for folder in folders:
        if folders.count(folder) > 1:
            raise ValueError(
                f"cameras: {folder!r} would hold two kinds of frames; give one of the cameras"
                " another name: cameras={'name': 'camera', …}"
            )


def _size(size: Any, renderer: Any) -> tuple[int, int]:
    """Height and width; those of the user's renderer, if there is one."""
    own = None
    if renderer is not None:
        if not (hasattr(renderer, "update_scene") and hasattr(renderer, "render")):
            raise TypeError(f"renderer is a {type(renderer).__name__}; give a mujoco.Renderer")
        own = (int(renderer.height), int(renderer.width))
    if size is None:
        return own or (480, 640)
    try:
        if isinstance(size, (Mapping, set, bytes)) or any(isinstance(side, bool) for side in size):
            raise TypeError
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise TypeError(
            f"size is {size!r}; give height and width as whole numbers, such as (480, 640)"
        ) from None
    if not (1 <= height <= LARGEST and 1 <= width <= LARGEST):
        raise ValueError(f"size is {size!r}; height and width must be from 1 to {LARGEST:,} pixels")
    if own not in (None, (height, width)):
        raise ValueError(f"size is {size!r}, but the renderer makes {own}; leave size out")
    return height, width


def _unit(depth: Any) -> float | None:
    """Metres that one count of the depth stands for."""
    if depth is None or isinstance(depth, bool):
        return MILLIMETRE if depth else None
    try:
        unit = 0.0 if isinstance(depth, str) else float(depth)
    except (TypeError, ValueError):
        unit = 0.0
    if not 0 < unit < float("inf"):
        raise ValueError(
            f"depth is {depth!r}; give True for millimetres, or the metres that one count of the"
            " 16-bit picture stands for, such as 0.0001"
        )
    return unit
