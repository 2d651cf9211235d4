"""Orders of runs, by one field or several, and where in an order a run stands."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, and_, case, cast, func, or_
from sqlalchemy.orm import aliased

from ml_dash.server.problems import Problem
from ml_dash.server.runs import fields
from ml_dash.server.runs.clean import clean
from ml_dash.server.tables import Run, RunValue

MOST = 3
"""Fields that one order goes by."""


class _Key:
    """One field of an order: columns that are never NULL, the first of which tells their kind.

    Args:
        text: the field, with a minus in front for the greatest first.
        now: by the server's clock.
    """

    def __init__(self, text: str, now: float) -> None:
        self.down = text.startswith("-")
        self.field = text.removeprefix("-")
        self.value: Any = None
        self.columns: list[ColumnElement[Any]]
        if (column := fields.number(self.field, now)) is not None:
            number = func.coalesce(cast(column, Float), 0.0)
            self.columns = [case((column.is_(None), 1), else_=0), number]
        elif self.field in fields.TEXTS or self.field == "status":
            text_ = fields.status(now) if self.field == "status" else fields.TEXTS[self.field]
            self.columns = [case((text_.is_(None), 1), else_=0), func.coalesce(text_, "")]
        elif self.field.startswith(fields.KEPT) or self.field in ("host", "error"):
            value = self.value = aliased(RunValue)
            kind = case((value.number.is_not(None), 0), (value.text.is_not(None), 1), else_=2)
            rest = [func.coalesce(value.number, 0.0), func.coalesce(value.text, "")]
            self.columns = [kind, *rest]
        else:
            own = [*fields.TEXTS, *fields.NUMBERS, *fields.TIMES, "duration", "status"]
            known = ", ".join(sorted(own))
            raise Problem(
                422,
                f"sort: {self.field!r:.80} is none of {known}, params.NAME, metrics.NAME,"
                " metadata.NAME",
                code="sort",
                facts={"field": "sort"},
            )

    def directed(self) -> list[tuple[ColumnElement[Any], bool]]:
        """Its columns, each with whether the greatest comes first; none at all comes last."""
        kind, *rest = self.columns
        return [(kind, False), *((column, self.down) for column in rest)]


class Order:
    """An order of runs: by fields, and by the run's id at the end.

    It is that of the moment at which the first page was asked for: those that go on grow older
    from page to page, and would move past the place where a page ended.

    Args:
        sort: fields with commas between them.
        now: by the server's clock.
        cursor: where the page before ended; empty for the first one.

    Attributes:
        keys: the columns that tell where a run stands, without its id.

    Raises:
        Problem: 422, there is no such field, there are too many, or the cursor is none.
    """

    def __init__(self, sort: str, now: float, cursor: str = "") -> None:
        self._sort = sort
        self._now, self._values = self._decode(cursor) if cursor else (now, [])
        parts = sort.split(",")
        if len(parts) > MOST:
            raise Problem(
                422, f"sort: by {MOST} fields at most", code="sort", facts={"field": "sort"}
            )
        self._keys = [_Key(part.strip(), self._now) for part in parts]
        self.keys = [column for key in self._keys for column in key.columns]
        last = (Run.id, self._keys[-1].down)
        self._directed = [*(pair for key in self._keys for pair in key.directed()), last]

    def join(self, query: Select[Any]) -> Select[Any]:
        """The query with the values that it is sorted by."""
        for key in self._keys:
            if key.value is not None:
                mine = and_(key.value.run_id == Run.id, key.value.key == key.field)
                query = query.outerjoin(key.value, mine)
        return query

    def sorted(self) -> list[Any]:
        """What to order by: runs without a value come last, whatever the direction."""
        return [column.desc() if down else column for column, down in self._directed]

    def cursor(self, keys: Sequence[Any], id: str) -> str:
        """Where a run stands."""
        text = json.dumps([self._sort, self._now, *keys, id])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def behind(self) -> ColumnElement[bool]:
        """What comes after the run of the cursor.

        Raises:
            Problem: 422, it is none of this order.
        """
        values = self._values
        wanted = [_kind(column, key) for key in self._keys for column in key.columns] + [str]
        if len(values) != len(wanted):
            raise _no_cursor()
        if not all(_fits(value, kind) for value, kind in zip(values, wanted, strict=True)):
            raise _no_cursor()
        values = [
            float(value) if kind is float else value
            for value, kind in zip(values, wanted, strict=True)
        ]
        columns = [column for column, _ in self._directed]
        parts: list[ColumnElement[bool]] = []
        for number, ((column, down), value) in enumerate(zip(self._directed, values, strict=True)):
            before = [c == v for c, v in zip(columns[:number], values[:number], strict=True)]
            parts.append(and_(*before, column < value if down else column > value))
        return or_(*parts)

    def _decode(self, cursor: str) -> tuple[float, list[Any]]:
        """When the first page was asked for, and the values of the run at which one ended."""
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            decoded: list[Any] = json.loads(text)
            sort, begun, values = decoded[0], decoded[1], decoded[2:]
        except (ValueError, TypeError, LookupError, binascii.Error, RecursionError):
            raise _no_cursor() from None
        if sort != self._sort or not _fits(begun, float):
            raise _no_cursor()
        return float(begun), values


def _no_cursor() -> Problem:
    return Problem(422, "the cursor is none of this order; begin with the first page")


def _kind(column: ColumnElement[Any], key: _Key) -> type:
    if column is key.columns[0]:
        return int
    return str if column.type.python_type is str else float


def _fits(value: Any, kind: type) -> bool:
    if kind is int:
        return type(value) is int and 0 <= value <= 2
    if kind is float:
        return type(value) in (int, float) and abs(value) < 1e308
    return type(value) is str and value == clean(value)
