"""Lists of runs: those that the asker may read, filtered, sorted, and a page at a time.

A page ends with a cursor that says where its last run stands in the order. So runs that are added
meanwhile move nothing: no run comes twice, and none that was there is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.orm import Session, defer

from ml_dash.server.problems import Problem
from ml_dash.server.runs import fields
from ml_dash.server.runs.filter import FilterError, parse
from ml_dash.server.runs.order import Order
from ml_dash.server.tables import Member, Namespace, Project, Run

NEWEST_FIRST = "-created"

_MOST_WORDS = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs are asked for, in which order.

    Attributes:
        namespace: of the runs; empty for all.
        project: likewise.
        prefix: of the runs: their own, or that of a folder they are in, whole segments.
        search: words that must all be in prefix, description or tags.
        filter: see `ml_dash.server.runs.filter`.
        sort: up to three fields with commas, each with a minus in front for the greatest first.
        cursor: where the page before ended.
        limit: runs in a page.
    """

    namespace: str = ""
    project: str = ""
    prefix: str = ""
    search: str = ""
    filter: str = ""
    sort: str = NEWEST_FIRST
    cursor: str = ""
    limit: int = 100


Found = tuple[Run, str, str]
"""A run, the name of its project, and that of its namespace."""


class Page(NamedTuple):
    """A page of runs.

    Attributes:
        runs: those of the page.
        cursor: of the next page; `None` after the last one.
        total: how many runs there are on all pages; told with the first page alone.
    """

    runs: list[Found]
    cursor: str | None
    total: int | None


def list_runs(session: Session, user_id: str, wanted: Wanted, now: float) -> Page:
    """A page of the runs that a user may read.

    Args:
        session: to read with.
        user_id: who asks.
        wanted: see there.
        now: by the server's clock.

    Raises:
        Problem: 422, the filter, the order or the cursor cannot be understood.
    """
    order = Order(wanted.sort or NEWEST_FIRST, now, wanted.cursor)
    count = literal(None) if wanted.cursor else func.count().over()
    query = (
        select(Run.id, count, *order.keys)
        .join(Project, Project.id == Run.project_id)
        .join(Namespace, Namespace.id == Project.namespace_id)
        .join(Member, and_(Member.namespace_id == Namespace.id, Member.user_id == user_id))
    )
    query = order.join(_chosen(query, wanted, now))
    if wanted.cursor:
        query = query.where(order.behind())
    rows = session.execute(query.order_by(*order.sorted()).limit(wanted.limit + 1)).all()
    following = None
    if len(rows) > wanted.limit:
        last = rows[wanted.limit - 1]
        following = order.cursor(last[2:], last[0])
    total = rows[0][1] if rows else 0
    found = _load(session, [row[0] for row in rows[: wanted.limit]])
    return Page(found, following, None if wanted.cursor else total)


def _load(session: Session, ids: Sequence[str]) -> list[Found]:
    query = (
        select(Run, Project.name, Namespace.name)
        .join(Project, Project.id == Run.project_id)
        .join(Namespace, Namespace.id == Project.namespace_id)
        .where(Run.id.in_(ids))
        .options(defer(Run.folded))
    )
    found = {run.id: (run, project, name) for run, project, name in session.execute(query)}
    return [found[id] for id in ids if id in found]


def _chosen(query: Select[Any], wanted: Wanted, now: float) -> Select[Any]:
    for column, text in ((Namespace.name, wanted.namespace), (Project.name, wanted.project)):
        if text:
            query = query.where(column == text)
    if wanted.prefix:
        query = query.where(*_below(wanted.prefix))
    words = wanted.search.split()
    if len(words) > _MOST_WORDS:
        raise Problem(422, f"search: {_MOST_WORDS} words at most")
    for word in words:
        query = query.where(fields.mentions(word))
    try:
        node = parse(wanted.filter)
        if node is not None:
            query = query.where(fields.condition(node, now))
    except FilterError as error:
        raise Problem(
            422,
            f"filter, at character {error.position + 1}: {error}",
            code="filter",
            facts={"field": "filter", "position": error.position},
        ) from None
    return query


def _below(prefix: str) -> list[ColumnElement[bool]]:
    namespace, _, rest = prefix.strip("/").partition("/")
    project, _, name = rest.partition("/")
    found: list[ColumnElement[bool]] = [Namespace.name == namespace]
    if project:
        found.append(Project.name == project)
    if name:
        found.append(or_(Run.name == name, Run.name.startswith(f"{name}/", autoescape=True)))
    return found
