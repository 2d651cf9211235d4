"""What a run's segments say of it, folded into its row of the database as they arrive.

Rows of several writers arrive in any order. So each value is kept with the timestamp of the row
that it came from, and only a later one replaces it: the outcome is the same whatever came first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_dash.reading.files import INDEX
from ml_dash.reading.status import STALE, active_seconds
from ml_dash.server.runs.clean import clean, is_clean, is_path, plain, text
from ml_dash.server.runs.giving_way import Params
from ml_dash.server.runs.index import LONGEST_TAG, flatten, index_tags, index_values
from ml_dash.server.tables import File, Run

MOST = 200
"""Params, and metrics, that are kept of a run to be found and sorted by."""

_NAMED = 500

_LARGEST = 1 << 50  # bytes of a file: more than that is no size

Row = dict[str, Any]

_DETAILS: dict[str, type] = {"description": str, "tags": list, "bindrs": list, "metadata": dict}


class Added(NamedTuple):
    """Rows that have just come to a stream.

    Attributes:
        stream: which.
        rows: in the order they were written.
        heard: when their writer last gave a sign of life. By our clock: theirs may be wrong by
            years.
        writer: who wrote them, `""` where nobody asks how long it went on.
        stamped: the last timestamp that it took from its clock.
    """

    stream: str
    rows: list[Row]
    heard: float
    writer: str = ""
    stamped: float | None = None


def after_append(session: Session, run: Run, added: Iterable[Added]) -> None:
    """Take in rows that have just been appended.

    Args:
        session: in the transaction of the append.
        run: the run, whose row is locked.
        added: the new rows.
    """
    before = run.params, run.metrics, run.details, list(run.tags)
    folded = {**run.folded, "times": dict(run.folded.get("times", {}))}
    settle = False
    for stream, rows, heard, writer, stamped in added:
        room = stream.partition("/")[0]
        if stream == "run":
            settle = True
            for row in rows:
                _take_life(run, folded, row, heard)
        elif stream == "params":
            run.params = _take_params(folded, run.params, rows)
        elif room == "metrics":
            run.metrics = _take_metrics(folded, run.metrics, stream, rows)
        elif stream == INDEX:
            _take_files(session, run, rows)
        if any(row.get("event") != "update" for row in rows) or stream != "run":
            run.heartbeat = max(run.heartbeat or heard, heard)
        _take_stamp(folded, writer, stamped, heard)
    if settle:
        _settle(run, folded)
    run.active = _active(folded)
    run.folded = folded
    _index(session, run, *before)


def _index(session: Session, run: Run, params: Row, metrics: Row, details: Row, tags: Any) -> None:
    index_values(session, run.id, "params.", params, run.params)
    index_values(session, run.id, "metrics.", metrics, run.metrics)
    if run.details is not details:
        for name in ("metadata", "git"):
            old, new = details.get(name), run.details.get(name)
            index_values(session, run.id, f"{name}.", flatten(old), flatten(new))
        texts = [
            {key: plain(d.get(key)) for key in ("host", "error")} for d in (details, run.details)
        ]
        index_values(session, run.id, "", *texts)
        index_tags(session, run.id, [t for t in tags if len(t) <= LONGEST_TAG], run.tags)


def _take_life(run: Run, folded: Row, row: Row, heard: float) -> None:
    name, at = row.get("session"), float(row["timestamp"])
    if row.get("event") in ("start", "update"):
        for key, kind in _DETAILS.items():
            if type(row.get(key)) is kind and _is_newer(folded, key, at):
                folded[key] = clean(row[key])
    if not isinstance(name, str):
        return
    sessions = folded["sessions"] = dict(folded.get("sessions", {}))
    own = sessions[name] = dict(sessions.get(name, {"seen": at}))
    own |= {"seen": max(own["seen"], at), "heard": max(own.get("heard", heard), heard)}
    event = row.get("event")
    if event == "start" and "start" not in own:
        own |= {"start": at, "root": row.get("root") is True, "host": text(row.get("host"))}
        run.client_id = run.client_id or text(row.get("id"))[:64]
    elif event == "end":
        own |= {"end": at, "status": text(row.get("status")), "error": text(row.get("error"))}
    environment = row.get("environment")
    if isinstance(environment, dict) and _is_newer(folded, "environment", at):
        folded["git"] = clean(environment.get("git"))


def _take_stamp(folded: Row, writer: str, stamped: float | None, heard: float) -> None:
    known: dict[str, list[float]] = folded.get("stamps", {})
    if writer and stamped is not None and stamped > known.get(writer, (0.0,))[0]:
        folded["stamps"] = {**known, writer: [stamped, heard]}


def heard_of(folded: Row) -> dict[str, tuple[float, float]]:
    """When each session last stamped a row, by its own clock, and when we heard of that by ours."""
    found = {}
    for name, own in folded.get("sessions", {}).items():
        seen = own["seen"], own.get("heard", 0.0)
        found[name] = max(seen, tuple(folded.get("stamps", {}).get(name, seen)))
    return found


def _active(folded: Row) -> float:
    """Seconds that sessions went on, each by its own clock from its first row to its last."""
    heard = heard_of(folded)
    return active_seconds(
        (own["start"], own.get("end") or heard[name][0])
        for name, own in folded.get("sessions", {}).items()
        if "start" in own
    )


def _settle(run: Run, folded: Row) -> None:
    """Status and times, from all sessions."""
    sessions = list(folded.get("sessions", {}).values())
    starts = [own["start"] for own in sessions if "start" in own]
    run.started = min(starts, default=run.started)
    run.description = folded.get("description")
    run.tags = [tag for tag in folded.get("tags", []) if isinstance(tag, str)]
    run.bindrs = [name for name in folded.get("bindrs", []) if isinstance(name, str)]
    if hosts := [own["host"] for own in sessions if own.get("root") and own.get("host")]:
        folded["host"] = hosts[0]
    _decide(run, folded, sessions)
    shown = ("metadata", "host", "git", "error")
    run.details = {key: folded[key] for key in shown if folded.get(key) is not None}


def _decide(run: Run, folded: Row, sessions: list[Row]) -> None:
    """The status, as if all sessions that did not end were gone; and until when they may live.

    As the local reader does: the root session that ended last decides.
    """
    if not sessions:
        return
    heard = [own["heard"] for own in sessions if "end" not in own]
    run.lives_until = max(heard) + STALE if heard else None
    run.status, run.ended, folded["error"] = "INTERRUPTED", None, None
    roots = [own for own in sessions if own.get("root") and own.get("status") != "CLOSED"]
    if not roots:
        return
    last = max(roots, key=lambda own: float(own["end"] if "end" in own else own["seen"]))
    if "end" in last:
        run.status, run.ended = last["status"][:20] or "INTERRUPTED", last["end"]
        folded["error"] = last.get("error") or None


def _take_params(folded: Row, known: Row, rows: list[Row]) -> Row:
    found = dict(known)
    params = Params(found, folded["times"])
    for row in rows:
        values = row.get("params")
        for name, value in values.items() if isinstance(values, dict) else ():
            key = str(clean(name))
            if key in found or len(found) < MOST:
                params.put(key, value, float(row["timestamp"]))
    return found


def _take_metrics(folded: Row, known: Row, stream: str, rows: list[Row]) -> Row:
    name = stream.partition("/")[2]
    latest: dict[str, tuple[float, Any]] = {}
    for row in rows:
        at = float(row["timestamp"])
        for key, value in row.items():
            if type(value) not in (float, int) or key in ("timestamp", "step"):
                continue
            if key not in latest or at >= latest[key][0]:
                latest[key] = at, value
    found = dict(known)
    for key, (at, value) in latest.items():
        full = str(clean(f"{name}.{key}"))
        if (full in found or len(found) < MOST) and _is_newer(folded, f"metrics {full}", at):
            found[full] = plain(value)
    return found


def _take_files(session: Session, run: Run, rows: list[Row]) -> None:
    good = [row for row in rows if is_path(row.get("path"))]
    known = _known_files(session, run.id, list({row["path"] for row in good}))
    for row in good:
        path = row["path"]
        file = known.get(path)
        if file is not None and file.timestamp > row["timestamp"]:
            continue
        was = file is not None and file.place is not None
        before = file.size if file is not None and was else 0
        if file is None:
            file = known[path] = File(run_id=run.id, path=path)
            session.add(file)
        saved = row.get("op") == "save" and is_clean(row.get("data"))
        file.timestamp = float(row["timestamp"])
        file.place = row["data"] if saved else None
        file.sha256 = text(row.get("sha256"))[:64] or None
        file.size = size if type(size := row.get("size")) is int and 0 <= size < _LARGEST else 0
        file.step = step if type(step := row.get("step")) is int and abs(step) < 2**63 else None
        file.row = clean(row)
        run.files = (run.files or 0) + int(saved) - int(was)
        run.file_bytes = (run.file_bytes or 0) + (file.size if saved else 0) - before


def _known_files(session: Session, run_id: str, paths: list[str]) -> dict[str, File]:
    """The files of these paths: a run may have very many."""
    found: dict[str, File] = {}
    for first in range(0, len(paths), _NAMED):
        part = paths[first : first + _NAMED]
        query = select(File).where(File.run_id == run_id, File.path.in_(part))
        found |= {file.path: file for file in session.scalars(query)}
    return found


def _is_newer(folded: Row, key: str, at: float) -> bool:
    """Whether a value of this time replaces the one that is known; notes it if so."""
    times: dict[str, float] = folded["times"]
    if at < times.get(key, float("-inf")):
        return False
    times[key] = float(at)
    return True
