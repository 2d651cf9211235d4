"""What is said of a run as a whole: its description, tags, bindrs and metadata, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ml_dash.rows import encode_row
from ml_dash.values import jsonable, kind_name


def checked_details(
    *,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    bindrs: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Those that are given, as they are stored: plain JSON types of their own, tags once each.

    Raises:
        TypeError: one is of a wrong type, or metadata have no JSON form.
        ValueError: together they take more than 16 MiB.
    """
    given = {
        "description": _text(description),
        "tags": _texts(tags, "tags"),
        "bindrs": _texts(bindrs, "bindrs"),
        "metadata": _plain(metadata),
    }
    details = {name: value for name, value in given.items() if value is not None}
    encode_row(details, where="experiment")  # what would be too long is told now
    return details


def _text(value: str | None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"description must be a text, not {kind_name(value)}")
    return value


def _texts(values: Iterable[str] | None, what: str) -> list[str] | None:
    if values is None:
        return None
    if isinstance(values, str):
        values = (values,)
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be a list of texts, not {kind_name(values)}")
    values = list(values)
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{what}: {value!r:.80} is not a text")
    return list(dict.fromkeys(values))


def _plain(metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a dict, not {kind_name(metadata)}")
    return dict(jsonable(metadata, "metadata"))
