"""Views of a run for people and scripts: `run.json` and `params.json`, made again at any time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import orjson

from ml_dash.backends import LocalBackend
from ml_dash.backends.blobs import write_in
from ml_dash.reading.run_view import RunView

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def write_views(folder: Path) -> None:
    """Write `run.json` and `params.json` into the run's folder.

    They may be deleted: nothing in ML-Dash reads them.

    Raises:
        OSError: they could not be written.
    """
    run = RunView(LocalBackend(folder), recover=False)
    write_in(folder, "run.json", _text(run.to_json()))
    write_in(folder, "params.json", _text(run.params))


def _text(values: Any) -> bytes:
    try:
        return orjson.dumps(values, None, _OPTIONS)
    except TypeError:  # an integer over 64 bits, or a lone surrogate
        return json.dumps(_finite(values), indent=2, default=str).encode() + b"\n"


def _finite(value: Any) -> Any:
    """A value with `null` in place of NaN and infinities, which JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
