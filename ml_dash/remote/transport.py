"""One request at a time, as `requests` makes it, and nothing that it raises gets out.

A session belongs to one thread of one process: neither forks nor threads share a connection.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_dash.remote.failures import garbled, of_exception

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session


MOST = 64 << 20
"""Bytes of an answer, unless the caller expects more: what is no ML-Dash server may never end."""

LONGEST = 600.0
"""Seconds that such an answer may take; a file, which is larger, only has to come fast enough."""

HELD = 2 << 20
"""Bytes of a body that something on the way may hold back, when all of it has been sent."""

SLOWEST = 16 << 10
"""Bytes a second at which they may go on from there."""

_PIECE = 1 << 16


class Hidden(str):
    """A secret: a text that shows itself to nobody who only looks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Transport:
    """Sends requests to one server. Threads may share it.

    Args:
        url: the server's, as `server_url` gives it; errors name it.
        timeout: seconds to connect, and between two pieces of an answer; after a large body more,
            see `HELD`. One that began to come may besides be waited for no longer than this and a
            second for each 8 KiB of it.

    Attributes:
        moved: when bytes last went out or came in, by `time.monotonic()`.
    """

    def __init__(self, url: str, timeout: tuple[float, float] = (5.0, 30.0)) -> None:
        self.url = url
        self.moved = 0.0
        self._timeout = timeout
        self._local = threading.local()
        self._out: dict[int, int] = {}  # bytes of the body that each thread is sending

    def __getstate__(self) -> tuple[str, tuple[float, float]]:
        return self.url, self._timeout

    def __setstate__(self, state: tuple[str, tuple[float, float]]) -> None:
        self.url, self._timeout = state
        self.moved = 0.0
        self._local = threading.local()
        self._out = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        most: int | None = None,
        partial: bool = False,
        **options: Any,
    ) -> Response:
        """Make a request and give its answer, whatever its status. Follows no redirect.

        Args:
            method: of HTTP.
            url: the whole address.
            authorization: the header of that name.
            headers: others.
            stream: leave the body to be read by the caller, unless it tells of an error.
            most: bytes that the body may have otherwise, however long they take; `MOST`, in
                `LONGEST` seconds, by default.
            partial: take what came of a body that breaks off, unless that is nothing.
            options: `params`, `json` or `data`, as `requests` has them.

        Raises:
            UnreachableError: there was no answer, half of one, or one without end.
        """
        import requests

        failure: Exception
        if "data" in options:
            self._out[threading.get_ident()] = 0
        try:
            response = self._session().request(
                method,
                url,
                headers=dict(headers or {}),
                auth=_Bearer(authorization),
                allow_redirects=False,
                timeout=self._timeout_for(options.get("data")),
                stream=True,
                **options,
            )
            response.request.headers.pop("Authorization", None)
            if not stream or response.status_code >= 400:
                self._take(response, most, partial=partial and response.status_code == 206)
            return response
        except (requests.RequestException, OSError, ValueError) as error:
            # ValueError: urllib3 and http.client let some of theirs through.
            failure = of_exception(error, self.url)
        finally:
            self._out.pop(threading.get_ident(), None)
        # Only here, so that no exception with the request, and its token, hangs on this one.
        raise failure

    def _take(self, response: Response, most: int | None, *, partial: bool) -> None:
        """Read the body, as `requests` itself does where it is not told to leave it."""
        import requests

        pieces: list[bytes] = []
        size, end = 0, time.monotonic() + (LONGEST if most is None else math.inf)
        try:
            for piece in response.iter_content(_PIECE):
                size += len(piece)
                if size > (MOST if most is None else most) or time.monotonic() > end:
                    response.close()
                    raise garbled(self.url, "has no end")
                pieces.append(piece)
        except (requests.RequestException, OSError):
            if not partial or not pieces:
                raise
            response.close()
        response._content = b"".join(pieces)

    def _timeout_for(self, body: Any) -> tuple[float, float]:
        """More patience for the answer to a large body, which may not have arrived yet."""
        connect, answer = self._timeout
        size = len(body) if isinstance(body, (bytes, bytearray, memoryview)) else 0
        return connect, answer + min(size, HELD) / SLOWEST

    @property
    def underway(self) -> int:
        """Bytes of bodies that have gone out and are not answered yet. Any thread may ask."""
        return sum(list(self._out.values()))

    def _note(self, out: int) -> None:
        self.moved = time.monotonic()
        thread = threading.get_ident()
        if out and thread in self._out:
            self._out[thread] += out

    def close(self) -> None:
        """Close the connections of this thread."""
        session = getattr(self._local, "session", None)
        if session is not None:
            session.close()
            self._local.session = None

    def _session(self) -> Session:
        held: Session | None = getattr(self._local, "session", None)
        if held is None or self._local.process != os.getpid():
            import requests

            from ml_dash.remote.pace import PacedAdapter
            from ml_dash.version import __version__

            held = requests.Session()
            for scheme in ("http://", "https://"):
                held.mount(scheme, PacedAdapter(self._note, self._timeout[1]))
            held.headers["User-Agent"] = f"ml-dash/{__version__}"
            self._local.session, self._local.process = held, os.getpid()
        return held


class _Bearer:
    """Puts the token, or none, into a request. Without it `requests` would look into `~/.netrc`."""

    def __init__(self, header: str | None) -> None:
        self._header = header

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self._header is not None:
            request.headers["Authorization"] = str.__str__(self._header)
        return request
