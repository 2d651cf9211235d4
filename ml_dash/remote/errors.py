"""How a request to a server can fail::

    RemoteError
     ├─ UnreachableError     no answer, or none of an ML-Dash server; `kind` says how
     ├─ BusyError            it asks to be left alone for a while (429, 503)
     ├─ UnauthorizedError    no token, or one that is not valid any more
     ├─ ForbiddenError       the user may not do that
     ├─ NotFoundError        there is no such thing, or the user may not see it
     └─ RejectedError        the request is not one that the server takes

Each text is one sentence for a person, and none has a token in it.
"""

from __future__ import annotations


class RemoteError(RuntimeError):
    """A request to a server failed.

    Attributes:
        kind: a stable word for the sort of failure, so that each is told once.
        status: of the answer, 0 when there was none.
        code: the word that the server itself has for it.
    """

    kind = "error"
    status = 0
    code = ""


class UnreachableError(RemoteError):
    """The server gave no answer, or something else answered in its place.

    Its `kind` is `dns`, `refused`, `tls`, `timeout`, `closed`, `proxy`, `redirect`, `html`,
    `garbled`, `status` or `network`.
    """

    kind = "network"


class BusyError(RemoteError):
    """The server asks to be left alone for a while.

    Attributes:
        retry_after: for how many seconds; `None` if it did not say.
    """

    kind = "busy"
    retry_after: float | None = None


class UnauthorizedError(RemoteError):
    """There is no token, or one that the server does not take."""

    kind = "unauthorized"


class ForbiddenError(RemoteError):
    """The user may not do that."""

    kind = "forbidden"


class NotFoundError(RemoteError):
    """There is no such thing, or the user may not see it."""

    kind = "not_found"


class RejectedError(RemoteError):
    """The server does not take the request as it is."""

    kind = "rejected"
