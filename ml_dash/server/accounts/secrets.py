"""Tokens, sessions and one-time links: made, recognised and revoked.

A secret is 256 random bits behind a prefix that tells what it is, so that scanners of leaked
secrets and people recognise it. The database holds its SHA-256 alone: with that many random bits
a slow hash would add nothing. It is found by its hash, and what is found is compared in constant
time; that search tells nobody how much of a guess was right, because nobody can choose a hash.

Over HTTP: `Authorization: Bearer <access or API token>`. A browser sends its session as a cookie
instead, and with every method but GET, HEAD and OPTIONS the header `X-CSRF-Token`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
import time
from collections.abc import Collection, Sequence

from fastapi import Request
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from ml_dash.ids import new_id
from ml_dash.server.accounts import cookies
from ml_dash.server.accounts.identity import Identity, check_scopes
from ml_dash.server.database import Database
from ml_dash.server.limits import PASSAGE
from ml_dash.server.problems import Problem
from ml_dash.server.tables import Secret, User

PREFIXES = {
    "access": "mld_at_",
    "refresh": "mld_rt_",
    "api": "mld_pat_",
    "session": "mld_ss_",
    "link": "mld_ln_",
}
"""What the text of each kind begins with."""

USED_EVERY = 60.0
"""Seconds between notes of when a secret was last used."""

KEPT = 7 * 86_400.0
"""Seconds that a secret which ended is kept, to recognise its reuse."""

_LONGEST = 128
_SAFE = ("GET", "HEAD", "OPTIONS")


def issue(
    session: Session,
    user_id: str,
    kind: str,
    scopes: Sequence[str],
    name: str | None = None,
    expires: float | None = None,
    *,
    family: str | None = None,
    now: float | None = None,
) -> tuple[Secret, str]:
    """Make a secret.

    Args:
        session: in a transaction.
        user_id: whose it is.
        kind: `access`, `refresh`, `api`, `session` or `link`.
        scopes: what it is for.
        name: what its user calls it.
        expires: when it ends, in seconds since 1970; `None` for never.
        family: of the login that it belongs to; by default it is alone.
        now: the time, by default of this machine.

    Returns:
        Its row, and its text, which cannot be had again.

    Raises:
        ValueError: a scope is not known.
    """
    text = PREFIXES[kind] + random.token_urlsafe(32)
    id = new_id()
    made = Secret(
        id=id,
        hash=digest(text),
        kind=kind,
        user_id=user_id,
        family=family or id,
        name=name,
        scopes=check_scopes(list(scopes)),
        created=time.time() if now is None else now,
        expires=expires,
    )
    session.add(made)
    session.flush()
    return made, text


def digest(text: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def find(
    session: Session, text: str, kinds: Collection[str], *, lock: bool = False
) -> tuple[Secret, User] | None:
    """The secret of a text and its user, whether or not it is still good.

    Args:
        session: to read with.
        text: what was presented.
        kinds: those that are looked for.
        lock: whether the row is about to be changed.
    """
    if len(text) > _LONGEST or not text.startswith(tuple(PREFIXES[kind] for kind in kinds)):
        return None
    wanted = digest(text)
    query = select(Secret, User).join(User, User.id == Secret.user_id).where(Secret.hash == wanted)
    found = session.execute(query.with_for_update(of=Secret) if lock else query).first()
    if found is None or not hmac.compare_digest(found[0].hash, wanted):
        return None
    return (found[0], found[1]) if found[0].kind in kinds else None


def is_good(secret: Secret, user: User, now: float) -> bool:
    """Whether a secret still opens anything."""
    in_time = secret.expires is None or now < secret.expires
    return in_time and secret.revoked is None and not user.disabled


def identify(request: Request) -> Identity:
    """Who asks, by their token or, in a browser, by their session.

    Raises:
        Problem: 401, there is none or it is not good; 403, a session without its CSRF token.
    """
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Problem(401, "log in, or send a token: Authorization: Bearer …")
        return _recognise(request, text.strip(), ("access", "api"))
    cookie = cookies.session_of(request)
    if cookie is None:
        raise Problem(401, "log in, or send a token: Authorization: Bearer …")
    found = _recognise(request, cookie, ("session",))
    if request.method not in _SAFE:
        cookies.check_csrf(request, request.headers.get("x-csrf-token", ""))
    return found


def visitor(request: Request) -> Identity | None:
    """Who looks at a page, or `None` where nobody is logged in."""
    text = cookies.session_of(request)
    if text is None:
        return None
    try:
        return _recognise(request, text, ("session",))
    except Problem:
        return None


def _recognise(request: Request, text: str, kinds: tuple[str, ...]) -> Identity:
    data: Database = request.app.state.database
    now: float = request.app.state.now()
    with data.reading() as session:
        found = find(session, text, kinds)
    if found is None or not is_good(*found, now):
        raise Problem(401, "the token is not valid, or no longer; log in again or make a new one")
    secret, user = found
    if (passage := request.scope.get(PASSAGE)) is not None:
        passage.user = user.id  # for the log
    if secret.used is None or now - secret.used >= USED_EVERY:
        data.transaction(lambda session: _note_use(session, secret.id, now))
    return Identity(
        user_id=user.id,
        user=user.name,
        admin=user.admin,
        scopes=frozenset(secret.scopes),
        secret_id=secret.id,
        kind=secret.kind,
        expires=secret.expires,
    )


def _note_use(session: Session, id: str, now: float) -> None:
    session.execute(
        update(Secret)
        .where(Secret.id == id, or_(Secret.used.is_(None), Secret.used <= now - USED_EVERY))
        .values(used=now)
    )


def revoke(session: Session, id: str, now: float) -> None:
    """End one secret."""
    session.execute(
        update(Secret).where(Secret.id == id, Secret.revoked.is_(None)).values(revoked=now)
    )


def revoke_family(session: Session, family: str, now: float) -> None:
    """End all tokens of one login."""
    session.execute(
        update(Secret).where(Secret.family == family, Secret.revoked.is_(None)).values(revoked=now)
    )


def revoke_all(
    session: Session,
    user_id: str,
    now: float,
    kinds: Collection[str] = tuple(PREFIXES),
    but: str = "",
) -> None:
    """End all secrets of a user.

    Args:
        session: in a transaction.
        user_id: whose.
        now: the time.
        kinds: only these.
        but: the id of one that stays.
    """
    session.execute(
        update(Secret)
        .where(Secret.user_id == user_id, Secret.kind.in_(kinds), Secret.id != but)
        .where(Secret.revoked.is_(None))
        .values(revoked=now)
    )


def forget_ended(session: Session, now: float, user_id: str | None = None) -> None:
    """Delete what ended long ago, of a user or of all. API tokens stay, to be looked at."""
    ended = or_(Secret.expires < now - KEPT, Secret.revoked < now - KEPT)
    query = delete(Secret).where(Secret.kind != "api", ended)
    session.execute(query if user_id is None else query.where(Secret.user_id == user_id))
