"""Grants: what becomes of a device that waits, and of a refresh token that is exchanged.

Own code rather than Authlib's classes of RFC 8628. Those leave to their user all that is hard here:
the interval kept in the database so that several processes agree, single use under concurrency,
`slow_down`, the count of guesses; and its refresh grant knows neither families of tokens nor the
grace below. What it would bring is the parsing of a form of three fields, at the price of a
dependency and of adapters for its requests, clients and token models. The endpoints are held
against the statements of the RFC by tests instead.

Refresh tokens rotate (RFC 9700, 4.14.2): each is exchanged once, and whoever presents an old one
ends the whole login, for somebody has a copy. Within `GRACE` seconds of its exchange an old one is
exchanged again: processes that share a token refresh at the same moment, and answers get lost.
"""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_dash.ids import new_id
from ml_dash.server.accounts import secrets
from ml_dash.server.settings import ServerSettings
from ml_dash.server.tables import DeviceGrant, User

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""Of user codes: no vowels, so no words; no digits that look like letters (RFC 8628, 6.1)."""

CODE_LENGTH = 8
INTERVAL = 5.0
"""Seconds between two questions of a device; each time it asks too early, as many more."""

SLACK = 1.0
"""Seconds that a question may come early: the way through the network is not always as long."""

GRACE = 10.0


class Refused(Exception):  # noqa: N818 - it is an answer, named as RFC 6749 does
    """No token. Raised after the transaction, since what it found out has to be kept.

    Args:
        error: the word of RFC 6749 or 8628.
        description: a sentence for a person.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Device:
    """What asks to be let in.

    Attributes:
        client_id: the program.
        address: from which it asked.
        name: what it says of itself; nobody has checked it.
    """

    client_id: str
    address: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Device:
        """Undo `text`."""
        client_id, address, name = text.split(" ", 2)
        return cls(client_id, address, name)

    def text(self) -> str:
        """As it is kept; neither of the first two has a space."""
        return f"{self.client_id} {self.address} {self.name}"


def normalise(user_code: str) -> str:
    """A user code as people type it: in any case, with or without the dash."""
    return "".join(c for c in user_code.upper() if c in ALPHABET)[: CODE_LENGTH + 1]


def begin(
    session: Session, device: Device, scopes: list[str], lifetime: float, now: float
) -> tuple[str, str]:
    """Have a device wait.

    Returns:
        Its device code and its user code.
    """
    device_code = random.token_urlsafe(32)
    while True:
        code = "".join(random.choice(ALPHABET) for _ in range(CODE_LENGTH))
        taken = select(DeviceGrant.id).where(DeviceGrant.user_code_hash == secrets.digest(code))
        if session.scalar(taken) is None:
            break
    session.add(
        DeviceGrant(
            id=new_id(),
            device_hash=secrets.digest(device_code),
            user_code_hash=secrets.digest(code),
            client=device.text(),
            scopes=scopes,
            interval=INTERVAL,
            state="waiting",
            created=now,
            expires=now + lifetime,
        )
    )
    return device_code, f"{code[:4]}-{code[4:]}"


def find(session: Session, user_code: str, now: float, lock: bool = False) -> DeviceGrant | None:
    """The device that waits behind a user code."""
    query = select(DeviceGrant).where(
        DeviceGrant.user_code_hash == secrets.digest(normalise(user_code)),
        DeviceGrant.state == "waiting",
        DeviceGrant.expires > now,
    )
    return session.scalar(query.with_for_update() if lock else query)


def decide(session: Session, user_code: str, user_id: str, approve: bool, now: float) -> bool:
    """Let a device in, or not.

    Returns:
        Whether there still was one that waited.
    """
    grant = find(session, user_code, now, lock=True)
    if grant is None:
        return False
    grant.state = "granted" if approve else "denied"
    grant.user_id = user_id
    return True


def collect(
    session: Session, device_code: str, client_id: str, settings: ServerSettings, now: float
) -> dict[str, Any] | Refused:
    """What a device is answered that asks whether it was let in."""
    grant = session.scalar(
        select(DeviceGrant)
        .where(DeviceGrant.device_hash == secrets.digest(device_code))
        .with_for_update()
    )
    if grant is None or Device.parse(grant.client).client_id != client_id:
        return Refused("invalid_grant", "this device code is not known")
    if grant.state == "used":
        return Refused("invalid_grant", "this device code was used already")
    if grant.state == "denied":
        return Refused("access_denied", "the user did not let this device in")
    if now >= grant.expires:
        return Refused("expired_token", "nobody confirmed it in time; begin again")
    if grant.state == "waiting":
        early = grant.polled is not None and now - grant.polled < grant.interval - SLACK
        grant.polled = now
        if early:
            grant.interval += INTERVAL
            return Refused("slow_down", f"ask every {grant.interval:g} seconds")
        return Refused("authorization_pending", "the user has not decided yet")
    user = session.get(User, grant.user_id)
    if user is None or user.disabled:
        return Refused("access_denied", "the user is not let in any more")
    grant.state = "used"
    secrets.forget_ended(session, now, user.id)
    device = Device.parse(grant.client)
    name = f"{device.client_id} {device.name}".strip()
    return _issue_pair(session, user.id, grant.scopes, name, new_id(), settings, now)


def refresh(
    session: Session,
    token: str,
    client_id: str | None,
    scopes: list[str] | None,
    settings: ServerSettings,
    now: float,
) -> dict[str, Any] | Refused:
    """Exchange a refresh token for new ones.

    Args:
        session: in a transaction.
        token: its text.
        client_id: of who asks, if said; it must be the one that the token was made for.
        scopes: fewer than it has, for the new access token alone; `None` for all.
        settings: how long the new ones live.
        now: the time.
    """
    refused = Refused("invalid_grant", "the refresh token is not valid, or no longer; log in again")
    found = secrets.find(session, token, ("refresh",), lock=True)
    if found is None or not secrets.is_good(*found, now):
        return refused
    secret, user = found
    client = (secret.name or "").partition(" ")[0]
    if client_id is not None and client_id != client:
        return refused
    if scopes is not None and not set(scopes) <= set(secret.scopes):
        return Refused("invalid_scope", "the login was not made for all of these scopes")
    if secret.used is not None and now - secret.used > GRACE:
        secrets.revoke_family(session, secret.family, now)
        return refused
    if secret.used is None:
        secret.used = now
        secrets.forget_ended(session, now, user.id)
    return _issue_pair(
        session, user.id, secret.scopes, secret.name, secret.family, settings, now, scopes
    )


def _issue_pair(
    session: Session,
    user_id: str,
    scopes: list[str],
    name: str | None,
    family: str,
    settings: ServerSettings,
    now: float,
    narrowed: list[str] | None = None,
) -> dict[str, Any]:
    allowed = narrowed or scopes
    ends = now + settings.access_seconds
    access = secrets.issue(session, user_id, "access", allowed, name, ends, family=family, now=now)[
        1
    ]
    ends = now + settings.refresh_seconds
    renewal = secrets.issue(
        session, user_id, "refresh", scopes, name, ends, family=family, now=now
    )[1]
    return {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": int(settings.access_seconds),
        "refresh_token": renewal,
        "scope": " ".join(allowed),
    }


def revoke_token(session: Session, token: str, now: float) -> None:
    """End a token: one of a login with all others of that login (RFC 7009, 2.1)."""
    found = secrets.find(session, token, ("access", "refresh", "api"), lock=True)
    if found is not None:
        secrets.revoke_family(session, found[0].family, now)
