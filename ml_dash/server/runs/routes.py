"""The API of runs: find, make, list, change and delete them."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import defer

from ml_dash.reading import RunView
from ml_dash.reading.status import RUNNING
from ml_dash.server.access import Asker, Data, Objects, OwnRun, Reader, ReadRun, WriteRun
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.runs.changes import change_run, delete_run
from ml_dash.server.runs.clean import clean
from ml_dash.server.runs.filter import LONGEST
from ml_dash.server.runs.fold import heard_of
from ml_dash.server.runs.listing import NEWEST_FIRST, Wanted, list_runs
from ml_dash.server.runs.lost import Lost, find_lost
from ml_dash.server.runs.upsert import find_or_make
from ml_dash.server.segments.stored import StoredRun
from ml_dash.server.tables import Namespace, Project, Run
from ml_dash.wire import API

router = APIRouter(prefix=API, tags=["runs"])

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Asked = Annotated[str, Query(max_length=1100, pattern="^[^\\x00]*$")]


class RunWanted(BaseModel):
    """Which run is asked for."""

    prefix: str = Field(max_length=1100)
    id: str = Field("", max_length=64, pattern="^[^\\x00]*$")
    create: bool = True


class RunChange(BaseModel):
    """What is to be different about a run; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    tags: list[Name] | None = Field(None, max_length=100)
    description: str | None = Field(None, max_length=20_000)
    metadata: dict[str, Any] | None = None
    bindrs: list[Name] | None = Field(None, max_length=100)


@router.post("/runs")
def find_run(
    wanted: RunWanted, request: Request, response: Response, asker: Asker, data: Data
) -> dict[str, Any]:
    """The run of a prefix; made, with its project, where there is none."""
    now = request.app.state.now()
    run, created = find_or_make(data, asker, wanted.prefix, wanted.id, wanted.create, now)
    response.status_code = 201 if created else 200
    return {"run": shown(data, run, now), "created": created}


@router.get("/runs")
def read_runs(
    request: Request,
    asker: Reader,
    data: Data,
    namespace: Asked = "",
    project: Asked = "",
    prefix: Asked = "",
    search: Asked = "",
    filter: Annotated[str, Query(max_length=LONGEST, pattern="^[^\\x00]*$")] = "",
    sort: Asked = NEWEST_FIRST,
    cursor: Annotated[str, Query(max_length=10_000)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The runs that the caller may read, a page at a time.

    `prefix` is that of a run, or of a folder of runs, in whole segments; `search` are words that
    must all be in prefix, description or tags. `filter` is such as
    `lr > 1e-3 and tag:baseline and status:running`; `sort` such as `-started` or
    `metrics.train.loss`, and runs without a value come last. `next` is the `cursor` of the next
    page, `total` counts all runs, on the first page alone.
    """
    now = request.app.state.now()
    wanted = Wanted(namespace, project, prefix, search, filter, sort, cursor, limit)
    with data.reading() as session:
        page = list_runs(session, asker.user_id, wanted, now)
    answer = {
        "runs": [to_json(*each, now) for each in page.runs],
        "next": page.cursor,
        "total": page.total,
    }
    return Response(orjson.dumps(answer), media_type="application/json")


@router.get("/runs/{run}")
def read_run(request: Request, granted: ReadRun, data: Data) -> dict[str, Any]:
    """What is known of a run."""
    return {"run": shown(data, granted.run_id, request.app.state.now())}


@router.get("/runs/{run}/sessions")
def read_sessions(request: Request, granted: ReadRun, data: Data) -> dict[str, Any]:
    """What was last heard of each session of a run, which its rows do not say.

    `last_seen` is the last timestamp that its process took from its clock, whatever the row;
    `silent` is for how many seconds nothing has come, by the server's clock.
    """
    now = request.app.state.now()
    with data.reading() as session:
        folded = session.scalar(select(Run.folded).where(Run.id == granted.run_id)) or {}
    return {
        "sessions": [
            {"session": name, "last_seen": seen, "silent": max(0.0, now - heard)}
            for name, (seen, heard) in heard_of(folded).items()
        ]
    }


@router.get("/runs/{run}/params")
def read_params(granted: ReadRun, data: Data, objects: Objects) -> Response:
    """All parameters of a run by their dotted names; what is not finite, or long, is a text."""
    view = RunView(StoredRun(data, objects, granted.run_id), granted.run_id, recover=False)
    params = clean(dict(view.params.flat))
    return Response(orjson.dumps({"params": params}), media_type="application/json")


@router.get("/runs/{run}/lost")
def read_lost(granted: ReadRun, data: Data, objects: Objects) -> Lost:
    """What of a run the store behind the server has lost, by the list of its objects.

    `count` says of how many segments and contents; a hundred of each are named, files by path.
    `chunks` and `contents` can be sent again: some thousands at a time.
    """
    return find_lost(data, objects, granted.run_id)


@router.patch("/runs/{run}")
def patch_run(
    changes: RunChange, request: Request, granted: WriteRun, data: Data, objects: Objects
) -> dict[str, Any]:
    """Change tags, description, metadata or bindrs; what is given replaces what was."""
    now = request.app.state.now()
    given = given_changes(changes)
    if given:
        change_run(data, objects, granted.run_id, given, now)
    return {"run": shown(data, granted.run_id, now)}


def given_changes(changes: RunChange) -> dict[str, Any]:
    """Those of the values that were given.

    Raises:
        Problem: 422, one is null that cannot be.
    """
    given = changes.model_dump(exclude_unset=True)
    if "description" in given and given["description"] is None:
        given["description"] = ""
    if any(value is None for value in given.values()):
        raise Problem(422, "only the description can be null; give an empty list or object")
    return given


@router.delete("/runs/{run}", status_code=204)
def remove_run(request: Request, granted: OwnRun, data: Data) -> None:
    """Delete a run and all that was recorded in it. It cannot be had back."""
    now = request.app.state.now()
    data.transaction(lambda session: delete_run(session, granted.run_id, now))


def shown(data: Database, run_id: str, now: float) -> dict[str, Any]:
    """A run as the API shows it.

    Raises:
        Problem: 404, it has been deleted.
    """
    with data.reading() as session:
        found = session.execute(
            select(Run, Project.name, Namespace.name)
            .join(Project, Project.id == Run.project_id)
            .join(Namespace, Namespace.id == Project.namespace_id)
            .where(Run.id == run_id)
            .options(defer(Run.folded))
        ).first()
    if found is None:
        raise Problem(404, "the run has been deleted")
    return to_json(*found, now)


def _duration(run: Run, now: float | None) -> float | None:
    """As `fields.duration` has it in SQL; `now` where it lives."""
    if run.started is None:
        return None
    return run.active + (now - run.heartbeat if now and run.heartbeat else 0.0)


def to_json(run: Run, project: str, namespace: str, now: float) -> dict[str, Any]:
    """A run as the API shows it. One that gave no sign of life for long counts as interrupted."""
    lives = (run.lives_until or 0.0) >= now
    details = run.details or {}
    return {
        "id": run.id,
        "client_id": run.client_id,
        "namespace": namespace,
        "project": project,
        "name": run.name,
        "prefix": f"{namespace}/{project}/{run.name}",
        "status": RUNNING if lives else run.status,
        "created": run.created,
        "started": run.started,
        "ended": None if lives else run.ended,
        "updated": run.updated,
        "heartbeat": run.heartbeat,
        "duration": _duration(run, now if lives else None),
        "description": run.description,
        "tags": run.tags,
        "bindrs": run.bindrs,
        "metadata": details.get("metadata", {}),
        "host": details.get("host"),
        "git": details.get("git"),
        "error": None if lives else details.get("error"),
        "params": run.params,
        "metrics": run.metrics,
        "rows": run.rows,
        "size": run.size,
        "files": run.files,
        "file_bytes": run.file_bytes,
    }
