"""Namespaces: one for each user, those of teams, and who has which role in them.

A namespace always has an owner: the last one can neither leave nor become less.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_dash.ids import new_id
from ml_dash.server.accounts.locks import hold
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Member, Namespace, Project, User
from ml_dash.wire import check_namespace

ROLES = ("reader", "writer", "owner")
"""From the least to the most; each may do what those before it may."""


def add_namespace(
    session: Session, name: str, user_id: str, now: float, *, personal: bool = False
) -> Namespace:
    """Make a namespace; its maker owns it.

    Args:
        session: in a transaction.
        name: see `check_namespace`.
        user_id: of its maker.
        now: the time.
        personal: whether it is the user's own, not a team's.

    Raises:
        ValueError: the name is taken or cannot be one.
    """
    check_namespace(name)
    hold(session, f"name:{name}")
    if session.scalar(select(Namespace.id).where(Namespace.name == name)) is not None:
        raise ValueError(f"the name {name!r} is taken")
    made = Namespace(id=new_id(), name=name, owner_id=user_id if personal else None, created=now)
    session.add(made)
    session.flush()
    session.add(Member(namespace_id=made.id, user_id=user_id, role="owner"))
    session.flush()
    return made


def rename(session: Session, namespace_id: str, name: str) -> None:
    """Give a team's namespace another name; runs are found under the new one from then on.

    Raises:
        ValueError: the name is taken or cannot be one.
        Problem: 409, it is a user's own.
    """
    check_namespace(name)
    hold(session, f"name:{name}")
    found = _team(session, namespace_id, "renamed")
    if found.name == name:
        return
    if session.scalar(select(Namespace.id).where(Namespace.name == name)) is not None:
        raise ValueError(f"the name {name!r} is taken")
    found.name = name


def remove(session: Session, namespace_id: str) -> None:
    """Delete a team's namespace that has no projects.

    Raises:
        Problem: 409, it has projects, or is a user's own.
    """
    found = _team(session, namespace_id, "deleted")
    if session.scalar(select(Project.id).where(Project.namespace_id == namespace_id).limit(1)):
        raise Problem(409, f"{found.name!r} still has projects; delete them first")
    session.delete(found)


def _team(session: Session, namespace_id: str, what: str) -> Namespace:
    found = session.get(Namespace, namespace_id, with_for_update=True)
    if found is None:
        raise Problem(404, "there is no such namespace any more")
    if found.owner_id is not None:
        raise Problem(409, f"{found.name!r} is a user's own namespace; it cannot be {what}")
    return found


def members(session: Session, namespace_id: str) -> list[dict[str, str]]:
    """Who has which role, by name."""
    query = (
        select(User.name, Member.role)
        .join(Member, Member.user_id == User.id)
        .where(Member.namespace_id == namespace_id)
        .order_by(User.name)
    )
    return [{"user": name, "role": role} for name, role in session.execute(query)]


def set_role(session: Session, namespace_id: str, user_name: str, role: str) -> None:
    """Let a user in, in a role, or give them another.

    Args:
        session: in a transaction.
        namespace_id: where.
        user_name: who.
        role: one of `ROLES`.

    Raises:
        ValueError: there is no such role.
        Problem: 404, no such user; 409, no owner would be left.
    """
    if role not in ROLES:
        raise ValueError(f"{role!r:.40} is no role; there are {', '.join(ROLES)}")
    found = _member(session, namespace_id, user_name)
    if isinstance(found, str):
        session.add(Member(namespace_id=namespace_id, user_id=found, role=role))
        return
    if role != "owner":
        _check_owners(session, namespace_id, found.user_id)
    found.role = role


def remove_member(session: Session, namespace_id: str, user_name: str) -> None:
    """Let a user in no longer.

    Raises:
        Problem: 404, no such member; 409, no owner would be left.
    """
    found = _member(session, namespace_id, user_name)
    if isinstance(found, str):
        raise Problem(404, f"{user_name!r:.60} is no member")
    _check_owners(session, namespace_id, found.user_id)
    session.delete(found)


def _member(session: Session, namespace_id: str, user_name: str) -> Member | str:
    """The membership of a user, or their id where there is none. Locks the namespace."""
    session.get(Namespace, namespace_id, with_for_update=True)
    user_id = session.scalar(select(User.id).where(User.name == user_name))
    if user_id is None:
        raise Problem(404, f"there is no user {user_name!r:.60}")
    return session.get(Member, (namespace_id, user_id)) or user_id


def _check_owners(session: Session, namespace_id: str, but: str) -> None:
    owner_id = session.scalar(select(Namespace.owner_id).where(Namespace.id == namespace_id))
    if owner_id == but:
        raise Problem(409, "users stay owners of their own namespace", code="last_owner")
    others = session.scalar(
        select(func.count()).where(
            Member.namespace_id == namespace_id, Member.role == "owner", Member.user_id != but
        )
    )
    member = session.get(Member, (namespace_id, but))
    if not others and member is not None and member.role == "owner":
        raise Problem(409, "a namespace keeps at least one owner", code="last_owner")
