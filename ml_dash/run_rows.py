"""The rows that a process writes into the stream `run`, from its start to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_dash import clock
from ml_dash.buffer import Buffer
from ml_dash.environment import capture, process_identity
from ml_dash.rows import encode_row


def put_event(buffer: Buffer, event: str, **fields: Any) -> None:
    """Say what happened to the session."""
    row = {"event": event, "session": buffer.writer, **fields}
    line = encode_row(row, head={"timestamp": clock.now()}, where="run", strict=False)
    buffer.put("run", line)


def put_start(
    buffer: Buffer, run_id: str, prefix: str, *, root: bool, details: Mapping[str, Any]
) -> None:
    """Say who writes, and what was lost before, if it has said so before."""
    fields: dict[str, Any] = {
        "id": run_id,
        "prefix": prefix,
        "root": root,
        "anchor": clock.anchor(),
        **process_identity(),
    }
    if root:
        fields |= {key: value for key, value in details.items() if value}
    if buffer.lost:
        fields["lost"] = dict(buffer.lost)
    put_event(buffer, "start", **fields)


def put_environment(buffer: Buffer) -> None:
    """Say what the process runs in. Asking git and listing packages takes a while."""
    put_event(buffer, "environment", environment=capture())


def put_end(buffer: Buffer, status: str, error: str | None) -> None:
    """Say how it ended, and what it could not write."""
    fields: dict[str, Any] = {"status": status}
    if error:
        fields["error"] = error
    if buffer.lost:
        fields["lost"] = dict(buffer.lost)
    put_event(buffer, "end", **fields)
