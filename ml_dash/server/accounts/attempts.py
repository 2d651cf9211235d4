"""Guesses: counted in the database, so that no number of processes lets anybody guess more often.

A try is counted *before* it is looked at and forgiven when it was right. Counting afterwards would
let a thousand guesses in that are made at the same moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ml_dash.ids import new_id
from ml_dash.server.accounts.locks import hold
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Attempt

WINDOW = 900.0
"""Seconds in which tries are counted."""


class Limit(NamedTuple):
    """How many tries of a subject there may be within `WINDOW`."""

    subject: str
    most: int


def password_limits(name: str, address: str) -> list[Limit]:
    """For a password: by name and address, by address, and by name alone.

    The last one is wide, so that a stranger cannot lock a user out with a few guesses.
    """
    # people type their password into the field of the name: no table may hold what stood there
    who = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return [
        Limit(f"password:{who}:{address}", 10),
        Limit(f"password-from:{address}", 60),
        Limit(f"password-of:{who}", 200),
    ]


def code_limits(user_id: str, address: str) -> list[Limit]:
    """For the code that a device shows: by the user who types it, and by address."""
    return [Limit(f"code:{user_id}", 10), Limit(f"code-from:{address}", 60)]


def device_limits(address: str) -> list[Limit]:
    """For new devices: each one that waits makes a guessed code likelier to be one."""
    return [Limit(f"device-from:{address}", 100)]


def begin(data: Database, limits: Sequence[Limit], now: float) -> list[str]:
    """Count a try.

    Args:
        data: the database.
        limits: of all its subjects.
        now: the time.

    Returns:
        What `forgive` takes, if the try was right.

    Raises:
        Problem: 429, there were too many; this one is not counted.
    """

    def work(session: Session) -> list[str]:
        for limit in sorted(limits):  # in one order, so that no two wait for each other
            hold(session, limit.subject)
        session.execute(delete(Attempt).where(Attempt.at <= now - WINDOW))
        for limit in limits:
            query = select(func.count(), func.min(Attempt.at)).where(
                Attempt.subject == limit.subject
            )
            count, oldest = session.execute(query).one()
            if count >= limit.most:
                raise Problem(
                    429,
                    "there were too many tries; wait a while",
                    retry_after=max(1.0, oldest + WINDOW - now),
                )
        made = [Attempt(id=new_id(), subject=limit.subject, at=now) for limit in limits]
        session.add_all(made)
        return [attempt.id for attempt in made]

    return data.transaction(work)


def forgive(data: Database, ids: Sequence[str]) -> None:
    """Count a try no longer: it was right."""
    data.transaction(lambda session: session.execute(delete(Attempt).where(Attempt.id.in_(ids))))
