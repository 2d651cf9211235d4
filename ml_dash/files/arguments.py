"""What users give to name and describe a file: paths and details, checked in this one place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_dash.files.serializers import PathLike
from ml_dash.rows import encode_row
from ml_dash.values import jsonable, kind_name

LARGEST_DETAILS = 1 << 20
"""Bytes that description, tags and metadata of a file may take together in its index row."""

WHAT = "file path"
"""What error messages call a path."""


def as_text(path: PathLike) -> str:
    """A path as text, with `/`.

    Raises:
        TypeError: it is neither a string nor a path.
    """
    if isinstance(path, str):
        return path
    if isinstance(path, os.PathLike):
        text = os.fspath(path)
        if isinstance(text, str):
            return text.replace(os.sep, "/")
    raise TypeError(f"{WHAT} must be a string or a path, not {kind_name(path)}")


def as_details(
    description: str | None, tags: Iterable[str] | None, metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a user says about a file, as its row has it.

    Raises:
        TypeError: one of them is of another type, or metadata holds what JSON cannot.
        ValueError: together they are over `LARGEST_DETAILS`.
    """
    details: dict[str, Any] = {}
    if description is not None:
        if not isinstance(description, str):
            raise TypeError(f"files: description must be a text, not {kind_name(description)}")
        details["description"] = description
    if tags is not None:
        details["tags"] = [tags] if isinstance(tags, str) else list(tags)
        if not all(isinstance(tag, str) for tag in details["tags"]):
            raise TypeError(f"files: tags must be texts, not {tags!r:.80}")
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise TypeError(f"files: metadata must be a dict, not {kind_name(metadata)}")
        details["metadata"] = jsonable(metadata, "files: metadata")
    size = len(encode_row(details, where="files"))
    if size > LARGEST_DETAILS:
        raise ValueError(
            f"files: description, tags and metadata take {size:,} bytes, more than the"
            f" {LARGEST_DETAILS:,} they may; save them as a file of their own, with save_json"
        )
    return details


def check_source(source: Path) -> None:
    """Make sure that there is a regular file to copy.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is a folder, a pipe or a device.
    """
    try:
        mode = source.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "no such file to save (for a text, use save_text)", str(source)
        ) from None
    if stat.S_ISDIR(mode):
        raise ValueError(
            f"save: {str(source)!r} is a folder; save its files one by one, or pack it first, for"
            " example with shutil.make_archive"
        )
    if not stat.S_ISREG(mode):
        raise ValueError(f"save: {str(source)!r} is no regular file; read it and use save_blob")
