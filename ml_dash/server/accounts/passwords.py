"""Passwords: Argon2id hashes, made and compared.

A hash takes 64 MiB and some tens of milliseconds, so only a few are made at once: a flood of
guesses must not take the memory of the server.
"""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 8
LONGEST = 1024

_hasher = PasswordHasher()
_at_once = threading.BoundedSemaphore(4)


def check_password(password: str) -> str:
    """A password that may be set.

    Raises:
        ValueError: it is too short or too long. The text never holds the password.
    """
    if len(password) < SHORTEST:
        raise ValueError(f"the password is too short; use at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise ValueError(f"the password is too long; use at most {LONGEST} characters")
    return password


def hash_password(password: str) -> str:
    """The hash to keep, with its salt and parameters."""
    with _at_once:
        return _hasher.hash(_encode(password))


def verify(stored: str | None, password: str) -> bool:
    """Whether `password` is the one that was hashed.

    Takes as long without a hash as with one: how long it takes must not tell who has an account.

    Args:
        stored: what `hash_password` gave, or `None` where there is no such user or password.
        password: what was typed.
    """
    nobodys = _nobodys()  # made once in a process: whoever comes first waits for it, known or not
    if len(password) > LONGEST:
        password, stored = "", None
    try:
        with _at_once:
            _hasher.verify(stored or nobodys, _encode(password))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _encode(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


@cache
def _nobodys() -> str:
    return _hasher.hash("the password of nobody")
