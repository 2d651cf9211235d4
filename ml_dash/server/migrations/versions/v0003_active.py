"""For how long the sessions of a run went on, in databases from before that was kept."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_MANY = 500


def upgrade() -> None:
    """Add the column, and count from what is known of each session."""
    op.add_column("runs", sa.Column("active", sa.Float(), nullable=False, server_default="0"))
    runs = sa.table("runs", *map(sa.column, ("id", "folded", "active")))
    link, last = op.get_bind(), ""
    while True:
        query = sa.select(runs.c.id, runs.c.folded).where(runs.c.id > last)
        found = link.execute(query.order_by(runs.c.id).limit(_MANY)).all()
        if not found:
            return
        last = found[-1].id
        for id_, folded in found:
            seconds = _active(json.loads(folded) if isinstance(folded, str) else folded or {})
            link.execute(runs.update().where(runs.c.id == id_).values(active=seconds))


def _active(folded: dict[str, dict[str, dict[str, float]]]) -> float:
    """As the fold counts; here anew, since a migration stays as it is when that changes."""
    total, covered = 0.0, float("-inf")
    known = (own for own in folded.get("sessions", {}).values() if "start" in own)
    for start, end in sorted((own["start"], own.get("end") or own["seen"]) for own in known):
        total += max(0.0, end - max(start, covered))
        covered = max(covered, end)
    return total
