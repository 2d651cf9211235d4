"""Finding a run by its prefix, and making it, with its project, where it is new."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_dash import ids
from ml_dash.reading.status import STALE
from ml_dash.server.access import Identity, check, check_scope
from ml_dash.server.accounts.namespaces import add_namespace
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Member, Namespace, Project, Run
from ml_dash.wire import Address, address

_TRIES = 5


class _AgainError(Exception):
    """What was to be made is there meanwhile: look again."""


def find_or_make(
    data: Database, asker: Identity, prefix: str, client_id: str, create: bool, now: float
) -> tuple[str, bool]:
    """The id of the run of a prefix, and whether it was made just now.

    Args:
        data: the database.
        asker: whose own namespace short prefixes are in.
        prefix: as the client has it.
        client_id: the id that the client gave the run.
        create: make it, and its project, if it is not there.
        now: by the server's clock.

    Raises:
        Problem: 400 the prefix cannot be one; 403 the namespace is not the asker's to write; 404
            there is no such run and none is to be made.
    """
    try:
        where = address(prefix, asker.user)
    except ValueError as error:
        raise Problem(400, str(error)) from None
    for attempt in range(_TRIES):
        try:
            return data.transaction(
                lambda session: _find_or_make(session, asker, where, client_id, create, now)
            )
        except (IntegrityError, _AgainError):  # another process has just made the same
            if attempt == _TRIES - 1:
                raise Problem(
                    503, "many make runs here at once; try again", retry_after=1.0
                ) from None
    raise AssertionError("unreachable")


def _find_or_make(
    session: Session, asker: Identity, where: Address, client_id: str, create: bool, now: float
) -> tuple[str, bool]:
    namespace_id = _namespace(session, asker, where, create, now)
    project = session.scalar(
        select(Project.id).where(
            Project.namespace_id == namespace_id, Project.name == where.project
        )
    )
    run = None
    if project is not None:
        run = session.scalar(
            select(Run.id).where(Run.project_id == project, Run.name == where.name)
        )
    if run is not None:
        return run, False
    if not create:
        raise Problem(404, f"there is no run {where.prefix!r}, or not for you")
    if project is None:
        project = ids.new_id()
        session.add(Project(id=project, namespace_id=namespace_id, name=where.project, created=now))
        session.flush()
    run = ids.new_id()
    session.add(
        Run(
            id=run,
            project_id=project,
            name=where.name,
            client_id=client_id[:64],
            created=now,
            updated=now,
            lives_until=now + STALE,
        )
    )
    session.flush()
    return run, True


def _namespace(session: Session, asker: Identity, where: Address, create: bool, now: float) -> str:
    """The namespace of a run; one that nobody has becomes a team's, which the asker owns."""
    found = session.execute(
        select(Namespace.id, Member.role)
        .outerjoin(
            Member, (Member.namespace_id == Namespace.id) & (Member.user_id == asker.user_id)
        )
        .where(Namespace.name == where.namespace)
    ).first()
    if found is None and create:
        check_scope(asker, "write")  # as for making it by itself
        try:
            return add_namespace(session, where.namespace, asker.user_id, now).id
        except ValueError:
            raise _AgainError from None  # taken by another transaction just now
    if found is None or found[1] is None:
        raise Problem(
            403 if create else 404,
            f"there is no namespace {where.namespace!r} that you may write; yours is"
            f" {asker.user!r}",
        )
    check(asker, found[1], "writer" if create else "reader", where.namespace)
    return str(found[0])
