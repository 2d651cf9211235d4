"""Which cameras are recorded, and what their frames are called."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import mujoco

from ml_dash_mujoco.elements import names_of, unknown

View: TypeAlias = int | Any
"""The id of a camera of the model, -1 for the free one, or an `MjvCamera` of the user's."""

FREE = "free"


def cameras_of(model: mujoco.MjModel, chosen: Any) -> dict[str, View]:
    """The views to be recorded, by the name of the folder of their frames.

    Args:
        model: whose cameras they are.
        chosen: a list of names or ids, -1 for the free camera; or a dict that also gives names of
            one's own, whose values may be `mujoco.MjvCamera`; by default all of the model, or the
            free one where it has none.

    Raises:
        ValueError: there is no such camera; the message lists those there are.
        TypeError: something else is given.
    """
    known = names_of(model, "camera")
    if chosen is None:
        return {name: i for i, name in enumerate(known)} or {FREE: -1}
    if isinstance(chosen, Mapping):
        return {_text(name): _view(view, known) for name, view in chosen.items()}
    if isinstance(chosen, (str, bytes, mujoco.MjvCamera)) or not isinstance(chosen, Iterable):
        raise TypeError(f"cameras is {chosen!r}; give a list, such as ['front']")
    views: dict[str, View] = {}
    for one in chosen:
        if isinstance(one, mujoco.MjvCamera):
            raise TypeError("cameras: an MjvCamera needs a name; give {'side': camera}")
        view = _view(one, known)
        views[known[view] if isinstance(view, int) and view >= 0 else FREE] = view
    return views


def _view(view: Any, known: list[str]) -> View:
    if isinstance(view, mujoco.MjvCamera):
        return view
    if isinstance(view, str):
        if view not in known:
            raise unknown("cameras", view, known)
        return known.index(view)
    try:
        if isinstance(view, bool):
            raise TypeError
        number = operator.index(view)
    except TypeError:
        raise TypeError(f"cameras: {view!r} is neither a name nor an id of a camera") from None
    if not -1 <= number < len(known):
        raise unknown("cameras", view, known)
    return number


def _text(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"cameras: {name!r} is no name for a folder; give a text")
    return name
