"""The token to show to a server: kept, renewed in time, and by one process at a time."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ml_dash import settings
from ml_dash.auth.oauth import CLIENT, Endpoints, ask, tokens_of
from ml_dash.auth.private import LockedError, locked
from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.remote.address import origin, server_url
from ml_dash.remote.errors import RemoteError, UnauthorizedError, UnreachableError
from ml_dash.remote.transport import Hidden, Transport

MARGIN = 60.0
"""Seconds before its end at which a token is renewed."""

_TIMEOUT = (2.0, 3.0)
_ATTEMPTS = 3
_PAUSE = 30.0  # seconds between two attempts to renew in advance

logger = logging.getLogger("ml_dash")


def _token_of_environment(url: str) -> str | None:
    own = settings.token_server()
    try:
        if own and origin(server_url(own)) != origin(url):
            return None
    except ValueError:
        pass  # no address; whoever uses it is told so
    return settings.token()


class Credentials:
    """What a user has for one server. Threads and forked processes may share it.

    `ML_DASH_TOKEN` goes before what `ml-dash login` kept. Where `ML_DASH_URL` names a server, it is
    shown to that one alone: a wrong address learns nothing.

    Args:
        url: the server's.
        token: goes before both.
        store: where tokens are kept; by default beside the configuration file.
        now: seconds since 1970.

    Attributes:
        from_environment: whether the token is neither the caller's nor of a login.

    Raises:
        ValueError: `url` is not the address of a server.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        store: TokenStore | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.url = server_url(url)
        own = (token or "").strip()
        given = own or _token_of_environment(self.url)
        self.from_environment = bool(given) and not own
        self._given = Hidden(given) if given else None
        self._store = store or TokenStore()
        self._now = now
        self._tokens: Tokens | None = None
        self._tried = float("-inf")
        self._told = False
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<Credentials for {self.url}>"

    def __getstate__(self) -> None:
        raise TypeError("credentials are not pickled; make new ones in the other process")

    @property
    def given(self) -> bool:
        """Whether the token is the caller's or `ML_DASH_TOKEN`, which nobody renews."""
        return self._given is not None

    def header(self) -> str | None:
        """What to send as `Authorization`; `None` if nobody is logged in.

        A token that is about to end is renewed first, where the server can be reached.

        Raises:
            UnauthorizedError: what was given is no token.
        """
        if self._given is not None:
            if not (self._given.isascii() and self._given.isprintable()):
                whose = "ML_DASH_TOKEN" if self.from_environment else "the token"
                raise UnauthorizedError(f"{whose} has characters that no token has; copy it again")
            return Hidden(f"Bearer {self._given}")
        if self._tokens is None:
            self._tokens = self._store.load(self.url)
            if self._tokens is None and not self._told and self._store.is_shut(self.url):
                self._tell("is in the keyring, which cannot be opened here")
        held = self._tokens
        if held is not None and self._is_due(held):
            self._tried = time.monotonic()
            try:
                self.refresh(_bearer(held))
            except RemoteError:
                pass  # it may be good for a while yet, and the server says so if not
            held = self._tokens
        return None if held is None else _bearer(held)

    def refresh(self, stale: str) -> bool:
        """Get another token in place of one that the server refused.

        Of several processes, and threads, one asks the server; the others find what it got.

        Args:
            stale: what `header` gave.

        Returns:
            Whether there is another one now. If not, somebody has to log in.

        Raises:
            RemoteError: the server does not answer.
        """
        if self._given is not None:
            return False
        with self._lock_of_process():
            if self._tokens is not None and _bearer(self._tokens) != stale:
                return True  # another thread was faster
            try:
                with locked(self._store.lock(self.url)):
                    return self._renew(stale)
            except LockedError:
                trouble = UnreachableError(f"another process renews the token for {self.url}")
                trouble.kind = "timeout"
            except OSError as error:
                self._tell(f"cannot be renewed, because it cannot be kept: {error}")
                return False
        raise trouble

    def _lock_of_process(self) -> threading.Lock:
        """Another one in a forked child: its parent's may be held by a thread that is not there."""
        if self._process != os.getpid():
            self._lock = threading.Lock()
            self._process = os.getpid()
        return self._lock

    def _is_due(self, held: Tokens) -> bool:
        if held.refresh is None or held.expires is None:
            return False
        soon = held.expires - self._now() < MARGIN
        return soon and time.monotonic() - self._tried > _PAUSE

    def _renew(self, stale: str) -> bool:
        """Under the lock: look whether somebody did it already, else do it."""
        held = self._store.load(self.url)
        if held is None:
            self._tokens = None
            return False
        if _bearer(held) != stale:
            self._tokens = held
            return True
        if held.refresh is None or origin(held.token_endpoint) != origin(self.url):
            return False
        form = {"grant_type": "refresh_token", "refresh_token": held.refresh, "client_id": CLIENT}
        found, error = self._ask(held.token_endpoint, form)
        endpoints = Endpoints("", held.token_endpoint, held.revocation_endpoint)
        new = tokens_of(found, endpoints, self._now) if not error else None
        if new is None:
            return False
        if new.refresh is None:
            new = Tokens.from_json({**new.to_json(), "refresh": held.refresh}) or new
        self._tokens = new
        try:
            self._store.save(self.url, new)
        except OSError as trouble:
            self._tell(f"was renewed for this process alone, as it cannot be kept: {trouble}")
        return True

    def _ask(self, url: str, form: dict[str, str]) -> tuple[dict[str, Any], str]:
        """Ask for tokens, again at once where the answer was lost: the old token is used up then.

        Servers take it a second time only for some seconds after that.
        """
        transport = Transport(self.url, _TIMEOUT)
        try:
            for _ in range(_ATTEMPTS - 1):
                try:
                    return ask(transport, url, form)
                except UnreachableError as trouble:
                    if trouble.kind not in ("timeout", "closed", "garbled"):
                        raise
            return ask(transport, url, form)
        finally:
            transport.close()

    def _tell(self, what: str) -> None:
        if not self._told:
            self._told = True
            logger.warning("ml-dash: the token for %s %s", self.url, what)


def _bearer(tokens: Tokens) -> str:
    return Hidden(f"Bearer {tokens.access}")
