"""The fields that runs are filtered and sorted by, as SQL."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    case,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import InstrumentedAttribute, aliased

from ml_dash.reading.status import RUNNING
from ml_dash.server.runs.filter import FilterError, Joined, Node, Not, Term
from ml_dash.server.tables import Namespace, Project, Run, RunTag, RunValue

KEPT = ("params.", "metrics.", "metadata.", "git.")
"""What the keys of values begin with, beside `host` and `error`."""

TEXTS: dict[str, Any] = {
    "id": Run.id,
    "client_id": Run.client_id,
    "name": Run.name,
    "project": Project.name,
    "namespace": Namespace.name,
    "prefix": Namespace.name + "/" + Project.name + "/" + Run.name,
    "description": Run.description,
}
NUMBERS: dict[str, Any] = {
    "rows": Run.rows,
    "size": Run.size,
    "files": Run.files,
    "file_bytes": Run.file_bytes,
}
TIMES: dict[str, InstrumentedAttribute[Any]] = {
    "created": Run.created,
    "updated": Run.updated,
    "started": Run.started,
    "ended": Run.ended,
    "heartbeat": Run.heartbeat,
}

_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")


def status(now: float) -> ColumnElement[str]:
    """The status of a run as it is shown: RUNNING until its sessions have been silent for long."""
    return case((_lives(now), RUNNING), else_=Run.status)


def duration(now: float) -> ColumnElement[float]:
    """Seconds that a run went on; one that lives goes on since its last sign, by our clock."""
    since = case((Run.started.is_(None), None), (_lives(now), now - Run.heartbeat), else_=0.0)
    found: ColumnElement[float] = Run.active + since
    return found


def number(name: str, now: float) -> Any:
    """A run's own number or time as SQL, by the name of its field; `None` if it is none."""
    return duration(now) if name == "duration" else (NUMBERS | TIMES).get(name)


def _lives(now: float) -> ColumnElement[bool]:
    return func.coalesce(Run.lives_until, 0.0) >= now


def condition(node: Node, now: float) -> ColumnElement[bool]:
    """A filter as SQL.

    Args:
        node: what `parse` gave.
        now: by the server's clock.

    Raises:
        FilterError: a field has no such sign, or no such value.
    """
    if isinstance(node, Joined):
        parts = [condition(part, now) for part in node.parts]
        return and_(*parts) if node.word == "and" else or_(*parts)
    if isinstance(node, Not):
        # What is not known is not so: NULL must not make `not` unknown, too
        return not_(func.coalesce(condition(node.inner, now), false()))
    return _term(node, now)


def _term(term: Term, now: float) -> ColumnElement[bool]:
    name = term.field
    if not name:
        return mentions(term.value)
    if name == "tag":
        return _tag(term)
    column: Any = _column(name, now)
    if column is None:
        return _value(term)
    if term.sign == "has":
        return cast(ColumnElement[bool], column.is_not(None))
    if number(name, now) is not None:
        if term.sign == "~":
            raise FilterError(f"{name!r} is a number; it takes = != < <= > >=", term.position)
        return _compare(column * 1.0, term.sign, _number(term, name in TIMES))
    return _text(column, term, term.value.upper() if name == "status" else term.value)


def _column(name: str, now: float) -> Any:
    """What a run's own field is in SQL; `None` for what is not its own."""
    if name == "status":
        return status(now)
    found = number(name, now)
    return TEXTS.get(name) if found is None else found


def mentions(text: str) -> ColumnElement[bool]:
    """Whether a text is in prefix, description or a tag, whatever the case."""
    tag = aliased(RunTag)
    tagged = select(tag.tag).where(tag.run_id == Run.id, _contains(tag.tag, text))
    return or_(
        _contains(TEXTS["prefix"], text),
        func.coalesce(_contains(Run.description, text), false()),
        exists(tagged),
    )


def _tag(term: Term) -> ColumnElement[bool]:
    # aliased: a filter may ask for two tags, each in a query of its own
    tag = aliased(RunTag)
    query = select(tag.tag).where(tag.run_id == Run.id)
    if term.sign == "has":
        return exists(query)
    if term.sign == "~":
        return exists(query.where(_contains(tag.tag, term.value)))
    if term.sign not in ("=", "!="):
        raise FilterError("a tag takes : != ~", term.position)
    found = exists(query.where(tag.tag == term.value))
    return found if term.sign == "=" else ~found


def _value(term: Term) -> ColumnElement[bool]:
    value = aliased(RunValue)
    query = select(value.run_id).where(value.run_id == Run.id, value.key.in_(keys(term.field)))
    if term.sign == "has":
        return exists(query)
    if term.sign == "~":
        shown = func.coalesce(value.text, sql_cast(value.number, String))
        return exists(query.where(_contains(shown, term.value)))
    number = None if term.quoted else parse_number(term.value)
    if number is not None:
        same = _compare(value.number, term.sign, number)
        if term.sign == "!=":
            same = or_(same, value.number.is_(None))
    else:
        same = _compare(value.text, term.sign, term.value)
        if term.sign == "!=":
            same = or_(same, value.text.is_(None))
    return exists(query.where(same))


def keys(field: str) -> list[str]:
    """The keys of values that a field means: a bare name is a parameter or a metric."""
    if field.startswith(KEPT) or field in ("host", "error"):
        return [field]
    return [f"params.{field}", f"metrics.{field}"]


def _text(column: Any, term: Term, wanted: str) -> ColumnElement[bool]:
    if term.sign == "~":
        return _contains(column, wanted)
    return _compare(column, term.sign, wanted)


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column.icontains(text, autoescape=True)
    return found


def _compare(column: Any, sign: str, wanted: float | str) -> ColumnElement[bool]:
    found: ColumnElement[bool]
    match sign:
        case "=":
            found = column == wanted
        case "!=":
            found = column != wanted
        case "<":
            found = column < wanted
        case "<=":
            found = column <= wanted
        case ">":
            found = column > wanted
        case _:
            found = column >= wanted
    return found


def _number(term: Term, is_time: bool) -> float:
    number = parse_number(term.value)
    if number is not None:
        return number
    if is_time and _DATE.fullmatch(term.value):
        try:
            found = datetime.fromisoformat(term.value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    wanted = "a date such as 2026-01-31, or seconds since 1970" if is_time else "a number"
    raise FilterError(f"{term.field!r} takes {wanted}, found {term.value!r:.60}", term.at)


def parse_number(text: str) -> float | None:
    """A finite number, `None` for any other text."""
    if "_" in text:
        return None  # Python's way to write numbers, and nobody else's
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
