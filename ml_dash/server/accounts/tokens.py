"""API tokens: for CI and for machines, made by their user and shown once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_dash.server.access import Data, Keeper, Reader
from ml_dash.server.accounts import secrets
from ml_dash.server.accounts.identity import check_scopes
from ml_dash.server.database import Database
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Secret
from ml_dash.wire import API

router = APIRouter(prefix=f"{API}/tokens", tags=["tokens"])

_LONGEST = 10 * 366 * 86_400.0
_MOST = 200


class NewToken(BaseModel):
    """A token to be made: what it is called, what it is for, and the seconds that it lives."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
    scopes: list[str] = Field(default=["read", "write"], max_length=10)
    expires_in: float | None = Field(default=None, gt=0, le=_LONGEST, allow_inf_nan=False)


def show(secret: Secret) -> dict[str, Any]:
    """What is told of a token, never its text."""
    return {
        "id": secret.id,
        "name": secret.name,
        "kind": secret.kind,
        "scopes": secret.scopes,
        "created": secret.created,
        "expires": secret.expires,
        "used": secret.used,
    }


def list_good(data: Database, user_id: str, now: float, kinds: Iterable[str]) -> list[Secret]:
    """The tokens of a user that are good, the newest first."""
    query = (
        select(Secret)
        .where(Secret.user_id == user_id, Secret.kind.in_(list(kinds)), Secret.revoked.is_(None))
        .order_by(Secret.created.desc(), Secret.id.desc())
    )
    with data.reading() as session:
        found = session.scalars(query).all()
    return [secret for secret in found if secret.expires is None or now < secret.expires]


def create(
    data: Database,
    user_id: str,
    allowed: Iterable[str],
    new: NewToken,
    now: float,
) -> tuple[Secret, str]:
    """Make an API token.

    Args:
        data: the database.
        user_id: whose it is.
        allowed: the scopes of who asks for it: a token gives no more than it was made with.
        new: what is wanted.
        now: the time.

    Raises:
        Problem: 422, a scope is not known; 403, one is not the caller's; 409, there are too many.
    """
    try:
        scopes = check_scopes(new.scopes)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    if missing := set(scopes) - set(allowed):
        raise Problem(403, f"you cannot give on {', '.join(sorted(missing))}: you lack it yourself")
    if len(list_good(data, user_id, now, ["api"])) >= _MOST:
        raise Problem(409, f"you have {_MOST} tokens; revoke those that nobody needs")
    expires = None if new.expires_in is None else now + new.expires_in
    return data.transaction(
        lambda session: secrets.issue(
            session, user_id, "api", scopes, name=new.name, expires=expires, now=now
        )
    )


def end(data: Database, user_id: str, id: str, now: float, kinds: Iterable[str]) -> None:
    """Revoke a token of a user; of a login, all tokens that came from it.

    Raises:
        Problem: 404, there is none.
    """

    def work(session: Session) -> None:
        found = session.get(Secret, id)
        if found is None or found.user_id != user_id or found.kind not in kinds:
            raise Problem(404, f"you have no token {id!r:.40}")
        secrets.revoke_family(session, found.family, now)

    data.transaction(work)


@router.get("")
def list_tokens(request: Request, asker: Reader, data: Data) -> dict[str, Any]:
    """The caller's API tokens that are good, without their text."""
    found = list_good(data, asker.user_id, request.app.state.now(), ["api"])
    return {"tokens": [show(secret) for secret in found]}


@router.post("", status_code=201)
def create_token(request: Request, asker: Keeper, data: Data, new: NewToken) -> dict[str, Any]:
    """Make an API token. Its text is in this answer and nowhere else."""
    made, text = create(data, asker.user_id, asker.scopes, new, request.app.state.now())
    return {**show(made), "token": text}


@router.delete("/{id}", status_code=204)
def delete_token(id: str, request: Request, asker: Keeper, data: Data) -> None:
    """Revoke one of the caller's API tokens."""
    end(data, asker.user_id, id, request.app.state.now(), ["api"])
