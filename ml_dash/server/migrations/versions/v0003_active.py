"""For how long the sessions of a run went on, in databases from before that was kept."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_MANY = 500


def upgrade() -> None:
    """Add the column, and count from what is known of each session."""
    op.add_column("runs", sa.Column("active", sa.Float(), nullable=False, server_default="0"))
    runs = sa.table(
        "runs",
        *map(sa.column, ("id", "heartbeat", "active")),
        sa.column("folded", sa.JSON),
    )
    link, last = op.get_bind(), ""
    while True:
        query = sa.select(runs.c.id, runs.c.heartbeat, runs.c.folded).where(runs.c.id > last)
        found = link.execute(query.order_by(runs.c.id).limit(_MANY)).all()
        if not found:
            return
        last = found[-1].id
        for id_, heartbeat, folded in found:
            told = _stamped(folded or {}, heartbeat or 0.0)
            values = {"folded": told, "active": _active(told)}
            link.execute(runs.update().where(runs.c.id == id_).values(**values))


def _stamped(folded: dict[str, Any], heartbeat: float) -> dict[str, Any]:
    """With when the session that was heard last wrote its last row, whatever that was.

    Of itself it is known by its life alone; the run's heartbeat is of all rows.
    """
    open_ = {k: own for k, own in folded.get("sessions", {}).items() if "end" not in own}
    last = max(open_, key=lambda name: float(open_[name].get("heard", 0.0)), default=None)
    if last is None or not heartbeat > open_[last].get("heard", heartbeat):
        return folded
    stamp = open_[last]["seen"] + heartbeat - open_[last]["heard"]
    return {**folded, "stamps": {last: [stamp, heartbeat]}}


def _active(folded: dict[str, Any]) -> float:
    """As the fold counts; here anew, since a migration stays as it is when that changes."""
    total, covered = 0.0, float("-inf")
    stamps = folded.get("stamps", {})
    known = (
        (own["start"], own.get("end") or max(own["seen"], stamps.get(name, (0.0,))[0]))
        for name, own in folded.get("sessions", {}).items()
        if "start" in own
    )
    for start, end in sorted(known):
        total += max(0.0, end - max(start, covered))
        covered = max(covered, end)
    return total
