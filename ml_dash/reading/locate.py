"""Finding runs below a root."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ml_dash import ids
from ml_dash.backends import LocalBackend
from ml_dash.names import ROOMS, check_prefix, prefix_folder, prefix_of
from ml_dash.reading.run_view import RunView
from ml_dash.reading.source import SUFFIX
from ml_dash.settings import load

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

_ID = re.compile(r"\d{15,20}")
"""An id of a run, as `ml-dash show` and the addresses of pages have it."""

_OWN = ("127.0.0.1", "localhost", "::1")

_EITHER = "runs are below a root or on a server: give root=, or server= or url="


def open_run(
    run: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    server: bool = False,
    url: str | None = None,
) -> RunView:
    """Open a run to read it, also while it is written and after a crash.

    A row can be seen within a quarter of a second of its call, or after `experiment.flush()`.

    Args:
        run: the path of its folder, its prefix, its id, its address on a server, such as
            `https://dash.example/namespace/project/name`, or that of the page that shows it.
        root: the folder that prefixes are looked up in: by default `ML_DASH_ROOT`, else `.dash`.
        server: look on the server: that of `ML_DASH_URL`, else the one that `ml-dash login` keeps.
        url: look on this server.

    Raises:
        FileNotFoundError: there is no such run; the message says where it was looked for, and what
            there is of similar name.
        PermissionError: its folder may not be read.
        RemoteError: the server does not give it.
        ValueError: `url`, or `run` on a server, cannot be one; no server is known; or there is a
            `root`, too.
    """
    text = os.fspath(run)
    where = Path(load({"root": None if root is None else os.fspath(root)}).root)
    page = _of_page(text)
    if page is not None and page[0] in _OWN and (view := _with_id(page[2], where)) is not None:
        return view  # `ml-dash ui` shows what is on this machine
    if server or url is not None or text.startswith(("https://", "http://")):
        if root is not None:
            raise ValueError(_EITHER)
        return _open_remote(text, url) if page is None else _open_remote(page[2], page[1])
    below = _below(where, text)
    # A given root is meant; without one, a path that leads to a run is.
    candidates = [below, Path(text)] if root is not None else [Path(text), below]
    for folder in candidates:
        if folder is not None and is_run(folder):
            prefix = _prefix(folder, where)
            return RunView(LocalBackend(folder.absolute()), prefix)
    if _ID.fullmatch(text) and (view := _with_id(text, where)) is not None:
        return view
    places = [place for place in candidates if place is not None]
    _check_access(places)
    raise FileNotFoundError(_not_found(text, where, places))


def _check_access(places: list[Path]) -> None:
    """Tell a folder into which this user may not look from one that is not there."""
    for place in places:
        try:
            os.scandir(place).close()
            os.scandir(place / "run").close()
        except PermissionError:
            raise
        except OSError:
            continue


def _of_page(text: str) -> tuple[str, str, str] | None:
    """Host, server and run of the address of a page that shows one run."""
    parts = urlsplit(text)
    shown = parse_qs(parts.query).get("run", [])
    path = parts.path.removesuffix("/view")
    if parts.scheme not in ("https", "http") or path == parts.path or len(shown) != 1:
        return None
    return parts.hostname or "", parts._replace(path=path, query="", fragment="").geturl(), shown[0]


def _with_id(wanted: str, root: Path) -> RunView | None:
    """The run below a root with an id: that of the pages, or else the one that it gave itself."""
    named = []
    for folder in run_folders(root):
        prefix = _prefix(folder, root)
        whole = prefix or folder.name
        view = RunView(LocalBackend(folder.absolute()), prefix)
        if ids.stable_id(whole if "/" in whole else f"default/{whole}") == wanted:
            return view
        # A look at others finishes nothing that their processes left
        if RunView(LocalBackend(folder.absolute()), prefix, recover=False).id == wanted:
            named.append(view)
    if len(named) > 1:
        prefixes = ", ".join(repr(view.prefix) for view in named)
        raise FileNotFoundError(f"several runs have the id {wanted}: {prefixes}; name one of them")
    return named[0] if named else None


def _open_remote(text: str, url: str | None) -> RunView:
    from ml_dash.auth.signed_in import server_for, signed_in, split_address
    from ml_dash.backends.http import HttpBackend
    from ml_dash.remote import NotFoundError
    from ml_dash.remote.runs import find_run

    if text.startswith(("https://", "http://")):
        url, text = split_address(text)
    client = signed_in(server_for(url))
    try:
        found = _by_id(client, text) or find_run(client, text)
    except NotFoundError as error:
        missing = str(error)
    else:
        return RunView(HttpBackend(client, str(found["id"])), str(found["prefix"]))
    raise FileNotFoundError(missing)


def _by_id(client: RemoteClient, text: str) -> dict[str, Any] | None:
    """The run of a server with this id: that of its pages, or the one that it gave itself."""
    from ml_dash.remote import NotFoundError
    from ml_dash.remote.runs import run_in

    if not _ID.fullmatch(text):
        return None
    try:
        return run_in(client, client.json("GET", f"/runs/{text}"))
    except NotFoundError:
        return None


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
    if len(prefixes) == 1:
        return f"{message}. There is one other; `ml-dash list` shows it"
    return f"{message}. There are {len(prefixes)} others; `ml-dash list` shows them"
