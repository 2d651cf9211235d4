"""Columns as data frames of pandas and polars, and as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_dash.errors import missing_extra
from ml_dash.reading.parts import Part
from ml_dash.values import jsonable

if TYPE_CHECKING:
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.table import Table


def table_parts(table: Table, columns: Sequence[str] | None) -> dict[str, Part]:
    """The columns of a table: all, or these."""
    names = table.columns if columns is None else list(columns)
    if columns is None:
        table.to_numpy()  # which reads all in one go
    else:
        table.to_numpy(names)
    return {name: table.part(name) for name in names}


def aligned_parts(aligned: Aligned, columns: Sequence[str] | None) -> dict[str, Part]:
    """The columns of aligned rows: all, or these, behind `step`, `timestamp`, `episode_index`."""
    found = {
        "step": aligned.parts.steps,
        "timestamp": Part("float", aligned.timestamps, None),
        "episode_index": Part("int", aligned.episode_index, None),
    }
    for name in aligned.columns if columns is None else columns:
        topic, column = aligned.place(name)
        if column is None:
            raise KeyError(f"{name!r} is a track; name its columns, such as {name}.x")
        if columns is not None or column not in ("step", "timestamp"):
            found[name] = topic.part(column)
    return found


def to_pandas(parts: Mapping[str, Part]) -> Any:
    """A DataFrame. See `Table.to_pandas`."""
    pandas = _load("pandas", "to_pandas")
    return pandas.DataFrame({name: _series(pandas, part) for name, part in parts.items()})


def to_polars(parts: Mapping[str, Part]) -> Any:
    """A DataFrame. See `Table.to_polars`."""
    polars = _load("polars", "to_polars")
    return polars.DataFrame(
        [_polars_series(polars, name, part) for name, part in parts.items()], strict=False
    )


def to_arrow(parts: Mapping[str, Part]) -> Any:
    """A table. See `Table.to_arrow`."""
    pyarrow = _load("pyarrow", "to_arrow", "arrow")
    columns = {name: _arrow_array(pyarrow, part) for name, part in parts.items()}
    return pyarrow.table(columns)


def _load(package: str, what: str, extra: str | None = None) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise missing_extra(package, what, extra or package) from error


def _series(pandas: Any, part: Part) -> Any:
    if part.data.ndim > 1:  # a cell of a DataFrame holds one thing: an array a row
        cells = np.empty(len(part), object)
        cells[:] = [None if gone else row for row, gone in zip(part.data, part.gone, strict=True)]
        return pandas.Series(cells, dtype=object)
    if part.missing is None or part.kind in ("float", "none", "object"):
        return pandas.Series(part.data, dtype=object if part.kind == "object" else None)
    kind = {"int": "Int64", "bool": "boolean"}[part.kind]
    kind = "UInt64" if part.data.dtype == np.uint64 else kind
    return pandas.Series(pandas.array(np.ma.MaskedArray(part.data, part.missing).tolist(), kind))


def _polars_series(polars: Any, name: str, part: Part) -> Any:
    if part.kind == "none":
        return polars.Series(name, [None] * len(part))
    if part.kind == "object":
        values = [_plain(value) for value in part.data]
        try:
            return polars.Series(name, values, strict=True)
        except (TypeError, ValueError, OverflowError, polars.exceptions.PolarsError):
            return polars.Series(name, list(part.data), dtype=polars.Object)
    if part.data.ndim > 1 and 0 in part.data.shape[1:]:
        return polars.Series(name, part.data.tolist())
    series = polars.Series(name, part.data)
    if part.missing is None or not part.missing.any():
        return series
    present = polars.Series("", ~part.missing)
    return polars.select(polars.when(present).then(series).alias(name)).to_series()


def _arrow_array(pyarrow: Any, part: Part) -> Any:
    gone = part.gone
    if part.kind == "none":
        return pyarrow.nulls(len(part))
    if part.kind == "object":
        values = [_plain(value) for value in part.data]
        try:
            return pyarrow.array(values)
        except (pyarrow.ArrowException, OverflowError):  # of several kinds, which Arrow has not
            import json

            texts = [None if value is None else json.dumps(value) for value in values]
            return pyarrow.array(texts, pyarrow.string())
    if part.data.ndim == 1:
        return pyarrow.array(part.data, mask=gone if gone.any() else None)
    array = pyarrow.array(np.ascontiguousarray(part.data).reshape(-1))
    for number, width in enumerate(part.data.shape[:0:-1]):
        last = number == part.data.ndim - 2
        mask = pyarrow.array(gone) if last and gone.any() else None
        count = int(np.prod(part.data.shape[: part.data.ndim - 1 - number]))
        if width == 0:
            offsets = pyarrow.array(np.zeros(count + 1, np.int32))
            array = pyarrow.ListArray.from_arrays(offsets, array)
        else:
            array = pyarrow.FixedSizeListArray.from_arrays(array, width, mask=mask)
    return array


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else jsonable(value)
