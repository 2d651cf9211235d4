"""A server that misbehaves in any of the known ways, until it is told to be a good one."""

from __future__ import annotations

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PAGE = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
REFUSAL = b'{"detail": "not now", "code": "invalid"}'
PROBLEM = {"Content-Type": "application/problem+json"}
STATUSES = (401, 403, 404, 429, 500, 503)
WAYS = (
    "refused",
    "silent",
    "tls",
    "closed",
    "half",
    "endless",
    "drip",
    "html",
    "portal",
    *map(str, STATUSES),
)
"""`silent` accepts and never answers; `half` promises more than it sends; `endless`
sends blanks for ever, `drip` one now and then; `html` is a proxy's 502,
`portal` a page with 200; numbers are statuses."""


class Hostile:
    """Listens at `url`, and treats each request in the way that `way` names.

    Args:
        way: one of `WAYS`, or `good`.
        upstream: the port on this machine that good requests are passed on to.
        headers: more of them, of answers that are a status.

    Attributes:
        asked: the paths of the requests that came, of each kind of way.
    """

    def __init__(self, way: str, upstream: int = 0, headers: dict[str, str] | None = None) -> None:
        self.way = way
        self.upstream = upstream
        self.headers = headers or {}
        self.asked: list[tuple[str, str]] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hostile = self
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """What the client is given."""
        if self.way == "refused":
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                return f"http://127.0.0.1:{probe.getsockname()[1]}"
        return f"{'https' if self.way == 'tls' else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hostile: Hostile

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _treat(self) -> None:
        hostile = self.server.hostile
        way = hostile.way
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hostile.asked.append((way, self.path))
        if way == "good":
            self._forward(body)
        elif way == "silent":
            hostile.over.wait(120)
            self.close_connection = True
        elif way == "closed":
            self.close_connection = True
        elif way == "half":
            self._answer(200, {"Content-Type": "application/json"}, b'{"run": {"id"', promised=4096)
            self.close_connection = True
        elif way == "endless":
            self._answer(200, {"Content-Type": "application/json"}, b" " * (1 << 20), 1 << 50)
            while not hostile.over.is_set():
                self.wfile.write(b" " * (1 << 20))
        elif way == "drip":
            self._answer(200, {"Content-Type": "application/json"}, b" ", 1 << 20)
            while not hostile.over.wait(0.1):
                self.wfile.write(b" ")
        elif way in ("html", "portal"):
            self._answer(502 if way == "html" else 200, {"Content-Type": "text/html"}, PAGE)
        else:
            self._answer(int(way), {**PROBLEM, **hostile.headers}, REFUSAL)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _treat  # noqa: N815 - as http.server calls them

    def _forward(self, body: bytes) -> None:
        own = ("connection", "content-length", "host")
        headers = {name: text for name, text in self.headers.items() if name.lower() not in own}
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.hostile.upstream, timeout=30)
        try:
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            dropped = ("connection", "content-length", "transfer-encoding")
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in dropped}
            self._answer(answer.status, kept, answer.read())
        finally:
            upstream.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes, promised: int = 0) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(promised or len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""
