"""Who asks, as the rest of the server knows them."""

from __future__ import annotations

from dataclasses import dataclass

SCOPES = ("read", "write", "admin")
"""What a token can be made for: to read, to record, and to delete and to manage."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Attributes:
        user_id: the user.
        user: their name, which is that of their own namespace, too.
        admin: whether they look after the server.
        scopes: what the token is for: `read`, `write`, `admin`.
        secret_id: the token or session itself.
        kind: `access`, `api` or `session`.
        expires: when it ends, `None` for never.
    """

    user_id: str
    user: str
    admin: bool
    scopes: frozenset[str]
    secret_id: str
    kind: str
    expires: float | None = None


def check_scopes(scopes: list[str]) -> list[str]:
    """Scopes without repeats, in the order of `SCOPES`.

    Raises:
        ValueError: there are none, or one is not known.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise ValueError(f"{scope!r:.40} is no scope; there are {', '.join(SCOPES)}")
    if not scopes:
        raise ValueError(f"name at least one scope: {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in scopes]
