"""The API of accounts: who am I, namespaces and their members, users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_dash.server.access import (
    Administrator,
    Asker,
    Data,
    OwnNamespace,
    Reader,
    ReadNamespace,
    Writer,
)
from ml_dash.server.accounts import namespaces, users
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Member, Namespace, User
from ml_dash.wire import API

T = TypeVar("T")
router = APIRouter(prefix=API, tags=["accounts"])


class Body(BaseModel):
    """A JSON body; fields that it does not have are an error."""

    model_config = ConfigDict(extra="forbid")


class NewNamespace(Body):
    """A namespace to be made, or its new name."""

    name: str = Field(max_length=39)


class NewRole(Body):
    """A role to be given."""

    role: Literal["reader", "writer", "owner"]


class NewUser(Body):
    """A user to be made."""

    name: str = Field(max_length=39)
    admin: bool = False


class UserChange(Body):
    """What is to be different about a user."""

    admin: bool | None = None
    disabled: bool | None = None


def attempt(work: Callable[[Session], T], status: int = 422) -> Callable[[Session], T]:
    """`work`, with its `ValueError` told as a problem."""

    def attempted(session: Session) -> T:
        try:
            return work(session)
        except ValueError as error:
            raise Problem(status, str(error)) from None

    return attempted


@router.get("/me")
def who_am_i(asker: Asker, data: Data) -> dict[str, Any]:
    """Who asks, the namespaces they see, and what the token is for."""
    return {
        "user": {"id": asker.user_id, "name": asker.user, "admin": asker.admin},
        "own": asker.user,
        "namespaces": _list(data, asker.user_id),
        "token": {
            "id": asker.secret_id,
            "kind": asker.kind,
            "scopes": sorted(asker.scopes),
            "expires": asker.expires,
        },
    }


def _list(data: Data, user_id: str) -> list[dict[str, Any]]:
    query = (
        select(Namespace.name, Namespace.owner_id, Member.role)
        .join(Member, Member.namespace_id == Namespace.id)
        .where(Member.user_id == user_id)
        .order_by(Namespace.name)
    )
    with data.reading() as session:
        return [
            {"name": name, "kind": "team" if owner is None else "personal", "role": role}
            for name, owner, role in session.execute(query)
        ]


@router.get("/namespaces")
def list_namespaces(asker: Reader, data: Data) -> dict[str, Any]:
    """The namespaces that the caller is a member of."""
    return {"namespaces": _list(data, asker.user_id)}


@router.post("/namespaces", status_code=201)
def make_namespace(
    request: Request, asker: Writer, data: Data, new: NewNamespace
) -> dict[str, Any]:
    """Make a namespace for a team; the caller owns it."""
    now = request.app.state.now()

    def work(session: Session) -> None:
        namespaces.add_namespace(session, new.name, asker.user_id, now)

    data.transaction(attempt(work))
    return {"namespace": {"name": new.name, "kind": "team", "role": "owner"}}


@router.get("/namespaces/{namespace}")
def show_namespace(granted: ReadNamespace, data: Data) -> dict[str, Any]:
    """A namespace and its members."""
    with data.reading() as session:
        found = session.get_one(Namespace, granted.namespace_id)
        members = namespaces.members(session, granted.namespace_id)
    kind = "team" if found.owner_id is None else "personal"
    shown = {"name": found.name, "kind": kind, "role": granted.role, "created": found.created}
    return {"namespace": shown, "members": members}


@router.patch("/namespaces/{namespace}")
def rename_namespace(granted: OwnNamespace, data: Data, new: NewNamespace) -> dict[str, Any]:
    """Give the namespace of a team another name."""
    data.transaction(attempt(lambda s: namespaces.rename(s, granted.namespace_id, new.name)))
    return {"namespace": {"name": new.name, "kind": "team", "role": granted.role}}


@router.delete("/namespaces/{namespace}", status_code=204)
def delete_namespace(granted: OwnNamespace, data: Data) -> None:
    """Delete the namespace of a team, once it has no projects."""
    data.transaction(lambda session: namespaces.remove(session, granted.namespace_id))


@router.get("/namespaces/{namespace}/members")
def list_members(granted: ReadNamespace, data: Data) -> dict[str, Any]:
    """Who has which role."""
    with data.reading() as session:
        return {"members": namespaces.members(session, granted.namespace_id)}


@router.put("/namespaces/{namespace}/members/{user}")
def put_member(user: str, granted: OwnNamespace, data: Data, new: NewRole) -> dict[str, Any]:
    """Let a user in, in a role, or give them another one."""
    data.transaction(
        attempt(lambda s: namespaces.set_role(s, granted.namespace_id, user, new.role))
    )
    return {"user": user, "role": new.role}


@router.delete("/namespaces/{namespace}/members/{user}", status_code=204)
def delete_member(user: str, granted: OwnNamespace, data: Data) -> None:
    """Let a user in no longer."""
    data.transaction(lambda s: namespaces.remove_member(s, granted.namespace_id, user))


@router.get("/users")
def list_users(asker: Administrator, data: Data) -> dict[str, Any]:
    """All users."""
    with data.reading() as session:
        return {
            "users": [_show(user) for user in session.scalars(select(User).order_by(User.name))]
        }


def _show(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "admin": user.admin,
        "disabled": user.disabled,
        "created": user.created,
    }


@router.post("/users", status_code=201)
def make_user(request: Request, asker: Administrator, data: Data, new: NewUser) -> dict[str, Any]:
    """Make a user, and the path of a link with which they set their password, once."""
    now = request.app.state.now()

    def work(session: Session) -> dict[str, Any]:
        user = users.create_user(session, new.name, None, admin=new.admin, now=now)
        return {"user": _show(user), "link": users.issue_link(session, user.id, now)}

    return data.transaction(attempt(work))


@router.patch("/users/{user}")
def change_user(
    user: str, request: Request, asker: Administrator, data: Data, change: UserChange
) -> dict[str, Any]:
    """Disable a user, let them in again, make them an administrator or no longer one."""
    now = request.app.state.now()

    def work(session: Session) -> dict[str, Any]:
        found = _user(session, user)
        if change.admin is not None:
            users.set_admin(session, found.id, change.admin)
        if change.disabled is not None:
            users.set_disabled(session, found.id, change.disabled, now)
        return {"user": _show(found)}

    return data.transaction(attempt(work, 409))


@router.post("/users/{user}/link", status_code=201)
def make_link(user: str, request: Request, asker: Administrator, data: Data) -> dict[str, Any]:
    """The path of a link with which a user sets a new password, once, within a day."""
    now = request.app.state.now()
    return data.transaction(
        lambda session: {"link": users.issue_link(session, _user(session, user).id, now)}
    )


def _user(session: Session, name: str) -> User:
    found = session.scalar(select(User).where(User.name == name).with_for_update())
    if found is None:
        raise Problem(404, f"there is no user {name!r:.60}")
    return found
