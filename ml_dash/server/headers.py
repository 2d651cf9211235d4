"""Headers that keep browsers from doing more with an answer than we mean, on every answer."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_dash.server.problems import Problem, respond
from ml_dash.server.proxies import is_secure

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy of what is no page: it may load, run and send nothing."""

DEFAULTS = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""What an answer gets unless its route says otherwise."""


class SecurityHeaders:
    """Puts the headers on every answer, those to a defect in the server among them.

    An address with a NUL character gets no further: no name has one, and PostgreSQL keeps none.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False
        secure = is_secure(Request(scope))

        async def send_with(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
                if secure:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            problem = Problem(400, "an address has no NUL character")
            await respond(problem)(scope, receive, send_with)
            return
        try:
            await self.app(scope, receive, send_with)
        except Exception:  # it is answered, and then goes on to the log
            if not begun:
                answer = respond(Problem(500, "the server has a defect; its log tells more"))
                # What is raised closes the connection: a proxy must not use it for another request
                answer.headers["Connection"] = "close"
                await answer(scope, receive, send_with)
            raise
