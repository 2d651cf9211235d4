"""What shows of a model, and may be changed while it is simulated.

Without what a renderer takes over once, when it is made: textures, meshes, height fields, fog.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

_WHOLE = ("cam_", "light_")
"""Of these kinds of elements, all arrays."""

_FIELDS = (
    *("body_pos", "body_quat", "body_ipos", "body_iquat", "body_sameframe"),
    *("body_mass", "body_subtreemass"),  # where a camera or a light follows a centre of mass
    *("jnt_type", "jnt_pos", "jnt_axis", "qpos0"),
    *("geom_type", "geom_dataid", "geom_group", "geom_pos", "geom_quat", "geom_sameframe"),
    *("geom_size", "geom_rgba", "geom_matid", "geom_castshadow"),
    *("site_type", "site_dataid", "site_group", "site_pos", "site_quat", "site_sameframe"),
    *("site_size", "site_rgba", "site_matid"),
    *("mat_rgba", "mat_emission", "mat_specular", "mat_shininess", "mat_reflectance"),
    *("mat_metallic", "mat_roughness"),
    *("tendon_rgba", "tendon_width", "tendon_matid", "tendon_group"),
    # by which a slack one hangs
    *("tendon_limited", "tendon_range", "tendon_stiffness", "tendon_damping"),
    *("tendon_frictionloss", "opt.gravity"),
    *("flex_rgba", "flex_matid", "flex_group", "flex_radius", "flex_flatskin"),
    *("flex_vert", "flex_node"),
    *("skin_rgba", "skin_matid", "skin_group", "skin_inflate"),
    *(f"vis.headlight.{name}" for name in ("active", "ambient", "diffuse", "specular")),
    *("vis.map.znear", "vis.map.zfar", "stat.center", "stat.extent"),
    # of the free camera
    *(f"vis.global_.{name}" for name in ("azimuth", "elevation", "fovy", "orthographic")),
)


class Showing:
    """How a model looks, compared with how it looked at first.

    Args:
        model: the model, as it looks at first.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model  # which the arrays are views of
        self._arrays: dict[str, Any] = {}
        self._numbers: dict[str, tuple[Any, str]] = {}
        for name in _names(model):
            holder, _, last = name.rpartition(".")
            owner = operator.attrgetter(holder)(model) if holder else model
            value = getattr(owner, last, None)
            if isinstance(value, np.ndarray):
                self._arrays |= {name: value} if value.size else {}
            elif value is not None:
                self._numbers[name] = owner, last
        self._first = {name: array.copy() for name, array in self._arrays.items()}
        self._bytes = {name: array.tobytes() for name, array in self._arrays.items()}
        self._first |= {name: getattr(*place) for name, place in self._numbers.items()}
        self._put: list[str] = []

    def changes(self) -> dict[str, Any]:
        """What is not as at first: arrays, views of the model, and numbers."""
        known, first = self._bytes, self._first
        found = {
            name: array for name, array in self._arrays.items() if array.tobytes() != known[name]
        }
        for name, (owner, last) in self._numbers.items():
            value = getattr(owner, last)
            if value != first[name]:
                found[name] = value
        return found

    def put(self, changes: Mapping[str, Any]) -> None:
        """Have the model look so, and in all else as at first.

        Raises:
            ValueError: the model has nothing of such a name or shape.
        """
        for name in self._put:
            self._set(name, self._first[name])
        self._put = []
        for name, value in changes.items():
            self._set(name, value)
            self._put.append(name)

    def _set(self, name: str, value: Any) -> None:
        if name in self._arrays:
            array = self._arrays[name]
            array[...] = np.reshape(value, array.shape)
        elif name in self._numbers:
            setattr(*self._numbers[name], type(self._first[name])(value))
        else:
            raise ValueError(f"{name} was changed while this was recorded; the model has none")


def _names(model: mujoco.MjModel) -> list[str]:
    whole = [name for name in dir(model) if name.startswith(_WHOLE) and name != "cam_user"]
    return [*_FIELDS, *whole]
