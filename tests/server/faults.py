"""A proxy before a server that drops, delays, repeats and cuts what goes through it, by a seed."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KINDS = (
    "request dropped",
    "answer dropped",
    "delayed",
    "sent twice",
    "request cut",
    "answer cut",
    "html page",
    "error 500",
    "busy 429",
    "busy 503",
)
PAGE = b"<html><body><h1>Captive portal</h1></body></html>"


class FaultProxy:
    """Passes requests on to a server at `port`, and plays tricks on some.

    Args:
        port: the server's, on this machine.
        rate: how many of a hundred requests suffer a fault.

    Attributes:
        url: the proxy's address.
        seen: how often each fault was played.
        asked: each request: method, path, and the bytes of its body.
    """

    def __init__(self, port: int, rate: int = 30) -> None:
        self.port = port
        self.seen: dict[str, int] = {}
        self.asked: list[tuple[str, str, int]] = []
        self._rate = rate
        self._lock = threading.Lock()
        self._chance = random.Random(0)
        self._deck: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def seed(self, seed: int) -> None:
        """From here on, faults come as this seed has them."""
        with self._lock:
            self._chance = random.Random(seed)

    def fault(self) -> tuple[str, float]:
        """What happens to the next request, and how far it gets."""
        with self._lock:
            if self._chance.randrange(100) >= self._rate:
                return "", 0.0
            if not self._deck:  # dealt like cards, so that each kind comes as often as any other
                self._deck = self._chance.sample(KINDS, len(KINDS))
            kind = self._deck.pop()
            self.seen[kind] = self.seen.get(kind, 0) + 1
            return kind, self._chance.random()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _pass_on(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.server.proxy.asked.append((self.command, self.path.partition("?")[0], size))
        kind, far = self.server.proxy.fault()
        if kind == "request dropped":
            self._hang_up()
        elif kind == "html page":
            self._answer(502 if far < 0.5 else 200, {"Content-Type": "text/html"}, PAGE)
        elif kind == "error 500":
            self._answer(500, {"Content-Type": "text/plain"}, b"oh")
        elif kind.startswith("busy"):
            self._answer(int(kind[-3:]), {"Retry-After": "0"}, b"")
        elif kind == "request cut":
            self._cut_request(body, far)
            self._hang_up()
        else:
            self._forward(kind, far, body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _pass_on  # noqa: N815 - as http.server calls them

    def _forward(self, kind: str, far: float, body: bytes) -> None:
        if kind == "delayed":
            time.sleep(0.03 * far)
        try:
            if kind == "sent twice":
                self._ask(body)
            status, headers, data = self._ask(body)
        except OSError:
            self._hang_up()  # the server is down
            return
        if kind == "answer dropped":
            self._hang_up()
        elif kind == "answer cut":
            self._answer(status, headers, data, int(far * len(data)))
            self._hang_up()
        else:
            self._answer(status, headers, data)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.port, timeout=20)
        try:
            upstream.request(self.command, self.path, body, self._headers())
            answer = upstream.getresponse()
            kept = ("content-type", "etag", "retry-after", "content-range")
            headers = {name: value for name, value in answer.getheaders() if name.lower() in kept}
            return answer.status, headers, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            upstream.close()

    def _headers(self) -> dict[str, str]:
        own = ("connection", "content-length")
        return {name: value for name, value in self.headers.items() if name.lower() not in own}

    def _cut_request(self, body: bytes, far: float) -> None:
        """The server gets a part of the body, and then the connection ends."""
        lines = [f"{self.command} {self.path} HTTP/1.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self._headers().items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        try:
            with socket.create_connection(("127.0.0.1", self.server.proxy.port), 5) as upstream:
                upstream.sendall(head + body[: int(far * len(body))])
        except OSError:
            pass

    def _answer(
        self, status: int, headers: dict[str, str], data: bytes, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data if cut is None else data[:cut])
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""
