"""The values and tags of runs, each in a row of its own, to find and to sort runs by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table as SqlTable
from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ml_dash.server.tables import RunTag, RunValue

LONGEST_KEY = 300
LONGEST_TEXT = 1000
LONGEST_TAG = 200

_MOST = 200  # values of a group
_MISSING = object()


def index_values(
    session: Session, run_id: str, group: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Bring the values of one group to what they are now.

    Args:
        session: in a transaction that has locked the run.
        run_id: the run.
        group: what their keys begin with, such as `params.`; empty for those without a group.
        old: as they were.
        new: as they are.
    """
    if old is new:
        return
    changed = [
        {"run_id": run_id, "key": key, **_columns(value)}
        for name, value in new.items()
        if _differs(old.get(name, _MISSING), value)
        and len(key := group + name) <= LONGEST_KEY
        and value is not None
    ]
    gone = [group + name for name in old if new.get(name) is None and old[name] is not None]
    if gone:
        session.execute(delete(RunValue).where(RunValue.run_id == run_id, RunValue.key.in_(gone)))
    if changed:
        session.execute(_upsert(session), changed)


def index_tags(session: Session, run_id: str, old: Iterable[str], new: Iterable[str]) -> None:
    """Bring the tags to what they are now."""
    before, after = set(old), {tag for tag in new if len(tag) <= LONGEST_TAG}
    if gone := before - after:
        session.execute(delete(RunTag).where(RunTag.run_id == run_id, RunTag.tag.in_(gone)))
    session.add_all(RunTag(run_id=run_id, tag=tag) for tag in sorted(after - before))


def flatten(value: Any) -> dict[str, Any]:
    """The values of nested objects, by dotted names; lists are values as they are."""
    found: dict[str, Any] = {}
    waiting = [("", value)] if isinstance(value, dict) else []
    while waiting and len(found) < _MOST:
        prefix, inner = waiting.pop()
        for name, item in inner.items():
            if isinstance(item, dict):
                waiting.append((f"{prefix}{name}.", item))
            elif len(found) < _MOST:
                found[f"{prefix}{name}"] = item
    return found


def _columns(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"number": float(value), "text": "true" if value else "false"}
    if isinstance(value, (int, float)):
        return {"number": float(value), "text": None}
    return {"number": None, "text": str(value)[:LONGEST_TEXT]}


def _differs(old: Any, new: Any) -> bool:
    return type(old) is not type(new) or bool(old != new)


def _upsert(session: Session) -> Any:
    table = RunValue.__table__
    assert isinstance(table, SqlTable)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    made = (sqlite if is_sqlite else postgresql).insert(table)
    return made.on_conflict_do_update(
        index_elements=["run_id", "key"],
        set_={"number": made.excluded.number, "text": made.excluded.text},
    )
