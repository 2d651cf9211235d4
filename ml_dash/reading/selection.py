"""Which rows and columns of aligned rows become samples, and under which names."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ml_dash.loaders.fields import EXACT, IMAGE, Field, Key
from ml_dash.loaders.windows import Windows
from ml_dash.reading.entries import Booleans, Integers
from ml_dash.reading.parts import Array
from ml_dash.reading.samples import AlignedSamples, Camera, as_column

if TYPE_CHECKING:
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.topic import AlignedTopic

RESERVED = (
    *("frame", "frames", "step", "timestamp_ms", "episode_index", "run_index"),
    *("obs_is_pad", "action_is_pad"),
)
"""Names in a sample that no column can have."""

_LEFT_OUT = ("step", "timestamp", "frame")  # of a track, unless they are asked for
_ACTIONS = frozenset({"action", "actions"})
_MISSING = ("drop", "hold", "zero")


def make_samples(
    aligned: Aligned,
    columns: Sequence[str] | Mapping[str, str] | None,
    missing_frames: str | None,
    size: tuple[int, int] | None,
    drop_missing: bool | Sequence[str] = False,
) -> AlignedSamples:
    """The samples of aligned rows. See `Dataset.to_torch`."""
    return _samples(aligned, _named(aligned, columns), missing_frames, size, drop_missing)


def make_windows(
    aligned: Aligned,
    horizons: tuple[int, int],
    columns: Sequence[str] | Mapping[str, str] | None,
    actions: Sequence[str] | None,
    pad: bool,
    missing_frames: str | None,
    size: tuple[int, int] | None,
    drop_missing: bool | Sequence[str] = False,
) -> Windows:
    """Windows over aligned rows. See `Dataset.windows`."""
    named = _named(aligned, columns)
    found = _actions(list(named), actions, needed=horizons[1] > 1)
    if not isinstance(drop_missing, bool):
        drop_missing = [*_among("drop_missing", drop_missing, list(named)), *found]
    samples = _samples(aligned, named, missing_frames, size, drop_missing or found)
    return Windows(
        samples,
        samples.episodes,
        obs_horizon=horizons[0],
        action_horizon=horizons[1],
        actions=found,
        pad=pad,
    )


def _samples(
    aligned: Aligned,
    named: dict[str, tuple[AlignedTopic, str]],
    missing_frames: str | None,
    size: tuple[int, int] | None,
    drop_missing: bool | Sequence[str],
) -> AlignedSamples:
    if missing_frames not in (None, *_MISSING):
        listed = ", ".join(_MISSING)
        raise ValueError(f"missing_frames is {missing_frames!r}; it must be one of {listed}")
    if size is not None:
        from ml_dash import image

        size = image.check_size(size)
    _load(named)
    frames, kept = _with_frames(aligned, missing_frames)
    for name in _needed(drop_missing, named):
        topic, column = named[name]
        gone = topic.part(column).missing
        kept = kept if gone is None else kept & ~gone
    rows = np.flatnonzero(kept)
    fields: dict[Key, Field] = {}
    cameras: dict[Key, Camera] = {}
    for name in aligned.cameras:
        key: Key = "frame" if len(aligned.cameras) == 1 else ("frames", name)
        cameras[key] = Camera(aligned.parts.cameras[name].files(), frames[name][rows], size)
        fields[key] = Field(IMAGE, cameras[key].shape)
    held: dict[Key, Array] = {}
    for key, values in _own(aligned).items():
        fields[key] = Field(EXACT, (), values.dtype.name)
        held[key] = values[rows]
    everything = len(rows) == len(aligned)
    for name, (topic, column) in named.items():
        fields[name], values = as_column(topic.part(column))
        held[name] = values if everything else values[rows]
    return AlignedSamples(fields, held, cameras, rows)


def _actions(names: list[str], actions: Sequence[str] | None, *, needed: bool) -> list[str]:
    """Which columns are actions: those that were named, else those that are called so.

    Raises:
        KeyError: a named one is not among the columns.
        ValueError: none is called so, and one is needed.
    """
    if actions is None:
        found = [name for name in names if _ACTIONS & set(name.split("."))]
        if needed and not found:
            raise ValueError(
                "action_horizon: no column is called 'action'; say which are, with actions=[…]"
                f" and some of {names}"
            )
        return found
    return _among("actions", actions, names)


def _needed(drop_missing: bool | Sequence[str], named: Iterable[str]) -> list[str]:
    """The columns that a row must have to become a sample."""
    names = list(named)
    if isinstance(drop_missing, bool):
        return names if drop_missing else []
    return _among("drop_missing", drop_missing, names)


def _among(argument: str, given: Sequence[str], names: Sequence[str]) -> list[str]:
    """Some of a sample's columns by their names there, or without their track; or what is below.

    Raises:
        KeyError: there is none, or several tracks have it.
    """
    found: list[str] = []
    for name in [given] if isinstance(given, str) else given:
        ends = [known for known in names if known == name or known.endswith(f".{name}")]
        if len(ends) > 1 and name not in ends:
            raise KeyError(
                f"{argument}: {name!r} is any of {', '.join(map(repr, ends))}; say which"
            )
        below = [known for known in names if f".{name}." in f".{known}"]
        chosen = [name] if name in ends else ends or below
        if not chosen:
            raise KeyError(f"{argument}: no column {name!r} in the samples; they have {names}")
        found += chosen
    return list(dict.fromkeys(found))


def _named(
    aligned: Aligned, columns: Sequence[str] | Mapping[str, str] | None
) -> dict[str, tuple[AlignedTopic, str]]:
    """The columns asked for, by their names in the samples."""
    if columns is None:
        topics = aligned.parts.topics.items()
        return {
            f"{name}.{column}": (topic, column)
            for name, topic in topics
            for column in topic.columns
            if column not in _LEFT_OUT
        }
    if isinstance(columns, str):
        raise TypeError(f"columns is {columns!r}; it must be a list of columns, or a dict")
    wanted = columns if isinstance(columns, Mapping) else {name: name for name in columns}
    aligned.load(wanted.values())
    found = {}
    for name, column in wanted.items():
        if name in RESERVED:
            raise ValueError(f"columns: {name!r} is a sample's own; give the column another name")
        topic, inner = aligned.place(column)
        if inner is None:
            raise ValueError(f"columns: {column!r} is a track; name its columns, {topic.columns}")
        found[name] = (topic, inner)
    return found


def _load(named: Mapping[str, tuple[AlignedTopic, str]]) -> None:
    """Read the columns of each track in one go."""
    by_topic: dict[int, tuple[AlignedTopic, list[str]]] = {}
    for topic, column in named.values():
        by_topic.setdefault(id(topic), (topic, []))[1].append(column)
    for topic, columns in by_topic.values():
        topic.load(columns)


def _own(aligned: Aligned) -> dict[str, Array]:
    """What each sample has beside frames and columns."""
    steps = aligned.parts.steps
    numbers = steps.data if steps.missing is None else np.where(steps.missing, -1, steps.data)
    return {
        "step": numbers.astype(np.int64),
        "timestamp_ms": aligned.timestamps_ms,
        "episode_index": aligned.episode_index,
        "run_index": aligned.run_index,
    }


def _with_frames(aligned: Aligned, missing: str | None) -> tuple[dict[str, Integers], Booleans]:
    """By camera the number of each row's frame, and which rows may become samples."""
    frames = {name: aligned.frame_index(name) for name in aligned.cameras}
    kept = np.ones(len(aligned), np.bool_)
    for name, numbers in frames.items():
        has = numbers >= 0
        if len(has) and not has.any():
            raise ValueError(f"no row has a frame of {name!r}: {aligned.report}")
        if missing == "hold":
            frames[name] = _held(numbers, aligned.episode_index)
        if missing != "zero":
            kept &= frames[name] >= 0
        if missing is None and not has.all():
            warnings.warn(
                f"{np.count_nonzero(~has):,} of {len(has):,} rows have no frame of {name!r} and are"
                " left out; missing_frames='drop' says that this is meant, 'hold' shows the last"
                " frame before, 'zero' a black one",
                UserWarning,
                stacklevel=_levels_to_caller(),
            )
    return frames, kept


def _held(numbers: Integers, episodes: Integers) -> Integers:
    """For rows without a frame that of the last row of their episode before."""
    order = np.argsort(episodes, kind="stable")
    ordered, grouped = numbers[order], episodes[order]
    places = np.arange(len(order), dtype=np.int64)
    new = np.concatenate([[True], grouped[1:] != grouped[:-1]])[: len(order)]
    begin = np.maximum.accumulate(np.where(new, places, 0))
    latest = np.maximum.accumulate(np.where(ordered >= 0, places, -1))
    found = np.empty_like(numbers)
    found[order] = np.where(latest >= begin, ordered[np.maximum(latest, 0)], -1)
    return found


def _levels_to_caller() -> int:
    """How many calls up the first one is that is not ours: whom a warning concerns."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("ml_dash."):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]  # None at the end
    return level
