"""Answers of many numbers as browsers read them without parsing: a line of JSON, then arrays.

The line is padded with spaces, so that what follows it begins at a multiple of eight bytes, as
typed arrays need it. `at` in the line counts from its end. All numbers are little-endian, and each
array is padded to a multiple of eight bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from ml_dash.server.streams.chart import Chart

MEDIA = "application/x-ml-dash-arrays"
"""The media type of such an answer."""

_CURVE = {
    "x": "<f8",
    "min": "<f8",
    "max": "<f8",
    "mean": "<f8",
    "count": "<u4",
    "nonfinite": "<u4",
}


def pack_chart(chart: Chart, facts: Mapping[str, Any]) -> bytes:
    """A chart: per column `x`, `min`, `max`, `mean` of float64, `count`, `nonfinite` of uint32."""
    parts = _Parts()
    columns = {}
    for name, curve in chart.curves.items():
        told: dict[str, Any] = {"count": len(curve["x"]), "at": parts.size}
        if "passes" in curve:
            told |= {"passes": np.asarray(curve["passes"]).tolist(), "names": curve["names"]}
        columns[name] = told
        for key, kind in _CURVE.items():
            parts.add(curve[key], kind)
    return parts.join({**facts, "values": "float64", "columns": columns})


def pack_columns(columns: Mapping[str, Any], facts: Mapping[str, Any]) -> bytes:
    """Columns of float64."""
    parts = _Parts()
    told = {}
    for name, values in columns.items():
        told[name] = {"type": "float64", "at": parts.size}
        parts.add(values, "<f8")
    return parts.join({**facts, "columns": told})


class _Parts:
    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, values: Any, kind: str) -> None:
        data = np.asarray(values).astype(kind).tobytes()
        data += bytes(-len(data) % 8)
        self._parts.append(data)
        self.size += len(data)

    def join(self, header: Mapping[str, Any]) -> bytes:
        line = orjson.dumps(header)
        return b"".join([line, b" " * (-(len(line) + 1) % 8), b"\n", *self._parts])
