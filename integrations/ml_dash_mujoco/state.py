"""Which parts of a simulation's state are recorded, and as which columns.

| selected | column | value |
|---|---|---|
| `qpos`, or another array of `MjData` | `qpos` | all of it; the name map says where each joint is |
| `qpos:elbow`, `qpos:wrist_*` | `qpos.elbow` | one element of it, named from the model |
| `site:ee` | `site.ee` | the site's position `[x, y, z]`, metres in the world's frame |
| `body:…`, `geom:…`, `camera:…` | `body.hand` | the position of its frame, likewise |
| `sensor:touch`, `sensor:*` | `sensor.touch` | its reading: a number, or a list if it has several |
| `joint:…`, `actuator:…`, `tendon:…` | `joint.elbow` | its `qpos`, `ctrl`, length |

Units are MuJoCo's: metres, radians, seconds, newtons. A free joint has 7 values in `qpos` (position
and quaternion w, x, y, z) and 6 in `qvel`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import mujoco

from ml_dash_mujoco.elements import Slices, slices_of, unknown


class Stage(IntEnum):
    """What has to be computed before an array says what it should."""

    STATE = 0  # nothing: it is part of the state itself
    POSE = 1
    FORCE = 2


_FIELDS: dict[str, tuple[str, Stage]] = {
    "qpos": ("qpos", Stage.STATE),
    "qvel": ("dof", Stage.STATE),
    "act": ("act", Stage.STATE),
    "ctrl": ("actuator", Stage.STATE),
    "qfrc_applied": ("dof", Stage.STATE),
    "xfrc_applied": ("body", Stage.STATE),
    "mocap_pos": ("mocap", Stage.STATE),
    "mocap_quat": ("mocap", Stage.STATE),
    "eq_active": ("equality", Stage.STATE),
    "userdata": ("", Stage.STATE),
    "xpos": ("body", Stage.POSE),
    "xquat": ("body", Stage.POSE),
    "xmat": ("body", Stage.POSE),
    "xipos": ("body", Stage.POSE),
    "subtree_com": ("body", Stage.POSE),
    "site_xpos": ("site", Stage.POSE),
    "site_xmat": ("site", Stage.POSE),
    "geom_xpos": ("geom", Stage.POSE),
    "geom_xmat": ("geom", Stage.POSE),
    "cam_xpos": ("camera", Stage.POSE),
    "cam_xmat": ("camera", Stage.POSE),
    "ten_length": ("tendon", Stage.POSE),
    "ten_velocity": ("tendon", Stage.FORCE),
    "actuator_length": ("actuator", Stage.FORCE),
    "actuator_velocity": ("actuator", Stage.FORCE),
    "actuator_force": ("actuator", Stage.FORCE),
    "cvel": ("body", Stage.FORCE),
    "qacc": ("dof", Stage.FORCE),
    "qfrc_actuator": ("dof", Stage.FORCE),
    "qfrc_bias": ("dof", Stage.FORCE),
    "qfrc_constraint": ("dof", Stage.FORCE),
    "qfrc_passive": ("dof", Stage.FORCE),
    "sensordata": ("sensor", Stage.FORCE),
}
"""By array of `MjData`: how its elements lie in it, and what it needs."""

_SHORT = {
    "joint": "qpos",
    "actuator": "ctrl",
    "body": "xpos",
    "site": "site_xpos",
    "geom": "geom_xpos",
    "camera": "cam_xpos",
    "tendon": "ten_length",
    "sensor": "sensordata",
}
"""What is meant by `site:ee` and the like."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a whole array, or the part of it that is one element's."""

    name: str
    field: str
    part: slice | int | None

    @property
    def stage(self) -> Stage:
        """What its value needs."""
        return _FIELDS[self.field][1]


class Columns:
    """The columns of a selection.

    Args:
        model: whose state it is.
        selected: see the module.

    Raises:
        ValueError: there is no such array or element; the message lists those there are.
        TypeError: the selection is no list of texts.
    """

    def __init__(self, model: mujoco.MjModel, selected: Iterable[str]) -> None:
        if isinstance(selected, (str, bytes)) or not isinstance(selected, Iterable):
            raise TypeError(f"state is {selected!r}; give a list, such as ['qpos', 'site:ee']")
        found: dict[str, Column] = {}
        for item in selected:
            if not isinstance(item, str):
                raise TypeError(f"state: {item!r} is no text; give names such as 'qpos'")
            found.update((column.name, column) for column in _columns(model, item))
        self._columns = [(one.name, one.field, one.part, one.stage) for one in found.values()]
        self.map = {
            column.name: _spelled(slices_of(model, _FIELDS[column.field][0]))
            for column in found.values()
            if column.part is None and _FIELDS[column.field][0]
        }
        """By column that is a whole array, by element: its slice, `[start, stop]`."""
        self.stage = max((one.stage for one in found.values()), default=Stage.STATE)
        """What the column needs that needs most."""

    def read(self, sources: Mapping[Stage, mujoco.MjData]) -> dict[str, Any]:
        """The values by column: views, to be recorded before the simulation goes on.

        Args:
            sources: where to take what needs each stage from.
        """
        row: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        for name, field, part, stage in self._columns:
            array = arrays.get(field)
            if array is None:
                array = arrays[field] = getattr(sources[stage], field)
            row[name] = array if part is None else array[part]
        return row


def _columns(model: mujoco.MjModel, item: str) -> Iterable[Column]:
    head, colon, pattern = item.partition(":")
    field = _SHORT.get(head, head) if colon else head
    if field not in _FIELDS:
        near = unknown("state", item, [*_FIELDS, *(f"{kind}:…" for kind in _SHORT)])
        raise ValueError(f"{near}, where … is a name or a pattern such as *")
    if not colon:
        yield Column(field, field, None)
        return
    layout = _FIELDS[field][0]
    if not layout:
        raise ValueError(f"state: {item!r} has no named elements; select {field!r}")
    slices = slices_of(model, layout)
    names = [pattern] if pattern in slices else fnmatch.filter(slices, pattern)
    if not names and pattern != "*":  # of all, there may be none
        raise unknown(f"state {item!r}", pattern, slices)
    for name in names:
        place = slices[name]
        alone = place.stop - place.start == 1
        yield Column(f"{head}.{name}", field, place.start if alone else place)


def _spelled(slices: Slices) -> dict[str, list[int]]:
    return {name: [place.start, place.stop] for name, place in slices.items()}
