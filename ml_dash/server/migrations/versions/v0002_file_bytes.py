"""How many bytes the files of a run have, in databases from before that was kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and count; the first version came to have it while nobody was to use it."""
    if "file_bytes" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("runs")}:
        return
    op.add_column("runs", sa.Column("file_bytes", _BIG, nullable=False, server_default="0"))
    runs = sa.table("runs", sa.column("id"), sa.column("file_bytes"))
    files = sa.table("files", *map(sa.column, ("run_id", "size", "place")))
    kept = sa.select(sa.func.coalesce(sa.func.sum(files.c.size), 0)).where(
        files.c.run_id == runs.c.id, files.c.place.is_not(None)
    )
    op.execute(runs.update().values(file_bytes=kept.scalar_subquery()))
