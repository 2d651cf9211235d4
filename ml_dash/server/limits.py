"""Limits of requests, and a line of the log for each: how many at once, how large, how slow.

Whoever asks for too much is told so, and when to come back; so memory and threads are bounded
whatever clients do. What is told of a request holds no secrets: the path without its query, and
the id of the user.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import Counter
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_dash.server.problems import Problem, respond
from ml_dash.server.proxies import client_address
from ml_dash.wire import API

SMALL_BODY = 4 << 20
"""Bytes of a body of JSON or of a form; rows and files may have more."""

SILENCE = 20.0
"""Seconds between two pieces of a body."""

PATIENCE = 60.0
"""Seconds for a body of few bytes."""

SLOWEST = 8192
"""Bytes in a second of those that have more."""

FOLLOWERS = 500
"""Who may follow runs at once; they wait, and work is not kept from others by them."""

PASSAGE = "ml_dash.passage"
"""Where the `Passage` of a request is in its scope."""

logger = logging.getLogger("ml_dash.server.requests")

_FREE = (f"{API}/health", f"{API}/ready")
_SMALL = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
_Headers = dict[bytes, bytes]


class Memory:
    """The bytes of bodies that are held at once. Safe to use from any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes, unless that would be too many."""
        with self._lock:
            if self.used + size > self.limit:
                return False
            self.used += size
            return True

    def give_back(self, size: int) -> None:
        """They are not held any longer."""
        with self._lock:
            self.used -= size


class Passage:
    """One request on its way through.

    Attributes:
        user: the id of who asks, once that is known.
    """

    def __init__(self, memory: Memory) -> None:
        self.user: str | None = None
        self._memory = memory
        self._held = 0

    def reserve(self, size: int) -> None:
        """Take memory for the body.

        Raises:
            HTTPException: 503, there is none now.
        """
        if not self._memory.take(size):
            detail = "the server holds as many bodies as it can; try again"
            raise HTTPException(503, detail, headers={"Retry-After": "2"})
        self._held += size

    def close(self) -> None:
        """Give the memory back."""
        self._memory.give_back(self._held)
        self._held = 0


class Gate:
    """Lets requests in as the limits allow, and notes each in the log.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._at_once: Counter[str] = Counter()
        self._memory: Memory | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passage = scope[PASSAGE] = Passage(self._memory_of(scope))
        told = _Told(scope, send, passage)
        entered: list[str] = []
        try:
            if scope["path"] not in _FREE:
                self._enter(scope, entered)
            limit = _body_limit(scope)
            await self.app(scope, _Body(receive, limit, passage).receive, told.send)
        except Problem as problem:  # of this gate; those of the routes are answers already
            await respond(problem)(scope, receive, told.send)
        finally:
            for name in entered:
                self._at_once[name] -= 1
                if not self._at_once[name]:
                    del self._at_once[name]
            passage.close()
            told.note()

    def _enter(self, scope: Scope, entered: list[str]) -> None:
        """Count the request.

        Raises:
            Problem: 503, there are too many; 429, too many of this caller.
        """
        settings = scope["app"].state.settings
        limit = _body_limit(scope)
        headers = dict(scope["headers"])
        if _length(headers) > limit:
            raise Problem(413, f"the body is larger than {limit:,} bytes; send it in pieces")
        follows = scope["path"].endswith("/events")
        kind, most = ("follow", FOLLOWERS) if follows else ("work", settings.concurrency)
        for name, bound, status, text in (
            (kind, most, 503, "the server has as much to do as it can; try again"),
            (f"{kind} {_caller(scope, headers)}", (most + 1) // 2, 429, "too many at once; wait"),
        ):
            if self._at_once[name] >= bound:
                raise Problem(status, text, retry_after=1.0)
            self._at_once[name] += 1
            entered.append(name)

    def _memory_of(self, scope: Scope) -> Memory:
        if self._memory is None:
            settings = scope["app"].state.settings
            self._memory = Memory(max(settings.body_memory, 2 * settings.request_limit))
        return self._memory


class _Body:
    """The body of a request as it comes in: not too large, and not too slowly."""

    def __init__(self, receive: Receive, limit: int, passage: Passage) -> None:
        self._receive = receive
        self._limit = limit
        self._passage = passage
        self._size = 0
        self._is_whole = False
        self._begun = time.monotonic()

    async def receive(self) -> Message:
        """The next message.

        Raises:
            HTTPException: 408, 413 or 503.
        """
        if self._is_whole:  # what is waited for now is that the client goes away
            return await self._receive()
        left = self._begun + PATIENCE + self._size / SLOWEST - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(SILENCE, left))):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body came too slowly; send it again") from None
        piece = message.get("body", b"")
        self._is_whole = not message.get("more_body", False)
        self._size += len(piece)
        if self._size > self._limit:
            raise HTTPException(413, f"the body is larger than {self._limit:,} bytes")
        self._passage.reserve(len(piece))
        return message


class _Told:
    """What the log tells of a request."""

    def __init__(self, scope: Scope, send: Send, passage: Passage) -> None:
        self._scope = scope
        self._send = send
        self._passage = passage
        self._status = 500  # what is answered where nothing was, by the one around us
        self._begun = time.monotonic()

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    def note(self) -> None:
        """One line; of the questions whether we live, only those with a bad answer."""
        scope = self._scope
        if scope["path"] in _FREE and self._status == 200:
            return
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"][:500],
            "status": self._status,
            "milliseconds": round((time.monotonic() - self._begun) * 1000, 1),
            "user": self._passage.user,
            "client": client_address(Request(scope)),
        }
        logger.info("request", extra={"fields": fields})


def _body_limit(scope: Scope) -> int:
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    limit: int = scope["app"].state.settings.request_limit
    return min(SMALL_BODY, limit) if kind.decode("latin-1") in _SMALL else limit


def _length(headers: _Headers) -> int:
    text = headers.get(b"content-length", b"")
    return int(text) if text.isdigit() else 0


def _caller(scope: Scope, headers: _Headers) -> str:
    """Who counts as one: a token, or an address."""
    token = headers.get(b"authorization") or headers.get(b"cookie")
    if token:
        return hashlib.sha256(token).hexdigest()
    return client_address(Request(scope))
