"""Finding runs below a root."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from ml_dash.backends import LocalBackend
from ml_dash.names import ROOMS, check_prefix, prefix_folder, prefix_of
from ml_dash.reading.run_view import RunView
from ml_dash.reading.source import SUFFIX
from ml_dash.settings import load

_EITHER = "runs are below a root or on a server: give root=, or server= or url="


def open_run(
    run: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    server: bool = False,
    url: str | None = None,
) -> RunView:
    """Open a run to read it, also while it is written and after a crash.

    Args:
        run: the path of its folder, its prefix, or its address on a server, such as
            `https://dash.example/namespace/project/name`.
        root: the folder that prefixes are looked up in: by default `ML_DASH_ROOT`, else `.dash`.
        server: look on the server: that of `ML_DASH_URL`, else the one that `ml-dash login` keeps.
        url: look on this server.

    Raises:
        FileNotFoundError: there is no such run; the message says where it was looked for, and what
            there is of similar name.
        RemoteError: the server does not give it.
        ValueError: `url`, or `run` on a server, cannot be one; no server is known; or there is a
            `root`, too.
    """
    text = os.fspath(run)
    if server or url is not None or text.startswith(("https://", "http://")):
        if root is not None:
            raise ValueError(_EITHER)
        return _open_remote(text, url)
    where = Path(load({"root": None if root is None else os.fspath(root)}).root)
    below = _below(where, text)
    # A given root is meant; without one, a path that leads to a run is.
    candidates = [below, Path(text)] if root is not None else [Path(text), below]
    for folder in candidates:
        if folder is not None and is_run(folder):
            prefix = _prefix(folder, where)
            return RunView(LocalBackend(folder.absolute()), prefix)
    raise FileNotFoundError(_not_found(text, where, [c for c in candidates if c is not None]))


def _open_remote(text: str, url: str | None) -> RunView:
    from ml_dash.auth.signed_in import server_for, signed_in, split_address
    from ml_dash.backends.http import HttpBackend
    from ml_dash.remote import NotFoundError
    from ml_dash.remote.runs import find_run

    if text.startswith(("https://", "http://")):
        url, text = split_address(text)
    client = signed_in(server_for(url))
    try:
        found = find_run(client, text)
    except NotFoundError as error:
        missing = str(error)
    else:
        return RunView(HttpBackend(client, str(found["id"])), str(found["prefix"]))
    raise FileNotFoundError(missing)


def list_runs(
    root: str | os.PathLike[str] | None = None, *, server: bool = False, url: str | None = None
) -> Iterator[RunView]:
    """All runs below a root, in order of their prefixes. Reads nothing of a run before it is asked.

    Args:
        root: by default `ML_DASH_ROOT`, else `.dash`. One that is not there has no runs.
        server: list those that the user may see on the server instead, in its order: that of
            `ML_DASH_URL`, else the one that `ml-dash login` keeps.
        url: list those of this server.

    Raises:
        RemoteError: the server does not list them.
        ValueError: `url` is not the address of a server; none is known; or there is a `root`, too.
    """
    if server or url is not None:
        if root is not None:
            raise ValueError(_EITHER)
        yield from _remote_runs(url)
        return
    where = Path(load({"root": None if root is None else os.fspath(root)}).root)
    for folder in run_folders(where):
        yield RunView(LocalBackend(folder.absolute()), _prefix(folder, where))


def _remote_runs(url: str | None) -> Iterator[RunView]:
    from ml_dash.auth.signed_in import server_for, signed_in
    from ml_dash.backends.http import HttpBackend
    from ml_dash.remote.runs import runs_of

    client = signed_in(server_for(url))
    for run in runs_of(client):
        yield RunView(HttpBackend(client, str(run["id"])), str(run["prefix"]))


def run_folders(root: Path) -> Iterator[Path]:
    """The folders below `root` that are runs. Links are not followed."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inner = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # removed meanwhile, or somebody else's
        if ("run" in inner or ".buffer" in inner) and is_run(folder):
            yield folder
        # A run may have others below it: `a` and `a/b` are both prefixes.
        names = (name for name in inner if name not in ROOMS and not name.startswith("."))
        waiting.extend(folder / name for name in sorted(names, reverse=True))


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: some session has said that it began.

    One that was killed at once said so in its ring only.
    """
    return _holds(folder / "run", SUFFIX) or _holds(folder / ".buffer", ".ring")


def _holds(folder: Path, suffix: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(suffix) for entry in entries)
    except OSError:
        return False


def _below(root: Path, prefix: str) -> Path | None:
    """The folder of a prefix, `None` for what is none."""
    try:
        return root / prefix_folder(check_prefix(prefix))
    except ValueError:
        return None


def _prefix(folder: Path, root: Path) -> str:
    """The prefix of a run's folder below the root; empty when it is not below it."""
    try:
        inside = folder.absolute().relative_to(root.absolute())
        return "" if inside == Path() else prefix_of(inside)
    except ValueError:
        return ""


def _not_found(text: str, root: Path, looked: list[Path]) -> str:
    places = ", ".join(dict.fromkeys(str(path.absolute()) for path in looked))
    message = f"no run {text!r}: looked for it in {places}"
    prefixes = [_prefix(folder, root) for folder in run_folders(root)]
    if not prefixes:
        return f"{message}. There are no runs below {root.absolute()}"
    inside = [prefix for prefix in prefixes if f"/{text}/" in f"/{prefix}/"]
    last = {prefix.rpartition("/")[2]: prefix for prefix in prefixes}
    near = difflib.get_close_matches(text, prefixes, n=3)
    near += [last[name] for name in difflib.get_close_matches(text, last, n=3)]
    found = list(dict.fromkeys([*inside, *near]))[:5]
    if found:
        return f"{message}. Did you mean {', '.join(map(repr, found))}?"
    return f"{message}. There are {len(prefixes)} others; `ml-dash list` shows them"
