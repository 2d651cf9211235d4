"""How a log message is shown: as text for people, as JSON for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_dash.cli.json_text import compact, json_text
from ml_dash.cli.quantities import moment
from ml_dash.cli.screen import Screen
from ml_dash.cli.text import printable, printable_lines

_LONGEST_FIELD = 200  # characters; `--json` has all of them
_STYLES = {
    "debug": ("faint",),
    "info": ("blue",),
    "warn": ("yellow",),
    "warning": ("yellow",),
    "error": ("red",),
    "fatal": ("red", "bold"),
}

Row = Mapping[str, Any]


def json_line(screen: Screen, row: Row) -> None:
    """Print a message whole, as an object on a line."""
    screen.line(json_text(row))


def text_lines(screen: Screen, row: Row) -> None:
    """Print a message as `2025-01-31 12:34:56.789 WARNING too hot  step=7 joint=3`."""
    level = str(row.get("level", ""))
    message, *more = printable_lines(str(row.get("message", "")))
    head = screen.style(moment(row["timestamp"], decimals=3), "faint")
    name = screen.style(f"{printable(level.upper()):<7}", *_STYLES.get(level, ()))
    screen.line(f"{head} {name} {message}{screen.style(_fields(row), 'faint')}")
    # Indented, so that no message can pass for another one.
    for line in more:
        screen.line(f"        {line}")


def _fields(row: Row) -> str:
    fields = row.get("fields")
    found = dict(fields) if isinstance(fields, Mapping) else {}
    if row.get("step") is not None:
        found = {"step": row["step"], **found}
    if not found:
        return ""
    return "  " + " ".join(f"{printable(key)}={_value(value)}" for key, value in found.items())


def _value(value: Any) -> str:
    bare = isinstance(value, str) and value and not any(char in value for char in " =\"'")
    text = printable(value if bare else compact(value))
    return text if len(text) <= _LONGEST_FIELD else f"{text[:_LONGEST_FIELD]}…"
