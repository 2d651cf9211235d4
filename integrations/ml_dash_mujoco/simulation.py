"""What is recorded: a model with its data, or an environment that holds both."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import mujoco
import numpy as np

_BAD = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
_HOLDERS = 64
_DEEPEST = 6
_MOST = 5000
_BAD_NAMES = ("BADQPOS", "BADQVEL", "BADQACC")


class Simulation:
    """A simulation, as it was given to the hook.

    Args:
        model: a `mujoco.MjModel`, or a Gymnasium environment whose `unwrapped` has `model` and
            `data`.

    Attributes:
        model: its model.
        environment: the environment as it was given, else `None`.
        source: what holds its data; `None` where that comes with each call.

    Raises:
        TypeError: neither.
    """

    def __init__(self, model: Any) -> None:
        self.environment: Any = None
        self.source: Any = None
        if not isinstance(model, mujoco.MjModel):
            source = _holder(model)
            if source is None:
                raise TypeError(
                    f"model is a {type(model).__name__}; give a mujoco.MjModel, or a Gymnasium"
                    " environment whose `unwrapped` has `model` and `data` of MuJoCo"
                    " (of dm_control: physics.model.ptr, and hook(physics.data.ptr))"
                )
            self.environment, self.source, model = model, source, source.model
        self.model: mujoco.MjModel = model
        self._known: mujoco.MjData = None
        self._holders: dict[tuple[int, int], bool] = {}

    def data_of(self, given: Any) -> mujoco.MjData:
        """The data of what the hook was called with.

        Raises:
            TypeError: it has none.
        """
        if isinstance(given, mujoco.MjData):
            return given
        source = self.source if given is None else _holder(given)
        if source is None:
            raise TypeError(
                f"the hook was called with {_kind(given)}; give it the mujoco.MjData of the"
                " simulation: hook(data)"
            )
        return source.data

    def has_changed(self, data: mujoco.MjData) -> bool:
        """Whether an environment has made itself another model since the last call.

        Raises:
            ValueError: the data is that of another model.
        """
        if data is self._known:
            return False
        if self.source is not None and data is self.source.data:
            before, self.model = self.model, self.source.model
            self._known = data
            return before is not self.model
        if not alike(data.model, self.model):
            raise ValueError(
                "the hook was called with the data of another model than the one it was made with;"
                " make a hook for each model, and a new one where a model is compiled again"
            )
        self._known = data
        return False

    def is_of(self, holder: object) -> bool:
        """Whether an object, such as an environment, has the data of the last call in it."""
        key = id(holder), id(self._known)
        if key not in self._holders:
            if len(self._holders) >= _HOLDERS:  # an environment that makes itself others
                self._holders.clear()
            self._holders[key] = self._known is not None and _has(holder, self._known)
        return self._holders[key]


def _has(holder: object, data: mujoco.MjData) -> bool:
    """Whether `data` is among the attributes of an object, or among those of these, and so on.

    It is `data` in Gymnasium's environments; others have it in a simulator, or a list of them.
    """
    seen, level = {id(holder)}, [holder]
    for _ in range(_DEEPEST):
        parts = [part for one in level for part in _parts(one)]
        if any(part is data for part in parts):
            return True
        level = []
        for part in parts:
            if id(part) not in seen and len(seen) < _MOST:
                seen.add(id(part))
                level.append(part)
    return False


def _parts(one: object) -> Iterable[object]:
    if isinstance(one, (list, tuple)):
        return one[:_MOST]
    if isinstance(one, (ModuleType, type)):
        return ()
    held = one if isinstance(one, dict) else getattr(one, "__dict__", {})
    return list(held.values())


def finite(time: float) -> float:
    """The time of a simulation.

    Raises:
        ValueError: it says nothing of when rows and frames are due, or an episode begins.
    """
    if not math.isfinite(time):
        raise ValueError(
            f"data.time is {time}, by which nothing can be paced; set it, as mj_resetData does"
        )
    return time


def bad_states(data: mujoco.MjData) -> int:
    """How often MuJoCo found a bad state since the last reset; it resets by itself then."""
    return int(data.warning.number[_BAD].sum())


def bad_state_name(data: mujoco.MjData) -> str:
    """Which kind of bad state that was: `BADQPOS`, `BADQVEL` or `BADQACC`; empty for none."""
    numbers = data.warning.number[_BAD]
    return _BAD_NAMES[int(numbers.argmax())] if numbers.any() else ""


def _holder(environment: Any) -> Any:
    """What holds model and data in an environment, below all its wrappers."""
    base = getattr(environment, "unwrapped", None)
    model, data = getattr(base, "model", None), getattr(base, "data", None)
    found = isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData)
    return base if found else None


def alike(model: mujoco.MjModel, other: mujoco.MjModel) -> bool:
    """Whether what holds for one model holds for the other: the same, a copy, loaded again.

    MuJoCo itself does not look: it reads beyond the arrays where a model has more of something.
    """
    if model is other:
        return True
    if mujoco.mj_sizeModel(model) != mujoco.mj_sizeModel(other):
        return False
    twin, room, own = model, model.vis.global_, other.vis.global_
    if (room.offheight, room.offwidth) != (own.offheight, own.offwidth):
        twin = copy.copy(model)  # a hook makes room for its frames in its own model only
        twin.vis.global_.offheight, twin.vis.global_.offwidth = own.offheight, own.offwidth
    return saved(twin) == saved(other)


def saved(model: mujoco.MjModel) -> bytes:
    """A model as its file."""
    content = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    return content.tobytes()


def _kind(given: Any) -> str:
    return "nothing" if given is None else f"a {type(given).__name__}"
