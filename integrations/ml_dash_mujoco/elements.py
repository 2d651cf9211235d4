"""The elements of a model, such as joints and sites: what they are called, and where they are."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import partial

import mujoco

Slices = dict[str, slice]
"""By the name of an element: where it is in an array, along the first axis."""

_TYPES = {
    "joint": ("njnt", mujoco.mjtObj.mjOBJ_JOINT),
    "actuator": ("nu", mujoco.mjtObj.mjOBJ_ACTUATOR),
    "body": ("nbody", mujoco.mjtObj.mjOBJ_BODY),
    "site": ("nsite", mujoco.mjtObj.mjOBJ_SITE),
    "geom": ("ngeom", mujoco.mjtObj.mjOBJ_GEOM),
    "camera": ("ncam", mujoco.mjtObj.mjOBJ_CAMERA),
    "tendon": ("ntendon", mujoco.mjtObj.mjOBJ_TENDON),
    "sensor": ("nsensor", mujoco.mjtObj.mjOBJ_SENSOR),
    "equality": ("neq", mujoco.mjtObj.mjOBJ_EQUALITY),
}


def names_of(model: mujoco.MjModel, kind: str) -> list[str]:
    """The names of all elements of a kind by id; one without a name is called `joint_3`."""
    attribute, number = _TYPES[kind]
    given = [
        mujoco.mj_id2name(model, int(number), i) or "" for i in range(getattr(model, attribute))
    ]
    taken = set(given)
    names = []
    for i, name in enumerate(given):
        while not name or (name in taken and not given[i]):
            name = f"{name}_" if name else f"{kind}_{i}"
        names.append(name)
    return names


def slices_of(model: mujoco.MjModel, layout: str) -> Slices:
    """Where each element is in arrays of one layout.

    Args:
        model: whose elements they are.
        layout: `qpos`, `dof`, `act`, `sensor` and `mocap`, or a kind of elements of which each
            has one row.
    """
    return _LAYOUTS[layout](model)


def unknown(what: str, name: object, names: Iterable[str]) -> ValueError:
    """The error for a name that the model does not have, with those it has."""
    known = list(names)
    if not known:
        return ValueError(f"{what}: {name!r} is not in the model, which has none of this kind")
    near = difflib.get_close_matches(str(name), known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    shown = ", ".join(map(repr, known[:30])) + (
        f" and {len(known) - 30} more" if len(known) > 30 else ""
    )
    return ValueError(f"{what}: {name!r} is not in the model{meant} There are {shown}")


def _by_address(
    kind: str, model: mujoco.MjModel, addresses: Iterable[int], sizes: Iterable[int]
) -> Slices:
    return {
        name: slice(int(start), int(start) + int(size))
        for name, start, size in zip(names_of(model, kind), addresses, sizes, strict=True)
    }


def _joints(addresses: str, free: int, ball: int, model: mujoco.MjModel) -> Slices:
    sizes = {mujoco.mjtJoint.mjJNT_FREE: free, mujoco.mjtJoint.mjJNT_BALL: ball}
    by_type = {int(kind): size for kind, size in sizes.items()}
    counts = [by_type.get(int(kind), 1) for kind in model.jnt_type]
    return _by_address("joint", model, getattr(model, addresses), counts)


def _act(model: mujoco.MjModel) -> Slices:
    found = _by_address("actuator", model, model.actuator_actadr, model.actuator_actnum)
    return {name: place for name, place in found.items() if place.start >= 0}


def _sensors(model: mujoco.MjModel) -> Slices:
    return _by_address("sensor", model, model.sensor_adr, model.sensor_dim)


def _mocap(model: mujoco.MjModel) -> Slices:
    found = _by_address("body", model, model.body_mocapid, [1] * model.nbody)
    return {name: place for name, place in found.items() if place.start >= 0}


def _rows(kind: str, model: mujoco.MjModel) -> Slices:
    return {name: slice(i, i + 1) for i, name in enumerate(names_of(model, kind))}


_LAYOUTS: dict[str, Callable[[mujoco.MjModel], Slices]] = {
    "qpos": partial(_joints, "jnt_qposadr", 7, 4),
    "dof": partial(_joints, "jnt_dofadr", 6, 3),
    "act": _act,
    "sensor": _sensors,
    "mocap": _mocap,
    **{kind: partial(_rows, kind) for kind in _TYPES if kind not in ("joint", "sensor")},
}
