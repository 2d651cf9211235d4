"""The API of projects: list, make and delete them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.names import check_prefix
from ml_dash.server.access import Data, OwnNamespace, ReadNamespace, WriteNamespace
from ml_dash.server.problems import Problem
from ml_dash.server.runs.changes import delete_run
from ml_dash.server.tables import Project, Run
from ml_dash.wire import API

router = APIRouter(prefix=f"{API}/namespaces/{{namespace}}/projects", tags=["projects"])

_AT_ONCE = 200  # runs that are deleted in one transaction


class NewProject(BaseModel):
    """A project to be made."""

    name: str = Field(min_length=1, max_length=255)


@router.get("")
def list_projects(granted: ReadNamespace, data: Data) -> dict[str, Any]:
    """The projects of a namespace by name: how many runs each has, and when one last changed."""
    query = (
        select(Project.name, Project.created, func.count(Run.id), func.max(Run.updated))
        .outerjoin(Run, Run.project_id == Project.id)
        .where(Project.namespace_id == granted.namespace_id)
        .group_by(Project.id, Project.name, Project.created)
        .order_by(Project.name)
    )
    with data.reading() as session:
        found = session.execute(query).all()
    return {
        "projects": [
            {"name": name, "created": created, "runs": runs, "updated": updated}
            for name, created, runs, updated in found
        ]
    }


@router.post("", status_code=201)
def make_project(
    new: NewProject, request: Request, response: Response, granted: WriteNamespace, data: Data
) -> dict[str, Any]:
    """Make a project; one that is there already is found, with 200."""
    try:
        name = check_prefix(new.name)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    if "/" in name:
        raise Problem(422, f"{name!r} cannot be a project: its name is one segment of a prefix")
    now = request.app.state.now()

    def work(session: Session) -> tuple[Project, bool]:
        found = _find(session, granted.namespace_id, name)
        if found is not None:
            return found, False
        made = Project(id=ids.new_id(), namespace_id=granted.namespace_id, name=name, created=now)
        session.add(made)
        session.flush()
        return made, True

    try:
        project, created = data.transaction(work)
    except IntegrityError:  # another process has just made the same
        project, created = data.transaction(work)
    response.status_code = 201 if created else 200
    return {"project": {"name": project.name, "created": project.created}, "created": created}


@router.delete("/{project:path}", status_code=204)
def remove_project(
    project: str,
    request: Request,
    granted: OwnNamespace,
    data: Data,
    runs: bool = Query(False, description="delete its runs, too"),
) -> None:
    """Delete a project that has no runs; with `runs`, those as well. They cannot be had back."""
    now = request.app.state.now()
    if "\0" in project:
        raise Problem(404, "no project is called so")
    while data.transaction(
        lambda session: _remove(session, granted.namespace_id, project, runs, now)
    ):
        pass


def _remove(session: Session, namespace_id: str, name: str, with_runs: bool, now: float) -> bool:
    """Delete some runs of a project, then the project; whether there is more to be done."""
    found = _find(session, namespace_id, name, lock=True)
    if found is None:
        raise Problem(404, f"there is no project {name!r:.100} in this namespace")
    query = select(Run.id).where(Run.project_id == found.id).limit(_AT_ONCE)
    inside = session.scalars(query).all()
    if inside and not with_runs:
        raise Problem(409, f"the project {name!r:.100} has runs; delete them first, or with it")
    for run_id in inside:
        delete_run(session, run_id, now)
    if inside:
        return True
    session.delete(found)
    return False


def _find(session: Session, namespace_id: str, name: str, *, lock: bool = False) -> Project | None:
    query = select(Project).where(Project.namespace_id == namespace_id, Project.name == name)
    return session.scalar(query.with_for_update() if lock else query)
