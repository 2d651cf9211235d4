"""Which runs below the root are unfinished, and which the server has not got, or not all of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_dash.cli.doctor.findings import Section
from ml_dash.cli.quantities import count

if TYPE_CHECKING:
    from ml_dash.reading import RunView
    from ml_dash.remote import RemoteClient

LOCAL, REMOTE = 8.0, 8.0
"""Seconds spent on the runs of the disk, and on asking a server for them."""

_SHOWN = 3


@dataclass(slots=True)
class _Runs:
    """Prefixes by what is the matter with them."""

    looked_at: int = 0
    running: list[str] = field(default_factory=list)
    interrupted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def examine_runs(section: Section, root: Path, client: RemoteClient | None) -> None:
    """Tell of runs that go on, that broke off, and that a server has not got. Changes nothing.

    Args:
        section: where to.
        root: what they are below.
        client: a server that answers and knows who asks; `None`: nobody is asked.
    """
    section.doing = f"listing the runs below {root}"
    folders = _newest_first(root)
    section.tell("runs", len(folders), count(len(folders)))
    found, views = _Runs(), []
    end = time.monotonic() + LOCAL
    for folder in folders:
        if time.monotonic() > end:
            break
        section.doing = f"reading {folder}"
        if (view := _look_at(found, folder, root)) is not None:
            views.append(view)
    _tell(section, found, len(folders))
    if client is not None:
        _ask_for(section, views, client)


def _newest_first(root: Path) -> list[Path]:
    from ml_dash.reading import run_folders

    return sorted(run_folders(root), key=_changed, reverse=True)


def _changed(folder: Path) -> float:
    try:
        return (folder / "run").stat().st_mtime
    except OSError:
        return 0.0


def _look_at(found: _Runs, folder: Path, root: Path) -> RunView | None:
    """Read the life of a run, without finishing what a dead process left of it."""
    from ml_dash.backends import LocalBackend
    from ml_dash.buffer.recovery import pending_rows, rings
    from ml_dash.names import prefix_of
    from ml_dash.reading import RunView
    from ml_dash.reading.status import INTERRUPTED, RUNNING

    found.looked_at += 1
    inside = folder.absolute().relative_to(root.absolute())
    name = prefix_of(inside) if inside.parts else folder.name
    try:
        view = RunView(LocalBackend(folder.absolute()), name, recover=False)
        status, lost = view.status, view.lost
        buffered = status != RUNNING and bool(rings(folder))
        if buffered and not view.sessions and not pending_rows(folder):
            status, buffered = RUNNING, False  # it has begun, and its first row is on its way
    except (OSError, ValueError):
        found.unreadable.append(name)
        return None
    if status == RUNNING:
        found.running.append(name)
    elif status == INTERRUPTED:
        found.interrupted.append(name)
    if buffered:
        found.left.append(name)
    if lost:
        found.lost.append(name)
    return view


def _tell(section: Section, found: _Runs, there: int) -> None:
    for name in ("running", "interrupted"):
        runs: list[str] = getattr(found, name)
        section.tell(name, runs, _names(runs))
    section.tell("left in buffers", found.left, _names(found.left))
    if found.looked_at < there:
        section.tell("looked at", found.looked_at, f"the newest {count(found.looked_at)}")
    if found.interrupted:
        section.note(
            f"{_whose(found.interrupted)} ended without a word, as after kill -9 or a power cut",
            "start one again with the same prefix to go on in it; `ml-dash check RUN` tells"
            " whether all of it is there",
        )
    if found.left:
        section.note(
            f"{_whose(found.left)} left rows in a buffer file",
            "`ml-dash show RUN` writes them where they belong; until then leave .buffer alone",
        )
    if found.lost:
        section.problem(
            f"{_whose(found.lost)} could not write all that was recorded",
            "`ml-dash show RUN` tells of what; most often the disk was full",
        )
    if found.unreadable:
        section.problem(
            f"{_whose(found.unreadable)} cannot be read",
            "`ml-dash check RUN` tells why",
        )


def _ask_for(section: Section, views: list[RunView], client: RemoteClient) -> None:
    """Compare with the server how long every segment is, and ask for the files it lacks."""
    from ml_dash.remote import RemoteError

    behind: list[str] = []
    asked, end = 0, time.monotonic() + REMOTE
    try:
        for view in views:
            if time.monotonic() > end:
                break
            section.doing = f"asking {client.url} for {view.prefix}"
            if not _is_stored(view, client):
                behind.append(view.prefix)
            asked += 1
    except RemoteError as error:
        section.note(f"not all runs could be compared with the server: {error}", "try it again")
    section.tell("not on the server", behind, _names(behind))
    if asked < len(views):
        section.tell("compared", asked, f"the newest {count(asked)}")
    if behind:
        section.note(
            f"{_whose(behind)} {'is' if len(behind) == 1 else 'are'} not, or not wholly, on"
            f" {client.url}",
            "`ml-dash sync --all` sends what is missing; runs that go on are sent by themselves",
        )


def _is_stored(view: RunView, client: RemoteClient) -> bool:
    """Whether a server has all rows and files of a run, by lengths and names of contents."""
    from ml_dash.backends import LocalBackend
    from ml_dash.remote import NotFoundError
    from ml_dash.run_folder import first_id, prefix_in
    from ml_dash.sync.listing import local_segments, stored_segments

    assert view.folder is not None  # it was found on the disk
    backend = LocalBackend(view.folder)
    about = {"prefix": prefix_in(view.folder), "id": first_id(backend) or "", "create": False}
    try:
        run = f"/runs/{client.json('POST', '/runs', json=about)['run']['id']}"
    except NotFoundError:
        return False
    stored = {path: size for path, size, _ in stored_segments(client, run)}
    if any(stored.get(path, 0) < size for path, size in local_segments(backend)):
        return False
    return not any(
        client.json("POST", f"{run}/blobs/missing", json={"blobs": blobs})["missing"]
        for blobs in _contents(view)
    )


def _contents(view: RunView) -> Iterator[list[dict[str, Any]]]:
    """What the files of a run hold, as many at a time as a server takes in one request."""
    from ml_dash.wire import MAX_PIECES

    found = {
        str(row["sha256"]): int(row["size"])
        for row in view.files.list()
        if type(row.get("sha256")) is str and type(row.get("size")) is int
    }
    blobs = [{"sha256": sha256, "size": size} for sha256, size in found.items()]
    for begin in range(0, len(blobs), MAX_PIECES):
        yield blobs[begin : begin + MAX_PIECES]


def _names(runs: list[str]) -> str:
    if not runs:
        return "none"
    rest = f" and {len(runs) - _SHOWN:,} more" if len(runs) > _SHOWN else ""
    return f"{len(runs):,}: {', '.join(runs[:_SHOWN])}{rest}"


def _whose(runs: list[str]) -> str:
    return f"the run {runs[0]}" if len(runs) == 1 else f"{len(runs):,} runs ({runs[0]}, …)"
