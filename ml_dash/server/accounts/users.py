"""Users: made, recognised by their password, disabled."""

from __future__ import annotations

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_dash.ids import new_id
from ml_dash.server.accounts import namespaces, passwords, secrets
from ml_dash.server.accounts.locks import hold
from ml_dash.server.database import Database
from ml_dash.server.tables import Namespace, User
from ml_dash.wire import check_namespace

ADMINISTRATOR = "admin"
"""The name of the user that a first start makes."""

LINK_SECONDS = 86_400.0
"""How long a one-time link is good."""


def create_user(
    session: Session,
    name: str,
    password: str | None,
    admin: bool = False,
    *,
    now: float | None = None,
) -> User:
    """Make a user, and the namespace that is their own.

    Args:
        session: in a transaction.
        name: of both; see `check_namespace`.
        password: `None` for one who sets it with a one-time link.
        admin: whether they look after the server.
        now: the time, by default of this machine.

    Raises:
        ValueError: the name is taken or cannot be one, or the password is too short.
    """
    now = time.time() if now is None else now
    check_namespace(name)
    hashed = passwords.hash_password(passwords.check_password(password)) if password else None
    hold(session, f"name:{name}")
    if session.scalar(select(Namespace.id).where(Namespace.name == name)) is not None:
        raise ValueError(f"the name {name!r} is taken")
    user = User(id=new_id(), name=name, password=hashed, admin=admin, disabled=False, created=now)
    session.add(user)
    session.flush()
    namespaces.add_namespace(session, name, user.id, now, personal=True)
    return user


def authenticate(data: Database, name: str, password: str) -> User | None:
    """The user of a name and a password, `None` where they do not belong together.

    It takes the same time for a user that there is not. A hash of weaker parameters than today's
    is replaced.

    Args:
        data: the database.
        name: what was typed.
        password: likewise.
    """
    with data.reading() as session:
        user = session.scalar(select(User).where(User.name == name))
    good = passwords.verify(None if user is None else user.password, password)
    if user is None or not good or user.disabled:
        return None
    stored = user.password or ""
    if passwords.is_outdated(stored):
        renewed = passwords.hash_password(password)
        data.transaction(lambda session: _replace(session, user.id, stored, renewed))
    return user


def _replace(session: Session, user_id: str, old: str, new: str) -> None:
    user = session.get(User, user_id, with_for_update=True)
    if user is not None and user.password == old:  # it may have been changed meanwhile
        user.password = new


def set_password(session: Session, user_id: str, hashed: str, now: float, but: str = "") -> None:
    """Set a password. All sessions and links of the user end.

    Args:
        session: in a transaction.
        user_id: whose.
        hashed: from `hash_password`.
        now: the time.
        but: the id of the session that stays.
    """
    user = session.get_one(User, user_id, with_for_update=True)
    user.password = hashed
    secrets.revoke_all(session, user_id, now, ("session", "link"), but=but)


def set_disabled(session: Session, user_id: str, disabled: bool, now: float) -> None:
    """Turn a user away, or let them in again. Turned away, all their tokens end for good.

    Raises:
        ValueError: it is the last administrator.
    """
    hold(session, "administrators")
    user = session.get_one(User, user_id, with_for_update=True)
    if disabled and user.admin:
        _check_admins(session, user_id)
    user.disabled = disabled
    if disabled:
        secrets.revoke_all(session, user_id, now)


def set_admin(session: Session, user_id: str, admin: bool) -> None:
    """Let a user look after the server, or no longer.

    Raises:
        ValueError: it is the last administrator.
    """
    hold(session, "administrators")
    if not admin:
        _check_admins(session, user_id)
    session.get_one(User, user_id, with_for_update=True).admin = admin


def _check_admins(session: Session, but: str) -> None:
    query = select(func.count()).where(
        User.admin.is_(True), User.disabled.is_(False), User.id != but
    )
    if not session.scalar(query):
        raise ValueError("this is the last administrator; make another one first")


def issue_link(session: Session, user_id: str, now: float) -> str:
    """A path that lets a user set their password, once, within a day."""
    _, text = secrets.issue(session, user_id, "link", ["read"], expires=now + LINK_SECONDS, now=now)
    return f"/welcome?token={text}"


def ensure_admin(database: Database, now: float) -> str | None:
    """Make the administrator of a server that has no users.

    Until they have set their password, every start gives a new link.

    Args:
        database: with its tables.
        now: the time.

    Returns:
        The path of a one-time link, to be printed behind the server's address, or `None` where
        there is somebody already.
    """

    def work(session: Session) -> str | None:
        hold(session, "administrators")
        if session.scalar(select(User.id).limit(1)) is None:
            user: User | None = create_user(session, ADMINISTRATOR, None, admin=True, now=now)
        else:
            with_password = select(User.id).where(User.password.is_not(None)).limit(1)
            if session.scalar(with_password) is not None:
                return None
            user = session.scalar(select(User).where(User.name == ADMINISTRATOR, User.admin))
        return None if user is None else issue_link(session, user.id, now)

    return database.transaction(work)
