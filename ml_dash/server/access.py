"""Who asks, and what they may do: the one place where a request is let in or turned away.

Every route declares one of the dependencies below; a test goes through the table of routes and
holds each against every role.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import select

from ml_dash.server.accounts.identity import Identity
from ml_dash.server.accounts.namespaces import ROLES
from ml_dash.server.accounts.secrets import identify
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.store import ObjectStore
from ml_dash.server.tables import Member, Namespace, Project, Run
from ml_dash.wire import API

__all__ = ["NEEDED_SCOPE", "PUBLIC", "ROLES", "Granted", "Identity", "check", "check_scope"]

NEEDED_SCOPE = {"reader": "read", "writer": "write", "owner": "admin"}
"""What a token must be made for, beside the role of its user."""

PUBLIC = {
    f"{API}/health",
    f"{API}/ready",
    f"{API}/openapi.json",
    "/.well-known/oauth-authorization-server",
    "/oauth/device_authorization",
    "/oauth/token",
    "/oauth/revoke",
    "/login",
    "/logout",
    "/welcome",
    "/style.css",
    "/static/{version}/{name}",
}
"""Paths that ask nobody who they are; what they need they check themselves."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What was asked for, and the role in which it is let happen."""

    identity: Identity
    role: str
    namespace_id: str
    namespace: str
    run_id: str = ""


async def database(request: Request) -> Database:
    """The database of the server that was asked."""
    found: Database = request.app.state.database
    return found


async def store(request: Request) -> ObjectStore:
    """The object store of the server that was asked."""
    found: ObjectStore = request.app.state.store
    return found


Asker = Annotated[Identity, Depends(identify)]
Data = Annotated[Database, Depends(database)]
Objects = Annotated[ObjectStore, Depends(store)]


def _scoped(scope: str) -> Callable[[Identity], Identity]:
    def scoped(asker: Asker) -> Identity:
        check_scope(asker, scope)
        return asker

    return scoped


def _administrator(asker: Asker) -> Identity:
    check_scope(asker, "admin")
    if not asker.admin:
        raise Problem(403, "this takes an administrator of the server")
    return asker


Reader = Annotated[Identity, Depends(_scoped("read"))]
Writer = Annotated[Identity, Depends(_scoped("write"))]
Keeper = Annotated[Identity, Depends(_scoped("admin"))]
"""Whoever asks, with a token that is for reading, for recording, for managing what is theirs."""
Administrator = Annotated[Identity, Depends(_administrator)]
"""Who looks after the server."""


def _run(role: str) -> Callable[..., Granted]:
    def granted(run: str, request: Request, asker: Asker, data: Data) -> Granted:
        run_id, namespace_id, namespace, own = _find(data, asker, run)
        check(asker, own, role, namespace)
        if (prepare := getattr(request.app.state, "prepare", None)) is not None:
            prepare(run_id)  # a folder that is looked at is read when somebody asks
        return Granted(asker, own, namespace_id, namespace, run_id)

    return granted


def _find(data: Database, asker: Identity, run: str) -> tuple[str, str, str, str]:
    """A run by its id, or by the one that it gave itself: its id, its namespace's, name and role.

    Raises:
        Problem: 404, the asker may see none; 409, several gave themselves this id.
    """
    visible = (
        select(Run.id, Namespace.id, Namespace.name, Member.role)
        .join(Project, Project.id == Run.project_id)
        .join(Namespace, Namespace.id == Project.namespace_id)
        .join(
            Member,
            (Member.namespace_id == Namespace.id) & (Member.user_id == asker.user_id),
        )
    )
    with data.reading() as session:
        found = session.execute(visible.where(Run.id == run)).all()
        if not found and run:
            found = session.execute(visible.where(Run.client_id == run).limit(2)).all()
    if not found:  # whether it exists is no business of those who may not see it
        raise Problem(404, f"there is no run {run!r}, or not for you")
    if len(found) > 1:
        raise Problem(409, f"copies of one run have the id {run!r}; search for client_id:{run}")
    run_id, namespace_id, namespace, role = found[0]
    return run_id, namespace_id, namespace, role


def _namespace(role: str) -> Callable[[str, Identity, Database], Granted]:
    def granted(namespace: str, asker: Asker, data: Data) -> Granted:
        with data.reading() as session:
            found = session.execute(
                select(Namespace.id, Member.role)
                .join(Member, Member.namespace_id == Namespace.id)
                .where(Namespace.name == namespace, Member.user_id == asker.user_id)
            ).first()
        if found is None:
            raise Problem(404, f"there is no namespace {namespace!r}, or not for you")
        check(asker, found[1], role, namespace)
        return Granted(asker, found[1], found[0], namespace)

    return granted


def check(asker: Identity, role: str, needed: str, namespace: str) -> None:
    """Let pass who has the role and a token that is for it.

    Raises:
        Problem: 403.
    """
    if ROLES.index(role) < ROLES.index(needed):
        article = "an" if needed == "owner" else "a"
        raise Problem(403, f"you are {role} in {namespace!r}; this takes {article} {needed}")
    check_scope(asker, NEEDED_SCOPE[needed])


def check_scope(asker: Identity, scope: str) -> None:
    """Let pass who has a token that is for `scope`.

    Raises:
        Problem: 403.
    """
    if scope not in asker.scopes:
        raise Problem(403, f"this token has not the scope {scope!r}")


ReadRun = Annotated[Granted, Depends(_run("reader"))]
WriteRun = Annotated[Granted, Depends(_run("writer"))]
OwnRun = Annotated[Granted, Depends(_run("owner"))]
ReadNamespace = Annotated[Granted, Depends(_namespace("reader"))]
WriteNamespace = Annotated[Granted, Depends(_namespace("writer"))]
OwnNamespace = Annotated[Granted, Depends(_namespace("owner"))]
