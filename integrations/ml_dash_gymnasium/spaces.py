"""What the values of a space become: columns of a row, and frames; and values again.

    layout = Layout(env.observation_space, "obs")
    layout.write(observation, row)         # row["obs.position"] = array of its own, …
    layout.pictures(observation)           # {"obs/cam/front": array of its own}
    layout.value(row, pictures)            # the observation, from what was read back

| space | in the row |
|---|---|
| Box, MultiDiscrete, MultiBinary | `obs`: an array (a list in JSON), of any shape |
| Discrete, Text | `obs`: an integer, a text |
| Dict, Tuple | their parts, each by its path: `obs.pose.x`, `obs.0` |
| OneOf | `obs.index` and the part chosen, `obs.1` |
| Graph | `obs.nodes`, `obs.edges`, `obs.edge_links`; without edges only the first |
| Sequence | `obs`: a list; of Dicts a list of dicts |
| a Box that is a picture (see `images`) | nothing, but a frame of camera `obs`, `obs/cam/front` |

A camera is named by the keys that lead to it. In these, what is no letter, digit or one of ` .+=-_`
is `_`, and the name of a device on Windows, which no run can have, begins with `~`: the camera of
`{"aux": picture}` is `obs/~aux`. No other key gives such a name.

A value that is not of its space is kept all the same, as it is; but the frame of such a picture has
the nearest colours. Nothing given is ever changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Space
from numpy.typing import NDArray

from ml_dash import check_path
from ml_dash_gymnasium.copies import keep
from ml_dash_gymnasium.images import EARLIER, Picture, picture_of
from ml_dash_gymnasium.restoring import restored

Array = NDArray[Any]
Row = dict[str, Any]

_UNSAFE = re.compile(r"[^\w .+=-]")


class Layout:
    """How the values of one space lie in rows and frames.

    Args:
        space: any space of gymnasium; the values of others are kept as they are.
        root: the column of the value, and the first part of all its columns and cameras.
        pictures: whether what is a picture becomes a frame. Otherwise all of it is columns: for
            actions, which are no observations.

    Attributes:
        cameras: what each camera shows, by name: `obs`, `obs/cam/front`, and of stacks
            `obs_earlier`.
        earlier: of a stack's camera that which has the pictures before.
        empty: whether its values have no parts at all, such as those of `Dict({})`: there is but
            one, and no row shows it.
    """

    def __init__(self, space: Space[Any], root: str, *, pictures: bool = True) -> None:
        self.space = space
        self.root = root
        self.cameras: dict[str, Picture] = {}
        self.earlier: dict[str, str] = {}
        self._names = _Names(pictures)
        self._node = _node(space, root, root, self._names)
        self.write: Callable[[Any, Row], None] = self._node.write
        self.empty = self._node.empty
        for leaf in self._names.leaves:
            self.cameras[leaf.camera] = leaf.picture
            if leaf.picture.stacked:
                self.cameras[leaf.earlier] = leaf.picture
                self.earlier[leaf.camera] = leaf.earlier

    def pictures(
        self,
        value: Any,
        cameras: Collection[str] | None = None,
        told: Callable[[str], None] | None = None,
    ) -> dict[str, Array]:
        """The pictures in a value by camera, in memory of their own: HxW or HxWxC.

        Args:
            value: of the space; what does not fit has no picture.
            cameras: only these.
            told: of each camera whose picture does not show the numbers that it was given.
        """
        taken: dict[str, Array] = {}
        for leaf in self._names.leaves:
            part = leaf.find(value)
            if part is None or (cameras is not None and leaf.camera not in cameras):
                continue
            frames = leaf.picture.frames(part)
            if frames is not None:
                if told is not None and not leaf.picture.shows(part):
                    told(leaf.camera)
                taken.update(zip((leaf.camera, leaf.earlier), frames, strict=False))
        return taken

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array] | None = None) -> Any:
        """The value again, of a row that was read back.

        Args:
            row: it, with its columns under the names that `write` gave them.
            pictures: the frames of the row by camera, decoded.

        Returns:
            The value, in the types of the space; `None` for what the row does not have.
        """
        return self._node.value(row, pictures or {})

    def __reduce__(self) -> tuple[Any, ...]:
        return Layout._again, (self.space, self.root, self._names.pictures)

    @classmethod
    def _again(cls, space: Space[Any], root: str, pictures: bool) -> Layout:
        return cls(space, root, pictures=pictures)


class _Names:
    """Gives each leaf a column and a camera that no other has."""

    def __init__(self, pictures: bool) -> None:
        self.pictures = pictures
        self.leaves: list[_PictureNode] = []
        self._columns: set[str] = set()
        self._cameras: set[str] = set()

    def column(self, wanted: str) -> str:
        return _distinct(wanted, self._columns)

    def camera(self, wanted: str) -> str:
        return _distinct(wanted, self._cameras)


def _distinct(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}~{number}", number + 1
    taken.add(name)
    return name


class _Node:
    """A part of a space that is one column: the value as it is."""

    empty = False

    def __init__(self, space: Space[Any] | None, column: str) -> None:
        self.space = space
        self.column = column

    def write(self, value: Any, row: Row) -> None:
        row[self.column] = value.copy() if type(value) is np.ndarray and value.ndim else keep(value)

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array]) -> Any:
        return restored(self.space, row.get(self.column))


class _PictureNode(_Node):
    """A picture: a frame, and a column as well where that costs little."""

    def __init__(
        self, space: Space[Any], column: str, camera: str, earlier: str, picture: Picture
    ) -> None:
        super().__init__(space, column)
        self.camera = camera
        self.earlier = earlier
        self.picture = picture
        self._shape = None if picture.few else picture.shape  # of what is not a column, too
        self.path: list[Callable[[Any], Any]] = []

    def write(self, value: Any, row: Row) -> None:
        if self._shape is None or getattr(value, "shape", None) != self._shape:
            super().write(value, row)

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array]) -> Any:
        found = super().value(row, pictures)
        if found is None and self.camera in pictures:
            frames = [pictures[name] for name in (self.camera, self.earlier) if name in pictures]
            found = self.picture.value(frames)
        return found

    def find(self, value: Any) -> Any:
        """This part of a whole value; `None` where it has none."""
        try:
            for step in self.path:
                value = step(value)
        except (LookupError, TypeError, ValueError):
            return None
        return value


class _Composite(_Node):
    """A part whose own parts have columns of theirs."""

    def __init__(self, space: Space[Any], column: str, parts: dict[Any, _Node]) -> None:
        super().__init__(space, column)
        self.parts = parts


class _Parts(_Composite):
    """All of whose parts a value has."""

    def __init__(self, space: Space[Any], column: str, parts: dict[Any, _Node]) -> None:
        super().__init__(space, column, parts)
        self.empty = all(part.empty for part in parts.values())


class _DictNode(_Parts):
    def write(self, value: Any, row: Row) -> None:
        if not isinstance(value, Mapping):
            return super().write(value, row)
        parts = self.parts
        for key, item in value.items():
            if key in parts:
                parts[key].write(item, row)
            else:
                row[f"{self.column}.{key}"] = keep(item)
        return None

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array]) -> Any:
        if row.get(self.column) is not None:
            return row[self.column]
        return {key: part.value(row, pictures) for key, part in self.parts.items()}


class _TupleNode(_Parts):
    def write(self, value: Any, row: Row) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != len(self.parts):
            return super().write(value, row)
        for index, item in enumerate(value):
            self.parts[index].write(item, row)
        return None

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array]) -> Any:
        if row.get(self.column) is not None:
            return row[self.column]
        return tuple(part.value(row, pictures) for part in self.parts.values())


class _OneOfNode(_Composite):
    def write(self, value: Any, row: Row) -> None:
        try:
            index, item = value
            part = self.parts[int(index)]
            if int(index) != index:
                raise ValueError("no index")
        except (TypeError, ValueError, LookupError):
            return super().write(value, row)
        row[f"{self.column}.index"] = int(index)
        return part.write(item, row)

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array]) -> Any:
        index = row.get(f"{self.column}.index")
        if index is None:
            return row.get(self.column)
        return np.int64(index), self.parts[int(index)].value(row, pictures)


class _GraphNode(_Node):
    FIELDS = ("nodes", "edges", "edge_links")

    def write(self, value: Any, row: Row) -> None:
        try:
            fields = [getattr(value, name) for name in self.FIELDS]
        except AttributeError:
            return super().write(value, row)
        for name, field in zip(self.FIELDS, fields, strict=True):
            if field is not None:
                row[f"{self.column}.{name}"] = keep(field)
        return None

    def value(self, row: Mapping[str, Any], pictures: Mapping[str, Array]) -> Any:
        fields = [row.get(f"{self.column}.{name}") for name in self.FIELDS]
        return row.get(self.column) if fields[0] is None else restored(self.space, fields)


def _node(space: Space[Any], column: str, camera: str, names: _Names) -> _Node:
    """The node of a space and all its parts."""
    if isinstance(space, (spaces.Dict, spaces.Tuple, spaces.OneOf)):
        inner = space.spaces
        items = list(inner.items() if isinstance(inner, Mapping) else enumerate(inner))
        kind = next(kind for of, kind in _COMPOSITES.items() if isinstance(space, of))
        parts = {}
        for key, part in items:
            known = len(names.leaves)
            parts[key] = _node(part, f"{column}.{key}", f"{camera}/{_component(key)}", names)
            for leaf in names.leaves[known:]:
                leaf.path.insert(0, _getter(space, key))
        return kind(space, names.column(column), parts)
    if isinstance(space, spaces.Graph):
        return _GraphNode(space, names.column(column))
    if names.pictures and isinstance(space, spaces.Box) and (picture := picture_of(space)):
        camera = names.camera(camera)
        # Beside it: the frames of a folder are those of all folders in it.
        earlier = names.camera(f"{camera}_{EARLIER}") if picture.stacked else ""
        leaf = _PictureNode(space, names.column(column), camera, earlier, picture)
        names.leaves.append(leaf)
        return leaf
    return _Node(space, names.column(column))


_COMPOSITES: dict[type[Space[Any]], type[_Composite]] = {
    spaces.Dict: _DictNode,
    spaces.Tuple: _TupleNode,
    spaces.OneOf: _OneOfNode,
}


def _component(key: Any) -> str:
    """A key as a component of a camera's path."""
    text = _UNSAFE.sub("_", str(key))[:60]
    if not text.strip(" ."):
        return "_"
    try:
        return check_path(text)
    except ValueError:  # a device
        return f"~{text}"


def _getter(space: Space[Any], key: Any) -> Callable[[Any], Any]:
    if isinstance(space, spaces.OneOf):
        return lambda value: value[1] if value[0] == key else None
    return lambda value: value[key]
