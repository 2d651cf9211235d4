"""What is other for a folder: the way in, and changes, which are made to its files."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from ml_dash.buffer.recovery import rings
from ml_dash.reading.status import RUNNING
from ml_dash.run_paths import remove_run
from ml_dash.server.access import Data, OwnRun, WriteRun
from ml_dash.server.folder.watch import Watch
from ml_dash.server.problems import Problem
from ml_dash.server.runs.changes import change_line, own_segment
from ml_dash.server.runs.routes import RunChange, given_changes, shown
from ml_dash.server.tables import Run
from ml_dash.wire import API

router = APIRouter()


@router.get("/open", include_in_schema=False)
def open_pages(request: Request, token: str = "") -> Response:
    """The address that `ml-dash ui` gives to its user."""
    answer: Response = request.app.state.opened(request, token)
    return answer


@router.patch(f"{API}/runs/{{run}}", tags=["runs"])
def patch_run(
    changes: RunChange, request: Request, granted: WriteRun, data: Data
) -> dict[str, Any]:
    """Change tags, description, metadata or bindrs, by a row in the run's folder."""
    now = request.app.state.now()
    given = given_changes(changes)
    watch: Watch = request.app.state.watch
    with data.reading() as session:
        folded = session.scalar(select(Run.folded).where(Run.id == granted.run_id)) or {}
    if given:
        watch.write(granted.run_id, own_segment(granted.run_id), change_line(folded, given, now))
    return {"run": shown(data, granted.run_id, now)}


@router.delete(f"{API}/runs/{{run}}", status_code=204, tags=["runs"])
def delete_run(request: Request, granted: OwnRun, data: Data) -> None:
    """Delete a run from the folder. It cannot be had back."""
    watch: Watch = request.app.state.watch
    folder = watch.folder_of(granted.run_id)
    status = shown(data, granted.run_id, request.app.state.now())["status"]
    if status == RUNNING or rings(folder):
        raise Problem(409, "the run is still written; end it first")
    remove_run(folder)
    watch.forget([granted.run_id])
