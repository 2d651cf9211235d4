"""What a person changes of a run on the server: one more writer's segment, and deleting it all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ml_dash.rows import encode_row
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.segments.append import append
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Garbage, Run, Segment
from ml_dash.wire import tail_crc

_TRIES = 10


def own_segment(run_id: str) -> str:
    """The segment of a run that the server itself writes; no other server's is called the same."""
    return f"run/server-{run_id}.jsonl"


def change_run(
    data: Database, objects: ObjectStore, run_id: str, changes: Mapping[str, Any], now: float
) -> None:
    """Append a row that says what is different now: whoever downloads the run has it, too.

    Args:
        data: the database.
        objects: the store.
        run_id: the run.
        changes: of `tags`, `description`, `metadata` and `bindrs` those that change.
        now: by the server's clock.

    Raises:
        Problem: 404, it has been deleted; 422, a value cannot be recorded; 503, too many others
            change it at once.
    """
    path = own_segment(run_id)
    for _ in range(_TRIES):
        with data.reading() as session:
            folded = session.scalar(select(Run.folded).where(Run.id == run_id))
            end = session.execute(
                select(Segment.size, Segment.tail).where(
                    Segment.run_id == run_id, Segment.path == path
                )
            ).first()
        if folded is None:
            raise Problem(404, "the run has been deleted")
        size, tail = end or (0, b"")
        line = change_line(folded, changes, now)
        piece = {"segment": path, "offset": size, "tail": tail_crc(tail)}
        (answer,) = append(data, objects, run_id, [piece], [memoryview(line)], now)
        if answer["state"] == "taken":
            return
        if answer["state"] != "moved":
            raise Problem(422, f"the change cannot be recorded: {answer.get('reason')}")
    raise Problem(503, "many change this run at once; try again", retry_after=1.0)


def change_line(folded: Mapping[str, Any], changes: Mapping[str, Any], now: float) -> bytes:
    """A change as a row, later than what it replaces; the clock of who wrote that may be ahead."""
    times = folded.get("times", {})
    latest = max((float(times.get(key, 0.0)) for key in changes), default=0.0)
    at = now if now > latest else math.nextafter(latest, math.inf)
    try:
        return encode_row(changes, head={"timestamp": at, "event": "update"}, where="the change")
    except (TypeError, ValueError) as error:
        raise Problem(422, str(error)) from None


def delete_run(session: Session, run_id: str, now: float) -> None:
    """Delete a run. What it has in the store is removed once nobody can be reading it.

    Args:
        session: in a transaction.
        run_id: the run; one that is not there any more counts as deleted.
        now: by the server's clock.
    """
    if session.scalar(select(Run.id).where(Run.id == run_id).with_for_update()) is None:
        return
    session.merge(Garbage(object_key=f"runs/{run_id}/", since=now))
    session.execute(delete(Run).where(Run.id == run_id))
