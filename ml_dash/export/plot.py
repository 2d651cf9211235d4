"""A picture of a track or metric: curves over steps or time, and the path of `x`, `y` and `z`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.extras import need
from ml_dash.export.played import as_played
from ml_dash.export.target import new_file
from ml_dash.hints import hint

KINDS = (".png", ".pdf", ".svg")

_BUCKETS = 2000
_MOST_CURVES = 12
_COLOURS, _STYLES = 10, ("-", "--")  # matplotlib has ten colours, and begins anew
_WIDTH = 9.0
_PATH_POINTS = 20_000


def plot_table(
    table: Any,
    to: str | Path,
    *,
    title: str = "",
    columns: Sequence[str] | None = None,
    path: Sequence[str] | None = None,
    against: str = "step",
    overwrite: bool = False,
) -> Path:
    """Draw a track or metric.

    Curves of very many rows are drawn by the least and greatest of each of some thousand intervals,
    so that no spike is lost.

    Args:
        table: `run.tracks[…]` or `run.metrics[…]`.
        to: a `.png`, `.pdf` or `.svg`.
        title: above it.
        columns: which curves; by default all columns of numbers, at most 12.
        path: two or three columns whose path is drawn beside; by default `x`, `y` and `z`, as far
            as there are any. Empty for none.
        against: `step`, or `time` in seconds since the first row.
        overwrite: replace a file that is there.

    Raises:
        ImportError: matplotlib is not installed; the text is the pip line.
        KeyError: there is no such column; it names similar ones.
        ValueError: nothing to draw, or another suffix.
    """
    figures = need("matplotlib.figure", "drawing", package="matplotlib", extra="plot")
    to = Path(to)
    if to.suffix.lower() not in KINDS:
        raise ValueError(f"to={str(to)!r}: a plot is saved as {', '.join(KINDS)}")
    if against not in ("step", "time"):
        raise ValueError(f"against={against!r}: give 'step' or 'time'")
    axes = _path(table, path)
    names = _columns(table, columns)
    order = as_played(table.steps, table.entries.arrival)
    found = table.to_numpy(list(dict.fromkeys([*names, *axes])))
    data = {name: column[order] for name, column in found.items()}
    curves = dict(_curves({name: data[name] for name in names}))
    if not curves and not axes:
        raise ValueError(f"{table.name!r} has no numbers to draw; it has {table.columns}")
    along, label = _along(table, against)
    along = along[order]
    figure = figures.Figure(figsize=(_WIDTH * (1.7 if axes else 1), 5.0), layout="constrained")
    _draw_curves(figure.add_subplot(1, 2 if axes else 1, 1), along, label, curves)
    if axes:
        if len(axes) == 3:
            need("mpl_toolkits.mplot3d", "drawing", package="matplotlib", extra="plot")
        points = [np.ma.filled(data[a].astype(float), np.nan) for a in axes]
        _draw_path(figure, along, points, axes)
    figure.suptitle(title or table.name)
    with new_file(to, overwrite=overwrite) as file:
        figure.savefig(file, dpi=120, format=to.suffix[1:].lower())
    return to


def _path(table: Any, given: Sequence[str] | None) -> list[str]:
    if given is None:
        found = [name for name in ("x", "y", "z") if name in table.columns]
        numeric = all(table[name].dtype.kind in "if" and table[name].ndim == 1 for name in found)
        return found if len(found) >= 2 and found[:2] == ["x", "y"] and numeric else []
    if len(given) not in (0, 2, 3):
        raise ValueError(f"path={list(given)!r}: give two columns, or three")
    _check(table, given)
    for name in given:
        if table[name].dtype.kind not in "if" or table[name].ndim != 1:
            raise ValueError(f"path: the column {name!r} of {table.name!r} is not a number a row")
    return list(given)


def _columns(table: Any, given: Sequence[str] | None) -> list[str]:
    if given is not None:
        _check(table, given)
        return list(given)
    return [name for name in table.columns if name not in ("timestamp", "step")]


def _check(table: Any, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.columns:
            near = hint(name, table.columns)
            raise KeyError(f"{table.name!r} has no column {name!r}; {near}")


def _curves(columns: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[np.float64]]]:
    """One line for each number: arrays give `q.0`, `q.1` and so on."""
    found = []
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            continue
        values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
        for place in np.ndindex(*values.shape[1:]):
            part = ".".join([name, *map(str, place)])
            found.append((part, values[(slice(None), *place)]))
    return found


def _along(table: Any, against: str) -> tuple[NDArray[np.float64], str]:
    steps = np.ma.asarray(table.steps)
    if against == "step" and len(steps) and not np.ma.getmaskarray(steps).any():
        return steps.data.astype(np.float64), "step"
    times: NDArray[np.float64] = table.timestamps
    return times - (times[0] if len(times) else 0), "seconds"


def _draw_curves(
    axes: Any, along: NDArray[np.float64], label: str, curves: Mapping[str, NDArray[np.float64]]
) -> None:
    shown = list(curves.items())[:_MOST_CURVES]
    for number, (name, values) in enumerate(shown):
        style = _STYLES[number // _COLOURS % len(_STYLES)]
        axes.plot(*broken(*thinned(along, values)), style, label=name, linewidth=1)
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    if shown:
        more = len(curves) - len(shown)
        axes.legend(fontsize="small", title=f"and {more} more" if more else None)


def broken(
    along: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same with a gap where steps begin anew, so that no line runs back over the picture."""
    back = np.flatnonzero(np.diff(along) < 0) + 1
    return np.insert(along, back, np.nan), np.insert(values, back, np.nan)


def _draw_path(
    figure: Any,
    along: NDArray[np.float64],
    parts: list[NDArray[np.float64]],
    names: Sequence[str],
) -> None:
    every = max(1, len(parts[0]) // _PATH_POINTS)
    parts = [part[::every] for part in parts]
    if len(parts) == 3:
        axes = figure.add_subplot(1, 2, 2, projection="3d")
        axes.set_zlabel(names[2])
    else:
        axes = figure.add_subplot(1, 2, 2)
        axes.set_aspect("equal", "datalim")
        axes.grid(alpha=0.3)
    axes.plot(*(broken(along[::every], part)[1] for part in parts), linewidth=1)
    axes.plot(*(part[:1] for part in parts), "o", label="first")
    axes.plot(*(part[-1:] for part in parts), "s", label="last")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend(fontsize="small")


def thinned(
    along: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most some thousand points that look the same: the extremes of equal intervals."""
    if len(values) <= 2 * _BUCKETS:
        return along, values
    edges = np.linspace(0, len(values), _BUCKETS + 1).astype(np.int64)[:-1]
    low = np.fmin.reduceat(values, edges)
    high = np.fmax.reduceat(values, edges)
    first = along[edges]
    return np.repeat(first, 2), np.stack([low, high], 1).reshape(-1)
