"""The server that `ml-dash login` keeps: the line `url = …` of the configuration file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ml_dash.auth.private import write_whole
from ml_dash.settings import config_path

_LINE = re.compile(r"""^[ \t]*(?:url|"url"|'url')[ \t]*=[^\r\n]*(?:\r\n|\n|$)""", re.MULTILINE)
_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)


def kept_server() -> str | None:
    """The server that runs go to when nothing else is said. Reads a small file and nothing else."""
    try:
        url = _parsed(config_path().read_text("utf-8")).get("url")
    except (OSError, ValueError):
        return None
    return url if isinstance(url, str) and url else None


def keep_server(url: str) -> Path:
    """Let `url` be that server; every other line of the file stays as it is.

    Returns:
        The configuration file.

    Raises:
        OSError: the file cannot be written.
        ValueError: it is not TOML that one line can be changed in; the text says which line.
    """
    return _edit(url)


def forget_server() -> Path:
    """Let there be no such server; every other line of the file stays as it is.

    Raises:
        OSError: the file cannot be written.
        ValueError: as for `keep_server`.
    """
    return _edit(None)


def _edit(url: str | None) -> Path:
    path = config_path()
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        text = ""
    try:
        before = _parsed(text)
    except ValueError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    wanted = {key: value for key, value in before.items() if key != "url"}
    if url is not None:
        wanted["url"] = url
    if wanted == before:
        return path
    changed = _changed(text, url)
    try:
        right = _parsed(changed) == wanted
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"the line `url = …` of {path} cannot be changed; set it to {url!r} there")
    # Through a link, where somebody keeps the file elsewhere; and as readable as it was
    target = path.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    write_whole(target, changed.encode(), mode)
    return path


def _changed(text: str, url: str | None) -> str:
    """The text with its line replaced, added at the top, or removed."""
    end = "\r\n" if "\r\n" in text else "\n"
    line = f'url = "{url}"{end}' if url is not None else ""
    table = _TABLE.search(text)
    top, rest = (text[: table.start()], text[table.start() :]) if table else (text, "")
    found = _LINE.search(top)
    if found is None:
        return line + text
    return top[: found.start()] + line + top[found.end() :] + rest


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)
